package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// tags are the externals in a router's RIB with their tags.
func (r *router) tags() (out []string) {
	for route := range r.loop.RIB().Offers("") {
		if route.Protocol == rib.OSPF && route.Tag != 0 {
			out = append(out, fmt.Sprint(route.Prefix, " ", route.Tag))
		}
	}
	return out
}

// A tag of a route here is that of the external there (RFC 2328 A.4.5, RFC 5340 A.4.7), and lists match by it.
func TestTags(t *testing.T) {
	for _, tt := range []struct {
		v            wire.Version
		a, b, within string
	}{
		{wire.V2, "10.0.0.1/30", "10.0.0.2/30", "10.%d.0.0/16"},
		{wire.V3, "fe80::1/64", "fe80::2/64", "2001:db8:%d::/48"},
		{wire.V3IPv4, "fe80::1/64,10.0.0.1/30", "fe80::2/64,10.0.0.2/30", "10.%d.0.0/16"},
	} {
		t.Run(tt.v.String(), func(t *testing.T) {
			prefix := func(n int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf(tt.within, n)) }
			offer := func(n int, tag uint32) rib.Route {
				return rib.Route{Prefix: prefix(n), Protocol: rib.Static, Distance: 1, Kind: rib.Blackhole, Tag: tag}
			}
			a, b := oneArea("1.1.1.1", p2p("e0")), oneArea("2.2.2.2", p2p("e0"))
			a.Version, b.Version = tt.v, tt.v
			b.Redistribute = []Redistribute{{Protocol: rib.Static, Match: []Match{
				{Tagged: 7}, {Tagged: 8, Tag: 80}, {Tagged: 9, Min: 60}, {Tagged: 11, Deny: true}, {Prefix: prefix(4)}, {Prefix: prefix(5), Tagged: 5}}}}
			w := newWorld(t, 1)
			w.add("a", a, "e0 s "+tt.a)
			w.add("b", b, "e0 s "+tt.b)
			for n, tag := range []uint32{7, 8, 9, 10, 12, 5, 0, 11} { // of prefixes 0, 1, ...
				w.routers["b"].loop.Post("others", offer(n, tag))
			}
			w.run(time.Minute)
			want := func(when string, routes ...int) {
				t.Helper()
				var words []string
				for i := 0; i < len(routes); i += 2 {
					words = append(words, fmt.Sprint(prefix(routes[i]), " ", routes[i+1]))
				}
				if got := w.routers["a"].tags(); !slices.Equal(got, words) {
					t.Errorf("%s: got %q, want %q", when, got, words)
				}
			}
			want("matched by tag, by prefix, by both", 0, 7, 1, 80, 4, 12, 5, 5)
			w.routers["b"].loop.Post("others", offer(0, 10)) // nothing but the tag is another
			w.routers["b"].loop.Post("others", offer(4, 44))
			w.run(30 * time.Second)
			want("when the tag changes", 1, 80, 4, 44, 5, 5)
		})
	}
}
