package kernel

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/rib"
)

// Times.
const (
	// SettleTime is how long after the start routes of an earlier process are kept for whoever may want them.
	SettleTime = 30 * time.Second
	// RestoredTime is how long after a protocol has learned again what it knew before a restart its routes are waited for.
	RestoredTime = 10 * time.Second
	// RepairTime is how long after a route of ours was lost or changed it is put right. It lets our own changes,
	// which come back as events too, pass by, and bounds a quarrel with a program that keeps deleting.
	RepairTime = time.Second
	// PassTime is how long the data plane takes packets by a route that it has not been told of yet, or not any more.
	PassTime = 3 * time.Second
	// RetryTime is how long after the kernel refused a route it is tried again.
	RetryTime = 15 * time.Second
)

// Module is the module named "kernel".
type Module struct {
	entries  map[table]*entry
	links    map[string]core.Link
	tunnels  map[string]bool
	settled  bool
	stopped  bool
	synced   bool                       // the kernel's table has been told
	frozen   bool                       // a restart: what is in the kernel is for the next process
	guarding bool                       // a Guard has come
	lowers   bool                       // guards may be removed: nothing is to be written first
	dirty    map[table]bool             // to be looked at by repair
	failed   map[table]bool             // to be looked at by retry
	least    time.Duration              // when the modules may be taken for settled
	stale    map[restorer]time.Duration // until when routes of an earlier process are being learned again

	passing []passage // routes on their way into the kernel or out of it, in order of time

	settle, repair, retry, pass, fall core.Timer

	closing closing
}

// restorer is a protocol that learns routes of before a restart again.
type restorer struct {
	protocol rib.Protocol
	source   string
}

// table names a prefix of a VRF.
type table struct {
	vrf    string
	prefix netip.Prefix
}

// passage is a route that the data plane knows of otherwise than by its mirror of the kernel.
type passage struct {
	table table
	until time.Duration
}

// New makes the module.
func New() *Module {
	return &Module{
		lowers: true, entries: map[table]*entry{}, links: map[string]core.Link{}, tunnels: map[string]bool{},
		dirty: map[table]bool{}, failed: map[table]bool{}, stale: map[restorer]time.Duration{},
		settle: core.Timer{Name: "settle"}, repair: core.Timer{Name: "repair"}, retry: core.Timer{Name: "retry"},
		pass: core.Timer{Name: "pass"}, fall: core.Timer{Name: "fall"},
	}
}

// Name is "kernel".
func (m *Module) Name() string { return Name }

// WantsRoutes makes the module hear every change of the RIB.
func (m *Module) WantsRoutes() {}

// Handle is the way in.
func (m *Module) Handle(env *core.Env, ev core.Event) {
	if m.frozen {
		return
	}
	switch ev := ev.(type) {
	case rib.Change:
		m.reconcile(env, m.entry(ev.VRF, ev.Prefix))
	case Learned:
		m.learned(env, ev)
	case Forgotten:
		m.forgotten(env, Key(ev))
	case Told:
		for _, ev := range ev {
			m.Handle(env, ev)
		}
	case Synced:
		m.synced, m.least = true, max(m.least, env.Now()+SettleTime)
		m.await(env)
	case Refused:
		m.refused(env, ev)
	case core.Link:
		m.link(env, ev)
	case core.Notice:
		m.notice(env, ev.Body)
	case core.Request:
		m.Handle(env, ev.Body)
	case Settled:
		m.sweep(env)
	case Guard:
		m.guard(env, ev)
	case ClearGuards:
		m.clearGuards(env, ev)
	case core.Expired:
		m.expired(env, ev.Timer)
	case core.Stop:
		if ev.Restart {
			m.freeze(env)
			return
		}
		m.stop(env)
	}
}

func (m *Module) entry(vrf string, p netip.Prefix) *entry {
	t := table{vrf, p.Masked()}
	e := m.entries[t]
	if e == nil {
		e = &entry{table: t}
		m.entries[t] = e
	}
	return e
}

// learned takes one route of the kernel into the mirror.
func (m *Module) learned(env *core.Env, l Learned) {
	l.Prefix = l.Prefix.Masked()
	e := m.entry(l.VRF, l.Prefix)
	if kind := guardKind(l); kind >= 0 {
		m.guardLearned(env, e, kind)
		return
	}
	if old := e.at(l.Metric); old != nil && old.Ours == l.Ours && old.Connected == l.Connected {
		*old = l // in place: the RIB shall see a change, not a loss
		e.stays(l.Metric)
	} else {
		m.drop(env, e, l.Metric)
		e.actual = append(e.actual, l)
	}
	if l.Ours && e.asksFor(l.Route) {
		e.refused = ""
	}
	if e.echoes(l) {
		m.present(env, e, nil)
		return
	}
	slices.SortStableFunc(e.actual, func(a, b Learned) int { return cmp.Compare(a.Metric, b.Metric) })
	m.offer(env, e, l)
	if l.Ours && !e.asksFor(l.Route) {
		m.suspect(env, e)
	}
	m.reconcile(env, e)
}

func (m *Module) forgotten(env *core.Env, k Key) {
	e := m.entry(k.VRF, k.Prefix)
	if kind := slices.Index(guardMetrics[:], k.Metric); kind >= 0 && e.guards[kind].standing {
		m.guardForgotten(env, e, kind)
		return
	}
	m.drop(env, e, k.Metric)
	if e.asked != nil && e.asked.Metric == k.Metric {
		m.suspect(env, e)
	}
	m.reconcile(env, e)
}

// drop takes the route with this metric out of the mirror, and out of the RIB unless it was ours.
func (m *Module) drop(env *core.Env, e *entry, metric uint32) {
	e.stays(metric)
	l := e.at(metric)
	if l == nil {
		return
	}
	gone := *l
	e.actual = slices.DeleteFunc(e.actual, func(l Learned) bool { return l.Metric == metric })
	switch {
	case gone.Ours:
	case !gone.Connected:
		env.Unroute(rib.Key{VRF: gone.VRF, Prefix: gone.Prefix, Protocol: rib.Kernel, Metric: metric})
	default:
		env.Unroute(rib.Key{VRF: gone.VRF, Prefix: gone.Prefix, Protocol: rib.Connected})
		m.offerConnected(env, e)
	}
}

// offer gives a route of somebody else to the RIB. Its distance is its metric, since that is what the kernel
// compares with the distances we write.
func (m *Module) offer(env *core.Env, e *entry, l Learned) {
	switch {
	case l.Ours:
	case l.Connected:
		m.offerConnected(env, e)
	default:
		env.Route(rib.Route{
			VRF: l.VRF, Prefix: l.Prefix, Protocol: rib.Kernel,
			Distance: uint8(min(l.Metric, 255)), Metric: l.Metric, Kind: l.Kind, NextHops: l.NextHops,
		})
	}
}

// offerConnected offers the best of the connected routes: two interfaces may share a prefix.
func (m *Module) offerConnected(env *core.Env, e *entry) {
	if i := slices.IndexFunc(e.actual, func(l Learned) bool { return l.Connected }); i >= 0 {
		l := e.actual[i]
		env.Route(rib.Route{VRF: l.VRF, Prefix: l.Prefix, Protocol: rib.Connected, Metric: l.Metric, NextHops: l.NextHops})
	}
}

// reconcile asks the edge for what is missing, then removes what is too much, so that there is no gap.
func (m *Module) reconcile(env *core.Env, e *entry) {
	e.selected = nil
	if !m.stopped {
		e.selected = env.RIB().Selected(e.table.vrf, e.table.prefix)
	}
	want, lent, problem := m.plan(e)
	if problem != "" && problem != e.refused {
		env.Log(core.Warn, "conflict", "prefix", e.table.prefix, "cause", problem)
	}
	before := e.asked
	m.write(env, e, want, problem)
	for _, l := range e.actual {
		if l.Ours && m.surplus(e, l, before) {
			m.remove(env, e, l.Key())
		}
	}
	if before != nil && (e.asked == nil || e.asked.Metric != before.Metric) && e.at(before.Metric) == nil {
		m.remove(env, e, before.Key()) // its echo is still on the way
	}
	m.close(env, e)
	m.present(env, e, lent)
	m.tidy(e)
}

func (m *Module) tidy(e *entry) {
	if e.empty() {
		delete(m.entries, e.table)
	}
}

// remove asks for the removal of a route of ours, once.
func (m *Module) remove(env *core.Env, e *entry, k Key) {
	if slices.Contains(e.leaving, k.Metric) {
		return
	}
	e.leaving = append(e.leaving, k.Metric)
	env.Emit(Remove(k))
}

func (m *Module) write(env *core.Env, e *entry, want *Route, problem string) {
	switch {
	case want == nil:
		e.asked, e.refused = nil, problem
	case e.asked == nil && e.has(*want): // left by an earlier process: taken over
		e.asked, e.refused = want, ""
	case !e.asksFor(*want):
		e.asked, e.refused = want, ""
		e.stays(want.Metric)
		m.expect(env, e, want.NextHops)
		env.Emit(Install{*want})
	}
}

// surplus reports whether l, a route of ours, has no business in the kernel any more. A leftover of an earlier
// process has until the modules settled, unless its prefix is wanted in a better way: what would take its place now may be
// what was to take it only if it failed.
func (m *Module) surplus(e *entry, l Learned, before *Route) bool {
	if e.asked != nil && l.Metric == e.asked.Metric {
		return false
	}
	return m.settled || before != nil && before.Metric == l.Metric || e.asked != nil && e.asked.Metric < l.Metric
}

func (m *Module) present(env *core.Env, e *entry, lent []rib.NextHop) {
	hops := m.mirror(e, lent)
	if slices.Equal(hops, e.shown) {
		return
	}
	if leads(e.shown, hops) {
		m.passes(env, e.table)
	}
	switch {
	case hops == nil:
		env.Emit(dataplane.DeleteRoute{VRF: e.table.vrf, Prefix: e.table.prefix})
	default:
		env.Emit(dataplane.SetRoute{VRF: e.table.vrf, Prefix: e.table.prefix, NextHops: hops})
	}
	e.shown = hops
}

// expect readies the data plane for what the kernel sends by a new route before it has told of it.
func (m *Module) expect(env *core.Env, e *entry, by []rib.NextHop) {
	if !slices.ContainsFunc(by, func(h rib.NextHop) bool { return m.tunnels[h.Interface] }) {
		return
	}
	if hops := m.shown(by); leads(hops, e.shown) {
		env.Emit(dataplane.Expect{Prefix: e.table.prefix, NextHops: hops})
		m.passes(env, e.table)
	}
}

// passes has the data plane forget a route that is on its way, in time.
func (m *Module) passes(env *core.Env, t table) {
	m.passing = append(m.passing, passage{t, env.Now() + PassTime})
	if !m.pass.Armed() {
		env.Arm(&m.pass, PassTime)
	}
}

// passed forgets routes whose time is over, but for those that have begun another.
func (m *Module) passed(env *core.Env) {
	again := map[table]bool{}
	n, _ := slices.BinarySearchFunc(m.passing, env.Now()+1, func(p passage, at time.Duration) int { return cmp.Compare(p.until, at) })
	for _, p := range m.passing[n:] {
		again[p.table] = true
	}
	for _, p := range m.passing[:n] {
		if !again[p.table] {
			again[p.table] = true
			env.Emit(dataplane.Forget{Prefix: p.table.prefix})
		}
	}
	if m.passing = m.passing[n:]; len(m.passing) == 0 {
		m.passing = nil
		return
	}
	env.Arm(&m.pass, m.passing[0].until-env.Now())
}

// leads tells whether hops leave by a tunnel that others do not leave by.
func leads(hops, others []dataplane.NextHop) bool {
	return slices.ContainsFunc(hops, func(h dataplane.NextHop) bool {
		return h.Tunnel != "" && !slices.ContainsFunc(others, func(o dataplane.NextHop) bool { return o.Tunnel == h.Tunnel })
	})
}

func (m *Module) refused(env *core.Env, r Refused) {
	e := m.entries[table{r.VRF, r.Prefix.Masked()}]
	if kind := slices.Index(guardMetrics[:], r.Metric); e != nil && kind >= 0 {
		m.guardRefused(env, e, kind, r)
		return
	}
	if e == nil || !e.asksFor(r.Route) {
		if e != nil && slices.Contains(e.leaving, r.Metric) { // a removal: it is due again
			e.stays(r.Metric)
			m.failed[e.table] = true
			if !m.retry.Armed() {
				env.Arm(&m.retry, RetryTime)
			}
		}
		env.Log(core.Warn, "refused", "prefix", r.Prefix, "cause", r.Err) // no longer wanted, or a removal
		return
	}
	if e.refused != r.Err {
		env.Log(core.Warn, "refused", "prefix", r.Prefix, "cause", r.Err)
	}
	e.refused = r.Err
	m.failed[e.table] = true
	if !m.retry.Armed() {
		env.Arm(&m.retry, RetryTime)
	}
}

// link follows an interface: what leaves by it can be written now, or no longer.
func (m *Module) link(env *core.Env, l core.Link) {
	old, known := m.links[l.Name]
	if l.Gone {
		if known && old.Index != l.Index {
			return // a namesake has taken its place already
		}
		delete(m.links, l.Name)
	} else {
		m.links[l.Name] = l
	}
	now := m.links[l.Name]
	m.hosts(env, old.Addresses)
	m.hosts(env, now.Addresses)
	if old.Up == now.Up && old.Index == now.Index {
		return
	}
	m.each(func(e *entry) {
		if !leaves(e, l.Name) {
			return
		}
		before := e.asked
		m.reconcile(env, e)
		if now.Up && before != nil && e.asked == before {
			env.Emit(Install{*before}) // the kernel may have dropped it without a word
		}
	})
}

// hosts tells the data plane which addresses are the host's. They are in the kernel's table local, which nobody
// reports. A link does not say its VRF, so all count for the main one.
func (m *Module) hosts(env *core.Env, addresses []netip.Prefix) {
	for _, p := range addresses {
		a := p.Addr()
		if a.IsLinkLocalUnicast() {
			continue // never routed
		}
		e := m.entry("", netip.PrefixFrom(a, a.BitLen()))
		if is := m.isHost(a); is != e.host || e.empty() {
			e.host = is
			m.reconcile(env, e)
		}
	}
}

func (m *Module) isHost(a netip.Addr) bool {
	for _, l := range m.links {
		if l.HasAddress(a) {
			return true
		}
	}
	return false
}

func leaves(e *entry, name string) bool {
	by := func(h rib.NextHop) bool { return h.Interface == name }
	return e.selected != nil && slices.ContainsFunc(e.selected.NextHops, by) ||
		e.asked != nil && slices.ContainsFunc(e.asked.NextHops, by)
}

// each visits the entries in order, so that one history gives one trace.
func (m *Module) each(f func(*entry)) {
	all := make([]table, 0, len(m.entries))
	for t := range m.entries {
		all = append(all, t)
	}
	m.visit(all, f)
}

func (m *Module) visit(tables []table, f func(*entry)) {
	slices.SortFunc(tables, func(a, b table) int {
		return cmp.Or(cmp.Compare(a.vrf, b.vrf), a.prefix.Compare(b.prefix))
	})
	for _, t := range tables {
		if e := m.entries[t]; e != nil {
			f(e)
		}
	}
}

func (m *Module) notice(env *core.Env, body any) {
	switch n := body.(type) {
	case dataplane.TunnelUp:
		m.tunnel(env, n.Name, true)
	case protect.Up:
		m.spare(env, n.Remote.Addr())
	case protect.Moved:
		m.spare(env, n.Remote.Addr())
	case protect.Failed:
		m.spare(env, n.Remote)
	case dataplane.TunnelDown:
		if n.Removed {
			m.tunnel(env, n.Name, false)
		}
	case rib.Restoring:
		m.restoring(env, n)
	}
}

// tunnel learns that an interface is a tunnel of ours, or is no more.
func (m *Module) tunnel(env *core.Env, name string, is bool) {
	if m.tunnels[name] == is {
		return
	}
	if m.tunnels[name] = is; !is {
		delete(m.tunnels, name)
	}
	by := func(h rib.NextHop) bool { return h.Interface == name }
	m.each(func(e *entry) {
		if b := e.best(); b != nil && slices.ContainsFunc(b.NextHops, by) {
			_, lent, _ := m.plan(e)
			m.present(env, e, lent)
		}
	})
}

// suspect has the entry looked at once the echoes of our own changes have passed.
func (m *Module) suspect(env *core.Env, e *entry) {
	m.dirty[e.table] = true
	if !m.repair.Armed() {
		env.Arm(&m.repair, RepairTime)
	}
}

func (m *Module) expired(env *core.Env, t *core.Timer) {
	switch t {
	case &m.settle:
		m.sweep(env)
	case &m.repair:
		m.again(env, &m.dirty)
	case &m.retry:
		m.again(env, &m.failed)
	case &m.pass:
		m.passed(env)
	case &m.fall:
		m.fallen(env)
	}
}

// again compares entries with the kernel as if nothing had been asked yet.
func (m *Module) again(env *core.Env, set *map[table]bool) {
	var all []table
	for t := range *set {
		all = append(all, t)
	}
	*set = map[table]bool{}
	m.visit(all, func(e *entry) {
		e.guards.release()
		m.raise(env, e)
		m.lower(env, e)
		was := e.refused
		if e.asked != nil && !e.has(*e.asked) {
			e.asked = nil
		}
		m.reconcile(env, e)
		if e.asked != nil {
			e.refused = was // so that the same refusal is not told again
		}
	})
}

// restoring waits for a protocol that learns again what it knew before a restart; when it has, its routes are on their way.
func (m *Module) restoring(env *core.Env, r rib.Restoring) {
	who := restorer{r.Protocol, r.Source}
	delete(m.stale, who)
	if r.For > 0 {
		m.stale[who] = env.Now() + r.For
	} else {
		m.least = max(m.least, env.Now()+RestoredTime)
	}
	m.await(env)
}

// await takes the modules for settled when each has had its time.
func (m *Module) await(env *core.Env) {
	if m.settled || !m.synced {
		return
	}
	due := m.least
	for _, until := range m.stale {
		due = max(due, until)
	}
	env.Arm(&m.settle, due-env.Now())
}

// sweep removes what an earlier process left and nobody wants.
func (m *Module) sweep(env *core.Env) {
	if m.settled {
		return
	}
	m.settled = true
	env.Stop(&m.settle)
	m.each(func(e *entry) { m.reconcile(env, e) })
}

// freeze leaves our routes in the kernel: another process comes at once and takes them over. Nothing that the others say while
// they stop touches them.
func (m *Module) freeze(env *core.Env) {
	m.frozen = true
	env.Emit(Linger{Interfaces: slices.Sorted(maps.Keys(m.tunnels))})
}

// stop takes our routes out of the kernel: a router that was told to stop leaves nothing behind but guards.
func (m *Module) stop(env *core.Env) {
	m.stopped, m.settled = true, true
	env.Stop(&m.settle)
	m.each(func(e *entry) { m.reconcile(env, e) })
}
