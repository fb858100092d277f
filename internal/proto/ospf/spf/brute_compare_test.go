package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

var versions = []wire.Version{wire.V2, wire.V3, wire.V3IPv4}

func TestAgainstBruteForce(t *testing.T) {
	seeds := uint64(700)
	if testing.Short() {
		seeds = 200
	}
	kinds := map[Kind]int{}
	for _, v := range versions {
		for seed := range seeds {
			w := random(v, seed)
			got, want := Compute(w.input()), bruteRoutes(w)
			if d := difference(got.Routes, want); d != "" {
				t.Fatalf("%v, seed %d:\n%s", v, seed, d)
			}
			for _, r := range got.Routes {
				kinds[r.Kind]++
			}
		}
	}
	for k := IntraArea; k <= External2; k++ {
		if kinds[k] == 0 {
			t.Errorf("no %v route in any world: the worlds are too plain", k)
		}
	}
}

func difference(got []Route, want bTable) string {
	var lines []string
	have := map[netip.Prefix]bool{}
	for _, r := range got {
		have[r.Prefix] = true
		w, ok := want[r.Prefix]
		g := bRoute{r.Kind, int(r.Cost), int(r.Type2), r.NextHops}
		switch {
		case !ok:
			lines = append(lines, fmt.Sprint("unexpected ", r.Prefix, " ", g))
		case fmt.Sprint(g) != fmt.Sprint(w):
			lines = append(lines, fmt.Sprint(r.Prefix, " is ", g, " and should be ", w))
		}
	}
	for p, w := range want {
		if !have[p] {
			lines = append(lines, fmt.Sprint("no ", p, " ", w))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
