package conf

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestExamples loads every file that we ship, with the keys and certificates that it names beside it. Those in clear warn of
// that, and of nothing else.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) < 11 {
		t.Fatalf("found %d examples: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			name := furnish(t, f)
			c, warnings, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if !strings.Contains(w.Message, "in clear") && !strings.Contains(w.Message, "can be read by every user") {
					t.Error(w)
				}
			}
			again(t, name, c)
		})
	}
}

// furnish copies an example to a folder with all that examples name.
func furnish(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(example))); err != nil {
		t.Fatal(err)
	}
	files := testFiles()
	for name, from := range map[string]string{
		"corp.psk": "corp.psk", "lan.password": "corp.psk", "corp-new.psk": "old.psk", "ca.pem": "ca.pem", "ca.crl": "ca.crl", "spoke1.pem": "hub.pem", "spoke1.key": "hub.key",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), files[from].Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, filepath.Base(example))
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
