package bfd

import (
	"time"

	"github.com/spokeway/spokeway/internal/liveness"
)

const (
	slow     = time.Second          // least Desired Min TX Interval while a session is not up, RFC 5880 section 6.8.3
	spacing  = 5 * time.Millisecond // at least, between packets that a peer or a change provokes (section 6.8.7)
	farewell = 10 * time.Second     // that a session ends for, at most

	// Session hysteresis, RFC 5882 section 3.1. A session that falls again and again soon after it rose is kept down for a
	// while, each time for twice as long: the flapping would cost its clients more than doing without.
	steady      = 5 * time.Second // whoever was up so long, and twice as long as it was kept down, has not flapped
	forgiven    = 3               // falls in a row that cost nothing
	holdLeast   = time.Second
	holdLongest = time.Minute

	jitterMost  = 0.25 // of the interval, section 6.8.7
	jitterLeast = 0.10 // with a multiplier of 1
)

// session is one session. Names follow the variables of RFC 5880 section 6.8.1.
type session struct {
	spec   Spec
	state  State
	diag   Diagnostic
	status liveness.Status
	remote Remote

	// What we announce, and what we go by until the peer has confirmed it, section 6.8.3.
	desiredTx, requiredRx time.Duration
	usedTx, usedRx        time.Duration

	polling   bool // a Poll Sequence is on, section 6.5
	again     bool // something changed meanwhile: it takes another
	owesFinal bool
	provoked  bool          // the next packet is due whether or not packets are sent periodically
	asked     time.Duration // when the Poll Sequence began, for demand mode

	heard, sent time.Duration
	excused     uint8 // how often silence was put down to us since the peer was heard
	began       bool  // heard is valid
	spoke       bool  // sent is valid
	tx, detect  timer

	flaps

	resumed bool // taken over from another engine, and not confirmed by the peer yet
	closing bool
	until   time.Duration // with closing
	dirty   bool          // on the list of changes
	gone    bool
}

// flaps are the falls of a path, which are remembered over its sessions: who is told of a failure often ends the session
// and begins another.
type flaps struct {
	rose  time.Duration // when it was up last
	falls int           // in a row, each soon after it rose
	hold  time.Duration // how long it is kept down
	held  time.Duration // until when
}

// over tells that the path has been left alone for so long that nothing is to be remembered.
func (f *flaps) over(now time.Duration) bool {
	return f.falls == 0 || now-max(f.rose, f.held) >= max(steady, 2*f.hold)
}

func newSession(spec Spec) *session {
	spec = spec.sane()
	s := &session{spec: spec, state: Down, remote: Remote{State: Down, RequiredRx: time.Microsecond}}
	s.tx.session, s.detect.session, s.detect.detects = s, s, true
	s.desiredTx, s.requiredRx = max(spec.Interval, slow), spec.Interval
	s.usedTx, s.usedRx = s.desiredTx, s.requiredRx
	return s
}

// begin starts to speak, unless it is for the peer to do so, at a time of the session's own: many begin together.
func (s *session) begin(e *Engine) {
	if s.spec.Resume.Discriminator != 0 {
		s.resume(e)
		return
	}
	s.mark(e)
	if s.periodic() {
		e.timers.arm(&s.tx, e.now+s.part(e, s.spec.Interval))
	}
}

// resume goes on where another engine ended, so that a peer that has not missed us misses nothing. What comes of it is told
// as news only once the peer has been heard.
func (s *session) resume(e *Engine) {
	s.state, s.remote, s.resumed = Up, s.spec.Resume, true
	s.desiredTx = s.spec.Interval
	s.usedTx, s.usedRx = s.desiredTx, s.requiredRx
	s.heard, s.began = e.now, true
	s.watch(e)
	e.timers.arm(&s.tx, e.now+s.part(e, min(s.txInterval(), spacing)))
}

func (s *session) part(e *Engine, d time.Duration) time.Duration {
	return time.Duration(e.rand.Float64() * float64(d))
}

// configure takes another spec for the same path.
func (s *session) configure(e *Engine, spec Spec) {
	demand, passive := s.demanding(), s.spec.Passive
	s.spec = spec.sane()
	s.announce(e)
	if passive && !s.spec.Passive {
		s.soon(e) // somebody who does not wait watches it too now: the peer may wait as we did
	}
	if s.demanding() != demand {
		s.heard = e.now // the peer was silent because we wanted it
		s.soon(e)
	}
	s.watch(e)
	s.mark(e)
}

// announce brings what we announce in line with spec and state. A Poll Sequence makes the peer know it; until it does,
// intervals that would surprise the peer are not used (section 6.8.3).
func (s *session) announce(e *Engine) {
	desired, required := s.spec.Interval, s.spec.Interval
	if s.state != Up {
		desired = max(desired, slow)
	}
	if desired == s.desiredTx && required == s.requiredRx {
		return
	}
	s.desiredTx, s.requiredRx = desired, required
	if s.state != Up || desired < s.usedTx {
		s.usedTx = desired
	}
	if s.state != Up || required > s.usedRx {
		s.usedRx = required
	}
	s.poll(e)
	s.soon(e)
}

// poll begins a Poll Sequence, section 6.5.
func (s *session) poll(e *Engine) {
	s.again = s.polling
	if !s.polling {
		s.polling, s.asked = true, e.now
	}
}

// settle ends a Poll Sequence: the peer knows what we announce.
func (s *session) settle(e *Engine) {
	if s.again {
		s.again, s.asked = false, e.now
		return
	}
	s.polling, s.usedTx, s.usedRx = false, s.desiredTx, s.requiredRx
}

// receive is the part of section 6.8.6 that is about the session.
func (s *session) receive(e *Engine, p *Packet) {
	before, waits, told := s.txInterval(), s.detection(), s.remote
	s.remote = Remote{p.Mine, p.State, p.Diagnostic, p.Multiplier, p.Demand, p.DesiredTx, p.RequiredRx}
	if s.polling && p.Final {
		s.settle(e)
	}
	if s.closing {
		return
	}
	s.heard, s.began, s.excused = e.now, true, 0
	demand := s.demanding()
	s.move(e, input(p.State))
	s.confirm(e)
	if s.demanding() != demand {
		s.soon(e)
	}
	if p.Poll {
		s.owesFinal = true
		s.soon(e)
	}
	if told != s.remote || before != s.txInterval() || waits != s.detection() {
		s.mark(e)
	}
	s.keepPace(e, before)
	s.watch(e)
}

// confirm tells that a resumed session has lived on.
func (s *session) confirm(e *Engine) {
	if s.resumed && s.state == Up && s.remote.State == Up {
		s.resumed = false
		s.rise(e)
	}
}

func (s *session) rise(e *Engine) {
	s.status, s.rose = liveness.Up, e.now
	s.mark(e)
}

// move makes the transition, if there is one, and what follows of it.
func (s *session) move(e *Engine, on input) {
	m, ok := moves[moment{s.state, on}]
	if on == heardAdminDown && s.status != liveness.AdminDown {
		s.status = liveness.AdminDown // also if we were down already: then it was no failure
		s.mark(e)
	}
	if !ok || s.state == Down && e.now < s.held {
		return
	}
	was := s.state
	if s.state = m.to; m.diag != keep {
		s.diag = m.diag
	}
	switch {
	case m.to == Up:
		s.resumed = false
		s.rise(e)
	case was == Up:
		s.fall(e, on)
	}
	s.announce(e)
	s.soon(e)
	s.mark(e)
}

// fall is the end of a session that was up.
func (s *session) fall(e *Engine, on input) {
	if !s.resumed && on != heardAdminDown {
		s.status = liveness.Down
		s.dampen(e)
	}
	s.resumed = false
}

// dampen keeps a session down that flaps.
func (s *session) dampen(e *Engine) {
	if e.now-s.rose >= max(steady, 2*s.hold) {
		s.falls, s.hold = 0, 0
	}
	if s.falls++; s.falls > forgiven {
		s.hold = min(max(2*s.hold, holdLeast), holdLongest)
		s.held = e.now + s.hold
	}
}

// Transmission.

// txInterval is the one between our packets before jitter, section 6.8.2.
func (s *session) txInterval() time.Duration { return max(s.usedTx, s.remote.RequiredRx) }

// periodic tells whether we send without being provoked, section 6.8.7.
func (s *session) periodic() bool {
	switch {
	case s.spec.Passive && s.remote.Discriminator == 0:
		return false
	case s.remote.RequiredRx == 0:
		return false
	case s.remote.Demand && s.state == Up && s.remote.State == Up:
		return s.polling
	}
	return true
}

// jittered is an interval between two packets, section 6.8.7.
func (s *session) jittered(e *Engine) time.Duration {
	d, least := s.txInterval(), 0.0
	if s.spec.Multiplier == 1 {
		least = jitterLeast
	}
	return d - time.Duration(float64(d)*(least+(jitterMost-least)*e.rand.Float64()))
}

// soon sends now, or as soon as the last packet is long enough ago. A passive session waits to be spoken to.
func (s *session) soon(e *Engine) {
	if s.spec.Passive && s.remote.Discriminator == 0 {
		return
	}
	s.provoked = true
	at := e.now
	if s.spoke {
		at = max(at, s.sent+spacing)
	}
	if s.tx.index == 0 || at < s.tx.at {
		e.timers.arm(&s.tx, at)
	}
}

// keepPace makes the next packet come earlier where the interval has become shorter, section 6.8.3, and later ones begin
// where there were none.
func (s *session) keepPace(e *Engine, before time.Duration) {
	switch now := s.txInterval(); {
	case !s.periodic():
	case s.tx.index == 0:
		e.timers.arm(&s.tx, e.now+s.jittered(e))
	case now < before:
		e.timers.arm(&s.tx, min(s.tx.at, max(e.now, s.sent+s.jittered(e))))
	}
}

// due sends what the transmission timer was for, and arms it for the next.
func (s *session) due(e *Engine) {
	if s.closing && e.now >= s.until {
		e.forget(s)
		return
	}
	if s.provoked || s.periodic() {
		s.transmit(e)
	}
	switch next := e.now + s.jittered(e); {
	case s.closing:
		e.timers.arm(&s.tx, min(next, s.until))
	case s.periodic():
		e.timers.arm(&s.tx, next)
	}
}

// transmit sends one packet. It has never both bits of a Poll Sequence.
func (s *session) transmit(e *Engine) {
	p := Packet{
		Diagnostic: s.diag, State: s.state, Final: s.owesFinal, Poll: s.polling && !s.owesFinal, Demand: s.demanding(),
		Multiplier: s.spec.Multiplier, Mine: s.spec.ID, Yours: s.remote.Discriminator,
		DesiredTx: s.desiredTx, RequiredRx: s.requiredRx,
	}
	e.sends = append(e.sends, Send{Spec: &s.spec})
	p.Append(e.sends[len(e.sends)-1].Payload[:0])
	s.owesFinal, s.provoked, s.sent, s.spoke = false, false, e.now, true
}

// Detection.

// demanding tells that we are in demand mode: the peer need not send, section 6.6.
func (s *session) demanding() bool {
	return s.spec.Demand > 0 && s.state == Up && s.remote.State == Up
}

// detection is how long nothing is heard before the path is down, section 6.8.4.
func (s *session) detection() time.Duration {
	if s.demanding() {
		return time.Duration(s.spec.Multiplier) * s.txInterval()
	}
	return time.Duration(s.remote.Multiplier) * max(s.usedRx, s.remote.DesiredTx)
}

// deadline is when silence means something: that the path is down, or in demand mode that it is time to ask.
func (s *session) deadline() time.Duration {
	switch {
	case !s.demanding():
		return s.heard + s.detection()
	case s.polling:
		return s.asked + s.detection()
	}
	return s.heard + s.spec.Demand
}

// watch arms the detection timer. It is moved only to an earlier time: when it expires, the deadline is looked up again,
// which spares the heap a move for every packet.
func (s *session) watch(e *Engine) {
	if !s.began {
		return
	}
	if at := s.deadline(); s.detect.index == 0 || at < s.detect.at {
		e.timers.arm(&s.detect, at)
	}
}

// excuse has the detection time end no sooner than one interval of the peer from now, where we were late by much of one. Of
// one silence that is believed as often as packets may be missed: who is late all the time would never find a failure.
func (s *session) excuse(now, late time.Duration) {
	if !s.began || s.demanding() || s.excused >= s.remote.Multiplier {
		return
	}
	interval := s.detection() / time.Duration(s.remote.Multiplier)
	if until := now + interval - s.detection(); late >= interval/2 && until > s.heard {
		s.heard = until
		s.excused++
	}
}

// silent is the expiry of the detection timer.
func (s *session) silent(e *Engine) {
	switch at := s.deadline(); {
	case s.closing || !s.began:
		return
	case at > e.now:
		e.timers.arm(&s.detect, at)
		return
	case s.demanding() && !s.polling:
		s.poll(e)
		s.soon(e)
		s.watch(e)
		return
	}
	s.lose(e)
}

// lose ends what the peer told of itself, section 6.8.1 (bfd.RemoteDiscr) and 6.8.4. A passive session says once that it is
// down, and is silent then until spoken to.
func (s *session) lose(e *Engine) {
	was := s.state
	s.began, s.polling, s.again, s.owesFinal = false, false, false, false
	s.remote = Remote{State: Down, RequiredRx: time.Microsecond}
	s.move(e, expired)
	if s.spec.Passive {
		e.timers.stop(&s.tx)
		if was != s.state {
			s.transmit(e)
		}
	}
	s.mark(e)
}

// The end.

// close tells the peer that the session is administratively down, for as long as it needs to hear of it (section 6.8.16).
func (s *session) close(e *Engine) {
	s.end(e)
	s.move(e, disabled)
}

// halt tells the peer at once that the path is down.
func (s *session) halt(e *Engine) {
	s.end(e)
	s.move(e, stopped)
	s.transmit(e)
	e.timers.arm(&s.tx, e.now+s.jittered(e))
}

func (s *session) end(e *Engine) {
	s.closing = true
	s.until = e.now + min(time.Duration(s.spec.Multiplier)*max(s.txInterval(), slow), farewell)
	e.timers.stop(&s.detect)
	e.timers.arm(&s.tx, s.until)
}

// mark puts the session on the list of changes.
func (s *session) mark(e *Engine) {
	if !s.dirty {
		s.dirty = true
		e.changed = append(e.changed, s)
	}
}

func (s *session) report() Report {
	r := Report{
		ID: s.spec.ID, Status: s.status, State: s.state, Diagnostic: s.diag, Remote: s.remote, Transmit: s.txInterval(),
	}
	if s.began {
		r.Detection = s.detection()
	}
	if s.status == liveness.Down {
		r.Held = s.hold
	}
	return r
}
