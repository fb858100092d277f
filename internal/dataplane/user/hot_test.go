package user

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// fakeLink sends like the kernel: up to the first bad message, which fails when it is the first.
type fakeLink struct {
	keep  bool
	sent  [][]byte // one per message
	sizes []int    // UDP_SEGMENT of each, 0 when there is none
	bad   func(*mmsg) unix.Errno
}

func (f *fakeLink) send(m []mmsg) (int, unix.Errno) {
	for i := range m {
		if f.bad != nil {
			if e := f.bad(&m[i]); e != 0 && i == 0 {
				return -1, e
			} else if e != 0 {
				return i, 0
			}
		}
		if f.keep {
			f.sent = append(f.sent, slices.Clone(unsafeBytes(m[i].hdr.Iov.Base, int(m[i].hdr.Iov.Len))))
			f.sizes = append(f.sizes, segmentOf(&m[i]))
		}
	}
	return len(m), 0
}

func (f *fakeLink) receive([]mmsg) (int, unix.Errno) { return 0, unix.EAGAIN }

// rig is a sender and a receiver without a kernel: what the receiver writes is thrown away by a pipe's end.
type rig struct {
	*sender
	*receiver
	link *fakeLink
	peer netip.AddrPort
}

func newRig(t testing.TB, c dataplane.Tunnel) *rig {
	pl, err := New(func(any) bool { return true }, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Local, c.MTU = "tun0", netip.MustParseAddr("192.0.2.1"), 1400
	c.Addresses = prefixes("10.0.0.1/24", "fd00::1/64")
	pl.tables.Apply(dataplane.SetTunnel{Tunnel: c})
	pl.tables.Apply(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.0.0.0/24"), NextHops: []dataplane.NextHop{{Tunnel: "tun0"}}})
	pl.tables.Apply(dataplane.SetRoute{Prefix: netip.MustParsePrefix("fd00::/64"), NextHops: []dataplane.NextHop{{Tunnel: "tun0"}}})
	for i, next := range []string{"10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3"} {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(2 + i/2)}), 0)
		pl.tables.Apply(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(next), Endpoint: endpoint(at, c.Encapsulation), Multicast: i%2 == 0})
	}
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(null) })
	d := &device{plane: pl, name: "tun0", tunnel: pl.tables.Interface("tun0"), tun: &tun{queues: []*descriptor{{fd: null}}, uso: true}}
	d.open(func() {})
	link := &fakeLink{}
	w := &wire{plane: pl, at: place{c.Local, c.Encapsulation}, sockets: []*socket{{link: link}}, probe: -1}
	for k := range w.others {
		w.others[k] = &socket{link: link, kind: kind(k)}
	}
	w.sockets[0].kind = w.main()
	w.open(func() {})
	w.segments.Store(w.main().bulk())
	w.members.Store(&[]member{{c.Key, d}})
	d.wire.Store(w)
	pl.setDevice("tun0", d)
	s := newSender(d, 0)
	s.wire = w
	peer := endpoint(netip.MustParseAddrPort("192.0.2.2:0"), c.Encapsulation)
	return &rig{s, newReceiver(w, w.sockets[0], 0), link, peer}
}

// frame sends what the kernel wrote, vnet header first.
func (r *rig) frame(b []byte) { r.sender.frame(copy(r.readable(), b)) }

// gre receives what came in clear.
func (r *rig) gre(from netip.AddrPort, class uint8, b []byte) {
	r.landing = landing{}
	r.receiver.gre(dataplane.Origin{Endpoint: from}, class, b)
}

var (
	toPeer4 = packet.Header{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), TTL: 64, DontFragment: true}
	toPeer6 = packet.Header{Source: netip.MustParseAddr("fd00::1"), Destination: netip.MustParseAddr("fd00::2"), TTL: 64}
	back4   = packet.Header{Source: toPeer4.Destination, Destination: toPeer4.Source, TTL: 64, DontFragment: true}
	other4  = packet.Header{Source: toPeer4.Destination, Destination: netip.MustParseAddr("10.0.0.3"), TTL: 64, DontFragment: true}
)

// superframe is what the kernel gives with offloads: one header, n octets of payload, to be cut every size octets.
func superframe(h packet.Header, udp bool, n, size int, flags byte) []byte {
	upperLen, kind := 20+12, uint8(gsoTCPv4)
	h.Protocol = packet.TCP
	if h.Source.Is6() {
		kind = gsoTCPv6
	}
	if udp {
		upperLen, kind, h.Protocol = 8, gsoUDP, packet.UDP
	}
	b := packet.AppendIP(make([]byte, vnetLen), h, upperLen+n)
	upper := len(b) - vnetLen
	b = append(b, make([]byte, upperLen+n)...)
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	for i := upper + vnetLen + upperLen; i < len(b); i++ {
		b[i] = byte(rnd.Uint32())
	}
	u := b[vnetLen+upper:]
	copy(u, []byte{4, 0, 0, 80})
	if udp {
		binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	} else {
		copy(u[4:], []byte{255, 255, 255, 0, 0, 0, 0, 9, 8 << 4, flags, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	}
	*vnetOf(b) = vnetHeader{flags: needsChecksum, gso: kind, headerLen: uint16(upper + upperLen), gsoSize: uint16(size), checksumStart: uint16(upper), checksumAt: 16}
	return b
}

// cutAll is the packets of a superframe, each a copy.
func cutAll(t testing.TB, frame []byte) (list [][]byte) {
	t.Helper()
	frame = slices.Clone(frame)
	var c cutter
	p, err := packet.ParseIP(frame[vnetLen:])
	if err != nil || !c.start(p, vnetOf(frame)) {
		t.Fatalf("the frame is refused: %v", err)
	}
	for b := c.next(); b != nil; b = c.next() {
		list = append(list, slices.Clone(b))
	}
	return list
}

func frames(f func(name string, frame []byte)) {
	for _, h := range []packet.Header{toPeer4, toPeer6} {
		for _, udp := range []bool{false, true} {
			name := "TCP to "
			if udp {
				name = "UDP to "
			}
			f(name+h.Destination.String(), superframe(h, udp, 10000, 1300, tcpACK|tcpPSH|tcpFIN|tcpCWR))
		}
	}
}

func TestCut(t *testing.T) {
	frames(func(name string, frame []byte) {
		whole, _ := packet.ParseIP(frame[vnetLen:])
		list := cutAll(t, frame)
		if len(list) != 8 {
			t.Fatalf("%s: %d packets, want 8", name, len(list))
		}
		header := whole.Upper + 8
		if whole.Protocol == packet.TCP {
			header = whole.Upper + 32
		}
		var payload []byte
		for i, b := range list {
			p, err := packet.ParseIP(b)
			if err != nil || len(p.Bytes) != len(b) || !p.ValidChecksum() {
				t.Fatalf("%s: packet %d: %v, checksum right: %v", name, i, err, p.ValidChecksum())
			}
			if !p.Is6() && (packet.Fold(packet.Sum(b[:20], 0)) != 0xffff || binary.BigEndian.Uint16(b[4:]) != uint16(i)) {
				t.Errorf("%s: packet %d: wrong header checksum or ID", name, i)
			}
			if p.Protocol == packet.TCP {
				if got := binary.BigEndian.Uint32(b[p.Upper+4:]); got != 0xffffff00+uint32(len(payload)) {
					t.Errorf("%s: packet %d has sequence %#x", name, i, got)
				}
				want := byte(tcpACK)
				if i == 0 {
					want |= tcpCWR
				}
				if i == len(list)-1 {
					want |= tcpPSH | tcpFIN
				}
				if b[p.Upper+13] != want {
					t.Errorf("%s: packet %d has flags %#x, want %#x", name, i, b[p.Upper+13], want)
				}
			}
			payload = append(payload, b[header:]...)
		}
		if !bytes.Equal(payload, whole.Bytes[header:]) {
			t.Errorf("%s: the payload changed", name)
		}
	})
}

func TestCutRefusesHeadersThatLie(t *testing.T) {
	good := superframe(toPeer4, false, 3000, 1000, tcpACK)
	for name, change := range map[string]func(v *vnetHeader){
		"size 0": func(v *vnetHeader) { v.gsoSize = 0 }, "start beyond": func(v *vnetHeader) { v.checksumStart = 5000 },
		"start in IP": func(v *vnetHeader) { v.checksumStart = 8 }, "UDP of TCP": func(v *vnetHeader) { v.gso = gsoUDP },
	} {
		frame := slices.Clone(good)
		change(vnetOf(frame))
		p, _ := packet.ParseIP(frame[vnetLen:])
		if new(cutter).start(p, vnetOf(frame)) {
			t.Errorf("%s is taken", name)
		}
	}
}

// What is cut and merged again is the superframe it was.
func TestMergeUndoesCut(t *testing.T) {
	for _, h := range []packet.Header{toPeer4, toPeer6} {
		for _, udp := range []bool{false, true} {
			frame := superframe(h, udp, 10000, 1300, tcpACK|tcpPSH)
			m := &merger{udp: true}
			for i, b := range cutAll(t, frame) {
				p, _ := packet.ParseIP(b)
				if !m.add(p) {
					t.Fatalf("%v, UDP %v: packet %d is not merged", h.Destination, udp, i)
				}
			}
			got := m.take()
			a, b := vnetOf(frame), vnetOf(got)
			if b.gso != a.gso || b.gsoSize != a.gsoSize || b.checksumStart != a.checksumStart || b.flags != needsChecksum || b.headerLen != a.headerLen {
				t.Errorf("%v, UDP %v: header %+v, want %+v", h.Destination, udp, b, a)
			}
			clear(got[vnetLen+int(b.checksumStart)+int(b.checksumAt):][:2]) // a pseudo header's sum, where frame has none
			if !bytes.Equal(got[vnetLen:], frame[vnetLen:]) {
				t.Errorf("%v, UDP %v: not what it was", h.Destination, udp)
			}
		}
	}
}

func TestMergeOnlyWhatBelongsTogether(t *testing.T) {
	fix := func(b []byte) { // a right checksum, whatever was changed
		p, _ := packet.ParseIP(b)
		u := p.Payload()
		clear(u[16:18])
		binary.BigEndian.PutUint16(u[16:], ^packet.Fold(packet.Sum(u, p.PseudoSum(packet.TCP, len(u)))))
	}
	for _, c := range []struct {
		name   string
		change func(b []byte)
		merged bool
	}{
		{"the next", func([]byte) {}, true},
		{"a gap", func(b []byte) { b[27]++ }, false},
		{"another port", func(b []byte) { b[23]++ }, false},
		{"another acknowledgement", func(b []byte) { b[31]++ }, false},
		{"another window", func(b []byte) { b[35]++ }, false},
		{"other timestamps", func(b []byte) { b[47]++ }, false},
		{"congestion experienced", func(b []byte) { b[1] = 3; packet.PutIPv4Checksum(b) }, false},
		{"another TTL", func(b []byte) { b[8]--; packet.PutIPv4Checksum(b) }, false},
		{"FIN", func(b []byte) { b[33] |= tcpFIN }, false},
		{"urgent", func(b []byte) { b[33] |= 0x20 }, false},
		{"PSH, which ends the frame", func(b []byte) { b[33] |= tcpPSH }, true},
	} {
		list := cutAll(t, superframe(toPeer4, false, 2000, 1000, tcpACK))
		c.change(list[1])
		fix(list[1])
		m := &merger{}
		first, _ := packet.ParseIP(list[0])
		second, _ := packet.ParseIP(list[1])
		m.add(first)
		if got := m.add(second); got != c.merged {
			t.Errorf("%s: merged %v", c.name, got)
		}
	}
	list := cutAll(t, superframe(toPeer4, false, 2000, 1000, tcpACK))
	list[1][60] ^= 1 // a bad checksum would be made good
	m := &merger{}
	for i, want := range []bool{true, false} {
		p, _ := packet.ParseIP(list[i])
		if m.add(p) != want {
			t.Errorf("packet %d with a broken second: merged %v", i, !want)
		}
	}
}

// The kernel's receive offload may hand many segments to a raw socket as one packet, with no word about it.
func TestJoinedSegmentsAreCutAgain(t *testing.T) {
	for h, length := range map[packet.Header]int{back4: 576, back6: 1280} {
		frame := superframe(h, false, 9000, 1300, tcpACK)
		p, _ := packet.ParseIP(frame[vnetLen:])
		u := p.Payload()
		binary.BigEndian.PutUint16(u[16:], packet.Fold(p.PseudoSum(packet.TCP, len(u))))
		r := newRig(t, dataplane.Tunnel{})
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, p.Bytes))
		if r.receiver.to == nil {
			t.Fatalf("%v: nothing waits for the kernel", h.Source)
		}
		got := slices.Clone(r.merge.take())
		v := vnetOf(got)
		if v.flags != needsChecksum || v.gso == gsoNone || int(v.gsoSize)+int(v.headerLen) != length {
			t.Errorf("%v: header %+v, want packets of %d octets", h.Source, v, length)
		}
		var payload []byte
		for _, b := range cutAll(t, got) {
			if q, err := packet.ParseIP(b); err != nil || !q.ValidChecksum() {
				t.Fatalf("%v: a packet is wrong: %v", h.Source, err)
			}
			payload = append(payload, b[v.headerLen:]...)
		}
		if !bytes.Equal(payload, u[32:]) {
			t.Errorf("%v: the payload changed", h.Source)
		}
		clear(u[16:18])
		binary.BigEndian.PutUint16(u[16:], ^packet.Fold(packet.Sum(u, p.PseudoSum(packet.TCP, len(u)))))
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, p.Bytes))
		if got := r.merge.take(); vnetOf(got).gso != gsoNone || len(got) != vnetLen+len(p.Bytes) {
			t.Errorf("%v: a large packet with a checksum of its own is cut", h.Source)
		}
	}
}

// inGRE is what a peer sends.
func inGRE(key dataplane.Key, inner []byte) []byte {
	return append(packet.AppendGRE(nil, etherType(inner), key.Value, key.Set), inner...)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		r := newRig(t, dataplane.Tunnel{Key: key(42), Encapsulation: e, MSS: true, Redirect: true, FastPath: true})
		work := make([]byte, 0, maxFrame)
		frames := [][]byte{superframe(toPeer4, false, 20000, 1300, tcpACK), superframe(toPeer6, false, 20000, 1300, tcpACK),
			superframe(toPeer4, true, 6400, 64, 0), append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, make([]byte, 64))...)}
		if n := testing.AllocsPerRun(50, func() {
			for _, f := range frames {
				r.frame(append(work[:0], f...))
			}
			r.sender.flush()
		}); n != 0 {
			t.Errorf("%v: sending allocates %v times", e, n)
		}
		var in [][]byte
		for _, b := range cutAll(t, superframe(back4, false, 20000, 1300, tcpACK)) {
			in = append(in, inGRE(key(42), b))
		}
		in = append(in, inGRE(key(42), packet.AppendUDP(nil, back4, 1, 2, make([]byte, 64))))
		in = append(in, inGRE(key(42), packet.AppendUDP(nil, other4, 1, 2, make([]byte, 64))))
		r.gre(r.peer, 0, append(work[:0], in[len(in)-1]...)) // the one transit event
		if n := testing.AllocsPerRun(50, func() {
			for _, b := range in {
				r.gre(r.peer, 0, append(work[:0], b...))
			}
			r.receiver.round(0)
		}); n != 0 {
			t.Errorf("%v: receiving allocates %v times", e, n)
		}
		s := r.sender.device.tunnel.Stats()
		if len(s.Drops) != 0 || s.PacketsIn == 0 || s.PacketsOut == 0 {
			t.Errorf("%v: counted %+v", e, s)
		}
	}
}

func TestBadInputIsCounted(t *testing.T) {
	good := packet.AppendUDP(nil, back4, 1, 2, []byte("x"))
	k := key(42)
	for _, c := range []struct {
		name   string
		b      []byte
		class  uint8
		reason string
	}{
		{"GRE of version 1", []byte{0x20, 1, 0x88, 0x0b, 0, 0, 0, 42}, 0, "bad-gre"},
		{"GRE cut short", []byte{0x20, 0, 8}, 0, "bad-gre"},
		{"another key", inGRE(key(43), good), 0, "unknown-key"},
		{"no key", inGRE(dataplane.Key{}, good), 0, "unknown-key"},
		{"MPLS", append(packet.AppendGRE(nil, 0x8847, 42, true), good...), 0, "unknown-protocol"},
		{"IPv4 as IPv6", append(packet.AppendGRE(nil, packet.EtherIPv6, 42, true), good...), 0, "malformed"},
		{"IPv4 cut short", inGRE(k, good[:25]), 0, "malformed"},
		{"a control packet of 9000 octets", append(packet.AppendGRE(nil, packet.EtherNHRP, 42, true), make([]byte, 9000)...), 0, "malformed"},
		{"RFC 6040 4.2 CE on Not-ECT", inGRE(k, good), 3, "ecn-illegal"},
	} {
		r := newRig(t, dataplane.Tunnel{Key: k})
		r.gre(r.peer, c.class, c.b)
		if s := r.sender.device.tunnel.Stats(); s.Drops[c.reason] != 1 || len(s.Drops) != 1 || s.PacketsIn != 0 {
			t.Errorf("%s: counted %+v, want one %s", c.name, s, c.reason)
		}
	}
}

// A busy loop and one source that floods: what is over is counted, and another source is heard.
func TestControlIsBounded(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{})
	heard := map[netip.AddrPort]int{}
	full := false
	r.sender.device.plane.post = func(ev any) bool {
		if !full {
			heard[ev.(dataplane.Received).From]++
		}
		return !full
	}
	hello := append(packet.AppendGRE(nil, packet.EtherNHRP, 0, false), "hello"...)
	other := netip.MustParseAddrPort("192.0.2.99:0")
	for range 3 * sourcePerSecond {
		r.gre(r.peer, 0, hello)
	}
	r.gre(other, 0, hello)
	if heard[r.peer] != sourcePerSecond || heard[other] != 1 {
		t.Errorf("heard %v, want %d and 1", heard, sourcePerSecond)
	}
	full = true
	r.gre(other, 0, hello)
	if n := r.sender.device.tunnel.Stats().Drops["control-queue-full"]; n != 2*sourcePerSecond+1 {
		t.Errorf("%d counted, want %d", n, 2*sourcePerSecond+1)
	}
}

// One message that the underlay refuses does not keep the others, and order stays.
func TestErrorsKeepTheirNeighbours(t *testing.T) {
	for _, c := range []struct {
		name  string
		errno unix.Errno
		e     dataplane.Encapsulation
	}{{"raw", unix.ENETUNREACH, dataplane.GRE}, {"segments", unix.EINVAL, dataplane.GREUDP}, {"no checksum offload", unix.EIO, dataplane.GREUDP}} {
		r := newRig(t, dataplane.Tunnel{Encapsulation: c.e})
		r.link.keep = true
		r.link.bad = func(m *mmsg) unix.Errno { // what holds the third packet, and all segmentation
			b := unsafeBytes(m.hdr.Iov.Base, int(m.hdr.Iov.Len))
			if segmentOf(m) > 0 || bytes.Contains(b, []byte("number 2")) {
				return c.errno
			}
			return 0
		}
		for i := range 5 {
			b := append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, []byte("number "+string(rune('0'+i))))...)
			r.frame(b)
		}
		r.sender.flush()
		var got []byte
		for _, b := range r.link.sent {
			got = append(got, b[len(b)-1])
		}
		if string(got) != "0134" || r.sender.device.tunnel.Stats().Drops["send-failed"] != 1 {
			t.Errorf("%s: sent %q, drops %v; want 0134 and one send-failed", c.name, got, r.sender.device.tunnel.Stats().Drops)
		}
		if c.errno == unix.EIO && r.sender.wire.segments.Load() {
			t.Errorf("%s: still segmenting", c.name)
		}
	}
}

// A message that is blamed for what ICMP said of another goes out at the second try.
func TestAnErrorOfAnotherPacketCostsNothing(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{})
	pending := unix.ECONNREFUSED
	r.link.bad = func(*mmsg) unix.Errno {
		e := pending
		pending = 0
		return e
	}
	r.link.keep = true
	r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, nil)...))
	r.sender.flush()
	if len(r.link.sent) != 1 || len(r.sender.device.tunnel.Stats().Drops) != 0 {
		t.Errorf("sent %d, drops %v", len(r.link.sent), r.sender.device.tunnel.Stats().Drops)
	}
}

// A bug costs a round and is told; the goroutine goes on.
func TestABugEndsTheRoundOnly(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{FastPath: true})
	var told []any
	r.sender.device.plane.post = func(ev any) bool { told = append(told, ev); return true }
	r.link.bad = func(*mmsg) unix.Errno { panic("boom") }
	r.gre(r.peer, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, other4, 1, 2, nil)))
	r.receiver.round(0)
	copy(r.readable(), append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, nil)...))
	r.sender.round(-1, vnetLen+28)
	if len(told) != 2 {
		t.Errorf("told %v, want two failures", told)
	}
	r.link.bad, r.link.keep = nil, true
	r.sender.round(-1, vnetLen+28)
	if len(r.link.sent) != 1 {
		t.Errorf("sent %d packets after the bug, want 1", len(r.link.sent))
	}
}

func TestSegmentsAreOfOneSizeAndPlace(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{Encapsulation: dataplane.GREUDP, Key: key(1)})
	r.link.keep = true
	to3 := toPeer4
	to3.Destination = other4.Destination
	for _, c := range []struct {
		h packet.Header
		n int
	}{{toPeer4, 100}, {toPeer4, 100}, {toPeer4, 50}, {toPeer4, 100}, {to3, 100}, {to3, 100}, {to3, 200}} {
		r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, c.h, 1, 2, make([]byte, c.n))...))
	}
	r.sender.flush()
	if want := []int{136, 0, 136, 0}; !slices.Equal(r.link.sizes, want) {
		t.Errorf("segment sizes %v, want %v", r.link.sizes, want)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(inGRE(key(42), packet.AppendUDP(nil, back4, 1, 2, []byte("x"))), uint8(3))
	f.Add(inGRE(key(42), packet.AppendUDP(nil, other4, 1, 2, []byte("x"))), uint8(0))
	f.Add(inGRE(key(42), cutAll(f, superframe(back4, false, 3000, 1300, tcpACK))[0]), uint8(1))
	r := newRig(f, dataplane.Tunnel{Key: key(42), MSS: true, Redirect: true, FastPath: true})
	f.Fuzz(func(t *testing.T, b []byte, class uint8) {
		for range 2 { // the same again may merge
			r.gre(r.peer, class, slices.Clone(b))
		}
		r.receiver.round(0)
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(superframe(toPeer4, false, 3000, 1300, tcpACK))
	f.Add(superframe(toPeer6, true, 3000, 1300, tcpACK))
	f.Add(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, nil)...))
	r := newRig(f, dataplane.Tunnel{Key: key(42), MSS: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		r.frame(slices.Clone(b))
		r.sender.flush()
	})
}

func BenchmarkSend(b *testing.B) {
	r := newRig(b, dataplane.Tunnel{Encapsulation: dataplane.GREUDP})
	frame, work := superframe(toPeer4, false, 60000, 1348, tcpACK), make([]byte, 0, maxFrame)
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		r.frame(append(work[:0], frame...))
		r.sender.flush()
	}
}

func BenchmarkReceive(b *testing.B) {
	r := newRig(b, dataplane.Tunnel{Encapsulation: dataplane.GREUDP})
	var in [][]byte
	for _, p := range cutAll(b, superframe(back4, false, 60000, 1348, tcpACK)) {
		in = append(in, inGRE(dataplane.Key{}, p))
	}
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range in {
			r.gre(r.peer, 0, p)
		}
		r.receiver.round(0)
	}
}
