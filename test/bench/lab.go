package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// lab is a set of network namespaces and of processes in them.
type lab struct {
	ctx    context.Context
	prefix string
	dir    string
	spaces []string
	procs  []*process
}

// namePrefix begins the name of every namespace and folder of ours; the process id follows.
const namePrefix = "swbench-"

func newLab(ctx context.Context, name string) (*lab, error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", namePrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	return &lab{ctx: ctx, prefix: fmt.Sprintf("%s%d-%s-", namePrefix, os.Getpid(), name), dir: dir}, nil
}

// build does a script, a line at a time: `netns NAME` makes a namespace, `NAME: …` is an ip(8) command in it,
// `NAME! KEY VALUE` sets a sysctl. @NAME is the full name of a namespace.
func (l *lab) build(script string) error {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if err := l.line(line); err != nil {
			return fmt.Errorf("set up %q: %w", line, err)
		}
	}
	return nil
}

func (l *lab) line(line string) error {
	words := strings.Fields(strings.ReplaceAll(line, "@", l.prefix))
	space, kind := words[0][:len(words[0])-1], words[0][len(words[0])-1]
	switch {
	case words[0] == "netns":
		return l.space(words[1])
	case kind == ':':
		return l.command("ip", append([]string{"-n", l.prefix + space}, words[1:]...)...)
	case kind == '!':
		return l.in(space, func() error {
			return os.WriteFile("/proc/sys/net/"+words[1], []byte(words[2]), 0)
		})
	}
	return errors.New("not understood")
}

func (l *lab) space(name string) error {
	if err := l.command("ip", "netns", "add", l.prefix+name); err != nil {
		return err
	}
	l.spaces = append(l.spaces, l.prefix+name)
	return l.command("ip", "-n", l.prefix+name, "link", "set", "lo", "up")
}

func (l *lab) command(name string, args ...string) error {
	out, err := exec.CommandContext(l.ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s (%w)", name, bytes.TrimSpace(out), err)
	}
	return nil
}

// in runs f on a thread that is in the namespace. What f opens stays there.
func (l *lab) in(space string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a thread that cannot go home ends with its goroutine
		home, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		there, err := netns.GetFromName(l.prefix + space)
		if err != nil {
			done <- fmt.Errorf("namespace %s: %w", space, err)
			return
		}
		defer there.Close()
		if err = netns.Set(there); err == nil {
			err = f()
		}
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// process is a child in a namespace. Its output is in a file.
type process struct {
	cmd *exec.Cmd
	log string
}

// start runs a program in a namespace. `ip netns exec` becomes the program, so the process id is the program's.
func (l *lab) start(space string, env []string, argv ...string) (*process, error) {
	p := &process{log: filepath.Join(l.dir, fmt.Sprintf("%s-%s-%d.log", space, filepath.Base(argv[0]), len(l.procs)))}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", l.prefix + space}, argv...)...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is ours to handle
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	l.procs = append(l.procs, p)
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// tail is the end of what the process wrote.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-800):])
}

// output runs a program in a namespace to its end and returns what it printed.
func (l *lab) output(space string, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(l.ctx, commandPatience)
	defer cancel()
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.prefix + space}, argv...)...).Output()
}

const commandPatience = 60 * time.Second

// until waits for cond. What it waits for is named in the error.
func (l *lab) until(what string, patience time.Duration, cond func() bool) error {
	deadline := time.Now().Add(patience)
	for !cond() {
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain until %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// close ends the processes, gently first so that they can remove what they made, and removes the namespaces.
func (l *lab) close() {
	for _, p := range l.procs {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range l.procs {
		kill := time.AfterFunc(3*time.Second, func() { p.cmd.Process.Kill() })
		p.cmd.Wait()
		kill.Stop()
	}
	for _, s := range l.spaces {
		exec.Command("ip", "netns", "del", s).Run() // the context may have ended: this is done all the same
	}
	os.RemoveAll(l.dir)
}

// sweep removes what runs that were killed left: namespaces with what runs in them, and folders.
func sweep() {
	for _, name := range abandoned("/run/netns") {
		for _, p := range pidsIn(name) {
			syscall.Kill(p, syscall.SIGKILL)
		}
		exec.Command("ip", "netns", "del", name).Run()
	}
	for _, name := range abandoned(os.TempDir()) {
		os.RemoveAll(filepath.Join(os.TempDir(), name))
	}
}

// abandoned are the entries of a folder that are named after a run that is no more.
func abandoned(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), namePrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(pid); ours && err == nil && syscall.Kill(n, 0) == syscall.ESRCH {
			names = append(names, e.Name())
		}
	}
	return names
}

func pidsIn(space string) (pids []int) {
	out, _ := exec.Command("ip", "netns", "pids", space).Output()
	for _, f := range strings.Fields(string(out)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
