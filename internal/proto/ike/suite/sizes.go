package suite

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// aead tells a combined-mode algorithm, which has no integrity algorithm beside it, RFC 5282.
func aead(e esp.Encryption) bool { return e == esp.AESGCM || e == esp.ChaCha20Poly1305 }

// validKey tells whether an algorithm that we have takes keys of that many bits.
func validKey(e esp.Encryption, bits int) bool {
	i := esp.HMACSHA256 // any
	if aead(e) {
		i = esp.NoIntegrity
	}
	return esp.Suite{Encryption: e, KeyBits: bits, Integrity: i}.Valid()
}

// keySizes is how many octets of keys an encryption takes, the salt with them, and its integrity algorithm: in IKE the
// same as in ESP (RFC 5282 section 7.1, RFC 7634 section 3). It is not ok unless both are available and belong together:
// an AEAD alone, CBC never alone.
func keySizes(e esp.Encryption, bits int, i esp.Integrity) (encryption, mac int, ok bool) {
	s := esp.Suite{Encryption: e, KeyBits: bits, Integrity: i}
	if !s.Valid() {
		return 0, 0, false
	}
	encryption, mac = s.KeyLens()
	return encryption, mac, true
}

// integrityHash is the hash of an integrity algorithm, RFC 2404 and RFC 4868; nil where we have it not.
func integrityHash(i esp.Integrity) func() hash.Hash {
	switch i {
	case esp.HMACSHA1:
		return sha1.New
	case esp.HMACSHA256:
		return sha256.New
	case esp.HMACSHA384:
		return sha512.New384
	case esp.HMACSHA512:
		return sha512.New
	}
	return nil
}
