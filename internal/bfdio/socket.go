package bfdio

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

const (
	batch       = 64
	maxDatagram = 128     // that is looked at: BFD with authentication is shorter
	inBuffer    = 4 << 20 // octets of a socket's queue
	strangers   = 1 << 20 // octets of the queue of what names no session: thousands that begin at once
	mostBatches = 64      // that a turn takes of what names sessions; of the rest it takes one
	class       = 0xc0    // CS6, network control
	priority    = 7       // TC_PRIO_CONTROL
)

// sockets are those of one loop: for each family, two that receive each port (filter.go), and a raw one that sends for all
// sessions, each from a source port of its own (RFC 5881 section 4), which thousands of UDP sockets would do slower.
type sockets struct {
	in   []*receiver
	out4 *sender
	out6 *sender // nil where the host has no IPv6
}

// openSockets makes all that a loop needs.
func openSockets() (*sockets, error) {
	s := &sockets{}
	err := s.open()
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sockets) open() (err error) {
	if s.out4, err = newSender(unix.AF_INET); err != nil {
		return fmt.Errorf("open a raw socket for BFD: %w", err)
	}
	if s.out6, err = newSender(unix.AF_INET6); err != nil && !without(err) {
		return fmt.Errorf("open a raw IPv6 socket for BFD: %w", err)
	}
	if err = s.listen(bfd.SinglePort, false); err != nil {
		return err
	}
	return s.listen(bfd.MultiPort, true)
}

// without tells that the host has no IPv6.
func without(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func (s *sockets) listen(port int, multihop bool) error {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		err := s.group(family, port, multihop)
		switch {
		case family == unix.AF_INET6 && without(err):
			continue
		case errors.Is(err, unix.EADDRINUSE):
			return fmt.Errorf("UDP port %d is taken: another BFD daemon runs on this host; stop it, or have no bfd here", port)
		case err != nil:
			return fmt.Errorf("open UDP port %d for BFD: %w", port, err)
		}
	}
	return nil
}

// group opens the two sockets of a port. One that shares the port with nobody is tried first: sockets that share would
// share with another daemon of ours, too.
func (s *sockets) group(family, port int, multihop bool) error {
	alone, err := bound(family, port)
	if err != nil {
		return err
	}
	unix.Close(alone)
	share := option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, true}
	for index := range forSessions + 1 {
		fd, err := bound(family, port, append(told(family), share)...)
		if err != nil {
			return err
		}
		r := newReceiver(fd, family, multihop, index == forSessions)
		s.in = append(s.in, r)
	}
	return nil
}

// know divides what names sessions, whose discriminators have the prefix, from the rest. On a kernel that cannot the two
// sockets share what comes, which is as good as one.
func (s *sockets) know(prefix uint32) {
	for _, r := range s.in {
		if r.sessions {
			_ = divide(r.fd, divider(r.family, r.multihop, prefix))
		}
	}
}

// failed is how many datagrams could not be sent, and overflown how many came to a queue that was full.
func (s *sockets) failed() (n uint64) {
	for _, o := range []*sender{s.out4, s.out6} {
		if o != nil {
			n += o.failed
		}
	}
	return n
}

func (s *sockets) overflown() (n uint64) {
	for _, r := range s.in {
		n += dropped(r.fd)
	}
	return n
}

func (s *sockets) close() {
	for _, r := range s.in {
		unix.Close(r.fd)
	}
	for _, o := range []*sender{s.out4, s.out6} {
		if o != nil {
			unix.Close(o.fd)
		}
	}
}

// mmsg is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsg struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

type option struct {
	level, name, value int
	must               bool
}

func setOptions(fd int, all ...option) error {
	for _, o := range all {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil && o.must {
			return err
		}
	}
	return nil
}

// receiver is a UDP socket that tells of each datagram the TTL, the interface and the address it came to.
type receiver struct {
	fd       int
	family   int
	multihop bool
	sessions bool // has what names a session
	messages [batch]mmsg
	iovs     [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	controls [batch][128]byte
	buffers  [batch][maxDatagram]byte
}

// bound opens a UDP socket at a port of all addresses.
func bound(family, port int, options ...option) (fd int, err error) {
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP); err != nil {
		return -1, err
	}
	var at unix.Sockaddr = &unix.SockaddrInet4{Port: port}
	if family == unix.AF_INET6 {
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, true})
		at = &unix.SockaddrInet6{Port: port}
	}
	if err = setOptions(fd, options...); err == nil {
		err = unix.Bind(fd, at)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// told are the options by which the kernel tells of a datagram what we want to know.
func told(family int) []option {
	if family == unix.AF_INET6 {
		return []option{{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, true}, {unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1, true}}
	}
	return []option{{unix.IPPROTO_IP, unix.IP_PKTINFO, 1, true}, {unix.IPPROTO_IP, unix.IP_RECVTTL, 1, true}}
}

func newReceiver(fd, family int, multihop, sessions bool) *receiver {
	room := strangers
	if sessions {
		room = inBuffer
	}
	_ = setOptions(fd, option{unix.SOL_SOCKET, unix.SO_RCVBUF, room, false}, option{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room, false})
	r := &receiver{fd: fd, family: family, multihop: multihop, sessions: sessions}
	for i := range r.messages {
		h := &r.messages[i].hdr
		r.iovs[i].Base = &r.buffers[i][0]
		r.iovs[i].SetLen(maxDatagram)
		h.Iov, h.Iovlen = &r.iovs[i], 1
		h.Name, h.Control = (*byte)(unsafe.Pointer(&r.names[i])), &r.controls[i][0]
	}
	return r
}

// drain takes what has arrived, as much as one turn is to have.
func (r *receiver) drain(take func(bfd.Received)) (n int) {
	batches := 1
	if r.sessions {
		batches = mostBatches
	}
	for more := true; more && batches > 0; batches-- {
		var got int
		got, more = r.receive(take)
		n += got
	}
	return n
}

// receive takes up to a batch and reports whether there can be more.
func (r *receiver) receive(take func(bfd.Received)) (n int, more bool) {
	for i := range r.messages {
		r.messages[i].hdr.Namelen = unix.SizeofSockaddrInet6
		r.messages[i].hdr.SetControllen(len(r.controls[i]))
	}
	got, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.messages[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e == unix.EINTR
	}
	for i := range int(got) {
		d := bfd.Received{Multihop: r.multihop, Payload: r.buffers[i][:min(r.messages[i].n, maxDatagram)]}
		d.Peer = addressOf(&r.names[i])
		r.ancillary(i, &d)
		take(d)
	}
	return int(got), got == batch
}

func addressOf(name *unix.RawSockaddrInet6) netip.Addr {
	if name.Family == unix.AF_INET {
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	}
	return netip.AddrFrom16(name.Addr)
}

// ancillary reads what the kernel tells beside a datagram.
func (r *receiver) ancillary(i int, d *bfd.Received) {
	b := r.controls[i][:r.messages[i].hdr.Controllen]
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(b) {
			return
		}
		data := b[unix.CmsgLen(0):n]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			d.Index, d.Local = int(info.Ifindex), netip.AddrFrom4(info.Addr)
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			d.Index, d.Local = int(info.Ifindex), netip.AddrFrom16(info.Addr)
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TTL && len(data) >= 4,
			h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			d.TTL = uint8(*(*int32)(unsafe.Pointer(&data[0])))
		}
		b = b[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(b)):]
	}
}

// sender is a raw socket that takes whole IP packets.
type sender struct {
	fd       int
	n        int
	messages [batch]mmsg
	iovs     [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	controls [batch][64]byte
	buffers  [batch][maxDatagram]byte
	failed   uint64
}

func newSender(family int) (*sender, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	_ = setOptions(fd, option{unix.SOL_SOCKET, unix.SO_PRIORITY, priority, false},
		option{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, inBuffer, false})
	s := &sender{fd: fd}
	for i := range s.messages {
		h := &s.messages[i].hdr
		s.iovs[i].Base = &s.buffers[i][0]
		h.Iov, h.Iovlen = &s.iovs[i], 1
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
	}
	return s, nil
}

// send adds a datagram to the batch, which goes when it is full.
func (s *sender) send(d *bfd.Send) {
	i, p := s.n, d.Spec
	port := uint16(bfd.SinglePort)
	if p.Multihop {
		port = bfd.MultiPort
	}
	header := packet.Header{Source: p.Local, Destination: p.Peer, Class: class, TTL: bfd.TTL}
	b := packet.AppendUDP(s.buffers[i][:0], header, p.Port, port, d.Payload[:])
	s.iovs[i].SetLen(len(b))
	s.address(i, p)
	if s.n++; s.n == batch {
		s.flush()
	}
}

// address says where a datagram goes, and by which interface.
func (s *sender) address(i int, p *bfd.Spec) {
	h := &s.messages[i].hdr
	c := (*unix.Cmsghdr)(unsafe.Pointer(&s.controls[i][0]))
	data := unsafe.Pointer(&s.controls[i][unix.CmsgLen(0)])
	if p.Peer.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&s.names[i])) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: p.Peer.As4()}
		h.Namelen = unix.SizeofSockaddrInet4
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Ifindex: int32(p.Index), Spec_dst: p.Local.As4()}
		s.control(h, c, i, unix.SizeofInet4Pktinfo)
		return
	}
	s.names[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: p.Peer.As16()}
	if p.Peer.IsLinkLocalUnicast() {
		s.names[i].Scope_id = uint32(p.Index)
	}
	h.Namelen = unix.SizeofSockaddrInet6
	c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Ifindex: uint32(p.Index), Addr: p.Local.As16()}
	s.control(h, c, i, unix.SizeofInet6Pktinfo)
}

func (s *sender) control(h *unix.Msghdr, c *unix.Cmsghdr, i, n int) {
	c.SetLen(unix.CmsgLen(n))
	h.Control = &s.controls[i][0]
	h.SetControllen(unix.CmsgSpace(n))
}

// flush sends the batch. A datagram that cannot go does not keep the others.
func (s *sender) flush() {
	for at := 0; at < s.n; {
		n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[at])), uintptr(s.n-at), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == unix.EINTR:
		case e != 0:
			s.failed++
			at++
		default:
			at += int(n)
		}
	}
	s.n = 0
}
