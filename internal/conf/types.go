package conf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// Config is a whole configuration file, checked, with every default filled in. It is immutable.
type Config struct {
	Version    int
	Node       string
	Forwarding bool // let the host forward packets (default true)
	Interfaces []Interface
	Tunnels    []Tunnel // in order of name
	Routes     []Route
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
	Encapsulation     dataplane.Encapsulation
	FastPath          bool
	Protect           string // profile; "" = clear
	NHRP              *nhrp.Config
	// AuthenticationFile is where NHRP.Authentication was read from; "" when it stands in the configuration itself.
	AuthenticationFile string
}

// Route is a static route. Via and Interface may both be set; Blackhole has neither.
type Route struct {
	VRF       string
	To        netip.Prefix
	Via       netip.Addr
	Interface string
	Distance  uint8
	Blackhole bool
}

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
