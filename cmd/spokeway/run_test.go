package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// process is a daemon around a router that forwards nothing.
type process struct {
	*exec.Cmd
	socket string
	lines  chan map[string]any // its log
}

func startDaemon(t *testing.T, socket string, args ...string) *process {
	t.Helper()
	p := &process{
		Cmd:    program(t.Context(), "daemon", append([]string{"run", "--socket", socket, "--state", folder(t)}, args...)...),
		socket: socket, lines: make(chan map[string]any, 100),
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	go p.read(stderr)
	return p
}

// read takes the log line by line; what is no JSON comes as the key "text".
func (p *process) read(r io.Reader) {
	defer close(p.lines)
	s := bufio.NewScanner(r)
	for s.Scan() {
		line := map[string]any{}
		if json.Unmarshal(s.Bytes(), &line) != nil {
			line["text"] = s.Text()
		}
		p.lines <- line
	}
}

// wait is the next log line of an event.
func (p *process) wait(t *testing.T, event string) map[string]any {
	t.Helper()
	deadline := time.After(20 * time.Second)
	var seen []any
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("it ended without %s; it said %v", event, seen)
			}
			if line["event"] == event {
				return line
			}
			seen = append(seen, line)
		case <-deadline:
			t.Fatalf("no %s; it said %v", event, seen)
		}
	}
}

func TestRunReloadsAndSaysGoodbye(t *testing.T) {
	config := write(t, "spokeway.yaml", goodConfig)
	p := startDaemon(t, filepath.Join(folder(t), "control.sock"), "-c", config)
	if at := p.wait(t, "config.warning")["at"]; !strings.Contains(fmt.Sprint(at), "in clear") {
		t.Errorf("warning: %v", at)
	}
	p.wait(t, "daemon.started")
	if r := run(t, "show", "nhrp", "--socket", p.socket); r.code != exitOK {
		t.Errorf("show: exit %d: %s", r.code, r.err)
	}

	rewrite(t, config, strings.Replace(goodConfig, "key: 42", "key: 43", 1))
	if r := run(t, "reload", "--socket", p.socket); r.code != exitOK || r.out != "changed tunnels.tun100.key: 42 to 43\n" {
		t.Errorf("reload: exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := run(t, "reload", "--socket", p.socket); r.out != "nothing changed\n" {
		t.Errorf("reload without a change: %s", r.out)
	}
	rewrite(t, config, goodConfig)
	p.Process.Signal(syscall.SIGHUP)
	if n := p.wait(t, "config.reloaded")["changes"]; n != 1.0 {
		t.Errorf("SIGHUP changed %v", n)
	}

	rewrite(t, config, "version: 1\ntunels: {}\n")
	if r := run(t, "reload", "--socket", p.socket); r.code != exitCheck || !strings.Contains(r.err, config+":2:1: ") {
		t.Errorf("reload with an error: exit %d: %s", r.code, r.err)
	}
	p.Process.Signal(syscall.SIGHUP)
	if cause := fmt.Sprint(p.wait(t, "config.refused")["cause"]); !strings.Contains(cause, config+":2:1: ") {
		t.Errorf("SIGHUP with an error: %s", cause)
	}

	p.Process.Signal(syscall.SIGTERM)
	p.wait(t, "test.goodbye")
	p.wait(t, "daemon.stopped")
	if err := p.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(p.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRunBesideARunningOne(t *testing.T) {
	config := write(t, "spokeway.yaml", goodConfig)
	first := startDaemon(t, filepath.Join(folder(t), "control.sock"), "-c", config)
	first.wait(t, "daemon.started")
	r := run(t, "run", "-c", config, "--socket", first.socket)
	want := fmt.Sprintf("spokeway is already running (pid %d)", first.Process.Pid)
	if r.code != exitFailed || !strings.Contains(r.err, want) {
		t.Errorf("exit %d: %s, want %q", r.code, r.err, want)
	}
	if r := run(t, "show", "nhrp", "--socket", first.socket); r.code != exitOK {
		t.Errorf("the first one was disturbed: %s", r.err)
	}
	first.Process.Kill()
	first.Wait()
	second := startDaemon(t, first.socket, "-c", config)
	second.wait(t, "daemon.started")
}

func TestRunWithABadConfigurationTouchesNothing(t *testing.T) {
	dir := folder(t)
	socket := filepath.Join(dir, "control.sock")
	r := run(t, "run", "-c", write(t, "bad.yaml", "version: 1\ntunels: {}\n"), "--socket", socket, "--state", filepath.Join(dir, "state"))
	if r.code != exitCheck || r.out != "" {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("it made %v", left)
	}
}

func TestRunServesMetricsAndRefusesATakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	config := write(t, "spokeway.yaml", goodConfig+"metrics: {listen: \""+addr+"\"}\n")
	dir := folder(t)
	socket := filepath.Join(dir, "control.sock")
	if r := run(t, "run", "-c", config, "--socket", socket); r.code != exitFailed || !strings.Contains(r.err, "run: metrics on "+addr+": address already in use") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	l.Close()
	p := startDaemon(t, socket, "-c", config)
	p.wait(t, "daemon.started")
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(body), `spokeway_interface_up{interface="tun100"} 1`) {
		t.Errorf("%s: %d bytes without our metrics", resp.Status, len(body))
	}
}

func TestRunLogsAsTold(t *testing.T) {
	config := write(t, "spokeway.yaml", goodConfig)
	p := startDaemon(t, filepath.Join(folder(t), "control.sock"), "-c", config, "--log-format", "logfmt", "--log-level", "warn")
	line := <-p.lines
	if text := fmt.Sprint(line["text"]); !strings.Contains(text, "level=warn event=config.warning at=") {
		t.Errorf("got %v", line)
	}
	p.Process.Signal(os.Interrupt)
	for line := range p.lines {
		t.Errorf("below the level: %v", line)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// A router that does not end is left after a while.
func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g, ctx := errgroup.WithContext(ctx)
		stuck := make(chan struct{})
		g.Go(func() error { <-stuck; return nil })
		cancel()
		begin := time.Now()
		err := wait(ctx, g)
		if err == nil || time.Since(begin) != goodbye {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(stuck)
	})
}

func TestEndOfOnePartIsTheEndOfAll(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name      string
		end, want error
	}{{"ended", nil, nil}, {"failed", broken, broken}, {"cancelled", context.Canceled, nil}}
	for _, tt := range tests {
		g, ctx := errgroup.WithContext(t.Context())
		g.Go(func() error { return orEnd(tt.end) })
		g.Go(func() error { <-ctx.Done(); return orEnd(nil) })
		if err := wait(ctx, g); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRunWithoutRightsTouchesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give its rights up")
	}
	dir := folder(t)
	config := write(t, "spokeway.yaml", goodConfig)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "spokeway")
	err = errors.Join(os.WriteFile(exe, self, 0o755), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(config), 0o755), os.Chmod(config, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe, "run", "-c", config, "--socket", filepath.Join(dir, "control.sock"))
	c.Env = []string{"SPOKEWAY_TEST_AS=program"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64124, Gid: 64124}}
	out, err := c.CombinedOutput()
	text := string(out)
	if c.ProcessState.ExitCode() != exitFailed || !strings.HasPrefix(text, "run: ") || strings.Count(text, "\n") != 1 ||
		!strings.Contains(text, "/dev/net/tun") && !strings.Contains(text, "CAP_NET_ADMIN") {
		t.Errorf("%v: %s", err, text)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("it made %v", left)
	}
}

func TestReloadFollowsTheLog(t *testing.T) {
	path := write(t, "spokeway.yaml", goodConfig+"log: {level: warn, debug: [10.0.0.1, 10.0.0.2]}\n")
	r := &reloader{path: path, log: quietLog()}
	enabled := func(l slog.Level) bool { return r.log.Logger().Enabled(t.Context(), l) }
	r.log.Debug("10.0.0.9", true) // by command
	for _, step := range []struct {
		text, debugged string
	}{
		{"log: {level: warn, debug: [10.0.0.1, 10.0.0.2]}\n", "10.0.0.1 10.0.0.2 10.0.0.9"},
		{"log: {level: warn, debug: [10.0.0.2]}\n", "10.0.0.2 10.0.0.9"},
		{"log: {level: warn}\n", "10.0.0.9"},
	} {
		rewrite(t, path, goodConfig+step.text)
		if _, err := r.load(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.log.Debugged(), " "); got != step.debugged {
			t.Errorf("%s: debugs %q, want %q", step.text, got, step.debugged)
		}
	}
	r.log.Debug("10.0.0.9", false)
	if enabled(slog.LevelInfo) || !enabled(slog.LevelWarn) {
		t.Error("level warn is not in force")
	}
	r.flags.logLevel = "debug"
	if r.load(); !enabled(slog.LevelDebug) {
		t.Error("the flag does not go before the configuration")
	}
}
