// Package liveness is how a protocol asks whether a neighbour lives and hears of it: values between those that have
// neighbours (OSPF, NHRP, static routes, BGP) and BFD, which watches the path to them. Neither knows the other.
//
// A protocol sends [Watch] when a neighbour matters to it and [Unwatch] when it does not; it is answered by [State], at
// once and at every change. Only [Down] is a reason to give a neighbour up (RFC 5882 section 3.2): it means that the
// path worked and ceased to.
package liveness

import (
	"net/netip"
	"time"
)

// BFD is the name of the module that is asked.
const BFD = "bfd"

// Target is a path that is watched. Everybody who watches the same Target shares one session.
type Target struct {
	Peer      netip.Addr
	Local     netip.Addr // ours; invalid: whichever the host sends to Peer from
	Interface string     // the one the neighbour is on; empty with Multihop only
	Multihop  bool       // RFC 5883: the neighbour can be several hops away
}

// Requests to the module named [BFD].
type (
	// Watch asks for a session with the target until [Unwatch], on behalf of the asking module and, where it asks for
	// more than one thing, For. The same Watch again changes the parameters. Of several that watch one target the
	// shortest time to detection is used. It costs nothing to watch every neighbour: without an Interval there is a
	// session only where the interface is configured to have them.
	Watch struct {
		Target
		For        string        // what of the asker's it is about: each For is to be unwatched
		Interval   time.Duration // between packets, both ways, as far as the peer agrees; 0: what the interface's configuration says
		Multiplier uint8         // packets that may be missed before the path is down; 0: as configured, else 3
		Demand     time.Duration // ask the peer this often and have it be silent otherwise, RFC 5880 section 6.6, if all who watch want that; 0: as configured
		Always     bool          // have a session even where the interface is not configured to; each 300 ms then, 3 may be missed
		Passive    bool          // say nothing before the peer does (RFC 5880 section 6.1), as far as all who watch want that
		MinTTL     uint8         // least TTL accepted with Multihop; 0: 254, which is two hops
	}

	// Unwatch takes a Watch back. A session that nobody watches ends; the peer hears that it is administratively down.
	Unwatch struct {
		Target
		For string
	}
)

// State is the notice to who watches a target, sent once after each [Watch] and whenever Status changes. Who begins to
// watch a path that is down already hears Unknown: it may have other reasons to believe that the neighbour is there.
type State struct {
	Target
	For    string
	Status Status
	Reason string // in words for people
}

// Reached is published when multicast begins to get to a peer, and from it, on an interface where something else than the
// link decides that, as a registration with NHRP does in a cloud: who looks for neighbours there need not wait for the next
// hello. Of the two ends one is told.
type Reached struct {
	Interface string
	Peer      netip.Addr
}

// Heard is published when a neighbour speaks that was silent before, so that who waits for an answer of it asks again now
// rather than when the next time has come.
type Heard struct {
	Interface string
	Peer      netip.Addr
}

// Status is what is known of a path.
type Status uint8

const (
	// Unknown tells that the path has not been seen working yet, or cannot be watched: the neighbour does not speak BFD, or
	// the watching itself was interrupted. It is no reason to do anything.
	Unknown Status = iota
	// Up tells that packets go both ways.
	Up
	// Down tells that the path was up and has failed, or that the peer says so.
	Down
	// AdminDown tells that the peer has switched the session off: the path can be fine, and nothing is to be torn down
	// (RFC 5882 section 3.2).
	AdminDown
)

func (s Status) String() string {
	switch s {
	case Up:
		return "up"
	case Down:
		return "down"
	case AdminDown:
		return "admin-down"
	}
	return "unknown"
}
