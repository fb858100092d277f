package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			b := wire.AppendMessage([]byte("before"), s.header, s.payloads)[len("before"):]
			h, err := wire.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			want := s.header
			want.Next, want.Length = s.payloads.First(), uint32(len(b))
			if h != want {
				t.Errorf("header\n got %+v\nwant %+v", h, want)
			}
			got := mustParse(t, h.Next, b[wire.HeaderLen:])
			if !reflect.DeepEqual(got, s.payloads) {
				t.Errorf("payloads\n got %v\nwant %v", got, s.payloads)
			}
			if inner, err := wire.ParseInner(h.Next, b[wire.HeaderLen:]); err != nil || !reflect.DeepEqual(inner, got) {
				t.Errorf("inside an encrypted payload: %v, %v", inner, err)
			}
		})
	}
}

// Octets that the codec wrote, cut anywhere, are no message; the payloads cut anywhere are not a chain.
func TestCutAtEveryLength(t *testing.T) {
	for _, s := range samples() {
		b := wire.AppendMessage(nil, s.header, s.payloads)
		for n := range len(b) {
			if _, err := wire.ParseHeader(b[:n]); err == nil {
				t.Errorf("%s: header of a message cut to %d octets", s.name, n)
			}
			if n < wire.HeaderLen {
				continue
			}
			p, err := wire.ParsePayloads(s.payloads.First(), b[wire.HeaderLen:n:n])
			if !isSyntax(err) || p != nil {
				t.Errorf("%s cut to %d octets: %v, %v", s.name, n, p, err)
			}
		}
	}
}

// Each payload alone, its body cut at every length with a generic header that agrees: it parses or is a syntax error, and
// what parses is written as it was.
func TestBodiesCutAtEveryLength(t *testing.T) {
	for _, s := range samples() {
		for _, p := range s.payloads {
			whole := wire.AppendPayloads(nil, wire.Payloads{p})[4:]
			for n := range len(whole) {
				b := one(p.Type(), whole[:n:n]...)
				got, err := wire.ParsePayloads(p.Type(), b)
				if err != nil && !isSyntax(err) {
					t.Errorf("%s, %s cut to %d: %v", s.name, p.Type(), n, err)
				}
				if err == nil && !bytes.Equal(wire.AppendPayloads(nil, got), b) {
					t.Errorf("%s, %s cut to %d: read as %v", s.name, p.Type(), n, got)
				}
			}
		}
	}
}

func isSyntax(err error) bool {
	var syntax *wire.SyntaxError
	return errors.As(err, &syntax)
}

func TestHeaderOctets(t *testing.T) {
	h := wire.Header{SPIi: 0x0102030405060708, SPIr: 0x1112131415161718, Next: wire.TypeSA, Exchange: wire.CreateChildSA,
		Flags: wire.Initiator | wire.Response, MessageID: 0x21222324, Length: wire.HeaderLen}
	want := "0102030405060708 1112131415161718 21202428 21222324 0000001c"
	if got := fmt.Sprintf("%x", h.Append(nil)); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// RFC 7296 sections 2.5 and 3.1.
func TestHeaderIsChecked(t *testing.T) {
	good := wire.AppendMessage(nil, samples()[0].header, nil)
	change := func(at int, octet byte) []byte {
		b := bytes.Clone(good)
		b[at] = octet
		return b
	}
	cases := []struct {
		name string
		b    []byte
		want any
	}{
		{"minor version is ignored", change(17, 0x2f), nil},
		{"unnamed flags are ignored", change(19, 0xff), nil},
		{"major version 3", change(17, 0x30), &wire.VersionError{Major: 3}},
		{"major version 15, of another length", append(change(17, 0xf0), 1, 2), &wire.VersionError{Major: 15}},
		{"major version 1", change(17, 0x10), &wire.OldVersionError{Major: 1}},
		{"major version 0", change(17, 0), &wire.OldVersionError{Major: 0}},
		{"lS CVE-2013-4564: length below the datagram", change(27, 27), &wire.SyntaxError{}},
		{"lS CVE-2013-4564: length above the datagram", change(27, 29), &wire.SyntaxError{}},
		{"lS CVE-2013-4564: length of 4 GiB", change(24, 0xff), &wire.SyntaxError{}},
		{"lS CVE-2013-4564: truncated header", good[:27], &wire.SyntaxError{}},
		{"no octets", nil, &wire.SyntaxError{}},
		{"octets after the message", append(bytes.Clone(good), 0), &wire.SyntaxError{}},
		{"initiator's SPI of zero", append(make([]byte, 8), good[8:]...), &wire.SyntaxError{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, err := wire.ParseHeader(c.b)
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if reflect.TypeOf(err) != reflect.TypeOf(c.want) {
				t.Fatalf("%T %v", err, err)
			}
			if !isSyntax(err) && (!reflect.DeepEqual(err, c.want) || h.SPIi == 0 || h.Exchange != wire.SAInit) {
				t.Errorf("%v, header %+v", err, h)
			}
		})
	}
}

func TestEncryptedPayloads(t *testing.T) {
	head := samples()[3].header
	body := secret(40)
	for _, c := range []struct {
		name    string
		start   []byte
		payload wire.Payload
		offset  int
	}{
		{"SK", wire.AppendEncryptedStart(nil, head, wire.TypeIDi, len(body)),
			&wire.Encrypted{Inner: wire.TypeIDi, Body: body, Offset: 32}, 32},
		{"SKF", wire.AppendFragmentStart(nil, head, wire.TypeIDi, 1, 3, len(body)),
			&wire.Fragment{Inner: wire.TypeIDi, Number: 1, Total: 3, Body: body, Offset: 36}, 36},
		{"SKF after the first, RFC 7383 section 2.5", wire.AppendFragmentStart(nil, head, wire.TypeIDi, 2, 3, len(body)),
			&wire.Fragment{Number: 2, Total: 3, Body: body, Offset: 36}, 36},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append(c.start, body...)
			if !bytes.Equal(b, wire.AppendMessage(nil, head, wire.Payloads{c.payload})) {
				t.Error("the two ways to write it differ")
			}
			h, err := wire.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustParse(t, h.Next, b[wire.HeaderLen:]); !reflect.DeepEqual(got, wire.Payloads{c.payload}) {
				t.Errorf("got %+v", got[0])
			}
			if !bytes.Equal(b[c.offset:], body) || len(c.start) != c.offset {
				t.Error("the offset is not that of the body")
			}
			if _, err := wire.ParseInner(h.Next, b[wire.HeaderLen:]); !isSyntax(err) {
				t.Errorf("inside another: %v", err)
			}
		})
	}
}

// The body's offset is within the message also when payloads in the clear come first.
func TestOffsetBehindOthers(t *testing.T) {
	p := wire.Payloads{status(wire.InitialContact), &wire.Encrypted{Inner: wire.TypeAuth, Body: secret(9)}}
	b := wire.AppendMessage(nil, samples()[3].header, p)
	sealed := wire.Get[*wire.Encrypted](mustParse(t, p.First(), b[wire.HeaderLen:]))
	if sealed == nil || !bytes.Equal(b[sealed.Offset:], secret(9)) || sealed.Inner != wire.TypeAuth {
		t.Fatalf("%+v", sealed)
	}
}

func TestLookUp(t *testing.T) {
	p := samples()[4].payloads
	if p.ID(true).IDType != wire.IDFQDN || p.ID(false).IDType != wire.IDIPv4 {
		t.Error("ID")
	}
	if !p.TS(true).Initiator || p.TS(false).Initiator {
		t.Error("TS")
	}
	if len(wire.All[*wire.Cert](p)) != 2 || wire.Get[*wire.Auth](p).Method != wire.MethodSignature || len(p.Notifies()) != 8 {
		t.Error("Get, All, Notifies")
	}
	if p.Notify(wire.MOBIKESupported) == nil || p.Notify(wire.Cookie) != nil || p.Error() != nil {
		t.Error("Notify, Error")
	}
	if n := samples()[8].payloads.Error(); n == nil || n.Kind != wire.ChildSANotFound {
		t.Error("Error")
	}
	var none wire.Payloads
	if none.First() != wire.NoPayload || wire.Get[*wire.SA](none) != nil || wire.All[*wire.SA](none) != nil ||
		none.ID(true) != nil || none.TS(true) != nil || none.Notify(wire.Cookie) != nil || none.Notifies() != nil {
		t.Error("of nothing")
	}
}

// lS CVE-2013-6467: what is missing is nil, for the machine to see, and not something to follow.
func TestMissingPayloads(t *testing.T) {
	for _, s := range samples() {
		for i := range s.payloads {
			rest := append(append(wire.Payloads{}, s.payloads[:i]...), s.payloads[i+1:]...)
			got := mustParse(t, rest.First(), wire.AppendPayloads(nil, rest))
			if len(got) != len(rest) {
				t.Errorf("%s without %s: %v", s.name, s.payloads[i].Type(), got)
			}
		}
	}
}

func TestNotifyData(t *testing.T) {
	check := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	pair := func(v any, ok bool) []any { return []any{v, ok} }
	of := func(kind wire.NotifyType, n int) *wire.Notify { return status(kind, make([]byte, n)...) }

	g, ok := status(wire.InvalidKEPayload, 0, 31).Group()
	check("group", pair(g, ok), pair(uint16(31), true))
	for _, n := range []int{0, 1, 3} {
		g, ok = of(wire.InvalidKEPayload, n).Group()
		check("group of a wrong size", pair(g, ok), pair(uint16(0), false))
	}
	for n, want := range map[int]bool{0: false, 1: true, 64: true, 65: false} { // RFC 7296 section 2.6
		c, ok := of(wire.Cookie, n).Cookie()
		check(fmt.Sprint("cookie of ", n), pair(len(c), ok), pair(map[bool]int{true: n}[want], want))
	}
	for n, want := range map[int]bool{0: false, 19: false, 20: true, 21: false} {
		_, ok := of(wire.NATDetectionSourceIP, n).NATHash()
		check(fmt.Sprint("hash of ", n), ok, want)
	}
	d, ok := status(wire.AuthLifetime, 0, 0, 14, 16).Lifetime()
	check("lifetime", pair(d, ok), pair(time.Hour, true))
	_, ok = of(wire.AuthLifetime, 3).Lifetime()
	check("lifetime of a wrong size", ok, false)
	a, ok := status(wire.AdditionalIP4Address, 192, 0, 2, 1).Address()
	check("address", pair(a, ok), pair(ip("192.0.2.1"), true))
	_, ok = of(wire.AdditionalIP4Address, 16).Address()
	check("IPv4 address of 16 octets", ok, false)
	_, ok = of(wire.AdditionalIP6Address, 16).Address()
	check("IPv6 address", ok, true)
	_, ok = of(wire.Cookie2, 16).Address()
	check("address of another kind", ok, false)
	kind, ok := status(wire.UnsupportedCriticalPayload, 99).Critical()
	check("critical", pair(kind, ok), pair(wire.PayloadType(99), true))
	_, ok = of(wire.UnsupportedCriticalPayload, 0).Critical()
	check("critical without type", ok, false)
	hashes, ok := status(wire.SignatureHashAlgorithms, wire.HashData([]uint16{2, 5})...).Hashes()
	check("hashes", pair(hashes, ok), pair([]uint16{2, 5}, true))
	for _, n := range []int{0, 1, 5} {
		_, ok = of(wire.SignatureHashAlgorithms, n).Hashes()
		check("hashes of a wrong size", ok, false)
	}
	form, name, ok := status(wire.PPKIdentity, 2, 'k').PPK()
	check("ppk", []any{form, name, ok}, []any{uint8(2), []byte("k"), true})
	_, _, ok = status(wire.PPKIdentity, 2).PPK()
	check("ppk without name", ok, false)
}

func TestSPIs(t *testing.T) {
	if spi, ok := wire.ChildSPI(childSPI); spi != 0xc1020304 || !ok {
		t.Error("ChildSPI")
	}
	if spi, ok := wire.IKESPI(ikeSPI); spi != 0x0102030405060708 || !ok {
		t.Error("IKESPI")
	}
	for _, b := range [][]byte{nil, {1}, {1, 2, 3}, {1, 2, 3, 4, 5}, make([]byte, 7), make([]byte, 9)} {
		if _, ok := wire.ChildSPI(b); ok {
			t.Errorf("ChildSPI of %d octets", len(b))
		}
		if _, ok := wire.IKESPI(b); ok {
			t.Errorf("IKESPI of %d octets", len(b))
		}
	}
}

func TestAuthorities(t *testing.T) {
	if list, ok := (&wire.CertReq{Encoding: 4, Data: secret(40)}).Authorities(); !ok || len(list) != 2 || len(list[1]) != 20 {
		t.Errorf("%v %v", list, ok)
	}
	for _, c := range []wire.CertReq{{Encoding: 4, Data: secret(41)}, {Encoding: 12, Data: secret(40)}} {
		if list, ok := c.Authorities(); ok || list != nil {
			t.Errorf("%+v: %v", c, list)
		}
	}
}

// RFC 7296 section 2.15: AUTH covers the identity as it was sent, the reserved octets too.
func TestIdentityKeepsReservedOctets(t *testing.T) {
	body := []byte{wire.IDKeyID, 7, 8, 9, 'k'}
	id := mustParse(t, wire.TypeIDr, one(wire.TypeIDr, body...)).ID(false)
	if got := id.AppendBody(nil); !bytes.Equal(got, body) {
		t.Errorf("% x", got)
	}
}

// A trace shows no content of what is secret or of use to an attacker, in any form.
func TestTracesHoldNoSecrets(t *testing.T) {
	for _, s := range samples() {
		text := s.header.String() + " " + s.payloads.String()
		for _, form := range []string{"SeCrEt", "536543", "83 101 67", "U2VDckV0"} {
			if strings.Contains(text, form) {
				t.Errorf("%s: %s", s.name, text)
			}
		}
		if strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("%s: control characters in %q", s.name, text)
		}
	}
}

func TestTraces(t *testing.T) {
	p := wire.Payloads{
		&wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolESP, SPI: childSPI, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: 20, KeyBits: 256}, {Type: wire.AddKE1, ID: 36}, {Type: 99, ID: 7, Unknown: true}}}}},
		&wire.KE{Group: 31, Data: secret(32)}, &wire.Nonce{Data: secret(32)},
		&wire.ID{Initiator: true, IDType: wire.IDFQDN, Data: []byte("a\x1b[31m\n")}, &wire.ID{IDType: wire.IDIPv4, Data: []byte{192, 0, 2, 1}},
		&wire.Notify{Protocol: wire.ProtocolESP, SPI: childSPI, Kind: wire.RekeySA}, status(wire.InvalidKEPayload, 0, 19),
		status(wire.Cookie, 1), &wire.Delete{Protocol: wire.ProtocolESP, SPIs: [][]byte{childSPI}}, &wire.Delete{Protocol: wire.ProtocolIKE},
		selectors(false), &wire.Fragment{Number: 2, Total: 3, Body: secret(9)},
	}
	want := `SA(1 ESP 0xc1020304 encr:aes-gcm-256 addke1:mlkem768 type99:7+unknown) KE(ke:x25519, 32 octets) Nonce(32 octets)` +
		` IDi("a\x1b[31m\n") IDr(192.0.2.1) N(REKEY_SA, ESP 0xc1020304) N(INVALID_KE_PAYLOAD, ke:p256) N(COOKIE, 1 octet)` +
		` D(ESP 0xc1020304) D(IKE) TSr(192.0.2.1 protocol 47, 10.0.0.0-10.255.255.255,` +
		` 2001:db8::-2001:db8::ffff protocol 17 ports 53-53,` +
		` ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff protocol 6 ports opaque) SKF(2/3, 9 octets)`
	if got := p.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	h := wire.Header{SPIi: 1, SPIr: 2, Exchange: wire.IKEAuth, Flags: wire.Response, MessageID: 1}
	if got := h.String(); got != "IKE_AUTH response 1 from responder, SPIs 0000000000000001_0000000000000002" {
		t.Error(got)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		wire.SAInit.String(): "IKE_SA_INIT", wire.IKEAuth.String(): "IKE_AUTH", wire.CreateChildSA.String(): "CREATE_CHILD_SA",
		wire.Informational.String(): "INFORMATIONAL", wire.Intermediate.String(): "IKE_INTERMEDIATE",
		wire.FollowupKE.String(): "IKE_FOLLOWUP_KE", wire.Exchange(38).String(): "exchange 38",
		wire.TypeFragment.String(): "SKF", wire.PayloadType(1).String(): "1",
		wire.NoProtocol.String(): "none", wire.ProtocolAH.String(): "AH", wire.Protocol(4).String(): "protocol 4",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNotifyWords(t *testing.T) {
	for kind, want := range map[wire.NotifyType][3]string{
		wire.NoProposalChosen:     {"NO_PROPOSAL_CHOSEN", "no proposal was acceptable", "error"},
		wire.AuthenticationFailed: {"AUTHENTICATION_FAILED", "authentication failed", "error"},
		9000:                      {"error 9000", "refused for a reason unknown here (error 9000)", "error"},
		wire.UsePPK:               {"USE_PPK", "a post-quantum preshared key is supported", ""},
		50000:                     {"status 50000", "status 50000", ""},
	} {
		isError := ""
		if kind.IsError() {
			isError = "error"
		}
		if got := [3]string{kind.String(), kind.Words(), isError}; got != want {
			t.Errorf("%d: %q", kind, got)
		}
	}
}

// The values that cannot be written are the caller's bugs, and do not become messages that say something else.
func TestAppendPanics(t *testing.T) {
	many := make([]wire.Transform, wire.MaxTransforms+1)
	for name, p := range map[string]wire.Payload{
		"a payload of 64 KiB": &wire.Cert{Encoding: 4, Data: make([]byte, 65531)},
		"256 transforms":      &wire.SA{Proposals: []wire.Proposal{{Transforms: many}}},
		"a key of 64 KiBit":   &wire.SA{Proposals: []wire.Proposal{{Transforms: []wire.Transform{{KeyBits: 0x10000}}}}},
		"an SPI to delete":    &wire.Delete{Protocol: wire.ProtocolESP, SPIs: [][]byte{{1, 2}}},
		"an SPI with IKE":     &wire.Delete{Protocol: wire.ProtocolIKE, SPIs: [][]byte{{1, 2}}},
		"an SPI of 256":       &wire.Notify{SPI: make([]byte, 256)},
		"256 selectors":       &wire.TS{Selectors: make([]wire.Selector, 256)},
		"mixed families":      &wire.TS{Selectors: []wire.Selector{{Start: ip("192.0.2.1"), End: ip("2001:db8::1")}}},
		"no address":          &wire.TS{Selectors: []wire.Selector{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was written")
				}
			}()
			wire.AppendPayloads(nil, wire.Payloads{p})
		})
	}
	wire.AppendPayloads(nil, wire.Payloads{&wire.Cert{Encoding: 4, Data: make([]byte, 65530)}})
}
