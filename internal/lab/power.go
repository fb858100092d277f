package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/scenario"
)

// Power takes a router's power away, or gives it back. Its links fall silent before its daemon is killed, so that
// no farewell of its kernel's gets out.
func (w *world) Power(name string, on bool) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	links := scenario.Target{Node: name}
	if !on {
		return errors.Join(w.Cut(links), w.Kill(name, "KILL"))
	}
	return errors.Join(n.forget(), w.Mend(links), w.Start(name))
}

// forget removes the routes that the router left in its kernel, as a reboot does.
func (s *space) forget() error {
	all, err := s.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: kernel.Protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list the routes of %s: %w", s.name, err)
	}
	for _, r := range all {
		if err := s.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %s of %s: %w", r.Dst, s.name, err)
		}
	}
	return nil
}

// Routes is what the node's kernel does with packets for a prefix.
func (w *world) Routes(name string, prefix netip.Prefix) ([]scenario.Hop, error) {
	n, err := w.node(name)
	if err != nil {
		return nil, err
	}
	family := netlink.FAMILY_V4
	if prefix.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := n.nl.RouteListFiltered(family, &netlink.Route{Dst: ipNet(prefix)}, netlink.RT_FILTER_DST)
	if err != nil {
		return nil, fmt.Errorf("list the routes of %s: %w", name, err)
	}
	var best *netlink.Route
	for i, r := range all {
		if best == nil || r.Priority < best.Priority {
			best = &all[i]
		}
	}
	if best == nil || best.Type != unix.RTN_UNICAST {
		return nil, nil
	}
	return n.hopsOf(best)
}

func (s *space) hopsOf(r *netlink.Route) ([]scenario.Hop, error) {
	hops := r.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw}}
	}
	var all []scenario.Hop
	for _, h := range hops {
		dev, err := s.nl.LinkByIndex(h.LinkIndex)
		if err != nil {
			return nil, err
		}
		via, _ := netip.AddrFromSlice(h.Gw)
		all = append(all, scenario.Hop{Via: via.Unmap(), Interface: dev.Attrs().Name})
	}
	return all, nil
}
