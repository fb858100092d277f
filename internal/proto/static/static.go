// Package static is the module of static routes.
//
// A route names a next hop, an interface, both, or drops (blackhole, reject). A next hop without an interface is resolved
// by the RIB: through a connected prefix, a route of another protocol (an NHRP shortcut, all paths of ECMP), or another
// static route, and again when what it leans on changes. What does not lead anywhere is withdrawn. Of several routes for
// one prefix those with the lowest distance that lead somewhere are used, together and by weight (ECMP); the others float
// until those fail.
//
// A next hop is not resolved through the default route unless the route says so: while a tunnel is down, its next hops
// would move to the provider's side, and with them, in clear, what was meant for the tunnel.
//
//	static.go   configuration and the module
//	resolve.go  next hop to interface
//	index.go    which routes a change concerns
//	weight.go   shares of the traffic
//	track.go    next hops that BFD watches
//	show.go     routes that are configured, and why they are not used
//
// Left out: tracking by probes.
package static

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

// Name is the name of the module.
const Name = "static"

// Route is one statement. Via and Interface may both be set; Blackhole and Reject have neither.
type Route struct {
	VRF        string
	To         netip.Prefix
	Via        netip.Addr
	Interface  string
	Distance   uint8 // 0 = that of static routes
	Weight     uint8 // share among several to one prefix; 0 counts as 1
	Tag        uint32
	Blackhole  bool
	Reject     bool       // drop, and tell the sender
	ViaDefault bool       // Via may be found by the default route
	Track      string     // [TrackBFD]: not by a next hop that has failed
	TrackFrom  netip.Addr // of ours: Via itself is watched from it, over several hops (RFC 5883); invalid: the next hops on links
	TrackHops  uint8      // that Via is away at most, with TrackFrom; 0: two
}

// Kind is what becomes of packets that take the route.
func (r Route) Kind() rib.Kind {
	switch {
	case r.Blackhole:
		return rib.Blackhole
	case r.Reject:
		return rib.Reject
	}
	return rib.Unicast
}

func (r Route) dest() dest { return dest{r.VRF, r.To.Masked()} }

// Configure, as the body of a [core.Request], gives the whole set of routes. Only differences act.
type Configure struct{ Routes []Route }

// Module is the module named "static".
type Module struct {
	order    []dest
	routes   map[dest][]Route // by distance
	offered  map[dest]bool    // in the RIB
	leaning  index            // who is concerned by what changes
	links    map[string]core.Link
	reported map[Route]bool // told that it leads nowhere
	watched  map[dest][]watched
	watchers map[liveness.Target][]dest
	status   map[liveness.Target]liveness.Status

	surveyed bool // what was there at start has been told
	survey   core.Timer
}

// surveyTime is how long after the start it is too early to say that a route leads nowhere.
const surveyTime = 2 * time.Second

type dest struct {
	vrf    string
	prefix netip.Prefix
}

// New makes the module, without routes.
func New() *Module {
	return &Module{
		routes: map[dest][]Route{}, offered: map[dest]bool{},
		links: map[string]core.Link{}, reported: map[Route]bool{}, survey: core.Timer{Name: "survey"},
		watched: map[dest][]watched{}, watchers: map[liveness.Target][]dest{}, status: map[liveness.Target]liveness.Status{},
	}
}

// Name is "static".
func (m *Module) Name() string { return Name }

// WantsRoutes makes the module hear every change of the RIB.
func (m *Module) WantsRoutes() {}

// Handle is the way in.
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Start:
		env.Arm(&m.survey, surveyTime)
	case core.Expired:
		m.surveyed = true
		m.evaluateAll(env)
	case core.Request:
		if c, ok := ev.Body.(Configure); ok {
			m.configure(env, c.Routes)
		}
	case core.Notice:
		if s, ok := ev.Body.(liveness.State); ok {
			m.lives(env, s)
		}
	case core.Link:
		m.link(env, ev)
	case rib.Change:
		m.changed(env, ev)
	}
}

func (m *Module) configure(env *core.Env, routes []Route) {
	old := m.order
	m.order, m.routes, m.reported = nil, map[dest][]Route{}, map[Route]bool{}
	for _, r := range routes {
		if r.Distance == 0 {
			r.Distance = rib.Static.Distance()
		}
		d := r.dest()
		if m.routes[d] == nil {
			m.order = append(m.order, d)
		}
		m.routes[d] = append(m.routes[d], r)
	}
	for _, rs := range m.routes {
		slices.SortStableFunc(rs, func(a, b Route) int { return int(a.Distance) - int(b.Distance) })
	}
	m.leaning = newIndex(routes)
	for _, d := range old {
		if m.routes[d] == nil {
			m.track(env, d, nil)
			m.withdraw(env, d)
		}
	}
	m.evaluateAll(env)
}

func (m *Module) link(env *core.Env, l core.Link) {
	old := m.links[l.Name]
	if l.Gone && old.Index != l.Index {
		return // unknown, or a namesake has taken its place already
	}
	if m.links[l.Name] = l; l.Gone {
		delete(m.links, l.Name)
	}
	if old.Up != m.links[l.Name].Up {
		m.evaluateThese(env, m.leaning.interfaces[l.Name])
	}
}

// changed looks again at the routes whose next hop lies in the prefix that changed.
func (m *Module) changed(env *core.Env, c rib.Change) {
	m.evaluateThese(env, m.leaning.concerned(c.VRF, c.Prefix))
}

func (m *Module) evaluateAll(env *core.Env) { m.evaluateThese(env, m.order) }

func (m *Module) evaluateThese(env *core.Env, these []dest) {
	for _, d := range these {
		m.evaluate(env, d)
	}
}

// evaluate offers the best routes of a prefix that lead somewhere, and has all that are tracked watched.
func (m *Module) evaluate(env *core.Env, d dest) {
	var best *Route
	var shares []share
	var wanted []watched
	s := m.resolver(env)
	for i, r := range m.routes[d] {
		w := s.way(r)
		wanted = append(wanted, w.watched()...)
		m.report(env, r, w.why)
		if w.why != "" || best != nil && r.Distance > best.Distance {
			continue
		}
		best = &m.routes[d][i]
		shares = append(shares, share{r.Weight, w.hops})
	}
	m.track(env, d, wanted)
	if best == nil {
		m.withdraw(env, d)
		return
	}
	m.offered[d] = true
	env.Route(rib.Route{
		VRF: d.vrf, Prefix: d.prefix, Protocol: rib.Static, Distance: best.Distance, Kind: best.Kind(), Tag: best.Tag, NextHops: merge(shares),
	})
}

func (m *Module) withdraw(env *core.Env, d dest) {
	if m.offered[d] {
		delete(m.offered, d)
		env.Unroute(rib.Key{VRF: d.vrf, Prefix: d.prefix, Protocol: rib.Static})
	}
}

// report tells once that a route leads nowhere, and once that it does again.
func (m *Module) report(env *core.Env, r Route, why string) {
	if m.reported[r] == (why != "") || !m.surveyed {
		return
	}
	if why == "" {
		delete(m.reported, r)
		env.Log(core.Info, "reachable", "to", r.To, "via", r.Via, "interface", r.Interface)
		return
	}
	m.reported[r] = true
	env.Log(core.Info, "unreachable", "to", r.To, "via", r.Via, "interface", r.Interface, "cause", why)
}
