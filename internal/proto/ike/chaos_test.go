package ike

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

var seeds = flag.Int("ike.seeds", 300, "how many seeds TestCollisions tries")

// TestCollisions has two routers do everything at once over a bad wire: begin, rekey children and IKE SAs, close,
// restart. Messages are delayed, lost, doubled and overtaken. Afterwards, on a good wire, both must have the same keys and
// pass traffic, with one IKE SA and one child each; and when nobody needs them, nothing is left. RFC 7296 sections 2.1 to
// 2.4, 2.8 and 2.25.
func TestCollisions(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, uint64(seed)) })
	}
}

func chaos(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	short := profile(func(p *Profile) {
		p.IKELifetime, p.ESPLifetime, p.DPD = 90*time.Second, 40*time.Second, 10*time.Second
		p.MOBIKE = w.rand.IntN(2) == 0
		if w.rand.IntN(2) == 0 {
			p.IKE = p.IKE[len(p.IKE)-1:]
		}
	})
	a, b := w.add("a", "192.0.2.1", short, 0), w.add("b", "192.0.2.2", short, 0)
	loss, most := w.rand.Float64()*0.3, time.Duration(w.rand.Int64N(int64(2*time.Second)))
	a.workfor, b.workfor = time.Duration(w.rand.Int64N(int64(50*time.Millisecond))), time.Duration(w.rand.Int64N(int64(50*time.Millisecond)))
	w.wire = func(*node, dataplane.SendIKE) (delays []time.Duration) {
		for range 1 + w.rand.IntN(2) {
			if w.rand.Float64() >= loss {
				delays = append(delays, time.Millisecond+time.Duration(w.rand.Int64N(int64(most+1))))
			}
		}
		return delays
	}
	a.ensure(b)
	w.pass(time.Duration(w.rand.Int64N(int64(20 * time.Millisecond))))
	b.ensure(a)
	for range 40 {
		w.pass(time.Duration(w.rand.Int64N(int64(5 * time.Second))))
		n := []*node{a, b}[w.rand.IntN(2)]
		w.mischief(n, short)
		w.data(a, b)
		w.data(b, a)
	}
	w.wire = func(*node, dataplane.SendIKE) []time.Duration { return []time.Duration{5 * time.Millisecond} }
	a.workfor, b.workfor = 0, 0
	for range 200 {
		w.pass(time.Second)
		w.data(a, b)
		w.data(b, a)
	}
	w.mustPass(a, b)
	for _, n := range []*node{a, b} {
		n.tidy(t)
	}
	a.release(b)
	b.release(a)
	w.pass(2 * time.Minute)
	for _, n := range []*node{a, b} {
		if len(n.module.sas)+len(n.module.children)+len(n.module.peers)+len(n.in)+len(n.out)+len(n.module.begun) > 0 {
			t.Errorf("%s still has %d IKE SAs, %d children, %d peers, %d+%d SAs in the data plane\n%s", n.name, len(n.module.sas), len(n.module.children),
				len(n.module.peers), len(n.in), len(n.out), strings.Join(n.logs, "\n"))
		}
		if used := int(n.module.spis.next) - len(n.module.spis.free); used != 0 {
			t.Errorf("%s: %d SPIs were not given back", n.name, used)
		}
		if used := int(n.module.handles.next) - len(n.module.handles.free); used != 0 {
			t.Errorf("%s: %d handles were not given back", n.name, used)
		}
	}
}

// mischief does one thing out of order.
func (w *world) mischief(n *node, p *Profile) {
	switch w.rand.IntN(12) {
	case 0, 1, 2:
		for _, s := range n.module.sortedSAs() {
			if s.phase == established {
				n.call(func(env *core.Env) { s.rekey(env) })
			}
		}
	case 3, 4, 5, 6:
		for _, s := range n.module.sortedSAs() {
			for _, c := range s.children {
				n.call(func(env *core.Env) { c.rekey(env) })
			}
		}
	case 7:
		for _, s := range n.module.sortedSAs() {
			for _, c := range s.children {
				n.call(func(env *core.Env) { c.close(env, "mischief") })
			}
		}
	case 8:
		for _, s := range n.module.sortedSAs() {
			n.call(func(env *core.Env) { s.close(env, "mischief") })
		}
	case 9:
		other := w.other(n)
		n.boot(p, 0)
		n.ensure(other)
	}
}

func (w *world) other(n *node) *node {
	for _, o := range w.nodes {
		if o != n {
			return o
		}
	}
	return nil
}

// call runs f in the module's own goroutine, as a timer would.
func (n *node) call(f func(*core.Env)) {
	n.post(core.Expired{Timer: &core.Timer{Of: caller(f)}})
	n.run()
}

type caller func(*core.Env)

func (c caller) expired(env *core.Env, _ *core.Timer) { c(env) }

// tidy checks that a router at rest has one IKE SA and one child, as the data plane has.
func (n *node) tidy(t *testing.T) {
	t.Helper()
	count := 0
	for _, s := range n.module.sas {
		if s.phase == established && !s.over {
			count++
			if live := slices.DeleteFunc(slices.Clone(s.children), func(c *child) bool { return c.rekeying != nil || c.closing || c.redundant || c.successor != nil }); len(live) > 1 {
				t.Errorf("%s has %d children\n%s", n.name, len(live), strings.Join(n.logs, "\n"))
			}
		}
	}
	if count != 1 || len(n.module.peers) != 1 || len(n.out) != 1 {
		t.Errorf("%s has %d IKE SAs, %d peers, %d handles that send\n%s", n.name, count, len(n.module.peers), len(n.out), strings.Join(n.logs, "\n"))
	}
	if len(n.in) != len(n.module.children) {
		t.Errorf("%s: the data plane lets in %d SPIs, IKE has %d children", n.name, len(n.in), len(n.module.children))
	}
}
