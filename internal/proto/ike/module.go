package ike

import (
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
)

// Name is the module's.
const Name = protect.IKE

// Module is IKEv2 of one router: initiator and responder, for all its tunnels.
type Module struct {
	random   io.Reader
	profiles map[string]*Profile
	tunnels  map[string]Tunnel
	links    map[string]dataplane.Tunnel // protected tunnels, as they were up last
	idle     map[string]bool             // those of them that are down

	sas      map[uint64]*sa          // by our SPI
	begun    map[beginning]*sa       // responders that have not authenticated their peer yet
	guests   map[netip.Prefix]int    // and how many of them are at one site
	wants    map[pair]*want          // whom others asked for
	peers    map[dataplane.SA]*peer  // by handle
	at       map[netip.Addr][]*peer  // by address
	strayed  map[netip.Addr][]*peer  // those that have moved, by the address where they were met
	children map[uint32]*child       // by our SPI
	refused  map[netip.Addr]*refusal // peers that were turned away of late

	handles, spis numbers
	jar           jar
	answers       bucket  // of unprotected notifies that we send
	hints         bucket  // of those we act upon
	alarms        bucket  // of warnings in the log
	unmades       unmades // SAs whose keys the data plane refused
	counters      map[string]uint64
	numbering     uint64
	working       int // jobs that are away
	handling      *sa // whose authentic message is being handled
	keylog        func(file, line string)
	linkMTUs      map[netip.Addr]int // of the interfaces that have an address
}

// beginning is how a responder knows a first message again that is sent again.
type beginning struct {
	remote netip.AddrPort
	spi    uint64 // the initiator's
}

// New makes a module without profiles. Keys, SPIs and nonces come from random.
func New(random io.Reader) *Module {
	m := &Module{
		random:   random,
		profiles: map[string]*Profile{}, tunnels: map[string]Tunnel{}, links: map[string]dataplane.Tunnel{}, idle: map[string]bool{},
		sas: map[uint64]*sa{}, begun: map[beginning]*sa{}, guests: map[netip.Prefix]int{}, wants: map[pair]*want{}, peers: map[dataplane.SA]*peer{},
		at: map[netip.Addr][]*peer{}, strayed: map[netip.Addr][]*peer{}, children: map[uint32]*child{}, refused: map[netip.Addr]*refusal{},
		answers: bucket{rate: 1000, burst: 1000}, hints: bucket{rate: 1000, burst: 2000}, alarms: bucket{rate: 2, burst: 50},
		counters: map[string]uint64{}, linkMTUs: map[netip.Addr]int{},
	}
	m.jar.random = random
	return m
}

// Name implements [core.Module].
func (m *Module) Name() string { return Name }

// goodbye is what the module asks of itself when the router stops: it comes after the other modules' last words,
// which still need their SAs.
type goodbye struct{}

// Handle implements [core.Module].
func (m *Module) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Stop:
		env.Request(Name, goodbye{})
	case core.Request:
		m.request(env, ev.Body)
	case core.Notice:
		m.notice(env, ev.Body)
	case core.Link:
		m.link(ev)
	case core.Expired:
		ev.Timer.Of.(owner).expired(env, ev.Timer)
	case core.Done:
		ev.Tag.(*job).finish(env, ev.Result)
	case dataplane.ReceivedIKE:
		m.handling = nil
		m.receive(env, ev)
	default:
		m.forwarding(env, ev)
	}
}

// owner is what a timer's Of is: the state that armed it.
type owner interface {
	expired(env *core.Env, t *core.Timer)
}

// Clear is the request of `clear`: it closes what filter selects and counts it.
type Clear struct {
	Keep  func(remote, identity string) bool // true leaves it
	Count *int
}

func (m *Module) request(env *core.Env, body any) {
	switch body := body.(type) {
	case Configure:
		m.configure(env, body)
	case protect.Ensure:
		m.ensure(env, body)
	case protect.Release:
		m.release(env, body)
	case Clear:
		m.clear(env, body)
	case goodbye:
		for _, s := range m.sortedSAs() {
			s.close(env, "this router stops")
		}
	}
}

func (m *Module) notice(env *core.Env, body any) {
	switch body := body.(type) {
	case dataplane.TunnelUp:
		m.tunnelUp(env, body.Tunnel)
	case dataplane.TunnelDown:
		m.tunnelDown(env, body)
	}
}

// forwarding handles what the data plane saw.
func (m *Module) forwarding(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case dataplane.Worn:
		if c := m.worn(ev); c != nil {
			c.rekey(env)
		}
	case dataplane.Opened:
		if c := m.children[ev.SPI]; c != nil && c.sa.peer != nil {
			c.opened(env)
		}
	case dataplane.Roamed:
		if p := m.peers[ev.SA]; p != nil {
			p.roamed(env, ev.Local, ev.Remote)
		}
	case dataplane.Carried:
		if p := m.peers[ev.SA]; p != nil {
			p.carried(env, ev.Counters)
		}
	case dataplane.UnknownSPI:
		m.strangeESP(env, ev)
	case dataplane.Failed:
		m.refusedKeys(env, ev)
	}
}

// worn is the child whose keys are near their limit: known by our SPI, or outbound by the peer's.
func (m *Module) worn(ev dataplane.Worn) *child {
	if !ev.Out {
		return m.children[ev.SPI]
	}
	p := m.peers[ev.SA]
	if p == nil || p.active == nil || p.active.peerSPI != ev.SPI {
		return nil
	}
	return p.active
}

// tunnelUp follows a protected tunnel. Its local address may be another than before.
func (m *Module) tunnelUp(env *core.Env, t dataplane.Tunnel) {
	before, known := m.links[t.Name]
	if !t.Protected {
		delete(m.links, t.Name)
		delete(m.idle, t.Name)
		return
	}
	m.links[t.Name] = t
	delete(m.idle, t.Name)
	m.conform(env)
	if known && before.Local != t.Local && !m.serves(before.Local) {
		m.localMoved(env, before.Local, t.Local)
	}
}

// tunnelDown keeps the tunnel's address: it may only have lost its underlay for a moment.
func (m *Module) tunnelDown(env *core.Env, t dataplane.TunnelDown) {
	if _, known := m.links[t.Name]; known {
		m.idle[t.Name] = true
	}
	if t.Removed {
		delete(m.links, t.Name)
		delete(m.idle, t.Name)
	}
	m.conform(env)
}

// serves reports whether a protected tunnel has that local address.
func (m *Module) serves(local netip.Addr) bool {
	for _, t := range m.links {
		if t.Local == local {
			return true
		}
	}
	return false
}

// profileAt is the profile that protects the tunnels of a local address; nil when there is none. Those that are up have
// one; one that is down may be so because it has another.
func (m *Module) profileAt(local netip.Addr) (*Profile, Encapsulation) {
	var idle Tunnel
	for _, name := range slices.Sorted(maps.Keys(m.links)) {
		t := m.tunnels[name]
		if m.links[name].Local != local || m.profiles[t.Profile] == nil {
			continue
		}
		if !m.idle[name] {
			return m.profiles[t.Profile], t.Encapsulation
		}
		idle = t
	}
	return m.profiles[idle.Profile], idle.Encapsulation
}

// conform closes what was made under a profile that its local address does not have any more.
func (m *Module) conform(env *core.Env) {
	for _, s := range m.sortedSAs() {
		if now, _ := m.profileAt(s.local.Addr()); now != nil && now != s.profile {
			s.reconfigure(env, now)
		}
	}
}

// configure takes new profiles. SAs that the new profile would not have come to are closed, so that what was revoked does
// not live on; those that are wanted begin again.
func (m *Module) configure(env *core.Env, c Configure) {
	before := m.profiles
	m.profiles, m.tunnels = map[string]*Profile{}, map[string]Tunnel{}
	for _, p := range c.Profiles {
		m.profiles[p.Name] = p
	}
	for _, t := range c.Tunnels {
		m.tunnels[t.Name] = t
	}
	for name, p := range before {
		if m.profiles[name] != nil && p.equal(m.profiles[name]) {
			m.profiles[name] = p // nothing that was made with it need change
		}
	}
	for _, s := range m.sortedSAs() {
		if now, _ := m.profileAt(s.local.Addr()); now != s.profile {
			s.reconfigure(env, now)
		}
	}
	for _, w := range m.sortedWants() {
		w.reconfigure(env)
	}
}

func (m *Module) clear(env *core.Env, c Clear) {
	for _, s := range m.sortedSAs() {
		if s.phase == established && !c.Keep(s.remote.String(), s.identity.String()) {
			*c.Count++
			s.close(env, "cleared by the operator")
		}
	}
}

func (m *Module) sortedSAs() []*sa {
	return slices.SortedFunc(maps.Values(m.sas), func(a, b *sa) int { return int(a.number) - int(b.number) })
}

func (m *Module) sortedWants() []*want {
	return slices.SortedFunc(maps.Values(m.wants), func(a, b *want) int { return a.pair.compare(b.pair) })
}

func (m *Module) count(what string) { m.counters[what]++ }

// bytes draws n octets.
func (m *Module) bytes(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(m.random, b); err != nil {
		panic("ike: no randomness: " + err.Error())
	}
	return b
}

// Recover ends the SA that an event was about, after its handler failed: the router and the other SAs stay.
func (m *Module) Recover(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case dataplane.ReceivedIKE:
		m.count("handler-failed")
		if m.handling != nil { // whose keys the packet had: what anybody could have sent ends nothing
			m.handling.destroy(env, "an internal error")
		}
	case core.Done:
		ev.Tag.(*job).s.destroy(env, "an internal error")
	case core.Expired:
		if s, ok := ev.Timer.Of.(*sa); ok {
			s.destroy(env, "an internal error")
		}
	}
}

// bucket limits how often something is done: rate per second, burst at once.
type bucket struct {
	rate, burst float64
	level       float64
	at          time.Duration
}

func (b *bucket) take(now time.Duration) bool {
	b.level = min(b.burst, b.level+b.rate*(now-b.at).Seconds())
	if b.at == 0 {
		b.level = b.burst
	}
	b.at = max(now, 1)
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
