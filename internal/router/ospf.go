package router

import (
	"maps"
	"slices"
	"strings"

	"github.com/spokeway/spokeway/internal/proto/nhrp"
	"github.com/spokeway/spokeway/internal/proto/ospf"
	"github.com/spokeway/spokeway/internal/query"
)

// OSPF is `show ospf`.
func (v View) OSPF() []ospf.InstanceRow { return v.Modules.OSPF.Instances(v.now()) }

// OSPFAreas is `show ospf areas`.
func (v View) OSPFAreas() []ospf.AreaRow { return v.Modules.OSPF.Areas(v.now()) }

// OSPFInterfaces is `show ospf interfaces`.
func (v View) OSPFInterfaces() []ospf.InterfaceRow { return v.Modules.OSPF.Interfaces(v.now()) }

// OSPFNeighbors is `show ospf neighbors`.
func (v View) OSPFNeighbors() []ospf.NeighborRow { return v.Modules.OSPF.Neighbors(v.now()) }

// OSPFDatabase is `show ospf database`.
func (v View) OSPFDatabase() []ospf.DatabaseRow { return v.Modules.OSPF.Database(v.now()) }

// OSPFRouters is `show ospf routers`.
func (v View) OSPFRouters() []ospf.RouterRow { return v.Modules.OSPF.Routers(v.now()) }

// OSPFRoutes is `show ospf routes`.
func (v View) OSPFRoutes() []ospf.RouteRow { return v.Modules.OSPF.Routes(v.now()) }

// OSPFProblems is `show ospf problems`.
func (v View) OSPFProblems() []ospf.ProblemRow { return v.Modules.OSPF.Problems(v.now()) }

// whyOSPF tells of the adjacency with a neighbour, which is named by its address, its router ID or the interface.
func (v View) whyOSPF(peer string) (stages []nhrp.Stage) {
	for _, s := range v.Modules.OSPF.Why(peer, v.now()) {
		stages = append(stages, nhrp.Stage{Name: s.Name, State: s.State, Detail: s.Detail, Remedy: s.Remedy})
	}
	return stages
}

func (v View) ospfCounters() (rows []query.CounterRow) {
	all := v.Modules.OSPF.Counters()
	for _, where := range slices.Sorted(maps.Keys(all)) {
		instance, name, _ := strings.Cut(where, " ")
		for _, what := range slices.Sorted(maps.Keys(all[where])) {
			rows = append(rows, query.CounterRow{Module: instance, Interface: name, Name: strings.ReplaceAll(what, "-", " "), Value: all[where][what]})
		}
	}
	return rows
}
