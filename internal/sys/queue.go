package sys

import (
	"sync"
	"time"
)

// queue is an unbounded FIFO between the loop, which must not wait, and a worker.
type queue[T any] struct {
	mu     sync.Mutex
	filled sync.Cond
	items  []T
	closed bool
	idle   chan struct{} // closed when the worker has ended
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{idle: make(chan struct{})}
	q.filled.L = &q.mu
	return q
}

func (q *queue[T]) put(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.items = append(q.items, item)
		q.filled.Signal()
	}
}

// offer is put for what may be lost; false when limit items wait already.
func (q *queue[T]) offer(item T, limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.items) >= limit {
		return false
	}
	q.items = append(q.items, item)
	q.filled.Signal()
	return true
}

// serve gives everything that is waiting to work, again and again, until the queue is closed and empty.
func (q *queue[T]) serve(work func([]T)) {
	defer close(q.idle)
	for {
		items := q.take()
		if items == nil {
			return
		}
		work(items)
	}
}

func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.filled.Wait()
	}
	items := q.items
	q.items = nil
	return items
}

// takeWithin is take that returns without anything once patience, if it is not 0, is over. open tells that more may come.
func (q *queue[T]) takeWithin(patience time.Duration) (items []T, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	over := false
	if patience > 0 {
		alarm := time.AfterFunc(patience, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			over = true
			q.filled.Broadcast()
		})
		defer alarm.Stop()
	}
	for len(q.items) == 0 && !q.closed && !over {
		q.filled.Wait()
	}
	items = q.items
	q.items = nil
	return items, !q.closed || len(items) > 0
}

// finish lets the worker end its work, and waits for it, but no longer than patience.
func (q *queue[T]) finish(patience time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.filled.Broadcast()
	q.mu.Unlock()
	select {
	case <-q.idle:
	case <-time.After(patience):
	}
}

// pool runs functions on at most limit goroutines at once, and keeps none while there is nothing to do.
type pool struct {
	limit int

	mu      sync.Mutex
	waiting []func()
	running int
}

func (p *pool) run(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, f)
	if p.running < p.limit {
		p.running++
		go p.work()
	}
}

func (p *pool) work() {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running--
			p.mu.Unlock()
			return
		}
		f := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		f()
	}
}
