package conf

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// ospf looks for what an instance says and could not do, since nothing else would tell of it.
func (k *checker) ospf() {
	for _, i := range []struct {
		path    string
		version wire.Version
		conf    *OSPF
	}{{"ospf", wire.V2, k.conf.OSPF}, {"ospfv3", wire.V3, k.conf.OSPFv3}, {"ospfv3-ipv4", wire.V3IPv4, k.conf.OSPFv3IPv4}} {
		if i.conf == nil {
			continue
		}
		for n := range i.conf.Areas {
			a := &i.conf.Areas[n]
			p := join(join(i.path, "areas"), a.name)
			k.ospfArea(p, a)
			for m := range a.Interfaces {
				f := &a.Interfaces[m]
				at := join(join(p, "interfaces"), f.Name)
				k.ospfInterface(at, f, i.version)
				if i.version != wire.V2 && !k.conf.ospfInterface(*f, i.conf.Passive).Passive {
					k.ospfLinkLocal(at, f.Name)
				}
			}
		}
		k.ospfRanges(join(i.path, "summaries"), i.conf.Summaries)
		k.ospfExternals(i.path, i.conf, i.version)
	}
}

// ospfArea holds that an area has only what its kind has a use for.
func (k *checker) ospfArea(path string, a *OSPFArea) {
	type use struct {
		key, want string
		idle      bool
	}
	nssa, closed := a.Kind == ospf.NSSA, a.Kind != ospf.Normal
	for _, u := range []use{
		{"summary", "stub or nssa", !a.Summary && !closed},
		{"default-cost", "stub or nssa", a.Cost != 1 && !closed},
		{"nssa-ranges", "nssa", len(a.NSSARanges) > 0 && !nssa},
		{"translate", "nssa", a.Translate && !nssa},
		{"default-route", "nssa", a.Default && !nssa},
	} {
		if u.idle && !k.bad[join(path, "type")] {
			k.failAt(join(path, u.key), "%s: means nothing in area %s, which is %s: want type %s, or remove it", u.key, a.name, a.Kind, u.want)
		}
	}
	k.ospfRanges(join(path, "ranges"), a.Ranges)
	k.ospfRanges(join(path, "nssa-ranges"), a.NSSARanges)
}

func (k *checker) ospfRanges(path string, ranges []ospf.Range) {
	for i, g := range ranges {
		if g.Prefix.IsValid() && slices.ContainsFunc(ranges[:i], func(o ospf.Range) bool { return o.Prefix == g.Prefix }) {
			k.failAt(item(path, i), "%s is given twice", g.Prefix)
		}
	}
}

// ospfInterface holds that an interface has only what its kind of network has a use for.
func (k *checker) ospfInterface(path string, f *OSPFInterface, v wire.Version) {
	network := k.conf.ospfNetwork(f)
	listens := network == ospf.PointToMultipoint || network == ospf.NBMA
	switch {
	case k.bad[join(path, "network")]:
	case f.Unicast && network != ospf.PointToMultipoint:
		k.failAt(join(path, "unicast"), "unicast: hellos go to neighbours alone on point-to-multipoint, and the network of %s is %s: want network point-to-multipoint, or nbma", f.Name, network)
	case len(f.Neighbors) > 0 && !listens:
		k.failAt(join(path, "neighbors"), "neighbors: those of a %s network are found by multicast: want network point-to-multipoint or nbma, or remove them", network)
	case f.FloodOwn && network != ospf.PointToMultipoint && network != ospf.PointToPoint:
		k.failAt(join(path, "flood"), "flood: the routers of a %s network tell each other what any of them knows: want network point-to-multipoint or point-to-point", network)
	}
	if v != wire.V2 && f.Dead == 0 && 4*f.Hello > math.MaxUint16*time.Second {
		k.failAt(join(path, "hello"), "hello: four times %s does not fit into hellos of OSPFv3: give dead", printDuration(f.Hello))
	}
	if v == wire.V2 && f.Instance != 0 {
		k.failAt(join(path, "instance"), "instance: OSPFv2 has one instance on a link: remove it")
	}
	k.ospfNeighbors(join(path, "neighbors"), f, v)
	k.ospfAuthentication(join(path, "authentication"), f, v)
}

// ospfLinkLocal holds that a tunnel has the address that OSPFv3 speaks by: other interfaces get theirs from the kernel.
func (k *checker) ospfLinkLocal(path, tunnel string) {
	t := k.conf.tunnel(tunnel)
	if t == nil || k.bad[join(pathOf(t), "address")] || slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() }) {
		return
	}
	k.failAt(path, "%s has no link-local address, and OSPFv3 speaks by those (RFC 5340 section 2.5): add one to %s, such as fe80::11/64, unlike that of any other router of the cloud",
		tunnel, join(pathOf(t), "address"))
}

func (k *checker) ospfNeighbors(path string, f *OSPFInterface, v wire.Version) {
	for i, n := range f.Neighbors {
		twice := slices.ContainsFunc(f.Neighbors[:i], func(o ospf.Peer) bool { return o.Address == n.Address })
		switch {
		case !n.Address.IsValid():
		case twice:
			k.failAt(item(path, i), "neighbour %s is given twice", n.Address)
		case v != wire.V2 && n.Address.Is6() && !n.Address.IsLinkLocalUnicast():
			k.failAt(item(path, i), "%s is not link-local: OSPFv3 speaks by the addresses in fe80::/10 (RFC 5340 section 2.5)", n.Address)
		}
	}
}

// limits of secrets: what is longer counts as if it ended there, here and elsewhere.
var secretLimits = map[wire.Algorithm]int{wire.Simple: 8, wire.MD5: 16}

func (k *checker) ospfAuthentication(path string, f *OSPFInterface, v wire.Version) {
	ids := map[uint32]bool{}
	for i, key := range f.keys {
		p := item(path, i)
		if numbered := key.algorithm != wire.Simple; numbered && ids[key.id] {
			k.failAt(p, "key %d is given twice: neighbours know a key by its id, so give each its own", key.id)
		} else if numbered {
			ids[key.id] = true
		}
		if key.extended && (v != wire.V2 || key.algorithm == wire.Simple || key.algorithm == wire.MD5) {
			k.failAt(join(p, "extended"), "extended: is for OSPFv2 with an HMAC (RFC 7474): remove it")
		}
		if limit := secretLimits[key.algorithm]; limit > 0 && len(key.text) > limit {
			k.warnAt(p, "only the first %d octets of a %s key count", limit, key.algorithm)
		}
	}
}

// ospfExternals looks at what is redistributed, and whether anybody can hear of it.
func (k *checker) ospfExternals(path string, o *OSPF, v wire.Version) {
	for i, d := range o.Redistribute {
		p := item(join(path, "redistribute"), i)
		if slices.ContainsFunc(o.Redistribute[:i], func(e ospf.Redistribute) bool { return e.Protocol == d.Protocol && len(e.Match) == 0 }) {
			k.failAt(p, "what is before it takes all %s routes, so that nothing is left for it: give the former a match, or remove this", d.Protocol)
		}
		for n, m := range d.Match {
			k.ospfMatch(item(join(p, "match"), n), m, d.Protocol, v)
		}
	}
	if !slices.ContainsFunc(o.Areas, func(a OSPFArea) bool { return a.Kind != ospf.Stub }) && len(o.Areas) > 0 {
		k.ospfUnheard(path, "redistribute", len(o.Redistribute) > 0)
		k.ospfUnheard(path, "default-route", o.Default != nil)
	}
}

func (k *checker) ospfUnheard(path, key string, given bool) {
	if given {
		k.warnAt(join(path, key), "%s: nobody hears of it: a stub area has no externals (RFC 2328 section 3.6), and there is no other; type nssa has its own", key)
	}
}

// ospfMatch holds that a line of a list can match something.
func (k *checker) ospfMatch(path string, m ospf.Match, from rib.Protocol, v wire.Version) {
	longest := netip.IPv6Unspecified().BitLen()
	if v.IPv4() {
		longest = netip.IPv4Unspecified().BitLen()
	}
	switch {
	case max(m.Min, m.Max) > longest:
		k.failAt(path, "min or max is above %d, the longest prefix that there is", longest)
	case m.Prefix.IsValid() && m.Max != 0 && m.Max < m.Prefix.Bits():
		k.failAt(path, "max %d is below the length of %s: nothing matches", m.Max, m.Prefix)
	case m.Prefix.IsValid() && m.Min != 0 && m.Min < m.Prefix.Bits():
		k.failAt(path, "min %d is below the length of %s: what lies in it is at least as long", m.Min, m.Prefix)
	}
}
