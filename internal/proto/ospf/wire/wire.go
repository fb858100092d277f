package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"
)

// Protocol is the IP protocol number of OSPF, RFC 2328 A.1.
const Protocol = 89

// Architectural constants, RFC 2328 appendix B.
const (
	MaxAge        = 3600 // seconds: the age at which an LSA is flushed
	MaxAgeDiff    = 900  // seconds that the ages of one instance may differ by
	LSRefreshTime = 30 * time.Minute
	MinLSInterval = 5 * time.Second
	MinLSArrival  = time.Second
	CheckAge      = 5 * time.Minute
	LSInfinity    = 0xffffff // the metric of what cannot be reached, in summaries and externals
	MaxLinkMetric = 0xffff   // the metric of a link of a stub router, RFC 6987 section 2
)

// Sequence numbers of LSAs, RFC 2328 12.1.6. They are signed, and 0x80000000 is reserved.
const (
	InitialSequence int32 = -0x7fffffff
	MaxSequence     int32 = 0x7fffffff
)

// Version says how an instance speaks: the version of the protocol and, for OSPFv3, the address family.
type Version uint8

const (
	V2     Version = 2
	V3     Version = 3        // OSPFv3 for IPv6, RFC 5340
	V3IPv4 Version = 3 | 0x80 // OSPFv3 for IPv4, RFC 5838: the packets are those of V3, the prefixes are IPv4
)

// Number is the version as it stands in a packet.
func (v Version) Number() uint8 { return uint8(v) & 0x7f }

// IPv4 reports whether the routes are for IPv4.
func (v Version) IPv4() bool { return v != V3 }

// HeaderLen is the length of the header of a packet.
func (v Version) HeaderLen() int {
	if v == V2 {
		return 24
	}
	return 16
}

// AllRouters is the group of all routers, AllSPFRouters in RFC 2328 A.1 and RFC 5340 A.1.
func (v Version) AllRouters() netip.Addr { return v.group(5) }

// AllDRouters is the group of the designated router and its backup.
func (v Version) AllDRouters() netip.Addr { return v.group(6) }

func (v Version) group(last byte) netip.Addr {
	if v == V2 {
		return netip.AddrFrom4([4]byte{224, 0, 0, last})
	}
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: last})
}

func (v Version) String() string {
	switch v {
	case V2:
		return "OSPFv2"
	case V3:
		return "OSPFv3"
	case V3IPv4:
		return "OSPFv3 for IPv4"
	}
	return "OSPF version " + strconv.Itoa(int(v))
}

// RouterID names a router in the domain.
type RouterID uint32

// String is the dotted form.
func (r RouterID) String() string { return dotted(uint32(r)) }

// AreaID names an area; 0 is the backbone.
type AreaID uint32

// String is the dotted form.
func (a AreaID) String() string { return dotted(uint32(a)) }

func dotted(v uint32) string { return Addr4(v).String() }

// Addr4 is the IPv4 address that v stands for.
func Addr4(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// Uint4 is an IPv4 address as a number; 0 for any other.
func Uint4(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Mask is the network mask of a prefix length.
func Mask(bits int) uint32 { return uint32(uint64(0xffffffff) << (32 - bits)) }

// MaskBits is the prefix length of a mask; false when its ones are not contiguous.
func MaskBits(mask uint32) (int, bool) {
	bits := 0
	for bits < 32 && mask&(1<<(31-bits)) != 0 {
		bits++
	}
	return bits, Mask(bits) == mask
}

// PacketType is the kind of a packet, RFC 2328 A.3.
type PacketType uint8

const (
	TypeHello PacketType = iota + 1
	TypeDatabaseDescription
	TypeRequest
	TypeUpdate
	TypeAck
)

func (t PacketType) String() string {
	names := [...]string{"Hello", "Database Description", "Link State Request", "Link State Update", "Link State Acknowledgment"}
	if t < TypeHello || t > TypeAck {
		return "packet type " + strconv.Itoa(int(t))
	}
	return names[t-1]
}

// Options are the capabilities that a router speaks of, RFC 2328 A.2 and RFC 5340 A.2. The bits have the places of
// OSPFv3; the three of OSPFv2 that stand elsewhere there are moved when a packet is read and written.
type Options uint32

const (
	OptV6 Options = 0x000001 // v3: take part in IPv6 routing
	OptE  Options = 0x000002 // AS-external LSAs are understood: the area is no stub
	OptMC Options = 0x000004
	OptNP Options = 0x000008  // in Hello and DD: N, the area is an NSSA; in a type 7 LSA of v2: P, to be translated
	OptR  Options = 0x000010  // v3: the originator is a router that forwards
	OptDC Options = 0x000020  // demand circuits, RFC 1793
	OptO  Options = 0x000040  // v2: opaque LSAs are understood, RFC 5250
	OptDN Options = 0x000080  // v2: the route came down from a VPN, RFC 4576
	OptAF Options = 0x000100  // v3: address families, RFC 5838
	OptL  Options = 0x000200  // a block of link-local signaling follows the packet, RFC 5613
	OptAT Options = 0x000400  // v3: an authentication trailer follows the packet, RFC 7166
	OptMT Options = 0x1000000 // v2: multi-topology, the bit that v3 uses for V6
)

// optionsV2 reads the options octet of OSPFv2.
func optionsV2(b byte) Options {
	o := Options(b) & (OptE | OptMC | OptNP | OptDC | OptO | OptDN)
	if b&0x10 != 0 {
		o |= OptL
	}
	if b&0x01 != 0 {
		o |= OptMT
	}
	return o
}

// octet writes the options octet of OSPFv2.
func (o Options) octet() byte {
	b := byte(o & (OptE | OptMC | OptNP | OptDC | OptO | OptDN))
	if o&OptL != 0 {
		b |= 0x10
	}
	if o&OptMT != 0 {
		b |= 0x01
	}
	return b
}

// options24 reads the three octets of options of OSPFv3 behind the octet at b[0].
func options24(b []byte) Options { return Options(binary.BigEndian.Uint32(b) & 0xffffff) }

// String lists the bits that are set.
func (o Options) String() string {
	names := [...]struct {
		bit  Options
		name string
	}{{OptV6, "V6"}, {OptE, "E"}, {OptMC, "MC"}, {OptNP, "N/P"}, {OptR, "R"}, {OptDC, "DC"}, {OptO, "O"}, {OptDN, "DN"},
		{OptAF, "AF"}, {OptL, "L"}, {OptAT, "AT"}, {OptMT, "MT"}}
	text := ""
	for _, n := range names {
		if o&n.bit == 0 {
			continue
		}
		if text != "" {
			text += " "
		}
		text += n.name
	}
	return text
}

// Error is a packet or an LSA that is not taken. Reason is a stable word for counters; Detail says more for people.
type Error struct{ Reason, Detail string }

func (e *Error) Error() string {
	if e.Detail == "" {
		return "ospf packet: " + e.Reason
	}
	return "ospf packet: " + e.Reason + ": " + e.Detail
}

// Reasons of an [Error].
const (
	ReasonLength         = "length"         // shorter or longer than its fields say
	ReasonVersion        = "version"        // of another version of OSPF
	ReasonType           = "type"           // of an unknown packet type
	ReasonChecksum       = "checksum"       // RFC 2328 8.2, RFC 5340 4.2.2.2
	ReasonContent        = "content"        // a field that cannot be
	ReasonAuthentication = "authentication" // of another type than the interface has, RFC 2328 D.4
	ReasonKey            = "key"            // by a key that the interface does not have
	ReasonDigest         = "digest"         // by a key of the same number that is another
	ReasonLSAChecksum    = "lsa-checksum"   // RFC 2328 13 step 1
	ReasonLSAContent     = "lsa-content"    // an LSA whose body does not read
)

func bad(reason, detail string) error { return &Error{Reason: reason, Detail: detail} }
