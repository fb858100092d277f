package peers

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What a scanner finds: ike-scan's probes of both versions, right and wrong, at hubs of ours.
func TestIKEScan(t *testing.T) {
	if _, err := exec.LookPath("ike-scan"); err != nil {
		t.Skip("skipped: needs the program ike-scan; run test/setup test")
	}
	s := newScene(t, "trixie")
	hub := s.spokeway(spec{name: "hub", site: 2, protect: gcm})[0]
	other := s.spokeway(spec{name: "cbc", site: 3, protect: protection{name: "cbc", ike: "aes256-sha1-modp1024", esp: "aes256-sha1"}})[0]
	s.part("no proposal in common", func() { s.scan(hub, probe{noProposal, []string{"--ikev2"}}) })
	s.part("a proposal in common", func() { s.scan(other, probe{"SA_INIT Handshake returned", []string{"--ikev2"}}) })
	s.part("version 1 is met with silence", func() { s.scan(hub, probesOf1...) })
	s.part("nonsense of version 1 too", func() { s.scan(hub, nonsenseOf1()...) })
	s.part("nonsense is refused, or met with silence", func() { s.scan(hub, nonsense...) })
	s.part("and nothing happened to the routers", func() {
		for _, n := range []*node{hub, other} {
			s.within(time.Second, n.name+" answers", func() error { _, err := n.ikeSAs(); return err })
		}
	})
}

// probe is one run of ike-scan, and what it is to print of the answer.
type probe struct {
	want string
	args []string
}

const (
	silence    = "0 returned handshake; 0 returned notify"
	noProposal = "(NO_PROPOSAL_CHOSEN)"
	syntax     = "(INVALID_SYNTAX)"
)

var probesOf1 = []probe{
	{silence, nil},
	{silence, []string{"--aggressive", "--id=x"}},
	{silence, []string{"--nat-t"}},
	{silence, []string{"--vendor=afcad71368a1f1c96b8696fc77570100"}},
	{silence, []string{"--trans=7/256,2,1,14"}},
}

// What is no IKE_SA_INIT request of somebody who begins gets no answer, but for one of unknown SPIs (RFC 7296 section 2.21.4).
var nonsense = []probe{
	{"(INVALID_MAJOR_VERSION)", []string{"--ikev2", "--headerver=0x30"}},
	{silence, []string{"--ikev2", "--headerlen=-20"}},
	{silence, []string{"--ikev2", "--headerlen=+100"}},
	{silence, []string{"--ikev2", "--hdrflags=255"}},
	{silence, []string{"--ikev2", "--hdrmsgid=77"}},
	{silence, []string{"--ikev2", "--exchange=200"}},
	{syntax, []string{"--ikev2", "--nextpayload=200"}},
	{"(INVALID_IKE_SPI)", []string{"--ikev2", "--rcookie=0102030405060708"}},
	{syntax, []string{"--ikev2", "--noncelen=8"}},
	{syntax, []string{"--ikev2", "--noncelen=1000"}},
	{syntax, []string{"--ikev2", "--spisize=16"}},
	{noProposal, []string{"--ikev2", "--mbz=255"}}, // reserved fields are not looked at, section 2.5
	{noProposal, []string{"--ikev2", "--doi=7"}},   // of version 1 alone
}

// nonsenseOf1 is the same in version 1. That of version 3 gets the answer of version 2.
func nonsenseOf1() (all []probe) {
	for _, p := range nonsense[1:] {
		all = append(all, probe{silence, p.args[1:]})
	}
	return all
}

// scan runs probes side by side: most wait for answers that do not come.
func (s *scene) scan(n *node, probes ...probe) {
	s.t.Helper()
	errs := make([]error, len(probes))
	var jobs []func()
	for i, p := range probes {
		argv := append([]string{"ip", "netns", "exec", s.netns, "ike-scan", "--retry=2", "--timeout=300", "--sport=0"}, p.args...)
		jobs = append(jobs, func() {
			out, err := s.try(append(argv, n.at)...)
			if err == nil && !strings.Contains(out, p.want) {
				err = fmt.Errorf("want %s: %s", p.want, out)
			}
			errs[i] = err
		})
	}
	atOnce(jobs...)
	for i, err := range errs {
		if err != nil {
			s.t.Errorf("%v: %v", probes[i].args, err)
		}
	}
}
