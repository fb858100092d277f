package wire

import (
	"encoding/binary"
	"strconv"
)

const fragmentLen = 4 // of the numbers in an encrypted fragment

// Encrypted is an encrypted and authenticated payload, RFC 7296 section 3.14: the last one of its message.
type Encrypted struct {
	Inner  PayloadType // of the first payload inside
	Body   []byte      // IV, ciphertext and ICV
	Offset int         // of Body in the message; the message's octets before it are the associated data, RFC 5282 section 5.1
}

// Type is TypeEncrypted.
func (*Encrypted) Type() PayloadType { return TypeEncrypted }

func (p *Encrypted) appendBody(b []byte) []byte { return append(b, p.Body...) }

func (p *Encrypted) String() string { return "SK(" + octets(p.Body) + ")" }

// Fragment is an encrypted and authenticated fragment payload, RFC 7383 section 2.5: the last one of its message.
type Fragment struct {
	Inner         PayloadType // of the first payload inside the message; without meaning except in fragment 1
	Number, Total uint16
	Body          []byte // IV, ciphertext and ICV
	Offset        int    // of Body in the message; the message's octets before it are the associated data
}

// Type is TypeFragment.
func (*Fragment) Type() PayloadType { return TypeFragment }

func parseFragment(b []byte, inner PayloadType, offset int) (Payload, error) {
	if len(b) < fragmentLen {
		return nil, bad("cut short")
	}
	p := &Fragment{Inner: inner, Number: binary.BigEndian.Uint16(b), Total: binary.BigEndian.Uint16(b[2:])}
	if p.Number == 0 || p.Number > p.Total { // RFC 7383 section 2.6
		return nil, bad("its number is not within the total")
	}
	p.Body, p.Offset = b[fragmentLen:], offset+fragmentLen
	return p, nil
}

func (p *Fragment) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint16(b, p.Total)
	return append(b, p.Body...)
}

func (p *Fragment) String() string {
	return "SKF(" + strconv.Itoa(int(p.Number)) + "/" + strconv.Itoa(int(p.Total)) + ", " + octets(p.Body) + ")"
}

// AppendEncryptedStart writes the header of a message and the generic header of its one payload, SK, all but a body of
// n octets: what it writes is the associated data of that body.
func AppendEncryptedStart(b []byte, h Header, inner PayloadType, n int) []byte {
	h.Next, h.Length = TypeEncrypted, uint32(HeaderLen+genericLen+n)
	b = h.Append(b)
	start := len(b)
	b = append(b, byte(inner), 0, 0, 0)
	putLength(b[start:], genericLen+n)
	return b
}

// AppendFragmentStart is [AppendEncryptedStart] for a fragment; inner counts in fragment 1 only, RFC 7383 section 2.5.
func AppendFragmentStart(b []byte, h Header, inner PayloadType, number, total uint16, n int) []byte {
	if number != 1 {
		inner = NoPayload
	}
	h.Next, h.Length = TypeFragment, uint32(HeaderLen+genericLen+fragmentLen+n)
	b = h.Append(b)
	start := len(b)
	b = append(b, byte(inner), 0, 0, 0)
	putLength(b[start:], genericLen+fragmentLen+n)
	b = binary.BigEndian.AppendUint16(b, number)
	return binary.BigEndian.AppendUint16(b, total)
}
