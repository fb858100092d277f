package ospf

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// ifaceState is the state of an interface, RFC 2328 9.1.
type ifaceState uint8

const (
	down ifaceState = iota
	looped
	passive // not the RFC's: a network without neighbours
	waiting
	pointToPoint
	drOther
	backup
	designated
)

var ifaceStates = [...]string{"down", "loopback", "passive", "waiting", "point-to-point", "dr-other", "backup", "dr"}

func (s ifaceState) String() string { return ifaceStates[s] }

// talks reports whether hellos go out.
func (s ifaceState) talks() bool { return s >= waiting }

// iface is OSPF on one interface.
type iface struct {
	area        *area
	cfg         Interface
	host        core.Link
	state       ifaceState
	since       time.Duration
	reason      string       // of down
	address     netip.Prefix // OSPFv2: the primary one, which packets leave from
	local       netip.Addr   // what packets leave from
	db          *database    // of link scope
	neighbors   map[netip.Addr]*neighbor
	order       []*neighbor           // in order of their keys; another slice when one comes or goes
	routers     map[wire.RouterID]int // neighbours by router ID, of which there should be one
	dr, bdr     uint32                // as they stand in hellos: address (v2) or router ID (v3)
	groups      []netip.Addr
	said        time.Duration // when hellos went out last
	elected     time.Duration // when the designated router or its backup changed last
	polled      time.Duration // NBMA: when silent neighbours were sent to
	sequence    uint64        // of cryptographic authentication: the last that was sent
	long        uint64        // the same of 64 bits
	acks        []pendingAck
	acksDue     bool                          // one of them is to go at once
	answered    map[wire.LSAKey]time.Duration // when who had an older LSA was told
	closing     bool
	wasCloud    bool
	hadNetworks []netip.Prefix
	marked      bool                   // has something to send when the event is handled
	outbox      []*entry               // to be flooded when the event is handled
	lost        map[wire.RouterID]bool // neighbours that went, and that the network's LSA may name still
	counters    map[string]uint64

	helloTimer, waitTimer, ackTimer core.Timer
}

func newInterface(a *area, cfg Interface) *iface {
	i := &iface{area: a, cfg: cfg, neighbors: map[netip.Addr]*neighbor{}, routers: map[wire.RouterID]int{}, counters: map[string]uint64{}, lost: map[wire.RouterID]bool{}}
	i.db = newDatabase(a.inst, a, i)
	i.helloTimer = core.Timer{Name: "ospf-hello", Of: i}
	i.waitTimer = core.Timer{Name: "ospf-wait", Of: i}
	i.ackTimer = core.Timer{Name: "ospf-acknowledge", Of: i}
	i.reason = "the interface is not there"
	return i
}

func (i *iface) name() string      { return i.cfg.Name }
func (i *iface) inst() *instance   { return i.area.inst }
func (i *iface) id() uint32        { return uint32(i.host.Index) }
func (i *iface) count(what string) { i.counters[what]++ }

// self is how the interface stands in the designated router fields of a hello, RFC 2328 A.3.2 and RFC 5340 A.3.2.
func (i *iface) self() uint32 {
	if i.inst().version() == wire.V2 {
		return wire.Uint4(i.address.Addr())
	}
	return uint32(i.inst().router)
}

// unnumbered reports whether the interface has no network of its own: a point-to-point link by a borrowed address.
func (i *iface) unnumbered() bool {
	return i.cfg.Network == PointToPoint && i.inst().version() == wire.V2 && i.address.IsSingleIP()
}

// sorted is the neighbours in order of their keys. The slice is never changed, so that neighbours may go while it is read.
func (i *iface) sorted() []*neighbor { return i.order }

// expired implements owner.
func (i *iface) expired(env *core.Env, t *core.Timer) {
	switch t {
	case &i.helloTimer:
		i.sayHello(env)
	case &i.waitTimer:
		i.elect(env)
	case &i.ackTimer:
		i.sendAcks(env)
	}
}

// link takes what the host says of the interface.
func (i *iface) link(env *core.Env, l core.Link) {
	before, wasLocal, wasIndex := i.address, i.local, i.host.Index
	i.host = l
	address, local, reason := i.choose(l)
	if reason != "" {
		i.down(env, reason)
		i.address, i.local = netip.Prefix{}, netip.Addr{}
		return
	}
	if i.state != down && (address != before || local != wasLocal || l.Index != wasIndex) {
		i.down(env, "its address changed")
	}
	i.address, i.local = address, local
	if i.state == down {
		i.up(env)
	}
	i.touch()
}

// choose is the address that OSPF uses of an interface, or why it cannot.
func (i *iface) choose(l core.Link) (primary netip.Prefix, local netip.Addr, reason string) {
	switch {
	case i.inst().router == 0:
		return primary, local, "there is no router ID: configure one, or give an interface an IPv4 address"
	case l.Name == "" || l.Gone:
		return primary, local, "the interface is not there"
	case !l.Up:
		return primary, local, "the interface is down"
	}
	for _, p := range l.Addresses {
		switch {
		case i.inst().version() == wire.V2:
			if p.Addr().Is4() && !p.Addr().IsLoopback() {
				return p, p.Addr(), ""
			}
		case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast(), i.cfg.Network == Loopback || i.cfg.Passive:
			return primary, p.Addr(), ""
		}
	}
	if i.inst().version() == wire.V2 {
		return primary, local, "the interface has no IPv4 address"
	}
	return primary, local, "the interface has no IPv6 link-local address"
}

// up is the event InterfaceUp, RFC 2328 9.2.
func (i *iface) up(env *core.Env) {
	switch {
	case i.cfg.Network == Loopback:
		i.become(env, looped)
	case i.cfg.Passive:
		i.become(env, passive)
	case !i.cfg.Network.designates():
		i.become(env, pointToPoint)
	case i.cfg.Priority == 0:
		i.become(env, drOther)
	default:
		i.become(env, waiting)
		env.Arm(&i.waitTimer, i.cfg.Dead)
	}
	if i.state.talks() {
		i.sayHello(env)
	}
}

// down is the event InterfaceDown, RFC 2328 9.2.
func (i *iface) down(env *core.Env, reason string) {
	i.reason = reason
	if i.state == down {
		return
	}
	i.closing = true // nobody is elected while neighbours go
	for _, n := range i.sorted() {
		n.kill(env, reason)
	}
	i.closing = false
	for _, t := range []*core.Timer{&i.helloTimer, &i.waitTimer, &i.ackTimer} {
		env.Stop(t)
	}
	i.dr, i.bdr, i.acks, i.outbox = 0, 0, nil, nil
	clear(i.lost)
	i.become(env, down)
	i.db.end(env)
}

// end is down for an interface that leaves the configuration.
func (i *iface) end(env *core.Env, reason string) {
	i.farewell(env)
	i.down(env, reason)
	i.db.end(env)
}

// become changes the state and whatever hangs on it: groups, and what we originate.
func (i *iface) become(env *core.Env, s ifaceState) {
	if s == i.state {
		return
	}
	env.Log(core.Info, "interface", "instance", i.inst().cfg.Name, "interface", i.name(), "from", i.state, "to", s, "reason", i.reasonOf(s))
	if i.state == down || s == down {
		i.inst().touchExternals(env) // an area without interfaces has none: it may be one no more, or now
	}
	i.state, i.since = s, env.Now()
	i.listen(env)
	i.touch()
	i.inst().changedSPF("interface " + i.name() + " is " + s.String())
}

func (i *iface) reasonOf(s ifaceState) string {
	if s == down {
		return i.reason
	}
	return ""
}

// touch has the LSAs looked at that speak of the interface.
func (i *iface) touch() {
	i.inst().reoffer = i.inst().reoffer || i.changedNetworks()
	i.area.touch()
	i.inst().stale = true
}

// changedNetworks reports whether the addresses of which the interface is the way have changed since it was asked last: host
// routes among them are not offered.
func (i *iface) changedNetworks() bool {
	now := i.host.Addresses
	if i.state == down {
		now = nil
	}
	if i.wasCloud == i.cfg.Cloud && slices.Equal(now, i.hadNetworks) {
		return false
	}
	i.hadNetworks, i.wasCloud = slices.Clone(now), i.cfg.Cloud
	return true
}

// listen joins the groups of the state, RFC 2328 9.5 and 5 (AllDRouters for DR and backup).
func (i *iface) listen(env *core.Env) {
	var groups []netip.Addr
	if v := i.inst().version(); i.state.talks() {
		groups = append(groups, v.AllRouters())
		if i.state == designated || i.state == backup {
			groups = append(groups, v.AllDRouters())
		}
	}
	if !slices.Equal(groups, i.groups) {
		i.groups = groups
		i.inst().m.listen(env, i.name(), i.inst().version() != wire.V2)
	}
}

// reconfigure takes a new configuration, and begins anew only where neighbours would not understand the change.
func (i *iface) reconfigure(env *core.Env, cfg Interface) {
	old := i.cfg
	i.cfg = cfg
	if same(old, cfg) {
		return
	}
	if old.Network != cfg.Network || old.Passive != cfg.Passive || old.Instance != cfg.Instance {
		i.cfg = old
		i.farewell(env)
		i.cfg = cfg
		i.down(env, "its configuration changed")
		i.link(env, i.host)
		return
	}
	for _, n := range i.sorted() {
		if old.FloodOwn != cfg.FloodOwn {
			n.kill(env, "what it is told was configured otherwise")
			continue
		}
		n.watch(env)
	}
	if old.Priority != cfg.Priority && i.state >= drOther {
		i.elect(env)
	}
	if i.state.talks() {
		i.sayHello(env)
	}
	i.touch()
	i.inst().changedSPF("interface " + i.name() + " was configured")
}

// prefixes are the networks on the interface in the family of the routes, without those that
// mean nothing elsewhere.
func (i *iface) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range i.host.Addresses {
		if p.Addr().Is4() == i.inst().version().IPv4() && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// cost is that of reaching a neighbour, RFC 2328 C.3; n nil is that of the network.
func (i *iface) cost(n *neighbor) uint32 {
	if n != nil {
		if p := i.peer(n.address); p != nil && p.Cost != 0 {
			return p.Cost
		}
	}
	return i.cfg.Cost
}

// transitCost is the cost of a link that others may be routed over, RFC 6987 2.
func (i *iface) transitCost(n *neighbor) uint32 {
	if i.inst().isStub() {
		return wire.MaxLinkMetric
	}
	return i.cost(n)
}

func (i *iface) peer(a netip.Addr) *Peer {
	for k := range i.cfg.Neighbors {
		if i.cfg.Neighbors[k].Address == a {
			return &i.cfg.Neighbors[k]
		}
	}
	return nil
}
