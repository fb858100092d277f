package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Sign makes the data of an AUTH payload over the octets of [SignedOctets], and says its method: 14 with the best hash
// of those that the peer announced in SIGNATURE_HASH_ALGORITHMS (RFC 7427), else 9 to 11 for ECDSA (RFC 4754), else 1
// where c allows SHA-1. The salt of RSASSA-PSS is from random. ECDSA is deterministic (RFC 6979), as crypto/ecdsa uses
// no randomness but the system's, and a run could not be repeated: not even the length of a signature.
func (c *Credential) Sign(octets []byte, peerHashes []uint16, random io.Reader) (method uint8, data []byte, err error) {
	for _, s := range c.schemes() {
		if slices.Contains(peerHashes, s.id) {
			return c.signBlob(s, octets, random)
		}
	}
	switch k := c.Key.Public().(type) {
	case *ecdsa.PublicKey:
		return c.signRaw(k, octets)
	case *rsa.PublicKey:
		if len(peerHashes) == 0 {
			return c.signSHA1(octets)
		}
	}
	return 0, nil, fmt.Errorf("peer understands none of the signatures that our %s key makes: it announced the hash algorithms %v of RFC 7427", keyWord(c.Key.Public()), peerHashes)
}

// schemes are those of our key, best first: a hash about as strong as the key, then any other.
func (c *Credential) schemes() []scheme {
	typ, best := c.preference()
	var out []scheme
	for _, s := range schemes {
		if s.key != typ {
			continue
		}
		if s.hash == best {
			out = slices.Insert(out, 0, s)
		} else {
			out = append(out, s)
		}
	}
	return out
}

func (c *Credential) preference() (keyType, crypto.Hash) {
	switch k := c.Key.Public().(type) {
	case ed25519.PublicKey:
		return keyEd25519, 0
	case *ecdsa.PublicKey:
		return keyECDSA, curveHash(curveMethod(k.Curve))
	}
	if c.PSS {
		return keyPSS, crypto.SHA256
	}
	return keyRSA, crypto.SHA256
}

func (c *Credential) signBlob(s scheme, octets []byte, random io.Reader) (uint8, []byte, error) {
	var opts crypto.SignerOpts = s.hash
	if s.key == keyPSS {
		opts = s.pss()
	} else {
		random = nil
	}
	signature, err := c.Key.Sign(random, s.sum(octets), opts)
	if err != nil {
		return 0, nil, fmt.Errorf("signing with our key: %w", err)
	}
	blob := s.blobs[0]
	return MethodSignature, slices.Concat([]byte{byte(len(blob))}, []byte(blob), signature), nil
}

func (c *Credential) signRaw(k *ecdsa.PublicKey, octets []byte) (uint8, []byte, error) {
	method := curveMethod(k.Curve)
	hash := curveHash(method)
	der, err := c.Key.Sign(nil, digest(hash, octets), hash)
	if err != nil {
		return 0, nil, fmt.Errorf("signing with our key: %w", err)
	}
	var sig ecdsaSignature
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return 0, nil, fmt.Errorf("signing with our key: %w", err)
	}
	size := (k.Curve.Params().BitSize + 7) / 8
	data := make([]byte, 2*size)
	sig.R.FillBytes(data[:size])
	sig.S.FillBytes(data[size:])
	return method, data, nil
}

func (c *Credential) signSHA1(octets []byte) (uint8, []byte, error) {
	if !c.AllowSHA1 {
		return 0, nil, errors.New("peer announced no hash algorithms of RFC 7427, so our RSA key could sign with SHA-1 only, which is not allowed; an ECDSA certificate works with such a peer")
	}
	data, err := c.Key.Sign(nil, digest(crypto.SHA1, octets), crypto.SHA1)
	if err != nil {
		return 0, nil, fmt.Errorf("signing with our key: %w", err)
	}
	return MethodRSA, data, nil
}

func keyWord(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}
