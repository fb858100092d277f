package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes. The kernel puts at most 32 KiB into one datagram of a dump; every acknowledgement takes some 800 octets of
// the receive buffer, and a burst of routes written by a routing daemon must fit into the subscription's.
const (
	datagram  = 64 << 10
	ackBuffer = 4 << 20
	subBuffer = 16 << 20
)

// timeout bounds the wait for an answer of the kernel, which normally takes microseconds.
const timeout = 5 * time.Second

// conn is a NETLINK_ROUTE socket. It belongs to one goroutine; close may be called by another.
type conn struct {
	file   *os.File
	raw    syscall.RawConn
	seq    uint32
	buf    []byte
	closed atomic.Bool
}

// message is one netlink message.
type message struct {
	kind  uint16
	flags uint16
	seq   uint32
	body  []byte
}

var errOverrun = errors.New("netlink messages were lost")

// dial opens a socket in the calling thread's network namespace.
func dial(buffer int, groups ...uint32) (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) // less will do, see errOverrun
	}
	for _, option := range []int{
		unix.NETLINK_EXT_ACK,        // makes errors clearer
		unix.NETLINK_CAP_ACK,        // answers do not repeat the request
		unix.NETLINK_GET_STRICT_CHK, // a dump is of what its header says
	} {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1) // old kernels can do without
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, g := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g))
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up netlink socket: %w", err)
	}
	c := &conn{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, datagram)}
	c.raw, err = c.file.SyscallConn()
	return c, err
}

func (c *conn) close() {
	c.closed.Store(true)
	c.file.Close()
}

// port is the address of the socket: what the kernel tells of our own requests carries it.
func (c *conn) port() (port uint32, err error) {
	cerr := c.raw.Control(func(fd uintptr) {
		var a unix.Sockaddr
		if a, err = unix.Getsockname(int(fd)); err == nil {
			port = a.(*unix.SockaddrNetlink).Pid
		}
	})
	return port, errors.Join(cerr, err)
}

// deafTo makes the socket not receive what the kernel tells of routes and nexthop objects that another of ours asked for: who
// asked knows already, and hearing it takes as long as writing it. The program reads in network byte order, whatever the host's.
func (c *conn) deafTo(port uint32) (err error) {
	const (
		kindAt, portAt = 4, 12 // in struct nlmsghdr
		all            = 1<<32 - 1
	)
	swap32 := func(v uint32) uint32 { return binary.BigEndian.Uint32(native.AppendUint32(nil, v)) }
	swap16 := func(v uint16) uint32 { return uint32(binary.BigEndian.Uint16(native.AppendUint16(nil, v))) }
	equal := func(k uint32, then, otherwise uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: then, Jf: otherwise}
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: portAt},
		equal(swap32(port), 0, 5),
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: kindAt},
		equal(swap16(unix.RTM_NEWROUTE), 4, 0),
		equal(swap16(unix.RTM_DELROUTE), 3, 0),
		equal(swap16(unix.RTM_NEWNEXTHOP), 2, 0),
		equal(swap16(unix.RTM_DELNEXTHOP), 1, 0),
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	cerr := c.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	return errors.Join(cerr, err)
}

// receive reads one datagram. With wait unset it returns nothing when none is there.
func (c *conn) receive(wait bool) (b []byte, err error) {
	var n int
	rerr := c.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), c.buf, unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR || !wait
	})
	switch {
	case c.closed.Load():
		return nil, os.ErrClosed
	case rerr != nil:
		return nil, rerr
	case err == unix.EAGAIN, err == unix.EINTR:
		return nil, nil
	case err == unix.ENOBUFS:
		return nil, errOverrun
	}
	return c.buf[:max(n, 0)], err
}

func (c *conn) send(b []byte) (err error) {
	werr := c.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return err != unix.EAGAIN && err != unix.EINTR
	})
	return errors.Join(werr, err)
}

// split takes the first message off b; ok is false at the end, or when what is left is no message.
func split(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < unix.NLMSG_HDRLEN {
		return m, nil, false
	}
	n := int(native.Uint32(b))
	if n < unix.NLMSG_HDRLEN || n > len(b) {
		return m, nil, false
	}
	m = message{native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:n]}
	return m, b[min(align(n), len(b)):], true
}

var native = binary.NativeEndian

func align(n int) int { return (n + 3) &^ 3 }

// batch is requests that are sent together.
type batch struct {
	b     []byte
	first uint32
	n     int
	last  int // where the last of them begins
}

func (t *batch) reset() { *t = batch{b: t.b[:0]} }

// request appends one message; body appends its content.
func (c *conn) request(t *batch, kind, flags uint16, body func([]byte) []byte) {
	c.seq++
	if t.n == 0 {
		t.first = c.seq
	}
	t.n++
	at := len(t.b)
	t.last = at
	t.b = append(t.b, make([]byte, unix.NLMSG_HDRLEN)...)
	t.b = body(t.b)
	h := t.b[at:]
	native.PutUint32(h, uint32(len(h)))
	native.PutUint16(h[4:], kind)
	native.PutUint16(h[6:], flags|unix.NLM_F_REQUEST)
	native.PutUint32(h[8:], c.seq)
	t.b = append(t.b, make([]byte, align(len(t.b))-len(t.b))...)
}

// exchange sends a batch and returns one error per request, in order. The kernel does them in this order and answers those
// that fail; only the last asks for an answer in any case, which tells that the others are done.
func (c *conn) exchange(t *batch) []error {
	errs := make([]error, t.n)
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	if t.n == 0 {
		return nil
	}
	flags := t.b[t.last+6:]
	native.PutUint16(flags, native.Uint16(flags)|unix.NLM_F_ACK)
	if err := c.send(t.b); err != nil {
		return fail(err)
	}
	_ = c.file.SetReadDeadline(time.Now().Add(timeout))
	for done := false; !done; {
		b, err := c.receive(true)
		if err != nil {
			return fail(fmt.Errorf("wait for the kernel's answer: %w", err))
		}
		for m, rest, ok := split(b); ok; m, rest, ok = split(rest) {
			if i := m.seq - t.first; m.kind == unix.NLMSG_ERROR && i < uint32(t.n) {
				errs[i] = ackError(m)
				done = done || int(i) == t.n-1
			}
		}
	}
	return errs
}

// do is exchange for one request.
func (c *conn) do(kind, flags uint16, body func([]byte) []byte) error {
	var t batch
	c.request(&t, kind, flags, body)
	return c.exchange(&t)[0]
}

// kernelError is an error number with the kernel's own words for it, where it has some.
type kernelError struct {
	errno unix.Errno
	text  string
}

func (e kernelError) Error() string {
	if e.text != "" {
		return fmt.Sprintf("%s (%s)", e.errno.Error(), e.text)
	}
	return e.errno.Error()
}

func (e kernelError) Unwrap() error { return e.errno }

// nlmsgerrAttrMsg is NLMSGERR_ATTR_MSG of linux/netlink.h.
const nlmsgerrAttrMsg = 1

// ackError reads an NLMSG_ERROR: error number, the request's header (and body unless capped), attributes.
func ackError(m message) error {
	if len(m.body) < 4 {
		return errors.New("the kernel's answer is too short")
	}
	errno := -int32(native.Uint32(m.body))
	if errno == 0 {
		return nil
	}
	e := kernelError{errno: unix.Errno(errno)}
	at := 4 + unix.NLMSG_HDRLEN
	if m.flags&unix.NLM_F_CAPPED == 0 && len(m.body) >= 8 {
		at = 4 + align(int(native.Uint32(m.body[4:])))
	}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 && at >= 0 && at <= len(m.body) {
		for kind, v := range attributes(m.body[at:]) {
			if kind == nlmsgerrAttrMsg {
				e.text = text(v)
			}
		}
	}
	return e
}

// dump reads a whole table of the kernel; head is what the kind has for a header. It begins again, with begin, when the kernel
// says that the table changed meanwhile in such a way that entries may be missing. On a table that never rests it takes what it
// has: the subscription tells the rest. What each is given is good until it returns.
func (c *conn) dump(kind uint16, head []byte, begin func(), each func(message)) error {
	const tries = 5
	for range tries {
		begin()
		if whole, err := c.dumpOnce(kind, head, each); whole || err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) dumpOnce(kind uint16, head []byte, each func(message)) (whole bool, err error) {
	var t batch
	c.request(&t, kind, unix.NLM_F_DUMP, func(b []byte) []byte { return append(b, head...) })
	if err := c.send(t.b); err != nil {
		return false, err
	}
	_ = c.file.SetReadDeadline(time.Now().Add(timeout))
	whole = true
	for {
		b, err := c.receive(true)
		if err != nil {
			return false, err
		}
		for m, rest, ok := split(b); ok; m, rest, ok = split(rest) {
			if m.seq != t.first {
				continue
			}
			whole = whole && m.flags&unix.NLM_F_DUMP_INTR == 0
			switch m.kind {
			case unix.NLMSG_DONE:
				return whole, dumpError(m)
			case unix.NLMSG_ERROR:
				if err := ackError(m); err != nil {
					return false, err
				}
			default:
				each(m)
			}
		}
	}
}

// dumpError is the error that a dump ended with.
func dumpError(m message) error {
	if len(m.body) < 4 {
		return nil
	}
	if n := int32(native.Uint32(m.body)); n < 0 {
		return kernelError{errno: unix.Errno(-n)}
	}
	return nil
}
