package sim

import (
	"flag"
	"runtime"
	"sync"
	"testing"
)

var seeds = flag.Int("sim.seeds", 200, "how many seeds TestSeeds plays")

// TestSeeds plays stories, each with troubles of its own, and wants not one broken invariant. -short plays some of them,
// -sim.seeds 5000 is for a night.
func TestSeeds(t *testing.T) {
	seeds := *seeds
	if testing.Short() {
		seeds = min(seeds, 20)
	}
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range next {
				playSeed(t, Varied(seed))
			}
		})
	}
	for seed := range uint64(seeds) {
		next <- seed
	}
	close(next)
	wg.Wait()
}

func playSeed(t *testing.T, o Options) {
	r := Play(o)
	if len(r.Violations) == 0 {
		return
	}
	for _, v := range r.Violations[:min(5, len(r.Violations))] {
		t.Errorf("seed %d: %s", o.Seed, v)
	}
	t.Errorf("replay it with: %s", r.Options.Command())
}

// One seed, one history: bit for bit, with everything that draws on chance switched on.
func TestSameSeedSameTrace(t *testing.T) {
	for _, seed := range []uint64{3, 7, 11} {
		a, b := Play(Varied(seed)), Play(Varied(seed))
		if a.Digest != b.Digest || a.Events != b.Events {
			t.Errorf("seed %d: %x after %d events, then %x after %d", seed, a.Digest, a.Events, b.Digest, b.Events)
		}
		if c := Play(Varied(seed + 100)); c.Digest == a.Digest {
			t.Errorf("seeds %d and %d have one trace", seed, seed+100)
		}
	}
}

// The wall clock must not matter: with and without steps of it the history is the same.
func TestWallClockStepsChangeNothing(t *testing.T) {
	o := Varied(5)
	o.ClockSteps = 0
	calm := Play(o)
	o.ClockSteps = 50
	if stepped := Play(o); stepped.Digest != calm.Digest {
		t.Errorf("%x with steps of the wall clock, %x without", stepped.Digest, calm.Digest)
	}
}

// Without trouble not one packet is lost, from the first one on: shortcuts are made without a gap.
func TestNothingIsLostWithoutTrouble(t *testing.T) {
	for name, o := range map[string]Options{
		"phase 3": {Seed: 1}, "phase 2": {Seed: 2, Phase2: true}, "IPv6 underlay": {Seed: 3, IPv6: true},
		"NAT": {Seed: 4, NAT: true}, "one hub at a time": {Seed: 5, Clusters: true}, "names": {Seed: 6, Names: true},
		"host masks": {Seed: 7, HostMask: true},
	} {
		r := Play(o)
		if r.Flows.Sent == 0 || r.Flows.Sent != r.Flows.Answered || len(r.Violations) > 0 {
			t.Errorf("%s: %+v %v", name, r.Flows, r.Violations)
		}
	}
}
