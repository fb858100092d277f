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

// A peer that was resolved is used only when it has answered through the direct path: it is asked for its own
// address, straight and with a hop count of 1, so that nobody else can answer in its place. While shortcuts use it the
// question is repeated, so that a path that died gives way to the hub.
//
// On a protected tunnel the direct path is an SA. Several may lead to the peer's NBMA address, for several routers may be
// behind one NAT, and each of them may have begun one: the right one is that through which the peer answers. They are asked
// in turn.
const (
	probeFirst   = 250 * time.Millisecond // and twice as long each time
	probeTries   = 5                      // 7.75 s in all
	checkLongest = 20 * time.Second       // between two checks
	checkTries   = 4                      // 3.75 s
	checkPart    = 3                      // of the holding time
	protectSpan  = 60 * time.Second       // how long an SA is waited for, unless IKE gives up before
)

// peer is a router that we found by resolution.
type peer struct {
	b       *binding
	place   place
	nbma    netip.Addr // where the answer said it is; what SAs are asked for with
	claimed netip.Addr
	hold    time.Duration
	up      bool // it answered through the direct path
	since   time.Duration
	id      uint32
	tries   int
	sent    time.Duration
	rtt     time.Duration
	timer   core.Timer // of the next probe, or of the end of waiting for an SA

	ensured bool // an SA was asked for
	begun   time.Duration
	vouched bool           // a server of ours passed on where it is
	turn    int            // which of several SAs is asked next
	asked   []dataplane.SA // that the question under way went through
	refused []dataplane.SA // whose peers are other routers
	why     string         // the last of them said
}

// meet makes or updates the peer of a binding and begins to probe it, unless it is known to answer there.
func (t *tunnel) meet(env *core.Env, protocol netip.Addr, endpoint dataplane.Endpoint, claimed netip.Addr, hold time.Duration) *binding {
	b := t.bind(protocol)
	if b.peer != nil && !b.peer.isAt(endpoint) {
		b.peer.end(env) // it moved: what goes through it waits until it answers there
		b.peer = nil
		for _, s := range b.cuts {
			s.leave(env)
		}
	}
	if b.peer == nil {
		b.peer = t.newPeer(env, b, endpoint, claimed)
	}
	b.peer.hold = hold
	b.peer.secure(env, endpoint.Addr())
	if b.peer.id == 0 {
		b.peer.probe(env)
	}
	b.settle(env)
	return b
}

func (t *tunnel) newPeer(env *core.Env, b *binding, endpoint dataplane.Endpoint, claimed netip.Addr) *peer {
	x := &peer{b: b, place: t.place(0, endpoint), nbma: endpoint.Addr(), claimed: claimed, begun: env.Now()}
	x.timer = core.Timer{Name: "probe " + b.protocol.String(), Of: x}
	if t.link.Protected {
		t.seeking = append(t.seeking, x)
	}
	return x
}

// isAt reports whether the peer is, or is looked for, at an endpoint. On a protected tunnel the port is the SA's matter.
func (x *peer) isAt(e dataplane.Endpoint) bool {
	if !x.b.t.link.Protected {
		return x.place.at == e
	}
	return x.nbma == e.Addr() || x.up && x.endpoint().Addr() == e.Addr()
}

// stays reports whether a peer that is up remains where it is when an answer says that it is elsewhere. On a protected
// tunnel whoever is asked for what is behind it could name any router as the one that leads there: that another place is
// this router's, somebody else has to say, or its identity there. One that nobody vouched for gives way to one that is.
func (x *peer) stays(at dataplane.Endpoint, vouched bool) bool {
	t := x.b.t
	if !t.link.Protected || !x.up || vouched || x.isAt(at) {
		return false
	}
	return !slices.ContainsFunc(t.candidates(at.Addr()), func(sa dataplane.SA) bool {
		return t.identity(place{sa: sa}) == t.identity(x.place)
	})
}

// secure asks for an SA with the peer's address, which can have become another while it was up.
func (x *peer) secure(env *core.Env, nbma netip.Addr) {
	t := x.b.t
	if !t.link.Protected || x.ensured && x.nbma == nbma {
		return
	}
	t.ensure(env, nbma, false)
	if x.ensured {
		t.release(env, x.nbma)
	}
	x.nbma, x.ensured = nbma, true
}

// endpoint is where the peer is, or where it is looked for.
func (x *peer) endpoint() dataplane.Endpoint {
	if at := x.b.t.where(x.place); at.IsValid() {
		return at
	}
	return netip.AddrPortFrom(x.nbma, 0)
}

// candidates are the SAs that can be the peer's: first those that speak for its address, last those that speak for
// another, new ones before old ones.
func (x *peer) candidates() []dataplane.SA {
	t := x.b.t
	all := slices.DeleteFunc(t.candidates(x.nbma), func(sa dataplane.SA) bool {
		return slices.Contains(x.refused, sa) || !t.mayClaim(place{sa: sa}, x.b.protocol)
	})
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b dataplane.SA) int { return cmp.Compare(x.rank(a), x.rank(b)) })
	return all
}

func (x *peer) rank(sa dataplane.SA) int {
	switch said := x.b.t.speaks[sa][family(x.b.protocol)]; said {
	case x.b.protocol:
		return 0
	case netip.Addr{}:
		return 1
	}
	return 2
}

// next is where to ask; false while there is no SA to ask through.
func (x *peer) next() (place, bool) {
	if x.up || !x.b.t.link.Protected {
		return x.place, true
	}
	all := x.candidates()
	if len(all) == 0 {
		x.place = place{}
		return x.place, false
	}
	x.place = place{sa: all[x.turn%len(all)]}
	x.turn++
	return x.place, true
}

// probe sends the question once and waits for the answer.
func (x *peer) probe(env *core.Env) {
	t := x.b.t
	to, ok := x.next()
	if !ok {
		x.await(env)
		return
	}
	if x.id == 0 {
		x.id, x.asked = t.newID(env), nil
		t.byID[x.id] = x
	}
	if !slices.Contains(x.asked, to.sa) {
		x.asked = append(x.asked, to.sa)
	}
	x.sent = env.Now()
	t.send(env, to, x.question())
	env.Arm(&x.timer, probeFirst<<x.tries)
	x.tries++
}

func (x *peer) question() *Packet {
	t := x.b.t
	p := t.packet(ResolutionRequest, t.own(x.b.protocol.Is6()), x.b.protocol)
	p.HopCount = 1
	p.RequestID, p.Flags = x.id, ResolutionRouter|ResolutionAuthoritative|ResolutionSourceStable|NATAware
	p.CIEs = []CIE{{PrefixLength: 0xff, MTU: uint16(t.link.MTU), HoldingTime: seconds(t.cfg.HoldTime)}}
	p.Extensions = t.requestExtensions(nil)
	return p
}

// await waits for an SA. Traffic is the hub's meanwhile.
func (x *peer) await(env *core.Env) {
	x.stop(env)
	x.tries = 0
	env.Arm(&x.timer, x.begun+protectSpan-env.Now())
}

// waits reports whether there is no SA to ask through yet.
func (x *peer) waits() bool { return !x.up && x.id == 0 }

// offered hears of an SA with the peer's address, and asks through it at once.
func (x *peer) offered(env *core.Env) {
	x.turn = 0
	x.tries = min(x.tries, probeTries-2)
	x.probe(env)
}

// expired: no answer in time, or time to check.
func (x *peer) expired(env *core.Env, _ *core.Timer) {
	limit := probeTries
	if x.up {
		limit = checkTries
	}
	switch {
	case x.waits():
		x.fail(env, cmp.Or(x.why, fmt.Sprintf("there is no security association with %v", x.nbma)))
	case x.id == 0 && len(x.b.cuts) == 0:
		x.drop(env, "")
	case x.tries < limit:
		x.probe(env)
	default:
		x.b.t.log(env, core.Warn, "peer-unreachable", "peer", x.endpoint(), "protocol", x.b.protocol, "was-up", x.up)
		x.silent(env)
	}
}

// silent ends a peer that does not answer.
func (x *peer) silent(env *core.Env) {
	if x.b.t.link.Protected {
		x.fail(env, "no answer through the security association")
		return
	}
	x.drop(env, fmt.Sprintf("%v does not answer through the direct path to %s", x.b.protocol, show(x.endpoint())))
}

// fail ends a peer on a protected tunnel, with the stage that the way to it came to.
func (x *peer) fail(env *core.Env, why string) {
	stage := stageProtection
	if !x.waits() {
		stage = stageAdjacency
	}
	x.dropAt(env, stage, fmt.Sprintf("direct path to %v at %v failed: %s; staying on the hub", x.b.protocol, x.nbma, why))
}

// lostProtection hears that the SA of a peer that was up is gone. One that the peer closed, since it did not need it any
// more, can be had again: the next packet that goes by the hub asks for it. A peer that closes at once what it has just
// made does not want us, and is left alone for a while as one that fails.
func (x *peer) lostProtection(env *core.Env, next dataplane.SA, reason string, closed bool) {
	t := x.b.t
	if next != 0 {
		x.stop(env)
		x.place.sa, x.tries = next, 0
		x.b.settle(env)
		x.probe(env)
		return
	}
	t.log(env, core.Info, "peer-lost", "peer", x.endpoint(), "protocol", x.b.protocol, "cause", reason)
	if closed && env.Now()-x.since >= negativeFirst {
		x.drop(env, "")
		return
	}
	x.dropAt(env, stageProtection, fmt.Sprintf("direct path to %v at %v was lost: %s; back on the hub", x.b.protocol, x.nbma, reason))
}

// replied: the path works, if it is the peer that answers, for its own address.
func (x *peer) replied(env *core.Env, p *Packet, from place) {
	t := x.b.t
	if p.Type != ResolutionReply || p.Destination != x.b.protocol {
		t.count("reply-unexpected")
		return
	}
	if !x.wasAsked(from) {
		t.count("reply-from-stranger")
		return
	}
	if !isHolder(p) {
		t.count("probe-answered-by-other")
		x.refuse(env, from, "another router is there")
		return
	}
	if x.tries == 1 { // Karn
		x.rtt = env.Now() - x.sent
	}
	delete(t.byID, x.id)
	x.id, x.tries, x.turn = 0, 0, 0
	env.Arm(&x.timer, env.Jitter(min(x.hold/checkPart, checkLongest), refreshJitter))
	if !x.up {
		x.found(env, from)
	}
}

// wasAsked reports whether an answer may come from a place: on a protected tunnel, through an SA that was asked.
func (x *peer) wasAsked(from place) bool {
	return !x.b.t.link.Protected || slices.Contains(x.asked, from.sa)
}

// found makes the peer usable.
func (x *peer) found(env *core.Env, from place) {
	t := x.b.t
	if t.link.Protected {
		x.place = from
		t.learn(from, x.b.protocol)
	}
	x.up, x.since, x.refused, x.why = true, env.Now(), nil, ""
	t.unseek(x)
	t.log(env, core.Info, "peer-up", "peer", x.endpoint(), "protocol", x.b.protocol, "rtt", x.rtt)
	x.b.settle(env)
	t.gainPath(env, x.b)
}

// unseek takes a peer out of those that look for an SA.
func (t *tunnel) unseek(x *peer) {
	t.seeking = slices.DeleteFunc(t.seeking, func(o *peer) bool { return o == x })
}

// isHolder reports whether a reply is by the router whose address was asked for.
func isHolder(p *Packet) bool {
	if len(p.CIEs) == 0 || p.CIEs[0].Code != Success {
		return false
	}
	holder := p.CIEs[0].Protocol
	return !holder.IsValid() || holder == p.Destination
}

// failed hears an error about the question: it arrived, but the peer wants nothing of us.
func (x *peer) failed(env *core.Env, why string, from place) {
	t := x.b.t
	switch {
	case t.link.Protected && x.wasAsked(from):
		x.refuse(env, from, "it answered with an error: "+why)
	case t.link.Protected || from != x.place:
		t.count("error-from-stranger")
	case !x.up:
		x.drop(env, fmt.Sprintf("%v answered with an error: %s", x.b.protocol, why))
	}
}

// refuse notes that at the other end of an SA there is somebody else. The next is asked, or one more waited for: the peer
// may be about to begin one itself.
func (x *peer) refuse(env *core.Env, from place, why string) {
	if x.up || from.sa == 0 || slices.Contains(x.refused, from.sa) {
		return
	}
	x.refused, x.why = append(x.refused, from.sa), why
	x.turn, x.tries = 0, 0
	x.probe(env)
}

func (x *peer) stop(env *core.Env) {
	env.Stop(&x.timer)
	delete(x.b.t.byID, x.id)
	x.id = 0
}

// end stops the peer and gives its SA back.
func (x *peer) end(env *core.Env) {
	x.stop(env)
	x.b.t.unseek(x)
	if x.ensured {
		x.b.t.release(env, x.nbma)
	}
}

// drop forgets the peer; a reason makes what waited for it negative.
func (x *peer) drop(env *core.Env, reason string) { x.dropAt(env, "", reason) }

func (x *peer) dropAt(env *core.Env, stage, reason string) {
	b := x.b
	b.was = x.endpoint()
	x.end(env)
	b.peer = nil
	if reason != "" {
		b.t.peerFailed(env, b, stage, reason)
	}
	b.settle(env)
}
