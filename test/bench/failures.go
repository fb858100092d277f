package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/failover"
	scenelab "github.com/spokeway/spokeway/internal/lab"
	"github.com/spokeway/spokeway/internal/scenario"
)

// labFiles is the folder of the lab files, from the root of the tree.
const labFiles = "examples/lab"

// everyMillisecond is how the lab's networks are watched: a thousand packets a second in each train.
var everyMillisecond = failover.Pace{
	Every: time.Millisecond, Back: time.Millisecond, Turn: 5 * time.Millisecond, Return: 100 * time.Millisecond, Settle: 3 * time.Second,
}

// failures breaks and repairs the networks of the lab files, with real processes, so many times in each way.
func failures(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: "failures"}
	var all []*failed
	for _, n := range failover.Networks() {
		kinds := wantedKinds(o, n)
		if len(kinds) == 0 {
			continue
		}
		found, err := breakNetwork(ctx, o, n, kinds)
		if err != nil { // what was measured until then is worth having
			rep.note("%s ended early: %v", n.File, err)
			fmt.Fprintf(os.Stderr, "%s: %v\n", n.File, err)
		}
		all = append(all, found...)
		if ctx.Err() != nil {
			break
		}
	}
	all = slices.DeleteFunc(all, func(f *failed) bool { return len(f.trials) == 0 })
	rep.Tables = []table{lostTable(all), settledTable(all)}
	for _, f := range all {
		f.facts(rep)
	}
	rep.note("variant %s; %d tries of each failure; the moments are spread over the intervals of BFD and OSPF", o.variant, o.tries)
	return rep, nil
}

// failed is what became of one kind of failure.
type failed struct {
	network string
	kind    failover.Kind
	most    int // tries
	trials  []failover.Trial
}

// coldTries is how often all is started anew at most: nobody talks meanwhile, so that there are no losses to find the worst of.
const coldTries = 10

// wantedKinds are those that the command line asks for, the start of everything first.
func wantedKinds(o options, n failover.Network) (kinds []*failed) {
	add := func(k failover.Kind, most int) {
		if o.wants(k.Name) {
			kinds = append(kinds, &failed{network: strings.TrimSuffix(n.File, ".yaml"), kind: k, most: most})
		}
	}
	add(n.Cold(), min(o.tries, coldTries))
	for _, k := range n.Kinds {
		add(k, o.tries)
	}
	return kinds
}

// breakNetwork brings a network up once and has every kind in turn, so that what the machine does meanwhile is shared.
func breakNetwork(ctx context.Context, o options, n failover.Network, kinds []*failed) ([]*failed, error) {
	f, err := n.Load(labFiles, o.variant)
	if err != nil {
		return nil, err
	}
	err = scenelab.Play(ctx, f, scenelab.Options{Binary: o.spokeway}, func(w scenario.World) error {
		run, _, err := failover.Begin(w, f, n, everyMillisecond)
		defer run.End()
		for try := 0; try < o.tries && err == nil; try++ {
			err = breakOnce(run, kinds, try)
		}
		return err
	})
	return kinds, err
}

func breakOnce(run *failover.Run, kinds []*failed, try int) error {
	for _, k := range kinds {
		if try >= k.most {
			continue
		}
		begin := time.Now()
		t, err := run.Try(k.kind, moment(try))
		if err != nil {
			return fmt.Errorf("try %d: %w", try+1, err)
		}
		k.trials = append(k.trials, t)
		progress(fmt.Sprintf("%s, %s: %s, took %v", k.network, k.kind.Name, brief(k.kind, t), time.Since(begin).Round(100*time.Millisecond)), try+1, k.most)
	}
	return nil
}

// moment is how long a network is left alone before a try, so that timers of 50 ms and of a second stand elsewhere each time.
func moment(try int) time.Duration { return time.Duration(try*137%1000) * time.Millisecond }

// brief is a trial in a line.
func brief(k failover.Kind, t failover.Trial) string {
	var words []string
	for i, f := range k.Flows {
		words = append(words, fmt.Sprintf("%s lost %d+%d", f.Name, t.Failed[i].Lost, t.Back[i].Lost))
	}
	return strings.Join(append(words, fmt.Sprintf("turned after %v, whole after %v", t.Turned.Round(time.Millisecond), t.Returned.Round(time.Millisecond))), ", ")
}

// each is one number of every trial.
func (f *failed) each(of func(failover.Trial) float64) (v []float64) {
	for _, t := range f.trials {
		v = append(v, of(t))
	}
	return v
}

// three are the median, the 90th percentile and the worst.
func three(v []float64) []string {
	return []string{digits(median(v)), digits(percentile(v, 90)), digits(percentile(v, 100))}
}

var threeColumns = []string{"median", "90 %", "worst"}

// lostTable is what each flow lost, of a thousand packets a second, and for how long it was out.
func lostTable(all []*failed) table {
	t := table{Columns: []string{"what fails", "flows", "lost: " + threeColumns[0], threeColumns[1], threeColumns[2],
		"out, ms: " + threeColumns[0], threeColumns[1], threeColumns[2], "tries that lost when it came back", "lost then, worst"}}
	for _, f := range all {
		for i, flow := range f.kind.Flows {
			row := []string{f.kind.Name, flow.Name}
			row = append(row, three(f.each(func(t failover.Trial) float64 { return float64(t.Failed[i].Lost) }))...)
			row = append(row, three(f.each(func(t failover.Trial) float64 { return milliseconds(t.Failed[i].Outage) }))...)
			back := f.each(func(t failover.Trial) float64 { return float64(t.Back[i].Lost) })
			t.Rows = append(t.Rows, append(row, fmt.Sprintf("%d of %d", nonzero(back), len(back)), digits(percentile(back, 100))))
		}
	}
	return t
}

func nonzero(v []float64) (n int) {
	for _, x := range v {
		if x != 0 {
			n++
		}
	}
	return n
}

// settledTable is how long routers took.
func settledTable(all []*failed) table {
	t := table{Columns: append(append(append([]string{"convergence, s", "network"}, prefixed("routes turned: ")...), prefixed("all as before: ")...), "tries")}
	for _, f := range all {
		turned := f.each(func(t failover.Trial) float64 { return t.Turned.Seconds() })
		row := []string{f.kind.Name, f.network}
		if nonzero(turned) > 0 {
			row = append(row, three(turned)...)
		} else {
			row = append(row, "–", "–", "–")
		}
		row = append(row, three(f.each(func(t failover.Trial) float64 { return t.Returned.Seconds() }))...)
		t.Rows = append(t.Rows, append(row, strconv.Itoa(len(f.trials))))
	}
	return t
}

func prefixed(title string) []string {
	return []string{title + threeColumns[0], threeColumns[1], threeColumns[2]}
}

// facts are the figures under the tables.
func (f *failed) facts(rep *report) {
	for i, flow := range f.kind.Flows {
		lost := f.each(func(t failover.Trial) float64 { return float64(t.Failed[i].Lost) })
		out := f.each(func(t failover.Trial) float64 { return milliseconds(t.Failed[i].Outage) })
		name := f.network + "." + f.kind.Name + "." + flow.Name
		rep.fact(name+".lostMedian", median(lost))
		rep.fact(name+".lostWorst", percentile(lost, 100))
		rep.fact(name+".outMedianMs", median(out))
		rep.fact(name+".outWorstMs", percentile(out, 100))
	}
}
