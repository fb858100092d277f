package conf

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// routes checks the static routes by themselves and against each other.
func (k *checker) routes() {
	type group struct {
		to       netip.Prefix
		distance uint8
	}
	first := map[Route]place{}
	blackholes := map[group]bool{}
	var static bart.Table[bool]
	for i, r := range k.conf.Routes {
		path := item("routes", i)
		if !r.To.IsValid() || k.bad[join(path, "via")] || k.bad[join(path, "interface")] || k.bad[join(path, "blackhole")] {
			continue
		}
		k.route(path, r)
		id, g := r, group{r.To, r.Distance}
		id.Distance = 0
		was, mixed := blackholes[g]
		if at, ok := first[id]; ok {
			k.failAt(path, "route to %s is given twice, first in line %d", r.To, at.line)
		} else if mixed && was != r.Blackhole {
			k.failAt(path, "routes to %s at distance %d are a blackhole and none", r.To, r.Distance)
		} else {
			first[id], blackholes[g] = k.place(path), r.Blackhole
		}
		static.Insert(r.To, true)
	}
	for i, r := range k.conf.Routes {
		k.recursion(item("routes", i), r, &static)
	}
}

func (k *checker) route(path string, r Route) {
	t := k.conf.tunnel(r.Interface)
	switch {
	case r.Blackhole && (r.Via.IsValid() || r.Interface != ""):
		k.failAt(path, "route to %s is a blackhole and has a way out: want one of them", r.To)
	case !r.Blackhole && !r.Via.IsValid() && r.Interface == "":
		k.failAt(path, "route to %s has no way out: give via, interface or blackhole: true", r.To)
	case !r.Via.IsValid() && t != nil:
		k.failAt(path, "route to %s out of the multipoint tunnel %s has no next hop: give via", r.To, t.Name)
	case !r.Via.IsValid() && r.Track != "":
		k.failAt(join(path, "track"), "track: the route to %s has no next hop that could be watched: give via", r.To)
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
