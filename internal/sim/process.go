package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/tunnel"
	"github.com/spokeway/spokeway/internal/router"
)

// process is a running router: its loop and its data plane, and the simulated edge between them and the node.
// The methods that bring events may be called on a nil process, as those of a machine where nothing runs.
type process struct {
	node    *Node
	loop    *core.Loop
	plane   *dataplane.Memory
	modules router.Modules
	failed  map[string]string // what the data plane could not do, by tunnel
	listens listens
	bfd     prober
	inbox   []letter
	due     bool          // a run is set for now
	wake    time.Duration // the next run that is set for a timer
	busy    time.Duration // until when there is work
	frozen  bool
	ended   bool
}

// letter is an event on its way to a module; "" is to all.
type letter struct {
	to string
	ev core.Event
}

// start runs the node's program. What it stored before is there again.
func (n *Node) start() error {
	switch {
	case n.router != nil:
		return errors.New(n.Name + " runs already")
	case n.config == nil:
		return errors.New(n.Name + " has no configuration")
	}
	n.boots++
	p := &process{node: n, plane: dataplane.NewMemory(), failed: map[string]string{}, listens: listens{}, wake: -1}
	p.plane.Now, p.plane.Post, p.plane.Transmit = n.world.Now, p.fromPlane, p.transmit
	p.plane.Deliver, p.plane.Device = p.deliver, p.device
	p.loop = core.NewLoop(n.world.Now(), n.world.chance(n.Name+" "+strconv.Itoa(n.boots)), p)
	p.loop.After = p.after
	p.loop.Log = func(level core.Level, event string, args []any) { n.world.Trace.log(n, level, event, args) }
	n.router = p
	p.load()
	for _, i := range n.interfaces {
		p.broadcast(i.state())
	}
	for _, l := range n.fib.all() {
		p.post(kernel.Name, l)
	}
	p.post(kernel.Name, kernel.Synced{})
	return nil
}

// kill ends the process without a word. Its tunnel devices go with it, what it wrote into the kernel stays.
func (n *Node) kill() {
	p := n.router
	if p == nil {
		return
	}
	p.ended = true
	n.router = nil
	for _, i := range slices.Clone(n.interfaces) {
		if i.net == nil {
			n.drop(i)
		}
	}
}

// stop lets the process say goodbye, and ends it.
func (n *Node) stop() {
	if p := n.router; p != nil {
		p.broadcast(core.Stop{})
		p.run()
		n.kill()
	}
}

// freeze keeps the process from doing anything; thaw lets it go on, and all its timers that were due are due at once.
func (n *Node) freeze() {
	if n.router != nil {
		n.router.frozen = true
	}
}

func (n *Node) thaw() {
	if n.router != nil {
		n.router.frozen = false
		n.router.rouse()
	}
}

func (p *process) post(module string, ev core.Event) {
	if p != nil {
		p.inbox = append(p.inbox, letter{module, ev})
		p.rouse()
	}
}

func (p *process) broadcast(ev core.Event) { p.post("", ev) }

// rouse has the loop run at this very time, after what is going on now.
func (p *process) rouse() {
	if p.due || p.frozen {
		return
	}
	p.due = true
	p.node.world.clock.after(0, func() {
		p.due = false
		p.run()
	})
}

// run handles what has come, and sets the next run.
func (p *process) run() {
	if p.ended || p.frozen {
		return
	}
	for k, l := range p.inbox {
		p.inbox[k] = letter{}
		if l.to == "" {
			p.loop.Broadcast(l.ev)
		} else {
			p.loop.Post(l.to, l.ev)
		}
	}
	p.inbox = p.inbox[:0]
	p.loop.Run(p.node.world.Now())
	if w := p.node.world.watch; w != nil {
		w.ran(p)
	}
	p.setAlarm()
}

func (p *process) setAlarm() {
	next, ok := p.loop.Next()
	now := p.node.world.Now()
	if !ok || p.wake > now && p.wake <= next {
		return
	}
	p.wake = max(next, now)
	at := p.wake
	p.node.world.clock.at(at, func() {
		if p.wake == at {
			p.wake = -1
			p.run()
		}
	})
}

func (p *process) after(module string, ev core.Event) {
	p.node.world.events++
	p.node.world.Trace.event(p, module, ev)
	if w := p.node.world.watch; w != nil {
		w.handled(p, module, ev)
	}
}

// Do is the edge: it does what a module wants.
func (p *process) Do(effect core.Effect) {
	n := p.node
	n.world.Trace.effect(n, effect)
	if n.world.watch != nil {
		n.world.watch.wanted(p, effect)
	}
	switch e := effect.(type) {
	case core.Store:
		n.store(e)
	case core.Resolve:
		p.resolve(e)
	case core.Work:
		p.work(e)
	case core.SetInterface:
		n.configure(e)
	case core.Listen:
		p.listens.set(e)
	case core.SendIP:
		n.sendIP(e)
	case kernel.Install:
		n.fib.install(e.Route)
	case kernel.Remove:
		n.fib.remove(kernel.Key(e))
	default:
		if !p.bfd.do(p, effect) {
			p.plane.Do(effect)
		}
	}
}

// work is done by one hand, one piece after the other, and each takes its time.
func (p *process) work(e core.Work) {
	w := p.node.world
	p.busy = max(p.busy, w.Now()) + w.WorkTime
	w.clock.at(p.busy, func() {
		if !p.ended {
			p.post(e.Module, core.Done{Tag: e.Tag, Result: e.Run()})
		}
	})
}

func (n *Node) store(e core.Store) {
	if e.Value == "" {
		delete(n.stored, e.Key)
		return
	}
	n.stored[e.Key] = e.Value
}

// resolveTime is how long the DNS takes to answer.
const resolveTime = 20 * time.Millisecond

func (p *process) resolve(e core.Resolve) {
	p.node.world.clock.after(resolveTime, func() {
		answer := core.Resolved{Name: e.Name, Err: "no such name"}
		if name, ok := p.node.world.Names[e.Name]; ok {
			answer = core.Resolved{Name: e.Name, Addrs: slices.Clone(name.Addrs), TTL: name.TTL}
		}
		if !p.ended {
			p.post(e.Module, answer)
		}
	})
}

// configure gives an interface the addresses the router wants, and keeps those that others gave it.
func (n *Node) configure(e core.SetInterface) {
	i := n.byName[e.Name]
	if i == nil {
		return
	}
	var addrs []netip.Prefix
	for _, p := range i.addrs {
		if !slices.Contains(i.given, p) || slices.Contains(e.Addresses, p) {
			addrs = append(addrs, p)
		}
	}
	for _, p := range e.Addresses {
		if !slices.Contains(addrs, p) {
			addrs = append(addrs, p)
		}
	}
	i.given, i.down = slices.Clone(e.Addresses), false
	if e.MTU > 0 {
		i.mtu = e.MTU
	}
	i.setAddresses(addrs)
	n.tell(i)
}

// fromPlane takes what the data plane saw to the module that it is for.
func (p *process) fromPlane(ev any) {
	if f, ok := ev.(dataplane.Failed); ok {
		p.failed[f.Tunnel] = f.Doing + ": " + f.Err
		p.node.world.Trace.log(p.node, core.Error, "dataplane.failed", []any{"tunnel", f.Tunnel, "doing", f.Doing, "cause", f.Err})
		switch {
		case f.Down:
			p.post(tunnel.Name, f)
		case f.SA != 0:
			p.post(ike.Name, f)
		}
		return
	}
	p.post(router.Receiver(ev), ev)
}

// transmit puts what the data plane encapsulated onto the underlay.
func (p *process) transmit(d *dataplane.Datagram) {
	p.node.world.Trace.sent(p.node, d)
	p.node.world.guard(p, d)
	if w := p.node.world.watch; w != nil {
		w.sent(p, d)
	}
	p.node.route(nil, d)
}

// deliver takes what came out of a tunnel to the node's kernel.
func (p *process) deliver(tunnel string, d *dataplane.Datagram) {
	if i := p.node.byName[tunnel]; i != nil {
		i.receive(d)
	}
}

// device makes, changes or removes the interface of a tunnel.
func (p *process) device(t dataplane.Tunnel, gone bool) {
	n := p.node
	i := n.byName[t.Name]
	switch {
	case gone && i != nil:
		n.drop(i)
	case !gone && i == nil:
		i = n.addInterface(t.Name, t.MTU)
		n.tell(i)
	}
}

func (p *process) String() string { return fmt.Sprintf("%s (start %d)", p.node.Name, p.node.boots) }
