package wire

import (
	"encoding/binary"
	"net/netip"
)

// PrefixOptions are the options of a prefix of OSPFv3, RFC 5340 A.4.1.1.
type PrefixOptions uint8

const (
	PrefixNU PrefixOptions = 0x01 // not for unicast
	PrefixLA PrefixOptions = 0x02 // an address of the router itself
	PrefixP  PrefixOptions = 0x08 // of an NSSA LSA: to be translated at the border
	PrefixDN PrefixOptions = 0x10 // it came down from a VPN, RFC 6565
)

// PrefixEntry is a prefix in an LSA of OSPFv3. Metric is that of an intra-area-prefix LSA, and 0 elsewhere.
type PrefixEntry struct {
	Prefix  netip.Prefix
	Options PrefixOptions
	Metric  uint16
}

// parsePrefix reads a length, options, 16 bits whose meaning the LSA knows, and as many whole words of the address as the
// length needs, RFC 5340 A.4.1. Bits beyond the length are dropped.
func parsePrefix(v Version, b []byte) (e PrefixEntry, rest []byte, ok bool) {
	if len(b) < 4 {
		return e, nil, false
	}
	bits, octets := int(b[0]), (int(b[0])+31)/32*4
	if len(b) < 4+octets || bits > 128 || v.IPv4() && bits > 32 {
		return e, nil, false
	}
	var a [16]byte
	copy(a[:], b[4:4+octets])
	addr := netip.AddrFrom16(a)
	if v.IPv4() {
		addr = netip.AddrFrom4([4]byte(a[:4]))
	}
	e = PrefixEntry{netip.PrefixFrom(addr, bits).Masked(), PrefixOptions(b[1]), binary.BigEndian.Uint16(b[2:])}
	return e, b[4+octets:], true
}

func (e PrefixEntry) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, byte(e.Prefix.Bits()), byte(e.Options)), e.Metric)
	p := e.Prefix.Masked()
	return append(b, p.Addr().AsSlice()[:(p.Bits()+31)/32*4]...)
}

// parsePrefixes reads a list to its end.
func parsePrefixes(v Version, b []byte, count uint32) ([]PrefixEntry, bool) {
	if uint64(count)*4 > uint64(len(b)) {
		return nil, false
	}
	list := make([]PrefixEntry, 0, count)
	for range count {
		e, rest, ok := parsePrefix(v, b)
		if !ok {
			return nil, false
		}
		list, b = append(list, e), rest
	}
	return list, len(b) == 0
}

func appendPrefixes(b []byte, list []PrefixEntry) []byte {
	for _, e := range list {
		b = e.append(b)
	}
	return b
}

// cutAddress reads an address of 16 octets. An IPv4 one is in the first four, RFC 5838 sections 2.5 and 2.6.
func cutAddress(v Version, b []byte) (netip.Addr, []byte, bool) {
	if len(b) < 16 {
		return netip.Addr{}, nil, false
	}
	if v.IPv4() {
		return netip.AddrFrom4([4]byte(b[:4])), b[16:], true
	}
	return netip.AddrFrom16([16]byte(b[:16])), b[16:], true
}

func appendAddress(b []byte, a netip.Addr) []byte {
	var room [16]byte
	copy(room[:], a.AsSlice())
	return append(b, room[:]...)
}
