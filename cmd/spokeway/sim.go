package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/spokeway/spokeway/internal/scenario"
	"github.com/spokeway/spokeway/internal/sim"
)

func (a *app) simCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "sim",
		Short: "play topologies on a virtual clock, without root and in no time",
	}, a.simRunCommand(), a.simGenerateCommand())
}

func (a *app) simRunCommand() *cobra.Command {
	var seed uint64
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "play the steps of a lab file on the virtual clock",
		Long: "Play the steps of a lab file on the virtual clock. Steps that need a real host are skipped. One seed gives one\n" +
			"run, packet for packet; the exit code is 1 when a step failed.",
		Args: exactly(1, "FILE"),
	}
	variant := variantFlag(c)
	c.RunE = func(_ *cobra.Command, args []string) error {
		f, err := loadScenario(args[0], *variant)
		if err != nil {
			return err
		}
		return a.outcome(scenario.Run(sim.NewStage(seed), f, a.progress()))
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "the `SEED` of all chance")
	return c
}

func (a *app) simGenerateCommand() *cobra.Command {
	var o sim.Options
	seeds, parallel := 1, 0
	varied, trace := false, false
	c := &cobra.Command{
		Use:   "generate",
		Short: "generate a cloud of hubs and spokes, make trouble, and check invariants after every event",
		Long: "Generate a cloud of hubs and spokes that register, talk and make shortcuts; lose, reorder and repeat packets, cut\n" +
			"networks, kill and restart routers. Invariants are checked after every event. Each seed is another story; a\n" +
			"failing one is told with the command that replays it, and the exit code is 1.",
		Args: exactly(0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if seeds < 1 {
				return usagef("--seeds %d: want 1 or more", seeds)
			}
			if parallel < 1 {
				parallel = runtime.NumCPU()
			}
			if trace {
				r := sim.PlayTraced(o, a.out)
				return a.traced(r)
			}
			return a.generate(o, seeds, parallel, varied)
		},
	}
	f := c.Flags()
	f.Uint64Var(&o.Seed, "seed", 1, "the first `SEED`")
	f.IntVar(&seeds, "seeds", seeds, "play this `NUMBER` of seeds")
	f.IntVar(&parallel, "parallel", parallel, "play this `NUMBER` at once (default: one per processor)")
	f.BoolVar(&varied, "varied", false, "let each seed choose the size of its cloud and its troubles")
	f.BoolVar(&trace, "trace", false, "print everything that the routers do, of the first seed")
	simFlags(f, &o)
	return c
}

// traced ends a run whose trace was printed.
func (a *app) traced(r sim.Result) error {
	if len(r.Violations) == 0 {
		return nil
	}
	for _, v := range r.Violations {
		fmt.Fprintln(a.err, v)
	}
	return fmt.Errorf("seed %d broke an invariant", r.Options.Seed)
}

// simFlags are the flags that shape a generated story.
func simFlags(f *pflag.FlagSet, o *sim.Options) {
	f.IntVar(&o.Hubs, "hubs", 2, "`NUMBER` of hubs")
	f.IntVar(&o.Spokes, "spokes", 40, "`NUMBER` of spokes")
	f.DurationVar(&o.Duration, "duration", 5*time.Minute, "`TIME` during which there is trouble, on the virtual clock")
	f.Float64Var(&o.Loss, "loss", 0, "`CHANCE` that a link loses a packet")
	f.Float64Var(&o.Reorder, "reorder", 0, "`CHANCE` that a link delays a packet past others")
	f.Float64Var(&o.Duplicate, "duplicate", 0, "`CHANCE` that a link repeats a packet")
	f.IntVar(&o.Partitions, "partitions", 0, "`NUMBER` of times that a part of the spokes is cut off")
	f.IntVar(&o.ClockSteps, "clock-steps", 0, "`NUMBER` of times that a router's wall clock jumps")
	f.IntVar(&o.Freezes, "freezes", 0, "`NUMBER` of times that a router stands still for a while")
	f.IntVar(&o.Restarts, "restarts", 0, "`NUMBER` of times that a spoke is restarted")
	f.IntVar(&o.Moves, "moves", 0, "`NUMBER` of times that a spoke's underlay address changes")
	f.IntVar(&o.Flaps, "flaps", 0, "`NUMBER` of times that a spoke's underlay interface goes down for a while")
	f.IntVar(&o.Clears, "clears", 0, "`NUMBER` of times that an operator clears what a router has learned")
	f.BoolVar(&o.HubLoss, "hub-loss", false, "kill the first hub half way, and bring it back")
	f.BoolVar(&o.Phase2, "phase2", false, "spokes resolve next hops instead of following redirects")
	f.BoolVar(&o.IPv6, "ipv6", false, "an IPv6 underlay")
	f.BoolVar(&o.Names, "names", false, "know the hubs by DNS names; a lost one comes back at another address")
	f.BoolVar(&o.Clusters, "clusters", false, "spokes register with one hub at a time")
	f.BoolVar(&o.HostMask, "host-mask", false, "tunnel addresses without a prefix, so that every peer needs a route")
	f.BoolVar(&o.NAT, "nat", false, "some spokes two by two behind address translators; GRE in UDP, unless it is protected")
	f.BoolVar(&o.Protect, "protect", false, "IKE and ESP, with keys that change every minute")
}

// seedRow is one row of `sim generate`.
type seedRow struct {
	Seed       uint64   `json:"seed"`
	Result     string   `json:"result"` // PASS FAIL
	Events     int      `json:"events"`
	Simulated  float64  `json:"simulated"` // seconds of virtual time
	Took       float64  `json:"took"`      // seconds
	Sent       int      `json:"sent"`      // packets of the hosts
	Answered   int      `json:"answered"`
	Digest     string   `json:"digest"` // of all that happened: equal seeds, equal digests
	Violations []string `json:"violations" table:"-"`
	Replay     string   `json:"replay" table:"-"`
}

func (a *app) generate(o sim.Options, seeds, parallel int, varied bool) error {
	rows := make([]seedRow, seeds)
	var g errgroup.Group
	var mu sync.Mutex // of the output
	g.SetLimit(parallel)
	for i := range rows {
		mine := o
		mine.Seed += uint64(i)
		if varied {
			mine = sim.Varied(mine.Seed)
		}
		g.Go(func() error {
			rows[i] = playSeed(mine)
			mu.Lock()
			defer mu.Unlock()
			a.failedSeed(rows[i])
			return nil
		})
	}
	g.Wait()
	if err := a.print(rows); err != nil {
		return err
	}
	failed := 0
	for _, r := range rows {
		if r.Result != string(scenario.Pass) {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s broke an invariant", failed, count(seeds, "seed"))
	}
	return nil
}

func playSeed(o sim.Options) seedRow {
	begin := time.Now()
	r := sim.Play(o)
	row := seedRow{
		Seed: o.Seed, Result: string(scenario.Pass), Events: r.Events, Simulated: r.Simulated.Seconds(),
		Took: time.Since(begin).Seconds(), Sent: r.Flows.Sent, Answered: r.Flows.Answered,
		Digest: fmt.Sprintf("%016x", r.Digest), Violations: r.Violations, Replay: r.Options.Command(),
	}
	if len(r.Violations) > 0 {
		row.Result = string(scenario.Fail)
	}
	return row
}

// failedSeed tells of a broken invariant as soon as it is known.
func (a *app) failedSeed(r seedRow) {
	for _, v := range r.Violations {
		fmt.Fprintf(a.err, "seed %d: %s\n", r.Seed, v)
	}
	if len(r.Violations) > 0 {
		fmt.Fprintf(a.err, "replay it with: %s\n", r.Replay)
	}
}
