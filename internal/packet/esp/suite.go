package esp

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

// Keys is the key material of one direction of an SA, RFC 7296 section 2.17: the encryption key, with the salt
// behind it where the algorithm has one (RFC 4106 section 8.1, RFC 7634 section 2), and the integrity key.
type Keys struct {
	Suite      Suite
	Encryption []byte
	Integrity  []byte
}
