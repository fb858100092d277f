package system

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// kernel is the interfaces, addresses and routes of a host, without what only counts down.
func (h *host) kernel() string {
	text := h.ip("-br", "link") + h.ip("-o", "-4", "address") + h.ip("-o", "-6", "address") + h.ip("route") + h.ip("-6", "route")
	return nexthopObject.ReplaceAllString(text, "")
}

// nexthopObject is what a route says of the object it shares, before the next hop itself.
var nexthopObject = regexp.MustCompile(`nhid \d+ `)

// A daemon that was killed in the middle of traffic leaves routes and addresses. The next takes over what it wants
// too, without a gap, and removes the rest; what is another's stays. SIGTERM
// leaves nothing of ours but the addresses of listed interfaces.
func TestKilledAndRestarted(t *testing.T) {
	w := newWorld(t)
	hub := w.host("hub").daemon(hubConfig(""))
	hub.start()
	s := w.host("spoke")
	const inBoth = "  - {to: 172.20.1.0/24, via: 10.9.0.9}\n  - {to: \"fd20:1::/48\", via: \"2001:db8:9::9\"}\n  - {to: 192.168.0.0/16, via: 10.100.0.1}\n"
	spoke := s.daemon(spokeConfig(s, "interfaces: {lan: {address: [192.168.22.1/24, 192.168.23.1/24, \"fd00:22::1/64\"]}}\nroutes:\n"+inBoth+
		"  - {to: 172.20.2.0/24, via: 10.9.0.9}\n  - {to: \"fd20:2::/48\", via: \"2001:db8:9::9\"}\n"))
	s.ip("address", "add", "192.168.99.1/24", "dev", "lan")
	s.ip("route", "add", "172.21.0.0/16", "via", "10.9.0.8")
	clean := s.kernel()
	spoke.start().registered(1)
	w.within(5*time.Second, "all routes are there", func() error {
		return s.has("172.20.1.0/24", "172.20.2.0/24", "fd20:1::/48", "fd20:2::/48", "192.168.0.0/16")
	})

	ping := s.command("ping", "-n", "-q", "-i", "0.01", "10.100.0.1")
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	defer ping.Wait()
	defer ping.Process.Kill()
	var changes bytes.Buffer
	monitor := s.command("ip", "monitor", "address", "route")
	monitor.Stdout = &changes
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			monitor.Process.Kill()
			monitor.Wait()
		}
	}
	defer stop()
	time.Sleep(50 * time.Millisecond) // there is traffic
	spoke.kill()
	if err := s.has("172.20.1.0/24", "172.20.2.0/24", "fd20:1::/48", "fd20:2::/48"); err != nil {
		t.Errorf("left by SIGKILL: %v", err)
	}
	if links := s.ip("-br", "link"); strings.Contains(links, "tun0") {
		t.Errorf("the device outlived its process: %s", links)
	}

	spoke.configure(spokeConfig(s, "interfaces: {lan: {address: [192.168.22.1/24, \"fd00:22::1/64\"]}}\nroutes:\n"+inBoth))
	spoke.start().registered(1)
	s.reaches("10.100.0.1")
	w.within(45*time.Second, "what nobody wants any more is removed", func() error {
		text := s.kernel()
		for _, old := range []string{"172.20.2.0/24", "fd20:2::/48", "192.168.23.1"} {
			if strings.Contains(text, old) {
				return fmt.Errorf("%s is still there", old)
			}
		}
		return nil
	})
	if err := s.has("172.20.1.0/24", "fd20:1::/48", "192.168.0.0/16", "192.168.22.1/24", "192.168.99.1/24", "172.21.0.0/16", "fd00:22::1/64"); err != nil {
		t.Error(err)
	}
	stop()
	for line := range strings.Lines(changes.String()) {
		if strings.HasPrefix(line, "Deleted") && (strings.Contains(line, "172.20.1.0/24") || strings.Contains(line, "fd20:1::") || strings.Contains(line, "192.168.22.1/24") || strings.Contains(line, "fd00:22::1")) {
			t.Errorf("a gap: %s", line)
		}
	}
	spoke.stop()
	for _, ours := range []string{"192.168.22.", "fd00:22:"} { // kept: routes of others may depend on them
		if err := s.has(ours); err != nil {
			t.Errorf("SIGTERM took: %v", err)
		}
	}
	s.ip("address", "delete", "192.168.22.1/24", "dev", "lan")
	s.ip("address", "delete", "fd00:22::1/64", "dev", "lan")
	if now := s.kernel(); now != clean {
		t.Errorf("SIGTERM left:\n%s", difference(clean, now))
	}
	w.within(5*time.Second, "the hub heard it go", func() error {
		for _, r := range hub.cache() {
			if r.Type == "dynamic" {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
}

// has tells what is missing of what the kernel of a host shall have.
func (h *host) has(words ...string) error {
	text := h.kernel()
	for _, word := range words {
		if !strings.Contains(text, word) {
			return fmt.Errorf("no %s:\n%s", word, text)
		}
	}
	return nil
}
