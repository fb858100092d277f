package sim

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkThousandSpokes is two hubs and 1,000 spokes: registering, refreshing every 20 s, and 2,000 flows between
// LANs in two minutes. Invariants are not checked meanwhile. Rates are per second of processor time, garbage
// collection included, so that a busy machine does not show in them.
func BenchmarkThousandSpokes(b *testing.B) {
	var events int
	var simulated time.Duration
	var bytes uint64
	start := processor()
	for b.Loop() {
		before := heap()
		c := generate(Options{Seed: 1, Spokes: 1000, Duration: 2 * time.Minute})
		c.boot()
		c.trouble()
		c.run(c.Duration)
		bytes = heap() - before
		events, simulated = events+c.world.events, simulated+c.world.Now()
		runtime.KeepAlive(c)
	}
	used := (processor() - start).Seconds()
	b.ReportMetric(float64(events)/used, "events/s")
	b.ReportMetric(simulated.Seconds()/used, "simulated-s/s")
	b.ReportMetric(float64(bytes)/1002, "B/router")
}

func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
