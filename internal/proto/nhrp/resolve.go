package nhrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// Resolution, the requester's side of RFC 2332 section 5.2.1. The retries are FRR's: 1, 2, 4, then every 7 s, six
// requests within half a minute. What failed is not asked for again for a while, each time twice as long.
const (
	askTries        = 6
	askFirst        = time.Second
	askLast         = 7 * time.Second
	renewDirect     = 2 // of a renewal's tries go straight to the peer, the others by the hub
	negativeFirst   = 5 * time.Second
	negativeLongest = 5 * time.Minute
)

// lookup is a destination that is being resolved, or could not be.
type lookup struct {
	t      *tunnel
	dst    netip.Addr
	id     uint32
	state  lookupState
	tries  int
	fails  int
	reason string
	stage  string // of [Stage] at which the direct path failed; "" is the resolution
	asked  place
	renews *shortcut // the shortcut this is to keep
	timer  core.Timer
}

type lookupState uint8

const (
	asking   lookupState = iota // a request is out
	settling                    // answered; the peer is being probed
	negative                    // failed; not to be asked again yet
	resting                     // may be asked again; remembers how often it failed
)

func (s lookupState) String() string {
	return [...]string{"incomplete", "probing", "negative", "resting"}[s]
}

// missed is phase 2: a packet has a next hop in the cloud that we do not know.
func (t *tunnel) missed(env *core.Env, ev dataplane.Miss) {
	if !t.cfg.Shortcut || t.isServer(ev.NextHop) {
		return
	}
	t.resolve(env, ev.NextHop)
}

// isServer reports whether a is, or is configured to be, one of our servers.
func (t *tunnel) isServer(a netip.Addr) bool {
	for _, s := range t.servers {
		if s.cfg.Protocol == a {
			return true
		}
	}
	b := t.bindings[a]
	return b != nil && b.server != nil
}

// trafficIndication is phase 3: a hub says that there is a shorter way for the packet it repeats.
func (t *tunnel) trafficIndication(env *core.Env, p *Packet, ev dataplane.Received) {
	if !t.cfg.Shortcut {
		return
	}
	if !t.isPeer(t.from(ev)) {
		t.count("indication-from-stranger")
		return
	}
	src, dst, ok := addressesOf(p.Payload)
	if !ok || dst.IsMulticast() || dst.Is6() != p.protocolIs6() {
		t.count("indication-malformed")
		return
	}
	if !t.fromHere(env, src) || !t.byCloud(env, dst) {
		t.count("indication-not-ours")
		return
	}
	t.log(env, core.Debug, "redirected", "peer", ev.From, "destination", dst)
	t.resolve(env, dst)
}

// addressesOf reads source and destination of an IP packet of which perhaps only the beginning is there.
func addressesOf(b []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), true
	case len(b) >= 40 && b[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), true
	}
	return src, dst, false
}

// fromHere reports whether packets of this source enter the cloud here: it is ours, or lies behind us.
func (t *tunnel) fromHere(env *core.Env, src netip.Addr) bool {
	if t.isOwn(src) {
		return true
	}
	r, ok := t.covering(env, src)
	if !ok {
		return false
	}
	out, _ := t.way(r, src)
	return out == nil
}

// byCloud reports whether packets to dst leave by our cloud.
func (t *tunnel) byCloud(env *core.Env, dst netip.Addr) bool {
	r, ok := t.covering(env, dst)
	if !ok || t.isOwn(dst) {
		return false
	}
	out, _ := t.way(r, dst)
	return out == t
}

// resolve begins to resolve a destination, unless that is done, under way, or failed of late.
func (t *tunnel) resolve(env *core.Env, dst netip.Addr) {
	if t.isCut(env, dst) {
		return
	}
	l := t.lookups[dst]
	if l != nil && l.state != resting {
		return
	}
	if l == nil {
		if len(t.lookups) >= maxLookups && !t.evict(env) {
			t.count("resolution-table-full")
			return
		}
		l = t.newLookup(dst)
	}
	l.begin(env)
}

// isCut reports whether a shortcut leads to dst, and no longer prefix of another route takes it out of the shortcut.
func (t *tunnel) isCut(env *core.Env, dst netip.Addr) bool {
	s, ok := t.cuts.Lookup(dst)
	if !ok {
		return false
	}
	r, covered := t.covering(env, dst)
	return !covered || s.prefix.Bits() >= r.Prefix.Bits()
}

// evict makes room by forgetting the failed destination that would be forgotten first anyway.
func (t *tunnel) evict(env *core.Env) bool {
	var first *lookup
	for _, l := range t.lookups {
		if (l.state == negative || l.state == resting) && (first == nil || l.before(first)) {
			first = l
		}
	}
	if first != nil {
		first.drop(env)
	}
	return first != nil
}

// before orders failed lookups by how soon they are forgotten.
func (l *lookup) before(o *lookup) bool {
	if l.state != o.state {
		return l.state == resting
	}
	if l.timer.At() != o.timer.At() {
		return l.timer.At() < o.timer.At()
	}
	return l.dst.Less(o.dst)
}

func (t *tunnel) newLookup(dst netip.Addr) *lookup {
	l := &lookup{t: t, dst: dst}
	l.timer = core.Timer{Name: "resolve " + dst.String(), Of: l}
	t.lookups[dst] = l
	return l
}

func (l *lookup) begin(env *core.Env) {
	l.state, l.tries, l.reason, l.stage = asking, 0, "", ""
	l.id = l.t.newID(env)
	l.t.byID[l.id] = l
	l.ask(env)
}

// ask sends the request towards whoever should know, once.
func (l *lookup) ask(env *core.Env) {
	t := l.t
	to, ok := l.toward(env)
	if !ok {
		l.fail(env, "no server is registered that could be asked")
		return
	}
	p := t.packet(ResolutionRequest, t.own(l.dst.Is6()), l.dst)
	p.RequestID, p.Flags = l.id, ResolutionRouter|ResolutionAuthoritative|ResolutionSourceStable|NATAware
	p.CIEs = []CIE{{PrefixLength: 0xff, MTU: uint16(t.link.MTU), HoldingTime: seconds(t.cfg.HoldTime)}}
	p.Extensions = t.requestExtensions(nil)
	l.asked = to
	t.send(env, to, p)
	env.Arm(&l.timer, min(askFirst<<l.tries, askLast))
	l.tries++
}

// toward is where to send the next request: for a renewal first the peer itself, which works without any hub; else
// the next hop of the destination's route, or the best hub.
func (l *lookup) toward(env *core.Env) (place, bool) {
	t := l.t
	if l.renews != nil && l.tries < renewDirect && l.renews.via.live() {
		return l.renews.via.place(), true
	}
	if r, ok := t.covering(env, l.dst); ok {
		if out, nh := t.way(r, l.dst); out == t && nh != l.dst {
			if b := t.bindings[nh]; b != nil && b.live() {
				return b.place(), true
			}
		}
	}
	if r := t.bestHub(l.dst.Is6()); r != nil {
		return r.hub.place(), true
	}
	return place{}, false
}

// expired: no reply in time, or a failure is over.
func (l *lookup) expired(env *core.Env, _ *core.Timer) {
	switch {
	case l.state == negative:
		l.state = resting
		env.Arm(&l.timer, l.backOff())
	case l.state == resting, l.state == settling:
		l.drop(env)
	case l.tries < askTries:
		l.ask(env)
	case l.reason != "":
		l.fail(env, l.reason)
	default:
		l.fail(env, fmt.Sprintf("no answer by %s: %d resolution requests without a reply", l.t.show(l.asked), l.tries))
	}
}

func (l *lookup) backOff() time.Duration {
	return min(negativeFirst<<min(l.fails, 10), negativeLongest)
}

// fail makes the destination negative for a while. Traffic stays with the hub.
func (l *lookup) fail(env *core.Env, reason string) {
	t := l.t
	delete(t.byID, l.id)
	if l.renews != nil {
		l.renews.renewFailed(env, reason)
		l.drop(env)
		return
	}
	t.log(env, core.Info, "resolution-failed", "destination", l.dst, "peer", t.where(l.asked), "cause", reason)
	l.rest(env, reason)
}

// rest has the destination not be asked for again for a while.
func (l *lookup) rest(env *core.Env, reason string) {
	delete(l.t.byID, l.id)
	l.state, l.reason = negative, reason
	env.Arm(&l.timer, l.backOff())
	l.fails++
}

func (l *lookup) drop(env *core.Env) {
	env.Stop(&l.timer)
	delete(l.t.byID, l.id)
	if l.t.lookups[l.dst] == l {
		delete(l.t.lookups, l.dst)
	}
}

// failed hears an error indication about the request. Anybody can forge one, so that it only tells the reason.
func (l *lookup) failed(env *core.Env, why string, from place) {
	if from != l.asked {
		l.t.count("error-from-stranger")
		return
	}
	l.reason = fmt.Sprintf("%s answered with an error: %s", l.t.show(from), why)
}

// replied reads a resolution reply, which may come straight or by the hub.
func (l *lookup) replied(env *core.Env, p *Packet, from place) {
	t := l.t
	if p.Type != ResolutionReply || p.Destination != l.dst || !t.isOwn(p.Source) {
		t.count("reply-unexpected")
		return
	}
	if !l.mayAnswer(p, from) {
		t.count("reply-from-stranger")
		return
	}
	if len(p.CIEs) == 0 || p.CIEs[0].Code != Success {
		code := NoBinding
		if len(p.CIEs) > 0 {
			code = p.CIEs[0].Code
		}
		l.fail(env, fmt.Sprintf("%v answered: %s", responderOr(p, l.t.show(from)), code))
		return
	}
	l.answered(env, p, from)
}

// mayAnswer reports whether a reply through an SA is to be believed: who was asked may answer, a server of ours, or the
// router that the answer leads to, for itself.
func (l *lookup) mayAnswer(p *Packet, from place) bool {
	t := l.t
	if !t.link.Protected || from == l.asked || t.isHub(from) {
		return true
	}
	if len(p.CIEs) == 0 {
		return false
	}
	via, at := p.CIEs[0].Protocol, t.where(from).Addr()
	return via.IsValid() && t.mayClaim(from, via) && (p.CIEs[0].NBMA == at || natOf(p, via) == at)
}

func responderOr(p *Packet, from string) string {
	if a := responder(p); a.IsValid() {
		return a.String()
	}
	return from
}

// answered makes a shortcut of a good answer.
func (l *lookup) answered(env *core.Env, p *Packet, from place) {
	t, c := l.t, p.CIEs[0]
	via := c.Protocol
	if !via.IsValid() {
		via = l.dst
	}
	prefix, why := t.shortcutPrefix(env, l.dst, via, c)
	if why != "" {
		l.fail(env, why)
		return
	}
	endpoint, claimed := t.peerEndpoint(p, via, from)
	if !endpoint.IsValid() || endpoint.Addr().Is6() != t.link.Local.Is6() {
		l.fail(env, "the answer names no NBMA address of the underlay's family")
		return
	}
	hold := time.Duration(c.HoldingTime) * time.Second
	if hold == 0 {
		l.fail(env, "the answer has no holding time")
		return
	}
	vouched := t.isHub(from)
	if b := t.bindings[via]; b != nil && b.peer != nil && b.peer.stays(endpoint, vouched) {
		t.count("answer-for-another")
		endpoint, claimed, vouched = t.endpoint(b.peer.nbma), b.peer.claimed, false
	}
	delete(t.byID, l.id)
	l.state = settling
	env.Arm(&l.timer, probeSpan)
	t.makeShortcut(env, l, prefix, via, endpoint, claimed, hold)
	if b := t.bindings[via]; b != nil && b.peer != nil && vouched {
		b.peer.vouched = true
	}
}

// probeSpan is longer than a peer is probed for.
const probeSpan = 10 * time.Second

// peerEndpoint is where the answer says the peer is: its address as a NAT shows it, if one is told; the source of an
// answer that came straight from behind a NAT; else what it claims.
func (t *tunnel) peerEndpoint(p *Packet, via netip.Addr, from place) (e dataplane.Endpoint, claimed netip.Addr) {
	claimed = p.CIEs[0].NBMA
	at := t.where(from)
	if !claimed.IsValid() {
		claimed = at.Addr()
	}
	if a := natOf(p, via); a.IsValid() && !a.IsUnspecified() {
		return t.endpoint(a), claimed
	}
	b := t.bindings[via]
	switch {
	case at.Addr() == claimed, b != nil && b.peer != nil && b.peer.place == from:
		return at, claimed
	case !t.isPeer(from):
		return at, claimed
	}
	return t.endpoint(claimed), claimed
}

// isKnown reports whether a router that we have an adjacency with is at the place.
func (t *tunnel) isKnown(p place) bool {
	return slices.ContainsFunc(t.at[p], func(b *binding) bool { return b.installed && b.place() == p })
}
