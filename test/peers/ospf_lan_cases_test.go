package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Two LANs with ours and FRR on both, BIRD on one and another of ours on the other:
//
//	bird ── segment 0 ──┬── ours ──┬── segment 1 ── edge
//	                    └── frr ───┘
type lans struct {
	*world
	ours, frr, bird, edge *member
}

// The LANs at either end, by whether they are of IPv6.
var (
	leftLAN = map[bool]string{false: port{segment: 163}.subnet(), true: port{segment: 163}.subnet6()}
	edgeLAN = map[bool]string{false: port{segment: 164}.subnet(), true: port{segment: 164}.subnet6()}
)

func TestOSPFOnLANs(t *testing.T) {
	w := newWorld(t)
	ours := place{name: "ours", make: "ours", number: 1, ports: []port{{segment: 0, priority: 3}, {segment: 1, priority: 3}}}
	frr := place{name: "frr", make: "frr", number: 2, ports: []port{{segment: 0, priority: 2}, {segment: 1, priority: 2}}}
	bird := place{name: "bird", make: "bird", number: 3, ports: []port{{segment: 0}, {segment: 163, passive: true}}}
	edge := place{name: "edge", make: "ours", number: 4, ports: []port{{segment: 1, priority: never}, {segment: 164, passive: true}}}
	made := w.start(ours, frr, bird, edge)
	c := &lans{world: w, ours: made[0], frr: made[1], bird: made[2], edge: made[3]}
	w.part("designated routers are agreed on", func() { c.settled() })
	w.part("equal paths by ours and FRR", func() { c.ways(1, 2) })
	w.part("RFC 6987: ours as a stub router", c.stubRouter)
	w.part("RFC 2328 9.4: the designated router dies, and comes back", c.death)
	w.decoded()
}

// settled wants adjacencies, and databases that agree.
func (c *lans) settled() {
	c.t.Helper()
	c.adjacent(60 * time.Second)
	c.identical(60 * time.Second)
	for _, v := range []string{v2, v3} {
		c.within(30*time.Second, "each LAN has one designated router in "+v, func() error {
			for _, m := range []*member{c.ours, c.frr} {
				dr, err := c.designated(m, v)
				if err != nil {
					return err
				}
				if len(dr) != 2 || slices.Contains(dr, c.edge.routerID()) {
					return fmt.Errorf("%s has network-LSAs of %v", m.name, dr)
				}
			}
			return nil
		})
	}
}

// designated are the routers that originate network-LSAs.
func (c *lans) designated(m *member, version string) (all []string, err error) {
	d, err := m.database(version)
	for _, row := range d["area 0.0.0.0"] {
		f := strings.Fields(row)
		if f[0] == "0002" || f[0] == "2002" {
			all = append(all, f[2])
		}
	}
	return all, err
}

// by is a route to a LAN by routers of these numbers on a segment.
func by(lan string, ipv6 bool, segment int, numbers ...int) string {
	var hops []string
	for _, n := range numbers {
		a := port{segment: segment}.address(n)
		if ipv6 {
			a = linkLocal(n)
		}
		hops = append(hops, fmt.Sprintf("via %s dev s%d", a, segment))
	}
	return lan + " " + strings.Join(hops, ", ")
}

// ways wants bird and edge to reach each other by these routers.
func (c *lans) ways(numbers ...int) {
	c.t.Helper()
	for _, ipv6 := range []bool{false, true} {
		c.within(30*time.Second, fmt.Sprintf("bird reaches edge by %v, IPv6 %v", numbers, ipv6), has(c.bird.kernel(ipv6), by(edgeLAN[ipv6], ipv6, 0, numbers...)))
		c.within(30*time.Second, fmt.Sprintf("edge reaches bird by %v, IPv6 %v", numbers, ipv6), has(c.edge.kernel(ipv6), by(leftLAN[ipv6], ipv6, 1, numbers...)))
	}
}

func (c *lans) stubRouter() {
	always := []string{"stub-router: {always: true}"}
	c.ours.reload(func(p *place) { p.text = map[string][]string{v2: always, v3: always} })
	c.ways(2)
	c.ours.reload(func(p *place) { p.text = nil })
	c.ways(1, 2)
	c.settled()
}

// death kills one that may be designated, and then the other: on segment 1 nobody else can take its place. The first is taken
// back, and lets the other be.
func (c *lans) death() {
	c.ours.node.kill()
	c.routers = []*member{c.frr, c.bird, c.edge}
	c.ways(2)
	c.inherited(c.frr)
	c.ours.node.start()
	c.routers = []*member{c.ours, c.frr, c.bird, c.edge}
	c.ways(1, 2)
	c.settled()
	if _, err := c.try("./peer-stop", "frr"); err != nil {
		c.t.Fatal(err)
	}
	c.routers = []*member{c.ours, c.bird, c.edge}
	c.ways(1)
	c.inherited(c.ours)
}

// inherited wants the others to agree, without one that is dead, on another who is designated in its place.
func (c *lans) inherited(heir *member) {
	c.t.Helper()
	c.identical(30 * time.Second)
	for _, v := range []string{v2, v3} {
		c.within(30*time.Second, heir.name+" is designated in "+v, func() error {
			for _, m := range c.routers {
				if dr, err := c.designated(m, v); err != nil || !slices.Contains(dr, heir.routerID()) {
					return fmt.Errorf("%s has network-LSAs of %v, %v", m.name, dr, err)
				}
			}
			return nil
		})
	}
}
