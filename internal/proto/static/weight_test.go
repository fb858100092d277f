package static

import (
	"fmt"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/rib"
)

func TestMerge(t *testing.T) {
	by := func(weight uint8, hops ...string) share {
		s := share{weight: weight}
		for _, h := range hops {
			s.hops = append(s.hops, rib.NextHop{Interface: h[:1], Weight: h[1] - '0'})
		}
		return s
	}
	for _, tt := range []struct {
		name   string
		shares []share
		want   string
	}{
		{"nothing", nil, ""},
		{"a drop", []share{{}}, ""},
		{"one, whatever it weighs", []share{by(7, "a0")}, "a0"},
		{"equal ones", []share{by(0, "a0"), by(1, "b1")}, "a0 b0"},
		{"equal ones of any weight", []share{by(9, "a0"), by(9, "b0")}, "a0 b0"},
		{"weights", []share{by(3, "a0"), by(1, "b0")}, "a3 b1"},
		{"their least proportion", []share{by(6, "a0"), by(4, "b0")}, "a3 b2"},
		{"a share by two paths is halved", []share{by(1, "a0", "b0"), by(1, "c0")}, "a1 b1 c2"},
		{"a share by weighted paths", []share{by(2, "a3", "b1"), by(1, "c0")}, "a3 b1 c2"},
		{"one next hop of two shares", []share{by(1, "a0"), by(2, "a0", "b0")}, "a2 b1"},
		{"more than fits is the nearest", []share{by(255, "a0", "b0"), by(1, "c0")}, "a255 b255 c2"},
		{"none is lost", []share{by(255, "a0"), by(1, "b0", "c0", "d0", "e0")}, "a255 b1 c1 d1 e1"},
	} {
		var got []string
		for _, h := range merge(tt.shares) {
			got = append(got, fmt.Sprint(h.Interface, h.Weight))
		}
		if s := fmt.Sprint(got); s != "["+tt.want+"]" {
			t.Errorf("%s: got %s, want [%s]", tt.name, s, tt.want)
		}
	}
}

func TestMergeIsBounded(t *testing.T) {
	var shares []share
	for i := range 40 {
		shares = append(shares, share{weight: uint8(i*7 + 1), hops: []rib.NextHop{{Interface: fmt.Sprint("a", i), Weight: 251}, {Interface: fmt.Sprint("b", i), Weight: uint8(i)}}})
	}
	hops := merge(shares)
	if len(hops) != maxPaths || slices.ContainsFunc(hops, func(h rib.NextHop) bool { return h.Weight == 0 }) {
		t.Errorf("%d next hops: %v", len(hops), hops)
	}
}
