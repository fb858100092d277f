package scenario

import (
	"strings"
	"testing"
	"time"
)

const good = `
name: two sites
summary: |
  A story.
networks:
  internet: {kind: provider, delay: 5ms, jitter: 1ms, loss: 1%, rate: 10Mbit, mtu: 1400}
  lan: {}
nodes:
  hub:
    kind: router
    interfaces:
      eth0: {network: internet, address: [10.0.0.2/24, "2001:db8::2/64"], loss: 0}
    config: &hub
      tunnels:
        tun0: {underlay: eth0, address: [10.100.0.1/24, "fd00::1/64"], key: 7, nhrp: &nhrp {network-id: 1, authentication: "0042"}}
  spoke:
    kind: router
    start: false
    interfaces:
      eth0: {network: internet, address: 10.0.1.2/24}
      eth1: {network: lan, address: 192.168.1.1/24}
    config:
      node: other
      tunnels:
        tun0:
          underlay: eth0
          address: 10.100.0.2/24
          nhrp: {<<: *nhrp, shortcut: true}
  box: {kind: nat, outside: wan, interfaces: {wan: {network: internet, address: 10.0.2.2/24}}}
  pc:
    kind: host
    gateway: 192.168.1.1
    routes: [{to: 10.9.0.0/16, via: 192.168.1.1}]
    interfaces: {eth0: {network: lan, address: 192.168.1.10/24}}
steps:
  - say: Wait for it.
    wait: {node: hub, show: nhrp}
`

func TestParse(t *testing.T) {
	f, err := Parse("good.yaml", []byte(strings.Replace(good, "show: nhrp}", "show: nhrp, count: 1}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	link := Link{Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Rate: 10e6, MTU: 1400}
	if got := f.Node("hub").Interfaces[0].Link; got != link {
		t.Errorf("an interface that says loss: 0 on a network with 1%% has %+v, want %+v", got, link)
	}
	if got := f.Node("spoke").Interfaces[0].Link.Loss; got != 0.01 {
		t.Errorf("loss %v, want the network's 0.01", got)
	}
	if s := f.Steps[0]; s.Within != 20*time.Second || s.Title() != "hub: show nhrp" || s.Line == 0 {
		t.Errorf("step %+v", s)
	}
	if !f.Node("spoke").Manual || f.Node("hub").Manual {
		t.Error("start: false is not what it says")
	}
	if got := f.Summary; got != "A story." {
		t.Errorf("summary %q", got)
	}
}

func TestParseConfig(t *testing.T) {
	f, err := Parse("good.yaml", []byte(strings.Replace(good, "show: nhrp}", "show: nhrp, count: 1}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	const hub = `version: 1
node: hub
tunnels:
  tun0:
    underlay: eth0
    address:
    - 10.100.0.1/24
    - fd00::1/64
    key: 7
    nhrp:
      network-id: 1
      authentication: "0042"
`
	if got := string(f.Node("hub").Config); got != hub {
		t.Errorf("config of hub:\n%s\nwant\n%s", got, hub)
	}
	spoke := string(f.Node("spoke").Config)
	for _, want := range []string{"node: other\n", "authentication: \"0042\"\n", "shortcut: true\n"} {
		if !strings.Contains(spoke, want) {
			t.Errorf("config of spoke lacks %q:\n%s", want, spoke)
		}
	}
	if got := f.Node("hub").Addresses(); len(got) != 4 || got[2].String() != "10.100.0.1" || got[3].String() != "fd00::1" {
		t.Errorf("addresses of hub: %v", got)
	}
}

// TestParseErrors is what people read: the place, what is wrong, what would be right.
func TestParseErrors(t *testing.T) {
	const nodes = "nodes:\n  a: {kind: host}\n  b: {kind: host}\n"
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "nodes: [", "x.yaml:1:8: sequence end token ']' not found"},
		{"empty", "", "x.yaml:1:1: want one YAML document"},
		{"two documents", "nodes: {}\n---\nnodes: {}\n", "x.yaml:1:1: want one YAML document"},
		{"a list", "[1, 2]", "x.yaml:1:1: scenario: want keys and values, not a list"},
		{"key twice", nodes + "  a: {kind: host}\n", "x.yaml:4:3: mapping key \"a\" already defined at [2:3]"},
		{"unknown key", nodes + "stesp: []\n", "x.yaml:4:1: scenario: unknown key \"stesp\"; did you mean \"steps\"?"},
		{"unknown key of a node", "nodes:\n  a: {kind: host, gatway: 10.0.0.1}", "x.yaml:2:19: node a: unknown key \"gatway\"; did you mean \"gateway\"?"},
		{"kind", "nodes:\n  a: {kind: rooter}", "x.yaml:2:13: node a: kind \"rooter\" is none of router, host and nat"},
		{"no kind", "nodes:\n  a: {gateway: 10.0.0.1}", "x.yaml:2:6: node a: kind is missing: router, host or nat"},
		{"no config", "nodes:\n  a: {kind: router}", "x.yaml:2:6: node a: a router needs config or config-file"},
		{"no config file", "nodes:\n  a: {kind: router, config-file: no.yaml}", "x.yaml:2:34: node a: open no.yaml: no such file or directory"},
		{"no outside", "nodes:\n  a: {kind: nat, outside: eth0}", "x.yaml:2:27: node a: outside: it has no interface \"eth0\""},
		{"network", "networks: {lan: {}}\nnodes:\n  a: {kind: host, interfaces: {eth0: {network: lam}}}", "x.yaml:3:48: node a: interface eth0: there is no network \"lam\"; did you mean \"lan\"?"},
		{"address", "networks: {lan: {}}\nnodes:\n  a: {kind: host, interfaces: {eth0: {network: lan, address: 10.0.0.1}}}", "x.yaml:3:62: address: \"10.0.0.1\" is not an address with its prefix length, such as 10.0.0.1/24"},
		{"address twice", "networks: {lan: {}}\nnodes:\n  a: {kind: host, interfaces: {e: {network: lan, address: 10.0.0.1/24}}}\n  b: {kind: host, interfaces: {e: {network: lan, address: 10.0.0.1/24}}}", "x.yaml: b:e: 10.0.0.1 is also the address of a:e"},
		{"provider's address", "networks: {i: {kind: provider}}\nnodes:\n  a: {kind: host, interfaces: {e: {network: i, address: 10.0.0.1/24}}}", "x.yaml: a:e: 10.0.0.1 is the provider's own address on 10.0.0.0/24; use another of it"},
		{"link", "networks: {i: {delay: 1ms, jitter: 2ms}}\n" + nodes, "x.yaml:1:15: jitter is larger than delay: a packet cannot arrive before it was sent"},
		{"loss", "networks: {i: {loss: 200%}}\n" + nodes, "x.yaml:1:22: loss: \"200%\" is not a share such as 1%"},
		{"rate", "networks: {i: {rate: fast}}\n" + nodes, "x.yaml:1:22: rate: \"fast\" is not a rate such as 10Mbit or 1Gbit"},
		{"name", "nodes:\n  A_b: {kind: host}", "x.yaml: \"A_b\" cannot be a name: want small letters, digits and dashes, at most 24"},
		{"one name for two", "networks: {a: {}}\n" + nodes, "x.yaml: \"a\" names two things; nodes and networks share their names"},
		{"no verb", nodes + "steps:\n  - say: hello\n", "x.yaml:5:5: a step needs a verb: wait, expect, why, ping, path, kernel, iperf3, probe, probe-report, cut, mend, start, stop, restart, kill, power-off, power-on, reload, exec, sleep"},
		{"two verbs", nodes + "steps:\n  - sleep: 1s\n    exec: {node: a, run: ls}\n", "x.yaml:5:5: a step has one verb, this one has a second: sleep"},
		{"unknown verb", nodes + "steps:\n  - sleep: 1s\n    withn: 1s\n", "x.yaml:6:5: step: unknown key \"withn\"; did you mean \"within\"?"},
		{"no time", nodes + "steps:\n  - sleep: 5\n", "x.yaml:5:12: sleep: \"5\" is not a time such as 200ms or 5s"},
		{"node of a step", nodes + "steps:\n  - exec: {node: cc, run: ls}\n", "x.yaml:5:18: there is no node \"cc\""},
		{"router of a step", nodes + "steps:\n  - stop: a\n", "x.yaml:5:11: a is a host; only a router runs spokeway"},
		{"expects nothing", strings.TrimSpace(good), "x.yaml:36:11: expect: it expects nothing: give rows, absent, count or where"},
		{"ping to a node without address", nodes + "steps:\n  - ping: {from: a, to: b}\n", "x.yaml:5:25: ping: b has no address of that family"},
		{"link of a cut", nodes + "steps:\n  - cut: z\n", "x.yaml:5:10: \"z\" is no link: want NODE:INTERFACE, a node, a network, or NODE <-> NODE"},
		{"pattern", strings.TrimSpace(strings.Replace(good, "show: nhrp}", "show: nhrp, rows: [{a: \"~ (\"}]}", 1)), "x.yaml:36:46: a: \"~ (\" is not a value or a comparison"},
		{"alias", nodes + "steps: *nowhere\n", "x.yaml:4:8: no anchor is named \"nowhere\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(c.text))
			if err == nil || !strings.HasPrefix(strings.SplitN(err.Error(), "\n", 2)[0], c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseTellsEveryMistake(t *testing.T) {
	_, err := Parse("x.yaml", []byte("nodes:\n  a: {kind: no}\n  b: {kind: host, x: 1}\nsteps:\n  - sleep: no\n  - {}\n"))
	if err == nil || strings.Count(err.Error(), "x.yaml:") != 4 {
		t.Errorf("want four mistakes in the order of the file, got\n%v", err)
	}
}

func TestParseStandsAliasBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for i := 1; i < 30; i++ {
		prev, next := string(rune('a'+(i-1)%26))+strings.Repeat("x", i-1), string(rune('a'+i%26))+strings.Repeat("x", i)
		if i == 1 {
			prev = "a0"
		}
		b.WriteString(next + ": &" + next + " [*" + prev + ", *" + prev + "]\n")
	}
	last := string(rune('a'+29%26)) + strings.Repeat("x", 29)
	text := b.String() + "nodes:\n  n: {kind: router, config: {x: *" + last + "}}\n"
	if _, err := Parse("bomb.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "multiply without end") {
		t.Errorf("got %.300v", err)
	}
	if _, err := Parse("loop.yaml", []byte("nodes:\n  n: {kind: router, config: &c {x: *c}}\n")); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("a configuration that holds itself: %.300v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &a [*a]\nnodes: *a\nsteps: *a\nnetworks: *a"))
	f.Add([]byte("nodes: {a: {<<: [*x, {kind: host}]}}\nx: &x {kind: nat}"))
	f.Add([]byte("steps:\n  - ping: {from: a, to: a, count: 1, ipv6: true}\n  - cut: a <-> b\n  - kill: {node: a, signal: HUP}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse("fuzz.yaml", text)
		if (got == nil) == (err == nil) {
			t.Fatalf("got %v and %v", got, err)
		}
	})
}
