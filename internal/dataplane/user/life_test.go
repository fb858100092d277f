package user

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

func key(v uint32) dataplane.Key { return dataplane.Key{Value: v, Set: true} }

func TestTwoTunnelsOnOneAddress(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		t.Run(e.String(), func(t *testing.T) {
			w, a, b := pair(t, dataplane.Tunnel{Key: key(1), Encapsulation: e}, false)
			for i, n := range []*node{a, b} {
				n.tunnel(dataplane.Tunnel{
					Name: "tun1", Local: netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i+1)), MTU: 1400, Encapsulation: e,
					Addresses: prefixes(fmt.Sprintf("10.0.1.%d/24", i+1)), // without a key
				})
				n.peer("tun1", fmt.Sprintf("10.0.1.%d", 2-i), fmt.Sprintf("192.0.2.%d", 2-i))
			}
			w.in("a", "ping -c 2 -i 0.01 -W 2 10.0.0.2")
			w.in("a", "ping -c 3 -i 0.01 -W 2 10.0.1.2")
			for tunnel, want := range map[string]uint64{"tun0": 2, "tun1": 3} {
				eventually(t, fmt.Sprintf("%s counts %d packets, and few others", tunnel, want), func() bool {
					got := b.packetsIn(tunnel)
					return got >= want && got <= want+4
				})
			}
			a.do(dataplane.SetTunnel{Tunnel: dataplane.Tunnel{Name: "tun2", Local: netip.MustParseAddr("192.0.2.1"), Key: key(1), Encapsulation: e}})
			if f := event[dataplane.Failed](a); f.Tunnel != "tun2" || !strings.Contains(f.Err, "tun0 has this key") {
				t.Errorf("the same key twice: %+v", f)
			}
			a.do(dataplane.DeleteTunnel{Name: "tun0"}, dataplane.SetTunnel{Tunnel: dataplane.Tunnel{
				Name: "tun2", Local: netip.MustParseAddr("192.0.2.1"), Key: key(3), Encapsulation: e}})
			w.in("a", "ping -c 1 -W 2 10.0.1.2")     // undisturbed
			before := b.drops("tun0", "unknown-key") // what a's kernel sent by tun1 before b had it
			a.do(dataplane.Send{Tunnel: "tun2", To: b.Peers("tun1")[0].Endpoint, Protocol: 0x0800})
			a.do(dataplane.Send{Tunnel: "tun2", To: netip.MustParseAddrPort("192.0.2.2:0"), Protocol: packet.EtherNHRP})
			eventually(t, "an unknown key is counted", func() bool { return b.drops("tun0", "unknown-key") == before+1 })
		})
	}
}

// eventually waits for what packets on their way will make true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("never: %s", what)
			return
		}
	}
}

func TestControlPackets(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, c := range []struct {
		name string
		e    dataplane.Encapsulation
		ipv6 bool
		port uint16
	}{{"GRE over IPv4", dataplane.GRE, false, 0}, {"GRE over IPv6", dataplane.GRE, true, 0}, {"in UDP over IPv4", dataplane.GREUDP, false, 4754}, {"in UDP over IPv6", dataplane.GREUDP, true, 4754}} {
		t.Run(c.name, func(t *testing.T) {
			_, a, b := pair(t, dataplane.Tunnel{Key: key(7), Encapsulation: c.e}, c.ipv6)
			to := a.Peers("tun0")[0].Endpoint
			a.do(dataplane.Send{Tunnel: "tun0", To: to, Protocol: packet.EtherNHRP, Payload: []byte("hello")})
			r := event[dataplane.Received](b)
			want := netip.AddrPortFrom(b.Peers("tun0")[0].Endpoint.Addr(), c.port)
			if string(r.Payload) != "hello" || r.Tunnel != "tun0" || r.From != want || r.Protocol != packet.EtherNHRP || r.SA != 0 {
				t.Errorf("received %+v, want hello from %v", r, want)
			}
			for range 3000 { // nobody listens: the queue of 1024 is full, and a source has its limit
				a.Do(dataplane.Send{Tunnel: "tun0", To: to, Protocol: packet.EtherNHRP, Payload: make([]byte, 100)})
			}
			eventually(t, "a flood is counted", func() bool { return b.drops("tun0", "control-queue-full") > 0 })
		})
	}
}

func TestNothingInClearOnAProtectedTunnel(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	w, a, b := pair(t, dataplane.Tunnel{Protected: true}, false)
	stop := w.capture("b", "eth0", "ip proto 47")
	w.command("a", "ping -c 2 -i 0.1 -W 1 10.0.0.2").Run()
	w.command("a", "ping -c 1 -W 1 224.0.0.5").Run()
	a.do(dataplane.Send{Tunnel: "tun0", To: a.Peers("tun0")[0].Endpoint, SA: 5, Protocol: packet.EtherNHRP, Payload: []byte("x")})
	if rows := stop("ip.src"); rows[0] != "" {
		t.Errorf("%d packets left in clear", len(rows))
	}
	if n := a.drops("tun0", "unprotected"); n < 3 {
		t.Errorf("%d counted, want at least 3", n)
	}
	c := *a.tables.Interface("tun0").Config()
	c.Protected = false
	a.do(dataplane.SetTunnel{Tunnel: c})
	w.command("a", "ping -c 1 -W 1 10.0.0.2").Run()
	a.do(dataplane.Send{Tunnel: "tun0", To: a.Peers("tun0")[0].Endpoint, Protocol: packet.EtherNHRP, Payload: []byte("x")})
	eventually(t, "clear packets are refused", func() bool { return b.drops("tun0", "unprotected") >= 2 })
	if s := b.Stats()[0]; s.PacketsIn != 0 {
		t.Errorf("%d packets came in", s.PacketsIn)
	}
}

func TestMulticastGoesToAll(t *testing.T) {
	needRoot(t, "ping", "tcpdump", "tshark")
	t.Parallel()
	w, _, a, b := star(t, dataplane.Tunnel{})
	before := map[*node]uint64{}
	for _, n := range []*node{a, b} {
		before[n] = n.Stats()[0].PacketsIn
	}
	stops := []func(...string) []string{}
	for _, ns := range []string{"a", "b"} {
		stops = append(stops, w.capture(ns, "tun0", "dst 224.0.0.5 or dst ff02::5 or dst 10.0.0.255"))
	}
	w.in("h", "sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0")
	w.command("h", "ping -c 1 -W 1 -I tun0 224.0.0.5").Run()
	w.command("h", "ping -c 1 -W 1 -I tun0 ff02::5").Run()
	w.command("h", "ping -c 1 -W 1 -b 10.0.0.255").Run()
	for n, count := range before {
		eventually(t, "three packets come in", func() bool { return n.Stats()[0].PacketsIn >= count+3 })
	}
	for i, stop := range stops {
		got := strings.Join(strings.Fields(strings.Join(stop("ip.dst", "ipv6.dst"), " ")), " ")
		if got != "224.0.0.5 ff02::5 10.0.0.255" {
			t.Errorf("spoke %d got %q", i, got)
		}
	}
}

func TestLocalAddressMoves(t *testing.T) {
	needRoot(t, "ping")
	t.Parallel()
	w, a, b := pair(t, dataplane.Tunnel{Key: key(1)}, false)
	w.in("a", "ping -c 2 -i 0.01 -W 2 10.0.0.2")
	before := a.Peers("tun0")[0].PacketsOut
	w.in("a", "ip addr del 192.0.2.1/24 dev eth0")
	w.in("a", "ip addr add 192.0.2.11/24 dev eth0")
	c := *a.tables.Interface("tun0").Config()
	c.Local = netip.MustParseAddr("192.0.2.12")
	a.do(dataplane.SetTunnel{Tunnel: c})
	if f := event[dataplane.Failed](a); !strings.Contains(f.Err, "no interface has this address") {
		t.Errorf("bound to an address that is nowhere: %+v", f)
	}
	w.command("a", "ping -c 1 -W 1 10.0.0.2").Run()
	if a.drops("tun0", "no-underlay") == 0 {
		t.Errorf("drops %+v, want no-underlay", a.Stats()[0].Drops)
	}
	c.Local = netip.MustParseAddr("192.0.2.11")
	a.do(dataplane.SetTunnel{Tunnel: c})
	b.peer("tun0", "10.0.0.1", "192.0.2.11")
	w.in("a", "ping -c 2 -i 0.01 -W 2 10.0.0.2")
	if p := a.Peers("tun0")[0]; p.PacketsOut < before+2 {
		t.Errorf("counted %d, want %d and more", p.PacketsOut, before+2)
	}
}

func TestFailuresInPlainWords(t *testing.T) {
	needRoot(t)
	t.Parallel()
	w := newWorld(t, "a")
	w.in("a", "ip addr add 192.0.2.1/24 dev lo")
	w.in("a", "ip link add taken0 type veth peer name taken1")
	n, other := w.plane("a", Options{}), w.plane("a", Options{})
	local := netip.MustParseAddr("192.0.2.1")
	udp := dataplane.Tunnel{Name: "tun0", Local: local, Encapsulation: dataplane.GREUDP}
	other.do(dataplane.SetTunnel{Tunnel: udp})
	for _, c := range []struct {
		name   string
		effect any
		says   string
	}{
		{"another kind of interface", dataplane.SetTunnel{Tunnel: dataplane.Tunnel{Name: "taken0"}}, "another kind exists"},
		{"a device of another process", dataplane.SetTunnel{Tunnel: udp}, "another process has this device"},
		{"a taken port", dataplane.SetTunnel{Tunnel: dataplane.Tunnel{Name: "tun1", Local: local, Encapsulation: dataplane.GREUDP}}, "another process has it"},
		{"a name too long", dataplane.SetTunnel{Tunnel: dataplane.Tunnel{Name: "a-name-too-long0"}}, "is no name for an interface"},
		{"no such tunnel", dataplane.Send{Tunnel: "none"}, "there is no tunnel of this name"},
	} {
		n.do(c.effect)
		if f := event[dataplane.Failed](n); !strings.Contains(f.Err, c.says) {
			t.Errorf("%s: %+v, want %q", c.name, f, c.says)
		}
	}
	other.do(dataplane.DeleteTunnel{Name: "tun0"})
	made := func() bool { // a process that another test is just starting may hold the old device yet
		n.do(dataplane.SetTunnel{Tunnel: udp})
		return w.command("a", "ip link show tun0").Run() == nil
	}
	eventually(t, "the device is free", made)
	n.do(dataplane.DeleteTunnel{Name: "tun0"})
	eventually(t, "the device is made again", made)
	for len(n.events) > 0 {
		<-n.events
	}
	w.in("a", "ip link del tun0")
	if f := event[dataplane.Failed](n); f.Tunnel != "tun0" || !strings.Contains(f.Doing, "read") {
		t.Errorf("the device was deleted: %+v", f)
	}
	eventually(t, "the device is made after somebody deleted it", made)
}

func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t, "ping")
	w := newWorld(t, "a", "b")
	w.veth("a eth0 192.0.2.1/24 2001:db8::1/64", "b eth0 192.0.2.2/24 2001:db8::2/64")
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 3 {
		n := w.plane("a", Options{Queues: 2})
		for i, l := range []string{"192.0.2.1", "2001:db8::1", "192.0.2.1"} {
			n.tunnel(dataplane.Tunnel{Name: fmt.Sprintf("tun%d", i), Local: netip.MustParseAddr(l), MTU: 1400, Key: key(uint32(i)),
				Encapsulation: dataplane.Encapsulation(i % 2), Addresses: prefixes(fmt.Sprintf("10.0.%d.1/24", i))})
		}
		n.peer("tun0", "10.0.0.2", "192.0.2.2")
		w.command("a", "ping -c 1 -W 1 10.0.0.2").Run()
		n.Close()
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if got := descriptors(t); got > fds {
		t.Errorf("%d descriptors, before %d", got, fds)
	}
	if out := w.in("a", "ip -br link show type tun"); out != "" {
		t.Errorf("devices left: %s", out)
	}
}

// A hub has more spokes than a kernel has neighbours. IPv4 makes one entry for all of a point-to-point device;
// IPv6 makes one per next hop, without state, which the kernel drops when it wants the room: no packet may be lost.
func TestMoreSpokesThanNeighbours(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const spokes = 1500 // the limit is 1024
	w, a, _ := pair(t, dataplane.Tunnel{MTU: 1400}, false)
	w.in("a", "ip addr add 10.9.0.1/16 dev tun0")
	a.do(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.9.0.0/16"), NextHops: []dataplane.NextHop{{Tunnel: "tun0"}}})
	for i := range spokes {
		a.peer("tun0", fmt.Sprintf("fd00::1:%x", i), "192.0.2.2")
		a.peer("tun0", fmt.Sprintf("10.9.%d.%d", 1+i/200, 1+i%200), "192.0.2.2")
	}
	w.enter("a", func() {
		for i := range spokes {
			for _, dst := range []string{fmt.Sprintf("10.9.%d.%d:9", 1+i/200, 1+i%200), fmt.Sprintf("[fd00::1:%x]:9", i)} {
				c, err := net.Dial("udp", dst)
				if err == nil {
					_, err = c.Write([]byte("x"))
					c.Close()
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			if i%100 == 99 { // the device's queue holds 500
				eventually(t, "the queue empties", func() bool { return a.Stats()[0].PacketsOut >= uint64(2*i+2) })
			}
		}
	})
	eventually(t, "all packets leave", func() bool {
		sent := 0
		for _, p := range a.Peers("tun0") {
			sent += int(min(p.PacketsOut, 1))
		}
		return sent >= 2*spokes
	})
	if n := strings.Count(w.in("a", "ip -4 neigh show nud all dev tun0"), "\n"); n > 2 {
		t.Errorf("%d IPv4 neighbours, want one for all", n)
	}
}

func TestMSS(t *testing.T) {
	needRoot(t, "tcpdump", "tshark")
	t.Parallel()
	w, _, _ := pair(t, dataplane.Tunnel{MSS: true, MTU: 1300}, false)
	w.in("a", "ip link set tun0 mtu 1476") // what ends behind us believe
	stop := w.capture("b", "eth0", "ip proto 47")
	w.enter("a", func() {
		for _, to := range []string{"10.0.0.2:9", "[fd00::2]:9"} {
			net.DialTimeout("tcp", to, 5*time.Second)
		}
	})
	mss := map[string]bool{}
	for _, f := range strings.Fields(strings.Join(stop("tcp.options.mss_val"), " ")) {
		mss[f] = true
	}
	if len(mss) != 2 || !mss["1260"] || !mss["1240"] {
		t.Errorf("MSS %v, want 1260 and 1240", mss)
	}
}

// What the superframes are cut into and merged from is the bytes that were sent, both ways at once.
func TestBytesArrive(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const size = 8 << 20
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(data)
	want := sha256.Sum256(data)
	for _, e := range []dataplane.Encapsulation{dataplane.GRE, dataplane.GREUDP} {
		for _, to := range []string{"10.0.0.2", "fd00::2"} {
			t.Run(fmt.Sprintf("%v %s", e, to), func(t *testing.T) {
				w, a, _ := pair(t, dataplane.Tunnel{Key: key(9), Encapsulation: e, MSS: true, MTU: 1400}, false)
				var l net.Listener
				var err error
				w.enter("b", func() { l, err = net.Listen("tcp", net.JoinHostPort(to, "5000")) })
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				got := make(chan [32]byte, 2)
				exchange := func(c net.Conn) {
					c.SetDeadline(time.Now().Add(20 * time.Second))
					go io.Copy(c, bytes.NewReader(data))
					h := sha256.New()
					io.CopyN(h, c, size)
					got <- [32]byte(h.Sum(nil))
				}
				go func() {
					if c, err := l.Accept(); err == nil {
						exchange(c)
					}
				}()
				w.enter("a", func() {
					var c net.Conn
					if c, err = net.DialTimeout("tcp", net.JoinHostPort(to, "5000"), 5*time.Second); err == nil {
						go exchange(c)
					}
				})
				if err != nil {
					t.Fatalf("%v: %+v %v", err, a.Stats(), len(a.events))
				}
				if x, y := <-got, <-got; x != want || y != want {
					t.Error("what arrived is not what was sent")
				}
				if s := a.Stats()[0]; s.Drops["malformed"] > 0 || s.BytesOut < size || s.BytesIn < size {
					t.Errorf("counted %+v", s)
				}
			})
		}
	}
}
