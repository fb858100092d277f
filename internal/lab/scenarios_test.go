package lab

import (
	"os"
	"os/exec"
	"path/filepath"
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
			f, err := scenario.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			opts := options()
			opts.Binary = binary
			sum := play(t, f, opts)
			if n := sum.Count(scenario.Skipped); n > 0 {
				t.Errorf("%d steps were skipped", n)
			}
			if sum.Took > slowest {
				t.Logf("it took %v, want at most %v", sum.Took, slowest)
			}
		})
	}
}
