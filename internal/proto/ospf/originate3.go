package ospf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// describeV3 is what OSPFv3 says of a router: links without addresses, and the addresses by LSAs of their own (RFC 5340
// 4.4.3.2, 4.4.3.3, 4.4.3.8, 4.4.3.9).
func (a *area) describeV3(env *core.Env, add func(wire.Function, uint32, wire.LSABody)) {
	v := a.inst.version()
	r := &wire.RouterLSA{Flags: a.flags(), Options: a.options()}
	mine := &wire.IntraAreaPrefix{RefType: wire.FunctionRouter.Type(v), RefRouter: a.inst.router}
	for _, i := range a.sorted() {
		i.sayLink(env)
		if i.state == down {
			continue
		}
		r.Links = append(r.Links, i.linksV3()...)
		mine.Prefixes = append(mine.Prefixes, i.entries()...)
		if routers := i.network(); routers != nil {
			n := &wire.NetworkLSA{Options: i.networkOptions(), Routers: routers}
			add(wire.FunctionNetwork, i.id(), n)
			i.addNetworkPrefixes(add)
		}
	}
	add(wire.FunctionRouter, 0, r)
	if len(mine.Prefixes) > 0 {
		add(wire.FunctionIntraAreaPrefix, 0, mine)
	}
}

// drInterface is the interface that the designated router has on the network.
func (i *iface) drInterface() uint32 {
	if i.state != designated {
		for _, n := range i.neighbors {
			if n.id() == i.dr {
				return n.interfaceID
			}
		}
	}
	return i.id()
}

func (i *iface) linksV3() []wire.Link {
	var links []wire.Link
	if i.transit() {
		return append(links, wire.Link{Kind: wire.LinkTransit, Metric: uint16(i.transitCost(nil)), Interface: i.id(), NeighborInterface: i.drInterface(), Neighbor: wire.RouterID(i.dr)})
	}
	if i.state != pointToPoint {
		return nil
	}
	for _, n := range i.sorted() {
		if n.counts() {
			links = append(links, wire.Link{Kind: wire.LinkPointToPoint, Metric: uint16(i.transitCost(n)), Interface: i.id(),
				NeighborInterface: n.interfaceID, Neighbor: n.router})
		}
	}
	return links
}

// entries are the prefixes of an interface that belong to the router, RFC 5340 4.4.3.9: all but those of a transit network,
// which belong to it. Of a point-to-multipoint interface and a loopback it is the addresses alone.
func (i *iface) entries() []wire.PrefixEntry {
	var list []wire.PrefixEntry
	if i.transit() {
		return nil
	}
	for _, p := range i.prefixes() {
		if i.state == looped || i.cfg.Network == PointToMultipoint && i.state == pointToPoint {
			if i.cfg.NoHostRoute {
				continue
			}
			list = append(list, wire.PrefixEntry{Prefix: host(p.Addr()), Options: wire.PrefixLA, Metric: i.hostCost()})
			continue
		}
		list = append(list, wire.PrefixEntry{Prefix: p.Masked(), Metric: uint16(i.cfg.Cost)})
	}
	return list
}

func (i *iface) hostCost() uint16 {
	if i.state == looped {
		return uint16(i.cfg.Cost)
	}
	return 0
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// sayLink originates the link LSA, RFC 5340 4.4.3.8.
func (i *iface) sayLink(env *core.Env) {
	v := i.inst().version()
	want := map[wire.LSAKey]wire.LSABody{}
	if i.state.talks() {
		l := &wire.LinkLSA{Priority: i.cfg.Priority, Options: i.area.options(), Address: i.linkAddress()}
		for _, p := range i.prefixes() {
			l.Prefixes = append(l.Prefixes, wire.PrefixEntry{Prefix: p.Masked()})
		}
		want[wire.LSAKey{Type: wire.FunctionLink.Type(v), ID: i.id(), Router: i.inst().router}] = l
	}
	i.db.sayAll(env, want, wire.FunctionLink)
}

// linkAddress is where neighbours send what goes by us: the link-local address, and for IPv4 that of the interface (RFC
// 5838 2.5).
func (i *iface) linkAddress() netip.Addr {
	if i.inst().version() == wire.V3IPv4 {
		for _, p := range i.prefixes() {
			return p.Addr()
		}
		return netip.IPv4Unspecified()
	}
	return i.local
}

// networkOptions are those that all adjacent routers of the link share in sum, RFC 5340 4.4.3.3.
func (i *iface) networkOptions() wire.Options {
	o := i.area.options()
	for _, e := range i.linkLSAs() {
		if l, ok := e.Body.(*wire.LinkLSA); ok && i.isAdjacent(e.Header.Router) {
			o |= l.Options
		}
	}
	return o
}

// linkLSAs are those of the link, in order.
func (i *iface) linkLSAs() []*entry {
	var list []*entry
	for _, e := range i.db.sorted() {
		if e.Header.Function(i.inst().version()) == wire.FunctionLink && !e.flushed {
			list = append(list, e)
		}
	}
	return list
}

func (i *iface) isAdjacent(r wire.RouterID) bool {
	if r == i.inst().router {
		return true
	}
	for _, n := range i.neighbors {
		if n.router == r && n.counts() {
			return true
		}
	}
	return false
}

// addNetworkPrefixes is the intra-area-prefix LSA that refers to the network LSA: what the link LSAs of all adjacent routers
// say, once each.
func (i *iface) addNetworkPrefixes(add func(wire.Function, uint32, wire.LSABody)) {
	v := i.inst().version()
	body := &wire.IntraAreaPrefix{RefType: wire.FunctionNetwork.Type(v), RefID: i.id(), RefRouter: i.inst().router}
	seen := map[netip.Prefix]int{}
	for _, e := range i.linkLSAs() {
		l, ok := e.Body.(*wire.LinkLSA)
		if !ok || !i.isAdjacent(e.Header.Router) {
			continue
		}
		for _, p := range l.Prefixes {
			if p.Options&(wire.PrefixNU|wire.PrefixLA) != 0 || p.Prefix.Addr().IsLinkLocalUnicast() {
				continue
			}
			if at, ok := seen[p.Prefix]; ok {
				body.Prefixes[at].Options |= p.Options
				continue
			}
			seen[p.Prefix] = len(body.Prefixes)
			body.Prefixes = append(body.Prefixes, wire.PrefixEntry{Prefix: p.Prefix, Options: p.Options})
		}
	}
	if len(body.Prefixes) > 0 {
		add(wire.FunctionIntraAreaPrefix, i.id(), body)
	}
}
