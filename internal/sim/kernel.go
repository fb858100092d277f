package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// Interface is an interface of a node: a port of a network, or the device of a tunnel.
type Interface struct {
	Name  string
	index int
	node  *Node
	net   *Network // nil for a tunnel's device
	link  Link
	mtu   int
	addrs []netip.Prefix
	given []netip.Prefix // those of addrs that the router set
	down  bool
	cut   bool // nothing passes, and nobody is told
	nat   bool // what leaves here is translated to this interface's address
	busy  time.Duration
}

// state is the interface as the kernel tells of it.
func (i *Interface) state() core.Link {
	return core.Link{Name: i.Name, Index: i.index, Up: !i.down, MTU: i.mtu, Addresses: slices.Clone(i.addrs)}
}

// address is the interface's first address of the family of a.
func (i *Interface) address(a netip.Addr) netip.Addr {
	for _, p := range i.addrs {
		if p.Addr().Is4() == a.Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func (i *Interface) receive(d *dataplane.Datagram) {
	if !i.down {
		i.node.input(i, d)
	}
}

// setAddresses makes addrs the addresses of the interface.
func (i *Interface) setAddresses(addrs []netip.Prefix) {
	for _, p := range i.addrs {
		if !slices.Contains(addrs, p) {
			delete(i.node.local, p.Addr())
			i.disclaim(p.Addr())
		}
	}
	i.addrs = slices.Clone(addrs)
	for _, p := range addrs {
		i.node.local[p.Addr()] = i
		if i.net != nil {
			i.net.claim(i, p.Addr())
		}
	}
}

func (i *Interface) disclaim(a netip.Addr) {
	if i.net != nil {
		i.net.disclaim(i, a)
	}
}

// input is the way of a datagram that came in by an interface.
func (n *Node) input(in *Interface, d *dataplane.Datagram) {
	d = n.nat.inbound(in, d)
	switch {
	case n.router.heard(in, d), n.router.probed(in, d):
	case n.local[d.Destination] != nil:
		n.deliver(d)
	case d.Destination.IsMulticast():
		n.count("multicast")
	case n.forwarding:
		n.forward(in, d)
	default:
		n.count("not for us")
	}
}

func (n *Node) forward(in *Interface, d *dataplane.Datagram) {
	if d.TTL <= 1 {
		n.complain(in, d, dataplane.TimeExceeded, 0)
		return
	}
	next := *d
	next.TTL--
	n.route(in, &next)
}

// route sends d where the table says. in is nil for what the node itself sends.
func (n *Node) route(in *Interface, d *dataplane.Datagram) {
	hop, ok := n.fib.lookup(d)
	out := n.byName[hop.Interface]
	switch {
	case !ok:
		n.complain(in, d, dataplane.NetUnreachable, 0)
	case out == nil || out.down:
		n.complain(in, d, dataplane.HostUnreachable, 0)
	case d.Largest() > out.mtu && (d.DF || in != nil && d.Destination.Is6()):
		n.complain(in, d, dataplane.TooBig, out.mtu)
	default:
		n.transmit(in, out, hop, d)
	}
}

func (n *Node) transmit(in, out *Interface, hop rib.NextHop, d *dataplane.Datagram) {
	d, ok := n.nat.outbound(in, out, d)
	if !ok {
		n.count("nat: another host inside talks to this peer")
		return
	}
	if out.net == nil {
		n.tunnel(out, d)
		return
	}
	to := hop.Via
	if !to.IsValid() {
		to = d.Destination
	}
	if !out.net.send(out, to, d) {
		n.complain(in, d, dataplane.HostUnreachable, 0)
	}
}

// tunnel gives d to the router's data plane.
func (n *Node) tunnel(out *Interface, d *dataplane.Datagram) {
	if n.router != nil && !n.router.frozen {
		n.router.plane.Output(out.Name, d)
	}
}

// send is how the node itself sends; an unset source is that of the way out. It reports whether there is one.
func (n *Node) send(d *dataplane.Datagram) bool {
	if !d.Source.IsValid() {
		d.Source = n.sourceFor(d.Destination)
	}
	switch {
	case !d.Source.IsValid():
		return false
	case n.local[d.Destination] != nil:
		n.deliver(d)
	default:
		if mtu := n.pathMTU[d.Destination]; mtu > 0 && d.Size > mtu && !d.DF {
			d.Fragment = mtu
		}
		n.route(nil, d)
	}
	return true
}

// sourceFor is the address the node uses towards a; the zero Addr when there is no way.
func (n *Node) sourceFor(a netip.Addr) netip.Addr {
	if n.local[a] != nil {
		return a
	}
	hop, ok := n.fib.to(a)
	out := n.byName[hop.Interface]
	if !ok || out == nil {
		return netip.Addr{}
	}
	if s := out.address(a); s.IsValid() {
		return s
	}
	for _, i := range n.interfaces {
		if s := i.address(a); s.IsValid() {
			return s
		}
	}
	return netip.Addr{}
}

// complain tells the source of d what became of it; never about an ICMP error, RFC 1122 section 3.2.2.
func (n *Node) complain(in *Interface, d *dataplane.Datagram, kind dataplane.ICMPKind, mtu int) {
	n.count(kind.String())
	if n.world.watch != nil {
		n.world.watch.gaveUp(n, d, kind)
	}
	if _, is := d.Body.(dataplane.ICMPError); is || d.Destination.IsMulticast() {
		return
	}
	e := &dataplane.Datagram{
		Destination: d.Source, TTL: 64, Class: 0xc0, Size: 2*dataplane.HeaderLen(d.Source) + 16,
		Body: dataplane.ICMPError{Kind: kind, MTU: mtu, About: d},
	}
	if in != nil {
		e.Source = in.address(d.Source)
	}
	n.send(e)
}

// deliver gives the node what is addressed to it.
func (n *Node) deliver(d *dataplane.Datagram) {
	switch body := d.Body.(type) {
	case dataplane.Echo:
		n.echo(d, body)
	case dataplane.UDP:
		if e, ok := body.Body.(dataplane.Echo); ok {
			n.echo(d, e)
		} else if !n.toPlane(d) {
			n.complain(n.local[d.Destination], d, dataplane.PortUnreachable, 0)
		}
	case dataplane.ICMPError:
		n.problem(d, body)
	default:
		if !n.toPlane(d) {
			n.complain(n.local[d.Destination], d, refusal(d), 0)
		}
	}
}

func (n *Node) toPlane(d *dataplane.Datagram) bool {
	if n.router == nil {
		return false
	}
	return n.router.frozen || n.router.plane.Input(d)
}

func refusal(d *dataplane.Datagram) dataplane.ICMPKind {
	if _, udp := d.Body.(dataplane.UDP); udp {
		return dataplane.PortUnreachable
	}
	return dataplane.ProtocolUnreachable
}

func (n *Node) echo(d *dataplane.Datagram, e dataplane.Echo) {
	if e.Reply {
		n.answered(e, d, nil)
		return
	}
	reply := *d
	reply.Source, reply.Destination, reply.TTL = d.Destination, d.Source, 64
	e.Reply = true
	reply.Body = e
	if u, ok := d.Body.(dataplane.UDP); ok {
		reply.Body = dataplane.UDP{SourcePort: u.DestinationPort, DestinationPort: u.SourcePort, Body: e}
	}
	n.send(&reply)
}

func (n *Node) problem(d *dataplane.Datagram, p dataplane.ICMPError) {
	if p.Kind == dataplane.TooBig {
		n.pathMTU[p.About.Destination] = p.MTU
	}
	body := p.About.Body
	if u, ok := body.(dataplane.UDP); ok {
		body = u.Body
	}
	if e, ok := body.(dataplane.Echo); ok {
		n.answered(e, d, &p)
	}
}
