package ike

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// Configure is the request that gives the module its configuration, whole. What is as before is not touched.
type Configure struct {
	Profiles []*Profile
	Tunnels  []Tunnel
}

// Tunnel says which profile protects a tunnel. All tunnels of one underlay address have the same.
type Tunnel struct {
	Name          string
	Profile       string
	Encapsulation Encapsulation
}

// Profile is how peers are authenticated and what protects the traffic with them. It is immutable once given.
type Profile struct {
	Name        string
	Fingerprint string // of all that it was read from: two with the same are the same

	Local      auth.Identity    // ours; the zero Identity is the underlay address
	Peers      []auth.Pattern   // who may be a peer; none: everybody who can prove an identity
	PSKs       []PSK            // in order: the first for a peer proves ours, all of them may prove its
	Credential *auth.Credential // our certificate and its key
	Trust      *auth.Trust      // whose certificates are believed
	Bindings   []Binding        // which tunnel addresses an identity may claim; none for it: any
	PPKs       []PPK            // RFC 8784
	NeedPPK    bool             // refuse peers without
	AllowSHA1  bool             // believe RSA signatures with SHA-1 (RFC 7296 method 1 without RFC 7427)

	IKE, ESP []suite.Policy // in order of preference
	Mode     Mode

	IKELifetime time.Duration // until the IKE SA is rekeyed; jitter comes off it
	ESPLifetime time.Duration // until the child SA is rekeyed
	ESPBytes    uint64        // and after so many octets; 0 = as many as the algorithm allows
	ESPPackets  uint64

	DPD          time.Duration // silence after which a peer is asked whether it lives, RFC 7296 section 2.4; 0 = never
	MOBIKE       bool          // RFC 4555
	FragmentSize int           // octets of an IKE datagram with its IP header, RFC 7383; 0 = never cut
	DiscoverMTU  bool          // look for what fits on the way to each peer, RFC 8899
}

// PSK is a pre-shared key. Several with the same peer are all valid.
type PSK struct {
	Peer   auth.Pattern // whom it is shared with; the zero Pattern is everybody
	Secret []byte
}

// PPK is a post-quantum pre-shared key and its name, RFC 8784.
type PPK struct {
	ID     string
	Secret []byte
}

// Binding limits what an identity may claim.
type Binding struct {
	Peer      auth.Pattern
	Addresses []netip.Prefix
}

// Mode is that of child SAs, RFC 4301 section 3.2.
type Mode uint8

const (
	Transport  Mode = iota // GRE straight in ESP
	TunnelMode             // with another IP header between
	AutoMode               // transport, or tunnel mode where the peer refuses
)

func (m Mode) String() string { return [...]string{"transport", "tunnel", "auto"}[m] }

// Encapsulation is what ESP is in.
type Encapsulation uint8

const (
	AutoEncapsulation Encapsulation = iota // UDP behind a NAT and between routers of this kind, else raw
	UDP                                    // always UDP, RFC 3948
	Raw                                    // IP protocol 50 unless a NAT is on the way
)

func (e Encapsulation) String() string { return [...]string{"auto", "udp", "esp"}[e] }

// Defaults.
const (
	DefaultIKELifetime  = 4 * time.Hour
	DefaultESPLifetime  = time.Hour
	DefaultDPD          = 20 * time.Second
	DefaultFragmentSize = 1280 // crosses every IPv6 path, and IPv4's in practice
)

func (p *Profile) equal(o *Profile) bool {
	if p.Fingerprint != "" || o.Fingerprint != "" {
		return p.Fingerprint == o.Fingerprint
	}
	return reflect.DeepEqual(p, o)
}
