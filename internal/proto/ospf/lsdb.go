package ospf

import (
	"cmp"
	"container/heap"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// database is the link-state database of one scope: a link, an area or the autonomous system.
type database struct {
	inst  *instance
	area  *area  // nil in AS scope
	iface *iface // of link scope
	lsas  map[wire.LSAKey]*entry
	order []*entry                // sorted; nil once an LSA has come or gone
	own   map[wire.LSAKey]*origin // what we originate
	spent map[wire.LSAKey]int32   // the last sequence numbers of what we flushed
	ids   map[idKey]uint32        // LS IDs of the prefixes among them
	used  map[idUse]netip.Prefix
	last  uint32

	evicted bool // a prefix has lost its LS ID to another
	leaning bool // an LSA that is wanted no more stays until another one may go out
}

func newDatabase(inst *instance, a *area, i *iface) *database {
	return &database{inst: inst, area: a, iface: i, lsas: map[wire.LSAKey]*entry{}, own: map[wire.LSAKey]*origin{}, spent: map[wire.LSAKey]int32{},
		ids: map[idKey]uint32{}, used: map[idUse]netip.Prefix{}}
}

// entry is one LSA in a database.
type entry struct {
	spf.LSA
	raw     []byte // header and body as received; the age in it counts at the time born
	db      *database
	born    time.Duration // when its age was 0; before the epoch for LSAs that came aged
	arrived time.Duration // for MinLSArrival; 0 of ours
	waiting int           // neighbours whose retransmission lists it is on
	from    bringer       // of others'
	own     bool          // we made this instance
	flushed bool          // at MaxAge: it goes when nobody waits for it
	index   int           // in the heap of ages, + 1
	due     time.Duration // for the heap: refresh of ours, MaxAge of others'
}

// age is that of now, in seconds.
func (e *entry) age(now time.Duration) uint16 {
	if e.flushed {
		return wire.MaxAge
	}
	return uint16(min(max(0, (now-e.born)/time.Second), wire.MaxAge))
}

// header is that of now.
func (e *entry) header(now time.Duration) wire.LSAHeader {
	h := e.Header
	h.Age = e.age(now)
	return h
}

// lsa is the LSA with its age of now plus delay, as it goes into an update.
func (e *entry) lsa(now, delay time.Duration) wire.LSA {
	h := e.header(now)
	h.Age = uint16(min(int64(h.Age)+int64((delay+time.Second-1)/time.Second), wire.MaxAge))
	return wire.LSA{LSAHeader: h, Raw: e.raw}
}

func (e *entry) key() wire.LSAKey { return e.Header.LSAKey }

// scopeName is for people.
func (db *database) scopeName() string {
	switch {
	case db.iface != nil:
		return "link " + db.iface.name()
	case db.area != nil:
		return "area " + db.area.id.String()
	}
	return "as"
}

// end drops all that a database has, and what was still to be originated in it. Nothing is flushed.
func (db *database) end(env *core.Env) {
	db.originateNothing(env)
	for _, e := range db.sorted() {
		db.inst.remove(env, e)
	}
}

// sorted is the LSAs in order of type, ID and router, so that one seed gives one trace. LSAs may come and go while it is
// read: another instance of an LSA takes the place of the old one in it, so that a change costs no sorting.
func (db *database) sorted() []*entry {
	if db.order == nil {
		db.order = slices.SortedFunc(maps.Values(db.lsas), func(a, b *entry) int { return compareKeys(a.key(), b.key()) })
	}
	return db.order
}

// enter puts an entry into the database, in the place of an older instance.
func (db *database) enter(e *entry) {
	at, there := slices.BinarySearchFunc(db.order, e.key(), func(o *entry, k wire.LSAKey) int { return compareKeys(o.key(), k) })
	if there {
		db.order[at] = e
	} else {
		db.order = nil
	}
	db.lsas[e.key()] = e
}

func compareKeys(a, b wire.LSAKey) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Router, b.Router))
}

// put installs an LSA in the place of an older instance, RFC 2328 13.2, and says whether its content is new. The raw
// octets are kept.
func (db *database) put(env *core.Env, l wire.LSA, own bool) (e *entry, changed bool) {
	inst, now := db.inst, env.Now()
	old := db.lsas[l.LSAKey]
	body, err := l.Body(inst.version())
	if err != nil {
		body = nil // it is flooded, and not computed with
	}
	e = &entry{LSA: spf.LSA{Header: l.LSAHeader, Body: body}, raw: l.Raw, db: db, arrived: now}
	e.born = now - time.Duration(l.Age)*time.Second
	e.flushed = l.Age >= wire.MaxAge
	changed = old == nil && !e.flushed || old != nil && differs(old, e)
	if old != nil {
		inst.unlist(env, old)
		inst.leaves(old)
	}
	db.enter(e)
	if e.own = own; own {
		e.arrived = 0
	}
	inst.schedule(env, e, own)
	if e.flushed {
		inst.flushing[e] = struct{}{}
		inst.sweep = true
	}
	if changed {
		inst.changed(env, old, e)
	}
	return e, changed
}

// differs reports whether a new instance says something else, RFC 2328 13.2.
func differs(a, b *entry) bool {
	return a.flushed != b.flushed || a.Header.Options != b.Header.Options || !slices.Equal(content(a), content(b))
}

func content(e *entry) []byte { return e.raw[min(len(e.raw), wire.LSAHeaderLen):] }

// remove takes an entry out for good.
func (inst *instance) remove(env *core.Env, e *entry) {
	inst.unlist(env, e)
	if e.db.lsas[e.key()] == e {
		delete(e.db.lsas, e.key())
		e.db.order = nil
		inst.leaves(e)
	}
}

// unlist takes an entry off every list that is not the database: retransmissions, ages, flushing.
func (inst *instance) unlist(env *core.Env, e *entry) {
	delete(inst.flushing, e)
	if e.index > 0 {
		heap.Remove(&inst.ages, e.index-1)
	}
	if e.waiting == 0 {
		return
	}
	for _, i := range e.db.interfaces() {
		for _, n := range i.sorted() {
			n.unwait(env, e)
		}
	}
}

// interfaces are those that the scope of a database reaches, in order of name.
func (db *database) interfaces() []*iface {
	switch {
	case db.iface != nil:
		return []*iface{db.iface}
	case db.area != nil:
		return db.area.sorted()
	}
	var all []*iface
	for _, a := range db.inst.sortedAreas() {
		if a.cfg.Kind == Normal {
			all = append(all, a.sorted()...)
		}
	}
	return all
}

// databases are all of an instance, AS scope first.
func (inst *instance) databases() []*database {
	all := []*database{inst.db}
	for _, a := range inst.sortedAreas() {
		all = append(all, a.db)
		for _, i := range a.sorted() {
			all = append(all, i.db)
		}
	}
	return all
}

// databaseOf is where an LSA that came by an interface belongs: by its scope, RFC 2328 A.4.1 and RFC 5340 4.5.2.
func (i *iface) databaseOf(t wire.LSAType) *database {
	switch t.Scope(i.area.inst.version()) {
	case wire.ScopeLink:
		return i.db
	case wire.ScopeAS:
		return i.area.inst.db
	}
	return i.area.db
}
