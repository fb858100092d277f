package static

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// other is a module that offers the routes of others.
type other struct{}

func (other) Name() string { return "other" }
func (other) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case rib.Route:
		env.Route(ev)
	case rib.Key:
		env.Unroute(ev)
	}
}

type noEdge struct{}

func (noEdge) Do(core.Effect) {}

type bench struct{ loop *core.Loop }

func newBench() *bench {
	b := &bench{core.NewLoop(0, rand.New(rand.NewPCG(1, 1)), noEdge{})}
	b.loop.Add(New(), core.Start{})
	b.loop.Add(other{}, core.Start{})
	return b
}

func (b *bench) send(evs ...core.Event) {
	for _, ev := range evs {
		switch ev := ev.(type) {
		case rib.Route, rib.Key:
			b.loop.Post("other", ev)
		case []Route:
			b.loop.Post(Name, core.Request{Body: Configure{ev}})
		default:
			b.loop.Broadcast(ev)
		}
		b.loop.Run(0)
	}
}

// statics is what the RIB has of the module.
func (b *bench) statics() []string {
	var out []string
	for r := range b.loop.RIB().Offers("") {
		if r.Protocol != rib.Static {
			continue
		}
		s := fmt.Sprintf("%s/%d", r.Prefix, r.Distance)
		if r.Tag != 0 {
			s += fmt.Sprint(" tag ", r.Tag)
		}
		if r.Kind == rib.Reject {
			s += " reject"
		}
		for _, h := range r.NextHops {
			s += fmt.Sprintf(" %s@%s", h.Via, h.Interface)
			if h.Weight > 0 {
				s += fmt.Sprintf("*%d", h.Weight)
			}
		}
		out = append(out, s)
	}
	return out
}

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func a(s string) netip.Addr   { return netip.MustParseAddr(s) }

func connected(prefix, dev string) rib.Route {
	return rib.Route{Prefix: p(prefix), Protocol: rib.Connected, NextHops: []rib.NextHop{{Interface: dev}}}
}

func foreign(prefix, via, dev string) rib.Route {
	return rib.Route{Prefix: p(prefix), Protocol: rib.Kernel, NextHops: []rib.NextHop{{Via: a(via), Interface: dev}}}
}

func via(to, next string) Route { return Route{To: p(to), Via: a(next)} }

func weighing(weight uint8, to, next string) Route {
	r := via(to, next)
	r.Weight = weight
	return r
}

func shortcut(prefix, via string) rib.Route {
	return rib.Route{Prefix: p(prefix), Protocol: rib.NHRP, Distance: 10, Override: true, NextHops: []rib.NextHop{{Via: a(via), Interface: "tun0"}}}
}

func up(name string) core.Link   { return core.Link{Name: name, Index: 1, Up: true} }
func down(name string) core.Link { return core.Link{Name: name, Index: 1} }

func TestModule(t *testing.T) {
	lan := connected("10.0.0.0/24", "eth0")
	ecmp := foreign("172.16.0.0/12", "10.0.0.1", "eth0")
	ecmp.NextHops = append(ecmp.NextHops, rib.NextHop{Via: a("10.1.0.1"), Interface: "eth1"})
	tests := []struct {
		name   string
		events []core.Event
		want   []string
	}{
		{"via a connected prefix", []core.Event{lan, []Route{via("10.9.0.0/16", "10.0.0.9")}}, []string{"10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"the connected prefix comes later", []core.Event{[]Route{via("10.9.0.0/16", "10.0.0.9")}, lan}, []string{"10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"the connected prefix goes", []core.Event{lan, []Route{via("10.9.0.0/16", "10.0.0.9")}, lan.Key()}, nil},
		{"via a gateway of another route", []core.Event{foreign("172.16.0.0/12", "10.0.0.1", "eth0"), []Route{via("10.9.0.0/16", "172.16.5.5")}},
			[]string{"10.9.0.0/16/1 10.0.0.1@eth0"}},
		{"not via the default route", []core.Event{foreign("0.0.0.0/0", "10.0.0.1", "eth0"), []Route{via("10.9.0.0/16", "10.100.0.1")}}, nil},
		{"not via itself", []core.Event{[]Route{via("10.0.0.0/8", "10.100.0.1")}}, nil},
		{"inside itself, but with a more specific way", []core.Event{connected("10.100.0.0/24", "tun0"), []Route{via("10.0.0.0/8", "10.100.0.1")}},
			[]string{"10.0.0.0/8/1 10.100.0.1@tun0"}},
		{"inside itself, the more specific way gone", []core.Event{connected("10.100.0.0/24", "tun0"), []Route{via("10.0.0.0/8", "10.100.0.1")},
			connected("10.100.0.0/24", "tun0").Key()}, nil},
		{"via another static route", []core.Event{lan, []Route{via("10.9.0.0/16", "10.8.0.1"), via("10.8.0.0/16", "10.0.0.9")}},
			[]string{"10.8.0.0/16/1 10.0.0.9@eth0", "10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"two that lean on each other", []core.Event{[]Route{via("10.9.0.0/16", "10.8.0.1"), via("10.8.0.0/16", "10.9.0.1")}}, nil},
		{"two that would hold each other up after the ground is gone", []core.Event{
			connected("10.8.0.0/24", "eth0"), []Route{via("10.9.0.0/16", "10.8.0.1"), via("10.8.0.0/16", "10.9.0.1")},
			connected("10.8.0.0/24", "eth0").Key()}, nil},
		{"by an interface", []core.Event{up("eth1"), []Route{{To: p("10.9.0.0/16"), Interface: "eth1"}}}, []string{"10.9.0.0/16/1 invalid IP@eth1"}},
		{"by an interface that goes down", []core.Event{up("eth1"), []Route{{To: p("10.9.0.0/16"), Interface: "eth1"}}, down("eth1")}, nil},
		{"by an interface that is deleted", []core.Event{up("eth1"), []Route{{To: p("10.9.0.0/16"), Interface: "eth1"}},
			core.Link{Name: "eth1", Index: 1, Gone: true}}, nil},
		{"by a next hop on an interface", []core.Event{up("eth1"), []Route{{To: p("10.9.0.0/16"), Via: a("10.7.7.7"), Interface: "eth1"}}},
			[]string{"10.9.0.0/16/1 10.7.7.7@eth1"}},
		{"blackhole", []core.Event{[]Route{{To: p("10.9.0.0/16"), Blackhole: true, Distance: 250}}}, []string{"10.9.0.0/16/250"}},
		{"reject, with a tag", []core.Event{[]Route{{To: p("10.9.0.0/16"), Reject: true, Tag: 7}}}, []string{"10.9.0.0/16/1 tag 7 reject"}},
		{"shares by weight", []core.Event{lan, []Route{weighing(3, "10.9.0.0/16", "10.0.0.9"), via("10.9.0.0/16", "10.0.0.8")}},
			[]string{"10.9.0.0/16/1 10.0.0.9@eth0*3 10.0.0.8@eth0*1"}},
		{"one of two shares is lost", []core.Event{lan, connected("10.1.0.0/24", "eth1"), []Route{weighing(3, "10.9.0.0/16", "10.0.0.9"), via("10.9.0.0/16", "10.1.0.9")}, lan.Key()},
			[]string{"10.9.0.0/16/1 10.1.0.9@eth1"}},
		{"via a route of several paths: all of them", []core.Event{ecmp, []Route{via("10.9.0.0/16", "172.16.5.5")}},
			[]string{"10.9.0.0/16/1 10.0.0.1@eth0 10.1.0.1@eth1"}},
		{"and half a share each", []core.Event{ecmp, lan, []Route{via("10.9.0.0/16", "172.16.5.5"), via("10.9.0.0/16", "10.0.0.7")}},
			[]string{"10.9.0.0/16/1 10.0.0.1@eth0*1 10.1.0.1@eth1*1 10.0.0.7@eth0*2"}},
		{"via a route of several paths that loses one", []core.Event{ecmp, []Route{via("10.9.0.0/16", "172.16.5.5")}, foreign("172.16.0.0/12", "10.1.0.1", "eth1")},
			[]string{"10.9.0.0/16/1 10.1.0.1@eth1"}},
		{"via a shortcut", []core.Event{foreign("172.16.0.0/12", "10.0.0.1", "tun0"), []Route{via("10.9.0.0/16", "172.16.5.5")}, shortcut("172.16.5.0/24", "10.0.0.7")},
			[]string{"10.9.0.0/16/1 10.0.0.7@tun0"}},
		{"via a static route that a shortcut overrides", []core.Event{connected("10.0.0.0/24", "tun0"),
			[]Route{via("10.9.0.0/16", "172.16.5.5"), via("172.16.0.0/12", "10.0.0.1")}, shortcut("172.16.0.0/12", "10.0.0.7")},
			[]string{"10.9.0.0/16/1 10.0.0.7@tun0", "172.16.0.0/12/1 10.0.0.7@tun0"}},
		{"via a blackhole", []core.Event{[]Route{via("10.9.0.0/16", "10.8.0.1"), {To: p("10.8.0.0/16"), Blackhole: true}}}, []string{"10.8.0.0/16/1"}},
		{"via the default route where that is said", []core.Event{foreign("0.0.0.0/0", "10.0.0.1", "eth0"), []Route{{To: p("10.9.0.0/16"), Via: a("10.100.0.1"), ViaDefault: true}}},
			[]string{"10.9.0.0/16/1 10.0.0.1@eth0"}},
		{"and it goes with the default route", []core.Event{foreign("0.0.0.0/0", "10.0.0.1", "eth0"), []Route{{To: p("10.9.0.0/16"), Via: a("10.100.0.1"), ViaDefault: true}},
			foreign("0.0.0.0/0", "10.0.0.1", "eth0").Key()}, nil},
		{"a longer route goes before the default route", []core.Event{lan, foreign("0.0.0.0/0", "10.0.0.1", "eth0"), []Route{{To: p("10.9.0.0/16"), Via: a("10.0.0.9"), ViaDefault: true}}},
			[]string{"10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"three in a circle", []core.Event{[]Route{via("10.7.0.0/16", "10.8.0.1"), via("10.8.0.0/16", "10.9.0.1"), via("10.9.0.0/16", "10.7.0.1")}}, nil},
		{"equal distance shares", []core.Event{lan, []Route{via("10.9.0.0/16", "10.0.0.9"), via("10.9.0.0/16", "10.0.0.8")}},
			[]string{"10.9.0.0/16/1 10.0.0.9@eth0 10.0.0.8@eth0"}},
		{"a floating route waits", []core.Event{lan, connected("10.1.0.0/24", "eth1"), []Route{
			{To: p("10.9.0.0/16"), Via: a("10.1.0.9"), Distance: 50}, via("10.9.0.0/16", "10.0.0.9")}},
			[]string{"10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"a floating route takes over", []core.Event{lan, connected("10.1.0.0/24", "eth1"), []Route{
			{To: p("10.9.0.0/16"), Via: a("10.1.0.9"), Distance: 50}, via("10.9.0.0/16", "10.0.0.9")}, lan.Key()},
			[]string{"10.9.0.0/16/50 10.1.0.9@eth1"}},
		{"a floating route gives back", []core.Event{lan, connected("10.1.0.0/24", "eth1"), []Route{
			{To: p("10.9.0.0/16"), Via: a("10.1.0.9"), Distance: 50}, via("10.9.0.0/16", "10.0.0.9")}, lan.Key(), lan},
			[]string{"10.9.0.0/16/1 10.0.0.9@eth0"}},
		{"taken out of the configuration", []core.Event{lan, []Route{via("10.9.0.0/16", "10.0.0.9"), via("10.8.0.0/16", "10.0.0.9")},
			[]Route{via("10.8.0.0/16", "10.0.0.9")}}, []string{"10.8.0.0/16/1 10.0.0.9@eth0"}},
		{"IPv6", []core.Event{connected("2001:db8::/64", "eth0"), []Route{via("2001:db8:9::/48", "2001:db8::9")}},
			[]string{"2001:db8:9::/48/1 2001:db8::9@eth0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			b.send(tt.events...)
			if got := b.statics(); !slices.Equal(got, tt.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestReconfigurationLeavesTheRestAlone(t *testing.T) {
	b := newBench()
	b.send(connected("10.0.0.0/24", "eth0"), []Route{via("10.9.0.0/16", "10.0.0.9")})
	var changes []rib.Change
	b.loop.After = func(_ string, ev core.Event) {
		if c, ok := ev.(rib.Change); ok {
			changes = append(changes, c)
		}
	}
	b.send([]Route{via("10.9.0.0/16", "10.0.0.9"), via("10.8.0.0/16", "10.0.0.9")})
	if len(changes) != 1 || changes[0].Prefix != p("10.8.0.0/16") {
		t.Errorf("changes: %+v", changes)
	}
}

// At start routes come in any order; what leads nowhere is told once everything is there.
func TestToldOnceThatARouteLeadsNowhere(t *testing.T) {
	b := newBench()
	var told []string
	b.loop.Log = func(_ core.Level, event string, args []any) { told = append(told, fmt.Sprint(event, " ", args[1])) }
	lan := connected("10.0.0.0/24", "eth0")
	b.send([]Route{via("10.9.0.0/16", "10.0.0.9"), via("10.8.0.0/16", "10.1.0.9")}, lan)
	b.loop.Run(surveyTime)
	b.send(lan.Key(), lan)
	want := []string{"static.unreachable 10.8.0.0/16", "static.unreachable 10.9.0.0/16", "static.reachable 10.9.0.0/16"}
	if !slices.Equal(told, want) {
		t.Errorf("got %q, want %q", told, want)
	}
}

// A chain of static routes is followed as deep as maxDepth, and no deeper.
func TestDepth(t *testing.T) {
	b := newBench()
	var routes []Route
	for i := range maxDepth + 2 { // 10.1.0.0/16 by the LAN, 10.2.0.0/16 by that, and so on
		routes = append(routes, via(fmt.Sprintf("10.%d.0.0/16", i+1), fmt.Sprintf("10.%d.0.1", i)))
	}
	b.send(connected("10.0.0.0/24", "eth0"), routes)
	if got := len(b.statics()); got != maxDepth+1 {
		t.Errorf("%d routes lead somewhere, want %d: %q", got, maxDepth+1, b.statics())
	}
}

// Routes that all lean on all others cost a bounded number of steps each, and lead nowhere.
func TestTangle(t *testing.T) {
	b := newBench()
	var routes []Route
	for i := range 12 {
		for j := range 12 {
			if i != j {
				routes = append(routes, via(fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("10.%d.0.1", j)))
			}
		}
	}
	lan := connected("10.0.0.0/24", "eth0")
	b.send(lan, routes, lan.Key())
	if got := b.statics(); got != nil {
		t.Errorf("they hold each other up: %q", got)
	}
}

// What changes concerns the routes that lean on it, and costs nothing for all the others.
func TestOnlyWhoIsConcernedIsResolvedAgain(t *testing.T) {
	routes := []Route{via("10.1.0.0/16", "192.0.2.1"), via("10.2.0.0/16", "192.0.2.9"), via("10.3.0.0/16", "198.51.100.1"),
		{To: p("10.4.0.0/16"), Via: a("192.0.2.130"), ViaDefault: true}, {To: p("10.5.0.0/16"), Interface: "eth0"}, via("2001:db8::/32", "fd00::1")}
	x := newIndex(routes)
	for _, tt := range []struct {
		prefix string
		want   string
	}{
		{"192.0.2.0/24", "10.1.0.0/16 10.2.0.0/16 10.4.0.0/16"},
		{"192.0.2.0/29", "10.1.0.0/16"},
		{"192.0.2.9/32", "10.2.0.0/16"},
		{"203.0.113.0/24", ""},
		{"0.0.0.0/0", "10.4.0.0/16"},
		{"fd00::/8", "2001:db8::/32"},
	} {
		var got []string
		for _, d := range x.concerned("", p(tt.prefix)) {
			got = append(got, d.prefix.String())
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s concerns %q, want %q", tt.prefix, s, tt.want)
		}
	}
	if got := x.interfaces["eth0"]; len(got) != 1 || got[0].prefix != p("10.5.0.0/16") {
		t.Errorf("eth0 concerns %v", got)
	}
}

// Why a route is not used is told in words.
func TestStanding(t *testing.T) {
	b := newBench()
	m := New()
	b.loop = core.NewLoop(0, rand.New(rand.NewPCG(1, 1)), noEdge{})
	b.loop.Add(m, core.Start{})
	b.loop.Add(other{}, core.Start{})
	b.send(foreign("0.0.0.0/0", "10.0.0.1", "eth0"), down("eth1"), connected("10.0.0.0/24", "eth0"), []Route{
		via("10.1.0.0/16", "192.0.2.1"), {To: p("10.2.0.0/16"), Interface: "eth1"}, {To: p("10.3.0.0/16"), Interface: "eth2"},
		via("10.4.0.0/16", "10.5.0.1"), via("10.5.0.0/16", "10.4.0.1"), via("2001:db8::/32", "fd00::1"),
		{To: p("10.6.0.0/16"), Reject: true}, via("10.7.0.0/16", "10.6.0.1"), via("10.8.0.0/16", "10.0.0.9"),
	})
	for prefix, want := range map[string]string{
		"10.1.0.0/16":   "next hop 192.0.2.1: only the default route leads there, and via-default is off",
		"10.2.0.0/16":   "interface eth1 is down",
		"10.3.0.0/16":   "interface eth2 is not there",
		"10.4.0.0/16":   "next hop 10.5.0.1: only the default route leads there, and via-default is off",
		"2001:db8::/32": "next hop fd00::1: no route leads there",
		"10.6.0.0/16":   "",
		"10.7.0.0/16":   "next hop 10.6.0.1: 10.6.0.0/16 (static) is a reject",
		"10.8.0.0/16":   "",
	} {
		s := m.Covering(b.loop.RIB(), "", p(prefix))
		if len(s) != 1 || s[0].Why != want {
			t.Errorf("%s: got %+v, want %q", prefix, s, want)
		}
	}
}
