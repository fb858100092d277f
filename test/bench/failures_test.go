package main

import (
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/failover"
)

func TestFailuresAreToldByKindAndFlow(t *testing.T) {
	n := failover.Networks()[0]
	all := wantedKinds(options{only: "hub killed"}, n)
	if len(all) != 1 || all[0].kind.Name != "hub killed" {
		t.Fatalf("%d kinds are wanted", len(all))
	}
	for k := range 10 {
		trial := failover.Trial{Turned: time.Duration(k+1) * 100 * time.Millisecond, Returned: 3 * time.Second}
		for range all[0].kind.Flows {
			trial.Failed = append(trial.Failed, failover.Cost{Lost: 10 * (k + 1), Outage: time.Duration(20*(k+1)) * time.Millisecond})
			trial.Back = append(trial.Back, failover.Cost{Lost: max(0, k-7)})
		}
		all[0].trials = append(all[0].trials, trial)
	}
	lost := lostTable(all)
	want := []string{"hub killed", "spoke to centre", "55.0", "90.0", "100", "110", "180", "200", "2 of 10", "2.00"}
	if len(lost.Rows) != len(all[0].kind.Flows) || !slices.Equal(lost.Rows[0], want) || len(lost.Columns) != len(want) {
		t.Errorf("%q of %q, want %q", lost.Rows, lost.Columns, want)
	}
	settled := settledTable(all)
	if want := []string{"hub killed", "two-hubs-two-clouds", "0.55", "0.90", "1.00", "3.00", "3.00", "3.00", "10"}; !slices.Equal(settled.Rows[0], want) || len(settled.Columns) != len(want) {
		t.Errorf("%q of %q, want %q", settled.Rows[0], settled.Columns, want)
	}
}
