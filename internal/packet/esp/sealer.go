package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sealer protects the packets of one SA, as the sender of RFC 4303 section 3.3.
type Sealer struct {
	Sequence
	suite Suite
	spi   uint32
	esn   bool
	salt  [saltLen]byte
	aead  cipher.AEAD // nil: AES-CBC and HMAC
	cbc   *cbc
	free  pool
}

// NewSealer makes the ciphers of an SA that is sent by. The key material in k is cleared, also when it is refused.
func NewSealer(spi uint32, k Keys, esn bool) (*Sealer, error) {
	defer k.Clear()
	if err := k.Check(spi); err != nil {
		return nil, err
	}
	s := &Sealer{suite: k.Suite, spi: spi, esn: esn}
	s.limit = limitOf(k.Suite, esn)
	var err error
	if k.Suite.aead() {
		s.aead, err = newAEAD(k, &s.salt)
	} else {
		s.cbc, err = newCBC(k, true)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newAEAD(k Keys, salt *[saltLen]byte) (cipher.AEAD, error) {
	key := k.Encryption[:k.Suite.KeyBits/8]
	copy(salt[:], k.Encryption[len(key):])
	if k.Suite.Encryption == ChaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SPI is the SA's.
func (s *Sealer) SPI() uint32 { return s.spi }

// Suite is the SA's.
func (s *Sealer) Suite() Suite { return s.suite }

// TrailerLen is how long the trailer of a payload of n octets is: padding, pad length and next header.
func (s *Sealer) TrailerLen(n int) int { return s.suite.TrailerLen(n) }

// PutTrailer writes a trailer into b, which is as long as TrailerLen says: RFC 4303 sections 2.4 to 2.6.
func (s *Sealer) PutTrailer(b []byte, next uint8) {
	pad := len(b) - 2
	for i := range b[:pad] {
		b[i] = byte(i + 1)
	}
	b[pad], b[pad+1] = byte(pad), next
}

// Overhead is how many octets are added to a payload of n, the trailer among them.
func (s *Sealer) Overhead(n int) int { return s.suite.Overhead(n) }

// MaxPayload is the longest payload whose packet is no longer than room; 0 when there is room for none.
func (s *Sealer) MaxPayload(room int) int { return s.suite.MaxPayload(room) }

// Seal appends to dst the packet with a number from Reserve, which must not have been used before: SPI, sequence number,
// IV, ciphertext and ICV. Plain is the payload with its trailer, and must not overlap what is appended. Without room in dst
// for all of it there is an allocation.
func (s *Sealer) Seal(dst []byte, seq uint64, plain []byte) []byte {
	w := s.free.take()
	if w == nil {
		w = s.scratch()
	}
	at := len(dst)
	dst = slices.Grow(dst, headerLen+s.suite.IVLen()+len(plain)+s.suite.ICVLen())
	dst = binary.BigEndian.AppendUint32(dst, s.spi)
	dst = binary.BigEndian.AppendUint32(dst, uint32(seq))
	if s.aead == nil {
		dst = s.cbc.seal(w, dst, at, seq, s.esn, plain)
	} else {
		dst = s.seal(w, dst, at, seq, plain)
	}
	s.free.give(w)
	return dst
}

// seal is Seal of an AEAD, RFC 4106 section 3 and RFC 7634 section 2. The IV is the whole sequence number: unique by
// construction, also between threads, and it need not be more.
func (s *Sealer) seal(w *scratch, dst []byte, at int, seq uint64, plain []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, seq)
	copy(w.nonce[:], s.salt[:])
	copy(w.nonce[saltLen:], dst[at+headerLen:])
	return s.aead.Seal(dst, w.nonce[:], plain, additional(w, dst[at:], seq, s.esn))
}

// additional is the additional authenticated data of a packet, RFC 4106 section 5: its header, with the whole of an extended
// sequence number.
func additional(w *scratch, packet []byte, seq uint64, esn bool) []byte {
	if !esn {
		return packet[:headerLen]
	}
	copy(w.aad[:4], packet)
	binary.BigEndian.PutUint64(w.aad[4:], seq)
	return w.aad[:]
}

func (s *Sealer) scratch() *scratch {
	if s.cbc == nil {
		return new(scratch)
	}
	return s.cbc.scratch()
}
