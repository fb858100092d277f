package lab

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

const (
	// maxFrames bounds what one direction of a link holds: 64 ms of minimal frames at 1 Gbit/s.
	maxFrames = 10_000
	// maxBacklog is the depth of the queue before a link with a rate, in time.
	maxBacklog = 100 * time.Millisecond
)

// line is one direction of a link: frames wait in it until they are due. It knows no clock.
type line struct {
	link    scenario.Link
	rand    *rand.Rand
	frames  frames
	free    []*frame      // to use again
	idle    time.Duration // when the sender is done with what it was given
	seq     uint64
	dropped uint64 // for want of room, not by the link's loss
}

type frame struct {
	due  time.Duration
	seq  uint64
	data []byte
}

func newLine(link scenario.Link, seed uint64) *line {
	return &line{link: link, rand: rand.New(rand.NewPCG(seed, 0x5370))}
}

// accept takes a frame that arrived now. It copies b.
func (l *line) accept(now time.Duration, b []byte) {
	if l.rand.Float64() < l.link.Loss {
		return
	}
	sent := max(l.idle, now) + l.serialize(len(b))
	if len(l.frames) >= maxFrames || l.link.Rate > 0 && sent-now > maxBacklog {
		l.dropped++
		return
	}
	l.idle = sent
	l.push(sent, b)
	if l.link.Duplicate > 0 && l.rand.Float64() < l.link.Duplicate {
		l.push(sent, b)
	}
}

// serialize is how long the rate keeps a frame on the wire.
func (l *line) serialize(octets int) time.Duration {
	if l.link.Rate == 0 {
		return 0
	}
	return time.Duration(float64(octets*8) / float64(l.link.Rate) * 1e9)
}

func (l *line) push(sent time.Duration, b []byte) {
	delay := l.link.Delay
	if l.link.Jitter > 0 {
		delay += time.Duration((2*l.rand.Float64() - 1) * float64(l.link.Jitter))
	}
	l.seq++
	f := l.blank()
	f.due, f.seq, f.data = sent+delay, l.seq, append(f.data[:0], b...)
	heap.Push(&l.frames, f)
}

func (l *line) blank() *frame {
	if n := len(l.free); n > 0 {
		f := l.free[n-1]
		l.free = l.free[:n-1]
		return f
	}
	return &frame{data: make([]byte, 0, 2048)}
}

// next is when the first frame is due; false when none waits.
func (l *line) next() (time.Duration, bool) {
	if len(l.frames) == 0 {
		return 0, false
	}
	return l.frames[0].due, true
}

// deliver hands over every frame that is due, in order. send must not keep it.
func (l *line) deliver(now time.Duration, send func([]byte)) {
	for len(l.frames) > 0 && l.frames[0].due <= now {
		f := heap.Pop(&l.frames).(*frame)
		send(f.data)
		l.free = append(l.free, f)
	}
}

// frames is a heap by due time, then by arrival.
type frames []*frame

func (h frames) Len() int { return len(h) }
func (h frames) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}
func (h frames) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *frames) Push(x any)   { *h = append(*h, x.(*frame)) }
func (h *frames) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return f
}
