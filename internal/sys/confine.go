package sys

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sandbox is what a router that runs still needs of the host beside its sockets, its TUN devices and the settings below
// /proc/sys/net. Everything else is given up by [Sandbox.Enter].
type Sandbox struct {
	Readable []string // files and folders: configurations, keys, certificates
	Writable []string // folders: state, control socket
	Bare     bool     // nothing at all, and no capabilities: what is needed is open already
}

// Harden keeps the memory of the process, which has keys in it, out of core dumps and of debuggers. It comes before the
// first key is read.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switch off core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep debuggers out: %w", err)
	}
	return nil
}

// Enter gives up, for good and in all threads, what a router that runs needs no more: all capabilities but three, new
// programs and processes (seccomp), and most of the file system (landlock). It tells what is in force, in words. What the
// kernel does not have is told as missing and is no error; a container that forbids a step is one.
func (s Sandbox) Enter() ([]Check, error) {
	if err := everyThread(unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0); errors.Is(err, unix.ENOTSUP) {
		return []Check{{Name: "sandbox", Status: Warn, Detail: "this program was built with cgo, which keeps its threads to itself: build it with CGO_ENABLED=0"}}, nil
	}
	steps := []func() (Check, error){s.dropCapabilities, forbidPrivileges, s.confineFiles, filterCalls}
	var done []Check
	for _, step := range steps {
		c, err := step()
		if err != nil {
			return done, fmt.Errorf("confine the process: %s: %w", c.Name, err)
		}
		done = append(done, c)
	}
	return done, nil
}

// forbidPrivileges is what seccomp and landlock ask for: no program that is executed has more rights than we.
func forbidPrivileges() (Check, error) {
	c := Check{Name: "no new privileges", Status: OK, Detail: "in force"}
	return c, everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// everyThread does a system call in each thread of the process: the kernel keeps credentials by thread, and Go moves
// goroutines between them.
//
//go:uintptrescapes
func everyThread(number, a, b, c uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(number, a, b, c, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Capabilities that stay: TUN devices, addresses, routes and settings; GRE and ESP sockets; IKE's ports. Tunnels and
// sockets come and go with the configuration, so all three are needed as long as the router runs.
var keptCapabilities = []struct {
	name string
	bit  int
}{
	{"CAP_NET_BIND_SERVICE", unix.CAP_NET_BIND_SERVICE}, {"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_NET_RAW", unix.CAP_NET_RAW},
}

const lastCapability = 63 // what two words have room for

// dropCapabilities keeps of the capabilities that we have those that are needed, and none for programs that we execute.
func (s Sandbox) dropCapabilities() (Check, error) {
	c := Check{Name: "capabilities", Status: OK}
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, keep [2]unix.CapUserData
	if err := unix.Capget(head, &have[0]); err != nil {
		return c, err
	}
	var names []string
	for _, k := range keptCapabilities {
		if mask := uint32(1) << k.bit; have[0].Permitted&mask != 0 && !s.Bare {
			keep[0].Permitted |= mask
			keep[0].Effective |= mask
			names = append(names, k.name)
		}
	}
	if have[0].Effective&(1<<unix.CAP_SETPCAP) != 0 { // else systemd has dropped them, or nobody may
		if err := dropBounding(keep[0].Permitted); err != nil {
			return c, fmt.Errorf("bounding set: %w", err)
		}
	}
	err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // before Linux 4.3
		return c, fmt.Errorf("ambient set: %w", err)
	}
	c.Detail = strings.Join(names, ", ")
	err = everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(&keep[0])), 0)
	return c, err
}

// dropBounding takes from the bounding set all that the kernel knows and keep has not.
func dropBounding(keep uint32) error {
	for bit := 0; bit <= lastCapability; bit++ {
		if bit < 32 && keep&(1<<bit) != 0 {
			continue
		}
		err := everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(bit), 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel knows no more
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkConfinement tells what a running daemon has given up, or what the kernel has for the next to give up. Landlock is not
// to be seen from outside: the daemon's log tells of it.
func checkConfinement(pid int, status string) Check {
	const name = "confinement"
	if pid == 0 {
		return kernelConfinement()
	}
	caps, err := strconv.ParseUint(field(status, "CapPrm"), 16, 64)
	if err != nil {
		return Check{name, Skip, fmt.Sprintf("process %d cannot be looked at", pid), ""}
	}
	var kept uint64
	for _, k := range keptCapabilities {
		kept |= 1 << k.bit
	}
	var lacks []string
	if caps&^kept != 0 {
		lacks = append(lacks, "has capabilities it does not need")
	}
	if field(status, "NoNewPrivs") != "1" {
		lacks = append(lacks, "may gain privileges")
	}
	if field(status, "Seccomp") != "2" {
		lacks = append(lacks, "has no system call filter")
	}
	if len(lacks) > 0 {
		return Check{name, Warn, "the daemon " + strings.Join(lacks, ", "), "run it without --no-sandbox, built with CGO_ENABLED=0"}
	}
	return Check{name, OK, fmt.Sprintf("the daemon (process %d) has given up all but what it needs", pid), ""}
}

func kernelConfinement() Check {
	c := Check{"confinement", OK, "seccomp", ""}
	if nativeArch == 0 {
		c.Status, c.Detail = Warn, "no seccomp filter for "+runtime.GOARCH
	}
	if abi := landlockABI(); abi > 0 {
		c.Detail += fmt.Sprintf(" and landlock version %d", abi)
	} else {
		c.Status, c.Detail = Warn, c.Detail+", and no landlock in this kernel"
	}
	return c
}

// field is the value of a line of /proc/PID/status.
func field(status, name string) string {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Listener is the process that listens on a Unix socket; 0 when that is not known.
func Listener(path string) int {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}
