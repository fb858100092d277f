package scenario

import (
	"strings"
	"testing"
)

const answer = `[
 {"protocol": "10.0.0.1", "type": "dynamic", "flags": ["unique", "used"], "expiresIn": 299.5, "up": true, "nextHops": [{"via": "10.1.1.1", "interface": "tun0"}, {"via": "10.1.1.2"}]},
 {"protocol": "10.0.0.2", "type": "static", "flags": [], "expiresIn": -1, "up": false, "nbma": null}
]`

func TestRows(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"a row", "rows: [{protocol: 10.0.0.1}]", ""},
		{"two rows", "rows: [{protocol: 10.0.0.1}, {type: static}]", ""},
		{"all conditions in one row", "rows: [{protocol: 10.0.0.1, type: static}]", "no row has {protocol: 10.0.0.1, type: static}; there is"},
		{"absent", "absent: [{protocol: 10.0.0.3}]", ""},
		{"not absent", "absent: [{type: static}]", "a row has {type: static}, which must not be there"},
		{"count", "count: 2", ""},
		{"count compared", "count: \">= 3\"", "2 rows, want >= 3"},
		{"count of some", "{where: {type: dynamic}, count: 1}", ""},
		{"where alone wants one", "where: {type: negative}", "0 rows, want >= 1; there is none"},
		{"where hides rows", "{where: {type: static}, rows: [{protocol: 10.0.0.1}]}", "no row has"},
		{"element of a list", "rows: [{flags: unique}]", ""},
		{"not an element", "rows: [{protocol: 10.0.0.1, flags: \"!= used\"}]", "no row has"},
		{"no element is", "rows: [{protocol: 10.0.0.2, flags: \"!= used\"}]", ""},
		{"number", "rows: [{expiresIn: \"> 290\"}]", ""},
		{"duration", "rows: [{expiresIn: \"<= 5m\", type: dynamic}]", ""},
		{"too small", "rows: [{expiresIn: \"> 5m\"}]", "no row has"},
		{"equal numbers", "rows: [{expiresIn: -1.0}]", ""},
		{"truth", "rows: [{up: true}]", ""},
		{"contains", "rows: [{type: contains DYN}]", ""},
		{"pattern", "rows: [{protocol: '~ ^10\\.0\\.'}]", ""},
		{"anything", "rows: [{flags: '*'}]", ""},
		{"nested", "rows: [{nextHops.via: 10.1.1.2, nextHops.interface: tun0}]", ""},
		{"no such key", "rows: [{nextHop: '*'}]", "no row has"},
		{"no such key is not that", "rows: [{nextHop: '!= x'}]", ""},
		{"null", "rows: [{nbma: ''}]", ""},
		{"a version is no number", "rows: [{protocol: 10.0}]", "no row has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &reader{file: "x"}
			w := r.object(r.parseTree([]byte(c.yaml)), "rows").rowsOf()
			if err := r.err(); err != nil {
				t.Fatal(err)
			}
			err := w.Check([]byte(answer))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRowsOfOtherShapes(t *testing.T) {
	one := Rows{Rows: []Row{{{"a", Want{op: "=", value: "1"}}}}}
	for _, c := range []struct {
		answer string
		ok     bool
	}{
		{`{"a": 1}`, true},
		{"{\"a\": 2}\n{\"a\": 1}\n", true},
		{`[[{"a": 1}]]`, true}, // lists on the way are looked into
		{"", false},
		{"null", false},
		{"no JSON", false},
		{`[1, "a", null]`, false},
		{`[{"a": 1}`, false},
	} {
		if err := one.Check([]byte(c.answer)); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.answer, err)
		}
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte(answer), "nextHops.via", ">= 2")
	f.Add([]byte("{}"), "", "~ .")
	f.Fuzz(func(t *testing.T, answer []byte, key, want string) {
		w, err := parseWant(want)
		if err != nil {
			return
		}
		Rows{Rows: []Row{{{key, w}}}, Absent: []Row{{{key, w}}}, Count: &w}.Check(answer)
	})
}
