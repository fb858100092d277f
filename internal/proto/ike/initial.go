package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// boot is what an IKE SA needs until it is established.
type boot struct {
	want             *want // who waits for it; nil at a responder
	from             netip.AddrPort
	nonce, peerNonce []byte
	group            suite.Group
	private          suite.Private
	public           []byte
	cookie           []byte
	turns            int // first messages sent for another reason than silence

	request, response []byte // as on the wire: the signed octets begin with them, RFC 7296 section 2.15
	intI, intR        []byte // RFC 9242 section 3.3.2
	mixed             int    // additional key exchanges done
	authID            uint32
	hashes            []uint16    // for signatures, that the peer announced
	ppk               bool        // both announced PPKs
	spi               uint32      // ours of the first child
	tunnel            bool        // it is asked for in tunnel mode
	unmixed           *suite.Keys // SK_pi and SK_pr without PPK, for NO_PPK_AUTH
	secret            []byte      // the PSK we proved ourselves with
	initial           bool        // we told the peer that it knows nothing of us
}

const nonceLen = 32 // at least half of the longest PRF key, RFC 7296 section 2.10

// halfOpenTime is how long an exchange with a stranger may take.
const halfOpenTime = 30 * time.Second

// vendor tells routers of this kind from others. It is not secret and proves nothing; what it allows, any peer may have.
var vendor = []byte("spokeway.1.protect")

// initiate begins an IKE SA with the peer that w wants.
func (m *Module) initiate(env *core.Env, w *want, from uint16) *sa {
	s := m.newSA(w.profile, true)
	s.encapsulation = w.encapsulation
	s.local = netip.AddrPortFrom(w.local, from)
	s.remote = netip.AddrPortFrom(w.remote, from)
	s.begunAt = env.Now()
	s.boot = &boot{want: w, nonce: m.bytes(nonceLen), group: firstGroup(w.profile.IKE)}
	env.Arm(&s.lifetime, 4*halfOpenTime)
	m.count("initiated")
	s.enqueue(env, &greet{})
	return s
}

func firstGroup(ps []suite.Policy) suite.Group {
	for _, p := range ps {
		if len(p.Groups) > 0 {
			return p.Groups[0]
		}
	}
	return 0
}

// greet is IKE_SA_INIT, RFC 7296 section 1.2.
type greet struct{}

func (t *greet) start(env *core.Env, s *sa) bool {
	group, random := s.boot.group, s.m.bytes(seedLen)
	s.work(env, func() any { return newExchange(group, random) }, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("make a key for %s: %v", group, trouble(result)))
			return
		}
		s.boot.private, s.boot.public = made.private, made.public
		s.greet(env)
	})
	return true
}

// answered is not called: the response to IKE_SA_INIT is not protected, and taken by initReply.
func (t *greet) answered(*core.Env, *sa, wire.Payloads) {}

// seedLen is the randomness of one key exchange: work away from the loop draws from what it was given.
const seedLen = 32

// exchanged is what became of one side of a key exchange.
type exchanged struct {
	private        suite.Private
	public, secret []byte
	err            error
}

func newExchange(g suite.Group, seed []byte) exchanged {
	private, public, err := g.Initiate(seeded(seed))
	return exchanged{private: private, public: public, err: err}
}

// seeded is randomness without end, made of a seed.
func seeded(seed []byte) *stream { return newStream(seed) }

func trouble(result any) any {
	if e, ok := result.(exchanged); ok {
		return e.err
	}
	return result
}

// greet sends IKE_SA_INIT, the first time or anew.
func (s *sa) greet(env *core.Env) {
	b := s.boot
	p := wire.Payloads{
		suite.OfferIKE(s.profile.IKE, nil), &wire.KE{Group: uint16(b.group), Data: b.public}, &wire.Nonce{Data: b.nonce},
	}
	if b.cookie != nil {
		p = append(wire.Payloads{&wire.Notify{Kind: wire.Cookie, Data: b.cookie}}, p...) // RFC 7296 section 2.6
	}
	p = append(p, s.abilities()...)
	if s.offersMore() {
		p = append(p, &wire.Notify{Kind: wire.IntermediateExchangeSupported})
	}
	r := s.request
	r.exchange, r.id, r.tries = wire.SAInit, 0, 0
	b.request = s.clear(wire.SAInit, 0, false, p)
	r.datagrams = [][]byte{b.request}
	s.nextID = 1
	s.transmit(env, r)
}

func (s *sa) offersMore() bool {
	return slices.ContainsFunc(s.profile.IKE, func(p suite.Policy) bool { return len(p.Additional) > 0 })
}

// abilities are what both sides announce in IKE_SA_INIT.
func (s *sa) abilities() wire.Payloads {
	p := s.natDetection(s.local, s.remote)
	if s.profile.FragmentSize > 0 {
		p = append(p, &wire.Notify{Kind: wire.FragmentationSupported})
	}
	var hashes []byte
	for _, h := range auth.SignatureHashes() {
		hashes = binary.BigEndian.AppendUint16(hashes, h)
	}
	p = append(p, &wire.Notify{Kind: wire.SignatureHashAlgorithms, Data: hashes})
	if len(s.profile.PPKs) > 0 {
		p = append(p, &wire.Notify{Kind: wire.UsePPK})
	}
	return append(p, &wire.Vendor{Data: vendor})
}

// clear makes an unprotected message of IKE_SA_INIT.
func (s *sa) clear(exchange wire.Exchange, id uint32, response bool, p wire.Payloads) []byte {
	h := s.header(exchange, id, response, p.First())
	body := wire.AppendPayloads(nil, p)
	h.Length = uint32(wire.HeaderLen + len(body))
	return append(h.Append(nil), body...)
}

// understand notes what the peer announced.
func (s *sa) understand(p wire.Payloads) {
	s.fragments = s.profile.FragmentSize > 0 && p.Notify(wire.FragmentationSupported) != nil
	if n := p.Notify(wire.SignatureHashAlgorithms); n != nil {
		for b := n.Data; len(b) >= 2; b = b[2:] {
			s.boot.hashes = append(s.boot.hashes, binary.BigEndian.Uint16(b))
		}
	}
	s.boot.ppk = len(s.profile.PPKs) > 0 && p.Notify(wire.UsePPK) != nil
	for _, v := range wire.All[*wire.Vendor](p) {
		s.spokeway = s.spokeway || bytes.Equal(v.Data, vendor)
	}
}

// initReply takes the response to IKE_SA_INIT. It is not authentic: whoever sees our SPI can make one, and no more.
func (m *Module) initReply(env *core.Env, s *sa, ev dataplane.ReceivedIKE, h wire.Header) {
	if s.phase != greeting || s.request == nil || s.boot.request == nil || h.MessageID != 0 || s.boot.response != nil ||
		ev.Remote.Addr() != s.remote.Addr() {
		m.count("untimely")
		return
	}
	p, err := wire.ParsePayloads(h.Next, ev.Payload[wire.HeaderLen:])
	if err != nil {
		m.count("malformed")
		return
	}
	switch n := sentError(p); {
	case p.Notify(wire.Cookie) != nil && wire.Get[*wire.SA](p) == nil:
		s.withCookie(env, p.Notify(wire.Cookie).Data)
	case n != nil && n.Kind == wire.InvalidKEPayload:
		s.withGroup(env, n.Data)
	case n != nil:
		s.fail(env, "the peer refuses: "+n.Kind.Words())
	default:
		s.greeted(env, ev, h, p)
	}
}

// maxTurns bounds how often a responder can have us begin again, with a cookie or another group.
const maxTurns = 6

func (s *sa) withCookie(env *core.Env, cookie []byte) {
	if s.boot.turns++; s.boot.turns > maxTurns || len(cookie) == 0 || len(cookie) > 64 || bytes.Equal(cookie, s.boot.cookie) {
		s.m.count("cookie-refused")
		return
	}
	s.boot.cookie = cookie
	s.greet(env)
}

// withGroup begins again with the group that the responder wants, if it is one of those we offered (section 1.2).
func (s *sa) withGroup(env *core.Env, data []byte) {
	if len(data) != 2 {
		return
	}
	group := suite.Group(binary.BigEndian.Uint16(data))
	offered := slices.ContainsFunc(s.profile.IKE, func(p suite.Policy) bool { return slices.Contains(p.Groups, group) })
	if s.boot.turns++; s.boot.turns > maxTurns || !offered || group == s.boot.group {
		s.fail(env, fmt.Sprintf("the peer wants the key exchange %s, which the profile does not have", group))
		return
	}
	s.boot.group, s.boot.request = group, nil
	env.Stop(&s.retry)
	s.request.datagrams = nil
	(&greet{}).start(env, s)
}

// greeted takes the peer's choice and its half of the keys.
func (s *sa) greeted(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, p wire.Payloads) {
	answer, ke, nonce := wire.Get[*wire.SA](p), wire.Get[*wire.KE](p), wire.Get[*wire.Nonce](p)
	if answer == nil || ke == nil || nonce == nil || h.SPIr == 0 {
		s.m.count("malformed")
		return
	}
	chosen, err := suite.CheckIKE(answer, s.profile.IKE)
	if err == nil && (chosen.Group != s.boot.group || ke.Group != uint16(chosen.Group)) {
		err = fmt.Errorf("it chose the key exchange %s and used another", chosen.Group)
	}
	if err == nil && len(chosen.Additional) > 0 && p.Notify(wire.IntermediateExchangeSupported) == nil {
		err = fmt.Errorf("it chose additional key exchanges without IKE_INTERMEDIATE")
	}
	if err != nil {
		s.fail(env, "the peer's answer to IKE_SA_INIT: "+err.Error())
		return
	}
	env.Stop(&s.retry)
	s.request.datagrams = nil
	s.suite, s.peerSPI = chosen, h.SPIr
	s.boot.peerNonce, s.boot.response = slices.Clone(nonce.Data), ev.Payload
	s.nonces(s.boot.nonce, nonce.Data)
	s.understand(p)
	s.detectNAT(p, ev)
	private, theirs := s.boot.private, ke.Data
	s.work(env, func() any {
		secret, err := private.Finish(theirs)
		return exchanged{secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("the peer's key exchange: %v", trouble(result)))
			return
		}
		s.derive(made.secret, s.boot.nonce, s.boot.peerNonce, s.spi, s.peerSPI)
		s.boot.private = nil
		s.request = nil
		s.float(env)
		s.afterGreeting(env)
	})
}

// afterGreeting goes on with the additional key exchanges, or with IKE_AUTH.
func (s *sa) afterGreeting(env *core.Env) {
	if s.boot.mixed < len(s.suite.Additional) {
		s.phase = mixing
		s.enqueue(env, &mix{})
		return
	}
	s.phase = authenticating
	s.enqueue(env, &prove{})
}

// derive makes the keys of the SA from the shared secret, RFC 7296 section 2.14.
func (s *sa) derive(secret, ni, nr []byte, spii, spir uint64) {
	s.keys = s.suite.Derive(secret, ni, nr, spii, spir)
	clear(secret)
	s.exportIKE()
}

// respond takes a first message of somebody, RFC 7296 section 1.2. Nothing is remembered of it before its source has
// shown that it receives what we send there, when many knock (section 2.6).
func (m *Module) respond(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header) {
	key := beginning{ev.Remote, h.SPIi}
	if s := m.begun[key]; s != nil {
		s.greetedAgain(env, ev)
		return
	}
	if h.MessageID != 0 || h.SPIi == 0 || len(ev.Payload) > maxGreeting {
		m.count("malformed")
		return
	}
	profile, encapsulation := m.profileAt(ev.Local.Addr())
	if profile == nil {
		m.count("no-profile")
		return
	}
	p, err := wire.ParsePayloads(h.Next, ev.Payload[wire.HeaderLen:])
	if err != nil {
		m.unreadableGreeting(env, ev, h, err)
		return
	}
	offer, ke, nonce := wire.Get[*wire.SA](p), wire.Get[*wire.KE](p), wire.Get[*wire.Nonce](p)
	if offer == nil || ke == nil || nonce == nil {
		m.reply(env, ev, h, &wire.Notify{Kind: wire.InvalidSyntax})
		return
	}
	if m.crowded(ev.Remote.Addr()) && !m.jar.valid(env.Now(), ev.Remote, h.SPIi, nonce.Data, p.Notify(wire.Cookie)) {
		m.count("cookie-sent")
		m.reply(env, ev, h, &wire.Notify{Kind: wire.Cookie, Data: m.jar.cookie(env.Now(), ev.Remote, h.SPIi, nonce.Data)})
		return
	}
	if len(m.begun) >= maxHalfOpen || m.working >= maxWorking || m.guests[site(ev.Remote.Addr())] >= maxGuests {
		m.count("half-open-limit")
		return
	}
	chosen, proposal, err := suite.ChooseIKE(offer, profile.IKE, suite.Group(ke.Group))
	if err == nil && len(chosen.Additional) > 0 && p.Notify(wire.IntermediateExchangeSupported) == nil {
		chosen, proposal, err = suite.ChooseIKE(offer, withoutMore(profile.IKE), suite.Group(ke.Group))
	}
	switch {
	case err != nil:
		m.turnAwayGreeting(env, ev, h, profile, err)
	case chosen.Group != suite.Group(ke.Group):
		m.reply(env, ev, h, &wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, uint16(chosen.Group))})
	default:
		s := m.welcome(env, ev, h, profile, p, nonce.Data)
		s.encapsulation, s.suite = encapsulation, chosen
		s.respondKey(env, proposal, ke.Data)
	}
}

// withoutMore are the policies that need no additional key exchange.
func withoutMore(ps []suite.Policy) []suite.Policy {
	return slices.DeleteFunc(slices.Clone(ps), func(p suite.Policy) bool { return len(p.Additional) > 0 })
}

// Bounds of what strangers can have us hold and compute at once.
const (
	maxHalfOpen = 4096
	maxGuests   = 512 // of them at one site
	maxWorking  = 2048
	maxGreeting = 8192 // octets of a first message, which is kept until its sender is authenticated
)

// welcome makes the half-open SA of a responder.
func (m *Module) welcome(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, profile *Profile, p wire.Payloads, nonce []byte) *sa {
	s := m.newSA(profile, false)
	s.local, s.remote, s.peerSPI = ev.Local, ev.Remote, h.SPIi
	s.begunAt, s.heard = env.Now(), env.Now()
	s.boot = &boot{from: ev.Remote, nonce: m.bytes(nonceLen), peerNonce: slices.Clone(nonce), request: ev.Payload}
	s.nonces(s.boot.nonce, nonce)
	m.begun[beginning{ev.Remote, h.SPIi}] = s
	m.guests[site(ev.Remote.Addr())]++
	env.Arm(&s.lifetime, halfOpenTime)
	m.count("answered")
	s.understand(p)
	s.detectNAT(p, ev)
	return s
}

// respondKey makes our half of the keys, answers, and waits for the peer to prove itself.
func (s *sa) respondKey(env *core.Env, proposal wire.Proposal, theirs []byte) {
	group, seed := s.suite.Group, s.m.bytes(seedLen)
	s.work(env, func() any {
		public, secret, err := group.Respond(seeded(seed), theirs)
		return exchanged{public: public, secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("the peer's key exchange: %v", trouble(result)))
			return
		}
		s.derive(made.secret, s.boot.peerNonce, s.boot.nonce, s.peerSPI, s.spi)
		s.phase = authenticating
		if len(s.suite.Additional) > 0 {
			s.phase = mixing
		}
		p := wire.Payloads{
			&wire.SA{Proposals: []wire.Proposal{proposal}}, &wire.KE{Group: uint16(group), Data: made.public}, &wire.Nonce{Data: s.boot.nonce},
		}
		p = append(p, s.abilities()...)
		if len(s.suite.Additional) > 0 {
			p = append(p, &wire.Notify{Kind: wire.IntermediateExchangeSupported})
		}
		s.boot.response = s.clear(wire.SAInit, 0, true, append(p, s.certRequests()...))
		s.expect = 1
		s.send(env, s.remote, s.boot.response)
	})
}

// greetedAgain sends the response again to the very same message.
func (s *sa) greetedAgain(env *core.Env, ev dataplane.ReceivedIKE) {
	if s.phase < established && s.boot.response != nil && bytes.Equal(ev.Payload, s.boot.request) && s.repeats < maxRepeats {
		s.repeats++
		s.m.count("answered-again")
		s.send(env, ev.Remote, s.boot.response)
	}
}

// mix is one IKE_INTERMEDIATE exchange with an additional key exchange, RFC 9370 section 2.2.2.
type mix struct{}

func (t *mix) start(env *core.Env, s *sa) bool {
	group, seed := s.suite.Additional[s.boot.mixed], s.m.bytes(seedLen)
	s.work(env, func() any { return newExchange(group, seed) }, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("make a key for %s: %v", group, trouble(result)))
			return
		}
		s.boot.private = made.private
		p := wire.Payloads{&wire.KE{Group: uint16(group), Data: made.public}}
		s.boot.intermediate(s, s.header(wire.Intermediate, s.nextID, false, wire.TypeEncrypted), p.First(), wire.AppendPayloads(nil, p), s.initiator)
		s.ask(env, wire.Intermediate, p)
	})
	return true
}

func (t *mix) answered(env *core.Env, s *sa, p wire.Payloads) {
	ke := wire.Get[*wire.KE](p)
	if n := sentError(p); n != nil || ke == nil || ke.Group != uint16(s.suite.Additional[s.boot.mixed]) {
		s.fail(env, "the peer broke off the additional key exchange")
		return
	}
	private := s.boot.private
	s.work(env, func() any {
		secret, err := private.Finish(ke.Data)
		return exchanged{secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("the peer's additional key exchange: %v", trouble(result)))
			return
		}
		s.stir(made.secret)
		s.afterGreeting(env)
	})
}

// mix answers an IKE_INTERMEDIATE exchange.
func (s *sa) mix(env *core.Env, p wire.Payloads) {
	ke, group := wire.Get[*wire.KE](p), s.suite.Additional[s.boot.mixed]
	if ke == nil || ke.Group != uint16(group) {
		s.refuse(env, wire.Intermediate, wire.InvalidSyntax)
		s.fail(env, "the peer broke off the additional key exchange")
		return
	}
	s.busy = true
	seed, theirs := s.m.bytes(seedLen), ke.Data
	s.work(env, func() any {
		public, secret, err := group.Respond(seeded(seed), theirs)
		return exchanged{public: public, secret: secret, err: err}
	}, func(env *core.Env, result any) {
		made, ok := result.(exchanged)
		if !ok || made.err != nil {
			s.fail(env, fmt.Sprintf("the peer's additional key exchange: %v", trouble(result)))
			return
		}
		p := wire.Payloads{&wire.KE{Group: uint16(group), Data: made.public}}
		s.boot.intermediate(s, s.header(wire.Intermediate, s.expect, true, wire.TypeEncrypted), p.First(), wire.AppendPayloads(nil, p), s.initiator)
		s.answer(env, wire.Intermediate, p)
		s.stir(made.secret)
		if s.boot.mixed == len(s.suite.Additional) {
			s.phase = authenticating
		}
	})
}

// stir takes another shared secret into the keys, RFC 9370 section 2.2.2.
func (s *sa) stir(secret []byte) {
	ni, nr, spii, spir := s.boot.nonce, s.boot.peerNonce, s.spi, s.peerSPI
	if !s.initiator {
		ni, nr, spii, spir = nr, ni, spir, spii
	}
	old := s.keys
	s.keys = s.suite.Mix(old, secret, ni, nr, spii, spir)
	old.Clear()
	clear(secret)
	s.boot.mixed++
	s.boot.private = nil
	s.exportIKE()
}

// intermediate adds a message of IKE_INTERMEDIATE to what AUTH signs, RFC 9242 section 3.3.2: the header and the
// header of the encrypted payload, with lengths as if nothing had been encrypted, then the payloads in clear.
func (b *boot) intermediate(s *sa, h wire.Header, first wire.PayloadType, plain []byte, fromInitiator bool) {
	h.Next, h.Length = wire.TypeEncrypted, uint32(wire.HeaderLen+genericLen+len(plain))
	n := genericLen + len(plain)
	a := h.Append(nil)
	a = append(a, byte(first), 0, byte(n>>8), byte(n))
	key, chain := s.keys.Pr, &b.intR
	if fromInitiator {
		key, chain = s.keys.Pi, &b.intI
	}
	*chain = s.suite.PRF.Sum(key, *chain, a, plain)
}

// signedMore is the rest of the signed octets, RFC 9242 section 3.3.2; nil without IKE_INTERMEDIATE.
func (b *boot) signedMore() []byte {
	if b.intI == nil {
		return nil
	}
	return binary.BigEndian.AppendUint32(slices.Concat(b.intI, b.intR), b.authID)
}
