package peers

import (
	"fmt"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf"
)

// A chain whose ends know each other by OSPF alone:
//
//	left (BIRD) ── segment 0 ── ours ── segment 1 ── frr ── segment 2 ── edge
//
// FRR takes the grace LSAs that a neighbour sends on several links of an area for one, so it has one link with each.
type chain struct {
	*world
	ours, frr, left, edge *member
}

// TestOSPFRestarts restarts a router in the middle, gracefully, for longer than its neighbours would otherwise wait.
func TestOSPFRestarts(t *testing.T) {
	w := newWorld(t)
	graceful := []string{"graceful-restart: {period: 60s}"}
	both := []string{"graceful-restart grace-period 60", "graceful-restart helper enable"}
	theirs := map[string][]string{v2: append([]string{"capability opaque"}, both...), v3: both}
	made := w.start(
		place{name: "ours", make: "ours", number: 1, ports: []port{{segment: 0, network: p2p}, {segment: 1, network: p2p}},
			text: map[string][]string{v2: graceful, v3: graceful}},
		place{name: "frr", make: "frr", number: 2, ports: []port{{segment: 1, network: p2p}, {segment: 2, network: p2p}}, text: theirs},
		place{name: "left", make: "bird", number: 3, ports: []port{{segment: 0, network: p2p}, {segment: 163, passive: true}}},
		place{name: "edge", make: "ours", number: 4, ports: []port{{segment: 2, network: p2p}, {segment: 164, passive: true}}})
	c := &chain{world: w, ours: made[0], frr: made[1], left: made[2], edge: made[3]}
	w.part("all are adjacent", c.settled)
	w.part("RFC 3623: ours restarts, FRR and BIRD wait", c.restartOurs)
	w.part("RFC 3623: FRR restarts, ours wait", c.restartFRR)
	w.decoded()
}

func (c *chain) settled() {
	c.t.Helper()
	c.adjacent(60 * time.Second)
	c.identical(60 * time.Second)
	c.within(30*time.Second, "the ends have each other's LANs", c.ends)
	c.within(30*time.Second, "nobody owes ours an acknowledgment", c.acknowledged)
}

// acknowledged wants everybody to have acknowledged what ours and edge said: for who has not they do not wait (RFC 3623 3.1 item 2), and
// FRR takes a second for it, also before it restarts.
func (c *chain) acknowledged() error {
	for _, m := range []*member{c.ours, c.edge} {
		var rows []ospf.NeighborRow
		if err := m.node.show(&rows, "ospf", "neighbors"); err != nil {
			return err
		}
		for _, r := range rows {
			if r.Unacked > 0 {
				return fmt.Errorf("%s owes %s %d in %s", r.RouterID, m.name, r.Unacked, r.Instance)
			}
		}
	}
	return nil
}

// ends wants the routes from end to end.
func (c *chain) ends() error {
	for _, ipv6 := range []bool{false, true} {
		err := both(has(c.left.kernel(ipv6), by(edgeLAN[ipv6], ipv6, 0, 1)), has(c.edge.kernel(ipv6), by(leftLAN[ipv6], ipv6, 2, 2)))()
		if err != nil {
			return err
		}
	}
	return nil
}

// steady wants the routes to stay while something happens.
func (c *chain) steady(happens func()) {
	c.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		happens()
	}()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(between):
		}
		if err := c.ends(); err != nil {
			<-done
			c.t.Fatalf("a route went meanwhile: %v", err)
		}
	}
}

// away is longer than the dead interval: the silence that the others have to bear.
const away = 6 * time.Second

func (c *chain) restartOurs() {
	c.steady(func() {
		c.ours.node.restart()
		time.Sleep(away)
		c.ours.node.start()
		time.Sleep(away)
	})
	c.settled()
}

// restartFRR has FRR tell of its restart, kills ospfd and ospf6d, and starts them again after a while.
func (c *chain) restartFRR() {
	c.steady(func() {
		c.frr.must("bash", "-c", fmt.Sprintf(`vtysh -c 'graceful-restart prepare ip ospf' -c 'graceful-restart prepare ipv6 ospf'
			sleep 1; kill -9 $(pidof ospfd ospf6d); sleep %d
			for d in ospfd ospf6d; do /usr/lib/frr/$d -d -A 127.0.0.1 --log file:/lab/log/frr.log; done; vtysh -b --no-fork`, int(away.Seconds())))
		time.Sleep(away)
	})
	c.settled()
}
