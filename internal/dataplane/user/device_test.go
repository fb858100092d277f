package user

import (
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// Anybody can make packets whose TTL runs out here.
func TestTimeExceededDoesNotStarvePathMTUDiscovery(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{FastPath: true, Cloud: 1})
	pl := r.sender.device.plane
	pl.now = func() time.Duration { return 5 * time.Second }
	for i := range 2 * errorsPerSec {
		h := other4
		h.TTL = 1
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, h, uint16(i+1), 9, make([]byte, 8))))
	}
	if pl.complaints(packet.TimeExceeded).Allow(1, pl.now()) {
		t.Errorf("after %d packets whose TTL ran out there is budget left", 2*errorsPerSec)
	}
	if !pl.complaints(packet.TooBig).Allow(1, pl.now()) {
		t.Error("time exceeded takes the budget of fragmentation needed")
	}
}
