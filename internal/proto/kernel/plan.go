package kernel

import (
	"slices"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// entry is what is known of one prefix.
type entry struct {
	table    table
	actual   []Learned           // in the kernel, best first
	selected *rib.Route          // by the RIB
	asked    *Route              // our last Install that no Remove followed
	shown    []dataplane.NextHop // what the data plane was told; nil = nothing
	host     bool                // the prefix is an address of the host
	refused  string              // why the kernel refused asked
	leaving  []uint32            // metrics of routes of ours whose Remove has not come back
	guards   guards
}

// best is the route the kernel forwards by.
func (e *entry) best() *Learned {
	if len(e.actual) == 0 {
		return nil
	}
	return &e.actual[0]
}

// foreign is the best route of somebody else.
func (e *entry) foreign() *Learned {
	if i := slices.IndexFunc(e.actual, func(l Learned) bool { return !l.Ours }); i >= 0 {
		return &e.actual[i]
	}
	return nil
}

func (e *entry) at(metric uint32) *Learned {
	if i := slices.IndexFunc(e.actual, func(l Learned) bool { return l.Metric == metric }); i >= 0 {
		return &e.actual[i]
	}
	return nil
}

func (e *entry) has(r Route) bool {
	l := e.at(r.Metric)
	return l != nil && l.Ours && l.Equal(r) && !slices.Contains(e.leaving, r.Metric)
}

// stays takes in that the route with the metric is not leaving, or not any more.
func (e *entry) stays(metric uint32) {
	e.leaving = slices.DeleteFunc(e.leaving, func(m uint32) bool { return m == metric })
}

// echoes reports whether l is but what we asked for, and all there is: nothing follows from it but what the data plane sees.
func (e *entry) echoes(l Learned) bool {
	return l.Ours && len(e.actual) == 1 && len(e.leaving) == 0 && e.asksFor(l.Route)
}

func (e *entry) asksFor(r Route) bool { return e.asked != nil && e.asked.Equal(r) }

func (e *entry) empty() bool {
	return len(e.actual) == 0 && e.selected == nil && e.asked == nil && e.shown == nil && !e.host && e.guards == guards{}
}

// plan is what the selection means: a route to write, next hops lent to the data plane, or neither.
func (m *Module) plan(e *entry) (write *Route, lent []rib.NextHop, problem string) {
	s := e.selected
	if s == nil || s.Protocol == rib.Connected || s.Protocol == rib.Kernel && !s.Override {
		return nil, nil, ""
	}
	hops := m.usable(s.NextHops)
	if len(hops) == 0 && s.Kind == rib.Unicast {
		return nil, nil, ""
	}
	f := e.foreign()
	if s.Override && f != nil && oneInterface(f.NextHops, hops) {
		return nil, hops, ""
	}
	metric, ok := freeMetric(e, *s)
	if !ok {
		return nil, nil, "a route of another program has the prefix at the lowest metric"
	}
	return &Route{VRF: s.VRF, Prefix: s.Prefix, Metric: metric, Kind: s.Kind, NextHops: hops}, nil, ""
}

// usable leaves out next hops that the kernel would refuse because their interface is down or not there.
func (m *Module) usable(hops []rib.NextHop) []rib.NextHop {
	down := func(h rib.NextHop) bool { return !m.links[h.Interface].Up }
	if !slices.ContainsFunc(hops, down) {
		return hops
	}
	return slices.DeleteFunc(slices.Clone(hops), down)
}

func oneInterface(a, b []rib.NextHop) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	other := func(h rib.NextHop) bool { return h.Interface != a[0].Interface }
	return !slices.ContainsFunc(a, other) && !slices.ContainsFunc(b, other)
}

// freeMetric is the selection's distance, or the next lower metric that no other program uses for the prefix. The
// lowest is 1: 0 is that of connected routes in IPv4 and means 1024 in IPv6.
func freeMetric(e *entry, s rib.Route) (uint32, bool) {
	metric := max(uint32(s.Distance), 1)
	if f := e.foreign(); f != nil && s.Protocol == rib.Kernel {
		if f.Metric < 2 {
			return 0, false
		}
		metric = f.Metric - 1
	}
	for ; metric > 0; metric-- {
		if l := e.at(metric); l == nil || l.Ours {
			return metric, true
		}
	}
	return 0, false
}

// toKernel is what the data plane leaves to the kernel.
var toKernel = []dataplane.NextHop{{}}

// mirror is the data plane's view of the prefix.
func (m *Module) mirror(e *entry, lent []rib.NextHop) []dataplane.NextHop {
	b := e.best()
	switch {
	case b == nil && (e.host || e.guards.standing()): // for the kernel, whatever shorter prefix leads into a tunnel
		return toKernel
	case b == nil:
		return nil
	}
	hops := b.NextHops
	if len(lent) > 0 && oneInterface(hops, lent) {
		hops = lent
	}
	if b.Kind != rib.Unicast { // the kernel drops, or rejects
		return toKernel
	}
	if len(hops) == 1 && !m.tunnels[hops[0].Interface] {
		return toKernel
	}
	return m.shown(hops)
}

// shown is next hops as the data plane knows them.
func (m *Module) shown(hops []rib.NextHop) []dataplane.NextHop {
	out := make([]dataplane.NextHop, len(hops))
	for i, h := range hops {
		if m.tunnels[h.Interface] {
			out[i] = dataplane.NextHop{Tunnel: h.Interface, Via: h.Via, Weight: h.Weight}
		} else {
			out[i] = dataplane.NextHop{Weight: h.Weight}
		}
	}
	return out
}
