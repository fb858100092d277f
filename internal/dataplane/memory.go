package dataplane

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/packet"
)

// Memory is the twin of the user plane for one router of the simulator: the same tables, fed with [Datagram]
// values, without a goroutine, a device or a socket. Everything it does happens before the call that caused it
// returns. The functions are set before it is used; none of them may call back into it.
type Memory struct {
	*Tables
	Now      func() time.Duration
	Post     func(event any)                  // an event of the contract, for the control plane
	Transmit func(*Datagram)                  // onto the underlay
	Deliver  func(tunnel string, d *Datagram) // out of the tunnel's device, to the kernel
	Device   func(t Tunnel, gone bool)        // the tunnel's device appeared, changed or went

	demux map[memoryKey]string // which tunnel has this local address and key
}

// memoryKey tells tunnels apart on what arrives: several may share an address.
type memoryKey struct {
	local netip.Addr
	key   Key
	encap Encapsulation
}

var _ Plane = (*Memory)(nil)

// NewMemory makes a plane without tunnels.
func NewMemory() *Memory {
	m := &Memory{Tables: NewTables(), demux: map[memoryKey]string{}}
	m.twin = true
	return m
}

// Do does one effect of the contract; it ignores others.
func (m *Memory) Do(effect any) {
	switch e := effect.(type) {
	case SetTunnel:
		m.setDevice(e.Tunnel)
		return
	case DeleteTunnel:
		m.deleteDevice(e.Name)
	case Send:
		m.send(e)
		return
	case SendIKE:
		m.sendIKE(e)
		return
	}
	if ev := m.Apply(effect); ev != nil {
		m.Post(ev)
	}
}

func (t Tunnel) memoryKey() memoryKey {
	if t.Protected {
		return memoryKey{t.Local, t.Key, ESP}
	}
	return memoryKey{t.Local, t.Key, t.Encapsulation}
}

func (m *Memory) setDevice(t Tunnel) {
	if name, taken := m.demux[t.memoryKey()]; taken && name != t.Name {
		m.Post(Failed{Tunnel: t.Name, Doing: "make the tunnel", Err: "its address and key are those of " + name, Down: true})
		return
	}
	if i := m.Interface(t.Name); i != nil {
		delete(m.demux, i.Config().memoryKey())
	}
	m.demux[t.memoryKey()] = t.Name
	m.Apply(SetTunnel{t})
	m.Device(t, false)
}

func (m *Memory) deleteDevice(name string) {
	if i := m.Interface(name); i != nil {
		delete(m.demux, i.Config().memoryKey())
		m.Device(*i.Config(), true)
	}
}

// Output takes what the kernel sends into a tunnel's device.
func (m *Memory) Output(tunnel string, d *Datagram) {
	i := m.Interface(tunnel)
	switch {
	case i == nil:
	case i.Floods(d.Destination):
		m.flood(i, d)
	default:
		m.forward(i, i.Lookup(d.Destination, FlowHash(d)), d)
	}
}

func (m *Memory) flood(i *Interface, d *Datagram) {
	peers := i.Multicast()
	if len(peers) == 0 {
		i.Drop(DropNoReplica)
	}
	for _, a := range peers {
		m.encapsulate(i, a, d)
	}
}

func (m *Memory) forward(i *Interface, w Way, d *Datagram) {
	w.Use()
	if w.Missed && m.MissDue(w.NextHop, m.Now()) {
		m.Post(Miss{w.Interface.Name, w.NextHop, d.Source, d.Destination})
	}
	switch {
	case w.Adjacency != nil:
		m.encapsulate(w.Interface, w.Adjacency, d)
	case w.NextHop.IsValid():
		i.Drop(DropNoAdjacency)
	default:
		i.Drop(DropNoRoute)
	}
}

// encapsulate sends d to an adjacency, or tells its source that it does not fit.
func (m *Memory) encapsulate(i *Interface, a *Adjacency, d *Datagram) {
	t := i.Config()
	if fit := m.fits(t, a.SA); fit > 0 && d.Largest() > fit && (d.DF || d.Destination.Is6()) {
		i.Drop(DropTooBig)
		m.tooBig(t, d, fit)
		return
	}
	g := GREPacket{Key: t.Key, Protocol: d.EtherType(), Inner: d}
	if why, ok := m.wrap(t, Origin{a.Endpoint, a.SA}, d.Class, d.Largest(), g); !ok {
		i.Drop(why)
		return
	}
	i.CountOut(1, d.Size)
	a.CountOut(1, d.Size)
}

// fits is how long an inner packet may be; 0 is as long as it likes.
func (m *Memory) fits(t *Tunnel, sa SA) int {
	s := m.Association(sa)
	if s == nil || s.PathMTU() == 0 || t.FragmentOuter {
		return t.MTU
	}
	path := max(s.PathMTU()-Overhead(*t), 1)
	if t.MTU == 0 {
		return path
	}
	return min(t.MTU, path)
}

func (m *Memory) tooBig(t *Tunnel, d *Datagram, fit int) {
	n := slices.IndexFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == d.Source.Is4() })
	if n < 0 || d.Destination.IsMulticast() {
		return
	}
	m.Deliver(t.Name, &Datagram{
		Source: t.Addresses[n].Addr(), Destination: d.Source, TTL: 64, Size: 2*HeaderLen(d.Source) + 16,
		Body: ICMPError{TooBig, fit, d},
	})
}

// wrap sends g to a peer, or says why not. It is the one way out, and nothing leaves a protected tunnel but by an SA.
func (m *Memory) wrap(t *Tunnel, to Origin, class uint8, size int, g GREPacket) (why Reason, ok bool) {
	switch {
	case t.Protected && to.SA == 0:
		return DropUnprotected, false
	case !t.Local.IsValid():
		return DropNoUnderlay, false
	case t.Protected:
		return m.protect(t, to.SA, class, size, g)
	}
	d := &Datagram{
		Source: t.Local, Destination: to.Endpoint.Addr(), TTL: t.TTL, Class: class, Size: size + Overhead(*t), Body: g,
	}
	if t.Encapsulation == GREUDP {
		d.Body = UDP{UDPPort, to.Endpoint.Port(), g}
	}
	m.Transmit(d)
	return 0, true
}

// control is the traffic class of what the control plane says: CS6, RFC 4594 section 3.1.
const control = 0xc0

func (m *Memory) send(e Send) {
	doing, i := "send to "+e.To.String(), m.Interface(e.Tunnel)
	if i == nil {
		m.Post(Failed{Tunnel: e.Tunnel, Doing: doing, Err: "there is no tunnel of this name"})
		return
	}
	t := i.Config()
	g := GREPacket{Key: t.Key, Protocol: e.Protocol, Payload: slices.Clone(e.Payload)}
	why, ok := m.wrap(t, Origin{e.To, e.SA}, control, len(g.Payload), g)
	if !ok {
		i.Drop(why)
	}
	if why == DropUnprotected { // an SA may be gone before its user hears of it, but to ask for none is a bug
		m.Post(Failed{Tunnel: e.Tunnel, Doing: doing, Err: "the tunnel is protected and there is no security association"})
	}
}

// Input takes what arrived from the underlay; false when nothing listens there.
func (m *Memory) Input(d *Datagram) bool {
	switch body := d.Body.(type) {
	case GREPacket:
		return m.clear(d, 0, GRE, body)
	case ESPPacket:
		return m.protects(d.Destination) && m.open(d, netip.AddrPortFrom(d.Source, 0), netip.AddrPortFrom(d.Destination, 0), body)
	case UDP:
		return m.datagram(d, body)
	}
	return false
}

func (m *Memory) datagram(d *Datagram, u UDP) bool {
	switch u.DestinationPort {
	case UDPPort:
		g, ok := u.Body.(GREPacket)
		return ok && m.clear(d, u.SourcePort, GREUDP, g)
	case IKEPort, NATPort:
		return m.protects(d.Destination) && m.protected(d, u)
	}
	return false
}

// clear takes GRE that nothing protects. Where there is a protected tunnel, raw GRE is heard to be counted.
func (m *Memory) clear(d *Datagram, port uint16, encap Encapsulation, g GREPacket) bool {
	i := m.tunnelAt(d.Destination, g.Key, encap)
	if i == nil && encap == GRE {
		i = m.tunnelAt(d.Destination, g.Key, ESP)
	}
	if i == nil {
		return encap == GRE && m.protects(d.Destination)
	}
	m.decapsulate(i, Origin{Endpoint: netip.AddrPortFrom(d.Source, port)}, d, g)
	return true
}

func (m *Memory) tunnelAt(local netip.Addr, key Key, encap Encapsulation) *Interface {
	return m.Interface(m.demux[memoryKey{local, key, encap}])
}

// decapsulate is the one way in, and a protected tunnel takes nothing but out of an SA.
func (m *Memory) decapsulate(i *Interface, from Origin, outer *Datagram, g GREPacket) {
	switch {
	case i.Config().Protected && from.SA == 0:
		i.Drop(DropUnprotected)
	case g.Inner == nil:
		m.Post(Received{Tunnel: i.Name, From: from.Endpoint, SA: from.SA, Protocol: g.Protocol, Payload: g.Payload})
	case !i.Genuine(from, g.Inner.Source):
		m.DropBy(i, from.SA, DropWrongPeer)
	default:
		m.data(i, from, outer.Class, g.Inner)
	}
}

// data takes a packet out of a tunnel. A congestion mark of the outer header goes over to the inner one, or costs the packet
// where that cannot have it, RFC 6040 section 4.2.
func (m *Memory) data(i *Interface, from Origin, outer uint8, d *Datagram) {
	class, ok := packet.InnerClass(d.Class, outer)
	if !ok {
		i.Drop(DropECNIllegal)
		return
	}
	i.CountIn(1, d.Size)
	if a := i.From(from, d.Destination.Is6()); a != nil {
		a.CountIn(1, d.Size)
		a.Seen(m.Now())
	}
	if class != d.Class {
		marked := *d
		marked.Class, d = class, &marked
	}
	m.inward(i, from, d)
}

// inward passes on what came out of a tunnel, and tells of it when it goes back into the cloud.
func (m *Memory) inward(i *Interface, from Origin, d *Datagram) {
	w, back := i.Transit(from, d.Destination, FlowHash(d))
	known := i.From(from, d.Destination.Is6()) != nil
	if back && known && i.Config().Redirect && m.TransitDue(d.Source, d.Destination, m.Now()) {
		m.Post(Transit{i.Name, from.Endpoint, from.SA, d.Head()})
	}
	if !back || d.TTL <= 1 || !mayPass(i, d) || !mayPass(w.Interface, d) {
		m.Deliver(i.Name, d)
		return
	}
	next := *d
	next.TTL--
	m.forward(w.Interface, w, &next)
}

// mayPass reports whether a tunnel lets d past the kernel, which drops what claims to come from ourselves.
func mayPass(i *Interface, d *Datagram) bool { return i.Config().FastPath && !i.Owns(d.Source) }

// Stats are the counters of every tunnel, by name.
func (m *Memory) Stats() []TunnelStats {
	var all []TunnelStats
	for _, i := range m.Interfaces() {
		all = append(all, i.Stats())
	}
	return all
}

// Peers are the counters of every adjacency of a tunnel, by next hop.
func (m *Memory) Peers(tunnel string) []PeerStats {
	if i := m.Interface(tunnel); i != nil {
		return i.Peers()
	}
	return nil
}

// Close has nothing to release.
func (m *Memory) Close() error { return nil }

// FlowHash is the same for all packets of a flow.
func FlowHash(d *Datagram) uint32 {
	h := hashAddr(d.Source)*31 + hashAddr(d.Destination)*17 + uint64(d.Protocol())
	if u, ok := d.Body.(UDP); ok {
		h += uint64(u.SourcePort)*0x9e3779b97f4a7c15 + uint64(u.DestinationPort)
	}
	return uint32(h ^ h>>32)
}
