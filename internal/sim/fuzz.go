package sim

import (
	"io"
	"math/rand/v2"
	"time"
)

// Result is what came of one generated cloud.
type Result struct {
	Options    Options
	Violations []string      // of invariants; none is good
	Digest     uint64        // of all that happened: equal seeds, equal digests
	Events     int           // that modules handled
	Simulated  time.Duration // virtual time
	Flows      Flows
}

// Play generates a cloud and plays its story.
func Play(o Options) Result { return PlayTraced(o, nil) }

// PlayTraced does so and writes a line for everything that routers do; out may be nil.
func PlayTraced(o Options, out io.Writer) Result {
	c := generate(o)
	c.world.Trace.Out = out
	k := newChecker(c)
	c.play(k)
	return Result{
		Options: c.Options, Violations: k.violations, Digest: c.world.Trace.Digest(), Events: c.world.events,
		Simulated: c.world.Now(), Flows: c.flows,
	}
}

// bigEvery is how often a varied cloud has 1,000 spokes; the others have some dozens.
const bigEvery = 50

// Varied are options in which everything follows from the seed, so that many seeds try many kinds of trouble.
func Varied(seed uint64) Options {
	r := rand.New(rand.NewPCG(seed, 1))
	o := Options{Seed: seed, Hubs: 1 + r.IntN(3), Spokes: 20 + r.IntN(41), Duration: 5 * time.Minute}
	if seed%bigEvery == bigEvery-1 {
		o.Hubs, o.Spokes, o.Duration = 2, 1000, 2*time.Minute
	}
	o.Loss, o.Reorder, o.Duplicate = chance(r, 0.1), chance(r, 0.1), chance(r, 0.05)
	o.Partitions, o.ClockSteps = r.IntN(4), r.IntN(4)
	o.Freezes, o.Restarts, o.Moves = r.IntN(o.Spokes/10+1), r.IntN(o.Spokes/2), r.IntN(o.Spokes/10+1)
	o.HubLoss, o.IPv6, o.Names, o.Clusters = r.IntN(2) == 0, r.IntN(3) == 0, r.IntN(3) == 0, r.IntN(4) == 0
	o.NAT = !o.IPv6 && r.IntN(4) == 0
	o.Flaps, o.Clears = r.IntN(o.Spokes/10+1), r.IntN(o.Spokes/10+1)
	o.Phase2 = o.Spokes < 100 && !o.NAT && r.IntN(4) == 0
	o.HostMask = !o.Phase2 && r.IntN(3) == 0 // phase 2 needs the next hops on the link
	o.Protect = r.IntN(2) == 0
	return o
}

// chance is none for every third, else up to most, to a hundredth so that it prints short.
func chance(r *rand.Rand, most float64) float64 {
	if r.IntN(3) == 0 {
		return 0
	}
	return float64(r.IntN(int(most*100)+1)) / 100
}
