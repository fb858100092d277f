package ospf

import (
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// tos is the precedence of internetwork control, RFC 2328 A.1.
const tos = 0xc0

// ipHeader is what the IP header takes of an MTU.
func (i *iface) ipHeader() int {
	if i.inst().version() == wire.V2 {
		return 20
	}
	return 40
}

// room is how many octets of a packet's body fit into the interface's MTU.
func (i *iface) room() int {
	return max(i.mtu()-i.ipHeader()-wire.Overhead(i.inst().version(), i.key()), wire.LSAHeaderLen+64)
}

func (i *iface) mtu() int {
	if i.host.MTU == 0 {
		return 1500
	}
	return min(i.host.MTU, 65535)
}

// key is the one that packets are sent with.
func (i *iface) key() wire.Key {
	if len(i.cfg.Keys) == 0 {
		return wire.Key{}
	}
	return i.cfg.Keys[0]
}

// multicasts reports whether packets for all neighbours go to a group.
func (i *iface) multicasts() bool {
	return i.cfg.Network == Broadcast || i.cfg.Network == PointToPoint || i.cfg.Network == PointToMultipoint && !i.cfg.Unicast
}

// send sends one packet.
func (i *iface) send(env *core.Env, dst netip.Addr, body wire.Body) {
	inst := i.inst()
	p := &wire.Packet{Version: inst.version(), Router: inst.router, Area: i.area.id, Instance: i.cfg.Instance, Body: body}
	k := i.key()
	if p.Auth.Sequence = 0; k.Algorithm != wire.None {
		p.Auth.Sequence = i.nextSequence(env, k)
	}
	i.counters["sent-"+counterName(body.Type())]++
	env.Emit(core.SendIP{
		Interface: i.name(), Source: i.local, Destination: dst, Protocol: wire.Protocol, TTL: i.ttl(), TOS: tos,
		Payload: p.Append(nil, k, i.local, dst),
	})
}

// ttl is 1, so that no packet leaves the link (RFC 2328 A.1), or 255 where neighbours check that it began there.
func (i *iface) ttl() uint8 {
	if i.cfg.MinTTL > 0 {
		return 255
	}
	return 1
}

// nextSequence rises over restarts as well: it begins with the time of day (RFC 2328 D.3, RFC 7474 2). One of 64 bits counts
// sixteenths of a second, which is faster than packets come for long. FRR's ospf6d takes no number whose lower half is not
// above the last one's, so that they must not be 0 in each second.
func (i *iface) nextSequence(env *core.Env, k wire.Key) uint64 {
	m := i.inst().m
	clock := m.clock.now(env)
	if i.inst().version() == wire.V2 && !k.Extended {
		i.sequence = max(i.sequence, clock)
		m.clock.used(env, i.sequence)
		return i.sequence
	}
	i.long = max(i.long+1, clock*16)
	m.clock.used(env, i.long/16)
	return i.long
}

// sequenceKey is where the clock's reserve is kept over restarts, and sequenceReserve how many seconds it is.
const (
	sequenceKey     = "ospf.sequence"
	sequenceReserve = 300
)

// sequenceClock is the time of day in seconds, but for going back: a router whose clock is wrong after a restart would
// be taken for somebody who replays its packets.
type sequenceClock struct {
	floor    uint64 // kept by the run before: no number was above it
	began    time.Duration
	reserved uint64
}

func (c *sequenceClock) now(env *core.Env) uint64 {
	return max(1, uint64(max(env.Wall().Unix(), 0)), c.floor+uint64((env.Now()-c.began)/time.Second))
}

// used reserves numbers ahead of the one that is used.
func (c *sequenceClock) used(env *core.Env, n uint64) {
	if n >= c.reserved {
		c.reserved = n + sequenceReserve
		env.Emit(core.Store{Key: sequenceKey, Value: strconv.FormatUint(c.reserved, 10)})
	}
}

func counterName(t wire.PacketType) string {
	return [...]string{"", "hello", "description", "request", "update", "acknowledgment"}[t]
}

// receive takes a packet that came by the interface, RFC 2328 8.2 and RFC 5340 4.2.2.
func (i *iface) receive(env *core.Env, ev core.ReceivedIP) {
	if !i.state.talks() {
		i.count("dropped-passive")
		return
	}
	p, err := wire.Parse(i.inst().version(), ev.Payload, ev.Source, ev.Destination)
	if err != nil {
		i.malformed(env, ev.Source, err)
		return
	}
	if p.Instance != i.cfg.Instance {
		return // of another instance on the same link
	}
	if why := i.admits(env, p, ev); why != "" {
		i.count("dropped-" + why)
		return
	}
	i.counters["received-"+counterName(p.Type())]++
	i.dispatch(env, p, ev)
}

func (i *iface) malformed(env *core.Env, src netip.Addr, err error) {
	i.count("dropped-" + reasonOf(err))
	i.problem(env, src, Malformed, err.Error())
}

func reasonOf(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return "malformed"
}

// admits says why a packet is not for us; "" when it is. What people can mend is noted as a problem.
func (i *iface) admits(env *core.Env, p *wire.Packet, ev core.ReceivedIP) string {
	v := i.inst().version()
	switch {
	case ev.Source == i.local && p.Router == i.inst().router:
		return "own" // what we sent, as some interfaces return it
	case ev.Source == i.local:
		i.problem(env, ev.Source, OurAddress, "router "+p.Router.String()+" sends from our address")
		return "address"
	case v == wire.V2 && !i.onNetwork(ev.Source):
		i.problem(env, ev.Source, WrongNetwork, "sends from an address outside of "+i.address.Masked().String())
		return "network"
	case ev.Destination == v.AllDRouters() && i.state != designated && i.state != backup:
		return "not-designated"
	case ev.TTL < i.cfg.MinTTL:
		i.problem(env, ev.Source, LowTTL, "sends with a TTL that has come from afar")
		return "ttl"
	case p.Area != i.area.id:
		i.problem(env, ev.Source, WrongArea, "is in area "+p.Area.String()+", this interface in area "+i.area.id.String())
		return "area"
	}
	if err := p.Verify(i.cfg.Keys...); err != nil {
		i.problem(env, ev.Source, WrongKey, err.(*wire.Error).Detail)
		return reasonOf(err)
	}
	if p.Router == i.inst().router {
		i.problem(env, ev.Source, DuplicateRouter, "has our router ID, "+p.Router.String())
		return "router-id"
	}
	return ""
}

// onNetwork is RFC 2328 8.2: a neighbour is on our network, except on point-to-point links, and in clouds whose addresses
// have no prefix, as NHRP's often are.
func (i *iface) onNetwork(a netip.Addr) bool {
	return i.cfg.Network == PointToPoint || i.cfg.Network == PointToMultipoint && i.address.IsSingleIP() || i.address.Contains(a)
}

// dispatch gives a packet that was admitted to whom it is for.
func (i *iface) dispatch(env *core.Env, p *wire.Packet, ev core.ReceivedIP) {
	n := i.neighbors[i.keyOf(p.Router, ev.Source)]
	if n != nil && !n.fresh(env, p) {
		return
	}
	if h, ok := p.Body.(*wire.Hello); ok {
		i.receiveHello(env, p, h, ev)
		return
	}
	if n == nil || n.router != p.Router || n.address != ev.Source {
		i.count("dropped-no-neighbor")
		return
	}
	switch body := p.Body.(type) {
	case *wire.DatabaseDescription:
		n.receiveDescription(env, body)
	case *wire.Request:
		n.receiveRequest(env, body)
	case *wire.Update:
		n.receiveUpdate(env, body)
	case *wire.Ack:
		n.receiveAck(env, body)
	}
}

// keyOf is how a neighbour is known: by its address in OSPFv2 (RFC 2328 10), by its router ID in OSPFv3 and on
// point-to-point links, where an address says nothing.
func (i *iface) keyOf(r wire.RouterID, src netip.Addr) netip.Addr {
	if !i.byAddress() {
		return wire.Addr4(uint32(r))
	}
	return src
}

func (i *iface) byAddress() bool {
	return i.inst().version() == wire.V2 && i.cfg.Network != PointToPoint
}

// fresh reports whether an authenticated packet is none that was sent before, RFC 2328 D.4.3, RFC 7474 3, RFC 7166 4.5.
func (n *neighbor) fresh(env *core.Env, p *wire.Packet) bool {
	strict, seen := n.i.inst().version() != wire.V2, &n.sequences[0]
	if p.Auth.Type == wire.AuthExtended {
		strict, seen = true, &n.sequences[1] // numbers of another kind, so that keys can be changed from one to the other
	}
	switch {
	case p.Auth.Type != wire.AuthCryptographic && p.Auth.Type != wire.AuthExtended:
		return true
	case strict && p.Auth.Sequence > seen[p.Type()], !strict && p.Auth.Sequence >= seen[0]:
		seen[0] = max(seen[0], p.Auth.Sequence)
		seen[p.Type()] = p.Auth.Sequence
		return true
	}
	n.i.count("dropped-replay")
	n.i.problem(env, n.address, Replay, "a packet came again or late: its sequence number is not above the last one")
	return false
}
