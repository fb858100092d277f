package ospf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// RFC 2328 10.6, 10.7, 10.8: what a neighbour may say while databases are compared, and after.
func TestDescriptionsOutOfLine(t *testing.T) {
	unknown := wire.LSAKey{Type: 5, ID: 77, Router: 77}
	again := func(f *foe) { f.describe(0) }
	more := func(f *foe) { f.describe(wire.DDMore) }
	for _, tt := range []struct {
		name  string
		from  string // full, or exchange
		say   func(f *foe)
		want  string
		sends wire.PacketType // at once
	}{
		{"10.6: a duplicate: the slave says its last again", "exchange", more, "exchange", wire.TypeDatabaseDescription},
		{"10.6: a sequence number too far", "exchange", func(f *foe) { f.master += 2; f.describe(wire.DDMore) }, "exstart", wire.TypeDatabaseDescription},
		{"10.6: the I bit again: begun anew, with this one", "exchange", func(f *foe) { f.master += 9; f.describe(wire.DDInit | wire.DDMore) }, "exchange", wire.TypeDatabaseDescription},
		{"10.6: the master says that it is none", "exchange", func(f *foe) {
			f.say(&wire.DatabaseDescription{MTU: 1500, Options: wire.OptE | wire.OptO, Sequence: f.master + 1})
		}, "exstart", wire.TypeDatabaseDescription},
		{"10.6: other options", "exchange", func(f *foe) {
			f.say(&wire.DatabaseDescription{MTU: 1500, Options: wire.OptE, Flags: wire.DDMaster, Sequence: f.master + 1})
		}, "exstart", wire.TypeDatabaseDescription},
		{"10.6: an LSA of an unknown type", "exchange", func(f *foe) {
			f.master++
			f.describe(0, wire.LSAHeader{LSAKey: wire.LSAKey{Type: 77}, Sequence: 1, Length: 20})
		}, "exstart", wire.TypeDatabaseDescription},
		{"10.7: a request for what we do not have", "exchange", func(f *foe) { f.say(&wire.Request{Keys: []wire.LSAKey{unknown}}) }, "exstart", wire.TypeDatabaseDescription},
		{"13 step 6: what it described newer than it sends", "exchange", func(f *foe) {
			l := f.external(1, 16)
			h := l.LSAHeader
			h.Sequence += 5
			f.say(&wire.Update{LSAs: []wire.LSA{l}})
			f.master++
			f.describe(wire.DDMore, h)
			f.say(&wire.Update{LSAs: []wire.LSA{l}})
		}, "exstart", wire.TypeDatabaseDescription},
		{"10.6: the last one again when full: the slave says its last again", "full", again, "full", wire.TypeDatabaseDescription},
		{"10.6: another one when full", "full", func(f *foe) { f.master++; f.describe(0) }, "exstart", wire.TypeDatabaseDescription},
		{"10.6: the I bit when full: begun anew, with this one", "full", func(f *foe) { f.master += 9; f.describe(wire.DDInit | wire.DDMore) }, "exchange", wire.TypeDatabaseDescription},
		{"10.7: a request when full is answered", "full", func(f *foe) {
			f.say(&wire.Request{Keys: []wire.LSAKey{{Type: 1, ID: uint32(f.victim()), Router: f.victim()}}})
		}, "full", wire.TypeUpdate},
		{"10.7: a request for what we do not have when full", "full", func(f *foe) { f.say(&wire.Request{Keys: []wire.LSAKey{unknown}}) }, "exstart", wire.TypeDatabaseDescription},
		{"10.5: a hello without us", "full", func(f *foe) { f.say(f.hello()) }, "init", 0},
		{"13 step 4: MaxAge of what we do not have is acknowledged, and not kept", "full", func(f *foe) {
			l := f.external(1, 16)
			l.Age = wire.MaxAge
			f.say(&wire.Update{LSAs: []wire.LSA{l}})
		}, "full", wire.TypeAck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, a, f := withFoe(t, nil)
			if tt.from == "full" {
				f.befriend()
				f.stay(2 * time.Second)
			} else {
				f.greet()
				f.describe(wire.DDInit | wire.DDMore)
				f.master++
				f.describe(wire.DDMore)
			}
			if f.state() != tt.from {
				t.Fatalf("%s, want %s", f.state(), tt.from)
			}
			var sent wire.PacketType
			w.spy = func(_ *router, p core.SendIP) {
				if q, err := wire.Parse(wire.V2, p.Payload, p.Source, p.Destination); err == nil && q.Type() != wire.TypeHello {
					sent = q.Type()
				}
			}
			tt.say(f)
			if f.state() != tt.want || sent != tt.sends {
				t.Errorf("%s and %v, want %s and %v", f.state(), sent, tt.want, tt.sends)
			}
			for _, d := range a.m.Database(w.now) {
				if d.Age == wire.MaxAge {
					t.Errorf("kept: %v", d.Key)
				}
			}
		})
	}
}

// RFC 2328 10.9: what was asked for is asked for again, until it comes; then the adjacency is full. Of a neighbour that has
// answered fast the answer is missed soon, and less and less soon, until it is the retransmission interval.
func TestRequestsAreRepeated(t *testing.T) {
	w, _, f := withFoe(t, nil)
	f.greet()
	f.describe(wire.DDInit | wire.DDMore)
	asked, began := []string{}, w.now
	w.spy = func(_ *router, p core.SendIP) {
		if q, ok := bodyOf[*wire.Request](p); ok {
			asked = append(asked, fmt.Sprint(len(q.Keys), " at ", w.now-began))
		}
	}
	f.master++
	f.describe(0, f.external(1, 16).LSAHeader, f.external(2, 16).LSAHeader)
	f.say(&wire.Update{LSAs: []wire.LSA{f.external(1, 16)}})
	f.stay(22 * time.Second)
	if got := strings.Join(asked, ", "); got != "2 at 0s, 1 at 500ms, 1 at 1.5s, 1 at 3.5s, 1 at 7.5s, 1 at 12.5s, 1 at 17.5s" || f.state() != "loading" {
		t.Errorf("asked for %s; %s", got, f.state())
	}
	f.say(&wire.Update{LSAs: []wire.LSA{f.external(2, 16)}})
	if f.state() != "full" {
		t.Errorf("%s", f.state())
	}
}

// An exchange in which the other end falls silent but for hellos begins anew, and does not keep LSAs at MaxAge for ever.
func TestExchangeThatStands(t *testing.T) {
	for _, state := range []string{"exchange", "loading"} {
		t.Run(state, func(t *testing.T) {
			_, _, f := withFoe(t, nil)
			f.greet()
			f.describe(wire.DDInit | wire.DDMore)
			if state == "loading" {
				f.master++
				f.describe(0, f.external(1, 16).LSAHeader)
			}
			f.stay(30 * time.Second)
			if f.state() != state {
				t.Fatalf("after 30 s: %s", f.state())
			}
			f.stay(20 * time.Second)
			if f.state() != "exstart" {
				t.Errorf("after 50 s: %s", f.state())
			}
		})
	}
}
