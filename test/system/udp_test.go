package system

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// GRE in UDP does what GRE does; a shortcut outlives the hub.
func TestUDPEncapsulation(t *testing.T) {
	w := newWorld(t)
	udp := strings.NewReplacer("key: 42", "key: 42, encapsulation: udp")
	routes := "routes:\n  - {to: 192.168.2.0/24, via: 10.100.0.2}\n  - {to: 192.168.3.0/24, via: 10.100.0.3}\n"
	hub := w.host("hub").daemon(udp.Replace(hubConfig(routes)))
	hub.start()
	var spokes []*daemon
	for _, name := range []string{"one", "two"} {
		h := w.host(name)
		d := h.daemon(udp.Replace(spokeConfig(h, spokeRoutes)))
		d.start()
		spokes = append(spokes, d.registered(1))
	}
	a, b := spokes[0], spokes[1]
	a.reaches(b.lan())
	w.within(10*time.Second, "there is a shortcut", func() error {
		a.ping(b.lan(), "-c", "1")
		for _, s := range rowsOf[nhrp.ShortcutRow](a, "shortcuts") {
			if s.Type == "dynamic" && s.NBMA == "10.9.0.3:4754" {
				return nil
			}
		}
		return fmt.Errorf("none")
	})
	hub.stop() // what is direct survives
	if lost, err := a.ping(b.lan(), "-c", "20", "-i", "0.02"); err != nil || lost > 0 {
		t.Errorf("without the hub %d are lost, %v", lost, err)
	}
}

// What strangers send to the port of GRE in UDP is counted by reason and makes nobody a peer.
func TestUDPNoise(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	hub := w.host("hub").daemon(strings.Replace(hubConfig(""), "key: 42", "key: 42, encapsulation: udp", 1)).start()
	evil := w.host("evil")
	var c net.Conn
	evil.inside(func() (err error) {
		c, err = net.Dial("udp", "10.9.0.1:4754")
		return err
	})
	defer c.Close()
	rnd := rand.New(rand.NewPCG(3, 4))
	for n := range 5000 {
		c.Write(withKey(42, nhrpType, noise(rnd, n%1400)))
		c.Write(noise(rnd, n%1400))
		if n%50 == 49 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	w.within(5*time.Second, "it is counted", func() error {
		got := hub.counters()
		if got["tun0 dropped: bad-gre"] < 1000 || got["tun0 malformed-version"] == 0 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	if p := hub.peers(); len(p) != 0 {
		t.Errorf("noise became peers: %+v", p)
	}
}

// A daemon that does not answer keeps nobody waiting for ever.
func TestDaemonHangs(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig("")).start()
	d.process.Process.Signal(syscall.SIGSTOP)
	defer d.process.Process.Signal(syscall.SIGCONT)
	begin := time.Now()
	r := d.cli("show", "nhrp")
	if took := time.Since(begin); r.code != 5 || took > 15*time.Second || !strings.Contains(r.err, "no answer within 10s") {
		t.Errorf("after %v: %v", took, r)
	}
}
