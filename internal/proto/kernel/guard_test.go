package kernel

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
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
