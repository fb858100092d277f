package bfd

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// An Up packet with Poll, as section 4.1 draws it: 50 ms, 3.
var sample = []byte{
	0x20, 0xe0, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9,
	0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0,
}

func with(at int, v ...byte) []byte {
	b := bytes.Clone(sample)
	copy(b[at:], v)
	return b
}

func TestParse(t *testing.T) {
	p, err := Parse(sample)
	want := Packet{State: Up, Poll: true, Multiplier: 3, Mine: 7, Yours: 9, DesiredTx: 50 * time.Millisecond, RequiredRx: 50 * time.Millisecond}
	if err != nil || p != want {
		t.Fatalf("got %+v, %v", p, err)
	}
	if got := p.Append(nil); !bytes.Equal(got, sample) {
		t.Errorf("appended % x", got)
	}
	p = Packet{Diagnostic: ReverseConcatenatedDown, State: Init, Final: true, Independent: true, Demand: true, Multiplier: 255, Mine: 1<<32 - 1,
		Yours: 1 << 31, DesiredTx: time.Hour, RequiredRx: time.Microsecond, RequiredEcho: time.Second}
	if got, err := Parse(p.Append([]byte("x"))[1:]); err != nil || got != p {
		t.Errorf("round trip: got %+v, %v", got, err)
	}
}

func TestParseDiscards(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"6.8.6: version is not 1", with(0, 0x40), BadVersion},
		{"6.8.6: length less than 24", with(3, 23), BadLength},
		{"6.8.6: length greater than the payload", with(3, 25), BadLength},
		{"6.8.6: Detect Mult is zero", with(2, 0), BadMultiplier},
		{"6.8.6: Multipoint bit", with(1, 0xc1), Multipoint},
		{"6.8.6: My Discriminator is zero", with(4, 0, 0, 0, 0), NoDiscriminator},
		{"6.8.6: authentication where none is in use", append(with(1, 0xc4), 1, 3, 0), Authenticated},
		{"trailing octets are not ours", append(bytes.Clone(sample), 1, 2, 3), nil},
	} {
		if _, err := Parse(tt.b); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	for n := range sample {
		if _, err := Parse(sample[:n]); err != BadLength {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	for d := BadLength; d < discards; d++ {
		if d.Error() == "" {
			t.Errorf("discard %d has no word", d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add(with(1, 0x10))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			if _, ok := err.(Discard); !ok {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if again, err := Parse(p.Append(nil)); err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}
