package static

import (
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

// TrackBFD is the Track of a route that is used only while BFD does not say that its next hop is down.
const TrackBFD = "bfd"

// alive are the next hops of a tracked route without those that have failed. Where BFD says nothing, because the neighbour
// does not speak it or has switched it off, the route is used (RFC 5882 section 3.2).
func (m *Module) alive(hops []rib.NextHop) []rib.NextHop {
	return slices.DeleteFunc(slices.Clone(hops), func(h rib.NextHop) bool { return m.status[target(h)] == liveness.Down })
}

func target(h rib.NextHop) liveness.Target {
	return liveness.Target{Peer: h.Via, Interface: h.Interface}
}

// track watches the next hops of a destination's tracked routes, those that have failed included, and no others.
func (m *Module) track(env *core.Env, d dest, hops []rib.NextHop) {
	before := m.watched[d]
	if len(hops) == 0 && len(before) == 0 {
		return
	}
	var now []liveness.Target
	for _, h := range hops {
		if t := target(h); h.Via.IsValid() && h.Interface != "" && !slices.Contains(now, t) {
			now = append(now, t)
		}
	}
	if m.watched[d] = now; len(now) == 0 {
		delete(m.watched, d)
	}
	for _, t := range before {
		if !slices.Contains(now, t) {
			m.unwatch(env, d, t)
		}
	}
	for _, t := range now {
		if !slices.Contains(before, t) {
			m.watchers[t] = append(m.watchers[t], d)
			env.Request(liveness.BFD, liveness.Watch{Target: t, For: d.String(), Always: true})
		}
	}
}

// unwatch ends the watch of a target for a destination. What was said of one that nobody watches any more is dropped: it
// may be another when it is watched again.
func (m *Module) unwatch(env *core.Env, d dest, t liveness.Target) {
	env.Request(liveness.BFD, liveness.Unwatch{Target: t, For: d.String()})
	m.watchers[t] = slices.DeleteFunc(m.watchers[t], func(o dest) bool { return o == d })
	if len(m.watchers[t]) == 0 {
		delete(m.watchers, t)
		delete(m.status, t)
	}
}

// lives hears of a next hop, and looks again at the routes by it.
func (m *Module) lives(env *core.Env, s liveness.State) {
	if m.status[s.Target] == s.Status || m.watchers[s.Target] == nil {
		return
	}
	m.status[s.Target] = s.Status
	m.evaluateThese(env, slices.Clone(m.watchers[s.Target]))
}

func (d dest) String() string { return d.vrf + " " + d.prefix.String() }
