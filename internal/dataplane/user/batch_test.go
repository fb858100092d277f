package user

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// A socket gives what ICMP said of an earlier packet as the error of the next.
func TestErrorsOfOthersDoNotMakeAPacketTooBig(t *testing.T) {
	for _, c := range []struct {
		name   string
		errors int
		sent   int
		drops  uint64
	}{
		{"RFC 1191 section 3 of another packet", 1, 1, 0},
		{"of two others", 2, 1, 0},
		{"of ever more others", 3, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, dataplane.Tunnel{})
			w := r.sender.wire
			w.at.local = netip.MustParseAddr("127.0.0.1")
			if err := w.openProbe(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(w.probe) })
			pl := r.sender.device.plane
			pl.tables.Apply(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: toPeer4.Destination, Endpoint: netip.MustParseAddrPort("127.0.0.1:0")})
			n := 0
			r.link.keep = true
			r.link.bad = func(*mmsg) unix.Errno {
				if n++; n <= c.errors {
					return unix.EMSGSIZE
				}
				return 0
			}
			r.frame(packet.AppendUDP(make([]byte, vnetLen), toPeer4, 1, 2, make([]byte, 100)))
			r.sender.flush()
			i := pl.tables.Interface("tun0")
			if drops := i.ByReason(); len(r.link.sent) != c.sent || drops["send-failed"] != c.drops || drops["too-big"] != 0 {
				t.Errorf("%d sent, drops %v, want %d sent and %d send-failed", len(r.link.sent), drops, c.sent, c.drops)
			}
			if i.Adjacency(toPeer4.Destination).HasPathMTU() {
				t.Error("a path MTU was learned from a packet that fits")
			}
		})
	}
}
