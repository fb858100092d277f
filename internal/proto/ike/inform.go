package ike

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// farewell deletes the IKE SA, RFC 7296 section 1.4.1.
type farewell struct{}

func (farewell) start(env *core.Env, s *sa) bool {
	s.ask(env, wire.Informational, wire.Payloads{&wire.Delete{Protocol: wire.ProtocolIKE}})
	return true
}

func (farewell) answered(env *core.Env, s *sa, _ wire.Payloads) { s.destroy(env, "") }

// dismiss deletes a child. A Delete names the SPIs of what its sender receives.
type dismiss struct {
	c      *child
	reason string
}

func (t *dismiss) start(env *core.Env, s *sa) bool {
	if t.c.drained {
		return false
	}
	s.ask(env, wire.Informational, wire.Payloads{deletion(t.c.spi)})
	return true
}

// dropped: the SA ended before the answer. A child that lives on another is deleted there.
func (t *dismiss) dropped(env *core.Env, s *sa) {
	if t.c.sa != s && !t.c.drained {
		t.c.closing = false
		t.c.close(env, t.reason)
	}
}

func (t *dismiss) answered(env *core.Env, s *sa, _ wire.Payloads) {
	t.c.drain(env, t.reason)
	s.replenish(env)
}

func deletion(spis ...uint32) *wire.Delete {
	d := &wire.Delete{Protocol: wire.ProtocolESP}
	for _, spi := range spis {
		d.SPIs = append(d.SPIs, binary.BigEndian.AppendUint32(nil, spi))
	}
	return d
}

// liveness is an empty request, RFC 7296 section 2.4.
type liveness struct{}

func (liveness) start(env *core.Env, s *sa) bool {
	s.ask(env, wire.Informational, nil)
	return true
}

func (liveness) answered(*core.Env, *sa, wire.Payloads) {}

// check asks what the handle has carried, so that only a silent peer is asked whether it lives.
func (s *sa) check(env *core.Env) {
	if s.phase != established {
		return
	}
	env.Arm(&s.watch, env.Jitter(s.profile.DPD, rekeyJitter))
	if s.peer == nil {
		s.question(env)
		return
	}
	env.Emit(dataplane.AskSA{SA: s.peer.handle})
}

// question asks a peer that was silent for long whether it lives.
func (s *sa) question(env *core.Env) {
	if s.phase == established && s.profile.DPD > 0 && s.request == nil && len(s.queue) == 0 && env.Now()-s.heard >= s.profile.DPD/2 {
		s.enqueue(env, &liveness{})
	}
}

// hintTime is how often we follow word that a peer has forgotten us.
const hintTime = 10 * time.Second

// hinted hears, from whom nobody can say, that a peer does not know us any more. It may have restarted: it is asked
// whether it lives, quickly, and met anew meanwhile. Only what proves itself changes anything (section 2.4).
func (m *Module) hinted(env *core.Env, from netip.AddrPort) {
	for _, p := range slices.Clone(m.at[from.Addr()]) {
		s := p.newest()
		if s == nil || s.phase != established || s.natRemote && from.Port() != s.remote.Port() ||
			p.hinted != 0 && env.Now()-p.hinted < hintTime || !m.hints.take(env.Now()) {
			continue
		}
		p.hinted = max(env.Now(), 1)
		m.count("hints")
		s.quick = true
		if s.request == nil {
			s.enqueue(env, &liveness{})
		}
		for _, w := range p.wants() {
			if w.trying == nil {
				w.attempt(env)
				w.trying.supersedes = true
			}
		}
	}
}

// receive takes a datagram of IKE.
func (m *Module) receive(env *core.Env, ev dataplane.ReceivedIKE) {
	h, err := wire.ParseHeader(ev.Payload)
	if err != nil {
		m.badHeader(env, ev, h, err)
		return
	}
	request := h.Flags&wire.Response == 0
	if h.Exchange == wire.SAInit && request && h.SPIr == 0 && h.Flags&wire.Initiator != 0 {
		m.respond(env, ev, h)
		return
	}
	ours, theirs := h.SPIi, h.SPIr
	if h.Flags&wire.Initiator != 0 {
		ours, theirs = theirs, ours
	}
	s := m.sas[ours]
	switch {
	case h.Exchange != wire.SAInit && h.Next == wire.TypeNotify:
		m.unprotected(env, ev, h, s)
	case s == nil:
		m.stranger(env, ev, h, request)
	case s.initiator == (h.Flags&wire.Initiator != 0), s.peerSPI != 0 && s.peerSPI != theirs:
		m.count("wrong-spi")
	case h.Exchange == wire.SAInit && !request && s.initiator:
		m.initReply(env, s, ev, h)
	case h.Exchange == wire.SAInit:
		m.count("untimely")
	default:
		s.encrypted(env, ev, h)
	}
}

// badHeader counts what is no IKEv2, and answers a later version with ours (section 2.5).
func (m *Module) badHeader(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, err error) {
	var later *wire.VersionError
	if errors.As(err, &later) {
		m.count("other-version")
		if h.Flags&wire.Response != 0 {
			return // two that do not understand each other must not talk for ever
		}
		m.reply(env, ev, h, &wire.Notify{Kind: wire.InvalidMajorVersion, Data: []byte{2}})
		return
	}
	var old *wire.OldVersionError
	if errors.As(err, &old) {
		m.count("ikev1")
		return
	}
	m.count("malformed")
}

// stranger answers a request for an SA that we do not have: perhaps we restarted (section 1.5).
func (m *Module) stranger(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, request bool) {
	m.count("unknown-ike-spi")
	if request && h.SPIi != 0 && h.SPIr != 0 {
		m.reply(env, ev, h, &wire.Notify{Kind: wire.InvalidIKESPI})
	}
}

// unprotected takes a notify in clear, which proves nothing: INVALID_IKE_SPI in answer to a message of ours, or
// INVALID_SPI.
func (m *Module) unprotected(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, s *sa) {
	p, err := wire.ParsePayloads(h.Next, ev.Payload[wire.HeaderLen:])
	if err != nil {
		m.count("malformed")
		return
	}
	switch {
	case p.Notify(wire.InvalidIKESPI) != nil && s != nil && h.Flags&wire.Response != 0,
		m.sendsBy(ev.Remote.Addr(), p.Notify(wire.InvalidSPI)):
		m.hinted(env, ev.Remote)
	default:
		m.count("not-authentic")
	}
}

// sendsBy reports whether a notify INVALID_SPI names an SPI that we send to that address with: who has never seen our
// packets cannot know it.
func (m *Module) sendsBy(to netip.Addr, n *wire.Notify) bool {
	if n == nil || len(n.Data) != 4 {
		return false
	}
	return slices.ContainsFunc(m.at[to], func(p *peer) bool {
		return p.active != nil && p.active.peerSPI == binary.BigEndian.Uint32(n.Data)
	})
}

// strangeESP answers ESP of an SA that we do not have, one way and in clear, so that a peer from before our restart
// begins anew (section 1.5). With a peer that we do have it is only late.
func (m *Module) strangeESP(env *core.Env, ev dataplane.UnknownSPI) {
	m.count("unknown-esp-spi")
	for _, p := range m.at[ev.Remote.Addr()] {
		if p.up && (p.to == ev.Remote || p.to.Port() == 0) {
			return
		}
	}
	if profile, _ := m.profileAt(ev.Local.Addr()); profile == nil || !m.answers.take(env.Now()) {
		return
	}
	port := uint16(dataplane.IKEPort)
	remote := netip.AddrPortFrom(ev.Remote.Addr(), port)
	if ev.Remote.Port() != 0 {
		port, remote = dataplane.NATPort, ev.Remote
	}
	p := wire.Payloads{&wire.Notify{Kind: wire.InvalidSPI, Data: binary.BigEndian.AppendUint32(nil, ev.SPI)}}
	h := wire.Header{Next: p.First(), Major: 2, Exchange: wire.Informational, Flags: wire.Initiator}
	for _, b := range m.bytes(8) {
		h.SPIi = h.SPIi<<8 | uint64(b)
	}
	body := wire.AppendPayloads(nil, p)
	h.Length = uint32(wire.HeaderLen + len(body))
	env.Emit(dataplane.SendIKE{Local: netip.AddrPortFrom(ev.Local.Addr(), port), Remote: remote, Payload: append(h.Append(nil), body...)})
}

// informed answers INFORMATIONAL.
func (s *sa) informed(env *core.Env, ev dataplane.ReceivedIKE, p wire.Payloads) {
	var out wire.Payloads
	for _, d := range wire.All[*wire.Delete](p) {
		if d.Protocol == wire.ProtocolIKE {
			s.ended(env)
			return
		}
		if d.Protocol == wire.ProtocolESP {
			out = append(out, s.dismissed(env, d)...)
		}
	}
	if p.Notify(wire.AuthenticationFailed) != nil {
		s.answer(env, wire.Informational, nil)
		s.destroy(env, "the peer does not accept our proof (AUTHENTICATION_FAILED)")
		return
	}
	out = append(out, s.relocated(env, ev, p)...)
	s.answer(env, wire.Informational, out)
	s.replenish(env)
}

// ended answers the peer's goodbye. A rekey of ours is forgotten (section 2.25.2); one of the peer's that came through
// takes the SA's place.
func (s *sa) ended(env *core.Env) {
	s.answer(env, wire.Informational, nil)
	if s.replacement != nil {
		s.handOver(env, s.replacement)
	}
	if t := s.rekeying; t != nil {
		s.rekeying = nil
		t.next.destroy(env, "")
	}
	if s.peer != nil {
		s.log(env, core.Info, "closed", "cause", "by the peer")
		s.peer.drain(env, s, closedByPeer) // packets overtake each other
	}
	s.destroy(env, closedByPeer)
}

// closedByPeer is the one reason for an end that is no failure: a Delete of the peer's, RFC 7296 section 1.4.1.
const closedByPeer = "closed by the peer"

// dismissed ends the children that the peer deletes, and deletes their other halves (section 1.4.1). What we are
// deleting ourselves needs no answer (2.25.1).
func (s *sa) dismissed(env *core.Env, d *wire.Delete) wire.Payloads {
	var spis []uint32
	for _, b := range d.SPIs {
		if len(b) != 4 {
			continue
		}
		i := slices.IndexFunc(s.children, func(c *child) bool { return c.peerSPI == binary.BigEndian.Uint32(b) })
		if i < 0 {
			continue
		}
		c := s.children[i]
		if !c.closing {
			spis = append(spis, c.spi)
		}
		if n := c.successor; n != nil && !n.redundant && !n.drained {
			n.begin(env)
		}
		c.drain(env, closedByPeer)
	}
	if len(spis) == 0 {
		return nil
	}
	return wire.Payloads{deletion(spis...)}
}
