package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// ErrAuthentication is what a message fails with that was not sealed under these keys, or was changed. Nothing else is
// told of it.
var ErrAuthentication = errors.New("the message fails its integrity check")

// errPadding can only be a fault of a peer that has the keys: it is seen after the check.
var errPadding = errors.New("the padding is longer than the message")

// Cipher protects the messages of one direction of an IKE SA: the body of the Encrypted payload, RFC 7296 section 3.14,
// and of the Encrypted Fragment payload, RFC 7383 section 2.5. It has one owner.
type Cipher struct {
	body body // nil after Clear
}

// body is one way to make a body: IV | ciphertext | ICV.
type body interface {
	overhead(n int) int
	seal(dst, header, plain []byte, random io.Reader) []byte
	open(dst, header, b []byte) ([]byte, error)
	clear()
}

// NewCipher makes the cipher of one direction from SK_e and SK_a, which stay the caller's.
func (s IKE) NewCipher(encryption, integrity []byte) (*Cipher, error) {
	wantEncryption, wantIntegrity, ok := keySizes(s.Encryption, s.KeyBits, s.Integrity)
	if !ok {
		return nil, fmt.Errorf("ike suite %v: encryption and integrity are not available together", s)
	}
	if len(encryption) != wantEncryption || len(integrity) != wantIntegrity {
		return nil, fmt.Errorf("ike suite %v: %w", s, errKeyLength)
	}
	body, err := s.newBody(encryption, integrity)
	if err != nil {
		return nil, fmt.Errorf("ike suite %v: %w", s, err)
	}
	return &Cipher{body}, nil
}

func (s IKE) newBody(encryption, integrity []byte) (body, error) {
	key := encryption[:s.KeyBits/8]
	switch s.Encryption {
	case esp.AESCBC:
		icv := esp.Suite{Encryption: s.Encryption, KeyBits: s.KeyBits, Integrity: s.Integrity}.ICVLen()
		return newCBC(key, hmac.New(integrityHash(s.Integrity), integrity), icv)
	case esp.ChaCha20Poly1305:
		alg, err := chacha20poly1305.New(key)
		return newAEAD(alg, encryption[len(key):]), err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	alg, err := cipher.NewGCM(block)
	return newAEAD(alg, encryption[len(key):]), err
}

// Overhead is by how many octets the body of a payload is longer than the n octets of payloads within.
func (c *Cipher) Overhead(n int) int {
	if c.body == nil {
		return 0
	}
	return c.body.overhead(n)
}

// Seal appends the body that holds plain to dst. header is the octets of the message before it, with all lengths filled
// in; dst may be the same message. plain must be elsewhere. It appends nothing and returns nil when the source of
// randomness fails and after Clear.
func (c *Cipher) Seal(dst, header, plain []byte, random io.Reader) []byte {
	if c.body == nil {
		return nil
	}
	return c.body.seal(dst, header, plain, random)
}

// Open verifies a body, then appends the payloads within to dst, which must be elsewhere. header is as for Seal.
func (c *Cipher) Open(dst, header, body []byte) ([]byte, error) {
	if c.body == nil {
		return nil, ErrAuthentication
	}
	return c.body.open(dst, header, body)
}

// Clear overwrites what is held of the keys. Nothing is sealed or opened after it.
func (c *Cipher) Clear() {
	if c.body != nil {
		c.body.clear()
		c.body = nil
	}
}

// unpad strips the padding, whose content is free, and its length (RFC 7296 section 3.14), from plain[from:].
func unpad(plain []byte, from int) ([]byte, error) {
	last := len(plain) - 1
	pad := int(plain[last])
	if last-pad < from {
		return nil, errPadding
	}
	return plain[:last-pad], nil
}

// explicitIV is how many octets of an AEAD's nonce travel: RFC 5282 section 3.1, RFC 7634 section 2.
const explicitIV = 8

// aeadBody is the combined modes: RFC 5282, RFC 7634 section 3.
type aeadBody struct {
	aead  cipher.AEAD
	nonce [12]byte // the salt, then the IV
	sent  uint64   // IVs used: a counter never gives one twice under a key
}

func newAEAD(alg cipher.AEAD, salt []byte) *aeadBody {
	a := &aeadBody{aead: alg}
	copy(a.nonce[:], salt)
	return a
}

// overhead: IV, a Pad Length of zero, ICV.
func (a *aeadBody) overhead(int) int { return explicitIV + 1 + a.aead.Overhead() }

func (a *aeadBody) seal(dst, header, plain []byte, _ io.Reader) []byte {
	a.sent++
	if a.sent == 0 {
		a.sent-- // spent; so it stays
		return nil
	}
	binary.BigEndian.PutUint64(a.nonce[4:], a.sent)
	at := len(dst) + explicitIV
	dst = append(dst, a.nonce[4:]...)
	dst = append(dst, plain...)
	dst = append(dst, 0)
	return a.aead.Seal(dst[:at], a.nonce[:], dst[at:], header)
}

func (a *aeadBody) open(dst, header, b []byte) ([]byte, error) {
	if len(b) < a.overhead(0) {
		return nil, ErrAuthentication
	}
	var nonce [12]byte
	copy(nonce[:], a.nonce[:4])
	copy(nonce[4:], b)
	plain, err := a.aead.Open(dst, nonce[:], b[explicitIV:], header)
	if err != nil {
		return nil, ErrAuthentication
	}
	return unpad(plain, len(dst))
}

func (a *aeadBody) clear() { *a = aeadBody{} }

// cbcBody is AES-CBC (RFC 3602) and an HMAC over everything before the ICV (RFC 7296 section 3.14).
type cbcBody struct {
	block cipher.Block
	mac   hash.Hash
	icv   int
}

func newCBC(key []byte, mac hash.Hash, icv int) (*cbcBody, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &cbcBody{block, mac, icv}, nil
}

// padding is how many octets fill up n and the Pad Length.
func padding(n int) int { return (aes.BlockSize - (n+1)%aes.BlockSize) % aes.BlockSize }

func (c *cbcBody) overhead(n int) int { return aes.BlockSize + padding(n) + 1 + c.icv }

func (c *cbcBody) seal(dst, header, plain []byte, random io.Reader) []byte {
	var iv [aes.BlockSize]byte
	if _, err := io.ReadFull(random, iv[:]); err != nil {
		return nil
	}
	start, pad := len(dst), padding(len(plain))
	dst = append(dst, iv[:]...)
	dst = append(dst, plain...)
	dst = append(dst, make([]byte, pad)...)
	dst = append(dst, byte(pad))
	text := dst[start+aes.BlockSize:]
	cipher.NewCBCEncrypter(c.block, iv[:]).CryptBlocks(text, text)
	return append(dst, c.sum(header, dst[start:])...)
}

// sum is the ICV.
func (c *cbcBody) sum(header, b []byte) []byte {
	c.mac.Reset()
	c.mac.Write(header)
	c.mac.Write(b)
	return c.mac.Sum(nil)[:c.icv]
}

func (c *cbcBody) open(dst, header, b []byte) ([]byte, error) {
	end := len(b) - c.icv
	if end < 2*aes.BlockSize || end%aes.BlockSize != 0 {
		return nil, ErrAuthentication
	}
	if !hmac.Equal(b[end:], c.sum(header, b[:end])) {
		return nil, ErrAuthentication
	}
	from := len(dst)
	dst = append(dst, b[aes.BlockSize:end]...)
	cipher.NewCBCDecrypter(c.block, b[:aes.BlockSize]).CryptBlocks(dst[from:], dst[from:])
	return unpad(dst, from)
}

func (c *cbcBody) clear() { *c = cbcBody{} }
