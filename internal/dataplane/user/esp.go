package user

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/packet/esp"
)

// landing is where the receiver's packet is: in the merger's buffer or in the scratch, from an offset on, or elsewhere.
type landing struct {
	where   whereabouts
	payload int // of ESP
	at      int // the GRE packet, then the inner packet
}

type whereabouts uint8

const (
	elsewhere whereabouts = iota // among what was received
	inMerger
	inScratch
)

// natted takes a datagram of port 4500, RFC 3948 section 2.
func (r *receiver) natted(from netip.AddrPort, class uint8, b []byte) {
	switch {
	case isKeepalive(b): // the NAT has seen it
	case len(b) < markerLen:
		r.wire.drop(dataplane.DropBadESP)
	case binary.BigEndian.Uint32(b) == 0:
		r.ike(from, b[markerLen:])
	default:
		r.esp(from, class, b)
	}
}

// esp opens one packet of ESP. Its payload goes where what is inside will most likely be wanted: behind the frame that is
// merged, or with room around it to be sealed again.
func (r *receiver) esp(from netip.AddrPort, class uint8, b []byte) {
	if len(b) < 8 {
		r.wire.drop(dataplane.DropBadESP)
		return
	}
	spi := binary.BigEndian.Uint32(b)
	in := r.wire.plane.tables.Inbound(spi)
	if in == nil {
		r.stray(from, spi)
		return
	}
	if o := in.Outbound(); o == nil || o.Local.Addr() != r.wire.at.local {
		r.spoilt(in, dataplane.DropWrongPeer) // who may come in at one address may not at another
		return
	}
	var dst []byte
	if r.hairpin {
		dst = r.scratch[:headroom]
		r.landing = landing{inScratch, headroom, headroom}
	} else {
		dst = r.merge.land(r.prefix)
		r.landing = landing{inMerger, len(dst), len(dst)}
	}
	payload, next, err := in.Opener.Open(dst, b)
	if err == nil {
		r.opened(in, from, class, payload, next)
	} else {
		r.refused(in, err)
	}
	r.merge.settle()
}

// stray tells of a packet that belongs to no SA.
func (r *receiver) stray(from netip.AddrPort, spi uint32) {
	r.wire.drop(dataplane.DropUnknownSPI)
	if pl := r.wire.plane; pl.tables.StrayDue(from, spi, r.now) {
		pl.post(dataplane.UnknownSPI{Local: r.local(), Remote: from, SPI: spi})
	}
}

// refused counts a packet that was not opened, with the handle and the wire: whose tunnel it was nobody can tell.
func (r *receiver) refused(in *dataplane.Inbound, err error) {
	why := dataplane.DropBadESP
	switch {
	case errors.Is(err, esp.ErrReplay):
		why = dataplane.DropReplayed
	case errors.Is(err, esp.ErrIntegrity):
		why = dataplane.DropBadICV
	}
	r.spoilt(in, why)
}

func (r *receiver) spoilt(in *dataplane.Inbound, why dataplane.Reason) {
	in.Drop(why)
	r.wire.drop(why)
}

// opened takes what an authentic packet carried. Only from here on may anything be concluded from it.
func (r *receiver) opened(in *dataplane.Inbound, from netip.AddrPort, class uint8, payload []byte, next uint8) {
	if next == packet.GREIP && r.stream.in == in && r.continued(from, class, payload) {
		return
	}
	pl := r.wire.plane
	if in.FirstPacket() && !pl.post(dataplane.Opened{SA: in.SA, SPI: in.SPI}) {
		in.NotOpened()
	}
	if pl.tables.RoamDue(in, from, r.now) {
		pl.post(dataplane.Roamed{SA: in.SA, Local: r.local(), Remote: from})
	}
	if next != esp.NoNextHeader {
		var header [len(r.stream.header)]byte
		copy(header[:], payload) // the frame may be written over it
		r.payload(in, from, class, payload, next)
		r.remember(stream{in: in, from: from, class: class, header: header}, next)
	}
	r.countSA(in, len(payload)-(r.landing.at-r.landing.payload))
}

// stream is what let the last packet of the frame in, for the time of the frame. Bulk data is many packets that are all let in
// for the same reasons, and asking once is what makes it cheap.
type stream struct {
	in     *dataplane.Inbound // nil: there is none
	from   netip.AddrPort
	class  uint8
	header [8]byte // of GRE
	prefix int     // its length
	tunnel *dataplane.Interface
	peer   *dataplane.Adjacency
}

// continued takes a packet that differs from the frame's in nothing but what [merger.follows] allows: it came by the same SA
// from the same place with the same class, in the same GRE. So it is for the same tunnel, from the same peer, goes the same
// way, and its class needs no change, RFC 6040 section 4.2.
func (r *receiver) continued(from netip.AddrPort, class uint8, payload []byte) bool {
	s := &r.stream
	n := s.prefix
	if r.landing.where != inMerger || from != s.from || class != s.class || len(payload) < n || !bytes.Equal(payload[:n], s.header[:n]) {
		return false
	}
	p, err := packet.ParseIP(payload[n:])
	if err != nil || !r.merge.adopt(p, r.landing.at+n) {
		return false
	}
	r.count(s.tunnel, s.peer, len(p.Bytes))
	r.countSA(s.in, len(payload)-n)
	return true
}

// remember notes what let a packet in, if that is the last of the frame now and a plain one.
func (r *receiver) remember(s stream, next uint8) {
	s.prefix = r.landing.at - r.landing.payload
	if r.landing.where != inMerger || !r.merge.adopted || r.merge.closed || next != packet.GREIP || s.prefix > len(s.header) {
		return
	}
	s.tunnel, s.peer = r.run.tunnel, r.run.peer
	r.stream = s
}

// payload takes what an SA carried: GRE, for the tunnel that its key says.
func (r *receiver) payload(in *dataplane.Inbound, from netip.AddrPort, class uint8, payload []byte, next uint8) {
	g, class, why, ok := greOf(in, payload, next, class)
	if !ok {
		r.spoilt(in, why)
		return
	}
	r.landing.at += g.at
	r.gre(dataplane.Origin{Endpoint: from, SA: in.SA}, class, g.bytes)
}

// within is a part of a payload. It need not reach to the payload's end: in tunnel mode octets that hide its length may
// follow, RFC 4303 section 2.7.
type within struct {
	bytes []byte
	at    int
}

// greOf is the GRE packet in a payload, and the class that counts for it. In tunnel mode there is an IP header of the
// agreed addresses before it, and nothing else is taken, RFC 4301 section 5.2.
func greOf(in *dataplane.Inbound, payload []byte, next, class uint8) (g within, middle uint8, why dataplane.Reason, ok bool) {
	inIP := next == ipInIP || next == ipv6InIP
	if inIP != in.Tunnel {
		return within{}, 0, dataplane.DropBadESP, false
	}
	if !inIP {
		return within{payload, 0}, class, dataplane.DropNotGRE, next == packet.GREIP
	}
	p, err := packet.ParseIP(payload)
	if err != nil || p.Is6() != (next == ipv6InIP) || p.Fragment || p.HasOptions() {
		return within{}, 0, dataplane.DropBadESP, false
	}
	if o := in.Outbound(); o != nil && o.Tunnel && (p.Source() != o.Inner[1] || p.Destination() != o.Inner[0]) {
		return within{}, 0, dataplane.DropWrongPeer, false
	}
	if !mergeECN(p, class) {
		return within{}, 0, dataplane.DropECNIllegal, false
	}
	return within{p.Payload(), p.Upper}, p.Class(), dataplane.DropNotGRE, p.Protocol == packet.GREIP
}

// adopt gives a packet to the kernel that was opened behind those before it.
func (r *receiver) adopt(d *device, p packet.IP) {
	m := &r.merge
	if r.to == d && m.adopt(p, r.landing.at) {
		return
	}
	if !m.empty() {
		m.swap()
		r.flushDevice()
		m.swap()
	}
	r.to, m.udp = d, d.tun.uso
	m.start(p)
}

// room is a packet with room around it where it is to be sealed. What was opened in the scratch has it.
func (r *receiver) room(p packet.IP, sealed bool) room {
	n := len(p.Bytes)
	switch {
	case !sealed:
		return room{p.Bytes, 0, n}
	case r.landing.where == inScratch:
		return room{r.scratch[:], r.landing.at, r.landing.at + n}
	}
	copy(r.scratch[headroom:], p.Bytes)
	return room{r.scratch[:], headroom, headroom + n}
}
