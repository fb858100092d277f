package nhrp

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
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
			protect.Up{SA: sa, Local: target.nbma, Remote: at, Identity: "x", Allowed: nil},
			protect.Up{SA: sa, Local: target.nbma, Remote: at, Identity: "y", Allowed: prefixes("10.100.0.8/29")},
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
