package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// shape is a network of n routers by its links. Router 0 is the one that the measured router is linked to, and the last has
// no other behind it.
type shape struct {
	name  string
	links func(n int) [][2]int
}

// spokesPerPair is how many links the router LSA of a hub holds: an LSA has 64 KiB at most.
const spokesPerPair = 2000

var shapes = []shape{
	{"hubs and spokes", func(n int) (links [][2]int) {
		for hub := 1; hub < n; {
			last := min(hub+1+spokesPerPair, n-1)
			links = append(links, [2]int{0, hub}, [2]int{0, hub + 1})
			for spoke := hub + 2; spoke <= last; spoke++ {
				links = append(links, [2]int{hub, spoke}, [2]int{hub + 1, spoke})
			}
			hub = last + 1
		}
		return links
	}},
	{"grid", func(n int) (links [][2]int) {
		side := 1
		for side*side < n {
			side++
		}
		for k := range n {
			if k%side > 0 {
				links = append(links, [2]int{k - 1, k})
			}
			if k >= side {
				links = append(links, [2]int{k - side, k})
			}
		}
		return links
	}},
	{"random", func(n int) (links [][2]int) {
		r := rand.New(rand.NewPCG(1, 1))
		for k := 1; k < n; k++ {
			links = append(links, [2]int{r.IntN(k), k})
			if other := r.IntN(k); other != links[len(links)-1][0] {
				links = append(links, [2]int{other, k})
			}
		}
		return links
	}},
}

// The link between the router that is measured and router 0 of the world.
var (
	measuredID   = wire.RouterID(0x01010101)
	feedAddress  = netip.MustParseAddr("192.0.2.1")
	measuredAddr = netip.MustParseAddr("192.0.2.2")
)

func worldID(k int) wire.RouterID { return wire.RouterID(0x02000000 + k) }

// worldPrefix is the network behind router k, 10.0.0.0/8 in pieces of 24 bits.
func worldPrefix(k int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 0x0a000000+uint32(k)<<8)
	return netip.PrefixFrom(netip.AddrFrom4(a), 24)
}

// routerLSAs are what the routers of a world say.
func routerLSAs(n int, links [][2]int) []*wire.RouterLSA {
	all := make([]*wire.RouterLSA, n)
	for k := range all {
		p := worldPrefix(k)
		all[k] = &wire.RouterLSA{Options: wire.OptE, Links: []wire.Link{{Kind: wire.LinkStub, Metric: 1, ID: wire.Uint4(p.Addr()), Data: wire.Mask(24)}}}
	}
	for _, l := range links {
		for side, k := range l {
			far := l[1-side]
			all[k].Links = append(all[k].Links, wire.Link{Kind: wire.LinkPointToPoint, Metric: 10, ID: uint32(worldID(far)), Data: uint32(len(all[k].Links))})
		}
	}
	all[0].Links = append(all[0].Links, wire.Link{Kind: wire.LinkPointToPoint, Metric: 10, ID: uint32(measuredID), Data: wire.Uint4(feedAddress)})
	return all
}

// alone is what a router says that has lost all of its links.
func alone(l *wire.RouterLSA) *wire.RouterLSA {
	return &wire.RouterLSA{Options: l.Options, Links: l.Links[:1]}
}
