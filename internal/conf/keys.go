package conf

import (
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// The tables of keys. Parsing, printing, the diff and the reference page all come from them.

var rootKeys = section[Config]{
	{"version", required, "version of the format; 1 is the only one",
		count(1, 1, func(c *Config) *int { return &c.Version })},
	{"node", "the host's name", "what this router is called in logs and tables",
		word("name", func(c *Config) *string { return &c.Node }, checkNode)},
	{"forwarding", "true", "let the host forward packets",
		truth(func(c *Config) *bool { return &c.Forwarding })},
	{"interfaces", "none", "interfaces of the host that spokeway addresses; it leaves all others alone",
		named(interfaceKeys, func(c *Config) *[]Interface { return &c.Interfaces }, func(i *Interface) *string { return &i.Name }, freshInterface)},
	{"tunnels", "none", "multipoint tunnels",
		named(tunnelKeys, func(c *Config) *[]Tunnel { return &c.Tunnels }, func(t *Tunnel) *string { return &t.Name }, freshTunnel)},
	{"profiles", "none", "how peers are authenticated and what protects the traffic with them: IKEv2 and ESP",
		named(profileKeys, func(c *Config) *[]Profile { return &c.Profiles }, func(p *Profile) *string { return &p.Name }, freshProfile)},
	{"routes", "none", "static routes; several to one prefix at one distance share the traffic",
		objects(routeKeys, Route{Distance: 1, Weight: 1}, func(c *Config) *[]Route { return &c.Routes }, routeLabel)},
	{"metrics", "off", "Prometheus metrics over HTTP",
		object(metricsKeys, func(c *Config) *string { return &c.Metrics })},
	{"log", "", "what is logged and how",
		object(logKeys, func(c *Config) *Log { return &c.Log })},
	{"ospf", "none", "OSPFv2: routes for IPv4", ospfShape},
	{"ospfv3", "none", "OSPFv3: routes for IPv6. It has the keys of `ospf`, and speaks by link-local addresses", ospf3Shape},
	{"ospfv3-ipv4", "none", "OSPFv3 for IPv4 routes, RFC 5838, with the keys of `ospf`", ospf3IPv4Shape},
	{"bgp", "", "BGP", later[Config]("no session would be opened; remove it, and use routes")},
	{"vrrp", "", "VRRP", later[Config]("nobody would take over; remove it")},
}

var interfaceKeys = section[Interface]{
	{"address", required, "addresses with their prefix lengths",
		addresses(func(i *Interface) *[]netip.Prefix { return &i.Addresses })},
	{"mtu", "left as it is", "octets",
		count(minMTU, maxMTU, func(i *Interface) *int { return &i.MTU })},
}

var tunnelKeys = section[Tunnel]{
	{"vrf", "default", "routing table of the overlay; `default` is the only one so far",
		custom("name", text, setVRF, func(t *Tunnel) string { return t.VRF })},
	{"underlay", required, "what carries the tunnel: an interface, or an address of this host",
		custom("interface or address", text, setUnderlay, getUnderlay)},
	{"underlay-family", "that of the servers' addresses, else `ipv4`", "which addresses of the underlay interface to use",
		choice([]string{"ipv4", "ipv6"}, []bool{false, true}, func(t *Tunnel) *bool { return &t.UnderlayIPv6 })},
	{"address", required, "tunnel addresses with their prefix lengths, any",
		addresses(func(t *Tunnel) *[]netip.Prefix { return &t.Addresses })},
	{"key", "none", "GRE key, RFC 2890; it tells tunnels on one underlay apart, and no key is not the same as 0",
		custom("0 to 4294967295", number, setKey, getKey)},
	{"mtu", "measured from the underlay, and at most 1400 when protected", "octets of a packet in the tunnel; 1280 or more with IPv6 in it (RFC 8200 section 5)",
		count(minMTU, maxMTU, func(t *Tunnel) *int { return &t.MTU })},
	{"ttl", strconv.Itoa(DefaultTTL), "TTL or hop limit of the outer header",
		count(1, math.MaxUint8, func(t *Tunnel) *uint8 { return &t.TTL })},
	{"clamp-mss", "true", "lower the MSS of TCP connections to what fits the tunnel",
		truth(func(t *Tunnel) *bool { return &t.ClampMSS })},
	{"encapsulation", "auto when protected, else gre", "with protect: `auto` is ESP in UDP behind a NAT and between routers of this kind, else `esp`; `udp` is always ESP in UDP, RFC 3948; `esp` (or `gre`) is IP protocol 50 unless a NAT is on the way. Without: `gre` is IP protocol 47; `udp` is GRE in UDP, RFC 8086, which is faster and passes NAT, and both ends must speak it",
		custom(either(encapsulations), text, setEncapsulation, getEncapsulation)},
	{"fragment", "inner", "where a packet is cut that is too large for the path: `inner` before it is wrapped, as the MTU says, or `outer` after, which lets the MTU be above what the path takes",
		choice([]string{"inner", "outer"}, []bool{false, true}, func(t *Tunnel) *bool { return &t.FragmentOuter })},
	{"fast-path", "false", "forward between peers of the cloud without the kernel, so without its firewall and counters",
		truth(func(t *Tunnel) *bool { return &t.FastPath })},
	{"protect", "none: in clear", "the profile that protects the tunnel. Nothing leaves or enters it then but by an SA. Tunnels on one underlay have one profile and one encapsulation, for a pair of routers has one SA",
		word("name of a profile", func(t *Tunnel) *string { return &t.Protect }, checkName)},
	{"guard", "learned when protected", "what stays closed when a protected tunnel, its hub or this program is gone, instead of leaving by a shorter route in clear: `configured` prefixes, which are those of this file; `learned` ones too, which had a route that left by protected tunnels alone, as OSPF's; or `none`",
		custom(either(guardWords), text, setGuard, getGuard)},
	{"bfd", "none", "watch the paths to NHRP peers and routing neighbours on this tunnel, RFC 5880; a peer that does not speak it is not missed", bfdShape},
	{"bandwidth", "unknown", "bits per second, by which OSPF finds a cost",
		bits(func(t *Tunnel) *uint64 { return &t.Bandwidth })},
	{"nhrp", "none", "NHRP, RFC 2332", nhrpShape},
}

var nhrpKeys = section[Tunnel]{
	{"network-id", required, "the cloud: tunnels of a router with one number belong together; it is not on the wire",
		count(1, math.MaxUint32, func(t *Tunnel) *uint32 { return &t.NHRP.NetworkID })},
	{"authentication", "none", "Cisco-style password; it travels in clear and keeps out accidents, not attackers",
		password},
	{"authentication-file", "none", "file with the password, relative to the folder of the configuration",
		passwordFile},
	{"holdtime", printDuration(nhrp.DefaultHoldTime), "how long a registration lives without a refresh",
		duration(time.Second, math.MaxUint16*time.Second, func(t *Tunnel) *time.Duration { return &t.NHRP.HoldTime })},
	{"unique", "false", "register with the unique bit (RFC 2332 section 5.2.3). A server then refuses this router from another underlay address until the holdtime ends, so leave it off where that address can change",
		truth(func(t *Tunnel) *bool { return &t.NHRP.Unique })},
	{"shortcut", "true with servers, else false", "follow redirects and make direct paths (phase 3)",
		truth(func(t *Tunnel) *bool { return &t.NHRP.Shortcut })},
	{"redirect", "true without servers, else false", "tell peers of shorter ways (phase 3)",
		truth(func(t *Tunnel) *bool { return &t.NHRP.Redirect })},
	{"multicast", "dynamic without servers, else servers", "where multicast goes: `dynamic` to every registered client and the servers, `servers` to the servers alone, `none` nowhere",
		custom(either(multicasts), text, setMulticast, getMulticast)},
	{"resolution", "forward", "`forward` resolution requests along the route to whom they concern, or `answer` them from the cache",
		choice([]string{"forward", "answer"}, []nhrp.Resolution{nhrp.Forward, nhrp.Answer}, func(t *Tunnel) *nhrp.Resolution { return &t.NHRP.Resolution })},
	{"servers", "none", "next hop servers to register with; a router without them is a hub",
		objects(serverKeys, nhrp.Server{}, func(t *Tunnel) *[]nhrp.Server { return &t.NHRP.Servers }, func(s *nhrp.Server) string { return s.NBMA })},
	{"clusters", "none", "groups of servers", clustersShape},
	{"fallback", printDuration(nhrp.DefaultFallback), "how long a better server must be up before we return to it",
		duration(0, 24*time.Hour, func(t *Tunnel) *time.Duration { return &t.NHRP.Fallback })},
	{"max-clients", "0", "registrations a server accepts; 0 is no limit",
		count(0, math.MaxInt32, func(t *Tunnel) *int { return &t.NHRP.MaxClients })},
	{"rate-limit", "", "NHRP packets that one peer may make us handle",
		object(rateKeys, func(t *Tunnel) *nhrp.Rate { return &t.NHRP.Rate })},
}

var serverKeys = section[nhrp.Server]{
	{"nbma", required, "underlay address or DNS name",
		word("address or DNS name", func(s *nhrp.Server) *string { return &s.NBMA }, checkNBMA)},
	{"protocol", "learned", "tunnel address",
		address(func(s *nhrp.Server) *netip.Addr { return &s.Protocol })},
	{"priority", "0", "lower is better",
		count(0, math.MaxUint8, func(s *nhrp.Server) *uint8 { return &s.Priority })},
	{"cluster", "none", "the group of servers it is in",
		word("name", func(s *nhrp.Server) *string { return &s.Cluster }, checkName)},
}

var clusterKeys = section[cluster]{
	{"max-connections", "0", "servers of the group to be registered with at once, best priority first; 0 is all",
		count(0, math.MaxUint8, func(c *cluster) *int { return &c.MaxConnections })},
}

var rateKeys = section[nhrp.Rate]{
	{"per-second", strconv.Itoa(nhrp.DefaultRate.PerSecond), "packets per second over time",
		count(1, 1_000_000, func(r *nhrp.Rate) *int { return &r.PerSecond })},
	{"burst", strconv.Itoa(nhrp.DefaultRate.Burst), "packets at once",
		count(1, 1_000_000, func(r *nhrp.Rate) *int { return &r.Burst })},
}

var routeKeys = section[Route]{
	{"to", required, "destination; 0.0.0.0/0 or ::/0 is the default route",
		network(func(r *Route) *netip.Prefix { return &r.To })},
	{"via", "none", "next hop",
		address(func(r *Route) *netip.Addr { return &r.Via })},
	{"interface", "the one that reaches via", "way out",
		word("name", func(r *Route) *string { return &r.Interface }, checkInterface)},
	{"distance", "1", "administrative distance; the lowest wins",
		count(1, math.MaxUint8, func(r *Route) *uint8 { return &r.Distance })},
	{"weight", "1", "share of the traffic among routes to one prefix at one distance",
		count(1, math.MaxUint8, func(r *Route) *uint8 { return &r.Weight })},
	{"tag", "0", "a number for others to match, as OSPF's redistribute does; routes to one prefix at one distance have the same",
		count(0, math.MaxUint32, func(r *Route) *uint32 { return &r.Tag })},
	{"blackhole", "false", "drop what goes there",
		truth(func(r *Route) *bool { return &r.Blackhole })},
	{"reject", "false", "drop what goes there and tell the sender: ICMP destination unreachable",
		truth(func(r *Route) *bool { return &r.Reject })},
	{"via-default", "false", "let via be found by the default route if by nothing longer; otherwise the route waits, for what is meant for a tunnel that is gone would go to the provider",
		truth(func(r *Route) *bool { return &r.ViaDefault })},
	{"track", "none", "`bfd`: use the route only while BFD does not say that its next hop has failed; a tunnel's next hop is watched as its `bfd` says, others each 300ms, and 3 packets may be missed",
		custom(trackBFD, text, setTrack, func(r *Route) string { return r.Track })},
	{"track-from", "none", "own address: watch via itself from it, over several hops (RFC 5883), each 300ms, and 3 packets may be missed; the other end watches this address. Without it the next hops that via is reached by are watched",
		address(func(r *Route) *netip.Addr { return &r.TrackFrom })},
	{"track-hops", "2", "how many hops away via is at most, with track-from: packets that have crossed more routers are not believed",
		count(1, math.MaxUint8, func(r *Route) *uint8 { return &r.TrackHops })},
	{"vrf", "default", "routing table; `default` is the only one so far",
		custom("name", text, setRouteVRF, func(r *Route) string { return r.VRF })},
}

var metricsKeys = section[string]{
	{"listen", required, "address:port that answers /metrics; all addresses without an address",
		word("address:port", func(s *string) *string { return s }, checkListen)},
}

var logKeys = section[Log]{
	{"level", "info", "least weight that is logged",
		choice(levels, levels, func(l *Log) *string { return &l.Level })},
	{"format", "auto", "`auto` is logfmt on a terminal and JSON elsewhere",
		choice(formats, formats, func(l *Log) *string { return &l.Format })},
	{"debug", "none", "peers whose every event is logged: addresses or tunnel names",
		several("address or name, or a list", func(l *Log) *[]string { return &l.Debug }, parsePeer, func(s string) string { return s })},
}

var (
	levels  = []string{"debug", "info", "warn", "error"}
	formats = []string{"auto", "logfmt", "json"}
)

const (
	minMTU     = 576  // octets every IPv4 host takes, RFC 791 section 3.1
	minMTUIPv6 = 1280 // RFC 8200 section 5
	maxMTU     = 65535
)
