package conf

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestExamples loads every file that we ship. They warn of nothing but the missing protection.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 7 {
		t.Fatalf("found %d examples: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			c, warnings, err := Load(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if !strings.Contains(w.Message, "in clear") && !strings.Contains(w.Message, "can be read by every user") {
					t.Error(w)
				}
			}
			again(t, f, c)
		})
	}
}

// again holds that what is printed is what was read.
func again(t *testing.T, name string, c *Config) {
	t.Helper()
	d, _, err := Parse(name, c.YAML())
	if err != nil {
		t.Fatalf("the printed configuration is refused: %v\n%s", err, c.YAML())
	}
	if !same(c, d) {
		t.Fatalf("%+v\nis printed as\n%s\nread as\n%+v", c, c.YAML(), d)
	}
	if diff := Diff(c, d); len(diff) > 0 {
		t.Fatalf("equal, yet different: %v", diff)
	}
}

// same reports whether two configurations are equal. Certificate pools hold functions, which never are: what they were made
// of is compared.
func same(a, b *Config) bool {
	return reflect.DeepEqual(withoutPools(a), withoutPools(b))
}

func withoutPools(c *Config) *Config {
	out := *c
	out.Profiles = slices.Clone(c.Profiles)
	for i, p := range out.Profiles {
		profile := *p.IKE
		profile.Trust = nil
		out.Profiles[i].IKE = &profile
	}
	return &out
}
