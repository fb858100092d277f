package dataplane

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Tables is what a plane forwards by: routes, adjacencies, fallbacks and the limits of what it reports. One
// goroutine at a time writes, through [Tables.Apply]; any number read, without a lock and without ever seeing
// half a change: what is reachable never changes, and a change swaps a pointer to a copy.
type Tables struct {
	Misses   *Limiter // of Miss, by next hop
	Transits *Limiter // of Transit, by flow
	Roams    *Limiter // of Roamed, by SA
	Strays   *Limiter // of UnknownSPI, by SPI and sender

	associations dense[Association] // by handle
	inbounds     dense[Inbound]     // by SPI
	twin         bool               // keys are remembered, and no ciphers made of them

	vrfs       atomic.Pointer[map[string]*VRF]
	interfaces atomic.Pointer[map[string]*Interface]
	generation atomic.Uint64
}

// How often a plane reports, at most. A first packet is reported at once; the totals keep a flood of new flows
// from filling the control plane's queue.
const (
	MissInterval    = time.Second
	TransitInterval = 2 * time.Second
	RoamInterval    = time.Second
	StrayInterval   = 2 * time.Second
	eventsPerSecond = 1000
	straysPerSecond = 1000 // anybody can send ESP, and each may cost an answer; but a hub that restarts has all its spokes to tell
)

// NewTables makes empty tables.
func NewTables() *Tables {
	t := &Tables{
		Misses:   NewLimiter(MissInterval, eventsPerSecond),
		Transits: NewLimiter(TransitInterval, eventsPerSecond),
		Roams:    NewLimiter(RoamInterval, eventsPerSecond),
		Strays:   NewLimiter(StrayInterval, straysPerSecond),
	}
	t.vrfs.Store(&map[string]*VRF{})
	t.interfaces.Store(&map[string]*Interface{})
	return t
}

// Generation changes with every change of the tables: what a reader remembers of a lookup is good while it stands.
func (t *Tables) Generation() uint64 { return t.generation.Load() }

// VRF is one table of routes.
type VRF struct {
	Name   string
	routes *routes
}

// Route is one prefix of the kernel's table.
type Route struct {
	Prefix netip.Prefix
	hops   []hop
	weight uint32 // sum over hops
	used   atomic.Bool
}

type hop struct {
	out    *Interface // nil: the kernel's business
	via    netip.Addr
	weight uint32
}

// Way is where a packet goes.
type Way struct {
	Interface *Interface // nil: not ours
	Adjacency *Adjacency // nil: nobody to send to
	NextHop   netip.Addr
	Missed    bool // NextHop has no adjacency; Adjacency, if there is one, is the fallback's

	route *Route
}

// Use notes that a packet takes the way, for [AskUsed].
func (w *Way) Use() {
	if w.route != nil && !w.route.used.Load() {
		w.route.used.Store(true)
	}
}

// Lookup finds the way of a packet to dst, whose flow hashes to hash, as the kernel's table has it.
func (v *VRF) Lookup(dst netip.Addr, hash uint32) Way {
	r, ok := v.routes.lookup(dst)
	if !ok || r.weight == 0 {
		return Way{}
	}
	h := r.pick(hash)
	if h.out == nil || h.out.config.Load() == nil {
		return Way{}
	}
	return h.out.toward(r, h.via, dst)
}

func (r *Route) pick(hash uint32) *hop {
	if len(r.hops) == 1 {
		return &r.hops[0]
	}
	n := uint32(uint64(hash) * uint64(r.weight) >> 32)
	for i := range r.hops {
		if n < r.hops[i].weight {
			return &r.hops[i]
		}
		n -= r.hops[i].weight
	}
	return &r.hops[0]
}

// VRF is the table of that name; nil when nothing named it yet.
func (t *Tables) VRF(name string) *VRF { return (*t.vrfs.Load())[name] }

// Interface is the tunnel of that name; nil when there is none.
func (t *Tables) Interface(name string) *Interface {
	i := (*t.interfaces.Load())[name]
	if i == nil || i.config.Load() == nil {
		return nil
	}
	return i
}

// Interfaces are the tunnels that exist, by name.
func (t *Tables) Interfaces() []*Interface {
	all := *t.interfaces.Load()
	var list []*Interface
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].config.Load() != nil {
			list = append(list, all[name])
		}
	}
	return list
}

// Lookup finds the way of a packet to dst by a VRF's routes.
func (t *Tables) Lookup(vrf string, dst netip.Addr, hash uint32) Way {
	v := t.VRF(vrf)
	if v == nil {
		return Way{}
	}
	return v.Lookup(dst, hash)
}

// MissDue reports whether a miss of this next hop is to be told now.
func (t *Tables) MissDue(nextHop netip.Addr, now time.Duration) bool {
	return t.Misses.Allow(hashAddr(nextHop), now)
}

// TransitDue reports whether a transit packet of this flow is to be told now.
func (t *Tables) TransitDue(src, dst netip.Addr, now time.Duration) bool {
	return t.Transits.Allow(hashAddr(src)*0x9e3779b97f4a7c15^hashAddr(dst), now)
}

// Apply does what an effect says to the tables. What comes of it is an event ([Used], [Failed]) or nil. Effects
// that are no matter of the tables, [Send] among them, are ignored.
func (t *Tables) Apply(effect any) (event any) {
	defer t.generation.Add(1)
	switch e := effect.(type) {
	case SetTunnel:
		t.setTunnel(e.Tunnel)
	case DeleteTunnel:
		t.deleteTunnel(e.Name)
	case SetAdjacency:
		return t.on(e.Tunnel, "set adjacency "+e.NextHop.String(), func(i *Interface) { i.setAdjacency(e) })
	case DeleteAdjacency:
		return t.on(e.Tunnel, "", func(i *Interface) { i.deleteAdjacency(e.NextHop) })
	case SetFallback:
		return t.on(e.Tunnel, "set fallback "+e.NextHop.String(), func(i *Interface) { i.setFallback(e) })
	case SetMembers:
		return t.on(e.Tunnel, "", func(i *Interface) { i.members.Store(e.Only) })
	case SetRoute:
		t.setRoute(e)
	case DeleteRoute:
		t.deleteRoute(e.VRF, e.Prefix)
	case Expect:
		t.route(e.Prefix, e.NextHops).expect()
	case Forget:
		t.forget(e.Prefix)
	case ClearStats:
		for _, i := range t.Interfaces() {
			i.resetStats()
		}
		t.resetSAs()
	case AskUsed:
		return Used{VRF: e.VRF, Prefix: e.Prefix, Tunnel: e.Tunnel, NextHop: e.NextHop, Used: t.asked(e)}
	default:
		return t.applySA(effect)
	}
	return nil
}

// on runs f on a tunnel that exists. Without one the event is a failure, unless doing is "": what is to be gone is gone.
func (t *Tables) on(tunnel, doing string, f func(*Interface)) any {
	if i := t.Interface(tunnel); i != nil {
		f(i)
		return nil
	}
	if doing == "" {
		return nil
	}
	return Failed{Tunnel: tunnel, Doing: doing, Err: "there is no tunnel of this name"}
}

func (t *Tables) setTunnel(config Tunnel) {
	config.Addresses = slices.Clone(config.Addresses)
	i := t.interfaceFor(config.Name)
	i.vrf.Store(t.vrfFor(config.VRF))
	i.broadcasts.Store(broadcasts(config.Addresses))
	i.config.Store(&config)
}

// deleteTunnel leaves the Interface in the map, as routes may still point at it: without a config it forwards nothing.
func (t *Tables) deleteTunnel(name string) {
	if i := t.Interface(name); i != nil {
		i.config.Store(nil)
		i.clear()
	}
}

func (t *Tables) interfaceFor(name string) *Interface {
	old := *t.interfaces.Load()
	if i := old[name]; i != nil {
		return i
	}
	i := &Interface{Name: name, routes: newRoutes(), passing: newRoutes()}
	i.clear()
	add(&t.interfaces, name, i)
	return i
}

func (t *Tables) vrfFor(name string) *VRF {
	if v := t.VRF(name); v != nil {
		return v
	}
	v := &VRF{Name: name, routes: newRoutes()}
	add(&t.vrfs, name, v)
	return v
}

func add[V any](p *atomic.Pointer[map[string]V], name string, v V) {
	m := maps.Clone(*p.Load())
	m[name] = v
	p.Store(&m)
}

func (t *Tables) setRoute(e SetRoute) {
	v, r := t.vrfFor(e.VRF), t.route(e.Prefix, e.NextHops)
	old := v.routes.get(r.Prefix)
	if old != nil {
		r.used.Store(old.used.Load())
	}
	v.routes.set(r)
	old.leave(r)
	r.enter()
}

func (t *Tables) route(p netip.Prefix, to []NextHop) *Route {
	r := &Route{Prefix: p.Masked()}
	for _, n := range to {
		h := hop{via: plain(n.Via), weight: max(uint32(n.Weight), 1)}
		if n.Tunnel != "" {
			h.out = t.interfaceFor(n.Tunnel)
		}
		r.hops = append(r.hops, h)
		r.weight += h.weight
	}
	return r
}

func (t *Tables) deleteRoute(vrf string, p netip.Prefix) {
	v, p := t.VRF(vrf), p.Masked()
	if v == nil {
		return
	}
	if old := v.routes.get(p); old != nil {
		v.routes.remove(p)
		old.leave(nil)
	}
}

// enter puts the route into the table of every tunnel it leaves by.
func (r *Route) enter() {
	for _, h := range r.hops {
		if h.out != nil {
			h.out.routes.set(r)
		}
	}
}

// expect has the tunnels of the route take packets for which they have no other.
func (r *Route) expect() {
	for _, h := range r.hops {
		if h.out != nil {
			h.out.passing.set(r)
		}
	}
}

func (t *Tables) forget(p netip.Prefix) {
	p = p.Masked()
	for _, i := range *t.interfaces.Load() {
		if i.passing.get(p) != nil {
			i.passing.remove(p)
		}
	}
}

// leave takes the route out of the tables of the tunnels that next does not leave by. They go on to take what the kernel has
// sent already.
func (r *Route) leave(next *Route) {
	if r == nil {
		return
	}
	for _, h := range r.hops {
		if h.out != nil && (next == nil || !next.leavesBy(h.out)) {
			h.out.routes.remove(r.Prefix)
			h.out.passing.set(r)
		}
	}
}

func (r *Route) leavesBy(i *Interface) bool {
	return slices.ContainsFunc(r.hops, func(h hop) bool { return h.out == i })
}

func (t *Tables) asked(e AskUsed) bool {
	if !e.NextHop.IsValid() {
		return t.used(e.VRF, e.Prefix)
	}
	i := t.Interface(e.Tunnel)
	if i == nil {
		return false
	}
	a := i.Adjacency(plain(e.NextHop))
	return a != nil && a.usedSince()
}

func (t *Tables) used(vrf string, p netip.Prefix) bool {
	v := t.VRF(vrf)
	if v == nil {
		return false
	}
	r := v.routes.get(p.Masked())
	return r != nil && r.used.Swap(false)
}

// plain is the form of an address that the tables are keyed by.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
