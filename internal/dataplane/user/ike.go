package user

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

const (
	ikeHeader   = 28 // RFC 7296 section 3.1
	ikeExchange = 18 // where the header has the exchange
	ikeSAInit   = 34
	maxIKE      = 64 << 10
	longestIKE  = maxIKE - 100 // that is sent: UDP's limit, less headers
	markerLen   = 4            // RFC 3948 section 2.2
	keepalive   = 0xff         // RFC 3948 section 2.3
)

// ikeLimits bound what IKE may bring into the control plane's queue. Everybody may send it, and from any address, so
// what begins an exchange with a stranger has a budget of its own, and cannot take that of peers who are known.
type ikeLimits struct {
	sources  *sources
	initial  bucket
	exchange bucket
}

// A thousand spokes that come back at once send a few thousand IKE_SA_INITs and some ten thousand messages behind them,
// fragments counted. One spoke needs a few dozen.
const (
	ikePerSource = 500
	ikeInitials  = 5000 // a second, of all
	ikeExchanges = 30000
)

func newIKELimits() ikeLimits {
	return ikeLimits{sources: newSources(ikePerSource)}
}

// allow counts a message, and reports whether it is within what its sender and all may send.
func (l *ikeLimits) allow(from netip.AddrPort, b []byte, now time.Duration) bool {
	if !l.sources.allow(from, now) {
		return false
	}
	if b[ikeExchange] == ikeSAInit && binary.BigEndian.Uint64(b[8:]) == 0 { // without a responder's SPI
		return l.initial.allow(ikeInitials, now)
	}
	return l.exchange.allow(ikeExchanges, now)
}

// ike hands a datagram of IKE to the loop.
func (r *receiver) ike(from netip.AddrPort, b []byte) {
	pl := r.wire.plane
	if len(b) < ikeHeader || len(b) > maxIKE {
		r.wire.drop(dataplane.DropMalformed)
		return
	}
	if !pl.ike.allow(from, b, r.now) || !pl.post(dataplane.ReceivedIKE{
		Local: r.local(), Remote: from, Payload: slices.Clone(b),
	}) {
		r.wire.drop(dataplane.DropControlQueueFull)
	}
}

// sendIKE sends at once and never waits: IKE repeats itself. It goes by any wire of protection at that address.
func (p *Plane) sendIKE(e dataplane.SendIKE) {
	local, remote := plainEndpoint(e.Local), plainEndpoint(e.Remote)
	w := p.wires[place{local.Addr(), dataplane.ESP}]
	switch {
	case w == nil:
		p.fail("", "send IKE to "+remote.String(), errors.New("no protected tunnel is at "+local.Addr().String()))
		return
	case local.Addr().Is4() != remote.Addr().Is4() || len(e.Payload) == 0 || len(e.Payload) > longestIKE:
		w.drop(dataplane.DropSendFailed)
		return
	}
	k := udpIKE
	if local.Port() == dataplane.NATPort {
		k = udpESP
	}
	l := &p.letter
	l.write(k, remote, e.Payload)
	if tap := p.tap.Load(); tap != nil {
		(*tap).Outer(Out, local, remote, l.b)
	}
	if errno := l.deliver(w, k, local, remote, e.Whole); errno != 0 {
		w.drop(dataplane.DropSendFailed)
	}
}

// deliver sends the datagram. A long one leaves without DF, so that it arrives where ICMP does not; one that is Whole
// leaves with it, or not at all.
func (l *letter) deliver(w *wire, k kind, local, remote netip.AddrPort, whole bool) unix.Errno {
	if whole || len(l.b)+outerHeader(remote) <= everywhere4 {
		errno := l.send(w, w.through(k, w.sockets[0]))
		if whole && errno == unix.EMSGSIZE { // that was the question
			return 0
		}
		return errno
	}
	l.frank(netip.AddrPortFrom(local.Addr(), uint16(kindOf[k].port)), remote)
	return l.send(w, w.others[cutUDP])
}

// letter is one datagram of IKE, on its way.
type letter struct {
	b       []byte
	message [1]mmsg
	iov     unix.Iovec
	name    sockaddr
	control control
}

// write makes the datagram: from port 4500 with the non-ESP marker, unless it is a keepalive.
func (l *letter) write(k kind, remote netip.AddrPort, payload []byte) {
	l.b = l.b[:0]
	if k == udpESP && !isKeepalive(payload) {
		l.b = append(l.b, make([]byte, markerLen)...)
	}
	l.b = append(l.b, payload...)
	l.message[0].hdr.Namelen = l.name.put(remote)
}

func isKeepalive(b []byte) bool { return len(b) == 1 && b[0] == keepalive }

// frank puts the UDP header before the datagram, for a raw socket, whose names have no port.
func (l *letter) frank(local, remote netip.AddrPort) {
	h := packet.Header{Source: local.Addr(), Destination: remote.Addr()}
	l.b = packet.AppendUDP(nil, h, local.Port(), remote.Port(), l.b)[ipHeader(local.Addr()):]
	l.message[0].hdr.Namelen = l.name.put(netip.AddrPortFrom(remote.Addr(), 0))
}

func (l *letter) send(w *wire, s *socket) unix.Errno {
	h := &l.message[0].hdr
	l.iov.Base = &l.b[0]
	l.iov.SetLen(len(l.b))
	h.Iov, h.Iovlen, h.Name = &l.iov, 1, &l.name[0]
	l.control.n = 0
	w.putClass(&l.control, classControl, 0)
	h.Control = &l.control.b[0]
	h.SetControllen(l.control.n)
	_, e := s.link.send(l.message[:])
	if e != 0 && e != unix.EMSGSIZE { // it may be what ICMP said of another
		_, e = s.link.send(l.message[:])
	}
	return e
}
