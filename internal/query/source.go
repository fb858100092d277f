package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
)

// Source is a running router as its operator sees it. Its methods may be called from any goroutine.
type Source interface {
	NHRP() []nhrp.CacheRow
	Shortcuts() []nhrp.ShortcutRow
	Peers() []nhrp.PeerRow
	SAs() []ike.SARow
	IKE() []ike.IKERow
	BFD() []bfd.Row
	OSPF() []ospf.InstanceRow
	OSPFAreas() []ospf.AreaRow
	OSPFInterfaces() []ospf.InterfaceRow
	OSPFNeighbors() []ospf.NeighborRow
	OSPFDatabase() []ospf.DatabaseRow
	OSPFRouters() []ospf.RouterRow
	OSPFRoutes() []ospf.RouteRow
	OSPFProblems() []ospf.ProblemRow
	Routes() []RouteRow
	// RoutesTo is every candidate for what goes to a prefix, of all lengths, those that lead nowhere among them.
	RoutesTo(to netip.Prefix) []RouteRow
	Interfaces() []InterfaceRow
	Timers() []TimerRow
	Counters() []CounterRow
	// Config is the running configuration as canonical YAML, without secrets.
	Config() string
	// Why is the way to a peer, by protocol or NBMA address, stage by stage; [ErrNotFound] when there is none.
	Why(peer string) ([]nhrp.Stage, error)
	// Capture writes a peer's packets as pcapng until ctx ends or what was asked for is there; [ErrNotFound] when there
	// is no such peer. Each Write is of whole blocks.
	Capture(ctx context.Context, r capture.Request, w io.Writer) error
	// Clear forgets the rows of a `clear` command that filter matches ("" is all) and counts them.
	Clear(what, filter string) (int, error)
	// Reload reads the configuration again, applies what differs and says what that was.
	Reload(ctx context.Context) (changes []string, err error)
	// Restart ends the router for another process to take over: routes and devices stay, and neighbours wait.
	Restart(ctx context.Context) error
}

var (
	// ErrNotFound says that what was asked for does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConfig says that a configuration is not accepted, and that nothing of it was applied.
	ErrConfig = errors.New("configuration not accepted")
)

// RouteRow is one row of `show routes`. Reason is what is to be known of a route; `show routes ADDRESS` gives each one.
type RouteRow struct {
	VRF       string       `json:"vrf" table:",optional"`
	Prefix    netip.Prefix `json:"prefix"`
	Protocol  string       `json:"protocol"` // connected static nhrp kernel … guard
	Distance  uint8        `json:"distance"`
	Metric    uint32       `json:"metric"`
	Tag       uint32       `json:"tag" table:",optional,empty=-"`
	Kind      string       `json:"kind"`      // unicast blackhole reject
	NextHops  []NextHopRow `json:"nextHops"`  // of unicast
	Selected  bool         `json:"selected"`  // what goes there takes it, where no longer prefix is
	Installed bool         `json:"installed"` // the kernel has it
	Age       float64      `json:"age"`       // seconds
	Reason    string       `json:"reason,omitempty" table:",optional"`
	Idle      string       `json:"-" table:"-"` // why it leads nowhere, and so is no offer
}

// NextHopRow is one way out of a route. Via is the zero Addr when the destination is on the link.
type NextHopRow struct {
	Via       netip.Addr `json:"via"`
	Interface string     `json:"interface"`
	Weight    uint8      `json:"weight"` // share of the traffic among the next hops
}

// String is the next hop in the words of `ip route`.
func (n NextHopRow) String() string {
	s := "dev " + n.Interface
	switch {
	case n.Via.IsValid() && n.Interface == "":
		s = "via " + n.Via.String()
	case n.Via.IsValid():
		s = "via " + n.Via.String() + " " + s
	}
	if n.Weight > 1 {
		s += fmt.Sprint(" weight ", n.Weight)
	}
	return s
}

// InterfaceRow is one row of `show interfaces`: a tunnel, or an interface of the host that spokeway addresses.
type InterfaceRow struct {
	Name          string            `json:"name"`
	State         string            `json:"state"` // up down
	Reason        string            `json:"reason" table:",optional"`
	Underlay      string            `json:"underlay"` // interface, or address
	Local         netip.Addr        `json:"local"`    // the underlay address in use
	Key           *uint32           `json:"key"`      // null: GRE without a key
	Encapsulation string            `json:"encapsulation"`
	MTU           int               `json:"mtu"`
	Addresses     []netip.Prefix    `json:"addresses"`
	PacketsIn     uint64            `json:"packetsIn"`
	PacketsOut    uint64            `json:"packetsOut"`
	BytesIn       uint64            `json:"bytesIn"`
	BytesOut      uint64            `json:"bytesOut"`
	Drops         map[string]uint64 `json:"drops" table:",optional"` // packets by reason
}

// TimerRow is one row of `show timers`.
type TimerRow struct {
	Module    string  `json:"module"`
	Name      string  `json:"name"`
	Of        string  `json:"of"`        // whose it is
	ExpiresIn float64 `json:"expiresIn"` // seconds
}

// CounterRow is one row of `show counters`.
type CounterRow struct {
	Module    string `json:"module"`
	Interface string `json:"interface"`
	Peer      string `json:"peer" table:",optional"` // whose SA, for what is counted by it
	Name      string `json:"name"`                   // in words: "received registration request", "dropped: bad checksum"
	Value     uint64 `json:"value"`
}
