package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/liveness"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
	"github.com/spokeway/spokeway/internal/rib"
)

// pair is two routers on a point-to-point link, each with a LAN.
func pair(t *testing.T, seed uint64, change func(a, b *Config)) *world {
	w := newWorld(t, seed)
	a, b := oneArea("1.1.1.1", p2p("e0"), lan("lan")), oneArea("2.2.2.2", p2p("e0"), lan("lan"))
	if change != nil {
		change(&a, &b)
	}
	w.add("a", a, "e0 s 10.0.0.1/30", "lan la 192.168.1.1/24")
	w.add("b", b, "e0 s 10.0.0.2/30", "lan lb 192.168.2.1/24")
	return w
}

func (r *router) problems() string {
	var words []string
	for _, p := range r.m.Problems(r.w.now) {
		words = append(words, p.Problem)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func key(id uint32, a wire.Algorithm, secret string) []wire.Key {
	return []wire.Key{{ID: id, Algorithm: a, Secret: []byte(secret)}}
}

func TestProblemsAreNamed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(a, b *Config)
		want   string
	}{
		{"RFC 2328 8.2: another area", func(a, b *Config) { b.Areas[0].ID = 1 }, "area"},
		{"RFC 2328 10.5: another hello interval", func(a, b *Config) {
			b.Areas[0].Interfaces[0].Hello, b.Areas[0].Interfaces[0].Dead = 5*time.Second, 40*time.Second
		}, "timer"},
		{"RFC 2328 10.5: another dead interval", func(a, b *Config) { b.Areas[0].Interfaces[0].Dead = 60 * time.Second }, "timer"},
		{"RFC 2328 10.5: a stub and none", func(a, b *Config) {
			for _, c := range []*Config{a, b} {
				c.Areas[0].ID = 1
			}
			b.Areas[0].Kind = Stub
		}, "area-kind"},
		{"RFC 2328 D.4: another type of authentication", func(a, b *Config) { b.Areas[0].Interfaces[0].Keys = key(1, wire.MD5, "secret") }, "authentication"},
		{"RFC 2328 D.4: another key", func(a, b *Config) {
			a.Areas[0].Interfaces[0].Keys = key(1, wire.SHA256, "secret")
			b.Areas[0].Interfaces[0].Keys = key(1, wire.SHA256, "Secret")
		}, "authentication"},
		{"one router ID twice", func(a, b *Config) { b.RouterID = a.RouterID }, "router-id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := pair(t, 1, tt.change)
			w.run(50 * time.Second)
			w.wantStates("a", "")
			if got := w.routers["a"].problems(); got != tt.want {
				t.Errorf("problems %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMTUMismatch(t *testing.T) {
	w := pair(t, 1, nil)
	w.routers["b"].setLink("e0", func(l *core.Link) { l.MTU = 1400 })
	w.run(40 * time.Second)
	for _, name := range []string{"a", "b"} { // b drops what a describes, and a sees that it has the larger MTU
		if got := w.routers[name].problems(); !strings.Contains(got, "mtu") {
			t.Errorf("%s: problems %q, want mtu", name, got)
		}
	}
	w.routers["b"].setLink("e0", func(l *core.Link) { l.MTU = 1500 })
	w.run(2 * time.Minute)
	w.wantStates("b", "1.1.1.1 full")
	for _, name := range []string{"a", "b"} {
		if got := w.routers[name].problems(); strings.Contains(got, "mtu") {
			t.Errorf("%s: still %q", name, got)
		}
	}
	w = pair(t, 1, func(a, b *Config) { b.Areas[0].Interfaces[0].MTUIgnore = true })
	w.routers["b"].setLink("e0", func(l *core.Link) { l.MTU = 1400 })
	w.run(40 * time.Second)
	w.wantStates("b", "1.1.1.1 full")
}

func TestMaskMismatchOnBroadcast(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.add("b", oneArea("2.2.2.2", bcast("e0", 1)), "e0 s 10.0.0.2/25")
	w.run(40 * time.Second)
	if got := w.routers["a"].problems(); got != "mask" {
		t.Errorf("problems %q, want mask", got)
	}
}

func TestKindsOfNetworkThatDoNotGoTogether(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", oneArea("1.1.1.1", bcast("e0", 1)), "e0 s 10.0.0.1/24")
	w.add("b", oneArea("2.2.2.2", p2mp("e0")), "e0 s 10.0.0.2/24")
	w.run(200 * time.Second)
	for _, name := range []string{"a", "b"} {
		if got := w.routers[name].problems(); got != "network-type" {
			t.Errorf("%s: problems %q, want network-type", name, got)
		}
	}
}

func TestAuthentication(t *testing.T) {
	for _, a := range []wire.Algorithm{wire.Simple, wire.MD5, wire.HMACSHA1, wire.SHA256, wire.SHA384, wire.SHA512} {
		t.Run(a.String(), func(t *testing.T) {
			var old core.ReceivedIP
			w := pair(t, 1, func(x, y *Config) {
				x.Areas[0].Interfaces[0].Keys, y.Areas[0].Interfaces[0].Keys = key(7, a, "secret"), key(7, a, "secret")
			})
			w.spy = func(from *router, p core.SendIP) {
				if from.name == "b" && old.Payload == nil {
					old = core.ReceivedIP{Interface: "e0", Source: p.Source, Destination: p.Destination, Protocol: p.Protocol, TTL: p.TTL, Payload: slices.Clone(p.Payload)}
				}
			}
			w.run(60 * time.Second)
			w.wantStates("a", "2.2.2.2 full")
			if a == wire.Simple {
				return
			}
			w.routers["a"].loop.Post(Name, old)
			w.run(time.Millisecond)
			if got := w.routers["a"].problems(); got != "replay" {
				t.Errorf("RFC 2328 D.4.3: problems %q after a replay, want replay", got)
			}
			w.wantStates("a", "2.2.2.2 full")
		})
	}
}

// Packets are lost, and databases become one all the same.
func TestLoss(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		w.loss = 0.3
		w.add("hub", oneArea("1.1.1.1", bcast("e0", 1), p2mp("t"), lan("lan")), "e0 s 10.0.0.1/24", "t cloud 10.1.0.1/24 hub", "lan lh 192.168.1.1/24")
		w.add("hub2", oneArea("2.2.2.2", bcast("e0", 1), p2mp("t"), lan("lan")), "e0 s 10.0.0.2/24", "t cloud 10.1.0.2/24 hub", "lan lg 192.168.2.1/24")
		for k := 3; k < 8; k++ {
			w.add(fmt.Sprint("s", k), oneArea(fmt.Sprintf("%d.0.0.0", k), p2mp("t"), lan("lan")), fmt.Sprintf("t cloud 10.1.0.%d/24", k), fmt.Sprintf("lan l%d 192.168.%d.1/24", k, k))
		}
		w.run(5 * time.Minute)
		w.loss = 0
		w.run(3 * time.Minute)
		w.wantEqual(0, "hub", "hub2", "s3", "s4", "s5", "s6", "s7")
		w.routers["hub"].off = true
		w.loss = 0.3
		w.run(2 * time.Minute)
		w.loss = 0
		w.run(time.Minute)
		w.wantEqual(0, "hub2", "s3", "s4", "s5", "s6", "s7")
		if t.Failed() {
			t.Fatal("seed ", seed)
		}
	}
}

// RFC 2328 12.4, 14: LSAs are refreshed, and what nobody refreshes goes.
func TestADay(t *testing.T) {
	w := pair(t, 1, nil)
	w.run(time.Minute)
	first := w.routers["a"].database(0)
	w.run(24 * time.Hour)
	w.wantStates("a", "2.2.2.2 full")
	w.wantEqual(0, "a", "b")
	w.wantRoutes("a", "192.168.2.0/24 20 10.0.0.2@e0")
	if w.routers["a"].database(0) == first {
		t.Error("a day later no LSA was refreshed")
	}
	if n := w.routers["a"].m.Neighbors(w.now)[0].Events; n > 8 {
		t.Errorf("the neighbour changed its state %d times", n)
		for _, l := range w.routers["a"].logs {
			if strings.Contains(l, "neighbor") {
				t.Log(l)
			}
		}
	}
	w.routers["b"].off = true
	w.run(2 * time.Hour)
	if got := w.routers["a"].database(0); strings.Contains(got, "2.2.2.2") {
		t.Errorf("RFC 2328 14: an LSA outlived its originator by two hours:\n%s", got)
	}
}

// RFC 2328 12.1.6: at the last sequence number an LSA is flushed, and begins anew.
func TestSequenceNumbersRunOut(t *testing.T) {
	w := pair(t, 1, nil)
	w.run(time.Minute)
	a := w.routers["a"]
	w.lie("b", "a", wire.MaxSequence-1, a)
	w.run(time.Minute)
	a.setLink("lan", func(l *core.Link) { l.Up = false })
	w.run(time.Minute)
	for _, d := range a.m.Database(w.now) {
		if d.Router == "1.1.1.1" && d.Sequence != "0x80000001" {
			t.Errorf("sequence %s, want the first one", d.Sequence)
		}
	}
	w.wantEqual(0, "a", "b")
	w.wantRoutes("b")
}

// lie floods an LSA of the victim from a neighbour's address, saying that the victim has no links.
func (w *world) lie(from, victim string, seq int32, to *router) {
	r := w.routers[victim]
	me := id(r.m.Instances(w.now)[0].RouterID)
	l, err := wire.Build(wire.V2, wire.LSAKey{Type: 1, ID: uint32(me), Router: me}, 1, seq, &wire.RouterLSA{Options: wire.OptE})
	if err != nil {
		w.t.Fatal(err)
	}
	w.inject(from, to, &wire.Update{LSAs: []wire.LSA{l}})
}

func (w *world) inject(from string, to *router, body wire.Body) {
	f := w.routers[from]
	p := &wire.Packet{Version: wire.V2, Router: id(f.m.Instances(w.now)[0].RouterID), Body: body}
	src, dst := f.ports["e0"].link.Addresses[0].Addr(), wire.V2.AllRouters()
	to.loop.Post(Name, core.ReceivedIP{Interface: "e0", Source: src, Destination: dst, Protocol: 89, TTL: 1, Payload: p.Append(nil, wire.Key{}, src, dst)})
	to.loop.Run(w.now)
}

// RFC 2328 13.4: an LSA in our name that we did not make is outdone, and named.
func TestLSAInOurName(t *testing.T) {
	w := pair(t, 1, nil)
	w.run(2 * time.Minute)
	w.lie("b", "a", wire.InitialSequence+100, w.routers["a"])
	w.run(10 * time.Second)
	w.wantEqual(0, "a", "b")
	w.wantRoutes("b", "192.168.1.0/24 20 10.0.0.1@e0")
	if got := w.routers["a"].problems(); got != "self-originated" {
		t.Errorf("problems %q, want self-originated", got)
	}
}

// RFC 2328 13 step 4, 14.1: an LSA in our name of a kind that we do not make is flushed.
func TestStrangeLSAInOurName(t *testing.T) {
	w := pair(t, 1, nil)
	w.run(2 * time.Minute)
	me := id("1.1.1.1")
	l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 5, ID: wire.Uint4(addr("9.0.0.0")), Router: me}, 1, wire.InitialSequence,
		&wire.External{Prefix: netip.MustParsePrefix("9.0.0.0/8"), Metric: 1, Options: wire.OptE})
	w.inject("b", w.routers["a"], &wire.Update{LSAs: []wire.LSA{l}})
	w.run(10 * time.Second)
	for _, name := range []string{"a", "b"} {
		if strings.Contains(w.routers[name].database(0), "external") {
			t.Errorf("%s still has it:\n%s", name, w.routers[name].database(0))
		}
	}
}

// RFC 2328 13.4, 14.1: an LSA in our name from before a restart may come at MaxAge, by the designated router, who then tells
// nobody else. Others may have an older instance from us by then, and what is older may come back to the designated router: we
// flood it to all, once those who have just heard of it listen (MinLSArrival), and do not wait for retransmissions.
func TestFlushInOurNameGoesOn(t *testing.T) {
	for name, after := range map[string]time.Duration{"wanted until later": 0, "soon to be taken back": 100 * time.Millisecond, "taken back": 500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			cfg := oneArea("1.1.1.1", bcast("e0", 1))
			cfg.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}}
			a := w.add("a", cfg, "e0 s 10.0.0.1/24")
			c := w.add("c", oneArea("3.3.3.3", bcast("e0", 0)), "e0 s 10.0.0.3/24")
			f := newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
			f.designated = true
			f.stay(time.Minute)
			f.befriend()
			a.loop.Post("others", static("172.16.0.0/16"))
			w.run(time.Second)
			if !strings.Contains(c.database(0), "external") || a.m.Interfaces(w.now)[0].State != "backup" {
				t.Fatalf("%+v\n%s", a.m.Interfaces(w.now), c.database(0))
			}
			l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 5, ID: wire.Uint4(addr("172.16.0.0")), Router: id("1.1.1.1")}, wire.MaxAge, wire.InitialSequence+9,
				&wire.External{Prefix: netip.MustParsePrefix("172.16.0.0/16"), Metric: 7, Type2: true, Options: wire.OptE})
			flush := &wire.Update{LSAs: []wire.LSA{l}}
			if after == 0 {
				f.say(flush)
			}
			a.loop.Post("others", static("172.16.0.0/16").Key())
			w.run(after)
			var seen []string
			w.spy = func(from *router, p core.SendIP) {
				if u, ok := bodyOf[*wire.Update](p); ok && from == a {
					for _, l := range u.LSAs {
						seen = append(seen, fmt.Sprintf("%v %v age %d sequence %#x", w.now, l.LSAKey, l.Age, uint32(l.Sequence)))
					}
				}
			}
			if after > 0 {
				f.say(flush)
			}
			w.run(2 * time.Second)
			if len(seen) != 1 || !strings.Contains(seen[0], "age 3600 sequence 0x8000000a") {
				t.Errorf("within 2 s it sent %q", seen)
			}
			if strings.Contains(c.database(0), "external") {
				t.Errorf("the other has it:\n%s", c.database(0))
			}
		})
	}
}

// ospf6d takes an older instance for one that it has at MaxAge, and tells of that at the same time. What is repeated to it later, when
// it listens again (MinLSArrival), and until it acknowledges, clears that up.
func TestFlushInOurNameIsRepeated(t *testing.T) {
	w, a, f := withFoe(t, func(c *Config) { c.Redistribute = []Redistribute{{Protocol: rib.Static, Metric: 7}} })
	f.befriend()
	a.loop.Post("others", static("172.16.0.0/16"))
	f.stay(5 * time.Second)
	a.loop.Post("others", static("172.16.0.0/16").Key())
	w.run(100 * time.Millisecond)
	l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 5, ID: wire.Uint4(addr("172.16.0.0")), Router: id("1.1.1.1")}, wire.MaxAge, wire.InitialSequence+9,
		&wire.External{Prefix: netip.MustParsePrefix("172.16.0.0/16"), Metric: 7, Type2: true, Options: wire.OptE})
	f.say(&wire.Update{LSAs: []wire.LSA{l}})
	came := w.now
	var seen []time.Duration
	w.spy = func(from *router, p core.SendIP) {
		if u, ok := bodyOf[*wire.Update](p); ok && from == a && slices.ContainsFunc(u.LSAs, func(x wire.LSA) bool { return x.LSAHeader == l.LSAHeader }) {
			seen = append(seen, w.now-came)
		}
	}
	f.stay(12 * time.Second)
	if len(seen) != 2 || seen[0] <= wire.MinLSArrival || seen[0] > 2*time.Second {
		t.Fatalf("sent after %v, want it after more than a second, and once more", seen)
	}
	f.say(&wire.Ack{Headers: []wire.LSAHeader{l.LSAHeader}})
	f.stay(10 * time.Second)
	if len(seen) != 2 || strings.Contains(a.database(0), "external") {
		t.Errorf("acknowledged, sent after %v\n%s", seen, a.database(0))
	}
}

// RFC 6987: a stub router is gone around.
func TestStubRouter(t *testing.T) {
	w := newWorld(t, 1)
	w.add("a", oneArea("1.1.1.1", p2p("e0"), p2p("e1")), "e0 ab 10.0.1.1/24", "e1 ac 10.0.2.1/24")
	slow := p2p("e1")
	slow.Cost = 100
	b := oneArea("2.2.2.2", p2p("e0"), p2p("e1"))
	b.StubRouter.OnStartup = 3 * time.Minute
	w.add("b", b, "e0 ab 10.0.1.2/24", "e1 bd 10.0.3.2/24")
	w.add("c", oneArea("3.3.3.3", p2p("e0"), slow), "e0 ac 10.0.2.3/24", "e1 cd 10.0.4.3/24")
	w.add("d", oneArea("4.4.4.4", p2p("e0"), p2p("e1"), lan("lan")), "e0 bd 10.0.3.4/24", "e1 cd 10.0.4.4/24", "lan ld 192.168.4.1/24")
	w.run(2 * time.Minute)
	if got := w.routers["a"].routes(); !strings.Contains(got, "192.168.4.0/24 120 10.0.2.3@e1") {
		t.Errorf("through the stub router:\n%s", got)
	}
	w.run(2 * time.Minute)
	if got := w.routers["a"].routes(); !strings.Contains(got, "192.168.4.0/24 30 10.0.1.2@e0") {
		t.Errorf("not through the router that is no stub any more:\n%s", got)
	}
}

func static(p string) rib.Route {
	return rib.Route{Prefix: netip.MustParsePrefix(p), Protocol: rib.Static, Distance: 1, NextHops: []rib.NextHop{{Via: addr("203.0.113.9"), Interface: "x"}}}
}

func TestRedistribution(t *testing.T) {
	w := pair(t, 1, func(a, b *Config) {
		b.Redistribute = []Redistribute{{Protocol: rib.Static, Type1: true, Metric: 5, Tag: 77, Match: []Match{
			{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Max: 24, Deny: true, Min: 24},
			{Prefix: netip.MustParsePrefix("172.16.0.0/12"), Min: 12, Max: 32}}}}
		b.Default = &DefaultRoute{}
		b.Summaries = []Range{{Prefix: netip.MustParsePrefix("172.31.0.0/16")}}
	})
	b := w.routers["b"]
	for _, p := range []string{"172.16.1.0/24", "172.16.0.0/16", "192.0.2.0/24", "172.31.1.0/25", "172.31.2.0/25"} {
		b.loop.Post("others", static(p))
	}
	shortcut := static("172.20.0.0/16")
	shortcut.Protocol = rib.NHRP
	b.loop.Post("others", shortcut)
	w.run(time.Minute)
	w.wantRoutes("a", "172.16.0.0/16 15 10.0.0.2@e0", "172.31.0.0/16 15 10.0.0.2@e0", "192.168.2.0/24 20 10.0.0.2@e0")
	if r := w.routers["a"].m.Routes(w.now); r[1].Tag != 0 && r[1].Prefix == "172.16.0.0/16" && r[1].Tag != 77 {
		t.Errorf("tag %d", r[1].Tag)
	}
	b.loop.Post("others", static("0.0.0.0/0"))
	b.loop.Post("others", static("172.16.0.0/16").Key())
	w.run(20 * time.Second)
	w.wantRoutes("a", "0.0.0.0/0 1 10.0.0.2@e0", "172.31.0.0/16 15 10.0.0.2@e0", "192.168.2.0/24 20 10.0.0.2@e0")
}

// RFC 3623: a router restarts, its neighbours go on using it, and no LSA says otherwise.
func TestGracefulRestart(t *testing.T) {
	w := newWorld(t, 1)
	cfg := oneArea("1.1.1.1", p2p("e0"), bcast("e1", 1), lan("lan"))
	cfg.Restart.Period = 2 * time.Minute
	w.add("a", cfg, "e0 s 10.0.0.1/30", "e1 l 10.0.1.1/24", "lan la 192.168.1.1/24")
	w.add("b", oneArea("2.2.2.2", p2p("e0")), "e0 s 10.0.0.2/30")
	w.add("c", oneArea("3.3.3.3", bcast("e1", 1)), "e1 l 10.0.1.3/24")
	w.run(2 * time.Minute)
	before := [2]string{w.routers["b"].routes(), w.routers["c"].routes()}
	a := w.routers["a"]
	a.loop.Post(Name, core.Stop{Restart: true})
	a.loop.Run(w.now)
	w.run(time.Second)
	a.off = true
	check := func(when string) {
		t.Helper()
		if now := [2]string{w.routers["b"].routes(), w.routers["c"].routes()}; now != before {
			t.Errorf("%s: routes\n%s\n--\n%s\nwant\n%s\n--\n%s", when, now[0], now[1], before[0], before[1])
		}
	}
	w.run(time.Minute)
	check("while it is gone")
	a.boot(cfg)
	for k := range 40 {
		w.run(3 * time.Second)
		check(fmt.Sprint("after it is back, ", 3*k, " s"))
		if t.Failed() {
			break
		}
	}
	w.wantStates("b", "1.1.1.1 full")
	w.wantEqual(0, "a", "b", "c")
	if row := a.m.Instances(w.now)[0]; slices.Contains(row.Roles, "restarting") {
		t.Errorf("roles %v", row.Roles)
	}
}

// RFC 3623 3.1 item 2: nobody waits for a router that has not acknowledged a change. We do it before we ask, not a second later.
func TestRestartAcknowledgesFirst(t *testing.T) {
	w := pair(t, 1, func(a, _ *Config) { a.Restart.Period = 2 * time.Minute })
	w.run(2 * time.Minute)
	a, b := w.routers["a"], w.routers["b"]
	before, told := b.routes(), a.database(0)
	b.setLink("lan", func(l *core.Link) { l.Up = false })
	w.until(10*time.Second, func() bool { return a.database(0) != told })
	a.loop.Post(Name, core.Stop{Restart: true})
	a.loop.Run(w.now)
	w.run(300 * time.Millisecond)
	a.off = true
	w.run(time.Minute)
	if now := b.routes(); !strings.Contains(now, "192.168.1.0/24") {
		t.Errorf("it does not wait: routes\n%s\nbefore\n%s\n%s", now, before, strings.Join(b.logs, "\n"))
	}
}

// A hub comes back from a graceful restart: what it says first knows of all its spokes, the last of them too.
func TestGracefulRestartOfAHub(t *testing.T) {
	w := newWorld(t, 1)
	hub := oneArea("1.1.1.1", p2mp("t"), lan("lan"))
	hub.Restart.Period = 2 * time.Minute
	w.add("hub", hub, "t cloud 10.1.0.1/16 hub", "lan lh 192.168.1.1/24")
	spokes := []string{"s1", "s2", "s3"}
	for k, name := range spokes {
		w.add(name, oneArea(fmt.Sprintf("9.0.0.%d", k+1), p2mp("t"), lan("lan")), fmt.Sprintf("t cloud 10.1.1.%d/16", k+1), fmt.Sprintf("lan l%d 192.168.%d.1/24", k, k+2))
	}
	w.run(2 * time.Minute)
	before := map[string]string{}
	for _, name := range spokes {
		before[name] = w.routers[name].routes()
	}
	h := w.routers["hub"]
	h.loop.Post(Name, core.Stop{Restart: true})
	h.loop.Run(w.now)
	w.run(time.Second)
	h.off = true
	w.run(5 * time.Second)
	h.boot(hub)
	for k := range 3000 {
		w.run(20 * time.Millisecond)
		for _, name := range spokes {
			if now := w.routers[name].routes(); now != before[name] {
				t.Fatalf("%s, %v after it is back:\n%s\nwant\n%s", name, time.Duration(k)*20*time.Millisecond, now, before[name])
			}
		}
	}
	if row := h.m.Instances(w.now)[0]; slices.Contains(row.Roles, "restarting") {
		t.Errorf("roles %v", row.Roles)
	}
}

// RFC 4222 recommendation 5: a hub does not begin all adjacencies at once, and all come up.
func TestManySpokes(t *testing.T) {
	w := newWorld(t, 1)
	hub := oneArea("1.1.1.1", p2mp("t"), lan("lan"))
	hub.MaxExchanges = 5
	w.add("hub", hub, "t cloud 10.1.0.1/16 hub", "lan lh 192.168.1.1/24")
	names := []string{"hub"}
	for k := range 60 {
		name := fmt.Sprint("s", k)
		names = append(names, name)
		w.add(name, oneArea(fmt.Sprintf("9.0.0.%d", k+1), p2mp("t")), fmt.Sprintf("t cloud 10.1.1.%d/16", k+1))
	}
	making := 0
	for range 120 {
		w.run(500 * time.Millisecond)
		making = max(making, w.routers["hub"].m.instances["ospf"].making)
	}
	if making > 5 {
		t.Errorf("%d adjacencies were made at once", making)
	}
	if n := w.routers["hub"].m.Instances(w.now)[0].Adjacencies; n != 60 {
		t.Errorf("%d adjacencies after a minute, want 60", n)
	}
	w.run(30 * time.Second)
	w.wantEqual(0, names...)
	if strings.Contains(w.routers["hub"].routes(), "10.1.1.") {
		t.Error("the host routes of spokes, which NHRP is to find, are in the routing table")
	}
}

// One seed gives one trace.
func TestReplay(t *testing.T) {
	trace := func() string {
		var lines []string
		w := newWorld(t, 5)
		w.loss = 0.2
		w.spy = func(from *router, p core.SendIP) { lines = append(lines, fmt.Sprint(w.now, from.name, p)) }
		for k := 1; k < 6; k++ {
			cfg := oneArea(fmt.Sprintf("%d.0.0.0", k), bcast("e0", uint8(k)), lan("lan"))
			cfg.Areas = append(cfg.Areas, Area{ID: 1, Kind: NSSA, Interfaces: []Interface{p2mp("t")}})
			cfg.Redistribute = []Redistribute{{Protocol: rib.Static}}
			r := w.add(fmt.Sprint("r", k), cfg, fmt.Sprintf("e0 s 10.0.0.%d/24", k), fmt.Sprintf("t u 10.1.0.%d/24", k), fmt.Sprintf("lan l%d 192.168.%d.1/24", k, k))
			for x := range 5 {
				r.loop.Post("others", static(fmt.Sprintf("172.16.%d.0/24", 10*k+x)))
			}
		}
		w.run(3 * time.Minute)
		w.routers["r1"].setLink("e0", func(l *core.Link) { l.Up = false })
		w.run(time.Minute)
		w.routers["r2"].loop.Post(Name, core.Request{Body: Configure{}})
		w.run(time.Minute)
		return strings.Join(lines, "\n")
	}
	if a, b := trace(), trace(); a != b || len(a) < 1e5 {
		t.Errorf("two runs of one seed differ, or are short: %d and %d", len(a), len(b))
	}
}

// RFC 5882 4.3: a neighbour whose path has failed is given up at once, and traffic takes the other way within 100 ms.
func TestLivenessMovesRoutesAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	live := p2mp("t1")
	live.Liveness = &Liveness{Interval: 50 * time.Millisecond, Multiplier: 3}
	w.add("hub1", oneArea("1.1.1.1", p2mp("t"), bcast("lan", 1)), "t cloud1 10.1.0.1/24 hub", "lan l 192.168.0.1/24")
	w.add("hub2", oneArea("2.2.2.2", p2mp("t"), bcast("lan", 1)), "t cloud2 10.2.0.1/24 hub", "lan l 192.168.0.2/24")
	w.add("a", oneArea("3.3.3.3", live, p2mp("t2"), lan("lan")), "t1 cloud1 10.1.0.3/24", "t2 cloud2 10.2.0.3/24", "lan la 192.168.3.1/24")
	w.run(time.Minute)
	w.wantRoutes("a", "192.168.0.0/24 20 10.1.0.1@t1 10.2.0.1@t2")
	a := w.routers["a"]
	target := liveness.Target{Peer: addr("10.1.0.1"), Local: addr("10.1.0.3"), Interface: "t1"}
	a.loop.Post(Name, core.Notice{From: liveness.BFD, Body: liveness.State{Target: target, For: "ospf", Status: liveness.AdminDown}})
	w.run(time.Second)
	w.wantStates("a", "1.1.1.1 full, 2.2.2.2 full")
	w.routers["hub1"].off = true
	a.loop.Post(Name, core.Notice{From: liveness.BFD, Body: liveness.State{Target: target, For: "ospf", Status: liveness.Down}})
	a.loop.Run(w.now)
	w.run(100 * time.Millisecond)
	w.wantStates("a", "2.2.2.2 full")
	w.wantRoutes("a", "10.1.0.1/32 20 10.2.0.1@t2", "192.168.0.0/24 20 10.2.0.1@t2")
}

// RFC 2328 12.4 and 13: that an adjacency is lost is told as soon as others take it, though the network was busy of late. Else of
// two hubs that have lost a spoke each would believe that the other one reaches it, and packets would go between them.
func TestLossIsToldAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	live := func(name string, cost uint32) Interface {
		i := p2mp(name)
		i.Cost, i.Hello, i.Liveness = cost, time.Second, &Liveness{Interval: 50 * time.Millisecond, Multiplier: 3}
		return i
	}
	for k, hub := range []string{"hub1", "hub2"} {
		w.add(hub, oneArea(fmt.Sprintf("%d.%d.%d.%d", k+1, k+1, k+1, k+1), live("t1", 10), live("t2", 20), bcast("lan", 1)),
			fmt.Sprintf("t1 cloud1 10.1.0.%d/24 hub", k+1), fmt.Sprintf("t2 cloud2 10.2.0.%d/24 hub", k+1), fmt.Sprintf("lan l 192.168.0.%d/24", k+1))
	}
	w.add("a", oneArea("3.3.3.3", live("t1", 10), live("t2", 20), lan("lan")), "t1 cloud1 10.1.0.3/24", "t2 cloud2 10.2.0.3/24", "lan la 192.168.3.1/24")
	w.run(time.Minute)
	fails := func(on, peer, local string) {
		r := w.routers[on]
		target := liveness.Target{Peer: addr(peer), Local: addr(local), Interface: "t1"}
		r.loop.Post(Name, core.Notice{From: liveness.BFD, Body: liveness.State{Target: target, For: "ospf", Status: liveness.Down}})
		r.loop.Run(w.now)
	}
	for range 5 { // what others must not be told of too often
		fails("hub1", "10.1.0.2", "10.1.0.1")
		fails("hub2", "10.1.0.1", "10.1.0.2")
		w.run(2500 * time.Millisecond)
	}
	last := w.now
	w.spy = func(_ *router, e core.SendIP) {
		if p, err := wire.Parse(wire.V2, e.Payload, e.Source, e.Destination); err == nil && p.Type() == wire.TypeUpdate {
			last = w.now
		}
	}
	for w.now-last < 1300*time.Millisecond { // others take another instance, and the throttle lets none out yet
		w.run(50 * time.Millisecond)
	}
	w.cut["cloud1"] = true
	fails("hub1", "10.1.0.3", "10.1.0.1")
	fails("hub2", "10.1.0.3", "10.1.0.2")
	fails("a", "10.1.0.1", "10.1.0.3")
	fails("a", "10.1.0.2", "10.1.0.3")
	w.run(150 * time.Millisecond)
	for _, hub := range []string{"hub1", "hub2"} {
		if have := w.routers[hub].routes(); !strings.Contains(have+"\n", "192.168.3.0/24 30 10.2.0.3@t2\n") {
			t.Errorf("%s goes to the spoke's LAN not by the second cloud alone:\n%s", hub, have)
		}
	}
}

// RFC 2328 12.4 and 13 (5a): adjacencies that one failure takes are told of as lost in one LSA, though BFD finds them a few
// milliseconds apart. A second LSA would have to wait for the neighbours to take it.
func TestLossesAreToldTogether(t *testing.T) {
	w := newWorld(t, 1)
	live := func(name string) Interface {
		i := p2mp(name)
		i.Hello, i.Liveness = time.Second, &Liveness{Interval: 50 * time.Millisecond, Multiplier: 3}
		return i
	}
	w.add("hub1", oneArea("1.1.1.1", live("t1"), live("t2")), "t1 cloud1 10.1.0.1/24 hub", "t2 cloud2 10.2.0.1/24 hub")
	w.add("hub2", oneArea("2.2.2.2", live("t1")), "t1 cloud1 10.1.0.2/24 hub")
	w.add("a", oneArea("3.3.3.3", live("t1"), live("t2"), lan("lan")), "t1 cloud1 10.1.0.3/24", "t2 cloud2 10.2.0.3/24", "lan la 192.168.3.1/24")
	w.run(time.Minute)
	w.routers["hub1"].off = true
	a, told := w.routers["a"], 0
	w.spy = func(from *router, e core.SendIP) {
		if p, err := wire.Parse(wire.V2, e.Payload, e.Source, e.Destination); err == nil && from == a && p.Type() == wire.TypeUpdate {
			told++
		}
	}
	for k, path := range []string{"t1 10.1.0.1 10.1.0.3", "t2 10.2.0.1 10.2.0.3"} {
		w.run(time.Duration(k) * 35 * time.Millisecond)
		f := strings.Fields(path)
		target := liveness.Target{Peer: addr(f[1]), Local: addr(f[2]), Interface: f[0]}
		a.loop.Post(Name, core.Notice{From: liveness.BFD, Body: liveness.State{Target: target, For: "ospf", Status: liveness.Down}})
		a.loop.Run(w.now)
	}
	w.run(100 * time.Millisecond)
	if told != 1 {
		t.Errorf("it told %d times of what was lost at once", told)
	}
	w.run(10 * time.Second)
	if told != 1 {
		t.Errorf("then it said more: %d updates", told)
	}
}
