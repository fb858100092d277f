package spf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// A world is a network as a person would draw it: routers, the links and LANs between them, the prefixes they have and
// tell of. It makes the LSAs of either version from this; brute_test.go reckons the routes from it without them.
type world struct {
	v       wire.Version
	areas   []*wArea
	foreign []wExternal // of AS scope
	border  bool
	rfc1583 bool
	paths   int
}

type wArea struct {
	id         wire.AreaID
	stub, nssa bool
	noSummary  bool
	routers    []*wRouter
	links      []wLink
	lans       []wLAN
	prefixes   []wPrefix
	summaries  []wSummary
	asbrs      []wSummary // of routers elsewhere
	foreign    []wExternal
	ranges     []netip.Prefix
}

type wRouter struct {
	id    wire.RouterID
	flags uint8
	leaf  bool // version 3: the R-bit is clear
}

// A wLink joins a and b, each with the number of its interface. Half says that b does not list it.
type wLink struct {
	a, b       wire.RouterID
	ca, cb     uint16
	ia, ib     uint32
	half, dead bool // dead: the root has no neighbour on it
}

type wLAN struct {
	net     int
	members []wMember // the first is the designated router
}

type wMember struct {
	router wire.RouterID
	cost   uint16
	iface  uint32
	absent bool // the network-LSA does not list it
	lost   bool // the root had it as a neighbour
}

type wPrefix struct {
	router wire.RouterID
	prefix netip.Prefix
	metric uint16
}

type wSummary struct {
	by     wire.RouterID
	prefix netip.Prefix
	router wire.RouterID // of asbrs
	metric uint32
}

type wExternal struct {
	by        wire.RouterID
	prefix    netip.Prefix
	metric    uint32
	type2     bool
	forward   netip.Addr
	propagate bool
	id        uint32
}

const root wire.RouterID = 1

// number makes an address or prefix in the family of the routes.
func (w *world) addr(a, b, c uint8) netip.Addr {
	if w.v.IPv4() {
		return netip.AddrFrom4([4]byte{10, a, b, c})
	}
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 3: a, 5: b, 15: c})
}

func (w *world) prefix(a, b uint8) netip.Prefix {
	if w.v.IPv4() {
		return netip.PrefixFrom(w.addr(a, b, 0), 24)
	}
	return netip.PrefixFrom(w.addr(a, b, 0), 64)
}

// big is one of many prefixes.
func (w *world) big(n int) netip.Prefix {
	if w.v.IPv4() {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x30, 5: byte(n >> 16), 6: byte(n >> 8), 7: byte(n)}), 64)
}

// at is the address of an interface that others send to: derived from its number, which is unique in a world.
func (w *world) at(iface uint32) netip.Addr {
	if w.v.IPv4() {
		return netip.AddrFrom4([4]byte{172, 16 + byte(iface>>16), byte(iface >> 8), byte(iface)})
	}
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 13: byte(iface >> 16), 14: byte(iface >> 8), 15: byte(iface)})
}

func (w *world) name(iface uint32) string { return fmt.Sprint("eth", iface) }

func (w *world) input() *Input {
	in := &Input{Version: w.v, Router: root, Border: w.border, RFC1583: w.rfc1583, MaxPaths: w.paths}
	for _, x := range w.foreign {
		in.Externals = append(in.Externals, w.external(x, wire.FunctionExternal))
	}
	for _, a := range w.areas {
		in.Areas = append(in.Areas, w.area(a))
	}
	return in
}

func (w *world) lsa(f wire.Function, id uint32, by wire.RouterID, body wire.LSABody) *LSA {
	return &LSA{wire.LSAHeader{LSAKey: wire.LSAKey{Type: f.Type(w.v), ID: id, Router: by}}, body}
}

func (w *world) external(x wExternal, f wire.Function) *LSA {
	return w.lsa(f, x.id, x.by, &wire.External{Prefix: x.prefix, Metric: x.metric, Type2: x.type2, Forward: x.forward, Propagate: x.propagate})
}

func (w *world) area(a *wArea) Area {
	out := Area{ID: a.id, Stub: a.stub, NSSA: a.nssa, NoSummary: a.noSummary, Ranges: a.ranges}
	for _, r := range a.routers {
		out.Routers = append(out.Routers, w.routerLSA(a, r))
	}
	for _, l := range a.lans {
		out.Networks = append(out.Networks, w.networkLSA(l))
	}
	for i, s := range a.summaries {
		out.Summaries = append(out.Summaries, w.lsa(wire.FunctionSummary, uint32(i), s.by, &wire.Summary{Prefix: s.prefix, Metric: s.metric}))
	}
	for i, s := range a.asbrs {
		out.Summaries = append(out.Summaries, w.lsa(wire.FunctionSummaryRouter, uint32(i), s.by, &wire.SummaryRouter{Router: s.router, Metric: s.metric}))
	}
	for _, x := range a.foreign {
		out.NSSAs = append(out.NSSAs, w.external(x, wire.FunctionNSSA))
	}
	if w.v != wire.V2 {
		out.Prefixes = w.prefixLSAs(a)
	}
	out.Interfaces = w.interfaces(a)
	return out
}

func (w *world) routerLSA(a *wArea, r *wRouter) *LSA {
	b := &wire.RouterLSA{Flags: r.flags, Options: wire.OptV6 | wire.OptE}
	if !r.leaf {
		b.Options |= wire.OptR
	}
	for _, l := range a.links {
		switch {
		case l.a == r.id:
			b.Links = append(b.Links, w.link(l.b, l.ca, l.ia, l.ib))
		case l.b == r.id && !l.half:
			b.Links = append(b.Links, w.link(l.a, l.cb, l.ib, l.ia))
		}
	}
	for _, n := range a.lans {
		for _, m := range n.members {
			if m.router == r.id {
				b.Links = append(b.Links, w.transit(n, m))
			}
		}
	}
	if w.v == wire.V2 {
		for _, p := range a.prefixes {
			if p.router == r.id {
				b.Links = append(b.Links, wire.Link{Kind: wire.LinkStub, ID: wire.Uint4(p.prefix.Addr()), Data: wire.Mask(p.prefix.Bits()), Metric: p.metric})
			}
		}
	}
	return w.lsa(wire.FunctionRouter, w.routerLSAID(r.id), r.id, b)
}

func (w *world) routerLSAID(id wire.RouterID) uint32 {
	if w.v == wire.V2 {
		return uint32(id)
	}
	return 0
}

func (w *world) link(to wire.RouterID, cost uint16, ours, theirs uint32) wire.Link {
	if w.v == wire.V2 {
		return wire.Link{Kind: wire.LinkPointToPoint, Metric: cost, ID: uint32(to), Data: wire.Uint4(w.at(ours))}
	}
	return wire.Link{Kind: wire.LinkPointToPoint, Metric: cost, Interface: ours, NeighborInterface: theirs, Neighbor: to}
}

func (w *world) transit(n wLAN, m wMember) wire.Link {
	dr := n.members[0]
	if w.v == wire.V2 {
		return wire.Link{Kind: wire.LinkTransit, Metric: m.cost, ID: wire.Uint4(w.at(dr.iface)), Data: wire.Uint4(w.at(m.iface))}
	}
	return wire.Link{Kind: wire.LinkTransit, Metric: m.cost, Interface: m.iface, NeighborInterface: dr.iface, Neighbor: dr.router}
}

func (w *world) networkLSA(n wLAN) *LSA {
	dr := n.members[0]
	b := &wire.NetworkLSA{Mask: wire.Mask(32)}
	for _, m := range n.members {
		if !m.absent {
			b.Routers = append(b.Routers, m.router)
		}
	}
	id := dr.iface
	if w.v == wire.V2 {
		id = wire.Uint4(w.at(dr.iface))
	}
	return w.lsa(wire.FunctionNetwork, id, dr.router, b)
}

// lanPrefix is the prefix of a LAN: in version 2 the network-LSA has it, here with the mask of one address.
func (w *world) lanPrefix(n wLAN) netip.Prefix {
	if w.v == wire.V2 {
		return netip.PrefixFrom(w.at(n.members[0].iface), 32)
	}
	return w.prefix(200, uint8(n.net))
}

func (w *world) prefixLSAs(a *wArea) (list []*LSA) {
	for _, r := range a.routers {
		b := &wire.IntraAreaPrefix{RefType: wire.FunctionRouter.Type(w.v), RefRouter: r.id}
		for _, p := range a.prefixes {
			if p.router == r.id {
				b.Prefixes = append(b.Prefixes, wire.PrefixEntry{Prefix: p.prefix, Metric: p.metric})
			}
		}
		list = append(list, w.lsa(wire.FunctionIntraAreaPrefix, 0, r.id, b))
	}
	for i, n := range a.lans {
		dr := n.members[0]
		list = append(list, w.lsa(wire.FunctionIntraAreaPrefix, uint32(i+1), dr.router, &wire.IntraAreaPrefix{
			RefType: wire.FunctionNetwork.Type(w.v), RefID: dr.iface, RefRouter: dr.router,
			Prefixes: []wire.PrefixEntry{{Prefix: w.lanPrefix(n)}}}))
	}
	return list
}

// interfaces are those of the root.
func (w *world) interfaces(a *wArea) (list []Interface) {
	for _, l := range a.links {
		ours, theirs, other := l.ia, l.ib, l.b
		if l.b == root {
			ours, theirs, other = l.ib, l.ia, l.a
		} else if l.a != root {
			continue
		}
		f := w.iface(ours)
		if !l.dead {
			f.Neighbors = []Neighbor{w.neighbor(other, theirs)}
			f.Links = w.linkLSAs(other, theirs)
		}
		list = append(list, f)
	}
	for _, n := range a.lans {
		list = append(list, w.lanInterfaces(n)...)
	}
	for i, p := range a.prefixes {
		if p.router == root {
			list = append(list, Interface{Name: fmt.Sprint("stub", i), ID: uint32(1<<24 + i), Addresses: []netip.Prefix{p.prefix}})
		}
	}
	return list
}

func (w *world) iface(n uint32) Interface {
	f := Interface{Name: w.name(n), ID: n}
	if w.v == wire.V2 {
		f.Addresses = []netip.Prefix{netip.PrefixFrom(w.at(n), 32)}
	}
	return f
}

func (w *world) neighbor(id wire.RouterID, iface uint32) Neighbor {
	n := Neighbor{Router: id, Interface: iface, Address: w.at(iface)}
	if w.v == wire.V3IPv4 {
		n.Address = netip.MustParseAddr("fe80::1")
	}
	return n
}

// linkLSAs are what a router says of itself on a link. With IPv6 every other one has not come.
func (w *world) linkLSAs(id wire.RouterID, iface uint32) []*LSA {
	if w.v == wire.V2 || w.v == wire.V3 && iface%2 == 0 {
		return nil
	}
	return []*LSA{w.lsa(wire.FunctionLink, iface, id, &wire.LinkLSA{Address: w.at(iface)})}
}

func (w *world) lanInterfaces(n wLAN) (list []Interface) {
	for _, m := range n.members {
		if m.router != root {
			continue
		}
		f := w.iface(m.iface)
		for _, o := range n.members {
			switch {
			case o.router == root:
			case o.lost:
				f.Lost = append(f.Lost, o.router)
			default:
				f.Neighbors = append(f.Neighbors, w.neighbor(o.router, o.iface))
			}
			f.Links = append(f.Links, w.linkLSAs(o.router, o.iface)...)
		}
		list = append(list, f)
	}
	return list
}

// random makes a small world of one to three areas, with all that can be wrong or rare in one.
func random(v wire.Version, seed uint64) *world {
	g := &generator{rand.New(rand.NewPCG(seed, 0)), &world{v: v, paths: 64}, 0}
	g.w.rfc1583 = g.Float32() < 0.3
	n := 1 + g.IntN(3)
	if g.Float32() < 0.5 {
		n = 1
	}
	g.w.border = n > 1
	for i := range n {
		g.area(i)
	}
	for i := range g.IntN(12) {
		g.w.foreign = append(g.w.foreign, g.external(uint32(i)))
	}
	return g.w
}

type generator struct {
	*rand.Rand
	w     *world
	iface uint32
}

func (g *generator) next() uint32 { g.iface++; return g.iface }

func (g *generator) cost() uint16 { return uint16(1 + g.IntN(4)) }

func (g *generator) chance(p float32) bool { return g.Float32() < p }

func (g *generator) area(i int) {
	a := &wArea{id: wire.AreaID(i)}
	g.w.areas = append(g.w.areas, a)
	if i > 0 {
		a.nssa = g.chance(0.4)
		a.stub = !a.nssa && g.chance(0.2)
		a.noSummary = g.chance(0.3)
	}
	for id := root; id < root+wire.RouterID(2+g.IntN(7)); id++ {
		if id == root || g.chance(0.8) {
			a.routers = append(a.routers, &wRouter{id, uint8(g.IntN(4)), g.w.v != wire.V2 && g.chance(0.15)})
		}
	}
	g.links(a)
	g.lans(a)
	g.says(a)
}

func (g *generator) some(a *wArea) wire.RouterID { return a.routers[g.IntN(len(a.routers))].id }

func (g *generator) links(a *wArea) {
	for range g.IntN(12) {
		x, y := g.some(a), g.some(a)
		if x != y {
			a.links = append(a.links, wLink{x, y, g.cost(), g.cost(), g.next(), g.next(), g.chance(0.05), g.chance(0.1)})
		}
	}
}

func (g *generator) lans(a *wArea) {
	for range g.IntN(4) {
		n := wLAN{net: int(g.iface % 200)}
		for _, i := range g.Perm(len(a.routers))[:min(len(a.routers), 1+g.IntN(4))] {
			n.members = append(n.members, wMember{a.routers[i].id, g.cost(), g.next(), g.chance(0.05), g.chance(0.05)})
		}
		a.lans = append(a.lans, n)
	}
}

// says gives the routers of an area prefixes, of which some are told by several, and news of other areas.
func (g *generator) says(a *wArea) {
	for range g.IntN(10) {
		a.prefixes = append(a.prefixes, wPrefix{g.some(a), g.w.prefix(uint8(a.id), uint8(g.IntN(8))), uint16(g.IntN(4))})
	}
	for range g.IntN(10) {
		a.summaries = append(a.summaries, wSummary{by: g.some(a), prefix: g.w.prefix(uint8(g.IntN(4)), uint8(g.IntN(10))), metric: g.metric()})
	}
	for range g.IntN(5) {
		a.asbrs = append(a.asbrs, wSummary{by: g.some(a), router: root + wire.RouterID(g.IntN(12)), metric: g.metric()})
	}
	if a.nssa {
		for i := range g.IntN(8) {
			x := g.external(uint32(i))
			x.by, x.propagate = g.some(a), g.chance(0.5)
			a.foreign = append(a.foreign, x)
		}
	}
	if g.chance(0.3) {
		a.ranges = append(a.ranges, g.w.prefix(uint8(g.IntN(4)), uint8(g.IntN(10))))
	}
}

func (g *generator) metric() uint32 {
	if g.chance(0.05) {
		return wire.LSInfinity
	}
	return uint32(g.IntN(5))
}

func (g *generator) external(id uint32) wExternal {
	x := wExternal{by: root + wire.RouterID(g.IntN(10)), prefix: g.w.prefix(uint8(3+g.IntN(3)), uint8(g.IntN(4))), metric: g.metric(), type2: g.chance(0.5), id: id}
	if g.chance(0.2) {
		x.prefix = netip.PrefixFrom(g.w.addr(0, 0, 0), 0).Masked()
	}
	if g.chance(0.4) {
		x.forward = g.w.addr(uint8(g.IntN(4)), uint8(g.IntN(8)), 7)
	}
	return x
}
