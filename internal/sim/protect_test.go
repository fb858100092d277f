package sim

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/scenario"
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

// Each invariant of protection is broken on purpose, and has to be noticed.
func TestBrokenProtectionIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong func(c *cloud, k *checker)
		want  string
	}{
		{"GRE in clear", func(c *cloud, _ *checker) {
			p := c.spokes[0].router
			p.transmit(&dataplane.Datagram{Source: c.spokes[0].nbma, Destination: c.hubs[0].nbma, TTL: 64, Body: dataplane.GREPacket{Protocol: nhrp.EtherType}})
			c.run(holdTime)
		}, "GRE in clear to 10.0.0.1, protocol 0x2001"},
		{"other keys at the other end", func(c *cloud, k *checker) {
			n := c.spokes[0]
			_, seals := n.router.plane.Digests()
			wrong := seals[0]
			wrong.Digest[0]++
			opens, _ := c.hubs[0].router.plane.Digests()
			k.agree(n, wrong, map[*Node]map[uint32]dataplane.Digest{c.hubs[0]: opens}, false)
		}, "with keys that it is not opened with; it is known there: true"},
		{"an SA with one end", func(c *cloud, k *checker) {
			c.hubs[0].router.plane.Do(dataplane.DeleteSA{SA: firstSA(c.hubs[0])})
			k.agreed(false)
			if len(k.violations) > 0 {
				t.Errorf("while keys change, an end may be missing: %v", k.violations)
			}
			k.agreed(true)
		}, "it is known there: false"},
		{"an SA that is left", func(_ *cloud, k *checker) { k.empty() }, "everybody left, and SA "},
	} {
		t.Run(c.name, func(t *testing.T) {
			world := generate(Options{Seed: 1, Hubs: 1, Spokes: 2, Protect: true})
			k := newChecker(world)
			world.boot()
			world.run(time.Second)
			if k.agreed(true); len(k.violations) > 0 {
				t.Fatalf("before: %v", k.violations)
			}
			c.wrong(world, k)
			if got := strings.Join(k.violations, "\n"); !strings.Contains(got, c.want) {
				t.Errorf("noticed %q, want %q", got, c.want)
			}
		})
	}
}

func firstSA(n *Node) dataplane.SA {
	_, seals := n.router.plane.Digests()
	return slices.MinFunc(seals, func(a, b dataplane.Sealing) int { return int(a.SA) - int(b.SA) }).SA
}

// The stage notices it too, and so fails every scenario in which it happens.
func TestStageNoticesLeaks(t *testing.T) {
	f, err := scenario.Load("../../examples/lab/protected.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := NewStage(1)
	if err := s.Up(f); err != nil {
		t.Fatal(err)
	}
	s.world.Run(time.Second)
	hub := s.world.byName["hub"]
	hub.router.transmit(&dataplane.Datagram{Source: hub.local4(), Destination: hub.local4(), Body: dataplane.UDP{Body: dataplane.GREPacket{}}})
	if err := s.Down(); err == nil || !strings.Contains(err.Error(), "1 packets in clear") {
		t.Errorf("taken down with %v", err)
	}
}

func (n *Node) local4() netip.Addr { return n.byName["eth0"].addrs[0].Addr() }

// Key changes are made of chance, and yet one seed is one history: bit for bit.
func TestSameSeedSameTraceUnderProtection(t *testing.T) {
	o := Options{Seed: 9, Hubs: 2, Spokes: 10, Duration: 2 * time.Minute, Protect: true, Loss: 0.05, Restarts: 4, Moves: 2, HubLoss: true}
	a, b := Play(o), Play(o)
	if a.Digest != b.Digest || a.Events != b.Events {
		t.Errorf("%x after %d events, then %x after %d", a.Digest, a.Events, b.Digest, b.Events)
	}
}

// An address translator hands plain ESP to one of two hosts inside, and UDP to both.
func TestTranslatorAndESP(t *testing.T) {
	w := NewWorld(1)
	box := w.addNode("box")
	box.nat = newNAT(box)
	outside := box.attach("outside", w.addNetwork("out"), Link{}, netip.MustParsePrefix("10.0.0.9/24"))
	outside.nat = true
	inside := box.attach("inside", w.addNetwork("in"), Link{}, netip.MustParsePrefix("172.16.0.1/24"))
	hub := netip.MustParseAddr("10.0.0.1")
	out := func(from string, body any) (*dataplane.Datagram, bool) {
		return box.nat.outbound(inside, outside, &dataplane.Datagram{Source: netip.MustParseAddr(from), Destination: hub, Body: body})
	}
	if d, ok := out("172.16.0.11", dataplane.ESPPacket{SPI: 1}); !ok || d.Source != outside.addrs[0].Addr() {
		t.Errorf("the first host's ESP: %v %v", d, ok)
	}
	if _, ok := out("172.16.0.12", dataplane.ESPPacket{SPI: 2}); ok {
		t.Error("the second host's ESP passes, and what comes back cannot be told apart")
	}
	ports := map[uint16]bool{}
	for _, host := range []string{"172.16.0.11", "172.16.0.12"} {
		d, ok := out(host, dataplane.UDP{SourcePort: dataplane.NATPort, DestinationPort: dataplane.NATPort})
		if !ok {
			t.Fatalf("UDP of %s is dropped", host)
		}
		ports[d.Body.(dataplane.UDP).SourcePort] = true
	}
	if len(ports) != 2 {
		t.Errorf("ports outside: %v", ports)
	}
	back := &dataplane.Datagram{Source: hub, Destination: outside.addrs[0].Addr(), Body: dataplane.ESPPacket{SPI: 3}}
	if d := box.nat.inbound(outside, back); d.Destination != netip.MustParseAddr("172.16.0.11") {
		t.Errorf("ESP comes back to %v", d.Destination)
	}
}

// Two spokes begin to talk to each other at once, a packet every 5 ms: both ask for an SA, two come about, and one is
// closed. Nothing is lost, whatever crosses on the way.
func TestBothBeginAtOnce(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		c := generate(Options{Seed: seed, Hubs: 1, Spokes: 2, Protect: true})
		k := newChecker(c)
		c.boot()
		c.run(5 * time.Second)
		there := must(c.spokes[0].startPing(scenario.Ping{From: lanHost(0), To: lanHost(1), Interval: 5 * time.Millisecond}))
		back := must(c.spokes[1].startPing(scenario.Ping{From: lanHost(1), To: lanHost(0), Interval: 5 * time.Millisecond}))
		c.run(5 * time.Second)
		for _, p := range []*ping{there, back} {
			if r := p.finish(); r.Lost() > 0 || len(k.violations) > 0 {
				t.Errorf("seed %d: %d of %d lost, %v", seed, r.Lost(), r.Sent(), k.violations)
			}
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
