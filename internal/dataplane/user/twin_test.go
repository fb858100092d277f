package user

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// twins are a plane and the simulator's, which get the same effects and the same packets, and have to come to the same.
type twins struct {
	t    *testing.T
	rig  *rig
	peer *peerEnd // SA 1's, who sends to the plane
	take func() [][]byte

	memory *dataplane.Memory
	far    *dataplane.Memory // who sends to the twin

	events    [2][]string
	sent      []*dataplane.Datagram // of the twin
	delivered [2]int
	last      *dataplane.Datagram // of far
	lastReal  []byte
}

const twinTime = 5 * time.Second

func newTwins(t *testing.T, s association) *twins {
	w := &twins{t: t, memory: dataplane.NewMemory(), far: dataplane.NewMemory()}
	w.rig, w.peer = newProtectedRig(t, dataplane.Tunnel{Key: key(42), Cloud: 1}, s)
	w.take = w.rig.kernel(t)
	w.rig.link.keep = true
	w.rig.receiver.now = twinTime
	w.rig.sender.device.plane.now = func() time.Duration { return twinTime }
	w.rig.sender.device.plane.post = func(ev any) bool { w.note(0, ev); return true }
	config := *w.rig.sender.device.tunnel.Config()
	w.wire(w.memory, func(ev any) { w.note(1, ev) }, func(d *dataplane.Datagram) { w.sent = append(w.sent, d) })
	w.wire(w.far, func(any) {}, func(d *dataplane.Datagram) { w.last = d })
	w.memory.Do(dataplane.SetTunnel{Tunnel: config})
	w.memory.Do(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.0.0.0/24"), NextHops: []dataplane.NextHop{{Tunnel: "tun0"}}})
	other := w.peer.association
	other.sa, other.in, other.out, other.remote = 2, 0x1001, 0x2001, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.3"), s.local.Port())
	for _, a := range []association{w.peer.association, other} {
		w.memory.Do(a.inbound())
		w.memory.Do(a.outbound())
	}
	for i, next := range []string{"10.0.0.2", "fd00::2", "10.0.0.3", "fd00::3"} {
		w.memory.Do(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(next), SA: dataplane.SA(1 + i/2), Multicast: i%2 == 0, Bound: true})
	}
	config.Local, config.Addresses = w.peer.remote.Addr(), prefixes("10.0.0.2/24")
	w.far.Do(dataplane.SetTunnel{Tunnel: config})
	w.far.Do(dataplane.SetRoute{Prefix: netip.MustParsePrefix("10.0.0.0/24"), NextHops: []dataplane.NextHop{{Tunnel: "tun0", Via: toPeer4.Source}}})
	m := w.peer.mirrored()
	w.far.Do(m.inbound())
	w.far.Do(m.outbound())
	w.far.Do(dataplane.SetAdjacency{Tunnel: "tun0", NextHop: toPeer4.Source, SA: 1})
	return w
}

func (w *twins) wire(m *dataplane.Memory, post func(any), transmit func(*dataplane.Datagram)) {
	m.Now, m.Post, m.Transmit = func() time.Duration { return twinTime }, post, transmit
	m.Deliver = func(string, *dataplane.Datagram) { w.delivered[1]++ }
	m.Device = func(dataplane.Tunnel, bool) {}
}

// note is what an event says, but for words and octets.
func (w *twins) note(who int, ev any) {
	switch e := ev.(type) {
	case dataplane.Received:
		ev = fmt.Sprintf("received by SA %d from %v: %q", e.SA, e.From, e.Payload)
	case dataplane.Transit:
		ev = fmt.Sprintf("transit by SA %d", e.SA)
	case dataplane.Failed:
		ev = fmt.Sprintf("failed: SA %d SPI %x out %v", e.SA, e.SPI, e.Out)
	}
	w.events[who] = append(w.events[who], fmt.Sprintf("%T %v", ev, ev))
}

// do does an effect at both. Keys are cleared by who gets them, so it is made twice.
func (w *twins) do(effect func() any) {
	w.rig.apply(effect())
	w.memory.Do(effect())
}

// data is a packet of the peer's, with that source and GRE key.
func (w *twins) data(source, destination string, k dataplane.Key) {
	h := packet.Header{Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr(destination), TTL: 64}
	inner := packet.AppendUDP(nil, h, 1, 2, marked)
	d := &dataplane.Datagram{Source: h.Source, Destination: h.Destination, TTL: 64, Size: len(inner), Body: dataplane.Echo{}}
	w.far.Output("tun0", d)
	w.last = changed(w.last, func(p *dataplane.ESPPacket) { p.Inner.Key = k })
	w.lastReal = w.peer.wrap(inGRE(k, inner))
	w.again()
}

// wrap seals GRE in the SA's mode.
func (e *peerEnd) wrap(g []byte) []byte {
	if !e.tunnel {
		return e.seal(nil, packet.GREIP, g)
	}
	h := packet.Header{Source: e.remote.Addr(), Destination: e.local.Addr(), TTL: 64, Protocol: packet.GREIP}
	return e.seal(nil, ipInIP, append(packet.AppendIP(nil, h, len(g)), g...))
}

// nhrp is a control packet of the peer's.
func (w *twins) nhrp() {
	w.far.Do(dataplane.Send{Tunnel: "tun0", SA: 1, To: w.peer.local, Protocol: packet.EtherNHRP, Payload: []byte("hello")})
	w.lastReal = w.peer.wrap(append(packet.AppendGRE(nil, packet.EtherNHRP, 42, true), "hello"...))
	w.again()
}

// again has the last packet arrive.
func (w *twins) again() { w.arrive(w.last, w.peer.remote, w.lastReal) }

func (w *twins) arrive(d *dataplane.Datagram, from netip.AddrPort, b []byte) {
	if u, ok := d.Body.(dataplane.UDP); ok {
		u.SourcePort = from.Port()
		c := *d
		c.Body, d = u, &c
		w.rig.receiver.socket.kind = udpESP
	} else {
		w.rig.receiver.socket.kind = rawESP
	}
	w.memory.Input(d)
	w.rig.receiver.datagram(from, 0, slices.Clone(b))
	w.rig.receiver.flushDevice() // as at the end of a round, which also looks at the clock
	w.rig.receiver.flushWire()
	w.rig.receiver.flushRun()
	w.rig.receiver.flushSA()
}

// changed is a datagram whose ESP packet differs.
func changed(d *dataplane.Datagram, change func(*dataplane.ESPPacket)) *dataplane.Datagram {
	c := *d
	if u, ok := d.Body.(dataplane.UDP); ok {
		p := u.Body.(dataplane.ESPPacket)
		change(&p)
		u.Body = p
		c.Body = u
		return &c
	}
	p := d.Body.(dataplane.ESPPacket)
	change(&p)
	c.Body = p
	return &c
}

// out is a packet of this host's.
func (w *twins) out(destination string) {
	h := packet.Header{Source: toPeer4.Source, Destination: netip.MustParseAddr(destination), TTL: 64}
	b := packet.AppendUDP(nil, h, 1, 2, marked)
	w.memory.Output("tun0", &dataplane.Datagram{Source: h.Source, Destination: h.Destination, TTL: 64, Size: len(b), Body: dataplane.Echo{}})
	w.rig.frame(append(make([]byte, vnetLen), b...))
	w.rig.sender.flush()
}

// compare holds the twins against each other.
func (w *twins) compare(when string) {
	w.t.Helper()
	w.delivered[0] += len(w.take())
	tunnel, twin := w.rig.sender.device.tunnel, w.memory.Interface("tun0")
	if a, b := tunnel.ByReason(), twin.ByReason(); !maps.Equal(a, b) {
		w.t.Errorf("%s: the plane drops %v, its twin %v", when, a, b)
	}
	if a, b := tunnel.Counters(), twin.Counters(); a != b {
		w.t.Errorf("%s: the plane counts %+v, its twin %+v", when, a, b)
	}
	if !slices.Equal(w.events[0], w.events[1]) {
		w.t.Errorf("%s: the plane tells\n\t%q, its twin\n\t%q", when, w.events[0], w.events[1])
	}
	if w.delivered[0] != w.delivered[1] || len(w.rig.link.sent) != len(w.sent) {
		w.t.Errorf("%s: the plane delivers %d and sends %d, its twin %d and %d", when, w.delivered[0], len(w.rig.link.sent), w.delivered[1], len(w.sent))
	}
	a, b := w.rig.sender.device.plane.SAs(), w.memory.SAs()
	if !slices.EqualFunc(a, b, func(x, y dataplane.SAStats) bool {
		return x.SA == y.SA && x.PacketsIn == y.PacketsIn && x.PacketsOut == y.PacketsOut && maps.Equal(x.Drops, y.Drops)
	}) {
		w.t.Errorf("%s: SAs are %+v, of the twin %+v", when, a, b)
	}
}

// The simulator finds what orders of effects lose packets only if its plane is as strict as the one it stands for.
func TestTheTwinIsAsStrict(t *testing.T) {
	here, there := "10.0.0.2", "10.0.0.1"
	elsewhere := netip.MustParseAddrPort("192.0.2.77:4500")
	for _, c := range []struct {
		name string
		play func(w *twins, s association)
		drop string // that it is about; "" for none
	}{
		{"both ways", func(w *twins, _ association) { w.data(here, there, key(42)); w.out(here); w.nhrp() }, ""},
		{"a packet again", func(w *twins, _ association) { w.data(here, there, key(42)); w.again() }, "replayed"},
		{"a forgery", func(w *twins, _ association) {
			w.data(here, there, key(42))
			w.peer.sealer.Reserve(1)
			forged := w.peer.packet(packet.AppendUDP(nil, back4, 1, 2, marked))
			forged[len(forged)-1] ^= 1
			w.arrive(changed(w.last, func(p *dataplane.ESPPacket) { p.Seq, p.Digest[0] = 3, p.Digest[0]^1 }), w.peer.remote, forged)
		}, "bad-icv"},
		{"keys to receive alone", func(w *twins, s association) {
			w.do(func() any { return dataplane.DeleteSA{SA: 1} })
			w.do(func() any { return s.inbound() })
			w.data(here, there, key(42))
			w.nhrp()
			w.out(here)
		}, "wrong-peer"},
		{"and keys to send later", func(w *twins, s association) {
			w.do(func() any { return dataplane.DeleteSA{SA: 1} })
			w.do(func() any { return s.inbound() })
			w.do(func() any { return s.outbound() })
			w.data(here, there, key(42))
		}, ""},
		{"an SA of another local address", func(w *twins, s association) {
			w.do(func() any { return dataplane.MoveSA{SA: 1, Local: elsewhere, Remote: s.remote} })
			w.data(here, there, key(42))
			w.out(here)
		}, "wrong-peer"},
		{"an SPI of nobody's", func(w *twins, _ association) {
			w.do(func() any { return dataplane.DeleteInbound{SPI: w.peer.in} })
			w.data(here, there, key(42))
			w.again()
		}, "unknown-spi"},
		{"a deleted SA", func(w *twins, _ association) {
			w.do(func() any { return dataplane.DeleteSA{SA: 1} })
			w.out(here)
			w.nhrp()
		}, "no-sa"},
		{"an adjacency without SA", func(w *twins, s association) {
			w.do(func() any {
				return dataplane.SetAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(here), Endpoint: s.remote}
			})
			w.out(here)
		}, "unprotected"},
		{"GRE of no tunnel", func(w *twins, _ association) { w.data(here, there, key(43)) }, "unknown-key"},
		{"another's source", func(w *twins, _ association) { w.data("10.0.0.3", there, key(42)) }, "wrong-peer"},
		{"a stranger among members", func(w *twins, _ association) {
			w.do(func() any { return dataplane.SetMembers{Tunnel: "tun0", Only: true} })
			w.do(func() any { return dataplane.DeleteAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr("fd00::2")} })
			w.data("192.168.9.9", there, key(42))
			w.do(func() any { return dataplane.DeleteAdjacency{Tunnel: "tun0", NextHop: netip.MustParseAddr(here)} })
			w.data("192.168.9.9", there, key(42))
			w.nhrp()
		}, "wrong-peer"},
		{"another mode than agreed", func(w *twins, s association) {
			w.do(func() any { return dataplane.DeleteInbound{SPI: s.in} })
			w.do(func() any { e := s.inbound(); e.Tunnel = !e.Tunnel; return e })
			w.data(here, there, key(42))
		}, "esp-malformed"},
		{"other keys", func(w *twins, s association) {
			w.do(func() any { return dataplane.DeleteInbound{SPI: s.in} })
			w.do(func() any { e := s.inbound(); e.Keys.Encryption[3]++; return e })
			w.data(here, there, key(42))
		}, "bad-icv"},
		{"from another port", func(w *twins, s association) {
			w.data(here, there, key(42))
			w.data(here, there, key(42))
			if s.local.Port() != 0 {
				w.peer.remote = netip.AddrPortFrom(w.peer.remote.Addr(), 61000)
			}
			w.data(here, there, key(42))
			w.data(here, there, key(42))
		}, ""},
		{"keys near their limit", func(w *twins, s association) {
			w.do(func() any { return dataplane.DeleteInbound{SPI: s.in} })
			w.do(func() any { e := s.inbound(); e.Limit.Packets = 2; return e })
			w.do(func() any { e := s.outbound(); e.SPI, e.Limit.Packets = 0x2fff, 2; return e })
			for range 3 {
				w.data(here, there, key(42))
				w.out(here)
			}
		}, ""},
		{"effects that are refused", func(w *twins, s association) {
			w.do(func() any { return s.inbound() })
			w.do(func() any { return s.outbound() })
			w.do(func() any { e := s.outbound(); e.SA = 1 + 1<<20; return e })
		}, ""},
		{"multicast, and who is not there", func(w *twins, _ association) { w.out("224.0.0.5"); w.out("10.0.0.99") }, "no-adjacency"},
	} {
		for _, s := range []association{inUDP, raw, {tunnel: true, local: inUDP.local}, {tunnel: true, esn: true}} {
			name := fmt.Sprintf("%s: port %d, tunnel mode %v", c.name, s.local.Port(), s.tunnel)
			w := newTwins(t, s)
			s = w.peer.association
			c.play(w, s)
			w.compare(name)
			if drops := w.memory.Interface("tun0").ByReason(); c.drop == "" && len(drops) > 0 || c.drop != "" && drops[c.drop] == 0 {
				t.Errorf("%s: dropped %v, want %q", name, drops, c.drop)
			}
		}
	}
}
