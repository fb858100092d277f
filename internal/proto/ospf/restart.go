package ospf

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// grace is the help that a neighbour is given while it restarts, RFC 3623 3: to everybody else it is there.
type grace struct {
	n     *neighbor
	until time.Duration
}

// learned looks at LSAs that ask for something beyond the database.
func (inst *instance) learned(env *core.Env, from *neighbor, e *entry) {
	g, ok := e.Body.(*wire.Grace)
	if !ok {
		return
	}
	n := from.i.restarting(e, g)
	if n == nil {
		return
	}
	if e.flushed {
		if n.grace != nil {
			n.lastHello = env.Now() // it has just been heard, though its first hello may still be to come
			n.grace.end(env, "it is back")
		}
		return
	}
	inst.help(env, n, e, g)
}

// restarting is the neighbour that a grace LSA is of: by its router ID and, where it says it, its
// address (RFC 3623 B.1): nobody asks for another.
func (i *iface) restarting(e *entry, g *wire.Grace) *neighbor {
	for _, n := range i.sorted() {
		here := i.cfg.Network == PointToPoint || !g.Address.IsValid() || n.address == g.Address
		if here && n.router == e.Header.Router {
			return n
		}
	}
	return nil
}

// help enters helper mode, if RFC 3623 3.1 lets us: the neighbour is full, the time is not over, and nothing has changed that
// it has not acknowledged.
func (inst *instance) help(env *core.Env, n *neighbor, e *entry, g *wire.Grace) {
	period := min(time.Duration(g.Period)*time.Second, wire.LSRefreshTime) // RFC 3623 appendix B: no longer than its LSAs live
	left := period - time.Duration(e.age(env.Now()))*time.Second
	refused := ""
	switch {
	case inst.cfg.Restart.NoHelper:
		refused = "helping is switched off"
	case n.state != full && n.grace == nil:
		refused = "it is not adjacent"
	case left <= 0:
		refused = "its grace period is over"
	case inst.restarting():
		refused = "we restart ourselves"
	case !inst.cfg.Restart.Lax && n.grace == nil && n.missesTopology():
		refused = "it has not seen the latest topology"
	}
	if refused != "" {
		env.Log(core.Info, "restart-refused", "instance", inst.cfg.Name, "neighbor", n.router, "reason", refused)
		return
	}
	n.grace = &grace{n: n, until: env.Now() + left}
	env.Arm(&n.inactivity, left)
	env.Log(core.Info, "restart-helped", "instance", inst.cfg.Name, "neighbor", n.router, "for", left, "because", g.Reason)
}

// missesTopology reports whether an LSA that the routes depend on waits for the neighbour's acknowledgment.
func (n *neighbor) missesTopology() bool {
	for _, e := range n.waits {
		if topological(e.Header.Function(n.inst().version())) && e.Header.Age != wire.MaxAge && e.Header.Sequence != wire.InitialSequence {
			return true
		}
	}
	return false
}

func topological(f wire.Function) bool {
	return f >= wire.FunctionRouter && f <= wire.FunctionNSSA || f == wire.FunctionIntraAreaPrefix
}

// end leaves helper mode, RFC 3623 3.2: what the neighbour is now is told.
func (g *grace) end(env *core.Env, reason string) {
	n := g.n
	n.grace = nil
	env.Log(core.Info, "restart-over", "instance", n.inst().cfg.Name, "neighbor", n.router, "reason", reason)
	env.Arm(&n.inactivity, max(n.lastHello+n.i.cfg.Dead-env.Now(), 0)) // as if it had not been waited for
	if n.i.cfg.Network.designates() && n.i.state > waiting {
		n.i.elect(env)
	}
	n.i.touch()
	n.inst().need(spf.Topology)
}

// endGraces ends help when the topology changes: the restarting router could not follow (RFC 3623 3.2 item 3).
func (inst *instance) endGraces(env *core.Env, e *entry) {
	if inst.cfg.Restart.Lax || !topological(e.Header.Function(inst.version())) {
		return
	}
	for _, i := range e.db.interfaces() {
		for _, n := range i.sorted() {
			if n.grace != nil && n.router != e.Header.Router {
				n.grace.end(env, "the topology has changed")
			}
		}
	}
}

// restart is our own, RFC 3623 2.
type restart struct {
	inst  *instance
	until time.Duration
}

func (inst *instance) restarting() bool { return inst.restart != nil }

func (inst *instance) restartKey() string { return "ospf." + inst.cfg.Name + ".restart" }

// prepareRestart asks the neighbours to wait for us, and remembers that they do (RFC 3623 2.1). Routes and LSAs stay. What we have
// not acknowledged yet goes before: who takes us for behind the times does not wait (RFC 3623 3.1 item 2).
func (inst *instance) prepareRestart(env *core.Env) {
	period := inst.cfg.Restart.Period
	for _, i := range inst.interfaces() {
		if !i.state.talks() {
			continue
		}
		i.sendAcks(env)
		g := &wire.Grace{Period: uint32(period / time.Second), Reason: wire.GraceRestart, Options: i.area.options()}
		if inst.version() == wire.V2 {
			g.Address = i.local
		}
		i.db.say(env, wire.GraceKey(inst.version(), inst.router, i.id()), g)
	}
	env.Emit(core.Store{Key: inst.restartKey(), Value: strconv.FormatInt(env.Wall().Add(period).Unix(), 10)})
}

// resumeRestart goes on after a restart that was announced, if the time has not run out.
func (inst *instance) resumeRestart(env *core.Env) {
	value := inst.m.stored[inst.restartKey()]
	if value == "" {
		return
	}
	delete(inst.m.stored, inst.restartKey())
	env.Emit(core.Store{Key: inst.restartKey()})
	until, err := strconv.ParseInt(value, 10, 64)
	left := time.Duration(until-env.Wall().Unix()) * time.Second
	if err != nil || left <= 0 || left > time.Hour {
		return
	}
	inst.restart = &restart{inst: inst, until: env.Now() + left}
	env.Arm(&inst.restartTimer, left)
	env.Publish(rib.Restoring{Protocol: rib.OSPF, Source: inst.cfg.Name, For: left})
	env.Log(core.Info, "restarting", "instance", inst.cfg.Name, "for", left)
}

// adjacent looks whether a restart is over: all adjacencies of before are there again (RFC 3623 2.2).
func (inst *instance) adjacent(env *core.Env, n *neighbor) {
	if n.grace != nil {
		return // ends with its grace LSA
	}
	if inst.restarting() && inst.complete() {
		inst.restart.end(env, "all adjacencies are back")
	}
}

// complete reports whether we are adjacent to all whom the router LSAs of before the restart name.
func (inst *instance) complete() bool {
	for _, a := range inst.areas {
		for _, e := range a.db.lsas {
			r, ok := e.Body.(*wire.RouterLSA)
			if !ok || e.Header.Router != inst.router || e.flushed {
				continue
			}
			for _, l := range r.Links {
				if !a.has(l) {
					return false
				}
			}
		}
	}
	return true
}

// has reports whether a link of before is there again.
func (a *area) has(l wire.Link) bool {
	for _, i := range a.ifaces {
		switch l.Kind {
		case wire.LinkPointToPoint:
			if i.isAdjacent(l.To(a.inst.version())) {
				return true
			}
		case wire.LinkTransit:
			if i.transit() && (a.inst.version() != wire.V2 || i.self() == l.Data) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

// unadjacent ends a restart that does not come to what was before.
func (inst *instance) unadjacent(env *core.Env) {
	if inst.restarting() {
		inst.restart.end(env, "an adjacency was lost")
	}
}

// end is RFC 3623 2.3: LSAs are originated, routes computed, and the grace LSAs go.
func (r *restart) end(env *core.Env, reason string) {
	inst := r.inst
	inst.touchAll()
	inst.stale = false
	inst.originate(env) // recorded, not yet sent: what is sent below knows of the adjacency that made us complete
	inst.restart = nil
	env.Stop(&inst.restartTimer)
	env.Publish(rib.Restoring{Protocol: rib.OSPF, Source: inst.cfg.Name})
	env.Log(core.Info, "restarted", "instance", inst.cfg.Name, "reason", reason)
	for _, db := range inst.databases() {
		for _, e := range db.sorted() {
			if e.Header.Router == inst.router && !e.flushed && db.own[e.key()] == nil {
				inst.stray = append(inst.stray, e)
			}
		}
		for _, k := range slices.SortedFunc(maps.Keys(db.own), compareKeys) {
			if o := db.own[k]; o.wanted() && o.differs() {
				o.emitThrottled(env)
			}
		}
	}
	inst.touchAll()
	inst.changedSPF("restarted")
	inst.touchExternals(env)
}

// flushStray flushes LSAs of before a restart that nothing has claimed since.
func (inst *instance) flushStray(env *core.Env) {
	for _, e := range inst.stray {
		if e.db.lsas[e.key()] == e && e.db.own[e.key()] == nil {
			inst.expire(env, e)
		}
	}
	inst.stray = nil
}
