package user

import (
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsg is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsg struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// The calls below never block, and the runtime is not told of them: it takes the processor from a thread that the kernel has
// interrupted in a call that it knows of, and to get another costs a thread more than the call itself.

// sendmmsg sends messages from the first on and gives how many went, or why not even the first did.
func sendmmsg(fd int, m []mmsg) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 0, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func recvmmsg(fd int, m []mmsg) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
			unix.MSG_DONTWAIT, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func read(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func write(fd int, b []byte) unix.Errno {
	for {
		_, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e != unix.EINTR {
			return e
		}
	}
}

// forgetErrors empties a socket's error queue: the kernel has drawn its conclusions, and a poll would not sleep.
func forgetErrors(fd int) {
	var b [1]byte
	for {
		if _, _, _, _, err := unix.Recvmsg(fd, b[:], nil, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

// shared holds descriptors open while somebody uses them. Its owner counts as one user.
type shared struct {
	users atomic.Int64
	close func()
}

func (s *shared) open(close func()) {
	s.close = close
	s.users.Store(1)
}

// acquire reports whether the descriptors are open; they stay so until release.
func (s *shared) acquire() bool {
	for {
		n := s.users.Load()
		if n == 0 {
			return false
		}
		if s.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (s *shared) release() {
	if s.users.Add(-1) == 0 {
		s.close()
	}
}

// sockaddr is a struct sockaddr_in or sockaddr_in6.
type sockaddr [unix.SizeofSockaddrInet6]byte

func (s *sockaddr) put(to netip.AddrPort) (length uint32) {
	a := to.Addr()
	if a.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(s)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.As4(), Port: swap(to.Port())}
		return unix.SizeofSockaddrInet4
	}
	*(*unix.RawSockaddrInet6)(unsafe.Pointer(s)) = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.As16(), Port: swap(to.Port())}
	return unix.SizeofSockaddrInet6
}

func (s *sockaddr) get() netip.AddrPort {
	in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(s))
	if in4.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), swap(in4.Port))
	}
	in6 := (*unix.RawSockaddrInet6)(unsafe.Pointer(s))
	return netip.AddrPortFrom(netip.AddrFrom16(in6.Addr), swap(in6.Port))
}

// swap turns a port between the host's byte order and the network's.
func swap(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// control builds the ancillary data of one message.
type control struct {
	b [controlSize]byte
	n int
}

const controlSize = 128

func (c *control) putInt(level, kind int32, v int32) {
	*(*int32)(c.next(level, kind, 4)) = v
}

func (c *control) putUint16(level, kind int32, v uint16) {
	*(*uint16)(c.next(level, kind, 2)) = v
}

func (c *control) next(level, kind int32, n int) unsafe.Pointer {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.b[c.n]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(n))
	data := unsafe.Pointer(&c.b[c.n+unix.CmsgLen(0)])
	c.n += unix.CmsgSpace(n)
	return data
}
