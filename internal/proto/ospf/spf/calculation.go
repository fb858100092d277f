package spf

import (
	"cmp"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// Change says what of the database is new since the last run. Each includes those before it.
type Change uint8

const (
	Externals Change = iota // LSAs of type 5 and 7
	Summaries               // LSAs of border routers
	Prefixes                // intra-area-prefix-LSAs, and stub links of others' router-LSAs: the graph is as it was
	Topology                // router-, network- and link-LSAs, neighbours, interfaces, areas
)

// Calculation remembers the stages of the last run, to repeat only those that a change calls for. The zero value is
// ready.
type Calculation struct {
	in     *Input
	graphs []*graph
	closed map[wire.AreaID]bool // without externals of AS scope

	first, second, third table // intra-area, inter-area, external
	sorted               [3][]Route
	routers              map[wire.RouterID][]RouterRoute
	candidates           []candidate // beside those of third
}

// Compute makes all routes of a database.
func Compute(in *Input) *Result { return new(Calculation).Run(in, Topology) }

// Run makes all routes of a database, of which at most what says has changed since the last Run. Areas names those with
// a new Topology; with none named it is all.
func (c *Calculation) Run(in *Input, what Change, areas ...wire.AreaID) *Result {
	if c.in == nil || !c.sameAreas(in) {
		what, areas = Topology, nil
	}
	c.in = in
	switch {
	case what >= Topology:
		c.walk(areas)
		fallthrough
	case what >= Prefixes:
		c.stage1()
		fallthrough
	case what >= Summaries:
		c.stage2()
	}
	c.stage3()
	return c.result()
}

// sameAreas reports whether the graphs of the last run are those of the areas of in.
func (c *Calculation) sameAreas(in *Input) bool {
	if in.Version != c.in.Version || in.Router != c.in.Router || len(in.Areas) != len(c.graphs) {
		return false
	}
	for i, g := range c.graphs {
		if g.id != in.Areas[i].ID {
			return false
		}
	}
	return true
}

// walk makes and walks the graphs of the areas; the others keep theirs, and read the LSAs of now.
func (c *Calculation) walk(areas []wire.AreaID) {
	old := c.graphs
	c.graphs = make([]*graph, len(c.in.Areas))
	for i := range c.in.Areas {
		a := &c.in.Areas[i]
		if len(areas) > 0 && !slices.Contains(areas, a.ID) {
			c.graphs[i] = old[i]
			continue
		}
		c.graphs[i] = newGraph(c.in, a)
		c.graphs[i].walk()
	}
}

func (c *Calculation) stage1() {
	c.first = newTable(len(c.first.routes))
	for i, g := range c.graphs {
		g.in, g.area = c.in, &c.in.Areas[i]
		g.renew()
		c.intra(g)
	}
	c.sorted[0] = c.first.sorted()
}

func (c *Calculation) stage2() {
	c.second = newTable(len(c.second.routes))
	c.routers = map[wire.RouterID][]RouterRoute{}
	c.closed = map[wire.AreaID]bool{}
	for i, g := range c.graphs {
		g.in, g.area = c.in, &c.in.Areas[i]
		c.closed[g.area.ID] = g.area.Stub || g.area.NSSA
		for _, r := range g.borders() {
			c.routers[r.Router] = append(c.routers[r.Router], r)
		}
	}
	active := c.activeRanges()
	for _, g := range c.graphs {
		c.inter(g, active)
	}
	c.sorted[1] = c.second.sorted()
}

func (c *Calculation) stage3() {
	c.third, c.candidates = newTable(len(c.third.routes)), c.candidates[:0]
	c.external()
	c.sorted[2] = c.third.sorted()
}

func (c *Calculation) result() *Result {
	r := &Result{Routes: merge(merge(c.sorted[0], c.sorted[1]), c.sorted[2])}
	for _, list := range c.routers {
		r.Routers = append(r.Routers, list...)
	}
	slices.SortFunc(r.Routers, func(a, b RouterRoute) int {
		return cmp.Or(cmp.Compare(a.Router, b.Router), cmp.Compare(a.Area, b.Area), cmp.Compare(a.Kind, b.Kind))
	})
	for _, g := range c.graphs {
		r.Nodes += g.reached()
	}
	return r
}

func (g *graph) reached() (n int) {
	for v := range g.vertices {
		if g.vertices[v].cost != unreached {
			n++
		}
	}
	return n
}

func (in *Input) maxPaths() int { return cmp.Or(in.MaxPaths, DefaultMaxPaths) }
