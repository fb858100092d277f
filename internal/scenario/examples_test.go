package scenario_test

import (
	"path/filepath"
	"testing"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/scenario"
)

// TestExamples loads every shipped scenario, and every configuration in it.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/lab/*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d scenarios found: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := scenario.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			check(t, f)
			for _, v := range f.Variants {
				if f, err = scenario.LoadVariant(path, v); err != nil {
					t.Fatal(err)
				}
				check(t, f)
			}
		})
	}
}

func check(t *testing.T, f *scenario.File) {
	t.Helper()
	for _, n := range f.Nodes {
		if n.Kind != scenario.Router {
			continue
		}
		if _, _, err := conf.Parse(n.Name+".yaml", n.Config); err != nil {
			t.Errorf("variant %q, node %s: %v\n%s", f.Variant, n.Name, err, n.Config)
		}
	}
}
