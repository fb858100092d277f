package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// TestCVEs are mistakes that state machines of other implementations made, each by its name.
func TestCVEs(t *testing.T) {
	play(t, []rule{
		{"CVE-2014-2338: a rekey of an IKE SA that is not established makes none", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			for _, p := range []wire.Payloads{s.twin(n.w).ikeWish(99), s.twin(n.w).childWish(7), s.twin(n.w).rekeyWish(8)} {
				peer := s.twin(n.w)
				if out := n.deliver(s, peer.seal(wire.CreateChildSA, 1, false, p, 0)); len(out) != 0 || len(n.module.sas) != 1 || s.phase != authenticating || len(n.in) != 0 {
					t.Error(p)
				}
			}
		}},
		{"CVE-2015-8023: an IKE_AUTH response without a proof establishes nothing", func(t *testing.T) { earlySuccess(t, nil) }},
		{"CVE-2021-45079: an early EAP success establishes nothing", func(t *testing.T) {
			earlySuccess(t, &wire.Opaque{Kind: wire.TypeEAP, Data: []byte{3, 1, 0, 4}})
		}},
		{"CVE-2015-4171: a peer that is not wanted gets no child, not even for a moment", func(t *testing.T) {
			for _, initiator := range []bool{true, false} {
				some, all := profile(plain, func(p *Profile) { p.Peers = patterns("*.example.com") }), profile(plain)
				if !initiator {
					some, all = all, some
				}
				_, a, b, up := meet(t, some, all, 3*time.Second)
				n := map[bool]*node{true: a, false: b}[initiator]
				if up || n.counted("children") != 0 || len(n.used) != 0 || len(n.ups) != 0 {
					t.Error(initiator, n.logs)
				}
			}
		}},
		{"CVE-2019-12312: an encrypted INFORMATIONAL before IKE_AUTH has no effect", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			for _, kind := range []wire.NotifyType{wire.InitialContact, wire.AuthenticationFailed, wire.InvalidSyntax, wire.Cookie2, wire.UpdateSAAddresses} {
				peer := s.twin(n.w)
				if out := n.deliver(s, peer.seal(wire.Informational, 1, false, wire.Payloads{&wire.Notify{Kind: kind}}, 0)); len(out) != 0 || s.phase != authenticating {
					t.Error(kind)
				}
			}
		}},
		{"CVE-2019-10155: INFORMATIONAL with payloads in clear has no effect", func(t *testing.T) {
			w, a, b := met(t, plain)
			s := b.ike()
			for _, p := range []wire.Payloads{{&wire.Delete{Protocol: wire.ProtocolIKE}}, {deletion(s.children[0].peerSPI)}, nil} {
				h := s.twin(w).header(wire.Informational, s.expect, false, 0)
				if out := b.inject(s.remote, s.local.Port(), wire.AppendMessage(nil, h, p)); len(out) != 0 || s.phase != established {
					t.Error(p, out)
				}
			}
			w.mustPass(a, b)
		}},
		{"CVE-2023-38712: a Delete of the IKE SA with more behind it", func(t *testing.T) {
			_, _, b := met(t, plain)
			s := b.ike()
			spi := s.children[0].peerSPI
			p := b.ask(s, wire.Informational, &wire.Delete{Protocol: wire.ProtocolIKE}, deletion(spi), &wire.Notify{Kind: wire.RekeySA, Protocol: wire.ProtocolESP, SPI: binary.BigEndian.AppendUint32(nil, spi)},
				&wire.Notify{Kind: wire.AuthenticationFailed}, &wire.Delete{Protocol: wire.ProtocolIKE}, &wire.Notify{Kind: wire.UpdateSAAddresses})
			if len(p) != 0 || !b.idle() {
				t.Error(p)
			}
		}},
		{"CVE-2023-38710: REKEY_SA of protocol 0, 1, 2 or 4, or with an SPI of another length", func(t *testing.T) {
			for i, n := range []*wire.Notify{
				{Protocol: 0, SPI: make([]byte, 4)}, {Protocol: 1, SPI: make([]byte, 4)}, {Protocol: 4, SPI: make([]byte, 4)}, {Protocol: 255, SPI: make([]byte, 4)},
				{Protocol: 3}, {Protocol: 3, SPI: make([]byte, 1)}, {Protocol: 3, SPI: make([]byte, 3)}, {Protocol: 3, SPI: make([]byte, 8)}, {Protocol: 3, SPI: make([]byte, 255)},
			} {
				w, _, b := met(t, plain)
				n.Kind = wire.RekeySA
				answer := b.ask(b.ike(), wire.CreateChildSA, append(wire.Payloads{n}, b.ike().twin(w).childWish(7)...)...)
				if wantKinds(t, answer, wire.InvalidSyntax); len(b.module.children) > 1 {
					t.Error(i)
				}
			}
		}},
		{"CVE-2023-30570: the SPI of an SA that was refused is good for nothing", func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			peer := s.twin(n.w)
			right := peer.seal(wire.IKEAuth, 1, false, peer.proofBy(rightPSK, "198.51.0.1"), 0)
			n.ask(s, wire.IKEAuth, s.twin(n.w).proofBy("wrong", "198.51.0.1")...)
			for _, m := range n.deliver(s, right) {
				if got := only(t, []message{m}); got.Kind != wire.InvalidIKESPI {
					t.Error(got)
				}
			}
			if !n.idle() || len(n.ups) != 0 {
				t.Error(n.logs)
			}
		}},
		{"CVE-2020-1763: notifies of every kind and no content, in the greeting and after it", func(t *testing.T) {
			n := alone(t, plain)
			for kind := range 0x10000 {
				if kind > 50 && kind < 16380 || kind > 16450 && kind != 40969 {
					continue
				}
				s := newStranger(1)
				s.spi = uint64(kind + 1)
				h := wire.Header{SPIi: s.spi, SPIr: 1, Exchange: wire.SAInit, Flags: wire.Response}
				n.inject(s.from, 500, wire.AppendMessage(nil, h, wire.Payloads{&wire.Notify{Kind: wire.NotifyType(kind)}}))
				s.knock(n, s.hello(&wire.Notify{Kind: wire.NotifyType(kind)}))
			}
			_, _, b := met(t)
			for kind := range 0x10000 {
				if s := b.module.sortedSAs(); len(s) > 0 && s[0].phase == established && (kind < 50 || kind > 16380 && kind < 16450) {
					b.tryAsk(s[0], wire.Informational, &wire.Notify{Kind: wire.NotifyType(kind), Protocol: wire.Protocol(kind % 5)})
				} else if len(s) == 0 {
					_, _, b = met(t)
				}
			}
		}},
		{"CVE-2013-6467: requests without the payloads they must have", func(t *testing.T) {
			_, _, b := met(t, plain)
			wish := b.ike().twin(b.w).rekeyWish(b.child().peerSPI)
			for set := range 1 << len(wish) {
				var p wire.Payloads
				for i := range wish {
					if set>>i&1 != 0 {
						p = append(p, wish[i])
					}
				}
				if _, ok := b.tryAsk(b.ike(), wire.CreateChildSA, p...); !ok {
					t.Fatalf("no answer to %v", p)
				}
				if len(b.ike().children) > 8 {
					_, _, b = met(t, plain)
				}
			}
		}},
		{"CVE-2016-5391: an IKE proposal without a key exchange, PRF or integrity", func(t *testing.T) {
			for i := range 4 {
				n, s := alone(t, plain), newStranger(1)
				p := s.hello()
				offer := p[0].(*wire.SA)
				kind := []wire.TransformType{wire.TransformENCR, wire.TransformPRF, wire.TransformKE, wire.TransformINTEG}[i]
				for j := range offer.Proposals {
					offer.Proposals[j].Transforms = slices.DeleteFunc(offer.Proposals[j].Transforms, func(x wire.Transform) bool { return x.Type == kind })
				}
				out := s.knock(n, p)
				if kind != wire.TransformINTEG && (only(t, out).Kind != wire.NoProposalChosen || len(n.module.sas) != 0) {
					t.Error(kind, out)
				}
			}
		}},
		{"CVE-2015-3240: a KE payload that is empty, zero, short or long", badKeys},
		{"CVE-2023-41913: a KE payload of any length up to the largest", func(t *testing.T) {
			for _, g := range []suite.Group{suite.X25519, suite.P256, suite.MODP2048} {
				n := newWorld(t, 1).add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.IKE = ikes("aes256gcm-sha384-" + g.String()) }), 0)
				for _, size := range []int{0, 1, 31, 33, 63, 65, 255, 257, 1024, 32768, 65000} {
					s := newStranger(size)
					s.group, s.profile, s.public = g, n.module.profiles["corp"], bytes.Repeat([]byte{0xff}, size)
					s.knock(n, s.hello())
					if len(n.module.begun) != 0 || len(n.ups) != 0 {
						t.Error(g, size)
					}
				}
			}
		}},
		{"CVE-2014-9221: a group that is only for use inside, or of no number", func(t *testing.T) {
			n := alone(t, plain)
			for _, group := range []uint16{0, 1, 3, 22, 23, 24, 1024, 1025, 1040, 0xffff} {
				s := newStranger(int(group))
				p := s.hello()
				p[1].(*wire.KE).Group = group
				for i := range p[0].(*wire.SA).Proposals {
					for j, x := range p[0].(*wire.SA).Proposals[i].Transforms {
						if x.Type == wire.TransformKE {
							p[0].(*wire.SA).Proposals[i].Transforms[j].ID = group
						}
					}
				}
				if got := only(t, s.knock(n, p)); got.Kind != wire.NoProposalChosen || len(n.module.sas) != 0 {
					t.Error(group, got)
				}
			}
		}},
		{"strongSwan issue 2791: hundreds of failed attempts leave no half-open SA behind that counts", func(t *testing.T) {
			n := alone(t, plain)
			for i := range 600 {
				s := newStranger(i % 60)
				s.spi = uint64(i + 1)
				if i%3 == 0 {
					s.public = make([]byte, 32)
				}
				out := s.knock(n, s.hello())
				o := n.module.begun[beginning{s.from, s.spi}]
				if o == nil {
					if i%3 != 0 && (len(out) != 1 || out[0].clear(t).Notify(wire.Cookie) == nil) {
						t.Fatal(i, out)
					}
					continue
				}
				if i%3 == 1 {
					n.ask(o, wire.IKEAuth, o.twin(n.w).proofBy("wrong", "198.51.0.1")...)
				} else {
					n.w.pass(time.Second)
				}
			}
			if n.w.pass(time.Minute); !n.idle() {
				t.Errorf("%d SAs, %d begun", len(n.module.sas), len(n.module.begun))
			}
		}},
		{"free5GC issue 968: headers that announce a payload and have none", func(t *testing.T) {
			n := alone(t, plain)
			for next := range 256 {
				for _, x := range []wire.Exchange{wire.SAInit, wire.IKEAuth, wire.Informational} {
					h := wire.Header{SPIi: 1, Next: wire.PayloadType(next), Exchange: x, Flags: wire.Initiator, Length: wire.HeaderLen}
					n.inject(newStranger(next).from, 500, h.Append(nil))
				}
			}
			if !n.idle() {
				t.Error(len(n.module.sas))
			}
		}},
		{"RFC 7296 2.21: a handler that fails ends its own SA, and what cannot be proved ends none", func(t *testing.T) {
			w, a, b := met(t, plain)
			s := b.ike()
			b.call(func(env *core.Env) { b.module.handling = nil; b.module.Recover(env, dataplane.ReceivedIKE{}) })
			w.mustPass(a, b)
			b.call(func(env *core.Env) { b.module.handling = s; b.module.Recover(env, dataplane.ReceivedIKE{}) })
			if s.phase != gone {
				t.Error(s.phase)
			}
		}},
	})
}

// earlySuccess answers IKE_AUTH with the right keys and without a proof.
func earlySuccess(t *testing.T, with wire.Payload) {
	w, a, b := duo(t, plain)
	w.lose(1<<30, func(m message) bool { return m.header.Exchange == wire.IKEAuth })
	a.ensure(b)
	w.pass(30 * time.Millisecond)
	s := a.module.sortedSAs()[0]
	if s.phase != authenticating {
		t.Fatal(s.phase)
	}
	peer := s.twin(w)
	p := wire.Payloads{&wire.ID{IDType: 1, Data: b.addr.AsSlice()}}
	if with != nil {
		p = append(p, with)
	}
	p = append(p, s.offerChild(77, false, 0, nil)...)
	a.deliver(s, peer.seal(wire.IKEAuth, 1, true, p, 0))
	if len(a.ups) != 0 || len(a.in)+len(a.out) != 0 || s.phase == established {
		t.Error(a.logs)
	}
}

// badKeys sends public values that are none, in the greeting and in rekeys.
func badKeys(t *testing.T) {
	for _, g := range []suite.Group{suite.X25519, suite.P256, suite.P384, suite.P521, suite.MODP2048} {
		policy := "aes256gcm-sha384-" + g.String()
		_, right, err := g.Initiate(seeded(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		for i, public := range [][]byte{nil, {}, make([]byte, len(right)), bytes.Repeat([]byte{0xff}, len(right)), right[1:], append([]byte{0}, right...)} {
			if g == suite.X25519 && i == 3 {
				continue // every string of 32 octets but a few is a public value
			}
			t.Run(fmt.Sprintf("%v %d", g, i), func(t *testing.T) {
				n := newWorld(t, 1).add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.IKE = ikes(policy) }), 0)
				s := newStranger(1)
				s.group, s.profile, s.public = g, n.module.profiles["corp"], public
				if s.knock(n, s.hello()); len(n.module.begun) != 0 {
					t.Error("a greeting is taken")
				}
				for _, child := range []bool{true, false} {
					_, _, b := met(t, plain, func(p *Profile) { p.IKE, p.ESP = ikes(policy), esps("aes256gcm-esn-"+g.String()) })
					x := b.ike()
					ke := &wire.KE{Group: uint16(g), Data: public}
					p := wire.Payloads{suite.OfferIKE(ikes(policy), binary.BigEndian.AppendUint64(nil, 9)), &wire.Nonce{Data: make([]byte, 32)}, ke}
					if child {
						p = append(x.twin(b.w).offerChild(7, false, g, public), &wire.Nonce{Data: make([]byte, 32)})
					}
					answer := b.ask(x, wire.CreateChildSA, p...)
					if answer.Error() == nil || len(b.module.children) > 1 || len(b.module.sas) > 1 {
						t.Errorf("the answer is %v", answer)
					}
				}
			})
		}
	}
}
