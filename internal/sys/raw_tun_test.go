package sys

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/packet"
)

// tun is a tunnel's device as the data plane has it, with the addresses.
func tun(t *testing.T, name string, addrs ...string) *os.File {
	t.Helper()
	needNamespace(t)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("needs /dev/net/tun: ", err)
	}
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	ip(t, "link", "set", name, "up")
	for _, a := range addrs {
		if strings.Contains(a, ":") {
			ip(t, "addr", "add", a, "dev", name, "nodad")
			continue
		}
		ip(t, "addr", "add", a, "dev", name)
	}
	return f
}

// outOf waits for a packet of protocol 89 with this payload to come out of the device.
func outOf(t *testing.T, f *os.File, text string) packet.IP {
	t.Helper()
	_ = f.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 2000)
	for {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if bytes.HasSuffix(b[:n], []byte(text)) {
			p, err := packet.ParseIP(bytes.Clone(b[:n]))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
}

// On a tunnel whose address has no prefix there is no route to a neighbour on the link but what NHRP installs, and that may
// lead elsewhere. Packets go into the tunnel all the same, where the data plane knows the way.
func TestRawSocketsOnATunnel(t *testing.T) {
	for _, c := range []struct{ name, address, via string }{
		{"rawt0", "10.255.0.1/24", ""}, {"rawt1", "10.255.0.1/32", ""}, {"rawt2", "10.255.0.1/32", "rawa4"}, {"rawt3", "10.255.0.1/24", "rawa4"},
	} {
		t.Run(c.address+" "+c.via, func(t *testing.T) {
			f := tun(t, c.name, c.address, "fe80::1/64")
			if c.via != "" {
				pair(t, c.via, "rawb4", "198.51.100.1/24")
				ip(t, "route", "add", "10.255.0.2/32", "via", "198.51.100.2", "dev", c.via)
			}
			h := start(t, "")
			h.Do(rawListen(c.name, false, "224.0.0.5"))
			h.Do(rawListen(c.name, true, "ff02::5"))
			for _, way := range [][2]string{{"10.255.0.1", "224.0.0.5"}, {"10.255.0.1", "10.255.0.2"}, {"fe80::1", "ff02::5"}, {"fe80::1", "fe80::2"}} {
				h.Do(rawSend(c.name, way[0], way[1], "to "+way[1]))
				p := outOf(t, f, "to "+way[1])
				if p.Source() != addr(way[0]) || p.Destination() != addr(way[1]) || p.TTL() != 1 || p.Class() != 0xc0 {
					t.Errorf("%v > %v, TTL %d, class %02x", p.Source(), p.Destination(), p.TTL(), p.Class())
				}
				repeat(t, func() { // the kernel has an address some time before it takes packets for it
					into(t, f, netip.MustParseAddr(reverse(way[0])), reply(way[1], way[0]), "from "+way[1])
				}, func() bool { return h.heard("from " + way[1]) })
			}
		})
	}
}

// reverse is the neighbour's address of one of ours.
func reverse(ours string) string { return ours[:len(ours)-1] + "2" }

// reply is where the neighbour sends to: the same group, or us.
func reply(to, ours string) netip.Addr {
	if a := addr(to); a.IsMulticast() {
		return a
	}
	return addr(ours)
}

func into(t *testing.T, f *os.File, from, to netip.Addr, text string) {
	t.Helper()
	b := packet.AppendIP(nil, packet.Header{Source: from, Destination: to, Class: 0xc0, TTL: 1, Protocol: 89}, len(text))
	if _, err := f.Write(append(b, text...)); err != nil {
		t.Fatal(err)
	}
}
