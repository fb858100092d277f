package router

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/static"
)

type deaf struct{}

func (deaf) Do(core.Effect) {}

// BenchmarkShowRoutes is `show routes` with 100,000 routes: ns/op is the whole of it, ms/stop how long the loop stands still
// at most.
func BenchmarkShowRoutes(b *testing.B) {
	l := core.NewLoop(0, mathrand.New(mathrand.NewPCG(1, 1)), deaf{})
	v := View{Loop: l, Modules: Assemble(l, nil, rand.Reader)}
	var c static.Configure
	for i := range 100_000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		c.Routes = append(c.Routes, static.Route{To: p, Blackhole: true})
	}
	l.Post(static.Name, core.Request{Body: c})
	l.Run(0)
	longest, first := time.Duration(0), time.Hour
	timed := func(f func()) {
		begin := time.Now()
		f()
		longest = max(longest, time.Since(begin))
	}
	for b.Loop() {
		var places []place
		begin := time.Now()
		timed(func() { places = v.places() })
		first = min(first, time.Since(begin))
		sortPlaces(places)
		n := 0
		for some := range slices.Chunk(places, placesAtOnce) {
			timed(func() { n += len(v.routesAt(some)) })
		}
		if n != 100_000 {
			b.Fatalf("%d rows", n)
		}
	}
	b.ReportMetric(float64(first.Microseconds())/1000, "ms/list")
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms/stop")
}
