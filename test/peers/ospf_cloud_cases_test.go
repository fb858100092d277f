package peers

import (
	"fmt"
	"testing"
	"time"
)

// ourOSPF is OSPF of ours on tunnel and LAN, in the timing of FRR's.
func ourOSPF(p spec) spec {
	p.ospf, p.password = true, secret
	p.routing = []string{
		"ospf:",
		"  router-id: " + tunnelAddress(p.site),
		"  areas: {0: {interfaces: {" + tunnelName + ": {hello: 1s, dead: 8s}, lan0: {passive: true}}}}",
	}
	return p
}

// OSPF over the cloud, point-to-multipoint with the multicast map of NHRP: a hub of ours with a spoke of either make, and
// FRR's hub with the same. LANs are known by OSPF alone, and shortcuts go before it.
func TestOSPFInTheCloud(t *testing.T) {
	s := newScene(t, "trixie")
	spoke := func(name string, site, hub int) spec {
		return spec{name: name, site: site, password: secret, ospf: true, servers: []server{{site: hub}}}
	}
	c := &ospfCloud{scene: s}
	c.hub = s.spokeway(ourOSPF(spec{name: "hub", site: 1}))[0]
	c.frr = s.boot(spoke("r4", 4, 1), spec{name: "frrhub", site: 2, password: secret, ospf: true})
	ours := s.spokeway(ourOSPF(spoke("r3", 3, 1)), ourOSPF(spoke("r5", 5, 2)))
	c.r3, c.r5 = ours[0], ours[1]
	s.part("adjacencies", c.adjacencies)
	s.part("LANs by OSPF", c.lans)
	s.part("host routes do not shadow NHRP's", c.hosts)
	s.part("a shortcut goes before OSPF, and is not told of", c.shortcut)
	s.part("a hub that dies is noticed, and one that comes back", c.death)
	s.decoded()
}

type ospfCloud struct {
	*scene
	hub, r3, r5 *node
	frr         []*guest
}

// adjacent wants our neighbour to be full.
func adjacent(n *node, instance, router string) func() error {
	return func() error {
		var rows []struct{ Instance, RouterID, State string }
		if err := n.show(&rows, "ospf", "neighbors"); err != nil {
			return err
		}
		for _, r := range rows {
			if r.Instance == instance && r.RouterID == router && r.State == "full" {
				return nil
			}
		}
		return fmt.Errorf("%s is not full with %s in %v", n.name, router, rows)
	}
}

func (c *ospfCloud) adjacencies() {
	for _, site := range []int{3, 4} {
		c.within(30*time.Second, fmt.Sprint("our hub is full with site ", site), adjacent(c.hub, "ospf", tunnelAddress(site)))
	}
	c.within(30*time.Second, "FRR's spoke is full with our hub", shows(c.frr[0], "show ip ospf neighbor "+tunnelAddress(1), " Full/"))
	c.within(30*time.Second, "our spoke is full with FRR's hub", adjacent(c.r5, "ospf", tunnelAddress(2)))
	c.within(30*time.Second, "FRR's hub is full with our spoke", shows(c.frr[1], "show ip ospf neighbor "+tunnelAddress(5), " Full/"))
}

// learned wants the kernel's route for a LAN to be by a neighbour in the tunnel.
func (c *ospfCloud) learned(n *node, site, via int) func() error {
	return func() error {
		return contains(n.kernelRoute(lan(site)), "via "+tunnelAddress(via)+" dev "+tunnelName)
	}
}

func (c *ospfCloud) lans() {
	c.within(20*time.Second, "our hub has the LAN of r3", c.learned(c.hub, 3, 3))
	c.within(20*time.Second, "our hub has the LAN of r4", c.learned(c.hub, 4, 4))
	c.within(20*time.Second, "our spoke has the LAN of the other spoke by the hub", c.learned(c.r3, 4, 1))
	c.within(20*time.Second, "our spoke has the LAN of FRR's hub", c.learned(c.r5, 2, 2))
	c.within(20*time.Second, "FRR's spoke has the LAN of ours", shows(c.frr[0], "show ip route "+lan(3), tunnelName))
	c.within(20*time.Second, "our spoke reaches FRR's", pings(c.r3, lanAddress(4), 5, "-i", "0.2", "-I", lanAddress(3)))
	c.within(20*time.Second, "our spoke reaches FRR's hub", pings(c.r5, lanAddress(2), 5, "-i", "0.2", "-I", lanAddress(5)))
}

func (c *ospfCloud) hosts() {
	for _, site := range []int{3, 4} {
		if out := c.hub.kernelRoute(hostRoute(site)); contains(out, "proto 47 metric 110") == nil {
			c.t.Errorf("OSPF's route to a spoke is in the kernel: %s", out)
		}
	}
}

func (c *ospfCloud) shortcut() {
	c.within(30*time.Second, "traffic makes a shortcut", func() error {
		_ = pings(c.r3, lanAddress(4), 3, "-i", "0.2", "-I", lanAddress(3))()
		return contains(c.r3.kernelRoute(lan(4)), "via "+tunnelAddress(4))
	})
	var rows []struct{ Type, ID, Router string }
	if err := c.hub.show(&rows, "ospf", "database"); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Type == "external" {
			c.t.Errorf("somebody brings %s into OSPF", r.ID)
		}
	}
}

func (c *ospfCloud) death() {
	c.hub.kill()
	c.within(30*time.Second, "our spoke has no LAN behind the hub any more", func() error {
		if out := c.r3.kernelRoute(lan(1)); contains(out, tunnelName) == nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	c.hub.start()
	c.within(60*time.Second, "our hub is full with FRR's spoke again", adjacent(c.hub, "ospf", tunnelAddress(4)))
	c.within(60*time.Second, "and with ours", adjacent(c.hub, "ospf", tunnelAddress(3)))
	c.within(30*time.Second, "our spoke has the hub's LAN again", c.learned(c.r3, 1, 1))
}
