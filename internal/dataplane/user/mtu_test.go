package user

import (
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// A forged ICMP error of the underlay says 552, which Linux takes for a path MTU.
func TestLearnedPathMTU(t *testing.T) {
	for _, c := range []struct {
		name string
		h    packet.Header
		size int
		sent bool
	}{
		{"RFC 8200 section 5: 1280 octets of IPv6 always fit", toPeer6, 1280, true},
		{"RFC 8201 section 4: no more than 1280 of IPv6 is tried", toPeer6, 1281, false},
		{"RFC 1191: IPv4 that fits", toPeer4, 500, true},
		{"RFC 1191: IPv4 that does not", toPeer4, 1280, false},
	} {
		for _, fast := range []bool{false, true} {
			r := newRig(t, dataplane.Tunnel{FastPath: fast, Cloud: 1})
			r.link.keep = true
			i, h, to := r.sender.device.tunnel, c.h, c.h.Destination
			if fast {
				h.Source, h.Destination = to, to.Next()
				to = h.Destination
			}
			i.Adjacency(to).LearnPathMTU(552, r.sender.device.plane.now())
			headers := len(packet.AppendUDP(nil, h, 1, 2, nil))
			b := packet.AppendUDP(make([]byte, vnetLen), h, 1, 2, make([]byte, c.size-headers))
			if fast {
				p, _ := packet.ParseIP(b[vnetLen:])
				r.receiver.forward(r.sender.device, &dataplane.Way{Interface: i, Adjacency: i.Adjacency(to)}, p)
				r.flushWire()
			} else {
				r.frame(b)
				r.sender.flush()
			}
			if got := len(r.link.sent) > 0; got != c.sent {
				t.Errorf("%s, fast path %v: sent %v; drops %v", c.name, fast, got, i.ByReason())
			}
		}
	}
}
