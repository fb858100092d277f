package bfdio

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// Options are those of a [Runner].
type Options struct {
	// Post takes what is for the BFD module. It is called from several goroutines and must not block.
	Post func(ev any)
	// Worker is the command that executes [Keep]; nil: the loop is a thread of this process.
	Worker []string
	Log    *slog.Logger
}

// Runner is the router's side of a loop.
type Runner struct {
	opts Options

	mu      sync.Mutex
	control *os.File // our end of the socket pair; nil before the first session
	ready   bool     // a loop obeys
	closed  bool
	waiting []byte        // frames to be written
	wake    chan struct{} // something waits, or closed
	ended   chan struct{} // closed when the loop is gone
}

const (
	retry    = time.Second            // until a loop that could not begin is tried again
	farewell = 200 * time.Millisecond // for the last packets
	queued   = 64 << 20               // octets of frames for a loop that does not read
)

// Open makes a runner. A worker process begins at once, since a router that is confined cannot start one; a thread begins
// with the first session.
func Open(o Options) *Runner {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	r := &Runner{opts: o}
	if o.Worker == nil {
		return r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.begin(r.spawn); err != nil {
		o.Log.Warn("bfd.no-worker", "cause", err, "effect", "BFD runs in a thread of the router, which keeps intervals of 300 ms and above, shorter ones on an idle host")
		r.opts.Worker = nil
		return r
	}
	raiseRouter()
	return r
}

// Do does an effect of the BFD module; false when it is none.
func (r *Runner) Do(effect any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := effect.(type) {
	case bfd.Set:
		if r.control == nil && !r.closed {
			r.thread()
		}
		r.put(kindSet, packSpec(e.Spec))
	case bfd.Delete:
		r.put(kindDelete, e.ID)
	case bfd.Halt:
		r.put(kindHalt, nil)
	default:
		return false
	}
	return true
}

// thread begins a loop in this process. The first [bfd.Ready] asks for what is dropped until then.
func (r *Runner) thread() {
	if err := r.begin(r.local); err != nil {
		r.opts.Post(bfd.Lost{Reason: "begin BFD: " + err.Error()})
		time.AfterFunc(retry, r.askAgain)
	}
}

// askAgain has the module want its sessions once more.
func (r *Runner) askAgain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.opts.Post(bfd.Ready{})
	}
}

// begin makes a socket pair and gives one end to a loop.
func (r *Runner) begin(start func(theirs int) error) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("make a socket pair: %w", err)
	}
	for _, fd := range pair {
		_ = setOptions(fd, option{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, inBuffer, false})
	}
	if err := start(pair[1]); err != nil { // which closes its end, then or now
		unix.Close(pair[0])
		return err
	}
	r.control, r.ready, r.waiting = os.NewFile(uintptr(pair[0]), "bfd"), false, nil
	r.wake, r.ended = make(chan struct{}, 1), make(chan struct{})
	go r.read(r.control, r.ended)
	go r.write(r.control, r.wake, r.ended)
	return nil
}

// local runs a loop in a thread of its own.
func (r *Runner) local(theirs int) error {
	s, err := openSockets()
	if err != nil {
		unix.Close(theirs)
		return err
	}
	go func() {
		runtime.LockOSThread() // for good: the thread has a priority of its own
		raisePriority()
		if err := newLoop(theirs, s).run(); err != nil {
			r.opts.Log.Error("bfd.loop", "cause", err)
		}
		s.close()
		unix.Close(theirs)
	}()
	return nil
}

// put queues a frame for the loop, if there is one that obeys.
func (r *Runner) put(k kind, body any) {
	if !r.ready || len(r.waiting) > queued {
		return
	}
	r.waiting = appendFrame(r.waiting, k, body)
	r.rouse()
}

func (r *Runner) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take is what waits to be written, and whether there will be more.
func (r *Runner) take() (b []byte, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, r.waiting = r.waiting, nil
	return b, r.closed
}

func (r *Runner) write(f *os.File, wake, ended <-chan struct{}) {
	for {
		select {
		case <-wake:
		case <-ended:
			return
		}
		b, closed := r.take()
		for len(b) > 0 {
			n := min(len(b), maxMessage)
			if _, err := f.Write(b[:n]); err != nil {
				return // the reader hears of it, too
			}
			b = b[n:]
		}
		if closed {
			shut(f)
			return
		}
	}
}

// shut tells the loop that no more comes, once it has read what came.
func shut(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

func (r *Runner) read(f *os.File, ended chan struct{}) {
	b := make([]byte, maxMessage)
	var err error
	for err == nil {
		var n int
		n, err = f.Read(b)
		for at := 0; at+frameSize <= n; at += frameSize {
			r.hear(event(b[at : at+frameSize]))
		}
	}
	close(ended)
	f.Close()
	r.over(err)
}

func (r *Runner) hear(ev any) {
	switch ev.(type) {
	case nil:
		return
	case bfd.Ready:
		r.mu.Lock()
		r.waiting = nil
		r.ready = true
		r.put(kindReset, nil)
		r.mu.Unlock()
	case bfd.Lost:
		r.mu.Lock()
		r.ready = false
		r.mu.Unlock()
	}
	r.opts.Post(ev)
}

// over takes that there is no loop any more, and nobody who would begin another: from now on a thread does it.
func (r *Runner) over(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.control, r.opts.Worker = false, nil, nil
	if r.closed {
		return
	}
	reason := "the loop that watches has ended"
	if !errors.Is(err, io.EOF) {
		reason += ": " + err.Error()
	}
	r.opts.Post(bfd.Lost{Reason: reason})
	time.AfterFunc(retry, r.askAgain)
}

// Close ends the loop. What was wanted of it before is still done.
func (r *Runner) Close() error {
	r.mu.Lock()
	ended, begun := r.ended, r.control != nil
	r.closed = true
	r.rouse()
	r.mu.Unlock()
	if begun {
		select {
		case <-ended:
		case <-time.After(farewell):
		}
	}
	return nil
}
