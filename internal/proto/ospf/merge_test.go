package ospf

import (
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// Two LANs, each with its designated router and backup, become one: the pair with the lower router IDs steps down (RFC 2328
// 9.4), and their adjacency is none any more (10.3, AdjOK?). The network still leads from one to the other.
func TestMergedLANs(t *testing.T) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		t.Run(v.String(), func(t *testing.T) {
			w := newWorld(t, 3)
			for _, r := range []struct{ name, id, segment, port, lan string }{
				{"a", "1.1.1.1", "s1", "10.0.0.1/24,2001:db8::1/64,fe80::1/64", "192.168.1.1/24,2001:db8:1::1/64,fe80::1/64"},
				{"b", "2.2.2.2", "s1", "10.0.0.2/24,2001:db8::2/64,fe80::2/64", "192.168.2.1/24,2001:db8:2::1/64,fe80::2/64"},
				{"c", "3.3.3.3", "s2", "10.0.0.3/24,2001:db8::3/64,fe80::3/64", "192.168.3.1/24,2001:db8:3::1/64,fe80::3/64"},
				{"d", "4.4.4.4", "s2", "10.0.0.4/24,2001:db8::4/64,fe80::4/64", "192.168.4.1/24,2001:db8:4::1/64,fe80::4/64"},
			} {
				cfg := oneArea(r.id, bcast("e0", 1), lan("lan"))
				cfg.Version = v
				w.add(r.name, cfg, "e0 "+r.segment+" "+r.port, "lan l"+r.name+" "+r.lan)
			}
			w.run(60 * time.Second)
			w.wantStates("a", "2.2.2.2 full dr")
			for _, r := range w.order {
				r.ports["e0"].segment = "s1"
			}
			w.run(2 * time.Minute)
			w.wantStates("a", "2.2.2.2 two-way other, 3.3.3.3 full bdr, 4.4.4.4 full dr")
			w.wantEqual(0, "a", "b", "c", "d")
			if v == wire.V2 {
				w.wantRoutes("a", "192.168.2.0/24 20 10.0.0.2@e0", "192.168.3.0/24 20 10.0.0.3@e0", "192.168.4.0/24 20 10.0.0.4@e0")
			} else {
				w.wantRoutes("a", "2001:db8:2::/64 20 fe80::2@e0", "2001:db8:3::/64 20 fe80::3@e0", "2001:db8:4::/64 20 fe80::4@e0")
			}
		})
	}
}
