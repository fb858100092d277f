package user

import (
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

func TestClearFilter(t *testing.T) {
	withChecksum := func(k uint32) []byte { // RFC 2890 section 2: checksum and reserved octets come first
		return []byte{0xa0, 0, 8, 0, 0, 0, 0, 0, byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}
	}
	keyed := []member{{key: key(42)}, {key: key(1 << 31)}}
	for _, c := range []struct {
		name    string
		members []member
		gre     []byte
		taken   bool
	}{
		{"a member's key", keyed, packet.AppendGRE(nil, packet.EtherIPv4, 42, true), true},
		{"another member's", keyed, packet.AppendGRE(nil, packet.EtherNHRP, 1<<31, true), true},
		{"behind a checksum", keyed, withChecksum(42), true},
		{"nobody's key", keyed, packet.AppendGRE(nil, packet.EtherIPv4, 43, true), false},
		{"nobody's key behind a checksum", keyed, withChecksum(43), false},
		{"no key", keyed, packet.AppendGRE(nil, packet.EtherIPv4, 0, false), false},
		{"no key, for a member without", []member{{}}, packet.AppendGRE(nil, packet.EtherIPv4, 0, false), true},
		{"key 0, for a member without", []member{{}}, packet.AppendGRE(nil, packet.EtherIPv4, 0, true), false},
		{"nobody there", nil, packet.AppendGRE(nil, packet.EtherIPv4, 0, false), false},
		{"cut short", keyed, []byte{0x20, 0, 8, 0, 0}, false},
		{"nothing", keyed, nil, false},
	} {
		for _, options := range []int{0, 4} {
			head := append(packet.AppendIP(nil, packet.Header{Source: toPeer4.Source, Destination: back4.Source}, len(c.gre)), make([]byte, options)...)
			head[0] += byte(options / 4)
			for _, ipv6 := range []bool{false, true} {
				b := append(head, c.gre...)
				if ipv6 {
					b = c.gre
				}
				vm, err := bpf.NewVM(clearFilter(c.members, ipv6))
				if err != nil {
					t.Fatal(err)
				}
				if n, err := vm.Run(b); err != nil || (n >= len(b) && n > 0) != c.taken {
					t.Errorf("%s, IPv6 %v: %d octets are taken, %v", c.name, ipv6, n, err)
				}
			}
		}
	}
}

// What comes in clear to a protected address is counted, not let in, and not quoted back: Linux answers a protocol that nobody
// listens for with ICMP. What has the key of a tunnel in clear at the same address is that tunnel's.
func TestClearToAProtectedAddress(t *testing.T) {
	needRoot(t, "tcpdump", "tshark")
	t.Parallel()
	for _, ipv6 := range []bool{false, true} {
		w, a, b := protectedPair(t, dataplane.Tunnel{Key: key(42)}, inUDP, ipv6, Options{})
		at := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		if ipv6 {
			at = [2]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}
		}
		for i, n := range []*node{a, b} {
			c := dataplane.Tunnel{Name: "tun1", Local: at[i], Key: key(7), MTU: 1400, Addresses: prefixes([]string{"10.9.0.1/24", "10.9.0.2/24"}[i])}
			n.tunnel(c)
			c.Name, c.Key, c.Addresses = "tun2", key(42), nil // as if the other end protected nothing
			if n == a {
				c.MTU = 1400
				n.tunnel(c)
			}
		}
		stop := w.capture("b", "eth0", "icmp[icmptype]=icmp-unreach or ( icmp6 and ( ip6[40]==1 or ip6[40]==4 ) )")
		send := func(tunnel string) {
			a.do(dataplane.Send{Tunnel: tunnel, To: netip.AddrPortFrom(at[1], 0), Protocol: packet.EtherNHRP, Payload: []byte("hello")})
		}
		before := b.drops("tun0", "unprotected")
		for range 3 {
			send("tun2")
		}
		send("tun1")
		if r := event[dataplane.Received](b); r.Tunnel != "tun1" || r.SA != 0 {
			t.Errorf("IPv6 %v: received %+v, want it by tun1", ipv6, r)
		}
		eventually(t, "clear packets are counted", func() bool { return b.drops("tun0", "unprotected") == before+3 })
		if n := b.drops("tun0", "unknown-key"); n != 0 {
			t.Errorf("IPv6 %v: %d packets of another tunnel are counted", ipv6, n)
		}
		b.do(dataplane.DeleteTunnel{Name: "tun1"}) // nobody but the protected tunnel listens now
		for range 3 {
			send("tun2")
		}
		eventually(t, "clear packets are counted", func() bool { return b.drops("tun0", "unprotected") == before+6 })
		send("tun1") // a key of nobody's: silence, too
		if rows := stop("ip.src"); rows[0] != "" {
			t.Errorf("IPv6 %v: answered by ICMP: %q", ipv6, rows)
		}
	}
}
