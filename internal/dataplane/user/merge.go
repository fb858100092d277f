package user

import (
	"bytes"
	"encoding/binary"

	"github.com/spokeway/spokeway/internal/packet"
)

// merger collects consecutive segments of one TCP stream, or equal UDP datagrams of one flow, into one superframe
// for the kernel. It looks at the last packet alone: bulk data comes in runs, and a table of flows costs more
// than it merges. A packet is merged only when its own checksum is right, as the frame gets a new one.
//
// What was decrypted is merged without a copy: [merger.land] is where the cipher puts it, so that its payload is right
// behind the frame. Its headers overwrite the frame's last octets meanwhile, which are put back when they are read.
type merger struct {
	buf      [mergeRoom]byte
	at       int // where the packet begins; the vnet header is before it
	n        int // octets of the packet
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

	landed int // where the last payload was to go
	kept   int // octets of the frame there
	saved  [maxHeaders]byte
}

const (
	maxFrame    = 65535
	maxSegments = 64
	headroom    = 64       // octets before a packet: for GRE and an IP header, or a vnet header
	tailroom    = 64       // behind it: for ESP's trailer
	farthest    = 32 << 10 // where a frame may begin
	mergeRoom   = farthest + maxFrame + headroom + maxFrame + tailroom
)

// empty reports whether nothing is collected.
func (m *merger) empty() bool { return m.segments == 0 }

// frame is the packet so far.
func (m *merger) frame() []byte { return m.buf[m.at : m.at+m.n] }

// add takes a copy of p, or reports that the frame must be taken first.
func (m *merger) add(p packet.IP) bool {
	if m.segments == 0 {
		m.begin(p, headroom)
		return true
	}
	if m.closed || !m.follows(p) {
		return false
	}
	copy(m.buf[m.at+m.n:], p.Bytes[m.headers:])
	m.grow(p)
	return true
}

// grow notes the segment p, whose payload is in its place.
func (m *merger) grow(p packet.IP) {
	n := len(p.Bytes) - m.headers
	m.n += n
	m.segments++
	m.next += uint32(n)
	if p.Protocol == packet.TCP && p.Bytes[m.upper+13]&tcpPSH != 0 {
		m.frame()[m.upper+13] |= tcpPSH
		m.closed = true
	}
	m.closed = m.closed || n < m.size
}

// begin makes p the frame's first packet. It is copied to the place, unless it is there.
func (m *merger) begin(p packet.IP, at int) {
	if b := m.buf[at : at+len(p.Bytes)]; &b[0] != &p.Bytes[0] {
		copy(b, p.Bytes)
		p.Bytes = b
	}
	m.at, m.n = at, len(p.Bytes)
	m.segments, m.upper, m.protocol, m.is6 = 1, p.Upper, p.Protocol, p.Is6()
	m.closed = !m.open(p)
}

// land is the buffer up to where a payload of ESP goes. The packet is behind the payload's first octets, as many as
// prefix says if that is known. It is to be given to adopt, or left by settle.
func (m *merger) land(prefix int) []byte {
	m.landed, m.kept = headroom, 0
	if m.segments > 0 {
		over := m.headers + prefix
		if m.closed || over > len(m.saved) || m.n < over+m.headers {
			m.landed = m.at + m.n + headroom // nothing follows, or its headers would be over the frame's
		} else {
			m.landed = m.at + m.n - over
			m.kept = copy(m.saved[:over], m.buf[m.landed:])
		}
	}
	return m.buf[:m.landed]
}

// adopt takes p, which is in the buffer from at on, or reports that the frame must be taken first.
func (m *merger) adopt(p packet.IP, at int) bool {
	if m.segments == 0 {
		m.start(p, at)
		return true
	}
	if m.closed || !m.follows(p) {
		return false
	}
	end := m.at + m.n
	m.grow(p)
	if at+m.headers != end { // the prefix was another
		copy(m.buf[end:], p.Bytes[m.headers:])
	}
	m.settle()
	return true
}

// start is begin for a packet in the buffer. One that lies too far behind is moved.
func (m *merger) start(p packet.IP, at int) {
	m.kept = 0
	if at > farthest {
		at = headroom
	}
	m.begin(p, at)
}

// settle puts back what the last payload overwrote.
func (m *merger) settle() {
	copy(m.buf[m.landed:], m.saved[:m.kept])
	m.kept = 0
}

// swap exchanges what the last payload overwrote with it, so that the frame can be taken; again, and the payload is back.
func (m *merger) swap() {
	held := m.saved
	copy(m.saved[:m.kept], m.buf[m.landed:])
	copy(m.buf[m.landed:], held[:m.kept])
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
	head := m.buf[m.at : m.at+m.headers]
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
	m.at = headroom
	m.n = copy(m.buf[m.at:], p.Bytes)
	m.upper, m.protocol, m.is6, m.closed = p.Upper, p.Protocol, p.Is6(), true
	m.headers = m.upper + int(p.Payload()[12]>>4)*4
	fit := everywhere4
	if m.is6 {
		fit = everywhere6
	}
	m.size = max(fit-m.headers, minSegment)
	m.segments = (m.n - m.headers + m.size - 1) / m.size
	if m.segments == 1 {
		finishTCP(m.frame()[m.upper:])
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
	b := m.buf[m.at-vnetLen : m.at+m.n]
	v := vnetOf(b)
	*v = vnetHeader{}
	if m.segments > 1 {
		m.finish(b[vnetLen:], v)
	}
	m.segments = 0
	return b
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
