package ospf

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

const (
	ackDelay      = time.Second // less than anybody's retransmission interval, RFC 2328 13.5
	maxRetransmit = 4           // updates to one neighbour at a time, RFC 4222 recommendation 4
	maxUnheard    = 25          // times that they are sent in a row without any acknowledgment
)

// receiveUpdate is RFC 2328 13, one LSA after the other.
func (n *neighbor) receiveUpdate(env *core.Env, u *wire.Update) {
	if n.state < exchange {
		return
	}
	open := len(n.requests)
	for _, l := range u.LSAs {
		if !n.receiveLSA(env, l) || n.state < exchange {
			return
		}
	}
	n.heardAnswer(env, u, open)
}

// receiveLSA is the steps of RFC 2328 13; false when the exchange begins anew.
func (n *neighbor) receiveLSA(env *core.Env, l wire.LSA) bool {
	i, inst := n.i, n.inst()
	if err := l.Check(inst.version()); err != nil { // step 1
		i.malformed(env, n.address, err)
		return true
	}
	if l.Sequence < wire.InitialSequence {
		i.count("dropped-lsa-sequence") // the one number that is reserved, 12.1.6
		i.problem(env, n.address, BadLSA, "it sent an LSA with the reserved sequence number: "+l.LSAKey.String())
		return true
	}
	if !i.belongs(l.LSAKey) { // steps 2 and 3
		i.count("dropped-lsa-scope")
		i.problem(env, n.address, BadLSA, "it sent an LSA that is not for "+i.area.cfg.Kind.String()+" areas, or of no known type: "+l.LSAKey.String())
		return true
	}
	l.Age = min(l.Age, wire.MaxAge)
	have := i.databaseOf(l.Type).lsas[l.LSAKey]
	if l.Age == wire.MaxAge && have == nil && (!inst.exchanging() || inst.overflows(l, nil)) { // step 4
		n.ackNow(env, l.LSAHeader)
		return true
	}
	newer := 1
	if have != nil {
		newer = wire.Compare(l.LSAHeader, have.header(env.Now()))
	}
	switch {
	case newer > 0:
		n.install(env, l, have)
	case n.asksFor(l.LSAKey): // step 6
		n.mismatched(env, "it sent an older LSA than it described: "+l.LSAKey.String())
		return false
	case newer == 0:
		n.duplicate(env, l, have)
	default:
		n.answerOlder(env, have)
	}
	return true
}

func (n *neighbor) asksFor(k wire.LSAKey) bool {
	_, ok := n.requests[k]
	return ok
}

// install is step 5: a newer instance than ours.
func (n *neighbor) install(env *core.Env, l wire.LSA, have *entry) {
	i, inst, now := n.i, n.inst(), env.Now()
	if have != nil && now-have.arrived < inst.cfg.MinArrival && have.arrived != 0 && !n.asksFor(l.LSAKey) {
		i.count("dropped-lsa-early") // step 5 a
		return
	}
	db := i.databaseOf(l.Type)
	if inst.overflows(l, have) {
		inst.culprit(n).overload(env)
		return
	}
	l.Raw = bytes.Clone(l.Raw)
	mine, asked := db.own[l.LSAKey], n.asksFor(l.LSAKey)
	e, _ := db.put(env, l, false)
	inst.brings(e, n)
	if asked {
		e.arrived = 0 // not by flooding, so that MinLSArrival does not count from now: it may be old, and change at once
	}
	back := inst.flood(env, e, n)
	n.ackInstalled(env, l.LSAHeader, back)
	if inst.selfOriginated(i, l.LSAKey) {
		inst.contest(env, e, mine, n)
	}
	inst.learned(env, n, e)
}

// ackInstalled is the table of RFC 2328 13.5 for an LSA that was installed: no acknowledgment when it goes back out of
// the interface, or when a backup had it from someone else than the designated router.
func (n *neighbor) ackInstalled(env *core.Env, h wire.LSAHeader, back bool) {
	if back || n.i.state == backup && n.id() != n.i.dr {
		return
	}
	n.ackLater(env, h)
}

// duplicate is step 7: the instance that we have.
func (n *neighbor) duplicate(env *core.Env, l wire.LSA, have *entry) {
	if n.waits[l.LSAKey] == have { // an implied acknowledgment
		n.unwait(env, have)
		n.unheard = 0
		if n.i.state == backup && n.id() == n.i.dr {
			n.ackLater(env, l.LSAHeader)
		}
		return
	}
	n.ackNow(env, l.LSAHeader)
}

// answerOlder is step 8: the neighbour has an older instance, and is told.
func (n *neighbor) answerOlder(env *core.Env, have *entry) {
	if have.flushed && have.Header.Sequence == wire.MaxSequence {
		return
	}
	if last, ok := n.i.answered[have.key()]; ok && env.Now()-last < n.inst().cfg.MinArrival {
		return
	}
	if n.i.answered == nil || len(n.i.answered) > 1000 {
		n.i.answered = map[wire.LSAKey]time.Duration{}
	}
	n.i.answered[have.key()] = env.Now()
	n.i.sendUpdates(env, n.sendTo(), []*entry{have})
}

// flood puts an LSA on the lists of those who may not have it, RFC 2328 13.3, and reports whether it goes back out of the
// interface it came by. from is nil for our own.
func (inst *instance) flood(env *core.Env, e *entry, from *neighbor) (back bool) {
	for _, i := range e.db.interfaces() {
		if !i.floods(env, e, from) {
			continue
		}
		if from != nil && from.i == i {
			if i.state == backup || from.reachesAll(env.Now()) { // steps 4 and 3
				continue
			}
			back = true
		}
		i.outbox = append(i.outbox, e)
		inst.mark(i)
	}
	return back
}

// reachesAll is step 3 of 13.3: what a designated router sends has probably reached the whole network. A backup that has only
// just become one is not adjacent with everybody yet, and what it says of itself replaces what it said before it failed: until
// they have that, others would send to it as they did then.
func (n *neighbor) reachesAll(now time.Duration) bool {
	i := n.i
	fresh := i.state == designated && now-i.elected < i.cfg.Dead
	return i.cfg.Network.designates() && (n.id() == i.dr || n.id() == i.bdr && !fresh)
}

// floods is steps 1 and 2 of 13.3: whether any neighbour of the interface needs the LSA.
func (i *iface) floods(env *core.Env, e *entry, from *neighbor) bool {
	needed := false
	for n := range i.adjacent() {
		if asked, ok := n.requests[e.key()]; ok {
			c := wire.Compare(e.header(env.Now()), asked)
			if c >= 0 {
				n.answered(env, e.key())
			}
			if c >= 0 && n != from {
				n.continueRequests(env) // its own answer may have been lost
			}
			if c <= 0 {
				continue
			}
		}
		if n == from || !n.takes(e) {
			continue
		}
		n.wait(env, e)
		if i.withholds(e) {
			i.sendUpdates(env, n.sendTo(), []*entry{e}) // it alone is to have it
			continue
		}
		needed = true
	}
	return needed
}

// adjacent is the neighbours that exchange LSAs, in order.
func (i *iface) adjacent() iter.Seq[*neighbor] {
	return func(yield func(*neighbor) bool) {
		for _, n := range i.sorted() {
			if n.state >= exchange && !yield(n) {
				return
			}
		}
	}
}

// wait puts an LSA on the retransmission list.
func (n *neighbor) wait(env *core.Env, e *entry) {
	if n.waits[e.key()] == e {
		return
	}
	if old := n.waits[e.key()]; old != nil {
		n.inst().waitsNoMore(old)
	}
	n.waits[e.key()] = e
	n.unacked = append(n.unacked, sent{e, env.Now()})
	e.waiting++
	if !n.update.Armed() {
		env.Arm(&n.update, n.i.cfg.Retransmit)
	}
}

// unwait takes an LSA off the retransmission list.
func (n *neighbor) unwait(env *core.Env, e *entry) {
	if n.waits[e.key()] != e {
		return
	}
	delete(n.waits, e.key())
	n.inst().waitsNoMore(e)
	if len(n.waits) == 0 {
		n.unacked = nil
		env.Stop(&n.update)
	}
}

func (inst *instance) waitsNoMore(e *entry) {
	if e.waiting--; e.waiting == 0 && e.flushed {
		inst.sweep = true
	}
}

// sent is an LSA on the retransmission list, and when it was sent to the neighbour last.
type sent struct {
	e  *entry
	at time.Duration
}

// retransmit sends again what was not acknowledged in time, the longest first, RFC 2328 13.6, to this neighbour alone.
func (n *neighbor) retransmit(env *core.Env) {
	list, more := n.overdue(env.Now())
	if len(n.waits) == 0 {
		return
	}
	if len(list) == 0 {
		env.Arm(&n.update, n.unacked[0].at+n.i.cfg.Retransmit-env.Now())
		return
	}
	if n.unheard++; n.unheard > maxUnheard && n.grace == nil {
		n.i.problem(env, n.address, Unacknowledged, strconv.Itoa(len(n.waits))+" LSAs are not acknowledged, sent "+strconv.Itoa(maxUnheard)+" times")
		n.mismatched(env, "it acknowledges nothing")
		return
	}
	n.i.count("retransmitted")
	n.i.sendUpdates(env, n.sendTo(), list)
	next := n.i.cfg.Retransmit
	if more && n.unheard == 1 { // acknowledgments come: the rest need not wait as long
		next = min(next, ackDelay)
	}
	env.Arm(&n.update, next)
}

// overdue takes the LSAs whose acknowledgment is late off the head of the list and puts them to its end, as many as may be
// sent at a time. There may be more.
func (n *neighbor) overdue(now time.Duration) (list []*entry, more bool) {
	room := maxRetransmit * n.i.room()
	for len(n.unacked) > 0 {
		s := n.unacked[0]
		waits := n.waits[s.e.key()] == s.e
		if waits && s.at+n.i.cfg.Retransmit > now {
			break
		}
		if waits && room <= 0 {
			return list, true
		}
		if n.unacked = n.unacked[1:]; waits {
			list, room = append(list, s.e), room-len(s.e.raw)
			n.unacked = append(n.unacked, sent{s.e, now})
		}
	}
	return list, false
}

// sendOutbox floods what the event brought, in as few packets as hold it.
func (i *iface) sendOutbox(env *core.Env) {
	list := i.outbox[:0]
	for _, e := range i.outbox {
		if e.db.lsas[e.key()] == e {
			list = append(list, e)
		}
	}
	if len(list) > 0 {
		for _, dst := range i.floodTo() {
			i.sendUpdates(env, dst, list)
		}
	}
	i.outbox = nil
}

// floodTo is where updates for all go, RFC 2328 13.3 and 8.1.
func (i *iface) floodTo() []netip.Addr {
	var to []netip.Addr
	if i.multicasts() {
		to = append(to, i.group())
	}
	for n := range i.adjacent() {
		if n.unicast || !i.multicasts() {
			to = append(to, n.address)
		}
	}
	return to
}

// group is that of updates and acknowledgments: routers that are neither designated nor backup send to those that are.
func (i *iface) group() netip.Addr {
	v := i.inst().version()
	if i.state == drOther || i.state == waiting {
		return v.AllDRouters()
	}
	return v.AllRouters()
}

// sendTo is where a packet for this neighbour alone goes: to the group on point-to-point links, RFC 2328 8.1.
func (n *neighbor) sendTo() netip.Addr {
	if n.i.cfg.Network == PointToPoint && !n.unicast {
		return n.inst().version().AllRouters()
	}
	return n.address
}

// sendUpdates packs LSAs into updates.
func (i *iface) sendUpdates(env *core.Env, dst netip.Addr, list []*entry) {
	var lsas []wire.LSA
	room := i.room() - 4
	size := 0
	for _, e := range list {
		if size > 0 && size+len(e.raw) > room {
			i.send(env, dst, &wire.Update{LSAs: lsas})
			lsas, size = nil, 0
		}
		lsas, size = append(lsas, e.lsa(env.Now(), i.cfg.TransmitDelay)), size+len(e.raw)
	}
	if len(lsas) > 0 {
		i.send(env, dst, &wire.Update{LSAs: lsas})
	}
}

// pendingAck is an acknowledgment that waits to go with others.
type pendingAck struct {
	to     netip.Addr
	header wire.LSAHeader
}

// ackNow acknowledges to one neighbour at once: a direct acknowledgment, RFC 2328 13.5. Those of one event go together.
func (n *neighbor) ackNow(env *core.Env, h wire.LSAHeader) {
	n.i.acks = append(n.i.acks, pendingAck{n.sendTo(), h})
	n.i.acksDue = true
	n.inst().mark(n.i)
}

// ackLater acknowledges with others, to all on a network with a group, RFC 2328 13.5. On point-to-multipoint only who
// sent the LSA cares.
func (n *neighbor) ackLater(env *core.Env, h wire.LSAHeader) {
	to := n.sendTo()
	if n.i.cfg.Network == Broadcast && !n.unicast {
		to = n.i.group()
	}
	n.i.acks = append(n.i.acks, pendingAck{to, h})
	if !n.i.ackTimer.Armed() {
		env.Arm(&n.i.ackTimer, min(ackDelay, n.i.cfg.Retransmit/2))
	}
}

// sendAcks sends the acknowledgments that wait.
func (i *iface) sendAcks(env *core.Env) {
	env.Stop(&i.ackTimer)
	most := max(i.room()/wire.LSAHeaderLen, 1)
	var order []netip.Addr
	by := map[netip.Addr][]wire.LSAHeader{}
	for _, a := range i.acks {
		if by[a.to] == nil {
			order = append(order, a.to)
		}
		by[a.to] = append(by[a.to], a.header)
	}
	i.acks, i.acksDue = nil, false
	for _, to := range order {
		for headers := range slices.Chunk(by[to], most) {
			i.send(env, to, &wire.Ack{Headers: headers})
		}
	}
}

// receiveAck is RFC 2328 13.7.
func (n *neighbor) receiveAck(env *core.Env, a *wire.Ack) {
	if n.state < exchange {
		return
	}
	for _, h := range a.Headers {
		e := n.waits[h.LSAKey]
		if e == nil {
			continue
		}
		if wire.Compare(h, e.header(env.Now())) == 0 {
			n.unwait(env, e)
			n.unheard = 0
		} else {
			n.i.count("acknowledgment-of-other")
		}
	}
}
