package nhrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// shortcut is a prefix that is reached straight through a peer. It waits for the peer to answer through the direct
// path before it becomes a route, and goes with the peer, with the route that leads into the cloud, or when idle.
type shortcut struct {
	t       *tunnel
	prefix  netip.Prefix
	dst     netip.Addr // what was asked for: the renewal asks again
	via     *binding
	hub     netip.Addr // the next hop of the route it shortens
	hold    time.Duration
	live    bool
	steps   int        // of the life's thirds that are over
	renew   core.Timer // asks whether it is used
	expires core.Timer
}

// shortestPrefix bounds what one answer can draw away from the hubs: as FRR does for IPv4.
func shortestPrefix(ipv6 bool) int {
	if ipv6 {
		return 16
	}
	return 8
}

// shortcutPrefix is what an answer covers, or why it is of no use.
func (t *tunnel) shortcutPrefix(env *core.Env, dst, via netip.Addr, c CIE) (netip.Prefix, string) {
	r, ok := t.covering(env, dst)
	old, renewed := t.cuts.Lookup(dst)
	switch {
	case t.isOwn(via):
		return netip.Prefix{}, "the answer leads back to this router"
	case !ok && renewed && old.orphaned():
		return old.prefix, ""
	case via == dst && dst.IsLinkLocalUnicast():
		return host(dst), ""
	case !ok:
		return netip.Prefix{}, "the destination has no route any more"
	case via.Is6() != dst.Is6():
		return netip.Prefix{}, "the answer mixes address families"
	}
	if out, nh := t.way(r, dst); out != t {
		return netip.Prefix{}, "the destination's route does not lead into this cloud any more"
	} else if nh == via && via != dst {
		return netip.Prefix{}, fmt.Sprintf("%v, where the traffic goes already, is the shortest way", via)
	}
	if via == dst {
		return host(dst), ""
	}
	bits := max(c.Bits(dst.BitLen()), shortestPrefix(dst.Is6()))
	// A route of our own inside the answer would win over it.
	bits = max(bits, r.Prefix.Bits())
	return netip.PrefixFrom(dst, bits).Masked(), ""
}

// orphaned reports whether the hub whose route it shortens is lost. On tunnels whose prefix does not reach the hub that
// route is lost with it; the shortcut needs neither.
func (s *shortcut) orphaned() bool {
	b := s.t.bindings[s.hub]
	return s.hub.IsValid() && s.hub != s.dst && (b == nil || !b.live())
}

func (t *tunnel) makeShortcut(env *core.Env, l *lookup, prefix netip.Prefix, via netip.Addr, e dataplane.Endpoint, claimed netip.Addr, hold time.Duration) {
	s, known := t.cuts.Get(prefix)
	if known && s.via.protocol != via {
		s.drop(env)
		known = false
	}
	if !known {
		s = &shortcut{t: t, prefix: prefix}
		s.renew = core.Timer{Name: "renew shortcut " + prefix.String(), Of: s}
		s.expires = core.Timer{Name: "expire shortcut " + prefix.String(), Of: s}
		t.cuts.Insert(prefix, s)
		s.via = t.bind(via)
		s.via.cuts = append(s.via.cuts, s)
	}
	s.dst, s.hold, s.steps = l.dst, hold, 0
	if r, ok := t.covering(env, l.dst); ok {
		_, s.hub = t.way(r, l.dst)
	}
	env.Arm(&s.expires, hold)
	env.Arm(&s.renew, hold/3)
	if s.via.server == nil && s.via.client == nil {
		t.meet(env, via, e, claimed, hold)
	}
	if s.via.live() {
		s.enter(env)
	}
}

// enter makes the shortcut a route, and so usable.
func (s *shortcut) enter(env *core.Env) {
	t := s.t
	t.resolved(env, s.prefix)
	if s.live {
		return
	}
	s.live = true
	if !s.renew.Armed() { // a third of its life went by before the peer answered, and nobody asked
		s.steps = 1
		env.Emit(s.question())
	}
	t.log(env, core.Info, "shortcut-up", "peer", s.via.endpoint(), "prefix", s.prefix, "via", s.via.protocol)
	if s.isRoute() {
		env.Route(rib.Route{
			VRF: t.link.VRF, Prefix: s.prefix, Protocol: rib.NHRP, Source: t.name(), Distance: rib.NHRP.Distance(),
			NextHops: []rib.NextHop{{Via: s.via.protocol, Interface: t.name()}}, Override: true,
		})
	}
}

// resolved ends the lookups that a shortcut answers.
func (t *tunnel) resolved(env *core.Env, p netip.Prefix) {
	for _, l := range sortedLookups(t.lookups) {
		if p.Contains(l.dst) {
			l.drop(env)
		}
	}
}

// isRoute is false for phase 2: there the next hop itself was resolved, and its adjacency is all.
func (s *shortcut) isRoute() bool { return s.prefix != host(s.via.protocol) }

func (s *shortcut) leave(env *core.Env) {
	if s.live && s.isRoute() {
		env.Unroute(rib.Key{VRF: s.t.link.VRF, Prefix: s.prefix, Protocol: rib.NHRP, Source: s.t.name()})
	}
	s.live = false
}

// drop withdraws the shortcut and, with the last one through it, the peer.
func (s *shortcut) drop(env *core.Env) {
	t := s.t
	env.Stop(&s.renew)
	env.Stop(&s.expires)
	s.leave(env)
	t.cuts.Delete(s.prefix)
	if l := t.lookups[s.dst]; l != nil && l.renews == s {
		l.drop(env)
	}
	b := s.via
	b.cuts = slices.DeleteFunc(b.cuts, func(o *shortcut) bool { return o == s })
	if b.peer != nil && len(b.cuts) == 0 {
		b.peer.drop(env, "")
	}
}

// end drops a shortcut and says why.
func (s *shortcut) end(env *core.Env, why string) {
	s.t.log(env, core.Info, "shortcut-down", "peer", s.via.endpoint(), "prefix", s.prefix, "via", s.via.protocol, "cause", why)
	s.drop(env)
}

// expired: a third of the life is over, or all of it.
func (s *shortcut) expired(env *core.Env, timer *core.Timer) {
	if timer == &s.expires {
		s.end(env, "not used any more")
		return
	}
	s.steps++
	env.Emit(s.question())
}

func (s *shortcut) question() dataplane.AskUsed {
	if s.isRoute() {
		return dataplane.AskUsed{VRF: s.t.link.VRF, Prefix: s.prefix}
	}
	return dataplane.AskUsed{Tunnel: s.t.name(), NextHop: s.via.protocol}
}

// used hears whether a shortcut carries traffic. The first third only begins the count; from the second on, one that
// is used is renewed, and one that is not is asked about until it ends.
func (t *tunnel) used(env *core.Env, ev dataplane.Used) {
	p := ev.Prefix
	if ev.NextHop.IsValid() {
		if ev.Tunnel != t.name() {
			return
		}
		p = host(ev.NextHop)
	} else if ev.VRF != t.link.VRF {
		return
	}
	s, ok := t.cuts.Get(p)
	if !ok || !s.live || s.steps == 0 {
		return
	}
	switch {
	case s.steps == 1:
		env.Arm(&s.renew, min(s.hold/3, (s.expires.At()-env.Now())/2))
	case ev.Used:
		s.refresh(env)
	default:
		env.Arm(&s.renew, s.hold/12)
	}
}

// refresh asks the peer again, straight: that works without any hub.
func (s *shortcut) refresh(env *core.Env) {
	if s.t.lookups[s.dst] != nil {
		return
	}
	l := s.t.newLookup(s.dst)
	l.renews = s
	l.begin(env)
}

// renewFailed leaves the shortcut to its holding time.
func (s *shortcut) renewFailed(env *core.Env, reason string) {
	s.t.log(env, core.Info, "renewal-failed", "peer", s.via.endpoint(), "prefix", s.prefix, "cause", reason)
}

// gainPath: the peer answered through the direct path.
func (t *tunnel) gainPath(env *core.Env, b *binding) {
	for _, s := range slices.Clone(b.cuts) {
		s.enter(env)
	}
}

// losePath: nothing leads to the binding any more. Shortcuts that wait for its first answer go on waiting.
func (t *tunnel) losePath(env *core.Env, b *binding) {
	for _, s := range slices.Clone(b.cuts) {
		if s.live || b.peer == nil {
			s.end(env, fmt.Sprintf("%v is gone", b.protocol))
		}
	}
}

// peerFailed makes negative what waited for the peer, and withdraws what used it: traffic is the hub's again.
func (t *tunnel) peerFailed(env *core.Env, b *binding, stage, reason string) {
	for _, s := range slices.Clone(b.cuts) {
		l := t.lookups[s.dst]
		if l == nil {
			l = t.newLookup(s.dst)
		}
		l.renews = nil
		s.end(env, reason)
		l.rest(env, reason)
		l.stage = stage
	}
}

// routeChanged flushes shortcuts whose way into the cloud is gone, and takes back answers we would not give any more.
func (t *tunnel) routeChanged(env *core.Env, c rib.Change) {
	if !t.up || c.VRF != t.link.VRF {
		return
	}
	for _, s := range t.inside(c.Prefix) {
		s.recheck(env)
	}
	t.recheckAnswers(env, c.Prefix)
}

// recheck ends a shortcut whose route leads elsewhere now, or was taken away. One that was lost with its hub is no reason.
func (s *shortcut) recheck(env *core.Env) {
	_, covered := s.t.covering(env, s.dst)
	if s.dst.IsLinkLocalUnicast() || s.t.byCloud(env, s.dst) || !covered && s.orphaned() {
		return
	}
	s.end(env, "the route it shortens is gone")
}

func (t *tunnel) allCuts() []*shortcut {
	var list []*shortcut
	for _, s := range t.cuts.AllSorted() {
		list = append(list, s)
	}
	return list
}

func (t *tunnel) inside(p netip.Prefix) []*shortcut {
	var list []*shortcut
	for _, s := range t.cuts.Subnets(p) {
		list = append(list, s)
	}
	return list
}

// purgeShortcuts hears from the peer, or from a hub, that an answer is not true any more.
func (t *tunnel) purgeShortcuts(env *core.Env, p *Packet, c CIE, from place) {
	scope := netip.PrefixFrom(c.Protocol, c.Bits(c.Protocol.BitLen())).Masked()
	for _, s := range t.allCuts() {
		if !scope.Overlaps(s.prefix) && !scope.Contains(s.via.protocol) {
			continue
		}
		if s.via.place() == from || t.isHub(from) && (p.Source == s.via.protocol || t.isOwnWord(p)) {
			s.end(env, "purged by "+p.Source.String())
			continue
		}
		t.count("purge-from-stranger")
	}
}

// isOwnWord reports whether a purge that a server of ours sent is its own, rather than one that it passed on for anybody:
// passing on takes a hop. FRR begins with 0, which nobody passes on.
func (t *tunnel) isOwnWord(p *Packet) bool {
	return !t.link.Protected || p.HopCount == 255 || p.HopCount == 0
}

// isHub reports whether a server of ours is at the place. On a protected tunnel that is one that has taken a registration
// through this SA: that the SA leads to the server's NBMA address proves nothing, for addresses move and NATs share them.
func (t *tunnel) isHub(p place) bool {
	return t.anyHub(func(h *hub) bool { return h.isAt(p) && (h.up() || !t.link.Protected) })
}

// isHubsPlace reports whether the place is where a server of ours is looked for.
func (t *tunnel) isHubsPlace(p place) bool {
	return t.anyHub(func(h *hub) bool { return h.isAt(p) })
}

func (t *tunnel) anyHub(is func(*hub) bool) bool {
	return slices.ContainsFunc(t.servers, func(s *server) bool { return slices.ContainsFunc(s.hubs, is) })
}

// isPeer reports whether we have to do with who is at the place: a server of ours, or a router we have an adjacency with.
func (t *tunnel) isPeer(p place) bool { return t.isKnown(p) || t.isHub(p) }
