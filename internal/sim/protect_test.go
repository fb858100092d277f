package sim

import (
	"testing"
	"time"
)

// Protected clouds without trouble: not one packet is lost, while all keys change many times.
func TestNothingIsLostUnderProtection(t *testing.T) {
	for name, o := range map[string]Options{
		"phase 3": {Seed: 1}, "phase 2": {Seed: 2, Phase2: true}, "IPv6 underlay": {Seed: 3, IPv6: true},
		"NAT": {Seed: 4, NAT: true}, "one hub at a time": {Seed: 5, Clusters: true}, "names": {Seed: 6, Names: true},
		"host masks": {Seed: 7, HostMask: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Protect, o.Spokes, o.Duration = true, 12, 3*time.Minute
			r := Play(o)
			if r.Flows.Sent == 0 || r.Flows.Sent != r.Flows.Answered || len(r.Violations) > 0 {
				t.Errorf("%+v %v", r.Flows, r.Violations)
			}
		})
	}
}
