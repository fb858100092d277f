package suite

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// template is one proposal of ours: for each transform type what we accept, best first. What it does not name is
// accepted only as NONE. What is not available never gets into one.
type template [][]wire.Transform

// ikeTemplates are the proposals for an IKE SA. None has a transform of type 5: RFC 7296 section 3.3.3 gives IKE none,
// and IOS-XE drops a message that has.
func ikeTemplates(ps []Policy) []template {
	var all []template
	for _, p := range ps {
		for _, half := range p.halves() {
			if t, ok := half.keyExchange(half.ikeTemplate()); ok {
				all = appendTemplate(all, t)
			}
		}
	}
	return all
}

func childTemplates(ps []Policy, withKE bool) []template {
	var all []template
	for _, p := range ps {
		for _, half := range p.halves() {
			for _, t := range half.childVariants(withKE) {
				all = appendTemplate(all, t)
			}
		}
	}
	return all
}

// maxTemplates is bounded by what a payload may hold.
const maxTemplates = wire.MaxProposals

// appendTemplate leaves out one that is there: without key exchanges, policies can become the same.
func appendTemplate(all []template, t template) []template {
	same := func(u template) bool { return slices.EqualFunc(t, u, slices.Equal[[]wire.Transform]) }
	if len(all) == maxTemplates || slices.ContainsFunc(all, same) {
		return all
	}
	return append(all, t)
}

// halves splits p into a proposal of AEADs and one of CBC, which RFC 7296 section 3.3 keeps apart; first what p prefers.
func (p Policy) halves() []Policy {
	combined, cbc := p, p
	combined.Encryptions, cbc.Encryptions, combined.Integrities = nil, nil, nil
	for _, e := range p.Encryptions {
		if e.Encryption == esp.ChaCha20Poly1305 && e.KeyBits == 0 {
			e.KeyBits = 256
		}
		switch {
		case !validKey(e.Encryption, e.KeyBits):
		case aead(e.Encryption):
			combined.Encryptions = append(combined.Encryptions, e)
		default:
			cbc.Encryptions = append(cbc.Encryptions, e)
		}
	}
	halves := []Policy{combined, cbc}
	if len(p.Encryptions) > 0 && !aead(p.Encryptions[0].Encryption) {
		slices.Reverse(halves)
	}
	return slices.DeleteFunc(halves, func(h Policy) bool { return len(h.Encryptions) == 0 })
}

// encryption begins a template, nil when CBC would be without integrity.
func (p Policy) encryption() template {
	t := template{transforms(wire.TransformENCR, p.Encryptions, encryptionTransform)}
	if !p.hasCBC() {
		return t
	}
	available := slices.DeleteFunc(slices.Clone(p.Integrities), func(i esp.Integrity) bool { return integrityHash(i) == nil })
	if len(available) == 0 {
		return nil
	}
	return append(t, transforms(wire.TransformINTEG, available, plain[esp.Integrity]))
}

func (p Policy) ikeTemplate() template {
	prfs := slices.DeleteFunc(slices.Clone(p.PRFs), func(f PRF) bool { return !f.Available() })
	t := p.encryption()
	if t == nil || len(prfs) == 0 {
		return nil
	}
	prf := transforms(wire.TransformPRF, prfs, plain[PRF])
	return slices.Insert(t, 1, prf)
}

// childVariants are the proposals of one half: with a key exchange, without where p allows that, or both. Each is a
// proposal of its own rather than a NONE among groups, which not every peer reads.
func (p Policy) childVariants(withKE bool) []template {
	base := p.encryption()
	esn := p.esn()
	if base == nil || esn == nil {
		return nil
	}
	var variants []template
	if withKE {
		with := p
		with.Groups = without(p.Groups, NoGroup)
		if t, ok := with.keyExchange(slices.Clone(base)); ok {
			variants = append(variants, slices.Insert(t, len(base)+1, esn))
		}
	}
	if !withKE || len(p.Groups) == 0 || slices.Contains(p.Groups, NoGroup) {
		variants = append(variants, append(slices.Clone(base), esn))
	}
	return variants
}

func (p Policy) esn() []wire.Transform {
	var out []wire.Transform
	for _, esn := range p.ESN {
		t := wire.Transform{Type: wire.TransformESN}
		if esn {
			t.ID = 1
		}
		out = append(out, t)
	}
	return out
}

// keyExchange appends the key exchanges to a template. It is not ok when p has a place that nothing available can fill.
func (p Policy) keyExchange(t template) (template, bool) {
	groups := available(p.Groups)
	if t == nil || len(groups) == 0 || len(p.Additional) > maxAdditional {
		return nil, false
	}
	t = append(t, transforms(wire.TransformKE, groups, plain[Group]))
	for i, list := range p.Additional {
		choices := available(list)
		if slices.Contains(list, NoGroup) {
			choices = append(choices, NoGroup)
		}
		if len(choices) == 0 {
			return nil, false
		}
		t = append(t, transforms(wire.AddKE1+wire.TransformType(i), choices, plain[Group]))
	}
	return t, true
}

func available(groups []Group) []Group {
	return slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return !g.Available() })
}

func without(groups []Group, not Group) []Group {
	return slices.DeleteFunc(slices.Clone(groups), func(g Group) bool { return g == not })
}

func transforms[T any](kind wire.TransformType, from []T, to func(T) wire.Transform) []wire.Transform {
	out := make([]wire.Transform, len(from))
	for i, v := range from {
		out[i] = to(v)
		out[i].Type = kind
	}
	return out
}

func plain[T ~uint16](id T) wire.Transform { return wire.Transform{ID: uint16(id)} }

// encryptionTransform has a key length with AES, RFC 7296 section 3.3.5, and none with ChaCha20, RFC 7634 section 4.
func encryptionTransform(e EncryptionChoice) wire.Transform {
	t := wire.Transform{ID: uint16(e.Encryption)}
	if e.Encryption != esp.ChaCha20Poly1305 {
		t.KeyBits = e.KeyBits
	}
	return t
}

// match narrows a proposal to what t accepts: one transform of each type that the proposal has.
func (t template) match(p wire.Proposal, protocol wire.Protocol, guess Group) ([]wire.Transform, *mismatch) {
	if p.Protocol != protocol {
		return nil, &mismatch{far, func() string { return fmt.Sprintf("proposal %d is for %v", p.Number, p.Protocol) }}
	}
	if !validSPI(p) {
		return nil, &mismatch{far, func() string { return fmt.Sprintf("proposal %d has no valid SPI", p.Number) }}
	}
	m := matching{template: t, offered: p.Transforms, guess: guess}
	if !m.from(0) || !m.leftover() {
		return nil, m.mismatch(p.Number)
	}
	slices.SortStableFunc(m.chosen, func(a, b wire.Transform) int { return int(a.Type) - int(b.Type) })
	return m.chosen, nil
}

// firstSPI is the first of a Child SA; those below are reserved, RFC 4303 section 2.1.
const firstSPI = 256

func validSPI(p wire.Proposal) bool {
	if p.Protocol == wire.ProtocolIKE {
		return len(p.SPI) == 0 || len(p.SPI) == 8 && binary.BigEndian.Uint64(p.SPI) != 0
	}
	return len(p.SPI) == 4 && binary.BigEndian.Uint32(p.SPI) >= firstSPI
}

// matching is the state of one match.
type matching struct {
	template template
	offered  []wire.Transform
	guess    Group
	chosen   []wire.Transform
}

// from fills the template's places from i on. It goes back where the choice for one key exchange leaves none for
// another, since no method may be used twice (RFC 9370 section 2.2.1).
func (m *matching) from(i int) bool {
	if i == len(m.template) {
		return true
	}
	before := len(m.chosen)
	for _, t := range m.ordered(i) {
		ok, answer := m.offers(t)
		if !ok || m.repeats(t) {
			continue
		}
		if answer {
			m.chosen = append(m.chosen, t)
		}
		if m.from(i + 1) {
			return true
		}
		m.chosen = m.chosen[:before]
	}
	return false
}

// ordered is our choices for a place, the peer's guess first.
func (m *matching) ordered(i int) []wire.Transform {
	choices := m.template[i]
	guess := wire.Transform{Type: wire.TransformKE, ID: uint16(m.guess)}
	at := slices.Index(choices, guess)
	if at <= 0 {
		return choices
	}
	return slices.Insert(slices.Delete(slices.Clone(choices), at, at+1), 0, guess)
}

// offers tells whether the peer offers t, which is ours, and whether t belongs into the answer. Silence offers ID 0 as
// well: no further key exchange, no extended sequence numbers. Of the types that have none we never accept ID 0.
func (m *matching) offers(t wire.Transform) (ok, answer bool) {
	if slices.Contains(m.offered, t) {
		return true, true
	}
	silent := !slices.ContainsFunc(m.offered, func(o wire.Transform) bool { return o.Type == t.Type })
	return t.ID == 0 && silent, false
}

func (m *matching) repeats(t wire.Transform) bool {
	return isKE(t.Type) && t.ID != 0 && slices.ContainsFunc(m.chosen, func(c wire.Transform) bool {
		return isKE(c.Type) && c.ID == t.ID
	})
}

func isKE(t wire.TransformType) bool {
	return t == wire.TransformKE || t >= wire.AddKE1 && t <= wire.AddKE7
}

// leftover answers the types that the template does not have. Each must be offered as NONE (RFC 7296 section 3.3.6: a
// type that we do not know refuses the proposal).
func (m *matching) leftover() bool {
	for _, kind := range m.extra() {
		if !m.mayRefuse(kind) {
			return false
		}
		m.chosen = append(m.chosen, wire.Transform{Type: kind})
	}
	return true
}

// extra is the types that the proposal has and the template has not.
func (m *matching) extra() []wire.TransformType {
	var types []wire.TransformType
	for _, o := range m.offered {
		known := slices.ContainsFunc(m.template, func(place []wire.Transform) bool { return place[0].Type == o.Type })
		if !known && !slices.Contains(types, o.Type) {
			types = append(types, o.Type)
		}
	}
	return types
}

// mayRefuse tells whether NONE is offered for a type that has it.
func (m *matching) mayRefuse(kind wire.TransformType) bool {
	return (kind == wire.TransformINTEG || isKE(kind)) && slices.Contains(m.offered, wire.Transform{Type: kind})
}

// mismatch is why a template and a proposal do not meet.
type mismatch struct {
	misses int           // how many types have nothing in common
	what   func() string // only written when it is what to tell
}

// far is more misses than there are types.
const far = 1000

// nearer keeps what misses least: the other reasons only say that a proposal is for something else.
func (m *mismatch) nearer(other *mismatch) {
	if m.what == nil || other.misses < m.misses {
		*m = *other
	}
}

func (m *mismatch) error() error {
	if m.what == nil {
		return fmt.Errorf("%w: nothing is configured that is available", ErrNoProposal)
	}
	return fmt.Errorf("%w: %s", ErrNoProposal, m.what())
}

func (m matching) mismatch(number uint8) *mismatch {
	missing := m.missing()
	return &mismatch{len(missing), func() string {
		words := []string{"it leaves only the same key exchange twice"}
		if len(missing) > 0 {
			words = nil
		}
		for _, place := range missing {
			words = append(words, m.miss(place))
		}
		return fmt.Sprintf("proposal %d: %s", number, strings.Join(limit(words), "; "))
	}}
}

// missing is the places of the template that nothing offered fills, and what is offered and has no place.
func (m *matching) missing() [][]wire.Transform {
	var missing [][]wire.Transform
	for _, place := range m.template {
		offered := func(t wire.Transform) bool { ok, _ := m.offers(t); return ok }
		if !slices.ContainsFunc(place, offered) {
			missing = append(missing, place)
		}
	}
	for _, kind := range m.extra() {
		if !m.mayRefuse(kind) {
			missing = append(missing, []wire.Transform{{Type: kind}})
		}
	}
	return missing
}

func (m *matching) miss(ours []wire.Transform) string {
	kind := ours[0].Type
	theirs := slices.DeleteFunc(slices.Clone(m.offered), func(t wire.Transform) bool { return t.Type != kind })
	return fmt.Sprintf("%s: the peer has %s, we have %s", typeWords(kind), transformWords(theirs), transformWords(ours))
}

// maxWords keeps an error short whatever a peer offers.
const maxWords = 12

func limit(words []string) []string {
	if len(words) > maxWords {
		return append(words[:maxWords], "...")
	}
	return words
}

func typeWords(t wire.TransformType) string {
	switch t {
	case wire.TransformENCR:
		return "encryption"
	case wire.TransformPRF:
		return "prf"
	case wire.TransformINTEG:
		return "integrity"
	case wire.TransformKE:
		return "key exchange"
	case wire.TransformESN:
		return "extended sequence numbers"
	}
	if isKE(t) {
		return fmt.Sprintf("additional key exchange %d", t-wire.AddKE1+1)
	}
	return fmt.Sprintf("transform type %d", t)
}

func transformWords(ts []wire.Transform) string {
	var words []string
	for _, t := range ts {
		words = append(words, transformWord(t))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(limit(words), ", ")
}

func transformWord(t wire.Transform) string {
	switch {
	case t.Unknown:
		return fmt.Sprintf("%d with an unknown attribute", t.ID)
	case t.Type == wire.TransformENCR:
		return encryptionOf(t).String()
	case t.Type == wire.TransformPRF:
		return PRF(t.ID).String()
	case t.Type == wire.TransformESN:
		return esnWord(t.ID == 1)
	case t.ID == 0:
		return "none"
	case t.Type == wire.TransformINTEG:
		return esp.Integrity(t.ID).String()
	case isKE(t.Type):
		return Group(t.ID).String()
	}
	return fmt.Sprint(t.ID)
}

func encryptionOf(t wire.Transform) EncryptionChoice {
	e := EncryptionChoice{esp.Encryption(t.ID), t.KeyBits}
	if e.Encryption == esp.ChaCha20Poly1305 && t.KeyBits == 0 {
		e.KeyBits = 256
	}
	return e
}

// ikeOf reads what was chosen.
func ikeOf(chosen []wire.Transform) IKE {
	var s IKE
	for _, t := range chosen {
		switch {
		case t.Type == wire.TransformENCR:
			e := encryptionOf(t)
			s.Encryption, s.KeyBits = e.Encryption, e.KeyBits
		case t.Type == wire.TransformINTEG:
			s.Integrity = esp.Integrity(t.ID)
		case t.Type == wire.TransformPRF:
			s.PRF = PRF(t.ID)
		case t.Type == wire.TransformKE:
			s.Group = Group(t.ID)
		case isKE(t.Type) && t.ID != 0:
			s.Additional = append(s.Additional, Group(t.ID))
		}
	}
	return s
}

func childOf(chosen []wire.Transform) Child {
	s := ikeOf(chosen)
	c := Child{
		Suite:      esp.Suite{Encryption: s.Encryption, KeyBits: s.KeyBits, Integrity: s.Integrity},
		Group:      s.Group,
		Additional: s.Additional,
	}
	for _, t := range chosen {
		c.ESN = c.ESN || t.Type == wire.TransformESN && t.ID == 1
	}
	return c
}
