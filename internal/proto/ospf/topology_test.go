package ospf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// Ten links between two routers: as many next hops as are wanted, and those of the least cost alone, while links fail and costs change.
func TestParallelLinks(t *testing.T) {
	const links = 10
	w := newWorld(t, 5)
	side := func(n int, cost uint32) (Config, []string) {
		cfg := oneArea(fmt.Sprintf("%d.%[1]d.%[1]d.%[1]d", n), lan("lan"))
		ports := []string{fmt.Sprintf("lan l%d 192.168.%d.1/24", n, n)}
		for i := range links {
			f := p2p(fmt.Sprint("e", i))
			if i == 0 && cost != 0 {
				f.Cost = cost
			}
			cfg.Areas[0].Interfaces = append(cfg.Areas[0].Interfaces, f)
			ports = append(ports, fmt.Sprintf("e%d s%d 10.0.%d.%d/24", i, i, i, n))
		}
		return cfg, ports
	}
	hops := func() int {
		return strings.Count(w.routers["a"].routes(), "192.168.2.0/24 ") * strings.Count(toLAN(w.routers["a"]), "@")
	}
	a, ports := side(1, 0)
	w.add("a", a, ports...)
	b, ports := side(2, 0)
	w.add("b", b, ports...)
	w.run(20 * time.Second)
	if hops() != 8 {
		t.Errorf("%d next hops by default, want 8", hops())
	}
	a.MaxPaths = 64
	w.routers["a"].reconfigure(a)
	w.run(10 * time.Second)
	if hops() != links {
		t.Errorf("%d next hops, want %d", hops(), links)
	}
	for i := range 4 {
		w.routers["b"].setLink(fmt.Sprint("e", 9-i), func(l *core.Link) { l.Up = false })
	}
	w.run(time.Minute)
	if hops() != links-4 {
		t.Errorf("%d next hops with four links down, want %d", hops(), links-4)
	}
	cheap, _ := side(1, 3)
	cheap.MaxPaths = 64
	w.routers["a"].reconfigure(cheap)
	w.run(10 * time.Second)
	if got := toLAN(w.routers["a"]); got != "192.168.2.0/24 13 10.0.0.2@e0" {
		t.Errorf("with one cheaper link: %s", got)
	}
	w.wantEqual(0, "a", "b")
}

// toLAN is the route to the LAN of the second.
func toLAN(r *router) string {
	for line := range strings.Lines(r.routes()) {
		if strings.HasPrefix(line, "192.168.2.0/24 ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// Externals that are told as one: the summary comes with the first of them and goes with the last, and what lies in no
// summary, or in one that is hidden, is told apart or not at all.
func TestSummariesOfExternals(t *testing.T) {
	p := netip.MustParsePrefix
	w := pair(t, 1, func(a, b *Config) {
		b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}}
		b.Summaries = []Range{{Prefix: p("172.16.0.0/16"), Tag: 9}, {Prefix: p("172.16.128.0/17")}, {Prefix: p("172.17.0.0/16"), Hide: true}, {Prefix: p("172.18.0.0/16"), Cost: 50}}
	})
	b := w.routers["b"]
	const lanOfB = "192.168.2.0/24 20 10.0.0.2@e0"
	step := func(what string, change func(), want ...string) {
		t.Helper()
		change()
		w.run(20 * time.Second)
		if got := w.routers["a"].routes(); got != strings.Join(append(want, lanOfB), "\n") {
			t.Errorf("%s:\n%s", what, got)
		}
	}
	set := func(prefixes ...string) func() {
		return func() {
			for _, x := range prefixes {
				b.loop.Post("others", static(x))
			}
		}
	}
	unset := func(prefixes ...string) func() {
		return func() {
			for _, x := range prefixes {
				b.loop.Post("others", static(x).Key())
			}
		}
	}
	step("nothing", func() {})
	step("the first", set("172.16.1.0/24"), "172.16.0.0/16 7 10.0.0.2@e0")
	step("more of it", set("172.16.2.0/24", "172.16.3.0/24"), "172.16.0.0/16 7 10.0.0.2@e0")
	step("in the narrower of two", set("172.16.200.0/24"), "172.16.0.0/16 7 10.0.0.2@e0", "172.16.128.0/17 7 10.0.0.2@e0")
	step("in a hidden one", set("172.17.1.0/24"), "172.16.0.0/16 7 10.0.0.2@e0", "172.16.128.0/17 7 10.0.0.2@e0")
	step("with a cost, and beside all", set("172.18.1.0/24", "172.19.1.0/24"),
		"172.16.0.0/16 7 10.0.0.2@e0", "172.16.128.0/17 7 10.0.0.2@e0", "172.18.0.0/16 50 10.0.0.2@e0", "172.19.1.0/24 7 10.0.0.2@e0")
	step("all but one gone", unset("172.16.1.0/24", "172.16.2.0/24", "172.16.200.0/24", "172.18.1.0/24"), "172.16.0.0/16 7 10.0.0.2@e0", "172.19.1.0/24 7 10.0.0.2@e0")
	step("the last gone", unset("172.16.3.0/24", "172.19.1.0/24"))
}

// Costs over border routers: type 1 adds up from end to end, type 2 does not, and of two ways the cheaper counts, also when
// it changes (RFC 2328 16.4).
func TestCostsAcrossAreas(t *testing.T) {
	w := newWorld(t, 8)
	at := func(router string, areas ...Area) Config {
		return Config{RouterID: id(router), Areas: areas}
	}
	with := func(number uint32, list ...Interface) Area { return Area{ID: wire.AreaID(number), Interfaces: list} }
	cost := func(f Interface, c uint32) Interface { f.Cost = c; return f }
	source := at("1.1.1.1", with(1, cost(p2p("x"), 10), cost(p2p("y"), 30)))
	source.Redistribute = []Redistribute{
		{Protocol: rib.Static, Type1: true, Metric: 5, Match: []Match{{Prefix: netip.MustParsePrefix("172.16.1.0/24")}}},
		{Protocol: rib.Kernel, Metric: 5},
	}
	w.add("source", source, "x sx 10.1.1.1/24", "y sy 10.1.2.1/24")
	w.add("left", at("2.2.2.2", with(1, cost(p2p("x"), 10)), with(0, cost(p2p("l"), 10))), "x sx 10.1.1.2/24", "l sl 10.0.1.2/24")
	w.add("right", at("3.3.3.3", with(1, cost(p2p("y"), 30)), with(0, cost(p2p("r"), 10))), "y sy 10.1.2.2/24", "r sr 10.0.2.2/24")
	middle := func(toLeft uint32) Config {
		return at("4.4.4.4", with(0, cost(p2p("l"), toLeft), cost(p2p("r"), 10)), with(2, cost(p2p("z"), 10)))
	}
	w.add("middle", middle(10), "l sl 10.0.1.3/24", "r sr 10.0.2.3/24", "z sz 10.2.1.1/24")
	w.add("far", at("5.5.5.5", with(2, cost(p2p("z"), 10))), "z sz 10.2.1.2/24")
	w.routers["source"].loop.Post("others", static("172.16.1.0/24"))
	w.routers["source"].loop.Post("others", rib.Route{Prefix: netip.MustParsePrefix("172.16.2.0/24"), Protocol: rib.Kernel, NextHops: []rib.NextHop{{Interface: "q"}}})
	w.run(30 * time.Second)
	want := func(name, prefix, route string) {
		t.Helper()
		if !strings.Contains("\n"+w.routers[name].routes()+"\n", "\n"+prefix+" "+route+"\n") {
			t.Errorf("%v %s: want %s %s of\n%s", w.now, name, prefix, route, w.routers[name].routes())
		}
	}
	want("middle", "172.16.1.0/24", "25 10.0.1.2@l") // 5, 10 in area 1, 10 in the backbone
	want("middle", "172.16.2.0/24", "5 10.0.1.2@l")
	want("far", "172.16.1.0/24", "35 10.2.1.1@z")
	want("far", "172.16.2.0/24", "5 10.2.1.1@z")
	w.routers["middle"].reconfigure(middle(30)) // both ways 40 to the boundary router
	w.run(10 * time.Second)
	want("middle", "172.16.1.0/24", "45 10.0.1.2@l 10.0.2.2@r")
	w.routers["middle"].reconfigure(middle(31))
	w.run(10 * time.Second)
	want("middle", "172.16.1.0/24", "45 10.0.2.2@r")
	want("middle", "172.16.2.0/24", "5 10.0.2.2@r")
	want("far", "172.16.1.0/24", "55 10.2.1.1@z")
	w.routers["right"].off = true // the dearer way is all that is left
	w.run(time.Minute)
	want("far", "172.16.1.0/24", "56 10.2.1.1@z")
}

// What an NSSA says comes back: after the boundary router took it back and told of it again, after the link to the border router
// was down, and after the border router that translates has died (RFC 3101 3.2).
func TestNSSAComesBack(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		t.Run(v.String(), func(t *testing.T) {
			w := line(t, v, Area{Kind: NSSA})
			a, b := w.routers["a"], w.routers["b"]
			prefix := "192.0.2.0/25"
			if v != wire.V2 {
				prefix = "2001:db8:a::/48"
			}
			step := func(what string, there bool, span time.Duration, happens func()) {
				t.Helper()
				happens()
				w.run(span)
				if got := strings.Contains(w.routers["c"].routes(), prefix+" 7 "); got != there {
					t.Errorf("%s: c has %s: %v\n%s", what, prefix, got, w.routers["c"].routes())
				}
			}
			again := static(prefix)
			step("told", true, 0, func() {})
			step("taken back", false, 10*time.Second, func() { a.loop.Post("others", again.Key()) })
			step("told again", true, 10*time.Second, func() { a.loop.Post("others", again) })
			step("the link is down", false, time.Minute, func() { b.setLink("e0", func(l *core.Link) { l.Up = false }) })
			step("and up", true, time.Minute, func() { b.setLink("e0", func(l *core.Link) { l.Up = true }) })
			step("the border router dies", false, time.Minute, func() { b.off = true })
			cfg := Config{Name: "ospf", Version: v, RouterID: id("2.2.2.2"), Areas: []Area{
				{ID: 1, Kind: NSSA, Interfaces: []Interface{p2p("e0")}}, {Interfaces: []Interface{p2p("e1")}}}}
			step("and starts", true, time.Minute, func() { b.boot(cfg) })
			w.wantEqual(1, "a", "b")
			w.wantEqual(0, "b", "c")
		})
	}
}

// What a router brings in is there before its interfaces are, as on a host that starts: it is told of all the same.
func TestExternalsBeforeInterfaces(t *testing.T) {
	for _, kind := range []AreaKind{Normal, NSSA} {
		t.Run(kind.String(), func(t *testing.T) {
			area := func(a *Config) { a.Areas[0].ID, a.Areas[0].Kind = 1, kind }
			w := pair(t, 1, func(a, b *Config) { area(a); area(b) })
			b := w.routers["b"]
			for _, p := range b.ports {
				p.link.Up = false
			}
			cfg := oneArea("2.2.2.2", p2p("e0"), lan("lan"))
			cfg.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}}
			area(&cfg)
			b.boot(cfg)
			b.loop.Post("others", static("172.16.0.0/16"))
			w.run(5 * time.Second)
			for _, name := range []string{"e0", "lan"} {
				b.setLink(name, func(l *core.Link) { l.Up = true })
			}
			w.run(30 * time.Second)
			w.wantRoutes("a", "172.16.0.0/16 7 10.0.0.2@e0", "192.168.2.0/24 20 10.0.0.2@e0")
		})
	}
}
