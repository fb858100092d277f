package ike

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// steady lets time pass in small steps, in each of which traffic must pass both ways.
func (w *world) steady(a, b *node, d time.Duration) {
	w.t.Helper()
	for end := w.now + d; w.now < end; {
		w.pass(3 * time.Millisecond)
		w.mustPass(a, b)
	}
}

// one checks that two routers have one IKE SA and one child, the same.
func one(t *testing.T, a, b *node) {
	t.Helper()
	x, y := a.ike(), b.ike()
	if x.spi != y.peerSPI || y.spi != x.peerSPI {
		t.Errorf("the IKE SAs differ: %x-%x and %x-%x", x.spi, x.peerSPI, y.spi, y.peerSPI)
	}
	c, d := a.child(), b.child()
	if c.spi != d.peerSPI || d.spi != c.peerSPI || !linked(a, b) {
		t.Errorf("the children differ: %x-%x and %x-%x", c.spi, c.peerSPI, d.spi, d.peerSPI)
	}
	if len(a.module.sas) != 1 || len(b.module.sas) != 1 || len(a.in) != 1 || len(b.in) != 1 || len(a.out) != 1 || len(b.out) != 1 {
		t.Errorf("%d+%d IKE SAs, %d+%d SAs in, %d+%d out", len(a.module.sas), len(b.module.sas), len(a.in), len(b.in), len(a.out), len(b.out))
	}
}

func (n *node) rekeyChild() { c := n.child(); n.call(func(env *core.Env) { c.rekey(env) }) }
func (n *node) rekeyIKE()   { s := n.ike(); n.call(func(env *core.Env) { s.rekey(env) }) }

// lateAnswer selects a node's answers to CREATE_CHILD_SA.
func lateAnswer(n *node) func(message) bool {
	return func(m message) bool { return m.from == n && m.response() && m.header.Exchange == wire.CreateChildSA }
}

// another asks for a child beside the one there is, as implementations do on their operator's command.
func (n *node) another() {
	s := n.ike()
	n.call(func(env *core.Env) {
		kept := s.children
		s.children = nil // we would not
		s.enqueue(env, &rekeyChild{})
		s.children = kept
	})
}

// lose loses the first messages that f selects, and counts how many.
func (w *world) lose(most int, f func(message) bool) *int {
	before, lost := w.wire, 0
	w.wire = func(n *node, d dataplane.SendIKE) []time.Duration {
		h, err := wire.ParseHeader(d.Payload)
		if err == nil && lost < most && f(message{from: n, sent: d, header: h}) {
			lost++
			return nil
		}
		return before(n, d)
	}
	return &lost
}

// TestRekeyChild is the exchange of a child's keys, and all that can cross it.
func TestRekeyChild(t *testing.T) {
	for _, esp := range []string{"aes256gcm-x25519", "aes256gcm-none", "aes128-sha256-modp2048-noesn"} {
		policy := func(p *Profile) { p.ESP = esps(esp) }
		both := func(name string, do func(w *world, a, b *node)) rule {
			return rule{name, func(t *testing.T) {
				w, a, b := met(t, plain, policy)
				old := a.child().spi
				do(w, a, b)
				w.steady(a, b, 3*time.Second)
				w.pass(30 * time.Second)
				w.mustPass(a, b)
				one(t, a, b)
				if a.child().spi == old {
					t.Error("nothing was rekeyed")
				}
				if len(a.ups) != 1 || len(b.ups) != 1 || len(a.downs)+len(b.downs) != 0 {
					t.Errorf("the handle changed: %v %v", a.ups, b.ups)
				}
			}}
		}
		t.Run(esp, func(t *testing.T) {
			play(t, []rule{
				both("RFC 7296 1.3.3: who began rekeys a child without a gap", func(_ *world, a, _ *node) { a.rekeyChild() }),
				both("RFC 7296 1.3.3: who answered rekeys a child without a gap", func(_ *world, _, b *node) { b.rekeyChild() }),
				both("RFC 7296 2.8.1: both rekey a child at once", func(_ *world, a, b *node) { a.rekeyChild(); b.rekeyChild() }),
				both("RFC 7296 2.8.1: both rekey a child at once, and the answer to one is late", func(w *world, a, b *node) {
					w.lose(1, func(m message) bool { return m.from == a && m.response() && m.header.Exchange == wire.CreateChildSA })
					a.rekeyChild()
					b.rekeyChild()
				}),
				both("RFC 7296 2.8.1: both rekey a child at once, and the answer to the other is late", func(w *world, a, b *node) {
					w.lose(1, func(m message) bool { return m.from == b && m.response() && m.header.Exchange == wire.CreateChildSA })
					a.rekeyChild()
					b.rekeyChild()
				}),
				both("RFC 7296 2.8.1: both rekey a child at once, and a request is so late that the other is done", func(w *world, a, b *node) {
					w.lose(1, func(m message) bool { return m.from == a && !m.response() && m.header.Exchange == wire.CreateChildSA })
					a.rekeyChild()
					b.rekeyChild()
				}),
				both("RFC 7296 2.8.1: both rekey a child at once, and every Delete is late", func(w *world, a, b *node) {
					w.lose(3, func(m message) bool { return !m.response() && m.header.Exchange == wire.Informational })
					a.rekeyChild()
					b.rekeyChild()
				}),
				both("RFC 7296 2.8: a child and the IKE SA are rekeyed at once by one end", func(_ *world, a, _ *node) { a.rekeyChild(); a.rekeyIKE() }),
				both("RFC 7296 2.25: a child is rekeyed by one end and the IKE SA by the other", func(_ *world, a, b *node) { a.rekeyChild(); b.rekeyIKE() }),
				both("RFC 7296 2.8: keys that wear out are changed", func(_ *world, a, _ *node) {
					p := a.ike().peer
					a.post(dataplane.Worn{SA: p.handle, SPI: p.active.peerSPI, Out: true})
					a.run()
				}),
			})
		})
	}
	play(t, []rule{
		{"RFC 7296 2.8: one of two children side by side is left after seconds, and nothing is lost", func(t *testing.T) {
			for name, ask := range map[string]func(w *world, a, b *node){
				"by who began":               func(_ *world, a, _ *node) { a.another() },
				"by who answered":            func(_ *world, _, b *node) { b.another() },
				"by both at once":            func(_ *world, a, b *node) { a.another(); b.another() },
				"by both, one answer late":   func(w *world, a, b *node) { w.lose(1, lateAnswer(a)); a.another(); b.another() },
				"by both, the other is late": func(w *world, a, b *node) { w.lose(1, lateAnswer(b)); a.another(); b.another() },
				"by one after the other":     func(w *world, a, b *node) { a.another(); w.steady(a, b, 100*time.Millisecond); b.another() },
				"while it is rekeyed":        func(_ *world, a, b *node) { a.rekeyChild(); b.another() },
				"while the IKE SA is":        func(_ *world, a, b *node) { a.rekeyIKE(); b.another() },
				"again and again":            func(w *world, a, b *node) { a.another(); w.steady(a, b, 900*time.Millisecond); a.another() },
			} {
				t.Run(name, func(t *testing.T) {
					w, a, b := met(t, plain)
					ask(w, a, b)
					w.steady(a, b, 5*time.Second)
					w.pass(10 * time.Second)
					w.mustPass(a, b)
					one(t, a, b)
				})
			}
		}},
		{"RFC 7296 2.8: of two children side by side the younger is kept", func(t *testing.T) {
			w, a, b := met(t, plain)
			for range 4 { // whatever the nonces
				old := a.child().spi
				a.another()
				w.pass(8 * time.Second)
				if one(t, a, b); a.child().spi == old {
					t.Error("the peer's wish for another is void")
				}
			}
		}},
		{"RFC 7296 2.8: who answered sends by the old child until it hears by the new one", func(t *testing.T) {
			w, a, b := met(t, plain)
			w.lose(100, func(m message) bool { return m.from == a && m.header.Exchange == wire.Informational }) // no Delete
			old := b.child().peerSPI
			a.rekeyChild()
			w.pass(100 * time.Millisecond)
			if got := b.ike().peer.active.peerSPI; got != old {
				t.Error("it changed over before the other end was known to have the new one")
			}
			w.data(a, b)
			if got := b.ike().peer.active.peerSPI; got == old {
				t.Error("it did not change over")
			}
		}},
		{"RFC 7296 2.8.1: of two new children the one with the lowest nonce goes, by who made it", func(t *testing.T) {
			for range 8 {
				w, a, b := met(t, plain)
				all := w.tape()
				a.rekeyChild()
				b.rekeyChild()
				w.pass(25 * time.Millisecond)
				if len(a.ike().children) != 3 || len(b.ike().children) != 3 {
					t.Fatalf("%d and %d children", len(a.ike().children), len(b.ike().children))
				}
				lowest := slices.MinFunc(a.ike().children[1:], func(x, y *child) int { return bytes.Compare(x.lowest, y.lowest) }).spi
				w.pass(3 * time.Second)
				if a.child().spi == lowest {
					t.Error("the lowest nonce stays")
				}
				if n := len(of(*all, wire.Informational, false)); n != 2 {
					t.Errorf("%d Deletes", n)
				}
			}
		}},
		{"RFC 7296 2.25.1: a rekey of a child that is being deleted gets TEMPORARY_FAILURE", func(t *testing.T) {
			w, _, b := met(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			c, s := b.child(), b.ike()
			b.call(func(env *core.Env) { c.close(env, "test") })
			wantKinds(t, b.ask(s, wire.CreateChildSA, s.twin(w).rekeyWish(c.peerSPI)...), wire.TemporaryFailure)
		}},
		{"RFC 7296 2.25.1: a rekey of a child that is not known gets CHILD_SA_NOT_FOUND with its SPI", func(t *testing.T) {
			w, _, b := met(t, plain)
			for _, spi := range []uint32{0, 0xdeadbeef, b.child().spi} {
				p := b.ask(b.ike(), wire.CreateChildSA, b.ike().twin(w).rekeyWish(spi)...)
				wantKinds(t, p, wire.ChildSANotFound)
				if n := p.Notify(wire.ChildSANotFound); !bytes.Equal(n.SPI, binary.BigEndian.AppendUint32(nil, spi)) {
					t.Error(n)
				}
			}
		}},
		{"RFC 7296 2.25.1: CHILD_SA_NOT_FOUND ends our half, and a new child is made", func(t *testing.T) {
			w, a, b := met(t, plain)
			c := b.child()
			b.call(func(env *core.Env) { c.drain(env, "test") })
			a.rekeyChild()
			w.pass(10 * time.Second)
			w.mustPass(a, b)
			one(t, a, b)
		}},
		{"RFC 7296 2.25.1: a Delete of the child that is being rekeyed is answered as ever", func(t *testing.T) {
			w, a, b := met(t, plain)
			all := w.tape()
			a.rekeyChild()
			c := b.child()
			b.call(func(env *core.Env) { c.close(env, "test") })
			w.pass(15 * time.Second)
			w.mustPass(a, b)
			one(t, a, b)
			if len(of(*all, wire.Informational, true)) == 0 {
				t.Error("it was not answered")
			}
		}},
		{"RFC 7296 2.25.1: a child that the peer rekeyed and deleted meanwhile is not deleted by us again", func(t *testing.T) {
			w, a, b := met(t, plain)
			w.lose(1, func(m message) bool { return m.from == a && m.response() })
			b.rekeyChild()
			w.pass(10 * time.Second)
			w.mustPass(a, b)
			one(t, a, b)
		}},
		{"RFC 7296 2.25: TEMPORARY_FAILURE has us wait, and ask again", func(t *testing.T) {
			w, a, b := met(t, plain)
			all := w.tape()
			b.rekeyIKE() // its request is under way when ours arrives
			old := a.child().spi
			a.rekeyChild()
			w.pass(15 * time.Second)
			w.mustPass(a, b)
			one(t, a, b)
			if asked := of(*all, wire.CreateChildSA, false); len(asked) < 3 || a.child().spi == old {
				t.Errorf("asked %d times", len(asked))
			}
		}},
		{"RFC 7296 1.3: one more child than we keep gets NO_ADDITIONAL_SAS", func(t *testing.T) {
			w, a, b := met(t, plain)
			for i := range maxChildren + 5 {
				p := b.ask(b.ike(), wire.CreateChildSA, b.ike().twin(w).childWish(uint32(0x1000+i))...)
				if full := len(p.Notifies()) == 1 && p.Notify(wire.NoAdditionalSAs) != nil; full != (i >= maxChildren-1) {
					t.Errorf("child %d: %v", i, p)
				}
			}
			if len(b.ike().children) != maxChildren {
				t.Error(len(b.ike().children))
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 1.3.1: another group than ours gets INVALID_KE_PAYLOAD, and the right one is taken", func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", "192.0.2.1", profile(plain, func(p *Profile) { p.ESP = esps("aes256gcm-x25519-p256") }), 0)
			b := w.add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.ESP = esps("aes256gcm-p256") }), 0)
			a.ensure(b)
			w.pass(2 * time.Second)
			a.rekeyChild()
			w.steady(a, b, 5*time.Second)
			w.pass(10 * time.Second)
			one(t, a, b)
			if a.child().suite.Group != suite.P256 || b.child().suite.Group != suite.P256 {
				t.Error(a.child().suite, b.child().suite)
			}
		}},
		{"RFC 7296 1.3.1: a rekey without a suite in common leaves the old child, and is tried again", func(t *testing.T) {
			w, a, b := met(t, plain)
			b.module.profiles["corp"].ESP = esps("aes128-sha1-modp2048")
			b.ike().profile = b.module.profiles["corp"]
			all := w.tape()
			a.rekeyChild()
			w.steady(a, b, 2*time.Second)
			w.pass(2 * time.Minute)
			w.mustPass(a, b)
			if n := len(of(*all, wire.CreateChildSA, false)); n < 3 || n > 20 || a.counted("rekey-failed") == 0 {
				t.Errorf("asked %d times\n%s", n, strings.Join(a.logs, "\n"))
			}
		}},
		{"RFC 7296 2.17: the keys of a child with a key exchange come from it too", func(t *testing.T) {
			w, a, b := met(t, plain, func(p *Profile) { p.ESP = esps("aes256gcm-x25519-none") })
			if a.child().suite.Group != 0 {
				t.Error("the child of IKE_AUTH has a group")
			}
			a.rekeyChild()
			w.pass(15 * time.Second)
			one(t, a, b)
			if a.child().suite.Group != suite.X25519 || b.child().suite.Group != suite.X25519 {
				t.Error(a.child().suite, b.child().suite)
			}
		}},
		{"RFC 7296 2.8: a child whose rekey never succeeds ends with its lifetime", func(t *testing.T) {
			w, a, b := met(t, plain, func(p *Profile) { p.ESPLifetime = time.Minute })
			w.lose(1<<30, func(m message) bool { return m.header.Exchange == wire.CreateChildSA })
			w.pass(5 * time.Minute)
			for _, n := range []*node{a, b} {
				for _, c := range n.module.children {
					if w.now-c.since > time.Minute+hardMargin(time.Minute)+time.Minute {
						t.Errorf("%s: a child of %v is there", n.name, w.now-c.since)
					}
				}
			}
		}},
	})
}

// rekeyWish is CREATE_CHILD_SA in the place of a child of the sender's SPI.
func (s *sa) rekeyWish(old uint32) wire.Payloads {
	n := &wire.Notify{Kind: wire.RekeySA, Protocol: wire.ProtocolESP, SPI: binary.BigEndian.AppendUint32(nil, old)}
	return append(wire.Payloads{n}, s.childWish(0x22222222)...)
}

// ikeWish is CREATE_CHILD_SA for a new IKE SA.
func (s *sa) ikeWish(spi uint64) wire.Payloads {
	_, public, _ := s.suite.Group.Initiate(seeded(make([]byte, 32)))
	return wire.Payloads{
		suite.OfferIKE(s.rekeyPolicies(), binary.BigEndian.AppendUint64(nil, spi)), &wire.Nonce{Data: make([]byte, 32)},
		&wire.KE{Group: uint16(s.suite.Group), Data: public},
	}
}

// TestRekeyIKE is the exchange of the IKE SA's keys, and all that can cross it.
func TestRekeyIKE(t *testing.T) {
	both := func(name string, do func(w *world, a, b *node)) rule {
		return rule{name, func(t *testing.T) {
			for _, change := range []func(*Profile){plain, func(p *Profile) { p.DPD, p.MOBIKE = 0, false }} {
				w, a, b := met(t, change)
				old, child := a.ike().spi, a.child()
				do(w, a, b)
				w.steady(a, b, 3*time.Second)
				w.pass(2 * time.Minute)
				w.mustPass(a, b)
				one(t, a, b)
				if a.ike().spi == old {
					t.Errorf("nothing was rekeyed\n%s", strings.Join(a.logs, "\n"))
				}
				if a.child().sa != a.ike() || len(a.downs)+len(b.downs) != 0 || child.sa != a.ike() && !child.drained {
					t.Error("the child did not move")
				}
				a.rekeyChild() // the new SA is good for something
				w.steady(a, b, time.Second)
			}
		}}
	}
	play(t, []rule{
		both("RFC 7296 1.3.2: who began rekeys the IKE SA, and the children move", func(_ *world, a, _ *node) { a.rekeyIKE() }),
		both("RFC 7296 1.3.2: who answered rekeys the IKE SA, and the children move", func(_ *world, _, b *node) { b.rekeyIKE() }),
		both("RFC 7296 2.8.2: both rekey the IKE SA at once", func(_ *world, a, b *node) { a.rekeyIKE(); b.rekeyIKE() }),
		both("RFC 7296 2.8.2: both rekey the IKE SA at once, and one answer is late", func(w *world, a, b *node) {
			w.lose(1, func(m message) bool { return m.from == a && m.response() && m.header.Exchange == wire.CreateChildSA })
			a.rekeyIKE()
			b.rekeyIKE()
		}),
		both("RFC 7296 2.8.2: both rekey the IKE SA at once, and the other answer is late", func(w *world, a, b *node) {
			w.lose(1, func(m message) bool { return m.from == b && m.response() && m.header.Exchange == wire.CreateChildSA })
			a.rekeyIKE()
			b.rekeyIKE()
		}),
		both("RFC 7296 2.8.2: both rekey the IKE SA at once, and one request is late", func(w *world, a, b *node) {
			w.lose(1, func(m message) bool { return m.from == a && !m.response() && m.header.Exchange == wire.CreateChildSA })
			a.rekeyIKE()
			b.rekeyIKE()
		}),
		both("RFC 7296 2.8.2: both rekey the IKE SA at once, and every Delete is late", func(w *world, a, b *node) {
			w.lose(4, func(m message) bool { return !m.response() && m.header.Exchange == wire.Informational })
			a.rekeyIKE()
			b.rekeyIKE()
		}),
		both("RFC 7296 2.8: the IKE SA is rekeyed again and again", func(w *world, a, b *node) {
			for range 5 {
				a.rekeyIKE()
				w.steady(a, b, time.Second)
				b.rekeyIKE()
				w.steady(a, b, time.Second)
			}
		}),
		both("RFC 7296 2.8: the lifetime has the IKE SA rekeyed", func(w *world, a, b *node) {
			w.pass(DefaultIKELifetime)
		}),
		{"RFC 7296 2.25.2: a child that is wanted while we rekey the IKE SA gets TEMPORARY_FAILURE", func(t *testing.T) {
			w, _, b := met(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			b.rekeyIKE()
			wantKinds(t, b.ask(b.ike2(), wire.CreateChildSA, b.ike2().twin(w).childWish(7)...), wire.TemporaryFailure)
		}},
		{"RFC 7296 2.25.2: an IKE SA that is wanted while we make, rekey or delete a child gets TEMPORARY_FAILURE", func(t *testing.T) {
			for name, do := range map[string]func(env *core.Env, s *sa){
				"make":   func(env *core.Env, s *sa) { s.children[0].drain(env, ""); s.enqueue(env, &rekeyChild{}) },
				"rekey":  func(env *core.Env, s *sa) { s.children[0].rekey(env) },
				"delete": func(env *core.Env, s *sa) { s.children[0].close(env, "") },
			} {
				w, _, b := met(t, plain)
				w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
				s := b.ike()
				b.call(func(env *core.Env) { do(env, s) })
				if got := kinds(b.ask(s, wire.CreateChildSA, s.twin(w).ikeWish(99)...)); !slices.Equal(got, []wire.NotifyType{wire.TemporaryFailure}) {
					t.Error(name, got)
				}
			}
		}},
		{"RFC 7296 2.25.2: anything that is wanted while we delete the IKE SA gets TEMPORARY_FAILURE", func(t *testing.T) {
			w, _, b := met(t, plain)
			w.wire = func(*node, dataplane.SendIKE) []time.Duration { return nil }
			s := b.ike()
			b.call(func(env *core.Env) { s.close(env, "test") })
			wantKinds(t, b.ask(s, wire.CreateChildSA, s.twin(w).ikeWish(99)...), wire.TemporaryFailure)
			wantKinds(t, b.ask(s, wire.CreateChildSA, s.twin(w).childWish(7)...), wire.TemporaryFailure)
		}},
		{"RFC 7296 2.25.2: a Delete of the IKE SA that we rekey is answered, and our request forgotten", func(t *testing.T) {
			w, a, b := met(t, plain)
			w.lose(100, func(m message) bool { return m.from == b && !m.response() })
			b.rekeyIKE()
			s := a.ike()
			a.release(b)
			_ = s
			w.pass(time.Minute)
			if !a.idle() || !b.idle() {
				t.Error(a.logs, b.logs)
			}
		}},
		{"RFC 7296 2.25.2: of two IKE SAs that were made while the old one is closed, neither is left", closedWhileRekeyed},
		{"RFC 7296 1.3.2: an IKE SA of SPI 0, or without a key exchange, is refused", func(t *testing.T) {
			w, a, b := met(t, plain)
			s := b.ike()
			wantKinds(t, b.ask(s, wire.CreateChildSA, s.twin(w).ikeWish(0)...), wire.NoProposalChosen)
			wantKinds(t, b.ask(s, wire.CreateChildSA, s.twin(w).ikeWish(99)[:2]...), wire.InvalidSyntax)
			if b.ike() != s {
				t.Error("it was rekeyed")
			}
			w.mustPass(a, b)
		}},
		{"RFC 7296 1.3.2: another group than ours gets INVALID_KE_PAYLOAD", func(t *testing.T) {
			_, _, b := met(t, plain)
			s := b.ike()
			p := s.twin(b.w).ikeWish(99)
			p[0] = suite.OfferIKE(ikes("aes256gcm-sha384-p256-x25519"), binary.BigEndian.AppendUint64(nil, 99))
			p[2] = &wire.KE{Group: uint16(suite.P256), Data: make([]byte, 64)}
			answer := b.ask(s, wire.CreateChildSA, p...)
			wantKinds(t, answer, wire.InvalidKEPayload)
			if g, ok := answer.Notify(wire.InvalidKEPayload).Group(); !ok || g != uint16(suite.X25519) {
				t.Error(answer)
			}
		}},
		{"RFC 7296 2.18: a rekeyed IKE SA has new keys, and old ones open nothing", func(t *testing.T) {
			w, a, b := met(t, plain)
			old := b.ike()
			before := old.keys.Clone()
			a.rekeyIKE()
			w.pass(5 * time.Second)
			if s := b.ike(); s == old || bytes.Equal(s.keys.D, before.D) || bytes.Equal(s.keys.Ei, before.Ei) || bytes.Equal(s.keys.Er, before.Er) {
				t.Error("keys are as before")
			}
			if !allZero(old.keys.D) || !allZero(old.keys.Ei) {
				t.Error("the old keys are still in memory")
			}
		}},
	})
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// ike2 is the SA with a peer that is there while another is made.
func (n *node) ike2() *sa {
	for _, s := range n.module.sortedSAs() {
		if s.phase == established && s.peer != nil {
			return s
		}
	}
	n.w.t.Fatal("no SA")
	return nil
}

// closedWhileRekeyed: both ends rekey, one closes the old SA when the other's rekey has come and its own is not answered.
func closedWhileRekeyed(t *testing.T) {
	w, a, b := met(t, plain, func(p *Profile) { p.DPD = 10 * time.Second }) // one end may believe in an SA that the other has given up
	w.lose(1, func(m message) bool { return m.from == a && m.response() && m.header.Exchange == wire.CreateChildSA })
	s := b.ike()
	a.rekeyIKE()
	b.rekeyIKE()
	w.pass(15 * time.Millisecond)
	if s.replacement == nil || s.rekeying == nil {
		t.Fatal("not what is to be tested")
	}
	b.call(func(env *core.Env) { s.close(env, "test") })
	w.pass(2 * time.Minute)
	w.mustPass(a, b)
	one(t, a, b)
	a.release(b)
	w.pass(time.Minute)
	if !a.idle() || !b.idle() {
		t.Error(a.logs, b.logs)
	}
}

// TestBothBegin has both ends want each other at once, as spokes do.
func TestBothBegin(t *testing.T) {
	for _, x := range []struct {
		name string
		lag  time.Duration
	}{
		{"RFC 7296 2.8: both begin at the same moment", 0}, {"RFC 7296 2.8: the second begins when the first's greeting is on its way", 5 * time.Millisecond},
		{"RFC 7296 2.8: the second begins when the first has been answered", 15 * time.Millisecond},
		{"RFC 7296 2.8: the second begins when the first proves itself", 25 * time.Millisecond},
		{"RFC 7296 2.8: the second begins when the first is done", 45 * time.Millisecond},
	} {
		t.Run(x.name, func(t *testing.T) {
			for seed := range uint64(20) {
				w := newWorld(t, seed)
				a, b := w.add("a", "192.0.2.1", profile(), 0), w.add("b", "192.0.2.2", profile(), 0)
				a.ensure(b)
				w.pass(x.lag)
				b.ensure(a)
				w.pass(time.Second)
				w.mustPass(a, b)
				w.steady(a, b, 3*time.Second)
				w.pass(time.Minute)
				w.mustPass(a, b)
				one(t, a, b)
				if len(a.downs)+len(b.downs) != 0 || len(a.module.peers) != 1 || len(b.module.peers) != 1 {
					t.Error(a.downs, b.downs)
				}
			}
		})
	}
}
