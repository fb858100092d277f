package sim

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
	"github.com/spokeway/spokeway/internal/scenario"
)

func TestClockKeepsOrder(t *testing.T) {
	var c clock
	r := rand.New(rand.NewPCG(1, 2))
	type due struct {
		at time.Duration
		n  int
	}
	var want, got []due
	for n := range 2000 {
		d := due{time.Duration(r.IntN(50)), n}
		want = append(want, d)
		c.at(d.at, func() { got = append(got, due{c.now, n}) })
	}
	slices.SortStableFunc(want, func(a, b due) int { return int(a.at - b.at) })
	for c.step(40) {
	}
	for c.step(100) {
	}
	if !slices.Equal(got, want) {
		t.Error("tasks were not done in the order of their deadlines, and of their setting among equals")
	}
	if c.now != 100 {
		t.Errorf("the time is %v", c.now)
	}
}

// line is hosts on one network, the others reached through r when there is one.
func line(t *testing.T, link Link) (w *World, a, b *Node) {
	t.Helper()
	w = NewWorld(1)
	n := w.addNetwork("lan")
	a, b = w.addNode("a"), w.addNode("b")
	a.attach("eth0", n, link, netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64"))
	b.attach("eth0", n, link, netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::2/64"))
	return w, a, b
}

func pingOnce(t *testing.T, n *Node, p scenario.Ping) scenario.PingResult {
	t.Helper()
	if p.Count == 0 {
		p.Count = 1
	}
	probe, err := n.startPing(p)
	if err != nil {
		t.Fatal(err)
	}
	return probe.finish()
}

func TestNetworkImpairments(t *testing.T) {
	const many = 2000
	for _, c := range []struct {
		name      string
		link      Link
		lost      float64 // of the echoes, both ways over both links
		duplicate bool
		rtt       [2]time.Duration
	}{
		{name: "delay", link: Link{Link: scenario.Link{Delay: 5 * time.Millisecond}}, rtt: [2]time.Duration{20e6, 20e6}},
		{name: "jitter", link: Link{Link: scenario.Link{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}}, rtt: [2]time.Duration{12e6, 28e6}},
		{name: "loss", link: Link{Link: scenario.Link{Loss: 0.1}}, lost: 1 - 0.9*0.9*0.9*0.9},
		{name: "duplicates", link: Link{Link: scenario.Link{Duplicate: 0.2}}, duplicate: true},
		{name: "reordering", link: Link{Link: scenario.Link{Delay: 5 * time.Millisecond}, Reorder: 0.5}, rtt: [2]time.Duration{20e6, 40e6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, _ := line(t, c.link)
			r := pingOnce(t, a, scenario.Ping{To: netip.MustParseAddr("10.0.0.2"), Count: many, Interval: 100 * time.Millisecond})
			if lost := float64(r.Lost()) / many; lost < c.lost-0.05 || lost > c.lost+0.05 {
				t.Errorf("%.3f lost, want about %.3f", lost, c.lost)
			}
			if (r.Duplicates > many/10) != c.duplicate {
				t.Errorf("%d duplicates", r.Duplicates)
			}
			for _, e := range r.Echoes {
				if e.Answered && c.rtt[1] > 0 && (e.RTT < c.rtt[0] || e.RTT > c.rtt[1]) {
					t.Fatalf("round trip %v, want %v to %v", e.RTT, c.rtt[0], c.rtt[1])
				}
			}
		})
	}
}

func TestNetworkRate(t *testing.T) {
	_, a, _ := line(t, Link{Link: scenario.Link{Rate: 1_000_000}})
	r := pingOnce(t, a, scenario.Ping{To: netip.MustParseAddr("10.0.0.2"), Size: 1222}) // 1,250 octets: 10 ms a link
	if r.Median() != 40*time.Millisecond {
		t.Errorf("round trip %v over four links, want 40ms", r.Median())
	}
}

func TestNetworkCuts(t *testing.T) {
	to := netip.MustParseAddr("10.0.0.2")
	for name, cut := range map[string]func(w *World, on bool){
		"a link":    func(w *World, on bool) { w.byName["b"].byName["eth0"].cut = on },
		"a network": func(w *World, on bool) { w.networks[0].cut = on },
		"two nodes": func(w *World, on bool) { w.block([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, []netip.Addr{to}, on) },
		"partition": func(w *World, on bool) {
			w.networks[0].sides = nil
			if on {
				w.networks[0].sides = map[*Interface]int{w.byName["b"].byName["eth0"]: 1}
			}
		},
	} {
		w, a, _ := line(t, Link{})
		for _, on := range []bool{false, true, false} {
			cut(w, on)
			if r := pingOnce(t, a, scenario.Ping{To: to}); (r.Lost() == 1) != on {
				t.Errorf("%s, cut %t: %d lost", name, on, r.Lost())
			}
		}
	}
}

// chain is a - r - b, with a smaller MTU behind r.
func chain(t *testing.T, mtu int) (w *World, a, r, b *Node) {
	t.Helper()
	w = NewWorld(1)
	left, right := w.addNetwork("left"), w.addNetwork("right")
	a, r, b = w.addNode("a"), w.addNode("r"), w.addNode("b")
	small := Link{Link: scenario.Link{MTU: mtu}}
	p := netip.MustParsePrefix
	a.attach("eth0", left, Link{}, p("10.0.0.1/24"), p("fd00::1/64"))
	r.attach("eth0", left, Link{}, p("10.0.0.254/24"), p("fd00::fe/64"))
	r.attach("eth1", right, small, p("10.0.1.254/24"), p("fd01::fe/64"))
	b.attach("eth0", right, small, p("10.0.1.1/24"), p("fd01::1/64"))
	r.forwarding = true
	for _, via := range []string{"10.0.0.254", "fd00::fe"} {
		a.addRoute(netip.PrefixFrom(unspecified(netip.MustParseAddr(via)), 0), netip.MustParseAddr(via), 0)
	}
	for _, via := range []string{"10.0.1.254", "fd01::fe"} {
		b.addRoute(netip.PrefixFrom(unspecified(netip.MustParseAddr(via)), 0), netip.MustParseAddr(via), 0)
	}
	return w, a, r, b
}

func TestRouterForwards(t *testing.T) {
	for _, c := range []struct {
		name  string
		ping  scenario.Ping
		lost  int
		ttl   int
		error string
	}{
		{name: "through, TTL one less", ping: scenario.Ping{To: netip.MustParseAddr("10.0.1.1")}, ttl: 63},
		{name: "IPv6 as well", ping: scenario.Ping{To: netip.MustParseAddr("fd01::1")}, ttl: 63},
		{name: "RFC 1812 5.3.1: TTL runs out", ping: scenario.Ping{To: netip.MustParseAddr("10.0.1.1"), TTL: 1}, lost: 1,
			error: "time exceeded from 10.0.0.254"},
		{name: "nobody there", ping: scenario.Ping{To: netip.MustParseAddr("10.0.1.77")}, lost: 1, error: "host unreachable from 10.0.0.254"},
		{name: "no route", ping: scenario.Ping{To: netip.MustParseAddr("10.9.0.1")}, lost: 1, error: "network unreachable from 10.0.0.254"},
		{name: "RFC 1191: DF and too big", ping: scenario.Ping{To: netip.MustParseAddr("10.0.1.1"), Size: 1400, DontFragment: true}, lost: 1,
			error: "packet too big from 10.0.0.254"},
		{name: "RFC 791: without DF it is fragmented on the way", ping: scenario.Ping{To: netip.MustParseAddr("10.0.1.1"), Size: 1400}, ttl: 63},
		{name: "RFC 8201: the first is too big, the source fragments the next", ping: scenario.Ping{To: netip.MustParseAddr("fd01::1"), Size: 1400, Count: 2},
			lost: 1, ttl: 63, error: "packet too big from fd00::fe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, a, _, _ := chain(t, 1300)
			r := pingOnce(t, a, c.ping)
			if r.Lost() != c.lost || strings.Join(r.Errors, "; ") != c.error {
				t.Errorf("%d lost, errors %v", r.Lost(), r.Errors)
			}
			if last := r.Echoes[len(r.Echoes)-1]; c.ttl > 0 && last.TTL != c.ttl {
				t.Errorf("answered with TTL %d, want %d", last.TTL, c.ttl)
			}
		})
	}
}

func TestPathNamesHops(t *testing.T) {
	_, a, _, _ := chain(t, 1500)
	got, err := a.path(scenario.Trace{To: netip.MustParseAddr("10.0.1.1"), MaxTTL: 5, Timeout: time.Second})
	want := []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("10.0.1.1")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestPingRefusesAForeignSource(t *testing.T) {
	_, a, _, _ := chain(t, 1500)
	if _, err := a.startPing(scenario.Ping{To: netip.MustParseAddr("10.0.1.1"), From: netip.MustParseAddr("10.0.0.9")}); err == nil {
		t.Error("no error")
	}
}

func TestAddressTranslator(t *testing.T) {
	outside, peer := netip.MustParseAddr("10.0.1.254"), netip.MustParseAddr("10.0.1.1")
	boxed := func(t *testing.T) (w *World, in1, in2, box, out *Node, heard *[]*dataplane.Datagram) {
		w, in1, box, out = chain(t, 1500)
		in2 = w.addNode("in2")
		in2.attach("eth0", w.networks[0], Link{}, netip.MustParsePrefix("10.0.0.3/24"))
		in2.addRoute(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.0.0.254"), 0)
		box.nat = newNAT(box)
		box.byName["eth1"].nat = true
		heard = new([]*dataplane.Datagram)
		for _, n := range []*Node{in1, in2, out} {
			n.router = &process{node: n, plane: dataplane.NewMemory()} // listens, and has no tunnel
		}
		w.watch = hear{heard}
		return
	}
	send := func(w *World, from *Node, to netip.Addr, body any) {
		from.send(&dataplane.Datagram{Destination: to, TTL: 64, Size: 100, Body: body})
		w.Run(time.Second)
	}
	t.Run("echoes are told apart by identifier", func(t *testing.T) {
		_, in1, in2, _, _, _ := boxed(t)
		in1.router, in2.router = nil, nil
		for _, n := range []*Node{in1, in2} {
			if r := pingOnce(t, n, scenario.Ping{To: peer}); r.Lost() != 0 {
				t.Errorf("%s: %+v", n.Name, r)
			}
		}
	})
	t.Run("GRE: one host inside per peer", func(t *testing.T) {
		w, in1, in2, box, out, heard := boxed(t)
		send(w, in1, peer, dataplane.GREPacket{})
		send(w, in2, peer, dataplane.GREPacket{})
		if len(*heard) != 1 || (*heard)[0].Source != outside {
			t.Errorf("outside heard %d datagrams", len(*heard))
		}
		if box.counters["nat: another host inside talks to this peer"] != 1 {
			t.Errorf("%v", box.counters)
		}
		send(w, out, outside, dataplane.GREPacket{})
		if last := (*heard)[len(*heard)-1]; last.Destination != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("the answer went to %v", last.Destination)
		}
		w.Run(natIdle)
		before := box.counters["nat: another host inside talks to this peer"]
		send(w, in2, peer, dataplane.GREPacket{})
		if box.counters["nat: another host inside talks to this peer"] != before {
			t.Error("the second host is still kept out after the first fell idle")
		}
	})
	t.Run("UDP: one outside port per inside port, RFC 4787 REQ-1", func(t *testing.T) {
		w, in1, in2, box, _, _ := boxed(t)
		ports := map[uint16]bool{}
		for _, n := range []*Node{in1, in2, in1} {
			send(w, n, peer, dataplane.UDP{SourcePort: 4754, DestinationPort: 4754})
		}
		for k := range box.nat.in {
			ports[k.port] = true
		}
		if len(ports) != 2 {
			t.Errorf("ports %v, want one for each host", ports)
		}
	})
}

// hear notes what nodes have to give up: the datagrams that reached a host without a listener.
type hear struct{ all *[]*dataplane.Datagram }

func (h hear) handled(*process, string, core.Event) {}
func (h hear) wanted(*process, core.Effect)         {}
func (h hear) sent(*process, *dataplane.Datagram)   {}
func (h hear) ran(*process)                         {}
func (h hear) gaveUp(_ *Node, d *dataplane.Datagram, _ dataplane.ICMPKind) {
	*h.all = append(*h.all, d)
}

func TestFIB(t *testing.T) {
	w := NewWorld(1)
	n := w.addNode("a")
	i := n.attach("eth0", w.addNetwork("lan"), Link{}, netip.MustParsePrefix("10.0.0.1/24"))
	dst := netip.MustParsePrefix("10.9.0.0/16")
	via := func(s string) []rib.NextHop { return []rib.NextHop{{Via: netip.MustParseAddr(s), Interface: "eth0"}} }
	lookup := func() string {
		h, _ := n.fib.to(netip.MustParseAddr("10.9.0.1"))
		return h.Via.String()
	}
	n.fib.add(kernel.Learned{Route: kernel.Route{Prefix: dst, Metric: 100, NextHops: via("10.0.0.2")}})
	n.fib.install(kernel.Route{Prefix: dst, Metric: 10, NextHops: via("10.0.0.3")})
	if got := lookup(); got != "10.0.0.3" {
		t.Errorf("the lower metric does not win: %s", got)
	}
	n.fib.install(kernel.Route{Prefix: dst, Metric: 100, NextHops: via("10.0.0.4")})
	n.fib.remove(kernel.Key{Prefix: dst, Metric: 100})
	n.fib.remove(kernel.Key{Prefix: dst, Metric: 10})
	if got := lookup(); got != "10.0.0.2" {
		t.Errorf("another's route was replaced or removed: %s", got)
	}
	i.down = true
	n.tell(i)
	if len(n.fib.all()) != 0 {
		t.Errorf("routes by an interface that is down: %v", n.fib.all())
	}
}

func TestProcessLifecycle(t *testing.T) {
	c := generate(Options{Seed: 1, Hubs: 1, Spokes: 1})
	n := c.spokes[0]
	c.start(c.hubs[0])
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	if err := n.start(); err == nil {
		t.Error("started twice")
	}
	c.run(time.Second)
	if n.byName["tun0"] == nil || len(n.stored) == 0 {
		t.Fatalf("no tunnel, or nothing stored: %v", n.stored)
	}
	stored := n.stored["nhrp/tun0/172.16.1.0/10.0.0.1"]
	n.kill()
	if n.byName["tun0"] != nil {
		t.Error("the tunnel's device outlived its process")
	}
	c.run(time.Second)
	n.start()
	c.run(time.Second)
	if got := n.stored["nhrp/tun0/172.16.1.0/10.0.0.1"]; got == "" || got != stored {
		t.Errorf("RFC 2332 5.2.3: request ID %q after the restart, %q before", got, stored)
	}
	n.freeze()
	c.run(time.Minute)
	events := c.world.events
	c.run(time.Minute)
	if c.world.events != events {
		t.Error("a frozen process does something")
	}
	n.thaw()
	c.run(time.Second)
	if c.world.events == events {
		t.Error("a thawed process does nothing")
	}
}

func TestStageSaysWhatIsNotPossible(t *testing.T) {
	s := NewStage(1)
	if _, err := s.Exec("a", nil); !errors.Is(err, scenario.ErrUnsupported) {
		t.Errorf("exec: %v", err)
	}
	if _, err := s.Iperf(scenario.Iperf{}); !errors.Is(err, scenario.ErrUnsupported) {
		t.Errorf("iperf: %v", err)
	}
	if _, err := s.Show("nobody", []string{"show", "nhrp"}); err == nil {
		t.Error("show of a node that does not exist")
	}
}
