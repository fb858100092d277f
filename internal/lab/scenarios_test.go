package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// shipped are the scenarios that users get.
const shipped = "../../examples/lab/*.yaml"

// slowest is how long a shipped scenario may take on a quiet host.
const slowest = 25 * time.Second

// spokeway builds the binary under test once.
func spokeway(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("SPOKEWAY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "spokeway")
	c := exec.Command("go", "build", "-o", path, "../../cmd/spokeway")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build spokeway: %v\n%s", err, out)
	}
	return path
}

// TestLabExamples plays every shipped scenario with the real program.
func TestLabExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the shipped scenarios take some ten seconds each")
	}
	needLab(t)
	files, err := filepath.Glob(shipped)
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios found: %v", len(files), err)
	}
	binary := spokeway(t)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			opts := options()
			opts.Binary = binary
			sum := playShipped(t, path, opts)
			if n := sum.Count(scenario.Skipped); n > 0 {
				t.Errorf("%d steps were skipped", n)
			}
			if sum.Took > slowest {
				t.Logf("it took %v, want at most %v", sum.Took, slowest)
			}
		})
	}
}

// busy is the variant for hosts that have other work to do.
const busy = "busy"

// tries is how often a file is played that measures what is lost in milliseconds: those of the host are not ours. The simulator
// plays every variant, and judges exactly.
const tries = 3

// playShipped plays a file, in the variant that is for busy hosts where there is one; that is played again when it fails.
func playShipped(t *testing.T, path string, opts Options) scenario.Summary {
	t.Helper()
	f, err := scenario.Load(path)
	if err == nil && slices.Contains(f.Variants, busy) {
		f, err = scenario.LoadVariant(path, busy)
	}
	if err != nil {
		t.Fatal(err)
	}
	for try := 1; f.Variant == busy && try < tries; try++ {
		sum := Run(context.Background(), f, opts, nil)
		at := slices.IndexFunc(sum.Results, func(r scenario.Result) bool { return r.Outcome == scenario.Fail })
		if at < 0 {
			return sum
		}
		t.Logf("try %d of %d: line %d: %s: %s", try, tries, sum.Results[at].Line, sum.Results[at].Title, sum.Results[at].Detail)
	}
	return play(t, f, opts)
}

const lifecycle = `
networks: {internet: {kind: provider, delay: 1ms}}
nodes:
  hub:
    kind: router
    interfaces: {eth0: {network: internet, address: 10.0.0.2/24}}
    config: {tunnels: {tun0: {underlay: eth0, address: 10.100.0.1/24, nhrp: {network-id: 1}}}}
  late:
    kind: router
    start: false
    interfaces: {eth0: {network: internet, address: 10.0.1.2/24}}
    config: {tunnels: {tun0: {underlay: eth0, address: 10.100.0.2/24, nhrp: &nhrp {network-id: 1, servers: [{nbma: 10.0.0.2}]}}}}
`

// TestLabRouters starts, reloads, stops and kills a router, and asks it in between.
func TestLabRouters(t *testing.T) {
	needLab(t)
	opts := options()
	opts.Binary, opts.LogDir = spokeway(t), t.TempDir()
	play(t, parse(t, lifecycle+`
steps:
  - expect: {node: hub, show: nhrp, where: {type: dynamic}, count: 0}
  - start: late
  - wait: {node: hub, show: nhrp, where: {type: dynamic}, count: 1}
  - why: {node: late, peer: 10.100.0.1, rows: [{name: registered, state: "!= failed"}], absent: [{state: failed}]}
  - reload: {node: late, config: {tunnels: {tun0: {underlay: eth0, address: 10.100.0.3/24, nhrp: *nhrp}}}}
  - wait: {node: hub, show: nhrp, rows: [{protocol: 10.100.0.3, type: dynamic}]}
  - restart: late
  - wait: {node: late, show: peers, rows: [{role: hub, state: up}]}
  - kill: late
  - start: late
  - wait: {node: late, show: peers, rows: [{role: hub, state: up}]}
  - say: A router that hangs is taken down all the same.
    kill: {node: hub, signal: STOP}
`), opts)
	log, err := os.ReadFile(filepath.Join(opts.LogDir, "late.log"))
	if err != nil || strings.Count(string(log), "daemon.started") != 3 {
		t.Errorf("the log of three starts: %v\n%s", err, log)
	}
}

// TestLabTellsHowARouterEnded expects the failures that a broken router is to cause.
func TestLabTellsHowARouterEnded(t *testing.T) {
	needLab(t)
	opts := options()
	opts.Binary = spokeway(t)
	for _, c := range []struct{ name, steps, want string }{
		{"by itself", "steps: [{exec: {node: hub, run: [sh, -c, 'for p in $(ip netns pids $(ip netns identify)); do [ $p = $$ ] || kill -9 $p; done; true']}}, {sleep: 1s}]", "hub ended by itself: signal: killed"},
		{"not running", "steps: [{stop: hub}, {expect: {node: hub, show: nhrp, count: 0}}]", "hub is not running: exit status 0"},
		{"bad reload", "steps: [{reload: {node: hub, config: {tunels: {}}}}]", "unknown key \"tunels\""},
		{"stopped twice", "steps: [{stop: hub}, {stop: hub}]", "hub is not running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum := Run(context.Background(), parse(t, lifecycle+c.steps), opts, nil)
			var all []string
			for _, r := range sum.Results {
				if r.Outcome == scenario.Fail {
					all = append(all, r.Detail)
				}
			}
			if !strings.Contains(strings.Join(all, "\n"), c.want) {
				t.Errorf("failures %q, want %q", all, c.want)
			}
		})
	}
}
