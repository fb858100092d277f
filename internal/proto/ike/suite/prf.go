package suite

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
)

// PRF is a pseudorandom function, by its number as an IKEv2 transform of type 2. Each is an HMAC (RFC 4868, RFC 2104)
// and takes keys of any length; the preferred length is Size.
type PRF uint16

// Pseudorandom functions, IANA "IKEv2 Transform Type 2".
const (
	PRFHMACSHA1   PRF = 2 // weak
	PRFHMACSHA256 PRF = 5
	PRFHMACSHA384 PRF = 6
	PRFHMACSHA512 PRF = 7
)

// hash is what p is made of, nil where we have it not.
func (p PRF) hash() func() hash.Hash {
	switch p {
	case PRFHMACSHA1:
		return sha1.New
	case PRFHMACSHA256:
		return sha256.New
	case PRFHMACSHA384:
		return sha512.New384
	case PRFHMACSHA512:
		return sha512.New
	}
	return nil
}

// Available tells whether we can compute p.
func (p PRF) Available() bool { return p.hash() != nil }

// Size is how many octets p gives, and how many its own keys have (RFC 7296 section 2.13); 0 when p is not available.
func (p PRF) Size() int {
	if !p.Available() {
		return 0
	}
	return p.hash()().Size()
}

// new is an HMAC under a key. A PRF that is not available is no input: negotiation chooses none.
func (p PRF) new(key []byte) hash.Hash {
	h := p.hash()
	if h == nil {
		panic(fmt.Sprintf("suite: %v was never negotiated", p))
	}
	return hmac.New(h, key)
}

// Sum is prf(key, data), the data one behind the other.
func (p PRF) Sum(key []byte, data ...[]byte) []byte {
	h := p.new(key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// plusBlocks is how many blocks the octet that counts them allows, RFC 7296 section 2.13.
const plusBlocks = 255

// Plus is the first n octets of prf+(key, seed), RFC 7296 section 2.13:
//
//	T1 = prf(key, seed | 1), T2 = prf(key, T1 | seed | 2), ...
func (p PRF) Plus(key, seed []byte, n int) []byte {
	h := p.new(key)
	if n < 0 || n > plusBlocks*h.Size() {
		panic(fmt.Sprintf("suite: %d octets asked of prf+", n))
	}
	out := make([]byte, 0, n+h.Size())
	var last []byte
	for i := byte(1); len(out) < n; i++ {
		h.Reset()
		h.Write(last)
		h.Write(seed)
		h.Write([]byte{i})
		out = h.Sum(out)
		last = out[len(out)-h.Size():]
	}
	clear(out[n:])
	return out[:n:n]
}
