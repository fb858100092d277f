package bfdio

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

const (
	// tick is the least time between two turns. What comes or is due within one is done together: a thousand sessions have
	// tens of thousands of packets a second.
	tick = 500 * time.Microsecond
	// stalled is how late the loop must be to think that all of the host was.
	stalled = 5 * time.Millisecond
	// pulse is the time between two signs of life for the keeper.
	pulse = 500 * time.Millisecond
	// counting is the time between two tellings of the counters.
	counting = 5 * time.Second
	// backlog is how many octets may wait for the router to read them. Sessions that change meanwhile are told of later,
	// as they are then.
	backlog = maxMessage
)

// loop sends and receives for an engine, and obeys a router. All of it belongs to one goroutine.
type loop struct {
	control int // our end of the socket pair
	keeper  int // where signs of life go; -1: nobody wants any
	sockets *sockets
	engine  *bfd.Engine
	epoch   time.Time
	obeys   bool   // a reset has come
	multi   bool   // there are sessions over several hops
	alone   bool   // nobody else runs in this process
	prefix  uint32 // of the discriminators

	in      [maxMessage]byte
	out     []byte // waits to be told
	polls   []unix.PollFd
	take    func(bfd.Received)
	now     time.Duration
	due     time.Duration // when the next turn was to begin
	pulsed  time.Duration
	counted time.Duration
	totals  bfd.Counted
}

// newLoop makes a loop that talks over a socket; nothing of it runs yet. The socket is closed by who made it.
func newLoop(control int, s *sockets) *loop {
	l := &loop{control: control, keeper: -1, sockets: s, epoch: time.Now(), out: make([]byte, 0, 2*backlog)}
	l.engine = bfd.NewEngine(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	l.take = func(r bfd.Received) { l.engine.Receive(l.now, r) }
	return l
}

// errEnded says that the router has closed its end.
var errEnded = errors.New("the router has ended")

// run serves until the router closes its end, or a socket fails.
func (l *loop) run() error {
	l.out = appendFrame(l.out, kindReady, nil)
	for {
		began := time.Now()
		err := l.turn()
		if errors.Is(err, errEnded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.wait(); err != nil {
			return err
		}
		if rest := tick - time.Since(began); rest > 0 {
			l.sleep(rest) // shorter is no harm
		}
	}
}

// turn does what there is to do. What has arrived comes before what is due: a packet that waited for us was not missing.
func (l *loop) turn() error {
	l.now = time.Since(l.epoch)
	ended := l.obey()
	for _, r := range l.sockets.in {
		if l.reads(r) {
			l.totals.Received += uint64(r.drain(l.take))
		}
	}
	late := l.now - l.due
	l.now = time.Since(l.epoch)
	if late > stalled {
		l.engine.Stalled(l.now, late)
	}
	l.engine.Expire(l.now)
	l.transmit()
	l.live()
	if ended != nil {
		return ended
	}
	return l.tell()
}

// live gives a sign of life.
func (l *loop) live() {
	if l.keeper >= 0 && l.now-l.pulsed >= pulse {
		l.pulsed = l.now
		_, _ = unix.Write(l.keeper, []byte{0}) // a keeper that has many unread needs no more
	}
}

// reads tells whether anything is expected of a socket. Everybody can send to that of sessions over several hops, so it is
// not looked at before there are any.
func (l *loop) reads(r *receiver) bool { return l.multi || !r.multihop }

func (l *loop) transmit() {
	sends := l.engine.Sends()
	for i := range sends {
		o := l.sockets.out4
		if !sends[i].Spec.Peer.Is4() {
			o = l.sockets.out6
		}
		if o != nil {
			o.send(&sends[i])
		}
	}
	l.totals.Sent += uint64(len(sends))
	l.sockets.out4.flush()
	if l.sockets.out6 != nil {
		l.sockets.out6.flush()
	}
}

// obey does what the router wants.
func (l *loop) obey() error {
	for {
		n, err := unix.Read(l.control, l.in[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			return errEnded
		}
		for at := 0; at+frameSize <= n; at += frameSize {
			l.do(command(l.in[at : at+frameSize]))
		}
		if l.engine.Sessions() > 0 {
			l.transmit() // what Halt sends must not wait for the rest
		}
	}
}

func (l *loop) do(c any) {
	if _, ok := c.(reset); ok {
		l.engine.Reset()
		l.obeys = true
	}
	if !l.obeys {
		return
	}
	switch c := c.(type) {
	case bfd.Set:
		l.multi = l.multi || c.Multihop
		if prefix := c.ID & bfd.PrefixMask; prefix != l.prefix {
			l.prefix = prefix
			l.sockets.know(prefix)
		}
		l.engine.Set(l.now, c.Spec)
	case bfd.Delete:
		l.engine.Delete(l.now, c.ID)
	case bfd.Halt:
		l.engine.Halt(l.now)
	}
}

// tell tells the router of sessions that changed, and of the counters now and then.
func (l *loop) tell() error {
	if room := (backlog - len(l.out)) / frameSize; room > 0 {
		for _, r := range l.engine.Reports(room) {
			l.out = appendFrame(l.out, kindReport, r)
		}
	}
	if l.now-l.counted >= counting {
		l.counted = l.now
		if len(l.out) == 0 {
			l.totals.Discards, l.totals.Unsent, l.totals.Overflown = l.engine.Discards, l.sockets.failed(), l.sockets.overflown()
			l.out = appendFrame(l.out, kindCounted, l.totals)
		}
	}
	for len(l.out) > 0 {
		n := min(len(l.out), maxMessage)
		_, err := unix.Write(l.control, l.out[:n])
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPIPE): // of an end, reading tells
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("tell the router: %w", err)
		}
		l.out = l.out[:copy(l.out, l.out[n:])]
	}
	return nil
}

// wait waits for something to do, at most until it is time to tell the counters.
func (l *loop) wait() error {
	l.polls = append(l.polls[:0], unix.PollFd{Fd: int32(l.control), Events: unix.POLLIN})
	if len(l.out) > 0 {
		l.polls[0].Events |= unix.POLLOUT
	}
	for _, r := range l.sockets.in {
		if l.reads(r) {
			l.polls = append(l.polls, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
		}
	}
	until := l.counted + counting
	if next, ok := l.engine.Next(); ok {
		until = min(until, next)
	}
	if l.keeper >= 0 {
		until = min(until, l.pulsed+pulse)
	}
	now := time.Since(l.epoch)
	l.due = max(until, now) + tick
	if err := l.poll(max(until-now, 0)); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// Who is alone in a process does not tell the runtime that he waits. It would look every 20 microseconds whether somebody else
// can use his processor, which costs more than sessions do. When it wants him it interrupts the call with a signal.

func (l *loop) poll(longest time.Duration) error {
	timeout := unix.NsecToTimespec(int64(longest))
	if !l.alone {
		_, err := unix.Ppoll(l.polls, &timeout, nil)
		return err
	}
	_, _, e := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.polls[0])), uintptr(len(l.polls)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

func (l *loop) sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	if !l.alone {
		_ = unix.Nanosleep(&t, nil)
		return
	}
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
