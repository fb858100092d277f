package sim

import (
	"flag"
	"runtime"
	"testing"
	"time"
)

// Two hubs and their spokes with NHRP, OSPF and BFD: every router leads to every LAN by both hubs, by one when the other
// is killed, and by both again. The limits are of virtual time.
func TestConverge(t *testing.T) {
	const bfd = 300 * time.Millisecond
	for _, tt := range []struct {
		name string
		o    Options
	}{
		{"200 spokes that know their hubs", Options{Seed: 1, Spokes: 200, BFD: bfd, FloodOwn: true}},
		{"30 spokes that know everybody", Options{Seed: 2, Spokes: 30, BFD: bfd}},
		{"20 protected spokes, of a lossy network", Options{Seed: 3, Spokes: 20, BFD: bfd, FloodOwn: true, Protect: true, Loss: 0.01}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Converge(tt.o, func(stage string, took time.Duration) { t.Log(stage, took) })
			switch {
			case err != nil:
				t.Fatal(err)
			case r.Cold > time.Minute:
				t.Errorf("cold start took %v", r.Cold)
			case r.Lost > 2*time.Second:
				t.Errorf("the loss of a hub took %v", r.Lost)
			case r.Back > time.Minute:
				t.Errorf("the return of a hub took %v", r.Back)
			}
		})
	}
}

var (
	convergeSpokes = flag.Int("sim.spokes", 500, "spokes of BenchmarkConverge")
	convergeAll    = flag.Bool("sim.flood", false, "have BenchmarkConverge flood every LSA to every spoke")
)

// BenchmarkConverge is TestConverge with more spokes, by processor time.
func BenchmarkConverge(b *testing.B) {
	for b.Loop() {
		start, before := processor(), heap()
		r, err := Converge(Options{Seed: 1, Spokes: *convergeSpokes, FloodOwn: !*convergeAll, BFD: 300 * time.Millisecond}, func(stage string, took time.Duration) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.Logf("%s: %v of virtual time, %v of processor time so far, heap %d MiB", stage, took, processor()-start, (m.HeapAlloc-before)>>20)
		})
		if err != nil {
			b.Fatal(err)
		}
		used := (processor() - start).Seconds()
		b.ReportMetric(r.Cold.Seconds(), "cold-s")
		b.ReportMetric(r.Lost.Seconds(), "lost-s")
		b.ReportMetric(r.Back.Seconds(), "back-s")
		b.ReportMetric(r.Simulated.Seconds()/used, "simulated-s/s")
		b.ReportMetric(float64(r.Events)/used, "events/s")
	}
}
