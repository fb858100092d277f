package scenario

import (
	"net/netip"
	"time"
)

// File is a whole scenario, checked.
type File struct {
	Path     string
	Name     string
	Summary  string
	Variants []string // names of all; the file is told in one of them
	Variant  string   // which; "" when it has none
	Networks []Network
	Nodes    []Node
	Steps    []Step
}

// NetworkKind says what is between the nodes of a network.
type NetworkKind string

const (
	// Provider is an Internet in small: every subnet on it is a site of its own behind the provider's router,
	// which has the subnet's first address. Nodes get a default route to it.
	Provider NetworkKind = "provider"
	// LAN is one segment, with nothing on it but its nodes.
	LAN NetworkKind = "lan"
)

// Network joins interfaces of nodes.
type Network struct {
	Name string
	Kind NetworkKind
	Link Link // of every interface on it that says nothing else
}

// Link is what happens to a packet between a node's interface and the network, the same in both directions.
// A path between two sites crosses two links.
type Link struct {
	Delay     time.Duration
	Jitter    time.Duration // the delay is drawn from [Delay-Jitter, Delay+Jitter]; packets may overtake each other
	Loss      float64       // 0 to 1
	Duplicate float64       // 0 to 1
	Rate      uint64        // bit/s; 0 = no limit
	MTU       int           // octets; 0 = 1500
}

// Impaired reports whether the link does more than carry packets.
func (l Link) Impaired() bool {
	return l.Delay > 0 || l.Jitter > 0 || l.Loss > 0 || l.Duplicate > 0 || l.Rate > 0
}

// Size is the link's MTU.
func (l Link) Size() int {
	if l.MTU == 0 {
		return 1500
	}
	return l.MTU
}

// NodeKind says what a node runs.
type NodeKind string

const (
	Router NodeKind = "router" // spokeway, with a configuration
	Host   NodeKind = "host"   // nothing
	NAT    NodeKind = "nat"    // forwards, and hides what it forwards behind the address of its outside interface
)

// Node is one machine.
type Node struct {
	Name       string
	Kind       NodeKind
	Interfaces []Interface
	Gateways   []netip.Addr // default routes, at most one per family
	Routes     []Route
	Outside    string // NAT: the interface that packets leave by under its address
	Config     []byte // Router: the configuration, YAML
	Manual     bool   // Router: wait for a start step
	tunnels    []netip.Addr
}

// Interface is a node's end of a link.
type Interface struct {
	Name      string
	Network   string
	Addresses []netip.Prefix
	Link      Link
}

// Route is a static route of a node's kernel.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Gateway is the provider router's address on the site with this subnet: the first one.
func Gateway(p netip.Prefix) netip.Addr {
	base := p.Masked().Addr()
	if base.BitLen()-p.Bits() <= 1 {
		return base
	}
	return base.Next()
}

// Node finds a node by its name; nil when there is none.
func (f *File) Node(name string) *Node {
	for i := range f.Nodes {
		if f.Nodes[i].Name == name {
			return &f.Nodes[i]
		}
	}
	return nil
}

// Network finds a network by its name; nil when there is none.
func (f *File) Network(name string) *Network {
	for i := range f.Networks {
		if f.Networks[i].Name == name {
			return &f.Networks[i]
		}
	}
	return nil
}

// Interface finds an interface by its name; nil when there is none.
func (n *Node) Interface(name string) *Interface {
	for i := range n.Interfaces {
		if n.Interfaces[i].Name == name {
			return &n.Interfaces[i]
		}
	}
	return nil
}

// Addresses are all addresses of the node: those of its interfaces, then those of its tunnels.
func (n *Node) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, i := range n.Interfaces {
		for _, p := range i.Addresses {
			all = append(all, p.Addr())
		}
	}
	return append(all, n.tunnels...)
}

// Address is the first address of the family on the node's interfaces; the zero Addr when there is none.
func (n *Node) Address(ipv6 bool) netip.Addr {
	for _, i := range n.Interfaces {
		for _, p := range i.Addresses {
			if p.Addr().Is6() == ipv6 {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

// SetConfig replaces a router's configuration.
func (n *Node) SetConfig(c Config) { n.Config, n.tunnels = c.Text, c.tunnels }

// Config is a configuration as a file has it: its text, and the tunnel addresses in it, by which a path names its hops.
type Config struct {
	Text    []byte
	tunnels []netip.Addr
}
