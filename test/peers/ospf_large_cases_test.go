package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// 5,000 externals in either direction, with FRR and with BIRD.
func TestOSPFLarge(t *testing.T)   { largeDatabase(t, v2) }
func TestOSPFv3Large(t *testing.T) { largeDatabase(t, v3) }

const many = 5000

func largeDatabase(t *testing.T, version string) {
	w := newWorld(t)
	ipv6 := version == v3
	at := func(name, make string, number int, x *externals) place {
		return place{name: name, make: make, number: number, versions: []string{version}, externals: x, ports: []port{{segment: 0}}}
	}
	x := &externals{count: many, tag: 17}
	made := w.start(at("ours", "ours", 1, x), at("frr", "frr", 2, x), at("bird", "bird", 3, nil))
	ours, frr, bird := made[0], made[1], made[2]
	w.part("all are adjacent", func() { w.adjacent(60 * time.Second) })
	w.part("each has all", func() {
		w.identical(60 * time.Second)
		w.within(60*time.Second, "our kernel has FRR's", leadTo(ours, frr, ipv6, many))
		w.within(60*time.Second, "BIRD's kernel has FRR's", leadTo(bird, frr, ipv6, many))
		w.within(60*time.Second, "BIRD's kernel has ours", leadTo(bird, ours, ipv6, many))
		w.within(60*time.Second, "FRR's kernel has ours", leadTo(frr, ours, ipv6, many))
	})
	w.part("FRR takes its own back, and tells of them again", func() {
		router := map[string]string{v2: "router ospf", v3: "router ospf6"}[version]
		frr.configure(router, "no redistribute kernel")
		w.within(60*time.Second, "our kernel has none of them", leadTo(ours, frr, ipv6, 0))
		frr.configure(router, "redistribute kernel metric 20 metric-type 2")
		w.within(60*time.Second, "and all again", leadTo(ours, frr, ipv6, many))
		w.identical(60 * time.Second)
	})
	w.part("one of ours starts anew, and takes all back", func() {
		ours.node.kill()
		ours.node.start()
		w.adjacent(60 * time.Second)
		w.within(60*time.Second, "our kernel has FRR's", leadTo(ours, frr, ipv6, many))
		w.identical(60 * time.Second)
	})
	w.decoded()
}

// leadTo wants so many routes of a kernel to lead to another router.
func leadTo(m, to *member, ipv6 bool, want int) func() error {
	return func() error {
		rows, err := m.kernelRoutes(ipv6)
		count := 0
		for _, row := range rows {
			prefix, hops, _ := strings.Cut(row, " ")
			if hops == strings.TrimPrefix(by("", ipv6, 0, to.number), " ") && (strings.HasPrefix(prefix, "172.") || strings.HasPrefix(prefix, "2001:db8:")) {
				count++
			}
		}
		if err == nil && count != want {
			err = fmt.Errorf("%s has %d routes to %s, want %d", m.name, count, to.name, want)
		}
		return err
	}
}
