package user

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// batch collects packets for one wire and sends them with one system call, in order.
type batch struct {
	patient bool // waits for room in the socket's buffer

	arena   []byte
	packets []outgoing

	groups   []group
	messages [batchPackets]mmsg
	iovs     [batchPackets]unix.Iovec
	names    [batchPackets]sockaddr
	controls [batchPackets]control
}

// outgoing is one packet in the arena, GRE header first.
type outgoing struct {
	begin, end int
	inner      int // where the inner packet begins
	class, ttl uint8
	to         netip.AddrPort
	peer       *dataplane.Peer
	device     *device
}

// group is the packets of one message: more than one where the kernel cuts them apart again.
type group struct{ first, count int }

const (
	batchPackets = 128
	batchOctets  = 96 << 10
	arenaSize    = batchOctets + 128<<10 // a superframe more than the bound, with headers
	maxSend      = 65535 - 40 - 8        // what one UDP message may hold
)

func newBatch() *batch {
	return &batch{
		arena: make([]byte, 0, arenaSize), packets: make([]outgoing, 0, batchPackets), groups: make([]group, 0, batchPackets),
	}
}

// full reports whether the batch should be sent before it is added to.
func (b *batch) full() bool { return len(b.packets) == batchPackets || len(b.arena) >= batchOctets }

// add puts an inner packet into GRE. The batch must not be full.
func (b *batch) add(d *device, t *dataplane.Tunnel, a *dataplane.Adjacency, protocol uint16, class uint8, inner []byte) {
	o := outgoing{begin: len(b.arena), class: class, ttl: t.TTL, to: a.Endpoint, peer: a.Peer, device: d}
	b.arena = packet.AppendGRE(b.arena, protocol, t.Key.Value, t.Key.Set)
	o.inner = len(b.arena)
	b.arena = append(b.arena, inner...)
	o.end = len(b.arena)
	b.packets = append(b.packets, o)
}

// send sends everything through one of the wire's sockets and empties the batch.
func (b *batch) send(w *wire, s *socket) {
	if len(b.packets) == 0 {
		return
	}
	b.regroup(0, len(b.packets), w.segments.Load())
	b.transmit(w, s)
	b.clear()
}

func (b *batch) clear() { b.packets, b.arena = b.packets[:0], b.arena[:0] }

func (b *batch) giveUp(first int) {
	for i := range b.packets[first:] {
		b.packets[first+i].device.tunnel.Drop(dataplane.DropSendFailed)
	}
}

// regroup makes messages of the packets from first up to end.
func (b *batch) regroup(first, end int, segments bool) {
	b.groups = b.groups[:0]
	for first < end {
		n := 1
		if segments {
			n = b.run(first, end)
		}
		b.groups = append(b.groups, group{first, n})
		first += n
	}
}

// run is how many packets from first on may leave in one message with UDP_SEGMENT: of one size to one place, the
// last may be shorter.
func (b *batch) run(first, end int) int {
	head := &b.packets[first]
	size := head.end - head.begin
	n := 1
	for ; first+n < end && n < maxSegments; n++ {
		p, before := &b.packets[first+n], &b.packets[first+n-1]
		if before.end-before.begin != size || p.end-p.begin > size || p.end-head.begin > maxSend ||
			p.class != head.class || p.ttl != head.ttl || p.to != head.to {
			break
		}
	}
	return n
}

// transmit sends the groups. What goes wrong with one does not keep the others. An error may be what ICMP said of
// an earlier packet to somebody else, so a message has failed when it failed twice.
func (b *batch) transmit(w *wire, s *socket) {
	for i := range b.groups {
		b.compose(w, i)
	}
	again := -1
	for i := 0; i < len(b.groups); {
		n, e := s.link.send(b.messages[i:len(b.groups)])
		switch {
		case e == 0:
			i += n
		case e == unix.EAGAIN && b.patient && s.waitWritable():
		case e == unix.EAGAIN:
			b.giveUp(b.groups[i].first)
			return
		case again != i:
			again = i
		case b.groups[i].count > 1:
			b.split(w, s, i, e)
			return
		default:
			b.failed(w, s, i, e)
			i++
		}
	}
}

// split sends what is left after the group that failed, packet by packet: one that does not fit must not take
// its neighbours with it.
func (b *batch) split(w *wire, s *socket, at int, e unix.Errno) {
	if e == unix.EIO { // the device below cannot checksum, so the kernel will not segment
		w.segments.Store(false)
	}
	b.regroup(b.groups[at].first, len(b.packets), false)
	b.transmit(w, s)
}

func (b *batch) compose(w *wire, i int) {
	g, m := b.groups[i], &b.messages[i]
	head, last := &b.packets[g.first], &b.packets[g.first+g.count-1]
	b.iovs[i].Base = &b.arena[head.begin]
	b.iovs[i].SetLen(last.end - head.begin)
	m.hdr.Iov, m.hdr.Iovlen = &b.iovs[i], 1
	m.hdr.Name, m.hdr.Namelen = &b.names[i][0], b.names[i].put(head.to)
	c := &b.controls[i]
	c.n = 0
	if g.count > 1 {
		c.putUint16(unix.SOL_UDP, unix.UDP_SEGMENT, uint16(head.end-head.begin))
	}
	w.putClass(c, head.class, head.ttl)
	m.hdr.Control = nil
	if c.n > 0 {
		m.hdr.Control = &c.b[0]
	}
	m.hdr.SetControllen(c.n)
}

// failed counts a packet, alone in its group, that the underlay refused. One too long for the path teaches us the
// path's MTU, and goes in fragments or is answered.
func (b *batch) failed(w *wire, s *socket, at int, e unix.Errno) {
	o := &b.packets[b.groups[at].first]
	if e != unix.EMSGSIZE {
		o.device.tunnel.Drop(dataplane.DropSendFailed)
		return
	}
	mtu := w.pathMTU(o.to)
	p, err := packet.ParseIP(b.arena[o.inner:o.end])
	if o.peer == nil || mtu == 0 || err != nil {
		o.device.tunnel.Drop(dataplane.DropTooBig)
		return
	}
	fit := atLeast(mtu-(o.inner-o.begin)-w.outerHeader(), p.Bytes)
	if len(p.Bytes) <= fit { // the errors were what ICMP said of others, twice
		if _, e := s.link.send(b.messages[at : at+1]); e != 0 {
			o.device.tunnel.Drop(dataplane.DropSendFailed)
		}
		return
	}
	o.peer.LearnPathMTU(mtu, w.plane.now())
	if p.DontFragment() {
		o.device.tunnel.Drop(dataplane.DropTooBig)
		o.device.complain(packet.TooBig, p, fit)
		return
	}
	b.fragment(w, s, o, p, fit)
}

// fragment sends one packet in pieces, at once: it happens to the first that is too long for a path.
func (b *batch) fragment(w *wire, s *socket, o *outgoing, p packet.IP, fit int) {
	one := newBatch()
	for from, more := 0, true; more; more = from > 0 {
		f := *o
		f.begin, f.inner, f.peer = len(one.arena), len(one.arena)+o.inner-o.begin, nil
		one.arena = append(one.arena, b.arena[o.begin:o.inner]...)
		one.arena, from = packet.AppendFragment(one.arena, p, from, fit)
		if f.end = len(one.arena); f.end == f.inner {
			break
		}
		one.packets = append(one.packets, f)
		if one.full() {
			one.send(w, s)
		}
	}
	one.send(w, s)
}
