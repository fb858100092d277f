package core

import "net/netip"

// Packets of IP protocols that a module speaks itself, as OSPF does: by a raw socket on an interface, without ports.

// Listen asks the edge to receive packets of an IP protocol on an interface, those to Groups included, and to give them
// to Module as [ReceivedIP]. It says all there is to know: an earlier Listen for the same interface, protocol and family
// is replaced, and one without Groups ends it. An interface that is not there yet is listened on once it comes.
type Listen struct {
	Module    string
	Interface string
	Protocol  uint8
	IPv6      bool
	Groups    []netip.Addr
}

// SendIP asks the edge to send a packet out of an interface. The edge fills the IP header and, for IPv6, nothing of the
// payload: checksums of the protocol are the module's. Fragmentation is the host's. The interface is one that [Listen] was said
// for, with the protocol and the family. The payload is the edge's from then on.
type SendIP struct {
	Interface           string
	Source, Destination netip.Addr // Source is an address of the interface
	Protocol            uint8
	TTL                 uint8
	TOS                 uint8 // traffic class
	Payload             []byte
}

// ReceivedIP is a packet that [Listen] asked for. Payload is borrowed until the handler returns.
type ReceivedIP struct {
	Interface           string
	Source, Destination netip.Addr
	Protocol            uint8
	TTL                 uint8
	Payload             []byte
}
