package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Secrets opens a file that holds a secret. The name is as it stands in the configuration.
type Secrets func(name string) (fs.File, error)

// Load reads a configuration file. The error is [Errors] when the file could be read.
func Load(path string) (*Config, []Warning, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, src)
}

// Parse reads a configuration from memory. The files of its secrets are looked for in the folder of name.
func Parse(name string, src []byte) (*Config, []Warning, error) {
	return ParseWith(name, src, beside(filepath.Dir(name)))
}

func beside(folder string) Secrets {
	return func(name string) (fs.File, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		return openRegular(name)
	}
}

// openRegular keeps a pipe or a device from holding us up.
func openRegular(name string) (fs.File, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	return os.Open(name)
}

// ParseWith is [Parse] with secrets from elsewhere. The error is [Errors]; there is no Config with one.
func ParseWith(name string, src []byte, secrets Secrets) (*Config, []Warning, error) {
	n, err := parseYAML(src)
	if err != nil {
		err.File = name
		return nil, nil, Errors{err}
	}
	r := &reader{at: map[string]place{}, bad: map[string]bool{}, secrets: secrets, keys: rootKeys.rows("")}
	c := &Config{Forwarding: true, Log: Log{Level: "info", Format: "auto"}}
	rootKeys.read(r, n, "", c)
	for i := range c.Tunnels {
		completeUnderlay(r, join("tunnels", c.Tunnels[i].Name), &c.Tunnels[i])
	}
	check(r, c)
	if len(r.errs) > 0 {
		return nil, nil, r.errors(name)
	}
	return c, r.found(name), nil
}

func (r *reader) found(file string) []Warning {
	ws := r.warnings
	slices.SortStableFunc(ws, func(a, b Warning) int { return byPlace(a.Line, a.Column, b.Line, b.Column) })
	for i := range ws {
		ws[i].File = file
	}
	return ws
}

// maxErrors is how many errors of one file are told; nobody mends more in one go.
const maxErrors = 50

func (r *reader) errors(file string) Errors {
	es := r.errs
	slices.SortStableFunc(es, func(a, b *Error) int { return byPlace(a.Line, a.Column, b.Line, b.Column) })
	if more := len(es) - maxErrors; more > 0 {
		es = append(es[:maxErrors:maxErrors], &Error{Message: fmt.Sprintf("and %d more errors", more)})
	}
	for _, e := range es {
		e.File = file
	}
	return es
}

const maxSecret = 4096 // octets

// readSecret is the text of a file without the end of its line. What goes wrong is reported under path.
func (r *reader) readSecret(path, name string) (string, bool) {
	f, err := r.secrets(name)
	if err != nil {
		r.failAt(path, "read secret: %v", err)
		return "", false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		r.failAt(path, "read secret: %v", err)
		return "", false
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o007 != 0 {
		if named, ok := f.(interface{ Name() string }); ok {
			name = named.Name() // with its folder
		}
		r.warnAt(path, "%s can be read by every user of this host: chmod o= %s", name, name)
	}
	return strings.TrimRight(string(text), "\r\n"), true
}
