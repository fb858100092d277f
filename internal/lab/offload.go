package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The offloads that let one frame stand for many, or carry a checksum that is yet to be made: ETHTOOL_STXCSUM,
// ETHTOOL_STSO, ETHTOOL_SGSO and ETHTOOL_SGRO of linux/ethtool.h. Each has its getter one below.
var offloads = []uint32{0x17, 0x1f, 0x24, 0x2c}

// asOnAWire turns an interface's offloads off, so that every frame is one, with its checksum.
func asOnAWire(s *space, name string) error {
	for _, set := range offloads {
		if _, err := ethtool(s, name, set, 0); err != nil && err != unix.EOPNOTSUPP {
			return fmt.Errorf("turn the offloads of %s in %s off (%#x): %w", name, s.name, set, err)
		}
	}
	return nil
}

// ethtool does one SIOCETHTOOL whose argument is a struct ethtool_value, and gives the value back.
func ethtool(s *space, name string, command, value uint32) (uint32, error) {
	arg := struct{ command, value uint32 }{command, value}
	req := struct {
		name [unix.IFNAMSIZ]byte
		arg  unsafe.Pointer
		_    [16]byte // the rest of struct ifreq
	}{arg: unsafe.Pointer(&arg)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	err := s.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return errno
		}
		return nil
	})
	return arg.value, err
}
