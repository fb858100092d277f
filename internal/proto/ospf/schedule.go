package ospf

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// pacing is the state of a [Throttle].
type pacing struct{ hold, after time.Duration }

// wait is how long the next reaction has to wait. When the last time to wait has passed without a reason, it begins anew: a
// network that was busy at its start reacts to its first failure at once.
func (p *pacing) wait(t Throttle, now time.Duration) time.Duration {
	if now >= p.after {
		p.hold = 0
	}
	return max(t.Initial, p.after-now)
}

// done notes a reaction: while reasons come before it is time again, the time doubles.
func (p *pacing) done(t Throttle, now time.Duration) {
	p.hold = min(max(t.Hold, 2*p.hold), t.Max)
	p.after = now + p.hold
}

// changed has the routes computed again for what an LSA says otherwise than before.
func (inst *instance) changed(env *core.Env, old, e *entry) {
	f := e.Header.Function(inst.version())
	switch f {
	case wire.FunctionRouter:
		inst.need(inst.routerChange(old, e))
	case wire.FunctionNetwork, wire.FunctionLink:
		inst.need(spf.Topology)
	case wire.FunctionSummary, wire.FunctionSummaryRouter:
		inst.need(spf.Summaries)
	case wire.FunctionExternal, wire.FunctionNSSA:
		inst.need(spf.Externals)
	case wire.FunctionIntraAreaPrefix:
		inst.need(spf.Prefixes)
	default:
		return
	}
	inst.lastWhy = f.String() + " LSA of " + e.Header.Router.String()
	inst.joining = inst.joining || inst.joins(old, e)
	if f == wire.FunctionLink {
		e.db.iface.touch() // a designated router tells of the prefixes of all
	}
	inst.endGraces(env, e)
}

// routerChange is what another instance of a router-LSA calls for: no new tree when it differs in networks behind the router
// alone, as those of OSPFv2 can.
func (inst *instance) routerChange(old, e *entry) spf.Change {
	if inst.version() != wire.V2 || e.Header.Router == inst.router || old == nil || !old.usable() || !e.usable() || old.Header.Options != e.Header.Options {
		return spf.Topology
	}
	a, isRouter := old.Body.(*wire.RouterLSA)
	b, same := e.Body.(*wire.RouterLSA)
	if isRouter && same && a.Flags == b.Flags && a.Options == b.Options && slices.Equal(ways(a), ways(b)) {
		return spf.Prefixes
	}
	return spf.Topology
}

// ways is the links of a router that lead to other routers.
func ways(r *wire.RouterLSA) []wire.Link {
	var links []wire.Link
	for _, l := range r.Links {
		if l.Kind != wire.LinkStub {
			links = append(links, l)
		}
	}
	return links
}

// changedSPF has the whole tree computed again.
func (inst *instance) changedSPF(why string) {
	inst.need(spf.Topology)
	inst.lastWhy = why
}

// need notes what is to be computed again.
func (inst *instance) need(c spf.Change) {
	if !inst.dirty {
		inst.dirty, inst.pending = true, c
	}
	inst.pending = max(inst.pending, c)
}

func (inst *instance) armSPF(env *core.Env) {
	if !inst.dirty || inst.restarting() {
		return
	}
	wait := inst.pacing.wait(inst.cfg.SPF, env.Now())
	switch soon := inst.cfg.SPF.Initial; {
	case inst.urgent: // an adjacency of ours is lost: traffic is, too, until the routes turn
		wait = soon
		inst.pacing = pacing{} // what others tell of the same failure is as urgent
	case inst.allMade:
		wait = max(soon, inst.lastRun+completeApart-env.Now())
		inst.pacing = pacing{} // what made it wait longer and longer was the database as it came
	case inst.spfTimer.Armed() && !inst.joining:
		return
	}
	early := false
	if inst.joining { // others know of our link as well, and send to us by what they compute: we had better know the way by then
		join := inst.joinWait(env.Now())
		wait, early = min(wait, join), join < wait
	}
	if !inst.spfTimer.Armed() || inst.spfTimer.At() > env.Now()+wait {
		env.Arm(&inst.spfTimer, wait)
		inst.early = early
	}
	inst.urgent, inst.joining, inst.allMade = false, false, false
}

// completeApart is how far apart routes are computed because a database is complete: at a hub one after the other is.
const completeApart = 200 * time.Millisecond

// calculate computes the routing table and tells of what is new in it, RFC 2328 16.
func (inst *instance) calculate(env *core.Env) {
	now := env.Now()
	if !inst.early { // else what comes after would wait for what did not
		inst.pacing.done(inst.cfg.SPF, now)
	}
	inst.early = false
	inst.runs++
	inst.lastRun = now
	change := inst.pending
	inst.dirty = false
	old := inst.result
	inst.result = inst.table.Run(inst.input(), change)
	inst.purgeBrought(env)
	gone, set := spf.Diff(old, inst.result)
	if inst.reoffer {
		inst.reoffer, set = false, inst.result.Routes
	}
	for _, r := range gone {
		inst.unroute(env, r.Prefix)
	}
	for _, r := range set {
		inst.offer(env, r)
	}
	inst.borders(env)
	if inst.stray != nil {
		inst.touchExternals(env) // the last to claim what was before a restart
	}
}

// input is the databases and interfaces as the calculation wants them.
func (inst *instance) input() *spf.Input {
	in := &spf.Input{
		Version: inst.version(), Router: inst.router, Border: inst.border, RFC1583: inst.cfg.RFC1583, MaxPaths: inst.cfg.MaxPaths,
	}
	for _, e := range inst.db.sorted() {
		if e.usable() && e.Header.Function(inst.version()) == wire.FunctionExternal {
			in.Externals = append(in.Externals, &e.LSA)
		}
	}
	for _, a := range inst.sortedAreas() {
		if a.active() {
			in.Areas = append(in.Areas, a.input())
		}
	}
	return in
}

// usable reports whether an LSA counts: one at MaxAge or with a body that does not read does not.
func (e *entry) usable() bool { return !e.flushed && e.Body != nil }

func (a *area) input() spf.Area {
	in := spf.Area{ID: a.id, Stub: a.cfg.Kind == Stub, NSSA: a.cfg.Kind == NSSA, NoSummary: a.cfg.NoSummary && a.inst.border}
	for _, r := range a.cfg.Ranges {
		if a.inst.border {
			in.Ranges = append(in.Ranges, r.Prefix)
		}
	}
	for _, e := range a.db.sorted() {
		if !e.usable() {
			continue
		}
		switch e.Header.Function(a.inst.version()) {
		case wire.FunctionRouter:
			in.Routers = append(in.Routers, &e.LSA)
		case wire.FunctionNetwork:
			in.Networks = append(in.Networks, &e.LSA)
		case wire.FunctionSummary, wire.FunctionSummaryRouter:
			in.Summaries = append(in.Summaries, &e.LSA)
		case wire.FunctionNSSA:
			in.NSSAs = append(in.NSSAs, &e.LSA)
		case wire.FunctionIntraAreaPrefix:
			in.Prefixes = append(in.Prefixes, &e.LSA)
		}
	}
	for _, i := range a.sorted() {
		if i.state != down {
			in.Interfaces = append(in.Interfaces, i.input())
		}
	}
	return in
}

func (i *iface) input() spf.Interface {
	in := spf.Interface{Name: i.name(), ID: i.id(), Addresses: i.prefixes()}
	for _, n := range i.sorted() {
		if n.state >= twoWay || n.grace != nil {
			in.Neighbors = append(in.Neighbors, spf.Neighbor{Router: n.router, Interface: n.interfaceID, Address: n.address})
		}
	}
	in.Lost = slices.Sorted(maps.Keys(i.lost))
	if i.inst().version() != wire.V2 {
		for _, e := range i.linkLSAs() {
			if e.usable() {
				in.Links = append(in.Links, &e.LSA)
			}
		}
	}
	return in
}

// offer gives a route to the routing table, unless the host has it already or NHRP is to have its say.
func (inst *instance) offer(env *core.Env, r spf.Route) {
	if !inst.uses(env, r) {
		inst.unroute(env, r.Prefix)
		return
	}
	metric := r.Cost
	if r.Kind == spf.External2 {
		metric = r.Type2
	}
	route := rib.Route{VRF: inst.cfg.VRF, Prefix: r.Prefix, Protocol: rib.OSPF, Source: inst.cfg.Name, Distance: inst.cfg.Distance, Metric: metric, Tag: r.Tag}
	for _, h := range r.NextHops {
		route.NextHops = append(route.NextHops, rib.NextHop{Via: h.Via, Interface: h.Interface})
	}
	inst.offered[r.Prefix] = true
	env.Route(route)
}

// uses reports whether a route of ours is for the routing table.
func (inst *instance) uses(env *core.Env, r spf.Route) bool {
	return !inst.ours(r) && !inst.isNeighbor(r) && tellable(r.Prefix) && !inst.carriesItself(env, r)
}

func (inst *instance) unroute(env *core.Env, p netip.Prefix) {
	if inst.offered[p] {
		delete(inst.offered, p)
		env.Unroute(rib.Key{VRF: inst.cfg.VRF, Prefix: p, Protocol: rib.OSPF, Source: inst.cfg.Name})
	}
}

// withdraw takes all routes back.
func (inst *instance) withdraw(env *core.Env) {
	for _, p := range slices.SortedFunc(maps.Keys(inst.offered), netip.Prefix.Compare) {
		env.Unroute(rib.Key{VRF: inst.cfg.VRF, Prefix: p, Protocol: rib.OSPF, Source: inst.cfg.Name})
	}
	clear(inst.offered)
	clear(inst.discards)
}

// ours reports whether a route is that of a network of our own, which the host has by itself.
func (inst *instance) ours(r spf.Route) bool {
	for _, h := range r.NextHops {
		if h.Via.IsValid() {
			return false
		}
	}
	return true
}

// isNeighbor reports whether a route is that of an address on a network of ours, as the host routes of
// point-to-multipoint are: the network itself leads to a neighbour. In a cloud it leads to everybody, by the way that NHRP
// knows or finds, and a host route would hide that.
func (inst *instance) isNeighbor(r spf.Route) bool {
	if !r.Prefix.IsSingleIP() {
		return false
	}
	for _, i := range inst.interfaces() {
		for _, p := range i.host.Addresses {
			if i.state != down && p.Contains(r.Prefix.Addr()) && (i.cfg.Cloud || i.leadsTo(r)) {
				return true
			}
		}
	}
	return false
}

// carriesItself reports whether a route takes a server of a cloud into a cloud: the tunnel would carry itself, and fall. A
// default route is left to whoever has a better one.
func (inst *instance) carriesItself(env *core.Env, r spf.Route) bool {
	if r.Prefix.Bits() == 0 {
		return false
	}
	for _, a := range inst.cfg.Underlay {
		if r.Prefix.Contains(a) && slices.ContainsFunc(r.NextHops, inst.byCloud) {
			inst.note(env, r.NextHops[0].Interface, r.NextHops[0].Via, CarriesItself,
				r.Prefix.String()+", which router "+r.Origin.Router.String()+" tells of, would take "+a.String()+", a server of the cloud, into the cloud: it is not used")
			return true
		}
	}
	return false
}

func (inst *instance) byCloud(h spf.NextHop) bool {
	i := inst.find(h.Interface)
	return i != nil && i.cfg.Cloud
}

// leadsTo reports whether a route goes by the interface straight to its destination.
func (i *iface) leadsTo(r spf.Route) bool {
	for _, h := range r.NextHops {
		if h.Interface != i.name() || h.Via != r.Prefix.Addr() {
			return false
		}
	}
	return true
}
