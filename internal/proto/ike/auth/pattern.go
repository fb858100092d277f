package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Pattern is what a configuration says of a peer's identity: one identity, or a set of them. The zero Pattern matches
// none. Patterns of one text are equal.
type Pattern struct {
	text string
	form form
	id   Identity     // exact, canonical
	tail string       // of labels and mailboxes: what follows the star; of DNs: the text
	net  netip.Prefix // of networks
}

type form uint8

const (
	formNone form = iota
	formAny
	formExact
	formLabel   // *.example.com
	formMailbox // *@example.com
	formNetwork // 10.0.0.0/8
	formDN      // CN=*, O=Acme
)

// ParsePattern reads a pattern: an identity as [ParseIdentity] takes it; "*.example.com" for one label;
// "*@example.com"; a prefix of addresses; a DN in which a value is "*" ("CN=*, O=Acme"); "*" or "%any" for anyone.
func ParsePattern(text string) (Pattern, error) {
	text = strings.TrimSpace(text)
	p, err := parsePattern(text)
	if err != nil {
		return Pattern{}, err
	}
	p.text = text
	return p, nil
}

func parsePattern(text string) (Pattern, error) {
	if text == "*" || text == "%any" {
		return Pattern{form: formAny}, nil
	}
	if net, err := netip.ParsePrefix(text); err == nil {
		return networkPattern(net)
	}
	if hasKind(text) {
		return exactPattern(text)
	}
	if strings.Contains(text, "=") {
		return dnPattern(text)
	}
	if tail, ok := strings.CutPrefix(text, "*."); ok {
		return tailPattern(formLabel, tail, checkName("pattern", tail))
	}
	if tail, ok := strings.CutPrefix(text, "*@"); ok {
		return tailPattern(formMailbox, tail, checkName("pattern", tail))
	}
	if strings.Contains(text, "*") {
		return Pattern{}, fmt.Errorf("%q: a star stands for one whole label in front (*.example.com), a mailbox (*@example.com), or the value of a DN attribute (CN=*)", text)
	}
	return exactPattern(text)
}

func exactPattern(text string) (Pattern, error) {
	id, err := ParseIdentity(text)
	return Pattern{form: formExact, id: id.Canonical()}, err
}

// hasKind reports whether the text says what kind of identity it is, so that no character in it has a meaning.
func hasKind(text string) bool {
	kind, _, _ := strings.Cut(text, ":")
	return kind == "keyid" || kind == "fqdn" || kind == "email"
}

func networkPattern(net netip.Prefix) (Pattern, error) {
	if net != net.Masked() {
		return Pattern{}, fmt.Errorf("%q: the prefix has bits of a host; %v is meant or one address without a length", net, net.Masked())
	}
	return Pattern{form: formNetwork, net: net}, nil
}

func tailPattern(f form, tail string, err error) (Pattern, error) {
	if err == nil && strings.ContainsAny(tail, "*@") {
		err = fmt.Errorf("%q: one star, in front, is all a pattern may have", tail)
	}
	return Pattern{form: f, tail: foldASCII(tail)}, err
}

// dnPattern is exact unless a value is a lone star; an escaped star is a character.
func dnPattern(text string) (Pattern, error) {
	n, err := scanDN(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("%q: %w", text, err)
	}
	if !n.hasStar() {
		return exactPattern(text)
	}
	return Pattern{form: formDN, tail: text}, nil
}

// Any reports whether the pattern matches everyone.
func (p Pattern) Any() bool { return p.form == formAny }

// Exact is the one identity that the pattern matches, in canonical form, if it is one.
func (p Pattern) Exact() (Identity, bool) { return p.id, p.form == formExact }

// String is the text the pattern was read from.
func (p Pattern) String() string { return p.text }

// Match reports whether an identity is of the pattern.
func (p Pattern) Match(id Identity) bool {
	switch p.form {
	case formAny:
		return id.check() == nil
	case formExact:
		return id.Canonical() == p.id
	case formLabel:
		label, tail, ok := strings.Cut(id.Canonical().Data, ".")
		return id.Kind == FQDN && ok && label != "" && tail == p.tail
	case formMailbox:
		data := id.Canonical().Data
		return id.Kind == Email && data[strings.LastIndexByte(data, '@')+1:] == p.tail
	case formNetwork:
		a, ok := id.Addr()
		return ok && p.net.Contains(a)
	case formDN:
		return id.Kind == DN && matchDN(p.tail, id.Data)
	}
	return false
}

// matchDN compares part by part; a DN with more parts than the pattern is another one.
func matchDN(pattern, der string) bool {
	want, err := scanDN(pattern)
	have, err2 := parseDN([]byte(der))
	if err != nil || err2 != nil {
		return false
	}
	return slices.EqualFunc(want, have, rdn.matches)
}

// OfAddresses reports whether the pattern is one of addresses alone, and so says nothing about peers with names.
func (p Pattern) OfAddresses() bool {
	if p.form == formNetwork {
		return true
	}
	_, address := p.id.Addr()
	return p.form == formExact && address
}
