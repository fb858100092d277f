package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/sys"
)

// sandbox is the files of a router: it reads the folders of its configuration and of what that names, so that a file may be
// put in place anew, and writes those of its state and its control socket.
func sandbox(config, socket, state string, c *conf.Config) (sys.Sandbox, error) {
	folder, err := filepath.Abs(filepath.Dir(config))
	if err != nil {
		return sys.Sandbox{}, fmt.Errorf("find the folder of %s: %w", config, err)
	}
	s := sys.Sandbox{Readable: []string{folder}, Writable: []string{filepath.Dir(socket)}}
	if state != "" {
		s.Writable = append(s.Writable, state)
	}
	for _, name := range c.Files() {
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		s.Readable = append(s.Readable, filepath.Dir(name), filepath.Dir(follow(name)))
	}
	if at := filepath.Dir(follow(filepath.Join(folder, filepath.Base(config)))); at != folder {
		s.Readable = append(s.Readable, at)
	}
	slices.Sort(s.Readable)
	s.Readable = slices.Compact(s.Readable)
	return s, nil
}

// confine gives up what a running router needs no more, and tells once what is in force.
func (a *app) confine(s sys.Sandbox, f runFlags, r *reloader) error {
	log := r.log.Logger()
	if f.noSandbox {
		log.Warn("daemon.not-confined", "cause", "--no-sandbox", "remedy", "leave it out where the host allows that")
		return nil
	}
	checks, err := a.enter(s)
	if err != nil {
		return fmt.Errorf("%w: if this container forbids it, run with --no-sandbox", err)
	}
	r.confined = true
	level := slog.LevelInfo
	var told []any
	for _, c := range checks {
		told = append(told, strings.ReplaceAll(c.Name, " ", "-"), c.Detail)
		if c.Status != sys.OK {
			level = slog.LevelWarn
		}
	}
	log.Log(context.Background(), level, "daemon.confined", told...)
	return nil
}

// follow is where a name leads, through all links; the name itself where it leads nowhere.
func follow(name string) string {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	return name
}
