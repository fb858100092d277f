package conf

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// OSPF is one instance of OSPF, as it is written. [Config.OSPFInstances] is what it comes to.
type OSPF struct {
	RouterID     netip.Addr
	Areas        []OSPFArea
	Redistribute []ospf.Redistribute
	Default      *ospf.DefaultRoute
	Summaries    []ospf.Range
	Reference    uint64 // bits per second
	MaxPaths     int
	Distance     uint8
	RFC1583      bool
	MaxLSAs      int
	Passive      bool // unless an interface says otherwise
	Stub         ospf.StubRouter
	SPF, LSA     ospf.Throttle
	Period       time.Duration // of a graceful restart of ours
	Helper       bool
	Strict       bool
}

// OSPFArea is an area; its name is its number, or dotted.
type OSPFArea struct {
	name       string
	ID         wire.AreaID
	Kind       ospf.AreaKind
	Summary    bool
	Cost       uint32 // of the default route
	Ranges     []ospf.Range
	NSSARanges []ospf.Range
	Translate  bool
	Default    bool
	Interfaces []OSPFInterface
}

// OSPFInterface is OSPF on an interface.
type OSPFInterface struct {
	ospf.Interface
	network string // the word; "" is by what the interface is
	passive string // "true", "false", or as the instance says
	keys    []ospfKey
	BFD     *bfd.Parameters
}

type ospfKey struct {
	id        uint32
	algorithm wire.Algorithm
	extended  bool
	secret
}

// The keys of all versions are the same, so that they stand once in the reference.
var ospfShape = explained(ospfAt(wire.V2, func(c *Config) **OSPF { return &c.OSPF }), ospfKeys.rows)

var ospf3Shape = ospfAt(wire.V3, func(c *Config) **OSPF { return &c.OSPFv3 })

var ospf3IPv4Shape = ospfAt(wire.V3IPv4, func(c *Config) **OSPF { return &c.OSPFv3IPv4 })

// ospfAt is an instance of a version.
func ospfAt(v wire.Version, at func(*Config) **OSPF) shape[Config] {
	return shape[Config]{
		kind: "mapping",
		read: func(r *reader, n *node, path string, c *Config) {
			o := freshOSPF()
			ospfKeys.read(r, n, path, o)
			*at(c) = o
			r.checkOSPF(path, o, v)
		},
		write: func(c *Config) *node {
			if *at(c) == nil {
				return nil
			}
			return ospfKeys.write(*at(c))
		},
	}
}

func explained[T any](s shape[T], rows func(string) []row) shape[T] {
	s.rows = rows
	return s
}

func freshOSPF() *OSPF {
	return &OSPF{Reference: ospf.DefaultReference, MaxPaths: 8, MaxLSAs: ospf.DefaultMaxLSAs, Distance: rib.OSPF.Distance(), SPF: ospf.DefaultSPF, LSA: ospf.DefaultLSA, Helper: true, Strict: true}
}

var ospfKeys = section[OSPF]{
	{"router-id", "the highest IPv4 address of a loopback, else of any interface", "this router in OSPF, an IPv4 address; each has one of its own",
		address(func(o *OSPF) *netip.Addr { return &o.RouterID })},
	{"areas", required, "areas by number or dotted; 0 is the backbone",
		named(ospfAreaKeys, func(o *OSPF) *[]OSPFArea { return &o.Areas }, func(a *OSPFArea) *string { return &a.name }, freshArea)},
	{"passive", "false", "say nothing on interfaces that do not say `passive: false`: their networks are told, and no neighbour is looked for",
		truth(func(o *OSPF) *bool { return &o.Passive })},
	{"redistribute", "none", "routes of others that are brought in as externals. Shortcuts never are",
		objects(redistributeKeys, ospf.Redistribute{Metric: ospf.DefaultMetric}, func(o *OSPF) *[]ospf.Redistribute { return &o.Redistribute },
			func(d *ospf.Redistribute) string { return d.Protocol.String() })},
	{"default-route", "none", "bring in a default route", defaultRouteShape},
	{"summaries", "none", "externals that are told as one prefix, or not at all",
		objects(rangeKeys, ospf.Range{}, func(o *OSPF) *[]ospf.Range { return &o.Summaries }, rangeLabel)},
	{"reference-bandwidth", "100M", "bits per second that cost 1: a tunnel costs this by its bandwidth",
		bits(func(o *OSPF) *uint64 { return &o.Reference })},
	{"max-paths", "8", "next hops of equal cost that a route has at most",
		count(1, 64, func(o *OSPF) *int { return &o.MaxPaths })},
	{"distance", strconv.Itoa(int(rib.OSPF.Distance())), "administrative distance of the routes",
		count(1, math.MaxUint8, func(o *OSPF) *uint8 { return &o.Distance })},
	{"rfc1583", "false", "prefer paths to boundary routers by cost alone, RFC 2328 section 16.4.1; the same on all routers",
		truth(func(o *OSPF) *bool { return &o.RFC1583 })},
	{"max-lsa", strconv.Itoa(ospf.DefaultMaxLSAs), "LSAs of others that are kept at most, and externals that are told: a neighbour that brings more is left alone for five minutes, and the others stay",
		count(100, 10_000_000, func(o *OSPF) *int { return &o.MaxLSAs })},
	{"stub-router", "", "keep transit traffic away, RFC 6987",
		object(stubRouterKeys, func(o *OSPF) *ospf.StubRouter { return &o.Stub })},
	{"spf-throttle", "", "when routes are computed",
		object(throttleKeys(ospf.DefaultSPF), func(o *OSPF) *ospf.Throttle { return &o.SPF })},
	{"lsa-throttle", "", "when an LSA of ours may say something else again",
		object(throttleKeys(ospf.DefaultLSA), func(o *OSPF) *ospf.Throttle { return &o.LSA })},
	{"graceful-restart", "", "restarts that nobody routes around, RFC 3623",
		object(gracefulKeys, func(o *OSPF) *OSPF { return o })},
}

var ospfAreaKeys = section[OSPFArea]{
	{"type", "normal", "`stub` and `nssa` have no externals of others but a default route; an `nssa` has its own (RFC 3101)",
		choice([]string{"normal", "stub", "nssa"}, []ospf.AreaKind{ospf.Normal, ospf.Stub, ospf.NSSA}, func(a *OSPFArea) *ospf.AreaKind { return &a.Kind })},
	{"summary", "true", "as a border router, tell a stub or nssa of networks elsewhere; without, of a default route alone (totally stubby)",
		truth(func(a *OSPFArea) *bool { return &a.Summary })},
	{"default-cost", "1", "of the default route that a border router tells a stub or nssa of",
		count(1, wire.LSInfinity-1, func(a *OSPFArea) *uint32 { return &a.Cost })},
	{"ranges", "none", "networks of the area that a border router tells of as one, or not at all",
		objects(rangeKeys, ospf.Range{}, func(a *OSPFArea) *[]ospf.Range { return &a.Ranges }, rangeLabel)},
	{"nssa-ranges", "none", "externals of the nssa that are translated as one, or not at all",
		objects(rangeKeys, ospf.Range{}, func(a *OSPFArea) *[]ospf.Range { return &a.NSSARanges }, rangeLabel)},
	{"translate", "false", "always translate the externals of the nssa, rather than when no border router with a higher router ID does",
		truth(func(a *OSPFArea) *bool { return &a.Translate })},
	{"default-route", "false", "tell the nssa of a default route as its boundary router",
		truth(func(a *OSPFArea) *bool { return &a.Default })},
	{"interfaces", "none", "tunnels and interfaces of the host that are in the area",
		named(ospfInterfaceKeys, func(a *OSPFArea) *[]OSPFInterface { return &a.Interfaces }, func(f *OSPFInterface) *string { return &f.Name }, freshOSPFInterface)},
}

var networks = []string{"broadcast", "point-to-point", "point-to-multipoint", "nbma", "loopback"}

var ospfInterfaceKeys = section[OSPFInterface]{
	{"network", "point-to-multipoint of a tunnel, loopback of `lo`, else broadcast", "the kind of network; all routers on it have kinds that go together",
		custom(either(networks), text, setNetwork, func(f *OSPFInterface) string { return f.network })},
	{"passive", "as OSPF says", "tell of the network and say nothing on it",
		custom("true or false", boolean, setPassive, func(f *OSPFInterface) string { return f.passive })},
	{"cost", "by the bandwidth, else 10", "of sending by the interface",
		count(1, 65535, func(f *OSPFInterface) *uint32 { return &f.Cost })},
	{"bandwidth", "that of the tunnel", "bits per second, from which the cost follows where none is given",
		optional(bits(func(f *OSPFInterface) *uint64 { return &f.Bandwidth }), func(f *OSPFInterface) bool { return f.Bandwidth == 0 })},
	{"priority", "1", "for designated router; 0 is never",
		count(0, math.MaxUint8, func(f *OSPFInterface) *uint8 { return &f.Priority })},
	{"hello", printDuration(ospf.DefaultHello), "between hellos; the same on all routers of the network",
		duration(time.Second, math.MaxUint16*time.Second, func(f *OSPFInterface) *time.Duration { return &f.Hello })},
	{"dead", "four times hello", "silence after which a neighbour is gone; the same on all routers of the network",
		optional(duration(time.Second, math.MaxUint16*time.Second, func(f *OSPFInterface) *time.Duration { return &f.Dead }), func(f *OSPFInterface) bool { return f.Dead == 0 })},
	{"retransmit", printDuration(ospf.DefaultRetransmit), "until what was not acknowledged is sent again",
		duration(time.Second, time.Hour, func(f *OSPFInterface) *time.Duration { return &f.Retransmit })},
	{"transmit-delay", printDuration(ospf.DefaultTransmitDelay), "what an LSA ages on its way over the interface",
		duration(time.Second, time.Hour, func(f *OSPFInterface) *time.Duration { return &f.TransmitDelay })},
	{"poll", printDuration(ospf.DefaultPoll), "between hellos to silent neighbours of nbma",
		duration(time.Second, time.Hour, func(f *OSPFInterface) *time.Duration { return &f.Poll })},
	{"mtu-ignore", "false", "take a neighbour whose MTU is larger",
		truth(func(f *OSPFInterface) *bool { return &f.MTUIgnore })},
	{"unicast", "false", "on point-to-multipoint: send hellos to the neighbours alone, as BIRD does. A neighbour that does so is answered so without this",
		truth(func(f *OSPFInterface) *bool { return &f.Unicast })},
	{"neighbors", "none", "neighbours that nothing announces, or that have a cost of their own",
		objects(ospfNeighborKeys, ospf.Peer{Priority: 1}, func(f *OSPFInterface) *[]ospf.Peer { return &f.Neighbors }, func(p *ospf.Peer) string { return p.Address.String() })},
	{"authentication", "none", "keys; packets are sent with the first, and all are accepted, so that keys change without a gap",
		objects(ospfAuthKeys, ospfKey{algorithm: wire.SHA256}, func(f *OSPFInterface) *[]ospfKey { return &f.keys }, func(k *ospfKey) string { return strconv.Itoa(int(k.id)) })},
	{"ttl-security", "0", "least TTL of packets that are accepted, such as 255; ours have 255 then. 0 is off",
		count(0, math.MaxUint8, func(f *OSPFInterface) *uint8 { return &f.MinTTL })},
	{"instance", "0", "OSPFv3: the instance on the link; IPv4 has 64 to 95 (RFC 5838)",
		count(0, math.MaxUint8, func(f *OSPFInterface) *uint8 { return &f.Instance })},
	{"host-route", "true", "on point-to-multipoint: tell of our address as a host",
		custom("true or false", boolean, setHostRoute, func(f *OSPFInterface) string { return strconv.FormatBool(!f.NoHostRoute) })},
	{"flood", "all", "`own` tells neighbours of nothing but what this router says itself, on point-to-multipoint and point-to-point: for a hub of thousands, whose spokes need no more than a default route by it",
		choice([]string{"all", "own"}, []bool{false, true}, func(f *OSPFInterface) *bool { return &f.FloodOwn })},
	{"bfd", "that of the tunnel", "watch the path to neighbours, RFC 5880", ospfBFDShape},
}

var ospfNeighborKeys = section[ospf.Peer]{
	{"address", required, "of the neighbour on the network; link-local in OSPFv3",
		address(func(p *ospf.Peer) *netip.Addr { return &p.Address })},
	{"priority", "1", "nbma: whether it can be designated router; 0 is never",
		count(0, math.MaxUint8, func(p *ospf.Peer) *uint8 { return &p.Priority })},
	{"cost", "that of the interface", "point-to-multipoint: of sending to it",
		count(1, 65535, func(p *ospf.Peer) *uint32 { return &p.Cost })},
}

var algorithms = []string{"simple", "md5", "hmac-sha-1", "hmac-sha-256", "hmac-sha-384", "hmac-sha-512"}

var ospfAuthKeys = section[ospfKey]{
	{"id", "0", "number of the key; the same on all routers of the network",
		count(0, math.MaxUint32, func(k *ospfKey) *uint32 { return &k.id })},
	{"algorithm", "hmac-sha-256", "`simple` is a password in clear; OSPFv3 has HMAC alone",
		choice(algorithms, []wire.Algorithm{wire.Simple, wire.MD5, wire.HMACSHA1, wire.SHA256, wire.SHA384, wire.SHA512}, func(k *ospfKey) *wire.Algorithm { return &k.algorithm })},
	{"extended", "false", "OSPFv2: sequence numbers of 64 bits, RFC 7474",
		truth(func(k *ospfKey) *bool { return &k.extended })},
	{"key", "none", "the key",
		secretHere("text", ospfKeyAt, anything)},
	{"key-file", "none", "file with the key",
		secretFile(ospfKeyAt, anything)},
}

func ospfKeyAt(k *ospfKey) (value, file *string) { return &k.text, &k.file }

var redistributeKeys = section[ospf.Redistribute]{
	{"from", required, "whose routes",
		choice([]string{"connected", "static", "kernel"}, []rib.Protocol{rib.Connected, rib.Static, rib.Kernel}, func(d *ospf.Redistribute) *rib.Protocol { return &d.Protocol })},
	{"match", "all", "which of them, by prefix, by tag or by both: the first line that matches decides, and what none matches stays out",
		objects(matchKeys, ospf.Match{}, func(d *ospf.Redistribute) *[]ospf.Match { return &d.Match }, matchLabel)},
	{"type", "2", "of the metric: 1 adds the way to us, 2 does not", metricType(func(d *ospf.Redistribute) *bool { return &d.Type1 })},
	{"metric", strconv.Itoa(ospf.DefaultMetric), "what they cost from us on",
		count(1, wire.LSInfinity-1, func(d *ospf.Redistribute) *uint32 { return &d.Metric })},
	{"tag", "that of the route", "a number for others to match",
		count(1, math.MaxUint32, func(d *ospf.Redistribute) *uint32 { return &d.Tag })},
}

func matchLabel(m *ospf.Match) string {
	switch {
	case !m.Prefix.IsValid():
		return fmt.Sprint("tagged ", m.Tagged)
	case m.Tagged != 0:
		return fmt.Sprint(m.Prefix, " tagged ", m.Tagged)
	}
	return m.Prefix.String()
}

var matchKeys = section[ospf.Match]{
	{"prefix", "any", "what a prefix lies in",
		network(func(m *ospf.Match) *netip.Prefix { return &m.Prefix })},
	{"tagged", "any", "the tag of the route",
		count(1, math.MaxUint32, func(m *ospf.Match) *uint32 { return &m.Tagged })},
	{"min", "the length of prefix", "least prefix length",
		count(0, 128, func(m *ospf.Match) *int { return &m.Min })},
	{"max", "the length of prefix, or with min any", "greatest prefix length",
		count(0, 128, func(m *ospf.Match) *int { return &m.Max })},
	{"deny", "false", "keep it out",
		truth(func(m *ospf.Match) *bool { return &m.Deny })},
	{"metric", "that of redistribute", "what it costs from us on",
		count(1, wire.LSInfinity-1, func(m *ospf.Match) *uint32 { return &m.Metric })},
	{"tag", "that of redistribute", "a number for others to match",
		count(1, math.MaxUint32, func(m *ospf.Match) *uint32 { return &m.Tag })},
}

var rangeKeys = section[ospf.Range]{
	{"prefix", required, "what is told of instead of what lies in it",
		network(func(g *ospf.Range) *netip.Prefix { return &g.Prefix })},
	{"hide", "false", "tell of neither",
		truth(func(g *ospf.Range) *bool { return &g.Hide })},
	{"cost", "by what lies in it", "what it costs from us on",
		count(1, wire.LSInfinity-1, func(g *ospf.Range) *uint32 { return &g.Cost })},
	{"tag", "0", "of externals",
		count(0, math.MaxUint32, func(g *ospf.Range) *uint32 { return &g.Tag })},
}

func rangeLabel(g *ospf.Range) string { return g.Prefix.String() }

var defaultRouteKeys = section[ospf.DefaultRoute]{
	{"always", "false", "even without a default route of our own",
		truth(func(d *ospf.DefaultRoute) *bool { return &d.Always })},
	{"type", "2", "of the metric", metricType(func(d *ospf.DefaultRoute) *bool { return &d.Type1 })},
	{"metric", "1", "what it costs from us on",
		count(1, wire.LSInfinity-1, func(d *ospf.DefaultRoute) *uint32 { return &d.Metric })},
	{"tag", "0", "a number for others to match",
		count(0, math.MaxUint32, func(d *ospf.DefaultRoute) *uint32 { return &d.Tag })},
}

// defaultRouteShape is a mapping, an empty one too.
var defaultRouteShape = shape[OSPF]{
	kind: "mapping",
	read: func(r *reader, n *node, path string, o *OSPF) {
		o.Default = &ospf.DefaultRoute{Metric: 1}
		defaultRouteKeys.read(r, n, path, o.Default)
	},
	write: func(o *OSPF) *node {
		if o.Default == nil {
			return nil
		}
		return defaultRouteKeys.write(o.Default)
	},
	rows: defaultRouteKeys.rows,
}

var ospfBFDShape = shape[OSPFInterface]{
	kind: "mapping",
	read: func(r *reader, n *node, path string, f *OSPFInterface) {
		f.BFD = &bfd.Parameters{Interval: bfd.DefaultInterval, Multiplier: bfd.DefaultMultiplier}
		bfdKeys.read(r, n, path, f.BFD)
	},
	write: func(f *OSPFInterface) *node {
		if f.BFD == nil {
			return nil
		}
		return bfdKeys.write(f.BFD)
	},
	rows: bfdKeys.rows,
}

var stubRouterKeys = section[ospf.StubRouter]{
	{"always", "false", "never carry traffic between others while there is another way",
		truth(func(s *ospf.StubRouter) *bool { return &s.Always })},
	{"on-startup", "0", "not for this long after the start",
		duration(0, 24*time.Hour, func(s *ospf.StubRouter) *time.Duration { return &s.OnStartup })},
}

func throttleKeys(d ospf.Throttle) section[ospf.Throttle] {
	return section[ospf.Throttle]{
		{"initial", printDuration(d.Initial), "after the first change",
			milliseconds(0, time.Minute, func(t *ospf.Throttle) *time.Duration { return &t.Initial })},
		{"hold", printDuration(d.Hold), "to the next time; it doubles while changes keep coming",
			milliseconds(time.Millisecond, time.Minute, func(t *ospf.Throttle) *time.Duration { return &t.Hold })},
		{"max", printDuration(d.Max), "what hold doubles up to",
			milliseconds(time.Millisecond, time.Hour, func(t *ospf.Throttle) *time.Duration { return &t.Max })},
	}
}

var gracefulKeys = section[OSPF]{
	{"period", "0", "restart gracefully ourselves: neighbours wait this long for us; 0 is not",
		duration(0, 30*time.Minute, func(o *OSPF) *time.Duration { return &o.Period })},
	{"helper", "true", "wait for neighbours that restart",
		truth(func(o *OSPF) *bool { return &o.Helper })},
	{"strict", "true", "stop waiting when the topology changes",
		truth(func(o *OSPF) *bool { return &o.Strict })},
}

// metricType is 1 or 2.
func metricType[T any](type1 func(*T) *bool) shape[T] {
	set := func(to *T, n *node) error {
		v, err := parseCount(n, 1, 2)
		*type1(to) = v == 1
		return err
	}
	return custom("1 or 2", number, set, func(from *T) string {
		if *type1(from) {
			return "1"
		}
		return "2"
	})
}

// optional is not printed where absent says so.
func optional[T any](s shape[T], absent func(*T) bool) shape[T] {
	write := s.write
	s.write = func(from *T) *node {
		if absent(from) {
			return nil
		}
		return write(from)
	}
	return s
}

// bits is a rate in bits per second: a number, or one with k, M or G.
func bits[T any](at func(*T) *uint64) shape[T] {
	return scalar("bits per second, such as 10M", text, at, parseBits, printBits)
}

var bitUnits = []struct {
	letter string
	value  uint64
}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}}

func parseBits(n *node) (uint64, error) {
	word, unit := n.text, uint64(1)
	for _, u := range bitUnits {
		if rest, ok := strings.CutSuffix(word, u.letter); ok {
			word, unit = rest, u.value
		}
	}
	v, err := strconv.ParseUint(word, 10, 40)
	if n.kind != text && n.kind != number || err != nil || v == 0 || v*unit > 1e13 {
		return 0, wrongf("want bits per second, such as 10M or 1G")
	}
	return v * unit, nil
}

func printBits(v uint64) string {
	if v == 0 {
		return ""
	}
	for _, u := range bitUnits {
		if v%u.value == 0 {
			return strconv.FormatUint(v/u.value, 10) + u.letter
		}
	}
	return strconv.FormatUint(v, 10)
}

func freshArea(name string) (OSPFArea, error) {
	a := OSPFArea{name: name, Summary: true, Cost: 1}
	if v, err := strconv.ParseUint(name, 10, 32); err == nil {
		a.ID = wire.AreaID(v)
		return a, nil
	}
	if ip, err := netip.ParseAddr(name); err == nil && ip.Is4() {
		a.ID = wire.AreaID(wire.Uint4(ip))
		return a, nil
	}
	return a, wrongf("%q is no area: want a number or four, such as 0 or 0.0.0.1", show(name))
}

func freshOSPFInterface(name string) (OSPFInterface, error) {
	f := OSPFInterface{Interface: ospf.Interface{Name: name, Priority: ospf.DefaultPriority, Hello: ospf.DefaultHello, Retransmit: ospf.DefaultRetransmit,
		TransmitDelay: ospf.DefaultTransmitDelay, Poll: ospf.DefaultPoll}}
	return f, checkInterface(name)
}

func setNetwork(f *OSPFInterface, n *node) error {
	i := slices.Index(networks, n.text)
	if i < 0 || n.kind != text {
		return wrong{"want " + either(networks), near(n.text, networks)}
	}
	f.network, f.Network = n.text, ospf.Network(i)
	return nil
}

func setPassive(f *OSPFInterface, n *node) error {
	v, err := parseBool(n)
	if err == nil {
		f.passive = strconv.FormatBool(v)
	}
	return err
}

func setHostRoute(f *OSPFInterface, n *node) error {
	v, err := parseBool(n)
	f.NoHostRoute = err == nil && !v
	return err
}

// checkOSPF looks for what contradicts within an instance.
func (r *reader) checkOSPF(path string, o *OSPF, v wire.Version) {
	if o.RouterID.IsValid() && !o.RouterID.Is4() {
		r.failAt(join(path, "router-id"), "router-id: want an IPv4 address")
	}
	areas, ifaces := map[wire.AreaID]string{}, map[string]string{}
	for i := range o.Areas {
		a := &o.Areas[i]
		p := join(join(path, "areas"), a.name)
		if other, ok := areas[a.ID]; ok {
			r.failAt(p, "area %s is %s, which is given already", a.name, other)
		}
		areas[a.ID] = a.name
		if a.ID == 0 && a.Kind != ospf.Normal {
			r.failAt(join(p, "type"), "type: the backbone is neither stub nor nssa (RFC 2328 section 3.6)")
		}
		for k := range a.Interfaces {
			f := &a.Interfaces[k]
			fp := join(join(p, "interfaces"), f.Name)
			if other, ok := ifaces[f.Name]; ok {
				r.failAt(fp, "%s is in area %s already", f.Name, other)
			}
			ifaces[f.Name] = a.name
			r.checkOSPFInterface(fp, f, v)
		}
	}
	r.checkOSPFRanges(path, o, v)
}

func (r *reader) checkOSPFInterface(path string, f *OSPFInterface, v wire.Version) {
	if f.Dead != 0 && f.Dead <= f.Hello {
		r.failAt(join(path, "dead"), "dead: %s is not longer than hello, %s", printDuration(f.Dead), printDuration(f.Hello))
	}
	if want := v == wire.V3IPv4; want && f.Instance == 0 {
		f.Instance = 64
	} else if want != (f.Instance >= 64 && f.Instance <= 95) && (want || v == wire.V3 && f.Instance > 31) {
		r.failAt(join(path, "instance"), "instance: %d is not of this address family: want 0 to 31 for IPv6, 64 to 95 for IPv4 (RFC 5838 section 2.1)", f.Instance)
	}
	for i, k := range f.keys {
		p := item(join(path, "authentication"), i)
		switch {
		case !k.algorithm.Allowed(v):
			r.failAt(join(p, "algorithm"), "algorithm: OSPFv3 has no %s: want hmac-sha-256 or another HMAC", k.algorithm)
		case v == wire.V2 && !k.extended && k.id > math.MaxUint8 || v != wire.V2 && k.id > math.MaxUint16:
			r.failAt(join(p, "id"), "id: %d is larger than its field", k.id)
		case k.text == "" && k.file == "":
			r.failAt(p, "the key is missing: give key or key-file")
		}
	}
	for i, n := range f.Neighbors {
		if n.Address.IsValid() && n.Address.Is4() != (v == wire.V2) {
			r.failAt(item(join(path, "neighbors"), i), "%s is not of the address family of %s", n.Address, v)
		}
	}
}

// checkOSPFRanges holds that prefixes are of the family that the instance routes.
func (r *reader) checkOSPFRanges(path string, o *OSPF, v wire.Version) {
	family := func(p string, prefix netip.Prefix) {
		if prefix.IsValid() && prefix.Addr().Is4() != v.IPv4() {
			r.failAt(p, "%s is not of the family that %s routes", prefix, v)
		}
	}
	for i, g := range o.Summaries {
		family(item(join(path, "summaries"), i), g.Prefix)
	}
	for _, a := range o.Areas {
		p := join(join(path, "areas"), a.name)
		for i, g := range a.Ranges {
			family(item(join(p, "ranges"), i), g.Prefix)
		}
		for i, g := range a.NSSARanges {
			family(item(join(p, "nssa-ranges"), i), g.Prefix)
		}
	}
	for i, d := range o.Redistribute {
		for k, m := range d.Match {
			at := item(join(item(join(path, "redistribute"), i), "match"), k)
			family(at, m.Prefix)
			switch {
			case m.Max != 0 && m.Min > m.Max:
				r.failAt(at, "min %d is above max %d: nothing matches", m.Min, m.Max)
			case !m.Prefix.IsValid() && m.Tagged == 0 && !r.bad[join(at, "prefix")] && !r.bad[join(at, "tagged")]:
				r.failAt(at, "no prefix and no tag to match: give prefix or tagged")
			case m.Tagged != 0 && d.Protocol != rib.Static:
				r.failAt(join(at, "tagged"), "tagged: only static routes have tags here: a %s route matches by prefix", d.Protocol)
			}
		}
	}
}

// OSPFInstances are what the configuration comes to for OSPF: kinds of networks, costs and BFD by what the interfaces are.
func (c *Config) OSPFInstances() (all []ospf.Config) {
	for _, i := range []struct {
		name    string
		version wire.Version
		conf    *OSPF
	}{{"ospf", wire.V2, c.OSPF}, {"ospfv3", wire.V3, c.OSPFv3}, {"ospfv3-ipv4", wire.V3IPv4, c.OSPFv3IPv4}} {
		if i.conf != nil {
			all = append(all, c.instance(i.name, i.version, i.conf))
		}
	}
	return all
}

func (c *Config) instance(name string, v wire.Version, o *OSPF) ospf.Config {
	out := ospf.Config{
		Name: name, Version: v, RouterID: wire.RouterID(wire.Uint4(o.RouterID)), Redistribute: o.Redistribute, Default: o.Default,
		Summaries: o.Summaries, Reference: o.Reference, MaxPaths: o.MaxPaths, Distance: o.Distance, RFC1583: o.RFC1583, MaxLSAs: o.MaxLSAs,
		StubRouter: o.Stub, SPF: o.SPF, LSA: o.LSA, Restart: ospf.Restart{NoHelper: !o.Helper, Lax: !o.Strict, Period: o.Period},
	}
	for _, t := range c.Tunnels {
		out.Underlay = append(out.Underlay, underlay(t)...)
	}
	for _, a := range o.Areas {
		area := ospf.Area{ID: a.ID, Kind: a.Kind, NoSummary: !a.Summary, DefaultCost: a.Cost, Ranges: a.Ranges, NSSARanges: a.NSSARanges,
			Translate: a.Translate, DefaultInto: a.Default}
		for _, f := range a.Interfaces {
			area.Interfaces = append(area.Interfaces, c.ospfInterface(f, o.Passive))
		}
		out.Areas = append(out.Areas, area)
	}
	return out
}

// underlay are the addresses of the underlay that a tunnel's servers have, where they are not names.
func underlay(t Tunnel) (list []netip.Addr) {
	if t.NHRP == nil {
		return nil
	}
	for _, s := range t.NHRP.Servers {
		if a, err := netip.ParseAddr(s.NBMA); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// ospfNetwork is the kind of an interface's network: as it is written, or by what the interface is.
func (c *Config) ospfNetwork(f *OSPFInterface) ospf.Network {
	switch {
	case f.network != "":
		return f.Network
	case c.tunnel(f.Name) != nil:
		return ospf.PointToMultipoint
	case f.Name == "lo":
		return ospf.Loopback
	}
	return ospf.Broadcast
}

func (c *Config) ospfInterface(f OSPFInterface, passive bool) ospf.Interface {
	out := f.Interface
	out.Passive = cmp.Or(f.passive, strconv.FormatBool(passive)) == "true"
	watch := f.BFD
	t := c.tunnel(f.Name)
	if t != nil {
		out.Bandwidth, out.Cloud = cmp.Or(f.Bandwidth, t.Bandwidth), t.NHRP != nil
		if watch == nil {
			watch = t.BFD
		}
	}
	out.Network = c.ospfNetwork(&f)
	if watch != nil {
		out.Liveness = &ospf.Liveness{Interval: watch.Interval, Multiplier: watch.Multiplier, Demand: watch.Demand}
	}
	for _, k := range f.keys {
		out.Keys = append(out.Keys, wire.Key{ID: k.id, Algorithm: k.algorithm, Secret: []byte(k.text), Extended: k.extended})
	}
	return out
}
