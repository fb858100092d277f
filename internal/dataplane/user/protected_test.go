package user

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet/esp"
)

// suites are one of each kind.
var suites = []esp.Suite{
	{Encryption: esp.AESGCM, KeyBits: 256},
	{Encryption: esp.ChaCha20Poly1305, KeyBits: 256},
	{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA256},
}

// keysFor are the same for everybody who asks for the same SPI: the tables clear what they were given.
func keysFor(s esp.Suite, spi uint32) esp.Keys {
	encryption, integrity := s.KeyLens()
	k := esp.Keys{Suite: s, Encryption: make([]byte, encryption), Integrity: make([]byte, integrity)}
	for i := range k.Encryption {
		k.Encryption[i] = byte(int(spi)*7 + i)
	}
	for i := range k.Integrity {
		k.Integrity[i] = byte(int(spi)*11 + i)
	}
	return k
}

// association is a pair of SAs, as one of the peers has it.
type association struct {
	sa            dataplane.SA
	in, out       uint32 // SPIs
	suite         esp.Suite
	esn, tunnel   bool
	local, remote netip.AddrPort
}

func (a association) inbound() dataplane.SetInbound {
	return dataplane.SetInbound{SA: a.sa, SPI: a.in, Keys: keysFor(a.suite, a.in), ESN: a.esn, Tunnel: a.tunnel}
}

func (a association) outbound() dataplane.SetOutbound {
	return dataplane.SetOutbound{
		SA: a.sa, SPI: a.out, Keys: keysFor(a.suite, a.out), ESN: a.esn, Tunnel: a.tunnel, Local: a.local, Remote: a.remote,
	}
}

// mirrored is the same as the other peer has it.
func (a association) mirrored() association {
	a.in, a.out, a.local, a.remote = a.out, a.in, a.remote, a.local
	return a
}

// protectedPair is two nodes whose tunnel is protected by a pair of SAs with the handle 1.
func protectedPair(t testing.TB, config dataplane.Tunnel, s association, ipv6 bool, o Options) (w *world, a, b *node) {
	w = newWorld(t, "a", "b")
	w.veth("a eth0 192.0.2.1/24 2001:db8::1/64", "b eth0 192.0.2.2/24 2001:db8::2/64")
	a, b = w.plane("a", o), w.plane("b", o)
	local := [2]string{"192.0.2.1", "192.0.2.2"}
	if ipv6 {
		local = [2]string{"2001:db8::1", "2001:db8::2"}
	}
	s = s.between(local)
	for i, n := range []*node{a, b} {
		c := config
		c.Name, c.Protected, c.Encapsulation = "tun0", true, dataplane.ESP
		c.Local = netip.MustParseAddr(local[i])
		c.Addresses = prefixes(fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("fd00::%d/64", i+1))
		if c.MTU == 0 {
			c.MTU = 1400
		}
		n.tunnel(c)
		n.protect(s)
		s = s.mirrored()
		n.protectedPeer(fmt.Sprintf("10.0.0.%d", 2-i), local[1-i], 1)
		n.protectedPeer(fmt.Sprintf("fd00::%d", 2-i), local[1-i], 1)
	}
	return w, a, b
}

// between fills in what was left open.
func (a association) between(at [2]string) association {
	if a.sa == 0 {
		a.sa = 1
	}
	if a.in == 0 {
		a.in, a.out = 0x1000, 0x2000
	}
	if a.suite == (esp.Suite{}) {
		a.suite = suites[0]
	}
	a.local = netip.AddrPortFrom(netip.MustParseAddr(at[0]), a.local.Port())
	a.remote = netip.AddrPortFrom(netip.MustParseAddr(at[1]), a.local.Port())
	return a
}

func (n *node) protect(s association) { n.do(s.inbound(), s.outbound()) }

func (n *node) protectedPeer(nextHop, endpoint string, sa dataplane.SA) {
	n.do(dataplane.SetAdjacency{
		Tunnel: "tun0", NextHop: netip.MustParseAddr(nextHop), SA: sa,
		Endpoint: netip.AddrPortFrom(netip.MustParseAddr(endpoint), 0), Multicast: true,
	})
}

var (
	inUDP = association{local: netip.AddrPortFrom(netip.Addr{}, dataplane.NATPort)}
	raw   = association{}
)

func TestProtectedPair(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "iperf3")
	t.Parallel()
	for _, c := range []struct {
		name string
		s    association
		ipv6 bool
		key  dataplane.Key
	}{
		{"in UDP over IPv4", inUDP, false, key(42)},
		{"raw over IPv4", raw, false, dataplane.Key{}},
		{"in UDP over IPv6", inUDP, true, key(42)},
		{"raw over IPv6", raw, true, key(42)},
		{"in UDP, AES-CBC", association{suite: suites[2], local: inUDP.local}, false, key(42)},
		{"in UDP, ChaCha20, ESN", association{suite: suites[1], esn: true, local: inUDP.local}, false, key(42)},
		{"in UDP, tunnel mode", association{tunnel: true, local: inUDP.local}, false, key(42)},
		{"raw over IPv6, tunnel mode", association{tunnel: true}, true, key(42)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := protectedPair(t, dataplane.Tunnel{Key: c.key, MSS: true, MTU: 1360}, c.s, c.ipv6, Options{})
			stop := w.capture("b", "eth0", "-s 0 not arp and not icmp6 and not ip6 proto 0")
			w.in("a", "ping -c 3 -i 0.01 -W 2 10.0.0.2")
			w.in("a", "ping -c 3 -i 0.01 -W 2 -s 1300 fd00::2")
			w.transfer("a", "b", "10.0.0.2 -n 4M")
			w.transfer("a", "b", "fd00::2 -n 4M -R")
			for i, row := range stop("esp.spi", "udp.port", "frame.protocols") {
				if !strings.Contains(row, "esp") && !strings.Contains(row, "udpencap") || strings.Contains(row, "gre") {
					t.Fatalf("packet %d is not ESP: %q", i, row)
				}
			}
			for _, n := range []*node{a, b} {
				s, sa := n.Stats()[0], n.SAs()[0]
				for _, why := range []string{"no-replica", "unprotected", "unknown-spi"} { // before all was set up
					delete(s.Drops, why)
				}
				if len(s.Drops) > 0 || len(sa.Drops) > 0 || s.BytesIn < 20<<10 || sa.PacketsIn != s.PacketsIn || sa.BytesOut != s.BytesOut {
					t.Errorf("counted %+v and %+v", s, sa)
				}
				if o := event[dataplane.Opened](n); o.SA != 1 {
					t.Errorf("%+v", o)
				}
			}
			if p := a.Peers("tun0"); p[0].PacketsIn < 3 || p[0].LastIn == 0 {
				t.Errorf("peers %+v", p)
			}
		})
	}
}
