package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// firstFile is the first descriptor that a forwarder is given: two per link, the node's TAP device and the network's.
const firstFile = 3

// forwardSpec is what a forwarder is told on its standard input.
type forwardSpec struct {
	Links []scenario.Link
	Seed  uint64
}

// Forward is the body of the forwarder process: it reads its links from in and carries their frames until it is
// killed, or a device is gone. It is started by a lab alone, with open TAP devices.
func Forward(in io.Reader) error {
	var spec forwardSpec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("read the links to forward: %w", err)
	}
	ended := make(chan error)
	for i, l := range spec.Links {
		w := newWire(l, spec.Seed+uint64(2*i), [2]int{firstFile + 2*i, firstFile + 2*i + 1})
		go func() { ended <- w.run() }()
	}
	if len(spec.Links) == 0 {
		return nil
	}
	return <-ended
}

// wire carries frames between two devices.
type wire struct {
	ends  [2]int   // descriptors
	lines [2]*line // lines[i] holds what came in at ends[i]
	start time.Time
	buf   []byte
}

func newWire(l scenario.Link, seed uint64, ends [2]int) *wire {
	return &wire{
		ends: ends, lines: [2]*line{newLine(l, seed), newLine(l, seed+1)},
		start: time.Now(), buf: make([]byte, 1<<16+64),
	}
}

// run has a thread of its own: a ppoll with a timeout is exact to some ten microseconds, a timer of the Go
// runtime only to a millisecond.
func (w *wire) run() error {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // of this thread: a wire does not wait for a processor
	for _, fd := range w.ends {
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	for {
		fds := []unix.PollFd{{Fd: int32(w.ends[0]), Events: unix.POLLIN}, {Fd: int32(w.ends[1]), Events: unix.POLLIN}}
		if _, err := unix.Ppoll(fds, w.timeout(), nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for frames: %w", err)
		}
		for i := range fds {
			if err := w.receive(i, fds[i].Revents); err != nil {
				return err
			}
		}
		w.lines[0].deliver(time.Since(w.start), func(b []byte) { unix.Write(w.ends[1], b) })
		w.lines[1].deliver(time.Since(w.start), func(b []byte) { unix.Write(w.ends[0], b) })
	}
}

// timeout is how long until a frame is due; nil when none waits.
func (w *wire) timeout() *unix.Timespec {
	var first time.Duration
	waiting := false
	for _, l := range w.lines {
		if due, ok := l.next(); ok && (!waiting || due < first) {
			first, waiting = due, true
		}
	}
	if !waiting {
		return nil
	}
	t := unix.NsecToTimespec(int64(max(0, first-time.Since(w.start))))
	return &t
}

// receive takes what has come in at one end, a burst at most, so that the other end gets its turn.
func (w *wire) receive(end int, events int16) error {
	if events&unix.POLLIN == 0 {
		if events != 0 {
			return fmt.Errorf("a device is gone (poll says %#x)", events)
		}
		return nil
	}
	for range 64 {
		n, err := unix.Read(w.ends[end], w.buf)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return nil
		case err != nil:
			return fmt.Errorf("read a frame: %w", err)
		}
		w.lines[end].accept(time.Since(w.start), w.buf[:n])
	}
	return nil
}
