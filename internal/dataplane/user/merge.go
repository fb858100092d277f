package user

import (
	"bytes"
	"encoding/binary"

	"github.com/spokeway/spokeway/internal/packet"
)

// merger collects consecutive segments of one TCP stream, or equal UDP datagrams of one flow, into one superframe
// for the kernel. It looks at the last packet alone: bulk data comes in runs, and a table of flows costs more
// than it merges. A packet is merged only when its own checksum is right, as the frame gets a new one.
type merger struct {
	buf      [vnetLen + maxFrame]byte
	n        int // octets of packet behind the vnet header
	segments int // 0: empty
	size     int // of a segment's payload
	headers  int
	upper    int
	next     uint32 // sequence number that would follow
	id       uint16 // of the first packet
	protocol uint8
	is6      bool
	closed   bool // nothing may follow
	udp      bool // UDP may be merged
}

const (
	maxFrame    = 65535
	maxSegments = 64
)

// empty reports whether nothing is collected.
func (m *merger) empty() bool { return m.segments == 0 }

// add takes p, or reports that the frame must be taken first.
func (m *merger) add(p packet.IP) bool {
	if m.segments == 0 {
		m.begin(p)
		return true
	}
	if m.closed || !m.follows(p) {
		return false
	}
	payload := p.Bytes[m.headers:]
	copy(m.buf[vnetLen+m.n:], payload)
	m.n += len(payload)
	m.segments++
	m.next += uint32(len(payload))
	if p.Protocol == packet.TCP && p.Bytes[m.upper+13]&tcpPSH != 0 {
		m.buf[vnetLen+m.upper+13] |= tcpPSH
		m.closed = true
	}
	m.closed = m.closed || len(payload) < m.size
	return true
}

func (m *merger) begin(p packet.IP) {
	m.n = copy(m.buf[vnetLen:], p.Bytes)
	m.segments, m.upper, m.protocol, m.is6 = 1, p.Upper, p.Protocol, p.Is6()
	m.closed = !m.open(p)
}

// open notes what the first packet says of those that may follow; false when none may.
func (m *merger) open(p packet.IP) bool {
	if p.Fragment || p.HasOptions() || m.is6 && m.upper != 40 {
		return false
	}
	b := p.Payload()
	switch {
	case m.protocol == packet.TCP && len(b) >= 20:
		m.headers = m.upper + int(b[12]>>4)*4
		m.next = binary.BigEndian.Uint32(b[4:])
		if b[13] != tcpACK || m.headers < m.upper+20 {
			return false
		}
	case m.protocol == packet.UDP && len(b) >= 8 && m.udp && int(binary.BigEndian.Uint16(b[4:])) == len(b):
		m.headers = m.upper + 8
	default:
		return false
	}
	m.size = len(p.Bytes) - m.headers
	m.next += uint32(max(m.size, 0))
	m.id = binary.BigEndian.Uint16(p.Bytes[4:])
	return m.size > 0 && p.ValidChecksum()
}

// follows reports whether p is what comes after the segments collected, and has room.
func (m *merger) follows(p packet.IP) bool {
	n := len(p.Bytes) - m.headers
	if p.Protocol != m.protocol || p.Is6() != m.is6 || p.Upper != m.upper || n < 1 || n > m.size ||
		m.n+n > maxFrame || m.segments == maxSegments {
		return false
	}
	head := m.buf[vnetLen : vnetLen+m.headers]
	if !m.sameIP(head, p.Bytes) {
		return false
	}
	a, b := head[m.upper:], p.Bytes[m.upper:]
	if m.protocol == packet.UDP {
		if !bytes.Equal(a[:4], b[:4]) || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
			return false
		}
	} else if !m.sameTCP(a, b) {
		return false
	}
	return p.ValidChecksum()
}

// sameIP compares all but lengths, checksums and identification, which has to count up where it matters, RFC 6864.
func (m *merger) sameIP(a, b []byte) bool {
	if m.is6 {
		return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[6:40], b[6:40])
	}
	if !bytes.Equal(a[:2], b[:2]) || !bytes.Equal(a[6:10], b[6:10]) || !bytes.Equal(a[12:20], b[12:20]) {
		return false
	}
	return b[6]&0x40 != 0 || binary.BigEndian.Uint16(b[4:]) == m.id+uint16(m.segments)
}

// sameTCP compares ports, acknowledgement, flags but for PSH, window, urgent pointer and options.
func (m *merger) sameTCP(a, b []byte) bool {
	return bytes.Equal(a[:4], b[:4]) && binary.BigEndian.Uint32(b[4:]) == m.next &&
		bytes.Equal(a[8:13], b[8:13]) && b[13]&^tcpPSH == tcpACK &&
		bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[18:], b[18:len(a)])
}

// joined reports whether p is several TCP segments that the kernel joined on receipt (generic receive offload looks
// into GRE where the kernel knows it). A raw socket is not told, but such a packet has the sum of the pseudo header
// where its checksum was.
func joined(p packet.IP) bool {
	b := p.Payload()
	return p.Protocol == packet.TCP && !p.Fragment && len(b) >= 20 && int(b[12]>>4)*4 >= 20 && int(b[12]>>4)*4 < len(b) &&
		binary.BigEndian.Uint16(b[16:]) == packet.Fold(p.PseudoSum(packet.TCP, len(b)))
}

// load makes a joined packet the frame, to be cut again. The merger must be empty. How long the sender's segments
// were is lost, and a router must not make them longer: the sender has what fits on the way, and does not heed an
// ICMP error about more. So they are cut to what fits everywhere.
func (m *merger) load(p packet.IP) {
	m.n = copy(m.buf[vnetLen:], p.Bytes)
	m.upper, m.protocol, m.is6, m.closed = p.Upper, p.Protocol, p.Is6(), true
	m.headers = m.upper + int(p.Payload()[12]>>4)*4
	fit := everywhere4
	if m.is6 {
		fit = everywhere6
	}
	m.size = max(fit-m.headers, minSegment)
	m.segments = (m.n - m.headers + m.size - 1) / m.size
	if m.segments == 1 {
		finishTCP(m.buf[vnetLen+m.upper : vnetLen+m.n])
	}
}

// finishTCP makes the sum of the pseudo header, which stands where the checksum belongs, the checksum.
func finishTCP(b []byte) { binary.BigEndian.PutUint16(b[16:], ^packet.Fold(packet.Sum(b, 0))) }

const (
	everywhere4 = 576  // octets of a packet: RFC 9293 section 3.7.1, RFC 1122 section 3.3.3
	everywhere6 = 1280 // RFC 8200 section 5
	minSegment  = 256  // behind headers of any length
)

// take gives what was collected, with the header the TUN device wants, and empties the merger.
func (m *merger) take() []byte {
	v := vnetOf(m.buf[:])
	*v = vnetHeader{}
	p := m.buf[vnetLen : vnetLen+m.n]
	if m.segments > 1 {
		m.finish(p, v)
	}
	m.segments = 0
	return m.buf[:vnetLen+m.n]
}

func (m *merger) finish(p []byte, v *vnetHeader) {
	v.flags, v.headerLen, v.gsoSize, v.checksumStart = needsChecksum, uint16(m.headers), uint16(m.size), uint16(m.upper)
	if m.is6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		packet.PutIPv4Checksum(p)
	}
	upper := p[m.upper:]
	switch {
	case m.protocol == packet.UDP:
		v.gso, v.checksumAt = gsoUDP, 6
		binary.BigEndian.PutUint16(upper[4:], uint16(len(upper)))
	case m.is6:
		v.gso, v.checksumAt = gsoTCPv6, 16
	default:
		v.gso, v.checksumAt = gsoTCPv4, 16
	}
	pseudo := packet.IP{Bytes: p}.PseudoSum(m.protocol, len(upper))
	binary.BigEndian.PutUint16(upper[v.checksumAt:], packet.Fold(pseudo))
}
