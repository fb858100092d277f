package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fault is a segment on which an end has something that keeps ours and the other apart.
type fault struct {
	name    string
	ours    port
	theirs  port
	problem string // the word of `show ospf problems`
	v2      bool   // in OSPFv2 alone
	full    bool   // they are adjacent all the same
	repair  []string
}

var faults = []fault{
	{name: "RFC 2328 8.2: another area", ours: port{area: 1}, theirs: port{area: 2}, problem: "area",
		repair: []string{"no ip ospf area 2", "ip ospf area 1", "no ipv6 ospf6 area 2", "ipv6 ospf6 area 1"}},
	{name: "RFC 2328 10.5: another hello interval", theirs: port{hello: 2}, problem: "timer",
		repair: []string{"ip ospf hello-interval 1", "ipv6 ospf6 hello-interval 1"}},
	{name: "RFC 2328 10.5: another dead interval", theirs: port{dead: 8}, problem: "timer",
		repair: []string{"ip ospf dead-interval 4", "ipv6 ospf6 dead-interval 4"}},
	{name: "RFC 2328 10.5: another mask", theirs: port{bits: 25}, problem: "mask", v2: true},
	{name: "RFC 2328 D.4.3: another MD5 key", ours: port{key: key{"md5", "right"}}, theirs: port{key: key{"md5", "wrong"}}, problem: "authentication", v2: true,
		repair: []string{"no ip ospf message-digest-key 7", "ip ospf message-digest-key 7 md5 right"}},
	{name: "RFC 2328 8.2: no authentication", ours: port{key: key{"md5", "right"}}, problem: "authentication", v2: true},
	{name: "RFC 5709, 7166: another HMAC key", ours: port{key: key{"hmac-sha-256", "right"}}, theirs: port{key: key{"hmac-sha-256", "wrong"}}, problem: "authentication"},
	{name: "RFC 2328 10.6: a smaller MTU of theirs", theirs: port{mtu: 1400}, problem: "mtu",
		repair: []string{"ip ospf mtu-ignore", "ipv6 ospf6 mtu-ignore"}},
	{name: "RFC 2328 10.6: a larger MTU of theirs", ours: port{mtu: 1400}, problem: "mtu"},
	{name: "RFC 2328 9.1: another kind of network", ours: port{network: p2p}, problem: "network-type", full: true},
	{name: "RFC 2328 10.5: an area of another kind", ours: port{area: 3}, theirs: port{area: 3}, problem: "area-kind"},
}

const twin = 50 // the segment of the one with our router ID

// TestOSPFProblems has something wrong on each of its segments, one thing on each, and all of them named.
func TestOSPFProblems(t *testing.T) {
	w := newWorld(t)
	ours := place{name: "ours", make: "ours", number: 1, areas: map[int]area{3: {kind: "stub"}}}
	theirs := place{name: "frr", make: "frr", number: 2}
	for i, f := range faults {
		a, b := f.ours, f.theirs
		a.segment, b.segment = i+1, i+1
		if f.v2 {
			a.only, b.only = v2, v2
		}
		ours.ports, theirs.ports = append(ours.ports, a), append(theirs.ports, b)
	}
	ours.ports = append(ours.ports, port{segment: twin})
	other := place{name: "bird", make: "bird", number: 3, id: 1, ports: []port{{segment: twin}}}
	made := w.start(ours, theirs, other)
	c := &problems{world: w, ours: made[0], frr: made[1]}
	for i, f := range faults {
		w.part(f.name, func() { c.named(i+1, f) })
	}
	w.part("RFC 2328 5: our router ID elsewhere", func() { c.named(twin, fault{problem: "router-id"}) })
	w.part("what is repaired comes up, and is no problem any more", c.repaired)
	w.decoded()
}

type problems struct {
	*world
	ours, frr *member
}

// rows are the problems on an interface, as "INSTANCE WORD".
func (c *problems) rows(segment int) (all []string, err error) {
	var rows []struct{ Instance, Interface, Problem, Detail, Remedy string }
	err = c.ours.node.show(&rows, "ospf", "problems")
	for _, r := range rows {
		if r.Interface == (port{segment: segment}).name() && r.Detail != "" && r.Remedy != "" {
			all = append(all, r.Instance+" "+r.Problem)
		}
	}
	return all, err
}

// named wants the problem of a segment in `show ospf problems` and in `why`.
func (c *problems) named(segment int, f fault) {
	name := port{segment: segment}.name()
	want := []string{"ospf " + f.problem}
	if !f.v2 {
		want = append(want, "ospfv3 "+f.problem)
	}
	c.within(30*time.Second, "`show ospf problems` names it: "+f.problem, has(func() ([]string, error) { return c.rows(segment) }, want...))
	stages := c.ours.node.why(name)
	if !slices.ContainsFunc(stages, func(s stage) bool { return s.State == "failed" && s.Remedy != "" && strings.Contains(s.Detail, name) }) {
		c.t.Errorf("why %s says %+v", name, stages)
	}
	if full, err := c.ours.fullWith(v2); err != nil || !f.full && slices.ContainsFunc(full, func(row string) bool { return strings.HasPrefix(row, name+" ") }) {
		c.t.Errorf("%s: %v, %v", name, full, err)
	}
}

func (c *problems) repaired() {
	for i, f := range faults {
		if f.repair != nil {
			c.frr.configure(append([]string{"interface " + port{segment: i + 1}.name()}, f.repair...)...)
		}
	}
	for i, f := range faults {
		if f.repair == nil {
			continue
		}
		name := port{segment: i + 1}.name()
		versions := []string{v2, v3}
		if f.v2 {
			versions = versions[:1]
		}
		for _, v := range versions {
			c.within(60*time.Second, fmt.Sprintf("%s: full in %s", f.name, v), has(func() ([]string, error) { return c.ours.fullWith(v) }, name+" "+c.frr.routerID()))
		}
		c.within(20*time.Second, f.name+": the problem is over", lacks(func() ([]string, error) { return c.rows(i + 1) }, "ospf "+f.problem, "ospfv3 "+f.problem))
	}
}
