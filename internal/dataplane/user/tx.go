package user

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// sender moves packets from one queue of a TUN device to the wire: read, look up, cut, put into GRE, send.
type sender struct {
	device *device
	queue  int
	wire   *wire // of this round; nil: none
	out    *batch
	cut    cutter
	known  knownWay
	one    [1]*dataplane.Adjacency
	exits  []exit                                         // of this frame
	buf    [headroom + vnetLen + maxFrame + tailroom]byte // the vnet header is behind the headroom
}

// knownWay remembers the last lookup: bulk data asks the same again and again.
type knownWay struct {
	generation uint64
	dst        netip.Addr
	hash       uint32
	way        dataplane.Way
}

func newSender(d *device, queue int) *sender {
	s := &sender{device: d, queue: queue, out: newBatch()}
	s.out.patient = true
	return s
}

// drain is how many reads fill a batch before it is sent. Nothing waits for a batch to fill.
const drain = 64

func (s *sender) loop() {
	queue, n := s.device.tun.queues[s.queue], 0
	frames := queue.reader(func() (e unix.Errno) {
		n, e = read(queue.fd, s.readable())
		return e
	})
	for {
		e, ok := frames.next()
		switch {
		case !ok:
			return
		case e != 0:
			s.device.dead.Store(true)
			s.device.plane.fail(s.device.name, "read from the device", e)
			return
		}
		s.round(queue.fd, n)
	}
}

// readable is where a frame is read to.
func (s *sender) readable() []byte { return s.buf[headroom : headroom+vnetLen+maxFrame] }

// round takes the frame that was read and what else waits, and sends all of it.
func (s *sender) round(fd, n int) {
	if s.wire = s.device.wire.Load(); s.wire != nil && !s.wire.acquire() {
		s.wire = nil
	}
	defer s.end()
	for k := 1; ; k++ {
		s.frame(n)
		if k == drain || s.out.full() {
			break
		}
		var e unix.Errno
		if n, e = read(fd, s.readable()); e != 0 {
			break
		}
	}
	s.flush()
}

// end closes a round. A bug in the handling of one packet costs that round, not the router.
func (s *sender) end() {
	if bug := recover(); bug != nil {
		s.out.clear()
		s.device.plane.crashed(s.device.name, bug)
	}
	if s.wire != nil {
		s.wire.release()
	}
}

func (s *sender) flush() {
	if s.wire != nil {
		s.out.send(s.wire, s.wire.by(s.queue))
	}
}

// frame takes one packet or superframe of the kernel's, n octets with the vnet header.
func (s *sender) frame(n int) {
	d, b := s.device, s.readable()[:n]
	t := d.tunnel.Config()
	if t == nil || len(b) < vnetLen {
		return
	}
	p, err := packet.ParseIP(b[vnetLen:])
	if err != nil {
		d.tunnel.Drop(dataplane.DropMalformed)
		return
	}
	if p.IsRedirect() { // ours is NHRP's
		d.tunnel.Drop(dataplane.DropICMPRedirect)
		return
	}
	switch targets, why := s.targets(p); {
	case len(targets) == 0:
		d.tunnel.Drop(why)
	case s.wire == nil:
		d.tunnel.Drop(dataplane.DropNoUnderlay)
	default:
		s.packets(t, vnetOf(b), p, targets)
	}
}

// targets are the adjacencies a packet goes to, or why there are none.
func (s *sender) targets(p packet.IP) ([]*dataplane.Adjacency, dataplane.Reason) {
	d, dst := s.device, p.Destination()
	if d.tunnel.Floods(dst) {
		return d.tunnel.Multicast(), dataplane.DropNoReplica
	}
	way := s.lookup(dst, p)
	if way.Missed {
		d.plane.missed(d.name, way.NextHop, p)
	}
	way.Use()
	if way.Adjacency == nil {
		return s.unreachable(way, p)
	}
	s.one[0] = way.Adjacency
	return s.one[:], 0
}

func (s *sender) lookup(dst netip.Addr, p packet.IP) *dataplane.Way {
	k, hash, generation := &s.known, p.FlowHash(), s.device.plane.tables.Generation()
	if k.generation != generation || k.dst != dst || k.hash != hash {
		*k = knownWay{generation, dst, hash, s.device.tunnel.Lookup(dst, hash)}
	}
	return &k.way
}

func (s *sender) unreachable(way *dataplane.Way, p packet.IP) ([]*dataplane.Adjacency, dataplane.Reason) {
	if way.Missed {
		s.device.complain(packet.HostUnreachable, p, 0)
		return nil, dataplane.DropNoAdjacency
	}
	s.device.complain(packet.NetUnreachable, p, 0)
	return nil, dataplane.DropNoRoute
}

// missed tells the control plane of a next hop that nobody knows.
func (pl *Plane) missed(tunnel string, nextHop netip.Addr, p packet.IP) {
	if pl.tables.MissDue(nextHop, pl.now()) {
		pl.post(dataplane.Miss{Tunnel: tunnel, NextHop: nextHop, Source: p.Source(), Destination: p.Destination()})
	}
}

// packets sends a frame to the targets, cut where the kernel left that to us.
func (s *sender) packets(t *dataplane.Tunnel, v *vnetHeader, p packet.IP, targets []*dataplane.Adjacency) {
	if v.gso == gsoNone {
		if v.flags&needsChecksum != 0 && !finishChecksum(p.Bytes, v) {
			s.device.tunnel.Drop(dataplane.DropMalformed)
			return
		}
		if t.MSS {
			p.ClampMSS(packet.MSS(t.MTU, p.Is6()))
		}
		s.leave(t, targets)
		s.emit(t, s.room(0, p.Bytes), p.Class())
		return
	}
	if !s.cut.start(p, v) {
		s.device.tunnel.Drop(dataplane.DropMalformed)
		return
	}
	s.leave(t, targets)
	class := p.Class()
	for b := s.cut.next(); b != nil; b = s.cut.next() {
		s.emit(t, s.room(s.cut.begin, b), class)
	}
}

// room is packet b, which begins so many octets behind where the frame's does.
func (s *sender) room(offset int, b []byte) room {
	begin := headroom + vnetLen + offset
	return room{s.buf[:], begin, begin + len(b)}
}

// leave asks how a frame leaves for its targets. Those that it may not leave for are counted.
func (s *sender) leave(t *dataplane.Tunnel, targets []*dataplane.Adjacency) {
	pl := s.device.plane
	s.exits = s.exits[:0]
	for _, a := range targets {
		if out, why, ok := pl.mayLeave(t, s.wire, a.SA); ok {
			s.exits = append(s.exits, pl.exit(t, a, out))
		} else {
			s.device.tunnel.Drop(why)
		}
	}
}

func (s *sender) emit(t *dataplane.Tunnel, in room, class uint8) {
	for i := range s.exits {
		e := &s.exits[i]
		if fit := e.fits(in.bytes()); in.end-in.begin > fit {
			s.tooLong(t, e, in.bytes(), fit)
			continue
		}
		s.put(t, e, class, in)
	}
}

func (s *sender) put(t *dataplane.Tunnel, e *exit, class uint8, in room) {
	if s.out.full() {
		s.flush()
	}
	s.out.put(s.device, t, e, etherType(in.bytes()), packet.OuterClass(class), in)
}

func etherType(inner []byte) uint16 {
	if inner[0]>>4 == 6 {
		return packet.EtherIPv6
	}
	return packet.EtherIPv4
}

// tooLong fragments a packet, or tells its source what fits.
func (s *sender) tooLong(t *dataplane.Tunnel, e *exit, inner []byte, fit int) {
	p, err := packet.ParseIP(inner)
	if err != nil {
		return
	}
	if p.DontFragment() {
		s.device.tunnel.Drop(dataplane.DropTooBig)
		s.device.complain(packet.TooBig, p, fit)
		return
	}
	var buf [headroom + maxFrame + tailroom]byte
	for from, more := 0, true; more; more = from > 0 {
		var f []byte
		f, from = packet.AppendFragment(buf[:headroom], p, from, fit)
		if len(f) > headroom {
			s.put(t, e, p.Class(), room{buf[:], headroom, len(f)})
		}
	}
}
