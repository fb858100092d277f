package kernel

import (
	"fmt"
	"net/netip"

	"github.com/spokeway/spokeway/internal/rib"
)

// Standing is how the kernel's table stands to what the RIB selects for a prefix.
type Standing struct {
	Installed bool   // the kernel forwards by the selection
	Why       string // why not; or what is to be known of it
}

// Standing tells whether a selected route is in the kernel.
func (m *Module) Standing(r rib.Route) Standing {
	e := m.entries[table{r.VRF, r.Prefix.Masked()}]
	switch {
	case e == nil:
		return Standing{Why: "not looked at yet"}
	case r.Protocol == rib.Connected, r.Protocol == rib.Kernel && !r.Override:
		return Standing{Installed: true}
	case e.refused != "":
		return Standing{Why: e.refused}
	}
	write, lent, problem := m.plan(e)
	switch {
	case problem != "":
		return Standing{Why: problem}
	case lent != nil:
		return Standing{Installed: true, Why: fmt.Sprintf("the kernel has the route of %s out of the same tunnel; the next hop is the data plane's", e.foreign().author())}
	case write == nil:
		return Standing{Why: m.unusable(r.NextHops)}
	case !e.has(*write):
		return Standing{Why: "on its way into the kernel"}
	}
	return m.written(e, *write, r)
}

// written is the standing of a route that is in the kernel.
func (m *Module) written(e *entry, w Route, r rib.Route) Standing {
	if b := e.best(); b.Metric != w.Metric {
		return Standing{Why: fmt.Sprintf("in the kernel beneath the route of %s with metric %d", b.author(), b.Metric)}
	}
	if len(w.NextHops) < len(r.NextHops) {
		return Standing{Installed: true, Why: "in part: " + m.unusable(r.NextHops)}
	}
	return Standing{Installed: true}
}

// unusable says which interface keeps a next hop out of the kernel.
func (m *Module) unusable(hops []rib.NextHop) string {
	for _, h := range hops {
		if l, here := m.links[h.Interface]; !here {
			return fmt.Sprintf("interface %s is not there", h.Interface)
		} else if !l.Up {
			return fmt.Sprintf("interface %s is down", h.Interface)
		}
	}
	return "no next hop that the kernel would take"
}

// authors are the rtnetlink protocol numbers that an operator meets (rtnetlink.h, iproute2's rt_protos).
var authors = map[uint8]string{2: "the kernel", 3: "ip route at boot", 4: "ip route", 9: "a router advertisement", 12: "BIRD", 16: "DHCP",
	17: "mrouted", 18: "keepalived", 42: "Babel", Protocol: "ours", 186: "BGP", 187: "IS-IS", 188: "OSPF", 189: "RIP", 192: "EIGRP", 196: "zebra"}

func (l *Learned) author() string {
	if name, ok := authors[l.Protocol]; ok {
		return name
	}
	return fmt.Sprintf("program %d", l.Protocol)
}

// GuardRow is one guard.
type GuardRow struct {
	Prefix   netip.Prefix
	Metric   uint32
	Learned  bool   // otherwise the configuration names it
	Standing bool   // in the kernel
	Alone    bool   // nothing else is there for the prefix: what it matches is dropped
	Why      string // why it is not in the kernel
}

// Guarded are the prefixes that have guards, in no order.
func (m *Module) Guarded() (all []netip.Prefix) {
	for _, e := range m.entries {
		if e.guards != (guards{}) {
			all = append(all, e.table.prefix)
		}
	}
	return all
}

// GuardsAt are the guards of a prefix: two at most.
func (m *Module) GuardsAt(p netip.Prefix) (rows []GuardRow) {
	e := m.entries[table{"", p}]
	if e == nil {
		return nil
	}
	for kind, g := range e.guards {
		if g.wanted || g.standing {
			rows = append(rows, GuardRow{
				Prefix: p, Metric: guardMetrics[kind], Learned: kind == learned, Standing: g.standing, Alone: g.standing && e.best() == nil, Why: g.refused,
			})
		}
	}
	return rows
}
