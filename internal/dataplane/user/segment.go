package user

import (
	"encoding/binary"

	"github.com/spokeway/spokeway/internal/packet"
)

const maxHeaders = 192 // IP and TCP, with options

// cutter cuts a superframe of the kernel's into packets, in place: the headers of each are written over the end of
// the one before, which is gone by then.
type cutter struct {
	frame   []byte
	headers [maxHeaders]byte
	length  int // of headers
	upper   int // where TCP or UDP begins
	size    int // of a segment
	at      int // of the next segment
	begin   int // of the packet that was cut last
	first   packet.IP
	pseudo  uint64 // without the length
}

// start prepares for a frame; false when its headers are not what v says.
func (c *cutter) start(p packet.IP, v *vnetHeader) bool {
	c.frame, c.first = p.Bytes, p
	c.upper, c.size = int(v.checksumStart), int(v.gsoSize)
	c.length = c.upper + 8
	if v.gso&^gsoECN != gsoUDP {
		if c.upper+20 > len(c.frame) {
			return false
		}
		c.length = c.upper + int(c.frame[c.upper+12]>>4)*4
	}
	if c.upper < 20 || p.Is6() && c.upper < 40 || c.size == 0 || c.length > min(maxHeaders, len(c.frame)) || p.Upper != c.upper {
		return false
	}
	if udp := v.gso&^gsoECN == gsoUDP; udp != (p.Protocol == packet.UDP) || !udp && c.length < c.upper+20 {
		return false
	}
	copy(c.headers[:], c.frame[:c.length])
	c.pseudo = p.PseudoSum(p.Protocol, 0)
	c.at = c.length
	return true
}

// next is the next packet, nil after the last. It is good until next is called again.
func (c *cutter) next() []byte {
	if c.at >= len(c.frame) {
		return nil
	}
	n := min(c.size, len(c.frame)-c.at)
	c.begin = c.at - c.length
	p := c.frame[c.begin : c.at+n]
	done := c.at - c.length // octets of payload before this one
	copy(p, c.headers[:c.length])
	c.at += n
	c.fixIP(p, done/c.size)
	upper := p[c.upper:]
	if c.first.Protocol == packet.UDP {
		fixUDP(upper, c.pseudo)
	} else {
		c.fixTCP(upper, done)
	}
	return p
}

func (c *cutter) fixIP(p []byte, index int) {
	if c.first.Is6() {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(index))
	packet.PutIPv4Checksum(p)
}

func fixUDP(b []byte, pseudo uint64) {
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	b[6], b[7] = 0, 0
	binary.BigEndian.PutUint16(b[6:], packet.UDPChecksum(packet.Sum(b, packet.SumWord(uint16(len(b)), pseudo))))
}

const (
	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)

// fixTCP: FIN and PSH belong to the last segment, CWR to the first (RFC 3168 section 6.1.2).
func (c *cutter) fixTCP(b []byte, done int) {
	binary.BigEndian.PutUint32(b[4:], binary.BigEndian.Uint32(b[4:])+uint32(done))
	if c.at < len(c.frame) {
		b[13] &^= tcpFIN | tcpPSH
	}
	if done > 0 {
		b[13] &^= tcpCWR
	}
	b[16], b[17] = 0, 0
	binary.BigEndian.PutUint16(b[16:], ^packet.Fold(packet.Sum(b, packet.SumWord(uint16(len(b)), c.pseudo))))
}

// finishChecksum computes what the kernel left to us; false when v points outside of p.
func finishChecksum(p []byte, v *vnetHeader) bool {
	start, at := int(v.checksumStart), int(v.checksumStart)+int(v.checksumAt)
	if at+2 > len(p) {
		return false
	}
	binary.BigEndian.PutUint16(p[at:], packet.UDPChecksum(packet.Sum(p[start:], 0)))
	return true
}
