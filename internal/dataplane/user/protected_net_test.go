package user

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// An overlay MTU of 9000 over a path of 1500: the outer packets are cut, and what is cut is ESP.
func TestFragmentOuter(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark", "iperf3")
	t.Parallel()
	for _, c := range []struct {
		name string
		s    association
		ipv6 bool
	}{{"in UDP over IPv4", inUDP, false}, {"raw over IPv4", raw, false}, {"in UDP over IPv6", inUDP, true}, {"raw over IPv6", raw, true}} {
		t.Run(c.name, func(t *testing.T) {
			w, a, b := protectedPair(t, dataplane.Tunnel{Key: key(42), MTU: 9000, FragmentOuter: true}, c.s, c.ipv6, Options{})
			stop := w.capture("b", "eth0", "-s 0 ( ip or ip6 ) and not icmp6 and not ip6 proto 0")
			for _, to := range []string{"10.0.0.2", "fd00::2"} {
				w.in("a", "ping -c 3 -i 0.1 -W 2 -M do -s 8900 "+to)
				w.in("a", "ping -c 3 -i 0.1 -W 2 -M do -s 100 "+to)
			}
			rows := stop("ip.flags.df", "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr.offset", "ip.len", "ipv6.plen", "esp.spi", "gre.key")
			fragments := 0
			for _, row := range rows {
				f := strings.Split(row, "\t")
				n, _ := strconv.Atoi(f[4])
				m, _ := strconv.Atoi(f[5])
				if n > 1500 || m > 1460 || f[7] != "" {
					t.Fatalf("on the wire: %q", row)
				}
				if f[3] != "" || parseHex(f[2]) > 0 || strings.Contains(f[1], "1") || strings.Contains(f[1], "True") {
					fragments++
				}
			}
			if fragments < 12*6 {
				t.Errorf("%d fragments of %d packets", fragments, len(rows))
			}
			w.transfer("a", "b", "10.0.0.2 -n 2M")
			for _, n := range []*node{a, b} {
				if d := n.Stats()[0].Drops; d["too-big"]+d["send-failed"]+d["bad-icv"] > 0 {
					t.Errorf("drops %v", d)
				}
			}
		})
	}
}

func TestFragmentOuterInClear(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v over IPv6 %v", e, ipv6), func(t *testing.T) {
				w, a, _ := pair(t, dataplane.Tunnel{MTU: 9000, FragmentOuter: true, Encapsulation: e}, ipv6)
				w.in("a", "ping -c 3 -i 0.05 -W 2 -M do -s 8900 10.0.0.2")
				w.in("a", "ping -c 3 -i 0.05 -W 2 -M do -s 8900 fd00::2")
				if a.drops("tun0", "too-big") > 0 {
					t.Errorf("drops %v", a.Stats()[0].Drops)
				}
			})
		}
	}
}

// A path of less than 1280 and headers: IPv6 is cut outside, RFC 2473 section 7.1, in clear and protected.
func TestNarrowUnderlayCarriesIPv6(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, protected := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			t.Run(fmt.Sprintf("protected %v, UDP %v", protected, udp), func(t *testing.T) {
				var w *world
				switch c := (dataplane.Tunnel{MTU: 1280}); {
				case protected && udp:
					w, _, _ = protectedPair(t, c, inUDP, false, Options{})
				case protected:
					w, _, _ = protectedPair(t, c, raw, false, Options{})
				case udp:
					c.Encapsulation = dataplane.GREUDP
					w, _, _ = pair(t, c, false)
				default:
					w, _, _ = pair(t, c, false)
				}
				for _, ns := range []string{"a", "b"} {
					w.in(ns, "ip link set eth0 mtu 1280")
				}
				w.in("a", "ping -c 3 -i 0.05 -W 2 -M do -s 1232 fd00::2")
			})
		}
	}
}

// What fits is what the SA leaves: the source is told exactly that.
func TestProtectedPathMTU(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, c := range []struct {
		name string
		s    association
		ipv6 bool
	}{
		{"in UDP over IPv4", inUDP, false}, {"raw over IPv6", raw, true},
		{"AES-CBC in UDP over IPv4", association{suite: suites[2], local: inUDP.local}, false},
		{"tunnel mode, raw over IPv4", association{tunnel: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, a, _ := protectedPair(t, dataplane.Tunnel{Key: key(42), MTU: 1430}, c.s, c.ipv6, Options{})
			w.in("a", "ip link set eth0 mtu 1400")
			w.in("b", "ip link set eth0 mtu 1400")
			config, out := a.tables.Interface("tun0").Config(), a.tables.Outbound(1)
			fit := innerRoom(config, out.Remote, out, 1400)
			outer := outerHeader(out.Remote) + out.Sealer.Overhead(fit+8) + fit + 8
			if c.s.tunnel {
				outer = outerHeader(out.Remote) + out.Sealer.Overhead(fit+28) + fit + 28
			}
			if outer > 1400 || outer+out.Sealer.Suite().BlockSize() <= 1400 {
				t.Errorf("%d octets make %d outside: want as many as fit 1400", fit, outer)
			}
			w.in("a", "ping -c 1 -W 2 -M do -s 1400 10.0.0.2") // cut this once, and learned
			said, _ := w.command("a", "ping -c 2 -i 0.2 -W 1 -M do -s 1400 10.0.0.2").CombinedOutput()
			if !strings.Contains(string(said), fmt.Sprintf("mtu = %d", fit)) && !strings.Contains(string(said), fmt.Sprintf("mtu=%d", fit)) {
				t.Errorf("ping says\n%swant %d", said, fit)
			}
			w.in("a", "ip route flush cache")
			a.do(dataplane.SetPathMTU{SA: 1, MTU: 1300})
			less := innerRoom(config, out.Remote, out, 1300)
			said, _ = w.command("a", fmt.Sprintf("ping -c 2 -i 0.2 -W 1 -M do -s %d 10.0.0.2", fit-28)).CombinedOutput()
			if !strings.Contains(string(said), fmt.Sprintf("mtu = %d", less)) && !strings.Contains(string(said), fmt.Sprintf("mtu=%d", less)) {
				t.Errorf("after SetPathMTU ping says\n%swant %d", said, less)
			}
			w.in("a", fmt.Sprintf("ping -c 1 -W 2 -M do -s %d 10.0.0.2", less-28))
			w.in("a", "ping -c 2 -i 0.1 -W 2 -M dont -s 1400 10.0.0.2") // in fragments inside
		})
	}
}

// Keys change under traffic as IKE changes them: first both can receive by the new, then they send by it, then the old go.
func TestRekeyLosesNothing(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	w, a, b := protectedPair(t, dataplane.Tunnel{Key: key(42)}, inUDP, false, Options{})
	ping := w.command("a", "ping -q -c 1000 -i 0.002 -W 2 10.0.0.2")
	var said bytes.Buffer
	ping.Stdout = &said
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- ping.Wait() }()
	s := inUDP.between([2]string{"192.0.2.1", "192.0.2.2"})
	rekeys, running := 0, true
	for running {
		next := s
		next.in, next.out = s.in+1, s.out+1
		a.do(next.inbound())
		b.do(next.mirrored().inbound(), next.mirrored().outbound())
		a.do(next.outbound())
		before := a.Stats()[0].PacketsIn
		eventually(t, "packets by the new keys", func() bool { // until what was on its way is there
			select {
			case <-done:
				running = false
			default:
			}
			return !running || a.Stats()[0].PacketsIn > before+3
		})
		a.do(dataplane.DeleteInbound{SPI: s.in})
		b.do(dataplane.DeleteInbound{SPI: s.out})
		s = next
		rekeys++
	}
	if !strings.Contains(said.String(), "1000 received") || rekeys < 5 {
		t.Errorf("%d rekeys:\n%s", rekeys, said.String())
	}
}

// IKE goes by both ports, long and short, and keeps out of the way of ESP.
func TestIKEDatagrams(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, ipv6 := range []bool{false, true} {
		_, a, b := protectedPair(t, dataplane.Tunnel{}, inUDP, ipv6, Options{Queues: 2})
		local := [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		if ipv6 {
			local = [2]netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}
		}
		for _, port := range []uint16{dataplane.IKEPort, dataplane.NATPort} {
			for _, size := range []int{ikeHeader, 1000, 5000} {
				message := bytes.Repeat([]byte{byte(port), 1}, size/2)
				from, to := netip.AddrPortFrom(local[0], port), netip.AddrPortFrom(local[1], port)
				a.do(dataplane.SendIKE{Local: from, Remote: to, Payload: message})
				if got := event[dataplane.ReceivedIKE](b); got.Local != to || got.Remote != from || !bytes.Equal(got.Payload, message) {
					t.Errorf("port %d, %d octets: got %d from %v to %v", port, size, len(got.Payload), got.Remote, got.Local)
				}
			}
		}
		from, to := netip.AddrPortFrom(local[0], dataplane.NATPort), netip.AddrPortFrom(local[1], dataplane.NATPort)
		a.do(dataplane.SendIKE{Local: from, Remote: to, Payload: []byte{keepalive}}, // comes to nothing
			dataplane.SendIKE{Local: from, Remote: to, Payload: bytes.Repeat([]byte{7}, ikeHeader)})
		if got := event[dataplane.ReceivedIKE](b); got.Payload[0] != 7 {
			t.Errorf("a keepalive is told as %x", got.Payload)
		}
		a.do(dataplane.SendIKE{Local: from, Remote: to, Payload: make([]byte, 5000), Whole: true}, // a probe that does not fit
			dataplane.SendIKE{Local: from, Remote: to, Payload: make([]byte, 1300), Whole: true})
		if got := event[dataplane.ReceivedIKE](b); len(got.Payload) != 1300 {
			t.Errorf("%d octets came whole", len(got.Payload))
		}
		if d := b.Stats()[0].Drops; d["esp-malformed"]+d["malformed"] > 0 {
			t.Errorf("drops %v", d)
		}
	}
}

// NHRP comes with the SA that it came out of, and needs one to leave.
func TestProtectedControl(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, s := range []association{inUDP, raw} {
		_, a, b := protectedPair(t, dataplane.Tunnel{Key: key(7)}, s, false, Options{})
		to := netip.MustParseAddrPort("192.0.2.2:0")
		a.do(dataplane.Send{Tunnel: "tun0", To: to, Protocol: packet.EtherNHRP, Payload: []byte("not this")},
			dataplane.Send{Tunnel: "tun0", To: to, SA: 9, Protocol: packet.EtherNHRP, Payload: []byte("nor this")},
			dataplane.Send{Tunnel: "tun0", To: to, SA: 1, Protocol: packet.EtherNHRP, Payload: []byte("hello")})
		want := dataplane.Received{Tunnel: "tun0", From: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), s.local.Port()), SA: 1, Protocol: packet.EtherNHRP}
		got := event[dataplane.Received](b)
		if string(got.Payload) != "hello" || got.From != want.From || got.SA != 1 {
			t.Errorf("received %+v, want hello as %+v", got, want)
		}
		if d := a.Stats()[0].Drops; d["no-sa"] != 1 || d["unprotected"] < 1 {
			t.Errorf("drops %v", d)
		}
	}
}

// The wire of protection lives as long as a tunnel needs it, beside those in clear, and its ports come free.
func TestProtectedWireComesAndGoes(t *testing.T) {
	needRoot(t, "ss")
	t.Parallel()
	w := newWorld(t, "a")
	w.in("a", "ip addr add 192.0.2.1/24 dev lo")
	n := w.plane("a", Options{})
	ports := func() string { return w.in("a", "ss -Huln") }
	c := dataplane.Tunnel{Name: "tun0", Local: netip.MustParseAddr("192.0.2.1"), Protected: true, Encapsulation: dataplane.ESP}
	other := dataplane.Tunnel{Name: "tun1", Local: c.Local, Protected: true, Encapsulation: dataplane.ESP, Key: key(1)}
	clear := dataplane.Tunnel{Name: "tun2", Local: c.Local, Encapsulation: dataplane.GREUDP}
	n.do(dataplane.SetTunnel{Tunnel: c}, dataplane.SetTunnel{Tunnel: other}, dataplane.SetTunnel{Tunnel: clear}, dataplane.DeleteTunnel{Name: "tun0"})
	if p := ports(); !strings.Contains(p, ":4500 ") || !strings.Contains(p, ":500 ") || !strings.Contains(p, ":4754 ") {
		t.Errorf("open ports:\n%s", p)
	}
	n.do(dataplane.DeleteTunnel{Name: "tun1"})
	if p := ports(); strings.Contains(p, ":4500 ") || strings.Contains(p, ":500 ") {
		t.Errorf("open ports:\n%s", p)
	}
	n.do(dataplane.SendIKE{Local: netip.AddrPortFrom(c.Local, 500), Remote: netip.MustParseAddrPort("192.0.2.2:500"), Payload: make([]byte, ikeHeader)})
	if f := event[dataplane.Failed](n); !strings.Contains(f.Err, "no protected tunnel is at 192.0.2.1") {
		t.Errorf("%+v", f)
	}
}

// recorder is a Tap.
type recorder struct{ said chan string }

func (r recorder) say(format string, args ...any) {
	select {
	case r.said <- fmt.Sprintf(format, args...):
	default:
	}
}

func (r recorder) Inner(dir Direction, tunnel string, peer dataplane.Origin, p []byte) {
	r.say("%v inner %s %v %d %x", dir, tunnel, peer.Endpoint, peer.SA, p[:1])
}

func (r recorder) Outer(dir Direction, local, remote netip.AddrPort, p []byte) {
	r.say("%v outer %v %v %x", dir, local, remote, p[:4])
}

func TestTap(t *testing.T) {
	r, e := newProtectedRig(t, dataplane.Tunnel{}, inUDP)
	tap := recorder{make(chan string, 9)}
	pl := r.sender.device.plane
	pl.SetTap(tap)
	r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, marked)...))
	r.datagram(e.remote, e.gre(dataplane.Key{}, packet.AppendUDP(nil, back4, 1, 2, marked)))
	pl.SetTap(nil)
	r.frame(append(make([]byte, vnetLen), packet.AppendUDP(nil, toPeer4, 1, 2, marked)...))
	close(tap.said)
	var got []string
	for s := range tap.said {
		got = append(got, s)
	}
	want := "1 inner tun0 192.0.2.2:4500 1 45\n1 outer 192.0.2.1:4500 192.0.2.2:4500 00002000\n" +
		"0 outer 192.0.2.1:4500 192.0.2.2:4500 00001000\n0 inner tun0 192.0.2.2:4500 1 45"
	if strings.Join(got, "\n") != want {
		t.Errorf("the tap got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
