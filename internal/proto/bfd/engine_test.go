package bfd

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func TestReceiveDiscards(t *testing.T) {
	other := netip.MustParseAddr("10.0.0.9")
	up := Packet{State: Up, Multiplier: 3, Mine: 7, Yours: 100, DesiredTx: time.Second, RequiredRx: time.Second}
	down := Packet{State: Down, Multiplier: 3, Mine: 7, DesiredTx: time.Second, RequiredRx: time.Second}
	for _, tt := range []struct {
		clause string
		r      Received
		p      Packet
		change func(*Packet)
		want   Discard
	}{
		{"RFC 5881 section 5: a TTL that is not 255", Received{Peer: addrB, Local: addrA, Index: 5, TTL: 254}, up, nil, BadTTL},
		{"RFC 5883 section 5: a TTL below the least", Received{Peer: other, Local: addrA, TTL: 253, Multihop: true}, down, nil, BadTTL},
		{"RFC 5880 section 6.8.6: Your Discriminator of no session", Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255}, up,
			func(p *Packet) { p.Yours = 101 }, UnknownSession},
		{"section 6.8.6: no Your Discriminator, and the state is Up", Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255}, up,
			func(p *Packet) { p.Yours = 0 }, NotDown},
		{"section 6.8.6: the same for Init", Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255}, up,
			func(p *Packet) { p.Yours, p.State = 0, Init }, NotDown},
		{"a stranger gets no state", Received{Peer: other, Local: addrA, Index: 5, TTL: 255}, down, nil, Stranger},
		{"a peer on another interface is a stranger", Received{Peer: addrB, Local: addrA, Index: 6, TTL: 255}, down, nil, Stranger},
		{"a peer over several hops is not the one over one", Received{Peer: addrB, Local: addrA, TTL: 255, Multihop: true}, down, nil, Stranger},
		{"who knows a discriminator is not yet its peer", Received{Peer: other, Local: addrA, Index: 5, TTL: 255}, up, nil, OtherSender},
		{"nor on another interface", Received{Peer: addrB, Local: addrA, Index: 6, TTL: 255}, up, nil, OtherSender},
		{"a good one", Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255}, down, nil, 0},
		{"a good one over several hops", Received{Peer: other, Local: addrA, Index: 9, TTL: 254, Multihop: true}, down, nil, 0},
	} {
		e := NewEngine(rand.New(rand.NewPCG(1, 1)))
		e.Set(0, Spec{ID: 100, Peer: addrB, Local: addrA, Index: 5, Interval: 50 * ms, Multiplier: 3})
		e.Set(0, Spec{ID: 200, Peer: other, Local: addrA, Multihop: true, MinTTL: 254, Interval: 50 * ms, Multiplier: 3})
		e.Reports(10)
		p := tt.p
		if tt.change != nil {
			tt.change(&p)
		}
		tt.r.Payload = p.Append(nil)
		e.Receive(1, tt.r)
		for d, n := range e.Discards {
			if (n == 1) != (Discard(d) == tt.want && tt.want != 0) {
				t.Errorf("%s: %d dropped for %s", tt.clause, n, Discard(d).Error())
			}
		}
		if moved := len(e.Reports(10)) > 0; moved != (tt.want == 0) || e.Sessions() != 2 {
			t.Errorf("%s: a session moved: %v; there are %d", tt.clause, moved, e.Sessions())
		}
	}
}

// However often a peer polls, it gets so many answers a second and no more (section 6.8.7).
func TestProvokedPacketsAreSpaced(t *testing.T) {
	e := NewEngine(rand.New(rand.NewPCG(1, 1)))
	e.Set(0, Spec{ID: 100, Peer: addrB, Local: addrA, Index: 5, Interval: time.Second, Multiplier: 3})
	sent := 0
	for i := range 1000 {
		now := time.Duration(i) * ms
		p := Packet{State: State(1 + i%3), Poll: true, Multiplier: 3, Mine: 7, Yours: 100, DesiredTx: time.Second, RequiredRx: 1}
		e.Receive(now, Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255, Payload: p.Append(nil)})
		e.Expire(now)
		sent += len(e.Sends())
	}
	if most := int(time.Second / spacing); sent > most+1 || sent < most/2 {
		t.Errorf("%d packets in a second", sent)
	}
}

// field is an engine with sessions that are up, each with a peer that answers at once.
func field(n int, interval time.Duration) (e *Engine, echo func(now time.Duration) int) {
	e = NewEngine(rand.New(rand.NewPCG(1, 1)))
	peers := make([]netip.Addr, n)
	for i := range n {
		peers[i] = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		e.Set(0, Spec{ID: uint32(i + 1), Peer: peers[i], Local: addrA, Index: 5, Interval: interval, Multiplier: 3})
	}
	b := make([]byte, 0, PacketLen)
	return e, func(now time.Duration) int {
		e.Expire(now)
		sends := e.Sends()
		for _, s := range sends {
			got, _ := Parse(s.Payload[:])
			state := Up
			if got.State == Down {
				state = Init
			}
			p := Packet{State: state, Final: got.Poll, Multiplier: 3, Mine: got.Mine, Yours: got.Mine, DesiredTx: interval, RequiredRx: interval}
			e.Receive(now, Received{Peer: s.Spec.Peer, Local: addrA, Index: 5, TTL: 255, Payload: p.Append(b)})
		}
		e.Reports(n)
		return len(sends)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	e, echo := field(500, 50*ms)
	now := time.Duration(0)
	for ; now < 5*time.Second; now += ms {
		echo(now)
	}
	packets := 0
	if n := testing.AllocsPerRun(1000, func() {
		now += ms
		packets += echo(now)
	}); n > 0 {
		t.Errorf("%v allocations a millisecond", n)
	}
	if packets < 10000 || e.Sessions() != 500 {
		t.Errorf("%d packets of %d sessions in a second", packets, e.Sessions())
	}
}

// The heap holds two timers of a session and no more, and gives them in order.
func TestTimers(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	var h timers
	all := make([]timer, 200)
	for range 20000 {
		x := &all[chance.IntN(len(all))]
		if chance.IntN(3) == 0 {
			h.stop(x)
		} else {
			h.arm(x, time.Duration(chance.IntN(1000)))
		}
		for i, y := range h {
			if y.index != i+1 || i > 0 && h[(i-1)/2].at > y.at {
				t.Fatalf("position %d of %d is out of order", i, len(h))
			}
		}
	}
	for last := time.Duration(-1); len(h) > 0; h.stop(h[0]) {
		if h[0].at < last {
			t.Fatal("deadlines out of order")
		}
		last = h[0].at
	}
}

// BenchmarkPacket is a packet out and one in, of 5,000 sessions.
func BenchmarkPacket(b *testing.B) {
	_, echo := field(5000, 300*ms)
	now := time.Duration(0)
	for ; now < 5*time.Second; now += ms {
		echo(now)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; now += ms {
		n += echo(now)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(sample, uint8(255), false)
	f.Add(sample, uint8(254), true)
	f.Fuzz(func(t *testing.T, b []byte, ttl uint8, multihop bool) {
		e := NewEngine(rand.New(rand.NewPCG(1, 1)))
		e.Set(0, Spec{ID: 9, Peer: addrB, Local: addrA, Index: 5, Interval: 50 * ms, Multiplier: 3})
		e.Set(0, Spec{ID: 10, Peer: addrB, Local: addrA, Multihop: true, MinTTL: 254, Interval: 50 * ms, Multiplier: 3, Demand: time.Second})
		now := time.Duration(0)
		sent := 0
		for ; len(b) > 0; b = b[min(len(b), PacketLen):] {
			now += 3 * ms
			e.Receive(now, Received{Peer: addrB, Local: addrA, Index: 5, TTL: ttl, Multihop: multihop, Payload: b[:min(len(b), PacketLen)]})
			e.Expire(now)
			sent += len(e.Sends())
			e.Reports(9)
		}
		if e.Sessions() != 2 {
			t.Fatalf("%d sessions", e.Sessions())
		}
		for range 5000 {
			at, ok := e.Next()
			if !ok || at > now+time.Hour {
				return
			}
			e.Expire(at)
		}
	})
}
