package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// bfdScene is segments, each a bridge in the scene's namespace, with routers of three makes on this machine's kernel. On
// segment K the router of number N has the addresses 10.K.0.N/24, fd00:K::N/64 and fe80::N on its interface ethI. What they
// say in BFD is captured.
type bfdScene struct {
	*scene
	others []*other
}

// other is an FRR or a BIRD.
type other struct {
	s        *scene
	name     string
	number   int
	segments []int
}

func newBFDScene(t *testing.T) *bfdScene {
	s := newSceneCapturing(t, "trixie", "any", "udp port 3784 or udp port 4784")
	b := &bfdScene{scene: s}
	s.tell = b.tellAll
	return b
}

func (b *bfdScene) tellAll() {
	for _, n := range b.nodes {
		out, err := n.cli("show", "bfd", "-o", "wide")
		b.t.Logf("%s: %v\n%s", n.name, err, out)
	}
	for _, o := range b.others {
		out, _ := o.run("bash", "-c", "vtysh -c 'show bfd peers' -c 'show bfd peers counters' -c 'show ip route' -c 'show ip ospf neighbor'; birdc show bfd sessions; birdc show ospf neighbors; tail -20 /lab/log/*.log")
		b.t.Logf("%s:\n%s", o.name, out)
	}
}

// segment is the bridge of a segment, made at first.
func (b *bfdScene) segment(n int) string {
	b.t.Helper()
	name := fmt.Sprintf("seg%d", n)
	if _, err := b.try("ip", "-n", b.netns, "link", "show", "dev", name); err != nil {
		b.ip(b.netns, "link", "add", "name", name, "type", "bridge", "mcast_snooping", "0")
		b.ip(b.netns, "link", "set", name, "addrgenmode", "none", "up")
	}
	return name
}

func portOf(name string, segment int) string { return fmt.Sprintf("%s-%d", name, segment) }

// addresses is a script that gives a router its addresses.
func addresses(number int, segments []int) string {
	var all []string
	for i, k := range segments {
		eth := fmt.Sprintf("eth%d", i)
		all = append(all, "sysctl -qw net.ipv6.conf."+eth+".accept_dad=0", "ip link set "+eth+" addrgenmode none up",
			fmt.Sprintf("ip address add %s/24 dev %s", bfd4(k, number), eth), fmt.Sprintf("ip address add %s/64 dev %s", bfd6(k, number), eth),
			fmt.Sprintf("ip address add fe80::%d/64 dev %s", number, eth))
	}
	return lines(all...)
}

// middle forwards between two segments, on both of which it has a number.
func (b *bfdScene) middle(number int, segments ...int) {
	b.t.Helper()
	ns := b.netns + "-middle"
	b.space(ns)
	for i, k := range segments {
		b.ip(b.netns, "link", "add", portOf("middle", k), "type", "veth", "peer", "name", fmt.Sprintf("eth%d", i), "netns", ns)
		b.ip(b.netns, "link", "set", portOf("middle", k), "addrgenmode", "none", "master", b.segment(k), "up")
	}
	b.in(ns, "bash", "-ec", addresses(number, segments)+"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
}

func bfd4(segment, number int) string { return fmt.Sprintf("10.%d.0.%d", segment, number) }
func bfd6(segment, number int) string { return fmt.Sprintf("fd00:%d::%d", segment, number) }

// ours starts one of ours.
func (b *bfdScene) ours(name string, number int, segments []int, config ...string) *node {
	b.t.Helper()
	n := &node{s: b.scene, spec: spec{name: name}, netns: b.netns + "-" + name}
	b.space(n.netns)
	for i, k := range segments {
		b.ip(b.netns, "link", "add", portOf(name, k), "type", "veth", "peer", "name", fmt.Sprintf("eth%d", i), "netns", n.netns)
		b.ip(b.netns, "link", "set", portOf(name, k), "addrgenmode", "none", "master", b.segment(k), "up")
	}
	b.in(n.netns, "bash", "-ec", addresses(number, segments))
	n.text = lines(append([]string{"version: 1", "node: " + name}, config...)...)
	b.nodes = append(b.nodes, n)
	n.start()
	return n
}

// start starts routers of the others; file is frr.conf or bird.conf.
func (b *bfdScene) start(name string, number int, segments []int, file string, config ...string) *other {
	b.t.Helper()
	return b.startBehind(0, name, number, segments, file, config...)
}

// startBehind starts one whose way to everywhere else is the router of a number on its first segment; 0: there is none.
func (b *bfdScene) startBehind(gateway int, name string, number int, segments []int, file string, config ...string) *other {
	b.t.Helper()
	o := &other{s: b.scene, name: name, number: number, segments: segments}
	folder := filepath.Join(b.scene.run, "config", name)
	setup := addresses(number, segments)
	if gateway != 0 {
		setup += lines("ip route add default via "+bfd4(segments[0], gateway), "ip route add default via "+bfd6(segments[0], gateway))
	}
	writeFiles(b.scene, folder, map[string]string{"setup": setup, file: lines(config...)})
	argv := []string{"./peer", name, "--kernel", "host", "--netns", b.netns, "--config", folder}
	for _, k := range segments {
		argv = append(argv, "--nic", portOf(name, k)+"@"+b.segment(k))
	}
	b.must(argv...)
	b.others = append(b.others, o)
	return o
}

// cut has a router's link to a segment carry nothing any more, without its interface noticing; mend undoes it.
func (b *bfdScene) cut(name string, segment int) {
	b.ip(b.netns, "link", "set", portOf(name, segment), "nomaster")
}

func (b *bfdScene) mend(name string, segment int) {
	b.ip(b.netns, "link", "set", portOf(name, segment), "master", b.segment(segment))
}

func (o *other) run(argv ...string) (string, error) {
	return o.s.try(append([]string{"./peer-exec", o.name}, argv...)...)
}

func (o *other) must(argv ...string) string {
	o.s.t.Helper()
	out, err := o.run(argv...)
	if err != nil {
		o.s.t.Fatal(err)
	}
	return out
}

// configure changes FRR's configuration.
func (o *other) configure(commands ...string) {
	o.s.t.Helper()
	argv := []string{"vtysh", "-c", "configure terminal"}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	o.must(argv...)
}

// frrSession is what FRR tells of a session; intervals are milliseconds.
type frrSession struct {
	Peer, Interface, Status, Diagnostic string
	RemoteDiagnostic                    string `json:"remote-diagnostic"`
	Multihop                            bool
	Uptime                              int
	Transmit                            int `json:"transmit-interval"`
	RemoteReceive                       int `json:"remote-receive-interval"`
	RemoteTransmit                      int `json:"remote-transmit-interval"`
	RemoteEcho                          int `json:"remote-echo-receive-interval"`
	RemoteMultiplier                    int `json:"remote-detect-multiplier"`
}

func (o *other) frrSession(peer string) (frrSession, error) {
	out, err := o.run("vtysh", "-c", "show bfd peers json")
	var all []frrSession
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	for _, s := range all {
		if s.Peer == peer {
			return s, nil
		}
	}
	return frrSession{}, fmt.Errorf("%s has no session with %s: %w: %s", o.name, peer, err, out)
}

// frrFalls are how often FRR's session fell.
func (o *other) frrFalls(peer string) (int, error) {
	out, err := o.run("vtysh", "-c", "show bfd peers counters json")
	var all []struct {
		Peer string
		Down int `json:"session-down"`
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &all)
	}
	for _, s := range all {
		if s.Peer == peer {
			return s.Down, nil
		}
	}
	return 0, fmt.Errorf("%s counts nothing of %s: %w: %s", o.name, peer, err, out)
}

// says wants FRR's session to be in a state, and other things to be true of it.
func (o *other) says(peer, status string, more func(frrSession) bool) func() error {
	return func() error {
		s, err := o.frrSession(peer)
		if err == nil && (s.Status != status || more != nil && !more(s)) {
			err = fmt.Errorf("%s has %+v, not %s or not as it is to be", o.name, s, status)
		}
		return err
	}
}

var birdSession = regexp.MustCompile(`(?m)^(\S+)\s+(\S+)\s+(Up|Down|Init|AdminDown)\s+\S+( \S+)?\s+([0-9.]+)\s+([0-9.]+)`)

// birdSays wants BIRD's session to be in a state, with an interval and a detection time in seconds.
func (o *other) birdSays(peer, status string, interval, timeout float64) func() error {
	return func() error {
		out, err := o.run("birdc", "show", "bfd", "sessions")
		for _, f := range birdSession.FindAllStringSubmatch(out, -1) {
			i, _ := strconv.ParseFloat(f[5], 64)
			d, _ := strconv.ParseFloat(f[6], 64)
			if f[1] == peer && f[3] == status && (interval == 0 || i == interval && d == timeout) {
				return err
			}
		}
		return fmt.Errorf("%s has no session with %s that is %s each %v s: %v: %s", o.name, peer, status, interval, err, out)
	}
}

// session is our row of a peer.
func session(n *node, peer string) (bfd.Row, error) {
	var rows []bfd.Row
	if err := n.show(&rows, "bfd"); err != nil {
		return bfd.Row{}, err
	}
	i := slices.IndexFunc(rows, func(r bfd.Row) bool { return r.Peer.String() == peer })
	if i < 0 {
		return bfd.Row{}, fmt.Errorf("%s has no session with %s in %+v", n.name, peer, rows)
	}
	return rows[i], nil
}

// is wants our session to be in a state, and other things to be true of it.
func is(n *node, peer, state string, more func(bfd.Row) bool) func() error {
	return func() error {
		r, err := session(n, peer)
		if err == nil && (r.State != state || more != nil && !more(r)) {
			err = fmt.Errorf("%s has %+v, not %s or not as it is to be", n.name, r, state)
		}
		return err
	}
}

// each wants packets to be sent each so often, and silence of so long to be a failure.
func each(transmit, detection time.Duration) func(bfd.Row) bool {
	return func(r bfd.Row) bool {
		return r.TransmitInterval == transmit.Seconds() && r.Detection == detection.Seconds()
	}
}

func because(words string) func(bfd.Row) bool {
	return func(r bfd.Row) bool { return strings.Contains(r.Reason, words) }
}

// routed wants the kernel's route to lead by a next hop; "" is by none.
func routed(n *node, prefix, via string) func() error {
	return func() error {
		out := n.kernelRoute(prefix)
		if via == "" && strings.Contains(out, "via") || !strings.Contains(out, via) {
			return fmt.Errorf("%s has %q, want it by %q", n.name, strings.TrimSpace(out), via)
		}
		return nil
	}
}

// decoded wants Wireshark to find nothing wrong with any BFD packet of ours.
func (b *bfdScene) decoded(from map[string]string) {
	b.part("every BFD packet of ours decodes", func() {
		seen, bad := map[string]int{}, 0
		for _, line := range b.tshark("-n", "-o", "udp.check_checksum:TRUE", "-r", b.endCapture(), "-Y", "bfd", "-T", "fields", "-E", "separator=|", "-e", "frame.number",
			"-e", "ip.src", "-e", "ipv6.src", "-e", "bfd.sta", "-e", "udp.srcport", "-e", "ip.ttl", "-e", "ipv6.hlim",
			"-e", "bfd.required_min_echo_interval", "-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "udp.checksum.status", "-e", "udp.dstport") {
			f := strings.Split(strings.TrimRight(line, "\n"), "|")
			name := from[f[1]+f[2]]
			if name == "" {
				continue
			}
			seen[name+" "+f[3]]++
			port, _ := strconv.Atoi(f[4])
			if (port < bfd.FirstPort || f[5]+f[6] != "255" && (f[5]+f[6] != "254" || f[11] != "4784") || f[7] != "0" || f[8]+f[9] != "" || f[10] != "1") && bad < 10 {
				bad++
				b.t.Errorf("frame %s of %s: %v", f[0], name, f[3:])
			}
		}
		for _, name := range from {
			if !slices.ContainsFunc(sortedKeys(seen), func(k string) bool { return strings.HasPrefix(k, name+" ") }) {
				b.t.Errorf("the capture holds no packet of %s", name)
			}
		}
		b.t.Logf("packets by sender and state: %v", seen)
	})
}

// childrenOf are the processes that a process has begun.
func childrenOf(parent int) (pids []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, task.Name()))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
