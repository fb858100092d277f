package bfd

import "time"

// timer is a deadline of a session.
type timer struct {
	at      time.Duration
	session *session
	index   int // in the heap, + 1; 0 = not armed
	detects bool
}

// timers is a binary heap by deadline. It is written out, since it is most of what an engine does.
type timers []*timer

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= h[i].at {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h timers) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// arm sets the deadline of t, armed or not.
func (h *timers) arm(t *timer, at time.Duration) {
	t.at = at
	if t.index == 0 {
		*h = append(*h, t)
		t.index = len(*h)
	}
	h.up(t.index - 1)
	h.down(t.index - 1)
}

func (h *timers) stop(t *timer) {
	if t.index == 0 {
		return
	}
	i, last := t.index-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if i < last {
		h.up(i)
		h.down(i)
	}
}
