package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since boot, including the time the host was suspended: leases and holding times go on meanwhile.
func Now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("sys: no CLOCK_BOOTTIME: " + err.Error()) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}
