package query

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// guard is the protocol of a row that keeps a prefix closed which protected tunnels led to.
const guard = "guard"

// Explain is every route that covers a destination, longest prefix first, with the reason why it is taken or not. The
// NHRP cache tells where a next hop on a tunnel leads.
func Explain(routes []RouteRow, cache []nhrp.CacheRow, to netip.Prefix) []RouteRow {
	var rows []RouteRow
	for _, r := range routes {
		if r.Prefix.Bits() <= to.Bits() && r.Prefix.Contains(to.Addr()) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(x, y RouteRow) int {
		return cmp.Or(cmp.Compare(x.VRF, y.VRF), cmp.Compare(y.Prefix.Bits(), x.Prefix.Bits()), cmp.Compare(place(x), place(y)))
	})
	best := map[string]RouteRow{} // by VRF: a destination has one route in each
	for i := range rows {
		r := &rows[i]
		chosen, have := best[r.VRF]
		switch {
		case r.Idle != "":
			r.Reason = "leads nowhere: " + r.Idle
		case !have && r.Selected:
			best[r.VRF] = *r
			r.Reason = taken(*r) + leads(*r, cache, to)
		case !have:
			r.Reason = "not selected"
		default:
			r.Reason = loses(*r, chosen)
		}
	}
	return rows
}

// place orders the routes to one prefix: the selected one, other offers, what leads nowhere, guards beneath.
func place(r RouteRow) int {
	switch {
	case r.Selected:
		return 0
	case r.Protocol == guard:
		return 3
	case r.Idle != "":
		return 2
	}
	return 1
}

// taken keeps what there is to say of a selected route.
func taken(r RouteRow) string {
	text := "taken: longest match"
	if r.Reason != "" {
		text += "; " + r.Reason
	}
	if r.Kind == "reject" || r.Kind == "blackhole" {
		text += "; " + r.Kind
	}
	return text
}

// lent begins the reason of a route that has its next hops from a shortcut of the same prefix.
const lent = "next hop by NHRP"

func loses(r, chosen RouteRow) string {
	switch {
	case r.Prefix != chosen.Prefix:
		return "shorter than " + chosen.Prefix.String()
	case r.Protocol == guard:
		return "beneath the others: closes the prefix when they go"
	case r.Protocol == "nhrp" && strings.HasPrefix(chosen.Reason, lent):
		return "lends its next hop to " + chosen.Protocol
	case r.Distance != chosen.Distance:
		return fmt.Sprintf("distance %d, %s has %d", r.Distance, chosen.Protocol, chosen.Distance)
	case r.Metric != chosen.Metric:
		return fmt.Sprintf("metric %d, %s has %d", r.Metric, chosen.Protocol, chosen.Metric)
	}
	return chosen.Protocol + " goes before " + r.Protocol
}

// leads says where the next hops lead on the underlay, for those on a tunnel.
func leads(r RouteRow, cache []nhrp.CacheRow, to netip.Prefix) (text string) {
	for _, n := range r.NextHops {
		via := n.Via
		if !via.IsValid() && !to.IsSingleIP() {
			continue // each address of it has a way of its own
		} else if !via.IsValid() {
			via = to.Addr()
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
