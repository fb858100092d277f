package nhrp

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/rib"
)

// binding is what we know of one protocol address, from up to three sources. It lives while one of them does.
type binding struct {
	t        *tunnel
	protocol netip.Addr
	server   *registration      // we are registered there
	client   *client            // it is registered here
	peer     *peer              // we resolved it
	cuts     []*shortcut        // that go through it
	was      dataplane.Endpoint // of the peer that is gone: what went through it ends after it

	since     time.Duration // when it got its adjacency
	adjacency dataplane.SetAdjacency
	installed bool
	routed    bool
	filed     [3]place // where it is listed
	watched   liveness.Watch
}

// bind finds the binding of a protocol address or makes one. A binding made must be given a source and settled.
func (t *tunnel) bind(protocol netip.Addr) *binding {
	b := t.bindings[protocol]
	if b == nil {
		b = &binding{t: t, protocol: protocol}
		t.bindings[protocol] = b
	}
	return b
}

// unbind forgets the binding. The last of many takes the map along, which would stay as large as it ever was.
func (t *tunnel) unbind(protocol netip.Addr) {
	if delete(t.bindings, protocol); len(t.bindings) == 0 {
		t.bindings = map[netip.Addr]*binding{}
	}
}

func (t *tunnel) sortedBindings() []*binding {
	return slices.SortedFunc(maps.Values(t.bindings), func(a, b *binding) int { return a.protocol.Compare(b.protocol) })
}

// live reports whether packets can go there.
func (b *binding) live() bool {
	return b.server != nil || b.client != nil || b.peer != nil && b.peer.up
}

// place prefers what the router there told us itself.
func (b *binding) place() place {
	switch {
	case b.server != nil:
		return b.server.hub.place()
	case b.client != nil:
		return b.client.place
	case b.peer != nil:
		return b.peer.place
	}
	return place{}
}

// endpoint is where the router is, or is looked for; where it was when nothing is known any more.
func (b *binding) endpoint() dataplane.Endpoint {
	switch {
	case b.server != nil || b.client != nil:
		return b.t.where(b.place())
	case b.peer != nil:
		return b.peer.endpoint()
	}
	return b.was
}

func (b *binding) claimed() netip.Addr {
	switch {
	case b.server != nil:
		return b.server.hub.nbma
	case b.client != nil:
		return b.client.claimed
	case b.peer != nil:
		return b.peer.claimed
	}
	return netip.Addr{}
}

// sources are the places of all that is known, of what is hidden under something better too.
func (b *binding) sources() (at [3]place) {
	if b.server != nil {
		at[0] = b.server.hub.place()
	}
	if b.client != nil {
		at[1] = b.client.place
	}
	if b.peer != nil && b.peer.up {
		at[2] = b.peer.place
	}
	return at
}

// file lists the binding under every place that something of it hangs on.
func (b *binding) file() {
	now := b.sources()
	if now == b.filed {
		return
	}
	for _, p := range b.filed {
		rest := slices.DeleteFunc(b.t.at[p], func(o *binding) bool { return o == b })
		if b.t.at[p] = rest; len(rest) == 0 {
			delete(b.t.at, p)
		}
	}
	for _, p := range now {
		if p != (place{}) && !slices.Contains(b.t.at[p], b) {
			b.t.at[p] = append(b.t.at[p], b)
		}
	}
	b.filed = now
}

// settle makes the data plane and the RIB agree with what is known, and ends a binding of which nothing is.
func (b *binding) settle(env *core.Env) {
	b.file()
	if !b.live() {
		b.withdraw(env)
		b.t.losePath(env, b)
	} else {
		b.install(env)
	}
	if b.server == nil && b.client == nil && b.peer == nil {
		b.t.unbind(b.protocol)
	}
}

func (b *binding) install(env *core.Env) {
	t := b.t
	want := dataplane.SetAdjacency{
		Tunnel: t.name(), NextHop: b.protocol, Endpoint: b.endpoint(), SA: b.place().sa,
		Multicast: b.server != nil || b.client != nil && t.cfg.Multicast,
	}
	if t.link.Protected { // whoever was resolved by a hub may still be heard by way of another; a spoke's hubs are its servers
		want.Forwards, want.Bound = b.server != nil, b.server != nil || b.client != nil || t.isSpoke()
	}
	if !b.installed {
		b.since = env.Now()
	}
	if !b.installed || b.adjacency != want {
		reached := b.server != nil && (!b.installed || !b.adjacency.Multicast) // a client hears the same of us, and speaks first
		b.adjacency, b.installed = want, true
		env.Emit(want)
		if reached {
			env.Publish(liveness.Reached{Interface: t.name(), Peer: b.protocol})
		}
	}
	b.route(env)
	b.watch(env)
}

// route gives the kernel a host route where the tunnel's own prefix does not reach the peer.
func (b *binding) route(env *core.Env) {
	want := !b.t.onLink(b.protocol)
	switch {
	case want && !b.routed:
		env.Route(rib.Route{
			VRF: b.t.link.VRF, Prefix: host(b.protocol), Protocol: rib.NHRP, Source: b.t.name(),
			Distance: rib.NHRP.Distance(), NextHops: []rib.NextHop{{Interface: b.t.name()}},
		})
	case !want && b.routed:
		env.Unroute(b.routeKey())
	}
	b.routed = want
}

func (b *binding) routeKey() rib.Key {
	return rib.Key{VRF: b.t.link.VRF, Prefix: host(b.protocol), Protocol: rib.NHRP, Source: b.t.name()}
}

func (b *binding) withdraw(env *core.Env) {
	if b.routed {
		env.Unroute(b.routeKey())
		b.routed = false
	}
	if b.installed {
		env.Emit(dataplane.DeleteAdjacency{Tunnel: b.t.name(), NextHop: b.protocol})
		b.installed = false
	}
	b.unwatch(env)
}

// forget drops whatever is known, but for a registration of ours, which has a life of its own.
func (b *binding) forget(env *core.Env) {
	if b.client != nil {
		b.client.drop(env)
	}
	if b.peer != nil {
		b.peer.drop(env, "")
	}
}

// forget drops what was learned from a place.
func (t *tunnel) forget(env *core.Env, from place) {
	for _, b := range t.sortedBindings() {
		if b.server == nil && b.place() == from {
			b.forget(env)
		}
	}
}

// client is a router that registered with us.
type client struct {
	b        *binding
	place    place      // where its packets come from
	identity string     // that registered it, on a protected tunnel
	claimed  netip.Addr // where it says it is
	unique   bool
	id       uint32 // of the registration request
	since    time.Duration
	expires  core.Timer
}

// expired: the holding time is over.
func (c *client) expired(env *core.Env, _ *core.Timer) {
	c.b.t.log(env, core.Info, "client-expired", "peer", c.endpoint(), "protocol", c.b.protocol)
	c.drop(env)
}

func (c *client) drop(env *core.Env) {
	env.Stop(&c.expires)
	t, b := c.b.t, c.b
	b.client = nil
	t.clients--
	b.settle(env)
	t.withdrawAnswersOf(env, b.protocol)
}

func (c *client) endpoint() dataplane.Endpoint { return c.b.t.where(c.place) }

func (c *client) natted() bool { return c.endpoint().Addr() != c.claimed }

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func sortedLookups(m map[netip.Addr]*lookup) []*lookup {
	return slices.SortedFunc(maps.Values(m), func(a, b *lookup) int { return cmp.Compare(a.id, b.id) })
}
