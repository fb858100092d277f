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
	Unsent         uint64 // of those sent, the ones that the host did not take
	Overflown      uint64 // came to a queue that was full
	Discards       [discards]uint64
}

// Module is the module named "bfd".
type Module struct {
	paths      map[liveness.Target]*path
	byID       map[uint32]*contact
	byKey      map[key]*contact
	ports      map[uint16]bool
	nextPort   uint16
	prefix     uint32 // of all discriminators; 0: not drawn yet
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
	contact  *contact         // nil: there is no session
	status   liveness.Status
	reason   string
}

// contact is a session, as the router knows it. Targets that name the same path in different words, with our address and
// without, share one: RFC 5881 section 3 has no more than one between two systems on an interface.
type contact struct {
	spec    Spec
	iface   string
	paths   []*path
	report  Report
	status  liveness.Status
	reason  string
	upSince time.Duration
}

type watcher struct{ module, of string }

// New makes the module, without sessions.
func New() *Module {
	return &Module{
		paths: map[liveness.Target]*path{}, byID: map[uint32]*contact{}, byKey: map[key]*contact{}, ports: map[uint16]bool{},
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
	before := p.status
	if m.evaluate(env, p); p.status == before || p.late[who] { // else all have been told
		p.tell(env, who)
	}
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

func (m *Module) contacts() []*contact {
	return slices.SortedFunc(maps.Values(m.byID), func(a, b *contact) int {
		return cmp.Or(cmp.Compare(a.iface, b.iface), a.spec.Peer.Compare(b.spec.Peer), a.spec.Local.Compare(b.spec.Local))
	})
}

// evaluate brings a path's session in line with who watches it, the configuration and the interface.
func (m *Module) evaluate(env *core.Env, p *path) {
	if !m.wanted(p) {
		m.leave(env, p, "not watched")
		return
	}
	at, why := m.place(p)
	if why != "" {
		if p.contact == nil {
			m.set(env, p, liveness.Unknown, why)
		}
		return
	}
	if p.contact != nil && p.contact.spec.key() != at.key() {
		m.leave(env, p, "the path is another")
	}
	if p.contact == nil && !m.join(env, p, at) {
		return
	}
	m.adjust(env, p.contact)
}

// wanted tells whether anybody who watches a path has a session on it.
func (m *Module) wanted(p *path) bool {
	for _, w := range p.watchers {
		if m.counts(p, w) {
			return true
		}
	}
	return false
}

func (m *Module) counts(p *path, w liveness.Watch) bool {
	_, configured := m.interfaces[p.target.Interface]
	return configured || w.Interval > 0 || w.Always
}

// adjust has the engine keep the session as all who watch it want it together.
func (m *Module) adjust(env *core.Env, c *contact) {
	spec := c.spec
	spec.Interval, spec.Multiplier, spec.Passive, spec.MinTTL, spec.Demand = 0, 0, true, 0, 0
	for _, p := range c.paths {
		params := m.interfaces[p.target.Interface]
		for _, w := range p.watchers {
			if !m.counts(p, w) {
				continue
			}
			spec.Demand = both(spec.Demand, cmp.Or(w.Demand, params.Demand), spec.Interval == 0)
			spec.quicken(max(cmp.Or(w.Interval, params.Interval, DefaultInterval), LeastInterval),
				cmp.Or(w.Multiplier, params.Multiplier, DefaultMultiplier))
			spec.Passive = spec.Passive && w.Passive
			spec.MinTTL = max(spec.MinTTL, w.MinTTL)
		}
	}
	spec.MinTTL = cmp.Or(spec.MinTTL, defaultMinTTL)
	if spec != c.spec {
		c.spec = spec
		env.Emit(Set{spec})
	}
}

// both is the demand mode that one more who watches leaves: who wants to hear the peer all the time has it so.
func both(now, wanted time.Duration, first bool) time.Duration {
	switch {
	case first:
		return wanted
	case now == 0 || wanted == 0:
		return 0
	}
	return min(now, wanted)
}

// quicken takes an interval and a multiplier if they find a failure sooner than those there are.
func (s *Spec) quicken(interval time.Duration, multiplier uint8) {
	mine, its := time.Duration(s.Multiplier)*s.Interval, time.Duration(multiplier)*interval
	if s.Interval == 0 || its < mine || its == mine && interval < s.Interval {
		s.Interval, s.Multiplier = interval, multiplier
	}
}

// place says where packets go from and to; in words why that is not known.
func (m *Module) place(p *path) (s Spec, why string) {
	t := p.target
	s.Peer, s.Local, s.Multihop = t.Peer.WithZone(""), t.Local.WithZone(""), t.Multihop
	if t.Multihop {
		if !t.Local.IsValid() {
			return s, "watching over several hops needs a local address"
		}
		return s, ""
	}
	l, ok := m.links[t.Interface]
	if !ok {
		return s, fmt.Sprintf("there is no interface %s", t.Interface)
	}
	s.Index = l.Index
	if !s.Local.IsValid() {
		s.Local = localFor(l, s.Peer, p.local())
	}
	if !s.Local.IsValid() {
		return s, fmt.Sprintf("%s has no address to reach %s from", t.Interface, t.Peer)
	}
	return s, ""
}

// local is our address of the path's session.
func (p *path) local() netip.Addr {
	if p.contact == nil {
		return netip.Addr{}
	}
	return p.contact.spec.Local
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

// join gives a path the session that is there, or one of its own; false when there can be no more.
func (m *Module) join(env *core.Env, p *path, at Spec) bool {
	c := m.byKey[at.key()]
	if c == nil && len(m.byID) >= maxSessions {
		m.set(env, p, liveness.Unknown, fmt.Sprintf("there are %d sessions already, which is all that can be", maxSessions))
		return false
	}
	if c == nil {
		c = m.begin(env, at)
		c.iface, c.reason = p.target.Interface, unanswered
	}
	c.paths, p.contact = append(c.paths, p), c
	if c.status != liveness.Down {
		m.set(env, p, c.status, c.reason)
		return true
	}
	p.status, p.reason = c.status, c.reason
	for who := range p.watchers {
		p.late[who] = true
	}
	return true
}

// PrefixMask has the bits that the discriminators of a router have in common. Nobody but its peers knows them, so that
// whoever receives can tell what is for a session from what is not before it looks at it.
const PrefixMask = 0xffff0000

// begin makes a session with a discriminator and a source port that no other has.
func (m *Module) begin(env *core.Env, at Spec) *contact {
	for m.prefix == 0 {
		m.prefix = env.Rand().Uint32() & PrefixMask
	}
	id := m.prefix | env.Rand().Uint32()&^PrefixMask
	for m.byID[id] != nil {
		id = m.prefix | env.Rand().Uint32()&^PrefixMask
	}
	port := max(m.nextPort, FirstPort)
	for m.ports[port] {
		port = max(port+1, FirstPort) // which is 0 behind the last
	}
	at.ID, at.Port = id, port
	c := &contact{spec: at}
	m.nextPort, m.ports[port], m.byID[id], m.byKey[at.key()] = port+1, true, c, c
	return c
}

// leave takes a path from its session, which ends with the last.
func (m *Module) leave(env *core.Env, p *path, why string) {
	if c := p.contact; c != nil {
		p.contact = nil
		c.paths = slices.DeleteFunc(c.paths, func(other *path) bool { return other == p })
		if len(c.paths) > 0 {
			m.adjust(env, c)
		} else {
			m.end(env, c)
		}
	}
	m.set(env, p, liveness.Unknown, why)
}

func (m *Module) end(env *core.Env, c *contact) {
	env.Emit(Delete{c.spec.ID})
	delete(m.byID, c.spec.ID)
	delete(m.byKey, c.spec.key())
	delete(m.ports, c.spec.Port)
}

// report takes what an engine tells of a session.
func (m *Module) report(env *core.Env, r Report) {
	c := m.byID[r.ID]
	if c == nil {
		return // it has ended meanwhile
	}
	before := c.report
	c.report, m.interrupted = r, ""
	if r.State == Up && before.State != Up {
		c.upSince = env.Now()
	}
	if r.Status == liveness.Unknown && c.status == liveness.Down {
		return // of a new engine, which knows less than we do
	}
	if r.Status != c.status {
		m.become(env, c, r.Status, c.why(before))
	}
}

// become changes what is known of all paths of a session.
func (m *Module) become(env *core.Env, c *contact, status liveness.Status, reason string) {
	if c.reason = reason; c.status == status {
		return
	}
	c.status = status
	level := core.Info
	if status == liveness.Down {
		level = core.Warn
	}
	env.Log(level, status.String(), "peer", c.spec.Peer, "interface", c.iface, "cause", reason)
	for _, p := range c.paths {
		m.set(env, p, status, reason)
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

// lost takes that nothing is known of any path, but that what had failed has not been seen to work since. The reports stay:
// sessions resume from them.
func (m *Module) lost(env *core.Env, reason string) {
	if m.interrupted != reason { // what goes on trying says it each time
		env.Log(core.Warn, "interrupted", "sessions", len(m.byID), "cause", reason)
	}
	m.interrupted = reason
	for _, c := range m.contacts() {
		if c.status != liveness.Down {
			m.become(env, c, liveness.Unknown, reason)
		}
	}
}

// ready gives an engine that has begun every session, where the last one left it.
func (m *Module) ready(env *core.Env) {
	for _, c := range m.contacts() {
		s := c.spec
		if c.report.State == Up {
			s.Resume = c.report.Remote
		}
		env.Emit(Set{s})
	}
}
