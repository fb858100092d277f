package main

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// fleet is thousands of protected spokes on one thread. Each has the IKE and the NHRP that a router has, on a loop of its
// own, and just enough of a data plane to speak with the hub: two UDP sockets serve them all, as their prefix is local
// in the namespace.
type fleet struct {
	hub     netip.Addr
	sockets [2]int // ports 500 and 4500
	config  *conf.Config
	members []*member
	began   time.Time
	swept   time.Duration
	pinging bool
	done    func(*member) bool // of the round in progress; nil between rounds
	arrived int                // members that are done
	failed  error
}

// member is one spoke.
type member struct {
	f              *fleet
	nbma, protocol netip.Addr
	loop           *core.Loop
	later          []func() // once the loop has run
	due            time.Duration
	armed          bool

	out map[dataplane.SA]*sending
	in  map[uint32]*receiving

	up, registered bool
	reason         string // of the last failure
	nextPing       time.Duration
	pings          uint16
	answered       bool // a ping since it was last asked

	start, finish time.Duration // of the round in progress
	begun, ended  bool
}

// sending and receiving are the SAs of a handle.
type sending struct {
	sealer        *esp.Sealer
	local, remote netip.AddrPort
}

type receiving struct {
	sa       dataplane.SA
	opener   *esp.Opener
	opened   bool
	counters *dataplane.Counters
}

// fleetPorts are IKE's, in the order of the sockets.
var fleetPorts = [2]uint16{dataplane.IKEPort, dataplane.NATPort}

const (
	fleetTunnel = "tun0"
	pingEvery   = time.Second
	sweepEvery  = 5 * time.Millisecond
	fleetWindow = 1024 // packets of the replay window: the least there is
)

// newFleet makes spokes that are configured as the text says, which is that of a spoke of the tunnel tun0.
func newFleet(l *lab, space, text string, n int) (*fleet, error) {
	file := filepath.Join(l.dir, space+"-fleet.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c, _, err := conf.Load(file)
	if err != nil {
		return nil, err
	}
	f := &fleet{hub: hubNBMA, config: c, began: time.Now()}
	err = l.in(space, func() (err error) {
		for i, port := range fleetPorts {
			if f.sockets[i], err = fleetSocket(port); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range n {
		f.members = append(f.members, &member{f: f, nbma: nth(nbmaBase, i), protocol: nth(protocolBase, i)})
	}
	return f, err
}

// fleetConfig is the spokes of a protected hub that loadConfig made.
func fleetConfig(profile string) string {
	return fmt.Sprintf(`version: 1
tunnels:
  tun0:
    underlay: 10.50.0.1
    address: 10.100.1.1/16
    key: %d
    mtu: %d
    nhrp: {network-id: 1, authentication: %s, servers: [{nbma: %v, protocol: %v}]}
`, loadKey, innerMTU, password, hubNBMA, hubProtocol) + protectedBy(profile)
}

func fleetSocket(port uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, generatorBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, generatorBuffer),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}))
}

func (f *fleet) close() {
	for _, fd := range f.sockets {
		unix.Close(fd)
	}
}

func (f *fleet) now() time.Duration { return time.Since(f.began) }

// boot starts the programs of all spokes. Nothing is sent before [member.join] or [member.shake].
func (f *fleet) boot(profile func(i int, p ike.Profile) (*ike.Profile, error)) error {
	for i, m := range f.members {
		p, err := profile(i, *f.config.Profiles[0].IKE)
		if err != nil {
			return err
		}
		m.boot(p)
	}
	return nil
}

// sameProfile is the profile of the configuration for every spoke. It is shared, as nothing changes it.
func (f *fleet) sameProfile() func(int, ike.Profile) (*ike.Profile, error) {
	shared := *f.config.Profiles[0].IKE
	return func(int, ike.Profile) (*ike.Profile, error) { return &shared, nil }
}

func (m *member) boot(p *ike.Profile) {
	m.out, m.in = map[dataplane.SA]*sending{}, map[uint32]*receiving{}
	m.loop = core.NewLoop(m.f.now(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), m)
	m.loop.Clock = time.Now
	for _, module := range []core.Module{ike.New(crand.Reader), nhrp.New(), witness{m}} {
		m.loop.Add(module, core.Start{})
	}
	t := m.f.config.Tunnels[0]
	m.loop.Post(ike.Name, core.Request{Body: ike.Configure{
		Profiles: []*ike.Profile{p}, Tunnels: []ike.Tunnel{{Name: fleetTunnel, Profile: p.Name, Encapsulation: t.Carrier}},
	}})
	m.loop.Post(nhrp.Name, core.Request{Body: nhrp.Configure{Tunnels: []*nhrp.Config{t.NHRP}}})
	m.run()
}

// witness hears what IKE publishes.
type witness struct{ m *member }

func (witness) Name() string { return "witness" }

func (w witness) Handle(_ *core.Env, ev core.Event) {
	n, ok := ev.(core.Notice)
	if !ok {
		return
	}
	switch b := n.Body.(type) {
	case protect.Up:
		w.m.up = true
	case protect.Down:
		w.m.up, w.m.registered = false, false
	case protect.Failed:
		w.m.reason = b.Reason
	}
}

func (m *member) tunnel() dataplane.TunnelUp {
	t := m.f.config.Tunnels[0]
	return dataplane.TunnelUp{Tunnel: dataplane.Tunnel{
		Name: fleetTunnel, Cloud: t.NHRP.NetworkID, Local: m.nbma, Key: t.Key, Encapsulation: dataplane.ESP,
		Addresses: []netip.Prefix{netip.PrefixFrom(m.protocol, 16)}, MTU: innerMTU, TTL: 64, Protected: true,
	}}
}

// join lets a spoke come: NHRP asks IKE for the hub, and registers.
func (m *member) join() { m.loop.Broadcast(core.Notice{Body: m.tunnel()}) }

// shake lets IKE alone come.
func (m *member) shake() {
	m.loop.Post(ike.Name, core.Notice{Body: m.tunnel()})
	m.loop.Post(ike.Name, core.Request{Body: protect.Ensure{Tunnel: fleetTunnel, Local: m.nbma, Remote: m.f.hub, Urgent: true}})
}

// run handles what has come to the spoke and what is due, with the arithmetic that its modules want done elsewhere.
func (m *member) run() {
	m.loop.Run(m.f.now())
	for len(m.later) > 0 {
		next := m.later[0]
		m.later = m.later[1:]
		next()
		m.loop.Run(m.f.now())
	}
	m.due, m.armed = m.loop.Next()
	if m.begun && !m.ended && m.f.done != nil && m.f.done(m) {
		m.ended, m.finish = true, m.f.now()
		m.f.arrived++
	}
}

// Do is the spoke's edge and data plane.
func (m *member) Do(e core.Effect) {
	var err error
	switch e := e.(type) {
	case core.Work:
		m.later = append(m.later, func() { m.loop.Post(e.Module, core.Done{Tag: e.Tag, Result: e.Run()}) })
	case dataplane.SendIKE:
		m.sendIKE(e)
	case dataplane.SetInbound:
		r := &receiving{sa: e.SA, counters: m.countersOf(e.SA)}
		r.opener, err = esp.NewOpener(e.SPI, e.Keys, e.ESN, fleetWindow)
		m.in[e.SPI] = r
	case dataplane.SetOutbound:
		s := &sending{local: e.Local, remote: e.Remote}
		s.sealer, err = esp.NewSealer(e.SPI, e.Keys, e.ESN)
		m.out[e.SA] = s
		if e.Remote.Port() == 0 {
			err = errors.New("the hub wants ESP without UDP, which the generator does not speak")
		}
	case dataplane.DeleteInbound:
		delete(m.in, e.SPI)
	case dataplane.DeleteSA:
		delete(m.out, e.SA)
	case dataplane.AskSA:
		carried := dataplane.Carried{SA: e.SA, Counters: *m.countersOf(e.SA)}
		m.later = append(m.later, func() { m.loop.Post(ike.Name, carried) })
	case dataplane.Send:
		m.send(e.SA, e.Protocol, e.Payload)
	}
	if err != nil {
		m.f.failed = fmt.Errorf("spoke %v: %w", m.nbma, err)
	}
}

// countersOf are those of a handle; of all its inbound SAs together.
func (m *member) countersOf(sa dataplane.SA) *dataplane.Counters {
	for _, r := range m.in {
		if r.sa == sa {
			return r.counters
		}
	}
	return &dataplane.Counters{}
}

func (m *member) sendIKE(e dataplane.SendIKE) {
	b := e.Payload
	if e.Local.Port() == dataplane.NATPort && !(len(b) == 1 && b[0] == 0xff) {
		b = append(make([]byte, 4), b...)
	}
	m.f.transmit(e.Local, e.Remote, b)
}

// send puts a payload into GRE into ESP.
func (m *member) send(sa dataplane.SA, protocol uint16, payload []byte) {
	if s := m.out[sa]; s != nil {
		m.f.transmit(s.local, s.remote, m.wrap(s.sealer, protocol, payload))
	}
}

func (m *member) wrap(s *esp.Sealer, protocol uint16, payload []byte) []byte {
	t := m.f.config.Tunnels[0]
	plain := append(packet.AppendGRE(nil, protocol, t.Key.Value, t.Key.Set), payload...)
	trailer := make([]byte, s.TrailerLen(len(plain)))
	s.PutTrailer(trailer, packet.GREIP)
	seq, _ := s.Reserve(1) // four thousand million are left
	return s.Seal(nil, seq, append(plain, trailer...))
}

// transmit sends from one of the spokes' addresses. What is not sent is sent again.
func (f *fleet) transmit(from, to netip.AddrPort, b []byte) {
	fd := f.sockets[0]
	if from.Port() == fleetPorts[1] {
		fd = f.sockets[1]
	}
	source := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.Addr().As4()})
	unix.SendmsgN(fd, b, source, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, 0)
}

// receive takes what waits on a socket.
func (f *fleet) receive(i int) {
	var b [2048]byte
	var control [64]byte
	for {
		n, controlled, _, from, err := unix.Recvmsg(f.sockets[i], b[:], control[:], 0)
		if err != nil {
			return
		}
		source, ok := from.(*unix.SockaddrInet4)
		if !ok || controlled < unix.CmsgLen(unix.SizeofInet4Pktinfo) {
			continue
		}
		to := netip.AddrFrom4([4]byte(control[unix.CmsgLen(8):unix.CmsgLen(12)])) // behind the interface and the local address
		at, ok := spokeAt(to, len(f.members))
		if !ok {
			continue
		}
		m := f.members[at]
		m.datagram(netip.AddrPortFrom(to, fleetPorts[i]), netip.AddrPortFrom(netip.AddrFrom4(source.Addr), uint16(source.Port)), b[:n])
		m.run()
	}
}

// datagram is RFC 3948 section 2: ESP, or IKE behind four octets of zero.
func (m *member) datagram(to, from netip.AddrPort, b []byte) {
	switch {
	case m.loop == nil || len(b) < 8:
		return
	case to.Port() == dataplane.NATPort && binary.BigEndian.Uint32(b) != 0:
		m.protected(b)
		return
	case to.Port() == dataplane.NATPort:
		b = b[4:]
	}
	m.loop.Post(ike.Name, dataplane.ReceivedIKE{Local: to, Remote: from, Payload: append([]byte(nil), b...)})
}

// protected opens ESP.
func (m *member) protected(b []byte) {
	spi := binary.BigEndian.Uint32(b)
	r := m.in[spi]
	if r == nil {
		return
	}
	plain, next, err := r.opener.Open(nil, b)
	if err != nil || next != packet.GREIP {
		return
	}
	r.counters.PacketsIn++
	r.counters.BytesIn += uint64(len(plain))
	if !r.opened {
		r.opened = true
		m.loop.Post(ike.Name, dataplane.Opened{SA: r.sa, SPI: spi})
	}
	g, err := packet.ParseGRE(plain)
	if err != nil {
		return
	}
	switch g.Protocol {
	case packet.EtherNHRP:
		m.registration(g.Payload)
		m.loop.Post(nhrp.Name, dataplane.Received{
			Tunnel: fleetTunnel, From: netip.AddrPortFrom(m.f.hub, dataplane.NATPort), SA: r.sa, Protocol: g.Protocol, Payload: g.Payload,
		})
	case packet.EtherIPv4:
		if h, ok := parseEcho(g.Payload); ok && h.kind == icmpEchoReply {
			m.answered = true
		}
	}
}

// registration looks for the reply that says the hub has accepted the spoke.
func (m *member) registration(b []byte) {
	p, err := nhrp.Parse(b)
	if err == nil && p.Type == nhrp.RegistrationReply && len(p.CIEs) == 1 && p.CIEs[0].Code == nhrp.Success {
		m.registered = true
	}
}

// ping asks the hub through the tunnel, as traffic of the spoke's LAN would.
func (m *member) ping() {
	for sa := range m.out {
		m.send(sa, packet.EtherIPv4, m.echoRequest())
	}
}

func (m *member) echoRequest() []byte {
	m.pings++
	const size = 20 + icmpLen + 8
	b := make([]byte, size)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_ICMP
	binary.BigEndian.PutUint16(b[2:], size)
	from, to := m.protocol.As4(), hubProtocol.As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], ^packet.Fold(packet.Sum(b[:20], 0)))
	echo := b[20:]
	echo[0] = icmpEchoRequest
	binary.BigEndian.PutUint16(echo[6:], m.pings)
	binary.BigEndian.PutUint16(echo[2:], ^packet.Fold(packet.Sum(echo, 0)))
	return b
}

// sendSteadily lets every spoke ask the hub once a second from now on, one after the other.
func (f *fleet) sendSteadily() {
	f.pinging = true
	for i, m := range f.members {
		m.nextPing = f.now() + pingEvery*time.Duration(i)/time.Duration(len(f.members))
	}
}

// step handles what has come, and all that is due.
func (f *fleet) step(wait time.Duration) {
	polled := []unix.PollFd{{Fd: int32(f.sockets[0]), Events: unix.POLLIN}, {Fd: int32(f.sockets[1]), Events: unix.POLLIN}}
	if n, _ := unix.Poll(polled, int(wait.Milliseconds())); n > 0 {
		for i := range f.sockets {
			if polled[i].Revents != 0 {
				f.receive(i)
			}
		}
	}
	if now := f.now(); now-f.swept >= sweepEvery {
		f.swept = now
		f.sweep(now)
	}
}

func (f *fleet) sweep(now time.Duration) {
	for _, m := range f.members {
		if m.armed && m.due <= now {
			m.run()
		}
		if f.pinging && m.nextPing <= now {
			m.nextPing += pingEvery
			m.ping()
		}
	}
}

// campaign is what came of one round of the whole fleet.
type campaign struct {
	took  time.Duration // from the first that began to the last that was done
	times []float64     // milliseconds, of each
}

// play lets every spoke begin, at most window of them unfinished at once, until all are done.
func (f *fleet) play(ctx context.Context, window int, patience time.Duration, begin func(*member), done func(*member) bool) (c campaign, err error) {
	f.done, f.arrived = done, 0
	for _, m := range f.members {
		m.begun, m.ended = false, false
	}
	defer func() { f.done = nil }()
	runtime.GC() // ours is not to fall into the measurement
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	started, sent := f.now(), 0
	for f.arrived < len(f.members) {
		for n := 0; n < burst && sent < len(f.members) && sent-f.arrived < window; n++ {
			m := f.members[sent]
			sent++
			m.begun, m.start = true, f.now()
			begin(m)
			m.run()
		}
		wait := sweepEvery
		if sent < len(f.members) && sent-f.arrived < window {
			wait = 0
		}
		f.step(wait)
		switch {
		case ctx.Err() != nil:
			return c, ctx.Err()
		case f.failed != nil:
			return c, f.failed
		case f.now()-started > patience:
			return c, f.stuck(patience)
		}
	}
	c.took = f.now() - started
	for _, m := range f.members {
		c.times = append(c.times, milliseconds(m.finish-m.start))
	}
	return c, nil
}

// stuck tells what one of those who are not done says of it.
func (f *fleet) stuck(patience time.Duration) error {
	why := "no reason known"
	for _, m := range f.members {
		if !m.ended && m.reason != "" {
			why = m.nbma.String() + ": " + m.reason
			break
		}
	}
	return fmt.Errorf("%d of %d spokes were not done within %v; %s", len(f.members)-f.arrived, len(f.members), patience, why)
}

// idle lets the spokes live for a while.
func (f *fleet) idle(ctx context.Context, d time.Duration) {
	for end := f.now() + d; f.now() < end && ctx.Err() == nil; {
		f.step(sweepEvery)
	}
}
