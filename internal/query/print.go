package query

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table writes a snapshot as text: a heading, then a line per row. A column marked optional is left out when
// it is empty in every row, one marked wide always.
func Table(w io.Writer, rows any) error { return table(w, rows, false) }

// Wide is [Table] with the columns marked wide.
func Wide(w io.Writer, rows any) error { return table(w, rows, true) }

func table(w io.Writer, rows any, wide bool) error {
	v := reflect.ValueOf(rows)
	cols := columns(v.Type().Elem())
	if !wide {
		cols = slices.DeleteFunc(cols, func(c column) bool { return c.wide })
	}
	cells := make([][]string, v.Len())
	for i := range cells {
		cells[i] = make([]string, len(cols))
		for j, c := range cols {
			cells[i][j] = c.cell(v.Index(i).FieldByIndex(c.index))
		}
	}
	var b strings.Builder
	line := make([]string, 0, len(cols))
	shown := visible(cols, cells)
	for i := -1; i < len(cells); i++ {
		line = line[:0]
		for _, s := range shown {
			line = append(line, s.pad(s.text(cells, i)))
		}
		fmt.Fprintln(&b, strings.TrimRight(strings.Join(line, "  "), " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shownColumn is a column of one printed table.
type shownColumn struct {
	column
	at    int // in the cells
	width int
}

func visible(cols []column, cells [][]string) (shown []shownColumn) {
	for j, c := range cols {
		width, empty := 0, true
		for _, row := range cells {
			width = max(width, utf8.RuneCountInString(row[j]))
			empty = empty && row[j] == none
		}
		if c.optional && empty {
			continue
		}
		shown = append(shown, shownColumn{c, j, max(width, len(c.header))})
	}
	return shown
}

// text is the cell of a row; row -1 is the heading.
func (s shownColumn) text(cells [][]string, row int) string {
	if row < 0 {
		return s.header
	}
	return cells[row][s.at]
}

func (s shownColumn) pad(text string) string {
	space := strings.Repeat(" ", s.width-utf8.RuneCountInString(text))
	if s.right {
		return space + text
	}
	return text + space
}

// JSON writes a snapshot as an array with one object per row, a line each, as it goes: a table may be large.
func JSON(w io.Writer, rows any) error {
	v := reflect.ValueOf(rows)
	b := bufio.NewWriter(w)
	b.WriteByte('[')
	for i := range v.Len() {
		row, err := marshal(v.Index(i).Interface())
		if err != nil {
			return fmt.Errorf("print row %d: %w", i, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n  ")
		b.Write(row)
	}
	if v.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	return b.Flush()
}

// marshal is json.Marshal with empty lists as [] and {}, never null, seconds to the microsecond, and without
// escapes for HTML.
func marshal(row any) ([]byte, error) {
	v := reflect.New(reflect.TypeOf(row)).Elem()
	v.Set(reflect.ValueOf(row))
	if v.Kind() == reflect.Struct {
		tidy(v)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Interface()); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func tidy(v reflect.Value) {
	for _, f := range reflect.VisibleFields(v.Type()) {
		field := v.FieldByIndex(f.Index)
		switch {
		case field.Kind() == reflect.Slice && field.IsNil():
			field.Set(reflect.MakeSlice(f.Type, 0, 0))
		case field.Kind() == reflect.Map && field.IsNil():
			field.Set(reflect.MakeMap(f.Type))
		case field.Kind() == reflect.Float64:
			field.SetFloat(math.Round(field.Float()*1e6) / 1e6)
		}
	}
}
