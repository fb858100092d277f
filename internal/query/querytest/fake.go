// Package querytest has a router that answers with what a test gives it, for tests of the printers, the socket and
// the program.
package querytest

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/query"
)

// Fake is a [query.Source] of fixed rows. The functions may be nil.
type Fake struct {
	NHRPRows      []nhrp.CacheRow
	ShortcutRows  []nhrp.ShortcutRow
	PeerRows      []nhrp.PeerRow
	SARows        []ike.SARow
	IKERows       []ike.IKERow
	BFDRows       []bfd.Row
	OSPFRows      OSPFRows
	RouteRows     []query.RouteRow
	InterfaceRows []query.InterfaceRow
	TimerRows     []query.TimerRow
	CounterRows   []query.CounterRow
	Restarted     int
	YAML          string
	Stages        map[string][]nhrp.Stage // by peer
	OnCapture     func(ctx context.Context, r capture.Request, w io.Writer) error
	OnClear       func(what, filter string) (int, error)
	OnReload      func(ctx context.Context) ([]string, error)
}

var _ query.Source = (*Fake)(nil)

// The rows, as given.
func (f *Fake) NHRP() []nhrp.CacheRow                  { return f.NHRPRows }
func (f *Fake) Shortcuts() []nhrp.ShortcutRow          { return f.ShortcutRows }
func (f *Fake) Peers() []nhrp.PeerRow                  { return f.PeerRows }
func (f *Fake) SAs() []ike.SARow                       { return f.SARows }
func (f *Fake) IKE() []ike.IKERow                      { return f.IKERows }
func (f *Fake) BFD() []bfd.Row                         { return f.BFDRows }
func (f *Fake) OSPF() []ospf.InstanceRow               { return f.OSPFRows.Instances }
func (f *Fake) OSPFAreas() []ospf.AreaRow              { return f.OSPFRows.Areas }
func (f *Fake) OSPFInterfaces() []ospf.InterfaceRow    { return f.OSPFRows.Interfaces }
func (f *Fake) OSPFNeighbors() []ospf.NeighborRow      { return f.OSPFRows.Neighbors }
func (f *Fake) OSPFDatabase() []ospf.DatabaseRow       { return f.OSPFRows.Database }
func (f *Fake) OSPFRouters() []ospf.RouterRow          { return f.OSPFRows.Routers }
func (f *Fake) OSPFRoutes() []ospf.RouteRow            { return f.OSPFRows.Routes }
func (f *Fake) OSPFProblems() []ospf.ProblemRow        { return f.OSPFRows.Problems }
func (f *Fake) Routes() []query.RouteRow               { return f.RouteRows }
func (f *Fake) RoutesTo(netip.Prefix) []query.RouteRow { return f.RouteRows }
func (f *Fake) Interfaces() []query.InterfaceRow       { return f.InterfaceRows }
func (f *Fake) Timers() []query.TimerRow               { return f.TimerRows }
func (f *Fake) Counters() []query.CounterRow           { return f.CounterRows }
func (f *Fake) Config() string                         { return f.YAML }

// Why looks the peer up in Stages.
func (f *Fake) Why(peer string) ([]nhrp.Stage, error) {
	if s, ok := f.Stages[peer]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("no peer %s: %w", peer, query.ErrNotFound)
}

// Capture calls OnCapture.
func (f *Fake) Capture(ctx context.Context, r capture.Request, w io.Writer) error {
	if f.OnCapture == nil {
		return fmt.Errorf("no peer %s: %w", r.Peer, query.ErrNotFound)
	}
	return f.OnCapture(ctx, r, w)
}

// Clear calls OnClear.
func (f *Fake) Clear(what, filter string) (int, error) {
	if f.OnClear == nil {
		return 0, nil
	}
	return f.OnClear(what, filter)
}

// Restart counts.
func (f *Fake) Restart(context.Context) error {
	f.Restarted++
	return nil
}

// Reload calls OnReload.
func (f *Fake) Reload(ctx context.Context) ([]string, error) {
	if f.OnReload == nil {
		return nil, nil
	}
	return f.OnReload(ctx)
}

// OSPFRows are the rows of the commands about OSPF.
type OSPFRows struct {
	Instances  []ospf.InstanceRow
	Areas      []ospf.AreaRow
	Interfaces []ospf.InterfaceRow
	Neighbors  []ospf.NeighborRow
	Database   []ospf.DatabaseRow
	Routers    []ospf.RouterRow
	Routes     []ospf.RouteRow
	Problems   []ospf.ProblemRow
}

// spokeOSPF is OSPF of the spoke: adjacent to its hub, and not to one in another area.
func spokeOSPF() OSPFRows {
	return OSPFRows{
		Instances: []ospf.InstanceRow{{Instance: "ospf", Version: "OSPFv2", RouterID: "10.100.100.12", Roles: []string{"boundary"}, Areas: 1, Interfaces: 2,
			Neighbors: 2, Adjacencies: 1, LSAs: 2, Routes: 2, Calculations: 7, LastReason: "router LSA of 10.100.100.1", LastAgo: 61, UpFor: 93784}},
		Areas: []ospf.AreaRow{{Instance: "ospf", Area: "0.0.0.0", Type: "normal", Interfaces: 2, Adjacencies: 1, Boundaries: 1, LSAs: 1}},
		Interfaces: []ospf.InterfaceRow{
			{Instance: "ospf", Interface: "eth1", Area: "0.0.0.0", Network: "broadcast", State: "passive", Address: addr("192.168.12.1"), Cost: 10, Priority: 1, Hello: 10, Dead: 40, MTU: 1500},
			{Instance: "ospf", Interface: "tun100", Area: "0.0.0.0", Network: "point-to-multipoint", State: "point-to-point", Address: addr("10.100.100.12"), Cost: 10,
				Priority: 1, Hello: 10, Dead: 40, MTU: 1400, Neighbors: 2, Adjacencies: 1}},
		Neighbors: []ospf.NeighborRow{
			{Instance: "ospf", RouterID: "10.100.100.1", Address: addr("10.100.100.1"), Interface: "tun100", Area: "0.0.0.0", State: "full", Priority: 1, DeadIn: 31.5,
				UpFor: 93744, Liveness: "up", Events: 6},
			{Instance: "ospf", RouterID: "10.100.100.2", Address: addr("10.100.100.2"), Interface: "tun100", Area: "0.0.0.0", State: "exstart", Priority: 1, DeadIn: 38, UpFor: 12, Events: 3}},
		Database: []ospf.DatabaseRow{
			{Instance: "ospf", Scope: "as", Type: "external", ID: "172.16.0.0", Router: "10.100.100.12", Age: 61, Sequence: "0x80000001", Checksum: "0xbeef", Length: 36,
				Body: &wire.External{Prefix: prefix("172.16.0.0/12"), Metric: 20, Type2: true, Tag: 7}},
			{Instance: "ospf", Scope: "area 0.0.0.0", Type: "router", ID: "10.100.100.1", Router: "10.100.100.1", Age: 1200, Sequence: "0x80000123", Checksum: "0x1234", Length: 48}},
		Routers: []ospf.RouterRow{{Instance: "ospf", RouterID: "10.100.100.1", Area: "0.0.0.0", Roles: []string{"boundary"}, Kind: "intra-area", Cost: 10,
			NextHops: []ospf.RouteHop{{Via: addr("10.100.100.1"), Interface: "tun100"}}}},
		Routes: []ospf.RouteRow{
			{Instance: "ospf", Prefix: "192.168.0.0/24", Kind: "intra-area", Area: "0.0.0.0", Cost: 20, Router: "10.100.100.1", NextHops: []ospf.RouteHop{{Via: addr("10.100.100.1"), Interface: "tun100"}}},
			{Instance: "ospf", Prefix: "192.168.12.0/24", Kind: "intra-area", Area: "0.0.0.0", Cost: 10, Router: "10.100.100.12", NextHops: []ospf.RouteHop{{Interface: "eth1"}}}},
		Problems: []ospf.ProblemRow{{Instance: "ospf", Interface: "tun100", Neighbor: addr("10.100.100.2"), Problem: "mtu", Detail: "its interface MTU is 1500, ours 1400: make them equal, or set mtu-ignore",
			Remedy: "give both ends the same MTU, or set mtu-ignore", Count: 3, FirstAgo: 12, LastAgo: 2}},
	}
}

// Spoke is a spoke in the middle of things: one hub up and one down, a shortcut, one that forms, a route each way.
func Spoke() *Fake {
	key := uint32(42)
	return &Fake{
		NHRPRows: []nhrp.CacheRow{
			{Interface: "tun100", Type: "local", Protocol: addr("10.100.100.12"), PrefixLength: 32, NBMA: "192.0.2.12", ExpiresIn: -1},
			{Interface: "tun100", Type: "static", Protocol: addr("10.100.100.1"), PrefixLength: 32, NBMA: "10.0.0.2", Flags: []string{"nhs"}, ExpiresIn: -1},
			{Interface: "tun100", Type: "dynamic", Protocol: addr("10.100.100.11"), PrefixLength: 32, NBMA: "198.51.100.7:4754",
				ClaimedNBMA: "192.168.1.11", Flags: []string{"unique", "nat"}, ExpiresIn: 251.4},
			{Interface: "tun100", Type: "incomplete", Protocol: addr("10.100.100.13"), PrefixLength: 32, ExpiresIn: 2.5},
			{Interface: "tun6", Type: "dynamic", Protocol: addr("fd00::1"), PrefixLength: 128, NBMA: "2001:db8::1", Flags: []string{"nhs"}, ExpiresIn: 6893},
		},
		ShortcutRows: []nhrp.ShortcutRow{
			{Interface: "tun100", Type: "dynamic", Prefix: prefix("192.168.11.0/24"), Via: addr("10.100.100.11"), NBMA: "198.51.100.7:4754", ExpiresIn: 251.4},
			{Interface: "tun100", Type: "negative", Prefix: prefix("192.168.99.0/24"), ExpiresIn: 12, Reason: "no binding exists"},
		},
		PeerRows: []nhrp.PeerRow{
			{Interface: "tun100", Protocol: addr("10.100.100.1"), NBMA: "10.0.0.2", Role: "hub", Path: "direct", State: "up", RTT: 0.01234, UpFor: 93784},
			{Interface: "tun100", NBMA: "10.0.0.6", Role: "hub", Path: "direct", State: "registering", Reason: "no answer to 3 registrations"},
			{Interface: "tun100", Protocol: addr("10.100.100.11"), NBMA: "198.51.100.7:4754", Role: "spoke", Path: "direct", State: "up", RTT: 0.00042, UpFor: 48.6},
			{Interface: "tun100", Protocol: addr("10.100.100.13"), Role: "spoke", Path: "via-hub", State: "resolving"},
		},
		OSPFRows: spokeOSPF(),
		BFDRows: []bfd.Row{
			{Peer: netip.MustParseAddr("10.100.100.1"), Interface: "tun100", State: "up", TransmitInterval: 0.05, ReceiveInterval: 0.05, Multiplier: 3, UpFor: 93784,
				Diagnostic: "none", Local: netip.MustParseAddr("10.100.100.12"), Detection: 0.15, Watchers: []string{"nhrp", "ospf"}, Reason: "packets go both ways"},
			{Peer: netip.MustParseAddr("10.100.100.13"), Interface: "tun100", State: "down", TransmitInterval: 1, Multiplier: 3,
				Diagnostic: "control detection time expired", Local: netip.MustParseAddr("10.100.100.12"), Watchers: []string{"nhrp"},
				Reason: "no packet from the peer for 150ms"},
		},
		SARows: []ike.SARow{
			{Profile: "corp", Local: "192.0.2.12", Remote: "10.0.0.2", LocalID: "spoke2.example.com", RemoteID: "hub1.example.com", State: "up",
				IKE: "aes256gcm-sha384-x25519-mlkem768", Suite: "aes256gcm-esn", Mode: "transport", Encapsulation: "esp", PathMTU: 1500,
				SPIIn: "00c0ffee", SPIOut: "0badcafe", BytesIn: 1 << 20, BytesOut: 999999, PacketsIn: 1200, PacketsOut: 1100, RekeyIn: 2951, UpFor: 93784,
				Drops: map[string]uint64{"replayed": 2}},
			{Profile: "corp", Local: "192.0.2.12:4500", Remote: "198.51.100.7:4500", LocalID: "spoke2.example.com", RemoteID: "spoke1.example.com", State: "down",
				IKE: "aes256gcm-sha384-x25519", Encapsulation: "udp"},
		},
		IKERows: []ike.IKERow{
			{Profile: "corp", Local: "192.0.2.12:500", Remote: "10.0.0.2:500", LocalID: "spoke2.example.com", RemoteID: "hub1.example.com", State: "established",
				Role: "initiator", Suite: "aes256gcm-sha384-x25519-mlkem768", Method: "ECDSA P-256", NAT: "none", Flags: []string{"mobike", "fragmentation"},
				Children: 1, RekeyIn: 11930, UpFor: 93784},
			{Profile: "corp", Local: "192.0.2.12", Remote: "10.0.0.6", State: "waiting", Role: "initiator", RekeyIn: 12.4, Reason: "no answer to IKE_SA_INIT"},
		},
		RouteRows: []query.RouteRow{
			{Prefix: prefix("0.0.0.0/0"), Kind: "unicast", Protocol: "kernel", Metric: 100, NextHops: hops("192.0.2.1", "eth0"), Selected: true, Installed: true, Age: 90061},
			{Prefix: prefix("10.100.100.0/24"), Kind: "unicast", Protocol: "connected", NextHops: hops("", "tun100"), Selected: true, Installed: true, Age: 90000},
			{Prefix: prefix("192.168.0.0/16"), Kind: "unicast", Protocol: "static", Distance: 1, NextHops: hops("10.100.100.1", "tun100"), Selected: true, Installed: true, Age: 90000},
			{Prefix: prefix("192.168.11.0/24"), Kind: "unicast", Protocol: "nhrp", Distance: 10, NextHops: hops("10.100.100.11", "tun100"), Selected: true, Installed: true, Age: 48.6},
			{Prefix: prefix("192.168.11.0/24"), Kind: "unicast", Protocol: "ospf", Distance: 110, Metric: 20, NextHops: hops("10.100.100.1", "tun100"), Age: 3600},
			{Prefix: prefix("203.0.113.0/24"), Kind: "blackhole", Protocol: "static", Distance: 1, Selected: true, Installed: true, Age: 90000},
			{Prefix: prefix("2001:db8:1::/48"), Kind: "unicast", Protocol: "static", Distance: 1, NextHops: hops("fd00::1", "tun6"), Selected: true, Installed: true, Age: 12},
			{Prefix: prefix("192.168.77.0/24"), Kind: "unicast", Protocol: "ospf", Distance: 110, Metric: 30, Tag: 7, Selected: true, Age: 60, Reason: "not in the kernel: interface eth7 is down",
				NextHops: []query.NextHopRow{{Via: addr("10.7.0.1"), Interface: "eth7", Weight: 3}, {Via: addr("10.7.0.2"), Interface: "eth7", Weight: 1}}},
			{Prefix: prefix("192.168.88.0/24"), Kind: "blackhole", Protocol: "guard", Distance: 255, Metric: 4294967294, Selected: true, Installed: true},
			{Prefix: prefix("192.168.0.0/16"), Kind: "blackhole", Protocol: "guard", Distance: 255, Metric: 4294967295, Installed: true},
		},
		InterfaceRows: []query.InterfaceRow{
			{Name: "tun100", State: "up", Underlay: "eth0", Local: addr("192.0.2.12"), Key: &key, Encapsulation: "gre", MTU: 1472,
				Addresses: []netip.Prefix{prefix("10.100.100.12/24"), prefix("fd00:100::12/64")},
				PacketsIn: 1200, PacketsOut: 1100, BytesIn: 1 << 20, BytesOut: 999999, Drops: map[string]uint64{"no adjacency": 3, "bad checksum": 1, "too big": 0}},
			{Name: "tun6", State: "down", Reason: "underlay eth1 is gone", Underlay: "eth1", Encapsulation: "udp", MTU: 1444,
				Addresses: []netip.Prefix{prefix("fd00::12/64")}},
		},
		TimerRows: []query.TimerRow{
			{Module: "nhrp", Name: "register", Of: "tun100 10.0.0.2", ExpiresIn: 99.6},
			{Module: "nhrp", Name: "expire", Of: "tun100 10.100.100.11", ExpiresIn: 251.4},
		},
		CounterRows: []query.CounterRow{
			{Module: "nhrp", Interface: "tun100", Name: "received registration reply", Value: 17},
			{Module: "nhrp", Interface: "tun100", Name: "dropped: bad checksum", Value: 2},
			{Module: "core", Name: "panics", Value: 0},
			{Module: "ike", Name: "established", Value: 9},
			{Module: "ike", Name: "handshake failed: no answer", Value: 3},
			{Module: "dataplane", Peer: "10.0.0.2", Name: "dropped: replayed", Value: 2},
		},
		YAML: "version: 1\nnode: spoke2\ntunnels:\n  tun100:\n    underlay: eth0\n    key: 42\n    nhrp:\n      authentication: <redacted>\n",
		Stages: map[string][]nhrp.Stage{
			"10.100.100.11": {
				{Name: "underlay route", State: "ok", Detail: "198.51.100.7 via 192.0.2.1 dev eth0"},
				{Name: "registered", State: "ok", Detail: "with 10.100.100.1 (10.0.0.2)"},
				{Name: "path", State: "ok", Detail: "direct, 420µs"},
			},
			"10.0.0.6": {
				{Name: "resolve server", State: "ok", Detail: "10.0.0.6 is an address"},
				{Name: "underlay route", State: "failed", Detail: "no route to 10.0.0.6", Remedy: "ip route get 10.0.0.6"},
				{Name: "registered", State: "waiting", Detail: "for the stage above"},
			},
		},
	}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func hops(via, dev string) []query.NextHopRow {
	h := query.NextHopRow{Interface: dev, Weight: 1}
	if via != "" {
		h.Via = addr(via)
	}
	return []query.NextHopRow{h}
}
