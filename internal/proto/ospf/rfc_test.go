package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// twoBorders is an NSSA with boundary router a and border routers b1 and b2 (the higher router ID), and c in the backbone.
func twoBorders(t *testing.T, v wire.Version, change func(b1, b2 *Config)) *world {
	w := newWorld(t, 3)
	nssa := func(ifaces ...Interface) Area { return Area{ID: 1, Kind: NSSA, Interfaces: ifaces} }
	a := Config{RouterID: id("1.1.1.1"), Areas: []Area{nssa(bcast("e0", 0))}, Redistribute: []Redistribute{{Protocol: rib.Static, Metric: 7}}}
	b1 := Config{RouterID: id("2.2.2.1"), Areas: []Area{nssa(bcast("e0", 1)), {Interfaces: []Interface{bcast("e1", 1)}}}}
	b2 := Config{RouterID: id("2.2.2.2"), Areas: []Area{nssa(bcast("e0", 1)), {Interfaces: []Interface{bcast("e1", 1)}}}}
	c := Config{RouterID: id("3.3.3.3"), Areas: []Area{{Interfaces: []Interface{bcast("e1", 0)}}}}
	for _, x := range []*Config{&a, &b1, &b2, &c} {
		x.Version = v
	}
	if change != nil {
		change(&b1, &b2)
	}
	ports := func(seg string, net, host int) string {
		return fmt.Sprintf("e%d %s 10.0.%d.%d/24,2001:db8:%d::%d/64,fe80::%d/64", net, seg, net, host, net, host, host)
	}
	w.add("a", a, ports("in", 0, 9))
	w.add("b1", b1, ports("in", 0, 1), ports("out", 1, 1))
	w.add("b2", b2, ports("in", 0, 2), ports("out", 1, 2))
	w.add("c", c, ports("out", 1, 9))
	for name, r := range map[string]string{"a": "192.0.2.0/24", "c": "198.51.100.0/24"} {
		if v == wire.V3 {
			r = map[string]string{"a": "2001:db8:a::/48", "c": "2001:db8:c::/48"}[name]
		}
		w.routers[name].loop.Post("others", static(r))
	}
	w.run(120 * time.Second)
	return w
}

// originators are the routers whose LSAs of a kind are in the database of a router.
func (r *router) originators(kind string) string {
	var out []string
	for _, d := range r.m.Database(r.w.now) {
		if d.Type == kind && d.Age < wire.MaxAge {
			out = append(out, d.Router)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

// RFC 3101 3.1: of two border routers one translates, the other takes over, and gives back without a gap. Both tell of a default route that counts.
func TestTwoTranslators(t *testing.T) {
	for _, tt := range []struct {
		v             wire.Version
		prefix        string
		def           []string
		outside, deep string
	}{
		{wire.V2, "192.0.2.0/24 7", []string{"0.0.0.0/0 1 10.0.0.1@e0 10.0.0.2@e0", "0.0.0.0/0 1 10.0.0.1@e0"}, "10.0.1.1@e1", "10.0.1.2@e1"},
		{wire.V3, "2001:db8:a::/48 7", []string{"::/0 1 fe80::1@e0 fe80::2@e0", "::/0 1 fe80::1@e0"}, "fe80::1@e1", "fe80::2@e1"},
	} {
		t.Run(tt.v.String(), func(t *testing.T) {
			w := twoBorders(t, tt.v, nil)
			a, c := w.routers["a"], w.routers["c"]
			if got := c.originators("external"); got != "2.2.2.2" {
				t.Errorf("translators %q, want the one with the higher router ID", got)
			}
			if !strings.Contains(a.routes(), tt.def[0]) {
				t.Errorf("two default routes:\n%s", a.routes())
			}
			if !strings.Contains(c.routes(), tt.prefix+" "+tt.outside+" "+tt.deep) {
				t.Errorf("both ways to the forwarding address:\n%s", c.routes())
			}
			w.routers["b2"].off = true
			w.run(120 * time.Second)
			if got := c.originators("external"); !strings.Contains(got, "2.2.2.1") {
				t.Errorf("translators %q, want the one that is left", got)
			}
			if !strings.Contains(c.routes(), tt.prefix+" "+tt.outside) || !strings.Contains(a.routes(), tt.def[1]) {
				t.Errorf("by the one that is left:\n%s\n--\n%s", c.routes(), a.routes())
			}
			cfg := w.routers["b1"].m.instances["ospf"].cfg
			again := *cfg
			again.RouterID = id("2.2.2.2")
			w.routers["b2"].boot(again)
			for range 240 {
				w.run(500 * time.Millisecond)
				if !strings.Contains(c.routes(), tt.prefix) {
					t.Fatalf("%v: nobody translates while one takes over from the other", w.now)
				}
			}
			if got := c.originators("external"); got != "2.2.2.2" {
				t.Errorf("translators %q, want the one with the higher router ID again", got)
			}
		})
	}
}

// RFC 3101 3.1: a border router that is told to always translate does, whatever its ID.
func TestTranslatorByConfiguration(t *testing.T) {
	w := twoBorders(t, wire.V2, func(b1, _ *Config) { b1.Areas[0].Translate = true })
	if got := w.routers["c"].originators("external"); got != "2.2.2.1" {
		t.Errorf("translators %q", got)
	}
}

// RFC 3101 2.4, 2.3: what a border router redistributes is told on both sides, and translated by nobody (P is clear); what an inner
// router does has a forwarding address in the NSSA.
func TestPropagation(t *testing.T) {
	w := twoBorders(t, wire.V2, func(b1, b2 *Config) {
		b1.Redistribute = []Redistribute{{Protocol: rib.Static}}
	})
	w.routers["b1"].loop.Post("others", static("203.0.113.0/24"))
	w.run(20 * time.Second)
	for _, d := range w.routers["c"].m.Database(w.now) {
		if d.Type == "external" && d.ID == "203.0.113.0" && d.Router != "2.2.2.1" {
			t.Errorf("translated by %s", d.Router)
		}
	}
	found := 0
	for _, d := range w.routers["a"].m.Database(w.now) {
		b, ok := d.Body.(*wire.External)
		switch {
		case !ok:
		case d.ID == "203.0.113.0" && !b.Propagate:
			found++
		case d.ID == "192.0.2.0" && b.Propagate && b.Forward == addr("10.0.0.9"):
			found++
		}
	}
	if found != 2 {
		t.Errorf("type 7 LSAs: %+v", w.routers["a"].database(1))
	}
}

// RFC 3101 2.3: a forwarding address of a type 7 LSA is in its NSSA, not on another network of ours.
func TestForwardingAddressIsInside(t *testing.T) {
	w := newWorld(t, 1)
	a := Config{RouterID: id("1.1.1.1"), Redistribute: []Redistribute{{Protocol: rib.Static}}, Areas: []Area{
		{ID: 1, Kind: NSSA, Interfaces: []Interface{p2p("e0")}}, {ID: 2, Interfaces: []Interface{bcast("e1", 1)}}}}
	r := w.add("a", a, "e0 s0 10.0.0.1/24", "e1 s1 10.0.1.1/24")
	w.add("b", Config{RouterID: id("2.2.2.2"), Areas: []Area{{ID: 1, Kind: NSSA, Interfaces: []Interface{p2p("e0")}}}}, "e0 s0 10.0.0.2/24")
	out := static("192.0.2.0/24")
	out.NextHops = []rib.NextHop{{Via: addr("10.0.1.77"), Interface: "e1"}}
	r.loop.Post("others", out)
	w.run(90 * time.Second)
	for _, d := range w.routers["b"].m.Database(w.now) {
		if b, ok := d.Body.(*wire.External); ok && b.Forward != addr("10.0.0.1") {
			t.Errorf("forwarding address %v", b.Forward)
		}
	}
	w.wantRoutes("b", "192.0.2.0/24 20 10.0.0.1@e0")
}

// onLAN is two routers on a broadcast network, adjacent, of which a redistributes a static route by the next hop.
func onLAN(w *world, hop rib.NextHop) (*router, rib.Route) {
	cfg := oneArea("1.1.1.1", bcast("e0", 1))
	cfg.Redistribute = []Redistribute{{Protocol: rib.Static}}
	a := w.add("a", cfg, "e0 s 10.0.0.1/24")
	w.add("b", oneArea("2.2.2.2", bcast("e0", 1)), "e0 s 10.0.0.2/24")
	out := static("192.0.2.0/24")
	out.NextHops = []rib.NextHop{hop}
	a.loop.Post("others", out)
	w.run(90 * time.Second)
	return a, out
}

// RFC 2328 2.3: on a broadcast network the next hop of an external is told, so that packets take no step more.
func TestForwardingAddressOnTheNetwork(t *testing.T) {
	w := newWorld(t, 1)
	onLAN(w, rib.NextHop{Via: addr("10.0.0.77"), Interface: "e0"})
	w.wantRoutes("b", "192.0.2.0/24 20 10.0.0.77@e0")
}

// RFC 3509 2: areas without a backbone are not joined, and summaries do not loop through one.
func TestAreasWithoutABackbone(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", Config{RouterID: id("1.1.1.1"), Areas: []Area{{ID: 1, Interfaces: []Interface{p2p("e0"), lan("lan")}}}}, "e0 s1 10.0.1.1/24", "lan la 192.168.1.1/24")
	w.add("b", Config{RouterID: id("2.2.2.2"), Areas: []Area{{ID: 1, Interfaces: []Interface{p2p("e0")}}, {ID: 2, Interfaces: []Interface{p2p("e1")}}}}, "e0 s1 10.0.1.2/24", "e1 s2 10.0.2.2/24")
	w.add("c", Config{RouterID: id("3.3.3.3"), Areas: []Area{{ID: 2, Interfaces: []Interface{p2p("e1"), lan("lan")}}}}, "e1 s2 10.0.2.3/24", "lan lc 192.168.3.1/24")
	w.run(time.Minute)
	w.wantRoutes("a")
	w.wantRoutes("b", "192.168.1.0/24 20 10.0.1.1@e0", "192.168.3.0/24 20 10.0.2.3@e1")
}

// RFC 2328 16.2, 12.4.3: two border routers between an area and a backbone that falls apart do not tell each other's summaries on.
func TestSummariesDoNotLoop(t *testing.T) {
	w := newWorld(t, 1)
	for k, name := range []string{"b1", "b2"} {
		w.add(name, Config{RouterID: id(fmt.Sprintf("2.2.2.%d", k+1)), Areas: []Area{{ID: 1, Interfaces: []Interface{p2p("e0")}}, {Interfaces: []Interface{p2p("e1"), p2p("e2")}}}},
			fmt.Sprintf("e0 in 10.0.0.%d/24", k+1), fmt.Sprintf("e1 bb%d 10.0.%d.1/24", k+1, k+1), fmt.Sprintf("e2 middle 10.0.9.%d/24", k+1))
	}
	w.add("c1", oneArea("3.3.3.1", p2p("e1"), lan("lan")), "e1 bb1 10.0.1.2/24", "lan lc1 192.168.1.1/24")
	w.add("c2", oneArea("3.3.3.2", p2p("e1"), lan("lan")), "e1 bb2 10.0.2.2/24", "lan lc2 192.168.2.1/24")
	w.run(time.Minute)
	if got := w.routers["c1"].routes(); !strings.Contains(got, "192.168.2.0/24 40") {
		t.Fatalf("through the backbone:\n%s", got)
	}
	w.cut["middle"] = true
	w.run(3 * time.Minute)
	if got := w.routers["c1"].routes(); strings.Contains(got, "192.168.2.0/24") {
		t.Errorf("a path through area 1, which carries no traffic between parts of the backbone:\n%s", got)
	}
	w.routers["c2"].setLink("lan", func(l *core.Link) { l.Up = false })
	w.run(time.Minute)
	for _, name := range []string{"b1", "b2", "c1"} {
		if got := w.routers[name].routes(); strings.Contains(got, "192.168.2.0/24") {
			t.Errorf("%s goes on with what is gone:\n%s", name, got)
		}
	}
}

// RFC 2328 9.4: the election of a designated router.
func TestElections(t *testing.T) {
	three := func(p1, p2, p3 uint8, v wire.Version) *world {
		w := newWorld(t, 1)
		for k, p := range []uint8{p1, p2, p3} {
			c := oneArea(fmt.Sprintf("%d.0.0.0", k+1), bcast("e0", p))
			c.Version = v
			w.add(fmt.Sprint("r", k+1), c, fmt.Sprintf("e0 s 10.0.0.%d/24,fe80::%d/64", k+1, k+1))
		}
		w.run(2 * time.Minute)
		return w
	}
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		t.Run(v.String(), func(t *testing.T) {
			w := three(1, 2, 0, v)
			w.wantStates("r3", "1.0.0.0 full bdr, 2.0.0.0 full dr")
			r4 := oneArea("4.0.0.0", bcast("e0", 200))
			r4.Version = v
			w.add("r4", r4, "e0 s 10.0.0.4/24,fe80::4/64")
			w.run(90 * time.Second)
			w.wantStates("r3", "1.0.0.0 full bdr, 2.0.0.0 full dr, 4.0.0.0 two-way other") // 9.4: no pre-emption
			w.routers["r2"].off = true
			w.run(90 * time.Second)
			w.wantStates("r3", "1.0.0.0 full dr, 4.0.0.0 full bdr")
			w.routers["r2"].boot(*w.routers["r2"].m.instances["ospf"].cfg)
			w.run(90 * time.Second)
			w.wantStates("r3", "1.0.0.0 full dr, 2.0.0.0 two-way other, 4.0.0.0 full bdr")
			w.wantEqual(0, "r1", "r2", "r3", "r4")
		})
	}
	t.Run("none is eligible", func(t *testing.T) {
		w := three(0, 0, 0, wire.V2)
		w.wantStates("r1", "2.0.0.0 two-way other, 3.0.0.0 two-way other")
	})
	t.Run("both parts of a network that was cut have a designated router", func(t *testing.T) {
		w := three(1, 1, 1, wire.V2)
		w.cut["s"] = true
		w.run(2 * time.Minute)
		for _, r := range w.order {
			if s := r.m.Interfaces(w.now)[0].State; s != "dr" {
				t.Errorf("%s alone is %s", r.name, s)
			}
		}
		w.cut["s"] = false
		w.run(2 * time.Minute)
		w.wantStates("r1", "2.0.0.0 full other, 3.0.0.0 full dr")
		w.wantStates("r2", "1.0.0.0 full bdr, 3.0.0.0 full dr")
		w.wantEqual(0, "r1", "r2", "r3")
		if n := strings.Count(w.routers["r1"].database(0), "network"); n != 1 {
			t.Errorf("%d network LSAs:\n%s", n, w.routers["r1"].database(0))
		}
	})
	t.Run("priority 0 while it is designated", func(t *testing.T) {
		w := three(1, 1, 1, wire.V2)
		cfg := oneArea("3.0.0.0", bcast("e0", 0))
		w.routers["r3"].reconfigure(cfg)
		w.run(time.Minute)
		w.wantStates("r3", "1.0.0.0 full bdr, 2.0.0.0 full dr")
		w.wantEqual(0, "r1", "r2", "r3")
	})
	t.Run("the interface of the designated router flaps", func(t *testing.T) {
		w := three(1, 1, 1, wire.V2)
		for range 6 {
			w.routers["r3"].setLink("e0", func(l *core.Link) { l.Up = false })
			w.run(3 * time.Second)
			w.routers["r3"].setLink("e0", func(l *core.Link) { l.Up = true })
			w.run(7 * time.Second)
		}
		w.run(2 * time.Minute)
		w.wantEqual(0, "r1", "r2", "r3")
		for _, r := range w.order {
			if strings.Contains(r.states(), "exstart") || r.m.Instances(w.now)[0].Adjacencies != 2 {
				t.Errorf("%s: %s", r.name, r.states())
			}
		}
	})
}

// RFC 3623 3.2: what ends the help of a neighbour that restarts.
func TestHelpEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		strict bool
		during func(w *world)
		helped bool
	}{
		{"nothing happens", true, func(*world) {}, true},
		{"the topology changes elsewhere", true, func(w *world) { w.routers["c"].setLink("lan", func(l *core.Link) { l.Up = false }) }, false},
		{"the topology changes here", true, func(w *world) { w.routers["b"].setLink("lan", func(l *core.Link) { l.Up = false }) }, false},
		{"the topology changes, and that is allowed", false, func(w *world) { w.routers["c"].setLink("lan", func(l *core.Link) { l.Up = false }) }, true},
		{"an LSA is refreshed", true, func(w *world) {
			for _, o := range w.routers["c"].m.instances["ospf"].areas[0].db.own {
				w.routers["c"].loop.Post("refresh", o)
			}
			w.routers["c"].loop.Run(w.now)
		}, true},
		{"the grace period is over", true, func(w *world) { w.run(70 * time.Second) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			a := oneArea("1.1.1.1", p2p("e0"), lan("lan"))
			a.Restart.Period = time.Minute
			b := oneArea("2.2.2.2", p2p("e0"), p2p("e1"), lan("lan"))
			b.Restart.Lax = !tt.strict
			w.add("a", a, "e0 ab 10.0.0.1/30", "lan la 192.168.1.1/24")
			w.add("b", b, "e0 ab 10.0.0.2/30", "e1 bc 10.0.1.1/30", "lan lb 192.168.2.1/24")
			w.add("c", oneArea("3.3.3.3", p2p("e1"), lan("lan")), "e1 bc 10.0.1.2/30", "lan lc 192.168.3.1/24")
			w.routers["c"].loop.Add(refresher{}, core.Start{})
			w.run(2 * time.Minute)
			w.routers["a"].loop.Post(Name, core.Stop{Restart: true})
			w.routers["a"].loop.Run(w.now)
			w.run(time.Second)
			w.routers["a"].off = true
			w.run(10 * time.Second)
			tt.during(w)
			w.run(35 * time.Second)
			if got := strings.Contains(w.routers["c"].routes(), "192.168.1.0/24"); got != tt.helped {
				t.Errorf("c goes by a: %v, want %v\n%s", got, tt.helped, strings.Join(w.routers["b"].logs, "\n"))
			}
		})
	}
}

// refresher has an LSA said again before its time.
type refresher struct{}

func (refresher) Name() string { return "refresh" }
func (refresher) Handle(env *core.Env, ev core.Event) {
	if o, ok := ev.(*origin); ok {
		o.emit(env)
	}
}

// Redistribution follows the routing table: connected and kernel routes come, change, give way and go.
func TestRedistributionFollows(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) {
		b.Redistribute = []Redistribute{{Protocol: rib.Connected, Type1: true, Metric: 5}, {Protocol: rib.Kernel, Metric: 9, Tag: 3}}
	})
	b := w.routers["b"]
	route := func(p rib.Protocol, prefix string, metric uint32) rib.Route {
		return rib.Route{Prefix: netip.MustParsePrefix(prefix), Protocol: p, Distance: p.Distance(), Metric: metric, NextHops: []rib.NextHop{{Interface: "x"}}}
	}
	own := route(rib.Connected, "192.168.2.0/24", 0)
	own.NextHops[0].Interface = "lan"
	b.loop.Post("others", own) // OSPF is on it: told already
	b.loop.Post("others", route(rib.Connected, "172.16.0.0/24", 0))
	b.loop.Post("others", route(rib.Kernel, "172.17.0.0/24", 100))
	b.loop.Post("others", route(rib.EBGP, "172.18.0.0/24", 0)) // nobody asked for it
	w.run(time.Minute)
	w.wantRoutes("a", "172.16.0.0/24 15 10.0.0.2@e0", "172.17.0.0/24 9 10.0.0.2@e0", "192.168.2.0/24 20 10.0.0.2@e0")
	b.loop.Post("others", static("172.17.0.0/24")) // distance 1 gives way to what the kernel has (0)
	b.loop.Post("others", route(rib.Kernel, "172.17.0.0/24", 100).Key())
	b.loop.Post("others", route(rib.Connected, "172.16.0.0/24", 0).Key())
	b.loop.Post("others", route(rib.Kernel, "172.16.0.0/24", 50))
	w.run(20 * time.Second)
	w.wantRoutes("a", "172.16.0.0/24 9 10.0.0.2@e0", "192.168.2.0/24 20 10.0.0.2@e0")
	for _, d := range w.routers["a"].m.Database(w.now) {
		if x, ok := d.Body.(*wire.External); ok && (x.Tag != 3 || !x.Type2) {
			t.Errorf("%+v", x)
		}
	}
}

// RFC 5340 4.4.3.9, 4.8: a broadcast network of OSPFv3, authenticated (RFC 7166), and the loss of its designated router.
func TestBroadcastOfVersion3(t *testing.T) {
	for _, v := range []wire.Version{wire.V3, wire.V3IPv4} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			for k := 1; k <= 4; k++ {
				c := oneArea(fmt.Sprintf("%d.0.0.0", k), bcast("e0", uint8(k%3)), lan("lan"))
				c.Version, c.Areas[0].Interfaces[0].Keys = v, key(5, wire.SHA384, "secret")
				w.add(fmt.Sprint("r", k), c, fmt.Sprintf("e0 s 10.0.0.%d/24,2001:db8::%d/64,fe80::%d/64", k, k, k), fmt.Sprintf("lan l%d 10.0.%d.1/24,2001:db8:%d::1/64,fe80::9/64", k, k, k))
			}
			w.run(2 * time.Minute)
			want := func(k int) string {
				if v == wire.V3 {
					return fmt.Sprintf("2001:db8:%d::/64 20 fe80::%d@e0", k, k)
				}
				return fmt.Sprintf("10.0.%d.0/24 20 10.0.0.%d@e0", k, k)
			}
			w.wantEqual(0, "r1", "r2", "r3", "r4")
			w.wantRoutes("r1", want(2), want(3), want(4))
			w.routers["r2"].off = true
			w.run(2 * time.Minute)
			w.wantRoutes("r1", want(3), want(4))
			w.wantEqual(0, "r1", "r3", "r4")
			for _, name := range []string{"r1", "r3", "r4"} {
				if p := w.routers[name].problems(); p != "" {
					t.Errorf("%s: %s", name, p)
				}
			}
		})
	}
}

// NHRP has its way in a cloud: no host route of OSPF's leads to an address of it, whatever becomes of the hubs.
func TestHostRoutesLeaveCloudsToNHRP(t *testing.T) {
	w := newWorld(t, 1)
	cloud := func(name string) Interface {
		f := p2mp(name)
		f.Cloud = true
		return f
	}
	w.add("hub1", oneArea("1.1.1.1", cloud("t1"), cloud("t2"), lan("lan")), "t1 cloud1 10.1.0.1/24 hub", "t2 cloud2 10.2.0.1/24 hub", "lan l1 192.168.1.1/24")
	w.add("hub2", oneArea("2.2.2.2", cloud("t1"), cloud("t2"), lan("lan")), "t1 cloud1 10.1.0.2/24 hub", "t2 cloud2 10.2.0.2/24 hub", "lan l2 192.168.2.1/24")
	for k := 3; k < 6; k++ {
		w.add(fmt.Sprint("s", k), oneArea(fmt.Sprintf("%d.0.0.0", k), cloud("t1"), cloud("t2"), lan("lan")),
			fmt.Sprintf("t1 cloud1 10.1.0.%d/24", k), fmt.Sprintf("t2 cloud2 10.2.0.%d/24", k), fmt.Sprintf("lan l%d 192.168.%d.1/24", k, k))
	}
	check := func(when string) {
		t.Helper()
		for _, r := range w.order {
			for _, line := range strings.Split(r.routes(), "\n") {
				if !r.off && (strings.HasPrefix(line, "10.1.0.") || strings.HasPrefix(line, "10.2.0.")) && strings.Contains(line, "/32") {
					t.Errorf("%s: %s has %s", when, r.name, line)
				}
			}
		}
	}
	w.run(time.Minute)
	check("all is well")
	w.cut["cloud1"] = true
	w.run(2 * time.Minute)
	check("a cloud is cut")
	w.cut["cloud1"] = false
	w.routers["hub1"].off = true
	w.run(2 * time.Minute)
	check("a hub is gone")
	if !strings.Contains(w.routers["s3"].routes(), "192.168.5.0/24") {
		t.Errorf("s3:\n%s", w.routers["s3"].routes())
	}
}

// RFC 2328 8.2: packets of a virtual link, which come to a router of another area as of the backbone, are named as of another area.
func TestVirtualLinkIsNoNeighbor(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", Config{RouterID: id("1.1.1.1"), Areas: []Area{{ID: 7, Interfaces: []Interface{p2p("e0")}}}}, "e0 s 10.0.0.1/24")
	f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9") // in area 0
	f.greet()
	if f.state() != "" || a.problems() != "area" {
		t.Errorf("%q, problems %q", f.state(), a.problems())
	}
}

// RFC 2328 9.5.1: on NBMA the silent are asked every poll interval, and one that comes later is found.
func TestPollOfNBMA(t *testing.T) {
	w := newWorld(t, 1)
	nbma := Interface{Name: "e0", Network: NBMA, Priority: 1, Poll: 30 * time.Second, Neighbors: []Peer{{Address: addr("10.0.0.2"), Priority: 1}}}
	w.add("a", oneArea("1.1.1.1", nbma), "e0 s 10.0.0.1/24")
	asked := 0
	w.spy = func(r *router, p core.SendIP) {
		if r.name == "a" {
			asked++
		}
	}
	w.run(5 * time.Minute)
	if asked < 9 || asked > 12 {
		t.Errorf("asked %d times in 5 minutes, want every 30 s", asked)
	}
	w.add("b", oneArea("2.2.2.2", Interface{Name: "e0", Network: NBMA, Priority: 0}), "e0 s 10.0.0.2/24")
	w.run(90 * time.Second)
	w.wantStates("b", "1.1.1.1 full dr")
}

// RFC 2328 14: 5,000 LSAs are refreshed for a day without coming all at once.
func TestRefreshesAreSpread(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static}} })
	for k := range 1000 {
		w.routers["b"].loop.Post("others", static(fmt.Sprintf("172.%d.%d.0/24", 16+k/250, k%250)))
	}
	w.run(time.Minute)
	at := map[time.Duration]int{}
	w.spy = func(r *router, p core.SendIP) {
		if u, ok := bodyOf[*wire.Update](p); ok && r.name == "b" {
			at[w.now/time.Second] += len(u.LSAs)
		}
	}
	w.run(2 * time.Hour)
	most, all := 0, 0
	for _, n := range at {
		most, all = max(most, n), all+n
	}
	if all < 3000 || most > 100 {
		t.Errorf("%d LSAs were refreshed in two hours, %d of them in one second", all, most)
	}
	w.wantEqual(0, "a", "b")
}

// A prefix that carries the cloud and is told of in it would have the tunnel carry itself: it is not used, and named.
func TestCloudDoesNotCarryItself(t *testing.T) {
	w := newWorld(t, 1)
	spoke := oneArea("3.0.0.0", p2mp("t"), bcast("lan", 1))
	spoke.Areas[0].Interfaces[0].Cloud = true
	spoke.Underlay = []netip.Addr{addr("203.0.113.1")}
	hub := oneArea("1.1.1.1", p2mp("t"))
	hub.Redistribute = []Redistribute{{Protocol: rib.Static}}
	w.add("hub", hub, "t cloud 10.1.0.1/24 hub")
	a := w.add("a", spoke, "t cloud 10.1.0.3/24", "lan l 192.168.3.1/24")
	site := oneArea("4.0.0.0", bcast("lan", 1))
	site.Redistribute = []Redistribute{{Protocol: rib.Static}}
	w.add("site", site, "lan l 192.168.3.2/24")
	for _, p := range []string{"0.0.0.0/0", "203.0.113.0/24", "203.0.113.1/32", "198.51.100.0/24"} {
		w.routers["hub"].loop.Post("others", static(p))
	}
	w.routers["site"].loop.Post("others", static("203.0.112.0/23")) // the way to the provider is behind another router of the site
	w.run(2 * time.Minute)
	w.wantRoutes("a", "198.51.100.0/24 20 10.1.0.1@t", "203.0.112.0/23 20 192.168.3.2@lan")
	if a.problems() != "underlay" {
		t.Errorf("problems %q", a.problems())
	}
}
