package spf

import (
	"net/netip"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// LSA is one instance in the database with its body, parsed once when it was installed.
type LSA struct {
	Header wire.LSAHeader
	Body   wire.LSABody
}

// Input is the database and what a router knows of itself. No LSA of it may be at MaxAge, as those do not count
// (RFC 2328 section 16.1), and none of it is changed or kept beyond the Calculation.
type Input struct {
	Version wire.Version
	Router  wire.RouterID
	Areas   []Area

	// Externals are the LSAs of AS scope: type 5, and 0x4005 in version 3.
	Externals []*LSA

	// Border says that the router borders areas and heeds the summaries of the backbone alone (16.2). A router that is
	// attached to several areas without a working backbone does better without it (RFC 3509).
	Border bool

	// RFC1583 prefers paths to AS boundary routers by cost alone (16.4.1).
	RFC1583 bool

	// MaxPaths bounds the next hops of a route; 0 is [DefaultMaxPaths].
	MaxPaths int
}

// DefaultMaxPaths is how many next hops of equal cost a route has at most.
const DefaultMaxPaths = 8

// Area is an area the router is attached to, with its LSAs by function.
type Area struct {
	ID         wire.AreaID
	Stub, NSSA bool // neither has externals of AS scope
	NoSummary  bool // as a border router we keep summaries out of this NSSA (RFC 3101 section 2.5)
	Interfaces []Interface

	// Ranges are those the router advertises as a border router: what others say of an active one is ignored (16.2).
	Ranges []netip.Prefix

	Routers   []*LSA // *wire.RouterLSA
	Networks  []*LSA // *wire.NetworkLSA
	Summaries []*LSA // *wire.Summary and *wire.SummaryRouter
	NSSAs     []*LSA // *wire.External, type 7
	Prefixes  []*LSA // *wire.IntraAreaPrefix, version 3
}

// Interface is one of the router's own interfaces in an area.
type Interface struct {
	Name      string
	ID        uint32         // of version 3; in version 2 what links of an unnumbered interface have as their data
	Addresses []netip.Prefix // in the family of the routes
	Neighbors []Neighbor     // those of state 2-Way and above

	// Links are the link-LSAs of the link (version 3): where the others' next-hop addresses are read from.
	Links []*LSA

	// Lost are routers that were neighbours and are no more: no way leads to them over a network whose network-LSA still
	// names them. With this traffic turns at once, not when the network has a new designated router.
	Lost []wire.RouterID
}

// Neighbor is a router across an interface.
type Neighbor struct {
	Router    wire.RouterID
	Interface uint32     // the identifier it gave its interface, version 3
	Address   netip.Addr // it sends from
}

// Kind is the type of a path, best first (RFC 2328 section 11).
type Kind uint8

const (
	IntraArea Kind = iota
	InterArea
	External1
	External2
)

func (k Kind) String() string {
	return [...]string{"intra-area", "inter-area", "external-1", "external-2"}[k]
}

// NextHop is one way out. Via is invalid where the destination is on the link itself.
type NextHop struct {
	Via       netip.Addr
	Interface string
}

// Route is the best way to a prefix.
type Route struct {
	Prefix   netip.Prefix
	Kind     Kind
	Cost     uint32      // within the autonomous system; of External2 to the AS boundary router
	Type2    uint32      // metric of External2
	Area     wire.AreaID // for externals that of the way to the AS boundary router
	NSSA     bool        // by a type 7 LSA of Area
	HasTag   bool
	Tag      uint32
	Origin   wire.LSAKey // the LSA that names the prefix; with equal cost one of them
	NextHops []NextHop   // sorted, shared with other routes: not to be changed
}

// RouterRoute is the best way to a border router.
type RouterRoute struct {
	Router     wire.RouterID
	Area       wire.AreaID // by which it is reached
	Kind       Kind        // IntraArea or InterArea
	Cost       uint32
	Border     bool // B, of area border routers
	Boundary   bool // E, of AS boundary routers
	Translates bool // Nt, of NSSA border routers that always translate (RFC 3101 section 2.4)
	NextHops   []NextHop
}

// Result is the routing table of OSPF.
type Result struct {
	Routes  []Route       // sorted by prefix
	Routers []RouterRoute // sorted by router and area
	Nodes   int           // routers and networks that are reached, all areas
}
