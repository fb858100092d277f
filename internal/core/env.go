package core

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/spokeway/spokeway/internal/rib"
)

// Env is what a module may see and do while it handles one event. It is valid until Handle returns.
type Env struct {
	loop   *Loop
	module *module
}

// Now is the time since the edge's epoch. It never goes back and knows nothing of the wall clock.
func (e *Env) Now() time.Duration { return e.loop.now }

// Wall is the time of day, which can be wrong and can jump: for dates that others wrote, never for waiting.
func (e *Env) Wall() time.Time {
	if e.loop.Clock != nil {
		return e.loop.Clock()
	}
	return time.Unix(0, 0).UTC().Add(e.loop.now)
}

// Rand is the router's one source of chance.
func (e *Env) Rand() *rand.Rand { return e.loop.rand }

// Jitter draws a duration from [d·(1-part), d].
func (e *Env) Jitter(d time.Duration, part float64) time.Duration {
	return d - time.Duration(e.loop.rand.Float64()*part*float64(d))
}

// RIB is for reading; changes go through [Env.Route] and [Env.Unroute].
func (e *Env) RIB() *rib.RIB { return e.loop.rib }

// Emit hands effects to the edge, in order, once Handle has returned.
func (e *Env) Emit(effects ...Effect) { e.loop.effects = append(e.loop.effects, effects...) }

// Route adds or replaces this module's route for the prefix. Subscribers hear of a change as [rib.Change].
func (e *Env) Route(r rib.Route) {
	r.Since = e.loop.now
	e.loop.changed(e.loop.rib.Set(r))
}

// Unroute removes what Route added under the same key.
func (e *Env) Unroute(k rib.Key) { e.loop.changed(e.loop.rib.Delete(k)) }

// Arm sets t to expire after d, wherever it stood before.
func (e *Env) Arm(t *Timer, d time.Duration) {
	l := e.loop
	l.timers.stop(t)
	l.seq++
	t.at, t.seq, t.module = l.now+max(d, 0), l.seq, e.module
	heap.Push(&l.timers, t)
}

// Stop disarms t.
func (e *Env) Stop(t *Timer) { e.loop.timers.stop(t) }

// Request asks another module; nothing happens when there is none of that name.
func (e *Env) Request(to string, body any) {
	e.loop.Post(to, Request{From: e.module.Name(), Body: body})
}

// Notify tells another module.
func (e *Env) Notify(to string, body any) {
	e.loop.Post(to, Notice{From: e.module.Name(), Body: body})
}

// Publish tells every module, this one excepted.
func (e *Env) Publish(body any) {
	var n Event = Notice{From: e.module.Name(), Body: body} // one for all of them
	for _, m := range e.loop.modules {
		if m != e.module {
			e.loop.queue = append(e.loop.queue, item{m, n})
		}
	}
}

// Log records one line for people: a stable event name and key-value pairs, as log/slog takes them.
func (e *Env) Log(level Level, event string, args ...any) {
	if e.loop.Log != nil {
		e.loop.Log(level, e.module.Name()+"."+event, args)
	}
}

// Level is the weight of a log line; the values are log/slog's.
type Level int

const (
	Debug Level = -4
	Info  Level = 0
	Warn  Level = 4
	Error Level = 8
)
