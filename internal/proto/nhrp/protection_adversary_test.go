package nhrp

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
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/rib"
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// insider is a third spoke that has an SA with everybody, and bad intentions.
func withInsider(t *testing.T) (w *world, hub, spoke1, spoke2, insider *router) {
	w, hub, spoke1, spoke2 = protectedCloud(t, false)
	insider = w.addProtected("insider", "10.0.0.66", "10.0.0.66", "10.100.0.66/24", spokeConfig)
	w.join(insider, spoke1)
	w.join(insider, spoke2)
	w.run(0)
	return w, hub, spoke1, spoke2, insider
}

func TestNothingIsTakenWithoutItsSA(t *testing.T) {
	for _, c := range []struct {
		name string
		sa   dataplane.SA
	}{{"none", 0}, {"an unknown one", 4711}, {"one that is gone", 1}} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, _ := protectedCloud(t, false)
			s := w.between(hub, spoke1)
			if c.sa == 1 {
				c.sa = s.end(hub).handle
				w.cutSA(s, hub, spoke1)
			}
			w.mark()
			p := spoke1.registrationOf("10.100.0.11")
			hub.post(dataplane.Received{Tunnel: testTunnel, From: netip.MustParseAddrPort("10.0.0.11:0"), SA: c.sa, Protocol: EtherType, Payload: p.Append(nil)})
			if hub.counter("not-protected") != 1 || len(w.sent(hub, RegistrationReply)) != 0 || len(w.sent(hub, ErrorIndication)) != 0 {
				t.Errorf("counted %d, answered %d", hub.counter("not-protected"), len(w.seen))
			}
		})
	}
}

// registrationOf is the registration of a protocol address as a spoke would send it.
func (r *router) registrationOf(protocol string) Packet {
	a := netip.MustParseAddr(protocol)
	return Packet{
		Type: RegistrationRequest, HopCount: 255, RequestID: 77, SourceNBMA: r.nbma, Source: a, Destination: a,
		CIEs:       []CIE{{PrefixLength: 32, HoldingTime: 300}},
		Extensions: []Extension{AuthenticationExtension("secret")},
	}
}

func TestRegistrationOutsideWhatTheIdentityMayClaim(t *testing.T) {
	for _, c := range []struct {
		name     string
		allowed  []netip.Prefix
		protocol string
		cie      string
		want     Code
	}{
		{"nil allows any", nil, "10.100.0.50", "", Success},
		{"its own address", prefixes("10.100.0.50/32"), "10.100.0.50", "", Success},
		{"a prefix around it", prefixes("10.100.9.0/24", "10.100.0.48/29"), "10.100.0.50", "", Success},
		{"another address", prefixes("10.100.0.50/32"), "10.100.0.51", "", AdminProhibited},
		{"an empty list allows none", []netip.Prefix{}, "10.100.0.50", "", AdminProhibited},
		{"an allowed source, another client in the entry", prefixes("10.100.0.50/32"), "10.100.0.50", "10.100.0.51", AdminProhibited},
		{"an allowed client in the entry, another source", prefixes("10.100.0.50/32"), "10.100.0.51", "10.100.0.50", AdminProhibited},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, _, _, insider := withInsider(t)
			w.allowed = map[string][]netip.Prefix{"insider.example": c.allowed}
			w.up(w.between(hub, insider), hub)
			w.run(0)
			w.mark()
			p := insider.registrationOf(c.protocol)
			if c.cie != "" {
				p.CIEs[0].Protocol = netip.MustParseAddr(c.cie)
			}
			for range 3 {
				hub.receiveBy(insider, p)
			}
			replies := w.sent(hub, RegistrationReply)
			if len(replies) != 3 || replies[0].CIEs[0].Code != c.want {
				t.Fatalf("%d replies, %+v", len(replies), replies)
			}
			if c.want != Success && hub.counter("denied-administratively-prohibited") != 3 {
				t.Errorf("not counted: %v", hub.module.Counters())
			}
			asked := c.protocol
			if c.cie != "" {
				asked = c.cie
			}
			if row := hub.row(asked); (row.Type == "dynamic") != (c.want == Success) {
				t.Errorf("bound: %+v", row)
			}
			w.audit()
		})
	}
}

func TestAllowedShrinksWhileRegistered(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	w.allowed = map[string][]netip.Prefix{"spoke1.example": prefixes("10.100.0.99/32")}
	w.up(w.between(hub, spoke1), hub)
	w.run(0)
	if row := hub.row("10.100.0.11"); row.Type != "" {
		t.Errorf("kept what it may not claim any more: %+v", row)
	}
	w.audit()
}

func TestAddressOfAnotherIdentityIsRefused(t *testing.T) {
	w, hub, _, _, insider := withInsider(t)
	w.mark()
	hub.receiveBy(insider, insider.registrationOf("10.100.0.11"))
	replies := w.sent(hub, RegistrationReply)
	if len(replies) != 1 || replies[0].CIEs[0].Code != UniqueRegistered {
		t.Fatalf("%+v", replies)
	}
	if row := hub.row("10.100.0.11"); row.Identity != "spoke1.example" || row.NBMA != "10.0.0.11" {
		t.Errorf("the binding is another's now: %+v", row)
	}
	if s := hub.module.Peers(w.now); !slices.ContainsFunc(s, func(r PeerRow) bool { return r.State == "refused" && r.Identity == "insider.example" }) {
		t.Errorf("the refused one is shown: %+v", s)
	}
	// Neither can it purge the binding, by the registration's ID even.
	b := hub.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.11")]
	hub.receiveBy(insider, Packet{
		Type: PurgeRequest, HopCount: 255, RequestID: b.client.id, Flags: PurgeNoReply, SourceNBMA: insider.nbma,
		Source: netip.MustParseAddr("10.100.0.66"), Destination: netip.MustParseAddr("10.100.0.1"),
		CIEs:       []CIE{{PrefixLength: 32, Protocol: netip.MustParseAddr("10.100.0.11")}},
		Extensions: []Extension{AuthenticationExtension("secret")},
	})
	if hub.row("10.100.0.11").Type == "" || hub.counter("purge-from-stranger") != 1 {
		t.Error("a purge through another's SA was believed")
	}
}

func TestSourceThatMayNotBeClaimed(t *testing.T) {
	for _, typ := range []Type{ResolutionRequest, PurgeRequest, TrafficIndication} {
		t.Run(typ.String(), func(t *testing.T) {
			w, _, spoke1, _, insider := withInsider(t)
			w.allowed = map[string][]netip.Prefix{"insider.example": prefixes("10.100.0.66/32")}
			w.up(w.between(spoke1, insider), spoke1)
			w.run(0)
			w.mark()
			p := Packet{
				Type: typ, HopCount: 255, RequestID: 5, SourceNBMA: insider.nbma, Source: netip.MustParseAddr("10.100.0.12"),
				Destination: netip.MustParseAddr("10.100.0.11"), Extensions: []Extension{AuthenticationExtension("secret")},
			}
			if typ == TrafficIndication {
				p.Payload = ipv4("192.168.11.5", "192.168.12.5")
			}
			spoke1.receiveBy(insider, p)
			if spoke1.counter("source-not-allowed") != 1 || len(w.seen) != 0 {
				t.Errorf("counted %d, sent %d", spoke1.counter("source-not-allowed"), len(w.seen))
			}
		})
	}
}

// What waits for an answer is answered through the wrong SA, with the right request ID.
func TestAnswerThroughTheWrongSA(t *testing.T) {
	good := func(id uint32, source, destination, holder, nbma string) Packet {
		return Packet{
			Type: ResolutionReply, HopCount: 255, RequestID: id, SourceNBMA: netip.MustParseAddr("10.0.0.11"),
			Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr(destination),
			CIEs: []CIE{{PrefixLength: 24, HoldingTime: 300, NBMA: netip.MustParseAddr(nbma), Protocol: netip.MustParseAddr(holder)}},
			Extensions: []Extension{
				{Type: ResponderAddress, Compulsory: true}, {Type: ForwardTransit, Compulsory: true},
				{Type: ReverseTransit, Compulsory: true}, AuthenticationExtension("secret"),
			},
		}
	}
	for _, c := range []struct {
		name  string
		setup func(w *world, hub, spoke1, spoke2 *router)
		id    func(t *tunnel) uint32
		reply func(id uint32) Packet
	}{
		{
			"a probe", func(w *world, hub, spoke1, spoke2 *router) {
				w.blocked = func(from, to netip.Addr) bool { return from == spoke2.nbma && to == spoke1.nbma }
				w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			},
			func(t *tunnel) uint32 { return t.bindings[netip.MustParseAddr("10.100.0.12")].peer.id },
			func(id uint32) Packet { return good(id, "10.100.0.11", "10.100.0.12", "10.100.0.12", "10.0.0.12") },
		},
		{
			"a resolution", func(w *world, hub, spoke1, _ *router) {
				w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == hub.nbma }
				w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			},
			func(t *tunnel) uint32 { return t.lookups[netip.MustParseAddr("192.168.12.5")].id },
			func(id uint32) Packet { return good(id, "10.100.0.11", "192.168.12.5", "10.100.0.12", "10.0.0.12") },
		},
		{
			"a registration", func(w *world, hub, spoke1, _ *router) {
				w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == hub.nbma }
				spoke1.linkUp("10.100.0.11/24")
				w.run(0)
			},
			func(t *tunnel) uint32 { return t.servers[0].hubs[0].regs[0].id },
			func(id uint32) Packet {
				p := good(id, "10.100.0.11", "10.100.0.66", "10.100.0.66", "10.0.0.66")
				p.Type = RegistrationReply
				return p
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, spoke2, insider := withInsider(t)
			c.setup(w, hub, spoke1, spoke2)
			tun := spoke1.module.tunnels[testTunnel]
			id := c.id(tun)
			if id == 0 {
				t.Fatal("nothing waits for an answer")
			}
			spoke1.receiveBy(insider, c.reply(id))
			if spoke1.counter("reply-from-stranger") != 1 {
				t.Errorf("not refused: %v", spoke1.module.Counters())
			}
			if row := spoke1.peer("10.100.0.12"); row.State == "up" {
				t.Errorf("the peer is up by an answer of somebody else: %+v", row)
			}
			if row := spoke1.peer("10.100.0.66"); row.Role == "hub" {
				t.Errorf("the server has the address that somebody else said: %+v", row)
			}
			if tun.byID[id] == nil {
				t.Error("the wrong answer ended the wait for the right one")
			}
			// Nor does an error through that SA.
			spoke1.receiveBy(insider, Packet{
				Type: ErrorIndication, HopCount: 255, SourceNBMA: insider.nbma, Source: netip.MustParseAddr("10.100.0.66"),
				Destination: netip.MustParseAddr("10.100.0.11"), ErrorCode: ProtocolError, Payload: c.reply(id).asRequest().Append(nil),
			})
			if spoke1.counter("error-from-stranger") != 1 || tun.byID[id] == nil {
				t.Errorf("an error through the wrong SA was believed: %v", spoke1.module.Counters())
			}
			w.audit()
		})
	}
}

// asRequest is a packet as an error repeats it.
func (p Packet) asRequest() *Packet {
	if p.Type == RegistrationReply {
		p.Type = RegistrationRequest
	} else {
		p.Type = ResolutionRequest
	}
	return &p
}

func TestResolutionMayBeAnsweredByWhomItLeadsTo(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	w.join(spoke1, spoke2)
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == hub.nbma }
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	l := spoke1.module.tunnels[testTunnel].lookups[netip.MustParseAddr("192.168.12.5")]
	w.blocked = func(_, _ netip.Addr) bool { return false }
	spoke1.receiveBy(spoke2, Packet{ // as Cisco answers: straight
		Type: ResolutionReply, HopCount: 255, RequestID: l.id, SourceNBMA: spoke1.nbma,
		Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("192.168.12.5"),
		CIEs:       []CIE{{PrefixLength: 24, HoldingTime: 300, NBMA: spoke2.nbma, Protocol: netip.MustParseAddr("10.100.0.12")}},
		Extensions: []Extension{AuthenticationExtension("secret")},
	})
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" {
		t.Errorf("%+v, counters %v", row, spoke1.module.Counters())
	}
}

func TestPeerMayNotClaimWhatItAnswersFor(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	w.allowed = map[string][]netip.Prefix{"spoke2.example": prefixes("10.100.0.99/32")}
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	w.run(protectSpan + time.Second)
	if n := spoke1.module.Size(); n.Peers != 0 || n.Shortcuts != 0 {
		t.Errorf("a peer is used under an address it may not claim: %+v", n)
	}
	w.audit()
}

func TestServerMayNotClaimItsAddress(t *testing.T) {
	w := newWorld(t)
	w.allowed = map[string][]netip.Prefix{"hub.example": prefixes("10.100.0.99/32")}
	w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", spokeConfig)
	w.run(time.Minute)
	if row := spoke.module.Peers(w.now)[0]; row.State == "up" || !strings.Contains(row.Reason, "may not claim") {
		t.Errorf("%+v", row)
	}
	if _, ok := spoke.adjacency("10.100.0.1"); ok {
		t.Error("an adjacency leads to it")
	}
}

// A redirect costs an attacker nothing, a handshake costs us much: SAs are asked for once per peer, whoever redirects how
// often to however many of its addresses.
func TestManyDestinationsOneHandshake(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	w.blocked = func(from, to netip.Addr) bool { return from == spoke1.nbma && to == spoke2.nbma }
	spoke1.asked = nil
	for k := range 50 {
		w.redirected(hub, spoke1, "192.168.11.5", netip.AddrFrom4([4]byte{192, 168, 12, byte(k + 1)}).String())
	}
	if len(spoke1.asked) != 1 {
		t.Errorf("asked %d times: %v", len(spoke1.asked), spoke1.asked)
	}
	w.audit()
}

func TestNoticesInAnyOrder(t *testing.T) {
	w, hub, spoke1, spoke2 := protectedCloud(t, false)
	r := rand.New(rand.NewPCG(42, 0))
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	for range 2000 {
		sa := dataplane.SA(1 + r.IntN(5))
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + r.IntN(3))}), uint16(r.IntN(2)*4500))
		target := []*router{hub, spoke1, spoke2}[r.IntN(3)]
		bodies := []any{
			protect.Up{SA: sa, Profile: testProfile, Local: target.nbma, Remote: at, Identity: "x", Allowed: nil},
			protect.Up{SA: sa, Profile: testProfile, Local: target.nbma, Remote: at, Identity: "y", Allowed: prefixes("10.100.0.8/29")},
			protect.Up{SA: sa, Profile: "lax", Local: target.nbma, Remote: at, Identity: "x"},
			protect.Moved{SA: sa, Local: target.nbma, Remote: at},
			protect.Down{SA: sa, Local: target.nbma, Remote: at, Reason: "test"},
			protect.Failed{Local: target.nbma, Remote: at.Addr(), Reason: "test"},
		}
		target.loop.Post(Name, core.Notice{From: protect.IKE, Body: bodies[r.IntN(len(bodies))]})
		w.quiet = true // the world's SAs are not those of the notices
		w.run(time.Duration(r.IntN(2000)) * time.Millisecond)
		w.audit()
		if t.Failed() {
			return
		}
	}
}

// Without identities of its own, a router is known by its underlay address, which can become another while the hub still
// holds the old SA.
func TestAddressAsIdentityChanges(t *testing.T) {
	for _, c := range []struct {
		name       string
		was, is    string
		id         bool // the registration has the request ID it had
		registered bool
	}{
		{"an address, the same request ID", "10.0.0.11", "10.0.0.77", true, true},
		{"an address, another request ID", "10.0.0.11", "10.0.0.77", false, false},
		{"a name, the same request ID", "spoke1.example", "10.0.0.77", true, false},
		{"another name, the same request ID", "spoke1.example", "insider.example", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			hub := w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
			spoke := &router{w: w, nbma: netip.MustParseAddr("10.0.0.11"), stored: map[string]string{}, protected: true, identity: c.was}
			spoke.public = spoke.nbma
			w.routers = append(w.routers, spoke)
			spoke.start("10.100.0.11/24", spokeConfig)
			w.run(0)
			other := w.addProtected("x", "10.0.0.77", "10.0.0.77", "10.100.0.66/24", Config{Authentication: "secret"})
			other.identity = c.is
			w.join(other, hub)
			w.run(0)
			p := other.registrationOf("10.100.0.11")
			if c.id {
				p.RequestID = hub.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.11")].client.id
			}
			hub.receiveBy(other, p)
			if got := hub.row("10.100.0.11").NBMA == "10.0.0.77"; got != c.registered {
				t.Errorf("registered %t, want %t", got, c.registered)
			}
			w.audit()
		})
	}
}

// Who may register the address of a router that is reached already, or of anybody, with a router that is a spoke or more.
func TestWhoMayRegisterAnAddressThatIsInUse(t *testing.T) {
	own := map[string][]netip.Prefix{"insider.example": prefixes("10.100.0.66/32")}
	any := map[string][]netip.Prefix{"insider.example": prefixes("10.100.0.0/24")}
	for _, c := range []struct {
		name     string
		role     func(*Config)
		allowed  map[string][]netip.Prefix
		resolved bool // there is a shortcut to spoke 2
		protocol string
		want     Code
	}{
		{"a spoke is no server", func(*Config) {}, nil, false, "10.100.0.66", AdminProhibited},
		{"nor for the address of a peer", func(*Config) {}, nil, true, "10.100.0.12", AdminProhibited},
		{"a spoke takes whom it knows the addresses of", func(*Config) {}, own, false, "10.100.0.66", Success},
		{"but no other address of him", func(*Config) {}, own, true, "10.100.0.12", AdminProhibited},
		{"nor that of a peer that has proved another identity", func(*Config) {}, any, true, "10.100.0.12", UniqueRegistered},
		{"redirect makes a server", func(c *Config) { c.Redirect = true }, nil, false, "10.100.0.66", Success},
		{"multicast makes a server", func(c *Config) { c.Multicast = true }, nil, false, "10.100.0.66", Success},
		{"max-clients makes a server", func(c *Config) { c.MaxClients = 9 }, nil, false, "10.100.0.66", Success},
		{"answering makes a server", func(c *Config) { c.Resolution = Answer }, nil, false, "10.100.0.66", Success},
		{"a server keeps a peer that is up", func(c *Config) { c.Redirect = true }, nil, true, "10.100.0.12", UniqueRegistered},
		{"a server keeps the address of its own server", func(c *Config) { c.Redirect = true }, nil, false, "10.100.0.1", AdminProhibited},
		{"without servers it is one", func(c *Config) { c.Servers = nil }, nil, false, "10.100.0.66", Success},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, _, insider := withInsider(t)
			if c.resolved {
				w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			}
			w.allowed = c.allowed
			w.up(w.between(spoke1, insider), spoke1)
			cfg := *spoke1.module.tunnels[testTunnel].cfg
			c.role(&cfg)
			spoke1.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
			before, resolved := spoke1.adjacency(c.protocol)
			if c.resolved && !resolved {
				t.Fatal("spoke 2 is not there")
			}
			w.mark()
			spoke1.receiveBy(insider, insider.registrationOf(c.protocol))
			if replies := w.sent(spoke1, RegistrationReply); len(replies) != 1 || replies[0].CIEs[0].Code != c.want {
				t.Errorf("answered %+v, want %v", replies, c.want)
			}
			if after, _ := spoke1.adjacency(c.protocol); c.want != Success && after != before {
				t.Errorf("the adjacency moved from %q to %q", before, after)
			}
			w.audit()
		})
	}
}

func TestRegistrationPassedOnIsHeldAgainstItsSender(t *testing.T) {
	for _, c := range []struct{ protocol, cie string }{{"10.100.0.77", ""}, {"10.100.0.66", "10.100.0.77"}, {"10.100.0.77", "10.100.0.66"}} {
		t.Run(c.protocol+" "+c.cie, func(t *testing.T) {
			w, hub, _, _, insider := withInsider(t)
			hub2 := w.addProtected("hub2", "10.0.0.2", "10.0.0.2", "10.100.0.2/24", hubConfig)
			cfg := *hub.module.tunnels[testTunnel].cfg
			cfg.Servers = []Server{{NBMA: "10.0.0.2", Protocol: netip.MustParseAddr("10.100.0.2")}}
			hub.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
			if row := hub.peer("10.100.0.2"); row.State != "up" {
				t.Fatalf("the hub is not registered with the other: %+v", row)
			}
			w.allowed = map[string][]netip.Prefix{"insider.example": prefixes("10.100.0.66/32")}
			w.up(w.between(hub, insider), hub)
			w.run(0)
			w.mark()
			p := insider.registrationOf(c.protocol)
			p.Destination = netip.MustParseAddr("10.100.0.2")
			if c.cie != "" {
				p.CIEs[0].Protocol = netip.MustParseAddr(c.cie)
			}
			hub.receiveBy(insider, p)
			if replies := w.sent(hub, RegistrationReply); len(replies) != 1 || replies[0].CIEs[0].Code != AdminProhibited {
				t.Errorf("answered %+v", replies)
			}
			if row := hub2.row("10.100.0.77"); row.Type != "" {
				t.Errorf("the other hub has %+v: of an insider that may claim 10.100.0.66 alone", row)
			}
			p = insider.registrationOf("10.100.0.66")
			p.Destination = netip.MustParseAddr("10.100.0.2")
			hub.receiveBy(insider, p)
			if row := hub2.row("10.100.0.66"); row.Type != "dynamic" {
				t.Errorf("its own address goes through: %+v", row)
			}
			w.audit()
		})
	}
}

// Behind a client at one SA there is the peer that was resolved, at another. Each goes with its own SA.
func TestWhatIsHiddenUnderAClientGoesWithItsSA(t *testing.T) {
	hidden := func(t *testing.T) (w *world, spoke1, spoke2 *router, of, client *testSA) {
		w, hub, spoke1, spoke2 := protectedCloud(t, false)
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
		of = w.between(spoke1, spoke2)
		w.allowed = map[string][]netip.Prefix{"spoke2.example": prefixes("10.100.0.12/32")}
		w.up(of, spoke1)
		client = w.join(spoke1, spoke2)
		w.run(0)
		spoke1.receiveBy(spoke2, spoke2.registrationOf("10.100.0.12"))
		b := spoke1.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")]
		if b.client == nil || b.peer == nil || b.client.place == b.peer.place {
			t.Fatalf("no peer is hidden under a client: %+v", b)
		}
		return w, spoke1, spoke2, of, client
	}
	leave := func(spoke1, spoke2 *router) {
		p := spoke2.registrationOf("10.100.0.12")
		p.CIEs[0].HoldingTime = 0
		spoke1.receiveBy(spoke2, p)
	}
	t.Run("the peer's SA goes, then the client", func(t *testing.T) {
		w, spoke1, spoke2, of, _ := hidden(t)
		spoke1.tell(protect.Down{SA: of.end(spoke1).handle, Local: spoke1.nbma, Remote: of.end(spoke1).remote})
		w.quiet = true
		w.run(0)
		w.audit()
		leave(spoke1, spoke2)
		b := spoke1.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")]
		if b != nil && b.installed && b.adjacency.SA == of.end(spoke1).handle {
			t.Error("the adjacency leads through an SA that is gone")
		}
		w.audit()
	})
	t.Run("the peer may not have the address any more", func(t *testing.T) {
		w, spoke1, spoke2, of, _ := hidden(t)
		w.allowed["spoke2.example"] = prefixes("10.100.0.99/32")
		w.up(of, spoke1)
		w.run(0)
		if b := spoke1.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")]; b != nil && b.peer != nil {
			t.Error("it kept it, hidden")
		}
		leave(spoke1, spoke2)
		w.audit()
	})
	t.Run("the client's SA goes", func(t *testing.T) {
		w, spoke1, _, of, client := hidden(t)
		spoke1.tell(protect.Moved{SA: of.end(spoke1).handle, Local: spoke1.nbma, Remote: netip.MustParseAddrPort("10.0.0.88:4500")})
		spoke1.tell(protect.Down{SA: client.end(spoke1).handle, Local: spoke1.nbma, Remote: client.end(spoke1).remote})
		w.quiet = true
		w.run(0)
		if at, ok := spoke1.adjacency("10.100.0.12"); !ok || at != "10.0.0.88" {
			t.Errorf("the peer is what remains: %v %v", at, ok)
		}
		w.audit()
	})
}

// The SA of an insider comes to the hub's NBMA address, as it does when somebody repeats its packets with that source; then
// the hub's SA is lost. What is there then is asked to register us, and trusted in nothing.
func TestOtherRouterAtTheHubsAddressIsNoHub(t *testing.T) {
	w, hub, spoke1, _, insider := withInsider(t)
	w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type == "" {
		t.Fatal("no shortcut")
	}
	s := w.between(spoke1, insider)
	s.end(spoke1).remote = netip.MustParseAddrPort("10.0.0.1:4500")
	spoke1.tell(protect.Moved{SA: s.end(spoke1).handle, Local: spoke1.nbma, Remote: s.end(spoke1).remote})
	w.blocked = func(from, to netip.Addr) bool { return to == hub.nbma || from == insider.nbma }
	w.cutSA(w.between(hub, spoke1), spoke1, hub)
	tun := spoke1.module.tunnels[testTunnel]
	if h := tun.servers[0].hubs[0]; h.sa != s.end(spoke1).handle {
		t.Fatalf("registers through SA %d", h.sa)
	}
	if tun.isHub(place{sa: s.end(spoke1).handle}) {
		t.Error("the insider is trusted as a server, though nothing is registered with it")
	}
	spoke1.receiveBy(insider, Packet{
		Type: PurgeRequest, HopCount: 255, RequestID: 9, Flags: PurgeNoReply, SourceNBMA: insider.nbma,
		Source: netip.MustParseAddr("10.100.0.1"), Destination: netip.MustParseAddr("10.100.0.11"),
		CIEs:       []CIE{{PrefixLength: 24, Protocol: netip.MustParseAddr("192.168.12.0")}},
		Extensions: []Extension{AuthenticationExtension("secret")},
	})
	if row := spoke1.shortcut("192.168.12.0/24"); row.Type == "" || spoke1.counter("purge-from-stranger") != 1 {
		t.Errorf("it purged a shortcut of others: %v", spoke1.module.Counters())
	}
	w.audit()
}

// A sibling of the hub, behind its NAT, has the SA that is there first.
func TestTheHubIsNotTheRouterThatIsThereFirst(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol string // of the server, as configured
		known    bool   // which address the sibling has
		answers  bool
		want     string // the first that is asked of IKE about it
		soon     time.Duration
	}{
		{"it refuses", "", false, true, "ensure 10.0.0.1 but [1]", 7 * time.Second},
		{"it is silent", "", false, false, "ensure 10.0.0.1 but [1]", 7 * time.Second},
		{"it is known to be another", "10.100.0.1", true, true, "ensure 10.0.0.1 but [1]", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			sibling := w.addProtected("sibling", "10.0.0.21", "10.0.0.1", "10.100.0.21/24", spokeConfig)
			cfg := spokeConfig
			cfg.Servers = nil
			spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", cfg)
			w.join(spoke, sibling)
			w.run(0)
			if c.known {
				spoke.receiveBy(sibling, sibling.registrationOf("10.100.0.21"))
			}
			w.blocked = func(from, _ netip.Addr) bool { return !c.answers && from == sibling.nbma }
			cfg = *spoke.module.tunnels[testTunnel].cfg
			cfg.Servers = []Server{{NBMA: "10.0.0.1"}}
			if c.protocol != "" {
				cfg.Servers[0].Protocol = netip.MustParseAddr(c.protocol)
			}
			spoke.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
			w.run(c.soon)
			if !slices.Contains(spoke.asked, c.want) {
				t.Errorf("asked of IKE: %v, want %q", spoke.asked, c.want)
			}
			if c.known && len(w.sent(spoke, RegistrationRequest)) != 0 {
				t.Error("it registers with a router that has said to be another")
			}
			hub := w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
			w.run(time.Minute)
			if !c.known { // or IKE goes on trying by itself
				if row := spoke.peer("10.100.0.1"); row.State != "up" || row.Identity != "hub.example" {
					t.Errorf("it found the hub: %+v, asked %v", spoke.module.Peers(w.now), spoke.asked)
				}
			} else {
				w.join(spoke, hub)
				w.run(0)
			}
			if row := spoke.peer("10.100.0.1"); row.Identity != "hub.example" {
				t.Errorf("registered with %+v", row)
			}
			if last := spoke.asked[len(spoke.asked)-1]; !c.known && last != "ensure 10.0.0.1" {
				t.Errorf("the hub is found, and the last that was asked is %q", last)
			}
			w.audit()
		})
	}
}

// A hub that does not take us costs it and us a handshake now and then, not more and more of them.
func TestHubThatRefusesIsNotSoughtWithoutEnd(t *testing.T) {
	w := newWorld(t)
	full := hubConfig
	full.MaxClients = 1
	w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", full)
	w.addProtected("first", "10.0.0.12", "10.0.0.12", "10.100.0.12/24", spokeConfig)
	spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", spokeConfig)
	w.refusal = "nobody else is there"
	w.blocked = func(from, to netip.Addr) bool { return false }
	w.run(4 * time.Hour)
	n := len(spoke.asked)
	if n < 20 || n > 40 {
		t.Errorf("asked %d times in 4 hours, want one in ten minutes", n)
	}
	if row := spoke.module.Peers(w.now)[0]; row.State == "up" || !strings.Contains(row.Reason, InsufficientResources.String()) {
		t.Errorf("%+v", row)
	}
	w.audit()
}

// Several routers are at the hub's address, and the hub is none of the first.
func TestEverySAAtTheHubsAddressIsTried(t *testing.T) {
	w := newWorld(t)
	cfg := spokeConfig
	cfg.Servers = nil
	spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", cfg)
	hub := w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/24", hubConfig)
	w.join(spoke, hub)
	for k := range 3 {
		nbma := netip.AddrFrom4([4]byte{10, 0, 0, byte(21 + k)}).String()
		w.join(spoke, w.addProtected("sibling", nbma, "10.0.0.1", fmt.Sprintf("10.100.0.%d/24", 21+k), spokeConfig))
	}
	w.run(0)
	cfg = *spoke.module.tunnels[testTunnel].cfg
	cfg.Servers = []Server{{NBMA: "10.0.0.1"}}
	spoke.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
	w.run(4 * 7 * time.Second)
	if row := spoke.peer("10.100.0.1"); row.State != "up" || row.Identity != "hub.example" {
		t.Errorf("%+v", spoke.module.Peers(w.now))
	}
	if want := []string{"ensure 10.0.0.1"}; !slices.Equal(spoke.asked, want) {
		t.Errorf("asked of IKE: %v, want %v", spoke.asked, want)
	}
	w.audit()
}

// Somebody with good credentials, at the server's address, takes the registration.
func TestImpostorOfAServer(t *testing.T) {
	insider := prefixes("10.100.0.66/32")
	for _, c := range []struct {
		name     string
		protocol string // of the server, as configured
		allowed  []netip.Prefix
		says     string // in the reply; "" is our own address, which says nothing
		want     string // why not; "" when it is taken
	}{
		{"nothing is known of it", "", nil, "10.100.0.1", ""},
		{"nothing is known, and it says nothing", "", nil, "", ""},
		{"it is bound, and says its address", "", insider, "10.100.0.66", ""},
		{"it is bound, and says another", "", insider, "10.100.0.1", "may not claim"},
		{"it is bound, and says nothing", "", insider, "", "does not say its address"},
		{"the configured one", "10.100.0.1", nil, "10.100.0.1", ""},
		{"the configured one need not say so", "10.100.0.1", nil, "", ""},
		{"not the configured one", "10.100.0.1", nil, "10.100.0.66", "is 10.100.0.66, not 10.100.0.1"},
		{"bound to another than the configured one, and says nothing", "10.100.0.1", insider, "", "may not claim the address 10.100.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			cfg := spokeConfig
			cfg.Servers = []Server{{NBMA: "10.0.0.1"}}
			if c.protocol != "" {
				cfg.Servers[0].Protocol = netip.MustParseAddr(c.protocol)
			}
			w.blocked = func(from, to netip.Addr) bool { return from == netip.MustParseAddr("10.0.0.1") }
			w.addProtected("insider", "10.0.0.1", "10.0.0.1", "10.100.0.66/24", hubConfig)
			spoke := w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", cfg)
			s := w.between(spoke, w.routers[0])
			r := spoke.module.tunnels[testTunnel].servers[0].hubs[0].regs[0]
			w.allowed = map[string][]netip.Prefix{"insider.example": c.allowed}
			w.up(s, spoke)
			w.run(0)
			p := w.sent(spoke, RegistrationRequest)[0]
			p.Type, p.Extensions = RegistrationReply, []Extension{AuthenticationExtension("secret")}
			if p.Destination = p.Source; c.says != "" {
				p.Destination = netip.MustParseAddr(c.says)
			}
			spoke.receiveBy(w.routers[0], p)
			if r.up != (c.want == "") || !strings.Contains(r.reason, c.want) {
				t.Errorf("registered %t: %s", r.up, r.reason)
			}
			tun := spoke.module.tunnels[testTunnel]
			if is := tun.isHub(place{sa: s.end(spoke).handle}); is != (c.want == "") {
				t.Errorf("trusted as a server: %t", is)
			}
			if at, ok := spoke.adjacency("10.100.0.1"); ok && c.want != "" {
				t.Errorf("the server's address leads to %s", at)
			}
			w.audit()
		})
	}
}

// Who is good enough for another profile, at the same underlay address, is nobody here.
func TestSAOfAnotherProfileIsNotForTheTunnel(t *testing.T) {
	w, hub, spoke1, _ := protectedCloud(t, false)
	s := w.between(hub, spoke1)
	up := protect.Up{SA: 99, Profile: "lax", Local: hub.nbma, Remote: netip.MustParseAddrPort("10.0.0.66:0"), Identity: "insider.example"}
	hub.tell(up)
	w.mark()
	p := spoke1.registrationOf("10.100.0.66")
	hub.post(dataplane.Received{Tunnel: testTunnel, From: up.Remote, SA: up.SA, Protocol: EtherType, Payload: p.Append(nil)})
	if hub.counter("not-protected") != 1 || hub.row("10.100.0.66").Type != "" {
		t.Errorf("registered: %+v, %v", hub.row("10.100.0.66"), hub.module.Counters())
	}
	// The tunnel gets that profile, and its peers do not have it yet.
	cfg := *hub.module.tunnels[testTunnel].cfg
	cfg.Profile = "lax"
	hub.post(core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
	if hub.row("10.100.0.11").Type != "" {
		t.Error("a client of the old profile stays")
	}
	w.audit()
	hub.tell(protect.Up{SA: s.end(hub).handle, Profile: "lax", Local: hub.nbma, Remote: s.end(hub).remote, Identity: "spoke1.example"})
	w.run(0)
	hub.receiveBy(spoke1, spoke1.registrationOf("10.100.0.11"))
	if hub.row("10.100.0.11").Type != "dynamic" {
		t.Error("it cannot register under the new one")
	}
	w.audit()
}

// An address that nobody has registered is not free for the taking when it is that of a host behind somebody else.
func TestAddressesThatAreNoTunnelAddressesRFC2332Section523(t *testing.T) {
	for _, c := range []struct {
		name     string
		mask     string // of the hub's own address
		allowed  []netip.Prefix
		route    [3]string // prefix, next hop, interface
		protocol string
		want     Code
	}{
		{"in the tunnel's prefix", "24", nil, [3]string{}, "10.100.0.77", Success},
		{"out of it", "24", nil, [3]string{}, "10.101.0.77", AdminProhibited},
		{"out of it, and on the Internet", "24", nil, [3]string{"0.0.0.0/0", "10.0.0.254", "eth0"}, "192.0.2.53", AdminProhibited},
		{"out of it, and bound to it", "24", prefixes("10.101.0.77/32"), [3]string{}, "10.101.0.77", Success},
		{"a host of another spoke's LAN", "24", nil, [3]string{"192.168.11.0/24", "10.100.0.11", testTunnel}, "192.168.11.5", AdminProhibited},
		{"/32: anywhere", "32", nil, [3]string{}, "10.101.0.77", Success},
		{"/32: the default route does not say", "32", nil, [3]string{"0.0.0.0/0", "10.0.0.254", "eth0"}, "10.101.0.77", Success},
		{"/32: a network elsewhere", "32", nil, [3]string{"172.16.0.0/12", "10.0.0.254", "eth0"}, "172.16.0.77", AdminProhibited},
		{"/32: a network elsewhere, and bound to it", "32", prefixes("172.16.0.77/32"), [3]string{"172.16.0.0/12", "10.0.0.254", "eth0"}, "172.16.0.77", Success},
		{"/32: a host of another spoke's LAN", "32", nil, [3]string{"192.168.11.0/24", "10.100.0.11", testTunnel}, "192.168.11.5", AdminProhibited},
		{"/32: a host of its own LAN", "32", nil, [3]string{"192.168.66.0/24", "10.100.0.66", testTunnel}, "192.168.66.5", Success},
		{"/32: a host of another spoke's", "32", nil, [3]string{"192.168.11.5/32", "10.100.0.11", testTunnel}, "192.168.11.5", AdminProhibited},
		{"/32: its own, that OSPF heard by way of another spoke", "32", nil, [3]string{"10.101.0.77/32", "10.100.0.11", "ospf"}, "10.101.0.77", Success},
		{"/32: a host of another spoke's LAN that OSPF heard of", "32", nil, [3]string{"192.168.11.0/24", "10.100.0.11", "ospf"}, "192.168.11.5", AdminProhibited},
		{"/32: in a range that goes to another hub", "32", nil, [3]string{"10.96.0.0/11", "10.100.0.200", testTunnel}, "10.101.0.77", Success},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			hub := w.addProtected("hub", "10.0.0.1", "10.0.0.1", "10.100.0.1/"+c.mask, hubConfig)
			w.addProtected("spoke1", "10.0.0.11", "10.0.0.11", "10.100.0.11/24", spokeConfig)
			insider := w.addProtected("insider", "10.0.0.66", "10.0.0.66", "10.100.0.66/24", spokeConfig)
			switch {
			case c.route[2] == "ospf":
				hub.routeOf(rib.OSPF, c.route[0], c.route[1], testTunnel)
			case c.route[0] != "":
				hub.route(c.route[0], c.route[1], c.route[2])
			}
			w.allowed = map[string][]netip.Prefix{"insider.example": c.allowed}
			w.up(w.between(hub, insider), hub)
			w.run(0)
			w.mark()
			hub.receiveBy(insider, insider.registrationOf(c.protocol))
			if replies := w.sent(hub, RegistrationReply); len(replies) != 1 || replies[0].CIEs[0].Code != c.want {
				t.Errorf("answered %+v, want %v", replies, c.want)
			}
			w.audit()
		})
	}
}

// A hub passes on what routers say to each other, and with it its own good name.
func TestPurgeThatAHubPassedOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		source string
		about  string // what is purged
		ends   bool
	}{
		{"by the router that answered", "10.100.0.12", "192.168.12.0", true},
		{"by another", "10.100.0.66", "192.168.12.0", false},
		{"by another, in the hub's name", "10.100.0.1", "192.168.12.0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, hub, spoke1, spoke2, insider := withInsider(t)
			w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
			sender := insider
			if c.ends {
				sender = spoke2
			}
			hub.receiveBy(sender, Packet{
				Type: PurgeRequest, HopCount: 255, RequestID: 9, Flags: PurgeNoReply, SourceNBMA: sender.nbma,
				Source: netip.MustParseAddr(c.source), Destination: netip.MustParseAddr("10.100.0.11"),
				CIEs:       []CIE{{PrefixLength: 24, Protocol: netip.MustParseAddr(c.about)}, {PrefixLength: 32, Protocol: netip.MustParseAddr("10.100.0.11")}},
				Extensions: []Extension{AuthenticationExtension("secret")},
			})
			if hub.counter("forwarded-purge-request") != 1 {
				t.Fatalf("the hub did not pass it on: %v", hub.module.Counters())
			}
			if row := spoke1.shortcut("192.168.12.0/24"); (row.Type == "") != c.ends {
				t.Errorf("the shortcut: %+v", row)
			}
			if r := spoke1.module.tunnels[testTunnel].servers[0].hubs[0].regs[0]; r.timer.At()-w.now <= time.Second {
				t.Error("it had the spoke register again, as only the hub itself may")
			}
			w.audit()
		})
	}
}

// Whoever is asked for what is behind it can name another router as the one that leads there.
func TestAnswerThatNamesAnotherRouter(t *testing.T) {
	answer := func(w *world, spoke1, by *router, id uint32, via, nbma string) Packet {
		return Packet{
			Type: ResolutionReply, HopCount: 255, RequestID: id, SourceNBMA: spoke1.nbma,
			Source: netip.MustParseAddr("10.100.0.11"), Destination: netip.MustParseAddr("192.168.66.5"),
			CIEs:       []CIE{{PrefixLength: 24, HoldingTime: 300, NBMA: netip.MustParseAddr(nbma), Protocol: netip.MustParseAddr(via)}},
			Extensions: []Extension{AuthenticationExtension("secret")},
		}
	}
	// asked has spoke 1 ask for what is behind the insider, which keeps the question for itself.
	asked := func(t *testing.T, w *world, hub, spoke1, insider *router) uint32 {
		hub.route("192.168.66.0/24", "10.100.0.66", testTunnel)
		insider.module.tunnels[testTunnel].up = false
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.66.5")
		l := spoke1.module.tunnels[testTunnel].lookups[netip.MustParseAddr("192.168.66.5")]
		if l == nil || l.id == 0 {
			t.Fatal("spoke 1 does not ask")
		}
		insider.module.tunnels[testTunnel].up = true
		return l.id
	}
	identity := func(r *router) string {
		b := r.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")]
		if b == nil || !b.live() {
			return ""
		}
		return b.t.identity(b.place())
	}
	t.Run("the hub does not pass it on", func(t *testing.T) {
		w, hub, spoke1, _, insider := withInsider(t)
		id := asked(t, w, hub, spoke1, insider)
		hub.receiveBy(insider, answer(w, spoke1, insider, id, "10.100.0.12", "10.0.0.66"))
		if hub.counter("reply-for-another") != 1 || hub.counter("forwarded-resolution-reply") != 0 {
			t.Errorf("%v", hub.module.Counters())
		}
		hub.receiveBy(insider, answer(w, spoke1, insider, id, "10.100.0.66", "10.0.0.66"))
		if row := spoke1.shortcut("192.168.66.0/24"); row.Type != "dynamic" || row.Identity != "insider.example" {
			t.Errorf("what it says of itself is: %+v, %v", row, hub.module.Counters())
		}
		w.audit()
	})
	t.Run("a router that is bound may not either", func(t *testing.T) {
		w, hub, spoke1, spoke2, insider := withInsider(t)
		w.cutSA(w.between(hub, spoke2), hub, spoke2) // nobody has the address now
		w.allowed = map[string][]netip.Prefix{"insider.example": prefixes("10.100.0.66/32")}
		w.up(w.between(hub, insider), hub)
		w.run(0)
		id := asked(t, w, hub, spoke1, insider)
		hub.receiveBy(insider, answer(w, spoke1, insider, id, "10.100.0.13", "10.0.0.66"))
		if hub.counter("reply-for-another") != 1 {
			t.Errorf("%v", hub.module.Counters())
		}
	})
	t.Run("said straight, it does not move a router that is up", func(t *testing.T) {
		w, hub, spoke1, _, insider := withInsider(t)
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
		id := asked(t, w, hub, spoke1, insider)
		spoke1.receiveBy(insider, answer(w, spoke1, insider, id, "10.100.0.12", "10.0.0.66"))
		w.run(time.Second)
		if got := identity(spoke1); got != "spoke2.example" || spoke1.counter("answer-for-another") != 1 {
			t.Errorf("10.100.0.12 is %s: %v", got, spoke1.module.Counters())
		}
		if row := spoke1.shortcut("192.168.12.0/24"); row.Type != "dynamic" || row.Identity != "spoke2.example" {
			t.Errorf("the shortcut to spoke 2: %+v", row)
		}
		w.audit()
	})
	t.Run("said first, it gives way to what comes by the hub", func(t *testing.T) {
		w, hub, spoke1, _, insider := withInsider(t)
		id := asked(t, w, hub, spoke1, insider)
		tun := insider.module.tunnels[testTunnel]
		tun.link.Addresses = prefixes("10.100.0.12/24")
		spoke1.receiveBy(insider, answer(w, spoke1, insider, id, "10.100.0.12", "10.0.0.66"))
		if got := identity(spoke1); got != "insider.example" {
			t.Fatalf("10.100.0.12 is %q", got)
		}
		tun.link.Addresses = prefixes("10.100.0.66/24")
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
		if got := identity(spoke1); got != "spoke2.example" {
			t.Errorf("10.100.0.12 is %q still", got)
		}
		w.audit()
	})
	t.Run("the hub has a word in it though there is a direct path", func(t *testing.T) {
		w, hub, spoke1, spoke2, _ := withInsider(t)
		w.redirected(hub, spoke2, "192.168.12.5", "192.168.11.5")
		w.mark()
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
		b := spoke1.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")]
		if b == nil || b.peer == nil || !b.peer.vouched {
			t.Errorf("the answer came straight: %+v", b)
		}
	})
	t.Run("a router that moves may be met where it is now", func(t *testing.T) {
		w, hub, spoke1, spoke2, _ := withInsider(t)
		w.redirected(hub, spoke1, "192.168.11.5", "192.168.12.5")
		x := spoke1.module.tunnels[testTunnel].bindings[netip.MustParseAddr("10.100.0.12")].peer
		to := netip.MustParseAddrPort("10.0.0.77:0")
		if !x.stays(to, false) {
			t.Error("anybody can move it")
		}
		if x.stays(to, true) {
			t.Error("the hub cannot")
		}
		s := w.join(spoke1, spoke2)
		s.end(spoke1).remote = to
		w.up(s, spoke1)
		w.run(0)
		if x.stays(to, false) {
			t.Error("it cannot itself, though it has proved to be there")
		}
	})
}
