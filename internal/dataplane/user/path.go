package user

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
)

// pathMTU is what is known to fit on the way to a peer, outer header included; 0 when nothing is.
func (p *Plane) pathMTU(a *dataplane.Adjacency, out *dataplane.Outbound) int {
	mtu := 0
	if a.Peer != nil && a.HasPathMTU() {
		mtu = a.PathMTU(p.now())
	}
	if out == nil {
		return mtu
	}
	if found := out.PathMTU(); found > 0 && (mtu == 0 || found < mtu) {
		return found
	}
	return mtu
}

// exit is how packets leave for an adjacency: asked once for all that a frame is cut into.
type exit struct {
	*dataplane.Adjacency
	out  *dataplane.Outbound // nil: in clear
	to   netip.AddrPort
	mtu  int // of the path, as far as is known, outer header included; 0: not known
	room int // for an inner packet on that path
}

func (p *Plane) exit(t *dataplane.Tunnel, a *dataplane.Adjacency, out *dataplane.Outbound) exit {
	e := exit{Adjacency: a, out: out, to: toOf(t, a, out), mtu: p.pathMTU(a, out), room: maxFrame}
	if e.mtu > 0 && !t.FragmentOuter {
		e.room = innerRoom(t, e.to, out, e.mtu)
	}
	return e
}

// fits is how long an inner packet like this one may be.
func (e *exit) fits(inner []byte) int { return atLeast(e.room, inner) }

// toOf is where packets go: where the adjacency is, or where its SA's peer is. Raw GRE has no ports, whatever the
// adjacency has of a time when the tunnel was protected.
func toOf(t *dataplane.Tunnel, a *dataplane.Adjacency, out *dataplane.Outbound) netip.AddrPort {
	switch {
	case out != nil:
		return out.Remote
	case t.Encapsulation == dataplane.GRE && a.Endpoint.Port() != 0:
		return netip.AddrPortFrom(a.Endpoint.Addr(), 0)
	}
	return a.Endpoint
}

// innerRoom is the longest inner packet whose outer packet is no longer than mtu.
func innerRoom(t *dataplane.Tunnel, to netip.AddrPort, out *dataplane.Outbound, mtu int) int {
	room := mtu - outerHeader(to)
	if out != nil {
		room = out.Sealer.MaxPayload(room)
		if out.Tunnel {
			room -= ipHeader(out.Inner[0])
		}
	}
	return room - greHeader(t)
}

// outerHeader is the length of the headers that the kernel puts before a packet: an endpoint with a port has UDP.
func outerHeader(to netip.AddrPort) int {
	n := ipHeader(to.Addr())
	if to.Port() != 0 {
		n += udpHeader
	}
	return n
}

func ipHeader(a netip.Addr) int {
	if a.Is4() {
		return 20
	}
	return 40
}

func greHeader(t *dataplane.Tunnel) int {
	if t.Key.Set {
		return 8
	}
	return 4
}

const udpHeader = 8

// atLeast is fit, or what every link takes: a host that is told less than 1280 for IPv6 does not send less,
// RFC 8201 section 4, so one forged error would silence it. What is longer than the path all the same is cut outside,
// RFC 2473 section 7.1.
func atLeast(fit int, inner []byte) int {
	if inner[0]>>4 == 6 {
		return max(fit, everywhere6)
	}
	return max(fit, minMTU)
}

const minMTU = 68 // RFC 791 section 3.2

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
		return explainSocket(err, w.main(), w.at.local)
	}
	if err := unix.Bind(w.probe, local); err != nil {
		return explainSocket(err, w.main(), w.at.local)
	}
	return nil
}
