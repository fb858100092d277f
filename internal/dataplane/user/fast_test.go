package user

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// second gives the rig another tunnel with the peer 10.9.0.3.
func (r *rig) second(c dataplane.Tunnel) {
	pl := r.sender.device.plane
	c.Name, c.Local, c.Addresses = "tun1", netip.MustParseAddr("192.0.2.1"), prefixes("10.9.0.1/24")
	pl.tables.Apply(dataplane.SetTunnel{Tunnel: c})
	d := &device{plane: pl, name: c.Name, tunnel: pl.tables.Interface(c.Name), tun: r.sender.device.tun}
	d.open(func() {})
	d.wire.Store(r.sender.device.wire.Load())
	pl.setDevice(c.Name, d)
	pl.tables.Apply(dataplane.SetAdjacency{Tunnel: c.Name, NextHop: netip.MustParseAddr("10.9.0.3"), Endpoint: netip.MustParseAddrPort("192.0.2.9:0")})
	pl.tables.Apply(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.9.0.0/24"), NextHops: []dataplane.NextHop{{Tunnel: c.Name}}})
}

// syn is a TCP SYN with an MSS option of 1460.
func syn(h packet.Header) []byte {
	h.Protocol = packet.TCP
	b := packet.AppendIP(nil, h, 24)
	return append(b, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 6<<4, 2, 1, 0, 0, 0, 0, 0, 2, 4, 0x05, 0xb4)
}

func TestFastPathClampsMSSForBothTunnels(t *testing.T) {
	for _, c := range []struct {
		name    string
		in, out bool
		want    uint16
	}{
		{"neither", false, false, 1460},
		{"in, MTU 1400", true, false, 1360},
		{"out, MTU 1200", false, true, 1160},
		{"both", true, true, 1160},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, dataplane.Tunnel{FastPath: true, Cloud: 1, MSS: c.in})
			r.link.keep = true
			r.second(dataplane.Tunnel{FastPath: true, Cloud: 1, MSS: c.out, MTU: 1200})
			h := other4
			h.Destination = netip.MustParseAddr("10.9.0.3")
			r.gre(r.peer, 0, inGRE(dataplane.Key{}, syn(h)))
			r.flushWire()
			if len(r.link.sent) != 1 {
				t.Fatalf("%d packets sent, want 1", len(r.link.sent))
			}
			s := r.link.sent[0]
			if got := binary.BigEndian.Uint16(s[len(s)-2:]); got != c.want {
				t.Errorf("MSS %d, want %d", got, c.want)
			}
		})
	}
}

// The kernel drops such packets as martians, RFC 1812 section 5.3.7.
func TestFastPathForwardsNothingFromOurselves(t *testing.T) {
	for _, own := range []string{"10.0.0.1", "10.9.0.1"} {
		r := newRig(t, dataplane.Tunnel{FastPath: true, Cloud: 1})
		r.link.keep = true
		r.second(dataplane.Tunnel{FastPath: true, Cloud: 1, MTU: 1400})
		h := other4
		h.Source, h.Destination = netip.MustParseAddr(own), netip.MustParseAddr("10.9.0.3")
		r.gre(r.peer, 0, inGRE(dataplane.Key{}, packet.AppendUDP(nil, h, 1, 2, nil)))
		r.flushWire()
		if len(r.link.sent) > 0 {
			t.Errorf("a peer's packet from our own %s is sent to another peer", own)
		}
	}
}
