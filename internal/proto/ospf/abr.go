package ospf

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

type (
	idKey struct {
		function wire.Function
		prefix   netip.Prefix
	}
	idUse struct {
		function wire.Function
		id       uint32
	}
)

// idOf is the LS ID of an LSA for a prefix. In OSPFv2 it is the network, or another address in it where another network of
// the same address has that (RFC 2328 appendix E). In OSPFv3 it is any number (RFC 5340 4.4.3.4).
func (db *database) idOf(f wire.Function, p netip.Prefix) uint32 {
	k := idKey{f, p}
	if id, ok := db.ids[k]; ok {
		return id
	}
	if db.inst.version() != wire.V2 {
		db.last++
		return db.occupy(k, db.last)
	}
	network, hosts := wire.Uint4(p.Addr()), ^wire.Mask(p.Bits())
	for k := range uint32(idTries) {
		id := network | (-k)&hosts // the network, its last address, the one before, ...
		if _, taken := db.used[idUse{f, id}]; !taken {
			return db.occupy(idKey{f, p}, id)
		}
	}
	return db.evict(f, p, network)
}

// idTries is how many LS IDs are tried: each is taken by a network of another length, or by a host.
const idTries = 64

func (db *database) occupy(k idKey, id uint32) uint32 {
	db.ids[k], db.used[idUse{k.function, id}] = id, k.prefix
	return id
}

// evict gives a prefix that has no other choice, as a host has none, the LS ID of a shorter one, which has to find another.
func (db *database) evict(f wire.Function, p netip.Prefix, id uint32) uint32 {
	delete(db.ids, idKey{f, db.used[idUse{f, id}]})
	db.evicted = true
	return db.occupy(idKey{f, p}, id)
}

// sayFound originates what find finds, again when a prefix among it has lost its LS ID meanwhile.
func (db *database) sayFound(env *core.Env, find func(want map[wire.LSAKey]wire.LSABody), functions ...wire.Function) {
	for range 3 {
		db.evicted = false
		want := map[wire.LSAKey]wire.LSABody{}
		find(want)
		if !db.evicted {
			db.sayAll(env, want, functions...)
			return
		}
	}
}

// release frees the LS ID of an LSA that is not originated any more.
func (db *database) release(k wire.LSAKey) {
	use := idUse{k.Function(db.inst.version()), k.ID}
	if p, ok := db.used[use]; ok {
		delete(db.used, use)
		delete(db.ids, idKey{use.function, p})
	}
}

// borders is what a border router does once the routes are known.
func (inst *instance) borders(env *core.Env) {
	inst.discard(env)
	for _, a := range inst.sortedAreas() {
		a.db.sayFound(env, func(want map[wire.LSAKey]wire.LSABody) {
			if inst.border && a.active() {
				a.summaries(want)
				a.summaryRouters(want)
			}
		}, wire.FunctionSummary, wire.FunctionSummaryRouter)
	}
	if inst.elect(env) || inst.hasNSSA() {
		inst.touchExternals(env)
	}
}

// summaries is the networks of other areas for this one, RFC 2328 12.4.3.
func (a *area) summaries(want map[wire.LSAKey]wire.LSABody) {
	if a.cfg.Kind == Stub || a.cfg.Kind == NSSA && a.cfg.NoSummary {
		p := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if a.inst.version().IPv4() {
			p = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		a.addSummary(want, p, a.cfg.DefaultCost)
	}
	if a.cfg.Kind != Normal && a.cfg.NoSummary {
		return
	}
	ranges := map[netip.Prefix]uint32{}
	for _, r := range a.inst.result.Routes {
		if !a.tells(r) {
			continue
		}
		if within := a.inst.rangeOf(r); within != nil {
			if !within.Hide {
				ranges[within.Prefix.Masked()] = max(ranges[within.Prefix.Masked()], r.Cost, within.Cost)
			}
			continue
		}
		a.addSummary(want, r.Prefix, r.Cost)
	}
	for _, p := range slices.SortedFunc(maps.Keys(ranges), netip.Prefix.Compare) {
		a.addSummary(want, p, cmp.Or(a.inst.rangeCost(p), ranges[p]))
	}
}

// tells reports whether a route of another area is told in this one.
func (a *area) tells(r spf.Route) bool {
	switch {
	case r.Kind > spf.InterArea, r.Area == a.id, r.Cost >= wire.LSInfinity, a.leadsInto(r.NextHops):
		return false
	case r.Kind == spf.InterArea:
		return a.id != 0 // the backbone hears of networks by the routers that are in their areas
	}
	return true
}

// leadsInto reports whether all next hops are in the area: whoever hears of the route there knows better.
func (a *area) leadsInto(hops []spf.NextHop) bool {
	for _, h := range hops {
		if a.ifaces[h.Interface] == nil {
			return false
		}
	}
	return len(hops) > 0
}

// rangeOf is the range that a network of an area is told as part of; nil when on its own.
func (inst *instance) rangeOf(r spf.Route) *Range {
	a := inst.areas[r.Area]
	if a == nil || r.Kind != spf.IntraArea {
		return nil
	}
	return longest(a.cfg.Ranges, r.Prefix)
}

// longest is the most specific range that a prefix is in.
func longest(ranges []Range, p netip.Prefix) *Range {
	var best *Range
	for k := range ranges {
		g := &ranges[k]
		if g.Prefix.Contains(p.Addr()) && g.Prefix.Bits() <= p.Bits() && (best == nil || g.Prefix.Bits() > best.Prefix.Bits()) {
			best = g
		}
	}
	return best
}

func (inst *instance) rangeCost(p netip.Prefix) uint32 {
	for _, a := range inst.areas {
		for _, g := range a.cfg.Ranges {
			if g.Prefix.Masked() == p {
				return g.Cost
			}
		}
	}
	return 0
}

func (a *area) addSummary(want map[wire.LSAKey]wire.LSABody, p netip.Prefix, cost uint32) {
	k := wire.LSAKey{Type: wire.FunctionSummary.Type(a.inst.version()), ID: a.db.idOf(wire.FunctionSummary, p), Router: a.inst.router}
	want[k] = &wire.Summary{Prefix: p, Metric: cost, Options: a.options()}
}

// summaryRouters is the way to AS boundary routers of other areas, RFC 2328 12.4.3. Areas without externals need none, and
// what comes out of an NSSA is told by its translators (RFC 3101 3.2).
func (a *area) summaryRouters(want map[wire.LSAKey]wire.LSABody) {
	if a.cfg.Kind != Normal {
		return
	}
	for _, r := range a.inst.result.Routers {
		from := a.inst.areas[r.Area]
		known := r.Boundary && r.Router != a.inst.router && r.Area != a.id && from != nil && from.cfg.Kind == Normal
		if !known || r.Cost >= wire.LSInfinity || a.leadsInto(r.NextHops) || r.Kind == spf.InterArea && a.id == 0 {
			continue
		}
		k := wire.LSAKey{Type: wire.FunctionSummaryRouter.Type(a.inst.version()), ID: uint32(r.Router), Router: a.inst.router}
		body := &wire.SummaryRouter{Router: r.Router, Metric: r.Cost, Options: a.options()}
		if was, ok := want[k].(*wire.SummaryRouter); !ok || was.Metric > body.Metric {
			want[k] = body
		}
	}
}

func (inst *instance) hasNSSA() bool {
	for _, a := range inst.areas {
		if a.cfg.Kind == NSSA {
			return true
		}
	}
	return false
}

// elect decides which NSSAs we translate, RFC 3101 3.1: those that we are told to, and those whose border routers with a
// higher router ID are none. It reports whether that changed.
func (inst *instance) elect(env *core.Env) (changed bool) {
	for _, a := range inst.sortedAreas() {
		translates := a.cfg.Kind == NSSA && inst.border && (a.translatorHere() || a.lingers(env))
		if translates != a.translates {
			a.translates, changed, inst.stale = translates, true, true
			env.Log(core.Info, "translator", "instance", inst.cfg.Name, "area", a.id, "translates", translates)
		}
	}
	return changed
}

// stability is how long a translator goes on that is none any more, until its successor has taken over (RFC 3101 3.1).
const stability = 40 * time.Second

func (a *area) lingers(env *core.Env) bool {
	if !a.translates {
		return false
	}
	if a.relieved == 0 {
		a.relieved = env.Now()
		env.Arm(&a.inst.translatorTimer, stability)
	}
	return env.Now() < a.relieved+stability
}

func (a *area) translatorHere() bool {
	if !a.cfg.Translate {
		for _, r := range a.inst.result.Routers {
			if r.Area == a.id && r.Kind == spf.IntraArea && r.Border && (r.Translates || r.Router > a.inst.router) {
				return false
			}
		}
	}
	a.relieved = 0
	return true
}
