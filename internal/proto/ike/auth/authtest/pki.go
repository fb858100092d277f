// Package authtest makes public key infrastructures for tests and for the lab: authorities, certificates with any names
// and usages, revocation lists, all of it right or wrong as a test wants it. Keys other than RSA come from a seed, so
// that two runs of one test exchange the same octets. None of it is fit for use: whoever knows the seed has the keys.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"time"
)

// KeyType is a kind of key pair.
type KeyType uint8

const (
	P256 KeyType = iota
	P384
	P521
	Ed25519
	RSA2048
	RSA3072
	RSA1024 // too short for IKE
	P224    // of no method of RFC 4754
)

// Key makes a key pair: the same one for the same seed, but for RSA.
func Key(seed string, t KeyType) crypto.Signer {
	h := sha512.Sum512([]byte(seed))
	switch t {
	case P256:
		return scalar(elliptic.P256(), h[:32])
	case P384:
		return scalar(elliptic.P384(), h[:48])
	case P521:
		return scalar(elliptic.P521(), append([]byte{0, 0}, h[:]...))
	case P224:
		return scalar(elliptic.P224(), h[:28])
	case RSA2048:
		return rsaKey(2048)
	case RSA3072:
		return rsaKey(3072)
	case RSA1024:
		return rsaKey(1024)
	}
	return ed25519.NewKeyFromSeed(h[:32])
}

func scalar(c elliptic.Curve, b []byte) crypto.Signer {
	b[0] &= 0x7f // below the order of every curve here
	k, err := ecdsa.ParseRawPrivateKey(c, b)
	must(err)
	return k
}

func rsaKey(bits int) crypto.Signer {
	k, err := rsa.GenerateKey(nil, bits) // the reader is ignored since Go 1.26
	must(err)
	return k
}

// must is for what cannot fail unless a template is wrong, which is a bug in the test.
func must(err error) {
	if err != nil {
		panic("authtest: " + err.Error())
	}
}

// Entity is a certificate and its key: an authority, or an end that an authority has certified.
type Entity struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	issuer *Entity // nil for a root
	issued int64
}

// Edit changes a certificate before it is signed.
type Edit func(*x509.Certificate)

// Root is an authority of its own, valid from a day before now for ten years.
func Root(name string, now time.Time, t KeyType, edits ...Edit) *Entity {
	e := &Entity{Key: Key("root "+name, t)}
	c := template(name, 1, now.Add(-24*time.Hour), now.AddDate(10, 0, 0))
	authority(c)
	e.Cert = sign(c, c, e.Key.Public(), e.Key, edits)
	return e
}

// Intermediate is an authority below e, valid as long as e.
func (e *Entity) Intermediate(name string, t KeyType, edits ...Edit) *Entity {
	return e.Issue(name, t, append([]Edit{authority}, edits...)...)
}

// Issue certifies an end of the common name given; its key may sign. It is valid as long as e unless an edit says otherwise.
func (e *Entity) Issue(name string, t KeyType, edits ...Edit) *Entity {
	e.issued++
	out := &Entity{Key: Key(fmt.Sprintf("%s under %s %d", name, e.Cert.Subject.CommonName, e.issued), t), issuer: e}
	c := template(name, e.issued+1, e.Cert.NotBefore, e.Cert.NotAfter)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	out.Cert = sign(c, e.Cert, out.Key.Public(), e.Key, edits)
	return out
}

func template(name string, serial int64, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"Example"}, CommonName: name},
		NotBefore: from, NotAfter: to, BasicConstraintsValid: true,
	}
}

func authority(c *x509.Certificate) {
	c.IsCA = true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

func sign(c, issuer *x509.Certificate, public crypto.PublicKey, key crypto.Signer, edits []Edit) *x509.Certificate {
	for _, edit := range edits {
		edit(c)
	}
	der, err := x509.CreateCertificate(nil, c, issuer, public, key)
	must(err)
	out, err := x509.ParseCertificate(der)
	must(err)
	return out
}

// Names adds alternative names: addresses, e-mail addresses, and FQDNs.
func Names(names ...string) Edit {
	return func(c *x509.Certificate) {
		for _, n := range names {
			if a, err := netip.ParseAddr(n); err == nil {
				c.IPAddresses = append(c.IPAddresses, a.AsSlice())
			} else if strings.Contains(n, "@") {
				c.EmailAddresses = append(c.EmailAddresses, n)
			} else {
				c.DNSNames = append(c.DNSNames, n)
			}
		}
	}
}

// Valid sets when the certificate begins and ends.
func Valid(from, to time.Time) Edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// Usage sets the key usage, none for 0, and the extended key usages.
func Usage(u x509.KeyUsage, extended ...x509.ExtKeyUsage) Edit {
	return func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = u, extended }
}

// Chain is the certificate and the intermediate authorities above it in DER, as a peer sends them.
func (e *Entity) Chain() [][]byte {
	var out [][]byte
	for ; e != nil && (e.issuer != nil || len(out) == 0); e = e.issuer {
		out = append(out, e.Cert.Raw)
	}
	return out
}

// CertPEM is the certificate alone.
func (e *Entity) CertPEM() []byte { return block("CERTIFICATE", e.Cert.Raw) }

// ChainPEM is what [Entity.Chain] holds, for a file.
func (e *Entity) ChainPEM() []byte {
	var out []byte
	for _, der := range e.Chain() {
		out = append(out, block("CERTIFICATE", der)...)
	}
	return out
}

// KeyPEM is the private key in PKCS#8.
func (e *Entity) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(e.Key)
	must(err)
	return block("PRIVATE KEY", der)
}

// Revoked is an entry of a revocation list.
type Revoked struct {
	*Entity
	At     time.Time
	Reason int // RFC 5280 section 5.3.1
}

// CRL is a revocation list of e in PEM, from a time until the next is due.
func (e *Entity) CRL(from, next time.Time, revoked ...Revoked) []byte {
	return e.EditedCRL(from, next, nil, revoked...)
}

// EditedCRL is a CRL that was changed before it was signed.
func (e *Entity) EditedCRL(from, next time.Time, edit func(*x509.RevocationList), revoked ...Revoked) []byte {
	l := &x509.RevocationList{Number: big.NewInt(from.Unix()), ThisUpdate: from, NextUpdate: next}
	for _, r := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.Cert.SerialNumber, RevocationTime: r.At, ReasonCode: r.Reason})
	}
	if edit != nil {
		edit(l)
	}
	der, err := x509.CreateRevocationList(nil, l, e.Cert, e.Key)
	must(err)
	return block("X509 CRL", der)
}

func block(typ string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der})
}
