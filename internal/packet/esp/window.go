package esp

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Window remembers which sequence numbers were received, RFC 4303 section 3.4.3. Several goroutines may use it at once.
//
// It is the ring of RFC 6479, whose bits are never shifted. There a slot is emptied when the window moves on to it, which
// several goroutines cannot do safely. Here a slot says itself whose it is: it holds a lap, how often the ring was gone
// round, and a bit for each of its 32 numbers. One compare-and-swap either sets a bit of the same lap, or begins a later
// one. As a slot never goes back a lap and a lap never loses a bit, no number is accepted twice, whoever comes between.
type Window struct {
	top   atomic.Uint64 // the highest number accepted
	size  uint64
	lap   uint8 // log2 of the numbers in one lap
	slots []atomic.Uint64
}

const (
	slotNumbers = 32
	slotShift   = 5

	// MinWindow is the narrowest window: several queues and cores reorder more than the 64 of RFC 4303 section 3.4.3.
	MinWindow = 1024
	maxWindow = 1 << 20
)

// NewWindow makes one that takes numbers up to size-1 below the highest.
func NewWindow(size int) (*Window, error) {
	if size < MinWindow || size > maxWindow {
		return nil, fmt.Errorf("a replay window of %d packets: it is to be from %d to %d", size, MinWindow, maxWindow)
	}
	slots := 1 << bits.Len(uint(size-1)/slotNumbers+1) // one more than the window covers, as it seldom begins at a slot's edge
	return &Window{
		size: uint64(size), lap: uint8(bits.TrailingZeros(uint(slots * slotNumbers))), slots: make([]atomic.Uint64, slots),
	}, nil
}

// Infer is the whole of an extended sequence number of which a packet has the low half, RFC 4303 appendix A2: the one
// that is not below the window and less than 2^32 above its bottom.
func (w *Window) Infer(low uint32) uint64 {
	bottom := uint64(0)
	if top := w.top.Load(); top >= w.size {
		bottom = top - w.size + 1
	}
	return bottom + uint64(low-uint32(bottom))
}

// Fresh reports whether a number may still be accepted: it is not 0, not below the window and not yet there. It is asked
// before a packet is authenticated.
func (w *Window) Fresh(seq uint64) bool {
	if w.old(seq) {
		return false
	}
	held := w.slot(seq).Load()
	lap := w.lapOf(seq)
	return later(lap, uint32(held>>32)) || uint32(held>>32) == lap && held&bit(seq) == 0
}

// Accept takes the number of an authentic packet; false when another packet had it, or it has become too old.
func (w *Window) Accept(seq uint64) bool {
	if w.old(seq) || !w.mark(seq) {
		return false
	}
	for {
		top := w.top.Load()
		if seq <= top || w.top.CompareAndSwap(top, seq) {
			return true
		}
	}
}

func (w *Window) mark(seq uint64) bool {
	slot, lap := w.slot(seq), w.lapOf(seq)
	for {
		held := slot.Load()
		next := held | bit(seq)
		switch {
		case uint32(held>>32) == lap && next == held, later(uint32(held>>32), lap):
			return false
		case uint32(held>>32) != lap:
			next = uint64(lap)<<32 | bit(seq)
		}
		if slot.CompareAndSwap(held, next) {
			return true
		}
	}
}

func (w *Window) old(seq uint64) bool {
	top := w.top.Load()
	return seq == 0 || seq <= top && top-seq >= w.size
}

func (w *Window) slot(seq uint64) *atomic.Uint64 {
	return &w.slots[seq>>slotShift&uint64(len(w.slots)-1)]
}

func (w *Window) lapOf(seq uint64) uint32 { return uint32(seq >> w.lap) }

func bit(seq uint64) uint64 { return 1 << (seq % slotNumbers) }

// later compares laps as RFC 1982 does: they are counted modulo 2^32, which is 2^42 packets and more.
func later(a, b uint32) bool { return int32(a-b) > 0 }
