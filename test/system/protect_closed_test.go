package system

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// protectedConfig is a router of a protected cloud whose keys change often. more goes into the profile.
func protectedConfig(number int, psk, more string) string {
	servers, routes := "", ""
	if number > 1 {
		servers = ", servers: [{nbma: 10.9.0.1}]"
		routes = "  - {to: 192.168.0.0/16, via: 10.100.0.1}\n  - {to: \"fd00::/16\", via: \"fd00:100::1\"}\n"
	}
	for n := 2; n <= 3 && number == 1; n++ {
		routes += fmt.Sprintf("  - {to: 192.168.%[1]d.0/24, via: 10.100.0.%[1]d}\n  - {to: \"fd00:%[1]d::/64\", via: \"fd00:100::%[1]d\"}\n", n)
	}
	return fmt.Sprintf(`version: 1
node: r%d
tunnels:
  tun0: {underlay: eth0, address: [10.100.0.%[1]d/24, "fd00:100::%[1]d/64"], key: 42, protect: corp, nhrp: {network-id: 1, authentication: %s, holdtime: 9s%s}}
profiles:
  corp: {psk: %s, esp-lifetime: 10s, esp-packets: 2000, ike-lifetime: 10s, dpd: 2s%s}
routes:
`, number, password, servers, psk, more) + routes
}

// byIPv6 has the underlay be IPv6.
func byIPv6(config string) string {
	return strings.NewReplacer("nbma: 10.9.0.1", `nbma: "2001:db8:9::1"`, "underlay: eth0", "underlay: eth0, underlay-family: ipv6").Replace(config)
}

const goodPSK = "the right key of these tests"

func unprotected(config string) string {
	config = strings.Replace(config, "protect: corp, ", "", 1)
	from, to := strings.Index(config, "profiles:"), strings.Index(config, "routes:")
	return config[:from] + config[to:]
}

// closed is a cloud whose underlay is watched.
type closed struct {
	*world
	watch     *watch
	hub, a, b *site
}

func closedCloud(t *testing.T, change func(string) string) *closed {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	c := &closed{world: w, watch: w.watch()}
	all := []**site{&c.hub, &c.a, &c.b}
	for i, name := range []string{"hub", "one", "two"} {
		*all[i] = w.site(name, change(protectedConfig(i+1, goodPSK, "")))
	}
	return c
}

// phase runs one act under traffic, and tells what was in clear during it.
func (c *closed) phase(name string, act func()) {
	c.t.Helper()
	c.watch.enter(name)
	begin := time.Now()
	act()
	c.t.Logf("%-55s %v", name, time.Since(begin).Round(10*time.Millisecond))
	if clear := c.watch.clear(); clear != "" {
		c.t.Fatalf("in clear on the underlay:\n%s", clear)
	}
}

// flows waits until traffic of both families arrives again.
func (c *closed) flows() {
	c.t.Helper()
	c.b.arrives(c.a)
	c.a.arrives(c.b)
	c.hub.arrives(c.a)
}

// changed gives each site another configuration, at once.
func (c *closed) changed(change func(string) string) {
	c.t.Helper()
	for i, s := range []*site{c.hub, c.a, c.b} {
		s.hangup(change(protectedConfig(i+1, goodPSK, "")))
	}
}

// Through everything that can happen to a router, its peers, their keys and its host, nothing that is meant for a
// protected tunnel crosses an underlay link in clear: no GRE, no NHRP, no octet of payload.
func TestNothingInClear(t *testing.T) {
	c := closedCloud(t, func(s string) string { return s })
	hub, a, b := c.hub, c.a, c.b
	evil := c.host("evil")
	c.watch.exempt = append(c.watch.exempt, macOf(t, evil))

	c.phase("before the first SA: there is no hub", func() {
		for _, s := range []*site{a, b} {
			s.start()
			s.guarded()
		}
		c.traffic(hub2(hub), a, b)
		time.Sleep(500 * time.Millisecond)
	})
	c.phase("establishment", func() {
		hub.start()
		c.flows()
	})
	c.phase("a shortcut is built", func() {
		c.within(20*time.Second, "there is a shortcut, by an SA", func() error {
			for _, s := range rowsOf[nhrp.ShortcutRow](a.daemon, "shortcuts") {
				if s.Type == "dynamic" && strings.HasPrefix(s.NBMA, b.nbma()) {
					return nil
				}
			}
			return fmt.Errorf("%s", a.cli("show", "shortcuts"))
		})
	})
	c.phase("intruders", func() { c.intrude(evil) })
	c.phase("a wrong key on reload", func() {
		a.hangup(protectedConfig(2, "another key than theirs", ""))
		c.within(10*time.Second, "the hub refuses it", func() error {
			if a.unregistered() {
				return nil
			}
			return fmt.Errorf("still registered")
		})
		time.Sleep(500 * time.Millisecond)
		a.hangup(protectedConfig(2, goodPSK, ""))
		c.flows()
	})
	c.phase("the profile is removed: refused, and nothing changes", func() {
		config := protectedConfig(2, goodPSK, "")
		from, to := strings.Index(config, "profiles:"), strings.Index(config, "routes:")
		a.configure(config[:from] + config[to:])
		if r := a.cli("reload"); r.code == 0 {
			t.Errorf("a tunnel whose profile is gone was taken: %v", r)
		}
		c.flows()
	})
	c.phase("the profile is changed to another suite", func() {
		a.hangup(protectedConfig(2, goodPSK, ", esp: aes256-sha256"))
		time.Sleep(300 * time.Millisecond)
		a.hangup(protectedConfig(2, goodPSK, ""))
		c.flows()
	})
	c.phase("the hub is killed", func() {
		hub.kill()
		time.Sleep(time.Second)
		hub.start()
		c.flows()
	})
	c.phase("a spoke is killed, its hosts go on", func() {
		a.kill()
		a.guarded()
		time.Sleep(time.Second)
		a.start()
		c.flows()
	})
	c.phase("a spoke is stopped, its hosts go on", func() {
		a.stop()
		a.guarded()
		time.Sleep(500 * time.Millisecond)
		a.start()
		c.flows()
	})
	c.phase("a peer dies without a word", func() {
		b.process.Process.Signal(syscall.SIGSTOP)
		time.Sleep(4 * time.Second)
		b.process.Process.Signal(syscall.SIGCONT)
		c.flows()
	})
	c.phase("the underlay address changes", func() {
		a.ip("address", "add", "10.9.0.77/24", "dev", "eth0")
		a.ip("address", "delete", a.nbma()+"/24", "dev", "eth0")
		a.defaultRoute()
		c.flows()
		a.ip("address", "add", a.nbma()+"/24", "dev", "eth0")
		a.ip("address", "delete", "10.9.0.77/24", "dev", "eth0")
		a.defaultRoute()
		c.flows()
	})
	c.phase("the tunnel's device is deleted", func() {
		a.ip("link", "delete", "tun0")
		c.flows()
	})
	c.phase("a reload takes the tunnel away, and gives it back", func() {
		a.hangup("version: 1\nnode: r2\nroutes:\n  - {to: 192.168.0.0/16, blackhole: true}\n  - {to: 10.100.0.0/24, blackhole: true}\n  - {to: \"fd00::/16\", blackhole: true}\n")
		time.Sleep(500 * time.Millisecond)
		a.hangup(protectedConfig(2, goodPSK, ""))
		c.flows()
	})
	c.phase("keys change, also those of IKE", func() {
		c.rekeys(a)
		c.flows()
	})
	if c.watch.seen("IKE") == 0 || c.watch.seen("ESP")+c.watch.seen("ESP in UDP") == 0 {
		t.Errorf("the capture has seen no protection: %v", c.watch.frames)
	}
}

// The same where the underlay is IPv6, and where a hub that died without a word is found out.
func TestNothingInClearByIPv6(t *testing.T) {
	c := closedCloud(t, byIPv6)
	hub, a, b := c.hub, c.a, c.b
	c.phase("before the first SA: there is no hub", func() {
		for _, s := range []*site{a, b} {
			s.start()
			s.guarded()
		}
		c.traffic(hub2(hub), a, b)
		time.Sleep(300 * time.Millisecond)
	})
	c.phase("establishment", func() {
		hub.start()
		c.flows()
	})
	c.phase("the hub is killed, and found dead", func() {
		lost := strings.Count(a.log(), "event=ike.down")
		hub.kill()
		c.within(30*time.Second, "its SA is given up", func() error {
			if strings.Count(a.log(), "event=ike.down") == lost {
				return fmt.Errorf("not in the log")
			}
			return nil
		})
		time.Sleep(300 * time.Millisecond)
		hub.start()
		c.flows()
	})
	c.phase("a spoke is killed, its hosts go on", func() {
		a.kill()
		a.guarded()
		time.Sleep(300 * time.Millisecond)
		a.start()
		c.flows()
	})
	if c.watch.seen("IKE") == 0 || c.watch.seen("ESP")+c.watch.seen("ESP in UDP") == 0 || c.watch.seen("IPv4") > 0 {
		t.Errorf("the capture has seen %v", c.watch.frames)
	}
}

// A cloud in clear that gets protection has nothing in clear from then on. A router that goes back alone is heard by
// nobody, and nobody sends it anything in clear.
func TestProtectionComesAndGoes(t *testing.T) {
	c := closedCloud(t, unprotected)
	for _, s := range []*site{c.hub, c.a, c.b} {
		s.start()
	}
	c.traffic(c.hub, c.a, c.b)
	c.flows()
	c.changed(func(s string) string { return s })
	c.flows()
	c.watch.forget()
	c.phase("protected", func() {
		time.Sleep(500 * time.Millisecond)
		c.flows()
	})
	c.watch.exempt = []net.HardwareAddr{macOf(t, c.a.host)}
	c.phase("one goes back", func() {
		c.watch.only.Store(true)
		c.a.hangup(unprotected(protectedConfig(2, goodPSK, "")))
		time.Sleep(time.Second) // what was on its way
		before := c.b.got[c.a.at()].Load()
		time.Sleep(time.Second)
		if n := c.b.got[c.a.at()].Load() - before; n > 0 {
			t.Errorf("%d datagrams that came in clear were let in", n)
		}
		if c.watch.cleared.Load() == 0 {
			t.Error("the one in clear sends nothing: this shows nothing")
		}
	})
	c.phase("and comes again", func() {
		c.a.hangup(protectedConfig(2, goodPSK, ""))
		c.flows()
	})
}

// hub2 is a site whose daemon does not run: its traffic begins as soon as it has a route that is no default route, since a
// host on which no daemon has ever run has no guards either.
func hub2(s *site) *site {
	for _, p := range []string{"10.100.0.0/24", "192.168.0.0/16", "fd00::/16"} {
		s.ip("route", "add", "blackhole", p, "metric", "5000")
	}
	return s
}

// rekeys waits until the SAs between a spoke and the hub have other keys by their own lifetimes, with none lost on the way.
func (c *closed) rekeys(s *site) {
	c.t.Helper()
	before, lost := keyChanges(s, c.hub), strings.Count(s.log(), "event=ike.down")
	c.within(30*time.Second, "the keys change", func() error {
		now := keyChanges(s, c.hub)
		if now["rekeyed"] < before["rekeyed"]+2 || now["rekeyed-ike"] == before["rekeyed-ike"] {
			return fmt.Errorf("%v", now)
		}
		return nil
	})
	if now := strings.Count(s.log(), "event=ike.down"); now != lost {
		c.t.Errorf("%d SAs were lost with their keys", now-lost)
	}
}

// keyChanges counts the changes of keys that routers began.
func keyChanges(sites ...*site) map[string]uint64 {
	sum := map[string]uint64{}
	for _, s := range sites {
		for k, n := range s.counters() {
			if strings.Contains(k, "rekey") {
				sum[k] += n
			}
		}
	}
	return sum
}

func (d *daemon) unregistered() bool {
	for _, p := range d.peers() {
		if p.Role == "hub" && p.State == "up" {
			return false
		}
	}
	return true
}

// intrude sends what must not be accepted: GRE and NHRP in clear, from a stranger's address and from a spoke's; a packet of
// a spoke's SA again, whole and changed, from its address and from another's.
func (c *closed) intrude(evil *host) {
	t, hub, a := c.t, c.hub, c.a
	out := evil.injector()
	me, spoke, to := addr(evil.nbma()), addr(a.nbma()), addr(hub.nbma())
	const mark = "<an intruder>"
	l := hub.pc.datagrams("udp4", netip.AddrPortFrom(addr(hub.at()), 7778))
	defer l.Close()
	inner := udp4(addr("192.168.2.9"), addr(hub.at()), 7778, mark)
	claims := map[netip.Addr][]byte{}
	for _, from := range []netip.Addr{me, spoke} {
		request := registration(from, addr("10.100.0.200"), 7, password)
		claims[from] = request.Append(nil)
	}
	c.watch.mu.Lock()
	frame := c.watch.last[[8]byte(append(spoke.AsSlice(), to.AsSlice()...))]
	c.watch.mu.Unlock()
	if frame == nil {
		t.Fatal("no ESP packet of a spoke was seen")
	}
	before := hub.counters()
	for n := range 50 {
		for _, from := range []netip.Addr{me, spoke} {
			out.send(from, to, withKey(42, 0x0800, inner))
			out.send(from, to, withKey(42, nhrpType, claims[from]))
			for _, b := range forgeries(frame, uint32(1000+n), withKey(42, 0x0800, inner)) {
				out.packet(from, to, b, func(h []byte) { h[9] = frame[23] })
			}
		}
	}
	l.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if n, from, err := l.ReadFromUDPAddrPort(make([]byte, 100)); err == nil {
		t.Errorf("the hub let %d octets of an intruder through, as from %v", n, from)
	}
	if r := hub.cli("show", "nhrp", "10.100.0.200"); r.code != 4 {
		t.Errorf("the hub took a registration in clear: %v", r)
	}
	t.Logf("counted: %v", increased(before, hub.counters()))
}

// forgeries are a packet of ESP once more, with a higher sequence number, and with a packet in clear in place of what is
// encrypted: what follows the IP header.
func forgeries(frame []byte, ahead uint32, clear []byte) [][]byte {
	again := bytes.Clone(frame[34:])
	at := 0
	if frame[23] == unix.IPPROTO_UDP {
		at = 8
		copy(again[6:], []byte{0, 0}) // no checksum: the address changes
	}
	later := bytes.Clone(again)
	binary.BigEndian.PutUint32(later[at+4:], binary.BigEndian.Uint32(later[at+4:])+ahead)
	bare := append(bytes.Clone(again[:at+8]), clear...)
	if at > 0 {
		binary.BigEndian.PutUint16(bare[4:], uint16(len(bare)))
	}
	return [][]byte{again, later, bare}
}

// increased is what was counted in between.
func increased(before, after map[string]uint64) map[string]uint64 {
	d := map[string]uint64{}
	for k, n := range after {
		if n > before[k] && strings.Contains(k, "dropped") {
			d[k] = n - before[k]
		}
	}
	return d
}

// udp4 is a datagram in an IPv4 packet.
func udp4(from, to netip.Addr, port uint16, text string) []byte {
	n := 28 + len(text)
	b := make([]byte, 28, n)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	binary.BigEndian.PutUint16(b[20:], port)
	binary.BigEndian.PutUint16(b[22:], port)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(text)))
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	return append(b, text...)
}

// The watch of [TestNothingInClear] can fail: of the same cloud without protection it finds everything.
func TestWatchFindsClear(t *testing.T) {
	c := closedCloud(t, unprotected)
	for _, s := range []*site{c.hub, c.a, c.b} {
		s.start()
	}
	c.traffic(c.hub, c.a, c.b)
	c.flows()
	c.watch.enter("in clear")
	c.within(10*time.Second, "GRE is seen, with payload", func() error {
		if c.watch.seen("GRE") == 0 || !strings.Contains(c.watch.clear(), "in clear: GRE") {
			return fmt.Errorf("%v", c.watch.frames)
		}
		return nil
	})
	for _, s := range []*site{c.a, c.b} {
		s.kill() // no guards: what was for the tunnel goes by the default route
	}
	c.watch.enter("killed")
	c.within(10*time.Second, "payload is seen", func() error {
		if !strings.Contains(c.watch.clear(), "killed: payload") {
			return fmt.Errorf("%s", c.watch.clear())
		}
		return nil
	})
}

// One packet in clear among all that crosses the underlay is found, of either family.
func TestWatchFindsOnePacket(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	v := w.watch()
	a, b := w.host("one"), w.host("two")
	a.injector().send(addr(a.nbma()), addr(b.nbma()), withKey(42, 0x0800, udp4(addr("192.168.1.9"), addr("192.168.2.9"), 7, "x")))
	c := a.datagrams("udp6", netip.AddrPort{})
	defer c.Close()
	c.WriteToUDPAddrPort([]byte(payload), netip.MustParseAddrPort("[2001:db8:9::2]:7777"))
	w.within(5*time.Second, "both are seen, at both ends of the bridge", func() error {
		if !strings.Contains(v.clear(), "begin: GRE, 2 frames") || !strings.Contains(v.clear(), "begin: payload, ") {
			return fmt.Errorf("%v\n%s", v.frames, v.clear())
		}
		return nil
	})
}

// Each thing that must not be seen is found in a frame, and what is right is not.
func TestClassify(t *testing.T) {
	ip := func(protocol byte, rest string) []byte {
		b := make([]byte, 34, 100)
		b[12], b[14], b[23] = 8, 0x45, protocol
		copy(b[26:], []byte{10, 9, 0, 2, 10, 9, 0, 1})
		return append(b, rest...)
	}
	for _, tt := range []struct {
		name, kind, clear string
		frame             []byte
	}{
		{"ESP", "ESP", "", ip(50, "........")},
		{"ESP with payload in it", "ESP", "payload", ip(50, "........"+payload)},
		{"IKE", "IKE", "", ip(17, "\x01\xf4\x01\xf4\x00\x20\x00\x00...")},
		{"IKE on 4500", "IKE", "", ip(17, "\x11\x94\x11\x94\x00\x20\x00\x00\x00\x00\x00\x00...")},
		{"ESP in UDP", "ESP in UDP", "", ip(17, "\x11\x94\x11\x94\x00\x20\x00\x00\x01\x00\x00\x00...")},
		{"GRE", "GRE", "GRE", ip(47, "")},
		{"GRE in UDP", "GRE in UDP", "GRE in UDP", ip(17, "\x12\x92\x12\x92\x00\x20\x00\x00")},
		{"an error that quotes", "other", "payload", ip(1, "...."+payload)},
		{"NHRP somewhere", "other", "NHRP's password", ip(1, "...."+password)},
		{"another's", "other", "", ip(1, "....")},
		{"overlay", "other", "a packet between addresses of the overlay", append(ip(1, "")[:30], 192, 168, 3, 9)},
		{"cut short", "other", "", ip(17, "")[:20]},
	} {
		if kind, clear := classify(tt.frame); kind != tt.kind || clear != tt.clear {
			t.Errorf("%s: %q, %q in clear; want %q, %q", tt.name, kind, clear, tt.kind, tt.clear)
		}
	}
}
