package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Rekeying, RFC 7296 sections 1.3.2, 1.3.3 and 2.8. The new SA is there before the old one goes. Both ends may begin at
// once: then of the two new SAs the one made with the lowest nonce goes, deleted by who began it, and who began the
// other deletes the old one (2.8.1, 2.8.2).

// rekeyChild is CREATE_CHILD_SA for a child: in the place of another, or a new one where old is nil.
type rekeyChild struct {
	old     *child
	crossed bool // the peer's request for a new one came meanwhile
	spi     uint32
	nonce   []byte
	group   suite.Group
	private suite.Private
}

// rekey asks the peer for a child in the place of c.
func (c *child) rekey(env *core.Env) {
	if c.rekeying != nil || c.successor != nil || c.closing || c.drained || c.sa.phase != established {
		return
	}
	c.rekeying = &rekeyChild{old: c}
	c.sa.enqueue(env, c.rekeying)
}

func (t *rekeyChild) start(env *core.Env, s *sa) bool {
	if s.phase != established || t.old == nil && len(s.children) > 0 || // one has come meanwhile
		t.old != nil && (t.old.closing || t.old.drained || t.old.successor != nil) {
		t.end()
		return false
	}
	if t.spi = s.m.newChildSPI(); t.spi == 0 {
		t.end()
		return false
	}
	t.nonce = s.m.bytes(nonceLen)
	if t.group == 0 {
		t.group = s.ownGroup()
	}
	if t.group == 0 {
		t.ask(env, s, nil)
		return true
	}
	group, seed := t.group, s.m.bytes(seedLen)
	s.work(env, func() any { return newExchange(group, seed) }, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.broken(env, fmt.Sprintf("make a key for %s: %v", group, trouble(result)))
			return
		}
		t.private = made.private
		if s.phase != established {
			t.abandon(s)
			s.free(env)
			return
		}
		t.ask(env, s, made.public)
	})
	return true
}

// abandon leaves things as they are: the SA is being closed.
func (t *rekeyChild) abandon(s *sa) {
	if t.spi != 0 {
		s.m.spis.giveBack(t.spi)
	}
	t.spi = 0
	t.end()
}

// dropped: the SA ended meanwhile. The child may live on another, and is old still.
func (t *rekeyChild) dropped(env *core.Env, s *sa) {
	t.abandon(s)
	if t.old != nil && !t.old.drained && !t.old.closing {
		env.Arm(&t.old.soft, env.Jitter(temporary, 0.75))
	}
}

// ownGroup is the group of a child's own key exchange: that of the IKE SA if the profile has it for children too.
func (s *sa) ownGroup() suite.Group {
	for _, p := range s.profile.ESP {
		if slices.Contains(p.Groups, s.suite.Group) {
			return s.suite.Group
		}
	}
	return firstGroup(s.profile.ESP)
}

func (t *rekeyChild) ask(env *core.Env, s *sa, public []byte) {
	p := s.offerChild(t.spi, t.tunnel(s), t.group, public)
	p = append(p, &wire.Nonce{Data: t.nonce})
	if t.old != nil {
		p = append(wire.Payloads{&wire.Notify{
			Kind: wire.RekeySA, Protocol: wire.ProtocolESP, SPI: binary.BigEndian.AppendUint32(nil, t.old.spi),
		}}, p...)
	}
	s.ask(env, wire.CreateChildSA, p)
}

func (t *rekeyChild) tunnel(s *sa) bool {
	if t.old != nil {
		return t.old.tunnel
	}
	return s.profile.Mode == TunnelMode
}

// end leaves the old child as it is.
func (t *rekeyChild) end() {
	if t.old != nil && t.old.rekeying == t {
		t.old.rekeying = nil
	}
}

// answered implements task.
func (t *rekeyChild) answered(env *core.Env, s *sa, p wire.Payloads) {
	if s.phase != established || s.peer == nil {
		t.dropped(env, s)
		return
	}
	if n := sentError(p); n != nil {
		t.refused(env, s, n)
		return
	}
	nonce, ke := wire.Get[*wire.Nonce](p), wire.Get[*wire.KE](p)
	if nonce == nil {
		t.refused(env, s, &wire.Notify{Kind: wire.InvalidSyntax})
		return
	}
	if t.group == 0 || ke == nil { // accept refuses a group that was chosen and not used
		t.finish(env, s, p, nonce.Data, nil)
		return
	}
	private := t.private
	s.hold(t)
	s.work(env, func() any {
		secret, err := private.Finish(ke.Data)
		return exchanged{secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		switch {
		case s.phase != established || s.peer == nil:
			clear(made.secret)
			t.dropped(env, s)
		case !ok || made.err != nil:
			t.failed(env, s, fmt.Sprint(trouble(result)))
		default:
			t.finish(env, s, p, nonce.Data, made.secret)
		}
		s.free(env)
	})
}

// refused takes the peer's no, RFC 7296 section 2.25.1.
func (t *rekeyChild) refused(env *core.Env, s *sa, n *wire.Notify) {
	switch n.Kind {
	case wire.TemporaryFailure:
		t.abandon(s)
		t.later(env, s)
	case wire.ChildSANotFound:
		t.abandon(s)
		if t.old != nil {
			t.old.drain(env, "the peer does not know it any more")
			s.replenish(env)
		}
	case wire.InvalidKEPayload:
		group := suite.Group(0)
		if len(n.Data) == 2 {
			group = suite.Group(binary.BigEndian.Uint16(n.Data))
		}
		t.again(env, s, group)
	default:
		t.failed(env, s, "the peer refuses: "+n.Kind.Words())
	}
}

// again asks with the group that the peer wants, if the profile has it.
func (t *rekeyChild) again(env *core.Env, s *sa, group suite.Group) {
	has := slices.ContainsFunc(s.profile.ESP, func(p suite.Policy) bool { return slices.Contains(p.Groups, group) })
	if group == t.group || group == 0 || !has {
		t.failed(env, s, fmt.Sprintf("the peer wants the key exchange %s", group))
		return
	}
	t.abandon(s)
	retry := &rekeyChild{old: t.old, group: group}
	if t.old != nil {
		t.old.rekeying = retry
	}
	s.enqueue(env, retry)
}

// Times until a rekey is tried again.
const (
	temporary = 2 * time.Second  // after TEMPORARY_FAILURE
	refusedly = 30 * time.Second // after another no
)

// later tries again: the peer is busy with something that ours collided with.
func (t *rekeyChild) later(env *core.Env, s *sa) {
	if t.old != nil && !t.old.drained && !t.old.closing {
		env.Arm(&t.old.soft, env.Jitter(temporary, 0.75))
		return
	}
	s.replenish(env)
}

// failed goes on with the old child, as long as its life lasts. An SA that is left without one has no use.
func (t *rekeyChild) failed(env *core.Env, s *sa, reason string) {
	t.abandon(s)
	s.log(env, core.Warn, "rekey-failed", "cause", reason)
	s.m.count("rekey-failed")
	if t.old == nil {
		s.childless(env, reason)
		return
	}
	env.Arm(&t.old.soft, env.Jitter(refusedly, 0.5))
}

// finish takes the new child, and settles what happened at once.
func (t *rekeyChild) finish(env *core.Env, s *sa, p wire.Payloads, nr, secret []byte) {
	o := childOffer{spi: t.spi, tunnel: t.tunnel(s), ni: t.nonce, nr: nr, secret: secret, group: t.group, old: t.old}
	a, err := s.accept(p, o)
	if err == nil && a.suite.Group != 0 && secret == nil {
		err = fmt.Errorf("the peer chose the key exchange %s and did not do it", a.suite.Group)
	}
	if err != nil {
		t.failed(env, s, err.Error())
		return
	}
	t.end()
	c := s.makeChild(env, a, o, true)
	t.spi = 0
	old := t.old
	if old == nil || old.drained && old.successor == nil {
		c.crossed = t.crossed
		c.begin(env)
		c.settle(env)
		return
	}
	c.predecessor = old
	theirs := old.successor
	switch {
	case theirs == nil || theirs.drained:
		old.successor = c
	case bytes.Compare(c.lowest, theirs.lowest) < 0: // ours is redundant: the peer deletes the old one
		s.m.count("collisions")
		c.redundant, c.predecessor = true, nil
		c.close(env, "the peer made another at once")
		return
	default:
		s.m.count("collisions")
		theirs.redundant = true
		old.successor = c
	}
	c.begin(env)
	s.m.count("rekeyed")
	old.close(env, "rekeyed")
}

// replenish asks for a child where there is none left.
func (s *sa) replenish(env *core.Env) {
	p := s.peer
	if p == nil || p.active != nil || s.phase != established || len(s.children) > 0 || p.newest() != s {
		return
	}
	if len(p.wants()) > 0 {
		s.enqueue(env, &rekeyChild{})
	}
}

// create answers CREATE_CHILD_SA, RFC 7296 sections 1.3 and 2.25.
func (s *sa) create(env *core.Env, p wire.Payloads) {
	offer, nonce := wire.Get[*wire.SA](p), wire.Get[*wire.Nonce](p)
	if offer == nil || nonce == nil || len(offer.Proposals) == 0 {
		s.refuse(env, wire.CreateChildSA, wire.InvalidSyntax)
		return
	}
	switch {
	case s.phase != established || s.peer == nil:
		s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
	case offer.Proposals[0].Protocol == wire.ProtocolIKE:
		s.createIKE(env, p, offer, nonce.Data)
	case s.rekeying != nil, s.renewing(env):
		s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
	default:
		s.createChild(env, p, nonce.Data)
	}
}

// maxChildren bounds what one peer can have us keep.
const maxChildren = 16

// createChild answers a wish for a child, in the place of another or not.
func (s *sa) createChild(env *core.Env, p wire.Payloads, ni []byte) {
	old, refusal := s.rekeyed(p)
	if refusal == nil && len(s.children) >= maxChildren {
		refusal = &wire.Notify{Kind: wire.NoAdditionalSAs}
	}
	if refusal != nil {
		s.answer(env, wire.CreateChildSA, wire.Payloads{refusal})
		return
	}
	ke := wire.Get[*wire.KE](p)
	guess := suite.Group(0)
	if ke != nil {
		guess = suite.Group(ke.Group)
	}
	a, refusal := s.agree(p, true, guess)
	if refusal == nil && a.suite.Group == 0 {
		guess = 0 // a KE payload for nothing is ignored, RFC 7296 section 1.3.1
	}
	if refusal == nil && a.suite.Group != guess {
		refusal = &wire.Notify{Kind: wire.InvalidKEPayload, Data: wire.GroupData(uint16(a.suite.Group))}
	}
	if refusal != nil {
		s.answer(env, wire.CreateChildSA, wire.Payloads{refusal})
		return
	}
	nr := s.m.bytes(nonceLen)
	if guess == 0 {
		s.give(env, a, old, childOffer{ni: ni, nr: nr}, nil)
		return
	}
	s.busy = true
	seed, theirs := s.m.bytes(seedLen), ke.Data
	s.work(env, func() any {
		public, secret, err := guess.Respond(seeded(seed), theirs)
		return exchanged{public: public, secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.refuse(env, wire.CreateChildSA, wire.InvalidSyntax)
			return
		}
		s.give(env, a, old, childOffer{ni: ni, nr: nr, secret: made.secret, group: guess}, &wire.KE{Group: uint16(guess), Data: made.public})
	})
}

// rekeyed is the child that a request is to replace, nil for none; or why it cannot be (section 2.25.1).
func (s *sa) rekeyed(p wire.Payloads) (*child, *wire.Notify) {
	n := p.Notify(wire.RekeySA)
	if n == nil {
		return nil, nil
	}
	if n.Protocol != wire.ProtocolESP || len(n.SPI) != 4 {
		return nil, &wire.Notify{Kind: wire.InvalidSyntax}
	}
	i := slices.IndexFunc(s.children, func(c *child) bool { return c.peerSPI == binary.BigEndian.Uint32(n.SPI) })
	switch {
	case i < 0:
		return nil, &wire.Notify{Kind: wire.ChildSANotFound, Protocol: wire.ProtocolESP, SPI: n.SPI}
	case s.children[i].closing:
		return nil, &wire.Notify{Kind: wire.TemporaryFailure}
	}
	return s.children[i], nil
}

// give makes the child and answers. We send by it when the peer does, or has deleted the old one: then it has it too.
func (s *sa) give(env *core.Env, a agreement, old *child, o childOffer, ke *wire.KE) {
	if s.phase != established || s.peer == nil {
		s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
		return
	}
	grant, refusal := s.grantChild(env, a, o, ke, &wire.Nonce{Data: o.nr})
	if refusal != nil {
		s.answer(env, wire.CreateChildSA, wire.Payloads{refusal})
		return
	}
	if old != nil && !old.drained {
		grant.child.predecessor = old
		if old.successor == nil || old.rekeying != nil {
			old.successor = grant.child
		}
		s.m.count("rekeyed-by-peer")
	}
	s.answer(env, wire.CreateChildSA, grant.payloads)
	if old != nil && !old.drained {
		return
	}
	if t := s.crossing(); t != nil {
		t.crossed, grant.child.crossed = true, true
	}
	grant.child.begin(env)
	grant.child.settle(env)
}

// rekeyIKE is CREATE_CHILD_SA for the IKE SA itself, RFC 7296 section 1.3.2.
type rekeyIKE struct {
	next             *sa
	nonce, peerNonce []byte
	group            suite.Group
	private          suite.Private
	chosen           suite.IKE
	peerSPI          uint64
	secrets          [][]byte // of the key exchanges so far
	link             []byte   // the peer's name for this rekey
}

// rekey asks the peer for an IKE SA in the place of s.
func (s *sa) rekey(env *core.Env) {
	switch {
	case s.renewing(env):
		env.Arm(&s.lifetime, halfOpenTime)
	case s.rekeying == nil && s.replacement == nil && s.peer != nil:
		s.enqueue(env, &rekeyIKE{group: s.suite.Group})
	}
}

func (t *rekeyIKE) start(env *core.Env, s *sa) bool {
	if s.phase != established || s.replacement != nil || s.peer == nil {
		return false
	}
	s.rekeying = t
	t.nonce = s.m.bytes(nonceLen)
	t.next = s.m.newSA(s.profile, true)
	group, seed := t.group, s.m.bytes(seedLen)
	s.work(env, func() any { return newExchange(group, seed) }, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			t.failed(env, s, refusedly, fmt.Sprint(trouble(result)))
			s.free(env)
			return
		}
		if s.phase != established || s.rekeying != t || s.replacement != nil {
			t.failed(env, s, refusedly, "")
			s.free(env)
			return
		}
		t.private = made.private
		s.ask(env, wire.CreateChildSA, wire.Payloads{
			suite.OfferIKE(s.samePolicy(group), binary.BigEndian.AppendUint64(nil, t.next.spi)),
			&wire.Nonce{Data: t.nonce}, &wire.KE{Group: uint16(group), Data: made.public},
		})
	})
	return true
}

// samePolicy is what a rekey asks for: the suite that both ends have agreed on. Between ourselves the additional key
// exchanges are not repeated: what they gave is in the old SK_d, which the new keys are made of. That the PRF stays is of
// use beside implementations that make the new keys with the old PRF, against section 2.18.
func (s *sa) samePolicy(group suite.Group) []suite.Policy {
	p := suite.Policy{
		Encryptions: []suite.EncryptionChoice{{Encryption: s.suite.Encryption, KeyBits: s.suite.KeyBits}},
		PRFs:        []suite.PRF{s.suite.PRF}, Groups: []suite.Group{group},
	}
	if s.suite.Integrity != esp.NoIntegrity {
		p.Integrities = []esp.Integrity{s.suite.Integrity}
	}
	if !s.spokeway {
		for _, g := range s.suite.Additional {
			p.Additional = append(p.Additional, []suite.Group{g})
		}
	}
	return []suite.Policy{p}
}

// rekeyPolicies are those that a peer's rekey is answered by: all of the profile, without additional key exchanges.
func (s *sa) rekeyPolicies() []suite.Policy {
	ps := slices.Clone(s.profile.IKE)
	for i := range ps {
		ps[i].Additional = nil
	}
	return ps
}

// answered implements task.
func (t *rekeyIKE) answered(env *core.Env, s *sa, p wire.Payloads) {
	if s.phase != established || s.peer == nil || s.rekeying != t {
		t.dropped(env, s)
		return
	}
	if n := sentError(p); n != nil {
		t.refused(env, s, n)
		return
	}
	if t.next.phase == gone {
		t.failed(env, s, temporary, "")
		return
	}
	answer, ke, nonce := wire.Get[*wire.SA](p), wire.Get[*wire.KE](p), wire.Get[*wire.Nonce](p)
	if answer == nil || ke == nil || nonce == nil || len(answer.Proposals) != 1 || len(answer.Proposals[0].SPI) != 8 {
		t.failed(env, s, refusedly, "its answer is not complete")
		return
	}
	chosen, err := suite.CheckIKE(answer, s.samePolicy(t.group))
	peerSPI := binary.BigEndian.Uint64(answer.Proposals[0].SPI)
	if err == nil && (chosen.Group != t.group || ke.Group != uint16(t.group) || peerSPI == 0) {
		err = fmt.Errorf("the peer chose the key exchange %s instead of %s", chosen.Group, t.group)
	}
	if err != nil {
		t.failed(env, s, refusedly, err.Error())
		return
	}
	private, theirs := t.private, ke.Data
	s.hold(t)
	s.work(env, func() any {
		secret, err := private.Finish(theirs)
		return exchanged{secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		switch {
		case s.rekeying != t || s.phase != established || s.peer == nil: // forgotten, as the SA was closed
			clear(made.secret)
			t.next.destroy(env, "")
		case !ok || made.err != nil:
			t.failed(env, s, refusedly, fmt.Sprint(trouble(result)))
		default:
			t.chosen, t.peerSPI, t.peerNonce, t.secrets = chosen, peerSPI, nonce.Data, [][]byte{made.secret}
			t.follow(env, s, p)
		}
		s.free(env)
	})
}

func (t *rekeyIKE) dropped(env *core.Env, s *sa) {
	t.next.destroy(env, "")
	if s.rekeying == t {
		s.rekeying = nil
	}
}

// refused takes the peer's no, RFC 7296 section 2.25.2.
func (t *rekeyIKE) refused(env *core.Env, s *sa, n *wire.Notify) {
	group := suite.Group(0)
	if n.Kind == wire.InvalidKEPayload && len(n.Data) == 2 {
		group = suite.Group(binary.BigEndian.Uint16(n.Data))
	}
	has := slices.ContainsFunc(s.profile.IKE, func(p suite.Policy) bool { return slices.Contains(p.Groups, group) })
	switch {
	case n.Kind == wire.TemporaryFailure:
		t.failed(env, s, temporary, "")
	case group != 0 && group != t.group && has:
		s.rekeying = nil
		t.next.destroy(env, "")
		s.enqueue(env, &rekeyIKE{group: group})
	default:
		t.failed(env, s, refusedly, "the peer refuses: "+n.Kind.Words())
	}
}

// failed goes on with the SA as it is, and tries again.
func (t *rekeyIKE) failed(env *core.Env, s *sa, wait time.Duration, reason string) {
	if s.rekeying != t {
		return
	}
	s.rekeying = nil
	t.next.destroy(env, "")
	if s.replacement != nil { // the peer's came through
		s.handOver(env, s.replacement)
		return
	}
	if reason != "" {
		s.log(env, core.Warn, "rekey-failed", "cause", reason)
		s.m.count("rekey-failed")
	}
	env.Arm(&s.lifetime, env.Jitter(wait, 0.75))
}

// inheritFrom makes a new SA of the keys of the old one and a fresh secret, RFC 7296 section 2.18.
func (s *sa) inheritFrom(old *sa, peerSPI uint64, chosen suite.IKE, ni, nr []byte, secrets [][]byte) {
	s.suite, s.peerSPI = chosen, peerSPI
	spii, spir := s.spi, s.peerSPI
	if !s.initiator {
		spii, spir = spir, spii
	}
	s.keys = chosen.Rekey(old.suite.PRF, old.keys.D, secrets[0], ni, nr, spii, spir, secrets[1:]...)
	for _, secret := range secrets {
		clear(secret)
	}
	s.exportIKE()
	s.nonces(ni, nr)
	s.phase = established
	s.local, s.remote, s.encapsulation, s.ours = old.local, old.remote, old.encapsulation, old.ours
	s.identity, s.subject, s.method = old.identity, old.subject, old.method
	s.proven, s.until, s.chain = old.proven, old.until, old.chain
	s.natLocal, s.natRemote, s.spokeway = old.natLocal, old.natRemote, old.spokeway
	s.fragments, s.mobike, s.heard, s.since = old.fragments, old.mobike, old.heard, old.since
}

// settleIKE decides between our new SA and one that the peer made at once.
func (s *sa) settleIKE(env *core.Env, ours *sa) {
	theirs := s.replacement
	if theirs == nil || theirs.phase == gone {
		s.handOver(env, ours)
		s.m.count("rekeyed-ike")
		s.close(env, "rekeyed")
		return
	}
	s.m.count("collisions-ike")
	if bytes.Compare(ours.lowest, theirs.lowest) < 0 {
		s.handOver(env, theirs)
		ours.close(env, "the peer made another at once")
		return
	}
	s.handOver(env, ours)
	theirs.superseded(env)
	s.close(env, "rekeyed")
}

// handOver gives all that hangs on an SA to the one in its place.
func (s *sa) handOver(env *core.Env, to *sa) {
	s.replacement = nil
	p := s.peer
	if to.phase != established { // it went before it got here
		s.destroy(env, "the IKE SA that was to take its place is gone")
		return
	}
	if p == nil { // we were closing it when the peer's rekey came through
		to.close(env, "the IKE SA before it was closed")
		return
	}
	s.peer, to.peer = nil, p
	p.sas[slices.Index(p.sas, s)] = to
	to.children, s.children = s.children, nil
	for _, c := range to.children {
		c.sa = to
	}
	waiting := s.queue
	s.queue = nil
	env.Stop(&s.watch)
	env.Stop(&s.keep)
	to.age(env)
	s.log(env, core.Info, "rekeyed")
	s.superseded(env)
	for _, t := range waiting {
		if _, ok := t.(*rekeyIKE); !ok {
			to.enqueue(env, t)
		}
	}
}

// superseded leaves an SA that has nothing any more to the peer, which will delete it; but not for ever.
func (s *sa) superseded(env *core.Env) {
	env.Stop(&s.hard)
	env.Stop(&s.watch)
	env.Arm(&s.lifetime, halfOpenTime)
	s.over = true
}

// createIKE answers a wish for a new IKE SA.
func (s *sa) createIKE(env *core.Env, p wire.Payloads, offer *wire.SA, ni []byte) {
	ke := wire.Get[*wire.KE](p)
	_, busy := s.childExchange()
	switch {
	case ke == nil || len(offer.Proposals[0].SPI) != 8:
		s.refuse(env, wire.CreateChildSA, wire.InvalidSyntax)
		return
	case busy || s.replacement != nil: // section 2.25.2
		s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
		return
	}
	chosen, proposal, err := suite.ChooseIKE(offer, s.samePolicy(s.suite.Group), suite.Group(ke.Group))
	if err != nil || chosen.Group != suite.Group(ke.Group) {
		chosen, proposal, err = suite.ChooseIKE(offer, s.rekeyPolicies(), suite.Group(ke.Group))
	}
	switch {
	case err != nil:
		s.refuse(env, wire.CreateChildSA, wire.NoProposalChosen)
	case chosen.Group != suite.Group(ke.Group):
		s.answer(env, wire.CreateChildSA, wire.Payloads{&wire.Notify{Kind: wire.InvalidKEPayload, Data: wire.GroupData(uint16(chosen.Group))}})
	case len(chosen.Additional) > 0 && s.rekeying != nil: // one at a time, where it takes several exchanges
		s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
	default:
		s.renew(env, chosen, proposal, peerSPIOf(offer, proposal), ke.Data, ni)
	}
}

// peerSPIOf is the SPI of the proposal that was chosen.
func peerSPIOf(offer *wire.SA, chosen wire.Proposal) uint64 {
	for _, p := range offer.Proposals {
		if p.Number == chosen.Number && len(p.SPI) == 8 {
			return binary.BigEndian.Uint64(p.SPI)
		}
	}
	return 0
}

func (s *sa) busyWithChild() bool {
	_, busy := s.childExchange()
	return busy
}

// childExchange reports whether we are making, rekeying or closing a child.
func (s *sa) childExchange() (task, bool) {
	if s.request == nil {
		return nil, false
	}
	switch t := s.request.task.(type) {
	case *rekeyChild, *dismiss:
		return t, true
	}
	return nil, false
}

// renew makes the new IKE SA that the peer wants, and answers.
func (s *sa) renew(env *core.Env, chosen suite.IKE, proposal wire.Proposal, peerSPI uint64, theirs, ni []byte) {
	if peerSPI == 0 {
		s.refuse(env, wire.CreateChildSA, wire.InvalidSyntax)
		return
	}
	s.busy = true
	group, seed := chosen.Group, s.m.bytes(seedLen)
	s.work(env, func() any {
		public, secret, err := group.Respond(seeded(seed), theirs)
		return exchanged{public: public, secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		switch {
		case !ok || made.err != nil:
			s.refuse(env, wire.CreateChildSA, wire.InvalidSyntax)
			return
		case s.phase != established || s.peer == nil || s.busyWithChild():
			s.refuse(env, wire.CreateChildSA, wire.TemporaryFailure)
			return
		}
		nr := s.m.bytes(nonceLen)
		n := s.m.newSA(s.profile, false)
		r := &renewal{next: n, chosen: chosen, peerSPI: peerSPI, ni: ni, nr: nr, secrets: [][]byte{made.secret}, begun: env.Now()}
		proposal.SPI = binary.BigEndian.AppendUint64(nil, n.spi)
		out := wire.Payloads{
			&wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.Nonce{Data: nr}, &wire.KE{Group: uint16(group), Data: made.public},
		}
		if r.done() {
			s.answer(env, wire.CreateChildSA, out)
			s.takeRenewal(env, r)
			return
		}
		s.dropRenewal(env)
		r.link = s.m.bytes(linkLen)
		s.renewal = r
		s.answer(env, wire.CreateChildSA, append(out, r.linked()))
	})
}
