package ospf

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// RFC 4222 recommendation 5: neighbours that cannot become adjacent do not hold up those that can.
func TestStuckNeighborsDoNotHoldOthersUp(t *testing.T) {
	w := newWorld(t, 1)
	hub := oneArea("1.1.1.1", p2mp("t"))
	hub.MaxExchanges = 2
	h := w.add("hub", hub, "t cloud 10.1.0.1/24 hub")
	for k := range 4 {
		w.add(fmt.Sprint("bad", k), oneArea(fmt.Sprintf("2.0.0.%d", k), p2mp("t")), fmt.Sprintf("t cloud 10.1.0.%d/24", 10+k))
	}
	h.setLink("t", func(l *core.Link) { l.MTU = 1400 })
	w.run(time.Minute)
	good := w.add("good", oneArea("3.3.3.3", p2mp("t")), "t cloud 10.1.0.3/24")
	good.setLink("t", func(l *core.Link) { l.MTU = 1400 })
	w.run(90 * time.Second)
	w.wantStates("good", "1.1.1.1 full")
	if got := h.problems(); got != "mtu mtu mtu mtu" {
		t.Errorf("problems %q, want all four MTUs", got)
	}
}

// RFC 2328 14: an LSA at MaxAge goes though a neighbour stays in ExStart: only Exchange and Loading keep it.
func TestMaxAgeGoesWhileANeighborIsStuck(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	b := w.add("b", func() Config {
		c := oneArea("2.2.2.2", bcast("e0", 0))
		c.Redistribute = []Redistribute{{Protocol: rib.Static}}
		return c
	}(), "e0 s 10.0.0.2/24")
	b.loop.Post("others", static("192.0.2.0/24"))
	w.add("c", oneArea("3.3.3.3", bcast("e0", 0)), "e0 s 10.0.0.3/24")
	w.routers["c"].setLink("e0", func(l *core.Link) { l.MTU = 9000 })
	w.run(90 * time.Second)
	w.wantStates("a", "2.2.2.2 full other, 3.3.3.3 exstart other")
	b.loop.Post("others", static("192.0.2.0/24").Key())
	w.run(20 * time.Second)
	for _, d := range a.m.Database(w.now) {
		if d.Type == "external" {
			t.Errorf("still there: %+v", d)
		}
	}
}

// Anybody can call itself many routers: memory and our hellos stay bounded.
func TestNeighborsWithoutEnd(t *testing.T) {
	for _, tt := range []struct {
		network Interface
		most    int
	}{{p2mp("e0"), maxNeighbors}, {p2p("e0"), mostOnALink}} {
		w := newWorld(t, 1)
		a := w.add("a", oneArea("1.1.1.1", tt.network), "e0 s 10.0.0.1/8")
		f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
		h := f.hello()
		for k := range uint32(tt.most + 20) {
			f.sayFrom(wire.RouterID(0x14000000+k), wire.Addr4(0x0a100000+k), h)
		}
		if n := a.m.Instances(w.now)[0].Neighbors; n != tt.most {
			t.Errorf("%d neighbours are kept, want %d", n, tt.most)
		}
		largest := 0
		w.spy = func(_ *router, p core.SendIP) { largest = max(largest, len(p.Payload)) }
		w.run(15 * time.Second)
		if a.loop.Panics[Name] > 0 || largest < 4*tt.most {
			t.Errorf("%d handlers failed; a hello of %d octets", a.loop.Panics[Name], largest)
		}
		if !strings.Contains(a.problems(), "limit") {
			t.Errorf("problems %q, want limit", a.problems())
		}
	}
}

// A description without an end fills no memory: RFC 2328 10.6 puts what it names on the request list.
func TestDescriptionWithoutEnd(t *testing.T) {
	w, a, f := withFoe(t, func(c *Config) { c.MaxLSAs = 1000 })
	f.greet()
	f.describe(wire.DDInit | wire.DDMore)
	most := 0
	for k := range 200 {
		var headers []wire.LSAHeader
		for j := range 50 {
			headers = append(headers, f.external(50*k+j, 16).LSAHeader)
		}
		f.master++
		f.describe(wire.DDMore, headers...)
		for _, n := range a.m.Neighbors(w.now) {
			most = max(most, n.Requests)
		}
	}
	if most > 1100 {
		t.Errorf("%d LSAs on the request list", most)
	}
	if !strings.Contains(a.problems(), "limit") {
		t.Errorf("problems %q, want limit", a.problems())
	}
}

// One neighbour floods more than is kept: it alone is turned away, and room is made for the others' (max-lsa).
func TestFloodOfLSAs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		count int
		size  int
	}{{"many", 1500, 16}, {"few, and large", 200, 60004}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			hub := oneArea("1.1.1.1", p2mp("t"))
			hub.MaxLSAs = 1000
			a := w.add("hub", hub, "t cloud 10.1.0.1/24 hub")
			spoke := oneArea("2.2.2.2", p2mp("t"))
			spoke.Redistribute = []Redistribute{{Protocol: rib.Static}}
			b := w.add("b", spoke, "t cloud 10.1.0.2/24")
			b.loop.Post("others", static("192.0.2.0/24"))
			w.run(30 * time.Second)
			f := newFoe(a, "t", "9.9.9.9", "10.1.0.9")
			f.befriend()
			most, octets := 0, 0
			for k := range tt.count {
				f.say(&wire.Update{LSAs: []wire.LSA{f.external(k, tt.size)}})
				if k%100 == 0 {
					w.run(10 * time.Millisecond)
				}
				most = max(most, a.m.instances["ospf"].lsas) // which sane holds against the database
				octets = max(octets, a.m.instances["ospf"].octets)
			}
			if most > 1000 || octets > 1000*lsaOctets+70000 {
				t.Errorf("%d LSAs of %d octets are kept", most, octets)
			}
			f.stay(20 * time.Second)
			if f.state() == "full" {
				t.Error("the foe is adjacent still")
			}
			w.wantStates("b", "1.1.1.1 full")
			if !strings.Contains(a.problems(), "limit") {
				t.Errorf("problems %q, want limit", a.problems())
			}
			b.loop.Post("others", static("198.51.100.0/24"))
			f.stay(20 * time.Second)
			if !strings.Contains(a.routes(), "198.51.100.0/24") {
				t.Errorf("no room for others:\n%s", a.routes())
			}
			f.stay(overloadHold)
			f.master += 1000
			f.greet()
			f.describe(wire.DDInit | wire.DDMore)
			if f.state() == "two-way" || f.state() == "init" {
				t.Error("it is not let in again")
			}
		})
	}
}

// Problems are logged once, and no flood of them fills the log.
func TestLogOfProblemsIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", p2p("e0")), "e0 s 10.0.0.1/8")
	f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
	for k := range uint32(5000) {
		p := &wire.Packet{Version: wire.V2, Router: f.id, Area: wire.AreaID(k + 1), Body: f.hello()}
		src := wire.Addr4(0x0a000000 + k%2*k)
		a.loop.Post(Name, core.ReceivedIP{Interface: "e0", Source: src, Destination: wire.V2.AllRouters(), Protocol: 89, TTL: 1, Payload: p.Append(nil, wire.Key{}, src, wire.V2.AllRouters())})
		a.loop.Run(w.now)
		if k%50 == 0 {
			w.run(100 * time.Millisecond)
		}
	}
	if n := w.loggedProblems(a); n == 0 || n > 30 {
		t.Errorf("%d lines were logged", n)
	}
}

// A neighbour that comes and goes while others are made adjacent leaves nothing behind.
func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	cfg := oneArea("1.1.1.1", p2mp("t"))
	cfg.MaxExchanges = 1
	a := w.add("a", cfg, "t cloud 10.1.0.1/24 hub")
	first := newFoe(a, "t", "8.8.8.8", "10.1.0.8")
	first.greet() // and nothing more
	f := newFoe(a, "t", "9.9.9.9", "10.1.0.9")
	for range 1000 {
		f.greet()
		f.say(f.hello())
	}
	if n := len(a.m.instances["ospf"].queue); n > 2 {
		t.Errorf("%d wait for their turn, of 2 neighbours", n)
	}
}

// A range's blackhole gives way to a route of the same prefix, and comes back.
func TestRangeThatIsARouteToo(t *testing.T) {
	w := newWorld(t, 1)
	a := Config{RouterID: id("1.1.1.1"), Areas: []Area{{ID: 1, Interfaces: []Interface{p2p("e0"), lan("lan"), lan("big")}}}}
	w.add("a", a, "e0 s 10.0.0.1/30", "lan la 10.1.1.1/24", "big lb 10.1.0.1/16")
	w.routers["a"].setLink("big", func(l *core.Link) { l.Up = false })
	w.add("b", Config{RouterID: id("2.2.2.2"), Areas: []Area{{ID: 1, Ranges: []Range{{Prefix: netip.MustParsePrefix("10.1.0.0/16")}}, Interfaces: []Interface{p2p("e0")}}, {Interfaces: []Interface{lan("bb")}}}},
		"e0 s 10.0.0.2/30", "bb lbb 10.9.0.1/24")
	for _, up := range []bool{false, true, false} {
		w.routers["a"].setLink("big", func(l *core.Link) { l.Up = up })
		w.run(40 * time.Second)
		want := "10.1.0.0/16 16777215"
		if up {
			want = "10.1.0.0/16 20 10.0.0.1@e0"
		}
		w.wantRoutes("b", want, "10.1.1.0/24 20 10.0.0.1@e0")
	}
}

// A neighbour whose address changes stays a neighbour, and routes follow it.
func TestNeighborWithAnotherAddress(t *testing.T) {
	for _, tt := range []struct {
		v          wire.Version
		one, two   string
		prefix     string
		mine       string
		before, as string
	}{
		{wire.V2, "10.0.0.2/24,192.168.2.1/24", "10.0.0.3/24,192.168.2.1/24", "192.168.2.0/24 20", "10.0.0.1/24", "10.0.0.2@e0", "10.0.0.3@e0"},
		{wire.V3, "fe80::2/64,2001:db8:2::1/64", "fe80::3/64,2001:db8:2::1/64", "2001:db8:2::/64 20", "fe80::1/64", "fe80::2@e0", "fe80::3@e0"},
	} {
		t.Run(tt.v.String(), func(t *testing.T) {
			w := newWorld(t, 1)
			a, b := oneArea("1.1.1.1", p2p("e0")), oneArea("2.2.2.2", p2p("e0"))
			a.Version, b.Version = tt.v, tt.v
			w.add("a", a, "e0 s "+tt.mine)
			w.add("b", b, "e0 s "+tt.one)
			w.run(30 * time.Second)
			if !strings.Contains(w.routers["a"].routes(), tt.before) {
				t.Fatalf("routes:\n%s", w.routers["a"].routes())
			}
			w.routers["b"].setLink("e0", func(l *core.Link) {
				l.Addresses = nil
				for _, p := range strings.Split(tt.two, ",") {
					l.Addresses = append(l.Addresses, netip.MustParsePrefix(p))
				}
			})
			w.run(30 * time.Second)
			if got := w.routers["a"].routes(); !strings.Contains(got, tt.as) || strings.Contains(got, tt.before) {
				t.Errorf("routes:\n%s\nwant by %s", got, tt.as)
			}
		})
	}
}

// Shortcuts of NHRP are no externals, whatever their prefix, nor is what the host keeps for itself.
func TestWhatIsNeverRedistributed(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) {
		for _, p := range []rib.Protocol{rib.Connected, rib.Static, rib.Kernel} {
			b.Redistribute = append(b.Redistribute, Redistribute{Protocol: p})
		}
		b.Default = &DefaultRoute{}
	})
	b := w.routers["b"]
	for _, p := range []string{"0.0.0.0/0", "172.20.0.0/16", "10.1.1.9/32"} {
		r := static(p)
		r.Protocol, r.Distance = rib.NHRP, rib.NHRP.Distance()
		b.loop.Post("others", r)
		r.Protocol, r.Override = rib.NHRP, true
		b.loop.Post("others", r)
	}
	for _, p := range []string{"127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"} {
		r := static(p)
		r.Protocol, r.Distance = rib.Connected, 0
		b.loop.Post("others", r)
	}
	w.run(time.Minute)
	for _, d := range w.routers["a"].m.Database(w.now) {
		if d.Type == "external" {
			t.Errorf("redistributed: %+v", d.Body)
		}
	}
}

// What can be no destination elsewhere is not believed, whoever tells of it.
func TestPrefixesThatAreNotBelieved(t *testing.T) {
	w, _, f := withFoe(t, nil)
	r := &wire.RouterLSA{Options: wire.OptE, Links: []wire.Link{{Kind: wire.LinkPointToPoint, ID: 0x01010101, Data: wire.Uint4(addr("10.0.0.9")), Metric: 1}}}
	for _, p := range []string{"127.0.0.0/8", "127.0.0.1/32", "169.254.0.0/16", "224.0.0.0/4", "224.0.0.5/32", "240.0.0.0/4", "255.255.255.255/32", "0.0.0.0/8", "0.0.0.0/32", "192.168.9.0/24", "0.0.0.0/0"} {
		q := netip.MustParsePrefix(p)
		r.Links = append(r.Links, wire.Link{Kind: wire.LinkStub, ID: wire.Uint4(q.Addr()), Data: wire.Mask(q.Bits()), Metric: 1})
	}
	l, err := wire.Build(wire.V2, wire.LSAKey{Type: 1, ID: uint32(f.id), Router: f.id}, 1, wire.InitialSequence, r)
	if err != nil {
		t.Fatal(err)
	}
	f.befriend()
	f.say(&wire.Update{LSAs: []wire.LSA{l}})
	f.stay(20 * time.Second)
	w.wantRoutes("a", "0.0.0.0/0 11 10.0.0.9@e0", "192.168.9.0/24 11 10.0.0.9@e0")
}

// A shortcut that overrides a route of the same prefix is in no LSA, as a forwarding address neither.
func TestOverriddenRouteIsToldWithoutShortcut(t *testing.T) {
	w := newWorld(t, 1)
	a, out := onLAN(w, rib.NextHop{Via: addr("203.0.113.1"), Interface: "x"})
	before := w.routers["b"].database(0)
	shortcut := rib.Route{Prefix: out.Prefix, Protocol: rib.NHRP, Distance: rib.NHRP.Distance(), Override: true, NextHops: []rib.NextHop{{Via: addr("10.0.0.77"), Interface: "e0"}}}
	a.loop.Post("others", shortcut)
	w.run(10 * time.Second)
	if now := w.routers["b"].database(0); now != before {
		t.Errorf("a shortcut changed the database from\n%s\nto\n%s", before, now)
	}
}

// RFC 2328 13.4: an LSA of ours from before a restart that says what we say is ours again, and is refreshed in time.
func TestAdoptedLSAIsRefreshed(t *testing.T) {
	w := pair(t, 3, nil)
	w.run(time.Minute)
	a := w.routers["a"]
	a.off = true
	w.run(5 * time.Second)
	a.boot(oneArea("1.1.1.1", p2p("e0"), lan("lan")))
	w.run(time.Minute)
	for range 24 * 60 {
		w.run(5 * time.Second)
		if got := w.routers["b"].routes(); got == "" {
			t.Fatalf("%v: the route went", w.now)
		}
	}
}

// An interface that leaves the configuration, or becomes passive, takes leave: nobody waits for the dead interval.
func TestInterfaceTakesLeave(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
	}{
		{"removed", func(c *Config) { c.Areas[0].Interfaces = c.Areas[0].Interfaces[1:] }},
		{"passive", func(c *Config) { c.Areas[0].Interfaces[0].Passive = true }},
		{"another area", func(c *Config) {
			c.Areas = append(c.Areas, Area{ID: 1, Interfaces: c.Areas[0].Interfaces[:1]})
			c.Areas[0].Interfaces = c.Areas[0].Interfaces[1:]
		}},
		{"area removed", func(c *Config) { c.Areas = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := pair(t, 1, nil)
			w.run(time.Minute)
			cfg := oneArea("1.1.1.1", p2p("e0"), lan("lan"))
			cfg.Name, cfg.Version = "ospf", wire.V2
			tt.change(&cfg)
			w.routers["a"].loop.Post(Name, core.Request{Body: Configure{[]Config{cfg}}})
			w.routers["a"].loop.Run(w.now)
			w.run(time.Second)
			if got := w.routers["b"].states(); strings.Contains(got, "full") {
				t.Errorf("b: %s", got)
			}
		})
	}
}

// RFC 3623 appendix A: no neighbour is waited for longer than LSAs live without it.
func TestGraceWithoutEnd(t *testing.T) {
	w, _, f := withFoe(t, nil)
	f.befriend()
	g, _ := wire.Build(wire.V2, wire.GraceKey(wire.V2, f.id, 0), 1, wire.InitialSequence, &wire.Grace{Period: 0xffffffff, Reason: 1, Options: wire.OptE})
	f.say(&wire.Update{LSAs: []wire.LSA{g}})
	w.run(time.Hour)
	if f.state() != "" {
		t.Errorf("an hour later the foe, which is silent, is %s", f.state())
	}
}

// RFC 2328 10.6: who always fails the exchange does not have us begin it as fast as packets fly.
func TestExchangeThatAlwaysFails(t *testing.T) {
	w, a, f := withFoe(t, nil)
	began := 0
	w.spy = func(_ *router, p core.SendIP) {
		if d, ok := bodyOf[*wire.DatabaseDescription](p); ok && d.Flags&wire.DDInit != 0 {
			began++
		}
	}
	f.greet()
	for range 2000 {
		f.describe(wire.DDInit | wire.DDMore)
		f.master++
		f.describe(0, wire.LSAHeader{LSAKey: wire.LSAKey{Type: 99, ID: 1, Router: f.id}, Sequence: wire.InitialSequence, Length: 20})
		f.master++
		w.run(10 * time.Millisecond)
		if w.now%(5*time.Second) == 0 {
			f.greet()
		}
	}
	if began > 40 {
		t.Errorf("the exchange was begun %d times in 20 s", began)
	}
	if !strings.Contains(a.problems(), "exchange") {
		t.Errorf("problems %q, want exchange", a.problems())
	}
}

// A request that names one LSA a hundred times is answered with one.
func TestRequestDoesNotMultiply(t *testing.T) {
	w, _, f := withFoe(t, nil)
	f.befriend()
	octets := 0
	w.spy = func(_ *router, p core.SendIP) { octets += len(p.Payload) }
	r := &wire.Request{}
	for range 100 {
		r.Keys = append(r.Keys, wire.LSAKey{Type: 1, ID: uint32(id("1.1.1.1")), Router: id("1.1.1.1")})
	}
	f.say(r)
	w.run(time.Millisecond)
	if octets == 0 || octets > 200 {
		t.Errorf("%d octets were sent", octets)
	}
}

// A neighbour that never acknowledges is not sent to for ever: after 25 times in vain the adjacency begins anew, and is named.
func TestNeverAcknowledged(t *testing.T) {
	_, a, f := withFoe(t, func(c *Config) { c.Redistribute = []Redistribute{{Protocol: rib.Static}} })
	f.befriend()
	a.loop.Post("others", static("192.0.2.0/24"))
	f.stay(time.Minute)
	if f.state() != "full" {
		t.Errorf("after a minute: %s", f.state())
	}
	f.stay(2 * time.Minute)
	if f.state() == "full" || !strings.Contains(a.problems(), "unacknowledged") {
		t.Errorf("%s, problems %q", f.state(), a.problems())
	}
}

// An LSA of ours that no packet holds is named, and fails nothing.
func TestRouterLSATooLarge(t *testing.T) {
	for _, n := range []int{5440, 5460, 5461} {
		w := newWorld(t, 1)
		var list []string
		for k := range n {
			list = append(list, fmt.Sprintf("10.%d.%d.1/24", k/250, k%250))
		}
		cfg := oneArea("1.1.1.1", p2p("e0"), lan("lan"))
		for k := range cfg.Areas[0].Interfaces {
			cfg.Areas[0].Interfaces[k].Keys = key(1, wire.SHA512, "secret")
		}
		a := w.add("a", cfg, "e0 s 192.168.0.1/24", "lan l "+strings.Join(list, ","))
		peer := oneArea("2.2.2.2", p2p("e0"))
		peer.Areas[0].Interfaces[0].Keys = key(1, wire.SHA512, "secret")
		w.add("b", peer, "e0 s 192.168.0.2/24")
		largest := 0
		w.spy = func(_ *router, p core.SendIP) { largest = max(largest, len(p.Payload)) }
		w.run(30 * time.Second)
		if a.loop.Panics[Name] > 0 || largest > 0xffff-20 {
			t.Errorf("%d prefixes: %d failures, a packet of %d octets", n, a.loop.Panics[Name], largest)
		}
		if named := strings.Contains(a.problems(), "limit"); named != (n > 5450) {
			t.Errorf("%d prefixes: problems %q", n, a.problems())
		}
	}
}

// RFC 2328 appendix E: networks of one address have LS IDs of their own, however many there are.
func TestLSIDsThatCollide(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) { b.Redistribute = []Redistribute{{Protocol: rib.Static}} })
	want := []string{}
	for _, p := range []string{"10.128.0.0/9", "10.128.0.0/16", "10.128.0.255/32", "10.128.0.0/24", "10.128.0.0/32", "10.128.0.0/25", "10.128.0.127/32", "10.128.0.0/26"} {
		w.routers["b"].loop.Post("others", static(p))
		want = append(want, p)
	}
	w.run(time.Minute)
	got := w.routers["a"].routes()
	for _, p := range want {
		if !strings.Contains(got, p+" ") {
			t.Errorf("%s is not told of:\n%s", p, got)
		}
	}
	w.routers["b"].loop.Post("others", static("10.128.0.0/9").Key())
	w.run(20 * time.Second)
	if got := w.routers["a"].routes(); strings.Contains(got, "/9") || !strings.Contains(got, "10.128.0.0/16") {
		t.Errorf("after one went:\n%s", got)
	}
}

// What is dropped of an update is named.
func TestLSAsThatAreDroppedAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name string
		lsa  func(f *foe) wire.LSA
		want string
	}{
		{"RFC 2328 12.1.6: the reserved sequence number", func(f *foe) wire.LSA {
			l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 5, ID: 1, Router: f.id}, 1, wire.InitialSequence-1, &wire.Opaque{Data: make([]byte, 16)})
			return l
		}, "lsa"},
		{"RFC 2328 13 step 2: an unknown type", func(f *foe) wire.LSA {
			l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 8, ID: 1, Router: f.id}, 1, wire.InitialSequence, &wire.Opaque{Data: make([]byte, 16)})
			return l
		}, "lsa"},
		{"RFC 2328 13 step 1: a wrong checksum", func(f *foe) wire.LSA {
			l := f.external(1, 16)
			l.Raw[len(l.Raw)-1] ^= 1
			return l
		}, "malformed"},
		{"RFC 2328 12.4.1: a router LSA by another ID", func(f *foe) wire.LSA {
			l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 1, ID: 1, Router: f.id}, 1, wire.InitialSequence, &wire.RouterLSA{})
			return l
		}, "malformed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, a, f := withFoe(t, nil)
			f.befriend()
			f.say(&wire.Update{LSAs: []wire.LSA{tt.lsa(f)}})
			if got := a.problems(); got != tt.want {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
		})
	}
}

// An address of ours that somebody else sends from is named.
func TestOurAddressElsewhere(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.add("b", oneArea("2.2.2.2", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.run(30 * time.Second)
	if got := a.problems(); got != "address" {
		t.Errorf("problems %q, want address", got)
	}
}

// RFC 2328 13.4: our LSA that somebody flushes again and again is there nearly all the time.
func TestPrematureAging(t *testing.T) {
	w := pair(t, 1, nil)
	w.run(2 * time.Minute)
	a, b := w.routers["a"], w.routers["b"]
	gone := 0
	for range 60 {
		for _, d := range a.m.Database(w.now) {
			if d.Type == "router" && d.Router == "1.1.1.1" {
				l, _ := wire.Build(wire.V2, d.Key, wire.MaxAge, d.Header.Sequence+1, &wire.RouterLSA{Options: wire.OptE})
				w.inject("b", a, &wire.Update{LSAs: []wire.LSA{l}})
				w.inject("a", b, &wire.Update{LSAs: []wire.LSA{l}})
			}
		}
		for range 11 {
			w.run(200 * time.Millisecond)
			if b.routes() == "" {
				gone++
			}
		}
	}
	if gone > 60*11/10 {
		t.Errorf("the route was gone %d of %d times", gone, 60*11)
	}
}

// RFC 2328 13.6: an LSA is sent again when its own acknowledgment is late, not when another's is.
func TestRetransmissionsAreTimely(t *testing.T) {
	w, a, f := withFoe(t, func(c *Config) { c.Redistribute = []Redistribute{{Protocol: rib.Static}} })
	f.befriend()
	f.stay(2 * time.Second)
	for _, h := range a.m.Database(w.now) {
		f.say(&wire.Ack{Headers: []wire.LSAHeader{h.Header}})
	}
	at := map[uint32][]time.Duration{}
	w.spy = func(_ *router, p core.SendIP) {
		if u, ok := bodyOf[*wire.Update](p); ok {
			for _, l := range u.LSAs {
				at[l.ID] = append(at[l.ID], w.now)
			}
		}
	}
	for k := range 20 {
		a.loop.Post("others", static(fmt.Sprintf("192.0.%d.0/24", k)))
		a.loop.Run(w.now)
		w.run(700 * time.Millisecond)
		f.greet()
	}
	f.stay(15 * time.Second)
	for id, times := range at {
		for k := 1; k < len(times); k++ {
			if d := times[k] - times[k-1]; d < 5*time.Second || d > 11*time.Second {
				t.Errorf("%v was sent again after %v", wire.Addr4(id), d)
			}
		}
	}
	if len(at) != 20 {
		t.Errorf("%d LSAs", len(at))
	}
}

// RFC 2328 8.2, RFC 5082: packets from outside of the network, and from afar where that is checked, are dropped and named.
func TestPacketsFromElsewhere(t *testing.T) {
	w := newWorld(t, 1)
	near := bcast("e0", 1)
	near.MinTTL = 255
	a := w.add("a", oneArea("1.1.1.1", near), "e0 s 10.0.0.1/24")
	f := newFoe(a, "e0", "9.9.9.9", "10.0.1.9")
	f.greet()
	if a.problems() != "network" || f.state() != "" {
		t.Errorf("%q, problems %q", f.state(), a.problems())
	}
	f.src = addr("10.0.0.9") // with TTL 1
	f.greet()
	if a.problems() != "network ttl" || f.state() != "" {
		t.Errorf("%q, problems %q", f.state(), a.problems())
	}
}

// RFC 3623 B.1: nobody asks for another to be waited for.
func TestGraceOfAnother(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.add("b", oneArea("2.2.2.2", bcast("e0", 1)), "e0 s 10.0.0.2/24")
	w.run(90 * time.Second)
	a := w.routers["a"]
	f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
	f.befriend()
	for _, as := range []wire.RouterID{f.id, id("2.2.2.2")} {
		address := addr("10.0.0.2")
		if as != f.id {
			address = f.src
		}
		g, _ := wire.Build(wire.V2, wire.GraceKey(wire.V2, as, 0), 1, wire.InitialSequence, &wire.Grace{Period: 1000, Reason: 1, Address: address, Options: wire.OptE})
		f.say(&wire.Update{LSAs: []wire.LSA{g}})
	}
	w.routers["b"].off = true
	f.stay(time.Minute)
	if got := a.states(); strings.Contains(got, "2.2.2.2") {
		t.Errorf("a dead neighbour is waited for: %s", got)
	}
}

// A neighbour whose priority changes with each hello does not have us say as many to everybody, nor log them.
func TestPriorityThatFlaps(t *testing.T) {
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.run(time.Minute)
	f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
	sent, before := 0, len(a.logs)
	w.spy = func(_ *router, p core.SendIP) {
		if _, ok := bodyOf[*wire.Hello](p); ok {
			sent++
		}
	}
	for k := range 1000 {
		h := f.hello(f.victim())
		h.Priority = uint8(k % 2)
		f.say(h)
		w.run(5 * time.Millisecond)
	}
	if sent == 0 || sent > 10 {
		t.Errorf("%d hellos in 5 s", sent)
	}
	info := 0
	for _, l := range a.logs[before:] {
		if strings.Contains(l, "ospf.designated") && !strings.HasPrefix(l, "debug") {
			info++
		}
	}
	if info > 10 {
		t.Errorf("%d lines in the log", info)
	}
}

// Routes of others that are to be redistributed are bounded: a full table that leaks into the kernel does not become LSAs of all.
func TestRedistributionIsBounded(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) {
		b.Redistribute = []Redistribute{{Protocol: rib.Static}}
		b.MaxLSAs = 100
	})
	for k := range 500 {
		w.routers["b"].loop.Post("others", static(fmt.Sprintf("172.16.%d.%d/32", k/250, k%250)))
	}
	w.run(time.Minute)
	if n := w.routers["b"].m.Instances(w.now)[0].LSAs; n > 110 || w.routers["b"].problems() != "limit" {
		t.Errorf("%d LSAs, problems %q", n, w.routers["b"].problems())
	}
	w.wantStates("a", "2.2.2.2 full")
}
