package sim

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/rib"
)

// checker holds the invariants of a generated cloud. What one event can break is checked for the router that handled
// it, at once; what time can break is checked every few seconds for all.
//
//   - no binding without a registration: an adjacency leads to where the router with that protocol address really is,
//     and a hub has one only for who asked to be registered within the holding time;
//   - no shortcut loop: following next hops from router to router ends, and no packet between LANs dies of its TTL;
//   - no route without adjacency: whatever NHRP routes through has an adjacency in the data plane;
//   - every timer owned: see [nhrp.Module.Audit];
//   - nothing in clear: a router whose tunnels are protected sends no GRE but in ESP;
//   - keys agree: what one router seals with an SPI, another opens with the same keys, or has no such SPI;
//   - state returns to empty, once nobody sends and once everybody left.
type checker struct {
	cloud      *cloud
	routers    map[netip.Addr]*Node      // by protocol address
	asked      map[request]time.Duration // when a registration was last asked for
	known      map[*process]*known
	violations []string
}

// request is a registration: of whom, where.
type request struct{ client, server netip.Addr }

// known is what a router's control plane has told its data plane and its RIB.
type known struct {
	adjacencies map[netip.Addr]dataplane.Endpoint
	routes      map[netip.Prefix]netip.Addr // NHRP's, and their next hops
	changed     map[netip.Prefix]bool
	dirty       bool
	nhrp        bool // it has handled something since it was audited
	runs        int
}

// maxViolations is how many are kept: the first is what matters.
const maxViolations = 20

func newChecker(c *cloud) *checker {
	k := &checker{
		cloud: c, routers: map[netip.Addr]*Node{},
		asked: map[request]time.Duration{}, known: map[*process]*known{},
	}
	for _, n := range c.world.nodes {
		if n.config != nil {
			k.routers[n.overlay] = n
		}
	}
	c.world.watch = k
	k.periodically()
	return k
}

const checkEvery = 5 * time.Second

func (k *checker) periodically() {
	for _, n := range k.cloud.world.nodes {
		if p := n.router; p != nil && !p.frozen {
			k.audit(p)
			k.fresh(p)
		}
	}
	k.agreed(false)
	k.cloud.world.clock.after(checkEvery, k.periodically)
}

// agreed holds that the ends of every SA agree on its keys. In quiet times each SA also has two ends.
func (k *checker) agreed(quiet bool) {
	running := k.running()
	opens := map[*Node]map[uint32]dataplane.Digest{}
	for _, n := range running {
		opens[n], _ = n.router.plane.Digests()
	}
	for _, n := range running {
		_, seals := n.router.plane.Digests()
		for _, s := range seals {
			k.agree(n, s, opens, quiet)
		}
	}
}

// agree looks for the other end of an SA where its packets go: of several routers behind one address any may be it.
func (k *checker) agree(n *Node, s dataplane.Sealing, opens map[*Node]map[uint32]dataplane.Digest, quiet bool) {
	there := false
	for other, keys := range opens {
		d, has := keys[s.SPI]
		if !has || other.nbma != s.Remote.Addr() && !other.wasAt(s.Remote.Addr()) {
			continue
		}
		if d == s.Digest {
			return
		}
		there = true
	}
	if there || quiet {
		k.fail(n, "SA %d to %v seals SPI %08x with keys that it is not opened with; it is known there: %t", s.SA, s.Remote, s.SPI, there)
	}
}

// running are the nodes with a router.
func (k *checker) running() []*Node {
	return slices.DeleteFunc(slices.Clone(k.cloud.world.nodes), func(n *Node) bool { return n.router == nil })
}

func (k *checker) fail(n *Node, format string, args ...any) {
	if len(k.violations) < maxViolations {
		v := fmt.Sprintf("%.6f %s: %s", n.world.Now().Seconds(), n.Name, fmt.Sprintf(format, args...))
		k.violations = append(k.violations, v)
		n.world.Trace.line(n, "VIOLATION %s", fmt.Sprintf(format, args...))
	}
}

func (k *checker) of(p *process) *known {
	s := k.known[p]
	if s == nil {
		s = &known{
			adjacencies: map[netip.Addr]dataplane.Endpoint{}, routes: map[netip.Prefix]netip.Addr{},
			changed: map[netip.Prefix]bool{},
		}
		k.known[p] = s
	}
	return s
}

func (k *checker) handled(p *process, module string, ev core.Event) {
	if module == nhrp.Name {
		k.of(p).nhrp = true
	}
	if c, ok := ev.(rib.Change); ok && module == "kernel" {
		k.routed(p, c)
	}
	if n := len(p.loop.Panics); n > 0 {
		k.fail(p.node, "a handler panicked: %v", p.loop.Panics)
	}
}

// routed follows which selected routes NHRP has a hand in.
func (k *checker) routed(p *process, c rib.Change) {
	s := k.of(p)
	s.dirty, s.changed[c.Prefix] = true, true
	delete(s.routes, c.Prefix)
	if c.New == nil || c.New.Protocol != rib.NHRP && !c.New.Override || len(c.New.NextHops) == 0 {
		return
	}
	via := c.New.NextHops[0].Via
	if !via.IsValid() {
		via = c.Prefix.Addr()
	}
	s.routes[c.Prefix] = via
}

func (k *checker) wanted(p *process, effect core.Effect) {
	switch e := effect.(type) {
	case dataplane.SetAdjacency:
		s := k.of(p)
		s.dirty, s.adjacencies[e.NextHop] = true, e.Endpoint
		k.truthful(p.node, e.NextHop, e.Endpoint)
	case dataplane.DeleteAdjacency:
		s := k.of(p)
		s.dirty = true
		delete(s.adjacencies, e.NextHop)
	case dataplane.DeleteTunnel:
		clear(k.of(p).adjacencies)
	}
}

// truthful holds that a next hop is where the router with that address is, or was not long ago.
func (k *checker) truthful(n *Node, nextHop netip.Addr, at dataplane.Endpoint) {
	r := k.routers[nextHop]
	if r == nil || r.nbma != at.Addr() && !r.wasAt(at.Addr()) {
		k.fail(n, "the adjacency of %v is at %v, where no router with that address is", nextHop, at.Addr())
	}
}

// wasAt reports whether the router had the address within the holding time.
func (n *Node) wasAt(a netip.Addr) bool {
	return slices.ContainsFunc(n.former, func(f former) bool {
		return f.nbma == a && n.world.Now()-f.until <= holdTime+late
	})
}

// sent notes who asks to be registered.
func (k *checker) sent(p *process, d *dataplane.Datagram) {
	g := gre(d)
	if g.Protocol != nhrp.EtherType {
		return
	}
	q, err := nhrp.Parse(g.Payload)
	if err != nil {
		k.fail(p.node, "sent a packet that is none: %v", err)
		return
	}
	if q.Type == nhrp.RegistrationRequest {
		k.asked[request{q.Source, d.Destination}] = p.node.world.Now()
	}
}

// gaveUp holds that no packet of a LAN or of the overlay dies of its TTL.
func (k *checker) gaveUp(n *Node, d *dataplane.Datagram, why dataplane.ICMPKind) {
	if why == dataplane.TimeExceeded {
		k.fail(n, "a packet from %v to %v has gone in a loop", d.Source, d.Destination)
	}
}

// ran checks a router when it has handled what came.
func (k *checker) ran(p *process) {
	s := k.of(p)
	s.runs++
	for _, leak := range p.node.world.Leaks {
		k.fail(p.node, "%s", leak)
	}
	p.node.world.Leaks = nil
	if len(p.failed) > 0 {
		k.fail(p.node, "the data plane could not do its work: %v", p.failed)
	}
	if s.dirty {
		k.adjacent(p, s)
		k.loopFree(p, s)
		s.dirty = false
		clear(s.changed)
	}
	if s.nhrp && len(s.adjacencies) < 100 || s.runs%256 == 0 {
		s.nhrp = false
		k.audit(p)
	}
}

// adjacent holds that every route of NHRP's has an adjacency to leave by.
func (k *checker) adjacent(p *process, s *known) {
	for prefix, via := range s.routes {
		if _, ok := s.adjacencies[via]; !ok {
			k.fail(p.node, "route %v goes through %v, which has no adjacency", prefix, via)
		}
	}
}

// loopFree follows the next hops of every route that changed.
func (k *checker) loopFree(p *process, s *known) {
	for prefix := range s.changed {
		if _, ok := s.routes[prefix]; ok {
			k.follow(p.node, prefix.Addr())
		}
	}
}

func (k *checker) follow(from *Node, to netip.Addr) {
	var path []string
	for n := from; n != nil; n = k.next(n, to) {
		if slices.Contains(path, n.Name) {
			k.fail(from, "the way to %v is a loop: %s, %s", to, strings.Join(path, ", "), n.Name)
			return
		}
		path = append(path, n.Name)
	}
}

// next is the router that n sends packets for an address to, through the tunnel; nil when the way ends at n.
func (k *checker) next(n *Node, to netip.Addr) *Node {
	hop, ok := n.fib.to(to)
	if n.local[to] != nil || !ok || n.router == nil {
		return nil
	}
	i := n.router.plane.Interface(hop.Interface)
	if i == nil {
		return nil
	}
	w := i.Lookup(to, 0)
	if w.Adjacency == nil {
		return nil
	}
	return k.routers[w.Adjacency.NextHop]
}

func (k *checker) audit(p *process) {
	armed := func(yield func(*core.Timer) bool) {
		more := true
		p.loop.Timers(func(module string, t *core.Timer) {
			if more && module == nhrp.Name {
				more = yield(t)
			}
		})
	}
	for _, finding := range p.modules.NHRP.Audit(armed) {
		k.fail(p.node, "%s", finding)
	}
}

// late is how long after the holding time a binding may still be there: a request is a while on its way, and a process
// that stood still does first things first.
const late = 3 * time.Second

// fresh holds that a hub's adjacencies are registered ones.
func (k *checker) fresh(p *process) {
	now := p.node.world.Now()
	if !slices.Contains(k.cloud.hubs, p.node) {
		return
	}
	for _, a := range p.plane.Peers("tun0") {
		at, ok := k.asked[request{a.NextHop, p.node.nbma}]
		if !ok || now-at > holdTime+late {
			k.fail(p.node, "%v is bound, and asked for it last at %v", a.NextHop, at)
		}
		k.truthful(p.node, a.NextHop, a.Endpoint)
	}
}

// converged holds that after the trouble everybody is registered everywhere.
func (k *checker) converged() {
	for h, hub := range k.cloud.hubs {
		want := len(k.cloud.spokes)
		if h >= k.cloud.connections() {
			want = 0
		}
		if n := hub.router.modules.NHRP.Size().Clients; n != want {
			k.fail(hub, "%d clients are registered after the trouble, not %d", n, want)
		}
	}
	for _, n := range k.cloud.spokes {
		for _, hub := range k.cloud.hubs[:k.cloud.connections()] {
			if _, ok := k.of(n.router).adjacencies[hub.overlay]; !ok {
				k.fail(n, "%s is not reachable after the trouble", hub.Name)
			}
		}
	}
}

// connections is with how many hubs a spoke registers when all work.
func (c *cloud) connections() int {
	if c.Clusters {
		return 1
	}
	return len(c.hubs)
}

// delivered holds that nothing is lost once there is no trouble.
func (k *checker) delivered(before, after Flows) {
	if lost := after.Sent - before.Sent - (after.Answered - before.Answered); lost != 0 {
		k.fail(k.cloud.hubs[0], "%d of %d packets were lost after the trouble", lost, after.Sent-before.Sent)
	}
}

// idle holds that without traffic there are no shortcuts.
func (k *checker) idle() {
	for _, n := range k.cloud.spokes {
		s := n.router.modules.NHRP.Size()
		if s.Shortcuts+s.Peers > 0 {
			k.fail(n, "%d shortcuts and %d peers are left without traffic", s.Shortcuts, s.Peers)
		}
		if extra := len(k.of(n.router).adjacencies) - k.cloud.connections(); extra != 0 {
			k.fail(n, "%d adjacencies are left without traffic, besides the hubs'", extra)
		}
	}
}

// empty holds that hubs whose clients are gone hold nothing.
func (k *checker) empty() {
	for _, n := range k.cloud.hubs {
		if s := n.router.modules.NHRP.Size(); s != (nhrp.Size{}) {
			k.fail(n, "everybody left, and it holds %+v", s)
		}
		s := k.of(n.router)
		for _, a := range slices.SortedFunc(maps.Keys(s.adjacencies), netip.Addr.Compare) {
			k.fail(n, "everybody left, and %v has an adjacency", a)
		}
		for prefix := range s.routes {
			k.fail(n, "everybody left, and NHRP has a route to %v", prefix)
		}
		for _, sa := range n.router.plane.SAs() {
			k.fail(n, "everybody left, and SA %d is there", sa.SA)
		}
		n.router.loop.Timers(func(module string, t *core.Timer) {
			if module == nhrp.Name || module == protect.IKE {
				k.fail(n, "everybody left, and timer %q is armed", t.Name)
			}
		})
	}
}
