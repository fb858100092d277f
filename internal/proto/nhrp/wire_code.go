package nhrp

import "strconv"

// Type is ar$op.type, the kind of a packet.
type Type uint8

// Packet types of RFC 2332 section 5.2, and Cisco's redirect, which no RFC has.
const (
	ResolutionRequest   Type = 1
	ResolutionReply     Type = 2
	RegistrationRequest Type = 3
	RegistrationReply   Type = 4
	PurgeRequest        Type = 5
	PurgeReply          Type = 6
	ErrorIndication     Type = 7
	TrafficIndication   Type = 8
)

var typeWords = [...]string{
	ResolutionRequest:   "resolution request",
	ResolutionReply:     "resolution reply",
	RegistrationRequest: "registration request",
	RegistrationReply:   "registration reply",
	PurgeRequest:        "purge request",
	PurgeReply:          "purge reply",
	ErrorIndication:     "error indication",
	TrafficIndication:   "traffic indication",
}

func (t Type) known() bool { return t >= ResolutionRequest && t <= TrafficIndication }

// listsClients reports whether the mandatory part ends in CIEs; otherwise it ends in a packet.
func (t Type) listsClients() bool { return t < ErrorIndication }

func (t Type) String() string {
	if t.known() {
		return typeWords[t]
	}
	return numbered("type", int(t))
}

// Flags is the flag word of the mandatory part. What a bit means depends on the packet type.
type Flags uint16

// Flags of resolutions (RFC 2332 sections 5.2.1 and 5.2.2), registrations (5.2.3), purges (5.2.5), and Cisco's for all.
const (
	ResolutionRouter        Flags = 0x8000 // Q: the source is a router
	ResolutionAuthoritative Flags = 0x4000 // A: an authoritative answer is wanted, or given
	ResolutionStable        Flags = 0x2000 // D: the binding of the destination is stable
	ResolutionUnique        Flags = 0x1000 // U: only a unique binding is wanted, or given
	ResolutionSourceStable  Flags = 0x0800 // S: the binding of the source is stable
	RegistrationUnique      Flags = 0x8000 // U: no second binding beside this one
	PurgeNoReply            Flags = 0x8000 // N: no reply wanted
	NATAware                Flags = 0x0002 // the sender understands the NAT address extension
)

// Code is the result a client information entry carries, RFC 2332 section 5.2.0.1.
type Code uint8

// Codes of a CIE.
const (
	Success               Code = 0
	AdminProhibited       Code = 4
	InsufficientResources Code = 5
	NoBinding             Code = 12
	BindingNotUnique      Code = 13
	UniqueRegistered      Code = 14
)

// noBindingFRR is what FRR and opennhrp send for [NoBinding].
const noBindingFRR Code = 11

// NoBindingLike reports whether c says that there is no binding, in the RFC's number or the one that FRR sends.
func NoBindingLike(c Code) bool { return c == NoBinding || c == noBindingFRR }

func (c Code) String() string {
	switch c {
	case Success:
		return "success"
	case AdminProhibited:
		return "administratively prohibited"
	case InsufficientResources:
		return "insufficient resources"
	case NoBinding, noBindingFRR:
		return "no binding"
	case BindingNotUnique:
		return "binding not unique"
	case UniqueRegistered:
		return "unique address already registered"
	}
	return numbered("code", int(c))
}

// ErrorCode is what an error indication complains of.
type ErrorCode uint16

// Error codes of RFC 2332 section 5.2.7 and, the last two, of RFC 2735.
const (
	UnrecognizedExtension      ErrorCode = 1
	LoopDetected               ErrorCode = 3
	ProtocolAddressUnreachable ErrorCode = 6
	ProtocolError              ErrorCode = 7
	SDUSizeExceeded            ErrorCode = 8
	InvalidExtension           ErrorCode = 9
	InvalidResolutionReply     ErrorCode = 10
	AuthenticationFailure      ErrorCode = 11
	HopCountExceeded           ErrorCode = 15
	VPNMismatch                ErrorCode = 16
	VPNUnsupported             ErrorCode = 17
)

// loopDetectedFRR is what FRR and opennhrp send for [LoopDetected].
const loopDetectedFRR ErrorCode = 2

// IsLoop reports whether e says that a loop was detected, in the RFC's number or the one that FRR sends.
func (e ErrorCode) IsLoop() bool { return e == LoopDetected || e == loopDetectedFRR }

func (e ErrorCode) String() string {
	switch e {
	case UnrecognizedExtension:
		return "unrecognized extension"
	case LoopDetected, loopDetectedFRR:
		return "loop detected"
	case ProtocolAddressUnreachable:
		return "protocol address unreachable"
	case ProtocolError:
		return "protocol error"
	case SDUSizeExceeded:
		return "SDU size exceeded"
	case InvalidExtension:
		return "invalid extension"
	case InvalidResolutionReply:
		return "invalid resolution reply"
	case AuthenticationFailure:
		return "authentication failure"
	case HopCountExceeded:
		return "hop count exceeded"
	case VPNMismatch:
		return "VPN mismatch"
	case VPNUnsupported:
		return "VPN unsupported"
	}
	return numbered("error", int(e))
}

func numbered(what string, n int) string { return what + " " + strconv.Itoa(n) }
