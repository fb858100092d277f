package ospf

import (
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// joinApart is how far apart routes are computed because of links of ours, for each LSA that there is: where thousands of neighbours
// come one after the other, something else is done, too.
const joinApart = 5 * time.Microsecond

// joinWait is how long the computation waits that a link of ours calls for.
func (inst *instance) joinWait(now time.Duration) time.Duration {
	lsas := len(inst.db.lsas)
	for _, a := range inst.areas {
		lsas += len(a.db.lsas)
	}
	return max(inst.cfg.SPF.Initial/10, inst.lastRun+time.Duration(lsas)*joinApart-now)
}

// joins reports whether an LSA tells of a link between us and a neighbour that it did not tell of before. Whether that counts, the LSA
// of the other end decides as well (RFC 2328 16.1 step 2b).
func (inst *instance) joins(old, e *entry) bool {
	before := inst.ourLinks(old)
	for l := range inst.ourLinks(e) {
		if !before[l] {
			return true
		}
	}
	return false
}

// ourLinks are the links between us and neighbours that an LSA tells of, whatever they cost.
func (inst *instance) ourLinks(e *entry) map[wire.Link]bool {
	links := map[wire.Link]bool{}
	if e == nil || !e.usable() {
		return links
	}
	switch b := e.Body.(type) {
	case *wire.RouterLSA:
		here := e.db.area.leadingHere(e.Header.Router)
		for _, l := range b.Links {
			if here(&l) {
				l.Metric = 0
				links[l] = true
			}
		}
	case *wire.NetworkLSA:
		if slices.Contains(b.Routers, inst.router) {
			for _, r := range b.Routers {
				links[wire.Link{Neighbor: r}] = true
			}
		}
	}
	return links
}

// leadingHere tells which links of a router are between us and a neighbour: all of ours, and those of a neighbour that lead to us or to
// a network that we are on.
func (a *area) leadingHere(r wire.RouterID) func(*wire.Link) bool {
	type network struct{ dr, drInterface uint32 }
	neighbor, networks := false, map[network]bool{}
	for _, i := range a.ifaces {
		neighbor = neighbor || i.routers[r] > 0
		switch {
		case i.dr == 0:
		case a.inst.version() == wire.V2:
			networks[network{dr: i.dr}] = true
		default:
			networks[network{i.dr, i.drInterface()}] = true
		}
	}
	return func(l *wire.Link) bool {
		to := l.To(a.inst.version())
		switch l.Kind {
		case wire.LinkPointToPoint:
			return r == a.inst.router || neighbor && to == a.inst.router
		case wire.LinkTransit:
			return r == a.inst.router || neighbor && networks[network{uint32(to), l.NeighborInterface}]
		}
		return false
	}
}
