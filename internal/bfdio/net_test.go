package bfdio

import (
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

func pair(t *testing.T, sessions int, p bfd.Parameters, worker bool) (*space, [2]*host) {
	s := newSpace(t, sessions)
	var h [2]*host
	for i := range h {
		h[i] = newHost(s, i, p, worker)
		h[i].watch(i, sessions)
	}
	for i := range h {
		h[i].await(liveness.Up, sessions, 20*time.Second)
	}
	return s, h
}

// A link that is cut is noticed by all sessions of both ends; when it is back, all come back.
func TestLinkCut(t *testing.T) {
	for _, worker := range []bool{false, true} {
		t.Run(map[bool]string{false: "thread", true: "worker"}[worker], func(t *testing.T) {
			t.Parallel()
			const sessions = 20
			s, h := pair(t, sessions, bfd.Parameters{Interval: 100 * ms, Multiplier: 5}, worker)
			s.run("ip", "-n", s.names[0], "link", "set", "v0", "down")
			cut := time.Now()
			for i := range h {
				h[i].await(liveness.Down, sessions, 5*time.Second)
				if took := h[i].fell.Sub(cut); took > 2*time.Second {
					t.Errorf("end %d noticed after %v", i, took)
				}
			}
			s.run("ip", "-n", s.names[0], "link", "set", "v0", "up")
			for i := range h {
				h[i].await(liveness.Up, sessions, 20*time.Second)
			}
		})
	}
}

func TestIPv6AndSeveralHops(t *testing.T) {
	t.Parallel()
	s, h := pair(t, 1, bfd.Parameters{Interval: 100 * ms, Multiplier: 5}, false)
	_ = s
	for i := range h {
		h[i].request(liveness.Watch{Target: liveness.Target{Peer: address6(1 - i), Interface: "v0"}})
		h[i].request(liveness.Watch{Interval: 100 * ms, Multiplier: 5,
			Target: liveness.Target{Peer: address4(1-i, 0), Local: address4(i, 0), Multihop: true}})
	}
	for i := range h {
		h[i].await(liveness.Up, 3, 20*time.Second)
	}
	h[0].request(liveness.Unwatch{Target: liveness.Target{Peer: address6(1), Interface: "v0"}})
	h[1].await(liveness.AdminDown, 1, 5*time.Second)
}

// RFC 5881 section 5: what has crossed a router never reaches a session over one hop.
func TestTTLIsCheckedByTheKernel(t *testing.T) {
	t.Parallel()
	s := newSpace(t, 1)
	h := newHost(s, 0, bfd.Parameters{Interval: 100 * ms, Multiplier: 5}, false)
	h.watch(0, 1)
	send := func(ttl string) {
		p := bfd.Packet{State: bfd.Down, Multiplier: 3, Mine: 7, DesiredTx: time.Second, RequiredRx: time.Second}
		c := exec.Command("ip", "netns", "exec", s.names[1], "python3", "-c", `
import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP,socket.IP_TTL,int(sys.argv[1]))
s.bind((sys.argv[2],49999))
s.sendto(bytes.fromhex(sys.argv[4]),(sys.argv[3],3784))`, ttl, address4(1, 0).String(), address4(0, 0).String(), hex(p.Append(nil)))
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("skipped: needs python3: %v: %s", err, out)
		}
	}
	time.Sleep(200 * ms)
	send("254")
	time.Sleep(200 * ms)
	if r := h.rows(); len(r) != 1 || r[0].State != "down" {
		t.Errorf("after a packet with TTL 254: %+v", r)
	}
	send("255")
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(ms) {
		if r := h.rows(); len(r) == 1 && r[0].State == "init" {
			return
		} else if time.Now().After(end) {
			t.Fatalf("after a packet with TTL 255: %+v", r)
		}
	}
}

func hex(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteString(strconv.FormatUint(uint64(c)>>4, 16) + strconv.FormatUint(uint64(c)&15, 16))
	}
	return s.String()
}

// children are the processes that any thread of a process has started: the kernel lists them by thread.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	threads := "/proc/" + strconv.Itoa(parent) + "/task"
	tasks, err := os.ReadDir(threads)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile(threads + "/" + task.Name() + "/children")
		for _, f := range strings.Fields(string(b)) {
			pid, _ := strconv.Atoi(f)
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		t.Fatalf("process %d has no children", parent)
	}
	return pids
}

// keeperIn is the child of this process that keeps a worker in a namespace.
func keeperIn(t *testing.T, ns string) int {
	t.Helper()
	at, err := os.Stat("/run/netns/" + ns)
	if err != nil {
		t.Fatal(err)
	}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		for _, f := range strings.Fields(string(b)) {
			if in, err := os.Stat("/proc/" + f + "/ns/net"); err == nil && os.SameFile(at, in) {
				pid, _ := strconv.Atoi(f)
				return pid
			}
		}
	}
	t.Fatalf("nobody keeps a worker in %s", ns)
	return 0
}

// A worker that is killed is started again, and neither end says that a path failed.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	const sessions = 20
	s, h := pair(t, sessions, bfd.Parameters{Interval: 300 * ms, Multiplier: 10}, true)
	keeper := keeperIn(t, s.names[0])
	for range 2 {
		worker := children(t, keeper)
		if len(worker) != 1 {
			t.Fatalf("the keeper has %d workers", len(worker))
		}
		before := h[0].unknowns
		if err := unix.Kill(worker[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(ms) {
			h[0].mu.Lock()
			all := h[0].unknowns == before+sessions
			h[0].mu.Unlock()
			if all {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the router does not know that its worker is gone")
			}
		}
		h[0].await(liveness.Up, sessions, 20*time.Second)
	}
	for i := range h {
		if _, falls := h[i].count(liveness.Up); falls > 0 {
			t.Errorf("end %d: %d paths were said to have failed", i, falls)
		}
	}
}

// Without a keeper a thread of the router goes on.
func TestKeeperDies(t *testing.T) {
	t.Parallel()
	s, h := pair(t, 2, bfd.Parameters{Interval: 150 * ms, Multiplier: 3}, true) // well before a thread begins, a second later
	if err := unix.Kill(keeperIn(t, s.names[0]), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h[1].await(liveness.Down, 2, 10*time.Second) // it cannot know better
	for i := range h {
		h[i].await(liveness.Up, 2, 20*time.Second)
	}
	if _, falls := h[0].count(liveness.Up); falls > 0 {
		t.Error("our own trouble was told as a failed path")
	}
}

// Keeper and worker end with the router, and the peers hear at once that the path is down.
func TestEverythingEndsWithTheRouter(t *testing.T) {
	t.Parallel()
	s, h := pair(t, 2, bfd.Parameters{Interval: time.Second, Multiplier: 10}, true)
	keeper := keeperIn(t, s.names[0])
	worker := children(t, keeper)
	h[0].runner.Do(bfd.Halt{})
	h[0].runner.Close()
	h[1].await(liveness.Down, 2, 5*time.Second)
	for _, pid := range append(worker, keeper) {
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(ms) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
}

// alive tells that a process runs; one that nobody has waited for yet does not.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// The worker has no capabilities, and a filter.
func TestWorkerIsConfined(t *testing.T) {
	t.Parallel()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("skipped: needs a build with CGO_ENABLED=0, as the program's is")
	}
	s, _ := pair(t, 1, bfd.Parameters{Interval: 300 * ms, Multiplier: 3}, true)
	worker := children(t, keeperIn(t, s.names[0]))
	b, err := os.ReadFile("/proc/" + strconv.Itoa(worker[0]) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("its status has no %q", want)
		}
	}
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, worker[0]); err != nil || nice != 20-highest {
		t.Logf("its priority is %d, %v: raising it is not allowed here", 20-nice, err)
	}
	if unix.Setpriority(unix.PRIO_PROCESS, worker[0], highest) == nil { // it is allowed here
		if nice, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid()); err != nil || nice != 20-carrying {
			t.Errorf("the priority of the router that carries its packets is %d, %v", 20-nice, err)
		}
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	s, _ := pair(t, 1, bfd.Parameters{Interval: 300 * ms, Multiplier: 3}, false)
	h := newHost(s, 0, bfd.Parameters{Interval: 300 * ms, Multiplier: 3}, false) // a second in the same namespace
	h.watch(0, 1)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(ms) {
		r := h.rows()
		if len(r) == 1 && strings.Contains(r[0].Reason, "another BFD daemon runs on this host") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("got %+v", r)
		}
	}
}

func TestOnlyTheDaemonStartsWorkers(t *testing.T) {
	if err := mustBeChild(); err == nil || !strings.Contains(err.Error(), "this command is for the daemon") {
		t.Errorf("got %v", err)
	}
}

func TestFrames(t *testing.T) {
	s := bfd.Spec{ID: 7, Peer: netip.MustParseAddr("10.0.0.1"), Local: netip.MustParseAddr("2001:db8::1"), Index: 9, Multihop: true, MinTTL: 254, Port: 50000,
		Interval: 50 * ms, Multiplier: 3, Passive: true, Demand: time.Second, Resume: bfd.Remote{Discriminator: 1<<32 - 1, State: bfd.Up, Multiplier: 5, RequiredRx: ms}}
	if got := command(appendFrame(nil, kindSet, packSpec(s))); got != (bfd.Set{Spec: s}) {
		t.Errorf("set: %+v", got)
	}
	s.Local = netip.Addr{}
	if got := command(appendFrame(nil, kindSet, packSpec(s))); got != (bfd.Set{Spec: s}) {
		t.Errorf("set without an address: %+v", got)
	}
	if got := command(appendFrame(nil, kindDelete, uint32(7))); got != (bfd.Delete{ID: 7}) {
		t.Errorf("delete: %+v", got)
	}
	r := bfd.Report{ID: 7, Status: liveness.Down, State: bfd.Init, Diagnostic: bfd.PathDown, Remote: s.Resume, Transmit: ms, Detection: time.Hour}
	if got := event(appendFrame(nil, kindReport, r)); got != r {
		t.Errorf("report: %+v", got)
	}
	c := bfd.Counted{Sent: 1 << 60, Received: 2}
	c.Discards[bfd.OtherSender] = 3
	if got := event(appendFrame(nil, kindCounted, c)); got != c {
		t.Errorf("counted: %+v", got)
	}
	long := strings.Repeat("ü", 100)
	if got := event(appendFrame(nil, kindLost, packWords(long))).(bfd.Lost); !strings.HasPrefix(long, got.Reason) || len(got.Reason) < 120 {
		t.Errorf("lost: %q", got.Reason)
	}
	for k := range 256 {
		b := make([]byte, frameSize)
		b[0] = byte(k)
		if command(b) != nil && event(b) != nil {
			t.Errorf("kind %d is both", k)
		}
	}
}
