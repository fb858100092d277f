package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
)

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// nameConstraints is NameConstraints of RFC 5280 section 4.2.1.10.
type nameConstraints struct {
	Permitted []generalSubtree `asn1:"optional,tag:0"`
	Excluded  []generalSubtree `asn1:"optional,tag:1"`
}

type generalSubtree struct {
	Base asn1.RawValue
	Min  int `asn1:"optional,tag:0"`
	Max  int `asn1:"optional,tag:1,default:-1"`
}

// Kinds of GeneralName whose constraints crypto/x509 applies (e-mail, DNS, URI, address), and the one applied here.
var byX509 = []int{1, 2, 6, 7}

const directoryName = 4

// parseConstraints reads the extension and refuses it unless all of it is applied, by crypto/x509 or here. That is for
// extensions not marked critical, as RFC 5280 wants them: crypto/x509 passes over what it does not know in those.
func parseConstraints(der []byte) (nc nameConstraints, err error) {
	if rest, err := asn1.Unmarshal(der, &nc); err != nil || len(rest) > 0 {
		return nc, errors.New("cannot be read")
	}
	for _, t := range slices.Concat(nc.Permitted, nc.Excluded) {
		known := t.Base.Tag == directoryName || slices.Contains(byX509, t.Base.Tag)
		if t.Base.Class != asn1.ClassContextSpecific || !known {
			return nc, errors.New("are on names of a kind that cannot be checked here")
		}
		if t.Min != 0 || t.Max != -1 {
			return nc, errors.New("have a minimum or a maximum, which RFC 5280 does not allow")
		}
	}
	return nc, nil
}

// takeConstraints tells crypto/x509 that constraints on directory names, which it does not know, are applied here.
func takeConstraints(authorities []*x509.Certificate) {
	for _, c := range authorities {
		der, ok := extension(c, oidNameConstraints)
		if _, err := parseConstraints(der); ok && err == nil {
			c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, oidNameConstraints.Equal)
		}
	}
}

// checkConstraints holds the subjects of a path to the constraints of the authorities above each on directory names.
func checkConstraints(path []*x509.Certificate) error {
	for i, authority := range path {
		der, ok := extension(authority, oidNameConstraints)
		if i == 0 || !ok {
			continue
		}
		nc, err := parseConstraints(der)
		if err != nil {
			return refuse(NameConstraints, path[0], "name constraints of %s %v", Subject(authority), err)
		}
		for j, c := range path[:i] {
			if selfIssued := bytes.Equal(c.RawIssuer, c.RawSubject); selfIssued && j > 0 {
				continue // RFC 5280 section 6.1.3 (b), (c)
			}
			if !nc.allow(c.RawSubject) {
				return refuse(NameConstraints, c, "name constraints of %s forbid this subject", Subject(authority))
			}
		}
	}
	return nil
}

// emptyName is a DN of no parts: as a subject there is none, as a subtree it is all.
const emptyName = "\x30\x00"

// allow is RFC 5280 section 6.1.3 (b) and (c) for a subject.
func (nc nameConstraints) allow(subject []byte) bool {
	if string(subject) == emptyName {
		return true
	}
	n, err := parseDN(subject)
	if err != nil {
		return !slices.ContainsFunc(slices.Concat(nc.Permitted, nc.Excluded), generalSubtree.isDirectory)
	}
	inside := func(t generalSubtree) bool { return t.isDirectory() && t.holds(n) }
	permitted := !slices.ContainsFunc(nc.Permitted, generalSubtree.isDirectory) || slices.ContainsFunc(nc.Permitted, inside)
	excluded := slices.ContainsFunc(nc.Excluded, func(t generalSubtree) bool { return t.isDirectory() && (t.unreadable() || t.holds(n)) })
	return permitted && !excluded
}

func (t generalSubtree) isDirectory() bool { return t.Base.Tag == directoryName }

func (t generalSubtree) unreadable() bool {
	_, err := parseDN(t.Base.Bytes)
	return err != nil && string(t.Base.Bytes) != emptyName
}

// holds reports whether a name begins, in the order of its DER, with that of the subtree.
func (t generalSubtree) holds(n name) bool {
	if string(t.Base.Bytes) == emptyName {
		return true
	}
	base, err := parseDN(t.Base.Bytes)
	return err == nil && len(base) <= len(n) && base.canonical() == n[:len(base)].canonical()
}
