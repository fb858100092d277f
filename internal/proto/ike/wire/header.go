package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// HeaderLen is the size of the IKE header, RFC 7296 section 3.1.
const HeaderLen = 28

const (
	majorVersion = 2
	atNext       = 16
	atVersion    = 17
	atExchange   = 18
	atFlags      = 19
	atMessageID  = 20
	atLength     = 24
)

// Header is the IKE header, RFC 7296 section 3.1.
type Header struct {
	SPIi, SPIr uint64 // of the initiator and of the responder of the IKE SA
	Next       PayloadType
	Major      uint8 // [Header.Append] writes 2 for 0
	Minor      uint8
	Exchange   Exchange
	Flags      Flags
	MessageID  uint32
	Length     uint32 // of the whole message
}

// Exchange is the kind of an exchange, RFC 7296 section 3.1.
type Exchange uint8

// Exchanges of RFC 7296, of RFC 9242 and of RFC 9370.
const (
	SAInit        Exchange = 34
	IKEAuth       Exchange = 35
	CreateChildSA Exchange = 36
	Informational Exchange = 37
	Intermediate  Exchange = 43
	FollowupKE    Exchange = 44
)

// String is the name the RFC gives the exchange.
func (e Exchange) String() string {
	switch e {
	case SAInit:
		return "IKE_SA_INIT"
	case IKEAuth:
		return "IKE_AUTH"
	case CreateChildSA:
		return "CREATE_CHILD_SA"
	case Informational:
		return "INFORMATIONAL"
	case Intermediate:
		return "IKE_INTERMEDIATE"
	case FollowupKE:
		return "IKE_FOLLOWUP_KE"
	}
	return "exchange " + strconv.Itoa(int(e))
}

// Flags is the flags octet of the header. Bits without a name are ignored, RFC 7296 section 3.1.
type Flags uint8

// Flags of RFC 7296 section 3.1.
const (
	Initiator Flags = 0x08 // I: sent by the original initiator of the IKE SA
	Version   Flags = 0x10 // V: the sender can speak a higher major version
	Response  Flags = 0x20 // R: the answer to the request of the same message id
)

// ParseHeader reads the header of the message that b holds, and nothing but it. Together with a [*VersionError] or an
// [*OldVersionError] the header is returned, for an answer.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, &SyntaxError{Offset: len(b), Reason: "the header is cut short"}
	}
	h := Header{
		SPIi:      binary.BigEndian.Uint64(b),
		SPIr:      binary.BigEndian.Uint64(b[8:]),
		Next:      PayloadType(b[atNext]),
		Major:     b[atVersion] >> 4,
		Minor:     b[atVersion] & 15,
		Exchange:  Exchange(b[atExchange]),
		Flags:     Flags(b[atFlags]),
		MessageID: binary.BigEndian.Uint32(b[atMessageID:]),
		Length:    binary.BigEndian.Uint32(b[atLength:]),
	}
	return h, h.check(len(b))
}

// check holds the header against a datagram of size octets. The version comes first: what follows it may mean
// something else in another one.
func (h Header) check(size int) error {
	switch {
	case h.Major > majorVersion:
		return &VersionError{Major: h.Major}
	case h.Major < majorVersion:
		return &OldVersionError{Major: h.Major}
	case uint64(h.Length) != uint64(size):
		return &SyntaxError{Offset: atLength, Reason: "the length is not that of the datagram"}
	case h.SPIi == 0: // RFC 7296 section 3.1: MUST NOT be zero
		return &SyntaxError{Reason: "the initiator's SPI is zero"}
	}
	return nil
}

// Append writes the header as it is, with version 2.0 where Major is 0.
func (h Header) Append(b []byte) []byte {
	major := h.Major
	if major == 0 {
		major = majorVersion
	}
	b = binary.BigEndian.AppendUint64(b, h.SPIi)
	b = binary.BigEndian.AppendUint64(b, h.SPIr)
	b = append(b, byte(h.Next), major<<4|h.Minor&15, byte(h.Exchange), byte(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}

// AppendMessage writes a message in the clear: the header, with its Next and Length made right, and the payloads.
func AppendMessage(b []byte, h Header, p Payloads) []byte {
	start := len(b)
	h.Next = p.First()
	b = AppendPayloads(h.Append(b), p)
	binary.BigEndian.PutUint32(b[start+atLength:], uint32(len(b)-start))
	return b
}

// String is one line for a trace: the exchange, the direction, the message id and the SPIs.
func (h Header) String() string {
	kind, from := "request", "responder"
	if h.Flags&Response != 0 {
		kind = "response"
	}
	if h.Flags&Initiator != 0 {
		from = "initiator"
	}
	return fmt.Sprintf("%s %s %d from %s, SPIs %016x_%016x", h.Exchange, kind, h.MessageID, from, h.SPIi, h.SPIr)
}
