package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/dataplane/user"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/query"
)

const (
	maxCaptures   = 4           // at once
	selectAgain   = time.Second // a peer moves, or its SA is another
	underlayName  = "underlay"  // the interface of outer packets, in a capture
	espIP         = 50          // RFC 4303 section 2
	rebuiltHeader = "what tunnels sent and received; IP and UDP headers are made anew, fragments are joined"
)

// Capture implements [query.Source].
func (r *Router) Capture(ctx context.Context, req capture.Request, w io.Writer) error {
	t := &tap{inner: req.Inner, outer: req.Outer, queue: capture.NewQueue()}
	choose := func() (selection, error) {
		return get(r, func(v View) chosen { s, err := v.selection(req.Peer); return chosen{s, err} }).parts()
	}
	s, err := choose()
	if err != nil {
		return err
	}
	t.chosen.Store(&s)
	if req.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Duration)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.taps.add(t); err != nil {
		return err
	}
	defer r.taps.remove(t)
	go follow(ctx, r.ended, cancel, func() {
		if s, err := choose(); err == nil { // a peer that is gone may come again where it was
			t.chosen.Store(&s)
		}
	})
	return t.queue.Stream(ctx, w, "spokeway", req.Count, func(name string) string {
		if name == underlayName {
			return rebuiltHeader
		}
		return ""
	})
}

// follow calls again from time to time until ctx ends, which it does with the router.
func follow(ctx context.Context, ended <-chan struct{}, cancel func(), again func()) {
	tick := time.NewTicker(selectAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			cancel()
			return
		case <-tick.C:
			again()
		}
	}
}

// chosen is the answer of the loop.
type chosen struct {
	selection
	err error
}

func (c chosen) parts() (selection, error) { return c.selection, c.err }

// selection is the peers of a capture: all, those of an underlay address, or those behind a protocol address.
type selection struct {
	all       bool
	addr      netip.Addr
	endpoints []netip.AddrPort
	sas       []dataplane.SA
}

// selection finds out what a capture is of.
func (v View) selection(peer string) (s selection, err error) {
	if peer == capture.Everybody {
		return selection{all: true}, nil
	}
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return s, fmt.Errorf("capture %s: want a protocol address, an underlay address, or %s: %w", peer, capture.Everybody, query.ErrNotFound)
	}
	addr = addr.Unmap()
	if known := v.behind(addr, &s); !known && !v.isUnderlay(addr) {
		return s, fmt.Errorf("capture %s: %w: no peer has this protocol or underlay address; see `spokeway show peers`", peer, query.ErrNotFound)
	}
	if len(s.endpoints) == 0 && !s.addr.IsValid() {
		s.addr = addr
	}
	return s, nil
}

// behind adds where a protocol address is. A peer that has no adjacency yet is known too, by its NBMA address if that is
// known.
func (v View) behind(addr netip.Addr, s *selection) (known bool) {
	for _, t := range v.Running.Tunnels {
		for _, p := range v.Plane.Peers(t.Name) {
			if p.NextHop == addr {
				s.endpoints, s.sas = append(s.endpoints, p.Endpoint), append(s.sas, p.SA)
			}
		}
	}
	for _, p := range v.Peers() {
		if p.Protocol == addr {
			known, s.addr = true, addressOf(p.NBMA)
		}
	}
	if len(s.endpoints) > 0 {
		s.addr = netip.Addr{}
	}
	return known || len(s.endpoints) > 0
}

// addressOf reads what a row says: an address, with a port perhaps.
func addressOf(nbma string) netip.Addr {
	if e, err := netip.ParseAddrPort(nbma); err == nil {
		return e.Addr()
	}
	a, _ := netip.ParseAddr(nbma)
	return a
}

func (v View) isUnderlay(addr netip.Addr) bool {
	at := addr.String()
	for _, p := range v.Peers() {
		if query.Matches(at, p.NBMA) {
			return true
		}
	}
	return slices.ContainsFunc(v.IKE(), func(r ike.IKERow) bool { return query.Matches(at, r.Remote) })
}

// has reports whether a packet is of the selection; sa is 0 where only the endpoint is known.
func (s *selection) has(remote netip.AddrPort, sa dataplane.SA) bool {
	switch {
	case s.all:
		return true
	case s.addr.IsValid():
		return remote.Addr().Unmap() == s.addr
	case sa != 0:
		return slices.Contains(s.sas, sa)
	}
	return slices.ContainsFunc(s.endpoints, func(e netip.AddrPort) bool {
		return e == remote || e.Addr() == remote.Addr() && isIKE(remote.Port())
	})
}

// isIKE is for the port that no adjacency names: IKE of the same peer.
func isIKE(port uint16) bool { return port == dataplane.IKEPort }

// tap has the packets of one capture. It is called on the way of every packet.
type tap struct {
	inner, outer bool
	chosen       atomic.Pointer[selection]
	queue        *capture.Queue
}

// Inner implements [user.Tap]. NHRP, which is no IP, has no link type in a capture of IP.
func (t *tap) Inner(dir user.Direction, tunnel string, peer dataplane.Origin, p []byte) {
	isIP := len(p) > 0 && (p[0]>>4 == 4 || p[0]>>4 == 6)
	if t.inner && isIP && t.chosen.Load().has(peer.Endpoint, peer.SA) {
		t.queue.Put(capture.Packet{Time: time.Now(), Interface: tunnel, Direction: direction(dir)}, nil, p)
	}
}

// Outer implements [user.Tap]. The headers before p, which the kernel makes and takes off, are made anew.
func (t *tap) Outer(dir user.Direction, local, remote netip.AddrPort, p []byte) {
	if !t.outer || !t.chosen.Load().has(remote, 0) {
		return
	}
	from, to := remote, local
	if dir == user.Out {
		from, to = local, remote
	}
	from, to = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if from.Addr().Is4() != to.Addr().Is4() {
		return
	}
	h := packet.Header{Source: from.Addr(), Destination: to.Addr(), TTL: 64, Protocol: carrier(p)}
	captured := capture.Packet{Time: time.Now(), Interface: underlayName, Direction: direction(dir)}
	if remote.Port() != 0 {
		t.queue.Put(captured, nil, packet.AppendUDP(nil, h, from.Port(), to.Port(), p))
		return
	}
	t.queue.Put(captured, packet.AppendIP(nil, h, len(p)), p)
}

// carrier is the IP protocol of what has no ports: GRE by its header, ESP otherwise. An SPI that looks like one, with flags
// and an EtherType of ours, is one of a few in 2^32.
func carrier(p []byte) uint8 {
	g, err := packet.ParseGRE(p)
	if err == nil && (g.Protocol == packet.EtherIPv4 || g.Protocol == packet.EtherIPv6 || g.Protocol == packet.EtherNHRP) {
		return packet.GREIP
	}
	return espIP
}

func direction(d user.Direction) capture.Direction {
	if d == user.In {
		return capture.In
	}
	return capture.Out
}

// taps lets several captures share the one that a plane has. Without a capture the plane has none.
type taps struct {
	set func(user.Tap)

	mu   sync.Mutex
	list several
}

func (t *taps) add(one *tap) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.list) == maxCaptures {
		return errors.New("capture: " + fmt.Sprint(maxCaptures) + " captures run already: end one first")
	}
	t.list = append(slices.Clone(t.list), one)
	t.set(t.list)
	return nil
}

func (t *taps) remove(one *tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(slices.Clone(t.list), func(o *tap) bool { return o == one })
	if len(t.list) == 0 {
		t.set(nil)
		return
	}
	t.set(t.list)
}

// several is a tap for all of them.
type several []*tap

// Inner implements [user.Tap].
func (s several) Inner(dir user.Direction, tunnel string, peer dataplane.Origin, p []byte) {
	for _, t := range s {
		t.Inner(dir, tunnel, peer, p)
	}
}

// Outer implements [user.Tap].
func (s several) Outer(dir user.Direction, local, remote netip.AddrPort, p []byte) {
	for _, t := range s {
		t.Outer(dir, local, remote, p)
	}
}
