package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/rib"
)

// A guard comes with the configuration, is there whatever becomes of tunnel and process, and goes with another configuration.
func TestGuard(t *testing.T) {
	const raise, lower = "install 10.1.0.0/16 metric 4294967295", "remove 10.1.0.0/16 metric 4294967295"
	const gone = "plane 10.1.0.0/16 gone"
	route := rib.Route{Prefix: p("10.1.0.0/16"), Protocol: rib.Static, Distance: 1, NextHops: hops("10.0.0.1@tun0")}
	guard := Guard{Prefixes: []netip.Prefix{p("10.1.0.0/16")}}
	left := foreign{Route: Route{Prefix: p("10.1.0.0/16"), Metric: GuardMetric, Kind: rib.Blackhole}, Protocol: Protocol, Ours: true}
	tun := core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun0"}}}
	kernelDrops := "plane 10.1.0.0/16 link@"
	for _, tt := range []struct {
		name  string
		steps []core.Event
		want  []string
	}{
		{"wanted: the kernel drops, and the data plane leaves it to the kernel", []core.Event{guard}, []string{raise, kernelDrops}},
		{"wanted twice", []core.Event{guard, guard}, []string{raise, kernelDrops}},
		{"beneath a route", []core.Event{guard, tun, up("tun0"), route}, []string{raise, kernelDrops, "install 10.1.0.0/16 10.0.0.1@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.1@tun0"}},
		{"alone again when the tunnel's device goes", []core.Event{tun, up("tun0"), route, guard, core.Link{Name: "tun0", Gone: true}},
			[]string{"install 10.1.0.0/16 10.0.0.1@tun0 metric 1", "plane 10.1.0.0/16 10.0.0.1@tun0", raise, kernelDrops}},
		{"left by an earlier process, not known yet", []core.Event{left}, []string{kernelDrops}},
		{"and wanted again: kept without a gap", []core.Event{left, guard, after(time.Minute)}, []string{kernelDrops}},
		{"and not wanted", []core.Event{left, Guard{}}, []string{kernelDrops, lower, gone}},
		{"not wanted any more", []core.Event{guard, Guard{}}, []string{raise, kernelDrops, lower, gone}},
		{"deleted by somebody", []core.Event{guard, delete_(left.Key()), after(RepairTime)}, []string{raise, kernelDrops, gone, raise, kernelDrops}},
		{"the router stops", []core.Event{guard, core.Stop{}}, []string{raise, kernelDrops}},
		{"the sweep after a start", []core.Event{Synced{}, left, guard, Settled{}}, []string{kernelDrops}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			for _, s := range tt.steps {
				b.step(s)
			}
			if !slices.Equal(b.record, tt.want) {
				t.Errorf("got  %q\nwant %q", b.record, tt.want)
			}
		})
	}
}

// A configuration takes the tunnel away and drops a prefix that covers the guarded one: the RIB has that when the Guard comes, the
// kernel does not yet. What drops is written before the guard goes, or what was meant for the tunnel left in clear between the two.
func TestGuardGoesAfterWhatReplacesIt(t *testing.T) {
	b := newBench()
	route := ours(rib.Static, "10.1.0.0/16", "10.0.0.1@tun0")
	for _, s := range []core.Event{tunnel("tun0"), up("tun0"), Guard{Prefixes: []netip.Prefix{p("10.1.0.0/16")}}, route} {
		b.step(s)
	}
	b.record = nil
	b.loop.Post("other", route.Key())
	b.loop.Post("other", ours(rib.Static, "10.0.0.0/8"))
	b.step(Guard{})
	want := []string{"remove 10.1.0.0/16 metric 1", "install 10.0.0.0/8 metric 1", "remove 10.1.0.0/16 metric 4294967295"}
	got := slices.DeleteFunc(b.record, func(s string) bool { return strings.HasPrefix(s, "plane") })
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A prefix whose route led out of protected tunnels alone stays closed when the route has gone.
func TestLearnedGuard(t *testing.T) {
	const route = "install 10.1.0.0/16 10.0.0.1@tun0 metric 110"
	const raise, lower = "install 10.1.0.0/16 metric 4294967294", "remove 10.1.0.0/16 metric 4294967294"
	const withdraw, inTunnel, kernelDrops = "remove 10.1.0.0/16 metric 110", "plane 10.1.0.0/16 10.0.0.1@tun0", "plane 10.1.0.0/16 link@"
	ospf := ours(rib.OSPF, "10.1.0.0/16", "10.0.0.1@tun0")
	on := Guard{Tunnels: []string{"tun0"}}
	tun := core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun0"}}}
	begin := func(evs ...core.Event) []core.Event {
		return append([]core.Event{tun, up("tun0"), up("eth0"), on}, evs...)
	}
	left := foreign{Route: Route{Prefix: p("10.1.0.0/16"), Metric: LearnedGuardMetric, Kind: rib.Blackhole}, Protocol: Protocol, Ours: true}
	n := 0
	clear := ClearGuards{Match: func(netip.Prefix) bool { return true }, Count: &n}
	raised := []string{route, raise, inTunnel}
	shortcut := shortcut("10.1.0.0/16", "10.0.0.7@tun0")
	for _, tt := range []struct {
		name  string
		steps []core.Event
		want  []string
	}{
		{"beneath the route", begin(ospf), raised},
		{"withdrawn", begin(ospf, ospf.Key()), append(raised[:3:3], withdraw, kernelDrops)},
		{"the device goes with the route", begin(ospf, core.Link{Name: "tun0", Index: 1, Gone: true}, ospf.Key()), append(raised[:3:3], withdraw, kernelDrops)},
		{"the route comes back", begin(ospf, ospf.Key(), ospf), append(raised[:3:3], withdraw, kernelDrops, route, inTunnel)},
		{"a shortcut lends its next hop", begin(ospf, shortcut, shortcut.Key()), append(raised[:3:3],
			"install 10.1.0.0/16 10.0.0.7@tun0 metric 10", withdraw, "plane 10.1.0.0/16 10.0.0.7@tun0", route, "remove 10.1.0.0/16 metric 10", inTunnel)},
		{"a shortcut alone has none: what it shortens has", begin(ours(rib.OSPF, "10.0.0.0/8", "10.0.0.1@tun0"), shortcut, shortcut.Key()), []string{
			"install 10.0.0.0/8 10.0.0.1@tun0 metric 110", "install 10.0.0.0/8 metric 4294967294", "plane 10.0.0.0/8 10.0.0.1@tun0",
			"install 10.1.0.0/16 10.0.0.7@tun0 metric 10", "plane 10.1.0.0/16 10.0.0.7@tun0", "remove 10.1.0.0/16 metric 10", "plane 10.1.0.0/16 gone"}},
		{"not of the default route", begin(ours(rib.OSPF, "0.0.0.0/0", "10.0.0.1@tun0")), []string{"install 0.0.0.0/0 10.0.0.1@tun0 metric 110", "plane 0.0.0.0/0 10.0.0.1@tun0"}},
		{"not where one way out is in clear", begin(ours(rib.OSPF, "10.1.0.0/16", "10.0.0.1@tun0", "192.0.2.1@eth0")),
			[]string{"install 10.1.0.0/16 10.0.0.1@tun0 192.0.2.1@eth0 metric 110", "plane 10.1.0.0/16 10.0.0.1@tun0 link@"}},
		{"not of a tunnel in clear", []core.Event{tun, up("tun0"), Guard{Tunnels: []string{"tun9"}}, ospf}, []string{route, inTunnel}},
		{"a route of another program", begin(theirs("10.1.0.0/16", 20, "10.0.0.1@tun0"), delete_{Prefix: p("10.1.0.0/16"), Metric: 20}), []string{raise, inTunnel, kernelDrops}},
		{"another way, in clear, ends it", begin(ospf, ospf.Key(), theirs("10.1.0.0/16", 20, "192.0.2.1@eth0")), append(raised[:3:3], withdraw, kernelDrops, lower, kernelDrops)[:6:6]},
		{"and so does a LAN of ours", begin(ospf, ospf.Key(), foreign{Route: Route{Prefix: p("10.1.0.0/16"), NextHops: hops("@eth0")}, Connected: true}), append(raised[:3:3], withdraw, kernelDrops, lower)},
		{"a blackhole does not", begin(ospf, ospf.Key(), ours(rib.Static, "10.1.0.0/16")), append(raised[:3:3], withdraw, kernelDrops, "install 10.1.0.0/16 metric 1")},
		{"the configuration guards it", begin(ospf, Guard{Tunnels: []string{"tun0"}, Prefixes: []netip.Prefix{p("10.1.0.0/16")}}),
			append(raised[:3:3], "install 10.1.0.0/16 metric 4294967295", lower)},
		{"the configuration wants none any more", begin(ospf, ospf.Key(), Guard{}), append(raised[:3:3], withdraw, kernelDrops, lower, "plane 10.1.0.0/16 gone")},
		{"cleared while there is a route: nothing", begin(ospf, clear), raised},
		{"cleared", begin(ospf, ospf.Key(), clear), append(raised[:3:3], withdraw, kernelDrops, lower, "plane 10.1.0.0/16 gone")},
		{"the router stops", begin(ospf, core.Stop{}), append(raised[:3:3], withdraw, kernelDrops)},
		{"left by an earlier process: kept without a gap", []core.Event{left, on, after(time.Hour)}, []string{kernelDrops}},
		{"and it appears after the configuration", begin(left, Settled{}), []string{kernelDrops}},
		{"and nothing is protected any more", []core.Event{left, Guard{}}, []string{kernelDrops, lower, "plane 10.1.0.0/16 gone"}},
		{"and the route comes back", begin(left, ospf), []string{kernelDrops, route, inTunnel}},
		{"removed by somebody: again after a while", begin(ospf, ospf.Key(), delete_(left.Key()), after(RepairTime)), append(raised[:3:3], withdraw, kernelDrops, "plane 10.1.0.0/16 gone", raise, kernelDrops)},
		{"not of what a server is in", []core.Event{tun, up("tun0"), Guard{Tunnels: []string{"tun0"}, Underlay: []netip.Addr{netip.MustParseAddr("10.1.2.3")}}, ospf}, []string{route, inTunnel}},
		{"IKE speaks with an address in it", begin(ospf, ospf.Key(), core.Notice{Body: protect.Up{Remote: netip.MustParseAddrPort("10.1.2.3:4500")}}),
			append(raised[:3:3], withdraw, kernelDrops, lower, "plane 10.1.0.0/16 gone")},
		{"IKE fails to", begin(left, core.Notice{Body: protect.Failed{Remote: netip.MustParseAddr("10.1.2.3")}}), []string{kernelDrops, lower, "plane 10.1.0.0/16 gone"}},
		{"IKE speaks with another", begin(ospf, ospf.Key(), core.Notice{Body: protect.Up{Remote: netip.MustParseAddrPort("10.2.2.3:4500")}}), append(raised[:3:3], withdraw, kernelDrops)},
		{"the kernel's echoes are late", begin(hush(true), ospf, ospf.Key(), ospf, hush(false)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			for _, s := range tt.steps {
				b.step(s)
			}
			if tt.want == nil { // whatever the order: the guard was asked for once
				if i := slices.Index(b.record, raise); i < 0 || slices.Contains(b.record[i+1:], raise) || slices.Contains(b.record, lower) {
					t.Errorf("got %q", b.record)
				}
				return
			}
			if !slices.Equal(b.record, tt.want) {
				t.Errorf("got  %q\nwant %q", b.record, tt.want)
			}
		})
	}
	if n != 1 {
		t.Errorf("%d guards cleared, want 1", n)
	}
}

// Others decide how many prefixes there are: the guards of these are bounded, and what goes elsewhere makes room.
func TestLearnedGuardsAreBounded(t *testing.T) {
	b := newBench()
	b.module.closing.limit = 2
	b.step(up("tun0"))
	b.step(up("eth0"))
	b.step(Guard{Tunnels: []string{"tun0"}})
	standing := func() (out []string) {
		for _, l := range b.twin.Routes() {
			if l.Metric == LearnedGuardMetric {
				out = append(out, l.Prefix.String())
			}
		}
		return out
	}
	for _, prefix := range []string{"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"} {
		b.step(ours(rib.OSPF, prefix, "10.0.0.1@tun0"))
	}
	if got := standing(); !slices.Equal(got, []string{"10.1.0.0/16", "10.2.0.0/16"}) {
		t.Errorf("guarded: %q", got)
	}
	b.step(ours(rib.OSPF, "10.1.0.0/16", "192.0.2.1@eth0"))
	b.step(ours(rib.OSPF, "10.4.0.0/16", "10.0.0.1@tun0"))
	if got := standing(); !slices.Equal(got, []string{"10.2.0.0/16", "10.4.0.0/16"}) {
		t.Errorf("guarded when there was room again: %q", got)
	}
}
