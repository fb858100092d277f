package ike

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// rule is one case of a test. Its name begins with the clause it is about, up to a colon: docs/ike.md lists them all.
type rule struct {
	name string
	test func(t *testing.T)
}

func play(t *testing.T, rules []rule) {
	for _, r := range rules {
		t.Run(r.name, r.test)
	}
}

// message is a datagram that somebody put on the wire.
type message struct {
	from   *node
	sent   dataplane.SendIKE
	header wire.Header
	at     time.Duration
}

func (m message) response() bool { return m.header.Flags&wire.Response != 0 }

// tape records every datagram of IKE from now on.
func (w *world) tape() *[]message {
	var all []message
	before := w.seen
	w.seen = func(n *node, d dataplane.SendIKE) {
		before(n, d)
		if h, err := wire.ParseHeader(d.Payload); err == nil {
			all = append(all, message{n, d, h, w.now})
		}
	}
	return &all
}

// of are the messages of an exchange.
func of(all []message, x wire.Exchange, response bool) (out []message) {
	for _, m := range all {
		if m.header.Exchange == x && m.response() == response {
			out = append(out, m)
		}
	}
	return out
}

// duo is two routers, a to begin with b.
func duo(t testing.TB, change ...func(*Profile)) (w *world, a, b *node) {
	w = newWorld(t, 7)
	return w, w.add("a", "192.0.2.1", profile(change...), 0), w.add("b", "192.0.2.2", profile(change...), 0)
}

// met is two routers that a has joined.
func met(t testing.TB, change ...func(*Profile)) (w *world, a, b *node) {
	t.Helper()
	w, a, b = duo(t, change...)
	a.ensure(b)
	w.pass(3 * time.Second)
	w.mustPass(a, b)
	return w, a, b
}

// plain takes what goes on by itself out of the way: discovery of addresses, hybrid exchanges, questions whether one lives.
func plain(p *Profile) {
	p.IKE, p.MOBIKE, p.DPD = ikes("aes256gcm-sha384-x25519"), false, 0
}

func ikes(texts ...string) (ps []suite.Policy) { return policies(suite.ParseIKEPolicy, texts) }
func esps(texts ...string) (ps []suite.Policy) { return policies(suite.ParseChildPolicy, texts) }

func policies(parse func(string) (suite.Policy, error), texts []string) (ps []suite.Policy) {
	for _, text := range texts {
		p, err := parse(text)
		if err != nil {
			panic(err)
		}
		ps = append(ps, p)
	}
	return ps
}

// ike is the router's one SA that is neither closed nor another's past.
func (n *node) ike() *sa {
	n.w.t.Helper()
	var found []*sa
	for _, s := range n.module.sortedSAs() {
		if !s.over && s.phase < closing {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		n.w.t.Fatalf("%s has %d IKE SAs\n%s", n.name, len(found), strings.Join(n.logs, "\n"))
	}
	return found[0]
}

func (n *node) child() *child {
	n.w.t.Helper()
	s := n.ike()
	if len(s.children) != 1 {
		n.w.t.Fatalf("%s has %d children", n.name, len(s.children))
	}
	return s.children[0]
}

// idle reports whether nothing of anybody is left, in the module and in the data plane.
func (n *node) idle() bool {
	m := n.module
	return len(m.sas)+len(m.begun)+len(m.peers)+len(m.at)+len(m.children)+len(n.in)+len(n.out) == 0 && m.working == 0 &&
		int(m.spis.next) == len(m.spis.free) && int(m.handles.next) == len(m.handles.free)
}

func (n *node) counted(what string) uint64 { return n.module.counters[what] }

// inject has a datagram arrive at n, and gives what n sends at once.
func (n *node) inject(from netip.AddrPort, to uint16, payload []byte) []message {
	all := n.w.tape()
	n.post(dataplane.ReceivedIKE{Local: netip.AddrPortFrom(n.addr, to), Remote: from, Payload: slices.Clone(payload)})
	n.run()
	var out []message
	for _, m := range *all {
		if m.from == n {
			out = append(out, m)
		}
	}
	return out
}

// twin is the other end of an SA: the peer's where it is one of ours, else one that has nothing but its keys.
func (s *sa) twin(w *world) *sa {
	for _, n := range w.nodes {
		if o := n.module.sas[s.peerSPI]; o != nil && o != s && o.peerSPI == s.spi {
			return o
		}
	}
	o := &sa{m: New(rand.Reader), profile: s.profile, initiator: !s.initiator, spi: s.peerSPI, peerSPI: s.spi, suite: s.suite}
	o.keys, o.nextID, o.expect, o.ivs, o.fragments = s.keys.Clone(), s.expect, s.nextID, 1<<40, s.fragments
	o.local, o.remote, o.phase = s.remote, s.local, s.phase
	if b := s.boot; b != nil {
		o.boot = &boot{nonce: b.peerNonce, peerNonce: b.nonce, request: b.request, response: b.response, intI: b.intI, intR: b.intR, authID: s.expect}
	}
	return o
}

// proof is what an initiator proves itself with: who it is, AUTH by a pre-shared key, and its wish for a child.
func (s *sa) proofBy(secret, id string) wire.Payloads {
	i, err := auth.ParseIdentity(id)
	if err != nil {
		panic(err)
	}
	claim := &wire.ID{Initiator: true, IDType: i.Kind, Data: []byte(i.Data)}
	p := wire.Payloads{
		claim, &wire.Auth{Method: methodPSK, Data: auth.PSKAuth(s.suite.PRF, []byte(secret), s.signed(true, claim))},
	}
	return append(p, s.offerChild(0x0badcafe, false, 0, nil)...)
}

const rightPSK = "correct horse battery staple"

// open is a responder whose initiator, by hand, has done IKE_SA_INIT and nothing more.
func halfOpen(t *testing.T, n *node, s *stranger) *sa {
	t.Helper()
	s.knock(n, s.hello())
	o := n.module.begun[beginning{s.from, s.spi}]
	if o == nil || o.phase != authenticating {
		t.Fatalf("there is no half-open SA: %v", n.logs)
	}
	return o
}

// rawAsk is ask with payloads as octets.
func (n *node) rawAsk(s *sa, x wire.Exchange, first wire.PayloadType, plain []byte) (wire.Payloads, bool) {
	peer := s.twin(n.w)
	id := peer.nextID
	peer.nextID++
	c := peer.cipher(true)
	b := peer.sealOne(c, peer.header(x, id, false, wire.TypeEncrypted), first, nil, plain)
	peer.ivs = c.Sent()
	for _, m := range n.deliver(s, [][]byte{b}) {
		if m.response() && m.header.MessageID == id {
			return peer.read(n.w.t, m.sent.Payload), true
		}
	}
	return nil, false
}

// ask sends n a request that its peer could have sent next, with the right keys, and reads the answer.
func (n *node) ask(s *sa, x wire.Exchange, p ...wire.Payload) wire.Payloads {
	n.w.t.Helper()
	answer, ok := n.tryAsk(s, x, p...)
	if !ok {
		n.w.t.Fatalf("%s does not answer %s %v", n.name, x, p)
	}
	return answer
}

func (n *node) tryAsk(s *sa, x wire.Exchange, p ...wire.Payload) (wire.Payloads, bool) {
	peer := s.twin(n.w)
	id := peer.nextID
	peer.nextID++
	for _, m := range n.deliver(s, peer.seal(x, id, false, p, peer.room())) {
		if m.response() && m.header.MessageID == id && m.header.Exchange == x {
			return peer.read(n.w.t, m.sent.Payload), true
		}
	}
	return nil, false
}

// deliver has datagrams of the SA's peer arrive.
func (n *node) deliver(s *sa, datagrams [][]byte) (out []message) {
	for _, d := range datagrams {
		out = append(out, n.inject(s.remote, s.local.Port(), d)...)
	}
	return out
}

// read decrypts a message to s that is whole.
func (s *sa) read(t testing.TB, b []byte) wire.Payloads {
	t.Helper()
	h, err := wire.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := wire.ParsePayloads(h.Next, b[wire.HeaderLen:])
	e := wire.Get[*wire.Encrypted](outer)
	if err != nil || e == nil {
		t.Fatalf("%v has no encrypted payload: %v", outer, err)
	}
	plain, err := s.cipher(false).Open(nil, b[:e.Offset], e.Body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := wire.ParseInner(e.Inner, plain)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kinds are the notifies of a message.
func kinds(p wire.Payloads) (out []wire.NotifyType) {
	for _, n := range p.Notifies() {
		out = append(out, n.Kind)
	}
	return out
}

func wantKinds(t *testing.T, p wire.Payloads, want ...wire.NotifyType) {
	t.Helper()
	if got := kinds(p); !slices.Equal(got, want) {
		t.Errorf("the answer has %v, want %v", got, want)
	}
}

// stranger is somebody who begins by hand.
type stranger struct {
	from    netip.AddrPort
	spi     uint64
	nonce   []byte
	group   suite.Group
	public  []byte
	profile *Profile
}

func newStranger(n int) *stranger {
	s := &stranger{
		from: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}), 500), spi: 0x1000 + uint64(n),
		nonce: bytes.Repeat([]byte{byte(n), 7}, 16), group: suite.X25519, profile: profile(plain),
	}
	_, s.public, _ = s.group.Initiate(rand.Reader)
	return s
}

// hello are the payloads of its first message.
func (s *stranger) hello(more ...wire.Payload) wire.Payloads {
	return append(wire.Payloads{
		suite.OfferIKE(s.profile.IKE, nil), &wire.KE{Group: uint16(s.group), Data: s.public}, &wire.Nonce{Data: s.nonce},
	}, more...)
}

func (s *stranger) header() wire.Header {
	return wire.Header{SPIi: s.spi, Exchange: wire.SAInit, Flags: wire.Initiator}
}

// knock sends n a first message with these payloads.
func (s *stranger) knock(n *node, p wire.Payloads) []message {
	return n.inject(s.from, 500, wire.AppendMessage(nil, s.header(), p))
}

// clear reads a message that is not encrypted.
func (m message) clear(t testing.TB) wire.Payloads {
	t.Helper()
	p, err := wire.ParsePayloads(m.header.Next, m.sent.Payload[wire.HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// linked reports whether each of two routers lets in what the other sends, with the same keys.
func linked(a, b *node) bool { return a.reaches(b) && b.reaches(a) }

func (n *node) reaches(o *node) bool {
	for _, out := range n.out {
		if in, ok := o.in[out.spi]; ok && in.digest == out.digest {
			return true
		}
	}
	return false
}

func identity(text string) auth.Identity {
	id, err := auth.ParseIdentity(text)
	if err != nil {
		panic(err)
	}
	return id
}

func patterns(texts ...string) (out []auth.Pattern) {
	for _, text := range texts {
		p, err := auth.ParsePattern(text)
		if err != nil {
			panic(err)
		}
		out = append(out, p)
	}
	return out
}
