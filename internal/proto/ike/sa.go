package ike

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// phase is how far an IKE SA has come. It only grows.
type phase uint8

const (
	greeting       phase = iota // IKE_SA_INIT is under way
	mixing                      // IKE_INTERMEDIATE, RFC 9242
	authenticating              // IKE_AUTH
	established
	closing // Delete was sent
	gone
)

func (p phase) String() string {
	return [...]string{"IKE_SA_INIT", "IKE_INTERMEDIATE", "IKE_AUTH", "established", "closing", "gone"}[p]
}

// sa is one IKE SA, RFC 7296 section 1.
type sa struct {
	m             *Module
	number        uint64 // in order of making
	profile       *Profile
	encapsulation Encapsulation
	initiator     bool // of its first exchange
	spi, peerSPI  uint64
	local, remote netip.AddrPort
	phase         phase
	since         time.Duration // established
	heard         time.Duration // the last authentic message

	suite    suite.IKE
	keys     *suite.Keys
	boot     *boot // what is needed until the SA is established
	ivs      uint64
	lowest   []byte // of the nonces that made it
	peer     *peer
	children []*child

	identity auth.Identity // of the peer
	subject  string        // of its certificate, for people
	method   string        // how it proved itself
	until    time.Time     // when its certificate expires; zero: it has none
	proven   string        // fingerprint of the PSK it did that with
	chain    [][]byte      // or its certificates: a new revocation list is held against them

	natLocal, natRemote bool // which of us is behind one
	spokeway            bool // the peer is a router of this kind
	fragments           bool // RFC 7383 was agreed
	mobike              bool // RFC 4555 was agreed
	begunAt             time.Duration
	renewal             *renewal              // a rekey of the peer's whose key exchanges are not all done
	replacement         *sa                   // that the peer made by a rekey, not settled yet
	ours                bool                  // we began with this peer
	supersedes          bool                  // what the peer is said to have forgotten
	over                bool                  // another has its place; the peer will delete it
	verifying           netip.AddrPort        // where the peer says it is
	arrived             dataplane.ReceivedIKE // the message that is being handled, without its payload
	rekeying            *rekeyIKE

	// Our requests: one at a time, RFC 7296 section 2.3.
	nextID    uint32
	request   *request
	queue     []task
	lastTries int  // how often the last request that was answered had been sent
	resting   bool // nothing of the queue begins now
	quick     bool // somebody says that the peer has forgotten us

	// The peer's.
	expect   uint32 // the ID of its next request
	busy     bool   // it is being answered
	repeats  int    // how often the last answer was sent again
	reply    [][]byte
	partial  [2]partial // of requests, of responses
	retry    core.Timer // sends the request again
	lifetime core.Timer // half-open: gives up; established: rekeys
	watch    core.Timer // liveness
	hard     core.Timer // when the lifetime is over for good
	keep     core.Timer // keeps the mapping of our NAT
	rest     core.Timer // ends resting
	unmade   *unmade    // the data plane has no keys of a child
}

// partial is a message of which fragments came.
type partial struct {
	id    uint32
	parts wire.Reassembly
}

func (m *Module) newSA(profile *Profile, initiator bool) *sa {
	s := &sa{m: m, number: m.numbering, profile: profile, initiator: initiator, ours: initiator, spi: m.newSPI()}
	m.numbering++
	for timer, name := range map[*core.Timer]string{
		&s.retry: "send again", &s.lifetime: "lifetime", &s.watch: "liveness", &s.hard: "hard lifetime",
		&s.keep: "NAT keepalive", &s.rest: "try again",
	} {
		timer.Name, timer.Of = name, s
	}
	m.sas[s.spi] = s
	return s
}

// newSPI is an SPI of ours that is not in use and not 0.
func (m *Module) newSPI() uint64 {
	for {
		var spi uint64
		for _, b := range m.bytes(8) {
			spi = spi<<8 | uint64(b)
		}
		if spi != 0 && m.sas[spi] == nil {
			return spi
		}
	}
}

// expired implements owner.
func (s *sa) expired(env *core.Env, t *core.Timer) {
	switch t {
	case &s.retry:
		s.again(env)
	case &s.lifetime:
		s.aged(env)
	case &s.watch:
		s.check(env)
	case &s.hard:
		s.close(env, s.endOfLife(env))
	case &s.keep:
		s.keepalive(env)
	case &s.rest:
		s.resting = false
		s.next(env)
	}
}

func (s *sa) endOfLife(env *core.Env) string {
	if !s.until.IsZero() && !env.Wall().Before(s.until) {
		return "the peer's certificate has expired"
	}
	return "its lifetime is over and it could not be rekeyed"
}

// aged: a half-open SA gives up, an established one is rekeyed.
func (s *sa) aged(env *core.Env) {
	switch {
	case s.over:
		s.destroy(env, "")
	case s.phase == established:
		s.rekey(env)
	case s.phase == closing:
		s.destroy(env, "")
	default:
		s.fail(env, s.patienceOver())
	}
}

func (s *sa) patienceOver() string {
	if s.initiator {
		return "no answer to " + s.phase.String()
	}
	return "the peer did not go on with " + s.phase.String()
}

// log writes one line about the SA.
func (s *sa) log(env *core.Env, level core.Level, event string, args ...any) {
	about := []any{"peer", s.remote, "local", s.local.Addr()}
	if s.identity.Kind != 0 {
		about = append(about, "identity", s.identity.String())
	}
	env.Log(level, event, append(about, args...)...)
}

// fail ends an SA that did not come to be, and tells those who wait for it.
func (s *sa) fail(env *core.Env, reason string) {
	s.m.count("failed-" + s.phase.String())
	want := s.wanted()
	s.destroy(env, reason)
	switch {
	case want != nil:
		want.failed(env, s, reason)
	case s.phase != established:
		s.m.turnAway(env, s, reason)
	}
}

// wanted is who waits for the SA, nil when nobody does.
func (s *sa) wanted() *want {
	if s.boot == nil {
		return nil
	}
	return s.boot.want
}

// close says goodbye, RFC 7296 section 1.4.1. The children end at once.
func (s *sa) close(env *core.Env, reason string) {
	if s.phase >= closing {
		return
	}
	if s.phase < established {
		s.fail(env, reason)
		return
	}
	s.log(env, core.Info, "closing", "cause", reason)
	if t := s.rekeying; t != nil && s.peer != nil {
		t.dropped(env, s)
	}
	s.endChildren(env, reason)
	s.detach(env, reason)
	s.phase = closing
	s.queue = nil
	env.Stop(&s.watch)
	env.Stop(&s.keep)
	env.Stop(&s.hard)
	env.Arm(&s.lifetime, closePatience)
	s.enqueue(env, &farewell{})
}

// closePatience is how long a peer has to answer our goodbye. It is worth no more.
const closePatience = 5 * time.Second

// destroy forgets the SA without a word, with its keys and children.
func (s *sa) destroy(env *core.Env, reason string) {
	if s.phase == gone {
		return
	}
	s.endChildren(env, reason)
	s.detach(env, reason)
	s.phase = gone
	for _, t := range []*core.Timer{&s.retry, &s.lifetime, &s.watch, &s.hard, &s.keep, &s.rest} {
		env.Stop(t)
	}
	if s.unmade != nil {
		env.Stop(&s.unmade.end)
	}
	delete(s.m.sas, s.spi)
	if s.boot != nil && s.boot.spi != 0 {
		s.m.spis.giveBack(s.boot.spi)
	}
	s.leaveBeginning()
	if s.keys != nil {
		s.keys.Clear()
	}
	if s.request != nil {
		if d, ok := s.request.task.(dropper); ok {
			d.dropped(env, s)
		}
	}
	s.request, s.queue, s.reply = nil, nil, nil
	s.dropRenewal(env)
	if s.replacement != nil && s.replacement.peer == nil {
		s.replacement.destroy(env, reason)
	}
}

// leaveBeginning forgets that the SA was half-open at a responder.
func (s *sa) leaveBeginning() {
	if s.boot == nil || s.initiator {
		return
	}
	key := beginning{s.boot.from, s.peerSPI}
	if s.m.begun[key] != s {
		return
	}
	delete(s.m.begun, key)
	at := site(key.remote.Addr())
	if s.m.guests[at]--; s.m.guests[at] <= 0 {
		delete(s.m.guests, at)
	}
}

// detach takes the SA from its peer.
func (s *sa) detach(env *core.Env, reason string) {
	if p := s.peer; p != nil {
		s.peer = nil
		p.lost(env, s, reason)
	}
}

// nonces notes the lower of the nonces that made the SA, which decides between two made at once (section 2.8.1).
func (s *sa) nonces(a, b []byte) { s.lowest = slices.Clone(lower(a, b)) }

// began reports whether we are the one who wanted the peer first.
func (s *sa) began() bool { return s.ours }

func lower(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

// job is arithmetic that was sent away from the loop.
type job struct {
	s    *sa
	done func(env *core.Env, result any)
}

// work has run done elsewhere, and its result handled here. What ends in between is not heard of again.
func (s *sa) work(env *core.Env, run func() any, done func(env *core.Env, result any)) {
	s.m.working++
	env.Emit(core.Work{Module: Name, Tag: &job{s, done}, Run: run})
}

func (j *job) finish(env *core.Env, result any) {
	j.s.m.working--
	if j.s.phase == gone {
		return
	}
	j.done(env, result)
}
