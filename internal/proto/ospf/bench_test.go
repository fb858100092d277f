package ospf

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/spf"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// BenchmarkHub is a hub and spokes that all come at once, until everybody knows everybody.
func BenchmarkHub(b *testing.B) {
	for _, spokes := range []int{50, 200} {
		b.Run(fmt.Sprint(spokes, " spokes"), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(&testing.T{}, 1)
				w.add("hub", oneArea("1.1.1.1", p2mp("t"), lan("lan")), "t cloud 10.1.0.1/16 hub", "lan lh 192.168.1.1/24")
				for k := range spokes {
					w.add(fmt.Sprint("s", k), oneArea(fmt.Sprintf("9.0.%d.%d", k/250, k%250+1), p2mp("t")), fmt.Sprintf("t cloud 10.1.%d.%d/16", k/250+1, k%250+1))
				}
				for w.routers["hub"].m.Instances(w.now)[0].Adjacencies < spokes && w.now < 10*time.Minute {
					w.run(time.Second)
				}
				b.ReportMetric(w.now.Seconds(), "virtual-s")
			}
		})
	}
}

// tree is a router with one neighbour, behind which n routers are a tree with four branches at each, each with a network.
type tree struct {
	r    *router
	inst *instance
	n    int
	do   func(func(env *core.Env))
}

func treeID(k int) wire.RouterID {
	if k == 0 {
		return id("2.2.2.2")
	}
	return wire.RouterID(0x03000000 + k)
}

// body is what router k says; without its way to the root when it is cut off.
func (t *tree) body(k int, cut bool, metric uint16) *wire.RouterLSA {
	l := &wire.RouterLSA{Options: wire.OptE}
	p := netip.PrefixFrom(wire.Addr4(0x0b000000+uint32(k)<<8), 24)
	l.Links = append(l.Links, wire.Link{Kind: wire.LinkStub, ID: wire.Uint4(p.Addr()), Data: wire.Mask(24), Metric: metric})
	if k == 0 {
		l.Links = append(l.Links, wire.Link{Kind: wire.LinkPointToPoint, ID: uint32(id("1.1.1.1")), Data: wire.Uint4(addr("10.0.0.2")), Metric: 10})
	} else if !cut {
		l.Links = append(l.Links, wire.Link{Kind: wire.LinkPointToPoint, ID: uint32(treeID((k - 1) / 4)), Data: 1, Metric: 10})
	}
	for c := 4*k + 1; c <= 4*k+4 && c < t.n; c++ {
		l.Links = append(l.Links, wire.Link{Kind: wire.LinkPointToPoint, ID: uint32(treeID(c)), Data: uint32(c), Metric: 10})
	}
	return l
}

func (t *tree) put(env *core.Env, k int, sequence int32, body *wire.RouterLSA) {
	l, err := wire.Build(wire.V2, wire.LSAKey{Type: 1, ID: uint32(treeID(k)), Router: treeID(k)}, 1, sequence, body)
	if err != nil {
		panic(err)
	}
	t.inst.areas[0].db.put(env, l, false)
}

func newTree(tb testing.TB, n int) *tree {
	w := newWorld(&testing.T{}, 1)
	w.add("a", oneArea("1.1.1.1", p2p("e0")), "e0 s 10.0.0.1/30")
	w.add("b", oneArea("2.2.2.2", p2p("e0")), "e0 s 10.0.0.2/30")
	w.run(30 * time.Second)
	t := &tree{r: w.routers["a"], n: n}
	t.inst = t.r.m.instances["ospf"]
	t.do = func(f func(env *core.Env)) {
		t.r.loop.Post("others", f)
		t.r.loop.Run(t.r.w.now)
	}
	t.do(func(env *core.Env) {
		for k := range n {
			t.put(env, k, 100, t.body(k, false, 1))
		}
		t.inst.need(spf.Topology)
		t.inst.calculate(env)
	})
	if got := len(t.inst.result.Routes); got < n {
		tb.Fatalf("%d routes of %d", got, n)
	}
	return t
}

// BenchmarkChange is one LSA of 10,000 that says something else, from its installation to the routing table.
func BenchmarkChange(b *testing.B) {
	t := newTree(b, 10000)
	for _, tt := range []struct {
		name string
		body func(odd bool) *wire.RouterLSA
	}{
		{"a router at the edge is lost or back", func(odd bool) *wire.RouterLSA { return t.body(9999, odd, 1) }},
		{"the cost of a network", func(odd bool) *wire.RouterLSA { return t.body(9999, false, map[bool]uint16{true: 2, false: 1}[odd]) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			seq := int32(101)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				t.do(func(env *core.Env) {
					t.put(env, 9999, seq, tt.body(seq%2 == 1))
					t.inst.calculate(env)
				})
			}
		})
	}
}
