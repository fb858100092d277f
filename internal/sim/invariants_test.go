package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/rib"
)

// Each invariant is broken on purpose, and has to be noticed.
func TestBrokenInvariantsAreNoticed(t *testing.T) {
	shortcut := netip.MustParsePrefix("192.168.1.0/24")
	peer := overlayOfSpoke(1)
	adjacency := func(nextHop, at netip.Addr) dataplane.SetAdjacency {
		return dataplane.SetAdjacency{Tunnel: "tun0", NextHop: nextHop, Endpoint: netip.AddrPortFrom(at, 0)}
	}
	route := rib.Route{Prefix: shortcut, Protocol: rib.NHRP, Override: true, NextHops: []rib.NextHop{{Via: peer, Interface: "tun0"}}}
	detour := kernel.Route{Prefix: shortcut, Metric: 5, NextHops: []rib.NextHop{{Via: overlayOfSpoke(0), Interface: "tun0"}}}
	for _, c := range []struct {
		name  string
		wrong func(c *cloud, k *checker)
		want  string
	}{
		{"a binding where nobody is", func(c *cloud, _ *checker) {
			c.spokes[0].router.Do(adjacency(peer, netip.MustParseAddr("10.0.0.99")))
		}, "where no router with that address is"},
		{"a binding that nobody asked for", func(c *cloud, k *checker) {
			delete(k.asked, request{peer, c.hubs[0].nbma})
			c.run(checkEvery)
		}, "is bound, and asked for it last"},
		{"a binding that outlives its registration", func(c *cloud, k *checker) {
			k.asked[request{peer, c.hubs[0].nbma}] = c.world.Now() - holdTime - 2*late
			k.fresh(c.hubs[0].router)
		}, "is bound, and asked for it last"},
		{"a route without adjacency", func(c *cloud, k *checker) {
			k.handled(c.spokes[0].router, kernel.Name, rib.Change{Prefix: shortcut, New: &route})
			k.ran(c.spokes[0].router)
		}, "which has no adjacency"},
		{"a loop of shortcuts", func(c *cloud, k *checker) {
			// The hub sends spoke 2's LAN to spoke 1, which sends it to the hub.
			hub := c.hubs[0].router
			c.hubs[0].fib.delete(kernel.Key{Prefix: shortcut, Metric: 1})
			c.hubs[0].fib.install(detour)
			hub.Do(dataplane.SetRoute{Prefix: shortcut, NextHops: []dataplane.NextHop{{Tunnel: "tun0", Via: overlayOfSpoke(0)}}})
			k.follow(c.spokes[0], lanHost(1))
		}, "is a loop: spoke1, hub1, spoke1"},
		{"a packet that dies of its TTL", func(c *cloud, k *checker) {
			c.hubs[0].complain(nil, &dataplane.Datagram{Source: lanHost(0), Destination: lanHost(1)}, dataplane.TimeExceeded, 0)
		}, "has gone in a loop"},
		{"a timer that nothing owns", func(c *cloud, _ *checker) {
			stray := &stray{}
			c.spokes[0].router.loop.Add(stray, core.Start{})
			c.spokes[0].router.post(stray.Name(), core.Start{})
			c.run(0)
			stray.check(t, c.spokes[0].router.modules.NHRP)
		}, ""},
		{"a hub that keeps what it held", func(c *cloud, k *checker) { k.empty() }, "everybody left, and"},
		{"a spoke that is not registered", func(c *cloud, k *checker) {
			c.hubs[0].kill()
			c.start(c.hubs[0])
			c.run(0)
			k.converged()
		}, "0 clients are registered after the trouble, not 2"},
		{"a lost packet", func(_ *cloud, k *checker) { k.delivered(Flows{}, Flows{Sent: 2, Answered: 1}) }, "1 of 2 packets were lost"},
		{"an idle shortcut", func(c *cloud, k *checker) {
			c.flow(0, 1, 2)
			c.run(2 * time.Second)
			k.idle()
		}, "1 shortcuts and 1 peers are left without traffic"},
		{"a packet that is none", func(c *cloud, _ *checker) {
			c.spokes[0].router.Do(dataplane.Send{Tunnel: "tun0", To: netip.AddrPortFrom(c.hubs[0].nbma, 0), Protocol: nhrp.EtherType, Payload: []byte{1, 2, 3}})
		}, "sent a packet that is none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			world := generate(Options{Seed: 1, Hubs: 1, Spokes: 2})
			k := newChecker(world)
			world.boot()
			world.run(time.Second)
			if len(k.violations) > 0 {
				t.Fatalf("before: %v", k.violations)
			}
			c.wrong(world, k)
			if got := strings.Join(k.violations, "\n"); c.want != "" && !strings.Contains(got, c.want) {
				t.Errorf("noticed %q, want %q", got, c.want)
			}
		})
	}
}

// stray arms a timer that NHRP knows nothing of.
type stray struct{ timer core.Timer }

func (s *stray) Name() string { return "stray" }

func (s *stray) Handle(env *core.Env, _ core.Event) {
	s.timer.Name = "stray"
	env.Arm(&s.timer, time.Minute)
}

func (s *stray) check(t *testing.T, m *nhrp.Module) {
	t.Helper()
	findings := m.Audit(func(yield func(*core.Timer) bool) { yield(&s.timer) })
	if len(findings) != 1 || !strings.Contains(findings[0], `"stray" is armed, and nothing alive owns it`) {
		t.Errorf("the audit says %q", findings)
	}
}
