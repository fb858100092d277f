package static

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/rib"
)

// Standing is how a configured route stands: where it leads, or why nowhere. Failed are the next hops that BFD says are down.
type Standing struct {
	Route
	NextHops []rib.NextHop
	Failed   []rib.NextHop
	Why      string
}

// Covering is how the configured routes stand whose prefix covers p, from the longest on, by distance.
func (m *Module) Covering(table *rib.RIB, vrf string, p netip.Prefix) (all []Standing) {
	for bits := p.Bits(); bits >= 0; bits-- {
		for _, r := range m.routes[dest{vrf, netip.PrefixFrom(p.Addr(), bits).Masked()}] {
			all = append(all, m.standing(table, r))
		}
	}
	return all
}

// Floating is the configured routes to p that lead somewhere and wait for those of a lower distance to fail, by distance.
func (m *Module) Floating(table *rib.RIB, vrf string, p netip.Prefix) (all []Standing) {
	used := uint8(0)
	for _, r := range m.routes[dest{vrf, p.Masked()}] {
		s := m.standing(table, r)
		switch {
		case s.Why != "":
		case used == 0:
			used = r.Distance
		case r.Distance > used:
			all = append(all, s)
		}
	}
	return all
}

func (m *Module) standing(table *rib.RIB, r Route) Standing {
	w := (&resolver{m: m, table: table}).way(r)
	s := Standing{Route: r, NextHops: w.hops, Why: w.why}
	for _, h := range w.tracked {
		if len(m.alive([]rib.NextHop{h})) == 0 {
			s.Failed = append(s.Failed, h)
		}
	}
	return s
}
