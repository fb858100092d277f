package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds b to the ones' complement sum acc, RFC 1071. Only the last of several pieces may have an odd length.
// The sum is kept in the byte order of a little-endian machine, which the ones' complement allows; [Fold] turns it.
func Sum(b []byte, acc uint64) uint64 {
	var c uint64
	for len(b) >= 64 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[32:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[40:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[48:]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[56:]), c)
		acc, c = bits.Add64(acc, 0, c)
		acc += c
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	if len(b) > 0 {
		acc, c = bits.Add64(acc, tail(b), 0)
		acc += c
	}
	return acc
}

// tail is the last 1 to 7 octets as a number, zeroes behind them.
func tail(b []byte) uint64 {
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// SumWord adds one 16-bit word to a sum.
func SumWord(v uint16, acc uint64) uint64 {
	acc, c := bits.Add64(acc, uint64(bits.ReverseBytes16(v)), 0)
	return acc + c
}

// Fold makes a sum the 16-bit word that is put into a header, before its complement is taken.
func Fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return bits.ReverseBytes16(uint16(acc))
}

// update is a checksum after one 16-bit word that it covers has changed, RFC 1624 equation 3.
func update(sum, old, new uint16) uint16 {
	acc := uint32(^sum) + uint32(^old) + uint32(new)
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return ^uint16(acc)
}

// replace16 writes v at b[at:] and corrects the checksum at b[sum:], which covers it.
func replace16(b []byte, at, sum int, v uint16) {
	old := binary.BigEndian.Uint16(b[at:])
	binary.BigEndian.PutUint16(b[at:], v)
	binary.BigEndian.PutUint16(b[sum:], update(binary.BigEndian.Uint16(b[sum:]), old, v))
}
