package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os"
	"strings"
	"time"
)

// system is one of the things compared: set up, idle, and ready to be measured.
type system struct {
	name    string
	flow    flow
	daemons []*process // whose CPU time counts; none when the kernel does it all

	failures int // measurements that could not be made
}

// Names of the systems.
const (
	nameVeth  = "raw veth"
	nameVXLAN = "kernel VXLAN"
	nameWG    = "wireguard-go"
	nameGRE   = "Spokeway GRE"
	nameUDP   = "Spokeway GRE-in-UDP"

	nameESPUDP = "Spokeway ESP in UDP"
	nameESP    = "Spokeway ESP"

	nameNebula   = "nebula"
	nameLibipsec = "strongSwan libipsec"
)

// innerMTU is everybody's, on an underlay of 1500: every system carries packets of one size.
const innerMTU = 1400

var throughputMetrics = []metric{
	{"tcp1", "TCP ×1", "Gbit/s", 1e9},
	{"tcp4", "TCP ×4", "Gbit/s", 1e9},
	{"udp64", "UDP 64 B", "kpps", 1e3},
	{"cpu1", "CPU/B TCP ×1", "ns", 1},
	{"cpu4", "CPU/B TCP ×4", "ns", 1},
	{"cpu64", "CPU/packet 64 B", "µs", 1},
	{"p50", "ping p50", "µs", 1},
	{"p99", "ping p99", "µs", 1},
}

// throughput compares what carries packets between two namespaces.
func throughput(ctx context.Context, o options) (*report, error) {
	l, err := newLab(ctx, "t")
	if err != nil {
		return nil, err
	}
	defer l.close()
	rep := &report{Part: "Between two namespaces"}
	systems, err := throughputSystems(l, o, rep)
	if err != nil {
		return nil, err
	}
	for _, s := range systems {
		if err := s.flow.serve(); err != nil {
			return nil, err
		}
	}
	r := rounds{}
	for n := range o.rounds {
		for _, s := range inTurn(systems, n) {
			if err := s.measure(r, o); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		progress("throughput", n+1, o.rounds)
	}
	names := namesOf(systems)
	for _, reference := range []string{nameWG, nameVeth} {
		if r["tcp1"][reference] != nil {
			rep.Tables = append(rep.Tables, compare("", r, throughputMetrics, names, reference))
		}
	}
	rep.Tables = append(rep.Tables, absolute("", r, throughputMetrics, names))
	rep.Raw = r.plain()
	noteFailures(rep, systems)
	return rep, nil
}

func progress(part string, n, of int) { fmt.Fprintf(os.Stderr, "%s: %d of %d\n", part, n, of) }

func namesOf(systems []*system) (names []string) {
	for _, s := range systems {
		names = append(names, s.name)
	}
	return names
}

// throughputSystems sets all of them up. What this machine cannot have is noted and left out.
func throughputSystems(l *lab, o options, rep *report) (systems []*system, err error) {
	for _, make := range []func(*lab, options, *report) (*system, error){
		vethSystem, vxlanSystem, wireguardSystem, nebulaSystem, libipsecSystem, greSystem, udpSystem, espSystem, espUDPSystem,
	} {
		s, err := make(l, o, rep)
		if err != nil {
			return nil, err
		}
		if s != nil && o.wants(s.name) {
			systems = append(systems, s)
		}
	}
	return systems, nil
}

// pair makes two namespaces, NAME-a and NAME-b, with a veth between them.
func (l *lab) pair(name string) error {
	return l.build(strings.ReplaceAll(`
		netns NAME-a
		netns NAME-b
		NAME-a: link add eth0 type veth peer name eth0 netns @NAME-b
		NAME-a: addr add 10.9.0.1/24 dev eth0
		NAME-b: addr add 10.9.0.2/24 dev eth0
		NAME-a: link set eth0 up
		NAME-b: link set eth0 up
	`, "NAME", name))
}

func (l *lab) flow(name, source, target string) flow {
	return flow{lab: l, from: name + "-a", to: name + "-b", source: source, target: target}
}

func vethSystem(l *lab, _ options, _ *report) (*system, error) {
	err := l.pair("veth")
	return &system{name: nameVeth, flow: l.flow("veth", "10.9.0.1", "10.9.0.2")}, err
}

func vxlanSystem(l *lab, _ options, rep *report) (*system, error) {
	if err := l.pair("vx"); err != nil {
		return nil, err
	}
	err := l.build(fmt.Sprintf(`
		vx-a: link add vx0 mtu %[1]d type vxlan id 1 remote 10.9.0.2 local 10.9.0.1 dstport 4789 dev eth0
		vx-b: link add vx0 mtu %[1]d type vxlan id 1 remote 10.9.0.1 local 10.9.0.2 dstport 4789 dev eth0
		vx-a: addr add 10.100.0.1/24 dev vx0
		vx-b: addr add 10.100.0.2/24 dev vx0
		vx-a: link set vx0 up
		vx-b: link set vx0 up
	`, innerMTU))
	if err != nil {
		rep.note("no kernel VXLAN here: %v", err)
		return nil, nil
	}
	return &system{name: nameVXLAN, flow: l.flow("vx", "10.100.0.1", "10.100.0.2")}, nil
}

func wireguardSystem(l *lab, _ options, rep *report) (*system, error) {
	w, err := findWireguard()
	if err != nil {
		rep.note("%v", err)
		return nil, nil
	}
	rep.note("wireguard-go %s", w.version)
	if err := l.pair("wg"); err != nil {
		return nil, err
	}
	a, err := newWGPeer("10.9.0.1:51820", "10.100.0.1/32")
	if err != nil {
		return nil, err
	}
	b, err := newWGPeer("10.9.0.2:51820", "10.100.0.2/32")
	if err != nil {
		return nil, err
	}
	pa, err := w.start(l, "wg-a", wgDevice("a"), a, b)
	if err != nil {
		return nil, err
	}
	pb, err := w.start(l, "wg-b", wgDevice("b"), b, a)
	if err != nil {
		return nil, err
	}
	err = l.build(fmt.Sprintf(`
		wg-a: addr add 10.100.0.1/24 dev %[1]s
		wg-b: addr add 10.100.0.2/24 dev %[2]s
		wg-a: link set %[1]s mtu %[3]d up
		wg-b: link set %[2]s mtu %[3]d up
	`, wgDevice("a"), wgDevice("b"), innerMTU))
	return &system{name: nameWG, flow: l.flow("wg", "10.100.0.1", "10.100.0.2"), daemons: []*process{pa, pb}}, err
}

// wgDevice is a name that no other run uses.
func wgDevice(end string) string { return fmt.Sprintf("wg%d%s", os.Getpid(), end) }

func greSystem(l *lab, o options, _ *report) (*system, error) {
	return spokewaySystem(l, o, nameGRE, "gre", carrier{encapsulation: "gre"})
}

func udpSystem(l *lab, o options, _ *report) (*system, error) {
	return spokewaySystem(l, o, nameUDP, "udp", carrier{encapsulation: "udp"})
}

func espSystem(l *lab, o options, _ *report) (*system, error) {
	return spokewaySystem(l, o, nameESP, "esp", carrier{"esp", true})
}

// espUDPSystem is what `encapsulation: auto` comes to between two routers of this kind.
func espUDPSystem(l *lab, o options, _ *report) (*system, error) {
	return spokewaySystem(l, o, nameESPUDP, "auto", carrier{"auto", true})
}

// carrier is what a tunnel's packets are in.
type carrier struct {
	encapsulation string
	protected     bool
}

// tunnel is the lines of a tunnel's configuration.
func (c carrier) tunnel() string {
	lines := "    encapsulation: " + c.encapsulation + "\n"
	if c.protected {
		lines += "    protect: bench\n"
	}
	return lines
}

// profiles is the profile that these lines name: wireguard-go's work with AES-256-GCM, keys by IKEv2 as by default.
func (c carrier) profiles() string {
	if !c.protected {
		return ""
	}
	return "profiles:\n  bench: {psk: no secret at all, esp: aes256gcm}\n"
}

// spokewaySystem is a hub and a spoke that is registered with it.
func spokewaySystem(l *lab, o options, name, space string, c carrier) (*system, error) {
	if err := l.pair(space); err != nil {
		return nil, err
	}
	a, err := l.spokeway(o, space+"-a", pairConfig(1, c, ""))
	if err != nil {
		return nil, err
	}
	b, err := l.spokeway(o, space+"-b", pairConfig(2, c, ", servers: [{nbma: 10.9.0.1}]"))
	if err != nil {
		return nil, err
	}
	f := l.flow(space, "10.100.0.1", "10.100.0.2")
	return &system{name: name, flow: f, daemons: []*process{a.process, b.process}}, a.registered(1)
}

func pairConfig(host int, c carrier, servers string) string {
	return fmt.Sprintf(`version: 1
tunnels:
  tun0:
    underlay: eth0
    address: 10.100.0.%d/24
    key: 42
    mtu: %d
%s    nhrp: {network-id: 1%s}
%s`, host, innerMTU, c.tunnel(), servers, c.profiles())
}

// pings is how many make one measurement, a millisecond apart.
const pings = 1000

// measure is one round of one system.
func (s *system) measure(r rounds, o options) error {
	for _, streams := range []int{1, 4} {
		if err := s.measureTCP(r, o, streams); err != nil {
			return err
		}
	}
	if err := s.measureUDP(r, o); err != nil {
		return err
	}
	us, _, err := ping(s.flow.lab, s.flow.from, netip.MustParseAddr(s.flow.source), netip.MustParseAddr(s.flow.target), pings)
	if err != nil {
		return err
	}
	r.add("p50", s.name, percentile(us, 50))
	r.add("p99", s.name, percentile(us, 99))
	return nil
}

func (s *system) measureTCP(r rounds, o options, streams int) error {
	got, cpu, err := s.attempt(func() (iperfResult, error) { return s.flow.tcp(streams, o.time) })
	r.add(fmt.Sprintf("tcp%d", streams), s.name, orNaN(got.bitsPerSecond, err))
	r.add(fmt.Sprintf("cpu%d", streams), s.name, s.each(cpu, got.bytes))
	return s.flow.lab.ctx.Err()
}

func (s *system) measureUDP(r rounds, o options) error {
	got, cpu, err := s.attempt(func() (iperfResult, error) { return s.flow.udp64(o.time) })
	r.add("udp64", s.name, orNaN(got.packetsPerSecond, err))
	r.add("cpu64", s.name, s.each(cpu, got.packets)/1000)
	return s.flow.lab.ctx.Err()
}

// attempts of a run. In a flood iperf3 may lose the connection by which its ends agree, and then has measured nothing.
const attempts = 3

// attempt runs until a run succeeds, and gives the daemons' CPU time of that one.
func (s *system) attempt(run func() (iperfResult, error)) (got iperfResult, cpu time.Duration, err error) {
	for range attempts {
		before := cpuTime(s.daemons...)
		if got, err = run(); err == nil {
			return got, cpuTime(s.daemons...) - before, nil
		}
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
	}
	s.failures++
	return iperfResult{}, 0, err
}

func orNaN(v float64, err error) float64 {
	if err != nil {
		return math.NaN()
	}
	return v
}

// each is the daemons' time for each of what was delivered, in nanoseconds.
func (s *system) each(cpu time.Duration, delivered float64) float64 {
	if len(s.daemons) == 0 || delivered == 0 {
		return math.NaN()
	}
	return float64(cpu.Nanoseconds()) / delivered
}

// noteFailures tells of rounds that a table lacks.
func noteFailures(rep *report, systems []*system) {
	for _, s := range systems {
		if s.failures > 0 {
			rep.note("%s: %d measurements failed %d times over and are left out", s.name, s.failures, attempts)
		}
	}
}
