package ospf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// RFC 2328 12.4, 14: five thousand LSAs live for a day. Each is refreshed before it is too old, and they do not come all at
// once, however soon after each other they were originated.
func TestADayOfManyLSAs(t *testing.T) {
	const many = 5000
	w := pair(t, 1, func(_, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	a, b := w.routers["a"], w.routers["b"]
	for i := range many {
		b.loop.Post("others", static(fmt.Sprintf("10.%d.%d.0/24", 16+i/256, i%256)))
	}
	w.run(time.Minute)
	if n := strings.Count(a.routes(), "\n"); n < many {
		t.Fatalf("%d lines of routes after a minute, want %d", n, many)
	}
	refreshed, octets := 0, map[time.Duration]int{}
	w.spy = func(from *router, e core.SendIP) {
		p, err := wire.Parse(wire.V2, e.Payload, e.Source, e.Destination)
		if err != nil {
			t.Fatal(err)
		}
		if u, ok := p.Body.(*wire.Update); ok && from == b {
			refreshed += len(u.LSAs)
			octets[w.now.Truncate(time.Second)] += len(e.Payload)
		}
	}
	w.run(24 * time.Hour)
	w.wantEqual(0, "a", "b")
	w.wantStates("a", "2.2.2.2 full")
	if n := strings.Count(a.routes(), "\n"); n < many {
		t.Errorf("%d lines of routes a day later, want %d", n, many)
	}
	if refreshed < 48*many || refreshed > 55*many {
		t.Errorf("%d LSAs sent in a day: want each every 27 to 30 minutes", refreshed)
	}
	most := 0
	for _, n := range octets {
		most = max(most, n)
	}
	if most > 20_000 {
		t.Errorf("%d octets of updates in one second: refreshes come in a burst", most)
	}
	if n := a.m.Neighbors(w.now)[0].Events; n > 8 {
		t.Errorf("the neighbour changed its state %d times", n)
	}
}

// RFC 2328 13 step 5a: others discard within MinLSArrival of an LSA what says that it is gone, so it is not said so soon, and
// not at all of what is wanted again by then.
func TestFlushIsTaken(t *testing.T) {
	w := pair(t, 1, func(_, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	b := w.routers["b"]
	w.run(time.Minute)
	external := func(r *router, p core.SendIP) (ages []uint16) {
		if u, ok := bodyOf[*wire.Update](p); ok && r == b {
			for _, l := range u.LSAs {
				if l.Function(wire.V2) == wire.FunctionExternal {
					ages = append(ages, l.Age)
				}
			}
		}
		return ages
	}
	for _, again := range []bool{false, true} {
		var sent, flushed int
		var first, last time.Duration
		w.spy = func(from *router, p core.SendIP) {
			for _, age := range external(from, p) {
				if sent++; sent == 1 {
					first = w.now
				}
				if age == wire.MaxAge {
					flushed++
					last = w.now
				}
			}
		}
		route := static("172.16.0.0/16")
		b.loop.Post("others", route)
		w.until(10*time.Second, func() bool { return sent > 0 })
		b.loop.Post("others", route.Key())
		w.run(500 * time.Millisecond)
		if again {
			b.loop.Post("others", route)
		}
		w.run(time.Minute)
		switch {
		case again && (sent != 1 || flushed != 0):
			t.Errorf("wanted again: sent %d times, %d times at MaxAge", sent, flushed)
		case !again && (sent != 2 || flushed != 1 || last-first <= wire.MinLSArrival || last-first > 2*time.Second):
			t.Errorf("sent %d times, %d times at MaxAge, %v after the first", sent, flushed, last-first)
		}
		w.spy = nil
		b.loop.Post("others", route.Key())
		w.run(time.Minute)
	}
}

// RFC 2328 13.1: what was flushed and is originated again has a higher sequence number, since others may still hold what was
// flushed, which would be newer than an instance of the same number.
func TestOriginatedAgainIsNewer(t *testing.T) {
	w := pair(t, 1, func(_, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	b := w.routers["b"]
	route := static("172.16.0.0/16")
	for n, want := range []string{"0x80000001", "0x80000002", "0x80000003"} {
		b.loop.Post("others", route)
		w.run(time.Minute)
		var got []string
		for _, d := range w.routers["a"].m.Database(w.now) {
			if d.LSAScope == wire.ScopeAS {
				got = append(got, d.Sequence)
			}
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("time %d: sequence numbers %v, want %s", n+1, got, want)
		}
		b.loop.Post("others", route.Key())
		w.run(time.Minute)
	}
}
