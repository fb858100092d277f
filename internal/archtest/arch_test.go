// Package archtest holds the shape of the tree: which way imports point, and that the core is pure. It reads the
// source with go/parser and needs no tool.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/spokeway/spokeway/"
)

// rule is one thing that packages must not import, and the reason. A pattern is a path, or a path and "/..." for
// what is below it as well. Our own packages are written without the module's name.
type rule struct {
	in  []string // packages it holds for
	not []string // imports it forbids
	why string
	but []string // exceptions: "package import"
}

var pure = []string{"internal/core", "internal/rib", "internal/packet/...", "internal/protect", "internal/proto/..."}

var rules = []rule{
	{
		in:  pure,
		not: []string{"net", "net/http/...", "net/rpc/...", "net/smtp", "net/textproto", "net/mail", "os", "os/...", "io/fs", "io/ioutil", "path/filepath", "plugin"},
		why: "a protocol neither blocks nor looks around: the edge brings packets and files, so that all of it runs in a test (net/netip is only values)",
	},
	{
		in:  pure,
		not: []string{"syscall", "golang.org/x/sys/...", "golang.org/x/net/...", "github.com/vishvananda/...", "unsafe", "C"},
		why: "the same protocol code runs on Linux and in the simulator; only the edge knows the system",
	},
	{
		in:  pure,
		not: []string{"sync", "sync/...", "golang.org/x/sync/...", "context"},
		why: "one goroutine owns a router's state: where a lock is needed, that is broken",
		but: []string{"internal/packet/esp sync/atomic"}, // no router's state: several queues of a data plane seal and open by one SA
	},
	{
		in:  pure,
		not: []string{"log", "log/...", "math/rand", "crypto/rand", "runtime", "expvar", "github.com/prometheus/..."},
		why: "logging, chance and counting go through the Env, so that one seed gives one trace and a router is a value",
	},
	{
		in:  []string{"internal/dataplane"},
		not: []string{"net", "os", "os/...", "syscall", "sync", "golang.org/x/sys/...", "context"},
		why: "the forwarding contract and its tables are pure as well; sync/atomic is fine, since counters are read while they count",
	},
	{
		in:  []string{"internal/core", "internal/rib", "internal/packet"},
		not: []string{"internal/proto/...", "internal/dataplane/..."},
		why: "proto stands on core, rib and packet, never the other way",
	},
	{
		in:  []string{"internal/core", "internal/rib", "internal/packet", "internal/proto/...", "internal/dataplane/..."},
		not: []string{"internal/conf", "internal/query", "internal/api", "internal/router", "internal/lab", "internal/scenario", "internal/sim", "internal/sys"},
		why: "words, printers and composition stand on the protocols; a protocol that knew them could not stand alone",
	},
	{
		in:  []string{"internal/proto/..."},
		not: []string{"internal/dataplane/user", "internal/dataplane/kernel"},
		why: "a protocol knows the forwarding contract and no forwarder",
	},
	{
		in:  []string{"internal/sim"},
		not: []string{"internal/sys", "internal/dataplane/user", "internal/api", "internal/lab"},
		why: "a simulated world touches no real one: it must run anywhere, without root",
	},
	{
		in:  []string{"internal/sys"},
		not: []string{"internal/router", "internal/api", "internal/query", "internal/sim", "internal/lab"},
		why: "the edge is thin: it is driven, and drives nothing",
	},
	{
		in:  []string{"..."},
		not: []string{"cmd/..."},
		why: "cmd ties the parts together; a part that imports it has turned the tree around",
	},
}

// source is one file that is no test.
type source struct {
	pkg  string // folder, from the root
	file *ast.File
}

func TestImports(t *testing.T) {
	fset, sources := read(t)
	for _, s := range sources {
		for _, spec := range s.file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if why := forbidden(s.pkg, strings.TrimPrefix(imported, module)); why != "" {
				t.Errorf("%s: %s must not import %s: %s", fset.Position(spec.Pos()), s.pkg, imported, why)
			}
		}
	}
}

// forbidden is why pkg must not import that, or "".
func forbidden(pkg, imported string) string {
	for _, r := range rules {
		if matches(r.in, pkg) && matches(r.not, imported) && !slices.Contains(r.but, pkg+" "+imported) {
			return r.why
		}
	}
	if isProtocol(pkg) && isProtocol(imported) && protocol(pkg) != protocol(imported) {
		return "no protocol imports another: they ask each other by Request and Notice, so that each can be built, tested and left out alone"
	}
	return ""
}

const protocols = "internal/proto/"

func isProtocol(pkg string) bool { return strings.HasPrefix(pkg, protocols) }

func protocol(pkg string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(pkg, protocols), "/")
	return name
}

func matches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, tree := strings.CutSuffix(p, "...")
		return p == pkg || tree && (strings.HasPrefix(pkg, below) || pkg == strings.TrimSuffix(below, "/"))
	})
}

// clock is what reads or waits for real time; the core is given Env.Now and Env.Arm.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestPurity(t *testing.T) {
	fset, sources := read(t)
	for _, s := range sources {
		if !matches(append(pure, "internal/dataplane"), s.pkg) {
			continue
		}
		name := localName(s.file, "time")
		ast.Inspect(s.file, func(n ast.Node) bool {
			if why := impure(n, name); why != "" {
				t.Errorf("%s: %s", fset.Position(n.Pos()), why)
			}
			return true
		})
	}
}

// impure is why a node has no place in the core, or "". timeName is what the file calls package time.
func impure(n ast.Node, timeName string) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a go statement: slow work goes out as core.Work and comes back as an event"
	case *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
		return "a channel: modules hear of each other by events, in one order"
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == timeName && slices.Contains(clock, n.Sel.Name) {
			return "time." + n.Sel.Name + ": time is given by Env.Now and Env.Arm, so that a simulated hour takes a second"
		}
	case *ast.FuncDecl:
		if n.Recv == nil && n.Name.Name == "init" {
			return "an init function: a router is a value, nothing registers itself"
		}
	}
	return ""
}

// localName is what the file calls the package, or "" when it does not import it.
func localName(f *ast.File, importPath string) string {
	for _, spec := range f.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			if spec.Name != nil {
				return spec.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

func read(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	fset := token.NewFileSet()
	var out []source
	for _, top := range []string{"cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() != "testdata" {
				return err
			}
			if d.IsDir() {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			pkg, err := filepath.Rel(root, filepath.Dir(name))
			out = append(out, source{filepath.ToSlash(pkg), f})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(out, func(s source) bool { return s.pkg == "internal/core" }) {
		t.Fatal("the tree is not where this test looks for it")
	}
	return fset, out
}

// TestRulesBite holds that the rules find what they are for.
func TestRulesBite(t *testing.T) {
	for _, tt := range []struct {
		pkg, imported string
		allowed       bool
	}{
		{"internal/core", "net", false},
		{"internal/core", "net/netip", true},
		{"internal/rib", "sync/atomic", false},
		{"internal/dataplane", "sync/atomic", true},
		{"internal/dataplane", "sync", false},
		{"internal/dataplane/user", "sync", true},
		{"internal/proto/nhrp", "os/exec", false},
		{"internal/proto/nhrp", "internal/proto/static", false},
		{"internal/proto/nhrp/wire", "internal/proto/nhrp", true},
		{"internal/proto/nhrp", "internal/dataplane", true},
		{"internal/proto/nhrp", "internal/dataplane/user", false},
		{"internal/core", "internal/rib", true},
		{"internal/rib", "internal/proto/nhrp", false},
		{"internal/sim", "internal/sys", false},
		{"internal/router", "internal/sys", true},
		{"internal/router", "cmd/spokeway", false},
	} {
		if why := forbidden(tt.pkg, tt.imported); (why == "") != tt.allowed {
			t.Errorf("%s importing %s: allowed %v, want %v (%s)", tt.pkg, tt.imported, why == "", tt.allowed, why)
		}
	}
	src := "package p\nimport clock \"time\"\nfunc init() {}\nfunc f(c chan int) { go f(c); clock.Sleep(1); c <- 1; _ = clock.Second }\n"
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if impure(n, localName(f, "time")) != "" {
			found++
		}
		return true
	})
	if found != 5 {
		t.Errorf("found %d of the 5 impurities", found)
	}
}
