package system

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secondTunnel is tun1 beside tun0, in a configuration whose tunnels come last.
func secondTunnel(host int, options string) string {
	servers := ", servers: [{nbma: 10.9.0.1}]"
	if host == 1 {
		servers = ""
	}
	return fmt.Sprintf("  tun1: {underlay: eth0, address: 10.101.0.%d/24, %s, nhrp: {network-id: 2%s}}\n", host, options, servers)
}

func twoTunnels(h *host, options string) string {
	c := spokeConfig(h, "")
	if h.number == 1 {
		c = hubConfig("")
	}
	if options != "" {
		c += secondTunnel(h.number, options)
	}
	return c
}

// hangup has the daemon read its configuration again as a service manager does.
func (d *daemon) hangup(config string) {
	d.w.t.Helper()
	told := strings.Count(d.log(), "event=config.re")
	d.configure(config)
	d.process.Process.Signal(syscall.SIGHUP)
	d.w.within(5*time.Second, d.name+" says that it reloaded", func() error {
		if strings.Count(d.log(), "event=config.re") == told {
			return fmt.Errorf("not in the log")
		}
		return nil
	})
}

// A tunnel that is added, changed and removed beside another does not cost the other one packet, registration or
// counter.
func TestReloadLeavesOthersAlone(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	hub.configure(hubConfig(""))
	spoke.reaches("10.100.0.1")
	began := func() (sent uint64, since time.Duration) {
		for _, p := range spoke.peers() {
			if p.Interface == "tun0" {
				since = time.Duration(p.UpFor * float64(time.Second))
			}
		}
		return spoke.counters()["tun0 sent-registration-request"], since
	}
	sent, since := began()
	start := time.Now()

	ping := spoke.command("ping", "-n", "-q", "-i", "0.001", "-c", "3000", "-W", "2", "10.100.0.1")
	var out strings.Builder
	ping.Stdout = &out
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	tunnel := func(options string, up bool) {
		t.Helper()
		hub.hangup(twoTunnels(hub.host, options))
		spoke.hangup(twoTunnels(spoke.host, options))
		w.within(5*time.Second, fmt.Sprintf("tun1 with %q", options), func() error {
			clients := 0
			for _, row := range hub.cache() {
				if row.Interface == "tun1" && row.Type == "dynamic" {
					clients++
				}
			}
			_, err := spoke.try("ip", "link", "show", "dev", "tun1")
			if up != (clients == 1) || up != (err == nil) {
				return fmt.Errorf("%d clients at the hub; the spoke's device: %v", clients, err)
			}
			return nil
		})
	}
	tunnel("key: 43", true)
	tunnel("key: 44", true)
	tunnel("key: 44, mtu: 1300", true)
	tunnel("", false)
	if err := ping.Process.Signal(syscall.Signal(0)); err != nil || out.Len() > 200 {
		t.Fatalf("the ping ended before the last reload: %s", out.String())
	}
	ping.Wait()
	if !strings.Contains(out.String(), " 0% packet loss") {
		t.Errorf("through tun0, while tun1 came and went: %s", out.String())
	}
	if n, up := began(); n != sent || up < since+time.Since(start)-time.Second {
		t.Errorf("tun0 registered again: %d requests, were %d; up for %v, was %v %v ago", n, sent, up, since, time.Since(start))
	}
}

// What is changed acts, and nothing else does.
func TestReloadActs(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	with := func(d *daemon, old, new string) {
		t.Helper()
		text := hubConfig("")
		if d == spoke {
			text = spokeConfig(d.host, spokeRoutes)
		}
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		d.configure(strings.Replace(text, old, new, 1))
	}
	reload := func(d *daemon, want ...string) {
		t.Helper()
		if got := d.did("reload"); got != strings.Join(want, "\n")+"\n" {
			t.Errorf("%s: reload said\n%swant\n%s", d.name, got, strings.Join(want, "\n"))
		}
	}
	hub.configure(hubConfig(""))
	reload(hub, "removed routes[192.168.2.0/24 via 10.100.0.2]")
	if out := hub.ip("route", "show", "192.168.2.0/24"); out != "" {
		t.Errorf("the route stayed: %s", out)
	}

	with(spoke, "secret", "wrong")
	reload(spoke, "changed tunnels.tun0.nhrp.authentication")
	w.within(10*time.Second, "the wrong password is refused", func() error {
		stages, code := spoke.why("10.9.0.1")
		if code != 3 || len(stages) == 0 || !strings.Contains(stages[len(stages)-1].Detail, "authentication") {
			return fmt.Errorf("exit %d: %+v", code, stages)
		}
		return nil
	})
	with(hub, "secret", "wrong")
	reload(hub, "changed tunnels.tun0.nhrp.authentication")
	spoke.registered(1)
	spoke.reaches("10.100.0.1")

	// A key at one end only separates, at both it joins again; so does an address that moves.
	text := strings.NewReplacer("secret", "wrong", "key: 42", "key: 4242").Replace(hubConfig(""))
	hub.configure(text)
	reload(hub, "changed tunnels.tun0.key: 42 to 4242")
	if lost, err := spoke.ping("10.100.0.1", "-c", "2", "-i", "0.1"); err != nil || lost != 2 {
		t.Errorf("with another key %d of 2 are lost, %v", lost, err)
	}
	text = strings.NewReplacer("secret", "wrong", "key: 42", "key: 4242").Replace(spokeConfig(spoke.host, ""))
	spoke.configure(text)
	reload(spoke, "removed routes[192.168.0.0/16 via 10.100.0.1]", "changed tunnels.tun0.key: 42 to 4242")
	spoke.reaches("10.100.0.1")
	spoke.configure(strings.Replace(text, "10.100.0.2/24", "10.100.0.77/24, mtu: 1300", 1))
	reload(spoke, "changed tunnels.tun0.address: 10.100.0.2/24 to 10.100.0.77/24", "added tunnels.tun0.mtu: 1300")
	w.within(10*time.Second, "the hub knows the new address alone", func() error {
		var rows []string
		for _, r := range hub.cache() {
			if r.Type == "dynamic" {
				rows = append(rows, r.Protocol.String())
			}
		}
		if !slices.Equal(rows, []string{"10.100.0.77"}) {
			return fmt.Errorf("%v", rows)
		}
		return nil
	})
	if out := spoke.ip("address", "show", "dev", "tun0"); !strings.Contains(out, "mtu 1300") || !strings.Contains(out, "10.100.0.77/24") || strings.Contains(out, "10.100.0.2/24") {
		t.Errorf("the device: %s", out)
	}
	hub.reaches("10.100.0.77")
	if out := spoke.did("reload"); out != "nothing changed\n" {
		t.Errorf("again: %s", out)
	}
}

// Keys that two tunnels exchange in one reload are exchanged.
func TestReloadSwapsKeys(t *testing.T) {
	w := newWorld(t)
	a, b := w.host("hub"), w.host("spoke")
	hub, spoke := a.daemon(twoTunnels(a, "key: 43")).start(), b.daemon(twoTunnels(b, "key: 43")).start()
	spoke.registered(2)
	swap := strings.NewReplacer("key: 42", "key: 43", "key: 43", "key: 42")
	hub.configure(swap.Replace(twoTunnels(a, "key: 43")))
	spoke.configure(swap.Replace(twoTunnels(b, "key: 43")))
	hub.did("reload")
	spoke.did("reload")
	spoke.reaches("10.100.0.1")
	spoke.reaches("10.101.0.1")
	if i, j := spoke.iface("tun0"), spoke.iface("tun1"); *i.Key != 43 || *j.Key != 42 || i.State != "up" || j.State != "up" {
		t.Errorf("%+v\n%+v", i, j)
	}
}

// A reload with an error in the file changes nothing and says why, to whoever asked.
func TestReloadRefused(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	before, config := spoke.state(), spoke.did("show", "config")
	broken := strings.Replace(spokeConfig(spoke.host, spokeRoutes), "key: 42", "kye: 43, mtu: 1200", 1)
	spoke.configure(broken)
	why := spoke.path(".yaml") + `:4:50: tunnels.tun0: unknown key "kye" (did you mean "key"?)`
	w.says(spoke.cli("reload"), result{6, "", "reload: configuration not accepted: " + why + "\n"})
	spoke.process.Process.Signal(syscall.SIGHUP)
	w.within(5*time.Second, "the log says why", func() error {
		if !strings.Contains(spoke.log(), "level=error event=config.refused") || !strings.Contains(spoke.log(), "kye") {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	spoke.same(before)
	if now := spoke.did("show", "config"); now != config {
		t.Errorf("another configuration is in force:\n%s", difference(config, now))
	}
	release := listen(t, spoke.host, "tcp", "127.0.0.1:9273")
	defer release()
	spoke.configure(spokeConfig(spoke.host, "metrics: {listen: \"127.0.0.1:9273\"}\n"))
	if r := spoke.cli("reload"); r.code != 1 || r.err != "reload: metrics on 127.0.0.1:9273: address already in use\n" {
		t.Errorf("metrics address taken: %v", r)
	}
	spoke.same(before)
	hub.did("show", "peers")
}

// The address of the metrics follows a reload.
func TestReloadMetrics(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig("")).start()
	scrape := func(port int) (err error) {
		d.inside(func() error {
			var c net.Conn
			if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				c.SetDeadline(time.Now().Add(5 * time.Second))
				fmt.Fprint(c, "GET /metrics HTTP/1.0\r\n\r\n")
				var text []byte
				if text, err = io.ReadAll(c); err == nil && !strings.Contains(string(text), "spokeway_build_info") {
					err = fmt.Errorf("no metrics: %s", text)
				}
				c.Close()
			}
			return nil
		})
		return err
	}
	for _, port := range []int{9273, 9274} {
		d.configure(hubConfig(fmt.Sprintf("metrics: {listen: \"127.0.0.1:%d\"}\n", port)))
		d.did("reload")
		if err := scrape(port); err != nil {
			t.Errorf("metrics on %d: %v", port, err)
		}
	}
	if scrape(9273) == nil {
		t.Error("the old address still answers")
	}
	d.configure(hubConfig(""))
	d.did("reload")
	if scrape(9274) == nil {
		t.Error("metrics are off and still answer")
	}
}

// A tunnel that is removed takes its registration, device and routes along.
func TestReloadRemovesTunnel(t *testing.T) {
	w := newWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	if out := spoke.ip("route", "show", "192.168.0.0/16"); !strings.Contains(out, "via 10.100.0.1 dev tun0") {
		t.Fatalf("the route is not there: %s", out)
	}
	spoke.configure("version: 1\nnode: bare\n")
	spoke.did("reload")
	w.within(5*time.Second, "all is gone", func() error {
		links, routes := spoke.ip("link", "show"), spoke.ip("route", "show")
		if strings.Contains(links+routes, "tun0") || strings.Contains(routes, "192.168.0.0/16") {
			return fmt.Errorf("%s%s", links, routes)
		}
		for _, r := range hub.cache() {
			if r.Type == "dynamic" {
				return fmt.Errorf("the hub still has %+v", r)
			}
		}
		return nil
	})
	if hub.counters()["tun0 received-purge-request"] == 0 {
		t.Error("no purge came")
	}
}
