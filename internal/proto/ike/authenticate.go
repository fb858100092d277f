package ike

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// prove is IKE_AUTH, RFC 7296 section 1.2: we say who we are and prove it, and ask for the first child.
type prove struct{}

func (t *prove) start(env *core.Env, s *sa) bool {
	b := s.boot
	b.authID = s.nextID
	id := s.ownIdentity()
	claim := &wire.ID{Initiator: true, IDType: id.Kind, Data: []byte(id.Data)}
	secret, err := s.ownSecret()
	if err != nil {
		s.fail(env, err.Error())
		return true
	}
	b.secret = secret
	ppk := s.choosePPK()
	if ppk == nil && s.profile.NeedPPK {
		s.fail(env, "the peer uses no post-quantum pre-shared keys, and profile "+s.profile.Name+" needs one")
		return true
	}
	octets := [2][]byte{s.signed(true, claim), nil}
	if ppk != nil {
		b.unmixed = s.keys.Clone()
		octets[1] = octets[0]
		s.keys.AddPPK(s.suite, ppk.Secret)
		octets[0] = s.signed(true, claim)
	}
	s.proof(env, octets, func(env *core.Env, proofs [2]proof) {
		p := wire.Payloads{claim}
		p = append(p, s.certificates()...)
		p = append(p, s.certRequests()...)
		p = append(p, proofs[0].payload())
		p = append(p, s.introduction(env)...)
		if ppk != nil {
			p = append(p, s.withPPK(ppk, proofs[1])...)
		}
		if b.spi = s.m.newChildSPI(); b.spi == 0 {
			s.fail(env, "there are as many child SAs as there can be")
			return
		}
		b.tunnel = s.profile.Mode == TunnelMode
		s.ask(env, wire.IKEAuth, append(p, s.offerChild(b.spi, b.tunnel, 0, nil)...))
	})
	return true
}

// introduction is what goes along with an initiator's proof.
func (s *sa) introduction(env *core.Env) (p wire.Payloads) {
	if !s.m.knows(s) {
		s.boot.initial = true
		p = append(p, &wire.Notify{Kind: wire.InitialContact}) // section 2.4
	}
	if s.profile.MOBIKE {
		p = append(p, &wire.Notify{Kind: wire.MOBIKESupported})
	}
	return p
}

// knows reports whether there is another IKE SA with the peer.
func (m *Module) knows(s *sa) bool {
	for _, p := range m.at[s.remote.Addr()] {
		if p.local == s.local.Addr() && len(p.sas) > 0 {
			return true
		}
	}
	return false
}

// withPPK names the PPK that was used and, unless the profile insists on it, proves us without (RFC 8784 section 3).
func (s *sa) withPPK(ppk *PPK, without proof) wire.Payloads {
	p := wire.Payloads{&wire.Notify{Kind: wire.PPKIdentity, Data: append([]byte{wire.PPKFixed}, ppk.ID...)}}
	if !s.profile.NeedPPK {
		p = append(p, &wire.Notify{Kind: wire.NoPPKAuth, Data: without.data})
	}
	return p
}

func (s *sa) choosePPK() *PPK {
	if !s.boot.ppk {
		return nil
	}
	return &s.profile.PPKs[0]
}

// ownIdentity is who we say we are: as configured, else by the first name of our certificate, else by our underlay address.
func (s *sa) ownIdentity() auth.Identity {
	if s.profile.Local.Kind != 0 {
		return s.profile.Local
	}
	if c := s.profile.Credential; c != nil {
		return c.Identities()[0]
	}
	return auth.Address(s.local.Addr())
}

// ownSecret is the PSK that proves us to the peer, if that is how it is done. Of several for it each attempt takes the
// next: during a change of keys the peer may know one of them only.
func (s *sa) ownSecret() ([]byte, error) {
	if s.profile.Credential != nil {
		return nil, nil
	}
	var fit [][]byte
	peer := auth.Address(s.remote.Addr())
	for _, k := range s.profile.PSKs {
		if k.matches(peer) || !k.aboutAddresses() {
			fit = append(fit, k.Secret)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("profile %s has neither a certificate nor a pre-shared key for %v", s.profile.Name, s.remote.Addr())
	}
	turn := 0
	if s.boot.want != nil {
		turn = s.boot.want.turn
	}
	return fit[turn%len(fit)], nil
}

// signed are the octets that one side proves itself with, RFC 7296 section 2.15.
func (s *sa) signed(byInitiator bool, id *wire.ID) []byte {
	b := s.boot
	message, nonce, key := b.request, b.peerNonce, s.keys.Pi
	if !s.initiator {
		nonce = b.nonce
	}
	if !byInitiator {
		message, nonce, key = b.response, b.nonce, s.keys.Pr
		if !s.initiator {
			nonce = b.peerNonce
		}
	}
	return auth.SignedOctets(s.suite.PRF, message, nonce, key, id.AppendBody(nil), b.signedMore())
}

// proof is the content of an AUTH payload.
type proof struct {
	method uint8
	data   []byte
	err    error
}

func (p proof) payload() *wire.Auth { return &wire.Auth{Method: p.method, Data: p.data} }

// proof makes AUTH over the octets and, where there are any, the second. Signatures are made away from the loop.
func (s *sa) proof(env *core.Env, octets [2][]byte, then func(*core.Env, [2]proof)) {
	c, secret, hashes, seed, prf := s.profile.Credential, s.boot.secret, s.boot.hashes, s.m.bytes(seedLen), s.suite.PRF
	if c == nil {
		var proofs [2]proof
		for i, o := range octets {
			if o != nil {
				proofs[i] = proof{method: methodPSK, data: auth.PSKAuth(prf, secret, o)}
			}
		}
		then(env, proofs)
		return
	}
	s.work(env, func() any { return sign(c, octets, hashes, seed) }, func(env *core.Env, result any) {
		proofs, ok := result.([2]proof)
		if !ok || proofs[0].err != nil || proofs[1].err != nil {
			s.fail(env, fmt.Sprintf("sign with the key of profile %s: %v", s.profile.Name, errors.Join(proofs[0].err, proofs[1].err)))
			return
		}
		then(env, proofs)
	})
}

// Methods of AUTH, RFC 7296 section 3.8.
const methodPSK = 2

func sign(c *auth.Credential, octets [2][]byte, hashes []uint16, seed []byte) (proofs [2]proof) {
	for i, o := range octets {
		if o != nil {
			p := &proofs[i]
			p.method, p.data, p.err = c.Sign(o, hashes, newStream(seed))
		}
	}
	return proofs
}

// encodingX509 is a certificate for signatures, RFC 7296 section 3.6.
const encodingX509 = 4

func (s *sa) certificates() (p wire.Payloads) {
	if c := s.profile.Credential; c != nil {
		for _, der := range c.Chain {
			p = append(p, &wire.Cert{Encoding: encodingX509, Data: der})
		}
	}
	return p
}

// maxAuthorities bounds how much longer than its request a response becomes by naming whom we trust.
const maxAuthorities = 4

func (s *sa) certRequests() wire.Payloads {
	if s.profile.Trust == nil {
		return nil
	}
	all := s.profile.Trust.Authorities()
	return wire.Payloads{&wire.CertReq{Encoding: encodingX509, Data: slices.Concat(all[:min(len(all), maxAuthorities)]...)}}
}

// claim is who a peer says it is, and how it proves that.
type claim struct {
	id     auth.Identity
	sent   *wire.ID // what AUTH covers, its reserved octets too
	method uint8
	data   []byte
	chain  [][]byte
}

// maxChain bounds how many certificates of a peer are looked at.
const maxChain = 8

func readClaim(p wire.Payloads, initiator bool) (c claim, err error) {
	a := wire.Get[*wire.Auth](p)
	i := slices.IndexFunc(wire.All[*wire.ID](p), func(id *wire.ID) bool { return id.Initiator == initiator })
	switch {
	case i < 0:
		return c, errors.New("it does not say who it is")
	case a == nil:
		return c, errors.New("it wants EAP, which is not spoken here")
	}
	id := wire.All[*wire.ID](p)[i]
	for _, cert := range wire.All[*wire.Cert](p) {
		if cert.Encoding == encodingX509 && len(c.chain) < maxChain {
			c.chain = append(c.chain, slices.Clone(cert.Data))
		}
	}
	c.id, err = auth.FromWire(id.IDType, id.Data)
	c.method, c.data, c.sent = a.Method, a.Data, id
	return c, err
}

// verdict is what became of checking a claim.
type verdict struct {
	subject string // of the certificate
	method  string
	secret  []byte    // the PSK that fitted
	until   time.Time // when the certificate expires
	chain   [][]byte  // it, and those that led from it to an authority
	err     error
}

// judge checks a claim over octets. Certificates are checked away from the loop.
func (s *sa) judge(env *core.Env, c claim, octets []byte, then func(*core.Env, verdict)) {
	if c.method == methodPSK {
		then(env, s.judgePSK(c, octets))
		return
	}
	trust, o, now := s.profile.Trust, auth.Options{AllowSHA1: s.profile.AllowSHA1}, env.Wall()
	s.work(env, func() any { return judgeSignature(trust, c, octets, o, now) }, func(env *core.Env, result any) {
		v, ok := result.(verdict)
		if !ok {
			v.err = fmt.Errorf("check its certificate: %v", result)
		}
		then(env, v)
	})
}

// judgePSK tries every PSK that may be the peer's. With none it does as much work.
func (s *sa) judgePSK(c claim, octets []byte) verdict {
	v := verdict{method: "pre-shared key"}
	tried, closest := false, s.profile.closest(c.id)
	for _, k := range s.profile.PSKs {
		if !k.matches(c.id) || k.closeness() < closest {
			continue
		}
		tried = true
		if auth.VerifyPSK(s.suite.PRF, k.Secret, octets, c.data) && v.secret == nil {
			v.secret = k.Secret
		}
	}
	switch {
	case v.secret != nil:
	case !tried:
		auth.VerifyPSK(s.suite.PRF, nil, octets, c.data)
		v.err = fmt.Errorf("profile %s has no pre-shared key for %s", s.profile.Name, c.id)
	default:
		v.err = errors.New("the pre-shared keys differ")
	}
	return v
}

func judgeSignature(trust *auth.Trust, c claim, octets []byte, o auth.Options, now time.Time) (v verdict) {
	v.method = "certificate"
	if trust == nil {
		v.err = errors.New("it proves itself by a certificate, and the profile trusts no authority")
		return v
	}
	leaf, err := trust.Check(c.chain, c.id, now)
	if err != nil {
		v.err = err
		return v
	}
	v.subject, v.until, v.chain = auth.Subject(leaf), leaf.NotAfter, c.chain
	v.err = auth.Verify(leaf, c.method, c.data, octets, o)
	return v
}

// admitted reports whether the profile wants a peer of that identity.
func (p *Profile) admitted(id auth.Identity) error {
	if len(p.Peers) == 0 || slices.ContainsFunc(p.Peers, func(x auth.Pattern) bool { return x.Match(id) }) {
		return nil
	}
	return fmt.Errorf("its identity %s is none of the peers of profile %s", id, p.Name)
}

// authRequest judges the initiator's proof, and answers with ours.
func (s *sa) authRequest(env *core.Env, p wire.Payloads) {
	s.busy = true
	c, err := readClaim(p, true)
	if err == nil {
		s.identity = c.id
		err = s.peerPPK(p, &c)
	}
	if err != nil {
		s.reject(env, err)
		return
	}
	s.judge(env, c, s.signed(true, c.sent), func(env *core.Env, v verdict) {
		if v.err == nil {
			v.err = s.profile.admitted(c.id)
		}
		if v.err == nil && s.m.handles.spent() {
			v.err = errors.New("there are as many peers as there can be")
		}
		if v.err != nil {
			s.reject(env, v.err)
			return
		}
		s.subject, s.method, s.boot.secret = v.subject, v.method, v.secret
		s.proven, s.until, s.chain = fingerprint(v.secret), v.until, v.chain
		s.admit(env, p)
	})
}

// reject answers a proof that does not hold. What was wrong is for our log: the peer hears one thing in all cases.
func (s *sa) reject(env *core.Env, err error) {
	s.m.count("authentication-failed")
	s.refuse(env, wire.IKEAuth, wire.AuthenticationFailed)
	s.fail(env, "authentication failed: "+err.Error())
}

// peerPPK mixes in the PPK that the initiator names, or takes its proof without, RFC 8784 section 3.
func (s *sa) peerPPK(p wire.Payloads, c *claim) error {
	named, without := p.Notify(wire.PPKIdentity), p.Notify(wire.NoPPKAuth)
	if named != nil && s.boot.ppk {
		if _, name, ok := named.PPK(); ok {
			for _, k := range s.profile.PPKs {
				if k.ID == string(name) {
					s.keys.AddPPK(s.suite, k.Secret)
					s.boot.unmixed = s.keys // marks that one is in use
					return nil
				}
			}
		}
	}
	switch {
	case s.profile.NeedPPK:
		return errors.New("it has no post-quantum pre-shared key that we have, and the profile needs one")
	case named != nil && without != nil:
		c.data = without.Data
	case named != nil:
		return errors.New("it insists on a post-quantum pre-shared key that we do not have")
	}
	return nil
}

// admit proves us to an initiator that proved itself, and answers its wish for a child.
func (s *sa) admit(env *core.Env, request wire.Payloads) {
	id := s.ownIdentity()
	if s.boot.secret == nil && s.profile.Credential == nil {
		secret, err := s.ownSecret()
		if err != nil {
			s.reject(env, err)
			return
		}
		s.boot.secret = secret
	}
	claim := &wire.ID{IDType: id.Kind, Data: []byte(id.Data)}
	s.proof(env, [2][]byte{s.signed(false, claim), nil}, func(env *core.Env, proofs [2]proof) {
		p := wire.Payloads{claim}
		p = append(append(p, s.certificates()...), proofs[0].payload())
		if s.boot.unmixed != nil {
			p = append(p, &wire.Notify{Kind: wire.PPKIdentity})
		}
		s.mobike = s.profile.MOBIKE && request.Notify(wire.MOBIKESupported) != nil
		if s.mobike {
			p = append(p, &wire.Notify{Kind: wire.MOBIKESupported})
		}
		b := s.boot
		s.establish(env, request.Notify(wire.InitialContact) != nil)
		a, refusal := s.agree(request, false, 0)
		var grant granted
		if refusal == nil {
			grant, refusal = s.grantChild(env, a, childOffer{ni: b.peerNonce, nr: b.nonce}, nil, nil)
		}
		if refusal != nil {
			s.answer(env, wire.IKEAuth, append(p, refusal))
			s.childless(env, "no child: "+refusal.Kind.Words())
			return
		}
		s.answer(env, wire.IKEAuth, append(p, grant.payloads...))
		grant.child.begin(env)
	})
}

// answered implements task: the responder proves itself.
func (t *prove) answered(env *core.Env, s *sa, p wire.Payloads) {
	if n := sentError(p); n != nil && wire.Get[*wire.Auth](p) == nil {
		s.fail(env, s.refusal(n))
		return
	}
	c, err := readClaim(p, false)
	if err == nil && s.boot.unmixed != nil && p.Notify(wire.PPKIdentity) == nil {
		err = s.withoutPPK()
	}
	if err != nil {
		s.abort(env, "the peer's proof: "+err.Error())
		return
	}
	s.identity = c.id
	s.judge(env, c, s.signed(false, c.sent), func(env *core.Env, v verdict) {
		if v.err == nil {
			v.err = s.profile.admitted(c.id)
		}
		if v.err != nil {
			s.abort(env, "the peer's proof: "+v.err.Error())
			return
		}
		s.subject, s.method = v.subject, v.method
		s.proven, s.until, s.chain = fingerprint(v.secret), v.until, v.chain
		s.mobike = s.profile.MOBIKE && p.Notify(wire.MOBIKESupported) != nil
		b := s.boot
		s.establish(env, false)
		s.takeChild(env, p, childOffer{spi: b.spi, tunnel: b.tunnel, ni: b.nonce, nr: b.peerNonce})
	})
}

// withoutPPK goes back to the keys without PPK, as the peer has none, unless the profile needs it.
func (s *sa) withoutPPK() error {
	if s.profile.NeedPPK {
		return errors.New("it did not use our post-quantum pre-shared key")
	}
	s.keys.Clear()
	s.keys = s.boot.unmixed
	return nil
}

// refusal is an error notify in words that help.
func (s *sa) refusal(n *wire.Notify) string {
	if n.Kind == wire.AuthenticationFailed {
		return fmt.Sprintf("the peer does not accept our proof as %s (AUTHENTICATION_FAILED): compare the pre-shared keys, or what it expects of our identity and certificate", s.ownIdentity())
	}
	return "the peer refuses: " + n.Kind.Words()
}

// abort ends an SA whose responder could not prove itself. It believes the SA to be, so it is told (section 2.21.2).
func (s *sa) abort(env *core.Env, reason string) {
	s.m.count("authentication-failed")
	id := s.nextID
	for _, d := range s.seal(wire.Informational, id, false, wire.Payloads{&wire.Notify{Kind: wire.AuthenticationFailed}, &wire.Delete{Protocol: wire.ProtocolIKE}}, s.room()) {
		s.send(env, s.remote, d)
	}
	s.fail(env, reason)
}

// establish makes the SA good: both have proved who they are. Its peer's other SAs are from before when it says that
// it knows of none (INITIAL_CONTACT, section 2.4).
func (s *sa) establish(env *core.Env, initialContact bool) {
	s.phase, s.since = established, env.Now()
	s.leaveBeginning()
	begun, want := s.begunAt, s.boot.want
	s.boot = nil
	s.age(env)
	s.m.peerOf(env, s).joined(env, s)
	if initialContact {
		s.m.forgetBefore(env, s, begun)
	}
	s.log(env, core.Info, "established", "suite", s.suite.String(), "by", s.method, "nat", s.natLocal || s.natRemote)
	s.m.count(CountEstablished)
	if want != nil {
		want.trying = nil
	}
}

// fingerprint is that of a PSK, to know it again without keeping it; "" for none.
func fingerprint(secret []byte) string {
	if secret == nil {
		return ""
	}
	sum := sha256.Sum256(secret)
	return string(sum[:])
}

// stands reports whether a changed profile would come to the SA as well: its peer is wanted still, by what it proved itself
// with, and what protects the SA is still good enough.
func (s *sa) stands(env *core.Env, now *Profile) bool {
	if s.phase != established || now.admitted(s.identity) != nil || s.peer == nil ||
		s.ownIdentity() != (&sa{profile: now, local: s.local}).ownIdentity() || now.Mode != s.profile.Mode ||
		!reflect.DeepEqual(now.IKE, s.profile.IKE) || !reflect.DeepEqual(now.ESP, s.profile.ESP) ||
		!slices.Equal(now.allowed(s.identity), s.peer.allowed) || (now.allowed(s.identity) == nil) != (s.peer.allowed == nil) || now.NeedPPK && !s.profile.NeedPPK {
		return false
	}
	return now.provenBy(s) || now.believes(env, s)
}

// provenBy reports whether the PSK that a peer proved itself with is still one of those that count for it.
func (p *Profile) provenBy(s *sa) bool {
	return s.proven != "" && slices.ContainsFunc(p.PSKs, func(k PSK) bool {
		return fingerprint(k.Secret) == s.proven && k.matches(s.identity) && k.closeness() == p.closest(s.identity)
	})
}

// believes reports whether the certificate that a peer proved itself with is still good, and ours is as it was. It is
// asked on the loop: nobody whose certificate was revoked shall be served while others are looked at.
func (p *Profile) believes(env *core.Env, s *sa) bool {
	if s.chain == nil || p.Trust == nil || s.profile.AllowSHA1 && !p.AllowSHA1 || !sameCertificate(p.Credential, s.profile.Credential) {
		return false
	}
	_, err := p.Trust.Check(s.chain, s.identity, env.Wall())
	return err == nil
}

// sameCertificate reports whether two of our credentials, either of which may be none, show the same certificates.
func sameCertificate(a, b *auth.Credential) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Chain, b.Chain, bytes.Equal)
}

// reconfigure follows a change of the profile. What a rekey is making goes the way of the SA that it is for.
func (s *sa) reconfigure(env *core.Env, now *Profile) {
	made := s.boot == nil && s.peer == nil && s.phase <= established && !s.over
	switch {
	case made && now != nil:
		s.profile = now
	case made:
		s.destroy(env, "the profile was removed")
	case now != nil && s.stands(env, now):
		s.adopt(env, now)
	default:
		s.close(env, "the profile was changed")
	}
}

// adopt goes on under a changed profile. New lifetimes count from the next rekey on.
func (s *sa) adopt(env *core.Env, now *Profile) {
	s.profile = now
	if s.peer == nil {
		return
	}
	before := s.peer.profile
	if s.peer.profile = now; s.peer.up && before.Name != now.Name {
		env.Publish(s.peer.notice())
	}
}

// age sets the timers of an established SA.
func (s *sa) age(env *core.Env) {
	env.Arm(&s.lifetime, env.Jitter(s.profile.IKELifetime, rekeyJitter))
	hard := s.profile.IKELifetime + hardMargin(s.profile.IKELifetime)
	if !s.until.IsZero() {
		hard = min(hard, s.until.Sub(env.Wall()))
	}
	env.Arm(&s.hard, hard)
	if s.profile.DPD > 0 {
		env.Arm(&s.watch, env.Jitter(s.profile.DPD, rekeyJitter))
	}
	if s.natLocal {
		env.Arm(&s.keep, keepaliveTime)
	}
}

const rekeyJitter = 0.1 // so that not all that began together is rekeyed together

// hardMargin is how long a rekey may be tried after the lifetime.
func hardMargin(lifetime time.Duration) time.Duration { return max(lifetime/10, time.Minute) }
