package user

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// injector sends whole IP packets by the kernel's routes. ICMP errors leave by it, not by the TUN device: a packet
// that comes in from a device with an address of the host's own as its source is a martian.
type injector struct {
	shared
	vrf string
	fd4 int
	fd6 int // -1 where the kernel has no IPv6
}

func openInjector(vrf string) (*injector, error) {
	i := &injector{vrf: vrf}
	var err error
	if i.fd4, err = openRaw(unix.AF_INET, vrf); err != nil {
		return nil, err
	}
	if i.fd6, err = openRaw(unix.AF_INET6, vrf); err != nil {
		if !errors.Is(err, unix.EAFNOSUPPORT) {
			unix.Close(i.fd4)
			return nil, err
		}
		i.fd6 = -1
	}
	i.open(i.closeAll)
	return i, nil
}

// openRaw opens a socket of protocol IPPROTO_RAW: what is written has its header, and nothing is ever received.
func openRaw(family int, vrf string) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return 0, err
	}
	if vrf != "" {
		if err := unix.BindToDevice(fd, vrf); err != nil {
			unix.Close(fd)
			return 0, fmt.Errorf("bind to VRF %s: %w", vrf, err)
		}
	}
	return fd, nil
}

func (i *injector) closeAll() {
	unix.Close(i.fd4)
	if i.fd6 >= 0 {
		unix.Close(i.fd6)
	}
}

// inject is best effort, as ICMP is.
func (i *injector) inject(b []byte, to netip.Addr) {
	if to.Is4() {
		unix.Sendto(i.fd4, b, 0, &unix.SockaddrInet4{Addr: to.As4()})
	} else if i.fd6 >= 0 {
		unix.Sendto(i.fd6, b, 0, &unix.SockaddrInet6{Addr: to.As16()})
	}
}
