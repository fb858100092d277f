package static

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

const (
	// maxDepth bounds how many static routes may lean on each other.
	maxDepth = 8
	// maxSteps bounds how many of them are looked at to resolve those to one prefix: each may lean on many that share.
	maxSteps = 256
)

// way is where a route leads now: to next hops, or nowhere, and why. What drops leads there without next hops.
type way struct {
	hops    []rib.NextHop
	tracked []rib.NextHop // that BFD is to watch, those that have failed included
	far     []watched     // the same, several hops away
	why     string        // "" when it leads somewhere
}

func nowhere(format string, args ...any) way { return way{why: fmt.Sprintf(format, args...)} }

// resolver resolves the routes to one prefix.
type resolver struct {
	m     *Module
	table *rib.RIB
	path  []dest // routes that lean on each other, from the first
	steps int
}

func (m *Module) resolver(env *core.Env) *resolver { return &resolver{m: m, table: env.RIB()} }

// way is where r leads, without next hops that BFD says have failed.
func (s *resolver) way(r Route) way {
	w := s.untracked(r)
	if r.Track == TrackBFD && r.TrackFrom.IsValid() {
		return s.m.farWay(r, w)
	}
	if r.Track != TrackBFD || w.why != "" {
		return w
	}
	w.tracked = append(w.tracked, w.hops...)
	alive := s.m.alive(w.hops)
	if len(alive) == 0 && len(w.hops) > 0 {
		t := target(w.hops[0])
		return way{tracked: w.tracked, why: fmt.Sprintf("BFD with %s on %s is %s", t.Peer, t.Interface, liveness.Down)}
	}
	w.hops = alive
	return w
}

func (s *resolver) untracked(r Route) way {
	switch {
	case r.Blackhole, r.Reject:
		return way{}
	case r.Interface == "":
		return s.resolve(r)
	case !s.m.links[r.Interface].Up:
		return nowhere("interface %s is %s", r.Interface, s.m.absence(r.Interface))
	}
	return way{hops: []rib.NextHop{{Via: r.Via, Interface: r.Interface}}}
}

func (m *Module) absence(name string) string {
	if _, here := m.links[name]; here {
		return "down"
	}
	return "not there"
}

// resolve finds the way to a next hop. A static route on that way counts as it is configured, not as it stands in
// the RIB, so that two routes cannot hold each other up after the ground under both has gone.
func (s *resolver) resolve(r Route) way {
	by, ok := s.table.LookupExcept(r.VRF, r.Via, func(o rib.Route) bool { return o.Prefix == r.To.Masked() })
	switch {
	case !ok:
		return nowhere("next hop %s: no route leads there", r.Via)
	case by.Prefix.Bits() == 0 && !r.ViaDefault:
		return nowhere("next hop %s: only the default route leads there, and via-default is off", r.Via)
	case by.Kind != rib.Unicast:
		return nowhere("next hop %s: %s (%s) is a %s", r.Via, by.Prefix, by.Protocol, by.Kind)
	case by.Protocol != rib.Static:
		return way{hops: attach(by.NextHops, r.Via)}
	}
	return s.lean(r, by)
}

// lean is the way of r by another static route.
func (s *resolver) lean(r Route, by rib.Route) way {
	d := dest{by.VRF, by.Prefix}
	s.path = append(s.path, dest{r.VRF, r.To.Masked()})
	defer func() { s.path = s.path[:len(s.path)-1] }()
	s.steps++
	switch {
	case slices.Contains(s.path, d):
		return nowhere("next hop %s: %s leads there, which leans on this route", r.Via, d.prefix)
	case len(s.path) > maxDepth || s.steps > maxSteps:
		return nowhere("next hop %s: too many static routes lean on each other on the way there", r.Via)
	}
	w := s.together(d, by.Distance)
	switch {
	case w.why != "":
		w.why = fmt.Sprintf("next hop %s: %s leads there, and %s", r.Via, d.prefix, w.why)
	case by.Override: // a shortcut, while the route that it shortens stands
		w.hops = attach(by.NextHops, r.Via)
	default:
		w.hops = attach(w.hops, r.Via)
	}
	w.tracked, w.far = nil, nil // the other route's
	return w
}

// together is where the routes of a destination at one distance lead that lead somewhere, and by which weights.
func (s *resolver) together(d dest, distance uint8) way {
	var shares []share
	var all way
	first := ""
	for _, r := range s.m.routes[d] {
		if r.Distance != distance {
			continue
		}
		w := s.way(r)
		all.tracked, all.far = append(all.tracked, w.tracked...), append(all.far, w.far...)
		if w.why != "" && first == "" {
			first = w.why
		}
		if w.why == "" {
			shares = append(shares, share{r.Weight, w.hops})
		}
	}
	if len(shares) == 0 {
		all.why = first
		return all
	}
	all.hops = merge(shares)
	return all
}

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
