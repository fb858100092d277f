package nhrp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
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
	purged   bool // the binding that was in the way has been purged
	sent     time.Duration
	rtt      time.Duration
	hold     time.Duration
	public   netip.Addr // our NBMA address as the hub sees it, when a NAT changes it
	reason   string     // why not up
	timer    core.Timer // retry or refresh
}

func (r *registration) end(env *core.Env, reason string) {
	env.Stop(&r.timer)
	delete(r.hub.s.t.byID, r.id)
	r.down(env, reason)
}

func (r *registration) purge(env *core.Env) {
	t := r.hub.s.t
	p := t.packet(PurgeRequest, r.local, r.protocolOrOwn())
	p.Flags, p.RequestID = PurgeNoReply, r.id
	p.CIEs = []CIE{{PrefixLength: r.prefixLength(), Protocol: r.local}} // no NBMA address: whatever it is bound to
	p.Extensions = t.requestExtensions(nil)
	t.send(env, r.hub.place(), p)
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
	r.tries++
	env.Arm(&r.timer, wait)
	if t.link.Protected && !t.usable(r.hub.sa) {
		if !r.up {
			r.reason = r.hub.unprotected()
		}
		r.sent = 0
		return // until there is an SA
	}
	r.sent, r.heard = env.Now(), false
	t.send(env, r.hub.place(), r.request())
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
		r.lost(env, r.silence())
		if !slices.Contains(r.hub.regs, r) {
			return // another server took its place
		}
	}
	if r.tries >= missesToFail && r.hub.despair(env, r) {
		return
	}
	r.register(env)
}

// silence is why nothing came of the requests so far.
func (r *registration) silence() string {
	h := r.hub
	switch {
	case h.s.t.link.Protected && !h.s.t.usable(h.sa):
		return h.unprotected()
	case r.heard:
		return r.reason
	}
	return fmt.Sprintf("%v does not answer: %d registration requests without a reply", h.nbma, r.tries)
}

// lost gives the hub up, and goes on trying: by another SA, if there are several.
func (r *registration) lost(env *core.Env, reason string) {
	h, t := r.hub, r.hub.s.t
	was, news := r.up, r.reason != reason
	r.down(env, reason)
	if was && t.usable(h.sa) {
		h.insistAt = env.Now() + firstInsist // it was the hub's a moment ago
		t.doubt(env, h.nbma)
	}
	if was {
		t.log(env, core.Warn, "server-lost", "peer", h.nbma, "protocol", r.protocolOrOwn(), "cause", reason)
	} else if news {
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
		b.server = r.other()
		b.settle(env)
	}
}

// other is another registration that is up with the same router: of another address of ours, or by another path.
func (r *registration) other() *registration {
	for _, h := range r.hub.s.t.byPriority() {
		for _, o := range h.regs {
			if o.up && o != r && o.protocol == r.protocol {
				return o
			}
		}
	}
	return nil
}

// replied reads a registration reply. It counts only from the hub that was asked.
func (r *registration) replied(env *core.Env, p *Packet, from place) {
	t := r.hub.s.t
	if p.Type != RegistrationReply || p.Source != r.local {
		t.count("reply-unexpected")
		return
	}
	if !r.hub.isAt(from) {
		t.count("reply-from-stranger")
		return
	}
	if len(p.CIEs) > 0 && p.CIEs[0].Code != Success {
		r.refused(env, p.CIEs[0].Code.String())
		if p.CIEs[0].Code == UniqueRegistered && r.kept && !r.purged {
			r.clearWay(env)
		}
		return
	}
	if r.sent > 0 && r.tries == 1 { // Karn: of a request sent once only
		r.rtt = env.Now() - r.sent
	}
	if why := r.impostor(p, from); why != "" {
		t.count("server-not-allowed")
		r.refusedFor(env, why)
		return
	}
	r.learn(env, p)
	r.accept(env, p)
}

// serverOf is the hub's protocol address as a reply tells it, if it does. A server without an address of our family
// names one of the other: FRR does so on a tunnel with IPv4 alone.
func (r *registration) serverOf(p *Packet) netip.Addr {
	protocol := p.Destination
	if protocol == r.local || !protocol.IsValid() {
		protocol = responder(p)
	}
	if !protocol.IsValid() || protocol.Is6() != r.local.Is6() || r.hub.s.t.isOwn(protocol) {
		return netip.Addr{}
	}
	return protocol
}

// impostor is why, on a protected tunnel, a router that takes our registration is not the server that we look for: it has
// another address than the configuration says, or may not have the one it has. Who is bound to addresses has to name one.
func (r *registration) impostor(p *Packet, from place) string {
	t, h, said := r.hub.s.t, r.hub, r.serverOf(p)
	is := cmp.Or(said, r.protocol, r.named(p))
	switch {
	case !t.link.Protected:
		return ""
	case h.suits(r.local) == 2 && said.IsValid() && said != h.s.cfg.Protocol:
		return fmt.Sprintf("the router at %v is %v, not %v", h.nbma, said, h.s.cfg.Protocol)
	case is.IsValid() && !t.mayClaim(from, is):
		return fmt.Sprintf("%v may not claim the address %v", h.nbma, is)
	case !is.IsValid() && t.isBound(from):
		return fmt.Sprintf("%v does not say its address, and %s is bound to some", h.nbma, t.identity(from))
	}
	return ""
}

// named is the address, of whatever family, that a reply says its sender has.
func (r *registration) named(p *Packet) netip.Addr {
	for _, a := range []netip.Addr{p.Destination, responder(p)} {
		if a.IsValid() && !r.hub.s.t.isOwn(a) {
			return a
		}
	}
	return netip.Addr{}
}

// learn takes the hub's protocol address, and our address as the hub sees it, out of the reply.
func (r *registration) learn(env *core.Env, p *Packet) {
	t := r.hub.s.t
	if protocol := r.serverOf(p); protocol.IsValid() && protocol != r.protocol {
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
	r.hold, r.tries, r.reason, r.purged = hold, 0, "", false
	if !r.kept {
		r.kept = true
		t.m.store(env, r.idKey(), r.id)
	}
	env.Arm(&r.timer, env.Jitter(hold/refreshPart, refreshJitter))
	fresh := !r.up
	if fresh {
		r.up, r.since = true, env.Now()
		t.log(env, core.Info, "registered", "peer", r.hub.nbma, "protocol", r.protocol, "address", r.local, "rtt", r.rtt)
	}
	if r.protocol.IsValid() {
		b := t.bind(r.protocol)
		b.server = r
		b.settle(env)
	}
	if fresh { // routes that were lost with the hub may be back, or not
		for _, s := range t.allCuts() {
			s.recheck(env)
		}
	}
	r.hub.proven(env)
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
	r.refusedFor(env, fmt.Sprintf("%v refused the registration: %s", r.hub.nbma, why))
}

func (r *registration) refusedFor(env *core.Env, reason string) {
	r.heard = true
	if r.reason != reason {
		r.hub.s.t.log(env, core.Warn, "register-refused", "peer", r.hub.nbma, "cause", reason)
	}
	r.down(env, reason)
	if r.hub.up() {
		return
	}
	env.Stop(&r.hub.settle)
	if !r.hub.failed {
		r.hub.failed = true
		r.hub.s.t.choose(env)
	}
}

// clearWay purges a unique binding of our own that is in the way, made when we were elsewhere, once. The registration
// follows a retry later, lest the two overtake each other.
func (r *registration) clearWay(env *core.Env) {
	r.purged = true
	r.purge(env)
	r.tries = 1
	env.Arm(&r.timer, firstRetry)
}

// failed hears an error indication about our request. Anybody can forge one, so that it only tells the reason: the
// retries go on, and a hub that is up stays so until it misses them.
func (r *registration) failed(env *core.Env, why string, from place) {
	if !r.hub.isAt(from) {
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

// natOf is the NBMA address, of the packet's family, that the NAT address extension gives for a protocol address.
func natOf(p *Packet, protocol netip.Addr) netip.Addr {
	x := p.Extension(NATAddress)
	if x == nil {
		return netip.Addr{}
	}
	cies, _ := ParseCIEs(x.Value)
	for _, c := range cies {
		if c.Protocol == protocol && c.NBMA.IsValid() && c.NBMA.Is6() == p.SourceNBMA.Is6() {
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
