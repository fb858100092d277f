package auth

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits on what a peer may send before anything of it is trusted.
const (
	maxChain       = 8
	maxCertificate = 16 << 10
)

// Revocation is what to do without a current revocation list.
type Revocation uint8

const (
	Lenient Revocation = iota // go by the list there is, however old; [Trust.Warnings] tells
	Strict                    // refuse every certificate whose issuer has no current list
)

// Trust is the authorities that a profile believes, and what they have revoked. After [NewTrust] and the setting of its
// fields it never changes, and so may be used from several goroutines.
type Trust struct {
	Revocation Revocation
	CommonName bool // an FQDN may be the subject's common name where no alternative name is one, which RFC 9525 section 2 forbids

	roots         []*x509.Certificate
	rootPool      *x509.CertPool
	intermediates *x509.CertPool
	lists         []*revocationList
}

// NewTrust reads files of authorities, of intermediate authorities that peers may leave out, and of revocation lists;
// certificates in PEM, lists in PEM or DER. A certificate that is no authority is trusted for itself alone.
func NewTrust(roots, intermediates, crls [][]byte) (*Trust, error) {
	t := &Trust{rootPool: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	var err error
	if t.roots, err = loadAll(roots, "authorities"); err != nil {
		return nil, err
	}
	if len(t.roots) == 0 {
		return nil, errors.New("no authority to trust: one certificate of an authority is needed")
	}
	between, err := loadAll(intermediates, "intermediate authorities")
	if err != nil {
		return nil, err
	}
	takeConstraints(slices.Concat(t.roots, between))
	addTo(t.rootPool, t.roots)
	addTo(t.intermediates, between)
	t.lists, err = loadLists(crls, slices.Concat(t.roots, between))
	return t, err
}

func loadAll(files [][]byte, what string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, f := range files {
		certs, err := loadCertificates(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		for _, c := range certs {
			if err := checkKey(c.PublicKey); err != nil {
				return nil, fmt.Errorf("%s: %w", what, refuse(WeakKey, c, "%v", err))
			}
		}
		out = append(out, certs...)
	}
	return out, nil
}

func addTo(pool *x509.CertPool, certs []*x509.Certificate) {
	for _, c := range certs {
		pool.AddCert(c)
	}
}

// Authorities are the SHA-1 hashes of our authorities' SubjectPublicKeyInfo, for CERTREQ (RFC 7296 section 3.7). They
// tell a peer which certificate to choose, and protect nothing.
func (t *Trust) Authorities() [][]byte {
	var out [][]byte
	for _, c := range t.roots {
		h := sha1.Sum(c.RawSubjectPublicKeyInfo)
		out = append(out, h[:])
	}
	return out
}

// Check follows the first certificate of chain, which is the peer's, to an authority of ours at a time, and binds it to
// the identity the peer gave. The others may come in any order; at most 8 are looked at. The error is a
// [*CertificateError].
func (t *Trust) Check(chain [][]byte, id Identity, now time.Time) (*x509.Certificate, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	if err := t.checkPaths(certs, now); err != nil {
		return nil, err
	}
	if err := bind(leaf, id, t.CommonName); err != nil {
		return nil, err
	}
	return leaf, nil
}

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, refuse(Malformed, nil, "peer sent %d of them: 1 to %d are taken", len(chain), maxChain)
	}
	certs := make([]*x509.Certificate, 0, len(chain))
	for i, der := range chain {
		if len(der) > maxCertificate {
			return nil, refuse(Malformed, nil, "number %d of the peer has %d octets: at most %d are taken", i+1, len(der), maxCertificate)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse(Malformed, nil, "number %d of the peer cannot be read: %s", i+1, shorten(printable(err.Error())))
		}
		if err := checkKey(c.PublicKey); err != nil {
			return nil, refuse(WeakKey, c, "%v", err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// checkPaths finds one path on which nothing is wrong; the error is that of the first path.
func (t *Trust) checkPaths(certs []*x509.Certificate, now time.Time) error {
	if t == nil || t.rootPool == nil { // crypto/x509 would take the system's authorities
		return refuse(UnknownIssuer, certs[0], "no authority is trusted here")
	}
	takeConstraints(certs[1:])
	pool := t.intermediates.Clone()
	addTo(pool, certs[1:])
	if now.IsZero() { // which crypto/x509 would take for the time of day
		now = now.Add(1)
	}
	paths, err := certs[0].Verify(x509.VerifyOptions{Roots: t.rootPool, Intermediates: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return t.explain(certs, err, now)
	}
	var first error
	for _, path := range paths {
		err := t.checkPath(path, now)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (t *Trust) checkPath(path []*x509.Certificate, now time.Time) error {
	if err := checkChainUsage(path); err != nil {
		return err
	}
	if err := checkConstraints(path); err != nil {
		return err
	}
	return t.checkRevocation(path, now)
}
