package wire

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// Protocol is a security protocol, RFC 7296 section 3.3.1.
type Protocol uint8

// Protocols of RFC 7296 section 3.3.1.
const (
	NoProtocol  Protocol = 0
	ProtocolIKE Protocol = 1
	ProtocolAH  Protocol = 2
	ProtocolESP Protocol = 3
)

// Sizes of SPIs.
const (
	ikeSPI   = 8
	childSPI = 4
)

// ofChild reports whether the protocol's SAs are child SAs.
func (p Protocol) ofChild() bool { return p == ProtocolAH || p == ProtocolESP }

func (p Protocol) String() string {
	switch p {
	case NoProtocol:
		return "none"
	case ProtocolIKE:
		return "IKE"
	case ProtocolAH:
		return "AH"
	case ProtocolESP:
		return "ESP"
	}
	return "protocol " + strconv.Itoa(int(p))
}

// TransformType is a kind of transform, RFC 7296 section 3.3.2.
type TransformType uint8

// Transform types of RFC 7296 section 3.3.2 and RFC 9370.
const (
	TransformENCR  TransformType = 1
	TransformPRF   TransformType = 2
	TransformINTEG TransformType = 3
	TransformKE    TransformType = 4
	TransformESN   TransformType = 5
	AddKE1         TransformType = 6
	AddKE2         TransformType = 7
	AddKE3         TransformType = 8
	AddKE4         TransformType = 9
	AddKE5         TransformType = 10
	AddKE6         TransformType = 11
	AddKE7         TransformType = 12
)

// Transform is one transform, RFC 7296 section 3.3.2.
type Transform struct {
	Type    TransformType
	ID      uint16
	KeyBits int  // the Key Length attribute; 0 when there is none
	Unknown bool // has an attribute that we do not know, so it must not be chosen (section 3.3.6); it is never written
}

// Proposal is one proposal, RFC 7296 section 3.3.1.
type Proposal struct {
	Number     uint8
	Protocol   Protocol
	SPI        []byte // 8 octets of IKE, or none in IKE_SA_INIT; 4 of AH and ESP
	Transforms []Transform
}

// SA is a security association payload, RFC 7296 section 3.3.
type SA struct{ Proposals []Proposal }

// Bounds of an SA payload. The number of transforms has an octet.
const (
	MaxProposals  = 64
	MaxTransforms = 255
)

const (
	proposalLen  = 8
	transformLen = 8
	attributeLen = 4

	lastSubstructure = 0
	moreProposals    = 2
	moreTransforms   = 3

	attributeTV  = 0x8000 // RFC 7296 section 3.3.5, AF: type and value
	keyLengthTag = 14
)

// Type is TypeSA.
func (*SA) Type() PayloadType { return TypeSA }

func parseSA(b []byte) (Payload, error) {
	p := &SA{}
	for more := true; more; {
		if len(p.Proposals) == MaxProposals {
			return nil, bad("more than " + strconv.Itoa(MaxProposals) + " proposals")
		}
		part, rest, last, err := substructure(b, proposalLen, moreProposals)
		if err != nil {
			return nil, err
		}
		proposal, err := parseProposal(part)
		if err != nil {
			return nil, err
		}
		p.Proposals, b, more = append(p.Proposals, proposal), rest, !last
	}
	if len(b) > 0 {
		return nil, bad("octets after the last proposal")
	}
	return p, nil
}

// substructure cuts a proposal or a transform of at least least octets off b; more is the mark of one that others follow.
func substructure(b []byte, least int, more byte) (part, rest []byte, last bool, err error) {
	if len(b) < least {
		return nil, nil, false, bad("a proposal or transform is cut short or missing")
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < least || size > len(b) {
		return nil, nil, false, bad("the length of a proposal or transform does not fit")
	}
	if b[0] != lastSubstructure && b[0] != more {
		return nil, nil, false, bad("a proposal or transform is neither the last nor followed by another")
	}
	return b[:size], b[size:], b[0] == lastSubstructure, nil
}

func parseProposal(b []byte) (Proposal, error) {
	p := Proposal{Number: b[4], Protocol: Protocol(b[5])}
	spi, count := int(b[6]), int(b[7])
	b = b[proposalLen:]
	if spi > len(b) {
		return p, bad("the SPI is longer than its proposal")
	}
	if !p.Protocol.fits(spi) {
		return p, bad("an SPI of the wrong size")
	}
	if count == 0 {
		return p, bad("a proposal without transforms")
	}
	if spi > 0 {
		p.SPI = b[:spi:spi]
	}
	var err error
	p.Transforms, err = parseTransforms(b[spi:], count)
	return p, err
}

// fits reports whether the protocol's SPI in a proposal has this size. Of an unknown protocol any has.
func (p Protocol) fits(size int) bool {
	switch p {
	case ProtocolIKE:
		return size == 0 || size == ikeSPI
	case ProtocolAH, ProtocolESP:
		return size == childSPI
	}
	return true
}

func parseTransforms(b []byte, count int) ([]Transform, error) {
	transforms := make([]Transform, 0, min(count, len(b)/transformLen))
	for i := range count {
		part, rest, last, err := substructure(b, transformLen, moreTransforms)
		if err != nil {
			return nil, err
		}
		if last != (i == count-1) {
			return nil, bad("the number of transforms is wrong")
		}
		t, err := parseTransform(part)
		if err != nil {
			return nil, err
		}
		transforms, b = append(transforms, t), rest
	}
	if len(b) > 0 {
		return nil, bad("octets after the last transform")
	}
	return transforms, nil
}

func parseTransform(b []byte) (Transform, error) {
	t := Transform{Type: TransformType(b[4]), ID: binary.BigEndian.Uint16(b[6:])}
	for b = b[transformLen:]; len(b) > 0; {
		if len(b) < attributeLen {
			return t, bad("an attribute is cut short")
		}
		tag, value := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[attributeLen:]
		switch {
		case tag&attributeTV == 0: // then value is the length of what follows
			if value > len(b) {
				return t, bad("an attribute is longer than its transform")
			}
			t.Unknown, b = true, b[value:]
		case tag != attributeTV|keyLengthTag || value == 0:
			t.Unknown = true
		case t.KeyBits != 0: // RFC 7296 section 3.3.5: an attribute MUST NOT occur twice
			return t, bad("a transform with two key lengths")
		default:
			t.KeyBits = value
		}
	}
	return t, nil
}

func (p *SA) appendBody(b []byte) []byte {
	for i, proposal := range p.Proposals {
		b = proposal.append(b, i == len(p.Proposals)-1)
	}
	return b
}

func (p Proposal) append(b []byte, last bool) []byte {
	start, count := len(b), 0
	b = append(b, mark(last, moreProposals), 0, 0, 0, p.Number, byte(p.Protocol), byte(len(p.SPI)), 0)
	b = append(b, p.SPI...)
	final := start
	for _, t := range p.Transforms {
		if t.Unknown {
			continue
		}
		final, count = len(b), count+1
		b = t.append(b)
	}
	if count > MaxTransforms || len(p.SPI) > 0xff {
		panic("wire: " + strconv.Itoa(count) + " transforms, an SPI of " + octets(p.SPI))
	}
	if count > 0 {
		b[final] = lastSubstructure
	}
	b[start+7] = byte(count)
	putLength(b[start:], len(b)-start)
	return b
}

func (t Transform) append(b []byte) []byte {
	if t.KeyBits < 0 || t.KeyBits > 0xffff {
		panic("wire: a key of " + strconv.Itoa(t.KeyBits) + " bits")
	}
	start := len(b)
	b = append(b, moreTransforms, 0, 0, 0, byte(t.Type), 0)
	b = binary.BigEndian.AppendUint16(b, t.ID)
	if t.KeyBits != 0 {
		b = binary.BigEndian.AppendUint16(b, attributeTV|keyLengthTag)
		b = binary.BigEndian.AppendUint16(b, uint16(t.KeyBits))
	}
	putLength(b[start:], len(b)-start)
	return b
}

func mark(last bool, more byte) byte {
	if last {
		return lastSubstructure
	}
	return more
}

func (p *SA) String() string {
	words := make([]string, len(p.Proposals))
	for i, proposal := range p.Proposals {
		words[i] = proposal.String()
	}
	return "SA(" + strings.Join(words, "; ") + ")"
}

func (p Proposal) String() string {
	text := strconv.Itoa(int(p.Number)) + " " + p.Protocol.String()
	if len(p.SPI) > 0 {
		text += " " + hexSPI(p.SPI)
	}
	for _, t := range p.Transforms {
		text += " " + t.String()
	}
	return text
}

// ChildSPI reads the SPI of an AH or ESP SA out of a [Proposal], a [Notify] or a [Delete]; ok is false for another size.
func ChildSPI(b []byte) (spi uint32, ok bool) {
	if len(b) != childSPI {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// IKESPI reads the SPI of an IKE SA out of a [Proposal]; ok is false for another size.
func IKESPI(b []byte) (spi uint64, ok bool) {
	if len(b) != ikeSPI {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// hexSPI is an SPI for people.
func hexSPI(b []byte) string { return "0x" + hex.EncodeToString(b) }
