package ike

import (
	"bytes"
	"fmt"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Additional key exchanges of a rekey, RFC 9370 section 2.2.4: CREATE_CHILD_SA agrees on them and does the first, an
// IKE_FOLLOWUP_KE exchange each does the others, and only then is the new IKE SA there. Beside our own kind they are not
// repeated; other implementations insist on them.

// followKE is one IKE_FOLLOWUP_KE exchange of a rekey of ours.
type followKE struct {
	t       *rekeyIKE
	private suite.Private
}

// follow does the next additional key exchange, or finishes the rekey after the last. link is the responder's name for it.
func (t *rekeyIKE) follow(env *core.Env, s *sa, p wire.Payloads) {
	if len(t.secrets) > len(t.chosen.Additional) {
		s.rekeying = nil
		t.next.inheritFrom(s, t.peerSPI, t.chosen, t.nonce, t.peerNonce, t.secrets)
		s.settleIKE(env, t.next)
		return
	}
	n := p.Notify(wire.AdditionalKeyExchange)
	if n == nil {
		t.failed(env, s, refusedly, "the peer broke off the additional key exchange")
		return
	}
	t.link = n.Data
	s.queue = append([]task{&followKE{t: t}}, s.queue...)
}

// group is that of the next additional key exchange.
func (t *rekeyIKE) additional() suite.Group { return t.chosen.Additional[len(t.secrets)-1] }

func (f *followKE) dropped(env *core.Env, s *sa) { f.t.dropped(env, s) }

func (f *followKE) start(env *core.Env, s *sa) bool {
	if s.rekeying != f.t || s.phase != established {
		f.t.dropped(env, s)
		return false
	}
	group, seed := f.t.additional(), s.m.bytes(seedLen)
	s.work(env, func() any { return newExchange(group, seed) }, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil || s.rekeying != f.t || s.phase != established {
			f.t.failed(env, s, refusedly, fmt.Sprint(trouble(result)))
			s.free(env)
			return
		}
		f.private = made.private
		s.ask(env, wire.FollowupKE, wire.Payloads{
			&wire.KE{Group: uint16(group), Data: made.public}, &wire.Notify{Kind: wire.AdditionalKeyExchange, Data: f.t.link},
		})
	})
	return true
}

func (f *followKE) answered(env *core.Env, s *sa, p wire.Payloads) {
	t, ke := f.t, wire.Get[*wire.KE](p)
	switch n := sentError(p); {
	case s.rekeying != t || s.phase != established || s.peer == nil:
		t.dropped(env, s)
		return
	case n != nil:
		t.failed(env, s, refusedly, "the peer refuses: "+n.Kind.Words())
		return
	case ke == nil || ke.Group != uint16(t.additional()):
		t.failed(env, s, refusedly, "the peer broke off the additional key exchange")
		return
	}
	private := f.private
	s.hold(f)
	s.work(env, func() any {
		secret, err := private.Finish(ke.Data)
		return exchanged{secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		switch {
		case s.rekeying != t || s.phase != established || s.peer == nil:
			clear(made.secret)
			t.dropped(env, s)
		case !ok || made.err != nil:
			t.failed(env, s, refusedly, fmt.Sprint(trouble(result)))
		default:
			t.secrets = append(t.secrets, made.secret)
			t.follow(env, s, p)
		}
		s.free(env)
	})
}

// renewal is a rekey of the peer's whose additional key exchanges are still to come.
type renewal struct {
	next    *sa
	chosen  suite.IKE
	peerSPI uint64
	ni, nr  []byte
	secrets [][]byte
	link    []byte
	begun   time.Duration
}

// linkLen is how long our name for a rekey is.
const linkLen = 8

// linked tells the initiator by which name to go on.
func (r *renewal) linked() *wire.Notify {
	return &wire.Notify{Kind: wire.AdditionalKeyExchange, Data: r.link}
}

// done reports whether all key exchanges are.
func (r *renewal) done() bool { return len(r.secrets) > len(r.chosen.Additional) }

// renewing reports whether the peer is in the middle of a rekey. One that it has left unfinished for long is forgotten.
func (s *sa) renewing(env *core.Env) bool {
	if s.renewal != nil && env.Now()-s.renewal.begun >= halfOpenTime {
		s.dropRenewal(env)
	}
	return s.renewal != nil
}

// dropRenewal forgets a rekey of the peer's that it did not finish.
func (s *sa) dropRenewal(env *core.Env) {
	if r := s.renewal; r != nil {
		s.renewal = nil
		for _, secret := range r.secrets {
			clear(secret)
		}
		r.next.destroy(env, "")
	}
}

// followed answers IKE_FOLLOWUP_KE.
func (s *sa) followed(env *core.Env, p wire.Payloads) {
	r, ke, n := s.renewal, wire.Get[*wire.KE](p), p.Notify(wire.AdditionalKeyExchange)
	if r == nil || n == nil || !bytes.Equal(n.Data, r.link) {
		s.refuse(env, wire.FollowupKE, wire.StateNotFound)
		return
	}
	group := r.chosen.Additional[len(r.secrets)-1]
	if ke == nil || ke.Group != uint16(group) {
		s.dropRenewal(env)
		s.refuse(env, wire.FollowupKE, wire.InvalidSyntax)
		return
	}
	s.busy = true
	seed, theirs := s.m.bytes(seedLen), ke.Data
	s.work(env, func() any {
		public, secret, err := group.Respond(seeded(seed), theirs)
		return exchanged{public: public, secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil || s.renewal != r || s.phase != established || s.peer == nil {
			s.dropRenewal(env)
			s.refuse(env, wire.FollowupKE, wire.StateNotFound)
			return
		}
		r.secrets = append(r.secrets, made.secret)
		out := wire.Payloads{&wire.KE{Group: uint16(group), Data: made.public}}
		if !r.done() {
			out = append(out, r.linked())
		}
		s.answer(env, wire.FollowupKE, out)
		if r.done() {
			s.takeRenewal(env, r)
		}
	})
}

// takeRenewal puts the new SA in the old one's place, unless ours, begun at once, has still to be weighed against it.
func (s *sa) takeRenewal(env *core.Env, r *renewal) {
	s.renewal = nil
	r.next.inheritFrom(s, r.peerSPI, r.chosen, r.ni, r.nr, r.secrets)
	s.replacement = r.next
	if s.rekeying == nil {
		s.handOver(env, r.next)
	}
}
