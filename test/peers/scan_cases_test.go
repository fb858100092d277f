package peers

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What a scanner finds: ike-scan's probes of both versions, right and wrong, at a hub of ours.
func TestIKEScan(t *testing.T) {
	s := newScene(t, "trixie")
	if _, err := exec.LookPath("ike-scan"); err != nil {
		t.Skip("skipped: needs the program ike-scan; run test/setup test")
	}
	hub := s.spokeway(spec{name: "hub", site: 2, protect: gcm})[0]
	other := s.spokeway(spec{name: "cbc", site: 3, protect: protection{name: "cbc", ike: "aes256-sha1-modp1024", esp: "aes256-sha1"}})[0]
	scan := func(args ...string) string {
		return s.in(s.netns, append([]string{"ike-scan", "--retry=2", "--timeout=300", "--sport=0"}, args...)...)
	}
	s.part("no proposal in common", func() {
		out := scan("--ikev2", hub.at)
		if !strings.Contains(out, "NO-PROPOSAL-CHOSEN") && !strings.Contains(out, "Notify") {
			s.t.Error(out)
		}
	})
	s.part("a proposal in common", func() {
		t.Log(scan("--ikev2", "-v", other.at))
	})
	s.part("version 1 is met with silence", func() {
		for _, args := range [][]string{{}, {"--aggressive", "--id=x"}, {"--nat-t"}, {"--vendor=afcad71368a1f1c96b8696fc77570100"}, {"--trans=7/256,2,1,14"}} {
			if out := scan(append(args, hub.at)...); !strings.Contains(out, "0 returned handshake; 0 returned notify") {
				s.t.Errorf("%v: %s", args, out)
			}
		}
	})
	s.part("nonsense does no harm", func() {
		for _, args := range [][]string{
			{"--headerver=0x30"}, {"--headerlen=-20"}, {"--headerlen=+100"}, {"--hdrflags=255"}, {"--hdrmsgid=77"}, {"--exchange=200"}, {"--nextpayload=200"},
			{"--rcookie=0102030405060708"}, {"--noncelen=8"}, {"--noncelen=1000"}, {"--spisize=16"}, {"--mbz=255"}, {"--doi=7"},
		} {
			scan(append(args, hub.at)...)
			out := scan(append([]string{"--ikev2"}, append(args, hub.at)...)...)
			s.t.Log(args, strings.Join(strings.Split(out, "\n")[1:2], ""))
		}
	})
	s.part("and nothing happened to the router", func() {
		s.within(time.Second, "it answers", func() error { _, err := hub.ikeSAs(); return err })
		s.within(time.Second, "so does the other", func() error { _, err := other.ikeSAs(); return err })
	})
}
