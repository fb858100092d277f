package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// naive finds the longest match by looking at all.
func naive(all map[netip.Prefix]*Route, a netip.Addr) (best *Route) {
	for p, r := range all {
		if p.Contains(a) && (best == nil || p.Bits() > best.Prefix.Bits()) {
			best = r
		}
	}
	return best
}

func TestLongestMatchOfHostsAndPrefixes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	table, all := newRoutes(), map[netip.Prefix]*Route{}
	address := func() netip.Addr { // few enough to meet again
		if rnd.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(rnd.IntN(2)), byte(rnd.IntN(2)), byte(rnd.IntN(8))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: byte(rnd.IntN(2)), 15: byte(rnd.IntN(8))})
	}
	for step := range 20000 {
		a := address()
		bits := []int{0, 8, 16, 31, a.BitLen(), a.BitLen()}[rnd.IntN(6)]
		p := netip.PrefixFrom(a, bits).Masked()
		if rnd.IntN(3) == 0 {
			table.remove(p)
			delete(all, p)
		} else {
			r := &Route{Prefix: p}
			table.set(r)
			all[p] = r
		}
		if got := table.get(p); got != all[p] {
			t.Fatalf("step %d: %v is %v, want %v", step, p, got, all[p])
		}
		b := address()
		if got, ok := table.lookup(b); got != naive(all, b) || ok != (got != nil) {
			t.Fatalf("step %d: %v goes by %v, %v; want %v", step, b, got, ok, naive(all, b))
		}
	}
}
