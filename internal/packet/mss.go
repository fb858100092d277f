package packet

import (
	"encoding/binary"
	"math/bits"
)

const (
	tcpSYN     = 0x02
	optionEnd  = 0
	optionNop  = 1
	optionMSS  = 2 // RFC 9293 section 3.2
	lenMSS     = 4
	headersTCP = 20 + 20
)

// MSS is the largest TCP segment whose packet fits into mtu octets: RFC 9293 section 3.7.1, RFC 8200 section 8.3.
func MSS(mtu int, ipv6 bool) int {
	if ipv6 {
		return mtu - headersTCP - 20
	}
	return mtu - headersTCP
}

// ClampMSS lowers the MSS that a TCP SYN offers to at most mss, and reports whether it did.
func (p IP) ClampMSS(mss int) bool {
	b := p.Payload()
	if p.Protocol != TCP || !p.First || len(b) < 20 || b[13]&tcpSYN == 0 {
		return false
	}
	header := int(b[12]>>4) * 4
	if header > len(b) {
		return false
	}
	at := findMSS(b[:max(header, 20)])
	if at == 0 || mss <= 0 || int(binary.BigEndian.Uint16(b[at:])) <= mss {
		return false
	}
	p.putMSS(b, at, uint16(mss))
	return true
}

// findMSS is where the value of the MSS option is in a TCP header, 0 when there is none.
func findMSS(b []byte) int {
	for i := 20; i < len(b) && b[i] != optionEnd; {
		switch {
		case b[i] == optionNop:
			i++
		case i+1 >= len(b) || b[i+1] < 2 || i+int(b[i+1]) > len(b):
			return 0
		case b[i] == optionMSS && b[i+1] == lenMSS:
			return i + 2
		default:
			i += int(b[i+1])
		}
	}
	return 0
}

// putMSS corrects the checksum too. A value at an odd offset counts with its octets swapped.
func (p IP) putMSS(b []byte, at int, mss uint16) {
	old, sum := binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[16:])
	binary.BigEndian.PutUint16(b[at:], mss)
	if at%2 == 1 {
		old, mss = bits.ReverseBytes16(old), bits.ReverseBytes16(mss)
	}
	binary.BigEndian.PutUint16(b[16:], update(sum, old, mss))
}
