package tunnel

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// state is one tunnel as it stands.
type state struct {
	cfg    Config
	local  netip.Addr       // the underlay address in use, or last in use
	index  int              // of the underlay interface
	made   bool             // the data plane has the tunnel
	up     bool             // published as such
	waits  bool             // to be published, once the device has its addresses
	reason string           // why it is down
	bound  bool             // it has its local address, before others that come later
	rival  bool             // one that has it has another profile
	sent   dataplane.Tunnel // to the data plane
	iface  core.SetInterface

	problem string // why the data plane could not make it; "" when it did
	trying  bool   // again, and it has not complained yet
	retry   core.Timer
}

func newState() *state {
	t := &state{retry: core.Timer{Name: "make tunnel"}}
	t.retry.Of = t
	return t
}

// bind looks at the underlay and tells whoever is concerned what differs from before.
func (m *Module) bind(env *core.Env, t *state) {
	link, local, reason := m.underlay(t)
	t.bound = false
	if reason == "" {
		if reason = m.contested(t, local); reason != "" {
			m.leave(env, t)
		}
	}
	if reason != "" {
		if t.problem != "" {
			t.sent = dataplane.Tunnel{} // the data plane has yet to hear it
		}
		t.forgive(env)
		m.prepare(env, t)
		m.down(env, t, reason)
		return
	}
	t.local, t.bound = local, true
	tun := t.tunnel(link.MTU)
	changed := !t.made || !reflect.DeepEqual(t.sent, tun)
	if t.problem != "" && !changed {
		return
	}
	t.forgive(env)
	fresh := !t.up || t.index != link.Index
	t.index = link.Index
	if changed {
		t.sent, t.made = tun, true
		env.Emit(dataplane.SetTunnel{Tunnel: tun})
	}
	t.address(env)
	t.waits = t.waits || changed || fresh
	if !t.waits || !m.addressed(t) {
		return
	}
	t.up, t.reason, t.waits = true, "", false
	env.Publish(dataplane.TunnelUp{Tunnel: tun})
	env.Log(core.Info, "up", "tunnel", tun.Name, "local", tun.Local, "underlay", link.Name, "mtu", tun.MTU)
}

// contested is why a protected tunnel may not have an underlay address: another has it, with another profile. Two
// routers have one SA for all tunnels between two addresses, so that whoever is good enough for one would be in both.
func (m *Module) contested(t *state, local netip.Addr) string {
	t.rival = false
	for _, name := range slices.Sorted(maps.Keys(m.tunnels)) {
		o := m.tunnels[name]
		if o == t || !o.bound || o.local != local || !o.cfg.Protected || !t.cfg.Protected || o.cfg.Profile == t.cfg.Profile {
			continue
		}
		t.rival = true
		return fmt.Sprintf("%s has the same underlay address %v and the profile %s, not %s: tunnels on one address share their SAs, so want one profile",
			name, local, o.cfg.Profile, t.cfg.Profile)
	}
	return ""
}

// leave takes a tunnel off the underlay address that it had. Its device stays, and what is sent into it ends there.
func (m *Module) leave(env *core.Env, t *state) {
	if t.local = (netip.Addr{}); t.made && t.sent.Local.IsValid() {
		t.sent.Local = t.local
		env.Emit(dataplane.SetTunnel{Tunnel: t.sent})
	}
}

// prepare makes the device before there is an underlay. Its connected prefix, and the static routes by it, then lead into
// the device, where packets end; without it they would leave by the default route, in clear.
func (m *Module) prepare(env *core.Env, t *state) {
	if t.made {
		return
	}
	t.sent, t.made = t.tunnel(defaultUnderlayMTU), true
	env.Emit(dataplane.SetTunnel{Tunnel: t.sent})
	t.address(env)
}

// defaultUnderlayMTU stands in for that of an underlay that is not there yet.
const defaultUnderlayMTU = 1500

// lame reports whether a tunnel that is up has lost what it needs of its device, and has it given anew.
func (m *Module) lame(env *core.Env, t *state) bool {
	if !t.up || t.waits || m.addressed(t) {
		return false
	}
	t.waits, t.iface = true, core.SetInterface{}
	m.down(env, t, "its device was set down or lost its address; giving it back")
	return true
}

// addressed reports whether the device is up with its addresses, and so has its connected routes. Before that, packets for
// the overlay would follow other routes, the default route for one, in clear.
func (m *Module) addressed(t *state) bool {
	l, ok := m.links[t.cfg.Name]
	return ok && l.Up && !slices.ContainsFunc(t.cfg.Addresses, func(p netip.Prefix) bool { return !slices.Contains(l.Addresses, p) })
}

func (m *Module) down(env *core.Env, t *state, reason string) {
	if t.reason == reason || !m.surveyed && !t.up {
		return
	}
	t.up, t.reason = false, reason
	env.Publish(dataplane.TunnelDown{Name: t.cfg.Name, Reason: reason})
	env.Log(core.Warn, "down", "tunnel", t.cfg.Name, "cause", reason)
}

// failed takes in that the data plane could not make the tunnel. It is tried again, for what stands in the way may go.
func (m *Module) failed(env *core.Env, f dataplane.Failed) {
	t := m.tunnels[f.Tunnel]
	if t == nil || !f.Down || t.sent.Name == "" {
		return
	}
	t.problem, t.trying = f.Doing+": "+f.Err, false
	t.iface = core.SetInterface{} // it was not given
	m.down(env, t, t.problem)
	env.Arm(&t.retry, retryTime)
}

// again tries to make the tunnel, and takes it as made when no complaint came.
func (m *Module) again(env *core.Env, t *state) {
	if t.trying {
		t.forgive(env)
		m.bind(env, t)
		return
	}
	t.trying = true
	env.Emit(dataplane.SetTunnel{Tunnel: t.sent})
	env.Arm(&t.retry, verdictTime)
}

// forgive forgets that the tunnel could not be made.
func (t *state) forgive(env *core.Env) {
	t.problem, t.trying = "", false
	env.Stop(&t.retry)
}

// address has the edge give the device its addresses, when they differ from those it had.
func (t *state) address(env *core.Env) {
	want := core.SetInterface{Name: t.cfg.Name, Addresses: t.cfg.Addresses, MTU: t.sent.MTU}
	if t.iface.Name == want.Name && t.iface.MTU == want.MTU && slices.Equal(t.iface.Addresses, want.Addresses) {
		return
	}
	t.iface = want
	env.Emit(want)
}

func (t *state) tunnel(underlayMTU int) dataplane.Tunnel {
	c := t.cfg
	tun := dataplane.Tunnel{
		Name: c.Name, VRF: c.VRF, Cloud: c.Cloud, Local: t.local, Key: c.Key, Encapsulation: c.Encapsulation,
		Addresses: c.Addresses, MTU: c.MTU, TTL: c.TTL, MSS: c.ClampMSS, Redirect: c.Redirect,
		FastPath: c.FastPath, Protected: c.Protected, Wrap: c.Wrap, FragmentOuter: c.FragmentOuter,
	}
	if c.Protected {
		tun.Encapsulation = dataplane.ESP
	}
	if tun.MTU == 0 {
		tun.MTU = measured(underlayMTU, tun)
	}
	return tun
}

// The overlay must carry what its protocols need whole: RFC 791 and RFC 8200 section 5.
const (
	minMTU4 = 576
	minMTU6 = 1280
)

// maxProtected is the largest MTU that a protected tunnel is given unasked: the common setting of other implementations,
// which leaves room for a NAT's UDP, a PPPoE link on the way and an IPv6 underlay.
const maxProtected = 1400

// measured is the largest overlay packet that fits into one underlay packet.
func measured(underlay int, t dataplane.Tunnel) int {
	least := minMTU4
	if slices.ContainsFunc(t.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		least = minMTU6
	}
	fits := underlay - dataplane.Overhead(t)
	if t.Protected {
		fits = min(fits, maxProtected)
	}
	return max(fits, least)
}

// underlay is the interface below the tunnel and the local address there, or the reason why there is none.
func (m *Module) underlay(t *state) (core.Link, netip.Addr, string) {
	if a := t.cfg.UnderlayAddress; a.IsValid() {
		return m.carrier(a)
	}
	name := t.cfg.UnderlayInterface
	l, ok := m.links[name]
	switch {
	case !ok:
		return l, netip.Addr{}, fmt.Sprintf("underlay %s does not exist", name)
	case !l.Up:
		return l, netip.Addr{}, fmt.Sprintf("underlay %s is down", name)
	}
	if a := choose(l, t.cfg.UnderlayIPv6, t.local); a.IsValid() {
		return l, a, ""
	}
	family := "IPv4"
	if t.cfg.UnderlayIPv6 {
		family = "IPv6"
	}
	return l, netip.Addr{}, fmt.Sprintf("underlay %s has no %s address", name, family)
}

// carrier is the interface that has an underlay address, preferably one that is up.
func (m *Module) carrier(a netip.Addr) (core.Link, netip.Addr, string) {
	reason := fmt.Sprintf("underlay address %s is on no interface", a)
	for _, name := range slices.Sorted(maps.Keys(m.links)) {
		l := m.links[name]
		if !l.HasAddress(a) {
			continue
		}
		if l.Up {
			return l, a, ""
		}
		reason = fmt.Sprintf("underlay %s, which has %s, is down", name, a)
	}
	return core.Link{}, a, reason
}

// choose is the local address: the one in use while the interface keeps it, else its first global one.
func choose(l core.Link, v6 bool, inUse netip.Addr) netip.Addr {
	var first netip.Addr
	for _, p := range l.Addresses {
		a := p.Addr()
		if a.Is6() != v6 || !a.IsGlobalUnicast() {
			continue
		}
		if a == inUse {
			return a
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first
}
