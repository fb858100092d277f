package ospf

import (
	"testing"
	"time"
)

func bcast(name string, priority uint8) Interface {
	return Interface{Name: name, Network: Broadcast, Priority: priority}
}

func p2p(name string) Interface  { return Interface{Name: name, Network: PointToPoint} }
func p2mp(name string) Interface { return Interface{Name: name, Network: PointToMultipoint} }
func lan(name string) Interface  { return Interface{Name: name, Network: Broadcast, Passive: true} }

func TestPointToPoint(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", oneArea("1.1.1.1", p2p("e0"), lan("lan")), "e0 s 10.0.0.1/30", "lan la 192.168.1.1/24")
	w.add("b", oneArea("2.2.2.2", p2p("e0"), lan("lan")), "e0 s 10.0.0.2/30", "lan lb 192.168.2.1/24")
	w.run(30 * time.Second)
	w.wantStates("a", "2.2.2.2 full")
	w.wantStates("b", "1.1.1.1 full")
	w.wantEqual(0, "a", "b")
	w.wantRoutes("a", "192.168.2.0/24 20 10.0.0.2@e0")
	w.wantRoutes("b", "192.168.1.0/24 20 10.0.0.1@e0")
}

func TestBroadcast(t *testing.T) {
	w := newWorld(t, 1)
	w.add("hub", oneArea("1.1.1.1", bcast("e0", 2)), "e0 s 10.0.0.1/24")
	w.add("hub2", oneArea("2.2.2.2", bcast("e0", 1)), "e0 s 10.0.0.2/24")
	w.add("a", oneArea("3.3.3.3", bcast("e0", 0), lan("lan")), "e0 s 10.0.0.3/24", "lan la 192.168.3.1/24")
	w.add("b", oneArea("4.4.4.4", bcast("e0", 0), lan("lan")), "e0 s 10.0.0.4/24", "lan lb 192.168.4.1/24")
	w.run(90 * time.Second)
	w.wantStates("hub", "2.2.2.2 full bdr, 3.3.3.3 full other, 4.4.4.4 full other")
	w.wantStates("a", "1.1.1.1 full dr, 2.2.2.2 full bdr, 4.4.4.4 two-way other")
	w.wantEqual(0, "hub", "hub2", "a", "b")
	w.wantRoutes("a", "192.168.4.0/24 20 10.0.0.4@e0")
	w.routers["hub"].off = true
	w.run(90 * time.Second)
	w.wantStates("a", "2.2.2.2 full dr, 4.4.4.4 two-way other")
	w.wantRoutes("a", "192.168.4.0/24 20 10.0.0.4@e0")
}

func TestCloud(t *testing.T) {
	for _, tt := range []struct {
		name       string
		hub, spoke Interface
	}{
		{"point-to-multipoint with multicast hellos", p2mp("t"), p2mp("t")},
		{"a point-to-point spoke and a point-to-multipoint hub", p2mp("t"), p2p("t")},
		{"unicast hellos to listed neighbours", Interface{Name: "t", Network: PointToMultipoint, Unicast: true},
			Interface{Name: "t", Network: PointToMultipoint, Unicast: true, Neighbors: []Peer{{Address: addr("10.0.0.1")}}}},
		{"a spoke with unicast hellos and a hub with multicast", p2mp("t"),
			Interface{Name: "t", Network: PointToMultipoint, Unicast: true, Neighbors: []Peer{{Address: addr("10.0.0.1")}}}},
		{"non-broadcast", Interface{Name: "t", Network: NBMA, Priority: 1}, Interface{Name: "t", Network: NBMA, Neighbors: []Peer{{Address: addr("10.0.0.1"), Priority: 1}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.add("hub", oneArea("1.1.1.1", tt.hub, lan("lan")), "t cloud 10.0.0.1/24 hub", "lan lh 192.168.1.1/24")
			w.add("a", oneArea("2.2.2.2", tt.spoke, lan("lan")), "t cloud 10.0.0.2/24", "lan la 192.168.2.1/24")
			w.add("b", oneArea("3.3.3.3", tt.spoke, lan("lan")), "t cloud 10.0.0.3/24", "lan lb 192.168.3.1/24")
			w.run(100 * time.Second)
			role := ""
			if tt.hub.Network == NBMA {
				role = " other"
			}
			w.wantStates("hub", "2.2.2.2 full"+role+", 3.3.3.3 full"+role)
			w.wantEqual(0, "hub", "a", "b")
			t.Log(w.routers["a"].routes())
			t.Log(w.routers["hub"].routes())
		})
	}
}
