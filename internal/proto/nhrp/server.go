package nhrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// receive is the way in for every NHRP packet. What is wrong with a packet is counted under its reason.
func (t *tunnel) receive(env *core.Env, ev dataplane.Received) {
	if ev.Protocol != EtherType {
		t.count("not-nhrp")
		return
	}
	if t.link.Protected && !t.usable(ev.SA) {
		t.count("not-protected")
		return
	}
	if !t.limiter.allow(env.Now(), t.from(ev)) {
		t.count("rate-limited")
		return
	}
	p, err := Parse(ev.Payload)
	if err != nil {
		t.malformed(env, &p, ev, err.(*ParseError))
		return
	}
	t.count("received-" + words(p.Type))
	if !t.authentic(env, &p, ev) || !t.admissible(env, &p, t.from(ev)) {
		return
	}
	t.dispatch(env, &p, ev)
}

// malformed tells a requester what was wrong, as far as it could be read who that is.
func (t *tunnel) malformed(env *core.Env, p *Packet, ev dataplane.Received, err *ParseError) {
	t.count("malformed-" + err.Reason)
	t.log(env, core.Debug, "malformed", "peer", ev.From, "cause", err)
	if p.Source.IsValid() && isRequest(p.Type) {
		t.sendError(env, p, ev, err.Code)
	}
}

func (t *tunnel) dispatch(env *core.Env, p *Packet, ev dataplane.Received) {
	switch p.Type {
	case RegistrationRequest:
		t.registrationRequest(env, p, ev)
	case ResolutionRequest:
		t.resolutionRequest(env, p, ev)
	case RegistrationReply:
		t.reply(env, p, ev)
	case ResolutionReply:
		t.resolutionReply(env, p, ev)
	case PurgeRequest:
		t.purgeRequest(env, p, ev)
	case PurgeReply:
		if !t.isOwn(p.Source) {
			t.relay(env, p, ev)
		}
	case ErrorIndication:
		t.errorIndication(env, p, ev)
	case TrafficIndication:
		t.trafficIndication(env, p, ev)
	}
}

// authentic demands the password of every packet but error indications, which carry no extensions (RFC 2332
// section 5.2.7).
func (t *tunnel) authentic(env *core.Env, p *Packet, ev dataplane.Received) bool {
	if p.Type == ErrorIndication || p.Authentic(t.cfg.Authentication) {
		return true
	}
	t.count("authentication-failure")
	if t.mayWarn(env, t.from(ev)) {
		t.log(env, core.Warn, "authentication-failed", "peer", ev.From, "protocol", p.Source, "packet", p.Type)
	}
	if isRequest(p.Type) {
		t.refuse(p.Source, refusal{endpoint: ev.From, identity: t.identity(t.from(ev)), reason: "wrong or missing authentication", at: env.Now()})
		t.sendError(env, p, ev, AuthenticationFailure)
	}
	return false
}

// mayWarn bounds what strangers can make us log: each of them, and all of them together.
func (t *tunnel) mayWarn(env *core.Env, from place) bool {
	return t.warnings.allow(env.Now(), from) && t.alarms.allow(env.Now(), place{})
}

func isRequest(typ Type) bool {
	return typ == ResolutionRequest || typ == RegistrationRequest || typ == PurgeRequest
}

// reply hands a reply to whoever asked.
func (t *tunnel) reply(env *core.Env, p *Packet, ev dataplane.Received) {
	if !t.isOwn(p.Source) {
		t.relay(env, p, ev)
		return
	}
	if x := t.byID[p.RequestID]; x != nil {
		x.replied(env, p, t.from(ev))
		return
	}
	t.count("reply-unexpected")
}

// relay passes a reply on to whoever asked, for routers we know: a stranger could have us send packets to anybody.
func (t *tunnel) relay(env *core.Env, p *Packet, ev dataplane.Received) {
	if !t.isPeer(t.from(ev)) {
		t.count("reply-unexpected")
		return
	}
	t.forwardTo(env, p, ev, p.Source)
}

// registrationRequest is the server's side of RFC 2332 section 5.2.3.
func (t *tunnel) registrationRequest(env *core.Env, p *Packet, ev dataplane.Received) {
	from := t.from(ev)
	elsewhere := p.Destination != p.Source && !t.isOwn(p.Destination)
	if elsewhere && t.mayPassOn(p, from) {
		t.forwardRequest(env, p, ev)
		return
	}
	if t.unknownCompulsory(p) {
		t.sendError(env, p, ev, UnrecognizedExtension)
		return
	}
	if n := len(p.CIEs); n == 0 || n > maxRegistered || n > 1 && p.Flags&RegistrationUnique != 0 || !p.Source.IsValid() {
		t.sendError(env, p, ev, ProtocolError)
		return
	}
	cies := make([]CIE, len(p.CIEs))
	for i, c := range p.CIEs {
		if elsewhere {
			cies[i] = t.turnDown(env, p, c, from, AdminProhibited, fmt.Sprintf("%s may not claim all of what it registers with %v", t.identity(from), p.Destination))
		} else {
			cies[i] = t.register(env, p, c, from)
		}
	}
	t.send(env, from, t.registrationReply(p, cies, t.where(from).Addr()))
}

// mayPassOn reports whether a registration with another server may go there through us. That one sees our SA and what we
// may claim, so that it is held here against what its sender may.
func (t *tunnel) mayPassOn(p *Packet, from place) bool {
	if !t.link.Protected || t.isHub(from) {
		return true
	}
	return t.mayClaim(from, p.Source) && !slices.ContainsFunc(p.CIEs, func(c CIE) bool { return !t.mayClaim(from, p.protocolOf(c)) })
}

// protocolOf is the protocol address that an entry is about. Without one, as Cisco does it, that is the packet's.
func (p *Packet) protocolOf(c CIE) netip.Addr {
	if !c.Protocol.IsValid() {
		return p.Source
	}
	return c.Protocol
}

// maxRegistered bounds the clients of one request; a unique one has a single client (RFC 2332 section 5.2.3).
const maxRegistered = 8

// register takes one client information entry and returns it as the reply has it.
func (t *tunnel) register(env *core.Env, p *Packet, c CIE, from place) CIE {
	protocol, claimed := p.protocolOf(c), c.NBMA
	if !claimed.IsValid() {
		claimed = p.SourceNBMA
	}
	as := client{
		place: from, identity: t.identity(from), claimed: claimed, id: p.RequestID, unique: p.Flags&RegistrationUnique != 0,
	}
	if code, why := t.judge(env, p.Source, protocol, as); code != Success {
		return t.turnDown(env, p, c, from, code, why)
	}
	c.Code = Success
	delete(t.refusals, protocol)
	if c.HoldingTime == 0 {
		t.unregister(env, protocol)
		return c
	}
	t.admit(env, protocol, as, c.HoldingTime)
	return c
}

// turnDown notes that an entry was refused, and returns it as the reply has it.
func (t *tunnel) turnDown(env *core.Env, p *Packet, c CIE, from place, code Code, why string) CIE {
	protocol := p.protocolOf(c)
	t.count("denied-" + words(code))
	t.refuse(protocol, refusal{endpoint: t.where(from), identity: t.identity(from), reason: why, at: env.Now()})
	if t.mayWarn(env, from) {
		t.log(env, core.Warn, "client-refused", "peer", t.where(from), "protocol", protocol, "code", code, "cause", why)
	}
	c.Code, c.HoldingTime = code, 0 // RFC 2332 section 5.2.0.1
	return c
}

// judge decides whether a client may have the protocol address, and says why not.
func (t *tunnel) judge(env *core.Env, source, protocol netip.Addr, as client) (Code, string) {
	b := t.bindings[protocol]
	switch {
	case t.isOwn(protocol):
		return AdminProhibited, fmt.Sprintf("%v is the server's own address", protocol)
	case protocol.IsMulticast() || protocol.IsUnspecified() || protocol.IsLoopback() || protocol.Is4In6():
		return AdminProhibited, fmt.Sprintf("%v is no host's address", protocol)
	case !t.mayClaim(as.place, protocol) || !t.mayClaim(as.place, source):
		return AdminProhibited, fmt.Sprintf("%v is not among the addresses that %s may claim", protocol, as.identity)
	case protocol == t.where(as.place).Addr() || t.isElsewhere(env, protocol):
		return AdminProhibited, fmt.Sprintf("%v is an address of another network here, not of a tunnel", protocol)
	case t.isBehindAnother(env, protocol, as):
		return AdminProhibited, fmt.Sprintf("%v is no address of this tunnel as far as is known here, and %s is bound to no addresses", protocol, as.identity)
	case t.isServer(protocol) && !t.isHubsPlace(as.place):
		return AdminProhibited, fmt.Sprintf("%v belongs to a server of ours", protocol)
	case t.isSpoke() && !t.isBound(as.place):
		return AdminProhibited, fmt.Sprintf("this router registers itself and is no server, with neither redirect nor multicast: dynamic nor max-clients; and %s is bound to no addresses", as.identity)
	case b != nil && b.peer != nil && b.peer.up && as.place.sa != 0 && t.identity(b.peer.place) != as.identity:
		return UniqueRegistered, fmt.Sprintf("%v is the address of %s, not of %s", protocol, t.identity(b.peer.place), as.identity)
	case b != nil && b.client != nil && as.place.sa != 0 && !b.client.same(as):
		return UniqueRegistered, fmt.Sprintf("%v is registered by %s, not by %s", protocol, b.client.identity, as.identity)
	case b != nil && b.client != nil && b.client.unique && !b.client.same(as):
		return UniqueRegistered, fmt.Sprintf("%v is registered as unique from %s", protocol, t.show(b.client.place))
	case (b == nil || b.client == nil) && t.cfg.MaxClients > 0 && t.clients >= t.cfg.MaxClients:
		return InsufficientResources, fmt.Sprintf("%d clients are registered, the most that max-clients allows", t.clients)
	}
	return Success, ""
}

// isElsewhere reports whether a route says that the address is on one of our other networks: a client that had it would
// draw their traffic away. A link-local one means this tunnel and no other link (RFC 4291 2.5.6), though all have the prefix.
func (t *tunnel) isElsewhere(env *core.Env, protocol netip.Addr) bool {
	if protocol.IsLinkLocalUnicast() {
		return false
	}
	r, ok := t.covering(env, protocol)
	if !ok || r.Protocol != rib.Connected && r.Prefix != host(protocol) || t.bindings[protocol] != nil {
		return false
	}
	out, _ := t.way(r, protocol)
	return out == nil
}

// isBehindAnother reports whether an address that an authenticated client would have, and is not bound to, is one of a
// network rather than of the tunnel: its host route would draw what is for that address to the client, be it anywhere. A
// tunnel's own prefix says which addresses are its; with one that stands alone, routes say which are not.
func (t *tunnel) isBehindAnother(env *core.Env, protocol netip.Addr, as client) bool {
	if !t.link.Protected || t.isBound(as.place) || t.onLink(protocol) || protocol.IsLinkLocalUnicast() {
		return false
	}
	if t.hasNetwork(protocol.Is6()) {
		return true
	}
	r, ok := t.covering(env, protocol)
	if !ok || r.Prefix.Bits() == 0 || r.Protocol == rib.NHRP || len(r.NextHops) == 0 {
		return false
	}
	out, nh := t.way(r, protocol)
	if out == nil {
		return true
	}
	if r.Protocol == rib.OSPF && r.Prefix == host(protocol) { // RFC 2328 12.4.1.4: a router's own address in the cloud, heard by way of another
		return false
	}
	b := out.bindings[nh]
	return b != nil && b.client != nil && out.identity(b.client.place) != as.identity
}

// hasNetwork reports whether one of our addresses of a family has a prefix in which those of others are.
func (t *tunnel) hasNetwork(ipv6 bool) bool {
	return slices.ContainsFunc(t.link.Addresses, func(p netip.Prefix) bool {
		return p.Addr().Is6() == ipv6 && !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast()
	})
}

// same reports whether a registration is by the client itself: from the same place or, since a NAT may map it anew, by
// the same router with the same request ID. Through an SA, it is by who has proved to be the same; an identity that is an
// underlay address proves little and changes with it, so that the request ID, which is drawn and told nobody else, will do.
func (c *client) same(as client) bool {
	if as.place.sa != 0 {
		return c.identity == as.identity || isAddress(c.identity) && isAddress(as.identity) && c.id == as.id
	}
	return c.place == as.place || c.claimed == as.claimed && c.id == as.id
}

func isAddress(identity string) bool {
	_, err := netip.ParseAddr(identity)
	return err == nil
}

// admit records a registration, or refreshes it.
func (t *tunnel) admit(env *core.Env, protocol netip.Addr, as client, hold uint16) {
	b := t.bind(protocol)
	c := b.client
	if c == nil {
		c = &client{b: b, since: env.Now()}
		c.expires = core.Timer{Name: "expire client " + protocol.String(), Of: c}
		b.client = c
		t.clients++
		t.log(env, core.Info, "client-registered", "peer", t.where(as.place), "protocol", protocol, "claimed", as.claimed)
	} else if c.place != as.place {
		t.log(env, core.Info, "client-moved", "peer", t.where(as.place), "protocol", protocol, "from", c.endpoint())
		t.withdrawAnswersOf(env, protocol)
	}
	c.place, c.identity, c.claimed, c.unique, c.id = as.place, as.identity, as.claimed, as.unique, as.id
	t.learn(c.place, protocol)
	env.Arm(&c.expires, time.Duration(hold)*time.Second)
	b.settle(env)
}

func (t *tunnel) unregister(env *core.Env, protocol netip.Addr) {
	if b := t.bindings[protocol]; b != nil && b.client != nil {
		t.log(env, core.Info, "client-left", "peer", b.client.endpoint(), "protocol", protocol)
		b.client.drop(env)
	}
}

// registrationReply answers with every extension of the request, RFC 2332 section 5.3.
func (t *tunnel) registrationReply(p *Packet, cies []CIE, from netip.Addr) *Packet {
	r := *p
	r.Type, r.HopCount, r.CIEs = RegistrationReply, 255, cies
	if own := t.ownFor(p); own.IsValid() {
		r.Destination = own
	}
	r.Extensions = t.replyExtensions(p)
	if x := r.Extension(NATAddress); x != nil && from != p.SourceNBMA {
		// Behind a NAT: tell the client where it is.
		x.Value = AppendCIEs(x.Value[:len(x.Value):len(x.Value)], []CIE{{NBMA: from, Protocol: p.Source}})
	}
	return &r
}

// replyExtensions is the request's, with ourselves as the responder.
func (t *tunnel) replyExtensions(p *Packet) []Extension {
	exts := make([]Extension, len(p.Extensions))
	copy(exts, p.Extensions)
	for i := range exts {
		if exts[i].Type == ResponderAddress {
			exts[i].Value = AppendCIEs(nil, []CIE{t.self(p)})
		}
	}
	return exts
}

// self is us as a client information entry, in the family of a packet.
func (t *tunnel) self(p *Packet) CIE {
	return CIE{
		PrefixLength: 0xff, MTU: uint16(t.link.MTU), HoldingTime: seconds(t.cfg.HoldTime),
		NBMA: t.link.Local, Protocol: t.ownFor(p),
	}
}

// ownFor is the address of ours that a packet is about.
func (t *tunnel) ownFor(p *Packet) netip.Addr {
	switch {
	case t.isOwn(p.Destination):
		return p.Destination
	case p.Source.IsValid():
		return t.ownLike(p.Source)
	}
	return t.own(p.protocolIs6())
}

// unknownCompulsory reports an extension that the responder must understand and we do not (RFC 2332 section 5.3).
func (t *tunnel) unknownCompulsory(p *Packet) bool {
	for _, x := range p.Extensions {
		switch x.Type {
		case ResponderAddress, ForwardTransit, ReverseTransit, Authentication, VendorPrivate, NATAddress, MobileAuthentication:
		default:
			if x.Compulsory {
				return true
			}
		}
	}
	return false
}

// purgeRequest is RFC 2332 section 5.2.5, for registrations with us and for answers that we hold.
func (t *tunnel) purgeRequest(env *core.Env, p *Packet, ev dataplane.Received) {
	if p.Destination.IsValid() && p.Destination != p.Source && !t.isOwn(p.Destination) {
		t.forwardRequest(env, p, ev)
		return
	}
	for _, c := range p.CIEs[:min(len(p.CIEs), maxPurged)] {
		if !c.Protocol.IsValid() {
			c.Protocol = p.Source
		}
		t.purge(env, p, c, t.from(ev))
	}
	if p.Flags&PurgeNoReply == 0 {
		r := *p
		r.Type, r.HopCount = PurgeReply, 255
		r.Extensions = t.replyExtensions(p)
		t.send(env, t.from(ev), &r)
	}
}

// maxPurged bounds what one purge makes us look for.
const maxPurged = 16

func (t *tunnel) purge(env *core.Env, p *Packet, c CIE, from place) {
	if b := t.bindings[c.Protocol]; b != nil && b.client != nil {
		// From where it registered, or with the registration's ID from where it is now: that is as much as can be known in
		// clear. Through an SA it is known who says so.
		if b.client.place == from || b.client.id == p.RequestID && (from.sa == 0 || b.client.same(client{place: from, identity: t.identity(from), id: p.RequestID})) {
			t.unregister(env, c.Protocol)
			return
		}
		t.count("purge-from-stranger")
	}
	if t.isOwn(c.Protocol) {
		if t.isOwnWord(p) {
			t.dismissed(env, c.Protocol, from)
		} else {
			t.count("purge-from-stranger")
		}
		return
	}
	t.purgeShortcuts(env, p, c, from)
}

// dismiss tells our clients that they are not registered any more: we stop, and they need not find out by a refresh.
func (t *tunnel) dismiss(env *core.Env) {
	for _, b := range t.sortedBindings() {
		if b.client == nil {
			continue
		}
		p := t.packet(PurgeRequest, t.ownLike(b.protocol), b.protocol)
		p.RequestID, p.Flags = b.client.id, PurgeNoReply
		p.CIEs = []CIE{{PrefixLength: uint8(b.protocol.BitLen()), Protocol: b.protocol}}
		p.Extensions = t.requestExtensions(nil)
		t.send(env, b.place(), p)
	}
}

// dismissed hears from a server that it does not have us registered any more, and registers again.
func (t *tunnel) dismissed(env *core.Env, local netip.Addr, from place) {
	for _, h := range t.byPriority() {
		for _, r := range h.regs {
			if h.isAt(from) && r.local == local && r.up {
				r.tries = 0
				env.Arm(&r.timer, env.Jitter(firstRetry, 1))
				t.log(env, core.Info, "dismissed", "peer", h.nbma, "protocol", r.protocol)
			}
		}
	}
}

// errorIndication is for a request of ours, or for one we forwarded. It never raises another.
func (t *tunnel) errorIndication(env *core.Env, p *Packet, ev dataplane.Received) {
	if p.Destination.IsValid() && !t.isOwn(p.Destination) {
		b := t.bindings[p.Destination]
		if b != nil && b.live() && b.place() != t.from(ev) && p.HopCount > 1 && t.isPeer(t.from(ev)) {
			p.HopCount--
			t.send(env, b.place(), p)
		}
		return
	}
	typ, id, ok := offending(p.Payload)
	x := t.byID[id]
	if !ok || x == nil || !isRequest(typ) {
		t.count("error-unexpected")
		return
	}
	x.failed(env, p.ErrorCode.String(), t.from(ev))
}

// offending is the type and the request ID of the packet an error is about, of which often only the beginning is there.
func offending(b []byte) (Type, uint32, bool) {
	if len(b) < fixedLen+mandatoryLen {
		return 0, 0, false
	}
	id := uint32(b[24])<<24 | uint32(b[25])<<16 | uint32(b[26])<<8 | uint32(b[27])
	return Type(b[17]), id, true
}

// sendError tells the sender of a packet what was wrong with it, at a bounded rate (RFC 2332 section 5.2.7).
func (t *tunnel) sendError(env *core.Env, p *Packet, ev dataplane.Received, code ErrorCode) {
	t.count("error-" + words(code))
	if p.Type == ErrorIndication || !t.errors.allow(env.Now(), t.from(ev)) {
		return
	}
	e := t.packet(ErrorIndication, t.own(p.protocolIs6()), p.Source)
	e.IPv6Protocol = p.protocolIs6()
	e.ErrorCode = code
	e.Payload = ev.Payload[:min(len(ev.Payload), maxOffending)]
	t.send(env, t.from(ev), e)
}

// maxOffending bounds what an error repeats of its cause, in octets: the error has to fit too.
const maxOffending = 1200

// refusal is a request that was turned down, kept for show and why.
type refusal struct {
	endpoint dataplane.Endpoint
	identity string
	reason   string
	at       time.Duration
}

func (t *tunnel) refuse(protocol netip.Addr, r refusal) {
	if !protocol.IsValid() {
		return
	}
	if _, known := t.refusals[protocol]; !known && len(t.refusals) >= maxRefusals {
		t.dropOldestRefusal()
	}
	t.refusals[protocol] = r
}

func (t *tunnel) dropOldestRefusal() {
	var oldest netip.Addr
	for a, r := range t.refusals {
		if o, ok := t.refusals[oldest]; !ok || r.at < o.at || r.at == o.at && a.Less(oldest) {
			oldest = a
		}
	}
	delete(t.refusals, oldest)
}

// words makes a counter name of what something prints as.
func words(s fmt.Stringer) string { return strings.ReplaceAll(strings.ToLower(s.String()), " ", "-") }
