package spf

import (
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// intra adds the prefixes of an area whose graph has been walked (16.1, second stage; RFC 5340 4.8.1).
func (c *Calculation) intra(g *graph) {
	if g.in.Version != wire.V2 {
		for _, l := range g.area.Prefixes {
			c.addPrefixes(g, l)
		}
		return
	}
	for v := range g.vertices {
		x := &g.vertices[v]
		switch {
		case x.cost == unreached:
		case x.network:
			c.addNetwork(g, x)
		default:
			c.addStubs(g, int32(v))
		}
	}
}

func (c *Calculation) addNetwork(g *graph, v *vertex) {
	l := v.lsas[0]
	if p, ok := network(l.Header.ID, l.Body.(*wire.NetworkLSA).Mask); ok {
		c.addIntra(g, l, p, v.cost, v.hops)
	}
}

func network(id, mask uint32) (netip.Prefix, bool) {
	bits, ok := wire.MaskBits(mask)
	return netip.PrefixFrom(wire.Addr4(id), bits).Masked(), ok
}

func (c *Calculation) addStubs(g *graph, v int32) {
	for _, l := range g.vertices[v].lsas {
		for _, s := range l.Body.(*wire.RouterLSA).Links {
			if s.Kind != wire.LinkStub {
				continue
			}
			if p, ok := network(s.ID, s.Data); ok {
				c.addIntra(g, l, p, add(g.vertices[v].cost, uint32(s.Metric)), g.hopsTo(v, p))
			}
		}
	}
}

// hopsTo are the next hops to a prefix of a router: of our own it is the interface.
func (g *graph) hopsTo(v int32, p netip.Prefix) []NextHop {
	if v != g.root {
		return g.vertices[v].hops
	}
	for _, f := range g.area.Interfaces {
		if slices.ContainsFunc(f.Addresses, func(a netip.Prefix) bool { return a.Masked() == p || p.IsSingleIP() && a.Addr() == p.Addr() }) {
			return []NextHop{{Interface: f.Name}}
		}
	}
	return []NextHop{{}}
}

// addPrefixes adds those of an intra-area-prefix-LSA, which says for which of its sender's vertices they are.
func (c *Calculation) addPrefixes(g *graph, l *LSA) {
	b, ok := l.Body.(*wire.IntraAreaPrefix)
	if !ok || b.RefRouter != l.Header.Router {
		return
	}
	v, ok := g.referenced(b)
	if !ok || g.vertices[v].cost == unreached {
		return
	}
	for _, p := range b.Prefixes {
		if p.Options&wire.PrefixNU == 0 {
			c.addIntra(g, l, p.Prefix, add(g.vertices[v].cost, uint32(p.Metric)), g.hopsTo(v, p.Prefix))
		}
	}
}

// referenced is the vertex that prefixes belong to (RFC 5340 A.4.10).
func (g *graph) referenced(b *wire.IntraAreaPrefix) (int32, bool) {
	switch b.RefType.Function(g.in.Version) {
	case wire.FunctionRouter:
		v, ok := g.routers[b.RefRouter]
		return v, ok && b.RefID == 0
	case wire.FunctionNetwork:
		v := g.networks[networkID{b.RefRouter, b.RefID}]
		if len(v) > 0 {
			return v[0], true
		}
	}
	return 0, false
}

func (c *Calculation) addIntra(g *graph, l *LSA, p netip.Prefix, cost uint32, hops []NextHop) {
	if !p.IsValid() || cost == unreached {
		return
	}
	c.first.offer(Route{Prefix: p.Masked(), Kind: IntraArea, Cost: cost, Area: g.area.ID, Origin: l.Header.LSAKey, NextHops: hops},
		byCost, c.in.maxPaths())
}

// borders lists the border routers of an area that are reached in it.
func (g *graph) borders() []RouterRoute {
	var list []RouterRoute
	for v := range g.vertices {
		x := &g.vertices[v]
		if x.network || x.cost == unreached || int32(v) == g.root {
			continue
		}
		f := x.flags()
		if f&(wire.RouterB|wire.RouterE) == 0 {
			continue
		}
		list = append(list, RouterRoute{Router: x.lsas[0].Header.Router, Area: g.area.ID, Cost: x.cost, NextHops: x.hops,
			Border: f&wire.RouterB != 0, Boundary: f&wire.RouterE != 0, Translates: f&wire.RouterNt != 0})
	}
	return list
}
