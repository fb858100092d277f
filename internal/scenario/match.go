package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Rows says what the rows of a JSON answer must be like.
type Rows struct {
	Where  Row   // only rows like this are looked at
	Rows   []Row // each must be there
	Absent []Row // none may be there
	Count  *Want // how many rows are looked at
}

// Row is conditions that one row must all meet.
type Row []Field

// Field is a condition on what stands under a key. Dots lead into nested objects and lists.
type Field struct {
	Key  string
	Want Want
}

// Want is a comparison: `up`, `>= 2`, `!= down`, `contains refused`, `~ ^10\.`, `*` for anything.
type Want struct {
	op, value string
	pattern   *regexp.Regexp
}

var operators = []string{">=", "<=", "!=", ">", "<", "contains ", "~ "}

func parseWant(s string) (Want, error) {
	for _, op := range operators {
		rest, ok := strings.CutPrefix(s, op)
		if !ok {
			continue
		}
		w := Want{op: strings.TrimSpace(op), value: strings.TrimSpace(rest)}
		var err error
		switch w.op {
		case "~":
			w.pattern, err = regexp.Compile(w.value)
		case ">=", "<=", ">", "<":
			if _, ok := numeric(w.value); !ok {
				err = errors.New("not a number")
			}
		}
		return w, err
	}
	return Want{op: "=", value: s}, nil
}

func (w Want) String() string {
	if w.op == "=" {
		return w.value
	}
	return w.op + " " + w.value
}

// met reports whether a value is as wanted. A list is when one of its elements is, or for != when all are.
func (w Want) met(v any) bool {
	if list, ok := v.([]any); ok {
		if w.op == "!=" {
			return !slices.ContainsFunc(list, func(e any) bool { return !w.met(e) })
		}
		return slices.ContainsFunc(list, w.met)
	}
	return w.compare(printed(v))
}

func (w Want) compare(have string) bool {
	switch w.op {
	case "=":
		return w.value == "*" || equal(have, w.value)
	case "!=":
		return !equal(have, w.value)
	case "contains":
		return strings.Contains(strings.ToLower(have), strings.ToLower(w.value))
	case "~":
		return w.pattern.MatchString(have)
	}
	a, okA := numeric(have)
	b, okB := numeric(w.value)
	return okA && okB && ordered(w.op, a, b)
}

func ordered(op string, a, b float64) bool {
	switch op {
	case ">=":
		return a >= b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a < b
}

func equal(a, b string) bool {
	if a == b {
		return true
	}
	x, okX := numeric(a)
	y, okY := numeric(b)
	return okX && okY && x == y
}

// numeric reads a number, or a duration as seconds.
func numeric(s string) (float64, bool) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return f, true
	}
	d, err := time.ParseDuration(s)
	return d.Seconds(), err == nil
}

func printed(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// find collects what stands under a dotted key; lists on the way are looked into.
func find(v any, key string) (any, bool) {
	if key == "" {
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		if hit, ok := v[key]; ok {
			return hit, true
		}
		head, rest, _ := strings.Cut(key, ".")
		hit, ok := v[head]
		if !ok || rest == "" {
			return nil, false
		}
		return find(hit, rest)
	case []any:
		var all []any
		for _, e := range v {
			if hit, ok := find(e, key); ok {
				all = append(all, hit)
			}
		}
		return all, len(all) > 0
	}
	return nil, false
}

func (r Row) matches(row any) bool {
	for _, f := range r {
		v, ok := find(row, f.Key)
		if !ok && f.Want.op != "!=" || ok && !f.Want.met(v) {
			return false
		}
	}
	return true
}

func (r Row) String() string {
	var b strings.Builder
	for i, f := range r {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.Key + ": " + f.Want.String())
	}
	return b.String()
}

// Check compares an answer with what is wanted; the error says what was missing, and what was there instead.
func (w Rows) Check(answer []byte) error {
	rows, err := decodeRows(answer)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(row any) bool { return !w.Where.matches(row) })
	for _, want := range w.Rows {
		if !slices.ContainsFunc(rows, want.matches) {
			return fmt.Errorf("no row has {%s}; there %s", want, listRows(rows))
		}
	}
	for _, no := range w.Absent {
		if i := slices.IndexFunc(rows, no.matches); i >= 0 {
			return fmt.Errorf("a row has {%s}, which must not be there: %s", no, printed(rows[i]))
		}
	}
	if w.Count != nil && !w.Count.compare(strconv.Itoa(len(rows))) {
		return fmt.Errorf("%d rows, want %s; there %s", len(rows), w.Count, listRows(rows))
	}
	return nil
}

// decodeRows reads a list of rows, one object, or objects one after the other.
func decodeRows(answer []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	rows := []any{}
	for {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the answer is not JSON: %q", cut(string(answer), 200))
		}
		if list, ok := v.([]any); ok {
			rows = append(rows, list...)
		} else if v != nil {
			rows = append(rows, v)
		}
	}
}

func listRows(rows []any) string {
	if len(rows) == 0 {
		return "is none"
	}
	var b strings.Builder
	b.WriteString("is")
	for i, r := range rows {
		if i == 12 {
			fmt.Fprintf(&b, "\n… and %d more", len(rows)-i)
			break
		}
		b.WriteString("\n" + cut(printed(r), 400))
	}
	return b.String()
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// rowsOf reads where, rows, absent and count.
func (o *object) rowsOf() Rows {
	var w Rows
	if n := o.get("where"); n != nil {
		w.Where = o.r.row(n)
	}
	for _, n := range o.list("rows") {
		w.Rows = append(w.Rows, o.r.row(n))
	}
	for _, n := range o.list("absent") {
		w.Absent = append(w.Absent, o.r.row(n))
	}
	if o.has("count") {
		c := read(o, "count", "a number or a comparison such as >= 2", parseWant)
		w.Count = &c
	}
	if w.Where != nil && w.Rows == nil && w.Absent == nil && w.Count == nil {
		w.Count = &Want{op: ">=", value: "1"}
	}
	return w
}

func (r *reader) row(n ast.Node) Row {
	row := Row{}
	for _, f := range r.object(n, "row").all() {
		want := readNode(r, f.value, f.name, "a value or a comparison", parseWant)
		if want.op == "" {
			want.op = "="
		}
		row = append(row, Field{f.name, want})
	}
	return row
}
