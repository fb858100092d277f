package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/conf"
	"github.com/spokeway/spokeway/internal/packet"
	"github.com/spokeway/spokeway/internal/packet/esp"
	"github.com/spokeway/spokeway/internal/proto/ike/auth"
	"github.com/spokeway/spokeway/internal/proto/nhrp"

	"github.com/spokeway/spokeway/internal/proto/ospf/wire"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		in := slices.Clone(c.in)
		if got := median(c.in); got != c.want || !slices.Equal(in, c.in) {
			t.Errorf("median of %v is %v, want %v and the values as they were", in, got, c.want)
		}
	}
	if !math.IsNaN(median(nil)) || !math.IsNaN(percentile(nil, 50)) {
		t.Error("nothing measured has a figure")
	}
}

func TestPercentile(t *testing.T) {
	var v []float64
	for i := range 200 {
		v = append(v, float64(200-i))
	}
	for p, want := range map[float64]float64{0: 1, 0.5: 1, 50: 100, 99: 198, 99.5: 199, 100: 200} {
		if got := percentile(v, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
}

func TestDigits(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0.00", 0.0543: "0.054", 0.5: "0.50", 1.234: "1.23", 12.34: "12.3", 1234.5: "1234", -3.456: "-3.46", math.NaN(): "–",
	} {
		if got := digits(in); got != want {
			t.Errorf("digits(%v) is %q, want %q", in, got, want)
		}
	}
}

func TestRatiosAreOfOneRound(t *testing.T) {
	r := rounds{}
	for i, v := range []float64{10, 40, math.NaN(), 8} { // the machine was four times as fast in round 2
		r.add("tcp1", "a", v)
		r.add("tcp1", "b", []float64{5, 20, 7, 0}[i])
	}
	if got := r.ratios("tcp1", "a", "b"); !slices.Equal(got, []float64{2, 2}) {
		t.Errorf("ratios %v, want 2 twice, without the round that failed and the one without a reference", got)
	}
	if got := cell(r, metric{key: "tcp1"}, "a", "b"); got != "2.00 (2.00–2.00)" {
		t.Errorf("cell %q", got)
	}
	if got := cell(r, metric{key: "cpu1"}, "a", "b"); got != "–" {
		t.Errorf("a metric that nobody measured shows %q", got)
	}
}

func TestFailedRunsAreRepeatedAndLeftOut(t *testing.T) {
	s := &system{name: "a"}
	runs := 0
	got, _, err := s.attempt(func() (iperfResult, error) {
		if runs++; runs < attempts {
			return iperfResult{}, errors.New("connection reset")
		}
		return iperfResult{bytes: 7}, nil
	})
	if err != nil || got.bytes != 7 || runs != attempts || s.failures != 0 {
		t.Errorf("%+v, %v after %d runs, %d failures", got, err, runs, s.failures)
	}
	if _, _, err = s.attempt(func() (iperfResult, error) { return iperfResult{}, errors.New("down") }); err == nil || s.failures != 1 {
		t.Errorf("%v, %d failures; want an error, counted once", err, s.failures)
	}
	if v := orNaN(5, err); !math.IsNaN(v) || orNaN(5, nil) != 5 {
		t.Error("a failed measurement has a figure")
	}
}

func TestEveryOtherRoundIsBackwards(t *testing.T) {
	systems := []string{"a", "b", "c"}
	if got := inTurn(systems, 0); strings.Join(got, "") != "abc" {
		t.Errorf("first round %v", got)
	}
	if got := inTurn(systems, 1); strings.Join(got, "") != "cba" || systems[0] != "a" {
		t.Errorf("second round %v of %v", got, systems)
	}
}

func TestCPUTimeOfAProcess(t *testing.T) {
	stat := "42 (a ) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 1 2 3"
	if got := cpuOf(stat); got != 2*time.Second {
		t.Errorf("%v, want 2s: 150 ticks as user and 50 in the kernel", got)
	}
	if cpuOf("") != 0 || cpuOf("1 (x) S 1") != 0 {
		t.Error("a process that is gone used time")
	}
	if own, err := os.ReadFile("/proc/self/stat"); err == nil && cpuOf(string(own)) > time.Hour {
		t.Errorf("this test used %v", cpuOf(string(own)))
	}
}

func TestResidentSet(t *testing.T) {
	if got := residentOf("VmPeak:\t 9000 kB\nVmRSS:\t    1024 kB\nThreads: 3\n"); got != 1<<20 {
		t.Errorf("%v octets, want 1 MiB", got)
	}
}

func TestParseIperf(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     iperfResult
		err      string
	}{
		{"TCP counts what was received",
			`{"end":{"sum_sent":{"bytes":999,"bits_per_second":9e9},"sum_received":{"bytes":500,"bits_per_second":4e9}}}`,
			iperfResult{bitsPerSecond: 4e9, bytes: 500}, ""},
		{"UDP counts what was not lost",
			`{"end":{"sum":{"packets":1000,"lost_packets":400,"seconds":2,"bytes":64000}}}`,
			iperfResult{packets: 600, packetsPerSecond: 300}, ""},
		{"busy", `{"error":"error - the server is busy running a test. try again later"}`, iperfResult{}, "busy"},
		{"other errors", `{"error":"unable to connect"}`, iperfResult{}, "unable to connect"},
		{"neither", `{"end":{}}`, iperfResult{}, "no sum"},
		{"no JSON", `segfault`, iperfResult{}, "no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseIperf([]byte(c.in))
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v, %v; want %+v, %q", got, err, c.want, c.err)
			}
			if c.name == "busy" && !errors.Is(err, errBusy) {
				t.Error("a busy server is not tried again")
			}
		})
	}
}

func TestSpokesHaveAddressesOfTheirOwn(t *testing.T) {
	g := &generator{}
	seen := map[netip.Addr]bool{hubProtocol: true}
	for i := range maxSpokes {
		g.spokes = append(g.spokes, spoke{nbma: nth(nbmaBase, i), protocol: nth(protocolBase, i)})
	}
	for i, s := range g.spokes {
		if at, ok := g.index(s.nbma); !ok || at != i {
			t.Fatalf("%v is spoke %d, %v; want %d", s.nbma, at, ok, i)
		}
		if seen[s.nbma] || seen[s.protocol] {
			t.Fatalf("spoke %d has the address of another", i)
		}
		seen[s.nbma], seen[s.protocol] = true, true
	}
	for _, a := range []string{"10.50.0.1", "10.50.1.0", "10.50.1.251", "10.50.255.255", "10.51.1.1"} {
		if i, ok := g.index(netip.MustParseAddr(a)); ok {
			t.Errorf("%s is taken for spoke %d", a, i)
		}
	}
}

func TestRequestsAreWhatASpokeSends(t *testing.T) {
	g := &generator{hub: hubNBMA, key: loadKey}
	s := &spoke{nbma: nth(nbmaBase, 7), protocol: nth(protocolBase, 7), id: 8}
	for _, request := range []requester{registration(hubNBMA, hubProtocol), purge(hubProtocol)} {
		p, err := packet.ParseIP(g.wrap(s, request(s)))
		if err != nil || p.Source() != s.nbma || p.Destination() != hubNBMA {
			t.Fatalf("from %v to %v: %v", p.Source(), p.Destination(), err)
		}
		gre, err := packet.ParseGRE(p.Payload())
		if err != nil || gre.Protocol != packet.EtherNHRP || !gre.HasKey || gre.Key != loadKey {
			t.Fatalf("GRE %+v: %v", gre, err)
		}
		m, err := nhrp.Parse(gre.Payload)
		if err != nil || m.Source != s.protocol || m.RequestID != s.id || !m.Authentic(password) {
			t.Errorf("NHRP %+v: %v", m, err)
		}
		reply := m
		reply.Type = nhrp.RegistrationReply
		if answers(m, s) || !answers(reply, s) || answers(reply, &spoke{protocol: s.protocol, id: 9}) {
			t.Error("a reply is not told from a request, or from another's reply")
		}
	}
}

// TestPingOfAFleet opens what a spoke sends with the keys that the hub would have.
func TestPingOfAFleet(t *testing.T) {
	c, _, err := confOf(t, fleetConfig("{psk: x}"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{hub: hubNBMA, config: c}
	m := &member{f: f, nbma: nth(nbmaBase, 3), protocol: nth(protocolBase, 3)}
	keys := func() esp.Keys {
		return esp.Keys{Suite: esp.Suite{Encryption: esp.AESGCM, KeyBits: 256}, Encryption: bytes.Repeat([]byte{7}, 36)}
	}
	sealer, err := esp.NewSealer(0x1001, keys(), true)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := esp.NewOpener(0x1001, keys(), true, fleetWindow)
	if err != nil {
		t.Fatal(err)
	}
	payload, next, err := opener.Open(nil, m.wrap(sealer, packet.EtherIPv4, m.echoRequest()))
	if err != nil || next != packet.GREIP {
		t.Fatalf("next header %d: %v", next, err)
	}
	g, err := packet.ParseGRE(payload)
	if err != nil || g.Protocol != packet.EtherIPv4 || g.Key != loadKey {
		t.Fatalf("%+v: %v", g, err)
	}
	p, err := packet.ParseIP(g.Payload)
	if err != nil || p.Source() != m.protocol || p.Destination() != hubProtocol {
		t.Fatalf("from %v to %v: %v", p.Source(), p.Destination(), err)
	}
	if h, ok := parseEcho(g.Payload); !ok || h.kind != icmpEchoRequest {
		t.Errorf("%+v %v", h, ok)
	}
	if packet.Fold(packet.Sum(g.Payload[:20], 0)) != 0xffff || packet.Fold(packet.Sum(p.Payload(), 0)) != 0xffff {
		t.Error("a checksum is wrong")
	}
}

func confOf(t *testing.T, text string) (*conf.Config, []conf.Warning, error) {
	file := t.TempDir() + "/spokeway.yaml"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf.Load(file)
}

func TestAuthorityIsBelieved(t *testing.T) {
	a, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.issue("s7.bench")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(c.certificate))
	id, err := auth.ParseIdentity("s7.bench")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.trust.Check([][]byte{block.Bytes}, id, time.Now()); err != nil {
		t.Error(err)
	}
	other, _ := auth.ParseIdentity("s8.bench")
	if _, err := a.trust.Check([][]byte{block.Bytes}, other, time.Now()); err == nil {
		t.Error("a spoke may be another")
	}
}

func TestParseEcho(t *testing.T) {
	b := make([]byte, 20+icmpLen+8)
	b[0], b[8] = 0x45, 63
	copy(b[20:], []byte{icmpEchoReply, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2})
	h, ok := parseEcho(b)
	if want := (echoHeader{icmpEchoReply, 63, 0x1234, 258}); !ok || h != want {
		t.Errorf("%+v %v, want %+v", h, ok, want)
	}
	for n := range b {
		if _, ok := parseEcho(b[:n]); ok {
			t.Errorf("%d octets are taken for an echo", n)
		}
	}
}

func TestParseTop(t *testing.T) {
	out := `File: bench
      flat  flat%   sum%        cum   cum%
     0.50s 50.00% 50.00%      0.60s 60.00%  internal/runtime/syscall/linux.Syscall6
         0     0% 50.00%      0.55s 55.00%  runtime.goexit
     0.01s  1.00% 51.00%      0.40s 40.00%  github.com/spokeway/spokeway/internal/dataplane/user.(*sender).round (inline)
`
	want := []function{
		{"internal/runtime/syscall/linux.Syscall6", 50, 60},
		{"runtime.goexit", 0, 55},
		{"dataplane/user.(*sender).round", 1, 40},
	}
	got := parseTop(out)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if cumOf(got, "runtime.goexit") != 55 || cumOf(got, "runtime.mallocgc") != 0 {
		t.Error("shares are of other functions")
	}
}

// TestWatchedFunctionsExist keeps the profile from saying nothing of a function that has another name now.
func TestWatchedFunctionsExist(t *testing.T) {
	sources := map[string]string{"dataplane/user.": "dataplane/user", "dataplane.": "dataplane", "packet.": "packet"}
	for _, w := range watched {
		for prefix, dir := range sources {
			name, ours := strings.CutPrefix(w.name, prefix)
			if !ours {
				continue
			}
			_, method, _ := strings.Cut(name, ").")
			if !declared(t, "../../internal/"+dir, cmp.Or(method, name)) {
				t.Errorf("%s declares no %s", dir, name)
			}
		}
	}
}

func declared(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no Go files", dir)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "func ") && strings.Contains(line, " "+name+"(") {
				return true
			}
		}
	}
	return false
}

func TestUpdateReplacesWhatIsMarked(t *testing.T) {
	text := "a\n<!-- bench:hub -->\nold\n<!-- /bench:hub -->\nb\n<!-- bench:load -->\n<!-- /bench:load -->\n"
	got, err := replaceMarked(text, "hub", "\nnew\n\n")
	if want := strings.Replace(text, "old", "new", 1); err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if again, err := replaceMarked(got, "hub", "new"); err != nil || again != got {
		t.Errorf("a second time: %q, %v", again, err)
	}
	if _, err := replaceMarked(text, "shortcut", "x"); err == nil {
		t.Error("a part without a place is not complained about")
	}
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(parts, part{name: "machine"}) {
		if _, err := replaceMarked(string(page), p.name, ""); err != nil {
			t.Errorf("docs/performance.md: %v", err)
		}
	}
}

func TestConfigurationsAreValid(t *testing.T) {
	for name, text := range map[string]string{
		"hub of a pair":             pairConfig(1, carrier{"esp", true}, ""),
		"spoke of a pair":           pairConfig(2, carrier{"udp", false}, ", servers: [{nbma: 10.9.0.1}]"),
		"hub of a star":             starHub(cloud{carrier: carrier{"udp", false}, fast: true}),
		"hub of a protected star":   starHub(cloud{carrier: carrier{"auto", true}}),
		"spoke of a star":           starSpoke(cloud{carrier: carrier{"gre", false}, shortcut: true}, 2),
		"spoke of a protected star": starSpoke(cloud{carrier: carrier{"auto", true}, shortcut: true}, 2),
		"loaded hub":                loadConfig("/32", ""),
		"protected hub":             loadConfig("/16", "{psk: x}"),
		"spoke of a fleet":          fleetConfig("{psk: x}"),
	} {
		if _, _, err := confOf(t, text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args, wanted, err string
	}{
		{"", "all", ""}, {"load hub", "load hub", ""}, {"-rounds 1 hub", "hub", ""},
		{"lod", "", `no part "lod"`}, {"-rounds 0", "", "at least 1 round"}, {"-spokes 70000", "", "spokes"}, {"-tries 500", "", "tries"},
	} {
		_, wanted, err := parse(strings.Fields(c.args), io.Discard)
		if err == nil && c.err != "" || err != nil && (c.err == "" || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: error %v, want %q", c.args, err, c.err)
		}
		if err == nil && strings.Join(wanted, " ") != c.wanted {
			t.Errorf("%q runs %v, want %s", c.args, wanted, c.wanted)
		}
	}
}

// TestLabLeavesNothing builds a lab with a router in it, and measures a ping, as every part does.
func TestLabLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	l, err := newLab(context.Background(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.pair("p"); err != nil {
		l.close()
		t.Fatal(err)
	}
	us, lost, err := ping(l, "p-a", netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2"), 20)
	sleeper, startErr := l.start("p-b", nil, "sleep", "60")
	l.close()
	if err != nil || lost > 0 || len(us) != 20 || percentile(us, 50) <= 0 {
		t.Errorf("%d of 20 answered, %d lost: %v", len(us), lost, err)
	}
	if startErr != nil || sleeper.cmd.ProcessState == nil {
		t.Errorf("a process was not ended: %v", startErr)
	}
	entries, _ := os.ReadDir("/run/netns")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), l.prefix) {
			t.Errorf("namespace %s is left", e.Name())
		}
	}
	if _, err := os.Stat(l.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left", l.dir)
	}
}

func TestOnlyTheDeadAreSwept(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Skip("true(1) is missing")
	}
	dir := t.TempDir()
	gone := fmt.Sprintf("%s%d-t-a", namePrefix, dead.Process.Pid)
	for _, name := range []string{gone, fmt.Sprintf("%s%d-t-a", namePrefix, os.Getpid()), namePrefix + "x-t", "other-1-t"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if got := abandoned(dir); !slices.Equal(got, []string{gone}) {
		t.Errorf("%v, want %v alone", got, gone)
	}
}

// Every router of a world is behind router 0 by links that both ends tell of, the last alone behind its own, and each LSA
// fits.
func TestWorlds(t *testing.T) {
	for _, s := range shapes {
		for _, n := range []int{10, 1000, 4003} {
			bodies := routerLSAs(n, s.links(n))
			reached, queue := map[uint32]bool{uint32(worldID(0)): true}, []int{0}
			for len(queue) > 0 {
				k := queue[0]
				queue = queue[1:]
				for _, l := range bodies[k].Links {
					if l.Kind == wire.LinkPointToPoint && l.ID != uint32(measuredID) && !reached[l.ID] {
						reached[l.ID] = true
						queue = append(queue, int(l.ID-uint32(worldID(0))))
					}
				}
			}
			if len(reached) != n {
				t.Errorf("%s: %d of %d routers are reached", s.name, len(reached), n)
			}
			for k, body := range bodies {
				if _, err := wire.Build(wire.V2, feedKey(k), 1, wire.InitialSequence, body); err != nil {
					t.Errorf("%s: router %d: %v", s.name, k, err)
				}
			}
			if l := alone(bodies[n-1]).Links; len(l) != 1 || l[0].Kind != wire.LinkStub {
				t.Errorf("%s: alone, the last router has %v", s.name, l)
			}
		}
	}
}
