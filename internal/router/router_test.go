package router

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/spokeway/spokeway/internal/conf"
)

const hub = `
version: 1
forwarding: false
tunnels:
  tun0: {underlay: lo, address: 10.100.0.1/24, key: 42, nhrp: {network-id: 1}}
routes:
  - {to: 192.168.2.0/24, via: 10.100.0.2}
`

// alone runs the test again in a process and a network namespace of its own.
func alone(t *testing.T) bool {
	if os.Getenv("ROUTER_TEST_ALONE") == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), "ROUTER_TEST_ALONE="+t.Name())
	out, err := c.CombinedOutput()
	netns.Set(before)
	ns.Close()
	before.Close()
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func start(t *testing.T, text string) (*Router, func() error) {
	t.Helper()
	load := func() (*conf.Config, error) {
		c, _, err := conf.Parse("test.yaml", []byte(text))
		return c, err
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{Config: c, Load: load, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() error {
		stop()
		return <-ended
	}
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func ip(args ...string) string {
	out, _ := exec.Command("ip", args...).CombinedOutput()
	return string(out)
}

// routed reports whether the kernel has a route as `ip route` words it, by a nexthop object or not.
func routed(prefix, way string) bool { return strings.Contains(ip("route", "show", prefix), way) }

// A tunnel's device is there before its underlay, so that nothing for the overlay leaves in clear; the router comes up
// with the underlay, answers while it runs and after, and leaves nothing.
func TestLife(t *testing.T) {
	if !alone(t) {
		return
	}
	r, stop := start(t, hub)
	until(t, "the device has its prefix", func() bool { return strings.Contains(ip("route"), "10.100.0.0/24 dev tun0") })
	until(t, "it says why it is down", func() bool {
		row := r.Interfaces()[0]
		return row.State == "down" && strings.Contains(row.Reason, "underlay lo")
	})
	until(t, "static routes lead into it", func() bool { return routed("192.168.2.0/24", "via 10.100.0.2 dev tun0") })
	ip("link", "set", "lo", "up")
	ip("address", "add", "10.9.0.1/32", "dev", "lo")
	until(t, "the tunnel is up", func() bool { return r.Interfaces()[0].State == "up" })
	ip("address", "del", "10.100.0.1/24", "dev", "tun0")
	until(t, "the address is given back", func() bool { return strings.Contains(ip("address", "show", "dev", "tun0"), "10.100.0.1/24") })
	if _, err := New(Options{Config: &conf.Config{}, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "another spokeway") {
		t.Errorf("a second router in the namespace: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if rows := r.NHRP(); rows != nil {
		t.Errorf("after the end: %+v", rows)
	}
	until(t, "nothing is left", func() bool { return !strings.Contains(ip("link")+ip("route"), "tun0") })
}

func TestReload(t *testing.T) {
	if !alone(t) {
		return
	}
	ip("link", "set", "lo", "up")
	ip("address", "add", "10.9.0.1/32", "dev", "lo")
	text := hub
	r, stop := start(t, hub)
	r.opts.Load = func() (*conf.Config, error) {
		c, _, err := conf.Parse("test.yaml", []byte(text))
		return c, err
	}
	text = strings.Replace(hub, "192.168.2.0/24", "192.168.3.0/24", 1)
	changes, err := r.Reload(context.Background())
	if err != nil || len(changes) == 0 {
		t.Fatalf("%v %v", changes, err)
	}
	until(t, "the other route is there", func() bool {
		routes := ip("route")
		return strings.Contains(routes, "192.168.3.0/24") && !strings.Contains(routes, "192.168.2.0/24")
	})
	text = "version: 1\nnonsense: yes\n"
	if _, err := r.Reload(context.Background()); err == nil {
		t.Error("a mistake is not accepted")
	}
	if !strings.Contains(r.Config(), "192.168.3.0/24") {
		t.Error("a mistake changes nothing")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
