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

// Under a flood tokens are to be had at all times of a second, not at its begin alone.
func TestABudgetComesBackEvenly(t *testing.T) {
	var b bucket
	var passed [30]int
	for at := time.Duration(0); at < 3*time.Second; at += 50 * time.Microsecond {
		if b.allow(sourcePerSecond, at) {
			passed[at/(100*time.Millisecond)]++
		}
	}
	for i, n := range passed[10:] {
		if n != sourcePerSecond/10 {
			t.Errorf("tenth %d of a second: %d passed, want %d", i, n, sourcePerSecond/10)
		}
	}
}
