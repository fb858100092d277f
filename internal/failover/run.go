package failover

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// Pace is how closely a world is looked at.
type Pace struct {
	Every  time.Duration // between the packets of a train after a failure; they are dealt to [FlowsOfTrain] flows
	Back   time.Duration // and after its repair
	Turn   time.Duration // between looks at the routers after a failure
	Return time.Duration // and after its repair, which takes seconds
	Settle time.Duration // how long all goes on being watched when it is whole again
}

// FlowsOfTrain is among how many flows of UDP each train is dealt: of two equal ways both are taken.
const FlowsOfTrain = 4

// Cost is what a failure, or its repair, cost a train.
type Cost struct {
	Sent, Lost int
	Worst      int           // lost of the flow that lost most
	Outage     time.Duration // of the flow that was out for longest
}

// Trial is what became of one failure and its repair. Costs are in the order of the kind's flows.
type Trial struct {
	Turned   time.Duration // from the failure until the kernels' routes led past it; 0 where none has to change
	Returned time.Duration // from the repair until routes and adjacencies were as before
	Failed   []Cost
	Back     []Cost
}

// Run is a network that is up in a world.
type Run struct {
	world scenario.World
	file  *scenario.File
	net   Network
	pace  Pace
	warm  []scenario.Pinging
}

const (
	patience = 90 * time.Second       // for the routers to settle
	answer   = 300 * time.Millisecond // for an answer to a packet
	lead     = 100 * time.Millisecond // of packets before something happens
	after    = time.Second            // of packets after a failure was overcome
	window   = 2 * time.Second        // of packets after a failure that nobody has to overcome
)

// Begin waits until a network that was just brought up is whole, and tells how long that took; then its hosts talk.
func Begin(w scenario.World, f *scenario.File, n Network, p Pace) (r *Run, cold time.Duration, err error) {
	r = &Run{world: w, file: f, net: n, pace: p}
	if cold, err = r.await(n.Whole, p.Return); err != nil {
		return r, 0, fmt.Errorf("cold start: %w", err)
	}
	for _, flow := range n.Warm {
		running, err := r.send(flow, 100*time.Millisecond, 1)
		if err != nil {
			return r, 0, err
		}
		r.warm = append(r.warm, running)
	}
	return r, cold, w.Sleep(p.Settle)
}

// End ends what Begin began.
func (r *Run) End() {
	for _, p := range r.warm {
		p.Stop()
	}
}

// Try makes a failure and its repair, a while after the network was whole.
func (r *Run) Try(k Kind, while time.Duration) (t Trial, err error) {
	ready := r.net.Whole
	ready.Routes = append(slices.Clone(ready.Routes), r.net.Live...)
	if _, err := r.await(ready, r.pace.Return); err != nil {
		return t, fmt.Errorf("before: %w", err)
	}
	if err := r.world.Sleep(while); err != nil {
		return t, err
	}
	t.Failed, err = r.during(k.Flows, r.pace.Every, func() error {
		if err := k.fail(r.world); err != nil {
			return err
		}
		t.Turned, err = r.overcome(k.Broken)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("%s: %w", k.Name, err)
	}
	t.Back, err = r.during(k.Flows, r.pace.Back, func() error {
		if err := k.repair(r.world); err != nil {
			return err
		}
		t.Returned, err = r.whole()
		return err
	})
	if err != nil {
		return t, fmt.Errorf("%s, repaired: %w", k.Name, err)
	}
	return t, nil
}

// overcome waits until the routers have turned, and for some packets more.
func (r *Run) overcome(s State) (time.Duration, error) {
	if len(s.Routes) == 0 {
		return 0, r.world.Sleep(window)
	}
	took, err := r.await(s, r.pace.Turn)
	if err != nil {
		return 0, err
	}
	return took, r.world.Sleep(after)
}

// whole waits until all is as before, shortcuts too, and for some time more: who has just told of a link may not tell otherwise for
// a second, since others would not take it (MinLSArrival, RFC 2328 appendix B).
func (r *Run) whole() (time.Duration, error) {
	took, err := r.await(r.net.Whole, r.pace.Return)
	if err != nil {
		return took, err
	}
	if _, err := r.await(State{Routes: r.net.Live}, r.pace.Return); err != nil {
		return 0, err
	}
	return took, r.world.Sleep(r.pace.Settle)
}

// during is what trains lost while something happened.
func (r *Run) during(flows []Flow, every time.Duration, happens func() error) (costs []Cost, err error) {
	var trains []scenario.Pinging
	defer func() {
		for _, t := range trains {
			t.Stop()
		}
	}()
	for _, f := range flows {
		t, err := r.send(f, every, FlowsOfTrain)
		if err != nil {
			return nil, err
		}
		trains = append(trains, t)
	}
	if err := r.world.Sleep(lead); err != nil {
		return nil, err
	}
	if err := happens(); err != nil {
		return nil, err
	}
	for len(trains) > 0 {
		result, err := trains[0].Stop()
		if trains = trains[1:]; err != nil {
			return nil, err
		}
		costs = append(costs, costOf(result))
	}
	return costs, nil
}

func (r *Run) send(f Flow, every time.Duration, flows int) (scenario.Pinging, error) {
	return r.world.StartPing(f.From, scenario.Ping{
		To: r.file.Node(f.To).Address(false), Protocol: scenario.UDP, Flows: flows, Interval: every, Timeout: answer,
	})
}

func costOf(r scenario.PingResult) Cost {
	lost := make([]int, max(r.Flows, 1))
	for k, e := range r.Echoes {
		if !e.Answered {
			lost[k%len(lost)]++
		}
	}
	return Cost{Sent: r.Sent(), Lost: r.Lost(), Worst: slices.Max(lost), Outage: r.Outage()}
}

// await looks again and again until all is so, and tells how long it took.
func (r *Run) await(s State, every time.Duration) (time.Duration, error) {
	begin := r.world.Now()
	checks := s.checks(r.world)
	at := 0 // the first that was not so: those before it were looked at already
	for {
		at = firstAstray(checks, at)
		if at == len(checks) {
			at = firstAstray(checks, 0) // none has changed its mind meanwhile
		}
		took := r.world.Now() - begin
		if at == len(checks) {
			return took, nil
		}
		if took > patience {
			return took, fmt.Errorf("not within %v: %w", patience, checks[at]())
		}
		if err := r.world.Sleep(every); err != nil {
			return took, err
		}
	}
}

func firstAstray(checks []func() error, from int) int {
	for from < len(checks) && checks[from]() == nil {
		from++
	}
	return from
}

func (s State) checks(w scenario.World) (all []func() error) {
	for _, route := range s.Routes {
		all = append(all, func() error { return route.check(w) })
	}
	for _, node := range slices.Sorted(maps.Keys(s.Full)) {
		all = append(all, func() error { return checkFull(w, node, s.Full[node]) })
	}
	return all
}

func (r Route) check(w scenario.World) error {
	hops, err := w.Routes(r.Node, r.Prefix)
	if err != nil {
		return err
	}
	var via []netip.Addr
	for _, h := range hops {
		via = append(via, h.Via)
	}
	slices.SortFunc(via, netip.Addr.Compare)
	if !slices.Equal(via, r.Via) {
		return fmt.Errorf("%s has %s by %v, want %v", r.Node, r.Prefix, via, r.Via)
	}
	return nil
}

func checkFull(w scenario.World, node string, want int) error {
	answer, err := w.Show(node, []string{"show", "ospf", "neighbors"})
	if err != nil {
		return err
	}
	var rows []struct{ State string }
	if err := json.Unmarshal(answer, &rows); err != nil {
		return fmt.Errorf("neighbors of %s: %w", node, err)
	}
	full := 0
	for _, r := range rows {
		if r.State == "full" {
			full++
		}
	}
	if full != want {
		return fmt.Errorf("%s has %d neighbors in state full, want %d", node, full, want)
	}
	return nil
}
