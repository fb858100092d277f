package packet

import (
	"encoding/binary"
	"net/netip"
)

// ICMPError is a kind of ICMP error that a router sends.
type ICMPError uint8

// What a router complains of.
const (
	TimeExceeded    ICMPError = iota // TTL or hop limit ran out
	TooBig                           // IPv4 fragmentation needed, IPv6 packet too big
	HostUnreachable                  // IPv6 address unreachable
	NetUnreachable                   // IPv6 no route
)

type typeCode struct{ kind, code uint8 }

var (
	icmpv4 = [...]typeCode{TimeExceeded: {11, 0}, TooBig: {3, 4}, HostUnreachable: {3, 1}, NetUnreachable: {3, 0}} // RFC 792
	icmpv6 = [...]typeCode{TimeExceeded: {3, 0}, TooBig: {2, 0}, HostUnreachable: {1, 3}, NetUnreachable: {1, 0}}  // RFC 4443
)

const (
	internetControl = 0xc0 // RFC 1812 section 4.3.2.5
	quoteIPv4       = 576  // RFC 1812 section 4.3.2.3: as much as fits
	quoteIPv6       = 1280 // RFC 4443 section 2.4 (c)
	errorTTL        = 64
)

// AppendICMPError appends the packet that tells the source of p what is wrong, from the address from. mtu matters
// to [TooBig] alone. Nothing is appended, and ok is false, when no error may be sent about p.
func AppendICMPError(b []byte, what ICMPError, p IP, from netip.Addr, mtu int) (packet []byte, ok bool) {
	if !p.MayComplain(what) || from.Is6() != p.Is6() {
		return b, false
	}
	h := Header{Source: from, Destination: p.Source(), TTL: errorTTL, Class: internetControl, Protocol: ICMP}
	tc, most := icmpv4[what], quoteIPv4-20-8
	if p.Is6() {
		h.Protocol, h.Class = ICMPv6, 0
		tc, most = icmpv6[what], quoteIPv6-40-8
	}
	quote := p.Bytes[:min(len(p.Bytes), most)]
	at := len(b)
	b = AppendIP(b, h, 8+len(quote))
	upper := len(b)
	b = append(b, tc.kind, tc.code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, errorArgument(what, mtu)) // RFC 1191 section 4, RFC 4443 section 3.2
	b = append(b, quote...)
	var acc uint64
	if p.Is6() {
		acc = IP{Bytes: b[at:]}.PseudoSum(ICMPv6, len(b)-upper)
	}
	binary.BigEndian.PutUint16(b[upper+2:], ^Fold(Sum(b[upper:], acc)))
	return b, true
}

func errorArgument(what ICMPError, mtu int) uint32 {
	if what == TooBig {
		return uint32(mtu)
	}
	return 0
}

// MayComplain reports whether an ICMP error may be sent about p: RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e).
func (p IP) MayComplain(what ICMPError) bool {
	src, dst := p.Source(), p.Destination()
	switch {
	case !p.First || p.isICMPError():
		return false
	case src.IsUnspecified() || src.IsMulticast() || src.IsLoopback() || src == limitedBroadcast:
		return false
	case dst == limitedBroadcast:
		return false
	case dst.IsMulticast():
		return p.Is6() && what == TooBig // RFC 4443 section 2.4 (e.3)
	}
	return true
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// isICMPError reports whether p is an ICMP error or redirect, or too short to tell.
func (p IP) isICMPError() bool {
	b := p.Payload()
	switch p.Protocol {
	case ICMP:
		if p.Is6() {
			return false
		}
		if len(b) == 0 {
			return true
		}
		switch b[0] { // RFC 1122 section 3.2.2
		case 3, 4, 5, 11, 12:
			return true
		}
	case ICMPv6:
		return len(b) == 0 || b[0] < 128 || b[0] == redirectV6
	}
	return false
}

const (
	redirectV4 = 5   // RFC 792
	redirectV6 = 137 // RFC 4861 section 4.5
)

// IsRedirect reports whether p is an ICMP redirect.
func (p IP) IsRedirect() bool {
	b := p.Payload()
	if !p.First || len(b) == 0 {
		return false
	}
	if p.Is6() {
		return p.Protocol == ICMPv6 && b[0] == redirectV6
	}
	return p.Protocol == ICMP && b[0] == redirectV4
}
