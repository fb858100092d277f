package ospf

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// origin is an LSA that we originate: what it shall say, and when it may say something else again.
type origin struct {
	db      *database
	key     wire.LSAKey
	body    wire.LSABody  // nil: no longer
	after   time.Duration // not before
	emitted time.Duration // last
	hold    time.Duration
	timer   core.Timer
}

// expired implements owner.
func (o *origin) expired(env *core.Env, _ *core.Timer) {
	switch {
	case o.body == nil:
		o.db.unsay(env, o.key)
	case o.wanted() && o.differs():
		o.emit(env)
	}
	if o.db.leaning && o.db.area != nil {
		o.db.area.touch()
		o.db.inst.stale = true
	}
}

func (o *origin) wanted() bool { return o != nil && o.body != nil && o.db.own[o.key] == o }

// leaving reports whether the LSA is to be taken back, and others would not take that yet.
func (o *origin) leaving() bool { return o != nil && o.body == nil }

func (db *database) origin(k wire.LSAKey) *origin {
	o := db.own[k]
	if o == nil {
		o = &origin{db: db, key: k}
		o.timer = core.Timer{Name: "ospf-originate", Of: o}
		db.own[k] = o
	}
	return o
}

// say has an LSA originated, now or as soon as the throttle allows, if it says anything new.
func (db *database) say(env *core.Env, k wire.LSAKey, body wire.LSABody) {
	o := db.origin(k)
	o.body = body
	if o.differs() {
		if db.inst.urgent {
			o.hasten()
			o.after = max(o.after, env.Now()+db.inst.gather)
		}
		o.emitThrottled(env)
	} else {
		env.Stop(&o.timer)
	}
}

// unsay takes back what say did: the LSA is flushed, once others take that. Before they would discard it (MinLSArrival, RFC
// 2328 13 step 5a) until it is sent again.
func (db *database) unsay(env *core.Env, k wire.LSAKey) {
	o := db.own[k]
	if o == nil {
		return
	}
	if wait := o.emitted + db.inst.cfg.LSA.Hold - env.Now(); wait > 0 && db.lsas[k] != nil {
		o.body = nil
		env.Arm(&o.timer, wait)
		return
	}
	env.Stop(&o.timer)
	delete(db.own, k)
	db.release(k)
	e := db.lsas[k]
	switch {
	case e == nil:
	case e.flushed: // by somebody else, see contest
		db.inst.sweep = true
		db.inst.flood(env, e, nil)
	default:
		db.inst.expire(env, e)
	}
}

// originateNothing forgets what was to be said. What is said already stays.
func (db *database) originateNothing(env *core.Env) {
	for _, o := range db.own {
		env.Stop(&o.timer)
	}
	clear(db.own)
}

// differs reports whether the database has something else than what is to be said, also where no LSA can say it.
func (o *origin) differs() bool {
	e := o.db.lsas[o.key]
	if e == nil || e.flushed || !e.own { // one of before a restart is made ours, so that it is refreshed in time
		return true
	}
	l, err := wire.Build(o.db.inst.version(), o.key, 0, wire.InitialSequence, o.body)
	return err != nil || l.Options != e.Header.Options || !bytes.Equal(l.Raw[wire.LSAHeaderLen:], content(e))
}

// emitThrottled originates now if the last time is long ago, else when the throttle allows (MinLSInterval, RFC 2328 12.4).
func (o *origin) emitThrottled(env *core.Env) {
	if wait := max(o.after-env.Now(), o.db.inst.cfg.LSA.Initial); wait > 0 {
		if !o.timer.Armed() || o.timer.At() > env.Now()+wait {
			env.Arm(&o.timer, wait)
		}
		return
	}
	o.emit(env)
}

// hasten lets the next instance out as soon as others take it (MinLSArrival), however many went before: until it is told that
// an adjacency is lost, others send what goes over it, and of two routers that lost theirs each sends to the other.
func (o *origin) hasten() { o.after = min(o.after, o.emitted+o.db.inst.cfg.LSA.Hold) }

// emit originates the next instance. When sequence numbers have run out, the old one is flushed first (RFC 2328 12.1.6).
func (o *origin) emit(env *core.Env) {
	inst := o.db.inst
	if inst.restarting() {
		return // RFC 3623 2.2: not before the restart is over
	}
	env.Stop(&o.timer)
	next := wire.InitialSequence
	if last, ok := o.db.spent[o.key]; ok {
		next = last + 1 // once: from here on the database knows
		delete(o.db.spent, o.key)
	}
	if e := o.db.lsas[o.key]; e != nil {
		if e.Header.Sequence == wire.MaxSequence {
			inst.expire(env, e)
			return // goes on when it is gone
		}
		next = e.Header.Sequence + 1
	}
	l, err := wire.Build(inst.version(), o.key, 0, next, o.body)
	if err != nil {
		inst.note(env, "", netip.Addr{}, TooMany, err.Error())
		return
	}
	o.pace(env)
	e, _ := o.db.put(env, l, true)
	inst.flood(env, e, nil)
}

// pace doubles the time to the next instance while changes keep coming.
func (o *origin) pace(env *core.Env) {
	t, now := o.db.inst.cfg.LSA, env.Now()
	if now > o.after+o.hold {
		o.hold = 0
	}
	o.hold = min(max(t.Hold, 2*o.hold), t.Max)
	o.emitted, o.after = now, now+o.hold
}

// resume goes on with LSAs that were flushed because their sequence numbers had run out.
func (inst *instance) resume(env *core.Env) {
	for _, o := range inst.gone {
		if o.wanted() {
			o.emit(env)
		}
	}
	inst.gone = nil
}

// selfOriginated is RFC 2328 13.4: by the router ID, or as the network LSA of an address of ours.
func (inst *instance) selfOriginated(i *iface, k wire.LSAKey) bool {
	if k.Router == inst.router {
		return true
	}
	if inst.version() != wire.V2 || k.Function(wire.V2) != wire.FunctionNetwork {
		return false
	}
	for _, x := range i.area.ifaces {
		if x.state != down && x.address.Addr() == wire.Addr4(k.ID) {
			return true
		}
	}
	return false
}

// contest answers a newer instance of an LSA of ours that somebody else has: from before a restart, or a lie (RFC 2328 13.4).
func (inst *instance) contest(env *core.Env, e *entry, o *origin, n *neighbor) {
	if inst.restarting() {
		return
	}
	if env.Now()-inst.began > selfGrace {
		n.i.problem(env, n.address, SelfOriginated, "flooded an LSA in our name that we did not make: "+e.key().String())
	}
	if o.wanted() {
		o.hold = 0 // however often it happens
		o.hasten()
		o.emitThrottled(env)
		return
	}
	if !e.flushed {
		inst.expire(env, e)
		return
	}
	// Who still has it at MaxAge, from before a restart, may be the designated router, and tells nobody else; and others may have from
	// us what is older, pass that on, and be believed by it. So it goes out again, once those who have just heard of it listen.
	e.db.origin(e.key()).emitted = env.Now()
	e.db.unsay(env, e.key())
}

// selfGrace is how long after the start LSAs of ours come from the time before.
const selfGrace = time.Minute

// sayAll brings what the database says of some functions to what is wanted: the rest is flushed.
func (db *database) sayAll(env *core.Env, want map[wire.LSAKey]wire.LSABody, functions ...wire.Function) {
	db.unsayRest(env, want, functions...)
	db.tell(env, want)
}

func (db *database) unsayRest(env *core.Env, want map[wire.LSAKey]wire.LSABody, functions ...wire.Function) {
	v := db.inst.version()
	for _, k := range slices.SortedFunc(maps.Keys(db.own), compareKeys) {
		if want[k] == nil && slices.Contains(functions, k.Function(v)) {
			db.unsay(env, k)
		}
	}
}

// tell originates what is wanted, in order.
func (db *database) tell(env *core.Env, want map[wire.LSAKey]wire.LSABody) {
	for _, k := range slices.SortedFunc(maps.Keys(want), compareKeys) {
		db.say(env, k, want[k])
	}
}

// originate looks at what we say of ourselves in every area where it may have changed.
func (inst *instance) originate(env *core.Env) {
	if inst.setBorder() {
		for _, a := range inst.areas {
			a.stale = true
		}
		inst.changedSPF("border router or not")
	}
	for _, a := range inst.sortedAreas() {
		if a.stale {
			a.stale = false
			a.originate(env)
		}
	}
}

// setBorder finds out whether we are a border router: attached to the backbone and another area (RFC 3509 2.1), and
// whether a boundary router. It reports whether that changed.
func (inst *instance) setBorder() bool {
	active := 0
	for _, a := range inst.areas {
		if a.active() {
			active++
		}
	}
	backbone := inst.areas[0] != nil && inst.areas[0].active()
	border := active > 1 && backbone
	// All border routers of an NSSA are boundary routers, so that their default route counts: RFC 3101 3.1.
	boundary := len(inst.cfg.Redistribute) > 0 || inst.cfg.Default != nil || border && inst.hasNSSA()
	changed := border != inst.border || boundary != inst.boundary
	inst.border, inst.boundary = border, boundary
	return changed
}

// originate brings the LSAs that tell of ourselves up to date, RFC 2328 12.4.1 and 12.4.2, RFC 5340 4.4.3.
func (a *area) originate(env *core.Env) {
	v := a.inst.version()
	want := map[wire.LSAKey]wire.LSABody{}
	add := func(f wire.Function, id uint32, body wire.LSABody) {
		want[wire.LSAKey{Type: f.Type(v), ID: id, Router: a.inst.router}] = body
	}
	if a.active() {
		if v == wire.V2 {
			a.describeV2(add)
		} else {
			a.describeV3(env, add)
		}
	}
	a.db.tell(env, want)
	if a.db.leaning = a.db.waits(want); a.db.leaning {
		a.keep(want)
	}
	a.db.unsayRest(env, want, wire.FunctionRouter, wire.FunctionNetwork, wire.FunctionIntraAreaPrefix)
}

// waits reports whether something that is wanted may not go out yet.
func (db *database) waits(want map[wire.LSAKey]wire.LSABody) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(k wire.LSAKey) bool { return db.own[k].timer.Armed() })
}

// keep wants what goes on being said until others take its place: a router-LSA that leads to a network leads nowhere when the LSA of
// the network is flushed before the next router-LSA may go out, and the prefix would be lost for that long. What is said of an
// interface that is down is true no more, and goes at once.
func (a *area) keep(want map[wire.LSAKey]wire.LSABody) {
	for k, o := range a.db.own {
		switch k.Function(a.inst.version()) {
		case wire.FunctionNetwork, wire.FunctionIntraAreaPrefix:
			if want[k] == nil && a.stands(k) {
				want[k] = o.body
			}
		}
	}
}

// stands reports whether the network that an LSA of ours tells of is there.
func (a *area) stands(k wire.LSAKey) bool {
	v2 := a.inst.version() == wire.V2
	for _, i := range a.ifaces {
		if i.state > down && (v2 && k.ID == i.self() || !v2 && k.ID == i.id()) {
			return true
		}
	}
	return !v2 && k.ID == 0 // prefixes of our own
}

// flags are those of the router LSA.
func (a *area) flags() (flags uint8) {
	if a.inst.border {
		flags |= wire.RouterB
	}
	if a.inst.boundary && a.cfg.Kind != Stub {
		flags |= wire.RouterE
	}
	if a.cfg.Kind == NSSA && a.cfg.Translate && a.inst.border {
		flags |= wire.RouterNt
	}
	return flags
}

// describeV2 is the router LSA and the network LSAs of OSPFv2.
func (a *area) describeV2(add func(wire.Function, uint32, wire.LSABody)) {
	r := &wire.RouterLSA{Flags: a.flags(), Options: a.options()}
	for _, i := range a.sorted() {
		if i.state != down {
			r.Links = append(r.Links, i.linksV2()...)
		}
		if routers := i.network(); routers != nil {
			add(wire.FunctionNetwork, i.self(), &wire.NetworkLSA{Mask: wire.Mask(i.address.Bits()), Options: a.options(), Routers: routers})
		}
	}
	add(wire.FunctionRouter, uint32(a.inst.router), r)
}

// linksV2 is RFC 2328 12.4.1.1 to 12.4.1.4.
func (i *iface) linksV2() []wire.Link {
	var links []wire.Link
	switch i.state {
	case looped:
		return i.hosts()
	case pointToPoint:
		for _, n := range i.sorted() {
			if n.counts() {
				links = append(links, wire.Link{Kind: wire.LinkPointToPoint, ID: uint32(n.router), Data: i.linkData(), Metric: uint16(i.transitCost(n))})
			}
		}
		if i.unnumbered() {
			return links
		}
		if i.cfg.Network == PointToMultipoint {
			if i.cfg.NoHostRoute {
				return links
			}
			return append(links, i.hosts()...)
		}
	case waiting, drOther, backup, designated:
		if i.transit() {
			return append(i.stubs(i.address), wire.Link{Kind: wire.LinkTransit, ID: i.dr, Data: i.self(), Metric: uint16(i.transitCost(nil))})
		}
	}
	return append(links, i.stubs(netip.Prefix{})...)
}

// linkData is our address on a link, or its index where it has none of its own, RFC 2328 12.4.1.1.
func (i *iface) linkData() uint32 {
	if i.unnumbered() {
		return i.id()
	}
	return i.self()
}

// transit reports whether the network has a designated router that we are adjacent to, or are ourselves with somebody
// adjacent, RFC 2328 12.4.1.2.
func (i *iface) transit() bool {
	for _, n := range i.neighbors {
		if n.counts() && (i.state == designated || n.id() == i.dr) {
			return i.state > waiting
		}
	}
	return false
}

// network is whom the network LSA lists, where we originate one: RFC 2328 12.4.2.
func (i *iface) network() []wire.RouterID {
	if i.state != designated || !i.transit() {
		return nil
	}
	routers := []wire.RouterID{i.inst().router}
	for _, n := range i.sorted() {
		if n.counts() {
			routers = append(routers, n.router)
		}
	}
	slices.Sort(routers)
	return routers
}

// stubs are the networks of an interface, but for one that is told otherwise.
func (i *iface) stubs(but netip.Prefix) []wire.Link {
	var links []wire.Link
	for _, p := range i.prefixes() {
		if but.IsValid() && p.Masked() == but.Masked() {
			continue
		}
		p = p.Masked()
		links = append(links, wire.Link{Kind: wire.LinkStub, ID: wire.Uint4(p.Addr()), Data: wire.Mask(p.Bits()), Metric: uint16(i.cfg.Cost)})
	}
	return slices.Compact(links)
}

// hosts are the addresses of an interface as networks of one, at no cost: RFC 2328 12.4.1.4 and 12.4.1.
func (i *iface) hosts() []wire.Link {
	var links []wire.Link
	for _, p := range i.prefixes() {
		l := wire.Link{Kind: wire.LinkStub, ID: wire.Uint4(p.Addr()), Data: wire.Mask(32)}
		if i.cfg.Network == Loopback {
			l.Metric = uint16(i.cfg.Cost)
		}
		links = append(links, l)
	}
	return links
}
