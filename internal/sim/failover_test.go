package sim

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/failover"
)

// BenchmarkFailover breaks the networks of the day in each way at different moments, in each variant, repairs them, and tells in
// virtual time how many packets of a millisecond's stream are lost, and how long the kernels' routes took. What must not be lost is
// an error, and so is an outage that is longer than the variant promises.
func BenchmarkFailover(b *testing.B) {
	for _, variant := range []string{"bfd", "timers"} {
		for _, net := range failover.Networks() {
			for _, kind := range net.Kinds {
				b.Run(variant+"/"+strings.ReplaceAll(kind.Name, " ", "-"), func(b *testing.B) {
					for range b.N {
						reportFailures(b, variant, net, kind)
					}
				})
			}
		}
	}
}

var failures = flag.Int("sim.failures", 50, "moments that BenchmarkFailover looks at, for each kind of failure")

// closely has each flow of a train send a packet each millisecond after a failure, and one of them after its repair, when none may
// be lost.
var closely = failover.Pace{
	Every: time.Millisecond / failover.FlowsOfTrain, Back: time.Millisecond, Turn: time.Millisecond, Return: 10 * time.Millisecond, Settle: 4 * time.Second,
}

// outages are the longest that an established flow may be out, by variant.
var outages = map[string]time.Duration{"bfd": 300 * time.Millisecond, "timers": 8 * time.Second}

// trial is one moment.
type trial struct {
	failover.Trial
	cold time.Duration
	err  error
}

func reportFailures(b *testing.B, variant string, net failover.Network, kind failover.Kind) {
	trials := make([]trial, *failures)
	var hands sync.WaitGroup
	for hand := range runtime.GOMAXPROCS(0) {
		hands.Go(func() {
			for k := hand; k < *failures; k += runtime.GOMAXPROCS(0) {
				trials[k] = failOnce(variant, net, kind, k)
			}
		})
	}
	hands.Wait()
	for k, t := range trials {
		if t.err != nil {
			b.Fatalf("seed %d: %v", k+1, t.err)
		}
		judge(b, k, variant, kind, t)
	}
	report(b, kind, trials)
}

// failOnce is a failure and its repair in a world of its own. The moment shifts, so that timers of 50 ms and of seconds stand
// elsewhere each time.
func failOnce(variant string, net failover.Network, kind failover.Kind, k int) (t trial) {
	f, err := net.Load("../../examples/lab", variant)
	if err != nil {
		return trial{err: err}
	}
	s := NewStage(uint64(k + 1))
	if t.err = s.Up(f); t.err != nil {
		return t
	}
	run, cold, err := failover.Begin(s, f, net, closely)
	if err != nil {
		return trial{err: err}
	}
	defer run.End()
	t.cold = cold
	t.Trial, t.err = run.Try(kind, 2*time.Second+time.Duration(k)*137*time.Millisecond%(2*time.Second))
	return t
}

// judge holds a moment against what is promised.
func judge(b *testing.B, k int, variant string, kind failover.Kind, t trial) {
	for i, flow := range kind.Flows {
		failed, back := t.Failed[i], t.Back[i]
		if flow.Kept && failed.Lost > 0 || failed.Outage > outages[variant] {
			b.Errorf("seed %d: %s: %d lost, out for %v", k+1, flow.Name, failed.Lost, failed.Outage)
		}
		if back.Lost > 0 {
			b.Errorf("seed %d: repaired: %s: %d lost, out for %v", k+1, flow.Name, back.Lost, back.Outage)
		}
	}
}

// report tells of each flow, and of the flow that lost most.
func report(b *testing.B, kind failover.Kind, trials []trial) {
	each := func(of func(trial) float64) (v []float64) {
		for _, t := range trials {
			v = append(v, of(t))
		}
		slices.Sort(v)
		return v
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	var table strings.Builder
	for i, flow := range kind.Flows {
		lost := each(func(t trial) float64 { return float64(t.Failed[i].Worst) })
		fmt.Fprintf(&table, "\n%s: lost %s", flow.Name, spread(lost))
	}
	turned, returned, cold := each(func(t trial) float64 { return ms(t.Turned) }), each(func(t trial) float64 { return ms(t.Returned) }), each(func(t trial) float64 { return ms(t.cold) })
	fmt.Fprintf(&table, "\nroutes turned after, ms: %s\nwhole again after, ms: %s\ncold start, ms: %s", spread(turned), spread(returned), spread(cold))
	b.Logf("%d moments; median, 90th percentile, worst%s", len(trials), table.String())
	lost := each(func(t trial) (most float64) {
		for _, c := range t.Failed {
			most = max(most, float64(c.Worst))
		}
		return most
	})
	b.ReportMetric(lost[len(lost)/2], "lost-median")
	b.ReportMetric(lost[len(lost)-1], "lost-worst")
	b.ReportMetric(turned[len(turned)/2], "ms-turned-median")
	b.ReportMetric(turned[len(turned)-1], "ms-turned-worst")
}

// spread is the median, the 90th percentile and the greatest of sorted values.
func spread(v []float64) string {
	return fmt.Sprintf("%.0f, %.0f, %.0f", v[len(v)/2], v[len(v)*9/10], v[len(v)-1])
}
