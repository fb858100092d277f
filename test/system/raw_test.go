package system

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/packet"
)

// inside runs f on a thread that is on the host. Sockets stay there; the thread does not come back.
func (h *host) inside(f func() error) {
	h.w.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := os.Open("/run/netns/" + h.netns)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		h.w.t.Fatalf("on %s: %v", h.name, err)
	}
}

// listen takes an address of a host.
func listen(t *testing.T, h *host, network, at string) (release func()) {
	t.Helper()
	h.inside(func() error {
		if network == "tcp" {
			l, err := net.Listen(network, at)
			release = func() { l.Close() }
			return err
		}
		c, err := net.ListenPacket(network, at)
		release = func() { c.Close() }
		return err
	})
	return release
}

// holdTUN makes a TUN device and keeps it in use.
func holdTUN(t *testing.T, h *host, name string) (release func()) {
	t.Helper()
	h.inside(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		var req struct {
			name  [unix.IFNAMSIZ]byte
			flags uint16
			_     [22]byte
		}
		copy(req.name[:], name)
		req.flags = unix.IFF_TUN | unix.IFF_NO_PI
		release = func() { unix.Close(fd) }
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); e != 0 {
			return e
		}
		return nil
	})
	return release
}

// injector sends IPv4 packets with whatever header, from the host.
type injector struct {
	t  *testing.T
	fd int
}

func (h *host) injector() *injector {
	h.w.t.Helper()
	i := &injector{t: h.w.t}
	h.inside(func() (err error) {
		i.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err == nil {
			err = unix.SetsockoptInt(i.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
		}
		return err
	})
	h.w.t.Cleanup(func() { unix.Close(i.fd) })
	return i
}

// send sends GRE, or what claims to be, in an IPv4 packet.
func (i *injector) send(from, to netip.Addr, gre []byte) {
	i.packet(from, to, gre, func([]byte) {})
}

// packet sends an IPv4 packet of protocol 47. The kernel fills in length and checksum.
func (i *injector) packet(from, to netip.Addr, payload []byte, change func(header []byte)) {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_GRE
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	change(b)
	b = append(b, payload...)
	for {
		err := unix.Sendto(i.fd, b, 0, &unix.SockaddrInet4{Addr: to.As4()})
		if err == nil {
			return
		}
		if err != unix.ENOBUFS && err != unix.EAGAIN {
			i.t.Errorf("send %d octets: %v", len(b), err)
			return
		}
	}
}

// withKey is a GRE packet with a key.
func withKey(key uint32, protocol uint16, payload []byte) []byte {
	b := []byte{0x20, 0, byte(protocol >> 8), byte(protocol)}
	return append(binary.BigEndian.AppendUint32(b, key), payload...)
}

// withChecksum is a GRE packet with key, checksum and sequence number; bad makes the checksum wrong.
func withChecksum(key, sequence uint32, protocol uint16, payload []byte, bad bool) []byte {
	b := []byte{0xb0, 0, byte(protocol >> 8), byte(protocol), 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, key)
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = append(b, payload...)
	sum := ^packet.Fold(packet.Sum(b, 0))
	if bad {
		sum++
	}
	binary.BigEndian.PutUint16(b[4:], sum)
	return b
}
