package ospf

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// world is routers on segments, in virtual time.
type world struct {
	t       *testing.T
	now     time.Duration
	rand    *rand.Rand
	routers map[string]*router
	order   []*router
	flying  []flight
	loss    float64
	cut     map[string]bool // segments that carry nothing
	spy     func(from *router, p core.SendIP)
	lose    func(from *router, p core.SendIP) bool // what is lost beside chance
	seq     int
	last    map[[2]*port]time.Duration
}

type flight struct {
	at  time.Duration
	seq int
	to  *router
	ev  core.ReceivedIP
}

type router struct {
	w      *world
	name   string
	loop   *core.Loop
	m      *Module
	ports  map[string]*port
	logs   []string
	stored map[string]string
	off    bool
}

// port is an interface on a segment. A hub-and-spoke segment carries multicast between the hub and the spokes only.
type port struct {
	r       *router
	link    core.Link
	segment string
	groups  map[netip.Addr]bool
	hub     bool
}

// others offers routes of other protocols.
type others struct{}

func (others) Name() string { return "others" }
func (others) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case rib.Route:
		env.Route(ev)
	case rib.Key:
		env.Unroute(ev)
	case func(*core.Env):
		ev(env)
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), routers: map[string]*router{}, cut: map[string]bool{}, last: map[[2]*port]time.Duration{}}
	if t.Name() != "" {
		t.Cleanup(w.end)
	}
	return w
}

// end looks whether the routers are sound when a test is over.
func (w *world) end() {
	for _, r := range w.order {
		if err := r.sane(); err != nil && !r.off {
			w.t.Error(err)
		}
		if n := r.loop.Panics[Name]; n > 0 {
			w.t.Errorf("%s: %d handlers failed", r.name, n)
		}
	}
}

// add makes a router; ports are "name segment address[,address] [hub]".
func (w *world) add(name string, cfg Config, ports ...string) *router {
	r := &router{w: w, name: name, ports: map[string]*port{}, stored: map[string]string{}}
	w.routers[name] = r
	w.order = append(w.order, r)
	for k, spec := range ports {
		f := strings.Fields(spec)
		p := &port{r: r, segment: f[1], groups: map[netip.Addr]bool{}, hub: len(f) > 3}
		p.link = core.Link{Name: f[0], Index: k + 1, Up: true, MTU: 1500}
		for _, a := range strings.Split(f[2], ",") {
			p.link.Addresses = append(p.link.Addresses, netip.MustParsePrefix(a))
		}
		r.ports[f[0]] = p
	}
	r.boot(cfg)
	return r
}

func (r *router) boot(cfgs ...Config) {
	r.m, r.off = New(), false
	r.loop = core.NewLoop(r.w.now, rand.New(rand.NewPCG(r.w.rand.Uint64(), 2)), r)
	r.loop.Log = func(level core.Level, event string, args []any) {
		line := fmt.Sprint(r.w.now, " ", event, " ", args)
		if level < core.Info {
			line = "debug " + line
		}
		r.logs = append(r.logs, line)
	}
	r.loop.Add(r.m, core.Start{Stored: r.stored})
	r.loop.Add(others{}, core.Start{})
	for _, name := range sortedKeys(r.ports) {
		r.loop.Broadcast(r.ports[name].link)
	}
	for i := range cfgs {
		if cfgs[i].Name == "" {
			cfgs[i].Name = "ospf"
		}
		if cfgs[i].Version == 0 {
			cfgs[i].Version = wire.V2
		}
	}
	r.loop.Post(Name, core.Request{Body: Configure{cfgs}})
	r.loop.Run(r.w.now)
}

// Do implements [core.Edge].
func (r *router) Do(e core.Effect) {
	switch e := e.(type) {
	case core.Listen:
		p := r.ports[e.Interface]
		for g := range p.groups {
			if g.Is6() == e.IPv6 {
				delete(p.groups, g)
			}
		}
		for _, g := range e.Groups {
			p.groups[g] = true
		}
	case core.SendIP:
		r.w.carry(r, e)
	case core.Store:
		r.stored[e.Key] = e.Value
	}
}

func (w *world) carry(from *router, e core.SendIP) {
	if w.spy != nil {
		w.spy(from, e)
	}
	p := from.ports[e.Interface]
	if !p.link.Up || w.cut[p.segment] || from.off || w.lose != nil && w.lose(from, e) {
		return
	}
	for _, r := range w.order {
		for _, name := range sortedKeys(r.ports) {
			q := r.ports[name]
			if q == p || q.segment != p.segment || !q.link.Up || w.rand.Float64() < w.loss {
				continue
			}
			if strings.HasPrefix(p.segment, "cloud") && !p.hub && !q.hub {
				continue
			}
			if !(e.Destination.IsMulticast() && q.groups[e.Destination] || q.link.HasAddress(e.Destination)) {
				continue
			}
			w.seq++
			at := max(w.last[[2]*port{p, q}], w.now+time.Millisecond+time.Duration(w.rand.IntN(3000))*time.Microsecond)
			w.last[[2]*port{p, q}] = at // in order
			w.flying = append(w.flying, flight{at, w.seq, r,
				core.ReceivedIP{Interface: name, Source: e.Source, Destination: e.Destination, Protocol: e.Protocol, TTL: e.TTL, Payload: slices.Clone(e.Payload)}})
		}
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for {
		next := end
		for _, f := range w.flying {
			next = min(next, f.at)
		}
		for _, r := range w.order {
			if at, ok := r.loop.Next(); ok && !r.off {
				next = min(next, at)
			}
		}
		w.now = max(w.now, next)
		w.deliver()
		for _, r := range w.order {
			if !r.off {
				r.loop.Run(w.now)
			}
		}
		if w.now >= end && !w.due() {
			return
		}
	}
}

// until lets time pass until something is so, and says how long that took.
func (w *world) until(most time.Duration, so func() bool) time.Duration {
	w.t.Helper()
	began := w.now
	for !so() {
		if w.now-began >= most {
			w.t.Fatalf("not so after %v", most)
		}
		w.run(10 * time.Millisecond)
	}
	return w.now - began
}

func (w *world) due() bool {
	return slices.ContainsFunc(w.flying, func(f flight) bool { return f.at <= w.now })
}

func (w *world) deliver() {
	var due []flight
	w.flying = slices.DeleteFunc(w.flying, func(f flight) bool {
		if f.at <= w.now {
			due = append(due, f)
		}
		return f.at <= w.now
	})
	slices.SortFunc(due, func(a, b flight) int { return cmp.Or(cmp.Compare(a.at, b.at), a.seq-b.seq) })
	for _, f := range due {
		if !f.to.off {
			f.to.loop.Post(Name, f.ev)
			f.to.loop.Run(w.now)
		}
	}
}

// setLink changes a port.
func (r *router) setLink(name string, change func(*core.Link)) {
	change(&r.ports[name].link)
	r.loop.Broadcast(r.ports[name].link)
	r.loop.Run(r.w.now)
}

// states is "router state" of all neighbours, sorted.
func (r *router) states() string {
	var out []string
	for _, n := range r.m.Neighbors(r.w.now) {
		s := n.RouterID + " " + n.State
		if n.Role != "" {
			s += " " + n.Role
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// routes is what the RIB has of OSPF: "prefix metric via@interface".
func (r *router) routes() string {
	var out []string
	for x := range r.loop.RIB().Offers("") {
		if x.Protocol != rib.OSPF {
			continue
		}
		s := fmt.Sprint(x.Prefix, " ", x.Metric)
		for _, h := range x.NextHops {
			s += fmt.Sprint(" ", h.Via, "@", h.Interface)
		}
		out = append(out, s)
	}
	return strings.Join(out, "\n")
}

// database is all LSAs of one scope as people compare them, without ages.
func (r *router) database(area wire.AreaID) string {
	var out []string
	for _, d := range r.m.Database(r.w.now) {
		if d.LSAScope == wire.ScopeLink || d.LSAScope == wire.ScopeArea && d.Area != area || d.LSAScope == wire.ScopeAS && area != 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%s %s %s %s %s", d.Type, d.ID, d.Router, d.Sequence, d.Checksum))
	}
	return strings.Join(out, "\n")
}

func (w *world) wantStates(name, want string) {
	w.t.Helper()
	if got := w.routers[name].states(); got != want {
		w.t.Errorf("%v %s: neighbours\n got  %s\n want %s", w.now, name, got, want)
	}
}

func (w *world) wantRoutes(name string, want ...string) {
	w.t.Helper()
	if got := w.routers[name].routes(); got != strings.Join(want, "\n") {
		w.t.Errorf("%v %s: routes\n%s\n want\n%s", w.now, name, got, strings.Join(want, "\n"))
	}
}

// wantEqual holds that all routers of an area have one database.
func (w *world) wantEqual(area wire.AreaID, names ...string) {
	w.t.Helper()
	first := w.routers[names[0]].database(area)
	for _, n := range names[1:] {
		if got := w.routers[n].database(area); got != first {
			w.t.Errorf("%v: databases of area %v differ:\n%s:\n%s\n%s:\n%s", w.now, area, names[0], first, n, got)
		}
	}
}

func id(s string) wire.RouterID { return wire.RouterID(wire.Uint4(netip.MustParseAddr(s))) }

func oneArea(router string, ifaces ...Interface) Config {
	return Config{RouterID: id(router), Areas: []Area{{Interfaces: ifaces}}}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// bodyOf is what a packet of OSPFv2 says, if it is of that type.
func bodyOf[B wire.Body](p core.SendIP) (b B, ok bool) {
	if q, err := wire.Parse(wire.V2, p.Payload, p.Source, p.Destination); err == nil {
		b, ok = q.Body.(B)
	}
	return b, ok
}
