package spf

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// Every kind of change to a world, made to a calculation that has run before, gives what a new one gives.
func TestChangesGiveWhatANewRunGives(t *testing.T) {
	for _, v := range versions {
		for seed := range uint64(100) {
			r := rand.New(rand.NewPCG(seed, 1))
			w := random(v, seed)
			var c Calculation
			old := c.Run(w.input(), Externals)
			for step := range 6 {
				what, areas := w.alter(r)
				now := c.Run(w.input(), what, areas...)
				want := Compute(w.input())
				if d := differ(now, want); d != "" {
					t.Fatalf("%v, seed %d, step %d, change %d in %v: %s", v, seed, step, what, areas, d)
				}
				if d := patch(old, now); d != "" {
					t.Fatalf("%v, seed %d, step %d: the difference does not lead there: %s", v, seed, step, d)
				}
				old = now
			}
		}
	}
}

// alter changes a world and says how.
func (w *world) alter(r *rand.Rand) (Change, []wire.AreaID) {
	a := w.areas[r.IntN(len(w.areas))]
	switch n := r.IntN(5); {
	case n == 0 && len(w.foreign) > 0:
		w.foreign[r.IntN(len(w.foreign))].metric = uint32(r.IntN(9))
		return Externals, nil
	case n == 1 && len(a.summaries) > 0:
		a.summaries[r.IntN(len(a.summaries))].metric = uint32(r.IntN(9))
		return Summaries, nil
	case n == 2 && len(a.prefixes) > 0 && w.v != wire.V2:
		a.prefixes[r.IntN(len(a.prefixes))].metric = uint16(r.IntN(9))
		return Prefixes, nil
	case n == 3 && len(a.links) > 0:
		l := &a.links[r.IntN(len(a.links))]
		l.dead, l.half, l.ca = r.IntN(2) == 0, r.IntN(4) == 0, uint16(1+r.IntN(9))
		return Topology, []wire.AreaID{a.id}
	}
	if len(w.areas) > 1 && r.IntN(3) == 0 { // an area goes: nobody needs to say which
		w.areas = w.areas[:len(w.areas)-1]
		return Externals, nil
	}
	for _, x := range a.routers {
		x.flags = uint8(r.IntN(4))
	}
	return Topology, nil
}

func differ(got, want *Result) string {
	if gone, set := Diff(got, want); len(gone)+len(set) > 0 {
		return fmt.Sprint("routes too many ", gone, ", missing ", set)
	}
	if g, w := fmt.Sprint(got.Routers), fmt.Sprint(want.Routers); g != w {
		return "border routers " + g + " and should be " + w
	}
	if got.Nodes != want.Nodes {
		return fmt.Sprint(got.Nodes, " nodes and should be ", want.Nodes)
	}
	return ""
}

// patch applies the difference to a table and compares.
func patch(old, now *Result) string {
	t := map[netip.Prefix]Route{}
	for _, r := range old.Routes {
		t[r.Prefix] = r
	}
	gone, set := Diff(old, now)
	for _, r := range gone {
		delete(t, r.Prefix)
	}
	for _, r := range set {
		if was, ok := t[r.Prefix]; ok && was.Equal(&r) {
			return fmt.Sprint(r.Prefix, " is set though it is as it was")
		}
		t[r.Prefix] = r
	}
	for _, r := range now.Routes {
		if was := t[r.Prefix]; !was.Equal(&r) {
			return fmt.Sprint(r.Prefix, " is ", was, " and should be ", r)
		}
	}
	if len(t) != len(now.Routes) {
		return fmt.Sprint(len(t), " routes and should be ", len(now.Routes))
	}
	return ""
}

func TestResultIsSorted(t *testing.T) {
	for seed := range uint64(100) {
		r := Compute(random(wire.V2, seed).input())
		if !slices.IsSortedFunc(r.Routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) }) {
			t.Fatalf("seed %d: routes are not in order", seed)
		}
		for _, x := range r.Routes {
			if !slices.IsSortedFunc(x.NextHops, compareHops) || len(x.NextHops) == 0 {
				t.Fatalf("seed %d: %v has next hops %v", seed, x.Prefix, x.NextHops)
			}
		}
	}
}

func TestNextHopsAreBounded(t *testing.T) {
	w := &world{v: wire.V2}
	a := &wArea{}
	w.areas = []*wArea{a}
	a.routers = []*wRouter{{id: root}, {id: 2}}
	for i := range uint32(20) {
		a.links = append(a.links, wLink{a: root, b: 2, ca: 1, cb: 1, ia: 2*i + 1, ib: 2*i + 2})
	}
	a.prefixes = []wPrefix{{2, w.prefix(0, 1), 1}}
	for _, c := range []struct{ max, want int }{{0, DefaultMaxPaths}, {1, 1}, {3, 3}, {64, 20}} {
		w.paths = c.max
		if got := len(Compute(w.input()).Routes[0].NextHops); got != c.want {
			t.Errorf("maximum %d: %d next hops, and should be %d", c.max, got, c.want)
		}
	}
}

// What lies about itself is no reason to fail: bodies of another type, masks with holes, edges to nowhere.
func TestOddBodies(t *testing.T) {
	w := random(wire.V2, 3)
	in := w.input()
	a := &in.Areas[0]
	odd := &wire.Opaque{}
	for _, list := range []*[]*LSA{&a.Routers, &a.Networks, &a.Summaries, &a.NSSAs, &a.Prefixes, &in.Externals} {
		*list = append(*list, &LSA{Body: odd}, &LSA{})
	}
	a.Routers = append(a.Routers, w.lsa(wire.FunctionRouter, 77, 77, &wire.RouterLSA{Links: []wire.Link{
		{Kind: wire.LinkStub, ID: 1, Data: 0xff00ff00}, {Kind: 99}, {Kind: wire.LinkVirtual, ID: 1}, {Kind: wire.LinkPointToPoint, ID: 99},
		{Kind: wire.LinkTransit, ID: 99}, {Kind: wire.LinkPointToPoint, ID: 77}}}))
	want := Compute(w.input())
	if d := differ(Compute(in), want); d != "" {
		t.Error(d)
	}
}

func TestNothingKnown(t *testing.T) {
	for _, in := range []*Input{{Version: wire.V2}, {Version: wire.V3, Areas: []Area{{}, {ID: 1}}}, {Version: wire.V2, Router: 1, Border: true, Areas: []Area{{Ranges: []netip.Prefix{{}}}}}} {
		if r := Compute(in); len(r.Routes)+len(r.Routers)+r.Nodes != 0 {
			t.Errorf("%+v has routes: %+v", in, r)
		}
	}
}
