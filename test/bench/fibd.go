package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
	"github.com/spokeway/spokeway/internal/router"
	"github.com/spokeway/spokeway/internal/sys"
)

// fibCommand is the hidden command that is a routing table over the kernel's: the RIB, the module of the kernel and the edge, as
// a router has them, and a module that offers routes when a line of the standard input says so.
const fibCommand = "fib"

// fib is such a process.
type fib struct {
	edge  *sys.Edge
	loop  *core.Loop
	mu    sync.Mutex
	items []func()
	wake  chan struct{}
}

// Do implements [core.Edge].
func (f *fib) Do(e core.Effect) { f.edge.Do(e) }

func (f *fib) put(do func()) {
	f.mu.Lock()
	f.items = append(f.items, do)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fib) take() []func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	items := f.items
	f.items = nil
	return items
}

// offers is the module that offers routes, as OSPF does when it has computed them.
type offers struct{}

// offer is n routes by a next hop, none when it has no interface.
type offer struct {
	n   int
	hop rib.NextHop
}

func (offers) Name() string { return "offers" }

func (offers) Handle(env *core.Env, ev core.Event) {
	o, ok := ev.(offer)
	if !ok {
		return
	}
	for i := range o.n {
		r := rib.Route{Prefix: nthRoute(i), Protocol: rib.OSPF, Distance: rib.OSPF.Distance(), NextHops: []rib.NextHop{o.hop}}
		if o.hop.Interface == "" {
			env.Unroute(r.Key())
		} else {
			env.Route(r)
		}
	}
}

// nthRoute is the prefix of a route: hosts in 10.0.0.0/8.
func nthRoute(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// runFIB serves until the standard input ends. A line is the number of routes, an interface, and a next hop; "-" for none.
func runFIB(in io.Reader) error {
	f := &fib{wake: make(chan struct{}, 1)}
	router.CollectOften()
	var err error
	f.edge, err = sys.Open(sys.Options{
		Post:      func(m string, ev core.Event) { f.put(func() { f.loop.Post(m, ev) }) },
		Broadcast: func(ev core.Event) { f.put(func() { f.loop.Broadcast(ev) }) },
	})
	if err != nil {
		return err
	}
	defer f.edge.Close()
	f.loop = core.NewLoop(f.edge.Now(), rand.New(rand.NewPCG(1, 1)), f)
	f.loop.Add(kernel.New(), core.Start{})
	f.loop.Add(offers{}, core.Start{})
	if err := f.edge.Start(); err != nil {
		return err
	}
	end := make(chan struct{})
	go f.read(in, end)
	fmt.Fprintln(os.Stderr, "ready")
	for {
		f.loop.Run(f.edge.Now())
		for _, do := range f.take() {
			do()
		}
		f.loop.Run(f.edge.Now())
		select {
		case <-f.wake:
		case <-time.After(100 * time.Millisecond):
		case <-end:
			return nil
		}
	}
}

func (f *fib) read(in io.Reader, end chan<- struct{}) {
	defer close(end)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var o offer
		var via string
		if _, err := fmt.Sscan(lines.Text(), &o.n, &o.hop.Interface, &via); err != nil {
			continue
		}
		if o.hop.Interface == "-" {
			o.hop.Interface = ""
		} else {
			o.hop.Via, _ = netip.ParseAddr(via)
		}
		f.put(func() { f.loop.Post("offers", o) })
	}
}
