package system

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// world is an underlay: one bridge that hosts are plugged into, 10.9.0.0/24 and 2001:db8:9::/64 on it.
type world struct {
	t     *testing.T
	name  string
	dir   string
	hosts []*host
}

// host is a network namespace on the underlay. Host number N is 10.9.0.N and has 192.168.N.1/24 as its LAN.
type host struct {
	w      *world
	name   string
	netns  string
	number int
	mac    string // on the underlay
}

var worlds atomic.Int32

// newWorld makes an underlay, captures what crosses it, and lets tshark judge that in the end.
func newWorld(t *testing.T) *world {
	t.Helper()
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	w.capture()
	return w
}

// quietWorld is a world whose packets nobody looks at.
func quietWorld(t *testing.T) *world {
	t.Helper()
	needs(t)
	n := worlds.Add(1)
	w := &world{t: t, name: fmt.Sprintf("w%d", n), dir: fmt.Sprintf("%s/%d", scenes, n)}
	w.must("mkdir", "-m", "755", w.dir)
	w.must("ip", "netns", "add", w.name)
	t.Cleanup(func() { w.try("ip", "netns", "delete", w.name) })
	w.must("ip", "-n", w.name, "link", "add", "wan", "type", "bridge")
	w.must("ip", "-n", w.name, "link", "set", "wan", "up")
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEP_LOGS") != "" {
			exec.Command("cp", "-r", w.dir, os.Getenv("KEEP_LOGS")+"/"+t.Name()).Run()
		}
	})
	return w
}

// host adds a host, plugged in.
func (w *world) host(name string) *host {
	w.t.Helper()
	h := &host{w: w, name: name, netns: w.name + "-" + name, number: len(w.hosts) + 1}
	w.hosts = append(w.hosts, h)
	w.must("ip", "netns", "add", h.netns)
	w.t.Cleanup(func() { w.try("ip", "netns", "delete", h.netns) })
	h.ip("link", "set", "lo", "up")
	h.plug()
	h.ip("link", "add", "name", "lan", "type", "veth", "peer", "name", "lan-far") // many kernels have no dummy
	h.ip("link", "set", "lan-far", "addrgenmode", "none", "up")
	h.ip("link", "set", "lan", "addrgenmode", "none", "up")
	h.ip("address", "add", h.lan()+"/24", "dev", "lan")
	h.ip("address", "add", fmt.Sprintf("fd00:%d::1/64", h.number), "dev", "lan", "nodad")
	return h
}

// plug gives the host its underlay interface.
func (h *host) plug() {
	h.w.t.Helper()
	h.w.must("ip", "-n", h.w.name, "link", "add", "name", h.name, "type", "veth", "peer", "name", "eth0", "netns", h.netns)
	h.w.must("ip", "-n", h.w.name, "link", "set", h.name, "master", "wan", "up")
	h.ip("address", "add", h.nbma()+"/24", "dev", "eth0")
	h.ip("address", "add", fmt.Sprintf("2001:db8:9::%d/64", h.number), "dev", "eth0", "nodad")
	h.ip("link", "set", "eth0", "addrgenmode", "none", "up") // else its addresses come some time later
	h.w.within(5*time.Second, h.name+" is plugged in", func() error {
		link := h.ip("-br", "link", "show", "dev", "eth0")
		if fields := strings.Fields(link); len(fields) > 2 && fields[1] == "UP" {
			h.mac = fields[2]
			return nil
		}
		return fmt.Errorf("%s", link)
	})
	for _, o := range h.w.hosts {
		if o != h && o.mac != "" {
			h.knows(o)
			o.knows(h)
		}
	}
}

// knows has the host not ask for another's link address. The kernel's table of neighbours is one for all namespaces of a machine: when
// some other test fills it, nobody finds anybody any more.
func (h *host) knows(o *host) {
	for _, a := range []string{o.nbma(), fmt.Sprintf("2001:db8:9::%d", o.number)} {
		h.try("ip", "neigh", "replace", a, "lladdr", o.mac, "dev", "eth0", "nud", "permanent") // a host may have lost its interface
	}
}

func (h *host) nbma() string { return fmt.Sprintf("10.9.0.%d", h.number) }
func (h *host) lan() string  { return fmt.Sprintf("192.168.%d.1", h.number) }

// capture has tcpdump write what crosses the bridge, and tshark read it when the test is over.
func (w *world) capture() {
	w.t.Helper()
	file := filepath.Join(w.dir, "underlay.pcap")
	c := exec.Command("ip", "netns", "exec", w.name, "tcpdump", "-Z", "root", "-U", "-n", "-s", "512", "-B", "8192",
		"-i", "wan", "-Q", "in", "-w", file, "ip proto 47 or ip6 proto 47 or udp port 4754")
	says, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		w.t.Fatalf("start tcpdump: %v", err)
	}
	says.Read(make([]byte, 1)) // it says where it listens
	go io.Copy(io.Discard, says)
	w.t.Cleanup(func() {
		c.Process.Signal(os.Interrupt)
		c.Wait()
		w.judge(file)
	})
}

// judge demands that tshark finds nothing to complain about in what crossed the underlay.
func (w *world) judge(file string) {
	out, err := exec.Command("tshark", "-n", "-r", file, "-Y", "_ws.malformed || _ws.expert.severity >= 6291456",
		"-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message").Output()
	if err != nil {
		w.t.Errorf("tshark: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if !tolerated(line) {
			w.t.Errorf("tshark on a packet of ours: %s", strings.TrimSpace(line))
		}
	}
}

// tolerated are remarks on packets that are right: tshark wants a password to be as long as an address, and TCP and ICMP
// in the overlay lose packets as they do anywhere.
func tolerated(line string) bool {
	return strings.Contains(line, "Incomplete Authentication Extension") || strings.Contains(line, "No response seen to ICMP")
}

func (w *world) try(argv ...string) (string, error) {
	return output(exec.Command(argv[0], argv[1:]...))
}

func output(c *exec.Cmd) (string, error) {
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w: %s", c.Args, err, bytes.TrimSpace(out))
	}
	return string(out), err
}

func (w *world) must(argv ...string) string {
	w.t.Helper()
	out, err := w.try(argv...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// command is a command on the host.
func (h *host) command(argv ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.netns}, argv...)...)
}

func (h *host) try(argv ...string) (string, error) { return output(h.command(argv...)) }

func (h *host) must(argv ...string) string {
	h.w.t.Helper()
	out, err := h.try(argv...)
	if err != nil {
		h.w.t.Fatal(err)
	}
	return out
}

func (h *host) ip(argv ...string) string {
	h.w.t.Helper()
	return h.w.must(append([]string{"ip", "-n", h.netns}, argv...)...)
}

// state is what the kernel of the host holds: interfaces, addresses, routes, rules, and the sysctls that a router sets.
func (h *host) state() string {
	h.w.t.Helper()
	parts := []string{
		h.ip("-d", "link", "show"), h.ip("address", "show"), h.ip("route", "show", "table", "all"),
		h.ip("-6", "route", "show", "table", "all"), h.ip("rule", "show"), h.ip("-6", "rule", "show"),
		h.must("sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.send_redirects", "net.ipv4.conf.all.rp_filter"),
	}
	return strings.ReplaceAll(strings.Join(parts, ""), "Error: Peer netns reference is invalid.\n", "")
}

// same demands that the kernel of the host holds what it held before.
func (h *host) same(before string) {
	h.w.t.Helper()
	if after := h.state(); after != before {
		h.w.t.Errorf("%s: not as it was:\n%s", h.name, difference(before, after))
	}
}

// difference is the lines that only one of two texts has.
func difference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out, "\n")
}

// ping sends probes from the host and gives how many were lost.
func (h *host) ping(to string, options ...string) (lost int, err error) {
	out, err := h.try(append([]string{"ping", "-n", "-q", "-W", "1", to}, options...)...)
	var sent, got int
	for line := range strings.Lines(out) {
		if _, e := fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got); e == nil {
			return sent - got, nil
		}
	}
	return 0, fmt.Errorf("ping %s from %s: %w: %s", to, h.name, err, out)
}

// reaches demands that one probe is answered before long.
func (h *host) reaches(to string) {
	h.w.t.Helper()
	h.w.within(10*time.Second, h.name+" reaches "+to, func() error {
		lost, err := h.ping(to, "-c", "1")
		if err == nil && lost > 0 {
			err = fmt.Errorf("no answer")
		}
		return err
	})
}

// within polls until what is awaited holds, less often the longer it takes.
func (w *world) within(d time.Duration, what string, holds func() error) {
	w.t.Helper()
	deadline := time.Now().Add(d)
	pause := 10 * time.Millisecond
	for first := error(nil); ; {
		err := holds()
		if err == nil {
			return
		}
		if first == nil {
			first = err
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s: %v\nat first: %v", d, what, err, first)
		}
		time.Sleep(pause)
		pause = min(pause*3/2, 150*time.Millisecond)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
