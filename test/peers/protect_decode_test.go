package peers

import (
	"os"
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
		for _, row := range s.tshark("-n", "-r", file, "-Y", "ip.proto == 47") {
			s.t.Error(strings.TrimSpace(row))
		}
	})
	s.part("every packet of ours decodes", func() { s.noRemarks(file) })
	s.part("and is decrypted with our keys", func() { s.decrypted(file) })
}

// fields prints fields of the packets that a filter selects, those of each packet in a slice.
func (s *scene) fields(file, filter string, fields ...string) (rows [][]string) {
	s.t.Helper()
	args := []string{"-n", "-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for _, row := range s.tshark(args...) {
		rows = append(rows, strings.SplitN(strings.TrimRight(row, "\n"), "|", len(fields)))
	}
	return rows
}

// noRemarks wants no remark of Wireshark's on what we sent as IKE or ESP, inside or outside.
func (s *scene) noRemarks(file string) {
	seen, remarks := map[string]int{}, 0
	for _, f := range s.fields(file, "isakmp || esp || udp.port == 4500", "frame.number", "ip.src", "frame.protocols", "_ws.malformed",
		"_ws.expert.severity", "_ws.expert.message") {
		from := outer(f[1])
		if !slices.Contains(s.ours(), from) {
			continue
		}
		seen[from]++
		if (f[3] != "" || serious(f[4])) && remarks < 10 {
			remarks++
			s.t.Errorf("frame %s from %s, %s: %s", f[0], from, f[2], strings.Join(f[3:], " "))
		}
	}
	for _, n := range s.nodes {
		if seen[n.at] == 0 {
			s.t.Errorf("the capture holds no packet of %s", n.name)
		}
	}
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
func (s *scene) decrypted(file string) {
	read := s.readable(file)
	s.reverseKeys()
	for frame := range s.readable(file) {
		read[frame] = true
	}
	ikes, nhrps, unread := map[string]int{}, map[string]int{}, 0
	for _, f := range s.fields(file, encryptedIKE, "frame.number", "ip.src", "isakmp.exchangetype") {
		n := s.nodeAt(outer(f[1]))
		if n == nil || n.hidden() {
			continue
		}
		ikes[n.name]++
		if !read[f[0]] && unread < 10 {
			unread++
			s.t.Errorf("frame %s from %s, exchange %s, is not decrypted", f[0], n.name, f[2])
		}
	}
	for _, p := range s.nhrpPackets(" && esp") {
		if n := s.nodeAt(p.from); n != nil {
			nhrps[n.name]++
			if !clean(p.remarks) {
				s.t.Errorf("frame %s from %s: %s", p.frame, n.name, p.remarks)
			}
		}
	}
	for _, n := range s.nodes {
		if !n.hidden() && !n.refused && (ikes[n.name] == 0 || nhrps[n.name] == 0) {
			s.t.Errorf("of %s there are %d IKE messages and %d NHRP packets", n.name, ikes[n.name], nhrps[n.name])
		}
	}
}

const encryptedIKE = "isakmp.exchangetype >= 35 && isakmp.version == 0x20"

// readable are the numbers of the IKE messages that Wireshark can read and whose integrity it finds right.
func (s *scene) readable(file string) map[string]bool {
	frames := map[string]bool{}
	for _, f := range s.fields(file, encryptedIKE, "frame.number", "isakmp.enc.decrypted", "_ws.expert.message") {
		if f[1] != "" && !strings.Contains(f[2], "correct") {
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
