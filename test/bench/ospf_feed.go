package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// feed is router 0 of a world, in a namespace of its own: as much of OSPF as it takes to be adjacent on a point-to-point
// link, to be asked for a database, and to flood changes. It asks for nothing itself.
type feed struct {
	fd   int
	stop chan struct{}
	done chan struct{}

	mu        sync.Mutex
	db        map[wire.LSAKey]wire.LSA
	order     []wire.LSAKey
	exchange  bool // the other end is slave, and is being told
	told      int  // of order, in descriptions that were answered
	telling   int  // in the one that was not
	sequence  uint32
	last      *wire.DatabaseDescription
	sentAt    time.Time
	unacked   map[wire.LSAKey]time.Time
	seen      bool // the other end hears us
	began     time.Time
	answered  int // LSAs that were asked for
	lastAsked time.Time
}

const (
	feedMTU   = 1500
	feedRoom  = feedMTU - 20 - 24
	feedHello = time.Second
	feedAgain = time.Second // until what was not answered is sent again
)

// newFeed begins to speak at once.
func newFeed(l *lab, space, device string, bodies []*wire.RouterLSA) (*feed, error) {
	f := &feed{stop: make(chan struct{}), done: make(chan struct{}), db: map[wire.LSAKey]wire.LSA{}, unacked: map[wire.LSAKey]time.Time{}, sequence: uint32(time.Now().Unix())}
	for k, body := range bodies {
		lsa, err := wire.Build(wire.V2, feedKey(k), 1, wire.InitialSequence, body)
		if err != nil {
			return nil, fmt.Errorf("LSA of router %d: %w", k, err)
		}
		f.db[lsa.LSAKey] = lsa
		f.order = append(f.order, lsa.LSAKey)
	}
	if err := l.in(space, func() error { return f.open(device) }); err != nil {
		return nil, err
	}
	go f.run()
	return f, nil
}

func feedKey(k int) wire.LSAKey {
	return wire.LSAKey{Type: wire.FunctionRouter.Type(wire.V2), ID: uint32(worldID(k)), Router: worldID(k)}
}

// open makes the socket: on the device, in the group of all OSPF routers.
func (f *feed) open(device string) (err error) {
	if f.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, wire.Protocol); err != nil {
		return err
	}
	link, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	group := unix.IPMreqn{Multiaddr: wire.V2.AllRouters().As4(), Ifindex: int32(link.Index)}
	return errors.Join(
		unix.BindToDevice(f.fd, device),
		unix.SetsockoptIPMreqn(f.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &group),
		unix.SetsockoptIPMreqn(f.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &group),
		unix.SetsockoptInt(f.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptTimeval(f.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}),
	)
}

// close ends the speaking.
func (f *feed) close() {
	close(f.stop)
	<-f.done
	unix.Close(f.fd)
}

func (f *feed) run() {
	defer close(f.done)
	b := make([]byte, 1<<16)
	var hello time.Time
	for {
		select {
		case <-f.stop:
			return
		default:
		}
		n, _, err := unix.Recvfrom(f.fd, b, 0)
		f.mu.Lock()
		if now := time.Now(); now.Sub(hello) >= feedHello {
			hello = now
			f.hello()
		}
		if err == nil {
			f.receive(b[:n])
		}
		f.again()
		f.mu.Unlock()
	}
}

func (f *feed) send(body wire.Body) {
	p := &wire.Packet{Version: wire.V2, Router: worldID(0), Body: body}
	to := unix.SockaddrInet4{Addr: wire.V2.AllRouters().As4()}
	unix.Sendto(f.fd, p.Append(nil, wire.Key{}, feedAddress, wire.V2.AllRouters()), 0, &to) // what is lost is sent again
}

func (f *feed) hello() {
	h := &wire.Hello{Mask: wire.Mask(30), Interval: uint16(feedHello / time.Second), Dead: feedDead, Options: wire.OptE}
	if f.seen {
		h.Neighbors = []wire.RouterID{measuredID}
	}
	f.send(h)
}

const feedDead = 60 // seconds

// receive takes a packet with its IP header.
func (f *feed) receive(b []byte) {
	if len(b) < 20 || len(b) < int(b[0]&15)*4 {
		return
	}
	src, _ := netip.AddrFromSlice(b[12:16])
	dst, _ := netip.AddrFromSlice(b[16:20])
	p, err := wire.Parse(wire.V2, b[int(b[0]&15)*4:], src, dst)
	if err != nil || p.Router != measuredID {
		return
	}
	switch body := p.Body.(type) {
	case *wire.Hello:
		f.heard(body)
	case *wire.DatabaseDescription:
		f.described(body)
	case *wire.Request:
		f.answer(body)
	case *wire.Update:
		f.acknowledge(body)
	case *wire.Ack:
		for _, h := range body.Headers {
			if have, ok := f.db[h.LSAKey]; ok && wire.Compare(h, have.LSAHeader) == 0 {
				delete(f.unacked, h.LSAKey)
			}
		}
	}
}

// heard begins the exchange when the other end sees us: ours is the higher router ID, so that we are master.
func (f *feed) heard(h *wire.Hello) {
	f.seen = true
	if f.last == nil && len(h.Neighbors) > 0 {
		f.describe(wire.DDInit|wire.DDMore|wire.DDMaster, nil)
	}
}

func (f *feed) describe(flags uint8, headers []wire.LSAHeader) {
	f.last = &wire.DatabaseDescription{MTU: feedMTU, Options: wire.OptE, Flags: flags, Sequence: f.sequence, Headers: headers}
	f.sentAt = time.Now()
	f.send(f.last)
}

// described takes the slave's answer and tells the next.
func (f *feed) described(d *wire.DatabaseDescription) {
	if d.Flags&wire.DDInit != 0 || d.Flags&wire.DDMaster != 0 || f.last == nil || d.Sequence != f.sequence {
		return
	}
	if !f.exchange {
		f.exchange, f.began = true, time.Now()
	}
	f.told += f.telling
	f.telling = 0
	if f.told == len(f.order) && f.last.Flags&(wire.DDMore|wire.DDInit) == 0 && d.Flags&wire.DDMore == 0 {
		f.sentAt = time.Time{}
		return
	}
	f.sequence++
	rest := f.order[f.told:]
	f.telling = min(len(rest), (feedRoom-8)/wire.LSAHeaderLen)
	var headers []wire.LSAHeader
	for _, k := range rest[:f.telling] {
		headers = append(headers, f.db[k].LSAHeader)
	}
	flags := wire.DDMaster
	if f.telling < len(rest) {
		flags |= wire.DDMore
	}
	f.describe(flags, headers)
}

// answer sends what is asked for, in as few packets as hold it.
func (f *feed) answer(r *wire.Request) {
	var lsas []wire.LSA
	size := 0
	for _, k := range r.Keys {
		l, ok := f.db[k]
		if !ok {
			continue
		}
		if size > 0 && size+len(l.Raw) > feedRoom-4 {
			f.send(&wire.Update{LSAs: lsas})
			lsas, size = nil, 0
		}
		lsas, size = append(lsas, l), size+len(l.Raw)
		f.answered++
	}
	if len(lsas) > 0 {
		f.send(&wire.Update{LSAs: lsas})
	}
	f.lastAsked = time.Now()
}

func (f *feed) acknowledge(u *wire.Update) {
	var headers []wire.LSAHeader
	for _, l := range u.LSAs {
		headers = append(headers, l.LSAHeader)
		if have, ok := f.db[l.LSAKey]; ok && bytes.Equal(have.Raw[2:], l.Raw[2:]) {
			delete(f.unacked, l.LSAKey) // sent back: an implied acknowledgment
		}
	}
	f.send(&wire.Ack{Headers: headers})
}

// again sends what was not answered in time.
func (f *feed) again() {
	if f.last != nil && !f.sentAt.IsZero() && time.Since(f.sentAt) > feedAgain {
		f.sentAt = time.Now()
		f.send(f.last)
	}
	for k, at := range f.unacked {
		if time.Since(at) > feedAgain {
			f.unacked[k] = time.Now()
			f.send(&wire.Update{LSAs: []wire.LSA{f.db[k]}})
		}
	}
}

// change floods another instance of what router k says, and returns when it left.
func (f *feed) change(k int, body *wire.RouterLSA) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.db[feedKey(k)]
	l, err := wire.Build(wire.V2, old.LSAKey, 1, old.Sequence+1, body)
	if err != nil {
		return time.Time{}, err
	}
	f.db[l.LSAKey] = l
	now := time.Now()
	f.unacked[l.LSAKey] = now
	f.send(&wire.Update{LSAs: []wire.LSA{l}})
	return now, nil
}

// loaded is when the exchange began, and when the last LSA was asked for; false while some have not been.
func (f *feed) loaded() (began, asked time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.began, f.lastAsked, f.answered >= len(f.order)
}
