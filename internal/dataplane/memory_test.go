package dataplane

import (
	"net/netip"
	"testing"
	"time"
)

// bench is a plane with what it did.
type memoryBench struct {
	*Memory
	events    []any
	sent      []*Datagram
	delivered []*Datagram
	devices   []string
	at        time.Duration
}

func newMemoryBench(tunnels ...Tunnel) *memoryBench {
	b := &memoryBench{Memory: NewMemory()}
	b.Now = func() time.Duration { return b.at }
	b.Post = func(ev any) { b.events = append(b.events, ev) }
	b.Transmit = func(d *Datagram) { b.sent = append(b.sent, d) }
	b.Deliver = func(_ string, d *Datagram) { b.delivered = append(b.delivered, d) }
	b.Device = func(t Tunnel, gone bool) {
		if gone {
			b.devices = append(b.devices, "-"+t.Name)
		} else {
			b.devices = append(b.devices, "+"+t.Name)
		}
	}
	for _, t := range tunnels {
		b.Do(SetTunnel{t})
	}
	return b
}

func memoryAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func memoryTunnelOf(name string, key uint32) Tunnel {
	return Tunnel{
		Name: name, Cloud: 1, Local: memoryAddr("192.0.2.1"), Key: Key{key, true}, MTU: 1400, TTL: 64, Redirect: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
	}
}

func (b *memoryBench) peer(nextHop, nbma string) {
	b.Do(SetAdjacency{Tunnel: "tun0", NextHop: memoryAddr(nextHop), Endpoint: netip.AddrPortFrom(memoryAddr(nbma), 0), Multicast: true})
}

func (b *memoryBench) route(prefix, via string) {
	h := NextHop{Tunnel: "tun0"}
	if via != "" {
		h.Via = memoryAddr(via)
	}
	b.Do(SetRoute{Prefix: netip.MustParsePrefix(prefix), NextHops: []NextHop{h}})
}

func echoTo(dst string, size int) *Datagram {
	return &Datagram{Source: memoryAddr("172.20.0.1"), Destination: memoryAddr(dst), TTL: 64, Size: size, Body: Echo{ID: 1}}
}

func into(local, from string, key Key, g GREPacket) *Datagram {
	g.Key = key
	return &Datagram{Source: memoryAddr(from), Destination: memoryAddr(local), TTL: 64, Size: 100, Body: g}
}

func TestMemoryWayOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		to     string
		size   int
		df     bool
		wantTo []string // underlay destinations
		event  any
		icmp   bool
	}{
		{name: "a next hop with an adjacency", to: "172.21.0.1", size: 100, wantTo: []string{"192.0.2.2"}},
		{name: "on the link, the destination is the next hop", to: "10.0.0.3", size: 100, wantTo: []string{"192.0.2.3"}},
		{name: "a miss goes to the fallback and is told", to: "10.0.0.9", size: 100, wantTo: []string{"192.0.2.2"},
			event: Miss{"tun0", memoryAddr("10.0.0.9"), memoryAddr("172.20.0.1"), memoryAddr("10.0.0.9")}},
		{name: "multicast goes to everybody once", to: "224.0.0.5", size: 100, wantTo: []string{"192.0.2.2", "192.0.2.3"}},
		{name: "too big with DF: RFC 1191", to: "172.21.0.1", size: 1401, df: true, icmp: true},
		{name: "too big without DF is fragmented", to: "172.21.0.1", size: 1401, wantTo: []string{"192.0.2.2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newMemoryBench(memoryTunnelOf("tun0", 1))
			b.peer("10.0.0.2", "192.0.2.2")
			b.peer("10.0.0.3", "192.0.2.3")
			b.Do(SetFallback{Tunnel: "tun0", NextHop: memoryAddr("10.0.0.2")})
			b.route("10.0.0.0/24", "")
			b.route("172.21.0.0/16", "10.0.0.2")
			d := echoTo(c.to, c.size)
			d.DF = c.df
			b.Output("tun0", d)
			var got []string
			for _, s := range b.sent {
				got = append(got, s.Destination.String())
				if g := s.Body.(GREPacket); g.Inner != d || s.Size != c.size+28 || g.Key.Value != 1 {
					t.Errorf("outer %+v", s)
				}
			}
			if len(got) != len(c.wantTo) {
				t.Fatalf("sent to %v, want %v", got, c.wantTo)
			}
			for i := range got {
				if got[i] != c.wantTo[i] {
					t.Errorf("sent to %v, want %v", got, c.wantTo)
				}
			}
			if c.event != nil && (len(b.events) != 1 || b.events[0] != c.event) {
				t.Errorf("events %v, want %v", b.events, c.event)
			}
			if c.event == nil && len(b.events) > 0 {
				t.Errorf("events %v", b.events)
			}
			if c.icmp != (len(b.delivered) == 1) {
				t.Errorf("delivered %v", b.delivered)
			}
		})
	}
}

func TestMemoryWayIn(t *testing.T) {
	key := Key{1, true}
	for _, c := range []struct {
		name      string
		d         *Datagram
		fast      bool
		want      bool
		delivered int
		forwarded int
		events    int
	}{
		{name: "for the kernel", d: into("192.0.2.1", "192.0.2.2", key, GREPacket{Inner: echoTo("10.0.0.1", 84)}), want: true, delivered: 1},
		{name: "control: Received", d: into("192.0.2.1", "192.0.2.2", key, GREPacket{Protocol: 0x2001, Payload: []byte{1}}), want: true, events: 1},
		{name: "another key is nobody's", d: into("192.0.2.1", "192.0.2.2", Key{2, true}, GREPacket{Inner: echoTo("10.0.0.1", 84)})},
		{name: "no key is not key 0", d: into("192.0.2.1", "192.0.2.2", Key{}, GREPacket{Inner: echoTo("10.0.0.1", 84)})},
		{name: "back into the cloud: Transit, and the kernel forwards", d: into("192.0.2.1", "192.0.2.3", key, GREPacket{Inner: echoTo("172.21.0.1", 84)}),
			want: true, delivered: 1, events: 1},
		{name: "back into the cloud, fast path", d: into("192.0.2.1", "192.0.2.3", key, GREPacket{Inner: echoTo("172.21.0.1", 84)}),
			fast: true, want: true, forwarded: 1, events: 1},
		{name: "back to where it came from is no transit", d: into("192.0.2.1", "192.0.2.2", key, GREPacket{Inner: echoTo("172.21.0.1", 84)}),
			want: true, delivered: 1},
		{name: "GRE in UDP is another tunnel", d: &Datagram{Source: memoryAddr("192.0.2.2"), Destination: memoryAddr("192.0.2.1"),
			Body: UDP{UDPPort, UDPPort, GREPacket{Key: key, Inner: echoTo("10.0.0.1", 84)}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tunnel := memoryTunnelOf("tun0", 1)
			tunnel.FastPath = c.fast
			b := newMemoryBench(tunnel)
			b.peer("10.0.0.2", "192.0.2.2")
			b.peer("10.0.0.3", "192.0.2.3")
			b.route("10.0.0.0/24", "")
			b.route("172.21.0.0/16", "10.0.0.2")
			if got := b.Input(c.d); got != c.want {
				t.Errorf("taken %t, want %t", got, c.want)
			}
			if len(b.delivered) != c.delivered || len(b.sent) != c.forwarded || len(b.events) != c.events {
				t.Errorf("delivered %d, forwarded %d, events %v", len(b.delivered), len(b.sent), b.events)
			}
			for _, s := range b.sent {
				if ttl := s.Body.(GREPacket).Inner.TTL; ttl != 63 {
					t.Errorf("forwarded with TTL %d, want 63", ttl)
				}
			}
		})
	}
}

func TestMemoryStrangersCauseNoRedirect(t *testing.T) {
	b := newMemoryBench(memoryTunnelOf("tun0", 1))
	b.peer("10.0.0.2", "192.0.2.2")
	b.route("172.21.0.0/16", "10.0.0.2")
	b.Input(into("192.0.2.1", "203.0.113.66", Key{1, true}, GREPacket{Inner: echoTo("172.21.0.1", 84)}))
	if len(b.events) > 0 || len(b.delivered) != 1 {
		t.Errorf("events %v, delivered %d, want a packet for the kernel alone", b.events, len(b.delivered))
	}
}

func TestMemoryFastPathNeedsItOnBothTunnels(t *testing.T) {
	for _, c := range []struct {
		name       string
		in, out    bool
		source     string
		sent, left int
	}{
		{"both", true, true, "172.20.0.1", 1, 0},
		{"in alone", true, false, "172.20.0.1", 0, 1},
		{"out alone", false, true, "172.20.0.1", 0, 1},
		{"RFC 1812 5.3.7 from ourselves", true, true, "10.0.0.1", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, out := memoryTunnelOf("tun0", 1), memoryTunnelOf("tun1", 2)
			in.FastPath, out.FastPath = c.in, c.out
			b := newMemoryBench(in, out)
			b.Do(SetAdjacency{Tunnel: "tun1", NextHop: memoryAddr("10.0.0.3"), Endpoint: netip.AddrPortFrom(memoryAddr("192.0.2.3"), 0)})
			b.Do(SetRoute{Prefix: netip.MustParsePrefix("10.0.0.3/32"), NextHops: []NextHop{{Tunnel: "tun1"}}})
			d := echoTo("10.0.0.3", 84)
			d.Source = memoryAddr(c.source)
			b.Input(into("192.0.2.1", "192.0.2.2", Key{1, true}, GREPacket{Inner: d}))
			if len(b.sent) != c.sent || len(b.delivered) != c.left {
				t.Errorf("sent %d, left to the kernel %d, want %d and %d", len(b.sent), len(b.delivered), c.sent, c.left)
			}
		})
	}
}

func TestMemoryReportsAreRateLimited(t *testing.T) {
	b := newMemoryBench(memoryTunnelOf("tun0", 1))
	b.route("10.0.0.0/24", "")
	for range 10 {
		b.Output("tun0", echoTo("10.0.0.9", 84))
	}
	if len(b.events) != 1 {
		t.Errorf("%d misses told at once, want 1", len(b.events))
	}
	b.at += MissInterval + time.Millisecond
	if b.Output("tun0", echoTo("10.0.0.9", 84)); len(b.events) != 2 {
		t.Errorf("%d misses told after the interval, want 2", len(b.events))
	}
}

func TestMemoryTwoTunnelsOneAddress(t *testing.T) {
	b := newMemoryBench(memoryTunnelOf("tun0", 1), memoryTunnelOf("tun1", 2))
	if !b.Input(into("192.0.2.1", "192.0.2.2", Key{2, true}, GREPacket{Protocol: 0x2001})) {
		t.Fatal("not taken")
	}
	if r := b.events[0].(Received); r.Tunnel != "tun1" {
		t.Errorf("key 2 is %s's", r.Tunnel)
	}
	b.Do(SetTunnel{memoryTunnelOf("tun2", 2)})
	if f, ok := b.events[1].(Failed); !ok || f.Tunnel != "tun2" {
		t.Errorf("the same key twice: %v", b.events)
	}
	b.Do(DeleteTunnel{"tun1"})
	if b.Input(into("192.0.2.1", "192.0.2.2", Key{2, true}, GREPacket{Protocol: 0x2001})) {
		t.Error("a deleted tunnel takes packets")
	}
	if want := "+tun0 +tun1 -tun1"; want != b.devices[0]+" "+b.devices[1]+" "+b.devices[2] {
		t.Errorf("devices %v", b.devices)
	}
}

// Nothing passes a protected tunnel in clear, in either direction.
func TestMemoryFailsClosed(t *testing.T) {
	tunnel := memoryTunnelOf("tun0", 1)
	tunnel.Protected = true
	b := newMemoryBench(tunnel)
	b.peer("10.0.0.2", "192.0.2.2")
	b.route("10.0.0.0/24", "")
	b.Output("tun0", echoTo("10.0.0.2", 84))
	b.Do(Send{Tunnel: "tun0", To: netip.MustParseAddrPort("192.0.2.2:0"), Protocol: 0x2001})
	b.Input(into("192.0.2.1", "192.0.2.2", Key{1, true}, GREPacket{Inner: echoTo("10.0.0.1", 84)}))
	b.Input(into("192.0.2.1", "192.0.2.2", Key{1, true}, GREPacket{Protocol: 0x2001}))
	if len(b.sent) != 0 || len(b.delivered) != 0 {
		t.Errorf("sent %v, delivered %v", b.sent, b.delivered)
	}
	for _, ev := range b.events {
		if _, told := ev.(Failed); !told {
			t.Errorf("event %v", ev)
		}
	}
}

func TestMemoryUsed(t *testing.T) {
	b := newMemoryBench(memoryTunnelOf("tun0", 1))
	b.peer("10.0.0.2", "192.0.2.2")
	b.route("172.21.0.0/16", "10.0.0.2")
	ask := AskUsed{Prefix: netip.MustParsePrefix("172.21.0.0/16")}
	for i, used := range []bool{false, true, false} {
		if used {
			b.Output("tun0", echoTo("172.21.0.1", 84))
		}
		b.Do(ask)
		if u := b.events[i].(Used); u.Used != used {
			t.Errorf("ask %d: used %t", i, u.Used)
		}
	}
}

func TestMemoryCongestionIsCarriedInward(t *testing.T) { // RFC 6040 section 4.2
	for _, c := range []struct {
		outer, inner, want uint8
		dropped            bool
	}{
		{3, 0, 0, true}, {3, 1, 3, false}, {3, 2, 3, false}, {2, 2, 2, false}, {0, 1, 1, false}, {0xc3, 0x22, 0x23, false},
	} {
		b := newMemoryBench(memoryTunnelOf("tun0", 1))
		inner := echoTo("10.0.0.1", 84)
		inner.Class = c.inner
		d := into("192.0.2.1", "192.0.2.2", Key{1, true}, GREPacket{Inner: inner})
		d.Class = c.outer
		b.Input(d)
		if c.dropped {
			if len(b.delivered) != 0 || b.Interface("tun0").ByReason()["ecn-illegal"] != 1 {
				t.Errorf("%+v: delivered %d, drops %v", c, len(b.delivered), b.Interface("tun0").ByReason())
			}
			continue
		}
		if len(b.delivered) != 1 || b.delivered[0].Class != c.want || inner.Class != c.inner {
			t.Errorf("%+v: delivered %v", c, b.delivered)
		}
	}
}

func TestDatagramHead(t *testing.T) {
	for _, d := range []*Datagram{
		{Source: memoryAddr("192.0.2.1"), Destination: memoryAddr("198.51.100.2"), TTL: 9, Class: 0xb8, Size: 84, Body: Echo{ID: 5, Seq: 6}},
		{Source: memoryAddr("2001:db8::1"), Destination: memoryAddr("2001:db8::2"), TTL: 9, Class: 0xb8, Size: 104, Body: Echo{ID: 5, Reply: true}},
	} {
		b := d.Head()
		n := HeaderLen(d.Destination)
		if len(b) != n+8 || int(b[0]>>4) != map[int]int{20: 4, 40: 6}[n] {
			t.Fatalf("% x", b)
		}
		if n == 20 && headerChecksum(b[:20]) != 0 {
			t.Errorf("checksum of % x is wrong", b[:20])
		}
		src := netip.Addr{}
		if n == 20 {
			src = netip.AddrFrom4([4]byte(b[12:]))
		} else {
			src = netip.AddrFrom16([16]byte(b[8:]))
		}
		if src != d.Source {
			t.Errorf("source %v, want %v", src, d.Source)
		}
	}
}
