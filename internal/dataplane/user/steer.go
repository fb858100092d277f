package user

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel queues packets for us by flow, up to 500 superframes, and throws away what it has no room for. Network control
// (CS6, RFC 4594 section 3.1: BFD, OSPF, BGP) must not wait behind bulk or fall with it, so it has a queue of its own, which is
// the last: a program of ours says which queue a packet goes to. To load one takes CAP_BPF, which the process gives up after
// it has begun; without it control shares the queues as everything does.

// eBPF, as the kernel's Documentation/bpf/standardization/instruction-set.rst has it: what the program needs.
const (
	loadHalf   = 0x28 // BPF_LD|BPF_ABS|BPF_H: r0 = what is in the packet at imm
	loadWord   = 0x20
	loadByte   = 0x30
	move       = 0xbf // BPF_ALU64|BPF_MOV|BPF_X
	set        = 0xb7 // …BPF_K
	and        = 0x57
	shiftRight = 0x77
	xor        = 0xaf
	multiply32 = 0x24 // BPF_ALU, which clears the upper half
	modulo     = 0x97
	jump       = 0x05
	jumpEqual  = 0x15
	jumpOther  = 0x55
	leave      = 0x95
)

// instruction is struct bpf_insn.
type instruction struct {
	code      uint8
	registers uint8 // destination, and source << 4
	offset    int16
	imm       int32
}

// The registers: r0 is what loads give and the program returns, r6 is the packet, r7 is what the loads leave alone.
const (
	r0to7 = 7
	r1to6 = 6 | 1<<4
	r7to0 = 7 << 4
	r7    = 7
)

// steering is the program: what is marked CS6 goes to the queue behind bulk ones, the rest to one of those by its flow.
// Of fragments, which have no ports, addresses alone count, so that they keep order.
func steering(bulk int) []instruction {
	spread := uint32(golden)
	return []instruction{
		{move, r1to6, 0, 0},
		{loadHalf, 0, 0, 0}, // version, and the traffic class at its end or its beginning
		{move, r0to7, 0, 0},
		{shiftRight, r7, 0, 12},
		{jumpEqual, r7, 11, 6}, // to IPv6
		// IPv4
		{and, 0, 0, 0xfc},
		{jumpEqual, 0, 25, classControl}, // to control
		{loadWord, 0, 0, 12},
		{move, r0to7, 0, 0},
		{loadWord, 0, 0, 16},
		{xor, r0to7, 0, 0},
		{loadHalf, 0, 0, 6},
		{and, 0, 0, 0x3fff},
		{jumpOther, 0, 13, 0}, // to the mix
		{loadWord, 0, 0, 20},
		{jump, 0, 10, 0}, // to the ports
		// IPv6
		{shiftRight, 0, 0, 4},
		{and, 0, 0, 0xfc},
		{jumpEqual, 0, 13, classControl}, // to control
		{loadWord, 0, 0, 20},
		{move, r0to7, 0, 0},
		{loadWord, 0, 0, 36},
		{xor, r0to7, 0, 0},
		{loadByte, 0, 0, 6},
		{jumpEqual, 0, 2, unix.IPPROTO_FRAGMENT}, // to the mix
		{loadWord, 0, 0, 40},
		{xor, r0to7, 0, 0}, // the ports
		// the mix
		{multiply32, r7, 0, int32(spread)},
		{shiftRight, r7, 0, 16},
		{modulo, r7, 0, int32(bulk)},
		{move, r7to0, 0, 0},
		{leave, 0, 0, 0},
		// control
		{set, 0, 0, int32(bulk)},
		{leave, 0, 0, 0},
	}
}

// loadSteering loads the program and gives its descriptor, or -1 and why the kernel does not take it.
func loadSteering(bulk int) (int, error) {
	program, license := steering(bulk), [...]byte{'M', 'I', 'T', 0}
	load := struct {
		kind, count           uint32
		instructions, license uint64
		level, size           uint32
		log                   uint64
		version, flags        uint32
	}{
		kind: unix.BPF_PROG_TYPE_SOCKET_FILTER, count: uint32(len(program)),
		instructions: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license))),
	}
	fd, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	runtime.KeepAlive(program)
	runtime.KeepAlive(&license)
	if e != 0 {
		return -1, fmt.Errorf("BFD and OSPF wait behind bulk on their way into a tunnel: load an eBPF program that gives them a queue: %w: "+
			"run as root, or with CAP_BPF", e)
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

// openTUN opens a device with queues for bulk, and one for control where there is a program that steers.
func (p *Plane) openTUN(name string) (*tun, error) {
	if p.steers < 0 {
		return openTUN(name, p.queues, p.kept[name])
	}
	t, err := openTUN(name, p.queues+1, p.kept[name])
	if err != nil {
		return nil, err
	}
	if err := t.steer(p.steers); err != nil {
		t.close()
		return nil, fmt.Errorf("give network control a queue of its own: %w", err)
	}
	return t, nil
}

// steer has a device of several queues keep to the program.
func (t *tun) steer(program int) error {
	return unix.IoctlSetPointerInt(t.queues[0].fd, unix.TUNSETSTEERINGEBPF, program)
}
