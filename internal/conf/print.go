package conf

import (
	"regexp"
	"strconv"
	"strings"
)

// YAML prints the configuration, every default spelled out. It parses back to an equal value. Secrets that are
// not in files are in it.
func (c *Config) YAML() []byte { return printYAML(rootKeys.write(c), false) }

// Redacted is [Config.YAML] without secrets: for people, not for parsing.
func (c *Config) Redacted() []byte { return printYAML(rootKeys.write(c), true) }

// redacted stands for a secret. As a password it is too long, so that nobody loads it by accident.
const redacted = "<redacted>"

func printYAML(n *node, redact bool) []byte {
	p := printer{redact: redact}
	p.block(n, "")
	return []byte(p.String())
}

type printer struct {
	strings.Builder
	redact bool
}

// block prints the pairs of a mapping, one a line.
func (p *printer) block(n *node, indent string) {
	for _, kv := range n.pairs {
		p.WriteString(indent + quote(kv.key) + ":")
		switch v := kv.value; {
		case v.kind == mapping && len(v.pairs) > 0:
			p.WriteString("\n")
			p.block(v, indent+"  ")
		case v.kind == list && len(v.items) > 0 && v.items[0].kind == mapping:
			p.WriteString("\n")
			for _, item := range v.items {
				p.WriteString(indent + "  - " + p.flow(item) + "\n")
			}
		default:
			p.WriteString(" " + p.flow(v) + "\n")
		}
	}
}

// flow prints a value in one line.
func (p *printer) flow(n *node) string {
	var parts []string
	switch n.kind {
	case mapping:
		for _, kv := range n.pairs {
			parts = append(parts, quote(kv.key)+": "+p.flow(kv.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case list:
		for _, item := range n.items {
			part := p.flow(item)
			if item.kind == text && strings.Contains(part, ":") && part[0] != '"' {
				part = strconv.Quote(part) // some YAML parsers, ours too, see a mapping in a list within a mapping
			}
			parts = append(parts, part)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case text:
		if n.secret && p.redact {
			return quote(redacted)
		}
		return quote(n.text)
	}
	return n.text
}

var (
	bare     = regexp.MustCompile(`^[A-Za-z0-9_/:][A-Za-z0-9_./:@+-]*$`)
	notAText = regexp.MustCompile(`^(?i:true|false|yes|no|on|off|y|n|null|[0-9][0-9_.:+-]*(e[0-9+-]*)?|0[xob].*)$`)
)

// quote writes text so that it is read as text again.
func quote(s string) string {
	ip := strings.Count(s, ".") == 3 || strings.Count(s, ":") > 1
	if bare.MatchString(s) && !strings.HasSuffix(s, ":") && (ip || !notAText.MatchString(s)) {
		return s
	}
	return strconv.Quote(s)
}
