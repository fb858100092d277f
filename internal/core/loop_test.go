package core

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/rib"
)

// tape is an edge that writes down what it was told.
type tape struct{ done []string }

func (t *tape) Do(e Effect) { t.done = append(t.done, fmt.Sprint(e)) }

// script is a module whose handler is given by the test.
type script struct {
	name    string
	handle  func(env *Env, ev Event)
	recover func(env *Env, ev Event)
}

func (s *script) Name() string { return s.name }

func (s *script) Handle(env *Env, ev Event) {
	if s.handle != nil {
		s.handle(env, ev)
	}
}

// listener is a script that wants routes.
type listener struct{ script }

func (*listener) WantsRoutes() {}

// mender is a script that recovers.
type mender struct{ script }

func (m *mender) Recover(env *Env, ev Event) { m.recover(env, ev) }

func newLoop(edge Edge) *Loop { return NewLoop(0, rand.New(rand.NewPCG(1, 2)), edge) }

// started adds the modules, runs their Start, and forgets what came of it.
func started(edge *tape, modules ...Module) *Loop {
	l := newLoop(edge)
	for _, m := range modules {
		l.Add(m, Start{})
	}
	l.Run(0)
	edge.done = nil
	return l
}

func (t *tape) want(tt *testing.T, want ...string) {
	tt.Helper()
	if !slices.Equal(t.done, want) {
		tt.Errorf("got  %v\nwant %v", t.done, want)
	}
}

func TestEventsAreHandledInTheOrderTheyWerePosted(t *testing.T) {
	edge := &tape{}
	a, b := &script{name: "a"}, &script{name: "b"}
	a.handle = func(env *Env, ev Event) {
		env.Emit(fmt.Sprint("a:", ev))
		if ev == "one" {
			env.Request("b", "q") // behind what is queued already
		}
	}
	b.handle = func(env *Env, ev Event) { env.Emit(fmt.Sprint("b:", ev)) }
	l := started(edge, a, b)
	l.Post("a", "one")
	l.Post("b", "two")
	l.Broadcast("three")
	l.Post("nobody", "lost")
	l.Run(0)
	edge.want(t, "a:one", "b:two", "a:three", "b:three", "b:{a q}")
}

func TestStartComesFirstWithWhatWasStored(t *testing.T) {
	edge := &tape{}
	l := newLoop(edge)
	l.Add(&script{name: "a", handle: func(env *Env, ev Event) { env.Emit(ev) }}, Start{Stored: map[string]string{"id": "7"}})
	l.Post("a", "next")
	l.Run(0)
	edge.want(t, "{map[id:7]}", "next")
}

func TestEffectsAreDoneAfterTheHandlerAndBeforeTheNext(t *testing.T) {
	edge := &tape{}
	a := &script{name: "a"}
	a.handle = func(env *Env, ev Event) {
		before := len(edge.done)
		env.Emit("x", "y")
		if len(edge.done) != before {
			t.Error("an effect was done inside the handler")
		}
	}
	l := started(edge, a)
	var after []int
	l.After = func(module string, ev Event) { after = append(after, len(edge.done)) }
	l.Post("a", 1)
	l.Post("a", 2)
	l.Run(0)
	edge.want(t, "x", "y", "x", "y")
	if !slices.Equal(after, []int{2, 4}) {
		t.Errorf("After saw %v effects", after)
	}
}

func TestHandlersAreNeverReentered(t *testing.T) {
	inside := false
	a := &script{name: "a"}
	a.handle = func(env *Env, ev Event) {
		if inside {
			t.Error("entered again")
		}
		inside = true
		defer func() { inside = false }()
		if n, ok := ev.(int); ok && n > 0 {
			env.Request("a", n-1)
			env.Notify("a", n-1)
			env.Publish(n)
		}
		if r, ok := ev.(Request); ok && r.Body.(int) > 0 {
			env.Request("a", r.Body.(int)-1)
		}
	}
	l := started(&tape{}, a)
	l.Post("a", 5)
	l.Run(0)
}

func TestPublishReachesAllOthers(t *testing.T) {
	edge := &tape{}
	say := func(name string) *script {
		return &script{name: name, handle: func(env *Env, ev Event) {
			if ev == "go" {
				env.Publish("news")
				return
			}
			env.Emit(fmt.Sprint(name, ":", ev))
		}}
	}
	l := started(edge, say("a"), say("b"), say("c"))
	l.Post("b", "go")
	l.Run(0)
	edge.want(t, "a:{b news}", "c:{b news}")
}

func TestTwoModulesOfOneNameAreABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("accepted")
		}
	}()
	started(&tape{}, &script{name: "a"}, &script{name: "a"})
}

// armer arms timers when told "arm", and writes down which expire when.
func armer(timers map[*Timer]time.Duration, order ...*Timer) *script {
	return &script{name: "a", handle: func(env *Env, ev Event) {
		switch ev := ev.(type) {
		case string:
			for _, t := range order {
				env.Arm(t, timers[t])
			}
		case Expired:
			env.Emit(fmt.Sprint(ev.Timer.Name, "@", env.Now()))
		}
	}}
}

func TestTimersExpireByDeadlineThenByTheOrderOfArming(t *testing.T) {
	edge := &tape{}
	x, y, z, w := &Timer{Name: "x"}, &Timer{Name: "y"}, &Timer{Name: "z"}, &Timer{Name: "w"}
	a := armer(map[*Timer]time.Duration{x: 2, y: 1, z: 2, w: 2}, w, x, y, z)
	l := started(edge, a)
	l.Post("a", "arm")
	l.Run(0)
	if at, ok := l.Next(); !ok || at != 1 {
		t.Errorf("next is %v, %v", at, ok)
	}
	l.Run(1)
	edge.want(t, "y@1ns")
	l.Run(5)
	edge.want(t, "y@1ns", "w@5ns", "x@5ns", "z@5ns")
	if _, ok := l.Next(); ok {
		t.Error("a timer is left")
	}
}

func TestEqualDeadlinesReplayAlikeWhateverTheHeap(t *testing.T) {
	for n := range 50 {
		edge := &tape{}
		var order []*Timer
		var want []string
		deadlines := map[*Timer]time.Duration{}
		for i := range n {
			tm := &Timer{Name: fmt.Sprint(i)}
			order, deadlines[tm] = append(order, tm), 7
			want = append(want, tm.Name+"@7ns")
		}
		l := started(edge, armer(deadlines, order...))
		l.Post("a", "arm")
		l.Run(0)
		l.Run(7)
		edge.want(t, want...)
	}
}

func TestArmAgainMovesTheDeadline(t *testing.T) {
	edge := &tape{}
	x := &Timer{Name: "x"}
	d := map[*Timer]time.Duration{x: 10}
	l := started(edge, armer(d, x))
	l.Post("a", "arm")
	l.Run(0)
	d[x] = 20
	l.Post("a", "arm")
	l.Run(5)
	l.Run(24)
	edge.want(t)
	if !x.Armed() || x.At() != 25 {
		t.Errorf("armed %v at %v", x.Armed(), x.At())
	}
	l.Run(25)
	edge.want(t, "x@25ns")
	if x.Armed() {
		t.Error("armed after it expired")
	}
}

func TestNegativeDelayIsNow(t *testing.T) {
	edge := &tape{}
	x := &Timer{Name: "x"}
	l := started(edge, armer(map[*Timer]time.Duration{x: -5}, x))
	l.Post("a", "arm")
	l.Run(3)
	edge.want(t, "x@3ns")
}

func TestStopDisarms(t *testing.T) {
	edge := &tape{}
	x, y, z := &Timer{Name: "x"}, &Timer{Name: "y"}, &Timer{Name: "z"}
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		switch ev := ev.(type) {
		case string:
			env.Arm(x, 1)
			env.Arm(y, 1)
			env.Arm(z, 2)
		case Expired:
			env.Emit(ev.Timer.Name)
			env.Stop(y) // due at the same time, and not to be heard of any more
			env.Stop(y)
			env.Stop(&Timer{})
		}
	}}
	l := started(edge, a)
	l.Post("a", "arm")
	l.Run(0)
	l.Run(1)
	edge.want(t, "x")
	if x.Armed() || y.Armed() || !z.Armed() {
		t.Errorf("armed: %v %v %v", x.Armed(), y.Armed(), z.Armed())
	}
	var left []string
	l.Timers(func(module string, tm *Timer) { left = append(left, module+"/"+tm.Name) })
	if !slices.Equal(left, []string{"a/z"}) {
		t.Errorf("left: %v", left)
	}
}

func TestATimerMayArmItselfInItsHandler(t *testing.T) {
	edge := &tape{}
	x := &Timer{Name: "x"}
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		env.Arm(x, 10)
		if _, ok := ev.(Expired); ok {
			env.Emit(env.Now())
		}
	}}
	l := started(edge, a)
	for now := time.Duration(0); now <= 30; now += 5 {
		l.Run(now)
	}
	edge.want(t, "10ns", "20ns", "30ns")
}

// What an expiry posts is handled before the next timer that is due, so that causes precede effects.
func TestEventsGoBeforeTimersThatAreDue(t *testing.T) {
	edge := &tape{}
	x, y := &Timer{Name: "x"}, &Timer{Name: "y"}
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		switch ev := ev.(type) {
		case Start:
			env.Arm(x, 1)
			env.Arm(y, 1)
		case Expired:
			env.Emit(ev.Timer.Name)
			env.Request("a", "after "+ev.Timer.Name)
		case Request:
			env.Emit(ev.Body)
		}
	}}
	l := started(edge, a)
	l.Run(1)
	edge.want(t, "x", "after x", "y", "after y")
}

func TestTimeNeverGoesBack(t *testing.T) {
	l := started(&tape{})
	l.Run(10)
	l.Run(5)
	if l.Now() != 10 {
		t.Errorf("now %v", l.Now())
	}
}

func TestAPanicEndsTheEventAndNotTheRouter(t *testing.T) {
	edge := &tape{}
	a := &mender{script{name: "a"}}
	a.handle = func(env *Env, ev Event) {
		env.Emit("a:", ev)
		if ev == "bad" {
			var p *Timer
			_ = p.Name
		}
	}
	a.recover = func(env *Env, ev Event) { env.Emit(fmt.Sprint("mended after ", ev)) }
	b := &script{name: "b", handle: func(env *Env, ev Event) { env.Emit("b:", ev) }}
	l := started(edge, a, b)
	var logged []string
	l.Log = func(level Level, event string, args []any) {
		logged = append(logged, fmt.Sprint(level, " ", event, " ", strings.Contains(fmt.Sprint(args), "nil pointer")))
	}
	l.Post("a", "bad")
	l.Post("b", "good")
	l.Post("a", "good")
	l.Run(0)
	edge.want(t, "a:", "bad", "mended after bad", "b:", "good", "a:", "good")
	if l.Panics["a"] != 1 || l.Panics["b"] != 0 || !slices.Equal(logged, []string{"8 a.panic true"}) {
		t.Errorf("counted %v, logged %v", l.Panics, logged)
	}
}

// A module that fails where it should mend is counted too; the others go on.
func TestAPanicInRecoverIsCaught(t *testing.T) {
	edge := &tape{}
	a := &mender{script{name: "a", handle: func(*Env, Event) { panic("first") }}}
	a.recover = func(*Env, Event) { panic("second") }
	b := &script{name: "b", handle: func(env *Env, ev Event) { env.Emit("b:", ev) }}
	l := newLoop(edge)
	l.Add(b, Start{})
	l.Run(0)
	edge.done = nil
	l.Add(a, Start{})
	l.Post("b", "good")
	l.Run(0)
	edge.want(t, "b:", "good")
	if l.Panics["a"] != 2 {
		t.Errorf("counted %v", l.Panics)
	}
}

func TestRouteChangesReachSubscribersOnce(t *testing.T) {
	edge := &tape{}
	p := netip.MustParsePrefix("192.0.2.0/24")
	r := rib.Route{Prefix: p, Protocol: rib.Static, Distance: 1, NextHops: []rib.NextHop{{Interface: "eth0"}}}
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		switch ev {
		case "add":
			env.Route(r)
		case "remove":
			env.Unroute(r.Key())
		}
		if _, ok := ev.(rib.Change); ok {
			t.Error("told of a route without asking")
		}
	}}
	b := &listener{script{name: "b", handle: func(env *Env, ev Event) {
		if c, ok := ev.(rib.Change); ok {
			env.Emit(fmt.Sprint(c.Prefix, " ", c.Old != nil, " ", c.New != nil))
		}
	}}}
	l := started(edge, a, b)
	for _, ev := range []string{"add", "add", "remove", "remove"} {
		l.Post("a", ev)
	}
	l.Run(0)
	edge.want(t, "192.0.2.0/24 false true", "192.0.2.0/24 true false")
}

func TestRoutesCarryTheTimeTheyChanged(t *testing.T) {
	p := netip.MustParsePrefix("192.0.2.0/24")
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		if hop, ok := ev.(string); ok {
			env.Route(rib.Route{Prefix: p, Protocol: rib.Static, NextHops: []rib.NextHop{{Interface: hop}}})
		}
	}}
	l := started(&tape{}, a)
	for i, hop := range []string{"eth0", "eth0", "eth1"} {
		l.Post("a", hop)
		l.Run(time.Duration(i+1) * time.Second)
		got, _ := l.RIB().Get("", p)
		if want := []time.Duration{1, 1, 3}[i] * time.Second; got.Since != want {
			t.Errorf("after %q: since %v, want %v", hop, got.Since, want)
		}
	}
}

func TestJitterStaysInItsPart(t *testing.T) {
	a := &script{name: "a", handle: func(env *Env, ev Event) {
		for range 1000 {
			if d := env.Jitter(time.Second, 0.25); d < 750*time.Millisecond || d > time.Second {
				t.Fatalf("%v", d)
			}
		}
	}}
	started(&tape{}, a)
}

// One seed gives one trace.
func TestReplay(t *testing.T) {
	run := func() []string {
		edge := &tape{}
		timers := make([]*Timer, 20)
		a := &script{name: "a", handle: func(env *Env, ev Event) {
			if x, ok := ev.(Expired); ok {
				env.Emit(x.Timer.Name, env.Now())
				env.Stop(timers[env.Rand().IntN(len(timers))])
			}
			for range 2 {
				env.Arm(timers[env.Rand().IntN(len(timers))], time.Duration(env.Rand().IntN(10)+1))
			}
		}}
		for i := range timers {
			timers[i] = &Timer{Name: fmt.Sprint("t", i)}
		}
		l := started(edge, a)
		for range 500 {
			at, _ := l.Next()
			l.Run(at)
		}
		return edge.done
	}
	if a, b := run(), run(); !slices.Equal(a, b) || len(a) < 500 {
		t.Errorf("two runs of one seed differ, or are short: %d and %d", len(a), len(b))
	}
}

func TestLoopGivesBackTheMemoryOfABurst(t *testing.T) {
	l := newLoop(&tape{})
	seen := 0
	l.Add(&script{name: "a", handle: func(*Env, Event) { seen++ }}, Start{})
	for range 3 * keptQueue {
		l.Post("a", Stop{})
	}
	l.Run(0)
	if seen != 3*keptQueue+1 || cap(l.queue) > keptQueue {
		t.Errorf("handled %d events and kept room for %d, want %d and at most %d", seen, cap(l.queue), 3*keptQueue+1, keptQueue)
	}
}
