package lab

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// TestMain lets the test binary be its own forwarder, and a run that others can end.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "forwarder-of-a-test":
			fmt.Fprintln(os.Stderr, Forward(os.Stdin))
			os.Exit(1)
		case "run-of-a-test":
			runToBeEnded()
		}
	}
	os.Exit(m.Run())
}

// runToBeEnded plays a lab that would last an hour and says when it is up.
func runToBeEnded() {
	f, err := scenario.Parse("test.yaml", []byte(hosts+"steps: [{probe: {name: p, from: left, to: right}}, {sleep: 1h}]"))
	if err != nil {
		panic(err)
	}
	sum := Run(context.Background(), f, options(), func(r scenario.Result) { fmt.Println(r.Title, r.Outcome, r.Detail) })
	if !sum.OK() {
		os.Exit(3)
	}
	os.Exit(0)
}

func options() Options {
	return Options{Forwarder: []string{os.Args[0], "forwarder-of-a-test"}}
}

// needLab skips a test where a lab cannot be made, and says why.
func needLab(t *testing.T) {
	t.Helper()
	if err := needs(&scenario.File{}, Options{}); err != nil {
		t.Skip("no lab here:", err)
	}
}

func parse(t *testing.T, text string) *scenario.File {
	t.Helper()
	f, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// play runs a scenario and fails the test for each step that did.
func play(t *testing.T, f *scenario.File, opts Options) scenario.Summary {
	t.Helper()
	sum := Run(context.Background(), f, opts, nil)
	for _, r := range sum.Results {
		t.Logf("%s %-40s %8v  %s", r.Outcome, r.Title, r.Took.Round(time.Millisecond), r.Detail)
		if r.Outcome == scenario.Fail {
			t.Errorf("%s:%d: %s", f.Path, r.Line, strings.Join(r.Log, "\n"))
		}
	}
	return sum
}

const hosts = `
networks:
  internet: {kind: provider, delay: 5ms}
  branch: {}
nodes:
  left: {kind: host, interfaces: {eth0: {network: internet, address: [10.0.1.2/24, "2001:db8:1::2/64"]}}}
  right: {kind: host, interfaces: {eth0: {network: internet, address: [10.0.2.2/24, "2001:db8:2::2/64"], mtu: 1400}}}
  near: {kind: host, interfaces: {eth0: {network: internet, address: 10.0.1.3/24, delay: 0s}}}
  box:
    kind: nat
    outside: wan
    interfaces:
      wan: {network: internet, address: 10.0.3.2/24, delay: 0s}
      lan: {network: branch, address: 192.168.1.1/24}
  pc: {kind: host, gateway: 192.168.1.1, interfaces: {eth0: {network: branch, address: 192.168.1.10/24}}}
`

func TestLabCarriesPackets(t *testing.T) {
	needLab(t)
	sum := play(t, parse(t, hosts+`
steps:
  - ping: {from: left, to: right, count: 10, interval: 10ms, min-rtt: 20ms, max-rtt: 40ms, answer-ttl: 63}
  - ping: {from: left, to: right, ipv6: true, min-rtt: 20ms, max-rtt: 40ms}
  - ping: {from: left, to: near, min-rtt: 10ms, max-rtt: 30ms, answer-ttl: 64}
  - path: {from: left, to: right, hops: [10.0.1.1, right]}
  - path: {from: left, to: right, ipv6: true, hops: ["2001:db8:1::1", right]}
  - path: {from: pc, to: near, hops: [box, 10.0.3.1, near]}
  - say: The translator hides the pc, and lets nothing in that was not asked for.
    ping: {from: pc, to: near}
  - exec: {node: near, run: ip route get 192.168.1.10, contains: via 10.0.1.1}
  - ping: {from: near, to: 192.168.1.10, count: 1, fails: true, error: unreachable}
  - say: A packet that does not fit is refused by the provider, then by the node itself.
    ping: {from: left, to: right, size: 1450, dont-fragment: true, count: 2, fails: true, error: too big for MTU 1400}
  - ping: {from: left, to: right, size: 1450, count: 2}
  - iperf3: {from: near, to: box, time: 1s, at-least: 50Mbit}
  - iperf3: {from: near, to: box, time: 1s, udp: true, rate: 5Mbit, at-least: 4Mbit}
`), options())
	if !sum.OK() || sum.Count(scenario.Skipped) > 0 {
		t.Fatal("not every step passed")
	}
}

// TestLabForwarderIsExact sends a probe each millisecond over two links of the lab's own forwarder. Load on the host
// delays most; the quickest hundredth shows what the forwarder itself adds to four crossings.
func TestLabForwarderIsExact(t *testing.T) {
	needLab(t)
	opts := options()
	opts.NoNetem = true
	w := newWorld(context.Background(), opts)
	defer w.Down()
	f := parse(t, hosts)
	if err := w.Up(f); err != nil {
		t.Fatal(err)
	}
	r, err := w.Ping("left", scenario.Ping{To: f.Node("right").Address(false), Count: 1000, Interval: time.Millisecond, Timeout: time.Second})
	if err != nil || r.Lost() > 0 {
		t.Fatalf("%d of %d lost: %v %v", r.Lost(), r.Sent(), err, r.Errors)
	}
	var rtts []time.Duration
	for i, e := range r.Echoes {
		rtts = append(rtts, e.RTT)
		if e.RTT < 20*time.Millisecond {
			t.Fatalf("probe %d was back after %v, before a wire of 5 ms four times could have brought it", i, e.RTT)
		}
	}
	slices.Sort(rtts)
	t.Logf("20 ms of wire took %v at best, %v at the hundredth, %v at the median, %v at worst", rtts[0], rtts[10], rtts[500], rtts[999])
	if over := rtts[10] - 20*time.Millisecond; over > 4*250*time.Microsecond {
		t.Errorf("the forwarder added %v to four crossings", over)
	}
	if spread := r.Echoes[999].Sent - r.Echoes[0].Sent; spread < 990*time.Millisecond || spread > 1200*time.Millisecond {
		t.Errorf("1000 probes of 1 ms took %v to send", spread)
	}
}

func TestLabTurnsOffloadsOff(t *testing.T) {
	needLab(t)
	w := newWorld(context.Background(), options())
	defer w.Down()
	if err := w.Up(parse(t, hosts)); err != nil {
		t.Fatal(err)
	}
	s := w.nodes["near"].space // on a plain veth
	const tso = 0x1e           // ETHTOOL_GTSO
	if on, err := ethtool(s, "eth0", tso, 0); err != nil || on == 0 {
		t.Fatalf("before: TSO %d, %v; this test would see nothing", on, err)
	}
	if err := asOnAWire(s, "eth0"); err != nil {
		t.Fatal(err)
	}
	for _, set := range offloads {
		if on, err := ethtool(s, "eth0", set-1, 0); err != nil || on != 0 {
			t.Errorf("offload %#x is %d, %v", set, on, err)
		}
	}
	if _, err := ethtool(s, "nothing", tso, 0); err == nil {
		t.Error("an interface that is not there has offloads")
	}
}

func TestLabCutsAndMends(t *testing.T) {
	needLab(t)
	play(t, parse(t, hosts+`
steps:
  - ping: {from: left, to: right}
  - probe: {name: through, from: left, to: right, interval: 5ms}
  - cut: right:eth0
  - ping: {from: left, to: right, fails: true, timeout: 200ms}
  - exec: {node: right, run: cat /proc/net/dev, contains: eth0}
  - exec: {node: right, run: ip -o link show eth0, contains: LOWER_UP}
  - mend: right:eth0
  - ping: {from: left, to: right}
    within: 3s
  - probe-report: {name: through, max-outage: 4s}
  - cut: left <-> right
  - ping: {from: left, to: right, fails: true, timeout: 200ms}
  - ping: {from: left, to: right, ipv6: true, fails: true, timeout: 200ms}
  - ping: {from: near, to: right}
  - mend: left <-> right
  - ping: {from: left, to: right}
  - cut: branch
  - ping: {from: pc, to: box, fails: true, timeout: 200ms}
  - mend: branch
  - ping: {from: pc, to: box}
    within: 3s
`), options())
}

func TestLabLeavesNothing(t *testing.T) {
	needLab(t)
	f := parse(t, hosts+"steps: [{ping: {from: left, to: 10.0.9.9, count: 1, timeout: 100ms}}]")
	w := newWorld(context.Background(), options())
	sum := scenario.Run(w, f, func(r scenario.Result) {
		if r.Step == 0 && len(pidsIn(filepath.Join(spaces, w.spaceName("internet")))) == 0 {
			t.Error("the forwarder does not run in its namespace; this test would see nothing")
		}
	})
	if sum.OK() {
		t.Fatal("a ping to nowhere passed")
	}
	gone(t, w.thread == nil && w.folder == nil, sum)
}

func gone(t *testing.T, released bool, sum scenario.Summary) {
	t.Helper()
	if !released {
		t.Error("the world still holds something")
	}
	for _, d := range folders() {
		if d.info.Owner == os.Getpid() {
			t.Errorf("folder %s is still there", d.path)
			for _, s := range d.info.spaces() {
				if _, err := os.Stat(filepath.Join(spaces, s)); err == nil {
					t.Errorf("namespace %s is still there", s)
				}
			}
		}
	}
}

func TestLabInterrupted(t *testing.T) {
	needLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	f := parse(t, hosts+"steps: [{sleep: 1h}]")
	w := newWorld(ctx, options())
	time.AfterFunc(500*time.Millisecond, cancel)
	sum := scenario.Run(w, f, nil)
	if sum.OK() || sum.Took > 20*time.Second {
		t.Fatalf("an interrupted run took %v and says ok: %v", sum.Took, sum.OK())
	}
	gone(t, w.folder == nil, sum)
}

// TestLabEndedBySignals ends a run in every way that a signal can. What SIGKILL leaves is for the next one to remove.
func TestLabEndedBySignals(t *testing.T) {
	needLab(t)
	for _, c := range []struct {
		signal unix.Signal
		code   int
	}{{unix.SIGINT, 3}, {unix.SIGTERM, 3}, {unix.SIGHUP, 3}, {unix.SIGPIPE, 3}, {unix.SIGKILL, -1}} {
		t.Run(unix.SignalName(c.signal), func(t *testing.T) {
			t.Parallel()
			info, child := startRun(t)
			child.Process.Signal(c.signal)
			child.Wait()
			if got := child.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
			if c.signal == unix.SIGKILL {
				noProcesses(t, info)
				if _, err := List(); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(root, info.ID)); err == nil {
				t.Errorf("folder of lab %s is still there", info.ID)
			}
			for _, s := range info.spaces() {
				if _, err := os.Stat(filepath.Join(spaces, s)); err == nil {
					t.Errorf("namespace %s is still there", s)
				}
			}
		})
	}
}

// startRun starts a process that plays a lab, and waits until the lab is up.
func startRun(t *testing.T) (Info, *exec.Cmd) {
	t.Helper()
	c := exec.Command(os.Args[0], "run-of-a-test")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "probe p") {
	}
	for _, d := range folders() {
		if d.info.Owner == c.Process.Pid {
			return d.info, c
		}
	}
	t.Fatalf("process %d has no lab; it said %q last", c.Process.Pid, lines.Text())
	return Info{}, nil
}

// noProcesses checks that a killed run took its children along, the forwarder that is.
func noProcesses(t *testing.T, info Info) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for _, s := range info.spaces() {
		for len(pidsIn(filepath.Join(spaces, s))) > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("processes %v still run in %s", pidsIn(filepath.Join(spaces, s)), s)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestLabSweepsOrphans(t *testing.T) {
	needLab(t)
	w := newWorld(context.Background(), options())
	if err := w.Up(parse(t, hosts)); err != nil {
		w.Down()
		t.Fatal(err)
	}
	w.folder.info.Birth = "1" // as if the owner had died and its process id were used again
	if err := w.folder.save(); err != nil {
		t.Fatal(err)
	}
	names, path := w.folder.info.spaces(), w.folder.path
	if _, err := sweep(); err != nil {
		t.Error(err)
	}
	for _, s := range names {
		if _, err := os.Stat(filepath.Join(spaces, s)); err == nil {
			t.Errorf("namespace %s is still there", s)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("folder %s is still there", path)
	}
	w.forward.kill()
	w.release()
}

func TestLabStaysUp(t *testing.T) {
	needLab(t)
	info, err := Up(context.Background(), parse(t, hosts), options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Down(info.ID); err != nil {
			t.Error(err)
		}
		if _, err := open(info.ID); err == nil {
			t.Error("the lab is still there")
		}
	}()
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.ID == info.ID && i.Nodes["left"] != "" {
			pingFrom(t, i.Nodes["left"], "10.0.2.2")
			return
		}
	}
	t.Errorf("lab %s is not listed in %v", info.ID, all)
}

// pingFrom pings out of a namespace that this process did not make.
func pingFrom(t *testing.T, name, to string) {
	t.Helper()
	thread, err := newThread()
	if err != nil {
		t.Fatal(err)
	}
	defer thread.close()
	w := newWorld(context.Background(), Options{})
	s, err := thread.openSpace(name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	w.nodes["n"] = &node{space: s}
	r, err := w.Ping("n", scenario.Ping{To: netip.MustParseAddr(to), Count: 2, Interval: 1e7, Timeout: 1e9})
	if err != nil || r.Lost() != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestLabSaysWhatIsMissing(t *testing.T) {
	needLab(t)
	t.Setenv("PATH", t.TempDir())
	f := parse(t, hosts+"steps: [{iperf3: {from: left, to: right}}]")
	err := needs(f, Options{Binary: "/nowhere/spokeway"})
	for _, want := range []string{"nft is missing, for node box: install the package nftables", "iperf3 is missing", "/nowhere/spokeway"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}
