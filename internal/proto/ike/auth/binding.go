package auth

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
)

// names are the identities that a certificate carries: alternative names, then the subject (RFC 4945 section 3.1).
func names(c *x509.Certificate) []Identity {
	var out []Identity
	for _, s := range c.DNSNames {
		out = append(out, Identity{FQDN, s})
	}
	for _, s := range c.EmailAddresses {
		out = append(out, Identity{Email, s})
	}
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, Address(a))
		}
	}
	out = append(out, Identity{DN, string(c.RawSubject)})
	return slices.DeleteFunc(out, func(id Identity) bool { return id.check() != nil })
}

// bind checks that id is in the certificate: an address, name or e-mail address among its alternative names, a DN as
// its subject (RFC 4945 section 3.1). A wildcard in a certificate is a character like others.
func bind(c *x509.Certificate, id Identity, commonName bool) error {
	held := names(c)
	if slices.ContainsFunc(held, id.Equal) {
		return nil
	}
	if commonName && id.Kind == FQDN && len(c.DNSNames) == 0 && foldASCII(c.Subject.CommonName) == id.Canonical().Data {
		return nil
	}
	return refuse(WrongIdentity, c, "%s is not in it: it is for %s%s", id, list(held), hint(c, id))
}

func list(ids []Identity) string {
	if len(ids) == 0 {
		return "nobody"
	}
	var words []string
	for _, id := range ids[:min(len(ids), 8)] {
		words = append(words, id.String())
	}
	if len(ids) > 8 {
		words = append(words, "others")
	}
	return shorten(strings.Join(words, "; "))
}

// hint is the usual mistake behind a mismatch.
func hint(c *x509.Certificate, id Identity) string {
	switch {
	case id.Kind == KeyID:
		return " (a key-id cannot be in a certificate)"
	case id.Kind == FQDN && foldASCII(c.Subject.CommonName) == id.Canonical().Data:
		return " (the common name says it, but does not count: it has to be a subject alternative name)"
	case id.Kind == DN && reversed(c, id):
		return " (the same name in the other order: the most specific part comes first, as in RFC 4514)"
	}
	return ""
}

func reversed(c *x509.Certificate, id Identity) bool {
	have, err := parseDN([]byte(c.RawSubject))
	want, err2 := parseDN([]byte(id.Data))
	if err != nil || err2 != nil {
		return false
	}
	slices.Reverse(want)
	return have.canonical() == want.canonical()
}
