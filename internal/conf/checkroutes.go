package conf

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// maxPaths bounds how many routes share a prefix at one distance.
const maxPaths = 64

// routes checks the static routes by themselves and against each other.
func (k *checker) routes() {
	s := shares{first: map[Route]place{}, groups: map[share]*shared{}}
	var static bart.Table[bool]
	for i, r := range k.conf.Routes {
		path := item("routes", i)
		if !r.To.IsValid() || slices.ContainsFunc([]string{"via", "interface", "blackhole", "reject"}, func(key string) bool { return k.bad[join(path, key)] }) {
			continue
		}
		k.route(path, r)
		k.beside(path, r, s)
		static.Insert(r.To, true)
	}
	for i, r := range k.conf.Routes {
		k.recursion(item("routes", i), r, &static)
	}
}

// shares are the routes seen so far: those that are the same way to the same prefix, and those that share the traffic.
type shares struct {
	first  map[Route]place
	groups map[share]*shared
}

type share struct {
	to       netip.Prefix
	distance uint8
}

// shared is the first route of a share, and how many there are.
type shared struct {
	Route
	paths int
}

// beside checks a route against those before it.
func (k *checker) beside(path string, r Route, s shares) {
	id := Route{VRF: r.VRF, To: r.To, Via: r.Via, Interface: r.Interface, Blackhole: r.Blackhole, Reject: r.Reject}
	g := s.groups[share{r.To, r.Distance}]
	if g == nil {
		g = &shared{Route: r}
		s.groups[share{r.To, r.Distance}] = g
	}
	g.paths++
	at, twice := s.first[id]
	switch {
	case twice:
		k.failAt(path, "route to %s is given twice, first in line %d", r.To, at.line)
		return
	case g.Drops() != r.Drops():
		k.failAt(path, "routes to %s at distance %d are a %s and none", r.To, r.Distance, dropWord(g.Route, r))
	case g.Blackhole != r.Blackhole:
		k.failAt(path, "routes to %s at distance %d are a blackhole and a reject: want one of them", r.To, r.Distance)
	case g.Tag != r.Tag:
		k.failAt(join(path, "tag"), "tag: routes to %s at distance %d share the traffic and have tags %d and %d: want the same", r.To, r.Distance, g.Tag, r.Tag)
	case g.paths == maxPaths+1:
		k.failAt(path, "more than %d routes to %s at distance %d", maxPaths, r.To, r.Distance)
	}
	s.first[id] = k.place(path)
}

// dropWord names the one of two routes that drops.
func dropWord(a, b Route) string {
	if a.Reject || b.Reject {
		return "reject"
	}
	return "blackhole"
}

func (k *checker) route(path string, r Route) {
	t := k.conf.tunnel(r.Interface)
	wayOut := r.Via.IsValid() || r.Interface != ""
	switch {
	case r.Blackhole && r.Reject:
		k.failAt(join(path, "reject"), "reject: route to %s is a blackhole already: want one of them", r.To)
	case r.Drops() && wayOut:
		k.failAt(path, "route to %s is a %s and has a way out: want one of them", r.To, dropWord(r, r))
	case r.Drops() && (r.Weight > 1 || r.Track != "" || r.ViaDefault):
		k.failAt(path, "route to %s is a %s, which has no weight, no track and no via-default", r.To, dropWord(r, r))
	case !r.Drops() && !wayOut:
		k.failAt(path, "route to %s has no way out: give via, interface, blackhole: true or reject: true", r.To)
	case !r.Via.IsValid() && t != nil:
		k.failAt(path, "route to %s out of the multipoint tunnel %s has no next hop: give via", r.To, t.Name)
	case !r.Via.IsValid() && r.Track != "":
		k.failAt(join(path, "track"), "track: the route to %s has no next hop that could be watched: give via", r.To)
	case r.Track == "" && (r.TrackFrom.IsValid() || r.TrackHops > 0):
		k.failAt(path, "route to %s says how via is watched, and not that it is: give track: %s", r.To, trackBFD)
	case r.TrackHops > 0 && !r.TrackFrom.IsValid():
		k.failAt(join(path, "track-hops"), "track-hops: the next hops of the route to %s are watched on their links, which is one hop: give track-from", r.To)
	case r.TrackFrom.IsValid() && r.TrackFrom.Is6() != r.Via.Is6():
		k.failAt(join(path, "track-from"), "track-from: %s is %s and via %s is not", r.TrackFrom, family(r.TrackFrom), r.Via)
	case r.TrackFrom.IsValid() && r.TrackFrom == r.Via:
		k.failAt(join(path, "track-from"), "track-from: %s is via itself: give an address of this router", r.TrackFrom)
	case r.TrackFrom.IsValid() && r.Interface != "":
		k.failAt(join(path, "track-from"), "track-from: via %s is on %s, one hop away: remove track-from, or interface", r.Via, r.Interface)
	case r.ViaDefault && (r.Interface != "" || r.To.Bits() == 0):
		k.failAt(join(path, "via-default"), "via-default: says how via is found, and the route to %s needs no other: remove it", r.To)
	case r.Via.IsValid():
		k.via(join(path, "via"), r)
	}
}

func (k *checker) via(path string, r Route) {
	a := r.Via
	owner, connected := k.link.Lookup(a)
	switch {
	case a.Is6() != r.To.Addr().Is6():
		k.failAt(path, "via: %s is %s and %s is not", a, family(a), r.To)
	case k.own[a] != "":
		k.failAt(path, "via: %s is this router's own address, on %s", a, k.own[a])
	case a.Is6() && a.IsLinkLocalUnicast() && r.Interface == "":
		k.failAt(path, "via: %s means nothing without its interface: give interface", a)
	case !connected && r.Interface == "" && k.isPeers(a): // the way there is NHRP's
	case !connected && r.Interface == "" && k.lone(a.Is6()) != nil:
		k.warnAt(path, "via: %s is on no interface or tunnel of this file, so that the route to %s counts as one by %s, which is protected and has a single address: while nothing leads to %s, what it is for is dropped; give interface if it is elsewhere",
			a, r.To, k.lone(a.Is6()).Name, a)
	case !connected && r.Interface == "":
		k.warnAt(path, "via: %s is on no interface or tunnel of this file: the route to %s waits until the host has a way there", a, r.To)
	case connected && r.Interface != "" && owner != r.Interface && !a.IsLinkLocalUnicast():
		k.warnAt(path, "via: %s is on %s, and the route to %s leaves by %s", a, owner, r.To, r.Interface)
	}
}

// lone is a protected tunnel whose address of a family stands alone, so that its prefix does not say who is there.
func (k *checker) lone(ipv6 bool) *Tunnel {
	for i := range k.conf.Tunnels {
		t := &k.conf.Tunnels[i]
		if t.Protect != "" && slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.IsSingleIP() && p.Addr().Is6() == ipv6 }) {
			return t
		}
	}
	return nil
}

// isPeers reports whether an address is that of a server of a protected tunnel.
func (k *checker) isPeers(a netip.Addr) bool {
	return slices.ContainsFunc(k.conf.Tunnels, func(t Tunnel) bool {
		return t.Protect != "" && t.NHRP != nil && slices.ContainsFunc(t.NHRP.Servers, func(s nhrp.Server) bool { return s.Protocol == a })
	})
}

// recursion warns of a route that takes a tunnel's server into the tunnel itself, as a default route does.
func (k *checker) recursion(path string, r Route, static *bart.Table[bool]) {
	out := r.Interface
	if out == "" && r.Via.IsValid() {
		out, _ = k.link.Lookup(r.Via)
	}
	t := k.conf.tunnel(out)
	if t == nil || t.NHRP == nil {
		return
	}
	for _, s := range t.NHRP.Servers {
		a, err := netip.ParseAddr(s.NBMA)
		if err != nil || !r.To.Contains(a) {
			continue
		}
		_, connected := k.link.Lookup(a)
		if p, _, ok := static.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen())); ok && p == r.To && !connected {
			k.warnAt(join(path, "to"), "to: %s takes server %s of %s into the tunnel itself, unless the host has a longer route to it", r.To, a, t.Name)
			return
		}
	}
}
