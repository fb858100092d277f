package core

import (
	"net/netip"
	"time"
)

// Event is something that happened: a packet, a timer, a route change, a request. Its type says which.
type Event any

// Effect is something a module wants done outside the loop. Its type says what; the [Edge] does it.
type Effect any

// Module is one protocol of one router. Handle is the only way in, and it is never re-entered.
type Module interface {
	Name() string
	Handle(env *Env, ev Event)
}

// Edge does effects. Do must not call back into the loop; what comes of an effect is posted as an event later.
type Edge interface {
	Do(Effect)
}

// Start is the first event of every module. Stored is what earlier [Store] effects kept, by key.
type Start struct{ Stored map[string]string }

// Stop asks a module to say goodbye: what it emits now is still sent. Before a Restart it is to leave things as they are for
// the process that comes after this one.
type Stop struct{ Restart bool }

// Expired is a timer that was due.
type Expired struct{ Timer *Timer }

// Request is a value that another module asks with; Notice is what it is told.
type (
	Request struct {
		From string
		Body any
	}
	Notice struct {
		From string
		Body any
	}
)

// Work asks the edge to run Run away from the loop. Its result comes back to the asking module as [Done].
type Work struct {
	Module string
	Tag    any
	Run    func() any
}

// Done is the result of [Work].
type Done struct{ Tag, Result any }

// Store asks the edge to keep a value over restarts. An empty value forgets the key.
type Store struct{ Key, Value string }

// Resolve asks the edge for the addresses of a DNS name. Each Resolve is answered by one [Resolved].
type Resolve struct{ Module, Name string }

// Resolved answers [Resolve]. TTL is how long the addresses may be used; Err says why there are none.
type Resolved struct {
	Name  string
	Addrs []netip.Addr
	TTL   time.Duration
	Err   string
}

// Link is the state of a network interface of the host. It is broadcast at start for every interface, and
// whenever one changes. A deleted interface is told once, with Gone set.
type Link struct {
	Name      string
	Index     int
	Up        bool // administratively up and with carrier
	MTU       int
	Addresses []netip.Prefix
	Gone      bool
}

// HasAddress reports whether the interface carries a.
func (l Link) HasAddress(a netip.Addr) bool {
	for _, p := range l.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// SetInterface asks the edge to give an interface these addresses and, where MTU is not 0, this MTU, and to
// set it up. Addresses that an earlier SetInterface for this interface had and this one lacks are removed.
// Without addresses and MTU the interface is given back: nothing else is done to it.
type SetInterface struct {
	Name      string
	Addresses []netip.Prefix
	MTU       int // octets
}
