package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/scenario"
)

// Options say how a lab is run.
type Options struct {
	Binary    string   // the spokeway to run; "" = this program
	Forwarder []string // the command of the forwarder; nil = Binary lab forwarder
	LogDir    string   // where the routers' logs stay; "" = they go with the lab
	NoNetem   bool     // use the lab's own forwarder also where the kernel has netem
}

// world is a lab that is up, or on its way there. It implements [scenario.World].
type world struct {
	ctx      context.Context
	opts     Options
	start    time.Time
	stay     bool // outlives this process
	file     file
	folder   *folder
	thread   *thread
	networks []*network
	nodes    map[string]*node
	links    map[link]*port
	netem    bool
	wires    forwardSpec
	taps     []*os.File
	forward  *process
}

// node is a node of the scenario and its namespace.
type node struct {
	*scenario.Node
	*space
	daemon *process
}

// link names a node's interface.
type link struct{ node, name string }

// file is the scenario, which also knows namespaces by their names.
type file struct{ *scenario.File }

func (f file) nodeOf(space string) string {
	_, rest, _ := strings.Cut(space, "-")
	_, name, _ := strings.Cut(rest, "-")
	return name
}

func newWorld(ctx context.Context, opts Options) *world {
	return &world{ctx: ctx, opts: opts, start: time.Now(), nodes: map[string]*node{}, links: map[link]*port{}}
}

// Kind is "lab".
func (w *world) Kind() string { return "lab" }

// Now is the time since the world was made.
func (w *world) Now() time.Duration { return time.Since(w.start) }

// Sleep waits, or fails when the run is ended.
func (w *world) Sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.ctx.Done():
		return errInterrupted
	}
}

var errInterrupted = errors.New("the run was interrupted")

// Up builds the lab. What was built before an error is left to Down.
func (w *world) Up(f *scenario.File) (err error) {
	if err := needs(f, w.opts); err != nil {
		return err
	}
	if _, err := sweep(); err != nil {
		return fmt.Errorf("remove what an earlier lab left: %w", err)
	}
	w.file = file{f}
	if w.folder, err = newFolder(w.describe()); err != nil {
		return err
	}
	if w.thread, err = newThread(); err != nil {
		return err
	}
	for _, step := range []func() error{w.nameSpaces, w.build, w.startForwarder, w.settle, w.startRouters} {
		if w.ctx.Err() != nil {
			return errInterrupted
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) describe() Info {
	path, _ := filepath.Abs(w.file.Path)
	i := Info{Name: w.file.Name, File: path, Started: time.Now(), Nodes: map[string]string{}, Binary: w.opts.Binary}
	if !w.stay {
		i.Owner, i.Birth = os.Getpid(), birth(os.Getpid())
	}
	return i
}

// nameSpaces writes the names of all namespaces down before any of them is made.
func (w *world) nameSpaces() error {
	for _, n := range w.file.Networks {
		w.folder.info.Other = append(w.folder.info.Other, w.spaceName(n.Name))
	}
	for _, n := range w.file.Nodes {
		w.folder.info.Nodes[n.Name] = w.spaceName(n.Name)
	}
	return w.folder.save()
}

func (w *world) spaceName(name string) string { return "sw-" + w.folder.info.ID + "-" + name }

func (w *world) space(name string) (*space, error) { return w.thread.newSpace(w.spaceName(name)) }

func (w *world) build() error {
	for _, n := range w.file.Networks {
		made, err := w.newNetwork(n)
		if err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
		w.networks = append(w.networks, made)
		if len(w.networks) == 1 {
			w.netem = !w.opts.NoNetem && hasNetem(made.space)
		}
	}
	for i := range w.file.Nodes {
		if err := w.newNode(&w.file.Nodes[i]); err != nil {
			return fmt.Errorf("node %s: %w", w.file.Nodes[i].Name, err)
		}
	}
	return nil
}

func (w *world) network(name string) *network {
	for _, n := range w.networks {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// node finds a node that is up.
func (w *world) node(name string) (*node, error) {
	n := w.nodes[name]
	if n == nil {
		return nil, fmt.Errorf("node %q is not up", name)
	}
	return n, nil
}

// Down ends every process and removes everything that Up made. It may be called at any time, and again.
func (w *world) Down() error {
	if w.folder == nil {
		return nil
	}
	errs := []error{w.stopRouters()}
	w.forward.kill()
	errs = append(errs, w.keepLogs(), w.folder.remove())
	w.release()
	w.folder = nil
	return errors.Join(errs...)
}

// release closes what this process holds of the lab.
func (w *world) release() {
	for _, f := range w.taps {
		f.Close()
	}
	for _, n := range w.networks {
		n.close()
	}
	for _, n := range w.nodes {
		n.close()
	}
	if w.thread != nil {
		w.thread.close()
		w.thread = nil
	}
	w.taps, w.networks, w.nodes = nil, nil, map[string]*node{}
}

// keepLogs copies the routers' logs to where they were wanted.
func (w *world) keepLogs() error {
	if w.opts.LogDir == "" {
		return nil
	}
	if err := os.MkdirAll(w.opts.LogDir, 0o755); err != nil {
		return err
	}
	for name, n := range w.nodes {
		if n.Kind != scenario.Router {
			continue
		}
		text, err := os.ReadFile(w.path(name, "log"))
		if err != nil {
			continue // never started
		}
		if err := os.WriteFile(filepath.Join(w.opts.LogDir, name+".log"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// path is a file of a router in the run folder.
func (w *world) path(node, file string) string { return filepath.Join(w.folder.path, node, file) }
