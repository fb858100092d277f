package user

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// wire is the sockets of one underlay address and encapsulation. All tunnels with that address share it, told
// apart by their key.
type wire struct {
	shared
	plane    *Plane
	at       place
	sockets  []*socket
	segments atomic.Bool // the kernel cuts and joins datagrams (UDP_SEGMENT)
	members  atomic.Pointer[[]member]
	bell     *bell
	running  sync.WaitGroup

	probing sync.Mutex // of the slow path that learns a path's MTU
	probe   int
}

// place is what a wire is known by.
type place struct {
	local         netip.Addr
	encapsulation dataplane.Encapsulation
}

// member is a tunnel on the wire; members are in order of name.
type member struct {
	key    dataplane.Key
	device *device
}

// link moves messages. Behind it is a socket, or a test.
type link interface {
	send([]mmsg) (int, unix.Errno)
	receive([]mmsg) (int, unix.Errno)
}

type socket struct {
	link link
	fd   int
	bell *bell
}

type kernelLink int

func (k kernelLink) send(m []mmsg) (int, unix.Errno)    { return sendmmsg(int(k), m) }
func (k kernelLink) receive(m []mmsg) (int, unix.Errno) { return recvmmsg(int(k), m) }

const (
	socketBuffer = 2 << 20
	defaultTTL   = 64
	sendPatience = 1000 // ms
)

// waitWritable waits for room in the socket's buffer; false when there is none for long, or the wire closes.
func (s *socket) waitWritable() bool {
	w := waiter{{Fd: int32(s.fd), Events: unix.POLLOUT}, {Fd: int32(s.bell.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(w[:], sendPatience)
	return (n > 0 || errors.Is(err, unix.EINTR)) && w[1].Revents == 0
}

// openWire opens sockets. Several share a UDP port, and the kernel gives each its part of the flows; raw sockets
// would each get everything, so there is one.
func openWire(p *Plane, at place, queues int) (*wire, error) {
	bell, err := newBell()
	if err != nil {
		return nil, err
	}
	w := &wire{plane: p, at: at, bell: bell, probe: -1}
	w.members.Store(&[]member{})
	w.open(func() { w.closeSockets() })
	w.segments.Store(at.encapsulation == dataplane.GREUDP)
	if at.encapsulation == dataplane.GRE {
		queues = 1
	}
	if err := w.openProbe(); err != nil {
		w.release()
		return nil, err
	}
	for range queues {
		fd, err := w.openSocket(queues > 1)
		if err != nil {
			w.release()
			return nil, err
		}
		w.sockets = append(w.sockets, &socket{kernelLink(fd), fd, bell})
	}
	return w, nil
}

func (w *wire) closeSockets() {
	for _, s := range w.sockets {
		unix.Close(s.fd)
	}
	if w.probe >= 0 {
		unix.Close(w.probe)
	}
	unix.Close(w.bell.fd)
}

func (w *wire) openSocket(reuse bool) (int, error) {
	family, kind, protocol := unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_GRE
	if w.at.local.Is6() {
		family = unix.AF_INET6
	}
	if w.at.encapsulation == dataplane.GREUDP {
		kind, protocol = unix.SOCK_DGRAM, unix.IPPROTO_UDP
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return 0, explainSocket(err, w.at)
	}
	if err := w.prepare(fd, reuse); err != nil {
		unix.Close(fd)
		return 0, explainSocket(err, w.at)
	}
	return fd, nil
}

// prepare sets what must be there before the first packet, then binds.
func (w *wire) prepare(fd int, reuse bool) error {
	for _, o := range w.options(reuse) {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil && !o.optional {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return unix.Bind(fd, w.address())
}

type option struct {
	level, name, value int
	optional           bool
}

func (w *wire) options(reuse bool) []option {
	list := []option{
		{unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer, true},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer, true},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer, true}, // beyond rmem_max, with CAP_NET_ADMIN
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer, true},
	}
	if w.at.local.Is6() {
		list = append(list,
			option{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1, true},
			option{unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO, false},
			option{unix.SOL_IPV6, unix.IPV6_DONTFRAG, 1, true},
			option{unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1, false},
			option{unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, defaultTTL, false})
	} else {
		list = append(list,
			option{unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, false},
			option{unix.SOL_IP, unix.IP_RECVTOS, 1, false},
			option{unix.SOL_IP, unix.IP_TTL, defaultTTL, false})
	}
	if w.at.local.Is6() && w.at.encapsulation == dataplane.GRE {
		// Without it a raw IPv6 socket does not even learn the path's MTU from ICMP.
		list = append(list, option{unix.SOL_IPV6, unix.IPV6_RECVERR, 1, false})
	}
	if w.at.encapsulation == dataplane.GREUDP {
		list = append(list, option{unix.SOL_UDP, unix.UDP_GRO, 1, true})
	}
	if reuse {
		list = append(list, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, false})
	}
	return list
}

func (w *wire) address() unix.Sockaddr {
	port := 0
	if w.at.encapsulation == dataplane.GREUDP {
		port = dataplane.UDPPort
	}
	if w.at.local.Is6() {
		return &unix.SockaddrInet6{Addr: w.at.local.As16(), Port: port}
	}
	return &unix.SockaddrInet4{Addr: w.at.local.As4(), Port: port}
}

func explainSocket(err error, at place) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("open a socket for GRE: not allowed: run as root or with CAP_NET_RAW: %w", err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("bind to %s: no interface has this address: %w", at.local, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("bind to %s port %d: another process has it: find it with `ss -ulpn`: %w", at.local, dataplane.UDPPort, err)
	}
	return fmt.Errorf("open a socket on %s: %w", at.local, err)
}

// putClass says with which traffic class and TTL a message leaves, where they are not the socket's own.
func (w *wire) putClass(c *control, class, ttl uint8) {
	if ttl == 0 {
		ttl = defaultTTL
	}
	if w.at.local.Is6() {
		if class != 0 {
			c.putInt(unix.SOL_IPV6, unix.IPV6_TCLASS, int32(class))
		}
		if ttl != defaultTTL {
			c.putInt(unix.SOL_IPV6, unix.IPV6_HOPLIMIT, int32(ttl))
		}
		return
	}
	if class != 0 {
		c.putInt(unix.SOL_IP, unix.IP_TOS, int32(class))
	}
	if ttl != defaultTTL {
		c.putInt(unix.SOL_IP, unix.IP_TTL, int32(ttl))
	}
}

// outerHeader is the length of the headers that the kernel adds.
func (w *wire) outerHeader() int {
	n := 20
	if w.at.local.Is6() {
		n = 40
	}
	if w.at.encapsulation == dataplane.GREUDP {
		n += 8
	}
	return n
}

// endpoint is e as the wire knows peers: raw sockets have no ports, and UDP's is the well-known one unless said.
func endpoint(e netip.AddrPort, encapsulation dataplane.Encapsulation) netip.AddrPort {
	switch {
	case encapsulation == dataplane.GRE:
		return netip.AddrPortFrom(e.Addr(), 0)
	case e.Port() == 0:
		return netip.AddrPortFrom(e.Addr(), dataplane.UDPPort)
	}
	return e
}

// pathMTU asks the kernel what fits on the way; 0 when it cannot say. A socket that is connected nowhere has no
// path, so another one is asked.
func (w *wire) pathMTU(to netip.AddrPort) int {
	w.probing.Lock()
	defer w.probing.Unlock()
	level, name := unix.SOL_IP, unix.IP_MTU
	var remote unix.Sockaddr
	if to.Addr().Is6() {
		level, name = unix.SOL_IPV6, unix.IPV6_MTU
		remote = &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: dataplane.UDPPort}
	} else {
		remote = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: dataplane.UDPPort}
	}
	if unix.Connect(w.probe, remote) != nil {
		return 0
	}
	mtu, err := unix.GetsockoptInt(w.probe, level, name)
	if err != nil {
		return 0
	}
	return mtu
}

// openProbe opens the socket that pathMTU asks. It sends nothing.
func (w *wire) openProbe() (err error) {
	family := unix.AF_INET
	var local unix.Sockaddr
	if w.at.local.Is6() {
		family, local = unix.AF_INET6, &unix.SockaddrInet6{Addr: w.at.local.As16()}
	} else {
		local = &unix.SockaddrInet4{Addr: w.at.local.As4()}
	}
	if w.probe, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return explainSocket(err, w.at)
	}
	if err := unix.Bind(w.probe, local); err != nil {
		return explainSocket(err, w.at)
	}
	return nil
}

// join makes a tunnel a member, or says whose the key is.
func (w *wire) join(key dataplane.Key, d *device) error {
	members := *w.members.Load()
	if i := slices.IndexFunc(members, func(m member) bool { return m.key == key }); i >= 0 {
		return fmt.Errorf("%s has this key on %s already: give one of them another key", members[i].device.name, w.at.local)
	}
	members = append(slices.Clone(members), member{key, d})
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.device.name, b.device.name) })
	w.members.Store(&members)
	return nil
}

// leave reports whether nobody is left.
func (w *wire) leave(d *device) bool {
	members := slices.DeleteFunc(slices.Clone(*w.members.Load()), func(m member) bool { return m.device == d })
	w.members.Store(&members)
	return len(members) == 0
}

// find is the tunnel with that key, nil when there is none.
func find(members []member, key dataplane.Key) *device {
	for i := range members {
		if members[i].key == key {
			return members[i].device
		}
	}
	return nil
}

func (w *wire) start() {
	for i := range w.sockets {
		r := newReceiver(w, i)
		w.running.Go(r.loop)
	}
}

func (w *wire) stop() {
	w.bell.ring()
	w.running.Wait()
	w.release()
}
