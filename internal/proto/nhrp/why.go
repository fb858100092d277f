package nhrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// States of a [Stage].
const (
	stageOK      = "ok"
	stageWaiting = "waiting"
	stageFailed  = "failed"
)

// StageProtection is the [Stage] that the other module has a hand in.
const StageProtection = "protection"

// Stages that a direct path can fail at, besides the resolution.
const (
	stageProtection = StageProtection
	stageAdjacency  = "adjacency"
)

// inquiry is one `why`: the way to one peer, looked at stage by stage, up to the first that fails.
type inquiry struct {
	now    time.Duration
	rib    *rib.RIB
	name   string
	addr   netip.Addr // the zero Addr when name is a DNS name
	stages []Stage
}

// Why walks the way to a peer or a destination, named by a server's name, an NBMA address, a protocol address, or any
// address that is routed into a cloud. It is nil when there is no such way.
func (m *Module) Why(peer string, now time.Duration, table *rib.RIB) []Stage {
	q := &inquiry{now: now, rib: table, name: peer}
	q.addr, _ = netip.ParseAddr(peer)
	for _, look := range []func(*tunnel) bool{q.server, q.waiting, q.bound, q.turnedDown, q.destination} {
		for _, t := range m.sorted() {
			if look(t) {
				return q.stages
			}
		}
	}
	return nil
}

// add appends a stage; false when the walk ends with it.
func (q *inquiry) add(name, state, detail, remedy string) bool {
	q.stages = append(q.stages, Stage{Name: name, State: state, Detail: detail, Remedy: remedy})
	return state == stageOK
}

// about notes whose protection the last stage is.
func (q *inquiry) about(nbma netip.Addr, sa dataplane.SA) {
	s := &q.stages[len(q.stages)-1]
	s.NBMA, s.SA = nbma, sa
}

// server walks to a next hop server.
func (q *inquiry) server(t *tunnel) bool {
	for _, s := range t.servers {
		for _, h := range s.hubs {
			if h.s.cfg.NBMA == q.name || h.nbma == q.addr || h.hasProtocol(q.addr) {
				q.toHub(h)
				return true
			}
		}
		if s.cfg.NBMA == q.name || s.cfg.Protocol == q.addr && q.addr.IsValid() {
			q.unresolved(s)
			return true
		}
	}
	return false
}

// waiting is for the servers of a tunnel that is not up: nobody has looked for them yet.
func (q *inquiry) waiting(t *tunnel) bool {
	if t.up {
		return false
	}
	return slices.ContainsFunc(t.cfg.Servers, func(s Server) bool {
		return s.NBMA == q.name || s.Protocol == q.addr && q.addr.IsValid()
	}) && !q.tunnel(t)
}

func (h *hub) hasProtocol(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(h.regs, func(r *registration) bool { return r.protocol == a })
}

func (q *inquiry) unresolved(s *server) {
	if !q.tunnel(s.t) {
		return
	}
	state, remedy := stageFailed, "check the name, and that /etc/resolv.conf names a DNS server that answers: getent hosts "+s.cfg.NBMA
	if s.asked {
		state, remedy = stageWaiting, ""
	}
	q.add("resolve server", state, s.reason, remedy)
}

// tunnel is the stage before all: without it there is nothing to say.
func (q *inquiry) tunnel(t *tunnel) bool {
	if t.up {
		return true
	}
	return q.add("underlay route", stageFailed, "tunnel "+t.name()+" is down: "+t.reason,
		"bring the underlay up: spokeway show interfaces, ip -brief address")
}

func (q *inquiry) toHub(h *hub) {
	t := h.s.t
	detail := h.nbma.String()
	if h.s.cfg.NBMA != detail {
		detail = h.s.cfg.NBMA + " is " + detail
	}
	if !q.tunnel(t) || !q.add("resolve server", stageOK, detail, "") || !q.underlay(t, h.nbma) {
		return
	}
	if h.needs && !q.protected(t, h.place(), h.nbma, h.why) {
		return
	}
	if len(h.regs) == 0 {
		q.add("registered", stageWaiting, "a better server of its cluster is in use", "")
		return
	}
	r := h.regs[0]
	for _, other := range h.regs {
		if other.protocol == q.addr && q.addr.IsValid() {
			r = other
		}
	}
	q.registered(r)
}

// protected tells whether there is an SA, and with whom. How far IKE has come it knows itself.
func (q *inquiry) protected(t *tunnel, at place, nbma netip.Addr, why string) bool {
	switch a := t.m.sas[at.sa]; {
	case !t.link.Protected:
		return true
	case a != nil && t.usable(at.sa):
		defer q.about(nbma, at.sa)
		detail := fmt.Sprintf("%s at %s by profile %s", a.Identity, show(a.Remote), a.Profile)
		if a.NAT {
			detail += "; a NAT is on the way"
		}
		return q.add(stageProtection, stageOK, detail, "")
	case why == "":
		defer q.about(nbma, 0)
		return q.add(stageProtection, stageWaiting, fmt.Sprintf("waiting for a security association with %v", nbma), "")
	}
	defer q.about(nbma, 0)
	return q.add(stageProtection, stageFailed, fmt.Sprintf("no security association with %v: %s; it is tried again", nbma, why),
		"spokeway show ike on both ends; compare the profiles' keys, identities and proposals; let UDP ports 500 and 4500 and IP protocol 50 pass")
}

// underlay looks for a way to an NBMA address that does not lead into a tunnel of ours.
func (q *inquiry) underlay(t *tunnel, nbma netip.Addr) bool {
	r, ok := q.rib.Lookup("", nbma)
	if !ok || len(r.NextHops) == 0 {
		return q.add("underlay route", stageFailed, fmt.Sprintf("no route to %v", nbma),
			fmt.Sprintf("ip route get %v; add a route over the underlay", nbma))
	}
	for _, nh := range r.NextHops {
		if t.m.tunnels[nh.Interface] != nil {
			return q.add("underlay route", stageFailed,
				fmt.Sprintf("the route to %v, %v, leads into tunnel %s: packets would go round inside it", nbma, r.Prefix, nh.Interface),
				fmt.Sprintf("keep %v routed over the underlay: ip route add %v via GATEWAY", nbma, host(nbma)))
		}
	}
	return q.add("underlay route", stageOK, fmt.Sprintf("%v by %s %s", nbma, r.Prefix, hops(r)), "")
}

func hops(r rib.Route) string {
	var words []string
	for _, nh := range r.NextHops {
		word := "dev " + nh.Interface
		if nh.Via.IsValid() {
			word = "via " + nh.Via.String() + " " + word
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func (q *inquiry) registered(r *registration) {
	t := r.hub.s.t
	if !r.up {
		state := stageFailed
		if r.tries < missesToFail && !r.heard {
			state = stageWaiting
		}
		q.add("registered", state, r.reason, registerRemedy(r))
		return
	}
	detail := fmt.Sprintf("%v as %v for %v", r.local, t.link.Local, (q.now - r.since).Round(time.Second))
	if r.public.IsValid() {
		detail += fmt.Sprintf("; a NAT shows us as %v", r.public)
	}
	q.add("registered", stageOK, detail, "")
	b := t.bindings[r.protocol]
	if b == nil || !b.installed {
		q.add("adjacency", stageFailed, "the server told no protocol address", "set `protocol:` of the server in the configuration")
		return
	}
	q.add("adjacency", stageOK, fmt.Sprintf("%v at %s", b.protocol, show(b.endpoint())), "")
	q.add("path", stageOK, "direct", "")
}

func registerRemedy(r *registration) string {
	t := r.hub.s.t
	switch {
	case strings.Contains(r.reason, AuthenticationFailure.String()):
		return "set the same nhrp authentication on both ends of tunnel " + t.name()
	case strings.Contains(r.reason, UniqueRegistered.String()):
		return "another router has registered " + r.local.String() + ": give this one another address, or set unique: false there"
	case strings.Contains(r.reason, "does not answer"):
		remedy := fmt.Sprintf("ping %v; let IP protocol 47 pass on the way; compare the GRE key; see `spokeway doctor`", r.hub.nbma)
		switch {
		case t.link.Protected:
			remedy = "the security association is up and the server silent: compare the GRE key; NHRP must run on that tunnel there"
		case t.link.Encapsulation == dataplane.GREUDP:
			remedy = fmt.Sprintf("ping %v; let UDP port 4754 pass on the way; encapsulation must be udp on both ends", r.hub.nbma)
		}
		return remedy
	}
	return ""
}

// bound walks to a client or a resolved peer, by its protocol address or where it is.
func (q *inquiry) bound(t *tunnel) bool {
	for _, b := range t.sortedBindings() {
		if b.server == nil && q.addr.IsValid() && (b.protocol == q.addr || b.endpoint().Addr() == q.addr) {
			q.toBinding(b)
			return true
		}
	}
	return false
}

func (q *inquiry) toBinding(b *binding) {
	t := b.t
	if !q.tunnel(t) {
		return
	}
	endpoint := b.endpoint()
	if b.peer != nil && b.client == nil {
		endpoint = b.peer.endpoint()
	}
	if !q.underlay(t, endpoint.Addr()) {
		return
	}
	if b.client != nil && !q.protected(t, b.client.place, endpoint.Addr(), "") {
		return
	}
	if c := b.client; c != nil {
		detail := fmt.Sprintf("here, from %s, for %v more", t.show(c.place), (c.expires.At() - q.now).Round(time.Second))
		if c.natted() {
			detail += fmt.Sprintf("; a NAT shows %v as %v", c.claimed, c.endpoint().Addr())
		}
		q.add("registered", stageOK, detail, "")
		q.sharedEndpoint(b)
	} else {
		q.add("resolution", stageOK, fmt.Sprintf("%v is at %s", b.protocol, show(endpoint)), "")
	}
	if b.client == nil && !q.peerProtected(b) {
		return
	}
	if !b.installed {
		q.add("adjacency", stageWaiting, "asked through the direct path, no answer yet; traffic goes by the hub", "")
		return
	}
	q.add("adjacency", stageOK, fmt.Sprintf("%v at %s", b.protocol, show(b.endpoint())), "")
	q.add("path", stageOK, "direct", "")
}

// peerProtected tells of the SA with a peer that was resolved.
func (q *inquiry) peerProtected(b *binding) bool {
	x := b.peer
	if x == nil || !b.t.link.Protected {
		return true
	}
	if x.waits() {
		defer q.about(x.nbma, 0)
		return q.add(stageProtection, stageWaiting, fmt.Sprintf("waiting for a security association with %v; traffic goes by the hub", x.nbma), "")
	}
	return q.protected(b.t, x.place, x.nbma, "")
}

// sharedEndpoint warns of clients that plain GRE cannot tell apart.
func (q *inquiry) sharedEndpoint(b *binding) {
	for _, o := range b.t.sortedBindings() {
		if o != b && o.client != nil && o.client.place == b.client.place && o.client.claimed != b.client.claimed {
			q.add("nat", stageFailed, fmt.Sprintf("%v registered from the same address %s: the NAT delivers plain GRE to one of them only",
				o.protocol, b.t.show(b.client.place)), "set encapsulation: udp on both ends of the tunnel")
			return
		}
	}
}

// turnedDown names why a client may not register here.
func (q *inquiry) turnedDown(t *tunnel) bool {
	for _, a := range sortedRefusals(t.refusals) {
		r := t.refusals[a]
		if a == q.addr || r.endpoint.Addr() == q.addr {
			q.add("underlay route", stageOK, "packets arrive from "+show(r.endpoint), "")
			q.add("registered", stageFailed, fmt.Sprintf("refused %v ago: %s", (q.now-r.at).Round(time.Second), r.reason), refusalRemedy(a, r))
			return true
		}
	}
	return false
}

func refusalRemedy(protocol netip.Addr, r refusal) string {
	switch {
	case strings.Contains(r.reason, "authentication"):
		return "set the same nhrp authentication on both ends"
	case strings.Contains(r.reason, "max-clients"):
		return "raise max-clients"
	case strings.Contains(r.reason, "may claim"):
		return "let the profile's binding of that identity name the address, or register another"
	case strings.Contains(r.reason, "unique") || strings.Contains(r.reason, "is registered by"):
		return fmt.Sprintf("give one of the two another address, or forget the old one: spokeway clear nhrp %v", protocol)
	}
	return ""
}

// destination walks to an address behind a cloud.
func (q *inquiry) destination(t *tunnel) bool {
	if !q.addr.IsValid() {
		return false
	}
	r, ok := q.rib.LookupExcept(t.link.VRF, q.addr, isShortcut)
	if !ok {
		return false
	}
	out, nextHop := t.way(r, q.addr)
	if out != t {
		return false
	}
	q.add("route", stageOK, fmt.Sprintf("%s %s", r.Prefix, hops(r)), "")
	if !q.tunnel(t) {
		return true
	}
	hub := t.bestHub(q.addr.Is6())
	if b := t.bindings[nextHop]; b != nil && b.live() {
		q.add("registered", stageOK, fmt.Sprintf("next hop %v is at %s", nextHop, show(b.endpoint())), "")
	} else if hub == nil {
		q.add("registered", stageFailed, fmt.Sprintf("next hop %v is unknown and no server is registered with", nextHop),
			"spokeway show peers names the servers and why they are down")
		return true
	}
	q.direct(t)
	return true
}

// direct tells how far the way past the hub has come.
func (q *inquiry) direct(t *tunnel) {
	if s, ok := t.cuts.Lookup(q.addr); ok && s.live {
		q.add("resolution", stageOK, fmt.Sprintf("%v lies behind %v", s.prefix, s.via.protocol), "")
		q.protected(t, s.via.place(), s.via.endpoint().Addr(), "")
		q.add("adjacency", stageOK, fmt.Sprintf("%v at %s", s.via.protocol, show(s.via.endpoint())), "")
		q.add("path", stageOK, "direct", "")
		return
	} else if ok {
		q.add("resolution", stageOK, fmt.Sprintf("%v lies behind %v", s.prefix, s.via.protocol), "")
		if !q.peerProtected(s.via) {
			return
		}
		q.add("adjacency", stageWaiting, "asked through the direct path, no answer yet; traffic goes by the hub", "")
		return
	}
	l := t.lookups[q.addr]
	switch {
	case l == nil && !t.cfg.Shortcut:
		q.add("path", stageOK, "by the hub: shortcut is off", "")
	case l == nil:
		q.add("path", stageOK, "by the hub: no redirect has come for it", "")
	case (l.state == negative || l.state == resting) && l.stage != "":
		q.add("resolution", stageOK, "answered", "")
		q.add(l.stage, stageFailed, fmt.Sprintf("%s; tried again in %v at the earliest", l.reason, max(0, l.timer.At()-q.now).Round(time.Second)),
			"spokeway show ike; between two NATs there is no direct path; `spokeway clear shortcuts` tries again at once")
	case l.state == negative || l.state == resting:
		q.add("resolution", stageFailed, l.reason+fmt.Sprintf("; asked again in %v at the earliest; traffic goes by the hub", max(0, l.timer.At()-q.now).Round(time.Second)),
			"spokeway why on the far router; `spokeway clear shortcuts` asks again at once")
	default:
		q.add("resolution", stageWaiting, "asked "+t.show(l.asked)+"; traffic goes by the hub", "")
	}
}
