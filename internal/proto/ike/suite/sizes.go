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

// saltSize is how many octets of salt follow the key: RFC 4106 section 8.1, RFC 7634 section 2.
func saltSize(e esp.Encryption) int {
	if aead(e) {
		return 4
	}
	return 0
}

// validKey tells whether an algorithm that we have takes keys of that many bits.
func validKey(e esp.Encryption, bits int) bool {
	switch e {
	case esp.AESCBC, esp.AESGCM:
		return bits == 128 || bits == 192 || bits == 256
	case esp.ChaCha20Poly1305:
		return bits == 256
	}
	return false
}

// integrity is how an integrity algorithm is made: RFC 2404, RFC 4868.
type integrity struct {
	hash func() hash.Hash
	key  int // octets
	icv  int // octets of the MAC that travel
}

func integrityOf(i esp.Integrity) (integrity, bool) {
	switch i {
	case esp.HMACSHA1:
		return integrity{sha1.New, 20, 12}, true
	case esp.HMACSHA256:
		return integrity{sha256.New, 32, 16}, true
	case esp.HMACSHA384:
		return integrity{sha512.New384, 48, 24}, true
	case esp.HMACSHA512:
		return integrity{sha512.New, 64, 32}, true
	}
	return integrity{}, false
}

// keySizes is how many octets of keys an encryption takes, the salt with them, and its integrity algorithm. It is not ok
// unless both are available and belong together: an AEAD alone, CBC never alone.
func keySizes(e esp.Encryption, bits int, i esp.Integrity) (encryption, mac int, ok bool) {
	if !validKey(e, bits) {
		return 0, 0, false
	}
	encryption = bits/8 + saltSize(e)
	if aead(e) {
		return encryption, 0, i == esp.NoIntegrity
	}
	alg, ok := integrityOf(i)
	return encryption, alg.key, ok
}
