package ospf

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// Every problem has words, a remedy, and a line in the documentation that names the test of it; why says it by address,
// router ID and interface.
func TestEveryProblemHasWords(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ospf.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind := range Problem(len(problemWords)) {
		w := problemWords[kind]
		if w.word == "" || w.remedy == "" || strings.HasSuffix(w.remedy, ".") {
			t.Errorf("problem %d: %+v", kind, w)
		}
		row := tableRow(string(page), "`"+w.word+"`")
		if len(row) != 4 {
			t.Errorf("docs/ospf.md has no row for `%s` of problem, what is wrong, what to do, tests", w.word)
			continue
		}
		if len(testName.FindAllString(row[3], -1)) == 0 {
			t.Errorf("`%s`: no test is named", w.word)
		}
	}
}

var testName = regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`)

// The tests that the documentation names are there.
func TestDocumentationNamesTests(t *testing.T) {
	page, err := os.ReadFile("../../../docs/ospf.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "../../../test/peers/ospf_*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(b)
		}
	}
	for _, name := range testName.FindAllString(string(page), -1) {
		if !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
}

// tableRow is the cells of the row of a table that begins with a word.
func tableRow(page, first string) (cells []string) {
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "| "+first+" |") {
			for _, c := range strings.Split(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(c))
			}
		}
	}
	return cells
}

func TestWhySaysTheProblemFirst(t *testing.T) {
	w, a, f := withFoe(t, nil)
	f.befriend()
	f.say(&wire.Update{LSAs: []wire.LSA{func() wire.LSA {
		l, _ := wire.Build(wire.V2, wire.LSAKey{Type: 8, ID: 1, Router: f.id}, 1, wire.InitialSequence, &wire.Opaque{Data: make([]byte, 16)})
		return l
	}()}})
	for _, peer := range []string{"10.0.0.9", "9.9.9.9", "e0"} {
		stages := a.m.Why(peer, w.now)
		if len(stages) != 2 || stages[0].State != "failed" || !strings.Contains(stages[0].Detail, "0x8 0.0.0.1") || stages[0].Remedy == "" || stages[1].State != "ok" {
			t.Errorf("why %s: %+v", peer, stages)
		}
	}
	if stages := a.m.Why("10.0.0.77", w.now); stages != nil {
		t.Errorf("of nobody: %+v", stages)
	}
}

// How far a neighbour has come is said of each state, and of those that wait.
func TestWhySaysHowFarItHasCome(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reach func(f *foe)
		state string
		want  string
	}{
		{"heard, and not seen", func(f *foe) { f.say(f.hello()) }, "waiting", "does not hear us"},
		{"the same for longer than the dead interval", func(f *foe) {
			for range 12 {
				f.say(f.hello())
				f.w.run(5 * time.Second)
			}
			f.say(f.hello())
		}, "failed", "does not hear us"},
		{"no description comes", func(f *foe) { f.stay(time.Minute); f.greet() }, "failed", "does not begin"},
		{"full", func(f *foe) { f.befriend() }, "ok", "adjacent"},
		{"it brought too much", func(f *foe) {
			f.befriend()
			for k := range 150 {
				f.say(&wire.Update{LSAs: []wire.LSA{f.external(k, 16)}})
			}
		}, "waiting", "left alone"},
		{"it fails again and again", func(f *foe) {
			f.befriend()
			for range 5 {
				f.say(&wire.Request{Keys: []wire.LSAKey{{Type: 5, ID: 1, Router: 1}}})
				f.describe(wire.DDInit | wire.DDMore)
				f.master++
			}
		}, "waiting", "begins anew"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, a, f := withFoe(t, func(c *Config) { c.MaxLSAs = 100 })
			tt.reach(f)
			stages := a.m.Why("9.9.9.9", w.now)
			if len(stages) == 0 {
				t.Fatal("nothing")
			}
			if s := stages[len(stages)-1]; s.State != tt.state || !strings.Contains(fmt.Sprint(s), tt.want) {
				t.Errorf("%+v, want %s and %q", s, tt.state, tt.want)
			}
		})
	}
	w := newWorld(t, 1)
	a := w.add("a", oneArea("1.1.1.1", p2p("e0")), "e0 s 10.0.0.1/24")
	a.setLink("e0", func(l *core.Link) { l.Up = false })
	if stages := a.m.Why("e0", w.now); len(stages) != 1 || !strings.Contains(stages[0].Detail, "the interface is down") {
		t.Errorf("%+v", stages)
	}
}

// What is told of a router that is a neighbour in both families says which of them it is about.
func TestWhySaysOfWhichInstance(t *testing.T) {
	w := newWorld(t, 1)
	for k := 1; k <= 2; k++ {
		six, four := oneArea(fmt.Sprintf("%d.0.0.0", k), p2p("e0")), oneArea(fmt.Sprintf("%d.0.0.0", k), p2p("e0"))
		six.Name, six.Version = "ospfv3", wire.V3
		four.Name, four.Version, four.Areas[0].Interfaces[0].Instance = "ospfv3-ipv4", wire.V3IPv4, 64
		w.add(fmt.Sprint("r", k), six, fmt.Sprintf("e0 s 10.0.0.%d/24,fe80::%d/64", k, k)).boot(six, four)
	}
	w.run(time.Minute)
	for _, peer := range []string{"2.0.0.0", "fe80::2", "e0"} {
		var names []string
		for _, s := range w.routers["r1"].m.Why(peer, w.now) {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, []string{"ospfv3", "ospfv3-ipv4"}) {
			t.Errorf("why %s tells of %q", peer, names)
		}
	}
}

// An interface without neighbours says whether any is looked for.
func TestWhyOfAnInterfaceAlone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(f *Interface)
		state  string
		want   string
		remedy bool
	}{
		{"nobody is heard", func(*Interface) {}, "waiting", "no neighbour has been met on e0", true},
		{"passive", func(f *Interface) { f.Passive = true }, "ok", "no neighbour is looked for on e0, which is passive", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 1)
			f := p2p("e0")
			tt.change(&f)
			a := w.add("a", oneArea("1.1.1.1", f), "e0 s 10.0.0.1/24")
			w.run(time.Minute)
			stages := a.m.Why("e0", w.now)
			if len(stages) != 1 || stages[0].State != tt.state || !strings.Contains(stages[0].Detail, tt.want) || (stages[0].Remedy != "") != tt.remedy {
				t.Errorf("%+v", stages)
			}
		})
	}
}
