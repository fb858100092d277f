package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// KE is a key exchange payload, RFC 7296 section 3.4.
type KE struct {
	Group uint16 // key exchange method, transform type 4
	Data  []byte
}

// Type is TypeKE.
func (*KE) Type() PayloadType { return TypeKE }

func parseKE(b []byte) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	if len(b) == 4 {
		return nil, bad("no public value")
	}
	return &KE{Group: binary.BigEndian.Uint16(b), Data: b[4:]}, nil
}

func (p *KE) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Group)
	return append(append(b, 0, 0), p.Data...)
}

func (p *KE) String() string {
	return "KE(" + Transform{Type: TransformKE, ID: p.Group}.String() + ", " + octets(p.Data) + ")"
}

// Identification types of RFC 7296 section 3.5, and of RFC 7619.
const (
	IDIPv4  = 1
	IDFQDN  = 2
	IDEmail = 3
	IDIPv6  = 5
	IDDN    = 9
	IDKeyID = 11
	IDNull  = 13
)

// ID is IDi or IDr, RFC 7296 section 3.5.
type ID struct {
	Initiator bool // IDi, else IDr
	IDType    uint8
	Reserved  [3]byte // to ignore, but AUTH covers what was sent: section 2.15
	Data      []byte
}

// Type is TypeIDi or TypeIDr.
func (p *ID) Type() PayloadType {
	if p.Initiator {
		return TypeIDi
	}
	return TypeIDr
}

func parseID(b []byte, initiator bool) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	return &ID{Initiator: initiator, IDType: b[0], Reserved: [3]byte(b[1:4]), Data: b[4:]}, nil
}

// AppendBody writes the octets that AUTH covers, RestOfInitIDPayload or RestOfRespIDPayload of RFC 7296 section 2.15.
func (p *ID) AppendBody(b []byte) []byte { return p.appendBody(b) }

func (p *ID) appendBody(b []byte) []byte {
	b = append(append(b, p.IDType), p.Reserved[:]...)
	return append(b, p.Data...)
}

func (p *ID) String() string { return p.Type().String() + "(" + p.text() + ")" }

func (p *ID) text() string {
	switch p.IDType {
	case IDIPv4, IDIPv6:
		if a, ok := netip.AddrFromSlice(p.Data); ok {
			return a.String()
		}
	case IDFQDN, IDEmail:
		if utf8.Valid(p.Data) && len(p.Data) <= 255 {
			return strconv.Quote(string(p.Data))
		}
	}
	return "type " + strconv.Itoa(int(p.IDType)) + ", " + octets(p.Data)
}

// Certificate encodings of RFC 7296 section 3.6.
const (
	EncodingX509    = 4
	EncodingCRL     = 7
	EncodingHashURL = 12
	EncodingOCSP    = 14
)

// Cert is a certificate payload, RFC 7296 section 3.6.
type Cert struct {
	Encoding uint8
	Data     []byte
}

// Type is TypeCert.
func (*Cert) Type() PayloadType { return TypeCert }

func parseCert(b []byte) (Payload, error) {
	if len(b) < 2 {
		return nil, bad("no certificate")
	}
	return &Cert{Encoding: b[0], Data: b[1:]}, nil
}

func (p *Cert) appendBody(b []byte) []byte { return append(append(b, p.Encoding), p.Data...) }

func (p *Cert) String() string {
	return "CERT(encoding " + strconv.Itoa(int(p.Encoding)) + ", " + octets(p.Data) + ")"
}

// CertReq is a certificate request payload, RFC 7296 section 3.7.
type CertReq struct {
	Encoding uint8
	Data     []byte
}

// Type is TypeCertReq.
func (*CertReq) Type() PayloadType { return TypeCertReq }

func parseCertReq(b []byte) (Payload, error) {
	if len(b) < 1 {
		return nil, bad("cut short")
	}
	return &CertReq{Encoding: b[0], Data: b[1:]}, nil
}

const authorityLen = 20

// Authorities returns the SHA-1 hashes of the authorities' public keys that encoding X509 lists; ok is false when the
// encoding is another or the list is cut.
func (p *CertReq) Authorities() (list [][]byte, ok bool) {
	if p.Encoding != EncodingX509 || len(p.Data)%authorityLen != 0 {
		return nil, false
	}
	list = make([][]byte, 0, len(p.Data)/authorityLen)
	for b := p.Data; len(b) > 0; b = b[authorityLen:] {
		list = append(list, b[:authorityLen:authorityLen])
	}
	return list, true
}

func (p *CertReq) appendBody(b []byte) []byte { return append(append(b, p.Encoding), p.Data...) }

func (p *CertReq) String() string {
	return "CERTREQ(encoding " + strconv.Itoa(int(p.Encoding)) + ", " + octets(p.Data) + ")"
}

// Authentication methods of RFC 7296 section 3.8, RFC 4754, RFC 7619 and RFC 7427.
const (
	MethodRSA       = 1
	MethodPSK       = 2
	MethodECDSA256  = 9
	MethodECDSA384  = 10
	MethodECDSA521  = 11
	MethodNull      = 13
	MethodSignature = 14
)

// Auth is an authentication payload, RFC 7296 section 3.8.
type Auth struct {
	Method uint8
	Data   []byte
}

// Type is TypeAuth.
func (*Auth) Type() PayloadType { return TypeAuth }

func parseAuth(b []byte) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	return &Auth{Method: b[0], Data: b[4:]}, nil
}

func (p *Auth) appendBody(b []byte) []byte { return append(append(b, p.Method, 0, 0, 0), p.Data...) }

func (p *Auth) String() string {
	return "AUTH(method " + strconv.Itoa(int(p.Method)) + ", " + octets(p.Data) + ")"
}

// Sizes of a nonce, RFC 7296 section 3.9.
const (
	MinNonce = 16
	MaxNonce = 256
)

// Nonce is a nonce payload, RFC 7296 section 3.9.
type Nonce struct{ Data []byte }

// Type is TypeNonce.
func (*Nonce) Type() PayloadType { return TypeNonce }

func parseNonce(b []byte) (Payload, error) {
	if len(b) < MinNonce || len(b) > MaxNonce {
		return nil, bad("not of 16 to 256 octets")
	}
	return &Nonce{Data: b}, nil
}

func (p *Nonce) appendBody(b []byte) []byte { return append(b, p.Data...) }

func (p *Nonce) String() string { return "Nonce(" + octets(p.Data) + ")" }

// Delete is a delete payload, RFC 7296 section 3.11: of the IKE SA, then without SPIs, or of AH or ESP SAs.
type Delete struct {
	Protocol Protocol
	SPIs     [][]byte // of 4 octets each, the sender's inbound ones
}

// Type is TypeDelete.
func (*Delete) Type() PayloadType { return TypeDelete }

func parseDelete(b []byte) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	p := &Delete{Protocol: Protocol(b[0])}
	size, count := int(b[1]), int(binary.BigEndian.Uint16(b[2:]))
	b = b[4:]
	switch {
	case p.Protocol != ProtocolIKE && !p.Protocol.ofChild():
		return nil, bad("unknown protocol")
	case p.Protocol == ProtocolIKE && (size != 0 || count != 0):
		return nil, bad("SPIs with the IKE SA")
	case p.Protocol.ofChild() && size != childSPI:
		return nil, bad("SPIs that are not of 4 octets")
	case len(b) != size*count:
		return nil, bad("its length is not that of its SPIs")
	}
	if count > 0 {
		p.SPIs = make([][]byte, 0, count)
	}
	for ; len(b) > 0; b = b[childSPI:] {
		p.SPIs = append(p.SPIs, b[:childSPI:childSPI])
	}
	return p, nil
}

func (p *Delete) appendBody(b []byte) []byte {
	size := 0
	if p.Protocol.ofChild() {
		size = childSPI
	}
	b = append(b, byte(p.Protocol), byte(size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.SPIs)))
	for _, spi := range p.SPIs {
		if len(spi) != size {
			panic("wire: an SPI of " + octets(spi) + " to delete")
		}
		b = append(b, spi...)
	}
	return b
}

func (p *Delete) String() string {
	text := "D(" + p.Protocol.String()
	for _, spi := range p.SPIs {
		text += " " + hexSPI(spi)
	}
	return text + ")"
}

// Vendor is a vendor id payload, RFC 7296 section 3.12.
type Vendor struct{ Data []byte }

// Type is TypeVendor.
func (*Vendor) Type() PayloadType { return TypeVendor }

func (p *Vendor) appendBody(b []byte) []byte { return append(b, p.Data...) }

func (p *Vendor) String() string { return "V(" + octets(p.Data) + ")" }

// Opaque is a configuration or an EAP payload, RFC 7296 sections 3.15 and 3.16: known to be there, not understood.
type Opaque struct {
	Kind PayloadType // TypeConfig or TypeEAP
	Data []byte
}

// Type is the payload's own.
func (p *Opaque) Type() PayloadType { return p.Kind }

func (p *Opaque) appendBody(b []byte) []byte { return append(b, p.Data...) }

func (p *Opaque) String() string { return p.Kind.String() + "(" + octets(p.Data) + ")" }

// octets is the size of what is not shown.
func octets(b []byte) string {
	if len(b) == 1 {
		return "1 octet"
	}
	return strconv.Itoa(len(b)) + " octets"
}
