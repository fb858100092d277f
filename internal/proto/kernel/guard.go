package kernel

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// Metrics of guards: every other route of the prefix goes before. The two tell a later process why a guard is there.
const (
	GuardMetric        = math.MaxUint32     // of a prefix that the configuration names
	LearnedGuardMetric = math.MaxUint32 - 1 // of a prefix that had a route
)

// MaxLearnedGuards bounds the guards of prefixes that had routes, since others decide how many these are.
const MaxLearnedGuards = 1 << 16

// Guard is a Request: it names what may be reached by protected tunnels and in no other way. Each such prefix of the main
// table has a blackhole of the last metric beneath whatever else there is for it. The blackhole needs no device, and so
// stays when devices and processes end: what was meant for the tunnel then does not leave by the default route, in clear.
// It also outlives a clean stop.
//
// Prefixes are guarded until a Guard comes without them. Others are guarded from when their route leads out of Tunnels
// alone, whoever offers it, until it leads elsewhere, [ClearGuards] comes, or a Guard without Tunnels; so while there is
// no route to them. The default route is not: what is shorter than it cannot take its traffic.
//
// A prefix with an address of the underlay in it, of a server (Underlay) or of whom IKE speaks with, is not guarded because
// it had a route: a member that leads the way to a hub into the tunnel would keep us from it for good.
type Guard struct {
	Prefixes []netip.Prefix
	Tunnels  []string
	Underlay []netip.Addr
}

// ClearGuards is a Request: it removes the guards of prefixes that had a route and have none now, those that Match holds
// for, and counts them.
type ClearGuards struct {
	Match func(netip.Prefix) bool
	Count *int
}

// guard is what is known of one guard of an entry.
type guard struct {
	wanted   bool
	standing bool // in the kernel
	held     bool // the kernel was asked and has not answered, or is asked again in a while
	refused  string
}

// closing is what is known of the guards of prefixes that had routes.
type closing struct {
	tunnels map[string]bool // prefixes that these alone lead to are guarded
	wanted  int             // how many are
	spared  bart.Lite       // addresses that tunnels need
	limit   int             // 0: MaxLearnedGuards
	full    bool            // told that there is no room for more
}

func (c *closing) room() bool { return c.wanted < cmp.Or(c.limit, MaxLearnedGuards) }

// guards are those of an entry, by why they are there.
type guards [2]guard

const (
	configured = iota
	learned
)

var guardMetrics = [...]uint32{configured: GuardMetric, learned: LearnedGuardMetric}

// standing reports whether one of them is in the kernel.
func (g guards) standing() bool { return g[configured].standing || g[learned].standing }

// release lets the kernel be asked again.
func (g *guards) release() { g[configured].held, g[learned].held = false, false }

func guardAt(t table, kind int) Route {
	return Route{VRF: t.vrf, Prefix: t.prefix, Metric: guardMetrics[kind], Kind: rib.Blackhole}
}

// guardKind is which guard a route of ours is, of this process or an earlier one; -1 is none.
func guardKind(l Learned) int {
	if !l.Ours || l.Kind == rib.Unicast {
		return -1
	}
	return slices.Index(guardMetrics[:], l.Metric)
}

// guard takes a new set. What is wanted is written before what is not is removed, and so are routes that take the place of
// guards: the RIB has them by now, but the word of it is still on its way to us.
func (m *Module) guard(env *core.Env, g Guard) {
	m.guarding = true
	m.closing.tunnels = map[string]bool{}
	for _, name := range g.Tunnels {
		m.closing.tunnels[name] = true
	}
	for _, a := range g.Underlay {
		m.spare(env, a)
	}
	fresh := map[table]bool{}
	var order []table
	for _, p := range g.Prefixes {
		e := m.entry("", p)
		e.guards[configured].wanted = true
		fresh[e.table], order = true, append(order, e.table)
	}
	m.visit(order, func(e *entry) { m.raise(env, e) })
	m.lowers = false
	m.each(func(e *entry) {
		e.guards[configured].wanted = fresh[e.table]
		m.adopt(e)
		m.close(env, e)
		m.tidy(e)
	})
	env.Arm(&m.fall, 0) // when all that waits has been handled
}

// fallen removes the guards that nobody wanted the last time.
func (m *Module) fallen(env *core.Env) {
	m.lowers = true
	m.each(func(e *entry) {
		m.lower(env, e)
		m.tidy(e)
	})
}

// close decides on the guard of a prefix by its route, if it has one, and sees to both.
func (m *Module) close(env *core.Env, e *entry) {
	s := e.selected
	switch {
	case !m.guarding || m.stopped:
		return
	case len(m.closing.tunnels) == 0 || e.guards[configured].wanted || e.host || m.closing.spares(e.table.prefix):
		m.want(env, e, false)
	case s == nil, s.Kind != rib.Unicast, s.Protocol == rib.NHRP && s.Override: // nothing leads elsewhere
	default:
		m.want(env, e, m.closed(s))
	}
	m.raise(env, e)
	m.lower(env, e)
}

// closed reports whether a route leads out of protected tunnels alone.
func (m *Module) closed(r *rib.Route) bool {
	open := func(h rib.NextHop) bool { return !m.closing.tunnels[h.Interface] }
	return r.VRF == "" && r.Prefix.Bits() > 0 && r.Kind == rib.Unicast && !slices.ContainsFunc(r.NextHops, open)
}

// maxSpared bounds the addresses of the underlay that are kept in mind.
const maxSpared = 1 << 16

// spare keeps an address of the underlay open.
func (m *Module) spare(env *core.Env, a netip.Addr) {
	a = a.Unmap().WithZone("")
	host := netip.PrefixFrom(a, a.BitLen())
	if !a.IsValid() || m.closing.spared.Get(host) || m.closing.spared.Size() >= maxSpared {
		return
	}
	m.closing.spared.Insert(host)
	for bits := host.Bits(); bits > 0; bits-- {
		if e := m.entries[table{"", netip.PrefixFrom(host.Addr(), bits).Masked()}]; e != nil && e.guards[learned].wanted {
			m.reconcile(env, e)
		}
	}
}

// spares reports whether a prefix holds an address that is kept open.
func (c *closing) spares(p netip.Prefix) bool { return c.spared.OverlapsPrefix(p) }

// want sets whether the prefix is to have a guard of its own, as far as there is room.
func (m *Module) want(env *core.Env, e *entry, is bool) {
	g := &e.guards[learned]
	switch {
	case g.wanted == is:
	case !is:
		g.wanted = false
		m.closing.wanted--
	case m.closing.room():
		g.wanted = true
		m.closing.wanted++
	case !m.closing.full:
		m.closing.full = true
		env.Log(core.Warn, "guards-full", "prefix", e.table.prefix, "limit", m.closing.wanted)
	}
}

// adopt takes over the guard that an earlier process left on a prefix that had a route.
func (m *Module) adopt(e *entry) {
	if g := &e.guards[learned]; m.guarding && len(m.closing.tunnels) > 0 && g.standing && !g.wanted && m.closing.room() && !m.closing.spares(e.table.prefix) {
		g.wanted = true
		m.closing.wanted++
	}
}

func (m *Module) raise(env *core.Env, e *entry) {
	for kind := range e.guards {
		if g := &e.guards[kind]; g.wanted && !g.standing && !g.held {
			g.held = true
			env.Emit(Install{guardAt(e.table, kind)})
		}
	}
}

// lower removes guards that nobody wants, once it is known what is wanted.
func (m *Module) lower(env *core.Env, e *entry) {
	if !m.lowers {
		return
	}
	for kind := range e.guards {
		if g := &e.guards[kind]; g.standing && !g.wanted && !g.held && m.guarding {
			g.held = true
			env.Emit(Remove(guardAt(e.table, kind).Key()))
		}
	}
}

// guardLearned takes in that a guard is in the kernel.
func (m *Module) guardLearned(env *core.Env, e *entry, kind int) {
	g := &e.guards[kind]
	g.standing, g.held, g.refused = true, false, ""
	if kind == learned {
		m.adopt(e)
	}
	m.lower(env, e)
	m.reconcile(env, e)
}

// guardForgotten takes in that a guard is gone. One that somebody else removed is written again after a while, if it is
// still wanted: see [RepairTime].
func (m *Module) guardForgotten(env *core.Env, e *entry, kind int) {
	g := &e.guards[kind]
	byUs := g.held
	g.standing, g.held = false, false
	if g.wanted && !byUs {
		g.held = true
		m.suspect(env, e)
	}
	m.reconcile(env, e)
}

// guardRefused tells of a guard that the kernel does not take, once, and has it tried again.
func (m *Module) guardRefused(env *core.Env, e *entry, kind int, r Refused) {
	if e.guards[kind].refused != r.Err {
		env.Log(core.Warn, "unguarded", "prefix", r.Prefix, "cause", r.Err)
	}
	e.guards[kind].refused, e.guards[kind].held = r.Err, true
	m.failed[e.table] = true
	if !m.retry.Armed() {
		env.Arm(&m.retry, RetryTime)
	}
}

// clearGuards forgets prefixes that no route leads to.
func (m *Module) clearGuards(env *core.Env, c ClearGuards) {
	m.each(func(e *entry) {
		if !e.guards[learned].wanted || e.selected != nil && m.closed(e.selected) || !c.Match(e.table.prefix) {
			return
		}
		*c.Count++
		m.want(env, e, false)
		m.lower(env, e)
		m.tidy(e)
	})
	m.closing.full = m.closing.full && !m.closing.room()
}
