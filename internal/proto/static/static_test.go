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
		for _, h := range r.NextHops {
			s += fmt.Sprintf(" %s@%s", h.Via, h.Interface)
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

func up(name string) core.Link   { return core.Link{Name: name, Index: 1, Up: true} }
func down(name string) core.Link { return core.Link{Name: name, Index: 1} }

func TestModule(t *testing.T) {
	lan := connected("10.0.0.0/24", "eth0")
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
