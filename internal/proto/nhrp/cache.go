package nhrp

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// binding is what we know of one protocol address, from up to three sources. It lives while one of them does.
type binding struct {
	t        *tunnel
	protocol netip.Addr
	server   *registration // we are registered there
	client   *client       // it is registered here
	peer     *peer         // we resolved it
	cuts     []*shortcut   // that go through it

	since     time.Duration // when it got its adjacency
	adjacency dataplane.SetAdjacency
	installed bool
	routed    bool
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

// endpoint prefers what the router there told us itself.
func (b *binding) endpoint() dataplane.Endpoint {
	switch {
	case b.server != nil:
		return b.server.hub.endpoint()
	case b.client != nil:
		return b.client.endpoint
	case b.peer != nil:
		return b.peer.endpoint
	}
	return dataplane.Endpoint{}
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

// settle makes the data plane and the RIB agree with what is known, and ends a binding of which nothing is.
func (b *binding) settle(env *core.Env) {
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
		Tunnel: t.name(), NextHop: b.protocol, Endpoint: b.endpoint(), SA: t.saOf(b.endpoint()),
		Multicast: b.server != nil || b.client != nil && t.cfg.Multicast,
	}
	if !b.installed {
		b.since = env.Now()
	}
	if !b.installed || b.adjacency != want {
		b.leavePlace()
		b.adjacency, b.installed = want, true
		t.at[want.Endpoint]++
		env.Emit(want)
	}
	b.route(env)
}

// leavePlace counts the adjacency out of its endpoint.
func (b *binding) leavePlace() {
	if !b.installed {
		return
	}
	e := b.adjacency.Endpoint
	if b.t.at[e]--; b.t.at[e] <= 0 {
		delete(b.t.at, e)
	}
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
		b.leavePlace()
		env.Emit(dataplane.DeleteAdjacency{Tunnel: b.t.name(), NextHop: b.protocol})
		b.installed = false
	}
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

// forget drops what was learned from an endpoint.
func (t *tunnel) forget(env *core.Env, from dataplane.Endpoint) {
	for _, b := range t.sortedBindings() {
		if b.server == nil && b.endpoint() == from {
			b.forget(env)
		}
	}
}

// client is a router that registered with us.
type client struct {
	b        *binding
	endpoint dataplane.Endpoint // where its packets come from
	claimed  netip.Addr         // where it says it is
	unique   bool
	id       uint32 // of the registration request
	since    time.Duration
	expires  core.Timer
}

// expired: the holding time is over.
func (c *client) expired(env *core.Env, _ *core.Timer) {
	c.b.t.log(env, core.Info, "client-expired", "peer", c.endpoint, "protocol", c.b.protocol)
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

func (c *client) natted() bool { return c.endpoint.Addr() != c.claimed }

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func sortedLookups(m map[netip.Addr]*lookup) []*lookup {
	return slices.SortedFunc(maps.Values(m), func(a, b *lookup) int { return cmp.Compare(a.id, b.id) })
}
