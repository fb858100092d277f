package ike

import (
	"bytes"
	"net/netip"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// relocate tells the peer that we are at another address, RFC 4555 section 3.5.
type relocate struct{}

func (relocate) start(env *core.Env, s *sa) bool {
	s.ask(env, wire.Informational, append(s.natDetection(s.local, s.remote), &wire.Notify{Kind: wire.UpdateSAAddresses}))
	return true
}

func (relocate) answered(env *core.Env, s *sa, p wire.Payloads) {
	if n := sentError(p); n != nil {
		s.close(env, "the peer does not take our new address: "+n.Kind.Words())
		return
	}
	s.detectNAT(p, s.arrived)
	if s.peer != nil {
		s.peer.moved(env, s)
	}
	if s.natLocal {
		env.Arm(&s.keep, keepaliveTime)
	}
}

// relocated answers what a peer says of its addresses, RFC 4555 sections 3.5, 3.6 and 3.8.
func (s *sa) relocated(env *core.Env, ev dataplane.ReceivedIKE, p wire.Payloads) (out wire.Payloads) {
	if c := p.Notify(wire.Cookie2); c != nil {
		out = append(out, &wire.Notify{Kind: wire.Cookie2, Data: c.Data})
	}
	if !s.mobike {
		return out
	}
	if p.Notify(wire.UpdateSAAddresses) != nil && !s.initiator {
		s.detectNAT(p, ev)
		s.verify(env, ev.Local, ev.Remote)
		out = append(out, s.natDetection(ev.Local, ev.Remote)...)
	}
	return out
}

// verify is the return routability check, RFC 4555 section 3.7: traffic goes to another address when the peer has answered a
// question there that nobody else can answer.
type verify struct {
	local, remote netip.AddrPort
	cookie        []byte
}

const cookie2Len = 16

func (s *sa) verify(env *core.Env, local, remote netip.AddrPort) {
	if remote == s.remote && local == s.local || s.phase != established || s.verifying == remote {
		return
	}
	s.verifying = remote
	s.enqueue(env, &verify{local, remote, s.m.bytes(cookie2Len)})
}

func (t *verify) start(env *core.Env, s *sa) bool {
	if s.phase != established || s.peer == nil || s.verifying != t.remote {
		return false
	}
	s.request.to = t.remote
	s.ask(env, wire.Informational, wire.Payloads{&wire.Notify{Kind: wire.Cookie2, Data: t.cookie}})
	return true
}

func (t *verify) answered(env *core.Env, s *sa, p wire.Payloads) {
	n := p.Notify(wire.Cookie2)
	if s.verifying != t.remote || n == nil || !bytes.Equal(n.Data, t.cookie) || s.arrived.Remote != t.remote {
		s.m.count("not-there")
		s.verifying = netip.AddrPort{}
		return
	}
	s.verifying = netip.AddrPort{}
	s.moveTo(env, t.local, t.remote)
}

// localMoved follows a change of our own underlay address: who began an SA moves it, others have to be made anew.
func (m *Module) localMoved(env *core.Env, old, now netip.Addr) {
	for _, w := range m.sortedWants() {
		if w.pair.local != old {
			continue
		}
		delete(m.wants, w.pair)
		w.pair.local = now
		if m.wants[w.pair] != nil {
			env.Stop(&w.retry)
			continue
		}
		m.wants[w.pair] = w
		if w.trying != nil {
			w.trying.fail(env, "our underlay address has changed")
		}
	}
	for _, s := range m.sortedSAs() {
		if s.local.Addr() == old {
			s.follow(env, now)
		}
	}
	for _, w := range m.sortedWants() {
		if w.pair.local == now { // its SAs did not know it by this address
			w.lost(env, "our underlay address has changed", true)
		}
	}
}

func (s *sa) follow(env *core.Env, now netip.Addr) {
	if s.phase != established || s.peer == nil || !s.mobike || !s.initiator || now.Is4() != s.remote.Addr().Is4() {
		s.destroy(env, "our underlay address has changed")
		return
	}
	s.moveTo(env, netip.AddrPortFrom(now, s.local.Port()), s.remote)
	if s.request != nil && s.request.datagrams != nil {
		env.Arm(&s.retry, 0) // what waits for an answer to the old address
	}
	s.enqueue(env, &relocate{})
}
