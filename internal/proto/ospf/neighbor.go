package ospf

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// neighborState is the state of a conversation, RFC 2328 10.1.
type neighborState uint8

const (
	neighborDown neighborState = iota
	heardOf                    // Init
	twoWay
	exStart
	exchange
	loading
	full
)

var neighborStates = [...]string{"down", "init", "two-way", "exstart", "exchange", "loading", "full"}

func (s neighborState) String() string { return neighborStates[s] }

// neighbor is a router on the network of an interface.
type neighbor struct {
	i            *iface
	key          netip.Addr
	router       wire.RouterID
	address      netip.Addr
	interfaceID  uint32
	priority     uint8
	dr, bdr      uint32
	helloOptions wire.Options
	options      wire.Options // of its database descriptions
	grouped      bool         // it sends hellos to the group
	unicast      bool         // it sends all of its hellos to us alone, and expects the same
	state        neighborState
	since        time.Duration
	lastHello    time.Duration
	events       int           // state changes
	sequences    [2][6]uint64  // of authentication, short and long: the last, and the last by packet type
	repeated     time.Duration // when our first description was repeated for who may have missed it
	answering    bool          // our first description waits whether we have one to answer
	queued       bool          // it waits for its turn to be adjacent
	slot         bool          // it has its turn
	progress     time.Duration // when the exchange came on last
	failures     int           // exchanges in a row that began anew
	unheard      int           // retransmissions in a row without an acknowledgment
	pace         time.Duration // how long its answers are waited for; 0 until it has answered
	described    question      // our last description
	requested    question      // our last request
	held         time.Duration // not adjacent until then: it brought too much

	mtu      int  // of its interface, as it says in descriptions
	master   bool // we are
	sequence uint32
	last     *wire.DatabaseDescription // that we sent
	heardDD  wire.DatabaseDescription  // the last received, without headers
	toTell   []*entry                  // not yet described
	requests map[wire.LSAKey]wire.LSAHeader
	order    []wire.LSAKey          // of requests: as they were described
	asked    []wire.LSAKey          // in the request that is not answered yet
	waits    map[wire.LSAKey]*entry // the retransmission list
	unacked  []sent                 // the same by when they were sent, with some that wait no more
	watched  liveness.Target
	watching bool
	alive    liveness.Status
	grace    *grace

	inactivity, description, request, update core.Timer
}

func newNeighbor(i *iface, key netip.Addr, r wire.RouterID) *neighbor {
	n := &neighbor{i: i, key: key, router: r, requests: map[wire.LSAKey]wire.LSAHeader{}, waits: map[wire.LSAKey]*entry{}}
	n.inactivity = core.Timer{Name: "ospf-dead", Of: n}
	n.description = core.Timer{Name: "ospf-description", Of: n}
	n.request = core.Timer{Name: "ospf-request", Of: n}
	n.update = core.Timer{Name: "ospf-retransmit", Of: n}
	return n
}

func (n *neighbor) inst() *instance { return n.i.area.inst }

// id is how the neighbour stands in the designated router fields of hellos.
func (n *neighbor) id() uint32 {
	if n.inst().version() == wire.V2 {
		return wire.Uint4(n.address)
	}
	return uint32(n.router)
}

// expired implements owner.
func (n *neighbor) expired(env *core.Env, t *core.Timer) {
	switch t {
	case &n.inactivity:
		n.silent(env)
	case &n.description:
		n.descriptionDue(env)
	case &n.request:
		n.requestDue(env)
	case &n.update:
		n.retransmit(env)
	}
}

// silent is the event InactivityTimer.
func (n *neighbor) silent(env *core.Env) {
	if n.grace != nil && n.grace.until > env.Now() {
		env.Arm(&n.inactivity, n.grace.until-env.Now()) // RFC 3623 3.1: not while we help
		return
	}
	if n.grace != nil {
		n.grace = nil
		n.kill(env, "it did not come back within its grace period")
		return
	}
	n.kill(env, "nothing heard for "+n.i.cfg.Dead.String())
}

// heard is the event HelloReceived.
func (n *neighbor) heard(env *core.Env) {
	env.Arm(&n.inactivity, n.i.cfg.Dead)
	n.lastHello = env.Now()
	if n.state == neighborDown {
		n.become(env, heardOf, "")
	}
}

// twoWayReceived is the event 2-WayReceived.
func (n *neighbor) twoWayReceived(env *core.Env) {
	if n.state != heardOf || n.isHeld(env) {
		return
	}
	n.become(env, twoWay, "")
	n.watch(env)
	n.adjacencyOK(env)
}

// oneWayReceived is the event 1-WayReceived: the neighbour does not see us. One that restarts gracefully is given time to.
func (n *neighbor) oneWayReceived(env *core.Env) {
	if n.state < twoWay || n.grace != nil {
		return
	}
	n.forget(env)
	n.become(env, heardOf, "it does not hear us")
}

// adjacencyOK is the event AdjOK?, RFC 2328 10.3: whether to be adjacent at all (10.4).
func (n *neighbor) adjacencyOK(env *core.Env) {
	switch wanted := n.wanted(); {
	case n.state == twoWay && wanted:
		n.inst().admit(env, n)
	case n.state > twoWay && !wanted:
		n.forget(env)
		n.become(env, twoWay, "the network has other designated routers")
	}
}

// wanted is RFC 2328 10.4.
func (n *neighbor) wanted() bool {
	i := n.i
	if !i.cfg.Network.designates() {
		return true
	}
	me := n.id()
	return i.state != waiting && (i.state == designated || i.state == backup || me == i.dr || me == i.bdr)
}

// admit lets an adjacency begin, or has it wait for its turn: a hub whose spokes all come at once would lose packets, and
// with them the adjacencies (RFC 4222 recommendation 5).
func (inst *instance) admit(env *core.Env, n *neighbor) {
	if n.queued {
		return
	}
	if inst.making >= inst.cfg.MaxExchanges {
		n.queued = true
		inst.queue = append(inst.queue, n)
		return
	}
	n.takeSlot()
	n.beginExchange(env)
}

func (n *neighbor) takeSlot() {
	if !n.slot {
		n.slot = true
		n.inst().making++
	}
}

// yieldSlot lets another neighbour have its turn: when the adjacency is made, or does not come on.
func (n *neighbor) yieldSlot() {
	if n.slot {
		n.slot = false
		n.inst().making--
		n.inst().turn = true
	}
}

// next begins the adjacencies that have their turn.
func (inst *instance) next(env *core.Env) {
	for len(inst.queue) > 0 && inst.making < inst.cfg.MaxExchanges {
		n := inst.queue[0]
		inst.queue = inst.queue[1:]
		n.queued = false
		n.adjacencyOK(env)
	}
}

// making reports whether the adjacency is being made.
func (s neighborState) making() bool { return s >= exStart && s < full }

// exchanging is 1 in the states Exchange and Loading, in which LSAs at MaxAge stay (RFC 2328 14).
func (s neighborState) exchanging() int {
	if s == exchange || s == loading {
		return 1
	}
	return 0
}

// become changes the state and whatever hangs on it.
func (n *neighbor) become(env *core.Env, s neighborState, reason string) {
	if s == n.state {
		return
	}
	inst, old := n.inst(), n.state
	n.state, n.since = s, env.Now()
	n.events++
	level := core.Debug
	if s == full || old == full {
		level = core.Info
	}
	env.Log(level, "neighbor", "instance", inst.cfg.Name, "interface", n.i.name(), "neighbor", n.router, "address", n.address, "from", old, "to", s, "reason", reason)
	if !s.making() {
		n.yieldSlot()
	}
	inst.exchanges += s.exchanging() - old.exchanging()
	n.progress = env.Now()
	inst.sweep = true
	n.announce(env, old, s)
}

// counts reports whether the adjacency is told of: one that restarts is, while it is helped (RFC 3623 3).
func (n *neighbor) counts() bool { return n.state == full || n.grace != nil }

// announce has the LSAs looked at that tell of adjacencies, RFC 2328 12.4.
func (n *neighbor) announce(env *core.Env, old, s neighborState) {
	inst := n.inst()
	if s == full || s == twoWay {
		delete(n.i.lost, n.router) // also where no adjacency is needed any more: another router has become designated
	}
	if s == full {
		n.i.solved(n.address, n)
		inst.adjacent(env, n)
	}
	if n.grace != nil || (old == full) == (s == full) && (old >= twoWay) == (s >= twoWay) {
		return
	}
	if old == full {
		if s != twoWay {
			n.i.lose(n.router)
		}
		inst.urgent, inst.gather = true, n.spread()
		inst.unadjacent(env)
	}
	inst.allMade = inst.allMade || s == full && !inst.exchanging()
	n.i.touch()
	inst.changedSPF("neighbor " + n.router.String() + " is " + s.String())
}

// lose notes a neighbour that went, on a network that has an LSA of its own: until that says so too, it leads there. Those
// that no network LSA names any more are forgotten.
func (i *iface) lose(r wire.RouterID) {
	if !i.cfg.Network.designates() {
		return
	}
	named := map[wire.RouterID]bool{}
	for _, e := range i.area.db.lsas {
		if l, ok := e.Body.(*wire.NetworkLSA); ok && e.usable() {
			for _, o := range l.Routers {
				named[o] = true
			}
		}
	}
	maps.DeleteFunc(i.lost, func(o wire.RouterID, _ bool) bool { return !named[o] })
	i.lost[r] = true
}

// spread is how much later than this one other adjacencies can be found lost by what took this one: they are watched as
// closely, and each interval begins when it will. An LSA that told of the first alone would have those that tell of the others
// wait until it is old enough for the neighbours (MinLSArrival); on a broadcast network they say who is designated now.
func (n *neighbor) spread() time.Duration {
	if n.i.cfg.Liveness == nil {
		return 0
	}
	return min(n.i.cfg.Liveness.Interval, longestSpread)
}

// longestSpread bounds what is waited for: with slow BFD it is better to tell twice.
const longestSpread = 50 * time.Millisecond

// kill is the events KillNbr, LLDown and InactivityTimer: the neighbour is gone.
func (n *neighbor) kill(env *core.Env, reason string) {
	i, was := n.i, n.state
	n.forget(env)
	n.unwatch(env)
	env.Stop(&n.inactivity)
	n.queued, n.grace = false, nil
	n.become(env, neighborDown, reason)
	i.remove(n)
	if i.state > waiting && i.cfg.Network.designates() && was >= twoWay && !i.closing {
		i.elect(env)
	}
}

// forget drops what an adjacency has: lists and timers.
func (n *neighbor) forget(env *core.Env) {
	for _, t := range []*core.Timer{&n.description, &n.request, &n.update} {
		env.Stop(t)
	}
	for _, e := range n.waits {
		n.inst().waitsNoMore(e)
	}
	clear(n.waits)
	clear(n.requests)
	n.asked, n.order, n.toTell, n.last, n.unacked, n.unheard, n.pace = nil, nil, nil, nil, nil, 0, 0
	if n.queued {
		n.queued = false
		inst := n.inst()
		inst.queue = slices.DeleteFunc(inst.queue, func(o *neighbor) bool { return o == n })
	}
}

// watch asks for the neighbour to be watched, where the interface wants it.
func (n *neighbor) watch(env *core.Env) {
	w := n.i.cfg.Liveness
	if w == nil || n.state < twoWay {
		n.unwatch(env)
		return
	}
	n.watched, n.watching = liveness.Target{Peer: n.address, Local: n.i.local, Interface: n.i.name()}, true
	env.Request(liveness.BFD, liveness.Watch{Target: n.watched, For: n.inst().cfg.Name, Interval: w.Interval, Multiplier: w.Multiplier, Demand: w.Demand})
}

func (n *neighbor) unwatch(env *core.Env) {
	if n.watching {
		n.watching, n.alive = false, liveness.Unknown
		env.Request(liveness.BFD, liveness.Unwatch{Target: n.watched, For: n.inst().cfg.Name})
	}
}

// liveness hears of a neighbour that is watched: only one whose path worked and ceased to is given up, RFC 5882 3.2.
func (n *neighbor) liveness(env *core.Env, s liveness.State) {
	n.alive = s.Status
	if s.Status == liveness.Down && n.state >= twoWay {
		n.grace = nil // RFC 5882 4.3.2.2: the control plane does not share the fate of the forwarding
		n.kill(env, "its path has failed: "+s.Reason)
	}
}
