package user

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// kind is what a socket carries.
type kind uint8

const (
	rawGRE kind = iota // IP protocol 47
	udpGRE             // RFC 8086
	udpESP             // port 4500: ESP in UDP, RFC 3948, and IKE behind four octets of zero
	udpIKE             // port 500: IKE alone
	rawESP             // IP protocol 50
	cutGRE             // GRE that the kernel may fragment; nothing is ever received
	cutUDP             // UDP that the kernel may fragment, sent raw with a header of ours; receives nothing either
	cutESP             // IP protocol 50 that the kernel may fragment; receives nothing either
	kinds
)

// kindOf says how a kind's sockets are made.
var kindOf = [kinds]struct {
	name     string
	raw      bool
	protocol int
	port     int
}{
	rawGRE: {"GRE", true, unix.IPPROTO_GRE, 0},
	udpGRE: {"GRE in UDP", false, unix.IPPROTO_UDP, dataplane.UDPPort},
	udpESP: {"ESP in UDP and IKE", false, unix.IPPROTO_UDP, dataplane.NATPort},
	udpIKE: {"IKE", false, unix.IPPROTO_UDP, dataplane.IKEPort},
	rawESP: {"ESP", true, unix.IPPROTO_ESP, 0},
	cutGRE: {"fragments of GRE", true, unix.IPPROTO_GRE, 0},
	cutUDP: {"fragments of UDP", true, unix.IPPROTO_UDP, 0},
	cutESP: {"fragments of ESP", true, unix.IPPROTO_ESP, 0},
}

func (k kind) raw() bool { return kindOf[k].raw }

// deaf reports whether sockets of the kind only send.
func (k kind) deaf() bool { return k >= cutGRE }

// bulk reports whether the kernel is to cut and join datagrams, and several sockets share the port.
func (k kind) bulk() bool { return k == udpGRE || k == udpESP }

// link moves messages. Behind it is a socket, or a test.
type link interface {
	send([]mmsg) (int, unix.Errno)
	receive([]mmsg) (int, unix.Errno)
}

type socket struct {
	*descriptor
	link link
	kind kind
}

type kernelLink int

func (k kernelLink) send(m []mmsg) (int, unix.Errno)    { return sendmmsg(int(k), m) }
func (k kernelLink) receive(m []mmsg) (int, unix.Errno) { return recvmmsg(int(k), m) }

const (
	socketBuffer = 2 << 20
	defaultTTL   = 64
	sendPatience = time.Second
)

// openSocket opens one of the sockets of an address: one that joins those that have the port, or one that finds it free.
func openSocket(k kind, local netip.Addr, joins bool) (*socket, error) {
	family, kind := unix.AF_INET, unix.SOCK_DGRAM
	if local.Is6() {
		family = unix.AF_INET6
	}
	if k.raw() {
		kind = unix.SOCK_RAW
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, kindOf[k].protocol)
	if err != nil {
		return nil, explainSocket(err, k, local)
	}
	if err := prepare(fd, k, local, joins); err != nil {
		unix.Close(fd)
		return nil, explainSocket(err, k, local)
	}
	d, err := watch(fd)
	if err != nil {
		return nil, explainSocket(err, k, local)
	}
	return &socket{d, kernelLink(fd), k}, nil
}

// prepare sets what must be there before the first packet, then binds. A port is shared only after it was found free: who shares
// it from the start would share with another of our programs, too.
func prepare(fd int, k kind, local netip.Addr, joins bool) error {
	for _, o := range options(k, local) {
		if err := o.set(fd); err != nil {
			return err
		}
	}
	share := option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, false}
	if joins && k.bulk() {
		if err := share.set(fd); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, address(local, kindOf[k].port)); err != nil {
		return err
	}
	switch {
	case k.deaf():
		return deafen(fd, local)
	case k.bulk():
		return share.set(fd)
	}
	return nil
}

// deafen keeps a raw socket from getting copies of what arrives: it is connected to ourselves, whence nothing comes,
// and a filter takes nothing. What is sent names its destination all the same.
func deafen(fd int, local netip.Addr) error {
	if err := filter(fd, []bpf.Instruction{bpf.RetConstant{}}); err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(fd, address(local, 0)))
}

// filter gives a socket a filter of what it takes, in place of the one it has.
func filter(fd int, program []bpf.Instruction) error {
	return attach(fd, unix.SO_ATTACH_FILTER, program)
}

func attach(fd, as int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	list := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		list[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	f := unix.SockFprog{Len: uint16(len(list)), Filter: &list[0]}
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, as, &f))
}

type option struct {
	level, name, value int
	optional           bool
}

func (o option) set(fd int) error {
	if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil && !o.optional {
		return os.NewSyscallError("setsockopt", err)
	}
	return nil
}

func options(k kind, local netip.Addr) []option {
	list := []option{
		{unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer, true},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer, true},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer, true}, // beyond rmem_max, with CAP_NET_ADMIN
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer, true},
	}
	if local.Is6() {
		list = append(list, options6(k)...)
	} else {
		list = append(list, options4(k)...)
	}
	if k.bulk() {
		list = append(list, option{unix.SOL_UDP, unix.UDP_GRO, 1, true})
	}
	return list
}

func options4(k kind) []option {
	discover := unix.IP_PMTUDISC_DO
	if k.deaf() {
		discover = unix.IP_PMTUDISC_DONT
	}
	return []option{
		{unix.SOL_IP, unix.IP_MTU_DISCOVER, discover, false},
		{unix.SOL_IP, unix.IP_RECVTOS, 1, false},
		{unix.SOL_IP, unix.IP_TTL, defaultTTL, false},
	}
}

func options6(k kind) []option {
	discover, whole := unix.IPV6_PMTUDISC_DO, 1
	if k.deaf() {
		discover, whole = unix.IPV6_PMTUDISC_DONT, 0
	}
	list := []option{
		{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1, true},
		{unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, discover, false},
		{unix.SOL_IPV6, unix.IPV6_DONTFRAG, whole, true},
		{unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1, false},
		{unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, defaultTTL, false},
	}
	if k == rawGRE || k == rawESP {
		// Without it a raw IPv6 socket does not even learn the path's MTU from ICMP.
		list = append(list, option{unix.SOL_IPV6, unix.IPV6_RECVERR, 1, false})
	}
	if k == cutUDP {
		list = append(list, option{unix.SOL_IPV6, unix.IPV6_CHECKSUM, udpChecksumAt, false}) // RFC 8200 section 8.1
	}
	return list
}

const udpChecksumAt = 6

func address(local netip.Addr, port int) unix.Sockaddr {
	if local.Is6() {
		return &unix.SockaddrInet6{Addr: local.As16(), Port: port}
	}
	return &unix.SockaddrInet4{Addr: local.As4(), Port: port}
}

func explainSocket(err error, k kind, local netip.Addr) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("open a socket for %s: not allowed: run as root or with CAP_NET_RAW: %w", kindOf[k].name, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("bind to %s: no interface has this address: %w", local, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("bind to %s port %d: another process has it: find it with `ss -ulpn`: %w", local, kindOf[k].port, err)
	}
	return fmt.Errorf("open a socket for %s on %s: %w", kindOf[k].name, local, err)
}
