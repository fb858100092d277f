package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// bfdLoad is so many sessions between two ends, three packets of which may be missed.
type bfdLoad struct {
	sessions int
	interval time.Duration
}

var bfdLoads = []bfdLoad{{100, 10 * time.Millisecond}, {1000, 50 * time.Millisecond}, {5000, 300 * time.Millisecond}}

func (c bfdLoad) String() string { return fmt.Sprintf("%d × %v × 3", c.sessions, c.interval) }

// bfdAddress is the address of a session at an end. Every session has its own at both, since FRR tells sessions over one hop
// apart by the peer alone.
func bfdAddress(end, k int) string { return fmt.Sprintf("10.%d.%d.%d", end+1, k>>8, k&255) }

func bfdHardware(end int) string { return fmt.Sprintf("02:00:00:00:00:%02x", end+1) }

// bfdEnd is one of the two ends of a load, of some make.
type bfdEnd interface {
	up() (int, error)    // sessions that are
	falls() (int, error) // so far
	pids() []int         // of what does BFD
}

// bfdMake makes an end in a namespace, with its link plugged into the bridge.
type bfdMake struct {
	name string
	make func(l *lab, c bfdLoad, end int) (bfdEnd, error)
}

// theirs tells that a make is not ours: what it cannot do is a result.
func (m bfdMake) theirs() bool { return m.name != oursName }

const oursName = "spokeway"

// bfdBench holds each load with each make, one after the other, there and back.
func bfdBench(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: "bfd"}
	makes := []bfdMake{{oursName, ourBFD(o)}}
	if err := havePeers(); err != nil {
		rep.note("%v", err)
	} else {
		makes = append(makes, bfdMake{"FRR bfdd", frrBFD}, bfdMake{"BIRD", birdBFD})
	}
	t := table{Columns: []string{"sessions", "system", "false alarms", "standstills", "up at the end", "CPU, % of a core at one end", "memory, MB at one end", "load average"}}
	for i, c := range bfdLoads {
		order := slices.Clone(makes)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, m := range order {
			if !o.wants(m.name + " " + c.String()) {
				continue
			}
			row, err := m.hold(ctx, rep, c, o.hold)
			if err != nil {
				return nil, fmt.Errorf("%s, %v: %w", m.name, c, err)
			}
			t.Rows = append(t.Rows, row)
			fmt.Fprintln(os.Stderr, strings.Join(row, " | ")) // it takes long
		}
	}
	rep.Tables = append(rep.Tables, t)
	rep.note("over a bridge that loses nothing, %v each, one after the other; failures that either end told of, 5 s after all were up, or 30 s where they never were at once; every process that does BFD at nice −20", o.hold)
	rep.note("standstills: how often a thread at nice −20 that only sleeps, 2 ms at a time, was late by three intervals, of which each processor has one: then it stood still")
	return rep, nil
}

// hold is one row: a make under a load for a while.
func (m bfdMake) hold(ctx context.Context, rep *report, c bfdLoad, span time.Duration) ([]string, error) {
	l, err := newLab(ctx, "bfd")
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.build("netns lan\nlan: link add br0 type bridge mcast_snooping 0\nlan: link set br0 up"); err != nil {
		return nil, err
	}
	var ends [2]bfdEnd
	for i := range ends {
		if ends[i], err = m.make(l, c, i); err != nil && m.theirs() && ctx.Err() == nil {
			rep.note("%s, %v: does not start: %v", m.name, c, err)
			return []string{c.String(), m.name, "does not start", "–", "–", "–", "–", "–"}, nil
		}
		if err != nil {
			return nil, err
		}
		if stop, ok := ends[i].(interface{ stop() }); ok {
			defer stop.stop()
		}
		for _, pid := range ends[i].pids() {
			goFirst(pid)
		}
	}
	for i, e := range ends { // one that never has all up is measured all the same
		_ = l.until(fmt.Sprintf("end %d has all sessions up", i), patienceBFD, func() bool {
			n, err := e.up()
			return err == nil && n == c.sessions
		})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if _, err := l.standstills(5*time.Second, c.interval*3); err != nil {
		return nil, err
	}
	return m.measure(l, rep, c, ends, span)
}

func (m bfdMake) measure(l *lab, rep *report, c bfdLoad, ends [2]bfdEnd, span time.Duration) ([]string, error) {
	var before, after int
	var spent time.Duration
	count := func() (n int, err error) {
		for _, e := range ends {
			k, err := e.falls()
			if err != nil {
				return 0, err
			}
			n += k
		}
		return n, nil
	}
	before, err := count()
	if err != nil {
		return nil, err
	}
	cpu := ticks(ends[0].pids())
	began := time.Now()
	stalls, err := l.standstills(span, c.interval*3)
	if err != nil {
		return nil, err
	}
	spent, cpu = time.Since(began), ticks(ends[0].pids())-cpu
	if after, err = count(); err != nil {
		return nil, err
	}
	for i, e := range ends {
		if e, ok := e.(*oursEnd); ok && after > before {
			rep.note("%s, %v, end %d: they came in lumps of %v, by second", m.name, c, i+1, e.lumps(began))
		}
	}
	share, memory := 100*cpu.Seconds()/spent.Seconds(), resident(ends[0].pids())
	alive, err := ends[0].up()
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("%s %d", m.name, c.sessions)
	rep.fact(key+" falls", float64(after-before))
	rep.fact(key+" cpu", share)
	rep.fact(key+" MB", memory)
	return []string{c.String(), m.name, strconv.Itoa(after - before), strconv.Itoa(stalls), strconv.Itoa(alive), digits(share), digits(memory), strings.TrimPrefix(load1(), "load average ")}, nil
}

// standstills lets a time pass, and counts how often the machine kept a thread that goes before all others from running for
// longer than it takes to find a failure. Each processor has one: it may be that one alone stands still.
func (l *lab) standstills(span, still time.Duration) (n int, err error) {
	var late atomic.Int64
	var naps sync.WaitGroup
	end := time.Now().Add(span)
	for cpu := range runtime.NumCPU() {
		naps.Go(func() {
			runtime.LockOSThread() // for good: its priority and its processor go with the thread
			var one unix.CPUSet
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one)
			_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20)
			nap := unix.NsecToTimespec(int64(2 * time.Millisecond))
			for at := time.Now(); at.Before(end) && l.ctx.Err() == nil; {
				_ = unix.Nanosleep(&nap, nil)
				now := time.Now()
				if now.Sub(at) > still {
					late.Add(1)
				}
				at = now
			}
		})
	}
	naps.Wait()
	return int(late.Load()), l.ctx.Err()
}

// goFirst gives a process the priority that our worker gives itself.
func goFirst(pid int) {
	const first = -20
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(strconv.Itoa(first)), 0)
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, first)
		}
	}
}

func ticks(pids []int) (all time.Duration) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		all += cpuOf(string(b))
	}
	return all
}

// resident is the memory of processes in MB, without what they share with files.
func resident(pids []int) (mb float64) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(b)) {
			if kb, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
				mb += n / 1024
			}
		}
	}
	return mb
}

// patienceBFD is how long an end has to bring its sessions up.
const patienceBFD = 30 * time.Second

// bfdAddresses is a script for ip -batch that gives an end its addresses, and the other's, which are more than the kernel
// would learn.
func bfdAddresses(c bfdLoad, end int, device string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "link set %s address %s up\n", device, bfdHardware(end))
	for k := range c.sessions {
		fmt.Fprintf(&s, "address add %s/8 dev %s\n", bfdAddress(end, k), device)
		fmt.Fprintf(&s, "neighbor replace %s lladdr %s dev %s nud permanent\n", bfdAddress(1-end, k), bfdHardware(1-end), device)
	}
	return s.String()
}

// processesIn are those of a name among the descendants of a process.
func processesIn(parent int, name string) (pids []int) {
	for _, pid := range childrenOf(parent) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(comm)) == name {
			pids = append(pids, pid)
		}
		pids = append(pids, processesIn(pid, name)...)
	}
	return pids
}

func childrenOf(parent int) (pids []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, t := range tasks {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(parent), "task", t.Name(), "children"))
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
