package user

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Network control (CS6) has sockets of its own, too: what BFD sends must neither wait behind bulk in the queue of a socket, nor
// be dropped when that is full. The kernel divides before it queues: raw sockets, which all get everything, filter it, and
// those that share a UDP port have a program that chooses among them.

// networkOffset is where the IP header is for a filter, whatever the socket shows (SKF_NET_OFF).
const networkOffset = 0xfff00000

// classOf loads the traffic class of a packet without its ECN bits.
func classOf(ipv6 bool) []bpf.Instruction {
	if ipv6 {
		return []bpf.Instruction{
			bpf.LoadAbsolute{Off: networkOffset, Size: 2}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfc},
		}
	}
	return []bpf.Instruction{bpf.LoadAbsolute{Off: networkOffset + 1, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfc}}
}

// onlyControl is a filter that takes control alone, or all else.
func onlyControl(ipv6, control bool) []bpf.Instruction {
	verdicts := []bpf.Instruction{bpf.RetConstant{Val: takeAll}, bpf.RetConstant{}}
	if control {
		verdicts[0], verdicts[1] = verdicts[1], verdicts[0]
	}
	return append(append(classOf(ipv6), bpf.JumpIf{Cond: bpf.JumpEqual, Val: classControl, SkipTrue: 1}), verdicts...)
}

// among is the program by which the sockets of a UDP port divide what comes: control to the one behind those for bulk, the rest
// by source and port.
func among(ipv6 bool, bulk int) []bpf.Instruction {
	source, port := uint32(networkOffset+12), uint32(networkOffset+20)
	if ipv6 {
		source, port = networkOffset+20, networkOffset+40
	}
	return append(classOf(ipv6),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: classControl, SkipTrue: 1},
		bpf.RetConstant{Val: uint32(bulk)},
		bpf.LoadAbsolute{Off: source, Size: 4}, bpf.TAX{},
		bpf.LoadAbsolute{Off: port, Size: 2}, bpf.ALUOpX{Op: bpf.ALUOpXor},
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: golden}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(bulk)}, bpf.RetA{},
	)
}

// golden spreads what is alike: 2³² by the golden ratio.
const golden = 0x9e3779b9

// openControl opens the twins of the sockets that bulk comes by.
func (w *wire) openControl() error {
	kinds := []kind{w.main()}
	if w.others[rawESP] != nil {
		kinds = append(kinds, rawESP)
	}
	for _, k := range kinds {
		s, err := openSocket(k, w.at.local, true)
		if err != nil {
			return err
		}
		w.control[k] = s
		if err := w.divide(k, s); err != nil {
			return explainSocket(err, k, w.at.local)
		}
	}
	return nil
}

// divide leaves control to the twin of a kind's sockets, and all else to them.
func (w *wire) divide(k kind, twin *socket) error {
	ipv6 := w.at.local.Is6()
	if !k.raw() {
		return attach(twin.fd, unix.SO_ATTACH_REUSEPORT_CBPF, among(ipv6, len(w.sockets)))
	}
	if err := filter(twin.fd, onlyControl(ipv6, true)); err != nil {
		return err
	}
	return filter(w.through(k, w.sockets[0]).fd, onlyControl(ipv6, false))
}

// by is the socket that a queue sends by: its own, and of control the twin of the main ones.
func (w *wire) by(queue int) *socket {
	if s := w.control[w.main()]; queue >= w.plane.queues && s != nil {
		return s
	}
	return w.sockets[queue%len(w.sockets)]
}
