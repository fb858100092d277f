package sys

import (
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

func sampleRoute() []byte {
	r := kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 10, NextHops: make([]rib.NextHop, 2)}
	return composeRoute(nil, r, []outHop{
		{hop: hop{via: addr("192.0.2.1"), index: 2, weight: 3}, onlink: true},
		{hop: hop{via: addr("2001:db8::1"), index: 3, weight: 1}},
	}, 0)
}

func TestRouteRoundTrip(t *testing.T) {
	tests := []struct {
		name string
		r    kernel.Route
		hops []outHop
		want []hop
	}{
		{"one next hop", kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 10}, []outHop{{hop: hop{via: addr("192.0.2.1"), index: 2}}}, []hop{{via: addr("192.0.2.1"), index: 2}}},
		{"on the link", kernel.Route{Prefix: prefix("2001:db8::/32"), Metric: 1}, []outHop{{hop: hop{index: 7}}}, []hop{{index: 7}}},
		{"default", kernel.Route{Prefix: prefix("0.0.0.0/0"), Metric: 1}, []outHop{{hop: hop{via: addr("192.0.2.1"), index: 2}}}, []hop{{via: addr("192.0.2.1"), index: 2}}},
		{"IPv4 by IPv6 (RTA_VIA)", kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 10}, []outHop{{hop: hop{via: addr("2001:db8::1"), index: 2}}}, []hop{{via: addr("2001:db8::1"), index: 2}}},
		{"several", kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 10},
			[]outHop{{hop: hop{via: addr("192.0.2.1"), index: 2, weight: 3}}, {hop: hop{via: addr("192.0.2.2"), index: 3}}},
			[]hop{{via: addr("192.0.2.1"), index: 2, weight: 3}, {via: addr("192.0.2.2"), index: 3, weight: 1}}},
		{"blackhole", kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 250, Kind: rib.Blackhole}, nil, nil},
		{"reject", kernel.Route{Prefix: prefix("10.1.0.0/16"), Metric: 250, Kind: rib.Reject}, nil, nil},
	}
	for _, tt := range tests {
		got, ok := parseRoute(composeRoute(nil, tt.r, tt.hops, 0))
		want := routeMsg{prefix: tt.r.Prefix, metric: tt.r.Metric, protocol: kernel.Protocol, kind: tt.r.Kind, hops: tt.want}
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v %v, want %+v", tt.name, got, ok, want)
		}
	}
}

func TestRoutesOfNoConcern(t *testing.T) {
	change := func(at int, v byte) []byte {
		b := sampleRoute()
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"local table":       change(4, unix.RT_TABLE_LOCAL),
		"by source":         change(2, 24),
		"by service":        change(3, 8),
		"cached clone":      change(9, unix.RTM_F_CLONED>>8),
		"broadcast":         change(7, unix.RTN_BROADCAST),
		"another family":    change(0, unix.AF_BRIDGE),
		"prefix too long":   change(1, 33),
		"link-local prefix": composeRoute(nil, kernel.Route{Prefix: prefix("fe80::/64")}, []outHop{{hop: hop{index: 2}}}, 0),
		"multicast prefix":  composeRoute(nil, kernel.Route{Prefix: prefix("ff00::/8")}, []outHop{{hop: hop{index: 2}}}, 0),
	} {
		if r, ok := parseRoute(b); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAddrRoundTrip(t *testing.T) {
	for _, p := range []netip.Prefix{prefix("192.0.2.1/24"), prefix("2001:db8::1/64"), prefix("10.0.0.1/32")} {
		a, ok := parseAddr(composeAddr(nil, 5, p, unix.IFA_F_NODAD))
		if !ok || a.prefix != p || a.index != 5 || !a.usable() {
			t.Errorf("%v: %+v %v", p, a, ok)
		}
	}
	a, _ := parseAddr(composeAddr(nil, 5, prefix("2001:db8::1/64"), unix.IFA_F_TENTATIVE))
	if a.usable() {
		t.Error("a tentative address is not usable")
	}
}

func TestPreferredAddressesFirst(t *testing.T) {
	i := iface{linkMsg: linkMsg{name: "eth0"}, addrs: []addrMsg{
		{prefix: prefix("192.0.2.2/24"), flags: unix.IFA_F_SECONDARY},
		{prefix: prefix("2001:db8::1/64"), flags: unix.IFA_F_TENTATIVE},
		{prefix: prefix("192.0.2.1/24")},
	}}
	if got, want := i.link().Addresses, []netip.Prefix{prefix("192.0.2.1/24"), prefix("192.0.2.2/24")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParsersTakeAnyCut(t *testing.T) {
	link := composeLink(nil, 2, 1500, true)
	link = appendAttr(link, unix.IFLA_IFNAME, []byte("eth0\x00"))
	link = appendAttr(link, unix.IFLA_LINKINFO, appendAttr(nil, unix.IFLA_INFO_KIND, []byte("tun\x00")))
	if l, ok := parseLink(link); !ok || l.kind != "tun" || l.name != "eth0" || l.mtu != 1500 || !l.admin {
		t.Errorf("link %+v %v", l, ok)
	}
	for _, b := range [][]byte{link, composeAddr(nil, 2, prefix("2001:db8::1/64"), 0), sampleRoute(), sampleGroup()} {
		for n := range b {
			parseAll(b[:n:n])
		}
	}
}

func sampleGroup() []byte {
	return composeGroup(nil, firstObject+3, []member{{firstObject + 1, 1}, {firstObject + 2, 255}})
}

func TestNexthopRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want nexthopMsg
	}{
		{"a gateway", composeNexthop(nil, 7, outHop{hop: hop{via: addr("192.0.2.1"), index: 2}, onlink: true}, false),
			nexthopMsg{id: 7, protocol: kernel.Protocol, onlink: true, hop: hop{via: addr("192.0.2.1"), index: 2}}},
		{"an IPv6 gateway of IPv4 routes", composeNexthop(nil, 7, outHop{hop: hop{via: addr("2001:db8::1"), index: 2}}, false),
			nexthopMsg{id: 7, protocol: kernel.Protocol, ipv6: true, hop: hop{via: addr("2001:db8::1"), index: 2}}},
		{"on the link", composeNexthop(nil, 7, outHop{hop: hop{index: 2}}, true),
			nexthopMsg{id: 7, protocol: kernel.Protocol, ipv6: true, hop: hop{index: 2}}},
		{"a group", sampleGroup(),
			nexthopMsg{id: firstObject + 3, protocol: kernel.Protocol, members: []member{{firstObject + 1, 1}, {firstObject + 2, 255}}}},
	} {
		if got, ok := parseNexthop(tt.b); !ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

func parseAll(b []byte) {
	parseLink(b)
	parseAddr(b)
	if n, ok := parseNexthop(b); ok {
		n.protocol = kernel.Protocol
		newObjects().read([]nexthopMsg{n}, nil)
		newObjects().check([]nexthopMsg{n})
	}
	if r, ok := parseRoute(b); ok {
		r.connected()
		newView().setRoute(r, true)
	}
	for m, rest, ok := split(b); ok; m, rest, ok = split(rest) {
		_ = ackError(m)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(sampleRoute())
	f.Add(sampleGroup())
	f.Add(composeAddr(nil, 2, prefix("2001:db8::1/64"), 0))
	f.Add(composeLink(nil, 2, 1500, true))
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xff, 0xff, 0xff})
	f.Fuzz(func(_ *testing.T, b []byte) { parseAll(b) })
}
