package user

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// opened are the inner packets of what a rig sent to the peer.
func (e *peerEnd) opened(t testing.TB, l *fakeLink) (list [][]byte) {
	t.Helper()
	for i, b := range l.sent {
		size := len(b)
		if l.sizes[i] > 0 {
			size = l.sizes[i]
		}
		for ; len(b) > 0; b = b[min(size, len(b)):] {
			payload, next, err := e.opener.Open(nil, b[:min(size, len(b))])
			if err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if e.tunnel {
				p, err := packet.ParseIP(payload)
				if err != nil || next != ipInIP || p.Protocol != packet.GREIP || p.Source() != e.local.Addr() || p.Destination() != e.remote.Addr() ||
					packet.Fold(packet.Sum(payload[:20], 0)) != 0xffff {
					t.Fatalf("message %d: the header between is wrong: %x", i, payload[:20])
				}
				payload, next = p.Payload(), packet.GREIP
			}
			g, err := packet.ParseGRE(payload)
			if err != nil || next != packet.GREIP {
				t.Fatalf("message %d: next header %d: %v", i, next, err)
			}
			list = append(list, g.Payload)
		}
	}
	return list
}

// What the cutter cuts is sealed where it lies: nothing of the superframe is lost to headers and trailers.
func TestSealedSuperframes(t *testing.T) {
	for _, suite := range suites {
		for _, tunnel := range []bool{false, true} {
			frames(func(name string, frame []byte) {
				s := inUDP
				s.suite, s.tunnel = suite, tunnel
				r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, s)
				r.link.keep = true
				r.frame(slices.Clone(frame))
				r.sender.flush()
				want, got := cutAll(t, frame), e.opened(t, r.link)
				if !slices.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%v, tunnel mode %v, %s: the packets changed", suite, tunnel, name)
				}
				if n := r.link.sizes[0]; len(r.link.sent) != 1 || n == 0 {
					t.Errorf("%v, %s: %d messages, segments of %d octets: want one message", suite, name, len(r.link.sent), n)
				}
			})
		}
	}
}

// kernelOf collects what a rig's receiver writes to its TUN device.
func (r *rig) kernel(t testing.TB) (take func() [][]byte) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(p[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	unix.SetsockoptInt(p[1], unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	r.sender.device.tun.queues = []*descriptor{{fd: p[1]}}
	return func() (list [][]byte) {
		buf := make([]byte, 1<<20)
		n, _ := unix.Read(p[0], buf)
		for ; n > 0; n, _ = unix.Read(p[0], buf) {
			list = append(list, slices.Clone(buf[:n]))
		}
		return list
	}
}

// Packets of several streams, of every kind and order, come out of the receiver as they went in, cut or whole.
func TestOpenedPacketsStayWhatTheyAre(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		for seed := range uint64(40) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			s := inUDP
			s.tunnel = tunnel
			r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, s)
			take := r.kernel(t)
			var streams [][][]byte
			for _, udp := range []bool{false, true} {
				for _, h := range []packet.Header{back4, back6} {
					size := 1 + rnd.IntN(1300)
					streams = append(streams, cutAll(t, superframe(h, udp, size*(1+rnd.IntN(12)), size, tcpACK|tcpPSH)))
				}
			}
			for i := range 3 {
				streams = append(streams, [][]byte{packet.AppendUDP(nil, back4, uint16(i), 9, make([]byte, rnd.IntN(30)))})
			}
			var want [][]byte
			for len(streams) > 0 {
				i := rnd.IntN(len(streams))
				for n := 1 + rnd.IntN(9); n > 0 && len(streams[i]) > 0; n-- {
					want = append(want, streams[i][0])
					b := e.packet(streams[i][0])
					if rnd.IntN(8) == 0 { // what is refused leaves no trace
						bad := slices.Clone(b)
						bad[len(bad)-1] ^= 1
						r.datagram(e.remote, bad)
					}
					r.datagram(e.remote, b)
					if rnd.IntN(8) == 0 {
						r.datagram(e.remote, e.seal(nil, packet.GREIP, append(packet.AppendGRE(nil, packet.EtherNHRP, 42, true), "hello"...)))
					}
					streams[i] = streams[i][1:]
				}
				if len(streams[i]) == 0 {
					streams = slices.Delete(streams, i, i+1)
				}
			}
			r.receiver.round(0)
			var got [][]byte
			merged := 0
			for _, b := range take() {
				if vnetOf(b).gso == gsoNone {
					got = append(got, b[vnetLen:])
					continue
				}
				merged++
				clearChecksum(b)
				got = append(got, cutAll(t, b)...)
			}
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("tunnel mode %v, seed %d: %d packets came out other than the %d that went in", tunnel, seed, len(got), len(want))
			}
			if merged == 0 && len(want) > 30 {
				t.Errorf("tunnel mode %v, seed %d: nothing of %d packets was merged", tunnel, seed, len(want))
			}
		}
	}
}

// clearChecksum takes the pseudo header's sum out of a frame for the kernel, as the cutter fills in the whole.
func clearChecksum(b []byte) {
	v := vnetOf(b)
	clear(b[vnetLen+int(v.checksumStart)+int(v.checksumAt):][:2])
}

func TestProtectedHotPathAllocatesNothing(t *testing.T) {
	for _, suite := range suites {
		for _, c := range []struct {
			name string
			s    association
		}{{"in UDP", inUDP}, {"raw", raw}, {"tunnel mode", association{tunnel: true, local: inUDP.local}}} {
			c.s.suite = suite
			r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42), MSS: true, Redirect: true, FastPath: true}, c.s)
			input := [][]byte{superframe(toPeer4, false, 20000, 1300, tcpACK), superframe(toPeer6, false, 20000, 1300, tcpACK),
				superframe(toPeer4, true, 6400, 64, 0), append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, make([]byte, 64))...)}
			if n := testing.AllocsPerRun(50, func() {
				for _, f := range input {
					r.frame(f)
				}
				r.sender.flush()
			}); n != 0 {
				t.Errorf("%v %s: sending allocates %v times", suite, c.name, n)
			}
			var in [][]byte
			for range 60 {
				for _, b := range cutAll(t, superframe(back4, false, 20000, 1300, tcpACK)) {
					in = append(in, e.packet(b))
				}
				in = append(in, e.packet(packet.AppendUDP(nil, back4, 1, 2, make([]byte, 64))), e.packet(packet.AppendUDP(nil, other4, 1, 2, make([]byte, 64))),
					e.packet(packet.AppendUDP(nil, other4, 1, 2, make([]byte, 64))))
			}
			n := len(in) / 60
			r.receiver.socket.kind = udpESP
			work := make([]byte, 0, maxFrame)
			receive := func() {
				for _, b := range in[:n] {
					r.receiver.datagram(e.remote, 0, append(work[:0], b...))
				}
				in = in[n:]
				r.receiver.round(0)
			}
			receive() // the one transit event, and that of the first packet
			if n := testing.AllocsPerRun(50, receive); n != 0 {
				t.Errorf("%v %s: receiving allocates %v times", suite, c.name, n)
			}
			if s := r.sender.device.tunnel.Stats(); len(s.Drops) != 0 || s.PacketsIn == 0 || s.PacketsOut == 0 {
				t.Errorf("%v %s: counted %+v", suite, c.name, s)
			}
		}
	}
}

// packet is an inner packet as the peer sends it, in the SA's mode.
func (e *peerEnd) packet(inner []byte) []byte { return e.wrap(inGRE(key(42), inner)) }

// The fast path opens and seals again: nothing of the packet changes but TTL and header checksum.
func TestProtectedFastPath(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42), FastPath: true, Cloud: 1}, inUDP)
	far := e.association
	far.out, far.in = 0x2001, 0x1001
	end := newPeerEnd(t, far)
	r.link.keep = true
	var want [][]byte
	for _, b := range cutAll(t, superframe(other4, false, 20000, 1300, tcpACK)) {
		r.datagram(e.remote, e.gre(key(42), b))
		p, _ := packet.ParseIP(b)
		p.DecrementTTL()
		want = append(want, b)
	}
	r.datagram(e.remote, e.gre(key(42), packet.AppendUDP(nil, back4, 1, 2, marked))) // one for the kernel between
	b := packet.AppendUDP(nil, other4, 1, 2, marked)
	r.datagram(e.remote, e.gre(key(42), b))
	p, _ := packet.ParseIP(b)
	p.DecrementTTL()
	want = append(want, b)
	r.receiver.round(0)
	if got := end.opened(t, r.link); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d packets left, want %d, or they changed; drops %v", len(got), len(want), r.sender.device.tunnel.ByReason())
	}
	if len(r.link.sent) > 2 {
		t.Errorf("%d messages, want 2 at most", len(r.link.sent))
	}
}

// Every peer gets a copy of its own, from one and the same buffer.
func TestSealedMulticast(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, inUDP)
	far := e.association
	far.out, far.in = 0x2001, 0x1001
	r.link.keep = true
	b := packet.AppendUDP(nil, packet.Header{Source: toPeer4.Source, Destination: netip.MustParseAddr("224.0.0.5"), TTL: 1}, 1, 2, marked)
	r.frame(append(make([]byte, vnetLen), b...))
	r.sender.flush()
	if len(r.link.sent) != 2 {
		t.Fatalf("%d messages, want 2", len(r.link.sent))
	}
	for i, end := range []*peerEnd{e, newPeerEnd(t, far)} {
		got := end.opened(t, &fakeLink{sent: r.link.sent[i : i+1], sizes: r.link.sizes[i : i+1]})
		if len(got) != 1 || !bytes.Equal(got[0], b) {
			t.Errorf("peer %d got %x, want %x", i, got, b)
		}
	}
}

// Authentic packets from another place are told, those that are not authentic are not: RFC 7296 section 2.23.
func TestRoamedAndOpened(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	r.receiver.now = 5 * time.Second
	var told []any
	r.sender.device.plane.post = func(ev any) bool { told = append(told, ev); return true }
	elsewhere := netip.MustParseAddrPort("198.51.100.9:1024")
	inner := packet.AppendUDP(nil, back4, 1, 2, marked)
	bad := e.gre(dataplane.Key{}, inner)
	bad[len(bad)-1] ^= 1
	r.datagram(elsewhere, bad)
	if len(told) != 0 {
		t.Errorf("a forged packet told %+v", told)
	}
	b := e.gre(dataplane.Key{}, inner)
	r.datagram(e.remote, b)
	r.datagram(elsewhere, b) // a replay
	r.datagram(elsewhere, e.gre(dataplane.Key{}, inner))
	r.datagram(elsewhere, e.gre(dataplane.Key{}, inner))
	want := []any{dataplane.Opened{SA: 1, SPI: e.in}, dataplane.Roamed{SA: 1, Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: elsewhere}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
	r.apply(dataplane.MoveSA{SA: 1, Local: e.local, Remote: elsewhere})
	r.receiver.now += 10 * time.Second
	r.datagram(elsewhere, e.gre(dataplane.Key{}, inner))
	if len(told) != 2 {
		t.Errorf("told %+v after the move", told[2:])
	}
}

func TestUnknownSPIIsToldSeldom(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	r.receiver.now = 5 * time.Second
	told := 0
	r.sender.device.plane.post = func(ev any) bool {
		if u, ok := ev.(dataplane.UnknownSPI); ok && u.SPI == 0x01020304 && u.Remote == e.remote && u.Local.Port() == dataplane.NATPort {
			told++
		}
		return true
	}
	for range 100 {
		r.datagram(e.remote, []byte{1, 2, 3, 4, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9})
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// Port 4500 carries three things, RFC 3948 section 2.
func TestNonESPMarker(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	var told []dataplane.ReceivedIKE
	r.sender.device.plane.post = func(ev any) bool { told = append(told, ev.(dataplane.ReceivedIKE)); return true }
	message := append(make([]byte, ikeHeader), "proposals"...)
	message[3] = 7
	r.datagram(e.remote, append(make([]byte, markerLen), message...))
	r.datagram(e.remote, []byte{keepalive})
	r.datagram(e.remote, []byte{0})
	r.datagram(e.remote, make([]byte, markerLen))
	r.receiver.socket.kind = udpIKE
	r.receiver.datagram(e.remote, 0, message)
	if len(told) != 2 || !bytes.Equal(told[0].Payload, message) || told[0].Local.Port() != 4500 || told[1].Local.Port() != 500 || told[1].Remote != e.remote {
		t.Errorf("told %+v", told)
	}
	message[0] = 0xee // what was told is the receiver's
	if told[1].Payload[0] == 0xee {
		t.Error("the payload is borrowed")
	}
	if d := r.sender.device.tunnel.ByReason(); d["malformed"] != 1 || d["esp-malformed"] != 1 || len(d) != 2 {
		t.Errorf("drops %v: a keepalive is none", d)
	}
}

// A flood of beginnings, from everywhere or from one, leaves room for peers that are known, and for a thousand at once.
func TestIKEStaysReachable(t *testing.T) {
	l := newIKELimits()
	initial, known := make([]byte, ikeHeader), make([]byte, ikeHeader)
	initial[ikeExchange], known[ikeExchange] = ikeSAInit, 35
	known[15] = 1
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 500)
	}
	for i := range 1000 {
		for _, b := range [][]byte{initial, initial, known, known, known, known} {
			if !l.allow(at(i), b, time.Second) {
				t.Fatalf("of a thousand spokes at once number %d is not heard", i)
			}
		}
	}
	passed := 0
	for i := range 100000 {
		if l.allow(at(i), initial, 2*time.Second) {
			passed++
		}
	}
	if passed > ikeInitials || !l.allow(at(3), known, 2*time.Second) {
		t.Errorf("%d of a flood passed; a known peer is heard: %v", passed, l.allow(at(3), known, 2*time.Second))
	}
	passed = 0
	for range 10000 {
		if l.allow(at(7), known, 3*time.Second) {
			passed++
		}
	}
	if passed != ikePerSource {
		t.Errorf("%d of one source passed, want %d", passed, ikePerSource)
	}
}

func FuzzDatagram(f *testing.F) {
	r, e := newProtectedRig(f, dataplane.Tunnel{Key: key(42), MSS: true, Redirect: true, FastPath: true}, inUDP)
	f.Add(e.packet(packet.AppendUDP(nil, back4, 1, 2, marked)))
	f.Add(append(make([]byte, markerLen), make([]byte, ikeHeader)...))
	f.Add([]byte{keepalive})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := r.sender.device.tunnel.Stats().PacketsIn
		r.datagram(e.remote, b)
		r.receiver.round(0)
		if r.sender.device.tunnel.Stats().PacketsIn != before && len(b) < 40 {
			t.Error("a forgery came in")
		}
	})
}

// FuzzOpened is what an authentic peer may send.
func FuzzOpened(f *testing.F) {
	var rigs [2]*rig
	var ends [2]*peerEnd
	for i := range rigs {
		s := inUDP
		s.tunnel = i == 1
		rigs[i], ends[i] = newProtectedRig(f, dataplane.Tunnel{Key: key(42), MSS: true, Redirect: true, FastPath: true}, s)
	}
	f.Add(uint8(packet.GREIP), inGRE(key(42), packet.AppendUDP(nil, back4, 1, 2, marked)))
	f.Add(uint8(packet.GREIP), inGRE(key(42), cutAll(f, superframe(back4, false, 3000, 1300, tcpACK))[0]))
	f.Add(uint8(packet.GREIP), inGRE(key(42), packet.AppendUDP(nil, other4, 1, 2, marked)))
	f.Add(uint8(ipInIP), packet.AppendUDP(nil, packet.Header{Source: toPeer4.Source, Destination: toPeer4.Source}, 1, 2, marked))
	f.Fuzz(func(t *testing.T, next uint8, payload []byte) {
		if len(payload) > 60000 {
			return
		}
		for i, r := range rigs {
			for range 2 { // the same again may merge
				r.datagram(ends[i].remote, ends[i].seal(nil, next, payload))
			}
			r.receiver.round(0)
		}
	})
}

func BenchmarkSealSend(b *testing.B) {
	r, _ := newProtectedRig(b, dataplane.Tunnel{}, inUDP)
	frame := superframe(toPeer4, false, 60000, 1348, tcpACK)
	b.SetBytes(60000)
	b.ReportAllocs()
	for b.Loop() {
		r.frame(frame)
		r.sender.flush()
	}
}

// BenchmarkOpenReceive gives the receiver the peer's packets; sealing them is not counted.
func BenchmarkOpenReceive(b *testing.B) {
	for _, c := range []struct {
		name string
		h    packet.Header
	}{{"to the kernel", back4}, {"to another peer", other4}} {
		b.Run(c.name, func(b *testing.B) {
			r, e := newProtectedRig(b, dataplane.Tunnel{FastPath: true, Cloud: 1}, inUDP)
			r.receiver.socket.kind = udpESP
			list := cutAll(b, superframe(c.h, false, 60000, 1348, tcpACK))
			in := make([][]byte, len(list))
			b.SetBytes(60000)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i, p := range list {
					in[i] = e.gre(dataplane.Key{}, p)
				}
				b.StartTimer()
				for _, p := range in {
					r.receiver.datagram(e.remote, 0, p)
				}
				r.receiver.round(0)
			}
		})
	}
}
