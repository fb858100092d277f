package peers

import (
	"fmt"
	"testing"
	"time"
)

// IPv6 in the tunnel, beside IPv4, with FRR 10.3 at each end: its hub and ours, each with a spoke of either make. The
// underlay is IPv4, for nhrpd knows no other.
func TestIPv6Overlay(t *testing.T) {
	s := newScene(t, "trixie")
	router := func(name string, site int, servers []server, clients ...int) spec {
		return spec{name: name, site: site, ipv6: true, password: secret, servers: servers, clients: clients}
	}
	guests := s.boot(router("hub", 2, nil, 1, 5), router("r5", 5, []server{{site: 2}}), router("r15", 15, []server{{site: 12}}))
	ours := s.spokeway(router("r1", 1, []server{{site: 2}}), router("ourhub", 12, nil, 15, 16), router("r16", 16, []server{{site: 12}}))
	hub, r5, r15 := guests[0], guests[1], guests[2]
	r1, ourHub, r16 := ours[0], ours[1], ours[2]
	row := func(kind string, site int) string { return cacheRow(kind, tunnelAddress6(site), nbma(site), "") }
	s.part("registered", func() {
		atOnceWithin(s, 40*time.Second, map[string]func() error{
			"r1 has the hub":        has(r1.cache, row("local", 1), row("static", 2)),
			"r16 has our hub":       has(r16.cache, row("local", 16), row("static", 12)),
			"the hub has both":      same(hub.cache6, row("local", 2), row("dynamic", 1), row("dynamic", 5)),
			"our hub has both":      has(ourHub.cache, row("local", 12), row("dynamic", 15), row("dynamic", 16)),
			"r5 has the hub":        same(r5.cache6, row("local", 5), row("nhs", 2)),
			"r15 has our hub":       same(r15.cache6, row("local", 15), row("nhs", 12)),
			"IPv4 is there as well": has(ourHub.cache, registered(15), registered(16)),
		})
	})
	s.part("pings", func() {
		s.within(20*time.Second, "r1 to the hub", pings(r1, tunnelAddress6(2), 100, "-f"))
		s.within(20*time.Second, "r15 to our hub", pings(r15, tunnelAddress6(12), 100, "-f"))
	})
	s.part("shortcut of ours to FRR by FRR", func() { s.shortcut6(r1, r1.shortcuts, 1, 5) })
	s.part("shortcut of FRR to ours by FRR", func() { s.shortcut6(r5, r5.shortcuts6, 5, 1) })
	s.part("shortcut of ours to FRR by ours", func() { s.shortcut6(r16, r16.shortcuts, 16, 15) })
	s.part("shortcut of FRR to ours by ours", func() { s.shortcut6(r15, r15.shortcuts6, 15, 16) })
	s.decoded()
}

// shortcut6 is shortcut for IPv6.
func (s *scene) shortcut6(from runner, shortcuts func() ([]string, error), a, b int) {
	s.t.Helper()
	s.within(20*time.Second, "the first echo is answered, by the hub", pings(from, lanAddress6(b), 1, "-I", lanAddress6(a)))
	if received, err := ping(from, lanAddress6(b), 30, "-i", "0.1", "-I", lanAddress6(a)); received == 0 {
		s.t.Errorf("none of 30 echoes while the shortcut forms: %v", err)
	} else {
		s.t.Logf("%d of 30 echoes while the shortcut forms", received)
	}
	s.within(30*time.Second, "the shortcut is there", func() error {
		ping(from, lanAddress6(b), 2, "-i", "0.1", "-I", lanAddress6(a))
		return has(shortcuts, fmt.Sprintf("dynamic %s %s", lan6(b), tunnelAddress6(b)))()
	})
	s.within(10*time.Second, "the path has no router in between", pings(from, lanAddress6(b), 5, "-i", "0.1", "-t", "1", "-I", lanAddress6(a)))
}
