package conf

import (
	"cmp"
	"fmt"
	"strings"
)

// Error is one thing that is wrong with a configuration file. Line and Column count from 1; they are 0 when the
// file as a whole is meant.
type Error struct {
	File       string
	Line       int
	Column     int
	Message    string
	Suggestion string // "" = none
}

func (e *Error) Error() string {
	s := position(e.File, e.Line, e.Column) + e.Message
	if e.Suggestion != "" {
		s += fmt.Sprintf(" (did you mean %q?)", e.Suggestion)
	}
	return s
}

// Errors is everything wrong with a file, in order of position.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that is allowed and probably not wanted.
type Warning struct {
	File    string
	Line    int
	Column  int
	Message string
}

func (w Warning) String() string { return position(w.File, w.Line, w.Column) + w.Message }

func position(file string, line, column int) string {
	if line == 0 {
		return file + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", file, line, column)
}

// wrong is an error of a value before its place is known.
type wrong struct{ message, suggestion string }

func (w wrong) Error() string { return w.message }

func wrongf(format string, args ...any) error { return wrong{message: fmt.Sprintf(format, args...)} }

// near is the candidate that a person who wrote word most likely meant, or "".
func near(word string, candidates []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "_", "-")
	if len(word) > maxWord {
		return ""
	}
	best, distance := "", min(2, (len(word)+1)/2)+1
	for _, c := range candidates {
		if d := editDistance(word, strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	return best
}

const maxWord = 64 // octets; longer words are no typing errors, and the distance is quadratic

// editDistance counts insertions, deletions, replacements and swaps of neighbours.
func editDistance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+different(a[i-1], b[j-1]))
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}

func different(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}

// byPlace orders what is found by where it is.
func byPlace(line, column, otherLine, otherColumn int) int {
	return cmp.Or(cmp.Compare(line, otherLine), cmp.Compare(column, otherColumn))
}
