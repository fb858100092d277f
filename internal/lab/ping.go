package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// echoSocket sends echo requests from inside a namespace and reads what comes of them.
type echoSocket struct {
	conn net.PacketConn
	v4   *ipv4.PacketConn // one of v4 and v6 is set
	v6   *ipv6.PacketConn
	to   net.Addr
	id   uint16
}

// lastID gives every socket of this process an identifier of its own.
var lastID atomic.Uint32

// newEcho opens a raw ICMP socket in s.
func newEcho(s *space, to, from netip.Addr) (*echoSocket, error) {
	e := &echoSocket{id: uint16(lastID.Add(1)), to: &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}}
	network, local := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		network, local = "ip6:ipv6-icmp", "::"
	}
	if from.IsValid() {
		local = from.String()
	}
	err := s.do(func() (err error) {
		e.conn, err = net.ListenPacket(network, local)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open an ICMP socket in %s: %w", s.name, err)
	}
	e.conn.(*net.IPConn).SetReadBuffer(1 << 20)
	if to.Is6() {
		e.v6 = ipv6.NewPacketConn(e.conn)
		err = errors.Join(e.v6.SetControlMessage(ipv6.FlagHopLimit, true), e.v6.SetICMPFilter(echoFilter()))
	} else {
		e.v4 = ipv4.NewPacketConn(e.conn)
		err = e.v4.SetControlMessage(ipv4.FlagTTL, true)
	}
	return e, err
}

// echoFilter lets pass what a request can bring back.
func echoFilter() *ipv6.ICMPFilter {
	f := new(ipv6.ICMPFilter)
	f.SetAll(true)
	for _, t := range []ipv6.ICMPType{
		ipv6.ICMPTypeEchoReply, ipv6.ICMPTypeTimeExceeded, ipv6.ICMPTypeDestinationUnreachable, ipv6.ICMPTypePacketTooBig,
	} {
		f.Accept(t)
	}
	return f
}

func (e *echoSocket) setTTL(ttl int) error {
	if e.v6 != nil {
		return e.v6.SetHopLimit(ttl)
	}
	return e.v4.SetTTL(ttl)
}

// dontFragment makes the node refuse what is longer than the path MTU it knows, instead of cutting it up.
func (e *echoSocket) dontFragment() error {
	raw, err := e.conn.(*net.IPConn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if e.v6 != nil {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
			return
		}
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	})
	return errors.Join(err, failed)
}

// minPayload holds the full number of a request: ICMP's own has 16 bits.
const minPayload = 8

func (e *echoSocket) send(number uint32, size int) error {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho}
	if e.v6 != nil {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	data := make([]byte, max(size, minPayload))
	binary.BigEndian.PutUint32(data, number)
	m.Body = &icmp.Echo{ID: int(e.id), Seq: int(uint16(number)), Data: data}
	b, err := m.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return err
	}
	_, err = e.conn.WriteTo(b, e.to)
	return err
}

// answer is an ICMP message that one of our requests brought back.
type answer struct {
	from   netip.Addr
	ttl    int
	reply  bool   // an echo reply, with its number; else an error
	number uint32 // of an error only the low 16 bits
	what   string // an error in words
}

// receive waits for an answer to a request of this socket; it passes over all other ICMP.
func (e *echoSocket) receive(buf []byte) (answer, error) {
	for {
		n, ttl, from, err := e.read(buf)
		if err != nil {
			return answer{}, err
		}
		a, ok := e.parse(buf[:n])
		if ip, isIP := from.(*net.IPAddr); ok && isIP {
			a.from, _ = netip.AddrFromSlice(ip.IP)
			a.from, a.ttl = a.from.Unmap(), ttl
			return a, nil
		}
	}
}

func (e *echoSocket) read(buf []byte) (n, ttl int, from net.Addr, err error) {
	if e.v6 != nil {
		n, cm, from, err := e.v6.ReadFrom(buf)
		if cm != nil {
			ttl = cm.HopLimit
		}
		return n, ttl, from, err
	}
	n, cm, from, err := e.v4.ReadFrom(buf)
	if cm != nil {
		ttl = cm.TTL
	}
	return n, ttl, from, err
}

func (e *echoSocket) parse(b []byte) (answer, bool) {
	protocol := 1
	if e.v6 != nil {
		protocol = 58
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil {
		return answer{}, false
	}
	switch body := m.Body.(type) {
	case *icmp.Echo:
		isReply := m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply
		if !isReply || body.ID != int(e.id) || len(body.Data) < minPayload {
			return answer{}, false
		}
		return answer{reply: true, number: binary.BigEndian.Uint32(body.Data)}, true
	case *icmp.TimeExceeded:
		return e.quoted(body.Data, "time to live exceeded")
	case *icmp.PacketTooBig:
		return e.quoted(body.Data, fmt.Sprintf("packet too big for MTU %d", body.MTU))
	case *icmp.DstUnreach:
		return e.quoted(body.Data, unreachable(m, b))
	}
	return answer{}, false
}

// unreachable puts the code of a Destination Unreachable in words. RFC 792, RFC 1191 section 4 and RFC 4443 section 3.1.
func unreachable(m *icmp.Message, b []byte) string {
	if m.Type == ipv4.ICMPTypeDestinationUnreachable && m.Code == 4 {
		return fmt.Sprintf("packet too big for MTU %d", binary.BigEndian.Uint16(b[6:]))
	}
	return fmt.Sprintf("destination unreachable (code %d)", m.Code)
}

// quoted finds the request that an ICMP error quotes.
func (e *echoSocket) quoted(b []byte, what string) (answer, bool) {
	if e.v6 != nil {
		if len(b) < 48 || b[6] != unix.IPPROTO_ICMPV6 {
			return answer{}, false
		}
		b = b[40:]
	} else {
		if len(b) < 28 || len(b) < int(b[0]&15)*4+8 {
			return answer{}, false
		}
		b = b[int(b[0]&15)*4:]
	}
	if binary.BigEndian.Uint16(b[4:]) != e.id {
		return answer{}, false
	}
	return answer{number: uint32(binary.BigEndian.Uint16(b[6:])), what: what}, true
}

// close ends what waits in receive.
func (e *echoSocket) close() { e.conn.Close() }

// echoer is what requests leave by: an ICMP socket, or a flow of UDP or TCP.
type echoer interface {
	send(number uint32, size int) error
	receive(buf []byte) (answer, error) // net.ErrClosed or io.EOF when there will be no more
	close()
}

// pinger is a ping in progress.
type pinger struct {
	world *world
	ping  scenario.Ping
	flows []echoer // requests are dealt to them in turn
	end   func()   // closes the far end of flows
	stop  chan struct{}
	sent  chan struct{}  // closed after the last request
	read  sync.WaitGroup // those that receive

	mu     sync.Mutex
	result scenario.PingResult
	wait   int // requests without an answer
}

func (w *world) newPinger(name string, p scenario.Ping) (*pinger, error) {
	n, err := w.node(name)
	if err != nil {
		return nil, err
	}
	q := &pinger{world: w, ping: p, stop: make(chan struct{}), sent: make(chan struct{}), end: func() {}}
	q.result = scenario.PingResult{Flows: p.Flows, Stream: p.Protocol == scenario.TCP}
	switch p.Protocol {
	case scenario.UDP, scenario.TCP:
		q.flows, q.end, err = w.newFlows(n, p)
	default:
		q.flows, err = newICMP(n.space, p)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range q.flows {
		q.read.Go(func() { q.receive(f) })
	}
	go q.send()
	return q, nil
}

func newICMP(s *space, p scenario.Ping) ([]echoer, error) {
	sock, err := newEcho(s, p.To, p.From)
	if err != nil {
		return nil, err
	}
	if p.TTL > 0 {
		err = sock.setTTL(p.TTL)
	}
	if p.DontFragment && err == nil {
		err = sock.dontFragment()
	}
	if err != nil {
		sock.close()
	}
	return []echoer{sock}, err
}

// send keeps to a schedule that does not drift: what it is late for, it makes up for.
func (q *pinger) send() {
	defer close(q.sent)
	t, err := newTicker(q.ping.Interval)
	if err != nil {
		q.mu.Lock()
		q.complain(fmt.Sprintf("not sent: %v", err))
		q.mu.Unlock()
		return
	}
	defer t.Close()
	for i, due := 0, 1; q.ping.Count == 0 || i < q.ping.Count; i++ {
		if due == 0 {
			due = t.wait()
		}
		due--
		select {
		case <-q.stop:
			return
		case <-q.world.ctx.Done():
			return
		default:
		}
		q.request(uint32(i))
	}
}

// ticker is a timer of the kernel's: exact to some ten microseconds, where one of the Go runtime can be a millisecond late, and
// waited for without a thread.
type ticker struct {
	*os.File
	count [8]byte
}

func newTicker(interval time.Duration) (*ticker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	every := unix.NsecToTimespec(interval.Nanoseconds())
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return &ticker{File: os.NewFile(uintptr(fd), "timer")}, nil
}

// wait gives how many ticks there were since the last time, one at least.
func (t *ticker) wait() int {
	if _, err := t.Read(t.count[:]); err != nil {
		return 1 // it is closed
	}
	return int(binary.NativeEndian.Uint64(t.count[:]))
}

func (q *pinger) request(number uint32) {
	q.mu.Lock()
	q.result.Echoes = append(q.result.Echoes, scenario.Echo{Sent: q.world.Now()})
	q.wait++
	q.mu.Unlock()
	if err := q.flows[int(number)%len(q.flows)].send(number, q.ping.Size); err != nil {
		q.mu.Lock()
		q.complain(fmt.Sprintf("not sent: %v", rootCause(err)))
		q.mu.Unlock()
	}
}

func rootCause(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func (q *pinger) complain(what string) {
	if !slices.Contains(q.result.Errors, what) {
		q.result.Errors = append(q.result.Errors, what)
	}
}

func (q *pinger) receive(flow echoer) {
	buf := make([]byte, 1<<16)
	for {
		a, err := flow.receive(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			q.take(a, q.world.Now())
		}
	}
}

func (q *pinger) take(a answer, now time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !a.reply {
		q.complain(a.what + " from " + a.from.String())
		return
	}
	if int(a.number) >= len(q.result.Echoes) {
		return
	}
	e := &q.result.Echoes[a.number]
	if e.Answered {
		q.result.Duplicates++
		return
	}
	e.Answered, e.RTT, e.TTL = true, now-e.Sent, a.ttl
	q.wait--
}

func (q *pinger) answered() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wait == 0
}

// finish waits for late answers and closes the socket.
func (q *pinger) finish() (scenario.PingResult, error) {
	<-q.sent
	deadline := time.Now().Add(q.ping.Timeout)
	for !q.answered() && time.Now().Before(deadline) && q.world.ctx.Err() == nil {
		time.Sleep(2 * time.Millisecond)
	}
	for _, f := range q.flows {
		f.close()
	}
	q.end()
	q.read.Wait()
	if q.world.ctx.Err() != nil {
		return q.result, errInterrupted
	}
	return q.result, nil
}

// Stop ends the pinging.
func (q *pinger) Stop() (scenario.PingResult, error) {
	close(q.stop)
	return q.finish()
}

// Ping sends echo requests and waits for the answers.
func (w *world) Ping(node string, p scenario.Ping) (scenario.PingResult, error) {
	q, err := w.newPinger(node, p)
	if err != nil {
		return scenario.PingResult{}, err
	}
	return q.finish()
}

// StartPing sends echo requests until it is stopped.
func (w *world) StartPing(node string, p scenario.Ping) (scenario.Pinging, error) {
	p.Count = 0
	q, err := w.newPinger(node, p)
	if err != nil {
		return nil, err
	}
	return q, nil
}

const (
	defaultMaxTTL = 12
	triesPerHop   = 2
)

// Path asks hop after hop with a growing TTL, as traceroute does.
func (w *world) Path(name string, t scenario.Trace) ([]netip.Addr, error) {
	n, err := w.node(name)
	if err != nil {
		return nil, err
	}
	e, err := newEcho(n.space, t.To, t.From)
	if err != nil {
		return nil, err
	}
	defer e.conn.Close()
	stop := context.AfterFunc(w.ctx, func() { e.conn.Close() })
	defer stop()
	if t.MaxTTL == 0 {
		t.MaxTTL = defaultMaxTTL
	}
	var hops []netip.Addr
	for ttl := 1; ttl <= t.MaxTTL; ttl++ {
		a, err := e.hop(ttl, t.Timeout)
		if err != nil {
			return hops, err
		}
		hops = append(hops, a.from)
		if a.from == t.To || a.reply {
			return hops, nil
		}
	}
	return hops, nil
}

// hop asks for the router at a distance; the zero answer when it is silent.
func (e *echoSocket) hop(ttl int, timeout time.Duration) (answer, error) {
	if err := e.setTTL(ttl); err != nil {
		return answer{}, err
	}
	buf := make([]byte, 4096)
	for try := range triesPerHop {
		number := uint32(ttl*triesPerHop + try)
		if err := e.send(number, 0); err != nil {
			return answer{}, fmt.Errorf("send: %w", rootCause(err))
		}
		e.conn.SetReadDeadline(time.Now().Add(timeout))
		for {
			a, err := e.receive(buf)
			if errors.Is(err, net.ErrClosed) {
				return answer{}, errInterrupted
			}
			if err != nil {
				break // in time nobody answered
			}
			if a.number == number {
				return a, nil
			}
		}
	}
	return answer{}, nil
}
