package esp

import (
	"fmt"
	"strconv"
)

// Encryption is an encryption algorithm, by its number as an IKEv2 transform of type 1.
type Encryption uint16

// Encryption algorithms, IANA "IKEv2 Transform Type 1".
const (
	AESCBC           Encryption = 12 // RFC 3602
	AESGCM           Encryption = 20 // RFC 4106, ICV of 16 octets
	ChaCha20Poly1305 Encryption = 28 // RFC 7634
)

// Integrity is an integrity algorithm, by its number as an IKEv2 transform of type 3. An AEAD has none.
type Integrity uint16

// Integrity algorithms, IANA "IKEv2 Transform Type 3".
const (
	NoIntegrity Integrity = 0
	HMACSHA1    Integrity = 2  // RFC 2404, 96 bits
	HMACSHA256  Integrity = 12 // RFC 4868, 128 bits
	HMACSHA384  Integrity = 13 // RFC 4868, 192 bits
	HMACSHA512  Integrity = 14 // RFC 4868, 256 bits
)

// Suite is how an SA protects its packets.
type Suite struct {
	Encryption Encryption
	KeyBits    int // of the encryption key: 128, 192 or 256
	Integrity  Integrity
}

const (
	headerLen = 8 // SPI and sequence number
	saltLen   = 4 // RFC 4106 section 8.1, RFC 7634 section 2
	aeadIV    = 8
	aeadICV   = 16
	aesBlock  = 16
	alignment = 4 // of the trailer's end, RFC 4303 section 2.4
)

// aead reports whether encryption and integrity are one algorithm.
func (s Suite) aead() bool { return s.Encryption != AESCBC }

// Valid reports whether the suite is one that is built here: known algorithms, a key length that the cipher has, and
// integrity exactly once.
func (s Suite) Valid() bool {
	aes := s.KeyBits == 128 || s.KeyBits == 192 || s.KeyBits == 256
	switch s.Encryption {
	case AESGCM:
		return aes && s.Integrity == NoIntegrity
	case ChaCha20Poly1305:
		return s.KeyBits == 256 && s.Integrity == NoIntegrity
	case AESCBC:
		return aes && s.Integrity.keyLen() > 0
	}
	return false
}

// KeyLens is how many octets of key material one direction takes: for encryption, with the salt, and for integrity.
func (s Suite) KeyLens() (encryption, integrity int) {
	encryption = s.KeyBits / 8
	if s.aead() {
		encryption += saltLen
	}
	return encryption, s.Integrity.keyLen()
}

// ICVLen is the length of the integrity check value, which ends a packet.
func (s Suite) ICVLen() int {
	if s.aead() {
		return aeadICV
	}
	return s.Integrity.icvLen()
}

// IVLen is the length of the initialization vector, which every packet carries.
func (s Suite) IVLen() int {
	if s.aead() {
		return aeadIV
	}
	return aesBlock
}

// BlockSize is what the length of payload and trailer is a multiple of, RFC 4303 section 2.4.
func (s Suite) BlockSize() int {
	if s.aead() {
		return alignment
	}
	return aesBlock
}

// TrailerLen is how long the trailer of a payload of n octets is: padding, pad length and next header.
func (s Suite) TrailerLen(n int) int {
	return 2 + (s.BlockSize()-(n+2)%s.BlockSize())%s.BlockSize()
}

// Overhead is how many octets ESP adds to a payload of n.
func (s Suite) Overhead(n int) int { return headerLen + s.IVLen() + s.TrailerLen(n) + s.ICVLen() }

// MaxPayload is the longest payload whose packet is no longer than room; 0 when there is room for none.
func (s Suite) MaxPayload(room int) int {
	room -= headerLen + s.IVLen() + s.ICVLen()
	return max(room-room%s.BlockSize()-2, 0)
}

// Overhead is how many octets a suite's ESP adds to any payload, at most.
func Overhead(s Suite) int { return headerLen + s.IVLen() + 2 + s.BlockSize() - 1 + s.ICVLen() }

// String is the suite's name as configurations and `show` have it: "aes256gcm", "chacha20poly1305", "aes128-sha256".
func (s Suite) String() string {
	switch {
	case !s.Valid():
		return fmt.Sprintf("encryption %d/%d integrity %d", s.Encryption, s.KeyBits, s.Integrity)
	case s.Encryption == ChaCha20Poly1305:
		return "chacha20poly1305"
	case s.Encryption == AESGCM:
		return "aes" + strconv.Itoa(s.KeyBits) + "gcm"
	}
	return "aes" + strconv.Itoa(s.KeyBits) + "-" + s.Integrity.String()
}

// String is the algorithm's name in a suite's.
func (i Integrity) String() string {
	switch i {
	case NoIntegrity:
		return "none"
	case HMACSHA1:
		return "sha1"
	case HMACSHA256:
		return "sha256"
	case HMACSHA384:
		return "sha384"
	case HMACSHA512:
		return "sha512"
	}
	return "integrity " + strconv.Itoa(int(i))
}

// keyLen is that of the hash's output, RFC 4868 section 2.1.1 and RFC 2404 section 3; 0 for what is not built here.
func (i Integrity) keyLen() int {
	switch i {
	case HMACSHA1:
		return 20
	case HMACSHA256:
		return 32
	case HMACSHA384:
		return 48
	case HMACSHA512:
		return 64
	}
	return 0
}

// icvLen is half the hash's output, RFC 4868 section 2.1.2, or 96 bits, RFC 2404 section 2.
func (i Integrity) icvLen() int {
	if i == HMACSHA1 {
		return 12
	}
	return i.keyLen() / 2
}

// Keys is the key material of one direction of an SA, RFC 7296 section 2.17: the encryption key, with the salt
// behind it where the algorithm has one (RFC 4106 section 8.1, RFC 7634 section 2), and the integrity key.
type Keys struct {
	Suite      Suite
	Encryption []byte
	Integrity  []byte
}

// Clear overwrites the key material with zeroes.
func (k Keys) Clear() {
	clear(k.Encryption)
	clear(k.Integrity)
}

// String is the suite alone: keys are never printed.
func (k Keys) String() string { return "keys of " + k.Suite.String() }

// GoString is String.
func (k Keys) GoString() string { return k.String() }

// MarshalText is String: what writes JSON prints no keys either.
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Check says what is wrong with key material. Lengths must be exact, so that no key is empty or short; and no key is all
// zero, which is one that was used and cleared.
func (k Keys) Check(spi uint32) error {
	if spi < firstSPI {
		return fmt.Errorf("make ciphers for SPI %#x: the numbers up to 255 are reserved: RFC 4303 section 2.1", spi)
	}
	if !k.Suite.Valid() {
		return fmt.Errorf("make ciphers for SPI %#x: %s is not supported", spi, k.Suite)
	}
	encryption, integrity := k.Suite.KeyLens()
	if len(k.Encryption) != encryption || len(k.Integrity) != integrity {
		return fmt.Errorf("make ciphers for SPI %#x: %s takes keys of %d and %d octets, not %d and %d",
			spi, k.Suite, encryption, integrity, len(k.Encryption), len(k.Integrity))
	}
	if zero(k.Encryption) || integrity > 0 && zero(k.Integrity) {
		return fmt.Errorf("make ciphers for SPI %#x: the keys were used and cleared", spi)
	}
	return nil
}

func zero(b []byte) bool {
	or := byte(0)
	for _, x := range b {
		or |= x
	}
	return or == 0
}

const firstSPI = 256
