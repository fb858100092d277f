package ike

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/protect"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
)

// peer is a router that proved who it is, at one place: what a handle stands for. It lives while it has an IKE SA. Two
// of them, made when both ends began at once, have one peer.
type peer struct {
	m          *Module
	handle     dataplane.SA
	profile    *Profile
	identity   auth.Identity
	local      netip.Addr
	place      netip.Addr // where it is listed
	origin     netip.Addr // where it was met
	allowed    []netip.Prefix
	from, to   netip.AddrPort // of ESP
	sas        []*sa          // oldest first
	active     *child         // what we send with
	up, served bool           // now; ever
	since      time.Duration
	counted    dataplane.Counters // when last asked
	fed        time.Duration      // when it was seen that traffic had arrived
	leaving    core.Timer         // nobody here needs the peer
	parting    bool               // the data plane is asked whether the peer needs us
	hinted     time.Duration      // somebody said that it has forgotten us
	settle     core.Timer
	mtu        int
	probing    *discovery
}

// settleTime is how long two SAs of one peer may exist before one is closed: both ends have to know both.
const (
	settleTime  = time.Second
	settleAgain = 10 * time.Second
	settleOver  = 30 * time.Second // then either end closes the one that is to go
)

// peerOf finds the peer of an SA whose far end has just proved its identity, or makes it.
func (m *Module) peerOf(env *core.Env, s *sa) *peer {
	for _, p := range m.at[s.remote.Addr()] {
		if p.local == s.local.Addr() && p.profile == s.profile && p.identity == s.identity && p.samePlace(s) {
			return p
		}
	}
	m.bound(env, s)
	p := &peer{
		m: m, handle: dataplane.SA(m.handles.handle()), profile: s.profile, identity: s.identity,
		local: s.local.Addr(), place: s.remote.Addr(), origin: s.remote.Addr(), allowed: s.profile.allowed(s.identity),
	}
	p.settle = core.Timer{Name: "settle", Of: p}
	p.leaving = core.Timer{Name: "leave", Of: p}
	m.peers[p.handle] = p
	p.list()
	return p
}

// maxNamesakes bounds how many peers of one identity an address can have: homes behind one NAT may all be 192.168.1.2.
const maxNamesakes = 64

// bound closes the oldest of many peers of one identity at one address, to make room for another.
func (m *Module) bound(env *core.Env, s *sa) {
	var same []*peer
	for _, p := range m.at[s.remote.Addr()] {
		if p.identity == s.identity && len(p.sas) > 0 {
			same = append(same, p)
		}
	}
	if len(same) >= maxNamesakes {
		for _, o := range slices.Clone(same[0].sas) {
			o.close(env, "too many peers of one identity at one address")
		}
	}
}

// samePlace reports whether an SA comes from where the peer is: behind a NAT the port tells hosts apart.
func (p *peer) samePlace(s *sa) bool {
	o := p.newest()
	return o == nil || !s.natRemote && !o.natRemote || o.remote == s.remote
}

func (p *peer) newest() *sa {
	if len(p.sas) == 0 {
		return nil
	}
	return p.sas[len(p.sas)-1]
}

// allowed are the tunnel addresses that an identity may claim; nil for any.
func (p *Profile) allowed(id auth.Identity) []netip.Prefix {
	for _, b := range p.Bindings {
		if b.Peer.Match(id) {
			return append([]netip.Prefix{}, b.Addresses...)
		}
	}
	return nil
}

// joined takes an IKE SA that was established with the peer.
func (p *peer) joined(env *core.Env, s *sa) {
	s.peer = p
	p.sas = append(p.sas, s)
	if len(p.sas) > 1 {
		env.Arm(&p.settle, settleTime)
	}
}

// leave ends what we began with a peer when nobody here needs it, once nothing has come from it for lingerTime: spokes take each
// other's way by themselves, one may still do so when the other has no use for it any more, and would lose what it sends until it has
// read our goodbye. What the peer began is the peer's.
func (p *peer) leave(env *core.Env) {
	if !p.up {
		p.part(env)
		return
	}
	env.Emit(dataplane.AskSA{SA: p.handle})
	env.Arm(&p.leaving, lingerTime)
}

const lingerTime = 5 * time.Second

// part is leave, with the answer to what it asked.
func (p *peer) part(env *core.Env) {
	p.parting = false
	if len(p.wants()) > 0 {
		return
	}
	if p.up && env.Now()-p.fed < lingerTime {
		env.Arm(&p.leaving, lingerTime)
		return
	}
	for _, s := range slices.Clone(p.sas) {
		if s.began() {
			s.close(env, "not needed any more")
		}
	}
}

// expired: it is time to have one SA again, or to leave.
func (p *peer) expired(env *core.Env, t *core.Timer) {
	if t == &p.leaving {
		p.parting = true
		env.Emit(dataplane.AskSA{SA: p.handle})
		return
	}
	for len(p.sas) > 1 {
		a, b := p.sas[len(p.sas)-2], p.sas[len(p.sas)-1]
		loser := p.redundant(env.Now(), a, b)
		if loser == nil {
			env.Arm(&p.settle, settleAgain)
			return
		}
		const reason = "another IKE SA with the peer takes its place"
		p.drain(env, loser, reason) // the peer sends by it until it has read our goodbye
		loser.close(env, reason)
	}
}

// drain has the peer's other SA take over from one that ends, and lets in what is still on its way by that. Nothing is
// to be let in when there is no other: then it is the peer that ends.
func (p *peer) drain(env *core.Env, s *sa, reason string) {
	if len(p.sas) < 2 {
		return
	}
	for _, c := range slices.Clone(s.children) {
		c.drain(env, reason)
	}
}

// redundant is which of two SAs is to go, nil when the peer is to see to it. Of two that were made at once it is the
// one made with the lowest nonce, and who began that closes it, as section 2.8.1 has it for children; an SA that is
// older than that the peer has forgotten, or it would not have begun another.
func (p *peer) redundant(now time.Duration, a, b *sa) *sa {
	if b.since-a.since > halfOpenTime/3 || b.supersedes {
		return a
	}
	loser := b
	if bytes.Compare(a.lowest, b.lowest) < 0 {
		loser = a
	}
	if !loser.began() && now-b.since < settleOver {
		return nil
	}
	return loser
}

// forgetBefore drops the SAs that a peer had before it began s and said that it knows of none. Those that were made
// while s was, when both ends began at once, stay. Only what is at the same address goes: an identity alone may be that
// of several, as private addresses are.
func (m *Module) forgetBefore(env *core.Env, s *sa, begun time.Duration) {
	for _, p := range slices.Clone(m.at[s.remote.Addr()]) {
		if p.identity != s.identity || p.local != s.local.Addr() {
			continue
		}
		for _, o := range slices.Clone(p.sas) {
			switch {
			case o == s || o.since >= begun:
			case o.natRemote && s.natRemote && o.remote.Port() != s.remote.Port(): // it, or another of that name behind the NAT
				o.doubt(env)
			default:
				o.destroy(env, "the peer began anew")
			}
		}
	}
}

// lost hears that an IKE SA of the peer is no more.
func (p *peer) lost(env *core.Env, s *sa, reason string) {
	p.sas = slices.DeleteFunc(p.sas, func(o *sa) bool { return o == s })
	if len(p.sas) == 0 {
		p.end(env, reason)
	}
}

// end forgets the peer and its handle.
func (p *peer) end(env *core.Env, reason string) {
	if p.m.peers[p.handle] != p {
		return
	}
	if !p.up { // its handle may have keys yet: those of an SA that never came to carry anything
		env.Emit(dataplane.DeleteSA{SA: p.handle})
	}
	p.down(env, reason)
	env.Stop(&p.settle)
	env.Stop(&p.leaving)
	delete(p.m.peers, p.handle)
	p.unlist()
	p.m.handles.giveBack(uint32(p.handle))
	for _, w := range p.wants() {
		w.lost(env, reason, p.served)
	}
}

// wants are those that the peer is there for: at its address and, when it has moved, at that where it was met.
func (p *peer) wants() (all []*want) {
	if w := p.m.wants[pair{p.local, p.place}]; w != nil {
		all = append(all, w)
	}
	if w := p.m.wants[pair{p.local, p.origin}]; w != nil && p.origin != p.place {
		all = append(all, w)
	}
	return all
}

func (p *peer) list() {
	p.m.at[p.place] = append(p.m.at[p.place], p)
	if p.origin != p.place {
		p.m.strayed[p.origin] = append(p.m.strayed[p.origin], p)
	}
}

func (p *peer) unlist() {
	forget(p.m.at, p.place, p)
	forget(p.m.strayed, p.origin, p)
}

func forget(lists map[netip.Addr][]*peer, at netip.Addr, p *peer) {
	list := slices.DeleteFunc(lists[at], func(o *peer) bool { return o == p })
	lists[at] = list
	if len(list) == 0 {
		delete(lists, at)
	}
}

// down tells that nothing leads to the peer any more.
func (p *peer) down(env *core.Env, reason string) {
	p.active = nil
	if !p.up {
		return
	}
	p.up = false
	p.stopProbing(env)
	env.Emit(dataplane.DeleteSA{SA: p.handle})
	env.Publish(protect.Down{SA: p.handle, Local: p.local, Remote: p.to, Reason: reason, Closed: reason == closedByPeer})
	env.Log(core.Info, "down", "peer", p.to, "identity", p.identity.String(), "cause", reason)
}

// send makes a child the one that the handle sends with. Its keys are handed over: they are never used again from the
// beginning, as that would repeat nonces.
func (p *peer) send(env *core.Env, c *child) {
	if c.outbound == nil {
		return
	}
	p.from, p.to = c.sa.endpoints()
	p.active = c
	delete(p.m.refused, p.to.Addr())
	env.Emit(dataplane.SetOutbound{
		SA: p.handle, SPI: c.peerSPI, Keys: *c.outbound, ESN: c.suite.ESN, Tunnel: c.tunnel, Local: p.from, Remote: p.to,
		Inner: c.inner, Limit: p.limit(),
	})
	c.outbound = nil
	if p.mtu > 0 {
		env.Emit(dataplane.SetPathMTU{SA: p.handle, MTU: p.mtu})
	}
	if p.up {
		return
	}
	p.up, p.served, p.since = true, true, env.Now()
	env.Publish(p.notice())
	env.Log(core.Info, "up", "peer", p.to, "identity", p.identity.String(), "suite", c.suite.String(), "mode", c.mode())
	p.startProbing(env)
	for _, w := range p.wants() {
		w.fails, w.reason, w.told = 0, "", ""
		env.Stop(&w.retry)
	}
}

// limit is what keys may protect before they are changed.
func (p *peer) limit() dataplane.Limit {
	return dataplane.Limit{Packets: p.profile.ESPPackets, Bytes: p.profile.ESPBytes}
}

func (p *peer) notice() protect.Up {
	s := p.newest()
	return protect.Up{
		SA: p.handle, Profile: p.profile.Name, Local: p.local, Remote: p.to, Identity: p.identity.String(),
		NAT: s != nil && (s.natLocal || s.natRemote), Allowed: p.allowed,
	}
}

// moved follows a change of the endpoints of one of its SAs.
func (p *peer) moved(env *core.Env, s *sa) {
	if p.newest() != s {
		return
	}
	from, to := s.endpoints()
	if from == p.from && to == p.to {
		return
	}
	env.Log(core.Info, "moved", "peer", to, "from", p.to, "identity", p.identity.String())
	p.from, p.to = from, to
	p.relist(s)
	if p.up {
		env.Emit(dataplane.MoveSA{SA: p.handle, Local: from, Remote: to})
		env.Publish(protect.Moved{SA: p.handle, Local: p.local, Remote: to})
	}
	p.startProbing(env)
}

// relist lists the peer under the address it has now.
func (p *peer) relist(s *sa) {
	p.local = s.local.Addr()
	if p.place == s.remote.Addr() {
		return
	}
	p.unlist()
	p.place = s.remote.Addr()
	p.list()
}

// lostChild finds what to send with after the active child is gone: one whose keys were never used.
func (p *peer) lostChild(env *core.Env, gone *child, reason string) {
	if p.active != gone {
		return
	}
	p.active = nil
	for _, s := range slices.Backward(p.sas) {
		for _, c := range slices.Backward(s.children) {
			if c != gone && c.outbound != nil && !c.closing {
				p.send(env, c)
				return
			}
		}
	}
	p.down(env, reason)
}

// carried hears what the handle has carried: traffic that arrives is a sign of life (section 2.4).
func (p *peer) carried(env *core.Env, c dataplane.Counters) {
	alive := c.PacketsIn != p.counted.PacketsIn
	p.counted = c
	if alive {
		p.fed = env.Now()
	}
	for _, s := range p.sas {
		if alive {
			s.heard = env.Now()
			s.spared(env)
		}
		s.question(env)
	}
	if p.parting {
		p.part(env)
	}
}
