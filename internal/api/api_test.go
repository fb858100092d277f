package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/query/querytest"
)

// The test binary is also a daemon that only holds a socket, and a caller with another user's rights.
func TestMain(m *testing.M) {
	switch os.Getenv("API_TEST_AS") {
	case "holder":
		if _, err := Listen(os.Getenv("API_TEST_SOCKET"), ""); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		select {}
	case "caller":
		c := NewClient(os.Getenv("API_TEST_SOCKET"))
		_, showErr := c.Show(context.Background(), "nhrp", nil)
		_, clearErr := c.Clear(context.Background(), "nhrp", "")
		_, captureErr := c.Capture(context.Background(), capture.Request{Peer: "10.0.0.1"})
		fmt.Printf("show: %v\nclear: %v\ncapture: %v\n", showErr, clearErr, captureErr)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// socketPath is short enough for a socket, whatever the test is called.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

// start serves a source on a socket until the test ends.
func start(t *testing.T, src query.Source, log *logs.Log) (socket string) {
	t.Helper()
	socket = socketPath(t)
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, Options{Source: src, Log: log, Version: "1.2.3"}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		l.Close()
	})
	return socket
}

func quiet() *logs.Log { return logs.New(io.Discard, logs.JSON) }

func TestShowOverTheSocket(t *testing.T) {
	src := querytest.Spoke()
	c := NewClient(start(t, src, quiet()))
	for _, cmd := range query.Shows() {
		got, err := c.Show(t.Context(), cmd.Name, nil)
		if err != nil {
			t.Errorf("show %s: %v", cmd.Name, err)
			continue
		}
		rows, _ := cmd.Snapshot(src, nil)
		var want bytes.Buffer
		query.JSON(&want, rows)
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("show %s: got %s", cmd.Name, got)
		}
	}
}

func TestErrorsCrossTheSocket(t *testing.T) {
	src := querytest.Spoke()
	src.OnReload = func(context.Context) ([]string, error) {
		return nil, fmt.Errorf("%w: x.yaml:3:4: unknown key", query.ErrConfig)
	}
	src.OnClear = func(string, string) (int, error) { return 0, errors.New("clear: it broke") }
	c := NewClient(start(t, src, quiet()))
	ask := map[string]struct {
		do   func() error
		is   error
		says string
	}{
		"no such table": {func() error { _, err := c.Show(t.Context(), "nonsense", nil); return err }, query.ErrNotFound, "show nonsense"},
		"no such row":   {func() error { _, err := c.Show(t.Context(), "nhrp", []string{"10.9.9.9"}); return err }, query.ErrNotFound, `nothing matches "10.9.9.9"`},
		"no such peer":  {func() error { _, err := c.Why(t.Context(), "10.9.9.9"); return err }, query.ErrNotFound, "no peer 10.9.9.9"},
		"bad config":    {func() error { _, err := c.Reload(t.Context()); return err }, query.ErrConfig, "x.yaml:3:4: unknown key"},
		"any other":     {func() error { _, err := c.Clear(t.Context(), "nhrp", ""); return err }, nil, "clear: it broke"},
		"too many arguments": {func() error {
			_, err := c.Show(t.Context(), "nhrp", make([]string, maxArguments+1))
			return err
		}, errTooMuch, "17 arguments"},
	}
	for name, a := range ask {
		err := a.do()
		if err == nil || a.is != nil && !errors.Is(err, a.is) || !strings.Contains(err.Error(), a.says) {
			t.Errorf("%s: got %v, want %v saying %q", name, err, a.is, a.says)
		}
	}
}

func TestChanges(t *testing.T) {
	src := querytest.Spoke()
	src.OnClear = func(what, filter string) (int, error) {
		if what != "shortcuts" || filter != "tun100" {
			t.Errorf("clear %q %q", what, filter)
		}
		return 7, nil
	}
	src.OnReload = func(context.Context) ([]string, error) { return []string{"added tunnels.tun2"}, nil }
	log := quiet()
	c := NewClient(start(t, src, log))
	if n, err := c.Clear(t.Context(), "shortcuts", "tun100"); n != 7 || err != nil {
		t.Errorf("clear: %d %v", n, err)
	}
	if changes, err := c.Reload(t.Context()); err != nil || len(changes) != 1 || changes[0] != "added tunnels.tun2" {
		t.Errorf("reload: %q %v", changes, err)
	}
	c.Debug(t.Context(), "10.0.0.1", true)
	if peers, err := c.Debug(t.Context(), "10.0.0.2", true); err != nil || strings.Join(peers, " ") != "10.0.0.1 10.0.0.2" {
		t.Errorf("debug on: %q %v", peers, err)
	}
	c.Debug(t.Context(), "10.0.0.1", false)
	if peers, err := c.Debugged(t.Context()); err != nil || strings.Join(peers, " ") != "10.0.0.2" {
		t.Errorf("debug list: %q %v", peers, err)
	}
	if strings.Join(log.Debugged(), " ") != "10.0.0.2" {
		t.Errorf("the log debugs %q", log.Debugged())
	}
}

func TestGetChangesNothing(t *testing.T) {
	src := querytest.Spoke()
	src.OnClear = func(string, string) (int, error) { t.Error("a GET cleared"); return 0, nil }
	src.OnReload = func(context.Context) ([]string, error) { t.Error("a GET reloaded"); return nil, nil }
	c := NewClient(start(t, src, quiet()))
	for _, path := range []string{"/v1/clear/nhrp", "/v1/reload"} {
		if _, err := c.ask(t.Context(), "GET", path, nil); err == nil {
			t.Errorf("GET %s was answered", path)
		}
	}
	c.ask(t.Context(), "GET", "/v1/debug", url.Values{"peer": {"10.0.0.1"}, "on": {"true"}})
	if peers, err := c.Debugged(t.Context()); err != nil || len(peers) > 0 {
		t.Errorf("a GET started debugging: %q %v", peers, err)
	}
}

func TestWhoMayChange(t *testing.T) {
	tests := []struct {
		name   string
		caller uint32
		daemon int
		want   bool
	}{
		{"root", 0, 998, true}, {"the daemon's user", 998, 998, true}, {"root's daemon, root", 0, 0, true},
		{"another user", 1000, 998, false}, {"another user, root's daemon", 1000, 0, false},
	}
	for _, tt := range tests {
		if got := mayChange(unix.Ucred{Uid: tt.caller}, tt.daemon); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A listener without credentials, as a TCP socket would be, may look and change nothing.
func TestUnknownCallerMayNotChange(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go Serve(ctx, l, Options{Source: querytest.Spoke(), Log: quiet()})
	base := "http://" + l.Addr().String()
	if resp, err := http.Get(base + "/v1/show/nhrp"); err != nil || resp.StatusCode != 200 {
		t.Errorf("show: %v %v", resp, err)
	}
	if resp, err := http.Post(base+"/v1/reload", "", nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("reload: %v %v", resp, err)
	}
}

// A member of the socket's group may look, and change nothing; others may not even look.
func TestGroupMemberLooksAndOthersDoNot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to call as other users")
	}
	src := querytest.Spoke()
	src.OnClear = func(string, string) (int, error) { t.Error("another user cleared"); return 0, nil }
	src.OnCapture = func(context.Context, capture.Request, io.Writer) error { t.Error("another user captured"); return nil }
	socket := start(t, src, quiet())
	const group = 64123
	if err := errors.Join(os.Chmod(filepath.Dir(socket), 0o755), os.Chown(socket, 0, group)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name                 string
		gid                  uint32
		show, clear, capture string
	}{
		{"member", group, "show: <nil>", "clear: only root or the daemon's own user", "capture: only root or the daemon's own user"},
		{"other", group + 1, "permission denied: members of group 64123 may use it", "clear: cannot reach the daemon", "capture: cannot reach"},
	}
	for _, tt := range tests {
		out, err := as(t, "caller", socket, &syscall.Credential{Uid: 64124, Gid: tt.gid, NoSetGroups: false}).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.show) || !strings.Contains(string(out), tt.clear) || !strings.Contains(string(out), tt.capture) {
			t.Errorf("%s: %v\n%s\nwant %q, %q and %q", tt.name, err, out, tt.show, tt.clear, tt.capture)
		}
	}
}

// as runs this test binary in another role, and with other rights unless cred is nil.
func as(t *testing.T, role, socket string, cred *syscall.Credential) *exec.Cmd {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(filepath.Dir(socket), "self")
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = []string{"API_TEST_AS=" + role, "API_TEST_SOCKET=" + socket}
	if cred != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	}
	return cmd
}

func TestSocketModeAndLeftovers(t *testing.T) {
	socket := socketPath(t)
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	left, _ := os.ReadDir(filepath.Dir(socket))
	if len(left) != 1 || left[0].Name() != "control.sock.lock" {
		t.Errorf("left behind: %v", left)
	}
	if l, err = Listen(socket, ""); err != nil {
		t.Fatalf("listen again: %v", err)
	}
	l.Close()
}

func TestLiveDaemonKeepsItsSocketAndADeadOneDoesNot(t *testing.T) {
	socket := socketPath(t)
	holder := as(t, "holder", socket, nil)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("holder: %q %v", line, err)
	}
	_, err = Listen(socket, "")
	var running *RunningError
	if !errors.As(err, &running) || running.PID != holder.Process.Pid {
		t.Errorf("beside a live daemon %d: %v", holder.Process.Pid, err)
	}
	holder.Process.Kill()
	holder.Wait()
	if _, err := os.Stat(socket); err != nil {
		t.Fatalf("a killed daemon leaves its socket behind: %v", err)
	}
	var dead *UnreachableError
	if _, err := NewClient(socket).Version(t.Context()); !errors.As(err, &dead) || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("asking a dead daemon: %v", err)
	}
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatalf("after a dead daemon: %v", err)
	}
	l.Close()
}

func TestListenFails(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("precious"), 0o644)
	tests := []struct{ name, path, group, want string }{
		{"a file in the way", file, "", "something that is no socket is in the way"},
		{"a folder that is a file", filepath.Join(file, "x", "control.sock"), "", "not a directory"},
		{"no such group", filepath.Join(dir, "a"), "no-such-group", "group no-such-group: no such group"},
		{"too long", filepath.Join(dir, strings.Repeat("x", 120), "s"), "", "too long for a socket"},
	}
	for _, tt := range tests {
		if _, err := Listen(tt.path, tt.group); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("the file in the way was touched")
	}
}

func TestOneOfManyStartersWins(t *testing.T) {
	socket := socketPath(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 16 {
		wg.Go(func() {
			l, err := Listen(socket, "")
			var running *RunningError
			if err != nil && !errors.As(err, &running) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
				t.Cleanup(func() { l.Close() })
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d starters own the socket", won)
	}
}

func TestUnreachable(t *testing.T) {
	_, err := NewClient("/no/such/control.sock").Show(t.Context(), "nhrp", nil)
	want := "cannot reach the daemon at /no/such/control.sock: is it running? start it with `spokeway run`"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestMonitorStreamsWhatMatches(t *testing.T) {
	log := quiet()
	c := NewClient(start(t, querytest.Spoke(), log))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan logs.Event)
	done := make(chan error, 1)
	go func() {
		done <- c.Monitor(ctx, logs.Filter{Peer: "10.0.0.1", Event: "nhrp."}, func(e logs.Event) error { got <- e; return nil })
	}()
	// The subscription begins some time after the request: speak until it hears.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		log.Logger().Info("nhrp.registered", "peer", "10.0.0.2")
		log.Logger().Info("route.added", "peer", "10.0.0.1")
		log.Logger().Info("nhrp.registered", "peer", "10.0.0.1", "tunnel", "tun100", "n", n)
		select {
		case e := <-got:
			if e.Event != "nhrp.registered" || e.Attributes["peer"] != "10.0.0.1" || e.Attributes["tunnel"] != "tun100" {
				t.Errorf("got %v", e)
			}
			cancel()
			for {
				select {
				case <-got:
				case err := <-done:
					if err != nil {
						t.Errorf("monitor: %v", err)
					}
					return
				}
			}
		case <-tick.C:
		}
	}
}

// The end of the daemon ends monitors at once, instead of holding it up.
func TestMonitorEndsWithTheDaemon(t *testing.T) {
	socket := socketPath(t)
	l, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	log := quiet()
	ctx, cancel := context.WithCancel(t.Context())
	served, monitored := make(chan error, 1), make(chan error, 1)
	go func() { served <- Serve(ctx, l, Options{Source: querytest.Spoke(), Log: log}) }()
	heard := make(chan bool, 1)
	go func() {
		monitored <- NewClient(socket).Monitor(context.Background(), logs.Filter{}, func(logs.Event) error {
			select {
			case heard <- true:
			default:
			}
			return nil
		})
	}()
	for waiting := true; waiting; {
		log.Logger().Info("test.event")
		select {
		case <-heard:
			waiting = false
		case <-time.After(time.Millisecond):
		}
	}
	begin := time.Now()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	var gone *UnreachableError
	if err := <-monitored; !errors.As(err, &gone) {
		t.Errorf("monitor: %v", err)
	}
	if took := time.Since(begin); took > goodbye+time.Second {
		t.Errorf("took %s", took)
	}
}

// What is no HTTP, or endless, costs one connection and no more.
func TestBadCallers(t *testing.T) {
	socket := start(t, querytest.Spoke(), quiet())
	for name, bytes := range map[string]string{
		"no HTTP":        "\x00\x01\x02 nonsense\r\n\r\n",
		"endless header": "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 1<<20),
		"no such path":   "GET /v1/../../etc/passwd HTTP/1.0\r\n\r\n",
		"bad escape":     "GET /v1/show/%zz HTTP/1.0\r\n\r\n",
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		go io.WriteString(conn, bytes)
		answer, _ := io.ReadAll(conn)
		if strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("%s: %s", name, answer)
		}
		conn.Close()
	}
	if _, err := NewClient(socket).Show(t.Context(), "nhrp", nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

type slow struct {
	querytest.Fake
	entered, release chan struct{}
}

func (s *slow) Why(string) ([]nhrp.Stage, error) {
	s.entered <- struct{}{}
	<-s.release
	return nil, nil
}

func TestRequestsAreBounded(t *testing.T) {
	src := &slow{entered: make(chan struct{}, maxRequests), release: make(chan struct{})}
	c := NewClient(start(t, src, quiet()))
	var wg sync.WaitGroup
	for range maxRequests {
		wg.Go(func() { c.Why(context.Background(), "x") })
	}
	for range maxRequests {
		<-src.entered
	}
	if _, err := c.Version(t.Context()); !errors.Is(err, errBusy) {
		t.Errorf("with %d requests under way: %v", maxRequests, err)
	}
	close(src.release)
	wg.Wait()
	if _, err := c.Version(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestMetricsListener(t *testing.T) {
	l, err := ListenMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenMetrics(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "metrics on "+l.Addr().String()+": address already in use") {
		t.Errorf("taken address: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeMetrics(ctx, l, querytest.Spoke(), "1.2.3") }()
	resp, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	for _, want := range []string{`spokeway_build_info{`, `version="1.2.3"`, `spokeway_interface_up{interface="tun100"} 1`, "go_goroutines"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %q in %d bytes, status %s", want, len(body), strconv.Itoa(resp.StatusCode))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What is asked for arrives as it was asked, and each packet as soon as it is there.
func TestCaptureStreams(t *testing.T) {
	src := querytest.Spoke()
	asked, ended, q := make(chan capture.Request, 1), make(chan struct{}), capture.NewQueue()
	src.OnCapture = func(ctx context.Context, r capture.Request, w io.Writer) error {
		defer close(ended)
		asked <- r
		return q.Stream(ctx, w, "test", 0, func(string) string { return "" })
	}
	want := capture.Request{Peer: "10.0.0.1", Inner: true, Outer: true, Count: 7, Duration: time.Minute}
	body, err := NewClient(start(t, src, quiet())).Capture(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got != want {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	r := capture.NewReader(body)
	for n := range byte(3) {
		q.Put(capture.Packet{Time: time.Unix(1, 2), Interface: "tun0"}, nil, []byte{n})
		for {
			b, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if b.Packet != nil {
				if b.Packet.Data[0] != n {
					t.Errorf("packet %d: %v", n, b.Packet)
				}
				break
			}
		}
	}
	body.Close()
	for gone := false; !gone; { // the caller is missed when the next packet is written, at the latest
		q.Put(capture.Packet{Time: time.Unix(1, 2), Interface: "tun0"}, nil, []byte{9})
		select {
		case <-ended:
			gone = true
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestCaptureRefuses(t *testing.T) {
	src := querytest.Spoke()
	src.OnCapture = func(_ context.Context, r capture.Request, _ io.Writer) error {
		if !r.Inner || r.Outer {
			t.Errorf("without a choice it is the inner packets: %+v", r)
		}
		return fmt.Errorf("no peer %s: %w", r.Peer, query.ErrNotFound)
	}
	c := NewClient(start(t, src, quiet()))
	if _, err := c.Capture(t.Context(), capture.Request{Peer: "10.9.9.9"}); !errors.Is(err, query.ErrNotFound) || !strings.Contains(err.Error(), "no peer 10.9.9.9") {
		t.Errorf("no such peer: %v", err)
	}
	for _, r := range []capture.Request{{}, {Peer: "all", Count: -1}, {Peer: "all", Duration: -1}} {
		if _, err := c.Capture(t.Context(), r); err == nil || !strings.Contains(err.Error(), "bad request") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
