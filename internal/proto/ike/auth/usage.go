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
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
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

// checkChainUsage looks at the authorities of a path: an extended key usage there bounds what is below (as crypto/x509
// and others read it), and a constraint on names that nothing here applies must not be passed over.
func checkChainUsage(chain []*x509.Certificate) error {
	if err := checkLeafUsage(chain[0]); err != nil {
		return err
	}
	for _, c := range chain[1:] {
		if err := checkExtendedUsage(c); err != nil {
			return err
		}
		if err := checkConstraints(c, chain[0]); err != nil {
			return err
		}
	}
	return nil
}

// generalSubtrees is of NameConstraints, RFC 5280 section 4.2.1.10.
type nameConstraints struct {
	Permitted []generalSubtree `asn1:"optional,tag:0"`
	Excluded  []generalSubtree `asn1:"optional,tag:1"`
}

type generalSubtree struct {
	Base asn1.RawValue
	Min  int `asn1:"optional,tag:0"`
	Max  int `asn1:"optional,tag:1"`
}

// Kinds of GeneralName whose constraints crypto/x509 applies: e-mail, DNS, URI, address.
var constrained = []int{1, 2, 6, 7}

// checkConstraints refuses constraints on kinds of names that crypto/x509 passes over when the extension is not
// critical, as RFC 5280 says it must be: a constraint that is not applied is none.
func checkConstraints(c, leaf *x509.Certificate) error {
	der, ok := extension(c, oidNameConstraints)
	if !ok {
		return nil
	}
	var nc nameConstraints
	if rest, err := asn1.Unmarshal(der, &nc); err != nil || len(rest) > 0 {
		return refuse(NameConstraints, leaf, "name constraints of %s cannot be read", Subject(c))
	}
	for _, t := range slices.Concat(nc.Permitted, nc.Excluded) {
		if t.Base.Class != asn1.ClassContextSpecific || !slices.Contains(constrained, t.Base.Tag) {
			return refuse(NameConstraints, leaf, "%s constrains names of a kind that cannot be checked here (only DNS, address, e-mail and URI can)", Subject(c))
		}
	}
	return nil
}
