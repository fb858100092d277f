package router

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/query"
)

// View is what an operator sees of a router. Its methods read the router's state: they belong to the goroutine of
// the loop. A real router and a simulated one answer by the same ones.
type View struct {
	Loop    *core.Loop
	Modules Modules
	Running *conf.Config
	Plane   dataplane.Plane
	Links   map[string]core.Link // of the host
}

func (v View) now() time.Duration { return v.Loop.Now() }

// NHRP is `show nhrp`.
func (v View) NHRP() []nhrp.CacheRow { return v.Modules.NHRP.Cache(v.now()) }

// Shortcuts is `show shortcuts`.
func (v View) Shortcuts() []nhrp.ShortcutRow { return v.Modules.NHRP.Shortcuts(v.now()) }

// Peers is `show peers`.
func (v View) Peers() []nhrp.PeerRow {
	rows := v.Modules.NHRP.Peers(v.now())
	mtus := map[dataplane.SA]int{0: 0}
	for _, s := range v.Plane.SAs() {
		mtus[s.SA] = s.PathMTU
	}
	for i := range rows {
		rows[i].MTU = mtus[rows[i].SA]
	}
	return rows
}

// SAs is `show sas`.
func (v View) SAs() []ike.SARow { return v.Modules.IKE.SAs(v.now(), v.Plane.SAs()) }

// IKE is `show ike`.
func (v View) IKE() []ike.IKERow { return v.Modules.IKE.IKE(v.now()) }

// Interfaces is `show interfaces`: the tunnels, then the interfaces of the host that the configuration lists.
func (v View) Interfaces() (rows []query.InterfaceRow) {
	stats := map[string]dataplane.TunnelStats{}
	for _, s := range v.Plane.Stats() {
		stats[s.Tunnel] = s
	}
	for _, t := range v.Running.Tunnels {
		rows = append(rows, v.tunnelRow(t, stats[t.Name]))
	}
	for _, i := range v.Running.Interfaces {
		rows = append(rows, v.hostRow(i))
	}
	return rows
}

func (v View) tunnelRow(t conf.Tunnel, s dataplane.TunnelStats) query.InterfaceRow {
	row := query.InterfaceRow{
		Name: t.Name, State: "down", Underlay: t.UnderlayInterface, Encapsulation: t.Encapsulation.String(), MTU: t.MTU,
		Addresses: t.Addresses, Drops: s.Drops, PacketsIn: s.PacketsIn, PacketsOut: s.PacketsOut, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
	}
	if row.Underlay == "" {
		row.Underlay = t.UnderlayAddress.String()
	}
	if t.Key.Set {
		row.Key = &t.Key.Value
	}
	link, reason, up := v.Modules.NHRP.Tunnel(t.Name)
	row.Local, row.Reason = link.Local, reason
	if up {
		row.State, row.MTU = "up", link.MTU
	}
	return row
}

func (v View) hostRow(i conf.Interface) query.InterfaceRow {
	link, ok := v.Links[i.Name]
	row := query.InterfaceRow{Name: i.Name, State: "down", Addresses: i.Addresses, MTU: link.MTU}
	switch {
	case !ok:
		row.Reason = "the interface does not exist"
	case !link.Up:
		row.Reason = "no carrier"
	default:
		row.State = "up"
	}
	return row
}

// Timers is `show timers`.
func (v View) Timers() (rows []query.TimerRow) {
	v.Loop.Timers(func(module string, t *core.Timer) {
		rows = append(rows, query.TimerRow{
			Module: module, Name: t.Name, Of: cmp.Or(nhrp.TunnelOf(t.Of), ospf.InterfaceOf(t.Of)), ExpiresIn: (t.At() - v.now()).Seconds(),
		})
	})
	slices.SortFunc(rows, func(a, b query.TimerRow) int {
		return cmp.Or(cmp.Compare(a.ExpiresIn, b.ExpiresIn), cmp.Compare(a.Name, b.Name))
	})
	return rows
}

// Counters is `show counters`.
func (v View) Counters() []query.CounterRow {
	rows := v.controlCounters()
	for _, s := range v.Plane.Stats() {
		for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
			rows = append(rows, query.CounterRow{
				Module: "dataplane", Interface: s.Tunnel, Name: "dropped: " + reason, Value: s.Drops[reason],
			})
		}
	}
	for _, s := range v.SAs() {
		for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
			rows = append(rows, query.CounterRow{
				Module: "dataplane", Peer: s.Remote, Name: "dropped by the peer's SA: " + reason, Value: s.Drops[reason],
			})
		}
	}
	return rows
}

func (v View) controlCounters() (rows []query.CounterRow) {
	all := v.Modules.NHRP.Counters()
	for _, tunnel := range slices.Sorted(maps.Keys(all)) {
		for _, name := range slices.Sorted(maps.Keys(all[tunnel])) {
			rows = append(rows, query.CounterRow{Module: nhrp.Name, Interface: tunnel, Name: name, Value: all[tunnel][name]})
		}
	}
	counted := v.Modules.IKE.Counters()
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		rows = append(rows, query.CounterRow{Module: ike.Name, Name: name, Value: counted[name]})
	}
	for _, c := range v.Modules.BFD.Counts() {
		if c.Value > 0 {
			rows = append(rows, query.CounterRow{Module: bfd.Name, Name: c.Name, Value: c.Value})
		}
	}
	rows = append(rows, v.ospfCounters()...)
	for _, module := range slices.Sorted(maps.Keys(v.Loop.Panics)) {
		rows = append(rows, query.CounterRow{Module: module, Name: "handler panics", Value: uint64(v.Loop.Panics[module])})
	}
	return rows
}

// Config is the running configuration as canonical YAML, without secrets.
func (v View) Config() string { return string(v.Running.Redacted()) }

// Why is the way to a peer, stage by stage. What IKE knows of its protection stands before what NHRP makes of that.
func (v View) Why(peer string) (stages []nhrp.Stage, err error) {
	for _, s := range v.Modules.NHRP.Why(peer, v.now(), v.Loop.RIB()) {
		if s.Name == nhrp.StageProtection {
			below := v.protection(s)
			stages, s.Remedy = append(stages, below...), v.remedy(s, below)
		}
		stages = append(stages, s)
	}
	stages = append(stages, v.whyBFD(peer)...)
	stages = append(stages, v.whyOSPF(peer)...)
	if addr, err := netip.ParseAddr(peer); err == nil && len(stages) == 0 { // who came to us and got no further, say
		stages = fromIKE(v.Modules.IKE.Why(addr, v.now()))
	}
	stages = v.withRoute(peer, stages)
	if len(stages) == 0 {
		return nil, fmt.Errorf("why %s: %w: neither a server, a peer, a neighbour of OSPF nor a destination in a cloud; see `spokeway show peers` and `spokeway show ospf neighbors`", peer, query.ErrNotFound)
	}
	return stages, nil
}

// protection is how far IKE has come with the peer of a stage.
func (v View) protection(s nhrp.Stage) []nhrp.Stage {
	switch {
	case s.SA != 0:
		return fromIKE(v.Modules.IKE.WhySA(s.SA, v.now()))
	case s.NBMA.IsValid():
		return fromIKE(v.Modules.IKE.Why(s.NBMA, v.now()))
	}
	return nil
}

// remedy is that of a stage about protection. Where IKE has one, it is the better: it knows what was said.
func (v View) remedy(s nhrp.Stage, below []nhrp.Stage) string {
	if slices.ContainsFunc(below, func(s nhrp.Stage) bool { return s.Remedy != "" }) {
		return ""
	}
	if s.State == "failed" {
		return cmp.Or(ike.Remedy(s.Detail), s.Remedy)
	}
	return s.Remedy
}

func fromIKE(stages []ike.Stage) (rows []nhrp.Stage) {
	for _, s := range stages {
		rows = append(rows, nhrp.Stage{Name: s.Name, State: s.State, Detail: s.Detail, Remedy: s.Remedy})
	}
	return rows
}

// Clear forgets the rows of a `clear` command that filter matches and counts them.
func (v View) Clear(what, filter string) (count int, err error) {
	switch what {
	case "nhrp", "shortcuts":
		v.Loop.Post(nhrp.Name, core.Request{Body: nhrp.Clear{What: what, Filter: filter, Count: &count}})
		v.Loop.Run(v.now())
	case "ike", "sas":
		keep := func(remote, identity string) bool { return filter != "" && !query.Matches(filter, remote, identity) }
		v.Loop.Post(ike.Name, core.Request{Body: ike.Clear{Keep: keep, Count: &count}})
		v.Loop.Run(v.now())
	case "ospf":
		v.Loop.Post(ospf.Name, core.Request{Body: ospf.Clear{Filter: filter, Count: &count}})
		v.Loop.Run(v.now())
	case "guards":
		v.Loop.Post(kernel.Name, core.Request{Body: kernel.ClearGuards{Match: holding(filter), Count: &count}})
		v.Loop.Run(v.now())
	case "counters":
		v.Modules.NHRP.ClearCounters()
		v.Modules.IKE.ClearCounters()
		v.Plane.Do(dataplane.ClearStats{})
		count = len(v.Plane.Stats())
	default:
		err = fmt.Errorf("clear %s: %w", what, query.ErrNotFound)
	}
	return count, err
}

// holding reports whether a prefix is what filter names, or holds the address that it is; "" names all.
func holding(filter string) func(netip.Prefix) bool {
	named, _ := netip.ParsePrefix(filter)
	a, _ := netip.ParseAddr(filter)
	return func(p netip.Prefix) bool { return filter == "" || p == named.Masked() || a.IsValid() && p.Contains(a) }
}
