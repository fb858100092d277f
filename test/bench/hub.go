package main

import (
	"context"
	"fmt"
)

// hub compares what forwards between two spokes. The hub's CPU time is what counts: the spokes share its cores.
func hub(ctx context.Context, o options) (*report, error) {
	l, err := newLab(ctx, "h")
	if err != nil {
		return nil, err
	}
	defer l.close()
	rep := &report{Part: "Spoke, hub, spoke"}
	systems, err := hubSystems(l, o, rep)
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
			if err := s.measureHub(r, o); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		progress("hub", n+1, o.rounds)
	}
	if names := namesOf(systems); r["tcp1"][nameWG] != nil {
		rep.Tables = append(rep.Tables, compare("", r, hubMetrics, names, nameWG), absolute("", r, hubMetrics, names))
	} else {
		rep.Tables = append(rep.Tables, absolute("", r, hubMetrics, names))
	}
	rep.Tables = append(rep.Tables, fastOverKernel(r))
	rep.Raw = r.plain()
	noteFailures(rep, systems)
	return rep, nil
}

var hubMetrics = []metric{
	{"tcp1", "TCP ×1", "Gbit/s", 1e9},
	{"cpu1", "hub CPU/B TCP ×1", "ns", 1},
	{"udp64", "UDP 64 B", "kpps", 1e3},
	{"cpu64", "hub CPU/packet 64 B", "µs", 1},
}

// fastOverKernel is what the fast path gains.
func fastOverKernel(r rounds) table {
	t := table{Columns: []string{"fast path to kernel path"}}
	for _, m := range hubMetrics {
		t.Columns = append(t.Columns, m.title)
	}
	for _, e := range []string{"GRE", "GRE-in-UDP", "ESP in UDP"} {
		row := []string{e}
		for _, m := range hubMetrics {
			row = append(row, spreadOf(r.ratios(m.key, e+", fast path", e+", kernel path")).String())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (s *system) measureHub(r rounds, o options) error {
	if err := s.measureTCP(r, o, 1); err != nil {
		return err
	}
	return s.measureUDP(r, o)
}

func hubSystems(l *lab, o options, rep *report) (systems []*system, err error) {
	w, err := findWireguard()
	if err != nil {
		rep.note("%v", err)
	} else {
		rep.note("wireguard-go %s", w.version)
		s, err := wireguardHub(l, w)
		if err != nil {
			return nil, err
		}
		systems = append(systems, s)
	}
	for _, c := range []struct {
		name, space string
		carrier
		fast bool
	}{
		{"GRE, kernel path", "gk", carrier{"gre", false}, false},
		{"GRE, fast path", "gf", carrier{"gre", false}, true},
		{"GRE-in-UDP, kernel path", "uk", carrier{"udp", false}, false},
		{"GRE-in-UDP, fast path", "uf", carrier{"udp", false}, true},
		{"ESP in UDP, kernel path", "ek", carrier{"auto", true}, false},
		{"ESP in UDP, fast path", "ef", carrier{"auto", true}, true},
	} {
		if !o.wants(c.name) {
			continue
		}
		t, err := l.star(c.space)
		if err != nil {
			return nil, err
		}
		if err := t.routers(o, cloud{carrier: c.carrier, fast: c.fast}); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		systems = append(systems, &system{name: c.name, flow: t.flow(), daemons: []*process{t.hub.process}})
	}
	return systems, nil
}

// star is a hub with a veth to each of two spokes, which reach each other through it. Each has a LAN, and
// every address of the right one answers.
type star struct {
	lab              *lab
	name             string
	hub, left, right *node
}

const (
	leftLAN  = "192.168.1.1"
	rightLAN = "192.168.2.1"
)

func (l *lab) star(name string) (*star, error) {
	s := &star{lab: l, name: name}
	return s, l.build(fmt.Sprintf(`
		netns %[1]s-h
		netns %[1]s-a
		netns %[1]s-b
		%[1]s-h! ipv4/ip_forward 1
		%[1]s-h! ipv4/conf/all/send_redirects 0
		%[1]s-h! ipv4/conf/default/send_redirects 0
		%[1]s-h: addr add 10.9.0.1/32 dev lo
		%[1]s-h: link add left type veth peer name eth0 netns @%[1]s-a
		%[1]s-h: link add right type veth peer name eth0 netns @%[1]s-b
		%[1]s-h: addr add 10.9.1.1/24 dev left
		%[1]s-h: addr add 10.9.2.1/24 dev right
		%[1]s-a: addr add 10.9.1.2/24 dev eth0
		%[1]s-b: addr add 10.9.2.2/24 dev eth0
		%[1]s-a: link add lan type veth peer name host
		%[1]s-b: link add lan type veth peer name host
		%[1]s-a: addr add %[2]s/24 dev lan
		%[1]s-b: addr add %[3]s/24 dev lan
		%[1]s-h: link set left up
		%[1]s-h: link set right up
		%[1]s-a: link set eth0 up
		%[1]s-b: link set eth0 up
		%[1]s-a: link set lan up
		%[1]s-a: link set host up
		%[1]s-b: link set lan up
		%[1]s-b: link set host up
		%[1]s-b: route add local 192.168.2.0/24 dev lo
		%[1]s-a: route add 10.9.0.0/16 via 10.9.1.1
		%[1]s-b: route add 10.9.0.0/16 via 10.9.2.1
	`, name, leftLAN, rightLAN))
}

func (s *star) flow() flow {
	return flow{lab: s.lab, from: s.name + "-a", to: s.name + "-b", source: leftLAN, target: rightLAN}
}

// cloud is what the routers of a star are to do.
type cloud struct {
	carrier
	fast, shortcut bool
}

func (s *star) routers(o options, c cloud) (err error) {
	if s.hub, err = s.lab.spokeway(o, s.name+"-h", starHub(c)); err != nil {
		return err
	}
	if s.left, err = s.lab.spokeway(o, s.name+"-a", starSpoke(c, 2)); err != nil {
		return err
	}
	if s.right, err = s.lab.spokeway(o, s.name+"-b", starSpoke(c, 3)); err != nil {
		return err
	}
	return s.hub.registered(2)
}

func starHub(c cloud) string {
	return fmt.Sprintf(`version: 1
tunnels:
  tun0:
    underlay: 10.9.0.1
    address: 10.100.0.1/24
    key: 42
    mtu: %d
%s    fast-path: %v
    nhrp: {network-id: 1}
routes:
  - {to: 192.168.1.0/24, via: 10.100.0.2}
  - {to: 192.168.2.0/24, via: 10.100.0.3}
%s`, innerMTU, c.tunnel(), c.fast, c.profiles())
}

func starSpoke(c cloud, host int) string {
	return fmt.Sprintf(`version: 1
tunnels:
  tun0:
    underlay: eth0
    address: 10.100.0.%d/24
    key: 42
    mtu: %d
%s    nhrp: {network-id: 1, shortcut: %v, servers: [{nbma: 10.9.0.1, protocol: 10.100.0.1}]}
routes:
  - {to: 192.168.0.0/16, via: 10.100.0.1}
%s`, host, innerMTU, c.tunnel(), c.shortcut, c.profiles())
}

// wireguardHub is a star whose hub forwards between two WireGuard peers.
func wireguardHub(l *lab, w *wireguard) (*system, error) {
	s, err := l.star("wg")
	if err != nil {
		return nil, err
	}
	h, err := newWGPeer("10.9.0.1:51820", "192.168.0.0/16")
	if err != nil {
		return nil, err
	}
	a, err := newWGPeer("10.9.1.2:51820", leftLAN+"/32")
	if err != nil {
		return nil, err
	}
	b, err := newWGPeer("10.9.2.2:51820", rightLAN+"/32")
	if err != nil {
		return nil, err
	}
	hubProcess, err := w.start(l, "wg-h", wgDevice("h"), h, a, b)
	if err != nil {
		return nil, err
	}
	for _, spoke := range []struct {
		space, device string
		peer          wgPeer
	}{{"wg-a", wgDevice("x"), a}, {"wg-b", wgDevice("y"), b}} {
		if _, err := w.start(l, spoke.space, spoke.device, spoke.peer, h); err != nil {
			return nil, err
		}
		err := l.build(fmt.Sprintf(`
			%[1]s: link set %[2]s mtu %[3]d up
			%[1]s: route add 192.168.0.0/16 dev %[2]s
		`, spoke.space, spoke.device, innerMTU))
		if err != nil {
			return nil, err
		}
	}
	err = l.build(fmt.Sprintf(`
		wg-h: link set %[1]s mtu %[2]d up
		wg-h: route add 192.168.0.0/16 dev %[1]s
	`, wgDevice("h"), innerMTU))
	return &system{name: nameWG, flow: s.flow(), daemons: []*process{hubProcess}}, err
}
