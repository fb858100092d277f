package user

import "golang.org/x/net/bpf"

// A wire of ESP also has a socket for GRE in clear, of which nothing is ever let in. Without one the kernel would answer that
// the protocol is unreachable, and quote what came; and what comes from a peer that does not protect is to be counted. Tunnels in
// clear may share the address, whose packets are not copied for that: a filter takes what has the key of a tunnel on the wire.

// heed makes the filter that of the wire's members. One that the kernel refuses costs counts, nothing else.
func (w *wire) heed() {
	if s := w.others[rawGRE]; s != nil {
		_ = filter(s.fd, clearFilter(*w.members.Load(), w.at.local.Is6()))
	}
}

const (
	greKeyBit, greChecksumBit = 0x2000, 0x8000 // RFC 2890 section 2
	takeAll                   = 1 << 18
)

// clearFilter takes GRE with the members' keys. A raw socket's filter sees the IP header with IPv4, and not with IPv6.
func clearFilter(members []member, ipv6 bool) []bpf.Instruction {
	var gre bpf.Instruction = bpf.LoadMemShift{Off: 0}
	if ipv6 {
		gre = bpf.LoadConstant{Dst: bpf.RegX, Val: 0}
	}
	var keyless bpf.RetConstant
	var keys []bpf.Instruction
	for _, m := range members {
		if !m.key.Set {
			keyless.Val = takeAll
			continue
		}
		keys = append(keys, bpf.JumpIf{Cond: bpf.JumpEqual, Val: m.key.Value, SkipFalse: 1}, bpf.RetConstant{Val: takeAll})
	}
	return append(append([]bpf.Instruction{
		gre,
		bpf.LoadIndirect{Off: 0, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: greKeyBit, SkipTrue: 1},
		keyless,
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: greChecksumBit, SkipTrue: 2},
		bpf.LoadIndirect{Off: 4, Size: 4},
		bpf.Jump{Skip: 1},
		bpf.LoadIndirect{Off: 8, Size: 4}, // behind checksum and reserved octets
	}, keys...), bpf.RetConstant{})
}
