package peers

import (
	"testing"
	"time"
)

// FRR 8.4, whose nhrpd has no authentication, as the hub of two spokes of ours and, in another cloud on the same
// underlay, as a spoke beside one of ours at a hub of ours.
func TestOldFRR(t *testing.T) {
	s := newScene(t, "bookworm")
	spoke := func(name string, site, hub int) spec {
		return spec{name: name, site: site, servers: []server{{site: hub}}}
	}
	guests := s.boot(spec{name: "hub84", site: 2, clients: []int{1, 4}}, spoke("spoke84", 15, 12))
	ours := s.spokeway(spoke("r1", 1, 2), spoke("r4", 4, 2),
		spec{name: "hub", site: 12, clients: []int{15, 16}}, spoke("r16", 16, 12))
	hub84, spoke84 := guests[0], guests[1]
	r1, r4, hub, r16 := ours[0], ours[1], ours[2], ours[3]
	s.part("T1 cache", func() {
		atOnceWithin(s, 20*time.Second, map[string]func() error{
			"r1 has the old hub and itself":       same(r1.cache, local(1), hubOfOurs(2)),
			"r4 has the old hub and itself":       same(r4.cache, local(4), hubOfOurs(2)),
			"the old hub has both":                same(hub84.cache, local(2), registered(1), registered(4)),
			"the old spoke has the hub of ours":   same(spoke84.cache, local(15), hubOfFRR(12)),
			"the hub of ours has the old spoke":   same(hub.cache, local(12), registered(15), registered(16)),
			"the old hub has routes to both":      same(hub84.nhrpRoutes, hostRow(1), hostRow(4)),
			"the hub of ours has routes to both":  same(hub.nhrpRoutes, hostRow(15), hostRow(16)),
			"the old spoke has a route to ours":   same(spoke84.nhrpRoutes, hostRow(12)),
			"r1 has a host route to the old hub":  same(r1.nhrpRoutes, hostRow(2)),
			"r16 has a host route to the hub too": same(r16.nhrpRoutes, hostRow(12)),
		})
	})
	s.part("T4 pings", func() {
		s.within(20*time.Second, "from r1 to the old hub", pings(r1, tunnelAddress(2), 100, "-f"))
		s.within(20*time.Second, "from the old spoke to the hub of ours", pings(spoke84, tunnelAddress(12), 100, "-f"))
	})
	s.part("T8 shortcut of ours to ours by the old hub", func() { s.shortcut(r1, 1, 4, true) })
	s.part("T8 shortcut of the old spoke to ours", func() { s.shortcut(spoke84, 15, 16, true) })
	s.part("T8 shortcut of ours to the old spoke", func() { s.shortcut(r16, 16, 15, true) })
	s.part("goodbye", func() {
		r16.stop()
		s.within(time.Second, "the hub of ours forgets r16", lacks(hub.cache, registered(16)))
		r4.stop()
		s.within((holdTime+5)*time.Second, "the old hub forgets r4", lacks(hub84.cache, registered(4)))
		s.within(time.Second, "and still has r1", has(hub84.cache, registered(1)))
	})
	s.decoded()
}
