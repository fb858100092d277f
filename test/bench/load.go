package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Addresses of the load part. Both prefixes are of 16 bits.
var (
	nbmaBase     = netip.MustParseAddr("10.50.0.0")
	protocolBase = netip.MustParseAddr("10.100.0.0")
	hubNBMA      = netip.MustParseAddr("10.9.0.1")
	hubProtocol  = netip.MustParseAddr("10.100.0.1")
)

const (
	loadKey     = 42
	password    = "bench"
	holdSeconds = 600
	// window is how many requests are on their way while the rate is measured: enough to keep the hub busy, few enough
	// to be answered before a spoke would ask again.
	window = 256
)

// load lets thousands of spokes register with one hub.
func load(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: fmt.Sprintf("%d spokes at one hub", o.spokes)}
	for _, c := range []struct{ name, mask string }{
		{"tunnel /16", "/16"},
		{"tunnel /32: a kernel route for each spoke", "/32"},
	} {
		if err := loadOne(ctx, o, rep, c.name, c.mask); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return rep, nil
}

// loaded is a hub with its generator.
type loaded struct {
	*node
	gen     *generator
	pprof   string
	spokes  int
	times   table
	base    memory
	rep     *report
	variant string
}

func loadOne(ctx context.Context, o options, rep *report, name, mask string) error {
	l, err := newLab(ctx, "l")
	if err != nil {
		return err
	}
	defer l.close()
	h, err := startLoaded(l, o, mask)
	if err != nil {
		return err
	}
	defer h.gen.close()
	h.rep, h.variant = rep, strings.TrimPrefix(mask, "/")
	h.times = table{Title: name, Columns: []string{"", "per second", "all done after", "reply p50", "reply p99", "retransmitted", "hub CPU each"}}
	mem := table{Columns: []string{"memory", "live heap", "each", "resident", "each"}}
	if err := h.play(ctx, &mem, mask == "/32"); err != nil {
		return fmt.Errorf("%w: %s", err, h.tail())
	}
	rep.Tables = append(rep.Tables, h.times, mem)
	return h.profile(ctx, filepath.Join(o.profiles, "load-"+h.variant))
}

// profile keeps where the hub's time goes while everybody comes and leaves once more, and its memory while all are there.
func (h *loaded) profile(ctx context.Context, path string) error {
	ran := make(chan error, 1)
	var heap []byte
	go func() {
		_, err := h.gen.play(ctx, window, registration(hubNBMA, hubProtocol))
		if err == nil {
			heap, err = h.ask("/debug/pprof/heap?gc=1")
		}
		if err == nil {
			_, err = h.gen.play(ctx, window, purge(hubProtocol))
		}
		ran <- err
	}()
	cpu, err := h.ask("/debug/pprof/profile?seconds=3")
	return errors.Join(err, <-ran, os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path+"-cpu.pprof", cpu, 0o644), os.WriteFile(path+"-heap.pprof", heap, 0o644))
}

func startLoaded(l *lab, o options, mask string) (*loaded, error) {
	if err := l.crowd(); err != nil {
		return nil, err
	}
	h := &loaded{spokes: o.spokes}
	var err error
	if h.node, h.pprof, err = l.profiled(o, "hub", loadConfig(mask, "")); err != nil {
		return nil, err
	}
	if err := h.isUp(); err != nil {
		return nil, err
	}
	h.gen, err = newGenerator(l, "spokes", hubNBMA, loadKey, o.spokes)
	return h, err
}

// crowd is a hub, and a namespace for all its spokes.
func (l *lab) crowd() error {
	return l.build(`
		netns hub
		netns spokes
		hub: link add eth0 type veth peer name eth0 netns @spokes
		hub: addr add 10.9.0.1/24 dev eth0
		spokes: addr add 10.9.0.2/24 dev eth0
		hub: link set eth0 up
		spokes: link set eth0 up
		hub: route add 10.50.0.0/16 via 10.9.0.2
		spokes: route add local 10.50.0.0/16 dev lo
	`)
}

// loadConfig is the hub. With a profile it is protected.
func loadConfig(mask, profile string) string {
	return fmt.Sprintf(`version: 1
tunnels:
  tun0:
    underlay: eth0
    address: %v%s
    key: %d
    mtu: %d
    nhrp: {network-id: 1, authentication: %s}
`, hubProtocol, mask, loadKey, innerMTU, password) + protectedBy(profile)
}

// protectedBy is what follows the only tunnel of a configuration, to protect it.
func protectedBy(profile string) string {
	if profile == "" {
		return ""
	}
	return "    protect: bench\nprofiles:\n  bench: " + profile + "\n"
}

// isUp waits until the router forwards.
func (r *node) isUp() error {
	err := r.lab.until("the hub is up", 10*time.Second, func() bool { return r.count("interfaces", "state", "up") > 0 })
	if err != nil {
		return fmt.Errorf("%w: %s", err, r.tail())
	}
	return nil
}

// profiled starts a router that can be asked for its memory and profiles. It is started by a program, if one is given.
func (l *lab) profiled(o options, space, config string, by ...string) (r *node, pprof string, err error) {
	r = &node{lab: l, space: space, binary: o.spokeway, socket: filepath.Join(l.dir, space+".sock")}
	file := filepath.Join(l.dir, space+".yaml")
	pprof = filepath.Join(l.dir, space+".pprof")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	r.process, err = l.start(space, nil, append(by, o.self, hubCommand, "-c", file, "-socket", r.socket, "-pprof", pprof)...)
	return r, pprof, err
}

// act is one thing that everybody does, and what the hub holds afterwards.
type act struct {
	title, key string
	window     int
	request    requester
	left       int    // clients
	memory     string // "" does not ask
	check      bool   // ask the hub for its clients; the answer is garbage of megabytes, so not before memory is measured
}

// play is the day of the hub: everybody comes, refreshes, leaves, and comes back all at once after a power cut.
func (h *loaded) play(ctx context.Context, mem *table, routes bool) (err error) {
	if h.base, err = h.memory(); err != nil {
		return err
	}
	h.remember(mem, "before", h.base, 0)
	come, leave := registration(hubNBMA, hubProtocol), purge(hubProtocol)
	for _, a := range []act{
		{fmt.Sprintf("register, %d at a time", window), "register", window, come, h.spokes, "all registered", false},
		{"refresh 1", "refresh", window, come, h.spokes, "", false},
		{"refresh 2", "refresh", window, come, h.spokes, "", false},
		{"refresh 3", "refresh", window, come, h.spokes, "all refreshed", true},
		{"purge", "purge", window, leave, 0, "", true},
		{"register, all at once", "burst", h.spokes, come, h.spokes, "", true},
		{"purge", "purge", window, leave, 0, "all purged", true},
	} {
		if err := h.act(ctx, a, mem, routes); err != nil {
			return fmt.Errorf("%s: %w", a.title, err)
		}
	}
	if _, err := h.ask("/free"); err != nil {
		return err
	}
	return h.measureMemory(mem, "given back to the kernel", 0)
}

// act measures one. The hub, and the kernel where it has routes, must hold what is left.
func (h *loaded) act(ctx context.Context, a act, mem *table, routes bool) error {
	before, begin := cpuTime(h.process), time.Now()
	r, err := h.gen.play(ctx, a.window, a.request)
	if err != nil {
		return err
	}
	kernel := ""
	if routes {
		took, err := h.settle(begin, a.left)
		if err != nil {
			return err
		}
		kernel = fmt.Sprintf(", in the kernel %.2f s", took.Seconds())
		h.rep.fact(h.variant+"."+a.key+".kernelSeconds", took.Seconds())
	}
	h.record(a, r, kernel, cpuTime(h.process)-before)
	if a.memory != "" {
		if err := h.measureMemory(mem, a.memory, a.left); err != nil {
			return err
		}
	}
	if !a.check {
		return nil
	}
	if n := h.count("nhrp", "type", "dynamic"); n != a.left {
		return fmt.Errorf("the hub shows %d clients, want %d", n, a.left)
	}
	return nil
}

func (h *loaded) record(a act, r round, kernel string, cpu time.Duration) {
	p50, p99 := percentile(r.replies, 50), percentile(r.replies, 99)
	h.times.Rows = append(h.times.Rows, []string{
		a.title, digits(r.rate()), fmt.Sprintf("%.2f s", r.took.Seconds()) + kernel,
		digits(p50) + " ms", digits(p99) + " ms", strconv.Itoa(r.retransmitted),
		digits(float64(cpu.Microseconds())/float64(len(r.replies))) + " µs",
	})
	h.rep.fact(h.variant+"."+a.key+".perSecond", r.rate())
	h.rep.fact(h.variant+"."+a.key+".seconds", r.took.Seconds())
	h.rep.fact(h.variant+"."+a.key+".p99ms", p99)
}

// settle waits until the kernel has a route for each client that is left.
func (h *loaded) settle(begin time.Time, left int) (time.Duration, error) {
	err := h.lab.until(fmt.Sprintf("the kernel has %d routes", left), giveUp, func() bool { return h.routes() == left })
	return time.Since(begin), err
}

// routes counts the host routes of the spokes in the hub's kernel.
func (h *loaded) routes() int {
	out, err := h.lab.output(h.space, "ip", "-4", "route", "show", "dev", "tun0")
	if err != nil {
		return -1
	}
	return bytes.Count(out, []byte("\n"))
}

// memory is what a process holds, in octets.
type memory struct{ live, resident float64 }

func (h *loaded) measureMemory(t *table, when string, spokes int) error {
	m, err := h.memory()
	if err == nil {
		h.remember(t, when, m, spokes)
	}
	return err
}

func (h *loaded) remember(t *table, when string, m memory, spokes int) {
	row := []string{when, mib(m.live), "", mib(m.resident), ""}
	if spokes > 0 {
		live, resident := (m.live-h.base.live)/float64(spokes), (m.resident-h.base.resident)/float64(spokes)
		row[2], row[4] = kib(live), kib(resident)
		h.rep.fact(h.variant+".liveOctetsPerSpoke", live)
		h.rep.fact(h.variant+".residentOctetsPerSpoke", resident)
	}
	t.Rows = append(t.Rows, row)
}

func mib(f float64) string { return fmt.Sprintf("%.1f MiB", f/(1<<20)) }
func kib(f float64) string { return fmt.Sprintf("%.2f KiB", f/(1<<10)) }

// memory asks for the resident set first: the question after the live heap collects garbage.
func (h *loaded) memory() (m memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid()))
	if err != nil {
		return m, err
	}
	m.resident = residentOf(string(status))
	live, err := h.ask("/live")
	if err != nil {
		return m, err
	}
	m.live, err = strconv.ParseFloat(string(live), 64)
	return m, err
}

// residentOf reads VmRSS, in octets.
func residentOf(status string) float64 {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			return kb * 1024
		}
	}
	return 0
}

func (h *loaded) ask(path string) ([]byte, error) { return askProfiler(h.pprof, path) }

func askProfiler(socket, path string) ([]byte, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://router" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}
