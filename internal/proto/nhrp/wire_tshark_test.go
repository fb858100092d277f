package nhrp_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
)

// families are the addresses of a cloud: its underlay and its overlay, and who lives there.
type families struct {
	name                 string
	spokeNBMA, hubNBMA   netip.Addr
	spoke, hub, lan, own netip.Addr
}

var allFamilies = func() (all []families) {
	for _, under := range []string{"192.0.2.%d", "2001:db8:1::%d"} {
		for _, over := range []string{"10.0.0.%d", "2001:db8:2::%d"} {
			at := func(format string, n int) netip.Addr { return ip(fmt.Sprintf(format, n)) }
			all = append(all, families{
				name:      fmt.Sprintf(over+" over "+under, 0, 0),
				spokeNBMA: at(under, 2), hubNBMA: at(under, 1),
				spoke: at(over, 2), hub: at(over, 1), lan: at(over, 200), own: at(over, 100),
			})
		}
	}
	return all
}()

// everyType is a packet of each type with everything that may be in it.
func everyType(f families) []nhrp.Packet {
	hub := nhrp.CIE{HoldingTime: 300, MTU: 1400, NBMA: f.hubNBMA, Protocol: f.hub, Preference: 255}
	spoke := nhrp.CIE{PrefixLength: uint8(f.spoke.BitLen()), HoldingTime: 300, MTU: 1400, NBMA: f.spokeNBMA, Protocol: f.spoke}
	denied := spoke
	denied.Code, denied.HoldingTime = nhrp.UniqueRegistered, 0
	list := func(cies ...nhrp.CIE) []byte { return nhrp.AppendCIEs(nil, cies) }
	extensions := []nhrp.Extension{
		{Type: nhrp.ResponderAddress, Compulsory: true, Value: list(hub)},
		{Type: nhrp.ForwardTransit, Compulsory: true, Value: list(hub, spoke)},
		{Type: nhrp.ReverseTransit, Compulsory: true, Value: list(hub)},
		{Type: nhrp.VendorPrivate, Value: []byte{0, 0, 0x5e, 1, 2, 3}},
		{Type: nhrp.NATAddress, Value: list(spoke, hub)},
		{Type: nhrp.MobileAuthentication, Value: append([]byte{0, 0, 1, 0}, f.spoke.AsSlice()...)},
		nhrp.AuthenticationExtension("spokeway"),
	}
	var all []nhrp.Packet
	for kind := nhrp.ResolutionRequest; kind <= nhrp.TrafficIndication; kind++ {
		p := nhrp.Packet{
			Type: kind, HopCount: 255, SourceNBMA: f.spokeNBMA, Source: f.spoke, Destination: f.hub,
			IPv6NBMA: f.spokeNBMA.Is6(), IPv6Protocol: f.spoke.Is6(), Extensions: extensions,
		}
		switch kind {
		case nhrp.ErrorIndication: // RFC 2332 5.2.7: without extensions
			p.ErrorCode, p.ErrorOffset, p.Extensions = nhrp.HopCountExceeded, 9, nil
			offending := all[0]
			offending.Extensions = withoutAuthentication(extensions)
			p.Payload = offending.Append(nil)
		case nhrp.TrafficIndication:
			p.Payload = echo(f.lan, f.own)
		case nhrp.RegistrationReply:
			p.RequestID, p.Flags, p.CIEs = 7, nhrp.RegistrationUnique|nhrp.NATAware, []nhrp.CIE{denied, spoke}
		default:
			p.RequestID, p.Flags, p.CIEs = 7, nhrp.NATAware, []nhrp.CIE{spoke}
		}
		all = append(all, p)
	}
	return all
}

// echo is a ping: what a redirect is about.
func echo(src, dst netip.Addr) []byte {
	icmp := []byte{8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'}
	if src.Is4() {
		sum := ^onesSum(icmp)
		icmp[2], icmp[3] = byte(sum>>8), byte(sum)
		return inIP(src, dst, 1, icmp)
	}
	icmp[0] = 128
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, 58)
	sum := ^onesSum(append(pseudo, icmp...))
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	return inIP(src, dst, 58, icmp)
}

// emission is a packet for tshark to read.
type emission struct {
	name   string
	packet nhrp.Packet
	frame  []byte
}

// emitted is every type in every pair of families, with all extensions, without authentication and without any, in
// GRE with and without a key; then the registration of IOS, and passwords of every length.
func emitted() (all []emission) {
	add := func(name string, f families, key uint32, p nhrp.Packet) {
		all = append(all, emission{name, p, inGRE(f.spokeNBMA, f.hubNBMA, key, p.Append(nil))})
	}
	for _, f := range allFamilies {
		for i, p := range everyType(f) {
			add(p.Type.String()+", "+f.name, f, uint32(i%2)*42, p)
			p.Extensions = withoutAuthentication(p.Extensions)
			add(p.Type.String()+" without authentication, "+f.name, f, 42, p)
			p.Extensions = nil
			add(p.Type.String()+" without extensions, "+f.name, f, 42, p)
		}
	}
	add("registration request of IOS", allFamilies[0], 0, ciscoRegistration)
	for n := 1; n <= nhrp.MaxPassword; n++ {
		p := ciscoRegistration
		p.Extensions = []nhrp.Extension{nhrp.AuthenticationExtension(strings.Repeat("x", n))}
		add(fmt.Sprintf("password of %d octets", n), allFamilies[0], 42, p)
	}
	return all
}

// withoutAuthentication counts on the authentication being last.
func withoutAuthentication(extensions []nhrp.Extension) []nhrp.Extension {
	return extensions[:max(0, len(extensions)-1)]
}

// Wireshark finds nothing wrong with what Append writes: no malformed packet, no expert's remark, the right checksum.
func TestEmittedPacketsInWireshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	packets := emitted()
	var frames [][]byte
	for _, e := range packets {
		frames = append(frames, e.frame)
	}
	file := filepath.Join(t.TempDir(), "emitted.pcap")
	writePcap(t, file, frames)
	out, err := exec.Command(tshark, "-n", "-r", file, "-T", "fields", "-E", "separator=|",
		"-e", "nhrp.hdr.op.type", "-e", "nhrp.hdr.chksum.status",
		"-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "_ws.expert.message").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	rows := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(rows) != len(frames) {
		t.Fatalf("%d rows for %d packets", len(rows), len(frames))
	}
	for i, row := range rows {
		checkRow(t, packets[i], strings.Split(row, "|"))
	}
}

const checksumGood = "1"

func checkRow(t *testing.T, e emission, row []string) {
	t.Helper()
	kind, _, _ := strings.Cut(row[0], ",") // an error indication has the type of the offending packet after its own
	status, _, _ := strings.Cut(row[1], ",")
	if kind != fmt.Sprint(uint8(e.packet.Type)) || status != checksumGood {
		t.Errorf("%s: type %q, checksum status %q", e.name, kind, status)
	}
	remarks := strings.Join(row[2:], "|")
	if remarks != "||" && !(shortPassword(e.packet) && remarks == remarkOnShortPassword) {
		t.Errorf("%s: %s", e.name, remarks)
	}
}

// Wireshark reads the authentication extension as RFC 2332 5.3.4 has it, with a source protocol address where Cisco
// has the password, and finds it incomplete where the password is shorter than the address: any password at all on
// an IPv6 overlay. This one remark, on just these packets, says nothing about us.
const remarkOnShortPassword = "_ws.malformed|8388608|Incomplete Authentication Extension"

func shortPassword(p nhrp.Packet) bool {
	e := p.Extension(nhrp.Authentication)
	if e == nil {
		return false
	}
	password, _ := e.Password()
	return len(password) < p.Source.BitLen()/8
}
