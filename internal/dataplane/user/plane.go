package user

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// Options of a [Plane]. The zero value is good.
type Options struct {
	Now    func() time.Duration // the edge's clock; by default the time since New
	Queues int                  // per TUN device and UDP port; by default half the cores, from 4 cores on
}

// Plane forwards packets between TUN devices and the underlay. It is a [dataplane.Plane].
type Plane struct {
	tables  *dataplane.Tables
	post    func(event any) bool
	now     func() time.Duration
	queues  int
	steers  int // the program that gives network control a queue of its own; -1: there is none
	lacks   error
	errors  *dataplane.Limiter // of ICMP errors
	tooBig  *dataplane.Limiter // of those that path MTU discovery lives on: a flood of others must not starve it
	control *sources           // of control packets
	ike     ikeLimits
	tap     atomic.Pointer[Tap] // nil but for a capture

	devices atomic.Pointer[map[string]*device]

	mu     sync.Mutex // of what follows: changes, not packets
	wires  map[place]*wire
	kept   map[string]bool // devices of an earlier process that nobody has taken over yet
	out    *batch          // for control packets
	from   [headroom + maxControl + tailroom]byte
	letter letter
}

var _ dataplane.Plane = (*Plane)(nil)

const (
	errorInterval  = 100 * time.Millisecond
	errorsPerSec   = 500
	queuesFromCPUs = 4
)

// New makes a plane without tunnels. Events go to post, from any goroutine; it must not block, and gives false when
// it has no room: a control packet is then counted as dropped, and what else is told comes again.
func New(post func(event any) bool, o Options) (*Plane, error) {
	if post == nil {
		return nil, errors.New("a data plane needs somewhere to post events to")
	}
	start := time.Now()
	p := &Plane{
		tables: dataplane.NewTables(), post: post, now: o.Now, queues: o.Queues,
		errors: dataplane.NewLimiter(errorInterval, errorsPerSec),
		tooBig: dataplane.NewLimiter(errorInterval, errorsPerSec), control: newSources(sourcePerSecond), ike: newIKELimits(),
		wires: map[place]*wire{}, kept: map[string]bool{}, out: newBatch(),
	}
	if p.now == nil {
		p.now = func() time.Duration { return time.Since(start) }
	}
	if p.queues == 0 {
		p.queues = 1
		if n := runtime.NumCPU(); n >= queuesFromCPUs {
			p.queues = n / 2
		}
	}
	p.steers, p.lacks = loadSteering(p.queues)
	p.devices.Store(&map[string]*device{})
	return p, nil
}

// Lacks is what the plane does without because the kernel refused it, and what that means, or nil.
func (p *Plane) Lacks() error { return p.lacks }

// Do does an effect of the forwarding contract and ignores others.
func (p *Plane) Do(effect any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := effect.(type) {
	case dataplane.SetTunnel:
		p.setTunnel(e)
	case dataplane.DeleteTunnel:
		p.deleteTunnel(e.Name)
	case dataplane.KeepDevices:
		p.keepDevices()
	case dataplane.KeptDevices:
		for _, name := range e.Names {
			p.kept[name] = true
		}
	case dataplane.DiscardDevice:
		discardTUN(e.Name)
	case dataplane.Send:
		p.send(e)
	case dataplane.SendIKE:
		p.sendIKE(e)
	case dataplane.SetAdjacency:
		if i := p.tables.Interface(e.Tunnel); i != nil {
			e.Endpoint = endpoint(e.Endpoint, i.Config().Encapsulation)
		}
		p.apply(e)
	default:
		p.apply(effect)
	}
}

func (p *Plane) apply(effect any) {
	if event := p.tables.Apply(effect); event != nil {
		p.post(event)
	}
}

func (p *Plane) fail(tunnel, doing string, err error) {
	p.post(dataplane.Failed{Tunnel: tunnel, Doing: doing, Err: err.Error()})
}

// down tells that a tunnel cannot forward.
func (p *Plane) down(tunnel, doing string, err error) {
	p.post(dataplane.Failed{Tunnel: tunnel, Doing: doing, Err: err.Error(), Down: true})
}

// crashed tells of a bug that a packet met. Its round is lost.
func (p *Plane) crashed(tunnel string, bug any) {
	p.fail(tunnel, "handle a packet", fmt.Errorf("a bug: %v: %s", bug, debug.Stack()))
}

// setTunnel makes what is missing, so the same effect again is the retry after a failure.
func (p *Plane) setTunnel(e dataplane.SetTunnel) {
	if e.Local.IsValid() {
		e.Local = e.Local.Unmap()
	}
	p.apply(e)
	d := p.device(e.Name)
	if d != nil && d.dead.Load() {
		p.remove(d)
		d = nil
	}
	if d == nil {
		var err error
		if d, err = openDevice(p, p.tables.Interface(e.Name)); err != nil {
			p.down(e.Name, "make the device", err)
			return
		}
		p.setDevice(e.Name, d)
		d.start()
	}
	if err := d.setVRF(e.VRF); err != nil {
		p.fail(e.Name, "open sockets for ICMP errors", err)
	}
	if err := p.connect(d, e.Tunnel); err != nil {
		p.down(e.Name, "open the underlay", err)
	}
}

// connect puts the device on the wire of its local address. It stays where it is when nothing changed.
func (p *Plane) connect(d *device, t dataplane.Tunnel) error {
	at := place{t.Local, t.Encapsulation}
	if w := d.wire.Load(); w != nil {
		if w.at == at && d.key == t.Key {
			return nil
		}
		p.disconnect(d)
	}
	if !t.Local.IsValid() {
		return nil
	}
	w, err := p.wire(at)
	if err != nil {
		return err
	}
	if err := w.join(t.Key, d); err != nil {
		return err
	}
	d.key = t.Key
	d.wire.Store(w)
	return nil
}

func (p *Plane) wire(at place) (*wire, error) {
	if w := p.wires[at]; w != nil {
		return w, nil
	}
	w, err := openWire(p, at, p.queues)
	if err != nil {
		return nil, err
	}
	p.wires[at] = w
	w.start()
	return w, nil
}

func (p *Plane) disconnect(d *device) {
	w := d.wire.Swap(nil)
	if w != nil && w.leave(d) {
		delete(p.wires, w.at)
		w.stop()
	}
}

func (p *Plane) deleteTunnel(name string) {
	if d := p.device(name); d != nil {
		p.remove(d)
	}
	p.apply(dataplane.DeleteTunnel{Name: name})
}

func (p *Plane) remove(d *device) {
	p.disconnect(d)
	p.setDevice(d.name, nil)
	d.stop()
}

// keepDevices has the kernel keep the devices when this process ends.
func (p *Plane) keepDevices() {
	for name, d := range *p.devices.Load() {
		if err := d.tun.keep(true); err != nil {
			p.fail(name, "have the device kept over a restart", err)
		}
	}
}

// device is lock-free, for packets that leave by another tunnel than they came.
func (p *Plane) device(name string) *device { return (*p.devices.Load())[name] }

func (p *Plane) setDevice(name string, d *device) {
	m := maps.Clone(*p.devices.Load())
	m[name] = d
	if d == nil {
		delete(m, name)
	}
	p.devices.Store(&m)
}

// Stats is what every tunnel counted, by name.
func (p *Plane) Stats() []dataplane.TunnelStats {
	var list []dataplane.TunnelStats
	for _, i := range p.tables.Interfaces() {
		list = append(list, i.Stats())
	}
	return list
}

// Peers is what the adjacencies of a tunnel counted, by next hop.
func (p *Plane) Peers(tunnel string) []dataplane.PeerStats {
	i := p.tables.Interface(tunnel)
	if i == nil {
		return nil
	}
	return i.Peers()
}

// Close removes every tunnel and ends every goroutine.
func (p *Plane) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range *p.devices.Load() {
		p.deleteTunnel(name)
	}
	if p.steers >= 0 {
		unix.Close(p.steers)
		p.steers = -1
	}
	return nil
}

const classControl = 0xc0 // CS6, RFC 4594 section 3.1

// send puts a control packet on the wire at once. It never waits: a protocol repeats itself.
func (p *Plane) send(e dataplane.Send) {
	d, i := p.device(e.Tunnel), p.tables.Interface(e.Tunnel)
	if i == nil {
		p.fail(e.Tunnel, "send to "+e.To.String(), errors.New("there is no tunnel of this name"))
		return
	}
	var w *wire
	if d != nil { // it could not be made, and that was told
		w = d.wire.Load()
	}
	t := i.Config()
	out, why, ok := p.mayLeave(t, w, e.SA)
	switch {
	case !ok:
		i.Drop(why)
	case len(e.Payload) > maxControl:
		i.Drop(dataplane.DropTooBig)
	default:
		to := dataplane.Adjacency{Endpoint: endpoint(plainEndpoint(e.To), t.Encapsulation), SA: e.SA}
		n := copy(p.from[headroom:], e.Payload)
		exit := p.exit(t, &to, out)
		p.out.put(d, t, &exit, e.Protocol, classControl, room{p.from[:], headroom, headroom + n})
		p.out.send(w, w.by(p.queues))
	}
}

func plainEndpoint(e netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(e.Addr().Unmap().WithZone(""), e.Port())
}

// SAs is what the handles counted.
func (p *Plane) SAs() []dataplane.SAStats { return p.tables.SAs() }
