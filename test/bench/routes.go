package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// How routes get from a table of ours into the kernel's, and from there to another next hop. All write the same: hosts in
// 10.0.0.0/8 by a gateway on one of two interfaces. What counts is when the kernel has it.

const (
	routeCount = 100000
	nameFIB    = "Spokeway"
	nameBatch  = "ip -batch"
	nameBIRD   = "BIRD"
	nameFRR    = "FRR"
)

// The two ways out of each namespace.
const (
	firstDevice, firstGateway   = "v0", "192.0.2.2"
	secondDevice, secondGateway = "v2", "192.0.3.2"
)

// writer is a program that writes routes.
type writer struct {
	name  string
	space string
	lab   *lab
	// do begins what brings the routes to a state: by the first gateway, by the second, or away.
	do     map[string]func() error
	own    int                      // prefixes of the interfaces
	before func(state string) error // what is not measured; may be nil
}

// The states, in order.
var routeStates = []string{"in", "moved", "out"}

func routesPart(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: "routes"}
	l, err := newLab(ctx, "routes")
	if err != nil {
		return nil, err
	}
	defer l.close()
	defer l.killAll(frrSpace)
	var writers []*writer
	for _, begin := range []func(*lab, options, *report) (*writer, error){fibWriter, batchWriter, birdWriter, frrWriter} {
		w, err := begin(l, o, rep)
		if err != nil {
			return nil, err
		}
		if w != nil {
			writers = append(writers, w)
		}
	}
	r := rounds{}
	for round := range o.rounds {
		for _, w := range inTurn(writers, round) {
			if err := w.measure(r); err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	var names []string
	for _, w := range writers {
		names = append(names, w.name)
	}
	metrics := []metric{
		{"in", "in", "thousand routes/s", 1e3}, {"moved", "all to another next hop", "thousand routes/s", 1e3}, {"out", "out", "thousand routes/s", 1e3},
	}
	rep.Tables = append(rep.Tables, compare("", r, metrics, names, nameBatch), absolute("", r, metrics, names))
	rep.Raw = r.plain()
	rep.note("%d IPv4 host routes; %s offers them to its RIB all at once, as OSPF does, BIRD by a static protocol that is enabled, %s reads a file, %s hears of them by BGP from a BIRD beside it, which has them in memory", routeCount, nameFIB, nameBatch, nameFRR)
	rep.note("done is when the kernel's table has them: %d of them are asked for all the time, the whole is looked at when these are there", len(samples))
	return rep, nil
}

// namespace makes one with two ways out.
func (l *lab) writerSpace(name string) error {
	return l.build(fmt.Sprintf(`netns %[1]s
%[1]s: link add v0 type veth peer name v1
%[1]s: link add v2 type veth peer name v3
%[1]s: addr add 192.0.2.1/24 dev v0
%[1]s: addr add 192.0.3.1/24 dev v2
%[1]s: link set v1 up
%[1]s: link set v0 up
%[1]s: link set v3 up
%[1]s: link set v2 up
`, name))
}

// measure brings the routes in, moves them, and takes them out.
func (w *writer) measure(r rounds) error {
	w.own = w.prefixes()
	for _, state := range routeStates {
		if w.before != nil {
			if err := w.before(state); err != nil {
				return err
			}
		}
		begin := time.Now()
		if err := w.do[state](); err != nil {
			return err
		}
		took, err := w.await(state, begin)
		if err != nil {
			return err
		}
		r.add(state, w.name, routeCount/took.Seconds())
	}
	return nil
}

// await waits until the kernel's table is in a state. It asks for some of the routes only, since reading the whole table takes
// a processor that those who write need; when these are as they have to be the whole is looked at.
func (w *writer) await(state string, begin time.Time) (took time.Duration, err error) {
	var links [2]int
	var h *netlink.Handle
	err = w.lab.in(w.space, func() (err error) {
		for i, name := range []string{firstDevice, secondDevice} {
			link, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			links[i] = link.Index
		}
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer h.Close()
	out := map[string]int{"in": links[0], "moved": links[1]}[state]
	done := 0 // samples
	err = w.lab.until(fmt.Sprintf("the routes are %s", state), 2*time.Minute, func() bool {
		for done < len(samples) && leaves(h, samples[done]) == out {
			done++
		}
		took = time.Since(begin)
		return done == len(samples) && w.whole(state)
	})
	return took, err
}

// samples are the routes that are asked for: some, and the last.
var samples = func() (all []net.IP) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		all = append(all, nthRoute(r.IntN(routeCount)).Addr().AsSlice())
	}
	return append(all, nthRoute(routeCount-1).Addr().AsSlice())
}()

// leaves is the interface by which the kernel would send to a host; 0 for none.
func leaves(h *netlink.Handle, to net.IP) int {
	routes, err := h.RouteGet(to)
	if err != nil || len(routes) == 0 {
		return 0
	}
	return routes[0].LinkIndex
}

// whole reports whether all of the table is in a state.
func (w *writer) whole(state string) bool {
	switch state {
	case "in":
		return w.prefixes()-w.own >= routeCount
	case "out":
		return w.prefixes() == w.own
	}
	return w.moved()
}

// prefixes is how many the main table has, and the local one with it, which Linux keeps there as long as no rule tells them apart.
func (w *writer) prefixes() int {
	var b []byte
	err := w.lab.in(w.space, func() (err error) {
		b, err = os.ReadFile("/proc/thread-self/net/fib_triestat")
		return err
	})
	if err != nil {
		return -1
	}
	_, main, _ := strings.Cut(string(b), "Main:")
	for line := range strings.Lines(main) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Prefixes:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return -1
}

// moved reports whether no route leads out of the first interface any more.
func (w *writer) moved() bool {
	out, err := exec.Command("sh", "-c", "ip -n "+w.lab.prefix+w.space+" route show root 10.0.0.0/8 dev "+firstDevice+" | head -n 1").Output()
	return err == nil && len(bytes.TrimSpace(out)) == 0
}

// fibWriter is our RIB and what is below it, in a process of their own.
func fibWriter(l *lab, o options, rep *report) (*writer, error) {
	if !o.wants(nameFIB) {
		return nil, nil
	}
	if err := l.writerSpace("ours"); err != nil {
		return nil, err
	}
	pipe := filepath.Join(l.dir, "fib")
	if err := l.command("mkfifo", pipe); err != nil {
		return nil, err
	}
	p, err := l.start("ours", nil, "sh", "-c", `exec "$0" "$1" < "$2"`, o.self, fibCommand, pipe)
	if err != nil {
		return nil, err
	}
	in, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := l.until("our process is ready", 20*time.Second, func() bool { return strings.Contains(p.tail(), "ready") }); err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.tail())
	}
	tell := func(device, gateway string) func() error {
		return func() error {
			_, err := fmt.Fprintln(in, routeCount, device, gateway)
			return err
		}
	}
	return &writer{name: nameFIB, space: "ours", lab: l, do: map[string]func() error{
		"in": tell(firstDevice, firstGateway), "moved": tell(secondDevice, secondGateway), "out": tell("-", "-"),
	}}, nil
}

// batchWriter is iproute2 with a file of commands.
func batchWriter(l *lab, _ options, _ *report) (*writer, error) {
	if err := l.writerSpace("batch"); err != nil {
		return nil, err
	}
	w := &writer{name: nameBatch, space: "batch", lab: l, do: map[string]func() error{}}
	for i, line := range []string{
		"route add %v via " + firstGateway + " metric 110\n", "route replace %v via " + secondGateway + " metric 110\n", "route del %v metric 110\n",
	} {
		file := filepath.Join(l.dir, routeStates[i]+".batch")
		if err := os.WriteFile(file, []byte(eachRoute("", line, "")), 0o644); err != nil {
			return nil, err
		}
		w.do[routeStates[i]] = func() error { return l.command("ip", "-n", l.prefix+"batch", "-batch", file) }
	}
	return w, nil
}

// eachRoute is a line for every route between head and tail.
func eachRoute(head, line, tail string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := range routeCount {
		fmt.Fprintf(&b, line, nthRoute(i))
	}
	b.WriteString(tail)
	return b.String()
}

// birdHead is what every BIRD needs that writes its table into the kernel.
const birdHead = "router id 192.0.2.1;\nprotocol device {}\nprotocol kernel { learn off; scan time 3600; ipv4 { import none; export all; }; }\n"

// birdWriter is BIRD of the tree that test/peers/install makes.
func birdWriter(l *lab, o options, rep *report) (*writer, error) {
	if !o.wants(nameBIRD) {
		return nil, nil
	}
	if _, err := peersTree(); err != nil {
		rep.note("%v", err)
		return nil, nil
	}
	if err := l.writerSpace("bird"); err != nil {
		return nil, err
	}
	p, err := l.tree("bird", runBIRD, map[string]string{"bird.conf": birdHead + statics("via "+firstGateway, "via "+secondGateway)})
	if err != nil {
		return nil, err
	}
	if err := l.until("BIRD answers", 60*time.Second, func() bool { return p.birdc("show", "status") == nil }); err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.tail())
	}
	if out, err := p.inside("/usr/sbin/bird", "--version"); err == nil {
		rep.note("%s", strings.TrimSpace(string(out)))
	}
	return &writer{name: nameBIRD, space: "bird", lab: l, do: staticStates(p.birdc), before: secondStatics(p.birdc)}, nil
}

// statics is two static protocols of BIRD, the first preferred to the second.
func statics(first, second string) string {
	return eachRoute("protocol static first { disabled; ipv4 { preference 200; };\n", "route %v "+first+";\n", "}\n") +
		eachRoute("protocol static second { disabled; ipv4 { preference 100; };\n", "route %v "+second+";\n", "}\n")
}

// staticStates brings the two static protocols of a BIRD to the states.
func staticStates(birdc func(...string) error) map[string]func() error {
	return map[string]func() error{
		"in":    func() error { return birdc("enable", "first") },
		"moved": func() error { return birdc("disable", "first") },
		"out":   func() error { return birdc("disable", "second") },
	}
}

// secondStatics has what routes move to there before, which is not what is measured.
func secondStatics(birdc func(...string) error) func(state string) error {
	return func(state string) error {
		if state != "moved" {
			return nil
		}
		return birdc("enable", "second")
	}
}

const (
	frrSpace = "frr"

	frrBGP = `router bgp 65000
 bgp router-id 192.0.2.1
 neighbor 198.51.100.2 remote-as 65000
 neighbor 198.51.100.2 update-source 198.51.100.1
 neighbor 198.51.100.2 passive
`
	birdBGP = `router id 198.51.100.2;
protocol device {}
protocol bgp frr {
  local 198.51.100.2 port 1179 as 65000;
  strict bind;
  neighbor 198.51.100.1 as 65000;
  ipv4 { import none; export filter { bgp_next_hop = ` + secondGateway + `; if proto = "first" then bgp_next_hop = ` + firstGateway + `; accept; }; };
}
`
)

// frrWriter is zebra and bgpd of the tree, fed by BIRD: without a protocol that brings them, FRR has no routes, and a file of
// static ones is its configuration's work.
func frrWriter(l *lab, o options, rep *report) (*writer, error) {
	if !o.wants(nameFRR) {
		return nil, nil
	}
	if _, err := peersTree(); err != nil {
		rep.note("%v", err)
		return nil, nil
	}
	if err := l.writerSpace(frrSpace); err != nil {
		return nil, err
	}
	if err := l.build(frrSpace + ": addr add 198.51.100.1/32 dev lo\n" + frrSpace + ": addr add 198.51.100.2/32 dev lo\n" + frrSpace + ": link set lo up\n"); err != nil {
		return nil, err
	}
	p, err := l.tree(frrSpace, `install -d -o frr -g frr /run/frr
for d in zebra bgpd; do
	/usr/lib/frr/$d -d -f /lab/$d.conf -i /run/frr/$d.pid -z /run/frr/zserv.api --vty_socket /run/frr
done
`+runBIRD,
		map[string]string{"zebra.conf": "", "bgpd.conf": frrBGP, "bird.conf": birdBGP + statics("blackhole", "blackhole")})
	if err != nil {
		return nil, err
	}
	err = l.until("BIRD and FRR talk BGP", 60*time.Second, func() bool {
		out, _ := p.birdcl("show", "protocols", "frr")
		return bytes.Contains(out, []byte("Established"))
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.tail())
	}
	if out, err := p.inside("/usr/lib/frr/zebra", "--version"); err == nil {
		version, _, _ := strings.Cut(string(out), "\n")
		rep.note("%s", version)
	}
	return &writer{name: nameFRR, space: frrSpace, lab: l, do: staticStates(p.birdc), before: secondStatics(p.birdc)}, nil
}
