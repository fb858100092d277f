package dataplane

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func from(s string, port uint16) Origin { return Origin{Endpoint: at(s, port)} }

func at(s string, port uint16) Endpoint { return netip.AddrPortFrom(addr(s), port) }

// tables is a hub: tun0 and tun1 in cloud 1, tun2 in cloud 2, eth0 the kernel's.
func tables(effects ...any) *Tables {
	t := NewTables()
	for i, cloud := range []uint32{1, 1, 2} {
		t.Apply(SetTunnel{Tunnel{
			Name: fmt.Sprintf("tun%d", i), Cloud: cloud,
			Addresses: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.1/24", i)), netip.MustParsePrefix(fmt.Sprintf("fd00:%d::1/64", i))},
		}})
		t.Apply(route(fmt.Sprintf("10.0.%d.0/24", i), NextHop{Tunnel: fmt.Sprintf("tun%d", i)}))
	}
	t.Apply(route("192.168.0.0/24", NextHop{}))
	for _, e := range effects {
		t.Apply(e)
	}
	return t
}

func route(prefix string, hops ...NextHop) SetRoute {
	return SetRoute{Prefix: netip.MustParsePrefix(prefix), NextHops: hops}
}

func via(tunnel, next string) NextHop { return NextHop{Tunnel: tunnel, Via: addr(next)} }

func peer(tunnel, next, endpoint string) SetAdjacency {
	return SetAdjacency{Tunnel: tunnel, NextHop: addr(next), Endpoint: at(endpoint, 0)}
}

// show is a way in words: tunnel, next hop, endpoint, "miss".
func show(w Way) string {
	if w.Interface == nil {
		return "kernel"
	}
	s := w.Interface.Name + " " + w.NextHop.String()
	if w.Adjacency != nil {
		s += " " + w.Adjacency.Endpoint.Addr().String()
	}
	if w.Missed {
		s += " miss"
	}
	return s
}

func TestLookup(t *testing.T) {
	tab := tables(
		peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun0", "10.0.0.3", "192.0.2.3"), peer("tun1", "10.0.1.2", "192.0.2.9"),
		SetFallback{Tunnel: "tun0", NextHop: addr("10.0.0.3")},
		route("10.1.0.0/16", via("tun0", "10.0.0.2")), route("10.1.2.0/24", via("tun0", "10.0.0.77")),
		route("10.1.3.0/24"), route("10.1.4.0/24", via("tun9", "10.0.9.1")), route("10.1.5.0/24", NextHop{Via: addr("192.168.0.9")}),
		route("10.1.6.0/24", via("tun1", "10.0.1.77")),
	)
	for _, c := range []struct{ name, dst, vrf, out string }{
		{"on the link", "10.0.0.2", "tun0 10.0.0.2 192.0.2.2", "tun0 10.0.0.2 192.0.2.2"},
		{"on the link, unknown", "10.0.0.9", "tun0 10.0.0.9 192.0.2.3 miss", "tun0 10.0.0.9 192.0.2.3 miss"},
		{"by a next hop", "10.1.9.9", "tun0 10.0.0.2 192.0.2.2", "tun0 10.0.0.2 192.0.2.2"},
		{"longest match, unknown next hop", "10.1.2.9", "tun0 10.0.0.77 192.0.2.3 miss", "tun0 10.0.0.77 192.0.2.3 miss"},
		{"not ours", "192.168.0.5", "kernel", "tun0 invalid IP 192.0.2.3"},
		{"blackhole", "10.1.3.1", "kernel", "tun0 10.0.0.2 192.0.2.2"},
		{"a tunnel that is not there", "10.1.4.1", "kernel", "tun0 10.0.0.2 192.0.2.2"},
		{"the kernel's by a gateway", "10.1.5.1", "kernel", "tun0 10.0.0.2 192.0.2.2"},
		{"no fallback there", "10.1.6.1", "tun1 10.0.1.77 miss", "tun0 10.0.0.2 192.0.2.2"},
		{"no route", "203.0.113.1", "kernel", "tun0 invalid IP 192.0.2.3"},
	} {
		if got := show(tab.Lookup("", addr(c.dst), 0)); got != c.vrf {
			t.Errorf("%s: by the VRF %q, want %q", c.name, got, c.vrf)
		}
		if got := show(tab.Interface("tun0").Lookup(addr(c.dst), 0)); got != c.out {
			t.Errorf("%s: out of tun0 %q, want %q", c.name, got, c.out)
		}
	}
	if got := show(tab.Lookup("red", addr("10.0.0.2"), 0)); got != "kernel" {
		t.Errorf("another VRF: %q", got)
	}
}

func TestFallbackIsOfTheNextHopsFamily(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun0", "fd00:0::2", "192.0.2.3"),
		SetFallback{Tunnel: "tun0", NextHop: addr("10.0.0.2")}, SetFallback{Tunnel: "tun0", IPv6: true, NextHop: addr("fd00:0::2")})
	i := tab.Interface("tun0")
	if got := show(i.Lookup(addr("fd00:0::9"), 0)); got != "tun0 fd00::9 192.0.2.3 miss" {
		t.Errorf("IPv6: %q", got)
	}
	tab.Apply(SetFallback{Tunnel: "tun0", IPv6: true})
	if got := show(i.Lookup(addr("fd00:0::9"), 0)); got != "tun0 fd00::9 miss" {
		t.Errorf("without one: %q", got)
	}
	if got := show(i.Lookup(addr("10.0.0.9"), 0)); got != "tun0 10.0.0.9 192.0.2.2 miss" {
		t.Errorf("IPv4: %q", got)
	}
}

func TestFlowsShareByWeight(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun1", "10.0.1.2", "192.0.2.9"),
		route("10.1.0.0/16", NextHop{"tun0", addr("10.0.0.2"), 3}, NextHop{"tun1", addr("10.0.1.2"), 1}))
	count := map[string]int{}
	for i := range 1000 {
		hash := uint32(i) * 4294967
		count[tab.Lookup("", addr("10.1.1.1"), hash).Interface.Name]++
		if got := show(tab.Interface("tun1").Lookup(addr("10.1.1.1"), hash)); got != "tun1 10.0.1.2 192.0.2.9" {
			t.Fatalf("the kernel chose tun1, we %q", got)
		}
	}
	if count["tun0"] < 740 || count["tun0"] > 760 {
		t.Errorf("shares %v, want 3 to 1", count)
	}
}

// The kernel has a queue before each tunnel, and says that it has a route after it has sent packets by it: a route that moves from
// one tunnel to another is known in both for a while. What is known for sure comes first.
func TestRoutesPass(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun1", "10.0.1.2", "192.0.2.9"), peer("tun0", "10.0.0.3", "192.0.2.3"),
		route("10.1.0.0/16", via("tun0", "10.0.0.2")))
	check := func(when, tun0, tun1, transit string) {
		t.Helper()
		for i, want := range []string{tun0, tun1} {
			if got := show(tab.Interface(fmt.Sprint("tun", i)).Lookup(addr("10.1.1.1"), 0)); got != want {
				t.Errorf("%s: tun%d %q, want %q", when, i, got, want)
			}
		}
		if got := show(tab.Lookup("", addr("10.1.1.1"), 0)); got != transit {
			t.Errorf("%s: what only passes through goes by %q, want %q", when, got, transit)
		}
	}
	const first, second, none0, none1 = "tun0 10.0.0.2 192.0.2.2", "tun1 10.0.1.2 192.0.2.9", "tun0 invalid IP", "tun1 invalid IP"
	check("before", first, none1, first)
	tab.Apply(Expect{Prefix: netip.MustParsePrefix("10.1.0.0/16"), NextHops: []NextHop{via("tun1", "10.0.1.2")}})
	check("the kernel is being told", first, second, first)
	tab.Apply(route("10.1.0.0/16", via("tun1", "10.0.1.2")))
	check("it has told", first, second, second)
	tab.Apply(route("10.0.0.0/8", via("tun0", "10.0.0.3")))
	check("a shorter prefix leads there", "tun0 10.0.0.3 192.0.2.3", second, second)
	tab.Apply(DeleteRoute{Prefix: netip.MustParsePrefix("10.0.0.0/8")})
	tab.Apply(DeleteAdjacency{Tunnel: "tun0", NextHop: addr("10.0.0.2")})
	tab.Apply(DeleteAdjacency{Tunnel: "tun0", NextHop: addr("10.0.0.3")})
	check("nobody is there any more", none0, second, second)
	tab.Apply(DeleteRoute{Prefix: netip.MustParsePrefix("10.1.0.0/16")})
	check("deleted", none0, second, "kernel")
	tab.Apply(Forget{netip.MustParsePrefix("10.1.0.0/16")})
	check("forgotten", none0, none1, "kernel")
}

func TestRoutesComeAndGo(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun1", "10.0.1.2", "192.0.2.9"),
		route("10.1.0.0/16", via("tun0", "10.0.0.2")))
	out := func(tunnel string) string { return show(tab.Interface(tunnel).Lookup(addr("10.1.1.1"), 0)) }
	tab.Apply(route("10.1.0.0/16", via("tun1", "10.0.1.2")))
	tab.Apply(Forget{netip.MustParsePrefix("10.1.0.0/16")})
	if out("tun0") != "tun0 invalid IP" || out("tun1") != "tun1 10.0.1.2 192.0.2.9" {
		t.Errorf("moved: tun0 %q, tun1 %q", out("tun0"), out("tun1"))
	}
	tab.Apply(DeleteRoute{Prefix: netip.MustParsePrefix("10.1.0.0/16")})
	tab.Apply(DeleteRoute{VRF: "none", Prefix: netip.MustParsePrefix("10.1.0.0/16")})
	tab.Apply(Forget{netip.MustParsePrefix("10.1.0.0/16")})
	if out("tun1") != "tun1 invalid IP" || show(tab.Lookup("", addr("10.1.1.1"), 0)) != "kernel" {
		t.Errorf("deleted: %q", out("tun1"))
	}
	tab.Apply(DeleteTunnel{"tun0"})
	if got := show(tab.Lookup("", addr("10.0.0.2"), 0)); got != "kernel" || tab.Interface("tun0") != nil || len(tab.Interfaces()) != 2 {
		t.Errorf("a deleted tunnel is still there: %q", got)
	}
	tab.Apply(SetTunnel{Tunnel{Name: "tun0"}})
	if got := show(tab.Lookup("", addr("10.0.0.2"), 0)); got != "tun0 10.0.0.2 miss" {
		t.Errorf("made again, with the route still there and no adjacency: %q", got)
	}
}

func TestUsed(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), route("10.1.0.0/16", via("tun0", "10.0.0.2")))
	ask := func() bool { return tab.Apply(AskUsed{Prefix: netip.MustParsePrefix("10.1.0.0/16")}).(Used).Used }
	if ask() {
		t.Error("used before the first packet")
	}
	w := tab.Interface("tun0").Lookup(addr("10.1.1.1"), 0)
	w.Use()
	tab.Apply(route("10.1.0.0/16", via("tun0", "10.0.0.3"))) // the question survives a change of next hop
	if !ask() || ask() {
		t.Error("want used once, then not since")
	}
	if tab.Apply(AskUsed{VRF: "none"}).(Used).Used {
		t.Error("a route that is not there was used")
	}
}

func TestAdjacencies(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun0", "fd00:0::2", "192.0.2.2"))
	i := tab.Interface("tun0")
	v4, v6 := i.From(from("192.0.2.2", 0), false), i.From(from("192.0.2.2", 0), true)
	if v4 == nil || v6 == nil || v4.NextHop != addr("10.0.0.2") || v6.NextHop != addr("fd00:0::2") {
		t.Fatalf("one endpoint, two families: %v, %v", v4, v6)
	}
	v4.CountIn(1, 100)
	v4.Seen(7 * time.Second)
	v4.LearnPathMTU(1400, 0)
	tab.Apply(peer("tun0", "10.0.0.2", "192.0.2.7"))
	if a := i.From(from("192.0.2.7", 0), false); a == nil || a.Counters().BytesIn != 100 || a.LastIn() != 7*time.Second || a.HasPathMTU() {
		t.Errorf("moved: %+v: want the counters and not the path's MTU", a)
	}
	if a := i.From(from("192.0.2.2", 0), false); a != v6 {
		t.Errorf("at the old place is %v", a)
	}
	if i.From(from("192.0.2.2", 4754), true) != nil {
		t.Error("another port is another peer")
	}
	tab.Apply(DeleteAdjacency{"tun0", addr("fd00:0::2")})
	tab.Apply(DeleteAdjacency{"tun0", addr("fd00:0::2")})
	if i.From(from("192.0.2.2", 0), true) != nil || len(i.Peers()) != 1 {
		t.Errorf("deleted, and there are %+v", i.Peers())
	}
	for _, e := range []any{peer("none", "10.0.0.2", "192.0.2.2"), SetFallback{Tunnel: "none"}} {
		if _, ok := tab.Apply(e).(Failed); !ok {
			t.Errorf("%T on no tunnel does not fail", e)
		}
	}
	if ev := tab.Apply(DeleteAdjacency{"none", addr("10.0.0.2")}); ev != nil {
		t.Errorf("deleting on no tunnel: %v", ev)
	}
}

func TestPathMTUAges(t *testing.T) {
	var p Peer
	p.LearnPathMTU(1400, time.Minute)
	if p.PathMTU(10*time.Minute) != 1400 || p.PathMTU(12*time.Minute) != 0 {
		t.Error("RFC 1191 6.3: want 10 minutes")
	}
}

func TestMulticast(t *testing.T) {
	multi := func(next, endpoint string, yes bool) SetAdjacency {
		e := peer("tun0", next, endpoint)
		e.Multicast = yes
		return e
	}
	tab := tables(multi("10.0.0.3", "192.0.2.3", true), multi("10.0.0.2", "192.0.2.2", true),
		multi("fd00:0::2", "192.0.2.2", true), multi("10.0.0.4", "192.0.2.4", false))
	i := tab.Interface("tun0")
	names := func() (s string) {
		for _, a := range i.Multicast() {
			s += a.NextHop.String() + " "
		}
		return s
	}
	if got := names(); got != "10.0.0.2 10.0.0.3 " {
		t.Errorf("each endpoint once, in order: %q", got)
	}
	tab.Apply(multi("10.0.0.3", "192.0.2.3", false))
	tab.Apply(DeleteAdjacency{"tun0", addr("fd00:0::2")})
	if got := names(); got != "10.0.0.2 " {
		t.Errorf("after a change: %q", got)
	}
	for dst, want := range map[string]bool{
		"224.0.0.5": true, "239.1.1.1": true, "ff02::5": true, "255.255.255.255": true, "10.0.0.255": true,
		"10.0.0.254": false, "10.0.1.255": false, "fd00::2": false,
	} {
		if i.Floods(addr(dst)) != want {
			t.Errorf("%s floods: %v", dst, !want)
		}
	}
}

func TestTransit(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), peer("tun0", "10.0.0.3", "192.0.2.3"), peer("tun1", "10.0.1.2", "192.0.2.9"),
		peer("tun2", "10.0.2.2", "192.0.2.10"), route("10.1.0.0/16", via("tun0", "10.0.0.3")))
	for _, c := range []struct {
		name, dst string
		want      bool
	}{
		{"to another peer", "10.0.0.3", true},
		{"to a network behind another peer", "10.1.1.1", true},
		{"to the sender", "10.0.0.2", false},
		{"by another tunnel of the cloud", "10.0.1.2", true},
		{"into another cloud", "10.0.2.2", false},
		{"to ourselves", "10.0.0.1", false},
		{"to ourselves on another tunnel", "10.0.1.1", false},
		{"to a network of our own", "192.168.0.5", false},
		{"to everybody", "224.0.0.5", false},
		{"to nobody we know", "10.0.0.99", false},
	} {
		if _, got := tab.Interface("tun0").Transit(from("192.0.2.2", 0), addr(c.dst), 0); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(2*time.Second, 100)
	now := time.Hour
	if !l.Allow(1, now) || l.Allow(1, now) || l.Allow(1, now+1999*time.Millisecond) || !l.Allow(1, now+2*time.Second) {
		t.Error("want the first at once, then one in two seconds")
	}
	passed := 0
	for key := range uint64(100000) {
		if l.Allow(key+10, now+5*time.Second) {
			passed++
		}
	}
	if passed != 100 {
		t.Errorf("a flood of new flows: %d passed in a second, want 100", passed)
	}
	if !l.Allow(1, 50*24*time.Hour) || !l.Allow(1, 99*24*time.Hour) {
		t.Error("closed after the clock of 32 bits wrapped")
	}
}

func TestOverhead(t *testing.T) {
	for _, c := range []struct {
		name string
		Tunnel
		want int
	}{
		{"GRE over IPv4", Tunnel{Local: addr("192.0.2.1")}, 24},
		{"with key", Tunnel{Local: addr("192.0.2.1"), Key: Key{Set: true}}, 28},
		{"over IPv6", Tunnel{Local: addr("2001:db8::1")}, 44},
		{"in UDP with key", Tunnel{Local: addr("192.0.2.1"), Key: Key{Set: true}, Encapsulation: GREUDP}, 36},
	} {
		if got := Overhead(c.Tunnel); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range reasons {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d is called %q", r, r)
		}
		seen[r.String()] = true
	}
}

// Readers never see half a change: every lookup gives the old way or the new one. Run it with -race.
func TestReadersNeedNoLock(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), route("10.1.0.0/16", via("tun0", "10.0.0.2")))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				w := tab.Interface("tun0").Lookup(addr("10.1.1.1"), 0)
				if w.Use(); w.Adjacency == nil || w.Adjacency.NextHop != addr("10.0.0.2") {
					t.Errorf("saw %q", show(w))
					return
				}
				tab.Interface("tun0").From(from("192.0.2.2", 0), false)
				tab.Interface("tun0").Multicast()
				tab.TransitDue(addr("10.0.0.2"), addr("10.0.0.3"), time.Second)
			}
		})
	}
	for i := range 2000 {
		next := fmt.Sprintf("10.0.0.%d", 3+i%200)
		tab.Apply(peer("tun0", next, fmt.Sprintf("192.0.2.%d", i%250)))
		tab.Apply(route(fmt.Sprintf("10.2.%d.0/24", i%250), via("tun0", next)))
		tab.Apply(peer("tun0", "10.0.0.2", fmt.Sprintf("192.0.2.%d", i%2)))
		tab.Apply(DeleteAdjacency{"tun0", addr(next)})
		tab.Apply(DeleteRoute{Prefix: netip.MustParsePrefix(fmt.Sprintf("10.2.%d.0/24", i%250))})
	}
	close(stop)
	readers.Wait()
}

func TestLookupsAllocateNothing(t *testing.T) {
	tab := tables(peer("tun0", "10.0.0.2", "192.0.2.2"), route("10.1.0.0/16", via("tun0", "10.0.0.2")))
	i, dst, from := tab.Interface("tun0"), addr("10.1.1.1"), from("192.0.2.3", 0)
	if n := testing.AllocsPerRun(100, func() {
		w := i.Lookup(dst, 1)
		w.Use()
		i.Transit(from, dst, 1)
		i.From(from, false)
		tab.TransitDue(dst, dst, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup10k(b *testing.B) {
	tab := tables()
	for i := range 10000 {
		next := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		tab.Apply(SetAdjacency{Tunnel: "tun0", NextHop: next, Endpoint: netip.AddrPortFrom(next, 0)})
		tab.Apply(SetRoute{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(i >> 8), byte(i), 0}), 24), NextHops: []NextHop{{Tunnel: "tun0", Via: next}}})
	}
	i, n := tab.Interface("tun0"), 0
	for b.Loop() {
		n += 7919
		i.Lookup(netip.AddrFrom4([4]byte{172, byte(n % 10000 >> 8), byte(n % 10000), 9}), 0)
	}
}

func BenchmarkSetAdjacency(b *testing.B) {
	tab := tables()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := i % 10000
		next := netip.AddrFrom4([4]byte{10, 9, byte(n >> 8), byte(n)})
		tab.Apply(SetAdjacency{Tunnel: "tun0", NextHop: next, Endpoint: netip.AddrPortFrom(next, 0), Multicast: true})
	}
}

// Who is asked whether a shortcut is in use must not hear that counters were cleared.
func TestClearedCountersDoNotMakePeersIdle(t *testing.T) {
	tb, via := NewTables(), netip.MustParseAddr("10.0.0.2")
	tb.Apply(SetTunnel{Tunnel{Name: "tun0"}})
	tb.Apply(SetAdjacency{Tunnel: "tun0", NextHop: via, Endpoint: netip.MustParseAddrPort("192.0.2.2:0")})
	a := tb.Interface("tun0").Adjacency(via)
	used := func() bool { return tb.Apply(AskUsed{Tunnel: "tun0", NextHop: via}).(Used).Used }
	a.CountOut(1, 100)
	tb.Apply(ClearStats{})
	if !used() {
		t.Error("a peer in use looks idle after the counters were cleared")
	}
	if used() {
		t.Error("a peer looks in use though nothing went to it since it was asked")
	}
	a.CountOut(1, 100)
	used()
	tb.Apply(ClearStats{})
	if used() {
		t.Error("clearing the counters is taken for use")
	}
	a.CountOut(2, 300)
	if got, want := a.Counters(), (Counters{PacketsOut: 2, BytesOut: 300}); got != want {
		t.Errorf("counted %+v since, want %+v", got, want)
	}
}
