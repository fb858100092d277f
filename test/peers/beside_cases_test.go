package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// FRR beside us, on one kernel, in the cloud of an FRR hub and another FRR spoke that all speak OSPF: what its zebra
// writes into the kernel's table is our data plane's too, what we write is zebra's, and OSPF's multicast goes by us.
func TestFRRBesideUs(t *testing.T) {
	s := newScene(t, "trixie")
	spoke := func(name string, site int) spec {
		return spec{name: name, site: site, password: secret, ospf: true, servers: []server{{site: 2}}}
	}
	guests := s.boot(spec{name: "hub", site: 2, password: secret, ospf: true}, spoke("r5", 5))
	c := &besideUs{scene: s, hub: guests[0], r5: guests[1], r1: s.beside(spoke("r1", 1))}
	s.part("zebra has our route", c.ourRoute)
	s.part("OSPF over our tunnel", c.adjacency)
	s.part("routes that FRR writes are mirrored", c.mirrored)
	s.part("and forgotten with them", c.forgotten)
	s.part("a shortcut beside the route of OSPF", c.shortcutOverOSPF)
	s.decoded()
}

type besideUs struct {
	*scene
	hub, r5 *guest
	r1      pair
}

// shows wants FRR's answer to contain a text.
func shows(g *guest, command, want string) func() error {
	return func() error {
		out, err := g.run("vtysh", "-c", command)
		if err != nil {
			return err
		}
		return contains(out, want)
	}
}

func (c *besideUs) ourRoute() {
	c.within(20*time.Second, "registered", has(c.r1.cache, hubOfOurs(2)))
	c.within(20*time.Second, "zebra knows the hub by it", shows(c.r1.zebra, "show ip route "+hostRoute(2), tunnelName))
}

func (c *besideUs) adjacency() {
	c.within(60*time.Second, "the hub is full with r1", shows(c.hub, "show ip ospf neighbor "+tunnelAddress(1), " Full/"))
	c.within(60*time.Second, "r1 has the LAN behind the hub", func() error {
		return contains(c.r1.kernelRoute(lan(2)), "via "+tunnelAddress(2)+" dev "+tunnelName)
	})
	c.within(10*time.Second, "and reaches it", pings(c.r1, lanAddress(2), 5, "-i", "0.1", "-I", lanAddress(1)))
}

func (c *besideUs) mirrored() {
	for _, a := range []string{"4.4.4.1", "5.5.5.1"} {
		c.hub.must("ip", "address", "add", a+"/32", "dev", "lo")
	}
	c.r1.zebra.configure("ip route 4.4.4.1/32 10.255.255.2 tun100 onlink", "ip route 5.5.5.1/32 10.255.255.2")
	for _, a := range []string{"4.4.4.1", "5.5.5.1"} {
		c.within(10*time.Second, "FRR has written "+a, func() error { return contains(c.r1.kernelRoute(a+"/32"), "dev tun100") })
		c.within(5*time.Second, "and we forward by it", pings(c.r1, a, 5, "-i", "0.1"))
	}
}

func (c *besideUs) forgotten() {
	c.r1.zebra.configure("no ip route 4.4.4.1/32 10.255.255.2 tun100 onlink")
	c.within(10*time.Second, "FRR has taken 4.4.4.1 back", func() error {
		if out := c.r1.kernelRoute("4.4.4.1/32"); strings.Contains(out, tunnelName) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	c.within(5*time.Second, "nothing answers there", func() error {
		if received, _ := ping(c.r1, "4.4.4.1", 1); received != 0 {
			return fmt.Errorf("it does")
		}
		return nil
	})
	c.within(5*time.Second, "5.5.5.1 is as before", pings(c.r1, "5.5.5.1", 3, "-i", "0.1"))
}

// shortcutOverOSPF: OSPF has the prefix by the hub, we have the same prefix straight, and ours wins while it is there.
func (c *besideUs) shortcutOverOSPF() {
	c.within(60*time.Second, "r1 has the LAN behind r5 by the hub", func() error {
		return contains(c.r1.kernelRoute(lan(5)), "via "+tunnelAddress(2)+" dev "+tunnelName)
	})
	c.shortcut(c.r1, 1, 5, true)
	c.within(30*time.Second, "without traffic the shortcut goes", same(c.r1.shortcuts))
	c.within(10*time.Second, "and the way by the hub is as before", pings(c.r1, lanAddress(5), 3, "-i", "0.1", "-I", lanAddress(1)))
}
