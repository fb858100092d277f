package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
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
	c, warnings, err := Parse(path, src)
	if info, serr := f.Stat(); err == nil && serr == nil && info.Mode().Perm()&0o007 != 0 && c.holdsKeys() {
		warnings = append(warnings, Warning{File: path, Message: "it holds keys and can be read by every user of this host: chmod o= " + path + ", or give psk-file"})
	}
	return c, warnings, err
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
	r := &reader{at: map[string]place{}, bad: map[string]bool{}, secrets: secrets, keys: rootKeys.rows(""), now: time.Now()}
	c := &Config{Forwarding: true, Log: Log{Level: "info", Format: "auto"}}
	rootKeys.read(r, n, "", c)
	for i := range c.Profiles {
		c.Profiles[i].complete(r, join("profiles", c.Profiles[i].Name))
	}
	for i := range c.Tunnels {
		t := &c.Tunnels[i]
		completeUnderlay(r, pathOf(t), t)
		completeProtection(r, pathOf(t), t, c.profile(t.Protect))
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
