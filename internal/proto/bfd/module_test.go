package bfd

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
)

// bench is the module on a loop, with an asker whose notices are written down, and what the module wants of an engine.
type bench struct {
	t      *testing.T
	loop   *core.Loop
	m      *Module
	wanted []core.Effect
	heard  []liveness.State
}

func (b *bench) Do(e core.Effect) { b.wanted = append(b.wanted, e) }

type asker struct {
	name string
	b    *bench
}

func (a asker) Name() string { return a.name }

func (a asker) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Notice:
		if s, ok := ev.Body.(liveness.State); ok {
			a.b.heard = append(a.b.heard, s)
		}
	case core.Request:
		env.Request(liveness.BFD, ev.Body)
	}
}

var tun = core.Link{Name: "tun100", Index: 5, Up: true, Addresses: []netip.Prefix{
	netip.MustParsePrefix("192.168.5.1/32"), netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("2001:db8::1/64"),
}}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, m: New()}
	b.loop = core.NewLoop(0, rand.New(rand.NewPCG(1, 2)), b)
	for _, m := range []core.Module{b.m, asker{"nhrp", b}, asker{"ospf", b}} {
		b.loop.Add(m, core.Start{})
	}
	b.loop.Broadcast(tun)
	b.configure(map[string]Parameters{"tun100": {Interval: 50 * ms, Multiplier: 3}})
	return b
}

func (b *bench) configure(c map[string]Parameters) { b.post(core.Request{Body: Configure{c}}) }

func (b *bench) post(ev core.Event) {
	b.loop.Post(Name, ev)
	b.loop.Run(b.loop.Now())
}

func (b *bench) ask(who string, body any) {
	b.loop.Post(who, core.Request{Body: body})
	b.loop.Run(b.loop.Now())
}

// took is what was wanted of the engine since the last call.
func (b *bench) took() []core.Effect {
	out := b.wanted
	b.wanted = nil
	return out
}

// set is the one session that was set since.
func (b *bench) set() Spec {
	b.t.Helper()
	got := b.took()
	if len(got) == 1 {
		if s, ok := got[0].(Set); ok {
			return s.Spec
		}
	}
	b.t.Fatalf("wanted %v, not one session", got)
	return Spec{}
}

func (b *bench) told() []string {
	var out []string
	for _, s := range b.heard {
		out = append(out, strings.TrimSpace(fmt.Sprint(s.For, " ", s.Status)))
	}
	b.heard = nil
	return out
}

func (b *bench) mustTell(want ...string) {
	b.t.Helper()
	if got := b.told(); !slices.Equal(got, want) {
		b.t.Errorf("told %q, want %q", got, want)
	}
}

func watching(peer string) liveness.Watch {
	return liveness.Watch{Target: liveness.Target{Peer: netip.MustParseAddr(peer), Interface: "tun100"}}
}

func up(id uint32) Report {
	return Report{ID: id, Status: liveness.Up, State: Up, Transmit: 50 * ms, Detection: 150 * ms,
		Remote: Remote{Discriminator: 77, State: Up, Multiplier: 3, DesiredTx: 50 * ms, RequiredRx: 50 * ms}}
}

func TestOneSessionForAllWhoWatch(t *testing.T) {
	b := newBench(t)
	b.ask("nhrp", watching("10.0.0.2"))
	s := b.set()
	if s.ID == 0 || s.Local != addrA || s.Index != 5 || s.Port < FirstPort || s.Interval != 50*ms || s.Multiplier != 3 || s.Passive {
		t.Errorf("session %+v", s)
	}
	w := watching("10.0.0.2")
	w.For = "area 0"
	b.ask("ospf", w)
	w.For = "area 1"
	b.ask("ospf", w)
	if got := b.took(); len(got) > 0 {
		t.Errorf("a second session: %v", got)
	}
	b.mustTell("unknown", "area 0 unknown", "area 1 unknown")
	b.post(up(s.ID))
	b.mustTell("up", "area 0 up", "area 1 up")
	b.ask("nhrp", liveness.Unwatch{Target: w.Target})
	b.ask("ospf", liveness.Unwatch{Target: w.Target, For: "area 1"})
	b.ask("ospf", liveness.Unwatch{Target: w.Target, For: "area 1"})
	if got := b.took(); len(got) > 0 {
		t.Errorf("ended while it is watched: %v", got)
	}
	r := up(s.ID)
	r.State, r.Status, r.Diagnostic = Down, liveness.Down, DetectionExpired
	b.post(r)
	if len(b.heard) != 1 || b.heard[0].Reason != "no packet from the peer for 150ms" {
		t.Errorf("told %+v", b.heard)
	}
	b.ask("ospf", liveness.Unwatch{Target: w.Target, For: "area 0"})
	if got := b.took(); len(got) != 1 || got[0] != (Delete{s.ID}) {
		t.Errorf("at the end: %v", got)
	}
	if len(b.m.paths)+len(b.m.byID)+len(b.m.byKey)+len(b.m.ports) > 0 {
		t.Error("something is left")
	}
	b.post(up(s.ID)) // on its way while the session ended
}

// OSPF names our address, NHRP does not: on one tunnel they mean one path, which has one session (RFC 5881 section 3).
func TestTargetsInDifferentWordsShareASession(t *testing.T) {
	b := newBench(t)
	w := watching("10.0.0.2")
	w.Passive = true
	b.ask("nhrp", w)
	s := b.set()
	full := watching("10.0.0.2")
	full.Local, full.For, full.Interval = addrA, "area 0", 20*ms
	b.ask("ospf", full)
	if got := b.set(); got.ID != s.ID || got.Passive || got.Interval != 20*ms {
		t.Fatalf("OSPF has %+v beside NHRP's %+v", got, s)
	}
	b.post(up(s.ID))
	b.mustTell("unknown", "area 0 unknown", "up", "area 0 up")
	if rows := b.m.Snapshot(0); len(rows) != 1 || !slices.Equal(rows[0].Watchers, []string{"nhrp", "ospf"}) {
		t.Errorf("shown as %+v", rows)
	}
	b.post(Report{ID: s.ID, Status: liveness.Down, State: Down, Diagnostic: DetectionExpired})
	b.mustTell("down", "area 0 down")
	b.ask("ospf", liveness.Unwatch{Target: full.Target, For: "area 0"})
	if got := b.set(); got.ID != s.ID || !got.Passive || got.Interval != 50*ms {
		t.Errorf("what is left for NHRP: %+v", got)
	}
	b.ask("ospf", full)
	b.set()
	b.mustTell("area 0 unknown") // it was down already
	b.ask("nhrp", liveness.Unwatch{Target: w.Target})
	if got := b.took(); len(got) > 0 {
		t.Errorf("OSPF's session changes with who leaves: %v", got)
	}
	b.ask("ospf", liveness.Unwatch{Target: full.Target, For: "area 0"})
	if got := b.took(); len(got) != 1 || got[0] != (Delete{s.ID}) {
		t.Errorf("at the end: %v", got)
	}
	if len(b.m.paths)+len(b.m.byID)+len(b.m.byKey)+len(b.m.ports) > 0 {
		t.Error("something is left")
	}
}

// When our address changes the two part from the session of the old one, and meet again on that of the new.
func TestSharedSessionFollowsTheAddress(t *testing.T) {
	b := newBench(t)
	full := watching("10.0.0.2")
	full.Local = addrA
	b.ask("nhrp", watching("10.0.0.2"))
	b.ask("ospf", full)
	s := b.set()
	b.post(up(s.ID))
	b.told()
	moved := tun
	moved.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24")}
	b.post(moved)
	next := b.set() // OSPF's stays until OSPF takes it back
	if next.ID == s.ID || next.Local != moved.Addresses[0].Addr() {
		t.Fatalf("after the change: %+v", next)
	}
	b.mustTell("unknown")
	b.ask("ospf", liveness.Unwatch{Target: full.Target})
	full.Local = next.Local
	b.ask("ospf", full)
	if got := b.took(); len(got) != 1 || got[0] != (Delete{s.ID}) {
		t.Errorf("wanted %v, not the end of the old session alone", got)
	}
	b.post(up(next.ID))
	b.mustTell("unknown", "up", "up")
}

// RFC 5882 section 3.2: who begins while the session of somebody else is down must not be kept from beginning.
func TestDownIsNoNewsToWhoComesLater(t *testing.T) {
	b := newBench(t)
	b.ask("nhrp", watching("10.0.0.2"))
	s := b.set()
	b.post(up(s.ID))
	down := Report{ID: s.ID, Status: liveness.Down, State: Down, Diagnostic: DetectionExpired}
	b.post(down)
	b.mustTell("unknown", "up", "down")
	w := watching("10.0.0.2")
	w.For = "late"
	b.ask("ospf", w)
	w.Multiplier = 5
	b.ask("ospf", w)
	b.mustTell("late unknown", "late unknown")
	b.post(up(s.ID))
	b.post(down)
	b.mustTell("up", "late up", "down", "late down")
}

func TestParametersOfSeveralWatches(t *testing.T) {
	b := newBench(t)
	w := watching("10.0.0.2")
	w.Passive = true
	b.ask("nhrp", w)
	if s := b.set(); !s.Passive {
		t.Error("not passive, though all who watch want that")
	}
	w.Passive, w.Interval, w.Multiplier = false, 20*ms, 4
	b.ask("ospf", w)
	if s := b.set(); s.Passive || s.Interval != 20*ms || s.Multiplier != 4 {
		t.Errorf("the faster of two: %+v", s)
	}
	w.Interval = time.Microsecond
	b.ask("ospf", w)
	if s := b.set(); s.Interval != LeastInterval {
		t.Errorf("an interval of %v", s.Interval)
	}
}

// Section 6.6: in demand mode only if nobody wants to hear the peer all the time.
func TestDemandOfSeveralWatches(t *testing.T) {
	b := newBench(t)
	w := watching("10.0.0.2")
	w.Demand, w.Interval = time.Minute, 50*ms
	b.ask("ospf", w)
	if s := b.set(); s.Demand != time.Minute {
		t.Errorf("asked each %v", s.Demand)
	}
	w.For, w.Demand = "another", 10*time.Second
	b.ask("ospf", w)
	if s := b.set(); s.Demand != 10*time.Second {
		t.Errorf("asked each %v, of two the shorter", s.Demand)
	}
	b.ask("nhrp", watching("10.0.0.2"))
	if s := b.set(); s.Demand != 0 {
		t.Errorf("NHRP, which is to hear the peer, has it asked each %v", s.Demand)
	}
}

func TestOnlyConfiguredInterfacesHaveSessions(t *testing.T) {
	b := newBench(t)
	b.configure(nil)
	b.ask("nhrp", watching("10.0.0.2"))
	if got := b.took(); len(got) > 0 || len(b.m.Snapshot(0)) > 0 {
		t.Errorf("a session that nobody configured: %v", got)
	}
	b.mustTell("unknown")
	b.configure(map[string]Parameters{"tun100": {Interval: 300 * ms, Multiplier: 5, Demand: time.Minute}})
	s := b.set()
	if s.Interval != 300*ms || s.Multiplier != 5 || s.Demand != time.Minute {
		t.Errorf("after reload: %+v", s)
	}
	b.post(up(s.ID))
	b.configure(map[string]Parameters{"tun100": {Interval: 50 * ms, Multiplier: 3}})
	if again := b.set(); again.ID != s.ID || again.Interval != 50*ms {
		t.Errorf("a changed interval is another session: %+v", again)
	}
	b.configure(nil)
	if got := b.took(); len(got) != 1 || got[0] != (Delete{s.ID}) {
		t.Errorf("when it is taken out of the configuration: %v", got)
	}
	b.mustTell("up", "unknown")
}

func TestLocalAddressAndIndexFollowTheInterface(t *testing.T) {
	b := newBench(t)
	for peer, want := range map[string]string{"10.0.0.2": "10.0.0.1", "fe80::2": "fe80::1", "2001:db8::2": "2001:db8::1", "172.16.0.1": "192.168.5.1"} {
		b.ask("nhrp", watching(peer))
		if s := b.set(); s.Local.String() != want {
			t.Errorf("to %s from %s, want %s", peer, s.Local, want)
		}
		b.ask("nhrp", liveness.Unwatch{Target: watching(peer).Target})
		b.took()
	}
	b.ask("nhrp", watching("10.0.0.2"))
	s := b.set()
	gone := tun
	gone.Gone = true
	b.post(gone)
	if got := b.took(); len(got) > 0 {
		t.Errorf("when the interface goes: %v", got)
	}
	anew := tun
	anew.Index = 9
	b.post(anew)
	got := b.took()
	if len(got) != 2 || got[0] != (Delete{s.ID}) || got[1].(Set).Index != 9 || got[1].(Set).ID == s.ID {
		t.Errorf("when it is back: %v", got)
	}
	w := watching("10.0.0.3")
	w.Interface, w.Interval = "tun200", 50*ms
	b.ask("nhrp", w)
	if got := b.took(); len(got) > 0 {
		t.Errorf("on an interface that is not there: %v", got)
	}
	b.post(core.Link{Name: "tun200", Index: 11, Addresses: tun.Addresses})
	if s := b.set(); s.Index != 11 {
		t.Errorf("when it is: %+v", s)
	}
	w.Interface, w.Multihop = "", true
	b.ask("nhrp", w)
	if got := b.took(); len(got) > 0 {
		t.Errorf("over several hops from nowhere: %v", got)
	}
	w.Local = addrA
	b.ask("nhrp", w)
	if s := b.set(); s.Index != 0 || s.MinTTL != defaultMinTTL || !s.Multihop {
		t.Errorf("over several hops: %+v", s)
	}
}

// An engine that dies makes nothing fail (RFC 5882 section 3.2): its sessions are unknown, and go on in the next.
func TestAnEngineThatDies(t *testing.T) {
	b := newBench(t)
	b.ask("nhrp", watching("10.0.0.2"))
	s := b.set()
	b.ask("nhrp", watching("10.0.0.3"))
	other := b.set()
	b.post(up(s.ID))
	b.told()
	b.post(Lost{"the worker ended: killed"})
	b.mustTell("unknown")
	b.post(Ready{})
	got := b.took()
	if len(got) != 2 || got[0].(Set).ID != s.ID || got[0].(Set).Resume != up(s.ID).Remote || got[1] != (Set{other}) {
		t.Errorf("given to the next engine: %+v", got)
	}
	b.post(up(s.ID))
	b.mustTell("up")
	b.post(core.Stop{})
	if got := b.took(); len(got) != 1 || got[0] != (Halt{}) {
		t.Errorf("at the end: %v", got)
	}
}

// A session over several hops from an address that is nowhere here says so, until there is one.
func TestAddressToWatchFrom(t *testing.T) {
	b := newBench(t)
	from := netip.MustParseAddr("10.77.77.77")
	b.ask("nhrp", liveness.Watch{Target: liveness.Target{Peer: netip.MustParseAddr("10.9.9.9"), Local: from, Multihop: true}, Always: true})
	b.set()
	for _, want := range []string{"no interface here has the address 10.77.77.77 to watch from", unanswered} {
		if rows := b.m.Snapshot(b.loop.Now()); rows[0].Reason != want {
			t.Errorf("%q, want %q", rows[0].Reason, want)
		}
		b.post(core.Link{Name: "lo", Index: 1, Up: true, Addresses: []netip.Prefix{netip.PrefixFrom(from, 32)}})
	}
}

// What was down stays so when an engine dies: nobody has seen it work since.
func TestDownOutlivesTheEngine(t *testing.T) {
	b := newBench(t)
	b.ask("nhrp", watching("10.0.0.2"))
	s := b.set()
	b.post(up(s.ID))
	b.post(Report{ID: s.ID, Status: liveness.Down, State: Down, Diagnostic: DetectionExpired})
	b.told()
	b.post(Lost{"the worker ended: killed"})
	b.post(Ready{})
	if got := b.took(); len(got) != 1 || got[0] != (Set{s}) {
		t.Errorf("given to the next engine: %+v", got)
	}
	b.post(Report{ID: s.ID, Status: liveness.Unknown, State: Down})
	b.mustTell()
	if rows := b.m.Snapshot(b.loop.Now()); rows[0].State != "down" || !strings.Contains(rows[0].Reason, "no packet from the peer") {
		t.Errorf("%+v", rows)
	}
	b.post(up(s.ID))
	b.mustTell("up")
}

func TestSourcePortsAreUnique(t *testing.T) {
	b := newBench(t)
	seen := map[uint16]bool{}
	for i := range 300 {
		b.m.nextPort = LastPort - 5 + uint16(i) // wraps round
		b.ask("nhrp", watching(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()))
		if s := b.set(); s.Port < FirstPort || seen[s.Port] {
			t.Fatalf("port %d", s.Port)
		} else {
			seen[s.Port] = true
		}
	}
}

func TestRowsAndReasons(t *testing.T) {
	b := newBench(t)
	b.ask("ospf", watching("10.0.0.2"))
	s := b.set()
	if r := b.m.Snapshot(0)[0]; r.State != "down" || r.Reason != "the peer has not answered" || r.UpFor != 0 {
		t.Errorf("new: %+v", r)
	}
	b.post(up(s.ID))
	b.loop.Run(4 * time.Second)
	r := b.m.Snapshot(b.loop.Now())[0]
	if r.State != "up" || r.UpFor != 4 || r.TransmitInterval != 0.05 || r.ReceiveInterval != 0.05 || r.Detection != 0.15 ||
		r.Multiplier != 3 || r.Diagnostic != "none" || r.Interface != "tun100" || r.Peer != addrB || !slices.Equal(r.Watchers, []string{"ospf"}) {
		t.Errorf("up: %+v", r)
	}
	for _, tt := range []struct {
		r    Report
		want string
	}{
		{Report{Status: liveness.AdminDown, Diagnostic: NeighborDown}, "the peer has switched the session off"},
		{Report{Status: liveness.Down, Diagnostic: NeighborDown, Remote: Remote{Diagnostic: DetectionExpired}}, "the peer hears nothing from us"},
		{Report{Status: liveness.Down, Diagnostic: NeighborDown, Remote: Remote{Diagnostic: PathDown}}, "the peer says the path is down: path down"},
		{Report{Status: liveness.Down, Diagnostic: NeighborDown}, "the peer has begun anew"},
		{Report{Status: liveness.Down, Diagnostic: DetectionExpired}, "no packet from the peer for 150ms"},
		{Report{Status: liveness.Down, Diagnostic: DetectionExpired, Held: 2 * time.Second},
			"no packet from the peer for 150ms; it flaps, so the session is kept down for 2s"},
	} {
		b.post(up(s.ID))
		tt.r.ID = s.ID
		b.post(tt.r)
		if got := b.m.Sessions(addrB, b.loop.Now()); len(got) != 1 || got[0].Reason != tt.want || got[0].Status != tt.r.Status {
			t.Errorf("got %+v, want %q", got, tt.want)
		}
	}
	b.post(Counted{Sent: 3, Received: 2, Discards: [discards]uint64{BadTTL: 9}})
	if got := fmt.Sprint(b.m.Counts()); got != "[{sent 3} {received 2} {dropped: ttl 9}]" {
		t.Errorf("counts %s", got)
	}
}
