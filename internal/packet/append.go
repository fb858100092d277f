package packet

import (
	"encoding/binary"
	"net/netip"
)

// Header is what an IPv4 and an IPv6 header have in common.
type Header struct {
	Source, Destination netip.Addr // of one family
	Class, TTL          uint8
	Protocol            uint8
	DontFragment        bool   // IPv4
	ID                  uint16 // IPv4
}

// AppendIP appends the header of a packet with a payload of n octets.
func AppendIP(b []byte, h Header, n int) []byte {
	if h.Source.Is4() {
		return appendIPv4(b, h, n)
	}
	b = append(b, 6<<4|h.Class>>4, h.Class<<4, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, h.Protocol, h.TTL)
	src, dst := h.Source.As16(), h.Destination.As16()
	return append(append(b, src[:]...), dst[:]...)
}

func appendIPv4(b []byte, h Header, n int) []byte {
	at := len(b)
	b = append(b, 4<<4|5, h.Class)
	b = binary.BigEndian.AppendUint16(b, uint16(20+n))
	b = binary.BigEndian.AppendUint16(b, h.ID)
	var flags byte
	if h.DontFragment {
		flags = 0x40
	}
	b = append(b, flags, 0, h.TTL, h.Protocol, 0, 0)
	src, dst := h.Source.As4(), h.Destination.As4()
	b = append(append(b, src[:]...), dst[:]...)
	PutIPv4Checksum(b[at:])
	return b
}

// PutIPv4Checksum computes the checksum of the header that b begins with.
func PutIPv4Checksum(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^Fold(Sum(b[:int(b[0]&15)*4], 0)))
}

// AppendUDP appends a UDP datagram with its IP header.
func AppendUDP(b []byte, h Header, source, destination uint16, payload []byte) []byte {
	at, n := len(b), 8+len(payload)
	h.Protocol = UDP
	b = AppendIP(b, h, n)
	upper := len(b)
	b = binary.BigEndian.AppendUint16(b, source)
	b = binary.BigEndian.AppendUint16(b, destination)
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(append(b, 0, 0), payload...)
	p := IP{Bytes: b[at:]}
	binary.BigEndian.PutUint16(b[upper+6:], UDPChecksum(Sum(b[upper:], p.PseudoSum(UDP, n))))
	return b
}

// UDPChecksum is the checksum field for a sum. 0 would say that there is none, RFC 768.
func UDPChecksum(sum uint64) uint16 {
	if c := ^Fold(sum); c != 0 {
		return c
	}
	return 0xffff
}
