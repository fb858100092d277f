package user

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

var back6 = packet.Header{Source: toPeer6.Destination, Destination: toPeer6.Source, TTL: 64}

// join is a packet as the kernel's receive offload makes it of n octets of TCP payload.
func join(h packet.Header, n int) packet.IP {
	p, _ := packet.ParseIP(superframe(h, false, n, 100, tcpACK)[vnetLen:])
	b := p.Payload()
	binary.BigEndian.PutUint16(b[16:], packet.Fold(p.PseudoSum(packet.TCP, len(b))))
	return p
}

// Short segments that were joined may be one packet shorter than the MTU: its checksum is unfinished all the same.
func TestJoinedFrameOfAnyLengthHasItsChecksumFinished(t *testing.T) {
	for _, h := range []packet.Header{back4, back6} {
		for _, n := range []int{1, 200, 523, 524, 525, 1200, 1348, 1349, 9000} {
			r := newRig(t, dataplane.Tunnel{})
			r.gre(r.peer, 0, inGRE(dataplane.Key{}, join(h, n).Bytes))
			got := slices.Clone(r.merge.take())
			list := [][]byte{got[vnetLen:]}
			if vnetOf(got).gso != gsoNone {
				list = cutAll(t, got)
			}
			for _, b := range list {
				if p, err := packet.ParseIP(b); err != nil || !p.ValidChecksum() {
					t.Errorf("%v, %d octets: the kernel gets a wrong TCP checksum: %+v", h.Source, n, vnetOf(got))
				}
			}
		}
	}
}

// The kernel cuts what was joined: the fast path, which sends packets as they are, must leave it alone.
func TestFastPathLeavesJoinedFramesToTheKernel(t *testing.T) {
	r := newRig(t, dataplane.Tunnel{FastPath: true, Cloud: 1})
	r.link.keep = true
	for _, n := range []int{200, 1000, 9000} {
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, join(other4, n).Bytes))
		r.flushWire()
		if r.receiver.to == nil || len(r.link.sent) > 0 {
			t.Errorf("%d octets: %d packets sent past the kernel", n, len(r.link.sent))
		}
		r.flushDevice()
	}
}
