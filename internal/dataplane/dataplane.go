// Package dataplane is the forwarding contract: what the control plane tells a data plane, as effects, and what
// it hears back, as events. All of it is values. Package user forwards for real; [Memory] is its twin for the
// simulator.
//
// A packet leaves like this: the destination's longest match among the routes gives a tunnel and a protocol next
// hop; the next hop's adjacency gives an endpoint and, on a protected tunnel, the SA it must leave through. A next
// hop without an adjacency is a [Miss], and the packet goes to the tunnel's fallback meanwhile.
//
//	dataplane.go  the contract: effects, events, statistics; protection.go that between IKE and a plane
//	tables.go     what a plane forwards by, read without locks; interface.go one tunnel of it; routes.go longest match
//	sa.go         SAs by handle and by SPI; dense.go where those are found
//	shard.go      a map that is read without locks; limit.go rates; stats.go counters and the reasons of drops
//	memory*.go    the twin
package dataplane

import (
	"net/netip"
	"time"
)

// Encapsulation is what a tunnel wraps packets in.
type Encapsulation uint8

const (
	GRE    Encapsulation = iota // RFC 2784 with RFC 2890 key, IP protocol 47
	GREUDP                      // RFC 8086: the same in UDP, port 4754
	ESP                         // GRE in ESP, raw or in UDP as each SA has it: that of every protected tunnel
)

func (e Encapsulation) String() string {
	return [...]string{"gre", "udp", "esp"}[e]
}

// UDPPort is the GRE-in-UDP port, RFC 8086 section 9. Our routers send from it too, so that a NAT on the way keeps one mapping.
const UDPPort = 4754

// Key is a GRE key; a packet without one is another tunnel than a packet with key 0.
type Key struct {
	Value uint32
	Set   bool
}

// SA is a handle of a security association. 0 is none: clear.
type SA uint32

// Endpoint is where a peer is on the underlay: its address, and its port when the encapsulation has one, else 0.
type Endpoint = netip.AddrPort

// Origin is whom a packet came from. Where there is an SA it alone counts: a peer that roams is the same, and two behind one
// NAT are two.
type Origin struct {
	Endpoint Endpoint
	SA       SA
}

// peer is what is the same for all packets of one peer.
func (o Origin) peer() Origin {
	if o.SA != 0 {
		return Origin{SA: o.SA}
	}
	return o
}

// Tunnel is one multipoint interface.
type Tunnel struct {
	Name          string
	VRF           string
	Cloud         uint32 // NHRP network-id: a packet from and to one cloud may be told of a shorter way
	Local         netip.Addr
	Key           Key
	Encapsulation Encapsulation
	Addresses     []netip.Prefix
	MTU           int   // of the overlay, octets
	TTL           uint8 // of the outer header
	MSS           bool  // clamp the TCP MSS to what fits
	Redirect      bool  // report Transit
	FastPath      bool  // forward between peers of the cloud without the kernel
	Protected     bool  // nothing may pass outside an SA; Encapsulation is ESP then, and only then
	Wrap          int   // octets that protection adds to a packet, at most; 0 on a tunnel without
	FragmentOuter bool  // cut the outer packet where it does not fit, so that the overlay MTU can be above the path's
}

// Effects.
type (
	// SetTunnel makes the tunnel or changes what differs. Adjacencies and counters stay.
	SetTunnel struct{ Tunnel }

	// DeleteTunnel removes the tunnel, its device and its adjacencies.
	DeleteTunnel struct{ Name string }

	// SetAdjacency says where a protocol next hop is. Multicast also sends the tunnel's multicast there.
	//
	// On a protected tunnel it may also say whose packets a source is that of. What is Bound is taken as a source from its own
	// SA alone, and from those that are Forwards.
	SetAdjacency struct {
		Tunnel    string
		NextHop   netip.Addr
		Endpoint  Endpoint
		SA        SA
		Multicast bool
		Forwards  bool // what others send comes from there, too: it is a server's
		Bound     bool // the router with this address sends to us itself
	}

	// SetMembers says whether a protected tunnel takes packets from adjacencies only: everybody who has something to send has
	// registered. It is so until the tunnel is deleted or the contrary is said. What the control plane is sent always comes through.
	SetMembers struct {
		Tunnel string
		Only   bool
	}

	// DeleteAdjacency forgets a next hop.
	DeleteAdjacency struct {
		Tunnel  string
		NextHop netip.Addr
	}

	// SetFallback names the next hop that takes what has no adjacency; the zero Addr for none.
	// Tunnels have one per family of the next hop.
	SetFallback struct {
		Tunnel  string
		IPv6    bool // which family's
		NextHop netip.Addr
	}

	// SetRoute mirrors one route of the kernel. A next hop whose Tunnel is "" is not ours: the kernel forwards.
	// Several next hops share the flows by hash.
	SetRoute struct {
		VRF      string
		Prefix   netip.Prefix
		NextHops []NextHop
	}

	// DeleteRoute forgets a route.
	DeleteRoute struct {
		VRF    string
		Prefix netip.Prefix
	}

	// Expect says that the kernel may send packets for a prefix by these next hops, which it is being told of. A tunnel that it
	// does not have in a [SetRoute] takes them all the same, until Forget. So it is, without Expect, with next hops that a
	// SetRoute or DeleteRoute takes away: what the kernel sent by them before is still in the tunnel's queue.
	Expect struct {
		Prefix   netip.Prefix
		NextHops []NextHop
	}

	// Forget ends what [Expect] says of a prefix, and what remains of a route that was taken away.
	Forget struct{ Prefix netip.Prefix }

	// ClearStats sets all counters to zero.
	ClearStats struct{}

	// Send puts a control packet into GRE. SA must be set on a protected tunnel.
	Send struct {
		Tunnel   string
		To       Endpoint
		SA       SA
		Protocol uint16 // EtherType in the GRE header
		Payload  []byte
	}

	// AskUsed asks whether a packet took the route since the last AskUsed; answered by [Used]. With a NextHop it
	// asks that of the next hop's adjacency instead.
	AskUsed struct {
		VRF     string
		Prefix  netip.Prefix
		Tunnel  string
		NextHop netip.Addr
	}
)

// NextHop of a [SetRoute]. Via is the zero Addr for a destination on the link.
type NextHop struct {
	Tunnel string
	Via    netip.Addr
	Weight uint8
}

// Events, posted to the module that is named with the plane (NHRP).
type (
	// TunnelUp tells that a tunnel exists and forwards, or that something of it changed (its local address, say).
	// Package proto/tunnel publishes it, as a Notice.
	TunnelUp struct{ Tunnel }

	// TunnelDown tells that a tunnel cannot forward, and why: its underlay is gone, say. Removed means for good.
	TunnelDown struct {
		Name    string
		Reason  string
		Removed bool
	}

	// Received is a control packet (EtherType 0x2001) out of GRE. Payload is borrowed until the event is handled.
	Received struct {
		Tunnel   string
		From     Endpoint
		SA       SA
		Protocol uint16
		Payload  []byte
	}

	// Miss tells of a packet whose next hop has no adjacency. Rate limited per next hop.
	Miss struct {
		Tunnel                       string
		NextHop, Source, Destination netip.Addr
	}

	// Transit tells of a packet that came out of a cloud and goes back into it. From is where it came from and, on a
	// protected tunnel, SA by which; Packet its first octets (at most 128). Rate limited per flow.
	Transit struct {
		Tunnel string
		From   Endpoint
		SA     SA
		Packet []byte
	}

	// Used answers [AskUsed].
	Used struct {
		VRF     string
		Prefix  netip.Prefix
		Tunnel  string
		NextHop netip.Addr
		Used    bool
	}

	// Failed tells that an effect could not be done. With Down it was a [SetTunnel], told before that is done, and the
	// tunnel has no device or no socket; the same effect again tries again. With an SA it was a [SetInbound], or with Out a
	// [SetOutbound]: the module "ike" hears it.
	Failed struct {
		Tunnel string
		Doing  string
		Err    string
		Down   bool
		SA     SA
		SPI    uint32
		Out    bool
	}
)

// What becomes of tunnels' devices when the process that has them goes.
type (
	// KeepDevices has the kernel keep them, without a carrier, for the process that comes next.
	KeepDevices struct{}

	// KeptDevices names those that an earlier process left. The tunnels of these names take them over.
	KeptDevices struct{ Names []string }

	// DiscardDevice removes one of them that has no tunnel any more.
	DiscardDevice struct{ Name string }
)

// Counters of one tunnel, or of one peer of it.
type Counters struct {
	PacketsIn  uint64 `json:"packetsIn"`
	PacketsOut uint64 `json:"packetsOut"`
	BytesIn    uint64 `json:"bytesIn"`
	BytesOut   uint64 `json:"bytesOut"`
}

// TunnelStats is what a plane counts for a tunnel. Drops are by reason, in words.
type TunnelStats struct {
	Tunnel string `json:"interface"`
	Counters
	Drops map[string]uint64 `json:"drops"`
}

// PeerStats is what a plane counts for an adjacency.
type PeerStats struct {
	Tunnel   string
	NextHop  netip.Addr
	Endpoint Endpoint
	SA       SA
	Counters
	LastIn time.Duration // since the plane's epoch; 0 = never
}

// Plane is what a data plane also answers, at any time and from any goroutine.
type Plane interface {
	Do(effect any) // any of the effects above; others are ignored
	Stats() []TunnelStats
	Peers(tunnel string) []PeerStats
	SAs() []SAStats // in order of handle
	Close() error
}
