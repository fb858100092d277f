package spf

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// outside is a world to prefer in: the root and routers 2 and 3, each by a link of cost 1 in area 1, which is an NSSA, and
// 2 by one of cost 5 in the backbone as well. 2 and 3 have a prefix each, and bring in the same.
func outside(v wire.Version) (*world, netip.Prefix) {
	w := &world{v: v}
	one := &wArea{id: 1, nssa: true, routers: []*wRouter{{id: root}, {id: 2, flags: wire.RouterE | wire.RouterB}, {id: 3, flags: wire.RouterE}}}
	one.links = []wLink{{a: root, b: 2, ca: 1, cb: 1, ia: 1, ib: 2}, {a: root, b: 3, ca: 1, cb: 1, ia: 3, ib: 4}}
	one.prefixes = []wPrefix{{2, w.prefix(1, 2), 1}, {3, w.prefix(1, 3), 1}}
	zero := &wArea{id: 0, routers: []*wRouter{{id: root}, {id: 2, flags: wire.RouterE | wire.RouterB}}}
	zero.links = []wLink{{a: root, b: 2, ca: 5, cb: 5, ia: 5, ib: 6}}
	w.areas = []*wArea{zero, one}
	return w, w.prefix(9, 9)
}

func TestExternalPreference(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(w *world, to netip.Prefix)
		want   string // kind, type 2 metric, cost, NSSA, next hops
	}{
		{"RFC 3101 2.5: type 7 is reached within its NSSA", func(w *world, to netip.Prefix) {
			w.areas[1].foreign = []wExternal{{by: 2, prefix: to, metric: 7}}
		}, "external-1 0 8 true [2]"},
		{"16.4: AS scope is not reached through an NSSA", func(w *world, to netip.Prefix) {
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 7}}
		}, "external-1 0 12 false [6]"},
		{"16.4 6c: type 1 before type 2", func(w *world, to netip.Prefix) {
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 7}, {by: 2, prefix: to, metric: 1, type2: true, id: 1}}
		}, "external-1 0 12 false [6]"},
		{"16.4 6c: the lower metric of type 2, whatever the way", func(w *world, to netip.Prefix) {
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, type2: true}}
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 2, type2: true}}
		}, "external-2 1 5 false [6]"},
		{"16.4.1: intra-area outside the backbone before the backbone", func(w *world, to netip.Prefix) {
			w.areas[0].links[0].ca = 1
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, type2: true}}
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1, type2: true}}
			w.areas[1].links[1].ca = 9
		}, "external-2 1 9 true [4]"},
		{"16.4.1: with RFC1583Compatibility the cost alone", func(w *world, to netip.Prefix) {
			w.rfc1583 = true
			w.areas[0].links[0].ca = 1
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, type2: true}}
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1, type2: true}}
			w.areas[1].links[1].ca = 9
		}, "external-2 1 1 false [6]"},
		{"16.4 6e: equal ways are all taken", func(w *world, to netip.Prefix) {
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1}, {by: 2, prefix: to, metric: 1, id: 1}}
		}, "external-1 0 2 true [2 4]"},
		{"RFC 3101 2.5 6e: of one forwarding address type 7 with P before type 5", func(w *world, to netip.Prefix) {
			at := w.addr(1, 3, 1)
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: at}}
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1, forward: at, propagate: true}}
		}, "external-1 0 3 true [4]"},
		{"RFC 3101 2.5 6e: type 5 before type 7 without P", func(w *world, to netip.Prefix) {
			at := w.addr(1, 3, 1)
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: at}}
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1, forward: at}}
		}, "external-1 0 3 false [4]"},
		{"16.4 3: a forwarding address nobody knows", func(w *world, to netip.Prefix) {
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: w.addr(77, 7, 7)}}
		}, "none"},
		{"RFC 3101 2.5: type 7 with a forwarding address outside the NSSA", func(w *world, to netip.Prefix) {
			w.areas[0].prefixes = []wPrefix{{2, w.prefix(0, 1), 1}}
			w.areas[1].foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: w.addr(0, 1, 1)}}
		}, "none"},
		{"a forwarding address of our own would lead in a circle", func(w *world, to netip.Prefix) {
			w.areas[1].prefixes = append(w.areas[1].prefixes, wPrefix{root, netip.PrefixFrom(w.addr(1, 9, 9), w.prefix(0, 0).Bits()), 1})
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: w.addr(1, 9, 9)}}
		}, "none"},
		{"a forwarding address on a link of ours is the next hop", func(w *world, to netip.Prefix) {
			w.areas[1].prefixes = append(w.areas[1].prefixes, wPrefix{root, netip.PrefixFrom(w.addr(1, 9, 9), w.prefix(0, 0).Bits()), 1})
			w.foreign = []wExternal{{by: 2, prefix: to, metric: 1, forward: w.addr(1, 9, 8)}}
		}, "external-1 0 2 false [on link]"},
		{"16.4 1: LSInfinity", func(w *world, to netip.Prefix) {
			w.foreign = []wExternal{{by: 2, prefix: to, metric: wire.LSInfinity}}
		}, "none"},
		{"16.4 3: whoever does not say that it is an AS boundary router", func(w *world, to netip.Prefix) {
			w.areas[1].routers[2].flags = 0
			w.areas[1].foreign = []wExternal{{by: 3, prefix: to, metric: 1}}
		}, "none"},
	} {
		for _, v := range versions {
			w, to := outside(v)
			c.change(w, to)
			in := w.input()
			for i := range in.Areas { // stubs are masked, addresses of interfaces are not
				for k, f := range in.Areas[i].Interfaces {
					if len(f.Addresses) == 1 && f.Addresses[0].Contains(w.addr(1, 9, 9)) {
						in.Areas[i].Interfaces[k].Addresses[0] = netip.PrefixFrom(w.addr(1, 9, 9), f.Addresses[0].Bits())
					}
				}
			}
			if got := w.told(Compute(in), to); got != c.want {
				t.Errorf("%v, %s: %s, and should be %s", v, c.name, got, c.want)
			}
		}
	}
}

// told is a route in a few words.
func (w *world) told(r *Result, to netip.Prefix) string {
	for _, x := range r.Routes {
		if x.Prefix != to {
			continue
		}
		hops := []string{}
		for _, h := range x.NextHops {
			name := "on link"
			for n := range uint32(9) {
				if h.Via == w.at(n) {
					name = fmt.Sprint(n)
				}
			}
			hops = append(hops, name)
		}
		return fmt.Sprint(x.Kind, " ", x.Type2, " ", x.Cost, " ", x.NSSA, " ", hops)
	}
	return "none"
}

func TestNSSADefaultAtItsBorder(t *testing.T) {
	for _, c := range []struct {
		name                         string
		border, propagate, noSummary bool
		want                         bool
	}{
		{"RFC 3101 2.5: inside", false, false, false, true},
		{"at the border without P", true, false, false, false},
		{"at the border with P", true, true, false, true},
		{"at the border that keeps summaries out", true, true, true, false},
	} {
		w, _ := outside(wire.V2)
		w.border, w.areas[1].noSummary = c.border, c.noSummary
		to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		w.areas[1].foreign = []wExternal{{by: 2, prefix: to, metric: 1, propagate: c.propagate}}
		if got := w.told(Compute(w.input()), to); (got != "none") != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

// A neighbour that is gone is not used while the LSAs of both still name the link (the routes turn before LSAs do).
func TestLostNeighbours(t *testing.T) {
	for _, v := range versions {
		w := &world{v: v}
		a := &wArea{routers: []*wRouter{{id: root}, {id: 2}, {id: 3}}}
		a.links = []wLink{{a: root, b: 2, ca: 1, cb: 1, ia: 1, ib: 2}, {a: root, b: 3, ca: 5, cb: 5, ia: 3, ib: 4}, {a: 2, b: 3, ca: 1, cb: 1, ia: 5, ib: 6}}
		a.lans = []wLAN{{members: []wMember{{router: 3, cost: 9, iface: 10}, {router: 2, cost: 9, iface: 11}, {router: root, cost: 9, iface: 12}}}}
		a.prefixes = []wPrefix{{2, w.prefix(0, 1), 0}}
		w.areas = []*wArea{a}
		for _, step := range []struct {
			what string
			do   func()
			want string
		}{
			{"all there", func() {}, "intra-area 0 1 false [2]"},
			{"the link is dead", func() { a.links[0].dead = true }, "intra-area 0 6 false [4]"},
			{"the other too: over the LAN", func() { a.links[1].dead = true }, "intra-area 0 9 false [on link]"},
			{"lost on the LAN: by the designated router", func() { a.lans[0].members[1].lost = true }, "intra-area 0 10 false [on link]"},
			{"the designated router too", func() { a.lans[0].members[0].lost = true }, "none"},
		} {
			step.do()
			if got := w.told(Compute(w.input()), w.prefix(0, 1)); got != step.want {
				t.Errorf("%v, %s: %s, and should be %s", v, step.what, got, step.want)
			}
		}
	}
}

func TestUnnumberedLink(t *testing.T) {
	link := func(to, data uint32) wire.Link {
		return wire.Link{Kind: wire.LinkPointToPoint, ID: to, Data: data, Metric: 10}
	}
	w := &world{v: wire.V2}
	in := &Input{Version: wire.V2, Router: 1, Areas: []Area{{
		Routers: []*LSA{
			w.lsa(wire.FunctionRouter, 1, 1, &wire.RouterLSA{Links: []wire.Link{link(2, 4), link(2, 5)}}),
			w.lsa(wire.FunctionRouter, 2, 2, &wire.RouterLSA{Links: []wire.Link{link(1, 7), link(1, 8), {Kind: wire.LinkStub, ID: 0x02020202, Data: 0xffffffff}}}),
		},
		Interfaces: []Interface{
			{Name: "a", ID: 4, Neighbors: []Neighbor{{Router: 2, Address: netip.MustParseAddr("2.2.2.2")}}},
			{Name: "b", ID: 5, Neighbors: []Neighbor{{Router: 2, Address: netip.MustParseAddr("2.2.2.2")}}},
		},
	}}}
	r := Compute(in)
	if got := fmt.Sprint(r.Routes[0].Prefix, " ", r.Routes[0].NextHops); got != "2.2.2.2/32 [{2.2.2.2 a} {2.2.2.2 b}]" {
		t.Errorf("two unnumbered links lead to %s", got)
	}
}
