package spf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// figure is the autonomous system of RFC 2328 figure 2, as RT6 sees it in the tables of section 2: lines of router,
// neighbour or network, cost. RT6 is router 1 here, and RT1 router 6.
const figure = `
RT1 N1 3  RT1 N3 1  RT2 N2 3  RT2 N3 1  RT3 N4 2  RT3 N3 1  RT3 RT6 8  RT4 N3 1  RT4 RT5 8
RT5 RT4 8  RT5 RT6 7  RT5 RT7 6  RT6 RT3 6  RT6 RT5 6  RT6 RT10 7  RT7 RT5 6  RT7 N6 1
RT8 N6 1  RT8 N7 4  RT9 N9 1  RT9 N11 3  RT10 RT6 5  RT10 N6 1  RT10 N8 3  RT11 N8 2  RT11 N9 1
RT12 N9 1  RT12 N10 2  RT12 H1 10  RT6 Ib 7  RT10 Ia 5`

// tables are 2 and 3 of RFC 2328 section 2.3: destination, distance, next hop.
const tables = `N1 10 RT3, N2 10 RT3, N3 7 RT3, N4 8 RT3, Ib 7 *, Ia 12 RT10, N6 8 RT10, N7 12 RT10, N8 10 RT10, N9 11 RT10,
N10 13 RT10, N11 14 RT10, H1 21 RT10, N12 10 RT10, N13 14 RT5, N14 14 RT5, N15 17 RT10`

type drawing struct {
	*world
	a        *wArea
	cost     map[[2]string]uint16
	prefixes map[string]netip.Prefix
}

func router(name string) wire.RouterID {
	var n wire.RouterID
	fmt.Sscanf(name, "RT%d", &n)
	switch n {
	case 6:
		return root
	case root:
		return 6
	}
	return n
}

func draw(v wire.Version) *drawing {
	d := &drawing{&world{v: v}, &wArea{}, map[[2]string]uint16{}, map[string]netip.Prefix{}}
	d.areas = []*wArea{d.a}
	words := strings.Fields(figure)
	lans := map[string]*wLAN{}
	for i := 0; i < len(words); i += 3 {
		var cost uint16
		fmt.Sscan(words[i+2], &cost)
		d.cost[[2]string{words[i], words[i+1]}] = cost
		switch to := words[i+1]; {
		case to == "N3" || to == "N6" || to == "N8" || to == "N9":
			if lans[to] == nil {
				lans[to] = &wLAN{net: len(lans)}
			}
			lans[to].members = append(lans[to].members, wMember{router: router(words[i]), cost: cost, iface: uint32(1000 + i)})
		case strings.HasPrefix(to, "RT"):
			if back, ok := d.cost[[2]string{to, words[i]}]; ok {
				d.a.links = append(d.a.links, wLink{a: router(words[i]), b: router(to), ca: cost, cb: back, ia: uint32(router(words[i])), ib: uint32(router(to))})
			}
		default:
			d.stub(words[i], to, cost)
		}
	}
	d.finish(lans)
	return d
}

func (d *drawing) stub(by, name string, cost uint16) {
	d.prefixes[name] = d.prefix(1, uint8(len(d.prefixes)))
	d.a.prefixes = append(d.a.prefixes, wPrefix{router(by), d.prefixes[name], cost})
}

// finish adds the routers, the LANs and what RT5 and RT7 bring in (table 3: type 1 metrics).
func (d *drawing) finish(lans map[string]*wLAN) {
	for name, n := range lans {
		d.a.lans = append(d.a.lans, *n)
		d.prefixes[name] = d.lanPrefix(*n)
	}
	for n := root; n <= 12; n++ {
		d.a.routers = append(d.a.routers, &wRouter{id: n, flags: map[wire.RouterID]uint8{5: wire.RouterE, 7: wire.RouterE}[n]})
	}
	for i, x := range []struct {
		by, to string
		metric uint32
	}{{"RT5", "N12", 8}, {"RT5", "N13", 8}, {"RT5", "N14", 8}, {"RT7", "N12", 2}, {"RT7", "N15", 9}} {
		if !d.prefixes[x.to].IsValid() {
			d.prefixes[x.to] = d.prefix(2, uint8(i))
		}
		d.foreign = append(d.foreign, wExternal{by: router(x.by), prefix: d.prefixes[x.to], metric: x.metric, id: uint32(i)})
	}
}

func TestRFC2328Figure2(t *testing.T) {
	for _, v := range versions {
		d := draw(v)
		got := map[netip.Prefix]string{}
		r := Compute(d.input())
		for _, x := range r.Routes {
			hop := "*"
			for _, name := range []string{"RT3", "RT5", "RT10"} {
				if x.NextHops[0].Via == d.at(uint32(router(name))) {
					hop = name
				}
			}
			got[x.Prefix] = fmt.Sprint(x.Cost, " ", hop)
		}
		for line := range strings.SplitSeq(strings.ReplaceAll(tables, "\n", " "), ",") {
			name, want, _ := strings.Cut(strings.TrimSpace(line), " ")
			if got[d.prefixes[name]] != want {
				t.Errorf("%v: the way to %s is %q and should be %q", v, name, got[d.prefixes[name]], want)
			}
			delete(got, d.prefixes[name])
		}
		if len(got) > 0 {
			t.Errorf("%v: also %v", v, got)
		}
		if s := fmt.Sprint(len(r.Routers), r.Routers[0].Cost, r.Routers[1].Cost); s != "2 6 8" {
			t.Errorf("%v: RT5 and RT7 are at %s", v, s)
		}
	}
}
