package ospf

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// A player is one router of ours on a loop of its own, whose events come from a recording. Time stands nearly still:
// what a timer does is done when the recording says that it was due.
type player struct {
	t       *testing.T
	v       wire.Version
	loop    *core.Loop
	m       *Module
	tree    yang // the configuration, as the recording has it
	router  wire.RouterID
	links   map[string]core.Link
	names   map[[2]int]string // interfaces by the numbers that the recording gives areas and interfaces
	peers   map[string]*hPeer
	sent    []core.SendIP
	pool    map[string]map[wire.LSAKey]wire.LSA // newest instance told, by area, or by interface in link scope
	virtual bool                                // an end of a virtual link, which ours is not
	accused []wire.LSAKey                       // LSAs that came in our name in a step
	answers bool                                // peers answer
}

// Do implements [core.Edge].
func (p *player) Do(e core.Effect) {
	if s, ok := e.(core.SendIP); ok {
		p.sent = append(p.sent, s)
	}
}

func newPlayer(t *testing.T, v wire.Version, config yang) *player {
	p := &player{t: t, v: v, m: New(), tree: config, links: map[string]core.Link{}, names: map[[2]int]string{}, peers: map[string]*hPeer{},
		pool: map[string]map[wire.LSAKey]wire.LSA{}}
	p.loop = core.NewLoop(time.Hour, rand.New(rand.NewPCG(1, 1)), p)
	p.loop.Add(p.m, core.Start{})
	p.router = hRouter(yText(yOSPF(config), "explicit-router-id"))
	for i, a := range hAreas(config) {
		names := []string{}
		for _, f := range yList(a, "interfaces", "interface") {
			names = append(names, yText(f, "name"))
		}
		slices.Sort(names)
		for k, n := range names {
			p.names[[2]int{i + 1, k + 1 + hVirtual(a)}] = n
		}
		p.virtual = p.virtual || hVirtual(a) > 0
	}
	p.configure()
	return p
}

func hAreas(config yang) []yang {
	list := yList(yOSPF(config), "areas", "area")
	slices.SortFunc(list, func(a, b yang) int { return cmp.Compare(yText(a, "area-id"), yText(b, "area-id")) })
	return list
}

// configure gives the module what the tree says. Timers that the recording does not fire are put far away.
func (p *player) configure() {
	o := yOSPF(p.tree)
	c := Config{Name: "oracle", Version: p.v, RouterID: p.router, SPF: Throttle{10 * time.Hour, time.Nanosecond, 10 * time.Hour},
		LSA: Throttle{0, time.Nanosecond, time.Nanosecond}, MinArrival: time.Nanosecond}
	for _, a := range hAreas(p.tree) {
		c.Areas = append(c.Areas, hArea(a))
	}
	c.MaxPaths, c.Distance = yNum(o, "spf-control", "paths"), uint8(yNum(o, "preference", "all"))
	c.StubRouter.Always = hMap(o["stub-router"])["always"] != nil
	c.Restart.NoHelper = yAt(o, "graceful-restart", "helper-enabled") == false
	c.Restart.Lax = yAt(o, "graceful-restart", "helper-strict-lsa-checking") == false
	body := Configure{Instances: []Config{c}}
	if enabled, ok := o["enabled"].(bool); ok && !enabled {
		body.Instances = nil
	}
	p.loop.Post(Name, core.Request{From: "oracle", Body: body})
	p.run()
}

func hArea(a yang) Area {
	out := Area{ID: wire.AreaID(hDotted(yText(a, "area-id"))), DefaultCost: uint32(cmp.Or(yNum(a, "default-cost"), 10))}
	switch yText(a, "area-type") {
	case "ietf-ospf:stub-area":
		out.Kind = Stub
	case "ietf-ospf:nssa-area":
		out.Kind = NSSA
	}
	out.NoSummary = yAt(a, "summary") == false
	for _, r := range yList(a, "ranges", "range") {
		x, _ := netip.ParsePrefix(yText(r, "prefix"))
		out.Ranges = append(out.Ranges, Range{Prefix: x, Hide: yAt(r, "advertise") == false, Cost: uint32(yNum(r, "cost"))})
	}
	for _, f := range yList(a, "interfaces", "interface") {
		if yAt(f, "enabled") != false {
			out.Interfaces = append(out.Interfaces, hInterface(f))
		}
	}
	return out
}

// hInterface has the recordings' defaults: cost 10 and priority 1. (Of an area's default route the cost is 10, too.)
func hInterface(f yang) Interface {
	second := func(key string, d int) time.Duration {
		return time.Duration(cmp.Or(yNum(f, key), d)) * time.Second
	}
	out := Interface{Name: yText(f, "name"), Cost: uint32(cmp.Or(yNum(f, "cost"), 10)), Priority: 1, Hello: second("hello-interval", 10),
		Dead: second("dead-interval", 40), Retransmit: second("retransmit-interval", 5), TransmitDelay: second("transmit-delay", 1),
		Passive: yAt(f, "passive") == true, MTUIgnore: yAt(f, "mtu-ignore") == true}
	if yAt(f, "bfd", "enabled") == true {
		out.Liveness = &Liveness{}
	}
	for _, n := range yList(f, "static-neighbors", "neighbor") {
		a, _ := netip.ParseAddr(yText(n, "identifier"))
		out.Neighbors = append(out.Neighbors, Peer{Address: a, Priority: uint8(yNum(n, "priority")), Cost: uint32(yNum(n, "cost"))})
	}
	if _, ok := f["priority"]; ok {
		out.Priority = uint8(yNum(f, "priority"))
	}
	switch yText(f, "interface-type") {
	case "point-to-point":
		out.Network = PointToPoint
	case "point-to-multipoint":
		out.Network = PointToMultipoint
	case "non-broadcast":
		out.Network = NBMA
	}
	if strings.HasPrefix(out.Name, "lo") {
		out.Network, out.Cost = Loopback, 0
	}
	return out
}

// hVirtual is how many virtual links an area has: the recordings number them before its interfaces.
func hVirtual(a yang) int { return len(yList(a, "virtual-links", "virtual-link")) }

func (p *player) inst() *instance { return p.m.instances["oracle"] }

// run lets the loop come to rest, and the peers answer where they do.
func (p *player) run() {
	for range 1000 {
		p.loop.Run(p.loop.Now() + 10*time.Microsecond)
		if !p.answers || len(p.sent) == 0 {
			return
		}
		sent := p.sent
		p.sent = nil
		for _, s := range sent {
			p.answer(s)
		}
	}
	p.t.Error("the router and its peers never come to rest")
}

// fire does what a timer does, if it is armed.
func (p *player) fire(t *core.Timer) {
	if t.Armed() {
		p.loop.Post(Name, core.Expired{Timer: t})
		p.run()
	}
}

// rest fires what follows a step within a moment: delayed acknowledgments.
func (p *player) rest() {
	if inst := p.inst(); inst != nil {
		for _, i := range inst.interfaces() {
			p.fire(&i.ackTimer)
		}
	}
}

func (p *player) iface(name string) *iface {
	if inst := p.inst(); inst != nil {
		for _, i := range inst.interfaces() {
			if i.name() == name {
				return i
			}
		}
	}
	return nil
}

// keyed is the interface of {"iface_key": {"Id": n}} or {"Value": name}.
func (p *player) keyed(area, iface yang) string {
	if n := yText(iface, "Value"); n != "" {
		return n
	}
	return p.names[[2]int{yNum(area, "Id"), yNum(iface, "Id")}]
}

func (p *player) neighbor(name string, key yang) *neighbor {
	i := p.iface(name)
	if i == nil {
		return nil
	}
	for _, n := range i.sorted() {
		if n.router.String() == yText(key, "Value") {
			return n
		}
	}
	return nil
}

// lines reads a file of one JSON document a line, or none.
func hLines(t *testing.T, name string) (out []hObject) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		var d hObject
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		if err := json.Unmarshal(s.Bytes(), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, d)
	}
	return out
}

func hDocument(t *testing.T, name string) yang {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var d yang
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// hEvent is what one line says: a kind and its value. Recordings of a whole network wrap it once more.
func hEvent(d hObject) (kind string, value json.RawMessage) {
	for kind, value = range d {
	}
	if kind != "Protocol" && kind != "Ibus" {
		return kind, value
	}
	var inner hObject
	if json.Unmarshal(value, &inner) == nil {
		return hEvent(inner)
	}
	var word string // "RouterIdSub": an event without a value
	json.Unmarshal(value, &word)
	return word, nil
}

// play does one line. Whose kind is not here is a consequence that another implementation sends itself.
func (p *player) play(d hObject) {
	kind, raw := hEvent(d)
	var x yang
	json.Unmarshal(raw, &x)
	switch kind {
	case "InterfaceUpd", "InterfaceAddressAdd", "InterfaceAddressDel":
		p.link(kind, x)
	case "InterfaceDel":
		p.linkGone(raw)
	case "BfdStateUpd":
		p.liveness(x)
	case "RouterIdUpdate":
		p.routerIDUpdate(raw)
	case "NetRxPacket":
		p.receive(raw)
	case "SpfDelayEvent":
		if yText(x, "event") == "DelayTimer" && p.inst() != nil {
			p.fire(&p.inst().spfTimer)
		}
	case "IsmEvent":
		if i := p.iface(p.keyed(hMap(x["area_key"]), hMap(x["iface_key"]))); i != nil && yText(x, "event") == "WaitTimer" {
			p.fire(&i.waitTimer)
		}
	case "NsmEvent", "RxmtInterval", "GracePeriod":
		p.neighborEvent(kind, x)
	case "LsaRefresh", "LsaFlush":
		p.lsaEvent(kind, x)
	}
}

func hMap(v any) yang { m, _ := v.(yang); return m }

func (p *player) routerIDUpdate(raw json.RawMessage) {
	var id string
	json.Unmarshal(raw, &id)
	if yText(yOSPF(p.tree), "explicit-router-id") == "" {
		p.router = hRouter(id)
		p.configure()
	}
}

func (p *player) link(kind string, x yang) {
	name := yText(x, "ifname")
	l := p.links[name]
	l.Name, l.Addresses = name, slices.Clone(l.Addresses)
	a, _ := netip.ParsePrefix(yText(x, "addr"))
	switch kind {
	case "InterfaceUpd":
		l.Index, l.MTU, l.Up = yNum(x, "ifindex"), yNum(x, "mtu"), strings.Contains(yText(x, "flags"), "OPERATIVE")
	case "InterfaceAddressAdd":
		if !slices.Contains(l.Addresses, a) {
			l.Addresses = append(l.Addresses, a)
		}
	case "InterfaceAddressDel":
		l.Addresses = slices.DeleteFunc(l.Addresses, func(b netip.Prefix) bool { return a == b })
	}
	p.links[name] = l
	if l.Index != 0 { // a recording may name an address before its interface
		p.loop.Broadcast(l)
		p.run()
	}
}

func (p *player) linkGone(raw json.RawMessage) {
	var name string
	json.Unmarshal(raw, &name)
	if l, ok := p.links[name]; ok {
		l.Gone, l.Up = true, false
		delete(p.links, name)
		p.loop.Broadcast(l)
		p.run()
	}
}

// liveness is what BFD tells of a neighbour.
func (p *player) liveness(x yang) {
	s := liveness.State{For: "oracle", Status: liveness.Down}
	if strings.EqualFold(yText(x, "state"), "up") {
		s.Status = liveness.Up
	}
	for _, kind := range hMap(x["sess_key"]) {
		for _, n := range p.inst().neighbors() {
			if n.i.name() == yText(kind, "ifname") && n.address.String() == yText(kind, "dst") {
				s.Target = n.watched
				p.loop.Post(Name, core.Notice{From: liveness.BFD, Body: s})
				p.run()
			}
		}
	}
}

func (p *player) neighborEvent(kind string, x yang) {
	n := p.neighbor(p.keyed(hMap(x["area_key"]), hMap(x["iface_key"])), hMap(x["nbr_key"]))
	if n == nil {
		return
	}
	if n.grace != nil { // while it is helped its silence is waited for as long as it asked (RFC 3623 3.1)
		if kind == "GracePeriod" {
			n.grace.until = p.loop.Now()
			p.fire(&n.inactivity)
		}
		if kind != "RxmtInterval" {
			return
		}
	}
	switch yText(x, "event") + yText(x, "packet_type") {
	case "InactivityTimer":
		p.fire(&n.inactivity)
	case "LsUpdate":
		for k := range n.unacked {
			n.unacked[k].at -= n.i.cfg.Retransmit
		}
		p.fire(&n.update)
	case "DbDesc":
		p.fire(&n.description)
	case "LsRequest":
		p.fire(&n.request)
	}
}

// lsaEvent makes an LSA due: for refresh, or for its end.
func (p *player) lsaEvent(kind string, x yang) {
	if kind == "LsaFlush" && yText(x, "reason") != "Expiry" {
		return
	}
	var h hLSAHeader
	b, _ := json.Marshal(yAt(x, "lse_key", "Value"))
	json.Unmarshal(b, &h)
	for _, e := range p.entries() {
		if e.key() == h.key() && e.index > 0 && (kind == "LsaFlush" || h.key().Router == p.router) {
			e.due = p.loop.Now()
			if kind == "LsaFlush" {
				e.born = p.loop.Now() - wire.MaxAge*time.Second
			}
			heap.Fix(&p.inst().ages, e.index-1)
			p.loop.Post(Name, core.Expired{Timer: &p.inst().ageTimer})
			p.run()
		}
	}
}

// databases are all scopes, in order.
func (p *player) databases() (list []*database) {
	inst := p.inst()
	if inst == nil {
		return nil
	}
	list = append(list, inst.db)
	for _, a := range inst.sortedAreas() {
		list = append(list, a.db)
	}
	for _, i := range inst.interfaces() {
		list = append(list, i.db)
	}
	return list
}

func (p *player) entries() (list []*entry) {
	for _, db := range p.databases() {
		list = append(list, slices.Collect(maps.Values(db.lsas))...)
	}
	return list
}

type hReceived struct {
	Area   yang       `json:"area_key"`
	Iface  yang       `json:"iface_key"`
	Src    netip.Addr `json:"src"`
	Dst    netip.Addr `json:"dst"`
	Packet hObject    `json:"packet"`
	name   string
	ok     *wire.Packet
}

// read makes a packet of ours of a recorded one; ok is nil where the recording has only that it was bad.
func (p *player) read(raw json.RawMessage) (r hReceived) {
	if err := json.Unmarshal(raw, &r); err != nil {
		p.t.Fatal(err)
	}
	r.name = p.keyed(r.Area, r.Iface)
	if good := r.Packet["Ok"]; good != nil {
		var err error
		if r.ok, err = hPacketOf(p.v, good); err != nil {
			p.t.Fatalf("%v: %s", err, good)
		}
	}
	return r
}

func (p *player) receive(raw json.RawMessage) {
	r := p.read(raw)
	if r.name == "" || p.answers && p.remote(r) {
		return
	}
	if r.ok == nil {
		p.deliver(r.name, r.Src, r.Dst, bytes.Repeat([]byte{0xff}, 24))
		return
	}
	if p.answers && p.peerOf(r).hear(p, r) {
		return
	}
	p.translate(r)
	p.deliver(r.name, r.Src, r.Dst, r.ok.Append(nil, wire.Key{}, r.Src, r.Dst))
}

// remote reports whether a packet is for a virtual link: on an interface of another area.
func (p *player) remote(r hReceived) bool {
	i := p.iface(r.name)
	return p.virtual && i != nil && r.ok != nil && r.ok.Area != i.area.id
}

func (p *player) deliver(name string, src, dst netip.Addr, b []byte) {
	p.loop.Post(Name, core.ReceivedIP{Interface: name, Source: src, Destination: dst, Protocol: wire.Protocol, TTL: 1, Payload: b})
	p.run()
}

// translate replaces numbers that the recording's router chose by those that ours chose: of database descriptions that
// answer ours, and of acknowledgments of LSAs that we originated.
func (p *player) translate(r hReceived) {
	switch b := r.ok.Body.(type) {
	case *wire.Update:
		for _, l := range b.LSAs {
			if l.Router == p.router {
				p.accused = append(p.accused, l.LSAKey)
			}
		}
	case *wire.DatabaseDescription:
		n := p.neighbor(r.name, yang{"Value": r.ok.Router.String()})
		if n != nil && b.Flags&wire.DDMaster == 0 {
			b.Sequence = n.sequence
		}
	case *wire.Ack:
		for k, h := range b.Headers {
			for _, e := range p.entries() {
				if e.key() == h.LSAKey && (h.Router == p.router || h.Sequence == 0) {
					b.Headers[k] = e.header(p.loop.Now())
				}
			}
		}
	}
}

// hOracles is the folder of recordings.
func hOracles(t *testing.T, version string) string {
	dir := os.Getenv("SPOKEWAY_ORACLES")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for filepath.Base(root) != "internal" {
			root = filepath.Dir(root)
		}
		dir = filepath.Join(filepath.Dir(root), "..", "shared", "oracles")
	}
	dir = filepath.Join(dir, "holo", version)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v (set SPOKEWAY_ORACLES to their folder)", err)
	}
	return dir
}

func hFolders(dir string) (names []string) {
	list, _ := os.ReadDir(dir)
	for _, f := range list {
		if f.IsDir() {
			names = append(names, f.Name())
		}
	}
	return names
}
