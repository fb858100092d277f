package sim

import (
	"runtime"
	"testing"
	"time"
)

func TestBig(t *testing.T) {
	start := time.Now()
	o := Options{Seed: 1, Spokes: 1000, Duration: 2 * time.Minute, Loss: 0.01, Reorder: 0.02, Duplicate: 0.01, Partitions: 2, ClockSteps: 5, Freezes: 5, Restarts: 50, HubLoss: true}
	r := Play(o)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d events in %v, %v simulated, flows %+v, total alloc %d MB, sys %d", r.Events, time.Since(start), r.Simulated, r.Flows, m.TotalAlloc>>20, m.Sys>>20)
	for _, v := range r.Violations {
		t.Error(v)
	}
}
