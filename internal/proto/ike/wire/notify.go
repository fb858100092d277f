package wire

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
)

// Notify is a notify payload, RFC 7296 section 3.10.
type Notify struct {
	Protocol Protocol // of the SA that SPI names; NoProtocol without SPI
	SPI      []byte
	Kind     NotifyType
	Data     []byte
}

// Type is TypeNotify.
func (*Notify) Type() PayloadType { return TypeNotify }

func parseNotify(b []byte) (Payload, error) {
	if len(b) < 4 {
		return nil, bad("cut short")
	}
	spi := int(b[1])
	if spi > len(b)-4 {
		return nil, bad("the SPI is longer than the payload")
	}
	n := &Notify{Protocol: Protocol(b[0]), Kind: NotifyType(binary.BigEndian.Uint16(b[2:])), Data: b[4+spi:]}
	if spi > 0 {
		n.SPI = b[4 : 4+spi : 4+spi]
	}
	if n.Kind == RekeySA && (!n.Protocol.ofChild() || spi != childSPI) { // RFC 7296 section 1.3.3
		return nil, bad("REKEY_SA that names no child SA")
	}
	return n, nil
}

func (n *Notify) appendBody(b []byte) []byte {
	if len(n.SPI) > 0xff {
		panic("wire: an SPI of " + octets(n.SPI))
	}
	b = append(b, byte(n.Protocol), byte(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Kind))
	return append(append(b, n.SPI...), n.Data...)
}

func (n *Notify) String() string {
	words := []string{n.Kind.String()}
	if len(n.SPI) > 0 {
		words = append(words, n.Protocol.String()+" "+hexSPI(n.SPI))
	}
	if group, ok := n.Group(); ok {
		words = append(words, Transform{Type: TransformKE, ID: group}.String())
	} else if len(n.Data) > 0 {
		words = append(words, octets(n.Data))
	}
	return "N(" + strings.Join(words, ", ") + ")"
}

// Group returns the key exchange method that an INVALID_KE_PAYLOAD asks for, RFC 7296 section 1.3.
func (n *Notify) Group() (uint16, bool) {
	if n.Kind != InvalidKEPayload || len(n.Data) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(n.Data), true
}

// GroupData is the data of INVALID_KE_PAYLOAD.
func GroupData(group uint16) []byte { return binary.BigEndian.AppendUint16(nil, group) }

// MaxCookie is the most a COOKIE may hold, RFC 7296 section 2.6; it has at least one octet.
const MaxCookie = 64

// Cookie returns what a COOKIE holds; ok is false for another kind or a size that RFC 7296 section 2.6 forbids.
func (n *Notify) Cookie() (cookie []byte, ok bool) {
	ok = n.Kind == Cookie && len(n.Data) >= 1 && len(n.Data) <= MaxCookie
	if !ok {
		return nil, false
	}
	return n.Data, true
}

// NATHash returns the SHA-1 hash that a NAT_DETECTION_SOURCE_IP or NAT_DETECTION_DESTINATION_IP holds, RFC 7296 section
// 2.23.
func (n *Notify) NATHash() (hash []byte, ok bool) {
	ok = (n.Kind == NATDetectionSourceIP || n.Kind == NATDetectionDestinationIP) && len(n.Data) == natHashLen
	if !ok {
		return nil, false
	}
	return n.Data, true
}

const natHashLen = 20

// Lifetime returns the time after which an AUTH_LIFETIME wants to be authenticated anew, RFC 4478.
func (n *Notify) Lifetime() (time.Duration, bool) {
	if n.Kind != AuthLifetime || len(n.Data) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(n.Data)) * time.Second, true
}

// Address returns the address of an ADDITIONAL_IP4_ADDRESS or ADDITIONAL_IP6_ADDRESS, RFC 4555 section 4.2.
func (n *Notify) Address() (netip.Addr, bool) {
	size := 0
	switch n.Kind {
	case AdditionalIP4Address:
		size = 4
	case AdditionalIP6Address:
		size = 16
	default:
		return netip.Addr{}, false
	}
	if len(n.Data) != size {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(n.Data)
}

// Critical returns the payload type that an UNSUPPORTED_CRITICAL_PAYLOAD is about, RFC 7296 section 2.5.
func (n *Notify) Critical() (PayloadType, bool) {
	if n.Kind != UnsupportedCriticalPayload || len(n.Data) != 1 {
		return NoPayload, false
	}
	return PayloadType(n.Data[0]), true
}

// Hash algorithms of signatures, RFC 7427 section 7 and RFC 8420 section 2.
const (
	HashSHA1     = 1
	HashSHA256   = 2
	HashSHA384   = 3
	HashSHA512   = 4
	HashIdentity = 5 // of Ed25519 and Ed448, which hash by themselves
)

// Hashes returns the algorithms of a SIGNATURE_HASH_ALGORITHMS, RFC 7427 section 4.
func (n *Notify) Hashes() (hashes []uint16, ok bool) {
	if n.Kind != SignatureHashAlgorithms || len(n.Data) == 0 || len(n.Data)%2 != 0 {
		return nil, false
	}
	hashes = make([]uint16, 0, len(n.Data)/2)
	for b := n.Data; len(b) > 0; b = b[2:] {
		hashes = append(hashes, binary.BigEndian.Uint16(b))
	}
	return hashes, true
}

// HashData is the data of SIGNATURE_HASH_ALGORITHMS.
func HashData(hashes []uint16) []byte {
	b := make([]byte, 0, 2*len(hashes))
	for _, h := range hashes {
		b = binary.BigEndian.AppendUint16(b, h)
	}
	return b
}

// Kinds of PPK_IDENTITY, RFC 8784 section 5.1.
const (
	PPKOpaque = 1
	PPKFixed  = 2
)

// PPK returns the kind and the name of the key that a PPK_IDENTITY asks for, RFC 8784 section 5.1.
func (n *Notify) PPK() (kind uint8, name []byte, ok bool) {
	if n.Kind != PPKIdentity || len(n.Data) < 2 {
		return 0, nil, false
	}
	return n.Data[0], n.Data[1:], true
}
