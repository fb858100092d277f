package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// World is nodes and networks on one virtual clock. The zero World is not ready; see [NewWorld]. It belongs to one
// goroutine. The same seed and the same calls give the same history.
type World struct {
	Names    map[string]Name // what the DNS knows
	WorkTime time.Duration   // that a piece of [core.Work] takes
	Leaks    []string        // packets that left in clear where nothing may

	watch watcher
	Trace *Trace

	clock    clock
	seed     uint64
	faults   *rand.Rand
	nodes    []*Node
	byName   map[string]*Node
	networks []*Network
	blocked  map[pair]bool
	events   int // that modules handled
}

// Name is a DNS name's addresses and how long they may be used.
type Name struct {
	Addrs []netip.Addr
	TTL   time.Duration
}

// workTime is that of a key exchange with X25519 on one core.
const workTime = 300 * time.Microsecond

// NewWorld makes an empty world whose chances follow from the seed.
func NewWorld(seed uint64) *World {
	w := &World{
		Names: map[string]Name{}, WorkTime: workTime, Trace: newTrace(), seed: seed,
		byName: map[string]*Node{}, blocked: map[pair]bool{},
	}
	w.faults = w.chance("faults")
	return w
}

// chance is a source of its own for each purpose, so that drawing more for one does not change another.
func (w *World) chance(purpose string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// Now is the virtual time since the world began.
func (w *World) Now() time.Duration { return w.clock.now }

// Run lets time pass.
func (w *World) Run(d time.Duration) {
	for until := w.clock.now + d; w.clock.step(until); {
	}
}

// runUntil lets time pass until done or the limit, and reports whether it was done.
func (w *World) runUntil(limit time.Duration, done func() bool) bool {
	for !done() {
		if !w.clock.step(limit) {
			return done()
		}
	}
	return true
}

// Node is one machine: interfaces, a kernel that forwards, and perhaps a router process.
type Node struct {
	Name string

	world      *World
	id         int
	interfaces []*Interface
	byName     map[string]*Interface
	indexes    int
	local      map[netip.Addr]*Interface
	fib        fib
	forwarding bool
	nat        *nat
	router     *process
	config     *conf.Config
	stored     map[string]string
	boots      int
	wall       time.Duration // how far the wall clock is off; nothing of a router reads it
	counters   map[string]int
	pathMTU    map[netip.Addr]int // what routers on the way said
	echoes     map[uint16]*ping
	echoID     uint16

	overlay, nbma netip.Addr // of a generated router
	former        []former
}

// former is an underlay address that a router had until some time.
type former struct {
	nbma  netip.Addr
	until time.Duration
}

// watcher sees what routers do, while they do it.
type watcher interface {
	handled(p *process, module string, ev core.Event)
	wanted(p *process, effect core.Effect)
	sent(p *process, d *dataplane.Datagram)
	ran(p *process) // all that came at this time is handled
	gaveUp(n *Node, d *dataplane.Datagram, why dataplane.ICMPKind)
}

func (w *World) addNode(name string) *Node {
	n := &Node{
		Name: name, world: w, id: len(w.nodes), byName: map[string]*Interface{}, local: map[netip.Addr]*Interface{},
		stored: map[string]string{}, counters: map[string]int{}, echoes: map[uint16]*ping{},
		pathMTU: map[netip.Addr]int{},
	}
	n.fib.node = n
	w.nodes = append(w.nodes, n)
	w.byName[name] = n
	return n
}

func (n *Node) count(what string) { n.counters[what]++ }

// attach gives the node an interface on a network.
func (n *Node) attach(name string, net *Network, link Link, addrs ...netip.Prefix) *Interface {
	i := n.addInterface(name, link.Size())
	i.link = link
	net.attach(i)
	i.setAddresses(addrs)
	n.tell(i)
	return i
}

func (n *Node) addInterface(name string, mtu int) *Interface {
	n.indexes++
	i := &Interface{Name: name, index: n.indexes, node: n, mtu: mtu}
	n.interfaces = append(n.interfaces, i)
	n.byName[name] = i
	return i
}

// tell makes the kernel's table follow an interface, and the router hear of both.
func (n *Node) tell(i *Interface) {
	l := i.state()
	n.router.broadcast(l)
	n.fib.follow(l)
}

// drop removes an interface.
func (n *Node) drop(i *Interface) {
	l := i.state()
	l.Gone, l.Up = true, false
	i.setAddresses(nil)
	if i.net != nil {
		i.net.detach(i)
	}
	delete(n.byName, i.Name)
	for k, other := range n.interfaces {
		if other == i {
			n.interfaces = append(n.interfaces[:k:k], n.interfaces[k+1:]...)
			break
		}
	}
	n.router.broadcast(l)
	n.fib.follow(l)
}
