package nhrp

import (
	"crypto/subtle"
	"encoding/binary"
	"strconv"
)

// maxExtensions bounds the extensions of one packet.
const maxExtensions = 64

const (
	extLen        = 4      // of an extension without value
	extCompulsory = 0x8000 // C
	extUnused     = 0x4000 // u
	extTypeMask   = 0x3fff
	extEnd        = 0
)

// ExtensionType is the 14-bit type of an extension.
type ExtensionType uint16

// Extension types of RFC 2332 section 5.3, Cisco's 9, and RFC 2520's 10.
const (
	ResponderAddress     ExtensionType = 3
	ForwardTransit       ExtensionType = 4
	ReverseTransit       ExtensionType = 5
	Authentication       ExtensionType = 7
	VendorPrivate        ExtensionType = 8
	NATAddress           ExtensionType = 9
	MobileAuthentication ExtensionType = 10
)

func (t ExtensionType) String() string {
	switch t {
	case ResponderAddress:
		return "responder address"
	case ForwardTransit:
		return "forward transit NHS record"
	case ReverseTransit:
		return "reverse transit NHS record"
	case Authentication:
		return "authentication"
	case VendorPrivate:
		return "vendor private"
	case NATAddress:
		return "NAT address"
	case MobileAuthentication:
		return "mobile NHC authentication"
	}
	return numbered("extension", int(t))
}

// Extension is one type-length-value of a packet's end.
type Extension struct {
	Type       ExtensionType
	Compulsory bool // C: a responder that does not know the type must refuse the packet
	U          bool // the unused bit, only carried through
	Value      []byte
}

// String tells the value's length but not the value, which may be a password.
func (e Extension) String() string {
	return e.Type.String() + " of " + strconv.Itoa(len(e.Value)) + " octets"
}

// Extension returns the first extension of the type, or nil.
func (p *Packet) Extension(t ExtensionType) *Extension {
	for i := range p.Extensions {
		if p.Extensions[i].Type == t {
			return &p.Extensions[i]
		}
	}
	return nil
}

// parseExtensions reads the list in b, which stands at an offset of its packet, up to the end marker. What follows
// the marker is nobody's and is ignored.
func parseExtensions(b []byte, at int) ([]Extension, *ParseError) {
	n, bad := countExtensions(b, at)
	if n == 0 || bad != nil {
		return nil, bad
	}
	exts := make([]Extension, n)
	for i := range exts {
		word := binary.BigEndian.Uint16(b)
		exts[i].Type = ExtensionType(word & extTypeMask)
		exts[i].Compulsory = word&extCompulsory != 0
		exts[i].U = word&extUnused != 0
		exts[i].Value, b = cut(b[extLen:], int(binary.BigEndian.Uint16(b[2:])))
	}
	return exts, nil
}

// countExtensions walks the list once, so that parseExtensions may index without looking and allocate once.
// The list must have an end marker, RFC 2332 section 5.3.
func countExtensions(b []byte, at int) (n int, bad *ParseError) {
	for len(b) >= extLen {
		size := extLen + int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < size {
			return 0, malformed(reasonExtension, at)
		}
		if binary.BigEndian.Uint16(b)&extTypeMask == extEnd {
			return n, nil
		}
		if n++; n > maxExtensions {
			return 0, malformed(reasonLimit, at)
		}
		b, at = b[size:], at+size
	}
	return 0, malformed(reasonExtension, at)
}

// appendExtensions appends the list and its end marker, which is compulsory like every RFC 2332 extension.
func appendExtensions(b []byte, exts []Extension) []byte {
	for i := range exts {
		b = exts[i].append(b)
	}
	return append(b, extCompulsory>>8, extEnd, 0, 0)
}

func (e *Extension) append(b []byte) []byte {
	word := uint16(e.Type) & extTypeMask
	if e.Compulsory {
		word |= extCompulsory
	}
	if e.U {
		word |= extUnused
	}
	b = binary.BigEndian.AppendUint16(b, word)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Value)))
	return append(b, e.Value...)
}

// authClearText is the authentication type that Cisco sends: four octets, then the password as it is.
const (
	authClearText = 1
	authTypeLen   = 4
)

// AuthenticationExtension is the extension that carries a clear text password as Cisco does.
func AuthenticationExtension(password string) Extension {
	value := make([]byte, 0, authTypeLen+len(password))
	value = binary.BigEndian.AppendUint32(value, authClearText)
	return Extension{Type: Authentication, Compulsory: true, Value: append(value, password...)}
}

// Password is what a clear text authentication extension carries; false for any other extension.
func (e Extension) Password() (string, bool) {
	secret, ok := e.secret()
	return string(secret), ok
}

func (e *Extension) secret() ([]byte, bool) {
	if e.Type != Authentication || len(e.Value) <= authTypeLen || binary.BigEndian.Uint32(e.Value) != authClearText {
		return nil, false
	}
	return e.Value[authTypeLen:], true
}

// Authentic reports whether the packet carries the password: in one authentication extension, not in one of several.
// Where no password is asked for ("") every packet is authentic. The comparison takes a time that does not tell
// which octet differs.
func (p *Packet) Authentic(password string) bool {
	if password == "" {
		return true
	}
	found, match := 0, 0
	for i := range p.Extensions {
		if p.Extensions[i].Type != Authentication {
			continue
		}
		found++
		if secret, ok := p.Extensions[i].secret(); ok {
			match += subtle.ConstantTimeCompare(secret, []byte(password))
		}
	}
	return found == 1 && match == 1
}
