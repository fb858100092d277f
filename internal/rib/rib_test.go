package rib

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

var prefix = netip.MustParsePrefix

func via(a string) []NextHop {
	return []NextHop{{Via: netip.MustParseAddr(a), Interface: "tun0"}}
}

// offer is a route of the protocol with its usual distance.
func offer(p Protocol, to, hop string) Route {
	return Route{Prefix: prefix(to), Protocol: p, Distance: p.Distance(), NextHops: via(hop)}
}

func selected(t *testing.T, r *RIB, to string) string {
	t.Helper()
	got, ok := r.Get("", prefix(to))
	if !ok {
		return ""
	}
	return describe(got)
}

func describe(r Route) string {
	s := r.Protocol.String()
	for _, h := range r.NextHops {
		s += " " + h.Via.String()
	}
	return s
}

func TestSelection(t *testing.T) {
	with := func(r Route, distance uint8, metric uint32) Route {
		r.Distance, r.Metric = distance, metric
		return r
	}
	static, ospf := offer(Static, "192.0.2.0/24", "10.0.0.1"), offer(OSPF, "192.0.2.0/24", "10.0.0.2")
	for _, tt := range []struct {
		name string
		a, b Route
		want string
	}{
		{"distance", static, ospf, "static 10.0.0.1"},
		{"a floating static loses", with(static, 200, 0), ospf, "ospf 10.0.0.2"},
		{"metric at equal distance", with(static, 110, 20), with(ospf, 110, 10), "ospf 10.0.0.2"},
		{"distance before metric", with(static, 1, 99), with(ospf, 2, 1), "static 10.0.0.1"},
		{"protocol at equal distance and metric", with(static, 5, 5), with(ospf, 5, 5), "static 10.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][]Route{{tt.a, tt.b}, {tt.b, tt.a}} {
				r := New()
				for _, o := range order {
					r.Set(o)
				}
				if got := selected(t, r, "192.0.2.0/24"); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestKernelRoutesOfTwoMetricsLiveSideBySide(t *testing.T) {
	r := New()
	a, b := offer(Kernel, "192.0.2.0/24", "10.0.0.1"), offer(Kernel, "192.0.2.0/24", "10.0.0.2")
	a.Metric, b.Metric = 20, 10
	r.Set(a)
	r.Set(b)
	if got := selected(t, r, "192.0.2.0/24"); got != "kernel 10.0.0.2" {
		t.Errorf("got %q", got)
	}
	r.Delete(b.Key())
	if got := selected(t, r, "192.0.2.0/24"); got != "kernel 10.0.0.1" {
		t.Errorf("got %q", got)
	}
}

// An override keeps the winner and takes its next hops: Cisco's next-hop override.
func TestOverrideOfAnEqualPrefix(t *testing.T) {
	shortcut := offer(NHRP, "192.0.2.0/24", "10.0.0.9")
	shortcut.Override = true
	for _, tt := range []struct {
		name   string
		offers []Route
		want   string
	}{
		{"alone", nil, "nhrp 10.0.0.9"},
		{"better than nhrp", []Route{offer(Static, "192.0.2.0/24", "10.0.0.1")}, "static 10.0.0.9"},
		{"worse than nhrp", []Route{offer(OSPF, "192.0.2.0/24", "10.0.0.1")}, "nhrp 10.0.0.9"},
		{"connected stays", []Route{offer(Connected, "192.0.2.0/24", "10.0.0.1")}, "connected 10.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New()
			for _, o := range tt.offers {
				r.Set(o)
			}
			r.Set(shortcut)
			if got := selected(t, r, "192.0.2.0/24"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			got, _ := r.Lookup("", netip.MustParseAddr("192.0.2.7"))
			if describe(got) != tt.want {
				t.Errorf("looked up %q, want %q", describe(got), tt.want)
			}
		})
	}
}

func TestOverrideComesAndGoesAsAChange(t *testing.T) {
	r := New()
	r.Set(offer(Static, "192.0.2.0/24", "10.0.0.1"))
	shortcut := offer(NHRP, "192.0.2.0/24", "10.0.0.9")
	shortcut.Override = true
	c, ok := r.Set(shortcut)
	if !ok || describe(*c.Old) != "static 10.0.0.1" || describe(*c.New) != "static 10.0.0.9" {
		t.Fatalf("%+v %v", c, ok)
	}
	c, ok = r.Delete(shortcut.Key())
	if !ok || describe(*c.Old) != "static 10.0.0.9" || describe(*c.New) != "static 10.0.0.1" || c.New.Override {
		t.Fatalf("%+v %v", c, ok)
	}
}

// Who made a shortcut hears that the way it shortens leads elsewhere now, whether or not its own route is the one selected.
func TestChangeBeneathAnOverrideIsTold(t *testing.T) {
	for _, below := range []Protocol{Static, OSPF} {
		r := New()
		shortcut := offer(NHRP, "192.0.2.0/24", "10.0.0.9")
		shortcut.Override = true
		r.Set(offer(below, "192.0.2.0/24", "10.0.0.1"))
		r.Set(shortcut)
		c, ok := r.Set(offer(below, "192.0.2.0/24", "10.0.0.2"))
		if !ok || !slices.Equal(c.New.NextHops, shortcut.NextHops) || len(c.New.Beneath) != 1 || c.New.Beneath[0].Via.String() != "10.0.0.2" {
			t.Errorf("%v: %+v %v", below, c, ok)
		}
		if c, ok = r.Delete(offer(below, "192.0.2.0/24", "10.0.0.2").Key()); !ok || c.New.Beneath != nil {
			t.Errorf("%v withdrawn: %+v %v", below, c, ok)
		}
	}
}

func TestLookupIsTheLongestMatch(t *testing.T) {
	r := New()
	for _, o := range []Route{
		offer(Static, "0.0.0.0/0", "10.0.0.1"), offer(OSPF, "192.0.2.0/24", "10.0.0.2"),
		offer(NHRP, "192.0.2.128/25", "10.0.0.3"), offer(Static, "2001:db8::/32", "2001:db8::1"),
	} {
		r.Set(o)
	}
	for a, want := range map[string]string{
		"198.51.100.1": "static 10.0.0.1", "192.0.2.1": "ospf 10.0.0.2", "192.0.2.200": "nhrp 10.0.0.3",
		"2001:db8::7": "static 2001:db8::1", "2001:db9::7": "",
	} {
		got, ok := r.Lookup("", netip.MustParseAddr(a))
		if s := describe(got); ok && s != want || !ok && want != "" {
			t.Errorf("%s: got %q, want %q", a, s, want)
		}
	}
	for _, tt := range []struct {
		vrf string
		a   netip.Addr
	}{{"blue", netip.MustParseAddr("192.0.2.1")}, {"", netip.Addr{}}} {
		if got, ok := r.Lookup(tt.vrf, tt.a); ok {
			t.Errorf("%q %v: got %q", tt.vrf, tt.a, describe(got))
		}
	}
}

func TestLookupExcept(t *testing.T) {
	isNHRP := func(r Route) bool { return r.Protocol == NHRP }
	shortcut := func(to string) Route {
		s := offer(NHRP, to, "10.0.0.9")
		s.Override = true
		return s
	}
	a := netip.MustParseAddr("192.0.2.7")
	for _, tt := range []struct {
		name   string
		offers []Route
		want   string
	}{
		{"nothing to leave out", []Route{offer(Static, "192.0.2.0/24", "10.0.0.1")}, "static 10.0.0.1"},
		{"a longer shortcut", []Route{offer(Static, "192.0.2.0/24", "10.0.0.1"), shortcut("192.0.2.0/25")}, "static 10.0.0.1"},
		{"a shortcut that wins", []Route{offer(OSPF, "192.0.2.0/24", "10.0.0.1"), shortcut("192.0.2.0/24")}, "ospf 10.0.0.1"},
		{"a shortcut that overrides", []Route{offer(Static, "192.0.2.0/24", "10.0.0.1"), shortcut("192.0.2.0/24")}, "static 10.0.0.1"},
		{"only the shortcut", []Route{shortcut("192.0.2.0/24")}, ""},
		{"the default behind it", []Route{shortcut("192.0.2.0/24"), offer(Static, "0.0.0.0/0", "10.0.0.2")}, "static 10.0.0.2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New()
			for _, o := range tt.offers {
				r.Set(o)
			}
			got, ok := r.LookupExcept("", a, isNHRP)
			if s := describe(got); ok && s != tt.want || ok == (tt.want == "") {
				t.Errorf("got %q, %v, want %q", s, ok, tt.want)
			}
		})
	}
}

// What is skipped has no say in what is left: an override that is not skipped still gives its next hops.
func TestLookupExceptKeepsOtherOverrides(t *testing.T) {
	r := New()
	s := offer(NHRP, "192.0.2.0/24", "10.0.0.9")
	s.Override = true
	for _, o := range []Route{offer(Static, "192.0.2.0/24", "10.0.0.1"), s, offer(OSPF, "192.0.2.0/24", "10.0.0.2")} {
		r.Set(o)
	}
	got, _ := r.LookupExcept("", netip.MustParseAddr("192.0.2.7"), func(r Route) bool { return r.Protocol == OSPF })
	if describe(got) != "static 10.0.0.9" {
		t.Errorf("got %q", describe(got))
	}
}

func TestMoreSpecific(t *testing.T) {
	r := New()
	r.Set(offer(Static, "192.0.2.0/24", "10.0.0.1"))
	r.Set(offer(Static, "198.51.100.128/25", "10.0.0.1"))
	for p, want := range map[string]bool{
		"192.0.2.0/24": false, "192.0.2.0/23": true, "0.0.0.0/0": true, "198.51.100.0/24": true,
		"192.0.2.0/25": false, "203.0.113.0/24": false, "::/0": false,
	} {
		if got := r.MoreSpecific("", prefix(p)); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
	if r.MoreSpecific("blue", prefix("0.0.0.0/0")) {
		t.Error("a table that is not there has routes")
	}
}

func TestChanges(t *testing.T) {
	r := New()
	static, ospf := offer(Static, "192.0.2.0/24", "10.0.0.1"), offer(OSPF, "192.0.2.0/24", "10.0.0.2")
	moved := offer(Static, "192.0.2.0/24", "10.0.0.3")
	later := static
	later.Since = 99
	for i, step := range []struct {
		do       func() (Change, bool)
		old, new string // both "": no change
	}{
		{func() (Change, bool) { return r.Set(static) }, "", "static 10.0.0.1"},
		{func() (Change, bool) { return r.Set(static) }, "", ""},
		{func() (Change, bool) { return r.Set(later) }, "", ""},
		{func() (Change, bool) { return r.Set(ospf) }, "", ""}, // not the best
		{func() (Change, bool) { return r.Set(moved) }, "static 10.0.0.1", "static 10.0.0.3"},
		{func() (Change, bool) { return r.Delete(static.Key()) }, "static 10.0.0.3", "ospf 10.0.0.2"},
		{func() (Change, bool) { return r.Delete(static.Key()) }, "", ""},
		{func() (Change, bool) { return r.Delete(ospf.Key()) }, "ospf 10.0.0.2", ""},
		{func() (Change, bool) { return r.Delete(ospf.Key()) }, "", ""},
		{func() (Change, bool) { return r.Delete(Key{VRF: "blue", Prefix: ospf.Prefix}) }, "", ""},
	} {
		c, ok := step.do()
		if ok != (step.old+step.new != "") || text(c.Old) != step.old || text(c.New) != step.new {
			t.Errorf("step %d: %v %q %q", i, ok, text(c.Old), text(c.New))
		}
		if ok && c.Prefix != static.Prefix {
			t.Errorf("step %d: of %s", i, c.Prefix)
		}
	}
}

func text(r *Route) string {
	if r == nil {
		return ""
	}
	return describe(*r)
}

// The caller's memory is the caller's, and an old change does not turn into a new one.
func TestValuesAreCopied(t *testing.T) {
	r := New()
	o := offer(Static, "192.0.2.0/24", "10.0.0.1")
	c, _ := r.Set(o)
	o.NextHops[0].Interface = "eth9"
	r.Set(offer(Static, "192.0.2.0/24", "10.0.0.2"))
	if got, _ := r.Get("", o.Prefix); describe(got) != "static 10.0.0.2" {
		t.Errorf("got %q", describe(got))
	}
	if text(c.New) != "static 10.0.0.1" || c.New.NextHops[0].Interface != "tun0" {
		t.Errorf("the first change is now %+v", *c.New)
	}
}

func TestUnmaskedPrefixesAreMasked(t *testing.T) {
	r := New()
	o := offer(Static, "192.0.2.7/24", "10.0.0.1")
	r.Set(o)
	if selected(t, r, "192.0.2.0/24") == "" {
		t.Error("not found under its prefix")
	}
	if _, ok := r.Delete(o.Key()); !ok {
		t.Error("not found to delete")
	}
}

func TestVRFsAreApart(t *testing.T) {
	r := New()
	for _, vrf := range []string{"red", "", "blue"} {
		o := offer(Static, "192.0.2.0/24", "10.0.0.1")
		o.VRF = vrf
		r.Set(o)
	}
	r.Delete(Key{VRF: "red", Prefix: prefix("192.0.2.0/24"), Protocol: Static})
	if _, ok := r.Lookup("blue", netip.MustParseAddr("192.0.2.1")); !ok {
		t.Error("blue lost what red deleted")
	}
	if got := r.VRFs(); !slices.IsSorted(got) || !slices.Contains(got, "") || !slices.Contains(got, "blue") {
		t.Errorf("%q", got)
	}
}

// twin is the same table as a list, by definition rather than by structure.
type twin []Route

func (w *twin) set(r Route) {
	w.delete(r.Key())
	*w = append(*w, r)
}

func (w *twin) delete(k Key) {
	*w = slices.DeleteFunc(*w, func(r Route) bool { return r.Key() == k })
}

// best is the selection for exactly this prefix among the offers that are not skipped.
func (w twin) best(vrf string, p netip.Prefix, skip func(Route) bool) (Route, bool) {
	var offers []Route
	for _, r := range w {
		if r.VRF == vrf && r.Prefix == p && !skip(r) {
			offers = append(offers, r)
		}
	}
	if len(offers) == 0 {
		return Route{}, false
	}
	slices.SortFunc(offers, func(a, b Route) int {
		return cmp.Or(int(a.Distance)-int(b.Distance), cmp.Compare(a.Metric, b.Metric), int(a.Protocol)-int(b.Protocol))
	})
	out := offers[0]
	for _, r := range offers[1:] {
		if r.Override && out.Protocol != Connected {
			out.NextHops = r.NextHops
			break
		}
	}
	return out, true
}

func (w twin) lookup(vrf string, a netip.Addr, skip func(Route) bool) (Route, bool) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if r, ok := w.best(vrf, p, skip); ok {
			return r, true
		}
	}
	return Route{}, false
}

func (w twin) inside(vrf string, p netip.Prefix) bool {
	return slices.ContainsFunc(w, func(r Route) bool {
		return r.VRF == vrf && r.Prefix.Bits() > p.Bits() && p.Contains(r.Prefix.Addr())
	})
}

// TestModel does the same to both at random, and compares all answers.
func TestModel(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { model(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func model(t *testing.T, rnd *rand.Rand) {
	r, w := New(), twin{}
	told := map[string]string{} // the selection as the changes tell it
	for range 300 {
		o := randomRoute(rnd)
		var c Change
		var ok bool
		if rnd.IntN(3) > 0 {
			w.set(o)
			c, ok = r.Set(o)
		} else {
			w.delete(o.Key())
			c, ok = r.Delete(o.Key())
		}
		if id := o.VRF + " " + o.Prefix.String(); ok {
			if text(c.Old) != told[id] || c.VRF != o.VRF || c.Prefix != o.Prefix {
				t.Fatalf("change of %s from %q, was %q", id, text(c.Old), told[id])
			}
			told[id] = text(c.New)
		} else if got, _ := r.Get(o.VRF, o.Prefix); told[id] != "" && describe(got) != told[id] {
			t.Fatalf("%s is %q and the changes told %q", id, describe(got), told[id])
		}
		compare(t, rnd, r, w)
	}
	for vrf := range map[string]bool{"": true, "blue": true} {
		n := 0
		for range r.Offers(vrf) {
			n++
		}
		if want := len(slices.DeleteFunc(slices.Clone(w), func(r Route) bool { return r.VRF != vrf })); n != want {
			t.Fatalf("%d offers, want %d", n, want)
		}
	}
}

func compare(t *testing.T, rnd *rand.Rand, r *RIB, w twin) {
	t.Helper()
	q := randomRoute(rnd)
	a := q.Prefix.Addr()
	none := func(Route) bool { return false }
	some := func(o Route) bool { return o.Protocol == q.Protocol }
	same := func(what string, got Route, ok bool, want Route, wanted bool) {
		t.Helper()
		if ok != wanted || ok && (describe(got) != describe(want) || got.Prefix != want.Prefix) {
			t.Fatalf("%s of %s: got %s %q %v, want %s %q %v\noffers %+v", what, q.Prefix, got.Prefix, describe(got), ok, want.Prefix, describe(want), wanted, w)
		}
	}
	got, ok := r.Get(q.VRF, q.Prefix)
	want, wanted := w.best(q.VRF, q.Prefix, none)
	same("get", got, ok, want, wanted)
	got, ok = r.Lookup(q.VRF, a)
	want, wanted = w.lookup(q.VRF, a, none)
	same("lookup", got, ok, want, wanted)
	got, ok = r.LookupExcept(q.VRF, a, some)
	want, wanted = w.lookup(q.VRF, a, some)
	same("lookup without "+q.Protocol.String(), got, ok, want, wanted)
	if got, want := r.MoreSpecific(q.VRF, q.Prefix), w.inside(q.VRF, q.Prefix); got != want {
		t.Fatalf("more specific than %s: %v, want %v", q.Prefix, got, want)
	}
}

// randomRoute draws from few prefixes, so that they meet.
func randomRoute(rnd *rand.Rand) Route {
	a := netip.AddrFrom4([4]byte{10, byte(rnd.IntN(2)), byte(rnd.IntN(2)) << 7, 0})
	if rnd.IntN(4) == 0 {
		a = netip.AddrFrom16([16]byte{0x20, 1, byte(rnd.IntN(2)) << 7})
	}
	p, _ := a.Prefix([]int{0, 8, 16, 17, 24}[rnd.IntN(5)])
	r := Route{
		Prefix:   p,
		Protocol: []Protocol{Connected, Static, NHRP, OSPF, Kernel}[rnd.IntN(5)],
		Metric:   uint32(rnd.IntN(2)),
		NextHops: []NextHop{{Via: netip.AddrFrom4([4]byte{10, 9, 9, byte(rnd.IntN(4))})}},
	}
	r.Distance = r.Protocol.Distance()
	r.Override = r.Protocol == NHRP && rnd.IntN(2) == 0
	if rnd.IntN(3) == 0 {
		r.VRF = "blue"
	}
	return r
}

// What drops has no next hops, what has none drops, and a shortcut does not override it.
func TestKinds(t *testing.T) {
	prefix := netip.MustParsePrefix("10.1.0.0/16")
	hop := []NextHop{{Via: netip.MustParseAddr("10.0.0.1"), Interface: "tun0"}}
	for _, tt := range []struct {
		name  string
		offer Route
		want  Kind
		hops  int
	}{
		{"unicast", Route{NextHops: hop}, Unicast, 1},
		{"nothing is a blackhole", Route{}, Blackhole, 0},
		{"blackhole", Route{Kind: Blackhole, NextHops: hop}, Blackhole, 0},
		{"reject", Route{Kind: Reject}, Reject, 0},
	} {
		table := New()
		tt.offer.Prefix, tt.offer.Protocol, tt.offer.Distance = prefix, Static, 1
		table.Set(tt.offer)
		if got, _ := table.Get("", prefix); got.Kind != tt.want || len(got.NextHops) != tt.hops {
			t.Errorf("%s: %+v", tt.name, got)
		}
		table.Set(Route{Prefix: prefix, Protocol: NHRP, Distance: 10, Override: true, NextHops: hop})
		if got, _ := table.Get("", prefix); got.Kind != tt.want || got.Override != (tt.want == Unicast) {
			t.Errorf("%s and a shortcut: %+v", tt.name, got)
		}
	}
}

// A tag that changes is a change, for those who match by it.
func TestTagIsPartOfTheRoute(t *testing.T) {
	table, r := New(), Route{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Protocol: OSPF, Tag: 7}
	table.Set(r)
	if _, changed := table.Set(r); changed {
		t.Error("the same route is a change")
	}
	r.Tag = 8
	if c, changed := table.Set(r); !changed || c.Old.Tag != 7 || c.New.Tag != 8 {
		t.Errorf("%+v %v", c, changed)
	}
}

func TestOffersAtAndPrefixes(t *testing.T) {
	table, p, q := New(), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")
	table.Set(Route{Prefix: p, Protocol: OSPF, Distance: 110})
	table.Set(Route{Prefix: p, Protocol: Static, Distance: 1})
	table.Set(Route{Prefix: q, Protocol: OSPF, Distance: 110})
	if got := table.OffersAt("", p); len(got) != 2 || got[0].Protocol != Static || got[1].Protocol != OSPF {
		t.Errorf("%+v", got)
	}
	if got := table.OffersAt("red", p); got != nil {
		t.Errorf("%+v", got)
	}
	all := table.Prefixes("")
	slices.SortFunc(all, netip.Prefix.Compare)
	if !slices.Equal(all, []netip.Prefix{p, q}) {
		t.Errorf("%v", all)
	}
}
