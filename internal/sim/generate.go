package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/scenario"
)

// Options say what is generated and what goes wrong in it.
type Options struct {
	Seed       uint64
	Hubs       int           // default 2
	Spokes     int           // default 40
	Duration   time.Duration // of the trouble; default 5 minutes. What follows until all is quiet comes on top
	Loss       float64       // chances, per datagram and link
	Reorder    float64
	Duplicate  float64
	Partitions int           // times that a random part of the spokes is cut off
	ClockSteps int           // times that a router's wall clock jumps; nothing may come of it
	Freezes    int           // times that a router's process stands still for a while
	Restarts   int           // times that a spoke is killed or stopped, and started again
	Flaps      int           // times that a spoke's underlay interface goes down for a while
	Clears     int           // times that an operator clears what a router has learned
	Moves      int           // times that a spoke's underlay address changes
	HubLoss    bool          // the first hub is killed half way, and comes back
	Phase2     bool          // spokes resolve next hops instead of following redirects
	IPv6       bool          // underlay
	Names      bool          // the hubs are known by DNS names; one that was lost comes back with another address
	Clusters   bool          // spokes register with one hub at a time, the first that works
	HostMask   bool          // tunnel addresses have no prefix, so that every peer needs a route
	NAT        bool          // every third pair of spokes is behind an address translator; GRE is in UDP, unless it is protected
	Protect    bool          // IKE and ESP, with lifetimes so short that all keys change many times
	OSPF       bool          // in the place of static routes
	FloodOwn   bool          // OSPF tells spokes of the hubs alone: they have a default route by each
	BFD        time.Duration // between packets, three of which may be missed; 0: none
}

func (o *Options) fill() {
	if o.Hubs == 0 {
		o.Hubs = 2
	}
	if o.Spokes == 0 {
		o.Spokes = 40
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Minute
	}
}

// holdTime is short, so that much happens in a run.
const holdTime = 60 * time.Second

// cloud is a generated world: hubs and spokes on one provider network, a LAN behind each spoke.
type cloud struct {
	Options
	world    *World
	internet *Network
	hubs     []*Node
	spokes   []*Node
	chance   *rand.Rand // of the story
	flows    Flows
}

// generate makes the world, its routers still to be started.
func generate(o Options) *cloud {
	o.fill()
	w := NewWorld(o.Seed)
	c := &cloud{Options: o, world: w, internet: w.addNetwork("internet"), chance: w.chance("story")}
	link := Link{Link: scenario.Link{Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: o.Loss, Duplicate: o.Duplicate}, Reorder: o.Reorder}
	for k := range o.Hubs {
		c.hubs = append(c.hubs, c.router(fmt.Sprintf("hub%d", k+1), link, c.underlay(k+1), c.hubConfig(k)))
	}
	for k := range o.Spokes {
		n := c.spoke(k, link)
		n.attach("lan0", w.addNetwork("lan of "+n.Name), Link{}, netip.PrefixFrom(lanHost(k), 24))
		c.spokes = append(c.spokes, n)
	}
	return c
}

func (c *cloud) router(name string, link Link, underlay netip.Addr, cfg *conf.Config) *Node {
	n := c.world.addNode(name)
	n.attach("eth0", c.internet, link, site(underlay))
	n.run(cfg)
	n.overlay, n.nbma = cfg.Tunnels[0].Addresses[0].Addr(), underlay
	if c.Names {
		c.world.Names[name] = Name{Addrs: []netip.Addr{underlay}, TTL: nameTTL}
	}
	return n
}

// nameTTL is how long a hub's address may be kept.
const nameTTL = 30 * time.Second

// site is an address with the mask of the provider network, a /8 or a /32 of IPv6: all are neighbours.
func site(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()/4) }

func (c *cloud) spoke(k int, link Link) *Node {
	name, cfg, address := fmt.Sprintf("spoke%d", k+1), c.spokeConfig(k), c.underlay(256+k)
	if !c.hidden(k) {
		return c.router(name, link, address, cfg)
	}
	box := c.translator(k/2, link)
	inside := netip.AddrFrom4([4]byte{100, 64, byte(k >> 8), byte(k)})
	n := c.world.addNode(name)
	n.attach("eth0", box.byName["inside"].net, Link{}, netip.PrefixFrom(inside, 10))
	n.addRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), boxInside, 0)
	n.run(cfg)
	n.overlay, n.nbma = cfg.Tunnels[0].Addresses[0].Addr(), box.nbma
	return n
}

// hidden reports whether a spoke is behind an address translator, together with its neighbour.
func (c *cloud) hidden(k int) bool { return c.NAT && k/2%3 == 0 }

// boxInside is the address of every translator inside.
var boxInside = netip.AddrFrom4([4]byte{100, 127, 255, 254})

// translator makes the k-th address translator, or finds it.
func (c *cloud) translator(k int, link Link) *Node {
	name := fmt.Sprintf("nat%d", k+1)
	if n := c.world.byName[name]; n != nil {
		return n
	}
	n := c.world.addNode(name)
	n.nat, n.forwarding, n.nbma = newNAT(n), true, c.underlay(1<<15+k)
	n.attach("outside", c.internet, link, site(n.nbma)).nat = true
	n.attach("inside", c.world.addNetwork("inside of "+name), Link{}, netip.PrefixFrom(boxInside, 10))
	return n
}

// underlay is the k-th address of the provider network, 10.0.0.0/8 or 2001:db8::/32.
func (c *cloud) underlay(k int) netip.Addr {
	if c.IPv6 {
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(k >> 8), 15: byte(k)})
	}
	return netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})
}

func overlay(k int) netip.Addr        { return netip.AddrFrom4([4]byte{172, 16, byte(k >> 8), byte(k)}) }
func overlayOfSpoke(k int) netip.Addr { return overlay(256 + k) }
func lanHost(k int) netip.Addr        { return netip.AddrFrom4([4]byte{192, byte(168 + k>>8), byte(k), 1}) }
func lanOf(k int) netip.Prefix        { return netip.PrefixFrom(lanHost(k), 24).Masked() }

func (c *cloud) tunnel(address netip.Addr, n *nhrp.Config) conf.Tunnel {
	n.Tunnel, n.NetworkID, n.Authentication, n.HoldTime = "tun0", 1, "simulate", holdTime
	n.Unique, n.Fallback, n.Rate = true, 10*time.Second, nhrp.DefaultRate
	mask := 16
	if c.HostMask {
		mask = 32
	}
	t := conf.Tunnel{
		Encapsulation: dataplane.GRE, Name: "tun0", UnderlayInterface: "eth0", UnderlayIPv6: c.IPv6, Addresses: []netip.Prefix{netip.PrefixFrom(address, mask)},
		Key: dataplane.Key{Value: 42, Set: true}, MTU: 1400, TTL: conf.DefaultTTL, NHRP: n,
	}
	switch {
	case c.Protect:
		t.Encapsulation, t.Protect, t.Wrap, n.Profile = dataplane.ESP, profileName, 80, profileName
	case c.NAT:
		t.Encapsulation = dataplane.GREUDP
	}
	return t
}

// hubConfig knows every spoke's LAN, and registers with the hubs before it, so that each hub reaches all spokes.
func (c *cloud) hubConfig(k int) *conf.Config {
	n := &nhrp.Config{Redirect: !c.Phase2, Multicast: true, Shortcut: true}
	if c.Phase2 {
		n.Resolution = nhrp.Answer
	}
	cfg := &conf.Config{Version: 1, Node: fmt.Sprintf("hub%d", k+1), Forwarding: true, Tunnels: []conf.Tunnel{c.tunnel(overlay(k+1), n)}}
	for s := range c.Spokes {
		cfg.Routes = append(cfg.Routes, conf.Route{To: lanOf(s), Via: overlayOfSpoke(s)})
	}
	c.protect(cfg)
	c.route(cfg, true)
	return cfg
}

func (c *cloud) spokeConfig(k int) *conf.Config {
	n := &nhrp.Config{Shortcut: true}
	for h := range c.Hubs {
		server := nhrp.Server{NBMA: c.underlay(h + 1).String(), Priority: uint8(h)}
		if c.Names {
			server.NBMA = fmt.Sprintf("hub%d", h+1)
		}
		n.Servers = append(n.Servers, server)
	}
	if c.Clusters {
		n.Clusters = map[string]nhrp.Cluster{"": {MaxConnections: 1}}
	}
	cfg := &conf.Config{Version: 1, Node: fmt.Sprintf("spoke%d", k+1), Forwarding: true, Tunnels: []conf.Tunnel{c.tunnel(overlayOfSpoke(k), n)}}
	cfg.Routes = []conf.Route{{To: netip.MustParsePrefix("192.0.0.0/8"), Via: overlay(1)}}
	c.protect(cfg)
	if c.Phase2 {
		cfg.Routes = nil
		for s := range c.Spokes {
			if s != k {
				cfg.Routes = append(cfg.Routes, conf.Route{To: lanOf(s), Via: overlayOfSpoke(s)})
			}
		}
	}
	c.route(cfg, false)
	return cfg
}
