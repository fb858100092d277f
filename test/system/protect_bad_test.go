package system

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// profiled is a router of a protected cloud with the profile given, a spoke unless it is number 1.
func profiled(h *host, profile string) string {
	servers := ", servers: [{nbma: 10.9.0.1}]"
	if h.number == 1 {
		servers = ""
	}
	return fmt.Sprintf(`version: 1
node: %s
tunnels:
  tun0: {underlay: eth0, address: 10.100.0.%d/24, key: 42, protect: corp, nhrp: {network-id: 1, holdtime: 60s%s}}
profiles:
  corp: {%s}
`, h.name, h.number, servers, profile)
}

// steady pings from a host until it is told to end, and then demands that nothing was lost.
func (h *host) steady(to string) (end func()) {
	h.w.t.Helper()
	c := h.command("ping", "-n", "-q", "-i", "0.05", "-W", "5", "-w", "120", to)
	var out strings.Builder
	c.Stdout = &out
	if err := c.Start(); err != nil {
		h.w.t.Fatal(err)
	}
	return func() {
		h.w.t.Helper()
		c.Process.Signal(os.Interrupt)
		c.Wait()
		var sent, got int
		for line := range strings.Lines(out.String()) {
			fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &got)
		}
		if sent < 10 || sent-got > 1 { // one may be on its way
			h.w.t.Errorf("another peer was disturbed: of %d probes from %s %d were answered\n%s", sent, h.name, got, out.String())
		}
	}
}

// badPeer is a router that the hub turns away, or that turns the hub away.
type badPeer struct {
	name    string
	profile string
	spoke   string // in its own `why`
	asks    string // whom it asks for protection, the hub unless it says so
	hub     string // in the hub's `why` and log; "" when the hub hears nothing of it
	prepare func(*daemon)
	daemon  *daemon
}

// turnedAway demands that each bad peer is named with its cause at both ends, in `why`, and once in the log, while a good peer
// loses nothing and the hub does not grow.
func turnedAway(w *world, hub, good *daemon, bad []*badPeer) {
	t := w.t
	t.Helper()
	good.reaches("10.100.0.1")
	end := good.steady("10.100.0.1")
	before, begin := hub.memory(), time.Now()
	for _, b := range bad {
		h := w.host(b.name)
		b.daemon = h.daemon(profiled(h, b.profile))
		if b.prepare != nil {
			b.prepare(b.daemon)
		} else {
			b.daemon.start()
		}
	}
	for _, b := range bad {
		asks := cmp.Or(b.asks, "10.9.0.1")
		w.within(40*time.Second, b.name+": why tells the cause", func() error { return b.daemon.blames(asks, b.spoke) })
		if b.hub == "" {
			continue
		}
		w.within(15*time.Second, b.name+": why tells the cause at the hub", func() error { return hub.blames(b.daemon.nbma(), b.hub) })
	}
	time.Sleep(2 * time.Second) // they try again
	most := 1 + int(time.Since(begin)/time.Minute)
	for _, b := range bad {
		if n := b.daemon.told("event=ike.failed", "", b.spoke); n == 0 || n > most {
			t.Errorf("%s: its log tells %q %d times", b.name, b.spoke, n)
		}
		if n := hub.told("event=ike.refused", b.daemon.nbma(), b.hub); b.hub != "" && (n == 0 || n > most) {
			t.Errorf("%s: the hub's log tells %q %d times", b.name, b.hub, n)
		}
		if b.daemon.told("event=nhrp.registered", "", "") > 0 {
			t.Errorf("%s is registered", b.name)
		}
	}
	if grown := hub.memory() - before; grown > 32 {
		t.Errorf("the hub grew by %d MiB", grown)
	}
	end()
}

// blames demands that `why` ends at a stage that failed, with the words given, and something to do about it.
func (d *daemon) blames(peer, words string) error {
	stages, code := d.why(peer)
	if code != 3 || len(stages) == 0 {
		return fmt.Errorf("exit %d, %+v", code, stages)
	}
	for _, s := range stages {
		if strings.Contains(s.Detail, words) && s.State != "ok" {
			if s.Remedy == "" {
				return fmt.Errorf("nothing to do about %+v", s)
			}
			return nil
		}
	}
	return fmt.Errorf("want %q in %+v", words, stages)
}

// told counts the lines of the log with all of the words.
func (d *daemon) told(words ...string) (n int) {
	for line := range strings.Lines(d.log()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

// Peers with another pre-shared key, with no suite in common, and one that is not there.
func TestBadPeers(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	h := w.host("hub")
	const ours = "psk: " + `"` + goodPSK + `"`
	hub := h.daemon(profiled(h, ours)).start()
	g := w.host("good")
	good := g.daemon(profiled(g, ours)).start()
	turnedAway(w, hub, good, []*badPeer{
		{name: "wrongkey", profile: `psk: "another key than everybody has"`, spoke: "AUTHENTICATION_FAILED", hub: "pre-shared keys differ"},
		{name: "nosuite", profile: ours + ", ike: aes128-sha1-modp1024", spoke: "no proposal was acceptable", hub: "no proposal"},
		{name: "noesp", profile: ours + ", esp: aes128-sha1", spoke: "no proposal was acceptable", hub: "no child: no proposal was acceptable"},
		{name: "alone", profile: ours, asks: "10.9.0.200", spoke: "no answer to IKE_SA_INIT", prepare: func(d *daemon) {
			d.configure(strings.Replace(profiled(d.host, ours), "10.9.0.1", "10.9.0.200", 1))
			d.start()
		}},
	})
}

// pki is an authority and what it issues, as files of a world.
type pki struct {
	*world
	root *authtest.Entity
}

func (p *pki) file(name string, data []byte) string {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// profile is that of a router with a certificate.
func (p *pki) profile(e *authtest.Entity, name string) string {
	return fmt.Sprintf("certificate: %s, key: %s, ca: %s", p.file(name+".pem", e.ChainPEM()), p.file(name+".key", e.KeyPEM()), "ca.pem")
}

// Peers whose certificates are expired, not valid yet, revoked, of an authority that nobody knows, or of somebody else.
func TestBadCertificates(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	now := time.Now()
	p := &pki{w, authtest.Root("Acme", now, authtest.P256)}
	p.file("ca.pem", p.root.CertPEM())
	issue := func(name string, edits ...authtest.Edit) *authtest.Entity {
		return p.root.Issue(name, authtest.P256, append([]authtest.Edit{authtest.Names(name + ".example.com")}, edits...)...)
	}
	stranger := authtest.Root("Nobody", now, authtest.P256)
	revoked := issue("revoked")
	p.file("ca.crl", p.root.CRL(now.Add(-time.Hour), now.Add(time.Hour), authtest.Revoked{Entity: revoked, At: now.Add(-time.Minute), Reason: 1}))
	h, g := w.host("hub"), w.host("good")
	hub := h.daemon(profiled(h, p.profile(issue("hub"), "hub")+`, crl: ca.crl, peers: "*.example.com"`)).start()
	good := g.daemon(profiled(g, p.profile(issue("good"), "good"))).start()
	foreign := stranger.Issue("foreign", authtest.P256, authtest.Names("foreign.example.com"))
	p.file("both.pem", append(p.root.CertPEM(), stranger.CertPEM()...))
	turnedAway(w, hub, good, []*badPeer{
		{name: "expired", profile: p.profile(issue("expired", authtest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))), "expired"),
			spoke: "AUTHENTICATION_FAILED", hub: "expired on"},
		{name: "future", profile: p.profile(issue("future", authtest.Valid(now.Add(time.Hour), now.Add(2*time.Hour))), "future"),
			spoke: "AUTHENTICATION_FAILED", hub: "not valid before"},
		{name: "another", profile: p.profile(issue("me"), "another") + ", identity: another.example.com",
			spoke: "AUTHENTICATION_FAILED", hub: "another.example.com is not in it"},
		{name: "revoked", profile: p.profile(revoked, "revoked"), spoke: "AUTHENTICATION_FAILED", hub: "revoked"},
		{name: "foreign", profile: strings.Replace(p.profile(foreign, "foreign"), "ca.pem", "both.pem", 1), spoke: "AUTHENTICATION_FAILED", hub: "no path leads to an authority of ours"},
		{name: "elsewhere", profile: p.profile(p.root.Issue("elsewhere", authtest.P256, authtest.Names("elsewhere.example.org")), "elsewhere"),
			spoke: "AUTHENTICATION_FAILED", hub: "none of the peers"},
	})
}

// Who was let in once is not let in for good: an SA ends when its peer's certificate is revoked, when it expires, and when the
// peer is not wanted any more. Others notice nothing. A reload with half a key is refused, and changes nothing.
func TestShutOut(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	now := time.Now()
	p := &pki{w, authtest.Root("Acme", now, authtest.P256)}
	p.file("ca.pem", p.root.CertPEM())
	issue := func(name string, edits ...authtest.Edit) *authtest.Entity {
		return p.root.Issue(name, authtest.P256, append([]authtest.Edit{authtest.Names(name + ".example.com")}, edits...)...)
	}
	list := func(revoked ...authtest.Revoked) {
		p.file("ca.crl", p.root.CRL(now.Add(time.Duration(len(revoked))*time.Second-time.Hour), now.Add(time.Hour), revoked...))
	}
	list()
	const life = 12 * time.Second // of the certificate that ends
	stolen := issue("stolen")
	h := w.host("hub")
	hubProfile := p.profile(issue("hub"), "hub") + ", crl: ca.crl, peers: "
	hub := h.daemon(profiled(h, hubProfile+`"*.example.com"`)).start()
	spokes := map[string]*daemon{}
	join := func(name string, e *authtest.Entity) {
		g := w.host(name)
		spokes[name] = g.daemon(profiled(g, p.profile(e, name))).start().registered(1)
	}
	join("good", issue("good"))
	join("stolen", stolen)
	join("left", issue("left"))
	until := time.Now().Add(life)
	join("late", issue("late", authtest.Valid(now.Add(-time.Hour), until)))
	end := spokes["good"].steady("10.100.0.1")
	out := func(name, cause string) {
		t.Helper()
		d := spokes[name]
		w.within(life+10*time.Second, name+" is out", func() error {
			for _, row := range hub.peers() {
				if row.State == "up" && strings.HasPrefix(row.NBMA, d.nbma()+":") {
					return fmt.Errorf("%+v", row)
				}
			}
			return hub.blames(d.nbma(), cause)
		})
		if !d.unregistered() {
			t.Errorf("%s is registered", name)
		}
	}
	list(authtest.Revoked{Entity: stolen, At: now, Reason: 1})
	hub.did("reload")
	out("stolen", "revoked")
	hub.configure(profiled(h, hubProfile+"[good.example.com, late.example.com, stolen.example.com]"))
	hub.did("reload")
	out("left", "none of the peers")
	key, _ := os.ReadFile(filepath.Join(w.dir, "hub.key"))
	p.file("hub.key", key[:len(key)/2])
	if r := hub.cli("reload"); r.code != 6 || !strings.Contains(r.err, "the file is cut short or damaged") {
		t.Errorf("half a key: %v", r)
	}
	if time.Until(until) > 0 && spokes["late"].unregistered() && time.Until(until) > 0 {
		t.Error("late is out before its time")
	}
	out("late", "expired")
	end()
}

// What is wrong with our own credentials is said before anything starts. What only a peer or a clock can judge is a warning.
func TestBadCredentialsRefused(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	now := time.Now()
	p := &pki{w, authtest.Root("Acme", now, authtest.P256)}
	p.file("ca.pem", p.root.CertPEM())
	issue := func(from, to time.Duration) *authtest.Entity {
		return p.root.Issue("me", authtest.P256, authtest.Names("me.example.com"), authtest.Valid(now.Add(from), now.Add(to)))
	}
	h := w.host("me")
	sound := p.profile(issue(-time.Hour, time.Hour), "sound")
	key, _ := os.ReadFile(filepath.Join(w.dir, "sound.key"))
	p.file("cut.key", key[:len(key)/2])
	p.file("other.key", issue(-time.Hour, time.Hour).KeyPEM())
	p.file("empty.key", nil)
	certificate, _ := os.ReadFile(filepath.Join(w.dir, "sound.pem"))
	p.file("cut.pem", certificate[:len(certificate)/2])
	p.file("cutca.pem", p.root.CertPEM()[:200])
	p.file("empty.psk", nil)
	for _, tt := range []struct{ name, profile, want string }{
		{"truncated key", strings.Replace(sound, "sound.key", "cut.key", 1), "the file is cut short or damaged"},
		{"empty key", strings.Replace(sound, "sound.key", "empty.key", 1), "the file is empty"},
		{"truncated certificate", strings.Replace(sound, "sound.pem", "cut.pem", 1), "the file is cut short or damaged"},
		{"truncated authority", strings.Replace(sound, "ca.pem", "cutca.pem", 1), "the file is cut short or damaged"},
		{"empty pre-shared key", "psk-file: empty.psk", "empty.psk"},
		{"key of another certificate", strings.Replace(sound, "sound.key", "other.key", 1), "they do not belong together"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := h.daemon(profiled(h, tt.profile))
			for _, r := range []result{d.cli("check"), d.refused()} {
				if r.code != 6 || !strings.Contains(r.err, tt.want) || strings.Count(strings.TrimSpace(r.err), "\n") > 1 {
					t.Errorf("want exit 6 and %q: %v", tt.want, r)
				}
				if strings.Contains(r.err, "BEGIN") || strings.Contains(r.err, string(key[40:60])) {
					t.Errorf("the key is shown: %v", r)
				}
			}
		})
	}
}

// What others will refuse us for is told by `check`.
func TestBadCredentialsWarned(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	now := time.Now()
	p := &pki{w, authtest.Root("Acme", now, authtest.P256)}
	p.file("ca.pem", p.root.CertPEM())
	issue := func(from, to time.Duration) *authtest.Entity {
		return p.root.Issue("me", authtest.P256, authtest.Names("me.example.com"), authtest.Valid(now.Add(from), now.Add(to)))
	}
	h := w.host("me")
	for _, tt := range []struct{ name, profile, want string }{
		{"expired", p.profile(issue(-2*time.Hour, -time.Hour), "past"), "expired on"},
		{"not valid yet, or the clock is slow", p.profile(issue(time.Hour, 2*time.Hour), "future"), "which is 59 minutes ahead; this host's clock says"},
		{"an identity that it does not name", p.profile(issue(-time.Hour, time.Hour), "me") + ", identity: you.example.com", "you.example.com is not in it"},
	} {
		if r := h.daemon(profiled(h, tt.profile)).cli("check"); r.code != 0 || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: want %q: %v", tt.name, tt.want, r)
		}
	}
}

// greeting is an IKE_SA_INIT request that is in order, from IKE's port, with its UDP header.
func greeting(rnd *rand.Rand) []byte {
	p := wire.Payloads{
		suite.OfferIKE(suite.DefaultIKE(), nil), &wire.KE{Group: uint16(suite.X25519), Data: noise(rnd, 32)}, &wire.Nonce{Data: noise(rnd, 32)},
	}
	body := wire.AppendPayloads(nil, p)
	h := wire.Header{SPIi: rnd.Uint64() | 1, Next: p.First(), Major: 2, Exchange: wire.SAInit, Flags: wire.Initiator, Length: uint32(wire.HeaderLen + len(body))}
	b := binary.BigEndian.AppendUint16(nil, 500)
	b = binary.BigEndian.AppendUint16(b, 500)
	b = binary.BigEndian.AppendUint16(b, uint16(8+wire.HeaderLen+len(body)))
	return append(h.Append(append(b, 0, 0)), body...)
}

// greetingsHeard is how many first messages of IKE a router hears in a second, whoever sends them (dataplane/user/ike.go). It
// answers each with less than was sent, so that nobody gains by having it answer somebody else.
const greetingsHeard = 5000

// A hub that is greeted 20,000 times from addresses that are not there holds and computes little of it, sends back less than
// came, keeps its peers, takes a new one meanwhile, and does not fill its log.
func TestGreetingFlood(t *testing.T) {
	needs(t)
	t.Parallel()
	w := quietWorld(t)
	const ours = `psk: "` + goodPSK + `"`
	h, g, late := w.host("hub"), w.host("good"), w.host("late")
	h.defaultRoute() // answers leave
	hub := h.daemon(profiled(h, ours)).start()
	good := g.daemon(profiled(g, ours)).start()
	good.reaches("10.100.0.1")
	evil := w.host("evil")
	out := evil.injector()
	rnd := rand.New(rand.NewPCG(5, 6))
	udp := func(b []byte) { b[9] = unix.IPPROTO_UDP }
	flood := func(count int) {
		for n := range count {
			from := netip.AddrFrom4([4]byte{198, 18, byte(rnd.Uint32()), byte(rnd.Uint32())})
			out.packet(from, addr(hub.nbma()), greeting(rnd), udp)
			if n%100 == 99 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	}
	flood(2000) // buffers and maps grow once
	end := good.steady("10.100.0.1")
	before, counted, lines := hub.memory(), hub.counters(), strings.Count(hub.log(), "\n")
	received, sent := h.carried()
	begin := time.Now()
	flood(10000)
	late.daemon(profiled(late, ours)).start()
	flood(10000)
	took := time.Since(begin)
	receivedNow, sentNow := h.carried()
	received, sent = receivedNow-received, sentNow-sent
	cookies := hub.counters()["cookie-sent"] - counted["cookie-sent"]
	t.Logf("in %v: %d octets came, %d left, %d cookies", took, received, sent, cookies)
	if most := (uint64(took.Seconds()) + 2) * greetingsHeard; cookies == 0 || cookies > most {
		t.Errorf("%d were asked for a cookie, want some, and no more than %d", cookies, most)
	}
	if sent > received {
		t.Errorf("the hub sent %d octets for %d", sent, received)
	}
	half := 0
	for _, r := range rowsOf[ike.IKERow](hub, "ike") {
		if r.State != "established" {
			half++
		}
	}
	if half > 256+8 {
		t.Errorf("%d half-open SAs", half)
	}
	if grown := hub.memory() - before; grown > 24 {
		t.Errorf("the hub grew by %d MiB", grown)
	}
	if n := strings.Count(hub.log(), "\n") - lines; n > 100 {
		t.Errorf("the flood is %d lines in the log:\n%s", n, last(hub.log(), 5))
	}
	late.reaches("10.100.0.1")
	end()
}

// carried is how many octets the host's underlay interface has received and sent.
func (h *host) carried() (received, sent int) {
	h.w.t.Helper()
	var links []struct {
		Stats64 struct{ Rx, Tx struct{ Bytes int } }
	}
	if err := json.Unmarshal([]byte(h.ip("-j", "-s", "link", "show", "dev", "eth0")), &links); err != nil {
		h.w.t.Fatal(err)
	}
	return links[0].Stats64.Rx.Bytes, links[0].Stats64.Tx.Bytes
}
