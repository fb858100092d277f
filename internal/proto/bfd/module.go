package bfd

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
)

// Name is the name of the module.
const Name = liveness.BFD

// Parameters are those of the sessions of an interface.
type Parameters struct {
	Interval   time.Duration // at least [LeastInterval]
	Multiplier uint8
	Demand     time.Duration // RFC 5880 section 6.6: ask the peer this often instead of hearing it all the time; 0: asynchronous
}

// What is taken where nothing is said, and bounds.
const (
	DefaultInterval   = 300 * time.Millisecond
	DefaultMultiplier = 3
	defaultMinTTL     = TTL - 1
	maxSessions       = LastPort - FirstPort + 1 // each has a source port of its own, RFC 5881 section 4
)

// Configure, as the body of a [core.Request], says which interfaces have sessions with the neighbours that are watched
// there. Only differences act.
type Configure struct{ Interfaces map[string]Parameters }

// Counted is the event that tells what an engine has counted since it began.
type Counted struct {
	Sent, Received uint64
	Discards       [discards]uint64
}

// Module is the module named "bfd".
type Module struct {
	paths      map[liveness.Target]*path
	byID       map[uint32]*path
	ports      map[uint16]bool
	nextPort   uint16
	links      map[string]core.Link
	interfaces map[string]Parameters
	counted    Counted

	interrupted string // why, until an engine reports again
}

// path is one target and who watches it.
type path struct {
	target   liveness.Target
	watchers map[watcher]liveness.Watch
	late     map[watcher]bool // came when the path was down already: that is no news to them
	spec     Spec             // valid with an ID
	report   Report
	status   liveness.Status
	reason   string
	upSince  time.Duration
}

type watcher struct{ module, of string }

// New makes the module, without sessions.
func New() *Module {
	return &Module{
		paths: map[liveness.Target]*path{}, byID: map[uint32]*path{}, ports: map[uint16]bool{},
		links: map[string]core.Link{}, interfaces: map[string]Parameters{},
	}
}

// Name is "bfd".
func (m *Module) Name() string { return Name }

// Handle is the way in.
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		m.request(env, ev)
	case core.Link:
		m.link(env, ev)
	case core.Stop:
		env.Emit(Halt{})
	case Report:
		m.report(env, ev)
	case Lost:
		m.lost(env, ev.Reason)
	case Ready:
		m.ready(env)
	case Counted:
		m.counted = ev
	}
}

func (m *Module) request(env *core.Env, r core.Request) {
	switch b := r.Body.(type) {
	case liveness.Watch:
		m.watch(env, watcher{r.From, b.For}, b)
	case liveness.Unwatch:
		m.unwatch(env, watcher{r.From, b.For}, b.Target)
	case Configure:
		if !maps.Equal(m.interfaces, b.Interfaces) {
			m.interfaces = b.Interfaces
			m.evaluateAll(env, func(*path) bool { return true })
		}
	}
}

func (m *Module) watch(env *core.Env, who watcher, w liveness.Watch) {
	p := m.paths[w.Target]
	if p == nil {
		p = &path{target: w.Target, watchers: map[watcher]liveness.Watch{}, late: map[watcher]bool{}}
		m.paths[w.Target] = p
	}
	if _, known := p.watchers[who]; !known && p.status == liveness.Down {
		p.late[who] = true
	}
	p.watchers[who] = w
	m.evaluate(env, p)
	p.tell(env, who)
}

func (m *Module) unwatch(env *core.Env, who watcher, t liveness.Target) {
	p := m.paths[t]
	if p == nil {
		return
	}
	delete(p.watchers, who)
	delete(p.late, who)
	if m.evaluate(env, p); len(p.watchers) == 0 {
		delete(m.paths, t)
	}
}

// link follows an interface. One that goes keeps its sessions: the path has failed, and they will say so.
func (m *Module) link(env *core.Env, l core.Link) {
	old := m.links[l.Name]
	if l.Gone {
		if old.Index == l.Index {
			delete(m.links, l.Name)
		}
		return
	}
	m.links[l.Name] = l
	if old.Index != l.Index || !slices.Equal(old.Addresses, l.Addresses) {
		m.evaluateAll(env, func(p *path) bool { return p.target.Interface == l.Name })
	}
}

func (m *Module) evaluateAll(env *core.Env, which func(*path) bool) {
	for _, p := range m.sorted() {
		if which(p) {
			m.evaluate(env, p)
		}
	}
}

func (m *Module) sorted() []*path {
	return slices.SortedFunc(maps.Values(m.paths), func(a, b *path) int {
		return cmp.Or(cmp.Compare(a.target.Interface, b.target.Interface), a.target.Peer.Compare(b.target.Peer),
			a.target.Local.Compare(b.target.Local))
	})
}

// evaluate brings the session in line with who watches the path, the configuration and the interface.
func (m *Module) evaluate(env *core.Env, p *path) {
	spec, wanted := m.want(p)
	if !wanted {
		m.end(env, p, "not watched")
		return
	}
	if why := m.place(p, &spec); why != "" {
		if p.spec.ID == 0 || len(p.watchers) == 0 {
			m.set(env, p, liveness.Unknown, why)
		}
		return
	}
	if p.spec.ID != 0 && p.spec.key() != spec.key() {
		m.end(env, p, "the path is another")
	}
	if p.spec.ID == 0 && !m.begin(env, p, &spec) {
		return
	}
	spec.ID, spec.Port = p.spec.ID, p.spec.Port
	if spec != p.spec {
		p.spec = spec
		env.Emit(Set{spec})
	}
}

// want is what those who watch want together; false when nobody wants a session.
func (m *Module) want(p *path) (s Spec, wanted bool) {
	s.Passive = true
	for _, w := range p.watchers {
		params, ok := m.interfaces[p.target.Interface]
		if w.Interval == 0 && !ok && !w.Always {
			continue
		}
		interval := max(cmp.Or(w.Interval, params.Interval, DefaultInterval), LeastInterval)
		multiplier := cmp.Or(w.Multiplier, params.Multiplier, DefaultMultiplier)
		if !wanted || time.Duration(multiplier)*interval < time.Duration(s.Multiplier)*s.Interval {
			s.Interval, s.Multiplier = interval, multiplier
		}
		s.Demand = params.Demand
		s.Passive = s.Passive && w.Passive
		s.MinTTL = max(s.MinTTL, w.MinTTL)
		wanted = true
	}
	s.MinTTL = cmp.Or(s.MinTTL, defaultMinTTL)
	return s, wanted
}

// place says where packets go from and to; in words why that is not known.
func (m *Module) place(p *path, s *Spec) string {
	t := p.target
	s.Peer, s.Local, s.Multihop = t.Peer.WithZone(""), t.Local.WithZone(""), t.Multihop
	if t.Multihop {
		if !t.Local.IsValid() {
			return "watching over several hops needs a local address"
		}
		return ""
	}
	l, ok := m.links[t.Interface]
	if !ok {
		return fmt.Sprintf("there is no interface %s", t.Interface)
	}
	s.Index = l.Index
	if !s.Local.IsValid() {
		s.Local = localFor(l, s.Peer, p.spec.Local)
	}
	if !s.Local.IsValid() {
		return fmt.Sprintf("%s has no address to reach %s from", t.Interface, t.Peer)
	}
	return ""
}

// localFor is the address of an interface to speak to a peer from: the one in use while it is there, else the one whose
// prefix holds the peer, else any of its family and scope.
func localFor(l core.Link, peer, used netip.Addr) (best netip.Addr) {
	if used.IsValid() && l.HasAddress(used) {
		return used
	}
	for _, p := range l.Addresses {
		a := p.Addr()
		if a.Is4() != peer.Is4() || a.IsLinkLocalUnicast() != peer.IsLinkLocalUnicast() {
			continue
		}
		if p.Contains(peer) {
			return a
		}
		if !best.IsValid() {
			best = a
		}
	}
	return best
}

// begin gives a path a session: a discriminator and a source port that no other has.
func (m *Module) begin(env *core.Env, p *path, s *Spec) bool {
	if len(m.byID) >= maxSessions {
		m.set(env, p, liveness.Unknown, fmt.Sprintf("there are %d sessions already, which is all that can be", maxSessions))
		return false
	}
	id := env.Rand().Uint32()
	for id == 0 || m.byID[id] != nil {
		id = env.Rand().Uint32()
	}
	port := max(m.nextPort, FirstPort)
	for m.ports[port] {
		port = max(port+1, FirstPort) // which is 0 behind the last
	}
	m.nextPort, m.ports[port], m.byID[id] = port+1, true, p
	p.spec = Spec{ID: id, Port: port}
	p.report = Report{}
	why := "the peer has not answered"
	if s.Passive {
		why = "the peer has not begun"
	}
	m.set(env, p, liveness.Unknown, why)
	return true
}

func (m *Module) end(env *core.Env, p *path, why string) {
	if p.spec.ID != 0 {
		env.Emit(Delete{p.spec.ID})
		delete(m.byID, p.spec.ID)
		delete(m.ports, p.spec.Port)
		p.spec, p.report = Spec{}, Report{}
	}
	m.set(env, p, liveness.Unknown, why)
}

// report takes what an engine tells of a session.
func (m *Module) report(env *core.Env, r Report) {
	p := m.byID[r.ID]
	if p == nil {
		return // it has ended meanwhile
	}
	before := p.report
	p.report, m.interrupted = r, ""
	if r.State == Up && before.State != Up {
		p.upSince = env.Now()
	}
	if r.Status != p.status {
		m.set(env, p, r.Status, p.why(before))
	}
}

// set changes what is known of a path, and tells who watches it.
func (m *Module) set(env *core.Env, p *path, status liveness.Status, reason string) {
	old := p.status
	if p.reason = reason; old == status {
		return
	}
	p.status = status
	clear(p.late)
	level := core.Info
	if status == liveness.Down {
		level = core.Warn
	}
	env.Log(level, status.String(), "peer", p.target.Peer, "interface", p.target.Interface, "cause", reason)
	for _, who := range p.who() {
		p.tell(env, who)
	}
}

func (p *path) who() []watcher {
	return slices.SortedFunc(maps.Keys(p.watchers), func(a, b watcher) int {
		return cmp.Or(cmp.Compare(a.module, b.module), cmp.Compare(a.of, b.of))
	})
}

func (p *path) tell(env *core.Env, who watcher) {
	s := liveness.State{Target: p.target, For: who.of, Status: p.status, Reason: p.reason}
	if p.late[who] {
		s.Status = liveness.Unknown
	}
	env.Notify(who.module, s)
}

// lost takes that nothing is known of any path. The reports stay: sessions resume from them.
func (m *Module) lost(env *core.Env, reason string) {
	if m.interrupted != reason { // what goes on trying says it each time
		env.Log(core.Warn, "interrupted", "sessions", len(m.byID), "cause", reason)
	}
	m.interrupted = reason
	for _, p := range m.sorted() {
		if p.spec.ID != 0 {
			m.set(env, p, liveness.Unknown, reason)
		}
	}
}

// ready gives an engine that has begun every session, where the last one left it.
func (m *Module) ready(env *core.Env) {
	for _, p := range m.sorted() {
		if p.spec.ID == 0 {
			continue
		}
		s := p.spec
		if p.report.State == Up {
			s.Resume = p.report.Remote
		}
		env.Emit(Set{s})
	}
}
