package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/ike/suite"
)

// What keys of profiles come to.

// anybody is the pattern of every peer.
var anybody = mustPattern("*")

func mustPattern(s string) auth.Pattern {
	p, err := auth.ParsePattern(s)
	if err != nil {
		panic(err)
	}
	return p
}

func freshProfile(name string) (Profile, error) {
	return Profile{Name: name, IKE: &ike.Profile{
		Name:         name,
		IKELifetime:  ike.DefaultIKELifetime,
		ESPLifetime:  ike.DefaultESPLifetime,
		DPD:          ike.DefaultDPD,
		MOBIKE:       true,
		FragmentSize: ike.DefaultFragmentSize,
		DiscoverMTU:  true,
	}}, checkName(name)
}

func pskAt(p *Profile) (value, file *string) { return &p.src.psk.text, &p.src.psk.file }

func peerSecretAt(s *peerSecret) (value, file *string) { return &s.text, &s.file }

func ppkAt(k *ppk) (value, file *string) { return &k.text, &k.file }

func setIdentity(p *Profile, n *node) error {
	s, err := parseWord(n, anything)
	if err != nil {
		return err
	}
	if p.IKE.Local, err = auth.ParseIdentity(s); err != nil {
		return wrongf("%v", err)
	}
	p.src.identity = s
	return nil
}

var crlPolicies = []string{auth.Lenient: "lenient", auth.Strict: "strict"}

func setCRLPolicy(p *Profile, n *node) error {
	i := slices.Index(crlPolicies, n.text)
	if i < 0 || n.kind != text {
		return wrong{"want " + either(crlPolicies), near(n.text, crlPolicies)}
	}
	p.src.revocation = auth.Revocation(i)
	return nil
}

// getCRLPolicy prints it where there are certificates.
func getCRLPolicy(p *Profile) string {
	if len(p.src.ca) == 0 {
		return ""
	}
	return crlPolicies[p.src.revocation]
}

func pattern[T any](at func(*T) *auth.Pattern) shape[T] {
	return scalar("identity or pattern", text, at, parsePattern, auth.Pattern.String)
}

func patterns[T any](at func(*T) *[]auth.Pattern) shape[T] {
	return several("identity or pattern, or a list", at, parsePattern, auth.Pattern.String)
}

func parsePattern(n *node) (auth.Pattern, error) {
	s, err := parseWord(n, anything)
	if err != nil {
		return auth.Pattern{}, err
	}
	p, err := auth.ParsePattern(s)
	if err != nil {
		return p, wrongf("%v", err)
	}
	return p, nil
}

func prefixes[T any](at func(*T) *[]netip.Prefix) shape[T] {
	return several("prefix, or a list", at, parseNetwork, netip.Prefix.String)
}

func setFragmentation(p *Profile, n *node) error {
	if n.kind == number && n.text == "0" {
		p.IKE.FragmentSize = 0
		return nil
	}
	v, err := parseCount(n, minMTU, maxMTU)
	p.IKE.FragmentSize = int(v)
	return err
}

type parsePolicy func(string) (suite.Policy, error)

// suiteDefault is the word for our own suites, in a list of them.
const suiteDefault = "default"

// suites is a suite or a list of them, in order of preference; none is the default.
func suites(at func(*Profile) *[]string, parse parsePolicy) shape[Profile] {
	check := func(s string) error {
		if s == suiteDefault {
			return nil
		}
		if _, err := parse(s); err != nil {
			return wrongSuite(s, err, parse)
		}
		return nil
	}
	return several("suite, or a list", at, func(n *node) (string, error) { return parseWord(n, check) }, func(s string) string { return s })
}

// suiteWords are what people write into suites, for suggestions.
var suiteWords = []string{
	"aes128", "aes192", "aes256", "aes128gcm", "aes192gcm", "aes256gcm", "chacha20poly1305",
	"sha1", "sha256", "sha384", "sha512", "prfsha1", "prfsha256", "prfsha384", "prfsha512",
	"modp1024", "modp1536", "modp2048", "modp3072", "modp4096", "p256", "p384", "p521", "x25519", "mlkem768", "mlkem1024", "none", "esn", "noesn",
}

// wrongSuite suggests the suite with its first unknown word replaced, where that makes sense of it.
func wrongSuite(s string, err error, parse parsePolicy) error {
	why := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		why = inner.Error() // without the suite, which stands there already
	}
	why = fmt.Sprintf("%q: %s", show(s), why)
	parts := strings.Split(s, "-")
	for i, part := range parts {
		meant := near(part, suiteWords)
		if meant == "" || meant == part {
			continue
		}
		better := strings.Join(slices.Concat(parts[:i], []string{meant}, parts[i+1:]), "-")
		if _, err := parse(better); err == nil {
			return wrong{why, better}
		}
	}
	return wrong{message: why}
}

// complete makes of a profile what IKE takes.
func (p *Profile) complete(r *reader, path string) {
	p.completeProofs(r, path)
	p.IKE.IKE = policies(p.src.ike, suite.ParseIKEPolicy, suite.DefaultIKE)
	p.IKE.ESP = policies(p.src.esp, suite.ParseChildPolicy, suite.DefaultChild)
	if len(p.src.ike) == 0 {
		p.src.ike = []string{suiteDefault}
	}
	if len(p.src.esp) == 0 {
		p.src.esp = []string{suiteDefault}
	}
}

// policies are those that the words stand for. Words that could not be read have been reported and left out.
func policies(words []string, parse parsePolicy, standard func() []suite.Policy) []suite.Policy {
	if len(words) == 0 {
		return standard()
	}
	var out []suite.Policy
	for _, w := range words {
		if w == suiteDefault {
			out = append(out, standard()...)
		} else if p, err := parse(w); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// completeProofs takes the proofs together: pre-shared keys, or certificates, and PPKs beside either.
func (p *Profile) completeProofs(r *reader, path string) {
	if p.src.psk.text != "" {
		p.IKE.PSKs = append(p.IKE.PSKs, ike.PSK{Peer: anybody, Secret: []byte(p.src.psk.text)})
	}
	for _, s := range p.src.psks {
		p.IKE.PSKs = append(p.IKE.PSKs, ike.PSK{Peer: s.peer, Secret: []byte(s.text)})
	}
	for _, k := range p.src.ppks {
		p.IKE.PPKs = append(p.IKE.PPKs, ike.PPK{ID: k.id, Secret: []byte(k.text)})
	}
	if len(p.src.certificate)+len(p.src.key) > 0 {
		p.completeCredential(r, path)
	}
	if len(p.src.ca)+len(p.src.crl) > 0 {
		p.completeTrust(r, path)
	}
	if p.IKE.Credential != nil && p.src.identity == "" {
		p.IKE.Local = ownName(p.IKE.Credential)
	}
}

func (p *Profile) completeCredential(r *reader, path string) {
	certificate, key := join(path, "certificate"), join(path, "key")
	switch {
	case r.bad[certificate] || r.bad[key]:
		return
	case len(p.src.key) == 0:
		r.failAt(certificate, "certificate: its private key is missing: give key")
		return
	case len(p.src.certificate) == 0:
		r.failAt(key, "key: the certificate it belongs to is missing: give certificate")
		return
	}
	c, err := auth.LoadCredential(contents(p.src.certificate), contents(p.src.key))
	if err != nil {
		why := err.Error()
		at := certificate
		if strings.HasPrefix(why, "private key:") || strings.Contains(why, "do not belong together") {
			at = key
		}
		r.failAt(at, "%s: %s", last(at), strings.TrimPrefix(why, "certificate: "))
		return
	}
	c.AllowSHA1 = p.IKE.AllowSHA1
	p.IKE.Credential = c
}

func (p *Profile) completeTrust(r *reader, path string) {
	ca, crl := join(path, "ca"), join(path, "crl")
	switch {
	case r.bad[ca] || r.bad[crl]:
		return
	case len(p.src.ca) == 0:
		r.failAt(crl, "crl: revocation lists without the authorities they are of: give ca")
		return
	}
	roots := texts(p.src.ca)
	if _, err := auth.NewTrust(roots, nil, nil); err != nil { // without the lists, to say which of the two is wrong
		r.failAt(ca, "ca: %v", err)
		return
	}
	var between [][]byte // our own chain: peers may leave out what we have
	if p.IKE.Credential != nil {
		between = texts(p.src.certificate)
	}
	t, err := auth.NewTrust(roots, between, texts(p.src.crl))
	if err != nil {
		r.failAt(crl, "crl: %v", err)
		return
	}
	t.Revocation = p.src.revocation
	p.IKE.Trust = t
}

// texts are what is in files.
func texts(files []file) [][]byte {
	var out [][]byte
	for _, f := range files {
		out = append(out, []byte(f.text))
	}
	return out
}

func contents(files []file) []byte { return slices.Concat(texts(files)...) }

// ownName is what we call ourselves by a certificate: its first DNS name, which patterns of peers are easily written
// for, else its subject.
func ownName(c *auth.Credential) auth.Identity {
	names := c.Identities()
	if len(names) == 0 {
		return auth.Identity{}
	}
	if names[0].Kind == auth.FQDN {
		return names[0]
	}
	return names[len(names)-1]
}

// holdsKeys reports whether keys stand in the configuration itself.
func (c *Config) holdsKeys() bool {
	here := func(s secret) bool { return s.text != "" && s.file == "" }
	return slices.ContainsFunc(c.Profiles, func(p Profile) bool {
		return here(p.src.psk) || slices.ContainsFunc(p.src.psks, func(s peerSecret) bool { return here(s.secret) }) ||
			slices.ContainsFunc(p.src.ppks, func(k ppk) bool { return here(k.secret) })
	})
}

// Files are the names, as written, of all files that the configuration was read from besides its own.
func (c *Config) Files() []string {
	var out []string
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, t := range c.Tunnels {
		add(t.AuthenticationFile)
	}
	for _, p := range c.Profiles {
		add(p.src.psk.file)
		for _, s := range p.src.psks {
			add(s.file)
		}
		for _, k := range p.src.ppks {
			add(k.file)
		}
		for _, f := range slices.Concat(p.src.certificate, p.src.key, p.src.ca, p.src.crl) {
			add(f.name)
		}
	}
	return out
}
