package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net/netip"
	"strconv"
)

// AuthType is how a packet proves itself; the numbers are those of OSPFv2.
type AuthType uint8

const (
	AuthNone          AuthType = iota
	AuthSimple                 // a password in the clear, RFC 2328 D.4.2
	AuthCryptographic          // a digest, RFC 2328 D.4.3 and RFC 5709; in OSPFv3 the trailer of RFC 7166
	AuthExtended               // a digest over a sequence number of 64 bits and the source address, RFC 7474
)

func (t AuthType) cryptographic() bool { return t == AuthCryptographic || t == AuthExtended }

func (t AuthType) String() string {
	switch t {
	case AuthNone:
		return "none"
	case AuthSimple:
		return "simple"
	case AuthCryptographic:
		return "cryptographic"
	case AuthExtended:
		return "cryptographic, extended"
	}
	return "authentication type " + strconv.Itoa(int(t))
}

// Auth is what a packet says of its authentication.
type Auth struct {
	Type     AuthType
	KeyID    uint32 // 8 bits in OSPFv2, 16 in OSPFv3, 32 when extended
	Sequence uint64 // of a cryptographic one; 32 bits in OSPFv2 unless extended

	trailerLen int // octets behind the packet of OSPFv2
}

// Algorithm is how a [Key] is used. The zero Algorithm is no authentication.
type Algorithm uint8

const (
	None Algorithm = iota
	Simple
	MD5
	HMACSHA1
	SHA256 // HMAC-SHA-256, and the same below
	SHA384
	SHA512
)

func (a Algorithm) String() string {
	names := [...]string{"none", "simple", "md5", "hmac-sha-1", "hmac-sha-256", "hmac-sha-384", "hmac-sha-512"}
	if int(a) < len(names) {
		return names[a]
	}
	return "algorithm " + strconv.Itoa(int(a))
}

// Allowed reports whether the version knows the algorithm: OSPFv3 has HMAC only, RFC 7166 section 4.
func (a Algorithm) Allowed(v Version) bool {
	return a <= SHA512 && (v == V2 || a == None || a >= HMACSHA1)
}

func (a Algorithm) cryptographic() bool { return a >= MD5 }

// size is the length of the digest.
func (a Algorithm) size() int {
	return [...]int{MD5: md5.Size, HMACSHA1: sha1.Size, SHA256: sha256.Size, SHA384: sha512.Size384, SHA512: sha512.Size}[a]
}

// hash is the one that HMAC is made of.
func (a Algorithm) hash() func() hash.Hash {
	switch a {
	case HMACSHA1:
		return sha1.New
	case SHA256:
		return sha256.New
	case SHA384:
		return sha512.New384
	}
	return sha512.New
}

// Key proves packets. The zero Key is no authentication.
type Key struct {
	ID        uint32 // up to 255 in OSPFv2, unless extended; up to 65535 in OSPFv3
	Algorithm Algorithm
	Secret    []byte // octets above 8 of a Simple one and above 16 of an MD5 one are not used
	Extended  bool   // OSPFv2: as RFC 7474 has it; not for MD5
}

// String says which key it is, and not what it is.
func (k Key) String() string {
	return "key " + strconv.Itoa(int(k.ID)) + " (" + k.Algorithm.String() + ")"
}

// GoString is String: a secret is not for %#v either.
func (k Key) GoString() string { return k.String() }

// authType is how packets of the key say that they are proven.
func (k Key) authType() AuthType {
	switch {
	case !k.Algorithm.cryptographic():
		return AuthType(k.Algorithm)
	case k.Extended:
		return AuthExtended
	}
	return AuthCryptographic
}

// Identifiers that are put behind a key, so that a digest of one protocol is none of another: RFC 7166 section 4.4, RFC
// 7474 section 6.
const (
	protocolIDv3 = 1
	protocolIDv2 = 3
)

// Verify checks that one of the keys proves a received packet; without keys, that it is not authenticated. It takes the
// same time whatever a digest holds. Whether the packet is a replay is for the caller, by p.Auth.Sequence. An error is an
// [*Error].
func (p *Packet) Verify(keys ...Key) error {
	if len(keys) == 0 {
		keys = []Key{{}}
	}
	err := bad(ReasonAuthentication, p.Auth.Type.String()+" received, "+keys[0].authType().String()+" configured")
	for _, k := range keys {
		if p.Auth.Type != p.wants(k) {
			continue
		}
		if p.Auth.Type.cryptographic() && p.Auth.KeyID != k.ID {
			if reasonOf(err) == ReasonAuthentication {
				err = bad(ReasonKey, "key number "+strconv.FormatUint(uint64(p.Auth.KeyID), 10)+" received, which is not configured")
			}
			continue
		}
		if p.proven(k) {
			return nil
		}
		err = bad(ReasonDigest, k.name()+" is another at the sender")
	}
	return err
}

// name says which key differs: that of the simple type has no number.
func (k Key) name() string {
	if k.Algorithm == Simple {
		return "the password"
	}
	return "the secret or the algorithm of key " + strconv.FormatUint(uint64(k.ID), 10)
}

// wants is the type that packets of the key have.
func (p *Packet) wants(k Key) AuthType {
	if t := k.authType(); p.Version == V2 || t != AuthExtended {
		return t
	}
	return AuthCryptographic
}

func reasonOf(err error) string { return err.(*Error).Reason }

func (p *Packet) proven(k Key) bool {
	switch {
	case k.Algorithm == None:
		return true
	case k.Algorithm == Simple:
		return subtle.ConstantTimeCompare(p.digest, padded(k.Secret, 8)) == 1
	case len(p.digest) != k.Algorithm.size():
		return false
	case p.Version != V2:
		covered := p.trailer[:len(p.trailer)-len(p.digest)]
		return hmac.Equal(p.digest, k.digest(protocolIDv3, p.source, p.received, covered)) ||
			k.long(protocolIDv3) && hmac.Equal(p.digest, k.hmac(k.identified(protocolIDv3), p.source, p.received, covered))
	case p.Auth.Type == AuthExtended:
		return hmac.Equal(p.digest, k.digest(protocolIDv2, p.source, p.received, p.trailer[:8]))
	}
	return hmac.Equal(p.digest, k.digest(0, netip.Addr{}, p.received))
}

// digest is the message digest of the parts: MD5 over them and the key, RFC 2328 D.4.3, or HMAC. A protocol's number is put
// behind the key, and makes it one that is hashed first where it is longer than a digest, RFC 7166 section 4.5. Without, it
// is used as it is, whatever its length: so do FRR and BIRD, against the words of RFC 5709 section 3.3.
func (k Key) digest(protocol uint16, source netip.Addr, parts ...[]byte) []byte {
	if k.Algorithm == MD5 {
		h := md5.New()
		for _, part := range parts {
			h.Write(part)
		}
		h.Write(padded(k.Secret, md5.Size))
		return h.Sum(nil)
	}
	secret := k.Secret
	if protocol != 0 {
		secret = k.identified(protocol)
	}
	if protocol != 0 && k.long(protocol) {
		h := k.Algorithm.hash()()
		h.Write(secret)
		secret = h.Sum(nil)
	}
	return k.hmac(secret, source, parts...)
}

// identified is the secret with the protocol's number behind it.
func (k Key) identified(protocol uint16) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(k.Secret), protocol)
}

// long reports whether the secret with the protocol's number is longer than a digest. Then there are two ways to use it: FRR
// has that of the RFC, BIRD takes it as it is. We send the first and take both.
func (k Key) long(protocol uint16) bool { return len(k.identified(protocol)) > k.Algorithm.size() }

// hmac is the HMAC of the parts and a pad that begins with the source where there is one, RFC 5709 section 3.3.
func (k Key) hmac(secret []byte, source netip.Addr, parts ...[]byte) []byte {
	h := hmac.New(k.Algorithm.hash(), secret)
	for _, part := range parts {
		h.Write(part)
	}
	pad := bytes.Repeat([]byte{0x87, 0x8f, 0xe1, 0xf3}, k.Algorithm.size()/4)
	copy(pad, source.AsSlice())
	h.Write(pad)
	return h.Sum(nil)
}

// padded is b in n octets, cut or followed by zeroes.
func padded(b []byte, n int) []byte {
	p := make([]byte, n)
	copy(p, b)
	return p
}

// parseAuthV2 reads the authentication of an OSPFv2 header and the digest behind the packet, RFC 2328 D.3.
func (p *Packet) parseAuthV2() error {
	b := p.received
	switch kind := binary.BigEndian.Uint16(b[14:]); kind {
	case uint16(AuthNone), uint16(AuthSimple):
		p.Auth.Type, p.digest = AuthType(kind), b[16:24]
		if checksumV2(b) != 0 {
			return bad(ReasonChecksum, "")
		}
		return nil
	case uint16(AuthCryptographic):
		p.Auth = Auth{Type: AuthCryptographic, KeyID: uint32(b[18]), Sequence: uint64(binary.BigEndian.Uint32(b[20:])), trailerLen: int(b[19])}
		return p.cutDigest(0)
	case uint16(AuthExtended):
		p.Auth = Auth{Type: AuthExtended, KeyID: binary.BigEndian.Uint32(b[20:]), trailerLen: int(b[19])}
		return p.cutDigest(8)
	default:
		return bad(ReasonAuthentication, "type "+strconv.Itoa(int(kind))+" is unknown")
	}
}

// cutDigest finds the digest, which has a sequence number of some octets before it.
func (p *Packet) cutDigest(sequence int) error {
	if n := p.Auth.trailerLen; n < sequence || n > len(p.trailer) {
		return bad(ReasonLength, "the digest behind the packet")
	}
	if sequence > 0 {
		p.Auth.Sequence = binary.BigEndian.Uint64(p.trailer)
	}
	p.digest = p.trailer[sequence:p.Auth.trailerLen]
	return nil
}

func (p *Packet) appendAuthV2(b []byte, at int, k Key, src netip.Addr) []byte {
	kind := k.authType()
	binary.BigEndian.PutUint16(b[at+14:], uint16(kind))
	if !kind.cryptographic() {
		binary.BigEndian.PutUint16(b[at+12:], checksumV2(b[at:]))
		if kind == AuthSimple {
			copy(b[at+16:at+24], k.Secret)
		}
		return append(b, p.LLS...)
	}
	n, protocol, source := k.Algorithm.size(), uint16(0), netip.Addr{}
	if kind == AuthExtended {
		b[at+19] = byte(n + 8)
		binary.BigEndian.PutUint32(b[at+20:], k.ID)
		b = binary.BigEndian.AppendUint64(b, p.Auth.Sequence)
		protocol, source = protocolIDv2, src
	} else {
		b[at+18], b[at+19] = byte(k.ID), byte(n)
		binary.BigEndian.PutUint32(b[at+20:], uint32(p.Auth.Sequence))
	}
	return append(append(b, k.digest(protocol, source, b[at:])...), p.LLS...)
}

// trailerHeaderLen is what an authentication trailer has before its digest.
const trailerHeaderLen = 16

// trailerV3 finds the authentication trailer behind a packet of OSPFv3, RFC 7166 section 4.1. Only Hello and DD have a
// bit that says it is there, so that it is known by its shape; LLS may stand before it.
func trailerV3(b []byte) (at []byte, ok bool) {
	if at, ok = cutTrailerV3(b); ok {
		return at, true
	}
	if len(b) < 4 {
		return nil, false
	}
	lls := 4 * int(binary.BigEndian.Uint16(b[2:]))
	if lls < 4 || lls > len(b) {
		return nil, false
	}
	return cutTrailerV3(b[lls:])
}

// cutTrailerV3 is b when that is a trailer from its first octet to its last.
func cutTrailerV3(b []byte) ([]byte, bool) {
	if len(b) < trailerHeaderLen || binary.BigEndian.Uint16(b) != 1 {
		return nil, false
	}
	return b, int(binary.BigEndian.Uint16(b[2:])) == len(b)
}

func (p *Packet) parseTrailerV3(at []byte) error {
	p.Auth = Auth{Type: AuthCryptographic, KeyID: uint32(binary.BigEndian.Uint16(at[6:])), Sequence: binary.BigEndian.Uint64(at[8:])}
	p.digest = at[trailerHeaderLen:]
	return nil
}

func (p *Packet) appendAuthV3(b []byte, at int, k Key, src, dst netip.Addr) []byte {
	if !k.Algorithm.cryptographic() {
		binary.BigEndian.PutUint16(b[at+12:], checksumV3(b[at:], src, dst))
		return append(b, p.LLS...)
	}
	setAT(b[at:], p.Type())
	b = append(b, p.LLS...)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(trailerHeaderLen+k.Algorithm.size()))
	b = binary.BigEndian.AppendUint32(b, k.ID&0xffff)
	b = binary.BigEndian.AppendUint64(b, p.Auth.Sequence)
	return append(b, k.digest(protocolIDv3, src, b[at:])...)
}

// setAT sets the AT bit in the packets that have options; it is in the second of their three octets.
func setAT(b []byte, t PacketType) {
	switch t {
	case TypeHello:
		b[16+6] |= byte(OptAT >> 8)
	case TypeDatabaseDescription:
		b[16+2] |= byte(OptAT >> 8)
	}
}
