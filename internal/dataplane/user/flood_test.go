package user

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"
)

// Who floods must not be able to choose a port that shares a slot with its victim.
func TestSourceSlotsCannotBeForeseen(t *testing.T) {
	from := netip.MustParseAddrPort("198.51.100.7:4754")
	seen := map[uintptr]bool{}
	for range 20 {
		s := newSources(sourcePerSecond)
		seen[uintptr(unsafe.Pointer(s.slot(from)))-uintptr(unsafe.Pointer(s))] = true
	}
	if len(seen) < 10 {
		t.Errorf("20 planes count one source in %d different slots", len(seen))
	}
}

func TestSourceBudget(t *testing.T) {
	s, from := newSources(sourcePerSecond), netip.MustParseAddrPort("198.51.100.7:4754")
	if n := testing.AllocsPerRun(10, func() { s.allow(from, time.Second) }); n > 0 {
		t.Errorf("%v allocations a packet", n)
	}
	passed := 0
	for range 3 * sourcePerSecond {
		if s.allow(from, 2*time.Second) {
			passed++
		}
	}
	if passed != sourcePerSecond || !s.allow(from, 3*time.Second) {
		t.Errorf("%d passed in a second, want %d, and again in the next", passed, sourcePerSecond)
	}
}
