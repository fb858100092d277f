package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/spokeway/spokeway/internal/core"
	"github.com/spokeway/spokeway/internal/scenario"
)

// speaker is a module that speaks protocol 89 on what it was told to, and writes down what it hears.
type speaker struct {
	node  *Node
	heard []string
}

func (*speaker) Name() string { return "speaker" }

func (s *speaker) Handle(env *core.Env, ev core.Event) {
	switch ev := ev.(type) {
	case core.Request:
		env.Emit(ev.Body)
	case core.ReceivedIP:
		s.heard = append(s.heard, fmt.Sprintf("%s %v>%v ttl %d: %s", ev.Interface, ev.Source, ev.Destination, ev.TTL, ev.Payload))
	}
}

// do has the node's speaker emit an effect, which the node's edge does.
func (s *speaker) do(effects ...core.Effect) {
	for _, e := range effects {
		s.node.router.post("speaker", core.Request{Body: e})
	}
}

// said is what was heard since it was last asked for, in order.
func (s *speaker) said() []string {
	all := s.heard
	s.heard = nil
	slices.Sort(all)
	return all
}

func speak(t *testing.T, nodes ...*Node) (all []*speaker) {
	t.Helper()
	for _, n := range nodes {
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
		s := &speaker{node: n}
		n.router.loop.Add(s, core.Start{})
		all = append(all, s)
	}
	return all
}

var allRouters = netip.MustParseAddr("224.0.0.5")

func listen(on string, groups ...netip.Addr) core.Listen {
	return core.Listen{Module: "speaker", Interface: on, Protocol: 89, Groups: groups}
}

func send(n *Node, on string, to netip.Addr, text string) core.SendIP {
	return core.SendIP{Interface: on, Source: n.byName[on].address(to), Destination: to, Protocol: 89, TTL: 1, TOS: 0xc0, Payload: []byte(text)}
}

// A hub's multicast goes to every spoke that registered, once; a spoke's to its hub, and to no spoke.
func TestModulesSpeakOverTunnels(t *testing.T) {
	for _, protect := range []bool{false, true} {
		c := generate(Options{Seed: 1, Hubs: 1, Spokes: 3, Protect: protect})
		all := speak(t, append(slices.Clone(c.hubs), c.spokes...)...)
		c.world.Run(30 * time.Second)
		tunnel := c.hubs[0].config.Tunnels[0].Name
		hub, spoke := c.hubs[0].overlay, c.spokes[1].overlay
		for _, s := range all {
			s.do(listen(tunnel, allRouters))
		}
		c.world.Run(time.Second)
		all[0].do(send(c.hubs[0], tunnel, allRouters, "hub"))
		all[2].do(send(c.spokes[1], tunnel, allRouters, "spoke"), send(c.spokes[1], tunnel, hub, "you"))
		c.world.Run(time.Second)
		fromHub := []string{fmt.Sprintf("%s %v>%v ttl 1: hub", tunnel, hub, allRouters)}
		toHub := []string{fmt.Sprintf("%s %v>%v ttl 1: you", tunnel, spoke, hub), fmt.Sprintf("%s %v>%v ttl 1: spoke", tunnel, spoke, allRouters)}
		for k, s := range all {
			want := fromHub
			if k == 0 {
				want = toHub
			}
			if got := s.said(); !slices.Equal(got, want) {
				t.Errorf("protected %t, %s heard %q, want %q", protect, s.node.Name, got, want)
			}
		}
	}
}

// lan is routers on one segment of their own, which speak there.
func lan(t *testing.T, link Link) (w *World, all []*speaker) {
	t.Helper()
	c := generate(Options{Seed: 2, Hubs: 1, Spokes: 3})
	segment := c.world.addNetwork("segment")
	for k, n := range c.spokes {
		n.attach("seg0", segment, link, netip.MustParsePrefix(fmt.Sprintf("10.77.0.%d/24", k+1)), netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", k+1)))
	}
	all = speak(t, c.spokes...)
	c.world.Run(time.Second)
	return c.world, all
}

func TestModulesSpeakOnASegment(t *testing.T) {
	w, all := lan(t, Link{Link: scenario.Link{Delay: 5 * time.Millisecond}})
	a, b, c := all[0], all[1], all[2]
	group6 := netip.MustParseAddr("ff02::5")
	six := core.Listen{Module: "speaker", Interface: "seg0", Protocol: 89, IPv6: true, Groups: []netip.Addr{group6}}
	all[0].do(listen("seg0", allRouters))
	b.do(listen("seg0", allRouters), six)
	c.do(listen("seg0", netip.MustParseAddr("224.0.0.6")), listen("lan0", allRouters))
	w.Run(time.Second)
	check := func(what string, effect core.Effect, want ...[]string) {
		t.Helper()
		a.do(effect)
		w.Run(9 * time.Millisecond)
		if early := append(b.said(), c.said()...); len(early) > 0 {
			t.Errorf("%s: before it can have arrived: %q", what, early)
		}
		w.Run(time.Second)
		for k, s := range all {
			if got := s.said(); !slices.Equal(got, want[k]) {
				t.Errorf("%s: %s heard %q, want %q", what, s.node.Name, got, want[k])
			}
		}
	}
	check("to a group", send(a.node, "seg0", allRouters, "x"), nil, []string{"seg0 10.77.0.1>224.0.0.5 ttl 1: x"}, nil)
	check("to one", send(a.node, "seg0", netip.MustParseAddr("10.77.0.3"), "x"), nil, nil, []string{"seg0 10.77.0.1>10.77.0.3 ttl 1: x"})
	check("to a group of IPv6", send(a.node, "seg0", group6, "x"), nil, []string{"seg0 fe80::1>ff02::5 ttl 1: x"}, nil)
	check("to one who does not listen to IPv6", send(a.node, "seg0", netip.MustParseAddr("fe80::3"), "x"), nil, nil, nil)
	other := send(a.node, "seg0", allRouters, "x")
	other.Protocol = 112
	check("of another protocol", other, nil, nil, nil)
	b.do(listen("seg0"))
	w.Run(time.Second)
	check("to who does not listen any more", send(a.node, "seg0", allRouters, "x"), nil, nil, nil)
	b.do(listen("seg0", allRouters))
	b.node.kill()
	if err := b.node.start(); err != nil {
		t.Fatal(err)
	}
	b.node.router.loop.Add(b, core.Start{})
	check("to who was started again", send(a.node, "seg0", allRouters, "x"), nil, nil, nil)
}

func TestWhatModulesSayIsLostAsAllElse(t *testing.T) {
	w, all := lan(t, Link{Link: scenario.Link{Loss: 0.5}})
	all[1].do(listen("seg0", allRouters))
	for range 400 {
		all[0].do(send(all[0].node, "seg0", allRouters, "x"))
	}
	w.Run(time.Second)
	if n := len(all[1].heard); n < 60 || n > 140 { // over two links, a quarter arrives
		t.Errorf("%d of 400", n)
	}
	all[0].node.byName["seg0"].cut = true
	all[0].do(send(all[0].node, "seg0", allRouters, "x"), core.SendIP{Interface: "nowhere", Source: allRouters, Destination: allRouters})
	all[1].heard = nil
	w.Run(time.Second)
	if len(all[1].heard) > 0 {
		t.Error("heard over a cut link")
	}
}
