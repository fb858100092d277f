package nhrp

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// server is one configured server; a DNS name may make several hubs of it.
type server struct {
	t       *tunnel
	cfg     Server
	hubs    []*hub
	resolve core.Timer
	asked   bool
	fails   int    // resolutions in a row
	reason  string // why there is no address
}

// hub is a server at one NBMA address. We register each of our protocol addresses with it.
type hub struct {
	s      *server
	nbma   netip.Addr
	regs   []*registration
	failed bool       // does not count among a cluster's connections
	settle core.Timer // until it has been up for the fall-back time

	needs    bool // an SA was asked for
	sa       dataplane.SA
	why      string         // there is no SA
	vain     []dataplane.SA // through which no registration came about: another router may be there
	pause    time.Duration  // between two times that another is asked for
	insistAt time.Duration  // not before
}

// startServers makes the servers what the configuration wants and registers with all that are selected, at once.
func (t *tunnel) startServers(env *core.Env) {
	t.dropServers(env)
	for _, cfg := range t.cfg.Servers {
		if !slices.ContainsFunc(t.servers, func(s *server) bool { return s.cfg == cfg }) {
			s := &server{t: t, cfg: cfg}
			s.resolve = core.Timer{Name: "resolve server", Of: s}
			t.servers = append(t.servers, s)
		}
	}
	for _, s := range t.servers {
		s.lookup(env)
	}
	t.choose(env)
	for _, s := range t.servers {
		for _, h := range s.hubs {
			h.registerNow(env)
		}
	}
}

func (t *tunnel) dropServers(env *core.Env) {
	t.servers = slices.DeleteFunc(t.servers, func(s *server) bool {
		if slices.Contains(t.cfg.Servers, s.cfg) {
			return false
		}
		s.stop(env)
		return true
	})
}

func (t *tunnel) stopServers(env *core.Env, reason string) {
	for _, s := range t.servers {
		env.Stop(&s.resolve)
		for _, h := range s.hubs {
			h.deactivate(env, reason)
		}
	}
	t.chooseFallback(env)
}

// stop ends a server that is not wanted any more.
func (s *server) stop(env *core.Env) {
	env.Stop(&s.resolve)
	s.setHubs(env, nil)
}

// lookup finds the server's addresses. A name is asked for again when its TTL is over.
func (s *server) lookup(env *core.Env) {
	if a, err := netip.ParseAddr(s.cfg.NBMA); err == nil {
		s.setHubs(env, []netip.Addr{a.Unmap()})
		return
	}
	if s.asked {
		return
	}
	s.asked = true
	if len(s.hubs) == 0 {
		s.reason = "resolving " + s.cfg.NBMA
	}
	env.Emit(core.Resolve{Module: Name, Name: s.cfg.NBMA})
}

func (t *tunnel) resolvedName(env *core.Env, ev core.Resolved) {
	for _, s := range t.servers {
		if s.asked && s.cfg.NBMA == ev.Name {
			s.resolved(env, ev)
		}
	}
}

func (s *server) resolved(env *core.Env, ev core.Resolved) {
	s.asked = false
	if !s.t.up {
		return
	}
	addrs := slices.DeleteFunc(slices.Clone(ev.Addrs), func(a netip.Addr) bool { return a.Is6() != s.t.link.Local.Is6() })
	if len(addrs) == 0 {
		s.unresolved(env, ev)
		return
	}
	ttl := ev.TTL
	if ttl <= 0 {
		ttl = defaultTTL
	}
	env.Arm(&s.resolve, max(ttl, firstRetry))
	s.reason, s.fails = "", 0
	s.setHubs(env, addrs)
	s.t.choose(env)
}

// unresolved keeps the addresses of before, if any: a DNS failure is no reason to leave a working hub. It asks again as
// a registration would.
func (s *server) unresolved(env *core.Env, ev core.Resolved) {
	env.Arm(&s.resolve, min(firstRetry<<min(s.fails, 6), lastRetry))
	s.fails++
	s.reason = "cannot resolve " + s.cfg.NBMA + ": " + ev.Err
	if ev.Err == "" {
		s.reason = "cannot resolve " + s.cfg.NBMA + ": no address of the underlay's family"
	}
	s.t.log(env, core.Warn, "resolve-failed", "server", s.cfg.NBMA, "cause", s.reason)
}

// setHubs keeps the hubs whose address stays, leaves those whose address goes, and makes those that are new.
func (s *server) setHubs(env *core.Env, addrs []netip.Addr) {
	s.hubs = slices.DeleteFunc(s.hubs, func(h *hub) bool {
		if slices.Contains(addrs, h.nbma) {
			return false
		}
		h.purge(env)
		h.deactivate(env, "")
		return true
	})
	for _, a := range addrs {
		if !slices.ContainsFunc(s.hubs, func(h *hub) bool { return h.nbma == a }) {
			h := &hub{s: s, nbma: a}
			h.settle = core.Timer{Name: "fall back to " + a.String(), Of: h}
			s.hubs = append(s.hubs, h)
		}
	}
}

func (s *server) expired(env *core.Env, _ *core.Timer) { s.lookup(env) }

// choose registers, in every cluster, with the best servers that work, as many as the cluster wants. Servers that are
// better than those and down are tried on.
func (t *tunnel) choose(env *core.Env) {
	taken := map[string]int{}
	for _, h := range t.byPriority() {
		cluster := h.s.cfg.Cluster
		limit := t.cfg.Clusters[cluster].MaxConnections
		if limit > 0 && taken[cluster] >= limit {
			h.purge(env)
			h.deactivate(env, "")
			continue
		}
		h.activate(env)
		if !h.failed {
			taken[cluster]++
		}
	}
	t.chooseFallback(env)
}

func (t *tunnel) byPriority() []*hub {
	var hubs []*hub
	for _, s := range t.servers {
		hubs = append(hubs, s.hubs...)
	}
	slices.SortStableFunc(hubs, func(a, b *hub) int { return cmp.Compare(a.s.cfg.Priority, b.s.cfg.Priority) })
	return hubs
}

// chooseFallback lets the best hub that is up carry what has no better way.
func (t *tunnel) chooseFallback(env *core.Env) {
	for family, ipv6 := range []bool{false, true} {
		var best netip.Addr
		if r := t.bestHub(ipv6); r != nil {
			best = r.protocol
		}
		if best != t.fallback[family] {
			t.fallback[family] = best
			env.Emit(dataplane.SetFallback{Tunnel: t.name(), IPv6: ipv6, NextHop: best})
		}
	}
}

// bestHub is the registration that is up with the best server, for the family of the protocol.
func (t *tunnel) bestHub(ipv6 bool) *registration {
	for _, h := range t.byPriority() {
		for _, r := range h.regs {
			if r.up && r.local.Is6() == ipv6 && r.protocol.IsValid() {
				return r
			}
		}
	}
	return nil
}

func (h *hub) place() place { return h.s.t.place(h.sa, h.s.t.endpoint(h.nbma)) }

// isAt reports whether a place is the hub's.
func (h *hub) isAt(p place) bool {
	if h.s.t.link.Protected {
		return h.sa != 0 && h.sa == p.sa
	}
	return h.nbma == p.at.Addr()
}

// endpoint is where the hub is, or where it is looked for.
func (h *hub) endpoint() dataplane.Endpoint {
	if at := h.s.t.where(h.place()); at.IsValid() {
		return at
	}
	return h.s.t.endpoint(h.nbma)
}

// activate makes the hub's registrations those of our addresses: it begins those that are missing and takes back those
// of addresses that are gone.
func (h *hub) activate(env *core.Env) {
	t := h.s.t
	if !t.up {
		return
	}
	h.regs = slices.DeleteFunc(h.regs, func(r *registration) bool {
		if t.isOwn(r.local) && h.wants(r.local) {
			return false
		}
		if r.up {
			r.purge(env)
		}
		r.end(env, "")
		return true
	})
	h.protect(env)
	for _, p := range t.link.Addresses {
		local := p.Addr()
		if h.wants(local) && !slices.ContainsFunc(h.regs, func(r *registration) bool { return r.local == local }) {
			h.add(env, local)
		}
	}
}

// wants reports whether an address of ours is to be registered with this hub. Where several servers are at one NBMA
// address, each takes the family of the protocol address it was given, and the first without one takes the rest.
func (h *hub) wants(local netip.Addr) bool {
	var taker *hub
	for _, s := range h.s.t.servers {
		for _, o := range s.hubs {
			if o.nbma == h.nbma && (taker == nil || o.suits(local) > taker.suits(local)) {
				taker = o
			}
		}
	}
	return taker == h
}

func (h *hub) wantsAny() bool {
	return slices.ContainsFunc(h.s.t.link.Addresses, func(p netip.Prefix) bool { return h.wants(p.Addr()) })
}

// suits ranks a hub for an address: its protocol address is of the same family, not known, or of another.
func (h *hub) suits(local netip.Addr) int {
	switch given := h.s.cfg.Protocol; {
	case !given.IsValid():
		return 1
	case given.Is6() == local.Is6():
		return 2
	}
	return 0
}

func (h *hub) add(env *core.Env, local netip.Addr) {
	t := h.s.t
	r := &registration{hub: h, local: local, reason: "no reply yet"}
	r.id, r.kept = t.registrationID(env, r.idKey())
	r.timer = core.Timer{Name: "register with " + h.nbma.String(), Of: r}
	if h.suits(local) == 2 {
		r.protocol = h.s.cfg.Protocol
	}
	h.regs = append(h.regs, r)
	t.byID[r.id] = r
	r.begin(env)
}

// deactivate stops registering. What was registered ages out at the hub, or has been purged.
func (h *hub) deactivate(env *core.Env, reason string) {
	env.Stop(&h.settle)
	for _, r := range h.regs {
		r.end(env, reason)
	}
	h.regs, h.failed = nil, false
	h.unprotect(env)
}

// registerNow repeats the registration of an active hub without waiting for the refresh.
func (h *hub) registerNow(env *core.Env) {
	for _, r := range h.regs {
		if r.sent != env.Now() || r.tries == 0 {
			r.begin(env)
		}
	}
}

func (h *hub) up() bool {
	return slices.ContainsFunc(h.regs, func(r *registration) bool { return r.up })
}

// expired: a better hub than the ones in use has been up for the fall-back time.
func (h *hub) expired(env *core.Env, _ *core.Timer) {
	h.failed = false
	h.s.t.choose(env)
}

// purge takes our registrations back, with the request ID they were made with.
func (h *hub) purge(env *core.Env) {
	for _, r := range h.regs {
		if r.up {
			r.purge(env)
		}
	}
}
