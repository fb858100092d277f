package peers

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// emitted is one NHRP packet of the capture.
type emitted struct {
	frame   string
	from    string // the outer source address
	kind    string // NHRP packet type
	lengths string // of the source and destination protocol addresses
	remarks string // what Wireshark complains of
}

// nhrpPackets reads the capture of the scene, which ends with that. A filter of Wireshark's chooses among the packets.
func (s *scene) nhrpPackets(filter string) []emitted {
	s.t.Helper()
	fields := []string{"frame.number", "ip.src", "nhrp.hdr.op.type", "nhrp.src.prot.len", "nhrp.dst.prot.len",
		"nhrp.hdr.chksum.status", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message"}
	args := []string{"-n", "-r", s.endCapture(), "-Y", "gre.proto == 0x2001" + filter, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var all []emitted
	for _, row := range s.tshark(args...) {
		f := strings.SplitN(strings.TrimSpace(row), "|", 6)
		if len(f) < 6 {
			s.t.Fatalf("tshark printed %q", row)
		}
		all = append(all, emitted{frame: f[0], from: outer(f[1]), kind: outer(f[2]), lengths: outer(f[3]) + " " + outer(f[4]), remarks: f[5]})
	}
	return all
}

// tshark gives the lines that it prints, with the keys of protected traffic.
func (s *scene) tshark(args ...string) []string {
	s.t.Helper()
	return s.tsharkAs(s.keys(), args...)
}

// tsharkAs does so with another profile.
func (s *scene) tsharkAs(profile string, args ...string) []string {
	s.t.Helper()
	c := exec.Command("tshark", args...)
	c.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+profile)
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("tshark %v: %v", args, err)
	}
	return slices.Collect(strings.Lines(string(out)))
}

// outer is the first value of a field: those of what is inside an indication follow it.
func outer(values string) string {
	first, _, _ := strings.Cut(values, ",")
	return first
}

// clean is a packet with a right checksum and nothing to complain of. The packet that an indication repeats may have a
// checksum too, which then has a status of its own.
func clean(remarks string) bool {
	status, rest, _ := strings.Cut(remarks, "|")
	return strings.Trim(status, "1,") == "" && status != "" && rest == "||"
}

// A Cisco password is shorter than the source protocol address that RFC 2332 section 5.3.4 has in its place, and
// Wireshark remarks on it.
const shortPassword = "1|_ws.malformed|8388608|Incomplete Authentication Extension"

// shortLived is what Wireshark remarks on the packet that an indication repeats when that was a traceroute's.
const shortLived = `1||4194304|"Time To Live" only 1`

// tolerable are the remarks on what is as it should be.
var tolerable = []string{shortPassword, shortLived}

// oneFamily is the lengths that source and destination may have: Wireshark has no remark on a packet of two families.
var oneFamily = map[string]bool{"4 4": true, "16 16": true}

// decoded is the last part of each scene: Wireshark finds nothing wrong with what we sent.
func (s *scene) decoded() {
	s.part("every NHRP packet of ours decodes", func() {
		seen := map[string]int{}
		kinds := map[string]int{}
		for _, p := range s.nhrpPackets("") {
			if !slices.Contains(s.ours(), p.from) {
				continue
			}
			seen[p.from]++
			kinds[p.kind]++
			if !clean(p.remarks) && !slices.Contains(tolerable, p.remarks) || !oneFamily[p.lengths] {
				s.t.Errorf("frame %s from %s, type %s: %s; length of addresses %s", p.frame, p.from, p.kind, p.remarks, p.lengths)
			}
		}
		for _, n := range s.nodes {
			if seen[n.at] == 0 {
				s.t.Errorf("the capture holds no NHRP packet of %s", n.name)
			}
		}
		s.t.Logf("packets by sender %v, by type %v", seen, kinds)
	})
}

// ours is every underlay address that a router of ours had.
func (s *scene) ours() []string {
	var all []string
	for _, n := range s.nodes {
		all = append(all, n.had...)
	}
	return all
}

func TestCleanRemarks(t *testing.T) {
	for remarks, want := range map[string]bool{
		"1|||": true, "1,1|||": true, "0|||": false, "|||": false,
		"1|_ws.malformed||": false, "1||8388608|Malformed Packet": false, shortPassword: false,
	} {
		if clean(remarks) != want {
			t.Error(fmt.Sprintf("clean(%q) = %v", remarks, !want))
		}
	}
}
