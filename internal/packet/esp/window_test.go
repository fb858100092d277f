package esp

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// naive is the window as RFC 4303 section 3.4.3 tells of it: everything that was ever accepted.
type naive struct {
	size, top uint64
	seen      map[uint64]bool
}

func (n *naive) fresh(seq uint64) bool {
	return seq != 0 && (seq > n.top || n.top-seq < n.size) && !n.seen[seq]
}

func (n *naive) accept(seq uint64) {
	n.seen[seq] = true
	n.top = max(n.top, seq)
}

func mustWindow(t testing.TB, size int) *Window {
	t.Helper()
	w, err := NewWindow(size)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Long random sequences: in order, reordered, doubled, with small gaps and large, across 2^32 and from far on.
func TestWindowModel(t *testing.T) {
	for _, size := range []int{MinWindow, MinWindow + 1, MinWindow + 31, MinWindow + 32, 2016, 2017, 5000} {
		for _, begin := range []uint64{0, 1<<32 - 3000, 7<<32 - 1500, 1<<36 - 5000, 1<<43 - 4000} {
			t.Run(fmt.Sprintf("size %d from %#x", size, begin), func(t *testing.T) {
				model(t, size, begin, 60000)
			})
		}
	}
}

func model(t *testing.T, size int, begin uint64, steps int) {
	r := rand.New(rand.NewPCG(uint64(size), begin))
	w, n := mustWindow(t, size), &naive{size: uint64(size), seen: map[uint64]bool{}}
	w.top.Store(begin)
	n.top = begin
	for i := range w.slots { // as if what came before had gone once round
		w.slots[i].Store(uint64(w.lapOf(begin)-1) << 32)
	}
	for step := range steps {
		seq := pick(r, n.top, uint64(size))
		if got := w.Infer(uint32(seq)); reachable(n, seq) && got != seq {
			t.Fatalf("step %d: top %#x: %#x is taken for %#x: RFC 4303 A2", step, n.top, seq, got)
		}
		want := n.fresh(seq)
		if got := w.Fresh(seq); got != want {
			t.Fatalf("step %d: top %#x: %#x is fresh %t, want %t", step, n.top, seq, got, want)
		}
		if r.IntN(8) == 0 {
			continue // its ICV was wrong: nothing is remembered
		}
		if got := w.Accept(seq); got != want {
			t.Fatalf("step %d: top %#x: %#x is accepted %t, want %t", step, n.top, seq, got, want)
		}
		if want {
			n.accept(seq)
		}
	}
}

// reachable is what the low half of a number is enough for.
func reachable(n *naive, seq uint64) bool {
	return (seq > n.top || n.top-seq < n.size) && seq < n.top+1<<31
}

func pick(r *rand.Rand, top, size uint64) uint64 {
	back := func(n uint64) uint64 { return top - min(top, r.Uint64N(n)) }
	switch r.IntN(40) {
	case 0:
		return top + r.Uint64N(3*size)
	case 1:
		return top + 1 + r.Uint64N(1<<20)
	case 2:
		return back(3 * size)
	case 3:
		return back(1 << 20)
	case 4, 5, 6, 7, 8, 9, 10, 11, 12, 13:
		return back(size + 64)
	case 14:
		return top - min(top, size) // the first that is too old, and its neighbours
	case 15:
		return top - min(top, size-1)
	}
	return top + 1 + r.Uint64N(4)
}

func TestWindowEdges(t *testing.T) {
	w := mustWindow(t, MinWindow)
	if w.Fresh(0) || w.Accept(0) {
		t.Error("RFC 4303 section 3.3.3: 0 is never sent")
	}
	if !w.Accept(5000) || w.Accept(5000-MinWindow) || !w.Accept(5000-MinWindow+1) || w.Accept(5000-MinWindow+1) {
		t.Error("the lower edge is not where it should be")
	}
	for _, size := range []int{-1, 0, 1, MinWindow - 1, maxWindow + 1} { // ikev2-algo-esn-09-replay-zero: no window, no ESN to infer
		if _, err := NewWindow(size); err == nil {
			t.Errorf("a window of %d", size)
		}
	}
}

// RFC 4303 appendix A2.2, both cases: the window within one subspace, and across two.
func TestInferRFC4303A2(t *testing.T) {
	for _, c := range []struct {
		name string
		top  uint64
		low  uint32
		want uint64
	}{
		{"case A, above the bottom: the same subspace", 5<<32 + 100000, 99500, 5<<32 + 99500},
		{"case A, far ahead", 5<<32 + 100000, 1 << 31, 5<<32 + 1<<31},
		{"case A, below the bottom: the next subspace", 5<<32 + 100000, 50, 6<<32 + 50},
		{"case B, in the upper part: the subspace before", 5<<32 + 10, 1<<32 - 5, 4<<32 + 1<<32 - 5},
		{"case B, in the lower part: the same subspace", 5<<32 + 10, 5, 5<<32 + 5},
		{"case B, above: the same subspace", 5<<32 + 10, 20, 5<<32 + 20},
		{"at the rollover", 1<<32 - 1, 0, 1 << 32},
		{"before anything was received there is no subspace before", 0, 1<<32 - 1, 1<<32 - 1},
		{"the first", 0, 1, 1},
		{"the window begins at 0", MinWindow - 1, 1<<32 - 1, 1<<32 - 1},
		{"the window begins at 1", MinWindow, 0, 1 << 32},
	} {
		w := mustWindow(t, MinWindow)
		w.top.Store(c.top)
		if got := w.Infer(c.low); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

// One goroutine has marked a number a whole ring further on, and has not come to raise the top: whoever is slow must not
// take that slot back, nor accept in it what was accepted before.
func TestWindowOvertakenBetweenMarkAndTop(t *testing.T) {
	w := mustWindow(t, MinWindow)
	ring := uint64(len(w.slots) * slotNumbers)
	const slow = 700
	if !w.Accept(slow) || !w.mark(slow+ring) {
		t.Fatal("fresh numbers are refused")
	}
	for _, seq := range []uint64{slow, slow + 1} { // one that was accepted, one that was not, of the slot
		if w.Fresh(seq) || w.Accept(seq) {
			t.Errorf("%d is accepted in a slot that has gone on", seq)
		}
	}
	if w.Accept(slow + ring) {
		t.Error("what was marked is accepted again")
	}
	if !w.Accept(slow+ring+1) || w.mark(slow) {
		t.Error("the slot is not the later lap's")
	}
}

// Every number is offered by every goroutine, all at once, while the window runs on: each is accepted once at most, and
// those that were never too old exactly once.
func TestWindowAcceptsOnceUnderRace(t *testing.T) {
	const numbers, workers, block = 1 << 16, 4, 256 // all offered numbers lie within 2 blocks of each other
	w := mustWindow(t, MinWindow)
	var count [numbers + 1]atomic.Uint32
	offer := func(r *rand.Rand, from int) {
		for _, i := range r.Perm(block) {
			if seq := uint64(from + i + 1); w.Fresh(seq) && w.Accept(seq) {
				count[seq].Add(1)
			}
		}
	}
	for from := 0; from < numbers; from += 2 * block {
		var all sync.WaitGroup
		for k := range workers {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(k), uint64(from)))
				offer(r, from+block*(k%2))
				offer(r, from+block*(1-k%2))
			})
		}
		all.Wait()
	}
	for seq := 1; seq <= numbers; seq++ {
		if n := count[seq].Load(); n != 1 {
			t.Fatalf("%d was accepted %d times", seq, n)
		}
	}
}

// The window overtakes whoever is slow: what matters then is that nothing is accepted twice.
func TestWindowNeverTwiceWhenOvertaken(t *testing.T) {
	const numbers, workers = 1 << 17, 4
	w := mustWindow(t, MinWindow)
	var count [numbers + 1]atomic.Uint32
	var all sync.WaitGroup
	for k := range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(k), 1))
			for seq := uint64(1); seq <= numbers; seq++ {
				at := seq - min(seq-1, r.Uint64N(2*MinWindow))
				if w.Accept(at) {
					count[at].Add(1)
				}
			}
		})
	}
	all.Wait()
	for seq := range count {
		if n := count[seq].Load(); n > 1 {
			t.Fatalf("%d was accepted %d times", seq, n)
		}
	}
}
