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
	f := forwarder{start: time.Now(), buf: make([]byte, 1<<16+64)}
	for i, l := range spec.Links {
		f.join(l, spec.Seed+uint64(2*i), firstFile+2*i, firstFile+2*i+1)
	}
	return f.run()
}

// forwarder carries frames between the two devices of each link. One thread does all of it: when there is much to do it finds
// more whenever it looks, and waits less often, where a thread for each link would be woken for each frame.
type forwarder struct {
	ends  []unix.PollFd // of link i: 2i and 2i+1
	lines []*line       // lines[i] holds what came in at ends[i] and leaves by the other end
	start time.Time
	buf   []byte
}

func (f *forwarder) join(l scenario.Link, seed uint64, node, network int) {
	f.ends = append(f.ends, unix.PollFd{Fd: int32(node), Events: unix.POLLIN}, unix.PollFd{Fd: int32(network), Events: unix.POLLIN})
	f.lines = append(f.lines, newLine(l, seed), newLine(l, seed+1))
}

// run has the thread for itself: a ppoll with a timeout is exact to some ten microseconds, a timer of the Go runtime only to a
// millisecond.
func (f *forwarder) run() error {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	unix.Setpriority(unix.PRIO_PROCESS, 0, -20) // of this thread: a wire does not wait for a processor
	for i := range f.ends {
		if err := unix.SetNonblock(int(f.ends[i].Fd), true); err != nil {
			return err
		}
	}
	for len(f.ends) > 0 {
		if _, err := unix.Ppoll(f.ends, f.timeout(), nil); err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for frames: %w", err)
		}
		for i := range f.ends {
			if err := f.receive(i); err != nil {
				return err
			}
		}
		for i, l := range f.lines {
			l.deliver(time.Since(f.start), func(b []byte) { unix.Write(int(f.ends[i^1].Fd), b) })
		}
	}
	return nil
}

// timeout is how long until a frame is due; nil when none waits.
func (f *forwarder) timeout() *unix.Timespec {
	var first time.Duration
	waiting := false
	for _, l := range f.lines {
		if due, ok := l.next(); ok && (!waiting || due < first) {
			first, waiting = due, true
		}
	}
	if !waiting {
		return nil
	}
	t := unix.NsecToTimespec(int64(max(0, first-time.Since(f.start))))
	return &t
}

// receive takes what has come in at one end, a burst at most, so that the other end gets its turn.
func (f *forwarder) receive(end int) error {
	events := f.ends[end].Revents
	if events&unix.POLLIN == 0 {
		if events != 0 {
			return fmt.Errorf("a device is gone (poll says %#x)", events)
		}
		return nil
	}
	for range 64 {
		n, err := unix.Read(int(f.ends[end].Fd), f.buf)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return nil
		case err != nil:
			return fmt.Errorf("read a frame: %w", err)
		}
		f.lines[end].accept(time.Since(f.start), f.buf[:n])
	}
	return nil
}
