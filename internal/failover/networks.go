package failover

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/scenario"
)

// Network is a lab file, what goes on in it, and what fails.
type Network struct {
	File  string // of examples/lab
	Warm  []Flow // those that talk all the time, so that their shortcuts live
	Whole State  // when nothing is broken
	Live  []Route
	Kinds []Kind

	phase1 []string // routers whose shortcuts are turned off
}

// Kind is a failure and its repair.
type Kind struct {
	Name         string
	Flows        []Flow
	Broken       State // what is so once the failure is overcome; empty when others need do nothing
	fail, repair func(scenario.World) error
}

// Flow is packets between two hosts.
type Flow struct {
	Name, From, To string
	Kept           bool // the failure is none of its business: it loses nothing
}

// State is what the routers have settled on.
type State struct {
	Routes []Route
	Full   map[string]int // OSPF neighbors in state Full, by router
}

// Route is what a router's kernel has for a prefix, shortcuts among it.
type Route struct {
	Node   string
	Prefix netip.Prefix
	Via    []netip.Addr
}

// by is a route: the router, the prefix, the next hops in order.
func by(node, prefix string, via ...string) Route {
	r := Route{Node: node, Prefix: netip.MustParsePrefix(prefix)}
	for _, v := range via {
		r.Via = append(r.Via, netip.MustParseAddr(v))
	}
	return r
}

const (
	centre = "192.168.0.0/24"
	lan1   = "192.168.1.0/24"
	lan2   = "192.168.2.0/24"
	lan3   = "192.168.3.0/24"

	hub1, hub2             = "10.101.0.1", "10.101.0.2" // in the first cloud
	second1, second2       = "10.102.0.1", "10.102.0.2" // and in the second
	spoke1, spoke2, spoke3 = "10.101.0.11", "10.101.0.12", "10.101.0.13"
	backup1, backup3       = "10.102.0.11", "10.102.0.13"
)

// Networks are all there are.
func Networks() []Network { return []Network{twoClouds(), broadcast(), twoRouters()} }

// Load reads the network's file, out of the folder of the lab files, in one of its variants.
func (n Network) Load(folder, variant string) (*scenario.File, error) {
	f, err := scenario.LoadVariant(filepath.Join(folder, n.File), variant)
	if err != nil {
		return nil, err
	}
	for _, name := range n.phase1 {
		if err := withoutShortcuts(f.Node(name)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// withoutShortcuts makes a spoke one of phase 1.
func withoutShortcuts(n *scenario.Node) error {
	cfg, _, err := conf.Parse(n.Name+".yaml", n.Config)
	if err != nil {
		return fmt.Errorf("configuration of %s: %w", n.Name, err)
	}
	for i := range cfg.Tunnels {
		cfg.Tunnels[i].NHRP.Shortcut = false
	}
	n.Config = cfg.YAML()
	return nil
}

// twoCloudFlows are those that failures are measured by.
func twoCloudFlows(directKept bool) []Flow {
	return []Flow{
		{Name: "spoke to centre", From: "pc1", To: "pc0"},
		{Name: "centre to spoke", From: "pc0", To: "pc3"},
		{Name: "spoke to spoke by hub", From: "pc3", To: "pc1"},
		{Name: "live shortcut", From: "pc1", To: "pc2", Kept: directKept},
	}
}

// twoClouds is the network of the day. The third spoke makes no shortcuts: what it says to others goes by a hub.
func twoClouds() Network {
	withoutHub1 := State{Routes: []Route{by("spoke1", centre, hub2), by("spoke2", centre, hub2), by("spoke3", centre, hub2), by("spoke3", lan1, hub2)}}
	return Network{
		File:   "two-hubs-two-clouds.yaml",
		phase1: []string{"spoke3"},
		Warm:   []Flow{{From: "pc1", To: "pc2"}, {From: "pc3", To: "pc1"}},
		Whole: State{Routes: []Route{
			by("spoke1", centre, hub1, hub2), by("spoke2", centre, hub1, hub2), by("spoke3", centre, hub1, hub2), by("spoke1", lan3, hub1, hub2), by("spoke3", lan1, hub1, hub2),
			by("spoke3", lan2, hub1, hub2), by("hub1", lan1, spoke1), by("hub1", lan2, spoke2), by("hub1", lan3, spoke3), by("hub2", lan1, spoke1), by("hub2", lan2, spoke2), by("hub2", lan3, spoke3),
		}, Full: map[string]int{"hub1": 7, "hub2": 7, "spoke1": 4, "spoke2": 4, "spoke3": 4}},
		Live: []Route{by("spoke1", lan2, spoke2), by("spoke2", lan1, spoke1)},
		Kinds: []Kind{
			{"hub killed", twoCloudFlows(true), withoutHub1, kill("hub1"), start("hub1")},
			{"hub's line cut", twoCloudFlows(true), withoutHub1, cut("hub1", "eth0"), heal("hub1", "eth0")},
			{"hub without power", twoCloudFlows(true), withoutHub1, dark("hub1"), light("hub1")},
			{"a spoke's first carrier cut", append(twoCloudFlows(false), Flow{"centre, of another spoke", "pc2", "pc0", true}), State{Routes: []Route{
				by("spoke1", centre, second1, second2), by("spoke1", lan2, second1, second2), by("hub1", lan1, backup1), by("hub2", lan1, backup1),
				by("spoke2", lan1, hub1, hub2), by("spoke2", centre, hub1, hub2), by("spoke3", centre, hub1, hub2),
			}}, cut("spoke1", "eth0"), heal("spoke1", "eth0")},
		},
	}
}

// broadcast is the same with OSPF in broadcast mode in the first cloud: the next hop of a LAN is its spoke.
func broadcast() Network {
	return Network{
		File: "two-hubs-broadcast.yaml",
		Warm: []Flow{{From: "pc1", To: "pc2"}},
		Whole: State{Routes: []Route{
			by("spoke1", centre, hub1, hub2), by("spoke2", centre, hub1, hub2), by("spoke3", centre, hub1, hub2), by("spoke1", lan2, spoke2), by("spoke2", lan1, spoke1), by("spoke3", lan1, spoke1),
			by("hub1", lan1, spoke1), by("hub1", lan2, spoke2), by("hub1", lan3, spoke3), by("hub2", lan1, spoke1), by("hub2", lan2, spoke2), by("hub2", lan3, spoke3),
		}, Full: map[string]int{"hub1": 8, "hub2": 8, "spoke1": 4, "spoke2": 4, "spoke3": 4}},
		Kinds: []Kind{{"hub killed, broadcast mode", []Flow{
			{Name: "spoke to centre", From: "pc1", To: "pc0"}, {Name: "centre to spoke", From: "pc0", To: "pc3"}, {Name: "spoke to spoke, phase 2", From: "pc1", To: "pc2"},
		}, State{Routes: []Route{by("spoke1", centre, hub2), by("spoke2", centre, hub2), by("spoke3", centre, hub2), by("spoke1", lan2, spoke2), by("spoke2", lan1, spoke1)}}, kill("hub1"), start("hub1")}},
	}
}

// twoRouters is a site with a router in each cloud, OSPF between them.
func twoRouters() Network {
	flows := func(host string, kept bool) []Flow {
		return []Flow{{"spoke to centre", host, "pc0", kept}, {"centre to spoke", "pc0", host, kept}, {"spoke to spoke", host, "pc2", kept}}
	}
	first := State{Routes: []Route{
		by("spoke1b", centre, second1, second2), by("hub1", lan1, backup3), by("hub2", lan1, backup3), by("spoke2", lan1, hub1, hub2),
	}}
	return Network{
		File: "two-routers-one-site.yaml",
		Whole: State{Routes: []Route{
			by("spoke1a", centre, hub1, hub2), by("spoke1b", centre, "192.168.1.1"), by("spoke1b", lan2, "192.168.1.1"), by("spoke2", centre, hub1, hub2),
			by("hub1", lan1, spoke1), by("hub2", lan1, spoke1), by("hub1", lan2, spoke2), by("hub2", lan2, spoke2),
		}, Full: map[string]int{"hub1": 5, "hub2": 5, "spoke1a": 3, "spoke1b": 3, "spoke2": 4}},
		Kinds: []Kind{
			{"a site's first router killed", flows("pc1b", false), first, kill("spoke1a"), start("spoke1a")},
			{"a site's first router without power", flows("pc1b", false), first, dark("spoke1a"), light("spoke1a")},
			{"a site's second router killed", flows("pc1a", true), State{}, kill("spoke1b"), start("spoke1b")},
			{"a site's second router without power", flows("pc1a", true), State{}, dark("spoke1b"), light("spoke1b")},
		},
	}
}

// Cold is that all routers have no power, and all come back.
func (n Network) Cold() Kind {
	all := slices.Sorted(maps.Keys(n.Whole.Full))
	each := func(on bool) func(scenario.World) error {
		return func(w scenario.World) error {
			var errs []error
			for _, node := range all {
				errs = append(errs, w.Power(node, on))
			}
			return errors.Join(errs...)
		}
	}
	return Kind{Name: "cold start", fail: each(false), repair: each(true)}
}

func kill(node string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Kill(node, "KILL") }
}

func start(node string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Start(node) }
}

func cut(node, name string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Cut(scenario.Target{Node: node, Interface: name}) }
}

func heal(node, name string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Mend(scenario.Target{Node: node, Interface: name}) }
}

func dark(node string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Power(node, false) }
}

func light(node string) func(scenario.World) error {
	return func(w scenario.World) error { return w.Power(node, true) }
}
