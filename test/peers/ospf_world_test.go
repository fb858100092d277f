package peers

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is routers of three makes on segments, each a bridge in the scene's namespace, on this machine's kernel. What
// they say in OSPF is captured.
type world struct {
	*scene
	routers []*member
	bridges map[int]bool
}

// member is a router of a world.
type member struct {
	place
	w    *world
	node *node // one of ours
}

func newWorld(t *testing.T) *world {
	s := newSceneCapturing(t, "trixie", "any", "ip proto 89 or ip6 proto 89")
	w := &world{scene: s, bridges: map[int]bool{}}
	s.tell = func() {
		for _, m := range w.routers {
			s.t.Logf("%s:\n%s", m.name, m.state())
		}
		s.t.Logf("updates and acknowledgments: time, link, from, to, kind, and of each LSA age, ID, router and sequence\n%s", w.told())
	}
	return w
}

// told is the last updates and acknowledgments of the capture.
func (w *world) told() string {
	const most = 300
	args := []string{"-r", filepath.Join(w.run, capture), "-Y", "ospf.msg == 4 or ospf.msg == 5", "-T", "fields"}
	for _, f := range []string{"frame.time", "sll.ifindex", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "ospf.msg", "ospf.lsa.age", "ospf.link_state_id", "ospf.advrouter", "ospf.lsa.seqnum"} {
		args = append(args, "-e", f)
	}
	rows := w.tshark(args...)
	return strings.Join(rows[max(0, len(rows)-most):], "")
}

// segment makes the bridge of a segment, which floods all multicast.
func (w *world) segment(n int) string {
	name := fmt.Sprintf("seg%d", n)
	if !w.bridges[n] {
		w.bridges[n] = true
		w.ip(w.netns, "link", "add", "name", name, "type", "bridge", "mcast_snooping", "0")
		w.ip(w.netns, "link", "set", name, "addrgenmode", "none", "up")
	}
	return name
}

func (m *member) link(q port) string { return fmt.Sprintf("%s-%d", m.name, q.segment) }

// start makes routers side by side.
func (w *world) start(places ...place) (made []*member) {
	w.t.Helper()
	var jobs []func()
	errs := make([]error, len(places))
	for i, p := range places {
		m := &member{place: p, w: w}
		made = append(made, m)
		for _, q := range p.ports {
			if !q.passive {
				w.segment(q.segment)
			}
		}
		if p.make == "ours" {
			m.startOurs()
			continue
		}
		argv := m.prepare()
		jobs = append(jobs, func() { _, errs[i] = w.try(argv...) })
	}
	atOnce(jobs...)
	for _, err := range errs {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	w.routers = append(w.routers, made...)
	return made
}

// startOurs gives one of ours a namespace, links and life.
func (m *member) startOurs() {
	w := m.w
	w.t.Helper()
	n := &node{s: w.scene, spec: spec{name: m.name}, netns: w.netns + "-" + m.name}
	m.node = n
	w.space(n.netns)
	nic := 0
	for _, q := range m.ports {
		if q.passive {
			continue
		}
		w.ip(w.netns, "link", "add", m.link(q), "type", "veth", "peer", "name", fmt.Sprintf("eth%d", nic), "netns", n.netns)
		w.plugIn(m.link(q), q)
		nic++
	}
	w.in(n.netns, "bash", "-ec", m.setup())
	n.text = m.ourConfig()
	w.nodes = append(w.nodes, n)
	n.start()
}

// plugIn makes a link a port of its segment.
func (w *world) plugIn(link string, q port) {
	w.ip(w.netns, "link", "set", link, "addrgenmode", "none")
	if q.mtu > 1500 {
		w.ip(w.netns, "link", "set", link, "mtu", fmt.Sprint(q.mtu))
	}
	w.ip(w.netns, "link", "set", link, "master", w.segment(q.segment), "up")
}

// prepare writes the files of a router of another make, and gives the command that starts it.
func (m *member) prepare() []string {
	files := map[string]string{"setup": m.setup()}
	switch m.make {
	case "frr":
		files["frr.conf"] = m.frrConfig()
	case "bird":
		files["bird.conf"] = m.birdConfig()
	default:
		m.w.t.Fatalf("%s is of no make", m.name)
	}
	folder := filepath.Join(m.w.run, "config", m.name)
	writeFiles(m.w.scene, folder, files)
	argv := []string{"./peer", m.name, "--kernel", "host", "--netns", m.w.netns, "--config", folder}
	for _, q := range m.ports {
		if !q.passive {
			argv = append(argv, "--nic", m.link(q)+"@"+m.w.segment(q.segment))
		}
	}
	return argv
}

// run runs a program on the router.
func (m *member) run(argv ...string) (string, error) {
	if m.node != nil {
		return m.node.run(argv...)
	}
	return m.w.try(append([]string{"./peer-exec", m.name}, argv...)...)
}

func (m *member) must(argv ...string) string {
	m.w.t.Helper()
	out, err := m.run(argv...)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return out
}

// vtysh gives FRR commands.
func (m *member) vtysh(commands ...string) (string, error) {
	argv := []string{"vtysh"}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	return m.run(argv...)
}

// configure changes FRR's configuration.
func (m *member) configure(commands ...string) {
	m.w.t.Helper()
	if _, err := m.vtysh(append([]string{"configure terminal"}, commands...)...); err != nil {
		m.w.t.Fatal(err)
	}
}

// reload changes the place of one of ours.
func (m *member) reload(change func(*place)) {
	m.w.t.Helper()
	change(&m.place)
	m.node.reload(func(p *spec) { p.text = m.ourConfig() })
}

// state is what a failed case wants to know.
func (m *member) state() string {
	switch m.make {
	case "frr":
		out, _ := m.vtysh("show ip ospf neighbor", "show ip ospf route", "show ip ospf database", "show ipv6 ospf6 neighbor", "show ipv6 ospf6 route", "show ipv6 ospf6 database")
		log, _ := os.ReadFile(filepath.Join(m.w.scene.run, m.name, "log", "frr.log"))
		return out + lastLines(string(log), 20)
	case "bird":
		out, _ := m.run("bash", "-c", "birdc show ospf neighbors; birdc show route; for o in o2 o3 o4; do birdc show ospf lsadb $o; done")
		log, _ := os.ReadFile(filepath.Join(m.w.scene.run, m.name, "log", "bird.log"))
		return out + lastLines(string(log), 20)
	}
	return m.node.state()
}

func lastLines(text string, count int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-count):], "\n")
}

// fullWith are the neighbours with which a router is full in a version, as "INTERFACE ROUTER-ID".
func (m *member) fullWith(version string) ([]string, error) {
	switch m.make {
	case "frr":
		return m.frrFull(version)
	case "bird":
		return m.birdFull(version)
	}
	var rows []struct{ Instance, RouterID, Interface, State string }
	err := m.node.show(&rows, "ospf", "neighbors")
	var all []string
	for _, r := range rows {
		if r.Instance == instances[version] && r.State == "full" {
			all = append(all, r.Interface+" "+r.RouterID)
		}
	}
	return all, err
}

func (m *member) frrFull(version string) (all []string, err error) {
	if version == v3 {
		var answer struct {
			Neighbors []struct{ NeighborID, State, InterfaceName string }
		}
		err = m.frrJSON(&answer, "show ipv6 ospf6 neighbor")
		for _, n := range answer.Neighbors {
			if n.State == "Full" {
				all = append(all, n.InterfaceName+" "+n.NeighborID)
			}
		}
		return all, err
	}
	var answer struct {
		Neighbors map[string][]struct{ Converged, IfaceName string }
	}
	err = m.frrJSON(&answer, "show ip ospf neighbor")
	for id, rows := range answer.Neighbors {
		for _, n := range rows {
			if n.Converged == "Full" {
				name, _, _ := strings.Cut(n.IfaceName, ":")
				all = append(all, name+" "+id)
			}
		}
	}
	return all, err
}

func (m *member) frrJSON(into any, command string) error {
	out, err := m.vtysh(command + " json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s: %s: %w: %s", m.name, command, err, out)
	}
	return nil
}

// birdFull reads the table that BIRD prints: router ID, priority, state, time, interface, address.
func (m *member) birdFull(version string) (all []string, err error) {
	out, err := m.run("birdc", "show", "ospf", "neighbors", birdNames[version])
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 6 && strings.HasPrefix(f[2], "Full") {
			all = append(all, f[4]+" "+f[0])
		}
	}
	return all, err
}

// partners are the neighbours with which a router ought to be full, of those that run.
func (w *world) partners(m *member, version string) (all []string) {
	for _, q := range m.in(version) {
		if q.passive {
			continue
		}
		for _, o := range w.routers {
			if o != m && slices.ContainsFunc(o.in(version), func(x port) bool { return x.segment == q.segment && !x.passive }) {
				all = append(all, q.name()+" "+o.routerID())
			}
		}
	}
	return all
}

// adjacent wants each router to be full with everybody on its segments, in every version.
func (w *world) adjacent(limit time.Duration) {
	w.t.Helper()
	for _, m := range w.routers {
		for _, v := range m.speaking() {
			w.within(limit, fmt.Sprintf("%s (%s) is full with all in %s", m.name, m.make, v),
				same(func() ([]string, error) { return m.fullWith(v) }, w.partners(m, v)...))
		}
	}
}

// kernelRoute is a route as the kernel prints it in JSON.
type kernelRoute struct {
	Dst, Gateway, Dev, Type string
	Via                     struct{ Host string }
	NextHops                []struct {
		Gateway, Dev string
		Via          struct{ Host string }
	}
}

// kernelRoutes are the routes of the kernel's table that lead to a next hop, as "PREFIX via A dev D, via B dev E".
func (m *member) kernelRoutes(ipv6 bool) (rows []string, err error) {
	family := map[bool]string{false: "-4", true: "-6"}[ipv6]
	out, err := m.run("ip", family, "-json", "route", "show", "table", "main")
	if err != nil {
		return nil, err
	}
	var all []kernelRoute
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, err
	}
	for _, r := range all {
		if hops := r.hops(); len(hops) > 0 {
			rows = append(rows, wholePrefix(r.Dst, ipv6)+" "+strings.Join(hops, ", "))
		}
	}
	slices.Sort(rows)
	return rows, nil
}

func (r kernelRoute) hops() (all []string) {
	if r.Gateway != "" {
		all = append(all, "via "+r.Gateway+" dev "+r.Dev)
	}
	for _, h := range r.NextHops {
		all = append(all, "via "+h.Gateway+" dev "+h.Dev)
	}
	slices.Sort(all)
	return all
}

// wholePrefix spells out what `ip route` leaves out.
func wholePrefix(dst string, ipv6 bool) string {
	if dst == "default" {
		return map[bool]string{false: "0.0.0.0/0", true: "::/0"}[ipv6]
	}
	if a, err := netip.ParseAddr(dst); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return dst
}

// kernel gets the routes of one family, for same and has.
func (m *member) kernel(ipv6 bool) func() ([]string, error) {
	return func() ([]string, error) { return m.kernelRoutes(ipv6) }
}

// decoded wants Wireshark to find nothing wrong with any OSPF packet of ours.
func (w *world) decoded() {
	w.part("every OSPF packet of ours decodes", func() {
		from := map[string]string{}
		for _, m := range w.routers {
			for _, q := range m.ports {
				if m.make == "ours" {
					from[q.address(q.own(m.place))] = m.name
					from[linkLocal(q.own(m.place))] = m.name
				}
			}
		}
		w.cleanOSPF(from)
	})
}

// graceOf3 is what Wireshark says of a grace LSA of OSPFv3 (RFC 5187), which it does not know.
const graceOf3 = "Unknown LSA Type 11"

// cleanOSPF looks at what came from the addresses.
func (s *scene) cleanOSPF(from map[string]string) {
	s.t.Helper()
	seen, bad := map[string]int{}, 0
	for _, f := range s.fields(s.keys(), s.endCapture(), "ospf", "frame.number", "ip.src", "ipv6.src", "ospf.version", "ospf.msg",
		"_ws.malformed", "_ws.expert.severity", "_ws.expert.message") {
		name := from[outer(f[1])+outer(f[2])]
		if name == "" {
			continue
		}
		seen[fmt.Sprintf("%s v%s type %s", name, outer(f[3]), outer(f[4]))]++
		if (f[5] != "" || serious(f[6]) && f[7] != graceOf3) && bad < 10 {
			bad++
			s.t.Errorf("frame %s of %s: %s", f[0], name, strings.Join(f[3:], " "))
		}
	}
	for _, name := range from {
		if !slices.ContainsFunc(sortedKeys(seen), func(k string) bool { return strings.HasPrefix(k, name+" ") }) {
			s.t.Errorf("the capture holds no packet of %s", name)
		}
	}
	s.t.Logf("packets: %v", seen)
}
