package sim

import (
	"os"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

func TestSlice(t *testing.T) {
	c := generate(Options{Seed: 1, Spokes: 2, Hubs: 1})
	if testing.Verbose() {
		c.world.Trace.Out = os.Stderr
	}
	for _, n := range append(c.hubs, c.spokes...) {
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
	}
	c.world.Run(3 * time.Second)
	p, err := c.spokes[0].startPing(scenario.Ping{From: lanHost(0), To: lanHost(1), Count: 10})
	if err != nil {
		t.Fatal(err)
	}
	r := p.finish()
	if r.Lost() != 0 {
		t.Errorf("%+v", r)
	}
	hops, err := c.spokes[0].path(scenario.Trace{From: lanHost(0), To: lanHost(1), MaxTTL: 5, Timeout: time.Second})
	t.Log(hops, err)
}
