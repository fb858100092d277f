package bfdio

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/bfd"
)

// Two sockets share each port. One has what names a session of ours, the other all the rest: those who begin, and whatever
// anybody sends. The kernel divides before it queues, so nobody who does not know a discriminator can fill the queue that
// sessions live by, and the loop spends on the rest no more than it wants.

// Indices of the two in their group, which is the order they are bound in. A program that fails gives the first.
const (
	forStrangers = 0
	forSessions  = 1
)

// Where the kernel's classic BPF finds things in a datagram for a group: the payload begins at 0, the IP header at networkOffset.
const (
	networkOffset = 0xfff00000 // SKF_NET_OFF
	ttlOffset     = 8
	hopOffset     = 7
	yoursOffset   = 8 // Your Discriminator, RFC 5880 section 4.1
)

// divider is the program that gives the index: forSessions to what has the discriminators' prefix and, over one hop, has
// crossed no router (RFC 5881 section 5).
func divider(family int, multihop bool, prefix uint32) []unix.SockFilter {
	at := uint32(networkOffset + ttlOffset)
	if family == unix.AF_INET6 {
		at = networkOffset + hopOffset
	}
	stranger := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: forStrangers}
	var p []unix.SockFilter
	if !multihop {
		p = append(p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: at},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: bfd.TTL, Jt: 1}, stranger)
	}
	return append(p,
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: yoursOffset},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: bfd.PrefixMask},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: prefix, Jt: 1}, stranger,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: forSessions})
}

// divide has the group of a socket be divided by a program.
func divide(fd int, p []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		uintptr(unsafe.Pointer(&program)), unsafe.Sizeof(program), 0)
	if e != 0 {
		return e
	}
	return nil
}

// dropped is how many datagrams the kernel dropped since the queue of a socket was full.
func dropped(fd int) uint64 {
	var info [9]uint32 // SK_MEMINFO_VARS
	const drops = 8    // SK_MEMINFO_DROPS
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return 0
	}
	return uint64(info[drops])
}
