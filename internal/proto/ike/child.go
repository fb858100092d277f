package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// child is a pair of ESP SAs, RFC 7296 section 1.3.
type child struct {
	sa           *sa
	spi, peerSPI uint32 // of what comes in, of what goes out
	suite        suite.Child
	tunnel       bool
	inner        [2]netip.Addr
	outbound     *esp.Keys // until the handle sends with them
	lowest       []byte    // of the nonces that made it
	since        time.Duration
	rekeying     *rekeyChild // our request to replace it is on its way
	successor    *child      // that the peer made in its place
	predecessor  *child      // whose place it takes
	crossed      bool        // both ends asked for one at once, where there was none
	redundant    bool        // the peer will close it, or we do
	closing      bool        // our Delete is on its way
	drained      bool        // only what is on its way still comes in
	soft, hard   core.Timer
}

func (c *child) mode() string {
	if c.tunnel {
		return TunnelMode.String()
	}
	return Transport.String()
}

// agreement is a child that both sides want.
type agreement struct {
	suite   suite.Child
	peerSPI uint32
	tunnel  bool
	inner   [2]netip.Addr
	reply   wire.Payloads // the responder's SA, TSi and TSr and notifies, but for our SPI
	chosen  wire.Proposal
}

// offerChild asks for a child: SA, TSi, TSr and what goes with them. With KE it has keys of its own.
func (s *sa) offerChild(spi uint32, tunnel bool, group suite.Group, public []byte) wire.Payloads {
	p := wire.Payloads{suite.OfferChild(s.profile.ESP, spi, group != 0)}
	if group != 0 {
		p = append(p, &wire.KE{Group: uint16(group), Data: public})
	}
	p = append(p, s.selectors()...)
	if !tunnel {
		p = append(p, &wire.Notify{Kind: wire.UseTransportMode})
	}
	return append(p, &wire.Notify{Kind: wire.ESPTFCPaddingNotSupported})
}

// childOffer is what we asked for.
type childOffer struct {
	spi    uint32
	tunnel bool
	ni, nr []byte
	secret []byte
	group  suite.Group
	old    *child
}

// accept reads the peer's answer to our offer.
func (s *sa) accept(p wire.Payloads, o childOffer) (a agreement, err error) {
	if n := sentError(p); n != nil {
		return a, fmt.Errorf("the peer refuses: %s", n.Kind.Words())
	}
	answer := wire.Get[*wire.SA](p)
	tsi, tsr := selectorsOf(p, true), selectorsOf(p, false)
	if answer == nil {
		return a, fmt.Errorf("the peer's answer has no proposal")
	}
	if a.suite, a.peerSPI, err = suite.CheckChild(answer, s.profile.ESP, o.group != 0); err != nil {
		return a, err
	}
	if a.suite.Group != o.group && a.suite.Group != 0 {
		return a, fmt.Errorf("the peer chose the key exchange %s instead of %s", a.suite.Group, o.group)
	}
	a.tunnel = p.Notify(wire.UseTransportMode) == nil
	switch {
	case a.tunnel != o.tunnel && s.profile.Mode != AutoMode:
		return a, fmt.Errorf("the peer refuses %s mode, which profile %s wants: set its mode to auto to accept that", s.profile.Mode, s.profile.Name)
	case !covers(tsi, s.local.Addr(), s.natLocal) || !covers(tsr, s.remote.Addr(), s.natRemote):
		return a, fmt.Errorf("the peer narrows the traffic to %s: it must be GRE between the two hosts", selectorWords(tsi, tsr))
	}
	a.inner = [2]netip.Addr{tsi[0].Start, tsr[0].Start}
	return a, nil
}

func selectorsOf(p wire.Payloads, initiator bool) []wire.Selector {
	for _, ts := range wire.All[*wire.TS](p) {
		if ts.Initiator == initiator {
			return ts.Selectors
		}
	}
	return nil
}

func selectorWords(tsi, tsr []wire.Selector) string { return fmt.Sprintf("%v to %v", tsi, tsr) }

// takeChild installs the child that the peer granted with IKE_AUTH, or says why there is none.
func (s *sa) takeChild(env *core.Env, p wire.Payloads, o childOffer) {
	a, err := s.accept(p, o)
	if err != nil {
		s.m.spis.giveBack(o.spi)
		s.childless(env, err.Error())
		return
	}
	s.makeChild(env, a, o, true).begin(env)
}

// childless ends an SA that got no child: there is nothing it could protect. Whoever wants the peer tries again.
func (s *sa) childless(env *core.Env, reason string) {
	w := s.m.wants[pair{s.local.Addr(), s.remote.Addr()}]
	if w == nil {
		s.close(env, reason)
		s.m.turnAway(env, s, reason)
		return
	}
	s.close(env, reason)
	s.log(env, core.Warn, "no-child", "cause", reason)
	w.failed(env, s, reason)
}

// makeChild derives keys and lets the peer's packets in.
func (s *sa) makeChild(env *core.Env, a agreement, o childOffer, began bool) *child {
	if a.suite.Group == 0 {
		clear(o.secret)
		o.secret = nil // the peer wants no key exchange of the child's own, RFC 7296 section 1.3.1
	}
	fromInitiator, fromResponder := suite.ChildKeys(s.suite, s.keys.D, a.suite, o.secret, o.ni, o.nr)
	clear(o.secret)
	in, out := fromInitiator, fromResponder
	if began {
		in, out = fromResponder, fromInitiator
	}
	c := &child{
		sa: s, spi: o.spi, peerSPI: a.peerSPI, suite: a.suite, tunnel: a.tunnel, inner: a.inner, outbound: &out,
		lowest: slices.Clone(lower(o.ni, o.nr)), since: env.Now(),
	}
	c.soft = core.Timer{Name: "rekey child", Of: c}
	c.hard = core.Timer{Name: "end of child", Of: c}
	s.children = append(s.children, c)
	s.m.children[c.spi] = c
	s.exportESP(c.spi, a.suite, in)
	s.exportESP(c.peerSPI, a.suite, out)
	env.Emit(dataplane.SetInbound{
		SA: s.peer.handle, SPI: c.spi, Keys: in, ESN: a.suite.ESN, Tunnel: a.tunnel, Limit: s.peer.limit(),
	})
	life := s.profile.ESPLifetime
	env.Arm(&c.soft, env.Jitter(life, rekeyJitter))
	env.Arm(&c.hard, life+hardMargin(life))
	s.m.count("children")
	return c
}

// begin sends by the child, if nothing else serves, or what does is said to be forgotten by the peer.
func (c *child) begin(env *core.Env) {
	p := c.sa.peer
	switch {
	case p == nil:
	case p.active == nil || p.active == c.predecessor:
		p.send(env, c)
	case c.sa.supersedes:
		p.send(env, c)
		anew := p.notice()
		anew.Anew = true
		env.Publish(anew)
	}
}

// opened hears of the first packet by the child: the peer has it, and sends by it.
func (c *child) opened(env *core.Env) {
	if c.predecessor != nil && !c.redundant {
		c.begin(env)
	}
}

// expired implements owner.
func (c *child) expired(env *core.Env, t *core.Timer) {
	switch {
	case c.drained:
		c.forget(env)
	case t == &c.soft && c.spare():
		c.retire(env)
	case t == &c.soft:
		c.rekey(env)
	default:
		c.close(env, "its lifetime is over and it could not be rekeyed")
	}
}

// close deletes the child at both ends, RFC 7296 section 1.4.1.
func (c *child) close(env *core.Env, reason string) {
	if c.closing || c.drained {
		return
	}
	c.closing = true
	c.sa.enqueue(env, &dismiss{c, reason})
}

// drainTime is how long the peer's packets that are on their way are still let in.
const drainTime = 5 * time.Second

// drain ends a child, but for what is on its way to us.
func (c *child) drain(env *core.Env, reason string) {
	if c.drained {
		return
	}
	c.drained = true
	env.Stop(&c.soft)
	env.Arm(&c.hard, drainTime)
	c.leave()
	if p := c.sa.peer; p != nil {
		p.lostChild(env, c, reason)
	}
}

// leave takes the child out of its SA.
func (c *child) leave() {
	c.sa.children = slices.DeleteFunc(c.sa.children, func(o *child) bool { return o == c })
	if c.outbound != nil {
		clear(c.outbound.Encryption)
		clear(c.outbound.Integrity)
		c.outbound = nil
	}
	if c.successor != nil && c.successor.predecessor == c {
		c.successor.predecessor = nil
	}
}

// forget lets nothing in any more.
func (c *child) forget(env *core.Env) {
	env.Stop(&c.soft)
	env.Stop(&c.hard)
	if c.sa.m.children[c.spi] == c {
		delete(c.sa.m.children, c.spi)
		c.sa.m.spis.giveBack(c.spi)
		env.Emit(dataplane.DeleteInbound{SPI: c.spi})
	}
}

// endChildren ends all children of an SA at once: it has gone, and they with it.
func (s *sa) endChildren(env *core.Env, reason string) {
	for _, c := range slices.Clone(s.children) {
		c.leave()
		c.drained = true
		c.forget(env)
		if s.peer != nil {
			s.peer.lostChild(env, c, reason)
		}
	}
}

// agree reads an initiator's wish for a child, and chooses. The notify is why not.
func (s *sa) agree(p wire.Payloads, withKE bool, guess suite.Group) (a agreement, refusal *wire.Notify) {
	offer := wire.Get[*wire.SA](p)
	tsi, tsr := selectorsOf(p, true), selectorsOf(p, false)
	if offer == nil || tsi == nil || tsr == nil {
		return a, &wire.Notify{Kind: wire.InvalidSyntax}
	}
	var err error
	if a.suite, a.peerSPI, a.chosen, err = suite.ChooseChild(offer, s.profile.ESP, withKE, guess); err != nil {
		return a, &wire.Notify{Kind: wire.NoProposalChosen}
	}
	theirs, ok := narrow(tsi, s.remote.Addr(), s.natRemote)
	ours, ok2 := narrow(tsr, s.local.Addr(), s.natLocal)
	if !ok || !ok2 {
		return a, &wire.Notify{Kind: wire.TSUnacceptable}
	}
	transport := p.Notify(wire.UseTransportMode) != nil
	a.tunnel = !transport || s.profile.Mode == TunnelMode
	if a.tunnel && s.profile.Mode == Transport {
		return a, &wire.Notify{Kind: wire.NoProposalChosen}
	}
	a.inner = [2]netip.Addr{ours.Start, theirs.Start}
	a.reply = wire.Payloads{
		&wire.TS{Initiator: true, Selectors: []wire.Selector{theirs}}, &wire.TS{Selectors: []wire.Selector{ours}},
		&wire.Notify{Kind: wire.ESPTFCPaddingNotSupported},
	}
	if !a.tunnel {
		a.reply = append(a.reply, &wire.Notify{Kind: wire.UseTransportMode})
	}
	return a, nil
}

// granted is a child that was made for an initiator, and the answer to it.
type granted struct {
	child    *child
	payloads wire.Payloads
}

// grantChild makes the child that was agreed on for an initiator. The nonce and our half of a key exchange go into the
// answer where there are any: not in IKE_AUTH.
func (s *sa) grantChild(env *core.Env, a agreement, o childOffer, ke *wire.KE, nonce *wire.Nonce) (granted, *wire.Notify) {
	if o.spi = s.m.newChildSPI(); o.spi == 0 {
		return granted{}, &wire.Notify{Kind: wire.NoAdditionalSAs}
	}
	a.chosen.SPI = binary.BigEndian.AppendUint32(nil, o.spi)
	out := wire.Payloads{&wire.SA{Proposals: []wire.Proposal{a.chosen}}}
	if nonce != nil {
		out = append(out, nonce)
	}
	if ke != nil {
		out = append(out, ke)
	}
	c := s.makeChild(env, a, o, false)
	return granted{c, append(out, a.reply...)}, nil
}
