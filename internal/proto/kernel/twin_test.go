package kernel

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// Twin is a kernel's routing table in memory. Its methods return what the kernel would tell, for the module.
// The zero value is an empty table.
type Twin struct {
	routes map[Key]Learned
	links  map[string]core.Link
}

// Do does an [Install] or a [Remove]; other effects are ignored.
func (t *Twin) Do(effect core.Effect) []core.Event {
	switch e := effect.(type) {
	case Install:
		return t.install(e.Route)
	case Remove:
		if l, ok := t.routes[Key(e)]; ok && l.Ours {
			return t.Delete(Key(e))
		}
	}
	return nil
}

func (t *Twin) install(r Route) []core.Event {
	if l, ok := t.routes[r.Key()]; ok && !l.Ours {
		return []core.Event{Refused{r, "a route of another program is there"}}
	}
	for _, h := range r.NextHops {
		if !t.links[h.Interface].Up {
			return []core.Event{Refused{r, "interface " + h.Interface + " is down"}}
		}
	}
	return t.Add(Learned{Route: r, Protocol: Protocol, Ours: true})
}

// Add puts a route into the table, as its owner would.
func (t *Twin) Add(l Learned) []core.Event {
	if t.routes == nil {
		t.routes = map[Key]Learned{}
	}
	l.Prefix = l.Prefix.Masked()
	l.NextHops = slices.Clone(l.NextHops)
	t.routes[l.Key()] = l
	return []core.Event{l}
}

// Delete takes a route out of the table.
func (t *Twin) Delete(k Key) []core.Event {
	if _, ok := t.routes[k]; !ok {
		return nil
	}
	delete(t.routes, k)
	return []core.Event{Forgotten(k)}
}

// Routes is the table in order of prefix and metric.
func (t *Twin) Routes() []Learned {
	all := make([]Learned, 0, len(t.routes))
	for _, l := range t.routes {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Learned) int {
		return cmp.Or(cmp.Compare(a.VRF, b.VRF), a.Prefix.Compare(b.Prefix), cmp.Compare(a.Metric, b.Metric))
	})
	return all
}

// SetLink gives an interface its state. An interface that is down or gone loses its routes, one that is up has
// a connected route for each address.
func (t *Twin) SetLink(l core.Link) []core.Event {
	var evs []core.Event
	if t.links == nil {
		t.links = map[string]core.Link{}
	}
	t.links[l.Name] = l
	if l.Gone {
		delete(t.links, l.Name)
	}
	up := l.Up && !l.Gone
	for _, r := range t.Routes() {
		if uses(r, l.Name) && (!up || r.Connected && !covers(l, r.Prefix)) {
			evs = append(evs, t.Delete(r.Key())...)
		}
	}
	for _, p := range l.Addresses {
		if up && !p.IsSingleIP() {
			evs = append(evs, t.connect(l.Name, p.Masked())...)
		}
	}
	return evs
}

func (t *Twin) connect(name string, p netip.Prefix) []core.Event {
	if _, ok := t.routes[Key{Prefix: p}]; ok {
		return nil
	}
	return t.Add(Learned{
		Route:    Route{Prefix: p, NextHops: []rib.NextHop{{Interface: name}}},
		Protocol: 2, Connected: true,
	})
}

func uses(l Learned, name string) bool {
	return slices.ContainsFunc(l.NextHops, func(h rib.NextHop) bool { return h.Interface == name })
}

func covers(l core.Link, p netip.Prefix) bool {
	return slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool { return a.Masked() == p })
}
