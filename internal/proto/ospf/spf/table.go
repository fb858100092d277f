package spf

import (
	"cmp"
	"net/netip"
	"slices"
)

// A table holds the best routes of one stage, in the order they came.
type table struct {
	index  map[netip.Prefix]int32
	routes []Route
}

func newTable(size int) table {
	return table{index: make(map[netip.Prefix]int32, size), routes: make([]Route, 0, size)}
}

func (t *table) get(p netip.Prefix) (*Route, bool) {
	i, ok := t.index[p]
	if !ok {
		return nil, false
	}
	return &t.routes[i], true
}

func (t *table) has(p netip.Prefix) bool {
	_, ok := t.index[p]
	return ok
}

// offer takes r when better puts it before what there is, and adds its next hops when they are as good.
func (t *table) offer(r Route, better func(a, b *Route) int, paths int) {
	old, ok := t.get(r.Prefix)
	if !ok {
		t.index[r.Prefix] = int32(len(t.routes))
		t.routes = append(t.routes, r)
		return
	}
	switch c := better(&r, old); {
	case c < 0:
		*old = r
	case c == 0:
		old.NextHops = union(old.NextHops, r.NextHops, paths)
	}
}

// byCost compares routes of one kind.
func byCost(a, b *Route) int { return cmp.Compare(a.Cost, b.Cost) }

// sorted is a copy in order of prefix.
func (t *table) sorted() []Route {
	order := make([]int32, len(t.routes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return t.routes[a].Prefix.Compare(t.routes[b].Prefix) })
	s := make([]Route, len(order))
	for i, j := range order {
		s[i] = t.routes[j]
	}
	return s
}

// merge is the routes of both, each sorted.
func merge(a, b []Route) []Route {
	if len(b) == 0 {
		return a
	}
	m := make([]Route, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0].Prefix.Compare(b[0].Prefix) < 0 {
			m, a = append(m, a[0]), a[1:]
		} else {
			m, b = append(m, b[0]), b[1:]
		}
	}
	return append(append(m, a...), b...)
}
