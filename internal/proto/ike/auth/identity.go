package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Kinds of identity, the ID types of RFC 7296 section 3.5 that are understood.
const (
	IPv4  uint8 = 1
	FQDN  uint8 = 2
	Email uint8 = 3 // ID_RFC822_ADDR
	IPv6  uint8 = 5
	DN    uint8 = 9 // ID_DER_ASN1_DN
	KeyID uint8 = 11
)

// Limits on what a peer may call itself. Names of the DNS end at 255 octets, addresses of e-mail at 254 (RFC 5321).
const (
	maxName = 255
	maxDN   = 4096
)

// Identity is one end's name for itself, RFC 7296 section 3.5. Data holds the identification data exactly as it is on
// the wire (a DN in DER). Two spellings of one name differ under ==; [Identity.Equal] and [Identity.Canonical] do not.
type Identity struct {
	Kind uint8
	Data string
}

// Address is the identity of an address.
func Address(a netip.Addr) Identity {
	if a.Is4() {
		return Identity{IPv4, string(a.AsSlice())}
	}
	return Identity{IPv6, string(a.WithZone("").AsSlice())}
}

// Addr is the address of an identity of kind [IPv4] or [IPv6].
func (i Identity) Addr() (netip.Addr, bool) {
	if i.Kind != IPv4 && i.Kind != IPv6 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice([]byte(i.Data))
}

// FromWire is the identity in a peer's ID payload. It takes what [Identity.AppendBody] can have written and nothing
// else, so that an identity is safe to log and to compare.
func FromWire(idType uint8, data []byte) (Identity, error) {
	id := Identity{idType, string(data)}
	return id, id.check()
}

func (i Identity) check() error {
	switch i.Kind {
	case IPv4:
		return i.checkLen("address", 4)
	case IPv6:
		return i.checkLen("IPv6 address", 16)
	case FQDN:
		return checkName("FQDN", i.Data)
	case Email:
		return checkEmail(i.Data)
	case DN:
		_, err := parseDN([]byte(i.Data))
		return err
	case KeyID:
		return checkKeyID(i.Data)
	}
	return fmt.Errorf("identity of type %d, which is none of address, FQDN, e-mail, DN and key-id", i.Kind)
}

func (i Identity) checkLen(what string, n int) error {
	if len(i.Data) != n {
		return fmt.Errorf("identity: %s of %d octets", what, len(i.Data))
	}
	return nil
}

// checkName takes printable ASCII without space. Names that the DNS would refuse are in use ("hub_1", "site/7").
func checkName(what, s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("identity: %s of %d octets", what, len(s))
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("identity: %s with the octet 0x%02x", what, c)
		}
	}
	return nil
}

func checkEmail(s string) error {
	if err := checkName("e-mail address", s); err != nil {
		return err
	}
	if at := strings.LastIndexByte(s, '@'); at < 1 || at == len(s)-1 {
		return errors.New("identity: e-mail address without a name on both sides of an @")
	}
	return nil
}

func checkKeyID(s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("identity: key-id of %d octets", len(s))
	}
	return nil
}

// Canonical is the one form of all spellings of an identity: fit for == and as the key of a map, not for the wire.
func (i Identity) Canonical() Identity {
	switch i.Kind {
	case FQDN:
		i.Data = foldASCII(i.Data)
	case Email:
		at := strings.LastIndexByte(i.Data, '@') + 1 // the host is case-insensitive, the mailbox is not: RFC 5280 section 7.5
		i.Data = i.Data[:at] + foldASCII(i.Data[at:])
	case DN:
		if d, err := parseDN([]byte(i.Data)); err == nil {
			i.Data = d.canonical()
		}
	}
	return i
}

// Equal reports whether both are spellings of one identity. The zero Identity equals none.
func (i Identity) Equal(other Identity) bool {
	return i.Kind == other.Kind && i.Kind != 0 && i.Canonical() == other.Canonical()
}

// AppendBody appends what prf() takes in section 2.15 of RFC 7296 as RestOfInitIDPayload or RestOfRespIDPayload: the
// ID type, three octets of zero, the data.
func (i Identity) AppendBody(b []byte) []byte {
	b = append(b, i.Kind, 0, 0, 0)
	return append(b, i.Data...)
}

// String is the text that [ParseIdentity] takes, with only printable characters.
func (i Identity) String() string {
	if i == (Identity{}) {
		return "nobody"
	}
	if i.check() != nil {
		return fmt.Sprintf("unknown:%d:%s", i.Kind, hex.EncodeToString([]byte(i.Data)))
	}
	switch i.Kind {
	case KeyID:
		return "keyid:" + keyIDText(i.Data)
	case FQDN:
		return i.prefixed("fqdn:", i.Data)
	case Email:
		return i.prefixed("email:", i.Data)
	case DN:
		d, _ := parseDN([]byte(i.Data))
		return d.String()
	}
	a, _ := i.Addr()
	return a.String()
}

// prefixed puts the prefix only where the text alone would be read as something else.
func (i Identity) prefixed(prefix, text string) string {
	if id, err := ParseIdentity(text); err == nil && id == i {
		return text
	}
	return prefix + text
}

// keyIDText shows a key-id that is a word as such and any other in hexadecimal.
func keyIDText(s string) string {
	if checkName("", s) != nil || strings.HasPrefix(s, "0x") {
		return "0x" + hex.EncodeToString([]byte(s))
	}
	return s
}

// ParseIdentity reads an identity from its text: an address, a name, "name@host", a DN as in RFC 4514 with the most
// specific part first ("CN=hub, O=Acme"), or "keyid:" and a word or 0x and hexadecimal. "fqdn:" and "email:" in front
// settle a name that looks like something else.
func ParseIdentity(text string) (Identity, error) {
	text = strings.TrimSpace(text)
	id, err := parseIdentity(text)
	if err == nil {
		err = id.check()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("%q: %w", text, err)
	}
	return id, nil
}

func parseIdentity(text string) (Identity, error) {
	if kind, rest, ok := strings.Cut(text, ":"); ok {
		switch kind {
		case "keyid":
			return parseKeyID(rest)
		case "fqdn":
			return Identity{FQDN, rest}, nil
		case "email":
			return Identity{Email, rest}, nil
		}
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return addressIdentity(a)
	}
	switch {
	case strings.Contains(text, "="):
		der, err := parseDNText(text)
		return Identity{DN, string(der)}, err
	case strings.Contains(text, "@"):
		return Identity{Email, text}, nil
	}
	return Identity{FQDN, text}, nil
}

func addressIdentity(a netip.Addr) (Identity, error) {
	if a.Zone() != "" {
		return Identity{}, errors.New("identity: an address with a zone means something on this host only")
	}
	return Address(a), nil
}

func parseKeyID(text string) (Identity, error) {
	digits, isHex := strings.CutPrefix(text, "0x")
	if !isHex {
		return Identity{KeyID, text}, nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return Identity{}, errors.New("identity: after 0x a key-id is an even number of hexadecimal digits")
	}
	return Identity{KeyID, string(b)}, nil
}

// foldASCII lowers A to Z and nothing else: folding by Unicode would make names equal that nobody thinks equal
// (the Kelvin sign and k).
func foldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
