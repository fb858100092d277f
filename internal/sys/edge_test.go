package sys

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// host is an edge under test and what it told.
type host struct {
	*Edge
	t    testing.TB
	told chan core.Event

	mu     sync.Mutex
	routes map[kernel.Key]kernel.Learned
	links  map[string]core.Link
}

func start(t testing.TB, dir string) *host {
	t.Helper()
	needNamespace(t)
	h := &host{t: t, told: make(chan core.Event, 1<<20), routes: map[kernel.Key]kernel.Learned{}, links: map[string]core.Link{}}
	e, err := Open(Options{
		Post:      func(_ string, ev core.Event) { h.take(ev) },
		Broadcast: h.take,
		StateDir:  dir,
		Log:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Edge = e
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return h
}

// take keeps what a module would know after the event.
func (h *host) take(ev core.Event) {
	if all, ok := ev.(kernel.Told); ok {
		for _, ev := range all {
			h.take(ev)
		}
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch ev := ev.(type) {
	case kernel.Learned:
		h.routes[ev.Key()] = ev
	case kernel.Forgotten:
		delete(h.routes, kernel.Key(ev))
	case core.Link:
		h.links[ev.Name] = ev
		if ev.Gone {
			delete(h.links, ev.Name)
		}
	}
	h.told <- ev
}

// until waits for an event that f takes for what was awaited.
func until[E any](h *host, what string, f func(E) bool) E {
	h.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case ev := <-h.told:
			if e, ok := ev.(E); ok && f(e) {
				return e
			}
		case <-limit:
			h.t.Fatalf("never told: %s", what)
		}
	}
}

func (h *host) route(p string, metric uint32) (kernel.Learned, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, ok := h.routes[kernel.Key{Prefix: netip.MustParsePrefix(p), Metric: metric}]
	return l, ok
}

// pair makes a veth pair, up and with carrier, the first end with the addresses.
func pair(t testing.TB, a, b string, addrs ...string) {
	t.Helper()
	needNamespace(t)
	ip(t, "link", "add", a, "type", "veth", "peer", "name", b)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", a).Run() })
	for _, addr := range addrs {
		if strings.Contains(addr, ":") {
			ip(t, "addr", "add", addr, "dev", a, "nodad")
			continue
		}
		ip(t, "addr", "add", addr, "dev", a)
	}
	ip(t, "link", "set", a, "up")
	ip(t, "link", "set", b, "up")
	for end := time.Now().Add(10 * time.Second); !strings.Contains(ip(t, "link", "show", a), "state UP"); {
		if time.Now().After(end) { // Linux tells of a carrier a moment after it is there
			t.Fatalf("%s has no carrier", a)
		}
		time.Sleep(time.Millisecond)
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func install(p string, metric uint32, hops ...rib.NextHop) kernel.Install {
	return kernel.Install{Route: kernel.Route{Prefix: prefix(p), Metric: metric, NextHops: hops}}
}

func drop(p string, metric uint32, k rib.Kind) kernel.Install {
	return kernel.Install{Route: kernel.Route{Prefix: prefix(p), Metric: metric, Kind: k}}
}

func learned(p string, metric uint32) func(kernel.Learned) bool {
	return func(l kernel.Learned) bool { return l.Prefix == prefix(p) && l.Metric == metric }
}

func forgotten(p string, metric uint32) func(kernel.Forgotten) bool {
	return func(f kernel.Forgotten) bool { return f.Prefix == prefix(p) && f.Metric == metric }
}

func TestStartTellsLinksBeforeRoutesAndThenSynced(t *testing.T) {
	pair(t, "sa0", "sa1", "192.0.2.1/24", "2001:db8:1::1/64")
	ip(t, "route", "add", "198.51.100.0/24", "via", "192.0.2.9", "metric", "7")
	h := start(t, "")
	var order []string
	until(h, "synced", func(ev core.Event) bool {
		if word := fmt.Sprintf("%T", ev); len(order) == 0 || order[len(order)-1] != word {
			order = append(order, word)
		}
		_, last := ev.(kernel.Synced)
		return last
	})
	if want := []string{"core.Link", "kernel.Learned", "kernel.Synced"}; !slices.Equal(order, want) {
		t.Errorf("told %v, want %v", order, want)
	}
	h.mu.Lock()
	link := h.links["sa0"]
	h.mu.Unlock()
	if link.MTU != 1500 || !slices.Contains(link.Addresses, prefix("192.0.2.1/24")) || !slices.Contains(link.Addresses, prefix("2001:db8:1::1/64")) {
		t.Errorf("link: %+v", link)
	}
	tests := []struct {
		prefix    string
		metric    uint32
		connected bool
		hops      []rib.NextHop
	}{
		{"192.0.2.0/24", 0, true, []rib.NextHop{{Interface: "sa0"}}},
		{"2001:db8:1::/64", 256, true, []rib.NextHop{{Interface: "sa0"}}},
		{"198.51.100.0/24", 7, false, []rib.NextHop{{Interface: "sa0", Via: addr("192.0.2.9")}}},
	}
	for _, tt := range tests {
		l, ok := h.route(tt.prefix, tt.metric)
		if !ok || l.Connected != tt.connected || l.Ours || !reflect.DeepEqual(l.NextHops, tt.hops) {
			t.Errorf("%s: got %+v %v, want %+v", tt.prefix, l, ok, tt)
		}
	}
}

func TestInstallEchoesAndRemoves(t *testing.T) {
	pair(t, "sb0", "sb1", "192.0.2.1/24", "2001:db8:1::1/64")
	pair(t, "sb2", "sb3", "203.0.113.1/24")
	hop := func(via, dev string, w uint8) rib.NextHop {
		h := rib.NextHop{Interface: dev, Weight: w}
		if via != "" {
			h.Via = addr(via)
		}
		return h
	}
	tests := []struct {
		name string
		do   kernel.Install
		show string // what iproute2 says of it
	}{
		{"by a next hop", install("10.1.0.0/16", 10, hop("192.0.2.2", "sb0", 0)), "via 192.0.2.2 dev sb0 proto 47 metric 10"},
		{"on the link", install("10.2.0.0/16", 10, hop("", "sb0", 0)), "dev sb0 proto 47 scope link metric 10"},
		{"next hop outside every prefix", install("10.3.0.0/16", 10, hop("100.64.0.1", "sb0", 0)), "via 100.64.0.1 dev sb0 proto 47 metric 10 onlink"},
		{"two next hops", install("10.4.0.0/16", 1, hop("192.0.2.2", "sb0", 2), hop("203.0.113.2", "sb2", 1)), "weight 2"},
		{"blackhole", drop("10.5.0.0/16", 250, rib.Blackhole), "blackhole 10.5.0.0/16 proto 47 metric 250"},
		{"IPv4 by an IPv6 next hop", install("10.6.0.0/16", 10, hop("2001:db8:1::2", "sb0", 0)), "via inet6 2001:db8:1::2"},
		{"IPv6", install("2001:db8:f::/48", 10, hop("2001:db8:1::2", "sb0", 0)), "via 2001:db8:1::2 dev sb0 proto 47 metric 10"},
		{"IPv6, next hop outside every prefix", install("2001:db8:e::/48", 10, hop("2001:db8:ff::2", "sb0", 0)), "onlink"},
		{"IPv6 blackhole", drop("2001:db8:d::/48", 10, rib.Blackhole), "blackhole 2001:db8:d::/48"},
		{"reject", drop("10.7.0.0/16", 1, rib.Reject), "unreachable 10.7.0.0/16 proto 47 metric 1"},
		{"IPv6 reject", drop("2001:db8:c::/48", 1, rib.Reject), "unreachable 2001:db8:c::/48"},
	}
	h := start(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, metric := tt.do.Prefix.String(), tt.do.Metric
			h.Do(tt.do)
			l := until(h, "learned "+p, learned(p, metric))
			if !l.Ours || !l.Equal(tt.do.Route) {
				t.Errorf("learned %+v, want %+v", l, tt.do.Route)
			}
			family := "-4"
			if tt.do.Prefix.Addr().Is6() {
				family = "-6"
			}
			if out := ip(t, family, "route", "show", p); !strings.Contains(out, tt.show) {
				t.Errorf("kernel has %q, want %q in it", out, tt.show)
			}
			h.Do(kernel.Remove(tt.do.Key()))
			until(h, "forgotten "+p, forgotten(p, metric))
		})
	}
}
