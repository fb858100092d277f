package peers

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Three hubs, FRR, ours and FRR, in the places of FRR's own nhrp_redundancy (R1 to R6) and nhrp_nhs_priority (P1 to
// P5). Two spokes, ours and FRR, are registered with all three; two of ours with the best one that they have.
func TestRedundancy(t *testing.T) {
	s := newScene(t, "trixie")
	hub := func(name string, site int) spec {
		return spec{name: name, site: site, clients: []int{4, 5, 6, 7}}
	}
	spoke := func(name string, site int) spec {
		return spec{name: name, site: site, servers: []server{{site: 1}, {site: 2}, {site: 3}}}
	}
	choosy := func(name string, site int, priorities ...int) spec {
		p := spoke(name, site)
		for i, n := range priorities {
			p.servers[i].priority, p.servers[i].cluster = n, "all"
		}
		p.extra = []string{"fallback: 2s", "clusters: {all: {max-connections: 1}}"}
		return p
	}
	guests := s.boot(hub("nhs1", 1), hub("nhs3", 3), spoke("nhc2", 5))
	ours := s.spokeway(hub("nhs2", 2), spoke("nhc1", 4), choosy("choosy1", 6, 0, 50, 255), choosy("choosy2", 7, 10, 100, 100))
	c := &redundancy{scene: s, nhs1: guests[0], nhs3: guests[1], nhc2: guests[2],
		nhs2: ours[0], nhc1: ours[1], choosy1: ours[2], choosy2: ours[3]}
	host := s.host("host", c.nhc1)
	s.part("R1 cache and P1 the best hub alone", c.caches)
	s.part("R2 and P2 pings", c.pings)
	s.part("R3 shortcut of a host behind a spoke", func() { c.hostShortcut(host) })
	s.part("P3 shortcut between choosy spokes", func() { c.shortcut(c.choosy1, 6, 7, true) })
	s.part("R4 idle", c.idle)
	s.part("R5 hub loss and P4 the next best hub", c.hubLoss)
	s.part("R6 shortcut by the backup hub", func() { c.hostShortcut(host) })
	s.part("P4 shortcut by the next best hub", func() { c.shortcut(c.choosy1, 6, 7, true) })
	s.part("P5 back to the best hub", c.hubBack)
	s.decoded()
}

type redundancy struct {
	*scene
	nhs1, nhs3, nhc2             *guest
	nhs2, nhc1, choosy1, choosy2 *node
}

func (c *redundancy) caches() {
	atOnceWithin(c.scene, 40*time.Second, map[string]func() error{
		"nhc1 has three hubs and itself":         same(c.nhc1.cache, local(4), hubOfOurs(1), hubOfOurs(2), hubOfOurs(3)),
		"nhc2 has three hubs and itself":         same(c.nhc2.cache, local(5), hubOfFRR(1), hubOfFRR(2), hubOfFRR(3)),
		"nhc1 has their routes":                  same(c.nhc1.nhrpRoutes, hostRow(1), hostRow(2), hostRow(3)),
		"nhc2 has their routes":                  same(c.nhc2.nhrpRoutes, hostRow(1), hostRow(2), hostRow(3)),
		"choosy1 has nhs1 and itself":            same(c.choosy1.cache, local(6), hubOfOurs(1)),
		"choosy2 has nhs1 and itself":            same(c.choosy2.cache, local(7), hubOfOurs(1)),
		"nhs1 has all spokes":                    same(c.nhs1.cache, local(1), registered(4), registered(5), registered(6), registered(7)),
		"nhs2 has those that register with all":  same(c.nhs2.cache, local(2), registered(4), registered(5)),
		"nhs3 has those that register with all":  same(c.nhs3.cache, local(3), registered(4), registered(5)),
		"nhs2 has routes to them":                same(c.nhs2.nhrpRoutes, hostRow(4), hostRow(5)),
		"choosy1 says that the others are spare": c.waits(c.choosy1, 2, 3),
		"choosy2 says that the others are spare": c.waits(c.choosy2, 2, 3),
	})
}

// waits wants a spoke to know these hubs as spare ones.
func (c *redundancy) waits(n *node, hubs ...int) func() error {
	return func() error {
		for _, site := range hubs {
			row, err := n.peer(nbma(site))
			if err != nil || row.State != "waiting" {
				return fmt.Errorf("hub %d: %q, %v", site, row.State, err)
			}
		}
		return nil
	}
}

// pings: FRR is content with a loss of 90 of 100 here, we with one of 100.
func (c *redundancy) pings() {
	for _, link := range []struct {
		from router
		to   int
	}{{c.nhs1, 4}, {c.nhs1, 5}, {c.nhc1, 1}, {c.nhc1, 2}, {c.nhc1, 3}, {c.nhs1, 6}, {c.choosy1, 1}} {
		received, err := ping(link.from, tunnelAddress(link.to), 1000, "-f")
		if received < 990 {
			c.t.Errorf("to %s: %d of 1000 echoes, %v", tunnelAddress(link.to), received, err)
		}
	}
}

// hostShortcut: traffic of a host behind nhc1 makes nhc1 a shortcut to the LAN of nhc2.
func (c *redundancy) hostShortcut(h *host) {
	c.within(20*time.Second, "the host is answered", func() error {
		if received, err := ping(h, lanAddress(5), 1); received != 1 {
			return err
		}
		return nil
	})
	received, err := ping(h, lanAddress(5), 1000, "-i", "0.003")
	if received < 990 {
		c.t.Errorf("%d of 1000 echoes while the shortcut forms: %v", received, err)
	}
	keep := func(check func() error) func() error {
		return func() error {
			ping(h, lanAddress(5), 2, "-i", "0.1")
			return check()
		}
	}
	c.within(20*time.Second, "nhc1 has the shortcut", keep(has(c.nhc1.shortcuts, fmt.Sprintf("dynamic %s %s", lan(5), tunnelAddress(5)))))
	c.within(10*time.Second, "and the routes", keep(has(c.nhc1.nhrpRoutes,
		fmt.Sprintf("%s nhrp 10 %s %s", lan(5), tunnelAddress(5), tunnelName), hostRow(5))))
	c.within(10*time.Second, "one router before nhc2", pings(h, lanAddress(5), 3, "-i", "0.1", "-t", "2"))
}

func (c *redundancy) idle() {
	none := func(r router) func() error { return same(r.shortcuts) }
	atOnceWithin(c.scene, 25*time.Second, map[string]func() error{
		"nhc1's shortcut is gone":    none(c.nhc1),
		"nhc2's shortcut is gone":    none(c.nhc2),
		"choosy1's shortcut is gone": none(c.choosy1),
		"choosy2's shortcut is gone": none(c.choosy2),
	})
	c.within(5*time.Second, "and nhc1's route to nhc2", same(c.nhc1.nhrpRoutes, hostRow(1), hostRow(2), hostRow(3)))
}

func (c *redundancy) hubLoss() {
	c.nhs1.must("ip", "link", "set", tunnelName, "down")
	atOnceWithin(c.scene, 25*time.Second, map[string]func() error{
		"nhc1 has two hubs left":    same(c.nhc1.cache, local(4), hubOfOurs(2), hubOfOurs(3)),
		"nhc1 has their routes":     same(c.nhc1.nhrpRoutes, hostRow(2), hostRow(3)),
		"choosy1 has its next best": same(c.choosy1.cache, local(6), hubOfOurs(2)),
		"choosy2 has its next best": same(c.choosy2.cache, local(7), hubOfOurs(2)),
		"nhs2 has all spokes":       has(c.nhs2.cache, registered(4), registered(5), registered(6), registered(7)),
		"nhs3 has nhc1 and nhc2":    has(c.nhs3.cache, registered(4), registered(5)),
		"nhc1 goes by nhs2": has(c.nhc1.routes,
			fmt.Sprintf("192.168.0.0/16 static 60 %s %s", tunnelAddress(2), tunnelName)),
	})
	c.within(30*time.Second, "nhc2 has two hubs left", func() error {
		rows, err := c.nhc2.cache()
		if slices.Contains(rows, hubOfFRR(1)) {
			return fmt.Errorf("%q", rows)
		}
		return err
	})
}

func (c *redundancy) hubBack() {
	c.nhs1.must("ip", "link", "set", tunnelName, "up")
	atOnceWithin(c.scene, 60*time.Second, map[string]func() error{
		"choosy1 is back":        same(c.choosy1.cache, local(6), hubOfOurs(1)),
		"choosy2 is back":        same(c.choosy2.cache, local(7), hubOfOurs(1)),
		"nhc1 has three hubs":    has(c.nhc1.cache, hubOfOurs(1), hubOfOurs(2), hubOfOurs(3)),
		"nhs2 is rid of choosy1": lacks(c.nhs2.cache, registered(6)),
		"nhs2 is rid of choosy2": lacks(c.nhs2.cache, registered(7)),
	})
}
