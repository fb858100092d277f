package wire

import (
	"encoding/binary"
	"strconv"
)

// Hello finds neighbours and keeps them, RFC 2328 A.3.2 and RFC 5340 A.3.2.
type Hello struct {
	Mask        uint32 // v2: of the interface; 0 on unnumbered and virtual links
	InterfaceID uint32 // v3
	Interval    uint16 // seconds
	Options     Options
	Priority    uint8
	Dead        uint32     // seconds; 16 bits in v3
	DR, BDR     uint32     // v2: addresses of their interfaces; v3: router IDs
	Neighbors   []RouterID // heard of in the last Dead seconds
}

// Flags of a [DatabaseDescription].
const (
	DDMaster uint8 = 0x01 // MS
	DDMore   uint8 = 0x02 // M
	DDInit   uint8 = 0x04 // I
	DDM6     uint8 = 0x10 // v3: MTU is that of IPv6 though the routes are IPv4, RFC 5838 section 2.7
)

// DatabaseDescription lists what its sender has, RFC 2328 A.3.3 and RFC 5340 A.3.3.
type DatabaseDescription struct {
	MTU      uint16 // octets of the largest packet that the interface sends whole; 0 on virtual links
	Options  Options
	Flags    uint8
	Sequence uint32
	Headers  []LSAHeader
}

// Request asks for LSAs, RFC 2328 A.3.4.
type Request struct{ Keys []LSAKey }

// Update floods LSAs, RFC 2328 A.3.5. Each is written with the age of its header, whatever Raw says.
type Update struct{ LSAs []LSA }

// Ack acknowledges LSAs, RFC 2328 A.3.6.
type Ack struct{ Headers []LSAHeader }

func (*Hello) Type() PacketType               { return TypeHello }
func (*DatabaseDescription) Type() PacketType { return TypeDatabaseDescription }
func (*Request) Type() PacketType             { return TypeRequest }
func (*Update) Type() PacketType              { return TypeUpdate }
func (*Ack) Type() PacketType                 { return TypeAck }

func parseBody(v Version, t PacketType, b []byte) (Body, error) {
	switch t {
	case TypeHello:
		return parseHello(v, b)
	case TypeDatabaseDescription:
		return parseDatabaseDescription(v, b)
	case TypeRequest:
		return parseRequest(v, b)
	case TypeUpdate:
		return parseUpdate(v, b)
	case TypeAck:
		headers, err := parseHeaders(v, b)
		return &Ack{Headers: headers}, err
	}
	return nil, bad(ReasonType, strconv.Itoa(int(t)))
}

func parseHello(v Version, b []byte) (Body, error) {
	if len(b) < 20 || len(b)%4 != 0 {
		return nil, bad(ReasonLength, "of a Hello")
	}
	h := &Hello{DR: binary.BigEndian.Uint32(b[12:]), BDR: binary.BigEndian.Uint32(b[16:]), Neighbors: parseRouters(b[20:])}
	if v == V2 {
		h.Mask, h.Interval = binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:])
		h.Options, h.Priority, h.Dead = optionsV2(b[6]), b[7], binary.BigEndian.Uint32(b[8:])
		return h, nil
	}
	h.InterfaceID, h.Priority, h.Options = binary.BigEndian.Uint32(b), b[4], options24(b[4:])
	h.Interval, h.Dead = binary.BigEndian.Uint16(b[8:]), uint32(binary.BigEndian.Uint16(b[10:]))
	return h, nil
}

func (h *Hello) append(b []byte, v Version) []byte {
	if v == V2 {
		b = binary.BigEndian.AppendUint32(b, h.Mask)
		b = binary.BigEndian.AppendUint16(b, h.Interval)
		b = binary.BigEndian.AppendUint32(append(b, h.Options.octet(), h.Priority), h.Dead)
	} else {
		b = binary.BigEndian.AppendUint32(b, h.InterfaceID)
		b = append24(b, h.Priority, uint32(h.Options))
		b = binary.BigEndian.AppendUint16(b, h.Interval)
		b = binary.BigEndian.AppendUint16(b, uint16(min(h.Dead, 0xffff)))
	}
	b = binary.BigEndian.AppendUint32(b, h.DR)
	b = binary.BigEndian.AppendUint32(b, h.BDR)
	return appendRouters(b, h.Neighbors)
}

func parseDatabaseDescription(v Version, b []byte) (Body, error) {
	fixed := 8
	if v != V2 {
		fixed = 12
	}
	if len(b) < fixed {
		return nil, bad(ReasonLength, "of a Database Description")
	}
	headers, err := parseHeaders(v, b[fixed:])
	if err != nil {
		return nil, err
	}
	d := &DatabaseDescription{Sequence: binary.BigEndian.Uint32(b[fixed-4:]), Headers: headers}
	if v == V2 {
		d.MTU, d.Options, d.Flags = binary.BigEndian.Uint16(b), optionsV2(b[2]), b[3]
	} else {
		d.Options, d.MTU, d.Flags = options24(b), binary.BigEndian.Uint16(b[4:]), b[7]
	}
	return d, nil
}

func (d *DatabaseDescription) append(b []byte, v Version) []byte {
	if v == V2 {
		b = append(binary.BigEndian.AppendUint16(b, d.MTU), d.Options.octet(), d.Flags)
	} else {
		b = append24(b, 0, uint32(d.Options))
		b = append(binary.BigEndian.AppendUint16(b, d.MTU), 0, d.Flags)
	}
	return appendHeaders(binary.BigEndian.AppendUint32(b, d.Sequence), v, d.Headers)
}

func parseRequest(v Version, b []byte) (Body, error) {
	if len(b)%12 != 0 {
		return nil, bad(ReasonLength, "of a Link State Request")
	}
	r := &Request{Keys: make([]LSAKey, 0, len(b)/12)}
	for ; len(b) > 0; b = b[12:] {
		t := binary.BigEndian.Uint32(b)
		if v == V2 && t > 0xff {
			return nil, bad(ReasonContent, "a request for LSA type "+strconv.FormatUint(uint64(t), 10))
		}
		r.Keys = append(r.Keys, LSAKey{LSAType(t), binary.BigEndian.Uint32(b[4:]), RouterID(binary.BigEndian.Uint32(b[8:]))})
	}
	return r, nil
}

func (r *Request) append(b []byte, v Version) []byte {
	for _, k := range r.Keys {
		b = binary.BigEndian.AppendUint32(b, uint32(k.Type))
		b = binary.BigEndian.AppendUint32(b, k.ID)
		b = binary.BigEndian.AppendUint32(b, uint32(k.Router))
	}
	return b
}

func parseUpdate(v Version, b []byte) (Body, error) {
	if len(b) < 4 {
		return nil, bad(ReasonLength, "of a Link State Update")
	}
	count, rest := binary.BigEndian.Uint32(b), b[4:]
	if uint64(count)*LSAHeaderLen > uint64(len(rest)) {
		return nil, bad(ReasonLength, "fewer LSAs than the Link State Update says")
	}
	u := &Update{LSAs: make([]LSA, 0, count)}
	for range count {
		l, tail, err := ParseLSA(v, rest)
		if err != nil {
			return nil, err
		}
		u.LSAs, rest = append(u.LSAs, l), tail
	}
	if len(rest) > 0 {
		return nil, bad(ReasonLength, "more octets than the LSAs of the Link State Update")
	}
	return u, nil
}

func (u *Update) append(b []byte, v Version) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(u.LSAs)))
	for _, l := range u.LSAs {
		at := len(b)
		b = append(b, l.Raw...)
		binary.BigEndian.PutUint16(b[at:], l.Age)
	}
	return b
}

func (a *Ack) append(b []byte, v Version) []byte { return appendHeaders(b, v, a.Headers) }

func parseHeaders(v Version, b []byte) ([]LSAHeader, error) {
	if len(b)%LSAHeaderLen != 0 {
		return nil, bad(ReasonLength, "of a list of LSA headers")
	}
	headers := make([]LSAHeader, 0, len(b)/LSAHeaderLen)
	for ; len(b) > 0; b = b[LSAHeaderLen:] {
		headers = append(headers, parseLSAHeader(v, b))
	}
	return headers, nil
}

func appendHeaders(b []byte, v Version, headers []LSAHeader) []byte {
	for _, h := range headers {
		b = h.append(b, v)
	}
	return b
}

func parseRouters(b []byte) []RouterID {
	routers := make([]RouterID, 0, len(b)/4)
	for ; len(b) >= 4; b = b[4:] {
		routers = append(routers, RouterID(binary.BigEndian.Uint32(b)))
	}
	return routers
}

func appendRouters(b []byte, routers []RouterID) []byte {
	for _, r := range routers {
		b = binary.BigEndian.AppendUint32(b, uint32(r))
	}
	return b
}

// append24 writes an octet and a number of 24 bits, as which OSPF likes to pack its words.
func append24(b []byte, first uint8, v uint32) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(first)<<24|v&0xffffff)
}

// uint24 is the number behind the first octet of b.
func uint24(b []byte) uint32 { return binary.BigEndian.Uint32(b) & 0xffffff }
