package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/spokeway/spokeway/internal/packet"
)

// Packet is one OSPF packet. A parsed one holds views into the octets that it was read from.
type Packet struct {
	Version  Version
	Router   RouterID // the sender
	Area     AreaID
	Instance uint8 // v3
	Auth     Auth
	Body     Body
	LLS      []byte // the block of link-local signaling, RFC 5613, which is not looked into

	received []byte     // as long as the header says
	trailer  []byte     // what follows it: digests and LLS
	digest   []byte     // or the simple password
	source   netip.Addr // which some digests cover
}

// Body is what a packet carries: [*Hello], [*DatabaseDescription], [*Request], [*Update] or [*Ack].
type Body interface {
	Type() PacketType
	append(b []byte, v Version) []byte
}

// Type is the kind of the packet.
func (p *Packet) Type() PacketType { return p.Body.Type() }

// Parse reads a packet that came from src to dst, RFC 2328 A.3.1 and RFC 5340 A.3.1. Its checksum is right when it
// has one; with cryptographic authentication it has none, and nothing in it is to be believed before [Packet.Verify]. An
// error is an [*Error].
func Parse(v Version, b []byte, src, dst netip.Addr) (*Packet, error) {
	if len(b) < v.HeaderLen() {
		return nil, bad(ReasonLength, "shorter than a header")
	}
	if b[0] != v.Number() {
		return nil, bad(ReasonVersion, strconv.Itoa(int(b[0])))
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < v.HeaderLen() || n > len(b) {
		return nil, bad(ReasonLength, strconv.Itoa(n)+" octets said, "+strconv.Itoa(len(b))+" received")
	}
	p := &Packet{
		Version: v, received: b[:n:n], trailer: b[n:], source: src,
		Router: RouterID(binary.BigEndian.Uint32(b[4:])), Area: AreaID(binary.BigEndian.Uint32(b[8:])),
	}
	if err := p.parseAuth(dst); err != nil {
		return nil, err
	}
	body, err := parseBody(v, PacketType(b[1]), p.received[v.HeaderLen():])
	if err != nil {
		return nil, err
	}
	p.Body = body
	if err := p.parseLLS(); err != nil {
		return nil, err
	}
	return p, nil
}

// parseAuth reads what the packet proves itself by: a checksum, or a digest to be verified.
func (p *Packet) parseAuth(dst netip.Addr) error {
	if p.Version == V2 {
		return p.parseAuthV2()
	}
	p.Instance = p.received[14]
	if at, ok := trailerV3(p.trailer); ok {
		return p.parseTrailerV3(at)
	}
	if checksumV3(p.received, p.source, dst) != 0 {
		return bad(ReasonChecksum, "")
	}
	return nil
}

// hasLLS reports whether the L bit says that LLS follows, which it can in two kinds of packets, RFC 5613 section 2.1.
func (p *Packet) hasLLS() bool {
	switch body := p.Body.(type) {
	case *Hello:
		return body.Options&OptL != 0
	case *DatabaseDescription:
		return body.Options&OptL != 0
	}
	return false
}

// parseLLS finds the block of link-local signaling: behind the digest in OSPFv2, before the trailer in OSPFv3.
func (p *Packet) parseLLS() error {
	if !p.hasLLS() {
		return nil
	}
	b := p.trailer
	if p.Version == V2 && p.Auth.Type.cryptographic() {
		b = b[p.Auth.trailerLen:]
	}
	if len(b) < 4 {
		return bad(ReasonLength, "the L bit, and no block behind the packet")
	}
	n := 4 * int(binary.BigEndian.Uint16(b[2:]))
	if n < 4 || n > len(b) {
		return bad(ReasonLength, "the block of link-local signaling")
	}
	p.LLS = b[:n:n]
	return nil
}

// Append writes the packet as it goes from src to dst, proven by the key. Where the key is cryptographic, the sequence
// number is that of p.Auth, which must rise from packet to packet; in OSPFv3 the AT bit is set as RFC 7166 section 2.1 has
// it. It panics when the packet is longer than its length field can say, or when the version does not know the algorithm.
func (p *Packet) Append(b []byte, k Key, src, dst netip.Addr) []byte {
	if !k.Algorithm.Allowed(p.Version) {
		panic("ospf: " + p.Version.String() + " cannot be authenticated by " + k.Algorithm.String())
	}
	at := len(b)
	b = append(b, p.Version.Number(), byte(p.Type()), 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Router))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Area))
	b = append(b, make([]byte, p.Version.HeaderLen()-12)...)
	b = p.Body.append(b, p.Version)
	if len(b)-at > 0xffff {
		panic("ospf: a packet of " + strconv.Itoa(len(b)-at) + " octets")
	}
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at))
	if p.Version == V2 {
		return p.appendAuthV2(b, at, k, src)
	}
	b[at+14] = p.Instance
	return p.appendAuthV3(b, at, k, src, dst)
}

// Overhead is how many octets a packet is longer than its body, digests included.
func Overhead(v Version, k Key) int {
	n := v.HeaderLen() + k.Algorithm.size()
	switch {
	case v != V2 && k.Algorithm.cryptographic():
		n += trailerHeaderLen
	case k.Extended && k.Algorithm.cryptographic():
		n += 8
	}
	return n
}

// checksumV3 is 0 for a packet whose checksum is right, and what to put into one whose checksum is 0, RFC 5340 A.3.1.
func checksumV3(b []byte, src, dst netip.Addr) uint16 {
	s, d := src.As16(), dst.As16()
	sum := packet.Sum(d[:], packet.Sum(s[:], 0))
	sum = packet.SumWord(Protocol, packet.SumWord(uint16(len(b)), sum))
	return ^packet.Fold(packet.Sum(b, sum))
}

// checksumV2 is the same for OSPFv2, whose 64 bits of authentication are left out, RFC 2328 D.4.1.
func checksumV2(b []byte) uint16 {
	return ^packet.Fold(packet.Sum(b[24:], packet.Sum(b[:16], 0)))
}
