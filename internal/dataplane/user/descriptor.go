package user

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a non-blocking file descriptor that is waited for in the runtime's poller, without a thread and without one of
// the runtime's processors. Who waits in poll(2) keeps a processor until the runtime takes it away; on a small host they all
// are kept so, and what has come in on another descriptor waits, although it has a thread that runs.
//
// The runtime's poller looks at another epoll, which looks at the descriptor: by itself it would also wake, each time in
// vain, when a packet that was sent leaves the socket's buffer.
type descriptor struct {
	fd   int
	file *os.File // the epoll that has fd, ready when fd can be read
	conn syscall.RawConn
}

// watch makes a descriptor of fd, which must be bound or attached already. It owns fd, and closes it when it fails.
func watch(fd int) (*descriptor, error) {
	d := &descriptor{fd: fd}
	if err := d.open(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *descriptor) open() error {
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(e, true)
		d.file = os.NewFile(uintptr(e), "epoll")
	}
	if err == nil {
		err = unix.EpollCtl(e, unix.EPOLL_CTL_ADD, d.fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err != nil {
		return os.NewSyscallError("epoll", err)
	}
	if d.conn, err = d.file.SyscallConn(); err != nil {
		return err
	}
	return d.file.SetReadDeadline(time.Time{}) // says whether the poller has it
}

// over is long ago: what has it as its deadline does not wait any more.
var over = time.Unix(1, 0)

// end wakes whoever reads, for good.
func (d *descriptor) end() { _ = d.file.SetReadDeadline(over) }

func (d *descriptor) close() {
	_ = d.file.Close()
	_ = unix.Close(d.fd)
}

// awaitRoom waits until the descriptor can be written to; false when it cannot for as long as that.
func (d *descriptor) awaitRoom(patience time.Duration) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
	return n > 0 || err == unix.EINTR
}

// reader reads a descriptor for one goroutine.
type reader struct {
	*descriptor
	last    unix.Errno
	woken   bool
	attempt func(uintptr) bool
}

// reader makes a reader of what read reads; read must not block, and says EAGAIN when there is nothing.
func (d *descriptor) reader(read func() unix.Errno) *reader {
	r := &reader{descriptor: d}
	r.attempt = func(uintptr) bool {
		r.last = read()
		if r.last == unix.EAGAIN && r.woken {
			forgetErrors(d.fd)
		}
		r.woken = true
		return r.last != unix.EAGAIN
	}
	return r
}

// next reads, and waits before that as long as there is nothing. It says what read said; false: the descriptor has ended.
func (r *reader) next() (unix.Errno, bool) {
	r.woken = false
	err := r.conn.Read(r.attempt)
	return r.last, err == nil
}
