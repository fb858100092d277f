package nhrp

import (
	"encoding/binary"
	"net/netip"

	"github.com/spokeway/spokeway/internal/packet"
)

// EtherType is NHRP's protocol type in a GRE header.
const EtherType = 0x2001

// MaxSize is what the length field of a packet can say, in octets.
const MaxSize = 0xffff

const (
	fixedLen     = 20 // RFC 2332 section 5.1
	mandatoryLen = 8  // of a mandatory part without addresses, section 5.2.0.1
	version      = 1

	afnIPv4, afnIPv6             = 1, 2
	protocolIPv4, protocolIPv6   = 0x0800, 0x86dd
	atSize, atChecksum, atExtOff = 10, 12, 14
)

// Packet is one NHRP packet. Which fields it uses follows from its Type.
type Packet struct {
	Type        Type
	HopCount    uint8
	Flags       Flags     // types 1 to 6; 7 and 8 only carry them through
	RequestID   uint32    // types 1 to 6
	ErrorCode   ErrorCode // type 7; type 8 has its traffic code here, of which 0, redirect, is the only one
	ErrorOffset uint16    // type 7: of the octet in the offending packet that is wrong

	SourceNBMA  netip.Addr
	SourceSub   []byte     // NBMA subaddress, at most 63 octets
	Source      netip.Addr // protocol address; the zero Addr when its length is 0
	Destination netip.Addr // protocol address; the zero Addr when its length is 0

	// The families, ar$afn and ar$pro.type. [Parse] always sets them; [Packet.Append] looks at them where the
	// addresses above are zero and do not say.
	IPv6NBMA     bool
	IPv6Protocol bool

	CIEs       []CIE       // types 1 to 6
	Payload    []byte      // types 7 and 8: the offending packet, perhaps its beginning only
	Extensions []Extension // in order, without the end marker
}

// ParseError says why octets are not an NHRP packet, and what RFC 2332 wants the sender told.
type ParseError struct {
	Reason string    // one stable word, fit to name a counter
	Offset int       // in the packet, of what is wrong
	Code   ErrorCode // for an error indication
}

func (e *ParseError) Error() string {
	return "malformed NHRP packet: " + reasonWords[e.Reason] + " at " + numbered("octet", e.Offset)
}

// Reasons of a [ParseError].
const (
	reasonTruncated = "truncated"
	reasonVersion   = "version"
	reasonLength    = "length"
	reasonChecksum  = "checksum"
	reasonType      = "type"
	reasonFamily    = "family"
	reasonAddress   = "address"
	reasonCIE       = "cie"
	reasonExtension = "extension"
	reasonLimit     = "limit"
)

var reasonWords = map[string]string{
	reasonTruncated: "cut short",
	reasonVersion:   "version other than 1",
	reasonLength:    "lengths that contradict each other",
	reasonChecksum:  "wrong checksum",
	reasonType:      "unknown packet type",
	reasonFamily:    "address family other than IPv4 and IPv6",
	reasonAddress:   "address of another family than the packet's",
	reasonCIE:       "client information entry longer than its list",
	reasonExtension: "extension longer than its list, or list without end",
	reasonLimit:     "too many entries",
}

func malformed(reason string, at int) *ParseError {
	code := ProtocolError
	if reason == reasonExtension {
		code = InvalidExtension
	}
	return &ParseError{Reason: reason, Offset: at, Code: code}
}

// Parse reads the packet at the start of b; what follows its length is padding. The result refers to b. An error is
// a [*ParseError]; where only the extensions are wrong, the rest of the packet comes with it.
func Parse(b []byte) (Packet, error) {
	var p Packet
	bad := p.parse(b)
	switch {
	case bad == nil:
		return p, nil
	case bad.Reason == reasonExtension:
		return p, bad
	}
	return Packet{}, bad
}

func (p *Packet) parse(b []byte) *ParseError {
	b, bad := checkFixed(b)
	if bad != nil {
		return bad
	}
	extOff, bad := p.parseFixed(b)
	if bad != nil {
		return bad
	}
	if extOff == 0 {
		return p.parseMandatory(b)
	}
	if bad := p.parseMandatory(b[:extOff]); bad != nil {
		return bad
	}
	p.Extensions, bad = parseExtensions(b[extOff:], extOff)
	return bad
}

// checkFixed holds that b begins with an NHRP packet that arrived whole and unaltered, and returns just that.
func checkFixed(b []byte) ([]byte, *ParseError) {
	if len(b) < fixedLen {
		return nil, malformed(reasonTruncated, len(b))
	}
	size := int(binary.BigEndian.Uint16(b[atSize:]))
	switch {
	case b[16] != version:
		return nil, malformed(reasonVersion, 16)
	case size < fixedLen+mandatoryLen:
		return nil, malformed(reasonLength, atSize)
	case size > len(b):
		return nil, malformed(reasonTruncated, len(b))
	case packet.Fold(packet.Sum(b[:size], 0)) != 0xffff:
		return nil, malformed(reasonChecksum, atChecksum)
	}
	return b[:size], nil
}

// parseFixed reads the fixed header of a checked packet and returns the offset of its extensions, 0 for none.
func (p *Packet) parseFixed(b []byte) (extOff int, bad *ParseError) {
	afn, protocol := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	extOff = int(binary.BigEndian.Uint16(b[atExtOff:]))
	p.Type, p.HopCount = Type(b[17]), b[9]
	p.IPv6NBMA, p.IPv6Protocol = afn == afnIPv6, protocol == protocolIPv6
	switch {
	case afn != afnIPv4 && afn != afnIPv6:
		return 0, malformed(reasonFamily, 0)
	case protocol != protocolIPv4 && protocol != protocolIPv6:
		return 0, malformed(reasonFamily, 2)
	case !p.Type.known():
		return 0, malformed(reasonType, 17)
	case extOff != 0 && (extOff < fixedLen+mandatoryLen || extOff > len(b)):
		return 0, malformed(reasonLength, atExtOff)
	}
	return extOff, nil
}

// parseMandatory reads the mandatory part, which ends where b does.
func (p *Packet) parseMandatory(b []byte) *ParseError {
	m := b[fixedLen:]
	nbmaLen, subLen := int(b[18]&nbmaLenMask), int(b[19]&nbmaLenMask)
	sourceLen, destinationLen := int(m[0]), int(m[1])
	at := fixedLen + mandatoryLen + nbmaLen + subLen + sourceLen + destinationLen
	if at > len(b) {
		return malformed(reasonLength, fixedLen)
	}
	p.Flags = Flags(binary.BigEndian.Uint16(m[2:]))
	nbma, rest := cut(m[mandatoryLen:], nbmaLen)
	sub, rest := cut(rest, subLen)
	source, rest := cut(rest, sourceLen)
	destination, rest := cut(rest, destinationLen)
	p.SourceSub = sub
	if !isNative(b[18]) || !isNative(b[19]) || !p.parseAddrs(nbma, source, destination) {
		return malformed(reasonAddress, fixedLen+mandatoryLen)
	}
	if p.Type.listsClients() {
		p.RequestID = binary.BigEndian.Uint32(m[4:])
		return p.parseClients(rest, at)
	}
	p.ErrorCode = ErrorCode(binary.BigEndian.Uint16(m[4:]))
	p.ErrorOffset = binary.BigEndian.Uint16(m[6:])
	p.Payload, _ = cut(rest, len(rest))
	return nil
}

func (p *Packet) parseAddrs(nbma, source, destination []byte) bool {
	return parseAddr(&p.SourceNBMA, nbma) && parseAddr(&p.Source, source) && parseAddr(&p.Destination, destination) &&
		p.ofFamilies(p.SourceNBMA, p.Source) && p.ofFamilies(netip.Addr{}, p.Destination)
}

func (p *Packet) parseClients(b []byte, at int) (bad *ParseError) {
	if p.CIEs, bad = parseCIEs(b, at); bad != nil {
		return bad
	}
	for i := range p.CIEs {
		if !p.ofFamilies(p.CIEs[i].NBMA, p.CIEs[i].Protocol) {
			return malformed(reasonAddress, at)
		}
	}
	return nil
}

// ofFamilies reports whether the addresses are of the packet's families, or zero.
func (p *Packet) ofFamilies(nbma, protocol netip.Addr) bool {
	return (!nbma.IsValid() || nbma.Is6() == p.IPv6NBMA) && (!protocol.IsValid() || protocol.Is6() == p.IPv6Protocol)
}

// Append appends the packet to b, with its length, checksum, and the end marker where there are extensions.
// A packet that would exceed [MaxSize] is not appended: b comes back as it was.
func (p *Packet) Append(b []byte) []byte {
	start := len(b)
	b = p.appendFixed(b)
	b = p.appendMandatory(b)
	extOff := 0
	if len(p.Extensions) > 0 {
		extOff = len(b) - start
		b = appendExtensions(b, p.Extensions)
	}
	w := b[start:]
	if len(w) > MaxSize {
		return b[:start]
	}
	binary.BigEndian.PutUint16(w[atSize:], uint16(len(w)))
	binary.BigEndian.PutUint16(w[atExtOff:], uint16(extOff))
	binary.BigEndian.PutUint16(w[atChecksum:], ^packet.Fold(packet.Sum(w, 0)))
	return b
}

// appendFixed leaves the size, checksum and extension offset zero.
func (p *Packet) appendFixed(b []byte) []byte {
	afn, protocol := uint16(afnIPv4), uint16(protocolIPv4)
	if p.nbmaIs6() {
		afn = afnIPv6
	}
	if p.protocolIs6() {
		protocol = protocolIPv6
	}
	b = binary.BigEndian.AppendUint16(b, afn)
	b = binary.BigEndian.AppendUint16(b, protocol)
	b = append(b, 0, 0, 0, 0, 0, p.HopCount) // no SNAP
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, version, byte(p.Type), addrLen(p.SourceNBMA), byte(len(fitSub(p.SourceSub))))
}

func (p *Packet) nbmaIs6() bool {
	if p.SourceNBMA.IsValid() {
		return p.SourceNBMA.Is6()
	}
	return p.IPv6NBMA
}

func (p *Packet) protocolIs6() bool {
	if p.Source.IsValid() {
		return p.Source.Is6()
	}
	if p.Destination.IsValid() {
		return p.Destination.Is6()
	}
	return p.IPv6Protocol
}

func (p *Packet) appendMandatory(b []byte) []byte {
	b = append(b, addrLen(p.Source), addrLen(p.Destination))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Flags))
	if p.Type.listsClients() {
		b = binary.BigEndian.AppendUint32(b, p.RequestID)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(p.ErrorCode))
		b = binary.BigEndian.AppendUint16(b, p.ErrorOffset)
	}
	b = appendAddr(b, p.SourceNBMA)
	b = append(b, fitSub(p.SourceSub)...)
	b = appendAddr(b, p.Source)
	b = appendAddr(b, p.Destination)
	if p.Type.listsClients() {
		return AppendCIEs(b, p.CIEs)
	}
	return append(b, p.Payload...)
}
