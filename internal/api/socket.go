package api

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultGroup owns the socket when it exists and no other group is asked for.
const DefaultGroup = "spokeway"

const socketMode = 0o660

// Socket is a control socket that this process owns. A lock file beside it says so, for as long as the process
// lives however it ends, so that a socket left behind is told from one in use.
type Socket struct {
	*net.UnixListener
	path string
	lock *os.File
}

// Listen makes the control socket, in place of one that a dead daemon left. The group may be "": [DefaultGroup]
// then, where it exists and we may give files to it.
func Listen(path, group string) (*Socket, error) {
	s, err := listen(path, group)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return s, nil
}

func listen(path, group string) (*Socket, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := replace(path, group)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &Socket{UnixListener: l, path: path, lock: lock}, nil
}

// Close removes the socket and stops listening.
func (s *Socket) Close() error {
	os.Remove(s.path)
	return errors.Join(s.UnixListener.Close(), s.lock.Close())
}

// Accept makes the caller known to the handlers.
func (s *Socket) Accept() (net.Conn, error) {
	for {
		c, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if cred, err := credentials(c); err == nil {
			return callerConn{c, cred}, nil
		}
		c.Close()
	}
}

// callerConn is a connection whose other end is known.
type callerConn struct {
	net.Conn
	caller unix.Ucred
}

func credentials(c *net.UnixConn) (cred unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return cred, err
	}
	var got *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		got, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return cred, cerr
	}
	if err != nil {
		return cred, err
	}
	return *got, nil
}

// acquire takes the lock, which the kernel gives back when its holder ends.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &RunningError{PID: holder(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	fmt.Fprintln(f, os.Getpid())
	return f, nil
}

// RunningError says that another daemon owns the socket.
type RunningError struct{ PID int }

func (e *RunningError) Error() string {
	return fmt.Sprintf("spokeway is already running (pid %d): stop it, or give this one another --socket", e.PID)
}

// holder reads the pid that the owner of the lock wrote; it may be about to.
func holder(f *os.File) int {
	b := make([]byte, 20)
	for range 20 {
		n, _ := f.ReadAt(b, 0)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
			return pid
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// replace makes the socket in a directory of its own and moves it in place, so that nobody meets it before its
// mode and group are right.
func replace(path, group string) (*net.UnixListener, error) {
	if err := mayReplace(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, tooLong(made, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, socketMode), chgrp(made, group)); err != nil {
		l.Close()
		return nil, err
	}
	if err := os.Rename(made, path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func tooLong(path string, err error) error {
	if errors.Is(err, unix.EINVAL) && len(path) > 100 {
		return fmt.Errorf("the path is too long for a socket: give a shorter --socket")
	}
	return err
}

func mayReplace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("something that is no socket is in the way: remove it, or give another --socket")
	}
	return nil
}

func chgrp(path, name string) error {
	g, err := user.LookupGroup(cmp.Or(name, DefaultGroup))
	if err != nil {
		if name == "" {
			return nil
		}
		return fmt.Errorf("group %s: no such group: `groupadd --system %s` makes it", name, name)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("group %s: %w", name, err)
	}
	if err := os.Chown(path, -1, gid); err != nil && name != "" {
		return fmt.Errorf("give it to group %s: %w", name, err)
	}
	return nil
}
