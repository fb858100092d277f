package dataplane

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/packet/esp"
)

// The twin's SAs. Thousands of routers in one process make no ciphers: an SA has a digest of its key material, which its
// packets carry in the place of an ICV. Two ends that did not agree on keys, or on how they are used, notice as they would;
// sequence numbers and their end are the real ones.

// Digest stands for key material and what it is used for.
type Digest [16]byte

type twinOutbound struct {
	suite   esp.Suite
	digest  Digest
	numbers *esp.Sequence
}

type twinInbound struct {
	digest Digest
	esn    bool
	window *esp.Window
}

func digestOf(spi uint32, k esp.Keys, esn bool) Digest {
	h := sha256.New()
	var head [13]byte
	binary.BigEndian.PutUint32(head[:], spi)
	binary.BigEndian.PutUint16(head[4:], uint16(k.Suite.Encryption))
	binary.BigEndian.PutUint16(head[6:], uint16(k.Suite.KeyBits))
	binary.BigEndian.PutUint16(head[8:], uint16(k.Suite.Integrity))
	binary.BigEndian.PutUint16(head[10:], uint16(len(k.Encryption)))
	if esn {
		head[12] = 1
	}
	h.Write(head[:])
	h.Write(k.Encryption)
	h.Write(k.Integrity)
	return Digest(h.Sum(nil)[:len(Digest{})])
}

func newTwinOutbound(e SetOutbound) (*twinOutbound, error) {
	if err := e.Keys.Check(e.SPI); err != nil {
		return nil, err
	}
	return &twinOutbound{e.Keys.Suite, digestOf(e.SPI, e.Keys, e.ESN), esp.NewSequence(e.Keys.Suite, e.ESN)}, nil
}

func newTwinInbound(e SetInbound) (*twinInbound, error) {
	if err := e.Keys.Check(e.SPI); err != nil {
		return nil, err
	}
	w, err := esp.NewWindow(ReplayWindow)
	return &twinInbound{digestOf(e.SPI, e.Keys, e.ESN), e.ESN, w}, err
}

// protect sends g by an SA, or says why not.
func (m *Memory) protect(t *Tunnel, sa SA, class uint8, size int, g GREPacket) (why Reason, ok bool) {
	o := m.Outbound(sa)
	if o == nil {
		return DropNoSA, false
	}
	seq, ok := o.twin.numbers.Reserve(1)
	if !ok {
		return DropWornOut, false
	}
	if o.CountOut(1, size) {
		m.Post(Worn{SA: sa, SPI: o.SPI, Out: true})
	}
	d := &Datagram{ // by the tunnel's sockets, whatever local address the SA has
		Source: t.Local, Destination: o.Remote.Addr(), TTL: t.TTL, Class: class, Size: o.sizeOf(t, size),
		Body: ESPPacket{SPI: o.SPI, Seq: uint32(seq), Digest: o.twin.digest, Tunnel: o.Tunnel, Between: o.Inner, Inner: g},
	}
	if o.Remote.Port() != 0 {
		d.Body = UDP{NATPort, o.Remote.Port(), d.Body}
	}
	m.Transmit(d)
	return 0, true
}

// sizeOf is how long the outer packet of an inner one is.
func (o *Outbound) sizeOf(t *Tunnel, inner int) int {
	n := inner + 4
	if t.Key.Set {
		n += 4
	}
	if o.Tunnel {
		n += HeaderLen(o.Inner[0])
	}
	n += o.twin.suite.Overhead(n) + HeaderLen(o.Remote.Addr())
	if o.Remote.Port() != 0 {
		n += udpLen
	}
	return n
}

const udpLen = 8

// protects reports whether IKE and ESP are listened for on an address: a protected tunnel has it.
func (m *Memory) protects(local netip.Addr) bool { return m.first(local) != nil }

// first is the protected tunnel of an address that counts what cannot be told whose it is; nil when there is none.
func (m *Memory) first(local netip.Addr) *Interface {
	first := ""
	for k, name := range m.demux {
		if k.local == local && k.encap == ESP && (first == "" || name < first) {
			first = name
		}
	}
	return m.Interface(first)
}

// protected takes what came to a port of IKE's, which ESP shares on [NATPort] alone.
func (m *Memory) protected(d *Datagram, u UDP) bool {
	remote, local := netip.AddrPortFrom(d.Source, u.SourcePort), netip.AddrPortFrom(d.Destination, u.DestinationPort)
	switch body := u.Body.(type) {
	case ESPPacket:
		if u.DestinationPort == NATPort {
			m.open(d, remote, local, body)
		}
	case IKEPayload:
		if u.DestinationPort == IKEPort || !keepalive(body) {
			m.Post(ReceivedIKE{Local: local, Remote: remote, Payload: slices.Clone(body)})
		}
	}
	return true
}

// keepalive reports what only keeps a NAT's mapping, RFC 3948 section 2.3.
func keepalive(b []byte) bool { return len(b) == 1 && b[0] == 0xff }

// open takes an ESP packet, in the order of RFC 4303 section 3.4. It is always taken: what is wrong with it is counted.
func (m *Memory) open(d *Datagram, remote, local netip.AddrPort, p ESPPacket) bool {
	in, first := m.Inbound(p.SPI), m.first(d.Destination)
	if in == nil {
		first.Drop(DropUnknownSPI)
		if m.StrayDue(remote, p.SPI, m.Now()) {
			m.Post(UnknownSPI{Local: local, Remote: remote, SPI: p.SPI})
		}
		return true
	}
	if why, ok := in.accept(d.Destination, p); !ok {
		in.Drop(why)
		first.Drop(why)
		return true
	}
	m.opened(in, remote, local)
	if why, ok := in.carries(p); ok {
		m.opens(d, Origin{remote, in.SA}, p.Inner)
	} else {
		in.Drop(why)
		first.Drop(why)
	}
	if in.CountIn(1, p.Inner.size()) {
		m.Post(Worn{SA: in.SA, SPI: in.SPI})
	}
	return true
}

// opens takes the GRE that an authentic packet carried.
func (m *Memory) opens(d *Datagram, from Origin, g GREPacket) {
	i := m.tunnelAt(d.Destination, g.Key, ESP)
	if i == nil {
		m.first(d.Destination).Drop(DropUnknownKey)
		return
	}
	m.decapsulate(i, from, d, g)
}

// accept opens a packet that came to an address, or says why not. An SA is good at its own local address alone, and only while
// there is one: before [SetOutbound] nothing comes in.
func (in *Inbound) accept(to netip.Addr, p ESPPacket) (why Reason, ok bool) {
	if o := in.Outbound(); o == nil || o.Local.Addr() != to {
		return DropWrongPeer, false
	}
	k, seq := in.twin, uint64(p.Seq)
	if k.esn {
		seq = k.window.Infer(p.Seq)
	}
	switch {
	case !k.window.Fresh(seq):
		return DropReplayed, false
	case p.Digest != k.digest:
		return DropBadICV, false
	case !k.window.Accept(seq):
		return DropReplayed, false
	}
	return 0, true
}

// carries reports whether an authentic packet is of the mode agreed on, and in tunnel mode of the addresses.
func (in *Inbound) carries(p ESPPacket) (why Reason, ok bool) {
	if p.Tunnel != in.Tunnel {
		return DropBadESP, false
	}
	if o := in.Outbound(); p.Tunnel && o != nil && o.Tunnel && p.Between != [2]netip.Addr{o.Inner[1], o.Inner[0]} {
		return DropWrongPeer, false
	}
	return 0, true
}

// opened tells what an authentic packet is the first sign of.
func (m *Memory) opened(in *Inbound, remote, local netip.AddrPort) {
	if in.FirstPacket() {
		m.Post(Opened{SA: in.SA, SPI: in.SPI})
	}
	if m.RoamDue(in, remote, m.Now()) {
		m.Post(Roamed{SA: in.SA, Local: local, Remote: remote})
	}
}

// size is that of what the packet carries.
func (g GREPacket) size() int {
	if g.Inner != nil {
		return g.Inner.Largest()
	}
	return len(g.Payload)
}

func (m *Memory) sendIKE(e SendIKE) {
	if !m.protects(e.Local.Addr()) {
		m.Post(Failed{Doing: "send IKE to " + e.Remote.String(), Err: "no protected tunnel is at " + e.Local.Addr().String()})
		return
	}
	n := HeaderLen(e.Remote.Addr()) + udpLen + len(e.Payload)
	if e.Local.Port() == NATPort && !keepalive(e.Payload) {
		n += 4 // the non-ESP marker, RFC 7296 section 2.23
	}
	m.Transmit(&Datagram{
		Source: e.Local.Addr(), Destination: e.Remote.Addr(), TTL: 64, Class: control, Size: n,
		Body: UDP{e.Local.Port(), e.Remote.Port(), IKEPayload(slices.Clone(e.Payload))},
	})
}
