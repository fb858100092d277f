package dataplane

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

var gcm256 = esp.Suite{Encryption: esp.AESGCM, KeyBits: 256}

// keys are those of one direction; both ends have the same for the same fill.
func keys(s esp.Suite, fill byte) esp.Keys {
	e, i := s.KeyLens()
	k := esp.Keys{Suite: s, Encryption: bytes.Repeat([]byte{1}, e), Integrity: bytes.Repeat([]byte{1}, i)}
	k.Encryption[0] = fill
	return k
}

func inbound(sa SA, spi uint32) SetInbound {
	return SetInbound{SA: sa, SPI: spi, Keys: keys(gcm256, byte(spi)), ESN: true}
}

func outbound(sa SA, spi uint32) SetOutbound {
	return SetOutbound{SA: sa, SPI: spi, Keys: keys(gcm256, byte(spi)), ESN: true, Local: at("192.0.2.1", 4500), Remote: at("192.0.2.2", 4500)}
}

func apply(t testing.TB, tab *Tables, effects ...any) {
	t.Helper()
	for _, e := range effects {
		if ev := tab.Apply(e); ev != nil {
			t.Fatalf("%T: %v", e, ev)
		}
	}
}

func TestDenseModel(t *testing.T) {
	var d dense[uint32]
	want := map[uint32]uint32{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		n := r.Uint32N(5000)
		if r.IntN(50) == 0 {
			n = r.Uint32() & indexMask
		}
		if r.IntN(3) == 0 {
			d.remove(n)
			delete(want, n)
		} else {
			v := r.Uint32()
			d.set(n, &v)
			want[n] = v
		}
		if v := d.get(n | r.Uint32()&^indexMask); (v != nil) != (want[n] != 0) || v != nil && *v != want[n] {
			t.Fatalf("at %d: %v, want %d", n, v, want[n])
		}
	}
	if got := len(d.all()); got != len(want) {
		t.Errorf("%d of %d", got, len(want))
	}
	for n := range want {
		d.remove(n)
	}
	for _, c := range *d.chunks.Load() {
		if c != nil {
			t.Fatal("an empty chunk is kept")
		}
	}
}

func TestSAsAreFoundByTheWholeNumber(t *testing.T) {
	tab := NewTables()
	const sa, spi = 0x12300007, 0xabc00005
	apply(t, tab, inbound(sa, spi), outbound(sa, 0x99900001))
	if o := tab.Outbound(sa); o == nil || o.SA != sa || o.SPI != 0x99900001 || o.Sealer.SPI() != o.SPI {
		t.Errorf("outbound %+v", o)
	}
	if in := tab.Inbound(spi); in == nil || in.SA != sa || in.Opener.SPI() != spi || in.Association != tab.Association(sa) {
		t.Errorf("inbound %+v", in)
	}
	if tab.Outbound(0x12400007) != nil || tab.Outbound(7) != nil || tab.Inbound(0xabd00005) != nil || tab.Inbound(5) != nil || tab.Outbound(0) != nil {
		t.Error("a number that shares the place finds another's")
	}
	apply(t, tab, DeleteSA{0x12400007}, DeleteInbound{0xabd00005}, MoveSA{SA: 7})
	if tab.Outbound(sa) == nil || tab.Inbound(spi) == nil {
		t.Error("a stale number removes another's")
	}
}

func TestSALife(t *testing.T) {
	tab := NewTables()
	apply(t, tab, inbound(1, 0x1001), outbound(1, 0x2001))
	old := tab.Outbound(1)
	apply(t, tab, inbound(1, 0x1002), outbound(1, 0x2002)) // make before break
	if tab.Inbound(0x1001) == nil || tab.Inbound(0x1002) == nil || tab.Outbound(1).SPI != 0x2002 {
		t.Error("while keys change both inbound ones are good, and the last outbound")
	}
	if old.Association != tab.Outbound(1).Association {
		t.Error("the counters went with the keys")
	}
	apply(t, tab, DeleteInbound{0x1001})
	if tab.Inbound(0x1001) != nil || tab.Inbound(0x1002) == nil {
		t.Error("the wrong one is deleted")
	}
	apply(t, tab, DeleteSA{1})
	if tab.Outbound(1) != nil || tab.Inbound(0x1002) != nil || tab.Association(1) != nil || len(tab.SAs()) != 0 || old.Outbound() != nil {
		t.Error("something is left of a deleted handle")
	}
	apply(t, tab, DeleteSA{1}, DeleteInbound{0x1002}, MoveSA{SA: 1}, SetPathMTU{1, 1400}) // what is gone is gone
}

func TestSAsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []any
		effect any
	}{
		{"an SPI in use: its replay window would begin again", []any{inbound(1, 0x1001)}, inbound(1, 0x1001)},
		{"the same outbound SPI: its numbers, and so its nonces, would begin again", []any{outbound(1, 0x1001)}, outbound(1, 0x1001)},
		{"keys that were used and cleared", nil, SetOutbound{SA: 1, SPI: 0x1001, Keys: esp.Keys{Suite: gcm256, Encryption: make([]byte, 36)}}},
		{"another's place", []any{inbound(1, 0x1001)}, inbound(2, 0xfff01001)},
		{"a handle whose place is another's", []any{outbound(1, 0x1001)}, outbound(0x80000001, 0x1002)},
		{"no handle", nil, inbound(0, 0x1001)},
		{"no handle to send by", nil, outbound(0, 0x1001)},
		{"a reserved SPI", nil, inbound(1, 255)},
		{"CVE-2024-3652: no key material", nil, SetOutbound{SA: 1, SPI: 0x1001, Keys: esp.Keys{Suite: gcm256}}},
		{"inner addresses of two families", nil, SetOutbound{SA: 1, SPI: 0x1001, Keys: keys(gcm256, 1), Tunnel: true,
			Inner: [2]netip.Addr{addr("10.0.0.1"), addr("2001:db8::1")}}},
		{"tunnel mode from nowhere to nowhere", nil, SetOutbound{SA: 1, SPI: 0x1001, Keys: keys(gcm256, 1), Tunnel: true}},
	} {
		for _, twin := range []bool{false, true} {
			tab := NewTables()
			tab.twin = twin
			for _, e := range c.before {
				apply(t, tab, withFreshKeys(e))
			}
			before := len(tab.SAs())
			effect := withFreshKeys(c.effect)
			if f, ok := tab.Apply(effect).(Failed); !ok || f.Doing == "" || f.Err == "" {
				t.Errorf("%s: %v", c.name, f)
			}
			if len(tab.SAs()) != before {
				t.Errorf("%s: something was made", c.name)
			}
			if k := keysIn(effect); bytes.Trim(k.Encryption, "\x00") != nil {
				t.Errorf("%s: keys are left behind", c.name)
			}
		}
	}
}

// withFreshKeys is the effect with keys of its own: the tables clear them.
func withFreshKeys(effect any) any {
	k := keysIn(effect)
	k.Encryption = bytes.Clone(k.Encryption)
	switch e := effect.(type) {
	case SetInbound:
		e.Keys = k
		return e
	case SetOutbound:
		e.Keys = k
		return e
	}
	return effect
}

func keysIn(effect any) esp.Keys {
	if e, ok := effect.(SetInbound); ok {
		return e.Keys
	}
	return effect.(SetOutbound).Keys
}

func TestMoveSA(t *testing.T) {
	tab := NewTables()
	e := outbound(1, 0x2001)
	e.Tunnel, e.Inner = true, [2]netip.Addr{addr("10.9.0.1"), addr("10.9.0.2")}
	apply(t, tab, e, SetPathMTU{1, 1400})
	before := tab.Outbound(1)
	before.Sealer.Reserve(5)
	apply(t, tab, MoveSA{SA: 1, Local: at("192.0.2.1", 4500), Remote: at("192.0.2.2", 61000)})
	o := tab.Outbound(1)
	if o.Remote != at("192.0.2.2", 61000) || o.PathMTU() != 1400 || o.Inner != before.Inner {
		t.Errorf("another port: %+v, path MTU %d", o, o.PathMTU())
	}
	apply(t, tab, MoveSA{SA: 1, Local: at("::ffff:192.0.2.1", 4500), Remote: at("198.51.100.7", 4500)})
	o = tab.Outbound(1)
	if o.Local != at("192.0.2.1", 4500) || o.PathMTU() != 0 {
		t.Errorf("another path: from %v, path MTU %d", o.Local, o.PathMTU())
	}
	if first, _ := o.Sealer.Reserve(1); first != 6 {
		t.Errorf("a moved SA goes on at %d, want 6: a number twice is a nonce twice", first)
	}
	if before.Remote != at("192.0.2.2", 4500) {
		t.Error("what a reader holds has changed")
	}
}

func TestWear(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit Limit
		runs  [][2]int
		want  int // the run that tells; -1: none
	}{
		{"packets", Limit{Packets: 10}, [][2]int{{4, 100}, {5, 100}, {1, 100}, {5, 100}}, 2},
		{"octets", Limit{Bytes: 1000}, [][2]int{{1, 900}, {1, 50}, {1, 50}, {9, 900}}, 2},
		{"no limit but the algorithm's", Limit{}, [][2]int{{1 << 30, 1 << 40}}, -1},
		{"the algorithm's, with a sixteenth left", Limit{}, [][2]int{{1<<36 - 1<<32 - 1, 1}, {1, 1}, {1, 1}}, 1},
		{"a limit above the algorithm's", Limit{Packets: 1 << 60}, [][2]int{{1<<36 - 1<<32, 1}}, 0},
	} {
		tab := NewTables()
		in, out := inbound(1, 0x1001), outbound(1, 0x2001)
		in.Limit, out.Limit = c.limit, c.limit
		apply(t, tab, in, out)
		for i, run := range c.runs {
			if got := tab.Outbound(1).CountOut(run[0], run[1]); got != (i == c.want) {
				t.Errorf("%s: out, run %d: %t", c.name, i, got)
			}
			if got := tab.Inbound(0x1001).CountIn(run[0], run[1]); got != (i == c.want) {
				t.Errorf("%s: in, run %d: %t", c.name, i, got)
			}
			apply(t, tab, MoveSA{SA: 1, Remote: at("192.0.2.9", uint16(i))}) // another way wears the same keys
		}
	}
}

func TestOnceEvents(t *testing.T) {
	tab := NewTables()
	apply(t, tab, inbound(1, 0x1001), outbound(1, 0x2001))
	in := tab.Inbound(0x1001)
	var first, many sync.WaitGroup
	results := make(chan bool, 8)
	first.Add(1)
	for range 8 {
		many.Go(func() { first.Wait(); results <- in.FirstPacket() })
	}
	first.Done()
	many.Wait()
	n := 0
	for range 8 {
		if <-results {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the first packet came %d times", n)
	}
	roam := func(port uint16, now time.Duration) bool { return tab.RoamDue(in, at("192.0.2.2", port), now) }
	if roam(4500, 0) || !roam(61000, 0) || roam(61000, RoamInterval/2) || roam(61001, RoamInterval/2) || !roam(61000, 2*RoamInterval) {
		t.Error("a peer that roams is told of once an interval, and one that does not never")
	}
	stray := func(spi uint32, now time.Duration) bool { return tab.StrayDue(at("192.0.2.2", 4500), spi, now) }
	if !stray(7, time.Second) || stray(7, 2*time.Second) || !stray(8, 2*time.Second) || !stray(7, time.Second+2*StrayInterval) {
		t.Error("an unknown SPI is told of once an interval")
	}
	told := 0
	for spi := range uint32(100000) {
		if stray(spi, time.Minute) {
			told++
		}
	}
	if told > straysPerSecond {
		t.Errorf("a flood of unknown SPIs was told of %d times in a second", told)
	}
}

func TestSACounters(t *testing.T) {
	tab := NewTables()
	apply(t, tab, inbound(2, 0x1002), outbound(2, 0x2002), inbound(1, 0x1001), SetPathMTU{2, 1400})
	tab.Outbound(2).CountOut(3, 300)
	tab.Inbound(0x1002).CountIn(2, 200)
	tab.Inbound(0x1002).Drop(DropReplayed)
	want := Counters{PacketsIn: 2, PacketsOut: 3, BytesIn: 200, BytesOut: 300}
	list := tab.SAs()
	if len(list) != 2 || list[0].SA != 1 || list[1].Counters != want || list[1].PathMTU != 1400 || list[1].Drops["replayed"] != 1 {
		t.Errorf("%+v", list)
	}
	tab.Apply(ClearStats{})
	if s := tab.SAs()[1]; s.Counters != (Counters{}) || len(s.Drops) > 0 {
		t.Errorf("cleared: %+v", s)
	}
	if ev := tab.Apply(AskSA{2}); ev != (Carried{2, want}) {
		t.Errorf("%+v: clearing what is shown must not make an SA idle", ev)
	}
	if ev := tab.Apply(AskSA{99}); ev != (Carried{SA: 99}) {
		t.Errorf("%+v", ev)
	}
}

// Two spokes behind one NAT have one address, and on a tunnel with raw ESP one endpoint.
func TestPeersByTheirSA(t *testing.T) {
	tab := tables()
	i := tab.Interface("tun0")
	set := func(nextHop string, sa SA, endpoint Endpoint) {
		tab.Apply(SetAdjacency{Tunnel: "tun0", NextHop: addr(nextHop), Endpoint: endpoint, SA: sa, Multicast: true})
	}
	nat := at("203.0.113.1", 0)
	set("10.0.0.2", 0x10000002, nat)
	set("10.0.0.3", 0x10000003, nat)
	set("fd00::3", 0x10000003, nat)
	set("10.0.0.4", 0x20000003, nat) // shares the place of 0x10000003
	if a := i.From(Origin{nat, 0x10000002}, false); a == nil || a.NextHop != addr("10.0.0.2") {
		t.Errorf("the first: %v", a)
	}
	if a := i.From(Origin{at("198.51.100.9", 61000), 0x10000003}, true); a == nil || a.NextHop != addr("fd00::3") {
		t.Errorf("a peer that roamed is no other: %v", a)
	}
	if a := i.From(Origin{nat, 0x30000003}, false); a != nil {
		t.Errorf("a stale handle finds %v", a)
	}
	if n := len(i.Multicast()); n != 3 {
		t.Errorf("multicast goes to %d peers, want 3: one copy each", n)
	}
	tab.Apply(route("172.16.0.0/16", via("tun0", "10.0.0.3")))
	if _, back := i.Transit(Origin{nat, 0x10000002}, addr("172.16.0.1"), 0); !back {
		t.Error("between two peers behind one NAT is transit")
	}
	if _, back := i.Transit(Origin{at("198.51.100.9", 1), 0x10000003}, addr("172.16.0.1"), 0); back {
		t.Error("to where it came from is no transit")
	}
	i.Adjacency(addr("10.0.0.2")).LearnPathMTU(1400, time.Second)
	set("10.0.0.2", 0x10000022, nat) // another handle
	if i.Adjacency(addr("10.0.0.2")).HasPathMTU() {
		t.Error("another SA goes another way, and its path MTU is not known")
	}
	if i.From(Origin{nat, 0x10000002}, false) != nil || i.From(Origin{nat, 0x10000022}, false) == nil {
		t.Error("the old handle finds the peer, or the new one does not")
	}
	for _, nextHop := range []string{"10.0.0.2", "10.0.0.3", "fd00::3", "10.0.0.4"} {
		tab.Apply(DeleteAdjacency{"tun0", addr(nextHop)})
	}
	if len(i.protected.all()) != 0 {
		t.Error("the index is not empty")
	}
}

func TestSALookupsAllocateNothing(t *testing.T) {
	tab := tables()
	apply(t, tab, inbound(1, 0x1001), outbound(1, 0x2001), SetAdjacency{Tunnel: "tun0", NextHop: addr("10.0.0.2"), SA: 1})
	i := tab.Interface("tun0")
	if n := testing.AllocsPerRun(100, func() {
		in := tab.Inbound(0x1001)
		in.FirstPacket()
		in.CountIn(1, 100)
		tab.RoamDue(in, at("192.0.2.9", 1), 0)
		tab.Outbound(1).CountOut(1, 100)
		i.From(Origin{SA: 1}, false)
		tab.StrayDue(at("192.0.2.9", 1), 7, 0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Readers run through all changes and see whole SAs or none.
func TestSAReadersAndAWriter(t *testing.T) {
	tab := NewTables()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for sa := SA(1); sa < 40; sa++ {
					if o := tab.Outbound(sa); o != nil && (o.SA != sa || o.Sealer.SPI() != o.SPI || !o.Remote.IsValid()) {
						t.Errorf("handle %d: %+v", sa, o)
					}
					if in := tab.Inbound(0x1000 + uint32(sa)); in != nil && (in.SA != sa || in.Opener == nil) {
						t.Errorf("SPI of %d: %+v", sa, in)
					}
				}
				tab.SAs()
			}
		})
	}
	for round := range 200 {
		sa := SA(1 + round%39)
		tab.Apply(inbound(sa, 0x1000+uint32(sa)))
		tab.Apply(outbound(sa, 0x2000+uint32(sa)))
		tab.Apply(MoveSA{SA: sa, Local: at("192.0.2.1", 4500), Remote: at("192.0.2.3", 4500)})
		if round%3 == 0 {
			tab.Apply(DeleteSA{sa})
		}
	}
	close(stop)
	readers.Wait()
}

// A hub with ten thousand spokes: what one of them takes, with both directions' ciphers.
func TestMemoryOfAnSA(t *testing.T) {
	const spokes = 10000
	tab := NewTables()
	size := heapOf(func() {
		for n := range uint32(spokes) {
			apply(t, tab, inbound(SA(n+1), 0x1000+n), outbound(SA(n+1), 0x90000+n))
		}
	})
	per := size / spokes
	t.Logf("%d octets for a pair", per)
	if per > 7<<9 {
		t.Errorf("%d octets for a pair, want 3.5 KiB at most, of which one is the replay window", per)
	}
	left := heapOf(func() {
		for n := range uint32(spokes) {
			apply(t, tab, DeleteSA{SA(n + 1)})
		}
	})
	if kept := size + left; kept > size/20 {
		t.Errorf("%d of %d octets are left when all are deleted", kept, size)
	}
	runtime.KeepAlive(tab)
}

// heapOf is by how much the heap is larger after f; negative when it is smaller.
func heapOf(f func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(after.HeapAlloc) - int(before.HeapAlloc)
}

func BenchmarkOutbound10k(b *testing.B) {
	tab := NewTables()
	for n := range uint32(10000) {
		apply(b, tab, outbound(SA(n+1), 0x90000+n))
	}
	n := 0
	for b.Loop() {
		if n++; tab.Outbound(SA(n%10000+1)) == nil {
			b.Fatal(n)
		}
	}
}
