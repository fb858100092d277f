package spf

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// walk finds the shortest paths from the root (16.1, first stage) and the next hops of each vertex. A way that has no
// next hop, as the neighbour on it is gone, does not count.
func (g *graph) walk() {
	for v := range g.vertices {
		g.vertices[v].cost, g.vertices[v].hops = unreached, nil
	}
	if g.root < 0 {
		return
	}
	g.vertices[g.root].cost = 0
	g.markLost()
	done := make([]bool, len(g.vertices))
	heap := queue{g.place(g.root)}
	for len(heap) > 0 {
		v := heap.pop()
		if done[v] {
			continue
		}
		done[v] = true
		if g.vertices[v].leaf {
			continue
		}
		for i := range g.out[g.first[v]:g.first[v+1]] {
			e := &g.out[g.first[v]+int32(i)]
			if !done[e.to] && g.relax(v, e) {
				heap.push(g.place(e.to))
			}
		}
	}
}

// markLost tells the networks we are attached to which routers are lost on them.
func (g *graph) markLost() {
	for _, e := range g.out[g.first[g.root]:g.first[g.root+1]] {
		if f := g.interfaceOf(e.link); f != nil && g.vertices[e.to].network {
			g.vertices[e.to].lost = f.Lost
		}
	}
}

// speaker is the router that a vertex is, or that speaks for the network.
func (g *graph) speaker(v int32) wire.RouterID { return g.vertices[v].lsas[0].Header.Router }

// relax offers the way by v and e to where e leads, and reports whether that came nearer.
func (g *graph) relax(v int32, e *edge) bool {
	to := &g.vertices[e.to]
	cost := add(g.vertices[v].cost, e.cost)
	if cost > to.cost || cost == unreached || slices.Contains(g.vertices[v].lost, g.speaker(e.to)) {
		return false
	}
	hops := g.hops(v, e)
	if len(hops) == 0 {
		return false
	}
	if cost == to.cost {
		to.hops = union(to.hops, hops, g.in.maxPaths())
		return false
	}
	to.cost, to.hops = cost, hops
	return true
}

// add is a sum that stays at the largest value.
func add(a, b uint32) uint32 {
	if s := uint64(a) + uint64(b); s < math.MaxUint32 {
		return uint32(s)
	}
	return math.MaxUint32
}

// place is where a vertex stands in the queue: by cost, of equal cost networks before routers, so that all shortest
// ways to a router are known when it is taken (16.1 step 3).
func (g *graph) place(v int32) uint64 {
	p := uint64(g.vertices[v].cost)<<32 | uint64(v)
	if !g.vertices[v].network {
		p |= 1 << 31
	}
	return p
}

// hops are the next hops to where e leads by way of v (16.1.1).
func (g *graph) hops(v int32, e *edge) []NextHop {
	switch {
	case v == g.root && g.vertices[e.to].network:
		return g.toNetwork(e.link)
	case v == g.root:
		return g.toNeighbor(e)
	case direct(g.vertices[v].hops):
		return g.across(v, e.to)
	}
	return g.vertices[v].hops
}

// direct reports whether the destination is on a link of ours: such next hops come first.
func direct(hops []NextHop) bool { return len(hops) > 0 && !hops[0].Via.IsValid() }

// toNetwork is the next hop to a network we are attached to.
func (g *graph) toNetwork(l *wire.Link) []NextHop {
	if f := g.interfaceOf(l); f != nil {
		return []NextHop{{Interface: f.Name}}
	}
	return nil
}

// interfaceOf is our interface that a link of ours is about, nil when there is none any more.
func (g *graph) interfaceOf(l *wire.Link) *Interface {
	if g.in.Version == wire.V2 {
		return g.ours.interfaces[l.Data]
	}
	return g.ours.interfaces[l.Interface]
}

// toNeighbor are the next hops to a router at the other end of a link of ours. Its address is the one it sends from: on
// point-to-multipoint the same as the data of its link back, on point-to-point and unnumbered links that data may be
// no address of the link.
func (g *graph) toNeighbor(e *edge) []NextHop {
	f := g.interfaceOf(e.link)
	if f == nil {
		return nil
	}
	n := end{f.Name, e.link.To(g.in.Version), e.link.NeighborInterface}
	if _, ok := g.ours.neighbors[n]; !ok {
		return nil
	}
	return g.hop(n, netip.Addr{})
}

// across are the next hops to a router by way of network v that we are attached to.
func (g *graph) across(v, to int32) []NextHop {
	var hops []NextHop
	for _, h := range g.vertices[v].hops {
		if h.Via.IsValid() {
			hops = append(hops, h)
			continue
		}
		hops = append(hops, g.onNetwork(v, to, h.Interface)...)
	}
	sortHops(hops)
	return hops
}

// onNetwork is the next hop to a router on network v, which is at our interface.
func (g *graph) onNetwork(v, to int32, name string) []NextHop {
	for _, e := range g.out[g.first[to]:g.first[to+1]] {
		if e.to != v {
			continue
		}
		n := end{name, g.speaker(to), e.link.Interface}
		if g.in.Version == wire.V2 {
			return g.hop(n, wire.Addr4(e.link.Data))
		}
		return g.hop(n, netip.Addr{})
	}
	return nil
}

// hop makes a next hop of the address that a router is known by, or of the one it sends from. In version 3 the first is
// that of its link-LSA (RFC 5340 4.8.2), of the family of the routes (RFC 5838 section 2.5); where that has not come,
// IPv6 makes do with the second.
func (g *graph) hop(n end, a netip.Addr) []NextHop {
	if said, ok := g.ours.links[n]; ok {
		a = said
	}
	if !a.IsValid() {
		a = g.ours.neighbors[n]
	}
	if !a.IsValid() || a.Is4() != g.in.Version.IPv4() {
		return nil
	}
	return []NextHop{{a, n.on}}
}

// union is the next hops of both, at most n.
func union(a, b []NextHop, n int) []NextHop {
	if slices.Equal(a, b) {
		return a
	}
	u := slices.Concat(a, b)
	sortHops(u)
	u = slices.Compact(u)
	return u[:min(n, len(u)):min(n, len(u))]
}

func sortHops(hops []NextHop) { slices.SortFunc(hops, compareHops) }

// compareHops puts those without an address first.
func compareHops(a, b NextHop) int {
	return cmp.Or(a.Via.Compare(b.Via), cmp.Compare(a.Interface, b.Interface))
}

// A queue is a binary heap of places.
type queue []uint64

func (q *queue) push(p uint64) {
	h := append(*q, p)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > p {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = p
	*q = h
}

// pop takes the vertex with the lowest place.
func (q *queue) pop() int32 {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		c := 2*i + 1
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if c >= len(h) || h[c] >= last {
			h[i] = last
			break
		}
		h[i], i = h[c], c
	}
	*q = h
	return int32(top & math.MaxInt32)
}
