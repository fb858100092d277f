package dataplane

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"
)

// Limiter lets something through once per key and interval, and so many times a second in all. It takes the same
// memory whatever it is asked, and no lock. Two keys that share a slot may each be let through more often, never less.
type Limiter struct {
	every  uint32 // ms
	budget uint32 // per second
	window atomic.Uint64
	slots  [limiterSlots]atomic.Uint64
}

const limiterSlots = 1024

// NewLimiter makes one.
func NewLimiter(every time.Duration, perSecond int) *Limiter {
	return &Limiter{every: uint32(every / time.Millisecond), budget: uint32(perSecond)}
}

// Allow reports whether key may pass at time now, and notes that it did.
func (l *Limiter) Allow(key uint64, now time.Duration) bool {
	key *= 0x9e3779b97f4a7c15
	slot := &l.slots[key>>54]
	tag, ms := key<<10>>32|1, uint32(now/time.Millisecond) // a tag is never 0: an empty slot matches nothing
	old := slot.Load()
	if old>>32 == tag {
		if wait := uint32(old) - ms; wait-1 < l.every { // 1 … every; what lies further ahead is from before a wrap
			return false
		}
	}
	if !l.spend(uint32(now / time.Second)) {
		return false
	}
	return slot.CompareAndSwap(old, tag<<32|uint64(ms+l.every))
}

func (l *Limiter) spend(second uint32) bool {
	for range 4 {
		old := l.window.Load()
		n := uint32(old)
		if uint32(old>>32) != second {
			n = 0
		}
		if n >= l.budget {
			return false
		}
		if l.window.CompareAndSwap(old, uint64(second)<<32|uint64(n+1)) {
			return true
		}
	}
	return false
}

func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	hi, lo := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	h := (hi^0x2545f4914f6cdd1d)*0xff51afd7ed558ccd ^ lo
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>29
}
