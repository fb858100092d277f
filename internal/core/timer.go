package core

import (
	"container/heap"
	"time"
)

// Timer is a deadline of a module. The zero Timer with a Name is ready for [Env.Arm]; it lives in the struct it serves.
type Timer struct {
	Name string // what `show timers` prints
	Of   any    // whose it is: the handler's way back to its state

	at     time.Duration
	seq    uint64
	module *module
	index  int // position in the heap + 1; 0 = not armed
}

// Armed reports whether the timer is waiting.
func (t *Timer) Armed() bool { return t.index > 0 }

// At is the time the timer is or was last due.
func (t *Timer) At() time.Duration { return t.at }

// timers is a heap ordered by deadline, then by the order of arming, so that equal deadlines replay alike.
type timers []*Timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *timers) Push(x any) {
	t := x.(*Timer)
	*h = append(*h, t)
	t.index = len(*h)
}
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}

func (h *timers) stop(t *Timer) {
	if t.index > 0 {
		heap.Remove(h, t.index-1)
	}
}
