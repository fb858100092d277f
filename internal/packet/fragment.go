package packet

import "encoding/binary"

const moreFragments = 0x2000

// AppendFragment appends the fragment of the IPv4 packet p whose payload begins at octet from of p's, no longer
// than mtu, RFC 791 section 3.2. next is where the one after it begins, 0 when it is the last. An mtu that not
// even 8 octets of payload fit into appends nothing.
func AppendFragment(b []byte, p IP, from, mtu int) (fragment []byte, next int) {
	at := len(b)
	b = appendFragmentHeader(b, p, from)
	header := len(b) - at
	data := p.Payload()[from:]
	room := mtu - header
	more := binary.BigEndian.Uint16(p.Bytes[6:]) & moreFragments
	if len(data) > room {
		if room &^= 7; room <= 0 {
			return b[:at], 0
		}
		data, next, more = data[:room], from+room, moreFragments
	}
	b = append(b, data...)
	h := b[at:]
	offset := binary.BigEndian.Uint16(p.Bytes[6:])&0x1fff + uint16(from/8)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)))
	binary.BigEndian.PutUint16(h[6:], offset|more)
	PutIPv4Checksum(h)
	return b, next
}

// appendFragmentHeader copies the header; behind the first fragment only the options that say so are copied.
func appendFragmentHeader(b []byte, p IP, from int) []byte {
	if from == 0 || p.Upper == 20 {
		return append(b, p.Bytes[:p.Upper]...)
	}
	at := len(b)
	b = append(b, p.Bytes[:20]...)
	for o := p.Bytes[20:p.Upper]; len(o) > 0 && o[0] != optionEnd; {
		n := optionLen(o)
		if o[0]&0x80 != 0 {
			b = append(b, o[:n]...)
		}
		o = o[n:]
	}
	for (len(b)-at)%4 != 0 {
		b = append(b, optionEnd)
	}
	b[at] = 4<<4 | byte((len(b)-at)/4)
	return b
}

// optionLen is the length of the IPv4 option that o begins with; one that lies takes the rest.
func optionLen(o []byte) int {
	if o[0] == optionNop {
		return 1
	}
	if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
		return len(o)
	}
	return int(o[1])
}
