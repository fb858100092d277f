package sys

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
)

// Options say to whom an [Edge] reports. Post and Broadcast are called from several goroutines and must not block.
type Options struct {
	Post      func(module string, ev core.Event)
	Broadcast func(ev core.Event)
	// Offer is Post for what may be lost; false when it is. Else taken is called once the loop has the event. Without an
	// Offer there is Post, and nothing is lost.
	Offer    func(module string, ev core.Event, taken func()) bool
	StateDir string // holds state.json; "" keeps nothing
	Log      *slog.Logger
}

// logger is what this package needs of [slog.Logger].
type logger interface {
	Info(event string, args ...any)
	Warn(event string, args ...any)
}

// Edge is the Linux host, as a router's edge. Its sockets live in the network namespace of the thread that opened
// it; the process must be in the same one, since sysctls go by the process.
type Edge struct {
	opts    Options
	view    *view
	watcher *watcher
	host    *queue[core.Effect] // SetInterface and devices to look at again: in order
	fib     *queue[core.Effect] // Install and Remove: in order
	addrs   *addresser
	routes  *router
	packets *queue[core.Effect] // Listen, SendIP and devices to look at again: in order
	raws    *raws
	dns     *resolver
	store   *store
	lookups pool
	works   pool
	conns   []*conn
	ctx     context.Context
	cancel  context.CancelFunc
	started bool
}

// Limits of what runs beside the loop.
const (
	maxLookups = 8
	patience   = 5 * time.Second // of Close
)

// Open makes an edge. Nothing is reported before [Edge.Start].
func Open(opts Options) (*Edge, error) {
	opts.Log = cmp.Or(opts.Log, slog.New(slog.DiscardHandler))
	e := &Edge{
		opts: opts, view: newView(), host: newQueue[core.Effect](), fib: newQueue[core.Effect](), packets: newQueue[core.Effect](),
		dns:     newResolver(),
		lookups: pool{limit: maxLookups}, works: pool{limit: max(2, runtime.NumCPU())},
	}
	if e.opts.Offer == nil {
		e.opts.Offer = e.post
	}
	e.raws = newRaws(e.view.index, e.opts.Offer, opts.Log)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.store = openStore(opts.StateDir, opts.Log)
	go e.store.run()
	if err := e.dial(); err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("follow the kernel's interfaces and routes: %w", err)
	}
	return e, nil
}

func (e *Edge) post(module string, ev core.Event, taken func()) bool {
	taken()
	e.opts.Post(module, ev)
	return true
}

func (e *Edge) dial() (err error) {
	var events, asks, acts, writes *conn
	for _, c := range []struct {
		conn   **conn
		buffer int
		groups []uint32
	}{{&events, subBuffer, groups}, {&asks, ackBuffer, nil}, {&acts, ackBuffer, nil}, {&writes, ackBuffer, nil}} {
		if *c.conn, err = e.conn(c.buffer, c.groups...); err != nil {
			return err
		}
	}
	port, err := writes.port()
	if err == nil {
		err = events.deafTo(port)
	}
	if err != nil {
		return err
	}
	e.addrs = newAddresser(e.view, acts, e.store, e.opts.Log)
	e.routes = newRouter(e.view, writes, e.kernel)
	e.watcher = &watcher{
		view: e.view, events: events, asks: asks, log: e.opts.Log, links: e.link,
		routes: e.kernel, doubt: func() { e.routes.doubt.Store(true) },
	}
	return nil
}

func (e *Edge) conn(buffer int, groups ...uint32) (*conn, error) {
	c, err := dial(buffer, groups...)
	if err == nil {
		e.conns = append(e.conns, c)
	}
	return c, err
}

// Start reports every interface and every route of the host, then [kernel.Synced], and follows them from then on.
func (e *Edge) Start() error {
	if err := e.watcher.start(); err != nil {
		return fmt.Errorf("read the kernel's interfaces and routes: %w", err)
	}
	e.started = true
	go e.watcher.run()
	go e.host.serve(e.serve)
	go e.routes.serve(e.fib)
	e.fib.put(leftovers{})
	go e.packets.serve(e.raws.serve)
	return nil
}

// kernel tells the kernel module, in portions, so that others have their turn.
func (e *Edge) kernel(evs []core.Event) {
	for portion := range slices.Chunk(evs, maxBatch) {
		e.opts.Post(kernel.Name, kernel.Told(portion))
	}
}

// leftovers has objects of an earlier process that no route names removed.
type leftovers struct{}

// device is an interface that came, came up or was renamed: what was asked for it is due again.
type device struct{ name string }

func (e *Edge) link(l core.Link) {
	e.opts.Broadcast(l)
	e.packets.put(device{l.Name})
	if !l.Gone {
		e.host.put(device{l.Name})
	}
}

// Do does an effect, or begins to; false when it is not one of ours.
func (e *Edge) Do(effect core.Effect) bool {
	switch f := effect.(type) {
	case core.SetInterface:
		e.host.put(f)
	case kernel.Install, kernel.Remove, kernel.Linger:
		e.fib.put(f)
	case core.Listen:
		e.packets.put(f)
	case core.SendIP:
		e.packets.offer(f, maxUnsent)
	case core.Resolve:
		e.lookups.run(func() { e.opts.Post(f.Module, e.dns.resolve(e.ctx, f.Name)) })
	case core.Store:
		e.store.set(f.Key, f.Value)
	case core.Work:
		e.works.run(func() { e.opts.Post(f.Module, core.Done{Tag: f.Tag, Result: guard(f.Run)}) })
	default:
		return false
	}
	return true
}

// guard turns a panic into a result of type error: slow arithmetic on what a peer sent must not end the router.
func guard(run func() any) (result any) {
	defer func() {
		if r := recover(); r != nil {
			result = fmt.Errorf("work failed: %v", r)
		}
	}()
	return run()
}

// serve does what waits for the host, in order.
func (e *Edge) serve(effects []core.Effect) {
	for _, f := range effects {
		switch f := f.(type) {
		case core.SetInterface:
			e.addrs.set(f)
		case device:
			e.addrs.changed(f.name)
		}
	}
}

// Addressed names the interfaces that have addresses of ours, given by this process or one before.
func (e *Edge) Addressed() (names []string) {
	for key, value := range e.store.all() {
		if name, ok := strings.CutPrefix(key, ownedKey("")); ok && value != "" {
			names = append(names, name)
		}
	}
	return names
}

// Stored is what earlier [core.Store] effects kept, by this process or one before.
func (e *Edge) Stored() map[string]string { return e.store.all() }

// Now is the time since boot; see [Now].
func (e *Edge) Now() time.Duration { return Now() }

// Close ends what was begun, keeps what is to be kept, and lets go of the host.
func (e *Edge) Close() error {
	if e.started {
		e.packets.finish(patience)
		e.host.finish(patience)
		e.fib.finish(patience)
	}
	e.cancel()
	e.raws.close()
	err := e.store.close(patience)
	for _, c := range e.conns {
		c.close()
	}
	return err
}
