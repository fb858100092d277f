package sim

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

var update = flag.Bool("update", false, "write the golden traces anew")

// The whole history of small stories, as a reviewer can read it beside RFC 2332.
func TestGoldenTraces(t *testing.T) {
	stories := map[string]func(c *cloud){
		"shortcut": func(c *cloud) { // register, redirect, resolve, probe, shortcut; idle, gone
			c.boot()
			c.flow(0, 1, 5)
			c.run(2 * holdTime)
		},
		"hub-loss": func(c *cloud) { // the shortcut outlives the hub, the hub comes back
			c.boot()
			c.flow(0, 1, 30)
			c.run(2 * time.Second)
			c.hubs[0].kill()
			c.run(40 * time.Second)
			c.start(c.hubs[0])
			c.run(70 * time.Second)
		},
		"goodbye": func(c *cloud) { // purge of registration and answers
			c.boot()
			c.flow(0, 1, 3)
			c.run(5 * time.Second)
			c.spokes[1].stop()
			c.run(5 * time.Second)
		},
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			c := generate(Options{Seed: 1, Hubs: 1, Spokes: 2})
			var out bytes.Buffer
			c.world.Trace.Out = &out
			k := newChecker(c)
			story(c)
			for _, v := range k.violations {
				t.Error(v)
			}
			golden(t, filepath.Join("testdata", name+".trace"), out.Bytes())
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !bytes.Equal(a[i], b[i]) {
			t.Fatalf("%s:%d differs; if the change is meant, run go test ./internal/sim -run Golden -update\ngot  %s\nwant %s",
				path, i+1, at(a, i), at(b, i))
		}
	}
}

func at(lines [][]byte, i int) []byte {
	if i < len(lines) {
		return lines[i]
	}
	return []byte("(nothing)")
}

// The story of the first shortcut, told by path: by the hub, then straight.
func TestPathBecomesDirect(t *testing.T) {
	c := generate(Options{Seed: 1, Hubs: 1, Spokes: 2})
	c.boot()
	trace := scenario.Trace{From: lanHost(0), To: lanHost(1), MaxTTL: 5, Timeout: time.Second}
	// The first probe itself makes the hub redirect; it dies there, and the second goes on to the far LAN.
	first, err := c.spokes[0].path(trace)
	if err != nil || len(first) == 0 || first[0] != c.hubs[0].overlay {
		t.Errorf("before the shortcut: %v, %v", first, err)
	}
	c.flow(0, 1, 2)
	c.run(2 * time.Second)
	direct, err := c.spokes[0].path(trace)
	if err != nil || len(direct) != 1 || direct[0] != lanHost(1) {
		t.Errorf("after it: %v, %v", direct, err)
	}
}
