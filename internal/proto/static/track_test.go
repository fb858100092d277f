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
type watchman struct {
	watches map[liveness.Target]int
	minTTL  uint8 // of the last
}

func (*watchman) Name() string { return liveness.BFD }

func (w *watchman) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		switch b := ev.Body.(type) {
		case liveness.Watch:
			w.watches[b.Target]++
			w.minTTL = b.MinTTL
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
	w := &watchman{watches: map[liveness.Target]int{}}
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

// RFC 5883: a next hop several hops away is watched itself, from an address of ours, by whichever way leads there and also
// while none does.
func TestTrackedFarNextHop(t *testing.T) {
	b := newBench()
	w := &watchman{watches: map[liveness.Target]int{}}
	b.loop.Add(w, core.Start{})
	to, via, from := netip.MustParsePrefix("10.9.0.0/16"), netip.MustParseAddr("192.168.7.7"), netip.MustParseAddr("192.168.1.1")
	target := liveness.Target{Peer: via, Local: from, Multihop: true}
	far := Route{To: to, Via: via, Track: TrackBFD, TrackFrom: from}
	must := func(what string, watched int, routes ...string) {
		t.Helper()
		if got := b.statics(); !slices.Equal(got, routes) {
			t.Errorf("%s: routes %q, want %q", what, got, routes)
		}
		if w.watches[target] != watched || len(w.watches) > 1 {
			t.Errorf("%s: watches %v", what, w.watches)
		}
	}
	say := func(s liveness.Status) {
		b.loop.Post(liveness.BFD, liveness.State{Target: target, Status: s})
		b.loop.Run(0)
	}
	way := rib.Route{Prefix: netip.MustParsePrefix("192.168.7.0/24"), Protocol: rib.OSPF, Distance: 110,
		NextHops: []rib.NextHop{{Via: netip.MustParseAddr("10.0.0.1"), Interface: "tun0"}}}
	b.send(core.Link{Name: "tun0", Index: 1, Up: true}, []Route{far})
	must("no way leads there", 1)
	if w.minTTL != 254 {
		t.Errorf("packets with a TTL of %d are believed, want two hops", w.minTTL)
	}
	b.send(way)
	must("one does", 1, "10.9.0.0/16/1 10.0.0.1@tun0")
	say(liveness.Up)
	say(liveness.Down)
	must("BFD says it failed", 1)
	say(liveness.AdminDown)
	must("RFC 5882 section 3.2", 1, "10.9.0.0/16/1 10.0.0.1@tun0")
	far.TrackHops = 5
	w.watches[target] = 0 // the same again, with another TTL
	b.send([]Route{far})
	must("another distance", 1, "10.9.0.0/16/1 10.0.0.1@tun0")
	if w.minTTL != 251 {
		t.Errorf("packets with a TTL of %d are believed, want five hops", w.minTTL)
	}
	b.send([]Route{})
	must("the route is gone", 0)
}
