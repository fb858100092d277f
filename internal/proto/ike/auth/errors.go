package auth

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reason is the class of a refusal, for counters and for deciding what to do next.
type Reason uint8

// Reasons of a [CertificateError].
const (
	Malformed         Reason = iota + 1 // no certificate, or beyond the limits on size and number
	UnknownIssuer                       // no path to an authority of ours
	Expired                             // of the certificate or one above it
	NotYetValid                         // the same; one of the two clocks may be wrong
	Revoked                             // on the list of its issuer
	RevocationUnknown                   // no list, or an old one, under the policy [Strict]
	WrongUsage                          // key usage, extended key usage or basic constraints
	NameConstraints                     // the authority may not vouch for this name
	WeakKey                             // or a key of an unsupported kind
	WrongIdentity                       // the identity is not in the certificate
)

var reasonWords = [...]string{
	Malformed: "malformed", UnknownIssuer: "unknown issuer", Expired: "expired", NotYetValid: "not yet valid", Revoked: "revoked",
	RevocationUnknown: "revocation unknown", WrongUsage: "wrong usage", NameConstraints: "name constraints", WeakKey: "weak key",
	WrongIdentity: "wrong identity",
}

func (r Reason) String() string {
	if r == 0 || int(r) >= len(reasonWords) {
		return fmt.Sprintf("reason %d", uint8(r))
	}
	return reasonWords[r]
}

// CertificateError is why a certificate was refused. Its text names the certificate and says what is wrong with it.
type CertificateError struct {
	Reason  Reason
	Subject string // of the certificate at fault, which need not be the peer's own; "" when it could not be read
	words   string
}

func (e *CertificateError) Error() string {
	if e.Subject == "" {
		return "certificate: " + e.words
	}
	return "certificate of " + e.Subject + ": " + e.words
}

func refuse(r Reason, c *x509.Certificate, format string, args ...any) *CertificateError {
	return &CertificateError{r, Subject(c), fmt.Sprintf(format, args...)}
}

// Subject is whose certificate it is, printable and not endless: the subject as in RFC 4514, or the first alternative
// name where that is empty. Unlike the text of crypto/x509/pkix it is safe to log.
func Subject(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	for _, id := range append([]Identity{{DN, string(c.RawSubject)}}, names(c)...) {
		if id.check() == nil {
			return shorten(id.String())
		}
	}
	return fmt.Sprintf("serial number %x", c.SerialNumber)
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 { // not inside a rune
		cut--
	}
	return s[:cut] + "..."
}

// checkValidity is RFC 5280 section 4.1.2.5, with words about the clock where that is as likely to be wrong.
func checkValidity(c *x509.Certificate, now time.Time) *CertificateError {
	if early := c.NotBefore.Sub(now); early > 0 {
		return refuse(NotYetValid, c, "not valid before %s, which is %s ahead; %s", moment(c.NotBefore), span(early), clockWords(now))
	}
	if late := now.Sub(c.NotAfter); late > 0 {
		words := ""
		if late < 24*time.Hour || c.NotAfter.Before(c.NotBefore) {
			words = "; " + clockWords(now)
		}
		return refuse(Expired, c, "expired on %s, %s ago%s", moment(c.NotAfter), span(late), words)
	}
	return nil
}

// built is a time that no right clock is before.
var built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func clockWords(now time.Time) string {
	if now.Before(built) {
		return "this host's clock says " + moment(now) + " and is wrong"
	}
	return "this host's clock says " + moment(now) + ": if that is wrong, so is this answer"
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// span is a duration as people say it.
func span(d time.Duration) string {
	switch days := int64(d / (24 * time.Hour)); {
	case days >= 2:
		return fmt.Sprintf("%d days", days)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int64(d/time.Hour))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int64(d/time.Minute))
	}
	return fmt.Sprintf("%d seconds", int64((d+time.Second-1)/time.Second))
}

// explain turns what crypto/x509 found wrong with the path of certs[0] into our words. It drops what it knows of
// candidates that it did not take, so the usual reasons for that are looked for again.
func (t *Trust) explain(certs []*x509.Certificate, err error, now time.Time) *CertificateError {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return explainInvalid(invalid, now)
	}
	var unhandled x509.UnhandledCriticalExtension
	if errors.As(err, &unhandled) {
		return refuse(WrongUsage, certs[0], "it or its issuer has a critical extension that is not understood")
	}
	for _, c := range certs {
		if oldHash(c.SignatureAlgorithm) && !bytes.Equal(c.RawIssuer, c.RawSubject) {
			return refuse(UnknownIssuer, c, "signed with %v, which can be forged and is refused: have it issued again with SHA-256", c.SignatureAlgorithm)
		}
		if by := noAuthority(c, slices.Concat(certs, t.roots)); by != nil {
			return refuse(WrongUsage, by, "it is no authority, but signed another certificate")
		}
	}
	return refuse(UnknownIssuer, certs[0], "issued by %s, from which no path leads to an authority of ours; add that authority or the missing intermediate", issuerText(certs[0]))
}

// noAuthority is the certificate that issued c without being that of an authority, or nil.
func noAuthority(c *x509.Certificate, candidates []*x509.Certificate) *x509.Certificate {
	i := slices.IndexFunc(candidates, func(by *x509.Certificate) bool {
		_, bounded := extension(by, oidKeyUsage)
		return by != c && bytes.Equal(by.RawSubject, c.RawIssuer) && (!by.IsCA || bounded && by.KeyUsage&x509.KeyUsageCertSign == 0)
	})
	if i < 0 {
		return nil
	}
	return candidates[i]
}

func explainInvalid(e x509.CertificateInvalidError, now time.Time) *CertificateError {
	switch e.Reason {
	case x509.Expired:
		if err := checkValidity(e.Cert, now); err != nil {
			return err
		}
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.TooManyConstraints:
		return refuse(NameConstraints, e.Cert, "name constraints of an authority forbid it: %s", shorten(printable(e.Detail)))
	case x509.NotAuthorizedToSign:
		return refuse(WrongUsage, e.Cert, "it is no authority, but signed another certificate")
	case x509.TooManyIntermediates:
		return refuse(WrongUsage, e.Cert, "more authorities below it than its path length allows")
	}
	return refuse(WrongUsage, e.Cert, "%s", shorten(printable(e.Error())))
}

// oldHash names the signatures that crypto/x509 refuses for their hash.
func oldHash(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

func issuerText(c *x509.Certificate) string {
	id := Identity{DN, string(c.RawIssuer)}
	if id.check() != nil {
		return "an unreadable name"
	}
	return shorten(id.String())
}

// printable puts a name from outside into a line of a log.
func printable(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
