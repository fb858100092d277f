package esp

import "sync/atomic"

// Sequence gives out the sequence numbers that one set of keys may send by. Several goroutines may use it at once.
type Sequence struct {
	last  atomic.Uint64
	limit uint64
}

// With AES a key ends after so many packets even with extended sequence numbers. A packet has at most 2^12 blocks, so that
// 2^48 blocks are never passed, where what tells the cipher from chance is still below 2^-32.
const aesLimit = 1 << 36

const (
	shortLimit = 1<<32 - 1 // RFC 4303 section 3.3.3: without ESN a number must not come again
	longLimit  = 1 << 63   // with: far from 2^64, where the counter would turn
)

// NewSequence begins at 1. With a suite that is not valid it gives nothing out.
func NewSequence(s Suite, esn bool) *Sequence { return &Sequence{limit: limitOf(s, esn)} }

func limitOf(s Suite, esn bool) uint64 {
	switch {
	case !s.Valid():
		return 0
	case !esn:
		return shortLimit
	case s.Encryption == ChaCha20Poly1305:
		return longLimit
	}
	return aesLimit
}

// Reserve takes n numbers in a row and gives the first. It is false, and takes none, when there are not as many left: then
// the keys are used up. No number is ever given twice, and never 0.
func (q *Sequence) Reserve(n int) (first uint64, ok bool) {
	for {
		last := q.last.Load()
		if n <= 0 || uint64(n) > q.limit-last {
			return 0, false
		}
		if q.last.CompareAndSwap(last, last+uint64(n)) {
			return last + 1, true
		}
	}
}

// Limit is how many numbers there are in all.
func (q *Sequence) Limit() uint64 { return q.limit }
