package sim

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
	"github.com/spokeway/spokeway/internal/scenario"
)

// Stage plays a scenario on the virtual clock. It implements [scenario.World].
type Stage struct {
	world    *World
	file     *scenario.File
	networks map[string]*Network
	logs     map[*Node][]string
}

var _ scenario.World = (*Stage)(nil)

// NewStage makes a stage whose chances follow from the seed.
func NewStage(seed uint64) *Stage {
	s := &Stage{world: NewWorld(seed), networks: map[string]*Network{}, logs: map[*Node][]string{}}
	s.world.Trace.Line = s.keep
	return s
}

// Kind is "simulation".
func (s *Stage) Kind() string { return "simulation" }

// Now is the virtual time.
func (s *Stage) Now() time.Duration { return s.world.Now() }

// Sleep lets virtual time pass.
func (s *Stage) Sleep(d time.Duration) error {
	s.world.Run(d)
	return nil
}

// Up builds the networks and nodes of a file and starts its routers.
func (s *Stage) Up(f *scenario.File) error {
	s.file = f
	for _, n := range f.Networks {
		s.networks[n.Name] = s.world.addNetwork(n.Name)
	}
	for i := range f.Nodes {
		s.build(&f.Nodes[i])
	}
	for _, n := range f.Networks {
		if n.Kind == scenario.Provider {
			s.provider(n.Name)
		}
	}
	for i := range f.Nodes {
		if n := &f.Nodes[i]; n.Kind == scenario.Router && !n.Manual {
			if err := s.Start(n.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Down ends the routers. It fails when one that is to protect everything has sent something in clear.
func (s *Stage) Down() error {
	for _, n := range s.world.nodes {
		n.kill()
	}
	if leaks := s.world.Leaks; len(leaks) > 0 {
		return fmt.Errorf("%d packets in clear, the first: %s", len(leaks), leaks[0])
	}
	return nil
}

func (s *Stage) build(spec *scenario.Node) {
	n := s.world.addNode(spec.Name)
	n.forwarding = spec.Kind == scenario.NAT
	for at, i := range spec.Interfaces {
		iface := n.attach(i.Name, s.networks[i.Network], Link{Link: i.Link}, i.Addresses...)
		iface.nat = i.Name == spec.Outside
		if s.file.Network(i.Network).Kind == scenario.Provider {
			n.routeBy(iface, 1024+at)
		}
	}
	if spec.Kind == scenario.NAT {
		n.nat = newNAT(n)
	}
	for _, g := range spec.Gateways {
		n.addRoute(netip.PrefixFrom(unspecified(g), 0), g, 0)
	}
	for _, r := range spec.Routes {
		n.addRoute(r.To, r.Via, 0)
	}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// routeBy gives the node default routes by the provider's routers on an interface's sites.
func (n *Node) routeBy(i *Interface, metric int) {
	for _, p := range i.addrs {
		if g := scenario.Gateway(p); g != p.Addr() {
			n.addRoute(netip.PrefixFrom(unspecified(g), 0), g, metric)
		}
	}
}

// protoBoot is the rtnetlink protocol of routes that were there at boot.
const protoBoot = 3

// addRoute is `ip route add` on the node.
func (n *Node) addRoute(to netip.Prefix, via netip.Addr, metric int) {
	for _, i := range n.interfaces {
		if !slices.ContainsFunc(i.addrs, func(p netip.Prefix) bool { return p.Contains(via) }) {
			continue
		}
		n.fib.add(kernel.Learned{
			Route:    kernel.Route{Prefix: to.Masked(), Metric: uint32(metric), NextHops: []rib.NextHop{{Via: via, Interface: i.Name}}},
			Protocol: protoBoot,
		})
		return
	}
}

// provider puts the provider's router on a network: it has the first address of every site.
func (s *Stage) provider(name string) {
	net := s.networks[name]
	var sites []netip.Prefix
	for _, port := range net.ports {
		for _, p := range port.addrs {
			site := netip.PrefixFrom(scenario.Gateway(p), p.Bits())
			if !slices.Contains(sites, site) {
				sites = append(sites, site)
			}
		}
	}
	n := s.world.addNode(name)
	n.forwarding = true
	n.attach("sites", net, Link{Link: scenario.Link{MTU: 65535}}, sites...)
}

func (s *Stage) node(name string) (*Node, error) {
	n := s.world.byName[name]
	if n == nil {
		return nil, fmt.Errorf("there is no node %q", name)
	}
	return n, nil
}

// Ping sends echo requests from a node and waits for the answers.
func (s *Stage) Ping(node string, p scenario.Ping) (scenario.PingResult, error) {
	probe, err := s.StartPing(node, p)
	if err != nil {
		return scenario.PingResult{}, err
	}
	return probe.Stop()
}

// StartPing does so in the background, without end.
func (s *Stage) StartPing(node string, p scenario.Ping) (scenario.Pinging, error) {
	n, err := s.node(node)
	if err != nil {
		return nil, err
	}
	return n.startPing(p)
}

// Stop ends the sending, waits for late answers and tells the result.
func (p *ping) Stop() (scenario.PingResult, error) { return p.finish(), nil }

// Path lists the routers that answer on the way.
func (s *Stage) Path(node string, t scenario.Trace) ([]netip.Addr, error) {
	n, err := s.node(node)
	if err != nil {
		return nil, err
	}
	if t.MaxTTL == 0 {
		t.MaxTTL = 12
	}
	if t.Timeout == 0 {
		t.Timeout = time.Second
	}
	return n.path(t)
}

// Iperf is not possible: there are no octets to count.
func (s *Stage) Iperf(scenario.Iperf) (scenario.IperfResult, error) {
	return scenario.IperfResult{}, notHere("iperf3")
}

// Exec is not possible: a simulated node runs no commands.
func (s *Stage) Exec(string, []string) ([]byte, error) { return nil, notHere("exec") }

func notHere(what string) error {
	return fmt.Errorf("%s: not in simulation: %w", what, scenario.ErrUnsupported)
}

// Cut lets nothing pass any more through a link, a network, or between two nodes.
func (s *Stage) Cut(t scenario.Target) error { return s.cut(t, true) }

// Mend undoes [Stage.Cut].
func (s *Stage) Mend(t scenario.Target) error { return s.cut(t, false) }

func (s *Stage) cut(t scenario.Target, on bool) error {
	switch {
	case t.Network != "":
		s.networks[t.Network].cut = on
	case t.Node != "":
		n, err := s.node(t.Node)
		if err != nil {
			return err
		}
		i := n.byName[t.Interface]
		if i == nil && t.Interface != "" {
			return fmt.Errorf("%s has no interface %q", t.Node, t.Interface)
		}
		for _, each := range n.interfaces {
			if each.net != nil && (i == nil || i == each) {
				each.cut = on
			}
		}
	default:
		s.world.block(s.onWire(t.Between[0]), s.onWire(t.Between[1]), on)
	}
	return nil
}

// onWire are the addresses that a node has on networks, those inside tunnels not among them.
func (s *Stage) onWire(node string) []netip.Addr {
	var all []netip.Addr
	for _, i := range s.world.byName[node].interfaces {
		for _, p := range i.addrs {
			if i.net != nil {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

// Start starts a router's process, with the configuration the scenario has for it now.
func (s *Stage) Start(node string) error {
	n, err := s.node(node)
	if err != nil {
		return err
	}
	cfg, err := s.config(node, s.file.Node(node).Config)
	if err != nil {
		return err
	}
	n.run(cfg)
	return n.start()
}

func (s *Stage) config(node string, text []byte) (*conf.Config, error) {
	cfg, _, err := conf.Parse(node+".yaml", text)
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", node, err)
	}
	return cfg, nil
}

// Stop lets a router say goodbye and ends it.
func (s *Stage) Stop(node string) error {
	n, err := s.running(node)
	if err == nil {
		n.stop()
	}
	return err
}

// Kill sends a router a signal.
func (s *Stage) Kill(node, signal string) error {
	n, err := s.running(node)
	if err != nil {
		return err
	}
	switch strings.TrimPrefix(strings.ToUpper(signal), "SIG") {
	case "", "KILL":
		n.kill()
	case "TERM", "INT":
		n.stop()
	case "STOP":
		n.freeze()
	case "CONT":
		n.thaw()
	default:
		return notHere("signal " + signal)
	}
	return nil
}

// Power takes a router's power away, or gives it back.
func (s *Stage) Power(node string, on bool) error {
	links := scenario.Target{Node: node}
	if !on {
		return errors.Join(s.Cut(links), s.Kill(node, "KILL"))
	}
	n, err := s.node(node)
	if err != nil {
		return err
	}
	for _, l := range n.fib.all() {
		if l.Ours {
			n.fib.delete(l.Key())
		}
	}
	clear(n.pathMTU)
	return errors.Join(s.Mend(links), s.Start(node))
}

// Routes is what the node's kernel does with packets for a prefix.
func (s *Stage) Routes(node string, prefix netip.Prefix) ([]scenario.Hop, error) {
	n, err := s.node(node)
	if err != nil {
		return nil, err
	}
	if n.router != nil {
		n.router.run() // what has come by now has its effect
	}
	routes, _ := n.fib.table.Get(prefix)
	var all []scenario.Hop
	for _, r := range routes[:min(len(routes), 1)] {
		for _, h := range r.NextHops {
			all = append(all, scenario.Hop{Via: h.Via, Interface: h.Interface})
		}
	}
	return all, nil
}

func (s *Stage) running(node string) (*Node, error) {
	n, err := s.node(node)
	if err == nil && n.router == nil {
		err = errors.New(node + " is not running")
	}
	return n, err
}

// Reload gives a running router another configuration.
func (s *Stage) Reload(node string, text []byte) error {
	n, err := s.running(node)
	if err != nil {
		return err
	}
	cfg, err := s.config(node, text)
	if err != nil {
		return err
	}
	n.reload(cfg)
	return nil
}

// keptLogs is how many lines of a node's log are kept for the report of a failure.
const keptLogs = 200

func (s *Stage) keep(n *Node, level core.Level, line string) {
	if level <= core.Debug {
		return
	}
	kept := append(s.logs[n], fmt.Sprintf("%.3f %s", s.world.Now().Seconds(), line))
	s.logs[n] = kept[max(0, len(kept)-keptLogs):]
}

// Logs is what the node said last.
func (s *Stage) Logs(node string, lines int) []string {
	n, err := s.node(node)
	if err != nil {
		return nil
	}
	kept := s.logs[n]
	return kept[max(0, len(kept)-lines):]
}
