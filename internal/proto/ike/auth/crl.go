package auth

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// revocationList is one CRL with an index of what is on it.
type revocationList struct {
	*x509.RevocationList
	revoked map[string]x509.RevocationListEntry // by serial number, in decimal
	signers [][]byte                            // SubjectPublicKeyInfo of those whose signature it was found to be at loading
}

// loadLists reads CRLs in PEM or DER and checks the signature of each whose issuer is at hand. The issuer of another
// may come with a peer's chain; its signature is checked then.
func loadLists(files [][]byte, issuers []*x509.Certificate) ([]*revocationList, error) {
	var out []*revocationList
	for _, f := range files {
		ders, err := listsOf(f)
		if err != nil {
			return nil, fmt.Errorf("revocation list: %w", err)
		}
		for _, der := range ders {
			l, err := parseList(der, issuers)
			if err != nil {
				return nil, fmt.Errorf("revocation list: %w", err)
			}
			out = append(out, l)
		}
	}
	return out, nil
}

func listsOf(file []byte) ([][]byte, error) {
	if len(file) > 0 && file[0] == 0x30 {
		return [][]byte{file}, nil
	}
	blocks, err := pemBlocks(file)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, b := range blocks {
		if b.Type == "X509 CRL" {
			out = append(out, b.Bytes)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none in the file, but %s", article(blocks[0].Type))
	}
	return out, nil
}

func parseList(der []byte, issuers []*x509.Certificate) (*revocationList, error) {
	raw, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("damaged: %s", shorten(printable(err.Error())))
	}
	l := &revocationList{RevocationList: raw, revoked: make(map[string]x509.RevocationListEntry)}
	if err := l.index(); err != nil {
		return nil, fmt.Errorf("of %s: %w", l.issuerText(), err)
	}
	return l, l.checkSigners(issuers)
}

// index reads the entries. What would change the meaning of the list and is not understood refuses it: a list of some
// certificates only, a difference to another list, entries of other issuers (RFC 5280 sections 5.2.4, 5.2.5, 5.3.3).
func (l *revocationList) index() error {
	for _, e := range l.Extensions {
		if e.Critical {
			return fmt.Errorf("it is partial, indirect or a difference to another (critical extension %v): a whole list is needed", e.Id)
		}
	}
	for _, e := range l.RevokedCertificateEntries {
		for _, x := range e.Extensions {
			if x.Critical {
				return fmt.Errorf("the entry of serial number %x has a critical extension %v that is not understood", e.SerialNumber, x.Id)
			}
		}
		l.revoked[e.SerialNumber.String()] = e
	}
	return nil
}

func (l *revocationList) issuerText() string {
	return issuerText(&x509.Certificate{RawIssuer: l.RawIssuer})
}

// checkSigners fails when issuers of the list's name are known and none of them signed it.
func (l *revocationList) checkSigners(issuers []*x509.Certificate) error {
	named := false
	for _, c := range issuers {
		if !bytes.Equal(c.RawSubject, l.RawIssuer) {
			continue
		}
		named = true
		if l.CheckSignatureFrom(c) == nil {
			l.signers = append(l.signers, c.RawSubjectPublicKeyInfo)
		}
	}
	if named && len(l.signers) == 0 {
		return errors.New("of " + l.issuerText() + ": its signature is not that of the authority of this name, or that one may not sign lists")
	}
	return nil
}

// signedBy reports whether the list is of an issuer that a path was found through.
func (l *revocationList) signedBy(issuer *x509.Certificate) bool {
	if !bytes.Equal(l.RawIssuer, issuer.RawSubject) {
		return false
	}
	known := slices.ContainsFunc(l.signers, func(spki []byte) bool { return bytes.Equal(spki, issuer.RawSubjectPublicKeyInfo) })
	return known || l.CheckSignatureFrom(issuer) == nil
}

// stale is why the list is not current, or "".
func (l *revocationList) stale(now time.Time) string {
	switch {
	case l.NextUpdate.IsZero():
		return "does not say when the next one comes"
	case now.After(l.NextUpdate):
		return fmt.Sprintf("should have been replaced on %s, %s ago", moment(l.NextUpdate), span(now.Sub(l.NextUpdate)))
	case now.Before(l.ThisUpdate):
		return fmt.Sprintf("is of %s, which is %s ahead; %s", moment(l.ThisUpdate), span(l.ThisUpdate.Sub(now)), clockWords(now))
	}
	return ""
}

// checkRevocation looks each certificate of a path up in the newest list of its issuer. The authority at the end has
// no issuer but itself.
func (t *Trust) checkRevocation(path []*x509.Certificate, now time.Time) error {
	for i, c := range path[:len(path)-1] {
		l := t.newest(path[i+1])
		if err := t.checkList(l, c, now); err != nil {
			return err
		}
	}
	return nil
}

func (t *Trust) checkList(l *revocationList, c *x509.Certificate, now time.Time) error {
	if l == nil {
		if t.Revocation == Strict {
			return refuse(RevocationUnknown, c, "there is no revocation list of its issuer %s, and the policy is strict", issuerText(c))
		}
		return nil
	}
	if e, ok := l.revoked[c.SerialNumber.String()]; ok {
		return refuse(Revoked, c, "revoked on %s by its issuer (%s)", moment(e.RevocationTime), reasonText(e.ReasonCode))
	}
	if why := l.stale(now); why != "" && t.Revocation == Strict {
		return refuse(RevocationUnknown, c, "the revocation list of its issuer %s %s, and the policy is strict", issuerText(c), why)
	}
	return nil
}

// newest is the latest list of an issuer, or nil.
func (t *Trust) newest(issuer *x509.Certificate) *revocationList {
	var best *revocationList
	for _, l := range t.lists {
		if l.signedBy(issuer) && (best == nil || l.ThisUpdate.After(best.ThisUpdate)) {
			best = l
		}
	}
	return best
}

// Reasons of RFC 5280 section 5.3.1.
var revocationWords = [...]string{
	0: "no reason given", 1: "its key is in other hands", 2: "the authority's key is in other hands", 3: "its holder is of another name or organisation now",
	4: "superseded", 5: "no longer in use", 6: "on hold", 8: "removed from the list", 9: "privilege withdrawn", 10: "an attribute authority's key is in other hands",
}

func reasonText(code int) string {
	if code < 0 || code >= len(revocationWords) || revocationWords[code] == "" {
		return fmt.Sprintf("reason %d", code)
	}
	return revocationWords[code]
}

// Warnings are what will make checks fail or be worth less, for a log and for `check`: authorities that have expired
// and revocation lists that are not current.
func (t *Trust) Warnings(now time.Time) []string {
	var out []string
	for _, c := range t.roots {
		if err := checkValidity(c, now); err != nil {
			out = append(out, "authority: "+err.Error())
		}
	}
	for _, l := range t.lists {
		if why := l.stale(now); why != "" {
			out = append(out, fmt.Sprintf("revocation list of %s %s", l.issuerText(), why))
		}
	}
	return out
}
