package peers

import (
	"fmt"
	"strings"
)

// instances are our words for versions.
var instances = map[string]string{v2: "ospf", v3: "ospfv3", v3ipv4: "ospfv3-ipv4"}

// ourConfig is the configuration of one of ours.
func (p place) ourConfig() string {
	y := []string{"version: 1", "node: " + p.name}
	if p.externals != nil {
		y = append(y, "routes:")
		for _, ipv6 := range []bool{false, true} {
			for _, to := range p.prefixes(ipv6) {
				y = append(y, fmt.Sprintf("  - {to: %q, blackhole: true}", to))
			}
		}
	}
	for _, v := range p.speaking() {
		y = append(y, p.ourInstance(v)...)
	}
	return lines(append(y, p.more...)...)
}

func (p place) ourInstance(v string) []string {
	y := []string{instances[v] + ":", "  router-id: " + p.routerID()}
	for _, line := range p.text[v] {
		y = append(y, "  "+line)
	}
	if x := p.externals; x != nil {
		y = append(y, fmt.Sprintf("  redistribute: [{from: static, type: %d, metric: %d, tag: %d}]", or(x.kind, 2), or(x.metric, 20), x.tag))
		if s := ofFamily(x.summaries, v); len(s) > 0 {
			y = append(y, "  summaries: "+prefixList(s))
		}
	}
	if p.defaults {
		y = append(y, "  default-route: {always: true, type: 1, metric: 5}")
	}
	y = append(y, "  areas:")
	for _, id := range p.areaIDs(v) {
		y = append(y, fmt.Sprintf("    %d:", id))
		y = append(y, p.areas[id].yaml(v)...)
		y = append(y, "      interfaces:")
		for _, q := range p.in(v) {
			if q.area == id {
				y = append(y, "        "+q.yaml(v))
			}
		}
	}
	return y
}

func (a area) yaml(v string) (y []string) {
	if a.kind != "" {
		y = append(y, "      type: "+a.kind)
	}
	if a.noSummary {
		y = append(y, "      summary: false")
	}
	if a.translate {
		y = append(y, "      translate: true")
	}
	if a.defaults {
		y = append(y, "      default-route: true")
	}
	if r := ofFamily(a.ranges, v); len(r) > 0 {
		y = append(y, "      ranges: "+prefixList(r))
	}
	if r := ofFamily(a.nssaRanges, v); len(r) > 0 {
		y = append(y, "      nssa-ranges: "+prefixList(r))
	}
	return y
}

func prefixList(all []string) string {
	var items []string
	for _, p := range all {
		items = append(items, fmt.Sprintf("{prefix: %q}", p))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// ofFamily are the prefixes that a version carries.
func ofFamily(all []string, v string) (mine []string) {
	for _, p := range all {
		if strings.Contains(p, ":") == (v == v3) {
			mine = append(mine, p)
		}
	}
	return mine
}

func (q port) yaml(v string) string {
	if q.passive {
		return fmt.Sprintf("%s: {passive: true, cost: %d}", q.name(), q.costOr())
	}
	y := []string{fmt.Sprintf("hello: %ds, dead: %ds, retransmit: 2s, cost: %d, priority: %d", q.helloSeconds(), q.deadSeconds(), q.costOr(), q.priorityOr())}
	if q.network != "" {
		y = append(y, "network: "+q.ourNetwork())
	}
	if q.unicast {
		y = append(y, "unicast: true")
	}
	var listed []string
	for _, n := range q.peers {
		listed = append(listed, fmt.Sprintf("{address: %q}", q.neighbor(v, n)))
	}
	if listed != nil {
		y = append(y, "poll: 2s, neighbors: ["+strings.Join(listed, ", ")+"]")
	}
	if q.key.algorithm != "" && (v == v2 || q.key.hashed()) {
		y = append(y, fmt.Sprintf("authentication: [{id: %d, algorithm: %s, key: %q}]", q.key.id(), q.key.algorithm, q.key.secret))
	}
	return fmt.Sprintf("%s: {%s}", q.name(), strings.Join(y, ", "))
}

// hashed reports whether OSPFv3 has the algorithm too (RFC 7166).
func (k key) hashed() bool { return strings.HasPrefix(k.algorithm, "hmac") }

// id is the number of the key.
func (k key) id() int {
	if k.algorithm == "simple" {
		return 0
	}
	return 7
}

func (q port) ourNetwork() string {
	if q.is("spoke") {
		return "point-to-point"
	}
	return q.network
}
