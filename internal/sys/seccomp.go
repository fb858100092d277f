package sys

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system call filter is a list of what is denied, not of what is allowed. What a Go program calls is its runtime's
// and the kernel's to change (futex2, new clones, rseq), and a router that dies of an update protects nobody; systemd's
// allow list in packaging/ stands before it all the same. What is denied is how somebody who runs code in this process
// would get at more than it: other programs, processes, memory, kernels, namespaces, keyrings.

// denied calls fail with EPERM.
var denied = append([]uint32{
	// Programs and other processes.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// Namespaces and file systems.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT,
	unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_MKNODAT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_FANOTIFY_INIT,
	// The kernel.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_PERSONALITY, unix.SYS_VHANGUP,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, // its operations pass no filter
	unix.SYS_MBIND, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	// The host's clock and name, and other users.
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS,
}, deniedHere...)

// Where things are in seccomp_data, seccomp(2). Arguments are 64 bits, of which the filter sees the lower half: all of
// what is looked at here has 32 bits. Both architectures are little-endian.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16
	dataArg1   = 24
	dataArg2   = 32
)

// families are the socket families a router has.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// filter is the program that the kernel runs at each call. Calls that are never denied whatever their arguments are
// remembered by the kernel (since Linux 5.11), so that packets cost nothing more.
func filter(arch uint32) []unix.SockFilter {
	p := program{}
	p.load(dataArch)
	p.unless(arch, unix.SECCOMP_RET_KILL_PROCESS) // numbers mean something else there
	p.load(dataNumber)
	p = append(p, foreign...)
	for _, n := range denied {
		p.on(n, errno(unix.EPERM))
	}
	p.on(unix.SYS_CLONE3, errno(unix.ENOSYS)) // its flags are out of sight; who gets ENOSYS takes clone
	p.inside(unix.SYS_CLONE, dataArg0, func(p *program) {
		p.anyOf(newNamespaces, errno(unix.EPERM))
		p.noneOf(unix.CLONE_THREAD, errno(unix.EPERM)) // threads are no processes
	})
	p.inside(unix.SYS_SOCKET, dataArg0, func(p *program) {
		for _, family := range families {
			p.on(family, unix.SECCOMP_RET_ALLOW)
		}
		p.end(errno(unix.EAFNOSUPPORT))
	})
	for _, call := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
		p.inside(call, dataArg2, func(p *program) { p.anyOf(unix.PROT_EXEC, errno(unix.EPERM)) })
	}
	p.inside(unix.SYS_IOCTL, dataArg1, func(p *program) { // words into a terminal, as if typed there
		p.on(unix.TIOCSTI, errno(unix.EPERM))
		p.on(unix.TIOCLINUX, errno(unix.EPERM))
	})
	p.end(unix.SECCOMP_RET_ALLOW)
	return p
}

// program is classic BPF.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, yes, no uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: yes, Jf: no, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }

func (p *program) end(verdict uint32) { p.add(unix.BPF_RET|unix.BPF_K, verdict, 0, 0) }

// on ends with the verdict where the loaded word is k.
func (p *program) on(k, verdict uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, 0, 1)
	p.end(verdict)
}

func (p *program) unless(k, verdict uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k, 1, 0)
	p.end(verdict)
}

// anyOf ends with the verdict where one of the bits is set.
func (p *program) anyOf(bits, verdict uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, 0, 1)
	p.end(verdict)
}

func (p *program) noneOf(bits, verdict uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, bits, 1, 0)
	p.end(verdict)
}

// inside looks at an argument of one call, and allows it where the body has not ended otherwise.
func (p *program) inside(call, argument uint32, body func(*program)) {
	var b program
	b.load(argument)
	body(&b)
	b.end(unix.SECCOMP_RET_ALLOW)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, call, 0, uint8(len(b)))
	*p = append(*p, b...)
}

// filterCalls puts the filter in force, in all threads at once.
func filterCalls() (Check, error) {
	c := Check{Name: "seccomp", Status: OK, Detail: "in force"}
	if nativeArch == 0 {
		c.Status, c.Detail = Warn, "there is no filter for "+runtime.GOARCH
		return c, nil
	}
	p := filter(nativeArch)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errors.Is(e, unix.ENOSYS), errors.Is(e, unix.EINVAL):
		c.Status, c.Detail = Warn, "this kernel has none"
		return c, nil
	case e != 0:
		return c, e
	}
	return c, nil
}
