package system

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What is wrong with a configuration is said in a line each, the daemon ends with 6, and the host is as before.
func TestConfigurationRefused(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	h := w.host("r")
	os.WriteFile(w.dir+"/closed", []byte("secret\n"), 0o600)
	at := h.path(".yaml")
	for _, tt := range []struct{ name, text, want string }{
		{"broken YAML", "version: 1\ntunnels:\n  tun0: {underlay: eth0\n", ":3:9: could not find flow mapping end token '}'"},
		{"unknown key", "version: 1\ntunnels:\n  tun0: {underlay: eth0, adress: 10.100.0.1/24}\n",
			`:3:26: tunnels.tun0: unknown key "adress" (did you mean "address"?)`},
		{"overlapping prefixes", "version: 1\ntunnels:\n  tun0: {underlay: eth0, address: 10.100.0.1/24, key: 1}\n  tun1: {underlay: eth0, address: 10.100.0.130/25, key: 2}\n",
			":4:35: address: 10.100.0.130/25 of tun1 overlaps with 10.100.0.1/24 of tun0"},
		{"same key and underlay", "version: 1\ntunnels:\n  tun0: {underlay: eth0, address: 10.100.0.1/24, key: 1}\n  tun1: {underlay: eth0, address: 10.101.0.1/24, key: 1}\n",
			":4:55: tun0 and tun1 have one underlay and one key, 1: give them different keys"},
		{"secret that is not there", "version: 1\ntunnels:\n  tun0: {underlay: eth0, address: 10.100.0.1/24, nhrp: {network-id: 1, authentication-file: gone}}\n",
			fmt.Sprintf(":3:93: read secret: stat %s/gone: no such file or directory", w.dir)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := h.daemon(tt.text)
			before := h.state()
			want := result{6, "", at + tt.want + "\n"}
			w := &world{t: t}
			w.says(d.refused(), want)
			w.says(d.cli("check"), want)
			h.same(before)
			if _, err := os.Stat(d.path(".sock")); err == nil {
				t.Error("there is a control socket")
			}
		})
	}
}

// A secret that the daemon's user may not read is told with its place.
func TestSecretUnreadable(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	h := w.host("r")
	os.WriteFile(w.dir+"/closed", []byte("secret\n"), 0o600)
	d := h.daemon("version: 1\ntunnels:\n  tun0: {underlay: eth0, address: 10.100.0.1/24, nhrp: {network-id: 1, authentication-file: closed}}\n")
	d.as = nobody()
	want := result{6, "", fmt.Sprintf("%s:3:93: read secret: open %s/closed: permission denied\n", d.path(".yaml"), w.dir)}
	w.says(d.refused(), want)
}

// nobody runs a program without rights.
func nobody(groups ...string) []string {
	g := "--clear-groups"
	if len(groups) > 0 {
		g = "--groups=" + strings.Join(groups, ",")
	}
	return []string{"setpriv", "--reuid=65534", "--regid=65534", g, "--inh-caps=-all", "--bounding-set=-all"}
}

// What the host lacks is said in one line before anything is touched, and the daemon ends with 1.
func TestHostRefused(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	h := w.host("r")
	open := w.dir + "/open"
	w.must("mkdir", "-m", "777", open)
	for _, tt := range []struct {
		name  string
		as    []string
		flags []string
		more  string
		hold  func() (release func())
		want  string
	}{
		{name: "no capability", as: nobody(), flags: []string{"--socket", open + "/s", "--state", open + "/state"},
			want: "run: capabilities: missing: CAP_NET_ADMIN, CAP_NET_RAW: run as root, or: setcap cap_net_admin,cap_net_raw,cap_net_bind_service,cap_bpf+ep $(command -v spokeway)"},
		{name: "no TUN device", as: []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /dev/net && exec "$@"`, "sh"},
			want: "run: tun device: there is no /dev/net/tun: modprobe tun; in a container, pass --device /dev/net/tun"},
		{name: "metrics address taken", more: "metrics: {listen: \"127.0.0.1:9273\"}\n", hold: func() func() { return listen(t, h, "tcp", "127.0.0.1:9273") },
			want: "run: metrics on 127.0.0.1:9273: address already in use"},
		{name: "a file in the socket's place", flags: []string{"--socket", w.dir + "/file"},
			hold: func() func() { os.WriteFile(w.dir+"/file", nil, 0o600); return func() {} },
			want: "run: control socket " + w.dir + "/file: something that is no socket is in the way: remove it, or give another --socket"},
		{name: "no such group", flags: []string{"--group", "nosuchgroup"},
			want: "run: control socket " + h.path(".sock") + ": group nosuchgroup: no such group: `groupadd --system nosuchgroup` makes it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := h.daemon(hubConfig(tt.more))
			d.as, d.flags = tt.as, tt.flags
			if tt.hold != nil {
				defer tt.hold()()
			}
			before := h.state()
			got := d.refused()
			got.err = unlogged(got.err)
			(&world{t: t}).says(got, result{1, "", tt.want + "\n"})
			h.same(before)
		})
	}
}

// unlogged is what a daemon said without what it logged: the lines that begin with a time.
func unlogged(text string) (out string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "time=") {
			out += line
		}
	}
	return out
}

// A daemon that runs keeps its socket; one that died leaves it to the next.
func TestSocketTaken(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig("")).start()
	d.w.within(5*time.Second, "the device is as it is to be", func() error {
		if mtu := fmt.Sprintf("mtu %d ", d.iface("tun0").MTU); !strings.Contains(d.state(), mtu) {
			return fmt.Errorf("no %sin %s", mtu, d.state())
		}
		return nil
	})
	pid := d.process.Process.Pid
	before := d.state()
	got := d.refused()
	got.err = unlogged(got.err)
	w.says(got, result{1, "", fmt.Sprintf("run: control socket %s: spokeway is already running (pid %d): stop it, or give this one another --socket\n", d.path(".sock"), pid)})
	d.same(before)
	d.did("show", "interfaces")
	d.kill()
	if r := d.cli("show", "interfaces"); r.code != 5 || !strings.Contains(r.err, "cannot reach the daemon at "+d.path(".sock")) {
		t.Errorf("with the daemon killed: %v", r)
	}
	d.start()
	d.did("show", "interfaces")
}

// An underlay interface that is missing is no error: the tunnel comes up with it.
func TestUnderlayAppears(t *testing.T) {
	w := newWorld(t)
	hub := w.host("hub").daemon(hubConfig("")).start()
	s := w.host("spoke")
	s.ip("link", "delete", "eth0")
	d := s.daemon(spokeConfig(s, "")).start()
	w.within(5*time.Second, "the tunnel says why it is down", func() error {
		if i := d.iface("tun0"); i.State != "down" || i.Reason != "underlay eth0 does not exist" {
			return fmt.Errorf("%s: %s", i.State, i.Reason)
		}
		return nil
	})
	stages, code := d.why("10.9.0.1")
	if code != 3 || len(stages) != 1 || stages[0].Name != "underlay route" || stages[0].State != "failed" ||
		stages[0].Detail != "tunnel tun0 is down: underlay eth0 does not exist" || stages[0].Remedy == "" {
		t.Errorf("why: exit %d, %+v", code, stages)
	}
	s.plug()
	begin := time.Now()
	d.registered(1)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("registered %v after the interface came", took)
	}
	if p := hub.peers(); len(p) != 1 || p[0].State != "up" {
		t.Errorf("the hub's peers: %+v", p)
	}
}

// What cannot be had when a tunnel starts is told and tried again: the tunnel comes up when it is free.
func TestTakenThings(t *testing.T) {
	t.Parallel()
	t.Run("UDP port 4754", func(t *testing.T) {
		t.Parallel()
		w := quietWorld(t)
		h := w.host("hub")
		release := listen(t, h, "udp", "10.9.0.1:4754")
		udp := strings.Replace(hubConfig(""), "key: 42", "key: 42, encapsulation: udp", 1)
		down(h.daemon(udp), "open the underlay: bind to 10.9.0.1 port 4754: another process has it: find it with `ss -ulpn`: address already in use", release)
	})
	t.Run("TUN name", func(t *testing.T) {
		t.Parallel()
		w := quietWorld(t)
		h := w.host("hub")
		h.ip("link", "add", "name", "tun0", "type", "bridge")
		h.ip("address", "add", "172.31.0.1/24", "dev", "tun0")
		before := h.ip("address", "show", "dev", "tun0")
		down(h.daemon(hubConfig("")), "make the device: an interface of this name and another kind exists: remove it, or choose another name: invalid argument", func() {
			if after := h.ip("address", "show", "dev", "tun0"); after != before {
				t.Errorf("somebody else's tun0 was touched:\n%s", difference(before, after))
			}
			h.ip("link", "delete", "tun0")
		})
	})
	t.Run("TUN name, of a running program", func(t *testing.T) {
		t.Parallel()
		w := quietWorld(t)
		h := w.host("hub")
		release := holdTUN(t, h, "tun0")
		down(h.daemon(hubConfig("")), "make the device: another process has this device: stop it, or choose another name: device or resource busy", func() {
			if out := h.ip("-4", "address", "show", "dev", "tun0"); out != "" {
				t.Errorf("somebody else's tun0 has addresses of ours:\n%s", out)
			}
			release()
		})
	})
}

// down demands that a tunnel tells why it is down, and comes up when that is mended.
func down(d *daemon, reason string, mend func()) {
	t := d.w.t
	t.Helper()
	d.start()
	d.w.within(5*time.Second, "the tunnel says why it is down", func() error {
		if i := d.iface("tun0"); i.State != "down" || i.Reason != reason {
			return fmt.Errorf("%s: %q", i.State, i.Reason)
		}
		return nil
	})
	if n := strings.Count(d.log(), "tunnel.down"); n != 1 {
		t.Errorf("told %d times in the log", n)
	}
	mend()
	d.w.within(10*time.Second, "the tunnel is up", func() error {
		if i := d.iface("tun0"); i.State != "up" || i.Reason != "" {
			return fmt.Errorf("%s: %q", i.State, i.Reason)
		}
		if out := d.ip("address", "show", "dev", "tun0"); !strings.Contains(out, "10.100.0.1/24") {
			return fmt.Errorf("no address: %s", out)
		}
		return nil
	})
}

// A state folder that cannot be written is told at once and stops nobody: a router has to forward.
func TestStateFolderNotWritable(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	d := w.host("hub").daemon(hubConfig(""))
	d.flags = []string{"--state", "/proc/spokeway"} // not even root may make that
	d.start()
	w.within(5*time.Second, "the tunnel is up", func() error {
		if i := d.iface("tun0"); i.State != "up" {
			return fmt.Errorf("tun0 is %s: %s", i.State, i.Reason)
		}
		return nil
	})
	want := `level=warn event=sys.state doing="keep state in /proc/spokeway" cause="mkdir /proc/spokeway: no such file or directory" remedy="make the folder writable`
	if !strings.Contains(d.log(), want) {
		t.Errorf("not in the log: %s", want)
	}
	d.process.Process.Signal(syscall.SIGTERM)
	<-d.ended
}
