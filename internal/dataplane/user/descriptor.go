package user

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a non-blocking file descriptor. Who waits for it does so in the runtime's poller, without a thread and without
// one of the runtime's processors. Who waits in poll(2) keeps a processor until the runtime takes it away; on a small host they
// all are kept so, and what has come in on another descriptor waits, although it has a thread that runs.
type descriptor struct {
	fd       int
	file     *os.File // owns fd
	conn     syscall.RawConn
	writable func(uintptr) bool
}

// watch has the poller watch fd, which must be bound or attached already, and be closed by nobody else. It closes fd when it fails.
func watch(fd int, name string) (*descriptor, error) {
	file := os.NewFile(uintptr(fd), name)
	conn, err := file.SyscallConn()
	if err == nil {
		err = file.SetDeadline(time.Time{}) // says whether the poller has it
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &descriptor{fd, file, conn, func(fd uintptr) bool { return poll(fd, unix.POLLOUT) != 0 }}, nil
}

// over is long ago: what has it as its deadline does not wait any more.
var over = time.Unix(1, 0)

// end wakes whoever reads, for good.
func (d *descriptor) end() { _ = d.file.SetReadDeadline(over) }

func (d *descriptor) close() { _ = d.file.Close() }

// awaitRoom waits until the descriptor can be written to; false when it cannot for as long as that.
func (d *descriptor) awaitRoom(patience time.Duration) bool {
	_ = d.file.SetWriteDeadline(time.Now().Add(patience))
	return d.conn.Write(d.writable) == nil
}

// reader reads a descriptor for one goroutine.
type reader struct {
	*descriptor
	last    unix.Errno
	attempt func(uintptr) bool
}

// reader makes a reader of what read reads; read must not block, and says EAGAIN when there is nothing.
func (d *descriptor) reader(read func() unix.Errno) *reader {
	r := &reader{descriptor: d}
	r.attempt = func(fd uintptr) bool {
		r.last = read()
		if r.last == unix.EAGAIN && poll(fd, 0)&unix.POLLERR != 0 {
			forgetErrors(int(fd))
		}
		return r.last != unix.EAGAIN
	}
	return r
}

// next reads, and waits before that as long as there is nothing. It says what read said; false: the descriptor has ended.
func (r *reader) next() (unix.Errno, bool) {
	for {
		err := r.conn.Read(r.attempt)
		switch {
		case err == nil:
			return r.last, true
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
			return 0, false
		}
		// After an event that is an error alone the poller does not wait before another event has come.
		if r.attempt(uintptr(r.fd)) {
			return r.last, true
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, errorPause)
	}
}

const errorPause = 100 // ms
