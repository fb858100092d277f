package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// profile asks both ends of a tunnel where their time goes while one TCP stream runs through it.
func profile(ctx context.Context, o options) (*report, error) {
	rep := &report{Part: "Where the time goes"}
	if err := os.MkdirAll(o.profiles, 0o755); err != nil {
		return nil, err
	}
	var ends []end
	for _, e := range []struct {
		name string
		carrier
	}{{"GRE-in-UDP", carrier{encapsulation: "udp"}}, {"ESP in UDP", carrier{"auto", true}}} {
		files, err := profilePair(ctx, o, e.carrier)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		for i, who := range []string{" sender", " receiver"} {
			top, err := topOf(ctx, files[i])
			if err != nil {
				return nil, err
			}
			ends = append(ends, end{e.name + who, top})
		}
	}
	rep.Tables = []table{shares(ends), flat(ends[2]), flat(ends[3])}
	return rep, nil
}

// end is one router's profile.
type end struct {
	name string
	top  []function
}

// function is one line of a profile: percent of all samples in it, and in it with all it calls.
type function struct {
	name      string
	flat, cum float64
}

const profileSeconds = 5

// profilePair gives the profiles of the sender and the receiver.
func profilePair(ctx context.Context, o options, c carrier) (files []string, err error) {
	l, err := newLab(ctx, "p")
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.pair("p"); err != nil {
		return nil, err
	}
	receiver, receiverSocket, err := l.profiled(o, "p-b", pairConfig(1, c, ""))
	if err != nil {
		return nil, err
	}
	_, senderSocket, err := l.profiled(o, "p-a", pairConfig(2, c, ", servers: [{nbma: 10.9.0.2}]"))
	if err != nil {
		return nil, err
	}
	if err := receiver.registered(1); err != nil {
		return nil, err
	}
	f := l.flow("p", "10.100.0.2", "10.100.0.1")
	if err := f.serve(); err != nil {
		return nil, err
	}
	ran := make(chan error, 1)
	go func() {
		_, err := f.tcp(1, (profileSeconds+2)*time.Second)
		ran <- err
	}()
	time.Sleep(time.Second) // into the stream
	for _, who := range []string{"sender", "receiver"} {
		files = append(files, filepath.Join(o.profiles, c.encapsulation+"-"+who+".pprof"))
	}
	return files, errors.Join(takeProfiles(files, []string{senderSocket, receiverSocket}), <-ran)
}

// takeProfiles asks all routers at once.
func takeProfiles(files, sockets []string) error {
	failed := make(chan error)
	for i := range files {
		go func() {
			b, err := askProfiler(sockets[i], fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds))
			failed <- errors.Join(err, os.WriteFile(files[i], b, 0o644))
		}()
	}
	var err error
	for range files {
		err = errors.Join(err, <-failed)
	}
	return err
}

// topOf is `go tool pprof -top`, every function of it.
func topOf(ctx context.Context, file string) ([]function, error) {
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount", "100000", "-nodefraction", "0", file).Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w", err)
	}
	return parseTop(string(out)), nil
}

const ownPath = "github.com/spokeway/spokeway/internal/"

// parseTop reads the lines "flat flat% sum% cum cum% function" after the heading.
func parseTop(out string) (list []function) {
	_, body, _ := strings.Cut(out, "flat%")
	_, body, _ = strings.Cut(body, "\n")
	for line := range strings.Lines(body) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		list = append(list, function{strings.TrimPrefix(f[5], ownPath), percent(f[1]), percent(f[4])})
	}
	return list
}

func percent(s string) float64 {
	v, _ := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	return v
}

// watched are the functions that tell where the time goes. The last ones must be next to nothing.
var watched = []struct{ what, name string }{
	{"read from the TUN device", "dataplane/user.read"},
	{"send to the underlay", "dataplane/user.sendmmsg"},
	{"receive from the underlay", "dataplane/user.recvmmsg"},
	{"write to the TUN device", "dataplane/user.write"},
	{"cut superframes", "dataplane/user.(*cutter).next"},
	{"join packets to superframes", "dataplane/user.(*merger).add"},
	{"checksums, in the two above", "packet.Sum"},
	{"look up the way", "dataplane.(*Interface).Lookup"},
	{"Go scheduler", "runtime.schedule"},
	{"allocate", "runtime.mallocgc"},
	{"collect garbage", "runtime.gcBgMarkWorker"},
	{"wait for a lock", "sync.(*Mutex).lockSlow"},
}

// shares is one row for each watched function, one column for each end: percent with all that is called.
func shares(ends []end) table {
	t := table{Title: "Percent of each process's samples, with all that is called:", Columns: []string{""}}
	for _, e := range ends {
		t.Columns = append(t.Columns, e.name)
	}
	for _, w := range watched {
		row := []string{w.what + " (`" + w.name + "`)"}
		for _, e := range ends {
			row = append(row, fmt.Sprintf("%.1f", cumOf(e.top, w.name)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// cumOf is 0 for a function that was never seen.
func cumOf(top []function, name string) float64 {
	for _, f := range top {
		if f.name == name {
			return f.cum
		}
	}
	return 0
}

const flatRows = 8

// flat is the head of the profile by the time in each function itself.
func flat(e end) table {
	t := table{Title: "`pprof -top` of the " + e.name + ":", Columns: []string{"flat %", "cumulative %", "function"}}
	for _, f := range e.top[:min(flatRows, len(e.top))] {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%.1f", f.flat), fmt.Sprintf("%.1f", f.cum), "`" + f.name + "`"})
	}
	return t
}
