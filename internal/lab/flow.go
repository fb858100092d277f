package lab

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/scenario"
)

// newFlows opens an echo service on the node that has the address, and flows to it. end closes the service.
func (w *world) newFlows(from *node, p scenario.Ping) (flows []echoer, end func(), err error) {
	to := w.owner(p.To)
	if to == nil {
		return nil, nil, fmt.Errorf("no node has the address %s: %s needs one that answers", p.To, p.Protocol)
	}
	open := w.udpFlows
	if p.Protocol == scenario.TCP {
		open = w.tcpFlows
	}
	return open(from, to, p)
}

// owner is the node with an address on one of its interfaces.
func (w *world) owner(a netip.Addr) *node {
	for _, n := range w.nodes {
		for _, has := range n.Addresses() {
			if has == a {
				return n
			}
		}
	}
	return nil
}

// flowBuffer holds what comes while nobody reads, in octets.
const flowBuffer = 1 << 20

// udpFlow is a UDP socket of its own, so that its packets take one path.
type udpFlow struct{ conn *net.UDPConn }

func (w *world) udpFlows(from, to *node, p scenario.Ping) ([]echoer, func(), error) {
	var service *net.UDPConn
	err := to.do(func() (err error) {
		service, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.To, 0)))
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("UDP echo on %s: %w", to.Name, err)
	}
	service.SetReadBuffer(flowBuffer)
	go echoUDP(service)
	end := func() { service.Close() }
	var flows []echoer
	for range p.Flows {
		f := udpFlow{}
		err := from.do(func() (err error) {
			f.conn, err = net.DialUDP("udp", nil, service.LocalAddr().(*net.UDPAddr))
			return err
		})
		if err != nil {
			closeAll(flows)
			end()
			return nil, nil, fmt.Errorf("UDP from %s to %s: %w", from.Name, p.To, err)
		}
		f.conn.SetReadBuffer(flowBuffer)
		flows = append(flows, f)
	}
	return flows, end, nil
}

func closeAll(flows []echoer) {
	for _, f := range flows {
		f.close()
	}
}

// echoUDP sends everything back until its socket is closed.
func echoUDP(service *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := service.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			service.WriteToUDPAddrPort(buf[:n], from)
		}
	}
}

func (f udpFlow) send(number uint32, size int) error {
	_, err := f.conn.Write(record(number, size))
	return err
}

func record(number uint32, size int) []byte {
	b := make([]byte, max(size, minPayload))
	binary.BigEndian.PutUint32(b, number)
	return b
}

// receive reads an answer. An ICMP error about an earlier request comes as an error of the socket.
func (f udpFlow) receive(buf []byte) (answer, error) {
	n, err := f.conn.Read(buf)
	if err != nil || n < minPayload {
		return answer{}, cmp.Or(err, io.ErrShortBuffer)
	}
	return answer{reply: true, number: binary.BigEndian.Uint32(buf)}, nil
}

func (f udpFlow) close() { f.conn.Close() }

// tcpFlow is a connection over which records of one size go there and back.
type tcpFlow struct {
	conn net.Conn
	size int
}

// dialTimeout is how long a connection may take to be made.
const dialTimeout = 5 * time.Second

func (w *world) tcpFlows(from, to *node, p scenario.Ping) ([]echoer, func(), error) {
	var service net.Listener
	err := to.do(func() (err error) {
		service, err = net.Listen("tcp", netip.AddrPortFrom(p.To, 0).String())
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("TCP echo on %s: %w", to.Name, err)
	}
	go echoTCP(service)
	port := service.Addr().(*net.TCPAddr).Port
	conn, err := from.dial(net.JoinHostPort(p.To.String(), strconv.Itoa(port)))
	if err != nil {
		service.Close()
		return nil, nil, fmt.Errorf("TCP from %s to %s: %w", from.Name, p.To, err)
	}
	return []echoer{&tcpFlow{conn, max(p.Size, minPayload)}}, func() { service.Close() }, nil
}

// dial makes a socket inside the namespace, and connects it from outside: nothing else waits meanwhile.
func (s *space) dial(to string) (net.Conn, error) {
	var fd int
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	family, sa := sockaddr(addr)
	err = s.do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), to)
	defer f.Close() // FileConn has its own
	limit := unix.NsecToTimeval(dialTimeout.Nanoseconds())
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit), unix.Connect(fd, sa))
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func sockaddr(a netip.AddrPort) (int, unix.Sockaddr) {
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// echoTCP sends everything back on the one connection it takes.
func echoTCP(service net.Listener) {
	conn, err := service.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	io.Copy(conn, conn)
}

func (f *tcpFlow) send(number uint32, _ int) error {
	f.conn.SetWriteDeadline(time.Now().Add(dialTimeout))
	_, err := f.conn.Write(record(number, f.size))
	return err
}

func (f *tcpFlow) receive(buf []byte) (answer, error) {
	if _, err := io.ReadFull(f.conn, buf[:f.size]); err != nil {
		return answer{}, fmt.Errorf("%w: %w", io.EOF, err)
	}
	return answer{reply: true, number: binary.BigEndian.Uint32(buf)}, nil
}

func (f *tcpFlow) close() { f.conn.Close() }
