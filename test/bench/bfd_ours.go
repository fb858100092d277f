package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spokeway/spokeway/internal/bfdio"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// oursEnd is the BFD module on a loop in this process and the worker of the router's program in a namespace, which is how
// the router has them. What is measured is the worker.
type oursEnd struct {
	events chan func()
	done   chan struct{}
	loop   *core.Loop
	runner *bfdio.Runner
	began  time.Time
	status map[liveness.Target]liveness.Status
	alive  atomic.Int64
	space  string

	mu   sync.Mutex
	fell []time.Time // when sessions did
}

// Do makes the runner the loop's edge.
func (e *oursEnd) Do(effect core.Effect) { e.runner.Do(effect) }

// Name and Handle make the end the one who watches.
func (e *oursEnd) Name() string { return "watcher" }

func (e *oursEnd) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		env.Request(liveness.BFD, ev.Body)
	case core.Notice:
		if s, ok := ev.Body.(liveness.State); ok {
			e.note(s)
		}
	}
}

func (e *oursEnd) note(s liveness.State) {
	old := e.status[s.Target]
	if e.status[s.Target] = s.Status; old == s.Status {
		return
	}
	switch {
	case s.Status == liveness.Up:
		e.alive.Add(1)
	case old == liveness.Up:
		e.alive.Add(-1)
	}
	if s.Status == liveness.Down {
		e.mu.Lock()
		e.fell = append(e.fell, time.Now())
		e.mu.Unlock()
	}
}

// lumps is how many sessions fell in each second in which any did, since a time.
func (e *oursEnd) lumps(since time.Time) (list []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := time.Duration(-1)
	for _, at := range e.fell {
		second := at.Sub(since).Truncate(time.Second)
		switch {
		case at.Before(since):
		case second == last:
			list[len(list)-1]++
		default:
			list, last = append(list, 1), second
		}
	}
	return list
}

// ourBFD makes ends of ours.
func ourBFD(o options) func(l *lab, c bfdLoad, end int) (bfdEnd, error) {
	return func(l *lab, c bfdLoad, end int) (bfdEnd, error) {
		name := fmt.Sprint("e", end)
		err := l.build(fmt.Sprintf("netns %[1]s\nlan: link add %[1]s type veth peer name eth0 netns @%[1]s\nlan: link set %[1]s master br0 up", name))
		if err != nil {
			return nil, err
		}
		batch := exec.Command("ip", "-n", l.prefix+name, "-batch", "-")
		batch.Stdin = strings.NewReader(bfdAddresses(c, end, "eth0"))
		if out, err := batch.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("ip -batch: %s", out)
		}
		index, err := l.output(name, "cat", "/sys/class/net/eth0/ifindex")
		if err != nil {
			return nil, err
		}
		e := &oursEnd{events: make(chan func(), 1<<16), done: make(chan struct{}), began: time.Now(), status: map[liveness.Target]liveness.Status{}, space: l.prefix + name}
		e.begin(o, c, end, strings.TrimSpace(string(index)))
		return e, l.until("the worker runs", 10*time.Second, func() bool { return len(e.pids()) > 0 })
	}
}

func (e *oursEnd) begin(o options, c bfdLoad, end int, index string) {
	module := bfd.New()
	e.loop = core.NewLoop(0, rand.New(rand.NewPCG(rand.Uint64(), 1)), e)
	e.runner = bfdio.Open(bfdio.Options{
		Post:   func(ev any) { e.put(func() { e.loop.Post(bfd.Name, ev) }) },
		Worker: []string{"ip", "netns", "exec", e.space, o.spokeway, "bfd-worker", "keep"},
	})
	var n int
	fmt.Sscan(index, &n)
	e.loop.Add(module, core.Start{})
	e.loop.Add(e, core.Start{})
	e.loop.Broadcast(core.Link{Name: "eth0", Index: n, Up: true})
	e.loop.Post(bfd.Name, core.Request{Body: bfd.Configure{Interfaces: map[string]bfd.Parameters{"eth0": {Interval: c.interval, Multiplier: 3}}}})
	go e.live()
	for k := range c.sessions {
		t := liveness.Target{Peer: netip.MustParseAddr(bfdAddress(1-end, k)), Local: netip.MustParseAddr(bfdAddress(end, k)), Interface: "eth0"}
		e.put(func() { e.loop.Post("watcher", core.Request{Body: liveness.Watch{Target: t}}) })
	}
}

// live is the router's loop.
func (e *oursEnd) live() {
	for {
		select {
		case f := <-e.events:
			f()
			e.loop.Run(time.Since(e.began))
		case <-e.done:
			return
		}
	}
}

func (e *oursEnd) put(f func()) {
	select {
	case e.events <- f:
	case <-e.done:
	}
}

func (e *oursEnd) up() (int, error) { return int(e.alive.Load()), nil }

func (e *oursEnd) falls() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.fell), nil
}

// pids is the worker, which is a child of its keeper.
func (e *oursEnd) pids() (workers []int) {
	for _, keeper := range pidsIn(e.space) {
		workers = append(workers, childrenOf(keeper)...)
	}
	return workers
}

func (e *oursEnd) stop() {
	e.runner.Close()
	close(e.done)
}
