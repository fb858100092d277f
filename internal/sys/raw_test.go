package sys

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
)

// space is a network namespace on a thread of its own, which ends with it.
type space struct {
	calls chan func()
	tid   int
}

func newSpace(t *testing.T) *space {
	t.Helper()
	needNamespace(t)
	s := &space{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread and its namespace end with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		s.tid = unix.Gettid()
		ready <- err
		for f := range s.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Skip("cannot make a network namespace: ", err)
	}
	t.Cleanup(func() { close(s.calls) })
	return s
}

func (s *space) do(f func()) {
	done := make(chan bool)
	s.calls <- func() { f(); close(done) }
	<-done
}

func (s *space) ip(t *testing.T, args ...string) {
	t.Helper()
	s.do(func() { ip(t, args...) })
}

// peer is sockets on the far end of a pair, in another namespace.
type peer struct {
	*raws
	space *space
	mu    sync.Mutex
	got   []core.ReceivedIP
}

// across makes a pair of interfaces, the near one here with index 1, the far one elsewhere with index 2.
func across(t *testing.T, near, far string) *peer {
	t.Helper()
	p := &peer{space: newSpace(t)}
	connect(t, p.space, near, far)
	p.raws = newRaws(func(name string) (index int) {
		p.space.do(func() { index = indexOf(name) })
		return index
	}, p.take, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(p.raws.close)
	return p
}

func connect(t *testing.T, s *space, near, far string) {
	t.Helper()
	ip(t, "link", "add", near, "type", "veth", "peer", "name", far, "netns", fmt.Sprint(s.tid))
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", near).Run() })
	ip(t, "addr", "add", "10.89.0.1/24", "dev", near)
	ip(t, "addr", "add", "fe80::1/64", "dev", near, "nodad")
	ip(t, "link", "set", near, "up")
	s.ip(t, "addr", "add", "10.89.0.2/24", "dev", far)
	s.ip(t, "addr", "add", "fe80::2/64", "dev", far, "nodad")
	s.ip(t, "link", "set", far, "up")
	for end := time.Now().Add(10 * time.Second); !strings.Contains(ip(t, "link", "show", near), "state UP"); {
		if time.Now().After(end) {
			t.Fatal("no carrier")
		}
		time.Sleep(time.Millisecond)
	}
}

func indexOf(name string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r) != nil {
		return 0
	}
	return int(r.Uint32())
}

func (p *peer) take(_ string, ev core.Event, taken func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, ev.(core.ReceivedIP))
	taken()
	return true
}

// do does effects in the far namespace, as the worker would.
func (p *peer) do(effects ...core.Effect) {
	for _, e := range effects {
		if l, ok := e.(core.Listen); ok { // the index is asked for from within
			index := p.index(l.Interface)
			saved := p.index
			p.index = func(string) int { return index }
			p.space.do(func() { p.serve([]core.Effect{l}) })
			p.index = saved
			continue
		}
		p.space.do(func() { p.serve([]core.Effect{e}) })
	}
}

// await waits for a packet with this payload at the far end.
func (p *peer) await(t *testing.T, text string) core.ReceivedIP {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.mu.Lock()
		for _, g := range p.got {
			if string(g.Payload) == text {
				p.mu.Unlock()
				return g
			}
		}
		p.mu.Unlock()
	}
	t.Fatalf("never received: %.40q", text)
	return core.ReceivedIP{}
}

func (p *peer) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.got, func(g core.ReceivedIP) bool { return string(g.Payload) == text })
}

func rawListen(on string, ipv6 bool, groups ...string) core.Listen {
	l := core.Listen{Module: "ospf", Interface: on, Protocol: 89, IPv6: ipv6}
	for _, g := range groups {
		l.Groups = append(l.Groups, addr(g))
	}
	return l
}

func rawSend(on, from, to, text string) core.SendIP {
	return core.SendIP{Interface: on, Source: addr(from), Destination: addr(to), Protocol: 89, TTL: 1, TOS: 0xc0, Payload: []byte(text)}
}

// toldIP waits for a packet with this payload at the near end.
func toldIP(h *host, text string) core.ReceivedIP {
	h.t.Helper()
	return until(h, "packet "+text, func(p core.ReceivedIP) bool { return string(p.Payload) == text })
}

// heard reports whether a packet with this payload has come, and forgets all that came before.
func (h *host) heard(text string) bool {
	for {
		select {
		case ev := <-h.told:
			if p, ok := ev.(core.ReceivedIP); ok && string(p.Payload) == text {
				return true
			}
		default:
			return false
		}
	}
}

func TestRawSockets(t *testing.T) {
	p := across(t, "rawa0", "rawb0")
	h := start(t, "")
	for _, e := range []core.Effect{rawListen("rawa0", false, "224.0.0.5"), rawListen("rawa0", true, "ff02::5")} {
		if !h.Do(e) {
			t.Fatal("not an effect of the edge")
		}
	}
	p.do(rawListen("rawb0", false, "224.0.0.5", "224.0.0.6"), rawListen("rawb0", true, "ff02::5"))
	for _, c := range []struct{ name, from, to string }{
		{"a group", "10.89.0.1", "224.0.0.5"}, {"a second group", "10.89.0.1", "224.0.0.6"}, {"one", "10.89.0.1", "10.89.0.2"},
		{"a group of IPv6", "fe80::1", "ff02::5"}, {"one of IPv6", "fe80::1", "fe80::2"},
	} {
		repeat(t, func() { h.Do(rawSend("rawa0", c.from, c.to, c.name)) }, func() bool { return p.has(c.name) })
		g := p.await(t, c.name)
		if g.Source != addr(c.from) || g.Destination != addr(c.to) || g.TTL != 1 || g.Interface != "rawb0" || g.Protocol != 89 {
			t.Errorf("%s: %+v", c.name, g)
		}
	}
	for _, c := range []struct{ from, to string }{{"10.89.0.2", "224.0.0.5"}, {"10.89.0.2", "10.89.0.1"}, {"fe80::2", "ff02::5"}, {"fe80::2", "fe80::1"}} {
		p.do(rawSend("rawb0", c.from, c.to, "back to "+c.to))
		if g := toldIP(h, "back to "+c.to); g.Source != addr(c.from) || g.Destination != addr(c.to) || g.TTL != 1 || g.Interface != "rawa0" {
			t.Errorf("%+v", g)
		}
	}
}

// repeat does something again until it has shown: sockets are made in the background, and an end of a pair sends nothing
// before the kernel has noticed that it has a carrier again.
func repeat(t *testing.T, f func(), shown func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		f()
		for range 20 {
			if shown() {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Fatal("never shown")
}

// What does not fit is cut by the host and put together again; the sender's class of service is there.
func TestRawSocketsFragment(t *testing.T) {
	p := across(t, "rawa1", "rawb1")
	h := start(t, "")
	h.Do(rawListen("rawa1", false, "224.0.0.5"))
	h.Do(rawListen("rawa1", true, "ff02::5"))
	p.do(rawListen("rawb1", false, "224.0.0.5"), rawListen("rawb1", true, "ff02::5"))
	large := string(bytes.Repeat([]byte("0123456789"), 600))
	for _, c := range []struct{ from, to string }{{"10.89.0.1", "224.0.0.5"}, {"10.89.0.1", "10.89.0.2"}, {"fe80::1", "ff02::5"}} {
		text := c.to + large
		repeat(t, func() { h.Do(rawSend("rawa1", c.from, c.to, text)) }, func() bool { return p.has(text) })
	}
}

// A burst of large updates over a slow link, as the answer to a request is, waits in the kernel and is not dropped there.
func TestRawSocketsHoldABurst(t *testing.T) {
	p := across(t, "rawa9", "rawb9")
	h := start(t, "")
	h.Do(rawListen("rawa9", false, "224.0.0.5"))
	p.do(rawListen("rawb9", false, "224.0.0.5"))
	repeat(t, func() { h.Do(rawSend("rawa9", "10.89.0.1", "224.0.0.5", "ready")) }, func() bool { return p.has("ready") })
	if out, err := exec.Command("tc", "qdisc", "add", "dev", "rawa9", "root", "tbf", "rate", "20mbit", "burst", "20kb", "limit", "8mb").CombinedOutput(); err != nil {
		t.Skipf("no slow link (tc, qdisc tbf): %v: %s", err, out)
	}
	large := string(bytes.Repeat([]byte("0123456789"), 2400))
	for k := range 40 {
		h.Do(rawSend("rawa9", "10.89.0.1", "224.0.0.5", fmt.Sprint(k, " ", large)))
	}
	for k := range 40 {
		p.await(t, fmt.Sprint(k, " ", large))
	}
}

// A socket hears what it listens for, on its interface, and not itself; it ends with a Listen without groups.
func TestRawSocketsHearNothingElse(t *testing.T) {
	p := across(t, "rawa2", "rawb2")
	h := start(t, "")
	h.Do(rawListen("rawa2", false, "224.0.0.5"))
	p.do(rawListen("rawb2", false, "224.0.0.5", "224.0.0.6"))
	repeat(t, func() { h.Do(rawSend("rawa2", "10.89.0.1", "224.0.0.5", "first")) }, func() bool { return p.has("first") })
	p.do(rawSend("rawb2", "10.89.0.2", "224.0.0.6", "not joined"))
	p.do(rawSend("rawb2", "10.89.0.2", "224.0.0.5", "joined"))
	for { // in order: had the others come, they were here by now
		ev := until(h, "joined", func(core.ReceivedIP) bool { return true })
		if string(ev.Payload) == "joined" {
			break
		}
		t.Errorf("heard %q", ev.Payload)
	}
	p.do(rawListen("rawb2", false, "224.0.0.6"))
	h.Do(rawSend("rawa2", "10.89.0.1", "224.0.0.5", "left"))
	h.Do(rawSend("rawa2", "10.89.0.1", "224.0.0.6", "still there"))
	p.await(t, "still there")
	if p.has("left") {
		t.Error("heard a group that was left")
	}
	h.Do(rawListen("rawa2", false))
	h.Do(rawSend("rawa2", "10.89.0.1", "224.0.0.6", "after the end"))
	h.Do(rawListen("rawa2", false, "224.0.0.5"))
	h.Do(rawSend("rawa2", "10.89.0.1", "224.0.0.6", "again"))
	p.await(t, "again")
	if p.has("after the end") {
		t.Error("sent by a socket that had ended")
	}
}

// An interface that is not there yet, that goes down and up, and that comes again under its name.
func TestRawSocketsSurviveTheirInterface(t *testing.T) {
	h := start(t, "")
	h.Do(rawListen("rawa3", false, "224.0.0.5"))
	h.Do(rawListen("rawa3", true, "ff02::5"))
	h.Do(rawSend("rawa3", "10.89.0.1", "224.0.0.5", "to nowhere"))
	for round := range 2 {
		p := across(t, "rawa3", "rawb3")
		p.do(rawListen("rawb3", false, "224.0.0.5"), rawListen("rawb3", true, "ff02::5"))
		for n := range 2 {
			text := fmt.Sprint("round ", round, n)
			repeat(t, func() { h.Do(rawSend("rawa3", "10.89.0.1", "224.0.0.5", text)) }, func() bool { return p.has(text) })
			repeat(t, func() { h.Do(rawSend("rawa3", "fe80::1", "ff02::5", text+" v6")) }, func() bool { return p.has(text + " v6") })
			repeat(t, func() { p.do(rawSend("rawb3", "10.89.0.2", "224.0.0.5", "back "+text)) }, func() bool { return h.heard("back " + text) })
			repeat(t, func() { p.do(rawSend("rawb3", "fe80::2", "ff02::5", "back v6 "+text)) }, func() bool { return h.heard("back v6 " + text) })
			ip(t, "link", "set", "rawa3", "down")
			ip(t, "link", "set", "rawa3", "up")
			ip(t, "addr", "replace", "fe80::1/64", "dev", "rawa3", "nodad")
		}
		ip(t, "link", "del", "rawa3")
		until(h, "gone", func(l core.Link) bool { return l.Name == "rawa3" && l.Gone })
	}
}

// What the loop does not take is bounded, and dropped beyond.
func TestRawSocketsAreBounded(t *testing.T) {
	var held []func()
	var told bytes.Buffer
	r := newRaws(nil, func(_ string, _ core.Event, taken func()) bool { held = append(held, taken); return true }, slog.New(slog.NewTextHandler(&told, nil)))
	p := core.ReceivedIP{Payload: make([]byte, 1<<16)}
	sockets := make([]atomic.Int64, 2*maxWaiting/maxOfOne)
	for k := range sockets { // each floods as much as all may have
		before := len(held)
		for range maxWaiting >> 16 {
			r.hand("ospf", p, &sockets[k])
		}
		if n := len(held) - before; k == 0 && n != maxOfOne>>16 {
			t.Errorf("one socket filled %d of %d", n, maxWaiting>>16)
		}
	}
	if len(held) != maxWaiting>>16 || r.space.Load() != maxWaiting {
		t.Errorf("%d held, %d octets", len(held), r.space.Load())
	}
	for _, taken := range held {
		taken()
	}
	r.offer = func(string, core.Event, func()) bool { return false }
	r.hand("ospf", p, &sockets[0])
	if r.space.Load() != 0 {
		t.Errorf("%d octets wait for nobody", r.space.Load())
	}
	if n := strings.Count(told.String(), "packets are dropped"); n != 1 {
		t.Errorf("told %d times", n)
	}
	q := newQueue[int]()
	for range 10 {
		q.offer(1, 3)
	}
	if n := len(q.take()); n != 3 {
		t.Errorf("%d of 10 within a limit of 3", n)
	}
}

func TestRawPackets(t *testing.T) {
	good := []byte{0x46, 0xc0, 0, 26, 0, 0, 0, 0, 1, 89, 0, 0, 10, 0, 0, 1, 224, 0, 0, 5, 0, 0, 0, 0, 'h', 'i', 'x'}
	p, ok := parseRaw4(good)
	want := core.ReceivedIP{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("224.0.0.5"), TTL: 1}
	if !ok || p.Source != want.Source || p.Destination != want.Destination || p.TTL != 1 || string(p.Payload) != "hi" {
		t.Errorf("%+v %v", p, ok)
	}
	for n := range 26 {
		if _, ok := parseRaw4(good[:n]); ok {
			t.Errorf("taken when cut to %d", n)
		}
	}
	for at, octets := range map[int][]byte{0: {0x66}, 1: nil, 2: {0, 23}} {
		b := bytes.Clone(good)
		copy(b[at:], octets)
		if _, ok := parseRaw4(b); ok != (octets == nil) {
			t.Errorf("octet %d = %v: %v", at, octets, ok)
		}
	}
	for n := range 64 {
		if _, ok := parseRaw6(nil, make([]byte, n), &unix.SockaddrInet6{}); ok {
			t.Error("taken without a destination")
		}
	}
}
