package user

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// protectedStar is a star whose hub has a pair of SAs with each spoke: handle 1 with a, 2 with b, and 1 on the spokes.
func protectedStar(t testing.TB, hub dataplane.Tunnel, s association) (w *world, h, a, b *node) {
	hub.Protected, hub.Encapsulation = true, dataplane.ESP
	w, h, a, b = star(t, hub)
	for i, spoke := range []*node{a, b} {
		c := *spoke.tables.Interface("tun0").Config()
		c.Protected = true
		spoke.do(dataplane.SetTunnel{Tunnel: c})
		up := s.between([2]string{"192.0.2.1", c.Local.String()})
		up.sa, up.in, up.out = dataplane.SA(1+i), up.in+uint32(i), up.out+uint32(i)
		h.protect(up)
		down := up.mirrored()
		down.sa = 1
		spoke.protect(down)
		for _, prefix := range []string{"10.0.0.", "fd00::"} {
			spoke.protectedPeer(prefix+"1", "192.0.2.1", 1)
			h.protectedPeer(fmt.Sprintf("%s%d", prefix, 2+i), c.Local.String(), up.sa)
		}
	}
	return w, h, a, b
}

func TestProtectedHub(t *testing.T) {
	needRoot(t, "ping", "traceroute", "tcpdump", "tshark", "iperf3")
	t.Parallel()
	for _, fast := range []bool{false, true} {
		for name, s := range map[string]association{"in UDP": inUDP, "raw": raw} {
			t.Run(fmt.Sprintf("fast path %v, %s", fast, name), func(t *testing.T) {
				w, h, _, _ := protectedStar(t, dataplane.Tunnel{Redirect: true, FastPath: fast, Key: key(42)}, s)
				if fast { // nobody else may do it
					w.in("h", "sysctl -qw net.ipv4.conf.tun0.forwarding=0 net.ipv6.conf.tun0.forwarding=0")
				}
				stop := w.capture("h", "to-b", "-s 0 ( ip or ip6 ) and not icmp6 and not ip6 proto 0")
				w.in("a", "ping -c 5 -i 0.01 -W 2 -I 10.1.2.1 10.1.3.1")
				w.in("a", "ping -c 3 -i 0.01 -W 2 fd00::3")
				if tr := event[dataplane.Transit](h); tr.SA != 1 {
					t.Errorf("transit %+v, want it by SA 1", tr)
				}
				route := w.in("a", "traceroute -n -w 2 -q 2 -s 10.1.2.1 10.1.3.1")
				if hops := strings.Split(strings.TrimSpace(route), "\n")[1:]; len(hops) != 2 || !strings.Contains(hops[0], " 10.0.0.1 ") {
					t.Errorf("traceroute shows\n%s", route)
				}
				w.transfer("a", "b", "10.0.0.3 -n 2M")
				for _, row := range stop("frame.protocols") {
					if !strings.HasSuffix(row, "esp") && !strings.HasSuffix(row, "udpencap") {
						t.Fatalf("on the wire: %q", row)
					}
				}
				if sas := h.SAs(); len(sas) != 2 || sas[0].BytesIn < 100<<10 || sas[1].BytesOut < 100<<10 || len(sas[0].Drops) > 0 {
					t.Errorf("the hub counted %+v", sas)
				}
			})
		}
	}
}

// An ICMP error of the fast path quotes what came out of an SA. It goes back only where protection leads: not by the default
// route to whoever a peer names as its source.
func TestErrorsAboutProtectedPacketsStayProtected(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	w, h, _, _ := protectedStar(t, dataplane.Tunnel{FastPath: true, Key: key(42)}, inUDP)
	w.in("h", "sysctl -qw net.ipv4.conf.tun0.forwarding=0")
	w.in("h", "ip route add default via 198.51.100.2")
	w.in("a", "ip addr add 172.16.9.9/32 dev lo")
	stop := w.capture("h", "to-a", "icmp")
	before := h.drops("tun0", "unprotected") // of what the kernel sent before all was set up
	w.command("a", "ping -c 1 -W 1 -t 1 -I 172.16.9.9 10.1.3.1").Run()
	eventually(t, "the error is counted, not sent", func() bool { return h.drops("tun0", "unprotected") == before+1 })
	said, _ := w.command("a", "ping -c 1 -W 2 -t 1 -I 10.1.2.1 10.1.3.1").CombinedOutput()
	if !strings.Contains(string(said), "Time to live exceeded") {
		t.Errorf("an error that protection leads back did not come: %s", said)
	}
	if rows := stop("ip.dst"); rows[0] != "" {
		t.Errorf("errors left in clear to %q", rows)
	}
	if n := h.drops("tun0", "time-exceeded"); n != 2 {
		t.Errorf("%d counted", n)
	}
}

// Between peers, and from before the first SA to after the last, nothing but ESP is ever seen.
func TestUnderlayOfAProtectedTunnel(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	for name, s := range map[string]association{"in UDP": inUDP, "raw": raw} {
		t.Run(name, func(t *testing.T) {
			w, a, b := protectedPair(t, dataplane.Tunnel{Key: key(42), MTU: 9000, FragmentOuter: true}, s, false, Options{})
			stop := w.capture("b", "eth0", "-s 0 ip")
			traffic := func() {
				w.command("a", "ping -c 2 -i 0.05 -W 1 10.0.0.2").Run()
				w.command("a", "ping -c 1 -W 1 -s 8000 10.0.0.2").Run()
				w.command("a", "ping -c 1 -W 1 224.0.0.5").Run()
				a.do(dataplane.Send{Tunnel: "tun0", To: netip.MustParseAddrPort("192.0.2.2:0"), SA: 1, Protocol: 0x2001, Payload: marked})
			}
			for _, n := range []*node{a, b} {
				n.do(dataplane.DeleteSA{SA: 1})
			}
			traffic()
			before := a.Stats()[0].PacketsOut
			next := s.between([2]string{"192.0.2.1", "192.0.2.2"})
			a.protect(next)
			b.protect(next.mirrored())
			traffic()
			during := a.Stats()[0].PacketsOut
			a.do(dataplane.DeleteSA{SA: 1})
			traffic()
			c := *a.tables.Interface("tun0").Config()
			a.do(dataplane.DeleteTunnel{Name: "tun0"}, dataplane.SetTunnel{Tunnel: c}) // as after a restart
			traffic()
			if after := a.Stats()[0].PacketsOut; during < before+3 || after != 0 {
				t.Errorf("packets left: %d, then with keys %d, then %d", before, during, after)
			}
			rows := stop("frame.protocols", "ip.proto", "gre.proto")
			if len(rows) < 4 {
				t.Errorf("%d packets captured", len(rows))
			}
			for _, row := range rows {
				f := strings.Split(row, "\t")
				if f[2] != "" || f[1] != "50" && f[1] != "17" {
					t.Errorf("on the wire: %q", row)
				}
			}
		})
	}
}

func TestProtectedClassAndCongestion(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "nft")
	t.Parallel()
	for _, ipv6 := range []bool{false, true} {
		for name, s := range map[string]association{"in UDP": inUDP, "raw": raw} {
			t.Run(fmt.Sprintf("%s over IPv6 %v", name, ipv6), func(t *testing.T) {
				w, _, b := protectedPair(t, dataplane.Tunnel{TTL: 99}, s, ipv6, Options{})
				outer := w.capture("a", "eth0", "esp or udp port 4500")
				w.in("a", "ping -c 1 -W 2 -Q 0xb9 10.0.0.2")
				for _, row := range outer("ip.dsfield", "ipv6.tclass", "ip.ttl", "ipv6.hlim") {
					f := strings.Fields(row)
					if len(f) != 2 || parseHex(f[0]) != 0xb9 && parseHex(f[0]) != 0 || f[1] != "99" {
						t.Errorf("outer class and TTL %q, want 0xb9 99", row)
					}
				}
				mark := map[bool]string{false: "ip", true: "ip6"}[ipv6]
				w.in("b", "nft add table netdev t")
				w.in("b", "nft add chain netdev t c { type filter hook ingress device eth0 priority 0 ; }")
				w.in("b", "nft add rule netdev t c "+mark+" ecn set ce")
				inner := w.capture("b", "tun0", "icmp and src 10.0.0.1")
				w.in("a", "ping -c 1 -W 2 -Q 0x02 10.0.0.2")
				if rows := inner("ip.dsfield.ecn"); len(rows) != 1 || rows[0] != "3" {
					t.Errorf("inner ECN %q, want CE", rows)
				}
				w.command("a", "ping -c 1 -W 1 10.0.0.2").Run()
				if b.drops("tun0", "ecn-illegal") == 0 {
					t.Errorf("drops %v, want ecn-illegal", b.Stats()[0].Drops)
				}
			})
		}
	}
}

// Several queues and sockets share an SA: numbers are given out once, and the window takes what was reordered.
func TestProtectedQueues(t *testing.T) {
	needRoot(t, "ping", "iperf3")
	t.Parallel()
	w, a, b := protectedPair(t, dataplane.Tunnel{Key: key(42)}, inUDP, false, Options{Queues: 3})
	w.transfer("a", "b", "10.0.0.2 -n 16M -P 6")
	for _, n := range []*node{a, b} {
		if d := n.SAs()[0].Drops; d["bad-icv"]+d["replayed"] > 0 {
			t.Errorf("drops %v", d)
		}
	}
}
