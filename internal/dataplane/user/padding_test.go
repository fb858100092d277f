package user

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// padded seals an inner packet with octets behind it that hide its length, RFC 4303 section 2.7.
func (e *peerEnd) padded(inner []byte, pad int) []byte {
	g := inGRE(key(42), inner)
	if !e.tunnel {
		return e.seal(nil, packet.GREIP, append(g, make([]byte, pad)...))
	}
	h := packet.Header{Source: e.remote.Addr(), Destination: e.local.Addr(), TTL: 64, Protocol: packet.GREIP}
	b := append(packet.AppendIP(nil, h, len(g)), g...)
	return e.seal(nil, ipInIP, append(b, make([]byte, pad)...))
}

// modes runs a test in transport and in tunnel mode, with and without padding.
func modes(t *testing.T, test func(t *testing.T, s association, pad int)) {
	for _, tunnel := range []bool{false, true} {
		for _, pad := range []int{0, 1, 40, 200} {
			s := inUDP
			s.tunnel = tunnel
			t.Run(fmt.Sprintf("tunnel mode %v, %d octets", tunnel, pad), func(t *testing.T) { test(t, s, pad) })
		}
	}
}

func TestRFC4303Section27PaddedPacketsAreMergedUnchanged(t *testing.T) {
	modes(t, func(t *testing.T, s association, pad int) {
		r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, s)
		take := r.kernel(t)
		want := cutAll(t, superframe(back4, false, 12000, 1000, tcpACK))
		for i, b := range want {
			r.datagram(e.remote, e.padded(b, pad*(i%3))) // as much as pleases the sender
		}
		r.receiver.round(0)
		var got [][]byte
		for _, b := range take() {
			if vnetOf(b).gso == gsoNone {
				got = append(got, b[vnetLen:])
				continue
			}
			clearChecksum(b)
			got = append(got, cutAll(t, b)...)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d packets came out other than the %d that went in", len(got), len(want))
		}
	})
}

func TestRFC4303Section27PaddedPacketsArePassedOnUnchanged(t *testing.T) {
	modes(t, func(t *testing.T, s association, pad int) {
		r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42), FastPath: true, Cloud: 1}, s)
		far := e.association
		far.out, far.in = 0x2001, 0x1001
		far.remote = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), far.remote.Port())
		r.link.keep = true
		var want [][]byte
		for i := range 3 {
			b := packet.AppendUDP(nil, other4, uint16(i), 2, marked)
			r.datagram(e.remote, e.padded(b, pad))
			p, _ := packet.ParseIP(b)
			p.DecrementTTL()
			want = append(want, b)
		}
		r.receiver.round(0)
		if got := newPeerEnd(t, far).opened(t, r.link); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d packets went out other than the %d that came in", len(got), len(want))
		}
	})
}
