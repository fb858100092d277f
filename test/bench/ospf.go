package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

// ospfSystem is a router that is given the database of a world.
type ospfSystem struct {
	name  string
	start func(l *lab, o options, space string) (*process, error)
}

var ospfSystems = []ospfSystem{
	{"FRR ospfd", startFRR},
	{"BIRD", startBIRD},
	{"Spokeway", startOurs},
}

var ospfMetrics = []metric{
	{"loaded", "database read", "ms", 1e-3},
	{"routes", "all routes in the kernel", "ms", 1e-3},
	{"cpu", "CPU for that", "ms", 1e-3},
	{"lost", "network lost, out of the kernel", "ms", 1e-3},
	{"found", "network back, in the kernel", "ms", 1e-3},
	{"change", "CPU for a change", "ms", 1e-3},
	{"resident", "resident", "MiB", 1 << 20},
}

// ospfWorlds are those that are fed.
var ospfWorlds = []struct {
	routers int
	shape
}{{1000, shapes[0]}, {10000, shapes[0]}, {10000, shapes[1]}, {10000, shapes[2]}}

const (
	ospfFlaps  = 3
	ospfRounds = 3
	ospfPause  = 1200 * time.Millisecond // between changes: longer than MinLSArrival and than any throttle remembers
)

func ospf(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: "ospf"}
	var systems []ospfSystem
	var names []string
	for _, s := range ospfSystems {
		if _, err := peersTree(); o.wants(s.name) && (err == nil || s.name == "Spokeway") {
			systems, names = append(systems, s), append(names, s.name)
		} else if err != nil {
			rep.note("%v", err)
		}
	}
	raw := map[string]any{}
	for _, world := range ospfWorlds {
		title := fmt.Sprintf("%d routers, %s", world.routers, world.name)
		r, err := ospfCompare(ctx, o, systems, world.routers, world.shape)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", title, err)
		}
		raw[title] = r.plain()
		rep.Tables = append(rep.Tables, compare(title, r, ospfMetrics, names, names[0]))
		if len(names) > 1 {
			rep.Tables = append(rep.Tables, absolute(title, r, ospfMetrics, names[len(names)-1:]))
		}
		progress("ospf: "+title, 1, 1)
	}
	rep.Raw = raw
	rep.note("throttles of FRR and Spokeway 10 ms, 20 ms, 5 s; BIRD computes on a tick of a second, its shortest; the interval of retransmission is 5 s, which FRR waits for when requests are answered before its exchange has ended; a change is one LSA, of a router that loses its links or has them again")
	return rep, nil
}

func ospfCompare(ctx context.Context, o options, systems []ospfSystem, n int, s shape) (rounds, error) {
	r := rounds{}
	for k := range min(o.rounds, ospfRounds) {
		for _, sys := range inTurn(systems, k) {
			if err := sys.measure(ctx, o, routerLSAs(n, s.links(n)), r); err != nil {
				return nil, fmt.Errorf("%s: %w", sys.name, err)
			}
		}
	}
	return r, nil
}

// measure gives one router the database, from a cold start, and then changes.
func (s ospfSystem) measure(ctx context.Context, o options, world []*wire.RouterLSA, r rounds) error {
	l, err := newLab(ctx, "o")
	if err != nil {
		return err
	}
	defer l.close()
	defer l.killAll("r")
	err = l.build(`
		netns r
		netns feed
		feed: link add wan type veth peer name wan netns @r
		feed: addr add 192.0.2.1/30 dev wan
		feed: link set wan up
		r: addr add 192.0.2.2/30 dev wan
		r: link set wan up
		r! ipv4/ip_forward 1`)
	if err != nil {
		return err
	}
	p, err := s.start(l, o, "r")
	if err != nil {
		return err
	}
	w, err := watchKernel(l, "r")
	if err != nil {
		return err
	}
	defer w.close()
	time.Sleep(2 * time.Second) // what it does at start is not what is measured
	before := l.cpuOf("r")
	f, err := newFeed(l, "feed", "wan", world)
	if err != nil {
		return err
	}
	defer f.close()
	last := worldPrefix(len(world) - 1).String()
	err = l.until("all routes are in the kernel", 2*time.Minute, func() bool {
		_, _, loaded := f.loaded()
		return loaded && w.count() >= len(world)
	})
	if err != nil {
		return fmt.Errorf("%w: %d of %d: %s", err, w.count(), len(world), p.tail())
	}
	began, asked, _ := f.loaded()
	r.add("loaded", s.name, asked.Sub(began).Seconds())
	r.add("routes", s.name, w.last().Sub(began).Seconds())
	time.Sleep(ospfPause)
	r.add("cpu", s.name, (l.cpuOf("r") - before).Seconds())
	if err := s.flap(l, f, w, world, last, r); err != nil {
		return err
	}
	r.add("resident", s.name, l.residentOf("r"))
	return nil
}

// flap takes the last router's links away and gives them back.
func (s ospfSystem) flap(l *lab, f *feed, w *kernelWatch, world []*wire.RouterLSA, prefix string, r rounds) error {
	k := len(world) - 1
	var lost, found []float64
	before := l.cpuOf("r")
	for range ospfFlaps {
		for _, there := range []bool{false, true} {
			body, times := alone(world[k]), &lost
			if there {
				body, times = world[k], &found
			}
			at, err := f.change(k, body)
			if err != nil {
				return err
			}
			if err := l.until("the change is in the kernel", 30*time.Second, func() bool { return w.has(prefix) == there }); err != nil {
				return err
			}
			*times = append(*times, w.last().Sub(at).Seconds())
			time.Sleep(ospfPause)
		}
	}
	r.add("lost", s.name, median(lost))
	r.add("found", s.name, median(found))
	r.add("change", s.name, (l.cpuOf("r")-before).Seconds()/(2*ospfFlaps))
	return nil
}

// kernelWatch follows the routes of 10.0.0.0/8 in a namespace's kernel.
type kernelWatch struct {
	done    chan struct{}
	mu      sync.Mutex
	routes  map[string]bool
	changed time.Time
}

func watchKernel(l *lab, space string) (*kernelWatch, error) {
	w := &kernelWatch{done: make(chan struct{}), routes: map[string]bool{}}
	there, err := netns.GetFromName(l.prefix + space)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	updates := make(chan netlink.RouteUpdate, 1<<16)
	err = netlink.RouteSubscribeWithOptions(updates, w.done, netlink.RouteSubscribeOptions{
		Namespace: &there, ReceiveBufferSize: 64 << 20, ReceiveBufferForceSize: true, ErrorCallback: func(error) {},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for u := range updates {
			w.take(u)
		}
	}()
	return w, nil
}

func (w *kernelWatch) take(u netlink.RouteUpdate) {
	if u.Dst == nil || u.Dst.IP[0] != 10 || u.Table != unix.RT_TABLE_MAIN {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = time.Now()
	if u.Type == unix.RTM_NEWROUTE {
		w.routes[u.Dst.String()] = true
	} else {
		delete(w.routes, u.Dst.String())
	}
}

func (w *kernelWatch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.routes)
}

func (w *kernelWatch) has(prefix string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes[prefix]
}

// last is when a route came or went last.
func (w *kernelWatch) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *kernelWatch) close() { close(w.done) }

// cpuOf is the CPU time of all processes in a namespace.
func (l *lab) cpuOf(space string) (sum time.Duration) {
	for _, p := range pidsIn(l.prefix + space) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		sum += cpuOf(string(b))
	}
	return sum
}

// residentOf is the memory of all processes in a namespace, in octets.
func (l *lab) residentOf(space string) float64 {
	sum := 0
	for _, p := range pidsIn(l.prefix + space) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, _ := strconv.Atoi(strings.Fields(rest)[0])
				sum += kib << 10
			}
		}
	}
	if sum == 0 {
		return math.NaN()
	}
	return float64(sum)
}

// killAll ends what daemonised in a namespace.
func (l *lab) killAll(space string) {
	for _, p := range pidsIn(l.prefix + space) {
		syscall.Kill(p, syscall.SIGKILL)
	}
}

const ourOSPF = `version: 1
ospf:
  router-id: 1.1.1.1
  areas: {0: {interfaces: {wan: {network: point-to-point, hello: 1, dead: 60}}}}
`

func startOurs(l *lab, o options, space string) (*process, error) {
	n, err := l.spokeway(o, space, ourOSPF)
	if err != nil {
		return nil, err
	}
	return n.process, l.until("the router runs", 20*time.Second, func() bool {
		_, err := n.show("routes")
		return err == nil
	})
}

// treeEnter does its arguments in the tree, on a writable layer of its own that is gone with the process.
const treeEnter = `set -e
dir=$1 root=$2 script=$3
mount -t tmpfs bench "$dir/mnt"
mkdir "$dir/mnt/upper" "$dir/mnt/work" "$dir/mnt/root"
mount -t overlay bench "$dir/mnt/root" -o "lowerdir=$root,upperdir=$dir/mnt/upper,workdir=$dir/mnt/work"
root=$dir/mnt/root
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs bench "$root/run"
mkdir -p "$root/lab" "$root/run/frr"
mount --bind "$dir" "$root/lab"
exec chroot "$root" sh -c "$script"`

func (l *lab) tree(space, script string, files map[string]string) (*process, error) {
	root, err := peersTree()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.dir, space+"-tree")
	if err := os.MkdirAll(filepath.Join(dir, "mnt"), 0o755); err != nil {
		return nil, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return l.start(space, nil, "unshare", "--mount", "--propagation", "private", "sh", "-c", treeEnter, "sh", dir, root, script)
}

const frrOSPF = `interface wan
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 60
router ospf
 ospf router-id 1.1.1.1
 timers throttle spf 10 20 5000
`

func startFRR(l *lab, _ options, space string) (*process, error) {
	p, err := l.tree(space, `install -d -o frr -g frr /run/frr
/usr/lib/frr/zebra -d -f /lab/zebra.conf -i /run/frr/zebra.pid -z /run/frr/zserv.api --vty_socket /run/frr
exec /usr/lib/frr/ospfd -f /lab/ospfd.conf -i /run/frr/ospfd.pid -z /run/frr/zserv.api --vty_socket /run/frr`,
		map[string]string{"zebra.conf": "", "ospfd.conf": frrOSPF})
	if err != nil {
		return nil, err
	}
	return p, l.until("ospfd and zebra run", 20*time.Second, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/frr/ospfd.vty", p.pid()))
		return err == nil
	})
}

const birdOSPF = `router id 1.1.1.1;
protocol device { }
protocol kernel { ipv4 { import none; export all; }; }
protocol ospf v2 {
  tick 1;
  ipv4 { import all; };
  area 0 { interface "wan" { type ptp; cost 10; hello 1; dead 60; rx buffer 65535; }; };
}
`

func startBIRD(l *lab, _ options, space string) (*process, error) {
	p, err := l.tree(space, runBIRD, map[string]string{"bird.conf": birdOSPF})
	if err != nil {
		return nil, err
	}
	return p, l.until("BIRD runs", 20*time.Second, func() bool { return p.birdc("show", "status") == nil })
}
