package bfdio

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// BenchmarkFalseAlarms holds sessions over a veth that loses nothing and counts what is taken for a failure, at both ends
// together. One round is 10 s, or what BFD_ROUND says: go test -bench FalseAlarms -benchtime 1x. Beside garbage, the process
// that has the router's loop, and the thread, allocates all the time around 200 MB of live heap.
func BenchmarkFalseAlarms(b *testing.B) {
	for _, tt := range []struct {
		sessions int
		interval time.Duration
		worker   bool
		garbage  bool
	}{
		{100, 10 * ms, true, false},
		{100, 10 * ms, false, false},
		{100, 10 * ms, true, true},
		{100, 10 * ms, false, true},
		{1000, 50 * ms, true, false},
		{1000, 50 * ms, false, false},
		{1000, 50 * ms, true, true},
		{1000, 50 * ms, false, true},
		{5000, 300 * ms, true, false},
		{5000, 300 * ms, false, false},
	} {
		name := fmt.Sprintf("%dx%v/%s", tt.sessions, tt.interval, map[bool]string{false: "thread", true: "worker"}[tt.worker])
		if tt.garbage {
			name += "/garbage"
		}
		b.Run(name, func(b *testing.B) {
			s := newSpace(b, tt.sessions)
			var h [2]*host
			for i := range h {
				h[i] = newHost(s, i, bfd.Parameters{Interval: tt.interval, Multiplier: 3}, tt.worker)
				h[i].watch(i, tt.sessions)
			}
			for i := range h {
				h[i].await(liveness.Up, tt.sessions, time.Minute)
			}
			if tt.garbage {
				defer litter()()
			}
			time.Sleep(time.Second)
			_, a0 := h[0].count(liveness.Up)
			_, a1 := h[1].count(liveness.Up)
			cpu := busy()
			b.ResetTimer()
			for range b.N {
				time.Sleep(round())
			}
			b.StopTimer()
			_, b0 := h[0].count(liveness.Up)
			_, b1 := h[1].count(liveness.Up)
			b.ReportMetric(float64(b0-a0+b1-a1), "alarms")
			b.ReportMetric(100*(busy()-cpu).Seconds()/(time.Duration(b.N)*round()).Seconds(), "%cpu-host")
		})
	}
}

func round() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("BFD_ROUND")); err == nil {
		return d
	}
	return 10 * time.Second
}

// busy is the time the processors of the host worked, for whomever.
func busy() time.Duration {
	b, _ := os.ReadFile("/proc/stat")
	var user, nice, system, idle, wait, irq, soft int64
	_, _ = fmt.Sscanf(string(b), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &wait, &irq, &soft)
	return time.Duration(user+nice+system+irq+soft) * time.Second / 100 // USER_HZ
}

// litter makes garbage until the function it gives is called.
func litter() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		live := make([][]*[64]byte, 200)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			part := make([]*[64]byte, 16<<10) // with pointers, so that they are followed
			for k := range part {
				part[k] = new([64]byte)
			}
			live[i%len(live)] = part
		}
	}()
	return func() { close(end); <-ended }
}
