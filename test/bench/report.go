package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// report is what a part found: tables, and the numbers under them.
type report struct {
	Part   string             `json:"part"`
	Tables []table            `json:"tables"`
	Raw    any                `json:"raw,omitempty"` // every measurement
	Facts  map[string]float64 `json:"facts,omitempty"`
	Notes  []string           `json:"notes,omitempty"`
}

type table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// fact records a number under a name. JSON has no NaN: what was not measured is left out.
func (r *report) fact(name string, v float64) {
	if r.Facts == nil {
		r.Facts = map[string]float64{}
	}
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		r.Facts[name] = v
	}
}

func (r *report) markdown(w io.Writer) {
	for _, t := range r.Tables {
		t.markdown(w)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "- %s\n", n)
	}
}

func (t table) markdown(w io.Writer) {
	if t.Title != "" {
		fmt.Fprintf(w, "%s\n\n", t.Title)
	}
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(t.Columns, " | "), strings.Repeat("---|", len(t.Columns)))
	for _, row := range t.Rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(w)
}

// writeJSON keeps what the tables were made of.
func writeJSON(path string, reports []*report) error {
	b, err := json.MarshalIndent(reports, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// metric is something measured in rounds.
type metric struct {
	key, title, unit string
	scale            float64 // of the unit
}

// compare is a table of ratios to a reference system; its own row has the absolute medians.
func compare(title string, r rounds, metrics []metric, systems []string, reference string) table {
	t := table{Title: title, Columns: []string{"to " + reference}}
	for _, m := range metrics {
		t.Columns = append(t.Columns, m.title)
	}
	for _, s := range systems {
		row := []string{s}
		for _, m := range metrics {
			row = append(row, cell(r, m, s, reference))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func cell(r rounds, m metric, system, reference string) string {
	if system == reference {
		v := median(r.values(m.key, system))
		if math.IsNaN(v) {
			return "–"
		}
		return fmt.Sprintf("1 (%s %s)", digits(v/m.scale), m.unit)
	}
	return spreadOf(r.ratios(m.key, system, reference)).String()
}

// absolute is a table of medians with their spread.
func absolute(title string, r rounds, metrics []metric, systems []string) table {
	t := table{Title: title, Columns: []string{"absolute"}}
	for _, m := range metrics {
		t.Columns = append(t.Columns, m.title+", "+m.unit)
	}
	for _, s := range systems {
		row := []string{s}
		for _, m := range metrics {
			v := r.values(m.key, s)
			for i := range v {
				v[i] /= m.scale
			}
			row = append(row, spreadOf(v).String())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// plain is the measurements without what JSON cannot say.
func (r rounds) plain() map[string]map[string][]*float64 {
	out := map[string]map[string][]*float64{}
	for m, systems := range r {
		out[m] = map[string][]*float64{}
		for s, values := range systems {
			for _, v := range values {
				p := &v
				if math.IsNaN(v) || math.IsInf(v, 0) {
					p = nil
				}
				out[m][s] = append(out[m][s], p)
			}
		}
	}
	return out
}
