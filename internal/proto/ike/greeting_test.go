package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// alone is one router that strangers knock at.
func alone(t *testing.T, change ...func(*Profile)) *node {
	return newWorld(t, 3).add("b", "192.0.2.2", profile(change...), 0)
}

// crowd has strangers begin until cookies are asked for.
func crowd(t *testing.T, n *node) {
	for i := range calm {
		if out := newStranger(1000+i).knock(n, newStranger(1000+i).hello()); len(out) != 1 {
			t.Fatalf("stranger %d got %d answers", i, len(out))
		}
	}
}

// only is the one payload that a message has.
func only(t *testing.T, out []message) *wire.Notify {
	t.Helper()
	if len(out) != 1 {
		t.Fatalf("%d answers", len(out))
	}
	p := out[0].clear(t)
	if n := wire.Get[*wire.Notify](p); len(p) == 1 && n != nil {
		return n
	}
	t.Fatalf("the answer is %v", p)
	return nil
}

// TestGreeting is IKE_SA_INIT at the responder, before anything is authentic.
func TestGreeting(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 1.2: a group other than the best common one gets INVALID_KE_PAYLOAD with it, and no state", func(t *testing.T) {
			n, s := alone(t, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-p256") }), newStranger(1)
			s.profile.IKE = ikes("aes256gcm-sha384-x25519-p256")
			got := only(t, s.knock(n, s.hello()))
			if g, ok := got.Group(); !ok || g != uint16(suite.P256) || len(n.module.sas) != 0 {
				t.Errorf("%v with %d SAs", got, len(n.module.sas))
			}
		}},
		{"RFC 7296 2.5: a later major version gets INVALID_MAJOR_VERSION with ours, and no state", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			b := wire.AppendMessage(nil, s.header(), s.hello())
			b[17] = 0x30
			got := n.inject(s.from, 500, b)
			p := only(t, got)
			if p.Kind != wire.InvalidMajorVersion || !bytes.Equal(p.Data, []byte{2}) || got[0].header.Major != 2 || len(n.module.sas) != 0 {
				t.Error(p)
			}
			if b[19] |= byte(wire.Response); len(n.inject(s.from, 500, b)) != 0 {
				t.Error("a response of a later version is answered")
			}
		}},
		{"RFC 7296 2.5: a later minor version is taken as ours", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			b := wire.AppendMessage(nil, s.header(), s.hello())
			b[17] = 0x2f
			if out := n.inject(s.from, 500, b); len(out) != 1 || wire.Get[*wire.SA](out[0].clear(t)) == nil {
				t.Error(out)
			}
		}},
		{"RFC 7296 2.5: an unknown critical payload gets UNSUPPORTED_CRITICAL_PAYLOAD with its type", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			b := wire.AppendMessage(nil, s.header(), s.hello(&wire.Vendor{Data: []byte("x")}))
			got := only(t, n.inject(s.from, 500, strangerPayload(b, 200, 0x80)))
			if kind, ok := got.Critical(); !ok || kind != 200 || len(n.module.sas) != 0 {
				t.Error(got)
			}
		}},
		{"RFC 7296 2.5: an unknown payload that is not critical is passed over", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			b := wire.AppendMessage(nil, s.header(), s.hello(&wire.Vendor{Data: []byte("x")}))
			if out := n.inject(s.from, 500, strangerPayload(b, 200, 0)); len(out) != 1 || wire.Get[*wire.SA](out[0].clear(t)) == nil {
				t.Error(out)
			}
		}},
		{"RFC 7296 2.5: reserved bits of the flags are ignored, and ours are zero", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			b := wire.AppendMessage(nil, s.header(), s.hello())
			b[19] |= 0xc7
			out := n.inject(s.from, 500, b)
			if len(out) != 1 || out[0].header.Flags != wire.Response {
				t.Error(out)
			}
		}},
		{"RFC 7296 3.3: an offer without anything in common gets NO_PROPOSAL_CHOSEN, and no state", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			s.profile.IKE = ikes("aes128-sha1-modp1024")
			if got := only(t, s.knock(n, s.hello())); got.Kind != wire.NoProposalChosen || len(n.module.sas) != 0 {
				t.Error(got)
			}
			if why := n.module.Why(s.from.Addr(), 0); len(why) != 1 || why[0].State != "failed" {
				t.Error(why)
			}
		}},
		{"RFC 7296 3.3: no IKE proposal has a transform of type 5", func(t *testing.T) {
			for _, p := range suite.OfferIKE(suite.DefaultIKE(), nil).Proposals {
				if slices.ContainsFunc(p.Transforms, func(x wire.Transform) bool { return x.Type == wire.TransformESN }) {
					t.Error(p)
				}
			}
		}},
		{"RFC 7296 3.1: a first message has message ID 0 and an SPI of the initiator", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			h := s.header()
			h.MessageID = 1
			zero := s.header()
			zero.SPIi = 0
			for _, h := range []wire.Header{h, zero} {
				if out := n.inject(s.from, 500, wire.AppendMessage(nil, h, s.hello())); len(out)+len(n.module.sas) != 0 {
					t.Error(h, out)
				}
			}
		}},
		{"RFC 7296 3.9: a nonce shorter than 16 octets is refused", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			s.nonce = s.nonce[:15]
			if out := s.knock(n, s.hello()); len(out) == 1 && only(t, out).Kind != wire.InvalidSyntax || len(n.module.sas) != 0 {
				t.Error(out)
			}
		}},
		{"RFC 7296 2.10: our nonces have at least half the key of the PRF, and are new for each SA", func(t *testing.T) {
			n := alone(t)
			seen := map[string]bool{}
			for i := range 20 {
				s := newStranger(i)
				nonce := wire.Get[*wire.Nonce](s.knock(n, s.hello())[0].clear(t)).Data
				if len(nonce) < suite.PRFHMACSHA512.Size()/2 || seen[string(nonce)] {
					t.Errorf("%x", nonce)
				}
				seen[string(nonce)] = true
			}
		}},
		{"RFC 7296 2.1: the same first message again gets the same octets again, a changed one nothing", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			first, again := s.knock(n, s.hello()), s.knock(n, s.hello())
			if len(first) != 1 || len(again) != 1 || !bytes.Equal(first[0].sent.Payload, again[0].sent.Payload) || len(n.module.sas) != 1 {
				t.Error(first, again)
			}
			if out := s.knock(n, s.hello(&wire.Vendor{Data: []byte("other")})); len(out) != 0 || len(n.module.sas) != 1 {
				t.Error(out)
			}
		}},
		{"RFC 7296 2.1: a responder sends nothing unasked", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			s.knock(n, s.hello())
			all := n.w.tape()
			n.w.pass(5 * time.Minute)
			if len(*all) != 0 {
				t.Error(*all)
			}
		}},
		{"RFC 7296 2.4: a half-open SA ends by itself", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			s.knock(n, s.hello())
			if n.w.pass(halfOpenTime / 2); len(n.module.begun) != 1 {
				t.Fatal("it ended early")
			}
			if n.w.pass(halfOpenTime); !n.idle() {
				t.Errorf("%d SAs are left", len(n.module.sas))
			}
		}},
		{"RFC 7296 2.6: with many half-open SAs a stranger gets a COOKIE, and no state", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			crowd(t, n)
			got := only(t, s.knock(n, s.hello()))
			cookie, ok := got.Cookie()
			if !ok || len(n.module.sas) != calm {
				t.Fatal(got, len(n.module.sas))
			}
			if out := s.knock(n, slices.Concat(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: cookie}}, s.hello())); len(out) != 1 ||
				wire.Get[*wire.SA](out[0].clear(t)) == nil {
				t.Error("the right cookie is refused")
			}
		}},
		{"RFC 7296 2.6: many from one address get a COOKIE, and others do not", func(t *testing.T) {
			n := alone(t)
			for i := range calmAddress {
				s := newStranger(1)
				s.spi += uint64(100 * i)
				s.knock(n, s.hello())
			}
			s := newStranger(1)
			s.spi = 9
			if got := only(t, s.knock(n, s.hello())); got.Kind != wire.Cookie {
				t.Error(got)
			}
			if o := newStranger(2); wire.Get[*wire.SA](o.knock(n, o.hello())[0].clear(t)) == nil {
				t.Error("another address has to show a cookie")
			}
		}},
		{"RFC 7296 2.6: a cookie is of one address, port, SPI and nonce", wrongCookies},
		{"RFC 7296 2.6: a cookie outlives one change of the secret, and not two", oldCookies},
		{"RFC 7296 2.6: what a stranger may be refused for costs no cookie check more than a hash", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			crowd(t, n)
			before := n.module.working
			s.knock(n, slices.Concat(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: bytes.Repeat([]byte{1}, 64)}}, s.hello()))
			if n.module.working != before || len(n.module.sas) != calm {
				t.Error("arithmetic was begun for a wrong cookie")
			}
		}},
		{"RFC 7296 2.21.1: a first message without SA, KE or nonce gets INVALID_SYNTAX, and no state", func(t *testing.T) {
			for i := range 3 {
				n, s := alone(t), newStranger(1)
				p := slices.Delete(s.hello(), i, i+1)
				if got := only(t, s.knock(n, p)); got.Kind != wire.InvalidSyntax || len(n.module.sas) != 0 {
					t.Error(i, got)
				}
			}
		}},
		{"RFC 7296 2.21.4: a request of an unknown SA gets INVALID_IKE_SPI with its SPIs and ID, a response nothing", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			h := wire.Header{SPIi: 5, SPIr: 6, Exchange: wire.Informational, Flags: wire.Initiator, MessageID: 77, Next: wire.TypeEncrypted}
			b := wire.AppendEncryptedStart(nil, h, 0, 32)
			out := n.inject(s.from, 500, append(b, make([]byte, 32)...))
			if got := only(t, out); got.Kind != wire.InvalidIKESPI || out[0].header.MessageID != 77 || out[0].header.SPIi != 5 || out[0].header.SPIr != 6 {
				t.Error(out)
			}
			h.Flags |= wire.Response
			b = wire.AppendEncryptedStart(nil, h, 0, 32)
			if out := n.inject(s.from, 500, append(b, make([]byte, 32)...)); len(out) != 0 {
				t.Error(out)
			}
		}},
		{"RFC 9395 3: IKEv1 gets nothing, in any exchange", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			for exchange := range 256 {
				b := wire.AppendMessage(nil, s.header(), s.hello())
				b[17], b[18] = 0x10, byte(exchange)
				if out := n.inject(s.from, 500, b); len(out) != 0 || len(n.module.sas) != 0 {
					t.Fatal(exchange, out)
				}
			}
			if n.counted("ikev1") != 256 {
				t.Error(n.module.Counters())
			}
		}},
		{"RFC 7296 3.1: exchanges of no known type from a stranger get no state", func(t *testing.T) {
			n, s := alone(t), newStranger(1)
			for exchange := range 256 {
				h := s.header()
				if h.Exchange = wire.Exchange(exchange); h.Exchange != wire.SAInit {
					n.inject(s.from, 500, wire.AppendMessage(nil, h, s.hello()))
				}
			}
			if len(n.module.sas) != 0 {
				t.Error(len(n.module.sas))
			}
		}},
		{"RFC 7296 2.6: half-open SAs are bounded, and go", func(t *testing.T) {
			n := alone(t)
			n.module.begun = map[beginning]*sa{}
			filled := 0
			for i := range maxHalfOpen {
				n.module.begun[beginning{netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}), 500), 1}] = &sa{}
				filled++
			}
			s := newStranger(1)
			cookie, _ := only(t, s.knock(n, s.hello())).Cookie()
			out := s.knock(n, slices.Concat(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: cookie}}, s.hello()))
			if len(out) != 0 || len(n.module.begun) != filled || n.counted("half-open-limit") != 1 {
				t.Error(len(out), n.module.Counters())
			}
		}},
	})
}

// strangerPayload makes a payload of a kind that nobody knows of the last, a vendor's.
func strangerPayload(b []byte, kind, flags byte) []byte {
	at := len(b) - 5
	prev := wire.HeaderLen
	for next := prev; next != at; {
		prev, next = next, next+int(b[next+2])<<8+int(b[next+3])
	}
	b[prev], b[at+1] = kind, flags
	return b
}

func wrongCookies(t *testing.T) {
	n, s := alone(t), newStranger(1)
	crowd(t, n)
	cookie, _ := only(t, s.knock(n, s.hello())).Cookie()
	for name, change := range map[string]func(*stranger){
		"address": func(s *stranger) { s.from = netip.MustParseAddrPort("203.0.113.9:500") },
		"port":    func(s *stranger) { s.from = netip.AddrPortFrom(s.from.Addr(), 501) },
		"SPI":     func(s *stranger) { s.spi++ },
		"nonce":   func(s *stranger) { s.nonce = bytes.Repeat([]byte{9}, 32) },
	} {
		o := newStranger(1)
		change(o)
		got := only(t, o.knock(n, slices.Concat(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: cookie}}, o.hello())))
		if got.Kind != wire.Cookie || bytes.Equal(got.Data, cookie) {
			t.Errorf("another %s: %v", name, got)
		}
	}
	for i := range cookie {
		wrong := slices.Clone(cookie)
		wrong[i] ^= 1
		got := s.knock(n, slices.Concat(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: wrong}}, s.hello()))
		if only(t, got).Kind != wire.Cookie {
			t.Errorf("octet %d changed: %v", i, got)
		}
	}
}

func oldCookies(t *testing.T) {
	for _, x := range []struct {
		age   time.Duration
		valid bool
	}{{cookieLife - 1, true}, {cookieLife + 1, true}, {2*cookieLife - 1, true}, {2*cookieLife + 1, false}, {10 * cookieLife, false}} {
		n, s := alone(t), newStranger(1)
		cookie := n.module.jar.cookie(1, s.from, s.spi, s.nonce)
		// Time goes in steps, as cookies are asked for.
		for at := time.Duration(1); at < x.age; at += cookieLife / 3 {
			n.module.jar.turn(at)
		}
		if got := n.module.jar.valid(x.age+1, s.from, s.spi, s.nonce, &wire.Notify{Kind: wire.Cookie, Data: cookie}); got != x.valid {
			t.Errorf("after %v: %v", x.age, got)
		}
	}
}

// TestGreetingOfInitiators is IKE_SA_INIT at the initiator.
func TestGreetingOfInitiators(t *testing.T) {
	play(t, []rule{
		{"RFC 7296 1.2: INVALID_KE_PAYLOAD is followed with the group wanted, same SPI and nonce, and all proposals again", func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", "192.0.2.1", profile(plain, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-x25519-p384") }), 0)
			b := w.add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-p384") }), 0)
			all := w.tape()
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
			init := of(*all, wire.SAInit, false)
			first, second := init[0].clear(t), init[1].clear(t)
			if wire.Get[*wire.KE](first).Group != uint16(suite.X25519) || wire.Get[*wire.KE](second).Group != uint16(suite.P384) ||
				init[0].header.SPIi != init[1].header.SPIi || !bytes.Equal(wire.Get[*wire.Nonce](first).Data, wire.Get[*wire.Nonce](second).Data) ||
				wire.Get[*wire.SA](first).String() != wire.Get[*wire.SA](second).String() {
				t.Error(first, second)
			}
		}},
		{"RFC 7296 2.6: a COOKIE is sent back first, all else as before", func(t *testing.T) {
			w, a, b := duo(t, plain)
			crowd(t, b)
			all := w.tape()
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
			init := of(*all, wire.SAInit, false)
			first, second := init[0].clear(t), init[1].clear(t)
			if n, ok := second[0].(*wire.Notify); !ok || n.Kind != wire.Cookie {
				t.Fatal(second)
			}
			if !bytes.Equal(wire.AppendPayloads(nil, first), wire.AppendPayloads(nil, second[1:])) {
				t.Error(first, second)
			}
		}},
		{"RFC 7296 2.6.1: a COOKIE, then INVALID_KE_PAYLOAD, then the cookie again", func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", "192.0.2.1", profile(plain, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-x25519-p384") }), 0)
			b := w.add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-p384") }), 0)
			for i := range calm {
				s := newStranger(i)
				s.profile, s.group = b.module.profiles["corp"], suite.P384
				_, s.public, _ = s.group.Initiate(seeded(make([]byte, 32)))
				s.knock(b, s.hello())
			}
			all := w.tape()
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
			if init := of(*all, wire.SAInit, false); len(init) != 3 || init[2].clear(t).Notify(wire.Cookie) == nil {
				t.Error(len(init))
			}
		}},
		{"RFC 7296 2.1: an unanswered request is sent again byte for byte, ever later, and given up", func(t *testing.T) {
			w, a, b := duo(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			all := w.tape()
			a.ensure(b)
			w.pass(20 * time.Second)
			first := (*all)[0].header.SPIi
			var waits []time.Duration
			for i, m := range *all {
				if m.header.SPIi != first {
					break
				}
				if i > 0 {
					waits = append(waits, m.at-(*all)[i-1].at)
				}
				if !bytes.Equal(m.sent.Payload, (*all)[0].sent.Payload) {
					t.Error(i)
				}
			}
			if len(waits) != initTries-1 || !slices.IsSorted(waits) || len(a.failed) == 0 {
				t.Error(waits, a.failed)
			}
		}},
		{"RFC 7296 2.1: a peer that never answers costs little, and is asked less and less", func(t *testing.T) {
			w, a, b := duo(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			all := w.tape()
			a.ensure(b)
			w.pass(time.Hour)
			if len(*all) < 100 || len(*all) > 1000 || len(a.module.sas) > 1 {
				t.Error(len(*all), len(a.module.sas))
			}
			if why := a.module.Why(b.addr, w.now); len(why) == 0 || why[0].Remedy == "" {
				t.Error(why)
			}
			said := 0
			for _, line := range a.logs {
				if strings.Contains(line, "failed") {
					said++
				}
			}
			if tried := a.counted("initiated"); said == 0 || said > 60 || tried <= 60 {
				t.Errorf("%d attempts are %d lines in the log: %q", tried, said, a.logs[:min(3, len(a.logs))])
			}
		}},
		{"RFC 7296 2.6: a responder that always wants another cookie is left", func(t *testing.T) {
			w, a, b := duo(t, plain)
			asked := 0
			w.seen = func(n *node, d dataplane.SendIKE) {
				h, _ := wire.ParseHeader(d.Payload)
				if n == a && h.Exchange == wire.SAInit && asked < 1000 {
					asked++
					h.Flags = wire.Response
					reply := wire.AppendMessage(nil, h, wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: []byte(fmt.Sprint(asked))}})
					w.after(time.Millisecond, func() { a.inject(d.Remote, d.Local.Port(), reply) })
				}
			}
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			a.ensure(b)
			w.pass(10 * time.Second)
			if asked > maxTurns+initTries+1 {
				t.Error(asked)
			}
		}},
		{"RFC 7296 2.7: an answer with what was not offered is refused", forgedChoice},
		{"RFC 7296 2.6: an answer from another address than was asked is not heard", func(t *testing.T) {
			w, a, b := duo(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			all := w.tape()
			a.ensure(b)
			h := (*all)[0].header
			h.Flags = wire.Response
			a.inject(netip.MustParseAddrPort("203.0.113.1:500"), 500, wire.AppendMessage(nil, h, wire.Payloads{&wire.Notify{Kind: wire.NoProposalChosen}}))
			if len(a.failed) != 0 || len(a.module.sas) != 1 {
				t.Error(a.failed)
			}
		}},
	})
}

// forgedChoice answers with a proposal that was not offered, or with another group than the one in the KE payload.
func forgedChoice(t *testing.T) {
	for _, forge := range []struct {
		policy string
		group  suite.Group
	}{{"aes128gcm-sha384-x25519", suite.X25519}, {"aes256gcm-sha256-x25519", suite.X25519}, {"aes256gcm-sha384-p256", suite.P256}, {"aes256gcm-sha384-x25519", suite.P256}} {
		w, a, b := duo(t, plain)
		w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
		all := w.tape()
		a.ensure(b)
		asked := (*all)[0]
		h := asked.header
		h.SPIr, h.Flags = 99, wire.Response
		public, _, err := forge.group.Respond(seeded(make([]byte, 32)), wire.Get[*wire.KE](asked.clear(t)).Data)
		if err != nil {
			_, public, _ = forge.group.Initiate(seeded(make([]byte, 32)))
		}
		a.inject(asked.sent.Remote, asked.sent.Local.Port(), wire.AppendMessage(nil, h, wire.Payloads{
			suite.OfferIKE(ikes(forge.policy), nil), &wire.KE{Group: uint16(forge.group), Data: public}, &wire.Nonce{Data: make([]byte, 32)},
		}))
		if len(a.module.sas) != 0 || len(a.failed) != 1 {
			t.Errorf("%v: %d SAs, %v", forge, len(a.module.sas), a.failed)
		}
	}
}

// TestNoAmplification sends everything a stranger can send and measures what comes back (RFC 7296 section 2.6; CVE-2016-5361).
func TestNoAmplification(t *testing.T) {
	play(t, []rule{{"CVE-2016-5361: no answer is sent again by itself, and none is larger than what asked for it but for a little", noAmplification}})
}

func noAmplification(t *testing.T) {
	const slack = 160 // a nonce, an SPI and our notifies in an answer to an offer that fits at once
	n := alone(t)
	s := newStranger(1)
	valid := wire.AppendMessage(nil, s.header(), s.hello())
	inputs := [][]byte{valid, {}, {0xff}, make([]byte, wire.HeaderLen), make([]byte, 1400)}
	for i := range wire.HeaderLen {
		for _, v := range []byte{0, 1, 0x7f, 0xff} {
			b := slices.Clone(valid)
			b[i] = v
			inputs = append(inputs, b)
		}
	}
	for i := range len(valid) {
		inputs = append(inputs, valid[:i])
	}
	for exchange := range 256 {
		for _, flags := range []wire.Flags{0, wire.Initiator, wire.Response, wire.Initiator | wire.Response} {
			h := wire.Header{SPIi: 1, SPIr: 2, Exchange: wire.Exchange(exchange), Flags: flags}
			inputs = append(inputs, wire.AppendMessage(nil, h, wire.Payloads{&wire.Notify{Kind: wire.InvalidIKESPI}}), wire.AppendMessage(nil, h, nil))
		}
	}
	for i, b := range inputs {
		out := 0
		for _, m := range n.inject(netip.AddrPortFrom(s.from.Addr(), uint16(1000+i)), 500, b) {
			out += len(m.sent.Payload)
		}
		if out > len(b)+slack {
			t.Errorf("%d octets %x are answered by %d", len(b), b[:min(len(b), 40)], out)
		}
	}
	all := n.w.tape()
	n.w.pass(time.Hour)
	if len(*all) != 0 {
		t.Errorf("%d datagrams are sent unasked", len(*all))
	}
	if !n.idle() {
		t.Errorf("%d SAs are left", len(n.module.sas))
	}
}

// TestNoAmplificationOfESP has ESP of SAs that are not known arrive at any rate: the hints that go out are bounded (RFC 7296 section 1.5).
func TestNoAmplificationOfESP(t *testing.T) {
	n := alone(t)
	all := n.w.tape()
	for i := range 100000 {
		n.post(dataplane.UnknownSPI{Local: netip.AddrPortFrom(n.addr, 0), Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 0), SPI: uint32(i)})
	}
	n.run()
	if len(*all) > 1000 {
		t.Error(len(*all))
	}
	for _, m := range *all {
		if len(m.sent.Payload) > 64 {
			t.Fatal(len(m.sent.Payload))
		}
	}
}
