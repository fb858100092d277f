package spf

import "slices"

// Diff says what a routing table must do to go from one result to the next: which routes are gone, and which are new
// or other than they were. A nil result has no routes.
func Diff(old, now *Result) (gone, set []Route) {
	var a, b []Route
	if old != nil {
		a = old.Routes
	}
	if now != nil {
		b = now.Routes
	}
	for len(a) > 0 || len(b) > 0 {
		switch c := order(a, b); {
		case c < 0:
			gone, a = append(gone, a[0]), a[1:]
		case c > 0:
			set, b = append(set, b[0]), b[1:]
		default:
			if !a[0].Equal(&b[0]) {
				set = append(set, b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	return gone, set
}

// order compares the first prefixes of two lists, of which one may have ended.
func order(a, b []Route) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return a[0].Prefix.Compare(b[0].Prefix)
}

// Equal reports whether two routes are the same in all they say.
func (r *Route) Equal(o *Route) bool {
	return r.Prefix == o.Prefix && r.Kind == o.Kind && r.Cost == o.Cost && r.Type2 == o.Type2 && r.Area == o.Area &&
		r.NSSA == o.NSSA && r.HasTag == o.HasTag && r.Tag == o.Tag && r.Origin == o.Origin &&
		slices.Equal(r.NextHops, o.NextHops)
}
