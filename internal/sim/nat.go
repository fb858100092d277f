package sim

import (
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// natIdle is how long a mapping lives without traffic: that of Linux for assured UDP and generic protocols is of
// this order.
const natIdle = 180 * time.Second

// nat translates what leaves a node by an interface with nat set to that interface's address.
//
// UDP and echoes are told apart by port and identifier. Plain GRE and plain ESP have nothing of that kind: the address of the
// peer is all there is, so of the hosts inside only one can talk to a given peer, the first, until it falls idle.
type nat struct {
	node *Node
	out  map[natInside]*mapping
	in   map[natOutside]*mapping
	next uint16
}

type natInside struct {
	protocol uint8
	inside   netip.AddrPort
	peer     netip.Addr
}

type natOutside struct {
	protocol uint8
	port     uint16
	peer     netip.Addr
}

type mapping struct {
	inside netip.AddrPort
	port   uint16
	used   time.Duration
}

func newNAT(n *Node) *nat {
	return &nat{node: n, out: map[natInside]*mapping{}, in: map[natOutside]*mapping{}, next: 40000}
}

// outbound translates the source of what is forwarded out of a translating interface.
func (t *nat) outbound(in, out *Interface, d *dataplane.Datagram) (*dataplane.Datagram, bool) {
	if t == nil || !out.nat || in == nil || in == out {
		return d, true
	}
	port, ok := portOf(d, true)
	if !ok {
		return d, true
	}
	m := t.mapping(natInside{d.Protocol(), netip.AddrPortFrom(d.Source, port), d.Destination})
	if m == nil {
		return nil, false
	}
	return withSource(d, out.address(d.Source), m.port), true
}

func (t *nat) mapping(k natInside) *mapping {
	now := t.node.world.clock.now
	if m := t.out[k]; m != nil && now-m.used < natIdle {
		m.used = now
		return m
	}
	outside := natOutside{k.protocol, t.port(k), k.peer}
	if held := t.in[outside]; held != nil && held.inside != k.inside && now-held.used < natIdle {
		return nil
	}
	m := &mapping{inside: k.inside, port: outside.port, used: now}
	t.out[k], t.in[outside] = m, m
	return m
}

// port is the outside port of a mapping: that of another mapping of the same inside port where there is one
// (RFC 4787 REQ-1), 0 for a protocol without ports.
func (t *nat) port(k natInside) uint16 {
	if k.protocol == 47 || k.protocol == 50 {
		return 0
	}
	shared := natInside{k.protocol, k.inside, netip.Addr{}}
	if m := t.out[shared]; m != nil {
		m.used = t.node.world.clock.now
		return m.port
	}
	t.next++
	t.out[shared] = &mapping{inside: k.inside, port: t.next}
	return t.next
}

// inbound translates the destination of what answers a mapping. What is for the translating address and answers
// none is passed on unchanged: it may be for the node itself.
func (t *nat) inbound(in *Interface, d *dataplane.Datagram) *dataplane.Datagram {
	if t == nil || !in.nat || t.node.local[d.Destination] != in {
		return d
	}
	if e, is := d.Body.(dataplane.ICMPError); is {
		return t.inboundError(d, e)
	}
	port, ok := portOf(d, false)
	m := t.in[natOutside{d.Protocol(), port, d.Source}]
	if !ok || m == nil || t.node.world.clock.now-m.used >= natIdle {
		return d
	}
	m.used = t.node.world.clock.now
	return withDestination(d, m.inside)
}

func (t *nat) inboundError(d *dataplane.Datagram, e dataplane.ICMPError) *dataplane.Datagram {
	port, ok := portOf(e.About, true)
	m := t.in[natOutside{e.About.Protocol(), port, e.About.Destination}]
	if !ok || m == nil {
		return d
	}
	about := withSource(e.About, m.inside.Addr(), m.inside.Port())
	c := *d
	c.Destination, c.Body = m.inside.Addr(), dataplane.ICMPError{Kind: e.Kind, MTU: e.MTU, About: about}
	return &c
}

// portOf is what tells the flows of d's protocol apart at its source or its destination.
func portOf(d *dataplane.Datagram, source bool) (uint16, bool) {
	switch b := d.Body.(type) {
	case dataplane.UDP:
		if source {
			return b.SourcePort, true
		}
		return b.DestinationPort, true
	case dataplane.Echo:
		return b.ID, true
	case dataplane.GREPacket, dataplane.ESPPacket:
		return 0, true
	}
	return 0, false
}

func withSource(d *dataplane.Datagram, a netip.Addr, port uint16) *dataplane.Datagram {
	c := *d
	c.Source = a
	switch b := d.Body.(type) {
	case dataplane.UDP:
		b.SourcePort = port
		c.Body = b
	case dataplane.Echo:
		b.ID = port
		c.Body = b
	}
	return &c
}

func withDestination(d *dataplane.Datagram, to netip.AddrPort) *dataplane.Datagram {
	c := *d
	c.Destination = to.Addr()
	switch b := d.Body.(type) {
	case dataplane.UDP:
		b.DestinationPort = to.Port()
		c.Body = b
	case dataplane.Echo:
		b.ID = to.Port()
		c.Body = b
	}
	return &c
}
