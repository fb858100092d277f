package auth

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// name is a distinguished name in the order of its DER: least specific part first.
type name []rdn

// rdn is a set of attributes, of which there is nearly always one.
type rdn []attribute

// attribute is a type and a value: as text where it is a string, else as DER.
type attribute struct {
	oid  string // dotted
	text string
	der  string // of the value, when it is no string
	star bool   // any value: in patterns only
}

// Limits on a name: real ones have less than ten attributes.
const maxAttributes = 32

// Tags of ASN.1 strings that encoding/asn1 does not name.
const tagVisibleString = 26

type attributeDER struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// rdnSET is marshalled as a SET for the end of its name.
type rdnSET []attributeDER

// parseDN reads an RDNSequence. Empty names, trailing octets, control characters and malformed strings are refused.
func parseDN(der []byte) (name, error) {
	if len(der) > maxDN {
		return nil, fmt.Errorf("identity: DN of %d octets", len(der))
	}
	var sets []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &sets); err != nil || len(rest) > 0 {
		return nil, errors.New("identity: DN is no DER name")
	}
	if len(sets) == 0 || len(sets) > maxAttributes {
		return nil, fmt.Errorf("identity: DN of %d parts", len(sets))
	}
	n := make(name, 0, len(sets))
	for _, set := range sets {
		r, err := parseRDN(set.FullBytes)
		if err != nil {
			return nil, err
		}
		n = append(n, r)
	}
	return n, nil
}

func parseRDN(der []byte) (rdn, error) {
	var set rdnSET
	if rest, err := asn1.Unmarshal(der, &set); err != nil || len(rest) > 0 || len(set) == 0 || len(set) > maxAttributes {
		return nil, errors.New("identity: a part of the DN is no set of attributes")
	}
	r := make(rdn, 0, len(set))
	for _, a := range set {
		text, isString, err := stringValue(a.Value)
		if err != nil {
			return nil, err
		}
		attr := attribute{oid: a.Type.String(), text: text}
		if !isString {
			attr.der = string(a.Value.FullBytes)
		}
		r = append(r, attr)
	}
	return r, nil
}

// stringValue decodes the choices of DirectoryString and the string types beside it. Another type is no error: it is
// compared by its DER.
func stringValue(v asn1.RawValue) (text string, ok bool, err error) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return "", false, nil
	}
	switch v.Tag {
	case asn1.TagUTF8String:
		text, ok = string(v.Bytes), utf8.Valid(v.Bytes)
	case asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, asn1.TagT61String, tagVisibleString:
		text, ok = string(v.Bytes), isASCII(v.Bytes)
	case asn1.TagBMPString:
		text, ok = decodeBMP(v.Bytes)
	default:
		return "", false, nil
	}
	if !ok || text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		return "", false, errors.New("identity: DN with a malformed string")
	}
	return text, true, nil
}

func isASCII(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= utf8.RuneSelf })
}

func decodeBMP(b []byte) (string, bool) {
	if len(b)%2 != 0 {
		return "", false
	}
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) > 0; b = b[2:] {
		units = append(units, uint16(b[0])<<8|uint16(b[1]))
	}
	runes := utf16.Decode(units)
	return string(runes), !slices.Contains(runes, utf8.RuneError)
}

// canonical is a text equal for names that RFC 5280 section 7.1 calls equal, but for letters outside ASCII, which are
// compared as they are: string types do not count, nor does case, nor the amount of white space.
func (n name) canonical() string {
	var b strings.Builder
	for _, r := range n {
		b.WriteString(r.canonical())
	}
	return b.String()
}

// canonical writes each attribute with its length, so that no value can be mistaken for two.
func (r rdn) canonical() string {
	parts := make([]string, 0, len(r))
	for _, a := range r {
		parts = append(parts, a.canonical())
	}
	slices.Sort(parts) // a SET has no order
	return fmt.Sprintf("%d{%s}", len(parts), strings.Join(parts, ""))
}

func (a attribute) canonical() string {
	kind, value := "t", fold(a.text)
	if a.der != "" {
		kind, value = "d", a.der
	}
	return fmt.Sprintf("%s%s:%d:%s", kind, a.oid, len(value), value)
}

func (n name) hasStar() bool {
	return slices.ContainsFunc(n, func(r rdn) bool {
		return slices.ContainsFunc(r, func(a attribute) bool { return a.star })
	})
}

// matches reports whether each attribute of the pattern r is in have, and none is in have besides.
func (r rdn) matches(have rdn) bool {
	used := make([]bool, len(have))
	for _, want := range r {
		i := slices.IndexFunc(have, want.matches)
		if i < 0 || used[i] {
			return false
		}
		used[i] = true
	}
	return len(r) == len(have)
}

func (a attribute) matches(have attribute) bool {
	return a.oid == have.oid && (a.star || a.canonical() == have.canonical())
}

// fold is the case-ignoring, white space compressing comparison form of RFC 5280 section 7.1.
func fold(s string) string {
	return foldASCII(strings.Join(strings.Fields(s), " "))
}

// Attribute types by the names of RFC 4514 section 3 and those that certificates in use have beside them.
var attributeNames = []struct{ short, oid string }{
	{"CN", "2.5.4.3"}, {"SN", "2.5.4.4"}, {"serialNumber", "2.5.4.5"}, {"C", "2.5.4.6"}, {"L", "2.5.4.7"}, {"ST", "2.5.4.8"},
	{"STREET", "2.5.4.9"}, {"O", "2.5.4.10"}, {"OU", "2.5.4.11"}, {"title", "2.5.4.12"}, {"GN", "2.5.4.42"},
	{"dnQualifier", "2.5.4.46"}, {"UID", "0.9.2342.19200300.100.1.1"}, {"DC", "0.9.2342.19200300.100.1.25"},
	{"emailAddress", "1.2.840.113549.1.9.1"}, {"unstructuredName", "1.2.840.113549.1.9.2"},
}

// Types whose values are IA5String: DC (RFC 4519 section 2.4) and e-mail (RFC 2985).
var ia5Types = []string{"0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1", "1.2.840.113549.1.9.2"}

func shortName(oid string) string {
	for _, a := range attributeNames {
		if a.oid == oid {
			return a.short
		}
	}
	return oid
}

// String is the text of RFC 4514, most specific part first, with a space after each comma.
func (n name) String() string {
	parts := make([]string, 0, len(n))
	for _, r := range slices.Backward(n) {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, ", ")
}

func (r rdn) String() string {
	parts := make([]string, 0, len(r))
	for _, a := range r {
		parts = append(parts, a.String())
	}
	return strings.Join(parts, "+")
}

func (a attribute) String() string {
	if a.der != "" {
		return a.oid + "=#" + hex.EncodeToString([]byte(a.der))
	}
	return shortName(a.oid) + "=" + escape(a.text)
}

// escape is RFC 4514 section 2.4; what does not print goes as octets in hexadecimal.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		last := i+utf8.RuneLen(r) == len(s)
		switch {
		case strings.ContainsRune(`"+,;<>\=*`, r), r == '#' && i == 0:
			b.WriteByte('\\')
			b.WriteRune(r)
		case !unicode.IsPrint(r), r == ' ' && (i == 0 || last): // a space at an end gets lost too easily
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, `\%02x`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// parseDNText is the DER of a DN in the text of RFC 4514. White space around separators is allowed.
func parseDNText(text string) ([]byte, error) {
	n, err := scanDN(text)
	if err != nil {
		return nil, err
	}
	return n.marshal()
}

// scanDN reads the text of RFC 4514 into DER order.
func scanDN(text string) (name, error) {
	if len(text) > maxDN {
		return nil, fmt.Errorf("identity: DN of %d octets", len(text))
	}
	var n name
	for _, part := range splitUnescaped(text, ',') {
		var r rdn
		for _, pair := range splitUnescaped(part, '+') {
			a, err := scanAttribute(pair)
			if err != nil {
				return nil, err
			}
			r = append(r, a)
		}
		n = append(n, r)
	}
	if len(n) > maxAttributes {
		return nil, fmt.Errorf("identity: DN of %d parts", len(n))
	}
	slices.Reverse(n)
	return n, nil
}

// splitUnescaped cuts at each sep that no backslash is before.
func splitUnescaped(s string, sep byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

func scanAttribute(pair string) (attribute, error) {
	typ, value, ok := strings.Cut(pair, "=")
	typ = strings.TrimSpace(typ)
	if !ok || typ == "" {
		return attribute{}, fmt.Errorf("identity: DN part %q is no TYPE=value (a comma in a value is written \\,)", strings.TrimSpace(pair))
	}
	oid, err := attributeOID(typ)
	if err != nil {
		return attribute{}, err
	}
	if digits, isHex := strings.CutPrefix(strings.TrimSpace(value), "#"); isHex {
		return hexAttribute(oid, digits)
	}
	value = trimUnescaped(value)
	if value == "*" {
		return attribute{oid: oid, star: true}, nil
	}
	text, err := unescape(value)
	return attribute{oid: oid, text: text}, err
}

func hexAttribute(oid, digits string) (attribute, error) {
	der, err := hex.DecodeString(digits)
	var v asn1.RawValue
	if err == nil {
		var rest []byte
		if rest, err = asn1.Unmarshal(der, &v); err == nil && len(rest) > 0 {
			err = errors.New("trailing octets")
		}
	}
	if err != nil {
		return attribute{}, fmt.Errorf("identity: DN value #%s is no DER in hexadecimal", digits)
	}
	text, isString, err := stringValue(v)
	if isString {
		return attribute{oid: oid, text: text}, nil
	}
	return attribute{oid: oid, der: string(der)}, err
}

func attributeOID(typ string) (string, error) {
	for _, a := range attributeNames {
		if strings.EqualFold(a.short, typ) {
			return a.oid, nil
		}
	}
	switch strings.ToUpper(typ) { // names that other tools print
	case "E", "EMAIL":
		return "1.2.840.113549.1.9.1", nil
	case "S":
		return "2.5.4.8", nil
	case "GIVENNAME", "G":
		return "2.5.4.42", nil
	case "SURNAME":
		return "2.5.4.4", nil
	}
	if oid, ok := parseOID(typ); ok {
		return oid.String(), nil
	}
	return "", fmt.Errorf("identity: DN attribute type %q is unknown; write it as an OID (2.5.4.3 is CN)", typ)
}

// trimUnescaped takes white space off both ends, but keeps an escaped space at the end.
func trimUnescaped(s string) string {
	s = strings.TrimLeft(s, " ")
	trimmed := strings.TrimRight(s, " ")
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(s) {
		trimmed += " "
	}
	return trimmed
}

// unescape is RFC 4514 section 2.4 backwards: a backslash is before a character, or before two hexadecimal digits.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errors.New("identity: DN ends in a backslash")
		}
		if octet, err := hex.DecodeString(s[i:min(i+2, len(s))]); err == nil {
			b.WriteByte(octet[0])
			i++
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// marshal is the DER: PrintableString for C and the like where it fits, IA5String where the type says so, else UTF8String.
func (n name) marshal() ([]byte, error) {
	sets := make([]asn1.RawValue, 0, len(n))
	for _, r := range n {
		set, err := r.marshal()
		if err != nil {
			return nil, err
		}
		sets = append(sets, asn1.RawValue{FullBytes: set})
	}
	return asn1.Marshal(sets)
}

func (r rdn) marshal() ([]byte, error) {
	var set rdnSET
	for _, a := range r {
		d, err := a.marshal()
		if err != nil {
			return nil, err
		}
		set = append(set, d)
	}
	return asn1.Marshal(set)
}

func (a attribute) marshal() (attributeDER, error) {
	oid, ok := parseOID(a.oid)
	if !ok || a.star {
		return attributeDER{}, errors.New("identity: DN with * for a value: that is a pattern (a star itself is written \\*)")
	}
	if a.der != "" {
		return attributeDER{oid, asn1.RawValue{FullBytes: []byte(a.der)}}, nil
	}
	params := "utf8"
	if slices.Contains(ia5Types, a.oid) && isASCII([]byte(a.text)) {
		params = "ia5"
	} else if isPrintable(a.text) {
		params = "printable"
	}
	der, err := asn1.MarshalWithParams(a.text, params)
	return attributeDER{oid, asn1.RawValue{FullBytes: der}}, err
}

// isPrintable reports whether s is of the PrintableString characters, X.680 section 41.4.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(" '()+,-./:=?", r)
	})
}

// parseOID reads dotted decimals.
func parseOID(s string) (asn1.ObjectIdentifier, bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 32 {
		return nil, false
	}
	var oid asn1.ObjectIdentifier
	for _, p := range parts {
		arc, ok := parseArc(p)
		if !ok {
			return nil, false
		}
		oid = append(oid, arc)
	}
	return oid, oid[0] <= 2 && (oid[0] == 2 || oid[1] < 40)
}

func parseArc(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	arc := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		arc = arc*10 + int(c-'0')
	}
	return arc, true
}
