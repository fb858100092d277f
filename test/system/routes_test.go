package system

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/query"
)

// dual makes a configuration one with IPv6 in the overlay too.
func dual(h *host, text string) string {
	four := fmt.Sprintf("10.100.0.%d/24", h.number)
	return strings.Replace(text, four, fmt.Sprintf("[%s, \"fd10::%d/64\"]", four, h.number), 1)
}

// chosen is the next hops of the route that the daemon takes for an address.
func (d *daemon) chosen(address string) string {
	r := d.cli("show", "routes", address, "-o", "table")
	return r.out + r.err
}

// Routes that others write into our tunnels are followed at once, whoever they are and whatever the family.
func TestRoutesOfOthers(t *testing.T) {
	w := newWorld(t)
	h := w.host("hub")
	hub := h.daemon(dual(h, hubConfig("")))
	hub.start()
	s := w.host("spoke")
	spoke := s.daemon(dual(s, spokeConfig(s, ""))).start()
	spoke.registered(2) // once for each family
	h.ip("address", "add", "172.16.1.1/32", "dev", "lan")
	h.ip("address", "add", "fd16::1/128", "dev", "lan", "nodad")
	unreachable := func(to string) {
		t.Helper()
		if lost, err := s.ping(to, "-c", "1"); err == nil && lost == 0 {
			t.Errorf("%s is reached without a route", to)
		}
	}
	for _, f := range []struct{ ip, to, prefix, via, behind string }{
		{"-4", "172.16.1.1", "172.16.0.0/16", "10.100.0.1", "10.100.0.77"}, {"-6", "fd16::1", "fd16::/32", "fd10::1", "fd10::77"},
	} {
		unreachable(f.to)
		s.ip(f.ip, "route", "add", f.prefix, "via", f.via, "dev", "tun0", "onlink", "proto", "bird", "metric", "50")
		s.reaches(f.to)
		if text := spoke.chosen(f.to); !strings.Contains(text, f.prefix) || !strings.Contains(text, "via "+f.via+" dev tun0") || !strings.Contains(text, "kernel") {
			t.Errorf("%s", text)
		}
		s.ip(f.ip, "route", "replace", f.prefix, "via", f.behind, "dev", "tun0", "onlink", "proto", "bird", "metric", "50")
		w.within(5*time.Second, "the route is followed to its new next hop", func() error {
			if text := spoke.chosen(f.to); !strings.Contains(text, "via "+f.behind+" dev tun0") {
				return fmt.Errorf("%s", text)
			}
			return nil
		})
		s.ip(f.ip, "route", "delete", f.prefix)
		unreachable(f.to)
		if r := spoke.cli("show", "routes", f.to); r.code != 4 {
			t.Errorf("there still is a route: %v", r)
		}
		s.ip(f.ip, "route", "add", f.prefix, "dev", "tun0") // on the link: the destination is its own next hop
		s.reaches(f.to)
		s.ip(f.ip, "route", "delete", f.prefix)
	}
	for _, x := range []*host{h, s} { // those of IPv6 are NOARP: nobody is asked, and the kernel drops them when it needs the room
		if out := x.ip("neighbour", "show", "dev", "tun0"); out != "" {
			t.Errorf("%s: kernel neighbours in the tunnel: %s", x.name, out)
		}
	}
}

// A route of several next hops in one tunnel shares its flows among them, and loses one that goes.
func TestMultipathOverTwoHubs(t *testing.T) {
	w := newWorld(t)
	one, two := w.host("hub"), w.host("second")
	first := one.daemon(hubConfig("")).start()
	second := two.daemon(strings.Replace(hubConfig(""), "10.100.0.1/24", "10.100.0.2/24", 1)).start()
	s := w.host("spoke")
	spoke := s.daemon(strings.Replace(spokeConfig(s, ""), "{nbma: 10.9.0.1}", "{nbma: 10.9.0.1}, {nbma: 10.9.0.2}", 1)).start().registered(2)
	for _, h := range []*host{one, two} {
		for i := range 16 {
			h.ip("address", "add", fmt.Sprintf("172.16.9.%d/32", i+1), "dev", "lan")
		}
	}
	s.ip("route", "add", "172.16.9.0/24", "nexthop", "via", "10.100.0.1", "dev", "tun0", "nexthop", "via", "10.100.0.2", "dev", "tun0")
	in := func(d *daemon) uint64 { return d.iface("tun0").PacketsIn }
	a, b := in(first), in(second)
	for i := range 16 {
		s.reaches(fmt.Sprintf("172.16.9.%d", i+1))
	}
	if in(first) == a || in(second) == b {
		t.Errorf("16 flows: %d by the first, %d by the second", in(first)-a, in(second)-b)
	}
	if rows := rowsOf[query.RouteRow](spoke, "routes", "172.16.9.0/24"); len(rows) != 1 || len(rows[0].NextHops) != 2 {
		t.Errorf("%+v", rows)
	}
}

// A shortcut whose prefix is that of somebody's route takes its traffic and leaves the route alone.
func TestOverrideOfAnEqualRoute(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(2)
	a, b := spokes[0], spokes[1]
	for _, d := range spokes {
		d.configure(spokeConfig(d.host, ""))
		d.did("reload")
	}
	a.ip("route", "add", "192.168.3.0/24", "via", "10.100.0.1", "dev", "tun0", "metric", "100")
	b.ip("route", "add", "192.168.2.0/24", "via", "10.100.0.1", "dev", "tun0")
	routes := a.ip("route")
	a.reaches(b.lan())
	w.within(10*time.Second, "the shortcut takes over", func() error {
		a.ping(b.lan(), "-c", "1")
		if text := a.chosen(b.lan()); !strings.Contains(text, "10.100.0.3") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	before := hub.iface("tun0").PacketsIn
	if lost, err := a.ping(b.lan(), "-c", "50", "-i", "0.01"); err != nil || lost > 0 {
		t.Errorf("%d lost, %v", lost, err)
	}
	if n := hub.iface("tun0").PacketsIn - before; n > 5 {
		t.Errorf("%d packets still went by the hub", n)
	}
	now := a.ip("route")
	for line := range strings.Lines(routes) {
		if !strings.Contains(now, line) {
			t.Errorf("a route was changed: %s\n%s", line, now)
		}
	}
	if strings.Contains(now, "192.168.3.0/24 via 10.100.0.3") {
		t.Errorf("a rival was written: %s", now)
	}
	a.did("clear", "shortcuts")
	a.reaches(b.lan())
}

// The outer header takes DSCP and ECN from the inner one and a TTL of its own; what is too big for the path is told
// to its source.
func TestOuterHeaders(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	spoke.reaches("10.100.0.1")
	spoke.ping("10.100.0.1", "-c", "3", "-i", "0.1", "-Q", "0xba", "-t", "17")
	var lines []string
	w.within(5*time.Second, "it is captured", func() error {
		out, err := exec.Command("tshark", "-n", "-r", filepath.Join(w.dir, "underlay.pcap"), "-Y", "icmp.type == 8", "-T", "fields", "-e", "ip.dsfield", "-e", "ip.ttl").Output()
		lines = nil
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "0xba") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		if len(lines) != 3 {
			return fmt.Errorf("%v, %q", err, out)
		}
		return nil
	})
	for _, line := range lines {
		if line != "0xba,0xba\t64,17" {
			t.Errorf("outer and inner: %q", line)
		}
	}

	if _, err := spoke.ping("10.100.0.1", "-c", "1", "-M", "do", "-s", "1444"); err != nil {
		t.Errorf("a packet of exactly the MTU: %v", err)
	}
	spoke.ip("route", "add", "10.9.0.1/32", "dev", "eth0", "mtu", "1300")
	w.within(5*time.Second, "the source hears what fits", func() error {
		out, _ := spoke.try("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1400", "10.100.0.1")
		if !strings.Contains(out, "mtu = 1272") && !strings.Contains(out, "mtu=1272") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if lost, err := spoke.ping("10.100.0.1", "-c", "2", "-i", "0.1", "-M", "do", "-s", "1244"); err != nil || lost > 0 {
		t.Errorf("what fits is lost: %d, %v", lost, err)
	}
	if lost, err := hub.ping("10.100.0.2", "-c", "1", "-s", "3000"); err != nil || lost > 0 {
		t.Errorf("fragments: %d lost, %v", lost, err)
	}
}

// Distances are metrics: the better of our route and another's is in force, and what another wrote is never
// replaced.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	_, spokes := w.cloud(1)
	d := spokes[0]
	const prefix = "192.168.0.0/16"
	ours := "via 10.100.0.1 dev tun0 proto 47 metric 1"
	holds := func(what string, words ...string) {
		t.Helper()
		w.within(5*time.Second, what, func() error {
			out := d.ip("route", "show", prefix)
			for _, word := range words {
				if without, not := strings.CutPrefix(word, "no "); strings.Contains(out, without) == not {
					return fmt.Errorf("want %s in:\n%s", word, out)
				}
			}
			return nil
		})
	}
	holds("ours", ours)
	d.ip("route", "add", prefix, "via", "10.9.0.9") // metric 0
	holds("the better alone", "no "+ours, "via 10.9.0.9 dev eth0")
	w.within(5*time.Second, "the better is told", func() error {
		for _, r := range rowsOf[query.RouteRow](d, "routes", prefix) {
			if r.Selected != (r.Protocol == "kernel") {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
	d.ip("route", "delete", prefix, "via", "10.9.0.9")
	holds("ours alone", ours, "no 10.9.0.9")
	d.ip("route", "delete", prefix, "metric", "1")
	holds("ours, put back after somebody deleted it", ours)

	d.configure(spokeConfig(d.host, ""))
	d.did("reload")
	holds("none", "no "+ours)
	d.ip("route", "add", prefix, "via", "10.9.0.8", "metric", "1")
	d.configure(spokeConfig(d.host, spokeRoutes))
	d.did("reload")
	w.within(5*time.Second, "the log says who has it", func() error {
		if !strings.Contains(d.log(), "a route of another program has the prefix and the metric") && !strings.Contains(d.log(), "event=kernel.conflict") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	holds("another's of the same metric stays", "via 10.9.0.8 dev eth0 metric 1", "no "+ours)
	d.ip("route", "delete", prefix, "metric", "1")
	w.within(20*time.Second, "ours follows when it goes", func() error {
		if out := d.ip("route", "show", prefix); !strings.Contains(out, ours) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
