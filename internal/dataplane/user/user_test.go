package user

import (
	"fmt"
	"net/netip"
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
	w = newWorld(t, "a", "b")
	w.veth("a eth0 192.0.2.1/24 2001:db8::1/64", "b eth0 192.0.2.2/24 2001:db8::2/64")
	a, b = w.plane("a", Options{}), w.plane("b", Options{})
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
