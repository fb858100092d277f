package peers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// between is how long two questions to a router are apart.
const between = 200 * time.Millisecond

// within asks until the check is content, and fails the case when it is not in time.
func (s *scene) within(limit time.Duration, what string, check func() error) {
	s.t.Helper()
	start := time.Now()
	for {
		err := check()
		took := time.Since(start)
		if err == nil {
			s.t.Logf("%-60s %5.1f s", what, took.Seconds())
			return
		}
		if took > limit {
			s.t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		time.Sleep(between)
	}
}

// always checks that something stays as it is.
func (s *scene) always(span time.Duration, what string, check func() error) {
	s.t.Helper()
	for start := time.Now(); time.Since(start) < span; time.Sleep(between) {
		if err := check(); err != nil {
			s.t.Fatalf("%s: after %v: %v", what, time.Since(start).Round(time.Millisecond), err)
		}
	}
	s.t.Logf("%-60s %5.1f s long", what, span.Seconds())
}

// same compares rows without regard to their order.
func same(get func() ([]string, error), want ...string) func() error {
	slices.Sort(want)
	return func() error {
		got, err := get()
		if err != nil {
			return err
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("have\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		return nil
	}
}

// has wants all these rows, and allows others.
func has(get func() ([]string, error), want ...string) func() error {
	return func() error {
		got, err := get()
		for _, row := range want {
			if err == nil && !slices.Contains(got, row) {
				err = fmt.Errorf("lacks %q of\n\t%s", row, strings.Join(got, "\n\t"))
			}
		}
		return err
	}
}

// lacks wants none of these rows.
func lacks(get func() ([]string, error), unwanted ...string) func() error {
	return func() error {
		got, err := get()
		for _, row := range unwanted {
			if err == nil && slices.Contains(got, row) {
				err = fmt.Errorf("has %q of\n\t%s", row, strings.Join(got, "\n\t"))
			}
		}
		return err
	}
}

// both wants the one and the other.
func both(a, b func() error) func() error {
	return func() error {
		if err := a(); err != nil {
			return err
		}
		return b()
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func cacheRow(kind, protocol, nbma, claimed string) string {
	row := kind + " " + protocol
	if nbma != "" {
		row += " " + nbma
	}
	if claimed != "" && claimed != nbma {
		row += " claims " + claimed
	}
	return row
}

func routeRow(prefix, protocol string, distance int, via, iface string) string {
	row := fmt.Sprintf("%s %s %d", prefix, protocol, distance)
	if via != "" {
		row += " " + via
	}
	return row + " " + iface
}

// Rows that many cases want: a registered spoke, the router itself, its hub as FRR and as we call it, a host route.
func registered(site int) string {
	return fmt.Sprintf("dynamic %s %s", tunnelAddress(site), nbma(site))
}
func registeredByNAT(site int) string {
	return cacheRow("dynamic", tunnelAddress(site), nbma(site), inside(site, 2))
}
func local(site int) string     { return fmt.Sprintf("local %s %s", tunnelAddress(site), nbma(site)) }
func hubOfFRR(site int) string  { return fmt.Sprintf("nhs %s %s", tunnelAddress(site), nbma(site)) }
func hubOfOurs(site int) string { return fmt.Sprintf("static %s %s", tunnelAddress(site), nbma(site)) }
func hostRow(site int) string   { return hostRoute(site) + " nhrp 10 " + tunnelName }

// runner is whatever commands run on.
type runner interface {
	run(argv ...string) (string, error)
}

// router is one of either make.
type router interface {
	runner
	address() string
	cache() ([]string, error)
	shortcuts() ([]string, error)
	nhrpRoutes() ([]string, error)
}

var pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// ping gives how many of count echoes came back.
func ping(r runner, to string, count int, options ...string) (received int, err error) {
	out, err := r.run(append([]string{"ping", "-q", "-n", "-W", "1", "-c", strconv.Itoa(count), to}, options...)...)
	found := pingSummary.FindStringSubmatch(out)
	if found == nil {
		return 0, err
	}
	return strconv.Atoi(found[2])
}

// pings wants all echoes to come back.
func pings(r runner, to string, count int, options ...string) func() error {
	return func() error {
		received, err := ping(r, to, count, options...)
		if received != count {
			return fmt.Errorf("%d of %d echoes: %v", received, count, err)
		}
		return nil
	}
}

// flow is pings that go on while something happens.
type flow struct {
	from *node
	done chan string
}

// traffic pings a router for so many seconds.
func traffic(from *node, to router, seconds int) *flow {
	f := &flow{from: from, done: make(chan string, 1)}
	go func() {
		out, err := from.run("ping", "-n", "-q", "-i", "0.02", "-W", "2", "-c", strconv.Itoa(seconds*50), to.address())
		f.done <- fmt.Sprint(out, err)
	}()
	return f
}

// end waits for the last ping and wants none to be lost.
func (f *flow) end(s *scene) {
	s.t.Helper()
	out := <-f.done
	found := pingSummary.FindStringSubmatch(out)
	if found == nil || found[1] != found[2] {
		s.t.Errorf("%s lost packets: %s", f.from.name, out)
	}
}
