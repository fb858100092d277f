// Package protect is how a protocol asks for protection and hears of it: values between NHRP, which needs peers, and
// IKE, which makes security associations with them. Neither knows the other.
package protect

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// IKE is the name of the module that is asked.
const IKE = "ike"

// Requests to the module named [IKE].
type (
	// Ensure asks for an SA with the router at an NBMA address, and for it to stay until [Release]. It is answered by
	// [Up] at once when there is one, else when there is; by [Failed] after each attempt that came to nothing. Attempts
	// go on, further and further apart, until Release. The same Ensure again tries at once or, when there is an SA, asks
	// the peer whether it lives.
	Ensure struct {
		Tunnel        string // on whose behalf; its profile is used
		Local, Remote netip.Addr
		Urgent        bool           // no random wait: nobody can be doing the same from the other side
		Not           []dataplane.SA // handles at that address that lead to another router, and do not satisfy
	}

	// Release takes an Ensure back. When nobody of this router needs the SA, and this router began it, it is closed as soon as the
	// peer does not use it either.
	Release struct {
		Tunnel        string
		Local, Remote netip.Addr
	}
)

// Notices, published to every module.
type (
	// Up tells that a handle carries packets both ways. It is told again when something of it has changed.
	Up struct {
		SA       dataplane.SA
		Profile  string
		Local    netip.Addr
		Remote   dataplane.Endpoint // port 0 without UDP
		Identity string             // of the peer, in words, as its credentials proved it
		NAT      bool               // one is between us
		Allowed  []netip.Prefix     // tunnel addresses the peer may claim; nil: any
		Anew     bool               // the peer has begun anew: what it knew of us is gone
	}

	// Moved tells that the handle's peer is at another endpoint, or we are.
	Moved struct {
		SA     dataplane.SA
		Local  netip.Addr
		Remote dataplane.Endpoint
	}

	// Down tells that a handle is no more.
	Down struct {
		SA     dataplane.SA
		Local  netip.Addr
		Remote dataplane.Endpoint
		Reason string
		Closed bool // by the peer, which needed it no more: nothing has failed
	}

	// Failed tells that an attempt to make an SA with an ensured peer came to nothing.
	Failed struct {
		Local, Remote netip.Addr
		Reason        string // in words for people
	}
)
