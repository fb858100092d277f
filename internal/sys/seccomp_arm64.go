package sys

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_AARCH64

var foreign program

// deniedHere are calls that not every architecture has.
var deniedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
