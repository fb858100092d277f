package bfdio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/sys"
)

// Where keeper and worker find the socket pair, and the worker the pipe for its signs of life.
const (
	controlFD = 3
	pulseFD   = 4
)

const (
	highest  = -20 // nice
	carrying = -10 // of the router whose data plane carries what a worker sends
	slice    = 100 * time.Microsecond
	modest   = 64 << 20
	firstGap = 100 * time.Millisecond // between two workers
	longest  = 30 * time.Second
	settled  = 10 * time.Second // a worker that lived so long did not fail at once
	frozen   = 3 * time.Second  // without a sign of life: the worker was stopped, or hangs
)

// raisePriority has the thread go before others where that is allowed; what comes of it, threads and programs, does as
// well. Since Linux 6.12 the slice says how soon who wakes up has its turn: the less at a time, the sooner.
func raisePriority() {
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, highest)
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	now.Runtime = uint64(slice)
	_ = unix.SchedSetAttr(0, now, 0)
}

// raiseSession does the same for the session, where sessions share the processor evenly (sched_autogroup): priorities count
// within one only.
func raiseSession(nice int) {
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0)
}

// raiseRouter has all of this process go before ordinary ones. On a busy host packets would else wait in its tunnels
// for as long as the intervals of a worker are; a kernel that forwards goes before every process.
func raiseRouter() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks { // threads that come later have the priority of the one that made them
		if id, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, carrying)
		}
	}
	if session, err := unix.Getsid(0); err == nil && session == os.Getpid() { // else it is others' as well
		raiseSession(carrying)
	}
}

// spawn starts the keeper.
func (r *Runner) spawn(theirs int) error {
	file := os.NewFile(uintptr(theirs), "bfd")
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: PR_SET_PDEATHSIG is about the thread that began the child
		c := child(r.opts.Worker, file)
		c.SysProcAttr.Setsid = true // no signals of a terminal
		err := c.Start()
		file.Close()
		started <- err
		if err == nil {
			_ = c.Wait()
		}
	}()
	return <-started
}

// child is a command that gets the socket pair, no standard input or output, and is killed when we end.
func child(command []string, control *os.File) *exec.Cmd {
	c := exec.Command(command[0], command[1:]...)
	c.ExtraFiles = []*os.File{control}
	c.Stderr = os.Stderr
	c.Env = []string{"GOTRACEBACK=single"}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Keep starts a worker by command, and another when it dies, until the router ends. Its process does nothing else.
func Keep(command []string) error {
	if err := mustBeChild(); err != nil {
		return err
	}
	runtime.LockOSThread()
	raisePriority()
	raiseSession(highest)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(modest)
	control := os.NewFile(controlFD, "bfd")
	gap := time.Duration(0)
	for {
		began := time.Now()
		err := work(child(command, control))
		if routerEnded() {
			return nil
		}
		tellLost(fmt.Sprintf("the worker that watches has ended (%v)", err))
		if time.Since(began) > settled {
			gap = 0
		}
		time.Sleep(gap)
		gap = min(max(2*gap, firstGap), longest)
	}
}

// work runs a worker to its end, which comes also when it gives no sign of life any more: nobody watches then, and nobody
// would know.
func work(c *exec.Cmd) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	c.ExtraFiles = append(c.ExtraFiles, w)
	err = c.Start()
	w.Close()
	if err != nil {
		return err
	}
	if !lives(r) {
		_ = c.Process.Kill()
		_ = c.Wait()
		return fmt.Errorf("killed: it gave no sign of life for %s", frozen)
	}
	return c.Wait()
}

// lives reads signs of life until there can be no more; false when one did not come in time.
func lives(r *os.File) bool {
	b := make([]byte, 64)
	for {
		_ = r.SetReadDeadline(time.Now().Add(frozen))
		if _, err := r.Read(b); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// mustBeChild tells who typed the command that nobody is meant to type it.
func mustBeChild() error {
	kind, err := unix.GetsockoptInt(controlFD, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return errors.New("this command is for the daemon: it starts it by itself for BFD intervals below 300 ms")
	}
	return nil
}

// routerEnded tells whether the other end of the socket pair is closed.
func routerEnded() bool {
	p := []unix.PollFd{{Fd: controlFD, Events: unix.POLLRDHUP}}
	_, err := unix.Poll(p, 0)
	return err == nil && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

func tellLost(reason string) {
	_, _ = unix.Write(controlFD, appendFrame(nil, kindLost, packWords(reason)))
}

// Serve is a worker: the loop, with no rights but its sockets, and a heap that is not collected, since it does not grow.
func Serve() error {
	if err := mustBeChild(); err != nil {
		return err
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(modest)
	_ = unix.SetNonblock(controlFD, true)
	_ = unix.SetNonblock(pulseFD, true)
	s, err := openSockets()
	if err != nil {
		tellLost(err.Error())
		return err
	}
	if _, err := (sys.Sandbox{Bare: true}).Enter(); err != nil {
		tellLost("confine the worker: " + err.Error())
		return err
	}
	l := newLoop(controlFD, s)
	l.keeper, l.alone = pulseFD, true
	return l.run()
}

// OwnCommand is how this program executes itself again with arguments. The file may have been replaced meanwhile; the
// program that runs is the one that is meant.
func OwnCommand(arguments ...string) []string {
	return append([]string{"/proc/self/exe"}, arguments...)
}
