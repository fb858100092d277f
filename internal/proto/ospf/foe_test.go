package ospf

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// foe is a neighbour that says whatever a test has it say. Its router ID is the highest, so that it is master.
type foe struct {
	w      *world
	to     *router
	on     string
	id     wire.RouterID
	src    netip.Addr
	v      wire.Version
	key    wire.Key
	rises  uint64
	master uint32

	designated bool
}

func newFoe(to *router, on, router, src string) *foe {
	return &foe{w: to.w, to: to, on: on, id: id(router), src: addr(src), v: wire.V2, master: 100}
}

// withFoe is router a on a point-to-point link, configured as a test wants it, and a foe at the other end.
func withFoe(t *testing.T, change func(*Config)) (*world, *router, *foe) {
	w, cfg := newWorld(t, 1), oneArea("1.1.1.1", p2p("e0"))
	if change != nil {
		change(&cfg)
	}
	a := w.add("a", cfg, "e0 s 10.0.0.1/24")
	return w, a, newFoe(a, "e0", "9.9.9.9", "10.0.0.9")
}

// say gives the router one packet from the foe.
func (f *foe) say(body wire.Body) { f.sayFrom(f.id, f.src, body) }

func (f *foe) sayFrom(as wire.RouterID, src netip.Addr, body wire.Body) {
	p := &wire.Packet{Version: f.v, Router: as, Body: body}
	f.rises++
	p.Auth.Sequence = f.rises
	dst := f.v.AllRouters()
	f.to.loop.Post(Name, core.ReceivedIP{Interface: f.on, Source: src, Destination: dst, Protocol: 89, TTL: 1, Payload: p.Append(nil, f.key, src, dst)})
	f.to.loop.Run(f.w.now)
}

func (f *foe) hello(sees ...wire.RouterID) *wire.Hello {
	h := &wire.Hello{Interval: 10, Dead: 40, Options: wire.OptE, Priority: 0, Neighbors: sees, InterfaceID: 77}
	if f.v == wire.V3 {
		h.Options |= wire.OptV6 | wire.OptR
	}
	if f.designated {
		h.Priority, h.DR = 9, wire.Uint4(f.src)
	}
	for _, p := range f.to.ports[f.on].link.Addresses {
		if p.Addr().Is4() && f.v == wire.V2 {
			h.Mask = wire.Mask(p.Bits())
		}
	}
	return h
}

func (f *foe) victim() wire.RouterID { return id(f.to.m.Instances(f.w.now)[0].RouterID) }

// greet is a hello that sees the router.
func (f *foe) greet() { f.say(f.hello(f.victim())) }

func (f *foe) describe(flags uint8, headers ...wire.LSAHeader) {
	o := wire.OptE | wire.OptO
	if f.v == wire.V3 {
		o = wire.OptE | wire.OptV6 | wire.OptR
	}
	f.say(&wire.DatabaseDescription{MTU: 1500, Options: o, Flags: flags | wire.DDMaster, Sequence: f.master, Headers: headers})
}

// befriend makes the adjacency full: the foe has nothing to describe.
func (f *foe) befriend() {
	f.w.t.Helper()
	f.greet()
	f.describe(wire.DDInit | wire.DDMore)
	for range 1000 {
		f.master++
		f.describe(0)
		if f.state() != "exchange" {
			break
		}
	}
	if f.state() != "full" {
		f.w.t.Fatalf("the foe is %q, want full", f.state())
	}
}

func (f *foe) state() string {
	for _, n := range f.to.m.Neighbors(f.w.now) {
		if n.RouterID == f.id.String() {
			return n.State
		}
	}
	return ""
}

// stay lets time pass while the foe goes on greeting.
func (f *foe) stay(d time.Duration) {
	for end := f.w.now + d; f.w.now < end; {
		f.greet()
		f.w.run(min(5*time.Second, end-f.w.now))
	}
}

// external is a lie about a prefix outside.
func (f *foe) external(n int, size int) wire.LSA {
	l, err := wire.Build(f.v, wire.LSAKey{Type: wire.FunctionExternal.Type(f.v), ID: 0x0b000000 + uint32(n), Router: f.id}, 1, wire.InitialSequence,
		&wire.Opaque{Options: wire.OptE, Data: make([]byte, size)})
	if err != nil {
		f.w.t.Fatal(err)
	}
	return l
}

func (w *world) loggedProblems(r *router) (n int) {
	for _, l := range r.logs {
		if slices.Contains([]string{"ospf.problem", "ospf.problems"}, fieldsOf(l)) {
			n++
		}
	}
	return n
}

// fieldsOf is the event of a line of the log.
func fieldsOf(line string) string {
	f := [3]string{}
	k := 0
	for _, c := range line {
		if c == ' ' {
			if k++; k > 1 {
				break
			}
			continue
		}
		f[k] += string(c)
	}
	return f[1]
}

func TestFoeIsBelieved(t *testing.T) {
	_, _, f := withFoe(t, nil)
	f.befriend()
	f.stay(time.Minute)
	if f.state() != "full" {
		t.Errorf("the foe is %s", f.state())
	}
}
