package ike

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// translator is a NAT: who is inside has another address and port outside, as it was given when it first sent.
type translator struct {
	outside netip.Addr
	inside  netip.Prefix
	out, in map[netip.AddrPort]netip.AddrPort
	next    uint16
}

func (w *world) behind(inside, outside string) *translator {
	x := &translator{outside: netip.MustParseAddr(outside), inside: netip.MustParsePrefix(inside), next: 20000}
	x.forget()
	before := w.nat
	w.nat = func(d dataplane.SendIKE) dataplane.SendIKE { return x.translate(before(d)) }
	return x
}

func (x *translator) forget() {
	x.out, x.in = map[netip.AddrPort]netip.AddrPort{}, map[netip.AddrPort]netip.AddrPort{}
}

func (x *translator) translate(d dataplane.SendIKE) dataplane.SendIKE {
	if x.inside.Contains(d.Local.Addr()) {
		if _, known := x.out[d.Local]; !known {
			x.next++
			public := netip.AddrPortFrom(x.outside, x.next)
			x.out[d.Local], x.in[public] = public, d.Local
		}
		d.Local = x.out[d.Local]
	}
	if d.Remote.Addr() == x.outside {
		d.Remote = x.in[d.Remote] // the zero value, nobody, where there is no mapping
	}
	return d
}

// natted is a spoke behind a NAT that has joined a hub which is not.
func natted(t *testing.T, change ...func(*Profile)) (w *world, x *translator, spoke, hub *node) {
	t.Helper()
	w, x = newWorld(t, 5), nil
	x = w.behind("10.0.0.0/8", "203.0.113.1")
	spoke, hub = w.add("spoke", "10.0.0.2", profile(change...), 0), w.add("hub", "192.0.2.1", profile(change...), 0)
	spoke.ensure(hub)
	w.pass(3 * time.Second)
	if !linked(spoke, hub) {
		t.Fatal(spoke.logs, hub.logs)
	}
	return w, x, spoke, hub
}

func (n *node) to() netip.AddrPort {
	for _, out := range n.out {
		return out.to
	}
	return netip.AddrPort{}
}

func ensureAt(n *node, remote netip.Addr) protect.Ensure {
	return protect.Ensure{Tunnel: "tun0", Local: n.addr, Remote: remote, Urgent: true}
}

// TestNAT is RFC 7296 section 2.23.
func TestNAT(t *testing.T) {
	quiet := func(p *Profile) { p.DPD, p.MOBIKE = 0, false }
	play(t, []rule{
		{"RFC 7296 2.23: an initiator behind a NAT floats to 4500, and ESP is in UDP", func(t *testing.T) {
			_, _, spoke, hub := natted(t, quiet)
			s, h := spoke.ike(), hub.ike()
			if !s.natLocal || s.natRemote || h.natLocal || !h.natRemote || s.local.Port() != 4500 || s.remote.Port() != 4500 {
				t.Errorf("%+v %+v", s.nat(), h.nat())
			}
			if to := hub.to(); to.Addr().String() != "203.0.113.1" || to.Port() < 20000 || to != h.remote || !hub.ups[0].NAT || !spoke.ups[0].NAT {
				t.Error(to, hub.ups)
			}
		}},
		{"RFC 7296 2.23: a responder behind a NAT is told so", func(t *testing.T) {
			w := newWorld(t, 5)
			x := w.behind("10.0.0.0/8", "203.0.113.1")
			hub, spoke := w.add("hub", "10.0.0.1", profile(quiet), 0), w.add("spoke", "192.0.2.2", profile(quiet), 0)
			for _, port := range []uint16{500, 4500} { // forwarded ports
				in, out := netip.AddrPortFrom(hub.addr, port), netip.AddrPortFrom(x.outside, port)
				x.out[in], x.in[out] = out, in
			}
			spoke.post(core.Request{Body: ensureAt(spoke, x.outside)})
			spoke.run()
			w.pass(3 * time.Second)
			if !linked(spoke, hub) || !hub.ike().natLocal || !spoke.ike().natRemote {
				t.Error(spoke.logs, hub.logs)
			}
		}},
		{"RFC 7296 2.23: both behind NATs", func(t *testing.T) {
			w := newWorld(t, 5)
			w.behind("10.0.0.0/8", "203.0.113.1")
			x := w.behind("172.16.0.0/12", "203.0.113.2")
			hub, spoke := w.add("hub", "172.16.0.1", profile(quiet), 0), w.add("spoke", "10.0.0.2", profile(quiet), 0)
			for _, port := range []uint16{500, 4500} {
				in, out := netip.AddrPortFrom(hub.addr, port), netip.AddrPortFrom(x.outside, port)
				x.out[in], x.in[out] = out, in
			}
			spoke.post(core.Request{Body: ensureAt(spoke, x.outside)})
			spoke.run()
			w.pass(3 * time.Second)
			if s := spoke.ike(); !linked(spoke, hub) || !s.natLocal || !s.natRemote {
				t.Error(spoke.logs, hub.logs)
			}
		}},
		{"RFC 3948 5.2: two spokes behind one NAT are two peers, and so are their keys", func(t *testing.T) {
			w, _, one, hub := natted(t, quiet)
			two := w.add("two", "10.0.0.3", profile(quiet), 0)
			two.ensure(hub)
			w.pass(3 * time.Second)
			if !linked(one, hub) || !linked(two, hub) || len(hub.module.peers) != 2 || len(hub.downs) != 0 {
				t.Error(hub.logs)
			}
			hub.call(func(env *core.Env) { hub.module.peers[hub.ups[0].SA].newest().close(env, "test") })
			if w.pass(100 * time.Millisecond); !linked(two, hub) {
				t.Error("the end of one ended the other")
			}
		}},
		{"RFC 7296 2.4: a spoke that begins anew behind its NAT, by another port, leaves nothing old at the hub", func(t *testing.T) {
			w, x, spoke, hub := natted(t, quiet)
			x.forget()
			spoke.boot(spoke.module.profiles["corp"], 0)
			spoke.ensure(hub)
			w.pass(8 * time.Second) // the hub asks first: another of that name may live there
			if !linked(spoke, hub) || len(hub.module.peers) != 1 || len(hub.module.sas) != 1 {
				t.Error(len(hub.module.peers), hub.logs)
			}
		}},
		{"RFC 7296 2.23: the SPI-less hashes of IKE_SA_INIT find no NAT where there is none", func(t *testing.T) {
			_, a, b := met(t, quiet)
			if a.ike().nat() != "none" || b.ike().nat() != "none" || a.ups[0].NAT {
				t.Error(a.ike().nat(), b.ike().nat())
			}
		}},
		{"RFC 3948 4: who is behind a NAT keeps its mapping, and who is not sends nothing", func(t *testing.T) {
			w, _, spoke, hub := natted(t, quiet)
			sent := map[*node]int{}
			w.seen = func(n *node, d dataplane.SendIKE) {
				if bytes.Equal(d.Payload, []byte{0xff}) && d.Local.Port() == 4500 {
					sent[n]++
				}
			}
			w.pass(10 * time.Minute)
			if sent[spoke] < 25 || sent[spoke] > 35 || sent[hub] != 0 {
				t.Error(sent)
			}
		}},
		{"RFC 7296 2.23: a new mapping of the NAT is followed when a packet proved authentic", func(t *testing.T) {
			w, x, spoke, hub := natted(t, func(p *Profile) { p.DPD = 10 * time.Second; p.MOBIKE = false })
			before := hub.to()
			x.forget()
			w.pass(time.Minute)
			if hub.to() == before || !linked(spoke, hub) || len(hub.downs) != 0 || len(hub.module.peers) != 1 {
				t.Error(before, hub.to(), hub.logs)
			}
		}},
		{"RFC 7296 2.23: no address is changed by what is not authentic, or was said before", func(t *testing.T) {
			w, _, spoke, hub := natted(t, quiet)
			h := hub.ike()
			before, peer := hub.to(), h.twin(w)
			requests := peer.seal(wire.Informational, peer.nextID, false, nil, 0)
			peer.nextID++
			hub.deliver(h, requests)
			mallory := netip.MustParseAddrPort("198.51.100.66:4500")
			wrong := slices.Clone(requests[0])
			wrong[len(wrong)-1] ^= 1
			for _, b := range [][]byte{requests[0], wrong, requests[0][:40]} {
				hub.inject(mallory, 4500, b)
			}
			if hub.to() != before || h.remote != before || !linked(spoke, hub) {
				t.Error(hub.to(), h.remote)
			}
		}},
		{"RFC 7296 2.23: who is not behind a NAT does not move without MOBIKE", func(t *testing.T) {
			_, _, b := met(t, quiet)
			s, before := b.ike(), b.to()
			peer := s.twin(b.w)
			b.inject(netip.MustParseAddrPort("198.51.100.66:4500"), s.local.Port(), peer.seal(wire.Informational, peer.nextID, false, nil, 0)[0])
			b.post(dataplane.Roamed{SA: s.peer.handle, Local: s.local, Remote: netip.MustParseAddrPort("198.51.100.66:4500")})
			if b.run(); b.to() != before || s.remote.Addr() != before.Addr() {
				t.Error(b.to(), s.remote)
			}
		}},
		{"RFC 7296 2.23: authentic ESP from another port of the NAT is followed", func(t *testing.T) {
			_, _, _, hub := natted(t, quiet)
			h := hub.ike()
			now := netip.AddrPortFrom(h.remote.Addr(), 33333)
			hub.post(dataplane.Roamed{SA: h.peer.handle, Local: h.local, Remote: now})
			if hub.run(); hub.to() != now || h.remote != now {
				t.Error(hub.to(), h.remote)
			}
		}},
		{"RFC 7296 2.23: with encapsulation in UDP asked for, a NAT is made out", func(t *testing.T) {
			w := newWorld(t, 1)
			a, b := w.add("a", "192.0.2.1", profile(quiet), UDP), w.add("b", "192.0.2.2", profile(quiet), Raw)
			a.ensure(b)
			w.pass(2 * time.Second)
			if !linked(a, b) || a.to().Port() != 4500 || b.to().Port() != 4500 {
				t.Error(a.to(), b.to())
			}
		}},
	})
}

// TestMOBIKE is RFC 4555.
func TestMOBIKE(t *testing.T) {
	play(t, []rule{
		{"RFC 4555 3.5: who began moves to another address, and all goes on", func(t *testing.T) {
			w, a, b := met(t)
			move(w, a, "198.51.100.7")
			w.pass(3 * time.Second)
			if b.to().Addr() != a.addr || !linked(a, b) || len(a.downs)+len(b.downs) != 0 || len(b.module.peers) != 1 {
				t.Error(b.to(), a.logs, b.logs)
			}
		}},
		{"RFC 4555 3.5: a move whose first messages are lost goes on", func(t *testing.T) {
			w, a, b := met(t)
			w.lose(2, func(m message) bool { return m.header.Exchange == wire.Informational })
			move(w, a, "198.51.100.7")
			w.pass(5 * time.Second)
			if b.to().Addr() != a.addr || !linked(a, b) || len(a.downs)+len(b.downs) != 0 {
				t.Error(b.to(), a.logs, b.logs)
			}
		}},
		{"RFC 4555 3.5: who answered does not move, but is met anew", func(t *testing.T) {
			w, a, b := met(t)
			b.ensure(a)
			move(w, b, "198.51.100.7")
			w.pass(time.Minute)
			if !linked(a, b) {
				t.Error(a.logs, b.logs)
			}
		}},
		{"RFC 4555 3.5: without MOBIKE an UPDATE_SA_ADDRESSES changes nothing", func(t *testing.T) {
			w, _, b := met(t, plain)
			s, before := b.ike(), b.to()
			peer := s.twin(w)
			b.inject(netip.MustParseAddrPort("198.51.100.66:4500"), s.local.Port(), peer.seal(wire.Informational, peer.nextID, false, wire.Payloads{&wire.Notify{Kind: wire.UpdateSAAddresses}}, 0)[0])
			if b.to() != before {
				t.Error(b.to())
			}
		}},
		{"RFC 4555 3.5: a responder's UPDATE_SA_ADDRESSES changes nothing", func(t *testing.T) {
			w, a, _ := met(t)
			s, before := a.ike(), a.to()
			peer := s.twin(w)
			a.inject(netip.MustParseAddrPort("198.51.100.66:4500"), s.local.Port(), peer.seal(wire.Informational, peer.nextID, false, wire.Payloads{&wire.Notify{Kind: wire.UpdateSAAddresses}}, 0)[0])
			if a.to() != before {
				t.Error(a.to())
			}
		}},
	})
}

// move gives a router another underlay address.
func move(w *world, n *node, to string) {
	delete(w.nodes, n.addr)
	n.addr = netip.MustParseAddr(to)
	w.nodes[n.addr] = n
	n.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun0", Local: n.addr, Protected: true}}})
	n.run()
}

// TestFragments is RFC 7383.
func TestFragments(t *testing.T) {
	small := func(p *Profile) { p.FragmentSize = 200 }
	// cut is a request of some fragments, as b's peer would send it.
	cut := func(b *node, p ...wire.Payload) (s *sa, fragments [][]byte) {
		s = b.ike()
		peer := s.twin(b.w)
		fragments = peer.seal(wire.Informational, peer.nextID, false, p, peer.room())
		if len(fragments) < 3 {
			t.Fatalf("%d fragments", len(fragments))
		}
		return s, fragments
	}
	filler := &wire.Notify{Kind: probeKind, Data: make([]byte, 400)}
	end := &wire.Delete{Protocol: wire.ProtocolIKE}
	gone := func(b *node) bool { return len(b.module.sas) == 0 }
	play(t, []rule{
		{"RFC 7383 2.6: fragments make a message in any order", func(t *testing.T) {
			for turn := range 6 {
				_, _, b := met(t, plain, small)
				s, f := cut(b, filler, end)
				for i := range f {
					if gone(b) {
						t.Fatal("before the last")
					}
					b.deliver(s, [][]byte{f[(i*turn+turn+i)%len(f)]})
				}
				b.deliver(s, f)
				if !gone(b) {
					t.Error("not whole", turn)
				}
			}
		}},
		{"RFC 7383 2.6: a message without one of its fragments is none", func(t *testing.T) {
			for missing := range 3 {
				_, _, b := met(t, plain, small)
				s, f := cut(b, filler, end)
				if b.deliver(s, slices.Delete(slices.Clone(f), missing, missing+1)); gone(b) {
					t.Error(missing)
				}
				if b.deliver(s, f[missing:missing+1]); !gone(b) {
					t.Error("whole, and not taken", missing)
				}
			}
		}},
		{"RFC 7383 2.6: a fragment that comes twice counts once", func(t *testing.T) {
			_, _, b := met(t, plain, small)
			s, f := cut(b, filler, end)
			if b.deliver(s, slices.Repeat(f[:1], len(f)*2)); gone(b) {
				t.Error("taken")
			}
			if b.deliver(s, f); !gone(b) {
				t.Error("not taken")
			}
		}},
		{"RFC 7383 2.6: fragments of a larger total replace those before, of a smaller are dropped", func(t *testing.T) {
			_, _, b := met(t, plain, small)
			s := b.ike()
			peer := s.twin(b.w)
			p := wire.Payloads{filler, end}
			few, many := peer.seal(wire.Informational, peer.nextID, false, p, 300), peer.seal(wire.Informational, peer.nextID, false, p, 150)
			b.deliver(s, few[:1])
			b.deliver(s, many[:1])
			if b.deliver(s, few[1:]); gone(b) {
				t.Error("fragments of two totals were joined")
			}
			if b.deliver(s, many[1:]); !gone(b) {
				t.Error("the larger total did not win")
			}
		}},
		{"RFC 7383 2.6: a fragment that is not authentic does not disturb the others", func(t *testing.T) {
			_, _, b := met(t, plain, small)
			s, f := cut(b, filler, end)
			b.deliver(s, f[:1])
			for i := wire.HeaderLen; i < len(f[1]); i++ {
				wrong := slices.Clone(f[1])
				wrong[i] ^= 0x10
				if b.deliver(s, [][]byte{wrong}); gone(b) {
					t.Fatal(i)
				}
			}
			if b.deliver(s, f[1:]); !gone(b) {
				t.Error("not taken")
			}
		}},
		{"RFC 7383 2.6.1: a request that comes again gets its answer again once, not for each fragment", func(t *testing.T) {
			_, _, b := met(t, plain, small)
			s, f := cut(b, filler)
			if out := b.deliver(s, f); len(out) != 1 {
				t.Fatal(len(out))
			}
			if out := b.deliver(s, f); len(out) != 1 {
				t.Errorf("%d answers", len(out))
			}
		}},
		{"RFC 7383 2.3: who did not announce fragments gets none, and takes none", func(t *testing.T) {
			w := newWorld(t, 1)
			a, b := w.add("a", "192.0.2.1", profile(func(p *Profile) { p.FragmentSize = 0 }), 0), w.add("b", "192.0.2.2", profile(small), 0)
			all := w.tape()
			a.ensure(b)
			w.pass(2 * time.Second)
			w.mustPass(a, b)
			for _, m := range *all {
				if m.header.Next == wire.TypeFragment {
					t.Fatal(m.header)
				}
			}
			s := a.ike()
			peer := s.twin(w)
			if a.deliver(s, peer.seal(wire.Informational, peer.nextID, false, wire.Payloads{filler, end}, 150)); s.phase != established {
				t.Error("fragments are taken")
			}
		}},
		{"RFC 7383 2.5: lost fragments have all of them sent again", func(t *testing.T) {
			w, a, b := duo(t, small)
			lost := w.lose(3, func(m message) bool { return m.header.Next == wire.TypeFragment })
			a.ensure(b)
			w.pass(5 * time.Second)
			if w.mustPass(a, b); *lost != 3 {
				t.Error(*lost)
			}
		}},
		{"CVE-2026-12413: unknown payloads beside a fragment fill nothing", func(t *testing.T) {
			_, _, b := met(t, plain, small)
			s, f := cut(b, filler, end)
			h, _ := wire.ParseHeader(f[0])
			for n := range 200 {
				var body []byte
				for range n {
					body = append(body, 200, 0, 0, 4)
				}
				m := h
				m.Next, m.Length = 200, uint32(len(f[0])+len(body))
				if n == 0 {
					m.Next = wire.TypeFragment
				} else {
					body[len(body)-4] = byte(wire.TypeFragment)
				}
				b.deliver(s, [][]byte{slices.Concat(m.Append(nil), body, f[0][wire.HeaderLen:])})
			}
			if s.phase != established {
				t.Error(s.phase)
			}
		}},
	})
	t.Run("RFC 7383 2.6: what fragments of messages that never end hold is bounded", func(t *testing.T) {
		_, _, b := met(t, plain, small)
		s := b.ike()
		peer := s.twin(b.w)
		c := peer.cipher(true)
		for i := range 3000 {
			h := peer.header(wire.Informational, peer.nextID, false, wire.TypeFragment)
			n, total := i%64+1, 65
			b.deliver(s, [][]byte{peer.sealOne(c, h, 0, []byte{0, byte(n), 0, byte(total + i/64)}, make([]byte, 60000))})
		}
		held := 0
		for i := range s.partial {
			held += int(reflect.ValueOf(s.partial[i].parts).FieldByName("size").Int())
		}
		if held > 1<<20 {
			t.Errorf("%d octets are held", held)
		}
	})
}
