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
			w := (&resolver{m: m, table: table}).way(r)
			s := Standing{Route: r, NextHops: w.hops, Why: w.why}
			for _, h := range w.tracked {
				if len(m.alive([]rib.NextHop{h})) == 0 {
					s.Failed = append(s.Failed, h)
				}
			}
			all = append(all, s)
		}
	}
	return all
}
