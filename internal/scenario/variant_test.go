package scenario

import (
	"strings"
	"testing"
	"time"
)

const varied = `
variants:
  quick: {limit: 300ms, watch: {bfd: {interval: 50ms}}}
  slow: {limit: 5s, watch: {}}
networks: {lan: {}}
nodes:
  r: {kind: router, interfaces: {eth0: {network: lan, address: 10.0.0.1/24}}, config: {tunnels: {tun0: {<<: $watch, key: "$5"}}}}
steps:
  - probe-report: {name: p, max-outage: $limit}
`

func TestVariants(t *testing.T) {
	for _, c := range []struct {
		variant, chosen string
		limit           time.Duration
		bfd             bool
	}{{"", "quick", 300 * time.Millisecond, true}, {"quick", "quick", 300 * time.Millisecond, true}, {"slow", "slow", 5 * time.Second, false}} {
		f, err := parse("test.yaml", c.variant, []byte(varied))
		if err != nil {
			t.Fatal(err)
		}
		report, config := f.Steps[0].Action.(probeReport), string(f.Nodes[0].Config)
		if f.Variant != c.chosen || len(f.Variants) != 2 || report.maxOutage != c.limit || strings.Contains(config, "bfd") != c.bfd {
			t.Errorf("%q: %q of %q, %v\n%s", c.variant, f.Variant, f.Variants, report.maxOutage, config)
		}
		if !strings.Contains(config, "$5") {
			t.Errorf("what is in quotes is text: %s", config)
		}
	}
}

func TestVariantsThatAreNotThere(t *testing.T) {
	for _, c := range []struct{ variant, text, want string }{
		{"slwo", varied, "there is no variant \"slwo\"; did you mean \"slow\"?"},
		{"", strings.Replace(varied, "$limit", "$limits", 1), "no variant says what $limits is"},
		{"slow", strings.Replace(varied, "limit: 5s, ", "", 1), "no variant says what $limit is"},
		{"", strings.Replace(varied, "$limit", "$limit}, {", 1), ""},
	} {
		if _, err := parse("test.yaml", c.variant, []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.variant, err, c.want)
		}
	}
	if _, err := parse("test.yaml", "", []byte("variants: {a: {x: $y, y: $x}}\nnodes: {h: {kind: $x}}\n")); err == nil {
		t.Error("variables that mean each other")
	}
}
