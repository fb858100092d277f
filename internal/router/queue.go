package router

import (
	"sync"

	"github.com/spokeway/spokeway/internal/core"
)

// maxQueue bounds the events that wait for the loop. Past it, those that the network causes are dropped; those of the
// host and of operators are not.
const maxQueue = 65536

// keptQueue is the longest queue whose memory is kept for the next.
const keptQueue = 4096

// queue is the way into the loop.
type queue struct {
	mu    sync.Mutex
	items []func(*core.Loop)
	spare []func(*core.Loop)
	wake  chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends what the loop is to do.
func (q *queue) put(f func(*core.Loop)) {
	q.mu.Lock()
	q.items = append(q.items, f)
	q.mu.Unlock()
	q.signal()
}

// offer is put for what may be lost; false when it is.
func (q *queue) offer(f func(*core.Loop)) bool {
	q.mu.Lock()
	full := len(q.items) >= maxQueue
	if !full {
		q.items = append(q.items, f)
	}
	q.mu.Unlock()
	q.signal()
	return !full
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns what waits. It is good until the next take.
func (q *queue) take() []func(*core.Loop) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.spare)
	items := q.items
	q.items, q.spare = q.spare[:0], items
	if cap(items) > keptQueue {
		q.spare = nil
	}
	return items
}
