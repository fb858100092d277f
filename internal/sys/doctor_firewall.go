package sys

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A firewall's rules can say anything; these verdicts only find the plain case: input is dropped by default, and no
// rule names what we need.

// firewall looks at nftables, and at iptables where nft has nothing to say.
func (h *patient) firewall() []Check {
	var out []Check
	for _, want := range h.encapsulations() {
		out = append(out, h.admits(want))
	}
	return out
}

// need is what a firewall has to let in.
type need struct {
	name  string   // of the check
	words []string // any of which in a rule that accepts is taken for a permission
	nft   string   // the remedy
	ipt   string
}

func (h *patient) encapsulations() (needs []need) {
	udp := func(t DoctorTunnel) bool { return t.UDP }
	raw := func(t DoctorTunnel) bool { return !t.UDP }
	if slices.ContainsFunc(h.in.Tunnels, raw) {
		needs = append(needs, need{"firewall gre", []string{"gre", "47"}, "meta l4proto gre accept", "-p gre -j ACCEPT"})
	}
	if slices.ContainsFunc(h.in.Tunnels, udp) {
		needs = append(needs, need{"firewall udp 4754", []string{"4754"}, "udp dport 4754 accept", "-p udp --dport 4754 -j ACCEPT"})
	}
	return needs
}

func (h *patient) admits(n need) Check {
	rules, nftErr := h.command("nft", "-j", "list", "ruleset")
	if nftErr == nil {
		if chains := closedChains(rules, n.words); len(chains) > 0 {
			c := chains[0]
			return Check{n.name, Warn, fmt.Sprintf("chain %s drops by default and no rule accepts it", c.String()),
				fmt.Sprintf("nft insert rule %s %s", c.String(), n.nft)}
		}
	}
	saved, iptErr := h.command("iptables-save")
	if iptErr == nil && closedTable(saved, n.words) {
		return Check{n.name, Warn, "iptables chain INPUT drops by default and no rule accepts it", "iptables -I INPUT " + n.ipt}
	}
	if nftErr != nil && iptErr != nil {
		return Check{n.name, Skip, "neither nft nor iptables-save can be run here", ""}
	}
	return Check{n.name, OK, "no chain is known to drop it", ""}
}

// nftChain is an object of `nft -j`.
type nftChain struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Hook   string `json:"hook"`
	Policy string `json:"policy"`
}

func (c nftChain) String() string { return c.Family + " " + c.Table + " " + c.Name }

type nftRule struct {
	Family string          `json:"family"`
	Table  string          `json:"table"`
	Chain  string          `json:"chain"`
	Expr   json.RawMessage `json:"expr"`
}

// closedChains are the base chains at input that drop by default, in tables none of whose accepting rules
// has one of the words. Rules of other chains of the table count, since the base chain may jump there.
func closedChains(ruleset string, words []string) (closed []nftChain) {
	var doc struct {
		Objects []struct {
			Chain *nftChain `json:"chain"`
			Rule  *nftRule  `json:"rule"`
		} `json:"nftables"`
	}
	if json.Unmarshal([]byte(ruleset), &doc) != nil {
		return nil
	}
	open := map[string]bool{}
	for _, o := range doc.Objects {
		if r := o.Rule; r != nil && permits(string(r.Expr), words) {
			open[r.Family+" "+r.Table] = true
		}
	}
	for _, o := range doc.Objects {
		if c := o.Chain; c != nil && c.Hook == "input" && c.Policy == "drop" && c.Family != "bridge" && !open[c.Family+" "+c.Table] {
			closed = append(closed, *c)
		}
	}
	return closed
}

// permits is generous: a rule that accepts and mentions a word, or accepts without any condition, or asks a set or
// map whose content is not looked at.
func permits(expr string, words []string) bool {
	if !strings.Contains(expr, `"accept"`) && !strings.Contains(expr, `"vmap"`) {
		return false
	}
	if !strings.Contains(expr, `"match"`) || strings.Contains(expr, `"@`) {
		return true
	}
	return slices.ContainsFunc(words, func(w string) bool {
		return containsWord(expr, w)
	})
}

// containsWord finds w where neither a letter nor a digit touches it.
func containsWord(s, w string) bool {
	alnum := func(i int) bool {
		return i >= 0 && i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z')
	}
	for at := 0; ; at++ {
		i := strings.Index(s[at:], w)
		if i < 0 {
			return false
		}
		at += i
		if !alnum(at-1) && !alnum(at+len(w)) {
			return true
		}
	}
}

// closedTable reports whether iptables drops at INPUT by default and has no accepting rule with one of the words.
func closedTable(saved string, words []string) bool {
	filter, drops := false, false
	for line := range strings.Lines(saved) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			filter = line == "*filter"
		case filter && strings.HasPrefix(line, ":INPUT DROP"):
			drops = true
		case filter && strings.HasSuffix(line, "-j ACCEPT"):
			if line == "-A INPUT -j ACCEPT" || slices.ContainsFunc(words, func(w string) bool { return containsWord(line, w) }) {
				return false
			}
		}
	}
	return drops
}
