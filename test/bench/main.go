package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options is the command line.
type options struct {
	spokeway string
	rounds   int
	time     time.Duration
	spokes   int
	tries    int
	variant  string
	hold     time.Duration
	json     string
	profiles string
	update   string
	only     string
	self     string
}

// part measures one thing.
type part struct {
	name  string
	run   func(context.Context, options) (*report, error)
	tries int  // of each kind, where it tries
	hours bool // it takes too long to be one of all
}

// parts of the whole, in the order they run.
var parts = []part{
	{name: "throughput", run: throughput},
	{name: "hub", run: hub},
	{name: "load", run: load},
	{name: "handshakes", run: handshakes},
	{name: "protected", run: protected},
	{name: "restart", run: restart},
	{name: "shortcut", run: shortcut, tries: 100},
	{name: "routes", run: routesPart},
	{name: "ospf", run: ospf},
	{name: "profile", run: profile},
	{name: "bfd", run: bfdBench},
	{name: "failures", run: failures, tries: 50, hours: true},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == fibCommand {
		if err := runFIB(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == hubCommand {
		if err := runHub(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	o, wanted, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err == nil {
		err = check(o)
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sweep()
	printed := map[string]string{"machine": machine()}
	fmt.Printf("%s\n\n", printed["machine"])
	var reports []*report
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) && (p.hours || !slices.Contains(wanted, "all")) {
			continue
		}
		begin := time.Now()
		r, err := p.run(ctx, o.of(p))
		switch {
		case ctx.Err() != nil && r == nil:
			return errors.New("interrupted; what was set up is removed")
		case err != nil:
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.note("%s, %v, %s", "`test/bench/run "+p.name+"`", time.Since(begin).Round(time.Second), load1())
		var text strings.Builder
		r.markdown(&text)
		fmt.Printf("## %s\n\n%s\n", r.Part, text.String())
		printed[p.name] = text.String()
		reports = append(reports, r)
		if ctx.Err() != nil { // what was measured until then is told
			break
		}
	}
	if o.update != "" {
		if err := update(o.update, printed); err != nil {
			return err
		}
	}
	return writeJSON(o.json, reports)
}

func parse(args []string, help io.Writer) (o options, wanted []string, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(help)
	f.StringVar(&o.spokeway, "spokeway", "bin/spokeway", "the router to measure")
	f.IntVar(&o.rounds, "rounds", 5, "rounds of the comparisons")
	f.DurationVar(&o.time, "time", 2*time.Second, "length of one measurement, whole seconds")
	f.IntVar(&o.spokes, "spokes", 10000, "spokes of the load part")
	f.IntVar(&o.tries, "tries", 0, "tries of the shortcut part, or of each failure of the failures part (0: 100 and 50)")
	f.StringVar(&o.variant, "variant", "bfd", "of the lab files of the failures part: bfd, timers or busy")
	f.DurationVar(&o.hold, "hold", 20*time.Second, "how long each load of the bfd part is held; 10m for what is to be believed")
	f.StringVar(&o.json, "json", "bin/bench.json", "where all measurements go")
	f.StringVar(&o.profiles, "profiles", "bin/profiles", "folder of the CPU profiles")
	f.StringVar(&o.update, "update", "", "put the tables into this document, such as docs/performance.md")
	f.StringVar(&o.only, "only", "", "measure only the systems whose names have one of these words, by commas: \"wireguard,ESP in UDP\"")
	f.Usage = func() {
		fmt.Fprintln(help, "usage: test/bench/run [flags] [throughput|hub|load|handshakes|protected|restart|shortcut|routes|ospf|profile|bfd|failures|all] …")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, nil, err
	}
	if wanted = f.Args(); len(wanted) == 0 {
		wanted = []string{"all"}
	}
	for _, w := range wanted {
		if w != "all" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == w }) {
			f.Usage()
			return o, nil, fmt.Errorf("there is no part %q", w)
		}
	}
	if o.rounds < 1 || o.spokes < 1 || o.spokes > maxSpokes || o.tries < 0 || o.tries > maxTries {
		return o, nil, fmt.Errorf("want at least 1 round, 1 to %d spokes and at most %d tries", maxSpokes, maxTries)
	}
	o.self, err = os.Executable()
	return o, wanted, err
}

// of is what a part goes by.
func (o options) of(p part) options {
	if o.tries == 0 {
		o.tries = p.tries
	}
	return o
}

// wants reports whether a system is to be measured.
func (o options) wants(name string) bool {
	return o.only == "" || slices.ContainsFunc(strings.Split(o.only, ","), func(word string) bool { return strings.Contains(name, word) })
}

// check names what is missing before anything is set up.
func check(o options) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run as root")
	}
	for tool, pkg := range map[string]string{"ip": "iproute2", "ss": "iproute2", "iperf3": "iperf3"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing: install %s", tool, pkg)
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return errors.New("/dev/net/tun is missing: load the tun module")
	}
	if _, err := os.Stat(o.spokeway); err != nil {
		return fmt.Errorf("%s is missing: run `make build`", o.spokeway)
	}
	return nil
}

func machine() string {
	var u syscall.Utsname
	syscall.Uname(&u)
	var release strings.Builder
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	return fmt.Sprintf("%d cores (%s), Linux %s, %s, %s", runtime.NumCPU(), model(), release.String(), runtime.Version(), load1())
}

func model() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// load1 is how busy the machine was: the figures are worth less the higher it is.
func load1() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return "load average " + first
}
