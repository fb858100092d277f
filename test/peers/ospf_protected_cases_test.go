package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// dual is a protected cloud with two hubs and two spokes, all of which speak OSPF in it, point-to-multipoint.
type dual struct {
	*scene
	hubs, spokes []dualRouter
}

// dualRouter is one of either make.
type dualRouter interface {
	router
	where() int
	full(with int) func() error
}

func (n *node) where() int  { return n.site }
func (g *guest) where() int { return g.site }

func (n *node) full(with int) func() error { return adjacent(n, "ospf", tunnelAddress(with)) }

func (g *guest) full(with int) func() error {
	return shows(g, "show ip ospf neighbor "+tunnelAddress(with), " Full/")
}

// guarded is OSPF in a protected cloud, with peers that are missed soon.
func guarded(p spec) spec {
	p = ourOSPF(p)
	p.password = ""
	p.protect = gcm.with([]string{"dpd: 2s"}, nil, nil)
	return p
}

// Two hubs of ours, a spoke of FRR with strongSwan's ESP in its kernel, and one of ours.
func TestOSPFProtected(t *testing.T) {
	s := newScene(t, "trixie")
	hubs := []server{{site: 1}, {site: 2}}
	h1, h2 := guarded(spec{name: "h1", site: 1}), guarded(spec{name: "h2", site: 2})
	r5 := guarded(spec{name: "r5", site: 5, servers: hubs})
	r4 := spec{name: "r4", site: 4, servers: hubs, ospf: true, partners: []spec{h1, h2, r5}}
	r4.protect = named("r4", gcm).with(nil, []string{"dpd_delay = 2s"}, nil)
	ours := s.spokeway(h1, h2, r5)
	guests := s.boot(r4)
	c := &dual{scene: s, hubs: []dualRouter{ours[0], ours[1]}, spokes: []dualRouter{ours[2], guests[0]}}
	s.part("adjacencies", c.adjacencies)
	s.part("LANs by both hubs", func() { c.by(1, 2) })
	s.part("a hub dies, and comes back", func() {
		ours[0].kill()
		c.by(2)
		c.reach()
		ours[0].start()
		c.adjacencies()
	})
	c.decoded()
}

// Two hubs of FRR with strongSwan, and two spokes of ours.
func TestOSPFInTheirProtectedCloud(t *testing.T) {
	s := newScene(t, "trixie")
	hubs := []server{{site: 1}, {site: 2}}
	r5, r6 := guarded(spec{name: "r5", site: 5, servers: hubs}), guarded(spec{name: "r6", site: 6, servers: hubs})
	hub := func(name string, site int) spec {
		return spec{name: name, site: site, ospf: true, partners: []spec{r5, r6}}
	}
	guests := s.boot(hub("h1", 1), hub("h2", 2))
	ours := s.spokeway(r5, r6)
	c := &dual{scene: s, hubs: []dualRouter{guests[0], guests[1]}, spokes: []dualRouter{ours[0], ours[1]}}
	s.part("adjacencies", c.adjacencies)
	s.part("LANs by both hubs", func() { c.by(1, 2) })
	s.part("a hub dies", func() {
		s.must("./peer-stop", "h1")
		s.guests = guests[1:]
		c.by(2)
		c.reach()
	})
	c.decoded()
}

func (c *dual) adjacencies() {
	c.t.Helper()
	for _, hub := range c.hubs {
		for _, spoke := range c.spokes {
			c.within(60*time.Second, fmt.Sprintf("%s is full with %s", hub.address(), spoke.address()), hub.full(spoke.where()))
			c.within(60*time.Second, fmt.Sprintf("%s is full with %s", spoke.address(), hub.address()), spoke.full(hub.where()))
		}
	}
}

// by wants the spokes to have each other's LANs by these hubs and no others.
func (c *dual) by(hubs ...int) {
	c.t.Helper()
	for i, spoke := range c.spokes {
		to := lan(c.spokes[1-i].where())
		c.within(60*time.Second, fmt.Sprintf("%s has %s by %v", spoke.address(), to, hubs), func() error {
			out, err := spoke.run("ip", "route", "show", "exact", to)
			for site := 1; site <= 2 && err == nil; site++ {
				has, want := strings.Contains(out, "via "+tunnelAddress(site)+" "), hubs[0] == site || len(hubs) > 1
				if has != want {
					err = fmt.Errorf("%s", out)
				}
			}
			return err
		})
	}
}

func (c *dual) reach() {
	c.t.Helper()
	a, b := c.spokes[0], c.spokes[1]
	c.within(30*time.Second, "LAN reaches LAN", pings(a, lanAddress(b.where()), 5, "-i", "0.2", "-I", lanAddress(a.where())))
}

// decoded wants Wireshark to find OSPF in the ESP of each of ours, besides what it looks at in any protected scene.
func (c *dual) decoded() {
	file := c.endCapture()
	c.part("OSPF is in our ESP", func() {
		seen := map[string]int{}
		for _, f := range c.fields(c.keys(), file, "esp && ospf", "ip.src", "_ws.malformed", "_ws.expert.severity") {
			if n := c.nodeAt(outer(f[0])); n != nil {
				seen[n.name]++
				if f[1] != "" || serious(f[2]) {
					c.t.Errorf("of %s: %v", n.name, f)
				}
			}
		}
		for _, n := range c.nodes {
			if seen[n.name] == 0 {
				c.t.Errorf("none of %s", n.name)
			}
		}
		c.t.Logf("packets: %v", seen)
	})
	c.protectedDecoded()
}
