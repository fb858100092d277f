package sim

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/scenario"
)

// Every lab file we ship passes on the virtual clock, but for the steps that need a real host.
func TestExamples(t *testing.T) {
	files, _ := filepath.Glob("../../examples/lab/*.yaml")
	if len(files) == 0 {
		t.Fatal("no example in examples/lab")
	}
	for _, name := range append(files, "testdata/every-verb.yaml") {
		f, err := scenario.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, variant := range variantsOf(f) {
			t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml")+"/"+variant, func(t *testing.T) { play(t, name, variant) })
		}
	}
}

// variantsOf is the variants of a file; the nameless one when it has none.
func variantsOf(f *scenario.File) []string {
	if len(f.Variants) == 0 {
		return []string{""}
	}
	return f.Variants
}

func play(t *testing.T, name, variant string) {
	t.Parallel()
	f, err := scenario.LoadVariant(name, variant)
	if err != nil {
		t.Fatal(err)
	}
	sum := scenario.Run(NewStage(1), f, nil)
	for _, r := range sum.Results {
		switch {
		case r.Outcome == scenario.Fail:
			t.Errorf("line %d: %s: %s\n%s", r.Line, r.Title, r.Detail, strings.Join(r.Log, "\n"))
		case r.Outcome == scenario.Skipped && !strings.Contains(r.Detail, "not in a simulation"):
			t.Errorf("line %d: %s: skipped: %s", r.Line, r.Title, r.Detail)
		}
	}
}
