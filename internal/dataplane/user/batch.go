package user

import (
	"encoding/binary"
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
	tally   tally

	groups   []group
	messages [batchPackets]mmsg
	iovs     [batchPackets][2]unix.Iovec
	names    [batchPackets]sockaddr
	controls [batchPackets]control
	headers  [batchPackets][udpHeader]byte

	held [tailroom]byte // what a trailer overwrites
}

// outgoing is one packet in the arena: GRE, or ESP.
type outgoing struct {
	begin, end int
	inner      int // where the inner packet begins; in ESP it cannot be seen
	class, ttl uint8
	sealed     bool
	cut        bool // the kernel may fragment it
	to         netip.AddrPort
	peer       *dataplane.Peer
	device     *device
}

// group is the packets of one message: more than one where the kernel cuts them apart again.
type group struct{ first, count int }

// tally adds up what goes to a peer in a row, so that counters are touched once for many packets.
type tally struct {
	device         *device
	peer           *dataplane.Peer
	out            *dataplane.Outbound
	packets, bytes int
}

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

// room is a packet in a buffer, with octets around it that may be written over: headroom before it, tailroom behind.
type room struct {
	buf        []byte
	begin, end int
}

func (r room) bytes() []byte { return r.buf[r.begin:r.end] }

// put puts an inner packet into what the gate gave, or into GRE alone where it gave nothing. The batch must not be full.
func (b *batch) put(d *device, t *dataplane.Tunnel, e *exit, protocol uint16, class uint8, in room) {
	o := outgoing{begin: len(b.arena), class: class, ttl: t.TTL, to: e.to, peer: e.Peer, device: d}
	if e.out == nil {
		b.arena = packet.AppendGRE(b.arena, protocol, t.Key.Value, t.Key.Set)
		o.inner = len(b.arena)
		b.arena = append(b.arena, in.bytes()...)
	} else if !b.seal(&o, t, e.out, protocol, in) {
		return
	}
	o.end = len(b.arena)
	if e.mtu > 0 {
		o.cut = o.end-o.begin+outerHeader(o.to) > e.mtu // it got so far, so it may
	}
	b.packets = append(b.packets, o)
	b.count(d, e.Peer, e.out, in.end-in.begin)
	if tap := d.plane.tap.Load(); tap != nil {
		b.show(*tap, e.Adjacency, &o, in.bytes())
	}
}

// seal writes GRE and a trailer around a packet, in its buffer, and has the cipher put the whole into the arena. What the
// trailer overwrites, the next packet of a superframe, is put back.
func (b *batch) seal(o *outgoing, t *dataplane.Tunnel, out *dataplane.Outbound, protocol uint16, in room) bool {
	seq, ok := out.Sealer.Reserve(1)
	if !ok {
		out.Drop(dataplane.DropWornOut)
		o.device.tunnel.Drop(dataplane.DropWornOut)
		return false
	}
	n := greHeader(t)
	packet.AppendGRE(in.buf[in.begin-n:in.begin-n], protocol, t.Key.Value, t.Key.Set)
	in.begin -= n
	next := uint8(packet.GREIP)
	if out.Tunnel {
		next = in.wrap(out, t.TTL, o.class)
	}
	trailer := in.buf[in.end : in.end+out.Sealer.TrailerLen(in.end-in.begin)]
	copy(b.held[:], trailer)
	out.Sealer.PutTrailer(trailer, next)
	b.arena = out.Sealer.Seal(b.arena, seq, in.buf[in.begin:in.end+len(trailer)])
	copy(trailer, b.held[:])
	o.sealed = true
	return true
}

// What an IP packet in another is called, IANA "Protocol Numbers".
const (
	ipInIP   = 4
	ipv6InIP = 41
)

// wrap writes the IP header of tunnel mode before a packet and gives its number, RFC 4303 section 3.1.2.
func (r *room) wrap(out *dataplane.Outbound, ttl, class uint8) (next uint8) {
	if ttl == 0 {
		ttl = defaultTTL
	}
	payload, n := r.end-r.begin, ipHeader(out.Inner[0])
	r.begin -= n
	packet.AppendIP(r.buf[r.begin:r.begin], packet.Header{
		Source: out.Inner[0], Destination: out.Inner[1], Class: class, TTL: ttl, Protocol: packet.GREIP, DontFragment: true,
	}, payload)
	if n == 20 {
		return ipInIP
	}
	return ipv6InIP
}

func (b *batch) count(d *device, peer *dataplane.Peer, out *dataplane.Outbound, n int) {
	c := &b.tally
	if c.device != d || c.peer != peer || c.out != out {
		b.settle()
		c.device, c.peer, c.out = d, peer, out
	}
	c.packets++
	c.bytes += n
}

// settle counts what was added up. Keys that near their end are told of.
func (b *batch) settle() {
	c := b.tally
	b.tally = tally{}
	if c.packets == 0 {
		return
	}
	if c.peer != nil { // what the control plane sends is no traffic of the tunnel's
		c.device.tunnel.CountOut(c.packets, c.bytes)
		c.peer.CountOut(c.packets, c.bytes)
	}
	if c.out != nil && c.out.CountOut(c.packets, c.bytes) &&
		!c.device.plane.post(dataplane.Worn{SA: c.out.SA, SPI: c.out.SPI, Out: true}) {
		c.out.NotWorn()
	}
}

func (b *batch) show(tap Tap, a *dataplane.Adjacency, o *outgoing, inner []byte) {
	tap.Inner(Out, o.device.name, dataplane.Origin{Endpoint: o.to, SA: a.SA}, inner)
	if w := o.device.wire.Load(); w != nil {
		tap.Outer(Out, w.endpoint(o.to), o.to, b.arena[o.begin:o.end])
	}
}

// send sends everything through the wire, by s or what else the packets need, and empties the batch.
func (b *batch) send(w *wire, s *socket) {
	b.settle()
	for first := 0; first < len(b.packets); {
		end, k := first+1, w.kindFor(&b.packets[first])
		for end < len(b.packets) && w.kindFor(&b.packets[end]) == k {
			end++
		}
		b.regroup(first, end, k == w.main() && w.segments.Load())
		b.transmit(w, w.through(k, s), end)
		first = end
	}
	b.clear()
}

func (b *batch) clear() {
	b.settle()
	b.packets, b.arena = b.packets[:0], b.arena[:0]
}

func (b *batch) giveUp(first, end int) {
	for i := range b.packets[first:end] {
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

// transmit sends the groups, which reach up to packet end. What goes wrong with one does not keep the others. An error
// may be what ICMP said of an earlier packet to somebody else, so a message has failed when it failed twice.
func (b *batch) transmit(w *wire, s *socket, end int) {
	for i := range b.groups {
		b.compose(w, i)
	}
	again := -1
	for i := 0; i < len(b.groups); {
		n, e := s.link.send(b.messages[i:len(b.groups)])
		switch {
		case e == 0:
			i += n
		case e == unix.EAGAIN && b.patient && s.awaitRoom(sendPatience):
		case e == unix.EAGAIN:
			b.giveUp(b.groups[i].first, end)
			return
		case again != i:
			again = i
		case b.groups[i].count > 1:
			b.split(w, s, i, end, e)
			return
		default:
			b.failed(w, s, i, e)
			i++
		}
	}
}

// split sends what is left after the group that failed, packet by packet: one that does not fit must not take
// its neighbours with it.
func (b *batch) split(w *wire, s *socket, at, end int, e unix.Errno) {
	if e == unix.EIO { // the device below cannot checksum, so the kernel will not segment
		w.segments.Store(false)
	}
	b.regroup(b.groups[at].first, end, false)
	b.transmit(w, s, end)
}

func (b *batch) compose(w *wire, i int) {
	g, m := b.groups[i], &b.messages[i]
	head, last := &b.packets[g.first], &b.packets[g.first+g.count-1]
	m.hdr.Iov, m.hdr.Iovlen = b.octets(w, i, head, last.end-head.begin)
	m.hdr.Name, m.hdr.Namelen = &b.names[i][0], b.names[i].put(head.to)
	if head.cut { // a raw socket of IPv6 takes a port for a protocol
		m.hdr.Namelen = b.names[i].put(netip.AddrPortFrom(head.to.Addr(), 0))
	}
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

// octets are those of a message: n from where head begins, and a UDP header before them where a raw socket wants it.
func (b *batch) octets(w *wire, i int, head *outgoing, n int) (iov *unix.Iovec, count uint64) {
	iovs := &b.iovs[i]
	iovs[1].Base = &b.arena[head.begin]
	iovs[1].SetLen(n)
	if !head.cut || head.to.Port() == 0 {
		return &iovs[1], 1
	}
	putUDP(&b.headers[i], kindOf[w.main()].port, head.to, n)
	iovs[0].Base = &b.headers[i][0]
	iovs[0].SetLen(udpHeader)
	return &iovs[0], 2
}

// putUDP writes a UDP header. The checksum is none, RFC 3948 section 2.1; over IPv6 the kernel fills it in.
func putUDP(b *[udpHeader]byte, from int, to netip.AddrPort, n int) {
	binary.BigEndian.PutUint16(b[0:], uint16(from))
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(udpHeader+n))
	binary.BigEndian.PutUint16(b[6:], 0)
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
	switch {
	case mtu == 0 || o.cut:
		o.device.tunnel.Drop(dataplane.DropTooBig)
	case o.end-o.begin+outerHeader(o.to) <= mtu: // the errors were what ICMP said of others, twice
		b.repeat(s, at, o)
	default:
		if o.peer != nil {
			o.peer.LearnPathMTU(mtu, w.plane.now())
		}
		b.shorten(w, s, at, o, mtu)
	}
}

// repeat sends one message once more.
func (b *batch) repeat(s *socket, at int, o *outgoing) {
	if _, e := s.link.send(b.messages[at : at+1]); e != 0 {
		o.device.tunnel.Drop(dataplane.DropSendFailed)
	}
}

// shorten sends a packet that is too long for the path in pieces, or has its source send shorter ones. What is sealed
// was short enough for all that was known of the path, and cannot be answered any more: the kernel cuts it, this once.
func (b *batch) shorten(w *wire, s *socket, at int, o *outgoing, mtu int) {
	t := o.device.tunnel.Config()
	p, err := packet.ParseIP(b.arena[o.inner:o.end])
	if o.sealed || o.peer == nil || err != nil || t == nil || t.FragmentOuter {
		b.cutOutside(w, s, at, o)
		return
	}
	fit := atLeast(mtu-(o.inner-o.begin)-outerHeader(o.to), p.Bytes)
	switch {
	case len(p.Bytes) <= fit:
		b.cutOutside(w, s, at, o)
	case p.DontFragment():
		o.device.tunnel.Drop(dataplane.DropTooBig)
		o.device.complain(packet.TooBig, p, fit)
	default:
		b.fragment(w, s, o, p, fit)
	}
}

// cutOutside sends one message so that the kernel fragments it.
func (b *batch) cutOutside(w *wire, s *socket, at int, o *outgoing) {
	o.cut = true
	b.compose(w, at)
	b.repeat(w.through(w.kindFor(o), s), at, o)
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
