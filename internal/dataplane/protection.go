package dataplane

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// Protection. IKE makes security associations and hands them to the plane; the rest of the control plane knows them by
// their handle alone. A handle stands for one peer: it stays while its keys change, and a number that was given back is
// not given out again soon, so that an adjacency which still has it finds nothing rather than another's SA.
//
// The low 20 bits of a handle, and of an SPI that is received by, are its place in a table: of those in use at once no two
// have the same. An SPI is set once in its life. What a plane refuses it tells as [Failed], with the SA.

// IKE's ports. Both also carry ESP in UDP's neighbour: what comes to NATPort with four octets of zero before it is IKE,
// and what is one octet of 0xff keeps a NAT's mapping, RFC 3948 section 2.
const (
	IKEPort = 500
	NATPort = 4500
)

// Effects.
type (
	// SetInbound accepts packets with an SPI as those of the handle's peer. A handle may have several, while keys change.
	SetInbound struct {
		SA     SA
		SPI    uint32
		Keys   esp.Keys // the plane clears them when it has made its ciphers
		ESN    bool     // RFC 4303 section 2.2.1
		Tunnel bool     // mode: an IP header stands between ESP and GRE
		Limit  Limit
	}

	// SetOutbound makes a handle send with these keys, from its first packet on.
	SetOutbound struct {
		SA            SA
		SPI           uint32
		Keys          esp.Keys // the plane clears them when it has made its ciphers
		ESN           bool
		Tunnel        bool
		Local, Remote netip.AddrPort // with ports: ESP in UDP, RFC 3948; port 0 on both: IP protocol 50
		Inner         [2]netip.Addr  // source and destination of the header between, in tunnel mode
		Limit         Limit
	}

	// MoveSA changes where a handle's packets go, its keys and sequence numbers staying.
	MoveSA struct {
		SA            SA
		Local, Remote netip.AddrPort
	}

	// DeleteInbound accepts an SPI no longer.
	DeleteInbound struct{ SPI uint32 }

	// DeleteSA forgets a handle: nothing leaves or enters by it any more.
	DeleteSA struct{ SA SA }

	// SetPathMTU says what was found to fit on the way to a handle's peer: octets of the outer packet.
	SetPathMTU struct {
		SA  SA
		MTU int
	}

	// AskSA asks what a handle has carried so far; answered by [Carried].
	AskSA struct{ SA SA }

	// SendIKE sends a datagram of IKE. From [NATPort] the plane puts the non-ESP marker before it, RFC 7296 section 2.23.
	// A packet of one octet 0xff from there is a keepalive and goes as it is. What is Whole is lost where it does not fit,
	// other long ones are cut by IP: not every peer knows fragments of IKE.
	SendIKE struct {
		Local, Remote netip.AddrPort
		Payload       []byte
		Whole         bool
	}
)

// Limit is what keys may protect before [Worn] is told; 0 is as much as the algorithm allows.
type Limit struct{ Packets, Bytes uint64 }

// Events, posted to the module "ike".
type (
	// ReceivedIKE is a datagram of IKE, without the non-ESP marker. Payload is the receiver's.
	ReceivedIKE struct {
		Local, Remote netip.AddrPort
		Payload       []byte
	}

	// Worn tells that keys are near their limit; once for each SPI. With Out they are of SetOutbound, and when they are
	// used up the handle sends nothing more.
	Worn struct {
		SA  SA
		SPI uint32
		Out bool
	}

	// Opened tells of the first packet of an inbound SPI that was authentic: the peer sends by it.
	Opened struct {
		SA  SA
		SPI uint32
	}

	// Roamed tells that authentic packets of a handle come from another address or port than [SetOutbound] said, as
	// after a NAT has made a new mapping, RFC 7296 section 2.23. Limited in rate.
	Roamed struct {
		SA            SA
		Local, Remote netip.AddrPort
	}

	// UnknownSPI tells of ESP that belongs to no SA: the peer may not know yet that we restarted. Limited in rate.
	UnknownSPI struct {
		Local, Remote netip.AddrPort
		SPI           uint32
	}

	// Carried answers [AskSA] with what was counted since the handle was made.
	Carried struct {
		SA SA
		Counters
	}
)

// SAStats is what a plane counts for a handle. Drops are by reason, in words.
type SAStats struct {
	SA SA
	Counters
	Drops   map[string]uint64
	PathMTU int // octets of the outer packet; 0 = not known
}
