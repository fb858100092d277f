package wire_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// unknownThere is what Wireshark 4.0 says of an Update with all LSAs of OSPFv3: it takes the type of a referenced LSA for
// a reserved field, and knows neither grace-LSAs nor those of RFC 8362.
const unknownThere = "incorrect, should be 0,incorrect, should be 0,Unknown LSA Type 11,Unknown LSA Type 33"

// Wireshark reads what we write as what it is, with right checksums, and finds nothing malformed.
func TestWrittenPacketsInWireshark(t *testing.T) {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	var frames [][]byte
	var want []string
	for _, v := range []wire.Version{wire.V2, wire.V3} { // that a packet of V3 is about IPv4, only its instance tells
		for _, k := range keys(v) {
			if k.Extended {
				continue // RFC 7474 is unknown to Wireshark 4.0
			}
			for _, p := range packets(t, v) {
				p.Auth.Sequence, p.Instance = 7, 0
				frames = append(frames, inIP(v, p, k))
				want = append(want, strings.Join([]string{strconv.Itoa(int(p.Type())), p.Router.String(), p.Area.String(), sequences(p)}, "|"))
			}
		}
	}
	capture := filepath.Join(t.TempDir(), "written.pcap")
	writePcap(t, capture, frames)
	out, err := exec.Command(path, "-n", "-r", capture, "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=|",
		"-e", "ospf.msg", "-e", "ospf.srcrouter", "-e", "ospf.area_id", "-e", "ospf.lsa.seqnum",
		"-e", "_ws.malformed", "-e", "_ws.expert.message").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	rows := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(rows) != len(want) {
		t.Fatalf("%d rows for %d packets", len(rows), len(want))
	}
	for i, row := range rows {
		if row = strings.TrimSuffix(row, unknownThere); row != want[i]+"||" {
			t.Errorf("packet %d: %s, want %s", i, row, want[i])
		}
	}
}

// sequences are the sequence numbers of the LSAs that a packet has or lists, as Wireshark prints them.
func sequences(p *wire.Packet) string {
	var headers []wire.LSAHeader
	switch b := p.Body.(type) {
	case *wire.Update:
		for _, l := range b.LSAs {
			headers = append(headers, l.LSAHeader)
		}
	case *wire.DatabaseDescription:
		headers = b.Headers
	case *wire.Ack:
		headers = b.Headers
	}
	var all []string
	for _, h := range headers {
		all = append(all, fmt.Sprintf("0x%08x", uint32(h.Sequence)))
	}
	return strings.Join(all, ",")
}

// inIP is a packet of the test with the IP header that it travels with.
func inIP(v wire.Version, p *wire.Packet, k wire.Key) []byte {
	src, dst := ends(v)
	b := p.Append(nil, k, src, dst)
	h := packet.Header{Source: src, Destination: dst, Class: 0xc0, TTL: 1, Protocol: wire.Protocol}
	return append(packet.AppendIP(nil, h, len(b)), b...)
}

// writePcap writes packets that begin with their IP header.
func writePcap(t *testing.T, path string, packets [][]byte) {
	t.Helper()
	const linkRawIP = 101
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0x40000)
	b = binary.LittleEndian.AppendUint32(b, linkRawIP)
	for i, p := range packets {
		for _, word := range []int{i, 0, len(p), len(p)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(word))
		}
		b = append(b, p...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
