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
	BadExchange
	BadLSA
	Unacknowledged
	OurAddress
	CarriesItself
)

var problemWords = [...]struct{ word, remedy string }{
	Malformed:       {"malformed", "find out what sends it"},
	WrongNetwork:    {"network", "give both ends addresses of one network"},
	LowTTL:          {"ttl", "let both ends check the TTL, or none"},
	WrongArea:       {"area", "put both interfaces into one area"},
	WrongAreaKind:   {"area-kind", "make the area a stub, an NSSA or neither, and of one address family (RFC 5838), on all of its routers"},
	WrongKey:        {"authentication", "give both ends the same type of authentication, key number and key"},
	WrongMask:       {"mask", "give both ends the same prefix length"},
	WrongTimer:      {"timer", "give both ends the same hello and dead interval"},
	WrongMTU:        {"mtu", "give both ends the same MTU, or set mtu-ignore"},
	WrongType:       {"network-type", "give both ends kinds of network that go together"},
	DuplicateRouter: {"router-id", "give each router an ID of its own"},
	SelfOriginated:  {"self-originated", "look for a router with our router ID elsewhere, or for one that lies"},
	Replay:          {"replay", "if the neighbor has restarted without a clock, wait for its dead interval; else somebody replays packets"},
	TooMany:         {"limit", "look for what originates so much, or raise the limit"},
	BadExchange:     {"exchange", "see what each attempt fails of, at both ends; compare MTU, area type and versions"},
	BadLSA:          {"lsa", "find the router that originates it, by its router ID, and mend or stop it there"},
	Unacknowledged:  {"unacknowledged", "see that unicast packets of IP protocol 89 pass both ways, large ones too"},
	CarriesItself:   {"underlay", "keep the networks that carry the cloud out of OSPF: find the router that tells of them"},
	OurAddress:      {"address", "look for a router with our address, or for a loop that returns what we send"},
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
	logged      time.Duration
	count       uint64
}

func (i *iface) problem(env *core.Env, a netip.Addr, kind Problem, text string) {
	i.inst().note(env, i.name(), a, kind, text)
}

// note remembers a problem, and logs it when it is new.
func (inst *instance) note(env *core.Env, name string, a netip.Addr, kind Problem, text string) {
	k, now := problemKey{name, a, kind}, env.Now()
	p := inst.problems[k]
	if p == nil || now-p.last > problemLife {
		inst.forgetOldest()
		p = &problem{first: now, logged: -logAgain}
		inst.problems[k] = p
	}
	if p.text != text && now-p.logged >= logAgain && inst.mayLog(env) {
		p.logged = now
		env.Log(core.Warn, "problem", "instance", inst.cfg.Name, "interface", name, "neighbor", a, "problem", kind, "detail", text, "remedy", problemWords[kind].remedy)
	}
	p.text, p.last = text, now
	p.count++
}

// Anybody on a network can cause problems, and name them as he likes: the log has one of a kind again only after a while,
// and only so many of all in that while.
const (
	logAgain = time.Minute
	logMost  = 20
)

// logBudget is what was logged of problems since a time.
type logBudget struct {
	since          time.Duration
	lines, dropped int
}

// mayLog reports whether a line about a problem may go to the log; once per while it tells of those that did not.
func (inst *instance) mayLog(env *core.Env) bool {
	b := &inst.logs
	if now := env.Now(); now-b.since >= logAgain {
		if b.dropped > 0 {
			env.Log(core.Warn, "problems", "instance", inst.cfg.Name, "unlogged", b.dropped, "see", "show ospf problems")
		}
		*b = logBudget{since: now}
	}
	if b.lines++; b.lines > logMost {
		b.dropped++
		return false
	}
	return true
}

func (inst *instance) forgetOldest() {
	if len(inst.problems) < maxProblems {
		return
	}
	var oldest problemKey
	var at time.Duration = -1
	for k, p := range inst.problems {
		if at < 0 || p.last < at || p.last == at && k.compare(oldest) < 0 {
			oldest, at = k, p.last
		}
	}
	delete(inst.problems, oldest)
}

func (k problemKey) compare(o problemKey) int {
	return cmp.Or(cmp.Compare(k.iface, o.iface), k.address.Compare(o.address), cmp.Compare(k.kind, o.kind))
}

func (inst *instance) problemKeys() []problemKey {
	return slices.SortedFunc(maps.Keys(inst.problems), problemKey.compare)
}

// solved forgets what kept a neighbour away that is here now; n is nil when nobody has met it yet.
func (i *iface) solved(a netip.Addr, n *neighbor) {
	all := i.inst().problems
	if len(all) == 0 {
		return
	}
	for kind := range Problem(len(problemWords)) {
		if kind.passing() || kind == WrongMTU && n != nil && n.tookMTU() {
			delete(all, problemKey{i.name(), a, kind})
		}
	}
}

// tookMTU reports whether neither end minds the other's MTU: the exchange goes on, and of one whose MTU is smaller it ends.
func (n *neighbor) tookMTU() bool {
	return n.state == full || n.state >= exchange && !n.smallerMTU()
}

func (i *iface) neighborAt(a netip.Addr) *neighbor {
	if i.byAddress() {
		return i.neighbors[a]
	}
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
