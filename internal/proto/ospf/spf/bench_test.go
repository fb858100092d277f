package spf

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// shapes are worlds of one area with n routers, each with a prefix. The root is 1.
var shapes = []struct {
	name string
	link func(n int) [][2]int
}{
	{"ring", func(n int) (l [][2]int) {
		for i := range n {
			l = append(l, [2]int{i, (i + 1) % n})
		}
		return l
	}},
	{"tree", func(n int) (l [][2]int) {
		for i := 1; i < n; i++ {
			l = append(l, [2]int{i, (i - 1) / 4})
		}
		return l
	}},
	{"two-hubs", func(n int) (l [][2]int) {
		for i := 2; i < n; i++ {
			l = append(l, [2]int{i, 0}, [2]int{i, 1})
		}
		return append(l, [2]int{0, 1})
	}},
	{"random", func(n int) (l [][2]int) {
		r := rand.New(rand.NewPCG(1, 1))
		for i := 1; i < n; i++ {
			l = append(l, [2]int{i, r.IntN(i)}, [2]int{i, r.IntN(n)})
		}
		return l
	}},
}

func shaped(v wire.Version, n int, links [][2]int, prefixes int) *world {
	w := &world{v: v}
	a := &wArea{}
	w.areas = []*wArea{a}
	for i := range n {
		a.routers = append(a.routers, &wRouter{id: wire.RouterID(i + 1), flags: wire.RouterE})
		for p := range prefixes {
			k := i*prefixes + p
			w.foreign = append(w.foreign, wExternal{by: wire.RouterID(i + 1), prefix: w.big(k), metric: 10, type2: true, id: uint32(k)})
		}
		a.prefixes = append(a.prefixes, wPrefix{wire.RouterID(i + 1), w.prefix(uint8(i>>8), uint8(i)), 1})
	}
	for i, l := range links {
		if l[0] != l[1] {
			a.links = append(a.links, wLink{a: wire.RouterID(l[0] + 1), b: wire.RouterID(l[1] + 1), ca: 10, cb: 10, ia: uint32(2*i + 1), ib: uint32(2*i + 2)})
		}
	}
	return w
}

// largeInput is input for large worlds, whose LSAs are made router by router.
func largeInput(w *world) *Input {
	a := w.areas[0]
	all := *a
	byRouter := map[wire.RouterID]*wArea{}
	for _, r := range a.routers {
		byRouter[r.id] = &wArea{routers: []*wRouter{r}}
	}
	for _, l := range a.links {
		byRouter[l.a].links = append(byRouter[l.a].links, l)
		byRouter[l.b].links = append(byRouter[l.b].links, l)
	}
	for _, p := range a.prefixes {
		byRouter[p.router].prefixes = append(byRouter[p.router].prefixes, p)
	}
	a.routers, a.links, a.prefixes = nil, byRouter[root].links, byRouter[root].prefixes
	in := w.input()
	for _, r := range all.routers {
		in.Areas[0].Routers = append(in.Areas[0].Routers, w.routerLSA(byRouter[r.id], r))
		if w.v != wire.V2 {
			in.Areas[0].Prefixes = append(in.Areas[0].Prefixes, w.prefixLSAs(byRouter[r.id])...)
		}
	}
	*a = all
	return in
}

func BenchmarkCompute(b *testing.B) {
	for _, v := range []wire.Version{wire.V2, wire.V3} {
		for _, s := range shapes {
			for _, n := range []int{1000, 10000} {
				b.Run(fmt.Sprintf("%v/%s/%d", v.Number(), s.name, n), func(b *testing.B) {
					in := largeInput(shaped(v, n, s.link(n), 0))
					b.ReportAllocs()
					for b.Loop() {
						if r := Compute(in); r.Nodes != n || len(r.Routes) != n {
							b.Fatal(r.Nodes, len(r.Routes))
						}
					}
				})
			}
		}
	}
}

// One external LSA of 100,000 came.
func BenchmarkExternalChange(b *testing.B) {
	in := largeInput(shaped(wire.V2, 1000, shapes[3].link(1000), 100))
	var c Calculation
	c.Run(in, Topology)
	b.ReportAllocs()
	for b.Loop() {
		c.Run(in, Externals)
	}
}

// Ten thousand routers take well under a second, also with the shapes that are hard on a heap or a list of links.
func TestTenThousandRouters(t *testing.T) {
	for _, s := range shapes {
		in := largeInput(shaped(wire.V2, 10000, s.link(10000), 0))
		begin := time.Now()
		r := Compute(in)
		if r.Nodes != 10000 {
			t.Errorf("%s: %d routers reached", s.name, r.Nodes)
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("%s: took %v", s.name, d)
		}
	}
}
