package nhrp_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/quick"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// captures are the recorded conversations. Every packet in them must come out of Append as it went into Parse.
var captures = []string{"frr-10.3", "frr-8.4", "frr-10.3-wrong-password"}

func captured(t testing.TB) [][]byte {
	var all [][]byte
	for _, name := range captures {
		all = append(all, readPcap(t, "testdata/"+name+".pcap")...)
	}
	if len(all) != 14+14+6 {
		t.Fatalf("%d packets in the captures", len(all))
	}
	return all
}

func mustParse(t testing.TB, b []byte) nhrp.Packet {
	t.Helper()
	p, err := nhrp.Parse(b)
	if err != nil {
		t.Fatalf("%v in % x", err, b)
	}
	return p
}

// The parser agrees with Wireshark's about every field of every packet that FRR sent.
func TestParseAgreesWithWireshark(t *testing.T) {
	for _, name := range []string{"frr-10.3", "frr-8.4"} {
		want, err := os.ReadFile("testdata/" + name + ".tshark")
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")[2:]
		packets := readPcap(t, "testdata/"+name+".pcap")
		if len(rows) != len(packets) {
			t.Fatalf("%s: %d packets, %d rows", name, len(packets), len(rows))
		}
		for i, b := range packets {
			if got := wiresharkRow(t, b); got != rows[i] {
				t.Errorf("%s packet %d\n got %s\nwant %s", name, i+1, got, rows[i])
			}
		}
	}
}

// wiresharkRow prints a packet as the .tshark files do.
func wiresharkRow(t *testing.T, b []byte) string {
	p := mustParse(t, b)
	row := []string{fmt.Sprint(uint8(p.Type)), fmt.Sprint(p.HopCount), fmt.Sprint(len(b)), "", "", ""}
	if p.Type != nhrp.TrafficIndication {
		row[4], row[5] = fmt.Sprintf("%#04x", uint16(p.Flags)), fmt.Sprintf("%#08x", p.RequestID)
	}
	row = append(row, p.SourceNBMA.String(), p.Source.String(), p.Destination.String())
	cies := p.CIEs
	var exts [3][]string
	listed := 0
	for _, e := range p.Extensions {
		exts[0] = append(exts[0], fmt.Sprint(e.Compulsory))
		exts[1] = append(exts[1], fmt.Sprintf("%#04x", uint16(e.Type)))
		exts[2] = append(exts[2], fmt.Sprint(len(e.Value)))
		listed += 4 + len(e.Value)
		if e.Type != nhrp.Authentication {
			more, err := nhrp.ParseCIEs(e.Value)
			if err != nil {
				t.Errorf("%v: %v", e.Type, err)
			}
			cies = append(cies, more...)
		}
	}
	row[3] = "0"
	if len(p.Extensions) > 0 {
		row[3] = fmt.Sprint(len(b) - listed - 4)
		exts[0], exts[1], exts[2] = append(exts[0], "true"), append(exts[1], "0x0000"), append(exts[2], "0")
	}
	var c [7][]string
	for _, e := range cies {
		for i, v := range []any{uint8(e.Code), e.PrefixLength, e.MTU, e.HoldingTime, e.Preference} {
			c[i] = append(c[i], fmt.Sprint(v))
		}
		for i, a := range []netip.Addr{e.NBMA, e.Protocol} {
			if a.IsValid() {
				c[5+i] = append(c[5+i], a.String())
			}
		}
	}
	for _, list := range append(c[:], exts[:]...) {
		row = append(row, strings.Join(list, ","))
	}
	return strings.NewReplacer("true", "1", "false", "0").Replace(strings.Join(row, "|"))
}

func TestAppendGivesCapturedOctets(t *testing.T) {
	prefix := []byte("before")
	for i, b := range captured(t) {
		p := mustParse(t, b)
		got := p.Append(bytes.Clone(prefix))
		if !bytes.Equal(got, append(bytes.Clone(prefix), b...)) {
			t.Errorf("packet %d\n got % x\nwant % x", i+1, got[len(prefix):], b)
		}
	}
}

// Packets of the captures as values: what the machine sees.
func TestParseCapturedValues(t *testing.T) {
	cie := func(nbma, protocol string) nhrp.CIE {
		return nhrp.CIE{HoldingTime: 300, NBMA: ip(nbma), Protocol: ip(protocol)}
	}
	nhs, responder := nhrp.AppendCIEs(nil, []nhrp.CIE{cie("10.0.0.2", "10.100.100.1")}),
		nhrp.AppendCIEs(nil, []nhrp.CIE{cie("10.0.12.2", "10.100.100.12")})
	answer := cie("10.0.12.2", "10.100.100.12")
	answer.PrefixLength = 24
	offending := readPcap(t, "testdata/frr-10.3-wrong-password.pcap")[0]
	tests := []struct {
		name, file string
		number     int
		want       nhrp.Packet
	}{
		{"resolution reply through a transit NHS, RFC 2332 5.3.2", "frr-10.3", 12, nhrp.Packet{
			Type: nhrp.ResolutionReply, HopCount: 63, RequestID: 2,
			Flags:      nhrp.ResolutionRouter | nhrp.ResolutionAuthoritative | nhrp.ResolutionStable | nhrp.ResolutionSourceStable,
			SourceNBMA: ip("10.0.11.2"), Source: ip("10.100.100.11"), Destination: ip("192.168.13.1"),
			CIEs: []nhrp.CIE{answer},
			Extensions: []nhrp.Extension{
				{Type: nhrp.ForwardTransit, Compulsory: true, Value: nhs},
				{Type: nhrp.ReverseTransit, Compulsory: true, Value: nhs},
				{Type: nhrp.ResponderAddress, Compulsory: true, Value: responder},
				{Type: nhrp.NATAddress},
				nhrp.AuthenticationExtension("vyos"),
			},
		}},
		{"resolution request", "frr-8.4", 7, nhrp.Packet{
			Type: nhrp.ResolutionRequest, HopCount: 64, RequestID: 2,
			Flags:      nhrp.ResolutionRouter | nhrp.ResolutionAuthoritative | nhrp.ResolutionSourceStable | nhrp.NATAware,
			SourceNBMA: ip("10.0.12.2"), Source: ip("10.100.100.12"), Destination: ip("192.168.12.1"),
			CIEs: []nhrp.CIE{{PrefixLength: 32, HoldingTime: 300}},
			Extensions: []nhrp.Extension{
				{Type: nhrp.ForwardTransit, Compulsory: true}, {Type: nhrp.ReverseTransit, Compulsory: true},
				{Type: nhrp.ResponderAddress, Compulsory: true}, {Type: nhrp.NATAddress},
			},
		}},
		{"error indication with the beginning of a packet, RFC 2332 5.2.7", "frr-10.3-wrong-password", 2, nhrp.Packet{
			Type: nhrp.ErrorIndication, Flags: nhrp.NATAware, ErrorCode: nhrp.AuthenticationFailure,
			SourceNBMA: ip("10.0.11.2"), Source: ip("10.100.100.11"), Destination: ip("10.100.100.11"),
			Payload: offending[:40],
		}},
	}
	for _, tt := range tests {
		got := mustParse(t, readPcap(t, "testdata/"+tt.file+".pcap")[tt.number-1])
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// A redirect carries the IP packet that took the longer way, between the addresses and the extensions.
func TestParseTrafficIndication(t *testing.T) {
	for _, file := range []string{"frr-10.3", "frr-8.4"} {
		p := mustParse(t, readPcap(t, "testdata/"+file+".pcap")[4])
		inner := p.Payload
		if p.Type != nhrp.TrafficIndication || p.ErrorCode != 0 || len(inner) != 84 || inner[0] != 0x45 {
			t.Fatalf("%s: %+v", file, p)
		}
		if src, _ := netip.AddrFromSlice(inner[12:16]); src != p.Destination {
			t.Errorf("%s: sent to %v about a packet from %v", file, p.Destination, src)
		}
	}
}

// ciscoRegistration is the registration of an IOS router without authentication and groups, as the sizes of public
// debug output determine it: 92 octets, extensions from 52.
var ciscoRegistration = nhrp.Packet{
	Type: nhrp.RegistrationRequest, HopCount: 255, Flags: nhrp.RegistrationUnique | nhrp.NATAware, RequestID: 7,
	SourceNBMA: ip("172.16.1.2"), Source: ip("10.0.0.2"), Destination: ip("10.0.0.1"),
	CIEs: []nhrp.CIE{{PrefixLength: 32, MTU: 17916, HoldingTime: 7200}},
	Extensions: []nhrp.Extension{
		{Type: nhrp.ResponderAddress, Compulsory: true},
		{Type: nhrp.ForwardTransit, Compulsory: true},
		{Type: nhrp.ReverseTransit, Compulsory: true},
		{Type: nhrp.NATAddress, Value: nhrp.AppendCIEs(nil, []nhrp.CIE{
			{PrefixLength: 32, MTU: 17916, NBMA: ip("172.16.1.1"), Protocol: ip("10.0.0.1")},
		})},
	},
}

func TestCiscoRegistration(t *testing.T) {
	want := []byte{
		0, 1, 8, 0, 0, 0, 0, 0, 0, 255, 0, 92, 0x44, 0xb3, 0, 52, 1, 3, 4, 0, // fixed header
		4, 4, 0x80, 2, 0, 0, 0, 7, 172, 16, 1, 2, 10, 0, 0, 2, 10, 0, 0, 1, // mandatory part
		0, 32, 0, 0, 0x45, 0xfc, 0x1c, 0x20, 0, 0, 0, 0, // CIE
		0x80, 3, 0, 0, 0x80, 4, 0, 0, 0x80, 5, 0, 0,
		0, 9, 0, 20, 0, 32, 0, 0, 0x45, 0xfc, 0, 0, 4, 0, 4, 0, 172, 16, 1, 1, 10, 0, 0, 1,
		0x80, 0, 0, 0,
	}
	got := ciscoRegistration.Append(nil)
	if !bytes.Equal(got, want) {
		t.Errorf("\n got % x\nwant % x", got, want)
	}
	if p := mustParse(t, want); !reflect.DeepEqual(p, ciscoRegistration) {
		t.Errorf("\n got %+v\nwant %+v", p, ciscoRegistration)
	}
}

// random is a packet with anything in it that the format can carry.
type random struct{ nhrp.Packet }

func (random) Generate(r *rand.Rand, _ int) reflect.Value {
	p := nhrp.Packet{
		Type: nhrp.Type(1 + r.Intn(8)), HopCount: uint8(r.Uint32()), Flags: nhrp.Flags(r.Uint32()),
		SourceSub: octets(r, 63), IPv6NBMA: r.Intn(2) == 0, IPv6Protocol: r.Intn(2) == 0,
	}
	p.SourceNBMA = address(r, p.IPv6NBMA)
	p.Source, p.Destination = address(r, p.IPv6Protocol), address(r, p.IPv6Protocol)
	if p.Type < nhrp.ErrorIndication {
		p.RequestID = r.Uint32()
		for range r.Intn(4) {
			p.CIEs = append(p.CIEs, randomCIE(r, p.IPv6NBMA, p.IPv6Protocol))
		}
	} else {
		p.ErrorCode, p.ErrorOffset = nhrp.ErrorCode(r.Uint32()), uint16(r.Uint32())
		p.Payload = octets(r, 200)
	}
	for range r.Intn(6) {
		p.Extensions = append(p.Extensions, nhrp.Extension{
			Type: nhrp.ExtensionType(1 + r.Intn(0x3fff)), Compulsory: r.Intn(2) == 0, U: r.Intn(2) == 0, Value: octets(r, 40),
		})
	}
	return reflect.ValueOf(random{p})
}

func randomCIE(r *rand.Rand, nbma6, protocol6 bool) nhrp.CIE {
	return nhrp.CIE{
		Code: nhrp.Code(r.Uint32()), PrefixLength: uint8(r.Uint32()), MTU: uint16(r.Uint32()),
		HoldingTime: uint16(r.Uint32()), Preference: uint8(r.Uint32()),
		NBMA: address(r, nbma6), NBMASub: octets(r, 63), Protocol: address(r, protocol6),
	}
}

// octets draws up to limit octets; none is nil.
func octets(r *rand.Rand, limit int) []byte {
	n := max(0, r.Intn(2*limit)-limit)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	r.Read(b)
	return b
}

// address draws an address of the family, or none. One in eight of IPv6 is IPv4-mapped, and must stay that.
func address(r *rand.Rand, ipv6 bool) netip.Addr {
	var b [16]byte
	r.Read(b[:])
	switch {
	case r.Intn(4) == 0:
		return netip.Addr{}
	case !ipv6:
		return netip.AddrFrom4([4]byte(b[:4]))
	case r.Intn(8) == 0:
		return netip.AddrFrom16(netip.AddrFrom4([4]byte(b[:4])).As16())
	}
	return netip.AddrFrom16(b)
}

func TestRoundTrip(t *testing.T) {
	property := func(p random) bool {
		b := p.Append(nil)
		got, err := nhrp.Parse(b)
		if err != nil || !reflect.DeepEqual(got, p.Packet) {
			t.Logf("%v\n got %+v\nwant %+v", err, got, p.Packet)
			return false
		}
		return bytes.Equal(got.Append(nil), b)
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 3000}); err != nil {
		t.Error(err)
	}
}

func TestRoundTripCIEs(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 500 {
		var want []nhrp.CIE
		for range r.Intn(5) {
			want = append(want, randomCIE(r, r.Intn(2) == 0, r.Intn(2) == 0))
		}
		got, err := nhrp.ParseCIEs(nhrp.AppendCIEs(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
}

// A packet cut short is an error at every length, and octets after its length are padding.
func TestParseCut(t *testing.T) {
	for i, b := range captured(t) {
		for n := range b {
			if p, err := nhrp.Parse(b[:n:n]); err == nil {
				t.Fatalf("packet %d cut to %d octets: %+v", i+1, n, p)
			}
		}
		padded := append(bytes.Clone(b), 0xde, 0xad, 0, 0)
		if p := mustParse(t, padded); !reflect.DeepEqual(p, mustParse(t, b)) {
			t.Errorf("packet %d with padding: %+v", i+1, p)
		}
	}
}

// A packet cut short by someone who knows how, with the right length and checksum, is one still only where the cut
// falls between two entries, or inside an offending packet.
func TestParseCutAndSealed(t *testing.T) {
	for i, b := range captured(t) {
		whole := mustParse(t, b)
		if len(whole.Extensions) > 0 {
			for n := 28; n < len(b); n++ {
				if p, err := nhrp.Parse(seal(bytes.Clone(b[:n]))); err == nil {
					t.Fatalf("packet %d cut to %d octets: %+v", i+1, n, p)
				}
			}
		}
		whole.Extensions = nil
		b = whole.Append(nil)
		for n := 28; n < len(b); n++ {
			p, err := nhrp.Parse(seal(bytes.Clone(b[:n])))
			fits := n >= 40 && len(whole.CIEs) == 0 || n == 40
			if fits != (err == nil) {
				t.Fatalf("packet %d without extensions cut to %d octets: %v, %+v", i+1, n, err, p)
			}
		}
	}
}

// One flipped bit never gets past the checksum; with the checksum made right the packet may be one, and then it
// survives a round trip.
func TestParseBitFlips(t *testing.T) {
	packets := captured(t)
	for i := range 20 {
		v, _ := quick.Value(reflect.TypeFor[random](), rand.New(rand.NewSource(int64(i))))
		p := v.Interface().(random)
		packets = append(packets, p.Append(nil))
	}
	for i, b := range packets {
		for bit := range len(b) * 8 {
			flipped := bytes.Clone(b)
			flipped[bit/8] ^= 0x80 >> (bit % 8)
			if p, err := nhrp.Parse(flipped); err == nil {
				t.Fatalf("packet %d with bit %d flipped: %+v", i+1, bit, p)
			}
			checkTotal(t, seal(flipped))
		}
	}
}

// checkTotal holds what must be so of any octets: an error with a word, or a packet that is the same once appended
// and parsed again.
func checkTotal(t *testing.T, b []byte) {
	t.Helper()
	p, err := nhrp.Parse(b)
	if err != nil {
		var bad *nhrp.ParseError
		if !errors.As(err, &bad) || bad.Reason == "" || bad.Offset < 0 || bad.Offset > len(b) {
			t.Fatalf("error %#v for % x", err, b)
		}
		return
	}
	again, err := nhrp.Parse(p.Append(nil))
	if err != nil || !reflect.DeepEqual(again, p) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, again, p)
	}
}

func TestParseErrors(t *testing.T) {
	set := func(at int, octets ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], octets); return seal(b) }
	}
	tests := []struct {
		name   string
		change func([]byte) []byte
		reason string
		offset int
		code   nhrp.ErrorCode
	}{
		{"nothing", func(b []byte) []byte { return nil }, "truncated", 0, nhrp.ProtocolError},
		{"less than a fixed header, RFC 2332 5.1", func(b []byte) []byte { return b[:19] }, "truncated", 19, nhrp.ProtocolError},
		{"less than ar$pktsz", func(b []byte) []byte { return b[:91] }, "truncated", 91, nhrp.ProtocolError},
		{"ar$pktsz less than headers", func(b []byte) []byte { b[11] = 27; return b }, "length", 10, nhrp.ProtocolError},
		{"ar$op.version", set(16, 2), "version", 16, nhrp.ProtocolError},
		{"ar$chksum", func(b []byte) []byte { b[12]++; return b }, "checksum", 12, nhrp.ProtocolError},
		{"ar$op.type 0", set(17, 0), "type", 17, nhrp.ProtocolError},
		{"ar$op.type 9", set(17, 9), "type", 17, nhrp.ProtocolError},
		{"ar$op.type 128, private", set(17, 128), "type", 17, nhrp.ProtocolError},
		{"ar$afn 16, DNS", set(0, 0, 16), "family", 0, nhrp.ProtocolError},
		{"ar$pro.type ARP", set(2, 8, 6), "family", 2, nhrp.ProtocolError},
		{"ar$extoff in the fixed header", set(14, 0, 16), "length", 14, nhrp.ProtocolError},
		{"ar$extoff after the end", set(14, 0, 93), "length", 14, nhrp.ProtocolError},
		{"ar$extoff at the end: no end marker, 5.3", func(b []byte) []byte { return seal(b[:52]) }, "extension", 52, nhrp.InvalidExtension},
		{"ar$shtl longer than the packet", set(18, 63), "length", 20, nhrp.ProtocolError},
		{"ar$shtl of no family", set(18, 5), "address", 28, nhrp.ProtocolError},
		{"ar$shtl of E.164", set(18, 0x44), "address", 28, nhrp.ProtocolError},
		{"ar$shtl with the reserved bit", set(18, 0x84), "address", 28, nhrp.ProtocolError},
		{"ar$sstl of E.164", set(19, 0x40), "address", 28, nhrp.ProtocolError},
		{"source protocol length of no family", set(20, 3), "address", 28, nhrp.ProtocolError},
		{"IPv6 source in an IPv4 packet", set(20, 16, 0), "address", 28, nhrp.ProtocolError},
		{"IPv6 destination in an IPv4 packet", set(20, 0, 16), "address", 28, nhrp.ProtocolError},
		{"IPv6 NBMA address in an IPv4 packet", set(18, 16), "address", 28, nhrp.ProtocolError},
		{"IPv6 packet with IPv4 addresses", set(0, 0, 2), "address", 28, nhrp.ProtocolError},
		{"CIE longer than the mandatory part", set(40+8, 4), "cie", 40, nhrp.ProtocolError},
		{"CIE address of E.164", set(40+8, 0x40), "address", 40, nhrp.ProtocolError},
		{"CIE subaddress with the reserved bit", set(40+9, 0x80), "address", 40, nhrp.ProtocolError},
		{"extension longer than the packet, 5.3", set(52+2, 0, 200), "extension", 52, nhrp.InvalidExtension},
		{"second extension longer than the packet", set(56+2, 1, 0), "extension", 56, nhrp.InvalidExtension},
		{"no end marker, 5.3", set(88, 0x80, 3), "extension", 92, nhrp.InvalidExtension},
		{"end marker with a value", set(88, 0x80, 0, 0, 1), "extension", 88, nhrp.InvalidExtension},
	}
	for _, tt := range tests {
		_, err := nhrp.Parse(tt.change(ciscoRegistration.Append(nil)))
		if err != nil && strings.Contains(err.Error(), ":  at") {
			t.Errorf("%s: no words for it: %v", tt.name, err)
		}
		want := &nhrp.ParseError{Reason: tt.reason, Offset: tt.offset, Code: tt.code}
		if !reflect.DeepEqual(err, error(want)) {
			t.Errorf("%s: %+v, want %+v", tt.name, err, want)
		}
	}
}

// An address in a CIE must be of the packet's family, RFC 2332 5.2.0.1.
func TestParseCIEOfOtherFamily(t *testing.T) {
	for _, cie := range []nhrp.CIE{{NBMA: ip("2001:db8::1")}, {Protocol: ip("2001:db8::1")}} {
		p := ciscoRegistration
		p.CIEs = []nhrp.CIE{{}, cie}
		var bad *nhrp.ParseError
		if _, err := nhrp.Parse(p.Append(nil)); !errors.As(err, &bad) || bad.Reason != "address" {
			t.Errorf("%+v: %v", cie, err)
		}
	}
}

// What is wrong in a list inside an extension is an invalid extension to the sender, RFC 2332 5.2.7.
func TestParseCIEsErrors(t *testing.T) {
	cie := nhrp.AppendCIEs(nil, []nhrp.CIE{{NBMA: ip("192.0.2.1"), Protocol: ip("10.0.0.1")}})
	odd := append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0}, 1, 2, 3, 4, 5)
	for _, tt := range []struct {
		name   string
		b      []byte
		reason string
		offset int
	}{
		{"half a CIE", cie[:11], "cie", 0},
		{"CIE without its addresses", cie[:19], "cie", 0},
		{"half a second CIE", append(bytes.Clone(cie), cie[:5]...), "cie", 20},
		{"address of five octets after a CIE", append(bytes.Clone(cie), odd...), "address", 20},
		{"257 of them", make([]byte, 257*12), "limit", 256 * 12},
	} {
		_, err := nhrp.ParseCIEs(tt.b)
		want := &nhrp.ParseError{Reason: tt.reason, Offset: tt.offset, Code: nhrp.InvalidExtension}
		if !reflect.DeepEqual(err, error(want)) {
			t.Errorf("%s: %+v, want %+v", tt.name, err, want)
		}
	}
}

// The end marker is compulsory when sent, but its two flags do not make it another type.
func TestParseEndMarkerFlags(t *testing.T) {
	for _, flags := range []byte{0, 0x40, 0x80, 0xc0} {
		b := ciscoRegistration.Append(nil)
		b[88] = flags
		if p := mustParse(t, seal(b)); !reflect.DeepEqual(p, ciscoRegistration) {
			t.Errorf("%#x: %+v", flags, p)
		}
	}
}

func TestParseIgnoresOctetsAfterEndMarker(t *testing.T) {
	b := seal(append(ciscoRegistration.Append(nil), 0x80, 7, 0))
	if p := mustParse(t, b); !reflect.DeepEqual(p, ciscoRegistration) {
		t.Errorf("%+v", p)
	}
}

func TestParseLimits(t *testing.T) {
	for _, tt := range []struct {
		cies, extensions int
		ok               bool
	}{{256, 64, true}, {257, 0, false}, {0, 65, false}, {4000, 1000, false}} {
		p := nhrp.Packet{
			Type: nhrp.PurgeRequest, CIEs: make([]nhrp.CIE, tt.cies),
			Extensions: make([]nhrp.Extension, tt.extensions),
		}
		for i := range p.Extensions {
			p.Extensions[i].Type = nhrp.VendorPrivate
		}
		var bad *nhrp.ParseError
		_, err := nhrp.Parse(p.Append(nil))
		if limited := errors.As(err, &bad) && bad.Reason == "limit"; limited == tt.ok || (err == nil) != tt.ok {
			t.Errorf("%d CIEs, %d extensions: %v", tt.cies, tt.extensions, err)
		}
	}
}

// What Parse returns refers to its input, but cannot be appended to over what follows there.
func TestParseViews(t *testing.T) {
	for _, b := range captured(t) {
		p := mustParse(t, b)
		views := [][]byte{p.SourceSub, p.Payload}
		for _, c := range p.CIEs {
			views = append(views, c.NBMASub)
		}
		for _, e := range p.Extensions {
			views = append(views, e.Value)
		}
		before := bytes.Clone(b)
		for _, v := range views {
			_ = append(v, 0xff)
		}
		if !bytes.Equal(b, before) {
			t.Fatalf("% x, was % x", b, before)
		}
	}
}

func TestAppendFamilies(t *testing.T) {
	v4, v6 := ip("192.0.2.1"), ip("2001:db8::1")
	tests := []struct {
		name       string
		p          nhrp.Packet
		afn, proto uint16
	}{
		{"IPv4 over IPv4", nhrp.Packet{SourceNBMA: v4, Source: v4}, 1, 0x0800},
		{"IPv6 over IPv4", nhrp.Packet{SourceNBMA: v4, Source: v6}, 1, 0x86dd},
		{"IPv4 over IPv6", nhrp.Packet{SourceNBMA: v6, Source: v4}, 2, 0x0800},
		{"IPv6 over IPv6", nhrp.Packet{SourceNBMA: v6, Source: v6}, 2, 0x86dd},
		{"addresses before the family fields", nhrp.Packet{SourceNBMA: v4, Source: v4, IPv6NBMA: true, IPv6Protocol: true}, 1, 0x0800},
		{"destination alone", nhrp.Packet{Destination: v6}, 1, 0x86dd},
		{"destination before the family field", nhrp.Packet{Destination: v4, IPv6Protocol: true}, 1, 0x0800},
		{"no addresses", nhrp.Packet{}, 1, 0x0800},
		{"no addresses but the family fields", nhrp.Packet{IPv6NBMA: true, IPv6Protocol: true}, 2, 0x86dd},
	}
	for _, tt := range tests {
		tt.p.Type = nhrp.PurgeRequest
		b := tt.p.Append(nil)
		if b[1] != byte(tt.afn) || b[2] != byte(tt.proto>>8) || b[3] != byte(tt.proto) {
			t.Errorf("%s: % x", tt.name, b[:4])
		}
		p := mustParse(t, b)
		if p.IPv6NBMA != (tt.afn == 2) || p.IPv6Protocol != (tt.proto == 0x86dd) {
			t.Errorf("%s: %+v", tt.name, p)
		}
	}
}

// What no length field can say is not sent: a packet too long is not appended, a subaddress too long is cut.
func TestAppendTooLong(t *testing.T) {
	fits := nhrp.Packet{Type: nhrp.TrafficIndication, Payload: make([]byte, nhrp.MaxSize-28)}
	if b := fits.Append(nil); len(b) != nhrp.MaxSize || len(mustParse(t, b).Payload) != len(fits.Payload) {
		t.Errorf("%d octets", len(b))
	}
	before := []byte("before")
	for _, p := range []nhrp.Packet{
		{Type: nhrp.TrafficIndication, Payload: make([]byte, nhrp.MaxSize-27)},
		{Type: nhrp.PurgeReply, Extensions: []nhrp.Extension{{Type: nhrp.VendorPrivate, Value: make([]byte, 70000)}}},
	} {
		if b := p.Append(before); !bytes.Equal(b, before) {
			t.Errorf("%d octets appended", len(b)-len(before))
		}
	}
	sub := bytes.Repeat([]byte{7}, 64)
	p := nhrp.Packet{Type: nhrp.PurgeReply, SourceSub: sub, CIEs: []nhrp.CIE{{NBMASub: sub}}}
	got := mustParse(t, p.Append(nil))
	if len(got.SourceSub) != 63 || len(got.CIEs[0].NBMASub) != 63 {
		t.Errorf("%+v", got)
	}
}

func TestExtension(t *testing.T) {
	p := nhrp.Packet{Extensions: []nhrp.Extension{
		{Type: nhrp.VendorPrivate, Value: []byte{1}}, {Type: nhrp.NATAddress}, {Type: nhrp.VendorPrivate, Value: []byte{2}},
	}}
	if e := p.Extension(nhrp.VendorPrivate); e != &p.Extensions[0] {
		t.Errorf("not the first: %+v", e)
	}
	if e := p.Extension(nhrp.ReverseTransit); e != nil {
		t.Errorf("out of nowhere: %+v", e)
	}
}

func TestAuthentic(t *testing.T) {
	auth := nhrp.AuthenticationExtension
	raw := func(value ...byte) nhrp.Extension { return nhrp.Extension{Type: nhrp.Authentication, Value: value} }
	other := nhrp.Extension{Type: nhrp.VendorPrivate, Value: auth("vyos").Value}
	tests := []struct {
		name       string
		extensions []nhrp.Extension
		password   string
		want       bool
	}{
		{"right", []nhrp.Extension{other, auth("vyos")}, "vyos", true},
		{"eight octets", []nhrp.Extension{auth("12345678")}, "12345678", true},
		{"wrong", []nhrp.Extension{auth("vyas")}, "vyos", false},
		{"beginning of it", []nhrp.Extension{auth("vyo")}, "vyos", false},
		{"longer", []nhrp.Extension{auth("vyoss")}, "vyos", false},
		{"with a NUL", []nhrp.Extension{auth("vyos\x00")}, "vyos", false},
		{"none", nil, "vyos", false},
		{"in another extension", []nhrp.Extension{other}, "vyos", false},
		{"doubled", []nhrp.Extension{auth("vyos"), auth("vyos")}, "vyos", false},
		{"right and wrong", []nhrp.Extension{auth("vyos"), auth("wrong")}, "vyos", false},
		{"right and empty", []nhrp.Extension{auth("vyos"), raw()}, "vyos", false},
		{"empty", []nhrp.Extension{raw()}, "vyos", false},
		{"type only", []nhrp.Extension{raw(0, 0, 0, 1)}, "vyos", false},
		{"half a type", []nhrp.Extension{raw(0, 0, 1)}, "vyos", false},
		{"another type", []nhrp.Extension{raw(0, 0, 0, 2, 'v', 'y', 'o', 's')}, "vyos", false},
		{"none wanted, none given", nil, "", true},
		{"none wanted, one given", []nhrp.Extension{auth("vyos")}, "", true},
	}
	for _, tt := range tests {
		p := nhrp.Packet{Extensions: tt.extensions}
		if got := p.Authentic(tt.password); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestAuthenticationOfFRR(t *testing.T) {
	for file, password := range map[string]string{"frr-10.3": "vyos", "frr-10.3-wrong-password": "wrong"} {
		p := mustParse(t, readPcap(t, "testdata/"+file+".pcap")[0])
		e := p.Extension(nhrp.Authentication)
		if got, ok := e.Password(); got != password || !ok || !p.Authentic(password) || p.Authentic("other") {
			t.Errorf("%s: %q, %t", file, got, ok)
		}
		if want := nhrp.AuthenticationExtension(password); !reflect.DeepEqual(*e, want) {
			t.Errorf("%s: %+v, want %+v", file, *e, want)
		}
	}
	for name, e := range map[string]nhrp.Extension{
		"NAT address":  {Type: nhrp.NATAddress, Value: []byte{0, 0, 0, 1, 'a'}},
		"no password":  {Type: nhrp.Authentication, Value: []byte{0, 0, 0, 1}},
		"another type": {Type: nhrp.Authentication, Value: []byte{0, 0, 0, 2, 'a'}},
	} {
		if got, ok := e.Password(); got != "" || ok {
			t.Errorf("%s: password %q", name, got)
		}
	}
}

// A packet that is printed, in a trace or in a panic's line, does not give the password away.
func TestPasswordIsNotPrinted(t *testing.T) {
	p := nhrp.Packet{Extensions: []nhrp.Extension{nhrp.AuthenticationExtension("vyos")}}
	for _, format := range []string{"%v", "%+v", "%s"} {
		got := fmt.Sprintf(format, p)
		if !strings.Contains(got, "[authentication of 8 octets]") || strings.Contains(got, "vyos") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestBits(t *testing.T) {
	for _, tt := range []struct {
		length     uint8
		of4, of128 int
	}{{0, 32, 128}, {255, 32, 128}, {24, 24, 24}, {32, 32, 32}, {33, 32, 33}, {128, 32, 128}, {129, 32, 128}} {
		c := nhrp.CIE{PrefixLength: tt.length}
		if c.Bits(32) != tt.of4 || c.Bits(128) != tt.of128 {
			t.Errorf("%d: %d, %d", tt.length, c.Bits(32), c.Bits(128))
		}
	}
}

func TestCodesOfFRR(t *testing.T) {
	for c, want := range map[nhrp.Code]bool{nhrp.Success: false, 11: true, nhrp.NoBinding: true, nhrp.BindingNotUnique: false} {
		if nhrp.NoBindingLike(c) != want {
			t.Errorf("%v", c)
		}
	}
	for e, want := range map[nhrp.ErrorCode]bool{1: false, 2: true, nhrp.LoopDetected: true, 6: false} {
		if e.IsLoop() != want {
			t.Errorf("%v", e)
		}
	}
}

// Every name is a word of its own, and a number without name says what it is the number of.
func TestWords(t *testing.T) {
	for _, tt := range []struct {
		word   func(int) string
		known  []int
		noName string
	}{
		{func(n int) string { return nhrp.Type(n).String() }, []int{1, 2, 3, 4, 5, 6, 7, 8}, "type 200"},
		{func(n int) string { return nhrp.Code(n).String() }, []int{0, 4, 5, 12, 13, 14}, "code 200"},
		{func(n int) string { return nhrp.ErrorCode(n).String() }, []int{1, 3, 6, 7, 8, 9, 10, 11, 15, 16, 17}, "error 200"},
		{func(n int) string { return nhrp.ExtensionType(n).String() }, []int{3, 4, 5, 7, 8, 9, 10}, "extension 200"},
	} {
		seen := map[string]int{}
		for _, n := range tt.known {
			w := tt.word(n)
			if was, twice := seen[w]; twice || strings.ContainsAny(w, "0123456789") {
				t.Errorf("%q for %d and %d", w, was, n)
			}
			seen[w] = n
		}
		if got := tt.word(200); got != tt.noName {
			t.Errorf("%q, want %q", got, tt.noName)
		}
	}
	if a, b := nhrp.Type(0).String(), nhrp.ErrorCode(2).String(); a != "type 0" || b != "loop detected" {
		t.Errorf("%q, %q", a, b)
	}
	err := &nhrp.ParseError{Reason: "checksum", Offset: 12}
	if got := err.Error(); got != "malformed NHRP packet: wrong checksum at octet 12" {
		t.Errorf("%q", got)
	}
}

// A packet costs its list of CIEs and its list of extensions, nothing else; a reply costs nothing.
func TestAllocations(t *testing.T) {
	b := readPcap(t, "testdata/frr-10.3.pcap")[11]
	p := mustParse(t, b)
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { _, _ = nhrp.Parse(b) }); n != 2 {
		t.Errorf("Parse allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = p.Append(buf) }); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = p.Authentic("vyos") }); n != 0 {
		t.Errorf("Authentic allocates %v times", n)
	}
}

func BenchmarkParse(b *testing.B) {
	octets := readPcap(b, "testdata/frr-10.3.pcap")[11]
	b.SetBytes(int64(len(octets)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nhrp.Parse(octets); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	p := mustParse(b, readPcap(b, "testdata/frr-10.3.pcap")[11])
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = p.Append(buf[:0])
	}
}
