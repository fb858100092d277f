package peers

import (
	"fmt"
	"testing"
	"time"
)

// A hub of ours with certificates, two spokes of FRR and strongSwan, one of them behind an address translator, and one
// of ours. strongSwan begins, by a trap; between the spokes both do.
func TestOurProtectedHub(t *testing.T) {
	s := newScene(t, "trixie")
	c := &ourProtectedHub{scene: s}
	alive := []string{"dpd: 5s"}
	hub := spec{name: "hub", site: 2, clients: []int{4, 5, 6}, protect: ecdsa.with(alive, nil, nil)}
	r5 := spec{name: "r5", site: 5, servers: []server{{site: 2}}, protect: named("r5", ecdsa).with(alive, nil, nil)}
	r4 := spec{name: "r4", site: 4, servers: []server{{site: 2}}, protect: named("r4", ecdsa).with(nil, []string{"dpd_delay = 1s"}, nil)}
	r4.partners = []spec{hub, r5}
	r6 := spec{name: "r6", site: 6, servers: []server{{site: 2}}, nat: true, protect: named("r6", ed25519).with(nil, []string{"dpd_delay = 1s"}, nil)}
	r6.protect.theirIKE = ecdsa.theirIKE
	r6.partners = []spec{hub, r5}
	ours := s.spokeway(hub, r5)
	guests := s.boot(r4, r6)
	c.hub, c.r5, c.r4, c.r6 = ours[0], ours[1], guests[0], guests[1]
	s.part("all are registered", c.registered)
	s.part("shortcut of FRR to ours", func() { s.shortcut(c.r4, 4, 5, false) })
	s.part("shortcut of ours to FRR", func() { s.shortcut(c.r5, 5, 4, false) })
	s.part("shortcut of ours to FRR behind NAT", func() { s.shortcut(c.r5, 5, 6, false) })
	s.part("rekeying under traffic", c.rekey)
	s.part("the hub restarts in good order", func() { c.restart(c.hub.stop) })
	s.part("the hub is killed, and starts again", func() { c.restart(c.hub.kill) })
	s.protectedDecoded()
}

type ourProtectedHub struct {
	*scene
	hub, r5 *node
	r4, r6  *guest
}

// clients is what the hub has of its spokes: one in ESP, one of ours in UDP, as is our way, and one in UDP behind a NAT.
func (c *ourProtectedHub) clients() []string {
	return []string{
		registered(4),
		cacheRow("dynamic", tunnelAddress(5), nbma(5)+":4500", nbma(5)),
		cacheRow("dynamic", tunnelAddress(6), nbma(6)+":4500", inside(6, 2)),
	}
}

func (c *ourProtectedHub) registered() {
	atOnceWithin(c.scene, 60*time.Second, map[string]func() error{
		"the hub has them all": has(c.hub.cache, c.clients()...),
		"r4 reaches it":        pings(c.r4, c.hub.address(), 20, "-i", "0.05", "-s", "1300"),
		"r5 reaches it":        pings(c.r5, c.hub.address(), 20, "-i", "0.05", "-s", "1300"),
		"r6 reaches it":        pings(c.r6, c.hub.address(), 20, "-i", "0.05", "-s", "1300"),
	})
	for g, encapsulation := range map[*guest]string{c.r4: "esp", c.r6: "udp"} {
		row, err := c.hub.sa(g.site)
		if err != nil || row.State != "up" || row.Encapsulation != encapsulation || row.RemoteID != g.domainName() {
			c.t.Errorf("%v, %+v", err, row)
		}
	}
}

// rekey: each spoke rekeys its child SA, then its IKE SA.
func (c *ourProtectedHub) rekey() {
	flows := []*flow{traffic(c.hub, c.r4, 50), traffic(c.hub, c.r6, 50)}
	for _, g := range []*guest{c.r4, c.r6} {
		before, child, err := g.one("hub")
		if err != nil {
			c.t.Fatal(err)
		}
		g.must("swanctl", "--rekey", "--child", "hub")
		c.within(10*time.Second, g.name+" has other keys", func() error {
			_, now, err := g.one("hub")
			if err == nil && now.get("spi-in") == child.get("spi-in") {
				err = fmt.Errorf("the same SPI")
			}
			return err
		})
		g.must("swanctl", "--rekey", "--ike", "hub")
		c.within(10*time.Second, g.name+" has another IKE SA", func() error {
			sa, _, err := g.one("hub")
			if err == nil && sa.spis() == before.spis() {
				err = fmt.Errorf("the same IKE SA")
			}
			return err
		})
	}
	for _, f := range flows {
		f.end(c.scene)
	}
}

// restart: everybody comes back, however the hub went away.
func (c *ourProtectedHub) restart(end func()) {
	end()
	c.hub.start()
	atOnceWithin(c.scene, 60*time.Second, map[string]func() error{
		"the hub has them all": has(c.hub.cache, c.clients()...),
		"r4 reaches it":        pings(c.r4, c.hub.address(), 5, "-i", "0.1"),
		"r5 reaches it":        pings(c.r5, c.hub.address(), 5, "-i", "0.1"),
		"r6 reaches it":        pings(c.r6, c.hub.address(), 5, "-i", "0.1"),
	})
}

// TestOldStrongSwanSpoke: a hub of ours with a pre-shared key and two spokes of strongSwan 5.9 and FRR 8.4: in tunnel mode,
// and in transport mode behind an address translator.
func TestOldStrongSwanSpoke(t *testing.T) {
	s := newScene(t, "bookworm")
	hub := spec{name: "hub", site: 2, clients: []int{4, 6}, protect: tunnelled}
	hub.protect.either = true
	spoke := func(name string, site int, tunnel bool) spec {
		p := spec{name: name, site: site, servers: []server{{site: 2}}, nat: !tunnel, partners: []spec{hub}}
		p.protect = named(name, tunnelled).with(nil, []string{"dpd_delay = 1s"}, nil)
		p.protect.tunnel = tunnel
		return p
	}
	c := &ourProtectedHub{scene: s, hub: s.spokeway(hub)[0]}
	guests := s.boot(spoke("r4", 4, true), spoke("r6", 6, false))
	c.r4, c.r6 = guests[0], guests[1]
	s.part("both are registered", func() {
		s.within(60*time.Second, "at the hub", has(c.hub.cache, registered(4), cacheRow("dynamic", tunnelAddress(6), nbma(6)+":4500", inside(6, 2))))
		for g, want := range map[*guest]string{c.r4: "TUNNEL AES_GCM_16 128", c.r6: "TRANSPORT AES_GCM_16 128 encap"} {
			s.within(20*time.Second, g.name+" reaches it", pings(g, c.hub.address(), 20, "-i", "0.05", "-s", "1300"))
			if _, child, err := g.one("hub"); err != nil || child.row() != want {
				s.t.Errorf("%v, %s", err, child.row())
			}
		}
	})
	s.part("rekeying under traffic", c.rekey)
	s.part("the hub is killed, and starts again", func() {
		c.hub.kill()
		c.hub.start()
		for _, g := range guests {
			s.within(60*time.Second, g.name+" reaches it again", pings(g, c.hub.address(), 5, "-i", "0.1"))
		}
	})
	s.protectedDecoded()
}
