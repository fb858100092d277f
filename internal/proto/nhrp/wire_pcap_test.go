package nhrp_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// Link types of the capture file format.
const (
	linkEthernet = 1
	linkRawIP    = 101
)

// readPcap returns the NHRP packets of a capture of Ethernet frames that hold IPv4, GRE and NHRP.
func readPcap(t testing.TB, path string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 24 || binary.LittleEndian.Uint32(b) != 0xa1b2c3d4 || binary.LittleEndian.Uint32(b[20:]) != linkEthernet {
		t.Fatalf("%s is not a little-endian capture of Ethernet frames", path)
	}
	var packets [][]byte
	for b = b[24:]; len(b) >= 16; {
		size := binary.LittleEndian.Uint32(b[8:])
		packets = append(packets, nhrpOf(t, b[16:16+size]))
		b = b[16+size:]
	}
	return packets
}

// nhrpOf unwraps a frame. A slice out of range fails the test as well as a message would.
func nhrpOf(t testing.TB, frame []byte) []byte {
	t.Helper()
	ip := frame[14:]
	if ip[0]>>4 != 4 || ip[9] != 47 {
		t.Fatalf("not GRE in IPv4: % x", frame)
	}
	gre := ip[int(ip[0]&15)*4 : binary.BigEndian.Uint16(ip[2:])]
	if binary.BigEndian.Uint16(gre) != 0x2000 || binary.BigEndian.Uint16(gre[2:]) != nhrp.EtherType {
		t.Fatalf("not NHRP in GRE with a key: % x", gre)
	}
	return gre[8:]
}

// writePcap writes raw IP packets to a new file.
func writePcap(t testing.TB, path string, packets [][]byte) {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0x40000)
	b = binary.LittleEndian.AppendUint32(b, linkRawIP)
	for i, p := range packets {
		for _, word := range []int{i, 0, len(p), len(p)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(word))
		}
		b = append(b, p...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inGRE wraps a packet in GRE over the family of the endpoints; key 0 is a header without key.
func inGRE(src, dst netip.Addr, key uint32, packet []byte) []byte {
	gre := []byte{0, 0, nhrp.EtherType >> 8, nhrp.EtherType & 0xff}
	if key != 0 {
		gre[0] = 0x20
		gre = binary.BigEndian.AppendUint32(gre, key)
	}
	return inIP(src, dst, 47, append(gre, packet...))
}

// inIP wraps octets in IPv4 or IPv6.
func inIP(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	var b []byte
	if src.Is4() {
		b = []byte{0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0}
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(b[10:], ^onesSum(b))
	} else {
		b = []byte{0x6c, 0, 0, 0, 0, 0, protocol, 64}
		binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	}
	return append(b, payload...)
}

// onesSum is the checksum written a second time, in the plainest way, to check the codec's against.
func onesSum(b []byte) uint16 {
	total := 0
	for i, octet := range b {
		total += int(octet) << (8 * (1 - i%2))
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

// seal makes the length and the checksum of a packet right again, after a test changed it.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint16(b[10:], uint16(len(b)))
	b[12], b[13] = 0, 0
	binary.BigEndian.PutUint16(b[12:], ^onesSum(b))
	return b
}
