package ospf

import (
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// RFC 2328 12.4.2 and 14.1: when the last neighbour of a designated router dies, the network-LSA is flushed, and the prefix becomes
// one of the router-LSA. That one may have to wait, for losses that come together or since another went out just now: others must
// not lose the prefix meanwhile.
func TestNetworkOutlivesItsLSA(t *testing.T) {
	live := func(i Interface) Interface {
		i.Hello, i.Liveness = time.Second, &Liveness{Interval: 50 * time.Millisecond, Multiplier: 3}
		return i
	}
	for _, tt := range []struct {
		name       string
		version    wire.Version
		lan1, lan2 string // addresses of the two on the LAN
		t1, t2, t3 string // and those of its designated router, of who looks on, and of another
		prefix     string
		throttled  bool // another router-LSA has gone out just now
	}{
		{"OSPFv2", wire.V2, "192.168.0.1/24", "192.168.0.2/24", "10.1.0.2/24", "10.1.0.3/24", "10.1.0.4/24", "192.168.0.0/24", false},
		{"OSPFv2, told of something else just now", wire.V2, "192.168.0.1/24", "192.168.0.2/24", "10.1.0.2/24", "10.1.0.3/24", "10.1.0.4/24", "192.168.0.0/24", true},
		{"OSPFv3", wire.V3, "fe80::a1/64,2001:db8::1/64", "fe80::a2/64,2001:db8::2/64", "fe80::2/64", "fe80::3/64", "fe80::4/64", "2001:db8::/64", false},
		{"OSPFv3, told of something else just now", wire.V3, "fe80::a1/64,2001:db8::1/64", "fe80::a2/64,2001:db8::2/64", "fe80::2/64", "fe80::3/64", "fe80::4/64", "2001:db8::/64", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			add := func(name string, cfg Config, ports ...string) *router {
				cfg.Version = tt.version
				return w.add(name, cfg, ports...)
			}
			add("backup", oneArea("1.1.1.1", live(bcast("lan", 1))), "lan l "+tt.lan1)
			dr := add("dr", oneArea("2.2.2.2", live(p2mp("t")), live(bcast("lan", 2))), "t cloud1 "+tt.t1+" hub", "lan l "+tt.lan2)
			onlooker := add("a", oneArea("3.3.3.3", live(p2mp("t"))), "t cloud1 "+tt.t2)
			add("b", oneArea("4.4.4.4", live(p2mp("t"))), "t cloud1 "+tt.t3)
			w.run(time.Minute)
			w.wantStates("dr", "1.1.1.1 full bdr, 3.3.3.3 full, 4.4.4.4 full")
			lost := func(peer, local, name string) {
				address := func(s string) string { a, _, _ := strings.Cut(s, "/"); return a }
				target := liveness.Target{Peer: addr(address(peer)), Local: addr(address(local)), Interface: name}
				dr.loop.Post(Name, core.Notice{From: liveness.BFD, Body: liveness.State{Target: target, For: "ospf", Status: liveness.Down}})
				dr.loop.Run(w.now)
			}
			if tt.throttled {
				w.routers["b"].off = true
				lost(tt.t3, tt.t1, "t")
				w.run(200 * time.Millisecond)
			}
			w.routers["backup"].off = true
			lost(tt.lan1, tt.lan2, "lan")
			for begin := w.now; w.now < begin+3*time.Second; w.run(time.Millisecond) {
				if !strings.Contains(onlooker.routes(), tt.prefix) {
					t.Fatalf("%v after the neighbour died the prefix is gone:\n%s", w.now-begin, onlooker.routes())
				}
			}
			for _, e := range dr.m.instances["ospf"].areas[0].db.sorted() {
				if e.Header.Function(tt.version) == wire.FunctionNetwork && !e.flushed {
					t.Errorf("the LSA of a network without neighbours is still there: %v", e.Header)
				}
			}
		})
	}
}
