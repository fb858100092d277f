package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/api"
	"github.com/spokeway/spokeway/internal/capture"
	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/logs"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/query/querytest"
)

var update = flag.Bool("update", false, "write the generated files anew")

// The test binary is also the program, so that exit codes and signals are those of a process: with
// SPOKEWAY_TEST_AS=program as it is, with SPOKEWAY_TEST_AS=daemon around a router that forwards nothing.
func TestMain(m *testing.M) {
	switch os.Getenv("SPOKEWAY_TEST_AS") {
	case "program":
		version = "1.2.3-test"
		main()
	case "daemon":
		a := newApp(os.Stdout, os.Stderr)
		a.start = func(o daemonOptions) (daemon, error) { return &fakeRouter{querytest.Spoke(), o}, nil }
		a.able = func() error { return nil }
		os.Exit(a.main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is the command line of the program, in one role.
func program(ctx context.Context, role string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/proc/self/exe", args...)
	c.Env = append(os.Environ(), "SPOKEWAY_TEST_AS="+role)
	return c
}

// fakeRouter is a daemon without a network: it reloads for real and says goodbye in its log.
type fakeRouter struct {
	*querytest.Fake
	opts daemonOptions
}

func (f *fakeRouter) Run(ctx context.Context) error {
	<-ctx.Done()
	f.opts.Log.Info("test.goodbye")
	return nil
}

func (f *fakeRouter) Reload(context.Context) (changes []string, err error) {
	c, err := f.opts.Load()
	if err != nil {
		return nil, err
	}
	for _, d := range conf.Diff(f.opts.Config, c) {
		changes = append(changes, d.String())
	}
	f.opts.Config = c
	return changes, nil
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	return runAs(t, nil, args...)
}

func runAs(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, stderr bytes.Buffer
	c := program(ctx, "program", args...)
	c.Stdout, c.Stderr = &out, &stderr
	c.Env = append(c.Env, env...)
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", args, err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// folder is a short path, for sockets.
func folder(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serveSpoke answers for a made-up spoke until the test ends.
func serveSpoke(t *testing.T, log *logs.Log) (socket string) {
	t.Helper()
	src := querytest.Spoke()
	src.OnClear = func(what, filter string) (int, error) {
		if filter == "10.9.9.9" {
			return 0, nil
		}
		return 3, nil
	}
	src.OnCapture = captured
	src.OnReload = func(context.Context) ([]string, error) {
		return nil, fmt.Errorf("%w: spokeway.yaml:4:3: unknown key", query.ErrConfig)
	}
	socket = filepath.Join(folder(t), "control.sock")
	l, err := api.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, api.Options{Source: src, Log: log, Version: "1.2.3-test"}) }()
	t.Cleanup(func() {
		cancel()
		<-done
		l.Close()
	})
	return socket
}

// captured is what a capture of the made-up spoke gives.
func captured(ctx context.Context, r capture.Request, w io.Writer) error {
	if r.Peer != "10.100.100.11" {
		return fmt.Errorf("no peer %s: %w", r.Peer, query.ErrNotFound)
	}
	h := packet.Header{Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddr("10.0.0.2"), TTL: 64}
	q := capture.NewQueue()
	p := capture.Packet{Time: time.Unix(1700000000, 0), Interface: "tun100", Direction: capture.In, Dropped: 5}
	q.Put(p, nil, packet.AppendUDP(nil, h, 40000, 9, make([]byte, 5)))
	p.Direction, p.Dropped = capture.Out, 0
	q.Put(p, nil, packet.AppendUDP(nil, h, 40000, 9, make([]byte, 5)))
	return q.Stream(ctx, w, "test", 2, func(string) string { return "" })
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(folder(t), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodConfig = `version: 1
node: spoke2
tunnels:
  tun100:
    underlay: eth0
    address: 10.100.100.12/24
    key: 42
    nhrp: {network-id: 1, servers: [{nbma: 10.0.0.2}]}
`

func TestExitCodes(t *testing.T) {
	socket := "--socket=" + serveSpoke(t, quietLog())
	nobody := "--socket=" + filepath.Join(folder(t), "control.sock")
	good := write(t, "good.yaml", goodConfig)
	bad := write(t, "bad.yaml", "version: 1\ntunels: {}\n")
	tests := []struct {
		args     string
		code     int
		out, err string
	}{
		{"version", exitOK, "spokeway 1.2.3-test", ""},
		{"", exitOK, "Available Commands", ""},
		{"help show", exitOK, "shortcuts", ""},
		{"show --help", exitOK, "the NHRP cache", ""},
		{"show nhrp " + socket, exitOK, "198.51.100.7:4754", ""},
		{"sh ip nh tun6 " + socket, exitOK, "2001:db8::1", ""},
		{"show dmvpn hub up " + socket, exitOK, "10.100.100.1 ", ""},
		{"show routes 192.168.11.5 " + socket, exitOK, "taken: longest match; 10.100.100.11 is at", ""},
		{"show running-config " + socket, exitOK, "authentication: <redacted>", ""},
		{"why 10.100.100.11 " + socket, exitOK, "ok       path", ""},
		{"clear ip nhrp " + socket, exitOK, "cleared 3", ""},
		{"clear sas " + socket, exitOK, "cleared 3", ""},
		{"show crypto ikev2 sa " + socket, exitOK, "aes256gcm-sha384-x25519-mlkem768", ""},
		{"show crypto session " + socket, exitOK, "hub1.example.com", ""},
		{"show sas -o wide " + socket, exitOK, "0badcafe", ""},
		{"capture 10.100.100.11 " + socket, exitOK, "tun100 in  10.0.0.1:40000 > 10.0.0.2:9 udp 33 octets\n", "2 packets, 5 lost\n"},
		{"capture 10.100.100.11 -w - " + socket, exitOK, "\x0a\x0d\x0d\x0a", "2 packets, 5 lost\n"},
		{"debug 10.0.0.1 " + socket, exitOK, "10.0.0.1", ""},
		{"check -c " + good, exitOK, good + ": ok: 1 tunnel, 0 routes, 1 warning", "warning: " + good + ":4:3: "},

		{"nonsense", exitUsage, "", "nonsense: no such command"},
		{"chek", exitUsage, "", "did you mean check?"},
		{"c", exitUsage, "", "c: which one: capture, check, clear, completion"},
		{"show", exitUsage, "", "show what? one of: nhrp,"},
		{"show nonsense " + socket, exitUsage, "", "show nonsense: no such command"},
		{"show nhrp --nonsense", exitUsage, "", "unknown flag: --nonsense"},
		{"show nhrp -o xml", exitUsage, "", "-o xml: want table, wide or json"},
		{"why", exitUsage, "", "why: missing PEER"},
		{"capture", exitUsage, "", "capture: missing PEER"},
		{"capture all --count -1 " + socket, exitUsage, "", "--count and --duration"},
		{"why a b", exitUsage, "", `"b" is one argument too many`},
		{"show config tun100 " + socket, exitUsage, "", `"tun100" is one argument too many`},
		{"clear nhrp a b " + socket, exitUsage, "", `"b" is one argument too many`},
		{"lab", exitUsage, "", "lab what? one of: run, up, down, exec, list"},
		{"lab run", exitUsage, "", "lab run: missing FILE"},
		{"run --log-level loud", exitUsage, "", "--log-level: log level \"loud\""},
		{"run --log-format xml", exitUsage, "", "--log-format xml"},
		{"monitor --level loud " + socket, exitUsage, "", `log level "loud"`},
		{"completion tcsh", exitUsage, "", "tcsh: want bash, zsh or fish"},
		{"sim generate --seeds 0", exitUsage, "", "--seeds 0"},

		{"why 10.0.0.6 " + socket, exitDegraded, "failed   underlay route  no route to 10.0.0.6", ""},

		{"why 10.9.9.9 " + socket, exitNotFound, "", "why: no peer 10.9.9.9"},
		{"capture 10.9.9.9 " + socket, exitNotFound, "", "capture: no peer 10.9.9.9"},
		{"show nhrp 10.9.9.9 " + socket, exitNotFound, "", `show nhrp: nothing matches "10.9.9.9"`},
		{"show routes 2001:db8:2::1 " + socket, exitNotFound, "", "show routes: no route to 2001:db8:2::1"},
		{"show ospf databse " + socket, exitNotFound, "", "show ospf: nothing matches \"databse\": not found; `show ospf` goes on with neighbors, areas, "},
		{"clear nhrp 10.9.9.9 " + socket, exitNotFound, "", `clear nhrp: nothing matches "10.9.9.9"`},

		{"show nhrp " + nobody, exitUnreachable, "", "show nhrp: cannot reach the daemon at "},
		{"why 10.0.0.1 " + nobody, exitUnreachable, "", "why: cannot reach the daemon at "},
		{"reload " + nobody, exitUnreachable, "", "is it running? start it with `spokeway run`"},
		{"monitor " + nobody, exitUnreachable, "", "monitor: cannot reach the daemon"},

		{"check -c " + bad, exitCheck, "", bad + ":2:1: "},
		{"check -c /no/such/file", exitCheck, "", "check: read configuration: open /no/such/file: no such file"},
		{"run -c " + bad + " " + nobody, exitCheck, "", bad + ":2:1: "},
		{"reload " + socket, exitCheck, "", "reload: configuration not accepted: spokeway.yaml:4:3: unknown key"},
		{"sim run /no/such/file", exitCheck, "", "/no/such/file"},
		{"lab run /no/such/file", exitCheck, "", "/no/such/file"},
	}
	for _, tt := range tests {
		r := run(t, strings.Fields(tt.args)...)
		if r.code != tt.code || !strings.Contains(r.out, tt.out) || !strings.Contains(r.err, tt.err) {
			t.Errorf("spokeway %s: exit %d, want %d\nout: %s\nerr: %s\nwant %q and %q", tt.args, r.code, tt.code, r.out, r.err, tt.out, tt.err)
		}
		if tt.err == "" && r.err != "" {
			t.Errorf("spokeway %s: on stderr: %s", tt.args, r.err)
		}
	}
}

// With -o json a command prints an array with one object per row and nothing else, whatever its exit code.
func TestJSONIsAnArrayOfObjects(t *testing.T) {
	socket := "--socket=" + serveSpoke(t, quietLog())
	commands := []string{
		"version", "check -c " + write(t, "good.yaml", goodConfig), "check -c " + write(t, "bad.yaml", "a: b\n"),
		"why 10.0.0.6", "why 10.100.100.11", "clear nhrp", "debug 10.0.0.1", "show routes 192.168.11.5",
		"sim generate --spokes 2 --duration 10s",
	}
	for _, c := range query.Shows() {
		commands = append(commands, "show "+c.Name)
	}
	for _, c := range commands {
		r := run(t, append(strings.Fields(c), "-o", "json", socket)...)
		var rows []map[string]any
		if err := json.Unmarshal([]byte(r.out), &rows); err != nil || len(rows) == 0 {
			t.Errorf("%s: %v, %d rows\n%s%s", c, err, len(rows), r.out, r.err)
		}
	}
}

func TestCheckTellsEveryError(t *testing.T) {
	bad := write(t, "bad.yaml", "version: 1\ntunels: {}\nnode: [1]\n")
	r := run(t, "check", "-c", bad, "-o", "json")
	var rows []finding
	if err := json.Unmarshal([]byte(r.out), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) < 2 || rows[0].Severity != "error" || rows[0].Line != 2 || rows[0].Suggestion != "tunnels" || rows[1].Line != 3 {
		t.Errorf("got %+v", rows)
	}
	if plain := run(t, "check", "-c", bad); strings.Count(plain.err, bad+":") != len(rows) {
		t.Errorf("%d findings as JSON, as text:\n%s", len(rows), plain.err)
	}
}

func TestSocketFromTheEnvironment(t *testing.T) {
	socket := serveSpoke(t, quietLog())
	if r := runAs(t, []string{"SPOKEWAY_SOCKET=" + socket}, "show", "nhrp"); r.code != exitOK {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	r := runAs(t, []string{"SPOKEWAY_SOCKET=" + socket}, "show", "nhrp", "--socket", socket+".none")
	if r.code != exitUnreachable {
		t.Errorf("the flag goes before the environment: exit %d", r.code)
	}
}

func TestMonitorPrintsEvents(t *testing.T) {
	log := quietLog()
	socket := serveSpoke(t, log)
	for format, want := range map[string]string{
		"table": "info  nhrp.registered tunnel=tun100 peer=10.100.100.1",
		"json":  `"event":"nhrp.registered","attributes":{"peer":"10.100.100.1","tunnel":"tun100"}}`,
	} {
		c := program(t.Context(), "program", "monitor", "--socket", socket, "--event", "nhrp.", "-o", format)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		line := make(chan string, 1)
		go func() {
			b := make([]byte, 4096)
			n, _ := out.Read(b)
			line <- string(b[:n])
			io.Copy(io.Discard, out)
		}()
		if got := hear(t, log, line); !strings.Contains(got, want) {
			t.Errorf("-o %s: got %q, want %q", format, got, want)
		}
		c.Process.Signal(os.Interrupt)
		if err := c.Wait(); err != nil {
			t.Errorf("-o %s: interrupted: %v", format, err)
		}
	}
}

// hear speaks until the monitor, which subscribes in its own time, has heard.
func hear(t *testing.T, log *logs.Log, line chan string) string {
	deadline := time.After(20 * time.Second)
	for {
		log.Logger().Info("other.event")
		log.Logger().Info("nhrp.registered", "tunnel", "tun100", "peer", "10.100.100.1")
		select {
		case got := <-line:
			return got
		case <-deadline:
			t.Fatal("the monitor heard nothing")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func quietLog() *logs.Log { return logs.New(io.Discard, logs.JSON) }
