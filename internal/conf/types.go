package conf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// Config is a whole configuration file, checked, with every default filled in. It is immutable.
type Config struct {
	Version    int
	Node       string
	Forwarding bool // let the host forward packets (default true)
	Interfaces []Interface
	Tunnels    []Tunnel  // in order of name
	Profiles   []Profile // in order of name
	Routes     []Route
	OSPF       *OSPF // OSPFv2; nil = off
	OSPFv3     *OSPF
	OSPFv3IPv4 *OSPF
	Metrics    string // listen address of /metrics; "" = off
	Log        Log
}

// Interface is an interface of the host that spokeway addresses.
type Interface struct {
	Name      string
	Addresses []netip.Prefix
	MTU       int // 0 = leave
}

// Tunnel is a multipoint tunnel. Exactly one of UnderlayInterface and UnderlayAddress is set.
type Tunnel struct {
	Name              string
	VRF               string
	UnderlayInterface string
	UnderlayAddress   netip.Addr
	UnderlayIPv6      bool // which family of UnderlayInterface to use
	Addresses         []netip.Prefix
	Key               dataplane.Key
	MTU               int // 0 = measured from the underlay
	TTL               uint8
	ClampMSS          bool
	Encapsulation     dataplane.Encapsulation // ESP when protected
	Carrier           ike.Encapsulation       // of a protected tunnel: what ESP is in
	FragmentOuter     bool
	FastPath          bool
	Protect           string // profile; "" = clear
	Guard             Guard  // of a protected tunnel
	Wrap              int    // octets that protection adds to a packet, at most
	Bandwidth         uint64 // bits per second; 0 = unknown
	NHRP              *nhrp.Config
	BFD               *bfd.Parameters // nil: paths are not watched
	// AuthenticationFile is where NHRP.Authentication was read from; "" when it stands in the configuration itself.
	AuthenticationFile string

	encapsulation string // the word that was written, while reading
}

// Guard says which prefixes that a protected tunnel leads to stay closed when it is gone.
type Guard uint8

const (
	GuardLearned    Guard = iota // those of the file, and any that had a route by it
	GuardConfigured              // those of the file
	GuardNone
)

var guardWords = []string{"learned", "configured", "none"}

// Profile is how peers are authenticated and what protects the traffic with them.
type Profile struct {
	Name string
	IKE  *ike.Profile // what the file comes to
	src  source
}

// source is what a profile was made from, where IKE does not tell.
type source struct {
	identity    string
	psk         secret
	psks        []peerSecret
	certificate []file
	key         []file
	ca          []file
	crl         []file
	revocation  auth.Revocation
	ppks        []ppk
	ike, esp    []string // suites
}

// secret is a text that is never printed, and the file that it was read from; "" when it stands in the configuration.
type secret struct{ text, file string }

// peerSecret is a pre-shared key with some peers.
type peerSecret struct {
	peer auth.Pattern
	secret
}

// ppk is a post-quantum pre-shared key, RFC 8784.
type ppk struct {
	id string
	secret
}

// file is one that the configuration names, and what is in it.
type file struct{ name, text string }

// Route is a static route. Via and Interface may both be set; Blackhole and Reject have neither.
type Route struct {
	VRF        string
	To         netip.Prefix
	Via        netip.Addr
	Interface  string
	Distance   uint8
	Weight     uint8 // share of the traffic among several to one prefix; 0 counts as 1
	Tag        uint32
	Blackhole  bool       // drop without a word
	Reject     bool       // drop, and tell the sender
	ViaDefault bool       // Via may be found by the default route
	Track      string     // "bfd": not by a next hop that has failed
	TrackFrom  netip.Addr // of ours: Via itself is watched from it, over several hops; invalid: the next hops on links
	TrackHops  uint8      // that Via is away at most, with TrackFrom; 0: two
}

// Drops reports whether the route has no way out by intention.
func (r Route) Drops() bool { return r.Blackhole || r.Reject }

// Log says what is logged and how.
type Log struct {
	Level  string // debug info warn error
	Format string // auto logfmt json
	Debug  []string
}

// Defaults that are no protocol's.
const (
	DefaultPath   = "/etc/spokeway/spokeway.yaml"
	DefaultSocket = "/run/spokeway/control.sock"
	DefaultState  = "/var/lib/spokeway"
	DefaultTTL    = 64
)
