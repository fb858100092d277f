package ospf

import (
	"container/heap"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// refreshJitter spreads refreshes, so that what was originated together does not stay together for ever.
const refreshJitter = 0.1

// ages is a heap of LSAs by the time something is due: one timer serves a database of any size.
type ages []*entry

func (h ages) Len() int           { return len(h) }
func (h ages) Less(i, j int) bool { return h[i].due < h[j].due }
func (h ages) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push implements [heap.Interface].
func (h *ages) Push(x any) {
	e := x.(*entry)
	*h = append(*h, e)
	e.index = len(*h)
}

// Pop implements [heap.Interface].
func (h *ages) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = 0
	return e
}

// schedule says when to look at an LSA again: ours are refreshed (RFC 2328 12.4), those of others reach MaxAge (14).
func (inst *instance) schedule(env *core.Env, e *entry, own bool) {
	if e.flushed {
		return
	}
	e.due = e.born + wire.MaxAge*time.Second
	if own {
		e.due = min(e.due, env.Now()+env.Jitter(wire.LSRefreshTime, refreshJitter))
	}
	heap.Push(&inst.ages, e)
	inst.armAges(env)
}

func (inst *instance) armAges(env *core.Env) {
	if len(inst.ages) == 0 {
		env.Stop(&inst.ageTimer)
	} else if d := inst.ages[0].due - env.Now(); !inst.ageTimer.Armed() || inst.ageTimer.At() != inst.ages[0].due {
		env.Arm(&inst.ageTimer, d)
	}
}

// aged acts on the LSAs that are due.
func (inst *instance) aged(env *core.Env) {
	for len(inst.ages) > 0 && inst.ages[0].due <= env.Now() {
		e := heap.Pop(&inst.ages).(*entry)
		o, end := e.db.own[e.key()], e.born+wire.MaxAge*time.Second
		if env.Now() >= end || !o.wanted() {
			inst.expire(env, e)
			continue
		}
		e.due = end // if it is not refreshed, as it cannot be while we restart, or when it has become too long
		heap.Push(&inst.ages, e)
		o.emit(env)
	}
	inst.armAges(env)
}

// expire floods an LSA that has reached MaxAge, ours before its time, so that everybody drops it (RFC 2328 14).
func (inst *instance) expire(env *core.Env, e *entry) {
	if e.flushed {
		return
	}
	old := *e
	inst.unlist(env, e)
	e.flushed = true
	e.Header.Age = wire.MaxAge
	inst.flushing[e] = struct{}{}
	inst.sweep = true
	inst.changed(env, &old, e)
	inst.flood(env, e, nil)
}

// maxSpent bounds the sequence numbers that are remembered of a database.
const maxSpent = 1 << 16

// spend remembers the sequence number of an LSA of ours that is gone. Others may keep it for a while after they acknowledged
// it, at MaxAge, and an instance of the same number would be the older one there (RFC 2328 13.1). After the last number the
// first comes again (12.1.6).
func (e *entry) spend() {
	if e.Header.Router != e.db.inst.router || e.Header.Sequence == wire.MaxSequence {
		return
	}
	if len(e.db.spent) == maxSpent {
		clear(e.db.spent)
	}
	e.db.spent[e.key()] = e.Header.Sequence
}

// sweepFlushed drops LSAs at MaxAge that nobody has to acknowledge any more, while no neighbour is told what the database
// holds (RFC 2328 14).
func (inst *instance) sweepFlushed(env *core.Env) {
	inst.sweep = false
	if inst.exchanging() {
		return
	}
	for e := range inst.flushing {
		o := e.db.own[e.key()]
		if e.waiting > 0 || o.leaving() {
			continue
		}
		inst.remove(env, e)
		e.spend()
		if o != nil {
			inst.gone = append(inst.gone, o)
		}
	}
	slices.SortFunc(inst.gone, func(a, b *origin) int { return compareKeys(a.key, b.key) })
	inst.resume(env)
}
