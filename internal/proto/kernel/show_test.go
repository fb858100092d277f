package kernel

import (
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// TestStandingAfterARefusal has the kernel refuse a route and take it at the next try: what it said first is said no longer.
func TestStandingAfterARefusal(t *testing.T) {
	offer := ours(rib.Static, "10.1.0.0/16", "10.0.0.9@eth0")
	route := Route{Prefix: p("10.1.0.0/16"), Metric: 1, NextHops: hops("10.0.0.9@eth0")}
	b := newBench()
	for _, step := range []struct {
		name string
		ev   core.Event
		want Standing
	}{
		{"its interface is not there", offer, Standing{Why: "interface eth0 is not there"}},
		{"what the kernel says is kept back", hush(true), Standing{Why: "interface eth0 is not there"}},
		{"asked", up("eth0"), Standing{Why: "on its way into the kernel"}},
		{"refused", Refused{route, "no"}, Standing{Why: "no"}},
		{"tried again", after(RetryTime), Standing{Why: "no"}},
		{"taken", hush(false), Standing{Installed: true}},
	} {
		b.step(step.ev)
		if got := b.module.Standing(offer); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}
