package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/ike"
)

// protectedDecoded is the last part of each protected scene: not one packet in clear, nothing malformed in what we sent,
// and with our keys Wireshark reads all of it.
func (s *scene) protectedDecoded() {
	file := s.endCapture()
	s.part("nothing is in clear", func() {
		if clear := s.filtered(file, "ip proto 47", "-n"); clear != "" {
			s.t.Errorf("%d packets: %.1000s", strings.Count(clear, "\n"), clear)
		}
	})
	var inside []inner
	s.part("every packet of ours decodes", func() {
		s.noRemarks(file)
		inside = s.inside(file)
	})
	s.part("and is decrypted with our keys", func() { s.decrypted(file, inside) })
}

// filtered has tcpdump, which is quick, read those packets of a capture that a filter selects.
func (s *scene) filtered(file, filter string, options ...string) string {
	s.t.Helper()
	out, err := exec.Command("tcpdump", append(append([]string{"-Z", "root", "-r", file}, options...), filter)...).Output()
	if err != nil {
		s.t.Fatalf("tcpdump -r %s %s: %v", file, filter, err)
	}
	return string(out)
}

// fields prints fields of the packets that a filter selects, those of each packet in a slice, by a Wireshark profile.
func (s *scene) fields(profile, file, filter string, fields ...string) (rows [][]string) {
	s.t.Helper()
	args := []string{"-n", "-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for _, row := range s.tsharkAs(profile, args...) {
		rows = append(rows, strings.SplitN(strings.TrimRight(row, "\n"), "|", len(fields)))
	}
	return rows
}

// noRemarks wants no remark of Wireshark's on what we sent as it is on the wire.
func (s *scene) noRemarks(file string) {
	seen, bad := map[string]int{}, 0
	for _, f := range s.fields(s.outside(), file, "isakmp || esp || udp.port == 4500", "frame.number", "ip.src", "frame.protocols",
		"_ws.malformed", "_ws.expert.severity", "_ws.expert.message") {
		n := s.nodeAt(outer(f[1]))
		if n == nil {
			continue
		}
		seen[n.name]++
		if (f[3] != "" || serious(f[4])) && bad < 10 {
			bad++
			s.t.Errorf("frame %s from %s, %s: %s", f[0], n.name, f[2], strings.Join(f[3:], " "))
		}
	}
	for _, n := range s.nodes {
		if !n.refused && seen[n.name] == 0 {
			s.t.Errorf("the capture holds no packet of %s", n.name)
		}
	}
}

// inner is a packet of ESP of ours that was decrypted.
type inner struct {
	frame   string
	from    *node
	nhrp    bool
	remarks string // of NHRP, as in emitted
}

// inside decrypts our ESP, and wants no remark on what is in it.
func (s *scene) inside(file string) (all []inner) {
	s.t.Helper()
	bad := 0
	for _, f := range s.fields(s.keys(), file, "esp && !isakmp", "frame.number", "ip.src", "nhrp.hdr.op.type", "nhrp.hdr.chksum.status",
		"_ws.malformed", "_ws.expert.severity", "_ws.expert.message") {
		n := s.nodeAt(outer(f[1]))
		if n == nil {
			continue
		}
		if (f[4] != "" || serious(f[5])) && bad < 10 {
			bad++
			s.t.Errorf("the inside of frame %s from %s: %s", f[0], n.name, strings.Join(f[4:], " "))
		}
		all = append(all, inner{frame: f[0], from: n, nhrp: f[2] != "", remarks: strings.Join(f[3:], "|")})
	}
	return all
}

// outside is a Wireshark profile without keys.
func (s *scene) outside() string {
	folder := filepath.Join(s.run, "wireshark")
	writeFiles(s, folder, map[string]string{"preferences": wireshark})
	return folder
}

// serious says whether one of the severities is a warning or an error: 0x600000 and up in Wireshark's numbers.
func serious(severities string) bool {
	for s := range strings.SplitSeq(severities, ",") {
		if s == "6291456" || s == "8388608" {
			return true
		}
	}
	return false
}

// decrypted wants Wireshark to find the inside of every IKE message of ours but those of IKE_SA_INIT, and NHRP in our ESP.
// It has one set of keys for an SA, where a hybrid exchange has several: so it is asked twice, with the first set and
// with the last. It has no name for ChaCha20.
func (s *scene) decrypted(file string, inside []inner) {
	ikeFile := filepath.Join(s.run, "ike.pcap")
	s.filtered(file, onlyIKE, "-w", ikeFile)
	read := s.readable(ikeFile)
	s.reverseKeys()
	for frame := range s.readable(ikeFile) {
		read[frame] = true
	}
	ikes, nhrps, unread := map[*node]int{}, map[*node]int{}, 0
	for _, f := range s.fields(s.keys(), ikeFile, encryptedIKE, "frame.number", "ip.src", "isakmp.exchangetype", "isakmp.nextpayload") {
		n := s.nodeAt(outer(f[1]))
		if n == nil || n.hidden() || outer(f[3]) == notify { // one who has lost his keys tells so in clear
			continue
		}
		ikes[n]++
		if !read[f[0]] && unread < 10 {
			unread++
			s.t.Errorf("message %s from %s, exchange %s, is not decrypted", f[0], n.name, f[2])
		}
	}
	for _, p := range inside {
		if !p.nhrp {
			continue
		}
		nhrps[p.from]++
		if !clean(p.remarks) {
			s.t.Errorf("frame %s from %s: %s", p.frame, p.from.name, p.remarks)
		}
	}
	for _, n := range s.nodes {
		if !n.hidden() && !n.refused && (ikes[n] == 0 || nhrps[n] == 0) {
			s.t.Errorf("of %s there are %d IKE messages and %d NHRP packets", n.name, ikes[n], nhrps[n])
		}
	}
}

// onlyIKE selects what is not ESP: on port 4500 four octets of zero are before a message (RFC 3948 section 2.2).
const onlyIKE = "udp port 500 or (udp port 4500 and udp[8:4] = 0)"

const (
	encryptedIKE = "isakmp.exchangetype >= 35 && isakmp.version == 0x20"
	notify       = "41" // the payload of RFC 7296 section 3.10
)

// readable are the numbers of the IKE messages that Wireshark can read and has no remark on, as it would have on a wrong
// integrity checksum.
func (s *scene) readable(file string) map[string]bool {
	frames := map[string]bool{}
	for _, f := range s.fields(s.keys(), file, encryptedIKE, "frame.number", "isakmp.enc.decrypted", "_ws.malformed", "_ws.expert.severity") {
		if f[1] != "" && f[2] == "" && !serious(f[3]) {
			frames[f[0]] = true
		}
	}
	return frames
}

// reverseKeys turns the file of IKE keys round: of several lines for an SA Wireshark takes the first.
func (s *scene) reverseKeys() {
	s.t.Helper()
	file := filepath.Join(s.keys(), ike.IKEKeys)
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	slices.Reverse(all)
	writeFiles(s, s.keys(), map[string]string{ike.IKEKeys: lines(all...)})
}

// hidden says that Wireshark has no name for what protects a router's IKE.
func (n *node) hidden() bool { return strings.HasPrefix(n.protect.ike, "chacha") }

// nodeAt is the router of ours that had the address.
func (s *scene) nodeAt(address string) *node {
	i := slices.IndexFunc(s.nodes, func(n *node) bool { return slices.Contains(n.had, address) })
	if i < 0 {
		return nil
	}
	return s.nodes[i]
}
