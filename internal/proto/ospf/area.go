package ospf

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// area is one area that the router is attached to.
type area struct {
	inst   *instance
	id     wire.AreaID
	cfg    Area
	ifaces map[string]*iface
	db     *database

	stale      bool          // what we say of ourselves here may have changed
	translates bool          // we translate type 7 LSAs, RFC 3101 3.1
	relieved   time.Duration // when another became their translator; 0: none
}

func newArea(inst *instance, cfg Area) *area {
	a := &area{inst: inst, id: cfg.ID, cfg: cfg, ifaces: map[string]*iface{}}
	a.db = newDatabase(inst, a, nil)
	return a
}

// sorted is the interfaces in order of name.
func (a *area) sorted() []*iface {
	return slices.SortedFunc(maps.Values(a.ifaces), func(x, y *iface) int { return strings.Compare(x.name(), y.name()) })
}

// options are those of the area's packets and LSAs, RFC 2328 A.2, RFC 3101 2.1, RFC 5340 A.2.
func (a *area) options() wire.Options {
	var o wire.Options
	switch a.cfg.Kind {
	case Normal:
		o |= wire.OptE
	case NSSA:
		o |= wire.OptNP
	}
	switch a.inst.version() {
	case wire.V3:
		o |= wire.OptV6 | wire.OptR
	case wire.V3IPv4:
		o |= wire.OptR | wire.OptAF // without V6: RFC 5838 2.2
	}
	return o
}

// active reports whether an interface of the area is up.
func (a *area) active() bool {
	for _, i := range a.ifaces {
		if i.state > down {
			return true
		}
	}
	return false
}

// touch has what we say in the area looked at once the event is handled.
func (a *area) touch() { a.stale = true }

// reconfigure takes a new configuration of an area whose kind is as before.
func (a *area) reconfigure(env *core.Env, cfg Area) {
	wanted := map[string]Interface{}
	for _, f := range cfg.Interfaces {
		wanted[f.Name] = f
	}
	for _, i := range a.sorted() {
		if _, ok := wanted[i.name()]; !ok {
			i.end(env, "removed from the configuration")
			delete(a.ifaces, i.name())
		}
	}
	a.cfg = cfg
	for _, f := range cfg.Interfaces {
		if i := a.ifaces[f.Name]; i != nil {
			i.reconfigure(env, f)
			continue
		}
		i := newInterface(a, f)
		a.ifaces[f.Name] = i
		i.link(env, a.inst.m.links[f.Name])
	}
	a.touch()
	a.inst.summarize()
}

// end leaves an area.
func (a *area) end(env *core.Env, reason string) {
	for _, i := range a.sorted() {
		i.end(env, reason)
	}
	a.db.end(env)
	a.inst.changedSPF("area " + a.id.String() + " left")
}
