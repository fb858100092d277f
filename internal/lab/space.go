package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// spaces is where `ip netns` keeps the names of namespaces.
const spaces = "/run/netns"

// space is a named network namespace.
type space struct {
	name   string
	ns     netns.NsHandle
	nl     *netlink.Handle
	thread *thread
}

// thread is the one OS thread that enters namespaces. Processes are started from it, too: it lives as long as
// the lab, and so do children that ask to die with their parent thread (PR_SET_PDEATHSIG).
type thread struct {
	jobs chan func()
	home netns.NsHandle
}

func newThread() (*thread, error) {
	t := &thread{jobs: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		var err error
		t.home, err = netns.Get()
		ready <- err
		for job := range t.jobs {
			job()
		}
		t.home.Close()
	}()
	return t, <-ready
}

func (t *thread) close() { close(t.jobs) }

// in runs f inside ns.
func (t *thread) in(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	t.jobs <- func() {
		if err := netns.Set(ns); err != nil {
			done <- fmt.Errorf("enter namespace: %w", err)
			return
		}
		err := f()
		done <- errors.Join(err, netns.Set(t.home))
	}
	return <-done
}

// newSpace makes a namespace with its loopback up.
func (t *thread) newSpace(name string) (*space, error) {
	s := &space{name: name, thread: t}
	err := t.in(t.home, func() (err error) {
		s.ns, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", name, err)
	}
	if s.nl, err = netlink.NewHandleAt(s.ns); err != nil {
		return nil, fmt.Errorf("netlink in %s: %w", name, err)
	}
	lo, err := s.nl.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	return s, s.nl.LinkSetUp(lo)
}

// do runs f inside the namespace.
func (s *space) do(f func() error) error { return s.thread.in(s.ns, f) }

// sysctl sets values under /proc/sys/net. A key that this kernel lacks is passed over.
func (s *space) sysctl(values [][2]string) error {
	return s.do(func() error {
		for _, v := range values {
			err := os.WriteFile(filepath.Join("/proc/sys/net", v[0]), []byte(v[1]), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("set %s in %s: %w", v[0], s.name, err)
			}
		}
		return nil
	})
}

func (s *space) close() {
	if s.nl != nil {
		s.nl.Close()
	}
	s.ns.Close()
}

// removeSpace kills what runs in a namespace, by its process ids, and removes its name. The kernel removes the rest.
func removeSpace(name string) error {
	path := filepath.Join(spaces, name)
	for range 50 {
		pids := pidsIn(path)
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			unix.Kill(pid, unix.SIGKILL)
		}
		unix.Nanosleep(&unix.Timespec{Nsec: 10e6}, nil)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pidsIn lists the processes in the namespace that is mounted at path. This process is never one of them.
func pidsIn(path string) []int {
	var want, have unix.Stat_t
	if unix.Stat(path, &want) != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || unix.Stat("/proc/"+e.Name()+"/ns/net", &have) != nil {
			continue
		}
		if have.Dev == want.Dev && have.Ino == want.Ino {
			pids = append(pids, pid)
		}
	}
	return pids
}

// openSpace opens a namespace that is already there.
func (t *thread) openSpace(name string) (*space, error) {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	nl, err := netlink.NewHandleAt(ns)
	return &space{name: name, ns: ns, nl: nl, thread: t}, err
}
