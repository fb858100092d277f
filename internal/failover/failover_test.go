package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// What the networks name is in their files, in every variant.
func TestNetworksAreThoseOfTheFiles(t *testing.T) {
	for _, n := range Networks() {
		for _, variant := range []string{"bfd", "timers", "busy"} {
			f, err := n.Load("../../examples/lab", variant)
			if err != nil {
				t.Fatal(err)
			}
			states, flows := []State{n.Whole, {Routes: n.Live}}, n.Warm
			for _, k := range n.Kinds {
				states, flows = append(states, k.Broken), append(flows[:len(flows):len(flows)], k.Flows...)
			}
			for _, s := range states {
				for _, r := range s.Routes {
					if f.Node(r.Node) == nil || !r.Prefix.IsValid() || len(r.Via) == 0 {
						t.Errorf("%s: route %+v", n.File, r)
					}
				}
			}
			for _, flow := range flows {
				if from, to := f.Node(flow.From), f.Node(flow.To); from == nil || to == nil || !to.Address(false).IsValid() {
					t.Errorf("%s: flow %+v", n.File, flow)
				}
			}
			for _, name := range n.phase1 {
				if text := string(f.Node(name).Config); strings.Count(text, "shortcut: false") != 2 {
					t.Errorf("%s makes shortcuts:\n%s", name, text)
				}
			}
		}
	}
}

func TestCostIsThatOfTheWorstFlow(t *testing.T) {
	r := scenario.PingResult{Flows: 2}
	for k := range 20 { // the second flow loses its third to its sixth packet, the first one its last but one
		lost := k%2 == 1 && k/2 >= 2 && k/2 <= 5 || k == 16
		r.Echoes = append(r.Echoes, scenario.Echo{Sent: time.Duration(k) * time.Millisecond, Answered: !lost})
	}
	if got, want := costOf(r), (Cost{Sent: 20, Lost: 5, Worst: 4, Outage: 8 * time.Millisecond}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
