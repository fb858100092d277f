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
	for _, e := range []string{"gre", "udp"} {
		if err := profileOne(ctx, o, rep, e); err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
	}
	return rep, nil
}

const profileSeconds = 5

func profileOne(ctx context.Context, o options, rep *report, encapsulation string) error {
	l, err := newLab(ctx, "p")
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.pair("p"); err != nil {
		return err
	}
	receiver, receiverSocket, err := l.profiled(o, "p-b", pairConfig(1, encapsulation, ""))
	if err != nil {
		return err
	}
	_, senderSocket, err := l.profiled(o, "p-a", pairConfig(2, encapsulation, ", servers: [{nbma: 10.9.0.2}]"))
	if err != nil {
		return err
	}
	if err := receiver.registered(1); err != nil {
		return err
	}
	f := l.flow("p", "10.100.0.2", "10.100.0.1")
	if err := f.serve(); err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() {
		_, err := f.tcp(1, (profileSeconds+2)*time.Second)
		ran <- err
	}()
	time.Sleep(time.Second) // into the stream
	files := []string{filepath.Join(o.profiles, encapsulation+"-sender.pprof"), filepath.Join(o.profiles, encapsulation+"-receiver.pprof")}
	err = errors.Join(takeProfiles(files, []string{senderSocket, receiverSocket}), <-ran)
	if err != nil {
		return err
	}
	for _, file := range files {
		t, err := topOf(ctx, file)
		if err != nil {
			return err
		}
		rep.Tables = append(rep.Tables, t)
	}
	return nil
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

const (
	profileRows = 14
	ownPath     = "github.com/spokeway/spokeway/internal/"
)

// topOf is where the router's own functions spend the time, with all they call, and the system calls.
func topOf(ctx context.Context, file string) (table, error) {
	t := table{Title: "`" + filepath.Base(file) + "`", Columns: []string{"with what it calls", "itself", "function"}}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount", "500", file).Output()
	if err != nil {
		return t, fmt.Errorf("go tool pprof: %w", err)
	}
	t.Rows = parseTop(string(out))
	t.Rows = t.Rows[:min(len(t.Rows), profileRows)]
	return t, nil
}

// parseTop reads the lines "flat flat% sum% cum cum% function" after the heading: those of our own functions, and those
// of the rest that take at least a hundredth themselves.
func parseTop(out string) (rows [][]string) {
	_, body, _ := strings.Cut(out, "flat%")
	_, body, _ = strings.Cut(body, "\n")
	for line := range strings.Lines(body) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		name, own := strings.CutPrefix(f[5], ownPath)
		itself, _ := strconv.ParseFloat(strings.TrimSuffix(f[1], "%"), 64)
		if own || itself >= 1 {
			rows = append(rows, []string{f[4], f[1], "`" + name + "`"})
		}
	}
	return rows
}
