package sys

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/static"
	"github.com/spokeway/spokeway/internal/rib"
)

// small is a router of two modules, kernel and static, on the real kernel.
type small struct {
	t     testing.TB
	edge  *Edge
	loop  *core.Loop
	tasks chan func()
	stop  chan struct{}
	ended chan struct{}
}

func (s *small) Do(e core.Effect) { s.edge.Do(e) }

func startSmall(t testing.TB, routes ...static.Route) *small {
	t.Helper()
	needNamespace(t)
	s := &small{t: t, tasks: make(chan func(), 1<<16), stop: make(chan struct{}), ended: make(chan struct{})}
	var err error
	s.edge, err = Open(Options{
		Post:      func(m string, ev core.Event) { s.tasks <- func() { s.loop.Post(m, ev) } },
		Broadcast: func(ev core.Event) { s.tasks <- func() { s.loop.Broadcast(ev) } },
		Log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.loop = core.NewLoop(s.edge.Now(), rand.New(rand.NewPCG(1, 1)), s)
	s.loop.Add(kernel.New(), core.Start{})
	s.loop.Add(static.New(), core.Start{})
	s.loop.Post(static.Name, core.Request{Body: static.Configure{Routes: routes}})
	if err := s.edge.Start(); err != nil {
		t.Fatal(err)
	}
	go s.run()
	return s
}

func (s *small) run() {
	defer close(s.ended)
	for {
		s.loop.Run(s.edge.Now())
		select {
		case f := <-s.tasks:
			f()
		case <-time.After(50 * time.Millisecond):
		case <-s.stop:
			s.loop.Run(s.edge.Now())
			return
		}
	}
}

// kill ends the router as SIGKILL does: nobody says goodbye.
func (s *small) kill() {
	close(s.stop)
	<-s.ended
	s.edge.Close()
}

func (s *small) post(m string, ev core.Event) { s.tasks <- func() { s.loop.Post(m, ev) } }

// kernelHas waits until iproute2 prints for the prefix what ok takes.
func kernelHas(t *testing.T, p, what string, ok func(out string) bool) {
	t.Helper()
	var out []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, _ = exec.Command("ip", "route", "show", p).Output()
		if ok(string(out)) {
			return
		}
	}
	t.Fatalf("%s: kernel has %q, want it %s", p, out, what)
}

func TestKernelModuleOnARealKernel(t *testing.T) {
	pair(t, "st0", "st1", "192.0.2.1/24")
	way := func(to, via string) static.Route { return static.Route{To: prefix(to), Via: addr(via)} }
	contains := func(w string) func(string) bool { return func(out string) bool { return strings.Contains(out, w) } }
	nothing := func(out string) bool { return out == "" }

	s := startSmall(t, way("10.1.0.0/16", "192.0.2.2"), way("10.2.0.0/16", "192.0.2.2"))
	kernelHas(t, "10.1.0.0/16", "written", contains("via 192.0.2.2 dev st0 proto 47 metric 1"))
	kernelHas(t, "10.2.0.0/16", "written", contains("via 192.0.2.2"))

	ip(t, "link", "set", "st0", "down")
	kernelHas(t, "10.1.0.0/16", "gone with its interface", nothing)
	ip(t, "link", "set", "st0", "up")
	kernelHas(t, "10.1.0.0/16", "written again", contains("via 192.0.2.2"))

	ip(t, "route", "del", "10.1.0.0/16")
	kernelHas(t, "10.1.0.0/16", "repaired", contains("via 192.0.2.2"))

	ip(t, "link", "del", "st0")
	pair(t, "st0", "st1", "192.0.2.1/24")
	kernelHas(t, "10.1.0.0/16", "written on the interface made anew", contains("via 192.0.2.2"))

	s.kill()
	kernelHas(t, "10.1.0.0/16", "left behind", contains("proto 47"))
	ip(t, "route", "add", "10.3.0.0/16", "via", "192.0.2.9", "proto", "bird", "metric", "32")
	s = startSmall(t, way("10.1.0.0/16", "192.0.2.2"), way("10.3.0.0/16", "10.3.0.1"))
	s.post(kernel.Name, kernel.Settled{})
	kernelHas(t, "10.2.0.0/16", "swept", nothing)
	kernelHas(t, "10.1.0.0/16", "taken over", contains("via 192.0.2.2"))
	kernelHas(t, "10.3.0.0/16", "left to its owner", contains("proto bird"))

	found := make(chan bool)
	s.tasks <- func() {
		r, ok := s.loop.RIB().Get("", prefix("10.3.0.0/16"))
		found <- ok && r.Protocol == rib.Kernel && r.Distance == 32
	}
	if !<-found {
		t.Error("the other program's route is not in the RIB")
	}
	s.post(kernel.Name, core.Stop{})
	kernelHas(t, "10.1.0.0/16", "gone after a goodbye", nothing)
	s.kill()
}

// offers is a module that offers host routes by a next hop, as OSPF does when it has computed them; without one it takes
// them back.
type offers struct {
	n   int
	hop rib.NextHop
}

func (offers) Name() string { return "offers" }

func (offers) Handle(env *core.Env, ev core.Event) {
	o, ok := ev.(offers)
	if !ok {
		return
	}
	for i := range o.n {
		r := rib.Route{Prefix: nthHost(i), Protocol: rib.OSPF, Distance: 110, NextHops: []rib.NextHop{o.hop}}
		if o.hop.Interface == "" {
			env.Unroute(r.Key())
		} else {
			env.Route(r)
		}
	}
}

func nthHost(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// BenchmarkRoutes brings routes from the RIB into the kernel, moves all to another next hop, and takes them out: with the
// processor time that the process takes for each, the kernel's part of it included.
func BenchmarkRoutes(b *testing.B) {
	pair(b, "sr0", "sr1", "192.0.2.1/24")
	pair(b, "sr2", "sr3", "192.0.3.1/24")
	s := startSmall(b)
	defer s.kill()
	s.tasks <- func() { s.loop.Add(offers{}, core.Start{}) }
	last := kernel.Key{Prefix: nthHost(b.N - 1), Metric: 110}
	for _, step := range []struct {
		name string
		hop  rib.NextHop
	}{{"in", via("192.0.2.2", "sr0")}, {"moved", via("192.0.3.2", "sr2")}, {"out", rib.NextHop{}}} {
		begin, used := time.Now(), processorTime()
		s.post("offers", offers{b.N, step.hop})
		for {
			s.edge.view.mu.RLock()
			l, ok := s.edge.view.routes[last]
			s.edge.view.mu.RUnlock()
			if ok == (step.hop.Interface != "") && (!ok || l.NextHops[0].Via == step.hop.Via) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		s.settled()
		b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), step.name+"-routes/s")
		b.ReportMetric(float64((processorTime()-used).Nanoseconds())/float64(b.N), step.name+"-cpu-ns/route")
	}
}

// settled waits until the loop has handled what it has been told.
func (s *small) settled() {
	done := make(chan struct{})
	s.tasks <- func() { close(done) }
	<-done
}

// processorTime is what the process has used so far.
func processorTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
