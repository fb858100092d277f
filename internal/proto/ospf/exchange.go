package ospf

import (
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// beginExchange is the state ExStart: both say they are master, and the higher router ID is (RFC 2328 10.8).
func (n *neighbor) beginExchange(env *core.Env) {
	n.become(env, exStart, "")
	if n.sequence == 0 {
		n.sequence = env.Rand().Uint32() >> 1
	}
	n.sequence++
	n.master = true
	n.heardDD = wire.DatabaseDescription{}
	n.describe(env, wire.DDInit|wire.DDMore|wire.DDMaster, nil)
}

// describe sends a database description, and keeps it to be sent again.
func (n *neighbor) describe(env *core.Env, flags uint8, headers []wire.LSAHeader) {
	n.last = &wire.DatabaseDescription{
		MTU: n.i.announcedMTU(), Options: n.i.area.options() | optionO(n.inst().version()),
		Flags: flags, Sequence: n.sequence, Headers: headers,
	}
	n.described = question{asked: env.Now()}
	n.repeatDescription(env)
}

// optionO is said in descriptions: opaque LSAs are carried, RFC 5250 2.
func optionO(v wire.Version) wire.Options {
	if v == wire.V2 {
		return wire.OptO
	}
	return 0
}

// announcedMTU is the size of the largest packet, for the neighbour to compare (RFC 2328 10.6).
func (i *iface) announcedMTU() uint16 { return uint16(i.mtu()) }

// repeatDescription sends the last description, and again until it is answered if that is ours to do.
func (n *neighbor) repeatDescription(env *core.Env) {
	if n.last == nil {
		return
	}
	if !n.answering {
		n.i.send(env, n.sendTo(), n.last)
	}
	switch {
	case n.state == exchange && n.master:
		env.Arm(&n.description, n.patience())
	case n.state == exStart || n.state == exchange:
		env.Arm(&n.description, n.i.cfg.Retransmit)
	}
}

// descriptionDue is the timer of descriptions: the first is sent after a time of penance, the last again by the master, and
// the slave looks whether the master goes on.
func (n *neighbor) descriptionDue(env *core.Env) {
	switch {
	case n.state == exStart && n.last == nil:
		n.beginExchange(env)
	case n.stalled(env):
	case n.state == exchange && !n.master:
		env.Arm(&n.description, n.i.cfg.Retransmit)
	default:
		n.described.again = true
		n.loses()
		n.repeatDescription(env)
	}
}

// stalled looks at an exchange that does not come on: soon others have its turn, and after the dead interval it begins anew,
// since LSAs at MaxAge wait for its end.
func (n *neighbor) stalled(env *core.Env) bool {
	quiet := env.Now() - n.progress
	if quiet >= 2*n.i.cfg.Retransmit {
		n.yieldSlot()
		n.suspectMTU(env)
	}
	if n.state.exchanging() == 0 || quiet < max(n.i.cfg.Dead, 4*n.i.cfg.Retransmit) {
		return false
	}
	n.mismatched(env, "the exchange did not come on for "+quiet.Round(time.Second).String())
	return true
}

// suspectMTU says why a neighbour may not answer that has a smaller MTU: it takes no description from us (RFC 2328 10.6).
func (n *neighbor) suspectMTU(env *core.Env) {
	if n.smallerMTU() {
		n.i.problem(env, n.address, WrongMTU, "its interface MTU is "+strconv.Itoa(n.mtu)+", ours "+strconv.Itoa(n.i.mtu())+
			": it does not take our descriptions unless it ignores that")
	}
}

func (n *neighbor) smallerMTU() bool { return n.mtu != 0 && n.mtu < n.i.mtu() }

// mismatched is the events SeqNumberMismatch and BadLSReq: the exchange begins anew, at once the first time and later each
// time after twice as long.
func (n *neighbor) mismatched(env *core.Env, reason string) {
	n.i.count("exchange-restarted")
	if n.state == full && env.Now()-n.since > penanceOver {
		n.failures = 0
	}
	n.failures++
	n.takeSlot()
	n.forget(env)
	n.become(env, exStart, reason)
	if n.failures == 1 {
		n.beginExchange(env)
		return
	}
	n.i.problem(env, n.address, BadExchange, "the exchange of databases begins anew again and again: "+reason)
	n.yieldSlot()
	env.Arm(&n.description, min(time.Second<<min(n.failures-2, 10), maxPenance))
}

const (
	maxPenance  = 30 * time.Second // before an exchange that always fails begins anew
	penanceOver = time.Minute      // of being adjacent, after which failures are forgotten
)

// receiveDescription is RFC 2328 10.6.
func (n *neighbor) receiveDescription(env *core.Env, d *wire.DatabaseDescription) {
	if why := n.tooLarge(d); why != "" {
		n.i.count("dropped-mtu")
		n.i.problem(env, n.address, WrongMTU, why)
		return
	}
	n.mtu = int(d.MTU)
	if n.state == heardOf {
		old := *n
		n.answerFirst(env, d, n.twoWayReceived)
		n.i.consider(env, n, &old) // its next hello will be no news
		return
	}
	switch n.state {
	case exStart:
		n.negotiate(env, d)
	case exchange:
		n.exchange(env, d)
	case loading, full:
		switch {
		case !n.repeats(d) && d.Flags&wire.DDInit != 0:
			n.anew(env, d)
		case !n.repeats(d):
			n.mismatched(env, "it sent a description out of order")
		case !n.master && n.last != nil:
			n.i.send(env, n.sendTo(), n.last)
		}
	}
}

func (n *neighbor) tooLarge(d *wire.DatabaseDescription) string {
	if n.i.cfg.MTUIgnore || int(d.MTU) <= n.i.mtu() {
		return ""
	}
	return "its interface MTU is " + strconv.Itoa(int(d.MTU)) + ", ours " + strconv.Itoa(n.i.mtu()) + ": make them equal, or set mtu-ignore"
}

// negotiate is the state ExStart of 10.6: who is master.
func (n *neighbor) negotiate(env *core.Env, d *wire.DatabaseDescription) {
	const all = wire.DDInit | wire.DDMore | wire.DDMaster
	switch inst := n.inst(); {
	case n.last == nil:
		return // not yet: it failed before
	case d.Flags&all == all && len(d.Headers) == 0 && n.router > inst.router:
		n.master, n.sequence = false, d.Sequence
	case d.Flags&(wire.DDInit|wire.DDMaster) == 0 && d.Sequence == n.sequence && n.router < inst.router:
		n.master = true
	case d.Flags&all == all && n.router < inst.router && (n.repeated == 0 || env.Now()-n.repeated > time.Second):
		n.repeated = env.Now()
		env.Arm(&n.description, repeatDelay) // it may not have listened yet when ours came, and waits for us; mostly it has
		return
	default:
		return
	}
	n.negotiated(env, d)
}

// repeatDelay is longer than an answer is on its way that has crossed with a description.
const repeatDelay = 250 * time.Millisecond

// negotiated is the event NegotiationDone.
func (n *neighbor) negotiated(env *core.Env, d *wire.DatabaseDescription) {
	n.options = d.Options
	n.become(env, exchange, "")
	env.Arm(&n.description, n.i.cfg.Retransmit)
	for _, db := range n.databases() {
		for _, e := range db.sorted() {
			if n.takes(e) && !n.waitsForFlush(env, e) {
				n.toTell = append(n.toTell, e)
			}
		}
	}
	n.accept(env, d)
}

// databases are those that the neighbour shares.
func (n *neighbor) databases() []*database {
	all := []*database{n.i.area.db, n.i.db}
	if n.i.area.cfg.Kind == Normal {
		all = append(all, n.inst().db)
	}
	return all
}

// takes reports whether a neighbour is told of an LSA at all: opaque ones only if it can carry them, RFC 5250 3.1, and of
// others nothing where only our own are flooded. What is in its own name it is told of always: it may have restarted, and
// has to outdo what is left of the time before (RFC 2328 13.4).
func (n *neighbor) takes(e *entry) bool {
	if n.i.withholds(e) && e.Header.Router != n.router {
		return false
	}
	v := n.inst().version()
	opaque := v == wire.V2 && e.Header.Type >= 9 && e.Header.Type <= 11
	return !opaque || n.options&wire.OptO != 0
}

// withholds reports whether an LSA is not flooded out of the interface.
func (i *iface) withholds(e *entry) bool {
	return i.cfg.FloodOwn && e.Header.Router != i.inst().router && !i.cfg.Network.designates()
}

// waitsForFlush puts an LSA at MaxAge on the retransmission list instead of into a description, RFC 2328 10.3.
func (n *neighbor) waitsForFlush(env *core.Env, e *entry) bool {
	if e.age(env.Now()) < wire.MaxAge {
		return false
	}
	n.wait(env, e)
	return true
}

// exchange is the state Exchange of 10.6.
func (n *neighbor) exchange(env *core.Env, d *wire.DatabaseDescription) {
	master := d.Flags&wire.DDMaster != 0
	switch {
	case n.repeats(d):
		if !n.master {
			n.i.send(env, n.sendTo(), n.last)
		}
	case d.Flags&wire.DDInit != 0:
		n.anew(env, d)
	case master == n.master:
		n.mismatched(env, "it changed its mind about who is master")
	case d.Options&^wire.OptL != n.options&^wire.OptL:
		n.mismatched(env, "its options changed")
	case n.master && d.Sequence != n.sequence || !n.master && d.Sequence != n.sequence+1:
		n.mismatched(env, "it sent a description out of order")
	default:
		n.learn(env, n.described)
		n.accept(env, d)
	}
}

// anew follows a neighbour that has begun the exchange anew. What it began with is heeded, as it would come again only after
// the neighbour's retransmission interval.
func (n *neighbor) anew(env *core.Env, d *wire.DatabaseDescription) {
	n.answerFirst(env, d, func(env *core.Env) { n.mismatched(env, "it began the exchange anew") })
}

// answerFirst begins an exchange that the neighbour has begun already. What we would begin with is sent only if it does not
// answer what has come: two descriptions at once could change places on the way, and the exchange would begin anew again.
func (n *neighbor) answerFirst(env *core.Env, d *wire.DatabaseDescription, begin func(*core.Env)) {
	n.answering = true
	begin(env)
	n.answering = false
	if n.state != exStart || n.last == nil {
		return // it waits for its turn, or out a time of penance
	}
	if n.negotiate(env, d); n.state == exStart {
		n.repeated = env.Now() // it hears the first of ours
		n.repeatDescription(env)
	}
}

// repeats reports whether a description was received before, RFC 2328 10.6.
func (n *neighbor) repeats(d *wire.DatabaseDescription) bool {
	l := &n.heardDD
	return l.Sequence == d.Sequence && l.Flags == d.Flags && l.Options == d.Options && l.MTU == d.MTU
}

// accept takes what a description says, and sends the next, or ends the exchange.
func (n *neighbor) accept(env *core.Env, d *wire.DatabaseDescription) {
	n.heardDD = wire.DatabaseDescription{MTU: d.MTU, Options: d.Options, Flags: d.Flags, Sequence: d.Sequence}
	n.progress = env.Now()
	for _, h := range d.Headers {
		switch {
		case !n.i.belongs(h.LSAKey):
			n.mismatched(env, "it described an LSA that does not belong here: "+h.LSAKey.String())
			return
		case len(n.requests)+n.inst().lsas >= n.inst().cfg.MaxLSAs && !n.has(h):
			n.overload(env)
			return
		}
		n.compare(env, h)
	}
	more := d.Flags&wire.DDMore != 0
	switch {
	case !n.master:
		n.sequence = d.Sequence
		n.describeMore(env)
		if !more && n.last.Flags&wire.DDMore == 0 {
			n.exchanged(env)
		}
	case !more && n.last.Flags&(wire.DDMore|wire.DDInit) == 0:
		n.exchanged(env)
	default:
		n.sequence++
		n.describeMore(env)
	}
	if n.state == exchange && len(n.requests) > 0 && n.asked == nil {
		n.sendRequest(env)
	}
}

// has reports whether an LSA is in the database, or asked for already.
func (n *neighbor) has(h wire.LSAHeader) bool {
	return n.i.databaseOf(h.Type).lsas[h.LSAKey] != nil || n.asksFor(h.LSAKey)
}

// compare notes an LSA that the neighbour has newer.
func (n *neighbor) compare(env *core.Env, h wire.LSAHeader) {
	have := n.i.databaseOf(h.Type).lsas[h.LSAKey]
	if have != nil && wire.Compare(h, have.header(env.Now())) <= 0 {
		return
	}
	if _, ok := n.requests[h.LSAKey]; !ok {
		n.order = append(n.order, h.LSAKey)
	}
	n.requests[h.LSAKey] = h
}

// belongs reports whether an LSA may come by the interface: of a scope and a type that the area has, RFC 2328 13 steps 2 and 3,
// RFC 3101 2.2, RFC 5340 4.5.1.
func (i *iface) belongs(k wire.LSAKey) bool {
	v := i.inst().version()
	scope := k.Type.Scope(v)
	switch {
	case scope == wire.ScopeReserved:
		return false
	case i.area.cfg.Kind != Normal && scope == wire.ScopeAS:
		return false
	case k.Function(v) == wire.FunctionNSSA:
		return i.area.cfg.Kind == NSSA
	}
	return true
}

// describeMore sends the next description.
func (n *neighbor) describeMore(env *core.Env) {
	var headers []wire.LSAHeader
	most := max((n.i.room()-12)/wire.LSAHeaderLen, 1)
	for len(n.toTell) > 0 && len(headers) < most {
		e := n.toTell[0]
		n.toTell = n.toTell[1:]
		if now := e.db.lsas[e.key()]; now != nil && !now.flushed {
			headers = append(headers, now.header(env.Now()))
		}
	}
	var flags uint8
	if n.master {
		flags |= wire.DDMaster
	}
	if len(n.toTell) > 0 {
		flags |= wire.DDMore
	}
	n.describe(env, flags, headers)
}

// exchanged is the event ExchangeDone.
func (n *neighbor) exchanged(env *core.Env) {
	env.Stop(&n.description)
	n.toTell = nil
	if len(n.requests) == 0 {
		n.become(env, full, "")
		return
	}
	n.become(env, loading, "")
	if n.asked == nil {
		n.sendRequest(env)
	}
}

// sendRequest asks for the next LSAs, RFC 2328 10.9, and first for those that were asked for and did not come.
func (n *neighbor) sendRequest(env *core.Env) {
	if len(n.requests) == 0 || n.state < exchange {
		return
	}
	n.asked = n.toAsk(max(n.i.room()/12, 1))
	n.requested = question{asked: env.Now()}
	n.i.send(env, n.sendTo(), &wire.Request{Keys: n.asked})
	env.Arm(&n.request, n.patience())
}

// toAsk is the first of the LSAs on the request list, at most so many.
func (n *neighbor) toAsk(most int) (keys []wire.LSAKey) {
	done := 0
	for k, key := range n.order {
		if _, ok := n.requests[key]; ok {
			keys = append(keys, key)
		} else if done == k {
			done++ // those at the head that came are not looked at again
		}
		if len(keys) == most {
			break
		}
	}
	n.order = n.order[done:]
	return keys
}

// requestDue asks again for what did not come, unless nothing has come for too long.
func (n *neighbor) requestDue(env *core.Env) {
	if n.stalled(env) {
		return
	}
	n.loses()
	n.sendRequest(env)
	n.requested.again = true
}

// answered strikes an LSA off the request list.
func (n *neighbor) answered(env *core.Env, k wire.LSAKey) {
	delete(n.requests, k)
	n.progress = env.Now()
	if len(n.requests) == 0 {
		n.asked, n.order = nil, nil
		env.Stop(&n.request)
		if n.state == loading {
			n.become(env, full, "")
		}
	}
}

// continueRequests asks for the next LSAs once none of the last request is missing.
func (n *neighbor) continueRequests(env *core.Env) {
	if n.asked != nil && !slices.ContainsFunc(n.asked, n.asksFor) {
		n.sendRequest(env)
	}
}

// heardAnswer looks how far an update has brought the answer to a request, of which so many were open before. Neighbours
// answer in the order of the request: what is missing when its last LSA has come was lost, and is asked for with the next.
func (n *neighbor) heardAnswer(env *core.Env, u *wire.Update, open int) {
	if n.asked == nil || len(n.requests) == open {
		return
	}
	n.learn(env, n.requested)
	last := n.asked[len(n.asked)-1]
	if slices.ContainsFunc(u.LSAs, func(l wire.LSA) bool { return l.LSAKey == last }) {
		n.sendRequest(env)
		return
	}
	env.Arm(&n.request, n.patience())
	n.continueRequests(env)
}

// receiveRequest is RFC 2328 10.7.
func (n *neighbor) receiveRequest(env *core.Env, r *wire.Request) {
	if n.state < exchange {
		return
	}
	var found []*entry
	seen := map[wire.LSAKey]bool{}
	for _, k := range r.Keys {
		if seen[k] {
			continue // one answer is enough
		}
		seen[k] = true
		e := n.i.databaseOf(k.Type).lsas[k]
		if e == nil || !n.i.belongs(k) {
			n.mismatched(env, "it asked for an LSA that we do not have: "+k.String())
			return
		}
		found = append(found, e)
	}
	n.i.sendUpdates(env, n.sendTo(), found)
}
