package user

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// device is one tunnel's TUN device, its goroutines, and the wire it is on.
type device struct {
	shared
	plane   *Plane
	name    string
	tunnel  *dataplane.Interface
	tun     *tun
	wire    atomic.Pointer[wire] // nil: no underlay
	key     dataplane.Key        // on the wire
	errors  atomic.Pointer[injector]
	running sync.WaitGroup
	closed  chan struct{}
	dead    atomic.Bool // somebody deleted the kernel's device
}

func openDevice(p *Plane, i *dataplane.Interface) (*device, error) {
	t, err := p.openTUN(i.Name)
	if err != nil {
		return nil, err
	}
	delete(p.kept, i.Name)
	d := &device{plane: p, name: i.Name, tunnel: i, tun: t, closed: make(chan struct{})}
	d.open(d.closeAll)
	return d, nil
}

func (d *device) closeAll() {
	d.tun.close()
	if e := d.errors.Load(); e != nil {
		e.release()
	}
	close(d.closed)
}

func (d *device) start() {
	for i := range d.tun.queues {
		s := newSender(d, i)
		d.running.Go(s.loop)
	}
}

// stop returns when the kernel's device is gone, so that its name is free.
func (d *device) stop() {
	for _, q := range d.tun.queues {
		q.end()
	}
	d.running.Wait()
	d.release()
	<-d.closed
}

// setVRF opens the sockets that ICMP errors leave by.
func (d *device) setVRF(vrf string) error {
	old := d.errors.Load()
	if old != nil && old.vrf == vrf {
		return nil
	}
	e, err := openInjector(vrf)
	if err != nil {
		return err
	}
	d.errors.Store(e)
	if old != nil {
		old.release()
	}
	return nil
}

// write gives a packet to the kernel, vnet header first.
func (d *device) write(queue int, b []byte) {
	if !d.acquire() {
		return
	}
	defer d.release()
	if e := write(d.tun.queues[queue%len(d.tun.queues)].fd, b); e != 0 {
		d.tunnel.Drop(dataplane.DropDeviceFailed)
	}
}

// complain tells the source of p what is wrong with it, unless that is forbidden or has been told just now.
func (d *device) complain(what packet.ICMPError, p packet.IP, mtu int) {
	t := d.tunnel.Config()
	if t == nil || !p.MayComplain(what) || !d.plane.complaints(what).Allow(complaint(what, p), d.plane.now()) {
		return
	}
	from := own(t, p.Is6())
	if !from.IsValid() {
		d.tunnel.Drop(dataplane.DropUnnumbered)
		return
	}
	if b, ok := packet.AppendICMPError(nil, what, p, from, mtu); ok && d.acquire() {
		defer d.release()
		if e := d.errors.Load(); e != nil && e.acquire() {
			e.inject(b, p.Source())
			e.release()
		}
	}
}

// complainBack tells the source of p, which came out of the tunnel. The error quotes p and leaves by the kernel's routes: what
// was protected must not go to its source in clear.
func (d *device) complainBack(what packet.ICMPError, p packet.IP, mtu int) {
	if t := d.tunnel.Config(); t != nil && t.Protected && !d.leadsIntoProtection(p.Source()) {
		d.tunnel.Drop(dataplane.DropUnprotected)
		return
	}
	d.complain(what, p, mtu)
}

// leadsIntoProtection reports whether the kernel sends packets for dst into a protected tunnel.
func (d *device) leadsIntoProtection(dst netip.Addr) bool {
	way := d.tunnel.VRF().Lookup(dst, 0)
	if way.Interface == nil {
		return false
	}
	t := way.Interface.Config()
	return t != nil && t.Protected
}

// complaints is the rate limit of an ICMP error.
func (p *Plane) complaints(what packet.ICMPError) *dataplane.Limiter {
	if what == packet.TooBig {
		return p.tooBig
	}
	return p.errors
}

// complaint keys the rate limit: by flow, and where a probe is answered by probe, as traceroute wants each.
func complaint(what packet.ICMPError, p packet.IP) uint64 {
	key := uint64(p.FlowHash())<<8 | uint64(what)
	if b := p.Payload(); what == packet.TimeExceeded && len(b) >= 8 {
		key ^= uint64(packet.Fold(packet.Sum(b[:8], 0))) << 40
	}
	return key
}

// own is the address the tunnel speaks from, one that others can answer to if there is one.
func own(t *dataplane.Tunnel, ipv6 bool) netip.Addr {
	var found netip.Addr
	for _, p := range t.Addresses {
		a := p.Addr()
		if a.Is6() != ipv6 {
			continue
		}
		if !a.IsLinkLocalUnicast() {
			return a
		}
		found = a
	}
	return found
}
