package core

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/spokeway/spokeway/internal/rib"
)

// Loop is a router: modules around one queue of events. Its methods belong to one goroutine.
type Loop struct {
	// Log receives what modules log. It may be nil.
	Log func(level Level, event string, args []any)
	// After is called when an event has been handled and its effects are done. It may be nil.
	After func(module string, ev Event)
	// Clock is the wall clock, for what is dated by it, such as certificates. Without one it is the Unix epoch at time 0.
	Clock func() time.Time
	// Panics counts events whose handler failed, by module.
	Panics map[string]int

	now     time.Duration
	rand    *rand.Rand
	rib     *rib.RIB
	edge    Edge
	modules []*module
	byName  map[string]*module
	queue   []item
	head    int
	timers  timers
	seq     uint64
	effects []Effect
}

type module struct {
	Module
	env    Env
	routes bool // wants rib.Change
}

type item struct {
	to *module
	ev Event
}

// Recoverer is a module that can end the one session an event belongs to, after the handling of it panicked.
type Recoverer interface {
	Recover(env *Env, ev Event)
}

// RouteSubscriber is a module that wants every [rib.Change].
type RouteSubscriber interface {
	WantsRoutes()
}

// NewLoop makes a router without modules, at time now.
func NewLoop(now time.Duration, rnd *rand.Rand, edge Edge) *Loop {
	return &Loop{
		now: now, rand: rnd, edge: edge, rib: rib.New(),
		byName: map[string]*module{}, Panics: map[string]int{},
	}
}

// Add makes m part of the router and queues its [Start].
func (l *Loop) Add(m Module, start Start) {
	if l.byName[m.Name()] != nil {
		panic("core: two modules named " + m.Name())
	}
	_, routes := m.(RouteSubscriber)
	mod := &module{Module: m, routes: routes}
	mod.env = Env{loop: l, module: mod}
	l.modules = append(l.modules, mod)
	l.byName[m.Name()] = mod
	l.queue = append(l.queue, item{mod, start})
}

// RIB is the router's routing table.
func (l *Loop) RIB() *rib.RIB { return l.rib }

// Now is the time of the last [Loop.Run].
func (l *Loop) Now() time.Duration { return l.now }

// Post queues an event for one module. It is dropped when there is no such module.
func (l *Loop) Post(to string, ev Event) {
	if m := l.byName[to]; m != nil {
		l.queue = append(l.queue, item{m, ev})
	}
}

// Broadcast queues an event for every module, in the order they were added.
func (l *Loop) Broadcast(ev Event) {
	for _, m := range l.modules {
		l.queue = append(l.queue, item{m, ev})
	}
}

// Run advances the time to now and handles every event queued and every timer due, until none is left.
func (l *Loop) Run(now time.Duration) {
	l.now = max(l.now, now)
	for {
		l.drain()
		if len(l.timers) == 0 || l.timers[0].at > l.now {
			return
		}
		t := heap.Pop(&l.timers).(*Timer)
		l.handle(t.module, Expired{t})
	}
}

func (l *Loop) drain() {
	for l.head < len(l.queue) {
		it := l.queue[l.head]
		l.queue[l.head] = item{}
		l.head++
		l.handle(it.to, it.ev)
	}
	l.queue, l.head = l.queue[:0], 0
	if cap(l.queue) > keptQueue {
		l.queue = nil
	}
}

// keptQueue is the longest queue whose memory is kept for the next: thousands of spokes may come at once, and then not
// again for hours.
const keptQueue = 4096

// Next is the deadline of the earliest timer; false when none is armed.
func (l *Loop) Next() (time.Duration, bool) {
	if len(l.timers) == 0 {
		return 0, false
	}
	return l.timers[0].at, true
}

// Timers calls f for every armed timer, in no order.
func (l *Loop) Timers(f func(module string, t *Timer)) {
	for _, t := range l.timers {
		f(t.module.Name(), t)
	}
}

func (l *Loop) handle(m *module, ev Event) {
	if !l.try(m.Handle, &m.env, ev) {
		if r, ok := m.Module.(Recoverer); ok {
			l.try(r.Recover, &m.env, ev)
		}
	}
	for i := 0; i < len(l.effects); i++ {
		l.edge.Do(l.effects[i])
		l.effects[i] = nil
	}
	l.effects = l.effects[:0]
	if l.After != nil {
		l.After(m.Name(), ev)
	}
}

// try keeps a bug in one handler from ending the router: it is counted and logged. It reports whether there was none.
func (l *Loop) try(handle func(*Env, Event), env *Env, ev Event) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			l.Panics[env.module.Name()]++
			env.Log(Error, "panic", "event", fmt.Sprintf("%T", ev), "cause", fmt.Sprint(r), "stack", string(debug.Stack()))
			ok = false
		}
	}()
	handle(env, ev)
	return true
}

func (l *Loop) changed(c rib.Change, ok bool) {
	if !ok {
		return
	}
	var ev Event = c // one for all of them
	for _, m := range l.modules {
		if m.routes {
			l.queue = append(l.queue, item{m, ev})
		}
	}
}
