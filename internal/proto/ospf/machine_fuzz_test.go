package ospf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// raw gives the router a packet of any content whose header and checksum are right.
func (f *foe) raw(kind wire.PacketType, content []byte) {
	dst := f.v.AllRouters()
	b := append(make([]byte, f.v.HeaderLen(), f.v.HeaderLen()+len(content)), content...)
	b[0], b[1] = f.v.Number(), byte(kind)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(f.id))
	var sum uint64
	if f.v != wire.V2 {
		s, d := f.src.As16(), dst.As16()
		sum = packet.SumWord(wire.Protocol, packet.SumWord(uint16(len(b)), packet.Sum(d[:], packet.Sum(s[:], 0))))
	}
	binary.BigEndian.PutUint16(b[12:], ^packet.Fold(packet.Sum(b, sum)))
	f.to.loop.Post(Name, core.ReceivedIP{Interface: f.on, Source: f.src, Destination: dst, Protocol: 89, TTL: 1, Payload: b})
	f.to.loop.Run(f.w.now)
}

// lsa floods one LSA whose checksum is right: of any type, ID, originator, age and sequence number, and any content.
func (f *foe) lsa(b []byte) {
	b = append(b, make([]byte, max(0, 16-len(b)))...)
	k := wire.LSAKey{Type: wire.LSAType(b[0]), ID: binary.BigEndian.Uint32(b[2:]), Router: f.id}
	if f.v != wire.V2 {
		k.Type |= wire.LSAType(b[1]) << 8
	}
	switch b[6] % 4 {
	case 0:
		k.Router = f.victim()
	case 1:
		k.Router = wire.RouterID(binary.BigEndian.Uint32(b[2:]))
	}
	if b[6]&4 != 0 {
		k.ID = uint32(k.Router)
	}
	age := binary.BigEndian.Uint16(b[7:])
	sequence := int32(binary.BigEndian.Uint32(b[9:]))
	if b[6]&8 != 0 {
		sequence = wire.InitialSequence + int32(b[9])
	}
	if l, err := wire.Build(f.v, k, age, sequence, &wire.Opaque{Options: wire.Options(b[13]), Data: b[14:]}); err == nil {
		f.say(&wire.Update{LSAs: []wire.LSA{l}})
	}
}

// ordeal is a router with a friend and a foe on one network, and the lines of a play: an octet of what is done, one of how
// much follows, and that.
func ordeal(t *testing.T, v wire.Version, play []byte) {
	w := newWorld(t, 1)
	config := func(router string) Config {
		c := oneArea(router, p2mp("e0"), lan("lan"))
		c.Version, c.MaxLSAs = v, 200
		c.Redistribute = []Redistribute{{Protocol: rib.Static}}
		return c
	}
	a := w.add("a", config("1.1.1.1"), "e0 s 10.0.0.1/24,fe80::1/64", "lan la 192.168.1.1/24,2001:db8:1::1/64,fe80::1/64")
	w.add("b", config("2.2.2.2"), "e0 s 10.0.0.2/24,fe80::2/64", "lan lb 192.168.2.1/24,2001:db8:2::1/64,fe80::1/64")
	own := static("192.0.2.0/24")
	if v == wire.V3 {
		own.Prefix = netip.MustParsePrefix("2001:db8:a::/48")
	}
	a.loop.Post("others", own)
	w.run(15 * time.Second)
	f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
	if f.v = v; v != wire.V2 {
		f.src = addr("fe80::9")
	}
	f.befriend()
	for steps := 0; len(play) >= 2 && steps < 40; steps++ {
		op, n := play[0], min(int(play[1]), len(play)-2)
		f.step(op%10, play[2:2+n])
		play = play[2+n:]
		if err := a.sane(); err != nil {
			t.Fatal(err)
		}
	}
	w.run(10 * time.Minute) // the foe is silent
	for _, r := range w.order {
		if r.loop.Panics[Name] > 0 {
			t.Fatalf("%s: a handler failed: %v", r.name, r.logs)
		}
		if err := r.sane(); err != nil {
			t.Fatal(err)
		}
	}
	w.wantStates("a", "2.2.2.2 full")
	for _, r := range w.order {
		found := false
		for _, d := range r.m.Database(w.now) {
			b, ok := d.Body.(*wire.RouterLSA)
			found = found || ok && d.Router == "1.1.1.1" && len(b.Links) > 0 && d.Age < wire.MaxAge
		}
		if !found {
			t.Fatalf("RFC 2328 13.4: %s does not have what a says of itself", r.name)
		}
	}
}

func (f *foe) step(op byte, data []byte) {
	switch op {
	case 0:
		f.greet()
	case 1, 2, 3, 4, 5:
		f.raw(wire.PacketType(op), data)
	case 6:
		f.w.run(time.Duration(len(data)) * time.Second)
	case 7:
		f.describe(wire.DDInit | wire.DDMore)
	case 8:
		f.master++
		f.describe(byte(len(data)) & wire.DDMore)
	default:
		f.lsa(data)
	}
}

// FuzzMachine plays against a router whose neighbour says anything: no handler fails, what is counted is what there is, and
// once it is silent the others are what they were.
func FuzzMachine(f *testing.F) {
	f.Add(false, []byte{9, 8, 1, 0, 1, 1, 1, 1, 12, 0, 6, 30, 0, 7, 0, 8, 0, 8, 1, 0})
	f.Add(true, []byte{9, 8, 1, 32, 1, 1, 1, 1, 12, 0, 6, 30, 0, 7, 0, 8, 0, 8, 1, 0})
	f.Add(false, []byte{9, 16, 1, 0, 1, 1, 1, 1, 4, 0x0e, 0x10, 0x7f, 0xff, 0xff, 0xff, 0, 6, 2, 0, 0})
	f.Add(true, []byte{9, 16, 9, 0, 0, 0, 0, 0, 2, 0x0e, 0x10, 0x7f, 0xff, 0xff, 0xff, 0, 6, 2, 0, 0})
	f.Add(false, []byte{9, 20, 9, 0, 3, 0, 0, 0, 10, 0, 1, 9, 0, 0, 0, 2, 0, 1, 0, 4, 0xff, 0xff, 6, 200})
	f.Fuzz(func(t *testing.T, three bool, play []byte) {
		v := wire.V2
		if three {
			v = wire.V3
		}
		ordeal(t, v, play)
	})
}

// TestOrdeals is plays by chance, of mostly LSAs whose numbers are small or at the ends of what they can be.
func TestOrdeals(t *testing.T) {
	edges := []byte{0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 0x0e, 0x10, 0x20, 0x40, 0x7f, 0x80, 0xff}
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 7))
		var play []byte
		for range 20 {
			op := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 6}[r.IntN(16)]
			n := byte(r.IntN(50))
			play = append(play, op, n)
			for range n {
				play = append(play, edges[r.IntN(len(edges))])
			}
		}
		if ordeal(t, []wire.Version{wire.V2, wire.V3}[seed%2], play); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
