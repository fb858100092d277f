package ospf

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

const (
	overloadHold = 5 * time.Minute // for which a neighbour that brought too much is left alone
	lsaOctets    = 512             // of each LSA that may be kept: they bound the memory where LSAs are large
)

// bringer is a neighbour that LSAs came by, also after it has gone.
type bringer struct {
	iface string
	key   netip.Addr
}

func (n *neighbor) bringer() bringer { return bringer{n.i.name(), n.key} }

// brings notes whom an LSA came by.
func (inst *instance) brings(e *entry, n *neighbor) {
	e.from = n.bringer()
	inst.brought[e.from]++
	inst.lsas++
	inst.octets += len(e.raw)
}

// leaves takes an entry that goes out of the counts.
func (inst *instance) leaves(e *entry) {
	if e.from == (bringer{}) {
		return
	}
	inst.lsas--
	inst.octets -= len(e.raw)
	if inst.brought[e.from]--; inst.brought[e.from] <= 0 {
		delete(inst.brought, e.from)
	}
}

// overflows reports whether an LSA is one more than is kept: memory is bounded, whatever neighbours flood.
func (inst *instance) overflows(l wire.LSA, have *entry) bool {
	if have == nil {
		return inst.lsas >= inst.cfg.MaxLSAs || inst.octets+len(l.Raw) > inst.cfg.MaxLSAs*lsaOctets
	}
	grows := len(l.Raw)
	if have.from != (bringer{}) {
		grows -= len(have.raw)
	}
	return grows > 0 && inst.octets+grows > inst.cfg.MaxLSAs*lsaOctets
}

// culprit is the neighbour that brought most: one that floods without end, or else the one that knows the network.
func (inst *instance) culprit(n *neighbor) *neighbor {
	worst := n
	for _, o := range inst.neighbors() {
		if o.state >= exchange && inst.brought[o.bringer()] > inst.brought[worst.bringer()] {
			worst = o
		}
	}
	return worst
}

// overload ends the adjacency of a neighbour that brought more than is kept, and leaves it alone for a while. What it brought
// of routers that cannot be reached without it goes as soon as the routes are computed, so that there is room for others.
func (n *neighbor) overload(env *core.Env) {
	inst := n.inst()
	n.i.problem(env, n.address, TooMany, "it brought "+strconv.Itoa(inst.brought[n.bringer()]+len(n.requests))+" LSAs of the "+
		strconv.Itoa(inst.cfg.MaxLSAs)+" that are kept at most (max-lsa), and is left alone for "+overloadHold.String())
	n.held = env.Now() + overloadHold
	n.grace = nil
	inst.purge = append(inst.purge, n.bringer())
	n.forget(env)
	n.become(env, heardOf, "it brought too many LSAs")
	inst.urgent = true
	inst.summarize()
	n.i.sayHelloSoon(env)
}

// isHeld reports whether the neighbour is left alone still.
func (n *neighbor) isHeld(env *core.Env) bool { return n.held > env.Now() }

// purgeBrought drops LSAs of routers that are not reached, and that a neighbour brought which brought too much. They say
// nothing that counts. They are not flushed: they are others'.
func (inst *instance) purgeBrought(env *core.Env) {
	if inst.purge == nil {
		return
	}
	guilty := map[bringer]bool{}
	for _, b := range inst.purge {
		guilty[b] = true
	}
	inst.purge = nil
	reached := inst.reached()
	for _, db := range inst.databases() {
		for _, e := range db.sorted() {
			if guilty[e.from] && !reached[e.Header.Router] {
				inst.remove(env, e)
			}
		}
	}
}

// reached are the routers that LSAs lead to from us, whatever the cost.
func (inst *instance) reached() map[wire.RouterID]bool {
	all := map[wire.RouterID]bool{inst.router: true}
	for _, r := range inst.result.Routers {
		all[r.Router] = true
	}
	for _, a := range inst.areas {
		links := a.links()
		todo := []wire.RouterID{}
		visit := func(list []wire.RouterID) {
			for _, r := range list {
				if !all[r] {
					all[r] = true
					todo = append(todo, r)
				}
			}
		}
		for _, i := range a.ifaces {
			for _, n := range i.neighbors {
				if n.counts() {
					visit([]wire.RouterID{n.router})
				}
			}
		}
		for len(todo) > 0 {
			r := todo[0]
			todo = todo[1:]
			visit(links[r])
		}
	}
	return all
}

// links are the routers that each router of an area says it has as neighbours, on networks by their network LSAs.
func (a *area) links() map[wire.RouterID][]wire.RouterID {
	out := map[wire.RouterID][]wire.RouterID{}
	for _, e := range a.db.lsas {
		switch body := e.Body.(type) {
		case *wire.RouterLSA:
			for _, l := range body.Links {
				if l.Kind == wire.LinkPointToPoint || l.Kind == wire.LinkTransit && a.inst.version() != wire.V2 {
					out[e.Header.Router] = append(out[e.Header.Router], l.To(a.inst.version()))
				}
			}
		case *wire.NetworkLSA:
			for _, r := range body.Routers {
				out[r] = append(out[r], body.Routers...)
			}
		}
	}
	return out
}
