package scenario

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Outcome is how a step ended.
type Outcome string

const (
	Pass    Outcome = "PASS"
	Fail    Outcome = "FAIL"
	Skipped Outcome = "SKIP"
)

// Result is one step that was run, or was not reached.
type Result struct {
	Step    int           `json:"step"` // from 1; 0 is the setting up
	Title   string        `json:"title"`
	Say     string        `json:"say,omitempty"`
	Line    int           `json:"line,omitempty"`
	Outcome Outcome       `json:"outcome"`
	At      time.Duration `json:"-"`
	Took    time.Duration `json:"-"`
	Detail  string        `json:"detail,omitempty"` // what was measured, or why it failed
	Log     []string      `json:"log,omitempty"`    // of the nodes, when it failed
}

// Summary is a scenario that was run.
type Summary struct {
	Name    string        `json:"name"`
	File    string        `json:"file"`
	World   string        `json:"world"`
	Results []Result      `json:"steps"`
	Took    time.Duration `json:"-"`
}

// Count tells how many steps ended so.
func (s Summary) Count(o Outcome) int {
	n := 0
	for _, r := range s.Results {
		if r.Outcome == o {
			n++
		}
	}
	return n
}

// OK reports whether nothing failed.
func (s Summary) OK() bool { return s.Count(Fail) == 0 }

// stage is a run in progress.
type stage struct {
	w      World
	probes map[string]Pinging
}

// Run brings the scenario up, plays its steps, and takes it down whatever happened. report hears of each result as it comes; it may be nil.
func Run(w World, f *File, report func(Result)) (sum Summary) {
	sum = Summary{Name: f.Name, File: f.Path, World: w.Kind()}
	add := func(r Result) {
		sum.Results = append(sum.Results, r)
		if report != nil {
			report(r)
		}
	}
	start := w.Now()
	defer func() {
		at := w.Now()
		if err := w.Down(); err != nil {
			add(Result{Title: "take down", Outcome: Fail, Detail: err.Error(), At: at, Took: w.Now() - at})
		}
	}()
	r := up(w, f)
	add(r)
	if r.Outcome == Pass {
		play(&stage{w: w, probes: map[string]Pinging{}}, f, add)
	}
	sum.Took = w.Now() - start
	return sum
}

func up(w World, f *File) Result {
	start := w.Now()
	r := Result{Title: "set up", Say: f.Summary, Outcome: Pass}
	r.Detail = fmt.Sprintf("%d nodes, %d networks", len(f.Nodes), len(f.Networks))
	if err := w.Up(f); err != nil {
		r.Outcome, r.Detail, r.Log = Fail, err.Error(), logs(w, f)
	}
	r.At, r.Took = start, w.Now()-start
	return r
}

// play runs the steps until one fails; the others are then told as skipped.
func play(s *stage, f *File, add func(Result)) {
	defer s.stopProbes()
	failed := false
	for i, step := range f.Steps {
		r := Result{Step: i + 1, Title: step.Title(), Say: step.Say, Line: step.Line, At: s.w.Now()}
		if failed {
			r.Outcome, r.Detail = Skipped, "an earlier step failed"
			add(r)
			continue
		}
		s.run(step, &r)
		if failed = r.Outcome == Fail; failed {
			r.Log = logs(s.w, f)
		}
		add(r)
	}
}

func (s *stage) run(step Step, r *Result) {
	detail, err := s.try(step)
	r.Took = s.w.Now() - r.At
	switch {
	case err == nil:
		r.Outcome, r.Detail = Pass, detail
	case errors.Is(err, ErrUnsupported):
		r.Outcome, r.Detail = Skipped, "not in a "+s.w.Kind()
	default:
		r.Outcome, r.Detail = Fail, err.Error()
	}
}

// try does a step again and again until it passes or its time is over.
func (s *stage) try(step Step) (string, error) {
	deadline := s.w.Now() + step.Within
	for {
		detail, err := step.Action.do(s)
		if err == nil || errors.Is(err, ErrUnsupported) || errors.Is(err, errFinal) {
			return detail, err
		}
		left := deadline - s.w.Now()
		if left <= 0 {
			return detail, overdue(step, err)
		}
		if err := s.w.Sleep(min(step.Every, left)); err != nil {
			return detail, err
		}
	}
}

// errFinal marks a failure that trying again cannot mend.
var errFinal = errors.New("for good")

func overdue(step Step, err error) error {
	if step.Within == 0 {
		return err
	}
	return fmt.Errorf("not within %v: %w", step.Within, err)
}

func (s *stage) stopProbes() {
	for _, p := range s.probes {
		p.Stop()
	}
}

// logs gathers what the routers said last.
func logs(w World, f *File) []string {
	var all []string
	for _, n := range f.Nodes {
		if n.Kind != Router {
			continue
		}
		for _, line := range w.Logs(n.Name, 15) {
			all = append(all, n.Name+": "+line)
		}
	}
	return all
}

func (e expectation) do(s *stage) (string, error) {
	answer, err := s.w.Show(e.node, e.args)
	if err != nil {
		return "", err
	}
	return "", e.rows.Check(answer)
}

func (p pinging) do(s *stage) (string, error) {
	r, err := s.w.Ping(p.from, p.ping)
	if err != nil {
		return "", err
	}
	return describePing(r), p.judge(r)
}

func describePing(r PingResult) string {
	d := fmt.Sprintf("%d of %d answered", r.Received(), r.Sent())
	if r.Received() > 0 {
		d += fmt.Sprintf(", best %s, median %s", short(r.Best()), short(r.Median()))
	}
	if r.Lost() > 0 && r.Received() > 0 {
		d += fmt.Sprintf(", %d lost in at most %s (%s)", r.Lost(), short(r.Outage()), whichLost(r))
	}
	if r.Duplicates > 0 {
		d += fmt.Sprintf(", %d duplicates", r.Duplicates)
	}
	return d
}

// whichLost numbers the requests that were lost, from 1; not more than a few of them.
func whichLost(r PingResult) string {
	var all []string
	for i, e := range r.Echoes {
		if e.Answered {
			continue
		}
		if len(all) == 5 {
			all = append(all, "…")
			break
		}
		all = append(all, strconv.Itoa(i+1))
	}
	return "number " + strings.Join(all, ", ")
}

// judge compares what came of a ping with its limits.
func (l limits) judge(r PingResult) error {
	detail := describePing(r)
	if len(r.Errors) > 0 {
		detail += "; " + strings.Join(r.Errors, "; ")
	}
	bad := func(format string, args ...any) error { return fmt.Errorf(format+": %s", append(args, detail)...) }
	switch {
	case l.errorContains != "" && !strings.Contains(strings.ToLower(strings.Join(r.Errors, "\n")), strings.ToLower(l.errorContains)):
		return bad("want an error that contains %q", l.errorContains)
	case l.fails && r.Received() > 0:
		return bad("want no answer")
	case l.fails:
		return nil
	case r.Sent() == 0:
		return bad("nothing was sent")
	case l.outageSet && r.Outage() > l.maxOutage:
		return bad("out for %s, want at most %s", short(r.Outage()), short(l.maxOutage))
	case (l.lostSet || !l.outageSet) && r.Lost() > l.maxLost:
		return bad("%d lost, want at most %d", r.Lost(), l.maxLost)
	case l.noDuplicates && r.Duplicates > 0:
		return bad("answers came twice")
	case l.maxRTT > 0 && r.Best() > l.maxRTT:
		return bad("the best answer took %s, want at most %s", short(r.Best()), short(l.maxRTT))
	case l.minRTT > 0 && r.Best() < l.minRTT:
		return bad("the best answer took %s, want at least %s", short(r.Best()), short(l.minRTT))
	}
	return l.judgeTTL(r)
}

func (l limits) judgeTTL(r PingResult) error {
	if l.ttl == 0 {
		return nil
	}
	for _, e := range r.Echoes {
		if e.Answered && e.TTL != l.ttl {
			return fmt.Errorf("an answer had TTL %d, want %d", e.TTL, l.ttl)
		}
	}
	return nil
}

func (p path) do(s *stage) (string, error) {
	have, err := s.w.Path(p.from, p.trace)
	if err != nil {
		return "", err
	}
	detail := p.describe(have)
	ok := len(have) == len(p.hops)
	for i := 0; ok && i < len(have); i++ {
		ok = p.isHop(p.hops[i], have[i])
	}
	if !ok {
		return "", fmt.Errorf("the way was %s, want %s", detail, strings.Join(p.hops, " → "))
	}
	return detail, nil
}

func (p path) isHop(want string, have netip.Addr) bool {
	return slices.ContainsFunc(alternatives(want), func(one string) bool { return p.isOne(one, have) })
}

func (p path) isOne(want string, have netip.Addr) bool {
	if want == "*" {
		return true
	}
	if a, err := netip.ParseAddr(want); err == nil {
		return a == have
	}
	return have.IsValid() && slices.Contains(p.nodes(want).Addresses(), have)
}

func (p path) describe(hops []netip.Addr) string {
	var all []string
	for _, h := range hops {
		if !h.IsValid() {
			all = append(all, "*")
			continue
		}
		all = append(all, h.String())
	}
	if len(all) == 0 {
		return "empty"
	}
	return strings.Join(all, " → ")
}

func (k kernelRoute) do(s *stage) (string, error) {
	hops, err := s.w.Routes(k.node, k.prefix)
	if err != nil {
		return "", err
	}
	var have []string
	for _, h := range hops {
		have = append(have, h.String())
	}
	slices.Sort(have)
	if !slices.Equal(have, k.via) {
		return "", fmt.Errorf("it goes by %s, want %s", among(have), among(k.via))
	}
	return among(have), nil
}

func among(hops []string) string {
	if len(hops) == 0 {
		return "nothing"
	}
	return strings.Join(hops, ", ")
}

func (i iperf) do(s *stage) (string, error) {
	r, err := s.w.Iperf(i.Iperf)
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%.1f Mbit/s", r.BitsPerSecond/1e6)
	if i.UDP {
		detail += fmt.Sprintf(", %.2f %% lost", r.LostPercent)
	}
	if r.BitsPerSecond < i.atLeast || math.IsNaN(r.BitsPerSecond) {
		return detail, fmt.Errorf("%s, want at least %.1f Mbit/s", detail, i.atLeast/1e6)
	}
	return detail, nil
}

func (p probe) do(s *stage) (string, error) {
	if s.probes[p.name] != nil {
		return "", final{fmt.Errorf("a probe %q is already running", p.name)}
	}
	running, err := s.w.StartPing(p.from, p.ping)
	switch {
	case errors.Is(err, ErrUnsupported):
		s.probes[p.name] = unsupported{err}
	case err == nil:
		s.probes[p.name] = running
	}
	if err != nil {
		return "", err
	}
	return "", nil
}

func (p probeReport) do(s *stage) (string, error) {
	running := s.probes[p.name]
	if running == nil {
		return "", final{fmt.Errorf("no probe %q is running", p.name)}
	}
	delete(s.probes, p.name)
	r, err := running.Stop()
	if errors.Is(err, ErrUnsupported) {
		return "", err
	}
	if err == nil {
		err = p.judge(r)
	}
	if err != nil {
		return "", final{err}
	}
	return describePing(r), nil
}

// unsupported is a probe that this world does not have; its report is skipped like itself.
type unsupported struct{ error }

// Stop says so.
func (u unsupported) Stop() (PingResult, error) { return PingResult{}, u.error }

// final is an error that reads as it is and ends the trying.
type final struct{ error }

func (f final) Is(target error) bool { return target == errFinal }
func (f final) Unwrap() error        { return f.error }

func (c cable) do(s *stage) (string, error) {
	if c.mend {
		return "", s.w.Mend(c.target)
	}
	return "", s.w.Cut(c.target)
}

func (p process) do(s *stage) (string, error) {
	switch p.verb {
	case "start":
		return "", s.w.Start(p.node)
	case "stop":
		return "", s.w.Stop(p.node)
	case "kill":
		return "", s.w.Kill(p.node, p.signal)
	case "power-off", "power-on":
		return "", s.w.Power(p.node, p.verb == "power-on")
	case "reload":
		return "", s.w.Reload(p.node, p.config.Text)
	}
	if err := s.w.Stop(p.node); err != nil {
		return "", err
	}
	return "", s.w.Start(p.node)
}

func (c command) do(s *stage) (string, error) {
	out, err := s.w.Exec(c.node, c.argv)
	text := strings.TrimSpace(string(out))
	if errors.Is(err, ErrUnsupported) {
		return "", err
	}
	if c.fails && err == nil {
		return "", fmt.Errorf("it succeeded and printed %q", cut(text, 300))
	}
	if !c.fails && err != nil {
		return "", fmt.Errorf("%w: %s", err, cut(text, 600))
	}
	if !strings.Contains(text, c.contains) {
		return "", fmt.Errorf("want output that contains %q, got %q", c.contains, cut(text, 600))
	}
	return "", nil
}

func (t sleep) do(s *stage) (string, error) { return "", s.w.Sleep(time.Duration(t)) }
