package ospf

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// helloJitter keeps the hellos of many routers apart.
const helloJitter = 0.1

// sayHello sends hellos and arms the timer for the next, RFC 2328 9.5.
func (i *iface) sayHello(env *core.Env) {
	env.Arm(&i.helloTimer, env.Jitter(i.cfg.Hello, helloJitter))
	h := i.hello()
	if i.multicasts() {
		i.send(env, i.inst().version().AllRouters(), h)
	}
	for _, a := range i.helloTo(env.Now()) {
		i.send(env, a, h)
	}
}

func (i *iface) hello() *wire.Hello {
	h := &wire.Hello{
		Interval: uint16(i.cfg.Hello / time.Second), Dead: uint32(i.cfg.Dead / time.Second),
		Options: i.area.options(), Priority: i.cfg.Priority, DR: i.dr, BDR: i.bdr, InterfaceID: i.id(),
	}
	if i.inst().version() == wire.V2 && !i.unnumbered() {
		h.Mask = wire.Mask(i.address.Bits())
	}
	for _, n := range i.sorted() {
		h.Neighbors = append(h.Neighbors, n.router)
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
	if i.multicasts() || i.cfg.Network == NBMA && now < i.polled+i.cfg.Poll && i.polled != 0 {
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
	i.solved(ev.Source)
	n := i.meet(env, p, ev)
	old := *n
	n.unicast = !ev.Destination.IsMulticast()
	n.priority, n.dr, n.bdr, n.interfaceID, n.address = h.Priority, h.DR, h.BDR, h.InterfaceID, ev.Source
	n.helloOptions = h.Options
	n.heard(env)
	if i.sees(h) {
		n.twoWayReceived(env)
	} else {
		n.oneWayReceived(env)
	}
	i.consider(env, n, &old)
	i.compareTypes(env, n)
	if !i.multicasts() && old.state == neighborDown {
		i.send(env, n.address, i.hello()) // answer at once: it waits for us to have seen it
	}
}

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
	if n != nil && n.router != p.Router {
		n.kill(env, "its router ID changed to "+p.Router.String())
		n = nil
	}
	if n == nil {
		n = newNeighbor(i, key, p.Router)
		n.address, n.since = ev.Source, env.Now()
		i.neighbors[key], i.order = n, nil
		n.fresh(env, p)
	}
	return n
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
