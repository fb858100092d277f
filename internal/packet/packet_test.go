package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

var (
	v4 = Header{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("198.51.100.2"), TTL: 64, ID: 7}
	v6 = Header{Source: netip.MustParseAddr("2001:db8::1"), Destination: netip.MustParseAddr("2001:db8:1::2"), TTL: 64}
)

func families(f func(name string, h Header)) {
	f("IPv4", v4)
	f("IPv6", v6)
}

func parse(t testing.TB, b []byte) IP {
	t.Helper()
	p, err := ParseIP(b)
	if err != nil {
		t.Fatalf("parse %x: %v", b, err)
	}
	return p
}

func headerOK(p IP) bool { return p.Is6() || Fold(Sum(p.Bytes[:p.Upper], 0)) == 0xffff }

func TestHeaderRoundTrip(t *testing.T) {
	families(func(name string, h Header) {
		h.Class = 0xb9
		b := AppendUDP([]byte("before"), h, 1000, 2000, []byte("hello"))[6:]
		p := parse(t, append(b, "padding"...))
		if p.Source() != h.Source || p.Destination() != h.Destination || p.TTL() != 64 || p.Class() != 0xb9 ||
			p.Protocol != UDP || len(p.Bytes) != len(b) || !p.First || p.Fragment {
			t.Errorf("%s: got %+v", name, p)
		}
		if !headerOK(p) || !p.ValidChecksum() {
			t.Errorf("%s: a checksum is wrong", name)
		}
		p.Payload()[9] ^= 1
		if p.ValidChecksum() {
			t.Errorf("%s: a changed payload has a valid checksum", name)
		}
	})
}

func TestClassAndTTL(t *testing.T) {
	families(func(name string, h Header) {
		for c := range 256 {
			p := parse(t, AppendUDP(nil, h, 1, 2, nil))
			if p.SetClass(uint8(c)); p.Class() != uint8(c) || !headerOK(p) {
				t.Fatalf("%s: class %#x: got %#x, header right: %v", name, c, p.Class(), headerOK(p))
			}
		}
		for ttl := range 256 {
			h.TTL = uint8(ttl)
			p := parse(t, AppendUDP(nil, h, 1, 2, nil))
			ok := p.DecrementTTL()
			if want := ttl > 1; ok != want || ok && p.TTL() != uint8(ttl-1) || !ok && p.TTL() != uint8(ttl) || !headerOK(p) {
				t.Fatalf("%s: TTL %d: %v, now %d", name, ttl, ok, p.TTL())
			}
		}
	})
}

func TestCutAtEveryLength(t *testing.T) {
	families(func(name string, h Header) {
		b := AppendUDP(nil, h, 1, 2, []byte("some payload"))
		for n := range len(b) {
			if _, err := ParseIP(b[:n:n]); err == nil {
				t.Errorf("%s cut at %d parses", name, n)
			}
		}
		g := AppendGRE(nil, EtherNHRP, 42, true)
		for n := range len(g) {
			if _, err := ParseGRE(g[:n:n]); err == nil {
				t.Errorf("GRE cut at %d parses", n)
			}
		}
	})
}

// withExtensions is an IPv6 packet with the extension headers of the list before UDP.
func withExtensions(headers ...[]byte) []byte {
	u := AppendUDP(nil, v6, 1, 2, []byte("x"))
	var ext []byte
	for _, h := range headers {
		ext = append(ext, h...)
	}
	b := append(append(bytes.Clone(u[:40]), ext...), u[40:]...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func TestExtensionHeaders(t *testing.T) {
	pad := func(next byte) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }
	for _, c := range []struct {
		name            string
		first           byte
		headers         [][]byte
		protocol        uint8
		upper           int
		fragment, whole bool
	}{
		{"RFC 8200 4.3 hop by hop", 0, [][]byte{pad(UDP)}, UDP, 48, false, true},
		{"RFC 8200 4.1 three in a row", 0, [][]byte{pad(60), pad(43), pad(UDP)}, UDP, 64, false, true},
		{"RFC 8200 4.5 first fragment", 44, [][]byte{{UDP, 0, 0, 1, 0, 0, 0, 9}}, UDP, 48, true, true},
		{"RFC 8200 4.5 later fragment", 44, [][]byte{{UDP, 0, 0, 8, 0, 0, 0, 9}}, UDP, 48, true, false},
		{"RFC 6946 atomic fragment", 44, [][]byte{{UDP, 0, 0, 0, 0, 0, 0, 9}}, UDP, 48, false, true},
		{"RFC 4302 2.2 authentication", 51, [][]byte{{UDP, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}, UDP, 64, false, true},
		{"a length that lies", 60, [][]byte{{UDP, 255, 0, 0, 0, 0, 0, 0}}, noNext, 40, false, true},
	} {
		b := withExtensions(c.headers...)
		b[6] = c.first
		p := parse(t, b)
		if p.Protocol != c.protocol || p.Upper != c.upper || p.Fragment != c.fragment || p.First != c.whole {
			t.Errorf("%s: got protocol %d at %d, fragment %v, first %v", c.name, p.Protocol, p.Upper, p.Fragment, p.First)
		}
		for n := 40; n < len(b); n++ { // a chain cut anywhere
			cut := bytes.Clone(b[:n])
			binary.BigEndian.PutUint16(cut[4:], uint16(n-40))
			p := parse(t, cut)
			p.FlowHash()
			p.MayComplain(TimeExceeded)
		}
	}
}

func TestFlowHash(t *testing.T) {
	families(func(name string, h Header) {
		seen := map[uint32]bool{}
		for port := range uint16(1000) {
			seen[parse(t, AppendUDP(nil, h, port, 53, nil)).FlowHash()] = true
		}
		if len(seen) < 990 {
			t.Errorf("%s: 1000 ports give %d hashes", name, len(seen))
		}
		a, b := AppendUDP(nil, h, 1, 2, []byte("a")), AppendUDP(nil, h, 1, 2, []byte("bcd"))
		if parse(t, a).FlowHash() != parse(t, b).FlowHash() {
			t.Errorf("%s: two packets of a flow hash differently", name)
		}
	})
	first, later := AppendUDP(nil, v4, 1, 2, make([]byte, 64)), AppendUDP(nil, v4, 77, 78, make([]byte, 64))
	first[6], later[7] = 0x20, 3
	if parse(t, first).FlowHash() != parse(t, later).FlowHash() {
		t.Error("fragments of a datagram hash differently")
	}
}

func TestInnerClass(t *testing.T) {
	const d = drop
	for _, c := range []struct{ inner, outer, want uint8 }{ // RFC 6040 figure 4
		{NotECT, NotECT, NotECT}, {NotECT, ECT0, NotECT}, {NotECT, ECT1, NotECT}, {NotECT, CE, d},
		{ECT0, NotECT, ECT0}, {ECT0, ECT0, ECT0}, {ECT0, ECT1, ECT1}, {ECT0, CE, CE},
		{ECT1, NotECT, ECT1}, {ECT1, ECT0, ECT1}, {ECT1, ECT1, ECT1}, {ECT1, CE, CE},
		{CE, NotECT, CE}, {CE, ECT0, CE}, {CE, ECT1, CE}, {CE, CE, CE},
	} {
		got, ok := InnerClass(0xb8|c.inner, 0x40|c.outer)
		if ok != (c.want != d) || ok && got != 0xb8|c.want {
			t.Errorf("inner %d outer %d: %#x %v, want %d", c.inner, c.outer, got, ok, c.want)
		}
	}
}

func TestGRE(t *testing.T) {
	sum := func(b []byte) []byte {
		binary.BigEndian.PutUint16(b[4:], ^naive(b))
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
		key  uint32
		has  bool
	}{
		{"RFC 2784 2.1 plain", []byte{0, 0, 8, 0, 'x'}, true, 0, false},
		{"RFC 2890 2 key", []byte{0x20, 0, 8, 0, 0, 0, 0, 42, 'x'}, true, 42, true},
		{"RFC 2890 2 key 0 is a key", []byte{0x20, 0, 8, 0, 0, 0, 0, 0, 'x'}, true, 0, true},
		{"RFC 2890 2 key and sequence", []byte{0x30, 0, 8, 0, 0, 0, 0, 42, 0, 0, 0, 1, 'x'}, true, 42, true},
		{"RFC 2784 2.3 checksum", sum([]byte{0x80, 0, 8, 0, 0, 0, 0, 0, 'x'}), true, 0, false},
		{"RFC 2784 2.3 checksum and key", sum([]byte{0xa0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 42, 'x'}), true, 42, true},
		{"RFC 2784 2.3 wrong checksum", []byte{0x80, 0, 8, 0, 1, 2, 0, 0, 'x'}, false, 0, false},
		{"RFC 2784 2.2 reserved bits 6-12 are ignored", []byte{0x03, 0xf8, 8, 0, 'x'}, true, 0, false},
		{"RFC 2784 2.2 routing", []byte{0x40, 0, 8, 0, 0, 0, 0, 0, 'x'}, false, 0, false},
		{"RFC 2784 2.2 strict source route", []byte{0x08, 0, 8, 0, 'x'}, false, 0, false},
		{"RFC 2637 version 1", []byte{0x20, 1, 0x88, 0x0b, 0, 0, 0, 42, 'x'}, false, 0, false},
	} {
		g, err := ParseGRE(c.b)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", c.name, err)
		} else if c.ok && (g.Key != c.key || g.HasKey != c.has || string(g.Payload) != "x" || g.Protocol != EtherIPv4) {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
	for _, has := range []bool{false, true} {
		g, err := ParseGRE(append(AppendGRE(nil, EtherNHRP, 7, has), "pay"...))
		if err != nil || g.HasKey != has || g.Protocol != EtherNHRP || string(g.Payload) != "pay" {
			t.Errorf("round trip, key %v: %+v, %v", has, g, err)
		}
	}
}

func TestICMPError(t *testing.T) {
	from := map[bool]netip.Addr{false: netip.MustParseAddr("10.0.0.1"), true: netip.MustParseAddr("fd00::1")}
	families(func(name string, h Header) {
		is6 := h.Source.Is6()
		for what, want := range map[ICMPError][2]string{
			TimeExceeded: {"11/0 0", "3/0 0"}, TooBig: {"3/4 1400", "2/0 1400"},
			HostUnreachable: {"3/1 0", "1/3 0"}, NetUnreachable: {"3/0 0", "1/0 0"},
		} {
			about := parse(t, AppendUDP(nil, h, 1, 2, make([]byte, 2000)))
			b, ok := AppendICMPError(nil, what, about, from[is6], 1400)
			if !ok {
				t.Fatalf("%s: error %d is refused", name, what)
			}
			p := parse(t, b)
			i := p.Payload()
			got := fmt.Sprintf("%d/%d %d", i[0], i[1], binary.BigEndian.Uint32(i[4:]))
			w, size, acc := want[0], 576, uint64(0)
			if is6 {
				w, size, acc = want[1], 1280, p.PseudoSum(ICMPv6, len(i))
			}
			if got != w || len(b) != size || Fold(Sum(i, acc)) != 0xffff || !headerOK(p) {
				t.Errorf("%s: error %d is %s, want %s; %d octets", name, what, got, w, len(b))
			}
			if p.Source() != from[is6] || p.Destination() != h.Source || !bytes.Equal(i[8:], about.Bytes[:len(i)-8]) {
				t.Errorf("%s: error %d has the wrong addresses or quote", name, what)
			}
		}
	})
}

func icmp(h Header, protocol, kind byte) []byte {
	h.Protocol = protocol
	return append(AppendIP(nil, h, 8), kind, 0, 0, 0, 0, 0, 0, 0)
}

func TestNoICMPErrorAbout(t *testing.T) {
	to := func(h Header, dst string) Header { h.Destination = netip.MustParseAddr(dst); return h }
	by := func(h Header, src string) Header { h.Source = netip.MustParseAddr(src); return h }
	later := AppendUDP(nil, v4, 1, 2, make([]byte, 64))
	later[7] = 3
	for _, c := range []struct {
		name string
		b    []byte
		what ICMPError
		want bool
	}{
		{"RFC 1812 4.3.2.7 an ICMP error", icmp(v4, ICMP, 3), TimeExceeded, false},
		{"RFC 1812 4.3.2.7 a redirect", icmp(v4, ICMP, 5), TimeExceeded, false},
		{"an ICMP query", icmp(v4, ICMP, 8), TimeExceeded, true},
		{"RFC 1812 4.3.2.7 to broadcast", AppendUDP(nil, to(v4, "255.255.255.255"), 1, 2, nil), TimeExceeded, false},
		{"RFC 1812 4.3.2.7 to multicast", AppendUDP(nil, to(v4, "224.0.0.5"), 1, 2, nil), TooBig, false},
		{"RFC 1812 4.3.2.7 from nobody", AppendUDP(nil, by(v4, "0.0.0.0"), 1, 2, nil), TimeExceeded, false},
		{"RFC 1812 4.3.2.7 from loopback", AppendUDP(nil, by(v4, "127.0.0.1"), 1, 2, nil), TimeExceeded, false},
		{"RFC 1812 4.3.2.7 from multicast", AppendUDP(nil, by(v4, "224.0.0.1"), 1, 2, nil), TimeExceeded, false},
		{"RFC 1812 4.3.2.7 a later fragment", later, TimeExceeded, false},
		{"RFC 4443 2.4 e.1 an ICMPv6 error", icmp(v6, ICMPv6, 1), TimeExceeded, false},
		{"RFC 4443 2.4 e.2 a redirect", icmp(v6, ICMPv6, 137), TimeExceeded, false},
		{"an ICMPv6 query", icmp(v6, ICMPv6, 128), TimeExceeded, true},
		{"RFC 4443 2.4 e.3 to multicast", AppendUDP(nil, to(v6, "ff02::5"), 1, 2, nil), TimeExceeded, false},
		{"RFC 4443 2.4 e.3 to multicast, too big", AppendUDP(nil, to(v6, "ff02::5"), 1, 2, nil), TooBig, true},
		{"RFC 4443 2.4 e.6 from nobody", AppendUDP(nil, by(v6, "::"), 1, 2, nil), TooBig, false},
	} {
		if got := parse(t, c.b).MayComplain(c.what); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestIsRedirect(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want bool
	}{{icmp(v4, ICMP, 5), true}, {icmp(v4, ICMP, 8), false}, {icmp(v6, ICMPv6, 137), true}, {icmp(v6, ICMPv6, 135), false}, {icmp(v6, ICMP, 5), false}} {
		if got := parse(t, c.b).IsRedirect(); got != c.want {
			t.Errorf("%x: %v", c.b, got)
		}
	}
}

// syn is a TCP segment with these flags and options, its checksum right.
func syn(h Header, flags byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	h.Protocol = TCP
	b := AppendIP(nil, h, 20+len(options))
	at := len(b)
	b = append(b, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 0, 0, byte(20+len(options))/4<<4, flags, 1, 0, 0, 0, 0, 0)
	b = append(b, options...)
	acc := IP{Bytes: b}.PseudoSum(TCP, len(b)-at)
	binary.BigEndian.PutUint16(b[at+16:], ^Fold(Sum(b[at:], acc)))
	return b
}

func TestClampMSS(t *testing.T) {
	families(func(name string, h Header) {
		for _, c := range []struct {
			name    string
			flags   byte
			options []byte
			changes bool
			at      int
		}{
			{"SYN", 2, []byte{2, 4, 5, 0xb4}, true, 2},
			{"SYN and ACK", 0x12, []byte{2, 4, 5, 0xb4}, true, 2},
			{"at an odd place", 2, []byte{1, 2, 4, 5, 0xb4}, true, 3},
			{"behind another option", 2, []byte{3, 3, 7, 2, 4, 5, 0xb4}, true, 5},
			{"no SYN", 0x10, []byte{2, 4, 5, 0xb4}, false, 0},
			{"small enough", 2, []byte{2, 4, 2, 0}, false, 0},
			{"behind the end", 2, []byte{0, 0, 0, 0, 2, 4, 5, 0xb4}, false, 0},
			{"an option of length 0", 2, []byte{9, 0, 2, 4, 5, 0xb4}, false, 0},
			{"an option beyond the header", 2, []byte{1, 1, 2, 9}, false, 0},
			{"no options", 2, nil, false, 0},
		} {
			p := parse(t, syn(h, c.flags, c.options...))
			if got := p.ClampMSS(1360); got != c.changes {
				t.Errorf("%s, %s: clamped %v", name, c.name, got)
			}
			if !p.ValidChecksum() {
				t.Errorf("%s, %s: wrong checksum", name, c.name)
			}
			if c.changes && binary.BigEndian.Uint16(p.Payload()[20+c.at:]) != 1360 {
				t.Errorf("%s, %s: not 1360: %x", name, c.name, p.Payload())
			}
		}
	})
	if MSS(1400, false) != 1360 || MSS(1400, true) != 1340 {
		t.Error("RFC 9293 3.7.1: wrong MSS")
	}
}

func fragments(t testing.TB, p IP, mtu int) (list []IP) {
	for from, more := 0, true; more; more = from > 0 {
		var b []byte
		if b, from = AppendFragment(nil, p, from, mtu); len(b) == 0 {
			return nil
		}
		f := parse(t, b)
		if len(b) > mtu || !headerOK(f) {
			t.Fatalf("fragment of %d octets for an MTU of %d, header right: %v", len(b), mtu, headerOK(f))
		}
		list = append(list, f)
	}
	return list
}

func reassemble(t testing.TB, list []IP) (payload []byte) {
	for i, f := range list {
		word := binary.BigEndian.Uint16(f.Bytes[6:])
		if int(word&0x1fff)*8 != len(payload) || (word&0x2000 != 0) != (i < len(list)-1) {
			t.Fatalf("RFC 791 3.2: fragment %d has %#04x at %d", i, word, len(payload))
		}
		payload = append(payload, f.Payload()...)
	}
	return payload
}

func TestFragments(t *testing.T) {
	data := make([]byte, 3001)
	for i := range data {
		data[i] = byte(i * 7)
	}
	p := parse(t, AppendUDP(nil, v4, 1, 2, data))
	for _, mtu := range []int{28, 68, 576, 1400, 1500, 3029, 4000} {
		if !bytes.Equal(reassemble(t, fragments(t, p, mtu)), p.Payload()) {
			t.Errorf("MTU %d: not what went in", mtu)
		}
	}
	if fragments(t, p, 27) != nil {
		t.Error("an MTU without room for 8 octets gives fragments")
	}
	var again []IP // a fragment of a fragment
	for _, f := range fragments(t, p, 1400) {
		again = append(again, fragments(t, f, 600)...)
	}
	if !bytes.Equal(reassemble(t, again), p.Payload()) {
		t.Error("fragmented twice: not what went in")
	}
}

func TestFragmentOptions(t *testing.T) {
	u := AppendUDP(nil, v4, 1, 2, make([]byte, 100))
	options := []byte{7, 4, 4, 0, 0x94, 4, 0, 0} // record route is not copied, router alert is
	b := append(append(bytes.Clone(u[:20]), options...), u[20:]...)
	b[0] = 0x47
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	PutIPv4Checksum(b)
	list := fragments(t, parse(t, b), 68)
	if len(list) < 2 || list[0].Upper != 28 || list[1].Upper != 24 || list[1].Bytes[20] != 0x94 {
		t.Fatalf("RFC 791 3.1: options of the second fragment: %x", list[1].Bytes[:list[1].Upper])
	}
	reassemble(t, list)
}

func FuzzIP(f *testing.F) {
	families(func(_ string, h Header) {
		f.Add(AppendUDP(nil, h, 1, 2, []byte("seed")), 68)
		f.Add(syn(h, 2, 2, 4, 5, 0xb4), 30)
	})
	f.Add(withExtensions([]byte{UDP, 0, 1, 4, 0, 0, 0, 0}), 100)
	f.Fuzz(func(t *testing.T, b []byte, mtu int) {
		p, err := ParseIP(b)
		if err != nil {
			return
		}
		if p.Upper > len(p.Bytes) || len(p.Bytes) > len(b) {
			t.Fatalf("%+v reaches beyond its bytes", p)
		}
		p.FlowHash()
		p.IsRedirect()
		valid := p.ValidChecksum()
		p.ClampMSS(536)
		if valid && !p.ValidChecksum() {
			t.Fatal("the clamp broke the checksum")
		}
		p.SetClass(p.Class() ^ 0x2e)
		p.DecrementTTL()
		for what := range HostUnreachable {
			AppendICMPError(nil, what, p, v4.Source, mtu)
			AppendICMPError(nil, what, p, v6.Source, mtu)
		}
		if !p.Is6() && mtu > 0 && mtu < 1<<16 {
			fragments(t, p, mtu)
		}
	})
}

func FuzzGRE(f *testing.F) {
	f.Add([]byte{0x20, 0, 8, 0, 0, 0, 0, 42, 'x'})
	f.Add([]byte{0x80, 0, 8, 0, 0, 0, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ParseGRE(b)
		if err != nil {
			return
		}
		again, err := ParseGRE(append(AppendGRE(nil, g.Protocol, g.Key, g.HasKey), g.Payload...))
		if err != nil || again.Key != g.Key || again.HasKey != g.HasKey || again.Protocol != g.Protocol || !bytes.Equal(again.Payload, g.Payload) {
			t.Errorf("%+v became %+v, %v", g, again, err)
		}
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	b, out := AppendUDP(nil, v6, 1, 2, make([]byte, 1000)), make([]byte, 0, 2000)
	n := testing.AllocsPerRun(100, func() {
		p, _ := ParseIP(b)
		p.FlowHash()
		p.ClampMSS(1000)
		p.SetClass(p.Class() + 1)
		p.ValidChecksum()
		g, _ := ParseGRE(append(AppendGRE(out[:0], EtherIPv6, 1, true), p.Bytes...))
		_ = g.Payload
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
