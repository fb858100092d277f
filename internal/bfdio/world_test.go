package bfdio

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

const ms = time.Millisecond

// TestMain lets this program be keeper and worker, as the daemon is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "bfd-worker" {
		err := error(nil)
		if os.Args[2] == "keep" {
			err = Keep(OwnCommand("bfd-worker", "serve"))
		} else {
			err = Serve()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root, for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("skipped: needs the program ip")
	}
}

var worlds atomic.Int64

// space is two network namespaces joined by a veth, with addresses for so many sessions.
type space struct {
	t     testing.TB
	names [2]string
	index int // of v0, in both
}

func newSpace(t testing.TB, sessions int) *space {
	needRoot(t)
	s := &space{t: t}
	n := worlds.Add(1)
	for i := range s.names {
		s.names[i] = fmt.Sprintf("swb%d-%d-%c", os.Getpid(), n, 'a'+i)
		s.run("ip", "netns", "add", s.names[i])
		t.Cleanup(func() { exec.Command("ip", "netns", "del", s.names[i]).Run() })
	}
	s.run("ip", "link", "add", "v0", "index", "77", "netns", s.names[0], "type", "veth", "peer", "name", "v0", "index", "77", "netns", s.names[1])
	s.index = 77
	for i := range s.names {
		s.run("ip", "-n", s.names[i], "link", "set", "lo", "up")
		s.run("ip", "netns", "exec", s.names[i], "sysctl", "-qw", "net.ipv6.conf.v0.accept_dad=0")
		var script bytes.Buffer
		for k := range side(sessions) {
			fmt.Fprintf(&script, "addr add %s/8 dev v0\n", address4(i, k))
		}
		fmt.Fprintf(&script, "addr add %s/64 dev v0\nlink set v0 up\n", address6(i))
		s.batch(s.names[i], &script)
	}
	return s
}

func (s *space) batch(ns string, script *bytes.Buffer) {
	s.t.Helper()
	c := exec.Command("ip", "-n", ns, "-batch", "-")
	c.Stdin = script
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("ip -batch: %v: %s", err, out)
	}
}

func (s *space) run(words ...string) {
	s.t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// side is how many addresses each end has: every one has a session with every one of the other end, since the kernel keeps
// no more than a few hundred neighbours.
func side(sessions int) int { return int(math.Ceil(math.Sqrt(float64(sessions)))) }

// path is that of a session, as an end sees it.
func path(end, k, side int) liveness.Target {
	at := [2]int{k % side, k / side}
	return liveness.Target{Peer: address4(1-end, at[1-end]), Local: address4(end, at[end]), Interface: "v0"}
}

func address4(end, k int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(end), byte(k >> 8), byte(k)})
}
func address6(end int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", end+1)) }

// host is the BFD module of a router, with a runner, in one namespace.
type host struct {
	t      testing.TB
	events chan func()
	done   chan struct{} // the test has ended
	loop   *core.Loop
	runner *Runner
	began  time.Time
	module *bfd.Module

	mu       sync.Mutex
	status   map[liveness.Target]liveness.Status
	falls    int
	fell     time.Time // last
	unknowns int
}

// Do makes the runner the loop's edge.
func (h *host) Do(e core.Effect) { h.runner.Do(e) }

// Name and Handle make the host the one who watches.
func (h *host) Name() string { return "watcher" }

func (h *host) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		env.Request(liveness.BFD, ev.Body)
	case core.Notice:
		if s, ok := ev.Body.(liveness.State); ok {
			h.note(s)
		}
	}
}

func (h *host) note(s liveness.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.status[s.Target]
	if h.status[s.Target] = s.Status; old == s.Status {
		return
	}
	switch s.Status {
	case liveness.Down:
		h.falls++
		h.fell = time.Now()
	case liveness.Unknown:
		h.unknowns++
	}
}

// newHost starts a router's BFD at an end of the space: in a thread, or in a worker.
func newHost(s *space, end int, p bfd.Parameters, worker bool) *host {
	h := &host{t: s.t, events: make(chan func(), 1<<16), done: make(chan struct{}), began: time.Now(), module: bfd.New(), status: map[liveness.Target]liveness.Status{}}
	h.loop = core.NewLoop(0, rand.New(rand.NewPCG(rand.Uint64(), 1)), h)
	o := Options{Post: func(ev any) { h.put(func() { h.loop.Post(bfd.Name, ev) }) }}
	if worker {
		self, err := filepath.EvalSymlinks("/proc/self/exe")
		if err != nil {
			s.t.Fatal(err)
		}
		o.Worker = []string{"ip", "netns", "exec", s.names[end], self, "bfd-worker", "keep"}
	}
	h.runner = Open(o)
	link := core.Link{Name: "v0", Index: s.index, Up: true, Addresses: []netip.Prefix{netip.PrefixFrom(address6(end), 64)}}
	h.loop.Add(h.module, core.Start{})
	h.loop.Add(h, core.Start{})
	h.loop.Broadcast(link)
	h.loop.Post(bfd.Name, core.Request{Body: bfd.Configure{Interfaces: map[string]bfd.Parameters{"v0": p}}})
	ended := make(chan struct{})
	go h.live(s.names[end], ended)
	s.t.Cleanup(func() {
		h.runner.Close()
		close(h.done)
		<-ended
	})
	return h
}

// live is the router's loop. Its thread is in the namespace, where a thread's sockets are opened.
func (h *host) live(ns string, ended chan struct{}) {
	defer close(ended)
	runtime.LockOSThread() // never to be used for anything else
	f, err := os.Open("/run/netns/" + ns)
	if err == nil {
		err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		f.Close()
	}
	if err != nil {
		h.t.Error(err)
		return
	}
	for {
		select {
		case f := <-h.events:
			f()
			h.loop.Run(time.Since(h.began))
		case <-h.done:
			return
		}
	}
}

// put queues what is to be done on the loop; after the end of the test nothing is.
func (h *host) put(f func()) {
	select {
	case h.events <- f:
	case <-h.done:
	}
}

func (h *host) request(body any) {
	h.put(func() { h.loop.Post("watcher", core.Request{Body: body}) })
}

func (h *host) watch(end, sessions int) {
	for k := range sessions {
		h.request(liveness.Watch{Target: path(end, k, side(sessions))})
	}
}

// count is how many are in a status, and how many failed so far.
func (h *host) count(status liveness.Status) (n, falls int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range maps.Values(h.status) {
		if s == status {
			n++
		}
	}
	return n, h.falls
}

// await waits until so many are in a status.
func (h *host) await(status liveness.Status, n int, limit time.Duration) {
	h.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(ms) {
		got, falls := h.count(status)
		if got == n {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("after %v %d sessions are %v, want %d; %d failures; %+v", limit, got, status, n, falls, h.rows())
		}
	}
}

func (h *host) rows() []bfd.Row {
	out := make(chan []bfd.Row)
	h.put(func() { out <- h.module.Snapshot(h.loop.Now()) })
	rows := <-out
	return rows[:min(len(rows), 2)]
}
