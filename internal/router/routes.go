package router

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/static"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/rib"
)

// place is a prefix of a VRF with a route or a guard.
type place struct {
	vrf    string
	prefix netip.Prefix
}

// placesAtOnce bounds how long the loop is kept from its work by who looks at a large table.
const placesAtOnce = 500

// Routes implements [query.Source]. The table is copied piece by piece, so that the loop goes on between: each prefix is as it
// was at one time, the table is not.
func (r *Router) Routes() (rows []query.RouteRow) {
	places := append(get(r, View.places), get(r, View.closed)...)
	sortPlaces(places)
	places = slices.Compact(places) // a route may have come between the two
	for some := range slices.Chunk(places, placesAtOnce) {
		rows = append(rows, get(r, func(v View) []query.RouteRow { return v.routesAt(some) })...)
	}
	return rows
}

// RoutesTo implements [query.Source].
func (r *Router) RoutesTo(to netip.Prefix) []query.RouteRow {
	return get(r, func(v View) []query.RouteRow { return v.RoutesTo(to) })
}

// Routes is `show routes`.
func (v View) Routes() []query.RouteRow {
	places := append(v.places(), v.closed()...)
	sortPlaces(places)
	return v.routesAt(places)
}

func sortPlaces(places []place) {
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.vrf, b.vrf), a.prefix.Compare(b.prefix))
	})
}

// places are all prefixes with a route.
func (v View) places() (all []place) {
	table := v.Loop.RIB()
	for _, vrf := range table.VRFs() {
		for _, p := range table.Prefixes(vrf) {
			all = append(all, place{vrf, p})
		}
	}
	return all
}

// closed are the prefixes that have a guard and no route.
func (v View) closed() (all []place) {
	table := v.Loop.RIB()
	for _, p := range v.Modules.Kernel.Guarded() {
		if _, routed := table.Get("", p); !routed {
			all = append(all, place{"", p})
		}
	}
	return all
}

func (v View) routesAt(places []place) (rows []query.RouteRow) {
	for _, p := range places {
		for i, route := range v.Loop.RIB().OffersAt(p.vrf, p.prefix) {
			rows = append(rows, v.routeRow(route, i == 0))
		}
		for _, s := range v.Modules.Static.Floating(v.Loop.RIB(), p.vrf, p.prefix) {
			rows = append(rows, configuredRow(s, s.NextHops))
		}
		if p.vrf == "" {
			rows = append(rows, v.guardRows(p.prefix)...)
		}
	}
	return rows
}

// RoutesTo is what `show routes ADDRESS` chooses from.
func (v View) RoutesTo(to netip.Prefix) (rows []query.RouteRow) {
	table := v.Loop.RIB()
	for _, vrf := range append(table.VRFs(), "") {
		if vrf == "" && rows != nil {
			continue
		}
		var places []place
		for bits := to.Bits(); bits >= 0; bits-- {
			places = append(places, place{vrf, netip.PrefixFrom(to.Addr(), bits).Masked()})
		}
		rows = append(rows, v.routesAt(places)...)
		for _, s := range v.Modules.Static.Covering(table, vrf, to) {
			rows = append(rows, idleRows(s)...)
		}
	}
	return rows
}

func (v View) routeRow(route rib.Route, selected bool) query.RouteRow {
	row := query.RouteRow{
		VRF: route.VRF, Prefix: route.Prefix, Protocol: route.Protocol.String(), Distance: route.Distance, Metric: route.Metric, Tag: route.Tag,
		Kind: route.Kind.String(), NextHops: hopRows(route.NextHops), Selected: selected, Age: (v.now() - route.Since).Seconds(),
		Installed: route.Protocol == rib.Connected || route.Protocol == rib.Kernel,
	}
	if !selected {
		return row
	}
	s := v.Modules.Kernel.Standing(route)
	row.Installed = s.Installed
	if route.Override && route.Protocol != rib.NHRP {
		row.Reason = "next hop by NHRP"
	}
	switch {
	case s.Why == "":
	case s.Installed:
		row.Reason = also(row.Reason, s.Why)
	default:
		row.Reason = also(row.Reason, "not in the kernel: "+s.Why)
	}
	return row
}

func also(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func hopRows(hops []rib.NextHop) []query.NextHopRow {
	rows := []query.NextHopRow{}
	for _, h := range hops {
		rows = append(rows, query.NextHopRow{Via: h.Via, Interface: h.Interface, Weight: max(h.Weight, 1)})
	}
	return rows
}

// guardRows are the guards of a prefix. The kernel takes one when there is nothing else.
func (v View) guardRows(p netip.Prefix) (rows []query.RouteRow) {
	for _, g := range v.Modules.Kernel.GuardsAt(p) {
		_, routed := v.Loop.RIB().Get("", p)
		row := query.RouteRow{
			Prefix: p, Protocol: "guard", Distance: math.MaxUint8, Metric: g.Metric, Kind: rib.Blackhole.String(), NextHops: []query.NextHopRow{},
			Selected: !routed, Installed: g.Standing, Reason: guardReason(g),
		}
		rows = append(rows, row)
	}
	return rows
}

func guardReason(g kernel.GuardRow) string {
	reason := "only protected tunnels lead there, says the configuration"
	if g.Learned {
		reason = "only protected tunnels led there; `clear guards` lets go of it when there is no route"
	}
	if !g.Standing && g.Why != "" {
		return "not in the kernel: " + g.Why
	}
	return reason
}

// idleRows are a configured route that leads nowhere, or in part.
func idleRows(s static.Standing) []query.RouteRow {
	row := configuredRow(s, []rib.NextHop{{Via: s.Via, Interface: s.Interface, Weight: s.Weight}})
	switch {
	case s.Why != "":
		row.Idle = s.Why
	case len(s.Failed) > 0:
		row.NextHops = hopRows(s.Failed)
		row.Idle = fmt.Sprintf("BFD says that %s is down", row.NextHops[0])
	default:
		return nil
	}
	return []query.RouteRow{row}
}

// configuredRow is a configured route that is not in the RIB.
func configuredRow(s static.Standing, hops []rib.NextHop) query.RouteRow {
	return query.RouteRow{
		VRF: s.VRF, Prefix: s.To.Masked(), Protocol: rib.Static.String(), Distance: s.Distance, Tag: s.Tag, Kind: s.Kind().String(), NextHops: hopRows(hops),
	}
}

// withRoute puts before the stages of the way to a destination what keeps better routes from being taken. Of a destination
// that no module knows it tells the route, unless there is none but the default route.
func (v View) withRoute(peer string, stages []nhrp.Stage) []nhrp.Stage {
	a, err := netip.ParseAddr(peer)
	switch {
	case err != nil || len(stages) > 0 && stages[0].Name != "route":
		return stages
	case len(stages) > 0:
		ok := func(s nhrp.Stage) bool { return s.State == "ok" }
		return append(slices.DeleteFunc(v.whyRoute(a), ok), stages...)
	case !slices.ContainsFunc(v.RoutesTo(netip.PrefixFrom(a, a.BitLen())), func(r query.RouteRow) bool { return r.Prefix.Bits() > 0 }):
		return nil
	}
	return v.whyRoute(a)
}

// whyRoute tells of the choice of a route to an address: what would have gone before and leads nowhere, then what is taken.
func (v View) whyRoute(a netip.Addr) (stages []nhrp.Stage) {
	to := netip.PrefixFrom(a, a.BitLen())
	for _, r := range query.Explain(v.RoutesTo(to), v.NHRP(), to) {
		detail := fmt.Sprintf("%s %s", r.Prefix, r.Protocol)
		for _, n := range r.NextHops {
			detail += " " + n.String()
		}
		s := nhrp.Stage{Name: "route", State: "failed", Detail: detail + ": " + r.Reason}
		switch {
		case r.Selected && r.Kind == rib.Unicast.String() && r.Installed:
			s.State = "ok"
		case r.Selected && !r.Installed:
			s.Remedy = "spokeway show routes " + a.String()
		case r.Selected && r.Protocol == "guard":
			s.Remedy = "bring the tunnel's peers up: spokeway show peers; or, if the network is elsewhere now, spokeway clear guards " + r.Prefix.String()
		case r.Idle == "":
			continue
		}
		if stages = append(stages, s); r.Selected {
			return stages
		}
	}
	return append(stages, nhrp.Stage{Name: "route", State: "failed", Detail: "no route to " + a.String(), Remedy: "spokeway show routes; add a route"})
}
