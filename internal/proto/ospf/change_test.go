package ospf

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// reconfigure gives a router another configuration.
func (r *router) reconfigure(cfg Config) {
	if cfg.Name == "" {
		cfg.Name = "ospf"
	}
	if cfg.Version == 0 {
		cfg.Version = wire.V2
	}
	r.loop.Post(Name, core.Request{Body: Configure{[]Config{cfg}}})
	r.loop.Run(r.w.now)
}

// Every key changes while the router runs. What neighbours need not know of ends no adjacency.
func TestReconfiguration(t *testing.T) {
	type look func(w *world) string
	routesOf := func(name string) look { return func(w *world) string { return w.routers[name].routes() } }
	metric := func(w *world) string {
		var out []string
		for r := range w.routers["a"].loop.RIB().Offers("") {
			if r.Protocol == rib.OSPF {
				out = append(out, r.Prefix.String()+" "+string(rune('0'+r.Distance%10)))
			}
		}
		return strings.Join(out, " ")
	}
	iface := func(c *Config) *Interface { return &c.Areas[0].Interfaces[0] }
	for _, tt := range []struct {
		name   string
		change func(a *Config)
		ends   bool // the adjacency, for a while or for good
		state  string
		look   look
		want   string
	}{
		{"cost", func(a *Config) { iface(a).Cost = 25 }, false, "2.2.2.2 full", routesOf("a"), "192.168.2.0/24 35 10.0.0.2@e0"},
		{"reference-bandwidth", func(a *Config) { iface(a).Bandwidth, a.Reference = 10e6, 1e9 }, false, "2.2.2.2 full", routesOf("a"), "192.168.2.0/24 110 10.0.0.2@e0"},
		{"distance", func(a *Config) { a.Distance = 115 }, false, "2.2.2.2 full", metric, "192.168.2.0/24 5"},
		{"priority", func(a *Config) { iface(a).Priority = 9 }, false, "2.2.2.2 full", routesOf("b"), "192.168.1.0/24 20 10.0.0.1@e0"},
		{"passive of another", func(a *Config) { a.Areas[0].Interfaces[1].Passive = false }, false, "2.2.2.2 full", routesOf("b"), "192.168.1.0/24 20 10.0.0.1@e0"},
		{"an interface more", func(a *Config) { a.Areas[0].Interfaces = append(a.Areas[0].Interfaces, lan("lan2")) }, false, "2.2.2.2 full", routesOf("b"),
			"192.168.1.0/24 20 10.0.0.1@e0\n192.168.9.0/24 20 10.0.0.1@e0"},
		{"an interface less", func(a *Config) { a.Areas[0].Interfaces = a.Areas[0].Interfaces[:1] }, false, "2.2.2.2 full", routesOf("b"), ""},
		{"an area more", func(a *Config) { a.Areas = append(a.Areas, Area{ID: 5, Interfaces: []Interface{lan("lan2")}}) }, false, "2.2.2.2 full", routesOf("b"),
			"192.168.1.0/24 20 10.0.0.1@e0\n192.168.9.0/24 20 10.0.0.1@e0"},
		{"an interface into another area", func(a *Config) {
			a.Areas = append(a.Areas, Area{ID: 5, Interfaces: []Interface{lan("lan")}})
			a.Areas[0].Interfaces = a.Areas[0].Interfaces[:1]
		}, false, "2.2.2.2 full", routesOf("b"), "192.168.1.0/24 20 10.0.0.1@e0"},
		{"redistribution", func(a *Config) { a.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 3}} }, false, "2.2.2.2 full", routesOf("b"),
			"192.0.2.0/24 3 10.0.0.1@e0\n192.168.1.0/24 20 10.0.0.1@e0"},
		{"a default route", func(a *Config) { a.Default = &DefaultRoute{Always: true} }, false, "2.2.2.2 full", routesOf("b"),
			"0.0.0.0/0 1 10.0.0.1@e0\n192.168.1.0/24 20 10.0.0.1@e0"},
		{"stub router", func(a *Config) { a.StubRouter.Always = true }, false, "2.2.2.2 full", routesOf("b"), "192.168.1.0/24 20 10.0.0.1@e0"},
		{"timers on one side", func(a *Config) { iface(a).Hello, iface(a).Dead = 5*time.Second, 20*time.Second }, true, "", nil, ""},
		{"retransmission, delay, poll", func(a *Config) {
			iface(a).Retransmit, iface(a).TransmitDelay, iface(a).Poll = 3*time.Second, 2*time.Second, time.Minute
		}, false, "2.2.2.2 full", nil, ""},
		{"mtu-ignore", func(a *Config) { iface(a).MTUIgnore = true }, false, "2.2.2.2 full", nil, ""},
		{"authentication on one side", func(a *Config) { iface(a).Keys = key(1, wire.SHA256, "x") }, true, "", nil, ""},
		{"passive", func(a *Config) { iface(a).Passive = true }, true, "", routesOf("b"), ""},
		{"the kind of network, to one that goes with the other", func(a *Config) { iface(a).Network = PointToMultipoint }, true, "2.2.2.2 full", routesOf("b"),
			"192.168.1.0/24 20 10.0.0.1@e0"},
		{"the kind of area, on one side", func(a *Config) { a.Areas[0].ID = 1; a.Areas[0].Kind = Stub }, true, "", routesOf("b"), ""},
		{"the router ID", func(a *Config) { a.RouterID = id("7.7.7.7") }, true, "2.2.2.2 full", routesOf("b"), "192.168.1.0/24 20 10.0.0.1@e0"},
		{"max-paths, throttles, limits", func(a *Config) { a.MaxPaths, a.MaxLSAs, a.SPF.Initial, a.SPF.Hold, a.SPF.Max = 2, 100, 1, 2, 3 }, false, "2.2.2.2 full", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			cfg := func() Config { return oneArea("1.1.1.1", p2p("e0"), lan("lan")) }
			a := w.add("a", cfg(), "e0 s 10.0.0.1/30", "lan la 192.168.1.1/24", "lan2 lc 192.168.9.1/24")
			b := w.add("b", oneArea("2.2.2.2", p2p("e0"), lan("lan")), "e0 s 10.0.0.2/30", "lan lb 192.168.2.1/24")
			a.loop.Post("others", static("192.0.2.0/24"))
			w.run(70 * time.Second)
			w.wantStates("a", "2.2.2.2 full")
			a.logs, b.logs = nil, nil
			changed := cfg()
			tt.change(&changed)
			a.reconfigure(changed)
			w.run(80 * time.Second)
			w.wantStates("a", tt.state)
			if left := strings.Contains(strings.Join(append(a.logs, b.logs...), "\n"), "from full"); left != tt.ends {
				t.Errorf("the adjacency ended: %v, want %v", left, tt.ends)
			}
			if tt.look == nil {
				return
			}
			if got := tt.look(w); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// RFC 2328 D.3, RFC 7474, RFC 7166: keys change one router after the other, and no adjacency ends.
func TestKeysRollOver(t *testing.T) {
	k := func(id uint32, a wire.Algorithm, extended bool) wire.Key {
		return wire.Key{ID: id, Algorithm: a, Secret: []byte{byte(id), 's'}, Extended: extended}
	}
	for _, tt := range []struct {
		name     string
		v        wire.Version
		from, to wire.Key
	}{
		{"MD5 to HMAC-SHA-256", wire.V2, k(1, wire.MD5, false), k(2, wire.SHA256, false)},
		{"HMAC-SHA-256 to one with long sequence numbers", wire.V2, k(1, wire.SHA256, false), k(2, wire.SHA256, true)},
		{"and back", wire.V2, k(2, wire.SHA256, true), k(1, wire.SHA256, false)},
		{"simple to HMAC", wire.V2, k(0, wire.Simple, false), k(1, wire.SHA512, false)},
		{"OSPFv3", wire.V3, k(1, wire.SHA256, false), k(2, wire.SHA512, false)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			with := func(router string, keys ...wire.Key) Config {
				c := oneArea(router, bcast("e0", 1))
				c.Version, c.Areas[0].Interfaces[0].Keys = tt.v, keys
				return c
			}
			ids := map[string]string{"a": "1.1.1.1", "b": "2.2.2.2"}
			w.add("a", with("1.1.1.1", tt.from), "e0 s 10.0.0.1/24,fe80::1/64")
			w.add("b", with("2.2.2.2", tt.from), "e0 s 10.0.0.2/24,fe80::2/64")
			w.run(90 * time.Second)
			if !strings.Contains(w.routers["a"].states(), "full") {
				t.Fatal(w.routers["a"].states(), w.routers["a"].problems())
			}
			w.routers["a"].logs, w.routers["b"].logs = nil, nil
			for _, keys := range [][]wire.Key{{tt.from, tt.to}, {tt.to, tt.from}, {tt.to}} {
				for _, name := range []string{"a", "b"} {
					w.routers[name].reconfigure(with(ids[name], keys...))
					w.run(50 * time.Second)
				}
			}
			for name := range ids {
				if logs := strings.Join(w.routers[name].logs, "\n"); strings.Contains(logs, "from full") {
					t.Errorf("%s lost its neighbour:\n%s", name, logs)
				}
				if p := w.routers[name].problems(); p != "" {
					t.Errorf("%s: problems %s", name, p)
				}
			}
			for _, r := range []string{"a", "b"} {
				w.routers[r].logs = nil
			}
			w.routers["a"].reconfigure(with("1.1.1.1", tt.from))
			w.run(50 * time.Second)
			if got := w.routers["b"].problems(); got != "authentication" {
				t.Errorf("after the old key alone: problems %q", got)
			}
		})
	}
}

// RFC 7474 2: a router whose clock goes back in a restart is not taken for a replay.
func TestClockGoesBack(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			with := func(router string) Config {
				c := oneArea(router, p2p("e0"))
				c.Version, c.Areas[0].Interfaces[0].Keys = v, key(1, wire.SHA256, "secret")
				return c
			}
			a := w.add("a", with("1.1.1.1"), "e0 s 10.0.0.1/24,fe80::1/64")
			w.add("b", with("2.2.2.2"), "e0 s 10.0.0.2/24,fe80::2/64")
			w.run(time.Hour)
			a.boot(with("1.1.1.1"))
			a.loop.Clock = func() time.Time { return time.Unix(1, 0) }
			w.run(15 * time.Second)
			w.wantStates("b", "1.1.1.1 full")
			if got := w.routers["b"].problems(); got != "" {
				t.Errorf("problems %q", got)
			}
			w.run(time.Hour)
			w.wantStates("b", "1.1.1.1 full")
		})
	}
}

// A neighbour whose address or interface changes without a word stays one, and routes follow it.
func TestNeighborMoves(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			cfg := oneArea("1.1.1.1", p2p("e0"))
			cfg.Version = v
			cfg.Areas[0].Interfaces[0].Liveness = &Liveness{Interval: time.Second, Multiplier: 3}
			a := w.add("a", cfg, "e0 s 10.0.0.1/24,fe80::1/64")
			f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
			f.v = v
			one, two, want := "10.0.0.9", "10.0.0.8", "192.168.9.0/24 20 10.0.0.8@e0"
			body := wire.LSABody(&wire.RouterLSA{Options: wire.OptE, Links: []wire.Link{{Kind: wire.LinkPointToPoint, ID: 0x01010101, Data: wire.Uint4(addr("10.0.0.9")), Metric: 10},
				{Kind: wire.LinkStub, ID: wire.Uint4(addr("192.168.9.0")), Data: wire.Mask(24), Metric: 10}}})
			k := wire.LSAKey{Type: 1, ID: uint32(id("9.9.9.9")), Router: id("9.9.9.9")}
			lsas := []wire.LSA{}
			if v == wire.V3 {
				one, two, want = "fe80::9", "fe80::8", "2001:db8:9::/64 20 fe80::8@e0"
				k = wire.LSAKey{Type: 0x2001, Router: f.id}
				body = &wire.RouterLSA{Options: wire.OptE | wire.OptR | wire.OptV6, Links: []wire.Link{{Kind: wire.LinkPointToPoint, Interface: 77, NeighborInterface: 1, Neighbor: 0x01010101, Metric: 10}}}
				l, _ := wire.Build(v, wire.LSAKey{Type: 0x2009, Router: f.id}, 1, wire.InitialSequence, &wire.IntraAreaPrefix{RefType: 0x2001, RefRouter: f.id,
					Prefixes: []wire.PrefixEntry{{Prefix: netip.MustParsePrefix("2001:db8:9::/64"), Metric: 10}}})
				lsas = append(lsas, l)
			}
			f.src = addr(one)
			l, err := wire.Build(v, k, 1, wire.InitialSequence, body)
			if err != nil {
				t.Fatal(err)
			}
			f.befriend()
			f.say(&wire.Update{LSAs: append(lsas, l)})
			f.stay(20 * time.Second)
			if !strings.Contains(a.routes(), one) {
				t.Fatalf("routes:\n%s\n%+v", a.routes(), a.m.Database(w.now))
			}
			f.src = addr(two)
			f.stay(20 * time.Second)
			if f.state() != "full" || a.routes() != want {
				t.Errorf("%s, routes\n%s\nwant\n%s", f.state(), a.routes(), want)
			}
		})
	}
}

// Two routers of one ID on a network of OSPFv3: one of them is a neighbour, and does not flap.
func TestTwinsOfVersion3(t *testing.T) {
	w := newWorld(t, 1)
	cfg := func(router string) Config {
		c := oneArea(router, bcast("e0", 1))
		c.Version = wire.V3
		return c
	}
	a := w.add("a", cfg("1.1.1.1"), "e0 s fe80::1/64")
	w.add("b", cfg("2.2.2.2"), "e0 s fe80::2/64")
	w.run(90 * time.Second)
	a.logs = nil
	w.add("twin", cfg("2.2.2.2"), "e0 s fe80::3/64")
	w.run(5 * time.Minute)
	if got := a.problems(); !strings.Contains(got, "router-id") {
		t.Errorf("problems %q, want router-id", got)
	}
	if n := strings.Count(strings.Join(a.logs, "\n"), "from full"); n > 1 {
		t.Errorf("the neighbour was lost %d times", n)
	}
}
