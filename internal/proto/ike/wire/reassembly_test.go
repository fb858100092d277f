package wire_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// step is one fragment and what must come of it.
type step struct {
	number, total uint16
	plain         string
	done          string // what comes out; "" when nothing
	refused       bool   // already by Wants
}

// RFC 7383 section 2.6.
func TestReassembly(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{1, 3, "ab", "", false}, {2, 3, "cd", "", false}, {3, 3, "e", "abcde", false}}},
		{"backwards", []step{{3, 3, "e", "", false}, {2, 3, "cd", "", false}, {1, 3, "ab", "abcde", false}}},
		{"of one", []step{{1, 1, "ab", "ab", false}}},
		{"a duplicate counts once and changes nothing", []step{
			{1, 2, "ab", "", false}, {1, 2, "xx", "", true}, {1, 2, "xx", "", true}, {2, 2, "cd", "abcd", false}}},
		{"an empty duplicate too", []step{{2, 2, "", "", false}, {2, 2, "xx", "", true}, {1, 2, "ab", "ab", false}}},
		{"a larger total replaces", []step{
			{1, 2, "ab", "", false}, {3, 3, "z", "", false}, {1, 3, "x", "", false}, {2, 3, "y", "xyz", false}}},
		{"a smaller total is old", []step{
			{1, 3, "x", "", false}, {1, 2, "ab", "", true}, {2, 2, "cd", "", true}, {2, 3, "y", "", false}, {3, 3, "z", "xyz", false}}},
		{"number 0", []step{{0, 2, "ab", "", true}, {0, 0, "ab", "", true}}},
		{"number above the total", []step{{3, 2, "ab", "", true}}},
		{"too many fragments", []step{{1, wire.MaxFragments + 1, "ab", "", true}, {1, 65535, "ab", "", true}}},
		{"too many fragments do not replace", []step{
			{1, 2, "ab", "", false}, {1, 65535, "x", "", true}, {2, 2, "cd", "abcd", false}}},
		{"it is empty after a message", []step{{1, 1, "ab", "ab", false}, {2, 2, "d", "", false}, {1, 2, "c", "cd", false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r wire.Reassembly
			for i, s := range c.steps {
				if r.Wants(s.number, s.total) == s.refused {
					t.Fatalf("step %d: Wants is %v", i, s.refused)
				}
				inner := wire.PayloadType(s.number) * wire.TypeSA // RFC 7383 section 2.5: only that of fragment 1 counts
				done, first, ok := r.Add(s.number, s.total, inner, []byte(s.plain))
				if string(done) != s.done || ok != (s.done != "") || ok && first != wire.TypeSA {
					t.Fatalf("step %d: %q, %v, %v", i, done, first, ok)
				}
			}
		})
	}
}

// A message without inner payloads is one, too.
func TestReassemblyOfNothing(t *testing.T) {
	var r wire.Reassembly
	if done, first, ok := r.Add(1, 1, wire.NoPayload, nil); len(done) != 0 || first != wire.NoPayload || !ok {
		t.Errorf("%q, %v, %v", done, first, ok)
	}
}

// Fragments are copied: the caller's buffer is used again for the next one.
func TestReassemblyCopies(t *testing.T) {
	var r wire.Reassembly
	buffer := []byte("ab")
	r.Add(1, 2, wire.TypeIDi, buffer)
	copy(buffer, "cd")
	done, _, ok := r.Add(2, 2, 0, buffer)
	if copy(buffer, "xx"); !ok || string(done) != "abcd" {
		t.Errorf("%q, %v", done, ok)
	}
}

func TestReassemblyBoundsOctets(t *testing.T) {
	var r wire.Reassembly
	half := make([]byte, wire.MaxReassembled/2)
	r.Add(1, 3, 0, half)
	r.Add(2, 3, 0, half)
	if _, _, ok := r.Add(3, 3, 0, []byte{1}); ok || !r.Wants(1, 1) {
		t.Error("a message above the bound is kept")
	}
	r.Add(1, 2, 0, half)
	if done, _, ok := r.Add(2, 2, 0, half); !ok || len(done) != wire.MaxReassembled {
		t.Error("a message of the bound is not made")
	}
}

func TestReassemblyClear(t *testing.T) {
	var r wire.Reassembly
	r.Add(1, 2, wire.TypeIDi, []byte("ab"))
	r.Clear()
	if !r.Wants(1, 2) || !r.Wants(1, 1) {
		t.Error("fragments are left")
	}
}

// Any order with any duplicates gives the message.
func TestReassemblyShuffled(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7383))
		parts := make([][]byte, 1+random.IntN(wire.MaxFragments))
		var order []int
		for i := range parts {
			parts[i] = secret(random.IntN(20))
			for range 1 + random.IntN(3) {
				order = append(order, i)
			}
		}
		random.Shuffle(len(order), func(i, k int) { order[i], order[k] = order[k], order[i] })
		checkShuffled(t, parts, order)
	}
}

func checkShuffled(t *testing.T, parts [][]byte, order []int) {
	t.Helper()
	var r wire.Reassembly
	for _, i := range order {
		done, first, ok := r.Add(uint16(i+1), uint16(len(parts)), wire.TypeIDi, parts[i])
		if !ok {
			continue
		}
		if !bytes.Equal(done, bytes.Join(parts, nil)) || first != wire.TypeIDi {
			t.Errorf("%d fragments: not the message", len(parts))
		}
		return
	}
	t.Errorf("%d fragments: no message", len(parts))
}
