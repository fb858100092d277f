package user

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// bucket is the tokens of a second, which come back one by one: it is known by when all are back, and zero is full. That they
// come back evenly leaves whoever repeats itself every second a chance beside a flood, which would take all that there is at a
// second's begin.
type bucket struct{ full atomic.Int64 }

// allow takes one of so many tokens a second at time now, and is false when there is none.
func (b *bucket) allow(perSecond uint64, now time.Duration) bool {
	every := int64(time.Second) / int64(perSecond)
	for {
		old := b.full.Load()
		from := max(old, int64(now))
		if from > int64(now+time.Second)-every {
			return false
		}
		if b.full.CompareAndSwap(old, from+every) {
			return true
		}
	}
}

// sources bounds how many control packets one source may send us, so that a flood from one leaves the control
// plane's queue to the others. Sources that share a slot share its budget; the table never grows.
type sources struct {
	perSecond uint64
	seed      maphash.Seed // nobody shall know whose slot is whose, and choose to share one
	slots     [sourceSlots]bucket
}

const (
	sourceSlots     = 4096
	sourcePerSecond = 2000 // a regional hub forwards for its spokes
)

func newSources(perSecond uint64) *sources {
	return &sources{perSecond: perSecond, seed: maphash.MakeSeed()}
}

// slot is where the source is counted.
func (s *sources) slot(from netip.AddrPort) *bucket {
	var key [18]byte
	a := from.Addr().As16()
	copy(key[:], a[:])
	binary.BigEndian.PutUint16(key[16:], from.Port())
	return &s.slots[maphash.Bytes(s.seed, key[:])%sourceSlots]
}

// allow counts one packet of a source at time now and reports whether it is within what the source may send.
func (s *sources) allow(from netip.AddrPort, now time.Duration) bool {
	return s.slot(from).allow(s.perSecond, now)
}
