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
	buf      [mergeRoom]byte // the packet is behind the headroom, the vnet header right before it
	n        int             // octets of the packet
	segments int             // 0: empty
	size     int             // of a segment's payload
	headers  int
	upper    int
	next     uint32 // sequence number that would follow
	id       uint16 // of the first packet
	protocol uint8
	is6      bool
	closed   bool // nothing may follow
	udp      bool // UDP may be merged

	landed  int  // where the last payload was to go
	kept    int  // octets of the frame there
	adopted bool // it is in the frame
	saved   [maxHeaders]byte
}

const (
	maxFrame    = 65535
	maxSegments = 64
	headroom    = 64 // octets before a packet: for GRE and an IP header, or a vnet header
	tailroom    = 64 // behind it: for ESP's trailer
	mergeRoom   = headroom + maxFrame + headroom + maxFrame + tailroom
)

// empty reports whether nothing is collected.
func (m *merger) empty() bool { return m.segments == 0 }

// frame is the packet so far.
func (m *merger) frame() []byte { return m.buf[headroom : headroom+m.n] }

// add takes a copy of p, or reports that the frame must be taken first.
func (m *merger) add(p packet.IP) bool {
	if m.segments == 0 {
		m.begin(p)
		return true
	}
	if m.closed || !m.follows(p) {
		return false
	}
	copy(m.buf[headroom+m.n:], p.Bytes[m.headers:])
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
func (m *merger) begin(p packet.IP) {
	if b := m.buf[headroom : headroom+len(p.Bytes)]; &b[0] != &p.Bytes[0] {
		copy(b, p.Bytes)
		p.Bytes = b
	}
	m.n = len(p.Bytes)
	m.segments, m.upper, m.protocol, m.is6 = 1, p.Upper, p.Protocol, p.Is6()
	m.closed = !m.open(p)
}

// land is the buffer up to where a payload of ESP goes. The packet is behind the payload's first octets, as many as
// prefix says if that is known. It is to be given to adopt, or left by settle.
func (m *merger) land(prefix int) []byte {
	m.landed, m.kept, m.adopted = headroom, 0, false
	if m.segments > 0 {
		over := m.headers + prefix
		if m.closed || over > len(m.saved) || m.n < over+m.headers {
			m.landed = headroom + m.n + headroom // nothing follows, or its headers would be over the frame's
		} else {
			m.landed = headroom + m.n - over
			m.kept = copy(m.saved[:over], m.buf[m.landed:])
		}
	}
	return m.buf[:m.landed]
}

// adopt takes p, which is in the buffer from at on, or reports that the frame must be taken first.
func (m *merger) adopt(p packet.IP, at int) bool {
	if m.segments == 0 {
		m.start(p)
		return true
	}
	if m.closed || !m.follows(p) {
		return false
	}
	end := headroom + m.n
	m.grow(p)
	if at+m.headers != end { // the prefix was another
		copy(m.buf[end:], p.Bytes[m.headers:])
	}
	m.settle()
	m.adopted = true
	return true
}

// start is begin for a packet in the buffer. It is moved to the buffer's begin: frames that lie in one place stay in the cache.
func (m *merger) start(p packet.IP) {
	m.kept, m.adopted = 0, true
	m.begin(p)
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
	head := m.buf[headroom : headroom+m.headers]
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
	le := binary.LittleEndian
	if m.is6 {
		return le.Uint32(a) == le.Uint32(b) && le.Uint16(a[6:]) == le.Uint16(b[6:]) && bytes.Equal(a[8:40], b[8:40])
	}
	return le.Uint16(a) == le.Uint16(b) && le.Uint32(a[6:]) == le.Uint32(b[6:]) && le.Uint64(a[12:]) == le.Uint64(b[12:]) &&
		(b[6]&0x40 != 0 || binary.BigEndian.Uint16(b[4:]) == m.id+uint16(m.segments))
}

// sameTCP compares ports, acknowledgement, flags but for PSH, window, urgent pointer and options.
func (m *merger) sameTCP(a, b []byte) bool {
	le := binary.LittleEndian
	return binary.BigEndian.Uint32(b[4:]) == m.next && le.Uint32(a) == le.Uint32(b) && le.Uint32(a[8:]) == le.Uint32(b[8:]) &&
		a[12] == b[12] && b[13]&^tcpPSH == tcpACK && le.Uint16(a[14:]) == le.Uint16(b[14:]) && bytes.Equal(a[18:], b[18:len(a)])
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
	m.n = copy(m.buf[headroom:], p.Bytes)
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
	b := m.buf[headroom-vnetLen : headroom+m.n]
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
