package nhrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
)

// testIKE answers for IKE: an SA comes about when somebody asks for it, unless the world's NATs or its refusals are in the
// way. It counts what it is asked.
type testIKE struct{ r *router }

func (k *testIKE) Name() string { return protect.IKE }

func (k *testIKE) Handle(_ *core.Env, ev core.Event) {
	q, ok := ev.(core.Request)
	if !ok {
		return
	}
	switch body := q.Body.(type) {
	case protect.Ensure:
		asked := "ensure " + body.Remote.String()
		if len(body.Not) > 0 {
			asked += fmt.Sprintf(" but %v", body.Not)
		}
		k.r.asked = append(k.r.asked, asked)
		k.r.w.negotiate(k.r, body)
	case protect.Release:
		k.r.asked = append(k.r.asked, "release "+body.Remote.String())
	}
}

// testSA is one SA: two ends, each with its own handle and its own idea of where the other is.
type testSA struct{ ends [2]testEnd }

type testEnd struct {
	r      *router
	handle dataplane.SA
	remote dataplane.Endpoint
}

// sa is the SA that a router knows by a handle.
func (w *world) sa(r *router, handle dataplane.SA) *testSA {
	for _, s := range w.tunnels {
		if s.end(r) != nil && s.end(r).handle == handle {
			return s
		}
	}
	return nil
}

func (s *testSA) end(r *router) *testEnd {
	for k := range s.ends {
		if s.ends[k].r == r {
			return &s.ends[k]
		}
	}
	return nil
}

func (s *testSA) other(r *router) *testEnd {
	if s.ends[0].r == r {
		return &s.ends[1]
	}
	return &s.ends[0]
}

// negotiate answers an Ensure as IKE would: by the SA that is there, by a new one, or by a failure.
func (w *world) negotiate(r *router, e protect.Ensure) {
	satisfied := false
	for _, s := range w.tunnels {
		if end := s.end(r); end != nil && end.remote.Addr() == e.Remote {
			w.up(s, r)
			satisfied = satisfied || !slices.Contains(e.Not, end.handle)
		}
	}
	if satisfied {
		return
	}
	for _, o := range w.routers {
		if o.nbma == e.Remote && o.protected && !w.blocked(r.nbma, o.nbma) {
			w.join(r, o)
			return
		}
	}
	if w.refusal != "" {
		r.tell(protect.Failed{Local: e.Local, Remote: e.Remote, Reason: w.refusal})
	}
}

// join makes an SA between two routers and tells both.
func (w *world) join(a, b *router) *testSA {
	a.sas, b.sas = a.sas+1, b.sas+1
	at := func(r *router) dataplane.Endpoint {
		if r.public != r.nbma {
			return netip.AddrPortFrom(r.public, 40000+uint16(r.nbma.As4()[3]))
		}
		return netip.AddrPortFrom(r.nbma, 0)
	}
	s := &testSA{[2]testEnd{{a, a.sas, at(b)}, {b, b.sas, at(a)}}}
	w.tunnels = append(w.tunnels, s)
	w.up(s, a)
	w.up(s, b)
	return s
}

func (w *world) up(s *testSA, r *router) {
	other := s.other(r)
	r.tell(protect.Up{
		SA: s.end(r).handle, Profile: testProfile, Local: r.nbma, Remote: s.end(r).remote, Identity: other.r.identity,
		NAT: other.r.public != other.r.nbma, Allowed: w.allowed[other.r.identity],
	})
}

// tell has the router's IKE publish something.
func (r *router) tell(body any) { r.loop.Post(Name, core.Notice{From: protect.IKE, Body: body}) }

// cut ends an SA at one end, or at both.
func (w *world) cutSA(s *testSA, ends ...*router) {
	w.tunnels = slices.DeleteFunc(w.tunnels, func(o *testSA) bool { return o == s && len(ends) == 2 })
	for _, r := range ends {
		e := s.end(r)
		r.tell(protect.Down{SA: e.handle, Local: r.nbma, Remote: e.remote, Reason: "the peer closed it"})
		if len(ends) == 1 {
			e.handle = 0
		}
	}
	w.run(0)
}

// between is the newest SA of two routers.
func (w *world) between(a, b *router) *testSA {
	for _, s := range slices.Backward(w.tunnels) {
		if s.end(a) != nil && s.end(b) != nil && a != b {
			return s
		}
	}
	return nil
}

func (w *world) deliverBySA(f flight) {
	for _, r := range w.routers {
		if r.nbma != f.from {
			continue
		}
		if s := w.sa(r, f.sa); s != nil && s.other(r).handle != 0 {
			o := s.other(r)
			o.r.loop.Post(Name, dataplane.Received{Tunnel: testTunnel, From: o.remote, SA: o.handle, Protocol: EtherType, Payload: f.payload})
		}
	}
}

// addProtected starts a router on a protected tunnel; it proves to be NAME.example.
func (w *world) addProtected(name, nbma, public, address string, cfg Config) *router {
	r := &router{w: w, nbma: netip.MustParseAddr(nbma), stored: map[string]string{}, protected: true, identity: name + ".example"}
	r.public = netip.MustParseAddr(public)
	w.routers = append(w.routers, r)
	r.start(address, cfg)
	w.run(0)
	return r
}

// protectedCloud is [cloud] with protection. With nat the spokes are behind one.
func protectedCloud(t *testing.T, nat bool) (w *world, hub, spoke1, spoke2 *router) {
	w = newWorld(t)
	public := [2]string{"10.0.0.11", "10.0.0.12"}
	if nat {
		public = [2]string{"10.0.0.99", "10.0.0.99"}
	}
	hub = w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke1 = w.addProtected("spoke1", "10.0.0.11", public[0], "10.100.0.11/24", spokeConfig)
	spoke2 = w.addProtected("spoke2", "10.0.0.12", public[1], "10.100.0.12/24", spokeConfig)
	hub.route("192.168.11.0/24", "10.100.0.11", testTunnel)
	hub.route("192.168.12.0/24", "10.100.0.12", testTunnel)
	for _, s := range []*router{spoke1, spoke2} {
		s.route("192.168.0.0/16", "10.100.0.1", testTunnel)
	}
	spoke1.route("192.168.11.0/24", "", "eth1")
	spoke2.route("192.168.12.0/24", "", "eth1")
	return w, hub, spoke1, spoke2
}

// redirected is a packet from one LAN to another that came to the hub by an SA.
func (w *world) redirected(hub, from *router, src, dst string) {
	s := w.between(hub, from)
	hub.post(dataplane.Transit{Tunnel: testTunnel, From: s.end(hub).remote, SA: s.end(hub).handle, Packet: ipv4(src, dst)})
}

// receiveBy hands a router a packet through its SA with another.
func (r *router) receiveBy(from *router, p Packet) {
	s := r.w.between(r, from)
	r.post(dataplane.Received{Tunnel: testTunnel, From: s.end(r).remote, SA: s.end(r).handle, Protocol: EtherType, Payload: p.Append(nil)})
}

func (r *router) audit() {
	r.w.t.Helper()
	var armed []*core.Timer
	r.loop.Timers(func(_ string, tm *core.Timer) { armed = append(armed, tm) })
	for _, f := range r.module.Audit(slices.Values(armed)) {
		r.w.t.Errorf("%v: audit: %s", r.nbma, f)
	}
	if n := r.loop.Panics[Name]; n > 0 {
		r.w.t.Errorf("%v: %d panics", r.nbma, n)
	}
}

func (w *world) audit() {
	w.t.Helper()
	for _, r := range w.routers {
		r.audit()
	}
}

// stage is a stage of `why`.
func (r *router) stage(peer, name string) Stage {
	for _, s := range r.module.Why(peer, r.w.now, r.loop.RIB()) {
		if s.Name == name {
			return s
		}
	}
	return Stage{}
}

func TestProtectedRegistrationWaitsForItsSA(t *testing.T) {
	w := newWorld(t)
	w.refusal = "no answer to IKE_SA_INIT"
	spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", spokeConfig)
	w.run(5 * time.Minute)
	if n := len(w.seen); n != 0 {
		t.Errorf("%d packets were sent without an SA", n)
	}
	if row := spoke.module.Peers(w.now)[0]; row.State != "protecting" || !strings.Contains(row.Reason, "no answer to IKE_SA_INIT") {
		t.Errorf("the reason is told: %+v", row)
	}
	w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
	w.join(spoke, w.routers[1])
	w.run(0)
	if row := spoke.peer("10.100.0.1"); row.State != "up" || row.Identity != "hub.example" {
		t.Errorf("registered at once when the SA is up: %+v", row)
	}
	w.audit()
}

func TestProtectedWhyBeforeTheSA(t *testing.T) {
	for _, c := range []struct {
		name, refusal, state, detail string
	}{
		{"IKE is under way", "", stageWaiting, "waiting for a security association with 10.0.0.1"},
		{"IKE failed", "the peer says AUTHENTICATION_FAILED", stageFailed, "AUTHENTICATION_FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.refusal = c.refusal
			spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", spokeConfig)
			spoke.route("0.0.0.0/0", "10.0.0.254", "eth0")
			w.run(time.Second)
			if s := spoke.stage("10.0.0.1", "protection"); s.State != c.state || !strings.Contains(s.Detail, c.detail) {
				t.Errorf("%+v", s)
			}
			if s := spoke.stage("10.0.0.1", "registered"); s.Name != "" {
				t.Errorf("the walk ends with protection, and went on to %+v", s)
			}
		})
	}
}

func TestProtectedRegistration(t *testing.T) {
	for _, nat := range []bool{false, true} {
		t.Run(fmt.Sprintf("nat %t", nat), func(t *testing.T) {
			w, hub, spoke1, _ := protectedCloud(t, nat)
			for k, name := range []string{"10.100.0.11", "10.100.0.12"} {
				row := hub.row(name)
				if row.Type != "dynamic" || row.Identity != fmt.Sprintf("spoke%d.example", k+1) {
					t.Errorf("the hub's cache: %+v", row)
				}
				if want := fmt.Sprintf("10.0.0.99:4001%d", k+1); nat && (row.NBMA != want || !slices.Contains(row.Flags, "nat")) {
					t.Errorf("behind a NAT it is at %s: %+v", want, row)
				}
			}
			if nat != strings.Contains(spoke1.peer("10.100.0.1").Reason, "10.0.0.99") {
				t.Errorf("the spoke learns its public address: %+v", spoke1.peer("10.100.0.1"))
			}
			w.run(5 * time.Minute)
			if spoke1.peer("10.100.0.1").State != "up" || hub.row("10.100.0.11").Type != "dynamic" {
				t.Error("it is refreshed")
			}
			if want := []string{"ensure 10.0.0.1"}; !slices.Equal(spoke1.asked, want) {
				t.Errorf("asked of IKE: %v, want %v", spoke1.asked, want)
			}
			w.audit()
		})
	}
}

func TestProtectedServerIsLostWithItsSA(t *testing.T) {
	w := newWorld(t)
	hub1 := w.addProtected("hub1", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
	hub2 := w.addProtected("hub2", "10.0.0.2", "10.0.0.2", "10.100.0.2/24", hubConfig)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "10.0.0.1"}, {NBMA: "10.0.0.2", Priority: 1}}
	cfg.Clusters = map[string]Cluster{"": {MaxConnections: 1}}
	cfg.Fallback = time.Minute
	spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", cfg)
	if spoke.peer("10.100.0.1").State != "up" || len(hub2.module.Cache(w.now)) != 1 {
		t.Fatal("registered with the better of the two")
	}
	before := w.now
	w.blocked = func(_, to netip.Addr) bool { return to == hub1.nbma }
	w.cutSA(w.between(spoke, hub1), spoke, hub1)
	if spoke.peer("10.100.0.2").State != "up" || w.now != before {
		t.Errorf("the other takes over at once: %+v", spoke.module.Peers(w.now))
	}
	if _, ok := spoke.adjacency("10.100.0.1"); ok {
		t.Error("an adjacency leads through an SA that is gone")
	}
	if _, ok := hub1.adjacency("10.100.0.11"); ok {
		t.Error("the hub kept a client without its SA")
	}
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.join(spoke, hub1)
	w.run(2 * time.Minute)
	if spoke.peer("10.100.0.1").State != "up" || spoke.peer("10.100.0.2").State == "up" {
		t.Errorf("back to the better one after the fall-back time: %+v", spoke.module.Peers(w.now))
	}
	if last := spoke.asked[len(spoke.asked)-1]; last != "release 10.0.0.2" {
		t.Errorf("the other's SA is given back: %v", spoke.asked)
	}
	w.audit()
}

func TestProtectedShortcut(t *testing.T) {
	for _, nat := range []bool{false, true} {
		t.Run(fmt.Sprintf("nat %t", nat), func(t *testing.T) {
			w, hub, spoke1, spoke2 := protectedCloud(t, nat)
			if nat { // spoke 2 is outside
				spoke2.post(core.Stop{})
				w.cutSA(w.between(hub, spoke2), hub, spoke2)
				spoke2.public = spoke2.nbma
				spoke2.start("10.100.0.12/24", spokeConfig)
				spoke2.route("192.168.0.0/16", "10.100.0.1", testTunnel)
				spoke2.route("192.168.12.0/24", "", "eth1")
			}
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			row := spoke1.shortcut("192.168.12.0/24")
			if row.Type != "dynamic" || row.NBMA != "10.0.0.12" || row.Identity != "spoke2.example" {
				t.Errorf("shortcut: %+v", row)
			}
			w.redirected(hub, spoke2, "192.168.12.5", "192.168.11.5")
			if row := spoke2.shortcut("192.168.11.0/24"); row.Type != "dynamic" || row.Identity != "spoke1.example" {
				t.Errorf("the other direction uses the SA that is there: %+v", row)
			}
			if s := spoke1.stage("192.168.12.5", "protection"); s.State != stageOK || !strings.Contains(s.Detail, "spoke2.example") {
				t.Errorf("why: %+v", s)
			}
			w.audit()
			w.pass(10*time.Minute, false)
			if spoke1.module.Size().Shortcuts+spoke2.module.Size().Shortcuts != 0 {
				t.Error("idle shortcuts end")
			}
			if !slices.Contains(spoke1.asked, "release 10.0.0.12") {
				t.Errorf("the SA of an idle shortcut is given back: %v", spoke1.asked)
			}
			w.audit()
		})
	}
}

func TestProtectedShortcutFailsIntoTheHub(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	w.refusal = "no answer to IKE_SA_INIT"
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	if row := spoke1.shortcut("192.168.12.5/32"); row.Type != "negative" || !strings.Contains(row.Reason, "direct path to 10.100.0.12 at 10.0.0.12 failed: no answer to IKE_SA_INIT; staying on the hub") {
		t.Errorf("negative, in words: %+v", spoke1.module.Shortcuts(w.now))
	}
	if s := spoke1.stage("192.168.12.5", "protection"); s.State != stageFailed || !strings.Contains(s.Detail, "no answer to IKE_SA_INIT") {
		t.Errorf("why: %+v", s)
	}
	if got := spoke1.asked[len(spoke1.asked)-1]; got != "release 10.0.0.12" {
		t.Errorf("given back: %v", spoke1.asked)
	}
	w.audit()
}

func TestProtectedShortcutWaitsOnTheHub(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	if row := spoke1.peer("10.100.0.12"); row.State != "protecting" || row.Path != "via-hub" {
		t.Errorf("no word from IKE: %+v", row)
	}
	if s := spoke1.stage("192.168.12.5", "protection"); s.State != stageWaiting {
		t.Errorf("why: %+v", s)
	}
	w.run(30 * time.Second)
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.join(spoke2, spoke1)
	w.run(0)
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" {
		t.Errorf("the other side began: %+v", row)
	}
	w.audit()
}

// A peer may answer when more than a third of the shortcut's life is over: it is renewed all the same, for as long as it is used.
func TestShortcutThatWaitedIsRenewedWhileUsed(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	spoke2.module.tunnels[testTunnel].cfg.HoldTime = 90 * time.Second // that of what it answers
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	w.pass(35*time.Second, true)
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.join(spoke2, spoke1)
	w.run(0)
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" || row.ExpiresIn > 56 {
		t.Fatalf("it did not wait: %+v", row)
	}
	w.pass(5*time.Minute, true)
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" {
		t.Errorf("a shortcut in use ended: %+v", spoke1.module.Shortcuts(w.now))
	}
	w.audit()
}

func TestProtectedShortcutDoesNotWaitForEver(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	w.run(protectSpan + time.Second)
	if n := spoke1.module.Size(); n.Peers != 0 || n.Shortcuts != 0 || n.Needs != 1 {
		t.Errorf("still waiting: %+v", n)
	}
	w.audit()
}

func TestTwoPeersBehindOneNAT(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong bool // the SA of the other router behind the NAT is there first, and alone
	}{{"the right SA is there", false}, {"the right SA comes later", true}} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, spoke2 := protectedCloud(t, true)
			outside := w.addProtected("spoke3", "10.0.0.13", "10.0.0.13", "10.100.0.13/24", spokeConfig)
			outside.route("192.168.0.0/16", "10.100.0.1", testTunnel)
			outside.route("192.168.13.0/24", "", "eth1")
			w.join(spoke2, outside)
			if !c.wrong {
				w.join(spoke1, outside)
			}
			w.run(0)
			w.redirected(hub, outside, "192.168.13.5", "192.168.11.5")
			if c.wrong {
				if row := outside.peer("10.100.0.11"); row.State == "up" {
					t.Fatalf("spoke 2 was taken for spoke 1: %+v", row)
				}
				w.join(spoke1, outside)
				w.run(0)
			}
			if row := outside.peer("10.100.0.11"); row.State != "up" || row.Identity != "spoke1.example" {
				t.Errorf("spoke 1: %+v", row)
			}
			w.redirected(hub, outside, "192.168.13.5", "192.168.12.5")
			if row := outside.peer("10.100.0.12"); row.State != "up" || row.Identity != "spoke2.example" {
				t.Errorf("spoke 2: %+v", row)
			}
			w.audit()
		})
	}
}

func TestSAOfAPeerMoves(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	s := w.between(hub, spoke1)
	to := netip.MustParseAddrPort("10.0.0.77:4500")
	s.end(hub).remote = to
	hub.tell(protect.Moved{SA: s.end(hub).handle, Local: hub.nbma, Remote: to})
	w.run(0)
	if row := hub.row("10.100.0.11"); row.NBMA != "10.0.0.77:4500" || row.Type != "dynamic" {
		t.Errorf("the binding stays and moves: %+v", row)
	}
	if at, ok := hub.adjacency("10.100.0.11"); !ok || at != "10.0.0.77" {
		t.Errorf("the adjacency is at %s", at)
	}
	w.audit()
}

func TestUnderlayMovesWithProtection(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	old := spoke1.nbma
	spoke1.asked = nil
	spoke1.nbma = netip.MustParseAddr("10.0.0.77")
	spoke1.public = spoke1.nbma
	s := w.between(hub, spoke1)
	spoke1.linkUp("10.100.0.11/24")
	s.end(hub).remote = netip.AddrPortFrom(spoke1.nbma, 0)
	spoke1.tell(protect.Moved{SA: s.end(spoke1).handle, Local: spoke1.nbma, Remote: s.end(spoke1).remote})
	hub.tell(protect.Moved{SA: s.end(hub).handle, Local: hub.nbma, Remote: s.end(hub).remote})
	w.run(0)
	if row := hub.row("10.100.0.11"); row.NBMA != "10.0.0.77" || row.ClaimedNBMA != "10.0.0.77" {
		t.Errorf("was %v: %+v", old, row)
	}
	if spoke1.peer("10.100.0.1").State != "up" {
		t.Error("registered")
	}
	if len(spoke1.asked) != 2 || spoke1.asked[0] != "ensure 10.0.0.1" || spoke1.asked[1] != "release 10.0.0.1" {
		t.Errorf("the new is asked for before the old is given back: %v", spoke1.asked)
	}
	w.audit()
}

// The SA goes in each state a peer, a client or a server can be in.
func TestSALostInEachState(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, w *world, hub, spoke1, spoke2 *router)
	}{
		{"a server's, registered", func(t *testing.T, w *world, hub, spoke1, _ *router) {
			w.cutSA(w.between(hub, spoke1), spoke1, hub)
			if row := spoke1.module.Peers(w.now)[0]; row.State != "protecting" || !strings.Contains(row.Reason, "the peer closed it") {
				t.Errorf("%+v", row)
			}
			if f := spoke1.module.tunnels[testTunnel].fallback[0]; f.IsValid() {
				t.Errorf("the fallback is still %v", f)
			}
		}},
		{"a server's, its reply on the way", func(t *testing.T, w *world, hub, spoke1, _ *router) {
			w.blocked = func(from, _ netip.Addr) bool { return from == hub.nbma }
			spoke1.linkUp("10.100.0.11/24")
			w.run(0)
			w.cutSA(w.between(hub, spoke1), spoke1, hub)
		}},
		{"a peer's, in use", func(t *testing.T, w *world, hub, spoke1, spoke2 *router) {
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			w.cutSA(w.between(spoke1, spoke2), spoke1, spoke2)
			if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "" {
				t.Errorf("the shortcut is withdrawn at once: %+v", row)
			}
			if _, ok := spoke1.adjacency("10.100.0.12"); ok {
				t.Error("so is the adjacency")
			}
			if spoke1.peer("10.100.0.1").State != "up" {
				t.Error("the hub is another matter")
			}
		}},
		{"a peer's, being probed", func(t *testing.T, w *world, hub, spoke1, spoke2 *router) {
			w.join(spoke1, spoke2)
			w.run(0)
			w.blocked = func(from, to netip.Addr) bool { return from == spoke2.nbma && to == spoke1.nbma }
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			if row := spoke1.peer("10.100.0.12"); row.State != "probing" {
				t.Fatalf("%+v", row)
			}
			w.cutSA(w.between(spoke1, spoke2), spoke1, spoke2)
			if row := spoke1.peer("10.100.0.12"); row.State != "protecting" {
				t.Errorf("waits for another: %+v", row)
			}
		}},
		{"a peer's, renewing", func(t *testing.T, w *world, hub, spoke1, spoke2 *router) {
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			w.pass(205*time.Second, true)
			w.cutSA(w.between(spoke1, spoke2), spoke1, spoke2)
			if n := spoke1.module.Size(); n.Shortcuts != 0 {
				t.Errorf("%+v", n)
			}
		}},
		{"a client's, whose refresh is due", func(t *testing.T, w *world, hub, spoke1, _ *router) {
			w.run(99 * time.Second)
			w.cutSA(w.between(hub, spoke1), hub, spoke1)
			if row := hub.row("10.100.0.11"); row.Type != "" {
				t.Errorf("%+v", row)
			}
		}},
		{"nobody's", func(_ *testing.T, w *world, _, spoke1, _ *router) {
			spoke1.tell(protect.Down{SA: 4711, Reason: "never heard of"})
			spoke1.tell(protect.Moved{SA: 4711})
			w.run(0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, spoke2 := protectedCloud(t, false)
			c.do(t, w, hub, spoke1, spoke2)
			w.audit()
			w.blocked = func(_, _ netip.Addr) bool { return false }
			if w.between(hub, spoke1) == nil { // IKE goes on trying while somebody asks
				w.join(spoke1, hub)
			}
			w.run(5 * time.Minute)
			if spoke1.peer("10.100.0.1").State != "up" || hub.row("10.100.0.11").Type != "dynamic" {
				t.Errorf("and it comes back: %+v", spoke1.peer("10.100.0.1"))
			}
			w.audit()
		})
	}
}

func TestRestartReplacesTheBindingOfTheSameIdentity(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	old := w.between(hub, spoke1)
	handle := old.end(hub).handle
	*old.end(spoke1) = testEnd{r: spoke1} // it knows no SA any more
	spoke1.start("10.100.0.11/24", spokeConfig)
	now := w.between(hub, spoke1).end(hub).handle
	b := hub.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.11")]
	if b.client.place.sa != now || b.adjacency.SA != now {
		t.Errorf("the binding goes by SA %d, the adjacency by %d, not by %d", b.client.place.sa, b.adjacency.SA, now)
	}
	if now == handle {
		t.Fatal("there is no new SA")
	}
	hub.tell(protect.Down{SA: handle, Local: hub.nbma, Remote: old.end(hub).remote, Reason: "INITIAL_CONTACT"})
	w.run(0)
	if hub.row("10.100.0.11").Type != "dynamic" {
		t.Error("the end of the old SA took the new binding along")
	}
	w.audit()
}

func TestAnotherSAWithTheSamePeerTakesOver(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	old := w.between(hub, spoke1)
	w.join(spoke1, hub)
	w.run(0)
	w.mark()
	hub.effects, spoke1.effects = nil, nil
	w.cutSA(old, hub, spoke1)
	for _, r := range []*router{hub, spoke1} {
		for _, e := range r.effects {
			if d, ok := e.(dataplane.DeleteAdjacency); ok {
				t.Errorf("%v: the adjacency of %v was gone meanwhile", r.nbma, d.NextHop)
			}
		}
	}
	if spoke1.peer("10.100.0.1").State != "up" || hub.row("10.100.0.11").Type != "dynamic" {
		t.Error("both stay")
	}
	w.audit()
}

func TestProtectionIsReleased(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *router)
	}{
		{"the tunnel is down", func(r *router) {
			r.post(core.Notice{Body: dataplane.TunnelDown{Name: testTunnel, Reason: "test"}})
		}},
		{"the tunnel is removed from the configuration", func(r *router) { r.post(core.Request{Body: Configure{}}) }},
		{"the servers are", func(r *router) {
			cfg := *r.module.tunnels[testTunnel].cfg
			cfg.Servers, cfg.Shortcut = nil, false
			r.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
		}},
		{"protection is switched off", func(r *router) {
			r.protected = false
			r.linkUp("10.100.0.11/24")
			r.w.run(0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, _ := protectedCloud(t, false)
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			if n := spoke1.module.Size().Needs; n != 2 {
				t.Fatalf("%d SAs are needed, not 2", n)
			}
			c.do(spoke1)
			if n := spoke1.module.Size().Needs; n != 0 {
				t.Errorf("%d are still asked for", n)
			}
			asked := map[string]int{}
			for _, a := range spoke1.asked {
				verb, remote, _ := strings.Cut(a, " ")
				asked[remote] += map[string]int{"ensure": 1, "release": -1}[verb]
			}
			for remote, n := range asked {
				if n != 0 {
					t.Errorf("%s: asked for %d times more than given back", remote, n)
				}
			}
			spoke1.audit()
		})
	}
}
