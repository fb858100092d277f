package wire

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// PayloadType is the kind of a payload, RFC 7296 section 3.2.
type PayloadType uint8

// Payload types of RFC 7296 section 3.2 and RFC 7383. Those of IKEv1, 1 to 32, are unknown here.
const (
	NoPayload       PayloadType = 0
	TypeSA          PayloadType = 33
	TypeKE          PayloadType = 34
	TypeIDi         PayloadType = 35
	TypeIDr         PayloadType = 36
	TypeCert        PayloadType = 37
	TypeCertReq     PayloadType = 38
	TypeAuth        PayloadType = 39
	TypeNonce       PayloadType = 40
	TypeNotify      PayloadType = 41
	TypeDelete      PayloadType = 42
	TypeVendor      PayloadType = 43
	TypeTSi         PayloadType = 44
	TypeTSr         PayloadType = 45
	TypeEncrypted   PayloadType = 46
	TypeConfig      PayloadType = 47
	TypeEAP         PayloadType = 48
	TypeFragment    PayloadType = 53
	firstKnown                  = TypeSA
	onlyOnce        uint64      = 1<<TypeSA | 1<<TypeKE | 1<<TypeIDi | 1<<TypeIDr | 1<<TypeAuth | 1<<TypeNonce | 1<<TypeTSi | 1<<TypeTSr
	genericLen                  = 4
	criticalBit                 = 0x80
	maxPayloadOctet             = 0xffff
)

// MaxPayloads bounds the payloads of a message, unknown ones among them.
const MaxPayloads = 64

var payloadNames = map[PayloadType]string{
	NoPayload: "none", TypeSA: "SA", TypeKE: "KE", TypeIDi: "IDi", TypeIDr: "IDr", TypeCert: "CERT", TypeCertReq: "CERTREQ",
	TypeAuth: "AUTH", TypeNonce: "Nonce", TypeNotify: "N", TypeDelete: "D", TypeVendor: "V", TypeTSi: "TSi", TypeTSr: "TSr",
	TypeEncrypted: "SK", TypeConfig: "CP", TypeEAP: "EAP", TypeFragment: "SKF",
}

// String is the RFC's notation for the payload.
func (t PayloadType) String() string {
	if name, known := payloadNames[t]; known {
		return name
	}
	return strconv.Itoa(int(t))
}

// sealed reports whether a payload of the type holds ciphertext, and so ends its message.
func (t PayloadType) sealed() bool { return t == TypeEncrypted || t == TypeFragment }

// Payload is one of the payloads of this package, always as a pointer: [*SA], [*KE], [*ID], [*Cert], [*CertReq], [*Auth],
// [*Nonce], [*Notify], [*Delete], [*Vendor], [*TS], [*Encrypted], [*Fragment] and [*Opaque].
type Payload interface {
	Type() PayloadType
	String() string // one line without secrets
	appendBody(b []byte) []byte
}

// Payloads is the chain of payloads of a message, in order.
type Payloads []Payload

// ParsePayloads reads the payloads that follow the header of a message; first is the header's Next. What it returns
// are views into b. Unknown payloads are left out, or are a [*CriticalError]; all else is a [*SyntaxError].
func ParsePayloads(first PayloadType, b []byte) (Payloads, error) {
	return parseChain(first, b, HeaderLen)
}

// ParseInner reads the payloads that were in an [*Encrypted] or in its fragments, where no second one may be.
func ParseInner(first PayloadType, b []byte) (Payloads, error) {
	p, err := parseChain(first, b, 0)
	if err == nil && len(p) > 0 && p[len(p)-1].Type().sealed() {
		return nil, &SyntaxError{Payload: p[len(p)-1].Type(), Reason: "encrypted payload in an encrypted payload"}
	}
	return p, err
}

// parseChain walks the generic headers of RFC 7296 section 3.2. base is where b begins in the message.
func parseChain(next PayloadType, b []byte, base int) (Payloads, error) {
	var payloads Payloads
	var seen uint64
	at := 0
	for count := 0; next != NoPayload; count++ {
		kind := next
		size, err := payloadSize(b[at:], count)
		if err == nil && onlyOnce&seen&kind.bit() != 0 {
			err = bad("a second one")
		}
		if err != nil {
			return nil, located(err, kind, base+at)
		}
		payload, err := parsePayload(kind, b[at:at+size], base+at)
		if err != nil {
			return nil, located(err, kind, base+at)
		}
		if payload != nil {
			payloads = append(payloads, payload)
		}
		seen |= kind.bit()
		next = PayloadType(b[at])
		at += size
		if kind.sealed() {
			next = NoPayload // it was the type of the first payload inside
		}
	}
	if at != len(b) {
		return nil, &SyntaxError{Offset: base + at, Reason: "octets after the last payload"}
	}
	return payloads, nil
}

// bit is the type's place in a set of the known types.
func (t PayloadType) bit() uint64 {
	if t >= 64 {
		return 0
	}
	return 1 << t
}

// payloadSize is the length of the payload that b begins with, of which count come before it.
func payloadSize(b []byte, count int) (int, error) {
	if count >= MaxPayloads {
		return 0, bad("more than " + strconv.Itoa(MaxPayloads) + " payloads")
	}
	if len(b) < genericLen {
		return 0, bad("announced but not there")
	}
	size := int(binary.BigEndian.Uint16(b[2:]))
	if size < genericLen || size > len(b) {
		return 0, bad("its length does not fit the message")
	}
	return size, nil
}

// located says where a parser of one payload failed.
func located(err error, kind PayloadType, offset int) error {
	if e, ok := err.(*SyntaxError); ok {
		e.Payload, e.Offset = kind, offset
	}
	return err
}

// parsePayload reads one payload with its generic header; it is nil when unknown and not critical.
func parsePayload(kind PayloadType, b []byte, offset int) (Payload, error) {
	body := b[genericLen:]
	switch kind {
	case TypeSA:
		return parseSA(body)
	case TypeKE:
		return parseKE(body)
	case TypeIDi, TypeIDr:
		return parseID(body, kind == TypeIDi)
	case TypeCert:
		return parseCert(body)
	case TypeCertReq:
		return parseCertReq(body)
	case TypeAuth:
		return parseAuth(body)
	case TypeNonce:
		return parseNonce(body)
	case TypeNotify:
		return parseNotify(body)
	case TypeDelete:
		return parseDelete(body)
	case TypeVendor:
		return &Vendor{Data: body}, nil
	case TypeTSi, TypeTSr:
		return parseTS(body, kind == TypeTSi)
	case TypeConfig, TypeEAP:
		return &Opaque{Kind: kind, Data: body}, nil
	case TypeEncrypted:
		return &Encrypted{Inner: PayloadType(b[0]), Body: body, Offset: offset + genericLen}, nil
	case TypeFragment:
		return parseFragment(body, PayloadType(b[0]), offset+genericLen)
	}
	if b[1]&criticalBit != 0 {
		return nil, &CriticalError{Type: kind}
	}
	return nil, nil
}

// AppendPayloads writes the chain with its generic headers, the critical bit clear as RFC 7296 section 2.5 wants it
// for the types of the RFC. A payload that is too long for its length field is the caller's bug and panics.
func AppendPayloads(b []byte, p Payloads) []byte {
	for i, payload := range p {
		next := p[i+1:].First()
		switch x := payload.(type) {
		case *Encrypted:
			next = x.Inner
		case *Fragment:
			next = x.Inner
		}
		start := len(b)
		b = payload.appendBody(append(b, byte(next), 0, 0, 0))
		putLength(b[start:], len(b)-start)
	}
	return b
}

// putLength fills in the length that a substructure or a payload has in its third and fourth octet.
func putLength(b []byte, n int) {
	if n > maxPayloadOctet {
		panic("wire: " + strconv.Itoa(n) + " octets in one payload")
	}
	binary.BigEndian.PutUint16(b[2:], uint16(n))
}

// First is the type of the first payload, for the header before them.
func (p Payloads) First() PayloadType {
	if len(p) == 0 {
		return NoPayload
	}
	return p[0].Type()
}

// Get returns the first payload of T, as in Get[*KE](p), or nil.
func Get[T Payload](p Payloads) T {
	for _, payload := range p {
		if t, ok := payload.(T); ok {
			return t
		}
	}
	var none T
	return none
}

// All returns the payloads of T in their order, as in All[*Cert](p).
func All[T Payload](p Payloads) []T {
	var all []T
	for _, payload := range p {
		if t, ok := payload.(T); ok {
			all = append(all, t)
		}
	}
	return all
}

// ID returns IDi or IDr, or nil.
func (p Payloads) ID(initiator bool) *ID {
	for _, payload := range p {
		if id, ok := payload.(*ID); ok && id.Initiator == initiator {
			return id
		}
	}
	return nil
}

// TS returns TSi or TSr, or nil.
func (p Payloads) TS(initiator bool) *TS {
	for _, payload := range p {
		if ts, ok := payload.(*TS); ok && ts.Initiator == initiator {
			return ts
		}
	}
	return nil
}

// Notify returns the first notify of the kind, or nil.
func (p Payloads) Notify(kind NotifyType) *Notify {
	for _, payload := range p {
		if n, ok := payload.(*Notify); ok && n.Kind == kind {
			return n
		}
	}
	return nil
}

// Notifies returns all notifies in their order.
func (p Payloads) Notifies() []*Notify { return All[*Notify](p) }

// Error returns the first notify of an error kind, or nil.
func (p Payloads) Error() *Notify {
	for _, payload := range p {
		if n, ok := payload.(*Notify); ok && n.Kind.IsError() {
			return n
		}
	}
	return nil
}

// String is the chain in one line, for `monitor`; it holds no key material, nonce, cookie or authenticator.
func (p Payloads) String() string {
	words := make([]string, len(p))
	for i, payload := range p {
		words[i] = payload.String()
	}
	return strings.Join(words, " ")
}
