package lab

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// arrivals plays n frames of a size, one every gap, and tells when each came out; the clock has steps of 10 µs.
func arrivals(l *line, n, size int, gap time.Duration) []time.Duration {
	var out []time.Duration
	var now time.Duration
	frame := make([]byte, size)
	for i := 0; i < n; {
		for ; i < n && time.Duration(i)*gap <= now; i++ {
			l.accept(now, frame)
		}
		l.deliver(now, func([]byte) { out = append(out, now) })
		now += 10 * time.Microsecond
	}
	for len(l.frames) > 0 {
		l.deliver(now, func([]byte) { out = append(out, now) })
		now += 10 * time.Microsecond
	}
	return out
}

func TestLineDelays(t *testing.T) {
	got := arrivals(newLine(scenario.Link{Delay: 5 * time.Millisecond}, 1), 100, 100, time.Millisecond)
	for i, at := range got {
		if want := time.Duration(i)*time.Millisecond + 5*time.Millisecond; at != want {
			t.Fatalf("frame %d came at %v, want %v", i, at, want)
		}
	}
	if len(got) != 100 {
		t.Fatalf("%d frames came out of 100", len(got))
	}
}

func TestLineJitterStaysInItsBounds(t *testing.T) {
	link := scenario.Link{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}
	early, late := time.Hour, time.Duration(0)
	l := newLine(link, 7)
	for i := range 2000 {
		now := time.Duration(i) * 100 * time.Millisecond
		l.accept(now, []byte{1})
		due, _ := l.next()
		early, late = min(early, due-now), max(late, due-now)
		l.deliver(due, func([]byte) {})
	}
	if early < 3*time.Millisecond || early > 3100*time.Microsecond || late > 7*time.Millisecond || late < 6900*time.Microsecond {
		t.Errorf("delays from %v to %v, want 3 ms to 7 ms", early, late)
	}
}

func TestLineLosesAndDuplicates(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		link scenario.Link
		want float64
	}{
		{scenario.Link{Loss: 0.1}, 0.9},
		{scenario.Link{Duplicate: 0.1}, 1.1},
		{scenario.Link{Loss: 1}, 0},
		{scenario.Link{}, 1},
	} {
		t.Run(fmt.Sprintf("%+v", c.link), func(t *testing.T) {
			share := float64(len(arrivals(newLine(c.link, 3), n, 64, 10*time.Microsecond))) / n
			if math.Abs(share-c.want) > 0.01 {
				t.Errorf("%.3f of the frames came out, want %.3f", share, c.want)
			}
		})
	}
}

func TestLineRate(t *testing.T) {
	// 1250 octets at 10 Mbit/s take 1 ms; they come twice as fast as that.
	got := arrivals(newLine(scenario.Link{Rate: 10e6}, 1), 100, 1250, 500*time.Microsecond)
	for i := 1; i < len(got); i++ {
		if gap := got[i] - got[i-1]; gap < 990*time.Microsecond || gap > 1010*time.Microsecond {
			t.Fatalf("frame %d came %v after the one before, want 1 ms", i, gap)
		}
	}
}

func TestLineIsBounded(t *testing.T) {
	slow := newLine(scenario.Link{Rate: 10e6}, 1)
	for range 1000 {
		slow.accept(0, make([]byte, 1250))
	}
	if len(slow.frames) != 100 || slow.dropped != 900 {
		t.Errorf("a queue of %v holds %d frames of 1 ms, %d dropped", maxBacklog, len(slow.frames), slow.dropped)
	}
	long := newLine(scenario.Link{Delay: time.Hour}, 1)
	for range maxFrames + 5 {
		long.accept(0, []byte{1})
	}
	if len(long.frames) != maxFrames || long.dropped != 5 {
		t.Errorf("%d frames held, %d dropped; want %d and 5", len(long.frames), long.dropped, maxFrames)
	}
}

func TestLineIsTheSameForTheSameSeed(t *testing.T) {
	link := scenario.Link{Delay: 1e6, Jitter: 1e6, Loss: 0.3, Duplicate: 0.3}
	a := fmt.Sprint(arrivals(newLine(link, 5), 500, 64, 1e5))
	if b := fmt.Sprint(arrivals(newLine(link, 5), 500, 64, 1e5)); a != b {
		t.Error("two lines with one seed differ")
	}
	if c := fmt.Sprint(arrivals(newLine(link, 6), 500, 64, 1e5)); a == c {
		t.Error("two lines with two seeds do not differ")
	}
}

func TestLineAllocatesNothingOnceWarm(t *testing.T) {
	l := newLine(scenario.Link{Delay: 1000}, 1)
	b := make([]byte, 1500)
	var now time.Duration
	n := testing.AllocsPerRun(1000, func() {
		now += 10_000
		l.accept(now, b)
		l.deliver(now, func([]byte) {})
	})
	if n > 0 {
		t.Errorf("%v allocations per frame", n)
	}
}
