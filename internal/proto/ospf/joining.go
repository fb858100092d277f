package ospf

import (
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// joinApart is how far apart routes are computed because of links of ours, for each LSA that there is: where thousands of neighbours
// come one after the other, something else is done, too.
const joinApart = 20 * time.Microsecond

// ourLinks counts the links between us and neighbours that an LSA tells of. Both ends have to tell of one before it counts (RFC 2328
// 16.1 step 2b).
func (inst *instance) ourLinks(e *entry) (n int) {
	if e == nil || !e.usable() {
		return 0
	}
	switch b := e.Body.(type) {
	case *wire.RouterLSA:
		own := e.Header.Router == inst.router
		if !own && !e.db.area.adjoins(e.Header.Router) {
			return 0
		}
		for _, l := range b.Links {
			if l.Kind != wire.LinkStub && (own || e.db.area.joinedBy(&l)) {
				n++
			}
		}
	case *wire.NetworkLSA:
		if slices.Contains(b.Routers, inst.router) {
			n = len(b.Routers)
		}
	}
	return n
}

// adjoins reports whether a router is a neighbour in the area.
func (a *area) adjoins(r wire.RouterID) bool {
	for _, i := range a.ifaces {
		if i.routers[r] > 0 {
			return true
		}
	}
	return false
}

// joinedBy reports whether a neighbour's link leads to us, or to a network that we are on.
func (a *area) joinedBy(l *wire.Link) bool {
	to := l.To(a.inst.version())
	if l.Kind == wire.LinkPointToPoint {
		return to == a.inst.router
	}
	for _, i := range a.ifaces {
		if l.Kind == wire.LinkTransit && i.dr != 0 && wire.RouterID(i.dr) == to {
			return true
		}
	}
	return false
}
