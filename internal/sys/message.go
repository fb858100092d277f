package sys

import (
	"bytes"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// attrTypeMask leaves out NLA_F_NESTED and NLA_F_NET_BYTEORDER, which some kernels set and some do not.
const attrTypeMask = 0x3fff

// attributes walks netlink attributes. It ends at the first that does not fit.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(native.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return native.Uint32(b)
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// linkMsg is an RTM_NEWLINK or RTM_DELLINK.
type linkMsg struct {
	index   int
	name    string
	kind    string // of a virtual device: veth, tun …
	admin   bool
	running bool
	mtu     int
}

// parseLink reads ifinfomsg and its attributes. Messages of a bridge about its ports, which come under the same
// type, are not ok.
func parseLink(b []byte) (l linkMsg, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return l, false
	}
	flags := native.Uint32(b[8:])
	l.index = int(int32(native.Uint32(b[4:])))
	l.admin, l.running = flags&unix.IFF_UP != 0, flags&unix.IFF_RUNNING != 0
	for kind, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = text(v)
		case unix.IFLA_MTU:
			l.mtu = int(u32(v))
		case unix.IFLA_LINKINFO:
			for kind, v := range attributes(v) {
				if kind == unix.IFLA_INFO_KIND {
					l.kind = text(v)
				}
			}
		}
	}
	return l, l.name != "" && l.index > 0
}

// addrMsg is an RTM_NEWADDR or RTM_DELADDR.
type addrMsg struct {
	index  int
	prefix netip.Prefix
	flags  uint32
}

// usable tells that the host may use the address: duplicate address detection is over and found nothing.
func (a addrMsg) usable() bool { return a.flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 }

// secondary tells that another address of the interface is to be preferred.
func (a addrMsg) secondary() bool { return a.flags&(unix.IFA_F_SECONDARY|unix.IFA_F_DEPRECATED) != 0 }

func parseAddr(b []byte) (a addrMsg, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return a, false
	}
	var addr, local netip.Addr
	a.flags, a.index = uint32(b[2]), int(int32(native.Uint32(b[4:])))
	for kind, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_ADDRESS:
			addr = address(v)
		case unix.IFA_LOCAL:
			local = address(v)
		case unix.IFA_FLAGS:
			a.flags = u32(v)
		}
	}
	if local.IsValid() { // of a point-to-point interface IFA_ADDRESS is the other end's
		addr = local
	}
	a.prefix = netip.PrefixFrom(addr, int(b[1]))
	return a, a.prefix.IsValid() && a.index > 0
}

// hop is a next hop as the kernel has it.
type hop struct {
	via    netip.Addr
	index  int
	weight uint8
	dead   bool
}

// routeMsg is an RTM_NEWROUTE or RTM_DELROUTE of the main table.
type routeMsg struct {
	prefix   netip.Prefix
	metric   uint32
	protocol uint8
	kind     rib.Kind
	hops     []hop
	object   uint32 // the nexthop object that it names; 0: none
}

// parseRoute reads rtmsg and its attributes. Routes that are no business of ours are not ok: other tables, cached
// clones, by source or type of service, link-local and multicast.
func parseRoute(b []byte) (r routeMsg, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return r, false
	}
	v6 := b[0] == unix.AF_INET6
	table, kind, flags := uint32(b[4]), b[7], native.Uint32(b[8:])
	if !v6 && b[0] != unix.AF_INET || b[2] != 0 || b[3] != 0 || flags&unix.RTM_F_CLONED != 0 {
		return r, false
	}
	r.protocol, r.kind = b[5], routeKind(kind)
	dst := netip.IPv4Unspecified()
	if v6 {
		dst = netip.IPv6Unspecified()
	}
	one := hop{dead: flags&unix.RTNH_F_DEAD != 0}
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_PRIORITY:
			r.metric = u32(v)
		case unix.RTA_TABLE:
			table = u32(v)
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(v)
		case rtaNexthop:
			r.object = u32(v)
		default:
			one.attribute(kind, v)
		}
	}
	r.prefix = netip.PrefixFrom(dst, int(b[1]))
	if one.index > 0 && r.hops == nil && r.kind == rib.Unicast {
		r.hops = []hop{one}
	}
	ours := table == unix.RT_TABLE_MAIN && (r.kind != rib.Unicast || kind == unix.RTN_UNICAST && (len(r.hops) > 0 || r.object > 0))
	return r, ours && r.prefix.IsValid() && dst.Is6() == v6 && !dst.IsMulticast() && !dst.IsLinkLocalUnicast()
}

// routeKind is the kind of an rtm_type. A prohibited destination is rejected, with another ICMP code.
func routeKind(kind uint8) rib.Kind {
	switch kind {
	case unix.RTN_BLACKHOLE:
		return rib.Blackhole
	case unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		return rib.Reject
	}
	return rib.Unicast
}

func (h *hop) attribute(kind uint16, v []byte) {
	switch kind {
	case unix.RTA_OIF:
		h.index = int(int32(u32(v)))
	case unix.RTA_GATEWAY:
		h.via = address(v)
	case unix.RTA_VIA: // a next hop of the other family: struct rtvia
		if len(v) > 2 {
			h.via = address(v[2:])
		}
	}
}

// parseHops reads a list of struct rtnexthop, each with attributes of its own.
func parseHops(b []byte) (hops []hop) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return hops
		}
		h := hop{index: int(int32(native.Uint32(b[4:]))), weight: weight(b[3]), dead: b[2]&unix.RTNH_F_DEAD != 0}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			h.attribute(kind, v)
		}
		hops = append(hops, h)
		b = b[min(align(n), len(b)):]
	}
	return hops
}

// nexthopMsg is an RTM_NEWNEXTHOP: a nexthop object.
type nexthopMsg struct {
	id       uint32
	protocol uint8
	ipv6     bool
	onlink   bool
	hop      hop      // of one that is no group
	members  []member // of a group
}

// member is a nexthop object in a group.
type member struct {
	id     uint32
	weight uint8
}

// parseNexthop reads nhmsg and its attributes.
func parseNexthop(b []byte) (n nexthopMsg, ok bool) {
	if len(b) < unix.SizeofNhmsg {
		return n, false
	}
	flags := native.Uint32(b[4:])
	n.ipv6, n.protocol = b[0] == unix.AF_INET6, b[2]
	n.onlink, n.hop.dead = flags&unix.RTNH_F_ONLINK != 0, flags&unix.RTNH_F_DEAD != 0
	for kind, v := range attributes(b[unix.SizeofNhmsg:]) {
		switch kind {
		case unix.NHA_ID:
			n.id = u32(v)
		case unix.NHA_OIF:
			n.hop.index = int(int32(u32(v)))
		case unix.NHA_GATEWAY:
			n.hop.via = address(v)
		case unix.NHA_GROUP:
			for ; len(v) >= unix.SizeofNexthopGrp; v = v[unix.SizeofNexthopGrp:] {
				n.members = append(n.members, member{u32(v), weight(v[4])})
			}
		}
	}
	return n, n.id > 0
}

// weight is that of rtnh_hops, which is one less.
func weight(hops uint8) uint8 { return uint8(min(int(hops)+1, 255)) }

// connected tells that the kernel made the route for an address or a router advertisement's on-link prefix.
func (r routeMsg) connected() bool {
	if r.protocol != unix.RTPROT_KERNEL && r.protocol != unix.RTPROT_RA || r.kind != rib.Unicast {
		return false
	}
	for _, h := range r.hops {
		if h.via.IsValid() {
			return false
		}
	}
	return true
}

func (r routeMsg) key() kernel.Key { return kernel.Key{Prefix: r.prefix.Masked(), Metric: r.metric} }
