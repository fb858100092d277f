package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// `why` names the first stage that fails, with its cause and a remedy, and ends with 3; with 0 when all is well or may
// still become so.
func TestWhy(t *testing.T) {
	w := newWorld(t)
	hub := w.host("hub").daemon(strings.Replace(hubConfig("routes:\n  - {to: 192.168.2.0/24, via: 10.100.0.2}\n  - {to: 192.168.3.0/24, via: 10.100.0.3}\n"),
		"holdtime: 60s", "holdtime: 60s, max-clients: 2", 1))
	hub.start()
	router := func(name string, change ...string) *daemon {
		h := w.host(name)
		d := h.daemon(strings.NewReplacer(change...).Replace(spokeConfig(h, spokeRoutes)))
		return d.start()
	}
	first, second := router("first"), router("second")
	first.registered(1)
	second.registered(1)
	for _, h := range []*daemon{first, second} { // they reach the hub, and not each other
		w.must("ip", "netns", "exec", w.name, "bridge", "link", "set", "dev", h.name, "isolated", "on")
	}
	third := router("third")
	stranger := router("stranger", "secret", "guess")
	nameless := router("nameless", "nbma: 10.9.0.1", "nbma: hub.invalid")
	routeless := router("routeless", "nbma: 10.9.0.1", "nbma: 172.30.0.1")
	deserted := router("deserted", "nbma: 10.9.0.1", "nbma: 10.9.0.99")
	first.reaches(second.lan()) // by the hub, which says that there is a shorter way

	type end struct {
		code                 int
		name, state          string
		detail, remedy, path string
	}
	for _, tt := range []struct {
		name string
		on   *daemon
		peer string
		want end
	}{
		{"hub", first, "10.100.0.1", end{0, "path", "ok", "direct", "", "resolve server, underlay route, registered, adjacency, path"}},
		{"hub by NBMA address", first, "10.9.0.1", end{0, "path", "ok", "direct", "", "resolve server, underlay route, registered, adjacency, path"}},
		{"spoke, asked at the hub", hub, "10.100.0.2", end{0, "path", "ok", "direct", "", "underlay route, registered, adjacency, path"}},
		{"far end does not answer directly", first, second.lan(), end{0, "adjacency", "waiting", "traffic goes by the hub", "", "route, registered, resolution, adjacency"}},
		{"name does not resolve", nameless, "hub.invalid", end{3, "resolve server", "failed", "hub.invalid", "getent hosts hub.invalid", "resolve server"}},
		{"no underlay route", routeless, "172.30.0.1", end{3, "underlay route", "failed", "no route to 172.30.0.1", "ip route get 172.30.0.1", "resolve server, underlay route"}},
		{"hub down", deserted, "10.9.0.99", end{3, "registered", "failed", "10.9.0.99 does not answer", "ping 10.9.0.99", "resolve server, underlay route, registered"}},
		{"wrong password", stranger, "10.9.0.1", end{3, "registered", "failed", "authentication failure", "set the same nhrp authentication on both ends of tunnel tun0", "resolve server, underlay route, registered"}},
		{"wrong password, asked at the hub", hub, "10.100.0.5", end{3, "registered", "failed", "wrong or missing authentication", "set the same nhrp authentication on both ends", "underlay route, registered"}},
		{"hub is full", third, "10.9.0.1", end{3, "registered", "failed", "insufficient resources", "", "resolve server, underlay route, registered"}},
		{"hub is full, asked there", hub, "10.100.0.4", end{3, "registered", "failed", "max-clients", "raise max-clients", "underlay route, registered"}},
		{"nobody", first, "172.31.9.9", end{4, "", "", "", "", ""}},
		{"far end, given up", first, second.lan(), end{3, "resolution", "failed", "does not answer", "", "route, registered, resolution"}},
	} {
		w.within(20*time.Second, tt.name, func() error {
			stages, code := tt.on.why(tt.peer)
			got := end{code: code}
			var path []string
			for _, s := range stages {
				path = append(path, s.Name)
				got.name, got.state, got.detail, got.remedy = s.Name, s.State, s.Detail, s.Remedy
			}
			got.path = strings.Join(path, ", ")
			ok := got.code == tt.want.code && got.name == tt.want.name && got.state == tt.want.state && got.path == tt.want.path &&
				strings.Contains(got.detail, tt.want.detail) && strings.Contains(got.remedy, tt.want.remedy)
			if !ok {
				return fmt.Errorf("got %+v, want %+v", got, tt.want)
			}
			return nil
		})
	}
	if r := stranger.cli("why", "10.9.0.1"); r.code != 3 || !strings.Contains(r.out, "failed   registered") || !strings.Contains(r.out, "remedy: set the same") {
		t.Errorf("as text: %v", r)
	}
	for _, p := range stranger.peers() {
		if !strings.Contains(p.Reason, "authentication") {
			t.Errorf("show peers does not say why: %+v", p)
		}
	}
}

// `monitor` prints events as they happen, and ends well when interrupted.
func TestMonitor(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	hub := w.host("hub").daemon(hubConfig("")).start()
	c := hub.command(program, "--socket", hub.path(".sock"), "monitor", "-o", "json", "--event", "nhrp.")
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		for s := bufio.NewScanner(pipe); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	time.Sleep(300 * time.Millisecond) // it has subscribed; nothing tells when
	s := w.host("spoke")
	spoke := s.daemon(spokeConfig(s, "")).start().registered(1)
	spoke.stop()
	var seen []string
	for deadline := time.After(10 * time.Second); len(seen) < 2; {
		select {
		case line := <-lines:
			var e struct {
				Time, Level, Event string
				Attributes         map[string]any
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if e.Level == "info" && e.Attributes["tunnel"] == "tun0" && e.Attributes["peer"] == s.nbma() {
				seen = append(seen, e.Event)
			}
			if _, err := time.Parse(time.RFC3339Nano, e.Time); err != nil {
				t.Error(err)
			}
		case <-deadline:
			t.Fatalf("seen: %v", seen)
		}
	}
	if !slices.Equal(seen, []string{"nhrp.client-registered", "nhrp.client-left"}) {
		t.Errorf("seen: %v", seen)
	}
	c.Process.Signal(os.Interrupt)
	for range lines {
	}
	if err := c.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// The keys of the JSON are a promise: additions only.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(2)
	a, b := spokes[0], spokes[1]
	a.reaches(b.lan())
	w.within(10*time.Second, "there is a shortcut", func() error {
		a.ping(b.lan(), "-c", "1")
		for _, s := range rowsOf[nhrp.ShortcutRow](a, "shortcuts") {
			if s.Type == "dynamic" {
				return nil
			}
		}
		return fmt.Errorf("none")
	})
	for what, keys := range map[string]string{
		"nhrp":       "interface type protocol prefixLength nbma claimedNbma flags identity expiresIn",
		"shortcuts":  "interface type prefix via nbma identity expiresIn",
		"peers":      "interface protocol nbma role path state identity rtt upFor reason",
		"routes":     "vrf prefix protocol distance metric nextHops selected age",
		"interfaces": "name state reason underlay local key encapsulation mtu addresses packetsIn packetsOut bytesIn bytesOut drops",
		"timers":     "module name of expiresIn",
		"counters":   "module interface name value",
		"config":     "config yaml",
	} {
		for _, row := range rowsOf[map[string]any](a, what) {
			for _, key := range strings.Fields(keys) {
				if _, ok := row[key]; !ok {
					t.Errorf("show %s: no %s in %v", what, key, row)
				}
			}
		}
		if len(rowsOf[map[string]any](a, what)) == 0 {
			t.Errorf("show %s: no rows", what)
		}
	}
	types := map[string]bool{}
	for _, r := range append(a.cache(), hub.cache()...) {
		types[r.Type] = true
	}
	for _, want := range []string{"local", "static", "dynamic"} {
		if !types[want] {
			t.Errorf("show nhrp: no row of type %s", want)
		}
	}
	for _, row := range rowsOf[map[string]any](a, "routes") {
		for _, hop := range row["nextHops"].([]any) {
			if h := hop.(map[string]any); h["interface"] == nil || h["via"] == nil {
				t.Errorf("next hop %v", h)
			}
		}
	}
}

// `doctor` says for each check what it found, and what to do where something is wrong.
func TestDoctor(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	h := w.host("hub")
	d := h.daemon(hubConfig(""))
	ask := func() (map[string]map[string]string, int) {
		r := d.cli("doctor", "-o", "json")
		var rows []map[string]string
		if err := json.Unmarshal([]byte(r.out), &rows); err != nil {
			t.Fatalf("%v: %v", err, r)
		}
		found := map[string]map[string]string{}
		for _, row := range rows {
			found[row["name"]] = row
			if row["name"] == "" || row["detail"] == "" || row["status"] == "fail" && row["remedy"] == "" {
				t.Errorf("incomplete: %v", row)
			}
		}
		return found, r.code
	}
	found, code := ask()
	for name, status := range map[string]string{
		"tun device": "ok", "capabilities": "ok", "forwarding": "warn", "tun0 underlay": "ok", "tun0 mtu": "ok", "tun0 addresses": "ok", "udp port 4754": "skip",
	} {
		if found[name]["status"] != status {
			t.Errorf("%s: %v, want %s", name, found[name], status)
		}
	}
	if code != 0 {
		t.Errorf("a fit host: exit %d: %v", code, found)
	}
	h.ip("address", "add", "10.100.0.200/24", "dev", "lan")
	h.ip("link", "set", "eth0", "down")
	found, code = ask()
	if code != 3 || found["tun0 underlay"]["status"] != "fail" || found["tun0 underlay"]["remedy"] != "ip link set eth0 up" || found["tun0 addresses"]["status"] != "fail" {
		t.Errorf("an unfit host: exit %d: %v", code, found)
	}
	before := h.state()
	ask()
	h.same(before)
}
