package packet

import "encoding/binary"

// EtherTypes in GRE.
const (
	EtherIPv4 = 0x0800
	EtherIPv6 = 0x86dd
	EtherNHRP = 0x2001
)

// Bits of the GRE header: RFC 2784 section 2.1, RFC 2890 section 2.
const (
	greChecksum = 0x8000
	greKey      = 0x2000
	greSequence = 0x1000
	// What a receiver that does not do RFC 1701 discards: routing, strict source route, recursion control, a version.
	greRefused = 0x4000 | 0x0800 | 0x0400 | 0x0007
)

// GRE is a GRE packet.
type GRE struct {
	Protocol uint16
	Key      uint32
	HasKey   bool
	Payload  []byte
}

// ParseGRE takes the header off b. A checksum is verified, a sequence number ignored: order is not promised.
func ParseGRE(b []byte) (GRE, error) {
	if len(b) < 4 {
		return GRE{}, ErrMalformed
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&greRefused != 0 {
		return GRE{}, ErrMalformed
	}
	n, keyAt := 4, 4
	if flags&greChecksum != 0 {
		n, keyAt = n+4, keyAt+4
	}
	if flags&greKey != 0 {
		n += 4
	}
	if flags&greSequence != 0 {
		n += 4
	}
	if len(b) < n || flags&greChecksum != 0 && Fold(Sum(b, 0)) != 0xffff {
		return GRE{}, ErrMalformed
	}
	g := GRE{Protocol: binary.BigEndian.Uint16(b[2:]), Payload: b[n:]}
	if flags&greKey != 0 {
		g.Key, g.HasKey = binary.BigEndian.Uint32(b[keyAt:]), true
	}
	return g, nil
}

// AppendGRE appends the header for a protocol, with the key if hasKey.
func AppendGRE(b []byte, protocol uint16, key uint32, hasKey bool) []byte {
	if !hasKey {
		return append(b, 0, 0, byte(protocol>>8), byte(protocol))
	}
	b = append(b, greKey>>8, 0, byte(protocol>>8), byte(protocol))
	return binary.BigEndian.AppendUint32(b, key)
}
