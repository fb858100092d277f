package capture

import (
	"encoding/binary"
	"time"
)

// Types of blocks, and what is in them.
const (
	sectionHeader        = 0x0A0D0D0A // section 4.1
	interfaceDescription = 1          // section 4.2
	enhancedPacket       = 6          // section 4.3

	byteOrder   = 0x1A2B3C4D
	linkRaw     = 101 // an IPv4 or IPv6 header is first
	nanoseconds = 9   // if_tsresol: 10^-9 s
	snapLength  = 1 << 16

	optEnd         = 0
	optApplication = 4 // shb_userappl
	optName        = 2 // if_name
	optDescription = 3 // if_description
	optResolution  = 9 // if_tsresol
	optFlags       = 2 // epb_flags
	optDropped     = 4 // epb_dropcount
)

// Direction is that of a packet, as the flags of its block have it.
type Direction uint32

const (
	In  Direction = 1
	Out Direction = 2
)

func (d Direction) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	}
	return "?"
}

// Packet is one captured packet: an IP header and what is behind it.
type Packet struct {
	Time      time.Time
	Interface string
	Direction Direction
	Dropped   uint64 // packets lost since the one before
	Data      []byte
}

// encoder appends blocks; interfaces are described before their first packet.
type encoder struct {
	interfaces map[string]uint32
	describe   func(name string) string
}

// header begins a section.
func (e *encoder) header(b []byte, application string) []byte {
	at := len(b)
	b = begin(b, sectionHeader)
	b = binary.LittleEndian.AppendUint32(b, byteOrder)
	b = binary.LittleEndian.AppendUint32(b, 1)          // version 1.0
	b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // length not known
	b = option(b, optApplication, []byte(application))
	return end(option(b, optEnd, nil), at)
}

func (e *encoder) packet(b []byte, p Packet) []byte {
	id, known := e.interfaces[p.Interface]
	if !known {
		id = uint32(len(e.interfaces))
		e.interfaces[p.Interface] = id
		b = e.iface(b, p.Interface)
	}
	at, ns := len(b), uint64(p.Time.UnixNano())
	b = begin(b, enhancedPacket)
	for _, v := range []uint32{id, uint32(ns >> 32), uint32(ns), uint32(len(p.Data)), uint32(len(p.Data))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = pad(append(b, p.Data...), len(p.Data))
	b = option(b, optFlags, binary.LittleEndian.AppendUint32(nil, uint32(p.Direction)))
	if p.Dropped > 0 {
		b = option(b, optDropped, binary.LittleEndian.AppendUint64(nil, p.Dropped))
	}
	return end(option(b, optEnd, nil), at)
}

func (e *encoder) iface(b []byte, name string) []byte {
	at := len(b)
	b = begin(b, interfaceDescription)
	b = binary.LittleEndian.AppendUint16(b, linkRaw)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, snapLength)
	b = option(b, optName, []byte(name))
	if text := e.describe(name); text != "" {
		b = option(b, optDescription, []byte(text))
	}
	b = option(b, optResolution, []byte{nanoseconds})
	return end(option(b, optEnd, nil), at)
}

// begin starts a block; end, which knows its length, finishes it.
func begin(b []byte, kind uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, kind), 0)
}

func end(b []byte, at int) []byte {
	n := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], n)
	return binary.LittleEndian.AppendUint32(b, n)
}

func option(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...), len(value))
}

// pad fills up to 32 bits what n octets left.
func pad(b []byte, n int) []byte { return append(b, make([]byte, -n&3)...) }
