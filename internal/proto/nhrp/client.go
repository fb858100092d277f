package nhrp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Registration, the client's side of RFC 2332 section 5.2.3. The retries double from 1 s to 64 s, and a server that
// missed three is down after 7 s: both as Cisco does it.
const (
	firstRetry    = time.Second
	lastRetry     = 64 * time.Second
	missesToFail  = 3
	refreshPart   = 3   // of the holding time: a third
	refreshJitter = 0.1 // of the refresh time, so that thousands of spokes do not stay in step
	defaultTTL    = 60 * time.Second
)

// server is one configured server; a DNS name may make several hubs of it.
type server struct {
	t       *tunnel
	cfg     Server
	hubs    []*hub
	resolve core.Timer
	asked   bool
	reason  string // why there is no address
}

// hub is a server at one NBMA address. We register each of our protocol addresses with it.
type hub struct {
	s      *server
	nbma   netip.Addr
	regs   []*registration
	failed bool       // does not count among a cluster's connections
	settle core.Timer // until it has been up for the fall-back time
}

// registration of one of our protocol addresses with one hub.
type registration struct {
	hub      *hub
	local    netip.Addr // what we register
	protocol netip.Addr // the hub's, once known
	id       uint32
	kept     bool // id was accepted before, perhaps of an earlier process: the purge of its binding is ours to send
	up       bool
	since    time.Duration
	tries    int  // since the last good reply
	heard    bool // the last request was answered, if with a no
	again    bool // purge before registering: an old binding of ours is in the way
	sent     time.Duration
	rtt      time.Duration
	hold     time.Duration
	public   netip.Addr // our NBMA address as the hub sees it, when a NAT changes it
	reason   string     // why not up
	timer    core.Timer // retry or refresh
}

// startServers makes the servers what the configuration wants and registers with all that are selected, at once.
func (t *tunnel) startServers(env *core.Env, readdressed bool) {
	t.dropServers(env)
	for _, cfg := range t.cfg.Servers {
		if !slices.ContainsFunc(t.servers, func(s *server) bool { return s.cfg == cfg }) {
			s := &server{t: t, cfg: cfg}
			s.resolve = core.Timer{Name: "resolve server", Of: s}
			t.servers = append(t.servers, s)
		}
	}
	for _, s := range t.servers {
		if readdressed {
			s.setHubs(env, nil)
		}
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
	ttl := ev.TTL
	if ttl <= 0 {
		ttl = defaultTTL
	}
	env.Arm(&s.resolve, max(ttl, firstRetry))
	addrs := slices.DeleteFunc(slices.Clone(ev.Addrs), func(a netip.Addr) bool { return a.Is6() != s.t.link.Local.Is6() })
	if len(addrs) == 0 {
		s.unresolved(env, ev)
		return
	}
	s.reason = ""
	s.setHubs(env, addrs)
	if s.t.up {
		s.t.choose(env)
	}
}

// unresolved keeps the addresses of before, if any: a DNS failure is no reason to leave a working hub.
func (s *server) unresolved(env *core.Env, ev core.Resolved) {
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

func (h *hub) endpoint() dataplane.Endpoint { return h.s.t.endpoint(h.nbma) }

// activate begins to register, if the hub is not active yet.
func (h *hub) activate(env *core.Env) {
	t := h.s.t
	if !t.up || len(h.regs) > 0 {
		return
	}
	for _, p := range t.link.Addresses {
		r := &registration{hub: h, local: p.Addr(), reason: "no reply yet"}
		r.id, r.kept = t.registrationID(r.idKey())
		r.timer = core.Timer{Name: "register with " + h.nbma.String(), Of: r}
		if h.s.cfg.Protocol.Is4() == r.local.Is4() {
			r.protocol = h.s.cfg.Protocol
		}
		h.regs = append(h.regs, r)
		t.byID[r.id] = r
		r.begin(env)
	}
}

// deactivate stops registering. What was registered ages out at the hub, or has been purged.
func (h *hub) deactivate(env *core.Env, reason string) {
	env.Stop(&h.settle)
	for _, r := range h.regs {
		env.Stop(&r.timer)
		delete(h.s.t.byID, r.id)
		r.down(env, reason)
	}
	h.regs, h.failed = nil, false
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

func (r *registration) purge(env *core.Env) {
	t := r.hub.s.t
	p := t.packet(PurgeRequest, r.local, r.protocolOrOwn())
	p.Flags, p.RequestID = PurgeNoReply, r.id
	p.CIEs = []CIE{{PrefixLength: r.prefixLength(), Protocol: r.local}} // no NBMA address: whatever it is bound to
	p.Extensions = t.requestExtensions(nil)
	t.send(env, r.hub.endpoint(), p)
}

// idKey is where the request ID is kept.
func (r *registration) idKey() string {
	return "nhrp/" + r.hub.s.t.name() + "/" + r.local.String() + "/" + r.hub.nbma.String()
}

func (r *registration) protocolOrOwn() netip.Addr {
	if r.protocol.IsValid() {
		return r.protocol
	}
	return r.local // RFC 2332 section 5.2.3: the server's address is not known
}

// prefixLength is 0xff with the unique bit (RFC 2332 section 5.2.3), else that of a host.
func (r *registration) prefixLength() uint8 {
	if r.hub.s.t.cfg.Unique {
		return 0xff
	}
	return uint8(r.local.BitLen())
}

func (r *registration) begin(env *core.Env) {
	r.tries = 0
	r.register(env)
}

// register sends the request and waits for the reply.
func (r *registration) register(env *core.Env) {
	t := r.hub.s.t
	wait := min(firstRetry<<min(r.tries, 6), lastRetry)
	if r.again {
		r.purge(env)
	}
	r.tries++
	r.sent, r.heard, r.again = env.Now(), false, false
	t.send(env, r.hub.endpoint(), r.request())
	env.Arm(&r.timer, wait)
}

func (r *registration) request() *Packet {
	t := r.hub.s.t
	p := t.packet(RegistrationRequest, r.local, r.protocolOrOwn())
	p.RequestID, p.Flags = r.id, NATAware
	if t.cfg.Unique {
		p.Flags |= RegistrationUnique
	}
	p.CIEs = []CIE{{PrefixLength: r.prefixLength(), MTU: uint16(t.link.MTU), HoldingTime: seconds(t.cfg.HoldTime)}}
	hubProtocol := r.protocol
	if !hubProtocol.IsValid() {
		hubProtocol = unspecified(r.local.Is6())
	}
	p.Extensions = t.requestExtensions([]CIE{{NBMA: r.hub.nbma, Protocol: hubProtocol}})
	return p
}

// requestExtensions are what Cisco and FRR put into every request, in their order.
func (t *tunnel) requestExtensions(nat []CIE) []Extension {
	return []Extension{
		{Type: ResponderAddress, Compulsory: true},
		{Type: ForwardTransit, Compulsory: true},
		{Type: ReverseTransit, Compulsory: true},
		{Type: NATAddress, Value: AppendCIEs(nil, nat)},
	}
}

// expired: no reply in time, or time to refresh.
func (r *registration) expired(env *core.Env, _ *core.Timer) {
	if r.tries == missesToFail {
		reason := r.reason
		if !r.heard {
			reason = fmt.Sprintf("%v does not answer: %d registration requests without a reply", r.hub.nbma, r.tries)
		}
		r.lost(env, reason)
	}
	r.register(env)
}

// lost gives the hub up, and goes on trying.
func (r *registration) lost(env *core.Env, reason string) {
	h, t := r.hub, r.hub.s.t
	was := r.up
	r.down(env, reason)
	if was {
		t.log(env, core.Warn, "server-lost", "peer", h.nbma, "protocol", r.protocolOrOwn(), "cause", reason)
	} else if r.tries == missesToFail {
		t.log(env, core.Warn, "register-failed", "peer", h.nbma, "cause", reason)
	}
	if !h.up() {
		env.Stop(&h.settle)
		h.failed = true
	}
	t.choose(env)
}

// down withdraws what being registered gave us.
func (r *registration) down(env *core.Env, reason string) {
	r.up, r.since = false, 0
	if reason != "" {
		r.reason = reason
	}
	if b := r.hub.s.t.bindings[r.protocol]; b != nil && b.server == r {
		b.server = nil
		b.settle(env)
	}
}

// replied reads a registration reply. It counts only from the hub that was asked.
func (r *registration) replied(env *core.Env, p *Packet, from dataplane.Endpoint) {
	t := r.hub.s.t
	if p.Type != RegistrationReply || p.Source != r.local {
		t.count("reply-unexpected")
		return
	}
	if from.Addr() != r.hub.nbma {
		t.count("reply-from-stranger")
		return
	}
	if len(p.CIEs) > 0 && p.CIEs[0].Code != Success {
		r.again = r.kept && p.CIEs[0].Code == UniqueRegistered
		r.refused(env, p.CIEs[0].Code.String())
		return
	}
	if r.sent > 0 && r.tries == 1 { // Karn: of a request sent once only
		r.rtt = env.Now() - r.sent
	}
	r.learn(env, p)
	r.accept(env, p)
}

// learn takes the hub's protocol address, and our address as the hub sees it, out of the reply.
func (r *registration) learn(env *core.Env, p *Packet) {
	t := r.hub.s.t
	protocol := p.Destination
	if protocol == r.local || !protocol.IsValid() {
		protocol = responder(p)
	}
	if protocol.IsValid() && protocol != r.protocol && !t.isOwn(protocol) {
		r.down(env, "")
		r.protocol = protocol
	}
	r.public = natOf(p, r.local)
	if r.public == t.link.Local {
		r.public = netip.Addr{}
	}
}

func (r *registration) accept(env *core.Env, p *Packet) {
	t := r.hub.s.t
	hold := t.cfg.HoldTime
	if len(p.CIEs) > 0 && p.CIEs[0].HoldingTime > 0 {
		hold = min(hold, time.Duration(p.CIEs[0].HoldingTime)*time.Second)
	}
	r.hold, r.tries, r.reason = hold, 0, ""
	if !r.kept {
		r.kept = true
		t.m.store(env, r.idKey(), r.id)
	}
	env.Arm(&r.timer, env.Jitter(hold/refreshPart, refreshJitter))
	if !r.up {
		r.up, r.since = true, env.Now()
		t.log(env, core.Info, "registered", "peer", r.hub.nbma, "protocol", r.protocol, "address", r.local, "rtt", r.rtt)
	}
	if r.protocol.IsValid() {
		b := t.bind(env, r.protocol)
		b.server = r
		b.settle(env)
	}
	r.recovered(env)
	if t.stale { // only now there is a hub to pass it on
		t.stale = false
		t.withdrawAnswers(env)
	}
}

// recovered lets a hub that had failed count again: at once when nothing took its place, else after the fall-back time.
func (r *registration) recovered(env *core.Env) {
	h, t := r.hub, r.hub.s.t
	if h.failed && !h.settle.Armed() {
		env.Arm(&h.settle, t.cfg.Fallback)
	}
	t.chooseFallback(env)
}

// refused keeps trying, for a hub's mind can be changed.
func (r *registration) refused(env *core.Env, why string) {
	r.heard = true
	reason := fmt.Sprintf("%v refused the registration: %s", r.hub.nbma, why)
	if r.reason != reason {
		r.hub.s.t.log(env, core.Warn, "register-refused", "peer", r.hub.nbma, "cause", why)
	}
	r.down(env, reason)
	if !r.hub.up() && !r.hub.failed {
		r.hub.failed = true
		r.hub.s.t.choose(env)
	}
}

// failed hears an error indication about our request. Anybody can forge one, so that it only tells the reason: the
// retries go on, and a hub that is up stays so until it misses them.
func (r *registration) failed(env *core.Env, why string, from dataplane.Endpoint) {
	if from.Addr() != r.hub.nbma {
		r.hub.s.t.count("error-from-stranger")
		return
	}
	reason := fmt.Sprintf("%v answered with an error: %s", r.hub.nbma, why)
	if r.reason != reason {
		r.hub.s.t.log(env, core.Warn, "register-refused", "peer", r.hub.nbma, "cause", why)
	}
	r.reason, r.heard = reason, true
}

// responder is the protocol address in the responder address extension.
func responder(p *Packet) netip.Addr {
	if x := p.Extension(ResponderAddress); x != nil {
		if cies, err := ParseCIEs(x.Value); err == nil && len(cies) > 0 {
			return cies[0].Protocol
		}
	}
	return netip.Addr{}
}

// natOf is the NBMA address that the NAT address extension gives for a protocol address.
func natOf(p *Packet, protocol netip.Addr) netip.Addr {
	x := p.Extension(NATAddress)
	if x == nil {
		return netip.Addr{}
	}
	cies, _ := ParseCIEs(x.Value)
	for _, c := range cies {
		if c.Protocol == protocol && c.NBMA.IsValid() {
			return c.NBMA
		}
	}
	return netip.Addr{}
}

func unspecified(ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// seconds is a duration as a holding time: at least one, at most what 16 bits say.
func seconds(d time.Duration) uint16 {
	return uint16(min(max(d/time.Second, 1), 65535))
}
