package nhrp

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// world is a few routers whose packets reach each other at once, unless something is in the way.
type world struct {
	t       *testing.T
	now     time.Duration
	routers []*router
	flying  []flight
	blocked func(from, to netip.Addr) bool
	seen    []flight // every packet that was sent
	tunnels []*testSA
	quiet   bool                      // an SA that is not there is no error
	refusal string                    // what IKE says when it cannot
	allowed map[string][]netip.Prefix // what identities may claim
}

type flight struct {
	from, to netip.Addr
	sa       dataplane.SA // of the sender
	payload  []byte
}

func (f flight) packet(t *testing.T) Packet {
	t.Helper()
	p, err := Parse(f.payload)
	if err != nil {
		t.Fatalf("a packet of ours does not parse: %v", err)
	}
	return p
}

// router is one module on a loop, with its tunnel up at a NBMA address.
type router struct {
	w       *world
	nbma    netip.Addr
	public  netip.Addr // where others see it
	loop    *core.Loop
	module  *Module
	effects []core.Effect
	stored  map[string]string

	protected bool
	identity  string
	asked     []string // of IKE, in words
	sas       dataplane.SA
}

func newWorld(t *testing.T) *world {
	return &world{t: t, now: time.Second, blocked: func(_, _ netip.Addr) bool { return false }}
}

// Do implements core.Edge.
func (r *router) Do(e core.Effect) {
	r.effects = append(r.effects, e)
	switch e := e.(type) {
	case dataplane.Send:
		if r.protected && !r.w.quiet && r.w.sa(r, e.SA) == nil {
			r.w.t.Errorf("%v sends to %v by SA %d, which it does not have", r.nbma, e.To, e.SA)
		}
		f := flight{r.nbma, e.To.Addr(), e.SA, e.Payload}
		r.w.seen = append(r.w.seen, f)
		r.w.flying = append(r.w.flying, f)
	case core.Store:
		r.stored[e.Key] = e.Value
	}
}

const (
	testTunnel  = "tun0"
	testProfile = "test"
)

func (w *world) add(nbma, address string, cfg Config) *router {
	r := &router{w: w, nbma: netip.MustParseAddr(nbma), stored: map[string]string{}}
	r.public = r.nbma
	w.routers = append(w.routers, r)
	r.start(address, cfg)
	return r
}

func (r *router) start(address string, cfg Config) {
	cfg.Tunnel, cfg.NetworkID = testTunnel, 1
	if r.protected {
		cfg.Profile = testProfile
	}
	if cfg.HoldTime == 0 {
		cfg.HoldTime = 300 * time.Second
	}
	r.module = New()
	r.loop = core.NewLoop(r.w.now, rand.New(rand.NewPCG(1, uint64(r.nbma.As4()[3]))), r)
	r.loop.Add(r.module, core.Start{Stored: r.stored})
	r.loop.Add(&testIKE{r}, core.Start{})
	r.loop.Post(Name, core.Request{Body: Configure{Tunnels: []*Config{&cfg}}})
	r.linkUp(address)
	prefix := netip.MustParsePrefix(address)
	r.loop.RIB().Set(rib.Route{Prefix: prefix.Masked(), Protocol: rib.Connected, NextHops: []rib.NextHop{{Interface: testTunnel}}})
	r.w.run(0)
}

func (r *router) linkUp(address string) {
	r.loop.Post(Name, core.Notice{From: "tunnel", Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{
		Name: testTunnel, Cloud: 1, Local: r.nbma, MTU: 1400, Protected: r.protected, Addresses: []netip.Prefix{netip.MustParsePrefix(address)},
	}}})
}

// route sets a static route, or a connected one without via.
func (r *router) route(prefix, via, iface string) {
	protocol := rib.Static
	if via == "" {
		protocol = rib.Connected
	}
	r.routeOf(protocol, prefix, via, iface)
}

func (r *router) routeOf(protocol rib.Protocol, prefix, via, iface string) {
	a, _ := netip.ParseAddr(via)
	c, _ := r.loop.RIB().Set(rib.Route{
		Prefix: netip.MustParsePrefix(prefix), Protocol: protocol, Distance: protocol.Distance(),
		NextHops: []rib.NextHop{{Via: a, Interface: iface}},
	})
	r.loop.Post(Name, c)
	r.w.run(0)
}

func (r *router) unroute(prefix string) {
	p := netip.MustParsePrefix(prefix)
	for _, protocol := range []rib.Protocol{rib.Static, rib.Connected} {
		if c, ok := r.loop.RIB().Delete(rib.Key{Prefix: p, Protocol: protocol}); ok {
			r.loop.Post(Name, c)
		}
	}
	r.w.run(0)
}

// post gives the module an event and lets the world settle.
func (r *router) post(ev core.Event) {
	r.loop.Post(Name, ev)
	r.w.run(0)
}

// run lets d pass: timers expire one by one, packets arrive at once.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for {
		w.settle()
		next := end + 1
		for _, r := range w.routers {
			if at, ok := r.loop.Next(); ok {
				next = min(next, at)
			}
		}
		if next > end {
			w.now = end
			w.settle()
			return
		}
		w.now = max(w.now, next)
	}
}

func (w *world) settle() {
	for _, r := range w.routers {
		r.loop.Run(w.now)
	}
	for len(w.flying) > 0 {
		f := w.flying[0]
		w.flying = w.flying[1:]
		w.deliver(f)
		for _, r := range w.routers {
			r.loop.Run(w.now)
		}
	}
}

func (w *world) deliver(f flight) {
	if w.blocked(f.from, f.to) {
		return
	}
	if f.sa != 0 {
		w.deliverBySA(f)
		return
	}
	for _, r := range w.routers {
		if r.public == f.to {
			from := f.from
			for _, s := range w.routers {
				if s.nbma == f.from {
					from = s.public
				}
			}
			r.loop.Post(Name, dataplane.Received{Tunnel: testTunnel, From: netip.AddrPortFrom(from, 0), Protocol: EtherType, Payload: f.payload})
		}
	}
}

// sent is the packets of a type that a router sent, since mark.
func (w *world) sent(r *router, typ Type) []Packet {
	var list []Packet
	for _, f := range w.seen {
		if p := f.packet(w.t); f.from == r.nbma && p.Type == typ {
			list = append(list, p)
		}
	}
	return list
}

func (w *world) mark() { w.seen = nil }

func (r *router) row(protocol string) CacheRow {
	for _, row := range r.module.Cache(r.w.now) {
		if row.Protocol.String() == protocol {
			return row
		}
	}
	return CacheRow{}
}

func (r *router) peer(protocol string) PeerRow {
	for _, row := range r.module.Peers(r.w.now) {
		if row.Protocol.String() == protocol {
			return row
		}
	}
	return PeerRow{}
}

func (r *router) shortcut(prefix string) ShortcutRow {
	for _, row := range r.module.Shortcuts(r.w.now) {
		if row.Prefix.String() == prefix {
			return row
		}
	}
	return ShortcutRow{}
}

func (r *router) counter(name string) uint64 { return r.module.Counters()[testTunnel][name] }

// adjacency is what the data plane was told last of a next hop.
func (r *router) adjacency(nextHop string) (string, bool) {
	for _, e := range slices.Backward(r.effects) {
		switch e := e.(type) {
		case dataplane.SetAdjacency:
			if e.NextHop.String() == nextHop {
				return e.Endpoint.Addr().String(), true
			}
		case dataplane.DeleteAdjacency:
			if e.NextHop.String() == nextHop {
				return "", false
			}
		}
	}
	return "", false
}

// used answers the questions whether a shortcut is used, as a data plane would.
func (r *router) used(yes bool) {
	asked := r.effects
	r.effects = nil
	for _, e := range asked {
		if q, ok := e.(dataplane.AskUsed); ok {
			r.post(dataplane.Used{VRF: q.VRF, Prefix: q.Prefix, Tunnel: q.Tunnel, NextHop: q.NextHop, Used: yes})
		} else {
			r.effects = append(r.effects, e)
		}
	}
}

// pass lets d pass in steps, answering that shortcuts are used, or not.
func (w *world) pass(d time.Duration, used bool) {
	for end := w.now + d; w.now < end; {
		w.run(min(time.Second, end-w.now))
		for _, r := range w.routers {
			r.used(used)
		}
	}
}

var spokeConfig = Config{Servers: []Server{{NBMA: "10.0.0.1"}}, Shortcut: true, Authentication: "secret"}
var hubConfig = Config{Redirect: true, Multicast: true, Authentication: "secret"}

// cloud is a hub and two spokes with LANs, registered, phase 3.
func cloud(t *testing.T) (w *world, hub, spoke1, spoke2 *router) {
	w = newWorld(t)
	hub = w.add("10.0.0.1", "10.100.0.1/24", hubConfig)
	spoke1 = w.add("10.0.0.11", "10.100.0.11/24", spokeConfig)
	spoke2 = w.add("10.0.0.12", "10.100.0.12/24", spokeConfig)
	hub.route("192.168.11.0/24", "10.100.0.11", testTunnel)
	hub.route("192.168.12.0/24", "10.100.0.12", testTunnel)
	for _, s := range []*router{spoke1, spoke2} {
		s.route("192.168.0.0/16", "10.100.0.1", testTunnel)
	}
	spoke1.route("192.168.11.0/24", "", "eth1")
	spoke2.route("192.168.12.0/24", "", "eth1")
	return w, hub, spoke1, spoke2
}

// transit is a packet from LAN to LAN that the hub forwarded.
func (r *router) transit(from, src, dst string) {
	r.post(dataplane.Transit{Tunnel: testTunnel, From: netip.AddrPortFrom(netip.MustParseAddr(from), 0), Packet: ipv4(src, dst)})
}

func ipv4(src, dst string) []byte {
	b := make([]byte, 28)
	b[0], b[3], b[8], b[9] = 0x45, 28, 64, 17
	s, d := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	return b
}
