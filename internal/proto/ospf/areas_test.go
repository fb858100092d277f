package ospf

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// line is a - b - c: c in the backbone, b the border router, a inside of another area, with an outside behind c and one
// behind a.
func line(t *testing.T, v wire.Version, inner Area) *world {
	w := newWorld(t, 7)
	net := func(v4, v6 string) string {
		switch v {
		case wire.V2:
			return v4
		case wire.V3IPv4:
			return v4 + "," + v6[strings.Index(v6, ",")+1:]
		}
		return v6
	}
	inner.ID = 1
	inside := inner
	inside.NoSummary, inside.Ranges, inside.NSSARanges = false, nil, nil
	redistribute := []Redistribute{{Protocol: rib.Static, Metric: 7}}
	base := Config{Version: v}
	a, b, c := base, base, base
	a.RouterID, b.RouterID, c.RouterID = id("1.1.1.1"), id("2.2.2.2"), id("3.3.3.3")
	inside.Interfaces = []Interface{p2p("e0"), lan("lan")}
	a.Areas = []Area{inside}
	if inner.Kind != Stub {
		a.Redistribute = redistribute
	}
	inner.Interfaces = []Interface{p2p("e0")}
	b.Areas = []Area{inner, {Interfaces: []Interface{p2p("e1")}}}
	c.Areas = []Area{{Interfaces: []Interface{p2p("e1"), lan("lan")}}}
	c.Redistribute = redistribute
	w.add("a", a, "e0 s0 "+net("10.0.1.1/24", "2001:db8:1::1/64,fe80::1/64"), "lan la "+net("10.0.16.1/24,10.0.17.1/24", "2001:db8:10::1/64,2001:db8:11::1/64,fe80::1/64"))
	w.add("b", b, "e0 s0 "+net("10.0.1.2/24", "2001:db8:1::2/64,fe80::2/64"), "e1 s1 "+net("10.0.2.2/24", "2001:db8:2::2/64,fe80::2/64"))
	w.add("c", c, "e1 s1 "+net("10.0.2.3/24", "2001:db8:2::3/64,fe80::3/64"), "lan lc "+net("10.0.32.1/24", "2001:db8:20::1/64,fe80::3/64"))
	for name, p := range map[string]string{"a": net("192.0.2.0/25", "2001:db8:a::/48"), "c": net("198.51.100.0/24", "2001:db8:c::/48")} {
		if name == "c" || inner.Kind != Stub {
			w.routers[name].loop.Post("others", rib.Route{Prefix: netip.MustParsePrefix(strings.Split(p, ",")[0]), Protocol: rib.Static, Distance: 1, NextHops: []rib.NextHop{{Via: addr("203.0.113.9"), Interface: "x"}}})
		}
	}
	w.run(70 * time.Second)
	w.wantEqual(1, "a", "b")
	w.wantEqual(0, "b", "c")
	return w
}

func TestAreas(t *testing.T) {
	aggregate := []Range{{Prefix: netip.MustParsePrefix("10.0.16.0/20")}}
	hide := []Range{{Prefix: netip.MustParsePrefix("10.0.16.0/20"), Hide: true}}
	for _, tt := range []struct {
		name    string
		inner   Area
		a, b, c []string
	}{
		{"RFC 2328 3.2: inter-area routes and externals both ways", Area{},
			[]string{"10.0.2.0/24 20 10.0.1.2@e0", "10.0.32.0/24 30 10.0.1.2@e0", "198.51.100.0/24 7 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "192.0.2.0/25 7 10.0.1.1@e0", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/24 30 10.0.2.2@e1", "10.0.17.0/24 30 10.0.2.2@e1", "192.0.2.0/25 7 10.0.2.2@e1"}},
		{"RFC 2328 12.4.3: a range, with what it does not cover discarded", Area{Ranges: aggregate},
			[]string{"10.0.2.0/24 20 10.0.1.2@e0", "10.0.32.0/24 30 10.0.1.2@e0", "198.51.100.0/24 7 10.0.1.2@e0"},
			[]string{"10.0.16.0/20 16777215", "10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "192.0.2.0/25 7 10.0.1.1@e0", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/20 30 10.0.2.2@e1", "192.0.2.0/25 7 10.0.2.2@e1"}},
		{"RFC 2328 12.4.3: a range that is not advertised", Area{Ranges: hide},
			[]string{"10.0.2.0/24 20 10.0.1.2@e0", "10.0.32.0/24 30 10.0.1.2@e0", "198.51.100.0/24 7 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "192.0.2.0/25 7 10.0.1.1@e0", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "192.0.2.0/25 7 10.0.2.2@e1"}},
		{"RFC 2328 3.6: a stub area", Area{Kind: Stub, DefaultCost: 5},
			[]string{"0.0.0.0/0 15 10.0.1.2@e0", "10.0.2.0/24 20 10.0.1.2@e0", "10.0.32.0/24 30 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/24 30 10.0.2.2@e1", "10.0.17.0/24 30 10.0.2.2@e1"}},
		{"RFC 2328 12.4.3: a totally stubby area", Area{Kind: Stub, NoSummary: true},
			[]string{"0.0.0.0/0 11 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/24 30 10.0.2.2@e1", "10.0.17.0/24 30 10.0.2.2@e1"}},
		{"RFC 3101 3.2: an NSSA, translated", Area{Kind: NSSA},
			[]string{"0.0.0.0/0 1 10.0.1.2@e0", "10.0.2.0/24 20 10.0.1.2@e0", "10.0.32.0/24 30 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "192.0.2.0/25 7 10.0.1.1@e0", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/24 30 10.0.2.2@e1", "10.0.17.0/24 30 10.0.2.2@e1", "192.0.2.0/25 7 10.0.2.2@e1"}},
		{"RFC 3101 2.7, 3.2: a totally stubby NSSA with a range", Area{Kind: NSSA, NoSummary: true, NSSARanges: []Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}},
			[]string{"0.0.0.0/0 11 10.0.1.2@e0"},
			[]string{"10.0.16.0/24 20 10.0.1.1@e0", "10.0.17.0/24 20 10.0.1.1@e0", "10.0.32.0/24 20 10.0.2.3@e1", "192.0.2.0/24 16777215", "192.0.2.0/25 7 10.0.1.1@e0", "198.51.100.0/24 7 10.0.2.3@e1"},
			[]string{"10.0.1.0/24 20 10.0.2.2@e1", "10.0.16.0/24 30 10.0.2.2@e1", "10.0.17.0/24 30 10.0.2.2@e1", "192.0.2.0/24 8 10.0.2.2@e1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := line(t, wire.V2, tt.inner)
			w.wantRoutes("a", tt.a...)
			w.wantRoutes("b", tt.b...)
			w.wantRoutes("c", tt.c...)
		})
		t.Run("OSPFv3 for IPv4: "+tt.name, func(t *testing.T) {
			w := line(t, wire.V3IPv4, tt.inner)
			w.wantRoutes("a", tt.a...)
			w.wantRoutes("b", tt.b...)
			w.wantRoutes("c", tt.c...)
		})
	}
}

func TestAreasOfVersion3(t *testing.T) {
	for _, tt := range []struct {
		name  string
		inner Area
		a, c  []string
	}{
		{"RFC 5340 4.8", Area{},
			[]string{"2001:db8:2::/64 20 fe80::2@e0", "2001:db8:c::/48 7 fe80::2@e0", "2001:db8:20::/64 30 fe80::2@e0"},
			[]string{"2001:db8:1::/64 20 fe80::2@e1", "2001:db8:a::/48 7 fe80::2@e1", "2001:db8:10::/64 30 fe80::2@e1", "2001:db8:11::/64 30 fe80::2@e1"}},
		{"a totally stubby NSSA", Area{Kind: NSSA, NoSummary: true},
			[]string{"::/0 11 fe80::2@e0"},
			[]string{"2001:db8:1::/64 20 fe80::2@e1", "2001:db8:a::/48 7 fe80::2@e1", "2001:db8:10::/64 30 fe80::2@e1", "2001:db8:11::/64 30 fe80::2@e1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := line(t, wire.V3, tt.inner)
			w.wantRoutes("a", tt.a...)
			w.wantRoutes("c", tt.c...)
		})
	}
}
