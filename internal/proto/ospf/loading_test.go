package ospf

import (
	"fmt"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// RFC 2328 10.8, 10.9: a database of 10,000 LSAs is read over a path that loses packets, and not one retransmission interval
// after the other is waited for.
func TestLoadingOverALossyPath(t *testing.T) {
	for _, tt := range []struct {
		name    string
		updates float64 // of the neighbour, that are lost
		all     float64 // packets, either way
		within  time.Duration
	}{
		{"nothing is lost", 0, 0, time.Second},
		{"one update of a hundred", 0.01, 0, 3 * time.Second},
		{"one update of twenty", 0.05, 0, 8 * time.Second},
		{"one packet of fifty", 0, 0.02, 25 * time.Second}, // the first descriptions wait for the whole interval
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := withExternals(t, 10000, tt.updates)
			w.loss = tt.all
			a := w.routers["a"]
			w.until(time.Minute, func() bool { return a.states() > "2.2.2.2 e" && a.states() < "2.2.2.2 f" }) // since exstart
			took := w.until(5*time.Minute, func() bool { return a.states() == "2.2.2.2 full" })
			c := a.m.Counters()["ospf e0"]
			t.Logf("%v, %d requests, %d updates", took, c["sent-request"], c["received-update"])
			if took > tt.within {
				t.Errorf("the database was read in %v, want less than %v", took, tt.within)
			}
			if c["exchange-restarted"] > 0 {
				t.Errorf("the exchange began anew %d times", c["exchange-restarted"])
			}
			w.loss, w.lose = 0, nil
			w.run(time.Minute)
			w.wantEqual(0, "a", "b")
		})
	}
}

// withExternals is a pair of routers, the second with many externals, between which so many of its updates are lost. They
// are about to meet.
func withExternals(t *testing.T, many int, loss float64) *world {
	w := pair(t, 1, func(_, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	b := w.routers["b"]
	w.cut["s"] = true
	for i := range many {
		b.loop.Post("others", static(fmt.Sprintf("10.%d.%d.0/24", 16+i/256, i%256)))
	}
	w.run(5 * time.Second)
	w.cut["s"] = false
	w.lose = func(from *router, p core.SendIP) bool {
		return from == b && w.rand.Float64() < loss && isUpdate(p)
	}
	return w
}

func isUpdate(p core.SendIP) bool {
	_, ok := bodyOf[*wire.Update](p)
	return ok
}

// RFC 2328 13.3 step 1 b: what another neighbour floods is asked for no more, and if that was all of a request, the next one
// goes out, whether the first is answered or not. What one update of an answer has lost is asked for with what follows.
func TestRequestsGoOn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from     string // of the neighbours, by router ID
		first, n int    // LSAs of the request that come, in order
		want     string // the next request, by how many LSAs it has and the first of them
	}{
		{"another neighbour floods all of it", "8.8.8.8", 0, 121, "79 from 121"},
		{"another neighbour floods some of it", "8.8.8.8", 0, 120, ""},
		{"the neighbour answers all of it", "9.9.9.9", 0, 121, "79 from 121"},
		{"the neighbour answers the first half", "9.9.9.9", 0, 60, ""},
		{"the neighbour answers the second half", "9.9.9.9", 60, 61, "121 from 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", oneArea("1.1.1.1", p2mp("e0")), "e0 s 10.0.0.1/24")
			foes := map[string]*foe{"8.8.8.8": newFoe(a, "e0", "8.8.8.8", "10.0.0.8"), "9.9.9.9": newFoe(a, "e0", "9.9.9.9", "10.0.0.9")}
			foes["8.8.8.8"].befriend()
			f := foes["9.9.9.9"]
			f.greet()
			f.describe(wire.DDInit | wire.DDMore)
			var headers []wire.LSAHeader
			for k := range 200 {
				headers = append(headers, f.external(k, 16).LSAHeader)
			}
			f.master++
			f.describe(0, headers...)
			asked := ""
			w.spy = func(_ *router, p core.SendIP) {
				if q, ok := bodyOf[*wire.Request](p); ok {
					keys := q.Keys
					asked += fmt.Sprint(len(keys), " from ", keys[0].ID-headers[0].ID)
				}
			}
			for k := tt.first; k < tt.first+tt.n; k++ {
				foes[tt.from].say(&wire.Update{LSAs: []wire.LSA{f.external(k, 16)}})
			}
			if asked != tt.want {
				t.Errorf("asked for %q, want %q", asked, tt.want)
			}
		})
	}
}
