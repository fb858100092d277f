package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Areas of every kind, each a segment with the same three border routers, one of each make, and routers inside of it. All
// stand in places that are alike, so that what they say, and their routes, are alike too.
//
//	0  backbone, with an ASBR of each make outside of the areas
//	1  normal, with an ASBR inside
//	2  stub
//	3  totally stubby
//	4  NSSA, with ASBRs inside
//	5  totally stubby NSSA
var areaKinds = map[int]area{
	1: {ranges: []string{"10.144.0.0/13", "fd00:150::/44"}},
	2: {kind: "stub"},
	3: {kind: "stub", noSummary: true},
	4: {kind: "nssa", defaults: true},
	5: {kind: "nssa", noSummary: true},
}

// inside of an area a router does not say what a border router does.
func inArea(id int) map[int]area {
	return map[int]area{id: {kind: areaKinds[id].kind}}
}

// areaVersions leaves FRR's OSPFv3 out. When many routers begin at once, ospf6d flushes LSAs of its own, takes one of them that
// it has seen at MaxAge from a neighbour that had not yet, in answer to a request, and keeps it for an hour; ours send none such.
func areaVersions(make string) []string {
	if make == "frr" {
		return []string{v2}
	}
	return nil
}

// borderPlace is a border router of all areas.
func borderPlace(name, make string, number int) place {
	p := place{name: name, make: make, number: number, areas: areaKinds, versions: areaVersions(make)}
	for id := range 6 {
		p.ports = append(p.ports, port{segment: id, area: id})
	}
	return p
}

// innerPlace is a router in one area, with a LAN of its own.
func innerPlace(name, make string, number, id int, x *externals) place {
	return place{name: name, make: make, number: number, areas: inArea(id), versions: areaVersions(make), externals: x, ports: []port{
		{segment: id, area: id}, {segment: 140 + number, area: id, passive: true, cost: 1}}}
}

// TestOSPFAreas has all kinds of areas in one network.
func TestOSPFAreas(t *testing.T) {
	w := newWorld(t)
	x := func(kind, metric, tag int) *externals { return &externals{kind: kind, metric: metric, tag: tag} }
	w.start(
		borderPlace("ours", "ours", 1), borderPlace("frr", "frr", 2), borderPlace("bird", "bird", 3),
		innerPlace("u0", "ours", 10, 0, x(1, 7, 70)), innerPlace("f0", "frr", 11, 0, x(2, 8, 80)), innerPlace("b0", "bird", 12, 0, x(1, 9, 90)),
		innerPlace("u1", "ours", 13, 1, x(2, 11, 110)), innerPlace("b1", "bird", 14, 1, nil),
		innerPlace("u2", "ours", 20, 2, nil), innerPlace("f2", "frr", 21, 2, nil),
		innerPlace("u3", "ours", 22, 3, nil), innerPlace("b3", "bird", 23, 3, nil),
		innerPlace("u4", "ours", 30, 4, x(1, 12, 120)), innerPlace("f4", "frr", 31, 4, x(2, 13, 130)), innerPlace("b4", "bird", 32, 4, x(2, 14, 140)),
		innerPlace("u5", "ours", 33, 5, x(2, 15, 150)), innerPlace("b5", "bird", 34, 5, nil),
	)
	w.part("all are adjacent", func() { w.adjacentOnLAN(60 * time.Second) })
	w.part("databases are identical", func() { w.identical(60 * time.Second) })
	w.part("routers in like places have like routes", func() { w.alike(60 * time.Second) })
	w.decoded()
}

// adjacentOnLAN wants each router to be full with whoever is designated on its segments: on a LAN the others stay 2-Way.
func (w *world) adjacentOnLAN(limit time.Duration) {
	w.t.Helper()
	for _, m := range w.routers {
		for _, v := range m.speaking() {
			w.within(limit, fmt.Sprintf("%s (%s) is adjacent in %s", m.name, m.make, v), func() error {
				full, err := m.fullWith(v)
				for _, q := range m.in(v) {
					count := 0
					for _, row := range full {
						if strings.HasPrefix(row, q.name()+" ") {
							count++
						}
					}
					if !q.passive && count < 2 && err == nil {
						err = fmt.Errorf("%s has %v", m.name, full)
					}
				}
				return err
			})
		}
	}
}

// alike compares the routes of each router with those of another one of ours, FRR's or BIRD's in a like place, but for those
// that lead to either.
func (w *world) alike(limit time.Duration) {
	w.t.Helper()
	for _, group := range w.groups() {
		for _, ipv6 := range []bool{false, true} {
			for _, m := range group[1:] {
				if ipv6 && !m.speaks(v3) {
					continue
				}
				w.within(limit, fmt.Sprintf("%s has the routes that %s has, IPv6 %v", m.name, group[0].name, ipv6), func() error {
					return sameRoutes(group[0], m, ipv6)
				})
			}
		}
	}
}

// groups are the routers with ports in the same areas.
func (w *world) groups() (all [][]*member) {
	for _, m := range w.routers {
		i := slices.IndexFunc(all, func(g []*member) bool { return slices.Equal(g[0].areaIDs(v2), m.areaIDs(v2)) })
		if i < 0 {
			all = append(all, []*member{m})
			continue
		}
		all[i] = append(all[i], m)
	}
	return all
}

func sameRoutes(a, b *member, ipv6 bool) error {
	of, err := a.kernelRoutes(ipv6)
	if err != nil {
		return err
	}
	than, err := b.kernelRoutes(ipv6)
	if err != nil {
		return err
	}
	if b.make == "frr" && len(b.areas) > 1 { // it takes the default route that other border routers tell a stub area of
		than = withoutDefault(than)
	}
	for _, x := range []*member{a, b} {
		of, than = withoutTo(of, x, ipv6), withoutTo(than, x, ipv6)
	}
	if len(of) == 0 {
		return fmt.Errorf("%s has but %v", a.name, of)
	}
	if ipv6 && b.make == "bird" && a.areas[a.ports[0].area].kind == "nssa" { // of equal defaults of border routers it takes one
		of, than = withoutDefault(of), withoutDefault(than)
	}
	return differ("kernel", a, b, of, than)
}

func withoutDefault(rows []string) []string {
	return slices.DeleteFunc(rows, func(row string) bool { return strings.HasPrefix(row, "0.0.0.0/0 ") || strings.HasPrefix(row, "::/0 ") })
}

// withoutTo leaves out the routes to what a router has itself, and those by it.
func withoutTo(rows []string, m *member, ipv6 bool) []string {
	own := m.prefixes(ipv6)
	for _, q := range m.ports {
		own = append(own, map[bool]string{false: q.subnet(), true: q.subnet6()}[ipv6])
	}
	return slices.DeleteFunc(rows, func(row string) bool {
		prefix, _, _ := strings.Cut(row, " ")
		return slices.Contains(own, prefix)
	})
}
