package conf

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// shape is what a value may be: how it is read into a T, printed from one, and named in the reference.
type shape[T any] struct {
	kind  string
	read  func(r *reader, n *node, path string, to *T)
	write func(from *T) *node     // nil: leave the key out
	rows  func(path string) []row // of what is inside, if anything
}

// key is a row of the table of keys.
type key[T any] struct {
	name     string
	standard string // the default, in words; "required" makes it so
	meaning  string
	shape[T]
}

// section is a mapping with fixed keys.
type section[T any] []key[T]

// row is a line of the reference.
type row struct{ path, kind, standard, meaning string }

// reader walks the nodes, and keeps where everything was and what was wrong.
type reader struct {
	errs     Errors
	warnings []Warning
	at       map[string]place // by path
	bad      map[string]bool  // paths with an error
	secrets  Secrets
	now      time.Time
	keys     []row // every key there is
}

func (r *reader) fail(path string, at place, err error) {
	e := &Error{Line: at.line, Column: at.column, Message: err.Error()}
	var w wrong
	if errors.As(err, &w) {
		e.Suggestion = w.suggestion
	}
	r.errs = append(r.errs, e)
	r.bad[path] = true
}

// failAt is an error found by looking at the whole. It is where the path is written, or its nearest parent.
func (r *reader) failAt(path, format string, args ...any) {
	r.fail(path, r.place(path), wrongf(format, args...))
}

func (r *reader) warnAt(path, format string, args ...any) {
	at := r.place(path)
	r.warnings = append(r.warnings, Warning{Line: at.line, Column: at.column, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) has(path string) bool {
	_, ok := r.at[path]
	return ok
}

func (r *reader) place(path string) place {
	for {
		if at, ok := r.at[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return place{}
		}
		path = path[:i]
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (s section[T]) read(r *reader, n *node, path string, to *T) {
	if n.kind != mapping {
		r.fail(path, n.at, wrongf("%swant a mapping of keys, found %s", prefix(path), n.kind))
		return
	}
	meant := map[string]bool{} // keys that are there, misspelt
	for _, kv := range r.unique(n, path) {
		i := slices.IndexFunc(s, func(k key[T]) bool { return k.name == kv.key })
		if i < 0 {
			w := s.unknown(r, path, kv.key)
			meant[w.suggestion] = true
			r.fail(path, kv.at, w)
			continue
		}
		p := join(path, kv.key)
		r.at[p] = kv.value.at
		if kv.value.kind == null {
			r.at[p] = kv.at
			r.fail(p, kv.at, wrongf("%s: no value: want %s", kv.key, s[i].kind))
			continue
		}
		s[i].read(r, kv.value, p, to)
	}
	for _, k := range s {
		if p := join(path, k.name); k.standard == required && !r.has(p) && !meant[k.name] {
			r.fail(p, n.at, wrongf("%s%s is missing", prefix(path), k.name))
			r.at[p] = n.at
		}
	}
}

const required = "required"

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// unique is the pairs of a mapping with the repeated keys reported and left out.
func (r *reader) unique(n *node, path string) []pair {
	var out []pair
	first := map[string]place{}
	for _, kv := range n.pairs {
		if at, ok := first[kv.key]; ok {
			r.fail(path, kv.at, wrongf("%s%s is given twice, first in line %d", prefix(path), show(kv.key), at.line))
			continue
		}
		first[kv.key] = kv.at
		out = append(out, kv)
	}
	return out
}

func (s section[T]) unknown(r *reader, path, word string) wrong {
	var names []string
	for _, k := range s {
		names = append(names, k.name)
	}
	return wrong{fmt.Sprintf("%sunknown key %q", prefix(path), show(word)), cmp.Or(near(word, names), r.elsewhere(word))}
}

// elsewhere is the one place of the reference where a key of this name belongs, or "".
func (r *reader) elsewhere(word string) string {
	found := ""
	for _, k := range r.keys {
		if strings.HasSuffix("."+k.path, "."+word) {
			if found != "" {
				return ""
			}
			found = k.path
		}
	}
	return found
}

// show shortens what is quoted in an error.
func show(s string) string {
	if r := []rune(s); len(r) > maxWord {
		return string(r[:maxWord]) + "…"
	}
	return s
}

func (s section[T]) write(from *T) *node {
	n := &node{kind: mapping}
	for _, k := range s {
		if k.shape.write == nil {
			continue
		}
		if v := k.shape.write(from); v != nil {
			n.pairs = append(n.pairs, pair{key: k.name, value: v})
		}
	}
	return n
}

func (s section[T]) rows(path string) []row {
	var out []row
	for _, k := range s {
		p := join(path, k.name)
		out = append(out, row{p, k.kind, k.standard, k.meaning})
		if k.shape.rows != nil {
			out = append(out, k.shape.rows(p)...)
		}
	}
	return out
}

// object is a mapping inside.
func object[T, U any](s section[U], at func(*T) *U) shape[T] {
	return shape[T]{
		kind: "mapping",
		read: func(r *reader, n *node, path string, to *T) { s.read(r, n, path, at(to)) },
		write: func(from *T) *node {
			if n := s.write(at(from)); len(n.pairs) > 0 {
				return n
			}
			return nil
		},
		rows: s.rows,
	}
}

// named is a mapping of names, each of an object. They are kept in order of name.
func named[T, U any](s section[U], at func(*T) *[]U, name func(*U) *string, fresh func(name string) (U, error)) shape[T] {
	return shape[T]{
		kind: "mapping of names",
		read: func(r *reader, n *node, path string, to *T) {
			if n.kind != mapping {
				r.fail(path, n.at, wrongf("%s: want a mapping of names, found %s", path, n.kind))
				return
			}
			for _, kv := range r.unique(n, path) {
				p := join(path, kv.key)
				r.at[p] = kv.at
				u, err := fresh(kv.key)
				if err != nil {
					r.fail(p, kv.at, under(path, err))
					continue
				}
				s.read(r, kv.value, p, &u)
				*at(to) = append(*at(to), u)
			}
			slices.SortFunc(*at(to), func(a, b U) int { return cmp.Compare(*name(&a), *name(&b)) })
		},
		write: func(from *T) *node {
			n := &node{kind: mapping}
			for _, u := range *at(from) {
				n.pairs = append(n.pairs, pair{key: *name(&u), value: s.write(&u)})
			}
			if len(n.pairs) == 0 {
				return nil
			}
			return n
		},
		rows: func(path string) []row { return s.rows(path + ".NAME") },
	}
}

// objects is a list of objects. label names one in a diff.
func objects[T, U any](s section[U], fresh U, at func(*T) *[]U, label func(*U) string) shape[T] {
	return shape[T]{
		kind: "list of mappings",
		read: func(r *reader, n *node, path string, to *T) {
			if n.kind != list {
				r.fail(path, n.at, under(path, wrongf("want a list (- …), found %s", n.kind)))
				return
			}
			for i, item := range n.items {
				p := fmt.Sprintf("%s[%d]", path, i)
				r.at[p] = item.at
				u := fresh
				s.read(r, item, p, &u)
				*at(to) = append(*at(to), u)
			}
		},
		write: func(from *T) *node {
			n := &node{kind: list}
			for _, u := range *at(from) {
				item := s.write(&u)
				item.label = label(&u)
				n.items = append(n.items, item)
			}
			if len(n.items) == 0 {
				return nil
			}
			return n
		},
		rows: func(path string) []row { return s.rows(path + "[]") },
	}
}

// later is a key that is known and not built. It is refused, never ignored: nobody shall believe it works.
func later[T any](why string) shape[T] {
	return shape[T]{
		kind: "not supported yet",
		read: func(r *reader, n *node, path string, _ *T) {
			r.fail(path, n.at, wrongf("%s is not supported yet: %s", path[strings.LastIndex(path, ".")+1:], why))
		},
	}
}
