package user

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// sources bounds how many control packets one source may send us, so that a flood from one leaves the control
// plane's queue to the others. Sources that share a slot share its budget; the table never grows.
type sources [sourceSlots]atomic.Uint64

const (
	sourceSlots     = 4096
	sourcePerSecond = 2000 // a regional hub forwards for its spokes
)

// allow counts one packet of a source at time now and reports whether it is within the second's budget.
func (s *sources) allow(from netip.AddrPort, now time.Duration) bool {
	b := from.Addr().As16()
	h := uint64(from.Port())
	for _, x := range b {
		h = (h ^ uint64(x)) * 0x100000001b3
	}
	slot, second := &s[(h^h>>29)%sourceSlots], uint64(now/time.Second)&0xffffffff
	for {
		old := slot.Load()
		n := old & 0xffffffff
		if old>>32 != second {
			n = 0
		}
		if n >= sourcePerSecond {
			return false
		}
		if slot.CompareAndSwap(old, second<<32|(n+1)) {
			return true
		}
	}
}
