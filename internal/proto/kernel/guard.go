package kernel

import (
	"math"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// GuardMetric is the metric of guards: every other route of the prefix goes before.
const GuardMetric = math.MaxUint32

// Guard is a Request: it names the prefixes of the main table that may be reached by protected tunnels and in no other
// way. Each has a blackhole of the last metric beneath whatever else there is for it. The blackhole needs no device, and
// so stays when devices and processes end: what was meant for the tunnel then does not leave by the default route, in
// clear. It also outlives a clean stop; the next Guard without the prefix removes it.
type Guard struct{ Prefixes []netip.Prefix }

// guard is what is known of the guard of an entry.
type guard struct {
	wanted   bool
	standing bool // in the kernel
	refused  string
}

func guardAt(t table) Route {
	return Route{VRF: t.vrf, Prefix: t.prefix, Metric: GuardMetric, Kind: rib.Blackhole}
}

// isGuard reports whether a route of ours is a guard, of this process or an earlier one.
func isGuard(l Learned) bool { return l.Ours && l.Metric == GuardMetric && l.Kind != rib.Unicast }

// guards takes a new set. What is wanted is written before what is not is removed.
func (m *Module) guards(env *core.Env, g Guard) {
	m.guarding = true
	var fresh []table
	for _, p := range g.Prefixes {
		e := m.entry("", p)
		e.guard.wanted = true
		fresh = append(fresh, e.table)
	}
	m.visit(fresh, func(e *entry) { m.raise(env, e) })
	m.each(func(e *entry) {
		if e.guard.wanted && !slices.Contains(fresh, e.table) {
			e.guard.wanted = false
		}
		m.lower(env, e)
	})
}

func (m *Module) raise(env *core.Env, e *entry) {
	if e.guard.wanted && !e.guard.standing {
		env.Emit(Install{guardAt(e.table)})
	}
}

// lower removes a guard that nobody wants, once it is known what is wanted.
func (m *Module) lower(env *core.Env, e *entry) {
	if e.guard.standing && !e.guard.wanted && m.guarding {
		env.Emit(Remove(guardAt(e.table).Key()))
	}
	m.tidy(e)
}

// guardLearned takes in that a guard is in the kernel.
func (m *Module) guardLearned(env *core.Env, e *entry) {
	e.guard.standing, e.guard.refused = true, ""
	m.lower(env, e)
	m.reconcile(env, e)
}

// guardForgotten takes in that a guard is gone. One that is still wanted is written again, after a while: see [RepairTime].
func (m *Module) guardForgotten(env *core.Env, e *entry) {
	e.guard.standing = false
	if e.guard.wanted {
		m.suspect(env, e)
	}
	m.reconcile(env, e)
}

// guardRefused tells of a guard that the kernel does not take, once, and has it tried again.
func (m *Module) guardRefused(env *core.Env, e *entry, r Refused) {
	if e.guard.refused != r.Err {
		env.Log(core.Warn, "unguarded", "prefix", r.Prefix, "cause", r.Err)
	}
	e.guard.refused = r.Err
	m.failed[e.table] = true
	if !m.retry.Armed() {
		env.Arm(&m.retry, RetryTime)
	}
}
