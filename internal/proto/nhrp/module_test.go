package nhrp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/rib"
)

func TestRegistrationRFC2332Section523(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	if row := hub.row("10.100.0.11"); row.Type != "dynamic" || row.NBMA != "10.0.0.11" || row.ExpiresIn <= 299 {
		t.Errorf("hub's cache: %+v", row)
	}
	if row := spoke1.peer("10.100.0.1"); row.State != "up" || row.Role != "hub" {
		t.Errorf("the spoke learned its server as %+v", row)
	}
	if nbma, ok := spoke1.adjacency("10.100.0.1"); !ok || nbma != "10.0.0.1" {
		t.Errorf("adjacency of the server: %v %v", nbma, ok)
	}
	p := w.sent(spoke1, RegistrationRequest)[0]
	if p.HopCount != 255 || p.Destination != p.Source || p.CIEs[0].HoldingTime != 300 || p.CIEs[0].PrefixLength != 32 {
		t.Errorf("first request: %+v", p)
	}
	w.mark()
	w.run(101 * time.Second)
	if n := len(w.sent(spoke1, RegistrationRequest)); n != 1 {
		t.Errorf("%d refreshes in a third of the holding time, want 1", n)
	}
	if p := w.sent(spoke1, RegistrationRequest)[0]; p.Destination.String() != "10.100.0.1" {
		t.Errorf("a refresh goes to the server learned, not to %v", p.Destination)
	}
}

func TestRegistrationRetriesDouble(t *testing.T) {
	w := newWorld(t)
	spoke := w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	start := w.now
	var at []time.Duration
	for range 400 {
		w.mark()
		w.run(time.Second)
		for range w.sent(spoke, RegistrationRequest) {
			at = append(at, (w.now-start).Truncate(time.Second)/time.Second)
		}
	}
	want := []time.Duration{1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383}
	if !slices.Equal(at, want) {
		t.Errorf("retries after %v s, want %v", at, want)
	}
	if row := spoke.module.Peers(w.now)[0]; row.State != "registering" || !strings.Contains(row.Reason, "does not answer") {
		t.Errorf("reason: %+v", row)
	}
}

func TestServerIsLostAfterThreeMisses(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.blocked = func(_, to netip.Addr) bool { return to == hub.nbma }
	w.run(100*time.Second + 7*time.Second)
	if row := spoke1.peer("10.100.0.1"); row.State != "registering" {
		t.Errorf("7 s after the first miss: %+v", row)
	}
	if _, ok := spoke1.adjacency("10.100.0.1"); ok {
		t.Error("the adjacency of a dead server is still there")
	}
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.run(64 * time.Second)
	if row := spoke1.peer("10.100.0.1"); row.State != "up" {
		t.Errorf("it came back: %+v", row)
	}
}

func TestRequestIDIsKeptOverRestartRFC2332Section523(t *testing.T) {
	w, _, spoke1, _ := cloud(t)
	before := w.sent(spoke1, RegistrationRequest)[0].RequestID
	w.mark()
	spoke1.start("10.100.0.11/24", spokeConfig)
	if after := w.sent(spoke1, RegistrationRequest)[0].RequestID; after != before {
		t.Errorf("request ID %d became %d", before, after)
	}
}

func TestUniqueRegistrationIsKeptCode14(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	unique := spokeConfig
	unique.Unique = true
	first := w.add("10.0.0.11", "10.100.0.11/24", unique)
	second := w.add("10.0.0.12", "10.100.0.11/24", unique)
	w.run(10 * time.Minute)
	if row := hub.row("10.100.0.11"); row.NBMA != "10.0.0.11" || !slices.Contains(row.Flags, "unique") {
		t.Errorf("the first keeps the address: %+v", row)
	}
	if first.peer("10.100.0.1").State != "up" {
		t.Error("the first is registered")
	}
	row := second.module.Peers(w.now)[0]
	if row.State != "registering" || !strings.Contains(row.Reason, UniqueRegistered.String()) {
		t.Errorf("the second knows why not: %+v", row)
	}
	refused := slices.IndexFunc(hub.module.Peers(w.now), func(r PeerRow) bool { return r.State == "refused" })
	if refused < 0 {
		t.Error("the hub tells whom it refused")
	}
	for _, p := range w.sent(hub, RegistrationReply) {
		if c := p.CIEs[0]; c.Code != Success && c.HoldingTime != 0 {
			t.Errorf("RFC 2332 section 5.2.0.1: a refusal has holding time 0, not %d", c.HoldingTime)
		}
	}
}

func TestUniqueClientThatMovedPurgesFirst(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	unique := spokeConfig
	unique.Unique = true
	spoke := w.add("10.0.0.11", "10.100.0.11/24", unique)
	spoke.nbma = netip.MustParseAddr("10.0.0.77")
	spoke.public = spoke.nbma
	spoke.linkUp("10.100.0.11/24")
	w.run(2 * time.Second)
	if row := hub.row("10.100.0.11"); row.NBMA != "10.0.0.77" {
		t.Errorf("locked out by its own old address: %+v", row)
	}
}

func TestStrangerCannotPurge(t *testing.T) {
	w, hub, _, _ := cloud(t)
	p := Packet{
		Type: PurgeRequest, HopCount: 255, RequestID: 12345, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
		Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("10.100.0.1"),
		CIEs:       []CIE{{PrefixLength: 32, Protocol: netip.MustParseAddr("10.100.0.11")}},
		Extensions: []Extension{AuthenticationExtension("secret")},
	}
	hub.receive("10.0.0.66", p)
	if hub.row("10.100.0.11").NBMA == "" || hub.counter("purge-from-stranger") != 1 {
		t.Error("a purge from elsewhere, without the registration's ID, was believed")
	}
	if len(w.sent(hub, PurgeReply)) != 1 {
		t.Error("RFC 2332 section 5.2.6: a purge without N is answered even when nothing matches")
	}
}

func (r *router) receive(from string, p Packet) {
	r.post(dataplane.Received{Tunnel: testTunnel, From: netip.AddrPortFrom(netip.MustParseAddr(from), 0), Protocol: EtherType, Payload: p.Append(nil)})
}

func TestCleanStopPurges(t *testing.T) {
	_, hub, spoke1, _ := cloud(t)
	spoke1.post(core.Stop{})
	if row := hub.row("10.100.0.11"); row.NBMA != "" {
		t.Errorf("still bound: %+v", row)
	}
	if _, ok := hub.adjacency("10.100.0.11"); ok {
		t.Error("the adjacency of a client that left is still there")
	}
}

func TestAuthenticationOnEveryPacketType(t *testing.T) {
	for typ := ResolutionRequest; typ <= TrafficIndication; typ++ {
		w, hub, _, _ := cloud(t)
		w.mark()
		p := Packet{
			Type: typ, HopCount: 255, SourceNBMA: netip.MustParseAddr("10.0.0.66"), Source: netip.MustParseAddr("10.100.0.66"),
			Destination: netip.MustParseAddr("10.100.0.1"), Payload: ipv4("192.168.11.1", "192.168.12.1"),
			Extensions: []Extension{AuthenticationExtension("wrong")},
		}
		if typ.listsClients() {
			p.Payload = nil
		}
		hub.receive("10.0.0.66", p)
		wantErrors := 0
		if isRequest(typ) {
			wantErrors = 1
		}
		errs := w.sent(hub, ErrorIndication)
		if typ == ErrorIndication {
			if hub.counter("authentication-failure") != 0 || len(errs) != 0 {
				t.Errorf("%v: errors carry no authentication and raise no error", typ)
			}
			continue
		}
		if hub.counter("authentication-failure") != 1 || len(errs) != wantErrors {
			t.Errorf("%v: counted %d, %d errors, want 1 and %d", typ, hub.counter("authentication-failure"), len(errs), wantErrors)
		}
		for _, e := range errs {
			if e.ErrorCode != AuthenticationFailure || len(e.Extensions) != 0 {
				t.Errorf("%v: error %v with %d extensions", typ, e.ErrorCode, len(e.Extensions))
			}
		}
	}
}

func TestWrongPasswordIsNamedAndRepaired(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	wrong := spokeConfig
	wrong.Authentication = "other"
	spoke := w.add("10.0.0.11", "10.100.0.11/24", wrong)
	w.run(20 * time.Second)
	row := spoke.module.Peers(w.now)[0]
	if row.State != "registering" || !strings.Contains(row.Reason, AuthenticationFailure.String()) {
		t.Errorf("the spoke says %+v", row)
	}
	if s := hub.module.Why("10.0.0.11", w.now, hub.loop.RIB()); len(s) == 0 || s[len(s)-1].State != "failed" {
		t.Errorf("the hub says %+v", s)
	}
	right := spokeConfig
	right.Tunnel, right.NetworkID, right.HoldTime = testTunnel, 1, 300*time.Second
	spoke.post(core.Request{Body: Configure{Tunnels: []*Config{&right}}})
	if spoke.peer("10.100.0.1").State != "up" {
		t.Error("repaired by a reload, it registers at once")
	}
}

func TestRegistrationErrors(t *testing.T) {
	request := func(change func(*Packet)) Packet {
		p := Packet{
			Type: RegistrationRequest, HopCount: 255, RequestID: 7, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
			Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.1"),
			CIEs: []CIE{{PrefixLength: 32, HoldingTime: 300}}, Extensions: []Extension{AuthenticationExtension("secret")},
		}
		change(&p)
		return p
	}
	for _, c := range []struct {
		name   string
		change func(*Packet)
		errors ErrorCode
		code   Code
	}{
		{"5.3: an unknown compulsory extension is refused", func(p *Packet) {
			p.Extensions = append(p.Extensions, Extension{Type: 99, Compulsory: true})
		}, UnrecognizedExtension, 0},
		{"5.3: an unknown extension that is not compulsory is none of our business", func(p *Packet) {
			p.Extensions = append(p.Extensions, Extension{Type: 99})
		}, 0, Success},
		{"5.2.3: without a client there is nothing to register", func(p *Packet) { p.CIEs = nil }, ProtocolError, 0},
		{"the server's own address is not to be had", func(p *Packet) { p.CIEs[0].Protocol = netip.MustParseAddr("10.100.0.1") }, 0, AdminProhibited},
		{"a multicast address is not to be had", func(p *Packet) { p.CIEs[0].Protocol = netip.MustParseAddr("224.0.0.5") }, 0, AdminProhibited},
		{"for a server nobody knows", func(p *Packet) { p.Destination = netip.MustParseAddr("172.16.0.1") }, ProtocolAddressUnreachable, 0},
	} {
		w, hub, _, _ := cloud(t)
		w.mark()
		hub.receive("10.0.0.66", request(c.change))
		errs, replies := w.sent(hub, ErrorIndication), w.sent(hub, RegistrationReply)
		switch {
		case c.errors != 0 && (len(errs) != 1 || errs[0].ErrorCode != c.errors || len(replies) != 0):
			t.Errorf("%s: errors %v, replies %v", c.name, errs, replies)
		case c.errors == 0 && (len(replies) != 1 || replies[0].CIEs[0].Code != c.code):
			t.Errorf("%s: errors %v, replies %v", c.name, errs, replies)
		}
	}
}

func TestReplyRepeatsExtensionsInOrderRFC2332Section53(t *testing.T) {
	w, hub, _, _ := cloud(t)
	w.mark()
	exts := []Extension{
		{Type: VendorPrivate, Value: []byte{0, 0, 12, 1, 2}}, {Type: ResponderAddress, Compulsory: true},
		AuthenticationExtension("secret"), {Type: 200, Value: []byte("x")}, {Type: NATAddress},
	}
	hub.receive("10.0.0.66", Packet{
		Type: RegistrationRequest, HopCount: 255, SourceNBMA: netip.MustParseAddr("10.0.0.66"),
		Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.66"),
		CIEs: []CIE{{HoldingTime: 60}}, Extensions: exts,
	})
	reply := w.sent(hub, RegistrationReply)[0]
	var want, got []ExtensionType
	for _, x := range exts {
		want = append(want, x.Type)
	}
	for _, x := range reply.Extensions {
		got = append(got, x.Type)
	}
	// The authentication is made anew before the NAT address, where Cisco has it, and there is one of it.
	if !reply.Authentic("secret") || len(got) != len(want) || got[0] != VendorPrivate || got[1] != ResponderAddress {
		t.Errorf("extensions %v, want %v", got, want)
	}
	if responder(&reply).String() != "10.100.0.1" || reply.Destination.String() != "10.100.0.1" {
		t.Errorf("the server names itself: %+v", reply)
	}
}

func TestClientBehindNAT(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke := w.add("192.168.1.5", "10.100.0.11/24", spokeConfig)
	spoke.public = netip.MustParseAddr("10.0.0.99")
	w.run(101 * time.Second)
	row := hub.row("10.100.0.11")
	if row.NBMA != "10.0.0.99" || row.ClaimedNBMA != "192.168.1.5" || !slices.Contains(row.Flags, "nat") {
		t.Errorf("the hub keeps both addresses: %+v", row)
	}
	if peer := spoke.peer("10.100.0.1"); !strings.Contains(peer.Reason, "10.0.0.99") {
		t.Errorf("the spoke learns its public address: %+v", peer)
	}
}

// FRR without an IPv6 address on its tunnel registers an IPv6 client all the same, and names itself as the responder by
// its IPv4 address. RFC 2332 section 5.2.0.1: one packet has one protocol address family.
func TestServerOfAnotherFamilyIsNotLearned(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke := w.add("10.0.0.11", "fd00::11/64", spokeConfig)
	reply := w.sent(hub, RegistrationReply)[0]
	reply.Destination = netip.Addr{}
	reply.Extensions = []Extension{{Type: ResponderAddress, Value: AppendCIEs(nil, []CIE{{
		NBMA: netip.MustParseAddr("10.0.0.1"), Protocol: netip.MustParseAddr("10.100.0.1"),
	}})}, AuthenticationExtension("secret")}
	spoke.receive("10.0.0.1", reply)
	if row := spoke.peer("10.100.0.1"); row.State != "" {
		t.Errorf("learned %+v", row)
	}
	w.run(301 * time.Second)
	for _, p := range w.sent(spoke, RegistrationRequest) {
		if p.Destination != p.Source {
			t.Errorf("registers %v with %v", p.Source, p.Destination)
		}
	}
}

func TestPriorityClusterAndFallback(t *testing.T) {
	w := newWorld(t)
	hubs := []*router{
		w.add("10.0.0.1", "10.100.0.1/24", hubConfig), w.add("10.0.0.2", "10.100.0.2/24", hubConfig),
		w.add("10.0.0.3", "10.100.0.3/24", hubConfig),
	}
	cfg := spokeConfig
	cfg.HoldTime, cfg.Fallback = 30*time.Second, 20*time.Second
	cfg.Servers = []Server{{NBMA: "10.0.0.3", Priority: 30}, {NBMA: "10.0.0.1", Priority: 10}, {NBMA: "10.0.0.2", Priority: 20}}
	cfg.Clusters = map[string]Cluster{"": {MaxConnections: 1}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	registered := func() (list []int) {
		for i, h := range hubs {
			if h.row("10.100.0.11").NBMA != "" {
				list = append(list, i+1)
			}
		}
		return list
	}
	check := func(when string, want ...int) {
		t.Helper()
		if got := registered(); !slices.Equal(got, want) {
			t.Errorf("%s: registered with %v, want %v", when, got, want)
		}
	}
	w.run(time.Second)
	check("the best is enough", 1)
	w.blocked = func(_, to netip.Addr) bool { return to == hubs[0].nbma }
	w.run(40 * time.Second)
	check("the next takes over", 2)
	if spoke.fallbackNow() != "10.100.0.2" {
		t.Errorf("traffic falls back to %s", spoke.fallbackNow())
	}
	w.blocked = func(_, _ netip.Addr) bool { return false }
	w.run(64 * time.Second)
	check("back to the best after the fall-back time", 1)
	if spoke.fallbackNow() != "10.100.0.1" {
		t.Errorf("traffic falls back to %s", spoke.fallbackNow())
	}
}

func (r *router) fallbackNow() string {
	for _, e := range slices.Backward(r.effects) {
		if f, ok := e.(dataplane.SetFallback); ok && !f.IPv6 {
			return f.NextHop.String()
		}
	}
	return ""
}

func TestServerByName(t *testing.T) {
	w := newWorld(t)
	w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	cfg := spokeConfig
	cfg.Servers = []Server{{NBMA: "hub.example.net"}}
	spoke := w.add("10.0.0.11", "10.100.0.11/24", cfg)
	asked := func() (n int) {
		for _, e := range spoke.effects {
			if _, ok := e.(core.Resolve); ok {
				n++
			}
		}
		return n
	}
	if asked() != 1 || spoke.module.Peers(w.now)[0].State != "resolving" {
		t.Fatal("a name is resolved first")
	}
	spoke.post(core.Resolved{Name: "hub.example.net", Err: "no such host"})
	if s := spoke.module.Why("hub.example.net", w.now, spoke.loop.RIB()); s[0].Name != "resolve server" || s[0].State != "failed" || s[0].Remedy == "" {
		t.Errorf("why: %+v", s)
	}
	w.run(time.Minute)
	if asked() != 2 {
		t.Errorf("asked %d times, want again after the TTL", asked())
	}
	spoke.post(core.Resolved{Name: "hub.example.net", Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.1")}, TTL: time.Hour})
	if spoke.peer("10.100.0.1").State != "up" {
		t.Errorf("peers: %+v", spoke.module.Peers(w.now))
	}
}

func TestPhase3MakesShortcutAfterTheFarEndAnswered(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	direct := false
	w.blocked = func(from, to netip.Addr) bool { return !direct && from != hub.nbma && to != hub.nbma }
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	if r, _ := spoke1.loop.RIB().Get("", netip.MustParsePrefix("192.168.12.0/24")); r.Protocol == rib.NHRP {
		t.Fatal("a shortcut before the far end answered through it")
	}
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "incomplete" || row.Via.String() != "10.100.0.12" {
		t.Errorf("waiting: %+v", row)
	}
	direct = true
	w.run(time.Second)
	r, ok := spoke1.loop.RIB().Get("", netip.MustParsePrefix("192.168.12.0/24"))
	if !ok || r.Protocol != rib.NHRP || r.Distance != 10 || r.NextHops[0].Via.String() != "10.100.0.12" {
		t.Errorf("the shortcut's route: %+v %v", r, ok)
	}
	if nbma, ok := spoke1.adjacency("10.100.0.12"); !ok || nbma != spoke2.nbma.String() {
		t.Errorf("its adjacency: %s %v", nbma, ok)
	}
}

func TestUnreachableFarEndStaysWithTheHub(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(9 * time.Second)
	if row := spoke1.shortcut("192.168.12.5/32"); row.Type != "negative" || !strings.Contains(row.Reason, "direct path") {
		t.Errorf("%+v", spoke1.module.Shortcuts(w.now))
	}
	s := spoke1.module.Why("192.168.12.5", w.now, spoke1.loop.RIB())
	if last := s[len(s)-1]; last.State != "failed" || !strings.Contains(last.Detail, "by the hub") {
		t.Errorf("why: %+v", s)
	}
	w.mark()
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	if n := len(w.sent(spoke1, ResolutionRequest)); n != 0 {
		t.Errorf("%d requests for what just failed", n)
	}
}

func TestNegativeBacksOff(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	hub.unroute("192.168.12.0/24")
	var asked []time.Duration
	start := w.now
	for range 240 {
		w.mark()
		spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
		for range w.sent(spoke1, ResolutionRequest) {
			asked = append(asked, (w.now-start)/time.Second)
		}
		w.run(time.Second)
	}
	if len(asked) < 4 || len(asked) > 7 {
		t.Errorf("asked at %v s: want each pause twice the last", asked)
	}
	for i := 2; i < len(asked); i++ {
		if asked[i]-asked[i-1] < asked[i-1]-asked[i-2] {
			t.Errorf("asked at %v s: the pauses do not grow", asked)
		}
	}
}

// indication makes a traffic indication arrive, as hub would send it.
func (r *router) indication(hub *router, src, dst string) {
	r.receive(hub.nbma.String(), Packet{
		Type: TrafficIndication, HopCount: 1, SourceNBMA: hub.nbma, Source: netip.MustParseAddr("10.100.0.1"),
		Destination: netip.MustParseAddr(src), Payload: ipv4(src, dst), Extensions: []Extension{AuthenticationExtension("secret")},
	})
}

func TestResolutionRetriesThenNegative(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.blocked = func(_, to netip.Addr) bool { return to == hub.nbma }
	w.mark()
	spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
	w.run(30 * time.Second)
	if n := len(w.sent(spoke1, ResolutionRequest)); n != 6 {
		t.Errorf("%d requests in 30 s, want 6", n)
	}
	if row := spoke1.shortcut("192.168.12.5/32"); row.Type != "negative" {
		t.Errorf("%+v", row)
	}
}

func TestForgedIndicationsAreIgnored(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.mark()
	spoke1.indication(hub, "192.168.99.1", "192.168.12.5") // a source that does not lie behind the spoke
	spoke1.indication(hub, "192.168.11.5", "172.16.0.1")   // a destination that is not routed into the cloud
	spoke1.indication(hub, "192.168.11.5", "192.168.11.9") // its own LAN
	if n := len(w.sent(spoke1, ResolutionRequest)); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestPhase2ResolvesTheNextHop(t *testing.T) {
	_, _, spoke1, spoke2 := cloud(t)
	spoke1.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.MustParseAddr("10.100.0.12")})
	if nbma, ok := spoke1.adjacency("10.100.0.12"); !ok || nbma != spoke2.nbma.String() {
		t.Errorf("adjacency: %s %v", nbma, ok)
	}
	if row := spoke1.row("10.100.0.12"); row.Type != "dynamic" || !slices.Contains(row.Flags, "resolved") {
		t.Errorf("%+v", row)
	}
}

func TestShortcutIsRenewedWhileUsedAndEndsIdle(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.pass(20*time.Minute, true)
	if spoke1.shortcut("192.168.12.0/24").Type != "dynamic" {
		t.Fatal("a shortcut in use ended")
	}
	w.pass(11*time.Minute, false)
	if rows := spoke1.module.Shortcuts(w.now); len(rows) != 0 {
		t.Errorf("idle for two holding times: %+v", rows)
	}
	if _, ok := spoke1.adjacency("10.100.0.12"); ok {
		t.Error("the adjacency of a peer without shortcuts is still there")
	}
}

func TestShortcutSurvivesTheHub(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.blocked = func(from, to netip.Addr) bool { return from == hub.nbma || to == hub.nbma }
	w.pass(30*time.Minute, true)
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" {
		t.Errorf("the hub is dead, the peer is not: %+v", spoke1.module.Shortcuts(w.now))
	}
}

func TestShortcutGoesWithThePeer(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.blocked = func(_, to netip.Addr) bool { return to == spoke2.nbma }
	w.pass(30*time.Second, true)
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type == "dynamic" {
		t.Errorf("the peer is dead: %+v", row)
	}
	if r, _ := spoke1.loop.RIB().Lookup("", netip.MustParseAddr("192.168.12.5")); r.Protocol != rib.Static {
		t.Errorf("traffic is the hub's again: %+v", r)
	}
}

func TestShortcutGoesWithTheCoveringRoute(t *testing.T) {
	_, hub, spoke1, _ := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	spoke1.unroute("192.168.0.0/16")
	if rows := spoke1.module.Shortcuts(0); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestShortcutGoesWithTheFarRoute(t *testing.T) {
	_, hub, spoke1, spoke2 := cloud(t)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	spoke2.unroute("192.168.12.0/24")
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type == "dynamic" {
		t.Errorf("the far LAN is gone, and its router said so: %+v", row)
	}
}

func TestNextHopOverrideOfAnEqualPrefix(t *testing.T) {
	_, hub, spoke1, _ := cloud(t)
	spoke1.route("192.168.12.0/24", "10.100.0.1", testTunnel)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	r, _ := spoke1.loop.RIB().Get("", netip.MustParsePrefix("192.168.12.0/24"))
	if r.Protocol != rib.Static || r.NextHops[0].Via.String() != "10.100.0.12" {
		t.Errorf("the static route keeps its place and lends its next hop: %+v", r)
	}
}

func TestAnswerCoversNoMoreSpecificRoute(t *testing.T) {
	_, hub, spoke1, spoke2 := cloud(t)
	spoke2.route("192.168.12.128/25", "10.100.0.1", testTunnel)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	if row := spoke1.shortcut("192.168.12.0/25"); row.Type != "dynamic" {
		t.Errorf("%+v", spoke1.module.Shortcuts(0))
	}
}

func TestForwardRecordsTransitAndDetectsLoops(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	w.mark()
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	forwarded := w.sent(hub, ResolutionRequest)[0]
	asked := w.sent(spoke1, ResolutionRequest)[0]
	if forwarded.HopCount != asked.HopCount-1 || !forwarded.Authentic("secret") {
		t.Errorf("forwarded: %+v", forwarded)
	}
	cies, _ := ParseCIEs(forwarded.Extension(ForwardTransit).Value)
	if len(cies) != 1 || cies[0].Protocol.String() != "10.100.0.1" {
		t.Errorf("transit record: %+v", cies)
	}
	w.mark()
	hub.receive("10.0.0.66", forwarded)
	if errs := w.sent(hub, ErrorIndication); len(errs) != 1 || errs[0].ErrorCode != LoopDetected {
		t.Errorf("RFC 2332 section 5.3.2: seen again: %+v", errs)
	}
	asked.HopCount, asked.RequestID = 1, 999
	w.mark()
	hub.receive(spoke1.nbma.String(), asked)
	if errs := w.sent(hub, ErrorIndication); len(errs) != 1 || errs[0].ErrorCode != HopCountExceeded {
		t.Errorf("hop count: %+v", errs)
	}
}

func TestHubFillsNATAddressOfTheSender(t *testing.T) {
	w, hub, spoke1, spoke2 := cloud(t)
	spoke2.public = netip.MustParseAddr("10.0.0.99")
	w.run(101 * time.Second)
	hub.transit("10.0.0.11", "192.168.11.5", "192.168.12.5")
	w.run(time.Second)
	if nbma, ok := spoke1.adjacency("10.100.0.12"); !ok || nbma != "10.0.0.99" {
		t.Errorf("the peer is where the NAT shows it: %s %v", nbma, ok)
	}
}

func TestHubAnswersFromItsCache(t *testing.T) {
	w := newWorld(t)
	answering := hubConfig
	answering.Resolution = Answer
	hub := w.add("10.0.0.1", "10.100.0.1/24", answering)
	spoke1 := w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	spoke2 := w.add("10.0.0.12", "10.100.0.12/24", spokeConfig)
	w.run(30 * time.Second)
	w.mark()
	spoke1.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.MustParseAddr("10.100.0.12")})
	replies := w.sent(hub, ResolutionReply)
	if len(replies) != 1 || replies[0].CIEs[0].NBMA != spoke2.nbma || replies[0].CIEs[0].HoldingTime != 270 {
		t.Fatalf("the answer has what remains of the holding time: %+v", replies)
	}
	spoke2.post(core.Stop{})
	own := slices.DeleteFunc(w.sent(hub, PurgeRequest), func(p Packet) bool { return p.Source.String() != "10.100.0.1" })
	if len(own) != 1 || own[0].CIEs[0].Protocol.String() != "10.100.0.12" {
		t.Errorf("RFC 2332 section 5.2.5: the server purges what it answered: %+v", own)
	}
	if _, ok := spoke1.adjacency("10.100.0.12"); ok {
		t.Error("the spoke still believes it")
	}
}

func TestAnswerIsFlaggedAndNoBindingIsCode12(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	hub.unroute("192.168.12.0/24")
	w.mark()
	spoke1.indication(hub, "192.168.11.5", "192.168.12.5")
	replies := w.sent(hub, ResolutionReply)
	if len(replies) != 1 || replies[0].CIEs[0].Code != NoBinding || replies[0].CIEs[0].HoldingTime != 0 {
		t.Errorf("%+v", replies)
	}
}

func TestHostRouteWhereTheTunnelPrefixDoesNotReach(t *testing.T) {
	w := newWorld(t)
	hub := w.add("10.0.0.1", "10.100.0.1/32", hubConfig)
	spoke := w.add("10.0.0.11", "10.100.0.11/32", spokeConfig)
	for _, c := range []struct {
		r    *router
		host string
	}{{hub, "10.100.0.11/32"}, {spoke, "10.100.0.1/32"}} {
		r, ok := c.r.loop.RIB().Get("", netip.MustParsePrefix(c.host))
		if !ok || r.Protocol != rib.NHRP || r.NextHops[0].Interface != testTunnel {
			t.Errorf("%s: %+v %v", c.host, r, ok)
		}
	}
	spoke.post(core.Stop{})
	if _, ok := hub.loop.RIB().Get("", netip.MustParsePrefix("10.100.0.11/32")); ok {
		t.Error("the host route of a client that left is still there")
	}
}

func TestFloodOfOnePeerDoesNotReachTheOthers(t *testing.T) {
	w, hub, spoke1, _ := cloud(t)
	p := w.sent(spoke1, RegistrationRequest)[0]
	w.mark()
	for range 2000 {
		hub.loop.Post(Name, dataplane.Received{Tunnel: testTunnel, From: netip.MustParseAddrPort("10.0.0.66:0"), Protocol: EtherType, Payload: p.Append(nil)})
	}
	w.run(0)
	if n := hub.counter("rate-limited"); n < 1500 {
		t.Errorf("%d of 2000 packets at once were limited", n)
	}
	w.mark()
	spoke1.post(core.Stop{})
	if hub.row("10.100.0.11").NBMA == spoke1.nbma.String() {
		t.Error("the other peer was not heard")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	_, hub, spoke1, _ := cloud(t)
	spoke1.w.blocked = func(_, to netip.Addr) bool { return to == hub.nbma }
	for i := range 5000 {
		spoke1.post(dataplane.Miss{Tunnel: testTunnel, NextHop: netip.AddrFrom4([4]byte{10, 100, byte(i >> 8), byte(i)})})
	}
	if n := len(spoke1.module.tunnels[testTunnel].lookups); n > maxLookups {
		t.Errorf("%d lookups", n)
	}
	for i := range 5000 {
		hub.module.tunnels[testTunnel].refuse(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), refusal{at: time.Duration(i)})
	}
	if n := len(hub.module.tunnels[testTunnel].refusals); n > maxRefusals {
		t.Errorf("%d refusals", n)
	}
}

// FuzzReceive gives a hub without a password any octets, made valid as far as length and checksum go.
func FuzzReceive(f *testing.F) {
	w := newWorld(&testing.T{})
	hub := w.add("10.0.0.1", "10.100.0.1/24", Config{Redirect: true, Shortcut: true})
	spoke := w.add("10.0.0.11", "10.100.0.11/24", Config{Servers: []Server{{NBMA: "10.0.0.1"}}, Shortcut: true})
	hub.route("192.168.12.0/24", "10.100.0.11", testTunnel)
	spoke.route("192.168.12.0/24", "", "eth1")
	spoke.post(core.Stop{})
	for _, fl := range w.seen {
		f.Add(fl.payload)
	}
	w.routers = w.routers[:1]
	f.Fuzz(func(t *testing.T, b []byte) {
		w.t = t
		if len(b) >= fixedLen && len(b) <= 1500 {
			binary.BigEndian.PutUint16(b[atSize:], uint16(len(b)))
			binary.BigEndian.PutUint16(b[atChecksum:], 0)
			binary.BigEndian.PutUint16(b[atChecksum:], ^packet.Fold(packet.Sum(b, 0)))
		}
		w.now += time.Second
		hub.post(dataplane.Received{Tunnel: testTunnel, From: netip.MustParseAddrPort("10.0.0.66:0"), Protocol: EtherType, Payload: b})
		for _, fl := range w.seen {
			fl.packet(t)
		}
		w.seen, w.flying, hub.effects = nil, nil, nil
		if n := hub.loop.Panics[Name]; n > 0 {
			t.Fatalf("the handler panicked on %x", b)
		}
	})
}
