package router

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/dataplane/user"
	"github.com/spokeway/spokeway/internal/packet"
)

func endpoint(s string) netip.AddrPort {
	if e, err := netip.ParseAddrPort(s); err == nil {
		return e
	}
	return netip.AddrPortFrom(netip.MustParseAddr(s), 0)
}

func TestSelection(t *testing.T) {
	byAddress := selection{addr: netip.MustParseAddr("192.0.2.1")}
	behind := selection{endpoints: []netip.AddrPort{endpoint("192.0.2.1:4500")}, sas: []dataplane.SA{7}}
	tests := []struct {
		name   string
		s      selection
		remote string
		sa     dataplane.SA
		want   bool
	}{
		{"all", selection{all: true}, "192.0.2.9", 3, true},
		{"underlay address, whatever the port", byAddress, "192.0.2.1:999", 3, true},
		{"underlay address, mapped", byAddress, "[::ffff:192.0.2.1]:4500", 0, true},
		{"underlay address of another", byAddress, "192.0.2.2", 3, false},
		{"peer by its SA, wherever it is", behind, "192.0.2.9:4500", 7, true},
		{"another SA behind the same NAT", behind, "192.0.2.1:4500", 8, false},
		{"outer packet of the peer", behind, "192.0.2.1:4500", 0, true},
		{"outer packet of another behind the same NAT", behind, "192.0.2.1:4501", 0, false},
		{"IKE of the peer", behind, "192.0.2.1:500", 0, true},
		{"IKE of another", behind, "192.0.2.2:500", 0, false},
		{"nobody yet", selection{}, "192.0.2.1", 0, false},
	}
	for _, tt := range tests {
		if got := tt.s.has(endpoint(tt.remote), tt.sa); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTapWritesWhatTunnelsCarry(t *testing.T) {
	h := packet.Header{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), TTL: 64}
	inner := packet.AppendUDP(nil, h, 1, 2, []byte("payload"))
	gre := append(packet.AppendGRE(nil, packet.EtherIPv4, 42, true), inner...)
	esp := append([]byte{0xc0, 0xff, 0xee, 1, 0, 0, 0, 9}, make([]byte, 40)...)
	feed := func(tap user.Tap) {
		peer := dataplane.Origin{Endpoint: endpoint("192.0.2.2:4500"), SA: 7}
		tap.Inner(user.In, "tun0", peer, inner)
		tap.Inner(user.Out, "tun0", peer, []byte{0, 1, 8, 0}) // NHRP
		tap.Outer(user.In, endpoint("192.0.2.1"), endpoint("192.0.2.2"), gre)
		tap.Outer(user.Out, endpoint("192.0.2.1"), endpoint("192.0.2.2"), esp)
		tap.Outer(user.Out, endpoint("192.0.2.1:4500"), endpoint("192.0.2.2:4500"), esp)
		tap.Outer(user.In, endpoint("[2001:db8::1]:4500"), endpoint("[2001:db8::2]:4500"), esp)
	}
	tests := []struct {
		name         string
		inner, outer bool
		want         []string
	}{
		{"inner", true, false, []string{"tun0 in 10.0.0.1 10.0.0.2 17"}},
		{"outer", false, true, []string{
			"underlay in 192.0.2.2 192.0.2.1 47", "underlay out 192.0.2.1 192.0.2.2 50", "underlay out 192.0.2.1 192.0.2.2 17",
			"underlay in 2001:db8::2 2001:db8::1 17",
		}},
	}
	for _, tt := range tests {
		one := &tap{inner: tt.inner, outer: tt.outer, queue: capture.NewQueue()}
		one.chosen.Store(&selection{all: true})
		feed(several{one})
		if got := read(t, one.queue, len(tt.want)); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
		one.chosen.Store(&selection{})
		feed(one)
		one.chosen.Store(&selection{all: true})
		one.inner, one.outer = true, false
		one.Inner(user.In, "last", dataplane.Origin{}, inner)
		if got := read(t, one.queue, 1); got[0] != "last in 10.0.0.1 10.0.0.2 17" {
			t.Errorf("%s: of a peer that is not selected: %q", tt.name, got)
		}
	}
}

// read takes n packets out of a queue; all are well-formed.
func read(t *testing.T, q *capture.Queue, n int) (rows []string) {
	t.Helper()
	var b bytes.Buffer
	if err := q.Stream(t.Context(), &b, "test", n, func(string) string { return "" }); err != nil {
		t.Fatal(err)
	}
	for r := capture.NewReader(&b); ; {
		block, err := r.Next()
		if err != nil {
			return rows
		}
		if c := block.Packet; c != nil {
			p, err := packet.ParseIP(c.Data)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprint(c.Interface, " ", c.Direction, " ", p.Source(), " ", p.Destination(), " ", p.Protocol))
		}
	}
}

func TestCapturesShareOneTap(t *testing.T) {
	var now user.Tap
	ts := taps{set: func(t user.Tap) { now = t }}
	var all []*tap
	for range maxCaptures {
		one := &tap{queue: capture.NewQueue()}
		if err := ts.add(one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := ts.add(&tap{}); err == nil {
		t.Error("captures without bound")
	}
	if n := len(now.(several)); n != maxCaptures {
		t.Errorf("the plane tells %d captures", n)
	}
	for _, one := range all {
		ts.remove(one)
	}
	if now != nil {
		t.Errorf("without a capture the plane still has a tap: %v", now)
	}
}
