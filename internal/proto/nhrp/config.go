package nhrp

import (
	"net/netip"
	"time"
)

// Config is NHRP on one tunnel. It is immutable once given to the module.
type Config struct {
	Tunnel         string
	NetworkID      uint32 // the cloud; never on the wire
	Profile        string // that protects the tunnel, whose SAs alone are for it; "" in clear
	Authentication string // Cisco-style, 1 to 8 octets; "" = none
	HoldTime       time.Duration
	Unique         bool // register with the U bit: one NBMA address per protocol address
	Shortcut       bool // follow redirects, answer for prefixes
	Redirect       bool // tell peers of shorter ways
	Multicast      bool // dynamic: multicast goes to every registered client (a hub)
	Resolution     Resolution
	Servers        []Server
	Clusters       map[string]Cluster
	Fallback       time.Duration // how long a better server must be up before we return to it
	MaxClients     int           // registrations a server accepts; 0 = no limit
	Rate           Rate
}

// TakesClients reports whether others register here: it has no servers itself, or something set that is a server's.
func (c *Config) TakesClients() bool {
	return len(c.Servers) == 0 || c.Redirect || c.Multicast || c.MaxClients > 0 || c.Resolution == Answer
}

// Server is a next hop server we register with.
type Server struct {
	NBMA     string     // address or DNS name
	Protocol netip.Addr // its tunnel address; the zero Addr when it is to be learned
	Priority uint8      // lower is better
	Cluster  string     // "" is the cluster of all without a name
}

// Cluster limits to how many of its servers we are registered at once. 0 is all of them.
type Cluster struct{ MaxConnections int }

// Rate limits what one peer may make us do.
type Rate struct {
	PerSecond int
	Burst     int
}

// Resolution says what a server does with a request it could answer from its cache.
type Resolution uint8

const (
	Forward Resolution = iota // along the route, to whom it concerns
	Answer                    // from the cache
)

func (r Resolution) String() string {
	if r == Answer {
		return "answer"
	}
	return "forward"
}

// Defaults. Holdtime and retries as FRR and Cisco have them; 7200 s is theirs too, RFC 2332 names none.
const (
	DefaultHoldTime = 7200 * time.Second
	DefaultFallback = 30 * time.Second
	MaxPassword     = 8
)
