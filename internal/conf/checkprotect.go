package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

func (c *Config) profile(name string) *Profile {
	i, ok := slices.BinarySearchFunc(c.Profiles, name, func(p Profile, n string) int { return strings.Compare(p.Name, n) })
	if !ok {
		return nil
	}
	return &c.Profiles[i]
}

// wrap is how many octets the profile adds to a GRE packet, at most: ESP with its worst suite, UDP, for a NAT may be on
// the way whatever the encapsulation, and another IP header where tunnel mode may be.
func (p *Profile) wrap(ipv6 bool) int {
	worst := 0
	for _, policy := range p.IKE.ESP {
		worst = max(worst, overhead(policy))
	}
	const udp = 8
	switch {
	case p.IKE.Mode == ike.Transport:
		return worst + udp
	case ipv6:
		return worst + udp + 40
	}
	return worst + udp + 20
}

func overhead(p suite.Policy) int {
	worst := 0
	for _, e := range p.Encryptions {
		for _, i := range append(slices.Clone(p.Integrities), esp.NoIntegrity) {
			if s := (esp.Suite{Encryption: e.Encryption, KeyBits: e.KeyBits, Integrity: i}); s.Valid() {
				worst = max(worst, esp.Overhead(s))
			}
		}
	}
	return worst
}

// protection checks the profiles, and the tunnels with them.
func (k *checker) protection() {
	used := map[string]bool{}
	for i := range k.conf.Tunnels {
		t := &k.conf.Tunnels[i]
		used[t.Protect] = true
		k.protect(t)
	}
	k.shared()
	for i := range k.conf.Profiles {
		p := &k.conf.Profiles[i]
		path := join("profiles", p.Name)
		k.profile(path, p)
		k.claims(path, p)
		if !used[p.Name] {
			k.warnAt(path, "profile %s protects no tunnel", p.Name)
		}
	}
}

func (k *checker) protect(t *Tunnel) {
	path := join(pathOf(t), "protect")
	if t.Protect == "" || k.conf.profile(t.Protect) != nil {
		return
	}
	var names []string
	for _, p := range k.conf.Profiles {
		names = append(names, p.Name)
	}
	k.fail(path, k.place(path), wrong{fmt.Sprintf("protect: there is no %q under profiles", t.Protect), near(t.Protect, names)})
}

// shared holds that tunnels on one underlay have one protection: a pair of routers has one SA for all of its tunnels, and
// could not tell whose it is.
func (k *checker) shared() {
	var before []*Tunnel
	for i := range k.conf.Tunnels {
		t := &k.conf.Tunnels[i]
		if t.Protect == "" || k.underlay(t) == "" {
			continue
		}
		for _, o := range before {
			if k.share(o, t) {
				break
			}
		}
		before = append(before, t)
	}
}

// share compares the protection of two tunnels, and reports whether their underlay is, or may be, one.
func (k *checker) share(o, t *Tunnel) bool {
	same, maybe := k.sameUnderlay(o, t)
	switch protect := join(pathOf(t), "protect"); {
	case same && o.Protect != t.Protect:
		k.failAt(protect, "protect: %s has the same underlay and the profile %s: tunnels on one underlay share their SAs, so want one profile", o.Name, o.Protect)
	case same && o.Carrier != t.Carrier:
		k.failAt(join(pathOf(t), "encapsulation"), "encapsulation: %s has the same underlay and encapsulation %s: tunnels on one underlay share their SAs, so want one encapsulation", o.Name, o.Carrier)
	case maybe && o.Protect != t.Protect:
		k.warnAt(protect, "protect: %s has the profile %s and perhaps the same underlay, %s and %s: if so, one of the two stays down, as tunnels on one address share their SAs", o.Name, o.Protect, k.underlay(o), k.underlay(t))
	}
	return same || maybe
}

// sameUnderlay reports whether two tunnels have one underlay address, or may have: an interface can have any that the file
// gives to no other.
func (k *checker) sameUnderlay(a, b *Tunnel) (same, maybe bool) {
	at, bt := k.underlay(a), k.underlay(b)
	ia, erra := netip.ParseAddr(at)
	ib, errb := netip.ParseAddr(bt)
	switch {
	case erra == nil && errb == nil:
		return ia == ib, false
	case erra == nil:
		return false, k.mayHave(b, ia)
	case errb == nil:
		return false, k.mayHave(a, ib)
	}
	return at == bt && a.UnderlayIPv6 == b.UnderlayIPv6, false
}

// mayHave reports whether the interface below a tunnel may have an address, as far as the file tells.
func (k *checker) mayHave(t *Tunnel, a netip.Addr) bool {
	owner := k.own[a]
	return a.Is6() == t.UnderlayIPv6 && (owner == "" || owner == t.UnderlayInterface)
}

func (k *checker) profile(path string, p *Profile) {
	k.proofs(path, p)
	k.weakSecrets(path, p)
	k.weakSuites(join(path, "ike"), p.src.ike, suite.ParseIKEPolicy)
	k.weakSuites(join(path, "esp"), p.src.esp, suite.ParseChildPolicy)
	if p.IKE.AllowSHA1 {
		k.warnAt(join(path, "allow-sha1"), "allow-sha1: collisions of SHA-1 can be made: only for peers that know no better")
	}
	if p.IKE.NeedPPK && len(p.src.ppks) == 0 {
		k.failAt(join(path, "ppk-required"), "ppk-required: there is no ppk: no peer could ever be accepted")
	}
	if at := join(path, "crl-policy"); k.has(at) && !k.bad[at] && len(p.src.ca) == 0 {
		k.failAt(join(path, "crl-policy"), "crl-policy: is of certificates: give ca")
	}
	k.certificate(path, p)
}

// proofs holds that a profile has one way to prove who we are, and all that it takes.
func (k *checker) proofs(path string, p *Profile) {
	psk := k.has(join(path, "psk")) || k.has(join(path, "psk-file")) || k.has(join(path, "psks"))
	certificate := k.has(join(path, "certificate")) || k.has(join(path, "key"))
	trust := k.has(join(path, "ca")) || k.has(join(path, "crl"))
	switch {
	case psk && (certificate || trust):
		k.failAt(path, "profile %s has a pre-shared key and a certificate: want one of them", p.Name)
	case certificate && !k.has(join(path, "ca")):
		k.failAt(path, "profile %s has no ca: no peer's certificate could be believed", p.Name)
	case trust && !certificate:
		k.failAt(path, "profile %s has no certificate and key: it could not prove who we are", p.Name)
	case !psk && !certificate:
		k.failAt(path, "profile %s has neither psk-file nor certificate, key and ca: it could not prove who we are", p.Name)
	}
	k.secretsGiven(path, p)
}

// secretsGiven holds that each entry of a list has its secret, and that no PPK has another's name.
func (k *checker) secretsGiven(path string, p *Profile) {
	for i, s := range p.src.psks {
		if at := item(join(path, "psks"), i); s.secret == (secret{}) && !k.bad[join(at, "psk")] {
			k.failAt(at, "psks: the key is missing: give psk-file")
		}
	}
	names := map[string]bool{}
	for i, s := range p.src.ppks {
		at := item(join(path, "ppk"), i)
		if s.secret == (secret{}) && !k.bad[join(at, "secret")] {
			k.failAt(at, "ppk: the key is missing: give secret-file")
		}
		if names[s.id] {
			k.failAt(at, "ppk: the id %s is given twice", show(s.id))
		}
		names[s.id] = s.id != ""
	}
}

func (k *checker) weakSecrets(path string, p *Profile) {
	k.weakSecret(path, "psk", p.src.psk, minPSK)
	for i, s := range p.src.psks {
		k.weakSecret(item(join(path, "psks"), i), "psk", s.secret, minPSK)
	}
	for i, s := range p.src.ppks {
		k.weakSecret(item(join(path, "ppk"), i), "secret", s.secret, minPPK)
	}
}

// What a secret should have, at least: whoever poses as a peer can try candidates at leisure (RFC 7296 section 5), and
// 256 bits of PPK are what withstands a quantum computer (RFC 8784 section 6).
const (
	minPSK      = 20
	minPPK      = 32
	minDistinct = 8 // characters
)

// weakSecret warns of a secret that can be guessed. It says nothing of what is in it.
func (k *checker) weakSecret(path, key string, s secret, least int) {
	if s.text == "" || len(s.text) >= least && distinct(s.text) >= minDistinct {
		return
	}
	if s.file != "" {
		key += "-file"
	}
	k.warnAt(join(path, key), "%s: the key can be guessed by whoever poses as a peer once: want %d random characters or more, as `openssl rand -base64 32` makes them", key, least)
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, c := range s {
		seen[c] = true
	}
	return len(seen)
}

// weakSuites says why each suite that has something weak does. The default has nothing.
func (k *checker) weakSuites(path string, words []string, parse parsePolicy) {
	for i, w := range words {
		if w == suiteDefault {
			continue
		}
		if p, err := parse(w); err == nil {
			for _, why := range p.Weak() {
				k.warnAt(item(path, i), "%s: %s: weak: %s", last(path), w, why)
			}
		}
	}
}

// soon is how long before its end a certificate is warned of.
const soon = 14 * 24 * time.Hour

// certificate warns of what peers would refuse, now or soon. The daemon starts all the same: a clock may be wrong, and
// the certificate may be replaced while it runs.
func (k *checker) certificate(path string, p *Profile) {
	c, t := p.IKE.Credential, p.IKE.Trust
	if t != nil {
		for _, w := range t.Warnings(k.now) {
			k.warnAt(join(path, "ca"), "%s", w)
		}
	}
	if c == nil {
		return
	}
	at := join(path, "certificate")
	left := c.Expires().Sub(k.now)
	err := c.Check(k.now)
	switch {
	case err != nil:
		k.warnAt(at, "certificate: %v", err)
	case left < soon:
		k.warnAt(at, "certificate: it ends in %s, on %s", left.Round(time.Hour), c.Expires().UTC().Format(time.DateOnly))
	}
	if err := c.Holds(p.IKE.Local); err != nil && k.has(join(path, "identity")) {
		k.warnAt(join(path, "identity"), "identity: peers will not believe it: %v", err)
	} else if t != nil && c.Check(k.now) == nil {
		if _, err := t.Check(c.Chain, p.IKE.Local, k.now); err != nil {
			k.warnAt(at, "certificate: peers with this ca would refuse it: %v", err)
		}
	}
}

// Adopt takes over from the configuration in force the profiles that are the same, with all that their files hold, so
// that whoever was given one sees by the pointer that nothing changed.
func (c *Config) Adopt(before *Config) {
	for i := range c.Profiles {
		p := &c.Profiles[i]
		old := before.profile(p.Name)
		if old != nil && len(diffNodes("", profileKeys.write(old), profileKeys.write(p))) == 0 {
			p.IKE = old.IKE
		}
	}
}
