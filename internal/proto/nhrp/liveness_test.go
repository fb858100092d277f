package nhrp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

// bfd has BFD say something of the path to a peer.
func (r *router) bfd(peer string, s liveness.Status) {
	t := liveness.Target{Peer: netip.MustParseAddr(peer), Interface: testTunnel}
	r.post(core.Notice{From: liveness.BFD, Body: liveness.State{Target: t, Status: s, Reason: "no packet from the peer for 150ms"}})
}

// watches is how the path to a peer is watched; false when it is not.
func (r *router) watches(peer string) (liveness.Watch, bool) {
	b := r.module.tunnels[testTunnel].bindings[netip.MustParseAddr(peer)]
	if b == nil || b.watched == (liveness.Watch{}) {
		return liveness.Watch{}, false
	}
	return b.watched, true
}

func TestPathsAreWatchedWhileTheyHaveAnAdjacency(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	if watch, ok := spoke1.watches("10.100.0.1"); !ok || watch.Passive || watch.Interface != testTunnel {
		t.Errorf("the spoke watches its hub: %+v, %v", watch, ok)
	}
	if watch, ok := hub.watches("10.100.0.11"); !ok || !watch.Passive {
		t.Errorf("the hub waits for its client to begin: %+v, %v", watch, ok)
	}
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(time.Second)
	if watch, ok := spoke1.watches("10.100.0.12"); !ok || watch.Passive {
		t.Errorf("the spoke watches the far end of its shortcut: %+v, %v", watch, ok)
	}
	spoke2.post(core.Stop{})
	w.run(time.Second)
	for _, r := range []*router{hub, spoke1} {
		if _, ok := r.watches("10.100.0.12"); ok {
			t.Error("a router that took its leave is watched still")
		}
	}
}

// RFC 5882 section 3.2: only a path that worked and failed is a reason to do anything.
func TestWhatIsNoFailureChangesNothing(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(time.Second)
	for _, s := range []liveness.Status{liveness.Up, liveness.Unknown, liveness.AdminDown} {
		w.mark()
		for _, peer := range []string{"10.100.0.1", "10.100.0.12"} {
			spoke1.bfd(peer, s)
			hub.bfd("10.100.0.11", s)
		}
		if spoke1.peer("10.100.0.1").State != "up" || spoke1.shortcut("192.168.12.0/24").Type != "dynamic" || hub.row("10.100.0.11").Type != "dynamic" {
			t.Errorf("%v: something was given up", s)
		}
		if n := len(w.sent(spoke1, RegistrationRequest)); n != 0 {
			t.Errorf("%v: %d registrations", s, n)
		}
	}
	spoke1.bfd("10.100.0.99", liveness.Down) // nobody we know
}

func TestFailedPathToTheHubMovesToAnotherAtOnce(t *testing.T) {
	w := newWorld(t)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "10.0.0.1", Priority: 1}, {NBMA: "10.0.0.2", Priority: 2}}
	first, second := w.add("10.0.0.1", "10.100.0.1/24", hubConfig), w.add("10.0.0.2", "10.100.0.2/24", hubConfig)
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	w.run(time.Second)
	w.blocked = func(from, to netip.Addr) bool { return from == first.nbma || to == first.nbma }
	w.mark()
	spoke.bfd("10.100.0.1", liveness.Down)
	if _, ok := spoke.adjacency("10.100.0.1"); ok {
		t.Error("the adjacency of the failed hub is still there")
	}
	if _, ok := spoke.adjacency("10.100.0.2"); !ok || spoke.module.tunnels[testTunnel].fallback[0] != netip.MustParseAddr("10.100.0.2") {
		t.Error("the other hub did not take over")
	}
	if n := len(w.sent(spoke, RegistrationRequest)); n != 1 {
		t.Errorf("%d registrations with the failed hub at once, want 1", n)
	}
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.run(2 * time.Second)
	if spoke.peer("10.100.0.1").State != "up" {
		t.Error("the hub is back and not found")
	}
	_ = second
}

// A client that has found the path failed registers again at once, which can be before we find the same: its registration
// must not end then, for it would not come back before the next refresh.
func TestFailedPathToAClientLeavesItsRegistration(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	spoke1.bfd("10.100.0.1", liveness.Down)
	w.run(time.Second)
	hub.bfd("10.100.0.11", liveness.Down)
	w.run(time.Second)
	if _, ok := hub.adjacency("10.100.0.11"); !ok || hub.row("10.100.0.11").Type != "dynamic" {
		t.Error("the hub has forgotten a client that believes to be registered")
	}
	if _, ok := hub.watches("10.100.0.11"); !ok {
		t.Error("the path is not watched any more")
	}
}

func TestFailedShortcutGivesWayToTheHub(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(time.Second)
	w.blocked = func(from, to netip.Addr) bool {
		return from == spoke2.nbma && to != hub.nbma || to == spoke2.nbma && from != hub.nbma
	}
	spoke1.bfd("10.100.0.12", liveness.Down)
	if _, ok := spoke1.adjacency("10.100.0.12"); ok {
		t.Error("the adjacency is still there")
	}
	if r, _ := spoke1.loop.RIB().Get("", netip.MustParsePrefix("192.168.12.0/24")); r.Protocol == rib.NHRP {
		t.Error("the shortcut's route is still there")
	}
	if spoke1.peer("10.100.0.1").State != "up" {
		t.Error("the hub was given up with it")
	}
}

// A hub that was cut off and speaks again has our registration for a while yet. It is asked at once, and not when it may have ended.
func TestHubThatIsHeardAgainIsAskedAtOnce(t *testing.T) {
	w := newWorld(t)
	cfg := spokeConfig
	cfg.HoldTime = 9 * time.Second
	hub, spoke := w.add("10.0.0.1", "10.100.0.1/24", hubConfig), w.add("10.0.0.11", "10.100.0.11/24", cfg)
	w.run(time.Second)
	heard := func(peer string) int {
		w.mark()
		spoke.post(core.Notice{From: "ospf", Body: liveness.Heard{Interface: testTunnel, Peer: netip.MustParseAddr(peer)}})
		w.run(10 * time.Millisecond)
		return len(w.sent(spoke, RegistrationRequest))
	}
	if n := heard("10.100.0.1"); n != 0 {
		t.Errorf("%d registrations with a hub that has answered", n)
	}
	w.blocked = func(_, _ netip.Addr) bool { return true }
	w.run(6500 * time.Millisecond) // two requests are lost, and the third is not due
	w.blocked = func(_, _ netip.Addr) bool { return false }
	if n := heard("10.100.0.12"); n != 0 {
		t.Errorf("%d registrations because somebody else was heard", n)
	}
	if n := heard("10.100.0.1"); n != 1 {
		t.Errorf("%d registrations with a hub that owes an answer, want 1", n)
	}
	w.run(3500 * time.Millisecond)
	if hub.row("10.100.0.11").Type != "dynamic" {
		t.Error("the registration has ended")
	}
}
