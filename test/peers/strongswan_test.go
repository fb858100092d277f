package peers

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// swanctl is the configuration of a strongSwan that has an association with each of the partners. A hub answers, a
// spoke sets a trap for its first packet. Which protection a pair has the spoke of it says.
func (g *guest) swanctl() string {
	c := []string{"connections {"}
	for _, p := range g.partners {
		c = append(c, g.connection(p)...)
	}
	c = append(c, "}", "secrets {", "  ike-any {", "    secret = "+secretPSK, "  }")
	for _, p := range g.partners {
		if g.pair(p).ppk {
			c = append(c, "  ppk-"+p.name+" {", "    id = "+ppkName, "    secret = "+ppkSecret, "  }")
		}
	}
	return lines(append(c, "}")...)
}

// pair is the protection between a guest and a partner.
func (g *guest) pair(p spec) protection {
	if g.isHub() {
		return p.protect
	}
	return g.protect
}

func (g *guest) connection(p spec) []string {
	pair := g.pair(p)
	c := []string{
		"  " + p.name + " {",
		"    version = 2",
		"    proposals = " + pair.theirIKE,
		"    local_addrs = " + g.underlay(),
		// The one to begin with, and all it may come from.
		fmt.Sprintf("    remote_addrs = %s, 10.0.%d.0/24", nbma(p.site), p.site),
	}
	if pair.ppk {
		c = append(c, "    ppk_id = "+ppkName, "    ppk_required = yes")
	}
	for _, line := range pair.connection {
		c = append(c, "    "+line)
	}
	c = append(c, authentication("local", pair, g.spec)...)
	c = append(c, authentication("remote", pair, p)...)
	return append(append(c, g.child(p)...), "  }")
}

// authentication is one round of it, of the local or the remote router.
func authentication(side string, pair protection, p spec) []string {
	if !pair.certificate {
		return []string{"    " + side + " {", "      auth = psk", "    }"}
	}
	c := []string{"    " + side + " {", "      auth = pubkey", "      id = " + p.domainName()}
	if side == "local" {
		c = append(c, "      certs = "+pair.name+".pem")
	}
	return append(c, "    }")
}

func (g *guest) child(p spec) []string {
	pair := g.pair(p)
	c := []string{
		"    children {",
		"      " + p.name + " {",
		"        esp_proposals = " + pair.theirESP,
		"        mode = " + pair.mode(),
		"        local_ts = dynamic[gre]",
		"        remote_ts = dynamic[gre]",
	}
	if !g.isHub() {
		c = append(c, "        start_action = trap")
	}
	for _, line := range pair.child {
		c = append(c, "        "+line)
	}
	return append(c, "      }", "    }")
}

// strongSwanFiles are those of a guest's configuration that make strongSwan protect its GRE.
func (g *guest) strongSwanFiles() map[string]string {
	files := map[string]string{"swanctl.conf": g.swanctl(), "strongswan.conf": quickCharon}
	for _, p := range g.partners {
		pair := g.pair(p)
		if !pair.certificate {
			continue
		}
		e := g.s.entity(g.spec, pair)
		files["x509/"+pair.name+".pem"] = string(e.CertPEM())
		files["private/"+pair.name+".pem"] = string(e.KeyPEM())
		files["x509ca/root.pem"] = string(g.s.pki().root.CertPEM())
		files["x509ca/intermediate.pem"] = string(g.s.pki().intermediate.CertPEM())
	}
	return files
}

// quickCharon gives up sooner than charon would by itself, which is after 165 s, and makes a new IKE SA when it is told to
// initiate.
const quickCharon = `charon {
  reuse_ikesa = no
  retransmit_timeout = 0.5
  retransmit_base = 1.4
  retransmit_tries = 4
  fragment_size = 600
  filelog {
    lab {
      ike = 2
      cfg = 2
      knl = 1
    }
  }
}
`

// swanSA is an IKE SA of a guest, with its children.
type swanSA map[string]any

func (s swanSA) get(key string) string {
	v, _ := s[key].(string)
	return v
}

// children are the child SAs in a state, by default those in use.
func (s swanSA) children(state string) (all []swanSA) {
	children, _ := s["child-sas"].(map[string]any)
	for _, name := range sortedKeys(children) {
		if c, ok := children[name].(map[string]any); ok && swanSA(c).get("state") == state {
			all = append(all, c)
		}
	}
	return all
}

// row is what was negotiated for a child, in strongSwan's words.
func (s swanSA) row() string {
	words := []string{s.get("mode"), s.get("encr-alg")}
	for _, key := range []string{"encr-keysize", "integ-alg", "integ-keysize"} {
		if v := s.get(key); v != "" {
			words = append(words, v)
		}
	}
	for _, flag := range []string{"esn", "encap"} {
		if v := s.get(flag); v == "1" || v == "yes" {
			words = append(words, flag)
		}
	}
	return strings.Join(words, " ")
}

// sas are a guest's IKE SAs, by connection.
func (g *guest) sas() (map[string][]swanSA, error) {
	out, err := g.run("swanctl", "--list-sas", "--raw")
	if err != nil {
		return nil, err
	}
	all := map[string][]swanSA{}
	for line := range strings.Lines(out) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "list-sa event ")
		if !ok {
			continue
		}
		section, err := parseVICI(text)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, text)
		}
		for name := range section {
			if sa, ok := section[name].(map[string]any); ok {
				all[name] = append(all[name], sa)
			}
		}
	}
	return all, nil
}

// one wants a connection to have exactly one IKE SA with exactly one child SA in use, and gives both.
func (g *guest) one(connection string) (sa, child swanSA, err error) {
	all, err := g.sas()
	if err != nil {
		return nil, nil, err
	}
	return only(all[connection])
}

// only is the one IKE SA and its one child SA in use, where there are no others.
func only(all []swanSA) (sa, child swanSA, err error) {
	if len(all) != 1 || all[0].get("state") != "ESTABLISHED" {
		return nil, nil, fmt.Errorf("strongSwan has %d IKE SAs: %v", len(all), all)
	}
	children := all[0].children("INSTALLED")
	if len(children) != 1 {
		return nil, nil, fmt.Errorf("strongSwan has %d child SAs: %v", len(children), all[0])
	}
	return all[0], children[0], nil
}

// spis tell one IKE SA from another.
func (s swanSA) spis() string { return s.get("initiator-spi") + s.get("responder-spi") }

// swanctlEach runs a command of swanctl's for each connection, one after the other: the guest has one CPU.
func (g *guest) swanctlEach(names []string, options ...string) {
	g.s.t.Helper()
	const script = `status=0; for name in $0; do swanctl "$@" "$name" || { echo "of $name"; status=1; }; done; exit $status`
	g.must(append([]string{"bash", "-c", script, strings.Join(names, " ")}, options...)...)
}

var errVICI = errors.New("not what swanctl prints")

// parseVICI reads what `swanctl --raw` prints: {key=value section {…} list=[a b]}.
func parseVICI(text string) (map[string]any, error) {
	p := viciParser{rest: strings.TrimSpace(text)}
	if !p.skip("{") {
		return nil, errVICI
	}
	return p.section()
}

type viciParser struct{ rest string }

func (p *viciParser) skip(s string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " "), s)
	if ok {
		p.rest = rest
	}
	return ok
}

// until takes what is before the first of the characters.
func (p *viciParser) until(stop string) (string, error) {
	i := strings.IndexAny(p.rest, stop)
	if i < 0 {
		return "", errVICI
	}
	s := p.rest[:i]
	p.rest = p.rest[i:]
	return s, nil
}

func (p *viciParser) section() (map[string]any, error) {
	all := map[string]any{}
	for !p.skip("}") {
		p.rest = strings.TrimLeft(p.rest, " ")
		key, err := p.until("={")
		if err != nil {
			return nil, err
		}
		if all[strings.TrimSpace(key)], err = p.value(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// value is a section, a list, or a word. A word may hold spaces, as an identity does: it ends where a key, or the end, follows.
func (p *viciParser) value() (any, error) {
	if p.skip("{") {
		return p.section()
	}
	p.skip("=")
	if p.skip("[") {
		return p.list()
	}
	var words []string
	for {
		word, err := p.until(" }")
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		next := strings.TrimLeft(p.rest, " ")
		if end := strings.IndexAny(next, "={} "); end < 0 || next[end] != ' ' || strings.HasPrefix(next[end:], " {") {
			return strings.Join(words, " "), nil
		}
		p.rest = next
	}
}

// list reads up to its end. What is in it may have brackets of its own, as selectors have.
func (p *viciParser) list() ([]string, error) {
	depth := 1
	for i, c := range p.rest {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		}
		if depth == 0 {
			all := strings.Fields(p.rest[:i])
			p.rest = p.rest[i+1:]
			return all, nil
		}
	}
	return nil, errVICI
}

// restartCharon ends charon as a power cut would, with the kernel's SAs, and starts it anew.
func (g *guest) restartCharon() {
	g.s.t.Helper()
	g.must("bash", "-c", `kill -9 $(pidof charon); ip xfrm state flush; ip xfrm policy flush; rm -f /run/charon.vici /run/charon.pid
		setsid /usr/lib/ipsec/charon </dev/null >/dev/null 2>&1 & for i in {1..200}; do [[ -S /run/charon.vici ]] && break; sleep 0.1; done
		swanctl --load-all`)
}

// charonLog is what charon wrote last.
func (g *guest) charonLog(count int) string {
	out, _ := g.s.try("tail", "-n", fmt.Sprint(count), filepath.Join(g.s.run, g.name, "log", "charon.log"))
	return out
}

func TestParseVICI(t *testing.T) {
	const text = `{hub {version=2 remote-id=a b remote-vips=[] child-sas {hub-2 {mode=TUNNEL local-ts=[10.0.0.2/32[gre] 10.0.0.3/32] spi-in=c1}}}}`
	got, err := parseVICI(text)
	want := map[string]any{"hub": map[string]any{
		"version": "2", "remote-id": "a b", "remote-vips": []string(nil), "child-sas": map[string]any{
			"hub-2": map[string]any{"mode": "TUNNEL", "local-ts": []string{"10.0.0.2/32[gre]", "10.0.0.3/32"}, "spi-in": "c1"},
		}}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
	for i := range text {
		if _, err := parseVICI(text[:i]); err == nil {
			t.Errorf("parsed %s", text[:i])
		}
	}
}
