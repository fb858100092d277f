package sys

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// rtaNexthop is RTA_NH_ID of linux/rtnetlink.h.
const rtaNexthop = 30

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func appendUint32Attr(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, native.AppendUint32(nil, v))
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// composeRoute is the body of RTM_NEWROUTE. hops are r's next hops with their interfaces resolved; with an object that leads
// by them, the route names the object instead.
func composeRoute(b []byte, r kernel.Route, hops []outHop, object uint32) []byte {
	var flags uint32
	if len(hops) == 1 && hops[0].onlink && object == 0 {
		flags = unix.RTNH_F_ONLINK
	}
	b = appendRouteHeader(b, r.Prefix, scope(hops), routeType(r.Kind), flags)
	b = appendDestination(b, r.Prefix, r.Metric)
	switch {
	case len(hops) == 0:
		return b
	case object != 0:
		return appendUint32Attr(b, rtaNexthop, object)
	case len(hops) == 1:
		return hops[0].append(appendUint32Attr(b, unix.RTA_OIF, uint32(hops[0].index)), r.Prefix)
	}
	var list []byte
	for _, h := range hops {
		list = h.appendNexthop(list, r.Prefix)
	}
	return appendAttr(b, unix.RTA_MULTIPATH, list)
}

// composeNexthop is the body of RTM_NEWNEXTHOP for an object that is one next hop. ipv6 is the family of what is on the link.
func composeNexthop(b []byte, id uint32, h outHop, ipv6 bool) []byte {
	family, flags := uint8(unix.AF_INET), uint32(0)
	if h.via.Is6() || !h.via.IsValid() && ipv6 {
		family = unix.AF_INET6
	}
	if h.onlink {
		flags = unix.RTNH_F_ONLINK
	}
	b = appendNexthopHeader(b, family, flags)
	b = appendUint32Attr(b, unix.NHA_ID, id)
	b = appendUint32Attr(b, unix.NHA_OIF, uint32(h.index))
	if h.via.IsValid() {
		b = appendAttr(b, unix.NHA_GATEWAY, h.via.AsSlice())
	}
	return b
}

// composeGroup is the body of RTM_NEWNEXTHOP for a group of objects, struct nexthop_grp each.
func composeGroup(b []byte, id uint32, members []member) []byte {
	b = appendNexthopHeader(b, unix.AF_UNSPEC, 0)
	b = appendUint32Attr(b, unix.NHA_ID, id)
	var list []byte
	for _, m := range members {
		list = append(native.AppendUint32(list, m.id), max(m.weight, 1)-1, 0, 0, 0)
	}
	return appendAttr(b, unix.NHA_GROUP, list)
}

// composeNexthopRemoval is the body of RTM_DELNEXTHOP.
func composeNexthopRemoval(b []byte, id uint32) []byte {
	return appendUint32Attr(append(b, make([]byte, unix.SizeofNhmsg)...), unix.NHA_ID, id)
}

// appendNexthopHeader appends struct nhmsg.
func appendNexthopHeader(b []byte, family uint8, flags uint32) []byte {
	return native.AppendUint32(append(b, family, 0, kernel.Protocol, 0), flags)
}

// routeType is the rtm_type of a kind.
func routeType(k rib.Kind) uint8 {
	switch k {
	case rib.Blackhole:
		return unix.RTN_BLACKHOLE
	case rib.Reject:
		return unix.RTN_UNREACHABLE
	}
	return unix.RTN_UNICAST
}

// composeRemoval is the body of RTM_DELROUTE: the route of ours with this key, whatever its type and next hops.
func composeRemoval(b []byte, k kernel.Key) []byte {
	b = appendRouteHeader(b, k.Prefix, unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC, 0)
	return appendDestination(b, k.Prefix, k.Metric)
}

func appendRouteHeader(b []byte, p netip.Prefix, scope, kind uint8, flags uint32) []byte {
	b = append(b, family(p.Addr()), uint8(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, kernel.Protocol, scope, kind)
	return native.AppendUint32(b, flags)
}

func appendDestination(b []byte, p netip.Prefix, metric uint32) []byte {
	b = appendAttr(b, unix.RTA_DST, p.Addr().AsSlice())
	return appendUint32Attr(b, unix.RTA_PRIORITY, metric)
}

// scope is that of the destination as IPv4 wants it: on the link, or beyond a next hop.
func scope(hops []outHop) uint8 {
	if len(hops) == 1 && !hops[0].via.IsValid() {
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// outHop is a next hop on its way into the kernel.
type outHop struct {
	hop
	onlink bool // no prefix of the interface covers via; the kernel shall believe us
}

func (h outHop) append(b []byte, p netip.Prefix) []byte {
	switch {
	case !h.via.IsValid():
		return b
	case h.via.Is4() == p.Addr().Is4():
		return appendAttr(b, unix.RTA_GATEWAY, h.via.AsSlice())
	}
	return appendAttr(b, unix.RTA_VIA, append(native.AppendUint16(nil, uint16(family(h.via))), h.via.AsSlice()...))
}

func (h outHop) appendNexthop(b []byte, p netip.Prefix) []byte {
	at := len(b)
	var flags uint8
	if h.onlink {
		flags = unix.RTNH_F_ONLINK
	}
	b = append(b, 0, 0, flags, max(h.weight, 1)-1)
	b = h.append(native.AppendUint32(b, uint32(h.index)), p)
	native.PutUint16(b[at:], uint16(len(b)-at))
	return b
}

// composeAddr is the body of RTM_NEWADDR and RTM_DELADDR.
func composeAddr(b []byte, index int, p netip.Prefix, flags uint32) []byte {
	b = append(b, family(p.Addr()), uint8(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	b = native.AppendUint32(b, uint32(index))
	b = appendAttr(b, unix.IFA_LOCAL, p.Addr().AsSlice())
	b = appendAttr(b, unix.IFA_ADDRESS, p.Addr().AsSlice())
	return appendUint32Attr(b, unix.IFA_FLAGS, flags)
}

// composeLink is the body of RTM_NEWLINK that sets the MTU, unless 0, and sets the interface up where up says so.
func composeLink(b []byte, index, mtu int, up bool) []byte {
	var flags uint32
	if up {
		flags = unix.IFF_UP
	}
	b = append(b, unix.AF_UNSPEC, 0, 0, 0)
	b = native.AppendUint32(b, uint32(index))
	b = native.AppendUint32(b, flags)
	b = native.AppendUint32(b, flags) // the mask of what changes
	if mtu != 0 {
		b = appendUint32Attr(b, unix.IFLA_MTU, uint32(mtu))
	}
	return b
}
