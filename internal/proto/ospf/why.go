package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Stage is a step on the way to an adjacency of an instance, which names it: ok, waiting or failed.
type Stage struct{ Name, State, Detail, Remedy string }

// stages of a conversation, in words.
var stageWords = [...]struct{ detail, remedy string }{
	neighborDown: {"nothing is heard of it", "see that multicast to 224.0.0.5 or ff02::5 reaches both ends, and that both ends have OSPF on the network"},
	heardOf:      {"it is heard, and does not hear us", "see that our hellos reach it: on a tunnel by the multicast map of NHRP, and past its firewall (IP protocol 89)"},
	twoWay:       {"both hear each other, and neither is designated: no adjacency is needed", ""},
	exStart:      {"the exchange does not begin", "compare the MTU of both ends, and see that unicast packets of IP protocol 89 pass"},
	exchange:     {"the databases are compared", ""},
	loading:      {"LSAs are fetched", ""},
	full:         {"adjacent", ""},
}

// Why is how far OSPF has come with a neighbour, named by its address, its router ID or an interface: what is wrong is
// said first. It is nil when OSPF knows nothing of it.
func (m *Module) Why(peer string, now time.Duration) (stages []Stage) {
	addresses := m.addressesOf(peer)
	for _, p := range m.Problems(now) {
		if slices.Contains(addresses, p.Neighbor) || peer == p.Neighbor.String() || peer == p.Interface {
			detail := fmt.Sprintf("%v on %s: %s (%d times, last %v ago)", p.Neighbor, p.Interface, p.Detail, p.Count, seconds(p.LastAgo))
			stages = append(stages, Stage{Name: p.Instance, State: "failed", Detail: detail, Remedy: p.Remedy})
		}
	}
	for _, inst := range m.sorted() {
		for _, n := range inst.neighbors() {
			if peer == n.address.String() || peer == n.router.String() || peer == n.i.name() {
				stages = append(stages, n.stage(now))
			}
		}
	}
	return append(stages, m.missing(peer)...)
}

// addressesOf are those of neighbours by their router ID.
func (m *Module) addressesOf(router string) (list []netip.Addr) {
	for _, inst := range m.sorted() {
		for _, n := range inst.neighbors() {
			if n.router.String() == router {
				list = append(list, n.address)
			}
		}
	}
	return list
}

func (n *neighbor) stage(now time.Duration) Stage {
	w := stageWords[n.state]
	if n.held > now {
		w.detail, w.remedy = "it brought more LSAs than are kept, and is left alone for "+seconds((n.held-now).Seconds()).String(), problemWords[TooMany].remedy
	}
	if n.state == exStart && n.last == nil {
		w.detail, w.remedy = "the exchange failed several times, and begins anew soon", problemWords[BadExchange].remedy
	}
	if n.queued {
		w.detail, w.remedy = "it waits for its turn: others become adjacent first", ""
	}
	s := Stage{Name: n.inst().cfg.Name, State: "waiting", Remedy: w.remedy,
		Detail: fmt.Sprintf("%v (%v) on %s has been %v for %v: %s", n.router, n.address, n.i.name(), n.state, seconds((now - n.since).Seconds()), w.detail)}
	if n.state == full || n.state == twoWay && !n.queued {
		s.State = "ok"
	}
	if s.State != "ok" && n.state < exchange && now-n.since > n.i.cfg.Dead {
		s.State = "failed"
	}
	return s
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

// alone is about an interface without neighbours: it is not up, has nobody to look for, or hears nobody.
func (i *iface) alone() []Stage {
	w := stageWords[neighborDown]
	switch {
	case i.state == down:
		return []Stage{{Name: i.area.inst.cfg.Name, State: "failed", Detail: "no OSPF on " + i.name() + ": " + i.reason}}
	case len(i.neighbors) > 0:
		return nil
	case i.cfg.Passive || i.cfg.Network == Loopback:
		return []Stage{{Name: i.area.inst.cfg.Name, State: "ok", Detail: "no neighbour is looked for on " + i.name() + ", which is " + i.state.String() + ": its network is told of"}}
	}
	return []Stage{{Name: i.area.inst.cfg.Name, State: "waiting", Detail: "no neighbour has been met on " + i.name(), Remedy: w.remedy}}
}

// missing is about interfaces without neighbours, and configured neighbours that are silent.
func (m *Module) missing(peer string) (stages []Stage) {
	for _, inst := range m.sorted() {
		for _, i := range inst.interfaces() {
			if peer == i.name() {
				stages = append(stages, i.alone()...)
			}
			for _, p := range i.cfg.Neighbors {
				if peer == p.Address.String() && i.neighborAt(p.Address) == nil {
					w := stageWords[neighborDown]
					stages = append(stages, Stage{Name: inst.cfg.Name, State: "failed", Detail: peer + " on " + i.name() + ": " + w.detail, Remedy: w.remedy})
				}
			}
		}
	}
	return stages
}
