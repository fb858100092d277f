package kernel

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/rib"
)

// Name is the name of the module.
const Name = "kernel"

// Protocol is the rtnetlink protocol number of the routes we write: GRE's IP protocol number. iproute2's
// rt_protos and the daemons that choose numbers of their own (FRR 186-198, BIRD 12, keepalived 18) leave it free.
const Protocol = 47

// Route is one route of a kernel table. Only those of kind [rib.Unicast] have next hops, and these always.
type Route struct {
	VRF      string
	Prefix   netip.Prefix
	Metric   uint32
	Kind     rib.Kind
	NextHops []rib.NextHop
}

// Key is what the kernel tells routes apart by.
type Key struct {
	VRF    string
	Prefix netip.Prefix
	Metric uint32
}

// Key is the key of the route.
func (r Route) Key() Key { return Key{r.VRF, r.Prefix, r.Metric} }

// Equal reports whether both are the same route with the same next hops in whatever order.
func (r Route) Equal(o Route) bool {
	return r.Key() == o.Key() && r.Kind == o.Kind && sameHops(r.NextHops, o.NextHops)
}

// Events of the edge.
type (
	// Learned is a route that is in the kernel now, in place of what had its key before.
	Learned struct {
		Route
		Protocol  uint8 // rtnetlink's
		Ours      bool  // written by us, now or by an earlier process
		Connected bool  // made by the kernel for an address
	}

	// Forgotten is a route that is no longer in the kernel.
	Forgotten Key

	// Told is several of these events, in the order in which they happened.
	Told []core.Event

	// Synced tells that everything the kernel had at start has been reported.
	Synced struct{}

	// Refused tells that an [Install] failed, in words for people.
	Refused struct {
		Route
		Err string
	}
)

// Settled tells the module, as a Request or bare, that the modules have said what they want after a start:
// routes left by an earlier process and wanted by nobody are removed now instead of after [SettleTime].
type Settled struct{}

// Effects.
type (
	// Install writes a route of ours, or replaces ours of the same key. It never replaces another's.
	Install struct{ Route }

	// Remove removes a route of ours. There being none is no error.
	Remove Key

	// Linger has routes by these interfaces stay while the interfaces have no carrier, until they are written again: the
	// process that is their carrier goes, and another comes.
	Linger struct{ Interfaces []string }
)

func sameHops(a, b []rib.NextHop) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 1 {
		return a[0].Via == b[0].Via && a[0].Interface == b[0].Interface // a weight alone means nothing
	}
	return slices.Equal(sorted(a), sorted(b))
}

func sorted(hops []rib.NextHop) []rib.NextHop {
	hops = slices.Clone(hops)
	for i := range hops {
		hops[i].Weight = max(hops[i].Weight, 1)
	}
	slices.SortFunc(hops, func(a, b rib.NextHop) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Via.Compare(b.Via), cmp.Compare(a.Weight, b.Weight))
	})
	return hops
}
