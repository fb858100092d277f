package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// An FRR 10.3 hub with three spokes of ours and one of FRR's. The tunnel prefix of r4 has 24 bits, the others' 32; r6 is
// behind a NAT. The cases T1 to T10 are those of FRR's own nhrp_topo.
func TestFRRHub(t *testing.T) {
	s := newScene(t, "trixie")
	hub := spec{name: "hub", site: 2, password: secret, clients: []int{1, 4, 5, 6}}
	spoke := func(name string, site int) spec {
		return spec{name: name, site: site, password: secret, servers: []server{{site: 2}}}
	}
	r1Spec := spoke("r1", 1)
	r1Spec.routes = []route{
		{to: "10.255.255.0/24", via: tunnelAddress(2)}, // its own prefix does not reach the other spokes
		{to: "4.4.4.1/32", via: tunnelAddress(2)},      // T7
		{to: "5.5.5.1/32", via: tunnelAddress(2), iface: true},
	}
	guests := s.boot(hub, spoke("r5", 5))
	r4Spec := spoke("r4", 4)
	r4Spec.length = 24
	r4Spec.ipv6 = true // which the hub has not, and must not suffer from
	r6Spec := spoke("r6", 6)
	r6Spec.nat = true
	ours := s.spokeway(r1Spec, r4Spec, r6Spec)
	c := &frrHub{scene: s, hub: guests[0], r5: guests[1], r1: ours[0], r4: ours[1], r6: ours[2]}
	s.part("T1 cache", c.cache)
	s.part("T2 routes", c.routes)
	s.part("T3 interface", c.tunnelInterface)
	s.part("T4 authentication right", func() { s.within(40*time.Second, "100 of 100", pings(c.r1, c.hub.address(), 100, "-f")) })
	s.part("T7 routes of others", c.otherRoutes)
	s.part("T8 shortcut of ours to ours", func() { c.shortcut(c.r1, 1, 4, true) })
	s.part("T8 shortcut of ours to FRR", func() { c.shortcut(c.r1, 1, 5, true) })
	s.part("T8 shortcut of FRR to ours", func() { c.shortcut(c.r5, 5, 4, true) })
	s.part("phase 2 to ours", func() { c.phase2(1) })
	s.part("phase 2 to FRR", func() { c.phase2(5) })
	s.part("NAT", c.nat)
	s.part("T9 retries", c.retries)
	s.part("T5 authentication wrong", c.wrongPassword)
	s.part("T6 authentication repaired", c.repairedPassword)
	s.part("reconnect", c.reconnect)
	s.part("FRR outlives a purge", c.purge)
	s.part("T10 leak", c.leak)
	s.part("T9 six requests", c.sixRequests)
	s.part("no storm of errors", c.fewErrors)
	s.decoded()
}

type frrHub struct {
	*scene
	hub, r5    *guest
	r1, r4, r6 *node
}

func (c *frrHub) cache() {
	c.oursRegistered(registered(5))
	c.within(20*time.Second, "r5 has its hub and itself", same(c.r5.cache, local(5), hubOfFRR(2)))
}

// oursRegistered wants the spokes of ours at the hub, and others besides.
func (c *frrHub) oursRegistered(others ...string) {
	c.t.Helper()
	atOnceWithin(c.scene, 20*time.Second, map[string]func() error{
		"r1 has its hub and itself":                  same(c.r1.cache, local(1), hubOfOurs(2)),
		"r4 has its hub and itself":                  same(c.r4.cache, local(4), cacheRow("local", tunnelAddress6(4), nbma(4), ""), hubOfOurs(2)),
		"the hub has them, each where it says it is": same(c.hub.cache, append(others, local(2), registered(1), registered(4), registeredByNAT(6))...),
	})
}

func (c *frrHub) routes() {
	atOnceWithin(c.scene, 20*time.Second, map[string]func() error{
		"r1 has a host route to the hub": same(c.r1.nhrpRoutes, "10.255.255.2/32 nhrp 10 tun100"),
		"r4 needs none":                  both(same(c.r4.nhrpRoutes), has(c.r4.routes, "10.255.255.0/24 connected 0 tun100")),
		"r1's kernel has it":             func() error { return contains(c.r1.ip("route", "get", "10.255.255.2"), "dev tun100") },
		"the hub has a host route to each spoke": same(c.hub.nhrpRoutes,
			hostRow(1), hostRow(4), hostRow(5), hostRow(6)),
	})
}

func contains(text, want string) error {
	if !strings.Contains(text, want) {
		return fmt.Errorf("no %q in %q", want, strings.TrimSpace(text))
	}
	return nil
}

func (c *frrHub) tunnelInterface() {
	c.within(15*time.Second, "r1's tunnel is up and running", func() error {
		return contains(c.r1.ip("link", "show", "dev", tunnelName), ",UP,LOWER_UP>")
	})
	if text := c.r1.ip("neighbor", "show", "dev", tunnelName); strings.TrimSpace(text) != "" {
		c.t.Errorf("the tunnel has kernel neighbours: %s", text)
	}
}

// otherRoutes: routes that are not NHRP's lead through its adjacencies, be they ours, static and recursive, or written
// into the kernel by anybody.
func (c *frrHub) otherRoutes() {
	for _, a := range []string{"4.4.4.1", "5.5.5.1", "6.6.6.1"} {
		c.hub.must("ip", "address", "add", a+"/32", "dev", "lo")
	}
	c.r1.ip("route", "add", "6.6.6.1/32", "via", tunnelAddress(2), "dev", tunnelName, "onlink")
	c.within(10*time.Second, "both static routes are in use", has(c.r1.routes,
		"4.4.4.1/32 static 1 10.255.255.2 tun100", "5.5.5.1/32 static 1 10.255.255.2 tun100"))
	for _, a := range []string{"4.4.4.1", "5.5.5.1", "6.6.6.1"} {
		c.within(10*time.Second, "ping "+a, pings(c.r1, a, 3, "-i", "0.1"))
	}
}

// shortcut: a spoke pings the LAN behind another through the hub, and then has a path of its own to it. When whole is
// set, no echo may be lost while that forms.
func (s *scene) shortcut(from router, a, b int, whole bool) {
	s.t.Helper()
	s.within(20*time.Second, "the first echo is answered, by the hub", pings(from, lanAddress(b), 1, "-I", lanAddress(a)))
	received, err := ping(from, lanAddress(b), 30, "-i", "0.1", "-I", lanAddress(a))
	if err != nil && received == 0 || whole && received != 30 {
		s.t.Errorf("%d of 30 echoes while the shortcut forms: %v", received, err)
	}
	s.t.Logf("%d of 30 echoes while the shortcut forms", received)
	keep := func(check func() error) func() error { // traffic asks the hub for another redirect, should one be lost
		return func() error {
			ping(from, lanAddress(b), 2, "-i", "0.1", "-I", lanAddress(a))
			return check()
		}
	}
	s.within(30*time.Second, "the shortcut is there", keep(has(from.shortcuts, fmt.Sprintf("dynamic %s %s", lan(b), tunnelAddress(b)))))
	s.within(10*time.Second, "it is a route", keep(func() error {
		rows, err := from.nhrpRoutes()
		if !slices.Contains(rows, fmt.Sprintf("%s nhrp 10 %s %s", lan(b), tunnelAddress(b), tunnelName)) {
			return fmt.Errorf("not among %q: %v", rows, err)
		}
		return nil
	}))
	s.within(10*time.Second, "the path has no router in between", pings(from, lanAddress(b), 5, "-i", "0.1", "-t", "1", "-I", lanAddress(a)))
}

// phase2: a packet has a next hop in the cloud, for r4's prefix covers it; it goes by the hub until that is resolved.
func (c *frrHub) phase2(site int) {
	received, err := ping(c.r4, tunnelAddress(site), 30, "-i", "0.1")
	if received != 30 {
		c.t.Errorf("%d of 30 echoes: %v", received, err)
	}
	c.within(20*time.Second, "r4 knows where it is", func() error {
		ping(c.r4, tunnelAddress(site), 1)
		return has(c.r4.cache, registered(site))()
	})
	c.within(5*time.Second, "the path has no router in between", pings(c.r4, tunnelAddress(site), 5, "-i", "0.1", "-t", "1"))
}

// nat: both sides of a NAT learn of it by the hub, and use the address that it shows.
func (c *frrHub) nat() {
	row, err := c.r6.peer(nbma(2))
	if err != nil || !strings.Contains(row.Reason, nbma(6)) {
		c.t.Errorf("r6 says of the hub: %q, %v; want its address outside", row.Reason, err)
	}
	c.shortcut(c.r6, 6, 1, true)
	c.shortcut(c.r1, 1, 6, true)
	c.shortcut(c.r6, 6, 5, true)
	c.shortcut(c.r5, 5, 6, true)
}

// retries: r4 does not answer, so r1 goes on asking, then gives up for a while.
func (c *frrHub) retries() {
	c.r1.must("clear", "shortcuts")
	c.r4.pause()
	defer c.r4.resume()
	target := "192.168.4.99"
	c.within(20*time.Second, "a redirect makes r1 ask", func() error {
		ping(c.r1, target, 1, "-I", lanAddress(1))
		return has(c.r1.shortcuts, "incomplete "+target+"/32")()
	})
	c.within(35*time.Second, "r1 gives up", has(c.r1.shortcuts, "negative "+target+"/32"))
	row, err := c.r1.peer(target)
	if err != nil || !strings.Contains(row.Reason, "6 resolution requests without a reply") {
		c.t.Errorf("r1 says of it: %q, %v", row.Reason, err)
	}
}

// sixRequests counts those of T9 on the wire.
func (c *frrHub) sixRequests() {
	var sent []emitted
	for _, p := range c.nhrpPackets(" && nhrp.hdr.op.type == 1 && nhrp.dst.prot.addr == 192.168.4.99") {
		if p.from == c.r1.at {
			sent = append(sent, p)
		}
	}
	if len(sent) != 6 {
		c.t.Errorf("%d requests on the wire, want 6: %v", len(sent), sent)
	}
}

// fewErrors: FRR 10.3 answers an error indication that it cannot authenticate with another, for ever; we answer none.
func (c *frrHub) fewErrors() {
	by := map[string]int{}
	for _, p := range c.nhrpPackets(" && nhrp.hdr.op.type == 7") {
		by[p.from]++
	}
	if by[c.r1.at]+by[c.r4.at] > 0 || by[nbma(2)] > 100 {
		c.t.Errorf("error indications by sender: %v", by)
	}
}

func (c *frrHub) wrongPassword() {
	c.must("./peer-stop", c.r5.name) // lest it and the hub begin what fewErrors looks for
	c.hub.configure("interface "+tunnelName, "ip nhrp authentication secret12")
	c.hub.must("vtysh", "-c", "clear ip nhrp cache")
	c.within(40*time.Second, "r1's ping says that the network is unreachable", func() error {
		out, err := c.r1.run("ping", "-c", "1", "-W", "1", "-n", c.hub.address())
		if err == nil {
			return fmt.Errorf("the hub answers")
		}
		return contains(out, "Network is unreachable")
	})
	row, err := c.r1.peer(nbma(2))
	if err != nil || row.State != "registering" || !strings.Contains(row.Reason, "authentication failure") {
		c.t.Errorf("r1 says of the hub: %q, %q, %v", row.State, row.Reason, err)
	}
	if why := failedStage(c.r1.why(c.hub.address())); !strings.Contains(why, "authentication") {
		c.t.Errorf("why the hub is not reached: %q", why)
	}
}

func (c *frrHub) repairedPassword() {
	c.hub.configure("interface "+tunnelName, "ip nhrp authentication "+secret)
	c.within(40*time.Second, "100 of 100", pings(c.r1, c.hub.address(), 100, "-f"))
	c.within(40*time.Second, "r4 too", pings(c.r4, c.hub.address(), 10, "-i", "0.1"))
	c.oursRegistered()
}

// reconnect: the underlay interface goes and comes back, FRR pull request 21007.
func (c *frrHub) reconnect() {
	c.r4.unplug()
	c.within(60*time.Second, "the hub forgets r4", lacks(c.hub.cache, "dynamic 10.255.255.4 10.0.4.2"))
	c.r4.plug("10.0.4.2")
	c.within(10*time.Second, "r4 is registered again", has(c.hub.cache, "dynamic 10.255.255.4 10.0.4.2"))
	c.within(10*time.Second, "and reached", pings(c.r4, c.hub.address(), 10, "-i", "0.1"))
	c.r4.unplug()
	c.r4.plug("10.0.4.200")
	c.within(60*time.Second, "the hub has r4 at its other address", has(c.hub.cache, "dynamic 10.255.255.4 10.0.4.200"))
	c.within(10*time.Second, "r4 too", has(c.r4.cache, "local 10.255.255.4 10.0.4.200"))
	for range 4 {
		c.r4.unplug()
		c.r4.plug("10.0.4.2")
	}
	c.within(60*time.Second, "after some fast flaps the hub has r4 at the first", has(c.hub.cache, "dynamic 10.255.255.4 10.0.4.2"))
	c.within(10*time.Second, "and reaches it", pings(c.r4, c.hub.address(), 10, "-i", "0.1"))
}

// purge: nhrpd 10.3 does not implement it. Our goodbye must do it no harm; the entry ages out.
func (c *frrHub) purge() {
	c.r4.stop()
	c.within((holdTime+5)*time.Second, "the hub forgets r4", lacks(c.hub.cache, "dynamic 10.255.255.4 10.0.4.2"))
	c.r4.start()
	c.oursRegistered()
}

// leak: what a router does over and over costs nothing that stays.
func (c *frrHub) leak() {
	exercise := func() {
		c.r1.must("clear", "nhrp")
		c.within(20*time.Second, "registered again", has(c.r1.cache, "static 10.255.255.2 10.0.2.2"))
		c.within(20*time.Second, "pings", pings(c.r1, c.hub.address(), 5, "-i", "0.1"))
	}
	exercise()
	before := c.r1.resources()
	for range 5 {
		exercise()
	}
	c.within(10*time.Second, "no descriptor, thread or timer more than before", func() error {
		if after := c.r1.resources(); after.descriptors > before.descriptors || after.goroutines > before.goroutines || after.timers > before.timers {
			return fmt.Errorf("before %+v, after %+v", before, after)
		}
		return nil
	})
	c.r1.stop()
	if left := c.r1.ip("-o", "link", "show"); strings.Contains(left, tunnelName) {
		c.t.Errorf("the tunnel interface is left: %s", left)
	}
	if left := c.r1.ip("route", "show"); strings.Contains(left, "10.255.255.") || strings.Contains(left, "192.168.0.0/16") {
		c.t.Errorf("routes are left: %s", left)
	}
	c.r1.start()
}

// failedStage is the first stage of `why` that is not well, as text.
func failedStage(stages []stage) string {
	for _, st := range stages {
		if st.State != "ok" {
			return fmt.Sprintf("%s: %s: %s (%s)", st.Name, st.State, st.Detail, st.Remedy)
		}
	}
	return ""
}

// atOnceWithin waits for several things that come about side by side, in order of name.
func atOnceWithin(s *scene, limit time.Duration, checks map[string]func() error) {
	s.t.Helper()
	start := time.Now()
	for _, name := range sortedKeys(checks) {
		s.within(max(time.Second, limit-time.Since(start)), name, checks[name])
	}
}
