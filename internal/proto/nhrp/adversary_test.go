package nhrp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/static"
	"github.com/spokeway/spokeway/internal/rib"
)

// What happens when routers misbehave, networks reorder, and configurations are unusual.

var _ = slices.Contains[[]int]
var _ = core.Stop{}

// far LAN down, default route to provider: answer must not draw the whole summary
func TestDefaultRouteAnswer(t *testing.T) {
	_, hub, spoke1, spoke2 := cloud(t)
	spoke2.unroute("192.168.12.0/24")
	spoke2.route("0.0.0.0/0", "10.0.0.254", "eth0")
	spoke2.unroute("192.168.0.0/16")
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	t.Logf("%+v", spoke1.module.Shortcuts(0))
	if r, _ := spoke1.loop.RIB().Lookup("", netip.MustParseAddr("192.168.77.1")); r.NextHops[0].Via.String() != "10.100.0.1" {
		t.Errorf("traffic for another site goes by %+v", r)
	}
}

// wrong router answers the probe
func TestProbeAnsweredByWrongRouter(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	// spoke3 has taken over spoke2's underlay address (same NAT); it has a default route to the provider and /32 tunnel
	s3 := w.add("10.0.0.13", "10.100.0.13/32", spokeConfig)
	s3.route("0.0.0.0/0", "10.0.0.254", "eth0")
	direct := false
	w.blocked = func(from, to netip.Addr) bool { return !direct && from != hub.nbma && to != hub.nbma }
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	spoke2.public, s3.public = netip.MustParseAddr("10.0.0.250"), spoke2.nbma
	direct = true
	w.run(8 * time.Second)
	t.Logf("%+v", spoke1.module.Shortcuts(0))
	if nbma, ok := spoke1.adjacency("10.100.0.12"); ok {
		t.Errorf("10.100.0.12 is said to be at %s, where 10.100.0.13 is", nbma)
	}
}

// two own addresses of one family
func TestTwoAddressesOneFamily(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	_ = hub
	cfg := spokeConfig
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	link := dataplane.Tunnel{Name: testTunnel, Cloud: 1, Local: spoke.nbma, MTU: 1400, Addresses: []netip.Prefix{
		netip.MustParsePrefix("10.100.0.11/24"), netip.MustParsePrefix("10.100.0.21/24")}}
	spoke.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: link}})
	var armed []*core.Timer
	spoke.loop.Timers(func(_ string, tm *core.Timer) { armed = append(armed, tm) })
	if f := spoke.module.Audit(slices.Values(armed)); len(f) > 0 {
		t.Errorf("audit: %v", f)
	}
	// another router owns .21 (unique) now
	u := spokeConfig
	u.Unique = true
	hub.post(core.Request{Body: Clear{What: "nhrp", Filter: "10.100.0.21", Count: new(int)}})
	u.Tunnel = testTunnel
	w.add("10.0.0.12", "10.100.0.21/24", u)
	w.run(101 * time.Second)
	for _, r := range spoke.module.Peers(w.now) {
		t.Logf("%+v", r)
	}
	if _, ok := spoke.adjacency("10.100.0.1"); !ok {
		t.Errorf("10.100.0.11 is registered, fallback %s, yet the hub has no adjacency", spoke.fallbackNow())
	}
}

// one hub under two names
func TestOneHubTwoNames(t *testing.T) {
	w := newWorld(t)
	w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "a.example"}, {NBMA: "b.example"}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	res := func() {
		for _, n := range []string{"a.example", "b.example"} {
			spoke.post(core.Resolved{Name: n, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, TTL: time.Hour})
		}
	}
	res()
	spoke.start("10.100.0.11/24", cfg)
	res()
	w.run(20 * time.Second)
	for _, r := range spoke.module.Peers(w.now) {
		if r.State != "up" && !strings.Contains(r.Reason, "another server") {
			t.Errorf("%+v", r)
		}
	}
	var armed []*core.Timer
	spoke.loop.Timers(func(_ string, tm *core.Timer) { armed = append(armed, tm) })
	if f := spoke.module.Audit(slices.Values(armed)); len(f) > 0 {
		t.Errorf("audit: %v", f)
	}
}

// guessable registration ID
func TestPurgeByGuessedID(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.mark()
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	seen := uint32(0) // what spoke2 sees of spoke1
	for _, p := range w.sent(spoke1, ResolutionRequest) {
		seen = p.RequestID
	}
	for i := range uint32(10) {
		hub.receive("10.0.0.66", Packet{
			Type: PurgeRequest, HopCount: 255, RequestID: seen - i, Flags: PurgeNoReply, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
			Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.1"),
			CIEs:       []CIE{{PrefixLength: 32, Protocol: netip.MustParseAddr("10.100.0.11")}},
			Extensions: []Extension{AuthenticationExtension("secret")},
		})
	}
	if hub.row("10.100.0.11").NBMA == "" {
		t.Error("a stranger purged 10.100.0.11 with ten guesses")
	}
}

// mask change leaves clients without host routes
func TestMaskChange(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	hub.linkUp("10.100.0.1/32")
	w.run(0)
	if _, ok := hub.loop.RIB().Get("", netip.MustParsePrefix("10.100.0.11/32")); !ok {
		t.Error("the tunnel is /32 now: the client has an adjacency and no route")
	}
}

// client registers an address of the hub's LAN
func TestForeignAddress(t *testing.T) {
	_, hub, _, _ := cloud(t)
	hub.route("172.20.0.0/24", "", "eth1")
	hub.receive("10.0.0.66", Packet{
		Type: RegistrationRequest, HopCount: 255, RequestID: 7, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
		Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.1"),
		CIEs: []CIE{{PrefixLength: 32, HoldingTime: 300, Protocol: netip.MustParseAddr("172.20.0.53")},
			{PrefixLength: 32, HoldingTime: 300, Protocol: netip.MustParseAddr("10.0.0.66")}}, Extensions: []Extension{AuthenticationExtension("secret")},
	})
	for _, a := range []string{"172.20.0.53", "10.0.0.66"} {
		if r, _ := hub.loop.RIB().Lookup("", netip.MustParseAddr(a)); r.Protocol == rib.NHRP {
			t.Errorf("a host of the server's LAN is in the tunnel now: %+v", r)
		}
	}
}

// clear/purge many while ranging
func TestPurgeMany(t *testing.T) {
	_, _, spoke1, _ := cloud(t)
	for i := range 60 {
		spoke1.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.AddrFrom4([4]byte{10, 100, 0, byte(100 + i)})})
	}
	tn := spoke1.module.tunnels[testTunnel]
	env := &core.Env{}
	_ = env
	for i := range 2000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i >> 8), byte(i), 0}), 24+i%5).Masked()
		sc := &shortcut{t: tn, prefix: p}
		sc.via = &binding{t: tn, protocol: netip.MustParseAddr("10.100.0.12")}
		tn.cuts.Insert(p, sc)
	}
	n := tn.cuts.Size()
	c := 0
	spoke1.post(core.Request{Body: Clear{What: "shortcuts", Count: &c}})
	if tn.cuts.Size() != 0 {
		t.Errorf("%d of %d left", tn.cuts.Size(), n)
	}
}

// answer mode, route moves
func TestAnswerModeRouteMoves(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	a := hubConfig
	a.Resolution, a.Tunnel, a.NetworkID, a.HoldTime = Answer, testTunnel, 1, 300*time.Second
	hub.post(core.Request{Body: Configure{Tunnels: []*Config{&a}}})
	w.add("10.0.0.13", "10.100.0.13/24", spokeConfig)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	if spoke1.shortcut("192.168.12.0/24").Via.String() != "10.100.0.12" {
		t.Fatalf("%+v", spoke1.module.Shortcuts(0))
	}
	w.mark()
	hub.route("192.168.12.0/24", "10.100.0.13", testTunnel)
	if len(w.sent(hub, PurgeRequest)) == 0 {
		t.Error("the LAN is behind another client now, and what the hub answered from its cache stands")
	}
}

// lookups full by scanner; legit resolve refused
// probes to a peer: replies to purge in transit
func TestPurgeReplyInTransit(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	w.mark()
	hub.receive(spoke1.nbma.String(), Packet{Type: PurgeRequest, HopCount: 255, RequestID: 77, SourceNBMA: spoke1.nbma, Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("10.100.0.12"),
		CIEs: []CIE{{PrefixLength: 24, Protocol: netip.MustParseAddr("192.168.11.0")}}, Extensions: []Extension{AuthenticationExtension("secret")}})
	got := false
	for _, f := range w.seen {
		if f.packet(t).Type == PurgeReply && f.to == spoke1.nbma {
			got = true
		}
	}
	if len(w.sent(spoke2, PurgeReply)) != 1 || !got {
		t.Errorf("reply by spoke2 %d, reached spoke1 %t", len(w.sent(spoke2, PurgeReply)), got)
	}
}

func auditOf(r *router) []string {
	var armed []*core.Timer
	r.loop.Timers(func(_ string, tm *core.Timer) { armed = append(armed, tm) })
	return r.module.Audit(slices.Values(armed))
}

func rv2Link(r *router, addrs ...string) {
	l := dataplane.Tunnel{Name: testTunnel, Cloud: 1, Local: r.nbma, MTU: 1400}
	for _, a := range addrs {
		l.Addresses = append(l.Addresses, netip.MustParsePrefix(a))
	}
	r.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: l}})
}

// dual stack, one server statement per family, restart
func TestDualStackRestart(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	rv2Link(hub, "10.100.0.1/24", "2001:db8::1/64")
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "10.0.0.1", Protocol: netip.MustParseAddr("10.100.0.1")}, {NBMA: "10.0.0.1", Protocol: netip.MustParseAddr("2001:db8::1")}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	rv2Link(spoke, "10.100.0.11/24", "2001:db8::11/64")
	for _, r := range spoke.module.Peers(w.now) {
		t.Logf("first run %+v", r)
	}
	spoke.post(core.Notice{Body: dataplane.TunnelDown{Name: testTunnel, Reason: "carrier"}})
	rv2Link(spoke, "10.100.0.11/24", "2001:db8::11/64")
	w.run(20 * time.Second)
	for _, r := range spoke.module.Peers(w.now) {
		t.Logf("after bounce %+v", r)
		if r.State != "up" {
			t.Errorf("not up: %+v", r)
		}
	}
	t.Log(auditOf(spoke))
}

// IPv6 with link-local
func TestLinkLocal(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "2001:db8::1/64", hubConfig)
	rv2Link(hub, "2001:db8::1/64", "fe80::1/64")
	spoke := w.add("10.0.0.11", "2001:db8::11/64", spokeConfig)
	rv2Link(spoke, "2001:db8::11/64", "fe80::11/64")
	spoke2 := w.add("10.0.0.12", "2001:db8::12/64", spokeConfig)
	rv2Link(spoke2, "2001:db8::12/64", "fe80::12/64")
	if _, ok := spoke.adjacency("fe80::1"); !ok {
		t.Error("the hub's link-local next hop has no adjacency on the spoke")
	}
	for _, r := range spoke.module.Peers(w.now) {
		t.Logf("%+v", r)
	}
	for _, r := range []*router{hub, spoke, spoke2} {
		r.route("fe80::/64", "", testTunnel)
	}
	spoke.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.MustParseAddr("fe80::12")})
	w.run(10 * time.Second)
	if n, ok := spoke.adjacency("fe80::12"); !ok {
		t.Errorf("phase 2 of a link-local next hop with fe80::/64 routed by the tunnel: %v %+v", n, spoke.module.Shortcuts(w.now))
	}
	t.Log(auditOf(spoke))
}
func TestLinkLocalNoRoute(t *testing.T) { // fe80 not in the RIB, as sys keeps it out
	w := newWorld(t)
	hub := w.add("10.0.0.1", "2001:db8::1/64", hubConfig)
	rv2Link(hub, "2001:db8::1/64", "fe80::1/64")
	spoke := w.add("10.0.0.11", "2001:db8::11/64", spokeConfig)
	rv2Link(spoke, "2001:db8::11/64", "fe80::11/64")
	spoke2 := w.add("10.0.0.12", "2001:db8::12/64", spokeConfig)
	rv2Link(spoke2, "2001:db8::12/64", "fe80::12/64")
	spoke.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.MustParseAddr("fe80::12")})
	w.run(10 * time.Second)
	if n, ok := spoke.adjacency("fe80::12"); !ok {
		t.Errorf("phase 2 of a link-local next hop: %v %+v", n, spoke.module.Shortcuts(w.now))
	}
}

func TestRenewalAfterPurge(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	tn := spoke1.module.tunnels[testTunnel]
	s, _ := tn.cuts.Get(netip.MustParsePrefix("192.168.12.0/24"))
	w.run(110 * time.Second)
	spoke1.used(true)
	for i := 0; i < 120 && s.steps < 2; i++ {
		w.run(time.Second)
	}
	w.blocked = func(from, to netip.Addr) bool { return from == spoke2.nbma || to == spoke2.nbma }
	spoke1.used(true) // refresh
	if tn.lookups[s.dst] == nil {
		t.Fatalf("no renewal, steps %d", s.steps)
	}
	w.mark()
	spoke1.receive("10.0.0.1", Packet{Type: PurgeRequest, HopCount: 255, Flags: PurgeNoReply, SourceNBMA: hub.nbma, Source: netip.MustParseAddr("10.100.0.12"), Destination: netip.MustParseAddr("10.100.0.11"),
		CIEs: []CIE{{PrefixLength: 24, Protocol: netip.MustParseAddr("192.168.12.0")}}, Extensions: []Extension{AuthenticationExtension("secret")}})
	w.run(20 * time.Second)
	for _, f := range w.seen {
		if !f.to.IsValid() {
			t.Errorf("sent to nowhere: %v", f.packet(t).Type)
		}
	}
}

// reply relayed by a hub that is configured, and not registered with now
func TestReplyByStandbyHub(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "10.0.0.1"}, {NBMA: "10.0.0.2", Priority: 9}}
	cfg.Clusters = map[string]Cluster{"": {MaxConnections: 1}}
	cfg.Tunnel, cfg.NetworkID, cfg.HoldTime = testTunnel, 1, 300*time.Second
	spoke1.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
	w.blocked = func(from, to netip.Addr) bool {
		return from == hub.nbma && to.String() == "10.0.0.11" || from.String() == "10.0.0.12" && to.String() == "10.0.0.11"
	}
	w.mark()
	spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
	asked := w.sent(spoke1, ResolutionRequest)[0]
	w.blocked = func(_, _ netip.Addr) bool { return false }
	spoke1.receive("10.0.0.2", Packet{Type: ResolutionReply, HopCount: 254, RequestID: asked.RequestID, SourceNBMA: asked.SourceNBMA, Source: asked.Source, Destination: asked.Destination,
		CIEs:       []CIE{{PrefixLength: 24, HoldingTime: 300, NBMA: netip.MustParseAddr("10.0.0.12"), Protocol: netip.MustParseAddr("10.100.0.12")}},
		Extensions: []Extension{AuthenticationExtension("secret")}})
	if n, _ := spoke1.adjacency("10.100.0.12"); n != "10.0.0.12" {
		t.Errorf("peer sought at %q; %+v", n, spoke1.module.Peers(w.now))
	}
}

func TestSlash32SurvivesHub(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/32", hubConfig)
	var sp [2]*router
	for i := range sp {
		sp[i] = w.add(netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}).String(), netip.AddrFrom4([4]byte{10, 100, 0, byte(11 + i)}).String()+"/32", spokeConfig)
		sp[i].loop.Add(static.New(), core.Start{})
		sp[i].loop.Post(static.Name, core.Request{Body: static.Configure{Routes: []static.Route{{To: netip.MustParsePrefix("192.168.0.0/16"), Via: netip.MustParseAddr("10.100.0.1")}, {To: netip.MustParsePrefix("10.100.0.0/24"), Via: netip.MustParseAddr("10.100.0.1")}}}})
		w.run(0)
	}
	sp[0].route("192.168.11.0/24", "", "eth1")
	sp[1].route("192.168.12.0/24", "", "eth1")
	hub.route("192.168.11.0/24", "10.100.0.11", testTunnel)
	hub.route("192.168.12.0/24", "10.100.0.12", testTunnel)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(time.Second)
	if sp[0].shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Fatalf("no shortcut at all: %+v", sp[0].module.Shortcuts(w.now))
	}
	w.blocked = func(from, to netip.Addr) bool { return from == hub.nbma || to == hub.nbma }
	sp[0].loop.Log = func(_ core.Level, ev string, args []any) { t.Log(w.now, ev, args) }
	w.pass(5*time.Minute, true)
	if sp[0].shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Errorf("the hub is dead, the peer is not: %+v", sp[0].module.Shortcuts(w.now))
	}
}

func TestStrangerFillsLookups(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	for i := range maxLookups {
		spoke1.receive(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String(), Packet{
			Type: TrafficIndication, HopCount: 1, SourceNBMA: hub.nbma, Source: netip.MustParseAddr("10.100.0.1"),
			Destination: netip.MustParseAddr("192.168.11.5"), Payload: ipv4("192.168.11.5", netip.AddrFrom4([4]byte{192, 168, byte(100 + i>>8), byte(i)}).String()), Extensions: []Extension{AuthenticationExtension("secret")}})
	}
	w.run(time.Second)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(2 * time.Second)
	if spoke1.shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Errorf("no room for a real redirect: table-full %d", spoke1.counter("resolution-table-full"))
	}
}

func TestUnauthenticatedErrorIsRelayed(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.blocked = func(from, to netip.Addr) bool { return to == netip.MustParseAddr("10.0.0.12") }
	spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
	asked := w.sent(spoke1, ResolutionRequest)
	ask := asked[len(asked)-1]
	hub.receive("10.0.0.66", Packet{Type: ErrorIndication, HopCount: 255, ErrorCode: ProtocolError, SourceNBMA: netip.MustParseAddr("10.0.0.66"), Source: netip.MustParseAddr("10.100.0.99"), Destination: netip.MustParseAddr("10.100.0.11"), Payload: ask.Append(nil)})
	if spoke1.shortcut("192.168.12.5/32").Type == "negative" {
		t.Errorf("a stranger without the password, through the hub: %+v", spoke1.module.Shortcuts(w.now))
	}
}

func TestSettleWhileRefused(t *testing.T) {
	w := newWorld(t)
	h1 := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	h2 := w.add("10.0.0.2", "10.100.0.2/24", hubConfig)
	cfg := spokeConfig
	cfg.HoldTime, cfg.Fallback = 30*time.Second, 20*time.Second
	cfg.Servers = []Server{{NBMA: "10.0.0.1", Priority: 10}, {NBMA: "10.0.0.2", Priority: 20}}
	cfg.Clusters = map[string]Cluster{"": {MaxConnections: 1}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	w.blocked = func(_, to netip.Addr) bool { return to == h1.nbma }
	w.run(40 * time.Second)
	w.blocked = func(_, _ netip.Addr) bool { return false }
	for i := 0; i < 70 && spoke.peer("10.100.0.1").State != "up"; i++ {
		w.run(time.Second)
	}
	// hub 1 refuses from now on
	mc := hubConfig
	mc.MaxClients, mc.Tunnel, mc.NetworkID, mc.HoldTime = 1, testTunnel, 1, 300*time.Second
	h1.post(core.Request{Body: Configure{Tunnels: []*Config{&mc}}})
	n := 0
	h1.post(core.Request{Body: Clear{What: "nhrp", Count: &n}})
	w.add("10.0.0.12", "10.100.0.12/24", func() Config { c := spokeConfig; c.Servers = []Server{{NBMA: "10.0.0.1"}}; return c }())
	out := 0
	for range 60 {
		w.run(time.Second)
		if spoke.peer("10.100.0.1").State != "up" && spoke.peer("10.100.0.2").State != "up" {
			out++
		}
	}
	_ = h2
	if out > 0 {
		t.Errorf("%d s without any hub, while hub 2 works", out)
	}
}

// two tunnels in one cloud: error leaves by the wrong one; NAT of another cloud
func TestTwoTunnels(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	a, b := hubConfig, hubConfig
	a.Tunnel, a.NetworkID, a.HoldTime = testTunnel, 1, 300*time.Second
	b.Tunnel, b.NetworkID, b.HoldTime = "tun1", 1, 300*time.Second
	hub.post(core.Request{Body: Configure{Tunnels: []*Config{&a, &b}}})
	hub.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun1", Cloud: 1, Local: hub.nbma, Key: dataplane.Key{Value: 2, Set: true}, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("10.101.0.1/24")}}}})
	hub.loop.RIB().Set(rib.Route{Prefix: netip.MustParsePrefix("10.101.0.0/24"), Protocol: rib.Connected, NextHops: []rib.NextHop{{Interface: "tun1"}}})
	reg := Packet{Type: RegistrationRequest, HopCount: 255, RequestID: 1, SourceNBMA: netip.MustParseAddr("10.0.0.12"), Source: netip.MustParseAddr("10.101.0.12"), Destination: netip.MustParseAddr("10.101.0.1"),
		CIEs: []CIE{{HoldingTime: 300}}, Extensions: []Extension{AuthenticationExtension("secret")}}
	hub.post(dataplane.Received{Tunnel: "tun1", From: netip.MustParseAddrPort("10.0.0.12:0"), Protocol: EtherType, Payload: reg.Append(nil)})
	hub.effects = nil
	hub.receive("10.0.0.11", Packet{Type: ResolutionRequest, HopCount: 1, RequestID: 9, SourceNBMA: netip.MustParseAddr("10.0.0.11"), Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("10.101.0.12"),
		CIEs: []CIE{{HoldingTime: 300}}, Extensions: []Extension{AuthenticationExtension("secret")}})
	for _, e := range hub.effects {
		if s, ok := e.(dataplane.Send); ok {
			p, _ := Parse(s.Payload)
			if s.Tunnel != testTunnel {
				t.Errorf("%v to %v leaves by %s, the request came by %s", p.Type, s.To, s.Tunnel, testTunnel)
			}
		}
	}
}

func TestNATOfAnotherCloud(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	a, b := hubConfig, hubConfig
	a.Tunnel, a.NetworkID, a.HoldTime = testTunnel, 1, 300*time.Second
	b.Tunnel, b.NetworkID, b.HoldTime = "aaa", 2, 300*time.Second // another cloud, in a VRF, same plan of addresses
	hub.post(core.Request{Body: Configure{Tunnels: []*Config{&a, &b}}})
	hub.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "aaa", VRF: "red", Cloud: 2, Local: hub.nbma, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("10.100.0.1/24")}}}})
	reg := Packet{Type: RegistrationRequest, HopCount: 255, RequestID: 1, SourceNBMA: netip.MustParseAddr("192.168.1.5"), Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("10.100.0.1"),
		CIEs: []CIE{{HoldingTime: 300}}, Extensions: []Extension{AuthenticationExtension("secret")}}
	hub.post(dataplane.Received{Tunnel: "aaa", From: netip.MustParseAddrPort("203.0.113.5:0"), Protocol: EtherType, Payload: reg.Append(nil)})
	w.mark()
	spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
	for _, p := range w.sent(hub, ResolutionRequest) {
		if x := p.Extension(NATAddress); len(x.Value) > 0 {
			c, _ := ParseCIEs(x.Value)
			t.Errorf("the hub says of a router of cloud 1 what it knows of one in cloud 2: %+v", c)
		}
	}
}

// resolving stays while the tunnel is down
func TestDNSWhileDown(t *testing.T) {
	w := newWorld(t)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "hub.example"}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	spoke.post(core.Notice{Body: dataplane.TunnelDown{Name: testTunnel, Reason: "carrier"}})
	spoke.post(core.Resolved{Name: "hub.example", Err: "timeout"})
	if _, ok := spoke.loop.Next(); ok {
		t.Error("a timer runs on a tunnel that is down")
	}
}

// lookups: a broader shortcut hides what has a longer covering route
func TestBroaderShortcutHides(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	spoke3 := w.add("10.0.0.13", "10.100.0.13/24", spokeConfig)
	spoke3.route("192.168.12.128/25", "", "eth1")
	spoke3.route("192.168.0.0/16", "10.100.0.1", testTunnel)
	hub.route("192.168.12.128/25", "10.100.0.13", testTunnel)
	_ = spoke2
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5") // spoke2 answers /24: it does not know of the /25
	spoke1.route("192.168.12.128/25", "10.100.0.1", testTunnel)
	w.mark()
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.200")
	if spoke1.shortcut("192.168.12.128/25").Via.String() != "10.100.0.13" {
		t.Errorf("%d requests, %+v", len(w.sent(spoke1, ResolutionRequest)), spoke1.module.Shortcuts(w.now))
	}
}

func TestIndicationFlood(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	n, lost := 0, 0
	for sec := range 300 {
		for range 200 {
			n++
			spoke1.receive(netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}).String(), Packet{
				Type: TrafficIndication, HopCount: 1, SourceNBMA: hub.nbma, Source: netip.MustParseAddr("10.100.0.1"),
				Destination: netip.MustParseAddr("192.168.11.5"), Payload: ipv4("192.168.11.5", netip.AddrFrom4([4]byte{192, 168, byte(20 + n>>8%200), byte(n)}).String()), Extensions: []Extension{AuthenticationExtension("secret")}})
		}
		w.seen = nil
		w.run(time.Second)
		if sec >= 10 {
			hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
		}
		if spoke1.peer("10.100.0.1").State != "up" {
			lost++
		}
		if spoke1.shortcut("192.168.12.0/24").Type == "dynamic" {
			t.Logf("shortcut after %d s", sec+1)
			break
		}
	}
	t.Logf("registration lost in %d s, hub limited %d, table full %d, %v", lost, hub.counter("rate-limited"), spoke1.counter("resolution-table-full"), spoke1.counter("rate-limited"))
	if spoke1.shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Error("200 forged indications a second keep every shortcut from forming")
	}
}

func TestReaddressDoublePurge(t *testing.T) {
	w := newWorld(t)
	w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke := w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	w.mark()
	l := dataplane.Tunnel{Name: testTunnel, Cloud: 1, Local: spoke.nbma, MTU: 1400, Addresses: []netip.Prefix{netip.MustParsePrefix("10.100.0.11/24"), netip.MustParsePrefix("2001:db8::11/64")}}
	spoke.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: l}})
	if n := len(w.sent(spoke, PurgeRequest)); n != 0 {
		t.Errorf("%d purges of 10.100.0.11, which stays", n)
	}
}

// the last packets of a move arrive in another order
func TestMoveReordered(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke := w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	w.mark()
	w.blocked = func(_, _ netip.Addr) bool { return true }
	spoke.nbma = netip.MustParseAddr("10.0.0.77")
	spoke.public = spoke.nbma
	spoke.linkUp("10.100.0.11/24")
	w.run(0)
	held := w.seen
	w.blocked = func(_, _ netip.Addr) bool { return false }
	for i := len(held) - 1; i >= 0; i-- { // registration first, then the purge
		w.flying = append(w.flying, held[i])
	}
	w.run(0)
	if spoke.peer("10.100.0.1").State == "up" && hub.row("10.100.0.11").NBMA == "" {
		t.Errorf("the spoke says up until its refresh in %v s, the hub knows nothing of it", 100)
	}
}

// requester addresses are whatever a packet says: one peer fills the table of answers
func TestAnswersPoisoned(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	n := 0
	for range 100 {
		for range 200 {
			n++
			spoke2.receive("10.0.0.66", Packet{Type: ResolutionRequest, HopCount: 255, SourceNBMA: netip.MustParseAddr("10.0.0.66"), Source: netip.AddrFrom4([4]byte{10, 100, byte(n >> 8), byte(n)}),
				Destination: netip.MustParseAddr("10.100.0.12"), CIEs: []CIE{{HoldingTime: 60}}, Extensions: []Extension{AuthenticationExtension("secret")}})
		}
		w.seen = nil
		w.run(time.Second)
	}
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	if spoke1.shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Fatal("no shortcut")
	}
	spoke2.unroute("192.168.12.0/24")
	if spoke1.shortcut("192.168.12.0/24").Type == "dynamic" {
		t.Errorf("the far LAN is gone and nobody was told; %d answers", spoke2.module.tunnels[testTunnel].answers)
	}
}

func TestBornRouteDuringDown(t *testing.T) {
	// registration of many addresses in one packet with the unique bit
	_, hub, _, _ := cloud(t)
	p := Packet{Type: RegistrationRequest, HopCount: 255, RequestID: 7, Flags: RegistrationUnique, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
		Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.1"), Extensions: []Extension{AuthenticationExtension("secret")}}
	for i := range 200 {
		p.CIEs = append(p.CIEs, CIE{PrefixLength: 24, HoldingTime: 65535, Protocol: netip.AddrFrom4([4]byte{10, 100, 0, byte(30 + i)})})
	}
	hub.receive("10.0.0.66", p)
	if n := hub.module.Size().Clients; n > 3 {
		t.Errorf("%d clients by one packet", n)
	}
}

func TestStrangerIsNotRedirected(t *testing.T) {
	w, hub, _, _ := cloud(t)
	w.mark()
	hub.transit("10.0.0.66", "192.168.11.5", "192.168.12.5")
	if sent := w.sent(hub, TrafficIndication); len(sent) != 0 {
		t.Errorf("a stranger is told the password: %+v", sent)
	}
}
