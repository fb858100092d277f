package system

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

const nhrpType = nhrp.EtherType

// memory is what a daemon holds resident, in MiB.
func (d *daemon) memory() int {
	d.w.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.process.Process.Pid))
	if err != nil {
		d.w.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib >> 10
		}
	}
	d.w.t.Fatal("no VmRSS")
	return 0
}

// registration is a request that a hub would take, but for the password.
func registration(nbma, protocol netip.Addr, id uint32, password string) nhrp.Packet {
	p := nhrp.Packet{
		Type: nhrp.RegistrationRequest, HopCount: 255, RequestID: id, SourceNBMA: nbma, Source: protocol, Destination: addr("10.100.0.1"),
		CIEs: []nhrp.CIE{{PrefixLength: 32, HoldingTime: 60, MTU: 1400}},
	}
	if password != "" {
		p.Extensions = []nhrp.Extension{nhrp.AuthenticationExtension(password)}
	}
	return p
}

// attack is one way to be hostile, and the counters that tell of it.
type attack struct {
	name   string
	send   func(n int)
	count  int
	expect []string
}

// A hub that is thrown everything at, on a wire that lets it through, stays up, tells it apart, does not grow, and
// serves its spokes meanwhile.
func TestHostileUnderlay(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	hub, spokes := w.cloud(2)
	a, b := spokes[0], spokes[1]
	evil := w.host("evil")
	out := evil.injector()
	a.reaches(b.lan())
	target := addr("10.9.0.1")
	rnd := rand.New(rand.NewPCG(1, 2))
	foreign := func() netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(rnd.Uint32()), byte(rnd.Uint32())}) }
	me := addr(evil.nbma())
	good := func(p nhrp.Packet) []byte { return p.Append(nil) }
	genuine := good(registration(me, addr("10.100.0.200"), 1, "secret"))
	stolen := good(registration(addr(a.nbma()), addr("10.100.0.2"), 77, "guess"))
	resolution := func(id uint32, to netip.Addr) []byte {
		return good(nhrp.Packet{Type: nhrp.ResolutionRequest, HopCount: 255, RequestID: id, SourceNBMA: me, Source: addr("10.100.0.200"),
			Destination: to, Extensions: []nhrp.Extension{nhrp.AuthenticationExtension("secret")}})
	}
	indication := good(nhrp.Packet{Type: nhrp.ErrorIndication, HopCount: 255, SourceNBMA: me, Source: addr("10.100.0.200"),
		Destination: addr("10.100.0.1"), ErrorCode: nhrp.ProtocolError, Payload: genuine})
	many := registration(me, addr("10.100.0.200"), 1, "secret")
	for range 400 {
		many.Extensions = append(many.Extensions, nhrp.Extension{Type: nhrp.VendorPrivate, Value: []byte{1, 2, 3, 4}})
	}
	tooMany := many
	tooMany.CIEs = make([]nhrp.CIE, 300)
	huge := many
	huge.CIEs = make([]nhrp.CIE, 4000)
	inParts := func(n int, p nhrp.Packet) {
		for _, f := range fragments(withKey(42, nhrpType, good(p)), 1480) {
			out.fragment(me, target, uint16(n+1), f)
		}
		time.Sleep(2 * time.Millisecond)
	}
	flipped := func() []byte {
		x := append([]byte{}, genuine...)
		x[rnd.IntN(len(x))] ^= 1 << rnd.IntN(8)
		return x
	}
	header := func(first, second byte, rest ...byte) []byte {
		return append([]byte{first, second, 0x20, 0x01}, rest...)
	}

	attacks := []attack{
		{"GRE of another version", func(int) { out.send(foreign(), target, header(0x20, 1, 0, 0, 0, 42)) }, 200, []string{"tun0 dropped: bad-gre"}},
		{"GRE with routing", func(int) { out.send(foreign(), target, header(0x60, 0, 0, 0, 0, 42)) }, 200, []string{"tun0 dropped: bad-gre"}},
		{"GRE cut short", func(n int) { out.send(foreign(), target, withKey(42, nhrpType, nil)[:n%8]) }, 200, []string{"tun0 dropped: bad-gre"}},
		{"GRE with a wrong checksum", func(n int) { out.send(foreign(), target, withChecksum(42, uint32(n), nhrpType, genuine, true)) }, 200, []string{"tun0 dropped: bad-gre"}},
		{"GRE with another key", func(int) { out.send(foreign(), target, withKey(43, nhrpType, genuine)) }, 200, []string{"tun0 dropped: unknown-key"}},
		{"GRE without a key", func(int) { out.send(foreign(), target, append([]byte{0, 0, 0x20, 1}, genuine...)) }, 200, []string{"tun0 dropped: unknown-key"}},
		{"GRE with something else", func(int) { out.send(foreign(), target, withKey(42, 0x6558, make([]byte, 60))) }, 200, []string{"tun0 dropped: unknown-protocol"}},
		{"IP that is none", func(n int) { out.send(foreign(), target, withKey(42, 0x0800, make([]byte, n%40))) }, 200, []string{"tun0 dropped: malformed"}},
		{"NHRP cut at every length", func(n int) { out.send(foreign(), target, withKey(42, nhrpType, genuine[:n%len(genuine)])) }, 400, []string{"tun0 malformed-truncated"}},
		{"NHRP with a bit flipped", func(int) { out.send(foreign(), target, withKey(42, nhrpType, flipped())) }, 2000, []string{"tun0 malformed-checksum"}},
		{"noise", func(n int) { out.send(foreign(), target, withKey(42, nhrpType, noise(rnd, n%1400))) }, 2000, []string{"tun0 malformed-version"}},
		{"more extensions and entries than there can be", func(n int) { inParts(n, tooMany) }, 20, []string{"tun0 malformed-limit"}},
		{"48 KiB of them", func(n int) { inParts(100+n, huge) }, 20, []string{"tun0 dropped: malformed"}},
		{"a wrong password, as if from a spoke", func(int) { out.send(foreign(), target, withKey(42, nhrpType, stolen)) }, 500, []string{"tun0 authentication-failure"}},
		{"replies that nobody asked for", func(n int) {
			p := registration(me, addr("10.100.0.1"), uint32(n), "secret")
			p.Type = nhrp.RegistrationReply
			out.send(foreign(), target, withKey(42, nhrpType, good(p)))
		}, 500, []string{"tun0 reply-unexpected"}},
		{"purges of others", func(n int) {
			p := registration(me, addr("10.100.0.200"), uint32(n), "secret")
			p.Type, p.CIEs = nhrp.PurgeRequest, []nhrp.CIE{{PrefixLength: 32, Protocol: addr("10.100.0.2")}}
			out.send(foreign(), target, withKey(42, nhrpType, good(p)))
		}, 500, []string{"tun0 purge-from-stranger"}},
		{"a registration, replayed", func(int) { out.send(me, target, withKey(42, nhrpType, genuine)) }, 5000, []string{"tun0 rate-limited"}},
		{"registration and data with checksum and sequence number", func(n int) {
			out.send(me, target, withChecksum(42, uint32(n), nhrpType, genuine, false))
		}, 10, nil},
		{"a storm of resolutions", func(n int) {
			to := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
			out.send(foreign(), target, withKey(42, nhrpType, resolution(uint32(n), to)))
		}, 20000, nil},
		{"error indications", func(n int) { out.send(foreign(), target, withKey(42, nhrpType, indication)) }, 2000, []string{"tun0 error-unexpected"}},
		{"a storm of registrations", func(n int) {
			from := netip.AddrFrom4([4]byte{198, 19, byte(n >> 8), byte(n)})
			protocol := netip.AddrFrom4([4]byte{10, 200, byte(n >> 8), byte(n)})
			out.send(from, target, withKey(42, nhrpType, good(registration(from, protocol, uint32(n), "guess"))))
		}, 20000, []string{"tun0 authentication-failure"}},
	}
	before := hub.memory()
	ping := a.command("ping", "-n", "-q", "-i", "0.01", "-W", "2", "-w", "60", "10.100.0.1")
	var heard strings.Builder
	ping.Stdout = &heard
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	counted := hub.counters()
	for _, x := range attacks {
		for n := range x.count {
			x.send(n)
			if n%50 == 49 {
				time.Sleep(2 * time.Millisecond) // 25,000 a second: more than the hub has any use for, less than the veth loses
			}
		}
		w.within(5*time.Second, x.name+" is counted", func() error {
			now := hub.counters()
			for _, name := range x.expect {
				if now[name] <= counted[name] {
					return fmt.Errorf("%q: %d, was %d\n%v", name, now[name], counted[name], hub.cli("show", "counters"))
				}
			}
			counted = now
			return nil
		})
	}
	ping.Process.Signal(os.Interrupt)
	ping.Wait()
	var sent, got int
	for line := range strings.Lines(heard.String()) {
		fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got)
	}
	if sent < 100 || (sent-got)*100 > sent {
		t.Errorf("a spoke's ping under attack: %s", heard.String()) // 1 %: the queue of the interface is one for all
	}
	if after := hub.memory(); after > before+64 {
		t.Errorf("resident: %d MiB, was %d", after, before)
	} else {
		t.Logf("resident: %d MiB, was %d; ping: %d of %d lost", after, before, sent-got, sent)
	}
	for name, n := range hub.counters() {
		if strings.Contains(name, "panic") && n > 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
	if p := hub.peers(); count(p, "up") < 2 {
		t.Errorf("the spokes are gone: %+v", p)
	}
	a.reaches(b.lan())
}

func count(peers []nhrp.PeerRow, state string) (n int) {
	for _, p := range peers {
		if p.State == state {
			n++
		}
	}
	return n
}

func noise(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// part is one fragment of an IP payload.
type part struct {
	offset int
	more   bool
	b      []byte
}

func fragments(b []byte, size int) (list []part) {
	for at := 0; at < len(b); at += size {
		end := min(at+size, len(b))
		list = append(list, part{at, end < len(b), b[at:end]})
	}
	return list
}

// Registrations from 20,000 addresses with the right password are what a hub is for. With max-clients they are
// bounded, and those who are turned down cost no memory either.
func TestRegistrationStorm(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	hub := w.host("hub").daemon(strings.NewReplacer("holdtime: 60s", "holdtime: 60s, max-clients: 1000").Replace(hubConfig("")))
	hub.start()
	s := w.host("spoke")
	spoke := s.daemon(spokeConfig(s, "")).start().registered(1)
	evil := w.host("evil")
	out := evil.injector()
	evil.ip("route", "add", "198.18.0.0/15", "dev", "eth0")
	before := hub.memory()
	for n := range 20000 {
		from := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		protocol := netip.AddrFrom4([4]byte{10, 200, byte(n >> 8), byte(n)})
		p := registration(from, protocol, uint32(n), "secret")
		out.send(from, addr("10.9.0.1"), withKey(42, nhrpType, p.Append(nil)))
		if n%50 == 49 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	w.within(10*time.Second, "all are judged", func() error {
		c := hub.counters()
		if c["tun0 received-registration-request"]+c["tun0 dropped: control-queue-full"] < 15000 {
			return fmt.Errorf("%v", c)
		}
		return nil
	})
	clients := 0
	for _, r := range hub.cache() {
		if r.Type == "dynamic" {
			clients++
		}
	}
	c := hub.counters()
	if clients != 1000 || c["tun0 denied-insufficient-resources"] == 0 {
		t.Errorf("%d clients with max-clients: 1000; %v", clients, c)
	}
	if after := hub.memory(); after > before+48 {
		t.Errorf("resident: %d MiB, was %d", after, before)
	} else {
		t.Logf("resident: %d MiB, was %d: %v", after, before, c)
	}
	if n := strings.Count(hub.log(), "event=nhrp.client-refused"); n == 0 || n > 500 {
		t.Errorf("%d refusals are in the log", n)
	}
	if rows := len(hub.peers()); rows > 3000 {
		t.Errorf("%d rows of peers, refused ones included", rows)
	}
	spoke.reaches("10.100.0.1")
}

// Two routers that do not understand each other do not answer errors with errors: the wire falls silent.
func TestErrorsAreNotAnsweredWithErrors(t *testing.T) {
	t.Parallel()
	w := quietWorld(t)
	hub, spokes := w.cloud(1)
	spoke := spokes[0]
	evil := w.host("evil").injector()
	broken := registration(addr(spoke.nbma()), addr("10.100.0.2"), 9, "secret")
	broken.Extensions = append(broken.Extensions, nhrp.Extension{Type: 0x3abc, Compulsory: true})
	for _, p := range []nhrp.Packet{
		broken,
		{Type: nhrp.ErrorIndication, HopCount: 255, SourceNBMA: addr(spoke.nbma()), Source: addr("10.100.0.2"), Destination: addr("10.100.0.9"),
			ErrorCode: nhrp.LoopDetected, Payload: broken.Append(nil)},
		{Type: nhrp.ErrorIndication, HopCount: 1, SourceNBMA: addr(spoke.nbma()), Source: addr("10.100.0.2"), Destination: addr("10.100.0.1"),
			ErrorCode: 0xffff, Payload: []byte{1}},
		{Type: nhrp.ResolutionRequest, HopCount: 1, RequestID: 3, SourceNBMA: addr(spoke.nbma()), Source: addr("10.100.0.2"), Destination: addr("172.31.0.1"),
			Extensions: []nhrp.Extension{nhrp.AuthenticationExtension("secret")}},
	} {
		for _, to := range []string{hub.nbma(), spoke.nbma()} {
			from := spoke.nbma()
			if to == from {
				from = hub.nbma()
			}
			evil.send(addr(from), addr(to), withKey(42, nhrpType, p.Append(nil)))
		}
	}
	errors := func() uint64 {
		return hub.counters()["tun0 sent-error-indication"] + spoke.counters()["tun0 sent-error-indication"]
	}
	w.within(5*time.Second, "the first errors are told", func() error {
		if errors() == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	time.Sleep(300 * time.Millisecond) // what would go back and forth does so within a few ms
	first := errors()
	if first > 8 {
		t.Errorf("%d errors for 8 packets", first)
	}
	time.Sleep(300 * time.Millisecond)
	if now := errors(); now != first {
		t.Errorf("errors go on: %d, then %d", first, now)
	}
}

// fragment sends a part of the packet with that identification.
func (i *injector) fragment(from, to netip.Addr, id uint16, p part) {
	field := uint16(p.offset / 8)
	if p.more {
		field |= 0x2000
	}
	i.packet(from, to, p.b, func(header []byte) {
		binary.BigEndian.PutUint16(header[4:], id)
		binary.BigEndian.PutUint16(header[6:], field)
	})
}
