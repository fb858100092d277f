package ike

import (
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// hybrids is a pair whose IKE SA has additional key exchanges, and who take each other for another implementation.
func hybrids(t *testing.T, words string) (w *world, a, b *node, exchanges map[wire.Exchange]int) {
	policy, err := suite.ParseIKEPolicy(words)
	if err != nil {
		t.Fatal(err)
	}
	p := profile(func(p *Profile) { p.IKE = []suite.Policy{policy} })
	w = newWorld(t, 7)
	exchanges = map[wire.Exchange]int{}
	last := map[wire.Exchange]uint32{}
	w.seen = func(_ *node, d dataplane.SendIKE) {
		if h, err := wire.ParseHeader(d.Payload); err == nil && h.Flags&wire.Response == 0 {
			if id, known := last[h.Exchange]; !known || id != h.MessageID { // fragments have one ID
				exchanges[h.Exchange]++
			}
			last[h.Exchange] = h.MessageID
		}
	}
	a, b = w.add("a", "192.0.2.1", p, 0), w.add("b", "192.0.2.2", p, 0)
	a.ensure(b)
	w.pass(2 * time.Second)
	w.mustPass(a, b)
	for _, n := range []*node{a, b} {
		n.only(t).spokeway = false
	}
	clear(exchanges)
	return w, a, b, exchanges
}

// only is the one IKE SA of a router.
func (n *node) only(t *testing.T) *sa {
	t.Helper()
	var found []*sa
	for _, s := range n.module.sortedSAs() {
		if s.phase == established && !s.over {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has %d IKE SAs", n.name, len(found))
	}
	return found[0]
}

func TestFollowupKeyExchanges(t *testing.T) {
	for _, words := range []string{"aes256gcm-sha384-x25519-mlkem768", "aes256gcm-sha384-x25519-ke1_mlkem768-ke2_p256"} {
		w, a, b, exchanges := hybrids(t, words)
		old := a.only(t)
		want := len(old.suite.Additional)
		d := slices.Clone(old.keys.D)
		a.call(func(env *core.Env) { old.rekey(env) })
		w.pass(3 * time.Second)
		now, far := a.only(t), b.only(t)
		if now == old || exchanges[wire.FollowupKE] != want {
			t.Fatalf("%s: rekeyed %v, %d IKE_FOLLOWUP_KE, want %d (RFC 9370 section 2.2.4)\n%v", words, now != old, exchanges[wire.FollowupKE], want, a.logs)
		}
		if !slices.Equal(now.keys.D, far.keys.D) || slices.Equal(now.keys.D, d) {
			t.Fatalf("%s: the ends have different keys", words)
		}
		b.call(func(env *core.Env) { far.children[0].rekey(env) })
		w.pass(2 * time.Second)
		w.mustPass(a, b)
	}
}

func TestFollowupBothAtOnce(t *testing.T) {
	w, a, b, _ := hybrids(t, "aes256gcm-sha384-x25519-mlkem768")
	a.call(func(env *core.Env) { a.only(t).rekey(env) })
	b.call(func(env *core.Env) { b.only(t).rekey(env) })
	w.pass(20 * time.Second)
	if x, y := a.only(t), b.only(t); !slices.Equal(x.keys.D, y.keys.D) {
		t.Error("the ends have different keys")
	}
	w.mustPass(a, b)
}

func TestFollowupUnfinished(t *testing.T) {
	w, a, b, _ := hybrids(t, "aes256gcm-sha384-x25519-mlkem768")
	lost := 0
	w.wire = func(_ *node, d dataplane.SendIKE) []time.Duration {
		if h, err := wire.ParseHeader(d.Payload); err == nil && h.Exchange == wire.FollowupKE {
			lost++
			return nil
		}
		return []time.Duration{time.Millisecond}
	}
	a.call(func(env *core.Env) { a.only(t).rekey(env) })
	w.pass(5 * time.Second)
	if b.only(t).renewal == nil || lost == 0 {
		t.Fatal("the responder does not wait for IKE_FOLLOWUP_KE")
	}
	far := b.only(t)
	b.call(func(env *core.Env) { far.close(env, "test") })
	w.pass(time.Minute)
	for _, n := range []*node{a, b} {
		for _, s := range n.module.sas {
			if s.renewal != nil || s.phase != established {
				t.Errorf("%s keeps a half-made SA: %v", n.name, s.phase)
			}
		}
	}
}
