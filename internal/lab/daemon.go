package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

const (
	startTimeout = 10 * time.Second // for a daemon to open its control socket
	stopTimeout  = 10 * time.Second // for a daemon to say goodbye
	askTimeout   = 10 * time.Second // for a command to be answered
)

// process is a child in a namespace.
type process struct {
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	err   error         // how; valid once done is closed
	asked bool          // to end, by us
}

// spawn starts a child in a namespace. Unless the lab stays, the child dies with this process, however that ends.
func (w *world) spawn(s *space, c *exec.Cmd) (*process, error) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if !w.stay {
		c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	c.WaitDelay = time.Second // what it left running may hold its output open
	if err := s.do(c.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &process{cmd: c, done: make(chan struct{})}
	go func() {
		p.err = c.Wait()
		close(p.done)
	}()
	return p, nil
}

// gone reports whether the process is no more.
func (p *process) gone() bool {
	if p == nil {
		return true
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	if !p.gone() {
		p.cmd.Process.Kill()
		<-p.done
	}
}

// terminate asks the process to end, also one that was stopped by a signal.
func (p *process) terminate() {
	if p.gone() {
		return
	}
	p.asked = true
	p.cmd.Process.Signal(unix.SIGTERM)
	p.cmd.Process.Signal(unix.SIGCONT)
}

// stop asks the process to end, and kills it when it does not. The error is about what was not in good order, an
// end of its own accord among it.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	if p.gone() && !p.asked {
		return fmt.Errorf("ended by itself: %w", cmp.Or(p.err, errors.New("exit status 0")))
	}
	p.terminate()
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("did not end within %v of SIGTERM, so it was killed", stopTimeout)
	}
	var status *exec.ExitError
	if errors.As(p.err, &status) && status.Exited() {
		return fmt.Errorf("ended with %w", status)
	}
	return nil
}

func (w *world) binary() string {
	if w.opts.Binary != "" {
		return w.opts.Binary
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// startForwarder starts the process behind all links that the kernel cannot impair.
func (w *world) startForwarder() error {
	if len(w.wires.Links) == 0 {
		return nil
	}
	spec, err := json.Marshal(w.wires)
	if err != nil {
		return err
	}
	argv := w.opts.Forwarder
	if argv == nil {
		argv = []string{w.binary(), "lab", "forwarder"}
	}
	log, err := os.Create(filepath.Join(w.folder.path, "forwarder.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Stderr, c.ExtraFiles = bytes.NewReader(spec), log, w.taps
	w.forward, err = w.spawn(w.networks[0].space, c)
	return err
}

func (w *world) startRouters() error {
	for _, n := range w.routers() {
		if n.Manual {
			continue
		}
		if err := w.launch(n); err != nil {
			return err
		}
	}
	for _, n := range w.routers() {
		if n.Manual {
			continue
		}
		if err := w.ready(n); err != nil {
			return err
		}
	}
	return nil
}

// routers are the nodes that run spokeway, in the order of the file.
func (w *world) routers() []*node {
	var all []*node
	for _, n := range w.file.Nodes {
		if up := w.nodes[n.Name]; up != nil && n.Kind == scenario.Router {
			all = append(all, up)
		}
	}
	return all
}

// launch starts a router's daemon without waiting for it.
func (w *world) launch(n *node) error {
	if !n.daemon.gone() {
		return fmt.Errorf("%s is already running", n.Name)
	}
	if err := os.MkdirAll(w.path(n.Name, "state"), 0o755); err != nil {
		return err
	}
	if err := w.writeConfig(n.Name, n.Config); err != nil {
		return err
	}
	log, err := os.OpenFile(w.path(n.Name, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	os.Remove(w.path(n.Name, "control.sock"))
	c := exec.Command(w.binary(), "run", "-c", w.path(n.Name, "spokeway.yaml"),
		"--socket", w.path(n.Name, "control.sock"), "--state", w.path(n.Name, "state"), "--log-format", "logfmt")
	c.Stdout, c.Stderr = log, log
	n.daemon, err = w.spawn(n.space, c)
	return err
}

func (w *world) writeConfig(node string, config []byte) error {
	return os.WriteFile(w.path(node, "spokeway.yaml"), config, 0o600)
}

// ready waits until a router answers on its control socket.
func (w *world) ready(n *node) error {
	deadline := time.Now().Add(startTimeout)
	for {
		c, err := net.Dial("unix", w.path(n.Name, "control.sock"))
		if err == nil {
			return c.Close()
		}
		switch {
		case n.daemon.gone():
			n.daemon.asked = true // told here, not once more by Down
			return fmt.Errorf("%s did not start: %w", n.Name, w.death(n))
		case time.Now().After(deadline):
			return fmt.Errorf("%s has no control socket after %v: %w", n.Name, startTimeout, err)
		}
		if err := w.Sleep(20 * time.Millisecond); err != nil {
			return err
		}
	}
}

// death says how a daemon ended.
func (w *world) death(n *node) error {
	how := "exit status 0"
	if n.daemon.err != nil {
		how = n.daemon.err.Error()
	}
	last := w.Logs(n.Name, 1)
	if len(last) > 0 {
		how += ": " + last[0]
	}
	return errors.New(how)
}

func (w *world) stopRouters() error {
	all := w.routers()
	for _, n := range all {
		if n.daemon != nil {
			n.daemon.terminate()
		}
	}
	var errs []error
	for _, n := range all {
		if err := n.daemon.stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", n.Name, err))
		}
		errs = append(errs, w.panics(n.Name))
	}
	return errors.Join(errs...)
}

// panics tells of handlers that failed in a router: it goes on after one, but the scenario shall not pass.
func (w *world) panics(name string) error {
	text, err := os.ReadFile(w.path(name, "log"))
	if err != nil {
		return nil // never started
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "event=") && strings.Contains(line, ".panic") {
			return fmt.Errorf("%s: %s", name, strings.TrimSpace(line))
		}
	}
	return nil
}

// Start runs a router and waits until it can be asked.
func (w *world) Start(name string) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	if err := w.launch(n); err != nil {
		return err
	}
	return w.ready(n)
}

// Stop ends a router in good order.
func (w *world) Stop(name string) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	if n.daemon.gone() {
		return fmt.Errorf("%s is not running", name)
	}
	if err := n.daemon.stop(); err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	return nil
}

// Kill sends a router a signal. After KILL it waits for the end.
func (w *world) Kill(name, signal string) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	number := unix.SignalNum("SIG" + signal)
	if number == 0 {
		return fmt.Errorf("there is no signal %q", signal)
	}
	if n.daemon.gone() {
		return fmt.Errorf("%s is not running", name)
	}
	if err := n.daemon.cmd.Process.Signal(number); err != nil {
		return err
	}
	n.daemon.asked = n.daemon.asked || number != unix.SIGSTOP && number != unix.SIGCONT && number != unix.SIGHUP
	if number == unix.SIGKILL {
		<-n.daemon.done
	}
	return nil
}

// Reload gives a router a new configuration.
func (w *world) Reload(name string, config []byte) error {
	n, err := w.node(name)
	if err != nil {
		return err
	}
	if err := w.writeConfig(name, config); err != nil {
		return err
	}
	_, err = w.ask(n, "reload")
	return err
}

// Show asks a router, by the same command that a person would use.
func (w *world) Show(name string, args []string) ([]byte, error) {
	n, err := w.node(name)
	if err != nil {
		return nil, err
	}
	return w.ask(n, append(args, "-o", "json")...)
}

// ask runs a spokeway command against a router. An answer in JSON is good whatever the exit code: that of
// `why` says what it found.
func (w *world) ask(n *node, args ...string) ([]byte, error) {
	if n.daemon.gone() {
		if n.daemon == nil {
			return nil, fmt.Errorf("%s is not running", n.Name)
		}
		return nil, fmt.Errorf("%s is not running: %w", n.Name, w.death(n))
	}
	ctx, cancel := context.WithTimeout(w.ctx, askTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, w.binary(), append(args, "--socket", w.path(n.Name, "control.sock"))...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	err := c.Run()
	if err == nil || json.Valid(out.Bytes()) && out.Len() > 0 {
		return out.Bytes(), nil
	}
	return nil, fmt.Errorf("%s: %s: %w: %s", n.Name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
}

// Exec runs a command on a node.
func (w *world) Exec(name string, argv []string) ([]byte, error) {
	n, err := w.node(name)
	if err != nil {
		return nil, err
	}
	return w.run(n.space, argv)
}

// run runs a command in a namespace to its end and gives what it printed.
func (w *world) run(s *space, argv []string) ([]byte, error) {
	var out bytes.Buffer
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &out, &out
	p, err := w.spawn(s, c)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-w.ctx.Done():
		p.kill()
		return out.Bytes(), errInterrupted
	}
	return out.Bytes(), p.err
}

// Logs is the end of a router's log.
func (w *world) Logs(name string, lines int) []string {
	if w.folder == nil {
		return nil
	}
	text, err := os.ReadFile(w.path(name, "log"))
	if err != nil || len(text) == 0 {
		return nil
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return all[max(0, len(all)-lines):]
}
