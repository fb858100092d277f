package sim

import (
	"testing"
	"time"
)

func TestFaultFree(t *testing.T) {
	start := time.Now()
	r := Play(Options{Seed: 1, Spokes: 40})
	t.Logf("%d events in %v, %v simulated, flows %+v", r.Events, time.Since(start), r.Simulated, r.Flows)
	for _, v := range r.Violations {
		t.Error(v)
	}
	if r.Flows.Sent != r.Flows.Answered {
		t.Errorf("%+v", r.Flows)
	}
}
