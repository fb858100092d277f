package sys

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

func via(a, dev string) rib.NextHop { return rib.NextHop{Via: addr(a), Interface: dev} }

func TestInstallReplacesOursInPlace(t *testing.T) {
	pair(t, "sc0", "sc1", "192.0.2.1/24", "2001:db8:1::1/64")
	h := start(t, "")
	for _, tt := range []struct{ prefix, one, other string }{
		{"10.1.0.0/16", "192.0.2.2", "192.0.2.3"},
		{"2001:db8:f::/48", "2001:db8:1::2", "2001:db8:1::3"},
	} {
		h.Do(install(tt.prefix, 10, via(tt.one, "sc0")))
		until(h, "first", learned(tt.prefix, 10))
		h.Do(install(tt.prefix, 10, via(tt.other, "sc0")))
		l := until(h, "second", learned(tt.prefix, 10)) // a Forgotten between the two would be a gap
		if l.NextHops[0].Via != addr(tt.other) {
			t.Errorf("%s: %+v", tt.prefix, l)
		}
		h.Do(kernel.Remove{Prefix: prefix(tt.prefix), Metric: 10})
		until(h, "end", forgotten(tt.prefix, 10))
	}
}

func TestAnotherProgramsRouteIsNeverReplacedNorRemoved(t *testing.T) {
	pair(t, "sd0", "sd1", "192.0.2.1/24")
	h := start(t, "")
	ip(t, "route", "add", "10.1.0.0/16", "via", "192.0.2.9", "metric", "10", "proto", "bird")
	until(h, "the other's route", learned("10.1.0.0/16", 10))
	h.Do(install("10.1.0.0/16", 10, via("192.0.2.2", "sd0")))
	r := until(h, "refused", func(kernel.Refused) bool { return true })
	if !strings.Contains(r.Err, "another program") || !strings.Contains(r.Err, "10.1.0.0/16 via 192.0.2.2 dev sd0") {
		t.Errorf("%q", r.Err)
	}
	h.Do(kernel.Remove{Prefix: prefix("10.1.0.0/16"), Metric: 10})
	h.Do(install("10.2.0.0/16", 10, via("192.0.2.2", "sd0"))) // marks that the removal has been done
	until(h, "mark", learned("10.2.0.0/16", 10))
	if out := ip(t, "route", "show", "10.1.0.0/16"); !strings.Contains(out, "via 192.0.2.9") {
		t.Errorf("the other's route is now %q", out)
	}
}

func TestOursThatTheViewMissedIsReplaced(t *testing.T) {
	pair(t, "se0", "se1", "192.0.2.1/24")
	h := start(t, "")
	h.Do(install("10.1.0.0/16", 10, via("192.0.2.2", "se0")))
	until(h, "first", learned("10.1.0.0/16", 10))
	h.view.wrote([]*change{{key: kernel.Key{Prefix: prefix("10.1.0.0/16"), Metric: 10}}})
	h.Do(install("10.1.0.0/16", 10, via("192.0.2.3", "se0")))
	l := until(h, "second", learned("10.1.0.0/16", 10))
	if l.NextHops[0].Via != addr("192.0.2.3") {
		t.Errorf("%+v", l)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	pair(t, "sf0", "sf1", "192.0.2.1/24")
	h := start(t, "")
	tests := []struct {
		name string
		do   kernel.Install
		want string
	}{
		{"no interface", install("10.1.0.0/16", 10, via("192.0.2.2", "nope0")), "install route 10.1.0.0/16 via 192.0.2.2 dev nope0 metric 10: interface nope0 does not exist"},
		{"no unicast next hop", install("10.1.0.0/16", 10, via("224.0.0.1", "sf0")), "Nexthop has invalid gateway"},
		{"IPv6 by IPv4", install("2001:db8:f::/48", 10, via("192.0.2.2", "sf0")), "give the tunnel an IPv6 prefix"},
		{"VRF", kernel.Install{Route: kernel.Route{VRF: "red", Prefix: prefix("10.1.0.0/16")}}, "VRF red has no table"},
	}
	for _, tt := range tests {
		h.Do(tt.do)
		if r := until(h, tt.name, func(kernel.Refused) bool { return true }); !strings.Contains(r.Err, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, r.Err, tt.want)
		}
	}
}

// Linux drops IPv4 routes of an interface that goes down without telling.
func TestRoutesDroppedInSilenceAreForgotten(t *testing.T) {
	pair(t, "sg0", "sg1", "192.0.2.1/24")
	h := start(t, "")
	h.Do(install("10.1.0.0/16", 10, via("192.0.2.2", "sg0")))
	until(h, "ours", learned("10.1.0.0/16", 10))
	ip(t, "route", "add", "10.9.0.0/16", "via", "192.0.2.9", "metric", "5")
	until(h, "theirs", learned("10.9.0.0/16", 5))

	ip(t, "link", "set", "sg0", "down")
	until(h, "down", func(l core.Link) bool { return l.Name == "sg0" && !l.Up })
	until(h, "forgotten", forgotten("10.9.0.0/16", 5))
	if l, ok := h.route("10.1.0.0/16", 10); ok {
		t.Errorf("still there: %+v", l)
	}

	ip(t, "link", "set", "sg0", "up")
	until(h, "up", func(l core.Link) bool { return l.Name == "sg0" && l.Up })
	h.Do(install("10.1.0.0/16", 10, via("192.0.2.2", "sg0")))
	until(h, "again", learned("10.1.0.0/16", 10))
}

// Linux marks a next hop dead, and alive again, without telling.
func TestNextHopsDieAndRevive(t *testing.T) {
	pair(t, "so0", "so1", "192.0.2.1/24")
	pair(t, "so2", "so3", "198.51.100.1/24")
	h := start(t, "")
	ip(t, "route", "add", "10.9.0.0/16", "metric", "5", "nexthop", "via", "192.0.2.9", "dev", "so0", "nexthop", "via", "198.51.100.9", "dev", "so2")
	hops := func(n int) func(kernel.Learned) bool {
		return func(l kernel.Learned) bool { return learned("10.9.0.0/16", 5)(l) && len(l.NextHops) == n }
	}
	until(h, "two next hops", hops(2))
	ip(t, "link", "set", "so2", "down")
	until(h, "one next hop", hops(1))
	ip(t, "link", "set", "so2", "up")
	until(h, "two next hops again", hops(2))
}

func TestRecreatedInterfaceIsGoneAndNew(t *testing.T) {
	pair(t, "sh0", "sh1", "192.0.2.1/24")
	h := start(t, "")
	before := until(h, "first", func(l core.Link) bool { return l.Name == "sh0" })
	h.Do(core.SetInterface{Name: "sh0", Addresses: []netip.Prefix{prefix("198.51.100.1/24")}, MTU: 1400})
	until(h, "address", func(l core.Link) bool {
		return l.Name == "sh0" && l.MTU == 1400 && l.HasAddress(addr("198.51.100.1"))
	})
	ip(t, "link", "del", "sh0")
	until(h, "gone", func(l core.Link) bool { return l.Name == "sh0" && l.Gone && l.Index == before.Index })
	pair(t, "sh0", "sh1")
	after := until(h, "asked for again", func(l core.Link) bool {
		return l.Name == "sh0" && l.MTU == 1400 && l.HasAddress(addr("198.51.100.1"))
	})
	if after.Index == before.Index {
		t.Errorf("index %d twice", after.Index)
	}
}

func TestSetInterfaceOwnsOnlyWhatItGave(t *testing.T) {
	pair(t, "si0", "si1", "192.0.2.1/24")
	dir := t.TempDir()
	h := start(t, dir)
	set := func(h *host, want string, lacks string, addrs ...netip.Prefix) {
		t.Helper()
		h.Do(core.SetInterface{Name: "si0", Addresses: addrs})
		until(h, want, func(l core.Link) bool {
			return l.Name == "si0" && l.HasAddress(addr(want)) && (lacks == "" || !l.HasAddress(addr(lacks)))
		})
	}
	set(h, "198.51.100.1", "", prefix("198.51.100.1/24"), prefix("198.51.100.2/24"))
	set(h, "198.51.100.2", "198.51.100.1", prefix("198.51.100.2/24")) // with .1 Linux removes .2 as well
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, dir) // a process after us knows what we gave
	set(h, "198.51.100.3", "198.51.100.2", prefix("198.51.100.3/24"))
	h.Do(core.SetInterface{Name: "si0"})
	until(h, "given back", func(l core.Link) bool {
		return l.Name == "si0" && !l.HasAddress(addr("198.51.100.3")) && l.HasAddress(addr("192.0.2.1"))
	})
}

func TestTunnelDeviceIsPrepared(t *testing.T) {
	needNamespace(t)
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun")
	}
	h := start(t, "")
	h.Do(core.SetInterface{Name: "sj0", Addresses: []netip.Prefix{prefix("10.100.0.1/24")}, MTU: 1400})
	fd := openTun(t, "sj0")
	defer unix.Close(fd)
	l := until(h, "sj0", func(l core.Link) bool { return l.Name == "sj0" && l.Up && l.HasAddress(addr("10.100.0.1")) })
	for _, p := range l.Addresses {
		if p.Addr().IsLinkLocalUnicast() {
			t.Errorf("link-local address %v", p)
		}
	}
	if got := readSysctl("ipv4/conf/sj0/send_redirects"); got != "0" {
		t.Errorf("send_redirects is %q", got)
	}
	const all = "ipv4/conf/all/rp_filter"
	defer writeSysctl(all, readSysctl(all))
	for _, host := range [][2]string{{"1", "2"}, {"2", "0"}, {"0", "0"}} { // the kernel takes the greater of the two
		if err := writeSysctl(all, host[0]); err != nil {
			t.Fatal(err)
		}
		prepareTunnel("sj0", nil, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if got := readSysctl("ipv4/conf/sj0/rp_filter"); got != host[1] {
			t.Errorf("rp_filter is %q beside %q of all, want %q", got, host[0], host[1])
		}
	}
	h.Do(install("10.1.0.0/16", 10, via("10.100.0.9", "sj0")))
	until(h, "route", learned("10.1.0.0/16", 10))
}

func openTun(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := unix.NewIfreq(name)
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestRenamedInterface(t *testing.T) {
	pair(t, "sk0", "sk1", "192.0.2.1/24")
	h := start(t, "")
	ip(t, "link", "set", "sk0", "down")
	ip(t, "link", "set", "sk0", "name", "sk9")
	until(h, "old name gone", func(l core.Link) bool { return l.Name == "sk0" && l.Gone })
	until(h, "new name", func(l core.Link) bool { return l.Name == "sk9" && l.HasAddress(addr("192.0.2.1")) })
	ip(t, "link", "set", "sk9", "name", "sk0") // so that the cleanup finds it
}

// Two routes with one key, as `ip route append` makes them: the kernel uses the first, and deleting it leaves the
// other.
func TestTwoRoutesWithOneKey(t *testing.T) {
	pair(t, "sl0", "sl1", "192.0.2.1/24")
	h := start(t, "")
	ip(t, "route", "add", "10.1.0.0/16", "via", "192.0.2.2", "metric", "5")
	until(h, "first", learned("10.1.0.0/16", 5))
	ip(t, "route", "append", "10.1.0.0/16", "via", "192.0.2.3", "metric", "5")
	ip(t, "route", "del", "10.1.0.0/16", "via", "192.0.2.2", "metric", "5")
	l := until(h, "second", learned("10.1.0.0/16", 5))
	if l.NextHops[0].Via != addr("192.0.2.3") {
		t.Errorf("%+v", l)
	}
}

// A full socket loses messages; what was missed is found by reading everything.
func TestOverrunIsMadeGood(t *testing.T) {
	pair(t, "sm0", "sm1", "192.0.2.1/24")
	h := start(t, "")
	w := h.watcher
	small, err := dial(1, groups...) // the kernel rounds up to its least: a few messages
	if err != nil {
		t.Fatal(err)
	}
	other := *w
	other.events, other.view = small, newView()
	other.routes, other.links = func([]core.Event) {}, func(core.Link) {}
	var log strings.Builder
	other.log = slog.New(slog.NewTextHandler(&log, nil))
	if other.asks, err = dial(ackBuffer); err != nil {
		t.Fatal(err)
	}
	if err := other.start(); err != nil {
		t.Fatal(err)
	}
	const n = 500
	for i := range n {
		h.Do(install(fmt.Sprintf("10.1.%d.%d/32", i/256, i%256), 10, via("192.0.2.2", "sm0")))
	}
	until(h, "all written", learned(fmt.Sprintf("10.1.%d.%d/32", (n-1)/256, (n-1)%256), 10))
	done := make(chan struct{})
	go func() { defer close(done); other.run() }()
	deadline := time.Now().Add(10 * time.Second)
	for count(other.view) < n && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	small.close()
	<-done
	other.asks.close()
	if got := count(other.view); got != n || !strings.Contains(log.String(), "lost") {
		t.Errorf("%d routes known of %d; logged %q", got, n, &log)
	}
}

func count(v *view) (n int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, l := range v.routes {
		if l.Ours {
			n++
		}
	}
	return n
}

func BenchmarkInstall(b *testing.B) {
	pair(b, "sn0", "sn1", "192.0.2.1/24")
	h := start(b, "")
	key := func(i int) string { return fmt.Sprintf("10.%d.%d.%d/32", i>>16&255, i>>8&255, i&255) }
	b.ResetTimer()
	for i := range b.N {
		h.Do(install(key(i), 10, via("192.0.2.2", "sn0")))
	}
	until(h, "last", learned(key(b.N-1), 10))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}
