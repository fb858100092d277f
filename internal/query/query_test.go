package query_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/spokeway/spokeway/internal/query"
	"github.com/spokeway/spokeway/internal/query/querytest"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}

func TestShowPrintsTablesAndJSON(t *testing.T) {
	for _, c := range query.Shows() {
		t.Run(c.Name, func(t *testing.T) {
			rows, err := c.Snapshot(querytest.Spoke(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var text, data bytes.Buffer
			if err := errors.Join(c.Text(&text, rows, false), query.JSON(&data, rows)); err != nil {
				t.Fatal(err)
			}
			golden(t, c.Name+".txt", text.Bytes())
			golden(t, c.Name+".json", data.Bytes())
		})
	}
}

// What a client prints from JSON must be what the daemon would have printed from its own rows.
func TestTextSurvivesTheSocket(t *testing.T) {
	for _, c := range query.Shows() {
		rows, err := c.Snapshot(querytest.Spoke(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var data, near, far bytes.Buffer
		query.JSON(&data, rows)
		decoded, err := c.Decode(data.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		c.Text(&near, rows, false)
		c.Text(&far, decoded, false)
		if near.String() != far.String() {
			t.Errorf("show %s: near\n%s\nfar\n%s", c.Name, near.String(), far.String())
		}
	}
}

func TestDecodeIgnoresKeysOfANewerDaemon(t *testing.T) {
	c, _, _ := query.Match("show", query.Shows(), []string{"timers"})
	rows, err := c.Decode([]byte(`[{"module":"nhrp","name":"register","newKey":{"a":[1]}}]`))
	if err != nil || rows.([]query.TimerRow)[0].Name != "register" {
		t.Errorf("got %v, %v", rows, err)
	}
}

// The rules every row obeys, whatever the protocol: lower camel case, no null lists, one object per row.
func TestEmptyRowsHaveEveryKey(t *testing.T) {
	for _, c := range query.Shows() {
		if c.Name == "config" {
			continue
		}
		rows := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(c.Row)), 1, 1)
		var b bytes.Buffer
		if err := query.JSON(&b, rows.Interface()); err != nil {
			t.Fatal(err)
		}
		var got []map[string]any
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got) != 1 {
			t.Fatalf("show %s: %v in %s", c.Name, err, b.Bytes())
		}
		for key, v := range got[0] {
			if v == nil && key != "key" {
				t.Errorf("show %s: %s is null", c.Name, key)
			}
			if strings.ToLower(key[:1]) != key[:1] || strings.ContainsAny(key, "_- ") {
				t.Errorf("show %s: %q is not lower camel case", c.Name, key)
			}
		}
	}
}

func TestEmptySnapshot(t *testing.T) {
	for _, c := range query.Shows() {
		if c.Name == "config" {
			continue
		}
		rows, err := c.Snapshot(&querytest.Fake{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var text, data bytes.Buffer
		c.Text(&text, rows, false)
		query.JSON(&data, rows)
		if data.String() != "[]\n" || strings.Count(text.String(), "\n") != 1 {
			t.Errorf("show %s: %q and %q, want [] and a heading", c.Name, data.String(), text.String())
		}
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		filter string
		want   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1:4500", true}, {"192.0.2.0/24", true}, {"Hub.example", true},
		{"192.0.2.1:500", false}, {"192.0.2.2", false}, {"hub", false}, {"", false},
	}
	for _, tt := range tests {
		if got := query.Matches(tt.filter, "192.0.2.1:4500", "hub.example"); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.filter, got, tt.want)
		}
	}
}

// People read tables on a screen: those of SAs stay within 120 characters but for the words of a reason.
func TestTablesFitTheScreen(t *testing.T) {
	src := querytest.Spoke()
	for name, rows := range map[string]any{"sas": src.SAs(), "ike": src.IKE()} {
		var narrow, wide bytes.Buffer
		query.Table(&narrow, rows)
		query.Wide(&wide, rows)
		for line := range strings.Lines(narrow.String()) {
			line, _, _ = strings.Cut(line, "no answer to")
			if n := len(strings.TrimSpace(line)); n > 120 {
				t.Errorf("show %s is %d characters wide:\n%s", name, n, line)
			}
		}
		if strings.Contains(narrow.String(), "LOCAL ID") || !strings.Contains(wide.String(), "LOCAL ID") {
			t.Errorf("show %s: the wide table has more columns:\n%s%s", name, narrow.String(), wide.String())
		}
	}
}

func TestDuration(t *testing.T) {
	tests := []struct {
		seconds float64
		want    string
	}{
		{-1, "never"}, {0, "-"}, {math.NaN(), "-"}, {0.00001, "0.1ms"}, {0.0123, "12.3ms"}, {0.9996, "1s"},
		{1, "1s"}, {59.4, "59s"}, {59.6, "1m"}, {61, "1m1s"}, {3599.7, "1h"}, {3661, "1h1m"}, {86400, "1d"}, {1e6, "11d13h"},
	}
	for _, tt := range tests {
		if got := query.Duration(tt.seconds); got != tt.want {
			t.Errorf("Duration(%v) = %q, want %q", tt.seconds, got, tt.want)
		}
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		words      string
		want, rest string
	}{
		{"nhrp", "nhrp", ""}, {"nh", "nhrp", ""}, {"NHRP", "nhrp", ""}, {"nhrp tun100", "nhrp", "tun100"},
		{"ip nhrp", "nhrp", ""}, {"ip nh 10.0.0.1", "nhrp", "10.0.0.1"}, {"ipv6 nhrp", "nhrp", ""},
		{"dmvpn", "peers", ""}, {"dm", "peers", ""}, {"ip nhrp nhs", "peers", ""},
		{"ip nhrp shortcut", "shortcuts", ""}, {"sh", "shortcuts", ""}, {"sa", "sas", ""}, {"ik", "ike", ""}, {"crypto ikev2 sa", "ike", ""}, {"cry ikev2 s", "ike", ""},
		{"crypto ipsec sa 10.0.0.2", "sas", "10.0.0.2"}, {"crypto session", "sas", ""}, {"r", "routes", ""}, {"run", "config", ""},
		{"ip route 10.1.2.3", "routes", "10.1.2.3"}, {"in", "interfaces", ""}, {"conf", "config", ""},
		{"ip nhrp traffic", "counters", ""}, {"t", "timers", ""}, {"routes nhrp selected", "routes", "nhrp selected"},
	}
	for _, tt := range tests {
		c, rest, err := query.Match("show", query.Shows(), strings.Fields(tt.words))
		if err != nil || c.Name != tt.want || strings.Join(rest, " ") != tt.rest {
			t.Errorf("show %s: %q %q %v, want %q %q", tt.words, c.Name, rest, err, tt.want, tt.rest)
		}
	}
}

func TestMatchFails(t *testing.T) {
	tests := []struct{ words, want string }{
		{"", "show what? one of: nhrp, shortcuts,"},
		{"c", "show c: which one: config, counters"},
		{"crypto", "which one: crypto ipsec sa,"},
		{"ip", "which one: ip nhrp,"},
		{"nonsense", "show nonsense: no such command, see `spokeway show --help`"},
		{"nhrpx", "no such command"},
	}
	for _, tt := range tests {
		_, _, err := query.Match("show", query.Shows(), strings.Fields(tt.words))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("show %s: %v, want %q", tt.words, err, tt.want)
		}
	}
}

func TestEveryNameAndAliasFindsItsCommand(t *testing.T) {
	for verb, table := range map[string][]query.Command{"show": query.Shows(), "clear": query.Clears()} {
		for _, c := range table {
			for _, name := range append([]string{c.Name}, c.Aliases...) {
				got, rest, err := query.Match(verb, table, strings.Fields(name))
				if err != nil || got.Name != c.Name || len(rest) > 0 {
					t.Errorf("%s %s: %q %q %v, want %q", verb, name, got.Name, rest, err, c.Name)
				}
			}
		}
	}
}

func TestComplete(t *testing.T) {
	tests := []struct{ words, begin, want string }{
		{"", "", "bfd config counters ike interfaces nhrp ospf peers routes sas shortcuts timers"},
		{"", "i", "ike interface interfaces ip ipv6"},
		{"ip", "", "interface nhrp ospf route"},
		{"ip nhrp", "s", "shortcut"},
		{"crypto", "", "ike ikev2 ipsec isakmp sa session"},
		{"timers", "", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range query.Complete(query.Shows(), strings.Fields(tt.words), tt.begin) {
			word, help, ok := strings.Cut(s, "\t")
			if !ok || help == "" {
				t.Errorf("%q has no help", s)
			}
			got = append(got, word)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q %q: %q, want %q", tt.words, tt.begin, got, tt.want)
		}
	}
}

func TestFilter(t *testing.T) {
	tests := []struct {
		show string
		want int
	}{
		{"nhrp 10.100.100.11", 1}, {"nhrp 198.51.100.7", 1}, {"nhrp 198.51.100.7:4754", 1}, {"nhrp 192.168.1.11", 1},
		{"nhrp tun100", 4}, {"nhrp tun10", 0}, {"nhrp tun100 dynamic", 1}, {"nhrp DYNAMIC", 2}, {"nhrp 10.100.100.0/24", 4},
		{"nhrp nat", 1}, {"nhrp 2001:db8::1", 1}, {"nhrp 2001:DB8:0::1", 1},
		{"peers up", 2}, {"peers hub up", 1}, {"peers 0.0.0.0", 0},
		{"shortcuts 192.168.11.200", 1}, {"shortcuts 192.168.11.0/24", 1}, {"shortcuts 192.168.0.0/16", 0},
		{"sas hub1.example.com", 1}, {"sas 198.51.100.7", 1}, {"sas 198.51.100.7:4500 down", 1}, {"sas 10.0.0.0/8", 1}, {"sas 10.9.9.9", 0},
		{"ike waiting", 1}, {"ike IKE_SA_INIT", 1}, {"counters 10.0.0.2", 1}, {"routes tun6", 1}, {"routes static", 3}, {"interfaces fd00::12", 1}, {"counters checksum", 1},
	}
	for _, tt := range tests {
		c, rest, err := query.Match("show", query.Shows(), strings.Fields(tt.show))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.Snapshot(querytest.Spoke(), rest)
		if n := reflect.ValueOf(rows).Len(); n != tt.want {
			t.Errorf("show %s: %d rows, want %d", tt.show, n, tt.want)
		}
		if notFound := errors.Is(err, query.ErrNotFound); notFound != (tt.want == 0) {
			t.Errorf("show %s: %v", tt.show, err)
		}
	}
}

func TestExplain(t *testing.T) {
	tests := []struct {
		to   string
		want []string // prefix, protocol, reason
	}{
		{"192.168.11.5", []string{
			"192.168.11.0/24 nhrp taken: longest match; 10.100.100.11 is at 198.51.100.7:4754 (dynamic)",
			"192.168.11.0/24 ospf distance 110, nhrp has 10",
			"192.168.0.0/16 static shorter than 192.168.11.0/24",
			"192.168.0.0/16 guard shorter than 192.168.11.0/24",
			"0.0.0.0/0 kernel shorter than 192.168.11.0/24",
		}},
		{"10.100.100.14", []string{
			"10.100.100.0/24 connected taken: longest match; no NHRP entry for 10.100.100.14",
			"0.0.0.0/0 kernel shorter than 10.100.100.0/24",
		}},
		{"203.0.113.9", []string{
			"203.0.113.0/24 static taken: longest match; blackhole",
			"0.0.0.0/0 kernel shorter than 203.0.113.0/24",
		}},
		{"8.8.8.8", []string{"0.0.0.0/0 kernel taken: longest match"}},
		{"2001:db8:1::1", []string{"2001:db8:1::/48 static taken: longest match; fd00::1 is at 2001:db8::1 (dynamic)"}},
		{"2001:db8:2::1", nil},
	}
	src := querytest.Spoke()
	slices.Reverse(src.RouteRows) // the order they come in must not matter
	for _, tt := range tests {
		var got []string
		for _, r := range query.Explain(src.Routes(), src.NHRP(), netip.PrefixFrom(netip.MustParseAddr(tt.to), netip.MustParseAddr(tt.to).BitLen())) {
			got = append(got, r.Prefix.String()+" "+r.Protocol+" "+r.Reason)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.to, got, tt.want)
		}
	}
}

func TestExplainPerVRFAndTies(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/8")
	rows := query.Explain([]query.RouteRow{
		{VRF: "red", Prefix: p, Protocol: "static", Kind: "blackhole", Selected: true},
		{Prefix: p, Protocol: "kernel", Metric: 5}, {Prefix: p, Protocol: "kernel", Kind: "blackhole", Selected: true},
		{Prefix: p, Protocol: "other"},
	}, nil, netip.MustParsePrefix("10.1.1.1/32"))
	var got []string
	for _, r := range rows {
		got = append(got, r.VRF+"|"+r.Reason)
	}
	want := []string{
		"|taken: longest match; blackhole", "|metric 5, kernel has 0", "|kernel goes before other",
		"red|taken: longest match; blackhole",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What leads nowhere, lends its next hops, or waits beneath is said to do so.
func TestExplainWhatIsNotOffered(t *testing.T) {
	p, q := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.1.2.0/24")
	hop := []query.NextHopRow{{Via: netip.MustParseAddr("10.0.0.1"), Interface: "tun0", Weight: 1}}
	for _, tt := range []struct {
		name string
		rows []query.RouteRow
		want []string
	}{
		{"a longer route leads nowhere", []query.RouteRow{{Prefix: p, Protocol: "ospf", NextHops: hop, Selected: true, Installed: true}, {Prefix: q, Protocol: "static", Idle: "next hop 10.9.9.9: no route leads there"}},
			[]string{"static leads nowhere: next hop 10.9.9.9: no route leads there", "ospf taken: longest match"}},
		{"one of two next hops has failed", []query.RouteRow{{Prefix: p, Protocol: "static", Idle: "BFD with 10.0.0.2 on tun0 is down"}, {Prefix: p, Protocol: "static", NextHops: hop, Selected: true}},
			[]string{"static taken: longest match", "static leads nowhere: BFD with 10.0.0.2 on tun0 is down"}},
		{"a shortcut lends its next hop", []query.RouteRow{{Prefix: p, Protocol: "nhrp", Distance: 10, NextHops: hop}, {Prefix: p, Protocol: "static", Distance: 1, NextHops: hop, Selected: true, Reason: "next hop by NHRP"}},
			[]string{"static taken: longest match; next hop by NHRP", "nhrp lends its next hop to static"}},
		{"a guard beneath", []query.RouteRow{{Prefix: p, Protocol: "guard", Kind: "blackhole", Reason: "x"}, {Prefix: p, Protocol: "static", NextHops: hop, Selected: true}},
			[]string{"static taken: longest match", "guard beneath the others: closes the prefix when they go"}},
		{"a guard alone", []query.RouteRow{{Prefix: p, Protocol: "guard", Kind: "blackhole", Reason: "only protected tunnels led there", Selected: true}, {Prefix: netip.MustParsePrefix("0.0.0.0/0"), Protocol: "kernel", Selected: true}},
			[]string{"guard taken: longest match; only protected tunnels led there; blackhole", "kernel shorter than 10.1.0.0/16"}},
		{"not in the kernel", []query.RouteRow{{Prefix: p, Protocol: "ospf", NextHops: hop, Selected: true, Reason: "not in the kernel: interface tun0 is down"}},
			[]string{"ospf taken: longest match; not in the kernel: interface tun0 is down"}},
	} {
		var got []string
		for _, r := range query.Explain(tt.rows, nil, netip.MustParsePrefix("10.1.2.3/32")) {
			got = append(got, r.Protocol+" "+r.Reason)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

// Guards beneath routes are shown to who asks for guards, and a prefix is explained as an address is.
func TestShowRoutesOfGuardsAndPrefixes(t *testing.T) {
	for _, tt := range []struct {
		words string
		want  []string
	}{
		{"routes guard", []string{"192.168.88.0/24", "192.168.0.0/16"}},
		{"routes 192.168.0.0/16", []string{"192.168.0.0/16", "192.168.0.0/16", "0.0.0.0/0"}},
		{"routes 192.168.11.0/25 ospf", []string{"192.168.11.0/24"}},
	} {
		c, rest, _ := query.Match("show", query.Shows(), strings.Fields(tt.words))
		rows, err := c.Snapshot(querytest.Spoke(), rest)
		var got []string
		for _, r := range rows.([]query.RouteRow) {
			got = append(got, r.Prefix.String())
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q %v, want %q", tt.words, got, err, tt.want)
		}
	}
}

func TestShowRoutesWithAnAddressNobodyRoutes(t *testing.T) {
	c, rest, _ := query.Match("show", query.Shows(), []string{"routes", "2001:db8:2::1"})
	if _, err := c.Snapshot(querytest.Spoke(), rest); !errors.Is(err, query.ErrNotFound) || !strings.Contains(err.Error(), "no route to 2001:db8:2::1") {
		t.Errorf("got %v", err)
	}
}

func TestStages(t *testing.T) {
	var b bytes.Buffer
	query.Stages(&b, querytest.Spoke().Stages["10.0.0.6"])
	golden(t, "why.txt", b.Bytes())
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(query.NewCollector(querytest.Spoke()))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range families {
		expfmt.MetricFamilyToText(&b, f)
	}
	golden(t, "metrics.txt", b.Bytes())
}

func TestMetricNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range query.Shows() {
		for _, m := range c.Metrics {
			if seen[m.Name] || m.Help == "" {
				t.Errorf("%s: named twice, or without help", m.Name)
			}
			seen[m.Name] = true
			if (m.Type == prometheus.CounterValue) != strings.HasSuffix(m.Name, "_total") {
				t.Errorf("%s: counters, and they alone, end in _total", m.Name)
			}
		}
	}
}

// Two rows that make the same series would make a scrape fail as a whole.
func TestMetricsOfEqualRows(t *testing.T) {
	src := querytest.Spoke()
	src.PeerRows = append(src.PeerRows, src.PeerRows...)
	src.InterfaceRows = append(src.InterfaceRows, src.InterfaceRows...)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(query.NewCollector(src))
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"ip nhrp", "", "c", "show \x00", "routes 10.0.0.1/99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, rest, err := query.Match("show", query.Shows(), strings.Fields(s))
		if err == nil {
			c.Snapshot(querytest.Spoke(), rest)
		}
		query.Complete(query.Shows(), strings.Fields(s), s)
	})
}
