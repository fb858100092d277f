package router

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

func TestGuarded(t *testing.T) {
	networks := func(words ...string) (all []netip.Prefix) {
		for _, w := range words {
			all = append(all, netip.MustParsePrefix(w))
		}
		return all
	}
	tunnel := func(protect string, server string, addresses ...string) conf.Tunnel {
		out := conf.Tunnel{Name: "tun-" + protect, Protect: protect, Addresses: networks(addresses...), NHRP: &nhrp.Config{}}
		if server != "" {
			out.NHRP.Servers = []nhrp.Server{{NBMA: "192.0.2.1", Protocol: netip.MustParseAddr(server)}}
		}
		return out
	}
	by := func(to, via string) conf.Route {
		return conf.Route{To: netip.MustParsePrefix(to), Via: netip.MustParseAddr(via)}
	}
	out := func(to, via, by string) conf.Route {
		r := conf.Route{To: netip.MustParsePrefix(to), Interface: by}
		r.Via, _ = netip.ParseAddr(via)
		return r
	}
	lan := conf.Interface{Name: "eth1", Addresses: networks("192.168.11.1/24", "2001:db8:11::1/64")}
	bound := func(words ...string) []conf.Profile {
		return []conf.Profile{{Name: "p", IKE: &ike.Profile{Bindings: []ike.Binding{{Addresses: networks(words...)}}}}}
	}
	for _, c := range []struct {
		name     string
		tunnels  []conf.Tunnel
		routes   []conf.Route
		profiles []conf.Profile
		want     []netip.Prefix
	}{
		{"in clear", []conf.Tunnel{tunnel("", "", "10.0.0.1/24")}, []conf.Route{by("192.168.0.0/16", "10.0.0.2")}, nil, nil},
		{"the tunnel's prefix and routes by it", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")}, []conf.Route{by("192.168.0.0/16", "10.0.0.2")}, nil,
			networks("10.0.0.0/24", "192.168.0.0/16")},
		{"routes out of it by name", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{out("192.168.0.0/16", "10.0.0.2", "tun-p")}, nil, networks("192.168.0.0/16")},
		{"other routes", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")}, []conf.Route{by("192.168.0.0/16", "203.0.113.1"), out("172.16.0.0/12", "", "eth0")}, nil,
			networks("10.0.0.0/24")},
		{"a blackhole closes by itself", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{{To: netip.MustParsePrefix("10.0.0.0/8"), Blackhole: true}}, nil, nil},

		{"/32: a next hop that is nowhere else", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{by("192.168.0.0/16", "10.0.0.2")}, nil, networks("192.168.0.0/16")},
		{"/128", []conf.Tunnel{tunnel("p", "", "fd00::1/128")}, []conf.Route{by("2001:db8::/32", "fd00::2")}, nil, networks("2001:db8::/32")},
		{"/32 says nothing of IPv6", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{by("2001:db8::/32", "fd00::2")}, nil, nil},
		{"/32: the server's address, and routes by it", []conf.Tunnel{tunnel("p", "10.0.0.2", "10.0.0.1/32")}, []conf.Route{by("192.168.0.0/16", "10.0.0.2")}, nil,
			networks("10.0.0.2/32", "192.168.0.0/16")},
		{"/128: the server's", []conf.Tunnel{tunnel("p", "fd00::2", "fd00::1/128")}, nil, nil, networks("fd00::2/128")},
		{"/24: the server's is in it", []conf.Tunnel{tunnel("p", "10.0.0.2", "10.0.0.1/24")}, nil, nil, networks("10.0.0.0/24")},
		{"/32: peers' addresses that are bound", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, nil, bound("10.0.0.2/32", "10.0.8.0/24"), networks("10.0.0.2/32")},
		{"/32: an address that is bound is on our LAN", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, nil, bound("192.168.11.9/32"), nil},
		{"/24: what is bound is in it", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")}, nil, bound("10.0.0.2/32", "10.0.8.0/24"), networks("10.0.0.0/24")},
		{"a next hop that is bound", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")}, []conf.Route{by("192.168.0.0/16", "10.0.8.9")}, bound("10.0.8.0/24"),
			networks("10.0.0.0/24", "192.168.0.0/16")},

		{"/32: a next hop on our LAN", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{by("172.16.0.0/12", "192.168.11.254")}, nil, nil},
		{"/128: a next hop on our LAN", []conf.Tunnel{tunnel("p", "", "fd00::1/128")}, []conf.Route{by("2001:db8:77::/48", "2001:db8:11::fe")}, nil, nil},
		{"/32: a next hop on a tunnel in clear", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32"), tunnel("", "", "10.1.0.1/24")}, []conf.Route{by("172.16.0.0/12", "10.1.0.9")}, nil, nil},
		{"/32: a next hop that another route leads elsewhere", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")},
			[]conf.Route{out("198.51.100.0/24", "", "eth0"), by("172.16.0.0/12", "198.51.100.1")}, nil, nil},
		{"a next hop that another route leads into the tunnel", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")},
			[]conf.Route{by("10.9.0.0/16", "10.0.0.2"), by("172.16.0.0/12", "10.9.0.1")}, nil, networks("10.0.0.0/24", "10.9.0.0/16", "172.16.0.0/12")},
		{"routes that lean on each other", []conf.Tunnel{tunnel("p", "", "10.0.0.1/24")}, []conf.Route{by("10.8.0.0/16", "10.9.0.1"), by("10.9.0.0/16", "10.8.0.1")}, nil,
			networks("10.0.0.0/24")},
		{"/32: out of an interface that is named", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")}, []conf.Route{out("172.16.0.0/12", "203.0.113.1", "eth0")}, nil, nil},
		{"/32: the way to a next hop is not the default route's", []conf.Tunnel{tunnel("p", "", "10.0.0.1/32")},
			[]conf.Route{out("0.0.0.0/0", "203.0.113.1", "eth0"), by("192.168.0.0/16", "10.0.0.2")}, nil, networks("192.168.0.0/16")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := guarded(&conf.Config{Tunnels: c.tunnels, Routes: c.routes, Profiles: c.profiles, Interfaces: []conf.Interface{lan}})
			if !slices.Equal(got, c.want) {
				t.Errorf("guards %v, want %v", got, c.want)
			}
		})
	}
}

// What a tunnel leaves guards on is said for each.
func TestGuardOfTunnels(t *testing.T) {
	prefix := netip.MustParsePrefix
	tunnel := func(name string, g conf.Guard, address string) conf.Tunnel {
		return conf.Tunnel{Name: name, Protect: "p", Guard: g, Addresses: []netip.Prefix{prefix(address)}}
	}
	c := &conf.Config{
		Tunnels: []conf.Tunnel{
			tunnel("a", conf.GuardLearned, "10.1.0.1/24"), tunnel("b", conf.GuardConfigured, "10.2.0.1/24"), tunnel("c", conf.GuardNone, "10.3.0.1/24"),
			{Name: "d", Addresses: []netip.Prefix{prefix("10.4.0.1/24")}},
		},
		Routes: []conf.Route{
			{To: prefix("172.16.0.0/16"), Via: netip.MustParseAddr("10.1.0.9")}, {To: prefix("172.17.0.0/16"), Via: netip.MustParseAddr("10.2.0.9")},
			{To: prefix("172.18.0.0/16"), Via: netip.MustParseAddr("10.3.0.9")}, {To: prefix("172.19.0.0/16"), Via: netip.MustParseAddr("10.4.0.9")},
			{To: prefix("172.20.0.0/16"), Interface: "c", Via: netip.MustParseAddr("10.3.0.9")}, {To: prefix("172.21.0.0/16"), Reject: true},
		},
	}
	if got, want := guarded(c), []netip.Prefix{prefix("10.1.0.0/24"), prefix("10.2.0.0/24"), prefix("172.16.0.0/16"), prefix("172.17.0.0/16")}; !slices.Equal(got, want) {
		t.Errorf("guarded by the file: %v, want %v", got, want)
	}
	c.Tunnels[0].NHRP = &nhrp.Config{Servers: []nhrp.Server{{NBMA: "192.0.2.1"}, {NBMA: "hub.example"}}}
	if got := underlay(c); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("192.0.2.1")}) {
		t.Errorf("underlay: %v", got)
	}
	if got := closing(c); !slices.Equal(got, []string{"a"}) {
		t.Errorf("leave guards on what is learned: %q", got)
	}
}
