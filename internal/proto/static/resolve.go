package static

import (
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// maxDepth bounds how many static routes may lean on each other: it also ends a circle of them.
const maxDepth = 4

// hops is where a route leads now; false when nowhere. A blackhole leads there without next hops.
func (m *Module) hops(env *core.Env, r Route, depth int) ([]rib.NextHop, bool) {
	switch {
	case r.Blackhole:
		return nil, true
	case r.Interface != "":
		return []rib.NextHop{{Via: r.Via, Interface: r.Interface}}, m.links[r.Interface].Up
	case depth < maxDepth:
		return m.resolve(env, r, depth)
	}
	return nil, false
}

// resolve finds the way to a next hop. A static route on that way counts as it is configured, not as it stands in
// the RIB, so that two routes cannot hold each other up after the ground under both has gone.
func (m *Module) resolve(env *core.Env, r Route, depth int) ([]rib.NextHop, bool) {
	way, ok := env.RIB().LookupExcept(r.VRF, r.Via, func(o rib.Route) bool { return o.Prefix == r.To.Masked() })
	if !ok || way.Prefix.Bits() == 0 {
		return nil, false
	}
	if way.Protocol != rib.Static {
		return through(way, r.Via), len(way.NextHops) > 0
	}
	var hops []rib.NextHop
	for _, s := range m.routes[dest{way.VRF, way.Prefix}] {
		if s.Distance == way.Distance {
			found, _ := m.hops(env, s, depth+1)
			hops = union(hops, attach(found, r.Via))
		}
	}
	return hops, len(hops) > 0
}

func through(way rib.Route, via netip.Addr) []rib.NextHop { return attach(way.NextHops, via) }

// attach names the next hop where the way ends on a link.
func attach(hops []rib.NextHop, via netip.Addr) []rib.NextHop {
	hops = slices.Clone(hops)
	for i := range hops {
		if !hops[i].Via.IsValid() {
			hops[i].Via = via
		}
	}
	return hops
}
