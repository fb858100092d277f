package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// couple is two planes, a at 192.0.2.1 and b at 192.0.2.2, with a protected tunnel between them. What they send waits in
// a.sent and b.sent until it is carried.
type couple struct{ a, b *memoryBench }

func protectedTunnel(local, overlay string) Tunnel {
	t := memoryTunnelOf("tun0", 1)
	t.Local, t.Addresses = memoryAddr(local), []netip.Prefix{netip.MustParsePrefix(overlay)}
	t.Protected, t.Encapsulation, t.Wrap = true, ESP, 8+esp.Overhead(gcm256)
	return t
}

func newCouple() *couple {
	c := &couple{newMemoryBench(protectedTunnel("192.0.2.1", "10.0.0.1/24")), newMemoryBench(protectedTunnel("192.0.2.2", "10.0.0.2/24"))}
	c.a.route("10.0.0.0/24", "")
	c.b.route("10.0.0.0/24", "")
	return c
}

// way is the options of an SA between the two.
type way struct {
	suite        esp.Suite
	esn, tunnel  bool
	aPort, bPort uint16
	limit        Limit
}

var natWay = way{suite: gcm256, esn: true, aPort: NATPort, bPort: NATPort}

// install gives both ends keys, and SPIs made of the handle and n.
func (c *couple) install(sa SA, n uint32, w way) {
	a, b := netip.AddrPortFrom(memoryAddr("192.0.2.1"), w.aPort), netip.AddrPortFrom(memoryAddr("192.0.2.2"), w.bPort)
	toA, toB := 0xa0000+n, 0xb0000+n
	c.a.Do(SetInbound{SA: sa, SPI: toA, Keys: keys(w.suite, byte(toA)), ESN: w.esn, Tunnel: w.tunnel, Limit: w.limit})
	c.b.Do(SetInbound{SA: sa, SPI: toB, Keys: keys(w.suite, byte(toB+7)), ESN: w.esn, Tunnel: w.tunnel, Limit: w.limit})
	c.a.Do(SetOutbound{SA: sa, SPI: toB, Keys: keys(w.suite, byte(toB+7)), ESN: w.esn, Tunnel: w.tunnel, Local: a, Remote: b, Limit: w.limit})
	c.b.Do(SetOutbound{SA: sa, SPI: toA, Keys: keys(w.suite, byte(toA)), ESN: w.esn, Tunnel: w.tunnel, Local: b, Remote: a, Limit: w.limit})
	c.a.Do(SetAdjacency{Tunnel: "tun0", NextHop: memoryAddr("10.0.0.2"), Endpoint: b, SA: sa})
	c.b.Do(SetAdjacency{Tunnel: "tun0", NextHop: memoryAddr("10.0.0.1"), Endpoint: a, SA: sa})
}

// toB is one packet from a to b.
func (c *couple) toB() *Datagram {
	c.a.Output("tun0", echoTo("10.0.0.2", 84))
	if len(c.a.sent) == 0 {
		return nil
	}
	d := c.a.sent[len(c.a.sent)-1]
	c.a.sent = nil
	return d
}

// espOf is the ESP packet in an outer datagram.
func espOf(d *Datagram) ESPPacket {
	body := d.Body
	if u, ok := body.(UDP); ok {
		body = u.Body
	}
	p, _ := body.(ESPPacket)
	return p
}

func withESP(d *Datagram, change func(*ESPPacket)) *Datagram {
	out, p := *d, espOf(d)
	change(&p)
	out.Body = p
	if u, ok := d.Body.(UDP); ok {
		u.Body = p
		out.Body = u
	}
	return &out
}

func eventsOf[T any](b *memoryBench) (list []T) {
	for _, ev := range b.events {
		if e, ok := ev.(T); ok {
			list = append(list, e)
		}
	}
	return list
}

func TestMemoryProtects(t *testing.T) {
	cbc := esp.Suite{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA256}
	for _, w := range []way{
		natWay, {suite: gcm256}, {suite: cbc, tunnel: true}, {suite: cbc, esn: true, tunnel: true, aPort: NATPort, bPort: 61000},
	} {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
			c := newCouple()
			c.install(7, 1, w)
			d := c.toB()
			if d == nil {
				t.Fatal("nothing was sent")
			}
			p := espOf(d)
			if p.SPI != 0xb0001 || p.Seq != 1 || p.Tunnel != w.tunnel || d.Destination != memoryAddr("192.0.2.2") {
				t.Errorf("sent %+v", d)
			}
			if u, udp := d.Body.(UDP); udp != (w.aPort != 0) || udp && (u.SourcePort != w.aPort || u.DestinationPort != w.bPort) {
				t.Errorf("in %+v", d.Body)
			}
			gre := 84 + 8
			if w.tunnel {
				gre += 20
			}
			want := 20 + gre + w.suite.Overhead(gre)
			if w.aPort != 0 {
				want += 8
			}
			if d.Size != want {
				t.Errorf("%d octets, want %d", d.Size, want)
			}
			if w.bPort == 61000 { // as the NAT before b would
				u := d.Body.(UDP)
				u.DestinationPort = NATPort
				d.Body = u
			}
			if !c.b.Input(d) || len(c.b.delivered) != 1 {
				t.Fatalf("delivered %v, events %v, drops %v", c.b.delivered, c.b.events, c.b.SAs())
			}
			if got := eventsOf[Opened](c.b); !slices.Equal(got, []Opened{{7, 0xb0001}}) {
				t.Errorf("opened %v", got)
			}
			if s := c.b.SAs()[0]; s.PacketsIn != 1 || s.BytesIn != 84 {
				t.Errorf("counted %+v", s)
			}
		})
	}
}

func TestMemoryDropsByReason(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ESPPacket)
		want   string
	}{
		{"a packet again", func(*ESPPacket) {}, "replayed"},
		{"number 0", func(p *ESPPacket) { p.Seq = 0 }, "replayed"},
		{"other keys", func(p *ESPPacket) { p.Seq, p.Digest[3] = 9, p.Digest[3]^1 }, "bad-icv"},
		{"another mode", func(p *ESPPacket) { p.Seq, p.Tunnel = 9, true }, "esp-malformed"},
		{"GRE of no tunnel", func(p *ESPPacket) { p.Seq, p.Inner.Key.Value = 9, 77 }, "unknown-key"},
	} {
		w := natWay
		w.esn = false
		two := newCouple()
		two.install(7, 1, w)
		d := two.toB()
		two.b.Input(d)
		if !two.b.Input(withESP(d, c.change)) {
			t.Errorf("%s: refused, not dropped", c.name)
		}
		drops := two.b.Interface("tun0").ByReason()
		if drops[c.want] != 1 || len(drops) != 1 || len(two.b.delivered) != 1 {
			t.Errorf("%s: %v, delivered %d", c.name, drops, len(two.b.delivered))
		}
		if n := two.b.SAs()[0].Drops[c.want]; (n == 1) != (c.want != "unknown-key") { // that is nothing of the SA's
			t.Errorf("%s: the SA counts %d", c.name, n)
		}
		if c.want == "bad-icv" { // a forgery uses no number up
			two.b.Input(withESP(d, func(p *ESPPacket) { p.Seq = 9 }))
			if len(two.b.delivered) != 2 {
				t.Errorf("%s: the real packet no longer opens", c.name)
			}
		}
	}
}

// Both ends must agree on all that makes an SA.
func TestMemoryEndsMustAgree(t *testing.T) {
	for name, change := range map[string]func(*SetInbound){
		"nothing": func(*SetInbound) {},
		"key":     func(e *SetInbound) { e.Keys.Encryption[5]++ },
		"salt":    func(e *SetInbound) { e.Keys.Encryption[35]++ },
		"integrity": func(e *SetInbound) {
			e.Keys = keys(esp.Suite{Encryption: esp.AESCBC, KeyBits: 256, Integrity: esp.HMACSHA256}, 8)
		},
		"ESN":  func(e *SetInbound) { e.ESN = !e.ESN },
		"mode": func(e *SetInbound) { e.Tunnel = !e.Tunnel },
	} {
		c := newCouple()
		c.install(7, 1, natWay)
		c.b.Do(DeleteInbound{0xb0001})
		e := SetInbound{SA: 7, SPI: 0xb0001, Keys: keys(gcm256, 8), ESN: true}
		change(&e)
		c.b.Do(e)
		want := 0
		if name == "nothing" {
			want = 1
		}
		if c.b.Input(c.toB()); len(c.b.delivered) != want || len(c.b.SAs()[0].Drops) != 1-want {
			t.Errorf("the ends differ in %s: delivered %d, dropped %v", name, len(c.b.delivered), c.b.SAs()[0].Drops)
		}
	}
}

// Nothing of a protected tunnel leaves or enters but by an SA: before the first, after the last, and whatever comes between.
func TestMemoryNeverClear(t *testing.T) {
	c := newCouple()
	clear := into("192.0.2.2", "192.0.2.1", Key{1, true}, GREPacket{Inner: echoTo("10.0.0.2", 84)})
	inUDP := &Datagram{Source: clear.Source, Destination: clear.Destination, Body: UDP{UDPPort, UDPPort, clear.Body}}
	at4500 := &Datagram{Source: clear.Source, Destination: clear.Destination, Body: UDP{NATPort, NATPort, clear.Body}}
	try := func(when string, drop string) {
		t.Helper()
		before := c.a.Interface("tun0").ByReason()
		c.a.sent, c.a.events = nil, nil
		c.a.Output("tun0", echoTo("10.0.0.2", 84))
		sa := SA(0)
		if a := c.a.Interface("tun0").Adjacency(memoryAddr("10.0.0.2")); a != nil {
			sa = a.SA
		}
		c.a.Do(Send{Tunnel: "tun0", To: at("192.0.2.2", 0), SA: sa, Protocol: 0x2001, Payload: []byte{1}})
		if len(c.a.sent) > 0 {
			t.Errorf("%s: sent %+v", when, c.a.sent[0])
		}
		if n := c.a.Interface("tun0").ByReason()[drop] - before[drop]; n != 2 {
			t.Errorf("%s: dropped %v, want two more as %s", when, c.a.Interface("tun0").ByReason(), drop)
		}
		if f := eventsOf[Failed](c.a); (len(f) == 1) != (drop == "unprotected") {
			t.Errorf("%s: the sender is told %v", when, f)
		}
		c.b.delivered, c.b.events = nil, nil
		for _, d := range []*Datagram{clear, inUDP, at4500} {
			c.b.Input(d)
		}
		if len(c.b.delivered) > 0 || len(c.b.events) > 0 {
			t.Errorf("%s: delivered %v, events %v", when, c.b.delivered, c.b.events)
		}
	}
	c.a.Do(SetAdjacency{Tunnel: "tun0", NextHop: memoryAddr("10.0.0.2"), Endpoint: at("192.0.2.2", 0)})
	try("before there is an SA", "unprotected")
	c.install(7, 1, natWay)
	c.a.Do(DeleteSA{7})
	try("after the SA was deleted", "no-sa")
	c.a.Do(SetInbound{SA: 7, SPI: 0xa0009, Keys: keys(gcm256, 1), ESN: true})
	try("with keys to receive alone", "no-sa")
	c.a.Do(DeleteSA{7})
	c.a.Do(outbound(0xfff00007, 0x2001))
	try("with another's handle in its place", "no-sa")
	c.a.Do(DeleteSA{0xfff00007})
	w := natWay
	w.esn = false
	c.b.Do(DeleteSA{7})
	c.install(7, 2, w)
	c.a.Outbound(7).twin.numbers.Reserve(1<<32 - 1)
	try("when the keys are used up", "worn-out")
}

func TestMemoryRekey(t *testing.T) {
	c := newCouple()
	c.install(7, 1, natWay)
	old := c.toB()
	late := c.toB()
	c.install(7, 2, natWay)
	young := c.toB()
	for _, d := range []*Datagram{young, old} {
		c.b.Input(d)
	}
	if got := eventsOf[Opened](c.b); !slices.Equal(got, []Opened{{7, 0xb0002}, {7, 0xb0001}}) || len(c.b.delivered) != 2 {
		t.Errorf("both keys are good while they change: opened %v, delivered %d", got, len(c.b.delivered))
	}
	c.b.Do(DeleteInbound{0xb0001})
	if c.b.Input(late); len(c.b.delivered) != 2 || len(eventsOf[UnknownSPI](c.b)) != 1 {
		t.Error("a deleted SPI opens")
	}
}

func TestMemoryTellsOfRoaming(t *testing.T) {
	c := newCouple()
	c.install(7, 1, natWay)
	from := func(port uint16) *Datagram {
		d := c.toB()
		u := d.Body.(UDP)
		u.SourcePort = port
		d.Body = u
		return d
	}
	c.b.Input(from(NATPort))
	forged := withESP(from(61000), func(p *ESPPacket) { p.Digest[0]++ })
	if c.b.Input(forged); len(eventsOf[Roamed](c.b)) != 0 {
		t.Error("told of a peer that is where it was, or of what is not authentic: iked's fix of April 2025")
	}
	c.b.Input(from(61000))
	c.b.Input(from(61000))
	want := []Roamed{{7, at("192.0.2.2", NATPort), at("192.0.2.1", 61000)}}
	if got := eventsOf[Roamed](c.b); !slices.Equal(got, want) {
		t.Errorf("roamed %v, want %v", got, want)
	}
	if a := c.b.Interface("tun0").Adjacencies()[0]; a.Counters().PacketsIn != 3 {
		t.Errorf("a peer that roams is the same peer: counted %d", a.Counters().PacketsIn)
	}
	c.b.Do(MoveSA{SA: 7, Local: at("192.0.2.2", NATPort), Remote: at("192.0.2.1", 61000)})
	c.b.Output("tun0", echoTo("10.0.0.1", 84))
	if u := c.b.sent[0].Body.(UDP); u.DestinationPort != 61000 {
		t.Errorf("answers go to port %d", u.DestinationPort)
	}
}

func TestMemoryWorn(t *testing.T) {
	c := newCouple()
	w := natWay
	w.limit = Limit{Packets: 3}
	c.install(7, 1, w)
	for range 6 {
		c.b.Input(c.toB())
	}
	if got := eventsOf[Worn](c.a); !slices.Equal(got, []Worn{{7, 0xb0001, true}}) {
		t.Errorf("the sender is told %v", got)
	}
	if got := eventsOf[Worn](c.b); !slices.Equal(got, []Worn{{7, 0xb0001, false}}) {
		t.Errorf("the receiver is told %v", got)
	}
	if len(c.b.delivered) != 6 {
		t.Error("a limit that is told of is not the end")
	}
}

func TestMemoryReceivedCarriesTheSA(t *testing.T) {
	c := newCouple()
	c.install(7, 1, natWay)
	c.a.Do(Send{Tunnel: "tun0", To: at("198.51.100.1", 0), SA: 7, Protocol: 0x2001, Payload: []byte{1, 2}})
	d := c.a.sent[0]
	if d.Destination != memoryAddr("192.0.2.2") || d.Class != control {
		t.Errorf("sent to %v: the SA knows where its peer is", d.Destination)
	}
	c.b.Input(d)
	got := eventsOf[Received](c.b)
	if len(got) != 1 || got[0].SA != 7 || got[0].From != at("192.0.2.1", NATPort) || len(got[0].Payload) != 2 {
		t.Errorf("received %+v", got)
	}
}

// Two spokes behind one NAT come from one address, and with raw ESP from one endpoint; a hub keeps them apart.
func TestMemoryTransitBetweenTwoBehindOneNAT(t *testing.T) {
	hub := newMemoryBench(protectedTunnel("192.0.2.1", "10.0.0.1/24"))
	hub.route("10.0.0.0/24", "")
	nat := at("203.0.113.1", 0)
	for sa := SA(1); sa <= 2; sa++ {
		spi := 0x1000 + uint32(sa)
		hub.Do(SetInbound{SA: sa, SPI: spi, Keys: keys(gcm256, byte(sa))})
		hub.Do(SetOutbound{SA: sa, SPI: spi + 0x1000, Keys: keys(gcm256, byte(sa+8)), Local: at("192.0.2.1", 0), Remote: nat})
		hub.Do(SetAdjacency{Tunnel: "tun0", NextHop: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + sa)}), Endpoint: nat, SA: sa})
	}
	inner := echoTo("10.0.0.12", 84)
	hub.Input(&Datagram{Source: nat.Addr(), Destination: memoryAddr("192.0.2.1"), Body: ESPPacket{
		SPI: 0x1001, Seq: 1, Digest: digestOf(0x1001, keys(gcm256, 1), false), Inner: GREPacket{Key: Key{1, true}, Protocol: 0x0800, Inner: inner},
	}})
	got := eventsOf[Transit](hub)
	if len(got) != 1 || got[0].SA != 1 || got[0].From != nat {
		t.Fatalf("transit %+v, drops %v", got, hub.SAs())
	}
	peers := hub.Peers("tun0")
	if peers[0].PacketsIn != 1 || peers[1].PacketsIn != 0 || peers[0].SA != 1 {
		t.Errorf("counted for %+v", peers)
	}
}

func TestMemoryIKE(t *testing.T) {
	c := newCouple()
	for _, e := range []struct {
		name  string
		local uint16
		body  []byte
		size  int
		want  int
	}{
		{"port 500", IKEPort, []byte("ike"), 20 + 8 + 3, 1},
		{"port 4500 has a marker", NATPort, []byte("ike"), 20 + 8 + 4 + 3, 1},
		{"a keepalive is for the NAT", NATPort, []byte{0xff}, 20 + 8 + 1, 0},
		{"one octet to port 500 is no keepalive", IKEPort, []byte{0xff}, 20 + 8 + 1, 1},
	} {
		c.a.sent, c.b.events = nil, nil
		c.a.Do(SendIKE{Local: at("192.0.2.1", e.local), Remote: at("192.0.2.2", e.local), Payload: e.body})
		d := c.a.sent[0]
		if d.Size != e.size || d.Protocol() != 17 {
			t.Errorf("%s: %d octets, want %d", e.name, d.Size, e.size)
		}
		if !c.b.Input(d) {
			t.Errorf("%s: nobody listens", e.name)
		}
		got := eventsOf[ReceivedIKE](c.b)
		if len(got) != e.want || e.want > 0 && (string(got[0].Payload) != string(e.body) || got[0].Remote != at("192.0.2.1", e.local) || got[0].Local != at("192.0.2.2", e.local)) {
			t.Errorf("%s: received %+v", e.name, got)
		}
	}
	c.b.Do(DeleteTunnel{"tun0"})
	if c.b.Input(c.a.sent[0]) {
		t.Error("without a protected tunnel nobody listens for IKE")
	}
	open := newMemoryBench(memoryTunnelOf("tun0", 1))
	if open.Input(&Datagram{Destination: memoryAddr("192.0.2.1"), Body: UDP{IKEPort, IKEPort, IKEPayload("x")}}) {
		t.Error("a router that protects nothing listens for IKE")
	}
}

func TestMemoryUnknownSPI(t *testing.T) {
	c := newCouple()
	c.install(7, 1, natWay)
	d := c.toB()
	c.b.Do(DeleteSA{7}) // as after a restart
	for range 5 {
		if !c.b.Input(d) {
			t.Fatal("ESP is refused, as if we did not speak it")
		}
	}
	want := []UnknownSPI{{at("192.0.2.2", NATPort), at("192.0.2.1", NATPort), 0xb0001}}
	if got := eventsOf[UnknownSPI](c.b); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v once", got, want)
	}
	d.Body = UDP{NATPort, IKEPort, espOf(d)}
	c.b.at += time.Hour
	if c.b.Input(d); len(eventsOf[UnknownSPI](c.b)) != 1 {
		t.Error("ESP on port 500 is looked at: RFC 3948 has it on 4500 alone")
	}
}

func TestMemoryPathMTUOfAnSA(t *testing.T) {
	c := newCouple()
	c.install(7, 1, natWay)
	tunnel := *c.a.Interface("tun0").Config()
	c.a.Do(SetPathMTU{7, 1300})
	fit := 1300 - Overhead(tunnel)
	for _, e := range []struct {
		size  int
		df    bool
		outer bool
		sent  int
	}{{fit, true, false, 1}, {fit + 1, true, false, 0}, {fit + 1, false, false, 1}, {1400, true, true, 1}, {1401, true, true, 0}} {
		tunnel.FragmentOuter = e.outer
		c.a.Do(SetTunnel{tunnel})
		c.a.sent, c.a.delivered = nil, nil
		d := echoTo("10.0.0.2", e.size)
		d.DF = e.df
		c.a.Output("tun0", d)
		if len(c.a.sent) != e.sent || len(c.a.delivered) != 1-e.sent {
			t.Errorf("%+v: sent %d, told %d", e, len(c.a.sent), len(c.a.delivered))
		}
		if e.sent == 0 && !e.outer && c.a.delivered[0].Body.(ICMPError).MTU != fit {
			t.Errorf("%+v: told %+v", e, c.a.delivered[0].Body)
		}
		if e.sent == 1 && e.size == fit && c.a.sent[0].Size > 1300 {
			t.Errorf("%d octets on a path of 1300", c.a.sent[0].Size)
		}
	}
}
