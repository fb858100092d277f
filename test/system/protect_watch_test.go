package system

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What must never be seen on an underlay link: the payload of every datagram of the traffic, and NHRP's password, which
// is in each NHRP message as it is.
const (
	payload  = "<no eye on the underlay sees this payload>"
	password = "nHrPpW7x"
)

// watch looks at every frame on every link of an underlay, and keeps what was in clear.
type watch struct {
	w       *world
	phase   atomic.Pointer[string]
	exempt  []net.HardwareAddr // hosts that are meant to send in clear, and what is sent to them
	only    atomic.Bool        // what they send, but not what is sent to them
	cleared atomic.Int64       // frames of theirs that were in clear
	ended   chan struct{}
	stop    atomic.Bool

	mu      sync.Mutex
	found   map[string]int
	samples map[string]string
	frames  map[string]int     // by what they are
	last    map[[8]byte][]byte // of ESP, by source and destination
}

// watch begins to look.
func (w *world) watch() *watch {
	w.t.Helper()
	v := &watch{w: w, ended: make(chan struct{}), found: map[string]int{}, samples: map[string]string{}, frames: map[string]int{}, last: map[[8]byte][]byte{}}
	v.enter("begin")
	var fd int
	(&host{w: w, name: "underlay", netns: w.name}).inside(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})))
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		}
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100000})
		}
		return err
	})
	go v.run(fd)
	w.t.Cleanup(func() { v.end() })
	return v
}

func (v *watch) run(fd int) {
	defer close(v.ended)
	defer unix.Close(fd)
	b := make([]byte, 1<<16)
	for !v.stop.Load() {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err == nil && n > 14 {
			v.see(b[:n])
		}
	}
	if s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil && s.Drops > 0 {
		v.w.t.Errorf("the capture lost %d frames: what it has not seen proves nothing", s.Drops)
	}
}

// end stops looking, once.
func (v *watch) end() {
	v.stop.Store(true)
	<-v.ended
}

func (v *watch) enter(phase string) { v.phase.Store(&phase) }

// see judges a frame.
func (v *watch) see(frame []byte) {
	kind, clear := classify(frame)
	if v.exempted(frame) {
		if clear != "" {
			v.cleared.Add(1)
		}
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames[kind]++
	if strings.HasPrefix(kind, "ESP") && frame[12] == 8 {
		v.last[[8]byte(frame[26:34])] = bytes.Clone(frame)
	}
	if clear == "" {
		return
	}
	key := *v.phase.Load() + ": " + clear
	if v.found[key]++; v.found[key] == 1 {
		v.samples[key] = hex.EncodeToString(frame[:min(len(frame), 120)])
	}
}

func (v *watch) exempted(frame []byte) bool {
	return slices.ContainsFunc(v.exempt, func(m net.HardwareAddr) bool {
		return bytes.Equal(frame[6:12], m) || !v.only.Load() && bytes.Equal(frame[:6], m)
	})
}

// forget begins anew, when what was in clear was meant to be.
func (v *watch) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.found)
}

// classify tells what a frame is, and what of it is in clear that must not be.
func classify(frame []byte) (kind, clear string) {
	at, protocol := 0, -1
	switch kind = "other"; binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		if len(frame) >= 34 {
			at, protocol = 14+int(frame[14]&15)*4, int(frame[23])
		}
	case 0x86dd:
		if len(frame) >= 54 {
			at, protocol = 54, int(frame[20])
		}
	}
	port := func(p uint16) bool {
		return len(frame) >= at+8 && (binary.BigEndian.Uint16(frame[at:]) == p || binary.BigEndian.Uint16(frame[at+2:]) == p)
	}
	switch {
	case protocol == unix.IPPROTO_ESP:
		kind = "ESP"
	case protocol == unix.IPPROTO_UDP && port(4500) && len(frame) >= at+12 && !bytes.Equal(frame[at+8:at+12], []byte{0, 0, 0, 0}):
		kind = "ESP in UDP"
	case protocol == unix.IPPROTO_UDP && (port(500) || port(4500)):
		kind = "IKE"
	case protocol == unix.IPPROTO_GRE:
		return "GRE", "GRE"
	case protocol == unix.IPPROTO_UDP && port(4754):
		return "GRE in UDP", "GRE in UDP"
	}
	switch {
	case bytes.Contains(frame, []byte(payload)):
		return kind, "payload"
	case bytes.Contains(frame, []byte(password)):
		return kind, "NHRP's password"
	case protocol >= 0 && kind == "other" && overlay(frame):
		return kind, "a packet between addresses of the overlay"
	}
	return kind, ""
}

var overlays = []netip.Prefix{netip.MustParsePrefix("10.100.0.0/16"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fd00::/16")}

// overlay reports whether an IP packet goes to an address of the overlay.
func overlay(frame []byte) bool {
	var to netip.Addr
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		to = netip.AddrFrom4([4]byte(frame[30:34]))
	case 0x86dd:
		to = netip.AddrFrom16([16]byte(frame[38:54]))
	}
	return slices.ContainsFunc(overlays, func(p netip.Prefix) bool { return p.Contains(to) })
}

// clear is what was seen in clear, in words, by phase.
func (v *watch) clear() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for k, n := range v.found {
		out = append(out, fmt.Sprintf("%s, %d frames, the first %s", k, n, v.samples[k]))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// seen is how many frames of a kind there were.
func (v *watch) seen(kind string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frames[kind]
}

// site is a host with a computer on its LAN, which is 192.168.N.9 and fd00:N::9.
type site struct {
	*daemon
	pc  *host
	got map[string]*atomic.Int64 // datagrams of the traffic that came to pc, by source
}

func (s *site) at() string  { return fmt.Sprintf("192.168.%d.9", s.number) }
func (s *site) at6() string { return fmt.Sprintf("fd00:%d::9", s.number) }

// site puts a computer onto the LAN of a host, and gives the host a default route by the underlay, to a router that is
// not there: what has no other way out is seen on the wire.
func (w *world) site(name, config string) *site {
	w.t.Helper()
	h := w.host(name)
	s := &site{daemon: h.daemon(config), pc: &host{w: w, name: name + "-pc", netns: h.netns + "-pc", number: h.number}, got: map[string]*atomic.Int64{}}
	w.must("ip", "netns", "add", s.pc.netns)
	w.t.Cleanup(func() { w.try("ip", "netns", "delete", s.pc.netns) })
	h.ip("link", "set", "lan-far", "netns", s.pc.netns)
	s.pc.ip("link", "set", "lan-far", "up")
	s.pc.ip("address", "add", s.at()+"/24", "dev", "lan-far")
	s.pc.ip("route", "add", "default", "via", s.lan())
	h.ip("address", "add", "fe80::1/64", "dev", "lan", "nodad") // who forwards asks for neighbours from there
	s.pc.ip("address", "add", s.at6()+"/64", "dev", "lan-far", "nodad")
	s.pc.ip("route", "add", "default", "via", fmt.Sprintf("fd00:%d::1", s.number))
	h.defaultRoute()
	h.must("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.promote_secondaries=1", "net.ipv4.conf.eth0.promote_secondaries=1",
		"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0")
	return s
}

func (h *host) defaultRoute() {
	h.w.t.Helper()
	for _, router := range []string{"10.9.0.254", "2001:db8:9::fe"} {
		h.ip("neigh", "replace", router, "lladdr", "02:00:00:00:00:fe", "dev", "eth0", "nud", "permanent")
		h.ip("route", "replace", "default", "via", router)
	}
}

const trafficPort = 7777

// traffic sends a datagram with the payload every few milliseconds from each host, and from the computer on its LAN, to
// each computer on another's LAN and to each tunnel address, of both families. It goes on whatever the kernel says about it.
func (w *world) traffic(sites ...*site) {
	w.t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	w.t.Cleanup(func() { close(done); all.Wait() })
	for _, s := range sites {
		for _, o := range sites {
			s.got[o.at()], s.got[o.at6()] = &atomic.Int64{}, &atomic.Int64{}
		}
		for _, at := range []string{s.at(), s.at6()} {
			s.hears(at)
		}
		to := map[string][]netip.AddrPort{}
		for _, o := range sites {
			if o != s {
				to["udp4"] = append(to["udp4"], toPort(o.at()), toPort(fmt.Sprintf("10.100.0.%d", o.number)))
				to["udp6"] = append(to["udp6"], toPort(o.at6()), toPort(fmt.Sprintf("fd00:100::%d", o.number)))
			}
		}
		for _, from := range []*host{s.pc, s.host} {
			for family := range to {
				c := from.datagrams(family, netip.AddrPort{})
				all.Add(1)
				go func() {
					defer all.Done()
					defer c.Close()
					send(c, to[family], done)
				}()
			}
		}
	}
}

func toPort(a string) netip.AddrPort { return netip.AddrPortFrom(addr(a), trafficPort) }

// hears counts the traffic that comes to an address of the site's computer.
func (s *site) hears(at string) {
	s.w.t.Helper()
	family := "udp4"
	if addr(at).Is6() {
		family = "udp6"
	}
	listener := s.pc.datagrams(family, toPort(at))
	s.w.t.Cleanup(func() { listener.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := listener.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if c := s.got[from.Addr().Unmap().String()]; c != nil && bytes.Contains(b[:n], []byte(payload)) {
				c.Add(1)
			}
		}
	}()
}

func send(c *net.UDPConn, to []netip.AddrPort, done chan struct{}) {
	b := []byte(payload + " and some more of it, so that there is something to see")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, a := range to {
			c.WriteToUDPAddrPort(b, a)
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// datagrams is a socket on a host.
func (h *host) datagrams(family string, at netip.AddrPort) (c *net.UDPConn) {
	h.w.t.Helper()
	h.inside(func() (err error) {
		var local *net.UDPAddr
		if at.IsValid() {
			local = net.UDPAddrFromAddrPort(at)
		}
		c, err = net.ListenUDP(family, local)
		return err
	})
	return c
}

// arrives waits until traffic of one site, of both families, reaches another's computer again.
func (s *site) arrives(from *site) {
	s.w.t.Helper()
	for _, at := range []string{from.at(), from.at6()} {
		c := s.got[at]
		before := c.Load()
		s.w.within(30*time.Second, "traffic from "+at+" arrives at "+s.name, func() error {
			if c.Load() < before+3 {
				return fmt.Errorf("%d datagrams", c.Load()-before)
			}
			return nil
		})
	}
}

// guarded demands that the kernel drops what is for the overlay when there is no tunnel.
func (s *site) guarded() {
	s.w.t.Helper()
	s.w.within(10*time.Second, s.name+" has its guards", func() error {
		out := s.ip("route", "show", "type", "blackhole") + s.ip("-6", "route", "show", "type", "blackhole")
		for _, p := range []string{"10.100.0.0/24", "192.168.", "fd00:100::/64", "fd00::/16"} {
			if !strings.Contains(out, p) {
				return fmt.Errorf("none for %s:\n%s", p, out)
			}
		}
		return nil
	})
}

func macOf(t *testing.T, h *host) net.HardwareAddr {
	t.Helper()
	m, err := net.ParseMAC(h.mac)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
