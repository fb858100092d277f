package auth

import (
	"encoding/asn1"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func TestParseIdentity(t *testing.T) {
	for _, tt := range []struct {
		text string
		kind uint8
		data string // "" for a DN: text form is held below
		back string
	}{
		{"192.0.2.1", IPv4, "\xc0\x00\x02\x01", ""},
		{"2001:db8::1", IPv6, "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01", ""},
		{"::ffff:192.0.2.1", IPv6, strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01", ""},
		{"Hub.Example.com", FQDN, "Hub.Example.com", ""},
		{" hub_1 ", FQDN, "hub_1", "hub_1"},
		{"admin@example.com", Email, "admin@example.com", ""},
		{"fqdn:admin@example.com", FQDN, "admin@example.com", ""},
		{"fqdn:192.0.2.1", FQDN, "192.0.2.1", ""},
		{"fqdn:hub", FQDN, "hub", "hub"},
		{"email:cn=a@b", Email, "cn=a@b", ""},
		{"keyid:branch-7", KeyID, "branch-7", ""},
		{"keyid:0x00ff", KeyID, "\x00\xff", ""},
		{"keyid:0x62", KeyID, "b", "keyid:b"},
		{"keyid:0x3078", KeyID, "0x", "keyid:0x3078"},
		{"CN=hub, O=Acme, C=DE", DN, "", ""},
		{"cn=hub,o=Acme", DN, "", "CN=hub, O=Acme"},
		{`CN=a\, b\+c\=\"\\\;\<\>\#, O=x`, DN, "", `CN=a\, b\+c\=\"\\\;\<\>#, O=x`},
		{`CN=\ a\ , O=x`, DN, "", `CN=\20a\20, O=x`},
		{`CN=\20`, DN, "", ""},
		{`CN=\#a`, DN, "", `CN=\#a`},
		{`CN=a\*`, DN, "", `CN=a\*`},
		{`CN=M\c3\bcnchen`, DN, "", `CN=München`},
		{"CN=hub+UID=7, DC=example, DC=com", DN, "", ""},
		{"1.2.3.4=#0c0161", DN, "", "1.2.3.4=a"},
		{"1.2.3.4=#030200ff", DN, "", "1.2.3.4=#030200ff"},
		{"E=a@b.c, CN=x", DN, "", "emailAddress=a@b.c, CN=x"},
	} {
		id, err := ParseIdentity(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if id.Kind != tt.kind || tt.data != "" && id.Data != tt.data {
			t.Errorf("%s: got %d %q", tt.text, id.Kind, id.Data)
		}
		want := tt.back
		if want == "" {
			want = tt.text
		}
		if id.String() != want {
			t.Errorf("%s: prints as %s, want %s", tt.text, id, want)
		}
		again, err := ParseIdentity(id.String())
		if err != nil || !again.Equal(id) {
			t.Errorf("%s: printed %s, which reads as %v, %v", tt.text, id, again, err)
		}
		wire, err := FromWire(id.Kind, []byte(id.Data))
		if err != nil || wire != id {
			t.Errorf("%s: from the wire: %v, %v", tt.text, wire, err)
		}
	}
}

func TestParseIdentityErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "0 octets"},
		{"a b", "octet 0x20"},
		{"hüb.example", "octet 0xc3"},
		{"@example.com", "both sides"},
		{"a@", "both sides"},
		{"fe80::1%eth0", "zone"},
		{"keyid:", "0 octets"},
		{"keyid:0x0", "even number"},
		{"CN=*", "pattern"},
		{"CN=hub, Acme", "TYPE=value"},
		{"XY=hub", "OID"},
		{"CN=", "malformed"},
		{`CN=a\`, "backslash"},
		{"CN=#zz", "hexadecimal"},
		{`CN=a\00b`, "malformed"},
		{`CN=a\ff`, "malformed"},
		{strings.Repeat("a", 256), "256 octets"},
		{strings.Repeat("CN=a,", 33) + "CN=a", "34 parts"},
		{"9.9.9=a", "OID"},
	} {
		if id, err := ParseIdentity(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", tt.text, id, err, tt.want)
		}
	}
}

// TestFromWireStrict: an identity of a peer is either clean or refused.
func TestFromWireStrict(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind uint8
		data string
	}{
		{"RFC 7296 3.5: IPv4 of 3 octets", IPv4, "abc"},
		{"RFC 7296 3.5: IPv4 of 5 octets", IPv4, "abcde"},
		{"RFC 7296 3.5: IPv6 of 4 octets", IPv6, "abcd"},
		{"RFC 7296 3.5: FQDN with a terminator", FQDN, "hub\x00"},
		{"RFC 7296 3.5: FQDN with a line end", FQDN, "hub\nlevel=error"},
		{"empty FQDN", FQDN, ""},
		{"FQDN in UTF-8", FQDN, "h\u00fcb"},
		{"e-mail without host", Email, "a@"},
		{"e-mail with NUL before the host", Email, "a@b\x00.c"},
		{"empty key-id", KeyID, ""},
		{"long key-id", KeyID, strings.Repeat("a", 256)},
		{"type 0", 0, "abcd"},
		{"type 4, IPv4 subnet of IKEv1", 4, "abcdefgh"},
		{"type 10, GeneralName", 10, "\x82\x01a"},
		{"CVE-2013-6075: empty DN", DN, ""},
		{"CVE-2013-6075: DN without parts", DN, "\x30\x00"},
		{"CVE-2013-6075: DN shorter than its length says", DN, "\x30\x10\x31\x00"},
		{"CVE-2013-6075: octets after the DN", DN, mustDN(t, "CN=a") + "\x00"},
		{"DN with an empty part", DN, "\x30\x02\x31\x00"},
		{"DN with a NUL in a name", DN, "\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03a\x00b"},
		{"DN with UTF-8 that is none", DN, "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\xff"},
		{"DN with odd BMPString", DN, "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x1e\x01\x61"},
		{"DN with a lone surrogate", DN, "\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x1e\x02\xd8\x00"},
		{"CVE-2017-9023: indefinite length", DN, "\x30\x80\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a\x00\x00"},
		{"length that is not the shortest", DN, "\x30\x81\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a"},
		{"too long", DN, "\x30\x82\x10\x00" + strings.Repeat("\x00", 4096)},
	} {
		if id, err := FromWire(tt.kind, []byte(tt.data)); err == nil {
			t.Errorf("%s: taken as %v", tt.name, id)
		}
	}
}

func mustDN(t testing.TB, text string) string {
	t.Helper()
	return mustID(t, text).Data
}

func mustID(t testing.TB, text string) Identity {
	t.Helper()
	id, err := ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// dnOf makes a DN with one CN of any ASN.1 type.
func dnOf(t *testing.T, tag int, value string) Identity {
	t.Helper()
	attr, err := asn1.Marshal([]rdnSET{{{asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.RawValue{Tag: tag, Bytes: []byte(value)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return Identity{DN, string(attr)}
}

// TestDNEqual: RFC 5280 section 7.1, and CVE-2013-6075 (comparison by prefix or by length alone).
func TestDNEqual(t *testing.T) {
	printable, utf8, bmp, ia5, t61 := asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagBMPString, asn1.TagIA5String, asn1.TagT61String
	hub := dnOf(t, printable, "Hub One")
	for _, tt := range []struct {
		name string
		a, b Identity
		want bool
	}{
		{"string types", hub, dnOf(t, utf8, "Hub One"), true},
		{"BMPString", hub, dnOf(t, bmp, "\x00H\x00u\x00b\x00 \x00O\x00n\x00e"), true},
		{"T61String", hub, dnOf(t, t61, "Hub One"), true},
		{"IA5String", hub, dnOf(t, ia5, "Hub One"), true},
		{"case", hub, dnOf(t, utf8, "hUB oNE"), true},
		{"white space", hub, dnOf(t, utf8, "  Hub   One "), true},
		{"white space is no nothing", hub, dnOf(t, utf8, "HubOne"), false},
		{"prefix", hub, dnOf(t, printable, "Hub On"), false},
		{"longer", hub, dnOf(t, printable, "Hub One1"), false},
		{"same length", hub, dnOf(t, printable, "Hub Onf"), false},
		{"Kelvin sign is no k", mustID(t, "CN=k"), mustID(t, "CN=\u212a"), false},
		{"letters beyond ASCII as they are", mustID(t, "CN=\u00fc"), mustID(t, "CN=\u00dc"), false},
		{"fewer parts", mustID(t, "CN=a, O=b"), mustID(t, "CN=a"), false},
		{"more parts", mustID(t, "CN=a"), mustID(t, "CN=a, O=b"), false},
		{"other order", mustID(t, "CN=a, O=b"), mustID(t, "O=b, CN=a"), false},
		{"a set has no order", mustID(t, "CN=a+UID=b"), mustID(t, "UID=b+CN=a"), true},
		{"one part of two is not two parts", mustID(t, "CN=a+UID=b"), mustID(t, "CN=a, UID=b"), false},
		{"other attribute", mustID(t, "CN=a"), mustID(t, "OU=a"), false},
		{"a value cannot close the part", mustID(t, `CN=a\, O\=b`), mustID(t, "CN=a, O=b"), false},
		{"a value cannot imitate the canonical form", mustID(t, `CN=a}1{t2.5.4.10:1:b`), mustID(t, "O=b, CN=a"), false},
		{"BIT STRING by its octets", dnOf(t, asn1.TagBitString, "\x00a"), dnOf(t, asn1.TagBitString, "\x00A"), false},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%s: %v and %v: got %v", tt.name, tt.a, tt.b, got)
		}
		if got := tt.b.Equal(tt.a); got != tt.want {
			t.Errorf("%s, turned round: got %v", tt.name, got)
		}
	}
}

// TestDNSetOrder: DER sorts a SET by its octets, so that string types change the order.
func TestDNSetOrder(t *testing.T) {
	set := func(tagA, tagB int) Identity {
		ou := asn1.ObjectIdentifier{2, 5, 4, 11}
		der, err := asn1.Marshal([]rdnSET{{{ou, asn1.RawValue{Tag: tagA, Bytes: []byte("a")}}, {ou, asn1.RawValue{Tag: tagB, Bytes: []byte("b")}}}})
		if err != nil {
			t.Fatal(err)
		}
		return Identity{DN, string(der)}
	}
	a, b := set(asn1.TagUTF8String, asn1.TagPrintableString), set(asn1.TagPrintableString, asn1.TagUTF8String)
	if !a.Equal(b) {
		t.Errorf("%v and %v differ", a, b)
	}
}

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"Hub.Example.com", "hub.example.COM", true},
		{"hub.example.com", "hub.example.com.", false},
		{"a@Example.com", "a@example.COM", true},
		{"A@example.com", "a@example.com", false},
		{"keyid:A", "keyid:a", false},
		{"keyid:a", "fqdn:a", false},
		{"192.0.2.1", "::ffff:192.0.2.1", false},
	} {
		a, b := mustID(t, tt.a), mustID(t, tt.b)
		if a.Equal(b) != tt.want || b.Equal(a) != tt.want {
			t.Errorf("%s and %s: want %v", tt.a, tt.b, tt.want)
		}
	}
	if (Identity{}).Equal(Identity{}) {
		t.Error("no identity equals no identity")
	}
}

// TestAppendBody: RFC 7296 section 2.15, IDType | RESERVED | InitIDData.
func TestAppendBody(t *testing.T) {
	got := hex.EncodeToString(mustID(t, "192.0.2.1").AppendBody([]byte{0xff}))
	if want := "ff01000000c0000201"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStringIsPrintable(t *testing.T) {
	for _, id := range []Identity{
		{FQDN, "a\nb"}, {KeyID, "\x1b[31m"}, {KeyID, "a b"}, {DN, "junk\x00"}, {77, "\xff"}, {IPv4, "abc"}, {},
		mustID(t, "CN=a\u202eb"), mustID(t, "CN=a\u00a0b"),
	} {
		for _, r := range id.String() {
			if r < ' ' || r == 0x7f || r == '\u202e' {
				t.Errorf("%q prints %q", id.Data, id)
			}
		}
	}
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		yes, no string // separated by |
	}{
		{"*", "hub|192.0.2.1|keyid:x|CN=a", ""},
		{"%any", "hub|2001:db8::1", ""},
		{"hub.example.com", "HUB.example.com", "hub.example.org|a.hub.example.com|keyid:hub.example.com"},
		{"*.example.com", "hub.example.com|HUB.EXAMPLE.COM", "a.hub.example.com|example.com|fqdn:.example.com|hub.example.com.evil|hubexample.com|a@hub.example.com|keyid:hub.example.com"},
		{"*@example.com", "a@example.com|b@EXAMPLE.com", "a@b.example.com|a@example.com.evil|fqdn:a@example.com"},
		{"a@example.com", "a@example.com", "A@example.com|b@example.com"},
		{"10.0.0.0/8", "10.1.2.3", "11.0.0.1|::ffff:10.0.0.1|fqdn:10.1.2.3"},
		{"2001:db8::/32", "2001:db8:1::1", "2001:db9::1|32.1.13.184"},
		{"0.0.0.0/0", "192.0.2.1", "::1|hub"},
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"CN=hub, O=Acme", "cn=HUB,o=acme", "CN=hub, O=Other|CN=hub"},
		{"CN=*, O=Acme", "CN=hub, O=Acme|CN=a b\\, c, O=ACME", "CN=hub, O=Other|CN=hub, OU=x, O=Acme|O=Acme|CN=hub|O=Acme, CN=hub|OU=hub, O=Acme|CN=hub+UID=1, O=Acme"},
		{"CN=*+UID=7, O=Acme", "UID=7+CN=x, O=Acme", "CN=x, O=Acme|CN=x+UID=8, O=Acme|CN=x+CN=y, O=Acme"},
		{`CN=\*`, `CN=\*`, "CN=a"},
		{"keyid:*", "keyid:*", "keyid:a|hub"},
		{"fqdn:*.example.com", "fqdn:*.example.com", "hub.example.com"},
	} {
		p, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if p.String() != tt.pattern {
			t.Errorf("%s: prints as %s", tt.pattern, p)
		}
		checkMatches(t, p, tt.yes, true)
		checkMatches(t, p, tt.no, false)
		if p.Match(Identity{}) || p.Match(Identity{FQDN, ""}) || p.Match(Identity{DN, "junk"}) || p.Match(Identity{Email, "junk"}) {
			t.Errorf("%s matches what is no identity", tt.pattern)
		}
	}
	if (Pattern{}).Match(mustID(t, "hub")) {
		t.Error("no pattern matches")
	}
}

func checkMatches(t *testing.T, p Pattern, ids string, want bool) {
	t.Helper()
	for text := range strings.SplitSeq(ids, "|") {
		if text != "" && p.Match(mustID(t, text)) != want {
			t.Errorf("%s and %s: want match %v", p, text, want)
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "0 octets"},
		{"hub*.example.com", "one whole label"},
		{"*.*.example.com", "one star"},
		{"*.a@b", "one star"},
		{"a@*", "one whole label"},
		{"*.", "0 octets"},
		{"*@", "0 octets"},
		{"10.1.0.0/8", "10.0.0.0/8"},
		{"CN=*, Acme", "TYPE=value"},
		{"CN=a*b\\", "backslash"},
	} {
		if p, err := ParsePattern(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want an error with %q", tt.text, p, err, tt.want)
		} else if p != (Pattern{}) {
			t.Errorf("%s: an error and a pattern", tt.text)
		}
	}
}

func TestPatternExact(t *testing.T) {
	p, _ := ParsePattern("Hub.example.com")
	if id, ok := p.Exact(); !ok || id != mustID(t, "hub.example.com") {
		t.Errorf("got %v, %v", id, ok)
	}
	if p, _ := ParsePattern("*"); !p.Any() {
		t.Error("* is not any")
	}
	for text, want := range map[string]bool{"192.0.2.1": true, "2001:db8::/32": true, "*": false, "hub": false, "CN=*": false, "fqdn:192.0.2.1": false} {
		if p, err := ParsePattern(text); err != nil || p.OfAddresses() != want {
			t.Errorf("%s: of addresses %v, %v", text, !want, err)
		}
	}
}

// FuzzIdentity: whatever is taken from the wire prints, reads back as the same identity, and has one canonical form.
func FuzzIdentity(f *testing.F) {
	for _, text := range []string{"192.0.2.1", "::1", "hub", "a@b", "keyid:0x00", "CN=a+UID=b, O=c", `CN=\ \,\#, 1.2.3=#030200ff`} {
		id, err := ParseIdentity(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(id.Kind, []byte(id.Data), text)
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte, text string) {
		if id, err := FromWire(kind, data); err == nil {
			checkIdentity(t, id)
		}
		if id, err := ParseIdentity(text); err == nil {
			checkIdentity(t, id)
		}
		if p, err := ParsePattern(text); err == nil {
			p.Match(Identity{kind, string(data)})
		}
	})
}

func checkIdentity(t *testing.T, id Identity) {
	if again, err := ParseIdentity(id.String()); err != nil || !again.Equal(id) {
		t.Fatalf("%d %x prints as %s, which reads as %v, %v", id.Kind, id.Data, id, again, err)
	}
	if again, err := FromWire(id.Kind, []byte(id.Data)); err != nil || again != id {
		t.Fatalf("%d %x does not come back from the wire: %v", id.Kind, id.Data, err)
	}
	if _, ok := id.Addr(); ok {
		if a, _ := netip.ParseAddr(id.String()); Address(a) != id {
			t.Fatalf("address %s", id)
		}
	}
}
