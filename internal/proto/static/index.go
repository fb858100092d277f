package static

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// index finds the destinations that a change concerns, in the order of the configuration, without a look at the others.
type index struct {
	vias       map[string]*bart.Table[[]int] // by VRF and next hop
	defaults   map[string][]int              // by VRF: those that may take the default route
	interfaces map[string][]dest             // by name
	order      []dest
}

func newIndex(routes []Route) index {
	x := index{vias: map[string]*bart.Table[[]int]{}, defaults: map[string][]int{}, interfaces: map[string][]dest{}}
	at := map[dest]int{}
	for _, r := range routes {
		d := r.dest()
		i, known := at[d]
		if !known {
			i = len(x.order)
			x.order, at[d] = append(x.order, d), i
		}
		x.add(r, d, i)
	}
	return x
}

func (x *index) add(r Route, d dest, i int) {
	if r.Interface != "" {
		x.interfaces[r.Interface] = append(x.interfaces[r.Interface], d)
		return
	}
	if !r.Via.IsValid() {
		return
	}
	if r.ViaDefault {
		x.defaults[r.VRF] = append(x.defaults[r.VRF], i)
	}
	t := x.vias[r.VRF]
	if t == nil {
		t = new(bart.Table[[]int])
		x.vias[r.VRF] = t
	}
	via := netip.PrefixFrom(r.Via.WithZone(""), r.Via.BitLen())
	was, _ := t.Get(via)
	t.Insert(via, append(was, i))
}

// concerned are the destinations with a next hop in a prefix. The default route concerns only those that may take it.
func (x *index) concerned(vrf string, p netip.Prefix) (out []dest) {
	var found []int
	if t := x.vias[vrf]; p.Bits() == 0 {
		found = slices.Clone(x.defaults[vrf])
	} else if t != nil {
		for _, at := range t.Subnets(p.Masked()) {
			found = append(found, at...)
		}
	}
	slices.Sort(found)
	for _, i := range slices.Compact(found) {
		out = append(out, x.order[i])
	}
	return out
}
