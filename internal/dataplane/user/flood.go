package user

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// sources bounds how many control packets one source may send us, so that a flood from one leaves the control
// plane's queue to the others. Sources that share a slot share its budget; the table never grows.
type sources struct {
	perSecond uint64
	seed      maphash.Seed // nobody shall know whose slot is whose, and choose to share one
	slots     [sourceSlots]atomic.Uint64
}

const (
	sourceSlots     = 4096
	sourcePerSecond = 2000 // a regional hub forwards for its spokes
)

func newSources(perSecond uint64) *sources {
	return &sources{perSecond: perSecond, seed: maphash.MakeSeed()}
}

// slot is where the source is counted.
func (s *sources) slot(from netip.AddrPort) *atomic.Uint64 {
	var key [18]byte
	a := from.Addr().As16()
	copy(key[:], a[:])
	binary.BigEndian.PutUint16(key[16:], from.Port())
	return &s.slots[maphash.Bytes(s.seed, key[:])%sourceSlots]
}

// allow counts one packet of a source at time now and reports whether it is within the second's budget.
func (s *sources) allow(from netip.AddrPort, now time.Duration) bool {
	slot, second := s.slot(from), uint64(now/time.Second)&0xffffffff
	for {
		old := slot.Load()
		n := old & 0xffffffff
		if old>>32 != second {
			n = 0
		}
		if n >= s.perSecond {
			return false
		}
		if slot.CompareAndSwap(old, second<<32|(n+1)) {
			return true
		}
	}
}
