package sim

import (
	"time"
)

// Result is what came of one generated cloud.
type Result struct {
	Options    Options
	Violations []string
	Digest     uint64
	Events     int // handled by modules
	Simulated  time.Duration
	Flows      Flows
}

// Play generates a cloud and plays its story.
func Play(o Options) Result {
	c := generate(o)
	k := newChecker(c)
	c.play(k)
	return Result{
		Options: c.Options, Violations: k.violations, Digest: c.world.Trace.Digest(), Events: c.world.events,
		Simulated: c.world.Now(), Flows: c.flows,
	}
}
