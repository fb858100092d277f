package nhrp

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// A peer that was resolved is used only when it has answered through the direct path: it is asked for its own
// address, straight and with a hop count of 1, so that nobody else can answer in its place. While shortcuts use it the
// question is repeated, so that a path that died gives way to the hub.
const (
	probeFirst   = 250 * time.Millisecond // and twice as long each time
	probeTries   = 5                      // 7.75 s in all
	checkLongest = 20 * time.Second       // between two checks
	checkTries   = 4                      // 3.75 s
	checkPart    = 3                      // of the holding time
)

// peer is a router that we found by resolution.
type peer struct {
	b        *binding
	endpoint dataplane.Endpoint
	claimed  netip.Addr
	hold     time.Duration
	up       bool // it answered through the direct path
	since    time.Duration
	id       uint32
	tries    int
	sent     time.Duration
	rtt      time.Duration
	timer    core.Timer // of the next probe
}

// meet makes or updates the peer of a binding and begins to probe it, unless it is known to answer there.
func (t *tunnel) meet(env *core.Env, protocol netip.Addr, endpoint dataplane.Endpoint, claimed netip.Addr, hold time.Duration) *binding {
	b := t.bind(protocol)
	if b.peer != nil && b.peer.endpoint != endpoint {
		b.peer.stop(env) // it moved: what goes through it waits until it answers there
		b.peer = nil
		for _, s := range b.cuts {
			s.leave(env)
		}
	}
	if b.peer == nil {
		b.peer = &peer{b: b, endpoint: endpoint, claimed: claimed}
		b.peer.timer = core.Timer{Name: "probe " + protocol.String(), Of: b.peer}
	}
	b.peer.hold = hold
	if b.peer.id == 0 {
		b.peer.probe(env)
	}
	b.settle(env)
	return b
}

// probe sends the question once and waits for the answer.
func (x *peer) probe(env *core.Env) {
	t := x.b.t
	if x.id == 0 {
		x.id = t.newID(env)
		t.byID[x.id] = x
	}
	p := t.packet(ResolutionRequest, t.own(x.b.protocol.Is6()), x.b.protocol)
	p.HopCount = 1
	p.RequestID, p.Flags = x.id, ResolutionRouter|ResolutionAuthoritative|ResolutionSourceStable|NATAware
	p.CIEs = []CIE{{PrefixLength: 0xff, MTU: uint16(t.link.MTU), HoldingTime: seconds(t.cfg.HoldTime)}}
	p.Extensions = t.requestExtensions(nil)
	x.sent = env.Now()
	t.send(env, x.endpoint, p)
	env.Arm(&x.timer, probeFirst<<x.tries)
	x.tries++
}

// expired: no answer in time, or time to check.
func (x *peer) expired(env *core.Env, _ *core.Timer) {
	if x.up && x.id == 0 && len(x.b.cuts) == 0 {
		x.drop(env, "")
		return
	}
	limit := probeTries
	if x.up {
		limit = checkTries
	}
	if x.tries < limit {
		x.probe(env)
		return
	}
	x.b.t.log(env, core.Warn, "peer-unreachable", "peer", x.endpoint, "protocol", x.b.protocol, "was-up", x.up)
	x.drop(env, fmt.Sprintf("%v does not answer through the direct path to %s", x.b.protocol, show(x.endpoint)))
}

// replied: the path works, if it is the peer that answers, for its own address.
func (x *peer) replied(env *core.Env, p *Packet, _ dataplane.Endpoint) {
	t := x.b.t
	if p.Type != ResolutionReply || p.Destination != x.b.protocol {
		t.count("reply-unexpected")
		return
	}
	if !isHolder(p) {
		t.count("probe-answered-by-other")
		return
	}
	if x.tries == 1 { // Karn
		x.rtt = env.Now() - x.sent
	}
	delete(t.byID, x.id)
	x.id, x.tries = 0, 0
	env.Arm(&x.timer, env.Jitter(min(x.hold/checkPart, checkLongest), refreshJitter))
	if x.up {
		return
	}
	x.up, x.since = true, env.Now()
	t.log(env, core.Info, "peer-up", "peer", x.endpoint, "protocol", x.b.protocol, "rtt", x.rtt)
	x.b.settle(env)
	t.gainPath(env, x.b)
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
func (x *peer) failed(env *core.Env, why string, from dataplane.Endpoint) {
	if from != x.endpoint {
		x.b.t.count("error-from-stranger")
		return
	}
	if !x.up {
		x.drop(env, fmt.Sprintf("%v answered with an error: %s", x.b.protocol, why))
	}
}

func (x *peer) stop(env *core.Env) {
	env.Stop(&x.timer)
	delete(x.b.t.byID, x.id)
	x.id = 0
}

// drop forgets the peer; a reason makes what waited for it negative.
func (x *peer) drop(env *core.Env, reason string) {
	x.stop(env)
	b := x.b
	b.peer = nil
	if reason != "" {
		b.t.peerFailed(env, b, reason)
	}
	b.settle(env)
}
