package ike

import (
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Requests are sent again, byte for byte, until they are answered (RFC 7296 section 2.1): half a second later, then
// after twice as long each time.
const (
	firstResend = 500 * time.Millisecond
	initTries   = 5 // 15.5 s in all
	shortTries  = 4 // 7.5 s, of a direct path that need not be
	authTries   = 6 // 31.5 s
	tries       = 5 // 15.5 s, of an established SA

	triesElsewhere = 3 // at an address that the peer may be at now; then it is asked where it was
	quickTries     = 4 // of a peer that seems to have restarted
	quickResend    = 250 * time.Millisecond
)

// task is a request of ours: what is asked, and what its answer means.
type task interface {
	// start sends the request by ask, now or when its arithmetic is done; false when it is not needed any more.
	start(env *core.Env, s *sa) bool
	// answered takes the response. In every payload it is authentic.
	answered(env *core.Env, s *sa, p wire.Payloads)
}

// dropper is a task that holds something while it is under way.
type dropper interface {
	dropped(env *core.Env, s *sa)
}

// request is the one that waits for its response.
type request struct {
	to        netip.AddrPort // where it goes, if not to where the peer is
	exchange  wire.Exchange
	id        uint32
	datagrams [][]byte
	small     [][]byte // the same in fragments that cross every path; nil: datagrams will do
	tries     int
	task      task
	sent      time.Duration
	spared    bool // its tries were over once already
	asking    bool // whether traffic has arrived since the last of them
}

// enqueue begins a task when those before it are done.
func (s *sa) enqueue(env *core.Env, t task) {
	s.queue = append(s.queue, t)
	s.next(env)
}

func (s *sa) next(env *core.Env) {
	for s.request == nil && !s.resting && len(s.queue) > 0 && s.phase != gone {
		t := s.queue[0]
		s.queue = s.queue[1:]
		s.request = &request{task: t}
		if !t.start(env, s) && s.request != nil && s.request.task == t {
			s.request = nil
		}
	}
}

// hold keeps the SA at a task whose response is there, while it computes; free goes on.
func (s *sa) hold(t task) { s.request = &request{task: t} }

func (s *sa) free(env *core.Env) {
	s.request = nil
	s.next(env)
}

// ask sends a request of the task that started.
func (s *sa) ask(env *core.Env, exchange wire.Exchange, p wire.Payloads) {
	r := s.request
	r.exchange, r.id = exchange, s.nextID
	s.nextID++
	r.datagrams = s.seal(exchange, r.id, false, p, s.room())
	s.transmit(env, r)
}

// transmit sends the request once more and waits.
func (s *sa) transmit(env *core.Env, r *request) {
	out, whole := r.datagrams, r.small != nil
	if r.tries >= 2 && r.small != nil {
		out, whole = r.small, false // RFC 7383 section 2.5.2
	}
	to := s.remote
	if r.to.IsValid() && r.tries < triesElsewhere {
		to = r.to
	}
	for _, d := range out {
		env.Emit(dataplane.SendIKE{Local: s.local, Remote: to, Payload: d, Whole: whole})
	}
	if r.tries == 0 {
		r.sent = env.Now()
	}
	wait := firstResend
	if s.quick {
		wait = quickResend
	}
	env.Arm(&s.retry, wait<<min(r.tries, 8))
	r.tries++
	s.count(env)
}

// count has the traffic of an established SA counted, so that what arrives from now on is known.
func (s *sa) count(env *core.Env) {
	if s.phase == established && s.peer != nil {
		env.Emit(dataplane.AskSA{SA: s.peer.handle})
	}
}

// spareTime is how long the data plane has for its answer about traffic.
const spareTime = 250 * time.Millisecond

// spare asks, when nobody answered in time, whether traffic has arrived since the request was sent last: then the line was cut and
// is whole again, and only its retransmissions are further apart than that took. It reports whether an answer is to be waited for.
// An end that keeps sending and never answers has as many tries again, and no more.
func (s *sa) spare(env *core.Env, r *request) bool {
	if r.spared || s.phase != established || s.peer == nil || s.peer.newest() != s {
		return false
	}
	r.spared, r.asking = true, true
	s.count(env)
	env.Arm(&s.retry, spareTime)
	return true
}

// spared sends a request again whose tries were over: traffic has arrived since (RFC 7296 section 2.4).
func (s *sa) spared(env *core.Env) {
	if r := s.request; r != nil && r.asking {
		r.tries, r.asking = 0, false
		s.m.count("spared")
		s.transmit(env, r)
	}
}

func (s *sa) tries() int {
	switch {
	case s.quick:
		return quickTries
	case s.phase >= established:
		return tries
	case s.phase > greeting:
		return authTries
	case s.boot != nil && s.boot.want != nil && !s.boot.want.urgent:
		return shortTries
	}
	return initTries
}

// again: no response in time.
func (s *sa) again(env *core.Env) {
	r := s.request
	if r == nil || r.datagrams == nil {
		return
	}
	if r.tries < s.tries() {
		s.m.count("resent")
		s.transmit(env, r)
		return
	}
	switch {
	case s.phase < established:
		s.fail(env, s.unanswered(r))
		return
	case s.phase == closing:
		s.destroy(env, "")
		return
	case s.spare(env, r):
		return
	}
	s.log(env, core.Warn, "dead", "cause", s.unanswered(r))
	s.destroy(env, s.unanswered(r))
}

func (s *sa) unanswered(r *request) string {
	return "no answer to " + r.exchange.String() + " from " + s.remote.String()
}

// send puts a datagram on the wire.
func (s *sa) send(env *core.Env, to netip.AddrPort, b []byte) {
	env.Emit(dataplane.SendIKE{Local: s.local, Remote: to, Payload: b})
}

// The headers before an IKE message, at most: IP, UDP and the non-ESP marker.
func (s *sa) outer() int {
	if s.remote.Addr().Is6() {
		return 40 + 8 + 4
	}
	return 20 + 8 + 4
}

// room is how long one datagram of IKE may be; 0 is any length.
func (s *sa) room() int {
	if !s.fragments || s.profile.FragmentSize == 0 {
		return 0
	}
	return s.profile.FragmentSize - s.outer()
}

// seal makes the datagrams of a protected message: one, or fragments where it is longer than room (RFC 7383).
func (s *sa) seal(exchange wire.Exchange, id uint32, response bool, p wire.Payloads, room int) [][]byte {
	plain := wire.AppendPayloads(nil, p)
	c := s.cipher(true)
	whole := wire.HeaderLen + genericLen + len(plain) + c.Overhead(len(plain))
	defer func() { s.ivs = c.Sent() }()
	if room == 0 || whole <= room {
		return [][]byte{s.sealOne(c, s.header(exchange, id, response, wire.TypeEncrypted), p.First(), nil, plain)}
	}
	return s.sealFragments(c, s.header(exchange, id, response, wire.TypeFragment), p.First(), plain, room)
}

const (
	genericLen  = 4 // of a payload's header
	fragmentLen = 4 // of the number and the total behind it
)

func (s *sa) sealFragments(c *suite.Cipher, h wire.Header, first wire.PayloadType, plain []byte, room int) (all [][]byte) {
	part := room - wire.HeaderLen - genericLen - fragmentLen
	for part+c.Overhead(part) > room-wire.HeaderLen-genericLen-fragmentLen {
		part--
	}
	total := (len(plain) + part - 1) / part
	for n := 1; n <= total; n++ {
		cut := plain[(n-1)*part : min(n*part, len(plain))]
		all = append(all, s.sealOne(c, h, first, []byte{byte(n >> 8), byte(n), byte(total >> 8), byte(total)}, cut))
		first = 0 // of the others, RFC 7383 section 2.5
	}
	return all
}

// sealOne makes the message of one SK or SKF payload.
func (s *sa) sealOne(c *suite.Cipher, h wire.Header, first wire.PayloadType, fragment, plain []byte) []byte {
	body := genericLen + len(fragment) + len(plain) + c.Overhead(len(plain))
	h.Length = uint32(wire.HeaderLen + body)
	b := h.Append(make([]byte, 0, h.Length))
	b = append(b, byte(first), 0, byte(body>>8), byte(body))
	b = append(b, fragment...)
	if b = c.Seal(b, b, plain, s.m.random); b == nil {
		panic("ike: a message cannot be sealed: no randomness, or 2^64 messages by one key")
	}
	return b
}

func (s *sa) header(exchange wire.Exchange, id uint32, response bool, next wire.PayloadType) wire.Header {
	h := wire.Header{Next: next, Major: 2, Exchange: exchange, MessageID: id}
	h.SPIi, h.SPIr = s.spi, s.peerSPI
	if s.initiator {
		h.Flags |= wire.Initiator
	} else {
		h.SPIi, h.SPIr = s.peerSPI, s.spi
	}
	if response {
		h.Flags |= wire.Response
	}
	return h
}

// cipher is what protects messages of ours, or the peer's. It is made anew for each: IKE says little, and tens of
// thousands of SAs need not keep their key schedules.
func (s *sa) cipher(ours bool) *suite.Cipher {
	e, a := s.keys.Er, s.keys.Ar
	if ours == s.initiator {
		e, a = s.keys.Ei, s.keys.Ai
	}
	c, err := s.suite.NewCipher(e, a)
	if err != nil {
		panic("ike: " + err.Error()) // the suite was negotiated and derived its keys itself
	}
	if ours {
		c.Resume(s.ivs)
	}
	return c
}

// encrypted takes a message of an exchange after the first.
func (s *sa) encrypted(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header) {
	fresh := h.Flags&wire.Response != 0 || h.MessageID == s.expect
	if s.keys == nil || !s.timely(h) || fresh && s.busy && h.Flags&wire.Response == 0 {
		s.m.count("untimely")
		return
	}
	if s.phase < established && ev.Remote.Addr() != s.remote.Addr() { // a port may change, by port 4500 and by NATs
		s.m.count("from-elsewhere")
		return
	}
	outer, err := wire.ParsePayloads(h.Next, ev.Payload[wire.HeaderLen:])
	if err != nil {
		s.m.count("malformed")
		return
	}
	plain, first, authentic, whole := s.open(outer, ev.Payload, h)
	if !authentic {
		s.m.count("not-authentic")
		return
	}
	s.m.handling = s
	if !whole {
		return
	}
	if fresh { // what comes a second time may be a replay, from anywhere
		s.arrived = dataplane.ReceivedIKE{Local: ev.Local, Remote: ev.Remote}
		s.authentic(env, ev)
	}
	s.message(env, ev, h, first, plain)
}

// timely reports whether a message has an ID that means something now: of the request that waits, or of the peer's
// next request or its last.
func (s *sa) timely(h wire.Header) bool {
	if h.Flags&wire.Response != 0 {
		return s.request != nil && s.request.datagrams != nil && h.MessageID == s.request.id && h.Exchange == s.request.exchange
	}
	return h.MessageID == s.expect || h.MessageID == s.expect-1 && s.reply != nil
}

// open decrypts the SK payload of a message, or the SKF payload and gives the message when its last fragment is there.
func (s *sa) open(outer wire.Payloads, b []byte, h wire.Header) (plain []byte, first wire.PayloadType, authentic, whole bool) {
	if e := wire.Get[*wire.Encrypted](outer); e != nil {
		plain, err := s.cipher(false).Open(nil, b[:e.Offset], e.Body)
		return plain, e.Inner, err == nil, err == nil
	}
	f := wire.Get[*wire.Fragment](outer)
	if f == nil || !s.fragments {
		return nil, 0, false, false
	}
	if h.Flags&wire.Response == 0 && h.MessageID != s.expect { // sent again: one fragment asks for the answer, RFC 7383 section 2.6.1
		_, err := s.cipher(false).Open(nil, b[:f.Offset], f.Body)
		return nil, f.Inner, err == nil, f.Number == 1
	}
	p := &s.partial[0]
	if h.Flags&wire.Response != 0 {
		p = &s.partial[1]
	}
	if p.id == h.MessageID && !p.parts.Wants(f.Number, f.Total) {
		return nil, 0, false, false
	}
	plain, err := s.cipher(false).Open(nil, b[:f.Offset], f.Body)
	if err != nil {
		return nil, 0, false, false
	}
	if p.id != h.MessageID {
		*p = partial{id: h.MessageID}
	}
	plain, first, whole = p.parts.Add(f.Number, f.Total, f.Inner, plain)
	if whole {
		*p = partial{id: h.MessageID}
	}
	return plain, first, true, whole
}

// message handles a whole authentic message.
func (s *sa) message(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, first wire.PayloadType, plain []byte) {
	response := h.Flags&wire.Response != 0
	if !response && h.MessageID != s.expect {
		s.repeat(env, ev.Remote)
		return
	}
	if !response && s.busy {
		return
	}
	p, err := wire.ParseInner(first, plain)
	switch {
	case response && err != nil:
		s.broken(env, "its response cannot be read: "+err.Error())
	case response:
		s.answeredBy(env, p, plain, first, h)
	case err != nil:
		s.unreadable(env, h, err)
	default:
		s.handle(env, ev, h, p, plain, first)
	}
}

// answeredBy gives a response to the task that asked.
func (s *sa) answeredBy(env *core.Env, p wire.Payloads, plain []byte, first wire.PayloadType, h wire.Header) {
	r := s.request
	env.Stop(&s.retry)
	s.request, s.quick, s.lastTries = nil, false, r.tries
	if s.boot != nil && h.Exchange == wire.Intermediate {
		s.boot.intermediate(s, h, first, plain, !s.initiator)
	}
	r.task.answered(env, s, p)
	s.next(env)
}

// unreadable answers a request that makes no sense. Its sender has our keys, so it is broken, and the SA with it
// (RFC 7296 section 2.21.3); a critical payload that we do not know is a matter of that exchange alone (2.5).
func (s *sa) unreadable(env *core.Env, h wire.Header, err error) {
	s.m.count("unreadable")
	if c, ok := err.(*wire.CriticalError); ok {
		s.answer(env, h.Exchange, wire.Payloads{&wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(c.Type)}}})
		if s.phase < established {
			s.fail(env, err.Error())
		}
		return
	}
	s.answer(env, h.Exchange, wire.Payloads{&wire.Notify{Kind: wire.InvalidSyntax}})
	s.broken(env, "its request cannot be read: "+err.Error())
}

func (s *sa) broken(env *core.Env, reason string) {
	if s.phase < established {
		s.fail(env, reason)
		return
	}
	s.log(env, core.Warn, "broken", "cause", reason)
	s.destroy(env, reason)
}

// answer responds to the request that is being handled.
func (s *sa) answer(env *core.Env, exchange wire.Exchange, p wire.Payloads) {
	if s.phase == gone {
		return
	}
	s.reply = s.seal(exchange, s.expect, true, p, s.room())
	s.expect++
	s.busy, s.repeats = false, 0
	for _, d := range s.reply {
		s.send(env, s.arrived.Remote, d)
	}
}

// maxRepeats is how often the same is answered: more than any peer asks, and nothing to amplify by.
const maxRepeats = 10

// repeat answers a request that was answered before, byte for byte. It goes where the request came from.
func (s *sa) repeat(env *core.Env, to netip.AddrPort) {
	if s.repeats++; s.repeats > maxRepeats || to.Addr() != s.remote.Addr() {
		s.m.count("answer-limited")
		return
	}
	s.m.count("answered-again")
	for _, d := range s.reply {
		s.send(env, to, d)
	}
}

// refuse answers a request with an error.
func (s *sa) refuse(env *core.Env, exchange wire.Exchange, kind wire.NotifyType) {
	s.answer(env, exchange, wire.Payloads{&wire.Notify{Kind: kind}})
}

// handle does what a request asks.
func (s *sa) handle(env *core.Env, ev dataplane.ReceivedIKE, h wire.Header, p wire.Payloads, plain []byte, first wire.PayloadType) {
	switch {
	case h.Exchange == wire.Intermediate && s.phase == mixing && !s.initiator:
		s.boot.intermediate(s, h, first, plain, !s.initiator)
		s.mix(env, p)
	case h.Exchange == wire.IKEAuth && s.phase == authenticating && !s.initiator:
		s.boot.authID = h.MessageID
		s.authRequest(env, p)
	case s.phase < established:
		s.m.count("untimely") // nothing else is heard before the peer has proved who it is
	case h.Exchange == wire.CreateChildSA:
		s.create(env, p)
	case h.Exchange == wire.FollowupKE:
		s.followed(env, p)
	case h.Exchange == wire.Informational:
		s.informed(env, ev, p)
	default:
		s.refuse(env, h.Exchange, wire.InvalidSyntax)
	}
}

// sentNotify reports the first error among the notifies of a response.
func sentError(p wire.Payloads) *wire.Notify {
	all := wire.All[*wire.Notify](p)
	if i := slices.IndexFunc(all, func(n *wire.Notify) bool { return n.Kind.IsError() }); i >= 0 {
		return all[i]
	}
	return nil
}
