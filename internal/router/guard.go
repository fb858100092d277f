package router

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/proto/ike"
)

// guarded are the prefixes that a configuration leads into protected tunnels and nowhere else: those of their addresses,
// the tunnel addresses of others that it names, and static routes by these. Without any tunnel they are closed.
//
// A tunnel whose addresses are single ones says nothing of where its peers are: the way to a next hop is then a host route
// of NHRP, which comes and goes. A static route by a next hop of which the file does not say where it is counts as one into
// such a tunnel. The next hop itself does not: it may be on a network whose route a longer one would hide.
func guarded(c *conf.Config) []netip.Prefix {
	g := guard{tunnels: map[string]bool{}}
	profiles := map[string]bool{}
	for _, t := range c.Tunnels {
		if t.Protect == "" || t.Guard == conf.GuardNone {
			g.clear(t.Addresses)
			continue
		}
		g.tunnel(t)
		profiles[t.Protect] = true
	}
	for _, p := range c.Profiles {
		if profiles[p.Name] {
			g.bound(p.IKE.Bindings)
		}
	}
	for _, i := range c.Interfaces {
		g.clear(i.Addresses)
	}
	for i := range c.Routes {
		if r := &c.Routes[i]; !r.Drops() {
			g.routes.Insert(r.To.Masked(), r)
		}
	}
	return g.prefixes(c.Routes)
}

// closing are the tunnels that leave guards on what had a route by them.
func closing(c *conf.Config) (names []string) {
	for _, t := range c.Tunnels {
		if t.Protect != "" && t.Guard == conf.GuardLearned {
			names = append(names, t.Name)
		}
	}
	return names
}

// underlay are the addresses of servers.
func underlay(c *conf.Config) (all []netip.Addr) {
	for _, t := range c.Tunnels {
		if t.NHRP == nil {
			continue
		}
		for _, s := range t.NHRP.Servers {
			if a, err := netip.ParseAddr(s.NBMA); err == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// guard is what a configuration tells of where addresses are.
type guard struct {
	tunnels map[string]bool         // that are protected
	lone    [2]bool                 // by family: one of these has a single address
	near    []netip.Prefix          // on protected tunnels
	peers   []netip.Prefix          // in which tunnel addresses of others are
	away    bart.Table[bool]        // on other interfaces
	routes  bart.Table[*conf.Route] // that are configured, one for each prefix
}

func (g *guard) tunnel(t conf.Tunnel) {
	g.tunnels[t.Name] = true
	for _, a := range t.Addresses {
		if a.IsSingleIP() {
			g.lone[index(a.Addr())] = true
		} else {
			g.near = append(g.near, a.Masked())
		}
	}
	if t.NHRP == nil {
		return
	}
	for _, s := range t.NHRP.Servers {
		if s.Protocol.IsValid() {
			g.peers = append(g.peers, netip.PrefixFrom(s.Protocol, s.Protocol.BitLen()))
		}
	}
}

func (g *guard) bound(bindings []ike.Binding) {
	for _, b := range bindings {
		g.peers = append(g.peers, b.Addresses...)
	}
}

func (g *guard) clear(addresses []netip.Prefix) {
	for _, a := range addresses {
		g.away.Insert(a.Masked(), true)
	}
}

// prefixes are those that are to be closed, each once.
func (g *guard) prefixes(routes []conf.Route) []netip.Prefix {
	all := slices.Clone(g.near)
	for _, p := range g.peers { // a wider one may hold more than tunnel addresses
		if p.IsSingleIP() && g.lone[index(p.Addr())] && !within(g.near, p.Addr()) && !g.isAway(p.Addr()) {
			all = append(all, p)
		}
	}
	for i := range routes {
		if r := &routes[i]; !r.Drops() && g.protects(r, 0) {
			all = append(all, r.To.Masked())
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// maxLeaning bounds how many routes may lean on each other.
const maxLeaning = 4

// protects reports whether a static route leads into a protected tunnel, or may.
func (g *guard) protects(r *conf.Route, depth int) bool {
	switch {
	case r.Interface != "":
		return g.tunnels[r.Interface]
	case within(g.near, r.Via):
		return true
	case g.isAway(r.Via):
		return false
	case within(g.peers, r.Via):
		return true
	}
	if by, ok := g.routes.Lookup(r.Via); ok && by != r && by.To.Bits() > 0 && depth < maxLeaning {
		return g.protects(by, depth+1)
	}
	return g.lone[index(r.Via)]
}

func (g *guard) isAway(a netip.Addr) bool {
	_, away := g.away.Lookup(a)
	return away
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// index is one for each address family.
func index(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}
