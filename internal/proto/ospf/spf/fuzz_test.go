package spf

import (
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// FuzzCompute computes routes of a database of any LSAs: what lies about itself, links of nobody, networks of one name,
// prefixes of everything. Whatever comes out names its next hops.
func FuzzCompute(f *testing.F) {
	for seed := range uint64(20) {
		for _, v := range versions {
			f.Add(uint8(v), bytesOf(random(v, seed)))
		}
	}
	f.Fuzz(func(t *testing.T, version uint8, b []byte) {
		v := versions[int(version)%len(versions)]
		in := random(v, 7).input() // interfaces and a graph to get hold of
		for len(b) > 0 {
			l, rest, err := wire.ParseLSA(v, b)
			if err != nil {
				break
			}
			b = rest
			if body, err := l.Body(v); err == nil {
				in.file(v, &LSA{l.LSAHeader, body})
			}
		}
		var c Calculation
		for _, what := range []Change{Topology, Prefixes, Summaries, Externals} {
			for _, r := range c.Run(in, what).Routes {
				if len(r.NextHops) == 0 || !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() {
					t.Fatalf("route %+v", r)
				}
			}
		}
	})
}

// file puts an LSA where it belongs, in the first area.
func (in *Input) file(v wire.Version, l *LSA) {
	a := &in.Areas[0]
	lists := map[wire.Function]*[]*LSA{wire.FunctionRouter: &a.Routers, wire.FunctionNetwork: &a.Networks, wire.FunctionSummary: &a.Summaries,
		wire.FunctionSummaryRouter: &a.Summaries, wire.FunctionNSSA: &a.NSSAs, wire.FunctionExternal: &in.Externals,
		wire.FunctionIntraAreaPrefix: &a.Prefixes}
	if list := lists[l.Header.Function(v)]; list != nil {
		*list = append(*list, l)
	}
	if l.Header.Function(v) == wire.FunctionLink {
		for i := range a.Interfaces {
			a.Interfaces[i].Links = append(a.Interfaces[i].Links, l)
		}
	}
}

// bytesOf is a world's LSAs on the wire.
func bytesOf(w *world) (b []byte) {
	in := w.input()
	lists := [][]*LSA{in.Externals}
	for _, a := range in.Areas {
		lists = append(lists, a.Routers, a.Networks, a.Summaries, a.NSSAs, a.Prefixes)
	}
	for _, list := range lists {
		for _, l := range list {
			if x, err := wire.Build(w.v, l.Header.LSAKey, 1, wire.InitialSequence, l.Body); err == nil {
				b = append(b, x.Raw...)
			}
		}
	}
	return b
}
