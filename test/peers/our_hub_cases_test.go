package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A hub of ours with three FRR 10.3 spokes and one of ours. The hub's tunnel has a prefix of 24 bits, FRR's have 32; r6
// is behind a NAT.
func TestOurHub(t *testing.T) {
	s := newScene(t, "trixie")
	spoke := func(name string, site int) spec {
		return spec{name: name, site: site, password: secret, servers: []server{{site: 2}}}
	}
	ours := s.spokeway(spec{name: "hub", site: 2, length: 24, password: secret, clients: []int{1, 4, 5, 6}}, spoke("r5", 5))
	r6 := spoke("r6", 6)
	r6.nat = true
	guests := s.boot(spoke("r1", 1), spoke("r4", 4), r6)
	c := &ourHub{scene: s, hub: ours[0], r5: ours[1], r1: guests[0], r4: guests[1], r6: guests[2]}
	s.part("T1 cache", c.cache)
	s.part("T2 routes", c.routes)
	s.part("T4 authentication right", func() { s.within(40*time.Second, "100 of 100", pings(c.r1, c.hub.address(), 100, "-f")) })
	s.part("multicast to every client", c.multicast)
	s.part("T8 shortcut of FRR to FRR", func() { c.shortcut(c.r1, 1, 4, false) })
	s.part("T8 shortcut of FRR to ours", func() { c.shortcut(c.r4, 4, 5, true) })
	s.part("T8 shortcut of ours to FRR", func() { c.shortcut(c.r5, 5, 1, true) })
	s.part("NAT, ours to FRR behind it", func() { s.shortcut(c.r5, 5, 6, true) })
	s.part("NAT, FRR to FRR behind it", func() { s.shortcut(c.r1, 1, 6, false) })
	s.part("NAT, FRR behind it to ours", func() { s.shortcut(c.r6, 6, 5, true) })
	s.part("purge", c.purge)
	s.part("unique", c.unique)
	s.part("reconnect", c.reconnect)
	s.part("T5 authentication wrong", c.wrongPassword)
	s.part("T6 authentication repaired", c.repairedPassword)
	s.decoded()
}

type ourHub struct {
	*scene
	hub, r5    *node
	r1, r4, r6 *guest
}

func (c *ourHub) cache() {
	atOnceWithin(c.scene, 20*time.Second, map[string]func() error{
		"r1 has its hub and itself": same(c.r1.cache, local(1), hubOfFRR(2)),
		"r4 has its hub and itself": same(c.r4.cache, local(4), hubOfFRR(2)),
		"r5 has its hub and itself": same(c.r5.cache, local(5), hubOfOurs(2)),
		"r6 has its hub and itself": same(c.r6.cache, cacheRow("local", tunnelAddress(6), nbma(6), inside(6, 2)), hubOfFRR(2)),
		"the hub has them all":      same(c.hub.cache, local(2), registered(1), registered(4), registered(5), registeredByNAT(6)),
	})
}

// routes: the hub's own prefix reaches its spokes, so that it needs no routes to them.
func (c *ourHub) routes() {
	atOnceWithin(c.scene, 20*time.Second, map[string]func() error{
		"r1 has a host route to the hub": same(c.r1.nhrpRoutes, "10.255.255.2/32 nhrp 10 tun100"),
		"r5 has a host route to the hub": same(c.r5.nhrpRoutes, "10.255.255.2/32 nhrp 10 tun100"),
		"the hub has none":               same(c.hub.nhrpRoutes),
		"the hub reaches r1":             pings(c.hub, tunnelAddress(1), 3, "-i", "0.1"),
	})
}

// multicast: what the hub sends to a group comes to every client, which it does not for FRR without rules in a firewall.
func (c *ourHub) multicast() {
	for _, g := range []*guest{c.r1, c.r4, c.r6} {
		g.must("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0")
	}
	c.in(c.r5.netns, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0")
	c.within(10*time.Second, "all of them answer", func() error {
		out, err := c.hub.run("ping", "-n", "-c", "2", "-W", "1", "-I", tunnelName, "224.0.0.1")
		for _, site := range []int{1, 4, 5, 6} {
			if e := contains(out, "from "+tunnelAddress(site)+":"); e != nil {
				return fmt.Errorf("%w (%v)", e, err)
			}
		}
		return nil
	})
}

// purge: a spoke that ends in good order is gone from the hub at once; one that is killed ages out.
func (c *ourHub) purge() {
	entry := "dynamic 10.255.255.5 10.0.5.2"
	c.r5.stop()
	c.within(time.Second, "r5 stops, and the hub forgets it", lacks(c.hub.cache, entry))
	c.r5.start()
	c.within(5*time.Second, "r5 is back", has(c.hub.cache, entry))
	c.r5.kill()
	c.always(3*time.Second, "r5 is killed, and the hub keeps it for now", has(c.hub.cache, entry))
	c.within((holdTime+2)*time.Second, "until the holding time is over", lacks(c.hub.cache, entry))
	c.r5.start()
	c.within(5*time.Second, "r5 is back again", has(c.hub.cache, entry))
}

// unique: of two spokes with one tunnel address the first keeps it, FRR pull request 22952.
func (c *ourHub) unique() {
	twin := func(name string, site int) spec {
		return spec{name: name, site: site, tunnel: 66, password: secret, unique: true, servers: []server{{site: 2}}}
	}
	first := c.spokeway(twin("u1", 61))[0]
	entry := "dynamic 10.255.255.66 10.0.61.2"
	c.within(5*time.Second, "the first is registered", has(c.hub.cache, entry))
	second := c.spokeway(twin("u2", 62))[0]
	c.within(5*time.Second, "the second knows that it is refused, and why", func() error {
		row, err := second.peer(nbma(2))
		if err != nil || row.State != "registering" || !strings.Contains(row.Reason, "unique") {
			return fmt.Errorf("%q, %q, %v", row.State, row.Reason, err)
		}
		return nil
	})
	c.within(5*time.Second, "the hub says so too", func() error {
		row, err := c.hub.peer(nbma(62))
		if err != nil || row.State != "refused" || !strings.Contains(row.Reason, "registered as unique from 10.0.61.2") {
			return fmt.Errorf("%q, %q, %v", row.State, row.Reason, err)
		}
		return nil
	})
	if why := failedStage(second.why(nbma(2))); !strings.Contains(why, "unique") {
		c.t.Errorf("the second says of the hub: %q", why)
	}
	if why := failedStage(c.hub.why(nbma(62))); !strings.Contains(why, "unique") {
		c.t.Errorf("the hub says of the second: %q", why)
	}
	c.always(2*holdTime*time.Second, "the first keeps the address", has(c.hub.cache, entry))
	c.within(time.Second, "the second has no hub", same(second.cache, "local 10.255.255.66 10.0.62.2"))
	first.stop()
	c.within(70*time.Second, "the first leaves, and the second has the address", has(c.hub.cache, "dynamic 10.255.255.66 10.0.62.2"))
	second.stop()
}

// reconnect: FRR pull request 21007, here with ours at both ends.
func (c *ourHub) reconnect() {
	c.r5.unplug()
	c.within(60*time.Second, "the hub forgets r5", lacks(c.hub.cache, "dynamic 10.255.255.5 10.0.5.2"))
	c.r5.plug("10.0.5.2")
	c.within(5*time.Second, "r5 is registered again", has(c.hub.cache, "dynamic 10.255.255.5 10.0.5.2"))
	c.within(5*time.Second, "and reached", pings(c.hub, tunnelAddress(5), 10, "-i", "0.1"))
	c.r5.unplug()
	c.r5.plug("10.0.5.200")
	c.within(5*time.Second, "the hub has r5 at its other address", has(c.hub.cache, "dynamic 10.255.255.5 10.0.5.200"))
	c.within(5*time.Second, "and reaches it", pings(c.hub, tunnelAddress(5), 10, "-i", "0.1"))
	for range 4 {
		c.r5.unplug()
		c.r5.plug("10.0.5.2")
	}
	c.within(5*time.Second, "after some fast flaps the hub has r5 at the first", has(c.hub.cache, "dynamic 10.255.255.5 10.0.5.2"))
	c.within(5*time.Second, "and reaches it", pings(c.hub, tunnelAddress(5), 10, "-i", "0.1"))
}

func (c *ourHub) wrongPassword() {
	c.hub.reload(func(p *spec) { p.password = "secret12" })
	c.hub.must("clear", "nhrp")
	c.within(40*time.Second, "FRR has no way to the hub", func() error {
		out, err := c.r1.run("ping", "-c", "1", "-W", "1", "-n", c.hub.address())
		if err == nil {
			return fmt.Errorf("the hub answers")
		}
		return contains(out, "Network is unreachable")
	})
	c.within(20*time.Second, "nor have ours", same(c.r5.cache, "local 10.255.255.5 10.0.5.2"))
	c.within(10*time.Second, "the hub says why", func() error {
		row, err := c.hub.peer(nbma(1))
		if err != nil || row.State != "refused" || !strings.Contains(row.Reason, "authentication") {
			return fmt.Errorf("%q, %q, %v", row.State, row.Reason, err)
		}
		return nil
	})
}

func (c *ourHub) repairedPassword() {
	c.hub.reload(func(p *spec) { p.password = secret })
	c.within(40*time.Second, "100 of 100", pings(c.r1, c.hub.address(), 100, "-f"))
	c.within(40*time.Second, "r4 too", pings(c.r4, c.hub.address(), 10, "-i", "0.1"))
	c.within(40*time.Second, "r5 too", pings(c.r5, c.hub.address(), 10, "-i", "0.1"))
	c.cache()
	if row, err := c.hub.peer(nbma(1)); err == nil && row.State == "refused" {
		c.t.Errorf("the hub still shows a refusal: %+v", row)
	}
}
