package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// IP protocol numbers.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	GREIP  = 47
	ICMPv6 = 58

	hopByHop   = 0
	routing    = 43
	fragment   = 44
	authHeader = 51
	noNext     = 59
	destOpts   = 60
)

// ErrMalformed is the error of a packet that is not what its header claims.
var ErrMalformed = errors.New("malformed packet")

// IP is a view of an IPv4 or IPv6 packet.
type IP struct {
	Bytes    []byte // the packet, as long as its header says
	Upper    int    // where the header of Protocol begins
	Protocol uint8  // behind IPv6 extension headers; 59 when that cannot be told
	Fragment bool   // one of several
	First    bool   // whole, or the first fragment: Upper is a header
}

// ParseIP checks the header and gives the packet without what follows it in b.
func ParseIP(b []byte) (IP, error) {
	if len(b) >= 20 && b[0]>>4 == 4 {
		return parseIPv4(b)
	}
	if len(b) >= 40 && b[0]>>4 == 6 {
		return parseIPv6(b)
	}
	return IP{}, ErrMalformed
}

func parseIPv4(b []byte) (IP, error) {
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || total > len(b) {
		return IP{}, ErrMalformed
	}
	frag := binary.BigEndian.Uint16(b[6:])
	return IP{
		Bytes: b[:total], Upper: header, Protocol: b[9],
		Fragment: frag&0x3fff != 0, First: frag&0x1fff == 0,
	}, nil
}

func parseIPv6(b []byte) (IP, error) {
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return IP{}, ErrMalformed
	}
	p := IP{Bytes: b[:total], Upper: 40, Protocol: b[6], First: true}
	if p.Protocol != TCP && p.Protocol != UDP {
		p.skipExtensions()
	}
	return p, nil
}

// skipExtensions walks the chain of RFC 8200 section 4; every step needs 8 octets, so it ends.
func (p *IP) skipExtensions() {
	for {
		b := p.Bytes[p.Upper:]
		n := 0
		switch p.Protocol {
		case hopByHop, routing, destOpts:
			n = 8
			if len(b) >= n {
				n += int(b[1]) * 8
			}
		case authHeader:
			n = 8
			if len(b) >= n {
				n = int(b[1])*4 + 8 // RFC 4302 section 2.2
			}
		case fragment:
			n = 8
		default:
			return
		}
		if len(b) < n {
			p.Protocol = noNext
			return
		}
		if p.Protocol == fragment {
			off := binary.BigEndian.Uint16(b[2:])
			p.Fragment = p.Fragment || off&^6 != 0
			p.First = off&^7 == 0
		}
		p.Protocol, p.Upper = b[0], p.Upper+n
		if !p.First {
			return
		}
	}
}

// Is6 reports whether the packet is IPv6.
func (p IP) Is6() bool { return p.Bytes[0]>>4 == 6 }

// Source is the address the packet is from.
func (p IP) Source() netip.Addr {
	if p.Is6() {
		return netip.AddrFrom16([16]byte(p.Bytes[8:24]))
	}
	return netip.AddrFrom4([4]byte(p.Bytes[12:16]))
}

// Destination is the address the packet is for.
func (p IP) Destination() netip.Addr {
	if p.Is6() {
		return netip.AddrFrom16([16]byte(p.Bytes[24:40]))
	}
	return netip.AddrFrom4([4]byte(p.Bytes[16:20]))
}

// TTL is the time to live or hop limit.
func (p IP) TTL() uint8 {
	if p.Is6() {
		return p.Bytes[7]
	}
	return p.Bytes[8]
}

// Class is the traffic class: DSCP and ECN.
func (p IP) Class() uint8 {
	if p.Is6() {
		return p.Bytes[0]<<4 | p.Bytes[1]>>4
	}
	return p.Bytes[1]
}

// SetClass changes the traffic class.
func (p IP) SetClass(c uint8) {
	if p.Is6() {
		p.Bytes[0] = 6<<4 | c>>4
		p.Bytes[1] = c<<4 | p.Bytes[1]&15
		return
	}
	replace16(p.Bytes, 0, 10, uint16(p.Bytes[0])<<8|uint16(c))
}

// DecrementTTL takes one off; false, and nothing is changed, when none would be left.
func (p IP) DecrementTTL() bool {
	if p.TTL() <= 1 {
		return false
	}
	if p.Is6() {
		p.Bytes[7]--
		return true
	}
	replace16(p.Bytes, 8, 10, uint16(p.Bytes[8]-1)<<8|uint16(p.Bytes[9]))
	return true
}

// DontFragment reports whether a router may not fragment the packet.
func (p IP) DontFragment() bool { return p.Is6() || p.Bytes[6]&0x40 != 0 }

// HasOptions reports whether the packet asks more of a router than to forward it.
func (p IP) HasOptions() bool {
	if p.Is6() {
		return p.Bytes[6] == hopByHop
	}
	return p.Bytes[0]&15 != 5
}

// Payload is what follows the IP headers.
func (p IP) Payload() []byte { return p.Bytes[p.Upper:] }

// FlowHash is the same for all packets of a flow. Fragments, whose ports are not all there, are a flow of their own:
// the same for all fragments between two hosts of a protocol, and not that of the flow's whole packets.
func (p IP) FlowHash() uint32 {
	var h uint64
	if p.Is6() {
		h = mix(mix(0, p.Bytes[8:]), p.Bytes[16:])
		h = mix(mix(h, p.Bytes[24:]), p.Bytes[32:])
	} else {
		h = mix(0, p.Bytes[12:])
	}
	h += uint64(p.Protocol)
	if ports := p.Payload(); !p.Fragment && (p.Protocol == TCP || p.Protocol == UDP) && len(ports) >= 4 {
		h += uint64(binary.LittleEndian.Uint32(ports)) << 16
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return uint32(h >> 32)
}

func mix(h uint64, b []byte) uint64 {
	h = (h ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// PseudoSum is the sum over the pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1, for n octets of protocol.
func (p IP) PseudoSum(protocol uint8, n int) uint64 {
	addresses := p.Bytes[12:20]
	if p.Is6() {
		addresses = p.Bytes[8:40]
	}
	return SumWord(uint16(protocol), SumWord(uint16(n), Sum(addresses, 0)))
}

// ValidChecksum reports whether a TCP or UDP checksum is there and right. What is a fragment cannot be told.
func (p IP) ValidChecksum() bool {
	b := p.Payload()
	switch {
	case p.Fragment:
		return false
	case p.Protocol == TCP && len(b) >= 20:
	case p.Protocol == UDP && len(b) >= 8 && (b[6] != 0 || b[7] != 0):
	default:
		return false
	}
	return Fold(Sum(b, p.PseudoSum(p.Protocol, len(b)))) == 0xffff
}
