package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// naive is RFC 1071 section 4.1, word by word.
func naive(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
		sum = sum>>16 + sum&0xffff
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// same compares ones' complement words, where 0 and 0xffff are both zero.
func same(a, b uint16) bool { return a == b || a == 0 && b == 0xffff || a == 0xffff && b == 0 }

func TestSumIsTheNaiveSum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		for _, fill := range []func() byte{
			func() byte { return byte(rnd.Uint32()) }, func() byte { return 0xff }, func() byte { return 0 },
		} {
			b := make([]byte, n)
			for i := range b {
				b[i] = fill()
			}
			if got, want := Fold(Sum(b, 0)), naive(b); !same(got, want) {
				t.Fatalf("%d octets: %#04x, want %#04x: %x", n, got, want, b)
			}
			cut := n / 2 &^ 1
			if got, want := Fold(Sum(b[cut:], Sum(b[:cut], 0))), naive(b); !same(got, want) {
				t.Fatalf("%d octets in two pieces: %#04x, want %#04x", n, got, want)
			}
		}
	}
}

func TestSumExampleOfRFC1071(t *testing.T) {
	if got := Fold(Sum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0)); got != 0xddf2 {
		t.Errorf("%#04x, want 0xddf2", got)
	}
	if got := Fold(SumWord(0x1234, 0)); got != 0x1234 {
		t.Errorf("a word alone is %#04x", got)
	}
}

func TestUpdateIsRecomputation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 10000 {
		b := make([]byte, 20)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		b[0], b[1] = 0x45, 1 // not all zero, as no header is
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], ^naive(b))
		replace16(b, 8, 10, uint16(rnd.Uint32()))
		if naive(b) != 0xffff {
			t.Fatalf("RFC 1624: wrong after the update: %x", b)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := Fold(Sum(b, 0)), naive(b); !same(got, want) {
			t.Errorf("%#04x, want %#04x", got, want)
		}
	})
}

func BenchmarkSum1400(b *testing.B) {
	p := make([]byte, 1400)
	b.SetBytes(1400)
	for b.Loop() {
		Sum(p, 0)
	}
}
