package ospf

import "fmt"

// sane holds that what an instance counts is what there is; every world ends with it.
func (r *router) sane() error {
	for _, inst := range r.m.sorted() {
		lsas, octets, exchanges, slots := 0, 0, 0, 0
		waiting, brought := map[*entry]int{}, map[bringer]int{}
		for _, db := range inst.databases() {
			for k, e := range db.lsas {
				if e.from != (bringer{}) {
					lsas++
					octets += len(e.raw)
					brought[e.from]++
				}
				if e.key() != k || e.db != db || e.flushed != (e.index == 0) {
					return fmt.Errorf("%s: entry %v: in the heap of ages: %v, flushed: %v", r.name, k, e.index > 0, e.flushed)
				}
			}
		}
		for _, n := range inst.neighbors() {
			exchanges += n.state.exchanging()
			if n.slot {
				slots++
			}
			for k, e := range n.waits {
				waiting[e]++
				if n.i.databaseOf(k.Type).lsas[k] != e {
					return fmt.Errorf("%s: %v waits for an acknowledgment of %v and is not in the database", r.name, k, n.router)
				}
			}
			if len(n.waits) > 0 != n.update.Armed() || n.state < exchange && len(n.waits)+len(n.requests) > 0 || !n.inactivity.Armed() {
				return fmt.Errorf("%s: neighbour %v is %v with %d unacknowledged, %d requests, timers %v %v", r.name, n.router, n.state, len(n.waits), len(n.requests), n.update.Armed(), n.inactivity.Armed())
			}
		}
		for e, n := range waiting {
			if e.waiting != n {
				return fmt.Errorf("%s: %d neighbours wait for %v, %d counted", r.name, n, e.key(), e.waiting)
			}
		}
		if lsas != inst.lsas || octets != inst.octets || exchanges != inst.exchanges || slots != inst.making || len(brought) != len(inst.brought) {
			return fmt.Errorf("%s: %d LSAs of %d octets, %d in exchange, %d making, %d brought: counted are %d of %d, %d, %d, %d",
				r.name, lsas, octets, exchanges, slots, len(brought), inst.lsas, inst.octets, inst.exchanges, inst.making, len(inst.brought))
		}
	}
	return nil
}
