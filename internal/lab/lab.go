package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// endings are the signals that end a run in good order. SIGPIPE comes when nobody reads the report any more.
var endings = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE}

// Run plays a scenario in a lab of its own and removes the lab, however it ends. report hears of each step as it comes.
func Run(ctx context.Context, f *scenario.File, opts Options, report func(scenario.Result)) scenario.Summary {
	ctx, stop := signal.NotifyContext(ctx, endings...)
	defer stop()
	return scenario.Run(newWorld(ctx, opts), f, report)
}

// Play brings a lab up, hands it to play and removes it, however that ends.
func Play(ctx context.Context, f *scenario.File, opts Options, play func(scenario.World) error) error {
	ctx, stop := signal.NotifyContext(ctx, endings...)
	defer stop()
	w := newWorld(ctx, opts)
	err := w.Up(f)
	if err == nil {
		err = play(w)
	}
	return errors.Join(err, w.Down())
}

// Up brings a lab up and leaves it there; no step is played. The id is for [Down] and [Exec].
func Up(ctx context.Context, f *scenario.File, opts Options) (Info, error) {
	ctx, stop := signal.NotifyContext(ctx, endings...)
	defer stop()
	w := newWorld(ctx, opts)
	w.stay = true
	defer w.release()
	if err := w.Up(f); err != nil {
		return Info{}, errors.Join(err, w.Down())
	}
	return w.folder.info, nil
}

// Down removes a lab. Its routers are given time to say goodbye.
func Down(id string) error {
	d, err := open(id)
	if err != nil {
		return err
	}
	if d.info.Owner != 0 && !d.info.orphan() {
		return fmt.Errorf("lab %s belongs to process %d, which is playing it: end that one", id, d.info.Owner)
	}
	d.goodbye()
	return d.remove()
}

// goodbyeTime is how long the routers of a lab may take to end in good order.
const goodbyeTime = 3 * time.Second

// goodbye asks what runs on the nodes to end, and waits for it.
func (d *folder) goodbye() {
	asked := map[int]bool{}
	deadline := time.Now().Add(goodbyeTime)
	for time.Now().Before(deadline) {
		running := 0
		for _, name := range d.info.Nodes {
			for _, pid := range pidsIn(filepath.Join(spaces, name)) {
				running++
				if !asked[pid] {
					unix.Kill(pid, unix.SIGTERM)
				}
				asked[pid] = true
			}
		}
		if running == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// List tells the labs that are up, and removes those whose owner was killed.
func List() ([]Info, error) {
	_, err := sweep()
	var all []Info
	for _, d := range folders() {
		all = append(all, d.info)
	}
	return all, err
}

// Exec runs a command on a node of a lab, with this process's terminal. The calling goroutine keeps its thread to
// the end of the process.
func Exec(id, node string, argv []string) error {
	d, err := open(id)
	if err != nil {
		return err
	}
	name, err := d.info.space(node)
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		return errors.New("there is no command to run")
	}
	runtime.LockOSThread()
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer ns.Close()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), "SPOKEWAY_SOCKET="+Socket(id, node))
	return c.Run()
}

// Socket is the control socket of a router in a lab.
func Socket(id, node string) string { return filepath.Join(root, id, node, "control.sock") }

// space finds a namespace by the name of a node or a network.
func (i Info) space(name string) (string, error) {
	if s, ok := i.Nodes[name]; ok {
		return s, nil
	}
	if s := "sw-" + i.ID + "-" + name; slices.Contains(i.Other, s) {
		return s, nil
	}
	var known []string
	for n := range i.Nodes {
		known = append(known, n)
	}
	slices.Sort(known)
	return "", fmt.Errorf("lab %s has no node %q; it has %s", i.ID, name, strings.Join(known, ", "))
}
