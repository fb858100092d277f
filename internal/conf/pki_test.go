package conf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"strings"
	"sync"
	"testing/fstest"
	"time"
)

// testKey is a pre-shared key that nobody warns of.
const testKey = "Zq7Xw9Kp-3vTn8Rm2-Bc5Yd4Gh6"

// testSecrets are the files beside the configurations of the tests.
func testSecrets(name string) (fs.File, error) { return testFiles().Open(name) }

var testFiles = sync.OnceValue(func() fstest.MapFS {
	now := time.Now()
	ca := authority("Acme CA")
	hub := ca.issue("hub.example.com", now.Add(365*24*time.Hour))
	other := ca.issue("other.example.com", now.Add(365*24*time.Hour))
	past := ca.issue("past.example.com", now.Add(-time.Hour))
	late := ca.issue("late.example.com", now.Add(72*time.Hour))
	stranger := authority("Other CA")
	out := fstest.MapFS{}
	add := func(name string, mode fs.FileMode, text string) {
		out[name] = &fstest.MapFile{Data: []byte(text), Mode: mode}
	}
	add("good", 0o640, "vyos\n")
	add("cloud.password", 0o640, "vyos\n")
	add("open", 0o644, "vyos\n")
	add("long", 0o600, "123456789\n")
	add("empty", 0o600, "\n")
	add("corp.psk", 0o600, testKey+"\n")
	add("old.psk", 0o600, "old-"+testKey+"\n")
	add("open.psk", 0o604, testKey+"\n")
	add("short.psk", 0o600, "hunter2\n")
	add("same.psk", 0o600, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n")
	add("huge.psk", 0o600, strings.Repeat("ab", maxSecret))
	add("quantum.ppk", 0o600, testKey+testKey+"\n")
	add("ca.pem", 0o644, string(ca.pem()))
	add("strangers.pem", 0o644, string(stranger.pem()))
	add("ca.crl", 0o644, string(ca.revoke()))
	add("revoked.crl", 0o644, string(ca.revoke(hub.cert.SerialNumber)))
	add("strangers.crl", 0o644, string(stranger.revoke()))
	for name, like := range map[string]string{"corp-new.psk": "old.psk", "spoke1.pem": "hub.pem", "spoke1.key": "hub.key"} {
		defer func() { out[name] = out[like] }()
	}
	for name, c := range map[string]*issued{"hub": hub, "other": other, "past": past, "late": late} {
		add(name+".pem", 0o644, string(c.pem()))
		add(name+".key", 0o600, string(c.keyPEM()))
	}
	add("open.key", 0o644, string(hub.keyPEM()))
	add("cut.pem", 0o644, string(hub.pem()[:200]))
	add("cut.key", 0o600, string(hub.keyPEM()[:100]))
	return out
})

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(name string) *issued {
	return sign(nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
}

func (ca *issued) issue(name string, until time.Time) *issued {
	return sign(ca, &x509.Certificate{
		Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}}, DNSNames: []string{name}, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature,
	})
}

func sign(by *issued, c *x509.Certificate) *issued {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	must(err)
	c.NotBefore = time.Now().Add(-30 * 24 * time.Hour)
	if by == nil {
		by = &issued{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	must(err)
	c, err = x509.ParseCertificate(der)
	must(err)
	return &issued{c, key}
}

func (c *issued) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

func (c *issued) keyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (c *issued) revoke(serials ...*big.Int) []byte {
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: l.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, c.cert, c.key)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
