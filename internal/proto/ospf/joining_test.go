package ospf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// A hub that comes back is sent to as soon as others have computed a way by it: by then it has routes of its own, or what they
// send is lost.
func TestFirstRoutesComeFirst(t *testing.T) {
	for _, kind := range []Network{PointToMultipoint, Broadcast} {
		for _, hello := range []time.Duration{time.Second, DefaultHello} {
			t.Run(fmt.Sprint(kind, ", hello ", hello), func(t *testing.T) {
				for seed := range uint64(25) {
					hubReturns(t, seed, Interface{Name: "tun", Network: kind, Hello: hello, Dead: deadFactor * hello})
				}
			})
		}
	}
}

// hubReturns has the first of two hubs killed and started again.
func hubReturns(t *testing.T, seed uint64, spokeTunnel Interface) {
	w := newWorld(t, seed)
	hubTunnel := spokeTunnel
	hubTunnel.Priority = DefaultPriority
	centre := hubTunnel
	centre.Name, centre.Network = "lan", Broadcast
	hub := oneArea("1.1.1.1", hubTunnel, centre)
	w.add("hub2", oneArea("2.2.2.2", hubTunnel, centre), "tun cloud 10.0.0.2/24 hub", "lan centre 192.168.0.2/24")
	w.add("hub1", hub, "tun cloud 10.0.0.1/24 hub", "lan centre 192.168.0.1/24")
	w.add("spoke1", oneArea("3.3.3.3", spokeTunnel, lan("lan")), "tun cloud 10.0.0.3/24", "lan lan1 192.168.1.1/24")
	w.add("spoke2", oneArea("4.4.4.4", spokeTunnel, lan("lan")), "tun cloud 10.0.0.4/24", "lan lan2 192.168.2.1/24")
	w.run(2 * time.Minute)
	w.routers["hub1"].off = true
	w.run(2 * time.Minute)
	w.routers["hub1"].boot(hub)
	byHub1 := func() bool {
		return strings.Contains(w.routers["spoke1"].routes(), "10.0.0.1@tun") || strings.Contains(w.routers["spoke2"].routes(), "10.0.0.1@tun")
	}
	for began := w.now; !byHub1(); w.run(100 * time.Microsecond) {
		if w.now-began > 2*time.Minute {
			t.Fatal("nobody goes by hub1")
		}
	}
	w.run(4 * time.Millisecond) // as long as a packet takes, at most
	for _, lan := range []string{"192.168.1.0/24", "192.168.2.0/24"} {
		if got := w.routers["hub1"].routes(); !strings.Contains(got, lan) {
			t.Errorf("seed %d, %v: a packet reaches hub1, which has no route to %s yet: %q", seed, w.now, lan, got)
		}
	}
}

// A site's router that comes back turns to its hub before the site's other router turns to it: else they send to each other. It has the
// other's way meanwhile, so that what is new to it is not the first route.
func TestSiteNeverLoops(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		for _, kind := range []Network{PointToMultipoint, Broadcast} {
			t.Run(fmt.Sprint(v, ", ", kind), func(t *testing.T) {
				for seed := range uint64(20) {
					siteReturns(t, seed, v, Interface{Name: "tun", Network: kind, Hello: time.Second, Dead: 4 * time.Second, Cost: 10})
				}
			})
		}
	}
}

// siteReturns has the first of a site's two routers killed and started again, its cloud some time later.
func siteReturns(t *testing.T, seed uint64, v wire.Version, spokeTunnel Interface) {
	addresses, via, centre := "10.0.%[1]d.%[2]d/24", "10.0.%d.%d@", "10.0.4.0/24 "
	if v == wire.V3 {
		addresses, via, centre = "fe80::%[1]d:%[2]d/64,2001:db8:%[1]d::%[2]d/64", "fe80::%d:%d@", "2001:db8:4::/64 "
	}
	const cloud1, cloud2, site, centreLAN, hub, a, b = 1, 2, 3, 4, 1, 2, 3
	port := func(name, segment string, network, host int, more string) string {
		return name + " " + segment + " " + fmt.Sprintf(addresses, network, host) + more
	}
	router := func(id string, interfaces ...Interface) Config {
		cfg := oneArea(id, interfaces...)
		cfg.Version = v
		return cfg
	}
	second := spokeTunnel
	second.Name, second.Cost = "backup", 30
	hubTunnel, hubBackup := spokeTunnel, second
	hubTunnel.Priority, hubBackup.Priority = DefaultPriority, DefaultPriority
	between := Interface{Name: "lan", Network: Broadcast, Hello: time.Second, Dead: 4 * time.Second, Cost: 1, Priority: DefaultPriority}
	first := router("2.2.2.1", spokeTunnel, between)

	w := newWorld(t, seed)
	w.add("hub", router("1.1.1.1", hubTunnel, hubBackup, lan("lan")),
		port("tun", "cloud1", cloud1, hub, " hub"), port("backup", "cloud2", cloud2, hub, " hub"), port("lan", "centre", centreLAN, hub, ""))
	w.add("a", first, port("tun", "cloud1", cloud1, a, ""), port("lan", "site", site, a, ""))
	w.add("b", router("2.2.2.2", second, between), port("backup", "cloud2", cloud2, b, ""), port("lan", "site", site, b, ""))
	w.run(2 * time.Minute)
	w.routers["a"].off = true
	w.run(time.Minute)
	w.cut["cloud1"] = true
	w.routers["a"].boot(first)

	goes := func(router, via string) bool {
		for route := range strings.SplitSeq(w.routers[router].routes(), "\n") {
			if strings.HasPrefix(route, centre) {
				return strings.Contains(route, " "+via)
			}
		}
		return false
	}
	byHub, byA, byB := fmt.Sprintf(via, cloud1, hub), fmt.Sprintf(via, site, a), fmt.Sprintf(via, site, b)
	w.until(time.Minute, func() bool { return goes("a", byB) })
	w.run(time.Duration(seed) * time.Second / 50)
	w.cut["cloud1"] = false
	for began := w.now; !goes("a", byHub) || !goes("b", byA); w.run(100 * time.Microsecond) {
		if w.now-began > 2*time.Minute {
			t.Fatalf("seed %d: not as before: %q, %q", seed, w.routers["a"].routes(), w.routers["b"].routes())
		}
		if goes("a", byB) && goes("b", byA) {
			t.Fatalf("seed %d, %v: a and b send to each other", seed, w.now)
		}
	}
}
