package kernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// other is a module that offers routes of our protocols.
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

// bench is the module on a twin of a kernel.
type bench struct {
	loop   *core.Loop
	module *Module
	twin   Twin
	record []string
	silent bool // what the twin says is kept back
	passes bool // Expect and Forget are recorded, too
	queue  []core.Event
	now    time.Duration
}

func newBench() *bench {
	b := &bench{module: New()}
	b.loop = core.NewLoop(0, rand.New(rand.NewPCG(1, 1)), b)
	b.loop.Add(b.module, core.Start{})
	b.loop.Add(other{}, core.Start{})
	b.loop.Run(0)
	return b
}

func (b *bench) Do(e core.Effect) {
	switch e := e.(type) {
	case Install:
		b.record = append(b.record, "install "+show(e.Route))
	case Remove:
		b.record = append(b.record, fmt.Sprintf("remove %s metric %d", e.Prefix, e.Metric))
	case Linger:
		b.record = append(b.record, fmt.Sprint("linger ", e.Interfaces))
	case dataplane.SetRoute:
		s := "plane " + e.Prefix.String()
		for _, h := range e.NextHops {
			s += fmt.Sprintf(" %s@%s", word(h.Via), h.Tunnel)
		}
		b.record = append(b.record, s)
	case dataplane.DeleteRoute:
		b.record = append(b.record, "plane "+e.Prefix.String()+" gone")
	case dataplane.Expect:
		if b.passes {
			b.record = append(b.record, fmt.Sprintf("expect %s %s@%s", e.Prefix, word(e.NextHops[0].Via), e.NextHops[0].Tunnel))
		}
	case dataplane.Forget:
		if b.passes {
			b.record = append(b.record, "forget "+e.Prefix.String())
		}
	}
	b.queue = append(b.queue, b.twin.Do(e)...)
}

func show(r Route) string {
	s := r.Prefix.String()
	for _, h := range r.NextHops {
		s += fmt.Sprintf(" %s@%s", word(h.Via), h.Interface)
	}
	return fmt.Sprintf("%s metric %d", s, r.Metric)
}

func word(a netip.Addr) string {
	if !a.IsValid() {
		return "link"
	}
	return a.String()
}

// echo hands on what the twin said.
func (b *bench) echo() {
	for len(b.queue) > 0 && !b.silent {
		evs := b.queue
		b.queue = nil
		for _, ev := range evs {
			b.loop.Post(Name, ev)
		}
		b.loop.Run(b.now)
	}
}

// Steps of a case, beside events for the module.
type (
	foreign Learned       // another program writes a route
	delete_ Key           // somebody deletes a route
	after   time.Duration // time passes
	hush    bool          // the kernel's echoes are kept back
	lose    string        // an interface loses its routes and the kernel does not say so
)

func (b *bench) step(ev core.Event) {
	switch ev := ev.(type) {
	case rib.Route, rib.Key:
		b.loop.Post("other", ev)
	case foreign:
		b.queue = append(b.queue, b.twin.Add(Learned(ev))...)
	case delete_:
		b.queue = append(b.queue, b.twin.Delete(Key(ev))...)
	case after:
		b.now += time.Duration(ev)
	case hush:
		b.silent = bool(ev)
	case lose:
		b.twin.SetLink(core.Link{Name: string(ev)})
		b.twin.SetLink(up(string(ev)))
	case core.Link:
		b.queue = append(b.queue, b.twin.SetLink(ev)...)
		b.loop.Broadcast(ev)
	default:
		b.loop.Post(Name, ev)
	}
	b.loop.Run(b.now)
	b.echo()
}

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func hops(words ...string) (out []rib.NextHop) {
	for _, w := range words {
		via, dev, _ := strings.Cut(w, "@")
		h := rib.NextHop{Interface: dev}
		if via != "" {
			h.Via = netip.MustParseAddr(via)
		}
		out = append(out, h)
	}
	return out
}

func ours(proto rib.Protocol, prefix string, h ...string) rib.Route {
	return rib.Route{Prefix: p(prefix), Protocol: proto, Distance: proto.Distance(), NextHops: hops(h...)}
}

func shortcut(prefix string, h ...string) rib.Route {
	r := ours(rib.NHRP, prefix, h...)
	r.Override = true
	return r
}

func theirs(prefix string, metric uint32, h ...string) foreign {
	f := foreign{Route: Route{Prefix: p(prefix), Metric: metric, NextHops: hops(h...)}, Protocol: 186}
	if len(h) == 0 {
		f.Kind = rib.Blackhole
	}
	return f
}

func leftover(prefix string, metric uint32, h ...string) foreign {
	f := theirs(prefix, metric, h...)
	f.Protocol, f.Ours = Protocol, true
	return f
}

func up(name string, addrs ...string) core.Link {
	l := core.Link{Name: name, Index: 1, Up: true, MTU: 1500}
	for _, a := range addrs {
		l.Addresses = append(l.Addresses, p(a))
	}
	return l
}

func down(name string) core.Link { return core.Link{Name: name, Index: 1} }

func tunnel(name string) core.Event {
	return core.Notice{From: "tunnel", Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: name}}}
}

func TestModule(t *testing.T) {
	base := []core.Event{up("eth0"), up("eth1"), up("tun0"), tunnel("tun0")}
	refused := Refused{Route{Prefix: p("10.1.0.0/16"), Metric: 1, NextHops: hops("10.0.0.9@tun0")}, "no"}
	tests := []struct {
		name   string
		before []core.Event
		event  core.Event
		want   []string
	}{
		{"connected prefix", nil, up("tun0", "10.0.0.1/24"), []string{"plane 10.0.0.1/32 link@", "plane 10.0.0.0/24 link@tun0"}},
		{"connected prefix of an interface that is no tunnel", nil, up("eth0", "10.0.0.1/24"), []string{"plane 10.0.0.1/32 link@", "plane 10.0.0.0/24 link@"}},
		{"RFC 1812 5.2.3 the host's addresses are no transit", nil, up("lo", "10.255.0.1/32", "2001:db8::1/128"),
			[]string{"plane 10.255.0.1/32 link@", "plane 2001:db8::1/128 link@"}},
		{"link-local addresses are never routed", nil, up("eth0", "fe80::1/128"), nil},
		{"an address changes", []core.Event{up("lo", "10.255.0.1/32")}, up("lo", "10.255.0.2/32"),
			[]string{"plane 10.255.0.1/32 gone", "plane 10.255.0.2/32 link@"}},
		{"the same addresses again", []core.Event{up("lo", "10.255.0.1/32")}, up("lo", "10.255.0.1/32"), nil},
		{"addresses go with their interface", []core.Event{up("lo", "10.255.0.1/32")}, core.Link{Name: "lo", Index: 1, Gone: true},
			[]string{"plane 10.255.0.1/32 gone"}},
		{"an address that another interface has too stays", []core.Event{up("lo", "10.255.0.1/32"), up("eth0", "10.255.0.1/32")}, up("eth0"), nil},
		{"a kernel route for an address is mirrored as it is", []core.Event{up("lo", "10.255.0.1/32")}, theirs("10.255.0.1/32", 20, "10.0.0.9@tun0"),
			[]string{"plane 10.255.0.1/32 10.0.0.9@tun0"}},
		{"and after it the address", []core.Event{up("lo", "10.255.0.1/32"), theirs("10.255.0.1/32", 20, "10.0.0.9@tun0")},
			delete_{Prefix: p("10.255.0.1/32"), Metric: 20}, []string{"plane 10.255.0.1/32 link@"}},
		{"foreign route out of a tunnel", nil, theirs("10.1.0.0/16", 20, "10.0.0.9@tun0"), []string{"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"foreign route is told before the tunnel", []core.Event{up("tun9"), theirs("10.1.0.0/16", 20, "10.0.0.9@tun9")}, tunnel("tun9"),
			[]string{"plane 10.1.0.0/16 10.0.0.9@tun9"}},
		{"foreign blackhole", nil, theirs("10.1.0.0/16", 20), []string{"plane 10.1.0.0/16 link@"}},
		{"a worse foreign route", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.9@tun0")}, theirs("10.1.0.0/16", 30, "192.0.2.1@eth0"), nil},
		{"a better foreign route", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.9@tun0")}, theirs("10.1.0.0/16", 10, "192.0.2.1@eth0"),
			[]string{"plane 10.1.0.0/16 link@"}},
		{"the better foreign route goes", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.9@tun0"), theirs("10.1.0.0/16", 10, "192.0.2.1@eth0")},
			delete_{Prefix: p("10.1.0.0/16"), Metric: 10}, []string{"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"the last route goes", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.9@tun0")}, delete_{Prefix: p("10.1.0.0/16"), Metric: 20},
			[]string{"plane 10.1.0.0/16 gone"}},

		{"static route", nil, ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"blackhole of ours", nil, ours(rib.Static, "10.1.0.0/16"), []string{"install 10.1.0.0/16 metric 1", "plane 10.1.0.0/16 link@"}},
		{"next hops change in place", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0")}, ours(rib.Static, "10.1.0.0/16", "10.0.0.8@tun0"),
			[]string{"install 10.1.0.0/16 10.0.0.8@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.8@tun0"}},
		{"another protocol: the new one first, then the old one out", []core.Event{ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0")},
			ours(rib.Static, "10.1.0.0/16", "10.0.0.8@tun0"), []string{"install 10.1.0.0/16 10.0.0.8@tun0 metric 1", "remove 10.1.0.0/16 metric 110",
				"plane 10.1.0.0/16 10.0.0.8@tun0"}},
		{"withdrawn", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0")}, ours(rib.Static, "10.1.0.0/16").Key(),
			[]string{"remove 10.1.0.0/16 metric 1", "plane 10.1.0.0/16 gone"}},
		{"withdrawn before the kernel said a word", []core.Event{hush(true), ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0")},
			ours(rib.Static, "10.1.0.0/16").Key(), []string{"remove 10.1.0.0/16 metric 1"}},
		{"a foreign route with a lower metric wins, ours goes", []core.Event{ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0")},
			theirs("10.1.0.0/16", 20, "192.0.2.1@eth0"), []string{"remove 10.1.0.0/16 metric 110", "plane 10.1.0.0/16 link@"}},
		{"ours with a lower metric stands beside a foreign one", []core.Event{theirs("10.1.0.0/16", 20, "192.0.2.1@eth0")},
			ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"a foreign route has our metric: the next lower one", []core.Event{theirs("10.1.0.0/16", 110, "192.0.2.1@eth0")},
			ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 109", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"no lower metric", []core.Event{theirs("10.1.0.0/16", 1, "192.0.2.1@eth0")}, ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), nil},

		{"shortcut with a prefix of its own", []core.Event{theirs("10.0.0.0/8", 20, "10.0.0.1@tun0")}, shortcut("10.1.0.0/16", "10.0.0.9@tun0"),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 10", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"shortcut equal to a foreign route of the tunnel: only the plane", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.1@tun0")},
			shortcut("10.1.0.0/16", "10.0.0.9@tun0"), []string{"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"the same when the foreign one has metric 0", []core.Event{theirs("10.1.0.0/16", 0, "10.0.0.1@tun0")},
			shortcut("10.1.0.0/16", "10.0.0.9@tun0"), []string{"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"the shortcut ends", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.1@tun0"), shortcut("10.1.0.0/16", "10.0.0.9@tun0")},
			shortcut("10.1.0.0/16").Key(), []string{"plane 10.1.0.0/16 10.0.0.1@tun0"}},
		{"the foreign route ends, the shortcut stays", []core.Event{theirs("10.1.0.0/16", 20, "10.0.0.1@tun0"), shortcut("10.1.0.0/16", "10.0.0.9@tun0")},
			delete_{Prefix: p("10.1.0.0/16"), Metric: 20}, []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 10", "plane 10.1.0.0/16 gone",
				"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"the same when the foreign one had metric 0", []core.Event{theirs("10.1.0.0/16", 0, "10.0.0.1@tun0"), shortcut("10.1.0.0/16", "10.0.0.9@tun0")},
			delete_{Prefix: p("10.1.0.0/16")}, []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 10", "plane 10.1.0.0/16 gone",
				"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"shortcut equal to a foreign route of another interface", []core.Event{theirs("10.1.0.0/16", 5, "192.0.2.1@eth0")},
			shortcut("10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 4", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"shortcut equal to our static route: in its place", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.1@tun0")},
			shortcut("10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},

		{"leftover taken over without a word", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.9@tun0")},
			ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), nil},
		{"leftover with other next hops is replaced", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.8@tun0")},
			ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"leftover of another metric goes once the wanted one is in", []core.Event{leftover("10.1.0.0/16", 110, "10.0.0.9@tun0")},
			ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "remove 10.1.0.0/16 metric 110"}},
		{"leftover stays until the modules settled", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.9@tun0"), Synced{}}, after(SettleTime - 1), nil},
		{"leftover is swept", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.9@tun0"), Synced{}}, after(SettleTime),
			[]string{"remove 10.1.0.0/16 metric 1", "plane 10.1.0.0/16 gone"}},
		{"leftover is swept when told", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.9@tun0"), Synced{}}, core.Request{Body: Settled{}},
			[]string{"remove 10.1.0.0/16 metric 1", "plane 10.1.0.0/16 gone"}},
		{"the sweep spares what is wanted", []core.Event{leftover("10.1.0.0/16", 1, "10.0.0.9@tun0"), ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), Synced{}},
			after(SettleTime), nil},
		{"the sweep spares what is another's", []core.Event{theirs("10.1.0.0/16", 1, "10.0.0.9@tun0"), Synced{}}, after(SettleTime), nil},

		{"interface down: ours is taken back", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0")}, down("tun0"),
			[]string{"remove 10.1.0.0/16 metric 1", "plane 10.1.0.0/16 gone"}},
		{"interface up again: written again", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), down("tun0")}, up("tun0"),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"interface made anew: written again", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), lose("tun0")},
			core.Link{Name: "tun0", Index: 2, Up: true}, []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1"}},
		{"one of two next hops down", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0", "192.0.2.1@eth0")}, down("eth0"),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 gone", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"route before its interface", nil, ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun7"), nil},
		{"the interface comes", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun7")}, up("tun7"),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun7 metric 1", "plane 10.1.0.0/16 link@"}},
		{"somebody deletes ours: not at once", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0")}, delete_{Prefix: p("10.1.0.0/16"), Metric: 1},
			[]string{"plane 10.1.0.0/16 gone"}},
		{"but soon it is written again", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), delete_{Prefix: p("10.1.0.0/16"), Metric: 1}},
			after(RepairTime), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"somebody changes ours: it is put right", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), leftover("10.1.0.0/16", 1, "10.0.0.66@tun0")},
			after(RepairTime), []string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{"refused: not at once again", []core.Event{hush(true), ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), refused}, after(RetryTime - 1), nil},
		{"refused: tried again", []core.Event{hush(true), ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), refused}, after(RetryTime),
			[]string{"install 10.1.0.0/16 10.0.0.9@tun0 metric 1"}},
		{"stop leaves nothing of ours", []core.Event{ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"), leftover("10.2.0.0/16", 1, "10.0.0.9@tun0"),
			theirs("10.3.0.0/16", 1, "10.0.0.9@tun0")}, core.Stop{}, []string{"remove 10.1.0.0/16 metric 1", "remove 10.2.0.0/16 metric 1",
			"plane 10.1.0.0/16 gone", "plane 10.2.0.0/16 gone"}},
		{"IPv6", nil, ours(rib.Static, "2001:db8:1::/48", "fd00::9@tun0"),
			[]string{"install 2001:db8:1::/48 fd00::9@tun0 metric 1", "plane 2001:db8:1::/48 fd00::9@tun0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			for _, ev := range append(slices.Clone(base), tt.before...) {
				b.step(ev)
			}
			b.record = nil
			b.step(tt.event)
			if !slices.Equal(b.record, tt.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(b.record, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// The plane hears of a route before the kernel does, for the kernel sends packets by it before it says that it has it, and forgets
// it when none can be on the way any more.
func TestRoutesPass(t *testing.T) {
	b := newBench()
	for _, ev := range []core.Event{up("eth0"), up("tun0"), up("tun1"), tunnel("tun0"), tunnel("tun1")} {
		b.step(ev)
	}
	b.passes = true
	steps := []struct {
		event core.Event
		want  []string
	}{
		{hush(true), nil},
		{ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0"), []string{"expect 10.1.0.0/16 10.0.0.9@tun0", "install 10.1.0.0/16 10.0.0.9@tun0 metric 110"}},
		{hush(false), []string{"plane 10.1.0.0/16 10.0.0.9@tun0"}},
		{after(PassTime - 1), nil},
		{after(1), []string{"forget 10.1.0.0/16"}},
		{ours(rib.OSPF, "10.1.0.0/16", "10.0.0.8@tun0"), []string{"install 10.1.0.0/16 10.0.0.8@tun0 metric 110", "plane 10.1.0.0/16 10.0.0.8@tun0"}},
		{after(2 * PassTime), nil},
		{ours(rib.OSPF, "10.1.0.0/16", "10.0.1.9@tun1"), []string{"expect 10.1.0.0/16 10.0.1.9@tun1", "install 10.1.0.0/16 10.0.1.9@tun1 metric 110", "plane 10.1.0.0/16 10.0.1.9@tun1"}},
		{after(time.Second), nil},
		{ours(rib.OSPF, "10.1.0.0/16", "192.0.2.1@eth0"), []string{"install 10.1.0.0/16 192.0.2.1@eth0 metric 110", "plane 10.1.0.0/16 link@"}},
		{after(PassTime - time.Second), nil},
		{after(time.Second), []string{"forget 10.1.0.0/16"}},
		{after(2 * PassTime), nil},
	}
	for i, s := range steps {
		b.record = nil
		b.step(s.event)
		if !slices.Equal(b.record, s.want) {
			t.Errorf("step %d: got\n  %s\nwant\n  %s", i, strings.Join(b.record, "\n  "), strings.Join(s.want, "\n  "))
		}
	}
	if b.module.passing != nil || b.module.pass.Armed() {
		t.Errorf("there is more to forget: %v", b.module.passing)
	}
}

// A change of a foreign route is a change for the RIB too, never a loss and a gain.
func TestForeignRouteChangesInPlace(t *testing.T) {
	b := newBench()
	b.step(theirs("10.1.0.0/16", 20, "10.0.0.1@tun0"))
	lost := false
	b.loop.After = func(_ string, ev core.Event) {
		if c, ok := ev.(rib.Change); ok && c.New == nil {
			lost = true
		}
	}
	b.step(theirs("10.1.0.0/16", 20, "10.0.0.2@tun0"))
	if r, ok := b.loop.RIB().Get("", p("10.1.0.0/16")); lost || !ok || r.NextHops[0].Via != netip.MustParseAddr("10.0.0.2") {
		t.Errorf("lost %v, now %+v", lost, r)
	}
}

func TestOurRoutesNeverComeBackIntoTheRIB(t *testing.T) {
	b := newBench()
	b.step(up("tun0"))
	b.step(leftover("10.2.0.0/16", 110, "10.0.0.9@tun0"))
	b.step(ours(rib.Static, "10.1.0.0/16", "10.0.0.9@tun0"))
	for r := range b.loop.RIB().Offers("") {
		if r.Protocol != rib.Static {
			t.Errorf("%+v", r)
		}
	}
}

// Whatever happens in whatever order, once it is quiet the kernel has what the RIB selects, others' routes are
// untouched, and the plane's mirror is the kernel's table.
func TestQuietMeansRight(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		b := newBench()
		world := map[netip.Prefix]bool{}
		b.step(Synced{})
		b.step(Settled{})
		devs := []string{"tun0", "eth0"}
		state := map[string]bool{}
		for range 60 {
			prefix := fmt.Sprintf("10.%d.0.0/16", r.IntN(3))
			world[p(prefix)] = true
			h := fmt.Sprintf("10.0.0.%d@%s", 1+r.IntN(2), devs[r.IntN(2)])
			switch r.IntN(9) {
			case 0, 1:
				b.step(ours(rib.OSPF, prefix, h))
			case 2:
				b.step(ours(rib.OSPF, prefix).Key())
			case 3:
				b.step(shortcut(prefix, fmt.Sprintf("10.0.0.9@%s", devs[r.IntN(2)])))
			case 4:
				b.step(shortcut(prefix).Key())
			case 5:
				if dev := h[strings.IndexByte(h, '@')+1:]; state[dev] {
					b.step(theirs(prefix, []uint32{0, 5, 10, 110, 200}[r.IntN(5)], h))
				}
			case 6:
				b.step(delete_{Prefix: p(prefix), Metric: []uint32{0, 5, 10, 110, 200}[r.IntN(5)]})
			case 7:
				dev := devs[r.IntN(2)]
				if state[dev] = !state[dev]; state[dev] {
					b.step(up(dev))
				} else {
					b.step(down(dev))
				}
			case 8:
				b.step(hush(r.IntN(2) == 0))
			}
		}
		b.step(hush(false))
		b.step(after(RetryTime))
		b.step(after(RetryTime))
		b.check(t, seed, world)
	}
}

func (b *bench) check(t *testing.T, seed uint64, world map[netip.Prefix]bool) {
	t.Helper()
	m := New()
	m.links, m.tunnels = b.twin.links, map[string]bool{}
	for prefix := range world {
		e := &entry{table: table{prefix: prefix}}
		var mine []Route
		for _, l := range b.twin.Routes() {
			if l.Prefix == prefix {
				e.actual = append(e.actual, l)
				if l.Ours {
					mine = append(mine, l.Route)
				}
			}
		}
		if sel, ok := b.loop.RIB().Get("", prefix); ok {
			e.selected = &sel
		}
		want, _, _ := m.plan(e)
		switch {
		case want == nil && len(mine) > 0:
			t.Errorf("seed %d: %v is too much", seed, mine)
		case want != nil && (len(mine) != 1 || !mine[0].Equal(*want)):
			t.Errorf("seed %d: kernel has %v, want %v", seed, mine, *want)
		}
	}
}

// has reports whether the twin has a route of ours.
func (b *bench) has(prefix string, metric uint32) bool {
	l, ok := b.twin.routes[Key{Prefix: p(prefix), Metric: metric}]
	return ok && l.Ours
}

func TestARestartLeavesTheRoutes(t *testing.T) {
	b := newBench()
	b.step(up("tun0"))
	b.step(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun0"}}})
	r := ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0")
	b.step(r)
	b.record = nil
	b.step(core.Stop{Restart: true})
	b.step(r.Key()) // another module's goodbye
	b.step(core.Link{Name: "tun0", Index: 2})
	if want := []string{"linger [tun0]"}; !slices.Equal(b.record, want) {
		t.Errorf("got %q, want %q", b.record, want)
	}
}

// RFC 3623 section 2.2: forwarding goes on by what was there before, until the routes are computed again.
func TestLeftoversWaitForWhoLearnsThemAgain(t *testing.T) {
	const grace = 2 * time.Minute
	restoring := func(source string, d time.Duration) core.Event {
		return core.Notice{From: "ospf", Body: rib.Restoring{Protocol: rib.OSPF, Source: source, For: d}}
	}
	tests := []struct {
		name   string
		events []core.Event
		there  bool
	}{
		{"nobody learns", []core.Event{Synced{}, after(SettleTime)}, false},
		{"not yet over", []core.Event{Synced{}, restoring("a", grace), after(grace - 1)}, true},
		{"never done", []core.Event{Synced{}, restoring("a", grace), after(grace)}, false},
		{"before the table was read", []core.Event{restoring("a", grace), Synced{}, after(grace - 1)}, true},
		{"done, and its routes on their way", []core.Event{Synced{}, restoring("a", grace), after(time.Minute), restoring("a", 0), after(RestoredTime - 1)}, true},
		{"done, and it is not among them", []core.Event{Synced{}, restoring("a", grace), after(time.Minute), restoring("a", 0), after(RestoredTime)}, false},
		{"done soon: others have their time", []core.Event{Synced{}, restoring("a", grace), restoring("a", 0), after(SettleTime - 1)}, true},
		{"one of two done", []core.Event{Synced{}, restoring("a", grace), restoring("b", grace), restoring("a", 0), after(grace - 1)}, true},
		{"learned", []core.Event{Synced{}, restoring("a", grace), ours(rib.OSPF, "10.1.0.0/16", "10.0.0.9@tun0"), restoring("a", 0), after(time.Hour)}, true},
	}
	for _, tt := range tests {
		b := newBench()
		b.step(up("tun0"))
		b.step(leftover("10.1.0.0/16", 110, "10.0.0.9@tun0"))
		for _, ev := range tt.events {
			b.step(ev)
		}
		if got := b.has("10.1.0.0/16", 110); got != tt.there {
			t.Errorf("%s: there %v, want %v", tt.name, got, tt.there)
		}
	}
}

// A floating static route, say, is there at once after a start; what it is to stand in for is only being learned.
func TestALeftoverIsNotReplacedByWhatIsWorse(t *testing.T) {
	b := newBench()
	b.step(up("tun0"))
	b.step(leftover("10.1.0.0/16", 110, "10.0.0.9@tun0"))
	floating := ours(rib.Static, "10.1.0.0/16", "10.0.0.8@tun0")
	floating.Distance = 200
	b.step(floating)
	if !b.has("10.1.0.0/16", 110) || !b.has("10.1.0.0/16", 200) {
		t.Errorf("before the modules have settled: %+v", b.twin.Routes())
	}
	b.step(Settled{})
	if b.has("10.1.0.0/16", 110) || !b.has("10.1.0.0/16", 200) {
		t.Errorf("after: %+v", b.twin.Routes())
	}
	better := ours(rib.NHRP, "10.1.0.0/16", "10.0.0.7@tun0")
	b.step(better)
	if b.has("10.1.0.0/16", 200) || !b.has("10.1.0.0/16", 10) {
		t.Errorf("a better one: %+v", b.twin.Routes())
	}
}

func TestSeveralEventsAtOnce(t *testing.T) {
	b := newBench()
	b.step(up("tun0"))
	b.step(Told{Learned(theirs("10.1.0.0/16", 20, "10.0.0.1@tun0")), Learned(theirs("10.2.0.0/16", 20, "10.0.0.1@tun0")),
		Forgotten{Prefix: p("10.1.0.0/16"), Metric: 20}})
	_, one := b.loop.RIB().Get("", p("10.1.0.0/16"))
	_, two := b.loop.RIB().Get("", p("10.2.0.0/16"))
	if one || !two {
		t.Errorf("10.1.0.0/16 %v, 10.2.0.0/16 %v", one, two)
	}
}
