package peers

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// scene is an underlay with routers around it. Site N is 10.0.N.0/24 with its gateway, the scene's own namespace, at
// 10.0.N.1; all sites are on one bridge, where each packet is captured once, as it comes in.
type scene struct {
	t       *testing.T // of the case that runs
	suite   string
	run     string // folder of configurations, logs and the capture
	netns   string
	tcpdump *exec.Cmd
	nodes   []*node
	guests  []*guest
	tell    func() // what a failed case wants to know, where it is not what nodes and guests say

	authority pki // of protected scenes
}

const (
	bridge  = "wan"
	capture = "wan.pcap"
)

var scenes atomic.Int32

// newScene makes a scene that is gone after the test, also when this process is killed. The suite is the FRR of the
// guests: trixie has 10.3, bookworm 8.4.
func newScene(t *testing.T, suite string) *scene {
	return newSceneCapturing(t, suite, bridge, "ip proto gre or esp or udp port 500 or udp port 4500")
}

// newSceneCapturing makes one that captures something else: what comes in by an interface, or by any, and passes a filter.
func newSceneCapturing(t *testing.T, suite, iface, filter string) *scene {
	needs(t, suite)
	t.Parallel()
	s := &scene{t: t, suite: suite, netns: fmt.Sprintf("peers-%d-%d", os.Getpid(), scenes.Add(1))}
	var err error
	if s.run, err = os.MkdirTemp("", "spokeway-peers-"); err != nil {
		t.Fatal(err)
	}
	s.sweepLater()
	t.Cleanup(s.keepLogs)
	writeFiles(s, s.keys(), map[string]string{"preferences": wireshark})
	s.space(s.netns)
	for _, key := range []string{"ip_forward=1", "conf.all.send_redirects=0", "conf.default.send_redirects=0"} {
		s.in(s.netns, "sysctl", "-qw", "net.ipv4."+key)
	}
	s.ip(s.netns, "link", "add", bridge, "address", "02:00:00:00:00:01", "type", "bridge") // else it changes with the ports
	s.ip(s.netns, "link", "set", bridge, "up")
	s.startCapture(iface, filter)
	return s
}

// needs skips a test where this machine lacks something, and names it.
func needs(t *testing.T, suite string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: needs root, for network namespaces and guests")
	}
	for _, tool := range []string{"ip", "ping", "tcpdump", "tshark", "ethtool", "sysctl", "nft", "conntrack"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: needs the program %s; run test/peers/install", tool)
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("skipped: needs /dev/net/tun")
	}
	c := exec.Command("bash", "-c", `. ./lib; [[ -e $LAB_ROOT/.lab ]]`)
	c.Env = append(os.Environ(), "LAB_SUITE="+suite)
	if c.Run() != nil {
		t.Skipf("skipped: needs the peers' tree; run LAB_SUITE=%s test/peers/install", suite)
	}
}

// sweepLater starts the process that cleans up when the test says so by closing its input, or dies.
func (s *scene) sweepLater() {
	sweep := exec.Command("./sweep", "--later", s.run)
	sweep.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt of the test is not for it
	var complaint bytes.Buffer
	sweep.Stderr = &complaint
	input, err := sweep.StdinPipe()
	if err == nil {
		err = sweep.Start()
	}
	if err != nil {
		s.t.Fatalf("start sweep: %v", err)
	}
	t := s.t
	t.Cleanup(func() {
		input.Close()
		if err := sweep.Wait(); err != nil {
			t.Errorf("sweep %s: %v: %s", s.run, err, &complaint)
		}
	})
}

// keepLogs copies what the routers wrote to the folder LAB_LOGS, if the user names one.
func (s *scene) keepLogs() {
	to := os.Getenv("LAB_LOGS")
	if to == "" {
		return
	}
	to = filepath.Join(to, s.t.Name())
	c := exec.Command("bash", "-c", `mkdir -p "$1" && cd "$2" && cp *.pcap *.log *.yaml "$1"; cp -r keys "$1"; for n in */log; do mkdir -p "$1/${n%/log}"; cp -r "$n/." "$1/${n%/log}"; done`, "keep", to, s.run)
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Logf("keep logs in %s: %v: %s", to, err, out)
	}
}

// space makes a namespace that sweep knows of.
func (s *scene) space(name string) {
	s.t.Helper()
	s.note(name)
	s.must("ip", "netns", "add", name)
	s.ip(name, "link", "set", "lo", "up")
}

// note tells sweep of a namespace.
func (s *scene) note(name string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.run, "namespaces"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, name)
		f.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// site gives the underlay the gateway of a site, once.
func (s *scene) site(n int) {
	s.t.Helper()
	s.ip(s.netns, "address", "replace", fmt.Sprintf("10.0.%d.1/24", n), "dev", bridge)
}

// attach gives the namespace and the bridge that a router is to be plugged into: the underlay, or the inside of an
// address translator of its own.
func (s *scene) attach(p spec) (netns, port string) {
	s.t.Helper()
	s.site(p.site)
	if !p.nat {
		return s.netns, bridge
	}
	netns = s.netns + "-nat-" + p.name
	s.space(netns)
	s.ip(s.netns, "link", "add", p.name+"-nat", "type", "veth", "peer", "name", "out", "netns", netns)
	s.ip(s.netns, "link", "set", p.name+"-nat", "master", bridge, "up")
	s.ip(netns, "address", "add", nbma(p.site)+"/24", "dev", "out")
	s.ip(netns, "link", "set", "out", "up")
	s.ip(netns, "route", "add", "default", "via", gateway(p.site))
	s.ip(netns, "link", "add", "in", "address", "02:00:00:00:00:02", "type", "bridge")
	s.ip(netns, "address", "add", p.gateway()+"/24", "dev", "in")
	s.ip(netns, "link", "set", "in", "up")
	s.in(netns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	s.in(netns, "nft", `table ip nat {
		chain incoming { type nat hook prerouting priority -100; iifname "out" dnat to `+p.underlay()+`; }
		chain outgoing { type nat hook postrouting priority 100; oifname "out" snat to `+nbma(p.site)+`; }
	}`)
	return netns, "in"
}

// startCapture writes what comes in from now on.
func (s *scene) startCapture(iface, filter string) {
	s.tcpdump = exec.Command("ip", "netns", "exec", s.netns, "tcpdump", "-Z", "root", "-U", "-n", "-B", "8192",
		"-i", iface, "-Q", "in", "-w", filepath.Join(s.run, capture), filter)
	listening, err := s.tcpdump.StderrPipe()
	if err == nil {
		err = s.tcpdump.Start()
	}
	if err != nil {
		s.t.Fatalf("start tcpdump: %v", err)
	}
	first := make([]byte, 1) // it says where it listens, then is silent
	if _, err := listening.Read(first); err != nil {
		s.t.Fatalf("tcpdump does not start: %v", err)
	}
	go io.Copy(io.Discard, listening)
}

// endCapture gives the finished capture.
func (s *scene) endCapture() string {
	if s.tcpdump != nil {
		time.Sleep(200 * time.Millisecond) // the kernel hands packets over in batches; it cannot be asked for the last
		s.tcpdump.Process.Signal(os.Interrupt)
		s.tcpdump.Wait()
		s.tcpdump = nil
	}
	return filepath.Join(s.run, capture)
}

// part runs a case of the scene. Those after one that failed say little, so they are left out.
func (s *scene) part(name string, f func()) {
	s.t.Helper()
	outer := s.t
	defer func() { s.t = outer }()
	ok := outer.Run(name, func(t *testing.T) {
		s.t = t
		t.Cleanup(func() {
			if t.Failed() {
				s.explain()
			}
		})
		f()
	})
	if !ok && os.Getenv("LAB_GO_ON") == "" {
		outer.FailNow()
	}
}

// explain shows what the routers know when a case failed.
func (s *scene) explain() {
	if s.tell != nil {
		s.tell()
		return
	}
	for _, n := range s.nodes {
		s.t.Logf("%s:\n%s", n.name, n.state())
	}
	for _, g := range s.guests {
		s.t.Logf("%s:\n%s", g.name, g.state())
	}
}

// atOnce runs jobs side by side and returns when all are done.
func atOnce(jobs ...func()) {
	var all sync.WaitGroup
	for _, job := range jobs {
		all.Go(job)
	}
	all.Wait()
}

// try runs a program with the environment of the scene and gives its output.
func (s *scene) try(argv ...string) (string, error) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "LAB_RUN="+s.run, "LAB_SUITE="+s.suite)
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", argv, err, bytes.TrimSpace(out))
	}
	return string(out), err
}

func (s *scene) must(argv ...string) string {
	s.t.Helper()
	out, err := s.try(argv...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *scene) in(netns string, argv ...string) string {
	s.t.Helper()
	return s.must(append([]string{"ip", "netns", "exec", netns}, argv...)...)
}

func (s *scene) ip(netns string, argv ...string) string {
	s.t.Helper()
	return s.must(append([]string{"ip", "-n", netns}, argv...)...)
}
