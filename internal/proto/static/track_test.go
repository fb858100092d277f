package static

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

// watchman is the module that is asked about next hops.
type watchman struct{ watches map[liveness.Target]int }

func (*watchman) Name() string { return liveness.BFD }

func (w *watchman) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		switch b := ev.Body.(type) {
		case liveness.Watch:
			w.watches[b.Target]++
		case liveness.Unwatch:
			w.watches[b.Target]--
		}
	case liveness.State:
		env.Notify(Name, ev)
	}
}

func (w *watchman) all() (out []string) {
	for t, n := range w.watches {
		for range n {
			out = append(out, t.Peer.String()+" "+t.Interface)
		}
	}
	slices.Sort(out)
	return out
}

func TestTrackedRoutes(t *testing.T) {
	b := newBench()
	w := &watchman{map[liveness.Target]int{}}
	b.loop.Add(w, core.Start{})
	say := func(peer string, s liveness.Status) {
		b.loop.Post(liveness.BFD, liveness.State{Target: liveness.Target{Peer: netip.MustParseAddr(peer), Interface: "tun0"}, Status: s})
		b.loop.Run(0)
	}
	must := func(what string, routes, watches []string) {
		t.Helper()
		if got := b.statics(); !slices.Equal(got, routes) {
			t.Errorf("%s: routes %q, want %q", what, got, routes)
		}
		if got := w.all(); !slices.Equal(got, watches) {
			t.Errorf("%s: watches %q, want %q", what, got, watches)
		}
	}
	to := netip.MustParsePrefix("10.9.0.0/16")
	first := Route{To: to, Via: netip.MustParseAddr("10.0.0.1"), Track: TrackBFD}
	second := Route{To: to, Via: netip.MustParseAddr("10.0.0.2"), Track: TrackBFD}
	floating := Route{To: to, Via: netip.MustParseAddr("192.0.2.1"), Interface: "eth0", Distance: 200}
	b.send(core.Link{Name: "tun0", Index: 1, Up: true}, core.Link{Name: "eth0", Index: 2, Up: true},
		rib.Route{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Protocol: rib.Connected, NextHops: []rib.NextHop{{Interface: "tun0"}}},
		[]Route{first, second, floating})

	both := []string{"10.9.0.0/16/1 10.0.0.1@tun0 10.0.0.2@tun0"}
	one := []string{"10.9.0.0/16/1 10.0.0.2@tun0"}
	backup := []string{"10.9.0.0/16/200 192.0.2.1@eth0"}
	watched := []string{"10.0.0.1 tun0", "10.0.0.2 tun0"}
	must("RFC 5882 section 3.2: unknown is no failure", both, watched)
	say("10.0.0.1", liveness.Up)
	say("10.0.0.1", liveness.AdminDown)
	must("RFC 5882 section 3.2: neither is admin-down", both, watched)
	say("10.0.0.1", liveness.Down)
	must("one has failed", one, watched)
	say("10.0.0.2", liveness.Down)
	must("both have failed: the floating route, and both are watched on", backup, watched)
	say("10.0.0.1", liveness.Up)
	say("10.0.0.2", liveness.Up)
	must("both are back", both, watched)
	b.send([]Route{first, floating})
	must("one was taken out", []string{"10.9.0.0/16/1 10.0.0.1@tun0"}, watched[:1])
	b.send([]Route{floating})
	must("none is tracked", backup, nil)
}
