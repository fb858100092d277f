package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Options are what a profile allows in a signature.
type Options struct {
	AllowSHA1 bool // method 1 (RSA with SHA-1) of peers from before RFC 7427
}

// ErrSignature is that a well-formed signature is not that of the key in the certificate.
var ErrSignature = errors.New("signature does not verify with the key in the certificate: the peer does not hold that key, or an exchange was altered")

// Verify checks the data of an AUTH payload against the octets of [SignedOctets] with the key of a certificate that
// [Trust.Check] returned. Methods 14 (RFC 7427), 9 to 11 (RFC 4754), and 1 where allowed.
func Verify(leaf *x509.Certificate, method uint8, data, octets []byte, o Options) error {
	if err := checkKey(leaf.PublicKey); err != nil {
		return err
	}
	switch method {
	case MethodSignature:
		return verifyBlob(leaf.PublicKey, data, octets)
	case MethodECDSA256, MethodECDSA384, MethodECDSA521:
		return verifyRaw(leaf.PublicKey, method, data, octets)
	case MethodRSA:
		return verifySHA1(leaf.PublicKey, data, octets, o)
	}
	return fmt.Errorf("authentication method %d is no signature that is supported", method)
}

// verifyBlob is RFC 7427 section 3: a length, an AlgorithmIdentifier of that length, the signature.
func verifyBlob(key crypto.PublicKey, data, octets []byte) error {
	if len(data) < 1 || len(data) < 1+int(data[0]) {
		return errors.New("signature is cut short")
	}
	blob, signature := data[1:1+int(data[0])], data[1+int(data[0]):]
	s, ok := schemeOf(blob)
	if !ok {
		return fmt.Errorf("signature algorithm %x is not supported: RSA (PKCS#1 v1.5 or PSS with a salt as long as the hash), ECDSA with SHA-2, or Ed25519 is", blob)
	}
	return s.verify(key, signature, octets)
}

func (s scheme) verify(key crypto.PublicKey, signature, octets []byte) error {
	sum := s.sum(octets)
	ok, fits := false, false
	switch k := key.(type) {
	case *rsa.PublicKey:
		fits = s.key == keyRSA || s.key == keyPSS
		ok = s.key == keyRSA && rsa.VerifyPKCS1v15(k, s.hash, sum, signature) == nil ||
			s.key == keyPSS && rsa.VerifyPSS(k, s.hash, sum, signature, s.pss()) == nil
	case *ecdsa.PublicKey:
		fits = s.key == keyECDSA
		ok = fits && ecdsa.VerifyASN1(k, sum, signature)
	case ed25519.PublicKey:
		fits = s.key == keyEd25519
		ok = fits && ed25519.Verify(k, sum, signature)
	}
	if !fits {
		return fmt.Errorf("signature is %s, but the certificate has another kind of key", s.name)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// pss fixes the length of the salt: [rsa.PSSSaltLengthAuto] would take what the signature says.
func (s scheme) pss() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: s.hash.Size(), Hash: s.hash}
}

// verifyRaw is RFC 4754 section 3: r and s, each as long as the curve's order.
func verifyRaw(key crypto.PublicKey, method uint8, data, octets []byte) error {
	k, ok := key.(*ecdsa.PublicKey)
	if !ok || curveMethod(k.Curve) != method {
		return fmt.Errorf("authentication method %d does not fit the kind of key in the certificate", method)
	}
	size := (k.Curve.Params().BitSize + 7) / 8
	if len(data) != 2*size {
		return fmt.Errorf("ECDSA signature of %d octets, not %d", len(data), 2*size)
	}
	r, s := new(big.Int).SetBytes(data[:size]), new(big.Int).SetBytes(data[size:])
	der, err := asn1.Marshal(ecdsaSignature{r, s})
	if err != nil || !ecdsa.VerifyASN1(k, digest(curveHash(method), octets), der) {
		return ErrSignature
	}
	return nil
}

// ecdsaSignature is ECDSA-Sig-Value, RFC 3279 section 2.2.3.
type ecdsaSignature struct{ R, S *big.Int }

func verifySHA1(key crypto.PublicKey, data, octets []byte, o Options) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("authentication method %d does not fit the kind of key in the certificate", MethodRSA)
	}
	if !o.AllowSHA1 {
		return errors.New("peer signs with RSA and SHA-1, which is not allowed: it has no RFC 7427 (signature hash algorithms), or has it turned off")
	}
	if rsa.VerifyPKCS1v15(k, crypto.SHA1, digest(crypto.SHA1, octets), data) != nil {
		return ErrSignature
	}
	return nil
}
