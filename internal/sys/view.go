package sys

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// view is the copy of the host's interfaces and routes. The watcher writes it, and who writes routes of ours; the workers
// read it.
type view struct {
	// table is held by who writes routes of ours, until what came of it is in the copy and told, and by who reads them:
	// the kernel does not tell us what we asked for ourselves.
	table   sync.Mutex
	objects *objects
	plain   bool // without nexthop objects, whatever the kernel has

	mu     sync.RWMutex
	links  map[int]*iface
	routes map[kernel.Key]kernel.Learned
	// twins are keys under which the last dump had more than one route.
	twins map[kernel.Key]bool
}

// iface is one interface of the host.
type iface struct {
	linkMsg
	addrs []addrMsg // in the kernel's order
	told  core.Link // as last broadcast
}

func newView() *view {
	return &view{links: map[int]*iface{}, routes: map[kernel.Key]kernel.Learned{}, objects: newObjects()}
}

// link is what the interface looks like to the modules: usable addresses, preferred ones first.
func (i *iface) link() core.Link {
	l := core.Link{Name: i.name, Index: i.index, Up: i.admin && i.running, MTU: i.mtu}
	for _, second := range []bool{false, true} {
		for _, a := range i.addrs {
			if a.usable() && a.secondary() == second {
				l.Addresses = append(l.Addresses, a.prefix)
			}
		}
	}
	return l
}

// clone is safe to keep: an iface the watcher goes on changing is not.
func (i *iface) clone() iface {
	c := *i
	c.addrs = slices.Clone(i.addrs)
	return c
}

// byName is the interface of that name.
func (v *view) byName(name string) (iface, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, i := range v.links {
		if i.name == name {
			return i.clone(), true
		}
	}
	return iface{}, false
}

// index is that of the interface of a name, 0 when there is none.
func (v *view) index(name string) int {
	i, _ := v.byName(name)
	return i.linkMsg.index
}

// setLink takes in an interface and returns what to tell: the new state, and before it the end of what had its
// name or index under another one. moved tells that it went up or down, upon which Linux drops routes, or next hops
// of routes, or revives them, without a word.
func (v *view) setLink(l linkMsg) (tell []core.Link, moved bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.links[l.index]
	if i == nil {
		i = &iface{}
		v.links[l.index] = i
	}
	if i.name != "" && i.name != l.name {
		tell = append(tell, i.gone())
	}
	if l.kind == "" {
		l.kind = i.kind
	}
	wasUp := i.admin && i.running
	i.linkMsg = l
	return append(tell, i.changed()...), wasUp != (l.admin && l.running)
}

// changed is the link when it differs from what was told.
func (i *iface) changed() []core.Link {
	l := i.link()
	if reflect.DeepEqual(l, i.told) {
		return nil
	}
	i.told = l
	return []core.Link{l}
}

func (i *iface) gone() core.Link {
	l := core.Link{Name: i.told.Name, Index: i.told.Index, Gone: true}
	i.told = core.Link{}
	return l
}

func (v *view) deleteLink(index int) []core.Link {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.links[index]
	if i == nil {
		return nil
	}
	delete(v.links, index)
	return []core.Link{i.gone()}
}

// setAddr takes in an address; changed tells what came of it, once more have been taken in.
func (v *view) setAddr(a addrMsg) {
	v.mu.Lock()
	defer v.mu.Unlock()
	i := v.links[a.index]
	if i == nil {
		return
	}
	if at := i.find(a.prefix); at >= 0 {
		i.addrs[at] = a
		return
	}
	i.addrs = append(i.addrs, a)
}

func (v *view) deleteAddr(a addrMsg) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if i := v.links[a.index]; i != nil {
		if at := i.find(a.prefix); at >= 0 {
			i.addrs = slices.Delete(i.addrs, at, at+1)
		}
	}
}

func (i *iface) find(p netip.Prefix) int {
	return slices.IndexFunc(i.addrs, func(a addrMsg) bool { return a.prefix == p })
}

// changes is every link that differs from what was told, in order of index.
func (v *view) changes() (tell []core.Link) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, index := range slices.Sorted(maps.Keys(v.links)) {
		tell = append(tell, v.links[index].changed()...)
	}
	return tell
}

// replaceLinks takes in a whole dump and returns what to tell.
func (v *view) replaceLinks(links []linkMsg, addrs []addrMsg) (tell []core.Link) {
	here := map[int]bool{}
	for _, l := range links {
		here[l.index] = true
	}
	v.mu.Lock()
	for _, index := range slices.Sorted(maps.Keys(v.links)) {
		i := v.links[index]
		if i.addrs = nil; !here[index] {
			delete(v.links, index)
			tell = append(tell, i.gone())
		}
	}
	for _, l := range links {
		i := v.links[l.index]
		if i == nil {
			i = &iface{}
			v.links[l.index] = i
		} else if i.name != l.name {
			tell = append(tell, i.gone())
		}
		i.linkMsg = l
	}
	v.mu.Unlock()
	for _, a := range addrs {
		v.setAddr(a)
	}
	return append(tell, v.changes()...)
}

// learned is a route in the words of package kernel. ok is false when the kernel does not use it: all of its next
// hops are dead or lead to interfaces we do not know.
func (v *view) learned(r routeMsg) (l kernel.Learned, ok bool) {
	l = kernel.Learned{
		Route:    kernel.Route{Prefix: r.prefix.Masked(), Metric: r.metric, Kind: r.kind},
		Protocol: r.protocol, Ours: r.protocol == kernel.Protocol, Connected: r.connected(),
	}
	for _, h := range r.hops {
		if i := v.links[h.index]; i != nil && !h.dead {
			l.NextHops = append(l.NextHops, rib.NextHop{Via: h.via, Interface: i.name, Weight: h.weight})
		}
	}
	return l, r.kind != rib.Unicast || len(l.NextHops) > 0
}

// setRoute takes in a route and returns what to tell. sure is false when it stands beside another of its key, and
// only a dump tells which of them the kernel uses.
func (v *view) setRoute(r routeMsg, replaces bool) (tell []core.Event, sure bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	l, ok := v.learned(r)
	if !ok {
		return v.forget(r.key()), true
	}
	if old, found := v.routes[r.key()]; found && !replaces && !reflect.DeepEqual(old, l) {
		return nil, false
	}
	return v.put(l), true
}

func (v *view) put(l kernel.Learned) []core.Event {
	k := l.Key()
	if old, found := v.routes[k]; found && (reflect.DeepEqual(old, l) || old.Ours && l.Ours && old.Equal(l.Route)) {
		return nil
	}
	v.routes[k] = l
	return []core.Event{l}
}

// deleteRoute takes in the end of a route. sure is false when it is not the one we know: there were two with one
// key, or it lost some of its next hops, and only a dump tells what is left.
func (v *view) deleteRoute(r routeMsg) (tell []core.Event, sure bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, found := v.routes[r.key()]
	if !found {
		return nil, true
	}
	if v.twins[r.key()] {
		return nil, false
	}
	if l, _ := v.learned(r); old.Protocol != l.Protocol || len(old.NextHops) != len(l.NextHops) || !old.Equal(l.Route) {
		return nil, false
	}
	return v.forget(r.key()), true
}

func (v *view) forget(k kernel.Key) []core.Event {
	if _, found := v.routes[k]; !found {
		return nil
	}
	delete(v.routes, k)
	return []core.Event{kernel.Forgotten(k)}
}

// replaceRoutes takes in a whole dump and returns what differs, the losses first, in order of prefix. Of several
// routes with one key the kernel uses the first. A route may say nothing but which of the objects it leads by.
func (v *view) replaceRoutes(routes []routeMsg, objects []nexthopMsg) (tell []core.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	resolve(routes, objects)
	fresh := map[kernel.Key]kernel.Learned{}
	v.twins = map[kernel.Key]bool{}
	var order []kernel.Key
	for _, r := range routes {
		l, ok := v.learned(r)
		if !ok {
			continue
		}
		if _, twice := fresh[l.Key()]; twice {
			v.twins[l.Key()] = true
			continue
		}
		fresh[l.Key()] = l
		order = append(order, l.Key())
	}
	for _, k := range slices.SortedFunc(maps.Keys(v.routes), byKey) {
		if _, still := fresh[k]; !still {
			tell = append(tell, v.forget(k)...)
		}
	}
	for _, k := range order {
		tell = append(tell, v.put(fresh[k])...)
	}
	return tell
}

func byKey(a, b kernel.Key) int {
	return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Metric, b.Metric))
}

// resolve gives routes that only name an object its next hops.
func resolve(routes []routeMsg, objects []nexthopMsg) {
	var byID map[uint32]nexthopMsg
	for i := range routes {
		r := &routes[i]
		if r.object == 0 || len(r.hops) > 0 || r.kind != rib.Unicast {
			continue
		}
		if byID == nil {
			byID = map[uint32]nexthopMsg{}
			for _, n := range objects {
				byID[n.id] = n
			}
		}
		n := byID[r.object]
		if n.hop.index > 0 {
			r.hops = []hop{n.hop}
		}
		for _, m := range n.members {
			h := byID[m.id].hop
			h.weight = m.weight
			r.hops = append(r.hops, h)
		}
	}
}

// ours reports whether the kernel has a route of ours under the key.
func (v *view) ours(k kernel.Key) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.routes[k].Ours
}

// wrote takes in what we have written, and returns what to tell.
func (v *view) wrote(changes []*change) []core.Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	tell := make([]core.Event, 0, len(changes))
	for _, c := range changes {
		if c.install != nil {
			l := kernel.Learned{Route: *c.install, Protocol: kernel.Protocol, Ours: true}
			v.routes[c.key] = l
			tell = append(tell, l)
			continue
		}
		if l, found := v.routes[c.key]; found && !l.Ours {
			continue // it has taken the place of ours
		}
		delete(v.routes, c.key)
		tell = append(tell, kernel.Forgotten(c.key))
	}
	return tell
}
