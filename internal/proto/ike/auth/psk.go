package auth

import (
	"crypto/hmac"
	"slices"
)

// PRF is what this package needs of the negotiated pseudorandom function, RFC 7296 section 2.13.
type PRF interface {
	Sum(key []byte, data ...[]byte) []byte
}

// keyPad is the constant of RFC 7296 section 2.15, 17 octets without a terminator.
const keyPad = "Key Pad for IKEv2"

// noKey stands in for the key of an identity that has none, so that its answer takes the time of any other.
const noKey = "no pre-shared key is configured for this identity"

// PSKAuth is the data of an AUTH payload by pre-shared key, RFC 7296 section 2.15:
// prf(prf(psk, "Key Pad for IKEv2"), octets).
func PSKAuth(prf PRF, psk, octets []byte) []byte {
	key := prf.Sum(psk, []byte(keyPad))
	defer clear(key)
	return prf.Sum(key, octets)
}

// VerifyPSK reports whether data is the AUTH payload that psk makes of octets, in constant time. An empty psk is
// answered with false after the same work: that is how to treat an unknown identity, so that it looks like a wrong key.
func VerifyPSK(prf PRF, psk, octets, data []byte) bool {
	known := len(psk) > 0
	if !known {
		psk = []byte(noKey)
	}
	return hmac.Equal(PSKAuth(prf, psk, octets), data) && known
}

// SignedOctets is what an end signs or authenticates, RFC 7296 section 2.15: its first message, the other's nonce,
// prf(SK_p, body of its ID payload), and IntAuth of RFC 9242 section 3.3.2 where IKE_INTERMEDIATE was used (else nil).
func SignedOctets(prf PRF, message, nonce, skp, idBody, intAuth []byte) []byte {
	return slices.Concat(message, nonce, prf.Sum(skp, idBody), intAuth)
}
