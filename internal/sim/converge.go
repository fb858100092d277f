package sim

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// Convergence is how long a generated cloud with a routing protocol needs, in virtual time, until every router's kernel
// leads to every LAN by every hub there is.
type Convergence struct {
	Cold      time.Duration // since the start of the hubs; the spokes start within two seconds after them
	Lost      time.Duration // since the first hub was killed
	Back      time.Duration // since it was started again
	Simulated time.Duration
	Events    int // that modules handled
	Digest    uint64
}

// Limits of [Converge], far beyond what is expected.
const (
	convergeLimit = 10 * time.Minute
	convergeCheck = 50 * time.Millisecond
)

// Converge starts a cloud with OSPF, kills its first hub and starts it again, each when all have converged. Told is called
// when a stage is done.
func Converge(o Options, told func(stage string, took time.Duration)) (r Convergence, err error) {
	o.OSPF = true
	c := generate(o)
	if r.Cold, err = c.stage("cold start", c.boot, told); err != nil {
		return r, err
	}
	if r.Lost, err = c.stage("hub lost", func() { c.hubs[0].kill() }, told); err != nil {
		return r, err
	}
	if r.Back, err = c.stage("hub back", func() { c.start(c.hubs[0]) }, told); err != nil {
		return r, err
	}
	r.Simulated, r.Events, r.Digest = c.world.Now(), c.world.events, c.world.Trace.Digest()
	return r, nil
}

func (c *cloud) stage(name string, begin func(), told func(string, time.Duration)) (time.Duration, error) {
	from := c.world.Now()
	begin()
	at := 0 // the first router of which it is not known: those before it were looked at already
	for c.world.Now() < from+convergeLimit {
		if at = c.firstAstray(at); at < 0 {
			if at = c.firstAstray(0); at < 0 {
				took := c.world.Now() - from
				told(name, took)
				return took, nil
			}
		}
		c.run(convergeCheck)
	}
	return 0, fmt.Errorf("%s: not converged after %v: %s", name, convergeLimit, c.astray(c.routers()[at]))
}

func (c *cloud) routers() []*Node { return append(c.hubs[:len(c.hubs):len(c.hubs)], c.spokes...) }

// firstAstray is the first router from a number on that does not lead everywhere; -1 when all do.
func (c *cloud) firstAstray(from int) int {
	all := c.routers()
	for k := from; k < len(all); k++ {
		if all[k].router != nil && c.astray(all[k]) != "" {
			return k
		}
	}
	return -1
}

// astray says which LAN a router has no complete way to; "" when there is none.
func (c *cloud) astray(n *Node) string {
	var hubs []netip.Addr
	isHub := false
	for _, h := range c.hubs {
		isHub = isHub || h == n
		if h.router != nil {
			hubs = append(hubs, h.overlay)
		}
	}
	for k, spoke := range c.spokes {
		want := hubs
		switch {
		case spoke == n:
			continue
		case isHub:
			want = []netip.Addr{spoke.overlay}
		}
		if got := n.ways(lanHost(k)); !equal(got, want) {
			return fmt.Sprintf("%s leads to %v by %v, not %v", n.Name, lanOf(k), got, want)
		}
	}
	return ""
}

// ways are the next hops of a node's kernel for an address.
func (n *Node) ways(a netip.Addr) (via []netip.Addr) {
	routes, ok := n.fib.table.Lookup(a)
	if !ok {
		return nil
	}
	for _, h := range routes[0].NextHops {
		via = append(via, h.Via)
	}
	return via
}

// equal compares sets of a few addresses.
func equal(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		found := false
		for _, y := range b {
			found = found || x == y
		}
		if !found {
			return false
		}
	}
	return true
}

// routing is OSPF on all routers of a cloud: the LANs are told of, and the tunnels are one point-to-multipoint network.
const routing = `
version: 1
node: %s
tunnels: {tun0: {underlay: eth0, address: 172.16.0.1/16}}
ospf:
  router-id: %s
  areas: {0: {interfaces: {tun0: {%s}%s}}}
  %s
`

// route gives a router OSPF, and BFD on the tunnel, in the place of static routes.
func (c *cloud) route(cfg *conf.Config, hub bool) {
	if !c.OSPF {
		return
	}
	tunnel, lan, more := "", ", lan0: {passive: true}", ""
	if hub {
		lan = ""
	}
	if hub && c.FloodOwn {
		tunnel, more = "flood: own", "default-route: {always: true}"
	}
	read, _, err := conf.Parse("cloud.yaml", fmt.Appendf(nil, routing, cfg.Node, cfg.Tunnels[0].Addresses[0].Addr(), tunnel, lan, more))
	if err != nil {
		panic(err) // of the text above
	}
	cfg.OSPF, cfg.Routes = read.OSPF, nil
	if c.BFD > 0 {
		cfg.Tunnels[0].BFD = &bfd.Parameters{Interval: c.BFD, Multiplier: bfd.DefaultMultiplier}
	}
}
