package peers

import (
	"fmt"
	"strings"
)

// frrConfig is the configuration of an FRR.
func (p place) frrConfig() string {
	c := []string{"frr defaults traditional", "hostname " + p.name}
	for family, ipv6 := range map[string]bool{"ip": false, "ipv6": true} {
		for _, to := range p.prefixes(ipv6) {
			if !p.byKernel() {
				c = append(c, fmt.Sprintf("%s route %s Null0 tag %d", family, to, or(p.externals.tag, 1)))
			}
		}
	}
	for _, q := range p.ports {
		if q.key.hashed() {
			c = append(c, "key chain "+q.name(), fmt.Sprintf(" key %d", q.key.id()), "  key-string "+q.key.secret,
				"  cryptographic-algorithm "+q.key.algorithm, " exit", "exit")
		}
	}
	for _, q := range p.ports {
		c = append(c, "interface "+q.name())
		if p.speaks(v2) && q.speaks(v2) {
			c = append(c, q.frr2()...)
		}
		if p.speaks(v3) && q.speaks(v3) {
			c = append(c, q.frr3()...)
		}
		c = append(c, "exit")
	}
	if p.speaks(v2) {
		c = append(c, p.frrInstance("router ospf", v2)...)
	}
	if p.speaks(v3) {
		c = append(c, p.frrInstance("router ospf6", v3)...)
	}
	return lines(append(c, p.more...)...)
}

func (q port) frr2() []string {
	c := []string{fmt.Sprintf(" ip ospf area %d", q.area), fmt.Sprintf(" ip ospf cost %d", q.costOr())}
	if q.passive {
		return append(c, " ip ospf passive")
	}
	c = append(c, fmt.Sprintf(" ip ospf hello-interval %d", q.helloSeconds()), fmt.Sprintf(" ip ospf dead-interval %d", q.deadSeconds()),
		fmt.Sprintf(" ip ospf priority %d", q.priorityOr()), " ip ospf retransmit-interval 2")
	if words := q.frrNetwork(); words != "" {
		c = append(c, " ip ospf network "+words)
	}
	switch {
	case q.key.algorithm == "simple":
		c = append(c, " ip ospf authentication", " ip ospf authentication-key "+q.key.secret)
	case q.key.algorithm == "md5":
		c = append(c, " ip ospf authentication message-digest", fmt.Sprintf(" ip ospf message-digest-key %d md5 %s", q.key.id(), q.key.secret))
	case q.key.hashed():
		c = append(c, " ip ospf authentication key-chain "+q.name())
	}
	return c
}

func (q port) frrNetwork() string {
	switch {
	case q.is("nbma"):
		return "non-broadcast"
	case q.is("point-to-multipoint") && q.unicast:
		return "point-to-multipoint non-broadcast"
	case q.is("spoke"): // against a hub that has point-to-multipoint
		return "point-to-point dmvpn"
	}
	return q.network
}

// frr3 names the area last: ospf6d may die when the kind of an interface changes that has begun to send.
func (q port) frr3() []string {
	begin := fmt.Sprintf(" ipv6 ospf6 area %d", q.area)
	c := []string{fmt.Sprintf(" ipv6 ospf6 cost %d", q.costOr())}
	if q.passive {
		return append(c, " ipv6 ospf6 passive", begin)
	}
	c = append(c, fmt.Sprintf(" ipv6 ospf6 hello-interval %d", q.helloSeconds()), fmt.Sprintf(" ipv6 ospf6 dead-interval %d", q.deadSeconds()),
		fmt.Sprintf(" ipv6 ospf6 priority %d", q.priorityOr()), " ipv6 ospf6 retransmit-interval 2")
	switch q.network {
	case "spoke":
		c = append(c, " ipv6 ospf6 network point-to-point")
	case "point-to-point", "point-to-multipoint":
		c = append(c, " ipv6 ospf6 network "+q.network)
	}
	if q.key.hashed() {
		c = append(c, " ipv6 ospf6 authentication keychain "+q.name())
	}
	return append(c, begin)
}

func (p place) frrInstance(head, v string) []string {
	c := []string{head, " " + strings.TrimPrefix(head, "router ") + " router-id " + p.routerID(), " timers throttle spf 50 200 1000", " timers lsa min-arrival 500"}
	if v == v2 {
		c = append(c, " timers throttle lsa all 500")
	}
	for _, line := range p.text[v] {
		c = append(c, " "+line)
	}
	if x := p.externals; x != nil {
		from := map[bool]string{false: "static", true: "kernel"}[p.byKernel()]
		c = append(c, fmt.Sprintf(" redistribute %s metric %d metric-type %d", from, or(x.metric, 20), or(x.kind, 2)))
		for _, s := range ofFamily(x.summaries, v) {
			c = append(c, " summary-address "+s)
		}
	}
	if p.defaults {
		c = append(c, " default-information originate always metric 5 metric-type 1")
	}
	for _, id := range p.areaIDs(v) {
		c = append(c, p.areas[id].frr(id, v)...)
	}
	for _, q := range p.ports {
		if v == v2 && (q.is("nbma") || q.unicast) {
			for _, n := range q.peers {
				c = append(c, fmt.Sprintf(" neighbor %s poll-interval 2", q.address(n)))
			}
		}
	}
	return append(c, "exit")
}

func (a area) frr(id int, v string) (c []string) {
	if a.kind != "" {
		words := fmt.Sprintf(" area %d %s", id, a.kind)
		if a.noSummary {
			words += " no-summary"
		}
		if a.translate && v == v2 {
			words += " translate-always"
		}
		if a.defaults {
			words += " default-information-originate metric 1 metric-type 2"
		}
		c = append(c, words)
	}
	for _, r := range ofFamily(a.ranges, v) {
		c = append(c, fmt.Sprintf(" area %d range %s", id, r))
	}
	for _, r := range ofFamily(a.nssaRanges, v) {
		c = append(c, fmt.Sprintf(" area %d nssa range %s", id, r))
	}
	return c
}
