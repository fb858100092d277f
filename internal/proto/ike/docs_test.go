package ike

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var writeDocs = flag.Bool("ike.docs", false, "write the table of docs/ike.md anew")

const docs = "../../../docs/ike.md"

// clause is a case of a test: what it is about, in what words, in which test.
type clause struct{ about, what, test string }

var caseName = regexp.MustCompile(`^((?:RFC \d+ [\d.]+)|(?:CVE-\d+-\d+)|(?:(?:strongSwan|free5GC) issue \d+)): (.+)$`)

// clauses are all cases of the package's tests whose names begin with a clause, in order.
func clauses(t *testing.T) (all []clause) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				all = append(all, casesOf(f)...)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b clause) int { return cmp.Or(order(a.about, b.about), cmp.Compare(a.what, b.what)) })
	return slices.Compact(all)
}

func casesOf(f *ast.FuncDecl) (all []clause) {
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, _ := strconv.Unquote(l.Value)
			if m := caseName.FindStringSubmatch(text); m != nil {
				what := regexp.MustCompile(`:? ?%\w`).ReplaceAllString(m[2], "")
				all = append(all, clause{m[1], what, f.Name.Name})
			}
		}
		return true
	})
	return all
}

// order sorts clauses as people count: RFC 7296 first, then by number.
func order(a, b string) int {
	return slices.Compare(rank(a), rank(b))
}

func rank(about string) (out []int) {
	out = append(out, slices.IndexFunc([]string{"RFC 7296 ", "RFC ", "CVE-", ""}, func(p string) bool { return strings.HasPrefix(about, p) }))
	for _, n := range regexp.MustCompile(`\d+`).FindAllString(about, -1) {
		i, _ := strconv.Atoi(n)
		out = append(out, i)
	}
	return out
}

func table(all []clause) string {
	var b strings.Builder
	b.WriteString("| clause | what is tested | test |\n|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", c.about, c.what, c.test)
	}
	return b.String()
}

// TestDocs checks that docs/ike.md lists every case, and none that is not there.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- clauses: go test ./internal/proto/ike -run TestDocs -ike.docs -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	found, after, ok2 := strings.Cut(rest, end)
	all := clauses(t)
	if !ok || !ok2 || len(all) < 150 {
		t.Fatalf("the marks of the table are gone, or the tests: %d clauses", len(all))
	}
	want := table(all)
	if found == want {
		return
	}
	if *writeDocs {
		if err := os.WriteFile(docs, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("docs/ike.md does not list the tests as they are: go test ./internal/proto/ike -run TestDocs -ike.docs")
}
