package ospf_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// TestContents holds that what an LSA says is told in full, whatever it is.
func TestContents(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	at := func(s string) uint32 { return wire.Uint4(a(s)) }
	router := wire.RouterID(at("1.1.1.1"))
	for _, tt := range []struct {
		name string
		id   uint32
		body wire.LSABody
		want []string
	}{
		{"router, RFC 2328 A.4.2", 0, &wire.RouterLSA{Flags: wire.RouterB | wire.RouterE, Links: []wire.Link{
			{Kind: wire.LinkPointToPoint, ID: at("1.1.1.1"), Data: at("10.1.0.1"), Metric: 10},
			{Kind: wire.LinkTransit, ID: at("10.9.0.3"), Data: at("10.9.0.1"), Metric: 7},
			{Kind: wire.LinkStub, ID: at("10.20.1.0"), Data: at("255.255.255.0"), Metric: 1},
			{Kind: wire.LinkStub, ID: at("10.20.1.0"), Data: at("255.0.255.0"), Metric: 2},
		}}, []string{"border router", "boundary router", "point-to-point 1.1.1.1 by 10.1.0.1 cost 10", "transit 10.9.0.3 by 10.9.0.1 cost 7", "stub 10.20.1.0/24 cost 1",
			"stub 10.20.1.0 mask 255.0.255.0 cost 2"}},
		{"router, RFC 5340 A.4.3", 0, &wire.RouterLSA{Links: []wire.Link{{Kind: wire.LinkTransit, Neighbor: router, Interface: 2, NeighborInterface: 5, Metric: 10}}},
			[]string{"transit 1.1.1.1 cost 10 interface 2 to 5"}},
		{"network, RFC 2328 A.4.3", at("10.9.0.3"), &wire.NetworkLSA{Mask: at("255.255.255.0"), Routers: []wire.RouterID{router}}, []string{"10.9.0.0/24", "router 1.1.1.1"}},
		{"network, RFC 5340 A.4.4", 0, &wire.NetworkLSA{Routers: []wire.RouterID{router}}, []string{"router 1.1.1.1"}},
		{"summary, RFC 2328 A.4.4", 0, &wire.Summary{Prefix: p("10.1.0.0/30"), Metric: 20}, []string{"10.1.0.0/30 cost 20"}},
		{"summary of a router, RFC 2328 A.4.4", 0, &wire.SummaryRouter{Router: router, Metric: 20}, []string{"boundary router 1.1.1.1 cost 20"}},
		{"external, RFC 2328 A.4.5", 0, &wire.External{Prefix: p("0.0.0.0/0"), Metric: 1, Type2: true}, []string{"0.0.0.0/0 type 2 cost 1"}},
		{"NSSA, RFC 3101", 0, &wire.External{Prefix: p("172.16.0.0/12"), Metric: 33, Tag: 7, Forward: a("10.20.1.9"), Propagate: true},
			[]string{"172.16.0.0/12 type 1 cost 33 tag 7 forward 10.20.1.9 to be translated"}},
		{"link, RFC 5340 A.4.9", 0, &wire.LinkLSA{Priority: 1, Address: a("fe80::1"), Prefixes: []wire.PrefixEntry{{Prefix: p("2001:db8::/64")}}},
			[]string{"fe80::1 priority 1", "2001:db8::/64"}},
		{"prefixes of a router, RFC 5340 A.4.10", 0, &wire.IntraAreaPrefix{RefType: 0x2001, RefRouter: router, Prefixes: []wire.PrefixEntry{{Prefix: p("2001:db8::/64"), Metric: 3}}},
			[]string{"of router 1.1.1.1", "2001:db8::/64 cost 3"}},
		{"prefixes of a network, RFC 5340 A.4.10", 0, &wire.IntraAreaPrefix{RefType: 0x2002, RefID: 5, RefRouter: router}, []string{"of network 0.0.0.5 of 1.1.1.1"}},
		{"grace, RFC 3623 A", 0, &wire.Grace{Period: 60, Reason: wire.GraceReload}, []string{"restarts within 60 s: software reload or upgrade"}},
		{"grace for what nobody knows", 0, &wire.Grace{Period: 60, Reason: 9}, []string{"restarts within 60 s: reason 9"}},
		{"opaque, RFC 5250", 0, &wire.Opaque{Data: make([]byte, 8)}, []string{"8 octets"}},
		{"one without a body", 0, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ospf.DatabaseRow{Body: tt.body, Key: wire.LSAKey{ID: tt.id}}.Describe()
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%q\nwant\n%q", got, tt.want)
			}
		})
	}
}
