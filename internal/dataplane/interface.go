package dataplane

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Interface is one tunnel in the tables.
type Interface struct {
	Name string
	Traffic
	Drops

	config      atomic.Pointer[Tunnel]
	vrf         atomic.Pointer[VRF]
	broadcasts  atomic.Pointer[[]netip.Addr]
	routes      *routes              // those that leave by this tunnel
	passing     *routes              // those that will, or did; [Expect]
	adjacencies shards[*Adjacency]   // by next hop
	endpoints   shards[[]*Adjacency] // by address of the endpoint; told apart by port
	protected   dense[[]*Adjacency]  // by SA; told apart by the whole of it
	changes     atomic.Uint64        // of adjacencies
	multicast   atomic.Pointer[replicas]
	members     atomic.Bool                   // who has no adjacency may send nothing
	fallback    [2]atomic.Pointer[netip.Addr] // IPv4, IPv6
}

// Adjacency is a protocol next hop and where it is. But for Peer its fields never change: a new endpoint is a new
// Adjacency with the old one's counters.
type Adjacency struct {
	NextHop   netip.Addr
	Endpoint  Endpoint
	SA        SA
	Multicast bool
	Forwards  bool
	Bound     bool
	*Peer
}

// Peer is what a plane knows of the far end of an adjacency.
type Peer struct {
	Traffic
	lastIn  atomic.Int64
	pathMTU atomic.Uint32
	mtuAt   atomic.Int64
	asked   uint64 // packets out at the last AskUsed; the writer's own
}

// usedSince reports whether packets went to the peer since it was last called. One goroutine may call it.
func (p *Peer) usedSince() bool {
	n := p.packetsOut.Load()
	used := n != p.asked
	p.asked = n
	return used
}

// pathMTULife is how long a learned path MTU holds; then a larger packet tries again. RFC 1191 section 6.3.
const pathMTULife = 10 * time.Minute

// Seen notes that the peer sent something.
func (p *Peer) Seen(now time.Duration) { p.lastIn.Store(int64(now)) }

// LastIn is when the peer last sent something; 0 is never.
func (p *Peer) LastIn() time.Duration { return time.Duration(p.lastIn.Load()) }

// LearnPathMTU notes what fits on the way to the peer, outer header included.
func (p *Peer) LearnPathMTU(mtu int, now time.Duration) {
	p.mtuAt.Store(int64(now))
	p.pathMTU.Store(uint32(mtu))
}

// PathMTU is what LearnPathMTU noted, while it holds, else 0.
func (p *Peer) PathMTU(now time.Duration) int {
	mtu := p.pathMTU.Load()
	if mtu == 0 || int64(now)-p.mtuAt.Load() > int64(pathMTULife) {
		return 0
	}
	return int(mtu)
}

// HasPathMTU reports whether LearnPathMTU noted anything: the quick question before PathMTU.
func (p *Peer) HasPathMTU() bool { return p.pathMTU.Load() != 0 }

// Config is what [SetTunnel] said last; nil when the tunnel was deleted. It is not to be changed.
func (i *Interface) Config() *Tunnel { return i.config.Load() }

// VRF is the table of routes that packets out of the tunnel follow.
func (i *Interface) VRF() *VRF { return i.vrf.Load() }

// Lookup finds the way of a packet that the kernel sent into this tunnel, so only routes that leave by it count:
// the kernel may have chosen among several tunnels, or followed a policy that the tables do not know.
func (i *Interface) Lookup(dst netip.Addr, hash uint32) Way {
	r, ok := i.routes.lookup(dst)
	if !ok {
		if i.onLink(dst) {
			return i.toward(nil, netip.Addr{}, dst)
		}
		if w, ok := i.passed(dst, hash); ok {
			return w
		}
		return Way{Interface: i, Adjacency: i.Fallback(dst.Is6())}
	}
	h := r.pick(hash)
	if h.out != i {
		h = r.firstBy(i, hash)
	}
	return i.toward(r, h.via, dst)
}

// passed is the way of a packet that the kernel sent by a route of which the tables do not know yet, or not any more.
func (i *Interface) passed(dst netip.Addr, hash uint32) (w Way, ok bool) {
	r, ok := i.passing.lookup(dst)
	if !ok {
		return Way{}, false
	}
	w = i.toward(nil, r.firstBy(i, hash).via, dst)
	return w, !w.Missed
}

// firstBy picks among the hops by i, from a position the flow chooses.
func (r *Route) firstBy(i *Interface, hash uint32) *hop {
	for k := range r.hops {
		h := &r.hops[(int(hash>>1)+k)%len(r.hops)]
		if h.out == i {
			return h
		}
	}
	return &r.hops[0]
}

func (i *Interface) toward(r *Route, via, dst netip.Addr) Way {
	w := Way{Interface: i, NextHop: via, route: r}
	if !via.IsValid() {
		w.NextHop = dst
	}
	w.Adjacency = i.Adjacency(w.NextHop)
	if w.Adjacency == nil {
		w.Missed = true
		w.Adjacency = i.Fallback(w.NextHop.Is6())
	}
	return w
}

// Adjacency is the one of a next hop, nil when there is none.
func (i *Interface) Adjacency(nextHop netip.Addr) *Adjacency {
	return i.adjacencies.get(nextHop)
}

// Adjacencies are all of them, by next hop.
func (i *Interface) Adjacencies() []*Adjacency {
	list := i.adjacencies.all()
	slices.SortFunc(list, func(a, b *Adjacency) int { return a.NextHop.Compare(b.NextHop) })
	return list
}

// Fallback is the adjacency that takes what has none of its own, nil when there is none.
func (i *Interface) Fallback(ipv6 bool) *Adjacency {
	nextHop := i.fallback[familyOf(ipv6)].Load()
	if nextHop == nil {
		return nil
	}
	return i.Adjacency(*nextHop)
}

// From is the adjacency of the peer that sent a packet of the given family; nil when none is there. A peer may
// have one of each family.
func (i *Interface) From(o Origin, ipv6 bool) *Adjacency {
	var found *Adjacency
	for _, a := range i.at(o) {
		if !a.is(o) {
			continue
		}
		if a.NextHop.Is6() == ipv6 {
			return a
		}
		found = a
	}
	return found
}

// Genuine reports whether a packet that came from the origin may have that source: it is not the address of a router that
// we reach by another SA and that sends to us itself. In clear nobody proves anything.
func (i *Interface) Genuine(from Origin, source netip.Addr) bool {
	if from.SA == 0 {
		return true
	}
	known := false
	for _, a := range i.at(from) {
		if a.is(from) && a.Forwards {
			return true
		}
		known = known || a.is(from)
	}
	if !known && i.members.Load() {
		return false
	}
	owner := i.Adjacency(source)
	return owner == nil || !owner.Bound || owner.SA == from.SA
}

// at are the adjacencies that may be those of an origin.
func (i *Interface) at(o Origin) []*Adjacency {
	if o.SA == 0 {
		return i.endpoints.get(o.Endpoint.Addr())
	}
	if list := i.protected.get(uint32(o.SA)); list != nil {
		return *list
	}
	return nil
}

// is reports whether the adjacency's peer is the origin.
func (a *Adjacency) is(o Origin) bool {
	if o.SA != 0 {
		return a.SA == o.SA
	}
	return a.Endpoint == o.Endpoint
}

// Floods reports whether dst is for everybody: multicast, or a broadcast address of the tunnel.
func (i *Interface) Floods(dst netip.Addr) bool {
	return dst.IsMulticast() || dst.Is4() && slices.Contains(*i.broadcasts.Load(), dst)
}

// replicas is who gets multicast, until the adjacencies change.
type replicas struct {
	change uint64
	list   []*Adjacency
}

// Multicast are the adjacencies that the tunnel's multicast goes to, every peer once: one with a next hop of each
// family gets one copy. The list is made by the first reader after a change, as thousands of peers may
// register with no multicast in between. It is not to be changed.
func (i *Interface) Multicast() []*Adjacency {
	change := i.changes.Load()
	if r := i.multicast.Load(); r != nil && r.change == change {
		return r.list
	}
	r := &replicas{change: change}
	seen := map[Origin]bool{}
	for _, a := range i.Adjacencies() {
		if who := (Origin{a.Endpoint, a.SA}).peer(); a.Multicast && !seen[who] {
			seen[who] = true
			r.list = append(r.list, a)
		}
	}
	i.multicast.Store(r)
	return r.list
}

// Transit reports whether a packet for dst that came from that peer goes back into the cloud it came out of, to
// another, and which way.
func (i *Interface) Transit(from Origin, dst netip.Addr, hash uint32) (Way, bool) {
	config, vrf := i.config.Load(), i.vrf.Load()
	if config == nil || i.Floods(dst) || i.Owns(dst) {
		return Way{}, false
	}
	w := vrf.Lookup(dst, hash)
	if w.Interface == nil || w.Adjacency == nil || w.Interface.Owns(dst) {
		return Way{}, false
	}
	out := w.Interface.config.Load()
	if out == nil || out.Cloud != config.Cloud || w.Adjacency.is(from) {
		return Way{}, false
	}
	return w, true
}

// Owns reports whether a is an address of the tunnel itself.
func (i *Interface) Owns(a netip.Addr) bool {
	config := i.config.Load()
	return config != nil && slices.ContainsFunc(config.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
}

func (i *Interface) onLink(a netip.Addr) bool {
	config := i.config.Load()
	return config != nil && slices.ContainsFunc(config.Addresses, func(p netip.Prefix) bool { return p.Contains(a) })
}

// clear makes the tunnel as if new. Routes stay: they are the kernel's.
func (i *Interface) clear() {
	i.adjacencies.clear()
	i.endpoints.clear()
	i.protected.clear()
	i.changes.Add(1)
	i.broadcasts.Store(new([]netip.Addr))
	i.members.Store(false)
	i.fallback[0].Store(nil)
	i.fallback[1].Store(nil)
	i.resetStats()
}

// resetStats sets the counters of the tunnel and its peers to zero.
func (i *Interface) resetStats() {
	i.Traffic.reset()
	i.Drops.reset()
	for _, a := range i.Adjacencies() {
		a.Traffic.reset()
	}
}

func (i *Interface) setFallback(e SetFallback) {
	slot := &i.fallback[familyOf(e.IPv6)]
	if !e.NextHop.IsValid() {
		slot.Store(nil)
		return
	}
	nextHop := plain(e.NextHop)
	slot.Store(&nextHop)
}

func (i *Interface) setAdjacency(e SetAdjacency) {
	a := &Adjacency{
		NextHop: plain(e.NextHop), SA: e.SA, Multicast: e.Multicast, Forwards: e.Forwards, Bound: e.Bound, Peer: &Peer{},
	}
	a.Endpoint = netip.AddrPortFrom(plain(e.Endpoint.Addr()), e.Endpoint.Port())
	old := i.Adjacency(a.NextHop)
	if old != nil {
		a.Peer = old.Peer
		if old.Endpoint != a.Endpoint || old.SA != a.SA {
			a.LearnPathMTU(0, 0)
		}
	}
	i.adjacencies.set(a.NextHop, a)
	i.relist(old, a)
}

func (i *Interface) deleteAdjacency(nextHop netip.Addr) {
	old := i.Adjacency(plain(nextHop))
	if old == nil {
		return
	}
	i.adjacencies.remove(old.NextHop)
	i.relist(old, nil)
}

// relist replaces old by a, either of which may be nil, in the lists by endpoint and by SA.
func (i *Interface) relist(old, a *Adjacency) {
	i.relistSA(old, a)
	if old != nil && (a == nil || old.Endpoint.Addr() != a.Endpoint.Addr()) {
		i.listAt(old.Endpoint.Addr(), old, nil)
	}
	if a != nil {
		i.listAt(a.Endpoint.Addr(), old, a)
	}
	i.changes.Add(1)
}

func (i *Interface) relistSA(old, a *Adjacency) {
	if old != nil && old.SA != 0 && (a == nil || old.SA != a.SA) {
		i.listBy(old.SA, old, nil)
	}
	if a != nil && a.SA != 0 {
		i.listBy(a.SA, old, a)
	}
}

func (i *Interface) listBy(sa SA, old, a *Adjacency) {
	list := replaced(i.at(Origin{SA: sa}), old, a)
	if len(list) == 0 {
		i.protected.remove(uint32(sa))
		return
	}
	i.protected.set(uint32(sa), &list)
}

func (i *Interface) listAt(at netip.Addr, old, a *Adjacency) {
	if !at.IsValid() {
		return
	}
	list := replaced(i.endpoints.get(at), old, a)
	if len(list) == 0 {
		i.endpoints.remove(at)
		return
	}
	i.endpoints.set(at, list)
}

// replaced is a copy of list in order of next hop, without old and with a, where they are not nil.
func replaced(list []*Adjacency, old, a *Adjacency) []*Adjacency {
	list = slices.DeleteFunc(slices.Clone(list), func(x *Adjacency) bool { return x == old })
	if a == nil {
		return list
	}
	n, _ := slices.BinarySearchFunc(list, a, func(x, y *Adjacency) int { return x.NextHop.Compare(y.NextHop) })
	return slices.Insert(list, n, a)
}

// broadcasts are the addresses that mean all of an IPv4 link.
func broadcasts(prefixes []netip.Prefix) *[]netip.Addr {
	list := []netip.Addr{netip.AddrFrom4([4]byte{255, 255, 255, 255})}
	for _, p := range prefixes {
		if p.Addr().Is4() && p.Bits() < 31 { // RFC 3021: a /31 has none
			list = append(list, last(p))
		}
	}
	return &list
}

func last(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for n := p.Bits(); n < 32; n++ {
		a[n/8] |= 0x80 >> (n % 8)
	}
	return netip.AddrFrom4(a)
}

func familyOf(ipv6 bool) int {
	if ipv6 {
		return 1
	}
	return 0
}
