package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/scenario"
)

// protectedStage is the protected scenario with one text of spoke2's replaced, after some time.
func protectedStage(t *testing.T, old, new string) *Stage {
	t.Helper()
	text, err := os.ReadFile("../../examples/lab/protected.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before, spoke2, ok := strings.Cut(string(text), "\n  spoke2:\n")
	if !ok || !strings.Contains(spoke2, old) {
		t.Fatalf("the scenario has no %q", old)
	}
	path := filepath.Join(t.TempDir(), "protected.yaml")
	if err := os.WriteFile(path, []byte(before+"\n  spoke2:\n"+strings.Replace(spoke2, old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := scenario.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewStage(1)
	if err := s.Up(f); err != nil {
		t.Fatal(err)
	}
	s.world.Run(time.Minute)
	return s
}

func shown[T any](t *testing.T, s *Stage, node string, args ...string) (rows []T) {
	t.Helper()
	data, err := s.Show(node, args)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// What is wrong with protection is named with the peer's own words and a remedy, at whichever end one asks.
func TestWhyNamesWhatIsWrongWithProtection(t *testing.T) {
	const psk = "psk: nine hundred and ninety-nine camels"
	for _, c := range []struct {
		name, old, new      string
		node, peer          string
		state, says, remedy string
		counted             string
	}{
		{"wrong PSK, at the initiator", psk, "psk: nine hundred and ninety-eight camels", "spoke2", "10.100.0.1", "failed", "AUTHENTICATION_FAILED", "pre-shared key", "authentication"},
		{"wrong PSK, at the responder", psk, "psk: nine hundred and ninety-eight camels", "hub", "10.0.2.2", "failed", "the pre-shared keys differ", "compare psk", "authentication"},
		{"no common proposal, at the initiator", psk, psk + "\n          ike: [aes128-sha1-modp1024]", "spoke2", "10.100.0.1", "failed", "no proposal", "compare ike and esp", "no proposal"},
		{"no common proposal, at the responder", psk, psk + "\n          ike: [aes128-sha1-modp1024]", "hub", "10.0.2.2", "failed", "no proposal", "compare ike and esp", "no proposal"},
		{"a peer that never answers", "nbma: 10.0.0.2,", "nbma: 10.0.0.99,", "spoke2", "10.0.0.99", "", "no answer to IKE_SA_INIT", "UDP 500 and 4500", "no answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := protectedStage(t, c.old, c.new)
			stages := shown[nhrp.Stage](t, s, c.node, "why", c.peer)
			i := slices.IndexFunc(stages, func(s nhrp.Stage) bool { return s.Name == "IKE" })
			if i < 0 || c.state != "" && stages[i].State != c.state || !strings.Contains(stages[i].Detail, c.says) || !strings.Contains(stages[i].Remedy, c.remedy) {
				t.Errorf("%s: want %q and the remedy %q of\n%+v", c.peer, c.says, c.remedy, stages)
			}
			counted := slices.ContainsFunc(shown[query.CounterRow](t, s, c.node, "show", "counters"), func(r query.CounterRow) bool {
				return r.Module == ike.Name && r.Name == ike.CountFailure+c.counted && r.Value > 0
			})
			if !counted {
				t.Errorf("no counter of the class %q", c.counted)
			}
			if rows := shown[ike.IKERow](t, s, c.node, "show", "ike"); !slices.ContainsFunc(rows, func(r ike.IKERow) bool { return r.State != "established" }) {
				t.Errorf("show ike: %+v", rows)
			}
			if up := shown[ike.SARow](t, s, "spoke1", "show", "sas"); len(up) != 1 || up[0].State != "up" {
				t.Errorf("another peer is disturbed: %+v", up)
			}
		})
	}
}

// Where all is well, IKE's stages stand before what NHRP makes of them, and each row says with whom.
func TestProtectionIsShown(t *testing.T) {
	s := protectedStage(t, "spoke2.example", "spoke2.example")
	var names []string
	for _, stage := range shown[nhrp.Stage](t, s, "spoke1", "why", "10.100.0.1") {
		if stage.State != "ok" || stage.Remedy != "" {
			t.Errorf("%+v", stage)
		}
		names = append(names, stage.Name)
	}
	if got := strings.Join(names, ", "); got != "resolve server, underlay route, IKE, ESP, protection, registered, adjacency, path" {
		t.Errorf("stages: %s", got)
	}
	sas := shown[ike.SARow](t, s, "hub", "show", "crypto", "ipsec", "sa")
	if len(sas) != 2 || sas[0].RemoteID != "spoke1.example" || sas[0].LocalID != "hub.example" || sas[0].PacketsIn == 0 || sas[0].UpFor == 0 {
		t.Errorf("show sas: %+v", sas)
	}
	for _, p := range shown[nhrp.PeerRow](t, s, "hub", "show", "peers") {
		if p.MTU == 0 || p.MTU != sas[0].PathMTU {
			t.Errorf("path MTU of %v: %d, that of its SA %d", p.Protocol, p.MTU, sas[0].PathMTU)
		}
	}
	hub := must(s.running("hub")).router.source()
	for filter, want := range map[string]int{"10.9.9.9": 0, "spoke1.example": 1, "10.0.2.2": 1} {
		if n, err := hub.Clear("ike", filter); n != want || err != nil {
			t.Errorf("clear ike %s: %d %v, want %d", filter, n, err, want)
		}
	}
	s.world.Run(time.Minute)
	if up := shown[ike.SARow](t, s, "hub", "show", "sas", "up"); len(up) != 2 {
		t.Errorf("what was cleared did not come again: %+v", up)
	}
}
