package sim

import (
	"testing"
	"time"
)

func TestFaults(t *testing.T) {
	bad := 0
	for seed := uint64(1); seed <= 30 && bad < 6; seed++ {
		start := time.Now()
		r := Play(Options{Seed: seed, Spokes: 30, Loss: 0.05, Reorder: 0.05, Duplicate: 0.02, Partitions: 3, ClockSteps: 3, Freezes: 3, Restarts: 8, Moves: int(seed % 4), HubLoss: seed%2 == 0, Phase2: seed%5 == 0, IPv6: seed%3 == 0})
		t.Logf("seed %d: %d events in %v, %v simulated, flows %+v", seed, r.Events, time.Since(start), r.Simulated, r.Flows)
		if len(r.Violations) > 0 {
			bad++
			t.Error(r.Options.Command())
		}
		for _, v := range r.Violations[:min(4, len(r.Violations))] {
			t.Error(v)
		}
	}
}
