package bfd

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/liveness"
)

// Spec is what an engine is told of a session.
type Spec struct {
	ID          uint32 // our discriminator
	Peer, Local netip.Addr
	Index       int  // of the interface; 0 with Multihop: any
	Multihop    bool // RFC 5883
	MinTTL      uint8
	Port        uint16        // source port
	Interval    time.Duration // Desired Min TX and Required Min RX Interval, while the session is up
	Multiplier  uint8
	Passive     bool          // RFC 5880 section 6.1
	Demand      time.Duration // ask the peer this often and have it be silent otherwise (section 6.6); 0: asynchronous mode
	Resume      Remote        // with a discriminator: the session was up in an engine before this one
}

// Remote is what the peer has told of itself.
type Remote struct {
	Discriminator uint32
	State         State
	Diagnostic    Diagnostic
	Multiplier    uint8
	Demand        bool
	DesiredTx     time.Duration
	RequiredRx    time.Duration
}

// Effects for who drives an engine.
type (
	// Set makes a session or changes it.
	Set struct{ Spec }

	// Delete ends a session; the peer hears AdminDown.
	Delete struct{ ID uint32 }

	// Halt tells all peers that the path is down: this router ends.
	Halt struct{}
)

// Events from who drives an engine.
type (
	// Report tells of a session that changed.
	Report struct {
		ID         uint32
		Status     liveness.Status
		State      State
		Diagnostic Diagnostic
		Remote     Remote
		Transmit   time.Duration // between our packets
		Detection  time.Duration // how long silence lasts before the path is down
		Held       time.Duration // how long the session is kept down, since it flaps
	}

	// Lost tells that the engine is gone with all its sessions, and why. Nothing is known of any path.
	Lost struct{ Reason string }

	// Ready tells that there is an empty engine: every session is to be set again.
	Ready struct{}
)

// Received is a UDP datagram to one of our ports. Payload is borrowed.
type Received struct {
	Peer, Local netip.Addr
	Index       int // of the interface it came in by
	TTL         uint8
	Multihop    bool // to port 4784
	Payload     []byte
}

// Send is a UDP datagram to be sent, from Spec's address and source port, with TTL 255.
type Send struct {
	Spec    *Spec // borrowed until the engine's next call
	Payload [PacketLen]byte
}

// Engine runs sessions. The same calls with the same chance give the same packets. It belongs to one goroutine. In steady
// state it does not allocate.
type Engine struct {
	Discards [discards]uint64 // received packets that were dropped, by [Discard]

	rand    *rand.Rand
	now     time.Duration
	byID    map[uint32]*session
	byKey   map[key]*session
	flapped map[key]flaps // of paths without a session
	timers  timers
	sends   []Send
	changed []*session
	reports []Report
}

// key is where a packet without Your Discriminator belongs, RFC 5881 section 3 and RFC 5883 section 4.
type key struct {
	peer, local netip.Addr
	index       int
	multihop    bool
}

// sane is a spec that no engine runs wild with.
func (s Spec) sane() Spec {
	s.Interval, s.Multiplier = max(s.Interval, LeastInterval), max(s.Multiplier, 1)
	return s
}

// LeastInterval is the shortest between packets of a session.
const LeastInterval = 10 * time.Millisecond

func (s *Spec) key() key {
	k := key{s.Peer, s.Local, s.Index, s.Multihop}
	if s.Multihop {
		k.index = 0
	}
	return k
}

// NewEngine makes an engine without sessions.
func NewEngine(chance *rand.Rand) *Engine {
	return &Engine{rand: chance, byID: map[uint32]*session{}, byKey: map[key]*session{}, flapped: map[key]flaps{}}
}

// Sessions is how many there are, those that are ending included.
func (e *Engine) Sessions() int { return len(e.byID) }

// Set makes a session or changes it. One with another discriminator for the same path is forgotten.
func (e *Engine) Set(now time.Duration, spec Spec) {
	e.now = now
	s := e.byID[spec.ID]
	if s != nil && s.spec.key() == spec.key() && !s.closing {
		s.configure(e, spec)
		return
	}
	if s != nil {
		e.forget(s)
	}
	if other := e.byKey[spec.key()]; other != nil {
		e.forget(other)
	}
	s = newSession(spec)
	s.flaps = e.flapped[spec.key()]
	delete(e.flapped, spec.key())
	e.byID[spec.ID], e.byKey[spec.key()] = s, s
	s.begin(e)
}

// Delete ends a session. A peer that has heard of it is told, for as long as it needs to hear of it (section 6.8.16).
func (e *Engine) Delete(now time.Duration, id uint32) {
	e.now = now
	s := e.byID[id]
	switch {
	case s == nil || s.closing:
	case s.remote.Discriminator == 0:
		e.forget(s)
	default:
		s.close(e)
	}
}

// Halt tells every peer that the path is down.
func (e *Engine) Halt(now time.Duration) {
	e.now = now
	for _, id := range slices.Sorted(maps.Keys(e.byID)) {
		if s := e.byID[id]; s.state != Down && !s.closing {
			s.halt(e)
		}
	}
}

// Reset forgets every session without a word.
func (e *Engine) Reset() {
	clear(e.byID)
	clear(e.byKey)
	clear(e.flapped)
	clear(e.timers)
	e.timers, e.sends, e.changed = e.timers[:0], e.sends[:0], e.changed[:0]
}

func (e *Engine) forget(s *session) {
	e.timers.stop(&s.tx)
	e.timers.stop(&s.detect)
	delete(e.byID, s.spec.ID)
	if k := s.spec.key(); e.byKey[k] == s {
		delete(e.byKey, k)
	}
	s.gone = true
	e.remember(s)
}

// remember keeps the flaps of a path whose session ends. There are never more than a few for each session that can be.
func (e *Engine) remember(s *session) {
	if len(e.flapped) >= maxSessions {
		maps.DeleteFunc(e.flapped, func(_ key, f flaps) bool { return f.over(e.now) })
	}
	if !s.flaps.over(e.now) && len(e.flapped) < maxSessions {
		e.flapped[s.spec.key()] = s.flaps
	}
}

// Receive takes a datagram, RFC 5880 section 6.8.6.
func (e *Engine) Receive(now time.Duration, r Received) {
	e.now = now
	p, err := Parse(r.Payload)
	if err == nil {
		var s *session
		if s, err = e.find(r, &p); err == nil {
			s.receive(e, &p)
		}
	}
	if d, ok := err.(Discard); ok {
		e.Discards[d]++
	}
}

// find is the session a packet belongs to. Strangers get no state, and who knows a discriminator must also be at the
// address and interface of its session: section 6.3 would let both change, which nobody needs and a forger would like.
func (e *Engine) find(r Received, p *Packet) (*session, error) {
	if !r.Multihop && r.TTL != TTL { // before all: it tells whether the rest can be believed
		return nil, BadTTL
	}
	k := key{r.Peer, r.Local, r.Index, r.Multihop}
	if r.Multihop {
		k.index = 0
	}
	if p.Yours == 0 && p.State != Down && p.State != AdminDown {
		return nil, NotDown
	}
	s := e.byKey[k]
	if p.Yours != 0 {
		s = e.byID[p.Yours]
	}
	switch {
	case s == nil && p.Yours != 0:
		return nil, UnknownSession
	case s == nil:
		return nil, Stranger
	case s.spec.key() != k:
		return nil, OtherSender
	case r.Multihop && r.TTL < s.spec.MinTTL:
		return nil, BadTTL
	}
	return s, nil
}

// Expire does what is due. Who drives the engine has it receive first what is there already: a packet that waited for us
// was not missing.
func (e *Engine) Expire(now time.Duration) {
	e.now = now
	for len(e.timers) > 0 && e.timers[0].at <= now {
		t := e.timers[0]
		e.timers.stop(t)
		if t.detects {
			t.session.silent(e)
		} else {
			t.session.due(e)
		}
	}
}

// Stalled tells that who drives the engine was kept from it for a while, as all of the host may have been. Silence meanwhile
// proves nothing: each peer for whom that was long has one interval more to be heard, so that a failure is noticed no later
// than that. It counts as often as packets may be missed.
func (e *Engine) Stalled(now, late time.Duration) {
	e.now = now
	for _, s := range e.byID {
		s.excuse(now, late)
	}
}

// Next is when something is due; false when nothing is.
func (e *Engine) Next() (time.Duration, bool) {
	if len(e.timers) == 0 {
		return 0, false
	}
	return e.timers[0].at, true
}

// Sends are the datagrams since the last call. They are valid until the next call to the engine.
func (e *Engine) Sends() []Send {
	out := e.sends
	e.sends = e.sends[:0]
	return out
}

// Reports tell of up to limit sessions that changed since they were last told of, each as it is now. They are valid until
// the next call.
func (e *Engine) Reports(limit int) []Report {
	n := min(limit, len(e.changed))
	e.reports = e.reports[:0]
	for _, s := range e.changed[:n] {
		s.dirty = false
		if !s.gone && !s.closing {
			e.reports = append(e.reports, s.report())
		}
	}
	rest := copy(e.changed, e.changed[n:])
	clear(e.changed[rest:])
	e.changed = e.changed[:rest]
	return e.reports
}
