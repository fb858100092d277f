package wire

import (
	"cmp"
	"encoding/binary"
	"strconv"
)

// LSAType is the LS type as it stands in an LSA: 8 bits in OSPFv2, 16 in OSPFv3, of which the upper three say how far it
// is flooded, RFC 5340 A.4.2.1.
type LSAType uint16

// Function is what an LSA says; it is what the types of the two versions have in common.
type Function uint8

const (
	FunctionUnknown Function = iota
	FunctionRouter
	FunctionNetwork
	FunctionSummary       // v2 type 3, v3 inter-area-prefix
	FunctionSummaryRouter // v2 type 4, v3 inter-area-router
	FunctionExternal
	FunctionNSSA
	FunctionLink            // v3
	FunctionIntraAreaPrefix // v3
	FunctionGrace           // v2: a link-local opaque LSA of opaque type 3, RFC 3623; v3: RFC 5187
	FunctionOpaque          // v2, RFC 5250
)

var functionNames = [...]string{"unknown", "router", "network", "summary", "summary-router", "external", "nssa", "link", "intra-area-prefix", "grace", "opaque"}

func (f Function) String() string {
	if int(f) < len(functionNames) {
		return functionNames[f]
	}
	return "function " + strconv.Itoa(int(f))
}

// graceOpaque is the opaque type of a grace-LSA, RFC 3623 appendix A.
const graceOpaque = 3

// Type is the LS type of a function; 0 when the version has none. A grace-LSA of OSPFv2 has its opaque type in the
// LS ID, see [GraceKey].
func (f Function) Type(v Version) LSAType {
	v2 := [...]LSAType{FunctionRouter: 1, FunctionNetwork: 2, FunctionSummary: 3, FunctionSummaryRouter: 4, FunctionExternal: 5,
		FunctionNSSA: 7, FunctionGrace: 9, FunctionOpaque: 0}
	v3 := [...]LSAType{FunctionRouter: 0x2001, FunctionNetwork: 0x2002, FunctionSummary: 0x2003, FunctionSummaryRouter: 0x2004,
		FunctionExternal: 0x4005, FunctionNSSA: 0x2007, FunctionLink: 0x0008, FunctionIntraAreaPrefix: 0x2009,
		FunctionGrace: 0x000b, FunctionOpaque: 0}
	if int(f) >= len(v2) {
		return 0
	}
	if v == V2 {
		return v2[f]
	}
	return v3[f]
}

// Function is what an LSA of the type says. In OSPFv2 a grace-LSA is told from others by its key, [LSAKey.Function].
func (t LSAType) Function(v Version) Function {
	if v == V2 && t >= 9 && t <= 11 {
		return FunctionOpaque
	}
	for f := FunctionRouter; f < FunctionOpaque; f++ {
		if t != 0 && f.Type(v) == t {
			return f
		}
	}
	return FunctionUnknown
}

// Scope is how far an LSA is flooded.
type Scope uint8

const (
	ScopeLink Scope = iota
	ScopeArea
	ScopeAS
	ScopeReserved // v3: an LSA of it is dropped, RFC 5340 4.5.1
)

func (s Scope) String() string {
	return [...]string{"link", "area", "as", "reserved"}[s&3]
}

// Scope is how far an LSA of the type is flooded, RFC 5250 section 3 and RFC 5340 A.4.2.1. A type of OSPFv3 that we do
// not know stays on the link, unless its U bit says that it is to be kept as if it were known. A type of OSPFv2 that we
// do not know is dropped, RFC 2328 13 step 2, and has the reserved scope.
func (t LSAType) Scope(v Version) Scope {
	if v != V2 {
		if t&0x8000 == 0 && t&0x6000 != 0x6000 && t.Function(v) == FunctionUnknown {
			return ScopeLink
		}
		return Scope(t >> 13 & 3)
	}
	switch t {
	case 1, 2, 3, 4, 7, 10:
		return ScopeArea
	case 5, 11:
		return ScopeAS
	case 9:
		return ScopeLink
	}
	return ScopeReserved
}

// LSAKey names an LSA, RFC 2328 12.1.
type LSAKey struct {
	Type   LSAType
	ID     uint32 // the Link State ID, in OSPFv2 often an address
	Router RouterID
}

// Function is what the LSA says.
func (k LSAKey) Function(v Version) Function {
	f := k.Type.Function(v)
	if f == FunctionOpaque && k.Type == FunctionGrace.Type(v) && k.ID>>24 == graceOpaque {
		return FunctionGrace
	}
	return f
}

// Compare orders keys by type, ID and router.
func (k LSAKey) Compare(o LSAKey) int {
	return cmp.Or(cmp.Compare(k.Type, o.Type), cmp.Compare(k.ID, o.ID), cmp.Compare(k.Router, o.Router))
}

func (k LSAKey) String() string {
	return "0x" + strconv.FormatUint(uint64(k.Type), 16) + " " + dotted(k.ID) + " of " + k.Router.String()
}

// GraceKey is the key of the grace-LSA for a link: an opaque ID of 0 in OSPFv2, RFC 3623 appendix A; the interface's ID
// in OSPFv3, RFC 5187 section 2.2.
func GraceKey(v Version, router RouterID, interfaceID uint32) LSAKey {
	k := LSAKey{Type: FunctionGrace.Type(v), ID: interfaceID, Router: router}
	if v == V2 {
		k.ID = graceOpaque << 24
	}
	return k
}

// LSAHeaderLen is the length of the header of an LSA.
const LSAHeaderLen = 20

// LSAHeader is what an LSA begins with, RFC 2328 A.4.1 and RFC 5340 A.4.2. It names the instance.
type LSAHeader struct {
	Age     uint16  // seconds
	Options Options // v2
	LSAKey
	Sequence int32
	Checksum uint16
	Length   uint16 // octets, the header included
}

// String names the instance.
func (h LSAHeader) String() string {
	return h.LSAKey.String() + " sequence 0x" + strconv.FormatUint(uint64(uint32(h.Sequence)), 16) + " age " + strconv.Itoa(int(h.Age))
}

func parseLSAHeader(v Version, b []byte) LSAHeader {
	h := LSAHeader{
		Age:      binary.BigEndian.Uint16(b),
		LSAKey:   LSAKey{LSAType(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:]), RouterID(binary.BigEndian.Uint32(b[8:]))},
		Sequence: int32(binary.BigEndian.Uint32(b[12:])), Checksum: binary.BigEndian.Uint16(b[16:]), Length: binary.BigEndian.Uint16(b[18:]),
	}
	if v == V2 {
		h.Options, h.Type = optionsV2(b[2]), LSAType(b[3])
	}
	return h
}

func (h LSAHeader) append(b []byte, v Version) []byte {
	b = binary.BigEndian.AppendUint16(b, h.Age)
	if v == V2 {
		b = append(b, h.Options.octet(), byte(h.Type))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(h.Type))
	}
	b = binary.BigEndian.AppendUint32(b, h.ID)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Router))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Sequence))
	b = binary.BigEndian.AppendUint16(b, h.Checksum)
	return binary.BigEndian.AppendUint16(b, h.Length)
}

// Compare tells which of two instances of an LSA is newer, RFC 2328 13.1: 1 when a is, -1 when b is, 0 when they are the
// same instance.
func Compare(a, b LSAHeader) int {
	if c := cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Checksum, b.Checksum)); c != 0 {
		return c
	}
	x, y := min(a.Age, MaxAge), min(b.Age, MaxAge)
	switch {
	case x == y:
		return 0
	case x == MaxAge:
		return 1
	case y == MaxAge:
		return -1
	case max(x, y)-min(x, y) > MaxAgeDiff:
		return cmp.Compare(y, x)
	}
	return 0
}

// LSA is a link state advertisement: its header, and all its octets. Where Raw and Age differ, Age is right: that of Raw
// is the one it came with.
type LSA struct {
	LSAHeader
	Raw []byte
}

// ParseLSA reads the LSA that b begins with, and returns what follows it. It is a view into b. Only its length is
// looked at; [LSA.Check] looks at the rest.
func ParseLSA(v Version, b []byte) (l LSA, rest []byte, err error) {
	if len(b) < LSAHeaderLen {
		return LSA{}, nil, bad(ReasonLength, "of an LSA header")
	}
	h := parseLSAHeader(v, b)
	if h.Length < LSAHeaderLen || int(h.Length) > len(b) {
		return LSA{}, nil, bad(ReasonLength, "of LSA "+h.LSAKey.String())
	}
	return LSA{h, b[:h.Length:h.Length]}, b[h.Length:], nil
}

// Check says what is wrong with an LSA that was received: its checksum, RFC 2328 13 step 1, or a body that does not read.
// A body that we do not understand is not wrong. An error is an [*Error].
func (l LSA) Check(v Version) error {
	if !l.ChecksumOK() {
		return bad(ReasonLSAChecksum, l.LSAKey.String())
	}
	_, err := l.Body(v)
	return err
}

// ChecksumOK reports whether the Fletcher checksum of the LSA is right, RFC 2328 12.1.7.
func (l LSA) ChecksumOK() bool {
	if len(l.Raw) < LSAHeaderLen || l.Checksum == 0 {
		return false
	}
	c0, c1 := fletcher(l.Raw[2:])
	return c0 == 0 && c1 == 0
}

// fletcher are the two sums of ISO 8473, modulo 255. Neither overflows within the 65535 octets of an LSA.
func fletcher(b []byte) (c0, c1 int) {
	var s0, s1 uint64
	for _, x := range b {
		s0 += uint64(x)
		s1 += s0
	}
	return int(s0 % 255), int(s1 % 255)
}

// checksum is the Fletcher checksum of an LSA whose checksum field is 0: two octets that make both sums 0. The age is
// left out.
func checksum(raw []byte) uint16 {
	b := raw[2:]
	c0, c1 := fletcher(b)
	after := len(b) - 15 // octets behind the first one of the field, which is the 15th
	x := (after*c0 - c1) % 255
	y := (c1 - (after+1)*c0) % 255
	return octet255(x)<<8 | octet255(y)
}

// octet255 is x modulo 255 as an octet that is not 0.
func octet255(x int) uint16 {
	if x <= 0 {
		x += 255
	}
	return uint16(x)
}

// maxBuilt is the longest LSA of our own: with it a packet, its headers and its longest authentication are what IP can carry.
const maxBuilt = 0xffff - 20 - 24 - 4 - trailerHeaderLen - 64

// Build makes an LSA of our own. In OSPFv2 the options of the body are those of the header. An error is an [*Error]: the
// LSA is larger than one that can be sent.
func Build(v Version, k LSAKey, age uint16, sequence int32, body LSABody) (LSA, error) {
	h := LSAHeader{Age: age, LSAKey: k, Sequence: sequence}
	if v == V2 {
		h.Options = body.options(v, k)
	}
	b := body.appendLSA(h.append(make([]byte, 0, 128), v), v)
	if len(b) > maxBuilt {
		return LSA{}, bad(ReasonLSAContent, k.String()+" would have "+strconv.Itoa(len(b))+" octets, above "+strconv.Itoa(maxBuilt)+": no packet holds it")
	}
	h.Length = uint16(len(b))
	binary.BigEndian.PutUint16(b[18:], h.Length)
	h.Checksum = checksum(b)
	binary.BigEndian.PutUint16(b[16:], h.Checksum)
	return LSA{h, b}, nil
}
