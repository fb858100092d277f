package user

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// needRoot skips what makes namespaces, naming what is missing.
func needRoot(t testing.TB, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root, for network namespaces")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("skipped: needs /dev/net/tun")
	}
	for _, tool := range append([]string{"ip"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("skipped: needs the program " + tool)
		}
	}
}

var nsCount atomic.Int64

// world is network namespaces that are gone when the test ends.
type world struct {
	t      testing.TB
	prefix string
}

func newWorld(t testing.TB, names ...string) *world {
	w := &world{t, fmt.Sprintf("swu%d-%d-", os.Getpid(), nsCount.Add(1))}
	for _, n := range names {
		w.ip("netns add " + w.prefix + n)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", w.prefix+n).Run() })
		w.in(n, "ip link set lo up")
		w.in(n, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0")
	}
	return w
}

func (w *world) ip(args string) {
	w.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func (w *world) command(ns, command string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", w.prefix + ns}, strings.Fields(command)...)...)
}

// in runs a command that must succeed.
func (w *world) in(ns, command string) string {
	w.t.Helper()
	out, err := w.command(ns, command).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %s: %v\n%s", ns, command, err, out)
	}
	return string(out)
}

// veth joins two namespaces: ends are "namespace device address ...".
func (w *world) veth(a, b string) {
	w.t.Helper()
	x, y := strings.Fields(a), strings.Fields(b)
	w.ip(fmt.Sprintf("link add %s netns %s%s type veth peer name %s netns %s%s", x[1], w.prefix, x[0], y[1], w.prefix, y[0]))
	for _, end := range [][]string{x, y} {
		for _, addr := range end[2:] {
			extra := ""
			if strings.Contains(addr, ":") {
				extra = " nodad"
			}
			w.in(end[0], "ip addr add "+addr+" dev "+end[1]+extra)
		}
		w.in(end[0], "ip link set "+end[1]+" up")
	}
}

// enter runs f on a thread in the namespace. The thread ends with it.
func (w *world) enter(ns string, f func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		fd, err := unix.Open("/run/netns/"+w.prefix+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err != nil {
			w.t.Errorf("enter %s: %v", ns, err)
			return
		}
		f()
	})
	wg.Wait()
}

// node is a plane in a namespace.
type node struct {
	*Plane
	w      *world
	ns     string
	events chan any
}

func (w *world) plane(ns string, o Options) *node {
	n := &node{w: w, ns: ns, events: make(chan any, 1024)}
	var err error
	n.Plane, err = New(func(ev any) bool {
		select {
		case n.events <- ev:
			return true
		default:
			return false
		}
	}, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.Close() })
	w.t.Cleanup(n.tell)
	return n
}

// tell logs what was counted where, when a test has failed.
func (n *node) tell() {
	if !n.w.t.Failed() {
		return
	}
	for _, s := range n.Stats() {
		n.w.t.Logf("%s: %+v", n.ns, s)
	}
	for _, command := range []string{"ip -s -s link", "nstat -az", "ss -uwanpm"} {
		out, err := n.w.command(n.ns, command).CombinedOutput()
		n.w.t.Logf("%s: %s: %v\n%s", n.ns, command, err, out)
	}
}

// do does effects in the node's namespace.
func (n *node) do(effects ...any) {
	n.w.enter(n.ns, func() {
		for _, e := range effects {
			n.Do(e)
		}
	})
}

// tunnel makes a tunnel as the edge does: device, addresses, MTU, up, and the mirrored connected routes.
func (n *node) tunnel(t dataplane.Tunnel) {
	n.w.t.Helper()
	n.do(dataplane.SetTunnel{Tunnel: t})
	for _, p := range t.Addresses {
		extra := ""
		if p.Addr().Is6() {
			extra = " nodad"
		}
		n.w.in(n.ns, fmt.Sprintf("ip addr add %s dev %s%s", p, t.Name, extra))
		n.do(dataplane.SetRoute{Prefix: p.Masked(), NextHops: []dataplane.NextHop{{Tunnel: t.Name}}})
	}
	n.w.in(n.ns, fmt.Sprintf("ip link set %s mtu %d up", t.Name, t.MTU))
	for _, p := range t.Addresses { // the kernel is late to know an IPv6 address as its own
		if p.Addr().Is6() {
			eventually(n.w.t, "address", func() bool {
				return strings.Contains(n.w.in(n.ns, "ip -6 route show table local"), "local "+p.Addr().String())
			})
		}
	}
}

// peer sets an adjacency.
func (n *node) peer(tunnel, nextHop, endpoint string) {
	n.do(dataplane.SetAdjacency{
		Tunnel: tunnel, NextHop: netip.MustParseAddr(nextHop),
		Endpoint: netip.AddrPortFrom(netip.MustParseAddr(endpoint), 0), Multicast: true,
	})
}

// route adds a route to the kernel and the mirror.
func (n *node) route(tunnel, to, via string) {
	n.w.t.Helper()
	n.w.in(n.ns, "ip route add "+to+" via "+via)
	n.do(dataplane.SetRoute{Prefix: netip.MustParsePrefix(to), NextHops: []dataplane.NextHop{{Tunnel: tunnel, Via: netip.MustParseAddr(via)}}})
}

// counted is what one tunnel counted.
func (n *node) counted(tunnel string) (s dataplane.TunnelStats) {
	for _, s := range n.Stats() {
		if s.Tunnel == tunnel {
			return s
		}
	}
	return s
}

func (n *node) drops(tunnel, reason string) uint64 { return n.counted(tunnel).Drops[reason] }

func (n *node) packetsIn(tunnel string) uint64 { return n.counted(tunnel).PacketsIn }

// event waits for an event of type E.
func event[E any](n *node) E {
	n.w.t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case ev := <-n.events:
			if e, ok := ev.(E); ok {
				return e
			}
		case <-deadline:
			var e E
			n.w.t.Fatalf("%s: no %T came", n.ns, e)
		}
	}
}

// settle waits until tcpdump has written what it has seen, on a busy machine too.
func settle(file string) {
	for size, quiet := int64(-1), 0; quiet < 10; time.Sleep(10 * time.Millisecond) {
		quiet++
		if info, err := os.Stat(file); err == nil && info.Size() != size {
			size, quiet = info.Size(), 0
		}
	}
}

// capture runs tcpdump until stop, which gives what tshark shows of it: one line per packet, the fields by tabs.
func (w *world) capture(ns, device, filter string) (stop func(fields ...string) []string) {
	w.t.Helper()
	file := w.t.(interface{ TempDir() string }).TempDir() + "/c.pcap"
	c := w.command(ns, "tcpdump -U --immediate-mode -i "+device+" -w "+file+" "+filter)
	said, err := c.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	line := make([]byte, 512)
	for n := 0; !bytes.Contains(line[:n], []byte("listening on")); { // then it is capturing
		m, err := said.Read(line[n:])
		if err != nil {
			w.t.Fatalf("tcpdump: %s", line[:n])
		}
		n += m
	}
	go func() {
		for _, err := said.Read(line); err == nil; _, err = said.Read(line) {
		}
	}()
	return func(fields ...string) []string {
		settle(file)
		c.Process.Signal(os.Interrupt)
		c.Wait()
		args := []string{"-r", file, "-T", "fields", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"}
		for _, f := range fields {
			args = append(args, "-e", f)
		}
		out, err := exec.Command("tshark", args...).Output()
		if err != nil {
			w.t.Fatalf("tshark: %v", err)
		}
		return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	}
}
