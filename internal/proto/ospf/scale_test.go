package ospf

import (
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// On point-to-multipoint whoever is met is answered at once, and whom NHRP has just reached is greeted: an adjacency does
// not wait for two hello intervals.
func TestGreeting(t *testing.T) {
	for _, tt := range []struct {
		name    string
		reached bool
		within  time.Duration
	}{
		{"met by a hello", false, DefaultHello + time.Second},
		{"reached in the cloud", true, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.add("hub", oneArea("1.1.1.1", p2mp("t")), "t cloud 10.0.0.1/24 hub")
			w.cut["cloud"] = true // the spoke has not registered yet
			a := w.add("a", oneArea("2.2.2.2", p2mp("t")), "t cloud 10.0.0.2/24")
			w.run(time.Second)
			w.cut["cloud"] = false
			if tt.reached {
				a.loop.Post(Name, core.Notice{Body: liveness.Reached{Interface: "t", Peer: addr("10.0.0.1")}})
				a.loop.Run(w.now)
			}
			w.run(tt.within)
			w.wantStates("hub", "2.2.2.2 full")
			w.wantStates("a", "1.1.1.1 full")
			w.run(time.Minute)
			for _, r := range w.order {
				if n := r.m.instances["ospf"].neighbors()[0]; n.unicast {
					t.Errorf("%s thinks that its neighbour wants hellos of its own", r.name)
				}
			}
		})
	}
}

// With flood: own a spoke knows its hubs and what they say, and the hubs know all.
func TestFloodOwn(t *testing.T) {
	w := newWorld(t, 1)
	hub := p2mp("t")
	hub.FloodOwn = true
	for k, name := range []string{"hub1", "hub2"} {
		c := oneArea([]string{"1.1.1.1", "1.1.1.2"}[k], hub, bcast("lan", 1))
		c.Default = &DefaultRoute{Always: true}
		w.add(name, c, "t cloud 10.0.0."+[]string{"1", "2"}[k]+"/24 hub", "lan l 192.168.1."+[]string{"1", "2"}[k]+"/24")
	}
	w.add("a", oneArea("2.2.2.2", p2mp("t"), lan("lan")), "t cloud 10.0.0.3/24", "lan la 192.168.2.1/24")
	w.add("b", oneArea("3.3.3.3", p2mp("t"), lan("lan")), "t cloud 10.0.0.4/24", "lan lb 192.168.3.1/24")
	w.run(2 * time.Minute)
	const viaHubs = "0.0.0.0/0 1 10.0.0.1@t 10.0.0.2@t"
	w.wantRoutes("a", viaHubs, "192.168.1.0/24 20 10.0.0.1@t 10.0.0.2@t")
	w.wantEqual(0, "hub1", "hub2")
	if db := w.routers["a"].database(0); strings.Contains(db, "3.3.3.3") {
		t.Errorf("a knows of b:\n%s", db)
	}
	t.Run("a spoke that restarts outdoes what it said before, RFC 2328 13.4", func(t *testing.T) {
		a := w.routers["a"]
		a.boot(oneArea("2.2.2.2", p2mp("t"))) // without its LAN
		w.run(time.Minute)
		for _, h := range []string{"hub1", "hub2"} {
			if r := w.routers[h].routes(); strings.Contains(r, "192.168.2.0/24") || !strings.Contains(r, "192.168.3.0/24") {
				t.Errorf("%s has\n%s", h, r)
			}
		}
	})
	t.Run("configured otherwise, the neighbours learn the rest", func(t *testing.T) {
		c := oneArea("1.1.1.1", p2mp("t"), bcast("lan", 1))
		c.Name, c.Version = "ospf", wire.V2
		w.routers["hub1"].loop.Post(Name, core.Request{Body: Configure{[]Config{c}}})
		w.run(time.Minute)
		if db := w.routers["a"].database(0); !strings.Contains(db, "3.3.3.3") {
			t.Errorf("a does not know of b:\n%s", db)
		}
	})
}

// What differs in networks behind a router alone does not call for a new tree, and gives the routes that a new one would.
func TestNetworkChange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		k      int
		metric uint16
		cut    bool
		want   spf.Change
	}{
		{"the cost of a network in the middle", 3, 7, false, spf.Prefixes},
		{"the cost of a network at the edge", 49, 9, false, spf.Prefixes},
		{"a link lost at the edge", 49, 1, true, spf.Topology},
		{"the very same", 5, 1, false, spf.Externals},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := newTree(t, 50)
			tree.do(func(env *core.Env) {
				tree.inst.pending, tree.inst.dirty = 0, false
				tree.put(env, tt.k, 101, tree.body(tt.k, tt.cut, tt.metric))
				if got := tree.inst.pending; got != tt.want {
					t.Errorf("computes again what %d changes, not %d", got, tt.want)
				}
				tree.inst.calculate(env)
			})
			if gone, set := spf.Diff(tree.inst.result, spf.Compute(tree.inst.input())); len(gone)+len(set) > 0 {
				t.Errorf("other routes than of a new tree: gone %v, set %v", gone, set)
			}
		})
	}
}
