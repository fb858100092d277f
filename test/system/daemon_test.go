package system

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
)

// daemon is a router on a host: its configuration, its process, and what it wrote.
type daemon struct {
	*host
	as      []string // what the program is run through, to take rights or devices from it
	flags   []string
	process *exec.Cmd
	ended   chan struct{}
}

func (h *host) path(kind string) string { return filepath.Join(h.w.dir, h.name+kind) }

// daemon is a router that does not run yet.
func (h *host) daemon(config string) *daemon {
	h.w.t.Helper()
	d := &daemon{host: h}
	d.configure(config)
	return d
}

func (d *daemon) configure(text string) {
	d.w.t.Helper()
	if err := os.WriteFile(d.path(".yaml"), []byte(text), 0o644); err != nil {
		d.w.t.Fatal(err)
	}
}

// run is the command that runs the daemon.
func (d *daemon) run() *exec.Cmd {
	argv := append(append([]string{}, d.as...), program, "run", "-c", d.path(".yaml"), "--socket", d.path(".sock"),
		"--state", d.path(".state"), "--log-level", "debug", "--log-format", "logfmt")
	return d.command(append(argv, d.flags...)...)
}

// start runs the daemon and waits until it answers.
func (d *daemon) start() *daemon {
	d.w.t.Helper()
	d.launch()
	d.await()
	return d
}

func (d *daemon) launch() {
	d.w.t.Helper()
	log, err := os.OpenFile(d.path(".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.w.t.Fatal(err)
	}
	defer log.Close()
	c := d.run()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		d.w.t.Fatal(err)
	}
	ended := make(chan struct{})
	d.process, d.ended = c, ended
	go func() {
		c.Wait()
		close(ended)
	}()
	d.w.t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if d.w.t.Failed() {
			d.w.t.Logf("%s:\n%s", d.name, last(d.log(), 40))
		}
		d.healthy()
	})
}

// healthy demands that nothing went wrong that the daemon itself calls a bug.
func (d *daemon) healthy() {
	for _, bad := range []string{"panic", "DATA RACE", "handler-failed"} {
		if i := strings.Index(d.log(), bad); i >= 0 {
			d.w.t.Errorf("%s: %q in the log: %s", d.name, bad, d.log()[i:min(len(d.log()), i+1000)])
		}
	}
}

// refused runs a daemon that is to end by itself, and gives how.
func (d *daemon) refused() result {
	d.w.t.Helper()
	return finish(d.run())
}

// stop ends the daemon as systemd does.
func (d *daemon) stop() {
	d.w.t.Helper()
	d.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(10 * time.Second):
		d.w.t.Fatalf("%s did not end within 10 s of SIGTERM", d.name)
	}
	if code := d.process.ProcessState.ExitCode(); code != 0 {
		d.w.t.Errorf("%s ended with %d", d.name, code)
	}
}

// kill ends the daemon as a power cut would.
func (d *daemon) kill() {
	d.process.Process.Kill()
	<-d.ended
}

func (d *daemon) log() string {
	b, _ := os.ReadFile(d.path(".log"))
	return string(b)
}

func last(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n%s%s", r.code, r.out, r.err)
}

func (r result) failed() error {
	if r.code != 0 {
		return errors.New(r.String())
	}
	return nil
}

// finish runs a command to its end, and not for ever.
func finish(c *exec.Cmd) result {
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	if e := c.Start(); e != nil {
		return result{-1, "", e.Error()}
	}
	t := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	defer t.Stop()
	c.Wait()
	return result{c.ProcessState.ExitCode(), out.String(), err.String()}
}

// cli runs a command of the program against the daemon.
func (d *daemon) cli(args ...string) result {
	return finish(d.command(append([]string{program, "--socket", d.path(".sock"), "-c", d.path(".yaml")}, args...)...))
}

// did demands that a command goes well, and gives its output.
func (d *daemon) did(args ...string) string {
	d.w.t.Helper()
	r := d.cli(args...)
	if r.code != 0 {
		d.w.t.Fatalf("%s: spokeway %s: %v", d.name, strings.Join(args, " "), r)
	}
	return r.out
}

// says demands the exact end of a command.
func (w *world) says(r, want result) {
	w.t.Helper()
	if r != want {
		w.t.Errorf("got\n%v\nwant\n%v", r, want)
	}
}

func rowsOf[T any](d *daemon, what ...string) (rows []T) {
	d.w.t.Helper()
	out := d.did(append(append([]string{"show"}, what...), "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		d.w.t.Fatalf("show %v: %v: %s", what, err, out)
	}
	return rows
}

func (d *daemon) peers() []nhrp.PeerRow { return rowsOf[nhrp.PeerRow](d, "peers") }
func (d *daemon) interfaces() []query.InterfaceRow {
	return rowsOf[query.InterfaceRow](d, "interfaces")
}
func (d *daemon) cache(filter ...string) []nhrp.CacheRow {
	return rowsOf[nhrp.CacheRow](d, append([]string{"nhrp"}, filter...)...)
}

func (d *daemon) iface(name string) query.InterfaceRow {
	d.w.t.Helper()
	for _, i := range d.interfaces() {
		if i.Name == name {
			return i
		}
	}
	d.w.t.Fatalf("%s has no interface %s", d.name, name)
	return query.InterfaceRow{}
}

// counters are what the daemon counted, as "interface name".
func (d *daemon) counters() map[string]uint64 {
	d.w.t.Helper()
	m := map[string]uint64{}
	for _, c := range rowsOf[query.CounterRow](d, "counters") {
		m[strings.TrimSpace(c.Interface+" "+c.Name)] = c.Value
	}
	return m
}

// registered waits until the daemon is registered with a number of hubs.
func (d *daemon) registered(hubs int) *daemon {
	d.w.t.Helper()
	d.await()
	d.w.within(10*time.Second, fmt.Sprintf("%s is registered with %d", d.name, hubs), func() error {
		up := 0
		for _, p := range d.peers() {
			if p.Role == "hub" && p.State == "up" {
				up++
			}
		}
		if up != hubs {
			return fmt.Errorf("with %d:\n%s", up, d.cli("show", "peers"))
		}
		return nil
	})
	return d
}

// stages is what `why` says, with its exit code.
func (d *daemon) why(peer string) (stages []nhrp.Stage, code int) {
	d.w.t.Helper()
	r := d.cli("why", peer, "-o", "json")
	if json.Unmarshal([]byte(r.out), &stages) != nil {
		return nil, r.code
	}
	return stages, r.code
}

// hubConfig and spokeConfig are the usual routers: one tunnel, key 42, the LAN behind each routed through the hub.
func hubConfig(more string) string {
	return `version: 1
node: hub
tunnels:
  tun0: {underlay: eth0, address: 10.100.0.1/24, key: 42, nhrp: {network-id: 1, authentication: secret, holdtime: 60s}}
` + more
}

func spokeConfig(h *host, more string) string {
	return fmt.Sprintf(`version: 1
node: %s
tunnels:
  tun0: {underlay: eth0, address: 10.100.0.%d/24, key: 42, nhrp: {network-id: 1, authentication: secret, holdtime: 60s, servers: [{nbma: 10.9.0.1}]}}
`, h.name, h.number) + more
}

const spokeRoutes = "routes: [{to: 192.168.0.0/16, via: 10.100.0.1}]\n"

// cloud is a hub and spokes, registered.
func (w *world) cloud(spokes int) (hub *daemon, all []*daemon) {
	w.t.Helper()
	routes := "routes:\n"
	for i := range spokes {
		routes += fmt.Sprintf("  - {to: 192.168.%d.0/24, via: 10.100.0.%d}\n", i+2, i+2)
	}
	hub = w.host("hub").daemon(hubConfig(routes))
	hub.launch()
	for i := range spokes {
		s := w.host(fmt.Sprintf("spoke%d", i+1))
		d := s.daemon(spokeConfig(s, spokeRoutes))
		d.launch()
		all = append(all, d)
	}
	hub.await()
	for _, d := range all {
		d.await()
		d.registered(1)
	}
	return hub, all
}

// await waits until a daemon that was launched answers.
func (d *daemon) await() {
	d.w.t.Helper()
	d.w.within(10*time.Second, d.name+" answers", func() error {
		select {
		case <-d.ended:
			d.w.t.Fatalf("%s ended: %v\n%s", d.name, d.process.ProcessState, d.log())
		default:
		}
		return d.cli("show", "config").failed()
	})
}
