package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
)

func TestRevocation(t *testing.T) {
	p := newPKI()
	hour := time.Hour
	end := authtest.Revoked{Entity: p.end, At: now.Add(-hour), Reason: 1}
	other := authtest.Revoked{Entity: p.middle.Issue("other", authtest.P256), At: now.Add(-hour)}
	middle := authtest.Revoked{Entity: p.middle, At: now.Add(-hour)}
	byMiddle := func(from, next time.Duration, r ...authtest.Revoked) []byte {
		return p.middle.CRL(now.Add(from), now.Add(next), r...)
	}
	clean, cleanRoot := byMiddle(-hour, hour), p.root.CRL(now.Add(-hour), now.Add(hour))
	impostor := authtest.Root("Middle", now, authtest.Ed25519)
	for _, tt := range []struct {
		name   string
		crls   [][]byte
		policy Revocation
		want   Reason
		words  string
	}{
		{"no list", nil, Lenient, 0, ""},
		{"no list, strict", nil, Strict, RevocationUnknown, "no revocation list of its issuer CN=Middle"},
		{"clean", [][]byte{clean, cleanRoot}, Strict, 0, ""},
		{"clean, the authority's authority without list", [][]byte{clean}, Strict, RevocationUnknown, "certificate of CN=Middle, O=Example: there is no"},
		{"revoked", [][]byte{byMiddle(-hour, hour, end)}, Lenient, Revoked, "revoked on 2026-06-01 11:00:00 UTC by its issuer (its key is in other hands)"},
		{"revoked authority", [][]byte{p.root.CRL(now.Add(-hour), now.Add(hour), middle)}, Lenient, Revoked, "certificate of CN=Middle, O=Example: revoked"},
		{"revoked on an old list", [][]byte{byMiddle(-2*hour, -hour, end)}, Lenient, Revoked, "revoked"},
		{"old list", [][]byte{byMiddle(-2*hour, -hour), cleanRoot}, Lenient, 0, ""},
		{"old list, strict", [][]byte{byMiddle(-2*hour, -hour), cleanRoot}, Strict, RevocationUnknown, "should have been replaced on 2026-06-01 11:00:00 UTC, 60 minutes ago"},
		{"list of tomorrow, strict", [][]byte{byMiddle(24*hour, 48*hour), cleanRoot}, Strict, RevocationUnknown, "is of 2026-06-02 12:00:00 UTC, which is 24 hours ahead; this host's clock"},
		{"newer list lets go of a hold", [][]byte{byMiddle(-2*hour, hour, end), byMiddle(-hour, hour)}, Lenient, 0, ""},
		{"newer list first", [][]byte{byMiddle(-hour, hour, end), byMiddle(-2*hour, hour)}, Lenient, Revoked, ""},
		{"both in one file", [][]byte{append(clean, byMiddle(-time.Minute, hour, end)...)}, Lenient, Revoked, ""},
		{"RFC 5280 5.1.2.6: a serial number of another issuer", [][]byte{p.root.CRL(now.Add(-hour), now.Add(hour), authtest.Revoked{Entity: p.root.Issue("x", authtest.P256), At: now})}, Lenient, 0, ""},
		{"another one revoked", [][]byte{byMiddle(-hour, hour, other)}, Lenient, 0, ""},
		{"RFC 5280 6.3.3: the issuer's name, another's key", [][]byte{impostor.CRL(now.Add(-hour), now.Add(hour), end), cleanRoot}, Lenient, 0, ""},
		{"the issuer's name, another's key, strict", [][]byte{impostor.CRL(now.Add(-hour), now.Add(hour)), cleanRoot}, Strict, RevocationUnknown, "no revocation list"},
	} {
		trust := p.trust(t, tt.crls...)
		trust.Revocation = tt.policy
		_, err := trust.Check(p.end.Chain(), mustID(t, "hub.example.com"), now)
		wantReason(t, tt.name, err, tt.want, tt.words)
	}
}

// TestRevocationOtherPath: a revoked path does not hide a good one (an authority cross-certified by two roots).
func TestRevocationOtherPath(t *testing.T) {
	a, b := authtest.Root("A", now, authtest.P256), authtest.Root("B", now, authtest.P256)
	underA := a.Intermediate("Cross", authtest.P256)
	end := underA.Issue("hub", authtest.P256, authtest.Names("hub.example.com"))
	der, err := x509.CreateCertificate(nil, underA.Cert, b.Cert, underA.Key.Public(), b.Key)
	if err != nil {
		t.Fatal(err)
	}
	crl := a.CRL(now, now.Add(time.Hour), authtest.Revoked{Entity: underA, At: now})
	trust := mustTrust(t, [][]byte{a.CertPEM(), b.CertPEM()}, nil, [][]byte{crl})
	_, err = trust.Check(end.Chain(), mustID(t, "hub.example.com"), now)
	wantReason(t, "one path", err, Revoked, "")
	_, err = trust.Check(append(end.Chain(), der), mustID(t, "hub.example.com"), now)
	wantReason(t, "two paths", err, 0, "")
}

func TestLoadListErrors(t *testing.T) {
	p := newPKI()
	edited := func(edit func(*x509.RevocationList)) []byte {
		return p.root.EditedCRL(now, now.Add(time.Hour), edit, authtest.Revoked{Entity: p.middle, At: now})
	}
	critical := func(ids ...int) []pkix.Extension {
		return []pkix.Extension{{Id: asn1.ObjectIdentifier(ids), Critical: true, Value: []byte{0x30, 0}}}
	}
	impostor := authtest.Root("Root", now, authtest.Ed25519)
	damaged := p.root.CRL(now, now.Add(time.Hour))
	block, _ := pem.Decode(damaged)
	block.Bytes[len(block.Bytes)-1] ^= 1
	for _, tt := range []struct {
		name string
		crl  []byte
		want string
	}{
		{"RFC 5280 5.2.5: a part of the certificates only", edited(func(l *x509.RevocationList) { l.ExtraExtensions = critical(2, 5, 29, 28) }), "a whole list is needed"},
		{"RFC 5280 5.2.4: a difference", edited(func(l *x509.RevocationList) { l.ExtraExtensions = critical(2, 5, 29, 27) }), "a whole list is needed"},
		{"RFC 5280 5.3.3: of another issuer", edited(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = critical(2, 5, 29, 29)
		}), "critical extension 2.5.29.29"},
		{"another's signature", impostor.CRL(now, now.Add(time.Hour)), "CN=Root, O=Example: its signature is not"},
		{"damaged signature", pem.EncodeToMemory(block), "its signature is not"},
		{"DER cut", block.Bytes[:50], "damaged"},
		{"empty", nil, "empty"},
	} {
		_, err := NewTrust([][]byte{p.root.CertPEM()}, nil, [][]byte{tt.crl})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := NewTrust([][]byte{p.root.CertPEM()}, nil, [][]byte{p.root.CRL(now, now.Add(time.Hour))}); err != nil {
		t.Error("in order:", err)
	}
	good, _ := pem.Decode(p.root.CRL(now, now.Add(time.Hour)))
	if _, err := NewTrust([][]byte{p.root.CertPEM()}, nil, [][]byte{good.Bytes}); err != nil {
		t.Error("in DER:", err)
	}
}

// TestListSigner: an authority whose key usage leaves cRLSign out signs no list.
func TestListSigner(t *testing.T) {
	p := newPKI()
	crl := p.middle.CRL(now, now.Add(time.Hour))
	noList := p.root.Intermediate("Middle", authtest.P384, authtest.Usage(x509.KeyUsageCertSign))
	if _, err := NewTrust([][]byte{p.root.CertPEM()}, [][]byte{noList.CertPEM()}, [][]byte{crl}); err == nil || !strings.Contains(err.Error(), "may not sign lists") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	old := authtest.Root("Old", now.AddDate(-11, 0, 0), authtest.P256)
	p := newPKI()
	trust := mustTrust(t, [][]byte{old.CertPEM(), p.root.CertPEM()}, nil, [][]byte{p.root.CRL(now.Add(-2*time.Hour), now.Add(-time.Hour)), p.middle.CRL(now, now.Add(time.Hour))})
	got := strings.Join(trust.Warnings(now), "\n")
	for _, want := range []string{"authority: certificate of CN=Old, O=Example: expired", "revocation list of CN=Root, O=Example should have been replaced"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 2 {
		t.Errorf("%d warnings:\n%s", n, got)
	}
}
