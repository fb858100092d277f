package ospf

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
)

// Problem is what keeps a neighbour from being adjacent, or what somebody should look at.
type Problem uint8

const (
	Malformed Problem = iota
	WrongNetwork
	LowTTL
	WrongArea
	WrongAreaKind
	WrongKey
	WrongMask
	WrongTimer
	WrongMTU
	WrongType
	DuplicateRouter
	SelfOriginated
	Replay
	TooMany
)

var problemWords = [...]struct{ word, remedy string }{
	Malformed:       {"malformed", "find out what sends it"},
	WrongNetwork:    {"network", "give both ends addresses of one network"},
	LowTTL:          {"ttl", "let both ends check the TTL, or none"},
	WrongArea:       {"area", "put both interfaces into one area"},
	WrongAreaKind:   {"area-kind", "make the area a stub, an NSSA or neither on all of its routers"},
	WrongKey:        {"authentication", "give both ends the same type of authentication, key number and key"},
	WrongMask:       {"mask", "give both ends the same prefix length"},
	WrongTimer:      {"timer", "give both ends the same hello and dead interval"},
	WrongMTU:        {"mtu", "give both ends the same MTU, or set mtu-ignore"},
	WrongType:       {"network-type", "give both ends kinds of network that go together"},
	DuplicateRouter: {"router-id", "give each router an ID of its own"},
	SelfOriginated:  {"self-originated", "look for a router with our router ID elsewhere, or for one that lies"},
	Replay:          {"replay", "if the neighbor has restarted without a clock, wait for its dead interval; else somebody replays packets"},
	TooMany:         {"limit", "look for what originates so much, or raise the limit"},
}

func (p Problem) word() string { return problemWords[p].word }

func (p Problem) String() string { return p.word() }

// passing reports whether a problem is over once a hello is accepted.
func (p Problem) passing() bool {
	switch p {
	case WrongArea, WrongAreaKind, WrongKey, WrongMask, WrongTimer, WrongNetwork, LowTTL:
		return true
	}
	return false
}

// maxProblems bounds what is remembered: anybody on the network can cause problems.
const maxProblems = 256

// problemLife is how long one is shown that does not happen any more.
const problemLife = 10 * time.Minute

type problemKey struct {
	iface   string
	address netip.Addr
	kind    Problem
}

type problem struct {
	text        string
	first, last time.Duration
	count       uint64
}

func (i *iface) problem(env *core.Env, a netip.Addr, kind Problem, text string) {
	i.inst().note(env, i.name(), a, kind, text)
}

// note remembers a problem, and logs it when it is new.
func (inst *instance) note(env *core.Env, name string, a netip.Addr, kind Problem, text string) {
	k, now := problemKey{name, a, kind}, env.Now()
	p := inst.problems[k]
	if p == nil || p.text != text || now-p.last > problemLife {
		env.Log(core.Warn, "problem", "instance", inst.cfg.Name, "interface", name, "neighbor", a, "problem", kind, "detail", text, "remedy", problemWords[kind].remedy)
		p = &problem{text: text, first: now}
		inst.forgetOldest()
		inst.problems[k] = p
	}
	p.last = now
	p.count++
}

func (inst *instance) forgetOldest() {
	if len(inst.problems) < maxProblems {
		return
	}
	oldest := slices.MinFunc(inst.problemKeys(), func(a, b problemKey) int { return cmp.Compare(inst.problems[a].last, inst.problems[b].last) })
	delete(inst.problems, oldest)
}

func (inst *instance) problemKeys() []problemKey {
	return slices.SortedFunc(maps.Keys(inst.problems), func(a, b problemKey) int {
		return cmp.Or(cmp.Compare(a.iface, b.iface), a.address.Compare(b.address), cmp.Compare(a.kind, b.kind))
	})
}

// solved forgets what kept a neighbour away that is here now.
func (i *iface) solved(a netip.Addr) {
	for k := range i.inst().problems {
		n := i.neighborAt(a)
		if k.iface == i.name() && k.address == a && (k.kind.passing() || k.kind == WrongMTU && n != nil && n.state >= exchange) {
			delete(i.inst().problems, k)
		}
	}
}

func (i *iface) neighborAt(a netip.Addr) *neighbor {
	for _, n := range i.neighbors {
		if n.address == a {
			return n
		}
	}
	return nil
}

// compareTypes looks for interfaces of kinds that do not go together: hellos do not say theirs, but whom they think
// designated.
func (i *iface) compareTypes(env *core.Env, n *neighbor) {
	switch designates := i.cfg.Network.designates(); {
	case n.state < twoWay:
	case !designates && n.dr != 0:
		i.problem(env, n.address, WrongType, "its network has a designated router, ours is "+i.cfg.Network.String())
	case designates && i.state > waiting && i.dr != 0 && n.dr == 0 && env.Now()-n.since > 2*i.cfg.Dead:
		i.problem(env, n.address, WrongType, "it knows no designated router, and ours is "+i.cfg.Network.String())
	default:
		delete(i.inst().problems, problemKey{i.name(), n.address, WrongType})
	}
}
