package peers

import (
	"fmt"
	"testing"
	"time"
)

// libreswan 5.2 with FRR 10.3 as hub of spokes of ours. None is behind a NAT: libreswan refuses the inside address that a
// peer then has in its selectors, and does not put the outside one in its place as RFC 7296 section 2.23.1 has it.
func TestLibreswanHub(t *testing.T) {
	s := newScene(t, "trixie")
	c := &pluto{scene: s}
	hub := spec{name: "hub", site: 2, libreswan: true}
	for i, p := range []protection{
		gcm.pluted("aes_gcm256-sha2_384-dh31", "aes_gcm256;dh31"),
		cbc.pluted("aes256-sha2_256-dh14", "aes256-sha2_256;dh14"),
		tunnelled.pluted("aes_gcm128-sha2_256-dh19", "aes_gcm128"),
	} {
		spoke := spec{name: p.name, site: firstSpoke + i, servers: []server{{site: 2}}, protect: p}
		hub.partners = append(hub.partners, spoke)
		hub.clients = append(hub.clients, spoke.site)
	}
	c.hub = s.boot(hub)[0]
	c.spokes = s.spokeway(hub.partners...)
	s.part("every protection comes up", c.up)
	s.part("libreswan rekeys under traffic", c.rekey)
	s.part("libreswan says goodbye", c.goodbye)
	s.part("libreswan asks for another child", c.again)
	s.part("libreswan initiates", c.initiate)
	s.protectedDecoded()
}

type pluto struct {
	*scene
	hub    *guest
	spokes []*node
}

// pluted adds what libreswan calls the suites.
func (p protection) pluted(ike, esp string) protection {
	p.pluto = [2]string{ike, esp}
	return p
}

func (c *pluto) up() {
	for _, n := range c.spokes {
		c.within(60*time.Second, n.name+" reaches the hub", pings(n, c.hub.address(), 20, "-i", "0.05", "-s", "1300"))
		c.within(5*time.Second, "by one child SA", c.single(n))
	}
}

func (c *pluto) single(n *node) func() error {
	return func() error { _, err := c.hub.plutoChild(n.name); return err }
}

func (c *pluto) rekey() {
	var flows []*flow
	for _, n := range c.spokes {
		flows = append(flows, traffic(n, c.hub, 50))
	}
	for _, n := range c.spokes {
		old, err := c.hub.plutoChild(n.name)
		if err != nil {
			c.t.Error(err)
		}
		c.hub.whack("--rekey-child", "--name", n.name)
		c.within(10*time.Second, n.name+" has other keys", func() error {
			now, err := c.hub.plutoChild(n.name)
			if err == nil && now == old {
				err = fmt.Errorf("still #%s", old)
			}
			return err
		})
		c.hub.whack("--rekey-ike", "--name", n.name)
	}
	for _, f := range flows {
		f.end(c.scene)
	}
}

// goodbye: it closes its SAs; NHRP needs its hub, so each comes back.
func (c *pluto) goodbye() {
	for _, n := range c.spokes {
		c.hub.whack("--terminate", "--name", n.name)
		c.within(30*time.Second, n.name+" is back", pings(n, c.hub.address(), 3, "-i", "0.2"))
	}
}

// initiate: libreswan begins, for what we begin with does not leave us.
func (c *pluto) initiate() {
	for _, n := range c.spokes {
		c.in(n.netns, "nft", "add table ip mute; add chain ip mute out { type filter hook output priority 0; }; "+
			"add rule ip mute out udp dport 500 @th,128,64 0 drop") // without the responder's SPI, a first message
		c.hub.whack("--terminate", "--name", n.name)
		c.plutoBegins(n)
		c.within(10*time.Second, n.name+" has what libreswan began", func() error { return began(n, "responder") })
		c.within(30*time.Second, "reaches the hub by it", pings(n, c.hub.address(), 3, "-i", "0.2"))
		c.within(10*time.Second, "by one child SA", c.single(n))
	}
}

// again: libreswan makes a child beside the one that there is. One of the two is left.
func (c *pluto) again() {
	for _, n := range c.spokes {
		f := traffic(n, c.hub, 50)
		old, err := c.hub.plutoChild(n.name)
		if err != nil {
			c.t.Error(err)
		}
		c.plutoBegins(n)
		c.within(10*time.Second, n.name+" has the other child alone", func() error {
			now, err := c.hub.plutoChild(n.name)
			if err == nil && now == old {
				err = fmt.Errorf("still #%s", old)
			}
			return err
		})
		f.end(c.scene)
	}
}

func (c *pluto) plutoBegins(n *node) {
	c.t.Helper()
	if out, err := c.hub.whack("--initiate", "--name", n.name); err != nil {
		c.t.Errorf("libreswan cannot initiate to %s: %v %s", n.name, err, out)
	}
}
