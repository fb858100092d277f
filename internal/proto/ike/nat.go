package ike

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// natDetection is what lets the peer see whether an address or a port was changed on the way, RFC 7296 section 2.23.
// Where ESP is to be in UDP in any case our hash fits no address, so that the peer takes us to be behind a NAT.
func (s *sa) natDetection(local, remote netip.AddrPort) wire.Payloads {
	source := s.natHash(local)
	if s.encapsulation == UDP {
		source = s.m.bytes(len(source))
	}
	return wire.Payloads{
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: source},
		&wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: s.natHash(remote)},
	}
}

// natHash is that of SPIs, address and port. SHA-1 is what the RFC says; nothing secret rests on it.
func (s *sa) natHash(a netip.AddrPort) []byte {
	h := s.header(wire.SAInit, 0, false, 0)
	b := binary.BigEndian.AppendUint64(nil, h.SPIi)
	b = binary.BigEndian.AppendUint64(b, h.SPIr)
	b = append(b, a.Addr().AsSlice()...)
	sum := sha1.Sum(binary.BigEndian.AppendUint16(b, a.Port()))
	return sum[:]
}

// detectNAT compares the peer's hashes with what is seen of the packet. Those of IKE_SA_INIT were made with the SPIs of
// their message, and a request's responder SPI is 0.
func (s *sa) detectNAT(p wire.Payloads, ev dataplane.ReceivedIKE) {
	ours := s.spi
	if !s.initiator && s.phase == greeting {
		s.spi = 0
	}
	here, there := s.natHash(ev.Local), s.natHash(ev.Remote)
	s.spi = ours
	s.natLocal, s.natRemote = false, false
	if n := p.Notify(wire.NATDetectionDestinationIP); n != nil {
		s.natLocal = !bytes.Equal(n.Data, here)
	}
	sources := 0
	for _, n := range p.Notifies() {
		if n.Kind == wire.NATDetectionSourceIP {
			sources++
			if bytes.Equal(n.Data, there) {
				return
			}
		}
	}
	s.natRemote = sources > 0
}

// float moves IKE to port 4500: where a NAT is, where ESP is in UDP, and where the SA may move (RFC 7296 section 2.23,
// RFC 4555 section 3.3).
func (s *sa) float(env *core.Env) {
	if s.local.Port() == dataplane.NATPort || !s.natLocal && !s.natRemote && !s.inUDP() && !s.profile.MOBIKE {
		return
	}
	s.local = netip.AddrPortFrom(s.local.Addr(), dataplane.NATPort)
	if s.remote.Port() == dataplane.IKEPort {
		s.remote = netip.AddrPortFrom(s.remote.Addr(), dataplane.NATPort)
	}
}

// inUDP reports whether ESP is in UDP, RFC 3948.
func (s *sa) inUDP() bool {
	return s.natLocal || s.natRemote || s.encapsulation == UDP || s.encapsulation == AutoEncapsulation && s.spokeway
}

// endpoints are where ESP goes from and to; without ports it is IP protocol 50.
func (s *sa) endpoints() (local, remote netip.AddrPort) {
	if !s.inUDP() {
		return netip.AddrPortFrom(s.local.Addr(), 0), netip.AddrPortFrom(s.remote.Addr(), 0)
	}
	local, remote = netip.AddrPortFrom(s.local.Addr(), dataplane.NATPort), s.remote
	if remote.Port() == dataplane.IKEPort {
		remote = netip.AddrPortFrom(remote.Addr(), dataplane.NATPort)
	}
	return local, remote
}

// keepaliveTime is how long a NAT's mapping may be silent, RFC 3948 section 4.
const keepaliveTime = 20 * time.Second

// keepalive keeps the mapping of the NAT we are behind.
func (s *sa) keepalive(env *core.Env) {
	if s.natLocal && s.phase == established {
		env.Emit(dataplane.SendIKE{Local: s.local, Remote: s.remote, Payload: []byte{0xff}})
		env.Arm(&s.keep, keepaliveTime)
	}
}

// authentic notes that the peer lives and, after its packet has proved authentic, where it is: a NAT may have given it
// another port or address (RFC 7296 section 2.23). Who may not be behind a NAT moves by MOBIKE alone.
func (s *sa) authentic(env *core.Env, ev dataplane.ReceivedIKE) {
	s.heard = env.Now()
	if ev.Local.Port() != s.local.Port() && s.phase < established {
		s.local = ev.Local // the peer chose port 4500
	}
	if ev.Remote == s.remote {
		return
	}
	if s.phase < established || s.natRemote && !s.natLocal {
		s.follows(env, s.local, ev.Remote)
	}
}

// moveTo changes where the SA's messages go, and its peer's traffic.
func (s *sa) moveTo(env *core.Env, local, remote netip.AddrPort) {
	s.local, s.remote = local, remote
	if s.phase == established && s.peer != nil {
		s.peer.moved(env, s)
	}
}

// roamed hears that authentic ESP comes from another endpoint, RFC 7296 section 2.23.
func (p *peer) roamed(env *core.Env, _, remote netip.AddrPort) {
	s := p.newest()
	if s == nil || !s.natRemote || s.natLocal || !s.inUDP() || remote.Port() == 0 {
		return
	}
	s.follows(env, s.local, remote)
}

// follows goes to where the peer's packets come from. Another port is another mapping of the same NAT; at another address the
// peer has to answer first, for a source is easily written.
func (s *sa) follows(env *core.Env, local, remote netip.AddrPort) {
	if remote.Addr() == s.remote.Addr() {
		s.moveTo(env, local, remote)
		return
	}
	s.verify(env, local, remote)
}
