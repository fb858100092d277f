package peers

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// flow is pings that go on while something happens. Each echo is accounted for: ping's own sum leaves out
// what is on its way when it ends, or comes late because the machine is busy.
type flow struct {
	from  *node
	rate  int // a second
	ping  *exec.Cmd
	mutex sync.Mutex
	seen  map[int]bool // the sequence numbers of the answers
	last  int          // the highest of them
}

var echoReply = regexp.MustCompile(`icmp_seq=(\d+) .*time=`)

// traffic pings a router until end is called, so many times a second: a guest manages some hundreds in all.
func traffic(from *node, to router, rate int) *flow {
	f := &flow{from: from, rate: rate, seen: map[int]bool{}}
	f.ping = exec.Command("ip", "netns", "exec", from.netns, "ping", "-n", "-i", fmt.Sprint(1/float64(rate)), to.address())
	out, err := f.ping.StdoutPipe()
	if err == nil {
		err = f.ping.Start()
	}
	if err != nil {
		from.s.t.Fatal(err)
	}
	go f.read(out)
	return f
}

func (f *flow) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := echoReply.FindStringSubmatch(lines.Text()); found != nil {
			seq, _ := strconv.Atoi(found[1])
			f.mutex.Lock()
			f.seen[seq] = true
			f.last = max(f.last, seq)
			f.mutex.Unlock()
		}
	}
}

// answered wants an answer to each of the echoes up to a number.
func (f *flow) answered(count int) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var lost []int
	for seq := 1; seq <= count; seq++ {
		if !f.seen[seq] {
			lost = append(lost, seq)
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("no answer to %d of %d echoes: %v", len(lost), count, lost)
	}
	return nil
}

// end wants an answer to all echoes so far and to those of another second.
func (f *flow) end(s *scene) {
	s.t.Helper()
	defer f.ping.Wait()
	defer f.ping.Process.Kill()
	f.mutex.Lock()
	count := f.last + f.rate
	f.mutex.Unlock()
	s.within(5*time.Second, f.from.name+" lost nothing under way", func() error { return f.answered(count) })
}
