package ike

import (
	"encoding/binary"
	"io"
)

// numbers gives out 32-bit names whose low 20 bits are as small as can be, so that they index a table, and whose high
// 12 bits are not the same again soon.
type numbers struct {
	free []uint32 // indexes given back, oldest first
	next uint32
	turn uint32
}

const (
	indexBits = 20
	indexMask = 1<<indexBits - 1
	keptFree  = 16 // given back before the first is used again
)

// index is one that is free; false when all are taken.
func (n *numbers) index() (uint32, bool) {
	if len(n.free) > keptFree || n.next > indexMask && len(n.free) > 0 {
		i := n.free[0]
		n.free = n.free[1:]
		return i, true
	}
	if n.next > indexMask {
		return 0, false
	}
	n.next++
	return n.next - 1, true
}

func (n *numbers) giveBack(name uint32) { n.free = append(n.free, name&indexMask) }

// handle is a new name whose high bits count up: one that was given back is not seen again for long.
func (n *numbers) handle() uint32 {
	i, ok := n.index()
	if !ok {
		return 0
	}
	n.turn = n.turn%0xfff + 1
	return n.turn<<indexBits | i
}

// spi is a new name whose high bits are random, not to be guessed; never one of those that are reserved (RFC 4303
// section 2.1).
func (n *numbers) spi(random io.Reader) uint32 {
	i, ok := n.index()
	if !ok {
		return 0
	}
	var b [2]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0
		}
		if high := uint32(binary.BigEndian.Uint16(b[:])) & 0xfff; high != 0 {
			return high<<indexBits | i
		}
	}
}

func (m *Module) newChildSPI() uint32 { return m.spis.spi(m.random) }

// spent reports whether all names are in use.
func (n *numbers) spent() bool { return n.next > indexMask && len(n.free) == 0 }
