package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// InstanceRow is one instance of `show ospf`.
type InstanceRow struct {
	Instance     string   `json:"instance"`
	Version      string   `json:"version"`
	VRF          string   `json:"vrf" table:",optional"`
	RouterID     string   `json:"routerId"`
	Roles        []string `json:"roles"` // border, boundary, stub, restarting
	Areas        int      `json:"areas"`
	Interfaces   int      `json:"interfaces"`
	Neighbors    int      `json:"neighbors"`
	Adjacencies  int      `json:"adjacencies"`
	LSAs         int      `json:"lsas"`
	Routes       int      `json:"routes"`
	Calculations int      `json:"calculations" table:",wide"`
	LastReason   string   `json:"lastReason" table:",wide"`
	LastAgo      float64  `json:"lastAgo"` // seconds; -1: never
	UpFor        float64  `json:"upFor"`
}

// InterfaceRow is one row of `show ospf interfaces`.
type InterfaceRow struct {
	Instance    string     `json:"instance"`
	Interface   string     `json:"interface"`
	Area        string     `json:"area"`
	Network     string     `json:"network"`
	State       string     `json:"state"`
	Reason      string     `json:"reason" table:",optional"`
	Address     netip.Addr `json:"address"`
	Cost        uint32     `json:"cost"`
	Priority    uint8      `json:"priority"`
	DR          string     `json:"dr" table:",optional"`
	BDR         string     `json:"bdr" table:",optional"`
	Hello       float64    `json:"hello"`
	Dead        float64    `json:"dead"`
	MTU         int        `json:"mtu"`
	Neighbors   int        `json:"neighbors"`
	Adjacencies int        `json:"adjacencies"`

	HelloIn        float64 `json:"helloIn" table:",wide"` // seconds to our next one
	Retransmit     float64 `json:"retransmit" table:",wide"`
	Authentication string  `json:"authentication" table:",wide"` // of what we send: an algorithm, or none
	InstanceID     uint8   `json:"instanceId" table:",wide"`     // of OSPFv3
	UpFor          float64 `json:"upFor" table:",wide"`          // since the state is as it is
}

// AreaRow is one area of `show ospf areas`.
type AreaRow struct {
	Instance    string   `json:"instance"`
	Area        string   `json:"area"`
	Type        string   `json:"type"`  // normal, stub or nssa
	Roles       []string `json:"roles"` // border, no-summary, translator
	Interfaces  int      `json:"interfaces"`
	Adjacencies int      `json:"adjacencies"`
	Borders     int      `json:"borderRouters"` // others, that are reached
	Boundaries  int      `json:"boundaryRouters"`
	LSAs        int      `json:"lsas"`
}

// RouterRow is one way to a border router or an AS boundary router of `show ospf routers`.
type RouterRow struct {
	Instance string     `json:"instance"`
	RouterID string     `json:"routerId"`
	Area     string     `json:"area"` // by which it is reached
	Roles    []string   `json:"roles"`
	Kind     string     `json:"kind"`
	Cost     uint32     `json:"cost"`
	NextHops []RouteHop `json:"nextHops"`
}

// NeighborRow is one row of `show ospf neighbors`.
type NeighborRow struct {
	Instance  string     `json:"instance"`
	RouterID  string     `json:"routerId"`
	Address   netip.Addr `json:"address"`
	Interface string     `json:"interface"`
	Area      string     `json:"area"`
	State     string     `json:"state"`
	Role      string     `json:"role" table:",optional"` // dr, bdr, other; "" where there are none
	Priority  uint8      `json:"priority"`
	DeadIn    float64    `json:"deadIn"`
	UpFor     float64    `json:"upFor"` // since the state is as it is
	Requests  int        `json:"requests" table:",wide"`
	Unacked   int        `json:"unacknowledged" table:",wide"`
	Liveness  string     `json:"liveness" table:",optional"`
	Events    int        `json:"events" table:",wide"`
	Helped    float64    `json:"helped" table:",wide"` // seconds for which it may still restart; 0: it does not
}

// DatabaseRow is one LSA of `show ospf database`.
type DatabaseRow struct {
	Instance string         `json:"instance"`
	Scope    string         `json:"scope"`
	Type     string         `json:"type"`
	ID       string         `json:"id"`
	Router   string         `json:"router"`
	Age      uint16         `json:"age"`
	Sequence string         `json:"sequence"`
	Checksum string         `json:"checksum"`
	Length   uint16         `json:"length"`
	Header   wire.LSAHeader `json:"-"`
	Body     wire.LSABody   `json:"-"`
	Key      wire.LSAKey    `json:"-"`
	Area     wire.AreaID    `json:"-"`
	LSAScope wire.Scope     `json:"-"`
	Link     string         `json:"interface,omitempty" table:",optional"`
	Contents []string       `json:"contents" table:",wide"` // what [DatabaseRow.Describe] says, for who asked for it
}

// RouteRow is one route of `show ospf routes`.
type RouteRow struct {
	Instance string     `json:"instance"`
	Prefix   string     `json:"prefix"`
	Kind     string     `json:"kind"`
	Area     string     `json:"area"`
	Cost     uint32     `json:"cost"`
	Type2    uint32     `json:"type2" table:",optional,empty=-"` // the metric of an external of type 2, beside the cost of the way to who tells of it
	Tag      uint32     `json:"tag" table:",optional,empty=-"`
	Router   string     `json:"router"` // that tells of it
	NextHops []RouteHop `json:"nextHops"`
}

// RouteHop is a next hop; Via is invalid on a network of our own.
type RouteHop struct {
	Via       netip.Addr `json:"via"`
	Interface string     `json:"interface"`
}

// ProblemRow is one row of `show ospf problems`.
type ProblemRow struct {
	Instance  string     `json:"instance"`
	Interface string     `json:"interface"`
	Neighbor  netip.Addr `json:"neighbor"`
	Problem   string     `json:"problem"`
	Detail    string     `json:"detail"`
	Remedy    string     `json:"remedy"`
	Count     uint64     `json:"count"`
	FirstAgo  float64    `json:"firstAgo"`
	LastAgo   float64    `json:"lastAgo"`
}

// String is the hop in the words of `ip route`.
func (h RouteHop) String() string {
	if !h.Via.IsValid() {
		return "dev " + h.Interface
	}
	return "via " + h.Via.String() + " dev " + h.Interface
}

// Instances is `show ospf`.
func (m *Module) Instances(now time.Duration) []InstanceRow {
	var rows []InstanceRow
	for _, inst := range m.sorted() {
		row := InstanceRow{
			Instance: inst.cfg.Name, Version: inst.version().String(), VRF: inst.cfg.VRF, RouterID: inst.router.String(), Roles: inst.roles(),
			Areas: len(inst.areas), Routes: len(inst.result.Routes), Calculations: inst.runs, LastReason: inst.lastWhy,
			LastAgo: -1, UpFor: (now - inst.began).Seconds(),
		}
		if inst.runs > 0 {
			row.LastAgo = (now - inst.lastRun).Seconds()
		}
		for _, db := range inst.databases() {
			row.LSAs += len(db.lsas)
		}
		for _, i := range inst.interfaces() {
			row.Interfaces++
			row.Neighbors += len(i.neighbors)
			row.Adjacencies += i.adjacencies()
		}
		rows = append(rows, row)
	}
	return rows
}

func (inst *instance) roles() []string {
	roles := []string{}
	for _, r := range []struct {
		is   bool
		word string
	}{{inst.border, "border"}, {inst.boundary, "boundary"}, {inst.isStub(), "stub"}, {inst.restarting(), "restarting"}} {
		if r.is {
			roles = append(roles, r.word)
		}
	}
	return roles
}

func (i *iface) adjacencies() (n int) {
	for _, x := range i.neighbors {
		if x.state == full {
			n++
		}
	}
	return n
}

// Interfaces is `show ospf interfaces`.
func (m *Module) Interfaces(now time.Duration) []InterfaceRow {
	var rows []InterfaceRow
	for _, inst := range m.sorted() {
		for _, i := range inst.interfaces() {
			row := InterfaceRow{
				Instance: inst.cfg.Name, Interface: i.name(), Area: i.area.id.String(), Network: i.cfg.Network.String(),
				State: i.state.String(), Address: i.local, Cost: i.cfg.Cost, Priority: i.cfg.Priority, Hello: i.cfg.Hello.Seconds(),
				Dead: i.cfg.Dead.Seconds(), MTU: i.host.MTU, Neighbors: len(i.neighbors), Adjacencies: i.adjacencies(),
			}
			row.HelloIn, row.Retransmit, row.Authentication, row.InstanceID = i.helloIn(now), i.cfg.Retransmit.Seconds(), i.key().Algorithm.String(), i.cfg.Instance
			row.UpFor = (now - i.since).Seconds()
			if i.cfg.Network.designates() && i.state > waiting {
				row.DR, row.BDR = i.routerName(i.dr), i.routerName(i.bdr)
			}
			if i.state == down {
				row.Reason = i.reason
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// helloIn is the time to our next hello in seconds; -1 where we send none.
func (i *iface) helloIn(now time.Duration) float64 {
	if !i.helloTimer.Armed() {
		return -1
	}
	return (i.helloTimer.At() - now).Seconds()
}

// Areas is `show ospf areas`.
func (m *Module) Areas(time.Duration) []AreaRow {
	var rows []AreaRow
	for _, inst := range m.sorted() {
		for _, a := range inst.sortedAreas() {
			row := AreaRow{Instance: inst.cfg.Name, Area: a.id.String(), Type: a.cfg.Kind.String(), Roles: a.roles(), Interfaces: len(a.ifaces), LSAs: len(a.db.lsas)}
			for _, i := range a.ifaces {
				row.Adjacencies += i.adjacencies()
			}
			for _, r := range inst.result.Routers {
				if r.Area == a.id && r.Border {
					row.Borders++
				}
				if r.Area == a.id && r.Boundary {
					row.Boundaries++
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (a *area) roles() []string {
	roles := []string{}
	for _, r := range []struct {
		is   bool
		word string
	}{{a.inst.border, "border"}, {a.cfg.NoSummary && a.cfg.Kind != Normal, "no-summary"}, {a.translates, "translator"}} {
		if r.is {
			roles = append(roles, r.word)
		}
	}
	return roles
}

// Routers is `show ospf routers`.
func (m *Module) Routers(time.Duration) []RouterRow {
	var rows []RouterRow
	for _, inst := range m.sorted() {
		for _, r := range inst.result.Routers {
			row := RouterRow{Instance: inst.cfg.Name, RouterID: r.Router.String(), Area: r.Area.String(), Roles: []string{}, Kind: r.Kind.String(), Cost: r.Cost}
			if r.Border {
				row.Roles = append(row.Roles, "border")
			}
			if r.Boundary {
				row.Roles = append(row.Roles, "boundary")
			}
			for _, h := range r.NextHops {
				row.NextHops = append(row.NextHops, RouteHop(h))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Neighbors is `show ospf neighbors`.
func (m *Module) Neighbors(now time.Duration) []NeighborRow {
	var rows []NeighborRow
	for _, inst := range m.sorted() {
		for _, n := range inst.neighbors() {
			rows = append(rows, n.row(now))
		}
	}
	return rows
}

func (n *neighbor) row(now time.Duration) NeighborRow {
	row := NeighborRow{
		Instance: n.inst().cfg.Name, RouterID: n.router.String(), Address: n.address, Interface: n.i.name(), Area: n.i.area.id.String(),
		State: n.state.String(), Role: n.role(), Priority: n.priority, DeadIn: (n.inactivity.At() - now).Seconds(), UpFor: (now - n.since).Seconds(),
		Requests: len(n.requests), Unacked: len(n.waits), Events: n.events,
	}
	if n.watching {
		row.Liveness = n.alive.String()
	}
	if n.grace != nil {
		row.Helped = (n.grace.until - now).Seconds()
	}
	return row
}

func (n *neighbor) role() string {
	switch id := n.id(); {
	case !n.i.cfg.Network.designates():
		return ""
	case id == n.i.dr:
		return "dr"
	case id == n.i.bdr:
		return "bdr"
	}
	return "other"
}

// Database is `show ospf database`.
func (m *Module) Database(now time.Duration) []DatabaseRow {
	var rows []DatabaseRow
	for _, inst := range m.sorted() {
		for _, db := range inst.databases() {
			for _, e := range db.sorted() {
				rows = append(rows, e.row(now))
			}
		}
	}
	return rows
}

func (e *entry) row(now time.Duration) DatabaseRow {
	db, h := e.db, e.header(now)
	row := DatabaseRow{
		Instance: db.inst.cfg.Name, Scope: db.scopeName(), Type: h.Function(db.inst.version()).String(), ID: wire.Addr4(h.ID).String(),
		Router: h.Router.String(), Age: h.Age, Sequence: fmt.Sprintf("%#x", uint32(h.Sequence)), Checksum: fmt.Sprintf("%#04x", h.Checksum), Length: h.Length,
		Header: h, Body: e.Body, Key: h.LSAKey, LSAScope: wire.ScopeAS,
	}
	if db.area != nil {
		row.Area, row.LSAScope = db.area.id, wire.ScopeArea
	}
	if db.iface != nil {
		row.Link, row.LSAScope = db.iface.name(), wire.ScopeLink
	}
	return row
}

// Routes is `show ospf routes`: all of OSPF's own, whether the host uses them or not.
func (m *Module) Routes(time.Duration) []RouteRow {
	var rows []RouteRow
	for _, inst := range m.sorted() {
		for _, r := range inst.result.Routes {
			row := RouteRow{Instance: inst.cfg.Name, Prefix: r.Prefix.String(), Kind: r.Kind.String(), Area: r.Area.String(), Cost: r.Cost,
				Type2: r.Type2, Tag: r.Tag, Router: r.Origin.Router.String()}
			for _, h := range r.NextHops {
				row.NextHops = append(row.NextHops, RouteHop(h))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Problems is `show ospf problems`.
func (m *Module) Problems(now time.Duration) []ProblemRow {
	var rows []ProblemRow
	for _, inst := range m.sorted() {
		for _, k := range inst.problemKeys() {
			p := inst.problems[k]
			if now-p.last > problemLife {
				continue
			}
			rows = append(rows, ProblemRow{
				Instance: inst.cfg.Name, Interface: k.iface, Neighbor: k.address, Problem: k.kind.word(), Detail: p.text,
				Remedy: problemWords[k.kind].remedy, Count: p.count, FirstAgo: (now - p.first).Seconds(), LastAgo: (now - p.last).Seconds(),
			})
		}
	}
	return rows
}

// Counters is what was counted, by instance and interface, and reason.
func (m *Module) Counters() map[string]map[string]uint64 {
	all := map[string]map[string]uint64{}
	for _, inst := range m.sorted() {
		for _, i := range inst.interfaces() {
			c := map[string]uint64{}
			for k, v := range i.counters {
				c[k] = v
			}
			all[inst.cfg.Name+" "+i.name()] = c
		}
	}
	return all
}

// InterfaceOf names the interface that the owner of a timer belongs to.
func InterfaceOf(of any) string {
	switch o := of.(type) {
	case *iface:
		return o.name()
	case *neighbor:
		return o.i.name()
	case *origin:
		if o.db.iface != nil {
			return o.db.iface.name()
		}
	}
	return ""
}

// Names are the instances.
func (m *Module) Names() []string {
	var names []string
	for name := range m.instances {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
