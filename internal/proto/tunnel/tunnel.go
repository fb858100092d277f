// Package tunnel is the module that brings tunnels up: it binds each to its underlay.
//
// A tunnel names an underlay interface or an underlay address. This module follows the interfaces of the host,
// chooses the local underlay address, measures the overlay MTU, tells the data plane ([dataplane.SetTunnel]) and
// the edge ([core.SetInterface]), and publishes [dataplane.TunnelUp] and [dataplane.TunnelDown] to every module,
// as notices. TunnelUp is published again whenever something of the tunnel changed: its local address, its key, or
// the interface below it, which may have been made anew with the same address. NHRP registers again on it.
//
//	tunnel.go  configuration and the module
//	bind.go    the choice of the local address and what follows from it
//
// Left out: the way to the peer. Whether the underlay leads to a server is for NHRP to say.
package tunnel

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Name is the name of the module.
const Name = "tunnel"

// Config is one tunnel. Exactly one of UnderlayInterface and UnderlayAddress is set.
type Config struct {
	Name              string
	VRF               string
	Cloud             uint32 // NHRP network-id
	UnderlayInterface string
	UnderlayAddress   netip.Addr
	UnderlayIPv6      bool // which family of UnderlayInterface to use
	Addresses         []netip.Prefix
	Key               dataplane.Key
	MTU               int // 0 = measured from the underlay
	TTL               uint8
	ClampMSS          bool
	Encapsulation     dataplane.Encapsulation
	Redirect          bool
	FastPath          bool
	Protected         bool
	Profile           string // what protects it
	Wrap              int    // octets that protection adds to a packet, at most
	FragmentOuter     bool   // cut the outer packet where it does not fit
}

// Configure, as the body of a [core.Request], gives the whole set of tunnels. Only differences act.
type Configure struct{ Tunnels []Config }

// Module is the module named "tunnel".
type Module struct {
	links   map[string]core.Link
	tunnels map[string]*state
	leaving map[string]int // index of a device we deleted and whose end is still to be told

	surveyed bool // the interfaces that were there at start have been told
	survey   core.Timer
}

// surveyTime is how long after the start it is too early to say that an interface does not exist: it may only not
// have been told yet.
const surveyTime = time.Second

const (
	retryTime   = 2 * time.Second       // until what the data plane could not make is tried again
	verdictTime = 50 * time.Millisecond // in which it would have complained again
)

// New makes the module, without tunnels.
func New() *Module {
	return &Module{
		links: map[string]core.Link{}, tunnels: map[string]*state{}, leaving: map[string]int{},
		survey: core.Timer{Name: "survey"},
	}
}

// Name is "tunnel".
func (m *Module) Name() string { return Name }

// Handle is the way in.
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Start:
		env.Arm(&m.survey, surveyTime)
	case core.Expired:
		if t, ok := ev.Timer.Of.(*state); ok {
			m.again(env, t)
			return
		}
		m.surveyed = true
		m.bindAll(env)
	case dataplane.Failed:
		m.failed(env, ev)
	case core.Link:
		m.link(env, ev)
	case core.Request:
		if c, ok := ev.Body.(Configure); ok {
			m.configure(env, c.Tunnels)
		}
	}
}

// configure removes first, so that a name, a key or an address can move from one tunnel to another.
func (m *Module) configure(env *core.Env, tunnels []Config) {
	want := map[string]Config{}
	for _, c := range tunnels {
		want[c.Name] = c
	}
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		if _, keep := want[name]; !keep {
			m.remove(env, m.tunnels[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t := m.tunnels[name]
		if t == nil {
			t = newState()
			m.tunnels[name] = t
		}
		t.bound = t.bound && t.cfg.Profile == want[name].Profile // who stays as he was stays where he was
		t.cfg = want[name]
	}
	m.bindAll(env) // when all are known: of two that share an address each sees what the other is now
}

func (m *Module) remove(env *core.Env, t *state) {
	name := t.cfg.Name
	if l, ok := m.links[name]; ok && t.made {
		m.leaving[name] = l.Index
	}
	delete(m.tunnels, name)
	env.Stop(&t.retry)
	if t.made {
		env.Emit(core.SetInterface{Name: name}, dataplane.DeleteTunnel{Name: name})
	}
	env.Publish(dataplane.TunnelDown{Name: name, Reason: "removed from the configuration", Removed: true})
	env.Log(core.Info, "removed", "tunnel", name)
}

func (m *Module) bindAll(env *core.Env) {
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		m.bind(env, m.tunnels[name])
	}
	m.bindRivals(env)
}

// bindRivals looks again at tunnels whose address another had, which may have left it.
func (m *Module) bindRivals(env *core.Env) {
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		if t := m.tunnels[name]; t.rival {
			m.bind(env, t)
		}
	}
}

// link follows an interface of the host: an underlay, or the device of a tunnel.
func (m *Module) link(env *core.Env, l core.Link) {
	if l.Gone {
		m.gone(env, l)
	} else {
		m.links[l.Name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		t := m.tunnels[name]
		if t.cfg.Name == l.Name && !l.Gone && m.lame(env, t) {
			m.bind(env, t)
			continue
		}
		if t.cfg.UnderlayInterface == l.Name || t.cfg.UnderlayAddress.IsValid() || t.waits && t.cfg.Name == l.Name {
			m.bind(env, t)
		}
	}
	m.bindRivals(env)
}

func (m *Module) gone(env *core.Env, l core.Link) {
	if cmp.Or(m.links[l.Name].Index, l.Index) != l.Index {
		return // a namesake has taken its place already
	}
	delete(m.links, l.Name)
	if m.leaving[l.Name] == l.Index {
		delete(m.leaving, l.Name)
		return
	}
	if t := m.tunnels[l.Name]; t != nil && t.made {
		m.remake(env, t)
	}
}

// remake makes a device anew that somebody deleted under us. Nothing that was learned through the old one is in the data
// plane any more, hence the notice.
func (m *Module) remake(env *core.Env, t *state) {
	env.Log(core.Warn, "device-deleted", "tunnel", t.cfg.Name, "cause", "somebody deleted the device; making it again")
	env.Emit(dataplane.DeleteTunnel{Name: t.cfg.Name})
	env.Publish(dataplane.TunnelDown{Name: t.cfg.Name, Reason: "its device was deleted"})
	env.Stop(&t.retry)
	cfg, local := t.cfg, t.local
	*t = *newState()
	t.cfg, t.local, t.retry.Of = cfg, local, t
	m.bind(env, t)
}
