package peers

import (
	"fmt"
	"net/netip"
	"slices"
)

// place is a router in a topology of OSPF that one of any make can take. What is not here follows from its number N: the
// router ID 10.254.0.N, and on segment K the interface sK with the addresses 10.K.0.N/24, fd00:K::N/64 and fe80::N.
type place struct {
	name      string
	make      string // ours, frr or bird
	number    int
	versions  []string // of OSPF; none: v2 and v3
	ports     []port
	areas     map[int]area
	externals *externals
	defaults  bool // brings a default route in, of type 1
	id        int  // the last octet of the router ID, when it is not the number
	more      []string
	text      map[string][]string // more lines of an instance, by its version
}

// port is an interface of a router on a segment. Timers are 1 s and 4 s.
type port struct {
	segment  int
	area     int
	network  string // in our words; "" is broadcast
	unicast  bool   // hellos to the peers alone
	passive  bool   // a LAN of the router's own
	cost     int    // 0: 10
	priority int    // of the designated router, 0: 1; never: 0
	key      key
	peers    []int // numbers of the neighbours that are listed
	mtu      int
	hello    int    // seconds, 0: 1
	dead     int    // seconds, 0: 4
	bits     int    // of the IPv4 address, 0: 24
	host     int    // the last part of the address, when it is not the number
	only     string // the version that it has, when it has not all of the router's
}

// speaks reports whether a version of the router's is spoken on the port, or told of it when it is passive.
func (q port) speaks(version string) bool { return q.only == "" || q.only == version }

// never is a priority of 0.
const never = -1

// key authenticates what is sent on a segment.
type key struct{ algorithm, secret string }

// area is what a router knows of an area that is none of the usual kind.
type area struct {
	kind       string // stub, nssa
	noSummary  bool
	ranges     []string // by version: IPv4 or IPv6 prefixes
	nssaRanges []string
	translate  bool
	defaults   bool // tells the NSSA of a default route as its boundary router
}

// externals are static routes that a router brings in: 172.30.N.0/24 and 2001:db8:N::/48, and as many more.
type externals struct {
	count     int // 0: 1
	kind      int // of the metric
	metric    int
	tag       int
	summaries []string
}

const (
	v2     = "v2"
	v3     = "v3"
	v3ipv4 = "v3-ipv4" // RFC 5838
)

func (p place) routerID() string {
	if p.id != 0 {
		return fmt.Sprintf("10.254.0.%d", p.id)
	}
	return fmt.Sprintf("10.254.0.%d", p.number)
}

func (p place) speaks(version string) bool {
	if p.versions == nil {
		return version != v3ipv4
	}
	return slices.Contains(p.versions, version)
}

// in are the ports of a version.
func (p place) in(version string) []port {
	return slices.DeleteFunc(slices.Clone(p.ports), func(q port) bool { return !p.speaks(version) || !q.speaks(version) })
}

func (p place) speaking() (all []string) {
	for _, v := range []string{v2, v3, v3ipv4} {
		if p.speaks(v) {
			all = append(all, v)
		}
	}
	return all
}

func (q port) name() string           { return fmt.Sprintf("s%d", q.segment) }
func (q port) subnet() string         { return fmt.Sprintf("10.%d.0.0/24", q.segment) }
func (q port) subnet6() string        { return fmt.Sprintf("fd00:%d::/64", q.segment) }
func (q port) address(n int) string   { return fmt.Sprintf("10.%d.0.%d", q.segment, n) }
func (q port) address6(n int) string  { return fmt.Sprintf("fd00:%d::%d", q.segment, n) }
func linkLocal(n int) string          { return fmt.Sprintf("fe80::%d", n) }
func (q port) helloSeconds() int      { return or(q.hello, 1) }
func (q port) deadSeconds() int       { return or(q.dead, 4) }
func (q port) costOr() int            { return or(q.cost, 10) }
func (q port) priorityOr() int        { return max(or(q.priority, 1), 0) }
func (q port) is(network string) bool { return q.network == network }

// own is the last part of the addresses of a router's port.
func (q port) own(p place) int { return or(q.host, p.number) }

// neighbor is the address by which a neighbour is listed.
func (q port) neighbor(version string, n int) string {
	if version == v2 {
		return q.address(n)
	}
	return linkLocal(n)
}

func or(v, fallback int) int {
	if v == 0 {
		return fallback
	}
	return v
}

// prefixes are the static routes of one family.
func (p place) prefixes(ipv6 bool) (all []string) {
	if p.externals == nil || ipv6 && !p.speaks(v3) || !ipv6 && !p.speaks(v2) && !p.speaks(v3ipv4) {
		return nil
	}
	for i := range or(p.externals.count, 1) {
		switch {
		case ipv6:
			all = append(all, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d:%x::/64", p.number, i)).String()) // as kernels write it
		case p.externals.count > 250:
			all = append(all, fmt.Sprintf("172.%d.%d.%d/32", 16+p.number, i>>8, i&0xff))
		default:
			all = append(all, fmt.Sprintf("172.%d.%d.0/24", 16+p.number, i))
		}
	}
	return all
}

// areaIDs are the areas of a router in a version, in the order of their first ports.
func (p place) areaIDs(version string) (all []int) {
	for _, q := range p.in(version) {
		if !slices.Contains(all, q.area) {
			all = append(all, q.area)
		}
	}
	return all
}

// setup is the shell script that makes the interfaces of a router in its namespace, where those of its segments are eth0,
// eth1 and on.
func (p place) setup() string {
	script := []string{"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.fib_multipath_hash_policy=1",
		"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"}
	nic := 0
	for _, q := range p.ports {
		name := q.name()
		if q.passive {
			script = append(script, fmt.Sprintf("ip link add %s type veth peer name %s-hosts", name, name),
				fmt.Sprintf("ip link set %s-hosts up", name))
		} else {
			script = append(script, fmt.Sprintf("ip link set eth%d name %s", nic, name))
			nic++
		}
		script = append(script, fmt.Sprintf("ip link set %s addrgenmode none", name))
		if q.mtu != 0 {
			script = append(script, fmt.Sprintf("ip link set %s mtu %d", name, q.mtu))
		}
		script = append(script,
			fmt.Sprintf("ip address add %s/%d dev %s", q.address(q.own(p)), or(q.bits, 24), name),
			fmt.Sprintf("ip address add %s/64 dev %s nodad", q.address6(q.own(p)), name),
			fmt.Sprintf("ip address add %s/64 dev %s nodad", linkLocal(q.own(p)), name),
			fmt.Sprintf("ip link set %s up", name))
	}
	return lines(append(script, p.manyRoutes()...)...)
}

// byKernel reports whether a router's externals are the kernel's routes: FRR takes a minute to read thousands of static ones.
func (p place) byKernel() bool {
	return p.make == "frr" && p.externals != nil && p.externals.count > 250
}

// manyRoutes are the commands that make them.
func (p place) manyRoutes() (script []string) {
	if !p.byKernel() {
		return nil
	}
	for _, ipv6 := range []bool{false, true} {
		script = append(script, map[bool]string{false: "ip -4", true: "ip -6"}[ipv6]+" -batch - <<'END'")
		for _, to := range p.prefixes(ipv6) {
			script = append(script, "route add blackhole "+to)
		}
		script = append(script, "END")
	}
	return script
}
