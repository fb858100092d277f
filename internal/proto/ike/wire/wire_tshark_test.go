package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/proto/ike/wire"
)

// testKey is the AES-256 key and the salt that the samples are sealed with, in both directions.
var testKey = bytes.Repeat([]byte{0x5a}, 36)

// fields are what Wireshark's reading of a message is compared in, and after those compared its remarks.
var fields = []string{
	"isakmp.typepayload", "isakmp.exchangetype", "isakmp.messageid", "isakmp.notify.msgtype", "isakmp.tf.type",
	"isakmp.ts.start_ipv4", "isakmp.ts.end_ipv6",
	"_ws.malformed", "_ws.expert.severity", "_ws.expert.message",
}

const compared = 7

func tshark(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	return path
}

// dissect returns a row of fields for each message of a capture. profile is a folder with Wireshark's table of keys.
func dissect(t *testing.T, capture, profile string) (rows [][]string) {
	t.Helper()
	args := []string{"-n", "-r", capture, "-Y", "isakmp", "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(tshark(t), args...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+profile)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for row := range strings.Lines(string(out)) {
		rows = append(rows, strings.SplitN(strings.TrimSuffix(row, "\n"), "|", len(fields)))
	}
	return rows
}

// writePcap writes messages in UDP over IPv4 to a new capture.
func writePcap(t *testing.T, path string, messages [][]byte) {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0x40000)
	b = binary.LittleEndian.AppendUint32(b, linkRawIP)
	for i, m := range messages {
		packet := inUDP(m)
		for _, word := range []int{i, 0, len(packet), len(packet)} {
			b = binary.LittleEndian.AppendUint32(b, uint32(word))
		}
		b = append(b, packet...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inUDP wraps a message in IPv4 and in UDP to port 500, of which no checksum is looked at.
func inUDP(m []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocolUDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 0xf4, 1, 0xf4, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(m)))
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(m)))
	return append(b, m...)
}

// padded is plaintext with its padding, RFC 7296 section 3.14.
func padded(plain []byte) []byte { return append(bytes.Clone(plain), 0) }

// seal writes a message with its payloads in SK.
func seal(t *testing.T, s sample) []byte {
	t.Helper()
	plain := padded(wire.AppendPayloads(nil, s.payloads))
	return sealBody(t, wire.AppendEncryptedStart(nil, s.header, s.payloads.First(), 8+len(plain)+16), plain)
}

// sealBody appends IV, ciphertext and ICV to what comes before them.
func sealBody(t *testing.T, start, plain []byte) []byte {
	t.Helper()
	aead, salt := gcm(t, testKey)
	iv := []byte{0, 0, 0, 0, 0, 0, 0, byte(len(plain))}
	return aead.Seal(append(bytes.Clone(start), iv...), append(bytes.Clone(salt), iv...), plain, start)
}

// fragmented writes a message as three fragments, RFC 7383.
func fragmented(t *testing.T, s sample) (all [][]byte) {
	t.Helper()
	plain := wire.AppendPayloads(nil, s.payloads)
	parts := slices.Collect(slices.Chunk(plain, len(plain)/3+1))
	for i, part := range parts {
		part = padded(part)
		start := wire.AppendFragmentStart(nil, s.header, s.payloads.First(), uint16(i+1), uint16(len(parts)), 8+len(part)+16)
		all = append(all, sealBody(t, start, part))
	}
	return all
}

// profile is a folder that lets Wireshark decrypt the samples.
func profile(t *testing.T) string {
	t.Helper()
	folder, h := t.TempDir(), samples()[3].header
	row := fmt.Sprintf("%016x,%016x,%x,%x,\"AES-GCM-256 with 16 octet ICV [RFC5282]\",,,\"NONE [RFC4306]\"\n", h.SPIi, h.SPIr, testKey, testKey)
	if err := os.WriteFile(filepath.Join(folder, "ikev2_decryption_table"), []byte(row), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// certified puts a certificate into every CERT, for Wireshark looks into them.
func certified(t *testing.T, all []sample) []sample {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "spoke.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, c := range wire.All[*wire.Cert](s.payloads) {
			c.Data = der
		}
	}
	return all
}

// Wireshark reads what the codec writes as what it was made of: payloads, notifies, transforms and selectors, inside SK
// too; and it finds nothing malformed.
func TestWrittenMessagesInWireshark(t *testing.T) {
	var messages [][]byte
	all := certified(t, samples())
	for _, s := range all {
		if s.clear() {
			messages = append(messages, wire.AppendMessage(nil, s.header, s.payloads))
		} else {
			messages = append(messages, seal(t, s))
		}
	}
	capture := filepath.Join(t.TempDir(), "written.pcap")
	writePcap(t, capture, messages)
	rows := dissect(t, capture, profile(t))
	if len(rows) != len(messages) {
		t.Fatalf("%d rows for %d messages", len(rows), len(messages))
	}
	for i, s := range all {
		checkRow(t, s.name, rows[i], s.header, s.payloads, !s.clear())
	}
}

// Wireshark puts the fragments together to the message that was cut.
func TestWrittenFragmentsInWireshark(t *testing.T) {
	s := certified(t, samples())[4]
	capture := filepath.Join(t.TempDir(), "fragments.pcap")
	writePcap(t, capture, fragmented(t, s))
	rows := dissect(t, capture, profile(t))
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows[:2] {
		if row[0] != "53" || strings.Join(row[compared:], "") != "" {
			t.Errorf("a fragment that is not the last: %q", row)
		}
	}
	last := rows[2]
	last[0] = strings.Replace(last[0], "53", "46", 1)
	checkRow(t, "fragments", last, s.header, s.payloads, true)
}

// Wireshark and the codec read the captures of strongSwan alike.
func TestCapturedMessagesInWireshark(t *testing.T) {
	const name = "frr-phase3-ikev2"
	keys, err := filepath.Abs(filepath.Join(captures, name+".keys"))
	if err != nil {
		t.Fatal(err)
	}
	rows, all := dissect(t, filepath.Join(captures, name+".pcap"), keys), readIKEv2(t, name)
	if len(rows) != len(all) {
		t.Fatalf("%d rows for %d messages", len(rows), len(all))
	}
	for i, s := range all {
		checkRow(t, fmt.Sprint("frame ", s.frame), rows[i], s.header, s.payloads, s.opened)
	}
}

// checkRow compares Wireshark's reading with ours.
func checkRow(t *testing.T, name string, row []string, h wire.Header, p wire.Payloads, sealed bool) {
	t.Helper()
	want := expected(h, p, sealed)
	for i, field := range fields[:compared] {
		got := row[i]
		if field == "isakmp.typepayload" {
			got = withoutSubstructures(got)
		}
		if got != want[i] {
			t.Errorf("%s: %s\n got %s\nwant %s", name, field, got, want[i])
		}
	}
	if remarks := strings.Join(row[compared:], "|"); remarks != "||" {
		t.Errorf("%s: %s", name, remarks)
	}
}

// withoutSubstructures drops proposals and transforms, which Wireshark counts among the payloads.
func withoutSubstructures(list string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "2" || s == "3" }), ",")
}

// expected are the fields that are compared, by our reading.
func expected(h wire.Header, p wire.Payloads, sealed bool) []string {
	var types, notifies, transforms, start4, end6 []string
	number := func(list *[]string, n int) { *list = append(*list, strconv.Itoa(n)) }
	if sealed {
		number(&types, int(wire.TypeEncrypted))
	}
	for _, payload := range p {
		number(&types, int(payload.Type()))
		switch x := payload.(type) {
		case *wire.Notify:
			number(&notifies, int(x.Kind))
		case *wire.SA:
			for _, t := range allTransforms(x) {
				number(&transforms, int(t.Type))
			}
		case *wire.TS:
			for _, s := range x.Selectors {
				if s.Start.Is4() {
					start4 = append(start4, s.Start.String())
				} else {
					end6 = append(end6, s.End.String())
				}
			}
		}
	}
	join := func(list []string) string { return strings.Join(list, ",") }
	return []string{join(types), strconv.Itoa(int(h.Exchange)), fmt.Sprintf("0x%08x", h.MessageID), join(notifies),
		join(transforms), join(start4), join(end6)}
}

func allTransforms(sa *wire.SA) (all []wire.Transform) {
	for _, p := range sa.Proposals {
		all = append(all, p.Transforms...)
	}
	return all
}

// The names of notifies, payloads and exchanges are those of Wireshark's tables, which stop at RFC 7427.
func TestNamesInWireshark(t *testing.T) {
	out, err := exec.Command(tshark(t), "-G", "values").Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var rows []string
	for row := range strings.Lines(string(out)) {
		if strings.Contains(row, "\tisakmp.") {
			rows = append(rows, row)
		}
	}
	table, found := strings.Join(rows, ""), 0
	for kind := wire.NotifyType(0); kind <= wire.SignatureHashAlgorithms; kind++ {
		name := kind.String()
		if strings.Contains(name, " ") || kind == wire.AuthorizationFailed || kind > 46 && kind.IsError() {
			continue // of 46 Wireshark 4.0 has a wrong name
		}
		found++
		if row := fmt.Sprintf("R\tisakmp.notify.msgtype\t%d\t%d\t%s\n", kind, kind, name); !strings.Contains(table, row) {
			t.Errorf("notify %d is not %s", kind, name)
		}
	}
	if found < 68 {
		t.Errorf("only %d names of notifies", found)
	}
	for _, e := range []wire.Exchange{wire.SAInit, wire.IKEAuth, wire.CreateChildSA, wire.Informational} {
		if !strings.Contains(table, fmt.Sprintf("isakmp.exchangetype\t%d\t%d\t%s\n", e, e, e)) &&
			!strings.Contains(table, fmt.Sprintf("isakmp.exchangetype\t%d\t%s\n", e, e)) {
			t.Errorf("exchange %d is not %s", e, e)
		}
	}
}
