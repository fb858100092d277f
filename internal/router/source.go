package router

import (
	"context"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/bfd"
	"github.com/spokeway/spokeway/internal/proto/ike"
	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/sys"
)

var _ query.Source = (*Router)(nil)

// view is the state behind what an operator sees; of the loop's goroutine.
func (r *Router) view() View {
	return View{Loop: r.loop, Modules: r.modules, Running: r.config, Plane: r.plane, Links: r.links}
}

// get is what f sees on the loop's goroutine; the zero T when the router has stopped.
func get[T any](r *Router, f func(View) T) (v T) {
	_ = r.ask(func(*core.Loop) { v = f(r.view()) })
	return v
}

// NHRP implements [query.Source].
func (r *Router) NHRP() []nhrp.CacheRow { return get(r, View.NHRP) }

// Shortcuts implements [query.Source].
func (r *Router) Shortcuts() []nhrp.ShortcutRow { return get(r, View.Shortcuts) }

// Peers implements [query.Source].
func (r *Router) Peers() []nhrp.PeerRow { return get(r, View.Peers) }

// SAs implements [query.Source].
func (r *Router) SAs() []ike.SARow { return get(r, View.SAs) }

// BFD implements [query.Source].
func (r *Router) BFD() []bfd.Row { return get(r, View.BFD) }

// OSPF implements [query.Source].
func (r *Router) OSPF() []ospf.InstanceRow { return get(r, View.OSPF) }

// OSPFAreas implements [query.Source].
func (r *Router) OSPFAreas() []ospf.AreaRow { return get(r, View.OSPFAreas) }

// OSPFInterfaces implements [query.Source].
func (r *Router) OSPFInterfaces() []ospf.InterfaceRow { return get(r, View.OSPFInterfaces) }

// OSPFNeighbors implements [query.Source].
func (r *Router) OSPFNeighbors() []ospf.NeighborRow { return get(r, View.OSPFNeighbors) }

// OSPFDatabase implements [query.Source].
func (r *Router) OSPFDatabase() []ospf.DatabaseRow { return get(r, View.OSPFDatabase) }

// OSPFRouters implements [query.Source].
func (r *Router) OSPFRouters() []ospf.RouterRow { return get(r, View.OSPFRouters) }

// OSPFRoutes implements [query.Source].
func (r *Router) OSPFRoutes() []ospf.RouteRow { return get(r, View.OSPFRoutes) }

// OSPFProblems implements [query.Source].
func (r *Router) OSPFProblems() []ospf.ProblemRow { return get(r, View.OSPFProblems) }

// IKE implements [query.Source].
func (r *Router) IKE() []ike.IKERow { return get(r, View.IKE) }

// Interfaces implements [query.Source].
func (r *Router) Interfaces() []query.InterfaceRow { return get(r, View.Interfaces) }

// Timers implements [query.Source].
func (r *Router) Timers() []query.TimerRow { return get(r, View.Timers) }

// Counters implements [query.Source].
func (r *Router) Counters() []query.CounterRow {
	rows := get(r, View.Counters)
	if n := r.lost.Load(); n > 0 {
		rows = append(rows, query.CounterRow{Module: "router", Name: "events lost, the loop was behind", Value: n})
	}
	return rows
}

// Config implements [query.Source].
func (r *Router) Config() string { return get(r, View.Config) }

// Why implements [query.Source].
func (r *Router) Why(peer string) (stages []nhrp.Stage, err error) {
	if ended := r.ask(func(*core.Loop) { stages, err = r.view().Why(peer) }); ended != nil {
		return nil, ended
	}
	return stages, err
}

// Clear implements [query.Source].
func (r *Router) Clear(what, filter string) (count int, err error) {
	if ended := r.ask(func(*core.Loop) { count, err = r.view().Clear(what, filter) }); ended != nil {
		return 0, ended
	}
	return count, err
}

// Restart implements [query.Source].
func (r *Router) Restart(context.Context) error {
	return r.ask(func(*core.Loop) {
		r.leaving = true
		r.leave()
	})
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
		c.Adopt(r.config)
		for _, change := range conf.Diff(r.config, c) {
			changes = append(changes, change.String())
		}
		r.apply(c)
	})
	return changes, err
}
