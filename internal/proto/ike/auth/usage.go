package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Extended key usages that IKE may be under, RFC 4945 section 5.1.3.12, and the one that older software asks for.
var (
	oidIPsecIKE        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
	oidIKEIntermediate = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}
)

// Extensions that are looked at besides what crypto/x509 does.
var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// checkLeafUsage is RFC 4945 sections 5.1.3.2 and 5.1.3.12: where a certificate says what its key is for, signing must
// be in it, and either anything, TLS or IKE.
func checkLeafUsage(c *x509.Certificate) error {
	const signing = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if _, ok := extension(c, oidKeyUsage); ok && c.KeyUsage&signing == 0 {
		return refuse(WrongUsage, c, "key usage is neither digitalSignature nor nonRepudiation, so it may not sign an IKE exchange")
	}
	return checkExtendedUsage(c)
}

func checkExtendedUsage(c *x509.Certificate) error {
	if _, ok := extension(c, oidExtendedKeyUsage); !ok || allowsIKE(c) {
		return nil
	}
	return refuse(WrongUsage, c, "extended key usage allows neither any use, TLS server, TLS client nor IKE (1.3.6.1.5.5.7.3.17)")
}

func allowsIKE(c *x509.Certificate) bool {
	known := slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageAny || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageClientAuth
	})
	return known || slices.ContainsFunc(c.UnknownExtKeyUsage, func(o asn1.ObjectIdentifier) bool {
		return o.Equal(oidIPsecIKE) || o.Equal(oidIKEIntermediate)
	})
}

func extension(c *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value, true
		}
	}
	return nil, false
}

// checkChainUsage looks at the authorities of a path as well: an extended key usage there bounds what is below, as
// crypto/x509 and others read it.
func checkChainUsage(path []*x509.Certificate) error {
	if err := checkLeafUsage(path[0]); err != nil {
		return err
	}
	for _, c := range path[1:] {
		if err := checkExtendedUsage(c); err != nil {
			return err
		}
	}
	return nil
}
