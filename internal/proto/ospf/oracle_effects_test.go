package ospf

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spokeway/spokeway/internal/rib"
)

// hInstall is {"RouteIpAdd": {...}}.
type hInstall struct {
	Prefix   netip.Prefix `json:"prefix"`
	Distance int          `json:"distance"`
	Metric   uint32       `json:"metric"`
	NextHops []struct {
		Address *struct {
			Index int        `json:"ifindex"`
			Addr  netip.Addr `json:"addr"`
		}
	} `json:"nexthops"`
}

// compareInstalled compares the routes that were given to the routing table: the last word on each prefix. All says that
// there are no others.
func (p *player) compareInstalled(lines []hObject, all bool) {
	want, named := hSet{}, map[netip.Prefix]string{}
	for _, d := range lines {
		kind, raw := hEvent(d)
		var x hInstall
		if json.Unmarshal(raw, &x) != nil || !x.Prefix.IsValid() {
			continue
		}
		switch kind {
		case "RouteIpAdd":
			named[x.Prefix] = p.installed(x)
		case "RouteIpDel":
			named[x.Prefix] = ""
		}
	}
	for _, line := range named {
		if line != "" {
			want[line] = true
		}
	}
	got := hSet{}
	for r := range p.loop.RIB().Offers("") {
		if _, ok := named[r.Prefix]; r.Protocol == rib.OSPF && (ok || all) {
			got[p.offered(r)] = true
		}
	}
	hDifference(p.t, "routes installed", got, want)
}

func (p *player) installed(x hInstall) string {
	var hops []string
	for _, h := range x.NextHops {
		if h.Address != nil {
			hops = append(hops, h.Address.Addr.String()+" "+p.indexed(h.Address.Index))
		}
	}
	slices.Sort(hops)
	return fmt.Sprint(x.Prefix, " metric ", x.Metric, p.distance(x.Distance), " by ", hops)
}

func (p *player) indexed(n int) string {
	for _, l := range p.links {
		if l.Index == n {
			return l.Name
		}
	}
	return ""
}

// distance is nothing where the case is about the line "preference" of the list.
func (p *player) distance(n int) string {
	if yOSPF(p.tree)["preference"] != nil {
		return ""
	}
	return fmt.Sprint(" distance ", n)
}

func (p *player) offered(r rib.Route) string {
	var hops []string
	for _, h := range r.NextHops {
		hops = append(hops, h.Via.String()+" "+h.Interface)
	}
	slices.Sort(hops)
	return fmt.Sprint(r.Prefix, " metric ", r.Metric, p.distance(int(r.Distance)), " by ", hops)
}

// hProblems are what the recordings call mistakes of configuration.
var hProblems = map[string]Problem{"area-mismatch": WrongArea, "net-mask-mismatch": WrongMask, "hello-interval-mismatch": WrongTimer,
	"dead-interval-mismatch": WrongTimer, "option-mismatch": WrongAreaKind, "mtu-mismatch": WrongMTU, "duplicate-router-id": DuplicateRouter}

// compareNotices looks for what the recordings tell an operator: mistakes of neighbours, and neighbours that we help.
func (p *player) compareNotices(lines []hObject) {
	for _, d := range lines {
		kind, raw := hEvent(d)
		var x yang
		json.Unmarshal(raw, &x)
		name := yText(x, "interface", "interface")
		switch kind {
		case "ietf-ospf:if-config-error":
			p.expectProblem(name, yText(x, "packet-source"), yText(x, "error"))
		case "ietf-ospf:nbr-restart-helper-status-change":
			n := p.neighbor(name, yang{"Value": yText(x, "neighbor-router-id")})
			if helps := n != nil && n.grace != nil; helps != (yText(x, "status") == "helping") {
				p.t.Errorf("helping %s on %s is %v: %s", yText(x, "neighbor-router-id"), name, helps, raw)
			}
		}
	}
}

func (p *player) expectProblem(name, source, word string) {
	kind, ok := hProblems[word]
	if !ok {
		return
	}
	for _, r := range p.m.Problems(p.loop.Now()) {
		if r.Interface == name && r.Neighbor.String() == source && r.Problem == kind.String() {
			return
		}
	}
	p.t.Errorf("no problem %v of %s on %s among %+v", kind, source, name, p.m.Problems(p.loop.Now()))
}
