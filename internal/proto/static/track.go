package static

import (
	"cmp"
	"fmt"
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

// watched is a target, and the least TTL of what is believed to come from it; 0: as on a link.
type watched struct {
	liveness.Target
	minTTL uint8
}

// farHops is how many hops a next hop is away at most, where nobody says.
const farHops = 2

// far is what is watched of a route whose next hop is several hops away.
func (r Route) far() watched {
	t := liveness.Target{Peer: r.Via, Local: r.TrackFrom, Multihop: true}
	return watched{t, uint8(256 - int(cmp.Or(r.TrackHops, farHops)))} // it is sent with a TTL of 255, RFC 5883 section 5
}

// farWay is the way w of such a route while the next hop has not failed. It is watched also while no way leads there: what
// BFD finds is the first to know of one that does.
func (m *Module) farWay(r Route, w way) way {
	t := r.far()
	w.far = append(w.far, t)
	if w.why == "" && m.status[t.Target] == liveness.Down {
		return way{far: w.far, why: fmt.Sprintf("BFD with %s from %s is %s", t.Peer, t.Local, liveness.Down)}
	}
	return w
}

// watched is all that is to be watched on a way.
func (w way) watched() []watched {
	all := w.far
	for _, h := range w.tracked {
		if h.Via.IsValid() && h.Interface != "" {
			all = append(all, watched{Target: target(h)})
		}
	}
	return all
}

// track watches what a destination's tracked routes need, what has failed included, and nothing else.
func (m *Module) track(env *core.Env, d dest, wanted []watched) {
	before := m.watched[d]
	if len(wanted) == 0 && len(before) == 0 {
		return
	}
	var now []watched
	for _, w := range wanted {
		if i := find(now, w.Target); i < 0 {
			now = append(now, w)
		} else {
			now[i].minTTL = max(now[i].minTTL, w.minTTL)
		}
	}
	if m.watched[d] = now; len(now) == 0 {
		delete(m.watched, d)
	}
	for _, w := range before {
		if find(now, w.Target) < 0 {
			m.unwatch(env, d, w.Target)
		}
	}
	for _, w := range now {
		if find(before, w.Target) < 0 {
			m.watchers[w.Target] = append(m.watchers[w.Target], d)
		}
		if !slices.Contains(before, w) {
			env.Request(liveness.BFD, liveness.Watch{Target: w.Target, For: d.String(), Always: true, MinTTL: w.minTTL})
		}
	}
}

func find(all []watched, t liveness.Target) int {
	return slices.IndexFunc(all, func(w watched) bool { return w.Target == t })
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
