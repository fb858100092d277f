package ike

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
)

// pair is two underlay addresses that protected traffic goes between.
type pair struct{ local, remote netip.Addr }

func (a pair) compare(b pair) int {
	return cmp.Or(a.local.Compare(b.local), a.remote.Compare(b.remote))
}

// want is a peer that somebody asked for. It is tried until it is there, and again when it is lost, as long as
// anybody asks.
type want struct {
	m *Module
	pair
	profile       *Profile
	encapsulation Encapsulation
	tunnels       map[string]bool // who asks
	not           []dataplane.SA  // handles at the address that lead to somebody else
	urgent        bool
	trying        *sa
	fails         int
	turn          int    // which PSK is used next
	reason        string // of the last failure
	told          string // to the log
	toldAt        time.Duration
	retry         core.Timer
}

// The next attempt comes after a second, then after twice as long each time.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	hubRetry   = 15 * time.Second // of what is urgent, at most
	spread     = 50 * time.Millisecond
)

// ensure takes an [protect.Ensure].
func (m *Module) ensure(env *core.Env, e protect.Ensure) {
	t := m.tunnels[e.Tunnel]
	profile := m.profiles[t.Profile]
	if profile == nil {
		env.Publish(protect.Failed{Local: e.Local, Remote: e.Remote, Reason: "tunnel " + e.Tunnel + " has no profile"})
		return
	}
	at := pair{e.Local, e.Remote}
	w := m.wants[at]
	if w == nil {
		w = &want{m: m, pair: at, tunnels: map[string]bool{}}
		w.retry = core.Timer{Name: "protect " + e.Remote.String(), Of: w}
		m.wants[at] = w
	}
	again := w.tunnels[e.Tunnel]
	w.profile, w.encapsulation = profile, t.Encapsulation
	w.tunnels[e.Tunnel] = true
	w.urgent = w.urgent || e.Urgent
	w.not = e.Not
	if w.satisfied(env) {
		if again {
			m.doubted(env, at)
		}
		return
	}
	if w.trying != nil {
		return
	}
	w.fails = 0
	wait := time.Duration(0)
	if !w.urgent {
		wait = env.Jitter(spread, 1) // the other end may be about to do the same
	}
	env.Arm(&w.retry, wait)
}

// doubted asks peers whether they live, quickly: who asked for one again has heard nothing of it.
func (m *Module) doubted(env *core.Env, at pair) {
	for p := range m.peersFor(at) {
		if s := p.newest(); s != nil {
			s.doubt(env)
		}
	}
}

// doubt asks the peer whether it lives, quickly.
func (s *sa) doubt(env *core.Env) {
	if s.request == nil && s.phase == established {
		s.quick = true
		s.enqueue(env, &liveness{})
	}
}

// satisfied tells of the handles that lead to the wanted address, if there are any that may be the right ones.
func (w *want) satisfied(env *core.Env) bool {
	found := false
	for p := range w.m.peersFor(w.pair) {
		if p.up {
			env.Publish(p.notice())
			found = found || !slices.Contains(w.not, p.handle)
		}
	}
	return found
}

// peersFor are the peers that an address leads to or, before they moved, led to.
func (m *Module) peersFor(at pair) iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		for _, list := range [][]*peer{m.at[at.remote], m.strayed[at.remote]} {
			for _, p := range slices.Clone(list) {
				if p.local == at.local && !yield(p) {
					return
				}
			}
		}
	}
}

// expired: time for an attempt. While the peer is at it from its side, ours waits for what comes of that.
func (w *want) expired(env *core.Env, _ *core.Timer) {
	if w.trying != nil || w.satisfied(env) {
		return
	}
	if w.m.approached(env.Now(), w.pair) {
		env.Arm(&w.retry, firstRetry)
		return
	}
	w.attempt(env)
}

func (w *want) attempt(env *core.Env) {
	port := uint16(dataplane.IKEPort)
	if !w.urgent == (w.fails%2 == 0) { // a path that NATs hinder may open from both sides; a network may let only one pass
		port = dataplane.NATPort
	}
	w.trying = w.m.initiate(env, w, port)
}

// approached reports whether a peer at that address is proving itself to us. A first message alone, which anybody can
// send in its name, holds us up no longer than the next takes to come.
func (m *Module) approached(now time.Duration, at pair) bool {
	for _, s := range m.begun {
		if s.remote.Addr() == at.remote && s.local.Addr() == at.local && (s.heard > s.begunAt || now-s.begunAt < firstRetry) {
			return true
		}
	}
	return false
}

// failed hears that an attempt came to nothing.
func (w *want) failed(env *core.Env, s *sa, reason string) {
	if w.trying == s {
		w.trying = nil
	}
	if w.m.wants[w.pair] != w {
		return
	}
	w.m.countFailure(reason)
	w.fails++
	w.turn++
	w.reason = reason
	if news(w.told, reason, env.Now()-w.toldAt) && w.m.alarms.take(env.Now()) {
		w.told, w.toldAt = reason, env.Now()
		env.Log(core.Warn, "failed", "peer", w.pair.remote, "local", w.pair.local, "cause", reason, "attempt", w.fails)
	}
	env.Publish(protect.Failed{Local: w.pair.local, Remote: w.pair.remote, Reason: reason})
	w.again(env)
}

// again arms the next attempt.
func (w *want) again(env *core.Env) {
	longest := lastRetry
	if w.urgent {
		longest = hubRetry
	}
	env.Arm(&w.retry, env.Jitter(min(firstRetry<<min(w.fails, 10), longest), 0.25))
}

// lost hears that the peer's last SA is gone. One that served is made again at once; after one that came to nothing, as
// when each child is refused, the pause is that of a failure.
func (w *want) lost(env *core.Env, reason string, served bool) {
	w.reason = reason
	switch {
	case w.trying != nil:
	case served:
		w.fails = 0
		env.Arm(&w.retry, env.Jitter(spread, 1))
	default:
		w.again(env)
	}
}

// release takes a [protect.Release]. With the last who asked, what we began ends, unless the peer goes on using it.
func (m *Module) release(env *core.Env, r protect.Release) {
	at := pair{r.Local, r.Remote}
	w := m.wants[at]
	if w == nil {
		return
	}
	delete(w.tunnels, r.Tunnel)
	if len(w.tunnels) == 0 {
		w.drop(env)
		for p := range m.peersFor(at) {
			p.leave(env)
		}
	}
}

// drop forgets the want and gives up what is being tried.
func (w *want) drop(env *core.Env) {
	env.Stop(&w.retry)
	delete(w.m.wants, w.pair)
	if s := w.trying; s != nil {
		w.trying = nil
		s.destroy(env, "not needed any more")
	}
}

// reconfigure follows a change of profiles.
func (w *want) reconfigure(env *core.Env) {
	for name := range w.tunnels {
		if w.m.profiles[w.m.tunnels[name].Profile] == nil {
			delete(w.tunnels, name)
		}
	}
	if len(w.tunnels) == 0 {
		w.drop(env)
		return
	}
	for name := range w.tunnels {
		t := w.m.tunnels[name]
		w.encapsulation = t.Encapsulation
		if profile := w.m.profiles[t.Profile]; profile != w.profile {
			w.profile, w.fails = profile, 0
			env.Arm(&w.retry, 0)
		}
	}
}
