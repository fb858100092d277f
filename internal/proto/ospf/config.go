package ospf

import (
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// Config is one instance of OSPF. It is immutable once given to the module.
type Config struct {
	Name         string // of the instance: "ospf", "ospfv3"
	VRF          string
	Version      wire.Version
	RouterID     wire.RouterID // 0: the highest IPv4 address of a loopback, else of any interface, at start
	Areas        []Area
	Redistribute []Redistribute
	Default      *DefaultRoute
	Summaries    []Range // externals that are advertised as one
	Reference    uint64  // bits per second that cost 1; 0: DefaultReference
	MaxPaths     int     // 0: 8
	Distance     uint8   // 0: that of OSPF
	RFC1583      bool    // RFC1583Compatibility, RFC 2328 16.4.1
	StubRouter   StubRouter
	SPF          Throttle // zero: DefaultSPF
	LSA          Throttle // zero: DefaultLSA
	MinArrival   time.Duration
	Restart      Restart
	MaxExchanges int          // adjacencies that may be made at once; 0: DefaultExchanges
	Underlay     []netip.Addr // what carries clouds: no route by a cloud leads there
	MaxLSAs      int          // LSAs of others that are kept; 0: DefaultMaxLSAs
}

// AreaKind says which externals an area has.
type AreaKind uint8

const (
	Normal AreaKind = iota
	Stub            // RFC 2328 3.6
	NSSA            // RFC 3101
)

func (k AreaKind) String() string { return [...]string{"normal", "stub", "nssa"}[k] }

// Area is one area of an instance.
type Area struct {
	ID          wire.AreaID
	Kind        AreaKind
	NoSummary   bool    // totally stubby: of all summaries only the default
	DefaultCost uint32  // of the default route told to a stub area or NSSA; 0: 1
	Ranges      []Range // RFC 2328 12.4.3
	NSSARanges  []Range // of type 7 LSAs when they are translated, RFC 3101 3.2
	Translate   bool    // always translate, RFC 3101 3.1 NSSATranslatorRole
	DefaultInto bool    // originate a default as type 7 as an AS boundary router (RFC 3101 2.4)
	Interfaces  []Interface
}

// Range is prefixes that are told as one, or not at all.
type Range struct {
	Prefix netip.Prefix
	Hide   bool   // DoNotAdvertise
	Cost   uint32 // 0: that of the dearest (ranges) or cheapest (externals) component
	Tag    uint32 // of external summaries
}

// Network is the kind of an interface, RFC 2328 1.2.
type Network uint8

const (
	Broadcast Network = iota
	PointToPoint
	PointToMultipoint
	NBMA
	Loopback
)

var networkNames = [...]string{"broadcast", "point-to-point", "point-to-multipoint", "nbma", "loopback"}

func (n Network) String() string { return networkNames[n] }

// designates reports whether the kind has a designated router.
func (n Network) designates() bool { return n == Broadcast || n == NBMA }

// Interface is OSPF on one interface.
type Interface struct {
	Name          string
	Network       Network
	Passive       bool
	Cost          uint32 // 0: from the bandwidth
	Bandwidth     uint64 // bits per second; 0: that of the reference
	Priority      uint8  // for designated router; see DefaultPriority
	Hello         time.Duration
	Dead          time.Duration
	Retransmit    time.Duration
	TransmitDelay time.Duration
	Poll          time.Duration // hellos to silent neighbours of NBMA
	Keys          []wire.Key    // the first is sent with; all are accepted
	MTUIgnore     bool
	Unicast       bool // point-to-multipoint without multicast: hellos go to Neighbors
	Neighbors     []Peer
	Instance      uint8 // of OSPFv3
	Liveness      *Liveness
	NoHostRoute   bool // point-to-multipoint: do not advertise our address as a host
	FloodOwn      bool // neighbours are told of what we originate alone: a hub's, whose spokes need a default route and no more
	MinTTL        uint8
	Cloud         bool // NHRP knows the addresses on it: neighbours' host routes are its own
}

// Peer is a neighbour that is configured, because nothing announces it or to give it a cost of its own.
type Peer struct {
	Address  netip.Addr
	Priority uint8  // of NBMA: whether it is eligible
	Cost     uint32 // of point-to-multipoint; 0: that of the interface
}

// Liveness asks for neighbours to be watched, as BFD does.
type Liveness struct {
	Interval   time.Duration
	Multiplier uint8
	Demand     time.Duration // RFC 5880 section 6.6: ask this often; 0: hear the neighbour all the time
}

// Redistribute brings routes of another protocol in as externals.
type Redistribute struct {
	Protocol rib.Protocol // Connected, Static, Kernel, EBGP or IBGP
	Match    []Match      // in order; none: all
	Type1    bool         // metric of type 1; otherwise type 2
	Metric   uint32       // 0: DefaultMetric
	Tag      uint32       // 0: that of the route
}

// Match is a line of a list of routes, by prefix, by tag or by both. The first that matches decides; what none matches
// is denied.
type Match struct {
	Prefix   netip.Prefix // not valid: any
	Min, Max int          // prefix length; both 0: exactly that of Prefix
	Deny     bool         // instead of permitting it
	Tagged   uint32       // only routes with this tag; 0: all
	Tag      uint32       // to be told; 0: that of Redistribute
	Metric   uint32
}

// DefaultRoute originates a default route as an AS boundary router.
type DefaultRoute struct {
	Always bool // even without one in the routing table
	Type1  bool
	Metric uint32
	Tag    uint32
}

// StubRouter says when transit links are given the highest metric, RFC 6987.
type StubRouter struct {
	Always    bool
	OnStartup time.Duration
}

// Restart is graceful restart, RFC 3623 and RFC 5187.
type Restart struct {
	NoHelper bool          // do not help neighbours that restart
	Lax      bool          // go on helping when the topology changes (RFC 3623 3.2 ends it)
	Period   time.Duration // of our own; 0: we do not
}

// Throttle spaces a reaction: the first comes after Initial, the next ones Hold apart, which doubles up to Max.
type Throttle struct{ Initial, Hold, Max time.Duration }

// Defaults. The intervals are the examples of RFC 2328 appendix C.3, on every kind of interface, as FRR and BIRD have them
// (on NBMA and point-to-multipoint Cisco has 30 s and 120 s).
const (
	DefaultPriority      = 1
	DefaultHello         = 10 * time.Second
	DefaultRetransmit    = 5 * time.Second
	DefaultTransmitDelay = time.Second
	DefaultPoll          = 2 * time.Minute
	DefaultReference     = 100e6 // bits per second
	DefaultMetric        = 20
	DefaultExchanges     = 64
	DefaultMaxLSAs       = 500000
	deadFactor           = 4
	maxMetric            = 0xffff
)

// DefaultSPF runs 10 ms after the first change, then 20, 40, 80 ms apart, up to 5 s. A failure is several changes: those at
// both ends of what failed, told by routers that notice at different times. Traffic is lost, or goes in circles, until
// the last of them counts, so the first few may not wait for each other; a storm of them has doubled the time by then.
var DefaultSPF = Throttle{10 * time.Millisecond, 20 * time.Millisecond, 5 * time.Second}

// DefaultLSA originates at once, then again after 1.2 s, later after up to MinLSInterval: shorter than the RFC's 5 s, and
// longer than the second for which others do not take another instance (MinLSArrival).
var DefaultLSA = Throttle{0, 1200 * time.Millisecond, wire.MinLSInterval}

// complete fills defaults in a copy.
func (c Config) complete() *Config {
	c.Reference = orDefault(c.Reference, DefaultReference)
	c.MaxPaths = orDefault(c.MaxPaths, 8)
	c.Distance = orDefault(c.Distance, rib.OSPF.Distance())
	c.SPF = orDefault(c.SPF, DefaultSPF)
	c.LSA = orDefault(c.LSA, DefaultLSA)
	c.MinArrival = orDefault(c.MinArrival, wire.MinLSArrival)
	c.MaxExchanges = orDefault(c.MaxExchanges, DefaultExchanges)
	c.MaxLSAs = orDefault(c.MaxLSAs, DefaultMaxLSAs)
	areas := make([]Area, len(c.Areas))
	for i, a := range c.Areas {
		a.DefaultCost = orDefault(a.DefaultCost, 1)
		ifaces := make([]Interface, len(a.Interfaces))
		for k, f := range a.Interfaces {
			ifaces[k] = f.complete(c.Reference)
		}
		a.Interfaces = ifaces
		areas[i] = a
	}
	c.Areas = areas
	return &c
}

func (f Interface) complete(reference uint64) Interface {
	f.Hello = orDefault(f.Hello, DefaultHello)
	f.Dead = orDefault(f.Dead, deadFactor*f.Hello)
	f.Retransmit = orDefault(f.Retransmit, DefaultRetransmit)
	f.TransmitDelay = orDefault(f.TransmitDelay, DefaultTransmitDelay)
	f.Poll = orDefault(f.Poll, DefaultPoll)
	if f.Cost == 0 && f.Network != Loopback {
		f.Cost = cost(reference, f.Bandwidth)
	}
	if len(f.Keys) == 0 {
		f.Keys = nil
	}
	return f
}

// cost is that of an interface by its bandwidth, at least 1. One of unknown bandwidth costs 10, as Ethernet did.
func cost(reference, bandwidth uint64) uint32 {
	if bandwidth == 0 {
		return 10
	}
	return uint32(min(max(reference/bandwidth, 1), maxMetric))
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// matches is what a list says of a prefix: whether it is let in, and by which line.
func matches(list []Match, p netip.Prefix, tag uint32) (Match, bool) {
	if len(list) == 0 {
		return Match{}, true
	}
	for _, l := range list {
		if l.matches(p) && (l.Tagged == 0 || l.Tagged == tag) {
			return l, !l.Deny
		}
	}
	return Match{}, false
}

func (l Match) matches(p netip.Prefix) bool {
	least, most := l.Min, l.Max
	if !l.Prefix.IsValid() {
		return p.Bits() >= least && (most == 0 || p.Bits() <= most)
	}
	if least == 0 && most == 0 {
		least, most = l.Prefix.Bits(), l.Prefix.Bits()
	}
	if most == 0 {
		most = p.Addr().BitLen()
	}
	least = max(least, l.Prefix.Bits())
	return l.Prefix.Contains(p.Addr()) && p.Addr().Is4() == l.Prefix.Addr().Is4() && p.Bits() >= least && p.Bits() <= most
}
