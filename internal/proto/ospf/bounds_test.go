package ospf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// One seed, one trace: the numbers of LSAs of OSPFv3, which are given as they come, are the same in each run.
func TestRangesAreNumberedInOrder(t *testing.T) {
	told := func() string {
		w := newWorld(t, 1)
		inner := Area{ID: 1, Interfaces: []Interface{lan("lan")}}
		var lans []string
		for k := range 8 {
			inner.Ranges = append(inner.Ranges, Range{Prefix: netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", k))})
			lans = append(lans, fmt.Sprintf("2001:db8:%x:1::1/64", k))
		}
		cfg := Config{Version: wire.V3, RouterID: id("1.1.1.1"), Areas: []Area{inner, {Interfaces: []Interface{p2p("e0")}}}}
		a := w.add("a", cfg, "lan l fe80::1/64,"+strings.Join(lans, ","), "e0 s fe80::1/64")
		w.run(30 * time.Second)
		return a.database(0)
	}
	first := told()
	if n := strings.Count(first, "summary"); n != 8 {
		t.Fatalf("%d summaries, want 8:\n%s", n, first)
	}
	if again := told(); again != first {
		t.Errorf("once\n%s\nand once\n%s", first, again)
	}
}

// What waits to be originated in an area that is left is not originated: nothing of it stays, and no timer.
func TestAreaIsLeftForGood(t *testing.T) {
	w := pair(t, 1, nil)
	a := w.routers["a"]
	w.run(time.Minute)
	for _, cost := range []uint32{7, 8} { // the second waits, MinLSInterval
		cfg := oneArea("1.1.1.1", p2p("e0"), lan("lan"))
		cfg.Areas[0].Interfaces[1].Cost = cost
		a.reconfigure(cfg)
	}
	a.reconfigure(Config{RouterID: id("1.1.1.1"), Areas: []Area{{ID: 5, Interfaces: []Interface{lan("lan")}}}})
	w.run(time.Minute)
	inst := a.m.instances["ospf"]
	for _, e := range inst.ages {
		if e.db.lsas[e.key()] != e || inst.areas[e.db.area.id] != e.db.area {
			t.Errorf("%v of area %v is there still", e.key(), e.db.area.id)
		}
	}
	a.reconfigure(Config{RouterID: id("1.1.1.1")})
	a.loop.Timers(func(module string, timer *core.Timer) {
		if _, ours := timer.Of.(*origin); ours {
			t.Errorf("timer %s of %v is armed", timer.Name, timer.Of.(*origin).key)
		}
	})
}

// Routers that come to a network once and go for good leave nothing behind.
func TestNeighborsThatGoAreForgotten(t *testing.T) {
	for _, tt := range []struct {
		network Interface
		most    int
	}{{p2mp("e0"), 0}, {bcast("e0", 1), 1}} {
		t.Run(tt.network.Network.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", oneArea("1.1.1.1", tt.network), "e0 s 10.0.0.1/16")
			w.run(time.Minute)
			for k := range 20 {
				f := newFoe(a, "e0", fmt.Sprintf("9.9.9.%d", k), fmt.Sprintf("10.0.1.%d", k))
				f.befriend()
				w.run(time.Minute)
			}
			if n := len(a.m.instances["ospf"].find("e0").lost); n > tt.most {
				t.Errorf("%d are remembered", n)
			}
		})
	}
}

// RFC 2328 14: an LSA of ours that cannot be refreshed, since what it is to say has become too long, ends with its age.
func TestWhatCannotBeRefreshedEnds(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", lan("lan")), "lan l 192.168.1.1/24")
	w.run(time.Minute)
	a.setLink("lan", func(l *core.Link) {
		for k := range 5461 {
			l.Addresses = append(l.Addresses, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.1/24", k/250, k%250)))
		}
	})
	w.run(time.Minute)
	if a.problems() != "limit" {
		t.Errorf("problems %q", a.problems())
	}
	w.run(wire.LSRefreshTime)
	if a.database(0) == "" {
		t.Error("it has ended before its age")
	}
	w.run(wire.LSRefreshTime)
	if a.database(0) != "" {
		t.Errorf("an hour later:\n%s", a.database(0))
	}
}

// BenchmarkHubLosesAll is a hub whose uplink fails: BFD tells of each of 2,000 spokes.
func BenchmarkHubLosesAll(b *testing.B) {
	const spokes = 2000
	for b.Loop() {
		b.StopTimer()
		w := newWorld(&testing.T{}, 1)
		cfg := oneArea("1.1.1.1", p2mp("t"))
		cfg.Areas[0].Interfaces[0].Liveness = &Liveness{Interval: time.Second, Multiplier: 3}
		cfg.MaxExchanges = spokes
		a := w.add("a", cfg, "t cloud 10.1.0.1/16 hub")
		for k := range spokes {
			newFoe(a, "t", wire.RouterID(0x09000000+k).String(), wire.Addr4(uint32(0x0a010100+k)).String()).befriend()
		}
		b.StartTimer()
		for k := range spokes {
			target := liveness.Target{Peer: wire.Addr4(uint32(0x0a010100 + k)), Local: addr("10.1.0.1"), Interface: "t"}
			a.loop.Post(Name, core.Notice{Body: liveness.State{Target: target, For: "ospf", Status: liveness.Down}})
		}
		a.loop.Run(w.now)
		if n := a.m.Instances(w.now)[0].Neighbors; n != 0 {
			b.Fatalf("%d are left", n)
		}
	}
}

// RFC 2328 12.1.6: once the last sequence number was flushed the first one comes again, whatever was flushed before.
func TestFirstSequenceNumberAfterTheLast(t *testing.T) {
	w := pair(t, 1, func(_, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	b, route := w.routers["b"], static("172.16.0.0/16")
	flap := func() {
		b.loop.Post("others", route)
		w.run(time.Minute)
		b.loop.Post("others", route.Key())
		w.run(time.Minute)
	}
	flap()
	flap()
	b.loop.Post("others", route)
	w.run(time.Minute)
	k := wire.LSAKey{Type: 5, ID: wire.Uint4(addr("172.16.0.0")), Router: id("2.2.2.2")}
	l, err := wire.Build(wire.V2, k, 1, wire.MaxSequence, &wire.External{Prefix: route.Prefix, Metric: 9, Options: wire.OptE})
	if err != nil {
		t.Fatal(err)
	}
	w.inject("a", b, &wire.Update{LSAs: []wire.LSA{l}})
	w.run(time.Minute)
	if e := b.m.instances["ospf"].db.lsas[k]; e == nil || e.Header.Sequence != wire.InitialSequence {
		t.Errorf("%+v, want the first sequence number", e)
	}
	w.wantEqual(0, "a", "b")
}
