package ike

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// TestSelectors is RFC 7296 section 2.9 for GRE between two hosts.
func TestSelectors(t *testing.T) {
	host, other := netip.MustParseAddr("198.51.0.1"), netip.MustParseAddr("10.0.0.9")
	ts := func(protocol uint8, from, to uint16, start, end netip.Addr) wire.Selector {
		return wire.Selector{Protocol: protocol, StartPort: from, EndPort: to, Start: start, End: end}
	}
	all := ts(47, 0, 0xffff, host, host)
	v4 := [2]netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255")}
	v6 := [2]netip.Addr{netip.MustParseAddr("::"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
	for _, c := range []struct {
		name    string
		offered []wire.Selector
		want    wire.Selector
		ok      bool
	}{
		{"RFC 7296 2.9: GRE of the host", []wire.Selector{all}, all, true},
		{"RFC 7296 2.9: every protocol of the host is narrowed to GRE", []wire.Selector{ts(0, 0, 0xffff, host, host)}, all, true},
		{"RFC 7296 2.9: everything is narrowed to GRE of the host", []wire.Selector{ts(0, 0, 0xffff, v4[0], v4[1])}, all, true},
		{"RFC 7296 2.9: the packet that made strongSwan ask, with its GRE key in the ports, then all", []wire.Selector{ts(47, 0, 42, host, host), all}, all, true},
		{"RFC 7296 2.9: what is not for us comes first", []wire.Selector{ts(17, 0, 0xffff, host, host), ts(47, 0, 0xffff, other, other), all}, all, true},
		{"RFC 7296 2.9: another protocol", []wire.Selector{ts(17, 0, 0xffff, host, host)}, all, false},
		{"RFC 7296 2.9: another host", []wire.Selector{ts(47, 0, 0xffff, other, other)}, all, false},
		{"RFC 7296 2.9: another family", []wire.Selector{ts(47, 0, 0xffff, v6[0], v6[1])}, all, false},
		{"RFC 7296 3.13.1: opaque ports", []wire.Selector{ts(47, 0xffff, 0, host, host)}, all, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := alone(t, plain)
			s := halfOpen(t, n, newStranger(1))
			p := s.twin(n.w).proofBy(rightPSK, "198.51.0.1")
			p.TS(true).Selectors = c.offered
			answer := n.ask(s, wire.IKEAuth, p...)
			if !c.ok {
				if answer.Notify(wire.TSUnacceptable) == nil || wire.Get[*wire.Auth](answer) == nil {
					t.Error(answer)
				}
				return
			}
			if got := answer.TS(true); got == nil || len(got.Selectors) != 1 || got.Selectors[0] != c.want || len(n.ups) != 1 {
				t.Error(answer)
			}
		})
	}
	play(t, []rule{
		{"RFC 7296 2.23.1: behind a NAT the selectors are what each end knows itself by", func(t *testing.T) {
			_, _, spoke, hub := natted(t)
			if c := hub.child(); c.inner[1] != spoke.addr && c.inner[1].String() != "203.0.113.1" {
				t.Error(c.inner)
			}
		}},
		{"RFC 7296 2.21.2: without a child that can be had the IKE SA is made, told why, and closed", func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.add("a", "192.0.2.1", profile(plain, func(p *Profile) { p.ESP = esps("aes256gcm-none") }), 0)
			b := w.add("b", "192.0.2.2", profile(plain, func(p *Profile) { p.ESP = esps("aes128-sha256-none") }), 0)
			a.ensure(b)
			w.pass(3 * time.Second)
			a.release(b)
			if w.pass(time.Minute); len(a.ups)+len(b.ups) != 0 || !a.idle() || !b.idle() || len(a.failed) == 0 {
				t.Error(a.logs, b.logs)
			}
		}},
		{"RFC 7296 2.9: an answer that is wider, narrower or other than was asked is refused", func(t *testing.T) {
			us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
			for _, x := range []wire.Selector{
				ts(17, 0, 0xffff, us, us), ts(47, 0, 1, us, us), ts(47, 0, 0xffff, them, them), ts(47, 0, 0xffff, v4[0], v4[1]), ts(0, 7, 9, us, us),
			} {
				if covers([]wire.Selector{x}, us, false) {
					t.Error(x)
				}
			}
			if covers(nil, us, false) || covers([]wire.Selector{greOf(us), greOf(us)}, us, false) || !covers([]wire.Selector{greOf(us)}, us, false) {
				t.Error("not one")
			}
		}},
	})
}

// TestModes is RFC 7296 section 1.3.1's USE_TRANSPORT_MODE between profiles of every mode.
func TestModes(t *testing.T) {
	const no = "-"
	for _, c := range []struct {
		a, b Mode
		want string
	}{
		{Transport, Transport, "transport"}, {Transport, TunnelMode, no}, {Transport, AutoMode, "transport"},
		{TunnelMode, Transport, no}, {TunnelMode, TunnelMode, "tunnel"}, {TunnelMode, AutoMode, "tunnel"},
		{AutoMode, Transport, "transport"}, {AutoMode, TunnelMode, "tunnel"}, {AutoMode, AutoMode, "transport"},
	} {
		t.Run(fmt.Sprintf("RFC 7296 1.3.1: %v asks %v", c.a, c.b), func(t *testing.T) {
			mode := func(m Mode) *Profile { return profile(plain, func(p *Profile) { p.Mode = m }) }
			w, a, b, up := meet(t, mode(c.a), mode(c.b), 3*time.Second)
			if up != (c.want != no) {
				t.Fatal(up, said(a, b))
			}
			if !up {
				return
			}
			for range 2 {
				if a.child().mode() != c.want || b.child().mode() != c.want {
					t.Error(a.child().mode(), b.child().mode())
				}
				a.rekeyChild()
				w.steady(a, b, time.Second)
				w.pass(2 * drainTime)
			}
		})
	}
}

// TestChildSuites has two routers of all kinds of ESP policies meet, and change keys.
func TestChildSuites(t *testing.T) {
	for _, c := range []struct {
		name, a, b    string
		first, second string // the suite of the child of IKE_AUTH, and of its rekey
	}{
		{"RFC 4303 2.2.1: ESN at both ends", "aes256gcm-esn-none", "aes256gcm-esn-none", "aes256gcm-esn", "aes256gcm-esn"},
		{"RFC 4303 2.2.1: no ESN at both ends", "aes256gcm-noesn-none", "aes256gcm-noesn-none", "aes256gcm-noesn", "aes256gcm-noesn"},
		{"RFC 4303 2.2.1: ESN or not, and not", "aes256gcm-none", "aes256gcm-noesn-none", "aes256gcm-noesn", "aes256gcm-noesn"},
		{"RFC 4303 2.2.1: not, and ESN or not", "aes256gcm-noesn-none", "aes256gcm-none", "aes256gcm-noesn", "aes256gcm-noesn"},
		{"RFC 4303 2.2.1: ESN and not", "aes256gcm-esn-none", "aes256gcm-noesn-none", "", ""},
		{"RFC 7296 1.3.1: a key exchange of the child's own at both ends", "aes256gcm-esn-p256", "aes256gcm-esn-p256", "aes256gcm-esn", "aes256gcm-p256-esn"},
		{"RFC 7296 1.3.1: a key exchange of the child's own, or not", "aes256gcm-esn-p256-none", "aes256gcm-esn-none", "aes256gcm-esn", "aes256gcm-esn"},
		{"RFC 7296 1.3.1: not, or a key exchange of the child's own", "aes256gcm-esn-none", "aes256gcm-esn-p256-none", "aes256gcm-esn", "aes256gcm-esn"},
		{"RFC 7296 1.3.1: a key exchange of the child's own in another order", "aes256gcm-esn-x25519-p256", "aes256gcm-esn-p256-x25519", "aes256gcm-esn", "aes256gcm-*-esn"},
		{"RFC 7634 2: ChaCha20-Poly1305", "chacha20poly1305-esn-none", "chacha20poly1305-esn-none", "chacha20poly1305-esn", "chacha20poly1305-esn"},
		{"RFC 4868 2: AES-CBC with HMAC-SHA2", "aes128-sha256-noesn-modp2048", "aes128-sha256-noesn-modp2048", "aes128-sha256-noesn", "aes128-sha256-modp2048-noesn"},
		{"RFC 7296 3.3: nothing in common", "aes256gcm-none", "aes128gcm-none", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := func(text string) *Profile { return profile(plain, func(p *Profile) { p.ESP = esps(text) }) }
			w, a, b, up := meet(t, with(c.a), with(c.b), 3*time.Second)
			if up != (c.first != "") {
				t.Fatal(up, said(a, b))
			}
			if !up {
				return
			}
			check := func(want string) {
				t.Helper()
				x, y := a.child().suite.String(), b.child().suite.String()
				before, after, _ := strings.Cut(want, "*")
				if x != y || !strings.HasPrefix(x, before) || !strings.HasSuffix(x, after) {
					t.Errorf("%s and %s, want %s", x, y, want)
				}
			}
			check(c.first)
			for _, n := range []*node{a, b} {
				n.rekeyChild()
				w.steady(a, b, time.Second)
				w.pass(2 * drainTime)
				one(t, a, b)
				check(c.second)
			}
		})
	}
}
