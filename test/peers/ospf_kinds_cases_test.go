package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// kind is a segment of a kind of network, an area of its own where it is not the backbone, and who is on it: ours, FRR and
// BIRD, as their numbers 1, 2 and 3.
type kind struct {
	network string // of all but:
	of      map[int]string
	unicast bool
	members []int
	without int // who is there in OSPFv2 alone
	key     key
}

// in are the members in a version.
func (k kind) in(version string) []int {
	return slices.DeleteFunc(slices.Clone(k.members), func(n int) bool { return n == k.without && version == v3 })
}

const (
	p2p  = "point-to-point"
	p2mp = "point-to-multipoint"
)

// kinds are, by segment and area, every kind of network with every kind of authentication. Of the HMACs Debian's
// FRR has SHA-256 alone; its OSPFv3 has no nbma, and dies of unicast hellos.
var kinds = []kind{
	{network: "broadcast", members: []int{1, 2, 3}, key: key{"hmac-sha-256", "correct-horse"}},
	{network: p2p, members: []int{1, 2}, key: key{"simple", "battery"}},
	{network: p2p, members: []int{1, 3}, key: key{"hmac-sha-1", "staple"}},
	{network: p2mp, members: []int{1, 2}, key: key{"md5", "multicast"}},
	{network: p2mp, unicast: true, members: []int{1, 2, 3}, without: 2, key: key{"hmac-sha-256", "unicast"}},
	{network: p2mp, of: map[int]string{2: "spoke"}, members: []int{1, 2}, key: key{"hmac-sha-256", "hub"}},
	{network: p2mp, of: map[int]string{1: "spoke"}, members: []int{1, 2}, key: key{"md5", "spoke"}},
	{network: "nbma", members: []int{1, 2, 3}, without: 2, key: key{"md5", "listed"}},
	{network: "nbma", members: []int{1, 3}, key: key{"hmac-sha-512", "two"}},
	{network: "broadcast", members: []int{1, 2}},
	{network: p2mp, unicast: true, members: []int{1, 3}, key: key{"hmac-sha-384", "dear"}},
	{network: p2p, members: []int{1, 3}, key: key{"simple", "clear"}},
}

// stub is the segment of a router's own LAN in an area.
func stub(segment, number int) int { return 100 + 10*segment + number }

// kindPlace is the router of a number on all segments that it is on, with a LAN of its own in each of their areas.
func kindPlace(name, make string, number int, all map[int]kind) place {
	p := place{name: name, make: make, number: number}
	for _, segment := range sortedInts(all) {
		k := all[segment]
		if !slices.Contains(k.members, number) {
			continue
		}
		q := port{segment: segment, area: segment, network: k.network, unicast: k.unicast, key: k.key}
		if other := k.of[number]; other != "" {
			q.network = other
		}
		if k.network == "nbma" || k.unicast {
			q.peers = slices.DeleteFunc(slices.Clone(k.members), func(n int) bool { return n == number })
		}
		if k.without == number {
			q.only = v2
		}
		p.ports = append(p.ports, q, port{segment: stub(segment, number), area: segment, passive: true, cost: 1, only: q.only})
	}
	return p
}

func sortedInts[V any](m map[int]V) (all []int) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// kindRoutes are the routes that the router of a number has to have: it is a border router of all areas that it is in, and
// the others are one step away in the backbone.
func kindRoutes(number int, all map[int]kind, ipv6 bool) (rows []string) {
	hop := func(segment, to int) string {
		if ipv6 {
			return fmt.Sprintf("via %s dev s%d", linkLocal(to), segment)
		}
		return fmt.Sprintf("via %s dev s%d", port{segment: segment}.address(to), segment)
	}
	host := func(segment, of int) string {
		if ipv6 {
			return port{segment: segment}.address6(of) + "/128"
		}
		return port{segment: segment}.address(of) + "/32"
	}
	subnet := func(segment int) string {
		if ipv6 {
			return port{segment: segment}.subnet6()
		}
		return port{segment: segment}.subnet()
	}
	version := map[bool]string{false: v2, true: v3}[ipv6]
	for segment, k := range all {
		way, members := segment, k.in(version)
		if !slices.Contains(members, number) {
			way = 0
		}
		var ends []string // who has the network itself
		for _, to := range members {
			if to == number {
				continue
			}
			rows = append(rows, subnet(stub(segment, to))+" "+hop(way, to))
			alone := k.network == p2mp && k.of[to] == "" // tells of its address, not of a network
			if !alone {
				ends = append(ends, hop(way, to))
			}
			if alone || ipv6 && to == 2 && (k.network == p2p || k.of[to] != "") { // FRR does both on point-to-point in OSPFv3
				rows = append(rows, host(segment, to)+" "+hop(way, to))
			}
		}
		slices.Sort(ends)
		if !slices.Contains(k.members, number) && len(ends) > 0 {
			rows = append(rows, subnet(segment)+" "+strings.Join(ends, ", "))
		}
	}
	return rows
}

// needed leaves out what ours leaves to the kernel: a route to an address that the network of the interface leads to alike.
func (m *member) needed(rows []string) []string {
	return slices.DeleteFunc(rows, func(row string) bool {
		host, hop, _ := strings.Cut(row, "/32 ")
		return m.node != nil && strings.HasPrefix(hop, "via "+host+" ")
	})
}

// oneOf wants the same prefixes, each by one of the routers that lead there, by whichever interface: ospf6d keeps one way
// to what lies in other areas, and takes it from any area, where RFC 2328 16.2 has a border router look at the backbone alone.
func oneOf(get func() ([]string, error), want []string) func() error {
	return func() error {
		rows, err := get()
		ways := map[string]string{}
		for _, row := range want {
			prefix, hops, _ := strings.Cut(row, " ")
			ways[prefix] = hops
		}
		for _, row := range rows {
			f := strings.Fields(row) // PREFIX via ADDRESS dev NAME
			if err == nil && !strings.Contains(ways[f[0]], " "+f[2]+" ") {
				err = fmt.Errorf("%s, want %s", row, ways[f[0]])
			}
		}
		if err == nil && len(rows) != len(want) {
			err = fmt.Errorf("have %d routes, want %d:\n\t%s", len(rows), len(want), strings.Join(rows, "\n\t"))
		}
		return err
	}
}

// Every kind of network at once: the same routers in an area for each, authenticated in a way for each, in OSPFv2 and
// OSPFv3.
func TestOSPFNetworks(t *testing.T) {
	w := newWorld(t)
	all := map[int]kind{}
	for i, k := range kinds {
		all[i] = k
	}
	w.start(kindPlace("ours", "ours", 1, all), kindPlace("frr", "frr", 2, all), kindPlace("bird", "bird", 3, all))
	w.networks(all)
}

func (w *world) networks(all map[int]kind) {
	w.part("all are adjacent", func() { w.adjacent(60 * time.Second) })
	w.part("databases are identical", func() { w.identical(30 * time.Second) })
	w.part("routes are as they have to be", func() {
		for _, m := range w.routers {
			for _, ipv6 := range []bool{false, true} {
				if ipv6 && !m.speaks(v3) {
					continue
				}
				want := m.needed(kindRoutes(m.number, all, ipv6))
				check := same(m.kernel(ipv6), want...)
				if ipv6 && m.make == "frr" {
					check = oneOf(m.kernel(ipv6), want)
				}
				w.within(20*time.Second, fmt.Sprintf("the kernel of %s has them, IPv6 %v", m.name, ipv6), check)
			}
		}
	})
	w.decoded()
}

// RFC 5838: the IPv4 family of OSPFv3, which FRR has not, in every kind of network.
func TestOSPFv3ForIPv4(t *testing.T) {
	w := newWorld(t)
	all := map[int]kind{}
	for i, k := range kinds {
		members := slices.DeleteFunc(slices.Clone(k.members), func(n int) bool { return n == 2 })
		if len(members) == 2 {
			k.members = members
			all[i] = k
		}
	}
	a, b := kindPlace("ours", "ours", 1, all), kindPlace("bird", "bird", 3, all)
	a.versions, b.versions = []string{v3ipv4}, []string{v3ipv4}
	w.start(a, b)
	w.networks(all)
}
