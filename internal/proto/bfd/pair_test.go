package bfd

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/liveness"
)

const ms = time.Millisecond

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
)

// world is two engines and what is between them, on a virtual clock.
type world struct {
	t       *testing.T
	now     time.Duration
	chance  *rand.Rand
	ends    [2]*end
	flights flights

	loss   float64
	delay  time.Duration
	jitter time.Duration // on top of delay
	cut    [2]bool       // what end i sends is lost
}

type end struct {
	*Engine
	spec   Spec
	last   Report
	falls  int           // times the status became Down
	fell   time.Duration // when it last did
	fellBy Diagnostic
	status liveness.Status
	sent   []sentPacket
	keep   bool // sent
}

type sentPacket struct {
	at time.Duration
	Packet
}

type flight struct {
	at   time.Duration
	to   int
	from Spec
	b    [PacketLen]byte
}

type flights []flight

func (f flights) Len() int           { return len(f) }
func (f flights) Less(i, j int) bool { return f[i].at < f[j].at }
func (f flights) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)        { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	old := *f
	x := old[len(old)-1]
	*f = old[:len(old)-1]
	return x
}

// newWorld has a session of these parameters at both ends.
func newWorld(t *testing.T, seed uint64, interval time.Duration, multiplier uint8) *world {
	w := &world{t: t, chance: rand.New(rand.NewPCG(seed, 3)), delay: ms / 2, now: time.Hour}
	for i, a := range [2]netip.Addr{addrA, addrB} {
		w.ends[i] = &end{Engine: NewEngine(rand.New(rand.NewPCG(seed, uint64(i)))), spec: Spec{
			ID: uint32(100 + i), Local: a, Peer: [2]netip.Addr{addrB, addrA}[i], Index: 5, Port: FirstPort,
			Interval: interval, Multiplier: multiplier, MinTTL: defaultMinTTL,
		}}
	}
	return w
}

func (w *world) a() *end { return w.ends[0] }
func (w *world) b() *end { return w.ends[1] }

func (w *world) start() *world {
	for i, e := range w.ends {
		e.Set(w.now, e.spec)
		w.collect(i)
	}
	return w
}

func (w *world) collect(i int) {
	e := w.ends[i]
	for _, s := range e.Sends() {
		p, err := Parse(s.Payload[:])
		if err != nil {
			w.t.Fatalf("end %d sent what it would not accept: %v", i, err)
		}
		if e.keep {
			e.sent = append(e.sent, sentPacket{w.now, p})
		}
		if w.cut[i] || w.chance.Float64() < w.loss {
			continue
		}
		at := w.now + w.delay + time.Duration(w.chance.Float64()*float64(w.jitter))
		heap.Push(&w.flights, flight{at, 1 - i, *s.Spec, s.Payload})
	}
	for _, r := range e.Reports(10) {
		if e.last = r; r.Status != e.status {
			if e.status = r.Status; r.Status == liveness.Down {
				e.falls++
				e.fell, e.fellBy = w.now, r.Diagnostic
			}
		}
	}
}

// step does what is next, if that is before the limit.
func (w *world) step(limit time.Duration) bool {
	at, who := limit+1, -1
	for i, e := range w.ends {
		if next, ok := e.Next(); ok && next < at {
			at, who = next, i
		}
	}
	if len(w.flights) > 0 && w.flights[0].at <= at {
		f := heap.Pop(&w.flights).(flight)
		w.now = max(w.now, f.at)
		w.ends[f.to].Receive(w.now, Received{Peer: f.from.Local, Local: f.from.Peer, Index: w.ends[f.to].spec.Index, TTL: TTL,
			Multihop: f.from.Multihop, Payload: f.b[:]})
		w.collect(f.to)
		return true
	}
	if who < 0 {
		return false
	}
	w.now = max(w.now, at)
	w.ends[who].Expire(w.now)
	w.collect(who)
	return true
}

func (w *world) run(d time.Duration) {
	limit := w.now + d
	for w.step(limit) {
	}
	w.now = limit
}

func (w *world) mustBe(i int, state State, status liveness.Status) {
	w.t.Helper()
	if e := w.ends[i]; e.last.State != state || e.status != status {
		w.t.Fatalf("end %d is %v and %v at %v, want %v and %v; last report %+v", i, e.last.State, e.status, w.now, state, status, e.last)
	}
}

// up runs until both ends are up and agree on the intervals.
func (w *world) up() *world {
	w.t.Helper()
	w.run(5 * time.Second)
	w.mustBe(0, Up, liveness.Up)
	w.mustBe(1, Up, liveness.Up)
	return w
}

func TestSessionsComeUpAndNegotiate(t *testing.T) {
	for _, tt := range []struct {
		clause           string
		a, b             time.Duration
		multA, multB     uint8
		wantTx           time.Duration
		detectA, detectB time.Duration
	}{
		{"6.8.2: equal intervals", 50 * ms, 50 * ms, 3, 3, 50 * ms, 150 * ms, 150 * ms},
		{"6.8.2: the slower end sets the interval", 50 * ms, 300 * ms, 3, 3, 300 * ms, 900 * ms, 900 * ms},
		{"6.8.4: the peer's multiplier counts", 100 * ms, 100 * ms, 3, 5, 100 * ms, 500 * ms, 300 * ms},
		{"6.8.3: slower than one second", 2 * time.Second, 50 * ms, 3, 2, 2 * time.Second, 4 * time.Second, 6 * time.Second},
	} {
		w := newWorld(t, 1, tt.a, tt.multA)
		w.b().spec.Interval, w.b().spec.Multiplier = tt.b, tt.multB
		w.start().run(20 * time.Second)
		w.mustBe(0, Up, liveness.Up)
		w.mustBe(1, Up, liveness.Up)
		for i, want := range [2]time.Duration{tt.detectA, tt.detectB} {
			if r := w.ends[i].last; r.Transmit != tt.wantTx || r.Detection != want {
				t.Errorf("%s: end %d sends each %v and waits %v, want %v and %v", tt.clause, i, r.Transmit, r.Detection, tt.wantTx, want)
			}
		}
	}
}

// A peer that is there already is found in less than two of its slow intervals.
func TestSlowUntilUp(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3)
	w.a().keep, w.cut = true, [2]bool{true, true}
	w.start().run(20 * time.Second)
	if n := len(w.a().sent); n < 20 || n > 28 {
		t.Errorf("RFC 5880 section 6.8.3: %d packets in 20 s to a peer that is not there", n)
	}
	for _, p := range w.a().sent {
		if p.DesiredTx < time.Second || p.RequiredRx != 50*ms {
			t.Fatalf("section 6.8.3: announced %v and %v while down", p.DesiredTx, p.RequiredRx)
		}
	}
}

func TestJitter(t *testing.T) {
	for _, tt := range []struct {
		clause     string
		multiplier uint8
		least      time.Duration
		most       time.Duration
	}{
		{"6.8.7: between 75 and 100 %", 3, 75 * ms, 100 * ms},
		{"6.8.7: between 75 and 90 % with a multiplier of 1", 1, 75 * ms, 90 * ms},
	} {
		w := newWorld(t, 1, 100*ms, tt.multiplier)
		w.delay = 0
		w.start().up()
		w.a().keep = true
		w.run(time.Minute)
		var sum time.Duration
		for i := 1; i < len(w.a().sent); i++ {
			gap := w.a().sent[i].at - w.a().sent[i-1].at
			if sum += gap; gap < tt.least || gap > tt.most {
				t.Fatalf("%s: %v between two packets", tt.clause, gap)
			}
		}
		mean := sum / time.Duration(len(w.a().sent)-1)
		if middle := (tt.least + tt.most) / 2; (mean - middle).Abs() > ms {
			t.Errorf("%s: %v on average, want %v", tt.clause, mean, middle)
		}
	}
}

// What fails is told by both ends within their detection times, and not before two packets were missing.
func TestDetection(t *testing.T) {
	for _, interval := range []time.Duration{10 * ms, 50 * ms, 300 * ms} {
		for seed := range uint64(50) {
			w := newWorld(t, seed, interval, 3).start().up()
			w.jitter = interval / 50
			w.run(time.Duration(seed) * 7 * ms)
			at := w.now
			w.cut = [2]bool{true, true}
			w.run(4 * interval)
			for i, e := range w.ends {
				if took := e.fell - at; e.falls != 1 || took > 3*interval+w.delay+w.jitter || took < 2*interval-w.delay-w.jitter {
					t.Fatalf("seed %d, %v: end %d told of %d failures, after %v", seed, interval, i, e.falls, took)
				}
				if e.last.Diagnostic != DetectionExpired || e.last.Remote.Discriminator != 0 {
					t.Fatalf("section 6.8.4: end %d is left with %v", i, e.last)
				}
			}
			w.cut = [2]bool{}
			w.up()
		}
	}
}

// A path that works in one direction only is down: the deaf end says so.
func TestOneWay(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	w.cut[0] = true
	w.run(170 * ms)
	w.mustBe(0, Down, liveness.Down)
	w.mustBe(1, Down, liveness.Down)
	if d := w.a().last; d.Diagnostic != NeighborDown || d.Remote.Diagnostic != DetectionExpired {
		t.Errorf("section 6.8.6: the end that is not heard knows %v, %v", d.Diagnostic, d.Remote.Diagnostic)
	}
	w.run(time.Minute)
	w.mustBe(0, Init, liveness.Down)
	w.cut[0] = false
	w.up()
}

// An hour with 2 % jitter of the path and no loss: not one false alarm, whatever the interval.
func TestAnHourWithoutFalseAlarm(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		hours    time.Duration
	}{{10 * ms, 1}, {50 * ms, 1}, {300 * ms, 4}} {
		w := newWorld(t, 7, tt.interval, 3)
		w.delay, w.jitter = 5*ms, tt.interval/50
		w.start().up()
		w.run(tt.hours * time.Hour)
		if w.a().falls+w.b().falls > 0 {
			t.Errorf("%v: %d and %d false alarms", tt.interval, w.a().falls, w.b().falls)
		}
	}
}

// With loss sessions fail and come back; whatever the chance, both ends end up together.
func TestLossAndDelay(t *testing.T) {
	for seed := range uint64(200) {
		w := newWorld(t, seed, 50*ms, 3)
		w.loss, w.delay, w.jitter = float64(seed%8)/10, time.Duration(seed%5)*20*ms, time.Duration(seed%3)*30*ms
		w.start().run(time.Minute)
		w.loss, w.jitter = 0, 0
		w.run(holdLongest + 10*time.Second) // it may have flapped
		w.mustBe(0, Up, liveness.Up)
		w.mustBe(1, Up, liveness.Up)
		falls := w.a().falls + w.b().falls
		w.run(10 * time.Second)
		if w.a().falls+w.b().falls != falls {
			t.Fatalf("seed %d: failed on a path without loss", seed)
		}
	}
}

func TestAdminDownIsNoFailure(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	w.a().keep = true
	w.a().Delete(w.now, w.a().spec.ID)
	w.collect(0)
	w.run(100 * ms)
	w.mustBe(1, Down, liveness.AdminDown)
	w.run(time.Minute)
	w.mustBe(1, Down, liveness.AdminDown)
	if w.b().falls > 0 {
		t.Error("RFC 5882 section 3.2: told as a failure")
	}
	if n := len(w.a().sent); n < 2 || n > 5 || w.a().Sessions() != 0 {
		t.Errorf("section 6.8.16: %d goodbyes, %d sessions left", n, w.a().Sessions())
	}
	for _, p := range w.a().sent {
		if p.State != AdminDown || p.Diagnostic != Disabled {
			t.Errorf("section 6.8.16: sent %v, %v", p.State, p.Diagnostic)
		}
	}
	w.a().spec.ID = 333
	w.a().Set(w.now, w.a().spec)
	w.up()
}

// A peer that wants to hear nothing at all must not keep an ended session for ever.
func TestEndedSessionsGo(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	p := Packet{State: Up, Multiplier: 3, Mine: w.b().spec.ID, Yours: w.a().spec.ID, DesiredTx: time.Second}
	w.a().Receive(w.now, Received{Peer: addrB, Local: addrA, Index: 5, TTL: TTL, Payload: p.Append(nil)})
	w.collect(0)
	w.cut[1] = true
	w.a().Delete(w.now, w.a().spec.ID)
	w.run(farewell)
	if n := w.a().Sessions(); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

func TestHaltTellsPathDown(t *testing.T) {
	w := newWorld(t, 1, 300*ms, 3).start().up()
	w.a().Halt(w.now)
	w.collect(0)
	w.run(w.delay)
	w.mustBe(1, Down, liveness.Down)
	if d := w.b().last.Remote.Diagnostic; d != PathDown {
		t.Errorf("section 6.8.17: the peer hears %v", d)
	}
	w.run(2 * time.Second)
	if w.b().last.State == Up {
		t.Error("it came up again with a router that ends")
	}
}

// Section 6.1: a passive end says nothing before the other does; two of them never meet.
func TestPassive(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3)
	w.a().spec.Passive, w.b().spec.Passive = true, true
	w.a().keep, w.b().keep = true, true
	w.start().run(time.Minute)
	if n := len(w.a().sent) + len(w.b().sent); n != 0 {
		t.Fatalf("two passive ends sent %d packets", n)
	}
	w.b().spec.Passive = false
	w.b().Set(w.now, w.b().spec)
	w.collect(1)
	w.up()
	w.cut[1] = true
	w.run(time.Second)
	w.mustBe(0, Down, liveness.Down)
	w.a().sent = nil
	w.run(time.Minute)
	if n := len(w.a().sent); n != 0 {
		t.Errorf("%d packets into the silence", n)
	}
	w.cut[1] = false
	w.up()
}

// Sections 6.5 and 6.8.3: intervals change while a session is up, both ways, without a fall.
func TestIntervalsChangeByPoll(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	for _, interval := range []time.Duration{300 * ms, 10 * ms, time.Second, 20 * ms} {
		w.a().keep, w.a().sent = true, nil
		w.a().spec.Interval = interval
		w.a().Set(w.now, w.a().spec)
		w.collect(0)
		w.run(5 * time.Second)
		want := max(interval, 50*ms)
		for i, e := range w.ends {
			if e.falls > 0 || e.last.Transmit != want || e.last.Detection != 3*want {
				t.Fatalf("to %v: end %d fell %d times, sends each %v and waits %v", interval, i, e.falls, e.last.Transmit, e.last.Detection)
			}
		}
		if !w.a().sent[0].Poll || w.a().sent[len(w.a().sent)-1].Poll {
			t.Errorf("to %v: the Poll Sequence did not begin at once, or did not end", interval)
		}
	}
}

// Section 6.8.3: until the peer has answered the poll, an interval that became longer is not used.
func TestOldIntervalsUntilFinal(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	w.cut[1] = true // no Final comes
	w.a().spec.Interval = 300 * ms
	w.a().Set(w.now, w.a().spec)
	w.collect(0)
	if got := w.a().last.Transmit; got != 50*ms {
		t.Errorf("sends each %v before the peer knows", got)
	}
	w = newWorld(t, 1, 300*ms, 3).start().up()
	w.cut[1] = true
	w.a().spec.Interval = 50 * ms
	w.a().Set(w.now, w.a().spec)
	w.run(700 * ms)
	w.mustBe(0, Up, liveness.Up) // the detection time is still that of 300 ms
	w.run(250 * ms)
	w.mustBe(0, Down, liveness.Down)
}

// Section 6.6: in demand mode the other end is silent while it works, and a failure is found by asking.
func TestDemand(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3)
	w.a().spec.Demand = 10 * time.Second
	w.start().up()
	w.a().keep, w.b().keep = true, true
	w.run(time.Minute)
	if n := len(w.b().sent); n < 5 || n > 15 {
		t.Errorf("section 6.6: the other end sent %d packets in a minute, want the answers to six polls", n)
	}
	for _, p := range w.a().sent {
		if !p.Demand {
			t.Fatal("section 6.8.7: the D bit is missing")
		}
	}
	if w.a().falls+w.b().falls > 0 {
		t.Fatal("fell for silence that was asked for")
	}
	at := w.now
	w.cut = [2]bool{true, true}
	w.run(11 * time.Second)
	w.mustBe(0, Down, liveness.Down)
	if took := w.a().fell - at; took > 10*time.Second+200*ms {
		t.Errorf("section 6.8.4: found after %v", took)
	}
	w.cut = [2]bool{}
	w.up()
	w.a().spec.Demand = 0 // and back to asynchronous mode
	w.a().Set(w.now, w.a().spec)
	w.b().sent = nil
	w.run(time.Second)
	if n := len(w.b().sent); n < 15 || w.a().falls > 1 {
		t.Errorf("section 6.6: %d packets in a second after demand mode ended", n)
	}
}

func TestBothInDemandMode(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3)
	w.a().spec.Demand, w.b().spec.Demand = 5*time.Second, 7*time.Second
	w.start().up()
	w.a().keep = true
	w.run(time.Minute)
	if n := len(w.a().sent); n > 60 || w.a().falls+w.b().falls > 0 {
		t.Errorf("%d packets in a minute, %d falls", n, w.a().falls+w.b().falls)
	}
}

// A peer that began anew has another discriminator and says Down: the path was broken, and works again.
func TestPeerRestarts(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	w.b().Reset()
	w.b().status, w.b().spec.ID = liveness.Unknown, 999
	w.b().Set(w.now, w.b().spec)
	w.collect(1)
	w.run(60 * ms)
	if w.a().falls != 1 || w.a().fellBy != NeighborDown {
		t.Errorf("section 6.8.6: %d falls, %v", w.a().falls, w.a().fellBy)
	}
	w.up()
}

// An engine that takes over soon enough is not noticed by the peer.
func TestResume(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	remote := w.a().last.Remote
	w.a().Reset()
	w.a().status = liveness.Unknown
	w.run(90 * ms)
	spec := w.a().spec
	spec.Resume = remote
	w.a().Set(w.now, spec)
	w.collect(0)
	w.run(time.Minute)
	w.mustBe(0, Up, liveness.Up)
	if w.b().falls > 0 {
		t.Error("the peer noticed")
	}

	// One that takes over too late finds the peer down, which is told as unknown until it is up again.
	remote = w.a().last.Remote
	w.a().Reset()
	w.a().status = liveness.Unknown
	w.run(500 * ms)
	w.mustBe(1, Down, liveness.Down)
	spec.Resume = remote
	w.a().Set(w.now, spec)
	w.collect(0)
	w.run(30 * ms)
	if w.a().falls > 0 {
		t.Error("our own interruption is told as a failure of the path")
	}
	w.up()
}

func TestSimultaneousPolls(t *testing.T) {
	w := newWorld(t, 1, 100*ms, 3).start().up()
	w.a().keep, w.b().keep = true, true
	for i, e := range w.ends {
		e.spec.Interval = 200 * ms
		e.Set(w.now, e.spec)
		w.collect(i)
	}
	w.run(5 * time.Second)
	for i, e := range w.ends {
		if e.last.Transmit != 200*ms || e.falls > 0 {
			t.Errorf("end %d sends each %v, fell %d times", i, e.last.Transmit, e.falls)
		}
		for _, p := range e.sent {
			if p.Poll && p.Final {
				t.Fatal("section 6.5: a packet with both Poll and Final")
			}
		}
	}
}

// RFC 5882 section 3.1: a path that flaps is told as down ever more rarely, whatever it does; one that has been steady
// starts from nothing.
func TestFlappingIsDamped(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	flap := func() {
		w.cut = [2]bool{true, true}
		w.run(200 * ms)
		w.cut = [2]bool{}
		w.run(2500 * ms)
	}
	var after [2]int // falls in the first half of ten minutes, and in all
	for i := range after {
		for range 110 {
			flap()
		}
		after[i] = w.a().falls
	}
	if late := after[1] - after[0]; after[0] < forgiven+5 || after[0] > 18 || late > 7 {
		t.Errorf("told of %d failures in five minutes and of %d in the next five, of 110 each", after[0], late)
	}
	w.run(10 * time.Minute)
	w.mustBe(0, Up, liveness.Up)
	falls := w.a().falls
	for range forgiven {
		w.cut = [2]bool{true, true}
		w.run(200 * ms)
		w.cut = [2]bool{}
		w.run(4 * time.Second)
		w.mustBe(0, Up, liveness.Up)
	}
	if w.a().falls != falls+forgiven {
		t.Errorf("after ten steady minutes %d of %d failures were told", w.a().falls-falls, forgiven)
	}
}

// Who hears of a failure may end the session and begin another: that is no fresh start.
func TestFlapsAreRememberedOverSessions(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	for range 60 {
		w.cut = [2]bool{true, true}
		w.run(200 * ms)
		w.cut = [2]bool{}
		for i, e := range w.ends {
			e.Delete(w.now, e.spec.ID)
			e.spec.ID += 10
			e.Set(w.now, e.spec)
			w.collect(i)
		}
		w.run(2500 * ms)
	}
	if n := w.a().falls; n < forgiven || n > 15 {
		t.Errorf("told of %d failures of 60", n)
	}
	w.a().Delete(w.now, w.a().spec.ID)
	w.run(10 * time.Minute)
	w.a().spec.ID += 10
	w.a().Set(w.now, w.a().spec)
	w.up()
}

// Failures that are not of one another's making are told of each at once, however many there are.
func TestFailuresFarApartAreNotDamped(t *testing.T) {
	w := newWorld(t, 1, 50*ms, 3).start().up()
	for n := range 50 {
		at := w.now
		w.cut = [2]bool{true, true}
		w.run(time.Second)
		w.cut = [2]bool{}
		if w.a().falls != n+1 || w.a().fell-at > 160*ms {
			t.Fatalf("failure %d: %d told, after %v", n+1, w.a().falls, w.a().fell-at)
		}
		w.run(2*time.Second + steady)
		w.mustBe(0, Up, liveness.Up)
		w.mustBe(1, Up, liveness.Up)
	}
}

// A neighbour that changes its mind with each packet is heard, but not told of each time.
func TestHostileNeighborIsDamped(t *testing.T) {
	e := NewEngine(rand.New(rand.NewPCG(1, 1)))
	e.Set(0, Spec{ID: 100, Peer: addrB, Local: addrA, Index: 5, Interval: 50 * ms, Multiplier: 3})
	told, last := 0, liveness.Unknown
	for i := range 60000 {
		now := time.Duration(i) * ms
		p := Packet{State: [...]State{Down, Up}[i%2], Multiplier: 3, Mine: 7, Yours: 100, DesiredTx: time.Second, RequiredRx: 1}
		e.Receive(now, Received{Peer: addrB, Local: addrA, Index: 5, TTL: 255, Payload: p.Append(nil)})
		e.Expire(now)
		e.Sends()
		for _, r := range e.Reports(1) {
			if r.Status != last {
				last = r.Status
				told++
			}
		}
	}
	if told > 20 {
		t.Errorf("%d changes in a minute", told)
	}
}

// A host that stood still takes nobody's silence for a failure before it has listened; who is dead is found one interval
// later.
func TestStall(t *testing.T) {
	for _, tt := range []struct {
		name  string
		late  time.Duration
		dead  bool
		falls int
		after time.Duration // of the fall
	}{
		{"a packet comes after the stall", 40 * ms, false, 0, 0},
		{"none comes", 40 * ms, true, 1, 50 * ms},
		{"late by little: a failure is a failure", 4 * ms, true, 1, 0},
	} {
		w := newWorld(t, 1, 50*ms, 3).start().up()
		e := w.a()
		w.flights = nil
		heard := w.now
		e.Receive(heard, Received{Peer: addrB, Local: addrA, Index: 5, TTL: TTL, Payload: (&Packet{State: Up, Multiplier: 3,
			Mine: w.b().spec.ID, Yours: e.spec.ID, DesiredTx: 50 * ms, RequiredRx: 50 * ms}).Append(nil)})
		w.now = heard + 150*ms + tt.late // nothing ran since
		e.Stalled(w.now, tt.late)
		e.Expire(w.now)
		w.collect(0)
		if !tt.dead {
			w.now += 10 * ms
			e.Receive(w.now, Received{Peer: addrB, Local: addrA, Index: 5, TTL: TTL, Payload: (&Packet{State: Up, Multiplier: 3,
				Mine: w.b().spec.ID, Yours: e.spec.ID, DesiredTx: 50 * ms, RequiredRx: 50 * ms}).Append(nil)})
		}
		for range 20 {
			if next, ok := e.Next(); ok && next < heard+300*ms && e.falls == 0 && tt.dead {
				w.now = max(w.now, next)
				e.Expire(w.now)
				w.collect(0)
			}
		}
		if e.falls != tt.falls || tt.falls > 0 && e.fell != heard+150*ms+tt.late+tt.after {
			t.Errorf("%s: %d falls, %v after the detection time", tt.name, e.falls, e.fell-heard-150*ms)
		}
	}
}

// A loop that is late again and again, as a thread on a host with too much to do, finds a failure all the same.
func TestStallsWithoutEndHideNoFailure(t *testing.T) {
	w := newWorld(t, 1, 10*ms, 3).start().up()
	e := w.a()
	w.flights = nil
	for heard := w.now; e.falls == 0; {
		w.now += 9 * ms
		e.Stalled(w.now, 8*ms)
		e.Expire(w.now)
		w.collect(0)
		if w.now > heard+time.Second {
			t.Fatal("silent for a second, at 10 ms x 3")
		}
	}
}
