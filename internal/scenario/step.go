package scenario

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Step is one thing that is done or expected.
type Step struct {
	Line   int
	Say    string        // what happens, for people
	Name   string        // a short name for the table; the verb and its object when empty
	Within time.Duration // how long to try again; 0 = once
	Every  time.Duration // how often
	Action Action
}

// Title is what a table calls the step.
func (s Step) Title() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Action.String()
}

// Action is the verb of a step.
type Action interface {
	String() string
	do(s *stage) (string, error)
}

// verb makes an action from what stands after it.
type verb struct {
	name   string
	wait   time.Duration // default of within
	decode func(r *reader, f *File, n ast.Node) Action
}

// verbs is the list of everything a step can be.
var verbs = []verb{
	{"wait", 20 * time.Second, (*reader).expect},
	{"expect", 0, (*reader).expect},
	{"why", 0, (*reader).why},
	{"ping", 0, (*reader).ping},
	{"path", 0, (*reader).path},
	{"kernel", 0, (*reader).kernel},
	{"iperf3", 0, (*reader).iperf},
	{"probe", 0, (*reader).probe},
	{"probe-report", 0, (*reader).probeReport},
	{"cut", 0, (*reader).cut},
	{"mend", 0, (*reader).mend},
	{"start", 0, (*reader).start},
	{"stop", 0, (*reader).stop},
	{"restart", 0, (*reader).restart},
	{"kill", 0, (*reader).kill},
	{"power-off", 0, (*reader).powerOff},
	{"power-on", 0, (*reader).powerOn},
	{"reload", 0, (*reader).reload},
	{"exec", 0, (*reader).exec},
	{"sleep", 0, (*reader).sleep},
}

func verbNames() []string {
	var all []string
	for _, v := range verbs {
		all = append(all, v.name)
	}
	return all
}

func (r *reader) step(f *File, n ast.Node) Step {
	o := r.object(n, "step")
	s := Step{Say: strings.TrimSpace(o.text("say")), Name: o.text("name"), Within: o.duration("within"), Every: o.duration("every")}
	if p := position(n); p != nil {
		s.Line = p.Line
	}
	for _, v := range verbs {
		if !o.has(v.name) {
			continue
		}
		if s.Action != nil {
			r.fail(n, "a step has one verb, this one has a second: %s", v.name)
		}
		s.Action = v.decode(r, f, o.get(v.name))
		if !o.has("within") {
			s.Within = v.wait
		}
	}
	if s.Every == 0 {
		s.Every = 200 * time.Millisecond
	}
	o.done("step", append(verbNames(), "say", "name", "within", "every")...)
	if s.Action == nil {
		s.Action = sleep(0)
		r.fail(n, "a step needs a verb: %s", strings.Join(verbNames(), ", "))
	}
	return s
}

// node reads the name of a node of the file.
func (o *object) nodeName(f *File, key, what string) string {
	name := o.required(key, what)
	o.r.mustNode(f, o.get(key), name)
	return name
}

func (r *reader) mustNode(f *File, n ast.Node, name string) {
	if name != "" && f.Node(name) == nil {
		r.fail(n, "there is no node %q%s", name, suggest(name, f.nodeNames()))
	}
}

func (r *reader) mustRouter(f *File, n ast.Node, name string) {
	r.mustNode(f, n, name)
	if node := f.Node(name); node != nil && node.Kind != Router {
		r.fail(n, "%s is a %s; only a router runs spokeway", name, node.Kind)
	}
}

func (o *object) router(f *File, what string) string {
	name := o.required("node", what)
	o.r.mustRouter(f, o.get("node"), name)
	return name
}

// destination reads an address, or the name of a node that stands for its first one.
func (o *object) destination(f *File, key, what string) netip.Addr {
	name, ipv6 := o.required(key, what), o.flag("ipv6")
	if a, err := netip.ParseAddr(name); err == nil || name == "" {
		return a
	}
	o.r.mustNode(f, o.get(key), name)
	node := f.Node(name)
	if node == nil {
		return netip.Addr{}
	}
	a := node.Address(ipv6)
	if !a.IsValid() {
		o.r.fail(o.get(key), "%s: %s has no address of that family", what, name)
	}
	return a
}

// expectation asks a router and compares its answer.
type expectation struct {
	node string
	args []string
	rows Rows
}

func (r *reader) expect(f *File, n ast.Node) Action {
	o := r.object(n, "expect")
	e := expectation{node: o.router(f, "expect"), rows: o.rowsOf()}
	e.args = append([]string{"show"}, strings.Fields(o.required("show", "expect"))...)
	o.done("expect", "node", "show", "where", "rows", "absent", "count")
	if e.rows.empty() {
		r.fail(n, "expect: it expects nothing: give rows, absent, count or where")
	}
	return e
}

func (w Rows) empty() bool { return w.Rows == nil && w.Absent == nil && w.Count == nil }

func (r *reader) why(f *File, n ast.Node) Action {
	o := r.object(n, "why")
	e := expectation{node: o.router(f, "why"), rows: o.rowsOf()}
	e.args = []string{"why", o.required("peer", "why")}
	o.done("why", "node", "peer", "where", "rows", "absent", "count")
	if e.rows.empty() {
		r.fail(n, "why: it expects nothing: give rows such as {name: registered, state: failed}")
	}
	return e
}

func (e expectation) String() string { return e.node + ": " + strings.Join(e.args, " ") }

// pinging sends requests and judges the answers.
type pinging struct {
	from, to string
	ping     Ping
	limits
}

// limits is what a ping may do at worst.
type limits struct {
	maxLost        int
	lostSet        bool
	maxOutage      time.Duration
	outageSet      bool // then lost packets count only if lostSet
	fails          bool // want no answer at all
	ttl            int
	minRTT, maxRTT time.Duration // of the best answer: load makes packets late, a longer way makes all of them late
	errorContains  string
	noDuplicates   bool
}

var pingKeys = []string{"from", "to", "ipv6", "source", "count", "interval", "timeout", "size", "ttl", "dont-fragment", "protocol", "flows"}
var limitKeys = []string{"max-lost", "fails", "answer-ttl", "min-rtt", "max-rtt", "error", "max-outage", "no-duplicates"}

func (r *reader) ping(f *File, n ast.Node) Action {
	o := r.object(n, "ping")
	p := pinging{from: o.nodeName(f, "from", "ping"), to: o.text("to"), ping: o.pingOf(f), limits: o.limitsOf()}
	if !o.has("count") {
		p.ping.Count = 3
	}
	o.done("ping", slices.Concat(pingKeys, limitKeys)...)
	return p
}

func (o *object) pingOf(f *File) Ping {
	p := Ping{
		To: o.destination(f, "to", "ping"), From: o.addr("source"), Count: o.number("count"), Interval: o.duration("interval"),
		Timeout: o.duration("timeout"), Size: o.number("size"), TTL: o.number("ttl"), DontFragment: o.flag("dont-fragment"),
	}
	if p.Interval == 0 {
		p.Interval = 200 * time.Millisecond
	}
	if p.Timeout == 0 {
		p.Timeout = time.Second
	}
	p.Protocol, p.Flows = Protocol(cmp.Or(o.text("protocol"), string(ICMP))), max(o.number("flows"), 1)
	switch p.Protocol {
	case ICMP, UDP, TCP:
	default:
		o.r.fail(o.get("protocol"), "ping: protocol %q is none of icmp, udp and tcp", string(p.Protocol))
	}
	if p.Protocol != UDP && p.Flows > 1 || p.Flows > 1000 {
		o.r.fail(o.get("flows"), "ping: flows are of udp, and at most 1000")
	}
	if p.Protocol != ICMP && (p.TTL > 0 || p.DontFragment || p.From.IsValid()) {
		o.r.fail(o.node, "ping: ttl, dont-fragment and source are of icmp alone")
	}
	if p.Size > 65000 || p.TTL > 255 {
		o.r.fail(o.node, "ping: size is at most 65000, ttl at most 255")
	}
	return p
}

func (o *object) limitsOf() limits {
	return limits{
		maxLost: o.number("max-lost"), fails: o.flag("fails"), ttl: o.number("answer-ttl"),
		minRTT: o.duration("min-rtt"), maxRTT: o.duration("max-rtt"), errorContains: o.text("error"),
		maxOutage: o.duration("max-outage"), outageSet: o.has("max-outage"), lostSet: o.has("max-lost"),
		noDuplicates: o.flag("no-duplicates"),
	}
}

func (p pinging) String() string { return "ping " + p.from + " → " + p.to }

// path compares the routers on the way with names, addresses or `*`.
type path struct {
	from, to string
	trace    Trace
	hops     []string
	nodes    func(name string) *Node
}

func (r *reader) path(f *File, n ast.Node) Action {
	o := r.object(n, "path")
	p := path{from: o.nodeName(f, "from", "path"), to: o.text("to"), hops: o.texts("hops"), nodes: f.Node}
	p.trace = Trace{To: o.destination(f, "to", "path"), From: o.addr("source"), Timeout: o.duration("timeout"), MaxTTL: o.number("max-ttl")}
	if p.trace.Timeout == 0 {
		p.trace.Timeout = time.Second
	}
	for i, h := range o.list("hops") {
		for _, one := range alternatives(p.hops[i]) {
			if _, err := netip.ParseAddr(one); err != nil && one != "*" {
				r.mustNode(f, h, one)
			}
		}
	}
	if len(p.hops) == 0 {
		r.fail(n, "path: hops is missing: names of nodes, addresses or *, the destination last")
	}
	o.done("path", "from", "to", "ipv6", "hops", "source", "timeout", "max-ttl")
	return p
}

// alternatives of a hop: `hub1 or hub2`.
func alternatives(hop string) []string { return strings.Split(hop, " or ") }

func (p path) String() string { return "path " + p.from + " → " + p.to }

// kernelRoute compares a route in a node's kernel with next hops.
type kernelRoute struct {
	node   string
	prefix netip.Prefix
	via    []string // addresses or interfaces, in any order
}

func (r *reader) kernel(f *File, n ast.Node) Action {
	o := r.object(n, "kernel")
	k := kernelRoute{node: o.nodeName(f, "node", "kernel"), via: o.texts("via")}
	k.prefix = read(o, "prefix", "a prefix such as 10.0.0.0/8", netip.ParsePrefix).Masked()
	if !k.prefix.IsValid() {
		r.fail(n, "kernel: prefix is missing")
	}
	if (len(k.via) == 0) != o.flag("absent") {
		r.fail(n, "kernel: want via (next hops, or interfaces), or absent: true")
	}
	slices.Sort(k.via)
	o.done("kernel", "node", "prefix", "via", "absent")
	return k
}

func (k kernelRoute) String() string { return k.node + ": kernel's route to " + k.prefix.String() }

type iperf struct {
	Iperf
	atLeast float64
}

func (r *reader) iperf(f *File, n ast.Node) Action {
	o := r.object(n, "iperf3")
	i := iperf{Iperf: Iperf{
		From: o.nodeName(f, "from", "iperf3"), To: o.nodeName(f, "to", "iperf3"), Address: o.destination(f, "to", "iperf3"),
		Time: o.duration("time"), Streams: max(o.number("streams"), 1), Reverse: o.flag("reverse"), UDP: o.flag("udp"),
		Length: o.number("length"), Rate: o.rate("rate"),
	}, atLeast: float64(o.rate("at-least"))}
	if i.Time == 0 {
		i.Time = 2 * time.Second
	}
	o.done("iperf3", "from", "to", "ipv6", "time", "streams", "reverse", "udp", "length", "rate", "at-least")
	return i
}

func (i iperf) String() string { return "iperf3 " + i.From + " → " + i.To }

// probe starts a ping in the background; probeReport ends and judges it.
type (
	probe struct {
		name, from string
		ping       Ping
	}
	probeReport struct {
		name string
		limits
	}
)

func (r *reader) probe(f *File, n ast.Node) Action {
	o := r.object(n, "probe")
	p := probe{name: o.required("name", "probe"), from: o.nodeName(f, "from", "probe"), ping: o.pingOf(f)}
	if !o.has("interval") {
		p.ping.Interval = 20 * time.Millisecond
	}
	o.done("probe", append(pingKeys, "name")...)
	return p
}

func (r *reader) probeReport(_ *File, n ast.Node) Action {
	o := r.object(n, "probe-report")
	p := probeReport{name: o.required("name", "probe-report"), limits: o.limitsOf()}
	o.done("probe-report", append(limitKeys, "name")...)
	return p
}

func (p probe) String() string       { return "probe " + p.name + " from " + p.from }
func (p probeReport) String() string { return "report of probe " + p.name }

// cable is a cut or its mending.
type cable struct {
	target Target
	mend   bool
}

func (r *reader) cut(f *File, n ast.Node) Action  { return cable{target: r.target(f, n)} }
func (r *reader) mend(f *File, n ast.Node) Action { return cable{target: r.target(f, n), mend: true} }

func (r *reader) target(f *File, n ast.Node) Target {
	s := r.text(n, "link")
	if a, b, ok := strings.Cut(s, "<->"); ok {
		t := Target{Between: [2]string{strings.TrimSpace(a), strings.TrimSpace(b)}}
		r.mustNode(f, n, t.Between[0])
		r.mustNode(f, n, t.Between[1])
		return t
	}
	if node, name, ok := strings.Cut(s, ":"); ok {
		r.mustNode(f, n, node)
		if at := f.Node(node); at != nil && at.Interface(name) == nil {
			r.fail(n, "%s has no interface %q", node, name)
		}
		return Target{Node: node, Interface: name}
	}
	if f.Node(s) != nil {
		return Target{Node: s}
	}
	if f.Network(s) == nil {
		r.fail(n, "%q is no link: want NODE:INTERFACE, a node, a network, or NODE <-> NODE", s)
	}
	return Target{Network: s}
}

func (c cable) String() string {
	if c.mend {
		return "mend " + c.target.String()
	}
	return "cut " + c.target.String()
}

// process is what happens to a router's daemon.
type process struct {
	verb, node, signal string
	config             Config
}

func (r *reader) processOf(f *File, verb string, n ast.Node) Action {
	p := process{verb: verb, node: r.text(n, verb)}
	r.mustRouter(f, n, p.node)
	return p
}

func (r *reader) start(f *File, n ast.Node) Action   { return r.processOf(f, "start", n) }
func (r *reader) stop(f *File, n ast.Node) Action    { return r.processOf(f, "stop", n) }
func (r *reader) restart(f *File, n ast.Node) Action { return r.processOf(f, "restart", n) }
func (r *reader) powerOff(f *File, n ast.Node) Action {
	return r.processOf(f, "power-off", n)
}
func (r *reader) powerOn(f *File, n ast.Node) Action { return r.processOf(f, "power-on", n) }

// kill is a name, or {node, signal}.
func (r *reader) kill(f *File, n ast.Node) Action {
	if _, ok := r.resolve(n).(ast.ScalarNode); ok {
		p := r.processOf(f, "kill", n).(process)
		p.signal = "KILL"
		return p
	}
	o := r.object(n, "kill")
	p := process{verb: "kill", node: o.router(f, "kill"), signal: strings.TrimPrefix(strings.ToUpper(o.text("signal")), "SIG")}
	if p.signal == "" {
		p.signal = "KILL"
	}
	o.done("kill", "node", "signal")
	return p
}

func (r *reader) reload(f *File, n ast.Node) Action {
	o := r.object(n, "reload")
	p := process{verb: "reload", node: o.router(f, "reload")}
	p.config = r.config(o, "reload", p.node)
	o.done("reload", "node", "config", "config-file")
	return p
}

func (p process) String() string { return p.verb + " " + p.node }

// command runs a program on a node.
type command struct {
	node     string
	argv     []string
	fails    bool
	contains string
}

func (r *reader) exec(f *File, n ast.Node) Action {
	o := r.object(n, "exec")
	c := command{node: o.nodeName(f, "node", "exec"), argv: o.texts("run"), fails: o.flag("fails"), contains: o.text("contains")}
	if len(c.argv) == 1 {
		c.argv = strings.Fields(c.argv[0])
	}
	if len(c.argv) == 0 {
		r.fail(n, "exec: run is missing: a command, or a list of its words")
	}
	o.done("exec", "node", "run", "fails", "contains")
	return c
}

func (c command) String() string { return c.node + ": " + strings.Join(c.argv, " ") }

type sleep time.Duration

func (r *reader) sleep(_ *File, n ast.Node) Action {
	return sleep(readNode(r, n, "sleep", "a time such as 200ms or 5s", time.ParseDuration))
}

func (s sleep) String() string { return "sleep " + time.Duration(s).String() }

// Measures reports whether a step of the file needs iperf3.
func (f *File) Measures() bool {
	return slices.ContainsFunc(f.Steps, func(s Step) bool {
		_, ok := s.Action.(iperf)
		return ok
	})
}
