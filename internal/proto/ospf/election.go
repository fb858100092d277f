package ospf

import (
	"cmp"
	"time"

	"github.com/spokeway/spokeway/internal/core"
)

// candidate is a router on a network in the election of its designated router.
type candidate struct {
	id       uint32 // as in hellos
	router   uint32
	priority uint8
	dr, bdr  uint32 // whom it says they are
}

func better(a, b candidate) bool {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.router, b.router)) > 0
}

// elect is RFC 2328 9.4, at the events WaitTimer, BackupSeen and NeighborChange.
func (i *iface) elect(env *core.Env) {
	env.Stop(&i.waitTimer)
	oldDR, oldBDR, oldState := i.dr, i.bdr, i.state
	i.dr, i.bdr = i.election(i.dr, i.bdr)
	if me := i.self(); (me == i.dr) != (oldState == designated) || (me == i.bdr) != (oldState == backup) {
		i.dr, i.bdr = i.election(i.dr, i.bdr) // 9.4 step 4: once more, now that we know what we are
	}
	i.become(env, i.role())
	if oldDR == i.dr && oldBDR == i.bdr && oldState == i.state {
		return
	}
	level := core.Info
	if i.elected > 0 && env.Now()-i.elected < time.Second {
		level = core.Debug // somebody changes his mind faster than anybody reads
	}
	i.elected = env.Now()
	env.Log(level, "designated", "instance", i.inst().cfg.Name, "interface", i.name(), "dr", i.routerName(i.dr), "bdr", i.routerName(i.bdr))
	i.touch()
	for _, n := range i.sorted() {
		n.adjacencyOK(env) // 9.4 step 7
	}
	i.sayHelloSoon(env)
}

func (i *iface) role() ifaceState {
	switch i.self() {
	case i.dr:
		return designated
	case i.bdr:
		return backup
	}
	return drOther
}

// election is steps 2 and 3 of 9.4.
func (i *iface) election(dr, bdr uint32) (newDR, newBDR uint32) {
	list := i.candidates(dr, bdr)
	newBDR = pick(list, func(c candidate) bool { return c.dr != c.id && c.bdr == c.id })
	if newBDR == 0 {
		newBDR = pick(list, func(c candidate) bool { return c.dr != c.id })
	}
	if newDR = pick(list, func(c candidate) bool { return c.dr == c.id }); newDR == 0 {
		newDR = newBDR
	}
	return newDR, newBDR
}

// candidates are the eligible routers: the neighbours that see us, and ourselves with what we said so far.
func (i *iface) candidates(dr, bdr uint32) []candidate {
	var list []candidate
	if i.cfg.Priority > 0 {
		list = append(list, candidate{i.self(), uint32(i.inst().router), i.cfg.Priority, dr, bdr})
	}
	for _, n := range i.neighbors {
		if n.state >= twoWay && n.priority > 0 {
			list = append(list, candidate{n.id(), uint32(n.router), n.priority, n.dr, n.bdr})
		}
	}
	return list
}

// pick is the best candidate of those that are wanted; 0 when none is.
func pick(list []candidate, wanted func(candidate) bool) uint32 {
	var best candidate
	for _, c := range list {
		if wanted(c) && (best.id == 0 || better(c, best)) {
			best = c
		}
	}
	return best.id
}
