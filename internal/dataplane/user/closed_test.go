package user

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/packet/esp"
)

// newProtectedRig is a rig whose tunnel is protected. Its peers are those of newRig: 10.0.0.2 behind SA 1 and 10.0.0.3
// behind SA 2. The peer's ends seal and open what the rig gets and sends.
func newProtectedRig(t testing.TB, c dataplane.Tunnel, s association) (*rig, *peerEnd) {
	c.Protected, c.Encapsulation = true, dataplane.ESP
	r := newRig(t, c)
	s = s.between([2]string{"192.0.2.1", "192.0.2.2"})
	r.protect(s)
	other := s
	other.sa, other.in, other.out = 2, 0x1001, 0x2001
	other.remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), s.remote.Port())
	r.protect(other)
	for i, next := range []string{"10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3"} {
		r.apply(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(next), SA: dataplane.SA(1 + i/2), Multicast: i%2 == 0, Bound: true})
	}
	return r, newPeerEnd(t, s)
}

func (r *rig) apply(effects ...any) {
	for _, e := range effects {
		r.sender.device.plane.Do(e)
	}
}

func (r *rig) protect(s association) { r.apply(s.inbound(), s.outbound()) }

// peerEnd is the other end of an association.
type peerEnd struct {
	association
	sealer *esp.Sealer
	opener *esp.Opener
}

func newPeerEnd(t testing.TB, s association) *peerEnd {
	e := &peerEnd{association: s}
	var err error
	if e.sealer, err = esp.NewSealer(s.in, keysFor(s.suite, s.in), s.esn); err != nil {
		t.Fatal(err)
	}
	if e.opener, err = esp.NewOpener(s.out, keysFor(s.suite, s.out), s.esn, dataplane.ReplayWindow); err != nil {
		t.Fatal(err)
	}
	return e
}

// seal is a packet of the peer's.
func (e *peerEnd) seal(dst []byte, next uint8, payload []byte) []byte {
	seq, _ := e.sealer.Reserve(1)
	n := e.sealer.TrailerLen(len(payload))
	plain := append(slices.Grow(slices.Clip(payload), n), make([]byte, n)...)
	e.sealer.PutTrailer(plain[len(payload):], next)
	return e.sealer.Seal(dst, seq, plain)
}

// gre is an inner packet as the peer sends it.
func (e *peerEnd) gre(key dataplane.Key, inner []byte) []byte {
	return e.seal(nil, packet.GREIP, inGRE(key, inner))
}

// receive is what the kernel gave: a datagram of port 4500.
func (r *rig) datagram(from netip.AddrPort, b []byte) {
	r.receiver.socket.kind = udpESP
	r.receiver.datagram(from, 0, slices.Clone(b))
}

var marked = []byte("payload that must not be seen")

// sentInClear is the first message with something of GRE or of a payload in it.
func (f *fakeLink) sentInClear() []byte {
	for _, b := range f.sent {
		if len(b) < 8 || bytes.Contains(b, marked[:8]) || binary.BigEndian.Uint16(b[2:]) == packet.EtherIPv4 {
			return b
		}
	}
	return nil
}

// everything makes a protected rig send all it can: by TUN, superframes, multicast, fragments, control, transit.
func everything(r *rig) {
	pl := r.sender.device.plane
	for _, h := range []packet.Header{toPeer4, toPeer6, {Source: toPeer4.Source, Destination: netip.MustParseAddr("224.0.0.5"), TTL: 1}} {
		r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, h, 1, 2, marked)...))
	}
	big := toPeer4
	big.DontFragment = false
	r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, big, 1, 2, bytes.Repeat(marked, 100))...))
	b := superframe(toPeer4, false, 6000, 1300, tcpACK)
	copy(b[len(b)-1300:], marked)
	r.frame(b)
	r.sender.flush()
	pl.Do(dataplane.Send{Tunnel: "tun0", To: r.peer, SA: 1, Protocol: packet.EtherNHRP, Payload: marked})
	pl.Do(dataplane.Send{Tunnel: "tun0", To: r.peer, Protocol: packet.EtherNHRP, Payload: marked})
	way := dataplane.Way{Interface: r.sender.device.tunnel, Adjacency: r.sender.device.tunnel.Adjacency(other4.Destination)}
	p, _ := packet.ParseIP(packet.AppendUDP(nil, other4, 1, 2, marked))
	r.receiver.forward(r.sender.device, &way, p)
	r.receiver.flushWire()
}

func TestNothingLeavesInClear(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *rig)
		sent   bool
	}{
		{"with keys", func(*rig) {}, true},
		{"before the first SA", func(r *rig) { r.apply(dataplane.DeleteSA{SA: 1}, dataplane.DeleteSA{SA: 2}) }, false},
		{"no SA in the adjacencies", func(r *rig) {
			r.apply(dataplane.DeleteSA{SA: 1}, dataplane.DeleteSA{SA: 2})
			for _, next := range []string{"10.0.0.2", "fd00::2", "10.0.0.3"} {
				r.apply(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(next), Endpoint: r.peer, Multicast: true})
			}
		}, false},
		{"handles of others in their place", func(r *rig) {
			r.apply(dataplane.DeleteSA{SA: 1}, dataplane.DeleteSA{SA: 2})
			s := inUDP.between([2]string{"192.0.2.1", "192.0.2.9"})
			s.sa = 1 + 1<<20
			r.protect(s)
		}, false},
		{"inbound keys alone", func(r *rig) {
			r.apply(dataplane.DeleteSA{SA: 1}, dataplane.DeleteSA{SA: 2}, inUDP.between([2]string{"192.0.2.1", "192.0.2.2"}).inbound())
		}, false},
		{"a clear wire under a protected tunnel", func(r *rig) {
			r.sender.wire.at.encapsulation = dataplane.GRE
		}, false},
		{"no wire", func(r *rig) {
			r.sender.device.wire.Store(nil)
			r.sender.wire = nil
		}, false},
	} {
		r, _ := newProtectedRig(t, dataplane.Tunnel{FastPath: true, Key: key(42)}, inUDP)
		r.link.keep = true
		c.change(r)
		everything(r)
		if b := r.link.sentInClear(); b != nil {
			t.Errorf("%s: this left: %q", c.name, b)
		}
		if got := len(r.link.sent) > 0; got != c.sent {
			t.Errorf("%s: sent %v, want %v; drops %v", c.name, got, c.sent, r.sender.device.tunnel.ByReason())
		}
	}
}

// A tunnel that is not protected sends nothing by a wire of ESP, whose receivers would take it for something else.
func TestNothingClearByAProtectedWire(t *testing.T) {
	r, _ := newProtectedRig(t, dataplane.Tunnel{FastPath: true}, inUDP)
	c := *r.sender.device.tunnel.Config()
	c.Protected = false
	r.sender.device.plane.tables.Apply(dataplane.SetTunnel{Tunnel: c})
	r.link.keep = true
	everything(r)
	if len(r.link.sent) > 0 {
		t.Errorf("sent %q", r.link.sent)
	}
}

// Keys end for good: RFC 4303 section 3.3.3.
func TestWornOutKeysSendNothing(t *testing.T) {
	r, _ := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	r.link.keep = true
	out := r.sender.device.plane.tables.Outbound(1)
	for n := out.Sealer.Limit(); n > 0; n /= 2 { // all but none
		for {
			if _, ok := out.Sealer.Reserve(int(min(n, 1<<30))); !ok {
				break
			}
		}
	}
	r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, marked)...))
	r.sender.flush()
	if n := r.sender.device.tunnel.ByReason()["worn-out"]; len(r.link.sent) != 0 || n != 1 {
		t.Errorf("sent %d, counted %d worn-out", len(r.link.sent), n)
	}
}

func TestWornIsToldOnce(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	var told []dataplane.Worn
	r.sender.device.plane.post = func(ev any) bool {
		if w, ok := ev.(dataplane.Worn); ok {
			told = append(told, w)
		}
		return true
	}
	s := e.association
	out, in := s.outbound(), s.inbound()
	out.SPI++ // an outbound SPI is never set twice
	out.Limit, in.Limit = dataplane.Limit{Packets: 3}, dataplane.Limit{Bytes: 100}
	r.apply(out, dataplane.DeleteInbound{SPI: s.in}, in)
	for range 6 {
		r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, marked)...))
		r.sender.flush()
		r.datagram(e.remote, e.gre(dataplane.Key{}, packet.AppendUDP(nil, back4, 1, 2, marked)))
		r.receiver.round(0)
	}
	want := []dataplane.Worn{{SA: 1, SPI: s.in}, {SA: 1, SPI: out.SPI, Out: true}}
	if !slices.Equal(told, want) && !slices.Equal(told, []dataplane.Worn{want[1], want[0]}) {
		t.Errorf("told %+v, want %+v", told, want)
	}
}

// A loop that has no room hears of it later: keys that nobody changes end, and what nobody opened is never sent by.
func TestWhatAFullQueueLosesIsToldAgain(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	var told []any
	full := true
	r.sender.device.plane.post = func(ev any) bool {
		if !full {
			told = append(told, ev)
		}
		return !full
	}
	out, in := e.outbound(), e.inbound()
	out.SPI++
	out.Limit, in.Limit = dataplane.Limit{Packets: 2}, dataplane.Limit{Packets: 2}
	r.apply(out, dataplane.DeleteInbound{SPI: in.SPI}, in)
	for _, full = range []bool{true, true, false, false} {
		for range 5 {
			r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, marked)...))
			r.datagram(e.remote, e.gre(dataplane.Key{}, packet.AppendUDP(nil, back4, 1, 2, marked)))
		}
		r.sender.flush()
		r.receiver.round(0)
	}
	want := []any{dataplane.Opened{SA: 1, SPI: in.SPI}, dataplane.Worn{SA: 1, SPI: out.SPI, Out: true}, dataplane.Worn{SA: 1, SPI: in.SPI}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
}

// A tunnel that is protected no more has adjacencies with ESP's port for a moment. Raw GRE has none: over IPv6 the kernel takes a
// port for a protocol, and what is cut would be cut as UDP, which such a wire cannot.
func TestPortsOfESPAreNotThoseOfRawGRE(t *testing.T) {
	for _, outer := range []bool{false, true} {
		r := newRig(t, dataplane.Tunnel{Key: key(42), FragmentOuter: outer})
		r.sender.wire.others = [kinds]*socket{cutGRE: r.sender.wire.others[cutGRE]} // as openWire makes it
		r.link.keep = true
		var names []int
		r.link.bad = func(m *mmsg) unix.Errno {
			names = append(names, int(binary.BigEndian.Uint16(unsafeBytes(m.hdr.Name, 4)[2:])))
			return 0
		}
		r.sender.device.plane.tables.Apply(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: toPeer4.Destination, Endpoint: netip.MustParseAddrPort("192.0.2.2:4500")})
		if outer {
			r.sender.device.tunnel.Adjacency(toPeer4.Destination).LearnPathMTU(600, r.sender.device.plane.now())
		}
		r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, make([]byte, 1000))...))
		r.sender.flush()
		if len(r.link.sent) != 1 || names[0] != 0 || binary.BigEndian.Uint16(r.link.sent[0][2:]) != packet.EtherIPv4 {
			t.Errorf("cut outside %v: %d messages to port %v; drops %v", outer, len(r.link.sent), names, r.sender.device.tunnel.ByReason())
		}
	}
}

// What is not authentic, not fresh, not for us, or not what was agreed, does not come in and has no effect.
func TestWhatDoesNotEnter(t *testing.T) {
	k := key(42)
	good := packet.AppendUDP(nil, back4, 1, 2, marked)
	for _, c := range []struct {
		name   string
		make   func(e *peerEnd) []byte
		reason string
	}{
		{"RFC 4303 3.4.4 a changed octet", func(e *peerEnd) []byte { b := e.gre(k, good); b[30] ^= 1; return b }, "bad-icv"},
		{"a changed sequence number", func(e *peerEnd) []byte { b := e.gre(k, good); b[7] ^= 0x40; return b }, "bad-icv"},
		{"cut short", func(e *peerEnd) []byte { b := e.gre(k, good); return b[:len(b)-1] }, "bad-icv"},
		{"a header alone", func(e *peerEnd) []byte { return e.gre(k, good)[:8] }, "esp-malformed"},
		{"less than a header", func(e *peerEnd) []byte { return e.gre(k, good)[:7] }, "esp-malformed"},
		{"RFC 4303 3.4.2 an unknown SPI", func(e *peerEnd) []byte { b := e.gre(k, good); b[0] = 0x77; return b }, "unknown-spi"},
		{"GRE in clear", func(*peerEnd) []byte { return inGRE(k, good) }, "unknown-spi"},
		{"UDP instead of GRE", func(e *peerEnd) []byte { return e.seal(nil, packet.UDP, good) }, "not-gre"},
		{"tunnel mode, not agreed", func(e *peerEnd) []byte { return e.seal(nil, ipInIP, good) }, "esp-malformed"},
		{"another key", func(e *peerEnd) []byte { return e.gre(key(43), good) }, "unknown-key"},
		{"no GRE behind next header 47", func(e *peerEnd) []byte { return e.seal(nil, packet.GREIP, []byte{1, 2, 3}) }, "bad-gre"},
		{"nothing behind next header 47", func(e *peerEnd) []byte { return e.seal(nil, packet.GREIP, nil) }, "bad-gre"},
	} {
		r, e := newProtectedRig(t, dataplane.Tunnel{Key: k}, inUDP)
		r.datagram(e.remote, c.make(e))
		r.receiver.round(0)
		if s := r.sender.device.tunnel.Stats(); s.Drops[c.reason] != 1 || len(s.Drops) != 1 || s.PacketsIn != 0 {
			t.Errorf("%s: counted %+v, want one %s", c.name, s, c.reason)
		}
	}
	r, e := newProtectedRig(t, dataplane.Tunnel{Key: k}, inUDP)
	r.apply(dataplane.MoveSA{SA: 1, Local: netip.MustParseAddrPort("192.0.2.77:4500"), Remote: e.remote})
	r.datagram(e.remote, e.gre(k, good))
	if s := r.sender.device.tunnel.Stats(); s.Drops["wrong-peer"] != 1 || s.PacketsIn != 0 {
		t.Errorf("by an SA of another local address: counted %+v", s)
	}
	r, e = newProtectedRig(t, dataplane.Tunnel{Key: k}, inUDP)
	b := e.gre(k, good)
	for range 3 {
		r.datagram(e.remote, b)
	}
	r.datagram(e.remote, e.seal(nil, esp.NoNextHeader, make([]byte, 100))) // a dummy, RFC 4303 section 2.6
	r.receiver.round(0)
	if s := r.sender.device.tunnel.Stats(); s.Drops["replayed"] != 2 || len(s.Drops) != 1 || s.PacketsIn != 1 {
		t.Errorf("RFC 4303 3.4.3 a packet three times: counted %+v", s)
	}
	r.apply(dataplane.DeleteSA{SA: 1})
	r.datagram(e.remote, e.gre(k, good))
	r.receiver.round(0)
	if s := r.sender.device.tunnel.Stats(); s.Drops["unknown-spi"] != 1 || s.PacketsIn != 1 {
		t.Errorf("after the SA was deleted: counted %+v", s)
	}
}

// Clear GRE on a protected tunnel, by whatever wire, and what came out of an SA on a tunnel that is not protected.
func TestGates(t *testing.T) {
	for _, c := range []struct {
		protected bool
		sa        dataplane.SA
		want      bool
	}{{true, 0, false}, {true, 1, true}, {false, 0, true}, {false, 1, false}} {
		if got := mayEnter(&dataplane.Tunnel{Protected: c.protected}, c.sa); got != c.want {
			t.Errorf("%+v may enter: %v", c, got)
		}
	}
}

func TestTunnelModeIsStrict(t *testing.T) {
	s := inUDP
	s.tunnel = true
	inner := inGRE(dataplane.Key{}, packet.AppendUDP(nil, back4, 1, 2, marked))
	h := packet.Header{Source: netip.MustParseAddr("192.0.2.2"), Destination: netip.MustParseAddr("192.0.2.1"), TTL: 64, Protocol: packet.GREIP}
	for _, c := range []struct {
		name   string
		next   uint8
		head   func(h *packet.Header)
		after  func(b []byte) []byte
		reason string
	}{
		{"as agreed", ipInIP, nil, nil, ""},
		{"RFC 4301 5.2 from another source", ipInIP, func(h *packet.Header) { h.Source = h.Source.Next() }, nil, "wrong-peer"},
		{"to another destination", ipInIP, func(h *packet.Header) { h.Destination = netip.MustParseAddr("10.0.0.1") }, nil, "wrong-peer"},
		{"not GRE", ipInIP, func(h *packet.Header) { h.Protocol = packet.UDP }, nil, "not-gre"},
		{"IPv4 as IPv6", ipv6InIP, nil, nil, "esp-malformed"},
		{"transport mode", packet.GREIP, nil, nil, "esp-malformed"},
		{"cut short", ipInIP, nil, func(b []byte) []byte { return b[:len(b)-1] }, "esp-malformed"},
		{"a fragment", ipInIP, nil, func(b []byte) []byte { b[6] = 0x20; return b }, "esp-malformed"},
		{"RFC 6040 4.2 congestion experienced outside Not-ECT", ipInIP, func(h *packet.Header) { h.Class = 3 }, nil, "ecn-illegal"},
	} {
		r, e := newProtectedRig(t, dataplane.Tunnel{}, s)
		head := h
		if c.head != nil {
			c.head(&head)
		}
		b := append(packet.AppendIP(nil, head, len(inner)), inner...)
		if c.after != nil {
			b = c.after(b)
		}
		r.datagram(e.remote, e.seal(nil, c.next, b))
		r.receiver.round(0)
		got := r.sender.device.tunnel.Stats()
		if c.reason == "" && (got.PacketsIn != 1 || len(got.Drops) != 0) || c.reason != "" && (got.Drops[c.reason] != 1 || got.PacketsIn != 0) {
			t.Errorf("%s: counted %+v, want %q", c.name, got, c.reason)
		}
	}
}
