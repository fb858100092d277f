package user

import (
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// receiver moves packets from one socket to TUN devices, or back to the wire: receive, open, take out of GRE, merge, write.
type receiver struct {
	wire   *wire
	socket *socket
	queue  int
	now    time.Duration // of this round

	merge merger
	to    *device // whose the merger's packets are

	out     *batch // fast path
	outWire *wire

	run   run
	runSA runSA
	from  knownPeer
	src   knownSource
	known knownTransit

	landing landing
	stream  stream
	prefix  int                                  // between ESP and the inner packet, as far as is foreseen
	hairpin bool                                 // the last packet went back to the wire
	scratch [headroom + maxFrame + tailroom]byte // where such packets are opened

	messages []mmsg
	buffers  []byte
	iovs     []unix.Iovec
	names    []sockaddr
	controls []control
}

// run adds up what a peer sent in a row, so that counters are touched once for many packets.
type run struct {
	tunnel         *dataplane.Interface
	peer           *dataplane.Adjacency
	packets, bytes int
}

// runSA is what came by an SPI in a row.
type runSA struct {
	in             *dataplane.Inbound
	packets, bytes int
}

type knownPeer struct {
	generation uint64
	origin     dataplane.Origin
	tunnel     *dataplane.Interface
	is6        bool
	adjacency  *dataplane.Adjacency
}

// knownSource remembers the last answer of [dataplane.Interface.Genuine].
type knownSource struct {
	generation uint64
	source     netip.Addr
	sa         dataplane.SA
	tunnel     *dataplane.Interface
	genuine    bool
}

const (
	rawMessages = 64 // per receive
	udpMessages = 4  // each holds up to 64 datagrams of one flow; more of them leave the cache
	bufferSize  = 1 << 16
)

func newReceiver(w *wire, s *socket, queue int) *receiver {
	n := rawMessages
	if !s.kind.raw() || s != w.sockets[0] && s != w.others[rawESP] { // of the others little comes
		n = udpMessages
	}
	r := &receiver{
		wire: w, socket: s, queue: queue, out: newBatch(),
		messages: make([]mmsg, n), buffers: make([]byte, n*bufferSize), iovs: make([]unix.Iovec, n),
		names: make([]sockaddr, n), controls: make([]control, n),
	}
	r.out.patient = true
	for i := range r.messages {
		r.iovs[i].Base = &r.buffers[i*bufferSize]
		r.iovs[i].SetLen(bufferSize)
	}
	r.reset(n)
	return r
}

// reset readies the first n messages for the kernel to fill.
func (r *receiver) reset(n int) {
	for i := range r.messages[:n] {
		h := &r.messages[i].hdr
		*h = unix.Msghdr{Name: &r.names[i][0], Namelen: uint32(len(r.names[i])), Iov: &r.iovs[i], Iovlen: 1, Control: &r.controls[i].b[0]}
		h.SetControllen(controlSize)
	}
}

func (r *receiver) loop() {
	s := r.socket
	n := 0
	messages := s.reader(func() (e unix.Errno) {
		n, e = s.link.receive(r.messages)
		return e
	})
	for {
		e, ok := messages.next()
		switch {
		case !ok:
			return
		case e == 0:
			r.round(n)
		default: // what ICMP said of some packet we sent; reading it has cleared it
			forgetErrors(s.fd)
		}
	}
}

// round handles n messages and leaves nothing behind: what was merged is written, what was forwarded is sent.
func (r *receiver) round(n int) {
	defer r.end(n)
	r.now = r.wire.plane.now()
	for i := range n {
		r.message(i)
	}
	r.flushDevice()
	r.flushWire()
	r.flushRun()
	r.flushSA()
}

// end closes a round, like [sender.end].
func (r *receiver) end(n int) {
	if bug := recover(); bug != nil {
		r.out.clear()
		r.merge.segments, r.merge.kept, r.to, r.stream, r.outWire, r.run, r.runSA = 0, 0, nil, stream{}, nil, run{}, runSA{}
		r.wire.plane.crashed("", bug) // several tunnels share the wire
	}
	r.reset(n)
}

func (r *receiver) message(i int) {
	b := r.buffers[i*bufferSize:][:min(r.messages[i].n, bufferSize)]
	from := r.names[i].get()
	class, size := ancillary(r.controls[i].b[:min(r.messages[i].hdr.Controllen, controlSize)])
	if !r.socket.kind.raw() {
		r.datagrams(from, class, b, size)
		return
	}
	if r.wire.at.local.Is4() { // a raw IPv4 socket gives the header too
		p, err := packet.ParseIP(b)
		if err != nil {
			return
		}
		b, class = p.Payload(), p.Class()
	}
	r.datagram(netip.AddrPortFrom(from.Addr(), 0), class, b)
}

// datagrams takes apart what UDP_GRO joined.
func (r *receiver) datagrams(from netip.AddrPort, class uint8, b []byte, size int) {
	if size <= 0 {
		size = len(b)
	}
	for len(b) > 0 {
		n := min(size, len(b))
		r.datagram(from, class, b[:n])
		b = b[n:]
	}
}

// datagram takes what one packet of the underlay carried.
func (r *receiver) datagram(from netip.AddrPort, class uint8, b []byte) {
	if tap := r.wire.plane.tap.Load(); tap != nil {
		(*tap).Outer(In, r.local(), from, b)
	}
	switch r.socket.kind {
	case udpIKE:
		r.ike(from, b)
	case udpESP:
		r.natted(from, class, b)
	case rawESP:
		r.esp(from, class, b)
	default:
		r.landing = landing{}
		r.gre(dataplane.Origin{Endpoint: from}, class, b)
	}
}

// local is where the socket's packets come to.
func (r *receiver) local() netip.AddrPort {
	return netip.AddrPortFrom(r.wire.at.local, uint16(kindOf[r.socket.kind].port))
}

// ancillary reads the outer traffic class, and the size of the datagrams that were joined.
func ancillary(b []byte) (class uint8, size int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr+1 || n > len(b) {
			return class, size
		}
		data := b[unix.CmsgLen(0):n]
		switch {
		case h.Level == unix.SOL_IP && h.Type == unix.IP_TOS, h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_TCLASS:
			class = lowOctet(data)
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			size = int(*(*int32)(unsafe.Pointer(&data[0])))
		}
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
	return class, size
}

// lowOctet is the value of an octet or of an int in the host's order.
func lowOctet(b []byte) uint8 {
	if len(b) >= 4 {
		return uint8(*(*int32)(unsafe.Pointer(&b[0])))
	}
	return b[0]
}

// gre takes one GRE packet.
func (r *receiver) gre(from dataplane.Origin, class uint8, b []byte) {
	members := *r.wire.members.Load()
	if len(members) == 0 {
		return
	}
	g, err := packet.ParseGRE(b)
	if err != nil {
		members[0].device.tunnel.Drop(dataplane.DropBadGRE)
		return
	}
	d := find(members, dataplane.Key{Value: g.Key, Set: g.HasKey})
	if d == nil {
		members[0].device.tunnel.Drop(dataplane.DropUnknownKey)
		return
	}
	t := d.tunnel.Config()
	switch {
	case t == nil:
	case !mayEnter(t, from.SA):
		d.tunnel.Drop(dataplane.DropUnprotected)
	case g.Protocol == packet.EtherIPv4, g.Protocol == packet.EtherIPv6:
		r.landing.at += len(b) - len(g.Payload)
		r.prefix = r.landing.at - r.landing.payload
		r.inner(d, t, from, class, g)
	case g.Protocol == packet.EtherNHRP:
		r.control(d, from, g)
	default:
		d.tunnel.Drop(dataplane.DropUnknownProtocol)
	}
}

// control hands a packet to the loop, if there is room for it and its sender does not take more than its part.
func (r *receiver) control(d *device, from dataplane.Origin, g packet.GRE) {
	pl := r.wire.plane
	if len(g.Payload) > maxControl {
		d.tunnel.Drop(dataplane.DropMalformed)
		return
	}
	if !pl.control.allow(from.Endpoint, r.now) || !pl.post(dataplane.Received{
		Tunnel: d.name, From: from.Endpoint, SA: from.SA, Protocol: g.Protocol, Payload: slices.Clone(g.Payload),
	}) {
		d.tunnel.Drop(dataplane.DropControlQueueFull)
	}
}

// maxControl bounds what a queue of control packets can hold: the longest NHRP packet is a fraction of it.
const maxControl = 8 << 10

func (r *receiver) inner(d *device, t *dataplane.Tunnel, from dataplane.Origin, class uint8, g packet.GRE) {
	p, err := packet.ParseIP(g.Payload)
	if err != nil || p.Is6() != (g.Protocol == packet.EtherIPv6) {
		d.tunnel.Drop(dataplane.DropMalformed)
		return
	}
	if from.SA != 0 && !r.genuine(d.tunnel, from, p) {
		r.wire.plane.tables.DropBy(d.tunnel, from.SA, dataplane.DropWrongPeer)
		return
	}
	if !mergeECN(p, class) {
		d.tunnel.Drop(dataplane.DropECNIllegal)
		return
	}
	if tap := r.wire.plane.tap.Load(); tap != nil {
		(*tap).Inner(In, d.name, from, p.Bytes)
	}
	r.count(d.tunnel, r.peer(d.tunnel, from, p.Is6()), len(p.Bytes))
	if t.MSS {
		p.ClampMSS(packet.MSS(t.MTU, p.Is6()))
	}
	many := from.SA == 0 && joined(p) // nobody joins what is encrypted
	if (t.Redirect || t.FastPath) && r.transit(d, t, from, p, many) {
		return
	}
	if many {
		r.flushDevice()
		r.to = d
		r.merge.load(p)
		return
	}
	r.hairpin = false
	r.deliver(d, p)
}

// mergeECN puts the outer header's congestion mark into the inner one; false when the packet is to be dropped.
func mergeECN(p packet.IP, outer uint8) bool {
	inner := p.Class()
	class, ok := packet.InnerClass(inner, outer)
	if ok && class != inner {
		p.SetClass(class)
	}
	return ok
}

func (r *receiver) peer(i *dataplane.Interface, from dataplane.Origin, is6 bool) *dataplane.Adjacency {
	k, generation := &r.from, r.wire.plane.tables.Generation()
	if k.generation != generation || k.origin != from || k.tunnel != i || k.is6 != is6 {
		*k = knownPeer{generation, from, i, is6, i.From(from, is6)}
	}
	return k.adjacency
}

// genuine reports whether a packet out of an SA may have the source it has.
func (r *receiver) genuine(i *dataplane.Interface, from dataplane.Origin, p packet.IP) bool {
	k, source, generation := &r.src, p.Source(), r.wire.plane.tables.Generation()
	if k.generation != generation || k.source != source || k.sa != from.SA || k.tunnel != i {
		*k = knownSource{generation, source, from.SA, i, i.Genuine(from, source)}
	}
	return k.genuine
}

func (r *receiver) count(i *dataplane.Interface, a *dataplane.Adjacency, n int) {
	if r.run.tunnel != i || r.run.peer != a {
		r.flushRun()
		r.run.tunnel, r.run.peer = i, a
	}
	r.run.packets++
	r.run.bytes += n
}

func (r *receiver) flushRun() {
	if r.run.packets > 0 {
		r.run.tunnel.CountIn(r.run.packets, r.run.bytes)
		if a := r.run.peer; a != nil {
			a.CountIn(r.run.packets, r.run.bytes)
			a.Seen(r.now)
		}
	}
	r.run = run{}
}

func (r *receiver) countSA(in *dataplane.Inbound, n int) {
	if r.runSA.in != in {
		r.flushSA()
		r.runSA.in = in
	}
	r.runSA.packets++
	r.runSA.bytes += n
}

func (r *receiver) flushSA() {
	if in := r.runSA.in; in != nil && in.CountIn(r.runSA.packets, r.runSA.bytes) &&
		!r.wire.plane.post(dataplane.Worn{SA: in.SA, SPI: in.SPI}) {
		in.NotWorn()
	}
	r.runSA = runSA{}
}

// deliver gives a packet to the kernel, merged with its neighbours where they are one stream.
func (r *receiver) deliver(d *device, p packet.IP) {
	if r.landing.where == inMerger {
		r.adopt(d, p)
		return
	}
	if r.to == d && r.merge.add(p) {
		return
	}
	r.flushDevice()
	r.to, r.merge.udp = d, d.tun.uso
	r.merge.add(p)
}

func (r *receiver) flushDevice() {
	if r.to != nil && !r.merge.empty() {
		r.to.write(r.queue, r.merge.take())
	}
	r.to, r.stream = nil, stream{}
}

// transit reports a packet that goes back into its cloud, and sends it there where that is ours to do: what is many
// packets in one the kernel has to cut.
func (r *receiver) transit(d *device, t *dataplane.Tunnel, from dataplane.Origin, p packet.IP, many bool) (sent bool) {
	way := r.back(d, from, p)
	if way == nil {
		return false
	}
	known := r.peer(d.tunnel, from, p.Is6()) != nil // a stranger is told nothing, and takes nothing of the budget
	if t.Redirect && known && r.wire.plane.tables.TransitDue(p.Source(), p.Destination(), r.now) {
		r.wire.plane.post(dataplane.Transit{
			Tunnel: d.name, From: from.Endpoint, SA: from.SA, Packet: slices.Clone(p.Bytes[:min(len(p.Bytes), maxReported)]),
		})
	}
	return t.FastPath && !many && r.forward(d, way, p)
}

const maxReported = 128 // octets of a packet in dataplane.Transit

// knownTransit remembers the last answer of [dataplane.Interface.Transit].
type knownTransit struct {
	tunnel *dataplane.Interface
	from   dataplane.Origin
	knownWay
	back bool
}

// back is the way of a packet back into its cloud, nil when it does not go there.
func (r *receiver) back(d *device, from dataplane.Origin, p packet.IP) *dataplane.Way {
	k, dst, hash, generation := &r.known, p.Destination(), p.FlowHash(), r.wire.plane.tables.Generation()
	if k.generation != generation || k.dst != dst || k.hash != hash || k.tunnel != d.tunnel || k.from != from {
		k.tunnel, k.from, k.generation, k.dst, k.hash = d.tunnel, from, generation, dst, hash
		k.way, k.back = d.tunnel.Transit(from, dst, hash)
	}
	if !k.back {
		return nil
	}
	return &k.way
}

// forward is the fast path: what the kernel would do with a packet between two peers. False leaves it to the kernel,
// which knows more of options and scopes, and drops what claims to come from ourselves.
func (r *receiver) forward(d *device, way *dataplane.Way, p packet.IP) bool {
	out, t := r.wire.plane.device(way.Interface.Name), way.Interface.Config()
	if out == nil || t == nil || !t.FastPath || !routable(p) || d.tunnel.Owns(p.Source()) || out.tunnel.Owns(p.Source()) {
		return false
	}
	w, a := out.wire.Load(), way.Adjacency
	if way.Missed {
		r.wire.plane.missed(out.name, way.NextHop, p)
	}
	sealed, why, ok := r.wire.plane.mayLeave(t, w, a.SA)
	if !ok {
		out.tunnel.Drop(why)
		return true
	}
	e := r.wire.plane.exit(t, a, sealed)
	fit := e.fits(p.Bytes)
	if t.MTU > 0 {
		fit = min(fit, t.MTU)
	}
	switch {
	case p.TTL() <= 1:
		out.tunnel.Drop(dataplane.DropTimeExceeded)
		d.complainBack(packet.TimeExceeded, p, 0)
	case len(p.Bytes) > fit && p.DontFragment():
		out.tunnel.Drop(dataplane.DropTooBig)
		d.complainBack(packet.TooBig, p, fit)
	case len(p.Bytes) > fit:
		return false // the kernel fragments
	default:
		way.Use()
		p.DecrementTTL()
		if t.MSS {
			p.ClampMSS(packet.MSS(t.MTU, p.Is6()))
		}
		r.enqueue(out, w, t, &e, p)
		r.hairpin = true
	}
	return true
}

// routable reports whether the fast path may forward p: no options, and nothing of link scope, RFC 4291 section 2.5.6.
func routable(p packet.IP) bool {
	src := p.Source()
	return !p.HasOptions() && !src.IsLinkLocalUnicast() && !src.IsLoopback() && !src.IsMulticast() && !src.IsUnspecified() &&
		!p.Destination().IsLinkLocalUnicast() && !p.Destination().IsLoopback()
}

func (r *receiver) enqueue(d *device, w *wire, t *dataplane.Tunnel, e *exit, p packet.IP) {
	if r.outWire != w || r.out.full() {
		r.flushWire()
		r.outWire = w
	}
	r.out.put(d, t, e, etherType(p.Bytes), packet.OuterClass(p.Class()), r.room(p, e.out != nil))
}

func (r *receiver) flushWire() {
	w := r.outWire
	r.outWire = nil
	if w != nil && w.acquire() {
		defer w.release()
		r.out.send(w, w.sockets[r.queue%len(w.sockets)])
	}
	r.out.clear()
}
