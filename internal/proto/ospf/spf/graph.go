package spf

import (
	"math"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// A graph is an area as 16.1 sees it: routers and transit networks, and an edge wherever both ends name each other.
// Vertices are numbers; out[first[v]:first[v+1]] are the edges of v.
type graph struct {
	in       *Input
	area     *Area
	id       wire.AreaID
	routers  map[wire.RouterID]int32
	networks map[networkID][]int32
	vertices []vertex
	first    []int32
	out      []edge
	ours     ours
	root     int32 // -1: we have no router-LSA in this area yet
}

type vertex struct {
	lsas    []*LSA // one, or the router-LSAs of a router of version 3
	network bool
	leaf    bool            // nothing is forwarded through it
	lost    []wire.RouterID // of a network of ours: no way over it leads to these
	cost    uint32
	hops    []NextHop // none: not reached, or the root
}

// An edge leads to a vertex. Link is the link of a router-LSA that it comes from, nil when it leaves a network.
type edge struct {
	to   int32
	cost uint32
	link *wire.Link
}

const unreached = math.MaxUint32

// networkID names a transit network as links do: by the address of its designated router in version 2, by the router
// and its interface in version 3.
type networkID struct {
	router wire.RouterID
	id     uint32
}

func newGraph(in *Input, a *Area) *graph {
	g := &graph{in: in, area: a, id: a.ID, ours: newOurs(in.Version, a.Interfaces),
		routers:  make(map[wire.RouterID]int32, len(a.Routers)),
		networks: make(map[networkID][]int32, len(a.Networks)),
		vertices: make([]vertex, 0, len(a.Routers)+len(a.Networks)),
	}
	for _, l := range a.Routers {
		g.addRouter(l)
	}
	for _, l := range a.Networks {
		g.addNetwork(l)
	}
	g.root = -1
	if v, ok := g.routers[in.Router]; ok {
		g.root = v
		g.vertices[v].leaf = false
	}
	g.connect()
	return g
}

func (g *graph) addRouter(l *LSA) {
	body, ok := l.Body.(*wire.RouterLSA)
	if !ok || !g.takesPart(body.Options) {
		return
	}
	id := l.Header.Router
	v, ok := g.routers[id]
	if !ok {
		v = int32(len(g.vertices))
		g.routers[id] = v
		g.vertices = append(g.vertices, vertex{leaf: g.in.Version != wire.V2 && body.Options&wire.OptR == 0})
	}
	g.vertices[v].lsas = append(g.vertices[v].lsas, l)
}

// renew has the stub links read from the router-LSAs of now, which in version 2 are where the prefixes are.
func (g *graph) renew() {
	if g.in.Version != wire.V2 {
		return
	}
	for _, l := range g.area.Routers {
		if v, ok := g.routers[l.Header.Router]; ok {
			g.vertices[v].lsas[0] = l
		}
	}
}

// takesPart is the V6-bit: without it a router does not route IPv6 (RFC 5340 A.2). In other address families it means
// nothing (RFC 5838 section 2.4).
func (g *graph) takesPart(o wire.Options) bool {
	return g.in.Version != wire.V3 || o&wire.OptV6 != 0
}

func (g *graph) addNetwork(l *LSA) {
	if _, ok := l.Body.(*wire.NetworkLSA); !ok {
		return
	}
	id := networkID{l.Header.Router, l.Header.ID}
	if g.in.Version == wire.V2 {
		id.router = 0
	}
	g.networks[id] = append(g.networks[id], int32(len(g.vertices)))
	g.vertices = append(g.vertices, vertex{network: true, lsas: []*LSA{l}})
}

// connect lists the edges and keeps those that lead both ways.
func (g *graph) connect() {
	n := len(g.vertices)
	g.first = make([]int32, n+1)
	for v := range g.vertices {
		g.first[v] = int32(len(g.out))
		g.addEdges(int32(v))
	}
	g.first[n] = int32(len(g.out))
	g.keepBothWays()
}

func (g *graph) addEdges(v int32) {
	if g.vertices[v].network {
		for _, r := range g.vertices[v].lsas[0].Body.(*wire.NetworkLSA).Routers {
			if to, ok := g.routers[r]; ok {
				g.out = append(g.out, edge{to: to})
			}
		}
		return
	}
	for _, l := range g.vertices[v].lsas {
		links := l.Body.(*wire.RouterLSA).Links
		for i := range links {
			g.addLink(&links[i])
		}
	}
}

// addLink adds where a link of a router-LSA leads. There can be several networks of one name while a new designated
// router has not flushed what the old one left; those that do not list the router drop out later.
func (g *graph) addLink(l *wire.Link) {
	switch l.Kind {
	case wire.LinkPointToPoint, wire.LinkVirtual:
		if to, ok := g.routers[l.To(g.in.Version)]; ok {
			g.out = append(g.out, edge{to, uint32(l.Metric), l})
		}
	case wire.LinkTransit:
		for _, to := range g.networks[g.network(l)] {
			g.out = append(g.out, edge{to, uint32(l.Metric), l})
		}
	}
}

func (g *graph) network(l *wire.Link) networkID {
	if g.in.Version == wire.V2 {
		return networkID{id: l.ID}
	}
	return networkID{l.Neighbor, l.NeighborInterface}
}

// keepBothWays drops each edge without one that leads back (16.1 step 2b). It looks at the edges into a vertex to
// judge all that leave it, so a hub with thousands of links costs no more than as many routers with one.
func (g *graph) keepBothWays() {
	first, from := g.transpose()
	seen := make([]int32, len(g.vertices))
	out, next := g.out[:0], int32(0)
	for v := range g.vertices {
		for _, w := range from[first[v]:first[v+1]] {
			seen[w] = int32(v) + 1
		}
		edges := g.out[g.first[v]:g.first[v+1]]
		g.first[v] = next
		for _, e := range edges {
			if seen[e.to] == int32(v)+1 {
				out = append(out, e)
			}
		}
		next = int32(len(out))
	}
	g.first[len(g.vertices)], g.out = next, out
}

// transpose lists for each vertex where edges to it come from.
func (g *graph) transpose() (first, from []int32) {
	first = make([]int32, len(g.vertices)+1)
	for _, e := range g.out {
		first[e.to]++
	}
	for v, sum := 0, int32(0); v < len(first); v++ {
		sum += first[v]
		first[v] = sum
	}
	from = make([]int32, len(g.out))
	for v := range g.vertices {
		for _, e := range g.out[g.first[v]:g.first[v+1]] {
			first[e.to]--
			from[first[e.to]] = int32(v)
		}
	}
	return first, from
}

// router is what 16.1 found of a router, and whether it is reached. The root is.
func (g *graph) router(id wire.RouterID) (*vertex, bool) {
	v, ok := g.routers[id]
	if !ok {
		return nil, false
	}
	return &g.vertices[v], g.vertices[v].cost != unreached
}

// flags are those of all router-LSAs of a router.
func (v *vertex) flags() (f uint8) {
	for _, l := range v.lsas {
		f |= l.Body.(*wire.RouterLSA).Flags
	}
	return f
}
