package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// network is a network as namespace: a bridge per site, and one that is down, where cut links go.
type network struct {
	scenario.Network
	*space
	sites []*site
	ports int
}

// site is one segment: a bridge, and on it, when there is a provider, its router's addresses.
type site struct {
	bridge   *netlink.Bridge
	prefixes []netip.Prefix
	mtu      int
}

// port is the network's end of a link.
type port struct {
	network *network
	site    *site
	link    netlink.Link
}

// pit is the bridge of cut links. It is down and drops what comes: the node sees no change, only silence.
const pit = "cut"

func (w *world) newNetwork(n scenario.Network) (*network, error) {
	s, err := w.space(n.Name)
	if err != nil {
		return nil, err
	}
	net := &network{Network: n, space: s}
	values := [][2]string{{"ipv6/conf/default/disable_ipv6", "1"}}
	if n.Kind == scenario.Provider {
		values = append(routerSysctls, values...)
	}
	if err := s.sysctl(values); err != nil {
		return nil, err
	}
	return net, s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: pit}})
}

// siteOf finds or makes the segment for an interface: on a LAN the one there is, at a provider that of its subnet.
func (n *network) siteOf(i scenario.Interface) (*site, error) {
	for _, s := range n.sites {
		if n.Kind == scenario.LAN || s.shares(i.Addresses) {
			return s, n.widen(s, i)
		}
	}
	s := &site{bridge: &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("site%d", len(n.sites)+1)}}}
	// A bridge takes its ports' lowest address and would change it with every cut.
	s.bridge.HardwareAddr = net.HardwareAddr{2, 0x5b, 0, 0, 0, byte(len(n.sites) + 1)}
	if err := n.nl.LinkAdd(s.bridge); err != nil {
		return nil, fmt.Errorf("make bridge %s in %s: %w", s.bridge.Name, n.name, err)
	}
	n.sites = append(n.sites, s)
	if n.Kind == scenario.Provider {
		if err := n.sysctl([][2]string{{"ipv6/conf/" + s.bridge.Name + "/disable_ipv6", "0"}}); err != nil {
			return nil, err
		}
	}
	if err := n.keepCarrier(s); err != nil {
		return nil, fmt.Errorf("bridge %s in %s: %w", s.bridge.Name, n.name, err)
	}
	return s, n.widen(s, i)
}

// keepCarrier gives a bridge a port that is always up. When its last link is cut, packets are to be lost behind it; a
// bridge without carrier would keep them in the neighbour's queue and deliver them when the link is mended.
func (n *network) keepCarrier(s *site) error {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: s.bridge.Name + "-up"}, PeerName: s.bridge.Name + "-end"}
	if err := n.nl.LinkAdd(v); err != nil {
		return err
	}
	end, err := n.nl.LinkByName(v.PeerName)
	if err != nil {
		return err
	}
	return errors.Join(n.nl.LinkSetMaster(v, s.bridge), n.nl.LinkSetUp(end), n.nl.LinkSetUp(v), n.nl.LinkSetUp(s.bridge))
}

func (s *site) shares(addresses []netip.Prefix) bool {
	for _, a := range addresses {
		for _, p := range s.prefixes {
			if a.Masked() == p {
				return true
			}
		}
	}
	return false
}

// widen makes a segment fit one more interface: its MTU, and the provider's address on its subnets.
func (n *network) widen(s *site, i scenario.Interface) error {
	if s.mtu == 0 || i.Link.Size() < s.mtu {
		s.mtu = i.Link.Size()
	}
	if n.Kind == scenario.LAN {
		return nil
	}
	for _, a := range i.Addresses {
		if s.shares([]netip.Prefix{a}) {
			continue
		}
		s.prefixes = append(s.prefixes, a.Masked())
		if err := addAddress(n.nl, s.bridge, netip.PrefixFrom(scenario.Gateway(a), a.Bits())); err != nil {
			return fmt.Errorf("address of provider %s: %w", n.Name, err)
		}
	}
	return nil
}

func addAddress(nl *netlink.Handle, l netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := nl.AddrAdd(l, a); err != nil {
		return fmt.Errorf("add %s to %s: %w", p, l.Attrs().Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// connect makes the link of one interface, with its end in the network on the right bridge.
func (w *world) connect(node *space, n *network, i scenario.Interface) error {
	site, err := n.siteOf(i)
	if err != nil {
		return err
	}
	n.ports++
	name := fmt.Sprintf("p%d", n.ports)
	switch {
	case i.Link.Impaired() && !w.netem:
		err = w.tapLink(node, n, i, name)
	default:
		err = w.vethLink(node, n, i, name)
	}
	if err != nil {
		return fmt.Errorf("link %s of %s: %w", i.Name, node.name, err)
	}
	p, err := n.nl.LinkByName(name)
	if err != nil {
		return err
	}
	n.nl.LinkSetAlias(p, w.file.nodeOf(node.name)+":"+i.Name)
	w.links[link{w.file.nodeOf(node.name), i.Name}] = &port{n, site, p}
	return n.plug(p, site)
}

func (n *network) plug(p netlink.Link, s *site) error {
	return errors.Join(n.nl.LinkSetMaster(p, s.bridge), n.nl.LinkSetMTU(s.bridge, s.mtu), n.nl.LinkSetUp(p))
}

func (w *world) vethLink(node *space, n *network, i scenario.Interface, port string) error {
	v := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: i.Name, MTU: i.Link.Size()},
		PeerName:  port, PeerNamespace: netlink.NsFd(int(n.ns)), PeerMTU: uint32(i.Link.Size()),
	}
	if err := node.nl.LinkAdd(v); err != nil {
		return err
	}
	if !i.Link.Impaired() {
		return nil
	}
	return errors.Join(netemEnd(node, i.Name, i.Link), netemEnd(n.space, port, i.Link))
}

// netemEnd prepares one end of a link: netem would delay or lose a train of segments as one packet.
func netemEnd(s *space, name string, l scenario.Link) error {
	if err := asOnAWire(s, name); err != nil {
		return err
	}
	return addNetem(s.nl, name, l)
}

// addNetem makes what leaves through an interface suffer as the link says.
func addNetem(nl *netlink.Handle, name string, l scenario.Link) error {
	dev, err := nl.LinkByName(name)
	if err != nil {
		return err
	}
	q := netlink.NewNetem(
		netlink.QdiscAttrs{LinkIndex: dev.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		netlink.NetemQdiscAttrs{
			Latency: uint32(l.Delay.Microseconds()), Jitter: uint32(l.Jitter.Microseconds()),
			Loss: float32(l.Loss * 100), Duplicate: float32(l.Duplicate * 100), Rate64: l.Rate / 8, Limit: maxFrames,
		})
	return nl.QdiscAdd(q)
}

// hasNetem asks the kernel by trying, in a namespace of ours.
func hasNetem(s *space) bool {
	v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "try0"}, PeerName: "try1"}
	if s.nl.LinkAdd(v) != nil {
		return false
	}
	defer s.nl.LinkDel(v)
	return addNetem(s.nl, "try0", scenario.Link{Delay: 1e6}) == nil
}

// tapLink makes two TAP devices and leaves their descriptors to the forwarder.
func (w *world) tapLink(node *space, n *network, i scenario.Interface, port string) error {
	a, err := openTAP(node, i.Name, i.Link.Size())
	if err != nil {
		return err
	}
	b, err := openTAP(n.space, port, i.Link.Size())
	if err != nil {
		a.Close()
		return err
	}
	w.wires.Links = append(w.wires.Links, i.Link)
	w.taps = append(w.taps, a, b)
	return nil
}

// openTAP makes a TAP device. It offers no offload, so what is read from it is as on a wire: every frame for itself,
// with its checksum.
func openTAP(s *space, name string, mtu int) (*os.File, error) {
	var fd int
	err := s.do(func() (err error) {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	if err != nil {
		return nil, fmt.Errorf("make TAP device %s: %w", name, err)
	}
	dev, err := s.nl.LinkByName(name)
	if err == nil {
		err = s.nl.LinkSetMTU(dev, mtu)
	}
	return os.NewFile(uintptr(fd), name), err
}

// settleTimeout is how long interfaces may take until they carry packets. The kernel's link watch runs once a second.
const settleTimeout = 5 * time.Second

// settle waits until every interface carries packets. One that is up but not yet running loses the first ones,
// neighbour solicitations among them.
func (w *world) settle() error {
	deadline := time.Now().Add(settleTimeout)
	for _, n := range w.networks {
		for _, s := range n.sites {
			if err := w.running(n.space, s.bridge.Name, deadline); err != nil {
				return err
			}
		}
	}
	for at, p := range w.links {
		if err := w.running(w.nodes[at.node].space, at.name, deadline); err != nil {
			return err
		}
		if err := w.running(p.network.space, p.link.Attrs().Name, deadline); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) running(s *space, name string, deadline time.Time) error {
	for {
		l, err := s.nl.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", name, s.name, err)
		}
		if l.Attrs().RawFlags&unix.IFF_RUNNING != 0 && s.usable(l) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s in %s carries no packets after %v", name, s.name, settleTimeout)
		}
		if err := w.Sleep(5 * time.Millisecond); err != nil {
			return err
		}
	}
}

// usable reports whether no address of an interface is tentative.
func (s *space) usable(l netlink.Link) bool {
	all, err := s.nl.AddrList(l, unix.AF_INET6)
	return err == nil && !slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
}

// Cut silences a link, a network, or all that two nodes say to each other.
func (w *world) Cut(t scenario.Target) error { return w.cable(t, true) }

// Mend undoes Cut.
func (w *world) Mend(t scenario.Target) error { return w.cable(t, false) }

func (w *world) cable(t scenario.Target, cut bool) error {
	if t.Between != [2]string{} {
		return w.part(t.Between, cut)
	}
	for at, p := range w.links {
		if at == (link{t.Node, t.Interface}) || at.node == t.Node && t.Interface == "" || p.network.Name == t.Network {
			if err := p.set(cut); err != nil {
				return fmt.Errorf("%s:%s: %w", at.node, at.name, err)
			}
		}
	}
	return nil
}

func (p *port) set(cut bool) error {
	if !cut {
		return p.network.plug(p.link, p.site)
	}
	to, err := p.network.nl.LinkByName(pit)
	if err != nil {
		return err
	}
	return p.network.nl.LinkSetMaster(p.link, to)
}

// blackhole is FR_ACT_BLACKHOLE, the action of a routing rule that drops.
const blackhole = 6

// part makes the provider drop what goes between two nodes. They must be on different sites of it: on one segment
// their packets pass no router.
func (w *world) part(pair [2]string, cut bool) error {
	rules := 0
	for _, n := range w.networks {
		if n.Kind != scenario.Provider {
			continue
		}
		for _, a := range w.on(pair[0], n) {
			for _, b := range w.on(pair[1], n) {
				if a.Is6() != b.Is6() || n.sameSite(a, b) {
					continue
				}
				if err := n.rules(a, b, cut); err != nil {
					return err
				}
				rules++
			}
		}
	}
	if rules == 0 {
		return fmt.Errorf("no provider's router is between %s and %s; cut NODE:INTERFACE instead", pair[0], pair[1])
	}
	return nil
}

func (n *network) sameSite(a, b netip.Addr) bool {
	for _, s := range n.sites {
		for _, p := range s.prefixes {
			if p.Contains(a) && p.Contains(b) {
				return true
			}
		}
	}
	return false
}

// on lists a node's addresses on a network.
func (w *world) on(node string, n *network) []netip.Addr {
	var all []netip.Addr
	for _, i := range w.file.Node(node).Interfaces {
		for _, p := range i.Addresses {
			if i.Network == n.Name {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

func (n *network) rules(a, b netip.Addr, add bool) error {
	for _, pair := range [][2]netip.Addr{{a, b}, {b, a}} {
		r := netlink.NewRule()
		r.Priority, r.Type, r.Family = 100, blackhole, unix.AF_INET
		if a.Is6() {
			r.Family = unix.AF_INET6
		}
		r.Src, r.Dst = ipNet(netip.PrefixFrom(pair[0], a.BitLen())), ipNet(netip.PrefixFrom(pair[1], a.BitLen()))
		change := n.nl.RuleDel
		if add {
			change = n.nl.RuleAdd
		}
		if err := change(r); err != nil {
			return fmt.Errorf("rule from %s to %s in %s: %w", pair[0], pair[1], n.name, err)
		}
	}
	return nil
}
