// Command summary reads the output of `go test -json` and prints what matters: the output of what failed, why tests
// were skipped, and how many passed, failed and were skipped.
//
//	go test -json ./... | go run ./test/summary [-no-skips] [-slow 20s]
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type key struct{ pkg, test string }

// tally is what was seen so far.
type tally struct {
	output                  map[key][]string
	passed, failed, skipped int
	broken                  []key // failed tests and packages, in order
	skips                   []string
	slow                    []string
	slowest                 time.Duration
}

func main() {
	noSkips := flag.Bool("no-skips", false, "a skipped test is a failure")
	slow := flag.Duration("slow", 0, "name tests that took longer than this")
	flag.Parse()
	t := &tally{output: map[key][]string{}, slowest: *slow}
	if err := t.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary: read test output:", err)
		os.Exit(2)
	}
	t.print(os.Stdout)
	if t.failed > 0 || len(t.broken) > 0 || *noSkips && t.skipped > 0 || t.passed == 0 {
		os.Exit(1)
	}
}

func (t *tally) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // of the go command itself
			continue
		}
		t.add(e)
	}
	return lines.Err()
}

func (t *tally) add(e event) {
	if e.Package == "" {
		e.Package = e.ImportPath
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output", "build-output":
		t.output[k] = append(t.output[k], e.Output)
	case "build-fail":
		t.broken = append(t.broken, k)
	case "fail":
		t.broken = append(t.broken, k)
		t.failed += count(e)
	case "pass":
		t.passed += count(e)
		t.pass(k, e)
	case "skip":
		t.skip(k, e)
	}
}

func count(e event) int {
	if e.Test == "" {
		return 0
	}
	return 1
}

func (t *tally) pass(k key, e event) {
	delete(t.output, k)
	if took := time.Duration(e.Elapsed * float64(time.Second)); t.slowest > 0 && took > t.slowest {
		t.slow = append(t.slow, fmt.Sprintf("%-70s %v", name(k), took.Round(time.Second)))
	}
}

// skip ignores packages without tests, which are skipped too.
func (t *tally) skip(k key, e event) {
	if e.Test == "" {
		return
	}
	t.skipped++
	t.skips = append(t.skips, name(k)+": "+reason(t.output[k]))
	delete(t.output, k)
}

// reason is what a test said when it skipped itself.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

func name(k key) string {
	pkg := strings.TrimPrefix(k.pkg, "github.com/spokeway/spokeway/")
	if k.test == "" {
		return pkg
	}
	return pkg + " " + k.test
}

func (t *tally) print(w io.Writer) {
	for _, k := range t.broken {
		fmt.Fprintln(w, "FAIL", name(k))
		for _, line := range t.output[k] {
			fmt.Fprint(w, "    ", line)
		}
	}
	for _, s := range t.skips {
		fmt.Fprintln(w, "SKIP", s)
	}
	for _, s := range t.slow {
		fmt.Fprintln(w, "SLOW", s)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}
