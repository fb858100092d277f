// Package rib is the routing information base: for every VRF and prefix the routes that protocols offer, the
// one that is selected, and the changes of that selection.
//
// The selection is by distance, then metric, then protocol. A route with Override set (an NHRP shortcut whose
// prefix equals one that is already routed) gives its next hops to whatever is selected, as Cisco's next-hop
// override does. Connected routes and those that drop are never overridden.
package rib

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"
)

// Protocol says who offers a route. The order breaks ties of distance and metric.
type Protocol uint8

const (
	Connected Protocol = iota
	Static
	NHRP
	EBGP
	OSPF
	IBGP
	Kernel // written into the kernel's table by somebody else
)

var protocols = [...]struct {
	name     string
	distance uint8
}{{"connected", 0}, {"static", 1}, {"nhrp", 10}, {"ebgp", 20}, {"ospf", 110}, {"ibgp", 200}, {"kernel", 0}}

func (p Protocol) String() string { return protocols[p].name }

// Distance is the administrative distance engineers expect of the protocol.
func (p Protocol) Distance() uint8 { return protocols[p].distance }

// Kind is what becomes of a packet that a route matches.
type Kind uint8

const (
	Unicast   Kind = iota // it goes to one of the next hops
	Blackhole             // it is dropped without a word
	Reject                // it is dropped, and its sender told that the destination is unreachable
)

var kinds = [...]string{"unicast", "blackhole", "reject"}

func (k Kind) String() string { return kinds[k] }

// NextHop is one way out. Via is the zero Addr when the destination is on the link itself.
type NextHop struct {
	Via       netip.Addr
	Interface string
	Weight    uint8 // 0 counts as 1
}

// Key names a route: one per protocol, source, prefix and, for kernel routes, metric.
type Key struct {
	VRF      string // "" is the default
	Prefix   netip.Prefix
	Protocol Protocol
	Source   string // who within the protocol: a tunnel, say
	Metric   uint32 // of the key for Kernel only; 0 otherwise
}

// Route is one offer. In the RIB only those of kind [Unicast] have next hops: one offered without any is a blackhole.
type Route struct {
	VRF      string
	Prefix   netip.Prefix
	Protocol Protocol
	Source   string
	Distance uint8
	Metric   uint32
	Kind     Kind
	Tag      uint32 // for those who match routes by it; 0 is none
	NextHops []NextHop
	Override bool          // give NextHops to an equal prefix that would win
	Beneath  []NextHop     // of a selection by an override: the way without it, so that who made it hears when that changes
	Since    time.Duration // when it was offered first, or its next hops changed
}

// Key is the key the route is stored under.
func (r Route) Key() Key {
	k := Key{VRF: r.VRF, Prefix: r.Prefix, Protocol: r.Protocol, Source: r.Source}
	if r.Protocol == Kernel {
		k.Metric = r.Metric
	}
	return k
}

func (r Route) same(o Route) bool {
	return r.Distance == o.Distance && r.Metric == o.Metric && r.Override == o.Override &&
		r.Protocol == o.Protocol && r.Kind == o.Kind && r.Tag == o.Tag && slices.Equal(r.NextHops, o.NextHops) &&
		slices.Equal(r.Beneath, o.Beneath)
}

// Restoring, published as a notice, says that the routes of a protocol that an earlier process left in the kernel are being
// learned again, for at most For; or, with 0, that they have been.
type Restoring struct {
	Protocol Protocol
	Source   string // who within the protocol
	For      time.Duration
}

// Change is a new selection for a prefix. New is nil when the prefix has no route any more, Old when it had none.
type Change struct {
	VRF      string
	Prefix   netip.Prefix
	Old, New *Route
}

// RIB holds the tables of one router. The zero value is not ready; see [New].
type RIB struct {
	tables map[string]*bart.Table[*entry]
}

type entry struct {
	offers   []*Route // best first; none of them changes
	selected *Route
}

// New makes an empty RIB.
func New() *RIB { return &RIB{tables: map[string]*bart.Table[*entry]{}} }

// Set adds r or replaces the offer with the same key. The change is valid when ok.
func (t *RIB) Set(r Route) (c Change, ok bool) {
	r = stored(r)
	tab := t.tables[r.VRF]
	if tab == nil {
		tab = new(bart.Table[*entry])
		t.tables[r.VRF] = tab
	}
	e, found := tab.Get(r.Prefix)
	if !found {
		e = &entry{}
		tab.Insert(r.Prefix, e)
	}
	if i := e.find(r.Key()); i >= 0 {
		if e.offers[i].same(r) {
			return Change{}, false
		}
		e.offers[i] = &r
	} else {
		e.offers = append(e.offers, &r)
	}
	slices.SortStableFunc(e.offers, better)
	return e.reselect(r.VRF, r.Prefix)
}

// stored is r as the RIB keeps it: what drops has no next hops, what has none drops.
func stored(r Route) Route {
	r.Prefix = r.Prefix.Masked()
	switch {
	case r.Kind != Unicast:
		r.NextHops = nil
	case len(r.NextHops) == 0:
		r.NextHops, r.Kind = nil, Blackhole
	default:
		r.NextHops = slices.Clone(r.NextHops)
	}
	return r
}

// Delete removes the offer with this key. The change is valid when ok.
func (t *RIB) Delete(k Key) (c Change, ok bool) {
	k.Prefix = k.Prefix.Masked()
	tab := t.tables[k.VRF]
	if tab == nil {
		return Change{}, false
	}
	e, found := tab.Get(k.Prefix)
	if !found {
		return Change{}, false
	}
	i := e.find(k)
	if i < 0 {
		return Change{}, false
	}
	e.offers = slices.Delete(e.offers, i, i+1)
	if len(e.offers) == 0 {
		tab.Delete(k.Prefix)
	}
	return e.reselect(k.VRF, k.Prefix)
}

func (e *entry) find(k Key) int {
	return slices.IndexFunc(e.offers, func(r *Route) bool { return r.Key() == k })
}

func better(a, b *Route) int {
	return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Metric, b.Metric),
		cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Source, b.Source))
}

func (e *entry) reselect(vrf string, p netip.Prefix) (Change, bool) {
	old := e.selected
	e.selected = selection(e.offers)
	if old == nil && e.selected == nil || old != nil && e.selected != nil && old.same(*e.selected) {
		return Change{}, false
	}
	return Change{VRF: vrf, Prefix: p, Old: old, New: e.selected}, true
}

// selection is the first of the offers, with the next hops of an override among them.
func selection(offers []*Route) *Route {
	if len(offers) == 0 {
		return nil
	}
	best := offers[0]
	if best.Protocol != Connected && best.Kind == Unicast {
		if i := slices.IndexFunc(offers, func(r *Route) bool { return r.Override }); i > 0 {
			over := *best
			over.NextHops, over.Override = offers[i].NextHops, true
			best = &over
		}
	}
	if best.Override {
		if i := slices.IndexFunc(offers, func(r *Route) bool { return !r.Override }); i >= 0 {
			over := *best
			over.Beneath = offers[i].NextHops
			best = &over
		}
	}
	return best
}

// Lookup is the longest match for an address among the selected routes.
func (t *RIB) Lookup(vrf string, a netip.Addr) (Route, bool) {
	return t.LookupExcept(vrf, a, func(Route) bool { return false })
}

// LookupExcept is Lookup as if the offers that skip names did not exist: the way without a shortcut, say.
func (t *RIB) LookupExcept(vrf string, a netip.Addr, skip func(Route) bool) (Route, bool) {
	tab := t.tables[vrf]
	if tab == nil || !a.IsValid() {
		return Route{}, false
	}
	skipped := func(r *Route) bool { return skip(*r) }
	for _, e := range tab.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		if !slices.ContainsFunc(e.offers, skipped) {
			return *e.selected, true
		}
		if r := selection(slices.DeleteFunc(slices.Clone(e.offers), skipped)); r != nil {
			return *r, true
		}
	}
	return Route{}, false
}

// Get is the selected route for exactly this prefix.
func (t *RIB) Get(vrf string, p netip.Prefix) (Route, bool) {
	if r := t.Selected(vrf, p); r != nil {
		return *r, true
	}
	return Route{}, false
}

// Selected is what Get is, without a copy: nobody may change it, and the RIB does not either. It is nil when there is none.
func (t *RIB) Selected(vrf string, p netip.Prefix) *Route {
	if tab := t.tables[vrf]; tab != nil {
		if e, ok := tab.Get(p.Masked()); ok {
			return e.selected
		}
	}
	return nil
}

// Offers is every route of a VRF in order of prefix, best first, and whether it is the selected one.
func (t *RIB) Offers(vrf string) iter.Seq2[Route, bool] {
	return func(yield func(Route, bool) bool) {
		tab := t.tables[vrf]
		if tab == nil {
			return
		}
		for _, e := range tab.AllSorted() {
			for i, r := range e.offers {
				if i == 0 {
					r = e.selected
				}
				if !yield(*r, i == 0) {
					return
				}
			}
		}
	}
}

// OffersAt is every route for exactly this prefix, the selected one first.
func (t *RIB) OffersAt(vrf string, p netip.Prefix) []Route {
	tab := t.tables[vrf]
	if tab == nil {
		return nil
	}
	e, ok := tab.Get(p.Masked())
	if !ok {
		return nil
	}
	offers := []Route{*e.selected}
	for _, r := range e.offers[1:] {
		offers = append(offers, *r)
	}
	return offers
}

// Prefixes is every prefix of a VRF that has a route, in no order.
func (t *RIB) Prefixes(vrf string) (all []netip.Prefix) {
	if tab := t.tables[vrf]; tab != nil {
		all = make([]netip.Prefix, 0, tab.Size())
		for p := range tab.All() {
			all = append(all, p)
		}
	}
	return all
}

// VRFs are the names of the tables that exist, sorted.
func (t *RIB) VRFs() []string {
	var names []string
	for n := range t.tables {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// MoreSpecific reports whether a selected route lies strictly inside p.
func (t *RIB) MoreSpecific(vrf string, p netip.Prefix) bool {
	tab := t.tables[vrf]
	if tab == nil {
		return false
	}
	for q := range tab.Subnets(p.Masked()) {
		if q.Bits() > p.Bits() {
			return true
		}
	}
	return false
}
