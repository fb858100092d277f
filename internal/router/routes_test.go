package router

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/query"
)

const guarding = `
version: 1
forwarding: false
interfaces:
  wan: {address: 203.0.113.2/24}
profiles:
  corp: {psk: a-long-enough-secret-of-this-test, identity: hub.example}
tunnels:
  tun0: {underlay: wan, address: 10.100.0.1/24, protect: corp, nhrp: {network-id: 1}}
routes:
  - {to: 172.16.0.0/16, via: 10.100.0.2}
  - {to: 172.17.0.0/16, via: 192.0.2.99}
  - {to: 172.18.0.0/16, reject: true, tag: 7}
  - {to: 172.19.0.0/16, via: 203.0.113.7, weight: 3}
  - {to: 172.19.0.0/16, via: 203.0.113.8}
  - {to: 172.20.0.0/16, via: 203.0.113.7}
  - {to: 172.20.0.0/16, via: 203.0.113.9, distance: 200}
  - {to: 172.20.0.0/16, blackhole: true, distance: 250}
`

// uplink is a provider with the default route.
func uplink(t *testing.T) {
	t.Helper()
	for _, words := range []string{"link add wan type veth peer name far", "link set far up", "link set wan up", "address add 203.0.113.2/24 dev wan", "route add default via 203.0.113.1"} {
		if out := ip(strings.Fields(words)...); out != "" {
			t.Fatalf("ip %s: %s", words, out)
		}
	}
}

// inClear reports whether the kernel would send a packet to the provider.
func inClear(a string) bool { return strings.Contains(ip("route", "get", a), "dev wan") }

// explained are the rows of `show routes ADDRESS`.
func explained(r *Router, to string) (all []string) {
	p := netip.MustParsePrefix(to)
	for _, row := range query.Explain(r.RoutesTo(p), r.NHRP(), p) {
		all = append(all, fmt.Sprintf("%s %s installed %v: %s", row.Prefix, row.Protocol, row.Installed, row.Reason))
	}
	return all
}

// What another program learned by a protected tunnel stays closed when it is withdrawn, while no router runs and when one
// runs again, until somebody lets go of it.
func TestLearnedGuards(t *testing.T) {
	if !alone(t) {
		return
	}
	uplink(t)
	r, stop := start(t, guarding)
	until(t, "the device is there", func() bool { return strings.Contains(ip("route"), "10.100.0.0/24 dev tun0") })
	if !inClear("10.1.2.3") {
		t.Fatal("the provider is to be the way at first")
	}
	if out := ip("route", "add", "10.1.0.0/16", "via", "10.100.0.9", "dev", "tun0", "proto", "188", "metric", "20"); out != "" {
		t.Fatal(out)
	}
	const guard = "blackhole 10.1.0.0/16 proto 47 metric 4294967294"
	until(t, "a guard beneath the route", func() bool { return strings.Contains(ip("route", "show", "10.1.0.0/16"), guard) })
	if n, _ := r.Clear("guards", ""); n != 0 {
		t.Errorf("%d guards cleared beneath a route", n)
	}
	ip("route", "del", "10.1.0.0/16", "via", "10.100.0.9", "dev", "tun0")
	if inClear("10.1.2.3") {
		t.Error("withdrawn, it leaves in clear")
	}
	want := []string{
		"10.1.0.0/16 guard installed true: taken: longest match; only protected tunnels led there; `clear guards` lets go of it when there is no route; blackhole",
		"0.0.0.0/0 kernel installed true: shorter than 10.1.0.0/16",
	}
	until(t, "it is explained", func() bool { return slices.Equal(explained(r, "10.1.2.3/32"), want) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if inClear("10.1.2.3") || inClear("172.16.0.1") {
		t.Error("stopped, it leaves in clear")
	}
	r, stop = start(t, guarding)
	until(t, "the guard is taken over", func() bool { return len(r.Routes()) > 0 && len(explained(r, "10.1.2.3/32")) == 2 })
	if n, err := r.Clear("guards", "10.1.2.3"); n != 1 || err != nil {
		t.Errorf("%d guards cleared, %v", n, err)
	}
	until(t, "the prefix is open again", func() bool { return inClear("10.1.2.3") })
	if inClear("172.16.0.1") {
		t.Error("what the configuration guards was cleared too")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// `show routes` says what is in the kernel, and `show routes ADDRESS` why.
func TestShowRoutes(t *testing.T) {
	if !alone(t) {
		return
	}
	uplink(t)
	r, stop := start(t, guarding)
	until(t, "weights in the kernel", func() bool { return routed("172.19.0.0/16", "weight 3") })
	until(t, "a reject in the kernel", func() bool { return routed("172.18.0.0/16", "unreachable") })
	for to, want := range map[string][]string{
		"172.17.0.1/32": {"172.17.0.0/16 static installed false: leads nowhere: next hop 192.0.2.99: only the default route leads there, and via-default is off",
			"0.0.0.0/0 kernel installed true: taken: longest match"},
		"172.18.0.1/32": {"172.18.0.0/16 static installed true: taken: longest match; reject", "0.0.0.0/0 kernel installed true: shorter than 172.18.0.0/16"},
		"172.19.0.0/16": {"172.19.0.0/16 static installed true: taken: longest match", "0.0.0.0/0 kernel installed true: shorter than 172.19.0.0/16"},
		"172.20.0.1/32": {"172.20.0.0/16 static installed true: taken: longest match", "172.20.0.0/16 static installed false: distance 200, static has 1",
			"172.20.0.0/16 static installed false: distance 250, static has 1", "0.0.0.0/0 kernel installed true: shorter than 172.20.0.0/16"},
		"172.16.0.1/32": {"172.16.0.0/16 static installed true: taken: longest match; no NHRP entry for 10.100.0.2",
			"172.16.0.0/16 guard installed true: beneath the others: closes the prefix when they go", "0.0.0.0/0 kernel installed true: shorter than 172.16.0.0/16"},
	} {
		var got []string
		for end := time.Now().Add(10 * time.Second); !slices.Equal(got, want); time.Sleep(5 * time.Millisecond) {
			if got = explained(r, to); time.Now().After(end) {
				t.Fatalf("%s: got %q, want %q", to, got, want)
			}
		}
	}
	ip("link", "set", "wan", "down")
	until(t, "lost next hops are told", func() bool {
		got := explained(r, "172.19.0.1/32")
		return len(got) >= 2 && strings.Contains(got[0], "172.19.0.0/16 static installed false: leads nowhere: next hop 203.0.113.7: no route leads there")
	})
	stages, err := r.Why("172.19.0.1")
	if err == nil && (len(stages) == 0 || stages[0].State != "failed" || !strings.Contains(stages[0].Detail, "leads nowhere")) {
		t.Errorf("why: %+v %v", stages, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
