package query

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// none is what a table says of an empty cell.
const none = "-"

// column is a field of a row struct. The tag `table:"heading,option…"` changes the heading, which is otherwise the
// words of the JSON key. The option "optional" hides a column that is empty in every row, "wide" one that was not asked
// for, "empty=word" says what an empty cell or the number 0 means, and the heading "-" hides the column always.
type column struct {
	header   string
	index    []int
	empty    string // what is printed for nothing
	zero     bool   // the number 0 is nothing too
	optional bool
	wide     bool
	right    bool
}

func columns(row reflect.Type) (cols []column) {
	for _, f := range reflect.VisibleFields(row) {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || key == "" || key == "-" {
			continue
		}
		heading, options, _ := strings.Cut(f.Tag.Get("table"), ",")
		if heading == "-" {
			continue
		}
		cols = append(cols, column{
			header:   strings.ToUpper(cmp.Or(heading, words(key))),
			index:    f.Index,
			empty:    option(options, "empty=", none),
			zero:     strings.Contains(options, "empty="),
			optional: strings.Contains(options, "optional"),
			wide:     strings.Contains(options, "wide"),
			right:    f.Type.Kind() >= reflect.Int && f.Type.Kind() <= reflect.Float64,
		})
	}
	return cols
}

// option is the value of "name=value" among options.
func option(options, name, otherwise string) string {
	for o := range strings.SplitSeq(options, ",") {
		if v, ok := strings.CutPrefix(o, name); ok {
			return v
		}
	}
	return otherwise
}

// words splits lower camel case: "expiresIn" is "expires in".
func words(key string) string {
	var b strings.Builder
	for _, r := range key {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// cell prints a value for people. Every float in a row is a duration in seconds.
func (c column) cell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return none
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return timestamp(x)
	case encoding.TextMarshaler:
		text, _ := x.MarshalText()
		return cmp.Or(string(text), none)
	case fmt.Stringer:
		return cmp.Or(x.String(), none)
	}
	if c.zero && c.right && v.IsZero() {
		return c.empty
	}
	switch v.Kind() {
	case reflect.Float64:
		return Duration(v.Float())
	case reflect.Bool:
		if v.Bool() {
			return "yes"
		}
		return "no"
	case reflect.Slice:
		return c.list(v)
	case reflect.Map:
		return tally(v)
	}
	return cmp.Or(fmt.Sprint(v.Interface()), none)
}

func (c column) list(v reflect.Value) string {
	items := make([]string, v.Len())
	for i := range items {
		items[i] = c.cell(v.Index(i))
	}
	return cmp.Or(strings.Join(items, ", "), c.empty)
}

// tally prints counts by reason, the names in order.
func tally(v reflect.Value) string {
	counts, ok := v.Interface().(map[string]uint64)
	if !ok {
		return fmt.Sprint(v.Interface())
	}
	var items []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > 0 {
			items = append(items, name+": "+strconv.FormatUint(counts[name], 10))
		}
	}
	return cmp.Or(strings.Join(items, ", "), none)
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.Format(time.RFC3339)
}

// Duration prints seconds for people, in two units at most: 12.3ms, 42s, 4m12s, 3h12m, 12d4h. A negative one is
// "never", 0 is unknown.
func Duration(seconds float64) string {
	s := int64(math.Round(seconds))
	switch {
	case seconds < 0:
		return "never"
	case seconds == 0 || math.IsNaN(seconds):
		return none
	case seconds < 0.9995:
		return strconv.FormatFloat(max(seconds*1000, 0.1), 'f', 1, 64) + "ms"
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return two(s/60, "m", s%60, "s")
	case s < 86400:
		return two(s/3600, "h", s%3600/60, "m")
	}
	return two(s/86400, "d", s%86400/3600, "h")
}

func two(a int64, unitA string, b int64, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%d%s", a, unitA, b, unitB)
}
