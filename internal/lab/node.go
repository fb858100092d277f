package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/spokeway/spokeway/internal/scenario"
)

// nodeSysctls are those of every node: no waiting for duplicate addresses, no routes by advertisement, no limit on
// the ICMP errors that a path is read from.
var nodeSysctls = [][2]string{
	{"ipv6/conf/all/disable_ipv6", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/default/dad_transmits", "0"},
	{"ipv6/conf/default/accept_ra", "0"},
	{"ipv6/conf/default/router_solicitations", "0"},
	{"ipv6/conf/default/keep_addr_on_down", "1"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/icmp_ratelimit", "0"},
	{"ipv6/icmp/ratelimit", "0"},
}

// routerSysctls are those of what forwards: routers, address translators, providers.
var routerSysctls = append([][2]string{
	{"ipv4/ip_forward", "1"},
	{"ipv6/conf/all/forwarding", "1"},
	{"ipv6/conf/default/forwarding", "1"},
	{"ipv4/conf/all/send_redirects", "0"}, // a host would go on sending to the router it was told of when that is dead
	{"ipv4/conf/default/send_redirects", "0"},
}, nodeSysctls...)

// newNode makes a node with its links, addresses, routes and address translation.
func (w *world) newNode(n *scenario.Node) error {
	s, err := w.space(n.Name)
	if err != nil {
		return err
	}
	w.nodes[n.Name] = &node{Node: n, space: s}
	values := nodeSysctls
	if n.Kind != scenario.Host {
		values = routerSysctls
	}
	if err := s.sysctl(values); err != nil {
		return err
	}
	for _, i := range n.Interfaces {
		if err := w.newInterface(s, i); err != nil {
			return err
		}
	}
	if err := w.addRoutes(s, n); err != nil {
		return err
	}
	if n.Kind == scenario.NAT {
		return masquerade(s, n)
	}
	return nil
}

func (w *world) newInterface(s *space, i scenario.Interface) error {
	if err := w.connect(s, w.network(i.Network), i); err != nil {
		return err
	}
	dev, err := s.nl.LinkByName(i.Name)
	if err != nil {
		return err
	}
	for _, p := range i.Addresses {
		if err := addAddress(s.nl, dev, p); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return s.nl.LinkSetUp(dev)
}

// addRoutes adds the node's own routes, then default routes: its gateways, else its providers, the first one first.
func (w *world) addRoutes(s *space, n *scenario.Node) error {
	for _, r := range n.Routes {
		if err := addRoute(s, r.To, r.Via, 0); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	for _, g := range n.Gateways {
		if err := addRoute(s, defaultOf(g), g, 0); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	for at, i := range n.Interfaces {
		if w.file.Network(i.Network).Kind != scenario.Provider {
			continue
		}
		for _, p := range i.Addresses {
			g := scenario.Gateway(p)
			if err := addRoute(s, defaultOf(g), g, 1024+at); err != nil {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
		}
	}
	return nil
}

func defaultOf(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func addRoute(s *space, to netip.Prefix, via netip.Addr, metric int) error {
	r := &netlink.Route{Dst: ipNet(to), Gw: via.AsSlice(), Priority: metric}
	if err := s.nl.RouteAdd(r); err != nil {
		return fmt.Errorf("route %s via %s: %w", to, via, err)
	}
	return nil
}

// masquerade hides what a node forwards behind its outside address, as home and branch routers do. What was not
// asked for from inside is dropped, IPv6 included.
func masquerade(s *space, n *scenario.Node) error {
	rules := fmt.Sprintf(`
table inet lab {
	chain out { type nat hook postrouting priority srcnat; oifname "%[1]s" masquerade; }
	chain pass {
		type filter hook forward priority filter;
		iifname "%[1]s" ct state established,related accept;
		iifname "%[1]s" drop;
	}
}`, n.Outside)
	var out bytes.Buffer
	err := s.do(func() error {
		c := exec.Command("nft", "-f", "-")
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader(rules), &out, &out
		return c.Run()
	})
	if err != nil {
		return fmt.Errorf("address translation on %s: nft: %w: %s", n.Name, err, strings.TrimSpace(out.String()))
	}
	return nil
}
