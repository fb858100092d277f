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

// A host's address that is not on a tunnel is in the tables as a route out of none, under a default route into one.
func TestAddressesOfTheHostAreNoTransit(t *testing.T) {
	for to, transits := range map[string]int{"10.255.0.1": 0, "10.255.0.2": 1} {
		r := newRig(t, dataplane.Tunnel{FastPath: true, Redirect: true, Cloud: 1})
		r.link.keep = true
		pl, told := r.sender.device.plane, 0
		pl.post = func(any) bool { told++; return true }
		up := []dataplane.NextHop{{Tunnel: "tun0", Via: netip.MustParseAddr("10.0.0.3")}}
		pl.tables.Apply(dataplane.SetRoute{Prefix: netip.MustParsePrefix("0.0.0.0/0"), NextHops: up})
		pl.tables.Apply(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.255.0.1/32"), NextHops: []dataplane.NextHop{{}}})
		h := other4
		h.Destination = netip.MustParseAddr(to)
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, h, 1, 179, nil)))
		r.flushWire()
		if len(r.link.sent) != transits || told != transits {
			t.Errorf("to %s: %d sent past the kernel, %d told, want %d", to, len(r.link.sent), told, transits)
		}
	}
}
