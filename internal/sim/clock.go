package sim

import "time"

// clock is the virtual time of a world and what is due in it. Equal deadlines happen in the order they were set.
type clock struct {
	now  time.Duration
	seq  uint64
	heap []task
}

type task struct {
	at  time.Duration
	seq uint64
	do  func()
}

func (t task) before(o task) bool { return t.at < o.at || t.at == o.at && t.seq < o.seq }

// after has do called once d has passed.
func (c *clock) after(d time.Duration, do func()) { c.at(c.now+max(d, 0), do) }

// at has do called at a time, or now if that has passed.
func (c *clock) at(t time.Duration, do func()) {
	c.seq++
	c.heap = append(c.heap, task{max(t, c.now), c.seq, do})
	for i := len(c.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !c.heap[i].before(c.heap[parent]) {
			break
		}
		c.heap[i], c.heap[parent] = c.heap[parent], c.heap[i]
		i = parent
	}
}

// step advances to the next task and does it; false when none is due by the limit, and then that is the time.
func (c *clock) step(limit time.Duration) bool {
	if len(c.heap) == 0 || c.heap[0].at > limit {
		c.now = max(c.now, limit)
		return false
	}
	t := c.pop()
	c.now = t.at
	t.do()
	return true
}

func (c *clock) pop() task {
	h := c.heap
	top, last := h[0], len(h)-1
	h[0], h[last] = h[last], task{}
	c.heap = h[:last]
	c.sink()
	return top
}

// sink restores the order of the heap from its root.
func (c *clock) sink() {
	h := c.heap
	for i := 0; ; {
		least, left := i, 2*i+1
		for child := left; child <= left+1 && child < len(h); child++ {
			if h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
