package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// Outcomes of a hostile chain, beside the traces of what it is read as.
const (
	syntax   = "syntax error"
	critical = "critical error"
)

// outcome reads a chain and says in a word what became of it.
func outcome(first wire.PayloadType, b []byte) string {
	p, err := wire.ParsePayloads(first, b)
	var unknown *wire.CriticalError
	switch {
	case err == nil:
		return p.String()
	case p != nil:
		return "payloads and an error"
	case errors.As(err, &unknown):
		return critical
	case isSyntax(err):
		return syntax
	}
	return err.Error()
}

// oct joins octets, numbers of 16 bits as two.
func oct(parts ...any) (b []byte) {
	for _, part := range parts {
		switch x := part.(type) {
		case int:
			b = append(b, byte(x))
		case uint16:
			b = binary.BigEndian.AppendUint16(b, x)
		case []byte:
			b = append(b, x...)
		}
	}
	return b
}

// proposal writes one with a length that is right plus off, and the SPI size and the number of transforms as told.
func proposal(mark, protocol, spiSize, count, off int, rest []byte) []byte {
	return oct(mark, 0, uint16(8+len(rest)+off), 1, protocol, spiSize, count, rest)
}

// transform writes one with a length that is right plus off.
func transform(mark, kind, id, off int, attributes ...byte) []byte {
	return oct(mark, 0, uint16(8+len(attributes)+off), kind, 0, uint16(id), attributes)
}

func TestHostileSA(t *testing.T) {
	encr := transform(0, 1, 20, 0, 0x80, 14, 1, 0)
	spi := childSPI
	esp := func(spiSize, count, off int, rest ...[]byte) []byte {
		return proposal(0, 3, spiSize, count, off, bytes.Join(rest, nil))
	}
	good := esp(4, 1, 0, spi, encr)
	for _, c := range []struct {
		name, want string
		body       []byte
	}{
		{"a proposal", "SA(1 ESP 0xc1020304 encr:aes-gcm-256)", good},
		{"free5GC #1073: SPI size above the proposal", syntax, esp(255, 1, 0, spi, encr)},
		{"free5GC #1073: SPI size above an empty proposal", syntax, esp(4, 1, 0)},
		{"free5GC #1073: SPI of IKE up to the last octet", syntax, proposal(0, 1, 8, 1, 0, ikeSPI)},
		{"free5GC #1073: SPI size above the proposal, octets of the next one behind", syntax,
			append(proposal(2, 3, 40, 1, 0, slices.Concat(spi, encr)), good...)},
		{"free5GC #989: no proposal", syntax, nil},
		{"free5GC #989: half a proposal", syntax, good[:7]},
		{"a proposal without transforms", syntax, esp(4, 0, 0, spi)},
		{"a number of transforms above what is there", syntax, esp(4, 2, 0, spi, encr)},
		{"a number of transforms below what is there", syntax, esp(4, 1, 0, spi, transform(3, 1, 20, 0), encr)},
		{"a transform that another should follow", syntax, esp(4, 1, 0, spi, transform(3, 1, 20, 0))},
		{"a last transform that is not the last", syntax, esp(4, 2, 0, spi, encr, encr)},
		{"a mark of a transform that is none", syntax, esp(4, 1, 0, spi, transform(2, 1, 20, 0))},
		{"a mark of a proposal on a transform", syntax, esp(4, 2, 0, spi, transform(2, 1, 20, 0), encr)},
		{"a mark of a transform on a proposal", syntax, append(proposal(3, 3, 4, 1, 0, slices.Concat(spi, encr)), good...)},
		{"an attribute one octet longer than its transform", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0, 14, 0, 1))},
		{"a mark of a proposal that is none", syntax, proposal(3, 3, 4, 1, 0, slices.Concat(spi, encr))},
		{"a proposal that another should follow", syntax, proposal(2, 3, 4, 1, 0, slices.Concat(spi, encr))},
		{"octets after the last proposal", syntax, append(slices.Clone(good), good...)},
		{"octets after the last transform", syntax, esp(4, 1, 0, spi, encr, []byte{0})},
		{"proposal length of 0", syntax, oct(0, 0, uint16(0), 1, 3, 4, 1, spi, encr)},
		{"proposal length of 7", syntax, oct(0, 0, uint16(7), 1, 3, 4, 1, spi, encr)},
		{"proposal length above the payload", syntax, esp(4, 1, 1, spi, encr)},
		{"proposal length below its transforms", syntax, esp(4, 1, -1, spi, encr)},
		{"transform length of 0", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, -8))},
		{"transform length above the proposal", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 1))},
		{"transform length of 64 KiB", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 0xffff-8))},
		{"half an attribute", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0x80, 14, 1))},
		{"an attribute longer than its transform", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0, 14, 0xff, 0xff))},
		{"two key lengths", syntax, esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0x80, 14, 1, 0, 0x80, 14, 0, 128))},
		{"lS CVE-2024-3652: key length of zero is not no key length", "SA(1 ESP 0xc1020304 encr:aes-gcm+unknown)",
			esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0x80, 14, 0, 0))},
		{"key length as a long attribute", "SA(1 ESP 0xc1020304 encr:aes-gcm+unknown)",
			esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0, 14, 0, 2, 1, 0))},
		{"RFC 7296 3.3.6: an unknown attribute", "SA(1 ESP 0xc1020304 encr:aes-gcm-256+unknown)",
			esp(4, 1, 0, spi, transform(0, 1, 20, 0, 0x80, 14, 1, 0, 0x80, 99, 0, 0))},
		{"RFC 7296 3.3.6: an unknown transform type stays for the machine to refuse", "SA(1 ESP 0xc1020304 type99:1)",
			esp(4, 1, 0, spi, transform(0, 99, 1, 0))},
		{"sS CVE-2014-9221: a private transform id is only a number", "SA(1 ESP 0xc1020304 ke:1025)",
			esp(4, 1, 0, spi, transform(0, 4, 1025, 0))},
		{"lS CVE-2016-5391: a proposal without DH", "SA(1 IKE encr:aes-gcm-256)", proposal(0, 1, 0, 1, 0, encr)},
		{"SPI of IKE of 4 octets", syntax, proposal(0, 1, 4, 1, 0, slices.Concat(spi, encr))},
		{"SPI of ESP of 8 octets", syntax, proposal(0, 3, 8, 1, 0, slices.Concat(ikeSPI, encr))},
		{"SPI of ESP of none", syntax, esp(0, 1, 0, encr)},
		{"SPI of AH of 3 octets", syntax, proposal(0, 2, 3, 1, 0, slices.Concat(spi[:3], encr))},
		{"an unknown protocol stays for the machine to refuse", "SA(1 protocol 201 0xc10203 encr:aes-gcm-256)",
			proposal(0, 201, 3, 1, 0, slices.Concat(spi[:3], encr))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(wire.TypeSA, one(wire.TypeSA, c.body...)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHostileTS(t *testing.T) {
	v4 := oct(7, 47, uint16(16), uint16(0), uint16(0xffff), []byte{192, 0, 2, 1}, []byte{192, 0, 2, 1})
	ports := func(start, end uint16) []byte {
		return oct(1, 0, 0, 0, 7, 17, uint16(16), start, end, []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2})
	}
	const good = "TSi(192.0.2.1 protocol 47)"
	for _, c := range []struct {
		name, want string
		body       []byte
	}{
		{"a selector", good, oct(1, 0, 0, 0, v4)},
		{"lS CVE-2023-23009: fewer selectors than it says", syntax, oct(2, 0, 0, 0, v4)},
		{"lS CVE-2023-23009: 255 selectors in none", syntax, oct(255, 0, 0, 0)},
		{"lS CVE-2023-23009: selector length above the payload", syntax, oct(1, 0, 0, 0, 7, 47, uint16(17), v4[4:])},
		{"lS CVE-2023-23009: selector length of 0", syntax, oct(1, 0, 0, 0, 7, 47, uint16(0), v4[4:])},
		{"lS CVE-2023-23009: selector length of 8", syntax, oct(1, 0, 0, 0, 7, 47, uint16(8), v4[4:8])},
		{"lS CVE-2023-23009: IPv6 type with IPv4 length", syntax, oct(1, 0, 0, 0, 8, v4[1:])},
		{"lS CVE-2023-23009: IPv4 type with IPv6 length", syntax, oct(1, 0, 0, 0, 7, 47, uint16(40), make([]byte, 36))},
		{"an unknown type of length 0", syntax, oct(1, 0, 0, 0, 99, 0, uint16(0))},
		{"an unknown type of length 3", syntax, oct(2, 0, 0, 0, 99, 0, uint16(3), v4)},
		{"an unknown type of length 3, which makes two of one", syntax, oct(2, 0, 0, 0, 99, 0, uint16(3), 0, uint16(4))},
		{"half a selector header", syntax, oct(1, 0, 0, 0, 7, 47, 0)},
		{"more selectors than it says", syntax, oct(1, 0, 0, 0, v4, v4)},
		{"no selector", syntax, oct(0, 0, 0, 0)},
		{"no number", syntax, oct(1, 0, 0)},
		{"reserved octets are ignored", good, oct(1, 9, 9, 9, v4)},
		{"an unknown type is left out", good, oct(2, 0, 0, 0, 9, 0, uint16(7), []byte("any"), v4)},
		{"only unknown types", "TSi()", oct(1, 0, 0, 0, 9, 0, uint16(4))},
		{"addresses that end before they start", syntax,
			oct(1, 0, 0, 0, 7, 47, uint16(16), uint16(0), uint16(0xffff), []byte{192, 0, 2, 2}, []byte{192, 0, 2, 1})},
		{"ports that end before they start", syntax, ports(2, 1)},
		{"ports of 65535 to 1 are not OPAQUE", syntax, ports(65535, 1)},
		{"OPAQUE ports", "TSi(192.0.2.1-192.0.2.2 protocol 17 ports opaque)", ports(65535, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(wire.TypeTSi, one(wire.TypeTSi, c.body...)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHostilePayloads(t *testing.T) {
	nonce := func(n int) []byte { return make([]byte, n) }
	for _, c := range []struct {
		name, want string
		kind       wire.PayloadType
		body       []byte
	}{
		{"lS CVE-2015-3240: KE without public value", syntax, wire.TypeKE, oct(uint16(31), uint16(0))},
		{"lS CVE-2015-3240: KE without group", syntax, wire.TypeKE, nil},
		{"lS CVE-2015-3240: KE cut in the group", syntax, wire.TypeKE, oct(0)},
		{"KE of one octet is for the suite to refuse", "KE(ke:x25519, 1 octet)", wire.TypeKE, oct(uint16(31), uint16(0), 0)},
		{"RFC 7296 3.9: nonce of 15", syntax, wire.TypeNonce, nonce(15)},
		{"RFC 7296 3.9: nonce of 16", "Nonce(16 octets)", wire.TypeNonce, nonce(16)},
		{"RFC 7296 3.9: nonce of 256", "Nonce(256 octets)", wire.TypeNonce, nonce(256)},
		{"RFC 7296 3.9: nonce of 257", syntax, wire.TypeNonce, nonce(257)},
		{"RFC 7296 3.9: nonce of none", syntax, wire.TypeNonce, nil},
		{"sS CVE-2013-6075: identity without type", syntax, wire.TypeIDi, oct(9, 0, 0)},
		{"sS CVE-2013-6075: DN of no octet", "IDi(type 9, 0 octets)", wire.TypeIDi, oct(9, 0, 0, 0)},
		{"IPv4 identity of 3 octets", "IDr(type 1, 3 octets)", wire.TypeIDr, oct(1, 0, 0, 0, 1, 2, 3)},
		{"FQDN that is not UTF-8", "IDr(type 2, 1 octet)", wire.TypeIDr, oct(2, 0, 0, 0, 0xff)},
		{"certificate of no octet", syntax, wire.TypeCert, oct(4)},
		{"certificate request of no octet", syntax, wire.TypeCertReq, nil},
		{"AUTH cut short", syntax, wire.TypeAuth, oct(2, 0, 0)},
		{"AUTH without data is for the machine to refuse", "AUTH(method 2, 0 octets)", wire.TypeAuth, oct(2, 0, 0, 0)},
		{"lS CVE-2023-38710: REKEY_SA of no protocol", syntax, wire.TypeNotify, oct(0, 4, uint16(16393), childSPI)},
		{"lS CVE-2023-38710: REKEY_SA of the IKE SA", syntax, wire.TypeNotify, oct(1, 4, uint16(16393), childSPI)},
		{"lS CVE-2023-38710: REKEY_SA of the IKE SA with its SPI", syntax, wire.TypeNotify, oct(1, 8, uint16(16393), ikeSPI)},
		{"lS CVE-2023-38710: REKEY_SA without SPI", syntax, wire.TypeNotify, oct(3, 0, uint16(16393))},
		{"lS CVE-2023-38710: REKEY_SA of protocol 4", syntax, wire.TypeNotify, oct(4, 4, uint16(16393), childSPI)},
		{"REKEY_SA", "N(REKEY_SA, ESP 0xc1020304)", wire.TypeNotify, oct(3, 4, uint16(16393), childSPI)},
		{"notify with SPI size above the payload", syntax, wire.TypeNotify, oct(3, 5, uint16(16393), childSPI)},
		{"notify with SPI size of 255 and none", syntax, wire.TypeNotify, oct(3, 255, uint16(7))},
		{"notify cut short", syntax, wire.TypeNotify, oct(0, 0, 0)},
		{"notify of an unknown kind", "N(error 12345)", wire.TypeNotify, oct(0, 0, uint16(12345))},
		{"delete of more SPIs than are there", syntax, wire.TypeDelete, oct(3, 4, uint16(2), childSPI)},
		{"delete of fewer SPIs than are there", syntax, wire.TypeDelete, oct(3, 4, uint16(0), childSPI)},
		{"delete of 65535 SPIs", syntax, wire.TypeDelete, oct(3, 4, uint16(65535), childSPI)},
		{"delete of 65535 SPIs of no octet", syntax, wire.TypeDelete, oct(3, 0, uint16(65535))},
		{"delete of SPIs of 2 octets", syntax, wire.TypeDelete, oct(3, 2, uint16(2), childSPI)},
		{"delete of the IKE SA with an SPI", syntax, wire.TypeDelete, oct(1, 8, uint16(1), ikeSPI)},
		{"delete of the IKE SA, 65535 times", syntax, wire.TypeDelete, oct(1, 0, uint16(65535))},
		{"delete of no protocol", syntax, wire.TypeDelete, oct(0, 4, uint16(1), childSPI)},
		{"delete cut short", syntax, wire.TypeDelete, oct(1, 0, 0)},
		{"free5GC #984: CP attribute of 1 octet", "CP(5 octets)", wire.TypeConfig, oct(1, 0, 0, 0, 1)},
		{"free5GC #984: CP of no octet", "CP(0 octets)", wire.TypeConfig, nil},
		{"EAP of no octet", "EAP(0 octets)", wire.TypeEAP, nil},
		{"vendor id of no octet", "V(0 octets)", wire.TypeVendor, nil},
		{"free5GC #997: SK of no octet is for the cipher to refuse", "SK(0 octets)", wire.TypeEncrypted, nil},
		{"sS CVE-2013-6076: SKF without numbers", syntax, wire.TypeFragment, oct(0, 1, 0)},
		{"RFC 7383 2.6: SKF 0 of 2", syntax, wire.TypeFragment, oct(uint16(0), uint16(2), childSPI)},
		{"RFC 7383 2.6: SKF 3 of 2", syntax, wire.TypeFragment, oct(uint16(3), uint16(2), childSPI)},
		{"RFC 7383 2.6: SKF 0 of 0", syntax, wire.TypeFragment, oct(uint16(0), uint16(0), childSPI)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(c.kind, one(c.kind, c.body...)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHostileChains(t *testing.T) {
	n := raw{kind: wire.TypeNotify, body: oct(0, 0, uint16(16384))}
	unknown := raw{kind: 200, body: []byte("x")}
	repeat := func(p raw, times int) []raw { return slices.Repeat([]raw{p}, times) }
	with := func(b []byte, at int, octet byte) []byte {
		b = slices.Clone(b)
		b[at] = octet
		return b
	}
	of := func(parts ...raw) []byte {
		_, b := chain(parts...)
		return b
	}
	twice := func(kind wire.PayloadType, body []byte) []byte {
		return of(raw{kind: kind, body: body}, n, raw{kind: kind, body: body})
	}
	nonce, selector := make([]byte, 16), oct(1, 0, 0, 0, 9, 0, uint16(4))
	for _, c := range []struct {
		name, want string
		first      wire.PayloadType
		b          []byte
	}{
		{"no payload", "", 0, nil},
		{"free5GC #968: a next payload and no octets", syntax, wire.TypeSA, nil},
		{"free5GC #968: an unknown next payload and no octets", syntax, 200, nil},
		{"free5GC #968: half a generic header", syntax, wire.TypeNotify, of(n)[:3]},
		{"free5GC #968: the last payload announces another", syntax, wire.TypeNotify, with(of(n), 0, byte(wire.TypeSA))},
		{"octets and no next payload", syntax, 0, of(n)},
		{"octets after the last payload", syntax, wire.TypeNotify, append(of(n), 0)},
		{"payload length of 0", syntax, wire.TypeNotify, with(of(n), 3, 0)},
		{"payload length of 3", syntax, wire.TypeNotify, with(of(n), 3, 3)},
		{"payload length above the message", syntax, wire.TypeNotify, with(of(n), 3, 9)},
		{"payload length of 64 KiB", syntax, wire.TypeNotify, with(of(n), 2, 255)},
		{"unknown payload of length 0, which would never end", syntax, 200, with(of(unknown, unknown), 3, 0)},
		{"RFC 7296 2.5: unknown payloads are left out", "N(INITIAL_CONTACT)", 200, of(unknown, n, unknown)},
		{"RFC 7296 2.5: only unknown payloads", "", 200, of(unknown)},
		{"RFC 7296 2.5: an unknown critical payload", critical, wire.TypeNotify, of(n, raw{kind: 200, critical: true}, n)},
		{"RFC 7296 2.5: the critical bit of a known payload is ignored", "N(INITIAL_CONTACT)", wire.TypeNotify,
			of(raw{kind: n.kind, body: n.body, critical: true})},
		{"RFC 7296 2.5: reserved bits are ignored", "N(INITIAL_CONTACT)", wire.TypeNotify, with(of(n), 1, 0x7f)},
		{"RFC 7296 2.5: reserved bits of an unknown payload are ignored", "", 200, with(of(unknown), 1, 0x7f)},
		{"sS CVE-2015-3991: payload types of IKEv1 are unknown", "N(INITIAL_CONTACT)", 1,
			of(raw{kind: 1}, raw{kind: 4}, raw{kind: 5}, raw{kind: 8}, raw{kind: 13}, raw{kind: 20}, raw{kind: 32}, n)},
		{"sS CVE-2015-3991: a critical payload type of IKEv1", critical, 1, of(raw{kind: 1, critical: true})},
		{"64 payloads", "", 200, of(repeat(unknown, wire.MaxPayloads)...)},
		{"65 payloads", syntax, 200, of(repeat(unknown, wire.MaxPayloads+1)...)},
		{"16,000 empty payloads", syntax, 200, of(repeat(raw{kind: 200}, 16000)...)},
		{"lS CVE-2026-12413: unknown payloads beside SKF", "SKF(1/2, 1 octet)", 200,
			of(append(repeat(unknown, wire.MaxPayloads-1), raw{kind: wire.TypeFragment, body: oct(uint16(1), uint16(2), 7)})...)},
		{"lS CVE-2026-12413: too many unknown payloads beside SKF", syntax, 200,
			of(append(repeat(unknown, wire.MaxPayloads), raw{kind: wire.TypeFragment, body: oct(uint16(1), uint16(2), 7)})...)},
		{"a critical unknown payload beside SK", critical, 200, of(raw{kind: 200, critical: true}, raw{kind: wire.TypeEncrypted})},
		{"RFC 7296 3.14: a payload after SK", syntax, wire.TypeEncrypted, of(raw{kind: wire.TypeEncrypted, body: nonce}, n)},
		{"RFC 7383 2.5: a payload after SKF", syntax, wire.TypeFragment,
			of(raw{kind: wire.TypeFragment, body: oct(uint16(1), uint16(1), 7)}, n)},
		{"two KE", syntax, wire.TypeKE, twice(wire.TypeKE, oct(uint16(31), uint16(0), 1))},
		{"two nonces", syntax, wire.TypeNonce, twice(wire.TypeNonce, nonce)},
		{"two AUTH", syntax, wire.TypeAuth, twice(wire.TypeAuth, oct(2, 0, 0, 0))},
		{"two IDi", syntax, wire.TypeIDi, twice(wire.TypeIDi, oct(11, 0, 0, 0))},
		{"two IDr", syntax, wire.TypeIDr, twice(wire.TypeIDr, oct(11, 0, 0, 0))},
		{"two TSi", syntax, wire.TypeTSi, twice(wire.TypeTSi, selector)},
		{"two TSr", syntax, wire.TypeTSr, twice(wire.TypeTSr, selector)},
		{"two SA", syntax, wire.TypeSA, twice(wire.TypeSA, proposal(0, 1, 0, 1, 0, transform(0, 1, 20, 0)))},
		{"two certificates are a chain", "CERT(encoding 4, 1 octet) N(INITIAL_CONTACT) CERT(encoding 4, 1 octet)", wire.TypeCert,
			twice(wire.TypeCert, oct(4, 1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outcome(c.first, c.b); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// RFC 7296 section 2.5: the notify that answers has the type of the payload.
func TestCriticalErrorNamesTheType(t *testing.T) {
	_, b := chain(raw{kind: 200, critical: true})
	_, err := wire.ParsePayloads(200, b)
	var e *wire.CriticalError
	if !errors.As(err, &e) || e.Type != 200 {
		t.Fatal(err)
	}
}

func TestErrorsForPeople(t *testing.T) {
	_, b := chain(raw{kind: wire.TypeVendor, body: []byte("x")}, raw{kind: wire.TypeNonce, body: []byte("short")})
	_, err := wire.ParsePayloads(wire.TypeVendor, b)
	for want, err := range map[string]error{
		"malformed IKE message: Nonce payload: not of 16 to 256 octets (at octet 33)": err,
		"IKE message of version 3, which is above 2":                                  &wire.VersionError{Major: 3},
		"IKE message of version 1; set the peer to IKEv2":                             &wire.OldVersionError{Major: 1},
		"critical IKE payload of unknown type 200":                                    &wire.CriticalError{Type: 200},
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Bounds of the proposals.
func TestNumberOfProposals(t *testing.T) {
	offer := &wire.SA{Proposals: slices.Repeat([]wire.Proposal{classic(1, nil)}, wire.MaxProposals)}
	if got := mustParse(t, wire.TypeSA, wire.AppendPayloads(nil, wire.Payloads{offer})); len(wire.Get[*wire.SA](got).Proposals) != 64 {
		t.Error("64 proposals")
	}
	offer.Proposals = append(offer.Proposals, classic(1, nil))
	if _, err := wire.ParsePayloads(wire.TypeSA, wire.AppendPayloads(nil, wire.Payloads{offer})); !isSyntax(err) {
		t.Errorf("65 proposals: %v", err)
	}
	offer.Proposals = []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: slices.Repeat(classic(1, nil).Transforms[:1], 255)}}
	if got := mustParse(t, wire.TypeSA, wire.AppendPayloads(nil, wire.Payloads{offer})); len(wire.Get[*wire.SA](got).Proposals[0].Transforms) != 255 {
		t.Error("255 transforms")
	}
}

// A transform that must not be chosen cannot be sent as if it were one that may.
func TestUnknownTransformsAreNotWritten(t *testing.T) {
	p := classic(1, nil)
	p.Transforms[0].Unknown, p.Transforms[3].Unknown = true, true
	got := wire.Get[*wire.SA](mustParse(t, wire.TypeSA, wire.AppendPayloads(nil, wire.Payloads{&wire.SA{Proposals: []wire.Proposal{p}}})))
	if want := "SA(1 IKE integ:sha256-128 prf:sha256)"; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What the densest message of 64 KiB takes is a small multiple of it.
func TestMemoryIsBounded(t *testing.T) {
	const size = 65000
	small := transform(3, 1, 20, 0)
	full := proposal(2, 1, 0, 255, 0, append(bytes.Repeat(small, 254), transform(0, 1, 20, 0)...))
	offer := bytes.Repeat(full, size/len(full))
	offer[len(offer)-len(full)] = 0
	v4 := oct(7, 0, uint16(16), uint16(0), uint16(0xffff), make([]byte, 8))
	for name, b := range map[string][]byte{
		"transforms": one(wire.TypeSA, offer...),
		"SPIs":       one(wire.TypeDelete, oct(3, 4, uint16(size/4), make([]byte, size))...),
		"selectors":  one(wire.TypeTSi, oct(255, 0, 0, 0, bytes.Repeat(v4, 255))...),
		"hashes":     one(wire.TypeNotify, oct(0, 0, uint16(16431), make([]byte, size))...),
	} {
		kind := map[string]wire.PayloadType{"transforms": wire.TypeSA, "SPIs": wire.TypeDelete, "selectors": wire.TypeTSi,
			"hashes": wire.TypeNotify}[name]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p := mustParse(t, kind, b)
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(8*len(b)+16384) {
			t.Errorf("%s: %d octets for %d", name, spent, len(b))
		}
		runtime.KeepAlive(p)
	}
}
