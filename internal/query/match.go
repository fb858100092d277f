package query

import (
	"fmt"
	"slices"
	"strings"
)

// UnknownError says that words name no command, or several.
type UnknownError struct {
	Verb       string
	Words      []string
	Candidates []string
}

func (e *UnknownError) Error() string {
	typed := strings.Join(e.Words, " ")
	switch {
	case typed == "":
		return fmt.Sprintf("%s what? one of: %s", e.Verb, strings.Join(e.Candidates, ", "))
	case len(e.Candidates) == 0:
		return fmt.Sprintf("%s %s: no such command, see `spokeway %s --help`", e.Verb, typed, e.Verb)
	}
	return fmt.Sprintf("%s %s: which one: %s", e.Verb, typed, strings.Join(e.Candidates, ", "))
}

// Match finds the command that words begin with; rest are its arguments. Each word may be cut short as long as it
// stays unique. The longest name wins, then the one typed in full, then a name before an alias.
func Match(verb string, table []Command, words []string) (c Command, rest []string, err error) {
	if len(words) == 0 {
		return Command{}, nil, &UnknownError{Verb: verb, Candidates: names(table)}
	}
	var best []candidate
	for _, c := range table {
		for i, name := range append([]string{c.Name}, c.Aliases...) {
			m, ok := match(strings.Fields(name), words)
			if !ok {
				continue
			}
			m.command, m.alias = c, i > 0
			switch d := m.compare(best); {
			case d > 0:
				best = []candidate{m}
			case d == 0 && best[0].command.Name != c.Name:
				best = append(best, m)
			}
		}
	}
	if len(best) == 1 {
		return best[0].command, words[best[0].words:], nil
	}
	return Command{}, nil, unknown(verb, table, words, best)
}

type candidate struct {
	command      Command
	words, exact int
	alias        bool
}

func match(name, words []string) (m candidate, ok bool) {
	if len(words) < len(name) {
		return m, false
	}
	for i, n := range name {
		if !strings.HasPrefix(n, strings.ToLower(words[i])) || words[i] == "" {
			return m, false
		}
		if len(n) == len(words[i]) {
			m.exact++
		}
	}
	m.words = len(name)
	return m, true
}

// compare is positive when m is better than what was found so far.
func (m candidate) compare(best []candidate) int {
	if len(best) == 0 {
		return 1
	}
	b := best[0]
	switch {
	case m.words != b.words:
		return m.words - b.words
	case m.exact != b.exact:
		return m.exact - b.exact
	case m.alias == b.alias:
		return 0
	case b.alias:
		return 1
	}
	return -1
}

func unknown(verb string, table []Command, words []string, found []candidate) error {
	e := &UnknownError{Verb: verb, Words: words}
	for _, m := range found {
		e.Candidates = append(e.Candidates, m.command.Name)
	}
	if len(found) == 0 {
		e.Candidates = begun(table, words)
	}
	return e
}

// begun are the names that words are the beginning of: "ip nhrp" for "ip".
func begun(table []Command, words []string) (found []string) {
	for _, c := range table {
		for _, name := range append([]string{c.Name}, c.Aliases...) {
			n := strings.Fields(name)
			if len(n) <= len(words) {
				continue
			}
			if _, ok := match(n[:len(words)], words); ok {
				found = append(found, name)
			}
		}
	}
	return found
}

func names(table []Command) (all []string) {
	for _, c := range table {
		all = append(all, c.Name)
	}
	return all
}

// Complete is what the next word may be after words, each with its help after a tab, as cobra wants completions.
func Complete(table []Command, words []string, begin string) (next []string) {
	for _, c := range table {
		for i, name := range append([]string{c.Name}, c.Aliases...) {
			n := strings.Fields(name)
			if len(n) <= len(words) || i > 0 && len(words) == 0 && begin == "" {
				continue
			}
			if _, ok := match(n[:len(words)], words); !ok || !strings.HasPrefix(n[len(words)], begin) {
				continue
			}
			next = append(next, n[len(words)]+"\t"+c.Help)
		}
	}
	slices.Sort(next)
	return slices.CompactFunc(next, func(a, b string) bool {
		wa, _, _ := strings.Cut(a, "\t")
		wb, _, _ := strings.Cut(b, "\t")
		return wa == wb
	})
}
