package ike

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// monkey plays a router with octets that say what happens next: strangers that come, and messages that are whole, changed, old,
// out of order, or of the fuzzer's making and sealed with the right keys, which it takes from the router itself.
type monkey struct {
	t    *testing.T
	w    *world
	n, o *node // whom it plays with, and an honest peer that n begins with
	b    []byte
	past []message // on the wire, to be sent again
	from [4]*stranger
}

func newMonkey(t *testing.T, b []byte) *monkey {
	m := &monkey{t: t, w: newWorld(t, 1), b: b}
	p := profile(func(p *Profile) {
		p.IKELifetime, p.ESPLifetime, p.DPD, p.FragmentSize = 10*time.Minute, 4*time.Minute, 20*time.Second, 300
		p.IKE = ikes("aes256gcm-sha384-x25519")
	})
	if m.next()%2 == 0 {
		p.IKE = ikes("aes256-sha256-x25519-mlkem768", "aes256-sha256-x25519")
	}
	m.n, m.o = m.w.add("n", "192.0.2.1", p, 0), m.w.add("o", "192.0.2.2", p, 0)
	for i := range m.from {
		m.from[i] = newStranger(i)
		m.from[i].profile = p
	}
	m.w.seen = func(n *node, d dataplane.SendIKE) {
		if h, err := wire.ParseHeader(d.Payload); err == nil && len(m.past) < 256 {
			m.past = append(m.past, message{n, d, h, m.w.now})
		}
	}
	return m
}

func (m *monkey) next() byte {
	if len(m.b) == 0 {
		return 0
	}
	x := m.b[0]
	m.b = m.b[1:]
	return x
}

// take is some of the octets themselves.
func (m *monkey) take() []byte {
	k := min(int(m.next()), len(m.b))
	x := m.b[:k]
	m.b = m.b[k:]
	return x
}

// play does all that the octets say, and checks after each step.
func (m *monkey) play() {
	for steps := 0; len(m.b) > 0 && steps < 64; steps++ {
		m.step()
		m.check()
	}
	m.n.release(m.o)
	m.o.release(m.n)
	m.w.pass(10 * time.Minute)
	if !m.n.idle() {
		m.t.Fatalf("%d SAs, %d children, %d peers are left\n%s", len(m.n.module.sas), len(m.n.module.children), len(m.n.module.peers), strings.Join(m.n.logs, "\n"))
	}
}

func (m *monkey) step() {
	switch op := m.next(); op % 10 {
	case 0:
		s := m.from[m.next()%4]
		if m.next()%4 == 0 {
			s.spi++
		}
		s.knock(m.n, s.hello(m.payloads()...))
	case 1, 2, 3:
		m.sealed()
	case 4:
		m.again(nil)
	case 5:
		at, x := int(m.next()), m.next()
		m.again(func(b []byte) {
			if len(b) > 0 {
				b[(at*7)%len(b)] ^= x
			}
		})
	case 6:
		m.w.pass(time.Duration(m.next()) * time.Duration(m.next()) * 10 * time.Millisecond)
	case 7:
		m.n.ensure(m.o)
	case 8:
		m.own(m.next())
	default:
		m.n.inject(m.from[m.next()%4].from, []uint16{500, 4500}[m.next()%2], m.take())
	}
}

// own has the router itself do something.
func (m *monkey) own(what byte) {
	for _, s := range m.n.module.sortedSAs() {
		m.n.call(func(env *core.Env) {
			switch {
			case s.phase != established:
			case what%4 == 0:
				s.rekey(env)
			case what%4 == 1 && len(s.children) > 0:
				s.children[0].rekey(env)
			case what%4 == 2 && len(s.children) > 0:
				s.children[0].close(env, "monkey")
			case what == 3:
				s.close(env, "monkey")
			}
		})
	}
}

// again sends a message of before to whom it was for, or to n, as it was or changed.
func (m *monkey) again(change func([]byte)) {
	if len(m.past) == 0 {
		return
	}
	old := m.past[int(m.next())%len(m.past)]
	b := slices.Clone(old.sent.Payload)
	if change != nil {
		change(b)
	}
	to, from := m.n, netip.AddrPortFrom(old.sent.Local.Addr(), old.sent.Local.Port())
	if old.from == m.n {
		from = old.sent.Remote // its own words come back
	}
	to.inject(from, old.sent.Local.Port(), b)
}

// sealed sends a message of the fuzzer's with the keys of one of n's SAs.
func (m *monkey) sealed() {
	all := slices.DeleteFunc(m.n.module.sortedSAs(), func(s *sa) bool { return s.keys == nil })
	if len(all) == 0 {
		return
	}
	s := all[int(m.next())%len(all)]
	peer := s.twin(m.w)
	x := []wire.Exchange{wire.IKEAuth, wire.CreateChildSA, wire.Informational, wire.Intermediate, wire.FollowupKE, wire.Exchange(m.next())}[m.next()%6]
	how := m.next()
	id, response := s.expect, how&1 != 0
	if response && s.request != nil {
		id = s.request.id
	}
	if how&6 == 6 {
		id += uint32(int32(int8(m.next())))
	}
	if how&8 != 0 {
		c := peer.cipher(true)
		m.n.deliver(s, [][]byte{peer.sealOne(c, peer.header(x, id, response, wire.TypeEncrypted), wire.PayloadType(m.next()), nil, m.take())})
		return
	}
	p := m.payloads()
	if x == wire.IKEAuth && s.boot != nil && !s.initiator && how&16 != 0 {
		p = append(peer.proofBy("wrong", "evil.example.com"), p...)
		if how&32 != 0 {
			p = append(peer.proofBy(rightPSK, "good.example.com"), m.payloads()...)
		}
	}
	room := 0
	if how&64 != 0 && s.fragments {
		room = 200
	}
	out := peer.seal(x, id, response, p, room)
	if how&128 != 0 {
		slices.Reverse(out)
		out = append(out, out[0])
	}
	m.n.deliver(s, out)
}

// payloads are some of those that mean something.
func (m *monkey) payloads() (p wire.Payloads) {
	for range m.next() % 5 {
		spi := uint32(m.next())
		if all := m.n.module.sortedSAs(); len(all) > 0 && spi%2 == 0 {
			if s := all[int(spi/2)%len(all)]; len(s.children) > 0 {
				spi = s.children[0].peerSPI
			}
		}
		four := binary.BigEndian.AppendUint32(nil, spi)
		stranger := m.from[m.next()%4]
		choices := []wire.Payload{
			&wire.Delete{Protocol: wire.ProtocolIKE}, deletion(spi), &wire.Notify{Kind: wire.RekeySA, Protocol: wire.ProtocolESP, SPI: four},
			&wire.Notify{Kind: wire.InitialContact}, &wire.Notify{Kind: wire.UpdateSAAddresses}, &wire.Notify{Kind: wire.AuthenticationFailed},
			&wire.Notify{Kind: wire.NotifyType(binary.BigEndian.Uint16(append([]byte{m.next()}, m.next()))), Data: four},
			&wire.Notify{Kind: wire.MOBIKESupported}, &wire.Notify{Kind: wire.TemporaryFailure}, &wire.Notify{Kind: wire.Cookie, Data: four},
			&wire.Notify{Kind: wire.InvalidKEPayload, Data: wire.GroupData(31)}, &wire.Notify{Kind: wire.UseTransportMode}, &wire.Nonce{Data: make([]byte, 32)},
			&wire.KE{Group: 31, Data: stranger.public}, &wire.KE{Group: uint16(m.next()), Data: four}, &wire.Vendor{Data: four},
			&wire.Auth{Method: 2, Data: make([]byte, 48)}, &wire.ID{Initiator: spi%3 == 0, IDType: 2, Data: []byte("evil.example.com")},
		}
		switch c := m.next(); {
		case c < 200:
			p = append(p, choices[int(c)%len(choices)])
		default:
			for _, s := range m.n.module.sortedSAs() {
				if s.keys != nil && c < 230 {
					return append(p, s.twin(m.w).childWish(spi)...)
				} else if s.keys != nil {
					return append(p, s.twin(m.w).ikeWish(uint64(spi))...)
				}
			}
		}
	}
	seen := map[wire.PayloadType]bool{} // of most kinds there may be one
	return slices.DeleteFunc(p, func(x wire.Payload) bool {
		kind := x.Type()
		twice := seen[kind] && kind != wire.TypeNotify && kind != wire.TypeDelete && kind != wire.TypeVendor
		seen[kind] = true
		return twice
	})
}

// check holds what must hold after everything that anybody sends. That nothing panics the node checks itself.
func (m *monkey) check() {
	for _, s := range m.n.module.sortedSAs() {
		if s.phase < established {
			if s.peer != nil || len(s.children) > 0 {
				m.t.Fatal("an SA that is not established has a peer or children")
			}
			continue
		}
		if id := s.identity.String(); id != "good.example.com" && id != "192.0.2.2" {
			m.t.Fatalf("established with %q", id)
		}
		if len(s.children) > maxChildren+2 {
			m.t.Fatalf("%d children", len(s.children))
		}
	}
	if n := m.n.module; len(n.sas) > 256 || len(n.children) > 64*maxChildren || len(n.refused) > maxRefused || len(n.peers) > len(n.sas) {
		m.t.Fatalf("%d SAs, %d children, %d peers", len(n.sas), len(n.children), len(n.peers))
	}
	for _, up := range m.n.ups {
		if up.Identity != "good.example.com" && up.Identity != "192.0.2.2" {
			m.t.Fatalf("up with %q", up.Identity)
		}
	}
	if len(m.n.in) > len(m.n.module.children) {
		m.t.Fatalf("the data plane lets in %d SPIs of %d children", len(m.n.in), len(m.n.module.children))
	}
}

// FuzzResponder plays a router, as responder and as initiator, with the right keys.
func FuzzResponder(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(script(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4096 {
			newMonkey(t, b).play()
		}
	})
}

// script is a play at random that gets somewhere: strangers that come, prove themselves, and do things.
func script(seed uint64) (b []byte) {
	r := rand.New(rand.NewPCG(seed, 9))
	b = append(b, 1, 0, byte(seed), 1, 0, 1, 0, 0, 0, 48, 0)
	for range 300 {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

// TestRandomly is FuzzResponder at random, a little, each time.
func TestRandomly(t *testing.T) {
	established, rekeyed := uint64(0), uint64(0)
	for seed := range uint64(300) {
		m := newMonkey(t, script(seed))
		m.play()
		established += m.n.counted("established")
		rekeyed += m.n.counted("rekeyed") + m.n.counted("rekeyed-by-peer")
	}
	if established < 100 || rekeyed == 0 {
		t.Errorf("%d SAs were established, %d children rekeyed: the test shows nothing", established, rekeyed)
	}
}
