package auth

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// pki is a root with one intermediate and one end, all right.
type pki struct {
	root, middle, end *authtest.Entity
}

func newPKI() pki {
	root := authtest.Root("Root", now, authtest.P256)
	middle := root.Intermediate("Middle", authtest.P384)
	end := middle.Issue("hub", authtest.P256, authtest.Names("hub.example.com", "192.0.2.1", "2001:db8::1", "ops@example.com"))
	return pki{root, middle, end}
}

func (p pki) trust(t *testing.T, crls ...[]byte) *Trust {
	t.Helper()
	return mustTrust(t, [][]byte{p.root.CertPEM()}, nil, crls)
}

func mustTrust(t *testing.T, roots, intermediates, crls [][]byte) *Trust {
	t.Helper()
	trust, err := NewTrust(roots, intermediates, crls)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// wantReason fails unless err is a refusal for this reason with these words in it; 0 is no error.
func wantReason(t *testing.T, name string, err error, want Reason, words string) {
	t.Helper()
	if want == 0 {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return
	}
	var refused *CertificateError
	if !errors.As(err, &refused) {
		t.Errorf("%s: got %v, want %v", name, err, want)
		return
	}
	if refused.Reason != want || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: got %v (%v), want %v with %q", name, err, refused.Reason, want, words)
	}
}

// TestBinding: RFC 4945 section 3.1, which identity a certificate proves.
func TestBinding(t *testing.T) {
	p := newPKI()
	trust := p.trust(t)
	for _, tt := range []struct {
		id    string
		want  Reason
		words string
	}{
		{"hub.example.com", 0, ""},
		{"HUB.example.com", 0, ""},
		{"192.0.2.1", 0, ""},
		{"2001:db8::1", 0, ""},
		{"ops@example.com", 0, ""},
		{"CN=hub, O=Example", 0, ""},
		{"cn=HUB, o=example", 0, ""},
		{"spoke.example.com", WrongIdentity, "spoke.example.com is not in it: it is for hub.example.com; ops@example.com; 192.0.2.1; 2001:db8::1; CN=hub, O=Example"},
		{"192.0.2.2", WrongIdentity, ""},
		{"::ffff:192.0.2.1", WrongIdentity, ""},
		{"Ops@example.com", WrongIdentity, ""},
		{"hub", WrongIdentity, "common name says it, but does not count"},
		{"O=Example, CN=hub", WrongIdentity, "other order"},
		{"CN=hub", WrongIdentity, ""},
		{"keyid:hub", WrongIdentity, "key-id cannot"},
		{"fqdn:192.0.2.1", WrongIdentity, ""},
		{"fqdn:ops@example.com", WrongIdentity, ""},
	} {
		leaf, err := trust.Check(p.end.Chain(), mustID(t, tt.id), now)
		wantReason(t, tt.id, err, tt.want, tt.words)
		if (leaf != nil) != (err == nil) {
			t.Errorf("%s: certificate %v, error %v", tt.id, leaf != nil, err)
		}
	}
	if _, err := trust.Check(p.end.Chain(), Identity{}, now); err == nil {
		t.Error("no identity is in the certificate")
	}
}

func TestCommonName(t *testing.T) {
	p := newPKI()
	trust := p.trust(t)
	trust.CommonName = true
	old := p.middle.Issue("Old.example.com", authtest.P256)
	_, err := trust.Check(old.Chain(), mustID(t, "old.example.com"), now)
	wantReason(t, "asked for", err, 0, "")
	_, err = trust.Check(p.end.Chain(), mustID(t, "hub"), now)
	wantReason(t, "RFC 6125 6.4.4: with an FQDN beside it", err, WrongIdentity, "")
	_, err = p.trust(t).Check(old.Chain(), mustID(t, "old.example.com"), now)
	wantReason(t, "not asked for", err, WrongIdentity, "has to be a subject alternative name")
}

// TestWildcard: a star in a certificate is a character, and no identity of a peer makes it more.
func TestWildcard(t *testing.T) {
	p := newPKI()
	wild := p.middle.Issue("wild", authtest.P256, authtest.Names("*.example.com"))
	_, err := p.trust(t).Check(wild.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "wildcard", err, WrongIdentity, "")
}

func TestPath(t *testing.T) {
	p := newPKI()
	stranger := authtest.Root("Root", now.Add(time.Hour), authtest.Ed25519) // the name of ours, another key
	byStranger := stranger.Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	endAsCA := p.end.Issue("below", authtest.P256, authtest.Names("hub.example.com"))
	short := p.root.Intermediate("Short", authtest.P256, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := short.Intermediate("Below", authtest.P256).Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	weakCA := p.root.Intermediate("Weak", authtest.RSA1024)
	weak := p.middle.Issue("weak", authtest.RSA1024, authtest.Names("hub.example.com"))
	underWeak := weakCA.Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	noSign := p.root.Intermediate("NoSign", authtest.P256, authtest.Usage(x509.KeyUsageCRLSign)).Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	end, middle, root := p.end.Cert.Raw, p.middle.Cert.Raw, p.root.Cert.Raw
	for _, tt := range []struct {
		name  string
		chain [][]byte
		want  Reason
		words string
	}{
		{"leaf and intermediate", [][]byte{end, middle}, 0, ""},
		{"with the root", [][]byte{end, middle, root}, 0, ""},
		{"out of order", [][]byte{end, root, middle}, 0, ""},
		{"twice", [][]byte{end, middle, middle, end}, 0, ""},
		{"beside strangers", [][]byte{end, stranger.Cert.Raw, middle}, 0, ""},
		{"none", nil, Malformed, "peer sent 0"},
		{"no intermediate", [][]byte{end}, UnknownIssuer, "issued by CN=Middle, O=Example, from which no path"},
		{"unknown authority", byStranger.Chain(), UnknownIssuer, "no path"},
		{"unknown authority brought along", append(byStranger.Chain(), stranger.Cert.Raw), UnknownIssuer, "no path"},
		{"self-signed", [][]byte{stranger.Cert.Raw}, UnknownIssuer, ""},
		{"issued by an end", append(endAsCA.Chain(), middle), WrongUsage, "no authority, but signed"},
		{"path length", below.Chain(), WrongUsage, "path length"},
		{"authority that may not sign", noSign.Chain(), WrongUsage, ""},
		{"RSA of 1024 bits", weak.Chain(), WeakKey, "RSA key of 1024 bits is too short"},
		{"authority of 1024 bits", underWeak.Chain(), WeakKey, "CN=Weak"},
		{"empty certificate", [][]byte{{}}, Malformed, "number 1"},
		{"cut", [][]byte{end, middle[:100]}, Malformed, "number 2"},
		{"octets behind", [][]byte{append(slices.Clone(end), 0), middle}, Malformed, "number 1"},
		{"long", [][]byte{end, make([]byte, maxCertificate+1)}, Malformed, "octets"},
		{"too many", [][]byte{end, middle, end, end, end, end, end, end, end}, Malformed, "peer sent 9"},
	} {
		_, err := p.trust(t).Check(tt.chain, mustID(t, "hub.example.com"), now)
		wantReason(t, tt.name, err, tt.want, tt.words)
	}
}

// TestSHA1Certificate: crypto/x509 refuses it and says so to nobody.
func TestSHA1Certificate(t *testing.T) {
	root := authtest.Root("Root", now, authtest.RSA2048)
	end := root.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })
	_, err := mustTrust(t, [][]byte{root.CertPEM()}, nil, nil).Check(end.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "SHA-1", err, UnknownIssuer, "certificate of CN=hub, O=Example: signed with SHA1-RSA, which can be forged and is refused")
}

// TestKeyTypes: authorities and ends of each kind of key.
func TestKeyTypes(t *testing.T) {
	for _, typ := range []authtest.KeyType{authtest.P256, authtest.P384, authtest.P521, authtest.Ed25519, authtest.RSA2048} {
		root := authtest.Root("Root", now, typ)
		end := root.Issue("hub", typ, authtest.Names("hub.example.com"))
		leaf, err := mustTrust(t, [][]byte{root.CertPEM()}, nil, nil).Check(end.Chain(), mustID(t, "hub.example.com"), now)
		if err != nil {
			t.Errorf("key type %d: %v", typ, err)
			continue
		}
		c, err := LoadCredential(end.ChainPEM(), end.KeyPEM())
		if err != nil {
			t.Errorf("key type %d: %v", typ, err)
			continue
		}
		method, data, err := c.Sign([]byte("octets"), SignatureHashes(), nil)
		if err == nil {
			err = Verify(leaf, method, data, []byte("octets"), Options{})
		}
		if err != nil {
			t.Errorf("key type %d: %v", typ, err)
		}
	}
}

// TestCutCertificate: cut at every length, and with each octet changed, a certificate is refused.
func TestCutCertificate(t *testing.T) {
	p := newPKI()
	trust, id, chain := p.trust(t), mustID(t, "hub.example.com"), p.end.Chain()
	for n := range chain[0] {
		if _, err := trust.Check([][]byte{chain[0][:n], chain[1]}, id, now); err == nil {
			t.Fatalf("cut to %d octets", n)
		}
		changed := slices.Clone(chain[0])
		changed[n] ^= 0x01
		if _, err := trust.Check([][]byte{changed, chain[1]}, id, now); err == nil {
			t.Fatalf("octet %d changed", n)
		}
	}
}

// TestConfiguredIntermediates: a peer may leave out what we have; an intermediate of ours is no authority by itself.
func TestConfiguredIntermediates(t *testing.T) {
	p := newPKI()
	id := mustID(t, "hub.example.com")
	trust := mustTrust(t, [][]byte{p.root.CertPEM()}, [][]byte{p.middle.CertPEM()}, nil)
	_, err := trust.Check(p.end.Chain()[:1], id, now)
	wantReason(t, "left out", err, 0, "")
	other := authtest.Root("Other", now, authtest.P256)
	trust = mustTrust(t, [][]byte{other.CertPEM()}, [][]byte{p.middle.CertPEM(), p.root.CertPEM()}, nil)
	_, err = trust.Check(p.end.Chain(), id, now)
	wantReason(t, "root among the intermediates", err, UnknownIssuer, "")
}

// TestPinned: a certificate that is no authority is trusted for itself and vouches for nobody.
func TestPinned(t *testing.T) {
	p := newPKI()
	trust := mustTrust(t, [][]byte{p.end.CertPEM()}, nil, nil)
	_, err := trust.Check(p.end.Chain()[:1], mustID(t, "hub.example.com"), now)
	wantReason(t, "itself", err, 0, "")
	other := p.end.Issue("other", authtest.P256, authtest.Names("hub.example.com"))
	_, err = trust.Check(other.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "issued by it", err, WrongUsage, "no authority")
}

// TestNoTrust: crypto/x509 must never come to use the authorities of the system.
func TestNoTrust(t *testing.T) {
	p := newPKI()
	for _, trust := range []*Trust{nil, {}} {
		_, err := trust.Check(p.end.Chain(), mustID(t, "hub.example.com"), now)
		wantReason(t, "no authorities", err, UnknownIssuer, "no authority is trusted")
	}
}

func TestValidity(t *testing.T) {
	p := newPKI()
	day := 24 * time.Hour
	valid := func(from, to time.Duration) *authtest.Entity {
		return p.middle.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), authtest.Valid(now.Add(from), now.Add(to)))
	}
	oldCA := p.root.Intermediate("OldCA", authtest.P256, authtest.Valid(now.Add(-2*day), now.Add(-day)))
	for _, tt := range []struct {
		name  string
		end   *authtest.Entity
		at    time.Time
		want  Reason
		words string
	}{
		{"valid", valid(-day, day), now, 0, ""},
		{"first second", valid(0, day), now, 0, ""},
		{"last second", valid(-day, 0), now, 0, ""},
		{"in three minutes", valid(3*time.Minute, day), now, NotYetValid, "3 minutes ahead; this host's clock says 2026-06-01 12:00:00 UTC: if that is wrong"},
		{"in a year", valid(365*day, 366*day), now, NotYetValid, "365 days ahead"},
		{"clock at the epoch", valid(-day, day), time.Unix(0, 0), NotYetValid, "this host's clock says 1970-01-01 00:00:00 UTC and is wrong"},
		{"no time at all, which is not the time of day", p.end, time.Time{}, NotYetValid, "is wrong"},
		{"a minute ago", valid(-day, -time.Minute), now, Expired, "expired on 2026-06-01 11:59:00 UTC, 60 seconds ago; this host's clock"},
		{"40 days ago", valid(-90*day, -40*day), now, Expired, "expired on 2026-04-22 12:00:00 UTC, 40 days ago"},
		{"authority expired", oldCA.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), authtest.Valid(now.Add(-day), now.Add(day))), now, Expired, "certificate of CN=OldCA, O=Example: expired"},
	} {
		_, err := p.trust(t).Check(tt.end.Chain(), mustID(t, "hub.example.com"), tt.at)
		wantReason(t, tt.name, err, tt.want, tt.words)
	}
}

// TestUsage: RFC 4945 sections 5.1.3.2 and 5.1.3.12.
func TestUsage(t *testing.T) {
	p := newPKI()
	unknown := func(oids ...asn1.ObjectIdentifier) authtest.Edit {
		return func(c *x509.Certificate) { c.UnknownExtKeyUsage = oids }
	}
	const sign = x509.KeyUsageDigitalSignature
	for _, tt := range []struct {
		name string
		edit authtest.Edit
		ok   bool
	}{
		{"no key usage", authtest.Usage(0), true},
		{"digitalSignature", authtest.Usage(sign), true},
		{"nonRepudiation", authtest.Usage(x509.KeyUsageContentCommitment), true},
		{"keyEncipherment only", authtest.Usage(x509.KeyUsageKeyEncipherment), false},
		{"keyCertSign only", authtest.Usage(x509.KeyUsageCertSign), false},
		{"anyExtendedKeyUsage", authtest.Usage(sign, x509.ExtKeyUsageAny), true},
		{"serverAuth", authtest.Usage(sign, x509.ExtKeyUsageServerAuth), true},
		{"clientAuth", authtest.Usage(sign, x509.ExtKeyUsageClientAuth), true},
		{"id-kp-ipsecIKE", unknown(oidIPsecIKE), true},
		{"iKEIntermediate", unknown(oidIKEIntermediate), true},
		{"codeSigning", authtest.Usage(sign, x509.ExtKeyUsageCodeSigning), false},
		{"codeSigning and clientAuth", authtest.Usage(sign, x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageClientAuth), true},
		{"something else", unknown(asn1.ObjectIdentifier{1, 2, 3}), false},
	} {
		end := p.middle.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), tt.edit)
		_, err := p.trust(t).Check(end.Chain(), mustID(t, "hub.example.com"), now)
		want := WrongUsage
		if tt.ok {
			want = 0
		}
		wantReason(t, tt.name, err, want, "key usage")
	}
	coder := p.root.Intermediate("Coder", authtest.P256, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	end := coder.Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	_, err := p.trust(t).Check(end.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "authority for code signing", err, WrongUsage, "CN=Coder")
}

func TestCriticalExtension(t *testing.T) {
	p := newPKI()
	end := p.middle.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	})
	_, err := p.trust(t).Check(end.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "RFC 5280 4.2", err, WrongUsage, "critical extension")
}

// directories is NameConstraints on directory names: permitted, and after a minus excluded.
func directories(t testing.TB, critical bool, subtrees ...string) authtest.Edit {
	t.Helper()
	var permitted, excluded []byte
	for _, s := range subtrees {
		text, not := strings.CutPrefix(s, "-")
		dn := []byte(emptyName)
		if text != "" {
			dn = []byte(mustDN(t, text))
		}
		if subtree := tlv(0x30, tlv(0xa4, dn)); not {
			excluded = append(excluded, subtree...)
		} else {
			permitted = append(permitted, subtree...)
		}
	}
	var value []byte
	if permitted != nil {
		value = tlv(0xa0, permitted)
	}
	if excluded != nil {
		value = append(value, tlv(0xa1, excluded)...)
	}
	return constraints(critical, tlv(0x30, value))
}

func constraints(critical bool, value []byte) authtest.Edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: oidNameConstraints, Critical: critical, Value: value}}
	}
}

func tlv(tag byte, value []byte) []byte {
	return append([]byte{tag, byte(len(value))}, value...)
}

// TestCVE_2026_35331: constraints on names that were got round. Every kind of name that an identity is bound to is
// either held to the constraints or refused where they cannot be applied.
func TestCVE_2026_35331(t *testing.T) {
	root := authtest.Root("Root", now, authtest.P256)
	_, net10, _ := net.ParseCIDR("10.0.0.0/8")
	only := func(edit authtest.Edit) *authtest.Entity { return root.Intermediate("Bound", authtest.P256, edit) }
	dns := only(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"a.example.com"}
	})
	notDNS := only(func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"b.example.com"} })
	ip := only(func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{net10} })
	mail := only(func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"a.example.com"} })
	other := tlv(0x30, tlv(0xa0, tlv(0x30, []byte{0x88, 2, 0x2a, 3}))) // a registered ID
	for _, tt := range []struct {
		name string
		ca   *authtest.Entity
		san  string
		id   string
		want Reason
	}{
		{"DNS inside", dns, "hub.a.example.com", "hub.a.example.com", 0},
		{"DNS inside, other case", dns, "HUB.A.EXAMPLE.com", "hub.a.example.com", 0},
		{"DNS outside", dns, "hub.b.example.com", "hub.b.example.com", NameConstraints},
		{"DNS that ends alike", dns, "huba.example.com", "huba.example.com", NameConstraints},
		{"DNS excluded", notDNS, "hub.b.example.com", "hub.b.example.com", NameConstraints},
		{"DNS excluded, other case", notDNS, "hub.B.Example.COM", "hub.b.example.com", NameConstraints},
		{"address inside", ip, "10.1.2.3", "10.1.2.3", 0},
		{"address outside", ip, "192.0.2.1", "192.0.2.1", NameConstraints},
		{"e-mail inside", mail, "x@a.example.com", "x@a.example.com", 0},
		{"e-mail outside", mail, "x@b.example.com", "x@b.example.com", NameConstraints},
		{"directory name outside", only(directories(t, true, "O=Acme")), "hub.example.com", "hub.example.com", NameConstraints},
		{"directory name outside, as the identity", only(directories(t, true, "O=Acme")), "hub.example.com", "CN=hub, O=Example", NameConstraints},
		{"directory name outside, not critical", only(directories(t, false, "O=Acme")), "hub.example.com", "hub.example.com", NameConstraints},
		{"directory name inside", only(directories(t, true, "O=Acme", "o=EXAMPLE")), "hub.example.com", "CN=hub, O=Example", 0},
		{"directory name that is longer", only(directories(t, true, "CN=hub, OU=x, O=Example")), "hub.example.com", "hub.example.com", NameConstraints},
		{"directory name excluded", only(directories(t, true, "O=Example", "-CN=hub, O=Example")), "hub.example.com", "hub.example.com", NameConstraints},
		{"another directory name excluded", only(directories(t, true, "-O=Acme")), "hub.example.com", "hub.example.com", 0},
		{"all directory names", only(directories(t, true, "")), "hub.example.com", "hub.example.com", 0},
		{"no directory name", only(directories(t, true, "-")), "hub.example.com", "hub.example.com", NameConstraints},
		{"a kind that is not known, critical", only(constraints(true, other)), "hub.example.com", "hub.example.com", WrongUsage},
		{"a kind that is not known", only(constraints(false, other)), "hub.example.com", "hub.example.com", NameConstraints},
		{"a minimum", only(constraints(false, tlv(0x30, tlv(0xa0, tlv(0x30, []byte{0x82, 1, 'm', 0x80, 1, 1}))))), "m", "m", NameConstraints},
		{"unreadable directory name", only(constraints(true, tlv(0x30, tlv(0xa1, tlv(0x30, tlv(0xa4, []byte("junk"))))))), "hub.example.com", "hub.example.com", NameConstraints},
	} {
		end := tt.ca.Issue("hub", authtest.P256, authtest.Names(tt.san))
		_, err := mustTrust(t, [][]byte{root.CertPEM()}, nil, nil).Check(end.Chain(), mustID(t, tt.id), now)
		wantReason(t, tt.name, err, tt.want, "")
		leaf := authtest.Names(tt.san)
		below := tt.ca.Intermediate("Below", authtest.P256).Issue("hub", authtest.P256, leaf)
		_, err = mustTrust(t, [][]byte{root.CertPEM()}, nil, nil).Check(below.Chain(), mustID(t, tt.id), now)
		wantReason(t, tt.name+", one authority further down", err, tt.want, "")
	}
}

// TestConstraintsOnAuthorities: RFC 5280 section 6.1.3 (b), the subjects between an authority and the end count too.
func TestConstraintsOnAuthorities(t *testing.T) {
	root := authtest.Root("Root", now, authtest.P256)
	bound := root.Intermediate("Bound", authtest.P256, directories(t, true, "CN=hub, O=Example"))
	direct := bound.Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	below := bound.Intermediate("Below", authtest.P256).Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	trust := mustTrust(t, [][]byte{root.CertPEM()}, nil, nil)
	_, err := trust.Check(direct.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "the end", err, 0, "")
	_, err = trust.Check(below.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "an authority between", err, NameConstraints, "certificate of CN=Below")
}

// TestConstraintsOfRoot: an authority of ours may be bound too.
func TestConstraintsOfRoot(t *testing.T) {
	root := authtest.Root("Root", now, authtest.P256, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"a.example.com"} })
	end := root.Issue("hub", authtest.P256, authtest.Names("hub.b.example.com"))
	_, err := mustTrust(t, [][]byte{root.CertPEM()}, nil, nil).Check(end.Chain(), mustID(t, "hub.b.example.com"), now)
	wantReason(t, "root", err, NameConstraints, "")
}

func TestAuthorities(t *testing.T) {
	p := newPKI()
	want := sha1.Sum(p.root.Cert.RawSubjectPublicKeyInfo)
	if got := p.trust(t).Authorities(); len(got) != 1 || !bytes.Equal(got[0], want[:]) {
		t.Errorf("RFC 7296 3.7: got %x, want %x", got, want)
	}
}

func TestNewTrustErrors(t *testing.T) {
	p := newPKI()
	root := p.root.CertPEM()
	weak := authtest.Root("Weak", now, authtest.RSA1024)
	for _, tt := range []struct {
		name                     string
		roots, intermediates, cr [][]byte
		want                     string
	}{
		{"none", nil, nil, nil, "one certificate of an authority is needed"},
		{"empty file", [][]byte{nil}, nil, nil, "authorities: certificate: the file is empty"},
		{"a key", [][]byte{p.root.KeyPEM()}, nil, nil, "none in the file, but a private key"},
		{"cut", [][]byte{root[:len(root)-30]}, nil, nil, "cut short or damaged: of 1 PEM blocks that begin, 0 are whole"},
		{"second one cut", [][]byte{append(slices.Clone(root), root[:200]...)}, nil, nil, "of 2 PEM blocks that begin, 1 are whole"},
		{"DER", [][]byte{p.root.Cert.Raw}, nil, nil, "not PEM"},
		{"text", [][]byte{[]byte("hello\n")}, nil, nil, "no PEM block"},
		{"weak", [][]byte{weak.CertPEM()}, nil, nil, "CN=Weak, O=Example: RSA key of 1024 bits"},
		{"intermediate", [][]byte{root}, [][]byte{[]byte("x")}, nil, "intermediate authorities"},
		{"list that is a certificate", [][]byte{root}, nil, [][]byte{root}, "revocation list: none in the file, but a certificate"},
		{"list that is cut", [][]byte{root}, nil, [][]byte{p.root.CRL(now, now)[:100]}, "cut short"},
	} {
		if _, err := NewTrust(tt.roots, tt.intermediates, tt.cr); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestCVE_2021_41991: certificates that differ in what nothing signs filled a cache. There is none: a Trust is as it was.
func TestCVE_2021_41991(t *testing.T) {
	p := newPKI()
	trust := p.trust(t)
	before := trust.intermediates.Clone()
	for n := range 50 {
		other := authtest.Root(fmt.Sprint("Flood ", n), now, authtest.P256)
		chain := append(p.end.Chain(), other.Cert.Raw)
		if _, err := trust.Check(chain, mustID(t, "hub.example.com"), now); err != nil {
			t.Fatal(err)
		}
	}
	if !trust.intermediates.Equal(before) || len(trust.roots) != 1 {
		t.Error("certificates of a peer are kept")
	}
}

// TestCVE_2022_40617: addresses in certificates were fetched. Nothing here could: the package does not import a network.
func TestCVE_2022_40617(t *testing.T) {
	p := newPKI()
	end := p.middle.Issue("hub", authtest.P256, authtest.Names("hub.example.com"), func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"http://192.0.2.99/never.crl"}
		c.OCSPServer = []string{"http://192.0.2.99/never"}
		c.IssuingCertificateURL = []string{"http://192.0.2.99/never.cer"}
	})
	_, err := p.trust(t).Check(end.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "addresses are passed over", err, 0, "")
	_, err = p.trust(t).Check(end.Chain()[:1], mustID(t, "hub.example.com"), now)
	wantReason(t, "the issuer is not fetched", err, UnknownIssuer, "")
}

// FuzzCertificateChain: whatever a peer sends as its chain is an error, unless it is what the authority signed.
func FuzzCertificateChain(f *testing.F) {
	p := newPKI()
	trust, err := NewTrust([][]byte{p.root.CertPEM()}, nil, [][]byte{p.middle.CRL(now, now.Add(time.Hour))})
	if err != nil {
		f.Fatal(err)
	}
	end, middle := p.end.Cert.Raw, p.middle.Cert.Raw
	f.Add(end, middle)
	f.Add(end, p.root.Cert.Raw)
	f.Add(middle, end)
	bound := p.root.Intermediate("Bound", authtest.P256, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"a.example.com"} })
	acme := p.root.Intermediate("Acme", authtest.P256, directories(f, true, "O=Acme", "-CN=x, O=Acme"))
	f.Add(acme.Issue("x", authtest.P256).Cert.Raw, acme.Cert.Raw)
	f.Add(bound.Issue("x", authtest.P256, authtest.Names("b.example.com")).Cert.Raw, bound.Cert.Raw)
	id := Identity{FQDN, "hub.example.com"}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for _, at := range []time.Time{now, now.AddDate(50, 0, 0)} {
			_, err := trust.Check([][]byte{a, b}, id, at)
			if err == nil && !bytes.Equal(a, end) {
				t.Fatalf("taken: %x", a)
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("unprintable: %q", err)
			}
		}
	})
}
