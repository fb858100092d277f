package system

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// descriptors is how many files a daemon has open.
func (d *daemon) descriptors() int {
	d.w.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.process.Process.Pid))
	if err != nil {
		d.w.t.Fatal(err)
	}
	return len(list)
}

// Tunnels that come and go a hundred times leave nothing open, and hangups that pile up are no harm.
func TestChurn(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	hub.configure(hubConfig(""))
	hub.did("reload")
	spoke.reaches("10.100.0.1")
	before := hub.descriptors()
	for range 20 {
		for _, text := range []string{twoTunnels(hub.host, "key: 43, encapsulation: udp"), twoTunnels(hub.host, "key: 43"), hubConfig("")} {
			hub.configure(text)
			hub.process.Process.Signal(syscall.SIGHUP)
			hub.process.Process.Signal(syscall.SIGHUP)
		}
		hub.did("reload")
	}
	w.within(5*time.Second, "all is closed", func() error {
		if now := hub.descriptors(); now > before+1 { // the question just now
			return fmt.Errorf("%d descriptors, were %d", now, before)
		}
		if links := hub.ip("-br", "link"); strings.Contains(links, "tun1") {
			return fmt.Errorf("%s", links)
		}
		return nil
	})
	spoke.reaches("10.100.0.1")
}

// A hangup while the daemon is still starting does not end it.
func TestHangupAtStart(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig(""))
	for range 5 {
		d.launch()
		deadline := time.Now().Add(10 * time.Second)
		for !strings.Contains(d.log(), "daemon.started") && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		d.process.Process.Signal(syscall.SIGHUP)
		d.await()
		d.stop()
		os.Remove(d.path(".log"))
	}
}

// What happens to the underlay and to the device is followed at once.
func TestUnderlayAndDeviceChange(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	at := func(nbma string) {
		t.Helper()
		w.within(3*time.Second, "registered from "+nbma, func() error {
			rows := hub.cache()
			for _, r := range rows {
				if r.Type == "dynamic" && r.NBMA == nbma {
					return nil
				}
			}
			return fmt.Errorf("%+v", rows)
		})
		spoke.reaches("10.100.0.1")
	}
	at("10.9.0.2")
	spoke.ip("address", "delete", "10.9.0.2/24", "dev", "eth0")
	spoke.ip("address", "add", "10.9.0.77/24", "dev", "eth0")
	at("10.9.0.77")
	spoke.ip("link", "delete", "eth0")
	w.within(3*time.Second, "the tunnel is down", func() error {
		if i := spoke.iface("tun0"); i.State != "down" || !strings.Contains(i.Reason, "eth0") {
			return fmt.Errorf("%s: %s", i.State, i.Reason)
		}
		return nil
	})
	spoke.plug()
	at("10.9.0.2")
	spoke.ip("link", "delete", "tun0")
	w.within(5*time.Second, "the device is made again, with its routes", func() error {
		return spoke.has("10.100.0.2/24", "192.168.0.0/16 via 10.100.0.1 dev tun0")
	})
	at("10.9.0.2")
	spoke.ip("link", "set", "tun0", "down")
	spoke.ip("link", "set", "tun0", "up")
	w.within(5*time.Second, "its routes are back", func() error { return spoke.has("192.168.0.0/16 via 10.100.0.1 dev tun0") })
	spoke.reaches("10.100.0.1")
	hub.did("clear", "nhrp")
	hub.did("clear", "counters")
}
