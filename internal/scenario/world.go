package scenario

import (
	"encoding/json"
	"errors"
	"net/netip"
	"time"
)

// ErrUnsupported is a world's answer to what it cannot do. The step is then reported as skipped.
var ErrUnsupported = errors.New("not possible in this world")

// World is where a scenario is played.
type World interface {
	// Kind is "lab" or "simulation", for reports.
	Kind() string

	Up(f *File) error
	Down() error

	Now() time.Duration
	// Sleep lets time pass. It fails when the run is being ended.
	Sleep(d time.Duration) error

	// Ping sends echo requests from a node and waits for the answers.
	Ping(node string, p Ping) (PingResult, error)
	// StartPing does so in the background, without end.
	StartPing(node string, p Ping) (Pinging, error)
	// Path lists the routers that answer on the way, the destination last; the zero Addr for one that is silent.
	Path(node string, t Trace) ([]netip.Addr, error)
	// Iperf measures TCP or UDP throughput between two nodes.
	Iperf(i Iperf) (IperfResult, error)

	// Show is the JSON a router answers to a command: {"show", "nhrp"}, {"why", "10.0.0.1"}.
	Show(node string, args []string) ([]byte, error)
	// Exec runs a command on a node. What it printed is returned also when it failed.
	Exec(node string, argv []string) ([]byte, error)

	Cut(t Target) error
	Mend(t Target) error

	// Start and Stop are for routers; Stop lets them say goodbye, Kill does not.
	Start(node string) error
	Stop(node string) error
	Kill(node, signal string) error
	Reload(node string, config []byte) error
	// Power takes a router's power away between two packets, or gives it back: it has its links again then, none of
	// the routes it had made, and starts.
	Power(node string, on bool) error

	// Routes is what a node's kernel does with packets for exactly this prefix: the next hops of the best route,
	// nil when there is none.
	Routes(node string, prefix netip.Prefix) ([]Hop, error)

	// Logs is what the node said last, for the report of a failure. It may be nil.
	Logs(node string, lines int) []string
}

// Pinging is a ping in the background.
type Pinging interface {
	// Stop ends the sending, waits for late answers and tells the result.
	Stop() (PingResult, error)
}

// Hop is one next hop of a route in a kernel.
type Hop struct {
	Via       netip.Addr // the zero Addr when the destination is on the interface
	Interface string
}

func (h Hop) String() string {
	if !h.Via.IsValid() {
		return h.Interface
	}
	return h.Via.String()
}

// Trace asks for a path. TTL is the longest one, 0 for 12.
type Trace struct {
	To      netip.Addr
	From    netip.Addr // source; the zero Addr leaves the choice to the node
	MaxTTL  int
	Timeout time.Duration // for one answer
}

// Target is what a cut goes through: one link, all links of a node, a whole network, or all packets between two nodes.
type Target struct {
	Node, Interface string // without Interface it is all links of Node
	Network         string
	Between         [2]string
}

func (t Target) String() string {
	switch {
	case t.Node != "" && t.Interface == "":
		return t.Node
	case t.Node != "":
		return t.Node + ":" + t.Interface
	case t.Network != "":
		return t.Network
	}
	return t.Between[0] + " <-> " + t.Between[1]
}

// Iperf asks for a throughput measurement.
type Iperf struct {
	From, To string
	Address  netip.Addr // of To
	Time     time.Duration
	Streams  int
	Reverse  bool
	UDP      bool
	Length   int    // octets per write or datagram; 0 leaves it
	Rate     uint64 // bit/s to send at; 0 = as fast as it goes
}

// IperfResult is what arrived.
type IperfResult struct {
	BitsPerSecond float64
	Retransmits   int
	LostPercent   float64
	Raw           json.RawMessage
}
