package auth

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/auth/authtest"
)

func TestLoadCredential(t *testing.T) {
	p := newPKI()
	chain := p.end.Chain()
	backwards := slices.Concat(p.middle.CertPEM(), p.end.CertPEM())
	for name, file := range map[string][]byte{
		"in order":             p.end.ChainPEM(),
		"authority first":      backwards,
		"with text around":     slices.Concat([]byte("Subject: CN=hub\n"), p.end.CertPEM(), []byte("\nIssuer:\n"), p.middle.CertPEM(), []byte("end\n")),
		"Windows line ends":    bytes.ReplaceAll(p.end.ChainPEM(), []byte("\n"), []byte("\r\n")),
		"key in the same file": append(p.end.ChainPEM(), p.end.KeyPEM()...),
	} {
		c, err := LoadCredential(file, p.end.KeyPEM())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.EqualFunc(c.Chain, chain, bytes.Equal) {
			t.Errorf("%s: %d certificates, or in another order", name, len(c.Chain))
		}
		if err := c.Check(now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadKeyForms(t *testing.T) {
	p := newPKI()
	ec, _ := x509.MarshalECPrivateKey(p.end.Key.(*ecdsa.PrivateKey))
	params := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")
	rsaEnd := p.middle.Issue("hub", authtest.RSA2048)
	for name, f := range map[string]struct {
		end *authtest.Entity
		key []byte
	}{
		"PKCS#8":                  {p.end, p.end.KeyPEM()},
		"SEC 1":                   {p.end, pemOf("EC PRIVATE KEY", ec)},
		"openssl ecparam -genkey": {p.end, append(params, pemOf("EC PRIVATE KEY", ec)...)},
		"PKCS#1":                  {rsaEnd, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaEnd.Key.(*rsa.PrivateKey)))},
		"after the certificate":   {p.end, append(p.end.CertPEM(), p.end.KeyPEM()...)},
	} {
		if _, err := LoadCredential(f.end.CertPEM(), f.key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pemOf(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}

func TestLoadCredentialErrors(t *testing.T) {
	p := newPKI()
	cert, key := p.end.ChainPEM(), p.end.KeyPEM()
	other := p.middle.Issue("other", authtest.P256)
	weak := p.middle.Issue("weak", authtest.RSA1024)
	curve := p.middle.Issue("curve", authtest.P224)
	nobody := p.middle.Issue("x", authtest.P256, func(c *x509.Certificate) { c.Subject = pkix.Name{} })
	agreement, _ := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{9}, 32))
	agreementDER, _ := x509.MarshalPKCS8PrivateKey(agreement)
	keyBlock, _ := pem.Decode(key)
	old := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})
	var long []byte
	for range 9 {
		long = append(long, p.end.CertPEM()...)
	}
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"empty certificate file", nil, key, "certificate: the file is empty"},
		{"empty key file", cert, []byte(" \n"), "private key: the file is empty"},
		{"certificate file cut", cert[:len(cert)-40], key, "certificate: the file is cut short or damaged: of 2 PEM blocks that begin, 1 are whole"},
		{"key file cut", cert, key[:len(key)-10], "private key: the file is cut short or damaged"},
		{"key cut inside the base64", cert, pemOf("PRIVATE KEY", keyBlock.Bytes[:60]), "private key: a private key is damaged"},
		{"certificate cut inside the base64", pemOf("CERTIFICATE", p.end.Cert.Raw[:300]), key, "certificate 1 of the file is damaged"},
		{"files swapped", key, cert, "private key: no private key in the file, but a certificate"},
		{"key as certificate", key, key, "certificate: none in the file, but a private key"},
		{"request", pemOf("CERTIFICATE REQUEST", []byte("x")), key, "none in the file, but a certificate request"},
		{"another key", cert, other.KeyPEM(), "certificate of CN=hub, O=Example has another key than the private key (ECDSA P-256): they do not belong together"},
		{"key of another kind", cert, authtest.Root("x", now, authtest.Ed25519).KeyPEM(), "(Ed25519): they do not belong together"},
		{"encrypted, PKCS#8", cert, pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), "encrypted, and nobody is here to give the passphrase"},
		{"encrypted, old", cert, old, "encrypted"},
		{"DSA", cert, pemOf("DSA PRIVATE KEY", []byte("x")), `"DSA PRIVATE KEY" is not supported`},
		{"OpenSSH", cert, pemOf("OPENSSH PRIVATE KEY", []byte("x")), "not supported"},
		{"X25519", cert, pemOf("PRIVATE KEY", agreementDER), "cannot sign"},
		{"RSA of 1024 bits", weak.CertPEM(), weak.KeyPEM(), "CN=weak, O=Example: RSA key of 1024 bits is too short"},
		{"P-224", curve.CertPEM(), curve.KeyPEM(), "P-256, P-384 and P-521"},
		{"no name", nobody.CertPEM(), nobody.KeyPEM(), "names nobody"},
		{"DER", p.end.Cert.Raw, key, "not PEM"},
		{"long chain", long, key, "at most 8"},
	} {
		c, err := LoadCredential(tt.cert, tt.key)
		if err == nil || c != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestErrorsKeepSecrets: cut anywhere, a key file is an error that quotes nothing of it.
func TestErrorsKeepSecrets(t *testing.T) {
	p := newPKI()
	key := p.end.KeyPEM()
	for n := range key {
		_, err := LoadCredential(p.end.CertPEM(), key[:n])
		if err == nil && n < len(key)-1 {
			t.Fatalf("loaded from %d octets of %d", n, len(key))
		}
		for i := 28; err != nil && i+6 < n; i += 6 {
			if strings.Contains(err.Error(), string(key[i:i+6])) && !strings.HasPrefix(string(key[i:]), "-----") {
				t.Fatalf("cut at %d: the error quotes the key: %v", n, err)
			}
		}
	}
}

func TestCredentialCheck(t *testing.T) {
	p := newPKI()
	load := func(edits ...authtest.Edit) *Credential {
		e := p.middle.Issue("hub", authtest.P256, edits...)
		c, err := LoadCredential(e.CertPEM(), e.KeyPEM())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	until := now.Add(time.Hour)
	c := load(authtest.Valid(now.Add(-time.Hour), until), authtest.Names("hub.example.com", "192.0.2.1"))
	wantReason(t, "now", c.Check(now), 0, "")
	wantReason(t, "later", c.Check(until.Add(time.Minute)), Expired, "expired on")
	wantReason(t, "before", c.Check(now.Add(-2*time.Hour)), NotYetValid, "ahead")
	wantReason(t, "usage", load(authtest.Usage(x509.KeyUsageKeyEncipherment)).Check(now), WrongUsage, "digitalSignature")
	if !c.Expires().Equal(until) {
		t.Errorf("expires %v, want %v", c.Expires(), until)
	}
	var got []string
	for _, id := range c.Identities() {
		got = append(got, id.String())
		if err := c.Holds(id); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"hub.example.com", "192.0.2.1", "CN=hub, O=Example"}; !slices.Equal(got, want) {
		t.Errorf("identities %q, want %q", got, want)
	}
	wantReason(t, "another identity", c.Holds(mustID(t, "spoke.example.com")), WrongIdentity, "spoke.example.com is not in it")
}
