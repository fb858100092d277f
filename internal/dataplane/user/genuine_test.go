package user

import (
	"net/netip"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// The inner source is bound to the SA: whose tunnel address it is, sends it itself. What lies behind a peer passes, and so does
// what a server of ours passes on.
func TestNobodySpeaksWithAnothersTunnelAddress(t *testing.T) {
	for _, c := range []struct {
		name   string
		change dataplane.SetAdjacency // of 10.0.0.2, the sender, or of 10.0.0.3
		source string
		taken  bool
	}{
		{"its own", dataplane.SetAdjacency{}, "10.0.0.2", true},
		{"its own of the other family", dataplane.SetAdjacency{}, "fd00::2", true},
		{"of a network behind it", dataplane.SetAdjacency{}, "192.168.2.9", true},
		{"an address of the tunnel that nobody has", dataplane.SetAdjacency{}, "10.0.0.77", true},
		{"another peer's", dataplane.SetAdjacency{}, "10.0.0.3", false},
		{"another peer's of the other family", dataplane.SetAdjacency{}, "fd00::3", false},
		{"another's, from a server", dataplane.SetAdjacency{NextHop: back4.Source, SA: 1, Forwards: true}, "10.0.0.3", true},
		{"another's that need not send to us itself", dataplane.SetAdjacency{NextHop: other4.Destination, SA: 2}, "10.0.0.3", true},
		{"another's whose SA it is by now", dataplane.SetAdjacency{NextHop: other4.Destination, SA: 1, Bound: true}, "10.0.0.3", true},
	} {
		r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, inUDP)
		take := r.kernel(t)
		send := func(source string) {
			h := packet.Header{Source: netip.MustParseAddr(source), Destination: toPeer4.Source, TTL: 64}
			if h.Source.Is6() {
				h.Destination = toPeer6.Source
			}
			r.datagram(e.remote, e.gre(key(42), packet.AppendUDP(nil, h, 1, 2, marked)))
		}
		send(c.source) // what was found is remembered, until the tables change
		if c.change.NextHop.IsValid() {
			c.change.Tunnel = "tun0"
			r.apply(c.change)
			send(c.source)
		}
		r.receiver.round(0)
		want := map[bool]int{true: 1}[c.taken]
		if got := len(take()); got != want {
			t.Errorf("a packet with %s: %d came in, want %d", c.name, got, want)
		}
		wrong := r.sender.device.tunnel.ByReason()["wrong-peer"]
		if refused := !c.taken || c.change.NextHop.IsValid(); (wrong == 1) != refused {
			t.Errorf("a packet with %s: counted %d", c.name, wrong)
		}
	}
}

// Where everybody registers who has something to send, an SA alone is not enough. NHRP comes through: that is how one registers.
func TestAStrangerSendsNothingToMembers(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{Key: key(42)}, inUDP)
	take := r.kernel(t)
	s := e.association
	s.sa, s.in, s.out = 7, 0x1007, 0x2007
	r.protect(s)
	stranger, heard := newPeerEnd(t, s), 0
	r.sender.device.plane.post = func(ev any) bool {
		if got, ok := ev.(dataplane.Received); ok && got.SA == 7 {
			heard++
		}
		return true
	}
	for _, c := range []struct {
		name   string
		effect any
		want   int
	}{
		{"an open tunnel", dataplane.SetMembers{Tunnel: "tun0"}, 2},
		{"one of members", dataplane.SetMembers{Tunnel: "tun0", Only: true}, 1},
		{"one it is a member of", dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr("10.0.0.7"), SA: 7}, 2},
		{"one it has left", dataplane.DeleteAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr("10.0.0.7")}, 1},
	} {
		r.apply(c.effect)
		h := back4
		h.Source = netip.MustParseAddr("192.168.7.7")
		r.datagram(e.remote, stranger.gre(key(42), packet.AppendUDP(nil, h, 1, 2, marked)))
		r.datagram(e.remote, stranger.seal(nil, packet.GREIP, append(packet.AppendGRE(nil, packet.EtherNHRP, 42, true), "hello"...)))
		r.datagram(e.remote, e.gre(key(42), packet.AppendUDP(nil, back4, 1, 2, marked)))
		r.receiver.round(0)
		if got := len(take()); got != c.want {
			t.Errorf("%s: %d packets came in, want %d", c.name, got, c.want)
		}
	}
	if n := r.sender.device.plane.tables.Association(7).ByReason()["wrong-peer"]; n != 2 {
		t.Errorf("the SA counts %d", n)
	}
	if wrong := r.sender.device.tunnel.ByReason()["wrong-peer"]; wrong != 2 || heard != 4 {
		t.Errorf("counted %d, heard %d", wrong, heard)
	}
}
