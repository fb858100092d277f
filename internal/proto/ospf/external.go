package ospf

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// gather is how long changes of other protocols' routes are gathered before externals are looked at.
const gather = 20 * time.Millisecond

// external is a prefix from outside that we bring in.
type external struct {
	prefix  netip.Prefix
	type1   bool
	metric  uint32
	tag     uint32
	forward netip.Addr // only of a route that leads onto a network of ours
}

// routeChanged takes a change of the routing table that may be redistributed.
func (inst *instance) routeChanged(env *core.Env, c rib.Change) {
	if c.VRF != inst.cfg.VRF || c.New != nil && c.New.Protocol == rib.OSPF && c.Old != nil && c.Old.Protocol == rib.OSPF {
		return
	}
	if inst.redistribute(c.Prefix, c.New) {
		inst.touchExternals(env)
	}
}

// redistribute notes what a selected route is as an external, and reports whether that is new. Shortcuts of NHRP never are:
// they hold between two peers, and only for a while.
func (inst *instance) redistribute(p netip.Prefix, r *rib.Route) bool {
	old := inst.externals[p]
	now := inst.imports(p, r)
	if old == nil && now == nil || old != nil && now != nil && *old == *now {
		return false
	}
	if inst.externals[p] = now; now == nil {
		delete(inst.externals, p)
	}
	return true
}

// imports is a route as an external; nil when it is not to be one.
func (inst *instance) imports(p netip.Prefix, r *rib.Route) *external {
	if r == nil || r.Protocol == rib.NHRP || p.Addr().Is4() != inst.version().IPv4() || !tellable(p) {
		return nil
	}
	if p.Bits() == 0 {
		return inst.importsDefault(p, r)
	}
	for _, d := range inst.cfg.Redistribute {
		if r.Protocol != d.Protocol || r.Protocol == rib.Connected && inst.runsOn(r) {
			continue
		}
		line, ok := matches(d.Match, p, r.Tag)
		if !ok {
			continue
		}
		x := &external{prefix: p, type1: d.Type1, metric: orDefault(orDefault(line.Metric, d.Metric), DefaultMetric), tag: cmp.Or(line.Tag, d.Tag, r.Tag)}
		x.forward = inst.forwardTo(r)
		return x
	}
	return nil
}

// tellable reports whether a prefix means anything elsewhere, and so whether we tell of it and believe who does.
func tellable(p netip.Prefix) bool {
	a := p.Addr()
	thisHost := p.Bits() > 0 && (a.IsUnspecified() && p.IsSingleIP() || a.Is4() && a.As4()[0] == 0 && p.Bits() >= 8)
	return !thisHost && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsLoopback() && (a.Is6() || a.As4()[0] < 240)
}

// importsDefault is a default route of another protocol, which only default-information brings in.
func (inst *instance) importsDefault(p netip.Prefix, r *rib.Route) *external {
	if d := inst.cfg.Default; d != nil && r.Protocol != rib.OSPF {
		x := inst.defaultRoute(p)
		x.tag = cmp.Or(x.tag, r.Tag)
		return x
	}
	return nil
}

func (inst *instance) defaultRoute(p netip.Prefix) *external {
	d := inst.cfg.Default
	return &external{prefix: p, type1: d.Type1, metric: orDefault(d.Metric, 1), tag: d.Tag}
}

// runsOn reports whether a connected network is of an interface of ours, which the router LSA tells of already.
func (inst *instance) runsOn(r *rib.Route) bool {
	for _, h := range r.NextHops {
		for _, i := range inst.interfaces() {
			if i.name() == h.Interface {
				return true
			}
		}
	}
	return false
}

// forwardTo is the forwarding address of a route: its next hop, where that is on a network of ours that others are on too
// (RFC 2328 2.3).
func (inst *instance) forwardTo(r *rib.Route) netip.Addr {
	if len(r.NextHops) != 1 || r.Override || // a shortcut's next hop is for us
		!r.NextHops[0].Via.IsValid() || r.NextHops[0].Via.IsLinkLocalUnicast() {
		return netip.Addr{}
	}
	h := r.NextHops[0]
	for _, i := range inst.interfaces() {
		if i.name() != h.Interface || !i.cfg.Network.designates() || i.state < waiting {
			continue
		}
		for _, p := range i.prefixes() {
			if p.Contains(h.Via) {
				return h.Via
			}
		}
	}
	return netip.Addr{}
}

// redistributeAll looks at the whole routing table.
func (inst *instance) redistributeAll(env *core.Env) {
	clear(inst.externals)
	if len(inst.cfg.Redistribute) > 0 || inst.cfg.Default != nil {
		for r, selected := range env.RIB().Offers(inst.cfg.VRF) {
			if selected {
				inst.redistribute(r.Prefix, &r)
			}
		}
	}
	inst.touchExternals(env)
}

func (inst *instance) touchExternals(env *core.Env) {
	if !inst.externalTimer.Armed() {
		env.Arm(&inst.externalTimer, gather)
	}
}

func (inst *instance) defaultPrefix() netip.Prefix {
	if inst.version().IPv4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// sayExternals brings the externals of AS scope and of NSSAs up to date, RFC 2328 12.4.4 and RFC 3101 2.4.
func (inst *instance) sayExternals(env *core.Env) {
	own := inst.summarized()
	if most := inst.cfg.MaxLSAs; len(own) > most {
		inst.note(env, "", netip.Addr{}, TooMany, strconv.Itoa(len(own))+" routes are to be redistributed, and no more than "+strconv.Itoa(most)+" are (max-lsa)")
		own = own[:most]
	}
	inst.db.sayFound(env, func(want map[wire.LSAKey]wire.LSABody) {
		if inst.hasNormal() {
			inst.externalsAS(want, own)
		}
	}, wire.FunctionExternal)
	for _, a := range inst.sortedAreas() {
		if a.cfg.Kind == NSSA {
			a.sayNSSA(env, own)
		}
	}
	inst.discard(env)
	if inst.stray != nil && !inst.restarting() && !inst.dirty {
		inst.flushStray(env)
	}
}

// externalsAS is our externals, and those of NSSAs that we translate.
func (inst *instance) externalsAS(want map[wire.LSAKey]wire.LSABody, own []*external) {
	for _, x := range own {
		inst.addExternal(inst.db, want, wire.FunctionExternal, x.body(inst.optionsAS()))
	}
	for _, b := range inst.translations() {
		inst.addExternal(inst.db, want, wire.FunctionExternal, b)
	}
}

func (inst *instance) optionsAS() wire.Options {
	if inst.version() == wire.V2 {
		return wire.OptE
	}
	return 0
}

// hasNormal reports whether an area has externals of AS scope.
func (inst *instance) hasNormal() bool {
	for _, a := range inst.areas {
		if a.cfg.Kind == Normal && a.active() {
			return true
		}
	}
	return false
}

func (inst *instance) addExternal(db *database, want map[wire.LSAKey]wire.LSABody, f wire.Function, b *wire.External) {
	k := wire.LSAKey{Type: f.Type(inst.version()), ID: db.idOf(f, b.Prefix), Router: inst.router}
	if want[k] == nil {
		want[k] = b
	}
}

func (x *external) body(o wire.Options) *wire.External {
	return &wire.External{Prefix: x.prefix, Metric: x.metric, Type2: !x.type1, Forward: x.forward, Tag: x.tag, HasTag: x.tag != 0, Options: o}
}

// summarized is the externals, those within a summary as one of it, in order.
func (inst *instance) summarized() []*external {
	all := maps.Clone(inst.externals)
	if d := inst.cfg.Default; d != nil && d.Always {
		p := inst.defaultPrefix()
		all[p] = inst.defaultRoute(p)
	}
	inst.summing = map[netip.Prefix]bool{}
	for p, x := range all {
		g := longest(inst.cfg.Summaries, p)
		if g == nil || p.Bits() == 0 || p == g.Prefix.Masked() {
			continue
		}
		delete(all, p)
		if g.Hide {
			continue
		}
		inst.summing[g.Prefix.Masked()] = true
		sum := all[g.Prefix.Masked()]
		if sum == nil || sum == inst.externals[g.Prefix.Masked()] {
			sum = &external{prefix: g.Prefix.Masked(), type1: x.type1, metric: x.metric, tag: g.Tag}
			all[sum.prefix] = sum
		}
		sum.type1 = sum.type1 && x.type1
		if sum.metric = min(sum.metric, x.metric); g.Cost != 0 {
			sum.metric = g.Cost
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *external) int { return a.prefix.Compare(b.prefix) })
}

// sayNSSA is the externals of an NSSA: ours, and as a border router a default route (RFC 3101 2.4 and 2.7).
func (a *area) sayNSSA(env *core.Env, own []*external) {
	a.db.sayFound(env, func(want map[wire.LSAKey]wire.LSABody) {
		if a.active() {
			a.externalsNSSA(want, own)
		}
	}, wire.FunctionNSSA)
}

func (a *area) externalsNSSA(want map[wire.LSAKey]wire.LSABody, own []*external) {
	inst := a.inst
	if inst.border && !a.cfg.NoSummary || inst.boundary && a.cfg.DefaultInto {
		inst.addExternal(a.db, want, wire.FunctionNSSA, &wire.External{Prefix: inst.defaultPrefix(), Metric: a.cfg.DefaultCost, Type2: true})
	}
	for _, x := range own {
		if x.prefix.Bits() == 0 && inst.border {
			continue
		}
		b := x.body(0)
		b.Propagate = !inst.border || !inst.hasNormal() // otherwise we tell of it outside ourselves
		if !a.holds(b.Forward) {
			b.Forward = netip.Addr{}
		}
		if b.Propagate && !b.Forward.IsValid() {
			b.Forward = a.forwarding()
			b.Propagate = b.Forward.IsValid()
		}
		inst.addExternal(a.db, want, wire.FunctionNSSA, b)
	}
}

// holds reports whether an address is on a network of the area.
func (a *area) holds(x netip.Addr) bool {
	for _, i := range a.ifaces {
		if i.state > down && slices.ContainsFunc(i.prefixes(), func(p netip.Prefix) bool { return p.Contains(x) }) {
			return true
		}
	}
	return false
}

// forwarding is an address of ours in the area for translated externals, RFC 3101 2.3: a loopback's first.
func (a *area) forwarding() netip.Addr {
	var any netip.Addr
	for _, i := range a.sorted() {
		for _, p := range i.prefixes() {
			if i.state == looped {
				return p.Addr()
			}
			if i.state != down && !any.IsValid() {
				any = p.Addr()
			}
		}
	}
	return any
}

// translations is what comes out of the NSSAs that we translate, RFC 3101 3.2.
func (inst *instance) translations() []*wire.External {
	var list []*wire.External
	ranges := map[netip.Prefix]*wire.External{}
	for _, r := range inst.result.Routes {
		a := inst.areas[r.Area]
		if !r.NSSA || a == nil || !a.translates || r.Origin.Router == inst.router {
			continue
		}
		e := a.db.lsas[r.Origin]
		if e == nil || !e.usable() {
			continue
		}
		b, ok := e.Body.(*wire.External)
		if !ok || !b.Propagate || !b.Forward.IsValid() {
			continue
		}
		out := *b
		out.Propagate, out.Options = false, inst.optionsAS()
		if g := longest(a.cfg.NSSARanges, b.Prefix); g != nil {
			aggregate(ranges, *g, out, r)
			continue
		}
		list = append(list, &out)
	}
	for _, p := range slices.SortedFunc(maps.Keys(ranges), netip.Prefix.Compare) {
		list = append(list, ranges[p])
	}
	return list
}

// aggregate tells of a range instead of what is in it: the dearest path, without a forwarding address (RFC 3101 3.2 step 2).
func aggregate(ranges map[netip.Prefix]*wire.External, g Range, b wire.External, r spf.Route) {
	p := g.Prefix.Masked()
	if g.Hide {
		return
	}
	metric := r.Cost
	if b.Type2 {
		metric = b.Metric + 1
	}
	sum := ranges[p]
	if sum == nil {
		sum = &wire.External{Prefix: p, Options: b.Options, Tag: g.Tag, HasTag: g.Tag != 0}
		ranges[p] = sum
	}
	switch {
	case b.Type2 && !sum.Type2:
		sum.Type2, sum.Metric = true, metric
	case b.Type2 == sum.Type2:
		sum.Metric = max(sum.Metric, metric)
	}
	if g.Cost != 0 {
		sum.Metric = g.Cost
	}
}
