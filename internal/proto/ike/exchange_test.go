package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// TestMessages is about messages as such: their IDs, windows and repetitions, and what cannot be read of them.
func TestMessages(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 2.1: a message that is sent again is so byte for byte, in every exchange", sentAgain},
		{"RFC 7296 2.2: message IDs are 0 in IKE_SA_INIT, 1 in IKE_AUTH, and count up for each end by itself", messageIDs},
		{"RFC 7296 2.2: the message IDs of a rekeyed IKE SA begin at 0", func(t *testing.T) {
			w, a, b := met(t, plain)
			a.call(func(env *core.Env) { a.ike().rekey(env) })
			w.pass(2 * time.Second)
			all := w.tape()
			a.call(func(env *core.Env) { a.ike().enqueue(env, &liveness{}) })
			w.pass(time.Second)
			if len(*all) != 2 || (*all)[0].header.MessageID != 0 || (*all)[1].header.MessageID != 0 {
				t.Error(*all)
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.3: one request at a time is under way", oneAtATime},
		{"RFC 7296 2.3: a request that came before is answered as before and not done again", func(t *testing.T) {
			_, a, b := met(t, plain)
			s := b.ike()
			peer := s.twin(b.w)
			request := peer.seal(wire.CreateChildSA, peer.nextID, false, peer.childWish(0x11111111), 0)
			first, again := b.deliver(s, request), b.deliver(s, request)
			if len(first) != 1 || len(again) != 1 || !bytes.Equal(first[0].sent.Payload, again[0].sent.Payload) || len(s.children) != 2 {
				t.Error(first, again, len(s.children))
			}
			_ = a
		}},
		{"RFC 7296 2.3: a request beyond the window, or before it, gets nothing and changes nothing", func(t *testing.T) {
			_, _, b := met(t, plain)
			s := b.ike()
			peer := s.twin(b.w)
			for _, id := range []uint32{peer.nextID + 1, peer.nextID + 1000, peer.nextID - 2, 0, 0xffffffff} {
				out := b.deliver(s, peer.seal(wire.Informational, id, false, wire.Payloads{&wire.Delete{Protocol: wire.ProtocolIKE}}, 0))
				if len(out) != 0 || s.phase != established {
					t.Errorf("ID %d: %v", id, out)
				}
			}
		}},
		{"RFC 7296 2.1: a response that nobody asked for changes nothing", func(t *testing.T) {
			_, _, b := met(t, plain)
			s := b.ike()
			peer := s.twin(b.w)
			for _, x := range []wire.Exchange{wire.IKEAuth, wire.CreateChildSA, wire.Informational, wire.Intermediate} {
				for id := range uint32(5) {
					out := b.deliver(s, peer.seal(x, id, true, wire.Payloads{&wire.Delete{Protocol: wire.ProtocolIKE}}, 0))
					if len(out) != 0 || s.phase != established || len(s.children) != 1 {
						t.Errorf("%v %d: %v", x, id, out)
					}
				}
			}
		}},
		{"RFC 7296 2.1: a response of another exchange than asked is not heard", func(t *testing.T) {
			w, a, _ := met(t, plain)
			s := a.ike()
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			a.call(func(env *core.Env) { s.enqueue(env, &liveness{}) })
			peer := s.twin(w)
			a.deliver(s, peer.seal(wire.CreateChildSA, s.request.id, true, nil, 0))
			if s.request == nil {
				t.Fatal("it was heard")
			}
			if a.deliver(s, peer.seal(wire.Informational, s.request.id, true, nil, 0)); s.request != nil {
				t.Error("the right one is not")
			}
		}},
		{"RFC 7296 2.5: an unknown critical payload gets UNSUPPORTED_CRITICAL_PAYLOAD, and the SA stays", func(t *testing.T) {
			w, a, b := met(t, plain)
			for _, x := range []wire.Exchange{wire.Informational, wire.CreateChildSA} {
				p, ok := b.rawAsk(b.ike(), x, 200, []byte{0, 0x80, 0, 4})
				if !ok || p.Notify(wire.UnsupportedCriticalPayload) == nil || !bytes.Equal(p.Notify(wire.UnsupportedCriticalPayload).Data, []byte{200}) {
					t.Error(x, p)
				}
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.5: an unknown payload that is not critical is passed over", func(t *testing.T) {
			w, a, b := met(t, plain)
			if p, ok := b.rawAsk(b.ike(), wire.Informational, 200, []byte{0, 0, 0, 4}); !ok || len(p) != 0 {
				t.Error(p)
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.5: the critical bit of a payload that is known is ignored", func(t *testing.T) {
			_, _, b := met(t, plain)
			if p, ok := b.rawAsk(b.ike(), wire.Informational, wire.TypeVendor, []byte{0, 0x80, 0, 5, 1}); !ok || len(p) != 0 {
				t.Error(p)
			}
		}},
		{"RFC 7296 2.21.3: an authentic request that cannot be read gets INVALID_SYNTAX and ends the SA", func(t *testing.T) {
			for name, plain := range map[string][]byte{"cut": {0, 0, 0, 40, 1}, "no length": {0, 0, 0, 0}, "a notify without a kind": {0, 0, 0, 6, 3, 4}} {
				_, _, b := met(t, func(p *Profile) { p.DPD, p.MOBIKE = 0, false })
				p, ok := b.rawAsk(b.ike(), wire.Informational, wire.TypeNotify, plain)
				if !ok || p.Notify(wire.InvalidSyntax) == nil || !b.idle() {
					t.Error(name, p)
				}
			}
		}},
		{"RFC 7296 2.21: an unknown exchange gets an error, and the SA stays", func(t *testing.T) {
			w, a, b := met(t, plain)
			for _, x := range []wire.Exchange{wire.SAInit + 100, 38, 39, 42, 45, 255} {
				p, ok := b.tryAsk(b.ike(), x)
				if !ok || p.Notify(wire.InvalidSyntax) == nil {
					t.Error(x, p)
				}
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.14: what is not authentic is dropped without an answer, whatever octet is changed", notAuthentic},
		{"RFC 7296 3.1: a message with the wrong direction or peer's SPI is not looked at", func(t *testing.T) {
			_, _, b := met(t, plain)
			s := b.ike()
			peer := s.twin(b.w)
			request := peer.seal(wire.Informational, peer.nextID, false, nil, 0)[0]
			for _, at := range []int{0, 7} { // of the initiator's SPI, which is a's
				wrong := bytes.Clone(request)
				wrong[at] ^= 1
				if out := b.deliver(s, [][]byte{wrong}); len(out) != 0 {
					t.Error(at, out)
				}
			}
			wrong := bytes.Clone(request)
			wrong[19] ^= byte(wire.Initiator)
			if out := b.deliver(s, [][]byte{wrong}); len(of(out, wire.Informational, true)) != 0 && len(out[0].sent.Payload) > 36 {
				t.Error(out)
			}
		}},
	})
}

// childWish is CREATE_CHILD_SA for one more child, without a key exchange.
func (s *sa) childWish(spi uint32, more ...wire.Payload) wire.Payloads {
	return append(append(s.offerChild(spi, false, 0, nil), &wire.Nonce{Data: bytes.Repeat([]byte{byte(spi)}, nonceLen)}), more...)
}

// sentAgain loses many messages, and compares all copies of each.
func sentAgain(t *testing.T) {
	w := newWorld(t, 5)
	short := profile(func(p *Profile) { p.ESPLifetime, p.IKELifetime, p.DPD = 20*time.Second, 50*time.Second, 5*time.Second })
	a, b := w.add("a", "192.0.2.1", short, 0), w.add("b", "192.0.2.2", short, 0)
	w.wire = func(*node, dataplane.SendIKE) []time.Duration {
		if w.rand.IntN(3) == 0 {
			return nil
		}
		return []time.Duration{10 * time.Millisecond}
	}
	all := w.tape()
	a.ensure(b)
	w.pass(5 * time.Minute)
	type key struct {
		from     *node
		spis     [2]uint64
		exchange wire.Exchange
		id       uint32
		response bool
		fragment string
	}
	seen, again := map[key][]byte{}, map[wire.Exchange]int{}
	for _, m := range *all {
		if m.header.Exchange == wire.SAInit || m.header.Next == wire.TypeNotify {
			continue // TestGreeting has the first, and the others are in clear, of an SA that is no more
		}
		k := key{m.from, [2]uint64{m.header.SPIi, m.header.SPIr}, m.header.Exchange, m.header.MessageID, m.response(), ""}
		if m.header.Next == wire.TypeFragment {
			k.fragment = string(m.sent.Payload[32:36])
		}
		if before, ok := seen[k]; ok {
			again[k.exchange]++
			if !bytes.Equal(before, m.sent.Payload) {
				t.Fatalf("%v differs", m.header)
			}
		}
		seen[k] = m.sent.Payload
	}
	for _, x := range []wire.Exchange{wire.Intermediate, wire.IKEAuth, wire.CreateChildSA, wire.Informational} {
		if again[x] == 0 {
			t.Errorf("no %v was sent again: the test shows nothing", x)
		}
	}
}

func messageIDs(t *testing.T) {
	w, a, b := duo(t)
	all := w.tape()
	a.ensure(b)
	w.pass(5 * time.Minute)
	for range 3 {
		b.call(func(env *core.Env) { b.ike().enqueue(env, &liveness{}) })
		w.pass(time.Second)
	}
	want := map[wire.Exchange]uint32{wire.SAInit: 0, wire.Intermediate: 1, wire.IKEAuth: 2}
	next := map[*node]uint32{a: 3, b: 0}
	for _, m := range *all {
		if id, ok := want[m.header.Exchange]; ok && m.header.MessageID != id {
			t.Errorf("%v", m.header)
		} else if !ok && !m.response() {
			if m.header.MessageID != next[m.from] {
				t.Fatalf("%v, want %d", m.header, next[m.from])
			}
			next[m.from]++
		}
	}
	if next[a] == 3 || next[b] == 0 {
		t.Error("nobody asked anything: the test shows nothing", next)
	}
}

// oneAtATime has an end want many things at once.
func oneAtATime(t *testing.T) {
	w, a, b := met(t, plain)
	waiting, asked := map[uint64]uint32{}, 0
	w.seen = func(n *node, d dataplane.SendIKE) {
		h, _ := wire.ParseHeader(d.Payload)
		switch id, busy := waiting[h.SPIi]; {
		case n == a && h.Flags&wire.Response == 0:
			if asked++; busy {
				t.Errorf("request %d while %d waits", h.MessageID, id)
			}
			waiting[h.SPIi] = h.MessageID
		case n == b && h.Flags&wire.Response != 0:
			delete(waiting, h.SPIi)
		}
	}
	a.call(func(env *core.Env) {
		s := a.ike()
		s.children[0].rekey(env)
		for range 5 {
			s.enqueue(env, &liveness{})
		}
		s.rekey(env)
	})
	w.pass(5 * time.Second)
	w.mustPass(a, b)
	if asked < 8 {
		t.Errorf("only %d requests: the test shows nothing", asked)
	}
}

// notAuthentic changes each octet of a request that would end the SA.
func notAuthentic(t *testing.T) {
	for _, policy := range []string{"aes256gcm-sha384-x25519", "aes256-sha256-x25519", "chacha20poly1305-sha256-x25519"} {
		w, a, b := met(t, plain, func(p *Profile) { p.IKE = ikes(policy) })
		s := b.ike()
		peer := s.twin(w)
		request := peer.seal(wire.Informational, peer.nextID, false, wire.Payloads{&wire.Delete{Protocol: wire.ProtocolIKE}}, 0)[0]
		before := s.expect
		for i := wire.HeaderLen; i < len(request); i++ {
			wrong := bytes.Clone(request)
			wrong[i] ^= 0x40
			if out := b.inject(s.remote, s.local.Port(), wrong); len(out) != 0 || s.phase != established || s.expect != before {
				t.Fatalf("%s: octet %d: %v", policy, i, out)
			}
		}
		for i := wire.HeaderLen; i < len(request); i++ {
			short := bytes.Clone(request[:i])
			binary.BigEndian.PutUint32(short[24:], uint32(i))
			if out := b.inject(s.remote, s.local.Port(), short); len(out) != 0 || s.phase != established {
				t.Fatalf("%s: cut to %d: %v", policy, i, out)
			}
		}
		w.mustPass(a, b)
	}
}

// TestBeforeAuthentication is what somebody can do who has the keys of IKE_SA_INIT and has proved nothing.
func TestBeforeAuthentication(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 1.2: nothing but IKE_AUTH is heard before the peer has proved itself", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			for _, x := range []wire.Exchange{wire.CreateChildSA, wire.Informational, wire.Intermediate, wire.FollowupKE, 99} {
				for _, p := range []wire.Payloads{nil, {&wire.Delete{Protocol: wire.ProtocolIKE}}, {&wire.Notify{Kind: wire.AuthenticationFailed}}, {&wire.Notify{Kind: wire.UpdateSAAddresses}}} {
					peer := s.twin(n.w)
					if out := n.deliver(s, peer.seal(x, s.expect, false, p, 0)); len(out) != 0 || s.phase != authenticating {
						t.Fatal(x, p, out)
					}
				}
			}
			answer := n.ask(s, wire.IKEAuth, s.twin(n.w).proofBy(rightPSK, "198.51.0.1")...)
			if s.phase != established || wire.Get[*wire.Auth](answer) == nil || len(n.ups) != 1 {
				t.Error("the proof afterwards is not taken", answer, n.logs)
			}
		}},
		{"RFC 7296 2.21.2: a wrong proof gets AUTHENTICATION_FAILED alone, and nothing is left", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			answer := n.ask(s, wire.IKEAuth, s.twin(n.w).proofBy("wrong", "198.51.0.1")...)
			wantKinds(t, answer, wire.AuthenticationFailed)
			if len(answer) != 1 || !n.idle() || len(n.ups) != 0 {
				t.Error(answer)
			}
		}},
		{"RFC 7296 2.21.2: no proof, no identity, or EAP gets AUTHENTICATION_FAILED alone", func(t *testing.T) {
			for drop := range 2 {
				n := alone(t, plain)
				s := halfOpen(t, n, newStranger(1))
				p := s.twin(n.w).proofBy(rightPSK, "198.51.0.1")
				answer := n.ask(s, wire.IKEAuth, append(p[:drop:drop], p[drop+1:]...)...)
				if wantKinds(t, answer, wire.AuthenticationFailed); !n.idle() {
					t.Error(drop)
				}
			}
		}},
		{"RFC 7296 1.2: a second IKE_AUTH on an established SA gets an error and changes nothing", func(t *testing.T) {
			w, a, b := met(t, plain)
			s := b.ike()
			id, children := s.identity, len(s.children)
			p := wire.Payloads{&wire.ID{Initiator: true, IDType: 2, Data: []byte("mallory.example.com")}, &wire.Auth{Method: methodPSK, Data: make([]byte, 48)}}
			answer := b.ask(s, wire.IKEAuth, append(p, s.twin(w).offerChild(5, false, 0, nil)...)...)
			wantKinds(t, answer, wire.InvalidSyntax)
			if s.identity != id || len(s.children) != children || s.phase != established {
				t.Error(s.identity)
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.15: IKE_AUTH with another SA's keys is not authentic", func(t *testing.T) {
			n := alone(t, plain)
			one, two := halfOpen(t, n, newStranger(1)), halfOpen(t, n, newStranger(2))
			mixed := one.twin(n.w)
			mixed.keys = two.keys.Clone()
			if out := n.deliver(one, mixed.seal(wire.IKEAuth, 1, false, mixed.proofBy(rightPSK, "198.51.0.1"), 0)); len(out) != 0 || one.phase != authenticating {
				t.Error(out)
			}
		}},
		{"RFC 7296 2.15: a proof from another SA is refused", func(t *testing.T) {
			n := alone(t, plain)
			one, two := halfOpen(t, n, newStranger(1)), halfOpen(t, n, newStranger(2))
			answer := n.ask(two, wire.IKEAuth, one.twin(n.w).proofBy(rightPSK, "198.51.0.1")...)
			wantKinds(t, answer, wire.AuthenticationFailed)
		}},
		{"RFC 7296 2.15: our own proof sent back is refused", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			peer := s.twin(n.w)
			p := peer.proofBy(rightPSK, "192.0.2.2")
			own := s.ownIdentity()
			claim := &wire.ID{IDType: own.Kind, Data: []byte(own.Data)}
			p[1].(*wire.Auth).Data = auth.PSKAuth(s.suite.PRF, []byte(rightPSK), s.signed(false, claim))
			wantKinds(t, n.ask(s, wire.IKEAuth, p...), wire.AuthenticationFailed)
		}},
		{"RFC 7296 2.15: an initiator tells a responder that cannot prove itself, and has no SA", func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", "192.0.2.1", profile(plain, func(p *Profile) { p.Peers = nil }), 0)
			b := w.add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.Local = identity("b.example.com") }), 0)
			a.module.profiles["corp"].Peers = patterns("a.example.com")
			all := w.tape()
			a.ensure(b)
			w.pass(500 * time.Millisecond)
			if len(a.ups) != 0 || len(a.in)+len(a.out) != 0 || len(of(*all, wire.Informational, false)) == 0 || len(b.module.sas) != 0 {
				t.Error(a.logs, b.logs, len(b.module.sas))
			}
		}},
	})
}

// TestInformational is about Delete, liveness, and what others say.
func TestInformational(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 1.4: an empty request gets an empty answer", func(t *testing.T) {
			_, _, b := met(t, plain)
			if p := b.ask(b.ike(), wire.Informational); len(p) != 0 {
				t.Error(p)
			}
		}},
		{"RFC 7296 1.4.1: Delete of a child is answered with the other half, once", func(t *testing.T) {
			w, a, b := met(t, plain)
			c := b.child()
			p := b.ask(b.ike(), wire.Informational, deletion(c.peerSPI))
			d := wire.Get[*wire.Delete](p)
			if d == nil || d.Protocol != wire.ProtocolESP || len(d.SPIs) != 1 || binary.BigEndian.Uint32(d.SPIs[0]) != c.spi || len(b.out) != 0 {
				t.Error(p)
			}
			if p := b.ask(b.ike(), wire.Informational, deletion(c.peerSPI)); len(p) != 0 {
				t.Error("again", p)
			}
			if w.pass(2 * drainTime); len(b.in) != 0 {
				t.Error("the inbound SA stays")
			}
			_ = a
		}},
		{"RFC 7296 1.4.1: Delete of a child that is not known, or of AH, gets an empty answer", func(t *testing.T) {
			w, a, b := met(t, plain)
			c := b.child()
			ah := &wire.Delete{Protocol: wire.ProtocolAH, SPIs: [][]byte{binary.BigEndian.AppendUint32(nil, c.peerSPI)}}
			for _, d := range []*wire.Delete{deletion(c.spi), deletion(0), deletion(0xffffffff), ah} {
				if p := b.ask(b.ike(), wire.Informational, d); len(p) != 0 {
					t.Error(d, p)
				}
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 1.4.1: Delete of the IKE SA gets an empty answer, and all children go", func(t *testing.T) {
			_, _, b := met(t, plain)
			if p := b.ask(b.ike(), wire.Informational, &wire.Delete{Protocol: wire.ProtocolIKE}); len(p) != 0 || !b.idle() || len(b.downs) != 1 || !b.downs[0].Closed {
				t.Error(p, b.downs)
			}
		}},
		{"RFC 7296 1.4.1: the IKE SA that nobody here needs any more is deleted once the peer does not use it", func(t *testing.T) {
			w, a, b := met(t, plain)
			a.release(b)
			for range 60 {
				if w.pass(time.Second); !w.data(b, a) {
					t.Fatal("what the peer sends is lost", w.now, a.logs)
				}
			}
			if w.pass(4 * lingerTime); !a.idle() || !b.idle() || len(b.downs) != 1 || !b.downs[0].Closed {
				t.Error(a.logs, b.downs)
			}
		}},
		{"RFC 7296 1.4.1: the IKE SA that is needed again meanwhile stays", func(t *testing.T) {
			w, a, b := met(t, plain)
			a.release(b)
			w.pass(lingerTime / 2)
			a.ensure(b)
			if w.pass(4 * lingerTime); a.idle() || len(b.downs) != 0 {
				t.Error(a.logs, b.downs)
			}
		}},
		{"RFC 7296 1.4.1: Delete of the last child is no failure either, a peer that is silent is one", func(t *testing.T) {
			w, a, b := met(t, plain)
			a.call(func(env *core.Env) { a.child().close(env, "test") })
			w.pass(3 * time.Second)
			if len(b.downs) != 1 || !b.downs[0].Closed || a.downs[0].Closed {
				t.Error(a.downs, b.downs)
			}
			w, a, b = met(t, func(p *Profile) { p.DPD = 5 * time.Second })
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			w.pass(2 * time.Minute)
			if len(b.downs) != 1 || b.downs[0].Closed {
				t.Error(b.downs)
			}
		}},
		{"RFC 7296 1.4.1: both ends delete the IKE SA at once", func(t *testing.T) {
			w, a, b := met(t, plain)
			for _, n := range []*node{a, b} {
				n.call(func(env *core.Env) { n.ike().close(env, "test") })
			}
			a.release(b)
			if w.pass(10 * time.Second); !a.idle() || !b.idle() {
				t.Error(a.logs, b.logs)
			}
		}},
		{"RFC 7296 1.4.1: both ends delete a child at once, and a new one is made", func(t *testing.T) {
			w, a, b := met(t, plain)
			for _, n := range []*node{a, b} {
				n.call(func(env *core.Env) { n.child().close(env, "test") })
			}
			w.pass(10 * time.Second)
			w.mustPass(a, b)
			if len(a.ike().children) != 1 || len(b.ike().children) != 1 {
				t.Errorf("%d and %d children", len(a.ike().children), len(b.ike().children))
			}
		}},
		{"RFC 7296 2.4: a silent peer is asked, and one that sends traffic is not", func(t *testing.T) {
			w, a, b := met(t, func(p *Profile) { p.DPD = 10 * time.Second })
			all := w.tape()
			for range 60 {
				w.pass(time.Second)
				w.mustPass(a, b)
			}
			if len(*all) != 0 {
				t.Errorf("%d messages with traffic", len(*all))
			}
			if w.pass(time.Minute); len(of(*all, wire.Informational, false)) < 4 {
				t.Errorf("%d messages without", len(*all))
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.4: a dead peer is found, its SAs go, and it is tried again", func(t *testing.T) {
			w, a, b := met(t, func(p *Profile) { p.DPD = 10 * time.Second })
			wire := w.wire
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			w.pass(2 * time.Minute)
			if len(a.out)+len(a.in)+len(b.out)+len(b.in) != 0 || len(a.downs) != 1 || len(b.downs) != 1 {
				t.Fatal(a.downs, b.downs)
			}
			w.wire = wire
			w.pass(30 * time.Second)
			w.mustPass(a, b)
		}},
		{"RFC 7296 2.4: a line that is whole again before a request is given up costs no SA", func(t *testing.T) {
			w, a, b := met(t, plain)
			before, wire := a.ike(), w.wire
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			a.call(func(env *core.Env) { a.ike().doubt(env) })
			w.pass(2500 * time.Millisecond) // the last retransmission was after 1.75 s, and the end is after 3.75
			w.wire = wire
			for range 200 {
				w.pass(50 * time.Millisecond)
				w.mustPass(b, a)
			}
			if a.ike() != before || len(a.downs)+len(b.downs) != 0 || a.counted("spared") != 1 {
				t.Error(a.logs, a.module.Counters())
			}
		}},
		{"RFC 7296 2.4: who sends traffic and answers nothing is given up, later", func(t *testing.T) {
			w, a, b := met(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			a.call(func(env *core.Env) { a.ike().doubt(env) })
			for n := range 100 {
				if w.pass(100 * time.Millisecond); len(a.downs) > 0 {
					if n < 60 || a.counted("spared") != 1 {
						t.Errorf("down after %d s/10: %v", n, a.logs)
					}
					return
				}
				w.mustPass(b, a)
			}
			t.Error("for ever", a.logs)
		}},
		{"RFC 7296 2.4: nothing in clear ends an SA, whoever sends it", clearHints},
		{"RFC 7296 2.4: a hint that the peer forgot us has it asked, quickly, and met anew", func(t *testing.T) {
			w, a, b := met(t, func(p *Profile) { p.DPD = 0 })
			b.boot(b.module.profiles["corp"], 0)
			w.data(a, b) // b says INVALID_SPI
			w.pass(10 * time.Second)
			w.mustPass(a, b)
			if a.counted("hints") != 1 {
				t.Error(a.module.Counters())
			}
		}},
		{"RFC 7296 1.5: ESP of an unknown SPI has INVALID_SPI sent, in clear and one way; with a known peer it does not", func(t *testing.T) {
			w, a, b := met(t, plain)
			all := w.tape()
			b.post(dataplane.UnknownSPI{Local: b.out[b.child().sa.peer.handle].to, Remote: b.child().sa.peer.to, SPI: 99})
			if b.run(); len(*all) != 0 {
				t.Error(*all)
			}
			b.post(dataplane.UnknownSPI{Local: netip.AddrPortFrom(b.addr, 0), Remote: netip.MustParseAddrPort("203.0.113.7:0"), SPI: 99})
			b.run()
			if n := only(t, *all); n.Kind != wire.InvalidSPI || (*all)[0].response() {
				t.Error(n)
			}
			_ = a
		}},
		{"RFC 4555 3.7: COOKIE2 comes back", func(t *testing.T) {
			_, _, b := met(t)
			p := b.ask(b.ike(), wire.Informational, &wire.Notify{Kind: wire.Cookie2, Data: []byte("twelve octets")})
			if n := p.Notify(wire.Cookie2); n == nil || string(n.Data) != "twelve octets" {
				t.Error(p)
			}
		}},
	})
}

// clearHints sends INVALID_SPI, INVALID_IKE_SPI, AUTHENTICATION_FAILED and Delete in clear, with the right SPIs.
func clearHints(t *testing.T) {
	w, a, b := met(t, plain)
	w.wire = func(n *node, _ dataplane.SendIKE) []time.Duration { return []time.Duration{time.Millisecond} }
	s := a.ike()
	for _, p := range []wire.Payload{
		&wire.Notify{Kind: wire.InvalidIKESPI}, &wire.Notify{Kind: wire.InvalidSPI, Data: make([]byte, 4)}, &wire.Notify{Kind: wire.AuthenticationFailed},
		&wire.Notify{Kind: wire.InvalidSyntax}, &wire.Delete{Protocol: wire.ProtocolIKE}, deletion(s.children[0].peerSPI),
	} {
		for id := range uint32(4) {
			for _, f := range []wire.Flags{0, wire.Response} {
				for _, x := range []wire.Exchange{wire.Informational, wire.IKEAuth, wire.CreateChildSA, wire.SAInit} {
					h := wire.Header{SPIi: s.spi, SPIr: s.peerSPI, Exchange: x, MessageID: id, Flags: f}
					a.inject(s.remote, s.local.Port(), wire.AppendMessage(nil, h, wire.Payloads{p}))
					if s.phase != established || len(s.children) != 1 || len(a.out) != 1 {
						t.Fatal(p, h)
					}
				}
			}
		}
	}
	w.pass(time.Minute)
	if a.counted("hints") > 1 {
		t.Errorf("%d hints were followed", a.counted("hints"))
	}
	if !linked(a, b) || len(a.downs)+len(b.downs) != 0 {
		t.Error(a.logs, b.logs)
	}
}

// TestInitialContact is RFC 7296 section 2.4's INITIAL_CONTACT.
func TestInitialContact(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 2.4: INITIAL_CONTACT is sent with the first SA, and not with the next", func(t *testing.T) {
			w, a, b := duo(t, plain)
			said := contactSaid(w, a)
			a.ensure(b)
			w.pass(2 * time.Second)
			a.call(func(env *core.Env) { w.nodes[a.addr].again(env, b) })
			w.pass(5 * time.Second)
			w.mustPass(a, b)
			if fmt.Sprint(*said) != "[true false]" {
				t.Error(*said)
			}
		}},
		{"RFC 7296 2.4: a peer that began anew has its old SAs forgotten at once", func(t *testing.T) {
			w, a, b := met(t, plain)
			old := b.ike()
			a.boot(a.module.profiles["corp"], 0)
			a.ensure(b)
			w.pass(500 * time.Millisecond)
			w.mustPass(a, b)
			if old.phase != gone || len(b.module.sas) != 1 || len(b.module.peers) != 1 {
				t.Error(b.logs)
			}
		}},
		{"RFC 7296 2.4: INITIAL_CONTACT of one identity leaves the SAs of others at its address", func(t *testing.T) {
			n := alone(t, plain)
			one, two := newStranger(1), newStranger(2)
			two.from = netip.AddrPortFrom(one.from.Addr(), 4501)
			contact := &wire.Notify{Kind: wire.InitialContact}
			s := halfOpen(t, n, one)
			n.ask(s, wire.IKEAuth, append(s.twin(n.w).proofBy(rightPSK, "one.example.com"), contact)...)
			o := halfOpen(t, n, two)
			n.ask(o, wire.IKEAuth, append(o.twin(n.w).proofBy(rightPSK, "two.example.com"), contact)...)
			if s.phase != established || o.phase != established || len(n.ups) != 2 {
				t.Error(s.phase, o.phase, n.logs)
			}
		}},
		{"RFC 7296 2.4: INITIAL_CONTACT of one identity at another address, as of two sites with one private address, leaves it", func(t *testing.T) {
			n := alone(t, plain)
			contact := &wire.Notify{Kind: wire.InitialContact}
			var all []*sa
			for i := range 3 {
				s := halfOpen(t, n, newStranger(i))
				n.ask(s, wire.IKEAuth, append(s.twin(n.w).proofBy(rightPSK, "10.0.0.1"), contact)...)
				all = append(all, s)
			}
			for i, s := range all {
				if s.phase != established {
					t.Errorf("site %d: %v", i, s.phase)
				}
			}
		}},
		{"RFC 7296 2.4: INITIAL_CONTACT without a proof is worth nothing", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			n.ask(s, wire.IKEAuth, s.twin(n.w).proofBy(rightPSK, "198.51.0.1")...)
			o := newStranger(1)
			o.spi++
			bad := halfOpen(t, n, o)
			n.ask(bad, wire.IKEAuth, append(bad.twin(n.w).proofBy("wrong", "198.51.0.1"), &wire.Notify{Kind: wire.InitialContact})...)
			if s.phase != established || len(n.downs) != 0 {
				t.Error(n.logs)
			}
		}},
		{"RFC 7296 2.4: INITIAL_CONTACT outside IKE_AUTH is worth nothing", func(t *testing.T) {
			w, a, b := met(t, plain)
			b.ask(b.ike(), wire.Informational, &wire.Notify{Kind: wire.InitialContact})
			w.mustPass(a, b)
		}},
	})
}

// contactSaid tells of each IKE_AUTH request of n whether it has INITIAL_CONTACT.
func contactSaid(w *world, n *node) *[]bool {
	var said []bool
	w.seen = func(from *node, d dataplane.SendIKE) {
		if h, _ := wire.ParseHeader(d.Payload); from == n && h.Exchange == wire.IKEAuth && h.Flags&wire.Response == 0 {
			s := n.module.sas[h.SPIi]
			said = append(said, s.twin(w).read(w.t, d.Payload).Notify(wire.InitialContact) != nil)
		}
	}
	return &said
}

// again begins another IKE SA with a peer that is there.
func (n *node) again(env *core.Env, to *node) {
	w := n.module.wants[pair{n.addr, to.addr}]
	w.attempt(env)
}
