package ike

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// world is some routers with nothing but IKE, on one virtual clock and a wire that can do anything to a datagram.
type world struct {
	t     testing.TB
	now   time.Duration
	seq   int
	queue events
	rand  *rand.Rand
	nodes map[netip.Addr]*node
	wire  func(from *node, d dataplane.SendIKE) (delays []time.Duration) // when copies arrive; none: lost
	nat   func(d dataplane.SendIKE) dataplane.SendIKE
	seen  func(from *node, d dataplane.SendIKE)
}

type node struct {
	w       *world
	name    string
	addr    netip.Addr
	module  *Module
	loop    *core.Loop
	in      map[uint32]saKeys // by SPI, as the data plane has it
	out     map[dataplane.SA]saKeys
	mtu     map[dataplane.SA]int
	ups     []protect.Up
	downs   []protect.Down
	failed  []protect.Failed
	logs    []string
	workfor time.Duration
	traffic map[dataplane.SA]dataplane.Counters
	used    map[string]bool // digests of keys that were handed out for sending: never twice
}

type saKeys struct {
	sa     dataplane.SA
	spi    uint32
	digest string
	to     netip.AddrPort
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { x := (*e)[len(*e)-1]; *e = (*e)[:len(*e)-1]; return x }

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), nodes: map[netip.Addr]*node{},
		wire: func(*node, dataplane.SendIKE) []time.Duration { return []time.Duration{10 * time.Millisecond} },
		nat:  func(d dataplane.SendIKE) dataplane.SendIKE { return d },
		seen: func(*node, dataplane.SendIKE) {},
	}
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + d, w.seq, do})
}

// add makes a router with one protected tunnel.
func (w *world) add(name, addr string, p *Profile, e Encapsulation) *node {
	n := &node{w: w, name: name, addr: netip.MustParseAddr(addr)}
	w.nodes[n.addr] = n
	n.boot(p, e)
	return n
}

// boot starts the router's program with nothing remembered.
func (n *node) boot(p *Profile, e Encapsulation) {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(n.w.rand.Uint32())
	}
	n.in, n.out, n.mtu = map[uint32]saKeys{}, map[dataplane.SA]saKeys{}, map[dataplane.SA]int{}
	n.traffic, n.used = map[dataplane.SA]dataplane.Counters{}, map[string]bool{}
	n.module = New(rand.NewChaCha8(seed))
	n.loop = core.NewLoop(n.w.now, rand.New(rand.NewPCG(n.w.rand.Uint64(), 2)), n)
	n.loop.Log = func(_ core.Level, event string, args []any) {
		n.logs = append(n.logs, fmt.Sprint(append([]any{n.w.now, " ", n.name, " ", event, " "}, args...)...))
	}
	n.loop.Add(listener{n}, core.Start{})
	n.loop.Add(n.module, core.Start{})
	n.post(core.Request{Body: Configure{Profiles: []*Profile{p}, Tunnels: []Tunnel{{Name: "tun0", Profile: p.Name, Encapsulation: e}}}})
	n.post(core.Notice{Body: dataplane.TunnelUp{Tunnel: dataplane.Tunnel{Name: "tun0", Local: n.addr, Protected: true}}})
	n.run()
}

// listener hears what IKE publishes.
type listener struct{ n *node }

func (listener) Name() string { return "listener" }
func (l listener) Handle(_ *core.Env, ev core.Event) {
	n, ok := ev.(core.Notice)
	if !ok {
		return
	}
	switch b := n.Body.(type) {
	case protect.Up:
		l.n.ups = append(l.n.ups, b)
	case protect.Down:
		l.n.downs = append(l.n.downs, b)
	case protect.Failed:
		l.n.failed = append(l.n.failed, b)
	}
}

func (n *node) post(ev core.Event) { n.loop.Post(Name, ev) }

func (n *node) run() {
	n.loop.Run(n.w.now)
	for name, count := range n.loop.Panics {
		n.w.t.Fatalf("%s: %d panics in %s: %v", n.name, count, name, n.logs[len(n.logs)-1])
	}
	if next, ok := n.loop.Next(); ok {
		n.w.after(max(next-n.w.now, 0), func() { n.wake() })
	}
}

func (n *node) wake() {
	if next, ok := n.loop.Next(); ok && next <= n.w.now {
		n.run()
	}
}

func (n *node) ensure(remote *node) {
	n.post(core.Request{Body: protect.Ensure{Tunnel: "tun0", Local: n.addr, Remote: remote.addr, Urgent: true}})
	n.run()
}

func (n *node) release(remote *node) {
	n.post(core.Request{Body: protect.Release{Tunnel: "tun0", Local: n.addr, Remote: remote.addr}})
	n.run()
}

func digest(k esp.Keys) string { return fmt.Sprintf("%v %x %x", k.Suite, k.Encryption, k.Integrity) }

// Do is the edge of one router, and its data plane.
func (n *node) Do(e core.Effect) {
	switch e := e.(type) {
	case core.Work:
		result := e.Run()
		if n.workfor == 0 {
			n.post(core.Done{Tag: e.Tag, Result: result})
			return
		}
		loop := n.loop
		n.w.after(n.workfor, func() {
			loop.Post(Name, core.Done{Tag: e.Tag, Result: result})
			if loop == n.loop {
				n.run()
			}
		})
	case dataplane.SendIKE:
		n.w.seen(n, e)
		for _, d := range n.w.wire(n, e) {
			out := n.w.nat(e)
			out.Payload = slices.Clone(out.Payload)
			n.w.after(d, func() { n.w.deliver(out) })
		}
	case dataplane.SetInbound:
		n.in[e.SPI] = saKeys{e.SA, e.SPI, digest(e.Keys), netip.AddrPort{}}
	case dataplane.SetOutbound:
		d := digest(e.Keys)
		if n.used[d] {
			n.w.t.Fatalf("%s: keys are handed out for sending twice", n.name)
		}
		n.used[d] = true
		n.out[e.SA] = saKeys{e.SA, e.SPI, d, e.Remote}
	case dataplane.MoveSA:
		k := n.out[e.SA]
		k.to = e.Remote
		n.out[e.SA] = k
	case dataplane.DeleteInbound:
		delete(n.in, e.SPI)
	case dataplane.DeleteSA:
		delete(n.out, e.SA)
		for spi, k := range n.in {
			if k.sa == e.SA {
				delete(n.in, spi)
			}
		}
	case dataplane.SetPathMTU:
		n.mtu[e.SA] = e.MTU
	case dataplane.AskSA:
		n.post(dataplane.Carried{SA: e.SA, Counters: n.traffic[e.SA]})
	}
}

func (w *world) deliver(d dataplane.SendIKE) {
	n := w.nodes[d.Remote.Addr()]
	if n == nil || len(d.Payload) == 1 {
		return
	}
	n.post(dataplane.ReceivedIKE{Local: d.Remote, Remote: d.Local, Payload: d.Payload})
	n.run()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	until := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = until
}

// data sends a packet of traffic from a to b, as the data planes would, and reports whether it arrives.
func (w *world) data(a, b *node) bool {
	for _, out := range a.out {
		if out.to.Addr() != b.addr {
			continue
		}
		in, ok := b.in[out.spi]
		if !ok {
			b.post(dataplane.UnknownSPI{Local: netip.AddrPortFrom(b.addr, out.to.Port()), Remote: netip.AddrPortFrom(a.addr, out.to.Port()), SPI: out.spi})
			b.run()
			return false
		}
		if in.digest != out.digest {
			w.t.Fatalf("%s and %s have different keys for SPI %08x", a.name, b.name, out.spi)
		}
		c := b.traffic[in.sa]
		c.PacketsIn++
		b.traffic[in.sa] = c
		b.post(dataplane.Opened{SA: in.sa, SPI: in.spi})
		b.run()
		return true
	}
	return false
}

func (w *world) mustPass(a, b *node) {
	w.t.Helper()
	if !w.data(a, b) || !w.data(b, a) {
		w.t.Fatalf("traffic does not pass between %s and %s\n%v\n%v", a.name, b.name, a.logs, b.logs)
	}
}

// profile is one with a pre-shared key and our defaults.
func profile(change ...func(*Profile)) *Profile {
	p := &Profile{
		Name: "corp", PSKs: []PSK{{Secret: []byte("correct horse battery staple")}}, IKE: suite.DefaultIKE(), ESP: suite.DefaultChild(),
		IKELifetime: DefaultIKELifetime, ESPLifetime: DefaultESPLifetime, DPD: DefaultDPD, MOBIKE: true, FragmentSize: DefaultFragmentSize,
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func TestTwoRoutersMeet(t *testing.T) {
	for _, e := range []Encapsulation{AutoEncapsulation, UDP, Raw} {
		w := newWorld(t, 1)
		hub, spoke := w.add("hub", "192.0.2.1", profile(), e), w.add("spoke", "192.0.2.2", profile(), e)
		spoke.ensure(hub)
		w.pass(2 * time.Second)
		w.mustPass(spoke, hub)
		if len(spoke.ups) != 1 || len(hub.ups) != 1 || spoke.ups[0].Identity != "192.0.2.1" || hub.ups[0].Identity != "192.0.2.2" {
			t.Fatalf("%v: ups %+v and %+v", e, spoke.ups, hub.ups)
		}
		if udp := spoke.ups[0].Remote.Port() != 0; udp != (e != Raw) {
			t.Errorf("%v: ESP in UDP is %v", e, udp)
		}
	}
}

func TestWrongPSK(t *testing.T) {
	w := newWorld(t, 1)
	hub, spoke := w.add("hub", "192.0.2.1", profile(), 0), w.add("spoke", "192.0.2.2", profile(func(p *Profile) {
		p.PSKs = []PSK{{Secret: []byte("wrong")}}
	}), 0)
	spoke.ensure(hub)
	w.pass(time.Second)
	if len(spoke.ups)+len(hub.ups) != 0 || len(spoke.failed) == 0 {
		t.Fatal(spoke.logs, hub.logs)
	}
	if rows := hub.module.IKE(w.now); len(rows) != 1 || !strings.Contains(rows[0].Reason, "the pre-shared keys differ") {
		t.Errorf("the hub says %+v", rows)
	}
}
