package conf

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// FuzzParse holds that no file ends the process, that an error says where, and that what is accepted is printed
// as it was meant.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../examples/*.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range hostile {
		f.Add([]byte(s))
	}
	f.Add([]byte(full))
	f.Fuzz(func(t *testing.T, src []byte) { total(t, src) })
}

// total is what holds for any file. It reports whether the file was accepted.
func total(t *testing.T, src []byte) bool {
	t.Helper()
	c, warnings, err := ParseWith("f", src, testSecrets)
	if err != nil {
		wantErrors(t, err)
		return false
	}
	wantWarnings(t, c, warnings)
	d, _, err := ParseWith("f", c.YAML(), testSecrets)
	if err != nil {
		t.Fatalf("the printed configuration is refused: %v\n%s", err, c.YAML())
	}
	if !same(c, d) || len(Diff(c, d)) > 0 {
		t.Fatalf("%+v\nis read back as\n%+v\nfrom\n%s", c, d, c.YAML())
	}
	c.Redacted()
	return true
}

var words = regexp.MustCompile(`[A-Za-z0-9_.:/-]+|[^A-Za-z0-9_.:/-]`)

// TestMutations changes a word or two of a file that has every key.
func TestMutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	whole := words.FindAllString(full, -1)
	accepted := 0
	for range 1000 {
		w := slices.Clone(whole)
		for range 1 + rnd.IntN(2) {
			i, j := rnd.IntN(len(w)), rnd.IntN(len(w))
			switch rnd.IntN(4) {
			case 0:
				w = slices.Delete(w, i, i+1)
			case 1:
				w[i] = w[j]
			case 2:
				w = slices.Insert(w, i, w[j])
			case 3:
				w[i] = []string{"0", "1", "null", "true", "~", "''", "[]", "{}", "-1", "1e3", "::", "0.0.0.0/0", "\n", "#", "yes", "é", "0x10"}[rnd.IntN(17)]
			}
		}
		if total(t, []byte(strings.Join(w, ""))) {
			accepted++
		}
	}
	if accepted < 50 || accepted > 950 {
		t.Errorf("%d of 1000 were accepted: this test says little", accepted)
	}
}

// wantWarnings holds that no tunnel is in clear without a word.
func wantWarnings(t *testing.T, c *Config, warnings []Warning) {
	t.Helper()
	for _, tun := range c.Tunnels {
		said := slices.ContainsFunc(warnings, func(w Warning) bool { return strings.Contains(w.Message, "tunnel "+tun.Name+" is in clear") })
		if protected := tun.Protect != "" && tun.Encapsulation == dataplane.ESP && c.profile(tun.Protect) != nil && tun.Wrap > 0; said == protected {
			t.Errorf("%s: protected %v, warned of %v: %+v", tun.Name, protected, said, tun)
		}
	}
}

func wantErrors(t *testing.T, err error) {
	var es Errors
	if !errors.As(err, &es) || len(es) == 0 || len(es) > maxErrors+1 {
		t.Fatalf("%T with %d errors", err, len(es))
	}
	for _, e := range es {
		if e.File != "f" || e.Message == "" || strings.ContainsAny(e.Error(), "\n\t") {
			t.Errorf("%+v", e)
		}
	}
}

// hostile are small files that grow, nest or confuse.
var hostile = []string{
	"",
	"\n",
	"---\n...\n",
	"version: 1\n---\nversion: 1\n",
	"a: &a [x]\nb: *a\n",
	"a: &a {b: *a}\n",
	"<<: {a: 1}\n",
	"? [a]\n: b\n",
	"!!binary x: y\n",
	"%YAML 1.2\n---\nversion: 1\n",
	strings.Repeat("[", 100),
	strings.Repeat("{a: ", 100),
	strings.Repeat("- ", 100) + "x",
	"\xff\xfe",
	"version: 1\x00",
	"\ufeffversion: 1\n",
	"version: |\n  1\n",
	": x\n",
	"- version\n",
	"version",
	"version: {1}\n",
	"version: 0x1\nlog: ~\n",
	"routes: [{to: ::/0, via: ::1]}\nversion: 1",
}

func TestHostile(t *testing.T) {
	for _, s := range hostile {
		if _, _, err := Parse("f", []byte(s)); err == nil {
			t.Errorf("%.40q is accepted", s)
		} else {
			wantErrors(t, err)
		}
	}
}

func TestLineEndingsOfOtherSystems(t *testing.T) {
	c, _, err := Parse("f", []byte("version: 1\r\nnode: x\r\nlog:\r\n  level: debug\r\n"))
	if err != nil || c.Node != "x" || c.Log.Level != "debug" {
		t.Errorf("%+v %v", c, err)
	}
}

// TestCutAtEveryLength takes the largest example apart.
func TestCutAtEveryLength(t *testing.T) {
	text, err := os.ReadFile("../../examples/clusters-spoke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for n := range text {
		if _, _, err := ParseWith("f", text[:n], testSecrets); err != nil {
			wantErrors(t, err)
		}
	}
}

// TestLargeFilesAreCheap fills a file up to the limit in the ways that cost most.
func TestLargeFilesAreCheap(t *testing.T) {
	fill := func(head, line string) string {
		return head + strings.Repeat(line, (maxSize-len(head))/len(line))
	}
	for name, src := range map[string]string{
		"too large":      strings.Repeat("#\n", maxSize),
		"comments":       fill("version: 1\n", "# x\n"),
		"unknown keys":   fill("", "a: 1\n"),
		"many mappings":  fill("routes:\n", "  -\n"+strings.Repeat("    a: 1\n", maxPairs)),
		"flow mapping":   fill("a: {\n", " a: 1,\n"),
		"one long list":  fill("version: 1\nlog:\n  debug:\n", "    - tun1\n"),
		"routes":         fill("version: 1\nroutes:\n", "  - {to: 10.0.0.0/8, via: 10.0.0.1}\n"),
		"open lists":     fill("", "[\n"),
		"open mappings":  fill("", "{a: \n"),
		"one long line":  strings.Repeat("a", maxSize),
		"deep block":     deepBlock(),
		"quotation open": fill("a: \"", "b\n"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _, err := Parse("f", []byte(src))
			t.Logf("%v, %.80v", time.Since(start), err)
			if time.Since(start) > time.Minute {
				t.Error("too slow")
			}
		})
	}
}

func deepBlock() string {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
