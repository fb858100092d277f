package wire

import "strconv"

// VersionError is a message of a major version above 2, which RFC 7296 section 2.5 answers with
// INVALID_MAJOR_VERSION.
type VersionError struct{ Major uint8 }

func (e *VersionError) Error() string {
	return "IKE message of version " + strconv.Itoa(int(e.Major)) + ", which is above 2"
}

// OldVersionError is a message of IKEv1 or below; its payloads mean something else and are not looked at.
type OldVersionError struct{ Major uint8 }

func (e *OldVersionError) Error() string {
	return "IKE message of version " + strconv.Itoa(int(e.Major)) + "; set the peer to IKEv2"
}

// CriticalError is a payload that the sender calls critical and that we do not know, which RFC 7296 section 2.5
// answers with UNSUPPORTED_CRITICAL_PAYLOAD, if the message is authentic.
type CriticalError struct{ Type PayloadType }

func (e *CriticalError) Error() string {
	return "critical IKE payload of unknown type " + e.Type.String()
}

// SyntaxError is a malformed message, which RFC 7296 section 2.21 answers with INVALID_SYNTAX, if it is authentic.
type SyntaxError struct {
	Payload PayloadType // the one that is wrong; 0 when it is the message
	Offset  int         // of that payload, or of the wrong octet of the header; within the message, or the inner payloads
	Reason  string
}

func (e *SyntaxError) Error() string {
	text := "malformed IKE message: "
	if e.Payload != NoPayload {
		text += e.Payload.String() + " payload: "
	}
	return text + e.Reason + " (at octet " + strconv.Itoa(e.Offset) + ")"
}

// bad is the error of a parser of one payload, which knows neither its type nor its place.
func bad(reason string) error { return &SyntaxError{Reason: reason} }
