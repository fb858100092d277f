package user

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// star is a hub h (10.0.0.1, fd00::1) and the spokes a (.2, LAN 10.1.2.1/24) and b (.3, LAN 10.1.3.1/24), which know
// the hub alone.
func star(t testing.TB, hub dataplane.Tunnel) (w *world, h, a, b *node) {
	w = newWorld(t, "h", "a", "b")
	w.in("h", "ip addr add 192.0.2.1/32 dev lo")
	w.veth("h to-a 198.51.100.254/24", "a eth0 198.51.100.2/24")
	w.veth("h to-b 203.0.113.254/24", "b eth0 203.0.113.3/24")
	w.in("a", "ip route add default via 198.51.100.254")
	w.in("b", "ip route add default via 203.0.113.254")
	h, a, b = w.plane("h", Options{}), w.plane("a", Options{}), w.plane("b", Options{})
	hub.Name, hub.Local, hub.Cloud = "tun0", netip.MustParseAddr("192.0.2.1"), 1
	hub.Addresses, hub.MTU = prefixes("10.0.0.1/24", "fd00::1/64"), 1400
	h.tunnel(hub)
	local := map[*node]string{a: "198.51.100.2", b: "203.0.113.3"}
	for i, s := range []*node{a, b} {
		n := i + 2
		w.in(s.ns, fmt.Sprintf("ip addr add 10.1.%d.1/24 dev lo", n))
		s.tunnel(dataplane.Tunnel{
			Name: "tun0", Local: netip.MustParseAddr(local[s]), Cloud: 1, MTU: 1400, Key: hub.Key,
			Encapsulation: hub.Encapsulation, Addresses: prefixes(fmt.Sprintf("10.0.0.%d/24", n), fmt.Sprintf("fd00::%d/64", n)),
		})
		s.peer("tun0", "10.0.0.1", "192.0.2.1")
		s.peer("tun0", "fd00::1", "192.0.2.1")
		s.do(dataplane.SetFallback{Tunnel: "tun0", NextHop: netip.MustParseAddr("10.0.0.1")},
			dataplane.SetFallback{Tunnel: "tun0", IPv6: true, NextHop: netip.MustParseAddr("fd00::1")})
		s.route("tun0", "10.1.0.0/16", "10.0.0.1")
		h.peer("tun0", fmt.Sprintf("10.0.0.%d", n), local[s])
		h.peer("tun0", fmt.Sprintf("fd00::%d", n), local[s])
		h.route("tun0", fmt.Sprintf("10.1.%d.0/24", n), fmt.Sprintf("10.0.0.%d", n))
	}
	return w, h, a, b
}

func TestHub(t *testing.T) {
	needRoot(t, "ping", "traceroute")
	t.Parallel()
	for _, fast := range []bool{false, true} {
		for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
			t.Run(fmt.Sprintf("fast path %v over %v", fast, e), func(t *testing.T) {
				w, h, a, _ := star(t, dataplane.Tunnel{Redirect: true, FastPath: fast, Encapsulation: e})
				if fast { // nobody else may do it
					w.in("h", "sysctl -qw net.ipv4.conf.tun0.forwarding=0 net.ipv6.conf.tun0.forwarding=0")
				}
				w.in("a", "ping -c 5 -i 0.01 -W 2 -I 10.1.2.1 10.1.3.1")
				w.in("a", "ping -c 3 -i 0.01 -W 2 fd00::3")
				tr := event[dataplane.Transit](h)
				p, err := packet.ParseIP(append(tr.Packet, make([]byte, 1500)...))
				if err != nil || p.Destination().String() != "10.1.3.1" || tr.From.Addr().String() != "198.51.100.2" {
					t.Errorf("transit %+v: want 10.1.3.1 from 198.51.100.2", tr)
				}
				m := event[dataplane.Miss](a)
				if m.NextHop.String() != "fd00::3" {
					t.Errorf("miss of %v, want fd00::3", m.NextHop)
				}
				route := w.in("a", "traceroute -n -w 2 -q 2 -s 10.1.2.1 10.1.3.1")
				hops := strings.Split(strings.TrimSpace(route), "\n")[1:]
				if len(hops) != 2 || !strings.Contains(hops[0], " 10.0.0.1 ") || !strings.Contains(hops[1], " 10.1.3.1 ") {
					t.Errorf("traceroute shows\n%swant 10.0.0.1, 10.1.3.1", route)
				}
				eventually(t, "traceroute shows fd00::1, fd00::3", func() bool { // a kernel limits its ICMPv6, redirects among it
					hops := strings.Split(strings.TrimSpace(w.in("a", "traceroute -6 -n -w 1 -q 1 fd00::3")), "\n")[1:]
					return len(hops) == 2 && strings.Contains(hops[0], " fd00::1 ") && strings.Contains(hops[1], " fd00::3 ")
				})
				w.in("a", "ip link set tun0 mtu 1450")
				for to, size := range map[string]string{"10.0.0.3": "1410", "fd00::3": "1390"} {
					out, _ := w.command("a", "ping -c 2 -i 0.2 -W 1 -M do -s "+size+" "+to).CombinedOutput()
					if !strings.Contains(string(out), "mtu = 1400") && !strings.Contains(string(out), "mtu=1400") {
						t.Errorf("ping says\n%swant an MTU of 1400 from the hub", out)
					}
				}
				if s := h.Stats()[0]; s.PacketsIn < 16 || s.PacketsOut < 16 {
					t.Errorf("hub counted %+v, want at least 16 packets each way", s)
				}
			})
		}
	}
}

func TestTransitIsRateLimitedPerFlow(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	w, h, _, _ := star(t, dataplane.Tunnel{Redirect: true})
	w.in("a", "ping -c 20 -i 0.01 -W 2 10.0.0.3")
	event[dataplane.Transit](h) // a to b
	event[dataplane.Transit](h) // b to a
	select {
	case ev := <-h.events:
		t.Errorf("a third event within two seconds: %+v", ev)
	case <-time.After(100 * time.Millisecond):
	}
}

// The hub's kernel sees a packet leave where it came in, and would tell the spoke.
func TestKernelRedirectsStayInside(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	w, h, _, _ := star(t, dataplane.Tunnel{})
	w.in("h", "sysctl -qw net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.tun0.send_redirects=1")
	w.in("a", "ping -c 5 -i 0.05 -W 2 10.0.0.3")
	out := w.in("a", "ping -c 2 -i 0.05 -W 2 10.0.0.3")
	if strings.Contains(out, "Redirect") {
		t.Errorf("the redirect got out:\n%s", out)
	}
	if h.drops("tun0", "icmp-redirect") == 0 {
		t.Errorf("no redirect counted: %+v", h.Stats())
	}
}

func TestUnreachable(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, c := range []struct{ name, to, says, reason string }{
		{"RFC 1812 5.2.7.1 no adjacency", "10.0.0.77", "Destination Host Unreachable", "no-adjacency"},
		{"RFC 4443 3.1 no adjacency", "fd00::77", "Destination unreachable: Address unreachable", "no-adjacency"},
		{"RFC 1812 4.3.3.1 no route", "198.18.0.1", "Destination Net Unreachable", "no-route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, _ := pair(t, dataplane.Tunnel{}, false)
			w.in("a", "ip route add 198.18.0.0/15 dev tun0") // and not mirrored
			out, _ := w.command("a", "ping -c 1 -W 2 "+c.to).CombinedOutput()
			if !strings.Contains(string(out), c.says) {
				t.Errorf("ping says\n%swant %q", out, c.says)
			}
			if a.drops("tun0", c.reason) != 1 {
				t.Errorf("drops %+v, want one %s", a.Stats()[0].Drops, c.reason)
			}
		})
	}
}

func TestTrafficClass(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "nft")
	t.Parallel()
	for _, c := range []struct {
		name  string
		ipv6  bool
		e     dataplane.Encapsulation
		outer string
	}{
		{"over IPv4", false, dataplane.GRE, "ip.dsfield"}, {"over IPv6", true, dataplane.GRE, "ipv6.tclass"},
		{"in UDP over IPv4", false, dataplane.GREUDP, "ip.dsfield"}, {"in UDP over IPv6", true, dataplane.GREUDP, "ipv6.tclass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := pair(t, dataplane.Tunnel{TTL: 99, Encapsulation: c.e}, c.ipv6)
			stop := w.capture("b", "eth0", "ip proto 47 or ip6 proto 47 or udp port 4754")
			w.in("a", "ping -c 1 -W 2 -Q 0xb9 10.0.0.2")
			w.in("a", "ping -c 1 -W 2 -Q 0x68 fd00::2")
			a.do(dataplane.Send{Tunnel: "tun0", To: a.Peers("tun0")[0].Endpoint, Protocol: packet.EtherNHRP, Payload: []byte("hello")})
			event[dataplane.Received](b)
			rows := stop(c.outer, "ip.ttl", "ipv6.hlim", "ip.flags.df", "ip.src")
			want := []string{"0xb9", "0xb9", "0x68", "0x68", "0xc0"}
			var got []string
			for _, r := range rows {
				f := strings.Split(r, "\t")
				if !strings.Contains(f[1]+f[2], "99") {
					t.Errorf("outer TTL is not 99: %q", r)
				}
				class := strings.Split(f[0], ",")[0]
				if parseHex(class) == 0 {
					continue // the kernel looks for routers and listeners
				}
				got = append(got, "0x"+fmt.Sprintf("%02x", parseHex(class)))
				if !c.ipv6 && !strings.HasPrefix(f[3], "1") && !strings.HasPrefix(f[3], "True") {
					t.Errorf("DF is not set: %q", r)
				}
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("outer classes %v, want %v", got, want)
			}
		})
	}
}

func parseHex(s string) (v uint64) {
	fmt.Sscanf(strings.TrimPrefix(s, "0x"), "%x", &v)
	return v
}

func TestCongestion(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "nft")
	t.Parallel()
	for _, c := range []struct {
		name string
		ipv6 bool
		e    dataplane.Encapsulation
	}{
		{"over IPv4", false, dataplane.GRE}, {"over IPv6", true, dataplane.GRE},
		{"in UDP over IPv4", false, dataplane.GREUDP}, {"in UDP over IPv6", true, dataplane.GREUDP},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _, b := pair(t, dataplane.Tunnel{Encapsulation: c.e}, c.ipv6)
			mark := "add rule netdev t c ip ecn set ce"
			if c.ipv6 {
				mark = "add rule netdev t c ip6 ecn set ce"
			}
			w.in("b", "nft add table netdev t")
			w.in("b", "nft add chain netdev t c { type filter hook ingress device eth0 priority 0 ; }")
			w.in("b", "nft "+mark)
			stop := w.capture("b", "tun0", "( icmp and src 10.0.0.1 ) or ( icmp6 and src fd00::1 )")
			w.in("a", "ping -c 1 -W 2 -Q 0x02 10.0.0.2")
			w.in("a", "ping -c 1 -W 2 -Q 0x02 fd00::2")
			if out, err := w.command("a", "ping -c 1 -W 1 10.0.0.2").CombinedOutput(); err == nil {
				t.Errorf("RFC 6040 4.2: CE on Not-ECT must be dropped:\n%s", out)
			}
			rows := stop("ip.dsfield.ecn", "ipv6.tclass.ecn")
			if got := strings.Join(strings.Fields(strings.Join(rows, " ")), " "); got != "3 3" {
				t.Errorf("inner ECN %q, want CE twice", got)
			}
			if b.drops("tun0", "ecn-illegal") == 0 {
				t.Errorf("drops %+v", b.Stats()[0].Drops)
			}
		})
	}
}

func TestPathMTU(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v over IPv6 %v", e, ipv6), func(t *testing.T) {
				w := newWorld(t, "a", "r", "b")
				w.veth("a eth0 192.0.2.1/24 2001:db8:1::1/64", "r to-a 192.0.2.254/24 2001:db8:1::fe/64")
				w.veth("r to-b 198.51.100.254/24 2001:db8:2::fe/64", "b eth0 198.51.100.1/24 2001:db8:2::1/64")
				w.in("r", "ip link set to-b mtu 1400")
				w.in("b", "ip link set eth0 mtu 1400")
				w.in("a", "ip route add default via 192.0.2.254")
				w.in("a", "ip -6 route add default via 2001:db8:1::fe")
				w.in("b", "ip route add default via 198.51.100.254")
				w.in("b", "ip -6 route add default via 2001:db8:2::fe")
				local := [2]string{"192.0.2.1", "198.51.100.1"}
				if ipv6 {
					local = [2]string{"2001:db8:1::1", "2001:db8:2::1"}
				}
				nodes := []*node{w.plane("a", Options{}), w.plane("b", Options{})}
				for i, n := range nodes {
					n.tunnel(dataplane.Tunnel{
						Name: "tun0", Local: netip.MustParseAddr(local[i]), Encapsulation: e, MTU: 1430,
						Addresses: prefixes(fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("fd00::%d/64", i+1)),
					})
					n.peer("tun0", fmt.Sprintf("10.0.0.%d", 2-i), local[1-i])
					n.peer("tun0", fmt.Sprintf("fd00::%d", 2-i), local[1-i])
				}
				a := nodes[0]
				fit := 1400 - dataplane.Overhead(*a.tables.Interface("tun0").Config())
				w.command("a", "ping -c 1 -W 1 -M do -s 1400 10.0.0.2").Run() // the router tells the kernel
				out, _ := w.command("a", "ping -c 3 -i 0.2 -W 1 -M do -s 1400 10.0.0.2").CombinedOutput()
				if want := fmt.Sprintf("mtu = %d", fit); !strings.Contains(string(out), want) && !strings.Contains(string(out), fmt.Sprintf("mtu=%d", fit)) {
					t.Errorf("ping says\n%swant %q", out, want)
				}
				w.in("a", fmt.Sprintf("ping -c 1 -W 2 -M do -s %d 10.0.0.2", fit-28))
				w.in("a", "ip route flush cache")
				w.in("a", "ping -c 2 -i 0.1 -W 2 -M dont -s 1400 10.0.0.2") // fragments
				out, _ = w.command("a", "ping -c 3 -i 0.2 -W 1 -M do -s 1370 fd00::2").CombinedOutput()
				if want := fmt.Sprintf("mtu=%d", fit); !strings.Contains(string(out), want) && !strings.Contains(string(out), fmt.Sprintf("mtu: %d", fit)) && !strings.Contains(string(out), fmt.Sprintf("mtu = %d", fit)) {
					t.Errorf("ping says\n%swant %q", out, want)
				}
				if a.drops("tun0", "too-big") == 0 {
					t.Errorf("drops %+v, want too-big", a.Stats()[0].Drops)
				}
			})
		}
	}
}
