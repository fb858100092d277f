package sim

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// fib is a node's kernel table: it does what netlink would do, tells what netlink would tell, and forwards by the
// longest match. Of the routes of one prefix the lowest metric wins.
type fib struct {
	table bart.Table[[]kernel.Learned] // best first
	node  *Node
}

// protoKernel is the rtnetlink protocol of routes that the kernel makes for addresses.
const protoKernel = 2

// install writes a route of the router's. It never replaces another's.
func (f *fib) install(r kernel.Route) {
	if old, ok := f.get(r.Key()); ok && !old.Ours {
		f.node.router.post(kernel.Name, kernel.Refused{Route: r, Err: "a route of another program is there"})
		return
	}
	for _, h := range r.NextHops {
		if i := f.node.byName[h.Interface]; i == nil || i.down {
			f.node.router.post(kernel.Name, kernel.Refused{Route: r, Err: "interface " + h.Interface + " is down"})
			return
		}
	}
	f.add(kernel.Learned{Route: r, Protocol: kernel.Protocol, Ours: true})
}

// remove takes out a route of the router's.
func (f *fib) remove(k kernel.Key) {
	if l, ok := f.get(k); ok && l.Ours {
		f.delete(k)
	}
}

// add puts a route into the table, as its owner would, and tells the router.
func (f *fib) add(l kernel.Learned) {
	l.Prefix = l.Prefix.Masked()
	l.NextHops = slices.Clone(l.NextHops)
	f.change(l.Key(), &l)
	f.node.router.post(kernel.Name, l)
}

func (f *fib) delete(k kernel.Key) {
	f.change(k, nil)
	f.node.router.post(kernel.Name, kernel.Forgotten(k))
}

// change replaces the route with this key by l, nil for none.
func (f *fib) change(k kernel.Key, l *kernel.Learned) {
	f.table.Modify(k.Prefix, func(old []kernel.Learned, _ bool) ([]kernel.Learned, bool) {
		routes := make([]kernel.Learned, 0, len(old)+1)
		for _, r := range old {
			if r.Metric != k.Metric {
				routes = append(routes, r)
			}
		}
		if l != nil {
			routes = append(routes, *l)
		}
		slices.SortStableFunc(routes, func(a, b kernel.Learned) int { return cmp.Compare(a.Metric, b.Metric) })
		return routes, len(routes) == 0
	})
}

func (f *fib) get(k kernel.Key) (kernel.Learned, bool) {
	routes, _ := f.table.Get(k.Prefix)
	for _, r := range routes {
		if r.Metric == k.Metric {
			return r, true
		}
	}
	return kernel.Learned{}, false
}

// all is the table in order of prefix and metric.
func (f *fib) all() []kernel.Learned {
	var all []kernel.Learned
	for _, routes := range f.table.AllSorted() {
		all = append(all, routes...)
	}
	return all
}

// follow makes the table follow an interface: without it, or while it is down, there are no routes by it; while it
// is up there is a connected route for each of its addresses.
func (f *fib) follow(l core.Link) {
	up := l.Up && !l.Gone
	for _, r := range f.all() {
		if uses(r, l.Name) && (!up || r.Connected && !covers(l, r.Prefix)) {
			f.delete(r.Key())
		}
	}
	if !up {
		return
	}
	for _, p := range l.Addresses {
		k := kernel.Key{Prefix: p.Masked()}
		if _, taken := f.get(k); taken || p.IsSingleIP() {
			continue
		}
		hop := []rib.NextHop{{Interface: l.Name}}
		f.add(kernel.Learned{Route: kernel.Route{Prefix: k.Prefix, NextHops: hop}, Protocol: protoKernel, Connected: true})
	}
}

func uses(l kernel.Learned, name string) bool {
	return slices.ContainsFunc(l.NextHops, func(h rib.NextHop) bool { return h.Interface == name })
}

func covers(l core.Link, p netip.Prefix) bool {
	return slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool { return a.Masked() == p })
}

// lookup is the next hop for d; false when there is no route, or only a blackhole.
func (f *fib) lookup(d *dataplane.Datagram) (rib.NextHop, bool) {
	routes, ok := f.table.Lookup(d.Destination)
	if !ok || len(routes[0].NextHops) == 0 {
		return rib.NextHop{}, false
	}
	hops := routes[0].NextHops
	if len(hops) == 1 {
		return hops[0], true
	}
	return hops[dataplane.FlowHash(d)%uint32(len(hops))], true
}

// to is the next hop for an address, of whatever flow.
func (f *fib) to(a netip.Addr) (rib.NextHop, bool) {
	return f.lookup(&dataplane.Datagram{Source: a, Destination: a})
}
