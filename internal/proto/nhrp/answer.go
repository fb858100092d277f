package nhrp

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// redirect tells the router a packet came from that there is a shorter way than through us.
func (t *tunnel) redirect(env *core.Env, ev dataplane.Transit) {
	src, dst, ok := addressesOf(ev.Packet)
	own := t.own(src.Is6())
	if !ok || !t.cfg.Redirect || !own.IsValid() || dst.IsMulticast() {
		return
	}
	from := t.place(ev.SA, ev.From)
	if !t.isPeer(from) {
		t.count("transit-from-stranger") // a redirect would tell it the password
		return
	}
	p := t.packet(TrafficIndication, own, src)
	p.Payload = ev.Packet
	t.log(env, core.Debug, "redirect", "peer", ev.From, "source", src, "destination", dst)
	t.send(env, from, p)
}

// resolutionRequest answers, or passes on, RFC 2332 section 5.2.1 and, for destinations behind the responder, Cisco's
// phase 3.
func (t *tunnel) resolutionRequest(env *core.Env, p *Packet, ev dataplane.Received) {
	dst := p.Destination
	switch {
	case !p.Source.IsValid() || !dst.IsValid() || t.isOwn(p.Source):
		t.count("request-malformed")
		return
	case t.isOwn(dst) && t.isStrangersProbe(p, t.from(ev)):
		t.count("probe-of-stranger")
		return
	case t.isOwn(dst):
		if p.HopCount > 1 { // not a probe
			t.promise(env, p, ev, host(dst), netip.Addr{})
		}
		t.respond(env, p, ev, t.self(p))
		return
	}
	if dst.IsLinkLocalUnicast() { // no table has it; it is a router's of this tunnel
		t.passOn(env, p, ev, t, dst, rib.Route{Prefix: host(dst)})
		return
	}
	r, ok := t.covering(env, dst)
	if !ok {
		t.deny(env, p, ev, NoBinding)
		return
	}
	out, nh := t.way(r, dst)
	if out == nil {
		t.respondPrefix(env, p, ev, r)
		return
	}
	t.passOn(env, p, ev, out, nh, r)
}

// passOn handles a request for what lies in the cloud, behind nh.
func (t *tunnel) passOn(env *core.Env, p *Packet, ev dataplane.Received, out *tunnel, nh netip.Addr, r rib.Route) {
	b := out.bindings[nh]
	if nh == p.Source {
		t.deny(env, p, ev, NoBinding) // it lies behind whoever asks
		return
	}
	if b != nil && b.live() && b.client != nil && t.cfg.Resolution == Answer {
		t.answerFor(env, p, ev, b, r)
		return
	}
	if b != nil && b.live() && b.place() != t.from(ev) {
		t.forward(env, p, ev, out, b.place())
		return
	}
	// Unknown here: a server of ours may know.
	if hub := out.bestHub(p.protocolIs6()); hub != nil && hub.hub.place() != t.from(ev) {
		out.forward(env, p, ev, t, hub.hub.place())
		return
	}
	t.deny(env, p, ev, NoBinding)
}

// respondPrefix answers for a destination behind us, with the length of our route to it.
func (t *tunnel) respondPrefix(env *core.Env, p *Packet, ev dataplane.Received, r rib.Route) {
	if !t.cfg.Shortcut && !t.cfg.Redirect {
		t.deny(env, p, ev, AdminProhibited)
		return
	}
	if len(r.NextHops) == 0 { // a blackhole
		t.deny(env, p, ev, NoBinding)
		return
	}
	c := t.self(p)
	c.PrefixLength = uint8(t.routeLength(env, r, p.Destination))
	t.promise(env, p, ev, netip.PrefixFrom(p.Destination, int(c.PrefixLength)).Masked(), netip.Addr{})
	t.respond(env, p, ev, c)
}

// routeLength for the default route is that of a host: what it leads to is not behind us. Else it is the length of the route's prefix, made longer until no more specific route lies inside it (RFC 2332
// section 5.2.0.1; a requester would send us what is not behind us).
func (t *tunnel) routeLength(env *core.Env, r rib.Route, dst netip.Addr) int {
	if r.Prefix.Bits() == 0 {
		return dst.BitLen()
	}
	bits := max(r.Prefix.Bits(), shortestPrefix(dst.Is6()))
	for bits < dst.BitLen() && env.RIB().MoreSpecific(t.link.VRF, netip.PrefixFrom(dst, bits)) {
		bits++
	}
	return bits
}

// answerFor answers from the cache for a client of ours. The holding time is what remains of the client's.
func (t *tunnel) answerFor(env *core.Env, p *Packet, ev dataplane.Received, b *binding, r rib.Route) {
	c := CIE{
		PrefixLength: uint8(p.Destination.BitLen()), MTU: uint16(t.link.MTU),
		HoldingTime: seconds(b.client.expires.At() - env.Now()),
		NBMA:        b.client.claimed, Protocol: b.protocol,
	}
	if b.protocol != p.Destination {
		c.PrefixLength = uint8(t.routeLength(env, r, p.Destination))
	}
	t.promise(env, p, ev, netip.PrefixFrom(p.Destination, int(c.PrefixLength)).Masked(), b.protocol)
	reply := t.resolutionReplyTo(p, c)
	reply.Flags &^= ResolutionStable
	if b.client.natted() {
		setNAT(reply, CIE{NBMA: b.client.endpoint().Addr(), Protocol: b.protocol})
	}
	t.send(env, t.back(p, ev), reply)
}

// respond answers as the one concerned.
func (t *tunnel) respond(env *core.Env, p *Packet, ev dataplane.Received, c CIE) {
	if t.unknownCompulsory(p) {
		t.sendError(env, p, ev, UnrecognizedExtension)
		return
	}
	reply := t.resolutionReplyTo(p, c)
	if public := t.public(c.Protocol); public.IsValid() {
		setNAT(reply, CIE{NBMA: public, Protocol: c.Protocol})
	}
	t.send(env, t.back(p, ev), reply)
}

// public is our NBMA address as a hub sees it, when a NAT changes it.
func (t *tunnel) public(own netip.Addr) netip.Addr {
	for _, h := range t.byPriority() {
		for _, r := range h.regs {
			if r.up && r.local == own && r.public.IsValid() {
				return r.public
			}
		}
	}
	return netip.Addr{}
}

// deny answers that there is no binding (RFC 2332 section 5.2.2).
func (t *tunnel) deny(env *core.Env, p *Packet, ev dataplane.Received, code Code) {
	t.count("denied-" + words(code))
	c := t.self(p)
	c.Code, c.HoldingTime = code, 0
	t.send(env, t.back(p, ev), t.resolutionReplyTo(p, c))
}

func (t *tunnel) resolutionReplyTo(p *Packet, c CIE) *Packet {
	r := *p
	r.Type, r.HopCount = ResolutionReply, 255
	r.Flags = p.Flags | ResolutionStable
	r.CIEs = []CIE{c}
	r.Extensions = t.replyExtensions(p)
	setNAT(&r)
	return &r
}

// setNAT makes the NAT address extension of a packet, if it has one, say this.
func setNAT(p *Packet, cies ...CIE) {
	if x := p.Extension(NATAddress); x != nil {
		x.Value = AppendCIEs(nil, cies)
	}
}

// back is where a reply goes: straight when the requester is known to be reachable, else the way the request came. A
// probe of an SA is answered through that SA, for it is the SA that is asked about. With protection what came by a hub goes
// back by it: the hub knows who we are, and the requester believes it rather than us.
func (t *tunnel) back(p *Packet, ev dataplane.Received) place {
	if t.link.Protected && p.HopCount <= 1 {
		return t.from(ev)
	}
	if t.link.Protected && t.isHub(t.from(ev)) {
		return t.from(ev)
	}
	if b := t.bindings[p.Source]; b != nil && b.live() {
		return b.place()
	}
	return t.from(ev)
}

// resolutionReply is for a request of ours, or on its way to another's.
func (t *tunnel) resolutionReply(env *core.Env, p *Packet, ev dataplane.Received) {
	if t.isOwn(p.Source) {
		t.reply(env, p, ev)
		return
	}
	if a := responder(p); a.IsValid() && t.isOwn(a) {
		t.sendError(env, p, ev, LoopDetected) // RFC 2332 section 5.3.1
		return
	}
	if !t.vouches(p, t.from(ev)) {
		t.count("reply-for-another")
		return
	}
	t.relay(env, p, ev)
}

// vouches reports whether a resolution reply may be passed on: who gets it from us believes that the router it leads to is
// the one that sent it. It must be allowed the address it names, and nobody else known to have it.
func (t *tunnel) vouches(p *Packet, from place) bool {
	if !t.link.Protected || t.isHub(from) || len(p.CIEs) == 0 || p.CIEs[0].Code != Success {
		return true
	}
	via := p.CIEs[0].Protocol
	if !via.IsValid() {
		via = p.Destination
	}
	b := t.bindings[via]
	return t.mayClaim(from, via) && (b == nil || !b.live() || t.identity(b.place()) == t.identity(from))
}

// forwardRequest passes a request on towards its destination.
func (t *tunnel) forwardRequest(env *core.Env, p *Packet, ev dataplane.Received) {
	t.forwardTo(env, p, ev, p.Destination)
}

// forwardTo passes a packet on to the router that holds a protocol address, or to the next hop of its route.
func (t *tunnel) forwardTo(env *core.Env, p *Packet, ev dataplane.Received, protocol netip.Addr) {
	from := t.from(ev)
	for _, out := range t.m.sorted() {
		if out.cfg.NetworkID != t.cfg.NetworkID || !out.up {
			continue
		}
		if b := out.bindings[protocol]; b != nil && b.live() && b.place() != from {
			t.forward(env, p, ev, out, b.place())
			return
		}
	}
	if r, ok := t.covering(env, protocol); ok {
		if out, nh := t.way(r, protocol); out != nil {
			if b := out.bindings[nh]; b != nil && b.live() && b.place() != from {
				t.forward(env, p, ev, out, b.place())
				return
			}
		}
	}
	if hub := t.bestHub(protocol.Is6()); hub != nil && hub.hub.place() != from {
		t.forward(env, p, ev, t, hub.hub.place())
		return
	}
	t.sendError(env, p, ev, ProtocolAddressUnreachable)
}

// forward passes a packet on by tunnel out, recording ourselves on its way (RFC 2332 section 5.3.2) and, for a sender
// behind a NAT, where it really is. Errors go back by the tunnel it came in on.
func (t *tunnel) forward(env *core.Env, p *Packet, ev dataplane.Received, out *tunnel, to place) {
	if p.HopCount <= 1 {
		t.sendError(env, p, ev, HopCountExceeded)
		return
	}
	q := *p
	q.HopCount--
	q.Extensions = slices.Clone(p.Extensions)
	if !out.recordTransit(&q) {
		t.sendError(env, p, ev, LoopDetected)
		return
	}
	t.fillNAT(&q)
	out.count("forwarded-" + words(p.Type))
	out.send(env, to, &q)
}

// recordTransit appends us to the transit record of the packet's direction; false when we are on it already.
func (t *tunnel) recordTransit(p *Packet) bool {
	typ := ForwardTransit
	if !isRequest(p.Type) {
		typ = ReverseTransit
	}
	x := p.Extension(typ)
	if x == nil {
		return true
	}
	cies, err := ParseCIEs(x.Value)
	if err != nil || len(cies) >= maxCIEs-1 {
		return false
	}
	self := t.self(p)
	self.Protocol = t.ownLike(p.Source)
	if slices.ContainsFunc(cies, func(c CIE) bool { return c.Protocol == self.Protocol && (c.Protocol.IsValid() || c.NBMA == self.NBMA) }) {
		return false
	}
	x.Value = AppendCIEs(slices.Clone(x.Value), []CIE{self})
	return true
}

// fillNAT puts the address that a client of ours really has into an empty NAT address extension, as FRR's hubs do.
func (t *tunnel) fillNAT(p *Packet) {
	x := p.Extension(NATAddress)
	if x == nil || len(x.Value) > 0 {
		return
	}
	sender := p.Source
	if p.Type == ResolutionReply && len(p.CIEs) > 0 {
		sender = p.CIEs[0].Protocol
	}
	for _, at := range t.m.sorted() {
		b := at.bindings[sender]
		if at.cfg.NetworkID == t.cfg.NetworkID && b != nil && b.client != nil && b.client.natted() {
			x.Value = AppendCIEs(nil, []CIE{{NBMA: b.client.endpoint().Addr(), Protocol: sender}})
			return
		}
	}
}

// answer is what we told a requester, and would have to take back.
type answer struct {
	requester netip.Addr
	about     netip.Addr // the client it leads to; the zero Addr for ourselves
	id        uint32
	until     time.Duration
}

// promise remembers an answer. When too many are held, the last holders find out by their holding time.
func (t *tunnel) promise(env *core.Env, p *Packet, ev dataplane.Received, prefix netip.Prefix, about netip.Addr) {
	if !t.isPeer(t.from(ev)) {
		return // a stranger could fill the table in the name of anybody
	}
	if !about.IsValid() {
		t.m.expect(env, t.cfg.NetworkID, p.Source)
	}
	if t.answers >= maxAnswered && env.Now()-t.swept > time.Second {
		t.swept = env.Now()
		for _, q := range t.answeredPrefixes() {
			t.takeBack(env, q, func(answer) bool { return false }) // drops what is over
		}
	}
	list, _ := t.answered.Get(prefix)
	t.answers -= len(list)
	list = slices.DeleteFunc(list, func(a answer) bool { return a.requester == p.Source || a.until <= env.Now() })
	if t.answers+len(list) < maxAnswered {
		list = append(list, answer{requester: p.Source, about: about, id: p.RequestID, until: env.Now() + t.cfg.HoldTime})
	}
	if about.IsValid() && !slices.Contains(t.about[about], prefix) {
		t.about[about] = append(t.about[about], prefix)
	}
	t.keep(prefix, list)
}

func (t *tunnel) keep(prefix netip.Prefix, list []answer) {
	t.answers += len(list)
	if len(list) == 0 {
		t.answered.Delete(prefix)
		return
	}
	t.answered.Insert(prefix, list)
}

// takeBack purges the answers about a prefix that cond names (RFC 2332 section 5.2.5).
func (t *tunnel) takeBack(env *core.Env, prefix netip.Prefix, cond func(answer) bool) {
	list, _ := t.answered.Get(prefix)
	t.answers -= len(list)
	t.keep(prefix, slices.DeleteFunc(list, func(a answer) bool {
		if a.until <= env.Now() {
			return true
		}
		if !cond(a) {
			return false
		}
		t.sendPurge(env, prefix, a)
		return true
	}))
}

func (t *tunnel) sendPurge(env *core.Env, prefix netip.Prefix, a answer) {
	p := t.packet(PurgeRequest, t.own(a.requester.Is6()), a.requester)
	p.RequestID, p.Flags = a.id, PurgeNoReply
	p.CIEs = []CIE{{PrefixLength: uint8(prefix.Bits()), Protocol: prefix.Addr()}}
	p.Extensions = t.requestExtensions(nil)
	if b := t.bindings[a.requester]; b != nil && b.live() {
		t.send(env, b.place(), p)
	} else if hub := t.bestHub(a.requester.Is6()); hub != nil {
		t.send(env, hub.hub.place(), p)
	}
}

func (t *tunnel) answeredPrefixes() []netip.Prefix {
	var list []netip.Prefix
	for p := range t.answered.AllSorted() {
		list = append(list, p)
	}
	return list
}

// withdrawAnswers takes everything back: we leave, or are elsewhere now.
func (t *tunnel) withdrawAnswers(env *core.Env) {
	for _, p := range t.answeredPrefixes() {
		t.takeBack(env, p, func(answer) bool { return true })
	}
}

// withdrawAnswersOf takes back what we said of a client.
func (t *tunnel) withdrawAnswersOf(env *core.Env, client netip.Addr) {
	for _, at := range t.m.sorted() { // the request may have come by another tunnel of the cloud
		for _, p := range at.about[client] {
			at.takeBack(env, p, func(a answer) bool { return a.about == client })
		}
		delete(at.about, client)
	}
}

// recheckAnswers takes back what a change of routes made untrue: we are not the way out to it any more.
func (t *tunnel) recheckAnswers(env *core.Env, changed netip.Prefix) {
	var stale []netip.Prefix
	for p := range t.answered.Subnets(changed) {
		stale = append(stale, p)
	}
	for p := range t.answered.Supernets(changed) {
		if p != changed {
			stale = append(stale, p)
		}
	}
	for _, p := range stale {
		holder, ours := t.leadsTo(env, p, changed)
		t.takeBack(env, p, func(a answer) bool {
			if a.about.IsValid() {
				return a.about != holder
			}
			return !ours
		})
	}
}

// leadsTo is whom an answered prefix leads to now, as far as a change of routes goes: a router of the cloud, or us.
func (t *tunnel) leadsTo(env *core.Env, p, changed netip.Prefix) (holder netip.Addr, ours bool) {
	if t.isOwn(p.Addr()) && p == host(p.Addr()) {
		return holder, true
	}
	a := p.Addr()
	if changed.Bits() > p.Bits() {
		a = changed.Addr()
	}
	r, ok := t.covering(env, a)
	if !ok {
		return holder, false
	}
	if out, nextHop := t.way(r, a); out != nil {
		return nextHop, false
	}
	return holder, len(r.NextHops) > 0
}
