package system

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf"
)

// watched follows what a host's kernel tells of routes, until the function it gives is called.
func (h *host) watched() func() string {
	h.w.t.Helper()
	var changes bytes.Buffer
	monitor := h.command("ip", "-ts", "monitor", "route")
	monitor.Stdout = &changes
	if err := monitor.Start(); err != nil {
		h.w.t.Fatal(err)
	}
	ended := false
	end := func() string {
		if !ended {
			ended = true
			monitor.Process.Kill()
			monitor.Wait()
		}
		return changes.String()
	}
	h.w.t.Cleanup(func() { end() })
	return end
}

const restartHub = `version: 1
node: hub
tunnels:
  tun0: {underlay: eth0, address: 10.100.0.1/24, key: 42, nhrp: {network-id: 1, redirect: false}}
ospf:
  graceful-restart: {period: 60s}
  areas: {0: {interfaces: {tun0: {hello: 1}, lan: {passive: true}}}}
`

func restartSpoke(h *host) string {
	return fmt.Sprintf(`version: 1
node: %s
tunnels:
  tun0: {underlay: eth0, address: 10.100.0.%d/24, key: 42, nhrp: {network-id: 1, holdtime: 600s, shortcut: false, servers: [{nbma: 10.9.0.1, protocol: 10.100.0.1}]}}
ospf:
  areas: {0: {interfaces: {tun0: {hello: 1}, lan: {passive: true}}}}
`, h.name, h.number)
}

func (d *daemon) full(n int) {
	d.w.t.Helper()
	d.w.within(40*time.Second, fmt.Sprintf("%s has %d adjacencies", d.name, n), func() error {
		up := 0
		for _, r := range rowsOf[ospf.NeighborRow](d, "ospf", "neighbors") {
			if r.State == "full" {
				up++
			}
		}
		if up != n {
			return fmt.Errorf("%d are full", up)
		}
		return nil
	})
}

// A hub between two spokes ends for another process to take over. Packets wait for that one, since this one forwarded them; but
// no route changes anywhere, no adjacency is lost, and the spokes need not register again (RFC 3623, RFC 2332 5.2.3).
func TestRestartOfAHub(t *testing.T) {
	w := newWorld(t)
	hub := w.host("hub").daemon(restartHub)
	hub.start()
	var spokes []*daemon
	for _, name := range []string{"spoke1", "spoke2"} {
		h := w.host(name)
		spokes = append(spokes, h.daemon(restartSpoke(h)).start().registered(1))
	}
	hub.full(2)
	for _, s := range spokes {
		s.full(1)
	}
	w.within(20*time.Second, "the spokes reach each other's LAN by the hub", func() error {
		_, err := spokes[0].try("ping", "-c", "1", "-W", "1", "-I", spokes[0].lan(), spokes[1].lan())
		return err
	})
	index := strings.Fields(hub.ip("link", "show", "tun0"))[0]
	ends := map[*daemon]func() string{hub: hub.watched(), spokes[0]: spokes[0].watched(), spokes[1]: spokes[1].watched()}
	var pings bytes.Buffer
	ping := spokes[0].command("ping", "-n", "-D", "-i", "0.001", "-I", spokes[0].lan(), spokes[1].lan())
	ping.Stdout = &pings
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	defer ping.Process.Kill()

	begin := time.Now()
	hub.did("restart")
	select {
	case <-hub.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the hub did not end")
	}
	if code := hub.process.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the hub ended with %d", code)
	}
	if err := hub.has("192.168.2.0/24", "192.168.3.0/24", "tun0"); err != nil {
		t.Errorf("nobody is there, and neither is what was to stay: %v", err)
	}
	hub.start()
	spokes[0].must("ping", "-c", "1", "-w", "10", "-i", "0.01", "-I", spokes[0].lan(), spokes[1].lan())
	t.Logf("forwarding again after %v", time.Since(begin).Round(time.Millisecond))
	hub.full(2)
	w.within(20*time.Second, "the restart is over", func() error {
		if !strings.Contains(hub.log(), "ospf.restarted") {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	w.within(70*time.Second, "what is stale has been swept", func() error {
		for _, s := range rowsOf[struct{ Name string }](hub, "timers") {
			if s.Name == "settle" {
				return fmt.Errorf("not yet")
			}
		}
		return nil
	})
	ping.Process.Kill()
	ping.Wait()
	for d, end := range ends {
		for line := range strings.Lines(end()) {
			if strings.Contains(line, "Deleted") {
				t.Errorf("%s: a gap: %s", d.name, line)
			}
		}
	}
	for _, s := range spokes {
		for _, bad := range []string{"nhrp.server-lost", "nhrp.dismissed", "from=full to=down", "from=full to=init"} {
			for line := range strings.Lines(s.log()) {
				if strings.Contains(line, bad) {
					t.Errorf("%s: %s", s.name, line)
				}
			}
		}
		if !strings.Contains(s.log(), "ospf.restart-helped") {
			t.Errorf("%s did not help", s.name)
		}
	}
	if now := strings.Fields(hub.ip("link", "show", "tun0"))[0]; now != index {
		t.Errorf("the device is another: %s, was %s", now, index)
	}
	t.Logf("of pings each ms none was answered for %v", longestGap(pings.String()))
	hub.stop()
	if links := hub.ip("-br", "link"); strings.Contains(links, "tun0") {
		t.Errorf("SIGTERM left the device: %s", links)
	}
}

var stamp = regexp.MustCompile(`\[(\d+)\.(\d{6})\] .* icmp_seq=(\d+)`)

// longestGap is the longest time for which no answer came.
func longestGap(pings string) (longest time.Duration) {
	var last time.Time
	for _, m := range stamp.FindAllStringSubmatch(pings, -1) {
		s, _ := strconv.ParseInt(m[1], 10, 64)
		us, _ := strconv.ParseInt(m[2], 10, 64)
		at := time.Unix(s, us*1000)
		if !last.IsZero() {
			longest = max(longest, at.Sub(last))
		}
		last = at
	}
	return longest.Round(time.Millisecond)
}
