package nhrp

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// Name is the module's.
const Name = "nhrp"

// Module is NHRP on every tunnel of one router: client and server in one.
type Module struct {
	tunnels map[string]*tunnel
	links   map[string]dataplane.Tunnel // tunnels that are up, whether NHRP runs on them or not
	reasons map[string]string           // why the others are not
	stored  map[string]string
	sas     map[dataplane.SA]*association // that are up
	remotes map[netip.Addr][]dataplane.SA
}

// Configure is the request that gives the module its configuration, whole. What is as before is not touched.
type Configure struct{ Tunnels []*Config }

// New makes a module without tunnels.
func New() *Module {
	return &Module{
		tunnels: map[string]*tunnel{},
		links:   map[string]dataplane.Tunnel{},
		reasons: map[string]string{},
		stored:  map[string]string{},
		sas:     map[dataplane.SA]*association{},
		remotes: map[netip.Addr][]dataplane.SA{},
	}
}

// Name implements [core.Module].
func (m *Module) Name() string { return Name }

// WantsRoutes implements [core.RouteSubscriber].
func (m *Module) WantsRoutes() {}

// Handle implements [core.Module].
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Start:
		m.start(env, ev)
	case core.Stop:
		for _, t := range m.sorted() {
			if ev.Restart {
				t.pause(env)
			} else {
				t.goodbye(env)
			}
		}
	case core.Request:
		m.request(env, ev.Body)
	case core.Notice:
		m.notice(env, ev.Body)
	case core.Expired:
		ev.Timer.Of.(owner).expired(env, ev.Timer)
	case core.Resolved:
		for _, t := range m.sorted() {
			t.resolvedName(env, ev)
		}
	case rib.Change:
		for _, t := range m.sorted() {
			t.routeChanged(env, ev)
		}
	default:
		m.forwarding(env, ev)
	}
}

// owner is what a timer's Of is: the state that armed it.
type owner interface {
	expired(env *core.Env, t *core.Timer)
}

// forwarding handles what the data plane saw.
func (m *Module) forwarding(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case dataplane.Received:
		if t := m.tunnels[ev.Tunnel]; t != nil && t.up {
			t.receive(env, ev)
		}
	case dataplane.Miss:
		if t := m.tunnels[ev.Tunnel]; t != nil && t.up {
			t.missed(env, ev)
		}
	case dataplane.Transit:
		if t := m.tunnels[ev.Tunnel]; t != nil && t.up {
			t.redirect(env, ev)
		}
	case dataplane.Used:
		for _, t := range m.sorted() {
			t.used(env, ev)
		}
	}
}

func (m *Module) start(env *core.Env, ev core.Start) {
	m.stored = maps.Clone(ev.Stored)
	if m.stored == nil {
		m.stored = map[string]string{}
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
	for _, cfg := range c.Tunnels {
		wanted[cfg.Tunnel] = cfg
	}
	for _, t := range m.sorted() {
		if wanted[t.name()] == nil {
			t.goodbye(env)
			t.bring(env, false, "removed from the configuration")
			delete(m.tunnels, t.name())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if t := m.tunnels[name]; t != nil {
			t.reconfigure(env, wanted[name])
		} else {
			m.add(env, wanted[name])
		}
	}
}

func (m *Module) add(env *core.Env, cfg *Config) {
	t := newTunnel(m, cfg)
	m.tunnels[cfg.Tunnel] = t
	if link, ok := m.links[cfg.Tunnel]; ok {
		t.linkUp(env, link)
	}
}

func (m *Module) notice(env *core.Env, body any) {
	switch body := body.(type) {
	case dataplane.TunnelUp:
		m.links[body.Name] = body.Tunnel
		delete(m.reasons, body.Name)
		if t := m.tunnels[body.Name]; t != nil {
			t.linkUp(env, body.Tunnel)
		}
	case dataplane.TunnelDown:
		delete(m.links, body.Name)
		m.reasons[body.Name] = body.Reason
		if t := m.tunnels[body.Name]; t != nil {
			t.bring(env, false, body.Reason)
		}
		if body.Removed {
			delete(m.reasons, body.Name)
		}
	default:
		m.notified(env, body)
	}
}

// sorted is the tunnels in order of name, so that one seed gives one trace.
func (m *Module) sorted() []*tunnel {
	ts := make([]*tunnel, 0, len(m.tunnels))
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		ts = append(ts, m.tunnels[name])
	}
	return ts
}

// inCloud reports whether an interface is a tunnel of the cloud.
func (m *Module) inCloud(cloud uint32, iface string) *tunnel {
	if t := m.tunnels[iface]; t != nil && t.cfg.NetworkID == cloud {
		return t
	}
	return nil
}

// Recover ends what the event was about, after its handler failed: the router stays.
func (m *Module) Recover(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case dataplane.Received:
		if t := m.tunnels[ev.Tunnel]; t != nil {
			t.count("handler-failed")
			t.forget(env, t.from(ev))
		}
	case core.Expired:
		if l, ok := ev.Timer.Of.(*lookup); ok {
			l.drop(env)
		}
	}
}

func (m *Module) store(env *core.Env, key string, id uint32) {
	value := strconv.FormatUint(uint64(id), 10)
	m.stored[key] = value
	env.Emit(core.Store{Key: key, Value: value})
}
