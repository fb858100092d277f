package suite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// IKE is the algorithms of one IKE SA.
type IKE struct {
	Encryption esp.Encryption
	KeyBits    int
	Integrity  esp.Integrity // none with an AEAD
	PRF        PRF
	Group      Group
	Additional []Group // key exchanges that follow the first, in the order of ADDKE1, ADDKE2, ... (RFC 9370)
}

// Child is the algorithms of one Child SA.
type Child struct {
	esp.Suite
	ESN        bool
	Group      Group   // none without a key exchange of its own
	Additional []Group // as in IKE
}

// Keys is the secrets of an IKE SA, RFC 7296 section 2.14. A salt is the end of Ei and Er.
type Keys struct {
	D      []byte // SK_d, from which other keys are derived
	Ai, Ar []byte // integrity; empty with an AEAD
	Ei, Er []byte // encryption
	Pi, Pr []byte // over the identities, in AUTH
}

func (k *Keys) all() []*[]byte {
	return []*[]byte{&k.D, &k.Ai, &k.Ar, &k.Ei, &k.Er, &k.Pi, &k.Pr}
}

// Clear overwrites the keys and forgets them.
func (k *Keys) Clear() {
	for _, key := range k.all() {
		clear(*key)
		*key = nil
	}
}

// Clone is a copy with memory of its own.
func (k *Keys) Clone() *Keys {
	c := *k
	for _, key := range c.all() {
		*key = slices.Clone(*key)
	}
	return &c
}

// String keeps the keys out of logs.
func (k Keys) String() string { return "keys" }

// GoString keeps the keys out of logs.
func (k Keys) GoString() string { return "keys" }

// Check tells whether all of s is available and belongs together.
func (s IKE) Check() error {
	if _, _, ok := keySizes(s.Encryption, s.KeyBits, s.Integrity); !ok {
		return fmt.Errorf("ike suite %v: encryption and integrity are not available together", s)
	}
	if !s.PRF.Available() {
		return fmt.Errorf("ike suite %v: the prf is not available", s)
	}
	if !s.Group.Available() {
		return fmt.Errorf("ike suite %v: the key exchange is not available", s)
	}
	for _, g := range s.Additional {
		if !g.Available() {
			return fmt.Errorf("ike suite %v: key exchange %v is not available", s, g)
		}
	}
	return nil
}

// Derive makes the keys of a new IKE SA, RFC 7296 section 2.14:
//
//	SKEYSEED = prf(Ni | Nr, g^ir)
func (s IKE) Derive(secret, ni, nr []byte, spii, spir uint64) *Keys {
	return s.expand(s.PRF.Sum(slices.Concat(ni, nr), secret), ni, nr, spii, spir)
}

// Rekey makes the keys of an IKE SA that follows another, RFC 7296 section 2.18. The nonces and SPIs are those of the
// new SA. additional is the secrets of the key exchanges that followed in IKE_FOLLOWUP_KE, in order (RFC 9370 section
// 2.2.4):
//
//	SKEYSEED = prf(SK_d (old), SK(0) | Ni | Nr | SK(1) | ... | SK(n))
func (s IKE) Rekey(oldPRF PRF, oldD, secret, ni, nr []byte, spii, spir uint64, additional ...[]byte) *Keys {
	seed := oldPRF.Sum(oldD, slices.Concat([][]byte{secret, ni, nr}, additional)...)
	return s.expand(seed, ni, nr, spii, spir)
}

// Mix makes the keys of an IKE SA anew after an additional key exchange in IKE_INTERMEDIATE, RFC 9370 section 2.2.2:
//
//	SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr)
func (s IKE) Mix(k *Keys, secret, ni, nr []byte, spii, spir uint64) *Keys {
	return s.expand(s.PRF.Sum(k.D, secret, ni, nr), ni, nr, spii, spir)
}

// expand makes {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr), and
// clears the seed.
func (s IKE) expand(skeyseed, ni, nr []byte, spii, spir uint64) *Keys {
	encryption, mac, ok := keySizes(s.Encryption, s.KeyBits, s.Integrity)
	if !ok {
		panic(fmt.Sprintf("suite: %v was never negotiated", s))
	}
	seed := slices.Concat(ni, nr)
	seed = binary.BigEndian.AppendUint64(seed, spii)
	seed = binary.BigEndian.AppendUint64(seed, spir)
	prf := s.PRF.Size()
	stream := s.PRF.Plus(skeyseed, seed, 3*prf+2*mac+2*encryption)
	clear(skeyseed)
	k := new(Keys)
	sizes := []int{prf, mac, mac, encryption, encryption, prf, prf}
	for i, key := range k.all() {
		*key, stream = take(stream, sizes[i])
	}
	return k
}

// take splits n octets off. They can not grow into what follows.
func take(b []byte, n int) (head, rest []byte) { return b[:n:n], b[n:] }

// AddPPK mixes a post-quantum preshared key into SK_d, SK_pi and SK_pr, RFC 8784 section 3:
//
//	SK_d = prf+(PPK, SK_d'), SK_pi = prf+(PPK, SK_pi'), SK_pr = prf+(PPK, SK_pr')
//
// An initiator whose peer may go on without the PPK keeps a Clone from before.
func (k *Keys) AddPPK(s IKE, ppk []byte) {
	for _, key := range []*[]byte{&k.D, &k.Pi, &k.Pr} {
		mixed := s.PRF.Plus(ppk, *key, len(*key))
		clear(*key)
		*key = mixed
	}
}

// ChildKeys makes the keys of a Child SA, RFC 7296 section 2.17: what the initiator of the exchange sends with, and what
// the responder does. d is SK_d of the IKE SA. Without a key exchange secret is nil. additional is the secrets of the
// key exchanges that followed in IKE_FOLLOWUP_KE, in order (RFC 9370 section 2.2.4):
//
//	KEYMAT = prf+(SK_d, SK(0) | Ni | Nr | SK(1) | ... | SK(n))
//
// The secrets of IKE_INTERMEDIATE are no part of it: they are in SK_d.
func ChildKeys(s IKE, d []byte, child Child, secret, ni, nr []byte, additional ...[]byte) (fromInitiator, fromResponder esp.Keys) {
	encryption, mac, ok := keySizes(child.Encryption, child.KeyBits, child.Integrity)
	if !ok {
		panic(fmt.Sprintf("suite: %v was never negotiated", child))
	}
	seed := slices.Concat(slices.Concat([][]byte{secret, ni, nr}, additional)...)
	stream := s.PRF.Plus(d, seed, 2*(encryption+mac))
	clear(seed)
	for _, keys := range []*esp.Keys{&fromInitiator, &fromResponder} {
		keys.Suite = child.Suite
		keys.Encryption, stream = take(stream, encryption)
		keys.Integrity, stream = take(stream, mac)
	}
	return fromInitiator, fromResponder
}

var errKeyLength = errors.New("the keys are not as long as the suite says")
