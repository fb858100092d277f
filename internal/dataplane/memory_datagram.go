package dataplane

import (
	"encoding/binary"
	"net/netip"
)

// Datagram is an IP packet of the simulated world: what matters of it, as values. It is not changed once it
// is sent; a router that forwards it forwards a copy.
type Datagram struct {
	Source, Destination netip.Addr
	TTL                 uint8
	Class               uint8 // DSCP and ECN
	DF                  bool
	Size                int // octets, with the IP header
	Fragment            int // of its fragments the largest, in octets; 0 = it is whole
	Body                any // Echo, ICMPError, UDP, GREPacket, ESPPacket or Other
}

// What a [Datagram] carries.
type (
	// Echo is an ICMP echo request or reply.
	Echo struct {
		ID    uint16
		Seq   uint32 // ICMP's own has 16 bits; this one counts all
		Reply bool
	}

	// ICMPError is what a router or host says of a datagram it could not pass on.
	ICMPError struct {
		Kind  ICMPKind
		MTU   int // of TooBig
		About *Datagram
	}

	// UDP is a user datagram.
	UDP struct {
		SourcePort, DestinationPort uint16
		Body                        any
	}

	// GREPacket is what leaves a tunnel: a control packet's Payload, or an Inner datagram.
	GREPacket struct {
		Key      Key
		Protocol uint16 // EtherType
		Payload  []byte
		Inner    *Datagram
	}

	// ESPPacket is GRE that an SA protects; the digest of its keys stands for ciphertext and ICV.
	ESPPacket struct {
		SPI, Seq uint32
		Digest   Digest
		Tunnel   bool          // mode
		Between  [2]netip.Addr // source and destination of the IP header that stands before GRE then
		Inner    GREPacket
	}

	// Other is a packet of an IP protocol that a module speaks itself, such as OSPF.
	Other struct {
		Protocol uint8
		Payload  []byte
	}

	// IKEPayload is a datagram of IKE, or a keepalive. The non-ESP marker goes without saying.
	IKEPayload []byte
)

// ICMPKind is the kind of an [ICMPError].
type ICMPKind uint8

// Kinds, as RFC 792 and RFC 4443 call them.
const (
	TimeExceeded ICMPKind = iota
	NetUnreachable
	HostUnreachable
	ProtocolUnreachable
	PortUnreachable
	TooBig
)

func (k ICMPKind) String() string {
	return [...]string{"time exceeded", "network unreachable", "host unreachable", "protocol unreachable",
		"port unreachable", "packet too big"}[k]
}

// EtherTypes of GRE payloads.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

// HeaderLen is the size of the IP header of a datagram to a.
func HeaderLen(a netip.Addr) int {
	if a.Is4() {
		return 20
	}
	return 40
}

// Largest is the size of what is on the wire: of the datagram, or of its largest fragment.
func (d *Datagram) Largest() int {
	if d.Fragment > 0 {
		return d.Fragment
	}
	return d.Size
}

// EtherType is the GRE protocol type of the datagram.
func (d *Datagram) EtherType() uint16 {
	if d.Destination.Is4() {
		return etherIPv4
	}
	return etherIPv6
}

// Protocol is the IP protocol number of the body.
func (d *Datagram) Protocol() uint8 {
	switch body := d.Body.(type) {
	case Other:
		return body.Protocol
	case GREPacket:
		return 47
	case ESPPacket:
		return 50
	case UDP:
		return 17
	}
	if d.Destination.Is4() {
		return 1
	}
	return 58
}

// Head is the datagram's first octets as they would be on the wire: the IP header and the first eight of an echo.
func (d *Datagram) Head() []byte {
	var b []byte
	if d.Destination.Is4() {
		b = d.head4()
	} else {
		b = d.head6()
	}
	if e, ok := d.Body.(Echo); ok {
		b = append(b, d.echoType(e.Reply), 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, e.ID)
		b = binary.BigEndian.AppendUint16(b, uint16(e.Seq))
	}
	return b
}

func (d *Datagram) echoType(reply bool) byte {
	switch {
	case d.Destination.Is4() && reply:
		return 0
	case d.Destination.Is4():
		return 8
	case reply:
		return 129
	}
	return 128
}

func (d *Datagram) head4() []byte {
	b := make([]byte, 20, 28)
	b[0], b[1], b[8], b[9] = 0x45, d.Class, d.TTL, d.Protocol()
	binary.BigEndian.PutUint16(b[2:], uint16(d.Size))
	if d.DF {
		b[6] = 0x40
	}
	copy(b[12:], d.Source.AsSlice())
	copy(b[16:], d.Destination.AsSlice())
	binary.BigEndian.PutUint16(b[10:], headerChecksum(b))
	return b
}

func (d *Datagram) head6() []byte {
	b := make([]byte, 40, 48)
	b[0], b[1] = 0x60|d.Class>>4, d.Class<<4
	binary.BigEndian.PutUint16(b[4:], uint16(d.Size-40))
	b[6], b[7] = d.Protocol(), d.TTL
	copy(b[8:], d.Source.AsSlice())
	copy(b[24:], d.Destination.AsSlice())
	return b
}

func headerChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum>>16 + sum&0xffff)
}
