package nhrp

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/gaissmai/bart"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/rib"
)

// Bounds of what peers can make one tunnel hold.
const (
	maxLookups  = 1024  // resolutions under way or failed of late
	maxAnswered = 16384 // answers that we would have to take back
	maxRefusals = 256   // refused registrations remembered for show and why
)

// tunnel is NHRP on one interface.
type tunnel struct {
	m        *Module
	cfg      *Config
	link     dataplane.Tunnel
	up       bool
	reason   string // why not up
	expects  bool   // routers that are not registered here were told where we are
	stale    bool   // answers given from another underlay address are to be taken back
	servers  []*server
	bindings map[netip.Addr]*binding
	cuts     *bart.Table[*shortcut]
	lookups  map[netip.Addr]*lookup
	byID     map[uint32]transaction
	answered *bart.Table[[]answer]
	answers  int
	swept    time.Duration                 // when answers that are over were last dropped for room
	about    map[netip.Addr][]netip.Prefix // what was answered about a client
	clients  int
	refusals map[netip.Addr]refusal
	limiter  limiter
	errors   limiter
	warnings limiter              // of log lines, by peer
	alarms   limiter              // and of all together
	fallback [2]netip.Addr        // by family: IPv4, IPv6
	at       map[place][]*binding // by all that they hang on, be it hidden under something better
	counters map[string]uint64

	needs   map[netip.Addr]*need           // NBMA addresses that SAs are asked for with
	seeking []*peer                        // that are not up, on a protected tunnel
	speaks  map[dataplane.SA][2]netip.Addr // the protocol address that the peer of an SA has, by family
}

// transaction is a request of ours that waits for the reply with its ID.
type transaction interface {
	replied(env *core.Env, p *Packet, from place)
	failed(env *core.Env, reason string, from place)
}

func newTunnel(m *Module, cfg *Config) *tunnel {
	t := &tunnel{
		m: m, cfg: cfg, reason: m.reasons[cfg.Tunnel],
		bindings: map[netip.Addr]*binding{}, cuts: new(bart.Table[*shortcut]),
		lookups: map[netip.Addr]*lookup{}, byID: map[uint32]transaction{},
		at: map[place][]*binding{}, answered: new(bart.Table[[]answer]), about: map[netip.Addr][]netip.Prefix{}, refusals: map[netip.Addr]refusal{}, counters: map[string]uint64{},
		needs: map[netip.Addr]*need{}, speaks: map[dataplane.SA][2]netip.Addr{},
		limiter: newLimiter(cfg.Rate), errors: newLimiter(Rate{PerSecond: 2, Burst: 10}),
		warnings: newLimiter(Rate{PerSecond: 1, Burst: 3}),
		alarms:   newLimiter(Rate{PerSecond: 5, Burst: 50}),
	}
	if t.reason == "" {
		t.reason = "the tunnel interface is not up yet"
	}
	return t
}

func (t *tunnel) name() string { return t.cfg.Tunnel }

func (t *tunnel) count(what string) { t.counters[what]++ }

// log writes one line with the tunnel, and the peer where there is one.
func (t *tunnel) log(env *core.Env, level core.Level, event string, args ...any) {
	env.Log(level, event, append([]any{"tunnel", t.name()}, args...)...)
}

// linkUp hears that the tunnel forwards, or that something of it changed. Either way we register again at once: the
// underlay may be another.
func (t *tunnel) linkUp(env *core.Env, link dataplane.Tunnel) {
	known := t.link.Local.IsValid()
	if known && t.link.Local != link.Local {
		t.log(env, core.Info, "underlay-changed", "from", t.link.Local, "to", link.Local)
		t.stale = true
	}
	if known && !slices.Equal(t.link.Addresses, link.Addresses) {
		t.stale = true
	}
	if t.up && t.link.VRF != link.VRF {
		t.bring(env, false, "moved to another VRF")
	}
	if t.up && t.link.Protected != link.Protected {
		t.bring(env, false, "protection was switched on or off")
	}
	t.link = link
	t.relocate(env)
	t.bring(env, true, "")
	t.listen(env)
	for _, b := range t.sortedBindings() {
		b.settle(env) // the mask may be another: host routes come and go with it
	}
	t.startServers(env)
	t.recall(env)
}

// bring records whether the tunnel is up. Down, nothing that was learned through it is believed any more.
func (t *tunnel) bring(env *core.Env, up bool, reason string) {
	t.up, t.reason = up, reason
	if up {
		return
	}
	t.expects = false
	t.stopServers(env, reason)
	for _, l := range sortedLookups(t.lookups) {
		l.drop(env)
	}
	for _, b := range t.sortedBindings() {
		b.forget(env)
	}
}

// reconfigure changes what differs, and registers again when a server could judge us otherwise now.
func (t *tunnel) reconfigure(env *core.Env, cfg *Config) {
	if reflect.DeepEqual(t.cfg, cfg) {
		return
	}
	if t.up && t.cfg.Profile != cfg.Profile {
		t.bring(env, false, "another profile protects it now")
		defer t.linkUp(env, t.link)
	}
	t.cfg = cfg
	t.limiter = newLimiter(cfg.Rate)
	t.listen(env)
	for _, b := range t.sortedBindings() {
		b.settle(env)
	}
	if !cfg.Shortcut {
		t.clearShortcuts(env, "")
	}
	if t.up {
		t.startServers(env)
	}
}

// goodbye takes back what others hold of us (RFC 2332 section 5.2.5): our registrations, our answers, and our clients'
// belief that they are registered.
func (t *tunnel) goodbye(env *core.Env) {
	if !t.up {
		return
	}
	for _, s := range t.servers {
		for _, h := range s.hubs {
			h.purge(env)
		}
	}
	t.withdrawAnswers(env)
	t.dismiss(env)
}

// own is our protocol address of the family, the zero Addr when we have none. Link-local ones come last.
func (t *tunnel) own(ipv6 bool) netip.Addr {
	var linkLocal netip.Addr
	for _, p := range t.link.Addresses {
		switch a := p.Addr(); {
		case a.Is6() != ipv6:
		case a.IsLinkLocalUnicast():
			linkLocal = a
		default:
			return a
		}
	}
	return linkLocal
}

// isOwn reports whether a is one of our protocol addresses on this tunnel.
func (t *tunnel) isOwn(a netip.Addr) bool {
	for _, p := range t.link.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// onLink reports whether the tunnel's own prefix covers a, so that it needs no route of ours. Tunnel addresses may
// have any mask; with /32 it never does.
func (t *tunnel) onLink(a netip.Addr) bool {
	for _, p := range t.link.Addresses {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// endpoint is where a peer with this NBMA address is when nothing better is known.
func (t *tunnel) endpoint(nbma netip.Addr) dataplane.Endpoint {
	if t.link.Encapsulation == dataplane.GREUDP {
		return netip.AddrPortFrom(nbma, dataplane.UDPPort)
	}
	return netip.AddrPortFrom(nbma, 0)
}

// packet is a packet of ours with what all have in common. Hop count as Cisco sends it; it rejects 0.
func (t *tunnel) packet(typ Type, source, destination netip.Addr) *Packet {
	return &Packet{
		Type: typ, HopCount: 255, SourceNBMA: t.link.Local, Source: source, Destination: destination,
		IPv6Protocol: source.Is6(),
	}
}

// send puts the packet into GRE. The authentication extension is made anew for each hop, in the place it has.
//
// On a protected tunnel nothing leaves but through an SA.
func (t *tunnel) send(env *core.Env, to place, p *Packet) {
	at := t.where(to)
	if t.link.Protected && !t.usable(to.sa) || !at.IsValid() {
		t.count("not-sent-unprotected")
		return
	}
	payload := t.authenticate(p).Append(nil)
	if len(payload) == 0 {
		t.count("packet-too-large")
		return
	}
	t.count("sent-" + words(p.Type))
	env.Emit(dataplane.Send{Tunnel: t.name(), To: at, SA: to.sa, Protocol: EtherType, Payload: payload})
}

// authenticate puts our password where the packet has an authentication extension, or before the NAT address, where
// Cisco has it. Error indications carry none (RFC 2332 section 5.2.7).
func (t *tunnel) authenticate(p *Packet) *Packet {
	out := *p
	out.Extensions = make([]Extension, 0, len(p.Extensions)+1)
	done := t.cfg.Authentication == "" || p.Type == ErrorIndication
	for _, x := range p.Extensions {
		if x.Type == Authentication {
			continue
		}
		if x.Type == NATAddress && !done {
			out.Extensions = append(out.Extensions, AuthenticationExtension(t.cfg.Authentication))
			done = true
		}
		out.Extensions = append(out.Extensions, x)
	}
	if !done {
		out.Extensions = append(out.Extensions, AuthenticationExtension(t.cfg.Authentication))
	}
	return &out
}

// registrationID is the request ID of one registration, the same over restarts once it was accepted (RFC 2332
// section 5.2.3): Cisco wants the purge to carry the ID of what it takes back.
func (t *tunnel) registrationID(env *core.Env, key string) (id uint32, kept bool) {
	stored, err := strconv.ParseUint(t.m.stored[key], 10, 32)
	if err == nil && t.byID[uint32(stored)] == nil {
		return uint32(stored), true
	}
	return t.newID(env), false
}

// newID is a request ID that is not in use. It is drawn rather than counted up from 0, as RFC 2332 section 5.2.1 would
// have it: replies, errors and purges are believed by their ID, so that it must not be guessed.
func (t *tunnel) newID(env *core.Env) uint32 {
	for {
		if id := env.Rand().Uint32(); id != 0 && t.byID[id] == nil {
			return id
		}
	}
}

// isShortcut tells the shortcuts among the RIB's offers: NHRP looks at the way without them.
func isShortcut(r rib.Route) bool { return r.Override && r.Protocol == rib.NHRP }

// covering is the route to a that is not a shortcut.
func (t *tunnel) covering(env *core.Env, a netip.Addr) (rib.Route, bool) {
	return env.RIB().LookupExcept(t.link.VRF, a, isShortcut)
}

// way is the tunnel of our cloud and the protocol next hop by which a route leaves for a.
func (t *tunnel) way(r rib.Route, a netip.Addr) (*tunnel, netip.Addr) {
	for _, nh := range r.NextHops {
		out := t.m.inCloud(t.cfg.NetworkID, nh.Interface)
		if out == nil || !out.up {
			continue
		}
		if nh.Via.IsValid() {
			return out, nh.Via
		}
		return out, a
	}
	return nil, netip.Addr{}
}

// ownLike is our protocol address of the same family and scope as a, else of the same family.
func (t *tunnel) ownLike(a netip.Addr) netip.Addr {
	for _, p := range t.link.Addresses {
		if o := p.Addr(); o.Is6() == a.Is6() && o.IsLinkLocalUnicast() == a.IsLinkLocalUnicast() {
			return o
		}
	}
	return t.own(a.Is6())
}
