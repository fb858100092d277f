package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // method 1 is SHA-1 where it is allowed at all
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"
)

// Authentication methods, RFC 7296 section 3.8, RFC 4754, RFC 7427.
const (
	MethodRSA       uint8 = 1
	MethodPSK       uint8 = 2
	MethodECDSA256  uint8 = 9
	MethodECDSA384  uint8 = 10
	MethodECDSA521  uint8 = 11
	MethodSignature uint8 = 14
)

// Hash algorithms of SIGNATURE_HASH_ALGORITHMS, RFC 7427 section 7 and RFC 8420 section 2.
const (
	hashSHA256   uint16 = 2
	hashSHA384   uint16 = 3
	hashSHA512   uint16 = 4
	hashIdentity uint16 = 5 // Ed25519 signs the octets themselves
)

// SignatureHashes is what we announce in SIGNATURE_HASH_ALGORITHMS, RFC 7427 section 4.
func SignatureHashes() []uint16 {
	return []uint16{hashSHA256, hashSHA384, hashSHA512, hashIdentity}
}

// keyType is a kind of public key with the padding that goes with it.
type keyType uint8

const (
	keyRSA keyType = iota // PKCS#1 v1.5
	keyPSS
	keyECDSA
	keyEd25519
)

// scheme is a signature algorithm of method 14: one hash, one key type and the AlgorithmIdentifiers that mean it.
type scheme struct {
	name  string
	key   keyType
	hash  crypto.Hash // 0: none
	id    uint16      // of the hash in SIGNATURE_HASH_ALGORITHMS
	blobs []string    // DER; the first is what we send
}

// hashes are those of RSA and ECDSA with the arcs that name them.
var hashes = []struct {
	hash       crypto.Hash
	id         uint16
	word       string
	oid        asn1.ObjectIdentifier // of the hash
	rsa, ecdsa asn1.ObjectIdentifier // of the signature
}{
	{crypto.SHA256, hashSHA256, "SHA2-256", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1},
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	{crypto.SHA384, hashSHA384, "SHA2-384", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2},
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	{crypto.SHA512, hashSHA512, "SHA2-512", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3},
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
}

var (
	oidPSS     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// schemes is the whitelist. A blob is compared octet by octet and never parsed: whatever else an AlgorithmIdentifier
// can say, nothing reads it (RFC 7427 appendix A has the values; a test holds ours against them).
var schemes = makeSchemes()

func makeSchemes() []scheme {
	out := []scheme{{"Ed25519", keyEd25519, 0, hashIdentity, []string{sequence(oid(oidEd25519))}}}
	for _, h := range hashes {
		out = append(out,
			scheme{"RSA PKCS#1 v1.5 with " + h.word, keyRSA, h.hash, h.id, withOptionalNull(h.rsa)},
			scheme{"RSASSA-PSS with " + h.word, keyPSS, h.hash, h.id, pssBlobs(h.oid, h.hash.Size())},
			scheme{"ECDSA with " + h.word, keyECDSA, h.hash, h.id, []string{sequence(oid(h.ecdsa))}})
	}
	return out
}

// withOptionalNull is an AlgorithmIdentifier with the parameters NULL and with none: RFC 4055 section 5 and section
// 2.1 want both understood.
func withOptionalNull(o asn1.ObjectIdentifier) []string {
	return []string{sequence(oid(o) + null), sequence(oid(o))}
}

// pssBlobs are the encodings of RSASSA-PSS-params (RFC 4055 section 3.1) with one hash for both uses and a salt of its
// length. The trailer field has one value; DER leaves it out, the example in RFC 7427 section A.4.3 writes it.
func pssBlobs(hash asn1.ObjectIdentifier, salt int) []string {
	var blobs []string
	for _, h := range withOptionalNull(hash) {
		mgf := sequence(oid(oidMGF1) + h)
		params := tagged(0, h) + tagged(1, mgf) + tagged(2, integer(salt))
		blobs = append(blobs, sequence(oid(oidPSS)+sequence(params)), sequence(oid(oidPSS)+sequence(params+tagged(3, integer(1)))))
	}
	return blobs
}

// DER of values shorter than 128 octets.
const null = "\x05\x00"

func sequence(s string) string      { return "\x30" + string(byte(len(s))) + s }
func tagged(n int, s string) string { return string([]byte{0xa0 | byte(n), byte(len(s))}) + s }
func integer(n int) string          { return string([]byte{asn1.TagInteger, 1, byte(n)}) }
func oid(o asn1.ObjectIdentifier) string {
	der, _ := asn1.Marshal(o)
	return string(der)
}

// schemeOf is the scheme that a blob is an AlgorithmIdentifier of.
func schemeOf(blob []byte) (scheme, bool) {
	for _, s := range schemes {
		for _, b := range s.blobs {
			if b == string(blob) {
				return s, true
			}
		}
	}
	return scheme{}, false
}

// sum is what the key signs: the hash of the octets, or they themselves.
func (s scheme) sum(octets []byte) []byte {
	if s.hash == 0 {
		return octets
	}
	return digest(s.hash, octets)
}

func digest(hash crypto.Hash, octets []byte) []byte {
	h := hash.New()
	h.Write(octets)
	return h.Sum(nil)
}

// Bounds of RSA: shorter moduli can be factored, and longer ones cost a responder more than a peer.
const (
	minRSA = 2048
	maxRSA = 8192
)

// checkKey is whether a public key is one we sign or verify with, or why not. The curves are those of RFC 4754.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(k)
	case *ecdsa.PublicKey:
		if curveMethod(k.Curve) == 0 {
			return fmt.Errorf("ECDSA key on curve %s: P-256, P-384 and P-521 are supported", k.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("key of an unsupported kind: RSA, ECDSA and Ed25519 are supported")
}

func checkRSA(k *rsa.PublicKey) error {
	bits := k.N.BitLen()
	if bits < minRSA {
		return fmt.Errorf("RSA key of %d bits is too short: at least %d are needed", bits, minRSA)
	}
	if bits > maxRSA {
		return fmt.Errorf("RSA key of %d bits is too long: at most %d are allowed", bits, maxRSA)
	}
	if k.E < 3 || k.E%2 == 0 || k.N.Bit(0) == 0 {
		return fmt.Errorf("RSA key with a bad modulus or the public exponent %d, which must be odd and at least 3", k.E)
	}
	return nil
}

// curveMethod is the method of RFC 4754 for keys of a curve; 0 for another curve.
func curveMethod(c elliptic.Curve) uint8 {
	switch c {
	case elliptic.P256():
		return MethodECDSA256
	case elliptic.P384():
		return MethodECDSA384
	case elliptic.P521():
		return MethodECDSA521
	}
	return 0
}

// curveHash is the hash that RFC 4754 pairs with a method.
func curveHash(method uint8) crypto.Hash {
	switch method {
	case MethodECDSA256:
		return crypto.SHA256
	case MethodECDSA384:
		return crypto.SHA384
	}
	return crypto.SHA512
}
