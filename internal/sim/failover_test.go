package sim

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// BenchmarkFailover kills a hub of the network of the day at 50 different moments, in each variant, and tells in virtual time how
// many packets of a millisecond's stream are lost of those flows that went by it, and how long the kernel's route took.
func BenchmarkFailover(b *testing.B) {
	for _, variant := range []string{"bfd", "timers"} {
		for _, how := range []string{"kill", "power", "cut"} {
			b.Run(variant+"/"+how, func(b *testing.B) {
				for range b.N {
					reportFailures(b, variant, how)
				}
			})
		}
	}
}

// failures is how many of a kind are looked at.
const failures = 50

func reportFailures(b *testing.B, variant, how string) {
	var lost, turned []time.Duration
	for k := range failures {
		l, t := failOnce(b, variant, how, uint64(k+1), time.Duration(k)*37*time.Millisecond)
		lost, turned = append(lost, l), append(turned, t)
	}
	slices.Sort(lost)
	slices.Sort(turned)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(lost[failures/2]), "lost-median")
	b.ReportMetric(ms(lost[failures-1]), "lost-worst")
	b.ReportMetric(ms(turned[failures/2]), "ms-route-median")
	b.ReportMetric(ms(turned[failures-1]), "ms-route-worst")
}

// failOnce is the outage of the worst flow from a spoke to the centre, a packet each millisecond, and the time until the spoke's
// kernel had the route by the other hub alone. The moment shifts by phase, so that timers stand elsewhere each time.
func failOnce(b *testing.B, variant, how string, seed uint64, phase time.Duration) (outage, turned time.Duration) {
	f, err := scenario.LoadVariant("../../examples/lab/two-hubs-two-clouds.yaml", variant)
	if err != nil {
		b.Fatal(err)
	}
	s := NewStage(seed)
	if err := s.Up(f); err != nil {
		b.Fatal(err)
	}
	s.Sleep(20*time.Second + phase)
	var probes []scenario.Pinging
	for range 4 {
		p, err := s.StartPing("pc1", scenario.Ping{To: netip.MustParseAddr("192.168.0.10"), Protocol: scenario.UDP, Interval: time.Millisecond, Timeout: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		probes = append(probes, p)
	}
	s.Sleep(100 * time.Millisecond)
	start := s.Now()
	if err := fail(s, how); err != nil {
		b.Fatal(err)
	}
	for s.Now() < start+6*time.Second {
		s.Sleep(time.Millisecond)
		hops, _ := s.Routes("spoke1", netip.MustParsePrefix("192.168.0.0/24"))
		if turned == 0 && len(hops) == 1 && hops[0].Via == netip.MustParseAddr("10.101.0.2") {
			turned = s.Now() - start
		}
	}
	for _, p := range probes {
		r, err := p.Stop()
		if err != nil {
			b.Fatal(err)
		}
		outage = max(outage, time.Duration(r.Lost())*time.Millisecond)
	}
	if turned == 0 {
		b.Fatalf("seed %d: the route did not turn", seed)
	}
	return outage, turned
}

func fail(s *Stage, how string) error {
	switch how {
	case "kill":
		return s.Kill("hub1", "KILL")
	case "power":
		return s.Power("hub1", false)
	}
	return s.Cut(scenario.Target{Node: "hub1", Interface: "eth0"})
}
