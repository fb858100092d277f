package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	fleetPatience  = 2 * time.Minute
	fleetProfile   = "{psk: no secret at all, esp: aes256gcm}" // keys by IKEv2 as by default: X25519 and ML-KEM-768
	quiet          = 25 * time.Second                          // long enough for every peer to be asked whether it lives
	restartSpokes  = 1000
	restartRepeats = 2
	settled        = 12 * time.Second // a router follows word that a peer has forgotten it every 10 s at most
)

var campaignColumns = []string{"", "all done after", "per second", "each p50", "each p99", "hub CPU each"}

func (c campaign) row(title string, cpu time.Duration) []string {
	n := float64(len(c.times))
	row := []string{title, fmt.Sprintf("%.2f s", c.took.Seconds()), digits(n / c.took.Seconds()),
		digits(percentile(c.times, 50)) + " ms", digits(percentile(c.times, 99)) + " ms", "–"}
	if cpu > 0 {
		row[5] = digits(float64(cpu.Microseconds())/n) + " µs"
	}
	return row
}

func isRegistered(m *member) bool { return m.registered }
func hasAnswer(m *member) bool    { return m.answered }

// protected lets thousands of spokes come that protect what they say, and asks the hub what it holds for them.
func protected(ctx context.Context, o options) (*report, error) {
	l, err := newLab(ctx, "e")
	if err != nil {
		return nil, err
	}
	defer l.close()
	rep := &report{Part: fmt.Sprintf("%d protected spokes at one hub", o.spokes)}
	if err := l.crowd(); err != nil {
		return nil, err
	}
	h := &loaded{spokes: o.spokes, rep: rep, variant: "protected"}
	if h.node, h.pprof, err = l.profiled(o, "hub", loadConfig("/16", fleetProfile)); err != nil {
		return nil, err
	}
	if err := h.isUp(); err != nil {
		return nil, err
	}
	f, err := newFleet(l, "spokes", fleetConfig(fleetProfile), o.spokes)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.boot(f.sameProfile()); err != nil {
		return nil, err
	}
	if h.base, err = h.memory(); err != nil {
		return nil, err
	}
	times, mem := table{Columns: campaignColumns}, table{Columns: []string{"memory", "live heap", "each", "resident", "each"}}
	h.remember(&mem, "before", h.base, 0)
	if err := h.gather(ctx, f, &times, &mem, o); err != nil {
		return nil, fmt.Errorf("%w: %s", err, h.tail())
	}
	rep.Tables = []table{times, mem}
	return rep, nil
}

// gather lets them come and live for a while.
func (h *loaded) gather(ctx context.Context, f *fleet, times, mem *table, o options) error {
	before := cpuTime(h.process)
	c, err := f.play(ctx, window, fleetPatience, (*member).join, isRegistered)
	if err != nil {
		return err
	}
	times.Rows = append(times.Rows, c.row(fmt.Sprintf("keys, then registration, %d at a time", window), cpuTime(h.process)-before))
	h.rep.fact("protected.seconds", c.took.Seconds())
	if err := h.measureMemory(mem, "all registered", h.spokes); err != nil {
		return err
	}
	before = cpuTime(h.process)
	f.idle(ctx, quiet)
	if n := h.count("nhrp", "type", "dynamic"); n != h.spokes {
		return fmt.Errorf("the hub shows %d clients, want %d", n, h.spokes)
	}
	h.rep.note("%v later each peer has been asked whether it lives; that took %.1f %% of a core", quiet,
		100*(cpuTime(h.process)-before).Seconds()/quiet.Seconds())
	if err := h.keepHeap(filepath.Join(o.profiles, "protected-heap.pprof")); err != nil {
		return err
	}
	if err := h.measureMemory(mem, fmt.Sprintf("%v later", quiet), h.spokes); err != nil {
		return err
	}
	if _, err := h.ask("/free"); err != nil {
		return err
	}
	return h.measureMemory(mem, "what is garbage given back to the kernel", h.spokes)
}

func (h *loaded) keepHeap(path string) error {
	heap, err := h.ask("/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, heap, 0o644)
}

// restart kills a hub whose spokes send all the time, starts it again, and waits until each has an answer.
func restart(ctx context.Context, o options) (*report, error) {
	l, err := newLab(ctx, "r")
	if err != nil {
		return nil, err
	}
	defer l.close()
	rep := &report{Part: fmt.Sprintf("%d protected spokes, and a hub that is killed", restartSpokes)}
	if err := l.crowd(); err != nil {
		return nil, err
	}
	config := loadConfig("/16", fleetProfile)
	h, err := l.spokeway(o, "hub", config)
	if err != nil {
		return nil, err
	}
	if err := h.isUp(); err != nil {
		return nil, err
	}
	f, err := newFleet(l, "spokes", fleetConfig(fleetProfile), restartSpokes)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.boot(f.sameProfile()); err != nil {
		return nil, err
	}
	t := table{Columns: campaignColumns}
	before := cpuTime(h.process)
	c, err := f.play(ctx, restartSpokes, fleetPatience, (*member).join, isRegistered)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, h.tail())
	}
	t.Rows = append(t.Rows, c.row("all come at once, until registered", cpuTime(h.process)-before))
	f.sendSteadily()
	if _, err := f.play(ctx, restartSpokes, fleetPatience, func(*member) {}, hasAnswer); err != nil {
		return nil, fmt.Errorf("before the restart: %w: %s", err, h.tail())
	}
	for n := range restartRepeats {
		f.idle(ctx, settled)
		if h, err = f.survive(ctx, o, h, config, rep, &t); err != nil {
			return nil, fmt.Errorf("restart %d: %w: %s", n+1, err, h.tail())
		}
	}
	rep.Tables = []table{t}
	return rep, nil
}

// survive kills the hub and starts it at once. All that a spoke had from the one before is gone by then.
func (f *fleet) survive(ctx context.Context, o options, h *node, config string, rep *report, t *table) (*node, error) {
	if err := h.cmd.Process.Kill(); err != nil {
		return h, err
	}
	h.cmd.Wait()
	f.step(0)
	for _, m := range f.members {
		m.answered, m.registered = false, false
	}
	next, err := h.lab.spokeway(o, h.space, config)
	if err != nil {
		return h, err
	}
	c, err := f.play(ctx, restartSpokes, fleetPatience, func(*member) {}, hasAnswer)
	if err != nil {
		return next, err
	}
	t.Rows = append(t.Rows, c.row("hub killed and started: from its start until a ping is answered", cpuTime(next.process)))
	rep.fact("restart.seconds", c.took.Seconds())
	_, err = f.play(ctx, restartSpokes, fleetPatience, func(*member) {}, isRegistered)
	return next, err
}
