package spf

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// What follows reckons the routes of a world the slow way and without any LSA: distances by trying every edge until
// nothing gets nearer, next hops by their definition (each first step that lies on some shortest path), preferences by
// sorting all candidates. It shares no code with what it checks but the types.

const far = math.MaxInt

type bEdge struct {
	from, to string
	cost     int
	hop      NextHop // of edges that leave the root or a network: where the far end is
	dead     bool    // no neighbour
}

// bArea is an area as names of routers and networks, and edges.
type bArea struct {
	w     *world
	a     *wArea
	edges []bEdge
	nodes []string
}

func rn(id wire.RouterID) string { return id.String() }

func (w *world) lanName(n wLAN) string { return "lan " + w.name(n.members[0].iface) }

func brute(w *world, a *wArea) *bArea {
	b := &bArea{w: w, a: a}
	leaf := map[wire.RouterID]bool{}
	for _, r := range a.routers {
		b.nodes = append(b.nodes, rn(r.id))
		leaf[r.id] = r.leaf && r.id != root
	}
	add := func(e bEdge, from wire.RouterID) {
		if !leaf[from] {
			b.edges = append(b.edges, e)
		}
	}
	back := map[[2]wire.RouterID]bool{} // who has a link to whom
	for _, l := range a.links {
		back[[2]wire.RouterID{l.a, l.b}] = true
		if !l.half {
			back[[2]wire.RouterID{l.b, l.a}] = true
		}
	}
	for _, l := range a.links {
		if back[[2]wire.RouterID{l.b, l.a}] {
			add(bEdge{rn(l.a), rn(l.b), int(l.ca), NextHop{w.at(l.ib), w.name(l.ia)}, l.dead}, l.a)
		}
		if !l.half {
			add(bEdge{rn(l.b), rn(l.a), int(l.cb), NextHop{w.at(l.ia), w.name(l.ib)}, l.dead}, l.b)
		}
	}
	for _, n := range a.lans {
		name := w.lanName(n)
		b.nodes = append(b.nodes, name)
		for _, m := range n.members {
			if m.absent {
				continue
			}
			add(bEdge{rn(m.router), name, int(m.cost), NextHop{netip.Addr{}, w.name(m.iface)}, false}, m.router)
			b.edges = append(b.edges, bEdge{name, rn(m.router), 0, NextHop{w.at(m.iface), ""}, m.lost})
		}
	}
	return b
}

// usable leaves out the steps that the root cannot make.
func (b *bArea) usable() (list []bEdge) {
	for _, e := range b.edges {
		if !(e.dead && e.from == rn(root)) {
			list = append(list, e)
		}
	}
	return list
}

func distances(edges []bEdge, from string) map[string]int {
	d := map[string]int{from: 0}
	for changed := true; changed; {
		changed = false
		for _, e := range edges {
			if x, ok := d[e.from]; ok {
				if y, ok := d[e.to]; !ok || x+e.cost < y {
					d[e.to], changed = x+e.cost, true
				}
			}
		}
	}
	return d
}

type bPath struct {
	cost int
	hops []NextHop
}

// paths are the distance and the next hops of all that the root reaches in the area. Steps from LANs of ours to routers
// that are lost there do not count.
func (b *bArea) paths() map[string]bPath {
	edges := b.usable()
	ours := map[string]string{} // LANs we are attached to
	for _, e := range edges {
		if e.from == rn(root) && !e.hop.Via.IsValid() {
			ours[e.to] = e.hop.Interface
		}
	}
	edges = slices.DeleteFunc(slices.Clone(edges), func(e bEdge) bool { _, on := ours[e.from]; return e.dead && on })
	d := distances(edges, rn(root))
	out := map[string]bPath{rn(root): {}}
	for to, cost := range d {
		if to == rn(root) {
			continue
		}
		var hops []NextHop
		for _, e := range edges {
			if e.from != rn(root) {
				continue
			}
			rest := distances(edges, e.to)
			if x, ok := rest[to]; !ok || e.cost+x != cost {
				continue
			}
			if e.hop.Via.IsValid() || e.to == to {
				hops = append(hops, e.hop)
				continue
			}
			for _, f := range edges {
				if f.from != e.to {
					continue
				}
				if x, ok := distances(edges, f.to)[to]; ok && e.cost+x == cost {
					hops = append(hops, NextHop{f.hop.Via, e.hop.Interface})
				}
			}
		}
		slices.SortFunc(hops, compareHops)
		out[to] = bPath{cost, slices.Compact(hops)}
	}
	return out
}

// bRoute is a route in words that both computations can say.
type bRoute struct {
	kind  Kind
	cost  int
	type2 int
	hops  []NextHop
}

type bTable map[netip.Prefix]bRoute

// merge keeps the nearer, or the next hops of both.
func (t bTable) merge(p netip.Prefix, r bRoute) {
	old, ok := t[p]
	switch {
	case !ok || r.kind < old.kind || r.kind == old.kind && r.cost < old.cost:
		t[p] = r
	case r.kind == old.kind && r.cost == old.cost:
		r.hops = append(slices.Clone(old.hops), r.hops...)
		slices.SortFunc(r.hops, compareHops)
		r.hops = slices.Compact(r.hops)
		t[p] = r
	}
}

// bruteRoutes is the whole table.
func bruteRoutes(w *world) bTable {
	t := bTable{}
	paths := map[wire.AreaID]map[string]bPath{}
	within := map[wire.AreaID]bTable{}
	for _, a := range w.areas {
		paths[a.id] = brute(w, a).paths()
		within[a.id] = bTable{}
		for i, p := range a.prefixes {
			v, ok := paths[a.id][rn(p.router)]
			if !ok {
				continue
			}
			if p.router == root {
				v.hops = ownHop(a, i)
			}
			t.merge(p.prefix, bRoute{IntraArea, v.cost + int(p.metric), 0, v.hops})
		}
		for _, n := range a.lans {
			if v, ok := paths[a.id][w.lanName(n)]; ok {
				t.merge(w.lanPrefix(n), bRoute{IntraArea, v.cost, 0, v.hops})
			}
		}
	}
	active := w.bruteRanges(paths, t)
	for _, a := range w.areas {
		if w.border && a.id != 0 {
			continue
		}
		for _, s := range a.summaries {
			v, ok := paths[a.id][rn(s.by)]
			if ok && s.by != root && a.flags(s.by)&wire.RouterB != 0 && s.metric < wire.LSInfinity && !active[s.prefix] {
				t.merge(s.prefix, bRoute{InterArea, v.cost + int(s.metric), 0, v.hops})
			}
		}
	}
	w.bruteExternals(t, paths)
	return t
}

// ownHop is the interface that has a prefix of the root: the first.
func ownHop(a *wArea, i int) []NextHop {
	for j, p := range a.prefixes {
		if p.router == root && p.prefix == a.prefixes[i].prefix {
			return []NextHop{{Interface: "stub" + string(rune('0'+j))}}
		}
	}
	return nil
}

func (a *wArea) flags(id wire.RouterID) uint8 {
	for _, r := range a.routers {
		if r.id == id {
			return r.flags
		}
	}
	return 0
}

// bruteRanges are those that have a route of their area within.
func (w *world) bruteRanges(paths map[wire.AreaID]map[string]bPath, t bTable) map[netip.Prefix]bool {
	active := map[netip.Prefix]bool{}
	for _, a := range w.areas {
		for _, r := range a.ranges {
			best, ok := t[r]
			if !w.border || !ok || best.kind != IntraArea {
				continue
			}
			// The prefixes of a world do not nest: what is within is the range itself, by way of the area that is nearest,
			// the first of equals.
			active[r] = active[r] || w.owner(paths, r) == a.id
		}
	}
	return active
}

func (w *world) owner(paths map[wire.AreaID]map[string]bPath, p netip.Prefix) wire.AreaID {
	best, area := far, wire.AreaID(0)
	for _, a := range w.areas {
		for _, x := range a.prefixes {
			if v, ok := paths[a.id][rn(x.router)]; ok && x.prefix == p && v.cost+int(x.metric) < best {
				best, area = v.cost+int(x.metric), a.id
			}
		}
	}
	return area
}

type bWay struct {
	cost int
	hops []NextHop
	pref bool
	area wire.AreaID
}

// bruteASBR are the ways to an AS boundary router that are allowed, best first.
func (w *world) bruteASBR(id wire.RouterID, nssa *wArea, paths map[wire.AreaID]map[string]bPath) (list []bWay) {
	for _, a := range w.areas {
		if nssa != nil && nssa != a || nssa == nil && (a.stub || a.nssa) || id == root {
			continue
		}
		if v, ok := paths[a.id][rn(id)]; ok && a.flags(id)&wire.RouterE != 0 {
			list = append(list, bWay{v.cost, v.hops, a.id != 0, a.id})
			continue
		}
		if nssa != nil || w.border && a.id != 0 {
			continue
		}
		best := bTable{}
		key := w.prefix(255, 255)
		for _, s := range a.asbrs {
			if v, ok := paths[a.id][rn(s.by)]; ok && s.router == id && s.by != root && a.flags(s.by)&wire.RouterB != 0 && s.metric < wire.LSInfinity {
				best.merge(key, bRoute{InterArea, v.cost + int(s.metric), 0, v.hops})
			}
		}
		if r, ok := best[key]; ok {
			list = append(list, bWay{r.cost, r.hops, false, a.id})
		}
	}
	slices.SortStableFunc(list, func(x, y bWay) int {
		if !w.rfc1583 && x.pref != y.pref {
			return map[bool]int{true: -1, false: 1}[x.pref]
		}
		return cmp.Or(cmp.Compare(x.cost, y.cost), cmp.Compare(y.area, x.area))
	})
	return list
}

type bCandidate struct {
	bRoute
	pref     bool
	forward  netip.Addr
	rank     int // of RFC 3101: P-bit, type 5, type 7
	by       wire.RouterID
	internal bool
}

func (w *world) bruteExternals(t bTable, paths map[wire.AreaID]map[string]bPath) {
	all := map[netip.Prefix][]bCandidate{}
	try := func(x wExternal, nssa *wArea) {
		ways := w.bruteASBR(x.by, nssa, paths)
		if len(ways) == 0 || x.metric >= wire.LSInfinity {
			return
		}
		if nssa != nil && w.border && x.prefix.Bits() == 0 && (!x.propagate || nssa.noSummary) {
			return
		}
		c := bCandidate{bRoute{External2, ways[0].cost, int(x.metric), ways[0].hops}, ways[0].pref, x.forward, 1, x.by, false}
		if nssa != nil {
			c.rank = 2
			if x.propagate {
				c.rank = 0
			}
		}
		if x.forward.IsValid() && !w.bruteForward(&c, nssa, t, paths) {
			return
		}
		if !x.type2 {
			c.kind, c.cost, c.type2 = External1, c.cost+int(x.metric), 0
		}
		all[x.prefix] = append(all[x.prefix], c)
	}
	for _, x := range w.foreign {
		try(x, nil)
	}
	for _, a := range w.areas {
		for _, x := range a.foreign {
			try(x, a)
		}
	}
	for p, list := range all {
		if _, ok := t[p]; ok {
			continue
		}
		t[p] = w.bruteBest(list)
	}
}

// bruteForward moves a candidate to the way to its forwarding address.
func (w *world) bruteForward(c *bCandidate, nssa *wArea, t bTable, paths map[wire.AreaID]map[string]bPath) bool {
	for p, r := range t {
		if p.Contains(c.forward) && p.Bits() > 0 && r.kind <= InterArea {
			area := w.owner(paths, p)
			if nssa != nil && (r.kind != IntraArea || area != nssa.id) {
				return false
			}
			c.cost, c.hops, c.pref = r.cost, slices.Clone(r.hops), r.kind == IntraArea && area != 0
			if !c.hops[0].Via.IsValid() {
				c.hops = []NextHop{{c.forward, c.hops[0].Interface}}
			}
			return true
		}
	}
	return false
}

func (w *world) bruteBest(list []bCandidate) bRoute {
	compare := func(x, y bCandidate) int {
		p := cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.type2, y.type2))
		if p == 0 && !w.rfc1583 && x.pref != y.pref {
			return map[bool]int{true: -1, false: 1}[x.pref]
		}
		return cmp.Or(p, cmp.Compare(x.cost, y.cost))
	}
	slices.SortStableFunc(list, compare)
	best := bRoute{kind: list[0].kind, cost: list[0].cost, type2: list[0].type2}
	for _, c := range list {
		if compare(c, list[0]) == 0 {
			best.hops = append(best.hops, c.hops...)
		}
	}
	slices.SortFunc(best.hops, compareHops)
	best.hops = slices.Compact(best.hops)
	return best
}
