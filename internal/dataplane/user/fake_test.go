package user

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func unsafeBytes(p *byte, n int) []byte { return unsafe.Slice(p, n) }

// segmentOf is the UDP_SEGMENT size of a message, 0 when it has none.
func segmentOf(m *mmsg) int {
	if m.hdr.Control == nil {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(m.hdr.Control))
	if h.Level != unix.SOL_UDP || h.Type != unix.UDP_SEGMENT {
		return 0
	}
	return int(*(*uint16)(unsafe.Add(unsafe.Pointer(m.hdr.Control), unix.CmsgLen(0))))
}
