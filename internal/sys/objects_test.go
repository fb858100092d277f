package sys

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/proto/kernel"
	"github.com/spokeway/spokeway/internal/rib"
)

// nexthop is what iproute2 says of an object.
type nexthop struct {
	ID       uint32
	Protocol any
	Gateway  string
	Group    []struct{ ID uint32 }
}

func nexthops(t testing.TB, ours bool) (all []nexthop) {
	t.Helper()
	out := ip(t, "-j", "nexthop", "show")
	if out == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return slices.DeleteFunc(all, func(n nexthop) bool { return (fmt.Sprint(n.Protocol) == "47") != ours })
}

// eventually waits until the kernel is as ok wants it.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s\n%s", what, ip(t, "nexthop"))
		}
	}
}

func nth(i int) string { return fmt.Sprintf("10.8.%d.%d/32", i>>8, i&255) }

// fill writes n routes by the same next hops, and waits until the last is there.
func (h *host) fill(n int, hops ...rib.NextHop) {
	h.t.Helper()
	for i := range n {
		h.Do(install(nth(i), 10, hops...))
	}
	h.all(n, hops...)
}

// all waits until all of the routes are known with these next hops, and looks whether the kernel has them so.
func (h *host) all(n int, hops ...rib.NextHop) {
	h.t.Helper()
	want := func(i int) kernel.Route {
		return kernel.Route{Prefix: prefix(nth(i)), Metric: 10, NextHops: hops}
	}
	eventually(h.t, fmt.Sprint("all routes by ", hops), func() bool {
		for i := n - 1; i >= 0; i-- {
			if l, ok := h.route(nth(i), 10); !ok || !l.Equal(want(i)) {
				return false
			}
		}
		return true
	})
	v := h.read()
	for i := range n {
		if l, ok := v.routes[want(i).Key()]; !ok || !l.Equal(want(i)) {
			h.t.Fatalf("the kernel has %+v, want %+v", l, want(i))
		}
	}
}

// read is a fresh copy of the kernel's table.
func (h *host) read() *view {
	h.t.Helper()
	v := newView()
	h.view.mu.RLock()
	maps.Copy(v.links, h.view.links)
	h.view.mu.RUnlock()
	c, err := dial(ackBuffer)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.close()
	all, err := c.dumpObjects()
	if err != nil {
		h.t.Fatal(err)
	}
	routes, err := c.dumpRoutes()
	if err != nil {
		h.t.Fatal(err)
	}
	v.replaceRoutes(routes, all)
	return v
}

// patient has routes that move wait for each other however slow this machine is.
func (h *host) patient() {
	h.view.table.Lock()
	defer h.view.table.Unlock()
	h.Edge.routes.waits = waits{one: 5 * time.Second, all: time.Minute}
}

// sent is how many messages the writer has sent.
func (h *host) sent() int {
	h.view.table.Lock()
	defer h.view.table.Unlock()
	return h.Edge.routes.sent
}

func TestRoutesWithTheSameNextHopsShareAnObject(t *testing.T) {
	pair(t, "oa0", "oa1", "192.0.2.1/24", "2001:db8:1::1/64")
	pair(t, "oa2", "oa3", "203.0.113.1/24")
	h := start(t, "")
	h.fill(5, via("192.0.2.2", "oa0"))
	h.Do(install("10.9.0.0/16", 10, via("192.0.2.2", "oa0"), via("203.0.113.2", "oa2")))
	h.Do(install("10.10.0.0/16", 10, via("203.0.113.2", "oa2"), via("192.0.2.2", "oa0")))
	h.Do(install("2001:db8:f::/48", 10, via("2001:db8:1::2", "oa0")))
	until(h, "the last", learned("2001:db8:f::/48", 10))
	var groups, singles int
	for _, n := range nexthops(t, true) {
		if n.Group != nil {
			groups++
		} else {
			singles++
		}
	}
	if groups != 1 || singles != 4 { // a way, two members of the group, and one for IPv6
		t.Errorf("%d groups and %d single objects:\n%s", groups, singles, ip(t, "nexthop"))
	}
	for i := range 5 {
		h.Do(kernel.Remove{Prefix: prefix(nth(i)), Metric: 10})
	}
	for _, p := range []string{"10.9.0.0/16", "10.10.0.0/16", "2001:db8:f::/48"} {
		h.Do(kernel.Remove{Prefix: prefix(p), Metric: 10})
	}
	eventually(t, "no object without a route", func() bool { return len(nexthops(t, true)) == 0 })
}

func TestRoutesMoveTogetherInOneMessage(t *testing.T) {
	pair(t, "ob0", "ob1", "192.0.2.1/24")
	pair(t, "ob2", "ob3", "203.0.113.1/24")
	a, b, c := via("192.0.2.2", "ob0"), via("203.0.113.2", "ob2"), via("192.0.2.3", "ob0")
	const n = 600 // more than one batch
	for _, tt := range []struct {
		name         string
		from, to     []rib.NextHop
		messages     int // of which one changes the object, the others make and remove members
		backMessages int
	}{
		{"a hub is lost", []rib.NextHop{a}, []rib.NextHop{b}, 1, 1},
		{"one of two is lost", []rib.NextHop{a, b}, []rib.NextHop{b}, 2, 2},
		{"one of two is another", []rib.NextHop{a, b}, []rib.NextHop{a, c}, 3, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := start(t, "")
			h.patient()
			h.fill(n, tt.from...)
			for _, step := range []struct {
				to       []rib.NextHop
				messages int
			}{{tt.to, tt.messages}, {tt.from, tt.backMessages}} {
				before := h.sent()
				for i := range n {
					h.Do(install(nth(i), 10, step.to...))
				}
				h.all(n, step.to...)
				if sent := h.sent() - before; sent != step.messages {
					t.Errorf("%d routes moved by %d messages, want %d", n, sent, step.messages)
				}
			}
			for i := range n {
				h.Do(kernel.Remove{Prefix: prefix(nth(i)), Metric: 10})
			}
			eventually(t, "nothing left", func() bool { return len(nexthops(t, true)) == 0 })
		})
	}
}

// Some stay where they are, and one that was to move is removed meanwhile: nobody is taken along.
func TestRoutesPart(t *testing.T) {
	pair(t, "oc0", "oc1", "192.0.2.1/24")
	a, b, c := via("192.0.2.2", "oc0"), via("192.0.2.3", "oc0"), via("192.0.2.4", "oc0")
	h := start(t, "")
	const n = 300
	h.fill(n, a)
	want := map[int]rib.NextHop{}
	for i := range n {
		switch {
		case i%3 == 0:
			want[i] = a
			continue
		case i%3 == 1:
			want[i] = b
		default:
			want[i] = c
		}
		h.Do(install(nth(i), 10, want[i]))
	}
	h.Do(kernel.Remove{Prefix: prefix(nth(1)), Metric: 10})
	h.Do(install("10.9.0.0/16", 10, a)) // the mark: the last
	until(h, "forgotten", forgotten(nth(1), 10))
	delete(want, 1)
	eventually(t, "each where it shall be", func() bool {
		for i, hop := range want {
			if l, ok := h.route(nth(i), 10); !ok || l.NextHops[0].Via != hop.Via {
				return false
			}
		}
		return true
	})
	v := h.read()
	for i, hop := range want {
		if l := v.routes[kernel.Key{Prefix: prefix(nth(i)), Metric: 10}]; len(l.NextHops) != 1 || l.NextHops[0].Via != hop.Via {
			t.Fatalf("%s: the kernel has %+v, want %v", nth(i), l, hop)
		}
	}
}

// The kernel drops objects, and IPv4 routes by them, without a word when their interface goes down or loses its carrier.
func TestObjectsThatTheKernelDroppedAreMadeAnew(t *testing.T) {
	for _, tt := range []struct{ name, end, down string }{
		{"admin down", "od0", "down"},
		{"carrier lost", "od1", "down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pair(t, "od0", "od1", "192.0.2.1/24", "2001:db8:1::1/64")
			pair(t, "od2", "od3", "203.0.113.1/24")
			h := start(t, "")
			two := []rib.NextHop{via("192.0.2.2", "od0"), via("203.0.113.2", "od2")}
			write := func() {
				h.Do(install("10.1.0.0/16", 10, two[0]))
				h.Do(install("10.2.0.0/16", 10, two...))
				h.Do(install("2001:db8:f::/48", 10, via("2001:db8:1::2", "od0")))
				until(h, "the last", learned("2001:db8:f::/48", 10))
			}
			write()
			ip(t, "link", "set", tt.end, tt.down)
			until(h, "down", func(l core.Link) bool { return l.Name == "od0" && !l.Up })
			eventually(t, "the route is forgotten", func() bool {
				_, ok := h.route("10.1.0.0/16", 10)
				return !ok
			})
			eventually(t, "one next hop of two is known", func() bool {
				l, ok := h.route("10.2.0.0/16", 10)
				return ok && len(l.NextHops) == 1
			})
			h.Do(install("10.2.0.0/16", 10, two[1]))
			h.Do(kernel.Remove{Prefix: prefix("10.1.0.0/16"), Metric: 10})
			ip(t, "link", "set", tt.end, "up")
			until(h, "up", func(l core.Link) bool { return l.Name == "od0" && l.Up })
			h.Do(kernel.Remove{Prefix: prefix("2001:db8:f::/48"), Metric: 10})
			if strings.Contains(tt.name, "admin") { // takes the IPv6 address too
				ip(t, "addr", "replace", "2001:db8:1::1/64", "dev", "od0", "nodad")
			}
			write()
			eventually(t, "both next hops again", func() bool {
				l, ok := h.route("10.2.0.0/16", 10)
				return ok && l.Equal(install("10.2.0.0/16", 10, two...).Route)
			})
			if out := ip(t, "route", "show", "10.1.0.0/16"); !strings.Contains(out, "nhid") {
				t.Errorf("the kernel has %q", out)
			}
		})
	}
}

// An identifier of our range may be another program's, known or not, and is left to it.
func TestIdentifiersOfOthers(t *testing.T) {
	pair(t, "oe0", "oe1", "192.0.2.1/24")
	foreign := fmt.Sprint(uint32(firstObject + 1))
	ip(t, "nexthop", "add", "id", foreign, "via", "192.0.2.99", "dev", "oe0", "proto", "zebra")
	ip(t, "nexthop", "add", "id", "7", "via", "192.0.2.98", "dev", "oe0")
	h := start(t, "")
	h.fill(2, via("192.0.2.2", "oe0"))
	ip(t, "nexthop", "add", "id", fmt.Sprint(h.view.objects.next+1), "via", "192.0.2.97", "dev", "oe0", "proto", "zebra")
	h.view.table.Lock()
	h.Edge.routes.doubt.Store(false) // as if nobody had told
	delete(h.view.objects.taken, h.view.objects.next+1)
	h.view.table.Unlock()
	h.Do(install("10.9.0.0/16", 10, via("192.0.2.3", "oe0")))
	l := until(h, "by another identifier", learned("10.9.0.0/16", 10))
	if out := ip(t, "route", "show", "10.9.0.0/16"); l.NextHops[0].Via != addr("192.0.2.3") || !strings.Contains(out, "via 192.0.2.3") {
		t.Errorf("learned %+v, the kernel has %q", l, out)
	}
	for i := range 2 {
		h.Do(kernel.Remove{Prefix: prefix(nth(i)), Metric: 10})
	}
	h.Do(kernel.Remove{Prefix: prefix("10.9.0.0/16"), Metric: 10})
	eventually(t, "ours are gone", func() bool { return len(nexthops(t, true)) == 0 })
	var gateways []string
	for _, n := range nexthops(t, false) {
		gateways = append(gateways, n.Gateway)
	}
	slices.Sort(gateways)
	if want := []string{"192.0.2.97", "192.0.2.98", "192.0.2.99"}; !slices.Equal(gateways, want) {
		t.Errorf("others' objects lead by %v, want %v", gateways, want)
	}
}

func TestObjectsOfAnEarlierProcessAreTakenOver(t *testing.T) {
	pair(t, "of0", "of1", "192.0.2.1/24")
	pair(t, "of2", "of3", "203.0.113.1/24")
	a, b := via("192.0.2.2", "of0"), via("203.0.113.2", "of2")
	h := start(t, "")
	h.fill(200, a, b)
	h.Close()
	before := nexthops(t, true)
	unused := fmt.Sprint(uint32(lastObject))
	ip(t, "nexthop", "add", "id", unused, "via", "192.0.2.77", "dev", "of0", "proto", "47")

	h = start(t, "")
	h.patient()
	h.Do(install("10.9.0.0/16", 10, a, b))
	until(h, "one more", learned("10.9.0.0/16", 10))
	eventually(t, "the same objects, and none of no use", func() bool {
		return fmt.Sprint(nexthops(t, true)) == fmt.Sprint(before)
	})
	h.Do(kernel.Remove{Prefix: prefix("10.9.0.0/16"), Metric: 10})
	until(h, "the one gone", forgotten("10.9.0.0/16", 10))
	sent := h.sent()
	for i := range 200 {
		h.Do(install(nth(i), 10, b))
	}
	h.all(200, b)
	if n := h.sent() - sent; n != 2 {
		t.Errorf("%d messages to move what the earlier process wrote, want 2", n)
	}
}

func TestWithoutObjects(t *testing.T) {
	pair(t, "og0", "og1", "192.0.2.1/24")
	h := start(t, "")
	h.view.table.Lock()
	h.view.plain, h.view.objects.can = true, false
	h.view.table.Unlock()
	h.fill(300, via("192.0.2.2", "og0"))
	h.fill(300, via("192.0.2.3", "og0"))
	if all := nexthops(t, true); len(all) > 0 {
		t.Errorf("objects: %+v", all)
	}
}

// With net.ipv4.nexthop_compat_mode off, the kernel says of a route only which object it leads by.
func TestRoutesThatOnlyNameAnObject(t *testing.T) {
	pair(t, "oh0", "oh1", "192.0.2.1/24")
	pair(t, "oh2", "oh3", "203.0.113.1/24")
	sysctl(t, "net/ipv4/nexthop_compat_mode", "0")
	defer sysctl(t, "net/ipv4/nexthop_compat_mode", "1")
	h := start(t, "")
	h.fill(3, via("192.0.2.2", "oh0"), via("203.0.113.2", "oh2"))
	ip(t, "nexthop", "add", "id", "7", "via", "192.0.2.98", "dev", "oh0")
	ip(t, "route", "add", "10.7.0.0/16", "nhid", "7", "metric", "5")
	l := until(h, "another's", learned("10.7.0.0/16", 5))
	if len(l.NextHops) != 1 || l.NextHops[0].Via != netip.MustParseAddr("192.0.2.98") {
		t.Errorf("learned %+v", l)
	}
	ip(t, "nexthop", "replace", "id", "7", "via", "192.0.2.96", "dev", "oh0")
	until(h, "its object leads elsewhere", func(l kernel.Learned) bool {
		return learned("10.7.0.0/16", 5)(l) && l.NextHops[0].Via == netip.MustParseAddr("192.0.2.96")
	})
}
