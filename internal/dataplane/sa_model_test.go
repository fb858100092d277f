package dataplane

import (
	"math/rand/v2"
	"testing"
)

// saModel is the tables of SAs as maps.
type saModel struct {
	out     map[SA]uint32 // SPI
	in      map[uint32]SA
	handles map[SA]bool
}

// room is whose the place of a handle is, and whether an SPI's is free.
func (m *saModel) room(sa SA, spi uint32) bool {
	for other := range m.handles {
		if other != sa && uint32(other)&indexMask == uint32(sa)&indexMask {
			return false
		}
	}
	for other := range m.in {
		if spi != 0 && other&indexMask == spi&indexMask {
			return false
		}
	}
	return true
}

func (m *saModel) deleteSA(sa SA) {
	delete(m.out, sa)
	delete(m.handles, sa)
	for spi, owner := range m.in {
		if owner == sa {
			delete(m.in, spi)
		}
	}
}

// Random effects on few numbers, of which many share a place: the tables hold what two maps would.
func TestSATablesModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		tab := NewTables()
		tab.twin = seed%4 != 0 // ciphers cost more than they show here
		m := &saModel{map[SA]uint32{}, map[uint32]SA{}, map[SA]bool{}}
		sa := func() SA { return SA(r.Uint32N(3)<<indexBits | 1 + r.Uint32N(5)) }
		spi := func() uint32 { return (1+r.Uint32N(3))<<indexBits | 300 + r.Uint32N(8) }
		for step := range 1000 {
			h, n := sa(), spi()
			refused, want := false, false
			switch r.IntN(6) {
			case 0, 1:
				want = !m.room(h, n)
				_, refused = tab.Apply(inbound(h, n)).(Failed)
				if !want {
					m.in[n], m.handles[h] = h, true
				}
			case 2:
				want = !m.room(h, 0) || m.out[h] == n
				_, refused = tab.Apply(outbound(h, n)).(Failed)
				if !want {
					m.out[h], m.handles[h] = n, true
				}
			case 3:
				tab.Apply(DeleteInbound{n})
				delete(m.in, n)
			case 4:
				tab.Apply(MoveSA{SA: h, Remote: at("192.0.2.9", uint16(step))})
			case 5:
				if r.IntN(3) == 0 {
					tab.Apply(DeleteSA{h})
					m.deleteSA(h)
				}
			}
			if refused != want {
				t.Fatalf("seed %d step %d: refused %t, want %t", seed, step, refused, want)
			}
			m.compare(t, tab)
		}
	}
}

func (m *saModel) compare(t *testing.T, tab *Tables) {
	t.Helper()
	for g := range uint32(3) {
		for n := range uint32(6) {
			sa := SA(g<<indexBits | n)
			o := tab.Outbound(sa)
			if spi, ok := m.out[sa]; ok != (o != nil) || ok && (o.SPI != spi || o.SA != sa) {
				t.Fatalf("outbound of %#x is %+v, want SPI %#x", sa, o, spi)
			}
			if (tab.Association(sa) != nil) != m.handles[sa] {
				t.Fatalf("handle %#x exists %t", sa, !m.handles[sa])
			}
		}
	}
	for g := uint32(1); g < 4; g++ {
		for n := uint32(300); n < 308; n++ {
			spi := g<<indexBits | n
			in := tab.Inbound(spi)
			if sa, ok := m.in[spi]; ok != (in != nil) || ok && in.SA != sa {
				t.Fatalf("inbound %#x is %+v, want of %#x", spi, in, sa)
			}
		}
	}
	if len(tab.SAs()) != len(m.handles) {
		t.Fatalf("%d handles, want %d", len(tab.SAs()), len(m.handles))
	}
}
