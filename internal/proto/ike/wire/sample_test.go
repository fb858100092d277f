package wire_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// sample is a message: its header and its payloads, which are in an encrypted payload unless the exchange is IKE_SA_INIT.
type sample struct {
	name     string
	header   wire.Header
	payloads wire.Payloads
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// secret is octets that no trace may show.
func secret(n int) []byte { return bytes.Repeat([]byte("SeCrEt-"), n/7+1)[:n] }

var (
	childSPI = []byte{0xc1, 0x02, 0x03, 0x04}
	ikeSPI   = []byte{1, 2, 3, 4, 5, 6, 7, 8}
)

// hybrid is an IKE proposal with three key exchanges, RFC 9370.
func hybrid(spi []byte) wire.Proposal {
	return wire.Proposal{Number: 1, Protocol: wire.ProtocolIKE, SPI: spi, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: 20, KeyBits: 256}, {Type: wire.TransformENCR, ID: 28},
		{Type: wire.TransformPRF, ID: 6}, {Type: wire.TransformKE, ID: 31},
		{Type: wire.AddKE1, ID: 36}, {Type: wire.AddKE2, ID: 37}, {Type: wire.AddKE2, ID: 0},
		{Type: wire.AddKE3, ID: 20}, {Type: wire.AddKE4, ID: 0}, {Type: wire.AddKE5, ID: 0}, {Type: wire.AddKE6, ID: 0},
		{Type: wire.AddKE7, ID: 0},
	}}
}

func classic(number uint8, spi []byte) wire.Proposal {
	return wire.Proposal{Number: number, Protocol: wire.ProtocolIKE, SPI: spi, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: 12, KeyBits: 128}, {Type: wire.TransformINTEG, ID: 12},
		{Type: wire.TransformPRF, ID: 5}, {Type: wire.TransformKE, ID: 14},
	}}
}

func childProposals(protocol wire.Protocol) *wire.SA {
	return &wire.SA{Proposals: []wire.Proposal{
		{Number: 1, Protocol: protocol, SPI: childSPI, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: 20, KeyBits: 128}, {Type: wire.TransformESN, ID: 1}, {Type: wire.TransformESN, ID: 0},
		}},
		{Number: 2, Protocol: protocol, SPI: childSPI, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: 12, KeyBits: 256}, {Type: wire.TransformINTEG, ID: 12},
			{Type: wire.TransformKE, ID: 19}, {Type: wire.TransformESN, ID: 0},
		}},
	}}
}

func selectors(initiator bool) *wire.TS {
	return &wire.TS{Initiator: initiator, Selectors: []wire.Selector{
		{Protocol: 47, EndPort: 65535, Start: ip("192.0.2.1"), End: ip("192.0.2.1")},
		{EndPort: 65535, Start: ip("10.0.0.0"), End: ip("10.255.255.255")},
		{Protocol: 17, StartPort: 53, EndPort: 53, Start: ip("2001:db8::"), End: ip("2001:db8::ffff")},
		{Protocol: 6, StartPort: 65535, EndPort: 0, Start: ip("::"), End: ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
	}}
}

func status(kind wire.NotifyType, data ...byte) *wire.Notify {
	if data == nil {
		data = []byte{}
	}
	return &wire.Notify{Kind: kind, Data: data}
}

// samples has every payload and everything that may be in one.
func samples() []sample {
	const i, r = 0x1122334455667788, 0x99aabbccddeeff00
	head := func(e wire.Exchange, id uint32, f wire.Flags) wire.Header {
		return wire.Header{SPIi: i, SPIr: r, Major: 2, Exchange: e, Flags: f, MessageID: id}
	}
	request := wire.Header{SPIi: i, Major: 2, Exchange: wire.SAInit, Flags: wire.Initiator}
	return []sample{
		{"IKE_SA_INIT request", request, wire.Payloads{
			status(wire.Cookie, secret(64)...),
			&wire.SA{Proposals: []wire.Proposal{hybrid(nil), classic(2, nil)}},
			&wire.KE{Group: 31, Data: secret(32)}, &wire.Nonce{Data: secret(32)},
			status(wire.NATDetectionSourceIP, secret(20)...), status(wire.NATDetectionDestinationIP, secret(20)...),
			status(wire.FragmentationSupported), status(wire.SignatureHashAlgorithms, wire.HashData([]uint16{2, 3, 4, 5})...),
			status(wire.IntermediateExchangeSupported), status(wire.UsePPK), status(wire.RedirectSupported),
			status(wire.ChildlessIKEv2Supported), &wire.Vendor{Data: []byte("vendor")},
		}},
		{"IKE_SA_INIT response", head(wire.SAInit, 0, wire.Response), wire.Payloads{
			&wire.SA{Proposals: []wire.Proposal{classic(2, nil)}},
			&wire.KE{Group: 14, Data: secret(256)}, &wire.Nonce{Data: secret(256)},
			&wire.CertReq{Encoding: wire.EncodingX509, Data: secret(40)},
		}},
		{"another group", head(wire.SAInit, 0, wire.Response), wire.Payloads{status(wire.InvalidKEPayload, wire.GroupData(19)...)}},
		{"IKE_INTERMEDIATE", head(wire.Intermediate, 1, wire.Initiator), wire.Payloads{&wire.KE{Group: 36, Data: secret(1184)}}},
		{"IKE_AUTH request", head(wire.IKEAuth, 1, wire.Initiator), wire.Payloads{
			&wire.ID{Initiator: true, IDType: wire.IDFQDN, Data: []byte("spoke.example")},
			&wire.Cert{Encoding: wire.EncodingX509, Data: secret(900)}, &wire.Cert{Encoding: wire.EncodingX509, Data: secret(700)},
			status(wire.InitialContact), &wire.CertReq{Encoding: wire.EncodingX509, Data: []byte{}},
			&wire.ID{IDType: wire.IDIPv4, Data: []byte{192, 0, 2, 1}},
			&wire.Auth{Method: wire.MethodSignature, Data: secret(80)},
			&wire.Opaque{Kind: wire.TypeConfig, Data: []byte{1, 0, 0, 0, 0, 1, 0, 0}},
			status(wire.UseTransportMode), childProposals(wire.ProtocolESP), selectors(true), selectors(false),
			status(wire.PPKIdentity, append([]byte{wire.PPKFixed}, secret(9)...)...), status(wire.NoPPKAuth, secret(32)...),
			status(wire.MOBIKESupported), status(wire.AdditionalIP4Address, 192, 0, 2, 9),
			status(wire.AdditionalIP6Address, ip("2001:db8::9").AsSlice()...), status(wire.AuthLifetime, 0, 0, 14, 16),
		}},
		{"EAP", head(wire.IKEAuth, 2, wire.Response), wire.Payloads{&wire.Opaque{Kind: wire.TypeEAP, Data: []byte{1, 7, 0, 5, 1}}}},
		{"CREATE_CHILD_SA of a child SA", head(wire.CreateChildSA, 3, wire.Initiator), wire.Payloads{
			&wire.Notify{Protocol: wire.ProtocolESP, SPI: childSPI, Kind: wire.RekeySA, Data: []byte{}}, status(wire.UseTransportMode),
			childProposals(wire.ProtocolAH), &wire.Nonce{Data: secret(16)}, &wire.KE{Group: 19, Data: secret(64)},
			selectors(true), selectors(false), status(wire.AdditionalKeyExchange, secret(8)...),
		}},
		{"CREATE_CHILD_SA of the IKE SA", head(wire.CreateChildSA, 4, wire.Initiator|wire.Response), wire.Payloads{
			&wire.SA{Proposals: []wire.Proposal{hybrid(ikeSPI)}}, &wire.Nonce{Data: secret(32)}, &wire.KE{Group: 31, Data: secret(32)},
		}},
		{"INFORMATIONAL that deletes", head(wire.Informational, 5, 0), wire.Payloads{
			&wire.Delete{Protocol: wire.ProtocolESP, SPIs: [][]byte{childSPI, {1, 2, 3, 4}}}, &wire.Delete{Protocol: wire.ProtocolIKE},
			&wire.Delete{Protocol: wire.ProtocolAH, SPIs: [][]byte{{0, 0, 1, 0}}},
			&wire.Notify{Protocol: wire.ProtocolESP, SPI: childSPI, Kind: wire.ChildSANotFound, Data: []byte{}},
			status(wire.InvalidSPI, childSPI...), status(wire.UnsupportedCriticalPayload, 99), status(wire.TSUnacceptable),
		}},
		{"INFORMATIONAL that is empty", head(wire.Informational, 6, 0), nil},
	}
}

// clear reports whether the payloads go into the message as they are.
func (s sample) clear() bool { return s.header.Exchange == wire.SAInit }

// raw is a payload as octets: the critical bit set or not, and a length that is right.
type raw struct {
	kind     wire.PayloadType
	body     []byte
	critical bool
}

// chain writes raw payloads one after the other.
func chain(parts ...raw) (first wire.PayloadType, b []byte) {
	for i, p := range parts {
		next, flags := wire.NoPayload, byte(0)
		if i+1 < len(parts) {
			next = parts[i+1].kind
		}
		if p.critical {
			flags = 0x80
		}
		b = append(b, byte(next), flags)
		b = binary.BigEndian.AppendUint16(b, uint16(4+len(p.body)))
		b = append(b, p.body...)
	}
	return parts[0].kind, b
}

// one is the octets of a chain of one payload.
func one(kind wire.PayloadType, body ...byte) []byte {
	_, b := chain(raw{kind: kind, body: body})
	return b
}

func mustParse(t testing.TB, first wire.PayloadType, b []byte) wire.Payloads {
	t.Helper()
	p, err := wire.ParsePayloads(first, b)
	if err != nil {
		t.Fatalf("%v\n% x", err, b)
	}
	return p
}
