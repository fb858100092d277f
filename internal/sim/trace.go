package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/rib"
)

// Trace is what the routers of a world did: a digest of all of it, and lines for people where somebody wants them.
type Trace struct {
	Out io.Writer // nil: only the digest
	// Line hears of each line a router logged. It may be nil.
	Line func(n *Node, level core.Level, line string)

	digest uint64
}

// FNV-1a, 64 bits, over words: fast, and the same everywhere.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func newTrace() *Trace { return &Trace{digest: fnvOffset} }

// Digest is one number for everything that happened: equal histories have equal ones.
func (t *Trace) Digest() uint64 { return t.digest }

func (t *Trace) mix(words ...uint64) {
	for _, w := range words {
		t.digest = (t.digest ^ w) * fnvPrime
	}
}

func (t *Trace) mixBytes(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		t.mix(binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		t.mix(uint64(c))
	}
}

func (t *Trace) mixAddr(a netip.Addr) {
	b := a.As16()
	t.mixBytes(b[:])
}

func (t *Trace) line(n *Node, format string, args ...any) {
	if t.Out != nil {
		fmt.Fprintf(t.Out, "%12.6f %-8s %s\n", n.world.Now().Seconds(), n.Name, fmt.Sprintf(format, args...))
	}
}

// event notes that a router handled an event.
func (t *Trace) event(p *process, module string, ev core.Event) {
	t.mix(uint64(p.node.world.Now()), uint64(p.node.id), uint64(len(module))<<8|uint64(kind(ev)))
}

func kind(ev core.Event) uint8 {
	switch ev.(type) {
	case dataplane.Received:
		return 1
	case core.Expired:
		return 2
	case rib.Change:
		return 3
	case dataplane.Miss:
		return 4
	case dataplane.Transit:
		return 5
	case dataplane.Used:
		return 6
	case core.Link:
		return 7
	case core.Notice:
		return 8
	case core.Request:
		return 9
	case kernel.Learned, kernel.Forgotten:
		return 10
	case core.ReceivedIP:
		return 11
	}
	return 0
}

// effect notes what a router wants done.
func (t *Trace) effect(n *Node, effect core.Effect) {
	switch e := effect.(type) {
	case dataplane.SetAdjacency:
		t.mixAddr(e.NextHop)
		t.mixAddr(e.Endpoint.Addr())
		t.line(n, "adjacency %s: %v is at %s%s", e.Tunnel, e.NextHop, endpoint(e.Endpoint), word(e.Multicast, ", multicast"))
	case dataplane.DeleteAdjacency:
		t.mixAddr(e.NextHop)
		t.line(n, "adjacency %s: %v is gone", e.Tunnel, e.NextHop)
	case dataplane.SetFallback:
		t.mixAddr(e.NextHop)
		t.line(n, "fallback %s: %s", e.Tunnel, orNone(e.NextHop))
	case kernel.Install:
		t.mixAddr(e.Prefix.Addr())
		t.line(n, "kernel: add %v metric %d%s", e.Prefix, e.Metric, hops(e.NextHops))
	case kernel.Remove:
		t.mixAddr(e.Prefix.Addr())
		t.line(n, "kernel: remove %v metric %d", e.Prefix, e.Metric)
	case dataplane.SetTunnel:
		t.line(n, "tunnel %s: local %v key %d mtu %d", e.Name, e.Local, e.Key.Value, e.MTU)
	case dataplane.DeleteTunnel:
		t.line(n, "tunnel %s: deleted", e.Name)
	case core.SendIP:
		t.mixAddr(e.Destination)
		t.mixBytes(e.Payload)
		t.line(n, "%s -> %v: %d octets of protocol %d", e.Interface, e.Destination, len(e.Payload), e.Protocol)
	default:
		t.protection(n, effect)
	}
}

// protection notes what IKE has the data plane do. Keys are nobody's business.
func (t *Trace) protection(n *Node, effect core.Effect) {
	switch e := effect.(type) {
	case dataplane.SetInbound:
		t.mix(uint64(e.SA), uint64(e.SPI))
		t.line(n, "SA %d: takes SPI %08x%s", e.SA, e.SPI, word(e.Tunnel, ", tunnel mode"))
	case dataplane.SetOutbound:
		t.mix(uint64(e.SA), uint64(e.SPI))
		t.line(n, "SA %d: sends SPI %08x from %s to %s%s", e.SA, e.SPI, endpoint(e.Local), endpoint(e.Remote), word(e.Tunnel, ", tunnel mode"))
	case dataplane.MoveSA:
		t.mix(uint64(e.SA))
		t.line(n, "SA %d: from %s to %s now", e.SA, endpoint(e.Local), endpoint(e.Remote))
	case dataplane.DeleteInbound:
		t.mix(uint64(e.SPI))
		t.line(n, "SPI %08x: deleted", e.SPI)
	case dataplane.DeleteSA:
		t.mix(uint64(e.SA))
		t.line(n, "SA %d: deleted", e.SA)
	}
}

func orNone(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func hops(nhs []rib.NextHop) string {
	var b strings.Builder
	for _, nh := range nhs {
		if nh.Via.IsValid() {
			fmt.Fprintf(&b, " via %v", nh.Via)
		}
		fmt.Fprintf(&b, " dev %s", nh.Interface)
	}
	return b.String()
}

// sent notes what a router put onto the underlay: control packets in full, data by its addresses.
func (t *Trace) sent(n *Node, d *dataplane.Datagram) {
	t.mix(uint64(n.world.Now()), uint64(n.id))
	t.mixAddr(d.Destination)
	if m, is := ikeOf(d); is {
		t.ike(n, d, m)
		return
	}
	g := gre(d)
	if g.Inner != nil {
		t.mixAddr(g.Inner.Source)
		t.mixAddr(g.Inner.Destination)
		return
	}
	t.mixBytes(g.Payload)
	if t.Out == nil {
		return
	}
	p, err := nhrp.Parse(g.Payload)
	if err != nil {
		t.line(n, "-> %v: %v", d.Destination, err)
		return
	}
	t.line(n, "-> %v: %s", d.Destination, describe(&p))
}

// gre is the GRE packet in an outer datagram.
func gre(d *dataplane.Datagram) dataplane.GREPacket {
	switch body := carried(d).(type) {
	case dataplane.GREPacket:
		return body
	case dataplane.ESPPacket:
		return body.Inner
	}
	return dataplane.GREPacket{}
}

// carried is what an outer datagram has in it, in UDP or not.
func carried(d *dataplane.Datagram) any {
	if u, udp := d.Body.(dataplane.UDP); udp {
		return u.Body
	}
	return d.Body
}

func ikeOf(d *dataplane.Datagram) (dataplane.IKEPayload, bool) {
	m, is := carried(d).(dataplane.IKEPayload)
	return m, is
}

// ike notes a message of IKE by its header and its length. The rest is encrypted, partly by what no seed says: ML-KEM
// draws its own randomness.
func (t *Trace) ike(n *Node, d *dataplane.Datagram, m dataplane.IKEPayload) {
	t.mix(uint64(len(m)))
	h, err := wire.ParseHeader(m)
	if err != nil {
		t.line(n, "-> %v: %d octets to an IKE port", d.Destination, len(m))
		return
	}
	t.mixBytes(m[:wire.HeaderLen])
	t.line(n, "-> %v: %v %s %d, %d octets", d.Destination, h.Exchange, way(h), h.MessageID, len(m))
}

func way(h wire.Header) string {
	if h.Flags&wire.Response != 0 {
		return "response"
	}
	return "request"
}

// describe is one line for an NHRP packet: what the RFC's reader looks for.
func describe(p *nhrp.Packet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v > %v hops %d", strings.ToLower(p.Type.String()), p.Source, p.Destination, p.HopCount)
	switch p.Type {
	case nhrp.ErrorIndication:
		fmt.Fprintf(&b, " %v", p.ErrorCode)
	case nhrp.TrafficIndication:
	default:
		fmt.Fprintf(&b, " id %d flags %04x", p.RequestID, uint16(p.Flags))
	}
	for _, c := range p.CIEs {
		fmt.Fprintf(&b, " [%v", c.Code)
		if c.Protocol.IsValid() {
			fmt.Fprintf(&b, " %v/%d", c.Protocol, c.PrefixLength)
		}
		if c.NBMA.IsValid() {
			fmt.Fprintf(&b, " at %v", c.NBMA)
		}
		fmt.Fprintf(&b, " for %d s]", c.HoldingTime)
	}
	return b.String()
}

// log notes what a module said.
func (t *Trace) log(n *Node, level core.Level, event string, args []any) {
	if t.Out == nil && t.Line == nil {
		return
	}
	var b strings.Builder
	b.WriteString(event)
	for k := 0; k+1 < len(args); k += 2 {
		fmt.Fprintf(&b, " %v=%s", args[k], logValue(args[k+1]))
	}
	if level > core.Debug {
		t.line(n, "%s", b.String())
	}
	if t.Line != nil {
		t.Line(n, level, b.String())
	}
}

func logValue(v any) string {
	if e, ok := v.(netip.AddrPort); ok {
		return endpoint(e)
	}
	if d, ok := v.(time.Duration); ok {
		return d.Round(time.Microsecond).String()
	}
	s := fmt.Sprint(v)
	if strings.ContainsAny(s, " \n\"") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// endpoint is an endpoint as people read it: without a port where there is none.
func endpoint(e dataplane.Endpoint) string {
	if e.Port() == 0 {
		return e.Addr().String()
	}
	return e.String()
}

func word(on bool, s string) string {
	if on {
		return s
	}
	return ""
}
