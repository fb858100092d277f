package ospf

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// Name is the module's.
const Name = "ospf"

// Module is all of OSPF on one router: any number of instances of either version.
type Module struct {
	instances map[string]*instance
	order     []*instance // by name
	links     map[string]core.Link
	stored    map[string]string
	listening map[listenKey][]netip.Addr
	clock     sequenceClock
}

type listenKey struct {
	iface string
	ipv6  bool
}

// Configure is the request that gives the module its configuration, whole. What is as before is not touched.
type Configure struct{ Instances []Config }

// Clear is the request that ends adjacencies: of a neighbour by router ID or address, of an interface, or with "" of all.
// They come up again. Count is set to how many there were.
type Clear struct {
	Filter string
	Count  *int
}

// New makes a module without instances.
func New() *Module {
	return &Module{instances: map[string]*instance{}, links: map[string]core.Link{}, stored: map[string]string{}, listening: map[listenKey][]netip.Addr{}}
}

// Name implements [core.Module].
func (m *Module) Name() string { return Name }

// WantsRoutes implements [core.RouteSubscriber].
func (m *Module) WantsRoutes() {}

// owner is what a timer's Of is: the state that armed it.
type owner interface {
	expired(env *core.Env, t *core.Timer)
}

// Handle implements [core.Module].
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Start:
		maps.Copy(m.stored, ev.Stored)
		m.clock.began = env.Now()
		m.clock.floor, _ = strconv.ParseUint(m.stored[sequenceKey], 10, 32)
	case core.Stop:
		for _, inst := range m.sorted() {
			inst.stop(env, ev.Restart)
		}
	case core.Request:
		m.request(env, ev.Body)
	case core.Notice:
		switch body := ev.Body.(type) {
		case liveness.State:
			m.liveness(env, body)
		case liveness.Reached:
			m.reached(env, body)
		}
	case core.Link:
		m.link(env, ev)
	case core.ReceivedIP:
		m.receive(env, ev)
	case core.Expired:
		ev.Timer.Of.(owner).expired(env, ev.Timer)
	case rib.Change:
		for _, inst := range m.sorted() {
			inst.routeChanged(env, ev)
		}
	}
	for _, inst := range m.sorted() {
		inst.settle(env)
	}
}

func (m *Module) request(env *core.Env, body any) {
	switch body := body.(type) {
	case Configure:
		m.configure(env, body)
	case Clear:
		m.clear(env, body)
	}
}

func (m *Module) configure(env *core.Env, c Configure) {
	wanted := map[string]*Config{}
	for _, cfg := range c.Instances {
		wanted[cfg.Name] = cfg.complete()
	}
	for _, inst := range m.sorted() {
		cfg := wanted[inst.cfg.Name]
		if cfg == nil || inst.mustRestart(cfg) {
			inst.leave(env, "removed from the configuration, or begun anew")
			delete(m.instances, inst.cfg.Name)
		}
	}
	m.sort()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		inst := m.instances[name]
		if inst == nil {
			inst = newInstance(m, wanted[name])
			m.instances[name] = inst
			m.sort()
			inst.start(env)
		}
		inst.configure(env, wanted[name])
	}
}

func (m *Module) clear(env *core.Env, c Clear) {
	for _, inst := range m.sorted() {
		for _, n := range inst.neighbors() {
			if c.Filter == "" || c.Filter == n.i.name() || c.Filter == n.router.String() || c.Filter == n.address.String() {
				n.kill(env, "cleared")
				*c.Count++
			}
		}
	}
}

func (m *Module) link(env *core.Env, l core.Link) {
	old := m.links[l.Name]
	if l.Gone && old.Index != l.Index {
		return // unknown, or a namesake has taken its place already
	}
	if m.links[l.Name] = l; l.Gone {
		delete(m.links, l.Name)
	}
	for _, inst := range m.sorted() {
		for _, i := range inst.interfaces() {
			if i.name() == l.Name {
				i.link(env, l)
			}
		}
		inst.identify(env)
	}
}

// receive gives a packet to the instances of its family that are on the interface.
func (m *Module) receive(env *core.Env, ev core.ReceivedIP) {
	if ev.Protocol != wire.Protocol {
		return
	}
	for _, inst := range m.sorted() {
		if (inst.version() == wire.V2) != ev.Source.Is4() {
			continue
		}
		if i := inst.find(ev.Interface); i != nil {
			i.receive(env, ev)
		}
	}
}

func (m *Module) liveness(env *core.Env, s liveness.State) {
	inst := m.instances[s.For]
	if inst == nil {
		return
	}
	for _, n := range inst.neighbors() {
		if n.watching && n.watched == s.Target {
			n.liveness(env, s)
		}
	}
}

// reached has a peer greeted that multicast has begun to get to.
func (m *Module) reached(env *core.Env, r liveness.Reached) {
	for _, inst := range m.sorted() {
		if i := inst.find(r.Interface); i != nil && i.state.talks() {
			i.reached(env, r.Peer)
		}
	}
}

// listen joins the groups that any instance wants on an interface.
func (m *Module) listen(env *core.Env, name string, ipv6 bool) {
	var groups []netip.Addr
	for _, inst := range m.sorted() {
		for _, i := range inst.interfaces() {
			if i.name() != name || (inst.version() != wire.V2) != ipv6 {
				continue
			}
			for _, g := range i.groups {
				if !slices.Contains(groups, g) {
					groups = append(groups, g)
				}
			}
		}
	}
	key := listenKey{name, ipv6}
	if !slices.Equal(groups, m.listening[key]) {
		m.listening[key] = groups
		env.Emit(core.Listen{Module: Name, Interface: name, Protocol: wire.Protocol, IPv6: ipv6, Groups: groups})
	}
}

// sorted is the instances in order of name, so that one seed gives one trace.
func (m *Module) sorted() []*instance { return m.order }

func (m *Module) sort() {
	m.order = slices.SortedFunc(maps.Values(m.instances), func(a, b *instance) int { return strings.Compare(a.cfg.Name, b.cfg.Name) })
}

// Recover ends the adjacency that an event belongs to, after the handling of it failed: the router stays.
func (m *Module) Recover(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.ReceivedIP:
		for _, inst := range m.sorted() {
			for _, n := range inst.neighbors() {
				if n.i.name() == ev.Interface && n.address == ev.Source {
					n.kill(env, "the handling of its packet failed")
				}
			}
		}
	case core.Expired:
		if n, ok := ev.Timer.Of.(*neighbor); ok {
			n.kill(env, "the handling of its timer failed")
		}
	}
	for _, inst := range m.sorted() {
		inst.settle(env)
	}
}
