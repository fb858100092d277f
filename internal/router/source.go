package router

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/rib"
	"github.com/spokeway/spokeway/internal/sys"
)

var _ query.Source = (*Router)(nil)

// get is what f sees on the loop's goroutine; the zero T when the router has stopped.
func get[T any](r *Router, f func(now time.Duration) T) (v T) {
	_ = r.ask(func(l *core.Loop) { v = f(l.Now()) })
	return v
}

// NHRP implements [query.Source].
func (r *Router) NHRP() []nhrp.CacheRow { return get(r, r.modules.NHRP.Cache) }

// Shortcuts implements [query.Source].
func (r *Router) Shortcuts() []nhrp.ShortcutRow { return get(r, r.modules.NHRP.Shortcuts) }

// Peers implements [query.Source].
func (r *Router) Peers() []nhrp.PeerRow { return get(r, r.modules.NHRP.Peers) }

// Routes implements [query.Source].
func (r *Router) Routes() []query.RouteRow {
	return get(r, func(now time.Duration) (rows []query.RouteRow) {
		for _, vrf := range r.loop.RIB().VRFs() {
			for route, selected := range r.loop.RIB().Offers(vrf) {
				rows = append(rows, routeRow(route, selected, now))
			}
		}
		return rows
	})
}

func routeRow(route rib.Route, selected bool, now time.Duration) query.RouteRow {
	row := query.RouteRow{
		VRF: route.VRF, Prefix: route.Prefix, Protocol: route.Protocol.String(), Distance: route.Distance,
		Metric: route.Metric, Selected: selected, Age: (now - route.Since).Seconds(), NextHops: []query.NextHopRow{},
	}
	for _, nh := range route.NextHops {
		row.NextHops = append(row.NextHops, query.NextHopRow{Via: nh.Via, Interface: nh.Interface})
	}
	if selected && route.Override && route.Protocol != rib.NHRP {
		row.Reason = "next hop by NHRP"
	}
	return row
}

// Interfaces implements [query.Source].
func (r *Router) Interfaces() []query.InterfaceRow {
	stats := map[string]dataplane.TunnelStats{}
	for _, s := range r.plane.Stats() {
		stats[s.Tunnel] = s
	}
	return get(r, func(time.Duration) (rows []query.InterfaceRow) {
		for _, t := range r.config.Tunnels {
			rows = append(rows, r.tunnelRow(t, stats[t.Name]))
		}
		for _, i := range r.config.Interfaces {
			rows = append(rows, r.hostRow(i))
		}
		return rows
	})
}

func (r *Router) tunnelRow(t conf.Tunnel, s dataplane.TunnelStats) query.InterfaceRow {
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
	link, reason, up := r.modules.NHRP.Tunnel(t.Name)
	row.Local, row.Reason = link.Local, cmp.Or(reason, r.failures[t.Name])
	if up {
		row.State, row.MTU = "up", link.MTU
	}
	if r.failures[t.Name] != "" && r.links[t.Name].Name == "" {
		row.State = "down"
	}
	return row
}

func (r *Router) hostRow(i conf.Interface) query.InterfaceRow {
	link, ok := r.links[i.Name]
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

// Timers implements [query.Source].
func (r *Router) Timers() []query.TimerRow {
	return get(r, func(now time.Duration) (rows []query.TimerRow) {
		r.loop.Timers(func(module string, t *core.Timer) {
			rows = append(rows, query.TimerRow{
				Module: module, Name: t.Name, Of: nhrp.TunnelOf(t.Of), ExpiresIn: (t.At() - now).Seconds(),
			})
		})
		slices.SortFunc(rows, func(a, b query.TimerRow) int {
			return cmp.Or(cmp.Compare(a.ExpiresIn, b.ExpiresIn), cmp.Compare(a.Name, b.Name))
		})
		return rows
	})
}

// Counters implements [query.Source].
func (r *Router) Counters() []query.CounterRow {
	rows := get(r, func(time.Duration) []query.CounterRow { return r.controlCounters() })
	for _, s := range r.plane.Stats() {
		for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
			rows = append(rows, query.CounterRow{
				Module: "dataplane", Interface: s.Tunnel, Name: "dropped: " + reason, Value: s.Drops[reason],
			})
		}
	}
	if n := r.lost.Load(); n > 0 {
		rows = append(rows, query.CounterRow{Module: "router", Name: "events lost, the loop was behind", Value: n})
	}
	return rows
}

func (r *Router) controlCounters() (rows []query.CounterRow) {
	all := r.modules.NHRP.Counters()
	for _, tunnel := range slices.Sorted(maps.Keys(all)) {
		for _, name := range slices.Sorted(maps.Keys(all[tunnel])) {
			rows = append(rows, query.CounterRow{Module: nhrp.Name, Interface: tunnel, Name: name, Value: all[tunnel][name]})
		}
	}
	for _, module := range slices.Sorted(maps.Keys(r.loop.Panics)) {
		rows = append(rows, query.CounterRow{Module: module, Name: "handler panics", Value: uint64(r.loop.Panics[module])})
	}
	return rows
}

// Config implements [query.Source].
func (r *Router) Config() string {
	return get(r, func(time.Duration) string { return string(r.config.Redacted()) })
}

// Why implements [query.Source].
func (r *Router) Why(peer string) ([]nhrp.Stage, error) {
	stages := get(r, func(now time.Duration) []nhrp.Stage {
		return r.modules.NHRP.Why(peer, now, r.loop.RIB())
	})
	if len(stages) == 0 {
		return nil, fmt.Errorf("why %s: %w: neither a server, a peer nor a destination in a cloud; see `spokeway show peers`", peer, query.ErrNotFound)
	}
	return stages, nil
}

// Clear implements [query.Source].
func (r *Router) Clear(what, filter string) (count int, err error) {
	switch what {
	case "nhrp", "shortcuts":
		err = r.ask(func(l *core.Loop) {
			l.Post(nhrp.Name, core.Request{Body: nhrp.Clear{What: what, Filter: filter, Count: &count}})
			l.Run(r.edge.Now())
		})
	case "counters":
		err = r.ask(func(*core.Loop) { r.modules.NHRP.ClearCounters() })
		r.plane.Do(dataplane.ClearStats{})
		count = len(r.plane.Stats())
	default:
		err = fmt.Errorf("clear %s: %w", what, query.ErrNotFound)
	}
	return count, err
}

// Reload implements [query.Source].
func (r *Router) Reload(context.Context) (changes []string, err error) {
	c, err := r.opts.Load()
	if err != nil {
		return nil, err
	}
	r.notify(sys.Reloading())
	defer r.notify(sys.Ready)
	err = r.ask(func(*core.Loop) {
		for _, change := range conf.Diff(r.config, c) {
			changes = append(changes, change.String())
		}
		r.apply(c)
	})
	return changes, err
}
