package user

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vnetLen is the size of the header before every packet of a TUN device with IFF_VNET_HDR.
const vnetLen = 10

// vnetHeader is struct virtio_net_hdr, in the host's byte order.
type vnetHeader struct {
	flags, gso                                    uint8
	headerLen, gsoSize, checksumStart, checksumAt uint16
}

const (
	needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDP   = 5    // VIRTIO_NET_HDR_GSO_UDP_L4
	gsoECN   = 0x80 // the first segment carries CWR
)

func vnetOf(b []byte) *vnetHeader { return (*vnetHeader)(unsafe.Pointer(&b[0])) }

// tun is a TUN device.
type tun struct {
	name   string
	queues []*descriptor
	uso    bool // the kernel takes and gives UDP superframes
}

const tunFlags = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR

// openTUN makes the device, or takes over the one that an earlier process left to be kept. The kernel removes it when the last
// descriptor is closed. One that was left when there were more cores, or fewer, is made anew.
func openTUN(name string, queues int, kept bool) (*tun, error) {
	t, err := attachTUN(name, queues, kept)
	if kept && errors.Is(err, unix.EINVAL) && discardTUN(name) {
		t, err = attachTUN(name, queues, kept)
	}
	if err != nil || !kept {
		return t, err
	}
	if err := t.keep(false); err != nil {
		t.close()
		return nil, fmt.Errorf("take the device over: %w", err)
	}
	return t, nil
}

func attachTUN(name string, queues int, kept bool) (*tun, error) {
	t := &tun{name: name}
	flags := uint16(tunFlags)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	for i := range queues {
		open := t.openQueue
		if i == 0 && !kept {
			open = t.openFirst
		}
		queue, err := t.queue(open, flags)
		if err != nil {
			t.close()
			return nil, err
		}
		t.queues = append(t.queues, queue)
	}
	return t, nil
}

func (t *tun) queue(open func(uint16) (int, error), flags uint16) (*descriptor, error) {
	fd, err := open(flags)
	if err != nil {
		return nil, err
	}
	return watch(fd)
}

// openFirst makes the device. One of several queues that is there would let us in, beside the process that has it.
func (t *tun) openFirst(flags uint16) (int, error) {
	fd, err := t.openQueue(flags | unix.IFF_TUN_EXCL)
	if !errors.Is(err, unix.EBUSY) {
		return fd, err
	}
	for _, queues := range []uint16{0, unix.IFF_MULTI_QUEUE} { // to a TUN device of one queue or of several the kernel says another thing
		fd, why := t.openQueue(flags&^unix.IFF_MULTI_QUEUE | queues)
		switch {
		case why == nil:
			unix.Close(fd)
			return 0, err
		case errors.Is(why, unix.EBUSY):
			return 0, err
		case queues != 0:
			err = why // it is no TUN device at all
		}
	}
	return 0, err
}

// keep has the kernel keep the device without its carrier when the last descriptor is closed, or not.
func (t *tun) keep(on bool) error {
	arg := 0
	if on {
		arg = 1
	}
	return unix.IoctlSetInt(t.queues[0].fd, unix.TUNSETPERSIST, arg)
}

// discardTUN removes a TUN device that no process has, however many queues it was made with; false when there is none.
func discardTUN(name string) bool {
	if _, err := net.InterfaceByName(name); err != nil {
		return false // to attach would make one
	}
	for _, flags := range []uint16{tunFlags, tunFlags | unix.IFF_MULTI_QUEUE} {
		t := &tun{name: name}
		queue, err := t.queue(t.openQueue, flags)
		if err != nil {
			continue
		}
		t.queues = []*descriptor{queue}
		err = t.keep(false)
		t.close()
		return err == nil
	}
	return false
}

func (t *tun) openQueue(flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, explainTUN(err)
	}
	if err := t.attach(fd, flags); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func (t *tun) attach(fd int, flags uint16) error {
	request, err := unix.NewIfreq(t.name)
	if err != nil {
		return fmt.Errorf("%q is no name for an interface: 1 to 15 characters", t.name)
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return explainTUN(err)
	}
	return t.offload(fd)
}

// offload asks for what the kernel has: UDP superframes since Linux 6.2, checksums and TCP superframes since long.
func (t *tun) offload(fd int) error {
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil {
		t.uso = true
		return nil
	}
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp) == nil {
		return nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil {
		return fmt.Errorf("set offloads: %w", err)
	}
	return nil
}

func (t *tun) close() {
	for _, q := range t.queues {
		q.close()
	}
}

func explainTUN(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("/dev/net/tun is missing: load the kernel module tun, or give the container the device: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("not allowed: run as root or with CAP_NET_ADMIN: %w", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("another process has this device: stop it, or choose another name: %w", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("an interface of this name and another kind exists: remove it, or choose another name: %w", err)
	}
	return err
}
