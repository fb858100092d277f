package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/sys"
)

// realDaemon is a router in a network namespace of its own, with its files in dir.
type realDaemon struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	out    bytes.Buffer
	socket string
}

func startReal(t *testing.T, config string, flags ...string) *realDaemon {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	d := &realDaemon{t: t, dir: t.TempDir()}
	d.socket = filepath.Join(d.dir, "run", "control.sock")
	d.write("etc/spokeway.yaml", config)
	d.write("etc/cloud.psk", "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh6\n")
	d.write("keys/other.psk", "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh7\n")
	args := append([]string{"run", "-c", d.path("etc/spokeway.yaml"), "--socket", d.socket, "--state", d.path("state"), "--log-format", "logfmt"}, flags...)
	d.cmd = program(context.Background(), "program", args...)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Skipf("needs a network namespace: %v", err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			d.cmd.Process.Kill()
			d.cmd.Wait()
		}
	})
	d.until("it answers", func() bool { return run(t, "show", "config", "--socket", d.socket).code == 0 })
	return d
}

func (d *realDaemon) path(name string) string { return filepath.Join(d.dir, name) }

// write puts a file in place as editors do: a new one under the old name.
func (d *realDaemon) write(name, text string) {
	d.t.Helper()
	name = d.path(name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		d.t.Fatal(err)
	}
}

func (d *realDaemon) until(what string, cond func() bool) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// ip runs ip(8) beside the daemon.
func (d *realDaemon) ip(args ...string) string {
	d.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(d.cmd.Process.Pid), "-n", "ip"}, args...)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("ip %s: %v %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (d *realDaemon) stop() string {
	d.t.Helper()
	d.cmd.Process.Signal(syscall.SIGTERM)
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("it ends with %v", err)
	}
	return d.out.String()
}

// status is a line of the daemon's /proc/PID/status.
func (d *realDaemon) status(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":\t"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

const (
	inClear = "version: 1\ntunnels:\n  tun0: {underlay: lo, address: 10.100.0.1/24, key: 1, nhrp: {network-id: 1}}\n"
	more    = inClear + "  tun1: {underlay: lo, address: 10.101.0.1/24, key: 2, encapsulation: udp, nhrp: {network-id: 2, servers: [{nbma: hub.invalid}]}}\n" +
		"  tun2: {underlay: 10.9.0.1, address: 10.102.0.1/24, key: 3, protect: cloud, nhrp: {network-id: 3}}\nmetrics: {listen: \"127.0.0.1:81\"}\nprofiles: {cloud: {psk-file: %s}}\n"
)

// A daemon that has given up its rights still does all that a reload may ask: tunnels, sockets, settings, ports, files put
// in place anew, name resolution, state.
func TestConfinedDaemon(t *testing.T) {
	d := startReal(t, inClear)
	if cgo() {
		d.stop()
		t.Skip("needs CGO_ENABLED=0, as the program is built: with cgo it cannot give up its rights")
	}
	for name, want := range map[string]string{
		"CapBnd": "0000000000003400", "CapPrm": "0000000000003400", "CapEff": "0000000000003400", "CapInh": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := d.status(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	d.ip("link", "set", "lo", "up")
	d.ip("address", "add", "10.9.0.1/32", "dev", "lo")
	d.write("etc/spokeway.yaml", fmt.Sprintf(more, "cloud.psk"))
	if r := run(t, "reload", "--socket", d.socket); r.code != exitOK {
		t.Fatalf("reload: %+v", r)
	}
	d.until("new tunnels are up", func() bool {
		addresses := d.ip("-br", "address")
		return strings.Contains(addresses, "10.101.0.1/24") && strings.Contains(addresses, "10.102.0.1/24")
	})
	d.until("the port below 1024 is open", func() bool {
		out, _ := exec.Command("nsenter", "-t", fmt.Sprint(d.cmd.Process.Pid), "-n", "ss", "-Hltn", "sport = :81").Output()
		return len(out) > 0
	})
	d.write("etc/cloud.psk", "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh8\n")
	if r := run(t, "reload", "--socket", d.socket); r.code != exitOK || r.out != "changed profiles.cloud.psk-file\n" {
		t.Errorf("a key put in place anew: %+v", r)
	}
	d.write("etc/spokeway.yaml", fmt.Sprintf(more, d.path("keys/other.psk")))
	if r := run(t, "reload", "--socket", d.socket); r.code != exitCheck || !strings.Contains(r.err, "permission denied") || !strings.Contains(r.err, "restart") {
		t.Errorf("a key in a folder that was not named at the start: %+v", r)
	}
	if c := confinement(t, d); c.Status != sys.OK {
		t.Errorf("the doctor says %+v", c)
	}
	log := d.stop()
	for _, want := range []string{"event=daemon.confined", "event=nhrp.resolve-failed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	for _, bad := range []string{"event=sys.sysctl", "event=sys.state", "event=dataplane.failed", "event=host.forwarding", "resolv.conf"} {
		if strings.Contains(log, bad) {
			t.Errorf("the log has %s:\n%s", bad, log)
		}
	}
	if _, err := os.Stat(d.socket); err == nil {
		t.Error("the control socket is left")
	}
}

func TestNoSandbox(t *testing.T) {
	d := startReal(t, inClear, "--no-sandbox")
	if got := d.status("Seccomp"); got != "0" {
		t.Errorf("Seccomp is %s", got)
	}
	if c := confinement(t, d); c.Status != sys.Warn {
		t.Errorf("the doctor says %+v", c)
	}
	if log := d.stop(); !strings.Contains(log, "event=daemon.not-confined") {
		t.Errorf("nothing said:\n%s", log)
	}
}

// confinement is what the doctor says of it.
func confinement(t *testing.T, d *realDaemon) sys.Check {
	t.Helper()
	var checks []sys.Check
	r := run(t, "doctor", "-c", d.path("etc/spokeway.yaml"), "--socket", d.socket, "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &checks); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, c := range checks {
		if c.Name == "confinement" {
			return c
		}
	}
	t.Fatalf("not looked at: %s", r.out)
	return sys.Check{}
}

// The folders of a sandbox are those of what the configuration names, and of what that leads to.
func TestSandboxFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etc", "keys", "real"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"keys/a.psk": "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh6", "real/b.psk": "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh6",
		"etc/s.yaml": "version: 1\nprofiles:\n  a: {psk-file: " + dir + "/keys/a.psk}\n  b: {psk-file: b.psk}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../real/b.psk", filepath.Join(dir, "etc/b.psk")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "etc/s.yaml")
	c, _, err := conf.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox(config, "/run/x/control.sock", "/var/lib/x", c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.Readable, " "), strings.ReplaceAll("D/etc D/keys D/real", "D", dir); got != want {
		t.Errorf("reads %s, want %s", got, want)
	}
	if got := strings.Join(s.Writable, " "); got != "/run/x /var/lib/x" {
		t.Errorf("writes %s", got)
	}
}

// cgo reports whether this test binary was built with cgo.
func cgo() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"})
}
