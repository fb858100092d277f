package conf

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const referencePage = "../../docs/configuration.md"

func TestReference(t *testing.T) {
	if *update {
		if err := os.WriteFile(referencePage, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Reference() {
		t.Errorf("%s is out of date: go test ./internal/conf -run Reference -update", referencePage)
	}
}

// TestKeysAreWhole holds that each row says what it is for, and that a refused key has no default.
func TestKeysAreWhole(t *testing.T) {
	for _, r := range rootKeys.rows("") {
		if r.kind == "" || r.meaning == "" || strings.ContainsAny(r.kind+r.standard+r.meaning, "|\n") {
			t.Errorf("%s: %+v", r.path, r)
		}
	}
}
