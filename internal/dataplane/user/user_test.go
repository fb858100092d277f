package user

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// pair is two nodes with an underlay between them and one tunnel over it.
func pair(t testing.TB, config dataplane.Tunnel, ipv6 bool) (w *world, a, b *node) {
	return pairWith(t, config, ipv6, Options{})
}

func pairWith(t testing.TB, config dataplane.Tunnel, ipv6 bool, o Options) (w *world, a, b *node) {
	w = newWorld(t, "a", "b")
	w.veth("a eth0 192.0.2.1/24 2001:db8::1/64", "b eth0 192.0.2.2/24 2001:db8::2/64")
	a, b = w.plane("a", o), w.plane("b", o)
	local := [2]string{"192.0.2.1", "192.0.2.2"}
	if ipv6 {
		local = [2]string{"2001:db8::1", "2001:db8::2"}
	}
	for i, n := range []*node{a, b} {
		c := config
		c.Name = "tun0"
		c.Local = netip.MustParseAddr(local[i])
		c.Addresses = prefixes(fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("fd00::%d/64", i+1))
		if c.MTU == 0 {
			c.MTU = 1500 - dataplane.Overhead(c)
		}
		n.tunnel(c)
		other := 1 - i
		n.peer("tun0", fmt.Sprintf("10.0.0.%d", other+1), local[other])
		n.peer("tun0", fmt.Sprintf("fd00::%d", other+1), local[other])
	}
	return w, a, b
}

func TestPing(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	key := dataplane.Key{Value: 42, Set: true}
	for _, c := range []struct {
		name string
		dataplane.Tunnel
		ipv6 bool
	}{
		{"GRE with key over IPv4", dataplane.Tunnel{Key: key}, false},
		{"GRE without key over IPv4", dataplane.Tunnel{}, false},
		{"GRE with key over IPv6", dataplane.Tunnel{Key: key}, true},
		{"GRE in UDP over IPv4", dataplane.Tunnel{Key: key, Encapsulation: dataplane.GREUDP}, false},
		{"GRE in UDP over IPv6", dataplane.Tunnel{Key: key, Encapsulation: dataplane.GREUDP}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, _ := pair(t, c.Tunnel, c.ipv6)
			w.in("a", "ping -c 3 -i 0.01 -W 2 10.0.0.2")
			w.in("a", "ping -c 3 -i 0.01 -W 2 fd00::2")
			if s := a.Stats()[0]; s.PacketsOut < 6 || s.PacketsIn < 6 {
				t.Errorf("counted %+v, want at least 6 packets each way", s)
			}
			if p := a.Peers("tun0"); len(p) != 2 || p[0].PacketsIn != 3 || p[0].LastIn == 0 {
				t.Errorf("peers %+v, want 3 packets from 10.0.0.2", p)
			}
		})
	}
}

// Several queues and sockets are one tunnel.
func TestQueues(t *testing.T) {
	needRoot(t, "ping", "iperf3")
	t.Parallel()
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		t.Run(e.String(), func(t *testing.T) {
			w, a, _ := pairWith(t, dataplane.Tunnel{Encapsulation: e, MTU: 1400}, false, Options{Queues: 3})
			w.in("a", "ping -c 3 -i 0.01 -W 2 10.0.0.2")
			w.transfer("a", "b", "10.0.0.2 -n 16M -P 6")
			if s := a.Stats()[0]; s.BytesOut < 1<<20 || s.Drops["send-failed"]+s.Drops["malformed"]+s.Drops["device-failed"] > 0 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

// Whatever leaves is decoded by others without complaint.
func TestOthersDecodeWhatLeaves(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "iperf3")
	t.Parallel()
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v over IPv6 %v", e, ipv6), func(t *testing.T) {
				w, _, _ := pair(t, dataplane.Tunnel{Encapsulation: e, Key: key(42), MTU: 1400}, ipv6)
				stop := w.capture("b", "eth0", "-s 0 ip proto 47 or ip6 proto 47 or udp port 4754")
				w.in("a", "ping -c 1 -W 2 10.0.0.2")
				w.in("a", "ping -c 1 -W 2 fd00::2")
				w.transfer("a", "b", "10.0.0.2 -n 200K")
				w.transfer("a", "b", "fd00::2 -n 200K")
				rows := stop("gre.key", "_ws.malformed", "ip.checksum.status", "tcp.checksum.status")
				if len(rows) < 20 {
					t.Errorf("%d packets captured", len(rows))
				}
				for _, r := range rows {
					f := strings.Split(r, "\t")
					if parseHex(f[0]) != 42 || f[1] != "" || strings.Contains(f[2], "0") || strings.Contains(f[3], "0") {
						t.Fatalf("decoded as %q", r)
					}
				}
			})
		}
	}
}
