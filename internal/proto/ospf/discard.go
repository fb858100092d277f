package ospf

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// farDiscard is the distance of blackholes for externals that are told as one: whatever else routes them goes before.
const farDiscard = 254

// discard keeps what a prefix covers that we tell of as one, and nobody has, from following a default route back to where
// it came from: each such prefix is a blackhole here, unless there is a route for it.
func (inst *instance) discard(env *core.Env) {
	want := inst.aggregates()
	for _, r := range inst.result.Routes {
		delete(want, r.Prefix)
	}
	for _, p := range slices.SortedFunc(maps.Keys(inst.discards), netip.Prefix.Compare) {
		if want[p] == 0 {
			delete(inst.discards, p)
			inst.undiscard(env, p)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(want), netip.Prefix.Compare) {
		if inst.discards[p] == want[p] {
			continue
		}
		inst.discards[p], inst.offered[p] = want[p], true
		env.Route(rib.Route{VRF: inst.cfg.VRF, Prefix: p, Protocol: rib.OSPF, Source: inst.cfg.Name, Distance: want[p], Metric: wire.LSInfinity, Kind: rib.Blackhole})
	}
}

// undiscard takes a blackhole back, unless a route has taken its place already.
func (inst *instance) undiscard(env *core.Env, p netip.Prefix) {
	at, found := slices.BinarySearchFunc(inst.result.Routes, p, func(r spf.Route, p netip.Prefix) int { return r.Prefix.Compare(p) })
	if !found || !inst.uses(env, inst.result.Routes[at]) {
		inst.unroute(env, p)
	}
}

// aggregates are the prefixes that we tell of instead of what is in them now, with the distances of their blackholes: ranges
// of areas (RFC 2328 12.4.3), ranges of NSSAs that we translate (RFC 3101 3.2), and summaries of externals.
func (inst *instance) aggregates() map[netip.Prefix]uint8 {
	all := map[netip.Prefix]uint8{}
	for p := range inst.summing {
		all[p] = farDiscard
	}
	if !inst.border {
		return all
	}
	for _, r := range inst.result.Routes {
		g := inst.rangeOf(r)
		if a := inst.areas[r.Area]; r.NSSA && a != nil && a.translates && r.Origin.Router != inst.router {
			g = longest(a.cfg.NSSARanges, r.Prefix)
		}
		if g != nil && !g.Hide {
			all[g.Prefix.Masked()] = inst.cfg.Distance
		}
	}
	return all
}
