package tunnel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/dataplane"
)

// bench is a loop with the module, a listener for its notices, and a record of both its notices and effects.
type bench struct {
	loop   *core.Loop
	record []string
	slow   bool // the kernel takes its time to give a device its addresses
}

func (b *bench) Name() string { return "listener" }

func (b *bench) Handle(_ *core.Env, ev core.Event) {
	n, ok := ev.(core.Notice)
	if !ok {
		return
	}
	switch n := n.Body.(type) {
	case dataplane.TunnelUp:
		b.record = append(b.record, fmt.Sprintf("up %s %s mtu %d", n.Name, n.Local, n.MTU))
	case dataplane.TunnelDown:
		b.record = append(b.record, fmt.Sprintf("down %s removed=%v: %s", n.Name, n.Removed, n.Reason))
	}
}

func (b *bench) Do(e core.Effect) {
	switch e := e.(type) {
	case dataplane.SetTunnel:
		b.record = append(b.record, fmt.Sprintf("set %s %s mtu %d", e.Name, e.Local, e.MTU))
	case dataplane.DeleteTunnel:
		b.record = append(b.record, "delete "+e.Name)
	case core.SetInterface:
		b.record = append(b.record, strings.TrimSpace(fmt.Sprintf("interface %s mtu %d %v", e.Name, e.MTU, e.Addresses)))
		if len(e.Addresses) > 0 && !b.slow { // the kernel does as it is told
			b.loop.Post(Name, core.Link{Name: e.Name, Index: 5, Up: true, MTU: e.MTU, Addresses: e.Addresses})
		}
	}
}

func newBench() *bench {
	b := &bench{}
	b.loop = core.NewLoop(0, rand.New(rand.NewPCG(1, 1)), b)
	b.loop.Add(New(), core.Start{})
	b.loop.Add(b, core.Start{})
	b.loop.Run(0)
	return b
}

// settled is a bench on which the start is over.
func settled() *bench {
	b := newBench()
	b.loop.Run(surveyTime)
	return b
}

// send gives the module an event and returns what it did.
func (b *bench) send(ev core.Event) []string {
	b.record = nil
	b.loop.Post(Name, ev)
	b.loop.Run(0)
	return b.record
}

func configure(cs ...Config) core.Event { return core.Request{From: "router", Body: Configure{cs}} }

func link(name string, index int, up bool, mtu int, addrs ...string) core.Link {
	l := core.Link{Name: name, Index: index, Up: up, MTU: mtu}
	for _, a := range addrs {
		l.Addresses = append(l.Addresses, netip.MustParsePrefix(a))
	}
	return l
}

func gone(name string, index int) core.Link { return core.Link{Name: name, Index: index, Gone: true} }

func config(name string, with ...func(*Config)) Config {
	c := Config{Name: name, UnderlayInterface: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}, TTL: 64}
	for _, w := range with {
		w(&c)
	}
	return c
}

var (
	eth0 = link("eth0", 2, true, 1500, "192.0.2.1/24", "2001:db8::1/64")
	up0  = []string{"set tun0 192.0.2.1 mtu 1476", "interface tun0 mtu 1476 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1476"}
)

// made is what a tunnel without an underlay gets: its device, so that nothing for the overlay goes elsewhere.
func made(then ...string) []string {
	return append([]string{"set tun0 invalid IP mtu 1456", "interface tun0 mtu 1456 [10.0.0.1/24]"}, then...)
}

// A case gives the events before, which are not looked at, the event, and everything that it causes.
func TestModule(t *testing.T) {
	key := func(c *Config) { c.Key = dataplane.Key{Value: 42, Set: true} }
	v6 := func(c *Config) { c.UnderlayIPv6 = true }
	at := func(a string) func(*Config) {
		return func(c *Config) { c.UnderlayInterface, c.UnderlayAddress = "", netip.MustParseAddr(a) }
	}
	second := func(c *Config) {
		key(c)
		c.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.0.1/24")}
	}
	ready := []core.Event{eth0, configure(config("tun0"))}
	tests := []struct {
		name   string
		before []core.Event
		event  core.Event
		want   []string
	}{
		{"underlay there first", []core.Event{eth0}, configure(config("tun0")), up0},
		{"underlay comes later", []core.Event{configure(config("tun0"))}, eth0, up0},
		{"no underlay", nil, configure(config("tun0")), made("down tun0 removed=false: underlay eth0 does not exist")},
		{"underlay down from the start", []core.Event{link("eth0", 2, false, 1500, "192.0.2.1/24")}, configure(config("tun0")),
			made("down tun0 removed=false: underlay eth0 is down")},
		{"underlay without address", []core.Event{link("eth0", 2, true, 1500, "2001:db8::1/64")}, configure(config("tun0")),
			made("down tun0 removed=false: underlay eth0 has no IPv4 address")},
		{"link-local is no IPv6 address to be reached at", []core.Event{link("eth0", 2, true, 1500, "fe80::1/64")}, configure(config("tun0", v6)),
			made("down tun0 removed=false: underlay eth0 has no IPv6 address")},
		{"IPv6 underlay", []core.Event{eth0}, configure(config("tun0", v6)),
			[]string{"set tun0 2001:db8::1 mtu 1456", "interface tun0 mtu 1456 [10.0.0.1/24]", "up tun0 2001:db8::1 mtu 1456"}},
		{"underlay by address", []core.Event{eth0}, configure(config("tun0", at("192.0.2.1"))), up0},
		{"underlay address on no interface", []core.Event{eth0}, configure(config("tun0", at("192.0.2.7"))),
			made("down tun0 removed=false: underlay address 192.0.2.7 is on no interface")},
		{"key and UDP take room", []core.Event{eth0}, configure(config("tun0", key, func(c *Config) { c.Encapsulation = dataplane.GREUDP })),
			[]string{"set tun0 192.0.2.1 mtu 1464", "interface tun0 mtu 1464 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1464"}},
		{"configured MTU", []core.Event{eth0}, configure(config("tun0", func(c *Config) { c.MTU = 1400 })),
			[]string{"set tun0 192.0.2.1 mtu 1400", "interface tun0 mtu 1400 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1400"}},
		{"protection takes room", []core.Event{link("eth0", 2, true, 1420, "192.0.2.1/24")},
			configure(config("tun0", func(c *Config) { c.Protected, c.Wrap = true, 60 })),
			[]string{"set tun0 192.0.2.1 mtu 1336", "interface tun0 mtu 1336 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1336"}},
		{"a protected tunnel has 1400 at most", []core.Event{link("eth0", 2, true, 9000, "192.0.2.1/24")},
			configure(config("tun0", func(c *Config) { c.Protected, c.Wrap = true, 60 })),
			[]string{"set tun0 192.0.2.1 mtu 1400", "interface tun0 mtu 1400 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1400"}},
		{"a protected tunnel has more when told", []core.Event{link("eth0", 2, true, 9000, "192.0.2.1/24")},
			configure(config("tun0", func(c *Config) { c.Protected, c.Wrap, c.MTU = true, 60, 8900 })),
			[]string{"set tun0 192.0.2.1 mtu 8900", "interface tun0 mtu 8900 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 8900"}},
		{"an IPv6 overlay needs 1280 (RFC 8200 5)", []core.Event{link("eth0", 2, true, 1280, "192.0.2.1/24")},
			configure(config("tun0", func(c *Config) { c.Addresses = []netip.Prefix{netip.MustParsePrefix("fd00::1/64")} })),
			[]string{"set tun0 192.0.2.1 mtu 1280", "interface tun0 mtu 1280 [fd00::1/64]", "up tun0 192.0.2.1 mtu 1280"}},

		{"nothing changed", ready, eth0, nil},
		{"same configuration again", ready, configure(config("tun0")), nil},
		{"another interface", ready, link("eth7", 7, true, 1500, "203.0.113.1/24"), nil},
		{"underlay goes down", ready, link("eth0", 2, false, 1500, "192.0.2.1/24"), []string{"down tun0 removed=false: underlay eth0 is down"}},
		{"underlay is deleted", ready, gone("eth0", 2), []string{"down tun0 removed=false: underlay eth0 does not exist"}},
		{"underlay comes back as it was", append(ready, link("eth0", 2, false, 1500)), eth0, []string{"up tun0 192.0.2.1 mtu 1476"}},
		{"underlay made anew with the same address", append(ready, gone("eth0", 2)), link("eth0", 9, true, 1500, "192.0.2.1/24"),
			[]string{"up tun0 192.0.2.1 mtu 1476"}},
		{"underlay made anew, its end told late", ready, link("eth0", 9, true, 1500, "192.0.2.1/24"), []string{"up tun0 192.0.2.1 mtu 1476"}},
		{"the late end of the old underlay", append(ready, link("eth0", 9, true, 1500, "192.0.2.1/24")), gone("eth0", 2), nil},
		{"underlay gets another address", ready, link("eth0", 2, true, 1500, "192.0.2.9/24"),
			[]string{"set tun0 192.0.2.9 mtu 1476", "up tun0 192.0.2.9 mtu 1476"}},
		{"a second address in front does not disturb", ready, link("eth0", 2, true, 1500, "192.0.2.9/24", "192.0.2.1/24"), nil},
		{"underlay loses its address", ready, link("eth0", 2, true, 1500), []string{"down tun0 removed=false: underlay eth0 has no IPv4 address"}},
		{"underlay MTU changes", ready, link("eth0", 2, true, 1400, "192.0.2.1/24"),
			[]string{"set tun0 192.0.2.1 mtu 1376", "interface tun0 mtu 1376 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1376"}},
		{"underlay address moves to another interface", []core.Event{eth0, configure(config("tun0", at("192.0.2.1"))), link("eth0", 2, true, 1500)},
			link("eth1", 3, true, 1500, "192.0.2.1/24"), []string{"up tun0 192.0.2.1 mtu 1476"}},

		{"key changes", ready, configure(config("tun0", key)),
			[]string{"set tun0 192.0.2.1 mtu 1472", "interface tun0 mtu 1472 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1472"}},
		{"a second tunnel does not disturb the first", ready, configure(config("tun0"), config("tun1", second)),
			[]string{"set tun1 192.0.2.1 mtu 1472", "interface tun1 mtu 1472 [10.1.0.1/24]", "up tun1 192.0.2.1 mtu 1472"}},
		{"tunnel removed", ready, configure(),
			[]string{"interface tun0 mtu 0 []", "delete tun0", "down tun0 removed=true: removed from the configuration"}},
		{"tunnel that never was up removed", []core.Event{configure(config("tun0"))}, configure(),
			[]string{"interface tun0 mtu 0 []", "delete tun0", "down tun0 removed=true: removed from the configuration"}},
		{"device loses its address", ready, link("tun0", 5, true, 1476),
			[]string{"down tun0 removed=false: its device was set down or lost its address; giving it back", up0[1], up0[2]}},
		{"device set down", ready, link("tun0", 5, false, 1476, "10.0.0.1/24"),
			[]string{"down tun0 removed=false: its device was set down or lost its address; giving it back", up0[1], up0[2]}},
		{"device deleted under us", append(ready, link("tun0", 5, true, 1476)), gone("tun0", 5),
			append([]string{"delete tun0", "down tun0 removed=false: its device was deleted"}, up0...)},
		{"the end of a device we deleted", append(ready, link("tun0", 5, true, 1476), configure(), configure(config("tun0"))), gone("tun0", 5), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := settled()
			for _, ev := range tt.before {
				b.send(ev)
			}
			if got := b.send(tt.event); !slices.Equal(sorted(got), sorted(tt.want)) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// sorted, since notices are heard after the effects of the event are done.
func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// An interface that is told after the configuration is not said to be missing; one that is not there, is, a little
// later.
func TestNoVerdictBeforeTheInterfacesAreKnown(t *testing.T) {
	b := newBench()
	other := config("tun1", func(c *Config) { c.UnderlayInterface = "eth9" })
	for _, did := range b.send(configure(config("tun0"), other)) {
		if strings.HasPrefix(did, "down") {
			t.Errorf("at start: %q", did)
		}
	}
	if got := b.send(eth0); !slices.Equal(got, up0) {
		t.Errorf("interface told: %q", got)
	}
	b.record = nil
	b.loop.Run(surveyTime)
	if want := []string{"down tun1 removed=false: underlay eth9 does not exist"}; !slices.Equal(b.record, want) {
		t.Errorf("got %q, want %q", b.record, want)
	}
}

func TestSetBeforeInterface(t *testing.T) {
	b := newBench()
	b.send(eth0)
	if got := b.send(configure(config("tun0"))); !slices.Equal(got, up0) {
		t.Errorf("got %q, want %q", got, up0)
	}
}

// What the data plane could not make is told and tried again, in silence, until it can. A device that is not ours gets
// no address of ours.
func TestTriedAgain(t *testing.T) {
	b := settled()
	b.send(eth0)
	b.send(configure(config("tun0")))
	failed := dataplane.Failed{Tunnel: "tun0", Doing: "make the device", Err: "it is taken", Down: true}
	set := "set tun0 192.0.2.1 mtu 1476"
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"the first failure", func() { b.send(failed) }, []string{"down tun0 removed=false: make the device: it is taken"}},
		{"the underlay flaps", func() { b.send(eth0) }, nil},
		{"tried again", func() { b.loop.Run(b.loop.Now() + retryTime) }, []string{set}},
		{"fails again", func() { b.send(failed) }, nil},
		{"tried once more", func() { b.loop.Run(b.loop.Now() + retryTime) }, []string{set}},
		{"made", func() { b.loop.Run(b.loop.Now() + verdictTime) }, up0[1:]},
		{"nothing is left to do", func() { b.loop.Run(b.loop.Now() + 10*retryTime) }, nil},
		{"fails at something else", func() { b.send(dataplane.Failed{Tunnel: "tun0", Doing: "send"}) }, nil},
		{"no such tunnel", func() { b.send(dataplane.Failed{Tunnel: "tun9", Down: true}) }, nil},
		{"fails anew", func() { b.send(failed) }, []string{"down tun0 removed=false: make the device: it is taken"}},
		{"the underlay goes", func() { b.send(gone("eth0", 2)) }, []string{"down tun0 removed=false: underlay eth0 does not exist"}},
		{"nothing is tried without it", func() { b.loop.Run(b.loop.Now() + 10*retryTime) }, nil},
		{"it comes back", func() { b.send(eth0) }, up0},
		{"fails at last", func() { b.send(failed) }, []string{"down tun0 removed=false: make the device: it is taken"}},
		{"configured otherwise", func() { b.send(configure(config("tun0", func(c *Config) { c.MTU = 1400 }))) },
			[]string{"set tun0 192.0.2.1 mtu 1400", "interface tun0 mtu 1400 [10.0.0.1/24]", "up tun0 192.0.2.1 mtu 1400"}},
	} {
		b.record = nil
		if step.do(); !slices.Equal(sorted(b.record), sorted(step.want)) {
			t.Errorf("%s: got\n  %s\nwant\n  %s", step.name, strings.Join(b.record, "\n  "), strings.Join(step.want, "\n  "))
		}
	}
}

func TestUpOnlyWithAddresses(t *testing.T) {
	b := settled()
	b.slow = true
	b.send(eth0)
	if got := b.send(configure(config("tun0"))); !slices.Equal(got, up0[:2]) {
		t.Errorf("the device is only being made: %q", got)
	}
	if got := b.send(link("tun0", 5, true, 1476)); len(got) != 0 {
		t.Errorf("it has no address yet: %q", got)
	}
	if got := b.send(link("tun0", 5, true, 1476, "10.0.0.1/24")); !slices.Equal(got, up0[2:]) {
		t.Errorf("it has its address, and with it its route: %q", got)
	}
	if got := b.send(link("tun0", 5, true, 1476, "10.0.0.1/24", "10.0.0.7/32")); len(got) != 0 {
		t.Errorf("nothing of ours changed: %q", got)
	}
}

// Tunnels on one underlay address share their SAs, so that they want one profile. The check of the configuration says so
// where it can know; an address can come later.
func TestOneProfileForAnUnderlayAddress(t *testing.T) {
	protected := func(name, underlay, profile string) Config {
		return config(name, func(c *Config) {
			c.UnderlayInterface, c.Protected, c.Wrap, c.Profile = underlay, profile != "", 60, profile
			c.Addresses = []netip.Prefix{netip.MustParsePrefix(map[string]string{"tun0": "10.0.0.1/24", "tun1": "10.1.0.1/24"}[name])}
			if a, err := netip.ParseAddr(underlay); err == nil {
				c.UnderlayInterface, c.UnderlayAddress = "", a
			}
			c.Key = dataplane.Key{Value: uint32(name[3]), Set: true}
		})
	}
	const reason = "tun0 has the same underlay address 192.0.2.1 and the profile strict, not lax: tunnels on one address share their SAs, so want one profile"
	eth1 := link("eth1", 3, true, 1500, "192.0.2.9/24")
	with := func(events ...core.Event) []core.Event { return append([]core.Event{eth0, eth1}, events...) }
	both := configure(protected("tun0", "eth0", "strict"), protected("tun1", "192.0.2.1", "lax"))
	for _, tt := range []struct {
		name   string
		before []core.Event
		event  core.Event
		want   []string // of what is told: which is up, which is down
	}{
		{"an interface and its address", with(), both, []string{"up tun0", "down tun1: " + reason}},
		{"one profile for both", with(), configure(protected("tun0", "eth0", "lax"), protected("tun1", "192.0.2.1", "lax")), []string{"up tun0", "up tun1"}},
		{"one in clear", with(), configure(protected("tun0", "eth0", "strict"), protected("tun1", "192.0.2.1", "")), []string{"up tun0", "up tun1"}},
		{"other addresses", with(), configure(protected("tun0", "eth0", "strict"), protected("tun1", "eth1", "lax")), []string{"up tun0", "up tun1"}},
		{"the first leaves", with(both), configure(protected("tun1", "192.0.2.1", "lax")), []string{"down tun0: removed from the configuration", "up tun1"}},
		{"the first gets the other profile", with(both), configure(protected("tun0", "eth0", "lax"), protected("tun1", "192.0.2.1", "lax")), []string{"up tun1"}},
		{"both change their profiles", with(configure(protected("tun0", "eth0", "lax"), protected("tun1", "192.0.2.1", "lax"))),
			configure(protected("tun0", "eth0", "strict"), protected("tun1", "192.0.2.1", "strict")), nil},
		{"one of both does", with(configure(protected("tun0", "eth0", "strict"), protected("tun1", "192.0.2.1", "strict"))),
			configure(protected("tun0", "eth0", "strict"), protected("tun1", "192.0.2.1", "lax")), []string{"set tun1 nowhere", "down tun1: " + reason}},
		{"the address of one moves to the other's interface", with(configure(protected("tun0", "eth0", "strict"), protected("tun1", "eth1", "lax"))),
			link("eth1", 3, true, 1500, "192.0.2.1/24"), []string{"set tun1 nowhere", "down tun1: " + reason}},
		{"and away again", with(configure(protected("tun0", "eth0", "strict"), protected("tun1", "eth1", "lax")), link("eth1", 3, true, 1500, "192.0.2.1/24")),
			eth1, []string{"up tun1"}},
		{"the first is elsewhere now", with(both), link("eth0", 2, true, 1500, "192.0.2.44/24", "192.0.2.1/24"), nil},
		{"the first loses it", with(configure(protected("tun0", "eth0", "strict"), protected("tun1", "eth1", "lax")), link("eth1", 3, true, 1500, "192.0.2.1/24")),
			link("eth0", 2, true, 1500, "192.0.2.44/24"), []string{"up tun0", "up tun1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := settled()
			for _, ev := range tt.before {
				b.send(ev)
			}
			if got := verdicts(b.send(tt.event)); !slices.Equal(sorted(got), sorted(tt.want)) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// verdicts are which tunnels came up and went down, and why, and which the data plane has without an address.
func verdicts(record []string) (told []string) {
	for _, line := range record {
		words := strings.Fields(line)
		switch {
		case words[0] == "up":
			told = append(told, "up "+words[1])
		case words[0] == "down":
			_, why, _ := strings.Cut(line, ": ")
			told = append(told, "down "+words[1]+": "+why)
		case words[0] == "set" && words[2] == "invalid" && !slices.ContainsFunc(record, func(l string) bool { return strings.HasPrefix(l, "interface "+words[1]) }):
			told = append(told, "set "+words[1]+" nowhere")
		}
	}
	return told
}
