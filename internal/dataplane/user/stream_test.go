package user

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// What rides behind a stream's packets without being asked again is what would be let in if it was asked: each of these would
// not, or not as it is, though its headers are those of the stream.
func TestAStreamLetsNothingElseIn(t *testing.T) {
	k := key(42)
	segments := cutAll(t, superframe(back4, false, 6*1000, 1000, tcpACK))
	forged := slices.Clone(segments[3])
	copy(forged[12:], []byte{10, 0, 0, 3}) // another peer's address
	fixTCPAndIP(forged)
	for _, c := range []struct {
		name  string
		class uint8
		sent  func(e *peerEnd) []byte
		drop  string // "": it arrives
	}{
		{"the next segment", 0, func(e *peerEnd) []byte { return e.gre(k, segments[3]) }, ""},
		{"of another peer's address", 0, func(e *peerEnd) []byte { return e.gre(k, forged) }, "wrong-peer"},
		{"with another key of GRE", 0, func(e *peerEnd) []byte { return e.gre(key(43), segments[3]) }, "unknown-key"},
		{"without a key", 0, func(e *peerEnd) []byte { return e.gre(dataplane.Key{}, segments[3]) }, "unknown-key"},
		{"as IPv6", 0, func(e *peerEnd) []byte {
			return e.seal(nil, packet.GREIP, append(packet.AppendGRE(nil, packet.EtherIPv6, 42, true), segments[3]...))
		}, "malformed"},
		{"congested on the way, and it does not know ECN", 3, func(e *peerEnd) []byte { return e.gre(k, segments[3]) }, "ecn-illegal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, e := newProtectedRig(t, dataplane.Tunnel{Key: k}, inUDP)
			take := r.kernel(t)
			for _, p := range segments[:3] {
				r.datagram(e.remote, e.gre(k, p))
			}
			r.receiver.datagram(e.remote, c.class, c.sent(e))
			r.receiver.round(0)
			want := segments[:3]
			if c.drop == "" {
				want = segments[:4]
			}
			var got [][]byte
			for _, b := range take() {
				clearChecksum(b)
				got = append(got, cutAll(t, b)...)
			}
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d packets arrived, want %d", len(got), len(want))
			}
			d := r.sender.device.tunnel.ByReason()
			if c.drop == "" && len(d) != 0 || c.drop != "" && d[c.drop] != 1 {
				t.Errorf("drops %v, want %q", d, c.drop)
			}
		})
	}
}

// Packets that ride behind others are counted like them, and one from another place is told.
func TestAStreamIsCounted(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	var told []any
	r.sender.device.plane.post = func(ev any) bool { told = append(told, ev); return true }
	octets := 0
	segments := cutAll(t, superframe(back4, false, 10*1000, 1000, tcpACK))
	elsewhere := e.remote
	for i, p := range segments {
		octets += len(p)
		if i == 5 {
			elsewhere = netip.MustParseAddrPort("198.51.100.9:1024")
		}
		r.datagram(elsewhere, e.gre(dataplane.Key{}, p))
	}
	r.receiver.round(0)
	n := uint64(len(segments))
	c, sa := r.sender.device.tunnel.Counters(), r.sender.device.plane.tables.Association(1).Counters()
	if c.PacketsIn != n || c.BytesIn != uint64(octets) || sa.PacketsIn != n || sa.BytesIn != uint64(octets) {
		t.Errorf("tunnel %+v, SA %+v: want %d packets, %d octets", c, sa, n, octets)
	}
	if len(told) != 2 {
		t.Errorf("told %+v, want that the SA was used and that its peer has moved", told)
	}
}

// fixTCPAndIP makes the checksums of a packet right.
func fixTCPAndIP(b []byte) {
	packet.PutIPv4Checksum(b)
	u := b[20:]
	u[16], u[17] = 0, 0
	p, _ := packet.ParseIP(b)
	binary.BigEndian.PutUint16(u[16:], ^packet.Fold(packet.Sum(u, p.PseudoSum(packet.TCP, len(u)))))
}
