package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// requester makes the request of a spoke.
type requester = func(*spoke) *nhrp.Packet

// maxSpokes is what fits into the prefixes of load.go.
const maxSpokes = 60000

// generator is thousands of spokes on one thread. It speaks real GRE on a real wire: what it sends has the source
// addresses of a prefix that is routed to its namespace, and what comes back for the prefix is local there, so no
// address is configured and no neighbour is made.
type generator struct {
	in, out int // raw sockets
	hub     netip.Addr
	key     uint32
	spokes  []spoke
}

// spoke is one of them, and how its present request fares.
type spoke struct {
	nbma, protocol netip.Addr
	id             uint32
	request        []byte
	first, last    time.Time // when the request was sent
	took           time.Duration
	tries          int
	done           bool
}

const (
	generatorBuffer = 64 << 20
	firstRetry      = time.Second // and twice as long each time, as a spoke does it
	giveUp          = 30 * time.Second
)

func newGenerator(l *lab, space string, hub netip.Addr, key uint32, n int) (*generator, error) {
	g := &generator{hub: hub, key: key}
	err := l.in(space, func() (err error) {
		g.in, err = rawSocket(unix.IPPROTO_GRE)
		if err == nil {
			g.out, err = rawSocket(unix.IPPROTO_RAW) // with the header in what is written
		}
		return err
	})
	for i := range n {
		g.spokes = append(g.spokes, spoke{
			nbma: nth(nbmaBase, i), protocol: nth(protocolBase, i), id: uint32(i + 1),
		})
	}
	return g, err
}

func rawSocket(protocol int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, generatorBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, generatorBuffer))
}

func (g *generator) close() {
	unix.Close(g.in)
	unix.Close(g.out)
}

// nth is the address of spoke i, from 0, in a /16: 250 to each /24, so that none ends in 0 or 255.
func nth(base netip.Addr, i int) netip.Addr {
	b := base.As4()
	b[2], b[3] = byte(1+i/250), byte(1+i%250)
	return netip.AddrFrom4(b)
}

// index is the spoke with an address that nth gave; false for any other address.
func (g *generator) index(a netip.Addr) (int, bool) { return spokeAt(a, len(g.spokes)) }

// spokeAt is which of n spokes has an underlay address; false when none has.
func spokeAt(a netip.Addr, n int) (int, bool) {
	b := a.As4()
	i := (int(b[2])-1)*250 + int(b[3]) - 1
	if i < 0 || i >= n || b[3] == 0 || b[3] > 250 {
		return 0, false
	}
	return i, nth(nbmaBase, i) == a
}

// round is one request of every spoke, and what came of it.
type round struct {
	took          time.Duration // from the first request to the last reply
	replies       []float64     // milliseconds, from a spoke's first try to its answer
	retransmitted int
	refused       int
}

// rate is spokes per second.
func (r round) rate() float64 { return float64(len(r.replies)) / r.took.Seconds() }

// play lets every spoke make its request, at most window of them unanswered at once.
func (g *generator) play(ctx context.Context, window int, request requester) (round, error) {
	for i := range g.spokes {
		s := &g.spokes[i]
		*s = spoke{nbma: s.nbma, protocol: s.protocol, id: s.id, request: g.wrap(s, request(s))}
	}
	runtime.GC() // ours is not to fall into the measurement
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, p := time.Now(), player{g: g, window: window}
	for p.answered < len(g.spokes) {
		if ctx.Err() != nil {
			return p.round, ctx.Err()
		}
		if time.Since(begin) > giveUp {
			return p.round, fmt.Errorf("%d of %d spokes had no answer within %v", len(g.spokes)-p.answered, len(g.spokes), giveUp)
		}
		p.step()
	}
	p.took = time.Since(begin)
	if p.refused > 0 {
		return p.round, fmt.Errorf("the hub refused %d spokes", p.refused)
	}
	return p.round, nil
}

// player is a round in progress.
type player struct {
	g              *generator
	window         int
	sent, answered int
	swept          time.Time
	round
}

// burst is how many requests go out before the answers are looked at.
const burst = 64

func (p *player) step() {
	g := p.g
	for n := 0; n < burst && p.sent < len(g.spokes) && p.sent-p.answered < p.window; n++ {
		g.transmit(&g.spokes[p.sent])
		p.sent++
	}
	wait := 10
	if p.sent < len(g.spokes) && p.sent-p.answered < p.window {
		wait = 0
	}
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(g.in), Events: unix.POLLIN}}, wait); n > 0 {
		p.drain()
	}
	if now := time.Now(); now.Sub(p.swept) > firstRetry/20 {
		p.swept = now
		p.retry(now)
	}
}

func (p *player) retry(now time.Time) {
	for i := range p.g.spokes[:p.sent] {
		s := &p.g.spokes[i]
		if !s.done && now.Sub(s.last) > firstRetry<<(s.tries-1) {
			p.retransmitted++
			p.g.transmit(s)
		}
	}
}

func (g *generator) transmit(s *spoke) {
	s.last = time.Now()
	if s.tries == 0 {
		s.first = s.last
	}
	s.tries++
	unix.Sendto(g.out, s.request, 0, &unix.SockaddrInet4{Addr: g.hub.As4()}) // what is not sent is sent again
}

func (p *player) drain() {
	var b [2048]byte
	for {
		n, err := unix.Read(p.g.in, b[:])
		if err != nil {
			return
		}
		now := time.Now()
		s, reply, ok := p.g.parse(b[:n])
		if !ok || s.done || !answers(reply, s) {
			continue
		}
		s.done, s.took = true, now.Sub(s.first)
		p.answered++
		p.replies = append(p.replies, s.took.Seconds()*1000)
		if reply.Type == nhrp.RegistrationReply && (len(reply.CIEs) != 1 || reply.CIEs[0].Code != nhrp.Success) {
			p.refused++
		}
	}
}

// answers reports whether the packet is the reply to the spoke's request.
func answers(p nhrp.Packet, s *spoke) bool {
	return (p.Type == nhrp.RegistrationReply || p.Type == nhrp.PurgeReply) && p.RequestID == s.id && p.Source == s.protocol
}

// parse takes a packet apart that came for one of the spokes.
func (g *generator) parse(b []byte) (*spoke, nhrp.Packet, bool) {
	p, err := packet.ParseIP(b)
	if err != nil {
		return nil, nhrp.Packet{}, false
	}
	i, ok := g.index(p.Destination())
	if !ok {
		return nil, nhrp.Packet{}, false
	}
	gre, err := packet.ParseGRE(p.Payload())
	if err != nil || gre.Protocol != packet.EtherNHRP || gre.Key != g.key {
		return nil, nhrp.Packet{}, false
	}
	m, err := nhrp.Parse(gre.Payload)
	return &g.spokes[i], m, err == nil
}

// wrap puts NHRP into GRE into IPv4. The kernel fills in the total length, the identification and the checksum.
func (g *generator) wrap(s *spoke, p *nhrp.Packet) []byte {
	b := make([]byte, 20, 256)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_GRE
	from, to := s.nbma.As4(), g.hub.As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	b = p.Append(packet.AppendGRE(b, packet.EtherNHRP, g.key, true))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// registration is what a spoke of ours sends: extensions and all.
func registration(hub, hubProtocol netip.Addr) requester {
	return func(s *spoke) *nhrp.Packet {
		return &nhrp.Packet{
			Type: nhrp.RegistrationRequest, HopCount: 255, Flags: nhrp.NATAware, RequestID: s.id,
			SourceNBMA: s.nbma, Source: s.protocol, Destination: hubProtocol,
			CIEs: []nhrp.CIE{{PrefixLength: 32, MTU: innerMTU, HoldingTime: holdSeconds}},
			Extensions: []nhrp.Extension{
				{Type: nhrp.ResponderAddress, Compulsory: true},
				{Type: nhrp.ForwardTransit, Compulsory: true},
				{Type: nhrp.ReverseTransit, Compulsory: true},
				nhrp.AuthenticationExtension(password),
				{Type: nhrp.NATAddress, Value: nhrp.AppendCIEs(nil, []nhrp.CIE{{NBMA: hub, Protocol: hubProtocol}})},
			},
		}
	}
}

// purge takes a registration back, and asks to be told.
func purge(hubProtocol netip.Addr) requester {
	return func(s *spoke) *nhrp.Packet {
		return &nhrp.Packet{
			Type: nhrp.PurgeRequest, HopCount: 255, RequestID: s.id,
			SourceNBMA: s.nbma, Source: s.protocol, Destination: hubProtocol,
			CIEs:       []nhrp.CIE{{PrefixLength: 32, Protocol: s.protocol}},
			Extensions: []nhrp.Extension{nhrp.AuthenticationExtension(password)},
		}
	}
}
