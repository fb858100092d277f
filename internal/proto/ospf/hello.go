package ospf

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// helloJitter keeps the hellos of many routers apart.
const helloJitter = 0.1

// sayHello sends hellos and arms the timer for the next, RFC 2328 9.5.
func (i *iface) sayHello(env *core.Env) {
	env.Arm(&i.helloTimer, env.Jitter(i.cfg.Hello, helloJitter))
	i.said = env.Now()
	h := i.hello()
	for _, n := range i.sorted() {
		if !n.isHeld(env) {
			h.Neighbors = append(h.Neighbors, n.router)
		}
	}
	if i.multicasts() {
		i.send(env, i.inst().version().AllRouters(), h)
	}
	for _, a := range i.helloTo(env.Now()) {
		i.greet(env, a)
	}
}

// sayHelloSoon says what has changed, at once if nothing was said in the last second: a neighbour that changes its mind with
// every packet does not have us send as many to everybody.
func (i *iface) sayHelloSoon(env *core.Env) {
	if wait := i.said + time.Second - env.Now(); i.said > 0 && wait > 0 {
		if i.helloTimer.At() > env.Now()+wait {
			env.Arm(&i.helloTimer, wait)
		}
		return
	}
	i.sayHello(env)
}

// greet says hello to one router alone, at once: it has just been met, or just become able to hear us, and would otherwise
// wait for our next hello. On point-to-multipoint nobody asks whom else we hear, which at a hub is thousands.
func (i *iface) greet(env *core.Env, a netip.Addr) {
	h, list := i.hello(), []*neighbor{i.neighborAt(a)}
	if i.cfg.Network.designates() {
		list = i.sorted()
	}
	for _, n := range list {
		if n != nil && !n.isHeld(env) {
			h.Neighbors = append(h.Neighbors, n.router)
		}
	}
	i.send(env, a, h)
}

// reached greets a peer that multicast has begun to get to. Where its address says nothing of where it sends from, as in
// OSPFv3, or who else is heard matters to it, the next hello for all comes soon instead.
func (i *iface) reached(env *core.Env, peer netip.Addr) {
	if i.cfg.Network == PointToMultipoint && i.inst().version() == wire.V2 && peer.Is4() {
		i.greet(env, peer)
		return
	}
	if soon := env.Now() + reachedDelay; i.multicasts() && i.helloTimer.At() > soon {
		env.Arm(&i.helloTimer, reachedDelay)
	}
}

// reachedDelay gathers peers that are reached, so that many of them do not bring many hellos.
const reachedDelay = time.Second

// hello is one that names no neighbours yet.
func (i *iface) hello() *wire.Hello {
	h := &wire.Hello{
		Interval: uint16(i.cfg.Hello / time.Second), Dead: uint32(i.cfg.Dead / time.Second),
		Options: i.area.options(), Priority: i.cfg.Priority, DR: i.dr, BDR: i.bdr, InterfaceID: i.id(),
	}
	if i.inst().version() == wire.V2 && !i.unnumbered() {
		h.Mask = wire.Mask(i.address.Bits())
	}
	return h
}

// helloTo is who gets a hello of its own: those that are configured, and those that send so to us. On NBMA networks the
// silent ones are asked only every poll interval, and two that cannot be designated do not speak (RFC 2328 9.5.1).
func (i *iface) helloTo(now time.Duration) []netip.Addr {
	var to []netip.Addr
	for _, n := range i.sorted() {
		if n.unicast || !i.multicasts() {
			to = append(to, n.address)
		}
	}
	if i.multicasts() || i.cfg.Network == NBMA && now+i.cfg.Hello/2 < i.polled+i.cfg.Poll && i.polled != 0 {
		return to
	}
	i.polled = now
	for _, p := range i.cfg.Neighbors {
		both := i.cfg.Network != NBMA || i.cfg.Priority > 0 || p.Priority > 0
		if both && !slices.Contains(to, p.Address) {
			to = append(to, p.Address)
		}
	}
	return to
}

// receiveHello is RFC 2328 10.5.
func (i *iface) receiveHello(env *core.Env, p *wire.Packet, h *wire.Hello, ev core.ReceivedIP) {
	if problem, text := i.mismatch(h); text != "" {
		i.count("dropped-hello-" + problem.word())
		i.problem(env, ev.Source, problem, text)
		return
	}
	if i.area.inst.duplicate(i, p.Router, ev.Source) {
		i.problem(env, ev.Source, DuplicateRouter, "has the router ID "+p.Router.String()+", which another neighbour has too")
	}
	i.solved(ev.Source, i.neighbors[i.keyOf(p.Router, ev.Source)])
	n := i.meet(env, p, ev)
	if n == nil {
		return
	}
	old := *n
	n.grouped = n.grouped || ev.Destination.IsMulticast()
	n.unicast = !n.grouped
	n.priority, n.dr, n.bdr, n.interfaceID, n.address = h.Priority, h.DR, h.BDR, h.InterfaceID, ev.Source
	n.helloOptions = h.Options
	n.heard(env)
	if i.sees(h) {
		n.twoWayReceived(env)
	} else {
		n.oneWayReceived(env)
	}
	n.moved(env, &old)
	i.consider(env, n, &old)
	i.compareTypes(env, n)
	if i.greets() && (old.state == neighborDown || old.state >= twoWay && n.state == heardOf) {
		i.greet(env, n.address) // it waits for us to have seen it
	}
}

// moved has what depends on the address or the interface of a neighbour follow it.
func (n *neighbor) moved(env *core.Env, old *neighbor) {
	if n.state < twoWay || old.state < twoWay || n.address == old.address && n.interfaceID == old.interfaceID {
		return
	}
	n.unwatch(env)
	n.watch(env)
	n.i.touch()
	n.inst().changedSPF("neighbor " + n.router.String() + " has moved")
}

// heardWithin reports whether a hello has come within a time.
func (n *neighbor) heardWithin(env *core.Env, d time.Duration) bool {
	return n.grace == nil && n.inactivity.Armed() && n.inactivity.At()-n.i.cfg.Dead+d > env.Now()
}

// greets reports whether neighbours that are met are answered at once: where they are met one by one.
func (i *iface) greets() bool { return !i.multicasts() || i.cfg.Network == PointToMultipoint }

// mismatch is what keeps a hello from being accepted, RFC 2328 10.5.
func (i *iface) mismatch(h *wire.Hello) (Problem, string) {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d/time.Second)) + " s" }
	mask := i.inst().version() == wire.V2 && i.cfg.Network != PointToPoint && h.Mask != wire.Mask(i.address.Bits())
	if mask && i.cfg.Network == PointToMultipoint && (h.Mask == 0 || h.Mask == wire.Mask(32) || i.address.IsSingleIP()) {
		mask = false // of a point-to-point interface at the other end, or an address without a prefix at either
	}
	const differing = wire.OptE | wire.OptNP
	switch {
	case mask:
		bits, _ := wire.MaskBits(h.Mask)
		return WrongMask, "its network mask is /" + strconv.Itoa(bits) + ", ours /" + strconv.Itoa(i.address.Bits())
	case h.Interval != uint16(i.cfg.Hello/time.Second):
		return WrongTimer, "its hello interval is " + strconv.Itoa(int(h.Interval)) + " s, ours " + seconds(i.cfg.Hello)
	case h.Dead != uint32(i.cfg.Dead/time.Second):
		return WrongTimer, "its dead interval is " + strconv.Itoa(int(h.Dead)) + " s, ours " + seconds(i.cfg.Dead)
	case (h.Options^i.area.options())&differing != 0:
		return WrongAreaKind, "its area is " + kindOf(h.Options) + ", ours " + i.area.cfg.Kind.String()
	case (h.Options^i.area.options())&wire.OptAF != 0 && i.inst().version() == wire.V3IPv4:
		return WrongAreaKind, "it does not know the address family of the instance"
	}
	return 0, ""
}

// kindOf is the kind of area that options tell of.
func kindOf(o wire.Options) string {
	switch {
	case o&wire.OptE != 0:
		return Normal.String()
	case o&wire.OptNP != 0:
		return NSSA.String()
	}
	return Stub.String()
}

// sees reports whether the sender of a hello lists us.
func (i *iface) sees(h *wire.Hello) bool { return slices.Contains(h.Neighbors, i.inst().router) }

// meet is the neighbour that sent a hello. One whose router ID has changed is another.
func (i *iface) meet(env *core.Env, p *wire.Packet, ev core.ReceivedIP) *neighbor {
	key := i.keyOf(p.Router, ev.Source)
	n := i.neighbors[key]
	if n == nil && !i.byAddress() && len(i.neighbors) < i.mostNeighbors() {
		n = i.neighborAt(ev.Source)
	}
	if n != nil && n.router != p.Router {
		n.kill(env, "its router ID changed to "+p.Router.String())
		n = nil
	}
	if n != nil && n.address != ev.Source && i.cfg.Network != PointToPoint && n.heardWithin(env, i.cfg.Hello+i.cfg.Hello/2) {
		return nil // there are two of the router ID, and one of them is enough
	}
	if n == nil && len(i.neighbors) >= i.mostNeighbors() {
		i.count("dropped-neighbor")
		i.problem(env, netip.Addr{}, TooMany, "more than "+strconv.Itoa(i.mostNeighbors())+" neighbors: the others are not listened to")
		return nil
	}
	if n == nil {
		n = newNeighbor(i, key, p.Router)
		n.address, n.since = ev.Source, env.Now()
		i.add(n)
		n.fresh(env, p)
		env.Publish(liveness.Heard{Interface: i.name(), Peer: n.address})
	}
	return n
}

// maxNeighbors is how many an interface has at most: a hello names them all, and is one packet.
const maxNeighbors = 8192

// mostOnALink is how many a point-to-point link has, which should have one: a spoke in a cloud has a few hubs on it.
const mostOnALink = 256

func (i *iface) mostNeighbors() int {
	if i.cfg.Network == PointToPoint {
		return mostOnALink
	}
	return maxNeighbors
}

func (i *iface) add(n *neighbor) {
	at, _ := i.place(n.key)
	i.neighbors[n.key], i.order = n, slices.Concat(i.order[:at], []*neighbor{n}, i.order[at:])
	i.routers[n.router]++
}

// place is where a neighbour stands in the order.
func (i *iface) place(key netip.Addr) (at int, there bool) {
	return slices.BinarySearchFunc(i.order, key, func(n *neighbor, k netip.Addr) int { return n.key.Compare(k) })
}

func (i *iface) remove(n *neighbor) {
	if i.neighbors[n.key] != n {
		return
	}
	at, _ := i.place(n.key)
	delete(i.neighbors, n.key)
	i.order = slices.Concat(i.order[:at], i.order[at+1:])
	if i.routers[n.router]--; i.routers[n.router] == 0 {
		delete(i.routers, n.router)
	}
}

// consider has the designated router elected when a hello gives a reason, RFC 2328 10.5 and 9.2.
func (i *iface) consider(env *core.Env, n, old *neighbor) {
	if !i.cfg.Network.designates() || n.state < heardOf {
		return
	}
	me := n.id()
	switch {
	case i.state == waiting && n.state >= twoWay && (n.bdr == me || n.dr == me && n.bdr == 0):
		i.elect(env) // BackupSeen
	case i.state == waiting || n.state < twoWay && old.state < twoWay:
	case old.state >= twoWay != (n.state >= twoWay), old.priority != n.priority,
		(old.dr == me) != (n.dr == me), (old.bdr == me) != (n.bdr == me):
		i.elect(env) // NeighborChange
	}
}

// routerName is a router in a designated router field, for people: by its router ID.
func (i *iface) routerName(id uint32) string {
	switch {
	case id == 0:
		return "none"
	case id == i.self():
		return i.inst().router.String()
	}
	for _, n := range i.neighbors {
		if n.id() == id {
			return n.router.String()
		}
	}
	return wire.Addr4(id).String()
}
