package spf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// inter adds what border routers tell of other areas (16.2). Routers of another area are kept by the area they are
// heard of in, beside those of 16.1, as 16.4.1 chooses among them.
func (c *Calculation) inter(g *graph, active map[netip.Prefix]bool) {
	if c.in.Border && g.area.ID != 0 {
		return
	}
	for _, l := range g.area.Summaries {
		border, ok := c.border(g, l)
		if !ok {
			continue
		}
		switch b := l.Body.(type) {
		case *wire.Summary:
			c.addSummary(g, l, b, border, active)
		case *wire.SummaryRouter:
			c.addSummaryRouter(g, b, border)
		}
	}
}

// border is the border router that an LSA is from, when there is a way to it in the area.
func (c *Calculation) border(g *graph, l *LSA) (*vertex, bool) {
	if l.Header.Router == c.in.Router {
		return nil, false
	}
	v, ok := g.router(l.Header.Router)
	return v, ok && v.flags()&wire.RouterB != 0
}

func (c *Calculation) addSummary(g *graph, l *LSA, b *wire.Summary, border *vertex, active map[netip.Prefix]bool) {
	cost := add(border.cost, b.Metric)
	p := b.Prefix.Masked()
	if b.Metric >= wire.LSInfinity || b.PrefixOptions&wire.PrefixNU != 0 || !p.IsValid() || cost == unreached || active[p] || c.first.has(p) {
		return
	}
	c.second.offer(Route{Prefix: p, Kind: InterArea, Cost: cost, Area: g.area.ID, Origin: l.Header.LSAKey, NextHops: border.hops},
		byCost, c.in.maxPaths())
}

func (c *Calculation) addSummaryRouter(g *graph, b *wire.SummaryRouter, border *vertex) {
	cost := add(border.cost, b.Metric)
	if b.Metric >= wire.LSInfinity || b.Router == c.in.Router || cost == unreached {
		return
	}
	r := RouterRoute{Router: b.Router, Area: g.area.ID, Kind: InterArea, Cost: cost, Boundary: true, NextHops: border.hops}
	for i, o := range c.routers[b.Router] {
		if o.Area != r.Area || !o.Boundary {
			continue
		}
		switch {
		case o.Kind == IntraArea || o.Cost < cost:
		case o.Cost == cost:
			c.routers[b.Router][i].NextHops = union(o.NextHops, r.NextHops, c.in.maxPaths())
		default:
			c.routers[b.Router][i] = r
		}
		return
	}
	c.routers[b.Router] = append(c.routers[b.Router], r)
}

// activeRanges are the ranges we summarize an area to because it has something within: what another border router
// says of them does not make us send traffic there (16.2 step 3).
func (c *Calculation) activeRanges() map[netip.Prefix]bool {
	active := map[netip.Prefix]bool{}
	for i := range c.in.Areas {
		for _, p := range c.in.Areas[i].Ranges {
			if c.in.Border && c.within(p.Masked(), c.in.Areas[i].ID) {
				active[p.Masked()] = true
			}
		}
	}
	return active
}

func (c *Calculation) within(p netip.Prefix, a wire.AreaID) bool {
	for i := range c.first.routes {
		if r := &c.first.routes[i]; r.Area == a && p.Bits() <= r.Prefix.Bits() && p.Contains(r.Prefix.Addr()) {
			return true
		}
	}
	return false
}
