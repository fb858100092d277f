package user

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/packet"
)

// Network control comes by the last queue of a TUN device and nothing else does; of the rest a flow keeps to its queue.
func TestControlHasAQueueOfItsOwn(t *testing.T) {
	needRoot(t)
	program, err := loadSteering(2)
	if err != nil {
		t.Skip("skipped: ", err)
	}
	defer unix.Close(program)
	w := newWorld(t, "a")
	w.enter("a", func() {
		d, err := openTUN("tun0", 3, false)
		if err == nil {
			err = d.steer(program)
		}
		if err != nil {
			t.Error(err)
			return
		}
		defer d.close()
		w.in("a", "ip addr add 10.0.0.1/24 dev tun0")
		w.in("a", "ip addr add 2001:db8::1/64 dev tun0 nodad")
		w.in("a", "ip link set tun0 up")
		for _, to := range []string{"10.0.0.2", "2001:db8::2"} {
			used := map[int]int{}
			for port := range 64 {
				first, again := d.queueOf(t, to, 0, port), d.queueOf(t, to, 0x20, port)
				if used[first]++; first == 2 || first != again {
					t.Errorf("%s port %d: queues %d and %d, the last is control's", to, port, first, again)
				}
				if q := d.queueOf(t, to, classControl|1, port); q != 2 {
					t.Errorf("%s port %d: control in queue %d", to, port, q)
				}
			}
			if used[0] < 8 || used[1] < 8 {
				t.Errorf("%s: flows are not spread: %v", to, used)
			}
		}
	})
}

// queueOf sends a datagram of a class into the device and finds the queue that it comes by.
func (d *tun) queueOf(t *testing.T, to string, class, port int) int {
	dst := netip.AddrPortFrom(netip.MustParseAddr(to), 1000)
	c, err := net.DialUDP("udp", &net.UDPAddr{Port: 40000 + port}, net.UDPAddrFromAddrPort(dst))
	if err != nil {
		t.Error(err)
		return -1
	}
	defer c.Close()
	raw, _ := c.SyscallConn()
	_ = raw.Control(func(fd uintptr) {
		if dst.Addr().Is4() {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TOS, class)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TCLASS, class)
		}
	})
	if _, err2 := c.Write([]byte("x")); err != nil || err2 != nil {
		t.Error(err, err2)
		return -1
	}
	for at := time.Now(); time.Since(at) < 10*time.Second; {
		for q, queue := range d.queues {
			b := make([]byte, vnetLen+maxFrame)
			n, e := read(queue.fd, b)
			if e != 0 {
				continue
			}
			if p, err := packet.ParseIP(b[vnetLen:n]); err == nil && p.Destination() == dst.Addr() {
				return q
			}
		}
	}
	return -1
}

// Control comes by the sockets that are its own, and only there; so it does not wait behind bulk, and is not dropped with it.
func TestControlHasSocketsOfItsOwn(t *testing.T) {
	needRoot(t)
	w := newWorld(t, "a")
	pl := w.plane("a", Options{Queues: 2})
	for _, local := range []string{"127.0.0.1", "::1"} {
		for e, kinds := range map[dataplane.Encapsulation][]kind{
			dataplane.GRE: {rawGRE}, dataplane.GREUDP: {udpGRE}, dataplane.ESP: {udpESP, rawESP},
		} {
			w.enter("a", func() {
				at := place{netip.MustParseAddr(local), e}
				x, err := openWire(pl.Plane, at, 2)
				if err != nil {
					t.Error(err)
					return
				}
				defer x.release()
				for _, k := range kinds {
					x.divides(t, k)
				}
			})
		}
	}
}

// A program that is being started has what we have open for a moment: a port must not seem taken for that. And one that
// another process has is not shared with it.
func TestSocketsBesideChildren(t *testing.T) {
	needRoot(t)
	w := newWorld(t, "a")
	pl := w.plane("a", Options{Queues: 2})
	var children sync.WaitGroup
	defer children.Wait()
	done := make(chan struct{})
	defer close(done)
	for range 4 {
		children.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					exec.Command("true").Run()
				}
			}
		})
	}
	w.enter("a", func() {
		for i := range 200 {
			at := place{netip.AddrFrom4([4]byte{127, 0, 1, byte(i)}), dataplane.GREUDP}
			x, err := openWire(pl.Plane, at, 2)
			if err != nil {
				t.Error(err)
				return
			}
			defer x.release()
			if _, err := openWire(pl.Plane, at, 2); err == nil || !strings.Contains(err.Error(), "another process has it") {
				t.Errorf("the port twice: %v", err)
				return
			}
		}
	})
}

// divides sends packets of both kinds and looks which sockets of a wire have them.
func (w *wire) divides(t *testing.T, k kind) {
	for _, class := range []uint8{0, classControl | 2, 0xb8} {
		if err := sendClass(w.at.local, k, class); err != nil {
			t.Errorf("%s: %v", kindOf[k].name, err)
			continue
		}
		want := class&0xfc == classControl
		if bulk, control := w.had(k); bulk == want || control != want {
			t.Errorf("%s at %s, class %#x: by bulk's sockets %t, by control's %t", kindOf[k].name, w.at.local, class, bulk, control)
		}
	}
}

// had waits for a packet at a kind's sockets, and then a moment for one that should not be there.
func (w *wire) had(k kind) (bulk, control bool) {
	mine := []*socket{w.through(k, w.sockets[0])}
	if !k.raw() {
		mine = w.sockets
	}
	for at := time.Now(); time.Since(at) < 10*time.Second && !bulk && !control; {
		for _, s := range mine {
			bulk = bulk || taken(s)
		}
		control = taken(w.control[k])
	}
	for _, s := range mine {
		bulk = bulk || taken(s)
	}
	return bulk, control || taken(w.control[k])
}

func taken(s *socket) bool {
	_, _, err := unix.Recvfrom(s.fd, make([]byte, 2048), unix.MSG_DONTWAIT)
	return err == nil
}

// sendClass sends one packet of a kind's protocol to an address of ours.
func sendClass(to netip.Addr, k kind, class uint8) error {
	family, level, name, typ := unix.AF_INET, unix.SOL_IP, unix.IP_TOS, unix.SOCK_DGRAM
	if to.Is6() {
		family, level, name = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_TCLASS
	}
	if k.raw() {
		typ = unix.SOCK_RAW
	}
	fd, err := unix.Socket(family, typ, kindOf[k].protocol)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, level, name, int(class)); err != nil {
		return err
	}
	return unix.Sendto(fd, make([]byte, 32), 0, address(to, kindOf[k].port))
}
