package peers

import (
	"fmt"
	"strings"
)

// spec is a router of either make. All that is not here follows from its site N: underlay 10.0.N.2/24, tunnel address
// 10.255.255.N, LAN 192.168.N.0/24 with the router at .1. Key and network-id are 42, the holding time is 10 s.
type spec struct {
	name      string
	site      int
	length    int    // of the tunnel's prefix
	password  string // "" = none
	servers   []server
	clients   []int // a hub's: the sites whose LANs are behind their tunnel addresses
	routes    []route
	unique    bool
	ipv6      bool       // also fd00:255::N on the tunnel and fd00:N::1/64 on the LAN, with routes as those of IPv4
	nat       bool       // behind a translator, which has the site's 10.0.N.2; the router itself has 172.16.N.2
	tunnel    int        // the tunnel address's last octet, when it is not the site
	extra     []string   // lines of our YAML, in nhrp
	refused   bool       // its hubs will not have it
	protect   protection // with its hubs, when it has a name
	partners  []spec     // with whom a guest has associations, by strongSwan
	libreswan bool       // or by libreswan
	ospf      bool       // FRR speaks OSPF on its tunnel and LAN, which then replaces all routes of the overlay
	routing   []string   // lines of our YAML, at its top: OSPF of ours
	text      string     // our YAML, all of it, of a router that follows from nothing here
}

// server is a hub as a spoke has it configured.
type server struct {
	site     int
	priority int
	cluster  string
}

type route struct {
	to       string
	via      string
	distance int
	iface    bool // say that it is out of the tunnel
}

const (
	tunnelName = "tun100"
	holdTime   = 10
	secret     = "secret"
)

func nbma(site int) string         { return fmt.Sprintf("10.0.%d.2", site) }
func gateway(site int) string      { return fmt.Sprintf("10.0.%d.1", site) }
func inside(site, n int) string    { return fmt.Sprintf("172.16.%d.%d", site, n) }
func tunnelAddress(n int) string   { return fmt.Sprintf("10.255.255.%d", n) }
func lan(site int) string          { return fmt.Sprintf("192.168.%d.0/24", site) }
func lanAddress(site int) string   { return fmt.Sprintf("192.168.%d.1", site) }
func hostRoute(site int) string    { return tunnelAddress(site) + "/32" }
func (p spec) isHub() bool         { return len(p.servers) == 0 }
func (p spec) address() string     { return tunnelAddress(p.tunnelOctet()) }
func (p spec) withMask() string    { return fmt.Sprintf("%s/%d", p.address(), p.prefixLength()) }
func lines(all ...string) string   { return strings.Join(all, "\n") + "\n" }
func (r route) withDistance() bool { return r.distance != 0 }

func tunnelAddress6(n int) string { return fmt.Sprintf("fd00:255::%d", n) }
func lan6(site int) string        { return fmt.Sprintf("fd00:%d::/64", site) }
func lanAddress6(site int) string { return fmt.Sprintf("fd00:%d::1", site) }

// underlay is the router's own NBMA address.
func (p spec) underlay() string {
	if p.nat {
		return inside(p.site, 2)
	}
	return nbma(p.site)
}

func (p spec) gateway() string {
	if p.nat {
		return inside(p.site, 1)
	}
	return gateway(p.site)
}

func (p spec) tunnelOctet() int {
	if p.tunnel != 0 {
		return p.tunnel
	}
	return p.site
}

func (p spec) prefixLength() int {
	if p.length != 0 {
		return p.length
	}
	return 32
}

// overlay is the router's routes in the cloud: a hub's to the LANs of its clients, a spoke's to all LANs by its hubs,
// the first of them first.
func (p spec) overlay() []route {
	if p.ospf {
		return p.routes
	}
	var all []route
	for _, site := range p.clients {
		all = append(all, route{to: lan(site), via: tunnelAddress(site)})
	}
	for i, hub := range p.servers {
		r := route{to: "192.168.0.0/16", via: tunnelAddress(hub.site)}
		if len(p.servers) > 1 {
			r.distance = 50 + 10*i
		}
		all = append(all, r)
	}
	if p.ipv6 {
		all = append(all, p.overlay6()...)
	}
	return append(all, p.routes...)
}

func (p spec) overlay6() []route {
	var all []route
	for _, site := range p.clients {
		all = append(all, route{to: lan6(site), via: tunnelAddress6(site)})
	}
	for _, hub := range p.servers {
		all = append(all, route{to: "fd00::/16", via: tunnelAddress6(hub.site)})
	}
	return all
}
