package ospf

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// instance is one OSPF router: a router ID, areas, and a routing table.
type instance struct {
	m      *Module
	cfg    *Config
	router wire.RouterID
	areas  map[wire.AreaID]*area
	db     *database // of AS scope
	began  time.Duration

	ages         ages
	flushing     map[*entry]struct{} // at MaxAge
	sweep        bool                // some of them may go
	gone         []*origin           // of ours that went
	making       int                 // adjacencies that have their turn to be made
	exchanges    int                 // neighbours in Exchange or Loading
	lsas, octets int                 // of others, in all databases
	brought      map[bringer]int     // LSAs, by the neighbour that they came by
	purge        []bringer           // that brought too much, until the routes are computed without them
	queue        []*neighbor         // that wait to begin one
	turn         bool                // one of them may
	stale        bool                // what we say may have changed
	marked       []*iface            // with something to send

	table     spf.Calculation
	result    *spf.Result
	pending   spf.Change
	dirty     bool
	urgent    bool          // do not wait for the throttle
	joining   bool          // we were told of a link of ours
	early     bool          // the computation is before its turn, because of that
	allMade   bool          // the last adjacency that was being made is: what its database says may be computed
	gather    time.Duration // but for what is lost together, to be told of it together
	reoffer   bool          // all routes are offered again: what decides on them has changed
	pacing    pacing
	runs      int
	lastRun   time.Duration
	lastWhy   string
	border    bool
	boundary  bool
	externals map[netip.Prefix]*external
	discards  map[netip.Prefix]uint8 // blackholes of ours, and their distances
	summing   map[netip.Prefix]bool  // summaries of externals that have something in them
	offered   map[netip.Prefix]bool
	problems  map[problemKey]*problem
	logs      logBudget
	restart   *restart
	stray     []*entry // of ours from before a restart

	ageTimer, spfTimer, stubTimer, restartTimer, externalTimer, surveyTimer, translatorTimer core.Timer
}

func newInstance(m *Module, cfg *Config) *instance {
	inst := &instance{
		m: m, cfg: cfg, areas: map[wire.AreaID]*area{}, flushing: map[*entry]struct{}{}, externals: map[netip.Prefix]*external{},
		discards: map[netip.Prefix]uint8{}, offered: map[netip.Prefix]bool{}, brought: map[bringer]int{}, problems: map[problemKey]*problem{}, result: &spf.Result{},
	}
	inst.db = newDatabase(inst, nil, nil)
	inst.ageTimer = core.Timer{Name: "ospf-age", Of: inst}
	inst.spfTimer = core.Timer{Name: "ospf-spf", Of: inst}
	inst.stubTimer = core.Timer{Name: "ospf-stub-router", Of: inst}
	inst.externalTimer = core.Timer{Name: "ospf-externals", Of: inst}
	inst.surveyTimer = core.Timer{Name: "ospf-router-id", Of: inst}
	inst.translatorTimer = core.Timer{Name: "ospf-translator", Of: inst}
	inst.restartTimer = core.Timer{Name: "ospf-restart", Of: inst}
	return inst
}

func (inst *instance) version() wire.Version { return inst.cfg.Version }

// expired implements owner.
func (inst *instance) expired(env *core.Env, t *core.Timer) {
	switch t {
	case &inst.ageTimer:
		inst.aged(env)
	case &inst.spfTimer:
		inst.calculate(env)
	case &inst.stubTimer:
		inst.touchAll()
	case &inst.surveyTimer:
		inst.identify(env)
	case &inst.translatorTimer:
		inst.summarize()
	case &inst.externalTimer:
		inst.sayExternals(env)
	case &inst.restartTimer:
		inst.restart.end(env, "the grace period is over")
	}
}

func (inst *instance) start(env *core.Env) {
	inst.began = env.Now()
	if d := inst.cfg.StubRouter.OnStartup; d > 0 {
		env.Arm(&inst.stubTimer, d)
	}
	if inst.router = inst.cfg.RouterID; inst.router == 0 {
		env.Arm(&inst.surveyTimer, surveyTime)
		return
	}
	inst.begin(env)
}

// surveyTime is how long we look for addresses before one of them becomes the router ID.
const surveyTime = time.Second

// begin is the start proper, with a router ID.
func (inst *instance) begin(env *core.Env) {
	inst.resumeRestart(env)
	env.Log(core.Info, "started", "instance", inst.cfg.Name, "router-id", inst.router)
}

// identify looks for a router ID among the addresses of the host; without one nothing begins.
func (inst *instance) identify(env *core.Env) {
	if inst.router != 0 || inst.surveyTimer.Armed() {
		return
	}
	if inst.router = inst.m.chooseRouterID(); inst.router == 0 {
		return
	}
	inst.begin(env)
	for _, i := range inst.interfaces() {
		i.link(env, i.host)
	}
}

// chooseRouterID is the highest IPv4 address of a loopback interface, else of any, as everybody chooses it.
func (m *Module) chooseRouterID() wire.RouterID {
	var loop, any uint32
	for _, l := range m.links {
		for _, p := range l.Addresses {
			if a := p.Addr(); a.Is4() && !a.IsLoopback() {
				any = max(any, wire.Uint4(a))
				if p.IsSingleIP() {
					loop = max(loop, wire.Uint4(a))
				}
			}
		}
	}
	return wire.RouterID(cmp.Or(loop, any))
}

// mustRestart reports whether a change is one that no neighbour could follow.
func (inst *instance) mustRestart(c *Config) bool {
	return c.Version != inst.cfg.Version || c.VRF != inst.cfg.VRF || c.RouterID != 0 && c.RouterID != inst.router
}

// configure takes a configuration; only differences act.
func (inst *instance) configure(env *core.Env, cfg *Config) {
	inst.reoffer = inst.reoffer || cfg.Distance != inst.cfg.Distance || !slices.Equal(cfg.Underlay, inst.cfg.Underlay)
	inst.cfg = cfg
	wanted := map[wire.AreaID]Area{}
	for _, a := range cfg.Areas {
		wanted[a.ID] = a
	}
	for _, a := range inst.sortedAreas() {
		if w, ok := wanted[a.id]; !ok || w.Kind != a.cfg.Kind {
			a.end(env, "its area was configured otherwise")
			delete(inst.areas, a.id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		a := inst.areas[id]
		if a == nil {
			a = newArea(inst, wanted[id])
			inst.areas[id] = a
		}
		a.reconfigure(env, wanted[id])
	}
	inst.redistributeAll(env)
	inst.touchAll()
	inst.changedSPF("configured")
}

func same(a, b any) bool { return reflect.DeepEqual(a, b) }

func (inst *instance) touchAll() {
	for _, a := range inst.areas {
		a.touch()
	}
	inst.stale = true
}

// summarize has what we tell of one area in another looked at.
func (inst *instance) summarize() { inst.need(spf.Summaries) }

// stop says goodbye: either so that neighbours wait for us, or so that they turn away at once.
func (inst *instance) stop(env *core.Env, restart bool) {
	if restart && inst.cfg.Restart.Period > 0 {
		inst.prepareRestart(env)
		inst.settle(env)
		return
	}
	inst.leave(env, "the router stops")
}

// leave flushes what we say, so that nobody goes by it any more, and ends the instance.
func (inst *instance) leave(env *core.Env, reason string) {
	for _, db := range inst.databases() {
		for _, e := range db.sorted() {
			if e.Header.Router == inst.router {
				inst.expire(env, e)
			}
		}
		db.originateNothing(env)
	}
	inst.stale = false
	inst.settle(env)
	inst.end(env, reason)
}

// end takes an instance out, and its routes with it.
func (inst *instance) end(env *core.Env, reason string) {
	for _, a := range inst.sortedAreas() {
		a.end(env, reason)
	}
	for _, t := range []*core.Timer{&inst.ageTimer, &inst.spfTimer, &inst.stubTimer, &inst.restartTimer, &inst.externalTimer, &inst.surveyTimer, &inst.translatorTimer} {
		env.Stop(t)
	}
	inst.withdraw(env)
}

// farewell is a hello without neighbours: those who hear it need not wait until we are silent for long enough.
func (i *iface) farewell(env *core.Env) {
	if !i.state.talks() {
		return
	}
	h := i.hello()
	h.DR, h.BDR = 0, 0
	for _, dst := range i.helloEverywhere(env.Now()) {
		i.send(env, dst, h)
	}
}

func (i *iface) helloEverywhere(now time.Duration) []netip.Addr {
	to := i.helloTo(now)
	if i.multicasts() {
		to = append(to, i.inst().version().AllRouters())
	}
	return to
}

func (inst *instance) sortedAreas() []*area {
	return slices.SortedFunc(maps.Values(inst.areas), func(a, b *area) int { return cmp.Compare(a.id, b.id) })
}

// interfaces are all of an instance, by area and name.
func (inst *instance) interfaces() []*iface {
	var all []*iface
	for _, a := range inst.sortedAreas() {
		all = append(all, a.sorted()...)
	}
	return all
}

// find is an interface by name: it is in one area.
func (inst *instance) find(name string) *iface {
	for _, a := range inst.areas {
		if i := a.ifaces[name]; i != nil {
			return i
		}
	}
	return nil
}

func (inst *instance) neighbors() []*neighbor {
	var all []*neighbor
	for _, i := range inst.interfaces() {
		all = append(all, i.sorted()...)
	}
	return all
}

// exchanging reports whether a neighbour is being told what the database holds: LSAs at MaxAge stay meanwhile.
func (inst *instance) exchanging() bool { return inst.exchanges > 0 }

// mark notes an interface that has something to send when the event is handled.
func (inst *instance) mark(i *iface) {
	if !i.marked {
		i.marked = true
		inst.marked = append(inst.marked, i)
	}
}

// settle does what an event has made necessary, once, in order: what we say, adjacencies whose turn has come, LSAs that
// may go, and packets.
func (inst *instance) settle(env *core.Env) {
	if inst.stale {
		inst.stale = false
		inst.originate(env)
	}
	if inst.turn {
		inst.turn = false
		inst.next(env)
	}
	if inst.sweep {
		inst.sweepFlushed(env)
	}
	for _, i := range inst.marked {
		i.marked = false
		i.sendOutbox(env)
		if i.acksDue {
			i.sendAcks(env)
		}
	}
	inst.marked = inst.marked[:0]
	inst.armSPF(env)
}

// duplicate reports whether another neighbour of the interface has the router ID.
func (inst *instance) duplicate(i *iface, r wire.RouterID, src netip.Addr) bool {
	if known := i.neighbors[i.keyOf(r, src)]; i.routers[r] == 0 || i.routers[r] == 1 && known != nil && known.router == r && known.address == src {
		return false
	}
	for _, n := range i.neighbors {
		if n.router == r && n.address != src && n.state >= twoWay {
			return true
		}
	}
	return false
}

// isStub reports whether no transit traffic is wanted, RFC 6987.
func (inst *instance) isStub() bool { return inst.cfg.StubRouter.Always || inst.stubTimer.Armed() }
