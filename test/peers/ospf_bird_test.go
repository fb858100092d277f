package peers

import (
	"fmt"
	"strings"
)

// birdNames are the names of BIRD's protocols.
var birdNames = map[string]string{v2: "o2", v3: "o3", v3ipv4: "o4"}

// birdConfig is the configuration of a BIRD.
func (p place) birdConfig() string {
	c := []string{`log "/lab/log/bird.log" all;`, "router id " + p.routerID() + ";", "protocol device { scan time 2; }",
		"protocol kernel { ipv4 { export where source != RTS_DEVICE && source != RTS_STATIC; }; merge paths yes; }",
		"protocol kernel { ipv6 { export where source != RTS_DEVICE && source != RTS_STATIC; }; merge paths yes; }"}
	for family, ipv6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		c = append(c, "protocol static { "+family+";")
		for _, to := range p.prefixes(ipv6) {
			c = append(c, fmt.Sprintf("  route %s blackhole;", to))
		}
		if p.defaults {
			c = append(c, "  route "+map[bool]string{false: "0.0.0.0/0", true: "::/0"}[ipv6]+" unreachable { ospf_metric1 = 5; };")
		}
		c = append(c, "}")
	}
	for _, v := range p.speaking() {
		c = append(c, p.birdInstance(v)...)
	}
	return lines(append(c, p.more...)...)
}

func (p place) birdInstance(v string) []string {
	head := map[string]string{v2: "protocol ospf v2 o2 {", v3: "protocol ospf v3 o3 {", v3ipv4: "protocol ospf v3 o4 {"}[v]
	family := map[string]string{v2: "ipv4", v3: "ipv6", v3ipv4: "ipv4"}[v]
	c := []string{head, " " + family + " { import all; export " + p.birdFilter() + "; };"}
	for _, line := range p.text[v] {
		c = append(c, " "+line)
	}
	for _, id := range p.areaIDs(v) {
		c = append(c, fmt.Sprintf(" area %d {", id))
		c = append(c, p.areas[id].bird(v)...)
		for _, q := range p.in(v) {
			if q.area == id {
				c = append(c, q.bird(v)...)
			}
		}
		c = append(c, " };")
	}
	return append(c, "}")
}

func (p place) birdFilter() string {
	x := p.externals
	if x == nil {
		if p.defaults {
			return "where source = RTS_STATIC"
		}
		return "none"
	}
	return fmt.Sprintf("filter { if source != RTS_STATIC then reject; if ! defined(ospf_metric1) then ospf_metric%d = %d; ospf_tag = %d; accept; }", or(x.kind, 2), or(x.metric, 20), x.tag)
}

func (a area) bird(v string) (c []string) {
	if a.kind != "" {
		c = append(c, "  "+a.kind+";")
		if a.noSummary {
			c = append(c, "  summary no;")
		} else {
			c = append(c, "  summary yes;")
		}
		if a.defaults {
			c = append(c, "  default nssa yes; default cost2 1;")
		}
	}
	if a.translate {
		c = append(c, "  translator yes;")
	}
	if r := ofFamily(a.ranges, v); len(r) > 0 {
		c = append(c, "  networks { "+strings.Join(r, "; ")+"; };")
	}
	if r := ofFamily(a.nssaRanges, v); len(r) > 0 {
		c = append(c, "  external { "+strings.Join(r, "; ")+"; };")
	}
	return c
}

func (q port) bird(v string) []string {
	c := []string{fmt.Sprintf("  interface %q {", q.name()), fmt.Sprintf("   cost %d;", q.costOr())}
	if q.passive {
		return append(c, "   stub yes;", "  };")
	}
	c = append(c, fmt.Sprintf("   hello %d; dead %d; retransmit 2; priority %d; poll 2;", q.helloSeconds(), q.deadSeconds(), q.priorityOr()))
	switch q.network {
	case "point-to-point", "spoke":
		c = append(c, "   type ptp;")
	case "point-to-multipoint":
		c = append(c, "   type ptmp;")
	case "nbma":
		c = append(c, "   type nbma;")
	default:
		c = append(c, "   type broadcast;")
	}
	if q.peers != nil {
		c = append(c, "   neighbors {")
		for _, n := range q.peers {
			eligible := ""
			if q.is("nbma") {
				eligible = " eligible"
			}
			c = append(c, "    "+q.neighbor(v, n)+eligible+";")
		}
		c = append(c, "   };")
	}
	return append(append(c, q.key.bird(v)...), "  };")
}

func (k key) bird(v string) []string {
	switch {
	case k.algorithm == "simple" && v == v2:
		return []string{"   authentication simple;", fmt.Sprintf("   password %q;", k.secret)}
	case k.algorithm == "md5" && v == v2:
		return []string{"   authentication cryptographic;", fmt.Sprintf("   password %q { id %d; algorithm keyed md5; };", k.secret, k.id())}
	case k.hashed():
		algorithm := strings.Replace(k.algorithm, "hmac-sha-", "hmac sha", 1)
		return []string{"   authentication cryptographic;", fmt.Sprintf("   password %q { id %d; algorithm %s; };", k.secret, k.id(), algorithm)}
	}
	return nil
}
