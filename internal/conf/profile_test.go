package conf

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// protected is a file whose one tunnel is protected by the profile p; its keys begin in line 5.
func protected(keys ...string) string {
	return "version: 1\ntunnels: {tun0: {underlay: eth0, address: 10.0.0.1/24, protect: p, nhrp: {network-id: 1}}}\nprofiles:\n  p:\n    " +
		strings.Join(keys, "\n    ") + "\n"
}

func parseProtected(t *testing.T, text string) (*Config, []Warning) {
	t.Helper()
	c, warnings, err := ParseWith("t", []byte(text), testSecrets)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return c, warnings
}

// A pre-shared key is all that a profile needs.
func TestDefaultsCarryTheWeight(t *testing.T) {
	c, warnings := parseProtected(t, protected("psk-file: corp.psk"))
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	p, tun := c.Profiles[0].IKE, c.Tunnels[0]
	if len(p.PSKs) != 1 || string(p.PSKs[0].Secret) != testKey || !p.PSKs[0].Peer.Any() {
		t.Errorf("keys: %d", len(p.PSKs))
	}
	if len(p.IKE) != len(suite.DefaultIKE()) || p.ESP[0].String() != suite.DefaultChild()[0].String() {
		t.Errorf("suites: %v %v", p.IKE, p.ESP)
	}
	if p.Mode != ike.Transport || p.IKELifetime != ike.DefaultIKELifetime || p.DPD != ike.DefaultDPD || !p.MOBIKE || !p.DiscoverMTU || p.NeedPPK || p.AllowSHA1 {
		t.Errorf("%+v", p)
	}
	if tun.Encapsulation != dataplane.ESP || tun.Carrier != ike.AutoEncapsulation || tun.FragmentOuter {
		t.Errorf("%+v", tun)
	}
}

func TestKeysOfPeers(t *testing.T) {
	c, _ := parseProtected(t, protected("psks:", "  - {peer: hub.example.com, psk-file: corp.psk}", "  - {peer: hub.example.com, psk-file: old.psk}"))
	keys := c.Profiles[0].IKE.PSKs
	if len(keys) != 2 || string(keys[0].Secret) != testKey || string(keys[1].Secret) != "old-"+testKey || keys[0].Peer != keys[1].Peer {
		t.Errorf("two keys of one peer are both valid, in order: got %d", len(keys))
	}
}

func TestCertificate(t *testing.T) {
	const proof = "certificate: hub.pem"
	keys := []string{proof, "key: hub.key", "ca: ca.pem", "crl: ca.crl", "crl-policy: strict", `bind: [{peer: "*", addresses: 10.0.0.0/24}]`}
	c, warnings := parseProtected(t, protected(keys...))
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	p := c.Profiles[0].IKE
	if p.Credential == nil || p.Trust.Revocation != auth.Strict || len(p.PSKs) > 0 {
		t.Fatalf("%+v", p)
	}
	if p.Local.String() != "hub.example.com" {
		t.Errorf("the name is %s", p.Local)
	}
	if _, err := p.Trust.Check(p.Credential.Chain, p.Local, time.Now()); err != nil {
		t.Error(err)
	}
	c, _ = parseProtected(t, protected(append(keys, `identity: "CN=hub.example.com, O=Acme"`)...))
	if got := c.Profiles[0].IKE.Local.Kind; got != auth.DN {
		t.Errorf("the identity is of kind %d", got)
	}
}

func TestEncapsulationOfProtectedTunnels(t *testing.T) {
	for word, want := range map[string]ike.Encapsulation{"auto": ike.AutoEncapsulation, "udp": ike.UDP, "esp": ike.Raw, "gre": ike.Raw} {
		text := strings.Replace(protected("psk-file: corp.psk"), "protect: p", "protect: p, encapsulation: "+word, 1)
		c, _ := parseProtected(t, text)
		if tun := c.Tunnels[0]; tun.Encapsulation != dataplane.ESP || tun.Carrier != want {
			t.Errorf("%s: %v in %v", word, tun.Encapsulation, tun.Carrier)
		}
	}
}

// The room that protection takes is that of the worst that may be negotiated. RFC 4303 section 2.4: header 8, IV, padding
// to the block and two octets of trailer, ICV; and 8 of UDP.
func TestWrap(t *testing.T) {
	const aesGCM = 8 + 8 + 3 + 2 + 16 + 8
	for _, tt := range []struct {
		keys []string
		want int
	}{
		{[]string{"esp: aes256gcm"}, aesGCM},
		{[]string{"esp: aes128-sha256"}, 8 + 16 + 15 + 2 + 16 + 8},
		{[]string{"esp: [aes256gcm, aes256-sha512]"}, 8 + 16 + 15 + 2 + 32 + 8},
		{[]string{"esp: aes256gcm", "mode: tunnel"}, aesGCM + 20},
		{[]string{"esp: aes256gcm", "mode: auto"}, aesGCM + 20},
	} {
		c, _ := parseProtected(t, protected(append(tt.keys, "psk-file: corp.psk")...))
		if got := c.Tunnels[0].Wrap; got != tt.want {
			t.Errorf("%v: %d octets, want %d", tt.keys, got, tt.want)
		}
	}
	text := strings.Replace(protected("psk-file: corp.psk", "esp: aes256gcm", "mode: tunnel"), "eth0", "eth0, underlay-family: ipv6", 1)
	if c, _ := parseProtected(t, text); c.Tunnels[0].Wrap != aesGCM+40 {
		t.Errorf("over IPv6: %d octets", c.Tunnels[0].Wrap)
	}
}

func TestProfileErrors(t *testing.T) {
	const psk = "psk-file: corp.psk"
	tun := func(keys, more string) string {
		return "version: 1\ntunnels:\n  a: {underlay: eth0, address: 10.0.0.1/24, key: 1, " + keys + "}\n" + more + "profiles:\n  p: {psk-file: corp.psk}\n  q: {psk-file: corp.psk}\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no such profile", tun("protect: pp", ""), `t:3:62: protect: there is no "pp" under profiles (did you mean "p"?)`},
		{"one underlay, two profiles", tun("protect: p", "  b: {underlay: eth0, address: 10.1.0.1/24, key: 2, protect: q}\n"),
			`t:4:62: protect: a has the same underlay and the profile p: tunnels on one underlay share their SAs, so want one profile`},
		{"one underlay, two encapsulations", tun("protect: p", "  b: {underlay: eth0, address: 10.1.0.1/24, key: 2, protect: p, encapsulation: udp}\n"),
			`t:4:80: encapsulation: a has the same underlay and encapsulation auto: tunnels on one underlay share their SAs, so want one encapsulation`},
		{"a tunnel in clear with the key of a protected one", tun("protect: p", "  b: {underlay: eth0, address: 10.1.0.1/24, key: 1}\n"),
			`t:4:50: a and b have one underlay and one key, 1: give them different keys`},

		{"no proof", protected("dpd: 20s"), `t:4:3: profile p has neither psk-file nor certificate, key and ca: it could not prove who we are`},
		{"two proofs", protected(psk, "certificate: hub.pem", "key: hub.key", "ca: ca.pem"), `t:4:3: profile p has a pre-shared key and a certificate: want one of them`},
		{"psk twice", protected(psk, "psk: "+testKey), `t:6:10: psk and psk-file are both given: want one`},
		{"no such file", protected("psk-file: gone.psk"), `t:5:15: read secret: open gone.psk: file does not exist`},
		{"empty file", protected("psk-file: empty"), `t:5:15: psk-file: empty: want text, found none`},
		{"huge file", protected("psk-file: huge.psk"), `t:5:15: read secret: huge.psk is larger than 4096 octets`},
		{"psks without a key", protected("psks: [{peer: a.example.com}]"), `t:5:12: psks: the key is missing: give psk-file`},
		{"ppk twice", protected(psk, "ppk: [{id: a, secret-file: quantum.ppk}, {id: a, secret-file: quantum.ppk}]"), `t:6:46: ppk: the id a is given twice`},
		{"ppk required", protected(psk, "ppk-required: true"), `t:6:19: ppk-required: there is no ppk: no peer could ever be accepted`},

		{"no key", protected("certificate: hub.pem", "ca: ca.pem"), `t:5:18: certificate: its private key is missing: give key`},
		{"no certificate", protected("key: hub.key", "ca: ca.pem"), `t:5:10: key: the certificate it belongs to is missing: give certificate`},
		{"no ca", protected("certificate: hub.pem", "key: hub.key"), `t:4:3: profile p has no ca: no peer's certificate could be believed`},
		{"ca alone", protected("ca: ca.pem"), `t:4:3: profile p has no certificate and key: it could not prove who we are`},
		{"certificate is cut", protected("certificate: cut.pem", "key: hub.key", "ca: ca.pem"), `t:5:18: certificate: the file is cut short or damaged: of 1 PEM blocks that begin, 0 are whole`},
		{"key is cut", protected("certificate: hub.pem", "key: cut.key", "ca: ca.pem"), `t:6:10: key: private key: the file is cut short or damaged: of 1 PEM blocks that begin, 0 are whole`},
		{"another's key", protected("certificate: hub.pem", "key: other.key", "ca: ca.pem"), `t:6:10: key: certificate of CN=hub.example.com, O=Acme has another key than the private key (ECDSA P-256): they do not belong together`},
		{"key for certificate", protected("certificate: hub.key", "key: hub.key", "ca: ca.pem"), `t:5:18: certificate: none in the file, but a private key`},
		{"ca is a key", protected("certificate: hub.pem", "key: hub.key", "ca: hub.key"), `t:7:9: ca: authorities: certificate: none in the file, but a private key`},
		{"crl is a certificate", protected("certificate: hub.pem", "key: hub.key", "ca: ca.pem", "crl: ca.pem"), `t:8:10: crl: revocation list: none in the file, but a certificate`},
		{"crl is gone", protected("certificate: hub.pem", "key: hub.key", "ca: ca.pem", "crl: gone.crl"), `t:8:10: read crl: open gone.crl: file does not exist`},
		{"crl without ca", protected(psk, "crl: ca.crl"), "t:4:3: profile p has a pre-shared key and a certificate: want one of them\nt:6:10: crl: revocation lists without the authorities they are of: give ca"},
		{"crl-policy without ca", protected(psk, "crl-policy: strict"), `t:6:17: crl-policy: is of certificates: give ca`},
		{"crl-policy", protected(psk, "crl-policy: strickt"), `t:6:17: crl-policy: want lenient or strict (did you mean "strict"?)`},

		{"suite", protected(psk, "ike: aes256gmc-sha384-x25519"), `t:6:10: ike: "aes256gmc-sha384-x25519": "aes256gmc" is no algorithm that we have (did you mean "aes256gcm-sha384-x25519"?)`},
		{"suite that is not built", protected(psk, "ike: 3des-md5-modp768"), `t:6:10: ike: "3des-md5-modp768": "3des" is no algorithm that we have`},
		{"second suite", protected(psk, "esp: [aes256gcm, aes256]"), `t:6:22: esp: "aes256": cbc needs an integrity algorithm; sha256 would be one`},
		{"no suites", protected(psk, "esp: []"), `t:6:10: esp: the list is empty`},
		{"peers", protected(psk, "peers: hub*.example.com"), `t:6:12: peers: "hub*.example.com": a star stands for one whole label in front (*.example.com), a mailbox (*@example.com), or the value of a DN attribute (CN=*)`},
		{"prefix of peers", protected(psk, "peers: [a.example.com, 10.0.0.1/8]"), `t:6:28: peers: "10.0.0.1/8": the prefix has bits of a host; 10.0.0.0/8 is meant or one address without a length`},
		{"identity", protected(psk, "identity: a@"), `t:6:15: identity: "a@": identity: e-mail address without a name on both sides of an @`},
		{"bind", protected(psk, "bind: [{peer: a.example.com, addresses: 10.0.0.1}]"), `t:6:45: addresses: want a prefix with its length (did you mean "10.0.0.1/32"?)`},
		{"mode", protected(psk, "mode: transprt"), `t:6:11: mode: want transport, tunnel or auto (did you mean "transport"?)`},
		{"fragmentation", protected(psk, "fragmentation: 100"), `t:6:20: fragmentation: 100 is out of range: want 576 to 65535`},
		{"lifetime", protected(psk, "esp-lifetime: 1s"), `t:6:19: esp-lifetime: 1s is out of range: want 10s to 168h`},
		{"unknown key", protected(psk, "esp-lifetme: 1h"), `t:6:5: profiles.p: unknown key "esp-lifetme" (did you mean "esp-lifetime"?)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ParseWith("t", []byte(tt.text), testSecrets)
			if err == nil {
				t.Fatalf("accepted:\n%s", tt.text)
			}
			if err.Error() != tt.want {
				t.Errorf("got\n%s\nwant\n%s\nfor\n%s", err, tt.want, tt.text)
			}
		})
	}
}

func TestProfileWarnings(t *testing.T) {
	const (
		psk     = "psk-file: corp.psk"
		guessed = "the key can be guessed by whoever poses as a peer once: want 20 random characters or more, as `openssl rand -base64 32` makes them"
	)
	signed := func(name string, more ...string) string {
		more = append(more, `bind: [{peer: "*", addresses: 10.0.0.0/24}]`)
		return protected(append([]string{"certificate: " + name + ".pem", "key: " + name + ".key", "ca: ca.pem"}, more...)...)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"none", protected(psk), ""},
		{"short", protected("psk-file: short.psk"), "t:5:15: psk-file: " + guessed},
		{"one character", protected("psk-file: same.psk"), "t:5:15: psk-file: " + guessed},
		{"short, in place", protected("psk: hunter2"), "t:5:10: psk: " + guessed},
		{"of a peer", protected("psks: [{peer: a.example.com, psk-file: short.psk}]"), "t:5:44: psk-file: " + guessed},
		{"ppk", protected(psk, "ppk: [{id: a, secret-file: corp.psk}]"), "t:6:32: secret-file: " + strings.Replace(guessed, "want 20", "want 32", 1)},
		{"for all to read", protected("psk-file: open.psk"), "t:5:15: open.psk can be read by every user of this host: chmod o= open.psk"},
		{"private key for all to read", protected("certificate: hub.pem", "key: open.key", "ca: ca.pem", `bind: [{peer: "*", addresses: 10.0.0.0/24}]`), "t:6:10: open.key can be read by every user of this host: chmod o= open.key"},
		{"unused", protected(psk) + "  q: {psk-file: corp.psk}\n", "t:6:3: profile q protects no tunnel"},
		{"RFC 8247, modp1024", protected(psk, "ike: aes256-sha256-modp1024"), "t:6:10: ike: aes256-sha256-modp1024: weak: modp1024: well-funded attackers are thought to read it (Logjam); use x25519, p256 or modp2048"},
		{"RFC 8221, sha1", protected(psk, "esp: [default, aes256-sha1]"), "t:6:20: esp: aes256-sha1: weak: sha1 as integrity: 96 bits of a hash that is broken for signatures; use sha256"},
		{"sha1 signatures", protected(psk, "allow-sha1: true"), "t:6:17: allow-sha1: collisions of SHA-1 can be made: only for peers that know no better"},
		{"certificate", signed("hub"), ""},
		{"another's name", signed("hub", "identity: other.example.com"), "t:8:15: identity: peers will not believe it: certificate of CN=hub.example.com, O=Acme: other.example.com is not in it"},
		{"expired", signed("past"), "t:5:18: certificate: certificate of CN=past.example.com, O=Acme: expired"},
		{"ends soon", signed("late"), "t:5:18: certificate: it ends in 72h0m0s, on "},
		{"revoked", signed("hub", "crl: revoked.crl"), "t:5:18: certificate: peers with this ca would refuse it: certificate of CN=hub.example.com, O=Acme: revoked on "},
		{"of another authority", protected("certificate: hub.pem", "key: hub.key", "ca: strangers.pem", `bind: [{peer: "*", addresses: 10.0.0.0/24}]`), "t:5:18: certificate: peers with this ca would refuse it: certificate of CN=hub.example.com, O=Acme: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := parseProtected(t, tt.text)
			var got []string
			for _, w := range warnings {
				got = append(got, w.String())
			}
			if s := strings.Join(got, "\n"); !strings.HasPrefix(s, tt.want) || len(got) > 1 || (s == "") != (tt.want == "") {
				t.Errorf("got\n%s\nwant\n%s", s, tt.want)
			}
		})
	}
}

// Who could have the tunnel address of another is told, where a binding would help.
func TestWarningsOfWhoMayClaimWhat(t *testing.T) {
	const (
		unbound = "t:4:3: profile p has no bind, and tun0 takes registrations: "
		rest    = "bind: it is not for every peer, and those that it is not for may claim any tunnel address, that of others too: end the list with "
		same    = "bind: peers prove themselves with a key that several have, so that each can say to be any of them: "
		two     = "psks: [{peer: a.example.com, psk-file: corp.psk}, {peer: b.example.com, psk-file: corp.psk}]"
	)
	cert := func(more ...string) []string {
		return append([]string{"certificate: hub.pem", "key: hub.key", "ca: ca.pem"}, more...)
	}
	for _, tt := range []struct {
		name string
		nhrp string
		keys []string
		want string
	}{
		{"a hub with certificates", "", cert(), unbound},
		{"of some", "", cert(`peers: "*.example.com"`), unbound},
		{"of one", "", cert("peers: a.example.com"), ""},
		{"of two", "", cert("peers: [a.example.com, b.example.com]"), unbound},
		{"of two that are one", "", cert("peers: [a.example.com, A.example.com]"), ""},
		{"a spoke", "servers: [{nbma: 192.0.2.1}]", cert(), ""},
		{"a regional hub", "redirect: true, servers: [{nbma: 192.0.2.1}]", cert(), unbound},
		{"one key for all binds nobody", "", []string{"psk-file: corp.psk"}, ""},
		{"and should not seem to", "", []string{"psk-file: corp.psk", "bind: [{peer: a.example.com, addresses: 10.0.0.2/32}]"}, "t:6:11: " + same},
		{"one key for some", "", []string{`psks: [{peer: "*.example.com", psk-file: corp.psk}]`}, ""},
		{"a key for each", "", []string{two}, unbound},
		{"a key for each, bound", "", []string{two, "bind: [{peer: a.example.com, addresses: 10.0.0.2/32}, {peer: b.example.com, addresses: 10.0.0.3/32}]"}, ""},
		{"a key for each, one bound", "", []string{two, "bind: [{peer: a.example.com, addresses: 10.0.0.2/32}]"}, "t:6:11: " + rest + `{peer: "b.example.com"`},
		{"one key, for one", "", []string{"psks: [{peer: a.example.com, psk-file: corp.psk}]"}, ""},
		{"not all bound", "", cert("bind: [{peer: a.example.com, addresses: 10.0.0.2/32}]"), "t:8:11: " + rest + `{peer: "*"`},
		{"not all bound, on a spoke", "servers: [{nbma: 192.0.2.1}]", cert("bind: [{peer: a.example.com, addresses: 10.0.0.2/32}]"), "t:8:11: " + rest},
		{"the rest bound together", "", cert(`bind: [{peer: a.example.com, addresses: 10.0.0.2/32}, {peer: "*", addresses: 10.0.0.128/25}]`), ""},
		{"all who may come bound", "", cert(`peers: "*.example.com"`, `bind: [{peer: "*.example.com", addresses: 10.0.0.0/24}]`), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := protected(tt.keys...)
			if tt.nhrp != "" {
				text = strings.Replace(text, "network-id: 1", "network-id: 1, "+tt.nhrp, 1)
			}
			_, warnings := parseProtected(t, text)
			var got []string
			for _, w := range warnings {
				got = append(got, w.String())
			}
			if s := strings.Join(got, "\n"); !strings.HasPrefix(s, tt.want) || len(got) > 1 || (s == "") != (tt.want == "") {
				t.Errorf("got\n%s\nwant\n%s", s, tt.want)
			}
		})
	}
}

// Behind a tunnel with a single address nobody can see from the file where a next hop is.
func TestWarningsOfNextHopsBeyondASingleAddress(t *testing.T) {
	for _, tt := range []struct{ name, address, servers, route, want string }{
		{"on the tunnel", "10.0.0.1/24", "", "via: 10.0.0.2", ""},
		{"anywhere", "10.0.0.1/24", "", "via: 10.1.0.2", "waits until the host has a way there"},
		{"perhaps by the tunnel", "10.0.0.1/32", "", "via: 10.0.0.2", "counts as one by tun0, which is protected and has a single address"},
		{"IPv4, and the tunnel has IPv6", "\"fd00::1/128\"", "", "via: 10.0.0.2", "waits until the host has a way there"},
		{"the server", "10.0.0.1/32", "servers: [{nbma: 192.0.2.1, protocol: 10.0.0.2}]", "via: 10.0.0.2", ""},
		{"elsewhere", "10.0.0.1/32", "", "via: 10.0.0.2, interface: eth0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(protected("psk-file: corp.psk"), "10.0.0.1/24", tt.address, 1) + "routes: [{to: 172.16.0.0/12, " + tt.route + "}]\n"
			text = strings.Replace(text, "network-id: 1", "network-id: 1, "+tt.servers, 1)
			_, warnings := parseProtected(t, text)
			if (len(warnings) > 0) != (tt.want != "") || len(warnings) > 0 && !strings.Contains(warnings[0].String(), tt.want) {
				t.Errorf("got %v, want %q", warnings, tt.want)
			}
		})
	}
}

// Tunnels that may come to have one underlay address, though the file writes it in two ways.
func TestOneUnderlayInTwoWords(t *testing.T) {
	const (
		wrong = "protect: a has the same underlay and the profile p: "
		maybe = "protect: a has the profile p and perhaps the same underlay, "
	)
	for _, tt := range []struct {
		name, interfaces, a, b string
		fails, warns           string
	}{
		{"one interface", "", "eth0", "eth0", wrong, ""},
		{"two interfaces", "", "eth0", "eth1", "", ""},
		{"an interface, and an address of whom it may be", "", "eth0", "192.0.2.1", "", maybe + "eth0 and 192.0.2.1: "},
		{"the other way about", "", "192.0.2.1", "eth0", "", maybe + "192.0.2.1 and eth0: "},
		{"an interface, and its address", "eth0: {address: 192.0.2.1/24}", "eth0", "192.0.2.1", wrong, ""},
		{"an interface, and one of its addresses", "eth0: {address: [192.0.2.1/24, 192.0.2.2/24]}", "eth0", "192.0.2.2", "", maybe},
		{"an interface, and the address of another", "eth1: {address: 192.0.2.1/24}", "eth0", "192.0.2.1", "", ""},
		{"an interface, and an address of the other family", "", "eth0", `"2001:db8::1"`, "", ""},
		{"one address, its family told and not", "", `"2001:db8::1"`, `"2001:db8::1"`, wrong, ""},
		{"an IPv6 address and its interface, by family", "eth0: {address: \"2001:db8::1/64\"}", "eth0, underlay-family: ipv6", `"2001:db8::1"`, wrong, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "version: 1\ninterfaces: {" + tt.interfaces + "}\ntunnels:\n" +
				"  a: {underlay: " + tt.a + ", address: 10.0.0.1/24, key: 1, protect: p, nhrp: {network-id: 1}}\n" +
				"  b: {underlay: " + tt.b + ", address: 10.1.0.1/24, key: 2, protect: q, nhrp: {network-id: 2}}\n" +
				"profiles:\n  p: {psk-file: corp.psk}\n  q: {psk-file: corp.psk}\n"
			_, warnings, err := ParseWith("t", []byte(text), testSecrets)
			if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
			if (len(warnings) > 0) != (tt.warns != "") || len(warnings) > 0 && !strings.Contains(warnings[0].String(), tt.warns) {
				t.Errorf("warnings %v, want %q", warnings, tt.warns)
			}
		})
	}
}

// Nothing that the program prints or says has a key in it.
func TestKeysStayOut(t *testing.T) {
	text := protected("psk: "+testKey, "psks: [{psk: "+testKey+"}]", "ppk: [{id: a, secret: "+testKey+"}]", "psk-file: x", "mode: "+testKey[:0]+"nonsense")
	_, _, err := ParseWith("t", []byte(text), testSecrets)
	if err == nil || strings.Contains(err.Error(), testKey) {
		t.Errorf("errors: %v", err)
	}
	c, warnings := parseProtected(t, protected("psk: "+testKey, "psks: [{psk: "+testKey+"}]", "ppk: [{id: a, secret: "+testKey+"}]"))
	d, _ := parseProtected(t, protected("psk: x"+testKey, "psks: [{psk: y"+testKey+"}]", "ppk: [{id: a, secret: z"+testKey+"}]"))
	if out := string(c.Redacted()); strings.Contains(out, testKey) || strings.Count(out, "<redacted>") != 3 {
		t.Errorf("printed:\n%s", out)
	}
	changes := Diff(c, d)
	if len(changes) != 3 {
		t.Errorf("changes: %v", changes)
	}
	for _, change := range changes {
		if strings.Contains(change.String(), testKey) {
			t.Error(change)
		}
	}
	for _, w := range warnings {
		if strings.Contains(w.String(), testKey) {
			t.Error(w)
		}
	}
}

// A reload reads the files again, and only a profile of which something changed is another one.
func TestProfilesCompareByContent(t *testing.T) {
	text := protected("certificate: hub.pem", "key: hub.key", "ca: ca.pem", "crl: ca.crl") + "  q: {psk-file: corp.psk}\n"
	before, _ := parseProtected(t, text)
	same, _ := parseProtected(t, strings.Replace(text, "crl: ca.crl", "crl:\n    - ca.crl", 1))
	if diff := Diff(before, same); len(diff) > 0 {
		t.Errorf("the same again: %v", diff)
	}
	same.Adopt(before)
	if same.Profiles[0].IKE != before.Profiles[0].IKE || same.Profiles[1].IKE != before.Profiles[1].IKE {
		t.Error("what is as before is made anew")
	}
	files := fstest.MapFS{}
	for name, f := range testFiles() {
		files[name] = f
	}
	files["ca.crl"] = testFiles()["revoked.crl"]
	after, _, err := ParseWith("t", []byte(text), func(name string) (fs.File, error) { return files.Open(name) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := Diff(before, after); len(diff) != 1 || diff[0].String() != "changed profiles.p.crl" {
		t.Errorf("another list in the same file: %v", diff)
	}
	after.Adopt(before)
	if after.Profiles[0].IKE == before.Profiles[0].IKE {
		t.Error("another list in the same file, and the old profile is kept")
	}
	if after.Profiles[1].IKE != before.Profiles[1].IKE {
		t.Error("the other profile is made anew")
	}
}

func TestConfigurationWithKeysForAllToRead(t *testing.T) {
	for _, tt := range []struct {
		key  string
		mode os.FileMode
		want bool
	}{
		{"psk: " + testKey, 0o644, true}, {"psk: " + testKey, 0o640, false}, {"psk-file: key", 0o644, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "t.yaml")
		for name, data := range map[string]string{file: protected(tt.key), filepath.Join(dir, "key"): testKey} {
			if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(warnings) > 0; got != tt.want {
			t.Errorf("%s, mode %o: %v", tt.key[:8], tt.mode, warnings)
		}
	}
}
