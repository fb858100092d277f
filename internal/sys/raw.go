package sys

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
)

// Limits of what waits between the sockets and the loop. Beyond them packets are dropped, as a full socket would.
const (
	maxWaiting = 16 << 20 // octets received that the loop has not had yet, of all sockets
	maxOfOne   = 4 << 20  // of one socket: who floods one network does not silence the others
	leastTaken = 512      // octets that a packet counts for at least, since small ones cost as much work
	maxUnsent  = 8192     // packets for the worker
	rawBuffer  = 4 << 20  // octets, of each socket in the kernel, each way: a burst of updates
	rawBatch   = 64       // packets taken from a socket before they are handed over
)

// quiet is how long the same trouble is not told of again.
const quiet = time.Minute

// raws are the raw sockets of protocols that modules speak themselves: one for each interface, protocol and family that
// is listened to. Its methods belong to the worker, but for reading, which each socket has a goroutine for.
type raws struct {
	index  func(name string) int // of an interface; 0 when there is none
	offer  func(module string, ev core.Event, taken func()) bool
	log    logger
	open   map[rawKey]*raw
	space  atomic.Int64 // octets that wait for the loop
	behind atomic.Int64 // when it was last told that the loop is behind, Unix nanoseconds
	silent map[string]time.Time
}

// rawKey is what there is one socket of.
type rawKey struct {
	on       string
	protocol uint8
	ipv6     bool
}

// raw is one of them. Without a file it waits for its interface.
type raw struct {
	listen core.Listen
	index  int // of the interface when the socket was made: another interface of the name is another
	file   *os.File
	conn   syscall.RawConn
}

func newRaws(index func(string) int, offer func(string, core.Event, func()) bool, log logger) *raws {
	return &raws{index: index, offer: offer, log: log, open: map[rawKey]*raw{}, silent: map[string]time.Time{}}
}

// serve does what waits, in order.
func (r *raws) serve(effects []core.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case core.Listen:
			r.listen(e)
		case core.SendIP:
			r.send(e)
		case device:
			r.changed(e.name)
		}
	}
}

// listen makes a socket be as the effect says, or ends it.
func (r *raws) listen(e core.Listen) {
	k := rawKey{e.Interface, e.Protocol, e.IPv6}
	s := r.open[k]
	if len(e.Groups) == 0 {
		if s != nil {
			s.close()
			delete(r.open, k)
		}
		return
	}
	e.Groups = slices.Clone(e.Groups)
	if s == nil {
		s = &raw{}
		r.open[k] = s
	}
	if s.listen.Module != e.Module {
		s.close() // its reader posts to the module it began with
	}
	old := s.listen.Groups
	s.listen = e
	for _, g := range old {
		if s.file != nil && !slices.Contains(e.Groups, g) {
			_ = s.membership(g, false)
		}
	}
	r.attach(s)
}

// changed looks at an interface again: it came, or came again under another index, or has IPv6 only now.
func (r *raws) changed(name string) {
	for k, s := range r.open {
		if k.on == name {
			r.attach(s)
		}
	}
}

// attach makes the socket where there is none for the interface as it is, and joins the groups.
func (r *raws) attach(s *raw) {
	index := r.index(s.listen.Interface)
	if index == 0 || index != s.index {
		s.close()
	}
	if index == 0 {
		return // until it comes
	}
	if s.file == nil {
		if err := s.make(index); err != nil {
			r.complain("listen", s.listen.Interface, err)
			return
		}
		go r.read(s.conn, s.listen)
	}
	for _, g := range s.listen.Groups {
		err := s.membership(g, true)
		if err != nil && !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.ENODEV) { // joined already; gone meanwhile
			r.complain("join "+g.String(), s.listen.Interface, err)
		}
	}
}

// make opens a socket that hears and sends on one interface only.
func (s *raw) make(index int) error {
	family := unix.AF_INET
	if s.listen.IPv6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(s.listen.Protocol))
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	if err := setRaw(fd, index, s.listen); err != nil {
		_ = unix.Close(fd)
		return err
	}
	s.file, s.index = os.NewFile(uintptr(fd), "raw"), index
	s.conn, err = s.file.SyscallConn()
	if err != nil {
		s.close()
	}
	return err
}

// setRaw sets the options of a socket. What others joined is not for it, and it does not hear itself.
func setRaw(fd, index int, l core.Listen) error {
	if err := unix.BindToDevice(fd, l.Interface); err != nil {
		return fmt.Errorf("bind to the interface: %w", err)
	}
	for _, o := range []struct{ force, ask int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, rawBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.ask, rawBuffer)
		}
	}
	level, options := unix.IPPROTO_IP, []struct{ name, value int }{
		{unix.IP_MULTICAST_ALL, 0}, {unix.IP_MULTICAST_LOOP, 0}, {unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
	}
	if l.IPv6 {
		level, options = unix.IPPROTO_IPV6, []struct{ name, value int }{
			{unix.IPV6_MULTICAST_ALL, 0}, {unix.IPV6_MULTICAST_LOOP, 0}, {unix.IPV6_MULTICAST_IF, index},
			{unix.IPV6_RECVPKTINFO, 1}, {unix.IPV6_RECVHOPLIMIT, 1},
		}
	} else if err := unix.SetsockoptIPMreqn(fd, level, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}); err != nil {
		return fmt.Errorf("send multicast by the interface: %w", err)
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, level, o.name, o.value); err != nil && !errors.Is(err, unix.ENOPROTOOPT) { // an older kernel
			return fmt.Errorf("socket option %d: %w", o.name, err)
		}
	}
	return nil
}

// membership joins a group on the interface, or leaves it.
func (s *raw) membership(group netip.Addr, join bool) error {
	var err error
	call := s.conn.Control(func(fd uintptr) {
		if group.Is4() {
			option := unix.IP_DROP_MEMBERSHIP
			if join {
				option = unix.IP_ADD_MEMBERSHIP
			}
			err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, option, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(s.index)})
			return
		}
		option := unix.IPV6_LEAVE_GROUP
		if join {
			option = unix.IPV6_JOIN_GROUP
		}
		err = unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, option, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(s.index)})
	})
	return errors.Join(call, err)
}

func (s *raw) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	s.file, s.conn, s.index = nil, nil, 0
}

func (r *raws) close() {
	for _, s := range r.open {
		s.close()
	}
}

// send sends a packet now or never: the protocols that do this repeat what is lost.
func (r *raws) send(e core.SendIP) {
	s := r.open[rawKey{e.Interface, e.Protocol, e.Destination.Is6()}]
	if s == nil || s.file == nil {
		return // there is no such interface, or not any more
	}
	flags, oob, to := s.envelope(e)
	var err error
	call := s.conn.Control(func(fd uintptr) {
		err = unix.Sendmsg(int(fd), e.Payload, oob, to, flags|unix.MSG_DONTWAIT)
	})
	if err = errors.Join(call, err); err != nil && !errors.Is(err, os.ErrClosed) {
		r.complain("send", e.Interface, err)
	}
}

// envelope is the destination and, as control messages, source, TTL and class. IPv4 goes to neighbours only and takes no
// gateway, whatever more specific route there is.
func (s *raw) envelope(e core.SendIP) (flags int, oob []byte, to unix.Sockaddr) {
	if e.Destination.Is4() {
		oob = unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(s.index), Spec_dst: e.Source.As4()})
		oob = appendControl(oob, unix.IPPROTO_IP, unix.IP_TTL, uint32(e.TTL))
		oob = appendControl(oob, unix.IPPROTO_IP, unix.IP_TOS, uint32(e.TOS))
		return unix.MSG_DONTROUTE, oob, &unix.SockaddrInet4{Addr: e.Destination.As4()}
	}
	oob = unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(s.index), Addr: e.Source.As16()})
	oob = appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, uint32(e.TTL))
	oob = appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, uint32(e.TOS))
	return 0, oob, &unix.SockaddrInet6{Addr: e.Destination.As16(), ZoneId: uint32(s.index)}
}

// appendControl appends a control message with one word, as cmsg(3) lays it out.
func appendControl(b []byte, level, kind int, v uint32) []byte {
	at := len(b)
	b = append(b, make([]byte, unix.CmsgSpace(4))...)
	if unix.CmsgLen(0) == 16 {
		native.PutUint64(b[at:], uint64(unix.CmsgLen(4)))
	} else {
		native.PutUint32(b[at:], uint32(unix.CmsgLen(4)))
	}
	native.PutUint32(b[at+unix.CmsgLen(0)-8:], uint32(level))
	native.PutUint32(b[at+unix.CmsgLen(0)-4:], uint32(kind))
	native.PutUint32(b[at+unix.CmsgLen(0):], v)
	return b
}

// read hands packets over until the socket is closed.
func (r *raws) read(conn syscall.RawConn, l core.Listen) {
	buffer, oob := make([]byte, 1<<16), make([]byte, 256)
	var batch []core.ReceivedIP
	var waiting atomic.Int64
	for {
		batch = batch[:0]
		var err error
		closed := conn.Read(func(fd uintptr) bool {
			batch, err = receiveRaw(int(fd), l, buffer, oob, batch)
			return len(batch) > 0 || err != nil
		})
		for _, p := range batch {
			r.hand(l.Module, p, &waiting)
		}
		if closed != nil {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // ENETDOWN, once, when the interface goes down; nothing else is known, and none may spin
		}
	}
}

// hand gives a packet to the loop, unless too much waits for it, of this socket or of all.
func (r *raws) hand(module string, p core.ReceivedIP, waiting *atomic.Int64) {
	n := int64(max(len(p.Payload), leastTaken))
	taken := func() {
		r.space.Add(-n)
		waiting.Add(-n)
	}
	one, all := waiting.Add(n), r.space.Add(n)
	if one > maxOfOne || all > maxWaiting || !r.offer(module, p, taken) {
		taken()
		r.dropped(p.Interface)
	}
}

// dropped tells of packets that the loop did not take in time, once in a while. Readers call it, side by side.
func (r *raws) dropped(on string) {
	now, last := time.Now().UnixNano(), r.behind.Load()
	if now-last >= int64(quiet) && r.behind.CompareAndSwap(last, now) {
		r.log.Warn("sys.raw-socket", "doing", "receive", "interface", on, "cause", "the router is behind with its work: packets are dropped")
	}
}

// receiveRaw takes what waits in a socket, up to a batch.
func receiveRaw(fd int, l core.Listen, buffer, oob []byte, batch []core.ReceivedIP) ([]core.ReceivedIP, error) {
	for len(batch) < rawBatch {
		n, oobn, _, from, err := unix.Recvmsg(fd, buffer, oob, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return batch, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return batch, err
		}
		p, ok := parseRaw4(buffer[:n])
		if l.IPv6 {
			p, ok = parseRaw6(buffer[:n], oob[:oobn], from)
		}
		if ok {
			p.Interface, p.Protocol, p.Payload = l.Interface, l.Protocol, slices.Clone(p.Payload)
			batch = append(batch, p)
		}
	}
	return batch, nil
}

// parseRaw4 reads a packet as IPv4 sockets give it, with its header.
func parseRaw4(b []byte) (p core.ReceivedIP, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return p, false
	}
	header, total := int(b[0]&15)*4, int(b[2])<<8|int(b[3])
	if header < 20 || total < header || total > len(b) {
		return p, false
	}
	p.Source, p.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.TTL, p.Payload = b[8], b[header:total]
	return p, true
}

// parseRaw6 reads a packet as IPv6 sockets give it: without a header, but with what was asked for of it.
func parseRaw6(b, oob []byte, from unix.Sockaddr) (p core.ReceivedIP, ok bool) {
	source, ok := from.(*unix.SockaddrInet6)
	if !ok {
		return p, false
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return p, false
	}
	p.Source, p.Payload = netip.AddrFrom16(source.Addr), b
	for _, m := range messages {
		switch {
		case m.Header.Level != unix.IPPROTO_IPV6:
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			p.Destination = netip.AddrFrom16([16]byte(m.Data[:16]))
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.TTL = uint8(native.Uint32(m.Data))
		}
	}
	return p, p.Destination.IsValid()
}

// complain tells of a trouble, and then not again for a while.
func (r *raws) complain(doing, on string, err error) {
	key := doing + " " + on
	if now := time.Now(); now.Sub(r.silent[key]) >= quiet {
		r.silent[key] = now
		r.log.Warn("sys.raw-socket", "doing", doing, "interface", on, "cause", err)
	}
}
