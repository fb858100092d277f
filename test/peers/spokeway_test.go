package peers

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
)

// program is the spokeway under test: the one that the variable SPOKEWAY names, else built from this tree, once.
var program = os.Getenv("SPOKEWAY")

// sideBySide is how many scenes there are at once, unless -parallel says: most of the time they wait for timers.
const sideBySide = "5"

func TestMain(m *testing.M) {
	flag.Parse()
	if !given("test.parallel") {
		flag.Set("test.parallel", sideBySide)
	}
	if program != "" || os.Getuid() != 0 { // without root the cases are skipped
		os.Exit(m.Run())
	}
	os.Exit(buildAndRun(m))
}

// given reports whether a flag is on the command line.
func given(name string) (yes bool) {
	flag.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "spokeway-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	program = filepath.Join(folder, "spokeway")
	c := exec.Command("go", "build", "-o", program, "../../cmd/spokeway")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build spokeway:", err)
		return 1
	}
	return m.Run()
}

// node is a spokeway in a namespace of its own.
type node struct {
	s *scene
	spec
	netns  string
	outer  string // the namespace and the bridge in it that it is plugged into
	port   string
	at     string   // its NBMA address now, as the underlay sees it
	had    []string // all it ever had
	daemon *exec.Cmd
	ended  chan error // how it ended
}

// spokeway makes routers of ours and starts them.
func (s *scene) spokeway(specs ...spec) []*node {
	s.t.Helper()
	var made []*node
	for _, p := range specs {
		n := &node{s: s, spec: p, netns: s.netns + "-" + p.name}
		n.outer, n.port = s.attach(p)
		s.space(n.netns)
		n.plug(p.underlay())
		n.ip("link", "add", "lan0", "type", "veth", "peer", "name", "lan0-hosts") // many kernels have no dummy
		n.ip("link", "set", "lan0-hosts", "up")
		n.ip("link", "set", "lan0", "up")
		n.ip("address", "add", lanAddress(p.site)+"/24", "dev", "lan0")
		if p.ipv6 {
			n.ip("address", "add", lanAddress6(p.site)+"/64", "dev", "lan0", "nodad")
		}
		if p.protect.certificate {
			n.writeCertificate(s.entity(p, p.protect))
		}
		s.nodes = append(s.nodes, n)
		n.start()
		made = append(made, n)
	}
	return made
}

// plug gives the router its underlay interface, at an address of its site.
func (n *node) plug(address string) {
	n.s.t.Helper()
	n.at = address
	if n.nat {
		n.at = nbma(n.site)
	}
	n.had = append(n.had, n.at)
	n.s.ip(n.outer, "link", "add", n.name, "type", "veth", "peer", "name", "eth0", "netns", n.netns)
	n.s.ip(n.outer, "link", "set", n.name, "master", n.port, "up")
	n.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off") // packets as on a wire
	n.ip("address", "add", address+"/24", "dev", "eth0")
	n.ip("link", "set", "eth0", "up")
	n.ip("route", "add", "10.0.0.0/16", "via", n.gateway())
}

// unplug deletes the underlay interface, with its addresses and routes, as a PPPoE session does that ends.
func (n *node) unplug() {
	n.s.t.Helper()
	n.ip("link", "delete", "eth0")
}

func (n *node) yaml() string {
	p := n.spec
	if p.text != "" {
		return p.text
	}
	y := []string{
		"version: 1",
		"node: " + p.name,
		"tunnels:",
		"  " + tunnelName + ":",
		"    underlay: eth0",
		"    address: " + p.addresses(),
		"    key: 42",
		"    mtu: 1400",
	}
	if p.protected() {
		y = append(y, "    protect: lab")
	}
	if p.protect.encapsulation != "" {
		y = append(y, "    encapsulation: "+p.protect.encapsulation)
	}
	if p.protect.cut != "" {
		y = append(y, "    fragment: "+p.protect.cut)
	}
	y = append(y,
		"    nhrp:",
		"      network-id: 42",
		fmt.Sprintf("      holdtime: %ds", holdTime),
	)
	if p.password != "" {
		y = append(y, "      authentication: "+p.password)
	}
	if p.unique {
		y = append(y, "      unique: true")
	}
	for _, line := range p.extra {
		y = append(y, "      "+line)
	}
	if !p.isHub() {
		y = append(y, "      servers:")
	}
	for _, hub := range p.servers {
		y = append(y, "        - "+hub.yaml())
	}
	if p.protected() {
		y = append(y, p.protect.yaml(n)...)
	}
	y = append(y, `metrics: {listen: "127.0.0.1:9273"}`)
	for i, r := range p.overlay() {
		if i == 0 {
			y = append(y, "routes:")
		}
		y = append(y, "  - "+r.yaml())
	}
	return lines(append(y, p.routing...)...)
}

func (p spec) addresses() string {
	if p.ipv6 {
		return fmt.Sprintf("[%s, %q]", p.withMask(), tunnelAddress6(p.site)+"/128")
	}
	return p.withMask()
}

func (h server) yaml() string {
	if h.cluster == "" {
		return fmt.Sprintf("{nbma: %s}", nbma(h.site))
	}
	return fmt.Sprintf("{nbma: %s, priority: %d, cluster: %s}", nbma(h.site), h.priority, h.cluster)
}

func (r route) yaml() string {
	words := []string{fmt.Sprintf("to: %q", r.to), fmt.Sprintf("via: %q", r.via)}
	if r.iface {
		words = append(words, "interface: "+tunnelName)
	}
	if r.withDistance() {
		words = append(words, fmt.Sprint("distance: ", r.distance))
	}
	return "{" + strings.Join(words, ", ") + "}"
}

func (n *node) path(kind string) string { return filepath.Join(n.s.run, n.name+kind) }

func (n *node) writeConfig() {
	n.s.t.Helper()
	if err := os.WriteFile(n.path(".yaml"), []byte(n.yaml()), 0o600); err != nil {
		n.s.t.Fatal(err)
	}
}

// start runs the daemon and waits until it can be asked.
func (n *node) start() {
	n.s.t.Helper()
	n.writeConfig()
	log, err := os.OpenFile(n.path(".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.s.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command("ip", "netns", "exec", n.netns, program, "run", "-c", n.path(".yaml"), "--socket", n.path(".sock"),
		"--state", n.path(".state"), "--log-level", "debug", "--log-format", "logfmt")
	c.Stdout, c.Stderr = log, log
	if n.protected() {
		c.Env = append(os.Environ(), "SPOKEWAY_KEYLOG="+n.s.keys())
	}
	if err := c.Start(); err != nil {
		n.s.t.Fatal(err)
	}
	n.daemon, n.ended = c, make(chan error, 1)
	go func(ended chan error) { ended <- c.Wait() }(n.ended)
	n.s.within(10*time.Second, n.name+" answers", func() error {
		select {
		case err := <-n.ended:
			n.s.t.Fatalf("%s ended: %v\n%s", n.name, err, n.tail(20))
		default:
		}
		_, err := n.cli("show", "interfaces")
		return err
	})
}

// stop ends the daemon in good order.
func (n *node) stop() {
	n.s.t.Helper()
	n.daemon.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-n.ended:
		if err != nil {
			n.s.t.Errorf("%s did not end well: %v\n%s", n.name, err, n.tail(20))
		}
	case <-time.After(10 * time.Second):
		n.kill()
		n.s.t.Errorf("%s did not end within 10 s of SIGTERM\n%s", n.name, n.tail(20))
	}
}

// restart ends the daemon as for another that takes its place, which start makes.
func (n *node) restart() {
	n.s.t.Helper()
	n.must("restart")
	select {
	case <-n.ended:
	case <-time.After(10 * time.Second):
		n.kill()
		n.s.t.Errorf("%s did not end within 10 s of restart\n%s", n.name, n.tail(20))
	}
}

// kill ends the daemon as a power cut would.
func (n *node) kill() {
	n.daemon.Process.Kill()
	<-n.ended
}

// reload gives the daemon a changed configuration.
func (n *node) reload(change func(*spec)) {
	n.s.t.Helper()
	change(&n.spec)
	n.writeConfig()
	if _, err := n.cli("reload"); err != nil {
		n.s.t.Fatal(err)
	}
}

// cli runs a command against the daemon and gives its standard output.
func (n *node) cli(args ...string) (string, error) {
	c := exec.Command(program, append(args, "--socket", n.path(".sock"))...)
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%s: spokeway %s: %w: %s", n.name, strings.Join(args, " "), err, exit.Stderr)
		}
	}
	return string(out), err
}

func (n *node) show(into any, what ...string) error {
	out, err := n.cli(append(append([]string{"show"}, what...), "-o", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

type stage = nhrp.Stage

// why is what the daemon says about a peer, whatever the exit code.
func (n *node) why(peer string) []stage {
	n.s.t.Helper()
	out, err := n.cli("why", peer, "-o", "json")
	var stages []stage
	if e := json.Unmarshal([]byte(out), &stages); e != nil {
		n.s.t.Fatalf("why %s: %v, %v: %s", peer, err, e, out)
	}
	return stages
}

// cache is rows of "TYPE PROTOCOL NBMA", as FRR has them.
func (n *node) cache() ([]string, error) {
	var all []nhrp.CacheRow
	if err := n.show(&all, "nhrp"); err != nil {
		return nil, err
	}
	var rows []string
	for _, r := range all {
		rows = append(rows, cacheRow(r.Type, r.Protocol.String(), r.NBMA, r.ClaimedNBMA))
	}
	return rows, nil
}

func (n *node) shortcuts() ([]string, error) {
	var all []nhrp.ShortcutRow
	if err := n.show(&all, "shortcuts"); err != nil {
		return nil, err
	}
	var rows []string
	for _, r := range all {
		row := r.Type + " " + r.Prefix.String()
		if r.Via.IsValid() {
			row += " " + r.Via.String()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// nhrpRoutes is the NHRP routes that are in use.
func (n *node) nhrpRoutes() ([]string, error) {
	all, err := n.routes()
	return slices.DeleteFunc(all, func(row string) bool { return !strings.Contains(row, " nhrp ") }), err
}

func (n *node) routes() ([]string, error) {
	var all []query.RouteRow
	if err := n.show(&all, "routes"); err != nil {
		return nil, err
	}
	var rows []string
	for _, r := range all {
		for _, hop := range r.NextHops {
			if !r.Selected {
				continue
			}
			via := ""
			if hop.Via.IsValid() {
				via = hop.Via.String()
			}
			rows = append(rows, routeRow(r.Prefix.String(), r.Protocol, int(r.Distance), via, hop.Interface))
		}
	}
	return rows, nil
}

// peer is a row of `show peers`, by protocol or NBMA address.
func (n *node) peer(address string) (nhrp.PeerRow, error) {
	var all []nhrp.PeerRow
	if err := n.show(&all, "peers"); err != nil {
		return nhrp.PeerRow{}, err
	}
	a := netip.MustParseAddr(address)
	for _, r := range all {
		if r.Protocol == a || r.NBMA == address {
			return r, nil
		}
	}
	return nhrp.PeerRow{}, fmt.Errorf("%s has no peer %s", n.name, address)
}

func (n *node) run(argv ...string) (string, error) {
	return n.s.try(append([]string{"ip", "netns", "exec", n.netns}, argv...)...)
}

func (n *node) ip(argv ...string) string {
	n.s.t.Helper()
	return n.s.ip(n.netns, argv...)
}

func (n *node) tail(count int) string {
	text, _ := os.ReadFile(n.path(".log"))
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-count):], "\n")
}

// state is what a failed case wants to know.
func (n *node) state() string {
	asked := [][]string{{"nhrp"}, {"shortcuts"}, {"peers"}, {"routes"}, {"interfaces"}}
	if n.text != "" {
		asked = [][]string{{"ospf", "neighbors"}, {"ospf", "problems"}, {"ospf", "database"}, {"ospf", "routes"}, {"routes"}}
	}
	var all []string
	for _, what := range asked {
		out, err := n.cli(append([]string{"show"}, what...)...)
		if err != nil {
			out = err.Error()
		}
		all = append(all, out)
	}
	return strings.Join(append(all, n.tail(40)), "\n")
}

// must runs a command against the daemon.
func (n *node) must(args ...string) string {
	n.s.t.Helper()
	out, err := n.cli(args...)
	if err != nil {
		n.s.t.Fatal(err)
	}
	return out
}

// pause stops the daemon where it is: it neither forwards nor answers, and is not gone.
func (n *node) pause()  { n.daemon.Process.Signal(syscall.SIGSTOP) }
func (n *node) resume() { n.daemon.Process.Signal(syscall.SIGCONT) }

// resources is what a daemon holds.
type resources struct{ descriptors, goroutines, timers int }

func (n *node) resources() resources {
	n.s.t.Helper()
	var r resources
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.daemon.Process.Pid))
	if err != nil {
		n.s.t.Fatal(err)
	}
	r.descriptors = len(files)
	var timers []query.TimerRow
	if err := n.show(&timers, "timers"); err != nil {
		n.s.t.Fatal(err)
	}
	r.timers = len(timers)
	out, err := n.run("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/9273; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`)
	if err != nil {
		n.s.t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		fmt.Sscanf(line, "go_goroutines %d", &r.goroutines)
	}
	if r.goroutines == 0 {
		n.s.t.Fatalf("no go_goroutines among the metrics of %s", n.name)
	}
	return r
}
