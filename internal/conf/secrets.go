package conf

import (
	"fmt"
	"io"
	"strings"
)

// Bounds of what is read beside the configuration.
const (
	maxSecret = 4096     // octets
	maxFile   = 16 << 20 // octets: a revocation list of a large authority
)

// secretAt is where a secret of T lives, and the name of its file.
type secretAt[T any] func(*T) (value, file *string)

// secretHere is a secret in the file itself.
func secretHere[T any](kind string, at secretAt[T], check func(string) error) shape[T] {
	return shape[T]{
		kind: kind,
		read: func(r *reader, n *node, path string, t *T) {
			value, file := at(t)
			s, err := parseWord(n, check)
			if err != nil {
				r.fail(path, n.at, under(path, err))
				return
			}
			r.once(path, *value, *file)
			*value, *file = s, ""
		},
		write: func(t *T) *node {
			value, file := at(t)
			if *value == "" || *file != "" {
				return nil
			}
			return &node{kind: text, text: *value, secret: true, hidden: *value}
		},
	}
}

// secretFile is a secret beside the file.
func secretFile[T any](at secretAt[T], check func(string) error) shape[T] {
	return shape[T]{
		kind: "path",
		read: func(r *reader, n *node, path string, t *T) {
			value, file := at(t)
			name, err := parseWord(n, anything)
			if err != nil {
				r.fail(path, n.at, under(path, err))
				return
			}
			r.once(path, *value, *file)
			*file = name
			s, ok := r.readSecret(path, name)
			if !ok {
				return
			}
			if s, err = parseWord(&node{kind: text, text: s}, check); err != nil {
				r.failAt(path, "%s: %s: %v", last(path), name, err)
				return
			}
			*value = s
		},
		write: func(t *T) *node {
			value, file := at(t)
			if *file == "" {
				return nil
			}
			return &node{kind: text, text: *file, hidden: *value}
		},
	}
}

// once refuses a secret that was given already, in place or by its file.
func (r *reader) once(path, value, file string) {
	if value != "" || file != "" {
		here := strings.TrimSuffix(last(path), "-file")
		r.failAt(path, "%s and %s-file are both given: want one", here, here)
	}
}

// last is the name of the key itself.
func last(path string) string { return path[strings.LastIndex(path, ".")+1:] }

func anything(string) error { return nil }

// files is one file that the configuration names, or a list of them, with what is in them.
func files[T any](at func(*T) *[]file, secret bool) shape[T] {
	names := several("path, or a list", func(l *[]file) *[]file { return l }, parseFile, func(f file) string { return f.name })
	return shape[T]{
		kind: names.kind,
		read: func(r *reader, n *node, path string, to *T) {
			l := at(to)
			names.read(r, n, path, l)
			for i := range *l {
				r.readFile(path, i, &(*l)[i], secret)
			}
		},
		write: func(from *T) *node {
			n := names.write(at(from))
			for _, f := range *at(from) {
				n.hidden += f.text
			}
			return n
		},
	}
}

func parseFile(n *node) (file, error) {
	name, err := parseWord(n, anything)
	return file{name: name}, err
}

// readFile reads the nth file of a list. What goes wrong is reported under path.
func (r *reader) readFile(path string, i int, f *file, secret bool) {
	at := item(path, i)
	text, ok := r.open(at, f.name, last(path), maxFile, secret)
	if !ok {
		r.bad[path] = true
		return
	}
	f.text = text
}

// readSecret is the text of a file without the end of its line. What goes wrong is reported under path.
func (r *reader) readSecret(path, name string) (string, bool) {
	text, ok := r.open(path, name, "secret", maxSecret, true)
	return strings.TrimRight(text, "\r\n"), ok
}

// open is the text of a file, which is what: a secret, say, that not everybody should read.
func (r *reader) open(path, name, what string, limit int64, secret bool) (string, bool) {
	f, err := r.secrets(name)
	if err != nil {
		r.failAt(path, "read %s: %v", what, err)
		return "", false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d octets", name, limit)
	}
	if err != nil {
		r.failAt(path, "read %s: %v", what, err)
		return "", false
	}
	if info, err := f.Stat(); secret && err == nil && info.Mode().Perm()&0o007 != 0 {
		if named, ok := f.(interface{ Name() string }); ok {
			name = named.Name() // with its folder
		}
		r.warnAt(path, "%s can be read by every user of this host: chmod o= %s", name, name)
	}
	return string(text), true
}
