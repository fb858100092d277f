package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// maxTries is how many addresses of the far LAN are asked. Each try goes to another: a hub tells of a shorter way at most every
// two seconds per flow.
const maxTries = 240

// A packet loses one of the TTL it left with at the hub, and none on the direct way.
const fullTTL = 64

const (
	probesAfter  = 100 // once the direct way is taken in both directions: nothing may be lost after the change either
	longestTry   = 5 * time.Second
	answerWithin = 500 * time.Millisecond
)

// shortcut measures how long it takes from the first packet, by the hub, to the first by the direct way.
func shortcut(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: fmt.Sprintf("First packet to direct path, %d tries", o.tries)}
	t := table{Columns: []string{"a probe each millisecond", "least", "median", "p99", "greatest", "probes", "lost"}}
	for _, c := range []struct {
		name string
		carrier
	}{{"GRE", carrier{encapsulation: "gre"}}, {"GRE-in-UDP", carrier{encapsulation: "udp"}}, {"ESP in UDP", carrier{"auto", true}}} {
		tries, err := shortcuts(ctx, o, c.name, c.carrier)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		t.Rows = append(t.Rows, tries.rows(rep, c.name)...)
	}
	rep.Tables = []table{t}
	return rep, nil
}

// tries is what all tries found. Times are in milliseconds.
type tries struct {
	there, both  []float64
	probes, lost int
}

func (r tries) rows(rep *report, name string) [][]string {
	rep.fact(name+".medianMs", median(r.there))
	rep.fact(name+".lost", float64(r.lost))
	there := append(timesRow(name+": until packets go the direct way", r.there), "", "")
	both := timesRow(name+": until answers come that way, too", r.both)
	return [][]string{there, append(both, strconv.Itoa(r.probes), strconv.Itoa(r.lost))}
}

func timesRow(title string, ms []float64) []string {
	row := []string{title}
	for _, p := range []float64{0, 50, 99, 100} {
		row = append(row, digits(percentile(ms, p))+" ms")
	}
	return row
}

func shortcuts(ctx context.Context, o options, name string, c carrier) (r tries, err error) {
	l, err := newLab(ctx, "s")
	if err != nil {
		return r, err
	}
	defer l.close()
	s, err := l.star("s")
	if err != nil {
		return r, err
	}
	if err := s.routers(o, cloud{carrier: c, shortcut: true}); err != nil {
		return r, err
	}
	h := &hearer{}
	e, err := listen(l, "s-b", h.hear)
	if err != nil {
		return r, err
	}
	defer e.close()
	for n := range o.tries {
		if err := s.try(ctx, h, n, &r); err != nil {
			return r, fmt.Errorf("try %d: %w", n+1, err)
		}
		if (n+1)%25 == 0 {
			progress("shortcut over "+name, n+1, o.tries)
		}
	}
	return r, nil
}

// hearer remembers when the first request of a try came by the direct way.
type hearer struct {
	mu     sync.Mutex
	id     uint16
	direct time.Time
}

func (h *hearer) hear(id uint16, ttl uint8, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == h.id && ttl == fullTTL && h.direct.IsZero() {
		h.direct = at
	}
}

func (h *hearer) expect(id uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id, h.direct = id, time.Time{}
}

func (h *hearer) heard() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.direct
}

// try is one first packet to one far address, and those after it.
func (s *star) try(ctx context.Context, h *hearer, n int, r *tries) error {
	if err := s.forget(); err != nil {
		return err
	}
	to := netip.AddrFrom4([4]byte{192, 168, 2, byte(10 + n)})
	p, err := newProber(s.lab, s.name+"-a", netip.MustParseAddr(leftLAN), to)
	if err != nil {
		return err
	}
	defer p.close()
	h.expect(p.id)
	settled := 0
	sent := p.run(ctx, time.Millisecond, answerWithin, func(sent []echo) bool {
		if back := firstDirect(sent); back >= 0 && !h.heard().IsZero() {
			settled++
		}
		return settled > probesAfter || len(sent) > int(longestTry/time.Millisecond)
	})
	back, there := firstDirect(sent), h.heard()
	if back < 0 || there.IsZero() {
		return fmt.Errorf("no direct path within %v: %s %s", longestTry, s.left.tail(), s.right.tail())
	}
	begin := sent[0].sent
	r.there = append(r.there, milliseconds(there.Sub(begin)))
	r.both = append(r.both, milliseconds(max(there.Sub(begin), sent[back].sent.Add(sent[back].rtt).Sub(begin))))
	r.probes += len(sent)
	for _, e := range sent {
		if e.rtt == 0 {
			r.lost++
		}
	}
	return ctx.Err()
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// firstDirect is the first request whose answer came by the direct way, -1 when none has.
func firstDirect(sent []echo) int {
	for i, e := range sent {
		if e.rtt != 0 && e.ttl == fullTTL {
			return i
		}
	}
	return -1
}

// forget makes both spokes as they were before they met: no shortcut, no router that was resolved, and no SA but the
// hub's. An SA between the two ends only when whoever began it needs it no more, so both forget before either is asked.
func (s *star) forget() error {
	spokes := []*node{s.left, s.right}
	for _, r := range spokes {
		for _, what := range []string{"shortcuts", "nhrp"} {
			if err := r.clear(what); err != nil {
				return err
			}
		}
	}
	for _, r := range spokes {
		err := s.lab.until("the spokes know nothing of each other", 5*time.Second, func() bool {
			cuts, err := r.show("shortcuts")
			return err == nil && len(cuts) == 0 && r.count("peers", "role", "spoke") == 0 && r.count("peers", "state", "up") == 1 &&
				r.count("sas", "state", "up") <= 1
		})
		if err != nil {
			return err
		}
	}
	return nil
}
