package nhrp

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/protect"
)

// Protection. On a protected tunnel every peer is an SA that the module [protect.IKE] made: it is asked for with
// [protect.Ensure] by the NBMA address, and known by its handle from then on. What hangs on an SA, a registration with a
// server, a client's binding, a shortcut's peer, ends with it at once, unless another SA leads to the same peer.

// notified hears from IKE.
func (m *Module) notified(env *core.Env, body any) {
	switch body := body.(type) {
	case protect.Up:
		m.protected(env, body)
	case protect.Moved:
		if a := m.sas[body.SA]; a != nil {
			moved := a.Up
			moved.Local, moved.Remote = body.Local, body.Remote
			m.protected(env, moved)
		}
	case protect.Down:
		m.unprotected(env, body)
	case liveness.State:
		m.lives(env, body)
	case liveness.Heard:
		m.heard(env, body)
	case protect.Failed:
		for _, t := range m.protectedTunnels(body.Local) {
			t.protectionFailed(env, body)
		}
	}
}

// association is an SA that is up.
type association struct {
	protect.Up
	met netip.Addr // where the peer was first: it is looked for there after it has moved, too
}

// protected hears that an SA is up, or what of it changed.
func (m *Module) protected(env *core.Env, up protect.Up) {
	old, met := m.sas[up.SA], up.Remote.Addr()
	if old != nil {
		met = old.met
	}
	if old != nil && old.Remote.Addr() != up.Remote.Addr() {
		m.unfile(old)
	}
	moved := old != nil && (old.Local != up.Local || old.Remote != up.Remote)
	anew := up.Anew
	up.Anew = false
	a := &association{Up: up, met: met}
	m.sas[up.SA] = a
	m.file(a)
	for _, t := range m.sorted() {
		if t.up && t.link.Protected {
			t.settleUsers(env, up.SA, moved)
			if anew {
				t.introduce(env, up.SA)
			}
			t.offer(env, a)
		}
	}
}

// introduce registers again with a hub that has begun anew and knows us no more.
func (t *tunnel) introduce(env *core.Env, sa dataplane.SA) {
	for _, h := range t.byPriority() {
		h.unlearn(sa)
		if h.sa == sa {
			h.registerNow(env)
		}
	}
}

// file puts an SA into the index by address.
func (m *Module) file(a *association) {
	for _, addr := range [2]netip.Addr{a.Remote.Addr(), a.met} {
		if !slices.Contains(m.remotes[addr], a.SA) {
			m.remotes[addr] = append(m.remotes[addr], a.SA)
		}
	}
}

// unfile takes an SA out of the index by address.
func (m *Module) unfile(a *association) {
	for _, addr := range [2]netip.Addr{a.Remote.Addr(), a.met} {
		rest := slices.DeleteFunc(m.remotes[addr], func(sa dataplane.SA) bool { return sa == a.SA })
		if m.remotes[addr] = rest; len(rest) == 0 {
			delete(m.remotes, addr)
		}
	}
}

// unprotected hears that an SA is gone. Who came by it goes too, or moves to another SA that leads to the same peer.
func (m *Module) unprotected(env *core.Env, down protect.Down) {
	a := m.sas[down.SA]
	if a == nil {
		return
	}
	m.unfile(a)
	gone, next := *a, m.successor(a)
	a.Local = netip.Addr{} // usable no more, by nobody
	for _, t := range m.sorted() {
		if t.up && t.link.Protected {
			t.lose(env, &gone, next, down)
		}
		delete(t.speaks, down.SA)
	}
	delete(m.sas, down.SA)
	if len(m.sas) == 0 { // a map that was large once never shrinks
		m.sas = map[dataplane.SA]*association{}
	}
}

// successor is an SA with the same peer as one that is gone: the same identity at the same endpoint. 0 when there is none.
func (m *Module) successor(gone *association) dataplane.SA {
	for _, sa := range slices.Backward(m.remotes[gone.Remote.Addr()]) {
		if a := m.sas[sa]; sa != gone.SA && a.Local == gone.Local && a.Remote == gone.Remote && a.Identity == gone.Identity {
			return sa
		}
	}
	return 0
}

func (m *Module) protectedTunnels(local netip.Addr) []*tunnel {
	return slices.DeleteFunc(m.sorted(), func(t *tunnel) bool { return !t.up || !t.link.Protected || t.link.Local != local })
}

// need is an NBMA address that SAs were asked for with, and by how many.
type need struct {
	local netip.Addr
	users int
}

// ensure asks for an SA with a router, until release. Urgent also asks once more when somebody has asked already.
func (t *tunnel) ensure(env *core.Env, nbma netip.Addr, urgent bool) {
	n := t.needs[nbma]
	if n == nil {
		n = &need{}
		t.needs[nbma] = n
	}
	n.users++
	if n.users == 1 || urgent {
		n.local = t.link.Local
		t.request(env, nbma, urgent)
	}
}

func (t *tunnel) request(env *core.Env, nbma netip.Addr, urgent bool) {
	env.Request(protect.IKE, protect.Ensure{Tunnel: t.name(), Local: t.link.Local, Remote: nbma, Urgent: urgent, Not: t.wrong(nbma)})
}

// doubt has IKE ask a router that is silent whether it lives: it may have lost its SAs without a word.
func (t *tunnel) doubt(env *core.Env, nbma netip.Addr) {
	if t.link.Protected && t.needs[nbma] != nil {
		t.request(env, nbma, true)
	}
}

// release gives an SA back. The last who needed it tells IKE.
func (t *tunnel) release(env *core.Env, nbma netip.Addr) {
	n := t.needs[nbma]
	if n == nil {
		return
	}
	if n.users--; n.users == 0 {
		delete(t.needs, nbma)
		env.Request(protect.IKE, protect.Release{Tunnel: t.name(), Local: n.local, Remote: nbma})
	}
}

// relocate asks anew from another underlay address, and only then gives back what was asked for from the old one.
func (t *tunnel) relocate(env *core.Env) {
	for _, nbma := range slices.SortedFunc(maps.Keys(t.needs), netip.Addr.Compare) {
		n := t.needs[nbma]
		if n.local == t.link.Local {
			continue
		}
		old := n.local
		n.local = t.link.Local
		t.request(env, nbma, t.isHubAddress(nbma))
		env.Request(protect.IKE, protect.Release{Tunnel: t.name(), Local: old, Remote: nbma})
	}
}

func (t *tunnel) isHubAddress(nbma netip.Addr) bool {
	return slices.ContainsFunc(t.byPriority(), func(h *hub) bool { return h.nbma == nbma && h.needs })
}

// usable reports whether packets of an SA are for this tunnel: SAs belong to an underlay address and its profile.
func (t *tunnel) usable(sa dataplane.SA) bool {
	a := t.m.sas[sa]
	return a != nil && a.Local == t.link.Local && a.Profile == t.cfg.Profile
}

// candidates are the SAs with an NBMA address, oldest first.
func (t *tunnel) candidates(nbma netip.Addr) []dataplane.SA {
	return slices.DeleteFunc(slices.Clone(t.m.remotes[nbma]), func(sa dataplane.SA) bool { return !t.usable(sa) })
}

// identity is who an SA's peer has proved to be.
func (t *tunnel) identity(p place) string {
	if a := t.m.sas[p.sa]; a != nil {
		return a.Identity
	}
	return ""
}

// mayClaim reports whether the peer at a place may have a protocol address. Who has proved nothing may have any.
func (t *tunnel) mayClaim(p place, protocol netip.Addr) bool {
	a := t.m.sas[p.sa]
	if p.sa == 0 || a == nil {
		return !t.link.Protected
	}
	return a.Allowed == nil || slices.ContainsFunc(a.Allowed, func(q netip.Prefix) bool { return q.Contains(protocol) })
}

// isSpoke reports whether nobody has reason to register here. In clear, where nobody proves anything, it makes no difference.
func (t *tunnel) isSpoke() bool { return t.link.Protected && !t.cfg.TakesClients() }

// isBound reports whether it is written which protocol addresses the peer of an SA may have.
func (t *tunnel) isBound(p place) bool {
	a := t.m.sas[p.sa]
	return a != nil && a.Allowed != nil
}

// admissible reports whether a packet may come through its SA at all, and have the source it has. Servers of ours pass
// on what others say; from anybody else, what asks or advises speaks for its sender.
func (t *tunnel) admissible(env *core.Env, p *Packet, from place) bool {
	if !t.link.Protected || p.Type == RegistrationRequest { // which is refused, so that it is told
		return true
	}
	if !isRequest(p.Type) && p.Type != TrafficIndication || t.isHub(from) || t.mayClaim(from, p.Source) {
		return true
	}
	t.count("source-not-allowed")
	if t.mayWarn(env, from) {
		t.log(env, core.Warn, "source-not-allowed", "peer", t.where(from), "identity", t.identity(from), "protocol", p.Source, "packet", p.Type)
	}
	return false
}

// learn notes which protocol address an SA speaks for, where several SAs lead to one NBMA address: it is asked first.
func (t *tunnel) learn(from place, protocol netip.Addr) {
	if from.sa == 0 || !t.usable(from.sa) || !t.mayClaim(from, protocol) {
		return
	}
	said := t.speaks[from.sa]
	said[family(protocol)] = protocol
	t.speaks[from.sa] = said
}

// family is an index by address family.
func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// offer gives a new SA to whoever waits for one with that address.
func (t *tunnel) offer(env *core.Env, a *association) {
	if !t.usable(a.SA) {
		return
	}
	for _, h := range t.byPriority() {
		if a.isAt(h.nbma) {
			h.offered(env, a.SA)
		}
	}
	for _, x := range slices.Clone(t.seeking) {
		if a.isAt(x.nbma) {
			x.offered(env)
		}
	}
}

// isAt reports whether the peer is, or was met, at an address.
func (a *association) isAt(nbma netip.Addr) bool { return a.Remote.Addr() == nbma || a.met == nbma }

// settleUsers has everything that goes through an SA follow what changed of it.
func (t *tunnel) settleUsers(env *core.Env, sa dataplane.SA, moved bool) {
	at := place{sa: sa}
	for _, b := range slices.Clone(t.at[at]) {
		switch {
		case !t.mayClaim(at, b.protocol):
			b.disallow(env, at)
		case moved && b.adjacency.Endpoint != t.where(at):
			b.follow(env, at)
		}
	}
	for _, h := range t.byPriority() {
		if moved && h.needs && h.sa == sa {
			h.registerNow(env) // it may see us elsewhere now
		}
	}
}

// lose ends what goes through an SA, or has its successor take it over.
func (t *tunnel) lose(env *core.Env, gone *association, next dataplane.SA, down protect.Down) {
	reason := cmp.Or(down.Reason, "the security association was closed")
	for _, h := range t.byPriority() {
		h.unlearn(gone.SA)
		if h.sa == gone.SA {
			h.lostProtection(env, next, reason)
		}
	}
	for _, x := range slices.Clone(t.seeking) {
		if x.place.sa == gone.SA {
			x.probe(env)
		}
	}
	for _, b := range slices.Clone(t.at[place{sa: gone.SA}]) {
		if c := b.client; c != nil && c.place.sa == gone.SA {
			c.lostProtection(env, next, reason)
		}
		if x := b.peer; x != nil && x.place.sa == gone.SA {
			x.lostProtection(env, next, reason, down.Closed)
		}
	}
}

// protectionFailed hears that an attempt to make an SA came to nothing.
func (t *tunnel) protectionFailed(env *core.Env, f protect.Failed) {
	for _, h := range t.byPriority() {
		if h.needs && h.nbma == f.Remote && !t.usable(h.sa) {
			h.protectionFailed(env, f.Reason)
		}
	}
	for _, x := range slices.Clone(t.seeking) {
		if x.nbma == f.Remote && len(t.candidates(x.nbma)) == 0 {
			x.fail(env, f.Reason)
		}
	}
}

// lostProtection ends a client whose SA is gone.
func (c *client) lostProtection(env *core.Env, next dataplane.SA, reason string) {
	t, b := c.b.t, c.b
	if next != 0 {
		c.place.sa = next
		b.settle(env)
		return
	}
	t.count("client-unprotected")
	t.log(env, core.Info, "client-lost", "peer", t.where(c.place), "protocol", b.protocol, "cause", reason)
	c.drop(env)
}

// follow takes in that an SA leads elsewhere: the adjacency goes along, and what was said of a client is taken back.
func (b *binding) follow(env *core.Env, at place) {
	t := b.t
	t.log(env, core.Info, "peer-moved", "peer", t.where(at), "protocol", b.protocol, "from", b.adjacency.Endpoint)
	b.settle(env)
	if b.client != nil && b.client.place == at {
		t.withdrawAnswersOf(env, b.protocol)
	}
}

// disallow ends what an SA's peer had under a protocol address that it may not claim any more.
func (b *binding) disallow(env *core.Env, at place) {
	t := b.t
	t.log(env, core.Warn, "address-not-allowed", "peer", t.where(at), "identity", t.identity(at), "protocol", b.protocol)
	if b.server != nil && b.server.hub.place() == at {
		b.server.refusedFor(env, fmt.Sprintf("%v may not claim the address %v", b.server.hub.nbma, b.protocol))
	}
	if b.client != nil && b.client.place == at {
		b.client.drop(env)
	}
	if b.peer != nil && b.peer.place == at {
		b.peer.fail(env, "it may not claim the address any more")
	}
}
