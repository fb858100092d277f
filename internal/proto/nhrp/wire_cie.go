package nhrp

import (
	"encoding/binary"
	"net/netip"
)

// maxCIEs bounds the entries of one list: far more than routers send, little enough to hold.
const maxCIEs = 256

const (
	cieLen      = 12   // of a CIE without addresses
	nbmaLenMask = 0x3f // low bits of an NBMA type/length octet, RFC 2332 section 5.1
)

// CIE is a client information entry, RFC 2332 section 5.2.0.1. The zero Addr is an address of length 0.
type CIE struct {
	Code         Code
	PrefixLength uint8 // of Protocol; see [CIE.Bits]
	MTU          uint16
	HoldingTime  uint16 // seconds
	Preference   uint8  // higher is better
	NBMA         netip.Addr
	NBMASub      []byte // at most 63 octets
	Protocol     netip.Addr
}

// Bits is the prefix length for an address of addrBits. 0 and 255 mean a host (RFC 2332 section 5.2.0.1), and so
// does here a length that no address of the family has.
func (c CIE) Bits(addrBits int) int {
	if c.PrefixLength == 0 || int(c.PrefixLength) > addrBits {
		return addrBits
	}
	return int(c.PrefixLength)
}

// ParseCIEs reads a list of CIEs that fills b, as the responder, transit and NAT extensions hold it. The family of
// an address follows from its length. The result refers to b. An error is a [*ParseError].
func ParseCIEs(b []byte) ([]CIE, error) {
	cies, bad := parseCIEs(b, 0)
	if bad != nil {
		bad.Code = InvalidExtension
		return nil, bad
	}
	return cies, nil
}

// parseCIEs is ParseCIEs for a list that stands at an offset of its packet.
func parseCIEs(b []byte, at int) ([]CIE, *ParseError) {
	n, bad := countCIEs(b, at)
	if n == 0 || bad != nil {
		return nil, bad
	}
	cies := make([]CIE, n)
	for i := range cies {
		size := cieSize(b)
		if !cies[i].parse(b[:size]) {
			return nil, malformed(reasonAddress, at)
		}
		b, at = b[size:], at+size
	}
	return cies, nil
}

// countCIEs walks the list once, so that parseCIEs may index without looking and allocate once.
func countCIEs(b []byte, at int) (n int, bad *ParseError) {
	for len(b) > 0 {
		if len(b) < cieLen || len(b) < cieSize(b) {
			return 0, malformed(reasonCIE, at)
		}
		if n++; n > maxCIEs {
			return 0, malformed(reasonLimit, at)
		}
		size := cieSize(b)
		b, at = b[size:], at+size
	}
	return n, nil
}

func cieSize(b []byte) int {
	return cieLen + int(b[8]&nbmaLenMask) + int(b[9]&nbmaLenMask) + int(b[10])
}

// parse reads one entry from exactly its octets; false when an address has a form we do not know.
func (c *CIE) parse(b []byte) bool {
	c.Code = Code(b[0])
	c.PrefixLength = b[1]
	c.MTU = binary.BigEndian.Uint16(b[4:])
	c.HoldingTime = binary.BigEndian.Uint16(b[6:])
	c.Preference = b[11]
	nbma, rest := cut(b[cieLen:], int(b[8]&nbmaLenMask))
	sub, protocol := cut(rest, int(b[9]&nbmaLenMask))
	c.NBMASub = sub
	return isNative(b[8]) && isNative(b[9]) && parseAddr(&c.NBMA, nbma) && parseAddr(&c.Protocol, protocol)
}

// AppendCIEs appends a list of CIEs to b, for an extension's value.
func AppendCIEs(b []byte, cies []CIE) []byte {
	for i := range cies {
		b = cies[i].append(b)
	}
	return b
}

func (c *CIE) append(b []byte) []byte {
	sub := fitSub(c.NBMASub)
	b = append(b, byte(c.Code), c.PrefixLength, 0, 0)
	b = binary.BigEndian.AppendUint16(b, c.MTU)
	b = binary.BigEndian.AppendUint16(b, c.HoldingTime)
	b = append(b, addrLen(c.NBMA), byte(len(sub)), addrLen(c.Protocol), c.Preference)
	b = appendAddr(b, c.NBMA)
	b = append(b, sub...)
	return appendAddr(b, c.Protocol)
}

// isNative reports whether an NBMA type/length octet has neither the E.164 bit nor the reserved one.
func isNative(typeLen byte) bool { return typeLen&^nbmaLenMask == 0 }

// parseAddr reads an address of 0, 4 or 16 octets into a; false when there are other than that.
func parseAddr(a *netip.Addr, b []byte) (ok bool) {
	if len(b) == 0 {
		*a = netip.Addr{}
		return true
	}
	*a, ok = netip.AddrFromSlice(b)
	return ok
}

func addrLen(a netip.Addr) byte { return byte(a.BitLen() / 8) }

func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		v4 := a.As4()
		return append(b, v4[:]...)
	}
	if a.IsValid() {
		v6 := a.As16()
		return append(b, v6[:]...)
	}
	return b
}

// fitSub cuts a subaddress to what six bits of length can say.
func fitSub(sub []byte) []byte { return sub[:min(len(sub), nbmaLenMask)] }

// cut splits b after n octets. Neither part can be appended to in place.
func cut(b []byte, n int) (head, tail []byte) {
	if n == 0 {
		return nil, b
	}
	return b[:n:n], b[n:]
}
