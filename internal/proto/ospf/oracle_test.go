package ospf

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// TestOracles plays cases that another implementation recorded, and compares what follows: packets, interfaces,
// neighbours, databases, routes. What is not compared, and why, is said in the two lists below.

// ignored are what the recordings have and we do not compare.
var ignored = []struct{ what, why string }{
	{"hello", "hellos we send: the recordings have no timer for them"},
	{"self-opaque", "router information, extended prefixes and links, of segment routing, node tags and hostnames: not ours to originate"},
	{"self-id", "link state IDs of our own prefix LSAs of version 3, which have no meaning (RFC 5340 4.4.3.4)"},
	{"checksum", "sequence numbers, checksums and ages but MaxAge: they count how often an LSA was made anew"},
	{"topology-packets", "packets of a whole network coming up: which ones depends on timers that are not in the recording"},
	{"bundling", "which LSAs share a packet, and the order of links, LSAs and packets within a step"},
	{"counters", "statistics, spf-control, uptimes"},
	{"empty-prefixes", "intra-area-prefix-LSAs of ours without a prefix: they say nothing, and RFC 5340 4.4.3.9 asks for none"},
	{"flush-at-once", "the flush of an LSA that came in our name and is not ours (RFC 2328 13.4): the recordings have it after the step"},
	{"gone-interface", "next hops over an interface that was taken from the configuration, until routes are computed again"},
	{"disabled", "what an instance that is switched off shows: ours is not there"},
	{"preference", "distances apart for intra-area, inter-area and external routes: ours has one"},
	{"notices", "changes of state (the states are compared), and that a packet or LSA was bad (that nothing follows is compared)"},
	{"la-bit", "whether a summary of version 3 tells that its prefix is an address: RFC 5340 A.4.1.1 leaves it open for host prefixes"},
	{"flags", "of router-LSAs, in those states where the recordings leave them out of all"},
	{"virtual-links", "RFC 2328 section 15, left out: of a router with one of its own, the backbone, its own LSAs, packets and routes"},
	{"prefix-n", "the N bit of prefix options, which RFC 8362 defines for extended LSAs"},
}

// deviations are cases that end otherwise within the RFCs, by name, with the clause.
var deviations = map[string]string{}

func TestOracles(t *testing.T) {
	for name, v := range map[string]wire.Version{"ospfv2": wire.V2, "ospfv3": wire.V3} {
		t.Run(name, func(t *testing.T) {
			dir := hOracles(t, name)
			for _, topology := range hFolders(filepath.Join(dir, "topologies")) {
				for _, router := range hFolders(filepath.Join(dir, "topologies", topology)) {
					t.Run(topology+"/"+router, func(t *testing.T) { hTopology(t, v, filepath.Join(dir, "topologies", topology, router)) })
				}
			}
			index := hIndex(t, v, dir)
			for _, name := range hFolders(dir) {
				if name != "topologies" {
					t.Run(name, func(t *testing.T) { hCase(t, v, index, dir, name) })
				}
			}
		})
	}
}

// deviates says the clause by which a case ends otherwise, if one is listed.
func deviates(t *testing.T) bool {
	why := deviations[t.Name()[len("TestOracles/"):]]
	if why != "" {
		t.Log("not compared: " + why)
	}
	return why != ""
}

// hTopology lets a router come to be as recorded, and compares its state.
func hTopology(t *testing.T, v wire.Version, dir string) {
	config := hDocument(t, filepath.Join(dir, "config.json"))
	p := newPlayer(t, v, config)
	p.converge(hLines(t, filepath.Join(dir, "events.jsonl")))
	if deviates(t) {
		return
	}
	p.compareState(hDocument(t, filepath.Join(dir, "output", "northbound-state.json")))
	if installed := hLines(t, filepath.Join(dir, "output", "ibus.jsonl")); installed != nil && !p.virtual {
		p.compareInstalled(installed, true)
	}
}

// hCase plays the steps of a case on the router of a topology that fits it best.
func hCase(t *testing.T, v wire.Version, index []hRecorded, dir, name string) {
	base := hBase(t, v, index, dir, name)
	config := hDocument(t, filepath.Join(base, "config.json"))
	p := newPlayer(t, v, config)
	p.converge(hLines(t, filepath.Join(base, "events.jsonl")))
	if deviates(t) {
		return
	}
	for step := 1; ; step++ {
		files, _ := filepath.Glob(filepath.Join(dir, name, fmt.Sprintf("%02d-*", step)))
		if len(files) == 0 {
			break
		}
		p.step(files)
		if t.Failed() {
			t.Fatalf("step %d, from %s", step, base)
		}
	}
}

// step plays the inputs of a step and compares its outputs. Without a file of packets none may be sent.
func (p *player) step(files []string) {
	p.sent, p.accused = nil, nil
	for _, f := range files {
		switch {
		case !strings.Contains(f, "-input-"):
		case strings.HasSuffix(f, "config-change.json"):
			before := hShape(p.tree)
			yPatch(p.tree, hDocument(p.t, f))
			if id := yText(yOSPF(p.tree), "explicit-router-id"); id != "" {
				p.router = hRouter(id)
			}
			p.configure()
			if p.inst() != nil && hShape(p.tree) != before {
				p.fire(&p.inst().spfTimer)
			}
		case strings.HasSuffix(f, "rpc.json"):
			p.rpc(hDocument(p.t, f))
		default:
			for _, d := range hLines(p.t, f) {
				p.play(d)
			}
		}
	}
	p.rest()
	var want []hObject
	for _, f := range files {
		if strings.HasSuffix(f, "output-protocol.jsonl") {
			want = hLines(p.t, f)
		}
	}
	if !p.virtual {
		p.comparePackets(want)
	}
	for _, f := range files {
		switch {
		case p.virtual && !strings.HasSuffix(f, "state.json"):
		case strings.HasSuffix(f, "output-northbound-state.json"):
			p.compareState(hDocument(p.t, f))
		case strings.HasSuffix(f, "output-ibus.jsonl"):
			p.compareInstalled(hLines(p.t, f), false)
		case strings.HasSuffix(f, "output-northbound-notif.jsonl"):
			p.compareNotices(hLines(p.t, f))
		}
	}
}

// hShape is the areas and their ranges: when these change, the recordings tell of it in the same step; of interfaces when
// their timer for the tree comes.
func hShape(tree yang) (s string) {
	for _, a := range hAreas(tree) {
		s += fmt.Sprint(a["area-id"], a["ranges"], a["area-type"], a["summary"], a["default-cost"], ";")
	}
	return s
}

// rpc is an operator's command.
func (p *player) rpc(d yang) {
	for name, x := range d {
		if strings.HasSuffix(name, "clear-neighbor") {
			count := 0
			p.loop.Post(Name, core.Request{From: "oracle", Body: Clear{Filter: yText(x, "interface"), Count: &count}})
			p.run()
		}
	}
}

// yPatch applies a change of configuration, whose "@" keys say what becomes of what is beside them.
func yPatch(tree, change yang) {
	for k, x := range change {
		if strings.HasPrefix(k, "@") {
			continue
		}
		meta := hMap(change["@"+k])
		switch x := x.(type) {
		case yang:
			if tree[k] == nil {
				tree[k] = yang{}
			}
			yPatch(hMap(tree[k]), x)
		case []any:
			old, _ := tree[k].([]any)
			tree[k] = yPatchList(old, x)
		default:
			tree[k] = x
			if yText(meta, "yang:operation") == "delete" {
				delete(tree, k)
			}
		}
	}
}

func yPatchList(old, change []any) []any {
	for _, x := range change {
		m, ok := x.(yang)
		if !ok {
			continue
		}
		at := slices.IndexFunc(old, func(o any) bool { return yKey(hMap(o)) == yKey(m) })
		switch op := yText(m, "@", "yang:operation"); {
		case op == "delete" && at >= 0:
			old = slices.Delete(old, at, at+1)
		case at >= 0:
			yPatch(hMap(old[at]), m)
		case op != "delete":
			n := yang{}
			yPatch(n, m)
			old = append(old, n)
		}
	}
	return old
}

// yKey is what names an entry of a list.
func yKey(m yang) string {
	for _, k := range []string{"area-id", "name", "prefix", "tag", "router-id", "identifier"} {
		if s := yText(m, k); s != "" {
			return k + " " + s
		}
	}
	return ""
}

// hBase is the router of a topology that a case starts from: the one whose state is most like the first that the case
// recorded, else the first that has most of what its inputs name.
func hBase(t *testing.T, v wire.Version, index []hRecorded, dir, name string) string {
	files, _ := filepath.Glob(filepath.Join(dir, name, "*"))
	var state hSet
	hints := hSet{}
	for _, f := range files {
		switch {
		case strings.HasSuffix(f, "state.json") && state == nil:
			state = hState(v, hDocument(t, f))
		case strings.HasSuffix(f, "config-change.json"):
			hConfigHints(hints, hDocument(t, f))
		case strings.Contains(f, "-input-") && strings.HasSuffix(f, ".jsonl"):
			for _, d := range hLines(t, f) {
				hHints(hints, d)
			}
		}
	}
	best, most := "", -1.0
	for _, r := range index {
		n := hAlike(state, r.state) * 1000
		for h := range hints {
			if r.state[h] {
				n++
			}
		}
		if n > most {
			best, most = r.at, n
		}
	}
	return best
}

// hHints are what an input names of the router it is for, in lines as those of [hState].
func hHints(s hSet, d hObject) {
	_, raw := hEvent(d)
	var x yang
	json.Unmarshal(raw, &x)
	iface := cmp.Or(yText(x, "iface_key", "Value"), yText(x, "ifname"))
	s.add("has %s", iface)
	s.add("area %s has %s", yText(x, "area_key", "Value"), iface)
	s.add("%s neighbor %s is full", iface, yText(x, "nbr_key", "Value"))
	s.add("%s address of a neighbor %s", iface, yText(x, "src"))
	k := hMap(yAt(x, "lse_key", "Value"))
	s.add("LSA %d %s %s", yNum(k, "lsa_type"), yText(k, "lsa_id"), yText(k, "adv_rtr"))
}

func hConfigHints(s hSet, d yang) {
	s.add("router ID %s", yText(yOSPF(d), "explicit-router-id"))
	for _, a := range hAreas(d) {
		for _, f := range yList(a, "interfaces", "interface") {
			s.add("area %s has %s", yText(a, "area-id"), yText(f, "name"))
		}
	}
}

// hRecorded is a router of a topology, as cases are told apart by it.
type hRecorded struct {
	at    string
	state hSet
}

func hIndex(t *testing.T, v wire.Version, dir string) (index []hRecorded) {
	for _, topology := range hFolders(filepath.Join(dir, "topologies")) {
		for _, router := range hFolders(filepath.Join(dir, "topologies", topology)) {
			at := filepath.Join(dir, "topologies", topology, router)
			index = append(index, hRecorded{at, hState(v, hDocument(t, filepath.Join(at, "output", "northbound-state.json")))})
		}
	}
	return index
}

// hState is all lines of a recorded state, and what [hHints] may name of it.
func hState(v wire.Version, d yang) hSet {
	s, o := hSet{}, yOSPF(d)
	(&player{v: v}).wantDatabase(s, o)
	for line := range s {
		if _, lsa, ok := strings.Cut(line, ": "); ok {
			w := strings.Fields(lsa) // 0x1 1.1.1.1 of 1.1.1.1 of ...
			n, _ := strconv.ParseUint(w[0], 0, 16)
			s.add("LSA %d %s %s", n, w[1], w[3])
		}
	}
	hWantRoutes(s, o)
	s.add("router ID %s", yText(o, "router-id"))
	for _, a := range yList(o, "areas", "area") {
		for _, f := range yList(a, "interfaces", "interface") {
			name := yText(f, "name")
			hWantInterface(s, f)
			s.add("has %s", name)
			s.add("area %s has %s", yText(a, "area-id"), name)
			for _, n := range yList(f, "neighbors", "neighbor") {
				s.add("%s neighbor %s is %s", name, yText(n, "neighbor-router-id"), yText(n, "state"))
				s.add("%s address of a neighbor %s", name, yText(n, "address"))
			}
		}
	}
	return s
}

// hAlike is the part that both have of all there is.
func hAlike(a, b hSet) float64 {
	both := 0
	for w := range a {
		if b[w] {
			both++
		}
	}
	return float64(both) / float64(max(1, len(a)+len(b)-both))
}

// An hSet is lines of what is so. Two are compared, not their order.
type hSet map[string]bool

func (s hSet) add(format string, args ...any) { s[fmt.Sprintf(format, args...)] = true }

func hDifference(t *testing.T, what string, got, want hSet) {
	t.Helper()
	var lines []string
	for l := range got {
		if !want[l] {
			lines = append(lines, "  too much: "+l)
		}
	}
	for l := range want {
		if !got[l] {
			lines = append(lines, "  missing:  "+l)
		}
	}
	if len(lines) > 0 {
		slices.Sort(lines)
		t.Errorf("%s:\n%s", what, strings.Join(lines[:min(len(lines), 40)], "\n"))
	}
}

// comparePackets compares what was sent, LSA by LSA and acknowledgment by acknowledgment.
func (p *player) comparePackets(lines []hObject) {
	got, want := hSet{}, hSet{}
	for _, s := range p.sent {
		x, err := wire.Parse(p.v, s.Payload, s.Source, s.Destination)
		if err != nil {
			p.t.Errorf("we send what does not read: %v", err)
			continue
		}
		p.items(got, s.Interface, s.Destination, x)
	}
	maps.DeleteFunc(got, func(line string, _ bool) bool { return p.flushes(line) })
	for _, d := range lines {
		var tx struct {
			Packet json.RawMessage `json:"packet"`
			Name   string          `json:"ifname"`
			Dst    json.RawMessage `json:"dst"`
		}
		if kind, raw := hEvent(d); kind != "NetTxPacket" || json.Unmarshal(raw, &tx) != nil || tx.Name == "" {
			continue
		}
		x, err := hPacketOf(p.v, tx.Packet)
		if err != nil {
			p.t.Fatalf("%v: %s", err, tx.Packet)
		}
		var many []netip.Addr
		json.Unmarshal(tx.Dst, &many)
		for _, dst := range many {
			p.items(want, tx.Name, dst, x)
		}
	}
	hDifference(p.t, "packets sent", got, want)
}

func (p *player) items(s hSet, name string, dst netip.Addr, x *wire.Packet) {
	to := fmt.Sprintf("%s to %v area %v", name, dst, x.Area)
	switch b := x.Body.(type) {
	case *wire.Update:
		for _, l := range b.LSAs {
			if !p.ignores(l.LSAKey) {
				s.add("%s update: %s", to, p.describe(l))
			}
		}
	case *wire.Ack:
		for _, h := range b.Headers {
			s.add("%s acknowledgment: %v", to, h.LSAKey)
		}
	case *wire.Request:
		for _, k := range b.Keys {
			s.add("%s request: %v", to, k)
		}
	case *wire.DatabaseDescription:
		s.add("%s description: flags %x, MTU %d", to, b.Flags, b.MTU)
		for _, h := range b.Headers {
			if !p.ignores(h.LSAKey) {
				s.add("%s description of %s", to, p.key(h.LSAKey))
			}
		}
	}
}

// ignores is the line "self-opaque" of the list.
func (p *player) ignores(k wire.LSAKey) bool {
	f := k.Function(p.v)
	return k.Router == p.router && (f == wire.FunctionOpaque || f == wire.FunctionUnknown)
}

// flushes is the line "flush-at-once" of the list: in the step's input there was an LSA in our name that we flush.
func (p *player) flushes(line string) bool {
	for _, k := range p.accused {
		if strings.Contains(line, " update: "+p.key(k)+" flushed ") {
			return true
		}
	}
	return false
}

// key is an LSA's, less an ID of ours without meaning.
func (p *player) key(k wire.LSAKey) string {
	f := k.Type.Function(p.v)
	if p.v != wire.V2 && k.Router == p.router && (f == wire.FunctionSummary || f == wire.FunctionSummaryRouter || f == wire.FunctionIntraAreaPrefix) {
		k.ID = 0
	}
	return k.String()
}

// describe is what an LSA says, its links and prefixes in order.
func (p *player) describe(l wire.LSA) string {
	body, err := l.Body(p.v)
	if err != nil {
		return err.Error()
	}
	age := ""
	if l.Age >= wire.MaxAge {
		age = " flushed"
	}
	return p.key(l.LSAKey) + age + " " + hBodyText(body)
}

func hBodyText(body wire.LSABody) string {
	switch b := body.(type) {
	case *wire.RouterLSA:
		c := *b
		c.Links = slices.Clone(b.Links)
		slices.SortFunc(c.Links, func(x, y wire.Link) int {
			return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.ID, y.ID), cmp.Compare(x.Data, y.Data), cmp.Compare(x.Interface, y.Interface), cmp.Compare(x.Neighbor, y.Neighbor))
		})
		return fmt.Sprintf("router %+v", c)
	case *wire.NetworkLSA:
		c := *b
		c.Routers = slices.Sorted(slices.Values(b.Routers))
		return fmt.Sprintf("network %+v", c)
	case *wire.IntraAreaPrefix:
		c := *b
		c.Prefixes = hSortedPrefixes(b.Prefixes)
		return fmt.Sprintf("prefixes %+v", c)
	case *wire.LinkLSA:
		c := *b
		c.Prefixes = hSortedPrefixes(b.Prefixes)
		return fmt.Sprintf("link %+v", c)
	case *wire.Summary:
		c := *b
		c.PrefixOptions &^= wire.PrefixLA // the line "la-bit"
		return fmt.Sprintf("summary %+v", c)
	case *wire.Opaque:
		return "opaque"
	}
	return fmt.Sprintf("%+v", body)
}

func hSortedPrefixes(list []wire.PrefixEntry) []wire.PrefixEntry {
	list = slices.Clone(list)
	for i := range list {
		list[i].Options &^= 0x20 // the line "prefix-n"
	}
	slices.SortFunc(list, func(a, b wire.PrefixEntry) int { return a.Prefix.Compare(b.Prefix) })
	return list
}

// compareState compares all that a router knows.
func (p *player) compareState(d yang) {
	o := yOSPF(d)
	if o == nil || p.inst() == nil { // the line "disabled"
		return
	}
	if id := yText(o, "router-id"); id != "" && p.inst() != nil && id != p.inst().router.String() {
		p.t.Errorf("router ID %v, and should be %v", p.inst().router, id)
	}
	want, got := hSet{}, hSet{}
	for _, a := range yList(o, "areas", "area") {
		for _, f := range yList(a, "interfaces", "interface") {
			hWantInterface(want, f)
		}
	}
	p.gotInterfaces(got)
	hDifference(p.t, "interfaces and neighbours", got, want)
	want, got = hSet{}, hSet{}
	p.wantDatabase(want, o)
	p.gotDatabase(got)
	if !strings.Contains(fmt.Sprint(o), "rtr-lsa-bits") { // the line "flags" of the list
		want, got = hFlagless(want), hFlagless(got)
	}
	if p.virtual {
		own := func(line string, _ bool) bool {
			return !strings.HasPrefix(line, "area ") || strings.HasPrefix(line, "area 0.0.0.0:") || strings.Contains(line, " of "+p.router.String()+" of ")
		}
		maps.DeleteFunc(want, own)
		maps.DeleteFunc(got, own)
	}
	hDifference(p.t, "database", got, want)
	if p.virtual {
		return
	}
	want, got = hSet{}, hSet{}
	hWantRoutes(want, o)
	p.gotRoutes(got)
	hDifference(p.t, "routes", got, want)
}

func hFlagless(s hSet) hSet {
	out := hSet{}
	for line := range s {
		for f := range 32 {
			line = strings.Replace(line, fmt.Sprintf(", flags %d,", f), ",", 1)
		}
		out[line] = true
	}
	return out
}

func hWantInterface(s hSet, f yang) {
	name := yText(f, "name")
	if state := yText(f, "state"); state != "" && state != "down" {
		s.add("%s is %s", name, state)
	}
	for _, n := range yList(f, "neighbors", "neighbor") {
		s.add("%s neighbor %s at %s is %s", name, yText(n, "neighbor-router-id"), yText(n, "address"), yText(n, "state"))
	}
}

var hNeighborStates = map[string]string{"two-way": "2-way"}

var hInterfaceStates = map[ifaceState]string{down: "down", looped: "loopback", waiting: "waiting", pointToPoint: "point-to-point", drOther: "dr-other", backup: "bdr", designated: "dr"}

func (p *player) gotInterfaces(s hSet) {
	inst := p.inst()
	if inst == nil {
		return
	}
	for _, i := range inst.interfaces() {
		if i.state != down {
			s.add("%s is %s", i.name(), hInterfaceStates[i.state])
		}
		for _, n := range i.sorted() {
			s.add("%s neighbor %v at %v is %s", i.name(), n.router, n.address, cmp.Or(hNeighborStates[n.state.String()], n.state.String()))
		}
	}
}

func hWantRoutes(s hSet, o yang) {
	for _, r := range yList(o, "local-rib", "route") {
		var hops []string
		for _, h := range yList(r, "next-hops", "next-hop") {
			if via := yText(h, "next-hop"); via != "" {
				hops = append(hops, via+" "+yText(h, "outgoing-interface"))
			}
		}
		slices.Sort(hops)
		s.add("%s %s metric %d tag %d by %v", yText(r, "prefix"), yText(r, "route-type"), yNum(r, "metric"), yNum(r, "route-tag"), hops)
	}
}

func (p *player) gotRoutes(s hSet) {
	inst := p.inst()
	if inst == nil || inst.result == nil {
		return
	}
	for _, r := range inst.result.Routes {
		var hops []string
		for _, h := range r.NextHops {
			if h.Via.IsValid() && p.iface(h.Interface) != nil {
				hops = append(hops, h.Via.String()+" "+h.Interface)
			}
		}
		slices.Sort(hops)
		metric := r.Cost
		if r.Type2 != 0 {
			metric = r.Type2
		}
		s.add("%s %s metric %d tag %d by %v", r.Prefix, hRouteType(r.Kind.String(), r.NSSA), metric, r.Tag, hops)
	}
}

func hRouteType(kind string, nssa bool) string {
	if nssa {
		return strings.Replace(kind, "external", "nssa", 1)
	}
	return kind
}
