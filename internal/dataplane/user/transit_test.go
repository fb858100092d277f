package user

import (
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// Who is no peer must not learn of us, nor keep peers from their redirects.
func TestStrangersCauseNoRedirect(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{Redirect: true, Cloud: 1})
	r.receiver.now = 5 * time.Second
	told := map[netip.AddrPort]int{}
	r.sender.device.plane.post = func(ev any) bool { told[ev.(dataplane.Transit).From]++; return true }
	stranger := netip.MustParseAddrPort("203.0.113.66:0")
	for i := range 1100 { // more than the budget of a second
		h := other4
		h.Source = netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})
		r.gre(stranger, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, h, 1, 9, nil)))
	}
	r.gre(r.peer, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, other4, 1, 9, nil)))
	if told[stranger] != 0 || told[r.peer] != 1 {
		t.Errorf("%d redirects for a stranger, %d for the peer, want 0 and 1", told[stranger], told[r.peer])
	}
}
