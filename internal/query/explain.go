package query

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// Explain is every route that covers a, longest prefix first, with the reason why it is taken or not. The NHRP
// cache tells where a next hop on a tunnel leads.
func Explain(routes []RouteRow, cache []nhrp.CacheRow, a netip.Addr) []RouteRow {
	var rows []RouteRow
	for _, r := range routes {
		if r.Prefix.Contains(a) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(x, y RouteRow) int {
		return cmp.Or(cmp.Compare(x.VRF, y.VRF), cmp.Compare(y.Prefix.Bits(), x.Prefix.Bits()), selectedFirst(x, y))
	})
	best := map[string]RouteRow{} // by VRF: a destination has one route in each
	for i := range rows {
		r := &rows[i]
		chosen, have := best[r.VRF]
		switch {
		case !have && r.Selected:
			best[r.VRF] = *r
			r.Reason = taken(*r) + leads(*r, cache, a)
		case !have:
			r.Reason = "not selected"
		default:
			r.Reason = loses(*r, chosen)
		}
	}
	return rows
}

// taken keeps what the RIB has to say of a selected route.
func taken(r RouteRow) string {
	if r.Reason != "" {
		return "taken: longest match; " + r.Reason
	}
	return "taken: longest match"
}

func selectedFirst(x, y RouteRow) int {
	switch {
	case x.Selected == y.Selected:
		return 0
	case x.Selected:
		return -1
	}
	return 1
}

func loses(r, chosen RouteRow) string {
	switch {
	case r.Prefix != chosen.Prefix:
		return "shorter than " + chosen.Prefix.String()
	case r.Distance != chosen.Distance:
		return fmt.Sprintf("distance %d, %s has %d", r.Distance, chosen.Protocol, chosen.Distance)
	case r.Metric != chosen.Metric:
		return fmt.Sprintf("metric %d, %s has %d", r.Metric, chosen.Protocol, chosen.Metric)
	}
	return chosen.Protocol + " goes before " + r.Protocol
}

// leads says where the next hops lead on the underlay, for those on a tunnel.
func leads(r RouteRow, cache []nhrp.CacheRow, a netip.Addr) (text string) {
	if len(r.NextHops) == 0 {
		return "; blackhole"
	}
	for _, n := range r.NextHops {
		via := n.Via
		if !via.IsValid() {
			via = a
		}
		text += lead(n.Interface, via, cache)
	}
	return text
}

func lead(tunnel string, via netip.Addr, cache []nhrp.CacheRow) string {
	known := false
	for _, c := range cache {
		if c.Interface != tunnel {
			continue
		}
		known = true
		if c.Protocol == via && c.NBMA != "" && c.Type != "negative" {
			return fmt.Sprintf("; %s is at %s (%s)", via, c.NBMA, c.Type)
		}
	}
	if !known {
		return ""
	}
	return fmt.Sprintf("; no NHRP entry for %s", via)
}
