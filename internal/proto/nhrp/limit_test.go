package nhrp

import (
	"net/netip"
	"testing"
	"time"
)

func endpointNumber(i int) place {
	return place{at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 0)}
}

func TestLimiterCountsEachPeer(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 10, Burst: 2})
	a, b := endpointNumber(1), endpointNumber(2)
	for _, c := range []struct {
		at   time.Duration
		peer place
		want bool
	}{
		{0, a, true}, {0, a, true}, {0, a, false},
		{0, b, true},
		{99 * time.Millisecond, a, false}, {100 * time.Millisecond, a, true}, {100 * time.Millisecond, a, false},
		{time.Hour, a, true}, {time.Hour, a, true}, {time.Hour, a, false}, // never more than a burst
	} {
		if got := l.allow(c.at, c.peer); got != c.want {
			t.Errorf("at %v peer %v: allowed %v, want %v", c.at, c.peer, got, c.want)
		}
	}
}

func TestLimiterForgetsQuietPeers(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 10, Burst: 10})
	for i := range 10000 {
		l.allow(time.Second, endpointNumber(i))
	}
	busy := endpointNumber(20000)
	for l.allow(sweepInterval+2*time.Second-time.Millisecond, busy) {
	}
	l.allow(2*sweepInterval+3*time.Second, endpointNumber(20001))
	if n := len(l.buckets); n != 1 {
		t.Errorf("%d peers are remembered a minute after all but one went quiet, want 1", n)
	}
}

func TestLimiterKeepsWhatIsNotRefilled(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 1, Burst: 100}) // 100 s to refill
	a := endpointNumber(1)
	for l.allow(time.Second, a) {
	}
	if l.allow(sweepInterval+1500*time.Millisecond, endpointNumber(2)); l.buckets[a].tokens >= 1 {
		t.Fatal("a bucket filled by being swept")
	}
	for range 60 {
		l.allow(sweepInterval+1500*time.Millisecond, a)
	}
	if l.allow(sweepInterval+1500*time.Millisecond, a) {
		t.Error("a peer got more than its rate because of a sweep")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 10, Burst: 10})
	for i := range 2 * maxBuckets {
		l.allow(time.Millisecond, endpointNumber(i))
	}
	if n := len(l.buckets); n > maxBuckets {
		t.Errorf("%d peers are remembered, want at most %d", n, maxBuckets)
	}
}
