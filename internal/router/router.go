package router

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spokeway/spokeway/internal/bfdio"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/dataplane/user"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/tunnel"
	"github.com/spokeway/spokeway/internal/sys"
)

// Options is what a router starts from.
type Options struct {
	Config *conf.Config
	Load   func() (*conf.Config, error) // reads the configuration again, for Reload
	Log    *slog.Logger
	State  string                  // folder of what is kept over restarts; "" keeps nothing
	KeyLog func(file, line string) // where keys are exported to, for laboratories; nil: nowhere
	Worker []string                // command of a process for BFD, package bfdio; nil: a thread does it, as well as it can
}

// Router is a router on this host. Its exported methods may be called from any goroutine.
type Router struct {
	opts    Options
	queue   *queue
	edge    *sys.Edge
	plane   dataplane.Plane
	bfd     *bfdio.Runner
	loop    *core.Loop
	modules Modules
	alone   io.Closer
	ended   chan struct{} // closed when nothing is done on the loop any more
	leave   context.CancelFunc
	left    context.Context // ends when the router is to end itself

	// Of the loop's goroutine.
	config  *conf.Config
	links   map[string]core.Link
	leaving bool            // for another process to take over: see Restart
	unmade  map[string]bool // tunnels that the data plane could not make: an interface of their name is another's

	taps taps
	lost atomic.Uint64 // events dropped because the loop was behind
}

// garbage is the part of the live heap that may be garbage before it is collected, in percent. Forwarding allocates
// nothing and the control plane little, so that collecting twice as often as Go's default costs nothing that can be seen,
// and a hub of 10,000 spokes takes a quarter less memory.
const garbage = 50

// CollectOften sets that for the process, unless GOGC says otherwise.
func CollectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// New makes a router. It touches neither interfaces nor routes before [Router.Run].
func New(o Options) (*Router, error) {
	alone, err := claim()
	if err != nil {
		return nil, err
	}
	r := &Router{
		opts: o, queue: newQueue(), ended: make(chan struct{}),
		links: map[string]core.Link{}, unmade: map[string]bool{},
	}
	r.left, r.leave = context.WithCancel(context.Background())
	edge, err := sys.Open(sys.Options{Post: r.post, Broadcast: r.broadcast, Offer: r.offer, StateDir: o.State, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, alone.Close())
	}
	plane, err := user.New(r.forwarded, user.Options{Now: edge.Now})
	if err != nil {
		return nil, errors.Join(err, edge.Close(), alone.Close())
	}
	if err := plane.Lacks(); err != nil {
		o.Log.Warn("dataplane.limited", "cause", err)
	}
	r.bfd = bfdio.Open(r.watching())
	r.edge, r.plane, r.alone, r.taps.set = edge, plane, alone, plane.SetTap
	r.loop = core.NewLoop(edge.Now(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), doer{r})
	r.loop.Log, r.loop.Clock = r.log, time.Now
	r.modules = Assemble(r.loop, edge.Stored(), crand.Reader)
	r.modules.IKE.ExportKeys(o.KeyLog)
	return r, nil
}

// claim makes this the one router of the network namespace, until closed: two would take each other's routes for
// leftovers. Names of abstract sockets belong to the namespace.
func claim() (io.Closer, error) {
	l, err := net.Listen("unix", "@spokeway-router")
	if err != nil {
		return nil, fmt.Errorf("another spokeway routes in this network namespace: stop it first, or run this one in a namespace of its own (%w)", err)
	}
	return l, nil
}

// doer is the loop's edge: the host's, or the data plane's.
type doer struct{ r *Router }

func (d doer) Do(e core.Effect) {
	switch e := e.(type) {
	case dataplane.SetTunnel:
		delete(d.r.unmade, e.Name)
	case core.SetInterface:
		if d.r.unmade[e.Name] && len(e.Addresses) > 0 {
			return // the tunnel asks again once it has its device
		}
	}
	if !d.r.edge.Do(e) && !d.r.bfd.Do(e) {
		d.r.plane.Do(e)
	}
}

func (r *Router) post(module string, ev core.Event) {
	r.queue.put(func(l *core.Loop) { l.Post(module, ev) })
}

func (r *Router) broadcast(ev core.Event) {
	r.queue.put(func(l *core.Loop) {
		if link, ok := ev.(core.Link); ok {
			r.noteLink(link)
		}
		l.Broadcast(ev)
	})
}

func (r *Router) noteLink(l core.Link) {
	r.links[l.Name] = l
	if l.Gone {
		delete(r.links, l.Name)
	}
}

// offer takes a packet to a module; false when the loop is too far behind to hear it.
func (r *Router) offer(module string, ev core.Event, taken func()) bool {
	ok := r.queue.offer(func(l *core.Loop) {
		taken()
		l.Post(module, ev)
	})
	if !ok {
		r.lost.Add(1)
	}
	return ok
}

// forwarded takes what the data plane saw; false when the loop is too far behind to hear it.
func (r *Router) forwarded(ev any) bool {
	if f, ok := ev.(dataplane.Failed); ok {
		r.failed(f)
		return true
	}
	ok := r.queue.offer(func(l *core.Loop) { l.Post(Receiver(ev), ev) })
	if !ok {
		r.lost.Add(1)
	}
	return ok
}

// failed takes a failure to the tunnel's module, which tells why the tunnel is down and tries again, or to IKE, whose keys
// were refused. One that leaves the tunnel up is for the log alone.
func (r *Router) failed(f dataplane.Failed) {
	if !f.Down {
		r.opts.Log.Error("dataplane.failed", "tunnel", f.Tunnel, "doing", f.Doing, "cause", f.Err)
		if f.SA != 0 {
			r.post(ike.Name, f)
		}
		return
	}
	r.unmade[f.Tunnel] = true // on the loop's goroutine: it comes of an effect
	r.post(tunnel.Name, f)
}

func (r *Router) log(level core.Level, event string, args []any) {
	for i, a := range args {
		if e, ok := a.(netip.AddrPort); ok && e.Port() == 0 {
			args[i] = e.Addr()
		}
	}
	r.opts.Log.Log(context.Background(), slog.Level(level), event, args...)
}

// Run applies the configuration and forwards until ctx ends; then it says goodbye to the peers and returns.
func (r *Router) Run(ctx context.Context) error {
	defer close(r.ended)
	r.takeDevices(r.opts.Config)
	r.apply(r.opts.Config)
	r.turn()
	if err := r.edge.Start(); err != nil {
		return errors.Join(err, r.close())
	}
	r.turn()
	r.notify(sys.Ready, sys.StatusLine("running"))
	r.follow(ctx)
	r.notify(sys.Stopping)
	if r.leaving {
		r.keepDevices()
	}
	r.loop.Broadcast(core.Stop{Restart: r.leaving})
	r.turn()
	r.part()
	return r.close()
}

// farewell is how long what the modules said last has to get out: by a socket into a tunnel's device, and from there onto the
// underlay. Before a restart neighbours are also given time to acknowledge that they will wait (RFC 3623 section 2.1).
const (
	farewell        = 50 * time.Millisecond
	restartFarewell = 250 * time.Millisecond
)

// part goes on for as long as a farewell takes. Who comes back forwards and answers meanwhile as ever.
func (r *Router) part() {
	if !r.leaving {
		time.Sleep(farewell)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), restartFarewell)
	defer cancel()
	r.left = context.Background()
	r.follow(ctx)
}

// keptDevices is where the tunnels are kept whose devices stay over a restart.
const keptDevices = "router/devices"

// keepDevices leaves the devices of the tunnels to the process that comes next, with their routes.
func (r *Router) keepDevices() {
	var names []string
	for _, t := range r.config.Tunnels {
		names = append(names, t.Name)
	}
	r.edge.Do(core.Store{Key: keptDevices, Value: strings.Join(names, " ")})
	r.plane.Do(dataplane.KeepDevices{})
}

// takeDevices takes over the devices that were left for us, and removes those that are no tunnels any more.
func (r *Router) takeDevices(c *conf.Config) {
	kept := strings.Fields(r.edge.Stored()[keptDevices])
	r.plane.Do(dataplane.KeptDevices{Names: kept})
	for _, name := range kept {
		if !slices.ContainsFunc(c.Tunnels, func(t conf.Tunnel) bool { return t.Name == name }) {
			r.plane.Do(dataplane.DiscardDevice{Name: name})
		}
	}
	r.edge.Do(core.Store{Key: keptDevices})
}

// follow is the life of the loop: wait for something to happen, then handle all that has.
func (r *Router) follow(ctx context.Context) {
	alive := sys.WatchdogInterval()
	var told time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := r.edge.Now()
		if alive > 0 && now-told >= alive {
			r.notify(sys.Alive)
			told = now
		}
		timer.Reset(r.idle(now, alive))
		select {
		case <-ctx.Done():
			return
		case <-r.left.Done():
			return
		case <-r.queue.wake:
		case <-timer.C:
		}
		r.turn()
	}
}

// idle is how long nothing is due.
func (r *Router) idle(now, alive time.Duration) time.Duration {
	d := time.Hour
	if alive > 0 {
		d = alive
	}
	if next, ok := r.loop.Next(); ok {
		d = min(d, max(next-now, 0))
	}
	return d
}

// turn handles what waits and what is due.
func (r *Router) turn() {
	r.loop.Run(r.edge.Now())
	for _, f := range r.queue.take() {
		f(r.loop)
	}
	r.loop.Run(r.edge.Now())
}

// close lets what was sent last leave, then ends the data plane and the edge.
func (r *Router) close() error {
	return errors.Join(r.bfd.Close(), r.plane.Close(), r.edge.Close(), r.alone.Close())
}

func (r *Router) notify(states ...string) {
	if err := sys.Notify(states...); err != nil {
		r.opts.Log.Warn("daemon.notify-failed", "cause", err)
	}
}

// apply makes a configuration the one in force.
func (r *Router) apply(c *conf.Config) {
	r.config = c
	if c.Forwarding {
		r.forward(c)
	}
	if needsWorker(c) && !needsWorker(r.opts.Config) {
		r.opts.Log.Warn("bfd.no-worker", "cause", "BFD intervals below 300ms came with a reload",
			"remedy", "restart spokeway: a thread of it watches meanwhile, and can take its own delays for failures")
	}
	r.releaseInterfaces(c)
	for _, i := range c.Interfaces {
		r.edge.Do(core.SetInterface{Name: i.Name, Addresses: i.Addresses, MTU: i.MTU})
	}
	Configure(r.loop, c)
}

// releaseInterfaces gives back the interfaces that have addresses of ours, of before a crash perhaps, and that the
// configuration does not list any more. Tunnels are their module's.
func (r *Router) releaseInterfaces(c *conf.Config) {
	listed := map[string]bool{}
	for _, i := range c.Interfaces {
		listed[i.Name] = true
	}
	for _, t := range c.Tunnels {
		listed[t.Name] = true
	}
	for _, name := range r.edge.Addressed() {
		if !listed[name] {
			r.edge.Do(core.SetInterface{Name: name})
		}
	}
}

// forward lets the host forward what the configuration has addresses for.
func (r *Router) forward(c *conf.Config) {
	if err := sys.EnableForwarding(usesIPv6(c)); err != nil {
		r.opts.Log.Warn("host.forwarding", "cause", err, "remedy", "sysctl -w net.ipv4.ip_forward=1, or forwarding: false to leave it")
	}
}

func usesIPv6(c *conf.Config) bool {
	for _, t := range c.Tunnels {
		if anyIPv6(t.Addresses) {
			return true
		}
	}
	for _, i := range c.Interfaces {
		if anyIPv6(i.Addresses) {
			return true
		}
	}
	return false
}

func anyIPv6(ps []netip.Prefix) bool {
	for _, p := range ps {
		if p.Addr().Is6() {
			return true
		}
	}
	return false
}

// errEnded says that the router does nothing any more.
var errEnded = fmt.Errorf("the router has stopped")

// ask runs f on the loop's goroutine and waits for it.
func (r *Router) ask(f func(l *core.Loop)) error {
	done := make(chan struct{})
	r.queue.put(func(l *core.Loop) {
		defer close(done)
		f(l)
	})
	select {
	case <-done:
		return nil
	case <-r.ended:
		return errEnded
	}
}
