package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// fake is a world on a clock of its own that writes down what is asked of it.
type fake struct {
	World // what a test does not expect panics
	now   time.Duration
	calls []string
	fail  map[string]error // by call

	ready  time.Duration // when show begins to answer with a row
	echoes []Echo
	errs   []string
	hops   []netip.Addr
	routes []Hop
}

func (f *fake) call(format string, args ...any) error {
	c := fmt.Sprintf(format, args...)
	f.calls = append(f.calls, c)
	return f.fail[c]
}

func (f *fake) Kind() string                  { return "test" }
func (f *fake) Now() time.Duration            { return f.now }
func (f *fake) Sleep(d time.Duration) error   { f.now += d; return f.call("sleep") }
func (f *fake) Up(*File) error                { f.now += time.Second; return f.call("up") }
func (f *fake) Down() error                   { return f.call("down") }
func (f *fake) Cut(t Target) error            { return f.call("cut %s", t) }
func (f *fake) Mend(t Target) error           { return f.call("mend %s", t) }
func (f *fake) Start(n string) error          { return f.call("start %s", n) }
func (f *fake) Stop(n string) error           { return f.call("stop %s", n) }
func (f *fake) Kill(n, s string) error        { return f.call("kill %s %s", n, s) }
func (f *fake) Power(n string, on bool) error { return f.call("power %s %v", n, on) }
func (f *fake) Routes(n string, p netip.Prefix) ([]Hop, error) {
	return f.routes, f.call("routes %s %s", n, p)
}
func (f *fake) Logs(n string, _ int) []string { return []string{"last words of " + n} }
func (f *fake) Reload(n string, c []byte) error {
	return f.call("reload %s %d", n, strings.Count(string(c), "tun"))
}
func (f *fake) Show(n string, args []string) ([]byte, error) {
	err := f.call("%s %s", n, strings.Join(args, " "))
	if f.now < f.ready {
		return []byte("[]"), err
	}
	return []byte(`[{"state": "up"}]`), err
}
func (f *fake) Ping(n string, p Ping) (PingResult, error) {
	return PingResult{Echoes: f.echoes, Errors: f.errs}, f.call("ping %s %s %d", n, p.To, p.Count)
}
func (f *fake) StartPing(n string, p Ping) (Pinging, error) {
	return fakePinging{f, p}, f.call("start ping %s", n)
}
func (f *fake) Path(n string, t Trace) ([]netip.Addr, error) { return f.hops, f.call("path %s", n) }
func (f *fake) Iperf(i Iperf) (IperfResult, error) {
	return IperfResult{BitsPerSecond: 50e6}, f.call("iperf %s %s", i.From, i.To)
}
func (f *fake) Exec(n string, argv []string) ([]byte, error) {
	return []byte("out\n"), f.call("exec %s %s", n, strings.Join(argv, " "))
}

type fakePinging struct {
	f *fake
	p Ping
}

func (p fakePinging) Stop() (PingResult, error) {
	return PingResult{Echoes: p.f.echoes}, p.f.call("stop ping")
}

const world = `
networks: {lan: {}}
nodes:
  r: {kind: router, interfaces: {eth0: {network: lan, address: 10.0.0.1/24}}, config: {tunnels: {tun0: {address: 10.9.0.1/24}}}}
  h: {kind: host, interfaces: {eth0: {network: lan, address: 10.0.0.2/24}}}
steps:
`

func runSteps(t *testing.T, f *fake, steps string) Summary {
	t.Helper()
	file, err := Parse("test.yaml", []byte(world+steps))
	if err != nil {
		t.Fatal(err)
	}
	return Run(f, file, nil)
}

func echo(at, rtt time.Duration) Echo {
	return Echo{Sent: at * time.Millisecond, RTT: rtt * time.Millisecond, TTL: 64, Answered: rtt > 0}
}

// TestSteps runs each step alone: what it asks of the world, and how it ends.
func TestSteps(t *testing.T) {
	down := errors.New("down")
	hop := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	three := []Echo{echo(0, 10), echo(10, 0), echo(30, 20)}
	for _, c := range []struct {
		step string
		f    fake
		want string // detail or error
		ok   bool
		asks string
	}{
		{"wait: {node: r, show: peers hub, rows: [{state: up}]}", fake{ready: 5 * time.Second}, "", true, "r show peers hub"},
		{"{wait: {node: r, show: peers, rows: [{state: up}]}, within: 2s}", fake{ready: 5 * time.Second}, "not within 2s: no row has {state: up}; there is none", false, ""},
		{"expect: {node: r, show: peers, rows: [{state: up}]}", fake{ready: 5 * time.Second}, "no row has", false, ""},
		{"expect: {node: r, show: peers, count: 1}", fake{fail: map[string]error{"r show peers": down}}, "down", false, ""},
		{"why: {node: r, peer: 10.0.0.1, rows: [{state: up}]}", fake{}, "", true, "r why 10.0.0.1"},
		{"ping: {from: h, to: r}", fake{echoes: []Echo{echo(0, 10)}}, "1 of 1 answered, best 10.0 ms, median 10.0 ms", true, "ping h 10.0.0.1 3"},
		{"ping: {from: h, to: r}", fake{}, "nothing was sent", false, ""},
		{"ping: {from: h, to: r}", fake{echoes: three}, "1 lost, want at most 0: 2 of 3 answered, best 10.0 ms, median 20.0 ms, 1 lost in at most 20.0 ms (number 2)", false, ""},
		{"ping: {from: h, to: r, max-lost: 1}", fake{echoes: three}, "2 of 3", true, ""},
		{"ping: {from: h, to: r, max-outage: 20ms}", fake{echoes: three}, "2 of 3", true, ""},
		{"ping: {from: h, to: r, max-outage: 19ms}", fake{echoes: three}, "out for 20.0 ms, want at most 19.0 ms", false, ""},
		{"ping: {from: h, to: r, max-lost: 1, max-rtt: 9ms}", fake{echoes: three}, "the best answer took 10.0 ms, want at most 9.0 ms", false, ""},
		{"ping: {from: h, to: r, max-lost: 1, min-rtt: 11ms}", fake{echoes: three}, "the best answer took 10.0 ms, want at least 11.0 ms", false, ""},
		{"ping: {from: h, to: r, max-lost: 1, answer-ttl: 63}", fake{echoes: three}, "an answer had TTL 64, want 63", false, ""},
		{"ping: {from: h, to: r, fails: true}", fake{echoes: three}, "want no answer", false, ""},
		{"ping: {from: h, to: r, fails: true}", fake{echoes: three[1:2]}, "0 of 1 answered", true, ""},
		{"ping: {from: h, to: r, fails: true, error: too BIG}", fake{echoes: three[1:2], errs: []string{"packet too big"}}, "", true, ""},
		{"ping: {from: h, to: r, fails: true, error: too big}", fake{echoes: three[1:2], errs: []string{"unreachable"}}, "want an error that contains \"too big\": 0 of 1 answered; unreachable", false, ""},
		{"path: {from: h, to: 10.0.0.9, hops: [r, \"*\", 10.0.0.9]}", fake{hops: []netip.Addr{hop("10.9.0.1"), {}, hop("10.0.0.9")}}, "10.9.0.1 → * → 10.0.0.9", true, "path h"},
		{"path: {from: h, to: 10.0.0.9, hops: [r]}", fake{hops: []netip.Addr{hop("10.0.0.9")}}, "the way was 10.0.0.9, want r", false, ""},
		{"path: {from: h, to: 10.0.0.9, hops: [r]}", fake{}, "the way was empty, want r", false, ""},
		{"path: {from: h, to: 10.0.0.9, hops: [r]}", fake{hops: []netip.Addr{{}}}, "the way was *, want r", false, ""},
		{"path: {from: h, to: 10.0.0.9, hops: [h or r, 10.0.0.9]}", fake{hops: []netip.Addr{hop("10.9.0.1"), hop("10.0.0.9")}}, "10.9.0.1 → 10.0.0.9", true, ""},
		{"path: {from: h, to: 10.0.0.9, hops: [h or 10.0.0.7, 10.0.0.9]}", fake{hops: []netip.Addr{hop("10.9.0.1"), hop("10.0.0.9")}}, "the way was", false, ""},
		{"kernel: {node: r, prefix: 10.8.0.1/24, via: [10.0.0.3, eth0]}", fake{routes: []Hop{{Interface: "eth0"}, {Via: hop("10.0.0.3"), Interface: "eth0"}}}, "10.0.0.3, eth0", true, "routes r 10.8.0.0/24"},
		{"kernel: {node: r, prefix: 10.8.0.0/24, via: 10.0.0.3}", fake{routes: []Hop{{Via: hop("10.0.0.4")}}}, "it goes by 10.0.0.4, want 10.0.0.3", false, ""},
		{"kernel: {node: r, prefix: 10.8.0.0/24, absent: true}", fake{}, "nothing", true, ""},
		{"kernel: {node: r, prefix: 10.8.0.0/24, absent: true}", fake{routes: []Hop{{Interface: "eth0"}}}, "it goes by eth0, want nothing", false, ""},
		{"power-off: r", fake{}, "", true, "power r false"},
		{"power-on: r", fake{}, "", true, "power r true"},
		{"cut: r", fake{}, "", true, "cut r"},
		{"iperf3: {from: h, to: r, at-least: 50Mbit}", fake{}, "50.0 Mbit/s", true, "iperf h r"},
		{"iperf3: {from: h, to: r, at-least: 51Mbit}", fake{}, "50.0 Mbit/s, want at least 51.0 Mbit/s", false, ""},
		{"cut: r:eth0", fake{}, "", true, "cut r:eth0"},
		{"cut: lan", fake{}, "", true, "cut lan"},
		{"mend: r <-> h", fake{}, "", true, "mend r <-> h"},
		{"start: r", fake{}, "", true, "start r"},
		{"stop: r", fake{}, "", true, "stop r"},
		{"restart: r", fake{}, "", true, "stop r|start r"},
		{"kill: r", fake{}, "", true, "kill r KILL"},
		{"kill: {node: r, signal: sighup}", fake{}, "", true, "kill r HUP"},
		{"reload: {node: r, config: {tunnels: {tun1: {}, tun2: {}}}}", fake{}, "", true, "reload r 3"},
		{"exec: {node: h, run: ip route, contains: out}", fake{}, "", true, "exec h ip route"},
		{"exec: {node: h, run: [sh, -c, a b]}", fake{}, "", true, "exec h sh -c a b"},
		{"exec: {node: h, run: ls, contains: in}", fake{}, "want output that contains \"in\", got \"out\"", false, ""},
		{"exec: {node: h, run: ls, fails: true}", fake{}, "it succeeded and printed \"out\"", false, ""},
		{"exec: {node: h, run: ls}", fake{fail: map[string]error{"exec h ls": down}}, "down: out", false, ""},
		{"{exec: {node: h, run: ls, fails: true}}", fake{fail: map[string]error{"exec h ls": down}}, "", true, ""},
		{"probe-report: {name: p}", fake{}, "no probe \"p\" is running", false, ""},
		{"sleep: 3s", fake{}, "", true, "sleep"},
		{"sleep: 3s", fake{fail: map[string]error{"sleep": down}}, "down", false, ""},
	} {
		t.Run(c.step, func(t *testing.T) {
			sum := runSteps(t, &c.f, "  - "+c.step+"\n")
			r := sum.Results[1]
			if (r.Outcome == Pass) != c.ok || !strings.HasPrefix(r.Detail, c.want) {
				t.Errorf("%s %q, want %v %q", r.Outcome, r.Detail, c.ok, c.want)
			}
			calls := strings.Join(c.f.calls, "|")
			if !strings.HasPrefix(calls, "up|"+c.asks) || !strings.HasSuffix(calls, "|down") {
				t.Errorf("it asked for %s, want %s", calls, c.asks)
			}
		})
	}
}

func TestRunEndsAtTheFirstFailure(t *testing.T) {
	f := &fake{fail: map[string]error{"cut lan": errors.New("no")}}
	sum := runSteps(t, f, "  - cut: lan\n  - mend: lan\n")
	if sum.OK() || sum.Count(Fail) != 1 || sum.Results[2].Outcome != Skipped {
		t.Errorf("%+v", sum.Results)
	}
	if log := sum.Results[1].Log; len(log) != 1 || log[0] != "r: last words of r" {
		t.Errorf("log of the failed step: %v", log)
	}
	if !slices.Equal(f.calls, []string{"up", "cut lan", "down"}) {
		t.Errorf("calls %v", f.calls)
	}
}

func TestRunTakesDownWhatDidNotComeUp(t *testing.T) {
	f := &fake{fail: map[string]error{"up": errors.New("no veth"), "down": errors.New("stuck")}}
	sum := runSteps(t, f, "  - cut: lan\n")
	if sum.Count(Fail) != 2 || sum.Results[0].Detail != "no veth" || sum.Results[1].Detail != "stuck" {
		t.Errorf("%+v", sum.Results)
	}
}

func TestRunTakesDownAfterAPanic(t *testing.T) {
	f := &fake{}
	defer func() {
		if recover() == nil || f.calls[len(f.calls)-1] != "down" {
			t.Errorf("calls %v", f.calls)
		}
	}()
	file, err := Parse("test.yaml", []byte(world+"  - sleep: 1s\n"))
	if err != nil {
		t.Fatal(err)
	}
	Run(f, file, func(r Result) {
		if r.Step == 1 {
			panic("a bug")
		}
	})
}

func TestRunSkipsWhatAWorldCannot(t *testing.T) {
	f := &fake{fail: map[string]error{"iperf h r": ErrUnsupported}}
	sum := runSteps(t, f, "  - iperf3: {from: h, to: r}\n    within: 5s\n  - cut: lan\n")
	if !sum.OK() || sum.Results[1].Outcome != Skipped || sum.Results[1].Detail != "not in a test" || sum.Results[2].Outcome != Pass {
		t.Errorf("%+v", sum.Results)
	}
}

func TestProbes(t *testing.T) {
	f := &fake{echoes: []Echo{echo(0, 5), echo(20, 0), echo(40, 0), echo(60, 5)}}
	sum := runSteps(t, f, "  - probe: {name: p, from: h, to: r}\n  - probe-report: {name: p, max-outage: 40ms}\n"+
		"  - probe: {name: p, from: h, to: r}\n  - probe: {name: p, from: h, to: r}\n")
	if sum.Results[2].Outcome != Pass || sum.Results[3].Outcome != Pass || sum.Results[4].Detail != "a probe \"p\" is already running" {
		t.Errorf("%+v", sum.Results)
	}
	if want := []string{"up", "start ping h", "stop ping", "start ping h", "stop ping", "down"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls %v, want %v", f.calls, want)
	}
}

func TestAProbeIsNotReportedTwice(t *testing.T) {
	f := &fake{echoes: []Echo{echo(0, 0)}}
	sum := runSteps(t, f, "  - probe: {name: p, from: h, to: r}\n  - probe-report: {name: p}\n    within: 10s\n")
	if r := sum.Results[2]; r.Outcome != Fail || r.Took != 0 || !strings.HasPrefix(r.Detail, "1 lost") {
		t.Errorf("a lost probe was not told at once: %+v", r)
	}
}

func TestOutage(t *testing.T) {
	for _, c := range []struct {
		echoes []Echo
		want   time.Duration
	}{
		{nil, 0},
		{[]Echo{echo(0, 1), echo(10, 1)}, 0},
		{[]Echo{echo(0, 0), echo(10, 1), echo(20, 0), echo(30, 0), echo(40, 1)}, 20},
		{[]Echo{echo(0, 1), echo(10, 0), echo(20, 0)}, 10},
	} {
		if got := (PingResult{Echoes: c.echoes}).Outage(); got != c.want*time.Millisecond {
			t.Errorf("%v: %v, want %d ms", c.echoes, got, c.want)
		}
	}
}

// A flow's outage is its own, however well others do; of a stream the longest wait is one.
func TestOutageOfFlows(t *testing.T) {
	all := []Echo{echo(0, 1), echo(1, 0), echo(2, 1), echo(3, 0), echo(4, 1), echo(5, 7)}
	for _, c := range []struct {
		r    PingResult
		want time.Duration
	}{
		{PingResult{Echoes: all}, 1}, {PingResult{Echoes: all, Flows: 2}, 4}, {PingResult{Echoes: all, Flows: 3}, 3},
		{PingResult{Echoes: all, Stream: true}, 7},
	} {
		if got := c.r.Outage(); got != c.want*time.Millisecond {
			t.Errorf("%d flows, stream %v: %v, want %d ms", c.r.Flows, c.r.Stream, got, c.want)
		}
	}
}

func TestAProbeThatAWorldCannotIsSkippedWithItsReport(t *testing.T) {
	f := &fake{fail: map[string]error{"start ping h": ErrUnsupported}}
	sum := runSteps(t, f, "  - probe: {name: p, from: h, to: r, protocol: tcp}\n  - probe-report: {name: p}\n")
	if !sum.OK() || sum.Results[1].Outcome != Skipped || sum.Results[2].Outcome != Skipped {
		t.Errorf("%+v", sum.Results)
	}
}

func TestReports(t *testing.T) {
	f := &fake{fail: map[string]error{"mend lan": errors.New("two\nlines")}}
	var told strings.Builder
	file, err := Parse("test.yaml", []byte("name: t\nsummary: About.\n"+world+"  - say: Snip.\n    cut: lan\n  - mend: lan\n  - sleep: 1s\n"))
	if err != nil {
		t.Fatal(err)
	}
	sum := Run(f, file, Progress(&told))
	for _, want := range []string{"\nAbout.\n", "\nSnip.\n", "PASS  cut lan", "FAIL  mend lan", "        lines\n", "r: last words of r"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, told.String())
		}
	}
	var table strings.Builder
	if err := sum.Table(&table); err != nil {
		t.Fatal(err)
	}
	const want = `STEP  WHAT      RESULT  TOOK    DETAIL
0     set up    PASS    1.00 s  2 nodes, 1 networks
1     cut lan   PASS    0       
2     mend lan  FAIL    0       two
3     sleep 1s  SKIP    0       an earlier step failed
t in the test: FAIL, 2 passed, 1 failed, 1 skipped, 1.00 s
`
	if table.String() != want {
		t.Errorf("got\n%swant\n%s", table.String(), want)
	}
	text, err := json.Marshal(sum)
	if err != nil || !strings.Contains(string(text), `"ok":false,"passed":2,"failed":1,"skipped":1,"seconds":1`) {
		t.Errorf("%v %s", err, text)
	}
}
