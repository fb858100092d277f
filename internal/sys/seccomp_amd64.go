package sys

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_X86_64

// x32 is in the numbers of calls of that ABI.
const x32 = 0x40000000

// foreign refuses the calls of the x32 ABI, which have other numbers.
var foreign = program{
	{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: x32, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: errno(unix.ENOSYS)},
}

// deniedHere are calls that only this architecture has.
var deniedHere = []uint32{
	unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_MKNOD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT,
	unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL,
}
