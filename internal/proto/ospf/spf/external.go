package spf

import (
	"cmp"
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// A candidate is the external route that one LSA makes, with what 16.4.1 and RFC 3101 compare besides the cost.
type candidate struct {
	Route
	preferred bool // by intra-area paths outside the backbone
	forward   netip.Addr
	propagate bool // the P-bit of type 7
}

// external adds the routes to other autonomous systems: LSAs of AS scope (16.4), then those of each NSSA (RFC 3101
// section 2.5).
func (c *Calculation) external() {
	for _, l := range c.in.Externals {
		c.addExternal(nil, l)
	}
	for i := range c.in.Areas {
		for _, l := range c.in.Areas[i].NSSAs {
			c.addExternal(&c.in.Areas[i], l)
		}
	}
}

func (c *Calculation) addExternal(nssa *Area, l *LSA) {
	b, ok := l.Body.(*wire.External)
	if !ok || l.Header.Router == c.in.Router || b.Metric >= wire.LSInfinity || !b.Prefix.IsValid() ||
		b.PrefixOptions&wire.PrefixNU != 0 {
		return
	}
	p := b.Prefix.Masked()
	if c.first.has(p) || c.second.has(p) || nssa != nil && c.refused(nssa, p, b) {
		return
	}
	x, ok := c.wayOut(nssa, l.Header.Router, b)
	if !ok {
		return
	}
	x.Prefix, x.Origin, x.NSSA, x.HasTag, x.Tag, x.propagate = p, l.Header.LSAKey, nssa != nil, b.HasTag, b.Tag, b.Propagate
	x.Kind, x.Type2 = External2, b.Metric
	if !b.Type2 {
		x.Kind, x.Type2, x.Cost = External1, 0, add(x.Cost, b.Metric)
	}
	if x.Cost != unreached {
		c.offerExternal(&x)
	}
}

// refused is the rule for the default route of an NSSA at its border, RFC 3101 section 2.5 step 3.
func (c *Calculation) refused(a *Area, p netip.Prefix, b *wire.External) bool {
	return c.in.Border && p.Bits() == 0 && (!b.Propagate || a.NoSummary)
}

// wayOut is how to reach the AS boundary router, or the forwarding address that it names instead of itself.
func (c *Calculation) wayOut(nssa *Area, id wire.RouterID, b *wire.External) (candidate, bool) {
	best := c.boundary(nssa, id)
	if best == nil {
		return candidate{}, false
	}
	if b.Forward.IsValid() && !b.Forward.IsUnspecified() {
		return c.forward(nssa, b.Forward)
	}
	return candidate{Route: Route{Cost: best.Cost, Area: best.Area, NextHops: best.NextHops},
		preferred: preferred(best.Kind, best.Area)}, true
}

// boundary chooses among the paths to an AS boundary router (16.4.1). Of type 7 it is the one in the NSSA. Externals of
// AS scope are not known within stub areas and NSSAs, so no path through one can carry what they attract.
func (c *Calculation) boundary(nssa *Area, id wire.RouterID) *RouterRoute {
	var best *RouterRoute
	list := c.routers[id]
	for i := range list {
		r := &list[i]
		switch {
		case !r.Boundary, nssa != nil && (r.Area != nssa.ID || r.Kind != IntraArea), nssa == nil && c.closed[r.Area]:
		case best == nil || c.nearer(r, best) < 0:
			best = r
		}
	}
	return best
}

func (c *Calculation) nearer(a, b *RouterRoute) int {
	if !c.in.RFC1583 {
		if p := first(preferred(a.Kind, a.Area), preferred(b.Kind, b.Area)); p != 0 {
			return p
		}
	}
	return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(b.Area, a.Area))
}

// preferred tells the paths that 16.4.1 holds best: intra-area, and not through the backbone.
func preferred(k Kind, a wire.AreaID) bool { return k == IntraArea && a != 0 }

// first orders true before false.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// forward is the way to a forwarding address: an internal route to it, and for type 7 one within the NSSA. What is
// forwarded to ourselves would come back to us.
func (c *Calculation) forward(nssa *Area, to netip.Addr) (candidate, bool) {
	r, ok := c.lookup(to)
	if !ok || c.ours(to) || nssa != nil && (r.Kind != IntraArea || r.Area != nssa.ID) {
		return candidate{}, false
	}
	hops := r.NextHops
	if direct(hops) {
		hops = []NextHop{{to, hops[0].Interface}}
	}
	return candidate{Route: Route{Cost: r.Cost, Area: r.Area, NextHops: hops}, preferred: preferred(r.Kind, r.Area), forward: to}, true
}

func (c *Calculation) ours(a netip.Addr) bool {
	for i := range c.in.Areas {
		for _, f := range c.in.Areas[i].Interfaces {
			for _, p := range f.Addresses {
				if p.Addr() == a {
					return true
				}
			}
		}
	}
	return false
}

// lookup is the internal route to an address by the longest match.
func (c *Calculation) lookup(a netip.Addr) (*Route, bool) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p := netip.PrefixFrom(a, bits).Masked()
		if r, ok := c.first.get(p); ok {
			return r, true
		}
		if r, ok := c.second.get(p); ok {
			return r, true
		}
	}
	return nil, false
}

// offerExternal takes x when it is better than what there is, and adds its next hops when it is as good (16.4 step 6).
func (c *Calculation) offerExternal(x *candidate) {
	i, ok := c.third.index[x.Prefix]
	if !ok {
		c.third.offer(x.Route, nil, 0)
		c.candidates = append(c.candidates, *x)
		return
	}
	old := &c.candidates[i]
	switch p := c.better(x, old); {
	case p < 0:
		*old, c.third.routes[i] = *x, x.Route
	case p == 0:
		c.third.routes[i].NextHops = union(c.third.routes[i].NextHops, x.NextHops, c.in.maxPaths())
	}
}

func (c *Calculation) better(a, b *candidate) int {
	p := cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Type2, b.Type2))
	if p == 0 && !c.in.RFC1583 {
		p = first(a.preferred, b.preferred)
	}
	if p = cmp.Or(p, cmp.Compare(a.Cost, b.Cost)); p != 0 || !a.forward.IsValid() || a.forward != b.forward {
		return p
	}
	return cmp.Or(first(a.NSSA && a.propagate, b.NSSA && b.propagate), first(!a.NSSA, !b.NSSA),
		cmp.Compare(b.Origin.Router, a.Origin.Router))
}
